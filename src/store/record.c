/* record.c - numbers and texts, one behind the other. */
#include "store/record.h"

#include <string.h>

#include "base/crc32c.h"

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

/* ---- Frames ---- */

nx_status nx_frame_begin(nx_buf *b, const char magic[8], nx_error *err)
{
    uint64_t  bytes = 0;
    nx_status st = nx_buf_add(b, magic, 8, err);

    return st ? st : nx_buf_add(b, &bytes, sizeof bytes, err);
}

nx_status nx_frame_end(nx_buf *b, nx_error *err)
{
    static const char zeros[8];
    nx_status         st = b->len % 8 ? nx_buf_add(b, zeros, 8 - b->len % 8, err) : NX_OK;

    if (st) return st;
    uint64_t bytes = b->len + NX_FRAME_TAIL;
    memcpy(b->data + 8, &bytes, sizeof bytes);
    uint64_t crc = nx_crc32c(0, b->data, b->len);
    return nx_buf_add(b, &crc, sizeof crc, err);
}

nx_status nx_frame_check(const void *bytes, size_t n, const char magic[8], const char *name,
                         nx_error *err)
{
    const uint8_t *p = bytes;
    uint64_t       length, crc;

    if (n < NX_FRAME_HEAD + NX_FRAME_TAIL || n % 8 || memcmp(p, magic, 8) != 0)
        return nx_fail(err, NX_EFORMAT, "%s: %zu bytes that are none. Truncated?", name, n);
    memcpy(&length, p + 8, sizeof length);
    memcpy(&crc, p + n - NX_FRAME_TAIL, sizeof crc);
    if (length == n && crc == nx_crc32c(0, p, n - NX_FRAME_TAIL)) return NX_OK;
    return nx_fail(err, NX_EFORMAT, "%s: damaged: it doesn't have its checksum", name);
}
