/* plan.h - every search is one plan: a tree of what to score, fuse, order, sample, built by the caller
 * and run on one snapshot.
 *
 *     nx_plan words = {.kind = NX_PLAN_NEAREST, .target = sparse, .limit = 50};
 *     nx_plan sense = {.kind = NX_PLAN_NEAREST, .target = dense, .limit = 50};
 *     nx_plan both[] = {words, sense};
 *     nx_plan plan = {.kind = NX_PLAN_RRF, .sources = both, .n_sources = 2, .limit = 10};
 *     nx_results r = {0};
 *     nx_plan_run(snapshot, &plan, &r, pool, &err);
 *     ... r.hits[0..r.n) ...
 *     nx_results_free(&r);
 *
 * Meaning: Qdrant's. A plan without sources looks at all points; one with sources at the points that
 *          they found, each once: it scores, orders or samples these anew, or fuses their lists. A
 *          plan's filter also holds for its sources. Limits are clamped to the number of points, and
 *          nothing is allocated by them.
 * Order:   best first; ties by id, numbers before UUIDs, ascending.
 * Memory:  the caller's, borrowed while it runs; nothing is changed.
 * Thread:  any.
 */
#ifndef NX_STORE_PLAN_H
#define NX_STORE_PLAN_H

#include "store/store.h"

enum {
    NX_PLAN_DEPTH_MAX = 16,
    NX_PLAN_SOURCES_MAX = 256, /* of one plan */
    NX_PLAN_NODES_MAX = 4096,  /* in the whole tree */
    NX_PLAN_EXAMPLES_MAX = 1024,
    NX_RRF_K = 2, /* Qdrant's: not the 60 of the paper */
};

typedef enum nx_plan_kind {
    NX_PLAN_IDS,     /* by id; of this, ORDER and SAMPLE every score is 1, as in Qdrant */
    NX_PLAN_NEAREST, /* by likeness to target */
    NX_PLAN_BEST,    /* recommend, best_score: by the best example */
    NX_PLAN_SUM,     /* recommend, sum_scores */
    NX_PLAN_ORDER,   /* by the number or time at a path; points without one are left out */
    NX_PLAN_SAMPLE,  /* any, as chance (seed) has it */
    NX_PLAN_RRF,     /* sources fused by rank: 1 / ((position + 1) / weight + k - 1), summed */
    NX_PLAN_DBSF,    /* sources fused by score: (s - (mean - 3 sd)) / (6 sd), summed */
} nx_plan_kind;

/* What ORDER orders by: times are microseconds since 1970. */
typedef struct nx_order_value {
    bool is_float;
    union {
        int64_t i;
        double  f;
    };
} nx_order_value;

/* Which values count. */
typedef enum nx_order_of {
    NX_ORDER_OF_ANY,
    NX_ORDER_OF_INTEGERS, /* no 1.0, no time */
    NX_ORDER_OF_NUMBERS,
    NX_ORDER_OF_TIMES,
} nx_order_of;

typedef struct nx_plan nx_plan;
struct nx_plan {
    nx_plan_kind kind;
    union {
        nx_vector
            target; /* NEAREST: its slot is searched; form as the slot's. A dense one in a slot
                           * of multivectors counts as one row */
        struct {    /* BEST, SUM: all of one slot */
            const nx_vector *positive, *negative;
            int32_t          n_positive, n_negative;
        };
        struct { /* ORDER */
            nx_path        path;
            nx_order_of    of;
            bool           descending, has_start;
            nx_order_value start; /* the first value that counts */
        } order;
        uint64_t seed;            /* SAMPLE */
        struct {                  /* RRF */
            uint32_t     k;       /* 0: NX_RRF_K */
            const float *weights; /* [n_sources]; NULL: 1 */
        } rrf;
    };
    const nx_filter *filter; /* NULL: all points */
    bool             has_threshold;
    float            threshold; /* as nx_search's; of fusions: at least; else nothing */
    uint64_t         limit, offset;
    bool             ignore_codes; /* scan what is exact though there are codes */
    float            oversampling; /* 0: 3 */
    const nx_plan   *sources;
    int32_t          n_sources;
};

typedef struct nx_plan_hit {
    nx_point_id    id;
    float          score;
    bool           has_order;
    nx_order_value order; /* of ORDER */
} nx_plan_hit;

/* Zero-initialise; nx_results_free. */
typedef struct nx_results {
    nx_plan_hit *hits;
    size_t       n;
} nx_results;

void nx_results_free(nx_results *r);

/* Run it. NX_EINVAL: what of the plan is wrong (slots, forms, dimensions, depth); NX_ENOMEM, NX_EIO,
 * NX_EFORMAT (and the collection is quarantined). On error there are no hits. */
nx_status nx_plan_run(nx_snapshot *s, const nx_plan *plan, nx_results *out, nx_pool *pool,
                      nx_error *err);

/* ---- Groups: the best points of each value at a path ---- */

typedef struct nx_group {
    nx_value key; /* a text or an integer; a view into the groups */
    size_t   from, n;
} nx_group;

typedef struct nx_groups {
    nx_group    *groups; /* [n], by their best hit */
    size_t       n;
    nx_plan_hit *hits; /* of all groups */
    nx_buf       keys;
} nx_groups;

void nx_groups_free(nx_groups *g);

/* At most n_groups groups of at most group_size hits; the plan's limit and offset and its sources' don't
 * count. A point with several values there is in several groups, one with none in none. Errors as nx_plan_run's. */
nx_status nx_plan_run_groups(nx_snapshot *s, const nx_plan *plan, const nx_path *path,
                             uint64_t n_groups, uint64_t group_size, nx_groups *out, nx_pool *pool,
                             nx_error *err);

/* ---- Facets: how many points have which value ---- */

typedef struct nx_facet {
    nx_value value; /* text, integer, or boolean; a view */
    uint64_t count;
} nx_facet;

typedef struct nx_facets {
    nx_facet *facets; /* [n], most first, ties by value */
    size_t    n;
    nx_buf    values;
} nx_facets;

void nx_facets_free(nx_facets *f);

nx_status nx_snapshot_facets(nx_snapshot *s, const nx_path *path, const nx_filter *filter,
                             uint64_t limit, nx_facets *out, nx_error *err);

#endif
