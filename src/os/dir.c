/* dir.c - folders, over POSIX. */
#include "os/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#define LOCK_POLL_NS   50000000
#define TREE_DEPTH_MAX 64

bool nx_path_write(char *out, size_t cap, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(out, cap, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < cap) return true;
    out[0] = '\0';
    return false;
}

bool nx_dir_exists(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static nx_status make_one(const char *path, nx_error *err)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && nx_dir_exists(path))) return NX_OK;
    return nx_fail(err, NX_EIO, "%s: can't make this folder: %s", path, strerror(errno));
}

/* Make the folders that end at each slash of path[0..len). */
static nx_status make_prefixes(const char *path, size_t len, nx_error *err)
{
    nx_status st = NX_OK;
    char     *copy = nx_strndup(path, len);

    if (!copy) return nx_fail(err, NX_ENOMEM, "%s", path);
    for (size_t i = 1; !st && i <= len; i++) {
        if (i < len && copy[i] != '/') continue;
        char kept = copy[i];
        copy[i] = '\0';
        if (!nx_dir_exists(copy)) st = make_one(copy, err);
        copy[i] = kept;
    }
    nx_free(copy);
    return st;
}

nx_status nx_dir_make(const char *path, nx_error *err)
{
    return make_prefixes(path, strlen(path), err);
}

nx_status nx_dir_make_above(const char *path, nx_error *err)
{
    const char *slash = strrchr(path, '/');

    return slash && slash != path ? make_prefixes(path, (size_t)(slash - path), err) : NX_OK;
}

/* ---- Listing ---- */

typedef struct names {
    char **v; /* each its own block while we gather */
    size_t n, cap;
} names;

static bool names_add(names *l, const char *name)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        char **grown = nx_realloc(l->v, cap, sizeof *grown);
        if (!grown) return false;
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n] = nx_strdup(name);
    return l->v[l->n] && ++l->n;
}

static void names_free(names *l)
{
    for (size_t i = 0; i < l->n; i++) nx_free(l->v[i]);
    nx_free(l->v);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One block: the pointers, then the strings. */
static char **names_pack(const names *l)
{
    size_t bytes = 0;

    for (size_t i = 0; i < l->n; i++) bytes += strlen(l->v[i]) + 1;
    char **out = nx_alloc(l->n * sizeof *out + bytes + 1, 1);
    if (!out) return NULL;
    char *at = (char *)(out + l->n);
    for (size_t i = 0; i < l->n; i++) {
        size_t len = strlen(l->v[i]) + 1;
        out[i] = memcpy(at, l->v[i], len);
        at += len;
    }
    return out;
}

nx_status nx_dir_list(char ***out, size_t *n, const char *path, nx_error *err)
{
    names          l = {0};
    bool           ok = true;
    struct dirent *e;

    *out = NULL;
    *n = 0;
    DIR *dir = opendir(path);
    if (!dir && errno != ENOENT)
        return nx_fail(err, NX_EIO, "%s: can't list this folder: %s", path, strerror(errno));
    while (dir && ok && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            ok = names_add(&l, e->d_name);
    }
    if (dir) closedir(dir);
    if (ok && l.n > 1) qsort(l.v, l.n, sizeof *l.v, by_bytes);
    if (ok) *out = names_pack(&l);
    *n = *out ? l.n : 0;
    names_free(&l);
    return *out ? NX_OK : nx_fail(err, NX_ENOMEM, "list of %s", path);
}

/* ---- Removing ---- */

static nx_status remove_tree(const char *path, int depth, nx_error *err);

static nx_status remove_children(const char *path, int depth, nx_error *err)
{
    char    **v;
    size_t    n;
    nx_status st = nx_dir_list(&v, &n, path, err);

    for (size_t i = 0; !st && i < n; i++) {
        size_t len = strlen(path) + strlen(v[i]) + 2;
        char  *child = nx_alloc(len, 1);
        if (!child) {
            st = nx_fail(err, NX_ENOMEM, "%s", path);
            break;
        }
        memcpy(child, path, strlen(path));
        child[strlen(path)] = '/';
        memcpy(child + strlen(path) + 1, v[i], strlen(v[i]) + 1);
        st = remove_tree(child, depth + 1, err);
        nx_free(child);
    }
    nx_free(v);
    return st;
}

static nx_status remove_tree(const char *path, int depth, nx_error *err)
{
    struct stat s;
    nx_status   st = NX_OK;

    if (lstat(path, &s) != 0)
        return errno == ENOENT ? NX_OK : nx_fail(err, NX_EIO, "%s: %s", path, strerror(errno));
    if (depth > TREE_DEPTH_MAX) return nx_fail(err, NX_ELIMIT, "%s: nested too deeply", path);
    if (S_ISDIR(s.st_mode)) st = remove_children(path, depth, err);
    if (!st && remove(path) != 0 && errno != ENOENT)
        st = nx_fail(err, NX_EIO, "%s: can't be removed: %s", path, strerror(errno));
    return st;
}

nx_status nx_dir_remove_all(const char *path, nx_error *err)
{
    return remove_tree(path, 0, err);
}

nx_status nx_dir_free_bytes(uint64_t *out, const char *path, nx_error *err)
{
    struct statvfs s;

    if (statvfs(path, &s) != 0)
        return nx_fail(err, NX_EIO, "%s: can't ask for free space: %s", path, strerror(errno));
    *out = (uint64_t)s.f_bavail * s.f_frsize;
    return NX_OK;
}

nx_status nx_dir_need_room(const char *path, uint64_t bytes, nx_error *err)
{
    uint64_t  left = 0;
    nx_status st = nx_dir_free_bytes(&left, path, err);

    if (st || left >= bytes) return st;
    double unit = bytes < 100000000 ? 1e6 : 1e9;
    return nx_fail(err, NX_EIO, "%s: %.2f %s will be written here, and the disk has %.2f %s left",
                   path, (double)bytes / unit, unit < 1e9 ? "MB" : "GB", (double)left / unit,
                   unit < 1e9 ? "MB" : "GB");
}

nx_status nx_path_rename(const char *from, const char *to, nx_error *err)
{
    const char *slash = strrchr(to, '/');
    char        above[4096];

    if (rename(from, to) != 0)
        return nx_fail(err, NX_EIO, "%s: can't be renamed to %s: %s", from, to, strerror(errno));
    if (!nx_path_write(above, sizeof above, "%.*s", slash ? (int)(slash - to) + 1 : 1,
                       slash ? to : "."))
        return NX_OK;
    int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* some file systems can't, and need not */
        close(fd);
    }
    return NX_OK;
}

/* ---- Locks ---- */

nx_status nx_lock_take(int *fd, const char *path, const atomic_bool *cancel, nx_error *err)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) return nx_fail(err, NX_EIO, "%s: can't be opened: %s", path, strerror(errno));
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        bool busy = errno == EWOULDBLOCK || errno == EINTR;
        bool cancelled = cancel && atomic_load(cancel);
        if (!busy || cancelled) {
            nx_status st =
                cancelled ? nx_fail(err, NX_ECANCELLED, "cancelled")
                          : nx_fail(err, NX_EIO, "%s: can't be locked: %s", path, strerror(errno));
            close(*fd);
            *fd = -1;
            return st;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_NS}, NULL);
    }
    return NX_OK;
}

void nx_lock_release(int fd)
{
    if (fd >= 0) close(fd); /* the lock goes with its descriptor */
}
