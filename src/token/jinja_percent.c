/* jinja_percent.c - "%s and %5.2f" % values. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "token/jinja_call.h"
#include "token/jinja_print.h"

#define WIDTH_MAX (1 << 20)

typedef struct percent {
    jj_out        o;
    const jj_str *fmt;
    size_t        at;
    const jj_val *args; /* one value, a tuple or a dict */
    size_t        next;
} percent;

typedef struct conversion {
    bool    left, plus, space, alt, zero, has_precision;
    int64_t width, precision;
    char    type;
    jj_val  value; /* of %(name)s */
} conversion;

static char peek(const percent *w)
{
    return w->at < w->fmt->len ? w->fmt->p[w->at] : '\0';
}

static nx_status next_value(percent *w, jj_val *out)
{
    if (w->args->type == JJ_TUPLE) {
        if (w->next >= w->args->list->n) {
            return jj_type_error(w->o.j, "not enough arguments for format string");
        }
        *out = w->args->list->v[w->next++];
        return NX_OK;
    }
    if (w->next++ > 0) return jj_type_error(w->o.j, "not enough arguments for format string");
    *out = *w->args;
    return NX_OK;
}

static nx_status mapped(percent *w, conversion *c)
{
    size_t from = ++w->at, open = 1;
    jj_val key, *held;

    for (; w->at < w->fmt->len; w->at++) {
        open += w->fmt->p[w->at] == '(';
        open -= w->fmt->p[w->at] == ')';
        if (open == 0) break;
    }
    if (open) return jj_type_error(w->o.j, "incomplete format key");
    if (w->args->type != JJ_DICT) return jj_type_error(w->o.j, "format requires a mapping");
    TRY(jj_slice_bytes(w->o.j, &key, w->fmt, from, w->at++));
    TRY(jj_dict_get(w->o.j, w->args->dict, &key, &held));
    if (!held) return jj_type_error(w->o.j, "the mapping of %% has no such key");
    c->value = *held;
    w->next = 1;
    return NX_OK;
}

static nx_status length(percent *w, int64_t *out)
{
    jj_val v;

    *out = 0;
    if (peek(w) == '*') {
        w->at++;
        TRY(next_value(w, &v));
        if (!jj_as_int(&v, out)) return jj_type_error(w->o.j, "* wants int");
    } else {
        while (peek(w) >= '0' && peek(w) <= '9' && *out <= WIDTH_MAX)
            *out = 10 * *out + (w->fmt->p[w->at++] - '0');
    }
    if (*out > WIDTH_MAX) return jj_fail(w->o.j, NX_ELIMIT, "a width of more than %d", WIDTH_MAX);
    return NX_OK;
}

static nx_status read_conversion(percent *w, conversion *c)
{
    *c = (conversion){.value = JJ_VAL_MISSING};
    if (peek(w) == '(') TRY(mapped(w, c));
    for (;; w->at++) {
        char f = peek(w);
        if (f == '-')
            c->left = true;
        else if (f == '+')
            c->plus = true;
        else if (f == ' ')
            c->space = true;
        else if (f == '#')
            c->alt = true;
        else if (f == '0')
            c->zero = true;
        else
            break;
    }
    TRY(length(w, &c->width));
    if (c->width < 0) {
        c->left = true;
        c->width = -c->width;
    }
    if (peek(w) == '.') {
        w->at++;
        TRY(length(w, &c->precision));
        c->has_precision = true;
        if (c->precision < 0) c->precision = 0;
    }
    if (peek(w) == 'h' || peek(w) == 'l' || peek(w) == 'L') w->at++;
    if (w->at >= w->fmt->len) return jj_type_error(w->o.j, "incomplete format");
    c->type = w->fmt->p[w->at++];
    return NX_OK;
}

/* Pad what o has gained with zeros after its sign, or with spaces. */
static nx_status padded(percent *w, const conversion *c, const jj_str *body, size_t n_sign)
{
    int64_t pad = c->width - (int64_t)body->n_chars;
    bool    zeros = c->zero && !c->left && n_sign != SIZE_MAX;

    if (n_sign == SIZE_MAX) n_sign = 0;
    static const jj_str space = {.p = " ", .len = 1, .n_chars = 1},
                        zero = {.p = "0", .len = 1, .n_chars = 1};
    if (!zeros && !c->left) jj_put_fill(&w->o, &space, pad);
    jj_put_range(&w->o, body, 0, n_sign);
    if (zeros) jj_put_fill(&w->o, &zero, pad);
    jj_put_range(&w->o, body, n_sign, body->len);
    if (c->left) jj_put_fill(&w->o, &space, pad);
    return w->o.st;
}

static nx_status text(percent *w, const conversion *c, const jj_val *v)
{
    jj_out o = {.j = w->o.j};
    jj_val s;

    if (c->type == 's')
        jj_put_val(&o, v);
    else if (c->type == 'r')
        jj_put_repr(&o, v);
    else
        jj_put_ascii(&o, v);
    TRY(jj_out_str(&o, &s));
    if (c->has_precision) {
        TRY(jj_slice_bytes(o.j, &s, s.s, 0, jj_str_at(s.s, (size_t)c->precision)));
    }
    return padded(w, c, s.s, SIZE_MAX);
}

static void sign(jj_out *o, const conversion *c, bool negative)
{
    jj_put_text(o, negative ? "-" : c->plus ? "+" : c->space ? " " : "");
}

static nx_status integer(percent *w, const conversion *c, const jj_val *v)
{
    jj_out      o = {.j = w->o.j};
    jj_val      s;
    int64_t     i = 0;
    char        digits[80];
    size_t      at = sizeof digits;
    unsigned    base = c->type == 'o' ? 8 : c->type == 'x' || c->type == 'X' ? 16 : 10;
    const char *set = c->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";

    if (v->type == JJ_UNDEFINED) return jj_undefined_used(o.j, v);
    if (v->type == JJ_FLOAT && base == 10) {
        if (!isfinite(v->f) || fabs(v->f) >= 9.2e18)
            return jj_type_error(o.j, "cannot convert this float to int");
        i = (int64_t)v->f;
    } else if (!jj_as_int(v, &i) && v->type != JJ_BIG) {
        return jj_type_error(o.j, "%%%c format: a number is required, not %s", c->type,
                             jj_type_name(v));
    }
    bool     negative = v->type != JJ_BIG && i < 0;
    uint64_t m = v->type == JJ_BIG ? v->u : negative ? 0 - (uint64_t)i : (uint64_t)i;
    do {
        digits[--at] = set[m % base];
        m /= base;
    } while (m);
    sign(&o, c, negative);
    if (c->alt && base != 10) jj_put_text(&o, base == 8 ? "0o" : c->type == 'x' ? "0x" : "0X");
    size_t              n_sign = o.len;
    static const jj_str zero = {.p = "0", .len = 1, .n_chars = 1};
    jj_put_fill(&o, &zero, c->precision - (int64_t)(sizeof digits - at));
    jj_put(&o, digits + at, sizeof digits - at, false);
    TRY(jj_out_str(&o, &s));
    return padded(w, c, s.s, n_sign);
}

static nx_status real(percent *w, const conversion *c, const jj_val *v)
{
    jj_out o = {.j = w->o.j};
    jj_val s;
    double x;

    if (v->type == JJ_UNDEFINED) return jj_undefined_used(o.j, v);
    if (!jj_as_double(v, &x))
        return jj_type_error(o.j, "must be real number, not %s", jj_type_name(v));
    sign(&o, c, signbit(x) && !isnan(x));
    size_t n_sign = o.len;
    jj_put_fixed(&o, fabs(x), c->has_precision ? (int)c->precision : 6, c->type, c->alt);
    TRY(jj_out_str(&o, &s));
    return padded(w, c, s.s, n_sign);
}

static nx_status character(percent *w, const conversion *c, const jj_val *v)
{
    char    utf8[4];
    int64_t cp;
    jj_val  s = *v;

    if (jj_as_int(v, &cp)) {
        if (cp < 0 || cp >= 0x110000 || (cp >= 0xD800 && cp < 0xE000)) {
            return jj_type_error(w->o.j, "%%c arg not in range(0x110000)");
        }
        TRY(jj_str_new(w->o.j, &s, utf8, nx_utf8_encode(utf8, (uint32_t)cp), false));
    } else if (v->type != JJ_STR || v->s->n_chars != 1) {
        return jj_type_error(w->o.j, "%%c requires int or char");
    }
    return padded(w, c, s.s, SIZE_MAX);
}

static nx_status convert(percent *w)
{
    conversion c;

    TRY(jj_steps(w->o.j, 1));
    TRY(read_conversion(w, &c));
    if (c.type == '%') {
        jj_put_text(&w->o, "%");
        return w->o.st;
    }
    jj_val v = c.value;
    if (v.type == JJ_MISSING) TRY(next_value(w, &v));
    switch (c.type) {
    case 's':
    case 'r':
    case 'a': return text(w, &c, &v);
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X': return integer(w, &c, &v);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': return real(w, &c, &v);
    case 'c': return character(w, &c, &v);
    default: return jj_type_error(w->o.j, "unsupported format character '%c'", c.type);
    }
}

nx_status jj_percent(jj *j, jj_val *out, const jj_str *fmt, const jj_val *args)
{
    percent w = {.o = {.j = j}, .fmt = fmt, .args = args};

    while (w.at < fmt->len) {
        const char *hit = memchr(fmt->p + w.at, '%', fmt->len - w.at);
        size_t      end = hit ? (size_t)(hit - fmt->p) : fmt->len;
        jj_put_range(&w.o, fmt, w.at, end);
        w.at = end + 1;
        if (hit) TRY(convert(&w));
    }
    bool rest = args->type == JJ_TUPLE ? w.next < args->list->n
                                       : w.next == 0 && args->type != JJ_DICT &&
                                             args->type != JJ_LIST && args->type != JJ_UNDEFINED;
    if (rest) return jj_type_error(j, "not all arguments converted during string formatting");
    return jj_out_str(&w.o, out);
}
