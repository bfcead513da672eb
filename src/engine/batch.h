/* batch.h - the batch engine: one thread that answers many jobs at once with one model.
 *
 * Idea:    continuous batching (Yu et al. 2022, "Orca") over paged keys and values (Kwon et al. 2023). Each
 *          step computes one row for every answer under way, and with the rows that are left a slice of
 *          the prompts that wait: as many as keep the step within `stretch` times what the answers
 *          alone take, so that a long prompt slows the others down and never silences them.
 * Text:    no bit of an answer depends on what is computed beside it, so 64 answers at once are the 64
 *          answers one by one (with int8 weights: nearly, backend.h tells why). For the same reason an
 *          answer whose pages are wanted by others may be put back and computed again later.
 * Prefix:  full pages stay in a tree after use (pages.h); a prompt takes what it finds there. Of prompts
 *          that begin alike and come together, the first computes and the others wait for its pages.
 * Thread:  one of its own owns backend, cache and schedule; submit, stats and destroy from any.
 */
#ifndef NX_ENGINE_BATCH_H
#define NX_ENGINE_BATCH_H

#include "engine/llm.h"
#include "engine/service.h"
#include "engine/timeline.h"

#define NX_PAGE_LEN        16
#define NX_PARALLEL_MAX    1024
#define NX_QUEUE_DEFAULT   512
#define NX_DRAFT_DEFAULT   4
#define NX_STRETCH_DEFAULT 2.0f

typedef struct nx_batch_options {
    int32_t  n_slots;   /* answers under way at once, 1 .. NX_PARALLEL_MAX */
    int32_t  n_ctx;     /* positions of one; 0: the model's, at most NX_CTX_DEFAULT_MAX */
    int32_t  n_pos_all; /* positions of all together, at least n_ctx; 0: n_slots * n_ctx */
    int32_t  n_batch;   /* rows of one step; 0: NX_BATCH_DEFAULT; at least n_slots are taken */
    int32_t  n_queue;   /* jobs that may wait */
    int32_t  n_slice;   /* prompt rows beside answers; 0: measured, by stretch */
    float    stretch;   /* > 1: a step with a slice over one without */
    int32_t  n_draft;   /* guesses of prompt lookup in one step; 0: none */
    nx_dtype kv_dtype;
    nx_service_watch watch;
} nx_batch_options;

void nx_batch_options_default(nx_batch_options *opt);

/* llm is borrowed, and its backend is the engine's alone from now on. NX_EINVAL, NX_ELIMIT (a context
 * above the model's), NX_EUNSUPPORTED, NX_ENOMEM. */
nx_status nx_batch_create(nx_service **out, const nx_llm *llm, const nx_batch_options *opt,
                          nx_error *err);

/* Bytes that it takes beside the weights: cache, activations, scratch. In the words of a plan, for
 * budgets before anything is loaded; be NULL: without its scratch. */
uint64_t nx_batch_bytes_planned(const nx_hparams *hp, const nx_backend *be,
                                const nx_batch_options *opt);

#endif
