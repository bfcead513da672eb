/* fuzz_store_snapshot.c - any bytes as a collection's snapshot, as they are and with their checksums
 * made right: a collection that holds what its count says, or refused; and nothing is left behind. */
#include <fcntl.h>

#include "../unit/store/plain_distances.h"
#include "../unit/store/sim_disk.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "store/pack.h"
#include "store/store.h"

/* Checksums of the head and of each piece. */
static void mend(uint8_t *p, size_t n)
{
    nx_pack_head h;

    if (n < sizeof h) return;
    memcpy(p, NX_PACK_MAGIC, 8);
    memcpy(&h, p, sizeof h);
    uint64_t at = sizeof h + ((uint64_t)h.config_bytes + 7) / 8 * 8 +
                  ((uint64_t)h.settings_bytes + 7) / 8 * 8;
    if (at + 8 > n) return;
    uint64_t crc = nx_crc32c(0, p, (size_t)at);
    memcpy(p + at, &crc, 8);
    at += 8;
    while (n - at >= sizeof(nx_pack_piece)) {
        nx_pack_piece x;
        memcpy(&x, p + at, sizeof x);
        uint64_t body = x.bytes <= n - at - sizeof x ? x.bytes : n - at - sizeof x;
        x.body_crc = nx_crc32c(0, p + at + sizeof x, (size_t)body);
        x.head_crc = (uint32_t)crc;
        x.crc = nx_crc32c(0, (const char *)&x + 8, sizeof x - 8);
        memcpy(p + at, &x, sizeof x);
        at += sizeof x + body;
    }
}

static void try(const uint8_t *data, size_t size)
{
    static sim_disk  disk;
    nx_store_options opt = {.disk = &disk.base, .distances = &plain_distances};
    nx_store        *s;
    nx_collection   *c;
    nx_export_report report;

    sim_init(&disk);
    sim_put(&disk.now, "store", NULL);
    sim_node *node = calloc(1, sizeof *node);
    if (!node) abort();
    sim_resize(&node->now, &node->now_n, &node->now_cap, size);
    if (size) memcpy(node->now, data, size);
    sim_put(&disk.now, "file", node);
    if (nx_store_open(&s, "store", &opt, NULL)) abort();
    if (!nx_store_import_collection(s, NX_STR("c"), "file", false, NULL, NULL, NULL)) {
        if (nx_store_find(&c, s, NX_STR("c"), NULL)) abort();
        if (nx_collection_check(c, NULL)) abort();
        if (nx_collection_export(c, "again", NULL, NULL, &report, NULL)) abort();
        nx_snapshot *now = nx_snapshot_take(c);
        if (report.n_points != nx_snapshot_count(now)) abort();
        nx_snapshot_release(now);
        nx_collection_release(c);
    } else if (disk.now.n != 2) {
        abort(); /* the store, the file */
    }
    nx_store_close(s);
    sim_free(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    uint8_t    *copy = malloc(size + 1);

    if (!quiet) nx_log_setup(&(nx_log_options){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)});
    quiet = true;
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    try(copy, size);
    mend(copy, size);
    try(copy, size);
    free(copy);
    return 0;
}
