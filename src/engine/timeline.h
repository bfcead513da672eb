/* timeline.h - one sequence of tokens that a model has read, with its KV cache.
 *
 * Owns:      KV cache, activations, the ids at every position, the last logits.
 * Thread:    one at a time.
 * Invariant: kv holds exactly the keys and values of ids[0 .. n).
 */
#ifndef NX_ENGINE_TIMELINE_H
#define NX_ENGINE_TIMELINE_H

#include <stdatomic.h>

#include "engine/llm.h"
#include "model/walk.h"

typedef struct nx_timeline nx_timeline;

#define NX_BATCH_DEFAULT   256
#define NX_CTX_DEFAULT_MAX 4096

typedef struct nx_timeline_options {
    int32_t            n_ctx;    /* 0: the model's context, at most NX_CTX_DEFAULT_MAX */
    int32_t            n_batch;  /* rows per prefill step; 0: NX_BATCH_DEFAULT */
    nx_dtype           kv_dtype; /* NX_DTYPE_F16 (set it: F32 is 0), F32, Q8_0 */
    const atomic_bool *cancel;   /* checked between steps; NULL: never cancelled */
} nx_timeline_options;

/* All memory is taken here. NX_ELIMIT: n_ctx above the model's (both numbers); NX_EINVAL,
 * NX_EUNSUPPORTED, NX_ENOMEM. llm is borrowed. */
nx_status nx_timeline_create(nx_timeline **out, const nx_llm *llm, const nx_timeline_options *opt,
                             nx_error *err);
void      nx_timeline_destroy(nx_timeline *tl);

/* Called between prefill steps with the number of tokens done so far. May be NULL. */
typedef void (*nx_progress_fn)(void *ctx, int64_t done, int64_t total);

/* Read n >= 1 tokens. After NX_OK nx_timeline_logits are those after the last one.
 * NX_ELIMIT: more than the context holds (both numbers); NX_EINVAL: an id outside the vocabulary;
 * NX_ECANCELLED. After an error the timeline is as it was before. */
nx_status nx_timeline_eval(nx_timeline *tl, const int32_t *ids, size_t n, nx_progress_fn progress,
                           void *ctx, nx_error *err);

/* The same, with the logits of every token handed to on_logits (t counts from 0 over ids). */
nx_status nx_timeline_eval_each(nx_timeline *tl, const int32_t *ids, size_t n,
                                nx_logits_fn on_logits, void *ctx, nx_error *err);

const float   *nx_timeline_logits(const nx_timeline *tl); /* [n_vocab]; NULL before any eval */
const int32_t *nx_timeline_ids(const nx_timeline *tl);    /* [nx_timeline_length] */
int32_t        nx_timeline_length(const nx_timeline *tl);
int32_t        nx_timeline_ctx(const nx_timeline *tl);
const nx_llm  *nx_timeline_llm(const nx_timeline *tl);

/* Forget all but the first n_keep tokens (0..length). Logits are then those of no position: eval
 * at least one token before asking for them. */
void nx_timeline_rewind(nx_timeline *tl, int32_t n_keep);

/* Memory in bytes: KV and activations. */
uint64_t nx_timeline_kv_bytes(const nx_timeline *tl);
uint64_t nx_timeline_work_bytes(const nx_timeline *tl);

#endif
