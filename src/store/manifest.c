/* manifest.c - the manifest, read and written. */
#include "store/manifest.h"

#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "os/dir.h"
#include "store/whole.h"

enum { HEAD = 48, PATH_CAP = 4096 };

static const char magic[8] = "NXMAN\0\0\1";

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, 8);
    return x;
}

static uint64_t n_words(uint64_t n_rows)
{
    return (n_rows + 63) / 64;
}

/* ---- Reading ---- */

static bool marks_fit(const nx_manifest_seg *s)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < n_words(s->n_rows); i++)
        n += (uint64_t)__builtin_popcountll(s->marks[i]);
    return n == s->n_dead;
}

/* The segment at p[0..n): its bytes, or 0 when it is none. */
static size_t parse_seg(nx_manifest_seg *s, const uint8_t *p, size_t n)
{
    if (n < 24) return 0;
    *s = (nx_manifest_seg){u64_at(p), u64_at(p + 8), u64_at(p + 16), NULL};
    if (s->n_rows == 0 || s->n_rows > UINT32_MAX || s->n_dead > s->n_rows) return 0;
    if (s->n_dead == 0) return 24;
    if (n_words(s->n_rows) > (n - 24) / 8) return 0;
    s->marks = (const uint64_t *)(const void *)(p + 24);
    return marks_fit(s) ? 24 + (size_t)n_words(s->n_rows) * 8 : 0;
}

static nx_status parse_segs(nx_manifest *m, const uint8_t *p, size_t at, size_t end, uint32_t n,
                            const char *name, nx_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t used = parse_seg(&m->segs[m->n_segs], p + at, end - at);
        if (used == 0)
            return nx_fail(err, NX_EFORMAT, "%s: byte %zu: no segment can be so", name, at);
        if (m->segs[m->n_segs].number >= m->next_number)
            return nx_fail(err, NX_EFORMAT, "%s: byte %zu: a number not yet given", name, at);
        at += used;
        m->n_segs++;
    }
    return at == end ? NX_OK : nx_fail(err, NX_EFORMAT, "%s: byte %zu: too long", name, at);
}

nx_status nx_manifest_parse(nx_manifest *out, const void *bytes, size_t n, const char *name,
                            nx_error *err)
{
    const uint8_t *p = bytes;
    uint32_t       config_bytes, n_segs;

    *out = (nx_manifest){0};
    if (n < HEAD + 8 || n % 8 || memcmp(p, magic, 8) != 0 || u64_at(p + 8) != n)
        return nx_fail(err, NX_EFORMAT, "%s: %zu bytes that are no manifest. Truncated?", name, n);
    if (u64_at(p + n - 8) != nx_crc32c(0, p, n - 8))
        return nx_fail(err, NX_EFORMAT, "%s: damaged: it doesn't have its checksum", name);
    out->incarnation = u64_at(p + 16);
    out->log_seq = u64_at(p + 24);
    out->next_number = u64_at(p + 32);
    memcpy(&config_bytes, p + 40, 4);
    memcpy(&n_segs, p + 44, 4);
    size_t padded = ((size_t)config_bytes + 7) / 8 * 8;
    if (padded > n - 8 - HEAD || n_segs > NX_SEGS_MAX || out->log_seq >= UINT64_MAX / 2)
        return nx_fail(err, NX_EFORMAT, "%s: byte 40: numbers that no manifest has", name);
    nx_status st = nx_config_read(&out->config, p + HEAD, config_bytes, err);
    if (st) return nx_fail_prefix(err, st, "%s", name);
    return parse_segs(out, p, HEAD + padded, n - 8, n_segs, name, err);
}

nx_status nx_manifest_read(nx_manifest *out, nx_disk *disk, const char *dir, nx_error *err)
{
    char   path[PATH_CAP];
    void  *bytes = NULL;
    size_t n = 0;

    *out = (nx_manifest){0};
    if (!nx_path_write(path, sizeof path, "%s/manifest", dir))
        return nx_fail(err, NX_EINVAL, "%s: too long a path", dir);
    nx_status st = nx_whole_read(&bytes, &n, disk, dir, "manifest", NX_MANIFEST_MAX, err);
    if (!st) st = nx_manifest_parse(out, bytes, n, path, err);
    if (st) {
        nx_free(bytes);
        *out = (nx_manifest){0};
    } else {
        out->bytes = bytes;
    }
    return st;
}

void nx_manifest_free(nx_manifest *m)
{
    nx_free(m->bytes);
    *m = (nx_manifest){0};
}

/* ---- Writing ---- */

static nx_status add_seg(nx_buf *b, const nx_manifest_seg *s, nx_error *err)
{
    nx_status st = nx_buf_add(b, &(uint64_t[3]){s->number, s->n_rows, s->n_dead}, 24, err);

    return st || s->n_dead == 0 ? st : nx_buf_add(b, s->marks, 8 * n_words(s->n_rows), err);
}

static nx_status build(nx_buf *b, const nx_manifest *m, nx_error *err)
{
    static const char zeros[HEAD];
    uint64_t          crc;
    nx_status         st = nx_buf_add(b, zeros, HEAD, err);

    if (!st) st = nx_config_write(b, &m->config, err);
    uint32_t counts[2] = {(uint32_t)(b->len - HEAD), (uint32_t)m->n_segs};
    if (!st && b->len % 8) st = nx_buf_add(b, zeros, 8 - b->len % 8, err);
    for (int i = 0; !st && i < m->n_segs; i++) st = add_seg(b, &m->segs[i], err);
    if (st) return st;
    uint64_t fields[4] = {b->len + 8, m->incarnation, m->log_seq, m->next_number};
    memcpy(b->data, magic, 8);
    memcpy(b->data + 8, fields, sizeof fields);
    memcpy(b->data + 40, counts, sizeof counts);
    crc = nx_crc32c(0, b->data, b->len);
    return nx_buf_add(b, &crc, 8, err);
}

nx_status nx_manifest_write(const nx_manifest *m, nx_disk *disk, const char *dir, bool *unclear,
                            nx_error *err)
{
    nx_buf    b = {.max = NX_MANIFEST_MAX};
    nx_status st = build(&b, m, err);

    if (unclear) *unclear = false;
    if (!st) st = nx_whole_write(disk, dir, "manifest", &b, unclear, err);
    nx_buf_free(&b);
    return st;
}
