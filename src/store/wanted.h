/* wanted.h - which rows of a segment a filter may hold for: what payload indexes, ids and vectors say.
 *
 *     nx_wanted w;
 *     nx_wanted_find(&w, seg, filter, bound, err);
 *     for (uint64_t row = 0; nx_wanted_next(&w, &row); row++)
 *         if (w.exact) ... it holds ... else ... test the row ...
 *     nx_wanted_free(&w);
 *
 * A row that isn't wanted doesn't fit. Dead rows may be wanted.
 * Owns:   its bits. Thread: making: one; reading: any.
 */
#ifndef NX_STORE_WANTED_H
#define NX_STORE_WANTED_H

#include "store/bound.h"
#include "store/index.h"

typedef struct nx_wanted {
    uint64_t *bits; /* one for each row; NULL: all rows */
    uint64_t  n_rows, n;
    bool      exact; /* it holds for all of them */
} nx_wanted;

/* filter (NULL: everything holds) was checked; bound (may be NULL): nx_bound_create's of it. Indexes that
 * aren't there yet are made. NX_ENOMEM, NX_EIO, NX_EFORMAT. */
nx_status nx_wanted_find(nx_wanted *out, nx_seg *s, const nx_filter *filter, const nx_bound *bound,
                         nx_error *err);
void      nx_wanted_free(nx_wanted *w); /* an all-zero struct is fine */

static inline bool nx_wanted_has(const nx_wanted *w, uint64_t row)
{
    return !w->bits || (w->bits[row / 64] >> row % 64 & 1);
}

/* The first wanted row from *row on; false: there is none. */
bool nx_wanted_next(const nx_wanted *w, uint64_t *row);

/* How many of the rows from..end are wanted. */
uint64_t nx_wanted_count(const nx_wanted *w, uint64_t from, uint64_t end);

#endif
