/* cache.c - passages by key: a hash table of entries that also stand in a list, the last asked for first. */
#include "rag/cache.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

enum { N_MAX = 1 << 20, BUCKETS_MIN = 64 };

typedef struct find find;
struct find {
    nx_passages passages; /* the first member: who holds it knows its find */
    char        key[NX_FINDS_KEY];
    int32_t     n_holders; /* the table is one of them */
    size_t      bytes;
    find       *next;          /* in its bucket */
    find       *newer, *older; /* in the list */
};

struct nx_finds {
    pthread_mutex_t lock;    /* of all below, and of holders */
    find          **buckets; /* [n_buckets], a power of two */
    size_t          n_buckets;
    find           *newest, *oldest;
    nx_finds_stats  stats;
};

nx_status nx_finds_create(nx_finds **out, int32_t n_max, size_t bytes_max, nx_error *err)
{
    *out = NULL;
    if (n_max < 0 || n_max > N_MAX)
        return nx_fail(err, NX_EINVAL, "a cache of %d retrievals: at most %d", n_max, N_MAX);
    nx_finds *f = nx_calloc(1, sizeof *f);
    if (!f) return nx_fail(err, NX_ENOMEM, "a cache of retrievals");
    f->n_buckets = BUCKETS_MIN;
    while (f->n_buckets < (size_t)n_max) f->n_buckets *= 2;
    f->buckets = nx_calloc(f->n_buckets, sizeof(find *));
    if (!f->buckets) {
        nx_free(f);
        return nx_fail(err, NX_ENOMEM, "a cache of %d retrievals", n_max);
    }
    f->stats = (nx_finds_stats){.n_max = n_max, .bytes_max = bytes_max};
    pthread_mutex_init(&f->lock, NULL);
    *out = f;
    return NX_OK;
}

void nx_finds_destroy(nx_finds *f)
{
    if (!f) return;
    nx_finds_clear(f);
    pthread_mutex_destroy(&f->lock);
    nx_free(f->buckets);
    nx_free(f);
}

/* ---- The table, under the lock ---- */

static find **bucket_of(nx_finds *f, const char *key)
{
    uint64_t h;

    memcpy(&h, key, sizeof h); /* hex digits: their low four bits differ, and their seventh */
    h = (h ^ h >> 29) * 0x9E3779B97F4A7C15u;
    return &f->buckets[(h >> 32) & (f->n_buckets - 1)];
}

static find *look(nx_finds *f, const char *key)
{
    find *x = *bucket_of(f, key);

    while (x && memcmp(x->key, key, NX_FINDS_KEY) != 0) x = x->next;
    return x;
}

static void let_go(find *x)
{
    if (--x->n_holders > 0) return;
    nx_passages_free(&x->passages);
    nx_free(x);
}

static void unlist(nx_finds *f, find *x)
{
    *(x->newer ? &x->newer->older : &f->newest) = x->older;
    *(x->older ? &x->older->newer : &f->oldest) = x->newer;
}

static void list_first(nx_finds *f, find *x)
{
    x->newer = NULL;
    x->older = f->newest;
    *(x->older ? &x->older->newer : &f->oldest) = x;
    f->newest = x;
}

static void take_out(nx_finds *f, find *x)
{
    find **link = bucket_of(f, x->key);

    while (*link != x) link = &(*link)->next;
    *link = x->next;
    unlist(f, x);
    f->stats.n--;
    f->stats.bytes -= x->bytes;
    let_go(x);
}

static void put_in(nx_finds *f, find *x)
{
    if (f->stats.n_max == 0 || x->bytes > f->stats.bytes_max || look(f, x->key)) return;
    while (f->oldest &&
           (f->stats.n == f->stats.n_max || f->stats.bytes + x->bytes > f->stats.bytes_max))
        take_out(f, f->oldest);
    find **bucket = bucket_of(f, x->key);
    x->next = *bucket;
    *bucket = x;
    list_first(f, x);
    x->n_holders++;
    f->stats.n++;
    f->stats.bytes += x->bytes;
}

/* ---- One retrieval ---- */

/* A find that is there, held; NULL. */
static find *hold(nx_finds *f, const char *key)
{
    pthread_mutex_lock(&f->lock);
    find *x = look(f, key);
    f->stats.n_requests++;
    if (x) {
        f->stats.n_hits++;
        x->n_holders++;
        unlist(f, x);
        list_first(f, x);
    }
    pthread_mutex_unlock(&f->lock);
    return x;
}

/* What it takes in memory, at most: of each block of an arena a part is left over. */
static size_t bytes_of(const find *x)
{
    return sizeof *x + x->passages.arena.used_bytes + x->passages.arena.used_bytes / 2 +
           x->passages.arena.chunk_bytes;
}

nx_status nx_finds_retrieve(nx_finds *f, const nx_passages **out, nx_shelf *s, nx_snapshot *snap,
                            const nx_question *q, nx_pool *pool, nx_error *err)
{
    char      key[NX_FINDS_KEY];
    nx_status st = nx_finds_key(key, s, snap, q, err);
    find     *x = st ? NULL : hold(f, key);

    *out = NULL;
    if (!st && !x) {
        x = nx_calloc(1, sizeof *x);
        st = x ? nx_retrieve(&x->passages, s, snap, q, pool, err)
               : nx_fail(err, NX_ENOMEM, "a retrieval");
        if (st) {
            nx_free(x);
            return st;
        }
        memcpy(x->key, key, sizeof key);
        x->n_holders = 1;
        x->bytes = bytes_of(x);
        pthread_mutex_lock(&f->lock);
        put_in(f, x);
        pthread_mutex_unlock(&f->lock);
    }
    if (!st) *out = &x->passages;
    return st;
}

void nx_finds_release(nx_finds *f, const nx_passages *p)
{
    find *x = (find *)(void *)(uintptr_t)p;

    if (!p) return;
    pthread_mutex_lock(&f->lock);
    let_go(x);
    pthread_mutex_unlock(&f->lock);
}

void nx_finds_clear(nx_finds *f)
{
    pthread_mutex_lock(&f->lock);
    while (f->oldest) take_out(f, f->oldest);
    pthread_mutex_unlock(&f->lock);
}

nx_finds_stats nx_finds_read_stats(nx_finds *f)
{
    pthread_mutex_lock(&f->lock);
    nx_finds_stats stats = f->stats;
    pthread_mutex_unlock(&f->lock);
    return stats;
}
