/* candidates.h - a set of tokens with their logits, and the cuts that narrow it.
 *
 * Idea:   most cuts need only the likeliest few of a hundred thousand tokens, so the set is sorted
 *         lazily: the first n_sorted are the likeliest, in order; the rest is in any order.
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_CANDIDATES_H
#define NX_ENGINE_CANDIDATES_H

#include "base/error.h"

typedef struct nx_candidate {
    int32_t id;
    float   logit; /* never NaN or -inf */
} nx_candidate;

typedef struct nx_surprise nx_surprise;

typedef struct nx_candidates {
    nx_candidate *c; /* [n], room for n_max; n >= 1 whenever a cut is asked for */
    size_t        n, n_sorted;
    nx_candidate *scratch;   /* [n_max], for nx_candidates_typical alone */
    nx_surprise  *surprises; /* the same */
} nx_candidates;

nx_status nx_candidates_open(nx_candidates *s, size_t n_max, bool with_typical, nx_error *err);
void      nx_candidates_close(nx_candidates *s); /* an all-zero struct is fine */

/* Logit descending, then id ascending: a total order, so ties never depend on a sort. */
int nx_candidate_order(const void *a, const void *b);

/* Make the first k (at most n) the k likeliest, in order. */
void nx_candidates_sort(nx_candidates *s, size_t k);

void nx_candidates_top_k(nx_candidates *s, size_t k);   /* k >= 1 */
void nx_candidates_typical(nx_candidates *s, double p); /* 0 < p < 1; opened for it */
void nx_candidates_top_p(nx_candidates *s, double p);   /* 0 < p < 1 */
void nx_candidates_min_p(nx_candidates *s, double p);   /* 0 < p <= 1 */

/* The candidate at u (0 <= u < 1) of the cumulative softmax(logit / temperature), walked from the
 * likeliest on. */
int32_t nx_candidates_draw(nx_candidates *s, double temperature, double u);

#endif
