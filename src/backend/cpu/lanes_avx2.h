/* lanes_avx2.h - small vector steps that several AVX2 kernels share. */
#ifndef NX_BACKEND_CPU_LANES_AVX2_H
#define NX_BACKEND_CPU_LANES_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "num/dtype.h"
#include "num/expf.h"
#include "num/half.h"

#define NX_INLINE static inline __attribute__((always_inline))

/* Ask for the line that a stream at p reads a kilobyte later (512 and 2048 are slower). Past the end
 * of the weights the request is void. */
NX_INLINE void nx_prefetch(const uint8_t *p)
{
    _mm_prefetch((const char *)p + 1024, _MM_HINT_T0);
}

/* Fold 16 lanes (lo: 0..7, hi: 8..15) in halves, as lanes16 does. */
NX_INLINE float nx_fold16(__m256 lo, __m256 hi)
{
    __m256 v = _mm256_add_ps(lo, hi);
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

/* The same of four at once, when lanes l and l + 8 have been added: number i of the result is that of
 * v_i. */
NX_INLINE __m128 nx_fold8_four(__m256 v0, __m256 v1, __m256 v2, __m256 v3)
{
    __m256 a =
        _mm256_add_ps(_mm256_permute2f128_ps(v0, v2, 0x20), _mm256_permute2f128_ps(v0, v2, 0x31));
    __m256 b =
        _mm256_add_ps(_mm256_permute2f128_ps(v1, v3, 0x20), _mm256_permute2f128_ps(v1, v3, 0x31));
    __m256 even = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
    __m256 odd = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
    __m256 c = _mm256_add_ps(even, odd); /* two lanes of 0, 1 | 2, 3 */

    c = _mm256_add_ps(c, _mm256_movehdup_ps(c));
    return _mm_shuffle_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1), 0x88);
}

/* Eight vectors of int32, each summed into its own lane. Exact, so the order is free. */
NX_INLINE __m256i nx_sum_rows(const __m256i v[8])
{
    __m256i a = _mm256_hadd_epi32(v[0], v[1]), b = _mm256_hadd_epi32(v[2], v[3]);
    __m256i c = _mm256_hadd_epi32(v[4], v[5]), d = _mm256_hadd_epi32(v[6], v[7]);
    a = _mm256_hadd_epi32(a, b);
    c = _mm256_hadd_epi32(c, d);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, c, 0x20),
                            _mm256_permute2x128_si256(a, c, 0x31));
}

/* v[r] holds eight dwords of row r; after it v[i] holds dword i of the eight rows. */
NX_INLINE void nx_transpose8(__m256i v[8])
{
    __m256i a[8];

    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        v[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        v[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        v[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        v[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x20);
        a[i + 4] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x31);
    }
    memcpy(v, a, sizeof a);
}

/* The halves of eight rows, `stride` bytes apart, as f32: lane r is row r. */
NX_INLINE __m256 nx_load_halves(const uint8_t *const p[8], size_t offset)
{
    uint16_t h[8];

    for (int r = 0; r < 8; r++) memcpy(&h[r], p[r] + offset, 2);
    __m128i v = _mm_cvtsi32_si128(h[0]);
    v = _mm_insert_epi16(v, h[1], 1);
    v = _mm_insert_epi16(v, h[2], 2);
    v = _mm_insert_epi16(v, h[3], 3);
    v = _mm_insert_epi16(v, h[4], 4);
    v = _mm_insert_epi16(v, h[5], 5);
    v = _mm_insert_epi16(v, h[6], 6);
    v = _mm_insert_epi16(v, h[7], 7);
    return _mm256_cvtph_ps(v);
}

/* Sixteen plain numbers from number i of a row, as f32. */
NX_INLINE void nx_load16(__m256 *lo, __m256 *hi, const uint8_t *row, nx_dtype dtype, int64_t i)
{
    if (dtype == NX_DTYPE_F32) {
        *lo = _mm256_loadu_ps((const float *)(const void *)(row + 4 * i));
        *hi = _mm256_loadu_ps((const float *)(const void *)(row + 4 * i + 32));
        return;
    }
    __m128i a = _mm_loadu_si128((const void *)(row + 2 * i));
    __m128i b = _mm_loadu_si128((const void *)(row + 2 * i + 16));
    if (dtype == NX_DTYPE_F16) {
        *lo = _mm256_cvtph_ps(a);
        *hi = _mm256_cvtph_ps(b);
    } else {
        *lo = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(a), 16));
        *hi = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(b), 16));
    }
}

/* One plain number. */
NX_INLINE float nx_load1(const uint8_t *row, nx_dtype dtype, int64_t i)
{
    uint16_t h;
    float    f;

    if (dtype == NX_DTYPE_F32) {
        memcpy(&f, row + 4 * i, sizeof f);
        return f;
    }
    memcpy(&h, row + 2 * i, sizeof h);
    return dtype == NX_DTYPE_F16 ? _cvtsh_ss(h) : nx_bf16_to_f32(h);
}

/* nx_expf, step by step. Lanes out of range are worked out at its edge and replaced at the end:
 * left as they are, they would meet subnormal powers of two, at a hundred cycles each. */
NX_INLINE __m256 nx_exp8(__m256 whole)
{
    __m256 x =
        _mm256_min_ps(_mm256_max_ps(whole, _mm256_set1_ps(NX_EXP_LO)), _mm256_set1_ps(NX_EXP_HI));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(NX_EXP_LOG2E)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-NX_EXP_LN2_HI), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(-NX_EXP_LN2_LO), r);
    __m256 p = _mm256_set1_ps(NX_EXP_C7);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(NX_EXP_C6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(NX_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(NX_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(NX_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(NX_EXP_C2));
    p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r), _mm256_set1_ps(1.0f));
    __m256i k = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(k, 1),
            bias = _mm256_set1_epi32(127);
    __m256i lo = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i hi = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(k, half), bias), 23);
    p = _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(lo)), _mm256_castsi256_ps(hi));

    __m256 below = _mm256_cmp_ps(whole, _mm256_set1_ps(NX_EXP_LO), _CMP_LT_OQ);
    __m256 above = _mm256_cmp_ps(whole, _mm256_set1_ps(NX_EXP_HI), _CMP_GT_OQ);
    __m256 nan = _mm256_cmp_ps(whole, whole, _CMP_UNORD_Q);
    p = _mm256_andnot_ps(below, p);
    p = _mm256_blendv_ps(p, _mm256_castsi256_ps(_mm256_set1_epi32(0x7F800000)), above);
    return _mm256_blendv_ps(p, whole, nan);
}

#endif
