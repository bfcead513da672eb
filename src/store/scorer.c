/* scorer.c - examples against one vector at a time. */
#include "store/scorer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/collection.h"
#include "store/sparse.h"

enum { ROWS_AT_ONCE = 64 };

typedef struct example {
    int32_t   n;       /* dense: 1 row; multi: rows; sparse: values */
    float    *values;  /* [n, dim]; sparse: [n] */
    uint32_t *indices; /* sparse: [n], ascending */
} example;

struct nx_scorer {
    const nx_slot *slot;
    int32_t        slot_idx;
    nx_distance_fn distance;
    bool           negative; /* less of distance is better */
    nx_plan_kind   kind;
    example       *examples; /* [n_positive + n_negative] */
    int32_t        n_positive, n_negative;
};

static bool less_is_better(const nx_slot *slot)
{
    return slot->form != NX_FORM_SPARSE &&
           (slot->distance == NX_EUCLID || slot->distance == NX_MANHATTAN);
}

/* ---- Checking ---- */

static nx_status check_form(const nx_slot *slot, const nx_vector *v, nx_error *err)
{
    switch (slot->form) {
    case NX_FORM_DENSE:
        if (v->form != NX_FORM_DENSE)
            return nx_fail(err, NX_EINVAL, "expected a dense vector as the query");
        if (v->n != slot->dim)
            return nx_fail(err, NX_EINVAL, "a vector of %d numbers, expected %d", v->n, slot->dim);
        return NX_OK;
    case NX_FORM_SPARSE:
        if (v->form != NX_FORM_SPARSE)
            return nx_fail(err, NX_EINVAL, "expected a sparse vector as the query");
        if (v->n < 0 || v->n > NX_SPARSE_MAX)
            return nx_fail(err, NX_EINVAL, "a sparse vector of %d values, expected at most %d",
                           v->n, NX_SPARSE_MAX);
        return NX_OK;
    case NX_FORM_MULTI:
        if (v->form == NX_FORM_DENSE && v->n == slot->dim) return NX_OK;
        if (v->form == NX_FORM_DENSE)
            return nx_fail(err, NX_EINVAL, "a vector of %d numbers, expected %d", v->n, slot->dim);
        if (v->form != NX_FORM_MULTI)
            return nx_fail(err, NX_EINVAL, "expected a multivector as the query");
        if (v->n < 1 || v->n > NX_MULTI_MAX / slot->dim)
            return nx_fail(err, NX_EINVAL,
                           "a multivector of %d rows of %d, expected at most %d "
                           "numbers",
                           v->n, slot->dim, NX_MULTI_MAX);
        return NX_OK;
    case NX_FORM_GONE: break;
    }
    return nx_fail(err, NX_EINVAL, "no such form of vector");
}

/* How many numbers a target has whose form was checked. */
static size_t n_numbers(const nx_slot *slot, const nx_vector *v)
{
    return (size_t)v->n * (v->form == NX_FORM_MULTI ? (size_t)slot->dim : 1);
}

static nx_status check_vector(const nx_config *c, const nx_vector *v, nx_error *err)
{
    if (v->slot < 0 || v->slot >= c->n_slots)
        return nx_fail(err, NX_EINVAL, "no vector %d in this collection", v->slot);
    const nx_slot *slot = &c->slots[v->slot];
    nx_status      st = check_form(slot, v, err);
    for (size_t i = 0, n = st ? 0 : n_numbers(slot, v); i < n; i++)
        if (!isfinite(v->values[i])) return nx_fail(err, NX_EINVAL, "a query that isn't finite");
    return st;
}

static nx_status check_examples(const nx_config *c, const nx_plan *plan, nx_error *err)
{
    int32_t   P = plan->n_positive, N = plan->n_negative;
    nx_status st = NX_OK;

    if (P < 0 || N < 0 || P > NX_PLAN_EXAMPLES_MAX || N > NX_PLAN_EXAMPLES_MAX ||
        P + N > NX_PLAN_EXAMPLES_MAX)
        return nx_fail(err, NX_EINVAL, "%d and %d examples, expected at most %d", P, N,
                       NX_PLAN_EXAMPLES_MAX);
    if (P + N == 0) return nx_fail(err, NX_EINVAL, "no examples");
    int32_t slot = P ? plan->positive[0].slot : plan->negative[0].slot;
    for (int32_t i = 0; !st && i < P + N; i++) {
        const nx_vector *v = i < P ? &plan->positive[i] : &plan->negative[i - P];
        st = check_vector(c, v, err);
        if (!st && v->slot != slot)
            st = nx_fail(err, NX_EINVAL, "examples of different vectors: %d and %d", slot, v->slot);
    }
    return st;
}

nx_status nx_scorer_check(const nx_config *c, const nx_plan *plan, nx_error *err)
{
    return plan->kind == NX_PLAN_NEAREST ? check_vector(c, &plan->target, err)
                                         : check_examples(c, plan, err);
}

/* ---- Making ---- */

/* As nx_snapshot_search does, so that scores are the same to the bit. */
static void make_unit(float *x, int32_t n)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    for (int32_t i = 0; sum > 0 && i < n; i++) x[i] = (float)((double)x[i] / sqrt(sum));
}

typedef struct entry {
    uint32_t index;
    float    value;
} entry;

static int by_index(const void *pa, const void *pb)
{
    const entry *a = pa, *b = pb;

    return a->index < b->index ? -1 : a->index > b->index;
}

static nx_status take_sparse(example *e, nx_snapshot *s, const nx_vector *v, nx_error *err)
{
    size_t    n = (size_t)v->n;
    entry    *sorted = nx_alloc(n, sizeof *sorted);
    nx_status st = NX_OK;

    e->n = v->n;
    e->values = nx_alloc(n, sizeof *e->values);
    e->indices = nx_alloc(n, sizeof *e->indices);
    if (!sorted || !e->values || !e->indices) st = nx_fail(err, NX_ENOMEM, "a query");
    if (!st) st = nx_sparse_weigh(s, e->values, v, err);
    for (size_t i = 0; !st && i < n; i++) sorted[i] = (entry){v->indices[i], e->values[i]};
    if (!st && n > 1) qsort(sorted, n, sizeof *sorted, by_index);
    for (size_t i = 0; !st && i < n; i++) {
        e->indices[i] = sorted[i].index;
        e->values[i] = sorted[i].value;
    }
    nx_free(sorted);
    return st;
}

static nx_status take_dense(example *e, const nx_slot *slot, const nx_vector *v, nx_error *err)
{
    size_t n = n_numbers(slot, v);

    e->n = v->form == NX_FORM_MULTI ? v->n : 1;
    e->values = nx_alloc_aligned(n, sizeof *e->values, 64);
    if (!e->values) return nx_fail(err, NX_ENOMEM, "a query");
    memcpy(e->values, v->values, n * sizeof *e->values);
    for (int32_t i = 0; slot->distance == NX_COSINE && i < e->n; i++)
        make_unit(e->values + (size_t)i * (size_t)slot->dim, slot->dim);
    return NX_OK;
}

static nx_distance_fn distance_of(const nx_distance_ops *ops, const nx_slot *slot)
{
    if (slot->distance == NX_EUCLID) return ops->euclid;
    return slot->distance == NX_MANHATTAN ? ops->manhattan : ops->dot;
}

static nx_status fill(nx_scorer *x, nx_snapshot *s, const nx_plan *plan, nx_error *err)
{
    bool             one = plan->kind == NX_PLAN_NEAREST;
    const nx_vector *positive = one ? &plan->target : plan->positive;
    nx_status        st = NX_OK;

    x->kind = plan->kind;
    x->n_positive = one ? 1 : plan->n_positive;
    x->n_negative = one ? 0 : plan->n_negative;
    x->slot_idx = x->n_positive ? positive[0].slot : plan->negative[0].slot;
    x->slot = &s->c->manifest.config.slots[x->slot_idx];
    x->distance = distance_of(s->c->distances, x->slot);
    x->negative = less_is_better(x->slot);
    x->examples = nx_calloc((size_t)(x->n_positive + x->n_negative), sizeof *x->examples);
    if (!x->examples) return nx_fail(err, NX_ENOMEM, "a query");
    for (int32_t i = 0; !st && i < x->n_positive + x->n_negative; i++) {
        const nx_vector *v = i < x->n_positive ? &positive[i] : &plan->negative[i - x->n_positive];
        st = x->slot->form == NX_FORM_SPARSE ? take_sparse(&x->examples[i], s, v, err)
                                             : take_dense(&x->examples[i], x->slot, v, err);
    }
    return st;
}

nx_status nx_scorer_create(nx_scorer **out, nx_snapshot *s, const nx_plan *plan, nx_error *err)
{
    nx_scorer *x = nx_calloc(1, sizeof *x);
    nx_status  st = x ? fill(x, s, plan, err) : nx_fail(err, NX_ENOMEM, "a query");

    *out = NULL;
    if (st)
        nx_scorer_destroy(x);
    else
        *out = x;
    return st;
}

void nx_scorer_destroy(nx_scorer *x)
{
    if (!x) return;
    for (int32_t i = 0; x->examples && i < x->n_positive + x->n_negative; i++) {
        nx_free(x->examples[i].values);
        nx_free(x->examples[i].indices);
    }
    nx_free(x->examples);
    nx_free(x);
}

int32_t nx_scorer_slot(const nx_scorer *x)
{
    return x->slot_idx;
}

/* ---- Likeness of one example and one vector ---- */

/* In the order of the indexes, in float: as nx_sparse_search adds. False: they share none. */
static bool sparse_likeness(float *out, const example *e, const nx_vector *v)
{
    bool shared = false;

    *out = 0;
    for (int32_t i = 0, k = 0; i < e->n && k < v->n;) {
        if (e->indices[i] == v->indices[k]) {
            *out += e->values[i++] * v->values[k++];
            shared = true;
        } else if (e->indices[i] < v->indices[k]) {
            i++;
        } else {
            k++;
        }
    }
    return shared;
}

/* The best of v's rows for one of the example's. */
static float best_row(const nx_scorer *x, const float *row, const nx_vector *v, int32_t n_rows)
{
    int32_t D = x->slot->dim;
    float   d[ROWS_AT_ONCE], best = -INFINITY;

    for (int32_t at = 0; at < n_rows; at += ROWS_AT_ONCE) {
        int32_t n = n_rows - at < ROWS_AT_ONCE ? n_rows - at : ROWS_AT_ONCE;
        x->distance(d, row, v->values + (size_t)at * (size_t)D, n, D, D);
        for (int32_t i = 0; i < n; i++) {
            float likeness = x->negative ? -d[i] : d[i];
            if (likeness > best) best = likeness;
        }
    }
    return best;
}

static bool likeness(const nx_scorer *x, float *out, const example *e, const nx_vector *v)
{
    double sum = 0;

    if (x->slot->form == NX_FORM_SPARSE) return sparse_likeness(out, e, v);
    int32_t n_rows = x->slot->form == NX_FORM_MULTI ? v->n : 1;
    for (int32_t i = 0; i < e->n; i++)
        sum += (double)best_row(x, e->values + (size_t)i * (size_t)x->slot->dim, v, n_rows);
    *out = (float)sum;
    return true;
}

/* ---- What a plan makes of them ---- */

static float squash(float x)
{
    return isinf(x) ? x : 0.5f * (x / (1 + fabsf(x)) + 1);
}

/* The best likeness among examples; sparse ones that share nothing have 0. */
static float best_of(const nx_scorer *x, const example *e, int32_t n, const nx_vector *v)
{
    float best = -INFINITY, l = 0;

    for (int32_t i = 0; i < n; i++) {
        likeness(x, &l, &e[i], v);
        if (l > best) best = l;
    }
    return best;
}

static float sum_of(const nx_scorer *x, const nx_vector *v)
{
    double sum = 0;
    float  l = 0;

    for (int32_t i = 0; i < x->n_positive + x->n_negative; i++) {
        likeness(x, &l, &x->examples[i], v);
        sum += i < x->n_positive ? (double)l : -(double)l;
    }
    return (float)sum;
}

bool nx_scorer_key(const nx_scorer *x, float *key, const nx_vector *v)
{
    if (x->kind == NX_PLAN_NEAREST) {
        bool hit = likeness(x, key, x->examples, v);
        if (x->slot->distance == NX_EUCLID && x->negative) *key = -sqrtf(-*key);
        return hit;
    }
    if (x->kind == NX_PLAN_SUM) {
        *key = sum_of(x, v);
        return true;
    }
    float p = best_of(x, x->examples, x->n_positive, v);
    float n = best_of(x, x->examples + x->n_positive, x->n_negative, v);
    *key = p > n ? squash(p) : -squash(n);
    return true;
}

float nx_scorer_score(const nx_scorer *x, float key)
{
    return x->kind == NX_PLAN_NEAREST && x->negative ? 0 - key : key;
}

bool nx_scorer_passes(const nx_config *c, const nx_plan *plan, float score)
{
    int32_t slot = plan->kind == NX_PLAN_NEAREST ? plan->target.slot
                   : plan->n_positive            ? plan->positive[0].slot
                                                 : plan->negative[0].slot;

    if (!plan->has_threshold) return true;
    return less_is_better(&c->slots[slot]) ? score <= plan->threshold : score >= plan->threshold;
}
