/* scorer.h - how good one vector is for what a plan looks for: NEAREST, BEST, SUM in any slot.
 *
 * What Qdrant does inside: likenesses are products, or the distance's negative (Euclid: the square's).
 * Of multivectors, each row of the example takes the row that is most like it, and these are summed;
 * of sparse vectors, the values at shared indexes, the example's times IDF.
 *
 * Owns:   copies of the examples, in the slot's form (unit length for cosine; sparse ones sorted).
 * Thread: any, once it is made.
 */
#ifndef NX_STORE_SCORER_H
#define NX_STORE_SCORER_H

#include "store/plan.h"

typedef struct nx_scorer nx_scorer;

/* Of a plan that was checked (nx_scorer_check). NX_ENOMEM, and nx_sparse_weigh's errors. */
nx_status nx_scorer_create(nx_scorer **out, nx_snapshot *s, const nx_plan *plan, nx_error *err);
void      nx_scorer_destroy(nx_scorer *x); /* NULL does nothing */

/* NX_EINVAL: what of the plan's examples is wrong. */
nx_status nx_scorer_check(const nx_config *c, const nx_plan *plan, nx_error *err);

int32_t nx_scorer_slot(const nx_scorer *x);

/* The key of a vector of that slot: more is better. False: it is no hit at all. */
bool nx_scorer_key(const nx_scorer *x, float *key, const nx_vector *v);

/* The score that the key of a hit stands for, and whether it passes the plan's threshold. */
float nx_scorer_score(const nx_scorer *x, float key);
bool  nx_scorer_passes(const nx_config *c, const nx_plan *plan, float score);

#endif
