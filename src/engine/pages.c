/* pages.c - free pages on a stack, prefixes in a tree, those nobody holds in the order of their use. */
#include "engine/pages.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

typedef struct node {
    nx_page  parent;       /* of a node; else -1 */
    nx_page  next;         /* in its bucket */
    nx_page  older, newer; /* in the order, while nobody holds it */
    int32_t  holders;
    uint32_t hash;
    bool     in_tree, is_free;
} node;

struct nx_pages {
    int32_t  n_pages, page_len;
    node    *nodes;   /* [n_pages]: of the page with that number */
    int32_t *ids;     /* [n_pages, page_len]: tokens of nodes */
    nx_page *buckets; /* [n_buckets]: children by parent and tokens */
    uint32_t n_buckets;
    nx_page *free; /* [n_free] */
    int32_t  n_free, n_cached, n_evicted;
    nx_page  oldest, newest;
};

nx_status nx_pages_create(nx_pages **out, int32_t n_pages, int32_t page_len, nx_error *err)
{
    nx_pages *p = nx_calloc(1, sizeof *p);

    *out = NULL;
    if (!p) return nx_fail(err, NX_ENOMEM, "book of pages");
    *p = (nx_pages){.n_pages = n_pages, .page_len = page_len, .oldest = -1, .newest = -1};
    for (p->n_buckets = 64; p->n_buckets < (uint32_t)n_pages;) p->n_buckets *= 2;
    p->nodes = nx_calloc((size_t)n_pages, sizeof *p->nodes);
    p->ids = nx_calloc((size_t)n_pages, sizeof *p->ids * (size_t)page_len);
    p->buckets = nx_alloc(p->n_buckets, sizeof *p->buckets);
    p->free = nx_alloc((size_t)n_pages, sizeof *p->free);
    if (!p->nodes || !p->ids || !p->buckets || !p->free) {
        nx_pages_destroy(p);
        return nx_fail(err, NX_ENOMEM, "book of %d pages", n_pages);
    }
    for (uint32_t i = 0; i < p->n_buckets; i++) p->buckets[i] = -1;
    /* The lowest page lies on top: memory is touched only as it is needed. */
    for (nx_page i = n_pages - 1; i >= 0; i--) {
        p->free[p->n_free++] = i;
        p->nodes[i].is_free = true;
    }
    *out = p;
    return NX_OK;
}

void nx_pages_destroy(nx_pages *p)
{
    if (!p) return;
    nx_free(p->nodes);
    nx_free(p->ids);
    nx_free(p->buckets);
    nx_free(p->free);
    nx_free(p);
}

/* ---- The order of use ---- */

static void leave_order(nx_pages *p, nx_page i)
{
    node *n = &p->nodes[i];

    *(n->older >= 0 ? &p->nodes[n->older].newer : &p->oldest) = n->newer;
    *(n->newer >= 0 ? &p->nodes[n->newer].older : &p->newest) = n->older;
    p->n_cached--;
}

static void join_order(nx_pages *p, nx_page i)
{
    node *n = &p->nodes[i];

    n->older = p->newest;
    n->newer = -1;
    *(p->newest >= 0 ? &p->nodes[p->newest].newer : &p->oldest) = i;
    p->newest = i;
    p->n_cached++;
}

/* ---- The tree ---- */

static int32_t *ids_of(const nx_pages *p, nx_page i)
{
    return p->ids + (int64_t)i * p->page_len;
}

/* FNV-1a over words. Whoever makes texts collide makes his own look-ups slow, not wrong: tokens are
 * compared. */
static uint32_t hash_of(const nx_pages *p, nx_page parent, const int32_t *ids)
{
    uint64_t h = 0xCBF29CE484222325u ^ (uint32_t)parent;

    for (int32_t i = 0; i < p->page_len; i++) h = (h ^ (uint32_t)ids[i]) * 0x100000001B3u;
    return (uint32_t)(h ^ h >> 32);
}

static nx_page *bucket_of(const nx_pages *p, uint32_t hash)
{
    return &p->buckets[hash & (p->n_buckets - 1)];
}

static nx_page find_hashed(const nx_pages *p, nx_page parent, const int32_t *ids, uint32_t hash)
{
    for (nx_page i = *bucket_of(p, hash); i >= 0; i = p->nodes[i].next) {
        const node *n = &p->nodes[i];
        if (n->hash == hash && n->parent == parent &&
            memcmp(ids_of(p, i), ids, (size_t)p->page_len * sizeof *ids) == 0)
            return i;
    }
    return -1;
}

nx_page nx_pages_find(const nx_pages *p, nx_page parent, const int32_t *ids)
{
    return find_hashed(p, parent, ids, hash_of(p, parent, ids));
}

nx_page nx_pages_parent(const nx_pages *p, nx_page i)
{
    return p->nodes[i].parent;
}

void nx_pages_hold(nx_pages *p, nx_page i)
{
    assert(p->nodes[i].in_tree);
    if (p->nodes[i].holders++ == 0) leave_order(p, i);
}

void nx_pages_let_go(nx_pages *p, nx_page i)
{
    assert(p->nodes[i].in_tree && p->nodes[i].holders > 0);
    if (--p->nodes[i].holders == 0) join_order(p, i);
}

static void make_free(nx_pages *p, nx_page i)
{
    p->nodes[i] = (node){.parent = -1, .is_free = true};
    p->free[p->n_free++] = i;
}

/* The oldest of the order: a leaf, since its children left before it. */
static void evict(nx_pages *p)
{
    nx_page  i = p->oldest;
    nx_page *link = bucket_of(p, p->nodes[i].hash);

    while (*link != i) link = &p->nodes[*link].next;
    *link = p->nodes[i].next;
    leave_order(p, i);
    make_free(p, i);
    p->n_evicted++;
}

nx_page nx_pages_take(nx_pages *p)
{
    if (p->n_free == 0 && p->oldest >= 0) evict(p);
    if (p->n_free == 0) return -1;
    nx_page i = p->free[--p->n_free];
    p->nodes[i].is_free = false;
    return i;
}

void nx_pages_give(nx_pages *p, nx_page i)
{
    assert(!p->nodes[i].in_tree && !p->nodes[i].is_free);
    make_free(p, i);
}

nx_page nx_pages_publish(nx_pages *p, nx_page parent, const int32_t *ids, nx_page page)
{
    uint32_t hash = hash_of(p, parent, ids);
    nx_page  there = find_hashed(p, parent, ids, hash);

    if (there >= 0) {
        nx_pages_hold(p, there);
        nx_pages_give(p, page);
        return there;
    }
    nx_page *bucket = bucket_of(p, hash);
    p->nodes[page] =
        (node){.parent = parent, .next = *bucket, .holders = 1, .hash = hash, .in_tree = true};
    memcpy(ids_of(p, page), ids, (size_t)p->page_len * sizeof *ids);
    *bucket = page;
    return page;
}

void nx_pages_counts(const nx_pages *p, nx_pages_count *out)
{
    *out = (nx_pages_count){p->n_pages, p->n_free, p->n_cached, p->n_evicted};
}

void nx_pages_forget(nx_pages *p)
{
    while (p->oldest >= 0) evict(p);
}

bool nx_pages_check(const nx_pages *p)
{
    int32_t n_free = 0, n_cached = 0, n_order = 0;

    for (nx_page i = 0; i < p->n_pages; i++) {
        const node *n = &p->nodes[i];
        n_free += n->is_free;
        n_cached += n->in_tree && n->holders == 0;
        if (n->in_tree && n->parent >= 0) {
            const node *up = &p->nodes[n->parent];
            if (!up->in_tree || (n->holders > 0 && up->holders == 0)) return false;
        }
    }
    for (nx_page i = p->oldest; i >= 0; i = p->nodes[i].newer, n_order++) {
        nx_page up = p->nodes[i].parent;
        bool    later = up < 0 || p->nodes[up].holders > 0;
        for (nx_page j = p->nodes[i].newer; j >= 0 && !later; j = p->nodes[j].newer)
            later = j == up;
        if (!later || n_order > p->n_pages) return false;
    }
    return n_free == p->n_free && n_cached == p->n_cached && n_order == p->n_cached;
}
