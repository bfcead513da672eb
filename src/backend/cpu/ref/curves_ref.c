/* curves_ref.c - layer norm, activations, sums, soft caps and the routing of experts. The reference.
 *
 * Thread: any; each call writes its own outputs.
 */
#include <math.h>

#include "backend/cpu/ref/kernels_ref.h"
#include "backend/cpu/ref/lanes_ref.h"
#include "num/curves.h"

void nx_layernorm_ref(float *out, const float *x, const float *w, const float *b, int64_t D,
                      float eps)
{
    float sum[16] = {0}, squares[16] = {0};

    for (int64_t i = 0; i < D; i++) sum[i % 16] += x[i];
    float mean = nx_lanes_fold(sum) / (float)D;
    for (int64_t i = 0; i < D; i++)
        squares[i % 16] = fmaf(x[i] - mean, x[i] - mean, squares[i % 16]);
    float r = 1.0f / sqrtf(nx_lanes_fold(squares) / (float)D + eps);
    for (int64_t i = 0; i < D; i++) {
        float y = (x[i] - mean) * r;
        out[i] = b ? fmaf(y, w[i], b[i]) : y * w[i];
    }
}

static float activate(float x, nx_activation kind)
{
    switch (kind) {
    case NX_ACTIVATION_GELU_TANH: return nx_gelu_tanhf(x);
    case NX_ACTIVATION_GELU_ERF: return nx_gelu_erff(x);
    case NX_ACTIVATION_RELU: return nx_reluf(x);
    default: return nx_siluf(x);
    }
}

void nx_act_mul_ref(float *out, const float *gate, const float *up, int64_t n, nx_activation kind)
{
    for (int64_t i = 0; i < n; i++) {
        float y = activate(gate[i], kind);
        out[i] = up ? y * up[i] : y;
    }
}

void nx_add_ref(float *out, const float *a, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++) out[i] = fmaf(a[i], scale, out[i]);
}

void nx_softcap_ref(float *x, int64_t n, float scale, float cap)
{
    for (int64_t i = 0; i < n; i++) {
        float y = x[i] * scale;
        x[i] = cap > 0 ? cap * nx_tanhf(y / cap) : y;
    }
}

/* The k largest, by insertion; returns the largest. */
static float choose(int32_t *ids, const float *logits, int32_t E, int32_t k)
{
    int32_t n = 0;

    for (int32_t e = 0; e < E; e++) {
        int32_t at = n;
        while (at > 0 && logits[e] > logits[ids[at - 1]]) at--;
        if (at == k) continue;
        if (n < k) n++;
        for (int32_t i = n - 1; i > at; i--) ids[i] = ids[i - 1];
        ids[at] = e;
    }
    return logits[ids[0]];
}

void nx_route_ref(int32_t *ids, float *weights, const float *logits, int32_t E,
                  const nx_route_opts *opts)
{
    float max = choose(ids, logits, E, opts->k), acc[16] = {0}, chosen = 0;

    for (int32_t e = 0; e < E; e++) acc[e % 16] += nx_expf(logits[e] - max);
    float r = 1.0f / nx_lanes_fold(acc);
    for (int32_t j = 0; j < opts->k; j++) {
        weights[j] = nx_expf(logits[ids[j]] - max) * r;
        chosen += weights[j];
    }
    for (int32_t j = 0; j < opts->k; j++) {
        if (opts->normalise) weights[j] /= chosen;
        weights[j] *= opts->scale;
    }
}
