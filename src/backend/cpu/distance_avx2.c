/* distance_avx2.c - distances of one query to many rows.
 *
 * Idea:   a scan waits for memory, so rows are read once, in order, with a request for the line
 *         that comes a kilobyte later; two rows go side by side, so that their additions hide each
 *         other's latency. lanes16 is two registers for each row.
 * Codes:  |x| as unsigned times q with x's sign, in pairs (maddubs): at most 2 * 127 * 127 < 2^15,
 *         so nothing saturates.
 * Thread: any; each call writes its own output.
 */
#include <math.h>

#include "backend/cpu/distance.h"
#include "backend/cpu/lanes_avx2.h"

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
NX_INLINE float finish(kind k, __m256 lo, __m256 hi, const float *q, const float *x, int32_t D)
{
    int32_t done = D / 16 * 16;
    float   acc[16];

    if (done == D) return nx_fold16(lo, hi);
    _mm256_storeu_ps(acc, lo);
    _mm256_storeu_ps(acc + 8, hi);
    for (int32_t i = done; i < D; i++) acc[i - done] = step1(k, acc[i - done], q[i], x[i]);
    return nx_fold16(_mm256_loadu_ps(acc), _mm256_loadu_ps(acc + 8));
}

/* R rows, a constant, `stride` apart. */
NX_INLINE void some_rows(kind k, int R, float *out, const float *q, const float *x, int64_t stride,
                         int32_t D)
{
    __m256 lo[2], hi[2];

    for (int r = 0; r < R; r++) lo[r] = hi[r] = _mm256_setzero_ps();
    for (int32_t i = 0; i + 16 <= D; i += 16) {
        __m256 q_lo = _mm256_loadu_ps(q + i), q_hi = _mm256_loadu_ps(q + i + 8);
        for (int r = 0; r < R; r++) {
            const float *p = x + r * stride + i;
            nx_prefetch((const uint8_t *)p);
            lo[r] = step(k, lo[r], q_lo, _mm256_loadu_ps(p));
            hi[r] = step(k, hi[r], q_hi, _mm256_loadu_ps(p + 8));
        }
    }
    for (int r = 0; r < R; r++) out[r] = finish(k, lo[r], hi[r], q, x + r * stride, D);
}

NX_INLINE void all_rows(kind k, float *out, const float *q, const float *rows, int64_t n,
                        int64_t stride, int32_t D)
{
    int64_t r = 0;

    for (; r + 2 <= n; r += 2) some_rows(k, 2, out + r, q, rows + r * stride, stride, D);
    if (r < n) some_rows(k, 1, out + r, q, rows + r * stride, stride, D);
}

static void dot(float *out, const float *q, const float *rows, int64_t n, int64_t stride, int32_t D)
{
    all_rows(DOT, out, q, rows, n, stride, D);
}

static void euclid(float *out, const float *q, const float *rows, int64_t n, int64_t stride,
                   int32_t D)
{
    all_rows(EUCLID, out, q, rows, n, stride, D);
}

static void manhattan(float *out, const float *q, const float *rows, int64_t n, int64_t stride,
                      int32_t D)
{
    all_rows(MANHATTAN, out, q, rows, n, stride, D);
}

NX_INLINE int32_t sum8(__m256i v)
{
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1));
    return _mm_cvtsi128_si32(x);
}

static void dot_i8(int32_t *out, const int8_t *q, const int8_t *rows, int64_t n, int64_t width)
{
    const __m256i ones = _mm256_set1_epi16(1);

    for (int64_t r = 0; r < n; r++) {
        const int8_t *p = rows + r * width;
        __m256i       sum = _mm256_setzero_si256();
        for (int64_t i = 0; i < width; i += 32) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(p + i));
            __m256i y = _mm256_loadu_si256((const __m256i *)(q + i));
            if (i % 64 == 0) nx_prefetch((const uint8_t *)(p + i));
            __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(y, x));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        }
        out[r] = sum8(sum);
    }
}

const nx_distance_ops nx_distances_avx2 = {
    .name = "avx2",
    .dot = dot,
    .euclid = euclid,
    .manhattan = manhattan,
    .dot_i8 = dot_i8,
};
