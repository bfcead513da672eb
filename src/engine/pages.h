/* pages.h - who holds which page of the KV cache, and which prefixes lie in them.
 *
 * Owns:      no keys or values, only the book about them: for each page whether it is free, in one
 *            sequence's hands, or part of the tree of prefixes.
 * Idea:      a radix tree whose edges are whole pages of tokens. A page that is full is published: from
 *            then on any sequence that begins with the same tokens holds it too, and when the last one
 *            lets go it stays, in order of use, until its place is wanted. Children were always let go
 *            before their parents, so the oldest of the order is a leaf.
 * Invariant: free + held by one sequence + in the tree == all; of the tree, those without a holder stand
 *            in the order, each before its parent.
 * Thread:    one at a time.
 */
#ifndef NX_ENGINE_PAGES_H
#define NX_ENGINE_PAGES_H

#include <stdbool.h>

#include "base/error.h"

typedef struct nx_pages nx_pages;

/* The beginnings of texts: a tree for each. Keys of one root are computed alike (rope epochs). */
#define NX_PAGES_ROOTS 2

typedef int32_t nx_page; /* 0 .. n_pages - 1; -1: none. As a node's parent also -2 - root. */

static inline nx_page nx_pages_root(int root)
{
    return -2 - root;
}

/* NX_ENOMEM. n_pages, page_len >= 1. */
nx_status nx_pages_create(nx_pages **out, int32_t n_pages, int32_t page_len, nx_error *err);
void      nx_pages_destroy(nx_pages *p);

/* A page for one sequence: a free one, else the one of the tree that was used longest ago. -1: every
 * page is held. */
nx_page nx_pages_take(nx_pages *p);
void    nx_pages_give(nx_pages *p, nx_page page); /* back, if it wasn't published */

/* The child of `parent` (a node, or a root) that holds these page_len tokens, or -1. */
nx_page nx_pages_find(const nx_pages *p, nx_page parent, const int32_t *ids);

/* Hold a node: once for each sequence, parents first. Let go in the reverse order. */
void nx_pages_hold(nx_pages *p, nx_page node);
void nx_pages_let_go(nx_pages *p, nx_page node);

/* Make a full page, in the caller's hands, the child of parent (held by the caller) with these tokens.
 * Returns the node that holds them, held: page itself, or the one that was there already; page is then
 * given back. */
nx_page nx_pages_publish(nx_pages *p, nx_page parent, const int32_t *ids, nx_page page);

nx_page nx_pages_parent(const nx_pages *p, nx_page node);

typedef struct nx_pages_count {
    int32_t n_pages, n_free;
    int32_t n_cached;  /* in the tree, held by nobody */
    int32_t n_evicted; /* so far */
} nx_pages_count;

void nx_pages_counts(const nx_pages *p, nx_pages_count *out);

/* Forget all prefixes that nobody holds. */
void nx_pages_forget(nx_pages *p);

/* Tests: is the invariant kept? */
bool nx_pages_check(const nx_pages *p);

#endif
