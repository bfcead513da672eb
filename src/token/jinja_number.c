/* jinja_number.c - texts as numbers, the way Python's int() and float() read them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "token/jinja_chars.h"
#include "token/jinja_lex.h"

static nx_str trimmed(nx_str t)
{
    size_t n;

    while (t.len && jj_char_flags(nx_utf8_decode(t.p, t.len, &n)) & JJ_SPACE) {
        t = (nx_str){t.p + n, t.len - n};
    }
    for (;;) {
        size_t at = t.len;
        while (at > 0 && ((unsigned char)t.p[--at] & 0xC0) == 0x80) {}
        if (!t.len || !(jj_char_flags(nx_utf8_decode(t.p + at, t.len - at, &n)) & JJ_SPACE)) break;
        t.len = at;
    }
    return t;
}

static int value_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
}

/* "0x" and its like; base becomes what they say. */
static void skip_prefix(nx_str *t, int *base)
{
    if (t->len < 2 || t->p[0] != '0') {
        if (*base == 0) *base = 10;
        return;
    }
    char c = (char)(t->p[1] | 32);
    int  says = c == 'b' ? 2 : c == 'o' ? 8 : c == 'x' ? 16 : 0;
    if (says && (*base == 0 || *base == says)) {
        *base = says;
        *t = (nx_str){t->p + 2, t->len - 2};
        if (t->len && t->p[0] == '_') *t = (nx_str){t->p + 1, t->len - 1};
    }
    if (*base == 0) *base = 10;
}

bool jj_parse_int(nx_str text, int base, int64_t *out, bool *too_large)
{
    uint64_t x = 0;
    bool     negative;

    *too_large = false;
    text = trimmed(text);
    negative = text.len && text.p[0] == '-';
    if (text.len && (text.p[0] == '-' || text.p[0] == '+'))
        text = (nx_str){text.p + 1, text.len - 1};
    skip_prefix(&text, &base);
    if (text.len == 0 || text.p[text.len - 1] == '_' || text.p[0] == '_') return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '_' && text.p[i - 1] != '_') continue;
        int v = value_of(text.p[i]);
        if (v >= base) return false;
        if (__builtin_mul_overflow(x, (uint64_t)base, &x) ||
            __builtin_add_overflow(x, (uint64_t)v, &x))
            *too_large = true;
    }
    if (x > (uint64_t)INT64_MAX + negative) *too_large = true;
    *out = negative ? (int64_t)(0 - x) : (int64_t)x;
    return !*too_large;
}

static bool word_is(nx_str t, const char *word)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!word[i] || (t.p[i] | 32) != word[i]) return false;
    }
    return !word[t.len];
}

static bool special(nx_str t, double *out)
{
    bool negative = t.len && t.p[0] == '-';

    if (t.len && (t.p[0] == '-' || t.p[0] == '+')) t = (nx_str){t.p + 1, t.len - 1};
    if (word_is(t, "nan"))
        *out = (double)NAN;
    else if (word_is(t, "inf") || word_is(t, "infinity"))
        *out = (double)INFINITY;
    else
        return false;
    if (negative) *out = -*out;
    return true;
}

/* Digits with single underscores between them: how many bytes; 0 when there are none. */
static size_t digits(nx_str t)
{
    size_t n = 0;

    while (n < t.len) {
        size_t next = n + (t.p[n] == '_' && n > 0);
        if (next >= t.len || t.p[next] < '0' || t.p[next] > '9') break;
        n = next + 1;
    }
    return n;
}

static bool well_formed(nx_str t)
{
    if (t.len && (t.p[0] == '-' || t.p[0] == '+')) t = (nx_str){t.p + 1, t.len - 1};
    size_t whole = digits(t), fraction = 0;
    t = (nx_str){t.p + whole, t.len - whole};
    if (t.len && t.p[0] == '.') {
        fraction = digits((nx_str){t.p + 1, t.len - 1});
        t = (nx_str){t.p + 1 + fraction, t.len - 1 - fraction};
    }
    if (whole + fraction == 0) return false;
    if (t.len && (t.p[0] | 32) == 'e') {
        t = (nx_str){t.p + 1, t.len - 1};
        if (t.len && (t.p[0] == '-' || t.p[0] == '+')) t = (nx_str){t.p + 1, t.len - 1};
        size_t n = digits(t);
        if (n == 0) return false;
        t.len -= n;
    }
    return t.len == 0;
}

bool jj_parse_float(nx_str text, double *out)
{
    char   buf[1100], point[8];
    size_t n = 0, n_point;

    text = trimmed(text);
    if (special(text, out)) return true;
    if (!well_formed(text)) return false;
    /* strtod wants the locale's point. */
    snprintf(buf, sizeof buf, "%.1f", 0.5);
    n_point = strlen(buf) - 2;
    if (n_point >= sizeof point) return false;
    memcpy(point, buf + 1, n_point);
    for (size_t i = 0; i < text.len && n + sizeof point < sizeof buf; i++) {
        if (text.p[i] == '_') continue;
        if (text.p[i] == '.') {
            memcpy(buf + n, point, n_point);
            n += n_point;
        } else {
            buf[n++] = text.p[i];
        }
    }
    buf[n] = '\0';
    *out = strtod(buf, NULL);
    return true;
}
