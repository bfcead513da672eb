/* jinja_scope.c - which names of a block have no value before they are set in it.
 *
 * In the original every block is a frame of local variables, found before anything runs. A name
 * that a block sets, and that nothing before (in the block itself, not in blocks inside it) asks
 * for, is a local without a value up to there: blocks inside that ask for it earlier find nothing,
 * even if the caller passed a variable of that name. Names set in one branch of an if, or known to
 * a block around, are looked up outside as usual.
 */
#include <string.h>

#include "token/jinja_node.h"

typedef struct frame {
    jj_parser          *p;
    const struct frame *parent;
    uint32_t           *name; /* [n] */
    bool               *hidden;
    uint32_t            n, cap;
    int                 branches; /* of ifs around us, within this frame */
} frame;

static nx_status visit(frame *f, const jj_node *n);
static nx_status analyse(jj_parser *p, const frame *parent, jj_node *owner);

/* ---- Names of a frame ---- */

static nx_status find(const frame *f, uint32_t name, bool *found)
{
    *found = false;
    TRY(jj_steps(f->p->j, f->n / 8 + 1));
    for (uint32_t i = 0; i < f->n && !*found; i++) *found = f->name[i] == name;
    return NX_OK;
}

static nx_status known_outside(const frame *f, uint32_t name, bool *found)
{
    *found = false;
    for (f = f->parent; f && !*found; f = f->parent) TRY(find(f, name, found));
    return NX_OK;
}

static nx_status define(frame *f, uint32_t name, bool hidden)
{
    if (f->n == f->cap) {
        uint32_t  cap = f->cap ? 2 * f->cap : 8;
        uint32_t *names = jj_alloc(f->p->j, cap, sizeof *names);
        bool     *flags = jj_alloc(f->p->j, cap, sizeof *flags);
        if (!names || !flags) return f->p->j->err->status;
        if (f->n) memcpy(names, f->name, f->n * sizeof *names);
        if (f->n) memcpy(flags, f->hidden, f->n * sizeof *flags);
        f->name = names;
        f->hidden = flags;
        f->cap = cap;
    }
    f->name[f->n] = name;
    f->hidden[f->n++] = hidden;
    return NX_OK;
}

static nx_status loaded(frame *f, uint32_t name)
{
    bool here, outside;

    TRY(find(f, name, &here));
    if (here) return NX_OK;
    TRY(known_outside(f, name, &outside));
    return outside ? NX_OK : define(f, name, false);
}

static nx_status stored(frame *f, uint32_t name)
{
    bool here, outside;

    TRY(find(f, name, &here));
    if (here) return NX_OK;
    TRY(known_outside(f, name, &outside));
    return define(f, name, !outside && f->branches == 0);
}

static nx_status parameter(frame *f, const jj_node *target)
{
    if (target->kind == JJ_N_NAME) return define(f, target->name, false);
    for (uint32_t i = 0; i < target->n; i++) TRY(parameter(f, target->kid[i]));
    return NX_OK;
}

static nx_status target(frame *f, const jj_node *n)
{
    if (n->kind == JJ_N_NAME) return stored(f, n->name);
    if (n->kind == JJ_N_NSREF) return loaded(f, n->name);
    for (uint32_t i = 0; i < n->n; i++) TRY(target(f, n->kid[i]));
    return NX_OK;
}

/* ---- What a frame sees of its own statements ---- */

static nx_status visit_args(frame *f, const jj_args *a)
{
    if (!a) return NX_OK;
    for (uint32_t i = 0; i < a->n_pos; i++) TRY(visit(f, a->pos[i]));
    for (uint32_t i = 0; i < a->n_kw; i++) TRY(visit(f, a->kw_value[i]));
    if (a->star) TRY(visit(f, a->star));
    return a->star_star ? visit(f, a->star_star) : NX_OK;
}

static nx_status visit_if(frame *f, const jj_node *n)
{
    for (uint32_t i = 0; i < n->n; i++) {
        bool branch = i > 0; /* an elif's test lies within the branch of what failed before */
        f->branches += branch;
        TRY(visit(f, n->kid[i]));
        f->branches -= branch;
    }
    return NX_OK;
}

static nx_status visit(frame *f, const jj_node *n)
{
    TRY(jj_steps(f->p->j, 1));
    switch (n->kind) {
    case JJ_N_NAME: return loaded(f, n->name);
    case JJ_N_IF: return visit_if(f, n);
    case JJ_N_FOR: return visit(f, n->b);
    case JJ_N_CALLBLOCK: return visit(f, n->a);
    case JJ_N_FILTERBLOCK: return visit(f, n->b);
    case JJ_N_SCOPE:
    case JJ_N_BLOCK:
    case JJ_N_AUTOESCAPE: return NX_OK;
    case JJ_N_SETBLOCK: return target(f, n->a);
    case JJ_N_MACRO: return stored(f, n->name);
    case JJ_N_WITH:
        for (uint32_t i = 1; i < n->n; i += 2) TRY(visit(f, n->kid[i]));
        return NX_OK;
    case JJ_N_SET: TRY(visit(f, n->b)); return target(f, n->a);
    case JJ_N_CALL: TRY(visit(f, n->a)); return visit_args(f, n->args);
    default: break;
    }
    if (n->a) TRY(visit(f, n->a));
    if (n->b) TRY(visit(f, n->b));
    if (n->c) TRY(visit(f, n->c));
    for (uint32_t i = 0; i < n->n; i++) TRY(visit(f, n->kid[i]));
    return visit_args(f, n->filter_args);
}

/* ---- Frames inside a frame ---- */

static nx_status inner(jj_parser *p, const frame *f, jj_node *n)
{
    switch (n->kind) {
    case JJ_N_FOR:
    case JJ_N_MACRO:
    case JJ_N_CALLBLOCK:
    case JJ_N_FILTERBLOCK:
    case JJ_N_SETBLOCK:
    case JJ_N_WITH:
    case JJ_N_SCOPE:
    case JJ_N_AUTOESCAPE: return analyse(p, f, n);
    case JJ_N_BLOCK: return analyse(p, n->flag ? f : NULL, n);
    case JJ_N_IF:
    case JJ_N_BODY:
        for (uint32_t i = 0; i < n->n; i++) TRY(inner(p, f, n->kid[i]));
        return NX_OK;
    default: return NX_OK;
    }
}

static nx_status remember(frame *f, jj_node *body)
{
    for (uint32_t i = 0; i < f->n; i++) body->n_hidden += f->hidden[i];
    if (body->n_hidden == 0) return NX_OK;
    body->hidden = jj_alloc(f->p->j, body->n_hidden, sizeof *body->hidden);
    if (!body->hidden) return f->p->j->err->status;
    for (uint32_t i = 0, k = 0; i < f->n; i++) {
        if (f->hidden[i]) body->hidden[k++] = f->name[i];
    }
    return NX_OK;
}

static nx_status one_body(frame *f, jj_node *body)
{
    TRY(visit(f, body));
    TRY(remember(f, body));
    return inner(f->p, f, body);
}

static nx_status macro_frame(frame *f, const jj_signature *s)
{
    for (uint32_t i = 0; s && i < s->n; i++) {
        TRY(define(f, s->name[i], false));
        if (s->preset[i]) TRY(visit(f, s->preset[i]));
    }
    return NX_OK;
}

static nx_status analyse(jj_parser *p, const frame *parent, jj_node *owner)
{
    frame f = {.p = p, .parent = parent}, other = {.p = p, .parent = parent};

    switch (owner->kind) {
    case JJ_N_BODY: return one_body(&f, owner);
    case JJ_N_FOR:
        if (owner->flag) TRY(define(&f, p->n_loop, false));
        TRY(parameter(&f, owner->a));
        TRY(one_body(&f, owner->kid[0]));
        return owner->n > 1 ? one_body(&other, owner->kid[1]) : NX_OK;
    case JJ_N_WITH:
        for (uint32_t i = 0; i < owner->n; i += 2) TRY(parameter(&f, owner->kid[i]));
        break;
    case JJ_N_MACRO:
    case JJ_N_CALLBLOCK: TRY(macro_frame(&f, owner->macro)); break;
    default: break;
    }
    return one_body(&f, owner->c);
}

nx_status jj_find_hidden(jj_parser *p, jj_node *root)
{
    return analyse(p, NULL, root);
}
