/* postings_seg.h - the posting lists of a segment's sparse vectors: those of its file, or, where these
 * are damaged or were never written, made anew in memory from the rows.
 *
 * Owns:   what is in memory, until the segment goes; bindings are kept likewise.
 * Thread: any that holds the segment. No lock: two threads that make the same at once make it twice,
 *         and one of them is kept.
 */
#ifndef NX_STORE_POSTINGS_SEG_H
#define NX_STORE_POSTINGS_SEG_H

#include "store/postings.h"
#include "store/segment.h"

typedef struct nx_seg_postings nx_seg_postings;
struct nx_seg_postings {
    nx_postings      view;   /* in the file: may be SIGBUS, and lists aren't checked yet */
    uint8_t         *memory; /* NULL: in the file */
    uint64_t         bytes;  /* of memory */
    nx_seg_postings *older;  /* damaged, but someone may still read it */
};

/* Of a sparse slot; *out lives as long as the segment. NX_ENOMEM, NX_EIO, NX_EFORMAT (a row). */
nx_status nx_seg_postings_get(nx_seg *s, const nx_seg_postings **out, int32_t slot, nx_error *err);

/* The lists of n keys, and their bytes checked: read them inside of nx_fault_run, and trust no row to be
 * below n_rows, nor to ascend. Errors likewise. */
nx_status nx_seg_lists(nx_seg *s, nx_list *out, int32_t slot, const uint32_t *keys, size_t n,
                       nx_error *err);

/* How many of the rows that a reader at seq sees have a vector there. */
nx_status nx_seg_count_present(nx_seg *s, uint64_t *n, int32_t slot, uint64_t seq, nx_error *err);

/* Every byte of the file's, read and checked; where damaged they are made anew. */
nx_status nx_seg_postings_check(nx_seg *s, int32_t slot, nx_error *err);

/* Bytes in memory, of all slots. */
uint64_t nx_seg_postings_bytes(const nx_seg *s);

void nx_seg_postings_free(nx_seg *s); /* the last reference goes */

#endif
