/* sampler.h - from logits to the next token.
 *
 * The order, fixed and documented:
 *   1 logit bias   2 repetition, frequency, presence penalties over the window   3 top-k
 *   4 typical-p    5 top-p    6 min-p    7 temperature    8 draw
 * Temperature 0 takes the likeliest token after steps 1 and 2; equal logits: the lowest id.
 *   repetition  logit > 0 ? logit / r : logit * r, once for each distinct token in the window
 *   frequency   logit -= f * (times in the window);   presence: logit -= p when there at all
 *   typical-p   keeps the tokens whose surprise is nearest the entropy, until their mass >= p
 *   top-p       keeps the likeliest until their mass reaches p;  min-p: those >= p * the likeliest
 * Candidates are ordered by logit descending, then id ascending, so ties never depend on a sort.
 * Generator: xoshiro256** seeded by splitmix64 (num/rng.h); one draw for each sampled token and
 * none for greedy ones, so the same seed gives the same text on any machine and thread count.
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_SAMPLER_H
#define NX_ENGINE_SAMPLER_H

#include <stdbool.h>

#include "base/error.h"

typedef struct nx_logit_bias {
    int32_t id;
    float   bias; /* added to the logit; -INFINITY forbids the token */
} nx_logit_bias;

typedef struct nx_sampler_options {
    float                temperature;                         /* >= 0 */
    int32_t              top_k;                               /* 0: off */
    float                top_p, typical_p;                    /* (0, 1]; 1: off */
    float                min_p;                               /* [0, 1]; 0: off */
    float                repeat_penalty;                      /* > 0; 1: off */
    float                frequency_penalty, presence_penalty; /* finite; 0: off */
    int32_t              penalty_window; /* last tokens seen by the penalties; -1: all; 0: none */
    uint64_t             seed;
    const nx_logit_bias *bias; /* [n_bias], copied */
    size_t               n_bias;
} nx_sampler_options;

void nx_sampler_options_default(nx_sampler_options *opt);

typedef struct nx_sampler nx_sampler;

/* NX_EINVAL names the option that is out of range, its value and its range. */
nx_status nx_sampler_create(nx_sampler **out, const nx_sampler_options *opt, int32_t n_vocab,
                            nx_error *err);
void      nx_sampler_destroy(nx_sampler *s);

/* Memory for one draw, some 40 bytes for each token of the vocabulary: what many samplers of one thread
 * can share, so that each of them is small. */
typedef struct nx_sampler_desk nx_sampler_desk;

nx_status nx_sampler_desk_create(nx_sampler_desk **out, int32_t n_vocab,
                                 nx_error *err); /* NX_ENOMEM */
void      nx_sampler_desk_destroy(nx_sampler_desk *d);

/* The same as nx_sampler_create, at a borrowed desk. */
nx_status nx_sampler_create_at(nx_sampler **out, const nx_sampler_options *opt,
                               nx_sampler_desk *desk, nx_error *err);

/* Will it always take the likeliest token, whatever came before? */
bool nx_sampler_is_plain_greedy(const nx_sampler *s);

/* The next token after `history` (prompt and answer so far; ids from n_vocab on don't count), given
 * logits [n_vocab], which are not changed. NX_EINTERNAL when every candidate is NaN or forbidden. */
nx_status nx_sampler_next(nx_sampler *s, int32_t *id, const float *logits, const int32_t *history,
                          size_t n_history, nx_error *err);

/* ---- Log-probabilities, before any sampling change ---- */

typedef struct nx_logprob {
    int32_t id;
    float   logprob; /* natural log of the softmax */
} nx_logprob;

/* The n likeliest tokens (n <= n_vocab), best first, ties by id; and the one of `id` (-1: skip). */
void nx_logprobs(nx_logprob *top, int32_t n, float *of_id, int32_t id, const float *logits,
                 int32_t n_vocab);

#endif
