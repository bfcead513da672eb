/* gemv_avx2.c - quantised rows times a few tokens, weights read as they lie in the file.
 *
 * Idea:   eight rows at a time. Each row's 32 numbers become eight int32 partial sums; a tree of
 *         additions turns eight such vectors into one whose lane r is row r's exact integer sum.
 *         Then one fused step per block, eight rows wide: the reference's steps, bit for bit.
 *         Blocks of 32 are light work, so there the order of reading counts: each row is walked
 *         alone, eight of its blocks at a time, and what they give is kept as columns until eight
 *         rows can be added side by side. Eight rows abreast read 26 GB/s where this reads 31 (of
 *         34): the processor doesn't run ahead of eight streams.
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/levels_avx2.h"
#include "backend/cpu/matmul_avx2.h"

/* Cache lines of what comes next, asked for while this panel is computed. */
typedef struct prefetch {
    const uint8_t *at;
    size_t         left;
} prefetch;

NX_INLINE void prefetch_lines(prefetch *p, size_t bytes)
{
    size_t n = bytes < p->left ? bytes : p->left;

    if (n == 0) return;
    for (size_t i = 0; i < n; i += 64) _mm_prefetch((const char *)p->at + i, _MM_HINT_T1);
    p->at += n;
    p->left -= n;
}

#define SEGMENT     512  /* blocks of 32 kept as columns: rows of 16384 numbers in one go */
#define AHEAD_BYTES 2048 /* a line is asked for this far before its use; half and twice is slower */

/* isum[r]: exact integer sums of len blocks of row r from b0 on; d[r] their factors, m[r] their
 * minima. len is a multiple of eight. */
NX_INLINE void fill_columns(float isum[8][SEGMENT], float d[8][SEGMENT], float m[8][SEGMENT],
                            nx_dtype dtype, const uint8_t *const rows[8], const nx_act *a,
                            int64_t first, int64_t b0, int64_t len)
{
    const size_t   block_bytes = nx_block_bytes(dtype);
    const int8_t  *q = a->q + (first + b0) * 32;
    const float   *d_act = a->d + first + b0;
    const int32_t *sums = a->sum32 + first + b0;
    const __m256i  ones = _mm256_set1_epi16(1);
    const int      offset = nx_raw_offset(dtype);

    for (int r = 0; r < 8; r++) {
        for (int64_t j = 0; j < len; j += 8) {
            const uint8_t *w = rows[r] + (size_t)(b0 + j) * block_bytes;
            const uint8_t *at[8];
            __m256i        v[8];

            for (size_t i = 0; i < 8 * block_bytes; i += 64)
                _mm_prefetch((const char *)w + AHEAD_BYTES + i, _MM_HINT_T0);
            for (int k = 0; k < 8; k++) {
                __m256i codes = _mm256_loadu_si256((const void *)(q + (j + k) * 32));
                at[k] = w + (size_t)k * block_bytes;
                v[k] = _mm256_madd_epi16(nx_pair_dot(nx_raw(at[k], dtype, 0), codes, dtype), ones);
            }
            __m256i sum = nx_sum_rows(v);
            if (offset)
                sum = _mm256_sub_epi32(
                    sum, _mm256_slli_epi32(_mm256_loadu_si256((const void *)(sums + j)),
                                           __builtin_ctz((unsigned)offset)));
            _mm256_storeu_ps(isum[r] + j, _mm256_cvtepi32_ps(sum));
            _mm256_storeu_ps(d[r] + j, _mm256_mul_ps(nx_load_halves(at, nx_offset_d(dtype)),
                                                     _mm256_loadu_ps(d_act + j)));
            if (nx_has_min(dtype))
                _mm256_storeu_ps(m[r] + j, nx_load_halves(at, nx_offset_min(dtype)));
        }
    }
}

/* v[k] becomes column j + k of eight rows. */
NX_INLINE void load_columns(__m256i v[8], float (*from)[SEGMENT], int64_t j)
{
    for (int r = 0; r < 8; r++) v[r] = _mm256_loadu_si256((const void *)(from[r] + j));
    nx_transpose8(v);
}

/* Eight rows, blocks of 32, one token: all blocks but the last n % 8. */
NX_INLINE __m256 rows_q8_by_row(nx_dtype dtype, const uint8_t *const rows[8], const nx_act *a,
                                int32_t t)
{
    const int64_t n = a->K / 32, n_whole = n / 8 * 8;
    const float  *s = a->s + t * n;
    __m256        acc = _mm256_setzero_ps();
    float         isum[8][SEGMENT], d[8][SEGMENT], m[8][SEGMENT];

    for (int64_t b0 = 0; b0 < n_whole; b0 += SEGMENT) {
        int64_t len = n_whole - b0 < SEGMENT ? n_whole - b0 : SEGMENT;
        fill_columns(isum, d, m, dtype, rows, a, t * n, b0, len);
        for (int64_t j = 0; j < len; j += 8) {
            __m256i i8[8], d8[8], m8[8];
            load_columns(i8, isum, j);
            load_columns(d8, d, j);
            if (nx_has_min(dtype)) load_columns(m8, m, j);
            for (int k = 0; k < 8; k++) {
                acc = _mm256_fmadd_ps(_mm256_castsi256_ps(d8[k]), _mm256_castsi256_ps(i8[k]), acc);
                if (nx_has_min(dtype))
                    acc = _mm256_fmadd_ps(_mm256_castsi256_ps(m8[k]), _mm256_set1_ps(s[b0 + j + k]),
                                          acc);
            }
        }
    }
    return acc;
}

/* Eight rows, blocks of 32, one token. */
NX_INLINE __m256 rows_q8(nx_dtype dtype, const uint8_t *const rows[8], const nx_act *a, int32_t t)
{
    const size_t   block_bytes = nx_block_bytes(dtype);
    const int64_t  n = a->K / 32;
    const int8_t  *q = a->q + t * a->K;
    const float   *d = a->d + t * n, *s = a->s + t * n;
    const int32_t *sums = a->sum32 + t * n;
    const __m256i  ones = _mm256_set1_epi16(1);
    const int      offset = nx_raw_offset(dtype);
    __m256         acc = rows_q8_by_row(dtype, rows, a, t);
    __m256i        v[8];

    for (int64_t b = n / 8 * 8; b < n; b++) {
        const size_t  at = (size_t)b * block_bytes;
        const __m256i codes = _mm256_loadu_si256((const void *)(q + b * 32));

        for (int r = 0; r < 8; r++)
            v[r] =
                _mm256_madd_epi16(nx_pair_dot(nx_raw(rows[r] + at, dtype, 0), codes, dtype), ones);
        __m256i isum = nx_sum_rows(v);
        if (offset) isum = _mm256_sub_epi32(isum, _mm256_set1_epi32(offset * sums[b]));
        __m256 dw = nx_load_halves(rows, at + nx_offset_d(dtype));
        acc =
            _mm256_fmadd_ps(_mm256_mul_ps(dw, _mm256_set1_ps(d[b])), _mm256_cvtepi32_ps(isum), acc);
        if (nx_has_min(dtype))
            acc = _mm256_fmadd_ps(nx_load_halves(rows, at + nx_offset_min(dtype)),
                                  _mm256_set1_ps(s[b]), acc);
    }
    return acc;
}

/* One row's block of 256: eight partial sums of scale * level * code, and of min * sum. */
NX_INLINE __m256i block_q8k(__m256i *msum, nx_dtype dtype, const uint8_t *p, const int8_t *q,
                            __m256i sums)
{
    __m256i mins, scales = nx_scales(&mins, p, dtype);
    /* Even runs in the low half, odd runs in the high half: one byte shuffle then gives both
     * scales of 32 numbers. */
    __m256i split = _mm256_shuffle_epi8(
        scales, _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5,
                                 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    split = _mm256_permute4x64_epi64(split, _MM_SHUFFLE(3, 1, 2, 0));
    __m256i isum = _mm256_setzero_si256();

    for (int g = 0; g < 8; g++) {
        __m256i codes = _mm256_loadu_si256((const void *)(q + 32 * g));
        __m256i pairs = nx_pair_dot(nx_raw(p, dtype, g), codes, dtype);
        __m256i pick = _mm256_set1_epi16((short)(2 * g | (2 * g + 1) << 8));
        isum = _mm256_add_epi32(isum, _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(split, pick)));
    }
    if (nx_raw_offset(dtype)) {
        __m256i shift = _mm256_madd_epi16(scales, sums);
        isum = _mm256_sub_epi32(
            isum, _mm256_slli_epi32(shift, __builtin_ctz((unsigned)nx_raw_offset(dtype))));
    }
    *msum = _mm256_madd_epi16(mins, sums);
    return isum;
}

/* Eight rows, blocks of 256, one token. */
NX_INLINE __m256 rows_q8k(nx_dtype dtype, const uint8_t *const rows[8], const nx_act *a, int32_t t,
                          prefetch *pf)
{
    const size_t  block_bytes = nx_block_bytes(dtype);
    const int64_t n = a->K / 256;
    __m256        acc = _mm256_setzero_ps();
    __m256i       v[8], m[8];

    for (int64_t b = 0; b < n; b++) {
        const size_t  at = (size_t)b * block_bytes;
        const int8_t *q = a->q + t * a->K + b * 256;
        const __m256i sums = _mm256_loadu_si256((const void *)(a->sum16 + (t * n + b) * 16));
        const __m256  d = _mm256_set1_ps(a->d[t * n + b]);

        for (int r = 0; r < 8; r++) {
            prefetch_lines(pf, block_bytes);
            v[r] = block_q8k(&m[r], dtype, rows[r] + at, q, sums);
        }
        __m256 dw = _mm256_mul_ps(nx_load_halves(rows, at + nx_offset_d(dtype)), d);
        acc = _mm256_fmadd_ps(dw, _mm256_cvtepi32_ps(nx_sum_rows(v)), acc);
        if (nx_has_min(dtype)) {
            dw = _mm256_mul_ps(nx_load_halves(rows, at + nx_offset_min(dtype)), d);
            acc = _mm256_fnmadd_ps(dw, _mm256_cvtepi32_ps(nx_sum_rows(m)), acc);
        }
    }
    return acc;
}

static void put_rows(float *out, __m256 y, int32_t n_rows, bool add)
{
    float v[8];

    if (n_rows == 8) {
        if (add) y = _mm256_add_ps(_mm256_loadu_ps(out), y);
        _mm256_storeu_ps(out, y);
        return;
    }
    _mm256_storeu_ps(v, y);
    for (int r = 0; r < n_rows; r++) out[r] = add ? out[r] + v[r] : v[r];
}

NX_INLINE void gemv(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                    int32_t n_rows, const nx_act *a, bool add, const uint8_t *next)
{
    prefetch pf = {next, next ? (size_t)n_rows * row_bytes : 0};

    for (int32_t r0 = 0; r0 < n_rows; r0 += 8) {
        const uint8_t *rows[8];
        int32_t        n = n_rows - r0 < 8 ? n_rows - r0 : 8;

        for (int r = 0; r < 8; r++) /* the last row stands in for missing ones */
            rows[r] = w + (size_t)(r0 + (r < n ? r : n - 1)) * row_bytes;
        for (int32_t t = 0; t < a->T; t++) {
            __m256 y = nx_block_is_32(dtype) ? rows_q8(dtype, rows, a, t)
                                             : rows_q8k(dtype, rows, a, t, &pf);
            put_rows(out + t * ldo + r0, y, n, add);
        }
    }
}

/* Each case is a kernel of its own, compiled for its type. */
#define CASE(NAME)                                                                                 \
    case NX_DTYPE_##NAME: gemv(NX_DTYPE_##NAME, out, ldo, w, row_bytes, n_rows, a, add, next); break

void nx_gemv_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                  int32_t n_rows, const nx_act *a, bool add, const uint8_t *next)
{
    switch (dtype) {
        CASE(Q4_0);
        CASE(Q4_1);
        CASE(Q5_0);
        CASE(Q5_1);
        CASE(Q8_0);
        CASE(IQ4_NL);
        CASE(Q2_K);
        CASE(Q3_K);
        CASE(Q4_K);
        CASE(Q5_K);
        CASE(Q6_K);
        CASE(IQ4_XS);
    default: break; /* plain types have kernels of their own */
    }
}
