/* plain_avx2.c - f32, f16 and bf16 rows times one token or two.
 *
 * Idea:   memory is what it waits for: four rows far apart are read in long streams (gemv_avx2.c), each
 *         with the two registers of lanes16 of backend.h. Rows past the end repeat the last, and are not
 *         stored.
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/lanes_avx2.h"
#include "backend/cpu/matmul_avx2.h"

#define ROWS 4

/* Fold, after the numbers past the last whole sixteen: lane l takes number k16 + l. */
NX_INLINE float finish(__m256 lo, __m256 hi, const uint8_t *w, nx_dtype dtype, const float *x,
                       int64_t K)
{
    int64_t k16 = K / 16 * 16;
    float   acc[16];

    if (k16 == K) return nx_fold16(lo, hi);
    _mm256_storeu_ps(acc, lo);
    _mm256_storeu_ps(acc + 8, hi);
    for (int64_t i = k16; i < K; i++)
        acc[i - k16] = fmaf(nx_load1(w, dtype, i), x[i], acc[i - k16]);
    return nx_fold16(_mm256_loadu_ps(acc), _mm256_loadu_ps(acc + 8));
}

/* y[r] of four rows. */
NX_INLINE void dots(float y[ROWS], nx_dtype dtype, const uint8_t *const w[ROWS], const float *x,
                    int64_t K)
{
    __m256 lo[ROWS], hi[ROWS];

    for (int r = 0; r < ROWS; r++) lo[r] = hi[r] = _mm256_setzero_ps();
    for (int64_t k = 0; k + 16 <= K; k += 16) {
        __m256 x_lo = _mm256_loadu_ps(x + k), x_hi = _mm256_loadu_ps(x + k + 8);
        for (int r = 0; r < ROWS; r++) {
            __m256 w_lo, w_hi;
            nx_load16(&w_lo, &w_hi, w[r], dtype, k);
            nx_prefetch(w[r] + (size_t)k * (dtype == NX_DTYPE_F32 ? 4 : 2));
            lo[r] = _mm256_fmadd_ps(w_lo, x_lo, lo[r]);
            hi[r] = _mm256_fmadd_ps(w_hi, x_hi, hi[r]);
        }
    }
    for (int r = 0; r < ROWS; r++) y[r] = finish(lo[r], hi[r], w[r], dtype, x, K);
}

/* n rows (1 to ROWS), `stride` rows apart, with all tokens. */
NX_INLINE void rows(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                    int64_t stride, int64_t n, const nx_act *a, bool add)
{
    const uint8_t *ws[ROWS];
    float          y[ROWS];

    for (int64_t r = 0; r < ROWS; r++)
        ws[r] = w + (size_t)((r < n ? r : n - 1) * stride) * row_bytes;
    for (int32_t t = 0; t < a->T; t++, out += ldo) {
        dots(y, dtype, ws, a->x + t * a->K, a->K);
        for (int64_t r = 0; r < n; r++) out[r * stride] = add ? out[r * stride] + y[r] : y[r];
    }
}

/* Four rows at a time, one of each of four bands. */
NX_INLINE void bands(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                     int64_t n_rows, const nx_act *a, bool add)
{
    const int64_t band = n_rows / ROWS, rest = n_rows % ROWS;

    for (int64_t i = 0; i < band; i++)
        rows(dtype, out + i, ldo, w + (size_t)i * row_bytes, row_bytes, band, ROWS, a, add);
    if (rest)
        rows(dtype, out + ROWS * band, ldo, w + (size_t)(ROWS * band) * row_bytes, row_bytes, 1,
             rest, a, add);
}

void nx_plain_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                   int64_t n_rows, const nx_act *a, bool add)
{
    if (a->T > 2)
        nx_plain_gemm_avx2(dtype, out, ldo, w, row_bytes, n_rows, a, add);
    else if (dtype == NX_DTYPE_F32)
        bands(NX_DTYPE_F32, out, ldo, w, row_bytes, n_rows, a, add);
    else if (dtype == NX_DTYPE_F16)
        bands(NX_DTYPE_F16, out, ldo, w, row_bytes, n_rows, a, add);
    else
        bands(NX_DTYPE_BF16, out, ldo, w, row_bytes, n_rows, a, add);
}
