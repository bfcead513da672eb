/* facet.c - how many points have which value: one walk, a table, a sort.
 *
 * Memory: one entry for each different value.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "store/collection.h"
#include "store/plan.h"
#include "store/tally_values.h"
#include "store/walk.h"

void nx_facets_free(nx_facets *f)
{
    nx_free(f->facets);
    nx_buf_free(&f->values);
    *f = (nx_facets){0};
}

typedef struct count {
    uint64_t n, last; /* last: the point that was counted last, from 1 */
} count;

typedef struct counting {
    const nx_path *path;
    nx_values      values;
    count         *counts; /* [cap] */
    size_t         cap;
    uint64_t       point;
    nx_status      st;
    nx_error      *err;
} counting;

static bool counts_as_value(nx_value v)
{
    nx_value_kind k = nx_value_kind_of(v);

    return k == NX_VALUE_TEXT || k == NX_VALUE_INT || k == NX_VALUE_UINT || k == NX_VALUE_TRUE ||
           k == NX_VALUE_FALSE;
}

static bool count_value(counting *c, nx_value v)
{
    size_t i;

    if (!counts_as_value(v)) return true;
    c->st = nx_values_add(&c->values, v, &i, c->err);
    if (c->st) return false;
    if (i >= c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 64;
        count *more = nx_realloc(c->counts, cap, sizeof *more);
        if (!more) c->st = nx_fail(c->err, NX_ENOMEM, "%zu values", cap);
        if (!more) return false;
        for (size_t k = c->cap; k < cap; k++) more[k] = (count){0};
        c->counts = more;
        c->cap = cap;
    }
    if (c->counts[i].last != c->point) c->counts[i] = (count){c->counts[i].n + 1, c->point};
    return true;
}

/* A value, or the items of an array. */
static bool look(void *ctx, nx_value v)
{
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;

    if (nx_value_kind_of(v) != NX_VALUE_ARRAY) return count_value(ctx, v);
    while (nx_value_next(&it, &key, &item))
        if (!count_value(ctx, item)) return false;
    return true;
}

static nx_status count_point(void *ctx, const nx_walk_row *row, nx_error *err)
{
    counting *c = ctx;
    nx_value  payload;
    nx_status st = nx_walk_payload(row, &payload, err);

    if (st) return st;
    c->point++;
    c->err = err;
    nx_path_visit(c->path, payload, look, c);
    return c->st;
}

static int by_count(const void *pa, const void *pb)
{
    const nx_facet *a = pa, *b = pb;

    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    return nx_values_compare(a->value, b->value);
}

/* The values' bytes become those of out. */
static nx_status write_facets(counting *c, uint64_t limit, nx_facets *out, nx_error *err)
{
    size_t n = c->values.n;

    out->facets = nx_alloc(n, sizeof *out->facets);
    if (!out->facets) return nx_fail(err, NX_ENOMEM, "%zu values", n);
    for (size_t i = 0; i < n; i++)
        out->facets[i] = (nx_facet){nx_values_at(&c->values, i), c->counts[i].n};
    if (n > 1) qsort(out->facets, n, sizeof *out->facets, by_count);
    out->n = limit < n ? (size_t)limit : n;
    out->values = c->values.bytes;
    c->values.bytes = (nx_buf){0};
    return NX_OK;
}

nx_status nx_snapshot_facets(nx_snapshot *s, const nx_path *path, const nx_filter *filter,
                             uint64_t limit, nx_facets *out, nx_error *err)
{
    counting  c = {.path = path};
    nx_error  inner = {0};
    nx_status st = nx_collection_failed(s->c, true, &inner);

    *out = (nx_facets){0};
    if (!st && filter) st = nx_filter_check(filter, &s->c->manifest.config, &inner);
    if (!st) st = nx_walk(s, filter, count_point, &c, NULL, &inner);
    if (!st) st = write_facets(&c, limit, out, &inner);
    nx_values_free(&c.values);
    nx_free(c.counts);
    if (!st) return NX_OK;
    if (err) *err = inner;
    return nx_read_failed(s->c, st, &inner);
}
