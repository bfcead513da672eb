/* source.h - what a vocabulary is built from, whatever file it came in.
 *
 * Plain data, all borrowed for the call of nx_vocab_create, except that the texts' bytes must
 * outlive the vocabulary. Nothing in it is trusted.
 */
#ifndef NX_TOKEN_SOURCE_H
#define NX_TOKEN_SOURCE_H

#include "token/vocab.h"

typedef struct nx_vocab_source {
    const nx_checkpoint *cp;    /* for messages: where its keys stand; NULL: no file */
    nx_str               model; /* "llama" or "gpt2" */
    nx_str               pre;   /* pre-tokenizer of gpt2; empty: the file doesn't say */
    const nx_str        *texts; /* [n] */
    int64_t              n;
    const int64_t       *types; /* [n_types], nx_token_type; NULL: all normal */
    int64_t              n_types;
    const float         *scores; /* [n_scores]; llama only */
    int64_t              n_scores;
    const nx_str        *merges; /* [n_merges] "left right", best first; gpt2 only */
    int64_t              n_merges;
    nx_vocab_special     special; /* ids, -1: not given; add_bos and add_eos are not read */
    int                  add_bos, add_eos, add_space_prefix; /* 0, 1, or -1: not given */
    bool                 exact_ids; /* an id of -1 is none, not the one that is usual */
    int64_t              n_inside;  /* user-defined tokens below this id aren't looked for in texts:
                                        the model does that itself */
    bool                 strips_after_special; /* white space after a control token belongs to it */
} nx_vocab_source;

/* Errors as nx_vocab_open's. On error *out is NULL. */
nx_status nx_vocab_create(nx_vocab **out, const nx_vocab_source *src, nx_error *err);

#endif
