/* match.h - filters on the rows of heads and segments, with the words of text indexes.
 *
 *     nx_match m = {.filter = filter, .config = config, .settings = settings};
 *     nx_status st = nx_match_begin(&m, err);
 *     ... nx_match_block, nx_match_row, nx_match_wanted ...
 *     if (!st) st = nx_match_end(&m, err);
 *     nx_match_free(&m);
 *
 * Owns:   scratch for one row, the filter's bindings. Thread: one at a time.
 */
#ifndef NX_STORE_MATCH_H
#define NX_STORE_MATCH_H

#include "store/wanted.h"

/* Zero-initialised but for filter (NULL: everything matches), config, and settings (NULL: no indexes),
 * which are borrowed. */
typedef struct nx_match {
    const nx_filter   *filter;
    const nx_config   *config;
    const nx_settings *settings;
    nx_bound          *bound;
    nx_buf             row;
} nx_match;

nx_status nx_match_begin(nx_match *m, nx_error *err); /* NX_ENOMEM */

bool      nx_match_block(nx_match *m, const nx_block *b);
nx_status nx_match_row(nx_match *m, bool *out, nx_seg *s, uint64_t row, nx_point_id id,
                       nx_error *err);

/* Which rows of s are worth a test: nx_wanted_find. */
nx_status nx_match_wanted(nx_match *m, nx_wanted *out, nx_seg *s, nx_error *err);

/* Did a test run out of memory? Then what was found counts for nothing: NX_ENOMEM. */
nx_status nx_match_end(const nx_match *m, nx_error *err);
void      nx_match_free(nx_match *m); /* an all-zero struct is fine */

#endif
