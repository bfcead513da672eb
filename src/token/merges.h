/* merges.h - which two tokens become one, and how early.
 *
 * Owns:   its slots. Thread: any, once built.
 * Idea:   an open-addressing map from (left id, right id), 16 bytes a slot: a look-up in the inner
 *         loop of BPE is one cache line. Collisions made on purpose are refused as in index.h.
 */
#ifndef NX_TOKEN_MERGES_H
#define NX_TOKEN_MERGES_H

#include "token/index.h"

typedef struct nx_merge {
    int32_t left, right; /* left -1: empty slot */
    int32_t rank;        /* smaller merges first */
    int32_t id;          /* the token that both make */
} nx_merge;

typedef struct nx_merges {
    nx_merge *slots; /* [mask + 1] */
    uint32_t  mask;
} nx_merges;

nx_status nx_merges_create(nx_merges *m, int64_t n, nx_error *err); /* room for n */
void      nx_merges_destroy(nx_merges *m);

/* The first one added for a pair stays. False: too many collisions. */
bool nx_merges_add(nx_merges *m, nx_merge merge);

/* The merge of a pair, or NULL. */
const nx_merge *nx_merges_find(const nx_merges *m, int32_t left, int32_t right);

#endif
