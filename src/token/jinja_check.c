/* jinja_check.c - what is wrong with a template wherever it runs, and who names the special names.
 *
 * A filter or test that nobody has is refused here unless it stands within an if, where it fails
 * only when it is reached, as in the original. Macros learn whether they use caller, kwargs or
 * varargs, loops whether their body names `loop`.
 */
#include "token/jinja_node.h"

typedef struct checker {
    jj_parser      *p;
    uint32_t        loop, caller, kwargs, varargs; /* names */
    jj_signature   *macro;                         /* around us, or NULL */
    jj_node        *for_body;                      /* whose body we are in, or NULL */
    bool            may_break, within_for, soft;
    struct checker *outer; /* of the surrounding macro or loop */
} checker;

static nx_status check(checker *c, jj_node *n);

static nx_status wrong(checker *c, const jj_node *n, const char *what, nx_str name)
{
    c->p->j->line = n->line;
    return jj_fail(c->p->j, NX_EFORMAT, "%s%.*s", what, (int)(name.len < 60 ? name.len : 60),
                   name.len ? name.p : "");
}

static void used(checker *c, uint32_t name)
{
    for (checker *s = c; s; s = s->outer) {
        if (name == c->loop && s->for_body) s->for_body->flag = true;
        if (s->macro && name == c->caller) s->macro->uses_caller = true;
        if (s->macro && name == c->kwargs) s->macro->uses_kwargs = true;
        if (s->macro && name == c->varargs) s->macro->uses_varargs = true;
    }
}

static nx_status check_args(checker *c, jj_args *a)
{
    if (!a) return NX_OK;
    for (uint32_t i = 0; i < a->n_pos; i++) TRY(check(c, a->pos[i]));
    for (uint32_t i = 0; i < a->n_kw; i++) TRY(check(c, a->kw_value[i]));
    if (a->star) TRY(check(c, a->star));
    return a->star_star ? check(c, a->star_star) : NX_OK;
}

static nx_status target(checker *c, jj_node *n)
{
    if (n->kind == JJ_N_NAME && n->name == c->loop && c->within_for) {
        return wrong(c, n, "can't assign to special loop variable in for-loop target", (nx_str){0});
    }
    for (uint32_t i = 0; i < n->n; i++) TRY(target(c, n->kid[i]));
    return NX_OK;
}

static nx_status check_for(checker *c, jj_node *n)
{
    checker in = *c, test = *c;

    test.within_for = true;
    test.soft = false;
    TRY(check(c, n->b));
    TRY(target(&test, n->a));
    if (n->c) TRY(check(&test, n->c));
    in.outer = c;
    in.macro = NULL;
    in.for_body = n;
    in.may_break = in.within_for = true;
    in.soft = false;
    n->flag = n->recursive;
    TRY(check(&in, n->kid[0]));
    test.may_break = c->may_break;
    return n->n > 1 ? check(&test, n->kid[1]) : NX_OK;
}

static nx_status check_macro(checker *c, jj_node *n)
{
    checker in = *c;

    in.outer = c;
    in.for_body = NULL;
    in.macro = n->kind == JJ_N_SCOPE ? NULL : n->macro;
    in.may_break = in.soft = false;
    for (uint32_t i = 0; in.macro && i < in.macro->n; i++) {
        uint32_t name = in.macro->name[i];
        in.macro->own_caller |= name == c->caller;
        in.macro->own_kwargs |= name == c->kwargs;
        in.macro->own_varargs |= name == c->varargs;
        if (name == c->caller && !in.macro->preset[i]) {
            return wrong(c, n, "the argument \"caller\" must be left out or be given a default",
                         (nx_str){0});
        }
        for (uint32_t k = 0; k < i; k++) {
            if (in.macro->name[k] == name)
                return wrong(c, n, "two arguments of one name", (nx_str){0});
        }
        TRY(jj_steps(c->p->j, i));
        if (in.macro->preset[i]) TRY(check(c, in.macro->preset[i]));
    }
    if (n->kind == JJ_N_MACRO && n->name == c->loop && c->within_for) return target(c, n);
    if (n->a) TRY(check(c, n->a));
    return check(&in, n->c);
}

static nx_status check_if(checker *c, jj_node *n)
{
    bool soft = c->soft;

    c->soft = true;
    for (uint32_t i = 0; i < n->n; i++) TRY(check(c, n->kid[i]));
    c->soft = soft;
    return NX_OK;
}

/* Statements whose body is a frame of its own. */
static nx_status check_frame(checker *c, jj_node *n)
{
    bool soft = c->soft, may_break = c->may_break;

    for (uint32_t i = 0; i < n->n; i++) { /* with: targets and values */
        TRY(i % 2 ? check(c, n->kid[i]) : target(c, n->kid[i]));
    }
    if (n->a) TRY(n->kind == JJ_N_SETBLOCK ? target(c, n->a) : check(c, n->a));
    c->soft = false;
    if (n->b) TRY(check(c, n->b));
    if (n->kind == JJ_N_BLOCK) c->may_break = false;
    TRY(check(c, n->c));
    c->soft = soft;
    c->may_break = may_break;
    return NX_OK;
}

static nx_status check_cond(checker *c, jj_node *n)
{
    bool soft = c->soft;

    c->soft = true;
    TRY(check(c, n->a));
    TRY(check(c, n->b));
    if (n->c) TRY(check(c, n->c));
    c->soft = soft;
    return NX_OK;
}

static nx_status check(checker *c, jj_node *n)
{
    switch (n->kind) {
    case JJ_N_NAME: used(c, n->name); return NX_OK;
    case JJ_N_FOR: return check_for(c, n);
    case JJ_N_MACRO:
    case JJ_N_CALLBLOCK:
    case JJ_N_SCOPE: return check_macro(c, n);
    case JJ_N_IF: return check_if(c, n);
    case JJ_N_COND: return check_cond(c, n);
    case JJ_N_SETBLOCK:
    case JJ_N_FILTERBLOCK:
    case JJ_N_WITH:
    case JJ_N_BLOCK:
    case JJ_N_AUTOESCAPE: return check_frame(c, n);
    case JJ_N_SET: TRY(check(c, n->b)); return target(c, n->a);
    case JJ_N_BREAK:
    case JJ_N_CONTINUE:
        return c->may_break ? NX_OK
                            : wrong(c, n, "break or continue outside of a loop", (nx_str){0});
    case JJ_N_FILTER:
        if (n->op < 0 && !c->soft) return wrong(c, n, "no filter named ", n->attr);
        break;
    case JJ_N_TEST:
        if (n->op < 0 && !c->soft) return wrong(c, n, "no test named ", n->attr);
        break;
    case JJ_N_CALL: TRY(check_args(c, n->args)); break;
    default: break;
    }
    TRY(check_args(c, n->filter_args));
    if (n->a) TRY(check(c, n->a));
    if (n->b) TRY(check(c, n->b));
    if (n->c) TRY(check(c, n->c));
    for (uint32_t i = 0; i < n->n; i++) TRY(check(c, n->kid[i]));
    return NX_OK;
}

nx_status jj_check(jj_parser *p, jj_node *root)
{
    checker c = {.p = p};

    TRY(jj_name_id(p, &c.loop, NX_STR("loop")));
    TRY(jj_name_id(p, &c.caller, NX_STR("caller")));
    TRY(jj_name_id(p, &c.kwargs, NX_STR("kwargs")));
    TRY(jj_name_id(p, &c.varargs, NX_STR("varargs")));
    p->n_loop = c.loop;
    return check(&c, root);
}
