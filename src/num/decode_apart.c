/* decode_apart.c - levels of the types whose scales lie apart: bitsandbytes' NF4, FP4 and INT8.
 *
 * Source: QLoRA (Dettmers et al. 2023, arXiv 2305.14314), appendix E, and the values that
 *         bitsandbytes' checkpoints carry in their quant_map tensors.
 */
#include "num/decode.h"
#include "num/levels.h"

const float nx_nf4_levels[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

/* Sign in bit 3. */
const float nx_fp4_levels[16] = {
    0.0f,  0.0625f / 12,  8.0f / 12,  1.0f,  4.0f / 12,  6.0f / 12,  2.0f / 12,  3.0f / 12,
    -0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12, -6.0f / 12, -2.0f / 12, -3.0f / 12,
};

static void decode_nibbles(float *dst, const uint8_t *src, int64_t n, const float *levels)
{
    for (int64_t i = 0; i < n; i += 2, src++) {
        dst[i] = levels[*src >> 4];
        dst[i + 1] = levels[*src & 15];
    }
}

void nx_decode_NF4(float *dst, const void *src, int64_t n)
{
    decode_nibbles(dst, src, n, nx_nf4_levels);
}

void nx_decode_FP4(float *dst, const void *src, int64_t n)
{
    decode_nibbles(dst, src, n, nx_fp4_levels);
}

void nx_decode_INT8(float *dst, const void *src, int64_t n)
{
    const int8_t *q = src;

    for (int64_t i = 0; i < n; i++) dst[i] = (float)q[i];
}
