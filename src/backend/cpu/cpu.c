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
    size_t  tiles = rows >= cpu->kernels.pack_min ? T : 0;
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

typedef struct store_job {
    const nx_kernels *k;
    const nx_kv_view *kv;
    const float      *src;
    int32_t           pos0;
} store_job;

/* Heads of one position lie side by side, so a position is one run of blocks. */
static void store_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const store_job *j = ctx;
    int64_t          n = (int64_t)j->kv->n_heads * j->kv->head_dim;
    size_t           row_bytes = nx_dtype_row_bytes(j->kv->dtype, n);

    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        uint8_t     *dst = (uint8_t *)j->kv->data + (size_t)(j->pos0 + t) * row_bytes;
        const float *src = j->src + t * n;
        if (j->kv->dtype == NX_DTYPE_F16)
            j->k->store_f16(dst, src, n);
        else if (j->kv->dtype == NX_DTYPE_Q8_0)
            j->k->store_q8_0(dst, src, n);
        else
            memcpy(dst, src, row_bytes);
    }
}

static void cpu_kv_store(nx_backend *be, const nx_kv_view *kv, const float *src, int32_t pos0,
                         int32_t T)
{
    store_job j = {&self(be)->kernels, kv, src, pos0};

    assert(pos0 >= 0 && T <= kv->n_pos - pos0);
    nx_pool_run(self(be)->pool, T, nx_cpu_grain_rows((int64_t)kv->n_heads * kv->head_dim),
                store_rows, &j);
}

/* Work of attention is cut into (run of query heads of one KV head, token), tokens innermost: the
 * keys and values of a head stay in cache from token to token, and as every thread gets whole
 * heads where it can, the triangle under the causal mask is shared fairly. */
typedef struct attend_job {
    nx_cpu_backend          *cpu;
    float                   *out;
    const float             *q;
    const nx_kv_view        *k, *v;
    int32_t                  pos0, T, H;
    int32_t                  group;  /* query heads per KV head */
    int32_t                  chunk;  /* query heads per item, at most */
    int32_t                  chunks; /* items of one KV head and token */
    const nx_attention_opts *opts;
} attend_job;

static void attend_items(void *ctx, int thread, int64_t begin, int64_t end)
{
    const attend_job *j = ctx;
    int32_t           D = j->k->head_dim;
    size_t k_head = nx_dtype_row_bytes(j->k->dtype, D), v_head = nx_dtype_row_bytes(j->v->dtype, D);
    size_t k_stride = k_head * (size_t)j->k->n_heads, v_stride = v_head * (size_t)j->v->n_heads;
    size_t n_pos_max = (size_t)j->cpu->sizes.n_pos_max;
    float *scores = j->cpu->scores + (size_t)thread * NX_ATTEND_HEADS * n_pos_max;

    for (int64_t i = begin; i < end; i++) {
        int32_t t = (int32_t)(i % j->T), run = (int32_t)(i / j->T);
        int32_t kv = run / j->chunks, first = run % j->chunks * j->chunk;
        int32_t n_q = j->group - first < j->chunk ? j->group - first : j->chunk;
        int64_t at = ((int64_t)t * j->H + (int64_t)kv * j->group + first) * D;
        int32_t window = j->opts->window, n_pos = j->pos0 + t + 1, hidden = 0;

        if (window > 0 && n_pos > window) hidden = n_pos - window;
        n_pos -= hidden;
        const uint8_t *k = (const uint8_t *)j->k->data + (size_t)kv * k_head;
        const uint8_t *v = (const uint8_t *)j->v->data + (size_t)kv * v_head;
        j->cpu->kernels.attend(j->out + at, j->q + at, n_q, D, k + (size_t)hidden * k_stride,
                               k_stride, j->k->dtype, v + (size_t)hidden * v_stride, v_stride,
                               j->v->dtype, n_pos, j->opts->scale, j->opts->softcap, scores);
    }
}

static void cpu_attention(nx_backend *be, float *out, const float *q, const nx_kv_view *k,
                          const nx_kv_view *v, int32_t pos0, int32_t T, int32_t H,
                          const nx_attention_opts *opts)
{
    nx_cpu_backend *cpu = self(be);
    attend_job      j = {cpu, out, q, k, v, pos0, T, H, .opts = opts};

    assert(H % k->n_heads == 0 && pos0 + T <= cpu->sizes.n_pos_max && pos0 + T <= k->n_pos);
    j.group = H / k->n_heads;
    j.chunk = j.group < NX_ATTEND_HEADS ? j.group : NX_ATTEND_HEADS;
    j.chunks = (j.group + j.chunk - 1) / j.chunk;
    nx_pool_run(cpu->pool, (int64_t)k->n_heads * j.chunks * T, 1, attend_items, &j);
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
    .kv_store = cpu_kv_store,
    .attention = cpu_attention,
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
