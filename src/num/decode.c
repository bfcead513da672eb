/* decode.c - plain types and blocks of 32 to f32, the reference that kernels are judged by.
 *
 * Idea: each step below is one f32 operation in the order in which ggml and the `gguf` Python
 * package do it, so that the bits are equal. A block is copied out before it is read: in a file it
 * may stand at any address.
 */
#include "num/decode.h"

#include <string.h>

#include "num/blocks.h"
#include "num/half.h"

void nx_decode_F32(float *dst, const void *src, int64_t n)
{
    if (n > 0) memcpy(dst, src, (size_t)n * sizeof *dst);
}

static uint16_t load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

void nx_decode_F16(float *dst, const void *src, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++) dst[i] = nx_f16_to_f32(load_u16(p + 2 * i));
}

void nx_decode_BF16(float *dst, const void *src, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++) dst[i] = nx_bf16_to_f32(load_u16(p + 2 * i));
}

/* Blocks of 32: the loop over blocks is the same for all, only what one block means differs. */
#define DECODE_BLOCKS(NAME, block, one)                                                            \
    void nx_decode_##NAME(float *dst, const void *src, int64_t n)                                  \
    {                                                                                              \
        const uint8_t *p = src;                                                                    \
        for (int64_t i = 0; i < n; i += NX_QK, p += sizeof(block)) {                               \
            block b;                                                                               \
            memcpy(&b, p, sizeof b);                                                               \
            one(dst + i, &b);                                                                      \
        }                                                                                          \
    }

static void one_q4_0(float *y, const nx_block_q4_0 *b)
{
    float d = nx_f16_to_f32(b->d);
    for (int j = 0; j < NX_QK / 2; j++) {
        y[j] = d * (float)((b->qs[j] & 15) - 8);
        y[j + NX_QK / 2] = d * (float)((b->qs[j] >> 4) - 8);
    }
}

static void one_q4_1(float *y, const nx_block_q4_1 *b)
{
    float d = nx_f16_to_f32(b->d), m = nx_f16_to_f32(b->m);
    for (int j = 0; j < NX_QK / 2; j++) {
        y[j] = d * (float)(b->qs[j] & 15) + m;
        y[j + NX_QK / 2] = d * (float)(b->qs[j] >> 4) + m;
    }
}

/* The fifth bit of number i, as 16 or 0. */
static int fifth_bit(const uint8_t qh[4], int i)
{
    return ((qh[i >> 3] >> (i & 7)) & 1) << 4;
}

static void one_q5_0(float *y, const nx_block_q5_0 *b)
{
    float d = nx_f16_to_f32(b->d);
    for (int j = 0; j < NX_QK / 2; j++) {
        int k = j + NX_QK / 2;
        y[j] = d * (float)(((b->qs[j] & 15) | fifth_bit(b->qh, j)) - 16);
        y[k] = d * (float)(((b->qs[j] >> 4) | fifth_bit(b->qh, k)) - 16);
    }
}

static void one_q5_1(float *y, const nx_block_q5_1 *b)
{
    float d = nx_f16_to_f32(b->d), m = nx_f16_to_f32(b->m);
    for (int j = 0; j < NX_QK / 2; j++) {
        int k = j + NX_QK / 2;
        y[j] = d * (float)((b->qs[j] & 15) | fifth_bit(b->qh, j)) + m;
        y[k] = d * (float)((b->qs[j] >> 4) | fifth_bit(b->qh, k)) + m;
    }
}

static void one_q8_0(float *y, const nx_block_q8_0 *b)
{
    float d = nx_f16_to_f32(b->d);
    for (int j = 0; j < NX_QK; j++) y[j] = d * (float)b->qs[j];
}

static void one_iq4_nl(float *y, const nx_block_iq4_nl *b)
{
    float d = nx_f16_to_f32(b->d);
    for (int j = 0; j < NX_QK / 2; j++) {
        y[j] = d * (float)nx_iq4_levels[b->qs[j] & 15];
        y[j + NX_QK / 2] = d * (float)nx_iq4_levels[b->qs[j] >> 4];
    }
}

DECODE_BLOCKS(Q4_0, nx_block_q4_0, one_q4_0)
DECODE_BLOCKS(Q4_1, nx_block_q4_1, one_q4_1)
DECODE_BLOCKS(Q5_0, nx_block_q5_0, one_q5_0)
DECODE_BLOCKS(Q5_1, nx_block_q5_1, one_q5_1)
DECODE_BLOCKS(Q8_0, nx_block_q8_0, one_q8_0)
DECODE_BLOCKS(IQ4_NL, nx_block_iq4_nl, one_iq4_nl)
