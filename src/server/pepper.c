/* pepper.c - over POSIX. */
#include "server/pepper.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "os/dir.h"
#include "os/file.h"
#include "os/random.h"
#include "server/datadir.h"

static nx_status check_file(int fd, const char *path, nx_error *err)
{
    struct stat s;

    if (fstat(fd, &s) != 0) return nx_fail(err, NX_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(s.st_mode) || s.st_size != NX_PEPPER_BYTES)
        return nx_fail(
            err, NX_EFORMAT,
            "%s: %lld bytes, expected %d. Damaged? Put a copy from a backup in its place; "
            "without it no key can be checked, and each must be made anew",
            path, (long long)s.st_size, NX_PEPPER_BYTES);
    if (s.st_mode & 07) nx_log_warn("%s: everyone on this machine may read this secret", path);
    return NX_OK;
}

static nx_status read_file(unsigned char out[NX_PEPPER_BYTES], int fd, const char *path,
                           nx_error *err)
{
    nx_status st = check_file(fd, path, err);
    ssize_t   n;

    if (st) return st;
    do n = read(fd, out, NX_PEPPER_BYTES);
    while (n < 0 && errno == EINTR);
    if (n == NX_PEPPER_BYTES) return NX_OK;
    return nx_fail(err, NX_EIO, "%s: can't be read: %s", path,
                   n < 0 ? strerror(errno) : "it became shorter");
}

static nx_status write_aside(const unsigned char *bytes, const char *aside, nx_error *err)
{
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) return nx_fail(err, NX_EIO, "%s: can't be made: %s", aside, strerror(errno));
    nx_status st = nx_fd_write_all(fd, bytes, NX_PEPPER_BYTES, aside, err);
    if (!st && fsync(fd) != 0)
        st = nx_fail(err, NX_EIO, "%s: can't be synced: %s", aside, strerror(errno));
    close(fd);
    return st;
}

static nx_status make_file(unsigned char out[NX_PEPPER_BYTES], const char *path, nx_error *err)
{
    char      aside[NX_DATADIR_PATH_MAX + 16];
    nx_status st = nx_random_bytes(out, NX_PEPPER_BYTES, err);

    if (st) return st;
    if (!nx_path_write(aside, sizeof aside, "%s.partial", path))
        return nx_fail(err, NX_ELIMIT, "%s: the path is too long", path);
    st = write_aside(out, aside, err);
    if (!st) st = nx_path_rename(aside, path, err);
    if (st) unlink(aside);
    return st;
}

nx_status nx_pepper_load(unsigned char out[NX_PEPPER_BYTES], const char *path, bool may_make,
                         nx_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT && may_make) return make_file(out, path, err);
    if (fd < 0 && errno == ENOENT)
        return nx_fail(err, NX_ENOENT,
                       "%s: missing, though there are keys. Put a copy from a backup in its place; "
                       "or move nexus.db away and make new keys",
                       path);
    if (fd < 0) return nx_fail(err, NX_EIO, "%s: can't be opened: %s", path, strerror(errno));
    nx_status st = read_file(out, fd, path, err);
    close(fd);
    return st;
}
