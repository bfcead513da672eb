/* jinja_arith.c - operators, with Python's results. Integers are of 64 bits: beyond, they fail. */
#include <math.h>
#include <string.h>

#include "token/jinja_call.h"
#include "token/jinja_lex.h"
#include "token/jinja_print.h"

static nx_status unsupported(jj *j, const char *op, const jj_val *a, const jj_val *b)
{
    return jj_type_error(j, "unsupported operand type(s) for %s: '%s' and '%s'", op,
                         jj_type_name(a), jj_type_name(b));
}

static nx_status too_large(jj *j)
{
    return jj_fail(j, NX_ELIMIT, "an integer of more than 64 bits");
}

/* ---- Integers ---- */

static nx_status int_power(jj *j, jj_val *out, int64_t base, int64_t exponent)
{
    int64_t x = 1;

    if (exponent < 0) {
        if (base == 0) return jj_type_error(j, "0.0 cannot be raised to a negative power");
        *out = jj_float(pow((double)base, (double)exponent));
        return NX_OK;
    }
    if (base == 0 || base == 1 || base == -1) {
        *out = jj_int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base);
        return NX_OK;
    }
    for (; exponent > 0; exponent--) {
        if (__builtin_mul_overflow(x, base, &x)) return too_large(j);
    }
    *out = jj_int(x);
    return NX_OK;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static nx_status int_op(jj *j, jj_val *out, int op, int64_t a, int64_t b)
{
    int64_t x = 0;
    bool    over = false;

    if ((op == '/' || op == '%' || op == JJ_OP_FLOORDIV) && b == 0) {
        return jj_type_error(j, "division by zero");
    }
    switch (op) {
    case '+': over = __builtin_add_overflow(a, b, &x); break;
    case '-': over = __builtin_sub_overflow(a, b, &x); break;
    case '*': over = __builtin_mul_overflow(a, b, &x); break;
    case '/': *out = jj_float((double)a / (double)b); return NX_OK;
    case JJ_OP_POW: return int_power(j, out, a, b);
    case JJ_OP_FLOORDIV:
        over = b == -1 && a == INT64_MIN;
        if (!over) x = floor_div(a, b);
        break;
    default: x = b == -1 ? 0 : a - floor_div(a, b) * b; break;
    }
    if (over) return too_large(j);
    *out = jj_int(x);
    return NX_OK;
}

/* ---- Floats ---- */

static double float_mod(double a, double b)
{
    double m = fmod(a, b);

    if (m == 0) return copysign(0, b);
    return (m < 0) != (b < 0) ? m + b : m;
}

static double float_floordiv(double a, double b)
{
    double m = fmod(a, b), d = (a - m) / b;

    if (m != 0 && (b < 0) != (m < 0)) d -= 1;
    if (d == 0) return copysign(0, a / b);
    double whole = floor(d);
    return d - whole > 0.5 ? whole + 1 : whole;
}

static nx_status float_power(jj *j, jj_val *out, double a, double b)
{
    if (a == 0 && b < 0) return jj_type_error(j, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b)) {
        return jj_type_error(j, "a negative number to a fraction is no real number");
    }
    double x = pow(a, b);
    if (isinf(x) && isfinite(a) && isfinite(b)) return jj_type_error(j, "Result too large");
    *out = jj_float(x);
    return NX_OK;
}

static nx_status float_op(jj *j, jj_val *out, int op, double a, double b)
{
    if ((op == '/' || op == '%' || op == JJ_OP_FLOORDIV) && b == 0) {
        return jj_type_error(j, "float division by zero");
    }
    switch (op) {
    case '+': *out = jj_float(a + b); break;
    case '-': *out = jj_float(a - b); break;
    case '*': *out = jj_float(a * b); break;
    case '/': *out = jj_float(a / b); break;
    case JJ_OP_POW: return float_power(j, out, a, b);
    case JJ_OP_FLOORDIV: *out = jj_float(float_floordiv(a, b)); break;
    default: *out = jj_float(float_mod(a, b)); break;
    }
    return NX_OK;
}

/* ---- Texts and lists ---- */

void jj_put_escaped(jj_out *o, const jj_str *s)
{
    size_t plain = 0;

    if (!o->st) o->st = jj_steps(o->j, s->len / 4);
    for (size_t i = 0; i < s->len && !o->st; i++) {
        const char *as = s->p[i] == '&'    ? "&amp;"
                         : s->p[i] == '<'  ? "&lt;"
                         : s->p[i] == '>'  ? "&gt;"
                         : s->p[i] == '\'' ? "&#39;"
                         : s->p[i] == '"'  ? "&#34;"
                                           : NULL;
        if (!as) continue;
        jj_put_range(o, s, plain, i);
        jj_put(o, as, strlen(as), jj_user_at(s, i));
        plain = i + 1;
    }
    jj_put_range(o, s, plain, s->len);
}

static void put_markup(jj_out *o, const jj_str *s)
{
    if (s->markup)
        jj_put_str(o, s);
    else
        jj_put_escaped(o, s);
}

static nx_status add_strings(jj *j, jj_val *out, const jj_str *a, const jj_str *b)
{
    jj_out o = {.j = j};
    bool   markup = a->markup || b->markup;

    if (markup) {
        put_markup(&o, a);
        put_markup(&o, b);
    } else {
        jj_put_str(&o, a);
        jj_put_str(&o, b);
    }
    TRY(jj_out_str(&o, out));
    ((jj_str *)(uintptr_t)out->s)->markup = markup;
    return NX_OK;
}

static nx_status add_lists(jj *j, jj_val *out, const jj_val *a, const jj_val *b)
{
    const size_t n = a->list->n + b->list->n;

    if (n > j->value_max / sizeof(jj_val)) return jj_fail(j, NX_ELIMIT, "a list of %zu items", n);
    TRY(jj_steps(j, n / 8));
    jj_val both;
    TRY(jj_list_new(j, &both, a->type, n));
    if (a->list->n) memcpy(both.list->v, a->list->v, a->list->n * sizeof(jj_val));
    if (b->list->n) memcpy(both.list->v + a->list->n, b->list->v, b->list->n * sizeof(jj_val));
    *out = both;
    return NX_OK;
}

static nx_status repeat(jj *j, jj_val *out, const jj_val *v, int64_t times)
{
    jj_out o = {.j = j};
    jj_val all;

    if (times < 0) times = 0;
    if (v->type == JJ_STR) {
        jj_put_fill(&o, v->s, times);
        return jj_out_str(&o, out);
    }
    const size_t n = v->list->n;
    if (n && (uint64_t)times > j->value_max / sizeof(jj_val) / n) {
        return jj_fail(j, NX_ELIMIT, "a list of more than %zu items",
                       j->value_max / sizeof(jj_val));
    }
    if (n == 0) times = 0;
    TRY(jj_steps(j, n * (size_t)times / 8));
    TRY(jj_list_new(j, &all, v->type, n * (size_t)times));
    for (int64_t i = 0; i < times; i++)
        memcpy(all.list->v + (size_t)i * n, v->list->v, n * sizeof(jj_val));
    *out = all;
    return NX_OK;
}

static bool repeats(const jj_val *v)
{
    return v->type == JJ_STR || v->type == JJ_LIST || v->type == JJ_TUPLE;
}

static const char *sign_of(int op)
{
    switch (op) {
    case '+': return "+";
    case '-': return "-";
    case '*': return "*";
    case '/': return "/";
    case '%': return "%";
    case JJ_OP_POW: return "** or pow()";
    default: return "//";
    }
}

nx_status jj_binary(jj *j, jj_val *out, int op, const jj_val *a, const jj_val *b)
{
    int64_t x, y;
    double  f, g;

    if (op == '%' && a->type == JJ_STR) return jj_percent(j, out, a->s, b);
    if (a->type == JJ_UNDEFINED) return jj_undefined_used(j, a);
    if (b->type == JJ_UNDEFINED) return jj_undefined_used(j, b);
    if (jj_as_int(a, &x) && jj_as_int(b, &y)) return int_op(j, out, op, x, y);
    if (jj_is_number(a) && jj_is_number(b)) {
        if (a->type != JJ_FLOAT && b->type != JJ_FLOAT && op != '/') return too_large(j);
        jj_as_double(a, &f);
        jj_as_double(b, &g);
        return float_op(j, out, op, f, g);
    }
    if (op == '+' && a->type == b->type) {
        if (a->type == JJ_STR) return add_strings(j, out, a->s, b->s);
        if (repeats(a)) return add_lists(j, out, a, b);
    }
    if (op == '*' && repeats(a) && jj_as_int(b, &x)) return repeat(j, out, a, x);
    if (op == '*' && repeats(b) && jj_as_int(a, &x)) return repeat(j, out, b, x);
    if (op == '+' && a->type == JJ_STR) {
        return jj_type_error(j, "can only concatenate str (not \"%s\") to str", jj_type_name(b));
    }
    return unsupported(j, sign_of(op), a, b);
}

nx_status jj_unary(jj *j, jj_val *out, int op, const jj_val *a)
{
    int64_t i;

    if (a->type == JJ_UNDEFINED) return jj_undefined_used(j, a);
    if (a->type == JJ_FLOAT) {
        *out = jj_float(op == '-' ? -a->f : a->f);
        return NX_OK;
    }
    if (!jj_as_int(a, &i)) {
        return jj_type_error(j, "bad operand type for unary %c: '%s'", op, jj_type_name(a));
    }
    if (op == '-' && i == INT64_MIN) return too_large(j);
    *out = jj_int(op == '-' ? -i : i);
    return NX_OK;
}
