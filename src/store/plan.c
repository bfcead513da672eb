/* plan.c - a tree of plans, run from its leaves up.
 *
 * Idea:   a leaf looks at all points: dense and sparse neighbours by their own fast searches, the rest
 *         by a walk that keeps the best. A plan with sources looks at their points by id, and needs no
 *         filter any more: every source had it.
 */
#include "store/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/collection.h"
#include "store/fuse.h"
#include "store/order.h"
#include "store/plan_run.h"
#include "store/scorer.h"
#include "store/sparse.h"
#include "store/walk.h"

typedef struct run {
    nx_snapshot     *s;
    const nx_config *config;
    nx_pool         *pool;
    uint64_t         n_rows; /* no plan but ORDER finds more hits */
    bool             open;   /* sources have no limits */
    nx_error        *err;
} run;

void nx_results_free(nx_results *r)
{
    nx_free(r->hits);
    *r = (nx_results){0};
}

/* ---- Checking ---- */

static bool fuses(const nx_plan *p)
{
    return p->kind == NX_PLAN_RRF || p->kind == NX_PLAN_DBSF;
}

static bool scores(const nx_plan *p)
{
    return p->kind == NX_PLAN_NEAREST || p->kind == NX_PLAN_BEST || p->kind == NX_PLAN_SUM;
}

static nx_status check_weights(const nx_plan *p, nx_error *err)
{
    for (int32_t i = 0; p->rrf.weights && i < p->n_sources; i++)
        if (!isfinite(p->rrf.weights[i]))
            return nx_fail(err, NX_EINVAL, "a weight that isn't finite");
    return NX_OK;
}

static nx_status check_one(const nx_config *c, const nx_plan *p, nx_error *err)
{
    if (p->filter && nx_filter_check(p->filter, c, err)) return NX_EINVAL;
    if (p->n_sources < 0 || p->n_sources > NX_PLAN_SOURCES_MAX)
        return nx_fail(err, NX_EINVAL, "%d prefetches, expected at most %d", p->n_sources,
                       NX_PLAN_SOURCES_MAX);
    if (p->has_threshold && isnan(p->threshold))
        return nx_fail(err, NX_EINVAL, "a threshold that is no number");
    switch (p->kind) {
    case NX_PLAN_IDS:
    case NX_PLAN_SAMPLE: return NX_OK;
    case NX_PLAN_NEAREST:
    case NX_PLAN_BEST:
    case NX_PLAN_SUM: return nx_scorer_check(c, p, err);
    case NX_PLAN_ORDER:
        if (p->order.has_start && p->order.start.is_float && isnan(p->order.start.f))
            return nx_fail(err, NX_EINVAL, "a start that is no number");
        return NX_OK;
    case NX_PLAN_RRF:
    case NX_PLAN_DBSF:
        if (p->n_sources == 0)
            return nx_fail(err, NX_EINVAL, "cannot apply Fusion without prefetches");
        return p->kind == NX_PLAN_RRF ? check_weights(p, err) : NX_OK;
    }
    return nx_fail(err, NX_EINVAL, "no plan of kind %d", (int)p->kind);
}

static nx_status check(const nx_config *c, const nx_plan *p, int depth, int32_t *n_left,
                       nx_error *err)
{
    if (depth > NX_PLAN_DEPTH_MAX)
        return nx_fail(err, NX_EINVAL, "prefetches nested more than %d deep", NX_PLAN_DEPTH_MAX);
    if ((*n_left)-- == 0)
        return nx_fail(err, NX_EINVAL, "more than %d prefetches in all", NX_PLAN_NODES_MAX);
    nx_status st = check_one(c, p, err);
    for (int32_t i = 0; !st && i < p->n_sources; i++)
        st = check(c, &p->sources[i], depth + 1, n_left, err);
    return st;
}

/* ---- Limits ---- */

static uint64_t add_clamped(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* How many of the best are wanted, those that the offset takes away with them. */
static uint64_t n_wanted(const run *r, const nx_plan *p)
{
    uint64_t k = r->open || p->limit == 0 ? p->limit : add_clamped(p->limit, p->offset);

    return p->kind == NX_PLAN_ORDER || k < r->n_rows ? k : r->n_rows;
}

static void drop_first(nx_results *out, uint64_t n)
{
    size_t first = n < out->n ? (size_t)n : out->n;

    if (first && out->n > first)
        memmove(out->hits, out->hits + first, (out->n - first) * sizeof *out->hits);
    out->n -= first;
}

/* ---- By a walk: scores, values, chance, ids ---- */

typedef struct gathering {
    const nx_plan *plan;
    nx_scorer     *scorer; /* of what scores */
    nx_ranks      *best;   /* [of each worker] */
    int            n_workers;
} gathering;

static nx_status gather(void *ctx, const nx_walk_row *row, nx_error *err)
{
    gathering  *g = ctx;
    nx_ranks   *best = &g->best[row->worker];
    nx_plan_hit hit = {.id = row->id, .score = 1};
    nx_value    payload;
    nx_vector   v;
    bool        has;
    nx_status   st;

    if (g->plan->kind == NX_PLAN_ORDER) {
        st = nx_walk_payload(row, &payload, err);
        return st ? st : nx_order_push(best, g->plan, row->id, payload, err);
    }
    if (g->plan->kind == NX_PLAN_SAMPLE) hit.order = nx_order_chance(g->plan->seed, row->id);
    if (g->scorer) {
        st = nx_walk_vector(row, nx_scorer_slot(g->scorer), &v, &has, err);
        if (st || !has || !nx_scorer_key(g->scorer, &hit.score, &v)) return st;
    }
    return nx_ranks_push(best, hit, err);
}

static nx_rank_by rank_by(const nx_plan *p)
{
    if (scores(p)) return NX_BY_SCORE;
    return p->kind == NX_PLAN_ORDER && p->order.descending ? NX_BY_VALUE_DESC : NX_BY_VALUE;
}

static nx_status start(gathering *g, run *r, const nx_plan *p, int n_workers)
{
    nx_status st = scores(p) ? nx_scorer_create(&g->scorer, r->s, p, r->err) : NX_OK;

    if (st) return st;
    g->best = nx_calloc((size_t)n_workers, sizeof *g->best);
    if (!g->best) return nx_fail(r->err, NX_ENOMEM, "a plan");
    g->n_workers = n_workers;
    for (int i = 0; i < n_workers; i++)
        g->best[i] = (nx_ranks){.k = n_wanted(r, p), .by = rank_by(p)};
    return NX_OK;
}

/* Keys become scores; the first that doesn't pass ends the list. */
static void write_scores(const run *r, const gathering *g, nx_results *out)
{
    size_t n = 0;

    for (; n < out->n; n++) {
        nx_plan_hit *hit = &out->hits[n];
        if (g->scorer) hit->score = nx_scorer_score(g->scorer, hit->score);
        if (g->scorer && !nx_scorer_passes(r->config, g->plan, hit->score)) break;
        if (!hit->has_order) hit->order = (nx_order_value){0};
    }
    out->n = n;
}

static nx_status finish(gathering *g, run *r, nx_results *out, nx_status st)
{
    for (int i = 1; i < g->n_workers; i++)
        if (!st)
            st = nx_ranks_join(&g->best[0], &g->best[i], r->err);
        else
            nx_plan_ranks_free(&g->best[i]);
    if (!st) {
        nx_ranks_sort(&g->best[0]);
        *out = (nx_results){g->best[0].v, g->best[0].n};
        write_scores(r, g, out);
    } else if (g->n_workers) {
        nx_plan_ranks_free(&g->best[0]);
    }
    nx_free(g->best);
    nx_scorer_destroy(g->scorer);
    return st;
}

static nx_status run_walk(run *r, const nx_plan *p, const nx_filter *filter, nx_results *out)
{
    gathering g = {.plan = p};
    nx_status st = start(&g, r, p, nx_walk_workers(r->pool));

    if (!st) st = nx_walk(r->s, filter, gather, &g, r->pool, r->err);
    return finish(&g, r, out, st);
}

static nx_status run_on(run *r, const nx_plan *p, const nx_point_id *ids, size_t n, nx_results *out)
{
    gathering g = {.plan = p};
    nx_status st = start(&g, r, p, 1);

    if (!st) st = nx_walk_ids(r->s, ids, n, gather, &g, r->err);
    return finish(&g, r, out, st);
}

/* ---- Leaves with searches of their own ---- */

static nx_status run_dense(run *r, const nx_plan *p, const nx_filter *filter, nx_results *out)
{
    uint64_t  k = n_wanted(r, p);
    int32_t   n = 0;
    nx_search q = {.slot = p->target.slot,
                   .query = p->target.values,
                   .k = k < INT32_MAX ? (int32_t)k : INT32_MAX,
                   .filter = filter,
                   .has_threshold = p->has_threshold,
                   .threshold = p->threshold,
                   .ignore_codes = p->ignore_codes,
                   .oversampling = p->oversampling};
    nx_hit   *hits = nx_alloc((size_t)q.k, sizeof *hits);
    nx_status st = hits ? NX_OK : nx_fail(r->err, NX_ENOMEM, "%d hits", q.k);

    if (!st) st = nx_snapshot_search(r->s, hits, &n, &q, r->pool, r->err);
    if (!st) {
        out->hits = nx_alloc((size_t)n, sizeof *out->hits);
        if (!out->hits) st = nx_fail(r->err, NX_ENOMEM, "%d hits", n);
    }
    for (int32_t i = 0; !st && i < n; i++)
        out->hits[out->n++] = (nx_plan_hit){.id = hits[i].id, .score = hits[i].score};
    nx_free(hits);
    return st;
}

static nx_status run_sparse(run *r, const nx_plan *p, const nx_filter *filter, nx_results *out)
{
    size_t k = (size_t)n_wanted(r, p);

    out->hits = nx_alloc(k, sizeof *out->hits);
    if (!out->hits) return nx_fail(r->err, NX_ENOMEM, "%zu hits", k);
    return nx_sparse_search(r->s, out->hits, &out->n, k, p->target.slot, &p->target, filter,
                            p->has_threshold, p->threshold, r->err);
}

static nx_status run_ids(run *r, const nx_plan *p, const nx_filter *filter, nx_results *out)
{
    size_t       k = (size_t)n_wanted(r, p), n = 0;
    nx_point_id *ids = nx_alloc(k, sizeof *ids);
    nx_status    st = ids ? NX_OK : nx_fail(r->err, NX_ENOMEM, "%zu hits", k);

    if (!st) st = nx_snapshot_scroll(r->s, ids, &n, k, NULL, filter, r->err);
    if (!st) {
        out->hits = nx_alloc(n, sizeof *out->hits);
        if (!out->hits) st = nx_fail(r->err, NX_ENOMEM, "%zu hits", n);
    }
    for (size_t i = 0; !st && i < n; i++)
        out->hits[out->n++] = (nx_plan_hit){.id = ids[i], .score = 1};
    nx_free(ids);
    return st;
}

static nx_status run_leaf(run *r, const nx_plan *p, const nx_filter *filter, nx_results *out)
{
    if (p->kind == NX_PLAN_IDS) return run_ids(r, p, filter, out);
    if (p->kind == NX_PLAN_NEAREST) {
        nx_form form = r->config->slots[p->target.slot].form;
        if (form == NX_FORM_DENSE) return run_dense(r, p, filter, out);
        if (form == NX_FORM_SPARSE) return run_sparse(r, p, filter, out);
    }
    return run_walk(r, p, filter, out);
}

/* ---- Sources ---- */

static nx_status run_plan(run *r, const nx_plan *p, const nx_filter *outer, nx_results *out);

static int by_id(const void *a, const void *b)
{
    return nx_id_compare(*(const nx_point_id *)a, *(const nx_point_id *)b);
}

/* The points of all lists, each once, by id: nx_free. */
static nx_status ids_of(nx_point_id **out, size_t *n, const nx_results *lists, int32_t n_lists,
                        nx_error *err)
{
    size_t total = 0;

    *n = 0;
    for (int32_t i = 0; i < n_lists; i++) total += lists[i].n;
    *out = nx_alloc(total, sizeof **out);
    if (!*out) return nx_fail(err, NX_ENOMEM, "%zu hits", total);
    total = 0;
    for (int32_t i = 0; i < n_lists; i++)
        for (size_t k = 0; k < lists[i].n; k++) (*out)[total++] = lists[i].hits[k].id;
    if (total > 1) qsort(*out, total, sizeof **out, by_id);
    for (size_t i = 0; i < total; i++)
        if (i == 0 || by_id(&(*out)[i], &(*out)[*n - 1])) (*out)[(*n)++] = (*out)[i];
    return NX_OK;
}

static nx_status rescore(run *r, const nx_plan *p, const nx_results *lists, nx_results *out)
{
    nx_point_id *ids = NULL;
    size_t       n = 0;
    nx_status    st = ids_of(&ids, &n, lists, p->n_sources, r->err);

    if (!st) st = run_on(r, p, ids, n, out);
    nx_free(ids);
    return st;
}

static nx_status run_sources(run *r, const nx_plan *p, const nx_filter *filter, nx_results *out)
{
    nx_results *lists = nx_calloc((size_t)p->n_sources, sizeof *lists);
    nx_status   st = lists ? NX_OK : nx_fail(r->err, NX_ENOMEM, "a plan");

    for (int32_t i = 0; !st && i < p->n_sources; i++) {
        nx_plan source = p->sources[i];
        if (r->open) source.limit = UINT64_MAX;
        st = run_plan(r, &source, filter, &lists[i]);
    }
    if (!st && fuses(p)) st = nx_fuse(out, p, lists, n_wanted(r, p), r->err);
    if (!st && !fuses(p)) st = rescore(r, p, lists, out);
    for (int32_t i = 0; lists && i < p->n_sources; i++) nx_results_free(&lists[i]);
    nx_free(lists);
    return st;
}

/* Both must hold. */
static const nx_filter *join_filters(nx_filter *joined, nx_condition two[2], const nx_filter *a,
                                     const nx_filter *b)
{
    if (!a || !b) return a ? a : b;
    two[0] = (nx_condition){.kind = NX_COND_FILTER, .filter = a};
    two[1] = (nx_condition){.kind = NX_COND_FILTER, .filter = b};
    *joined = (nx_filter){.must = two, .n_must = 2};
    return joined;
}

static nx_status run_plan(run *r, const nx_plan *p, const nx_filter *outer, nx_results *out)
{
    nx_filter        joined;
    nx_condition     two[2];
    const nx_filter *filter = join_filters(&joined, two, outer, p->filter);

    if (n_wanted(r, p) == 0) return NX_OK;
    nx_status st = p->n_sources ? run_sources(r, p, filter, out) : run_leaf(r, p, filter, out);
    if (!st && !r->open) drop_first(out, p->offset);
    return st;
}

/* ---- The whole ---- */

nx_status nx_plan_run_open(nx_snapshot *s, const nx_plan *plan, bool open, nx_results *out,
                           nx_pool *pool, nx_error *err)
{
    nx_error  inner = {0};
    int32_t   n_left = NX_PLAN_NODES_MAX;
    run       r = {s, &s->c->manifest.config, pool, nx_walk_rows(s), open, &inner};
    nx_status st = nx_collection_failed(s->c, true, &inner);

    *out = (nx_results){0};
    if (!st) st = check(r.config, plan, 1, &n_left, &inner);
    if (!st) st = run_plan(&r, plan, NULL, out);
    if (!st) return NX_OK;
    nx_results_free(out);
    if (err) *err = inner;
    return nx_read_failed(s->c, st, &inner);
}

nx_status nx_plan_run(nx_snapshot *s, const nx_plan *plan, nx_results *out, nx_pool *pool,
                      nx_error *err)
{
    return nx_plan_run_open(s, plan, false, out, pool, err);
}
