/* datadir.c - over POSIX. */
#include "server/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "os/dir.h"

#define CAP NX_DATADIR_PATH_MAX

nx_status nx_datadir_find(nx_datadir *d, const char *given, nx_error *err)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    bool        fits;

    memset(d, 0, sizeof *d);
    d->lock_fd = -1;
    if (given && *given)
        fits = nx_path_write(d->path, CAP, "%s", given);
    else if (xdg && *xdg == '/') /* the standard: a relative one is to be ignored */
        fits = nx_path_write(d->path, CAP, "%s/nexus", xdg);
    else if (home && *home)
        fits = nx_path_write(d->path, CAP, "%s/.local/share/nexus", home);
    else
        return nx_fail(err, NX_EINVAL,
                       "no place for the data folder: neither XDG_DATA_HOME nor HOME is set. "
                       "Give one by --data DIR");
    fits = fits && nx_path_write(d->socket, CAP, "%s/control.sock", d->path) &&
           nx_path_write(d->db, CAP, "%s/nexus.db", d->path) &&
           nx_path_write(d->pepper, CAP, "%s/pepper", d->path);
    return fits ? NX_OK : nx_fail(err, NX_ELIMIT, "the data folder's path is too long");
}

static nx_status make_private(const char *path, nx_error *err)
{
    struct stat s;
    nx_status   st = nx_dir_make_above(path, err);

    if (st) return st;
    if (mkdir(path, 0700) == 0) return NX_OK;
    if (errno != EEXIST || stat(path, &s) != 0 || !S_ISDIR(s.st_mode))
        return nx_fail(err, NX_EIO, "%s: can't make the data folder: %s", path, strerror(errno));
    if ((s.st_mode & 077) == 0) return NX_OK;
    if (s.st_uid == geteuid() && chmod(path, 0700) == 0) return NX_OK;
    /* A volume that a container was given: not ours to change. Its files are 0600 each. */
    if (s.st_mode & S_IWOTH) nx_log_warn("%s: everyone on this machine may write here", path);
    return NX_OK;
}

int nx_datadir_pid(const char *text, size_t len)
{
    long v = 0;

    for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        v = v * 10 + (text[i] - '0');
        if (v > INT_MAX) return 0;
    }
    return (int)v;
}

static int read_pid(const char *path)
{
    char    text[32];
    int     fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);

    if (fd >= 0) close(fd);
    return n > 0 ? nx_datadir_pid(text, (size_t)n) : 0;
}

static nx_status busy(nx_datadir *d, const char *lock, nx_error *err)
{
    char who[64] = "another process";

    d->pid = read_pid(lock);
    if (d->pid) snprintf(who, sizeof who, "process %d", d->pid);
    return nx_fail(err, NX_EBUSY,
                   "%s: this data folder is in use by %s. Stop it first (nexus stop), or give "
                   "another folder by --data DIR",
                   d->path, who);
}

/* For people and `busy`: who holds the lock. That it can't be written is no reason to stop. */
static void write_pid(int fd)
{
    char text[16];
    int  n = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)n) != n)
        nx_log_debug("the lock file keeps no process number: %s", strerror(errno));
}

nx_status nx_datadir_open(nx_datadir *d, const char *given, nx_error *err)
{
    atomic_bool dont_wait = true;
    char        lock[CAP];
    nx_status   st = nx_datadir_find(d, given, err);

    if (st) return st;
    if (!nx_path_write(lock, sizeof lock, "%s/lock", d->path))
        return nx_fail(err, NX_ELIMIT, "the data folder's path is too long");
    st = make_private(d->path, err);
    if (!st) st = nx_lock_take(&d->lock_fd, lock, &dont_wait, err);
    if (st == NX_ECANCELLED) return busy(d, lock, err);
    if (!st) write_pid(d->lock_fd);
    return st;
}

void nx_datadir_close(nx_datadir *d)
{
    nx_lock_release(d->lock_fd);
    d->lock_fd = -1;
}
