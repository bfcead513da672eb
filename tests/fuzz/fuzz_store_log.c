/* fuzz_store_log.c - any bytes as a log, its checksums made right: replayed as points, or
 * refused. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "store/block.h"
#include "store/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static nx_config config(void)
{
    return (nx_config){.n_slots = 3,
                       .slots = {{.name = {"a", 1}, .form = NX_FORM_DENSE, .dim = 2},
                                 {.name = {"b", 1}, .form = NX_FORM_SPARSE},
                                 {.name = {"c", 1}, .form = NX_FORM_MULTI, .dim = 2}}};
}

/* Read all that a block says; what it says can be patched onto itself and is a block again. */
static void use_block(const nx_config *c, const nx_block *b)
{
    nx_buf         out = {.max = 1 << 26};
    nx_vector_iter it = nx_block_vectors(b);
    nx_vector      v;
    volatile float sink = 0;

    while (nx_vector_next(&it, c, &v)) {
        int32_t n = v.form == NX_FORM_MULTI ? v.n * c->slots[v.slot].dim : v.n;
        for (int32_t i = 0; i < n; i++) sink = sink + v.values[i];
    }
    nx_value_iter members = nx_value_each(nx_block_payload(b));
    nx_value      item;
    nx_str        key;
    while (nx_value_next(&members, &key, &item)) sink = sink + (float)item.n;
    if (b->kind == NX_BLOCK_PUT) {
        if (nx_block_add_patched(&out, c, b, b, NULL)) abort();
        if (!nx_block_check(c, out.data, out.len)) abort();
    }
    nx_buf_free(&out);
}

static nx_status replay(void *ctx, uint64_t seq, const void *body, size_t n, nx_error *err)
{
    nx_config      c = config();
    const uint8_t *p = body;

    (void)ctx;
    (void)seq;
    while (n > 0) {
        const nx_block *b = (const nx_block *)(const void *)p;
        if (!nx_block_check(&c, b, n)) return nx_fail(err, NX_EFORMAT, "no block");
        use_block(&c, b);
        p += b->bytes;
        n -= b->bytes;
    }
    return NX_OK;
}

/* Where a record seems to begin, give it the checksums that it ought to have. */
static void mend(uint8_t *p, size_t n)
{
    if (n < 32) return;
    uint32_t crc = nx_crc32c(0, p, 28);
    memcpy(p + 28, &crc, 4);
    for (size_t at = 32; at + NX_WAL_HEAD <= n; at += 8) {
        uint32_t bytes;
        if (memcmp(p + at, "NXRC", 4) != 0) continue;
        memcpy(&bytes, p + at + 8, 4);
        if (bytes <= n - at - NX_WAL_HEAD) {
            crc = nx_crc32c(0, p + at + NX_WAL_HEAD, bytes);
            memcpy(p + at + 12, &crc, 4);
        }
        crc = nx_crc32c(0, p + at + 8, NX_WAL_HEAD - 8);
        memcpy(p + at + 4, &crc, 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *p = nx_alloc_aligned(size, 1, 16);

    if (!p) return 0;
    if (size) memcpy(p, data, size);
    for (int mended = 0; mended < 2; mended++) {
        uint64_t incarnation = 0, first = 1, good;
        if (mended) mend(p, size);
        if (size >= 24) {
            memcpy(&incarnation, p + 8, 8);
            memcpy(&first, p + 16, 8);
        }
        nx_status st =
            nx_wal_walk(p, size, "fuzz", incarnation, true, 0, &first, &good, replay, NULL, NULL);
        if (!st && good > size) abort();
    }
    nx_free(p);
    return 0;
}
