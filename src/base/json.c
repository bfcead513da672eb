/* json.c - JSON strings and numbers. */
#include "base/json.h"

#include <math.h>

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

nx_status nx_json_add_string(nx_buf *b, const char *s, size_t len, nx_error *err)
{
    nx_status st = nx_buf_add(b, "\"", 1, err);
    size_t    n;

    for (size_t i = 0; !st && i < len; i += n) {
        uint32_t cp = nx_utf8_decode(s + i, len - i, &n);
        if (cp == NX_UTF8_BAD)
            st = nx_buf_add(b, "\xEF\xBF\xBD", 3, err);
        else if (cp < 0x20 || cp == '"' || cp == '\\' || cp == 0x7F)
            st = add_escape(b, (unsigned char)cp, err);
        else
            st = nx_buf_add(b, s + i, n, err);
    }
    return st ? st : nx_buf_add(b, "\"", 1, err);
}

nx_status nx_json_add_number(nx_buf *b, double x, int digits, nx_error *err)
{
    if (!isfinite(x)) return nx_buf_add(b, "null", 4, err);
    return nx_buf_addf(b, err, "%.*g", digits, x);
}
