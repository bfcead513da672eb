/* plain_avx2.c - f32, f16 and bf16 rows times activations.
 *
 * Idea:   lanes16 of backend.h is two registers per output; a tile of R rows and C tokens keeps
 *         2 R C of them. Rows or tokens past the end repeat the last, and are not stored.
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/lanes_avx2.h"
#include "backend/cpu/matmul_avx2.h"

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

#define TILE_MAX 6 /* R * C: twelve sums, and registers left for what is multiplied */

/* Eight columns of R f32 rows and C tokens. The tokens' numbers stay in registers: fewer loads than
 * products, and room for twelve sums. */
NX_INLINE void step8(__m256 acc[], int R, int C, const uint8_t *const w[], const float *const x[],
                     int64_t k)
{
    __m256 xs[TILE_MAX];

    for (int c = 0; c < C; c++) xs[c] = _mm256_loadu_ps(x[c] + k);
    for (int r = 0; r < R; r++) {
        __m256 ws = _mm256_loadu_ps((const float *)(const void *)w[r] + k);
        for (int c = 0; c < C; c++) acc[r * C + c] = _mm256_fmadd_ps(ws, xs[c], acc[r * C + c]);
    }
}

/* R rows x C tokens, both constants: y[r][c]. */
NX_INLINE void tile(float *y, nx_dtype dtype, int R, int C, const uint8_t *const w[],
                    const float *const x[], int64_t K)
{
    __m256 lo[TILE_MAX], hi[TILE_MAX];

    for (int i = 0; i < R * C; i++) lo[i] = hi[i] = _mm256_setzero_ps();
    for (int64_t k = 0; k + 16 <= K; k += 16) {
        if (dtype == NX_DTYPE_F32 && C > 1) {
            step8(lo, R, C, w, x, k);
            step8(hi, R, C, w, x, k + 8);
            continue;
        }
        for (int r = 0; r < R; r++) {
            __m256 w_lo, w_hi;
            nx_load16(&w_lo, &w_hi, w[r], dtype, k);
            if (C == 1) nx_prefetch(w[r] + (size_t)k * (dtype == NX_DTYPE_F32 ? 4 : 2));
            for (int c = 0; c < C; c++) {
                lo[r * C + c] = _mm256_fmadd_ps(w_lo, _mm256_loadu_ps(x[c] + k), lo[r * C + c]);
                hi[r * C + c] = _mm256_fmadd_ps(w_hi, _mm256_loadu_ps(x[c] + k + 8), hi[r * C + c]);
            }
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            y[r * C + c] = finish(lo[r * C + c], hi[r * C + c], w[r], dtype, x[c], K);
}

NX_INLINE void put(float *o, float y, bool add)
{
    *o = add ? *o + y : y;
}

/* n rows (1 to R), `stride` rows apart, all tokens C at a time. */
NX_INLINE void tiles_of_rows(nx_dtype dtype, int R, int C, float *out, int64_t ldo,
                             const uint8_t *w, size_t row_bytes, int64_t stride, int64_t n,
                             const nx_act *a, bool add)
{
    const uint8_t *ws[TILE_MAX];
    const float   *xs[TILE_MAX];
    float          y[TILE_MAX];

    for (int64_t r = 0; r < R; r++) ws[r] = w + (size_t)((r < n ? r : n - 1) * stride) * row_bytes;
    for (int32_t t0 = 0; t0 < a->T; t0 += C) {
        for (int c = 0; c < C; c++) xs[c] = a->x + (t0 + c < a->T ? t0 + c : a->T - 1) * a->K;
        tile(y, dtype, R, C, ws, xs, a->K);
        for (int c = 0; c < C && t0 + c < a->T; c++)
            for (int64_t r = 0; r < n; r++)
                put(out + (t0 + c) * ldo + r * stride, y[r * C + c], add);
    }
}

/* R rows at a time, one of each of R bands: memory is read in long streams (gemv_avx2.c). */
NX_INLINE void bands(nx_dtype dtype, int R, int C, float *out, int64_t ldo, const uint8_t *w,
                     size_t row_bytes, int64_t n_rows, const nx_act *a, bool add)
{
    const int64_t band = n_rows / R, rest = n_rows % R;

    for (int64_t i = 0; i < band; i++)
        tiles_of_rows(dtype, R, C, out + i, ldo, w + (size_t)i * row_bytes, row_bytes, band, R, a,
                      add);
    if (rest)
        tiles_of_rows(dtype, R, C, out + R * band, ldo, w + (size_t)(R * band) * row_bytes,
                      row_bytes, 1, rest, a, add);
}

/* Few rows and many tokens: the rows stay in the second cache, and each C tokens in the first while all
 * rows pass by. */
NX_INLINE void panel(nx_dtype dtype, int R, int C, float *out, int64_t ldo, const uint8_t *w,
                     size_t row_bytes, int64_t n_rows, const nx_act *a, bool add)
{
    const uint8_t *ws[TILE_MAX];
    const float   *xs[TILE_MAX];
    float          y[TILE_MAX];

    for (int32_t t0 = 0; t0 < a->T; t0 += C) {
        for (int c = 0; c < C; c++) xs[c] = a->x + (t0 + c < a->T ? t0 + c : a->T - 1) * a->K;
        for (int64_t r0 = 0; r0 < n_rows; r0 += R) {
            for (int64_t r = 0; r < R; r++)
                ws[r] = w + (size_t)(r0 + r < n_rows ? r0 + r : n_rows - 1) * row_bytes;
            tile(y, dtype, R, C, ws, xs, a->K);
            for (int c = 0; c < C && t0 + c < a->T; c++)
                for (int64_t r = 0; r < R && r0 + r < n_rows; r++)
                    put(out + (t0 + c) * ldo + r0 + r, y[r * C + c], add);
        }
    }
}

NX_INLINE void plain(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                     int64_t n_rows, const nx_act *a, bool add)
{
    bands(dtype, 4, 1, out, ldo, w, row_bytes, n_rows, a, add);
}

void nx_plain_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                   int64_t n_rows, const nx_act *a, bool add)
{
    if (a->T > 2)
        nx_plain_gemm_avx2(dtype, out, ldo, w, row_bytes, n_rows, a, add);
    else if (dtype == NX_DTYPE_F32)
        plain(NX_DTYPE_F32, out, ldo, w, row_bytes, n_rows, a, add);
    else if (dtype == NX_DTYPE_F16)
        plain(NX_DTYPE_F16, out, ldo, w, row_bytes, n_rows, a, add);
    else
        plain(NX_DTYPE_BF16, out, ldo, w, row_bytes, n_rows, a, add);
}
