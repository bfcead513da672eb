/* topk.c - a bounded heap. */
#include "store/topk.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

nx_status nx_topk_init(nx_topk *t, size_t k, nx_error *err)
{
    *t = (nx_topk){.k = k};
    t->v = nx_alloc(k, sizeof *t->v);
    return t->v ? NX_OK : nx_fail(err, NX_ENOMEM, "the best %zu", k);
}

void nx_topk_free(nx_topk *t)
{
    nx_free(t->v);
    *t = (nx_topk){0};
}

/* -1: a is better. */
static int compare(const void *pa, const void *pb)
{
    const nx_topk_entry *a = pa, *b = pb;

    if (a->key != b->key) return a->key > b->key ? -1 : 1;
    return nx_id_compare(a->id, b->id);
}

static void sift_down(nx_topk *t, nx_topk_entry e)
{
    size_t i = 0;

    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= t->n) break;
        if (kid + 1 < t->n && compare(&t->v[kid + 1], &t->v[kid]) > 0) kid++;
        if (compare(&t->v[kid], &e) <= 0) break;
        t->v[i] = t->v[kid];
        i = kid;
    }
    t->v[i] = e;
}

void nx_topk_push(nx_topk *t, nx_topk_entry e)
{
    if (isnan(e.key)) e.key = -INFINITY;
    if (t->n == t->k) {
        if (t->k && compare(&e, &t->v[0]) < 0) sift_down(t, e);
        return;
    }
    size_t i = t->n++;
    for (; i > 0 && compare(&e, &t->v[(i - 1) / 2]) > 0; i = (i - 1) / 2)
        t->v[i] = t->v[(i - 1) / 2];
    t->v[i] = e;
}

void nx_topk_sort(nx_topk *t)
{
    if (t->n > 1) qsort(t->v, t->n, sizeof *t->v, compare);
}
