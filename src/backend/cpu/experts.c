/* experts.c - a mixture of experts: which ones a token meets, their products, and their sum.
 *
 * Owns:     the order of the work. Refuses: arithmetic, which lives in kernels.
 * Thread:   the backend's caller; inside, the pool's workers.
 * Idea:     slots (a token and one of its experts) are sorted by expert. The rows of one expert are
 *           gathered, multiplied as any matrix would, and scattered, so that weights are read once
 *           for all tokens that want them. A single token's experts are a group of matrices that
 *           share their input.
 */
#include <assert.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "num/curves.h"

/* -------- routing -------- */

typedef struct route_job {
    const nx_kernels    *k;
    int32_t             *ids;
    float               *weights;
    const float         *logits;
    int32_t              E;
    const nx_route_opts *opts;
} route_job;

static void route_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const route_job *j = ctx;

    (void)thread;
    for (int64_t t = begin; t < end; t++)
        j->k->route(j->ids + t * j->opts->k, j->weights + t * j->opts->k, j->logits + t * j->E,
                    j->E, j->opts);
}

void nx_cpu_route(nx_backend *be, int32_t *ids, float *weights, const float *logits, int32_t T,
                  int32_t E, const nx_route_opts *opts)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    route_job       j = {&cpu->kernels, ids, weights, logits, E, opts};

    assert(opts->k >= 1 && opts->k <= E);
    nx_pool_run(cpu->pool, T, nx_cpu_grain_rows(E * 8L), route_rows, &j);
}

/* -------- products -------- */

typedef struct experts_job {
    nx_cpu_backend  *cpu;
    float           *out;
    const nx_tensor *w;
    const float     *x;
    int32_t          k;
    bool             x_per_slot;
    const int32_t   *slots; /* those of the expert at work */
    int64_t          K, N;
} experts_job;

static const float *row_of_slot(const experts_job *j, int32_t slot)
{
    return j->x + (j->x_per_slot ? slot : slot / j->k) * j->K;
}

static void gather_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const experts_job *j = ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        memcpy(j->cpu->experts.x + i * j->K, row_of_slot(j, j->slots[i]),
               (size_t)j->K * sizeof(float));
}

static void scatter_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const experts_job *j = ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        memcpy(j->out + j->slots[i] * j->N, j->cpu->experts.y + i * j->N,
               (size_t)j->N * sizeof(float));
}

/* n rows of the expert w: those of j->slots. */
static void multiply_expert(experts_job *j, const nx_tensor *w, int32_t n)
{
    nx_backend *be = &j->cpu->base;
    float      *y = j->cpu->experts.y;

    if (n == 1) { /* it lies where it is read and written */
        float *out = j->out + j->slots[0] * j->N;
        nx_cpu_matmul(be, &out, &w, 1, row_of_slot(j, j->slots[0]), 1, false);
        return;
    }
    nx_pool_run(j->cpu->pool, n, nx_cpu_grain_rows(j->K), gather_rows, j);
    nx_cpu_matmul(be, &y, &w, 1, j->cpu->experts.x, n, false);
    nx_pool_run(j->cpu->pool, n, nx_cpu_grain_rows(j->N), scatter_rows, j);
}

/* Slots by expert, in order within each (a counting sort). */
static void sort_slots(const nx_cpu_experts *s, const int32_t *ids, int32_t n_slots, int32_t E)
{
    memset(s->first, 0, (size_t)(E + 1) * sizeof *s->first);
    for (int32_t i = 0; i < n_slots; i++) {
        assert(ids[i] >= 0 && ids[i] < E);
        s->first[ids[i] + 1]++;
    }
    for (int32_t e = 0; e < E; e++) s->first[e + 1] += s->first[e];
    for (int32_t i = 0; i < n_slots; i++) s->order[s->first[ids[i]]++] = i;
    for (int32_t e = E; e > 0; e--) s->first[e] = s->first[e - 1]; /* each moved to its end */
    s->first[0] = 0;
}

/* All experts of one token that share its row: groups of matrices. */
static void multiply_token(nx_cpu_backend *cpu, float *out, const nx_tensor *w, const float *x,
                           const int32_t *ids, int32_t k)
{
    int64_t N = nx_tensor_rows(w);

    for (int32_t i = 0; i < k; i += NX_MATMUL_GROUP_MAX) {
        float           *outs[NX_MATMUL_GROUP_MAX];
        const nx_tensor *ws[NX_MATMUL_GROUP_MAX];
        int32_t          n = k - i < NX_MATMUL_GROUP_MAX ? k - i : NX_MATMUL_GROUP_MAX;
        for (int32_t g = 0; g < n; g++) {
            outs[g] = out + (i + g) * N;
            ws[g] = &w[ids[i + g]];
        }
        nx_cpu_matmul(&cpu->base, outs, ws, n, x, 1, false);
    }
}

void nx_cpu_matmul_experts(nx_backend *be, float *out, const nx_tensor *w, int32_t E,
                           const float *x, int32_t T, const int32_t *ids, int32_t k,
                           bool x_per_slot)
{
    nx_cpu_backend       *cpu = (nx_cpu_backend *)be;
    const nx_cpu_experts *s = &cpu->experts;
    experts_job           j = {cpu, out, w, x, k, x_per_slot, NULL, w->ne[0], nx_tensor_rows(w)};
    int32_t               rows_max = cpu->sizes.n_rows_max;

    assert(j.N <= cpu->sizes.n_cols_max && T * k <= cpu->sizes.n_slots_max &&
           E <= cpu->sizes.n_experts_max);
    if (T == 1 && !x_per_slot) {
        multiply_token(cpu, out, w, x, ids, k);
        return;
    }
    if (rows_max > NX_PANEL_TOKENS) rows_max = NX_PANEL_TOKENS;
    sort_slots(s, ids, T * k, E);
    for (int32_t e = 0; e < E; e++) {
        for (int32_t i = s->first[e]; i < s->first[e + 1]; i += rows_max) {
            int32_t left = s->first[e + 1] - i;
            j.slots = s->order + i;
            multiply_expert(&j, &w[e], left < rows_max ? left : rows_max);
        }
    }
}

/* -------- their sum -------- */

typedef struct combine_job {
    const nx_kernels *k;
    float            *out;
    const float      *y, *weights;
    int32_t           n_slots; /* of a token */
    int64_t           N;
} combine_job;

static void combine_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const combine_job *j = ctx;

    (void)thread;
    for (int64_t t = begin; t < end; t++)
        for (int64_t s = t * j->n_slots; s < (t + 1) * j->n_slots; s++)
            j->k->add(j->out + t * j->N, j->y + s * j->N, j->N, j->weights[s]);
}

void nx_cpu_combine(nx_backend *be, float *out, const float *y, const float *weights, int32_t T,
                    int32_t k, int64_t N)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    combine_job     j = {&cpu->kernels, out, y, weights, k, N};

    nx_pool_run(cpu->pool, T, nx_cpu_grain_rows(N * k), combine_rows, &j);
}

typedef struct gate_job {
    float       *x;
    const float *gate;
    int64_t      N;
} gate_job;

static void gate_some(void *ctx, int thread, int64_t begin, int64_t end)
{
    const gate_job *j = ctx;

    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        float  g = nx_sigmoidf(j->gate[t]);
        float *x = j->x + t * j->N;
        for (int64_t i = 0; i < j->N; i++) x[i] *= g;
    }
}

void nx_cpu_gate_rows(nx_backend *be, float *x, const float *gate, int32_t T, int64_t N)
{
    gate_job j = {x, gate, N};

    nx_pool_run(((nx_cpu_backend *)be)->pool, T, nx_cpu_grain_rows(N), gate_some, &j);
}
