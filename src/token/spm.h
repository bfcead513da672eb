/* spm.h - SentencePiece: the best-scored neighbours become one, until no token joins two. */
#ifndef NX_TOKEN_SPM_H
#define NX_TOKEN_SPM_H

#include "token/vocab.h"

typedef struct nx_spm_symbol nx_spm_symbol;
typedef struct nx_spm_pair   nx_spm_pair;

/* Scratch of one call of encode. Zero-initialise; nx_spm_work_free. */
typedef struct nx_spm_work {
    char          *text; /* the word, its spaces as marks */
    nx_spm_symbol *symbols;
    nx_spm_pair   *heap;
    size_t         text_cap, cap; /* bytes; symbols, and half the pairs */
    size_t         text_len, n, n_heap;
} nx_spm_work;

void nx_spm_work_free(nx_spm_work *w);

/* Append the ids of text[0..len), which holds no special tokens. prefix: as if a space stood
 * before it. NX_ENOMEM, NX_ELIMIT, NX_EUNSUPPORTED (a byte without token, and no unk). */
nx_status nx_spm_encode(const nx_vocab *v, nx_spm_work *w, nx_ids *out, const char *text,
                        size_t len, bool prefix, nx_error *err);

#endif
