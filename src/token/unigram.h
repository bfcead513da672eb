/* unigram.h - Unigram: the way through a text whose tokens' scores have the largest sum.
 *
 * Owns:   a trie over the tokens' texts. Thread: any, once created; scratch is the caller's.
 * Judges: SentencePiece adds in floats, `tokenizers` in doubles; a long text's sums differ, and
 *         with them the tokens. `single` says whose sums these are.
 * Cost:   linear in the text, times the longest token that begins at a place. What has been decided
 *         (a place that every way passes) is given out at once, so memory stays small.
 */
#ifndef NX_TOKEN_UNIGRAM_H
#define NX_TOKEN_UNIGRAM_H

#include "token/vocab.h"

typedef struct nx_unigram nx_unigram;

typedef struct nx_unigram_token {
    nx_str  text; /* not empty; borrowed for the call of create */
    int32_t id;
    double  score;
    bool    favoured; /* user-defined: its score is 0.1 for each byte after the first */
} nx_unigram_token;

typedef struct nx_unigram_options {
    double score_min; /* of normal tokens: what no token covers has 10 less */
    bool   single;    /* sums in float */
} nx_unigram_options;

/* Where two tokens have one text, the later counts. Scores that are NaN lose every comparison.
 * NX_ENOMEM, NX_ELIMIT. */
nx_status nx_unigram_create(nx_unigram **out, const nx_unigram_token *tokens, size_t n,
                            const nx_unigram_options *options, nx_error *err);
void      nx_unigram_destroy(nx_unigram *u); /* NULL does nothing */

#define NX_UNIGRAM_UNKNOWN (-1)

/* Called for each token of the way, in order: text is where it stands. id NX_UNIGRAM_UNKNOWN: one
 * character that no token covers. Anything but NX_OK ends the walk. */
typedef nx_status (*nx_unigram_fn)(void *ctx, int32_t id, const char *text, size_t len,
                                   nx_error *err);

typedef struct nx_unigram_node nx_unigram_node;

/* Scratch: zero-initialise, use for many texts, nx_unigram_work_free. */
typedef struct nx_unigram_work {
    nx_unigram_node *nodes;
    size_t           cap;
} nx_unigram_work;

void nx_unigram_work_free(nx_unigram_work *w);

/* text is UTF-8; a byte that isn't counts as a character. NX_ENOMEM, NX_ELIMIT (a gigabyte that
 * nothing decides), on_token's errors. */
nx_status nx_unigram_encode(const nx_unigram *u, nx_unigram_work *w, const char *text, size_t len,
                            nx_unigram_fn on_token, void *ctx, nx_error *err);

/* Bytes of the longest token that p[0..len) begins with, and its id; 0: none. */
size_t nx_unigram_longest(const nx_unigram *u, const char *p, size_t len, int32_t *id);

#endif
