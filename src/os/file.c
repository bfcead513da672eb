/* file.c - files on POSIX. Thread: any; each handle has one owner. */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static nx_status fail_errno(nx_error *err, const char *path, const char *doing, int e)
{
    if (e == ENOENT) return nx_fail(err, NX_ENOENT, "%s: no such file", path);
    return nx_fail(err, NX_EIO, "%s: %s: %s", path, doing, strerror(e));
}

static nx_status check_regular(const char *path, const struct stat *s, nx_error *err)
{
    if (S_ISREG(s->st_mode)) return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: is %s, expected a regular file", path,
                   S_ISDIR(s->st_mode) ? "a directory" : "not a file");
}

static nx_status map_fd(nx_file_map *out, int fd, const char *path, nx_error *err)
{
    struct stat s;
    nx_status   st;

    if (fstat(fd, &s) != 0) return fail_errno(err, path, "stat", errno);
    st = check_regular(path, &s, err);
    if (st) return st;
    if (s.st_size > 0) {
        void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) return fail_errno(err, path, "map", errno);
        out->data = p;
        out->bytes = (size_t)s.st_size;
    }
    out->path = nx_strdup(path);
    if (out->path) return NX_OK;
    nx_file_map_close(out);
    return nx_fail(err, NX_ENOMEM, "path of %s", path);
}

nx_status nx_file_map_open(nx_file_map *out, const char *path, nx_error *err)
{
    *out = (nx_file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    if (fd < 0) return fail_errno(err, path, "open", errno);
    nx_status st = map_fd(out, fd, path, err);
    close(fd);
    return st;
}

void nx_file_map_close(nx_file_map *m)
{
    if (m->data) munmap((void *)(uintptr_t)m->data, m->bytes);
    nx_free(m->path);
    *m = (nx_file_map){0};
}

void nx_file_map_willneed(const nx_file_map *m, size_t offset, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!m->data || offset >= m->bytes) return;
    if (bytes > m->bytes - offset) bytes = m->bytes - offset;
    size_t start = offset / page * page;
    (void)madvise((void *)(uintptr_t)(m->data + start), bytes + (offset - start), MADV_WILLNEED);
}

void nx_file_map_forget(const nx_file_map *m, const void *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)data, to = from + bytes;
    uintptr_t begin = (uintptr_t)m->data, end = begin + m->bytes;

    if (!m->data || to <= begin || from >= end) return;
    /* Both ends of the mapping stand at pages. */
    from = from <= begin ? begin : (from + page - 1) / page * page;
    to = to >= end ? end : to / page * page;
    if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

/* After a failed read or write: true when it should be tried again. A descriptor that someone else
 * made non-blocking (a terminal shared with another program) is waited for. */
static bool wait_again(int fd, short events, int e)
{
    struct pollfd p = {.fd = fd, .events = events};

    if (e == EAGAIN || e == EWOULDBLOCK) return poll(&p, 1, -1) >= 0 || errno == EINTR;
    return e == EINTR;
}

nx_status nx_fd_read_all(nx_buf *out, int fd, const char *name, nx_error *err)
{
    char block[16384];

    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n == 0) return NX_OK;
        if (n < 0 && wait_again(fd, POLLIN, errno)) continue;
        if (n < 0) return fail_errno(err, name, "read", errno);
        nx_status st = nx_buf_add(out, block, (size_t)n, err);
        if (st) return nx_fail_prefix(err, st, "%s", name);
    }
}

nx_status nx_file_read_all(nx_buf *out, const char *path, nx_error *err)
{
    struct stat s;
    int         fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) return fail_errno(err, path, "open", errno);
    nx_status st = NX_OK;
    if (fstat(fd, &s) == 0 && S_ISDIR(s.st_mode))
        st = nx_fail(err, NX_EINVAL, "%s: is a directory, expected a file", path);
    if (!st) st = nx_fd_read_all(out, fd, path, err);
    close(fd);
    return st;
}

nx_status nx_fd_write_all(int fd, const void *bytes, size_t n, const char *name, nx_error *err)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && wait_again(fd, POLLOUT, errno)) continue;
        if (done < 0) return fail_errno(err, name, "write", errno);
        p += done;
        n -= (size_t)done;
    }
    return NX_OK;
}

nx_status nx_fd_seek(int fd, uint64_t at, const char *name, nx_error *err)
{
    if (at > INT64_MAX || lseek(fd, (off_t)at, SEEK_SET) < 0)
        return fail_errno(err, name, "seek", at > INT64_MAX ? EOVERFLOW : errno);
    return NX_OK;
}

nx_status nx_file_out_open(nx_file_out *f, const char *path, nx_error *err)
{
    static const char suffix[] = ".partial";
    size_t            len = strlen(path);

    *f = (nx_file_out){.fd = -1};
    f->path = nx_strdup(path);
    f->path_partial = nx_alloc(len + sizeof suffix, 1);
    if (!f->path || !f->path_partial) {
        nx_file_out_abort(f);
        return nx_fail(err, NX_ENOMEM, "path of %s", path);
    }
    memcpy(f->path_partial, path, len);
    memcpy(f->path_partial + len, suffix, sizeof suffix);
    f->fd = open(f->path_partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (f->fd >= 0) return NX_OK;
    nx_status st = fail_errno(err, f->path_partial, "create", errno);
    nx_free(f->path_partial);
    f->path_partial = NULL; /* nothing to remove */
    nx_file_out_abort(f);
    return st;
}

nx_status nx_file_out_commit(nx_file_out *f, nx_error *err)
{
    nx_status st = NX_OK;

    if (fsync(f->fd) != 0) st = fail_errno(err, f->path_partial, "sync", errno);
    if (close(f->fd) != 0 && !st) st = fail_errno(err, f->path_partial, "close", errno);
    f->fd = -1;
    if (!st && rename(f->path_partial, f->path) != 0)
        st = fail_errno(err, f->path, "rename", errno);
    if (!st) {
        nx_free(f->path_partial);
        f->path_partial = NULL;
    }
    nx_file_out_abort(f);
    return st;
}

void nx_file_out_abort(nx_file_out *f)
{
    if (f->path && f->fd >= 0) close(f->fd); /* an all-zero struct holds no descriptor 0 */
    if (f->path_partial) unlink(f->path_partial);
    nx_free(f->path);
    nx_free(f->path_partial);
    *f = (nx_file_out){.fd = -1};
}

bool nx_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
