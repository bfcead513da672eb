/* lookup.h - guesses the next tokens from the text itself (Saxena 2023, "prompt lookup decoding").
 *
 * Idea: where the last few tokens stood before, what followed them then may follow now: an answer that
 *       quotes its prompt is read off it. The model checks all guesses in one step, and since each is
 *       kept only if it would have been chosen anyway, the text never changes.
 */
#ifndef NX_ENGINE_LOOKUP_H
#define NX_ENGINE_LOOKUP_H

#include <stdint.h>

#define NX_DRAFT_MAX 15

/* Up to n_max tokens that may follow ids[0..n). Returns how many were written to draft. */
int32_t nx_lookup_draft(int32_t *draft, int32_t n_max, const int32_t *ids, int32_t n);

/* Whether guessing pays for one sequence: it begins hopeful, waits twice as long after each miss, and
 * guesses as many as lately were right, and two more. Zero-initialise. */
typedef struct nx_lookup {
    int32_t n_right; /* of late */
    int32_t patience, wait;
    float   trust; /* how often a guess was right of late, less TRUST_FIRST */
} nx_lookup;

int32_t nx_lookup_wanted(nx_lookup *l, int32_t n_max); /* how many to guess in this step; 0: none */

/* Tokens that n guesses are expected to bring: each is right only if all before it are. */
float nx_lookup_expected(const nx_lookup *l, int32_t n);
void  nx_lookup_learn(nx_lookup *l, int32_t n_drafted, int32_t n_accepted);

#endif
