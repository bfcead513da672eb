/* manifest.h - what of a collection is in force: docs/formats/store.md.
 *
 * Owns:   its segments' marks and the bytes that the configuration points into.
 * Thread: one at a time.
 */
#ifndef NX_STORE_MANIFEST_H
#define NX_STORE_MANIFEST_H

#include "os/disk.h"
#include "store/config.h"

enum { NX_SEGS_MAX = 64 };

#define NX_MANIFEST_MAX ((size_t)1 << 30)

typedef struct nx_manifest_seg {
    uint64_t        number, n_rows, n_dead;
    const uint64_t *marks; /* a bit for each row; NULL when n_dead == 0 */
} nx_manifest_seg;

typedef struct nx_manifest {
    uint64_t        incarnation, log_seq, next_number;
    nx_config       config;
    nx_manifest_seg segs[NX_SEGS_MAX];
    int             n_segs;
    void           *bytes; /* views above point into it */
} nx_manifest;

/* Read dir/manifest. NX_ENOENT, NX_EIO, NX_ENOMEM, NX_EFORMAT; *out then holds nothing. */
nx_status nx_manifest_read(nx_manifest *out, nx_disk *disk, const char *dir, nx_error *err);
void      nx_manifest_free(nx_manifest *m); /* an all-zero struct is fine */

/* From bytes (8-aligned) that stay. NX_EFORMAT. */
nx_status nx_manifest_parse(nx_manifest *out, const void *bytes, size_t n, const char *name,
                            nx_error *err);

/* Put a new one in force: written aside, synced, renamed, the folder synced. *unclear (may be
 * NULL): it failed after the rename, so that either may be what survives. */
nx_status nx_manifest_write(const nx_manifest *m, nx_disk *disk, const char *dir, bool *unclear,
                            nx_error *err);

#endif
