/* matmul.c - one matmul op: quantise the activations once, then cut the weight rows over threads.
 *
 * Owns:     the split of the work. Refuses: arithmetic, which lives in kernels.
 * Thread:   the backend's caller; inside, the pool's workers.
 * Idea:     tokens go in slices of NX_PANEL_TOKENS so that their codes stay in the second cache
 *           while every panel of weights is read once per slice; for few tokens a thread's whole
 *           share of a matrix goes to one call, which walks it as memory likes best. The matrices of a group whose
 *           kernels eat the same codes form one list of panels, so that a group costs two
 *           barriers, not two per matrix. Weights are read where they lie; nothing is repacked.
 */
#include <assert.h>
#include <stdatomic.h>

#include "backend/cpu/matmul_apart.h"

#define UNIT_MAX 4 /* panels */

/* Matrices that share activations in one run of the pool. */
typedef struct run {
    nx_cpu_backend         *cpu;
    const nx_act           *act;
    const nx_tensor *const *w;
    float *const           *out;
    int32_t                 t0; /* first token of this slice */
    bool                    add;
    int                     n;                           /* members */
    int                     member[NX_MATMUL_GROUP_MAX]; /* their places in w and out */
    int64_t                 first_panel[NX_MATMUL_GROUP_MAX + 1];
    _Atomic int64_t         next; /* panel that nobody has taken; of many tokens */
    int64_t                 unit; /* panels that are taken at once */
} run;

static bool wants_tiles(const run *r)
{
    nx_act_kind kind = r->act->kind;

    return (kind == NX_ACT_Q8 || kind == NX_ACT_Q8K) && r->act->T >= r->cpu->kernels.pack_min;
}

/* Items are tiles of tokens. */
static void quantize_tiles(void *ctx, int thread, int64_t begin, int64_t end)
{
    const run        *r = ctx;
    const nx_kernels *k = &r->cpu->kernels;
    const nx_act     *a = r->act;
    nx_dtype          dtype = r->w[r->member[0]]->dtype;

    (void)thread;
    for (int64_t tile = begin; tile < end; tile++) {
        int32_t t_end = (int32_t)(tile + 1) * NX_TILE_TOKENS;
        if (a->kind == NX_ACT_Q15) k->quantize_q15(a, (int32_t)tile);
        for (int32_t t = (int32_t)tile * NX_TILE_TOKENS; t < t_end && t < a->T; t++) {
            if (a->kind == NX_ACT_Q8) k->quantize_q8(a, t);
            if (a->kind == NX_ACT_Q8K) k->quantize_q8k(a, t);
            if (a->kind == NX_ACT_INT8) k->quantize_int8(a, t);
        }
        if (wants_tiles(r)) k->pack[dtype](a, (int32_t)tile);
    }
}

/* The same where weights are not multiplied as they lie: a thread's share in one call. */
static void multiply_apart(const run *r, int m, int64_t row, int64_t row_end, int thread)
{
    const nx_tensor *w = r->w[r->member[m]];
    const int64_t    N = nx_tensor_rows(w);

    nx_cpu_multiply_apart(r->cpu, r->out[r->member[m]] + (int64_t)r->t0 * N + row, N, w, row,
                          row_end - row, r->act, r->add,
                          r->cpu->decoded + thread * NX_DECODED_ROWS * r->cpu->sizes.n_cols_max);
}

/* Panels begin .. end - 1 of member m, counted in the run. */
static void multiply_member(const run *r, int m, int64_t begin, int64_t end, int thread,
                            void *scratch)
{
    const nx_tensor *w = r->w[r->member[m]];
    const size_t     row_bytes = nx_tensor_row_bytes(w);
    const int64_t    N = nx_tensor_rows(w), first = r->first_panel[m];
    const bool       whole = r->act->T < r->cpu->kernels.pack_min || r->act->kind == NX_ACT_F32;
    const bool       fine = r->act->kind == NX_ACT_Q15;
    nx_matmul_fn multiply = fine ? r->cpu->kernels.matmul_q15 : r->cpu->kernels.matmul[w->dtype];
    int64_t      row = (begin - first) * NX_PANEL_ROWS, row_end = (end - first) * NX_PANEL_ROWS;

    if (row_end > N) row_end = N;
    if (nx_cpu_is_apart(r->cpu, w->dtype)) {
        multiply_apart(r, m, row, row_end, thread);
        return;
    }
    while (row < row_end) {
        int64_t n =
            (whole && !fine) || row_end - row < NX_PANEL_ROWS ? row_end - row : NX_PANEL_ROWS;
        multiply(r->out[r->member[m]] + (int64_t)r->t0 * N + row, N,
                 (const uint8_t *)w->data + (size_t)row * row_bytes, row_bytes, n, r->act, r->add,
                 scratch);
        row += n;
    }
}

/* Panels begin .. end - 1, counted in the run. */
static void multiply_range(const run *r, int thread, int64_t begin, int64_t end)
{
    void *scratch = r->cpu->panels + (size_t)thread * NX_PANEL_SCRATCH;

    for (int m = 0; m < r->n; m++) {
        int64_t from = begin > r->first_panel[m] ? begin : r->first_panel[m];
        int64_t to = end < r->first_panel[m + 1] ? end : r->first_panel[m + 1];
        if (from < to) multiply_member(r, m, from, to, thread, scratch);
    }
}

/* Items are panels of rows of all members, one after the other. With few tokens each thread walks its
 * share as memory likes best. With many, a panel is long work, and a thread that others keep from its
 * processor would be waited for: each takes the next panel that nobody has. Who computes a panel changes
 * no bit of it. */
static void multiply_panels(void *ctx, int thread, int64_t begin, int64_t end)
{
    run *r = ctx;

    if (r->act->T < r->cpu->kernels.pack_min) {
        multiply_range(r, thread, begin, end);
        return;
    }
    const int64_t n = r->first_panel[r->n], unit = r->unit;
    for (int64_t i; (i = atomic_fetch_add(&r->next, unit)) < n;)
        multiply_range(r, thread, i, i + unit < n ? i + unit : n);
}

/* Each thread gets several units, so that all end at about the same time; rows of a unit may share what
 * a kernel of plain weights reads of the tokens. */
static int64_t unit_of(const run *r)
{
    int64_t unit = r->first_panel[r->n] / (4 * nx_pool_threads(r->cpu->pool));

    if (r->act->kind != NX_ACT_F32 || unit < 1) return 1;
    return unit < UNIT_MAX ? unit : UNIT_MAX;
}

/* Do the members of r for the tokens of its act. */
static void execute(run *r)
{
    const nx_act *a = r->act;
    int64_t       tiles = (a->T + NX_TILE_TOKENS - 1) / NX_TILE_TOKENS;

    r->first_panel[0] = 0;
    for (int m = 0; m < r->n; m++)
        r->first_panel[m + 1] =
            r->first_panel[m] +
            (nx_tensor_rows(r->w[r->member[m]]) + NX_PANEL_ROWS - 1) / NX_PANEL_ROWS;
    atomic_store(&r->next, 0);
    r->unit = unit_of(r);
    if (a->kind != NX_ACT_F32) nx_pool_run(r->cpu->pool, tiles, 1, quantize_tiles, r);
    nx_pool_run(r->cpu->pool, r->first_panel[r->n], 1, multiply_panels, r);
}

/* Two types can share a run when their kernels read the same codes. */
static bool same_codes(const nx_cpu_backend *cpu, const nx_tensor *a, const nx_tensor *b)
{
    nx_act_kind kind = nx_cpu_act_kind(cpu, a);

    return kind == nx_cpu_act_kind(cpu, b) &&
           (kind == NX_ACT_F32 || cpu->kernels.pack[a->dtype] == cpu->kernels.pack[b->dtype]);
}

static void multiply_slice(nx_cpu_backend *cpu, float *const out[], const nx_tensor *const w[],
                           int32_t n_w, int32_t t0, bool add)
{
    unsigned done = 0;

    for (int32_t g = 0; g < n_w; g++) {
        run r = {.cpu = cpu, .act = &cpu->act, .w = w, .out = out, .t0 = t0, .add = add};

        for (int32_t m = g; m < n_w; m++) {
            if (done >> m & 1 || !same_codes(cpu, w[g], w[m])) continue;
            r.member[r.n++] = m;
            done |= 1u << m;
        }
        if (r.n == 0) continue;
        cpu->act.kind = nx_cpu_act_kind(cpu, w[g]);
        execute(&r);
    }
}

/* The outliers of LLM.int8 are those of all T rows together. False: the int8 matrices of this group
 * differ in their threshold, so each needs a run of its own. */
static bool find_outliers(nx_cpu_backend *cpu, const nx_tensor *const w[], int32_t n_w,
                          const float *x, int32_t T)
{
    const nx_tensor *first = NULL;

    for (int32_t g = 0; g < n_w && !cpu->exact; g++) {
        if (nx_cpu_act_kind(cpu, w[g]) != NX_ACT_INT8) continue;
        if (first && first->scales->threshold != w[g]->scales->threshold) return false;
        first = w[g];
    }
    if (first) nx_cpu_find_outliers(cpu, first, x, T, first->ne[0]);
    return true;
}

void nx_cpu_matmul(nx_backend *be, float *const out[], const nx_tensor *const w[], int32_t n_w,
                   const float *x, int32_t T, bool add)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    int64_t         K = w[0]->ne[0];

    assert(n_w >= 1 && n_w <= NX_MATMUL_GROUP_MAX && K <= cpu->sizes.n_cols_max);
    if (!find_outliers(cpu, w, n_w, x, T)) {
        for (int32_t g = 0; g < n_w; g++) nx_cpu_matmul(be, out + g, w + g, 1, x, T, add);
        return;
    }
    for (int32_t t0 = 0; t0 < T; t0 += NX_PANEL_TOKENS) {
        cpu->act.x = x + (int64_t)t0 * K;
        cpu->act.K = K;
        cpu->act.T = T - t0 < NX_PANEL_TOKENS ? T - t0 : NX_PANEL_TOKENS;
        multiply_slice(cpu, out, w, n_w, t0, add);
    }
}
