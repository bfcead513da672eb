/* fuzz_store_manifest.c - any bytes as a manifest, its checksum made right: read or refused. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "store/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nx_manifest m;
    size_t             n = size / 8 * 8;
    uint8_t           *p = nx_alloc_aligned(n, 1, 16);

    if (!p) return 0;
    if (n) memcpy(p, data, n);
    for (int mended = 0; mended < 2; mended++) {
        if (mended && n >= 16) {
            uint64_t bytes = n, crc;
            memcpy(p + 8, &bytes, 8);
            crc = nx_crc32c(0, p, n - 8);
            memcpy(p + n - 8, &crc, 8);
        }
        if (nx_manifest_parse(&m, p, n, "fuzz", NULL)) continue;
        nx_buf out = {.max = 1 << 26};
        if (nx_config_write(&out, &m.config, NULL)) abort();
        nx_config again;
        if (nx_config_read(&again, out.data, out.len, NULL)) abort();
        for (int i = 0; i < m.n_segs; i++) {
            uint64_t n_dead = 0;
            for (uint64_t r = 0; m.segs[i].n_dead && r < m.segs[i].n_rows; r++)
                n_dead += m.segs[i].marks[r / 64] >> r % 64 & 1;
            if (n_dead > m.segs[i].n_dead) abort();
        }
        nx_buf_free(&out);
    }
    nx_free(p);
    return 0;
}
