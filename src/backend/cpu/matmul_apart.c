/* matmul_apart.c - weights whose scales lie apart.
 *
 * Idea:   nf4 and fp4 are looked up and scaled to the floats that they stand for, a few rows at a
 *         time, and multiplied as floats; for a single token a fused kernel does the same steps
 *         without the detour through memory. int8 follows LLM.int8 (Dettmers et al. 2022, arXiv
 *         2208.07339): whole numbers, but for the columns of outliers.
 * Thread: any, but for nx_cpu_find_outliers: the backend's caller.
 */
#include "backend/cpu/matmul_apart.h"

#include <math.h>
#include <string.h>

#include "num/half.h"

static void put(float *o, float y, bool add)
{
    *o = add ? *o + y : y;
}

/* ---- Through floats ---- */

static void multiply_decoded(const nx_cpu_backend *cpu, float *out, int64_t ldo, const nx_tensor *w,
                             int64_t row, int64_t n_rows, const nx_act *a, bool add, float *rows)
{
    size_t row_bytes = (size_t)w->ne[0] * sizeof(float);

    for (int64_t r = 0; r < n_rows; r += NX_DECODED_ROWS) {
        int64_t n = n_rows - r < NX_DECODED_ROWS ? n_rows - r : NX_DECODED_ROWS;
        cpu->kernels.decode_rows(rows, w, row + r, n);
        cpu->kernels.matmul[NX_DTYPE_F32](out + r, ldo, (const uint8_t *)rows, row_bytes, n, a, add,
                                          NULL);
    }
}

/* ---- LLM.int8 ---- */

/* As activations are seen by the quantiser: halves. */
static float halved(float x)
{
    return nx_f16_to_f32(nx_f32_to_f16(x));
}

void nx_cpu_find_outliers(nx_cpu_backend *cpu, const nx_tensor *w, const float *x, int32_t T,
                          int64_t K)
{
    float    threshold = w->scales->threshold;
    nx_act  *a = &cpu->act;
    uint8_t *hit = cpu->outlier_hit;

    a->threshold = threshold;
    a->n_outliers = 0;
    if (!(threshold > 0)) return;
    memset(hit, 0, (size_t)K);
    for (int32_t t = 0; t < T; t++)
        for (int64_t i = 0; i < K; i++) hit[i] |= fabsf(halved(x[t * K + i])) >= threshold;
    for (int64_t i = 0; i < K; i++)
        if (hit[i]) a->outliers[a->n_outliers++] = (int32_t)i;
}

/* What the columns of outliers add to row r of token t, in floats. */
static float add_outliers(float y, const int8_t *w, float scale, const nx_act *a, int32_t t)
{
    for (int32_t j = 0; j < a->n_outliers; j++) {
        int32_t i = a->outliers[j];
        y = fmaf(a->x[t * a->K + i], ((float)w[i] * scale) * NX_INT8_STEP, y);
    }
    return y;
}

static void multiply_int8(const nx_cpu_backend *cpu, float *out, int64_t ldo, const nx_tensor *w,
                          int64_t row, int64_t n_rows, const nx_act *a, bool add)
{
    const int8_t *codes = (const int8_t *)w->data + row * w->ne[0];
    int64_t       first = w->first_number / w->ne[0] + row;
    int32_t       sums[NX_INT8_ROWS];

    for (int64_t r = 0; r < n_rows; r += NX_INT8_ROWS) {
        int64_t n = n_rows - r < NX_INT8_ROWS ? n_rows - r : NX_INT8_ROWS;
        for (int32_t t = 0; t < a->T; t++) {
            cpu->kernels.sum_int8(sums, codes + r * a->K, (int)n, a->q + t * a->K, a->K);
            for (int64_t i = 0; i < n; i++) {
                float scale = nx_scale_at(w->scales, first + r + i);
                float y = ((float)sums[i] * (a->d[t] * scale)) * NX_INT8_PRODUCT_STEP;
                if (a->n_outliers) y = add_outliers(y, codes + (r + i) * a->K, scale, a, t);
                put(out + t * ldo + r + i, y, add);
            }
        }
    }
}

/* ---- Which way ---- */

void nx_cpu_multiply_apart(const nx_cpu_backend *cpu, float *out, int64_t ldo, const nx_tensor *w,
                           int64_t row, int64_t n_rows, const nx_act *a, bool add, float *rows)
{
    const nx_kernels *k = &cpu->kernels;
    bool              nibbles = w->dtype == NX_DTYPE_NF4 || w->dtype == NX_DTYPE_FP4;

    if (a->kind == NX_ACT_INT8)
        multiply_int8(cpu, out, ldo, w, row, n_rows, a, add);
    else if (nibbles && a->T == 1 && k->gemv_nibbles && w->ne[0] % w->scales->block_len == 0 &&
             w->first_number % w->scales->block_len == 0)
        k->gemv_nibbles(out, w, row, n_rows, a->x, add);
    else
        multiply_decoded(cpu, out, ldo, w, row, n_rows, a, add, rows);
}
