/* fine_ref.c - q8_0 weights times activations in codes of 16 bits: the reference.
 *
 * Formulas: q15(x) and the product of a fine backend in tensor/backend.h.
 * Thread:   any; each call writes its own outputs.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref/kernels_ref.h"
#include "num/blocks.h"
#include "num/half.h"

/* The reference's tiles are rows: [T, K]. */
static int16_t *codes_of(const nx_act *a, int32_t t)
{
    return (int16_t *)a->tiles + t * a->K;
}

/* 32 codes and the returned step. */
static float quantize_block(int16_t *q, const float *x)
{
    float amax = 0;
    bool  finite = true;

    for (int i = 0; i < 32; i++) {
        finite = finite && isfinite(x[i]);
        amax = fmaxf(amax, fabsf(x[i]));
    }
    float d = amax / 32767.0f;
    memset(q, 0, 32 * sizeof *q);
    if (!finite) return nx_f32_from_bits(0x7FC00000u);
    if (d < NX_Q8_TINY) return 0.0f;
    float inv = 1.0f / d;
    for (int i = 0; i < 32; i++) q[i] = (int16_t)rintf(x[i] * inv);
    return d;
}

void nx_quantize_q15_ref(const nx_act *a, int32_t tile)
{
    int64_t n = a->K / 32;

    for (int32_t t = tile * NX_TILE_TOKENS; t < (tile + 1) * NX_TILE_TOKENS && t < a->T; t++)
        for (int64_t b = 0; b < n; b++)
            a->d[t * n + b] = quantize_block(codes_of(a, t) + b * 32, a->x + t * a->K + b * 32);
}

static float dot(const uint8_t *w, const nx_act *a, int32_t t)
{
    const int16_t *q = codes_of(a, t);
    int64_t        n = a->K / 32;
    float          acc = 0;

    for (int64_t b = 0; b < n; b++, w += sizeof(nx_block_q8_0), q += 32) {
        nx_block_q8_0 block;
        int32_t       isum = 0;

        memcpy(&block, w, sizeof block);
        for (int i = 0; i < 32; i++) isum += block.qs[i] * q[i];
        acc = fmaf(nx_f16_to_f32(block.d) * a->d[t * n + b], (float)isum, acc);
    }
    return acc;
}

void nx_matmul_q15_ref(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes, int64_t n_rows,
                       const nx_act *a, bool add, void *scratch)
{
    (void)scratch;
    for (int32_t t = 0; t < a->T; t++, out += ldo)
        for (int64_t r = 0; r < n_rows; r++) {
            float y = dot(w + (size_t)r * row_bytes, a, t);
            out[r] = add ? out[r] + y : y;
        }
}
