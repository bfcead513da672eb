/* disk.h - what a store needs of files, as a table of functions.
 *
 * nx_disk_real() is POSIX. Tests put another table under the same code: one that loses, reorders
 * and tears what was not synced, or whose n-th call fails.
 *
 * What a disk promises, and no more: after sync, a file's bytes survive a power cut; after
 * sync_dir, the names in a folder do. Anything else may be lost, whole or in part, in any order;
 * what is there without a power cut is what was written.
 *
 * Errors: NX_ENOENT (open without NX_DISK_CREATE, map), NX_EFULL (no room, or beyond a quota),
 * NX_EIO with the system's reason, NX_ENOMEM. A failed write may have written a part.
 * Thread: any; calls on one file by several threads at once are fine but for close.
 */
#ifndef NX_OS_DISK_H
#define NX_OS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct nx_disk      nx_disk;
typedef struct nx_disk_file nx_disk_file; /* an open file; what is in it is the disk's own affair */

enum {
    NX_DISK_CREATE = 1 << 0, /* make it where it is missing */
    NX_DISK_EMPTY = 1 << 1,  /* cut what is there to nothing */
};

/* A file's bytes, readable until unmap. A page that the disk can't give is SIGBUS: see
 * os/fault.h. */
typedef struct nx_disk_map {
    const unsigned char *data; /* NULL when bytes == 0 */
    size_t               bytes;
    void                *own; /* the disk's */
} nx_disk_map;

typedef struct nx_disk_ops {
    nx_status (*open)(nx_disk *d, nx_disk_file **out, const char *path, unsigned flags,
                      nx_error *err);
    void (*close)(nx_disk *d, nx_disk_file *f); /* NULL does nothing */
    nx_status (*size)(nx_disk *d, nx_disk_file *f, uint64_t *out, nx_error *err);

    /* All n bytes at `at`, or an error: NX_EIO also where the file ends before. */
    nx_status (*read)(nx_disk *d, nx_disk_file *f, void *out, size_t n, uint64_t at, nx_error *err);
    nx_status (*write)(nx_disk *d, nx_disk_file *f, const void *bytes, size_t n, uint64_t at,
                       nx_error *err);
    nx_status (*truncate)(nx_disk *d, nx_disk_file *f, uint64_t bytes, nx_error *err);
    nx_status (*sync)(nx_disk *d, nx_disk_file *f, nx_error *err); /* bytes and length */

    nx_status (*map)(nx_disk *d, nx_disk_map *out, const char *path, nx_error *err);
    void (*unmap)(nx_disk *d, nx_disk_map *m); /* an all-zero struct is fine */

    /* Names: to see them survive, sync the folder that holds them. */
    nx_status (*rename)(nx_disk *d, const char *from, const char *to, nx_error *err);
    nx_status (*remove)(nx_disk *d, const char *path, nx_error *err);   /* a file; none is NX_OK */
    nx_status (*make_dir)(nx_disk *d, const char *path, nx_error *err); /* there already: NX_OK */
    nx_status (*remove_dir)(nx_disk *d, const char *path, nx_error *err); /* with all in it */
    nx_status (*sync_dir)(nx_disk *d, const char *path, nx_error *err);
    /* Names in a folder, sorted by byte: one block (nx_free) as of nx_dir_list. */
    nx_status (*list)(nx_disk *d, char ***out, size_t *n, const char *path, nx_error *err);

    /* Hold path against other processes, without waiting: NX_EBUSY when another holds it. */
    nx_status (*lock)(nx_disk *d, int *out, const char *path, nx_error *err);
    void (*unlock)(nx_disk *d, int lock);
} nx_disk_ops;

struct nx_disk {
    const nx_disk_ops *ops;
};

/* The machine's own file systems. Static: nothing to free. */
nx_disk *nx_disk_real(void);

#endif
