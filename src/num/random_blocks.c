/* random_blocks.c - random bytes for the codes, computed scales for the size of the numbers.
 *
 * Idea:   256 numbers (a grain) are the unit: two splitmix64 streams start from a hash of (seed,
 *         grain), one fills every byte, the other gives each block its scale, written over the
 *         random bytes. So any grain can be made alone, and a short last grain is the beginning of
 *         a whole one.
 *
 * The scale follows from the mean square of the numbers that uniform codes give at d = 1:
 *   plain levels       mean of level^2
 *   scale * level      mean of scale^2 * mean of level^2
 *   scale * q - c min  c = mean of q makes the mean 0; scale and min are uniform alike, so it is
 *                      E[s^2] (E[q^2] + c^2) - 2 c^2 E[s]^2
 * Symmetric types get a d of random sign, as their codes have a mean of -1/2 or so.
 */
#include "num/random_blocks.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "num/blocks.h"
#include "num/half.h"
#include "num/rng.h"

/* How a quantised type's d is placed and sized. */
typedef struct recipe {
    uint16_t d_at;        /* offset of d in the block */
    int16_t  offset_at;   /* of m or dmin, or -1 */
    float    mean_square; /* at d = 1 */
    float    offset;      /* m or dmin at d = 1 */
} recipe;

/* Uniform over n integers: variance (n^2 - 1) / 12. */
#define VARIANCE(n)      (((double)(n) * (n)-1) / 12)
#define SQUARE_SIGNED(n) (VARIANCE(n) + 0.25)                            /* -n/2 .. n/2 - 1 */
#define SQUARE_COUNT(n)  (VARIANCE(n) + ((n)-1) / 2.0 * (((n)-1) / 2.0)) /* 0 .. n - 1 */

/* s * q - c * m, s and m uniform over n_s counts, q over n_q, c the mean of q. */
#define MEAN(n) (((n)-1) / 2.0)
#define SQUARE_WITH_MIN(n_s, n_q)                                                                  \
    (SQUARE_COUNT(n_s) * (SQUARE_COUNT(n_q) + MEAN(n_q) * MEAN(n_q)) -                             \
     2 * MEAN(n_q) * MEAN(n_q) * MEAN(n_s) * MEAN(n_s))

/* (127^2 + 104^2 + ... + 113^2) / 16 over nx_iq4_levels. */
#define SQUARE_IQ4 (72768 / 16.0)

#define AT(block, field) offsetof(block, field)

static const recipe recipes[NX_DTYPE_COUNT] = {
    [NX_DTYPE_Q4_0] = {AT(nx_block_q4_0, d), -1, SQUARE_SIGNED(16), 0},
    [NX_DTYPE_Q4_1] = {AT(nx_block_q4_1, d), AT(nx_block_q4_1, m), VARIANCE(16), -MEAN(16)},
    [NX_DTYPE_Q5_0] = {AT(nx_block_q5_0, d), -1, SQUARE_SIGNED(32), 0},
    [NX_DTYPE_Q5_1] = {AT(nx_block_q5_1, d), AT(nx_block_q5_1, m), VARIANCE(32), -MEAN(32)},
    [NX_DTYPE_Q8_0] = {AT(nx_block_q8_0, d), -1, SQUARE_SIGNED(256), 0},
    [NX_DTYPE_Q2_K] = {AT(nx_block_q2_k, d), AT(nx_block_q2_k, dmin), SQUARE_WITH_MIN(16, 4),
                       MEAN(4)},
    [NX_DTYPE_Q3_K] = {AT(nx_block_q3_k, d), -1, SQUARE_SIGNED(64) * SQUARE_SIGNED(8), 0},
    [NX_DTYPE_Q4_K] = {AT(nx_block_q4_k, d), AT(nx_block_q4_k, dmin), SQUARE_WITH_MIN(64, 16),
                       MEAN(16)},
    [NX_DTYPE_Q5_K] = {AT(nx_block_q5_k, d), AT(nx_block_q5_k, dmin), SQUARE_WITH_MIN(64, 32),
                       MEAN(32)},
    [NX_DTYPE_Q6_K] = {AT(nx_block_q6_k, d), -1, SQUARE_SIGNED(256) * SQUARE_SIGNED(64), 0},
    [NX_DTYPE_IQ4_NL] = {AT(nx_block_iq4_nl, d), -1, SQUARE_IQ4, 0},
    [NX_DTYPE_IQ4_XS] = {AT(nx_block_iq4_xs, d), -1, SQUARE_SIGNED(64) * SQUARE_IQ4, 0},
};

static void fill_bytes(uint8_t *p, size_t len, uint64_t *stream)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t r = nx_splitmix64(stream);
        memcpy(p, &r, 8);
    }
    uint64_t r = nx_splitmix64(stream);
    memcpy(p, &r, len);
}

static void put_half(uint8_t *at, float f)
{
    uint16_t h = nx_f32_to_f16(f);
    memcpy(at, &h, sizeof h);
}

/* d between half and one and a half of its mean, so that blocks differ as real ones do: the mean
 * of the square of that factor is 13/12. */
static void set_scales(uint8_t *p, int64_t n_blocks, nx_dtype t, float std, uint64_t *stream)
{
    const recipe *r = &recipes[t];
    size_t        block_bytes = nx_dtype_get(t)->block_bytes;
    float         mean = std / sqrtf(r->mean_square * 13.0f / 12.0f);

    for (int64_t i = 0; i < n_blocks; i++, p += block_bytes) {
        uint64_t bits = nx_splitmix64(stream);
        float    d = mean * (0.5f + (float)(bits >> 40) * 0x1p-24f);

        if (r->offset_at >= 0)
            put_half(p + r->offset_at, r->offset * d);
        else if (bits & 1)
            d = -d;
        put_half(p + r->d_at, d);
    }
}

/* f32: uniform in std * [-sqrt(3), sqrt(3)). */
static void grain_f32(uint8_t *p, int64_t n, float std, uint64_t *stream)
{
    float unit = std * 1.7320508f * 0x1p-31f;

    for (int64_t i = 0; i < n; i += 2) {
        uint64_t bits = nx_splitmix64(stream);
        float    pair[2] = {(float)(int32_t)(uint32_t)bits * unit,
                            (float)(int32_t)(uint32_t)(bits >> 32) * unit};
        memcpy(p + 4 * i, pair, n - i > 1 ? 8 : 4);
    }
}

/* f16 and bf16 straight from bits: sign and mantissa uniform, so 1.m has a mean square of 7/3; the
 * exponent is e, or with probability p e + 1, so that 4^e * 7/3 * (1 + 3p) = std^2. */
static void grain_16(uint8_t *out, int64_t n, float std, int mantissa_bits, int bias,
                     uint64_t *stream)
{
    int   e = (int)floorf(log2f(std / sqrtf(7.0f / 3.0f)));
    float p = (std * std / (7.0f / 3.0f) * exp2f(-2.0f * (float)e) - 1.0f) / 3.0f;
    int   n_spare = 15 - mantissa_bits; /* 16 random bits: sign, mantissa, these choose e */
    int   threshold = (int)(p * (float)(1 << n_spare) + 0.5f);

    for (int64_t i = 0; i < n; i += 4) {
        uint64_t bits = nx_splitmix64(stream);
        for (int64_t j = i; j < n && j < i + 4; j++, bits >>= 16) {
            int      spare = (int)(bits >> mantissa_bits) & ((1 << n_spare) - 1);
            unsigned exponent = (unsigned)(e + bias + (spare < threshold));
            unsigned mantissa = (unsigned)bits & ((1u << mantissa_bits) - 1);
            uint16_t h = (uint16_t)((bits & 0x8000u) | exponent << mantissa_bits | mantissa);
            memcpy(out + 2 * j, &h, 2);
        }
    }
}

static void fill_grain(uint8_t *p, nx_dtype t, float std, uint64_t key, int64_t n)
{
    const nx_dtype_info *info = nx_dtype_get(t);
    uint64_t             codes = key, scales = ~key;

    if (t == NX_DTYPE_F32) {
        grain_f32(p, n, std, &codes);
    } else if (t == NX_DTYPE_F16) {
        grain_16(p, n, std, 10, 15, &codes);
    } else if (t == NX_DTYPE_BF16) {
        grain_16(p, n, std, 7, 127, &codes);
    } else {
        fill_bytes(p, nx_dtype_row_bytes(t, n), &codes);
        set_scales(p, n / info->block_len, t, std, &scales);
    }
}

void nx_random_blocks_fill(void *dst, nx_dtype t, float std, uint64_t seed, int64_t begin,
                           int64_t n)
{
    uint8_t *p = dst;
    size_t   grain_bytes = nx_dtype_row_bytes(t, NX_RANDOM_GRAIN);

    assert(begin >= 0 && begin % NX_RANDOM_GRAIN == 0 && n % nx_dtype_get(t)->block_len == 0);
    assert(std >= 0.001f && std <= 1000.0f);
    for (int64_t i = 0; i < n; i += NX_RANDOM_GRAIN, p += grain_bytes) {
        uint64_t state = seed, key;
        int64_t  len = n - i < NX_RANDOM_GRAIN ? n - i : NX_RANDOM_GRAIN;

        /* Seed hashed, then the place hashed into it: neighbouring seeds share no streams. */
        state = nx_splitmix64(&state) + (uint64_t)((begin + i) / NX_RANDOM_GRAIN);
        key = nx_splitmix64(&state);
        fill_grain(p, t, std, key, len);
    }
}
