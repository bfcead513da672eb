/* wal.c - files of records. */
#include "store/wal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "os/dir.h"

enum { FILE_HEAD = 32, PATH_CAP = 4096 };

static const char file_magic[8] = "NXLOG\0\0\1";
static const char record_magic[4] = {'N', 'X', 'R', 'C'};

typedef struct file_head {
    char     magic[8];
    uint64_t incarnation, first_seq;
    uint32_t zero, crc;
} file_head;

typedef struct record_head {
    char     magic[4];
    uint32_t head_crc; /* of what follows it */
    uint32_t bytes, body_crc;
    uint64_t seq, durable, incarnation;
} record_head;

_Static_assert(sizeof(file_head) == FILE_HEAD, "the head of a log is 32 bytes");
_Static_assert(sizeof(record_head) == NX_WAL_HEAD, "the head of a record is 40 bytes");

static nx_status path_of(char out[PATH_CAP], const nx_wal *l, uint64_t first_seq, nx_error *err)
{
    if (nx_path_write(out, PATH_CAP, "%s/log-%016llx", l->dir, (unsigned long long)first_seq))
        return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: too long a path", l->dir);
}

/* ---- Reading one file ---- */

static bool head_good(const file_head *h)
{
    return memcmp(h->magic, file_magic, 8) == 0 && h->crc == nx_crc32c(0, h, 28);
}

/* A record of ours begins at p, whatever its number? */
static bool record_at(record_head *h, const uint8_t *p, size_t n, uint64_t incarnation)
{
    if (n < sizeof *h || memcmp(p, record_magic, 4) != 0) return false;
    memcpy(h, p, sizeof *h);
    return h->head_crc == nx_crc32c(0, p + 8, sizeof *h - 8) && h->incarnation == incarnation;
}

/* A record in bytes[at..n) that was written when `seq` was already synced: its place, or 0. */
static size_t find_witness(const uint8_t *bytes, size_t at, size_t n, uint64_t incarnation,
                           uint64_t seq)
{
    record_head h;

    for (; at + sizeof h <= n; at += 8)
        if (record_at(&h, bytes + at, n - at, incarnation) && h.durable >= seq) return at;
    return 0;
}

static bool body_good(const record_head *h, const uint8_t *p, size_t left)
{
    return h->bytes <= NX_WAL_BODY_MAX && h->bytes % 8 == 0 && h->bytes <= left - sizeof *h &&
           nx_crc32c(0, p + sizeof *h, h->bytes) == h->body_crc;
}

nx_status nx_wal_walk(const uint8_t *bytes, size_t n, const char *name, uint64_t incarnation,
                      bool last, uint64_t after, uint64_t *expected, uint64_t *good, nx_wal_fn fn,
                      void *ctx, nx_error *err)
{
    size_t      at = FILE_HEAD;
    nx_status   st = NX_OK;
    file_head   fh;
    record_head h;

    *good = 0;
    memset(&fh, 0, sizeof fh);
    memcpy(&fh, bytes, n < sizeof fh ? n : sizeof fh);
    if (n >= FILE_HEAD && head_good(&fh)) {
        if (fh.incarnation != incarnation)
            return nx_fail(err, NX_EFORMAT, "%s: the log of another collection", name);
        if (fh.first_seq != *expected)
            return nx_fail(err, NX_EFORMAT,
                           "%s: begins with record %llu, expected %llu. Is a log file missing?",
                           name, (unsigned long long)fh.first_seq, (unsigned long long)*expected);
        *good = at;
    } else {
        at = 0;
    }
    while (*good && record_at(&h, bytes + at, n - at, incarnation) && h.seq == *expected &&
           body_good(&h, bytes + at, n - at)) {
        if (h.seq > after) st = fn(ctx, h.seq, bytes + at + sizeof h, h.bytes, err);
        if (st)
            return nx_fail_prefix(err, st, "%s: record %llu at byte %zu", name,
                                  (unsigned long long)h.seq, at);
        at += sizeof h + h.bytes;
        *good = at;
        ++*expected;
    }
    if (at == n && *good) return NX_OK;
    size_t witness = find_witness(bytes, (at + 7) / 8 * 8, n, incarnation, *expected);
    if (last && !witness) return NX_OK; /* torn: never acknowledged */
    return nx_fail(err, NX_EFORMAT,
                   "%s: record %llu at byte %zu is damaged, and %s shows that it was whole", name,
                   (unsigned long long)*expected, at, witness ? "a later one" : "a later file");
}

/* ---- All files ---- */

static bool add_file(nx_wal *l, uint64_t first_seq)
{
    if (l->n_files == l->cap) {
        size_t    cap = l->cap ? 2 * l->cap : 8;
        uint64_t *grown = nx_realloc(l->firsts, cap, sizeof *grown);
        if (!grown) return false;
        l->firsts = grown;
        l->cap = cap;
    }
    l->firsts[l->n_files++] = first_seq;
    return true;
}

/* Names of files that are logs, in order: the hex digits sort as the numbers do. */
static nx_status list_files(nx_wal *l, nx_error *err)
{
    char    **names;
    size_t    n;
    nx_status st = l->disk->ops->list(l->disk, &names, &n, l->dir, err);

    for (size_t i = 0; !st && i < n; i++) {
        char *end;
        if (strncmp(names[i], "log-", 4) != 0 || strlen(names[i]) != 20) continue;
        uint64_t first = strtoull(names[i] + 4, &end, 16);
        if (*end == '\0' && !add_file(l, first)) st = nx_fail(err, NX_ENOMEM, "list of logs");
    }
    nx_free(names);
    if (!st && l->n_files == 0)
        st = nx_fail(err, NX_EFORMAT, "%s: no log file. Was one removed?", l->dir);
    return st;
}

static nx_status read_whole(nx_wal *l, nx_disk_file *f, const char *path, uint8_t **bytes,
                            size_t *n, nx_error *err)
{
    uint64_t  size = 0;
    nx_status st = l->disk->ops->size(l->disk, f, &size, err);

    if (!st && size > NX_WAL_FILE_MAX)
        st = nx_fail(err, NX_EFORMAT, "%s: %llu bytes, longer than any log", path,
                     (unsigned long long)size);
    if (st) return st;
    *n = (size_t)size;
    *bytes = nx_alloc_aligned(*n, 1, 64);
    if (!*bytes) return nx_fail(err, NX_ENOMEM, "%s: %zu bytes", path, *n);
    return l->disk->ops->read(l->disk, f, *bytes, *n, 0, err);
}

static nx_status write_head(nx_wal *l, nx_disk_file *f, uint64_t first_seq, nx_error *err)
{
    file_head h = {.incarnation = l->incarnation, .first_seq = first_seq};

    memcpy(h.magic, file_magic, 8);
    h.crc = nx_crc32c(0, &h, 28);
    nx_status st = l->disk->ops->truncate(l->disk, f, 0, err);
    if (!st) st = l->disk->ops->write(l->disk, f, &h, sizeof h, 0, err);
    return st ? st : l->disk->ops->sync(l->disk, f, err);
}

/* The newest file is kept open, cut to what is good in it. */
static nx_status keep_newest(nx_wal *l, nx_disk_file *f, size_t n, uint64_t good,
                             uint64_t first_seq, uint64_t *cut_bytes, nx_error *err)
{
    nx_status st = NX_OK;

    *cut_bytes = n - good;
    if (good == 0) {
        st = write_head(l, f, first_seq, err);
        good = FILE_HEAD;
    } else if (good < n) {
        st = l->disk->ops->truncate(l->disk, f, good, err);
        if (!st) st = l->disk->ops->sync(l->disk, f, err);
    }
    l->end = good;
    return st;
}

static nx_status size_of(nx_wal *l, size_t i, uint64_t *size, nx_error *err)
{
    char          path[PATH_CAP];
    nx_disk_file *f = NULL;
    nx_status     st = path_of(path, l, l->firsts[i], err);

    if (!st) st = l->disk->ops->open(l->disk, &f, path, 0, err);
    if (!st) st = l->disk->ops->size(l->disk, f, size, err);
    l->disk->ops->close(l->disk, f);
    return st;
}

/* Do all files behind file i hold no record? They were begun, and perhaps given up. */
static nx_status only_empty_behind(nx_wal *l, size_t i, bool *out, nx_error *err)
{
    nx_status st = NX_OK;

    *out = true;
    for (i++; !st && *out && i < l->n_files; i++) {
        uint64_t size = 0;
        st = size_of(l, i, &size, err);
        *out = size <= FILE_HEAD;
    }
    return st;
}

/* Was the last record a seal? Then all of them were synced. */
typedef struct seen {
    nx_wal_fn fn;
    void     *ctx;
    bool      sealed;
} seen;

static nx_status see(void *ctx, uint64_t seq, const void *body, size_t bytes, nx_error *err)
{
    seen *s = ctx;

    s->sealed = bytes == 0;
    return s->fn(s->ctx, seq, body, bytes, err);
}

/* Read file i, and replay it. *f stays open. */
static nx_status replay_file(nx_wal *l, size_t i, bool last, uint64_t after, nx_wal_fn fn,
                             void *ctx, nx_disk_file **f, size_t *n, uint64_t *good, nx_error *err)
{
    uint8_t  *bytes = NULL;
    char      path[PATH_CAP];
    nx_status st = path_of(path, l, l->firsts[i], err);

    if (!st) st = l->disk->ops->open(l->disk, f, path, 0, err);
    if (!st) st = read_whole(l, *f, path, &bytes, n, err);
    if (!st && l->firsts[i] != l->next_seq)
        st = nx_fail(err, NX_EFORMAT, "%s: expected a log that begins with record %llu", path,
                     (unsigned long long)l->next_seq);
    if (!st)
        st = nx_wal_walk(bytes, *n, path, l->incarnation, last, after, &l->next_seq, good, fn, ctx,
                         err);
    nx_free(bytes);
    return st;
}

/* File i begins before the record that is next, and holds none: rotating failed then, and the file
 * before went on. */
static nx_status drop_given_up(nx_wal *l, size_t i, nx_error *err)
{
    char      path[PATH_CAP];
    nx_status st = path_of(path, l, l->firsts[i], err);

    if (!st) st = l->disk->ops->remove(l->disk, path, err);
    if (!st) memmove(l->firsts + i, l->firsts + i + 1, (--l->n_files - i) * sizeof *l->firsts);
    return st;
}

/* A file is sealed before the next one is begun, so an empty one with another behind it, or one
 * that begins with a number which file i has, was given up. */
static nx_status drop_all_given_up(nx_wal *l, size_t i, nx_error *err)
{
    nx_status st = NX_OK;

    while (!st && i + 1 < l->n_files) {
        uint64_t size = 0;
        bool     newest = i + 2 == l->n_files;
        st = size_of(l, i + 1, &size, err);
        if (st || size > FILE_HEAD || (newest && l->firsts[i + 1] >= l->next_seq)) return st;
        st = drop_given_up(l, i + 1, err);
    }
    return st;
}

/* The same of the first file. */
static nx_status drop_first_given_up(nx_wal *l, nx_error *err)
{
    nx_status st = NX_OK;

    while (!st && l->n_files > 1) {
        uint64_t size = 0;
        st = size_of(l, 0, &size, err);
        if (st || size > FILE_HEAD) return st;
        st = drop_given_up(l, 0, err);
    }
    return st;
}

static nx_status open_one(nx_wal *l, size_t i, uint64_t after, nx_wal_fn fn, void *ctx,
                          uint64_t *cut_bytes, nx_error *err)
{
    nx_disk_file *f = NULL;
    size_t        n = 0;
    uint64_t      good = 0;
    bool          last = false;
    nx_status     st = only_empty_behind(l, i, &last, err);

    if (!st) st = replay_file(l, i, last, after, fn, ctx, &f, &n, &good, err);
    if (!st) st = drop_all_given_up(l, i, err);
    if (!st && i + 1 == l->n_files) {
        st = keep_newest(l, f, n, good, l->firsts[i], cut_bytes, err);
        l->file = f;
    } else {
        l->disk->ops->close(l->disk, f);
        l->bytes_old += n;
    }
    return st;
}

nx_status nx_wal_open(nx_wal *out, nx_disk *disk, const char *dir, uint64_t incarnation,
                      uint64_t after, nx_wal_fn fn, void *ctx, uint64_t *cut_bytes, nx_error *err)
{
    nx_wal    l = {.disk = disk, .dir = dir, .incarnation = incarnation};
    seen      s = {.fn = fn, .ctx = ctx, .sealed = true};
    nx_status st = list_files(&l, err);

    *out = (nx_wal){0};
    *cut_bytes = 0;
    if (!st) st = drop_first_given_up(&l, err);
    if (!st) l.next_seq = l.firsts[0];
    if (!st && l.next_seq > after + 1)
        st =
            nx_fail(err, NX_EFORMAT, "%s: the log begins with record %llu, expected %llu or before",
                    dir, (unsigned long long)l.next_seq, (unsigned long long)(after + 1));
    for (size_t i = 0; !st && i < l.n_files; i++)
        st = open_one(&l, i, after, see, &s, cut_bytes, err);
    l.unsealed = !s.sealed;
    if (!st && l.next_seq <= after)
        st = nx_fail(err, NX_EFORMAT, "%s: the log ends before record %llu, which segments hold",
                     dir, (unsigned long long)after);
    if (st)
        nx_wal_close(&l);
    else
        *out = l;
    return st;
}

static nx_status create_file(nx_wal *l, nx_disk_file **out, nx_error *err)
{
    char      path[PATH_CAP];
    nx_status st = path_of(path, l, l->next_seq, err);

    *out = NULL;
    if (!st) st = l->disk->ops->open(l->disk, out, path, NX_DISK_CREATE | NX_DISK_EMPTY, err);
    if (!st) st = write_head(l, *out, l->next_seq, err);
    if (!st && !add_file(l, l->next_seq)) st = nx_fail(err, NX_ENOMEM, "list of logs");
    if (st && *out) {
        l->disk->ops->close(l->disk, *out);
        *out = NULL;
        (void)l->disk->ops->remove(l->disk, path, NULL); /* an empty one is no harm, either */
    }
    return st;
}

nx_status nx_wal_create(nx_wal *out, nx_disk *disk, const char *dir, uint64_t incarnation,
                        uint64_t first_seq, nx_error *err)
{
    nx_wal    l = {.disk = disk,
                   .dir = dir,
                   .incarnation = incarnation,
                   .next_seq = first_seq,
                   .end = FILE_HEAD};
    nx_status st = create_file(&l, &l.file, err);

    *out = (nx_wal){0};
    if (st)
        nx_wal_close(&l);
    else
        *out = l;
    return st;
}

nx_status nx_wal_append(nx_wal *l, uint64_t *seq, nx_buf *record, uint64_t durable, nx_error *err)
{
    record_head h = {.seq = l->next_seq, .durable = durable, .incarnation = l->incarnation};
    size_t      bytes = record->len - sizeof h;

    if (bytes > NX_WAL_BODY_MAX)
        return nx_fail(err, NX_ELIMIT, "a request of %zu bytes, at most %zu", bytes,
                       NX_WAL_BODY_MAX);
    if (l->broken)
        return nx_fail(err, NX_EIO, "%s: the log's end is unclear since a write failed", l->dir);
    memcpy(h.magic, record_magic, 4);
    h.bytes = (uint32_t)bytes;
    h.body_crc = nx_crc32c(0, record->data + sizeof h, bytes);
    h.head_crc = nx_crc32c(0, (const char *)&h + 8, sizeof h - 8);
    memcpy(record->data, &h, sizeof h);
    nx_status st = l->disk->ops->write(l->disk, l->file, record->data, record->len, l->end, err);
    if (st) {
        l->broken = l->disk->ops->truncate(l->disk, l->file, l->end, NULL) != NX_OK;
        return st;
    }
    l->end += record->len;
    if (bytes > 0) l->appended += record->len;
    *seq = l->next_seq++;
    l->unsealed = bytes > 0;
    return NX_OK;
}

nx_status nx_wal_sync(nx_wal *l, nx_error *err)
{
    return l->disk->ops->sync(l->disk, l->file, err);
}

nx_status nx_wal_seal(nx_wal *l, uint64_t *seq, nx_error *err)
{
    nx_buf    record = {.max = NX_WAL_HEAD};
    nx_status st = nx_wal_sync(l, err);

    if (st) l->broken = true;
    if (!st && !nx_buf_room(&record, NX_WAL_HEAD, err)) st = NX_ENOMEM;
    record.len = NX_WAL_HEAD;
    if (!st) st = nx_wal_append(l, seq, &record, l->next_seq - 1, err);
    nx_buf_free(&record);
    if (st) return st;
    st = nx_wal_sync(l, err);
    if (st) l->broken = true;
    return st;
}

nx_status nx_wal_rotate(nx_wal *l, nx_error *err)
{
    nx_disk_file *f;
    nx_status     st = create_file(l, &f, err);

    if (!st) st = l->disk->ops->sync_dir(l->disk, l->dir, err);
    if (st) { /* its name may survive: an empty file that opening removes */
        char path[PATH_CAP];
        if (f) l->n_files--;
        l->disk->ops->close(l->disk, f);
        if (!path_of(path, l, l->next_seq, NULL)) (void)l->disk->ops->remove(l->disk, path, NULL);
        return st;
    }
    l->disk->ops->close(l->disk, l->file);
    l->file = f;
    l->bytes_old += l->end;
    l->end = FILE_HEAD;
    l->unsealed = false;
    return NX_OK;
}

bool nx_wal_may_trim(const nx_wal *l, uint64_t seq)
{
    return l->n_files > 1 && l->firsts[1] <= seq + 1;
}

nx_status nx_wal_trim(nx_wal *l, uint64_t seq, nx_error *err)
{
    nx_status st = NX_OK;

    while (!st && nx_wal_may_trim(l, seq)) {
        char     path[PATH_CAP];
        uint64_t bytes = 0;
        (void)size_of(l, 0, &bytes, NULL);
        st = path_of(path, l, l->firsts[0], err);
        if (!st) st = l->disk->ops->remove(l->disk, path, err);
        if (st) break;
        memmove(l->firsts, l->firsts + 1, --l->n_files * sizeof *l->firsts);
        l->bytes_old -= bytes < l->bytes_old ? bytes : l->bytes_old;
    }
    return st;
}

uint64_t nx_wal_bytes(const nx_wal *l)
{
    return l->bytes_old + l->end;
}

void nx_wal_close(nx_wal *l)
{
    if (l->file) l->disk->ops->close(l->disk, l->file);
    nx_free(l->firsts);
    *l = (nx_wal){0};
}
