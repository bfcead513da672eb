/* onload.h - makes a checkpoint's matrices smaller while it is loaded.
 *
 * Idea:   tensor by tensor, in pieces of rows on all processors: at no time are more floats in memory
 *         than each processor's piece, and pages of the file that were read are let go.
 */
#ifndef NX_FORMAT_ONLOAD_H
#define NX_FORMAT_ONLOAD_H

#include <stdatomic.h>

#include "format/checkpoint.h"
#include "format/recode.h"

/* Numbers done, of all that are to be done. */
typedef void (*nx_recode_progress_fn)(void *ctx, int64_t done, int64_t total);

/* Give every tensor of cp the type that r says, before anybody else looks at cp. What a tensor was
 * is let go; what it becomes is private memory that cp owns. progress and cancel may be NULL.
 * NX_ECANCELLED, NX_EUNSUPPORTED, NX_ENOMEM: cp is then of no use but to be closed. */
nx_status nx_checkpoint_quantise(nx_checkpoint *cp, nx_recipe r, const nx_recipe_model *m,
                                 nx_pool *pool, const atomic_bool *cancel,
                                 nx_recode_progress_fn progress, void *ctx, nx_error *err);

#endif
