/* embed_cache.h - the embeddings that were asked for last, so that they needn't be computed again.
 *
 * Idea:   a text is known by a keyed SHA-256 of it with everything else that its vector depends on;
 *         whoever was asked for longest ago makes room.
 * Owns:   its vectors. Memory grows as it fills, up to n_max vectors.
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_EMBED_CACHE_H
#define NX_ENGINE_EMBED_CACHE_H

#include "base/error.h"

#include <stdint.h>

#define NX_EMBED_KEY_BYTES 32

typedef struct nx_embed_key {
    unsigned char bytes[NX_EMBED_KEY_BYTES];
} nx_embed_key;

/* What is kept beside a vector. */
typedef struct nx_embed_note {
    int32_t n_tokens, n_cut, n_windows;
} nx_embed_note;

typedef struct nx_embed_cache nx_embed_cache;

/* n_max 0: a cache that keeps nothing. NX_EINVAL (n_max, n_dims), NX_ENOMEM. */
nx_status nx_embed_cache_create(nx_embed_cache **out, int32_t n_max, int32_t n_dims, nx_error *err);
void      nx_embed_cache_destroy(nx_embed_cache *c); /* NULL does nothing */

/* The vector [n_dims] of that key, or NULL; borrowed until the next put. Counts as a hit or a miss. */
const float *nx_embed_cache_get(nx_embed_cache *c, const nx_embed_key *key, nx_embed_note *note);

/* Copies. Without memory to grow it takes the place of the oldest, or isn't kept. */
void nx_embed_cache_put(nx_embed_cache *c, const nx_embed_key *key, const float *vector,
                        const nx_embed_note *note);

void nx_embed_cache_clear(nx_embed_cache *c); /* counts of hits and misses stay */

typedef struct nx_embed_cache_stats {
    int32_t  n, n_max;
    uint64_t n_hits, n_misses;
} nx_embed_cache_stats;

nx_embed_cache_stats nx_embed_cache_count(const nx_embed_cache *c);

#endif
