/* backup.c - writes an instance's parts, one behind the other.
 *
 * Idea: a collection is exported beside the file, then copied in: its checksum goes behind it, so that
 *       nothing is read twice and nothing is kept in memory.
 */
#include "server/backup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/file.h"
#include "server/backup_in.h"
#include "server/pepper.h"
#include "store/record.h"

typedef struct writing {
    nx_file_out       out;
    uint64_t          at, total, n_parts;
    uint8_t          *piece; /* [NX_BACKUP_PIECE] */
    char              aside[NX_DATADIR_PATH_MAX];
    nx_copy_fn        progress;
    void             *ctx;
    nx_backup_report *report;
    nx_error         *err;
} writing;

static nx_status put(writing *w, const void *bytes, size_t n)
{
    nx_status st = nx_fd_write_all(w->out.fd, bytes, n, w->out.path, w->err);

    w->at += n;
    if (!st && w->progress && !w->progress(w->ctx, w->at < w->total ? w->at : w->total, w->total))
        return nx_fail(w->err, NX_ECANCELLED, "the backup was cancelled");
    return st;
}

static nx_status pad(writing *w)
{
    static const char zeros[8];

    return w->at % 8 ? put(w, zeros, 8 - (size_t)(w->at % 8)) : NX_OK;
}

static nx_status begin_part(writing *w, nx_backup_kind kind, nx_str name, uint64_t bytes)
{
    nx_backup_part h = {.magic = {'N', 'X', 'P', 'T'},
                        .kind = kind,
                        .name_bytes = (uint32_t)name.len,
                        .bytes = bytes,
                        .name_crc = nx_crc32c(0, name.p, name.len)};

    h.crc = nx_crc32c(0, (const char *)&h + 8, sizeof h - 8);
    nx_status st = put(w, &h, sizeof h);
    if (!st && name.len) st = put(w, name.p, name.len);
    w->n_parts++;
    return st ? st : pad(w);
}

static nx_status end_part(writing *w, uint32_t crc)
{
    uint64_t  sum = crc;
    nx_status st = pad(w);

    return st ? st : put(w, &sum, sizeof sum);
}

static nx_status put_bytes(writing *w, nx_backup_kind kind, const void *bytes, size_t n)
{
    nx_status st = begin_part(w, kind, (nx_str){"", 0}, n);

    if (!st) st = put(w, bytes, n);
    return st ? st : end_part(w, nx_crc32c(0, bytes, n));
}

/* The file that was made aside. */
static nx_status put_aside(writing *w, nx_backup_kind kind, nx_str name)
{
    struct stat is;
    uint32_t    crc = 0;
    int         fd = open(w->aside, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &is)) {
        if (fd >= 0) close(fd);
        return nx_fail(w->err, NX_EIO, "%s: can't be read", w->aside);
    }
    nx_status st = begin_part(w, kind, name, (uint64_t)is.st_size);
    for (uint64_t left = (uint64_t)is.st_size; !st && left > 0;) {
        size_t  want = left < NX_BACKUP_PIECE ? (size_t)left : NX_BACKUP_PIECE;
        ssize_t n = read(fd, w->piece, want);
        if (n <= 0) {
            st = nx_fail(w->err, NX_EIO, "%s: ends before %llu bytes", w->aside,
                         (unsigned long long)is.st_size);
            break;
        }
        crc = nx_crc32c(crc, w->piece, (size_t)n);
        st = put(w, w->piece, (size_t)n);
        left -= (uint64_t)n;
    }
    close(fd);
    (void)unlink(w->aside);
    return st ? st : end_part(w, crc);
}

/* ---- Parts ---- */

static nx_status put_pepper(writing *w, const nx_datadir *dir)
{
    unsigned char pepper[NX_PEPPER_BYTES];
    nx_status     st = nx_pepper_load(pepper, dir->pepper, false, w->err);

    if (st == NX_ENOENT) return NX_OK; /* no key was ever made */
    if (!st) st = put_bytes(w, NX_BACKUP_PEPPER, pepper, sizeof pepper);
    explicit_bzero(pepper, sizeof pepper);
    return st;
}

static int copy_database(nx_db *db, const char *to)
{
    sqlite3        *out = NULL;
    sqlite3_backup *b = NULL;
    int             rc = sqlite3_open(to, &out);

    if (rc == SQLITE_OK) b = sqlite3_backup_init(out, "main", nx_db_handle(db), "main");
    if (b) {
        rc = sqlite3_backup_step(b, -1);
        if (sqlite3_backup_finish(b) != SQLITE_OK && rc == SQLITE_DONE) rc = SQLITE_IOERR;
    } else if (rc == SQLITE_OK) {
        rc = sqlite3_errcode(out);
    }
    sqlite3_close(out);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static nx_status put_database(writing *w, nx_db *db)
{
    int fd = open(w->aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) return nx_fail(w->err, NX_EIO, "%s: can't be made", w->aside);
    close(fd);
    nx_db_lock(db);
    int rc = copy_database(db, w->aside);
    nx_db_unlock(db);
    if (rc != SQLITE_OK)
        return nx_fail(w->err, NX_EIO, "%s: copying the database: %s", w->aside,
                       sqlite3_errstr(rc));
    return put_aside(w, NX_BACKUP_DATABASE, (nx_str){"", 0});
}

static void leave_out(writing *w, const char *name, const char *why)
{
    if (w->report->n_left_out++ == 0)
        snprintf(w->report->left_out, sizeof w->report->left_out, "%s: %s", name, why);
}

static nx_status put_collection(writing *w, nx_store *store, const char *name)
{
    nx_collection   *c;
    nx_export_report r;
    nx_error         why;
    nx_status        st = nx_store_find(&c, store, nx_str_of(name), &why);

    if (st == NX_ENOENT) return NX_OK; /* dropped meanwhile */
    if (!st) st = nx_collection_export(c, w->aside, NULL, NULL, &r, &why);
    nx_collection_release(c);
    if (st == NX_EFORMAT) {
        leave_out(w, name, why.text);
        return NX_OK;
    }
    if (st) return nx_fail(w->err, st, "%s", why.text);
    w->report->n_collections++;
    w->report->n_points += r.n_points;
    return put_aside(w, NX_BACKUP_COLLECTION, nx_str_of(name));
}

/* About how long the file will be: for the bar. */
static uint64_t size_of(nx_store *store, const nx_store_entry *list, size_t n)
{
    uint64_t bytes = 1 << 16;

    for (size_t i = 0; i < n; i++) {
        nx_collection      *c;
        nx_collection_stats s;
        if (nx_store_find(&c, store, nx_str_of(list[i].name), NULL)) continue;
        nx_collection_read_stats(c, &s);
        bytes += s.segment_bytes + s.head_bytes;
        nx_collection_release(c);
    }
    return bytes;
}

static nx_status put_collections(writing *w, nx_store *store)
{
    nx_store_entry *list;
    size_t          n;
    nx_status       st = nx_store_list(&list, &n, store, w->err);

    if (st) return st;
    w->total = size_of(store, list, n);
    for (size_t i = 0; !st && i < n; i++) st = put_collection(w, store, list[i].name);
    nx_free(list);
    return st;
}

static nx_status put_aliases(writing *w, nx_store *store)
{
    nx_alias *list;
    size_t    n;
    nx_buf    b = {.max = (size_t)16 << 20};
    nx_status st = nx_store_list_aliases(store, &list, &n, w->err);
    uint32_t  count = (uint32_t)n;

    if (st == NX_EFORMAT) {
        leave_out(w, "aliases", w->err->text);
        return NX_OK;
    }
    if (!st) st = nx_buf_add(&b, &count, sizeof count, w->err);
    for (size_t i = 0; !st && i < n; i++) {
        st = nx_record_add_text(&b, nx_str_of(list[i].alias), w->err);
        if (!st) st = nx_record_add_text(&b, nx_str_of(list[i].collection), w->err);
    }
    if (!st) st = put_bytes(w, NX_BACKUP_ALIASES, b.data, b.len);
    nx_buf_free(&b);
    nx_free(list);
    return st;
}

static nx_status put_end(writing *w)
{
    uint64_t n = w->n_parts;

    return begin_part(w, NX_BACKUP_END, (nx_str){"", 0}, n);
}

static nx_status write_all(writing *w, nx_store *store, nx_db *db, const nx_datadir *dir)
{
    uint64_t  now = (uint64_t)nx_clock_unix_ms();
    nx_status st = put(w, NX_BACKUP_MAGIC, 8);

    if (!st) st = put(w, &now, sizeof now);
    if (!st) st = put_pepper(w, dir);
    if (!st) st = put_database(w, db);
    if (!st) st = put_collections(w, store);
    if (!st) st = put_aliases(w, store);
    return st ? st : put_end(w);
}

nx_status nx_backup_write(const char *path, nx_store *store, nx_db *db, const nx_datadir *dir,
                          nx_copy_fn progress, void *ctx, nx_backup_report *out, nx_error *err)
{
    nx_error inner = {0};
    writing  w = {.progress = progress, .ctx = ctx, .report = out, .err = &inner, .total = 1 << 16};
    nx_status st = NX_OK;

    *out = (nx_backup_report){0};
    if (!nx_path_write(w.aside, sizeof w.aside, "%s.part", path))
        return nx_fail(err, NX_ELIMIT, "%s: too long a path", path);
    w.piece = nx_alloc(NX_BACKUP_PIECE, 1);
    if (!w.piece) return nx_fail(err, NX_ENOMEM, "a backup");
    st = nx_file_out_open(&w.out, path, &inner);
    if (!st && fchmod(w.out.fd, 0600)) st = nx_fail(&inner, NX_EIO, "%s: its mode", path);
    if (!st) st = write_all(&w, store, db, dir);
    if (!st)
        st = nx_file_out_commit(&w.out, &inner);
    else
        nx_file_out_abort(&w.out);
    (void)unlink(w.aside);
    nx_free(w.piece);
    out->bytes = w.at;
    if (st && err) *err = inner;
    return st;
}
