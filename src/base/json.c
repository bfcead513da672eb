/* json.c - JSON strings and numbers. */
#include "base/json.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static nx_status add_escape(nx_buf *b, unsigned char c, nx_error *err)
{
    switch (c) {
    case '"': return nx_buf_add(b, "\\\"", 2, err);
    case '\\': return nx_buf_add(b, "\\\\", 2, err);
    case '\n': return nx_buf_add(b, "\\n", 2, err);
    case '\r': return nx_buf_add(b, "\\r", 2, err);
    case '\t': return nx_buf_add(b, "\\t", 2, err);
    default: return nx_buf_addf(b, err, "\\u%04x", c);
    }
}

/* Bytes of s that go into a JSON string as they are, from its beginning. */
static size_t plain_run(const char *s, size_t len)
{
    size_t i = 0, n;

    while (i < len) {
        uint32_t cp = nx_utf8_decode(s + i, len - i, &n);
        if (cp == NX_UTF8_BAD || cp < 0x20 || cp == '"' || cp == '\\' || cp == 0x7F) break;
        i += n;
    }
    return i;
}

nx_status nx_json_add_string(nx_buf *b, const char *s, size_t len, nx_error *err)
{
    size_t    i = 0;
    nx_status st = nx_buf_add(b, "\"", 1, err);

    if (!len) s = ""; /* the empty span may be NULL, and NULL + 0 isn't defined */
    while (!st) {
        size_t run = plain_run(s + i, len - i);
        if (run) st = nx_buf_add(b, s + i, run, err);
        i += run;
        if (st || i == len) break;
        unsigned char c = (unsigned char)s[i++];
        st = c < 0x80 ? add_escape(b, c, err) : nx_buf_add(b, "\xEF\xBF\xBD", 3, err);
    }
    return st ? st : nx_buf_add(b, "\"", 1, err);
}

nx_status nx_json_add_number(nx_buf *b, double x, int digits, nx_error *err)
{
    char   text[64];
    size_t len = 0;

    if (!isfinite(x)) return nx_buf_add(b, "null", 4, err);
    if (digits < 1) digits = 1;
    if (digits > 17) digits = 17; /* enough to read every double back */
    snprintf(text, sizeof text, "%.*g", digits, x);
    /* The locale may have put another decimal sign, of one byte or more: JSON knows the point. */
    for (const char *p = text; *p; p++) {
        if (strchr("0123456789+-e", *p))
            text[len++] = *p;
        else if (len == 0 || text[len - 1] != '.')
            text[len++] = '.';
    }
    return nx_buf_add(b, text, len, err);
}

/* ---- As short as they can be ---- */

/* x times 10 to the power of n, |n| up to 60: a handful of roundings of double. */
static double times_ten(double x, int n)
{
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    int                 k = n < 0 ? -n : n;

    for (; k >= 16; k -= 15) x = n < 0 ? x / 1e15 : x * 1e15;
    return n < 0 ? x / powers[k] : x * powers[k];
}

/* Nine digits of x > 0, as few of them as name it among floats: the rest is 0. Where x = 0.d1d2d3.. times
 * ten to the power of *point.
 * A float has 24 bits, so half the way to its neighbour is at least 2.9 units of the ninth digit, while
 * double's arithmetic is wrong by a millionth of one: what lies within is read back as x. */
static uint32_t nine_digits(float x, int *point)
{
    double   exact = (double)x, n;
    float    before;
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    /* log10(2) of the exponent's bits: right, or one too much or too little (more of tiny ones). */
    int e = ((int)(bits >> 23) - 127) * 1233 / 4096;
    while ((n = times_ten(exact, 8 - e)) >= 999999999.5) e++;
    while ((n = times_ten(exact, 8 - e)) < 99999999.5) e--;
    bits--;
    memcpy(&before, &bits, sizeof before);
    double half = times_ten((exact - (double)before) * 0.5, 8 - e) * (1 - 1e-6), unit = 1e8;
    *point = e + 1;
    for (; unit > 1; unit /= 10) {
        double rounded = (double)(uint32_t)(n / unit + 0.5) * unit;
        double off = rounded > n ? rounded - n : n - rounded;
        if (rounded > 0 && off < half) return (uint32_t)rounded;
    }
    return (uint32_t)(n + 0.5);
}

/* 0.d1d2.. times ten to the power of point; digits without zeros at the end. */
static nx_status add_decimal(nx_buf *b, bool minus, const char *digits, int n, int point,
                             nx_error *err)
{
    char  text[48];
    char *w = text;

    if (minus) *w++ = '-';
    if (point > 16 || point < -4) {
        *w++ = digits[0];
        *w++ = '.';
        if (n == 1) *w++ = '0';
        for (int i = 1; i < n; i++) *w++ = digits[i];
        w += snprintf(w, 8, "e%d", point - 1);
        return nx_buf_add(b, text, (size_t)(w - text), err);
    }
    if (point <= 0) *w++ = '0';
    for (int i = 0; i < point; i++) *w++ = i < n ? digits[i] : '0';
    *w++ = '.';
    for (int i = point; i < 0; i++) *w++ = '0';
    for (int i = point > 0 ? point : 0; i < n; i++) *w++ = digits[i];
    if (n <= point) *w++ = '0';
    return nx_buf_add(b, text, (size_t)(w - text), err);
}

nx_status nx_json_add_float(nx_buf *b, float x, nx_error *err)
{
    char digits[10] = "0";
    int  point, n = 0;

    if (!isfinite(x)) return nx_buf_add(b, "null", 4, err);
    if (x == 0) return nx_buf_add(b, signbit(x) ? "-0.0" : "0.0", signbit(x) ? 4 : 3, err);
    uint32_t v = nine_digits(x < 0 ? -x : x, &point);
    if (v >= 1000000000) { /* 999999999.5 rounds to ten digits */
        v /= 10;
        point++;
    }
    for (uint32_t unit = 100000000; v > 0; unit /= 10) {
        digits[n++] = (char)('0' + v / unit);
        v %= unit;
    }
    return add_decimal(b, x < 0, digits, n, point, err);
}

nx_status nx_json_add_double(nx_buf *b, double x, nx_error *err)
{
    char   text[64];
    size_t before = b->len;
    int    digits = 15;

    for (; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    nx_status st = nx_json_add_number(b, x, digits, err);
    if (st || !isfinite(x) || strpbrk(b->data + before, ".e")) return st;
    return nx_buf_add(b, ".0", 2, err);
}
