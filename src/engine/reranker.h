/* reranker.h - a question and passages in, one number for each passage out: how well it answers.
 *
 * One call:
 *   nx_reranker_open(&r, llm, &err);
 *   nx_rerank_options_default(&opt);
 *   nx_reranker_run(r, logits, NX_STR("What is rust?"), passages, n, &opt, &report, &err);
 *
 * Idea:   a cross-encoder reads question and passage together, as one sequence; a small head makes a
 *         number of its first row (or of the mean). Pairs go through the model side by side, without
 *         padding; no bit of a number depends on what was computed beside it.
 * Owns:   the model, its head as floats, and the activations of one step.
 * Thread: any; steps take turns in the order in which they were asked for.
 */
#ifndef NX_ENGINE_RERANKER_H
#define NX_ENGINE_RERANKER_H

#include <stdatomic.h>

#include "engine/embedder.h"

typedef struct nx_reranker nx_reranker;

/* Does cp say that it is a cross-encoder? */
bool nx_reranker_present(const nx_checkpoint *cp);

/* Takes llm, also on an error. NX_EUNSUPPORTED: a model that is none, or whose vocabulary knows no
 * pairs; NX_EFORMAT, NX_ENOMEM. */
nx_status nx_reranker_open(nx_reranker **out, nx_llm *llm, nx_error *err);
void      nx_reranker_close(nx_reranker *r); /* NULL does nothing */

typedef struct nx_rerank_options {
    bool               cut;    /* pairs longer than the model takes: else they are an error */
    const atomic_bool *cancel; /* may be NULL; looked at between steps */
} nx_rerank_options;

void nx_rerank_options_default(nx_rerank_options *opt);

typedef struct nx_rerank_report {
    int64_t n_tokens; /* that the model read */
    int64_t n_cut;    /* tokens left out */
    int32_t n_long;   /* pairs that were cut */
    int32_t failed;   /* an error: the passage that is to blame, or -1 */
} nx_rerank_report;

/* The model's numbers for n passages: logits [n], the higher the better; 1 / (1 + exp(-logit)) lies
 * between 0 and 1.
 *   cut   the longer of the two loses its end first, as the `tokenizers` library does it
 * Errors: NX_ELIMIT (a pair is too long; its tokens and the most that fit are in the message),
 * NX_ECANCELLED, NX_ENOMEM. report is filled in every case; logits then hold nothing. */
nx_status nx_reranker_run(nx_reranker *r, float *logits, nx_str query, const nx_str *passages,
                          int32_t n, const nx_rerank_options *opt, nx_rerank_report *report,
                          nx_error *err);

/* One passage among others. */
typedef struct nx_rerank_hit {
    int32_t index; /* as the passages were given */
    float   logit;
} nx_rerank_hit;

/* hits [n] of logits [n], best first; equal ones by index, what is no number last. */
void nx_rerank_sort(nx_rerank_hit *hits, const float *logits, int32_t n);

/* 1 / (1 + exp(-logit)): what other rerank servers call relevance. */
double nx_rerank_score(float logit);

int32_t nx_reranker_length_max(const nx_reranker *r); /* tokens of a pair, with those around */
const nx_llm *nx_reranker_llm(const nx_reranker *r);

#endif
