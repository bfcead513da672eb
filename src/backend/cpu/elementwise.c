/* elementwise.c - the ops whose outputs don't meet each other: activations, sums, soft caps, layer
 * norm; cut into ranges of numbers or rows for the pool.
 *
 * Refuses: arithmetic, which lives in kernels.
 * Thread:  the backend's caller; inside, the pool's workers.
 */
#include "backend/cpu/backend_cpu.h"

typedef struct act_job {
    const nx_kernels *k;
    float            *out;
    const float      *gate, *up;
    nx_activation     kind;
} act_job;

static void act_numbers(void *ctx, int thread, int64_t begin, int64_t end)
{
    const act_job *j = ctx;

    (void)thread;
    j->k->act_mul(j->out + begin, j->gate + begin, j->up ? j->up + begin : NULL, end - begin,
                  j->kind);
}

void nx_cpu_act_mul(nx_backend *be, float *out, const float *gate, const float *up, int64_t n,
                    nx_activation kind)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    act_job         j = {&cpu->kernels, out, gate, up, kind};

    nx_pool_run(cpu->pool, n, NX_CPU_GRAIN / 2, act_numbers, &j);
}

typedef struct layernorm_job {
    const nx_kernels *k;
    float            *out;
    const float      *x, *w, *b;
    int64_t           D;
    float             eps;
} layernorm_job;

static void layernorm_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const layernorm_job *j = ctx;

    (void)thread;
    for (int64_t t = begin; t < end; t++)
        j->k->layernorm(j->out + t * j->D, j->x + t * j->D, j->w, j->b, j->D, j->eps);
}

void nx_cpu_layernorm(nx_backend *be, float *out, const float *x, const float *w, const float *b,
                      int32_t T, int64_t D, float eps)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    layernorm_job   j = {&cpu->kernels, out, x, w, b, D, eps};

    nx_pool_run(cpu->pool, T, nx_cpu_grain_rows(D), layernorm_rows, &j);
}

typedef struct add_job {
    const nx_kernels *k;
    float            *out;
    const float      *a;
    int64_t           N; /* of a row that gets the same a; unused otherwise */
    float             scale;
} add_job;

/* fmaf(b, 1, x) is x + b. */
static void bias_rows(void *ctx, int thread, int64_t begin, int64_t end)
{
    const add_job *j = ctx;

    (void)thread;
    for (int64_t t = begin; t < end; t++) j->k->add(j->out + t * j->N, j->a, j->N, 1.0f);
}

void nx_cpu_bias(nx_backend *be, float *x, const float *b, int32_t T, int64_t N)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    add_job         j = {&cpu->kernels, x, b, .N = N};

    nx_pool_run(cpu->pool, T, nx_cpu_grain_rows(N), bias_rows, &j);
}

static void add_numbers(void *ctx, int thread, int64_t begin, int64_t end)
{
    const add_job *j = ctx;

    (void)thread;
    j->k->add(j->out + begin, j->a + begin, end - begin, j->scale);
}

void nx_cpu_add(nx_backend *be, float *out, const float *a, int64_t n, float scale)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    add_job         j = {&cpu->kernels, out, a, .scale = scale};

    nx_pool_run(cpu->pool, n, NX_CPU_GRAIN, add_numbers, &j);
}

typedef struct softcap_job {
    const nx_kernels *k;
    float            *x;
    float             scale, cap;
} softcap_job;

static void softcap_numbers(void *ctx, int thread, int64_t begin, int64_t end)
{
    const softcap_job *j = ctx;

    (void)thread;
    j->k->softcap(j->x + begin, end - begin, j->scale, j->cap);
}

void nx_cpu_softcap(nx_backend *be, float *x, int64_t n, float scale, float cap)
{
    nx_cpu_backend *cpu = (nx_cpu_backend *)be;
    softcap_job     j = {&cpu->kernels, x, scale, cap};

    nx_pool_run(cpu->pool, n, NX_CPU_GRAIN / 2, softcap_numbers, &j);
}
