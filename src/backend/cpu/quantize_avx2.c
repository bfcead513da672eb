/* quantize_avx2.c - activations to 8-bit codes, and cache rows to f16 and Q8_0, with AVX2.
 *
 * Thread: any; each call writes its own row.
 */
#include "backend/cpu/lanes_avx2.h"
#include "backend/cpu/ref/kernels_ref.h"
#include "backend/cpu/walk_avx2.h"
#include "num/blocks.h"

/* Largest |x| of n (a multiple of 32) as bits: infinities and NaN order above all numbers. */
NX_INLINE uint32_t amax_bits(const float *x, int n)
{
    const __m256i mask = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i       top = _mm256_setzero_si256();

    for (int i = 0; i < n; i += 8) {
        __m256i v = _mm256_loadu_si256((const void *)(x + i));
        top = _mm256_max_epi32(top, _mm256_and_si256(v, mask));
    }
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

/* Four vectors of int32 within a byte's range, in order. */
NX_INLINE __m256i pack_bytes(const __m256i v[4])
{
    __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* 32 codes of x at the inverse step: rounded to nearest even, the mode of the processor. */
NX_INLINE __m256i codes32(const float *x, float inv)
{
    __m256i v[4];

    for (int i = 0; i < 4; i++)
        v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inv)));
    return pack_bytes(v);
}

/* Step of a block and its inverse: a step of NaN or 0 has the inverse 0 and is told by false. */
NX_INLINE bool step_of(float *d, float *inv, uint32_t top)
{
    *inv = 0;
    *d = nx_f32_from_bits(0x7FC00000u);
    if (top >= 0x7F800000u) return false;
    *d = nx_f32_from_bits(top) / 127.0f;
    if (*d < NX_Q8_TINY) {
        *d = 0;
        return false;
    }
    *inv = 1.0f / *d;
    return true;
}

/* Sums of the low and of the high 16 codes. */
NX_INLINE void sums16(int *low, int *high, __m256i codes)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    __m256i v = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    v = _mm256_add_epi32(v, _mm256_shuffle_epi32(v, 0x4E));
    v = _mm256_add_epi32(v, _mm256_shuffle_epi32(v, 0xB1));
    *low = _mm_cvtsi128_si32(_mm256_castsi256_si128(v));
    *high = _mm_cvtsi128_si32(_mm256_extracti128_si256(v, 1));
}

void nx_quantize_q8_avx2(const nx_act *a, int32_t t)
{
    int64_t      n = a->K / 32;
    const float *x = a->x + t * a->K;
    int8_t      *q = a->q + t * a->K;

    for (int64_t b = 0; b < n; b++, x += 32, q += 32) {
        float   d, inv;
        int     low, high;
        bool    plain = step_of(&d, &inv, amax_bits(x, 32));
        __m256i codes = plain ? codes32(x, inv) : _mm256_setzero_si256();

        _mm256_storeu_si256((void *)q, codes);
        sums16(&low, &high, codes);
        a->d[t * n + b] = d;
        a->s[t * n + b] = d * (float)(low + high);
        a->sum32[t * n + b] = low + high;
    }
}

void nx_quantize_q8k_avx2(const nx_act *a, int32_t t)
{
    int64_t      n = a->K / 256;
    const float *x = a->x + t * a->K;
    int8_t      *q = a->q + t * a->K;
    int16_t     *sums = a->sum16 + t * n * 16;

    for (int64_t b = 0; b < n; b++, x += 256, q += 256, sums += 16) {
        float d, inv;
        bool  plain = step_of(&d, &inv, amax_bits(x, 256));

        a->d[t * n + b] = d;
        for (int g = 0; g < 8; g++) {
            int     low, high;
            __m256i codes = plain ? codes32(x + 32 * g, inv) : _mm256_setzero_si256();
            _mm256_storeu_si256((void *)(q + 32 * g), codes);
            sums16(&low, &high, codes);
            sums[2 * g] = (int16_t)low;
            sums[2 * g + 1] = (int16_t)high;
        }
    }
}

void nx_store_f16_avx2(void *dst, const float *src, int64_t n)
{
    int64_t i = 0;

    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)((uint8_t *)dst + 2 * i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    nx_store_f16_ref((uint8_t *)dst + 2 * i, src + i, n - i);
}

/* roundf: nearest, halves away from zero. |v| stays below 128, so every step is exact. */
NX_INLINE __m256 round_away(__m256 v)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), half = _mm256_set1_ps(0.5f);
    __m256       whole = _mm256_round_ps(v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    __m256       rest = _mm256_andnot_ps(sign, _mm256_sub_ps(v, whole));
    __m256       one = _mm256_or_ps(_mm256_set1_ps(1.0f), _mm256_and_ps(sign, v));
    __m256       up = _mm256_and_ps(_mm256_cmp_ps(rest, half, _CMP_GE_OQ), one);

    return _mm256_add_ps(whole, up);
}

void nx_store_q8_0_avx2(void *dst, const float *src, int64_t n)
{
    for (int64_t b = 0; b < n / 32; b++, src += 32) {
        nx_block_q8_0 block = {0};
        float         d, inv;

        if (step_of(&d, &inv, amax_bits(src, 32))) {
            __m256i v[4];
            for (int i = 0; i < 4; i++) {
                __m256 x = _mm256_mul_ps(_mm256_loadu_ps(src + 8 * i), _mm256_set1_ps(inv));
                v[i] = _mm256_cvtps_epi32(round_away(x));
            }
            _mm256_storeu_si256((void *)block.qs, pack_bytes(v));
        }
        block.d = (uint16_t)_cvtss_sh(d, _MM_FROUND_TO_NEAREST_INT);
        memcpy((uint8_t *)dst + b * (int64_t)sizeof block, &block, sizeof block);
    }
}
