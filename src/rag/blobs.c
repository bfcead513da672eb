/* blobs.c - content-addressed files over os/disk.h.
 *
 * A blob whose hash begins with ab lies in DIR/ab/, under the 62 digits that follow. It is written to a name
 * of its own beside that (62 digits, a dot, a number, ".partial"), synced, renamed, and its folder synced;
 * what a crash leaves of the former is swept away like a blob that nobody names.
 *
 * A put of bytes that are there makes their file young again, under the lock that a sweep takes for each file
 * it removes: a sweep can't take away what a put has just promised.
 */
#include "rag/blobs.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/digest.h"
#include "os/dir.h"
#include "os/disk.h"

enum { PATH_BYTES = 4096, FOLDERS = 256 };

struct nx_blobs {
    nx_disk        *disk;
    char           *dir;
    atomic_uint     n_written;       /* makes names of partial files differ */
    pthread_mutex_t lock;            /* guards what follows, and a file's age against a sweep */
    bool            synced[FOLDERS]; /* the folder ab/ is there, and its name is durable */
};

typedef struct paths {
    char folder[PATH_BYTES], file[PATH_BYTES], partial[PATH_BYTES];
} paths;

nx_status nx_blobs_open(nx_blobs **out, const char *dir, nx_error *err)
{
    nx_disk  *disk = nx_disk_real();
    nx_status st;

    *out = NULL;
    st = nx_dir_make(dir, err);
    if (st) return st;
    nx_blobs *b = nx_calloc(1, sizeof *b);
    char     *copy = nx_strdup(dir);
    if (!b || !copy) {
        nx_free(b);
        nx_free(copy);
        return nx_fail(err, NX_ENOMEM, "%s", dir);
    }
    b->disk = disk;
    b->dir = copy;
    pthread_mutex_init(&b->lock, NULL);
    char above[PATH_BYTES];
    if (nx_path_write(above, sizeof above, "%s/..", dir))
        st = disk->ops->sync_dir(disk, above, err);
    if (st) {
        nx_blobs_close(b);
        return st;
    }
    *out = b;
    return NX_OK;
}

void nx_blobs_close(nx_blobs *b)
{
    if (!b) return;
    pthread_mutex_destroy(&b->lock);
    nx_free(b->dir);
    nx_free(b);
}

void nx_blob_name(char out[NX_BLOB_NAME], const void *bytes, size_t n)
{
    nx_sha256(out, bytes, n);
}

static bool all_hex(const char *s, size_t n)
{
    return strspn(s, "0123456789abcdef") == n && s[n] == '\0';
}

static nx_status find_paths(nx_blobs *b, paths *p, const char *name, nx_error *err)
{
    unsigned number = atomic_fetch_add(&b->n_written, 1);

    if (!all_hex(name, NX_BLOB_NAME - 1))
        return nx_fail(err, NX_EINVAL, "\"%.70s\" is no blob: expected 64 hexadecimal digits",
                       name);
    if (nx_path_write(p->folder, sizeof p->folder, "%s/%.2s", b->dir, name) &&
        nx_path_write(p->file, sizeof p->file, "%s/%.2s/%s", b->dir, name, name + 2) &&
        nx_path_write(p->partial, sizeof p->partial, "%s/%.2s/%s.%ld-%u.partial", b->dir, name,
                      name + 2, (long)getpid(), number))
        return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: the path is too long", b->dir);
}

/* ---- Putting ---- */

static unsigned folder_number(const char *name)
{
    static const char digits[] = "0123456789abcdef";

    return (unsigned)((strchr(digits, name[0]) - digits) * 16 + (strchr(digits, name[1]) - digits));
}

static nx_status make_folder(nx_blobs *b, const paths *p, const char *name, nx_error *err)
{
    unsigned  i = folder_number(name);
    nx_status st = NX_OK;

    pthread_mutex_lock(&b->lock);
    if (!b->synced[i]) {
        st = b->disk->ops->make_dir(b->disk, p->folder, err);
        if (!st) st = b->disk->ops->sync_dir(b->disk, b->dir, err);
        b->synced[i] = !st;
    }
    pthread_mutex_unlock(&b->lock);
    return st;
}

/* Is it there, whole? Then it is young from now on. */
static bool find_there(nx_blobs *b, const paths *p, size_t n)
{
    struct stat s;

    pthread_mutex_lock(&b->lock);
    bool there = stat(p->file, &s) == 0 && S_ISREG(s.st_mode) && (uint64_t)s.st_size == n &&
                 utimensat(AT_FDCWD, p->file, NULL, 0) == 0;
    pthread_mutex_unlock(&b->lock);
    return there;
}

static nx_status write_file(nx_disk *d, const char *path, const void *bytes, size_t n,
                            nx_error *err)
{
    nx_disk_file *f = NULL;
    nx_status     st = d->ops->open(d, &f, path, NX_DISK_CREATE | NX_DISK_EMPTY, err);

    if (!st && n) st = d->ops->write(d, f, bytes, n, 0, err);
    if (!st) st = d->ops->sync(d, f, err);
    d->ops->close(d, f);
    return st;
}

nx_status nx_blobs_put(nx_blobs *b, char name[NX_BLOB_NAME], const void *bytes, size_t n,
                       nx_error *err)
{
    nx_disk  *d = b->disk;
    paths     p;
    nx_status st;

    nx_blob_name(name, bytes, n);
    st = find_paths(b, &p, name, err);
    if (!st) st = make_folder(b, &p, name, err);
    if (st) return st;
    if (!find_there(b, &p, n)) {
        st = write_file(d, p.partial, bytes, n, err);
        if (!st) st = d->ops->rename(d, p.partial, p.file, err);
        if (st) (void)d->ops->remove(d, p.partial, NULL);
    }
    /* Also for what was there: another thread may have renamed it and not synced yet. */
    return st ? st : d->ops->sync_dir(d, p.folder, err);
}

/* ---- Reading ---- */

static nx_status read_range(nx_disk *d, nx_disk_file *f, nx_buf *out, uint64_t begin, uint64_t end,
                            nx_error *err)
{
    char     *room;
    size_t    n = (size_t)(end - begin);
    nx_status st;

    if (end - begin > SIZE_MAX / 2) return nx_fail(err, NX_ELIMIT, "the range is too long");
    room = nx_buf_room(out, n, err);
    if (!room) return err ? err->status : NX_ENOMEM;
    st = d->ops->read(d, f, room, n, begin, err);
    if (!st) out->len += n;
    out->data[out->len] = '\0';
    return st;
}

nx_status nx_blobs_read(nx_blobs *b, nx_buf *out, const char *name, uint64_t begin, uint64_t end,
                        uint64_t *total, nx_error *err)
{
    nx_error      own;
    nx_disk      *d = b->disk;
    nx_disk_file *f = NULL;
    uint64_t      bytes = 0;
    paths         p;
    nx_status     st;

    if (!err) err = &own;
    if (total) *total = 0;
    st = find_paths(b, &p, name, err);
    if (!st) st = d->ops->open(d, &f, p.file, 0, err);
    if (!st) st = d->ops->size(d, f, &bytes, err);
    if (!st && total) *total = bytes;
    if (end > bytes) end = bytes;
    if (!st && begin < end) st = read_range(d, f, out, begin, end, err);
    d->ops->close(d, f);
    return st;
}

/* ---- Sweeping ---- */

typedef struct sweep {
    nx_blobs *b;
    bool (*keep)(void *ctx, const char *name);
    void    *ctx;
    int64_t  before; /* Unix seconds: what is younger stays */
    uint64_t n;
} sweep;

static nx_status sweep_file(sweep *s, const char *folder, const char *rest, nx_error *err)
{
    char        path[PATH_BYTES], name[NX_BLOB_NAME];
    struct stat found;
    nx_status   st = NX_OK;
    bool        is_blob = all_hex(rest, NX_BLOB_NAME - 3);
    size_t      len = strlen(rest);

    if (!is_blob && (len < 8 || strcmp(rest + len - 8, ".partial") != 0)) return NX_OK;
    if (!nx_path_write(path, sizeof path, "%s/%s/%s", s->b->dir, folder, rest)) return NX_OK;
    if (is_blob) {
        (void)nx_path_write(name, sizeof name, "%.2s%.62s", folder, rest);
        if (s->keep(s->ctx, name)) return NX_OK;
    }
    pthread_mutex_lock(&s->b->lock);
    if (stat(path, &found) == 0 && (int64_t)found.st_mtim.tv_sec < s->before) {
        st = s->b->disk->ops->remove(s->b->disk, path, err);
        if (!st) s->n++;
    }
    pthread_mutex_unlock(&s->b->lock);
    return st;
}

static nx_status sweep_folder(sweep *s, const char *folder, nx_error *err)
{
    char      path[PATH_BYTES];
    char    **names = NULL;
    size_t    n = 0;
    nx_status st = NX_OK;

    if (!all_hex(folder, 2)) return NX_OK;
    if (!nx_path_write(path, sizeof path, "%s/%s", s->b->dir, folder)) return NX_OK;
    st = s->b->disk->ops->list(s->b->disk, &names, &n, path, err);
    for (size_t i = 0; !st && i < n; i++) st = sweep_file(s, folder, names[i], err);
    nx_free(names);
    return st;
}

nx_status nx_blobs_sweep(nx_blobs *b, bool (*keep)(void *ctx, const char *name), void *ctx,
                         int32_t age_s, uint64_t *n, nx_error *err)
{
    sweep     s = {b, keep, ctx, (int64_t)time(NULL) - age_s, 0};
    char    **folders = NULL;
    size_t    n_folders = 0;
    nx_status st = b->disk->ops->list(b->disk, &folders, &n_folders, b->dir, err);

    for (size_t i = 0; !st && i < n_folders; i++) st = sweep_folder(&s, folders[i], err);
    nx_free(folders);
    if (n) *n = s.n;
    return st;
}
