/* Protects: what a plan finds is what a naive reading of it says, for every kind, in every slot, as a
 * leaf and on sources; and it is the same to the bit with and without a pool, and before and after the
 * points move from the head to segments.
 *
 * NX_PLAN_ROUNDS (150) rounds of random writes and random plans. */
#include "base/alloc.h"
#include "model.h"
#include "os/pool.h"
#include "store/plan.h"

typedef struct rig {
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_pool       *pool;
    model          m;
    uint64_t       rng;
} rig;

static void set_up(rig *r, uint64_t seed)
{
    nx_error         err = {0};
    nx_config        config = model_config();
    nx_store_options opt = {
        .disk = &r->disk.base, .distances = &plain_distances, .head_bytes_max = 20000};

    memset(r, 0, sizeof *r);
    sim_init(&r->disk);
    r->rng = seed;
    opt.disk = &r->disk.base;
    model_init(&r->m);
    if (nx_store_open(&r->store, "store", &opt, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_store_create_collection(r->store, NX_STR("c"), &config, &err), NX_OK);
    assert_int_equal(nx_store_find(&r->c, r->store, NX_STR("c"), &err), NX_OK);
    assert_int_equal(nx_pool_create(&r->pool, 3, &err), NX_OK);
}

static void tear_down(rig *r)
{
    nx_pool_destroy(r->pool);
    nx_collection_release(r->c);
    nx_store_close(r->store);
    sim_free(&r->disk);
}

static void write_some(rig *r)
{
    nx_writes *b = nx_writes_create(r->c);
    nx_error   err = {0};

    for (int i = 0; i < 12; i++) assert_int_equal(model_step(b, &r->m, &r->rng), NX_OK);
    if (nx_collection_write(r->c, b, true, NULL, &err)) fail_msg("%s", err.text);
    nx_writes_destroy(b);
}

/* ---- The naive reading ---- */

enum { MAX_LIST = MODEL_IDS * MODEL_KEYS };

typedef struct naive_hit {
    int    i; /* of the model */
    double score;
} naive_hit;

typedef struct naive_list {
    naive_hit h[MAX_LIST];
    int       n;
} naive_list;

static double core_row(int slot, const float *q, const float *x)
{
    int    D = slot == 0 ? DIM_A : slot == 1 ? DIM_B : DIM_M;
    double sum = 0, norm = 0;

    for (int i = 0; i < D; i++) {
        double d = (double)q[i] - (double)x[i];
        sum += slot == 1 ? -d * d : (double)q[i] * (double)x[i];
        norm += (double)q[i] * (double)q[i];
    }
    return slot == 0 && norm > 0 ? sum / sqrt(norm) : sum;
}

static double idf(const model *m, uint32_t index)
{
    double n = 0, df = 0;

    for (int i = 0; i < MODEL_IDS; i++) {
        if (!m->p[i].there) continue;
        n++; /* all points count, also those that lack the vector */
        if (!m->p[i].has[2]) continue;
        for (int k = 0; k < m->p[i].n_sparse; k++) df += m->p[i].indices[k] == index;
    }
    return log((n - df + 0.5) / (df + 0.5) + 1);
}

/* The likeness of a target and a point; *shared: a sparse one has an index in common. */
static double core(const model *m, const nx_vector *q, const model_point *p, bool *shared)
{
    double sum = 0;

    *shared = q->slot != 2;
    if (q->slot == 0) return core_row(0, q->values, p->a);
    if (q->slot == 1) return core_row(1, q->values, p->b);
    if (q->slot == 2) {
        for (int i = 0; i < q->n; i++)
            for (int k = 0; k < p->n_sparse; k++)
                if (q->indices[i] == p->indices[k]) {
                    *shared = true;
                    sum += (double)q->values[i] * idf(m, q->indices[i]) * (double)p->values[k];
                }
        return sum;
    }
    int rows = q->form == NX_FORM_DENSE ? 1 : q->n;
    for (int r = 0; r < rows; r++) {
        double best = -INFINITY;
        for (int k = 0; k < p->n_multi; k++)
            best = fmax(best, core_row(3, q->values + r * DIM_M, p->m + k * DIM_M));
        sum += best;
    }
    return sum;
}

static double squash(double x)
{
    return isinf(x) ? x : 0.5 * (x / (1 + fabs(x)) + 1);
}

/* The score of one point for a plan that scores; false: no hit. */
static bool naive_score(const model *m, const nx_plan *p, int i, double *out)
{
    const model_point *point = &m->p[i];
    bool               shared;
    int                slot = p->kind == NX_PLAN_NEAREST ? p->target.slot
                              : p->n_positive            ? p->positive[0].slot
                                                         : p->negative[0].slot;
    double             best[2] = {-INFINITY, -INFINITY}, sum = 0;

    if (!point->has[slot]) return false;
    if (p->kind == NX_PLAN_NEAREST) {
        *out = core(m, &p->target, point, &shared);
        if (slot == 1) *out = sqrt(-*out);
        return shared;
    }
    for (int e = 0; e < p->n_positive + p->n_negative; e++) {
        bool   yes = e < p->n_positive;
        double l = core(m, yes ? &p->positive[e] : &p->negative[e - p->n_positive], point, &shared);
        best[!yes] = fmax(best[!yes], l);
        sum += yes ? l : -l;
    }
    *out = p->kind == NX_PLAN_SUM ? sum : best[0] > best[1] ? squash(best[0]) : -squash(best[1]);
    return true;
}

static bool passes(const model *m, int i, const int *least)
{
    return m->p[i].there && (!least[0] || m->p[i].keys[1] >= least[0]) &&
           (!least[1] || m->p[i].keys[2] >= least[1]);
}

static bool descends; /* of the list that is sorted */

static int by_score(const void *pa, const void *pb)
{
    const naive_hit *a = pa, *b = pb;

    if (a->score != b->score) return (a->score < b->score) == descends ? 1 : -1;
    return nx_id_compare(model_id(a->i), model_id(b->i));
}

static bool less_is_best(const nx_plan *p)
{
    return p->kind == NX_PLAN_IDS || (p->kind == NX_PLAN_ORDER && !p->order.descending) ||
           (p->kind == NX_PLAN_NEAREST && p->target.slot == 1);
}

static void naive_fuse(const nx_plan *p, const naive_list *lists, naive_list *out)
{
    double score[MODEL_IDS] = {0};
    bool   in[MODEL_IDS] = {0};

    for (int l = 0; l < p->n_sources; l++) {
        double n = lists[l].n, mean = 0, var = 0;
        for (int i = 0; i < lists[l].n; i++) mean += lists[l].h[i].score / n;
        for (int i = 0; i < lists[l].n; i++) var += pow(lists[l].h[i].score - mean, 2) / (n - 1);
        double sd = lists[l].n > 1 ? sqrt(var) : 0;
        for (int i = 0; i < lists[l].n; i++) {
            double w = p->kind == NX_PLAN_RRF && p->rrf.weights ? (double)p->rrf.weights[l] : 1;
            double k = p->kind == NX_PLAN_RRF && p->rrf.k ? p->rrf.k : 2;
            in[lists[l].h[i].i] = true;
            score[lists[l].h[i].i] += p->kind == NX_PLAN_RRF ? 1 / ((i + 1) / w + k - 1)
                                      : sd > 1e-9
                                          ? (lists[l].h[i].score - (mean - 3 * sd)) / (6 * sd)
                                          : 0.5;
        }
    }
    out->n = 0;
    for (int i = 0; i < MODEL_IDS; i++)
        if (in[i]) out->h[out->n++] = (naive_hit){i, (double)(float)score[i]};
}

static void naive_run(const rig *r, const nx_plan *p, const int *least, naive_list *out)
{
    static naive_list lists[3]; /* plans of the test have one level of sources */
    bool              in[MODEL_IDS] = {0};

    for (int l = 0; l < p->n_sources; l++) {
        naive_run(r, &p->sources[l], least, out);
        lists[l] = *out;
    }
    for (int i = 0; i < MODEL_IDS; i++) in[i] = p->n_sources == 0 && passes(&r->m, i, least);
    for (int l = 0; l < p->n_sources; l++)
        for (int i = 0; i < lists[l].n; i++) in[lists[l].h[i].i] = true;
    out->n = 0;
    if (p->kind == NX_PLAN_RRF || p->kind == NX_PLAN_DBSF) naive_fuse(p, lists, out);
    for (int i = 0; i < MODEL_IDS && p->kind < NX_PLAN_RRF; i++) {
        double s = 0;
        if (!in[i]) continue;
        if (p->kind == NX_PLAN_ORDER && !(s = r->m.p[i].keys[0])) continue;
        if (p->kind == NX_PLAN_NEAREST || p->kind == NX_PLAN_BEST || p->kind == NX_PLAN_SUM)
            if (!naive_score(&r->m, p, i, &s)) continue;
        out->h[out->n++] = (naive_hit){i, s};
    }
    descends = !less_is_best(p);
    qsort(out->h, (size_t)out->n, sizeof out->h[0], by_score);
    int first = p->offset < (uint64_t)out->n ? (int)p->offset : out->n;
    int n = out->n - first;
    if ((uint64_t)n > p->limit) n = (int)p->limit;
    memmove(out->h, out->h + first, (size_t)n * sizeof out->h[0]);
    out->n = n;
}

/* ---- Random plans ---- */

typedef struct parts {
    float     values[8][4 * DIM_A];
    uint32_t  indices[8][4];
    nx_vector v[8];
    int       n;
} parts;

static nx_vector *random_target(rig *r, parts *x, int slot)
{
    int        k = x->n++;
    nx_vector *v = &x->v[k];
    nx_form    forms[] = {NX_FORM_DENSE, NX_FORM_DENSE, NX_FORM_SPARSE, NX_FORM_MULTI};
    int        ns[] = {DIM_A, DIM_B, 4, 2};

    for (int i = 0; i < 4 * DIM_A; i++) x->values[k][i] = model_float(&r->rng);
    for (int i = 0; i < 4; i++)
        x->indices[k][i] = (uint32_t)(i * 100 + (int)(sim_random(&r->rng) % 100));
    *v = (nx_vector){slot, forms[slot], ns[slot], x->values[k], slot == 2 ? x->indices[k] : NULL};
    if (slot == 3 && sim_random(&r->rng) % 2)
        *v = (nx_vector){3, NX_FORM_DENSE, DIM_M, v->values, NULL};
    return v;
}

static nx_plan random_leaf(rig *r, parts *x)
{
    int     slot = (int)(sim_random(&r->rng) % 4);
    nx_plan p = {.limit = 1 + sim_random(&r->rng) % 60, .ignore_codes = true};

    switch (sim_random(&r->rng) % 5) {
    case 0:
    case 1:
        p.kind = NX_PLAN_NEAREST;
        p.target = *random_target(r, x, slot);
        break;
    case 2:
    case 3:
        p.kind = sim_random(&r->rng) % 2 ? NX_PLAN_BEST : NX_PLAN_SUM;
        p.n_positive = (int32_t)(sim_random(&r->rng) % 2);
        p.n_negative = p.n_positive ? (int32_t)(sim_random(&r->rng) % 2) : 1;
        p.positive = &x->v[x->n];
        for (int i = 0; i < p.n_positive; i++) random_target(r, x, slot);
        p.negative = &x->v[x->n];
        for (int i = 0; i < p.n_negative; i++) random_target(r, x, slot);
        break;
    default:
        p.kind = NX_PLAN_ORDER;
        p.order.descending = sim_random(&r->rng) % 2;
        assert_int_equal(nx_path_parse(&p.order.path, NX_STR("k0"), NULL), NX_OK);
    }
    if (sim_random(&r->rng) % 8 == 0) p.limit = 999999999;
    return p;
}

static double told_score(const nx_plan *p, const nx_plan_hit *h)
{
    return p->kind == NX_PLAN_ORDER ? (double)h->order.i : (double)h->score;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-4 * fmax(1, fmax(fabs(a), fabs(b)));
}

static void expect_same(const nx_results *a, const nx_results *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_int_equal(nx_id_compare(a->hits[i].id, b->hits[i].id), 0);
        assert_memory_equal(&a->hits[i].score, &b->hits[i].score, sizeof(float));
        assert_int_equal(a->hits[i].order.i, b->hits[i].order.i);
    }
}

/* The same to the bit when the points have moved, and whichever allocation fails, an error at worst. */
static void check_moved(rig *r, const nx_plan *p)
{
    nx_results   before, after;
    nx_error     err = {0};
    nx_snapshot *s = nx_snapshot_take(r->c);
    nx_status    st = NX_ENOMEM;

    assert_int_equal(nx_plan_run(s, p, &before, NULL, NULL), NX_OK);
    for (int n = 0; st; n++) {
        nx_alloc_fail_after(n);
        st = nx_plan_run(s, p, &after, NULL, &err);
        nx_alloc_fail_after(-1);
        assert_true(!st || (st == NX_ENOMEM && after.n == 0 && !after.hits));
        assert_in_range(n, 0, 100000);
    }
    expect_same(&before, &after);
    nx_results_free(&after);
    nx_snapshot_release(s);
    assert_int_equal(nx_collection_flush(r->c, &err), NX_OK);
    s = nx_snapshot_take(r->c);
    assert_int_equal(nx_plan_run(s, p, &after, NULL, NULL), NX_OK);
    expect_same(&before, &after);
    nx_results_free(&before);
    nx_results_free(&after);
    nx_snapshot_release(s);
}

static void check_plan(rig *r, const nx_plan *p, const int *least, int round)
{
    static naive_list want, all;
    nx_results        got = {0}, again = {0};
    nx_error          err = {0};
    nx_snapshot      *s = nx_snapshot_take(r->c);
    nx_plan           whole = *p;

    if (nx_plan_run(s, p, &got, NULL, &err)) fail_msg("round %d: %s", round, err.text);
    assert_int_equal(nx_plan_run(s, p, &again, r->pool, &err), NX_OK);
    naive_run(r, p, least, &want);
    whole.offset = 0;
    whole.limit = UINT64_MAX;
    naive_run(r, &whole, least, &all);
    if ((int)got.n != want.n)
        fail_msg("round %d, kind %d: %zu hits, expected %d", round, (int)p->kind, got.n, want.n);
    expect_same(&got, &again);
    for (size_t i = 0; i < got.n; i++) {
        bool   found = false;
        double told = told_score(p, &got.hits[i]);
        if (!near(told, want.h[i].score))
            fail_msg("round %d, kind %d, hit %zu: %.8g, expected %.8g", round, (int)p->kind, i,
                     told, want.h[i].score);
        for (int k = 0; k < all.n; k++)
            found |=
                !nx_id_compare(model_id(all.h[k].i), got.hits[i].id) && near(all.h[k].score, told);
        if (!found) fail_msg("round %d, kind %d, hit %zu: not its score", round, (int)p->kind, i);
    }
    nx_results_free(&got);
    nx_results_free(&again);
    nx_snapshot_release(s);
}

/* RRF of lists that are cut, against the lists that their plans give alone, with both filters. */
static void check_rrf(rig *r, const nx_plan *fused, int round)
{
    nx_results   lists[2], got;
    nx_snapshot *s = nx_snapshot_take(r->c);
    double       want[MODEL_IDS] = {0};
    double       last = INFINITY;

    for (int l = 0; l < 2; l++) {
        nx_plan      leaf = fused->sources[l];
        nx_condition both[2] = {{.kind = NX_COND_FILTER, .filter = fused->filter},
                                {.kind = NX_COND_FILTER, .filter = leaf.filter}};
        nx_filter    f = {.must = both, .n_must = 2};
        if (fused->filter && leaf.filter) leaf.filter = &f;
        if (!leaf.filter) leaf.filter = fused->filter;
        assert_int_equal(nx_plan_run(s, &leaf, &lists[l], NULL, NULL), NX_OK);
        for (size_t i = 0; i < lists[l].n; i++)
            for (int k = 0; k < MODEL_IDS; k++)
                if (!nx_id_compare(model_id(k), lists[l].hits[i].id))
                    want[k] +=
                        1 / (((double)i + 1) / (double)fused->rrf.weights[l] + fused->rrf.k - 1);
        nx_results_free(&lists[l]);
    }
    assert_int_equal(nx_plan_run(s, fused, &got, r->pool, NULL), NX_OK);
    for (size_t i = 0; i < got.n; i++) {
        int k = 0;
        while (k < MODEL_IDS && nx_id_compare(model_id(k), got.hits[i].id)) k++;
        assert_true(k < MODEL_IDS && near(want[k], (double)got.hits[i].score));
        if ((double)got.hits[i].score > last) fail_msg("round %d: order", round);
        last = (double)got.hits[i].score;
        want[k] = 0;
    }
    for (int k = 0; k < MODEL_IDS; k++)
        if (want[k] > 0 && (got.n < fused->limit || want[k] > last + 1e-6))
            fail_msg("round %d: point %d is missing", round, k);
    nx_results_free(&got);
    nx_snapshot_release(s);
}

static void one_round(rig *r, int round)
{
    int          least[3] = {0};
    parts        x = {.n = 0};
    nx_condition c[2] = {{.kind = NX_COND_RANGE}, {.kind = NX_COND_RANGE}};
    nx_filter    f[2] = {{.must = &c[0], .n_must = 1}, {.must = &c[1], .n_must = 1}};
    nx_plan      leaves[2] = {random_leaf(r, &x), random_leaf(r, &x)};
    nx_plan      top = random_leaf(r, &x);
    float        weights[2] = {3, 0.5f};

    for (int i = 0; i < 2; i++) {
        assert_int_equal(nx_path_parse(&c[i].path, i ? NX_STR("k2") : NX_STR("k1"), NULL), NX_OK);
        least[i] = sim_random(&r->rng) % 2 ? 1 + (int)(sim_random(&r->rng) % 60) : 0;
        c[i].range = (nx_value_range){.has_gte = true, .gte = least[i]};
    }
    if (least[0]) top.filter = &f[0];
    if (least[1]) leaves[0].filter = leaves[1].filter = &f[1];
    top.offset = sim_random(&r->rng) % 4;
    int own[3] = {least[0], 0, 0};
    check_plan(r, &top, own, round);
    /* Sources that are cut by ties or rounding may differ from the naive ones: they are whole here, but for
     * those whose order is by integers, or that come alone. */
    nx_plan rrf = {.kind = NX_PLAN_RRF,
                   .rrf = {.k = 5, .weights = weights},
                   .sources = leaves,
                   .n_sources = 2,
                   .filter = top.filter,
                   .limit = 9};
    check_rrf(r, &rrf, round);
    leaves[0].limit = leaves[1].limit = 1000;
    top.sources = leaves;
    top.n_sources = 2;
    check_plan(r, &top, least, round);
    if (round % 4 == 0) check_moved(r, &top);
    if (leaves[0].kind == NX_PLAN_ORDER || leaves[1].kind == NX_PLAN_ORDER) return;
    nx_plan fused = {.kind = sim_random(&r->rng) % 2 ? NX_PLAN_RRF : NX_PLAN_DBSF,
                     .sources = leaves,
                     .n_sources = 2,
                     .filter = top.filter,
                     .limit = 7,
                     .offset = 1};
    if (fused.kind == NX_PLAN_DBSF) check_plan(r, &fused, least, round);
    if (round % 4 == 0) check_moved(r, &fused);
}

static void random_plans_are_as_read_naively(void **state)
{
    const char *more = getenv("NX_PLAN_ROUNDS");
    int         rounds = more && atoi(more) > 0 ? atoi(more) : 150;
    rig         r;
    nx_error    err = {0};

    (void)state;
    set_up(&r, 7);
    for (int round = 0; round < rounds; round++) {
        write_some(&r);
        if (round % 3 == 0) assert_int_equal(nx_store_maintain(r.store, &err), NX_OK);
        if (round % 7 == 0) assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
        for (int i = 0; i < 4; i++) one_round(&r, round);
    }
    tear_down(&r);
}

/* ---- Known answers ---- */

/* Ids 1.. with one float in slot 1 (Euclid) each, k0 = the id. */
static void put_line(rig *r, int n)
{
    nx_writes *b = nx_writes_create(r->c);
    nx_error   err = {0};

    for (int i = 1; i <= n; i++) {
        float     at[DIM_B] = {(float)i};
        nx_vector v = {1, NX_FORM_DENSE, DIM_B, at, NULL};
        nx_buf    payload = {.max = 4096};
        int       keys[MODEL_KEYS] = {i};
        model_value(&payload, keys, -1);
        nx_point p = {.id = nx_id_number((uint64_t)i),
                      .vectors = &v,
                      .n_vectors = 1,
                      .payload = {(const uint8_t *)payload.data, (uint32_t)payload.len}};
        assert_int_equal(nx_writes_put(b, &p, NX_PUT, &err), NX_OK);
        nx_buf_free(&payload);
    }
    assert_int_equal(nx_collection_write(r->c, b, true, NULL, &err), NX_OK);
    nx_writes_destroy(b);
}

/* qdrant_client.hybrid.fusion.reciprocal_rank_fusion([[1, 2, 3], [3, 4]]):
 *     3: 1/4 + 1/2 = 0.75, 1: 1/2, 2: 1/3, 4: 1/3
 * with weights [3, 1]: 1: 1/(1/3 + 1) = 0.75, 2: 1/(2/3 + 1) = 0.6, 3: 1/2 + 1/2 = 1, 4: 1/3
 * distribution_based_score_fusion of the distances [0, 1, 2] and [0, 1]:
 *     the first (1 sd each): 1/3, 1/2, 2/3; the second (mean .5, sd .70710678): 0.38214887, 0.61785113 */
static void fusions_are_qdrants(void **state)
{
    rig      r;
    nx_error err = {0};
    float    one[DIM_B] = {1}, three[DIM_B] = {3.25f}, weights[2] = {3, 1};
    nx_plan  near_one = {
         .kind = NX_PLAN_NEAREST, .target = {1, NX_FORM_DENSE, DIM_B, one, NULL}, .limit = 3};
    nx_plan near_three = {
        .kind = NX_PLAN_NEAREST, .target = {1, NX_FORM_DENSE, DIM_B, three, NULL}, .limit = 2};
    nx_plan    both[2] = {near_one, near_three};
    nx_plan    plan = {.kind = NX_PLAN_RRF, .sources = both, .n_sources = 2, .limit = 10};
    nx_results got;

    (void)state;
    set_up(&r, 1);
    put_line(&r, 9);
    nx_snapshot *s = nx_snapshot_take(r.c);
    assert_int_equal(nx_plan_run(s, &plan, &got, NULL, &err), NX_OK);
    const uint64_t ids[] = {3, 1, 2, 4};
    const float    rrf[] = {0.75f, 0.5f, 1 / 3.0f, 1 / 3.0f};
    assert_int_equal(got.n, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(got.hits[i].id.lo, ids[i]);
        assert_float_equal(got.hits[i].score, rrf[i], 1e-6);
    }
    nx_results_free(&got);
    plan.rrf.weights = weights;
    plan.has_threshold = true;
    plan.threshold = 0.59f;
    plan.offset = 1;
    assert_int_equal(nx_plan_run(s, &plan, &got, NULL, &err), NX_OK);
    assert_int_equal(got.n, 2);
    assert_int_equal(got.hits[0].id.lo, 1);
    assert_float_equal(got.hits[0].score, 0.75f, 1e-6);
    assert_float_equal(got.hits[1].score, 0.6f, 1e-6);
    nx_results_free(&got);
    plan = (nx_plan){.kind = NX_PLAN_DBSF, .sources = both, .n_sources = 1, .limit = 10};
    assert_int_equal(nx_plan_run(s, &plan, &got, NULL, &err), NX_OK);
    assert_int_equal(got.n, 3);
    assert_int_equal(got.hits[0].id.lo, 3); /* of distances too, more is better */
    assert_float_equal(got.hits[0].score, 2 / 3.0f, 1e-6);
    assert_float_equal(got.hits[2].score, 1 / 3.0f, 1e-6);
    nx_results_free(&got);
    nx_snapshot_release(s);
    tear_down(&r);
}

/* ---- Recommend, multivectors and sparse vectors as the client's local mode has them ---- */

typedef struct known {
    const char *what;
    nx_plan     plan;
    uint64_t    ids[4];
    float       scores[4];
} known;

static void put_four(nx_collection *c)
{
    static const float at[4][2] = {{1, 0}, {1, 1}, {0, 2}, {-1, 0.5f}};
    nx_writes         *b = nx_writes_create(c);

    for (uint32_t i = 0; i < 4; i++) {
        float     rows[4] = {at[i][0], at[i][1], at[i][1], at[i][0]}, values[3] = {1, 2, 0.5f};
        uint32_t  indices[3] = {i, i + 1, 7};
        nx_vector v[4] = {{0, NX_FORM_DENSE, 2, at[i], NULL},
                          {1, NX_FORM_DENSE, 2, at[i], NULL},
                          {2, NX_FORM_MULTI, 2, rows, NULL},
                          {3, NX_FORM_SPARSE, 3, values, indices}};
        nx_point  p = {.id = nx_id_number(i + 1), .vectors = v, .n_vectors = 4};
        assert_int_equal(nx_writes_put(b, &p, NX_PUT, NULL), NX_OK);
    }
    assert_int_equal(nx_collection_write(c, b, true, NULL, NULL), NX_OK);
    nx_writes_destroy(b);
}

static void check_known(nx_snapshot *s, const known *k)
{
    nx_results got;
    nx_error   err = {0};

    if (nx_plan_run(s, &k->plan, &got, NULL, &err)) fail_msg("%s: %s", k->what, err.text);
    assert_int_equal(got.n, 4);
    for (int i = 0; i < 4; i++) {
        if (got.hits[i].id.lo != k->ids[i] || fabsf(got.hits[i].score - k->scores[i]) > 1e-6f)
            fail_msg("%s, hit %d: %llu %.8g, expected %llu %.8g", k->what, i,
                     (unsigned long long)got.hits[i].id.lo, (double)got.hits[i].score,
                     (unsigned long long)k->ids[i], (double)k->scores[i]);
    }
    nx_results_free(&got);
}

/* Made with qdrant-client 1.18.0, QdrantClient(":memory:"), collection of vectors a (2, Cosine), b (2,
 * Euclid), m (2, Manhattan, MAX_SIM), sparse s (IDF), points 1 to 4 as put_four has them:
 *     RecommendQuery(RecommendInput(positive=[[1, .5]], negative=[[0, 1], [-1, 0]], strategy=...)), using a, b
 *     [[1, .5], [0, 1]], using m; the same as a positive example with [[0, 1]] as a negative one
 *     SparseVector(indices=[2, 7, 1], values=[1, 1, -1]); the same with {0: 1} as a negative example
 * Of equal scores the client gives the later point first; here ids ascend. */
static void scores_are_qdrants(void **state)
{
    float     plus[2] = {1, 0.5f}, minus[2][2] = {{0, 1}, {-1, 0}}, rows[4] = {1, 0.5f, 0, 1};
    float     sv[3] = {1, 1, -1}, one[1] = {1};
    uint32_t  si[3] = {2, 7, 1}, zero[1] = {0};
    nx_vector a_plus[1] = {{0, NX_FORM_DENSE, 2, plus, NULL}};
    nx_vector a_minus[2] = {{0, NX_FORM_DENSE, 2, minus[0], NULL},
                            {0, NX_FORM_DENSE, 2, minus[1], NULL}};
    nx_vector b_plus[1] = {{1, NX_FORM_DENSE, 2, plus, NULL}};
    nx_vector b_minus[2] = {{1, NX_FORM_DENSE, 2, minus[0], NULL},
                            {1, NX_FORM_DENSE, 2, minus[1], NULL}};
    nx_vector m_plus[1] = {{2, NX_FORM_MULTI, 2, rows, NULL}};
    nx_vector m_minus[1] = {{2, NX_FORM_DENSE, 2, minus[0], NULL}};
    nx_vector s_plus[1] = {{3, NX_FORM_SPARSE, 3, sv, si}};
    nx_vector s_minus[1] = {{3, NX_FORM_SPARSE, 1, one, zero}};
#define EXAMPLES(p, np, n, nn)                                                                     \
    .positive = (p), .n_positive = (np), .negative = (n), .n_negative = (nn), .limit = 10
    known all[] = {
        {"a, best",
         {.kind = NX_PLAN_BEST, EXAMPLES(a_plus, 1, a_minus, 2)},
         {2, 1, 4, 3},
         {0.7434165f, 0.736068f, -0.736068f, -0.75f}},
        {"a, sum",
         {.kind = NX_PLAN_SUM, EXAMPLES(a_plus, 1, a_minus, 2)},
         {1, 2, 3, 4},
         {1.8944272f, 0.9486834f, -0.5527864f, -1.9416409f}},
        {"b, best",
         {.kind = NX_PLAN_BEST, EXAMPLES(b_plus, 1, b_minus, 2)},
         {1, 2, 3, 4},
         {0.4f, 0.4f, -0.25f, -0.4f}},
        {"b, sum",
         {.kind = NX_PLAN_SUM, EXAMPLES(b_plus, 1, b_minus, 2)},
         {1, 2, 3, 4},
         {5.75f, 5.75f, 2.75f, -2.5f}},
        {"m, nearest",
         {.kind = NX_PLAN_NEAREST, .target = m_plus[0], .limit = 10},
         {1, 2, 3, 4},
         {0.5f, 1.5f, 2.5f, 3.5f}},
        {"m, best",
         {.kind = NX_PLAN_BEST, EXAMPLES(m_plus, 1, m_minus, 1)},
         {4, 2, 3, 1},
         {-0.2f, -0.25f, -0.25f, -0.5f}},
        {"s, nearest",
         {.kind = NX_PLAN_NEAREST, .target = s_plus[0], .limit = 10},
         {2, 3, 4, 1},
         {0.7458274f, 0.7458274f, 0.0526803f, -1.3336141f}},
        {"s, sum",
         {.kind = NX_PLAN_SUM, EXAMPLES(s_plus, 1, s_minus, 1)},
         {2, 3, 4, 1},
         {0.7458274f, 0.7458274f, 0.0526803f, -2.5375869f}},
    };
    nx_config config = {
        .n_slots = 4,
        .slots = {{.name = {"a", 1}, .form = NX_FORM_DENSE, .distance = NX_COSINE, .dim = 2},
                  {.name = {"b", 1}, .form = NX_FORM_DENSE, .distance = NX_EUCLID, .dim = 2},
                  {.name = {"m", 1}, .form = NX_FORM_MULTI, .distance = NX_MANHATTAN, .dim = 2},
                  {.name = {"s", 1}, .form = NX_FORM_SPARSE, .idf = true}}};
    rig            r;
    nx_collection *c = NULL;

    (void)state;
    set_up(&r, 3);
    assert_int_equal(nx_store_create_collection(r.store, NX_STR("four"), &config, NULL), NX_OK);
    assert_int_equal(nx_store_find(&c, r.store, NX_STR("four"), NULL), NX_OK);
    put_four(c);
    for (int flushed = 0; flushed < 2; flushed++) {
        nx_snapshot *s = nx_snapshot_take(c);
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            check_known(s, &all[i]);
            nx_plan ids = {.kind = NX_PLAN_IDS, .limit = 9};
            known   on = all[i];
            on.plan.sources = &ids; /* scored anew: the same */
            on.plan.n_sources = 1;
            check_known(s, &on);
        }
        nx_snapshot_release(s);
        assert_int_equal(nx_collection_flush(c, NULL), NX_OK);
    }
    nx_collection_release(c);
    tear_down(&r);
}

static void expect_refused(nx_snapshot *s, const nx_plan *p)
{
    nx_results got;
    nx_error   err = {0};

    assert_int_equal(nx_plan_run(s, p, &got, NULL, &err), NX_EINVAL);
    assert_int_equal(got.n, 0);
    assert_true(err.text[0]);
}

static void nonsense_is_refused(void **state)
{
    rig     r;
    float   nan_[DIM_B] = {NAN}, fine[DIM_B] = {1};
    nx_plan deep[NX_PLAN_DEPTH_MAX + 2];
    nx_plan p = {
        .kind = NX_PLAN_NEAREST, .target = {1, NX_FORM_DENSE, DIM_B, nan_, NULL}, .limit = 1};

    (void)state;
    set_up(&r, 2);
    put_line(&r, 3);
    nx_snapshot *s = nx_snapshot_take(r.c);
    expect_refused(s, &p);
    p.target.values = fine;
    p.target.n = 4;
    expect_refused(s, &p);
    p.target.n = DIM_B;
    p.target.slot = 4;
    expect_refused(s, &p);
    p.target.slot = 2;
    expect_refused(s, &p);
    p = (nx_plan){.kind = NX_PLAN_RRF, .limit = 1};
    expect_refused(s, &p);
    p = (nx_plan){.kind = NX_PLAN_BEST, .limit = 1};
    expect_refused(s, &p);
    p = (nx_plan){
        .kind = NX_PLAN_IDS, .limit = 1, .sources = &p, .n_sources = NX_PLAN_SOURCES_MAX + 1};
    expect_refused(s, &p);
    for (int i = 0; i < NX_PLAN_DEPTH_MAX + 2; i++)
        deep[i] = (nx_plan){.kind = NX_PLAN_IDS,
                            .limit = 999999999,
                            .sources = i ? &deep[i - 1] : NULL,
                            .n_sources = i > 0};
    expect_refused(s, &deep[NX_PLAN_DEPTH_MAX]);
    nx_results got;
    assert_int_equal(nx_plan_run(s, &deep[NX_PLAN_DEPTH_MAX - 1], &got, NULL, NULL), NX_OK);
    assert_int_equal(got.n, 3);
    assert_float_equal(got.hits[0].score, 1, 0);
    nx_results_free(&got);
    nx_snapshot_release(s);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fusions_are_qdrants),
        cmocka_unit_test(scores_are_qdrants),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(random_plans_are_as_read_naively),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
