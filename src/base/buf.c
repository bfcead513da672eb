/* buf.c - byte spans and bounded growing buffers. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

bool nx_str_eq(nx_str a, nx_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

nx_str nx_str_of(const char *c_string)
{
    return (nx_str){c_string ? c_string : "", c_string ? strlen(c_string) : 0};
}

void nx_buf_free(nx_buf *b)
{
    nx_free(b->data);
    *b = (nx_buf){.max = b->max};
}

void nx_buf_clear(nx_buf *b)
{
    b->len = 0;
    if (b->data) b->data[0] = '\0';
}

/* Room for n bytes and a NUL behind them. */
static nx_status make_room(nx_buf *b, size_t n, nx_error *err)
{
    size_t max = b->max < PTRDIFF_MAX ? b->max : PTRDIFF_MAX - 1; /* so max + 1 can't wrap */

    if (n > max || b->len > max - n)
        return nx_fail(err, NX_ELIMIT, "buffer limit of %zu bytes reached", max);
    if (b->data && b->cap - b->len > n) return NX_OK;

    size_t want = b->len + n + 1;
    size_t grown = b->cap + b->cap / 2;
    size_t cap = want > grown ? want : grown;
    if (cap < 64) cap = 64;
    if (cap > max + 1) cap = max + 1;
    char *data = nx_realloc(b->data, cap, 1);
    if (!data) return nx_fail(err, NX_ENOMEM, "buffer of %zu bytes", cap);
    data[b->len] = '\0';
    b->data = data;
    b->cap = cap;
    return NX_OK;
}

char *nx_buf_room(nx_buf *b, size_t n, nx_error *err)
{
    return make_room(b, n, err) ? NULL : b->data + b->len;
}

nx_status nx_buf_add(nx_buf *b, const void *bytes, size_t n, nx_error *err)
{
    nx_status st = make_room(b, n, err);

    if (st) return st;
    if (n) memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
    return NX_OK;
}

nx_status nx_buf_addf(nx_buf *b, nx_error *err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) return nx_fail(err, NX_EINTERNAL, "vsnprintf failed for \"%s\"", fmt);
    nx_status st = make_room(b, (size_t)n, err);
    if (st) return st;
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
    return NX_OK;
}
