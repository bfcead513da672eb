/* cpu.c - the CPU backend: memory, scratch, and each op cut into pieces for the pool.
 *
 * Owns:     the scratch of all ops, taken in reserve; ops allocate nothing.
 * Refuses:  arithmetic (kernels.h) and threads of its own (the pool is lent).
 * Thread:   one caller at a time, the pool's owner.
 * Idea:     pieces are cut by size alone, and a piece computes the same bits wherever it runs, so
 *           results don't depend on the number of threads.
 */
#include "backend/cpu/cpu.h"

#include <assert.h>
#include <string.h>

#include "backend/cpu/matmul_apart.h"
#include "base/alloc.h"
#include "os/cpu.h"
#include "os/memory.h"

#define ALIGN     64
#define BIG_BYTES ((size_t)2 << 20) /* from here a mapping of its own, with huge pages */

static nx_cpu_backend *self(nx_backend *be)
{
    return (nx_cpu_backend *)be;
}

/* -------- memory: the 64 bytes before a block say where it came from -------- */

static void *cpu_alloc(nx_backend *be, size_t bytes)
{
    nx_memory m = {.bytes = bytes + ALIGN};

    (void)be;
    if (m.bytes < bytes) return NULL;
    if (m.bytes >= BIG_BYTES) {
        if (nx_memory_map(&m, m.bytes, NULL)) return NULL;
    } else {
        m.data = nx_alloc_aligned(m.bytes, 1, ALIGN);
        if (!m.data) return NULL;
        memset(m.data, 0, m.bytes);
    }
    memcpy(m.data, &m, sizeof m);
    return (char *)m.data + ALIGN;
}

static void cpu_free(nx_backend *be, void *p)
{
    nx_memory m;

    (void)be;
    if (!p) return;
    memcpy(&m, (char *)p - ALIGN, sizeof m);
    if (m.bytes >= BIG_BYTES)
        nx_memory_unmap(&m);
    else
        nx_free(m.data);
}

/* -------- scratch -------- */

/* Take n * size bytes of the plan; *p is set when base is not NULL. Overflow sticks at SIZE_MAX. */
static size_t cut(void **p, char *base, size_t at, size_t n, size_t size)
{
    if (at == SIZE_MAX || (size && n > (SIZE_MAX - at - ALIGN) / size)) return SIZE_MAX;
    if (p && base) *p = base + at;
    return (at + n * size + ALIGN - 1) / ALIGN * ALIGN;
}

/* Lay out the scratch at base (NULL: only count). Returns the bytes, SIZE_MAX when absurd. */
static size_t plan_scratch(nx_cpu_backend *cpu, const nx_backend_sizes *z, char *base)
{
    size_t  threads = (size_t)nx_pool_threads(cpu->pool);
    size_t  K = ((size_t)z->n_cols_max + 255) / 256 * 256;
    int32_t rows = z->n_rows_max < NX_PANEL_TOKENS ? z->n_rows_max : NX_PANEL_TOKENS;
    size_t  T = ((size_t)rows + NX_TILE_TOKENS - 1) / NX_TILE_TOKENS * NX_TILE_TOKENS;
    size_t  tiles = rows >= cpu->kernels.pack_min || cpu->fine ? T : 0;
    size_t  gathered = z->n_slots_max > 0 ? (size_t)rows : 0;
    void   *q = NULL, *d = NULL, *s = NULL, *sums = NULL, *packed = NULL, *panels = NULL;
    void   *scores = NULL, *x = NULL, *y = NULL, *order = NULL, *first = NULL;
    void   *decoded = NULL, *outliers = NULL, *hit = NULL;

    size_t at = cut(&q, base, 0, T, K);
    at = cut(&d, base, at, T * sizeof(float), K / 32);
    at = cut(&s, base, at, T * sizeof(float), K / 32);
    at = cut(&sums, base, at, T * sizeof(int32_t), K / 32);
    at = cut(&packed, base, at, tiles * 2, K);
    at = cut(&panels, base, at, threads, NX_PANEL_SCRATCH);
    at = cut(&decoded, base, at, threads * NX_DECODED_ROWS * sizeof(float), (size_t)z->n_cols_max);
    at = cut(&outliers, base, at, sizeof(int32_t), (size_t)z->n_cols_max);
    at = cut(&hit, base, at, 1, (size_t)z->n_cols_max);
    at = cut(&scores, base, at, threads * NX_ATTEND_HEADS * sizeof(float), (size_t)z->n_pos_max);
    at = cut(&x, base, at, gathered * sizeof(float), (size_t)z->n_cols_max);
    at = cut(&y, base, at, gathered * sizeof(float), (size_t)z->n_cols_max);
    at = cut(&order, base, at, sizeof(int32_t), (size_t)z->n_slots_max);
    at = cut(&first, base, at, sizeof(int32_t), (size_t)z->n_experts_max + 1);
    if (base) {
        cpu->experts = (nx_cpu_experts){x, y, order, first};
        cpu->act = (nx_act){.q = q,
                            .d = d,
                            .s = s,
                            .sum32 = sums,
                            .sum16 = sums,
                            .tiles = packed,
                            .outliers = outliers};
        cpu->decoded = decoded;
        cpu->outlier_hit = hit;
        cpu->panels = panels;
        cpu->scores = scores;
    }
    return at;
}

static nx_status cpu_reserve(nx_backend *be, const nx_backend_sizes *sizes, nx_error *err)
{
    nx_cpu_backend *cpu = self(be);

    if (sizes->n_slots_max < 0 || sizes->n_experts_max < 0)
        return nx_fail(err, NX_EINVAL,
                       "CPU backend: %d slots of %d experts: each must be 0 or more",
                       sizes->n_slots_max, sizes->n_experts_max);
    if (sizes->n_rows_max < 1 || sizes->n_cols_max < 1 || sizes->n_pos_max < 1)
        return nx_fail(err, NX_EINVAL,
                       "CPU backend: sizes %d rows, %lld columns, %d positions: "
                       "each must be 1 or more",
                       sizes->n_rows_max, (long long)sizes->n_cols_max, sizes->n_pos_max);
    size_t bytes = plan_scratch(cpu, sizes, NULL);
    char  *base = bytes == SIZE_MAX ? NULL : cpu_alloc(be, bytes);
    if (!base)
        return nx_fail(err, NX_ENOMEM, "CPU backend: scratch for %d rows of %lld, %d positions",
                       sizes->n_rows_max, (long long)sizes->n_cols_max, sizes->n_pos_max);
    cpu_free(be, cpu->scratch);
    cpu->scratch = base;
    cpu->sizes = *sizes;
    plan_scratch(cpu, sizes, base);
    return NX_OK;
}

static size_t cpu_scratch_bytes(const nx_backend *be, const nx_backend_sizes *sizes)
{
    nx_cpu_backend copy = *(const nx_cpu_backend *)(const void *)be;

    return plan_scratch(&copy, sizes, NULL);
}

static nx_status cpu_wait(nx_backend *be, nx_error *err)
{
    (void)be; /* every op has finished when it returns */
    (void)err;
    return NX_OK;
}

static bool cpu_supports(const nx_backend *be, nx_dtype dtype)
{
    (void)be;
    return (unsigned)dtype < NX_DTYPE_COUNT;
}

/* -------- ops, each a job of rows -------- */

typedef struct embed_job {
    float           *out;
    const nx_tensor *table;
    const int32_t   *ids;
    float            scale;
} embed_job;

static void embed_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const embed_job *j = ctx;
    int64_t          K = j->table->ne[0];

    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        float *out = j->out + t * K;
        nx_tensor_decode(out, j->table, j->ids[t], 1);
        for (int64_t i = 0; i < K; i++) out[i] *= j->scale;
    }
}

static void cpu_embed(nx_backend *be, float *out, const nx_tensor *table, const int32_t *ids,
                      int32_t T, float scale)
{
    embed_job j = {out, table, ids, scale};

    nx_pool_run(self(be)->pool, T, nx_cpu_grain_rows(table->ne[0]), embed_rows, &j);
}

typedef struct norm_job {
    const nx_kernels *k;
    float            *out;
    const float      *x, *w;
    int64_t           D;
    float             eps;
} norm_job;

static void norm_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const norm_job *j = ctx;

    (void)thread;
    for (int64_t t = begin; t < end; t++)
        j->k->rmsnorm(j->out + t * j->D, j->x + t * j->D, j->w, j->D, j->eps);
}

static void cpu_rmsnorm(nx_backend *be, float *out, const float *x, const float *w, int32_t T,
                        int64_t D, float eps)
{
    norm_job j = {&self(be)->kernels, out, x, w, D, eps};

    nx_pool_run(self(be)->pool, T, nx_cpu_grain_rows(D), norm_rows, &j);
}

typedef struct rope_job {
    const nx_kernels *k;
    float            *x;
    const float      *cs;
    nx_rope_kind      kind;
    int32_t           H, D, n_rot;
} rope_job;

static void rope_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const rope_job *j = ctx;

    (void)thread;
    for (int64_t t = begin; t < end; t++)
        j->k->rope(j->x + t * j->H * j->D, j->cs + t * j->n_rot, j->kind, j->H, j->D, j->n_rot);
}

static void cpu_rope(nx_backend *be, float *x, const float *cs, nx_rope_kind kind, int32_t T,
                     int32_t H, int32_t D, int32_t n_rot)
{
    rope_job j = {&self(be)->kernels, x, cs, kind, H, D, n_rot};

    nx_pool_run(self(be)->pool, T, nx_cpu_grain_rows((int64_t)H * D), rope_rows, &j);
}

/* -------- life -------- */

static void cpu_destroy(nx_backend *be)
{
    if (!be) return;
    cpu_free(be, self(be)->scratch);
    nx_free(self(be));
}

static const nx_backend_ops cpu_ops = {
    .destroy = cpu_destroy,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .reserve = cpu_reserve,
    .scratch_bytes = cpu_scratch_bytes,
    .wait = cpu_wait,
    .supports = cpu_supports,
    .embed = cpu_embed,
    .rmsnorm = cpu_rmsnorm,
    .matmul = nx_cpu_matmul,
    .rope = cpu_rope,
    .kv_store = nx_cpu_kv_store,
    .attention = nx_cpu_attention,
    .act_mul = nx_cpu_act_mul,
    .layernorm = nx_cpu_layernorm,
    .bias = nx_cpu_bias,
    .add = nx_cpu_add,
    .softcap = nx_cpu_softcap,
    .route = nx_cpu_route,
    .matmul_experts = nx_cpu_matmul_experts,
    .combine = nx_cpu_combine,
    .gate_rows = nx_cpu_gate_rows,
};

nx_status nx_cpu_backend_create(nx_backend **out, nx_pool *pool, uint32_t cpu_features,
                                nx_error *err)
{
    nx_cpu_backend *cpu = nx_calloc(1, sizeof *cpu);

    if (!cpu) return nx_fail(err, NX_ENOMEM, "CPU backend");
    nx_kernels_add_ref(&cpu->kernels);
#if defined(__x86_64__)
    if (cpu_features & NX_CPU_AVX2) nx_kernels_add_avx2(&cpu->kernels);
#else
    (void)cpu_features;
#endif
    cpu->pool = pool;
    cpu->ops = cpu_ops;
    cpu->ops.name = cpu->kernels.name;
    cpu->base.ops = &cpu->ops;
    *out = &cpu->base;
    return NX_OK;
}

void nx_cpu_backend_make_exact(nx_backend *be)
{
    self(be)->exact = true;
}

void nx_cpu_backend_make_fine(nx_backend *be)
{
    self(be)->exact = self(be)->fine = true;
}
