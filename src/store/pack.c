/* pack.c - what a reader sees now, written into one file.
 *
 * Idea: the places of all living rows are gathered and sorted by id (24 bytes for each), then the rows
 *       are read one by one. Writers go on: a snapshot doesn't change.
 */
#include "store/pack.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "net/digest.h"
#include "os/dir.h"
#include "store/collection.h"

enum { PATH_CAP = 4096, SOURCES_MAX = NX_SEGS_MAX + 2 };

typedef struct place {
    nx_point_id id;
    uint32_t    source, row;
} place;

typedef struct packing {
    nx_snapshot       *s;
    const nx_settings *settings;
    nx_head           *heads[SOURCES_MAX]; /* source i is heads[i] or segs[i] */
    nx_seg            *segs[SOURCES_MAX];
    uint32_t           n_sources;
    place             *places;
    size_t             n, cap;
    uint64_t           total; /* bytes, about */

    nx_disk      *disk;
    nx_disk_file *file;
    uint64_t      at;
    nx_digest     digest;
    nx_buf        piece; /* a head, and blocks */
    uint32_t      head_crc;

    nx_copy_fn progress;
    void      *ctx;
    nx_error  *err;
} packing;

/* ---- Which rows ---- */

static nx_status add_place(packing *x, nx_point_id id, uint64_t row)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 1024;
        place *grown = nx_realloc(x->places, cap, sizeof *grown);
        if (!grown) return nx_fail(x->err, NX_ENOMEM, "places of %zu points", cap);
        x->places = grown;
        x->cap = cap;
    }
    x->places[x->n++] = (place){id, x->n_sources - 1, (uint32_t)row};
    return NX_OK;
}

static nx_status gather_head(packing *x, nx_head *h)
{
    uint32_t  n = h ? nx_head_n_rows(h) : 0;
    nx_status st = NX_OK;

    x->heads[x->n_sources++] = h;
    for (uint32_t i = 0; !st && i < n; i++) {
        nx_head_row *row = nx_head_row_at(h, i);
        if (row->birth > x->s->seq) break;
        if (!nx_alive_at(atomic_load_explicit(&row->death, memory_order_acquire), x->s->seq))
            continue;
        x->total += row->block->bytes;
        st = add_place(x, nx_block_id(row->block), i);
    }
    return st;
}

static nx_status gather_seg(packing *x, nx_seg *seg)
{
    size_t    before = x->n;
    nx_status st = NX_OK;

    x->segs[x->n_sources++] = seg;
    for (uint64_t i = 0; !st && i < seg->head.n_rows; i++) {
        nx_point_id id;
        if (!nx_alive_at(nx_seg_death(seg, i), x->s->seq)) continue;
        st = nx_seg_id(seg, &id, i, x->err);
        if (!st) st = add_place(x, id, i);
    }
    x->total +=
        (uint64_t)((double)seg->map.bytes * (double)(x->n - before) / (double)seg->head.n_rows);
    return st;
}

static int by_id(const void *a, const void *b)
{
    return nx_id_compare(((const place *)a)->id, ((const place *)b)->id);
}

static nx_status gather(packing *x)
{
    nx_status st = gather_head(x, x->s->head);

    if (!st) st = gather_head(x, x->s->frozen);
    for (int i = 0; !st && i < x->s->n_segs; i++) st = gather_seg(x, x->s->segs[i]);
    if (!st && x->n > 1) qsort(x->places, x->n, sizeof *x->places, by_id);
    return st;
}

/* ---- Writing ---- */

static nx_status put(packing *x, const void *bytes, size_t n)
{
    nx_status st = x->disk->ops->write(x->disk, x->file, bytes, n, x->at, x->err);

    if (st) return st;
    nx_digest_add(&x->digest, bytes, n);
    x->at += n;
    if (x->progress && !x->progress(x->ctx, x->at < x->total ? x->at : x->total, x->total))
        return nx_fail(x->err, NX_ECANCELLED, "the snapshot was cancelled");
    return NX_OK;
}

static nx_status pad(nx_buf *b, nx_error *err)
{
    static const char zeros[8];

    return b->len % 8 ? nx_buf_add(b, zeros, 8 - b->len % 8, err) : NX_OK;
}

static nx_status put_head(packing *x)
{
    const nx_manifest *m = &x->s->c->manifest;
    nx_pack_head h = {.incarnation = m->incarnation, .seq = x->s->seq, .n_points = (uint64_t)x->n};
    nx_buf       b = {.max = (size_t)256 << 20};
    nx_status    st = nx_buf_add(&b, &h, sizeof h, x->err);

    memcpy(h.magic, NX_PACK_MAGIC, 8);
    if (!st) st = nx_config_write(&b, &m->config, x->err);
    h.config_bytes = (uint32_t)(b.len - sizeof h);
    if (!st) st = pad(&b, x->err);
    size_t before = b.len;
    if (!st) st = nx_settings_write(&b, x->settings, x->err);
    h.settings_bytes = (uint32_t)(b.len - before);
    if (!st) st = pad(&b, x->err);
    if (!st) {
        memcpy(b.data, &h, sizeof h);
        uint64_t crc = x->head_crc = nx_crc32c(0, b.data, b.len);
        st = nx_buf_add(&b, &crc, sizeof crc, x->err);
    }
    if (!st) st = put(x, b.data, b.len);
    nx_buf_free(&b);
    return st;
}

static nx_status begin_piece(packing *x)
{
    static const nx_pack_piece none;

    nx_buf_clear(&x->piece);
    return nx_buf_add(&x->piece, &none, sizeof none, x->err);
}

static nx_status put_piece(packing *x, const char magic[4], size_t first, size_t end)
{
    char         *body = x->piece.data + sizeof(nx_pack_piece);
    size_t        n = x->piece.len - sizeof(nx_pack_piece);
    nx_pack_piece h = {.first = first,
                       .n_points = (uint32_t)(end - first),
                       .bytes = (uint32_t)n,
                       .body_crc = nx_crc32c(0, body, n),
                       .head_crc = x->head_crc};

    memcpy(h.magic, magic, 4);
    h.crc = nx_crc32c(0, (const char *)&h + 8, sizeof h - 8);
    memcpy(x->piece.data, &h, sizeof h);
    return put(x, x->piece.data, x->piece.len);
}

static nx_status add_row(packing *x, const place *p)
{
    if (x->segs[p->source]) return nx_seg_row(x->segs[p->source], &x->piece, p->row, x->err);
    const nx_head_row *row = nx_head_row_at(x->heads[p->source], p->row);
    size_t             at = x->piece.len;
    nx_status          st = nx_buf_add(&x->piece, row->block, row->block->bytes, x->err);
    if (!st)
        memcpy(x->piece.data + at + offsetof(nx_block, version), &row->birth, sizeof row->birth);
    return st;
}

static nx_status put_points(packing *x)
{
    size_t    first = 0;
    nx_status st = begin_piece(x);

    for (size_t i = 0; !st && i < x->n; i++) {
        st = add_row(x, &x->places[i]);
        if (st || (x->piece.len < NX_PACK_PIECE && i + 1 < x->n)) continue;
        st = put_piece(x, "NXPC", first, i + 1);
        if (!st) st = begin_piece(x);
        first = i + 1;
    }
    return st ? st : put_piece(x, "NXND", x->n, x->n);
}

static nx_status write_file(packing *x, const char *path)
{
    x->disk = x->s->c->disk;
    x->piece.max = sizeof(nx_pack_piece) + NX_PACK_PIECE_MAX;
    nx_status st = nx_digest_begin(&x->digest, NX_DIGEST_SHA256, x->err);
    if (!st)
        st = x->disk->ops->open(x->disk, &x->file, path, NX_DISK_CREATE | NX_DISK_EMPTY, x->err);
    if (!st) st = put_head(x);
    if (!st) st = put_points(x);
    if (!st) st = x->disk->ops->sync(x->disk, x->file, x->err);
    x->disk->ops->close(x->disk, x->file);
    x->file = NULL;
    return st;
}

/* The file gets its name, for good. */
static nx_status name_it(packing *x, const char *aside, const char *path)
{
    char        dir[PATH_CAP];
    const char *slash = strrchr(path, '/');
    nx_status   st = NX_OK;

    if (!nx_path_write(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1,
                       slash ? path : "."))
        return nx_fail(x->err, NX_EINVAL, "%s: too long a path", path);
    st = x->disk->ops->rename(x->disk, aside, path, x->err);
    if (st) return st;
    st = x->disk->ops->sync_dir(x->disk, dir[0] ? dir : "/", x->err);
    if (st) (void)x->disk->ops->remove(x->disk, path, NULL);
    return st;
}

static void fill_report(packing *x, nx_export_report *out)
{
    char hex[NX_DIGEST_HEX_MAX];

    *out = (nx_export_report){.bytes = x->at, .n_points = x->n, .seq = x->s->seq};
    nx_digest_end(&x->digest, hex);
    for (int i = 0; i < 32; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out->sha256[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
}

static nx_status pack(packing *x, const char *path)
{
    char      aside[PATH_CAP];
    nx_status st = nx_collection_failed(x->s->c, true, x->err);

    if (st) return st;
    if (!nx_path_write(aside, sizeof aside, "%s.new", path))
        return nx_fail(x->err, NX_EINVAL, "%s: too long a path", path);
    st = gather(x);
    if (st) return st;
    st = write_file(x, aside);
    if (!st) st = name_it(x, aside, path);
    if (st) (void)x->disk->ops->remove(x->disk, aside, NULL);
    if (!st && x->progress) (void)x->progress(x->ctx, x->at, x->at);
    return st;
}

nx_status nx_collection_export(nx_collection *c, const char *path, nx_copy_fn progress, void *ctx,
                               nx_export_report *report, nx_error *err)
{
    nx_error  inner = {0};
    packing  *x = nx_calloc(1, sizeof *x);
    nx_status st;

    if (!x) return nx_fail(err, NX_ENOMEM, "a snapshot of %s", c->name);
    *x = (packing){.s = nx_snapshot_take(c),
                   .settings = nx_collection_settings(c),
                   .progress = progress,
                   .ctx = ctx,
                   .err = &inner};
    st = pack(x, path);
    if (!st && report) fill_report(x, report);
    nx_digest_abort(&x->digest);
    nx_settings_release(x->settings);
    nx_snapshot_release(x->s);
    nx_buf_free(&x->piece);
    nx_free(x->places);
    nx_free(x);
    if (st) st = nx_read_failed(c, st, &inner);
    if (st && err) *err = inner;
    return st;
}
