/* terms.h - posting lists of payloads: from a text, or a number, to the rows that have it.
 *
 * Two shapes: terms (equal bytes, found by hash) and ranks (sorted numbers, found by range). Rows are
 * added in ascending order and then finished; nothing changes after that.
 *
 * Owns:   its arrays. Thread: making: one; reading: any.
 */
#ifndef NX_STORE_TERMS_H
#define NX_STORE_TERMS_H

#include "base/buf.h"

typedef struct nx_span { /* rows of one list */
    const uint32_t *rows;
    uint64_t        n;
} nx_span;

/* Zero-initialise, nx_terms_free. */
typedef struct nx_terms {
    nx_buf    bytes;  /* of all keys */
    uint64_t *key_at; /* [n_keys + 1]: where each begins */
    uint32_t
        *starts; /* [n_keys + 1]: where its rows begin; before it is finished: its last row + 1 */
    uint32_t *rows;  /* [n] */
    uint32_t *table; /* [mask + 1]: key + 1, open addressing */
    uint64_t  n_keys, cap_keys, mask;
    struct nx_term_entry {
        uint32_t key, row;
    }       *entries; /* [n], until finished */
    uint64_t n, cap;
} nx_terms;

/* A row that has the key; what was added twice counts once. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_terms_add(nx_terms *t, nx_str key, uint32_t row, nx_error *err);
nx_status nx_terms_finish(nx_terms *t, nx_error *err);
nx_span   nx_terms_find(const nx_terms *t, nx_str key);
nx_str    nx_terms_key(const nx_terms *t, uint64_t i, nx_span *rows); /* i < n_keys */
uint64_t  nx_terms_bytes(const nx_terms *t);                          /* of memory */
void      nx_terms_free(nx_terms *t);

/* Likewise. */
typedef struct nx_ranks {
    int64_t  *values; /* [n], ascending once finished */
    uint32_t *rows;   /* [n] */
    uint64_t  n, cap;
} nx_ranks;

nx_status nx_ranks_add(nx_ranks *r, int64_t value, uint32_t row, nx_error *err);
nx_status nx_ranks_finish(nx_ranks *r, nx_error *err);
nx_span   nx_ranks_between(const nx_ranks *r, int64_t least, int64_t most); /* both count */
uint64_t  nx_ranks_bytes(const nx_ranks *r);
void      nx_ranks_free(nx_ranks *r);

/* A float as an integer of the same order; 0 and -0 are the same. x is no NaN. */
int64_t nx_rank_of(double x);

#endif
