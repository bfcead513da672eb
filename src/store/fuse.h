/* fuse.h - several lists of hits made one, by rank or by score.
 *
 * Thread: any; nothing is kept.
 */
#ifndef NX_STORE_FUSE_H
#define NX_STORE_FUSE_H

#include "store/plan.h"

/* lists [plan->n_sources], of an RRF or DBSF plan; the best k (any number) that pass its threshold into
 * the empty out. NX_ENOMEM. */
nx_status nx_fuse(nx_results *out, const nx_plan *plan, const nx_results *lists, uint64_t k,
                  nx_error *err);

#endif
