/* apart_ref.c - int8 activations and products, the reference. Formulas: tensor/backend.h. */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref/kernels_ref.h"
#include "num/half.h"
#include "tensor/tensor.h"

static void quantize_int8(const nx_act *a, int32_t t)
{
    const float *x = a->x + t * a->K;
    int8_t      *q = a->q + t * a->K;
    float        amax = 0;

    for (int64_t i = 0; i < a->K; i++) {
        float m = fabsf(nx_f16_to_f32(nx_f32_to_f16(x[i])));
        if (a->threshold > 0 && m >= a->threshold) continue;
        if (m > amax || m != m) amax = m;
        if (amax != amax) break;
    }
    a->d[t] = amax <= NX_F16_MAX ? amax : NAN;
    float scale = 1.0f / amax * 127.0f; /* two roundings, as bitsandbytes */
    bool  usable = amax > 0 && amax <= NX_F16_MAX;
    for (int64_t i = 0; i < a->K; i++) {
        float h = nx_f16_to_f32(nx_f32_to_f16(x[i]));
        bool  outlier = a->threshold > 0 && fabsf(h) >= a->threshold;
        q[i] = usable && !outlier ? (int8_t)rintf(h * scale) : 0;
    }
    for (int32_t j = 0; j < a->n_outliers; j++) q[a->outliers[j]] = 0;
}

static void sum_int8(int32_t *sums, const int8_t *w, int n_rows, const int8_t *q, int64_t K)
{
    for (int r = 0; r < n_rows; r++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < K; i++) sum += w[r * K + i] * q[i];
        sums[r] = sum;
    }
}

void nx_apart_add_ref(nx_kernels *k)
{
    k->decode_rows = nx_tensor_decode;
    k->quantize_int8 = quantize_int8;
    k->sum_int8 = sum_int8;
    k->gemv_nibbles = NULL;
}
