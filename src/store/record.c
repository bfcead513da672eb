/* record.c - numbers and texts, one behind the other. */
#include "store/record.h"

#include <string.h>

static void take(nx_record *r, void *out, size_t n)
{
    if (r->bad || n > r->left) {
        r->bad = true;
        memset(out, 0, n);
        return;
    }
    memcpy(out, r->p, n);
    r->p += n;
    r->left -= n;
}

uint8_t nx_record_u8(nx_record *r)
{
    uint8_t x;

    take(r, &x, sizeof x);
    return x;
}

uint16_t nx_record_u16(nx_record *r)
{
    uint16_t x;

    take(r, &x, sizeof x);
    return x;
}

uint32_t nx_record_u32(nx_record *r)
{
    uint32_t x;

    take(r, &x, sizeof x);
    return x;
}

uint64_t nx_record_u64(nx_record *r)
{
    uint64_t x;

    take(r, &x, sizeof x);
    return x;
}

nx_str nx_record_text(nx_record *r)
{
    uint32_t n = nx_record_u32(r);

    if (r->bad || n > r->left) {
        r->bad = true;
        return (nx_str){"", 0};
    }
    nx_str s = {(const char *)r->p, n};
    r->p += n;
    r->left -= n;
    return s;
}

nx_status nx_record_add_text(nx_buf *out, nx_str s, nx_error *err)
{
    if (s.len > UINT32_MAX) return nx_fail(err, NX_ELIMIT, "a text of %zu bytes", s.len);
    uint32_t  n = (uint32_t)s.len;
    nx_status st = nx_buf_add(out, &n, sizeof n, err);
    return st || n == 0 ? st : nx_buf_add(out, s.p, n, err);
}
