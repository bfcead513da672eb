/* jinja_expr.c - the parser's half for expressions, in jinja2's order of precedence. */
#include <string.h>

#include "token/jinja_call.h"
#include "token/jinja_node.h"

static nx_status expression(jj_parser *p, jj_node **out, bool with_condition);
static nx_status unary(jj_parser *p, jj_node **out, bool with_filter);

/* ---- Small tools ---- */

static const jj_tok *cur(const jj_parser *p)
{
    return &p->tok[p->at];
}

static nx_status node(jj_parser *p, jj_node **out, jj_kind kind, uint32_t line, jj_node *a,
                      jj_node *b)
{
    *out = jj_node_new(p, kind, line);
    if (!*out) return p->j->err->status;
    (*out)->a = a;
    (*out)->b = b;
    return jj_node_done(p, *out);
}

static nx_status listed(jj_parser *p, jj_node **out, jj_kind kind, uint32_t line, jj_nodes l)
{
    *out = jj_node_new(p, kind, line);
    if (!*out) return p->j->err->status;
    (*out)->kid = l.v;
    (*out)->n = l.n;
    return jj_node_done(p, *out);
}

static nx_status constant(jj_parser *p, jj_node **out, uint32_t line, jj_val v)
{
    TRY(node(p, out, JJ_N_CONST, line, NULL, NULL));
    (*out)->value = v;
    return NX_OK;
}

/* ---- Primaries ---- */

static nx_status name(jj_parser *p, jj_node **out, bool namespace)
{
    const jj_tok *t = cur(p);
    nx_str        s = t->text;

    p->at++;
    if (nx_str_eq(s, NX_STR("true")) || nx_str_eq(s, NX_STR("True")))
        return constant(p, out, t->line, jj_bool(true));
    if (nx_str_eq(s, NX_STR("false")) || nx_str_eq(s, NX_STR("False")))
        return constant(p, out, t->line, jj_bool(false));
    if (nx_str_eq(s, NX_STR("none")) || nx_str_eq(s, NX_STR("None")))
        return constant(p, out, t->line, JJ_VAL_NONE);
    bool is_ref = namespace && jj_skip_op(p, '.');
    TRY(node(p, out, is_ref ? JJ_N_NSREF : JJ_N_NAME, t->line, NULL, NULL));
    TRY(jj_name_id(p, &(*out)->name, s));
    if (!is_ref) return NX_OK;
    if (cur(p)->type != JJ_TOK_NAME) return jj_expected(p, "a name");
    (*out)->attr = p->tok[p->at++].text;
    return NX_OK;
}

/* Strings side by side are one. */
static nx_status string(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_out   o = {.j = p->j};
    jj_val   v;

    if (p->tok[p->at + 1].type != JJ_TOK_STRING) {
        TRY(jj_str_view(p->j, &v, cur(p)->text.p, cur(p)->text.len, false));
        p->at++;
        return constant(p, out, line, v);
    }
    for (; cur(p)->type == JJ_TOK_STRING; p->at++)
        jj_put(&o, cur(p)->text.p, cur(p)->text.len, false);
    TRY(jj_out_str(&o, &v));
    return constant(p, out, line, v);
}

static nx_status list(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_nodes l = {0};
    jj_node *item;

    p->at++;
    while (!jj_is_op(p, ']')) {
        if (l.n) TRY(jj_want_op(p, ','));
        if (jj_is_op(p, ']')) break;
        TRY(expression(p, &item, true));
        TRY(jj_nodes_add(p, &l, item));
    }
    TRY(jj_want_op(p, ']'));
    return listed(p, out, JJ_N_LIST, line, l);
}

static nx_status dict(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_nodes l = {0};
    jj_node *item;

    p->at++;
    while (!jj_is_op(p, '}')) {
        if (l.n) TRY(jj_want_op(p, ','));
        if (jj_is_op(p, '}')) break;
        TRY(expression(p, &item, true));
        TRY(jj_nodes_add(p, &l, item));
        TRY(jj_want_op(p, ':'));
        TRY(expression(p, &item, true));
        TRY(jj_nodes_add(p, &l, item));
    }
    TRY(jj_want_op(p, '}'));
    return listed(p, out, JJ_N_DICT, line, l);
}

static nx_status primary(jj_parser *p, jj_node **out, bool namespace)
{
    const jj_tok *t = cur(p);

    switch (t->type) {
    case JJ_TOK_NAME: return name(p, out, namespace);
    case JJ_TOK_STRING: return string(p, out);
    case JJ_TOK_INTEGER:
    case JJ_TOK_FLOAT: p->at++; return constant(p, out, t->line, t->number);
    default: break;
    }
    if (jj_skip_op(p, '(')) {
        TRY(jj_enter(p->j));
        TRY(jj_parse_tuple(p, out, (jj_tuple_how){.parens = true}));
        jj_leave(p->j);
        return jj_want_op(p, ')');
    }
    if (jj_is_op(p, '[')) return list(p, out);
    if (jj_is_op(p, '{')) return dict(p, out);
    return jj_expected(p, "an expression");
}

/* ---- Postfixes: .name [item] (call) |filter is test ---- */

static nx_status maybe(jj_parser *p, jj_node **out)
{
    *out = NULL;
    if (jj_is_op(p, ':') || jj_is_op(p, ']') || jj_is_op(p, ',')) return NX_OK;
    return expression(p, out, true);
}

static nx_status subscribed(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_node *from = NULL, *to = NULL, *step = NULL;

    if (!jj_is_op(p, ':')) TRY(expression(p, &from, true));
    if (!jj_skip_op(p, ':')) {
        *out = from;
        return NX_OK;
    }
    TRY(maybe(p, &to));
    if (jj_skip_op(p, ':')) TRY(maybe(p, &step));
    TRY(node(p, out, JJ_N_SLICE, line, from, to));
    (*out)->c = step;
    return jj_node_done(p, *out);
}

static nx_status subscript(jj_parser *p, jj_node **out, jj_node *of)
{
    const uint32_t line = cur(p)->line;
    jj_nodes       l = {0};
    jj_node       *item;

    if (jj_skip_op(p, '.')) {
        const jj_tok *t = &p->tok[p->at];
        if (t->type == JJ_TOK_NAME) {
            p->at++;
            TRY(node(p, out, JJ_N_ATTR, line, of, NULL));
            (*out)->attr = t->text;
            return NX_OK;
        }
        if (t->type != JJ_TOK_INTEGER) return jj_expected(p, "a name or a number");
        p->at++;
        TRY(constant(p, &item, t->line, t->number));
        return node(p, out, JJ_N_ITEM, line, of, item);
    }
    p->at++;
    while (!jj_is_op(p, ']')) {
        if (l.n) TRY(jj_want_op(p, ','));
        TRY(subscribed(p, &item));
        TRY(jj_nodes_add(p, &l, item));
    }
    TRY(jj_want_op(p, ']'));
    if (l.n != 1) TRY(listed(p, &item, JJ_N_TUPLE, line, l));
    return node(p, out, JJ_N_ITEM, line, of, l.n == 1 ? l.v[0] : item);
}

static nx_status bad_call(jj_parser *p, uint32_t line)
{
    p->j->line = line;
    return jj_fail(p->j, NX_EFORMAT, "invalid syntax for function call expression");
}

/* name=value */
static nx_status keyword(jj_parser *p, jj_args *a, jj_nodes *names, jj_nodes *values)
{
    jj_node *key, *value;

    key = jj_node_new(p, JJ_N_NAME, cur(p)->line);
    if (!key) return p->j->err->status;
    TRY(jj_name_id(p, &key->name, cur(p)->text));
    for (uint32_t i = 0; i < names->n; i++) {
        if (names->v[i]->name != key->name) continue;
        p->j->line = cur(p)->line;
        return jj_fail(p->j, NX_EFORMAT, "keyword argument repeated: %.*s", (int)cur(p)->text.len,
                       cur(p)->text.p);
    }
    p->at += 2;
    TRY(expression(p, &value, true));
    TRY(jj_nodes_add(p, names, key));
    TRY(jj_steps(p->j, names->n));
    a->n_kw = names->n;
    return jj_nodes_add(p, values, value);
}

static nx_status argument(jj_parser *p, jj_args *a, jj_nodes *pos, jj_nodes *names,
                          jj_nodes *values, uint32_t line)
{
    jj_node *value;

    if (jj_skip_op(p, '*')) {
        if (a->star || a->star_star) return bad_call(p, line);
        return expression(p, &a->star, true);
    }
    if (jj_skip_op(p, JJ_OP_POW)) {
        if (a->star_star) return bad_call(p, line);
        return expression(p, &a->star_star, true);
    }
    const jj_tok *next = cur(p)->type == JJ_TOK_EOF ? cur(p) : &p->tok[p->at + 1];
    if (cur(p)->type == JJ_TOK_NAME && next->type == JJ_TOK_OPERATOR && next->op == '=') {
        if (a->star_star) return bad_call(p, line);
        return keyword(p, a, names, values);
    }
    if (a->star || a->star_star || names->n) return bad_call(p, line);
    TRY(expression(p, &value, true));
    return jj_nodes_add(p, pos, value);
}

static nx_status call_args(jj_parser *p, jj_args **out)
{
    const uint32_t line = cur(p)->line;
    jj_nodes       pos = {0}, names = {0}, values = {0};
    bool           first = true;
    jj_args       *a = jj_alloc(p->j, 1, sizeof *a);

    if (!a) return p->j->err->status;
    TRY(jj_want_op(p, '('));
    for (; !jj_is_op(p, ')'); first = false) {
        if (!first) TRY(jj_want_op(p, ','));
        if (!first && jj_is_op(p, ')')) break;
        TRY(argument(p, a, &pos, &names, &values, line));
    }
    TRY(jj_want_op(p, ')'));
    a->pos = pos.v;
    a->n_pos = pos.n;
    a->kw_value = values.v;
    a->kw = jj_alloc(p->j, names.n, sizeof *a->kw);
    if (!a->kw) return p->j->err->status;
    for (uint32_t i = 0; i < names.n; i++) a->kw[i] = names.v[i]->name;
    *out = a;
    return NX_OK;
}

static nx_status call(jj_parser *p, jj_node **out, jj_node *of)
{
    uint32_t line = cur(p)->line;
    jj_args *args;

    TRY(call_args(p, &args));
    TRY(node(p, out, JJ_N_CALL, line, of, NULL));
    (*out)->args = args;
    return jj_node_done(p, *out);
}

static nx_status postfix(jj_parser *p, jj_node **out, jj_node *of)
{
    for (;;) {
        if (jj_is_op(p, '.') || jj_is_op(p, '['))
            TRY(subscript(p, &of, of));
        else if (jj_is_op(p, '('))
            TRY(call(p, &of, of));
        else
            break;
    }
    *out = of;
    return NX_OK;
}

/* name or name.name of a filter or test */
static nx_status dotted(jj_parser *p, nx_str *out)
{
    if (cur(p)->type != JJ_TOK_NAME) return jj_expected(p, "a name");
    *out = p->tok[p->at++].text;
    while (jj_skip_op(p, '.')) {
        if (cur(p)->type != JJ_TOK_NAME) return jj_expected(p, "a name");
        *out = NX_STR("?.?"); /* nothing has a dot in its name */
        p->at++;
    }
    return NX_OK;
}

nx_status jj_parse_filters(jj_parser *p, jj_node **out, jj_node *inner, bool at_name)
{
    while (at_name || jj_is_op(p, '|')) {
        jj_args *args = NULL;
        nx_str   filter;
        if (!at_name) p->at++;
        uint32_t line = cur(p)->line;
        TRY(dotted(p, &filter));
        if (jj_is_op(p, '(')) TRY(call_args(p, &args));
        TRY(node(p, &inner, JJ_N_FILTER, line, inner, NULL));
        inner->attr = filter;
        inner->op = jj_filter_find(filter);
        inner->filter_args = args;
        TRY(jj_node_done(p, inner));
        at_name = false;
    }
    *out = inner;
    return NX_OK;
}

static bool begins_argument(const jj_parser *p)
{
    const jj_tok *t = cur(p);

    if (t->type == JJ_TOK_NAME) {
        return !jj_is_word(p, "else") && !jj_is_word(p, "or") && !jj_is_word(p, "and");
    }
    return t->type == JJ_TOK_STRING || t->type == JJ_TOK_INTEGER || t->type == JJ_TOK_FLOAT ||
           jj_is_op(p, '[') || jj_is_op(p, '{');
}

static nx_status test(jj_parser *p, jj_node **out, jj_node *of)
{
    uint32_t line = cur(p)->line;
    jj_args *args = NULL;
    jj_node *arg;
    nx_str   which;

    p->at++;
    bool negated = jj_skip_word(p, "not");
    TRY(dotted(p, &which));
    if (jj_is_op(p, '(')) {
        TRY(call_args(p, &args));
    } else if (begins_argument(p)) {
        if (jj_is_word(p, "is")) {
            p->j->line = cur(p)->line;
            return jj_fail(p->j, NX_EFORMAT, "You cannot chain multiple tests with is");
        }
        args = jj_alloc(p->j, 1, sizeof *args);
        if (args) args->pos = jj_alloc(p->j, 1, sizeof *args->pos);
        if (!args || !args->pos) return p->j->err->status;
        TRY(primary(p, &arg, false));
        TRY(postfix(p, &arg, arg));
        args->pos[args->n_pos++] = arg;
    }
    TRY(node(p, out, JJ_N_TEST, line, of, NULL));
    (*out)->attr = which;
    (*out)->op = jj_test_find(which);
    (*out)->filter_args = args;
    TRY(jj_node_done(p, *out));
    return negated ? node(p, out, JJ_N_NOT, line, *out, NULL) : NX_OK;
}

static nx_status filter_expr(jj_parser *p, jj_node **out, jj_node *of)
{
    for (;;) {
        if (jj_is_op(p, '|'))
            TRY(jj_parse_filters(p, &of, of, false));
        else if (jj_is_word(p, "is"))
            TRY(test(p, &of, of));
        else if (jj_is_op(p, '('))
            TRY(call(p, &of, of));
        else
            break;
    }
    *out = of;
    return NX_OK;
}

/* ---- Operators, the tightest first ---- */

static nx_status unary(jj_parser *p, jj_node **out, bool with_filter)
{
    const uint32_t line = cur(p)->line;
    jj_node       *n;

    TRY(jj_enter(p->j));
    if (jj_is_op(p, '-') || jj_is_op(p, '+')) {
        int      op = cur(p)->op;
        jj_node *inner;
        p->at++;
        TRY(unary(p, &inner, false));
        TRY(node(p, &n, JJ_N_UNARY, line, inner, NULL));
        n->op = op;
    } else {
        TRY(primary(p, &n, false));
    }
    TRY(postfix(p, &n, n));
    if (with_filter) TRY(filter_expr(p, &n, n));
    jj_leave(p->j);
    *out = n;
    return NX_OK;
}

static nx_status binary(jj_parser *p, jj_node **left, uint32_t line, int op, jj_node *right)
{
    TRY(node(p, left, JJ_N_BINARY, line, *left, right));
    (*left)->op = op;
    return NX_OK;
}

static nx_status power(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_node *right;

    TRY(unary(p, out, true));
    while (jj_skip_op(p, JJ_OP_POW)) {
        TRY(unary(p, &right, true));
        TRY(binary(p, out, line, JJ_OP_POW, right));
    }
    return NX_OK;
}

static nx_status product(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_node *right;

    TRY(power(p, out));
    while (jj_is_op(p, '*') || jj_is_op(p, '/') || jj_is_op(p, '%') ||
           jj_is_op(p, JJ_OP_FLOORDIV)) {
        int op = p->tok[p->at++].op;
        TRY(power(p, &right));
        TRY(binary(p, out, line, op, right));
    }
    return NX_OK;
}

static nx_status concat(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_nodes l = {0};
    jj_node *part;

    TRY(product(p, out));
    if (!jj_is_op(p, '~')) return NX_OK;
    TRY(jj_nodes_add(p, &l, *out));
    while (jj_skip_op(p, '~')) {
        TRY(product(p, &part));
        TRY(jj_nodes_add(p, &l, part));
    }
    return listed(p, out, JJ_N_CONCAT, line, l);
}

static nx_status sum(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_node *right;

    TRY(concat(p, out));
    while (jj_is_op(p, '+') || jj_is_op(p, '-')) {
        int op = p->tok[p->at++].op;
        TRY(concat(p, &right));
        TRY(binary(p, out, line, op, right));
    }
    return NX_OK;
}

/* The comparison that stands here, 0: none. */
static int comparison(jj_parser *p)
{
    const jj_tok *t = cur(p);

    if (t->type == JJ_TOK_OPERATOR &&
        (t->op == '<' || t->op == '>' || (t->op >= JJ_OP_EQ && t->op <= JJ_OP_LE))) {
        p->at++;
        return t->op;
    }
    if (jj_skip_word(p, "in")) return JJ_OP_IN;
    if (!jj_is_word(p, "not")) return 0;
    p->at++;
    if (jj_skip_word(p, "in")) return JJ_OP_NOT_IN;
    p->at--;
    return 0;
}

static nx_status compare(jj_parser *p, jj_node **out)
{
    const uint32_t line = cur(p)->line;
    jj_nodes       l = {0};
    jj_node       *first, *right;
    int           *ops = NULL;
    uint32_t       cap = 0;

    TRY(sum(p, &first));
    for (int op; (op = comparison(p));) {
        if (l.n == cap) {
            int *grown = jj_alloc(p->j, cap ? 2 * cap : 2, sizeof *grown);
            if (!grown) return p->j->err->status;
            if (l.n) memcpy(grown, ops, l.n * sizeof *grown);
            ops = grown;
            cap = cap ? 2 * cap : 2;
        }
        ops[l.n] = op;
        TRY(sum(p, &right));
        TRY(jj_nodes_add(p, &l, right));
    }
    *out = first;
    if (l.n == 0) return NX_OK;
    TRY(listed(p, out, JJ_N_COMPARE, line, l));
    (*out)->a = first;
    (*out)->ops = ops;
    return jj_node_done(p, *out);
}

static nx_status not_(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_node *inner;

    if (!jj_skip_word(p, "not")) return compare(p, out);
    TRY(jj_enter(p->j));
    TRY(not_(p, &inner));
    jj_leave(p->j);
    return node(p, out, JJ_N_NOT, line, inner, NULL);
}

static nx_status and_(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_node *right;

    TRY(not_(p, out));
    while (jj_skip_word(p, "and")) {
        TRY(not_(p, &right));
        TRY(node(p, out, JJ_N_AND, line, *out, right));
    }
    return NX_OK;
}

static nx_status or_(jj_parser *p, jj_node **out)
{
    uint32_t line = cur(p)->line;
    jj_node *right;

    TRY(and_(p, out));
    while (jj_skip_word(p, "or")) {
        TRY(and_(p, &right));
        TRY(node(p, out, JJ_N_OR, line, *out, right));
    }
    return NX_OK;
}

static nx_status expression(jj_parser *p, jj_node **out, bool with_condition)
{
    uint32_t line = cur(p)->line;
    jj_node *test_node, *other;

    TRY(jj_enter(p->j));
    TRY(or_(p, out));
    while (with_condition && jj_skip_word(p, "if")) {
        TRY(or_(p, &test_node));
        other = NULL;
        if (jj_skip_word(p, "else")) TRY(expression(p, &other, true));
        TRY(node(p, out, JJ_N_COND, line, *out, test_node));
        (*out)->c = other;
        TRY(jj_node_done(p, *out));
    }
    jj_leave(p->j);
    return NX_OK;
}

nx_status jj_parse_expr(jj_parser *p, jj_node **out)
{
    return expression(p, out, true);
}

/* ---- Tuples and targets ---- */

static bool tuple_ends(const jj_parser *p, const char *end)
{
    const jj_tok *t = cur(p);

    return t->type == JJ_TOK_VAR_END || t->type == JJ_TOK_BLOCK_END || jj_is_op(p, ')') ||
           (end && jj_is_word(p, end));
}

nx_status jj_parse_tuple(jj_parser *p, jj_node **out, jj_tuple_how how)
{
    const uint32_t line = cur(p)->line;
    jj_nodes       l = {0};
    jj_node       *item;
    bool           is_tuple = false;

    for (;;) {
        if (l.n) TRY(jj_want_op(p, ','));
        if (tuple_ends(p, how.end)) break;
        if (how.simple)
            TRY(primary(p, &item, how.namespace));
        else
            TRY(expression(p, &item, !how.no_condition));
        TRY(jj_nodes_add(p, &l, item));
        if (!jj_is_op(p, ',')) break;
        is_tuple = true;
    }
    if (!is_tuple && l.n) {
        *out = l.v[0];
        return NX_OK;
    }
    if (!is_tuple && !how.parens) return jj_expected(p, "an expression");
    return listed(p, out, JJ_N_TUPLE, line, l);
}

static nx_status can_assign(jj_parser *p, const jj_node *n)
{
    if (n->kind == JJ_N_NAME || n->kind == JJ_N_NSREF) return NX_OK;
    if (n->kind != JJ_N_TUPLE) {
        p->j->line = n->line;
        return jj_fail(p->j, NX_EFORMAT, "can't assign to this: expected a name, or several");
    }
    for (uint32_t i = 0; i < n->n; i++) TRY(can_assign(p, n->kid[i]));
    return NX_OK;
}

nx_status jj_parse_target(jj_parser *p, jj_node **out, bool namespace, const char *end)
{
    TRY(jj_parse_tuple(p, out, (jj_tuple_how){.simple = true, .namespace = namespace, .end = end}));
    return can_assign(p, *out);
}
