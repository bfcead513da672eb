/* cache.h - what was retrieved last, so that asking again costs nothing.
 *
 *     const nx_passages *p;
 *     nx_finds_retrieve(cache, &p, shelf, snapshot, &question, pool, &err);
 *     ... p->passages[0..p->n) ...
 *     nx_finds_release(cache, p);
 *
 * Idea:   a retrieval is known by the SHA-256 of everything that decides it: the collection's incarnation and the
 *         request that its snapshot ends with, the question's words and vector, mode, bounds, reranker, and the
 *         whole filter. The caller's access tags are a part of the filter, so no tag set ever gets what another one
 *         asked for. A write to the collection is another snapshot, and the old answers are no longer found.
 * Owns:   passages, counted by who holds them; bounded by number and by bytes, who was asked for longest ago goes.
 * Thread: any.
 */
#ifndef NX_RAG_CACHE_H
#define NX_RAG_CACHE_H

#include "rag/retrieve.h"

typedef struct nx_finds nx_finds;

#define NX_FINDS_MAX_DEFAULT   10000
#define NX_FINDS_BYTES_DEFAULT ((size_t)64 << 20)

/* n_max 0: it keeps nothing. NX_EINVAL (n_max), NX_ENOMEM. */
nx_status nx_finds_create(nx_finds **out, int32_t n_max, size_t bytes_max, nx_error *err);
void      nx_finds_destroy(nx_finds *f); /* all are released; NULL does nothing */

/* As nx_retrieve; *out is shared, not to be changed: nx_finds_release. On an error it is NULL. */
nx_status nx_finds_retrieve(nx_finds *f, const nx_passages **out, nx_shelf *s, nx_snapshot *snap,
                            const nx_question *q, nx_pool *pool, nx_error *err);
void      nx_finds_release(nx_finds *f, const nx_passages *p); /* NULL does nothing */

void nx_finds_clear(nx_finds *f); /* counts of requests and hits stay */

typedef struct nx_finds_stats {
    int32_t  n, n_max;
    size_t   bytes, bytes_max;
    uint64_t n_requests, n_hits;
} nx_finds_stats;

nx_finds_stats nx_finds_read_stats(nx_finds *f);

/* ---- The key, for who caches something else by it ---- */

#define NX_FINDS_KEY 65 /* 64 hex digits and a NUL */

/* Of a question asked at a snapshot. NX_EINVAL: a filter nested too deep; NX_ENOMEM. */
nx_status nx_finds_key(char key[NX_FINDS_KEY], nx_shelf *s, nx_snapshot *snap, const nx_question *q,
                       nx_error *err);

#endif
