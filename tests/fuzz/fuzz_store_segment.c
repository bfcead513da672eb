/* fuzz_store_segment.c - any bytes as a segment, its checksums made right: every row read, or
 * refused. */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "store/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *p, size_t n)
{
    nx_seg_head h;
    uint32_t    crc;

    memcpy(&h, p, sizeof h);
    h.bytes = n;
    if (h.table_at >= NX_SEG_HEAD && h.table_at <= n) {
        size_t pieces = (size_t)((h.table_at - NX_SEG_HEAD + NX_SEG_PIECE - 1) / NX_SEG_PIECE);
        for (size_t i = 0; i < pieces && h.table_at + 4 * (i + 1) <= n; i++) {
            size_t at = NX_SEG_HEAD + i * NX_SEG_PIECE;
            size_t k = h.table_at - at < NX_SEG_PIECE ? (size_t)(h.table_at - at) : NX_SEG_PIECE;
            crc = nx_crc32c(0, p + at, k);
            memcpy(p + h.table_at + 4 * i, &crc, 4);
        }
        if (h.table_at + 4 * pieces <= n) h.table_crc = nx_crc32c(0, p + h.table_at, 4 * pieces);
    }
    h.head_crc = 0;
    memcpy(p, &h, sizeof h);
    h.head_crc = nx_crc32c(0, p, NX_SEG_HEAD);
    memcpy(p, &h, sizeof h);
}

static void read_all(nx_seg *s)
{
    nx_buf out = {.max = 1 << 26};

    for (uint64_t r = 0; r < s->head.n_rows && r < 1000; r++) {
        nx_point_id id;
        uint64_t    at;
        bool        same;
        nx_buf_clear(&out);
        (void)nx_seg_row(s, &out, r, NULL);
        if (nx_seg_id(s, &id, r, NULL)) continue;
        (void)nx_seg_lower_bound(s, &at, &same, id, NULL);
    }
    for (int32_t slot = 0; slot < s->config->n_slots; slot++) {
        nx_codes codes;
        bool     has;
        (void)nx_seg_codes(s, &codes, &has, slot, NULL);
    }
    nx_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const nx_config config = {
        .n_slots = 2,
        .slots = {{.name = {"a", 1}, .form = NX_FORM_DENSE, .storage = NX_STORE_SQ8, .dim = 2},
                  {.name = {"b", 1}, .form = NX_FORM_SPARSE}}};
    uint8_t *p = size >= NX_SEG_HEAD ? nx_alloc(size, 1) : NULL;
    char     path[64];
    int      fd = memfd_create("segment", 0);

    if (p) {
        memcpy(p, data, size);
        mend(p, size);
        nx_seg  *s;
        uint64_t incarnation, number;
        memcpy(&incarnation, p + 8, 8);
        memcpy(&number, p + 16, 8);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (write(fd, p, size) == (ssize_t)size &&
            nx_seg_open(&s, nx_disk_real(), path, &config, incarnation, number, NULL) == NX_OK) {
            read_all(s);
            nx_seg_release(s);
        }
    }
    close(fd);
    nx_free(p);
    return 0;
}
