/* disk.c - the file layer over POSIX. */
#include "os/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/dir.h"

#define IO_MAX ((size_t)1 << 30) /* one call; Linux takes 2 GiB less a page */

struct nx_disk_file {
    int  fd;
    char path[]; /* for messages */
};

static nx_status failed(nx_error *err, const char *path, const char *doing, int e)
{
    nx_status st = e == ENOENT                                ? NX_ENOENT
                   : e == ENOSPC || e == EDQUOT || e == EFBIG ? NX_EFULL
                   : e == ENOMEM                              ? NX_ENOMEM
                   : e == EWOULDBLOCK                         ? NX_EBUSY
                                                              : NX_EIO;

    return nx_fail(err, st, "%s: %s: %s", path, doing, strerror(e));
}

static nx_status real_open(nx_disk *d, nx_disk_file **out, const char *path, unsigned flags,
                           nx_error *err)
{
    size_t len = strlen(path) + 1;

    (void)d;
    *out = NULL;
    nx_disk_file *f = nx_alloc(sizeof *f + len, 1);
    if (!f) return nx_fail(err, NX_ENOMEM, "%s: open", path);
    memcpy(f->path, path, len);
    f->fd = open(path,
                 O_RDWR | O_CLOEXEC | (flags & NX_DISK_CREATE ? O_CREAT : 0) |
                     (flags & NX_DISK_EMPTY ? O_TRUNC : 0),
                 0666);
    if (f->fd < 0) {
        nx_status st = failed(err, path, "open", errno);
        nx_free(f);
        return st;
    }
    *out = f;
    return NX_OK;
}

static void real_close(nx_disk *d, nx_disk_file *f)
{
    (void)d;
    if (!f) return;
    close(f->fd);
    nx_free(f);
}

static nx_status real_size(nx_disk *d, nx_disk_file *f, uint64_t *out, nx_error *err)
{
    struct stat s;

    (void)d;
    if (fstat(f->fd, &s) != 0) return failed(err, f->path, "stat", errno);
    *out = (uint64_t)s.st_size;
    return NX_OK;
}

static nx_status real_read(nx_disk *d, nx_disk_file *f, void *out, size_t n, uint64_t at,
                           nx_error *err)
{
    char *p = out;

    (void)d;
    while (n > 0) {
        ssize_t got = pread(f->fd, p, n < IO_MAX ? n : IO_MAX, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failed(err, f->path, "read", errno);
        if (got == 0)
            return nx_fail(err, NX_EIO, "%s: ends at byte %llu, %zu more expected", f->path,
                           (unsigned long long)at, n);
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return NX_OK;
}

static nx_status real_write(nx_disk *d, nx_disk_file *f, const void *bytes, size_t n, uint64_t at,
                            nx_error *err)
{
    const char *p = bytes;

    (void)d;
    while (n > 0) {
        ssize_t done = pwrite(f->fd, p, n < IO_MAX ? n : IO_MAX, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return failed(err, f->path, "write", done < 0 ? errno : ENOSPC);
        p += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return NX_OK;
}

static nx_status real_truncate(nx_disk *d, nx_disk_file *f, uint64_t bytes, nx_error *err)
{
    (void)d;
    return ftruncate(f->fd, (off_t)bytes) == 0 ? NX_OK : failed(err, f->path, "truncate", errno);
}

/* Not repeated after an error: the kernel reports a failed page once, and calls it clean then. */
static nx_status real_sync(nx_disk *d, nx_disk_file *f, nx_error *err)
{
    (void)d;
    return fdatasync(f->fd) == 0 ? NX_OK : failed(err, f->path, "sync", errno);
}

static nx_status map_fd(nx_disk_map *out, int fd, const char *path, nx_error *err)
{
    struct stat s;

    if (fstat(fd, &s) != 0) return failed(err, path, "stat", errno);
    if (s.st_size == 0) return NX_OK;
    void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return failed(err, path, "map", errno);
    out->data = out->own = p;
    out->bytes = (size_t)s.st_size;
    return NX_OK;
}

static nx_status real_map(nx_disk *d, nx_disk_map *out, const char *path, nx_error *err)
{
    (void)d;
    *out = (nx_disk_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return failed(err, path, "open", errno);
    nx_status st = map_fd(out, fd, path, err);
    close(fd);
    return st;
}

static void real_unmap(nx_disk *d, nx_disk_map *m)
{
    (void)d;
    if (m->own) munmap(m->own, m->bytes);
    *m = (nx_disk_map){0};
}

static nx_status real_rename(nx_disk *d, const char *from, const char *to, nx_error *err)
{
    (void)d;
    return rename(from, to) == 0 ? NX_OK : failed(err, from, "rename", errno);
}

static nx_status real_remove(nx_disk *d, const char *path, nx_error *err)
{
    (void)d;
    return unlink(path) == 0 || errno == ENOENT ? NX_OK : failed(err, path, "remove", errno);
}

static nx_status real_make_dir(nx_disk *d, const char *path, nx_error *err)
{
    (void)d;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && nx_dir_exists(path))) return NX_OK;
    return failed(err, path, "make this folder", errno);
}

static nx_status real_remove_dir(nx_disk *d, const char *path, nx_error *err)
{
    (void)d;
    return nx_dir_remove_all(path, err);
}

static nx_status real_sync_dir(nx_disk *d, const char *path, nx_error *err)
{
    (void)d;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failed(err, path, "open", errno);
    int e =
        fsync(fd) == 0 || errno == EINVAL ? 0 : errno; /* EINVAL: this one can't, and need not */
    close(fd);
    return e ? failed(err, path, "sync", e) : NX_OK;
}

static nx_status real_list(nx_disk *d, char ***out, size_t *n, const char *path, nx_error *err)
{
    (void)d;
    return nx_dir_list(out, n, path, err);
}

static nx_status real_lock(nx_disk *d, int *out, const char *path, nx_error *err)
{
    (void)d;
    *out = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*out < 0) return failed(err, path, "open", errno);
    if (flock(*out, LOCK_EX | LOCK_NB) == 0) return NX_OK;
    int e = errno;
    close(*out);
    *out = -1;
    if (e == EWOULDBLOCK) return nx_fail(err, NX_EBUSY, "%s: held by another process", path);
    return failed(err, path, "lock", e);
}

static void real_unlock(nx_disk *d, int lock)
{
    (void)d;
    if (lock >= 0) close(lock); /* the lock goes with its descriptor */
}

static const nx_disk_ops real_ops = {
    .open = real_open,
    .close = real_close,
    .size = real_size,
    .read = real_read,
    .write = real_write,
    .truncate = real_truncate,
    .sync = real_sync,
    .map = real_map,
    .unmap = real_unmap,
    .rename = real_rename,
    .remove = real_remove,
    .make_dir = real_make_dir,
    .remove_dir = real_remove_dir,
    .sync_dir = real_sync_dir,
    .list = real_list,
    .lock = real_lock,
    .unlock = real_unlock,
};

nx_disk *nx_disk_real(void)
{
    static nx_disk disk = {&real_ops};

    return &disk;
}
