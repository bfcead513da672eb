/* jinja_exec.c - statements. */
#include <string.h>

#include "token/jinja_eval.h"
#include "token/jinja_print.h"

/* ---- Scopes ---- */

nx_status jj_bind_name(jj_eval *e, uint32_t name, jj_val v)
{
    jj_scope *s = e->scope;

    if (!s) {
        e->root[name] = v;
        return NX_OK;
    }
    if (s->n > 16) TRY(jj_steps(e->j, s->n / 16));
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->name[i] != name) continue;
        s->v[i] = v;
        return NX_OK;
    }
    if (s->n == s->cap) {
        uint32_t  cap = s->cap ? 2 * s->cap : 4;
        uint32_t *names = jj_alloc(e->j, cap, sizeof *names);
        jj_val   *values = jj_alloc(e->j, cap, sizeof *values);
        if (!names || !values) return e->j->err->status;
        if (s->n) memcpy(names, s->name, s->n * sizeof *names);
        if (s->n) memcpy(values, s->v, s->n * sizeof *values);
        s->name = names;
        s->v = values;
        s->cap = cap;
    }
    s->name[s->n] = name;
    s->v[s->n++] = v;
    return NX_OK;
}

static void capture(jj_scope *s)
{
    for (; s && !s->captured; s = s->parent) s->captured = true;
}

/* Run body in a new scope inside `parent`, its output into out (NULL: where it goes anyway). */
static nx_status in_scope(jj_eval *e, const jj_node *body, jj_scope *parent, jj_out *out)
{
    jj_scope  s = {.parent = parent}, *heap, *outer = e->scope;
    jj_out   *outer_out = e->out;
    nx_status st;

    heap = jj_alloc(e->j, 1, sizeof *heap); /* a macro may keep it */
    if (!heap) return e->j->err->status;
    *heap = s;
    e->scope = heap;
    if (out) e->out = out;
    st = jj_exec(e, body);
    e->scope = outer;
    e->out = outer_out;
    return st;
}

/* ---- Assigning ---- */

static nx_status unpack(jj_eval *e, const jj_node *target, const jj_val *v)
{
    jj_val *items;
    size_t  n;

    if (v->type != JJ_UNDEFINED && !jj_iterable(v)) {
        return jj_type_error(e->j, "cannot unpack non-iterable %s object", jj_type_name(v));
    }
    TRY(jj_items_of(e->j, v, &items, &n));
    if (n != target->n) {
        return jj_type_error(e->j, "%s values to unpack (expected %u, got %zu)",
                             n < target->n ? "not enough" : "too many", (unsigned)target->n, n);
    }
    for (size_t i = 0; i < n; i++) TRY(jj_assign(e, target->kid[i], &items[i]));
    return NX_OK;
}

static nx_status set_attribute(jj_eval *e, const jj_node *target, const jj_val *v)
{
    const jj_node name = {.kind = JJ_N_NAME, .name = target->name, .line = target->line};
    jj_val        of, key;

    TRY(jj_eval_node(e, &of, &name));
    if (of.type != JJ_NAMESPACE) {
        return jj_type_error(e->j, "cannot assign attribute on non-namespace object");
    }
    if (target->attr.p[0] == '_') {
        return jj_type_error(e->j, "a namespace's attributes can't begin with an underscore");
    }
    TRY(jj_str_view(e->j, &key, target->attr.p, target->attr.len, false));
    return jj_dict_set(e->j, of.dict, key, *v);
}

nx_status jj_assign(jj_eval *e, const jj_node *target, const jj_val *v)
{
    e->j->line = target->line;
    if (target->kind == JJ_N_TUPLE) return unpack(e, target, v);
    if (target->kind == JJ_N_NSREF) return set_attribute(e, target, v);
    return jj_bind_name(e, target->name, *v);
}

/* ---- Macros ---- */

static nx_status new_macro(jj_eval *e, jj_val *out, const jj_node *n, nx_str name)
{
    jj_macro *m = jj_alloc(e->j, 1, sizeof *m);

    if (!m) return e->j->err->status;
    capture(e->scope);
    *m = (jj_macro){.node = n, .name = name, .scope = e->scope};
    *out = (jj_val){.type = JJ_MACRO, .macro = m};
    return NX_OK;
}

void jj_put_macro(jj_out *o, const jj_macro *m)
{
    if (m->name.len == 0) {
        jj_put_text(o, "<Macro anonymous>");
        return;
    }
    jj_put_text(o, "<Macro '");
    jj_put(o, m->name.p, m->name.len, false);
    jj_put_text(o, "'>");
}

/* The keyword `name` of c, taken out; false: not given. */
static bool take_keyword(jj_call *c, nx_str name, jj_val *out)
{
    for (size_t i = 0; i < c->n_kw; i++) {
        if (!nx_str_eq(c->kw[i], name)) continue;
        *out = c->kw_value[i];
        for (size_t k = i + 1; k < c->n_kw; k++) {
            c->kw[k - 1] = c->kw[k];
            c->kw_value[k - 1] = c->kw_value[k];
        }
        c->n_kw--;
        return true;
    }
    return false;
}

static nx_status bind_parameters(jj_eval *e, const jj_signature *s, jj_call *c)
{
    for (uint32_t i = 0; i < s->n; i++) {
        jj_val v = JJ_VAL_MISSING;
        if (i < c->n_pos)
            v = c->pos[i];
        else
            take_keyword(c, e->t->names[s->name[i]], &v);
        TRY(jj_bind_name(e, s->name[i], v));
    }
    return NX_OK;
}

static nx_status bind_caller(jj_eval *e, jj_call *c)
{
    jj_val v;

    if (!take_keyword(c, NX_STR("caller"), &v) || v.type == JJ_NONE) {
        TRY(jj_undefined(e->j, &v, "No caller defined"));
    }
    return jj_bind_name(e, e->n_caller, v);
}

static nx_status bind_rest(jj_eval *e, const jj_macro *m, const jj_call *c)
{
    const jj_signature *s = m->node->macro;
    jj_val              rest, key;
    size_t              n_more = c->n_pos > s->n ? c->n_pos - s->n : 0;

    if (s->uses_kwargs && !s->own_kwargs) {
        TRY(jj_dict_new(e->j, &rest));
        for (size_t i = 0; i < c->n_kw; i++) {
            TRY(jj_str_view(e->j, &key, c->kw[i].p, c->kw[i].len, false));
            TRY(jj_dict_set(e->j, rest.dict, key, c->kw_value[i]));
        }
        TRY(jj_bind_name(e, e->n_kwargs, rest));
    } else if (c->n_kw) {
        return jj_type_error(e->j, "macro '%.*s' takes no keyword argument '%.*s'",
                             (int)(m->name.len < 60 ? m->name.len : 60), m->name.p,
                             (int)(c->kw[0].len < 60 ? c->kw[0].len : 60), c->kw[0].p);
    }
    if (s->uses_varargs && !s->own_varargs) {
        TRY(jj_list_new(e->j, &rest, JJ_TUPLE, n_more));
        for (size_t i = 0; i < n_more; i++) rest.list->v[i] = c->pos[s->n + i];
        return jj_bind_name(e, e->n_varargs, rest);
    }
    if (n_more == 0) return NX_OK;
    return jj_type_error(e->j, "macro '%.*s' takes not more than %u argument(s)",
                         (int)(m->name.len < 60 ? m->name.len : 60), m->name.p, (unsigned)s->n);
}

/* Defaults are computed in the call, one after the other. */
static nx_status bind_presets(jj_eval *e, const jj_signature *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        jj_val *v = &e->scope->v[i];
        nx_str  name = e->t->names[s->name[i]];
        if (v->type != JJ_MISSING) continue;
        jj_val preset;
        if (s->preset[i])
            TRY(jj_eval_node(e, &preset, s->preset[i]));
        else
            TRY(jj_undefined(e->j, &preset, "parameter '%.*s' was not provided",
                             (int)(name.len < 60 ? name.len : 60), name.p));
        e->scope->v[i] = preset;
    }
    return NX_OK;
}

static nx_status call_inside(jj_eval *e, jj_macro *m, jj_call *c)
{
    const jj_signature *s = m->node->macro;

    if (s) {
        TRY(bind_parameters(e, s, c));
        if (s->uses_caller && !s->own_caller) TRY(bind_caller(e, c));
        TRY(bind_rest(e, m, c));
        TRY(bind_presets(e, s));
    }
    return jj_exec(e, m->node->c);
}

nx_status jj_macro_call(jj_eval *e, jj_val *out, jj_macro *m, const jj_call *c)
{
    jj_scope *s = jj_alloc(e->j, 1, sizeof *s), *outer = e->scope;
    jj_out    o = {.j = e->j}, *outer_out = e->out;
    jj_call   own = *c; /* keywords are taken out of it */
    nx_status st;

    own.kw = jj_alloc(e->j, c->n_kw, sizeof *own.kw);
    own.kw_value = jj_alloc(e->j, c->n_kw, sizeof *own.kw_value);
    if (!s || !own.kw || !own.kw_value) return e->j->err->status;
    if (c->n_kw) memcpy(own.kw, c->kw, c->n_kw * sizeof *own.kw);
    if (c->n_kw) memcpy(own.kw_value, c->kw_value, c->n_kw * sizeof *own.kw_value);
    TRY(jj_enter(e->j));
    s->parent = m->scope;
    e->scope = s;
    e->out = &o;
    st = call_inside(e, m, &own);
    e->scope = outer;
    e->out = outer_out;
    jj_leave(e->j);
    return st ? st : jj_out_str(&o, out);
}

/* ---- Statements ---- */

static nx_status exec_if(jj_eval *e, const jj_node *n)
{
    jj_val yes;

    for (uint32_t i = 0; i + 1 < n->n; i += 2) {
        TRY(jj_eval_node(e, &yes, n->kid[i]));
        if (jj_truth(&yes)) return jj_exec(e, n->kid[i + 1]);
    }
    return n->n % 2 ? jj_exec(e, n->kid[n->n - 1]) : NX_OK;
}

static nx_status exec_setblock(jj_eval *e, const jj_node *n)
{
    jj_out o = {.j = e->j};
    jj_val v;

    TRY(in_scope(e, n->c, e->scope, &o));
    if (e->flow) return o.st;
    TRY(jj_out_str(&o, &v));
    if (n->b) TRY(jj_eval_filter(e, &v, n->b, &v));
    return jj_assign(e, n->a, &v);
}

static nx_status exec_filterblock(jj_eval *e, const jj_node *n)
{
    jj_out o = {.j = e->j};
    jj_val v;

    TRY(in_scope(e, n->c, e->scope, &o));
    if (e->flow) return o.st;
    TRY(jj_out_str(&o, &v));
    TRY(jj_eval_filter(e, &v, n->b, &v));
    jj_put_val(e->out, &v);
    return e->out->st;
}

static nx_status exec_macro(jj_eval *e, const jj_node *n)
{
    jj_val m;

    TRY(new_macro(e, &m, n, e->t->names[n->name]));
    return jj_bind_name(e, n->name, m);
}

static nx_status exec_callblock(jj_eval *e, const jj_node *n)
{
    jj_val caller, v;

    TRY(new_macro(e, &caller, n, (nx_str){0}));
    TRY(jj_eval_call(e, &v, n->a, &caller));
    jj_put_val(e->out, &v);
    return e->out->st;
}

static nx_status exec_with(jj_eval *e, const jj_node *n)
{
    jj_scope *s = jj_alloc(e->j, 1, sizeof *s), *outer = e->scope;
    nx_status st = NX_OK;
    jj_val    v;

    if (!s) return e->j->err->status;
    s->parent = outer;
    for (uint32_t i = 0; i < n->n && !st; i += 2) { /* values see the names outside */
        st = jj_eval_node(e, &v, n->kid[i + 1]);
        e->scope = s;
        if (!st) st = jj_assign(e, n->kid[i], &v);
        e->scope = outer;
    }
    e->scope = s;
    if (!st) st = jj_exec(e, n->c);
    e->scope = outer;
    return st;
}

static nx_status exec_autoescape(jj_eval *e, const jj_node *n)
{
    jj_val on;

    TRY(jj_eval_node(e, &on, n->a));
    if (jj_truth(&on)) return jj_fail(e->j, NX_EUNSUPPORTED, "autoescape isn't supported");
    return in_scope(e, n->c, e->scope, NULL);
}

static nx_status exec_output(jj_eval *e, const jj_node *n)
{
    jj_val v;

    TRY(jj_eval_node(e, &v, n->a));
    jj_put_val(e->out, &v);
    return e->out->st;
}

static nx_status exec_set(jj_eval *e, const jj_node *n)
{
    jj_val v;

    TRY(jj_eval_node(e, &v, n->b));
    return jj_assign(e, n->a, &v);
}

static nx_status exec_body(jj_eval *e, const jj_node *n)
{
    for (uint32_t i = 0; i < n->n_hidden; i++) {
        TRY(jj_bind_name(e, n->hidden[i], JJ_VAL_MISSING));
    }
    for (uint32_t i = 0; i < n->n && !e->flow; i++) TRY(jj_exec(e, n->kid[i]));
    return NX_OK;
}

static nx_status exec_kind(jj_eval *e, const jj_node *n)
{
    switch (n->kind) {
    case JJ_N_BODY: return exec_body(e, n);
    case JJ_N_OUTPUT: return exec_output(e, n);
    case JJ_N_IF: return exec_if(e, n);
    case JJ_N_FOR: return jj_exec_for(e, n);
    case JJ_N_SET: return exec_set(e, n);
    case JJ_N_SETBLOCK: return exec_setblock(e, n);
    case JJ_N_MACRO: return exec_macro(e, n);
    case JJ_N_CALLBLOCK: return exec_callblock(e, n);
    case JJ_N_FILTERBLOCK: return exec_filterblock(e, n);
    case JJ_N_WITH: return exec_with(e, n);
    case JJ_N_SCOPE: return in_scope(e, n->c, e->scope, NULL);
    case JJ_N_BLOCK: return in_scope(e, n->c, n->flag ? e->scope : NULL, NULL);
    case JJ_N_AUTOESCAPE: return exec_autoescape(e, n);
    case JJ_N_BREAK: e->flow = JJ_FLOW_BREAK; return NX_OK;
    case JJ_N_CONTINUE: e->flow = JJ_FLOW_CONTINUE; return NX_OK;
    default:
        return jj_fail(e->j, NX_EUNSUPPORTED, "%.*s isn't supported: a template stands alone",
                       (int)n->attr.len, n->attr.p);
    }
}

nx_status jj_exec(jj_eval *e, const jj_node *n)
{
    TRY(jj_steps(e->j, 1));
    e->j->line = n->line;
    if (n->kind == JJ_N_DATA) {
        jj_put_str(e->out, n->value.s);
        return e->out->st;
    }
    TRY(jj_enter(e->j));
    TRY(exec_kind(e, n));
    jj_leave(e->j);
    return NX_OK;
}
