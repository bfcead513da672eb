/* blobs.h - bytes kept by what they are: one file for each SHA-256, in DATA/blobs/ab/cdef...
 *
 * Idea:   a file is written aside, synced, renamed, its folder synced, before a record names it. What no
 *         record names is swept away.
 * Thread: any.
 */
#ifndef NX_RAG_BLOBS_H
#define NX_RAG_BLOBS_H

#include <stdbool.h>

#include "base/buf.h"

#define NX_BLOB_NAME 65 /* 64 hex digits and a NUL */

typedef struct nx_blobs nx_blobs;

nx_status nx_blobs_open(nx_blobs **out, const char *dir, nx_error *err); /* made where missing */
void      nx_blobs_close(nx_blobs *b);

void nx_blob_name(char out[NX_BLOB_NAME], const void *bytes, size_t n);

/* Durable when it returns; nothing is written where it is there already. NX_EFULL, NX_EIO, NX_ENOMEM. */
nx_status nx_blobs_put(nx_blobs *b, char name[NX_BLOB_NAME], const void *bytes, size_t n,
                       nx_error *err);

/* Append bytes [begin, end) (end clamped) of a blob; *total (may be NULL): its size. Out-of-range: nothing.
 * NX_ENOENT, NX_EINVAL (no such name), NX_ELIMIT (over out->max), NX_EIO, NX_ENOMEM. */
nx_status nx_blobs_read(nx_blobs *b, nx_buf *out, const char *name, uint64_t begin, uint64_t end,
                        uint64_t *total, nx_error *err);

/* Remove every blob for which keep says false and that was last put more than age_s seconds ago, and what crashes
 * left of half-written ones. *n (may be NULL): how many. keep is called without a lock. */
nx_status nx_blobs_sweep(nx_blobs *b, bool (*keep)(void *ctx, const char *name), void *ctx,
                         int32_t age_s, uint64_t *n, nx_error *err);

#endif
