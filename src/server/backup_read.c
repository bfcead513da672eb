/* backup_read.c - checks an instance's file, and makes a data folder from it.
 *
 * Idea: the whole file is read and compared first; then the folder is made aside, as DATA/restoring, and
 *       its parts are moved into place by their names. Names of collections never become paths here: the
 *       store makes folders of them.
 */
#include "server/backup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "os/dir.h"
#include "os/file.h"
#include "server/backup_in.h"
#include "server/pepper.h"
#include "store/record.h"

enum { ALIASES_BYTES_MAX = 16 << 20 };

typedef struct reading {
    const char    *path;
    int            fd;
    uint64_t       at, size;
    uint8_t       *piece; /* [NX_BACKUP_PIECE] */
    nx_backup_part part;
    char           name[NX_COLLECTION_NAME_MAX + 1];

    char              dir[NX_DATADIR_PATH_MAX]; /* where it is restored; "": it is only checked */
    char              aside[NX_DATADIR_PATH_MAX];
    nx_store         *store;
    nx_copy_fn        progress;
    void             *ctx;
    nx_backup_report *report;
    nx_error         *err;
} reading;

static nx_status bad(reading *r, const char *what)
{
    return nx_fail(r->err, NX_EFORMAT, "%s: byte %llu: %s", r->path, (unsigned long long)r->at,
                   what);
}

static nx_status get(reading *r, void *out, size_t n)
{
    uint8_t *p = out;

    if (n > r->size - r->at) return bad(r, "it ends too early. Truncated?");
    while (n > 0) {
        ssize_t k = pread(r->fd, p, n, (off_t)r->at);
        if (k <= 0) return nx_fail(r->err, NX_EIO, "%s: can't be read", r->path);
        p += k;
        n -= (size_t)k;
        r->at += (uint64_t)k;
    }
    if (r->progress && !r->progress(r->ctx, r->at, r->size))
        return nx_fail(r->err, NX_ECANCELLED, "%s: cancelled", r->path);
    return NX_OK;
}

static nx_status skip_zeros(reading *r)
{
    char   zeros[8] = {0};
    size_t n = (size_t)((8 - r->at % 8) % 8);

    nx_status st = n ? get(r, zeros, n) : NX_OK;
    for (size_t i = 0; !st && i < n; i++)
        if (zeros[i]) st = bad(r, "more than it says");
    return st;
}

static nx_status read_name(reading *r)
{
    nx_backup_part *p = &r->part;
    nx_status       st = get(r, r->name, p->name_bytes);

    r->name[p->name_bytes] = '\0';
    if (!st && p->name_crc != nx_crc32c(0, r->name, p->name_bytes)) st = bad(r, "a damaged name");
    return st ? st : skip_zeros(r);
}

static nx_status read_part_head(reading *r)
{
    nx_backup_part *p = &r->part;
    nx_status       st = get(r, p, sizeof *p);

    if (st) return st;
    if (memcmp(p->magic, "NXPT", 4) != 0 ||
        p->crc != nx_crc32c(0, (const char *)p + 8, sizeof *p - 8))
        return bad(r, "the part before is damaged, or none");
    if (p->kind >= NX_BACKUP_KINDS) return bad(r, "a part that this version doesn't know");
    bool named = p->kind == NX_BACKUP_COLLECTION;
    if (p->name_bytes > NX_COLLECTION_NAME_MAX || named != (p->name_bytes > 0))
        return bad(r, "a name that none has");
    if (p->kind != NX_BACKUP_END && p->bytes > r->size - r->at)
        return bad(r, "it ends too early. Truncated?");
    if ((p->kind == NX_BACKUP_PEPPER && p->bytes != NX_PEPPER_BYTES) ||
        (p->kind == NX_BACKUP_ALIASES && p->bytes > ALIASES_BYTES_MAX))
        return bad(r, "a part of a size that none has");
    return read_name(r);
}

/* The content to fd (-1: nowhere), compared with its checksum. */
static nx_status read_content(reading *r, int fd)
{
    uint32_t  crc = 0;
    uint64_t  sum;
    nx_status st = NX_OK;

    for (uint64_t left = r->part.bytes; !st && left > 0;) {
        size_t n = left < NX_BACKUP_PIECE ? (size_t)left : NX_BACKUP_PIECE;
        st = get(r, r->piece, n);
        if (st) break;
        crc = nx_crc32c(crc, r->piece, n);
        if (fd >= 0) st = nx_fd_write_all(fd, r->piece, n, r->aside, r->err);
        left -= n;
    }
    if (!st) st = skip_zeros(r);
    if (!st) st = get(r, &sum, sizeof sum);
    if (!st && sum != crc) st = bad(r, "the part before is damaged: it doesn't have its checksum");
    return st;
}

/* ---- Into the folder ---- */

static nx_status take_aliases(reading *r)
{
    nx_buf           b = {.max = ALIASES_BYTES_MAX};
    nx_status        st = nx_file_read_all(&b, r->aside, r->err);
    nx_record        in = {(const uint8_t *)b.data, b.len, false};
    uint32_t         n = st ? 0 : nx_record_u32(&in);
    nx_alias_change *changes = NULL;

    if (!st && n > in.left / 8) st = bad(r, "more aliases than bytes");
    if (!st) changes = nx_calloc((size_t)n + 1, sizeof *changes);
    if (!st && !changes) st = nx_fail(r->err, NX_ENOMEM, "aliases");
    for (uint32_t i = 0; !st && i < n; i++) {
        changes[i].kind = NX_ALIAS_CREATE;
        changes[i].alias = nx_record_text(&in);
        changes[i].to = nx_record_text(&in);
    }
    if (!st && nx_record_bad(&in)) st = bad(r, "aliases that are none");
    if (!st && n) st = nx_store_change_aliases(r->store, changes, n, r->err);
    nx_free(changes);
    nx_buf_free(&b);
    return st;
}

/* The part lies in r->aside. */
static nx_status take_part(reading *r)
{
    char      to[NX_DATADIR_PATH_MAX];
    bool      is_pepper = r->part.kind == NX_BACKUP_PEPPER;
    nx_db    *db = NULL;
    nx_status st;

    if (r->part.kind == NX_BACKUP_ALIASES) return take_aliases(r);
    if (r->part.kind == NX_BACKUP_COLLECTION)
        return nx_store_import_collection(r->store, nx_str_of(r->name), r->aside, false, NULL, NULL,
                                          r->err);
    if (!nx_path_write(to, sizeof to, "%s/%s", r->dir, is_pepper ? "pepper" : "nexus.db"))
        return nx_fail(r->err, NX_ELIMIT, "%s: too long a path", r->dir);
    st = nx_path_rename(r->aside, to, r->err);
    if (st || is_pepper) return st;
    st = nx_db_open(&db, to, r->err); /* is it one of ours, and whole? */
    nx_db_close(db);
    return st;
}

static nx_status restore_part(reading *r)
{
    int fd = open(r->aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) return nx_fail(r->err, NX_EIO, "%s: can't be made", r->aside);
    nx_status st = read_content(r, fd);
    if (!st && fsync(fd)) st = nx_fail(r->err, NX_EIO, "%s: can't be synced", r->aside);
    if (close(fd) && !st) st = nx_fail(r->err, NX_EIO, "%s: can't be closed", r->aside);
    if (!st) st = take_part(r);
    (void)unlink(r->aside);
    return st;
}

/* ---- The file ---- */

static nx_status read_parts(reading *r)
{
    char      head[NX_BACKUP_HEAD];
    uint64_t  n_parts = 0;
    nx_status st =
        r->size < sizeof head ? bad(r, "too short for a backup") : get(r, head, sizeof head);

    if (!st && memcmp(head, NX_BACKUP_MAGIC, 8) != 0) {
        r->at = 0;
        st = bad(r, "no backup of nexus, or one of another version");
    }
    for (; !st; n_parts++) {
        st = read_part_head(r);
        if (st || r->part.kind == NX_BACKUP_END) break;
        r->report->n_collections += r->part.kind == NX_BACKUP_COLLECTION;
        st = r->dir[0] ? restore_part(r) : read_content(r, -1);
    }
    if (!st && r->part.bytes != n_parts) st = bad(r, "not as many parts as it says");
    if (!st && r->at != r->size) st = bad(r, "more bytes behind the end");
    return st;
}

static nx_status read_file(reading *r)
{
    struct stat is;
    nx_status   st = NX_OK;

    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &is)) st = nx_fail(r->err, NX_ENOENT, "%s: not there", r->path);
    r->piece = st ? NULL : nx_alloc(NX_BACKUP_PIECE, 1);
    if (!st && !r->piece) st = nx_fail(r->err, NX_ENOMEM, "a backup");
    if (!st) {
        r->size = (uint64_t)is.st_size;
        r->report->bytes = r->size;
        st = read_parts(r);
    }
    if (r->fd >= 0) close(r->fd);
    nx_free(r->piece);
    return st;
}

nx_status nx_backup_check(const char *path, nx_copy_fn progress, void *ctx, nx_backup_report *out,
                          nx_error *err)
{
    nx_error inner = {0};
    reading  r = {.path = path, .progress = progress, .ctx = ctx, .report = out, .err = &inner};

    *out = (nx_backup_report){0};
    nx_status st = read_file(&r);
    if (st && err) *err = inner;
    return st;
}

/* ---- The data folder ---- */

/* What a backup brings, and what must not stay beside it. */
static const char *const pieces[] = {"nexus.db", "nexus.db-journal", "pepper", "store"};

enum { N_PIECES = sizeof pieces / sizeof *pieces };

/* A store without a collection holds names with a dot alone. */
static bool holds_something(const char *path)
{
    DIR           *d = opendir(path);
    struct dirent *e;
    bool           some = false;

    if (!d) return nx_file_exists(path);
    while (!some && (e = readdir(d))) some = e->d_name[0] != '.';
    closedir(d);
    return some;
}

static nx_status is_free(const nx_datadir *dir, nx_error *err)
{
    char path[NX_DATADIR_PATH_MAX];

    for (int i = 0; i < N_PIECES; i++)
        if (nx_path_write(path, sizeof path, "%s/%s", dir->path, pieces[i]) &&
            holds_something(path))
            return nx_fail(err, NX_EBUSY,
                           "%s: the data folder isn't empty. --force restores all the same, and "
                           "moves what is there to %s/before-restore",
                           path, dir->path);
    return NX_OK;
}

static nx_status move_piece(const char *from, const char *to, const char *name, nx_error *err)
{
    char a[NX_DATADIR_PATH_MAX], b[NX_DATADIR_PATH_MAX];

    if (!nx_path_write(a, sizeof a, "%s/%s", from, name) ||
        !nx_path_write(b, sizeof b, "%s/%s", to, name))
        return nx_fail(err, NX_ELIMIT, "%s: too long a path", from);
    if (access(a, F_OK)) return NX_OK;
    return nx_path_rename(a, b, err);
}

static nx_status put_in_place(const nx_datadir *dir, const char *made, nx_error *err)
{
    char      before[NX_DATADIR_PATH_MAX];
    nx_disk  *disk = nx_disk_real();
    nx_status st = NX_OK;

    if (!nx_path_write(before, sizeof before, "%s/before-restore", dir->path))
        return nx_fail(err, NX_ELIMIT, "%s: too long a path", dir->path);
    st = nx_dir_remove_all(before, err);
    if (!st) st = nx_dir_make(before, err);
    if (!st && chmod(before, 0700)) st = nx_fail(err, NX_EIO, "%s: its mode", before);
    for (int i = 0; !st && i < N_PIECES; i++) st = move_piece(dir->path, before, pieces[i], err);
    for (int i = 0; !st && i < N_PIECES; i++) st = move_piece(made, dir->path, pieces[i], err);
    if (!st && rmdir(before)) st = disk->ops->sync_dir(disk, before, err); /* there is something */
    return st ? st : disk->ops->sync_dir(disk, dir->path, err);
}

static nx_status restore(reading *r, const nx_datadir *dir, const nx_distance_ops *distances)
{
    char             store[NX_DATADIR_PATH_MAX];
    nx_store_options o = {.distances = distances};

    if (!nx_path_write(r->dir, sizeof r->dir, "%s/restoring", dir->path) ||
        !nx_path_write(r->aside, sizeof r->aside, "%s/part", r->dir) ||
        !nx_path_write(store, sizeof store, "%s/store", r->dir))
        return nx_fail(r->err, NX_ELIMIT, "%s: too long a path", dir->path);
    nx_status st = nx_dir_remove_all(r->dir, r->err);
    if (!st) st = nx_dir_make(r->dir, r->err);
    if (!st && chmod(r->dir, 0700)) st = nx_fail(r->err, NX_EIO, "%s: its mode", r->dir);
    if (!st) st = nx_store_open(&r->store, store, &o, r->err);
    if (!st) st = read_file(r);
    nx_store_close(r->store);
    if (!st) st = put_in_place(dir, r->dir, r->err);
    (void)nx_dir_remove_all(r->dir, NULL);
    return st;
}

nx_status nx_backup_restore(const nx_datadir *dir, const char *path, bool force,
                            const nx_distance_ops *distances, nx_copy_fn progress, void *ctx,
                            nx_backup_report *out, nx_error *err)
{
    nx_error  inner = {0};
    reading   r = {.path = path, .progress = progress, .ctx = ctx, .report = out, .err = &inner};
    nx_status st = force ? NX_OK : is_free(dir, &inner);

    if (!st) st = nx_backup_check(path, progress, ctx, out, &inner);
    *out = (nx_backup_report){0};
    if (!st) st = restore(&r, dir, distances);
    if (st && err) *err = inner;
    return st;
}
