/* decode_k.c - super-blocks of 256 to f32, the reference that kernels are judged by.
 *
 * Idea: as decode.c. A sub-block's scale is multiplied out first (d * scale, dmin * min, each
 * rounded), then applied to each number: y = dl * q - ml, two rounded steps and never a fused one.
 */
#include <string.h>

#include "num/blocks.h"
#include "num/decode.h"
#include "num/half.h"
#include "num/scales_k.h"

#define DECODE_BLOCKS(NAME, block, one)                                                            \
    void nx_decode_##NAME(float *dst, const void *src, int64_t n)                                  \
    {                                                                                              \
        const uint8_t *p = src;                                                                    \
        for (int64_t i = 0; i < n; i += NX_QKK, p += sizeof(block)) {                              \
            block b;                                                                               \
            memcpy(&b, p, sizeof b);                                                               \
            one(dst + i, &b);                                                                      \
        }                                                                                          \
    }

/* Two bits for number i: 32 bytes carry 128 numbers, the first 32 in bits 0..1 of each byte, the
 * next 32 in bits 2..3, and so on. */
static int two_bits(const uint8_t *qs, int i)
{
    return (qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
}

static void one_q2_k(float *y, const nx_block_q2_k *b)
{
    float d = nx_f16_to_f32(b->d), dmin = nx_f16_to_f32(b->dmin);
    for (int j = 0; j < NX_QKK / 16; j++) {
        float dl = d * (float)(b->scales[j] & 15), ml = dmin * (float)(b->scales[j] >> 4);
        for (int i = 16 * j; i < 16 * j + 16; i++) y[i] = dl * (float)two_bits(b->qs, i) - ml;
    }
}

/* A set bit in hmask means that nothing is taken away; bit i / 32 of byte i % 32. */
static void one_q3_k(float *y, const nx_block_q3_k *b)
{
    float  d = nx_f16_to_f32(b->d);
    int8_t scale[16];

    nx_q3k_scales(scale, b->scales);
    for (int j = 0; j < NX_QKK / 16; j++) {
        float dl = d * (float)scale[j];
        for (int i = 16 * j; i < 16 * j + 16; i++) {
            int high = (b->hmask[i % 32] >> (i / 32)) & 1;
            y[i] = dl * (float)(two_bits(b->qs, i) - (high ? 0 : 4));
        }
    }
}

/* 64 numbers in 32 bytes: the first 32 in the low nibbles, the next 32 in the high ones. */
static int nibble(const uint8_t *qs, int i)
{
    return (qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15;
}

static void one_q4_k(float *y, const nx_block_q4_k *b)
{
    float   d = nx_f16_to_f32(b->d), dmin = nx_f16_to_f32(b->dmin);
    uint8_t scale[8], min[8];

    nx_q4k_scales(scale, min, b->scales);
    for (int j = 0; j < NX_QKK / 32; j++) {
        float dl = d * (float)scale[j], ml = dmin * (float)min[j];
        for (int i = 32 * j; i < 32 * j + 32; i++) y[i] = dl * (float)nibble(b->qs, i) - ml;
    }
}

static void one_q5_k(float *y, const nx_block_q5_k *b)
{
    float   d = nx_f16_to_f32(b->d), dmin = nx_f16_to_f32(b->dmin);
    uint8_t scale[8], min[8];

    nx_q4k_scales(scale, min, b->scales);
    for (int j = 0; j < NX_QKK / 32; j++) {
        float dl = d * (float)scale[j], ml = dmin * (float)min[j];
        for (int i = 32 * j; i < 32 * j + 32; i++) {
            int high = (b->qh[i % 32] >> j) & 1;
            y[i] = dl * (float)(nibble(b->qs, i) | high << 4) - ml;
        }
    }
}

/* ql: 128 numbers in 64 bytes, the first 64 in the low nibbles, the next 64 in the high ones. */
static void one_q6_k(float *y, const nx_block_q6_k *b)
{
    float d = nx_f16_to_f32(b->d);
    for (int j = 0; j < NX_QKK / 16; j++) {
        float dl = d * (float)b->scales[j];
        for (int i = 16 * j; i < 16 * j + 16; i++) {
            int low = (b->ql[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4)) & 15;
            y[i] = dl * (float)((low | two_bits(b->qh, i) << 4) - 32);
        }
    }
}

/* A sub-block of 32 has 16 bytes: low nibbles are its first 16 numbers. */
static void one_iq4_xs(float *y, const nx_block_iq4_xs *b)
{
    float d = nx_f16_to_f32(b->d);
    for (int j = 0; j < NX_QKK / 32; j++) {
        int   low = (b->scales_l[j / 2] >> (j % 2 * 4)) & 15, high = (b->scales_h >> (2 * j)) & 3;
        float dl = d * (float)((low | high << 4) - 32);

        for (int i = 0; i < 16; i++) {
            uint8_t q = b->qs[16 * j + i];
            y[32 * j + i] = dl * (float)nx_iq4_levels[q & 15];
            y[32 * j + 16 + i] = dl * (float)nx_iq4_levels[q >> 4];
        }
    }
}

DECODE_BLOCKS(Q2_K, nx_block_q2_k, one_q2_k)
DECODE_BLOCKS(Q3_K, nx_block_q3_k, one_q3_k)
DECODE_BLOCKS(Q4_K, nx_block_q4_k, one_q4_k)
DECODE_BLOCKS(Q5_K, nx_block_q5_k, one_q5_k)
DECODE_BLOCKS(Q6_K, nx_block_q6_k, one_q6_k)
DECODE_BLOCKS(IQ4_XS, nx_block_iq4_xs, one_iq4_xs)
