/* quantize_ref.c - activations to 8-bit codes, and cache rows to f16 and Q8_0: the reference.
 *
 * Thread: any; each call writes its own row.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref/kernels_ref.h"
#include "num/blocks.h"
#include "num/half.h"

/* The largest |x| as bits, which order like the numbers; infinities and NaN come out on top. */
static uint32_t amax_bits(const float *x, int n)
{
    uint32_t top = 0;

    for (int i = 0; i < n; i++) {
        uint32_t bits = nx_f32_bits(x[i]) & 0x7FFFFFFFu;
        if (bits > top) top = bits;
    }
    return top;
}

/* One block: codes q[n] and the returned step d, by q8(x) of backend.h. */
static float quantize_block(int8_t *q, const float *x, int n)
{
    uint32_t top = amax_bits(x, n);

    if (top >= 0x7F800000u) {
        memset(q, 0, (size_t)n);
        return nx_f32_from_bits(0x7FC00000u);
    }
    float d = nx_f32_from_bits(top) / 127.0f;
    if (d < NX_Q8_TINY) {
        memset(q, 0, (size_t)n);
        return 0.0f;
    }
    float inv = 1.0f / d;
    for (int i = 0; i < n; i++) q[i] = (int8_t)rintf(x[i] * inv);
    return d;
}

static int sum_codes(const int8_t *q, int n)
{
    int sum = 0;

    for (int i = 0; i < n; i++) sum += q[i];
    return sum;
}

void nx_quantize_q8_ref(const nx_act *a, int32_t t)
{
    int64_t n = a->K / 32;

    for (int64_t b = 0; b < n; b++) {
        int8_t *q = a->q + t * a->K + b * 32;
        float   d = quantize_block(q, a->x + t * a->K + b * 32, 32);
        int     sum = sum_codes(q, 32);
        a->d[t * n + b] = d;
        a->s[t * n + b] = d * (float)sum;
        a->sum32[t * n + b] = sum;
    }
}

void nx_quantize_q8k_ref(const nx_act *a, int32_t t)
{
    int64_t n = a->K / 256;

    for (int64_t b = 0; b < n; b++) {
        int8_t *q = a->q + t * a->K + b * 256;
        a->d[t * n + b] = quantize_block(q, a->x + t * a->K + b * 256, 256);
        for (int j = 0; j < 16; j++)
            a->sum16[(t * n + b) * 16 + j] = (int16_t)sum_codes(q + 16 * j, 16);
    }
}

void nx_store_f16_ref(void *dst, const float *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = nx_f32_to_f16(src[i]);
        memcpy((uint8_t *)dst + 2 * i, &h, sizeof h);
    }
}

void nx_store_q8_0_ref(void *dst, const float *src, int64_t n)
{
    for (int64_t b = 0; b < n / 32; b++) {
        const float  *x = src + 32 * b;
        uint32_t      top = amax_bits(x, 32);
        float         d = nx_f32_from_bits(top) / 127.0f;
        nx_block_q8_0 block = {0};

        if (top >= 0x7F800000u) {
            d = nx_f32_from_bits(0x7FC00000u);
        } else if (d >= NX_Q8_TINY) {
            float inv = 1.0f / d;
            for (int i = 0; i < 32; i++) block.qs[i] = (int8_t)roundf(x[i] * inv);
        }
        block.d = nx_f32_to_f16(d);
        memcpy((uint8_t *)dst + b * (int64_t)sizeof block, &block, sizeof block);
    }
}
