/* plan.h - the memory that a model takes, from its metadata alone, before anything is loaded.
 *
 * Idea:   the model's description lists every tensor; a recipe says which type each one has; KV
 *         cache, activations and scratch follow from sizes. So a plan for any type and context costs
 *         milliseconds and needs no weights.
 * Owns:   the list of layers' bytes.
 * Thread: any.
 */
#ifndef NX_ENGINE_PLAN_H
#define NX_ENGINE_PLAN_H

#include "format/recipe.h"
#include "model/kv.h"
#include "model/walk.h"

/* What a GPU's driver and libraries take for themselves, in round numbers. */
#define NX_PLAN_GPU_RESERVE (UINT64_C(512) << 20)

typedef struct nx_plan_options {
    nx_recipe recipe;   /* NX_RECIPE_NONE: as the checkpoint is */
    nx_dtype  kv_dtype; /* F16, F32, Q8_0 */
    int32_t   n_ctx;    /* positions; 0: the model's, at most 4096 */
    int32_t   n_batch;
} nx_plan_options;

typedef struct nx_plan {
    nx_hparams hp;
    nx_recipe  recipe;
    nx_dtype   native, kv_dtype; /* native: of the checkpoint's matrices */
    int32_t    n_ctx, n_batch;
    bool       has_head; /* of its own; else it is the embedding */

    uint64_t  n_params;
    uint64_t  weights;   /* all of them; the sum of the next three and the layers' */
    uint64_t  embedding; /* rows are looked up: costs memory, no time */
    uint64_t  head;      /* 0 when tied */
    uint64_t  other;     /* the last norm, rope factors */
    uint64_t *layers;    /* [hp.n_layers] */
    uint64_t  largest_tensor;

    uint64_t kv, kv_per_position;
    uint64_t work;           /* activations, the backend's scratch, one row of logits */
    uint64_t per_token;      /* weight bytes read to compute one token */
    bool     weights_mapped; /* read where they lie in the page cache; else private memory */
} nx_plan;

/* cp needs no tensors. be may be NULL: then `work` lacks its scratch.
 * NX_ELIMIT: n_ctx above the model's; NX_EUNSUPPORTED: kv_dtype doesn't fit the heads, or the
 * architecture is unknown; NX_EFORMAT; NX_ENOMEM. */
nx_status nx_plan_make(nx_plan *out, const nx_checkpoint *cp, const nx_backend *be,
                       const nx_plan_options *opt, nx_error *err);
void      nx_plan_free(nx_plan *p);

uint64_t nx_plan_total(const nx_plan *p);   /* everything */
uint64_t nx_plan_private(const nx_plan *p); /* all but mapped weights */

/* What a GPU of `memory` bytes can hold of it. */
typedef struct nx_offload {
    bool     fits;           /* all of it */
    int32_t  n_layers;       /* layers on the GPU, with their KV cache */
    uint64_t on_gpu, in_ram; /* bytes of weights and KV cache */
    uint64_t bus_per_token;  /* weight bytes that come from RAM for each token */
} nx_offload;

void nx_plan_offload(nx_offload *out, const nx_plan *p, uint64_t memory);

/* The largest context, in steps of 256, with which the plan fits `memory`; 0: none does. */
int32_t nx_plan_ctx_max(const nx_plan *p, uint64_t memory);

/* Refuse what can't fit `memory` bytes of RAM, with what would: NX_ELIMIT. cp is planned again for
 * the suggestions. */
nx_status nx_plan_check(const nx_plan *p, const nx_checkpoint *cp, const nx_backend *be,
                        uint64_t memory, nx_error *err);

/* What the rules of recipes ask, from cp's metadata and p's sizes. */
nx_status nx_plan_recipe_model(nx_recipe_model *out, const nx_checkpoint *cp, nx_error *err);

#endif
