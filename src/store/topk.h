/* topk.h - the k best of many, ties by id: a heap with the worst on top.
 *
 * Owns:   its entries. Thread: one at a time.
 */
#ifndef NX_STORE_TOPK_H
#define NX_STORE_TOPK_H

#include "store/point.h"

typedef struct nx_topk_entry {
    float       key;         /* more is better; a NaN counts as -infinity */
    uint32_t    source, row; /* where it lies: the caller's affair */
    nx_point_id id;
} nx_topk_entry;

typedef struct nx_topk {
    nx_topk_entry *v; /* [k] */
    size_t         n, k;
} nx_topk;

nx_status nx_topk_init(nx_topk *t, size_t k, nx_error *err); /* NX_ENOMEM */
void      nx_topk_free(nx_topk *t);                          /* an all-zero struct is fine */

/* Could something of that key enter, whatever its id? */
static inline bool nx_topk_wants(const nx_topk *t, float key)
{
    return t->n < t->k || !(key < t->v[0].key);
}

void nx_topk_push(nx_topk *t, nx_topk_entry e);

/* Best first. It is no heap any more. */
void nx_topk_sort(nx_topk *t);

#endif
