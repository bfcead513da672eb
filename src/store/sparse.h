/* sparse.h - searches by sparse vectors, over posting lists.
 *
 * Thread: any; a snapshot may be searched by many.
 */
#ifndef NX_STORE_SPARSE_H
#define NX_STORE_SPARSE_H

#include "store/plan.h"

/* The k best points that share an index with the target, best first, ties by id: hits has room for k, the
 * first *n are written. Score: the product of the values at shared indexes, in the order of the indexes,
 * the target's weighed as below. threshold: at least. On error *n is 0. NX_EINVAL (slot, form, an index
 * twice, a value that isn't finite, the filter), NX_ENOMEM, NX_EIO, NX_EFORMAT (and the collection is
 * quarantined). */
nx_status nx_sparse_search(nx_snapshot *s, nx_plan_hit *hits, size_t *n, size_t k, int32_t slot,
                           const nx_vector *target, const nx_filter *filter, bool has_threshold,
                           float threshold, nx_error *err);

/* What the target's values count: themselves, or, where its slot has `idf`, times
 * ln((N - df + .5) / (df + .5) + 1): of the N points that have the vector df have the index. The same
 * however points lie in heads and segments. weights [target->n]. Errors likewise. */
nx_status nx_sparse_weigh(nx_snapshot *s, float *weights, const nx_vector *target, nx_error *err);

#endif
