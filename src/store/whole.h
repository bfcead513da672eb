/* whole.h - small files that are replaced whole: written aside, synced, renamed, and the folder
 * synced. Who reads one sees the old bytes or the new ones, also after a crash.
 *
 * Thread: one at a time for one file.
 */
#ifndef NX_STORE_WHOLE_H
#define NX_STORE_WHOLE_H

#include "base/buf.h"
#include "os/disk.h"

/* All bytes of dir/name, in memory of its own (64-aligned, nx_free). NX_ENOENT, NX_EIO, NX_ENOMEM;
 * NX_EFORMAT: longer than max. */
nx_status nx_whole_read(void **out, size_t *n, nx_disk *disk, const char *dir, const char *name,
                        size_t max, nx_error *err);

/* Replace dir/name, by way of dir/name.new. On error it is as it was, unless *unclear (may be NULL):
 * it failed after the rename, so that either may be what survives. */
nx_status nx_whole_write(nx_disk *disk, const char *dir, const char *name, const nx_buf *bytes,
                         bool *unclear, nx_error *err);

#endif
