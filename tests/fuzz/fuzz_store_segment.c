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
#include "store/postings_seg.h"

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

/* Every list that the bytes claim, summed. */
static void read_lists(nx_seg *s, int32_t slot)
{
    const nx_seg_postings *p;
    nx_list                l;
    uint64_t               n;
    volatile double        sum = 0;

    if (s->head.n_rows > 1000 || nx_seg_postings_get(s, &p, slot, NULL)) return;
    (void)nx_seg_count_present(s, &n, slot, 1, NULL);
    for (uint64_t k = 0; k < p->view.n_keys && k < 1000; k++) {
        uint32_t key = p->view.keys[k];
        if (nx_seg_lists(s, &l, slot, &key, 1, NULL)) continue;
        for (uint64_t i = 0; i < l.n; i++) sum = sum + (double)l.rows[i] + (double)l.weights[i];
    }
    (void)nx_seg_postings_check(s, slot, NULL);
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
        if (s->config->slots[slot].form == NX_FORM_SPARSE) read_lists(s, slot);
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
