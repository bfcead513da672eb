/* segment_write.h - writes a segment of the living rows of heads and segments.
 *
 * Owns:   its list of rows, until nx_gather_free; borrows its sources.
 * Thread: one (the maintainer); readers and the writer go on beside it.
 */
#ifndef NX_STORE_SEGMENT_WRITE_H
#define NX_STORE_SEGMENT_WRITE_H

#include "store/head.h"
#include "store/segment.h"

enum { NX_GATHER_MAX = 64 };

typedef struct nx_row_ref {
    nx_point_id id;
    uint32_t    source, row;
} nx_row_ref;

/* Rows to be written, in order of their ids. */
typedef struct nx_gather {
    nx_head    *heads[NX_GATHER_MAX]; /* source i is heads[i] or segs[i] */
    nx_seg     *segs[NX_GATHER_MAX];
    int         n_sources;
    nx_row_ref *rows;
    size_t      n_rows, cap;
    nx_status (*between)(void *ctx, nx_error *err); /* called after each piece; an error ends it */
    void *ctx;
} nx_gather;

/* Add the rows that live, or died after `seq`. NX_ENOMEM, NX_EFORMAT, NX_EIO. */
nx_status nx_gather_head(nx_gather *g, nx_head *h, uint64_t seq, nx_error *err);
nx_status nx_gather_seg(nx_gather *g, nx_seg *s, uint64_t seq, nx_error *err);
void      nx_gather_free(nx_gather *g); /* an all-zero struct is fine */

/* The stamp of rows[i]'s death, now. */
uint64_t nx_gather_death(const nx_gather *g, size_t i);

/* Sort the rows and write the segment (n_rows >= 1) at path; synced, its folder is not. On error
 * the file may be there in part. NX_EFULL, NX_EIO, NX_ENOMEM, NX_EFORMAT (a damaged source). */
nx_status nx_seg_write(nx_gather *g, nx_disk *disk, const char *path, const nx_config *config,
                       uint64_t incarnation, uint64_t number, nx_error *err);

#endif
