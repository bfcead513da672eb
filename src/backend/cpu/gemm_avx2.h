/* gemm_avx2.h - what the two products of panels and tiles share. */
#ifndef NX_BACKEND_CPU_GEMM_AVX2_H
#define NX_BACKEND_CPU_GEMM_AVX2_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/lanes_avx2.h"

/* Keep two running sums in registers, added to in the order written. Left alone, gcc 12 -O3
 * regroups the additions of an unrolled loop and spills: 72 instead of 92 GMAC/s (q4_0). */
#define NX_PIN(a, b) __asm__("" : "+x"(a), "+x"(b))

/* sum += v, lanes of int32, in the register where the sum is. With NX_PIN it moves each time, and these
 * moves are a quarter of a loop that has no time for them. */
#define NX_ADD_TO(sum, v) __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(v))

/* Four tokens' dword i side by side, for the eight dwords of each. */
NX_INLINE void nx_store_interleaved(int16_t *dst, const __m256i v[4], int step)
{
    __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpacklo_epi32(v[2], v[3]);
    __m256i c = _mm256_unpackhi_epi32(v[0], v[1]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    __m256i r[4] = {_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b),
                    _mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d)};

    for (int i = 0; i < 4; i++) {
        _mm_store_si128((void *)(dst + i * step), _mm256_castsi256_si128(r[i]));
        _mm_store_si128((void *)(dst + (i + 4) * step), _mm256_extracti128_si256(r[i], 1));
    }
}

/* v[i]: two int16 of eight rows, for runs 2 i and 2 i + 1; to one vector for each run, twice in a
 * lane. */
NX_INLINE void nx_twice_each(__m256i out[16], const __m256i v[8])
{
    const __m256i low = _mm256_set1_epi32(0xFFFF);

    for (int i = 0; i < 8; i++) {
        __m256i a = _mm256_and_si256(v[i], low), b = _mm256_srli_epi32(v[i], 16);
        out[2 * i] = _mm256_or_si256(a, _mm256_slli_epi32(a, 16));
        out[2 * i + 1] = _mm256_or_si256(b, _mm256_slli_epi32(b, 16));
    }
}

/* acc[h] = fma(w_h * x, y_h, acc[h]), or with the product's sign turned. */
NX_INLINE void nx_add_scaled(float acc[NX_PANEL_ROWS], const float w[NX_PANEL_ROWS], float x,
                             __m256 y0, __m256 y1, bool minus)
{
    __m256 xs = _mm256_set1_ps(x);
    __m256 w0 = _mm256_mul_ps(_mm256_load_ps(w), xs), w1 = _mm256_mul_ps(_mm256_load_ps(w + 8), xs);
    __m256 a0 = _mm256_load_ps(acc), a1 = _mm256_load_ps(acc + 8);

    _mm256_store_ps(acc, minus ? _mm256_fnmadd_ps(w0, y0, a0) : _mm256_fmadd_ps(w0, y0, a0));
    _mm256_store_ps(acc + 8, minus ? _mm256_fnmadd_ps(w1, y1, a1) : _mm256_fmadd_ps(w1, y1, a1));
}

/* Ask for one block of eight rows, `ahead` of the one at `at` that is unpacked now. Sixteen rows at once
 * are more streams than the processor foresees, and for few tokens nothing else hides memory's answer.
 * Block by block: a burst for the whole chunk waits for itself. ahead 0: nothing. */
NX_INLINE void nx_prefetch_block(const uint8_t *const rows[8], size_t at, size_t ahead,
                                 size_t bytes)
{
    if (ahead == 0) return;
    for (int r = 0; r < 8; r++)
        for (size_t i = 0; i < bytes; i += 64)
            _mm_prefetch((const char *)((uintptr_t)rows[r] + at + ahead + i), _MM_HINT_T1);
}

/* From block b0 to its like in the next chunk of n blocks, or, at the end of the rows, in the first chunk
 * of the panel below (then it wraps). 0 for many tiles: their products give memory time enough. */
NX_INLINE size_t nx_bytes_ahead(int64_t b0, int n, int64_t n_blocks, size_t block_bytes,
                                size_t row_bytes, int32_t tiles)
{
    if (tiles > 8) return 0;
    if (b0 + n < n_blocks) return (size_t)n * block_bytes;
    return NX_PANEL_ROWS * row_bytes - (size_t)b0 * block_bytes;
}

/* Token t of a tile; past the last one, the last (its results are dropped). */
NX_INLINE int32_t nx_token_of(const nx_act *a, int32_t tile, int t)
{
    return tile * NX_TILE_TOKENS + t < a->T ? tile * NX_TILE_TOKENS + t : a->T - 1;
}

/* acc [T, NX_PANEL_ROWS] to n_rows of out. */
NX_INLINE void nx_put_panel(float *out, int64_t ldo, float acc[][NX_PANEL_ROWS], int32_t n_rows,
                            int32_t T, bool add)
{
    for (int32_t t = 0; t < T; t++, out += ldo) {
        if (n_rows < NX_PANEL_ROWS) {
            for (int r = 0; r < n_rows; r++) out[r] = add ? out[r] + acc[t][r] : acc[t][r];
            continue;
        }
        for (int r = 0; r < NX_PANEL_ROWS; r += 8) {
            __m256 y = _mm256_load_ps(acc[t] + r);
            if (add) y = _mm256_add_ps(_mm256_loadu_ps(out + r), y);
            _mm256_storeu_ps(out + r, y);
        }
    }
}

#endif
