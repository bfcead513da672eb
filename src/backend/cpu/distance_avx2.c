/* distance_avx2.c - distances of one query to many rows.
 *
 * Idea:   a scan waits for memory, so rows are read once, one after the other, which the processor's
 *         own prefetcher follows best: two rows side by side, or lines asked for a kilobyte before,
 *         read a fifth to a third slower. lanes16 is two registers.
 * Codes:  |q| as unsigned times x with q's sign, in pairs (maddubs): at most 2 * 127 * 127 < 2^15,
 *         so nothing saturates. One row after the other, since four side by side read a fifth slower;
 *         but the sums of four are folded together. Lines are asked for 1536 bytes before they
 *         are needed; without that it reads a sixth slower.
 * Thread: any; each call writes its own output.
 */
#include <math.h>

#include "backend/cpu/distance.h"
#include "backend/cpu/lanes_avx2.h"

enum { CODES_AHEAD = 1536 };

typedef enum kind { DOT, EUCLID, MANHATTAN } kind;

NX_INLINE __m256 step(kind k, __m256 acc, __m256 q, __m256 x)
{
    if (k == DOT) return _mm256_fmadd_ps(q, x, acc);
    __m256 d = _mm256_sub_ps(q, x);
    if (k == EUCLID) return _mm256_fmadd_ps(d, d, acc);
    return _mm256_add_ps(acc, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d));
}

NX_INLINE float step1(kind k, float acc, float q, float x)
{
    float d = q - x;

    if (k == DOT) return fmaf(q, x, acc);
    return k == EUCLID ? fmaf(d, d, acc) : acc + fabsf(d);
}

/* Fold, after the numbers past the last whole sixteen. */
NX_INLINE float finish(kind k, nx_dtype dtype, __m256 lo, __m256 hi, const float *q,
                       const uint8_t *x, int32_t D)
{
    int32_t done = D / 16 * 16;
    float   acc[16];

    if (done == D) return nx_fold16(lo, hi);
    _mm256_storeu_ps(acc, lo);
    _mm256_storeu_ps(acc + 8, hi);
    for (int32_t i = done; i < D; i++)
        acc[i - done] = step1(k, acc[i - done], q[i], nx_load1(x, dtype, i));
    return nx_fold16(_mm256_loadu_ps(acc), _mm256_loadu_ps(acc + 8));
}

NX_INLINE float one_row(kind k, nx_dtype dtype, const float *q, const uint8_t *x, int32_t D)
{
    __m256 lo = _mm256_setzero_ps(), hi = lo, a, b;

    for (int32_t i = 0; i + 16 <= D; i += 16) {
        nx_load16(&a, &b, x, dtype, i);
        lo = step(k, lo, _mm256_loadu_ps(q + i), a);
        hi = step(k, hi, _mm256_loadu_ps(q + i + 8), b);
    }
    return finish(k, dtype, lo, hi, q, x, D);
}

/* Kind and type are constants here, so that every function has its own loop. */
#define OF_ROWS(NAME, KIND, DTYPE, type)                                                           \
    static void NAME(float *out, const float *q, const type *rows, int64_t n, int64_t stride,      \
                     int32_t D)                                                                    \
    {                                                                                              \
        for (int64_t r = 0; r < n; r++)                                                            \
            out[r] = one_row(KIND, DTYPE, q, (const uint8_t *)(rows + r * stride), D);             \
    }

OF_ROWS(dot, DOT, NX_DTYPE_F32, float)
OF_ROWS(euclid, EUCLID, NX_DTYPE_F32, float)
OF_ROWS(manhattan, MANHATTAN, NX_DTYPE_F32, float)
OF_ROWS(dot_f16, DOT, NX_DTYPE_F16, uint16_t)
OF_ROWS(euclid_f16, EUCLID, NX_DTYPE_F16, uint16_t)
OF_ROWS(manhattan_f16, MANHATTAN, NX_DTYPE_F16, uint16_t)

NX_INLINE __m256i add_codes(__m256i sum, const int8_t *q, const int8_t *x)
{
    __m256i y = _mm256_loadu_si256((const __m256i *)q);
    __m256i z = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)x), y);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(y), z);

    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Eight sums, to be added up. */
NX_INLINE __m256i row_of_codes(const int8_t *q, const int8_t *x, int64_t width)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    int64_t i = 0;

    for (; i + 64 <= width; i += 64) {
        _mm_prefetch((const char *)x + i + CODES_AHEAD, _MM_HINT_T0);
        a = add_codes(a, q + i, x + i);
        b = add_codes(b, q + i + 32, x + i + 32);
    }
    if (i < width) a = add_codes(a, q + i, x + i);
    return _mm256_add_epi32(a, b);
}

/* Lane r is the sum of row r. */
NX_INLINE __m128i fold_codes(const __m256i s[4])
{
    __m256i x = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));

    return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

static void dot_i8(int32_t *out, const int8_t *q, const int8_t *rows, int64_t n, int64_t width)
{
    __m256i s[4];
    int64_t r = 0;

    for (; r + 4 <= n; r += 4) {
        for (int k = 0; k < 4; k++) s[k] = row_of_codes(q, rows + (r + k) * width, width);
        _mm_storeu_si128((__m128i *)(out + r), fold_codes(s));
    }
    for (; r < n; r++) {
        s[0] = s[1] = s[2] = s[3] = row_of_codes(q, rows + r * width, width);
        out[r] = _mm_cvtsi128_si32(fold_codes(s));
    }
}

const nx_distance_ops nx_distances_avx2 = {
    .name = "avx2",
    .dot = dot,
    .euclid = euclid,
    .manhattan = manhattan,
    .dot_f16 = dot_f16,
    .euclid_f16 = euclid_f16,
    .manhattan_f16 = manhattan_f16,
    .dot_i8 = dot_i8,
};
