/* generate.h - from a prompt to an answer, token by token.
 *
 * Idea: eval the prompt, then sample, decode, hold back what could be the start of a stop text,
 *       hand whole characters to the caller, eval the token, and so on.
 */
#ifndef NX_ENGINE_GENERATE_H
#define NX_ENGINE_GENERATE_H

#include "engine/sampler.h"
#include "engine/timeline.h"

typedef struct nx_step {
    int32_t      id;
    const float *logits; /* [n_vocab] that chose id, before any sampling change; borrowed */
    int32_t      n_vocab;
} nx_step;

typedef struct nx_generation {
    /* What to do. */
    int32_t       n_predict; /* new tokens at most, >= 0 */
    nx_sampler   *sampler;   /* borrowed */
    const nx_str *stop;      /* [n_stop] texts that end the answer, not part of it */
    size_t        n_stop;
    bool          ignore_end;                                /* go on after end-of-answer tokens */
    int (*on_text)(void *ctx, const char *text, size_t len); /* whole characters; 0: go on */
    void (*on_step)(void *ctx, const nx_step *step);         /* each new token; may be NULL */
    nx_progress_fn     on_prefill;                           /* may be NULL */
    void              *ctx;
    const atomic_bool *cancel; /* may be NULL */
    /* What happened. */
    int32_t   n_prompt, n_new; /* an end-of-answer token is not counted nor reported */
    nx_finish finish;
    double    prefill_s, decode_s; /* decode_s: from the first new token to the last */
} nx_generation;

/* Continue tl with prompt[0..n), n >= 1, then generate. All but the last of the answer's tokens
 * stand in the timeline when it returns. NX_ELIMIT when the prompt can't
 * fit (both numbers); an answer that reaches the context's end finishes with NX_FINISH_LENGTH.
 * Cancelled: NX_OK with NX_FINISH_CANCELLED, what was generated so far stands.
 * llm->vocab may be NULL: then no text is produced and on_text isn't called. */
nx_status nx_generate_run(nx_generation *g, nx_timeline *tl, const int32_t *prompt, size_t n,
                          nx_error *err);

#endif
