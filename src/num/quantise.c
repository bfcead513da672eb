/* quantise.c - reference encoders for the plain types and the simple blocks of 32.
 *
 * Idea: a block's scale d is kept in f32 while codes are chosen (by 1 / d, a product, one add, a
 *       cut), and rounded to f16 only when stored, in this order of float steps; that is what
 *       makes the bits equal to ggml's.
 */
#include "num/quantise.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "num/blocks.h"
#include "num/half.h"
#include "num/quantise_k.h"

static void encode_f32(uint8_t *dst, const float *x)
{
    memcpy(dst, x, sizeof *x);
}

static void encode_f16(uint8_t *dst, const float *x)
{
    uint16_t h = nx_f32_to_f16(*x);
    memcpy(dst, &h, sizeof h);
}

static void encode_bf16(uint8_t *dst, const float *x)
{
    uint16_t h = nx_f32_to_bf16(*x);
    memcpy(dst, &h, sizeof h);
}

/* The number of largest magnitude (the first of equals), with its sign; NaN if any is not finite. */
static float extreme(const float x[NX_QK])
{
    float best = 0.0f, best_abs = 0.0f;
    for (int i = 0; i < NX_QK; i++) {
        float a = fabsf(x[i]);
        if (!(a < INFINITY)) return NAN;
        if (a > best_abs) {
            best_abs = a;
            best = x[i];
        }
    }
    return best;
}

/* Smallest and largest; both NaN if any number is not finite. */
static void range_of(float *min, float *max, const float x[NX_QK])
{
    *min = *max = x[0];
    for (int i = 0; i < NX_QK; i++) {
        if (!(fabsf(x[i]) < INFINITY)) {
            *min = *max = NAN;
            return;
        }
        if (x[i] < *min) *min = x[i];
        if (x[i] > *max) *max = x[i];
    }
}

/* 1 / d, or 0 where there is nothing to divide. */
static float inverse(float d)
{
    return d != 0.0f ? 1.0f / d : 0.0f;
}

/* Cut v to a code 0..top. With d so small that 1 / d overflows, v may be anything, NaN too. */
static uint8_t code(float v, int top)
{
    if (!(v > 0.0f)) return 0;
    return v < (float)top ? (uint8_t)v : (uint8_t)top;
}

static void pack_nibbles(uint8_t qs[NX_QK / 2], const uint8_t q[NX_QK])
{
    for (int j = 0; j < NX_QK / 2; j++)
        qs[j] = (uint8_t)((q[j] & 15) | (q[j + NX_QK / 2] & 15) << 4);
}

static void pack_fifth_bits(uint8_t qh[4], const uint8_t q[NX_QK])
{
    memset(qh, 0, 4);
    for (int i = 0; i < NX_QK; i++) qh[i / 8] |= (uint8_t)((q[i] >> 4) << (i % 8));
}

/* Symmetric codes 0..top with the middle at `half`: the extreme number gets code 0 exactly, so d
 * has the opposite sign of it. Returns d. */
static float symmetric_codes(uint8_t q[NX_QK], const float x[NX_QK], int half, int top)
{
    float d = extreme(x) / (float)-half, id = inverse(d), middle = (float)half + 0.5f;
    for (int i = 0; i < NX_QK; i++) q[i] = code(x[i] * id + middle, top);
    return d;
}

/* Codes 0..top from the smallest number up. Returns d; the smallest in *min. */
static float affine_codes(uint8_t q[NX_QK], float *min, const float x[NX_QK], int top)
{
    float max;
    range_of(min, &max, x);
    float d = (max - *min) / (float)top, id = inverse(d);
    for (int i = 0; i < NX_QK; i++) q[i] = code((x[i] - *min) * id + 0.5f, top);
    return d;
}

static void encode_q4_0(uint8_t *dst, const float *x)
{
    nx_block_q4_0 b;
    uint8_t       q[NX_QK];

    b.d = nx_f32_to_f16(symmetric_codes(q, x, 8, 15));
    pack_nibbles(b.qs, q);
    memcpy(dst, &b, sizeof b);
}

static void encode_q4_1(uint8_t *dst, const float *x)
{
    nx_block_q4_1 b;
    uint8_t       q[NX_QK];
    float         min;

    b.d = nx_f32_to_f16(affine_codes(q, &min, x, 15));
    b.m = nx_f32_to_f16(min);
    pack_nibbles(b.qs, q);
    memcpy(dst, &b, sizeof b);
}

static void encode_q5_0(uint8_t *dst, const float *x)
{
    nx_block_q5_0 b;
    uint8_t       q[NX_QK];

    b.d = nx_f32_to_f16(symmetric_codes(q, x, 16, 31));
    pack_nibbles(b.qs, q);
    pack_fifth_bits(b.qh, q);
    memcpy(dst, &b, sizeof b);
}

static void encode_q5_1(uint8_t *dst, const float *x)
{
    nx_block_q5_1 b;
    uint8_t       q[NX_QK];
    float         min;

    b.d = nx_f32_to_f16(affine_codes(q, &min, x, 31));
    b.m = nx_f32_to_f16(min);
    pack_nibbles(b.qs, q);
    pack_fifth_bits(b.qh, q);
    memcpy(dst, &b, sizeof b);
}

/* Rounds halves away from zero, as roundf does. */
static void encode_q8_0(uint8_t *dst, const float *x)
{
    nx_block_q8_0 b;
    float         d = fabsf(extreme(x)) / 127.0f, id = inverse(d);

    b.d = nx_f32_to_f16(d);
    for (int i = 0; i < NX_QK; i++) {
        float v = roundf(x[i] * id);
        b.qs[i] = (int8_t)(v >= 127.0f ? 127 : v <= -127.0f ? -127 : v == v ? (int)v : 0);
    }
    memcpy(dst, &b, sizeof b);
}

static void (*const encoders[NX_DTYPE_COUNT])(uint8_t *dst, const float *x) = {
    [NX_DTYPE_F32] = encode_f32,          [NX_DTYPE_F16] = encode_f16,
    [NX_DTYPE_BF16] = encode_bf16,        [NX_DTYPE_Q4_0] = encode_q4_0,
    [NX_DTYPE_Q4_1] = encode_q4_1,        [NX_DTYPE_Q5_0] = encode_q5_0,
    [NX_DTYPE_Q5_1] = encode_q5_1,        [NX_DTYPE_Q8_0] = encode_q8_0,
    [NX_DTYPE_Q2_K] = nx_encode_q2_k,     [NX_DTYPE_Q3_K] = nx_encode_q3_k,
    [NX_DTYPE_Q4_K] = nx_encode_q4_k,     [NX_DTYPE_Q5_K] = nx_encode_q5_k,
    [NX_DTYPE_Q6_K] = nx_encode_q6_k,     [NX_DTYPE_IQ4_NL] = nx_encode_iq4_nl,
    [NX_DTYPE_IQ4_XS] = nx_encode_iq4_xs,
};

bool nx_quantise_supports(nx_dtype t)
{
    return encoders[t] != NULL;
}

void nx_quantise_row(nx_dtype t, void *dst, const float *src, int64_t n)
{
    const nx_dtype_info *info = nx_dtype_get(t);
    uint8_t             *p = dst;

    assert(nx_quantise_supports(t) && n % info->block_len == 0);
    for (int64_t i = 0; i < n; i += info->block_len, p += info->block_bytes)
        encoders[t](p, src + i);
}
