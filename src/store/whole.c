/* whole.c - small files that are replaced whole. */
#include "store/whole.h"

#include "base/alloc.h"
#include "os/dir.h"

enum { PATH_CAP = 4096 };

nx_status nx_whole_read(void **out, size_t *n, nx_disk *disk, const char *dir, const char *name,
                        size_t max, nx_error *err)
{
    char          path[PATH_CAP];
    nx_disk_file *f = NULL;
    uint64_t      size = 0;
    nx_status     st = NX_OK;

    *out = NULL;
    *n = 0;
    if (!nx_path_write(path, sizeof path, "%s/%s", dir, name))
        return nx_fail(err, NX_EINVAL, "%s: too long a path", dir);
    st = disk->ops->open(disk, &f, path, 0, err);
    if (!st) st = disk->ops->size(disk, f, &size, err);
    if (!st && size > max)
        st = nx_fail(err, NX_EFORMAT, "%s: %llu bytes, which none has", path,
                     (unsigned long long)size);
    if (!st) *out = nx_alloc_aligned((size_t)size + 1, 1, 64);
    if (!st && !*out)
        st = nx_fail(err, NX_ENOMEM, "%s: %llu bytes", path, (unsigned long long)size);
    if (!st) st = disk->ops->read(disk, f, *out, (size_t)size, 0, err);
    disk->ops->close(disk, f);
    if (st) {
        nx_free(*out);
        *out = NULL;
    } else {
        *n = (size_t)size;
    }
    return st;
}

static nx_status write_aside(nx_disk *disk, const char *path, const nx_buf *b, nx_error *err)
{
    nx_disk_file *f = NULL;
    nx_status     st = disk->ops->open(disk, &f, path, NX_DISK_CREATE | NX_DISK_EMPTY, err);

    if (!st) st = disk->ops->write(disk, f, b->data, b->len, 0, err);
    if (!st) st = disk->ops->sync(disk, f, err);
    disk->ops->close(disk, f);
    return st;
}

nx_status nx_whole_write(nx_disk *disk, const char *dir, const char *name, const nx_buf *bytes,
                         bool *unclear, nx_error *err)
{
    char      path[PATH_CAP], aside[PATH_CAP];
    nx_status st;

    if (unclear) *unclear = false;
    if (!nx_path_write(path, sizeof path, "%s/%s", dir, name) ||
        !nx_path_write(aside, sizeof aside, "%s/%s.new", dir, name))
        return nx_fail(err, NX_EINVAL, "%s: too long a path", dir);
    st = write_aside(disk, aside, bytes, err);
    if (!st) st = disk->ops->rename(disk, aside, path, err);
    if (st) return st;
    st = disk->ops->sync_dir(disk, dir, err);
    if (st && unclear) *unclear = true;
    return st;
}
