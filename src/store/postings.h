/* postings.h - posting lists: for each key the rows that have it, ascending, and with which weight.
 *
 * Here the keys are the dimensions of a sparse vector (BM25's among them); those of payloads lie in
 * terms.h. A list is made in two passes over the rows, the second once for as many keys as fit the
 * memory that is granted; the bytes are those of the file (docs/formats/store.md).
 *
 * Owns:   what nx_tally holds. nx_postings are views.
 * Thread: making: one; reading: any.
 */
#ifndef NX_STORE_POSTINGS_H
#define NX_STORE_POSTINGS_H

#include "store/point.h"

enum { NX_POSTINGS_HEAD = 16 }; /* bytes: n_keys, n_entries */

typedef struct nx_list {
    const uint32_t *rows;    /* [n], ascending */
    const float    *weights; /* [n] */
    uint64_t        n;
} nx_list;

typedef struct nx_postings {
    uint64_t        n_rows, n_keys, n_entries;
    const uint64_t *present; /* a bit for each row that has the vector, with values or without */
    const uint64_t *starts;  /* [n_keys + 1]: where a key's list begins, in entries */
    const uint32_t *keys;    /* [n_keys], ascending */
    const uint8_t  *lists;   /* of each key: u32 rows [n], f32 weights [n] */
} nx_postings;

/* Views into the bytes of such a thing. False: no postings of n_rows rows can be so. The rows in the
 * lists aren't looked at: who reads them checks each. */
bool nx_postings_view(nx_postings *out, const void *bytes, uint64_t n, uint64_t n_rows);

/* The list of that key; n is 0 when there is none. */
nx_list nx_postings_find(const nx_postings *p, uint32_t key);

/* ---- Making ---- */

/* Row i's sparse vector, valid until the next call. *has: there is one. */
typedef nx_status (*nx_sparse_row_fn)(void *ctx, uint64_t i, nx_vector *v, bool *has,
                                      nx_error *err);

typedef struct nx_tally_slot {
    uint32_t key, used;
    uint64_t n; /* entries; once counted, the place of the key */
} nx_tally_slot;

/* What the first pass finds. Zero-initialise, nx_tally_free. */
typedef struct nx_tally {
    uint64_t       n_rows, n_keys, n_entries, n_present;
    uint64_t      *present, *starts;
    uint32_t      *keys;
    nx_tally_slot *slots; /* [mask + 1], open addressing */
    uint64_t       mask;
} nx_tally;

nx_status nx_tally_count(nx_tally *t, uint64_t n_rows, nx_sparse_row_fn row, void *ctx,
                         nx_error *err); /* NX_ENOMEM, and row's errors */
void      nx_tally_free(nx_tally *t);

/* Everything before the lists, as the file has it: nx_tally_head_bytes, a multiple of 8. */
uint64_t nx_tally_head_bytes(const nx_tally *t);
void     nx_tally_write_head(const nx_tally *t, uint8_t *out);

/* Write the lists of keys from..to (places) to out: 8 bytes for each entry, zeros before. */
nx_status nx_tally_fill(const nx_tally *t, uint8_t *out, uint64_t from, uint64_t to,
                        nx_sparse_row_fn row, void *ctx, nx_error *err);

/* The first key beyond from whose lists, with those before it, take more than `bytes`; at least
 * from + 1. */
uint64_t nx_tally_reach(const nx_tally *t, uint64_t from, uint64_t bytes);

#endif
