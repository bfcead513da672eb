/* spm.h - SentencePiece: the best-scored neighbours become one, until no token joins two. */
#ifndef NX_TOKEN_SPM_H
#define NX_TOKEN_SPM_H

#include "token/vocab.h"

typedef struct nx_spm_pair nx_spm_pair;

#define NX_SPM_NO_TOKEN (-1)
#define NX_SPM_NO_MERGE (-2) /* a literal space mark: spelled in bytes whatever stands beside it */

typedef struct nx_spm_symbol {
    int32_t  prev, next; /* -1 at the ends */
    uint32_t at, len;    /* in nx_spm_work.text; len 0: joined into its left neighbour */
    int32_t  id;
    bool     frozen; /* joins nothing */
} nx_spm_symbol;

/* Scratch of one call of encode. Zero-initialise; nx_spm_work_free. */
typedef struct nx_spm_work {
    char          *text; /* the word, its spaces as marks */
    nx_spm_symbol *symbols;
    nx_spm_pair   *heap;
    size_t         text_cap, cap; /* bytes; symbols, and half the pairs */
    size_t         text_len, n, n_heap;
    uint32_t      *splits; /* [vocabulary] NULL, or: of an unused token, the bytes of its left part
                              as last seen */
} nx_spm_work;

void nx_spm_work_free(nx_spm_work *w);

/* Room for text of that many bytes, and n symbols of it. NX_ENOMEM. */
nx_status nx_spm_reserve(nx_spm_work *w, size_t bytes, size_t n, nx_error *err);

/* Merge the symbols of w, which are linked from 0 on. */
void nx_spm_merge(const nx_vocab *v, nx_spm_work *w);

/* Append the ids of text[0..len), which holds no special tokens. prefix: as if a space stood
 * before it. NX_ENOMEM, NX_ELIMIT, NX_EUNSUPPORTED (a byte without token, and no unk). */
nx_status nx_spm_encode(const nx_vocab *v, nx_spm_work *w, nx_ids *out, const char *text,
                        size_t len, bool prefix, nx_error *err);

#endif
