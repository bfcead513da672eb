/* unpack.c - reads a snapshot's pieces into segments of a new collection.
 *
 * Idea: points come in order of their ids, so that each segment takes the next ones; how large a segment
 *       is follows from the file's size, so that there are never too many. Nothing is kept of the file
 *       but what was checked: numbers before they size anything, blocks by nx_block_check, ids by their
 *       order.
 */
#include "store/unpack.h"

#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "os/dir.h"
#include "os/random.h"
#include "store/collection.h"
#include "store/pack.h"
#include "store/segment_write.h"
#include "store/settings_file.h"

enum { PATH_CAP = 4096, SEGS_WANTED = 16, CHUNK_ROWS_MAX = NX_HEAD_ROWS_MAX / 2 };

#define CHUNK_BYTES ((uint64_t)64 << 20)
#define CONFIG_MAX  ((uint64_t)16 << 20)

typedef struct unpacking {
    nx_disk      *disk;
    const char   *dir, *path;
    nx_disk_file *file;
    uint64_t      at, size;

    nx_pack_head       head;
    void              *head_bytes; /* the configuration points into it */
    uint32_t           head_crc;
    const nx_settings *settings;
    nx_manifest       *m; /* as it will be */

    nx_head    *chunk; /* points of the segment to come */
    uint64_t    n_points;
    nx_point_id last;

    nx_copy_fn progress;
    void      *ctx;
    nx_error  *err;
} unpacking;

/* ---- Reading, with every number checked ---- */

static nx_status bad(unpacking *x, const char *what)
{
    return nx_fail(x->err, NX_EFORMAT, "%s: byte %llu: %s", x->path, (unsigned long long)x->at,
                   what);
}

static nx_status get(unpacking *x, void *out, size_t n)
{
    if (n > x->size - x->at) return bad(x, "it ends too early. Truncated?");
    nx_status st = x->disk->ops->read(x->disk, x->file, out, n, x->at, x->err);
    if (!st) x->at += n;
    if (!st && x->progress && !x->progress(x->ctx, x->at, x->size))
        return nx_fail(x->err, NX_ECANCELLED, "%s: cancelled", x->path);
    return st;
}

static size_t padded(uint32_t n)
{
    return ((size_t)n + 7) / 8 * 8;
}

static nx_status read_texts(unpacking *x, size_t n)
{
    uint8_t *p = x->head_bytes;
    size_t   config_at = sizeof x->head, settings_at = config_at + padded(x->head.config_bytes);
    uint64_t crc;

    memcpy(p, &x->head, sizeof x->head);
    memcpy(&crc, p + n - 8, 8);
    x->head_crc = nx_crc32c(0, p, n - 8);
    if (crc != x->head_crc) return bad(x, "the head is damaged: it doesn't have its checksum");
    nx_status st = nx_config_read(&x->m->config, p + config_at, x->head.config_bytes, x->err);
    if (!st) st = nx_settings_read(&x->settings, p + settings_at, x->head.settings_bytes, x->err);
    return st ? nx_fail_prefix(x->err, st, "%s", x->path) : NX_OK;
}

static nx_status read_head(unpacking *x)
{
    nx_pack_head *h = &x->head;
    nx_status st = x->size < sizeof *h ? bad(x, "too short for a snapshot") : get(x, h, sizeof *h);

    if (st) return st;
    if (memcmp(h->magic, NX_PACK_MAGIC, 8) != 0) {
        x->at = 0;
        return bad(x, "no snapshot of a collection, or one of another version");
    }
    size_t n = sizeof *h + padded(h->config_bytes) + padded(h->settings_bytes) + 8;
    if (h->config_bytes > CONFIG_MAX || h->settings_bytes > NX_SETTINGS_MAX || n > x->size ||
        h->seq >= UINT64_MAX / 4)
        return bad(x, "numbers that no head has");
    x->head_bytes = nx_alloc_aligned(n, 1, 64);
    if (!x->head_bytes) return nx_fail(x->err, NX_ENOMEM, "%s: %zu bytes", x->path, n);
    st = get(x, (uint8_t *)x->head_bytes + sizeof *h, n - sizeof *h);
    return st ? st : read_texts(x, n);
}

/* ---- Points, gathered and written ---- */

static nx_status write_chunk(unpacking *x)
{
    char             path[PATH_CAP];
    nx_gather        g = {0};
    uint64_t         number = x->m->next_number;
    nx_manifest_seg *seg = &x->m->segs[x->m->n_segs];
    nx_status        st = NX_OK;

    if (!x->chunk || nx_head_n_rows(x->chunk) == 0) return NX_OK;
    if (x->m->n_segs == NX_SEGS_MAX - 2)
        return nx_fail(x->err, NX_ELIMIT, "%s: more points than a collection may have", x->path);
    if (!nx_path_write(path, sizeof path, "%s/seg-%016llx", x->dir, (unsigned long long)number))
        return nx_fail(x->err, NX_EINVAL, "%s: too long a path", x->dir);
    st = nx_gather_head(&g, x->chunk, UINT64_MAX, x->err);
    if (!st) st = nx_seg_write(&g, x->disk, path, &x->m->config, x->m->incarnation, number, x->err);
    *seg = (nx_manifest_seg){.number = number, .n_rows = g.n_rows};
    nx_gather_free(&g);
    if (st) return st;
    x->m->n_segs++;
    x->m->next_number++;
    nx_head_release(x->chunk);
    x->chunk = NULL;
    return NX_OK;
}

/* Is the chunk large enough for a segment? */
static bool is_full(const unpacking *x)
{
    uint64_t bytes = x->size / SEGS_WANTED > CHUNK_BYTES ? x->size / SEGS_WANTED : CHUNK_BYTES;

    return x->chunk->bytes > bytes || nx_head_n_rows(x->chunk) > CHUNK_ROWS_MAX;
}

/* How many well-formed points, in order, body holds; or a fault. */
static nx_status check_blocks(unpacking *x, const uint8_t *body, const nx_pack_piece *p)
{
    uint32_t n = 0;

    for (size_t at = 0; at < p->bytes; n++) {
        const nx_block *b = (const nx_block *)(const void *)(body + at);
        if (!nx_block_check(&x->m->config, b, p->bytes - at) || b->kind != NX_BLOCK_PUT ||
            b->version > x->head.seq)
            return bad(x, "a point that is none");
        nx_point_id id = nx_block_id(b);
        if ((x->n_points || n) && nx_id_compare(x->last, id) >= 0)
            return bad(x, "points out of order");
        x->last = id;
        at += b->bytes;
    }
    return n == p->n_points ? NX_OK : bad(x, "fewer or more points than it says");
}

static nx_status add_blocks(unpacking *x, uint8_t *body, const nx_pack_piece *p)
{
    nx_slab  *slab;
    nx_status st = NX_OK;

    if (!x->chunk) x->chunk = nx_head_create();
    if (!x->chunk) return nx_fail(x->err, NX_ENOMEM, "points of %s", x->path);
    st = nx_head_reserve(x->chunk, p->n_points, x->err);
    slab = st ? NULL : nx_slab_create();
    if (!st && !slab) st = nx_fail(x->err, NX_ENOMEM, "points of %s", x->path);
    if (st) return st;
    nx_head_take_slab(x->chunk, slab, body);
    for (size_t at = 0; at < p->bytes;) {
        const nx_block *b = (const nx_block *)(const void *)(body + at);
        nx_head_append(x->chunk, b, b->version); /* never read as a head: births may descend */
        at += b->bytes;
    }
    x->n_points += p->n_points;
    return is_full(x) ? write_chunk(x) : NX_OK;
}

static nx_status read_piece_head(unpacking *x, nx_pack_piece *p)
{
    nx_status st = get(x, p, sizeof *p);

    if (st) return st;
    bool end = memcmp(p->magic, "NXND", 4) == 0;
    if ((!end && memcmp(p->magic, "NXPC", 4) != 0) ||
        p->crc != nx_crc32c(0, (const char *)p + 8, sizeof *p - 8))
        return bad(x, "the piece before is damaged, or none");
    if (p->head_crc != x->head_crc) return bad(x, "a piece of another snapshot");
    if (p->first != x->n_points || end != (p->n_points == 0) || end != (p->bytes == 0) ||
        p->bytes % 8 || p->bytes > NX_PACK_PIECE_MAX || p->n_points > p->bytes / sizeof(nx_block))
        return bad(x, "numbers that no piece has");
    return NX_OK;
}

static nx_status read_piece(unpacking *x, bool *end)
{
    nx_pack_piece p;
    nx_status     st = read_piece_head(x, &p);

    *end = !st && p.n_points == 0;
    if (st || *end) return st;
    if (p.bytes > x->size - x->at) return bad(x, "it ends too early. Truncated?");
    uint8_t *body = nx_alloc(p.bytes, 1);
    if (!body) return nx_fail(x->err, NX_ENOMEM, "%s: %u bytes", x->path, p.bytes);
    st = get(x, body, p.bytes);
    if (!st && nx_crc32c(0, body, p.bytes) != p.body_crc)
        st = bad(x, "the points before are damaged: they don't have their checksum");
    if (!st) st = check_blocks(x, body, &p);
    if (st) {
        nx_free(body);
        return st;
    }
    uint64_t before = x->n_points;
    st = add_blocks(x, body, &p);
    if (st && x->n_points == before) nx_free(body); /* the chunk didn't take it */
    return st;
}

/* ---- The rest of the folder ---- */

static nx_status write_rest(unpacking *x)
{
    nx_wal    log = {0};
    bool      unclear;
    bool      has_settings = x->settings->version > 0;
    nx_status st = nx_wal_create(&log, x->disk, x->dir, x->m->incarnation, x->head.seq + 1, x->err);

    nx_wal_close(&log);
    x->m->log_seq = x->head.seq;
    if (!st && has_settings)
        st = nx_settings_save(x->settings, x->disk, x->dir, x->m->incarnation, &unclear, x->err);
    return st ? st : nx_manifest_write(x->m, x->disk, x->dir, NULL, x->err);
}

static nx_status unpack(unpacking *x)
{
    bool      end = false;
    nx_status st = x->disk->ops->open(x->disk, &x->file, x->path, 0, x->err);

    if (!st) st = x->disk->ops->size(x->disk, x->file, &x->size, x->err);
    if (!st) st = read_head(x);
    if (!st) st = nx_random_bytes(&x->m->incarnation, sizeof x->m->incarnation, x->err);
    x->m->next_number = 1;
    if (!st) st = x->disk->ops->make_dir(x->disk, x->dir, x->err);
    while (!st && !end) st = read_piece(x, &end);
    if (!st && x->at != x->size) st = bad(x, "more bytes behind the end");
    if (!st && x->n_points != x->head.n_points) st = bad(x, "not as many points as the head says");
    if (!st) st = write_chunk(x);
    return st ? st : write_rest(x);
}

nx_status nx_unpack(nx_disk *disk, const char *dir, const char *path, nx_copy_fn progress,
                    void *ctx, nx_error *err)
{
    nx_error  inner = {0};
    unpacking x = {.disk = disk,
                   .dir = dir,
                   .path = path,
                   .progress = progress,
                   .ctx = ctx,
                   .err = &inner,
                   .m = nx_calloc(1, sizeof *x.m)};
    nx_status st = x.m ? unpack(&x) : nx_fail(&inner, NX_ENOMEM, "%s", path);

    disk->ops->close(disk, x.file);
    nx_head_release(x.chunk);
    nx_settings_release(x.settings);
    nx_free(x.head_bytes);
    nx_free(x.m);
    if (st && err) *err = inner;
    return st;
}
