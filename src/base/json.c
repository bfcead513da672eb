/* json.c - JSON strings and numbers. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
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
