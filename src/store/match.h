/* match.h - filters on the rows of heads and segments.
 *
 * Owns:   scratch for one row. Thread: one at a time.
 */
#ifndef NX_STORE_MATCH_H
#define NX_STORE_MATCH_H

#include "store/filter.h"
#include "store/segment.h"

/* Zero-initialised but for filter (NULL: everything matches) and config. */
typedef struct nx_match {
    const nx_filter *filter;
    const nx_config *config;
    nx_buf           row;
} nx_match;

bool      nx_match_block(nx_match *m, const nx_block *b);
nx_status nx_match_row(nx_match *m, bool *out, nx_seg *s, uint64_t row, nx_point_id id,
                       nx_error *err);
void      nx_match_free(nx_match *m);

#endif
