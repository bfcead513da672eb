/* fuse.c - what each list gives a point is added up in the order of the lists, in double. */
#include "store/fuse.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/ranks.h"

/* What one place in one list gives a point. */
typedef struct share {
    nx_point_id id;
    size_t      place; /* in the order of lists: sums must not depend on the sort */
    double      worth;
} share;

static int by_id(const void *pa, const void *pb)
{
    const share *a = pa, *b = pb;
    int          c = nx_id_compare(a->id, b->id);

    return c ? c : a->place < b->place ? -1 : a->place > b->place;
}

static double rank_worth(const nx_plan *plan, int32_t list, size_t position)
{
    double weight = plan->rrf.weights ? (double)plan->rrf.weights[list] : 1;
    double k = plan->rrf.k ? plan->rrf.k : NX_RRF_K;

    return weight > 0 ? 1 / (((double)position + 1) / weight + k - 1) : 0;
}

typedef struct spread {
    double low, width;
} spread;

/* Of scores: from three deviations below the mean to three above. Width 0: they don't differ. */
static spread spread_of(const nx_results *list)
{
    double sum = 0, squares = 0, n = (double)list->n;

    for (size_t i = 0; i < list->n; i++) sum += (double)list->hits[i].score;
    double mean = sum / n;
    for (size_t i = 0; i < list->n; i++) {
        double d = (double)list->hits[i].score - mean;
        squares += d * d;
    }
    double deviation = list->n > 1 ? sqrt(squares / (n - 1)) : 0;
    return (spread){mean - 3 * deviation, 6 * deviation};
}

static void add_list(share *shares, size_t *n, const nx_plan *plan, const nx_results *lists,
                     int32_t list)
{
    const nx_results *l = &lists[list];
    spread            s = plan->kind == NX_PLAN_DBSF && l->n ? spread_of(l) : (spread){0};

    for (size_t i = 0; i < l->n; i++) {
        double score = (double)l->hits[i].score;
        double worth = plan->kind == NX_PLAN_RRF ? rank_worth(plan, list, i)
                       : s.width > 0             ? (score - s.low) / s.width
                                                 : 0.5;
        shares[*n] = (share){l->hits[i].id, *n, worth};
        (*n)++;
    }
}

static nx_status rank(nx_ranks *best, const share *shares, size_t n, const nx_plan *plan,
                      nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0, end; !st && i < n; i = end) {
        double sum = 0;
        for (end = i; end < n && !nx_id_compare(shares[end].id, shares[i].id); end++)
            sum += shares[end].worth;
        nx_plan_hit hit = {.id = shares[i].id, .score = (float)sum};
        if (!plan->has_threshold || hit.score >= plan->threshold)
            st = nx_ranks_push(best, hit, err);
    }
    nx_ranks_sort(best);
    return st;
}

nx_status nx_fuse(nx_results *out, const nx_plan *plan, const nx_results *lists, uint64_t k,
                  nx_error *err)
{
    nx_ranks best = {.k = k, .by = NX_BY_SCORE};
    size_t   n = 0, total = 0;

    for (int32_t i = 0; i < plan->n_sources; i++) total += lists[i].n;
    share *shares = nx_alloc(total, sizeof *shares);
    if (!shares) return nx_fail(err, NX_ENOMEM, "%zu hits", total);
    for (int32_t i = 0; i < plan->n_sources; i++) add_list(shares, &n, plan, lists, i);
    if (n > 1) qsort(shares, n, sizeof *shares, by_id);
    nx_status st = rank(&best, shares, n, plan, err);
    nx_free(shares);
    if (st)
        nx_plan_ranks_free(&best);
    else
        *out = (nx_results){best.v, best.n};
    return st;
}
