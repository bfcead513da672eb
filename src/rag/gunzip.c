/* gunzip.c - unpacks one gzip file in memory, and stops at what only a bomb would need. */
#include <string.h>
#include <zlib.h>

#include "rag/extract_in.h"

#define STEP     ((size_t)256 << 10)
#define NO_RATIO ((uint64_t)1 << 20) /* so much may come of any file */

/* May it grow to so many bytes? */
static nx_status check_size(const nx_extract_limits *l, size_t packed, uint64_t n, nx_error *err)
{
    if (n > l->text_bytes)
        return nx_fail(err, NX_ELIMIT, "unpacks to more than %llu MiB (the limit)",
                       (unsigned long long)(l->text_bytes >> 20));
    if (n > NO_RATIO && n / l->ratio > packed)
        return nx_fail(err, NX_ELIMIT, "unpacks to more than %u times its size: a bomb", l->ratio);
    return NX_OK;
}

static nx_status inflate_all(z_stream *z, nx_buf *out, nx_str bytes, const nx_extract_limits *l,
                             nx_error *err)
{
    nx_watch  watch = nx_watch_start(l);
    nx_status st = NX_OK;

    for (int end = Z_OK; !st && end != Z_STREAM_END;) {
        char *room = nx_buf_room(out, STEP, err);
        if (!room) return nx_fail(err, NX_ENOMEM, "no memory to unpack it");
        z->next_out = (Bytef *)room;
        z->avail_out = STEP;
        end = inflate(z, Z_NO_FLUSH);
        out->len += STEP - z->avail_out;
        room[STEP - z->avail_out] = '\0';
        if (end == Z_MEM_ERROR) return nx_fail(err, NX_ENOMEM, "no memory to unpack it");
        if (end != Z_OK && end != Z_STREAM_END)
            return nx_fail(err, NX_EFORMAT, "gzip data is damaged at byte %lu",
                           (unsigned long)z->total_in);
        if (end == Z_OK && !z->avail_in && z->avail_out)
            return nx_fail(err, NX_EFORMAT, "gzip data ends too soon");
        st = check_size(l, bytes.len, out->len, err);
        if (!st) st = nx_watch_check(&watch, err);
        /* Files may be put behind each other: gzip reads them as one. */
        if (!st && end == Z_STREAM_END && z->avail_in > 18 && z->next_in[0] == 0x1F &&
            inflateReset(z) == Z_OK)
            end = Z_OK;
    }
    return st;
}

nx_status nx_gunzip(nx_buf *out, nx_str bytes, const nx_extract_limits *limits, nx_error *err)
{
    z_stream  z = {0};
    nx_status st;

    if (bytes.len > UINT32_MAX) return nx_fail(err, NX_ELIMIT, "over 4 GiB of gzip data");
    out->max = (size_t)limits->text_bytes + 2 * STEP;
    if (inflateInit2(&z, 15 + 16) != Z_OK) return nx_fail(err, NX_ENOMEM, "no memory to unpack it");
    z.next_in = (Bytef *)(uintptr_t)bytes.p;
    z.avail_in = (uInt)bytes.len;
    st = inflate_all(&z, out, bytes, limits, err);
    inflateEnd(&z);
    return st;
}
