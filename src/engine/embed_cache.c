/* embed_cache.c - a hash table of entries that also stand in a list, the last asked for first. */
#include "engine/embed_cache.h"

#include <string.h>

#include "base/alloc.h"

#define NONE  (-1)
#define N_MAX (1 << 24)

typedef struct entry {
    nx_embed_key  key;
    nx_embed_note note;
    int32_t       next;         /* in its bucket */
    int32_t       newer, older; /* in the list */
} entry;

struct nx_embed_cache {
    entry   *entries; /* [cap] of which n are taken */
    float   *vectors; /* [cap, n_dims] */
    int32_t *buckets; /* [n_buckets], a power of two */
    int32_t  n, cap, n_max, n_dims, n_buckets;
    int32_t  newest, oldest;
    uint64_t n_hits, n_misses;
};

static int32_t *bucket_of(const nx_embed_cache *c, const nx_embed_key *key)
{
    uint32_t h;

    memcpy(&h, key->bytes, sizeof h); /* a digest: every part of it is as good */
    return &c->buckets[h & (uint32_t)(c->n_buckets - 1)];
}

nx_status nx_embed_cache_create(nx_embed_cache **out, int32_t n_max, int32_t n_dims, nx_error *err)
{
    *out = NULL;
    if (n_max < 0 || n_max > N_MAX || n_dims < 1)
        return nx_fail(err, NX_EINVAL, "a cache of %d embeddings of %d numbers: at most %d", n_max,
                       n_dims, N_MAX);
    nx_embed_cache *c = nx_calloc(1, sizeof *c);
    if (!c) return nx_fail(err, NX_ENOMEM, "cache of embeddings");
    *c = (nx_embed_cache){.n_max = n_max, .n_dims = n_dims, .n_buckets = 16};
    while (c->n_buckets < n_max) c->n_buckets *= 2;
    c->buckets = nx_alloc((size_t)c->n_buckets, sizeof *c->buckets);
    if (!c->buckets) {
        nx_free(c);
        return nx_fail(err, NX_ENOMEM, "cache of %d embeddings", n_max);
    }
    nx_embed_cache_clear(c);
    *out = c;
    return NX_OK;
}

void nx_embed_cache_destroy(nx_embed_cache *c)
{
    if (!c) return;
    nx_free(c->entries);
    nx_free(c->vectors);
    nx_free(c->buckets);
    nx_free(c);
}

void nx_embed_cache_clear(nx_embed_cache *c)
{
    for (int32_t i = 0; i < c->n_buckets; i++) c->buckets[i] = NONE;
    c->n = 0;
    c->newest = c->oldest = NONE;
}

/* ---- The list ---- */

static void take_out(nx_embed_cache *c, int32_t i)
{
    entry *e = &c->entries[i];

    *(e->newer == NONE ? &c->newest : &c->entries[e->newer].older) = e->older;
    *(e->older == NONE ? &c->oldest : &c->entries[e->older].newer) = e->newer;
}

static void put_first(nx_embed_cache *c, int32_t i)
{
    entry *e = &c->entries[i];

    e->newer = NONE;
    e->older = c->newest;
    *(c->newest == NONE ? &c->oldest : &c->entries[c->newest].newer) = i;
    c->newest = i;
}

static int32_t find(const nx_embed_cache *c, const nx_embed_key *key)
{
    int32_t i = *bucket_of(c, key);

    while (i != NONE && memcmp(&c->entries[i].key, key, sizeof *key) != 0) i = c->entries[i].next;
    return i;
}

const float *nx_embed_cache_get(nx_embed_cache *c, const nx_embed_key *key, nx_embed_note *note)
{
    int32_t i = find(c, key);

    if (i == NONE) {
        c->n_misses++;
        return NULL;
    }
    c->n_hits++;
    take_out(c, i);
    put_first(c, i);
    *note = c->entries[i].note;
    return c->vectors + (int64_t)i * c->n_dims;
}

/* ---- Room ---- */

static bool grow(nx_embed_cache *c)
{
    int32_t cap = c->cap ? c->cap * 2 : 64;

    if (cap > c->n_max) cap = c->n_max;
    if (cap <= c->cap) return false;
    entry *entries = nx_realloc(c->entries, (size_t)cap, sizeof *entries);
    if (entries) c->entries = entries;
    float *vectors = nx_realloc(c->vectors, (size_t)cap, (size_t)c->n_dims * sizeof *vectors);
    if (vectors) c->vectors = vectors;
    if (!entries || !vectors) return false;
    c->cap = cap;
    return true;
}

/* A place for one more: a new one, or that of the oldest. NONE: there is none at all. */
static int32_t make_place(nx_embed_cache *c)
{
    if (c->n < c->cap || grow(c)) return c->n++;
    int32_t i = c->oldest;
    if (i == NONE) return NONE;
    take_out(c, i);
    int32_t *link = bucket_of(c, &c->entries[i].key);
    while (*link != i) link = &c->entries[*link].next;
    *link = c->entries[i].next;
    return i;
}

void nx_embed_cache_put(nx_embed_cache *c, const nx_embed_key *key, const float *vector,
                        const nx_embed_note *note)
{
    if (find(c, key) != NONE) return; /* somebody else computed it as well: to the same bits */
    int32_t i = make_place(c);
    if (i == NONE) return;
    int32_t *bucket = bucket_of(c, key);
    c->entries[i] = (entry){.key = *key, .note = *note, .next = *bucket};
    *bucket = i;
    put_first(c, i);
    memcpy(c->vectors + (int64_t)i * c->n_dims, vector, (size_t)c->n_dims * sizeof *vector);
}

nx_embed_cache_stats nx_embed_cache_count(const nx_embed_cache *c)
{
    return (nx_embed_cache_stats){c->n, c->n_max, c->n_hits, c->n_misses};
}
