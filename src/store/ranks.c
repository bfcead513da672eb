/* ranks.c - a list that is sorted and cut now and then. */
#include "store/ranks.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

enum { SLACK = 256 };

void nx_plan_ranks_free(nx_ranks *r)
{
    nx_free(r->v);
    *r = (nx_ranks){.k = r->k, .by = r->by};
}

static int compare_mixed(int64_t i, double f)
{
    if (f >= 0x1p63) return -1;
    if (f < -0x1p63) return 1;
    int64_t whole = (int64_t)f;
    if (i != whole) return i < whole ? -1 : 1;
    double rest = f - (double)whole;
    return rest > 0 ? -1 : rest < 0;
}

int nx_order_compare(nx_order_value a, nx_order_value b)
{
    if (a.is_float && b.is_float) return a.f < b.f ? -1 : a.f > b.f;
    if (a.is_float) return -compare_mixed(b.i, a.f);
    if (b.is_float) return compare_mixed(a.i, b.f);
    return a.i < b.i ? -1 : a.i > b.i;
}

static int by_score(const void *pa, const void *pb)
{
    const nx_plan_hit *a = pa, *b = pb;

    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return nx_id_compare(a->id, b->id);
}

static int by_value(const void *pa, const void *pb)
{
    const nx_plan_hit *a = pa, *b = pb;
    int                c = nx_order_compare(a->order, b->order);

    return c ? c : nx_id_compare(a->id, b->id);
}

static int by_value_desc(const void *pa, const void *pb)
{
    const nx_plan_hit *a = pa, *b = pb;
    int                c = nx_order_compare(b->order, a->order);

    return c ? c : nx_id_compare(a->id, b->id);
}

static int (*compare_of(const nx_ranks *r))(const void *, const void *)
{
    return r->by == NX_BY_SCORE ? by_score : r->by == NX_BY_VALUE ? by_value : by_value_desc;
}

void nx_ranks_sort(nx_ranks *r)
{
    if (r->n > 1) qsort(r->v, r->n, sizeof *r->v, compare_of(r));
    if (r->n <= r->k) return;
    r->n = (size_t)r->k;
}

static nx_status grow(nx_ranks *r, nx_error *err)
{
    size_t       cap = r->cap ? 2 * r->cap : SLACK;
    nx_plan_hit *v = cap < SIZE_MAX / sizeof *v / 2 ? nx_realloc(r->v, cap, sizeof *v) : NULL;

    if (!v) return nx_fail(err, NX_ENOMEM, "%zu hits", cap);
    r->v = v;
    r->cap = cap;
    return NX_OK;
}

nx_status nx_ranks_push(nx_ranks *r, nx_plan_hit hit, nx_error *err)
{
    if (r->k == 0) return NX_OK;
    if (isnan(hit.score)) hit.score = -INFINITY;
    if (r->full && compare_of(r)(&hit, &r->last) >= 0) return NX_OK;
    if (r->n == r->cap && r->k < r->n / 2) {
        nx_ranks_sort(r);
        r->full = true;
        r->last = r->v[r->n - 1];
    }
    if (r->n == r->cap) {
        nx_status st = grow(r, err);
        if (st) return st;
    }
    r->v[r->n++] = hit;
    return NX_OK;
}

nx_status nx_ranks_join(nx_ranks *r, nx_ranks *from, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < from->n; i++) st = nx_ranks_push(r, from->v[i], err);
    nx_plan_ranks_free(from);
    return st;
}
