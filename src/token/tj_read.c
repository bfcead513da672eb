/* tj_read.c - values of a tokenizer.json, with messages that name their line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "token/tj.h"

nx_status nx_tj_bad(const nx_json *v, nx_error *err, const char *fmt, ...)
{
    char    text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!v) return nx_fail(err, NX_EFORMAT, "%s", text);
    return nx_fail(err, NX_EFORMAT, "line %u: %s", (unsigned)v->line, text);
}

nx_status nx_tj_keep(nx_arena *arena, nx_str *out, nx_str text, nx_error *err)
{
    char *p = nx_arena_strndup(arena, text.len ? text.p : "", text.len);

    if (!p) return nx_fail(err, NX_ENOMEM, "a text of %zu bytes", text.len);
    *out = (nx_str){p, text.len};
    return NX_OK;
}

nx_status nx_tj_get_str(const nx_json *v, const char *key, nx_arena *arena, nx_str *out,
                        nx_error *err)
{
    const nx_json *s = nx_json_get(v, key);

    if (nx_json_absent(s)) return NX_OK;
    if (s->type != NX_JSON_STRING) {
        return nx_tj_bad(s, err, "%s: %s, expected a string", key, nx_json_type_name(s));
    }
    return nx_tj_keep(arena, out, s->text, err);
}

nx_status nx_tj_get_bool(const nx_json *v, const char *key, bool *out, nx_error *err)
{
    const nx_json *b = nx_json_get(v, key);

    if (nx_json_absent(b)) return NX_OK;
    if (b->type != NX_JSON_BOOL) {
        return nx_tj_bad(b, err, "%s: %s, expected true or false", key, nx_json_type_name(b));
    }
    *out = b->boolean;
    return NX_OK;
}

nx_status nx_tj_get_int(const nx_json *v, const char *key, int64_t *out, int64_t min, int64_t max,
                        nx_error *err)
{
    const nx_json *i = nx_json_get(v, key);

    if (nx_json_absent(i)) return NX_OK;
    if (i->type != NX_JSON_INT || i->i < min || i->i > max) {
        return nx_tj_bad(i, err, "%s: expected a whole number from %lld to %lld", key,
                         (long long)min, (long long)max);
    }
    *out = i->i;
    return NX_OK;
}

nx_status nx_tj_char_of(const nx_json *v, const char *key, nx_str text, uint32_t *c, nx_error *err)
{
    size_t n = 0;

    if (text.len) *c = nx_utf8_decode(text.p, text.len, &n);
    if (text.len && n == text.len) return NX_OK;
    return nx_tj_bad(v, err, "%s: expected one character", key);
}

/* ---- Numbers ---------------------------------------------------------------------------------- */

#define EXPONENT_MAX 100000

typedef struct decimal {
    uint64_t digits; /* as many as fit, the rest is dropped */
    int      exponent;
} decimal;

/* One more digit; false when there is no room for it. */
static bool add_digit(decimal *d, char c)
{
    unsigned digit = (unsigned)(c - '0');

    if (d->digits > (UINT64_MAX - digit) / 10) return false;
    d->digits = d->digits * 10 + digit;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int clamp(int64_t x)
{
    return (int)(x > EXPONENT_MAX ? EXPONENT_MAX : x < -EXPONENT_MAX ? -EXPONENT_MAX : x);
}

static decimal read_decimal(const char *p)
{
    decimal d = {0};
    bool    room = true, minus;
    int64_t dropped = 0, e = 0;

    for (; is_digit(*p); p++) {
        room = room && add_digit(&d, *p);
        dropped += !room;
    }
    d.exponent = clamp(dropped);
    if (*p == '.') {
        for (p++; is_digit(*p); p++) {
            room = room && add_digit(&d, *p);
            if (room) d.exponent--;
        }
    }
    if ((*p | 0x20) != 'e') return d;
    minus = p[1] == '-';
    for (p += p[1] == '-' || p[1] == '+' ? 2 : 1; is_digit(*p); p++) {
        if (e < EXPONENT_MAX) e = e * 10 + (*p - '0');
    }
    d.exponent = clamp(d.exponent + (minus ? -e : e));
    return d;
}

static double power_of_ten(int n)
{
    char text[16];

    snprintf(text, sizeof text, "1e%d", n);
    return strtod(text, NULL);
}

/* The digits as one number, rounded, then scaled, and rounded again. */
bool nx_tj_number(const nx_json *v, double *out)
{
    if (v->type != NX_JSON_FLOAT || !isfinite(v->f)) return nx_json_number(v, out);
    bool    minus = *v->spelled == '-';
    decimal d = read_decimal(v->spelled + minus);
    double  x = (double)d.digits;
    for (; d.exponent < -308 && x != 0; d.exponent += 308) x /= 1e308;
    if (d.exponent < 0 && x != 0)
        x /= power_of_ten(-d.exponent);
    else if (d.exponent > 0 && x != 0)
        x *= d.exponent > 308 ? INFINITY : power_of_ten(d.exponent);
    *out = minus ? -x : x;
    return true;
}
