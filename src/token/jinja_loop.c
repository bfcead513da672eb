/* jinja_loop.c - for loops and what `loop` knows.
 *
 * A loop with a filter asks it item by item, so that the body's changes to a namespace are seen;
 * loop.last looks one item ahead, loop.length goes through all that is left.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "token/jinja_eval.h"

/* ---- Going on ---- */

/* Does the loop's filter take v? */
static nx_status takes(jj_eval *e, jj_loop *l, const jj_val *v, bool *out)
{
    jj_scope *s = jj_alloc(e->j, 1, sizeof *s), *outer = e->scope;
    nx_status st;
    jj_val    yes;

    if (!s) return e->j->err->status;
    s->parent = l->scope;
    e->scope = s;
    st = jj_assign(e, l->node->a, v);
    if (!st) st = jj_eval_node(e, &yes, l->node->c);
    e->scope = outer;
    *out = !st && jj_truth(&yes);
    return st;
}

/* The next item that counts; JJ_MISSING at the end. */
static nx_status fetch(jj_eval *e, jj_loop *l, jj_val *out)
{
    *out = JJ_VAL_MISSING;
    while (l->at < l->n) {
        const jj_val v = l->items[l->at++];
        bool         yes = true;
        if (l->iter) l->iter->at = l->at;
        TRY(jj_steps(e->j, 1));
        if (l->filters) TRY(takes(e, l, &v, &yes));
        if (!yes) continue;
        *out = v;
        return NX_OK;
    }
    return NX_OK;
}

static nx_status peek(jj_eval *e, jj_loop *l)
{
    return l->after.type == JJ_MISSING ? fetch(e, l, &l->after) : NX_OK;
}

static nx_status next(jj_eval *e, jj_loop *l, jj_val *out)
{
    *out = l->after;
    l->after = JJ_VAL_MISSING;
    if (out->type == JJ_MISSING) TRY(fetch(e, l, out));
    if (out->type == JJ_MISSING) return NX_OK;
    l->index0++;
    l->before = l->current;
    l->current = *out;
    return NX_OK;
}

nx_status jj_loop_length(jj_eval *e, jj_loop *l)
{
    jj_vec rest = {.j = e->j};
    jj_val v;

    if (l->length >= 0) return NX_OK;
    if (l->sized) {
        l->length = (int64_t)l->n;
        return NX_OK;
    }
    for (;;) {
        TRY(fetch(e, l, &v));
        if (v.type == JJ_MISSING) break;
        TRY(jj_vec_add(&rest, v));
    }
    l->items = rest.v;
    l->n = rest.n;
    l->at = 0;
    l->iter = NULL;
    l->filters = false;
    l->length = (int64_t)rest.n + l->index0 + 1 + (l->after.type != JJ_MISSING);
    return NX_OK;
}

/* ---- Running ---- */

static nx_status start(jj_eval *e, jj_loop *l, const jj_node *n, const jj_val *over, int depth0)
{
    *l = (jj_loop){.node = n,
                   .scope = e->scope,
                   .filters = n->c != NULL,
                   .sized = !n->c && over->type != JJ_ITER && over->type != JJ_LOOP,
                   .index0 = -1,
                   .length = -1,
                   .depth0 = depth0,
                   .before = JJ_VAL_MISSING,
                   .current = JJ_VAL_MISSING,
                   .after = JJ_VAL_MISSING,
                   .changed = JJ_VAL_MISSING};
    if (over->type == JJ_ITER) {
        l->iter = over->iter;
        l->items = over->iter->v;
        l->at = over->iter->at;
        l->n = over->iter->n;
        return NX_OK;
    }
    return jj_items_of(e->j, over, &l->items, &l->n);
}

static nx_status iteration(jj_eval *e, jj_loop *l, const jj_val *v)
{
    const jj_val self = {.type = JJ_LOOP, .loop = l};

    if (l->node->flag) TRY(jj_bind_name(e, e->n_loop, self));
    TRY(jj_assign(e, l->node->a, v));
    return jj_exec(e, l->node->kid[0]);
}

static nx_status new_scope(jj_eval *e, jj_scope **s)
{
    if (*s && !(*s)->captured) {
        (*s)->n = 0;
        return NX_OK;
    }
    jj_scope *fresh = jj_alloc(e->j, 1, sizeof *fresh);
    if (!fresh) return e->j->err->status;
    fresh->parent = e->scope;
    *s = fresh;
    return NX_OK;
}

/* *ran: an iteration came to its end (one left by continue doesn't count, as in the original). */
static nx_status run(jj_eval *e, jj_loop *l, bool *ran)
{
    jj_scope *outer = e->scope, *s = NULL;
    jj_val    v;

    for (;;) {
        TRY(next(e, l, &v));
        if (v.type == JJ_MISSING) return NX_OK;
        e->scope = outer;
        TRY(new_scope(e, &s));
        e->scope = s;
        nx_status st = iteration(e, l, &v);
        e->scope = outer;
        if (st) return st;
        jj_flow flow = e->flow;
        e->flow = JJ_FLOW_ON;
        if (flow == JJ_FLOW_BREAK) return NX_OK;
        if (flow == JJ_FLOW_ON) *ran = true;
    }
}

static nx_status loop_over(jj_eval *e, const jj_node *n, const jj_val *over, int depth0)
{
    jj_scope *outer = e->scope, *s = NULL;
    jj_loop  *l = jj_alloc(e->j, 1, sizeof *l);
    bool      ran = false;

    if (!l) return e->j->err->status;
    TRY(start(e, l, n, over, depth0));
    TRY(run(e, l, &ran));
    if (ran || n->n < 2) return NX_OK;
    TRY(new_scope(e, &s));
    e->scope = s;
    nx_status st = jj_exec(e, n->kid[1]);
    e->scope = outer;
    return st;
}

nx_status jj_exec_for(jj_eval *e, const jj_node *n)
{
    jj_val over;

    TRY(jj_eval_node(e, &over, n->b));
    e->j->line = n->line;
    return loop_over(e, n, &over, 0);
}

/* loop(items) of a recursive loop: its text. */
nx_status jj_loop_call(jj *j, jj_val *out, jj_loop *l, const jj_call *c)
{
    jj_eval  *e = jj_eval_of(j);
    jj_scope *outer = e->scope;
    jj_out    o = {.j = j}, *outer_out = e->out;

    if (!l->node->recursive) {
        return jj_type_error(j, "The loop must have the 'recursive' marker to be called "
                                "recursively.");
    }
    if (c->n_pos != 1 || c->n_kw) return jj_type_error(j, "loop() takes one argument");
    TRY(jj_enter(j));
    e->scope = l->scope;
    e->out = &o;
    nx_status st = loop_over(e, l->node, &c->pos[0], l->depth0 + 1);
    e->scope = outer;
    e->out = outer_out;
    jj_leave(j);
    return st ? st : jj_out_str(&o, out);
}

/* ---- What `loop` knows ---- */

static nx_status counted(jj_eval *e, jj_loop *l, jj_val *out, int64_t minus)
{
    TRY(jj_loop_length(e, l));
    *out = jj_int(l->length - minus);
    return NX_OK;
}

static nx_status neighbour(jj *j, jj_val *out, const jj_val *v, const char *which)
{
    if (v->type == JJ_MISSING) return jj_undefined(j, out, "there is no %s item", which);
    *out = *v;
    return NX_OK;
}

nx_status jj_loop_attr(jj *j, jj_val *out, jj_loop *l, nx_str name, bool *found)
{
    static const char *const names[] = {"index",  "index0",   "revindex", "revindex0",
                                        "first",  "last",     "length",   "depth",
                                        "depth0", "previtem", "nextitem"};
    jj_eval                 *e = jj_eval_of(j);
    size_t                   i = 0, n = sizeof names / sizeof *names;

    while (i < n && !nx_str_eq(name, nx_str_of(names[i]))) i++;
    *found = i < n;
    switch (i) {
    case 0: *out = jj_int(l->index0 + 1); return NX_OK;
    case 1: *out = jj_int(l->index0); return NX_OK;
    case 2: return counted(e, l, out, l->index0);
    case 3: return counted(e, l, out, l->index0 + 1);
    case 4: *out = jj_bool(l->index0 == 0); return NX_OK;
    case 5:
        TRY(peek(e, l));
        *out = jj_bool(l->after.type == JJ_MISSING);
        return NX_OK;
    case 6: return counted(e, l, out, 0);
    case 7: *out = jj_int(l->depth0 + 1); return NX_OK;
    case 8: *out = jj_int(l->depth0); return NX_OK;
    case 9: return neighbour(j, out, l->index0 == 0 ? &JJ_VAL_MISSING : &l->before, "previous");
    case 10: TRY(peek(e, l)); return neighbour(j, out, &l->after, "next");
    default: return NX_OK;
    }
}

static nx_status cycle(jj *j, jj_val *out, const jj_val *self, const jj_val *arg, const jj_call *c)
{
    (void)arg;
    if (c->n_pos == 0 || c->n_kw) return jj_type_error(j, "no items for cycling given");
    *out = c->pos[(size_t)(self->loop->index0 < 0 ? 0 : self->loop->index0) % c->n_pos];
    return NX_OK;
}

static nx_status changed(jj *j, jj_val *out, const jj_val *self, const jj_val *arg,
                         const jj_call *c)
{
    jj_loop *l = self->loop;
    jj_val   now;
    bool     same = false;

    (void)arg;
    TRY(jj_list_new(j, &now, JJ_TUPLE, c->n_pos));
    if (c->n_pos) memcpy(now.list->v, c->pos, c->n_pos * sizeof *c->pos);
    if (l->changed.type == JJ_TUPLE) TRY(jj_equal(j, &l->changed, &now, &same));
    if (!same) l->changed = now;
    *out = jj_bool(!same);
    return NX_OK;
}

const jj_method_def jj_loop_methods[] = {
    {"cycle", "", -1, cycle},
    {"changed", "", -1, changed},
    {NULL, NULL, 0, NULL},
};

void jj_put_loop(jj_out *o, jj_loop *l)
{
    char text[64];

    o->st = o->st ? o->st : jj_loop_length(jj_eval_of(o->j), l);
    snprintf(text, sizeof text, "<LoopContext %" PRId64 "/%" PRId64 ">", l->index0 + 1, l->length);
    jj_put_text(o, text);
}
