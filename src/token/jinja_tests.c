/* jinja_tests.c - what may stand behind `is`. */
#include "token/jinja_call.h"
#include "token/jinja_lex.h"
#include "token/jinja_print.h"
#include "token/jinja_str.h"

#define TEST(name) static nx_status name(jj *j, bool *out, const jj_val *in, const jj_val *arg)
#define UNUSED     (void)j, (void)in, (void)arg

#define IS(name, what)                                                                             \
    TEST(name)                                                                                     \
    {                                                                                              \
        UNUSED;                                                                                    \
        *out = (what);                                                                             \
        return NX_OK;                                                                              \
    }
IS(defined, in->type != JJ_UNDEFINED)
IS(undefined, in->type == JJ_UNDEFINED)
IS(none, in->type == JJ_NONE)
IS(boolean, in->type == JJ_BOOL)
IS(true_, in->type == JJ_BOOL && in->b)
IS(false_, in->type == JJ_BOOL && !in->b)
IS(integer, in->type == JJ_INT || in->type == JJ_BIG)
IS(float_, in->type == JJ_FLOAT)
IS(string, in->type == JJ_STR)
IS(mapping, in->type == JJ_DICT)
IS(number, jj_is_number(in))
IS(escaped, in->type == JJ_STR && in->s->markup)
IS(iterable, jj_iterable(in))
IS(sequence, in->type == JJ_STR || in->type == JJ_LIST || in->type == JJ_TUPLE ||
                 in->type == JJ_DICT || in->type == JJ_RANGE || in->type == JJ_UNDEFINED)
IS(callable, in->type == JJ_MACRO || in->type == JJ_FUNCTION || in->type == JJ_METHOD ||
                 in->type == JJ_LOOP || in->type == JJ_JOINER || in->type == JJ_UNDEFINED)
IS(filter, in->type == JJ_STR && jj_filter_find(jj_bytes(in->s)) >= 0)
IS(test, in->type == JJ_STR && jj_test_find(jj_bytes(in->s)) >= 0)

static nx_status remainder_is(jj *j, bool *out, const jj_val *in, const jj_val *by, int64_t want)
{
    const jj_val want_v = jj_int(want);
    jj_val       rest;

    TRY(jj_binary(j, &rest, '%', in, by));
    return jj_equal(j, &rest, &want_v, out);
}

TEST(odd)
{
    const jj_val two = jj_int(2);

    UNUSED;
    return remainder_is(j, out, in, &two, 1);
}

TEST(even)
{
    const jj_val two = jj_int(2);

    UNUSED;
    return remainder_is(j, out, in, &two, 0);
}

TEST(divisibleby)
{
    return remainder_is(j, out, in, &arg[0], 0);
}

static nx_status all_case(jj *j, bool *out, const jj_val *in, unsigned flag)
{
    jj_val s;

    TRY(jj_to_str(j, &s, in));
    TRY(jj_work(j, 4 * (size_t)s.s->len));
    *out = jj_all_case(s.s, flag);
    return NX_OK;
}

TEST(lower)
{
    UNUSED;
    return all_case(j, out, in, JJ_LOWER);
}

TEST(upper)
{
    UNUSED;
    return all_case(j, out, in, JJ_UPPER);
}

TEST(sameas)
{
    UNUSED;
    *out = false;
    if (in->type != arg[0].type) return NX_OK;
    switch (in->type) {
    case JJ_NONE: *out = true; return NX_OK;
    case JJ_BOOL: *out = in->b == arg[0].b; return NX_OK;
    case JJ_INT: *out = in->i == arg[0].i; return NX_OK;
    case JJ_STR: *out = jj_str_eq(in->s, arg[0].s); return NX_OK;
    default: *out = in->dict == arg[0].dict; return NX_OK;
    }
}

TEST(in_)
{
    return jj_contains(j, &arg[0], in, out);
}

TEST(eq)
{
    return jj_equal(j, in, &arg[0], out);
}

TEST(ne)
{
    TRY(jj_equal(j, in, &arg[0], out));
    *out = !*out;
    return NX_OK;
}

TEST(lt)
{
    return jj_order(j, '<', in, &arg[0], out);
}

TEST(gt)
{
    return jj_order(j, '>', in, &arg[0], out);
}

TEST(le)
{
    return jj_order(j, JJ_OP_LE, in, &arg[0], out);
}

TEST(ge)
{
    return jj_order(j, JJ_OP_GE, in, &arg[0], out);
}

static const struct {
    const char *name;
    int         n_args;
    nx_status (*run)(jj *j, bool *out, const jj_val *in, const jj_val *arg);
} tests[] = {
    {"odd", 0, odd},
    {"even", 0, even},
    {"divisibleby", 1, divisibleby},
    {"defined", 0, defined},
    {"undefined", 0, undefined},
    {"filter", 0, filter},
    {"test", 0, test},
    {"none", 0, none},
    {"boolean", 0, boolean},
    {"false", 0, false_},
    {"true", 0, true_},
    {"integer", 0, integer},
    {"float", 0, float_},
    {"lower", 0, lower},
    {"upper", 0, upper},
    {"string", 0, string},
    {"mapping", 0, mapping},
    {"number", 0, number},
    {"sequence", 0, sequence},
    {"iterable", 0, iterable},
    {"callable", 0, callable},
    {"sameas", 1, sameas},
    {"escaped", 0, escaped},
    {"in", 1, in_},
    {"==", 1, eq},
    {"eq", 1, eq},
    {"equalto", 1, eq},
    {"!=", 1, ne},
    {"ne", 1, ne},
    {">", 1, gt},
    {"gt", 1, gt},
    {"greaterthan", 1, gt},
    {"ge", 1, ge},
    {">=", 1, ge},
    {"<", 1, lt},
    {"lt", 1, lt},
    {"lessthan", 1, lt},
    {"<=", 1, le},
    {"le", 1, le},
};

int jj_test_find(nx_str name)
{
    for (int i = 0; i < (int)(sizeof tests / sizeof *tests); i++) {
        if (nx_str_eq(name, nx_str_of(tests[i].name))) return i;
    }
    return -1;
}

nx_status jj_test_run(jj *j, bool *out, int which, const jj_val *in, const jj_call *c)
{
    jj_val arg[JJ_ARGS_MAX];

    TRY(jj_steps(j, 1));
    TRY(jj_bind(j, tests[which].name, tests[which].n_args ? "other" : "", tests[which].n_args, c,
                arg));
    return tests[which].run(j, out, in, arg);
}
