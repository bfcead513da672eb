/* jinja_eval.c - expressions. */
#include "token/jinja_eval.h"

#include <string.h>

#include "token/jinja_print.h"

static nx_status eval(jj_eval *e, jj_val *out, const jj_node *n);

/* ---- Names ---- */

static nx_status name(jj_eval *e, jj_val *out, uint32_t id)
{
    const nx_str text = e->t->names[id];

    for (const jj_scope *s = e->scope; s; s = s->parent) {
        if (s->n > 16) TRY(jj_steps(e->j, s->n / 16));
        for (uint32_t i = s->n; i-- > 0;) {
            if (s->name[i] != id) continue;
            *out = s->v[i];
            if (out->type != JJ_MISSING) return NX_OK;
            goto undefined;
        }
    }
    *out = e->root[id];
    if (out->type != JJ_MISSING) return NX_OK;
undefined:
    return jj_undefined(e->j, out, "'%.*s' is undefined", (int)(text.len < 100 ? text.len : 100),
                        text.p);
}

/* ---- Arguments ---- */

static nx_status append_star(jj_eval *e, jj_call *c, const jj_node *n)
{
    jj_val v, *items, *pos;
    size_t n_items;

    TRY(eval(e, &v, n));
    TRY(jj_items_of(e->j, &v, &items, &n_items));
    pos = jj_alloc(e->j, c->n_pos + n_items, sizeof *pos);
    if (!pos) return e->j->err->status;
    if (c->n_pos) memcpy(pos, c->pos, c->n_pos * sizeof *pos);
    if (n_items) memcpy(pos + c->n_pos, items, n_items * sizeof *pos);
    c->pos = pos;
    c->n_pos += n_items;
    return NX_OK;
}

static nx_status append_keywords(jj_eval *e, jj_call *c, const jj_node *n, const jj_val *caller)
{
    size_t n_more = 0;
    jj_val v = JJ_VAL_NONE;

    if (n) {
        TRY(eval(e, &v, n));
        if (v.type != JJ_DICT) return jj_type_error(e->j, "argument after ** must be a mapping");
        n_more = v.dict->n;
    }
    nx_str *kw = jj_alloc(e->j, c->n_kw + n_more + 1, sizeof *kw);
    jj_val *value = jj_alloc(e->j, c->n_kw + n_more + 1, sizeof *value);
    if (!kw || !value) return e->j->err->status;
    for (size_t i = 0; i < c->n_kw; i++) {
        kw[i] = c->kw[i];
        value[i] = c->kw_value[i];
    }
    for (size_t i = 0; i < n_more; i++) {
        const jj_entry *entry = &v.dict->e[i];
        if (entry->key.type != JJ_STR) return jj_type_error(e->j, "keywords must be strings");
        for (size_t k = 0; k < c->n_kw; k++) {
            if (nx_str_eq(kw[k], jj_bytes(entry->key.s))) {
                return jj_type_error(e->j, "got multiple values for a keyword argument");
            }
        }
        kw[c->n_kw] = jj_bytes(entry->key.s);
        value[c->n_kw++] = entry->value;
    }
    if (caller) {
        kw[c->n_kw] = NX_STR("caller");
        value[c->n_kw++] = *caller;
    }
    c->kw = kw;
    c->kw_value = value;
    return NX_OK;
}

static nx_status arguments(jj_eval *e, jj_call *c, const jj_args *a, const jj_val *caller)
{
    static jj_val none[1]; /* never written: pos is a place even when nothing is there */

    *c = (jj_call){.pos = none};
    if (a && a->n_pos) {
        c->pos = jj_alloc(e->j, a->n_pos, sizeof *c->pos);
        if (!c->pos) return e->j->err->status;
        for (; c->n_pos < a->n_pos; c->n_pos++) TRY(eval(e, &c->pos[c->n_pos], a->pos[c->n_pos]));
    }
    if (a && a->star) TRY(append_star(e, c, a->star));
    if (a && a->n_kw) {
        c->kw = jj_alloc(e->j, a->n_kw, sizeof *c->kw);
        c->kw_value = jj_alloc(e->j, a->n_kw, sizeof *c->kw_value);
        if (!c->kw || !c->kw_value) return e->j->err->status;
        for (; c->n_kw < a->n_kw; c->n_kw++) {
            c->kw[c->n_kw] = e->t->names[a->kw[c->n_kw]];
            TRY(eval(e, &c->kw_value[c->n_kw], a->kw_value[c->n_kw]));
        }
    }
    if ((a && a->star_star) || caller) {
        return append_keywords(e, c, a ? a->star_star : NULL, caller);
    }
    return NX_OK;
}

static int param_index(const char *params, nx_str name)
{
    int i = 0;

    for (const char *p = params; *p; i++) {
        size_t n = strcspn(p, " ");
        if (nx_str_eq(name, (nx_str){p, n})) return i;
        p += n + (p[n] == ' ');
    }
    return -1;
}

static int n_params(const char *params)
{
    int n = *params != '\0';

    for (const char *p = params; *p; p++) n += *p == ' ';
    return n;
}

nx_status jj_bind(jj *j, const char *who, const char *params, int n_required, const jj_call *c,
                  jj_val arg[JJ_ARGS_MAX])
{
    const int n = n_params(params);

    for (int i = 0; i < JJ_ARGS_MAX; i++) arg[i] = JJ_VAL_MISSING;
    if (c->n_pos > (size_t)n) {
        return jj_type_error(j, "%s takes at most %d arguments, %zu are given", who, n, c->n_pos);
    }
    for (size_t i = 0; i < c->n_pos; i++) arg[i] = c->pos[i];
    for (size_t i = 0; i < c->n_kw; i++) {
        int at = param_index(params, c->kw[i]);
        if (at < 0 || arg[at].type != JJ_MISSING) {
            return jj_type_error(j, "%s: %s argument '%.*s'", who, at < 0 ? "no" : "twice the",
                                 (int)(c->kw[i].len < 60 ? c->kw[i].len : 60), c->kw[i].p);
        }
        arg[at] = c->kw_value[i];
    }
    for (int i = 0; i < n_required; i++) {
        if (arg[i].type != JJ_MISSING) continue;
        return jj_type_error(j, "%s needs %d arguments (%s)", who, n_required, params);
    }
    return NX_OK;
}

/* ---- Calls ---- */

nx_status jj_call_value(jj *j, jj_val *out, const jj_val *callee, const jj_call *c)
{
    jj_val arg[JJ_ARGS_MAX];

    TRY(jj_steps(j, 1));
    switch (callee->type) {
    case JJ_MACRO: return jj_macro_call(jj_eval_of(j), out, callee->macro, c);
    case JJ_FUNCTION: return jj_global_run(j, out, callee->function, c);
    case JJ_LOOP: return jj_loop_call(j, out, callee->loop, c);
    case JJ_METHOD: {
        const jj_method_def *def = callee->method->def;
        if (def->n_required >= 0) TRY(jj_bind(j, def->name, def->params, def->n_required, c, arg));
        return def->run(j, out, &callee->method->self, arg, c);
    }
    case JJ_JOINER:
        if (c->n_pos + c->n_kw) return jj_type_error(j, "a joiner takes no arguments");
        if (callee->joiner->used) {
            *out = callee->joiner->sep;
            return NX_OK;
        }
        callee->joiner->used = true;
        return jj_str_view(j, out, "", 0, false);
    case JJ_UNDEFINED: return jj_undefined_used(j, callee);
    default: return jj_type_error(j, "'%s' object is not callable", jj_type_name(callee));
    }
}

nx_status jj_eval_call(jj_eval *e, jj_val *out, const jj_node *n, const jj_val *caller)
{
    jj_val  callee;
    jj_call c;

    TRY(eval(e, &callee, n->a));
    TRY(arguments(e, &c, n->args, caller));
    e->j->line = n->line;
    return jj_call_value(e->j, out, &callee, &c);
}

/* block: what a filter block has written, or a set block; the innermost filter takes it. */
nx_status jj_eval_filter(jj_eval *e, jj_val *out, const jj_node *n, const jj_val *block)
{
    jj_val  in;
    jj_call c;

    TRY(jj_enter(e->j));
    if (n->a)
        TRY(block ? jj_eval_filter(e, &in, n->a, block) : eval(e, &in, n->a));
    else
        in = *block;
    TRY(arguments(e, &c, n->filter_args, NULL));
    e->j->line = n->line;
    if (n->op < 0) {
        return jj_fail(e->j, NX_EINVAL, "no filter named %.*s",
                       (int)(n->attr.len < 60 ? n->attr.len : 60), n->attr.p);
    }
    jj_leave(e->j);
    return jj_filter_run(e->j, out, n->op, &in, &c);
}

static nx_status test(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_val  in;
    jj_call c;
    bool    yes = false;

    TRY(eval(e, &in, n->a));
    TRY(arguments(e, &c, n->filter_args, NULL));
    e->j->line = n->line;
    if (n->op < 0) {
        return jj_fail(e->j, NX_EINVAL, "no test named %.*s",
                       (int)(n->attr.len < 60 ? n->attr.len : 60), n->attr.p);
    }
    TRY(jj_test_run(e->j, &yes, n->op, &in, &c));
    *out = jj_bool(yes);
    return NX_OK;
}

/* ---- Literals ---- */

static nx_status list(jj_eval *e, jj_val *out, const jj_node *n)
{
    TRY(jj_list_new(e->j, out, n->kind == JJ_N_LIST ? JJ_LIST : JJ_TUPLE, n->n));
    jj_val *v = out->list->v;
    for (uint32_t i = 0; i < n->n; i++) TRY(eval(e, &v[i], n->kid[i]));
    return NX_OK;
}

static nx_status dict(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_val d, key, value;

    TRY(jj_dict_new(e->j, &d));
    for (uint32_t i = 0; i < n->n; i += 2) {
        TRY(eval(e, &key, n->kid[i]));
        TRY(eval(e, &value, n->kid[i + 1]));
        TRY(jj_dict_set(e->j, d.dict, key, value));
    }
    *out = d;
    return NX_OK;
}

/* ---- Logic ---- */

static nx_status compare_one(jj_eval *e, int op, const jj_val *a, const jj_val *b, bool *out)
{
    switch (op) {
    case JJ_OP_EQ:
    case JJ_OP_NE:
        TRY(jj_equal(e->j, a, b, out));
        *out ^= op == JJ_OP_NE;
        return NX_OK;
    case JJ_OP_IN:
    case JJ_OP_NOT_IN:
        TRY(jj_contains(e->j, b, a, out));
        *out ^= op == JJ_OP_NOT_IN;
        return NX_OK;
    default: return jj_order(e->j, op, a, b, out);
    }
}

nx_status jj_order(jj *j, int op, const jj_val *a, const jj_val *b, bool *out)
{
    bool equal = false;

    switch (op) {
    case '<': return jj_less(j, a, b, "<", out);
    case '>': return jj_less(j, b, a, ">", out);
    case JJ_OP_LE: TRY(jj_less(j, a, b, "<=", out)); break;
    default: TRY(jj_less(j, b, a, ">=", out)); break;
    }
    if (!*out) TRY(jj_equal(j, a, b, &equal));
    *out |= equal;
    return NX_OK;
}

static nx_status compare(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_val left, right;
    bool   yes = true;

    TRY(eval(e, &left, n->a));
    for (uint32_t i = 0; i < n->n && yes; i++) {
        TRY(eval(e, &right, n->kid[i]));
        e->j->line = n->line;
        TRY(compare_one(e, n->ops[i], &left, &right, &yes));
        left = right;
    }
    *out = jj_bool(yes);
    return NX_OK;
}

static nx_status either(jj_eval *e, jj_val *out, const jj_node *n)
{
    TRY(eval(e, out, n->a));
    if (jj_truth(out) == (n->kind == JJ_N_OR)) return NX_OK;
    return eval(e, out, n->b);
}

static nx_status condition(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_val yes;

    TRY(eval(e, &yes, n->b));
    if (jj_truth(&yes)) return eval(e, out, n->a);
    if (n->c) return eval(e, out, n->c);
    return jj_undefined(e->j, out,
                        "the inline if-expression on line %u evaluated to false and no else "
                        "section was defined.",
                        (unsigned)n->line);
}

static nx_status concat(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_out o = {.j = e->j};
    jj_val part;

    for (uint32_t i = 0; i < n->n; i++) {
        TRY(eval(e, &part, n->kid[i]));
        jj_put_val(&o, &part);
    }
    return jj_out_str(&o, out);
}

static nx_status item(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_val of, at[3];

    TRY(eval(e, &of, n->a));
    if (n->b->kind != JJ_N_SLICE) {
        TRY(eval(e, &at[0], n->b));
        e->j->line = n->line;
        return jj_item(e->j, out, &of, &at[0]);
    }
    const jj_node *part[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++) {
        at[i] = JJ_VAL_NONE;
        if (part[i]) TRY(eval(e, &at[i], part[i]));
    }
    e->j->line = n->line;
    return jj_slice(e->j, out, &of, &at[0], &at[1], &at[2]);
}

static nx_status binary(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_val a, b;

    TRY(eval(e, &a, n->a));
    TRY(eval(e, &b, n->b));
    e->j->line = n->line;
    return jj_binary(e->j, out, n->op, &a, &b);
}

static nx_status unary(jj_eval *e, jj_val *out, const jj_node *n)
{
    jj_val a;

    TRY(eval(e, &a, n->a));
    e->j->line = n->line;
    if (n->kind == JJ_N_UNARY) return jj_unary(e->j, out, n->op, &a);
    if (n->kind == JJ_N_ATTR) return jj_attr(e->j, out, &a, n->attr);
    *out = jj_bool(!jj_truth(&a));
    return NX_OK;
}

static nx_status eval_kind(jj_eval *e, jj_val *out, const jj_node *n)
{
    switch (n->kind) {
    case JJ_N_LIST:
    case JJ_N_TUPLE: return list(e, out, n);
    case JJ_N_DICT: return dict(e, out, n);
    case JJ_N_COND: return condition(e, out, n);
    case JJ_N_OR:
    case JJ_N_AND: return either(e, out, n);
    case JJ_N_NOT:
    case JJ_N_UNARY:
    case JJ_N_ATTR: return unary(e, out, n);
    case JJ_N_COMPARE: return compare(e, out, n);
    case JJ_N_BINARY: return binary(e, out, n);
    case JJ_N_CONCAT: return concat(e, out, n);
    case JJ_N_ITEM: return item(e, out, n);
    case JJ_N_CALL: return jj_eval_call(e, out, n, NULL);
    case JJ_N_FILTER: return jj_eval_filter(e, out, n, NULL);
    case JJ_N_TEST: return test(e, out, n);
    default: return jj_fail(e->j, NX_EINVAL, "a slice has no value of its own");
    }
}

static nx_status eval(jj_eval *e, jj_val *out, const jj_node *n)
{
    TRY(jj_steps(e->j, 1));
    if (n->kind == JJ_N_CONST) {
        *out = n->value;
        return NX_OK;
    }
    if (n->kind == JJ_N_NAME) {
        e->j->line = n->line;
        return name(e, out, n->name);
    }
    TRY(jj_enter(e->j));
    TRY(eval_kind(e, out, n));
    jj_leave(e->j);
    return NX_OK;
}

nx_status jj_eval_node(jj_eval *e, jj_val *out, const jj_node *n)
{
    return eval(e, out, n);
}
