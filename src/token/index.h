/* index.h - from byte strings to the token ids that they spell.
 *
 * Owns:   its slots; the strings are the caller's array of views, which must outlive it.
 * Thread: any, once built.
 * Idea:   open addressing at half load; each slot keeps 32 bits of the hash, so a miss (most
 *         questions of a tokenizer are misses) touches no string.
 * Refuses: strings that collide on purpose. A probe that grows past NX_PROBES_MAX, which honest
 *         vocabularies never come near, fails the build instead of making it quadratic.
 */
#ifndef NX_TOKEN_INDEX_H
#define NX_TOKEN_INDEX_H

#include "base/buf.h"

#define NX_PROBES_MAX 1024u

typedef struct nx_index_slot {
    uint32_t hash;
    uint32_t id_plus_1; /* 0: empty */
} nx_index_slot;

typedef struct nx_index {
    nx_index_slot *slots; /* [mask + 1], a power of two */
    uint32_t       mask;
    const nx_str  *texts;
} nx_index;

/* Room for n ids of texts[n]; nothing is in it yet. NX_ENOMEM. */
nx_status nx_index_create(nx_index *x, const nx_str *texts, int32_t n, nx_error *err);
void      nx_index_destroy(nx_index *x);

/* Put id in under texts[id]; a later id with the same text takes the earlier one's place. Empty
 * texts are left out. False: too many collisions, the caller refuses the file. */
bool nx_index_add(nx_index *x, int32_t id);

int32_t nx_index_find(const nx_index *x, const char *p, size_t len); /* or -1 */

uint64_t nx_hash_bytes(const char *p, size_t len);

/* Fold the 128-bit product: every bit of both factors reaches every bit of the result. */
static inline uint64_t nx_hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#endif
