/* bpe.h - byte-level BPE: within a word, the earliest-learnt merge first. */
#ifndef NX_TOKEN_BPE_H
#define NX_TOKEN_BPE_H

#include "token/merges.h"
#include "token/vocab.h"

typedef struct nx_bpe_symbol nx_bpe_symbol;

/* Scratch of one call of encode. Zero-initialise; nx_bpe_work_free. */
typedef struct nx_bpe_work {
    nx_bpe_symbol *symbols;
    uint64_t      *heap;
    size_t         cap, n_heap;
} nx_bpe_work;

void nx_bpe_work_free(nx_bpe_work *w);

/* Merge ids[0..*n) in place, the pair of the smallest rank first, the leftmost of equals; *n becomes
 * the number that is left. Negative ids merge with nothing. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_bpe_merge(const nx_merges *m, nx_bpe_work *w, int32_t *ids, size_t *n, nx_error *err);

/* Append the ids of one word of the pre-tokenizer. NX_ENOMEM, NX_ELIMIT, NX_EUNSUPPORTED (a byte
 * without token, and no unk). */
nx_status nx_bpe_encode(const nx_vocab *v, nx_bpe_work *w, nx_ids *out, const char *word,
                        size_t len, nx_error *err);

#endif
