/* order.c - numbers and times at a path. */
#include "store/order.h"

#include <stdlib.h>

#include "base/alloc.h"

typedef struct values {
    nx_order_of     of;
    nx_order_value *v;
    size_t          n, cap;
    bool            failed;
} values;

static bool value_of(nx_order_value *out, nx_value v, nx_order_of of)
{
    int64_t time;

    switch (nx_value_kind_of(v)) {
    case NX_VALUE_INT:
        *out = (nx_order_value){.i = nx_value_int(v)};
        return of != NX_ORDER_OF_TIMES;
    case NX_VALUE_UINT:
    case NX_VALUE_FLOAT:
        *out = (nx_order_value){.is_float = true, .f = nx_value_float(v)};
        return of == NX_ORDER_OF_ANY || of == NX_ORDER_OF_NUMBERS;
    case NX_VALUE_TEXT:
        if (of == NX_ORDER_OF_INTEGERS || of == NX_ORDER_OF_NUMBERS) return false;
        if (!nx_time_parse(&time, nx_value_text(v))) return false;
        *out = (nx_order_value){.i = time};
        return true;
    case NX_VALUE_NULL:
    case NX_VALUE_FALSE:
    case NX_VALUE_TRUE:
    case NX_VALUE_ARRAY:
    case NX_VALUE_OBJECT: break;
    }
    return false;
}

static bool add(values *all, nx_value v)
{
    nx_order_value x;

    if (!value_of(&x, v, all->of)) return true;
    if (all->n == all->cap) {
        size_t          cap = all->cap ? 2 * all->cap : 16;
        nx_order_value *more = nx_realloc(all->v, cap, sizeof *more);
        all->failed = !more;
        if (!more) return false;
        all->v = more;
        all->cap = cap;
    }
    all->v[all->n++] = x;
    return true;
}

/* A value, or the items of an array. */
static bool look(void *ctx, nx_value v)
{
    values       *all = ctx;
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;

    if (nx_value_kind_of(v) != NX_VALUE_ARRAY) return add(all, v);
    while (nx_value_next(&it, &key, &item))
        if (!add(all, item)) return false;
    return true;
}

/* Of equal ones integers come first. */
static int compare(const void *pa, const void *pb)
{
    const nx_order_value *a = pa, *b = pb;
    int                   c = nx_order_compare(*a, *b);

    return c ? c : (int)a->is_float - (int)b->is_float;
}

static bool counts(const nx_plan *plan, nx_order_value v)
{
    int c = plan->order.has_start ? nx_order_compare(v, plan->order.start) : 0;

    return plan->order.descending ? c <= 0 : c >= 0;
}

nx_status nx_order_push(nx_ranks *best, const nx_plan *plan, nx_point_id id, nx_value payload,
                        nx_error *err)
{
    values    all = {.of = plan->order.of};
    nx_status st = NX_OK;

    nx_path_visit(&plan->order.path, payload, look, &all);
    if (all.failed) st = nx_fail(err, NX_ENOMEM, "values of a point");
    if (all.n > 1) qsort(all.v, all.n, sizeof *all.v, compare);
    for (size_t i = 0; !st && i < all.n; i++) {
        if (i && nx_order_compare(all.v[i - 1], all.v[i]) == 0) continue;
        if (!counts(plan, all.v[i])) continue;
        nx_plan_hit hit = {.id = id, .score = 1, .has_order = true, .order = all.v[i]};
        st = nx_ranks_push(best, hit, err);
    }
    nx_free(all.v);
    return st;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

nx_order_value nx_order_chance(uint64_t seed, nx_point_id id)
{
    uint64_t x = mix(seed + 0x9E3779B97F4A7C15u);

    x = mix(x ^ id.lo);
    x = mix(x ^ (id.hi + 0x9E3779B97F4A7C15u * (1 + id.is_uuid)));
    return (nx_order_value){.i = (int64_t)(x >> 1)};
}
