/* wal_anew.c - a log after a failed sync.
 *
 * The system may take its pages for clean then, so that another sync writes nothing. A copy has pages
 * of its own; it takes the log's place when it is on the disk, or not at all.
 */
#include <string.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "store/wal.h"

enum { PATH_CAP = 4096, PIECE = 1 << 20 };

static nx_status copy(nx_disk *d, const char *to, const char *from, nx_error *err)
{
    nx_disk_file *in = NULL, *out = NULL;
    uint64_t      size = 0;
    uint8_t      *piece = nx_alloc(PIECE, 1);
    nx_status     st = piece ? NX_OK : nx_fail(err, NX_ENOMEM, "a copy of %s", from);

    if (!st) st = d->ops->open(d, &in, from, 0, err);
    if (!st) st = d->ops->size(d, in, &size, err);
    if (!st) st = d->ops->open(d, &out, to, NX_DISK_CREATE | NX_DISK_EMPTY, err);
    for (uint64_t at = 0; !st && at < size; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        st = d->ops->read(d, in, piece, n, at, err);
        if (!st) st = d->ops->write(d, out, piece, n, at, err);
    }
    if (!st) st = d->ops->sync(d, out, err);
    d->ops->close(d, in);
    d->ops->close(d, out);
    nx_free(piece);
    return st;
}

/* The last one's hex digits are the greatest. */
static bool newest(char out[PATH_CAP], char *const *names, size_t n, const char *dir)
{
    const char *found = NULL;

    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i], "log-", 4) == 0 && strlen(names[i]) == 20) found = names[i];
    return found && nx_path_write(out, PATH_CAP, "%s/%s", dir, found);
}

nx_status nx_wal_write_anew(nx_disk *disk, const char *dir, nx_error *err)
{
    char      path[PATH_CAP], aside[PATH_CAP];
    char    **names;
    size_t    n;
    nx_status st = disk->ops->list(disk, &names, &n, dir, err);

    if (st) return st;
    bool found = newest(path, names, n, dir) && nx_path_write(aside, PATH_CAP, "%s.new", path);
    nx_free(names);
    if (!found) return NX_OK; /* opening says what is missing */
    st = copy(disk, aside, path, err);
    if (!st) st = disk->ops->rename(disk, aside, path, err);
    return st ? st : disk->ops->sync_dir(disk, dir, err);
}
