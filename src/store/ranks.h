/* ranks.h - the best k of many hits, where k may be anything: what is kept grows with what came, not
 * with k.
 *
 * Idea:   hits are appended; when twice k are there, the worse half goes. A function of the set of hits
 *         alone, whatever their order.
 * Owns:   its hits. Thread: one at a time.
 */
#ifndef NX_STORE_RANKS_H
#define NX_STORE_RANKS_H

#include "store/plan.h"

typedef enum nx_rank_by {
    NX_BY_SCORE,      /* more is better; a NaN counts as -infinity */
    NX_BY_VALUE,      /* of hit.order: less is better */
    NX_BY_VALUE_DESC, /* more is better */
} nx_rank_by;

/* Zero-initialised but for k and by; nx_plan_ranks_free. Ties: by id. */
typedef struct nx_ranks {
    uint64_t     k;
    nx_rank_by   by;
    nx_plan_hit *v;
    size_t       n, cap;
    bool         full; /* k better than any that isn't wanted: */
    nx_plan_hit  last;
} nx_ranks;

void nx_plan_ranks_free(nx_ranks *r);

nx_status nx_ranks_push(nx_ranks *r, nx_plan_hit hit, nx_error *err); /* NX_ENOMEM */

/* Best first, no more than k. */
void nx_ranks_sort(nx_ranks *r);

/* All of `from` too; it is empty afterwards. */
nx_status nx_ranks_join(nx_ranks *r, nx_ranks *from, nx_error *err);

/* -1: a is less. An integer and a float are compared as the numbers they are. */
int nx_order_compare(nx_order_value a, nx_order_value b);

#endif
