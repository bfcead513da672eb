/* fine_avx2.c - activations in codes of 16 bits for q8_0 weights, with AVX2.
 *
 * Idea:   the panel kernel of gemm_avx2.c spreads weights to int16 and multiplies them with int16 codes
 *         that were bytes. Codes that need all 16 bits go the same way: it is the bytes that wasted half
 *         of each product. A block's sum stays below 2^27.
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/gemm_avx2.h"
#include "backend/cpu/matmul_avx2.h"
#include "backend/cpu/ref/kernels_ref.h"

/* The step of 32 numbers and its inverse; 0 is the inverse of a step of NaN or 0. */
NX_INLINE float step_of(float *inv, const float *x)
{
    const __m256i mask = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i       top = _mm256_setzero_si256();

    for (int i = 0; i < 32; i += 8) { /* as bits: infinities and NaN order above all numbers */
        __m256i v = _mm256_loadu_si256((const void *)(x + i));
        top = _mm256_max_epi32(top, _mm256_and_si256(v, mask));
    }
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1));
    uint32_t bits = (uint32_t)_mm_cvtsi128_si32(m);

    *inv = 0;
    if (bits >= 0x7F800000u) return nx_f32_from_bits(0x7FC00000u);
    float d = nx_f32_from_bits(bits) / 32767.0f;
    if (d < NX_Q8_TINY) return 0;
    *inv = 1.0f / d;
    return d;
}

/* Sixteen codes, each four numbers in the order 0, 2, 1, 3: the pairs that gemm_avx2.c multiplies. */
NX_INLINE __m256i codes16(const float *x, float inv)
{
    const __m256i pairs = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0,
                                           1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    __m256        s = _mm256_set1_ps(inv);
    __m256i       a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), s));
    __m256i       b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), s));
    __m256i       v = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);

    return _mm256_shuffle_epi8(v, pairs);
}

void nx_quantize_q15_avx2(const nx_act *a, int32_t tile)
{
    int16_t *dst = (int16_t *)a->tiles + (int64_t)tile * NX_TILE_TOKENS * a->K;
    int64_t  n = a->K / 32;

    for (int64_t b = 0; b < n; b++, dst += 32 * NX_TILE_TOKENS) {
        __m256i first[NX_TILE_TOKENS], second[NX_TILE_TOKENS];
        for (int i = 0; i < NX_TILE_TOKENS; i++) {
            int32_t t = tile * NX_TILE_TOKENS + i;
            first[i] = second[i] = _mm256_setzero_si256();
            if (t >= a->T) continue;
            const float *x = a->x + t * a->K + b * 32;
            float        inv;
            a->d[t * n + b] = step_of(&inv, x);
            if (inv == 0) continue;
            first[i] = codes16(x, inv);
            second[i] = codes16(x + 16, inv);
        }
        nx_store_interleaved(dst, first, 2 * NX_TILE_TOKENS);
        nx_store_interleaved(dst + 16 * NX_TILE_TOKENS, second, 2 * NX_TILE_TOKENS);
    }
}

void nx_matmul_q15_avx2(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes, int64_t n_rows,
                        const nx_act *a, bool add, void *scratch)
{
    nx_gemm_avx2(NX_DTYPE_Q8_0, out, ldo, w, row_bytes, (int32_t)n_rows, a, add, scratch);
}
