/* matmul_ref.c - weight rows times activation rows: the reference.
 *
 * Idea: every weight type is one of three: plain numbers, blocks of 32, blocks of 256. The formulas
 *       and the order of every sum stand in tensor/backend.h.
 * Thread: any; each call writes its own outputs.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref/kernels_ref.h"
#include "backend/cpu/ref/lanes_ref.h"
#include "backend/cpu/ref/levels_ref.h"
#include "num/half.h"

nx_act_kind nx_act_kind_of(nx_dtype dtype)
{
    int len = nx_dtype_get(dtype)->block_len;

    if (dtype == NX_DTYPE_INT8) return NX_ACT_INT8;
    if (nx_dtype_scales_apart(dtype)) return NX_ACT_F32;
    return len == 1 ? NX_ACT_F32 : len == 32 ? NX_ACT_Q8 : NX_ACT_Q8K;
}

static float plain_number(const uint8_t *w, nx_dtype dtype, int64_t i)
{
    uint16_t h;
    float    f;

    if (dtype == NX_DTYPE_F32) {
        memcpy(&f, w + 4 * i, sizeof f);
        return f;
    }
    memcpy(&h, w + 2 * i, sizeof h);
    return dtype == NX_DTYPE_F16 ? nx_f16_to_f32(h) : nx_bf16_to_f32(h);
}

float nx_dot_plain_ref(const uint8_t *w, nx_dtype dtype, const nx_act *a, int32_t t)
{
    const float *x = a->x + t * a->K;
    float        acc[16] = {0};

    for (int64_t i = 0; i < a->K; i++)
        acc[i % 16] = fmaf(plain_number(w, dtype, i), x[i], acc[i % 16]);
    return nx_lanes_fold(acc);
}

float nx_dot_q8_ref(const uint8_t *w, nx_dtype dtype, const nx_act *a, int32_t t)
{
    int64_t     n = a->K / 32;
    size_t      block_bytes = nx_dtype_get(dtype)->block_bytes;
    bool        have_min = nx_levels_have_min(dtype);
    nx_levels32 block;
    float       acc = 0;

    for (int64_t b = 0; b < n; b++) {
        const int8_t *q = a->q + t * a->K + b * 32;
        int32_t       isum = 0;

        nx_levels32_read(&block, dtype, w + (size_t)b * block_bytes);
        for (int i = 0; i < 32; i++) isum += block.level[i] * q[i];
        acc = fmaf(block.d * a->d[t * n + b], (float)isum, acc);
        if (have_min) acc = fmaf(block.m, a->s[t * n + b], acc);
    }
    return acc;
}

float nx_dot_q8k_ref(const uint8_t *w, nx_dtype dtype, const nx_act *a, int32_t t)
{
    int64_t      n = a->K / 256;
    size_t       block_bytes = nx_dtype_get(dtype)->block_bytes;
    bool         have_min = nx_levels_have_min(dtype);
    nx_levels256 block;
    float        acc = 0;

    for (int64_t b = 0; b < n; b++) {
        const int8_t  *q = a->q + t * a->K + b * 256;
        const int16_t *sums = a->sum16 + (t * n + b) * 16;
        float          d = a->d[t * n + b];
        int32_t        isum = 0, msum = 0;

        nx_levels256_read(&block, dtype, w + (size_t)b * block_bytes);
        for (int i = 0; i < 256; i++) isum += block.scale[i / 16] * block.level[i] * q[i];
        acc = fmaf(block.d * d, (float)isum, acc);
        if (!have_min) continue;
        for (int j = 0; j < 16; j++) msum += block.min[j] * sums[j];
        acc = fmaf(-(block.dmin * d), (float)msum, acc);
    }
    return acc;
}

typedef float (*dot_fn)(const uint8_t *w, nx_dtype dtype, const nx_act *a, int32_t t);

static void matmul_by(dot_fn dot, nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w,
                      size_t row_bytes, int64_t n_rows, const nx_act *a, bool add)
{
    for (int32_t t = 0; t < a->T; t++) {
        for (int64_t r = 0; r < n_rows; r++) {
            float  y = dot(w + (size_t)r * row_bytes, dtype, a, t);
            float *o = out + t * ldo + r;
            *o = add ? *o + y : y;
        }
    }
}

/* One kernel per type, so that a slot carries its type. */
#define MATMUL_REF(NAME, dot)                                                                      \
    static void matmul_##NAME(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,         \
                              int64_t n_rows, const nx_act *a, bool add, void *scratch)            \
    {                                                                                              \
        (void)scratch;                                                                             \
        matmul_by(dot, NX_DTYPE_##NAME, out, ldo, w, row_bytes, n_rows, a, add);                   \
    }

MATMUL_REF(F32, nx_dot_plain_ref)
MATMUL_REF(F16, nx_dot_plain_ref)
MATMUL_REF(BF16, nx_dot_plain_ref)
MATMUL_REF(Q4_0, nx_dot_q8_ref)
MATMUL_REF(Q4_1, nx_dot_q8_ref)
MATMUL_REF(Q5_0, nx_dot_q8_ref)
MATMUL_REF(Q5_1, nx_dot_q8_ref)
MATMUL_REF(Q8_0, nx_dot_q8_ref)
MATMUL_REF(IQ4_NL, nx_dot_q8_ref)
MATMUL_REF(Q2_K, nx_dot_q8k_ref)
MATMUL_REF(Q3_K, nx_dot_q8k_ref)
MATMUL_REF(Q4_K, nx_dot_q8k_ref)
MATMUL_REF(Q5_K, nx_dot_q8k_ref)
MATMUL_REF(Q6_K, nx_dot_q8k_ref)
MATMUL_REF(IQ4_XS, nx_dot_q8k_ref)

/* The reference reads codes row by row and never asks for tiles. */
static void pack_nothing(const nx_act *a, int32_t tile)
{
    (void)a;
    (void)tile;
}

void nx_matmul_add_ref(nx_kernels *k)
{
#define X(NAME, text, type, len, gguf_id) k->matmul[NX_DTYPE_##NAME] = matmul_##NAME;
    NX_DTYPE_TABLE(X)
#undef X
    for (int i = 0; i < NX_DTYPE_COUNT; i++) k->pack[i] = pack_nothing;
    k->pack_min = INT32_MAX;
}
