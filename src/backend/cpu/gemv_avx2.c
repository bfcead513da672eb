/* gemv_avx2.c - quantised rows times a few tokens, weights read as they lie in the file.
 *
 * Idea:   eight rows at a time. Each row's 32 numbers become eight int32 partial sums; a tree of
 *         additions turns eight such vectors into one whose lane r is row r's exact integer sum.
 *         Then one fused step per block, eight rows wide: the reference's steps, bit for bit.
 * Memory: the rows of a thread are cut into eight bands, and a lane walks down its band. So memory
 *         is read in eight long streams, each asked for a little ahead. Eight neighbouring rows
 *         made one short piece after the other, which no prefetcher follows: 0.55 to 0.64 of a
 *         plain sweep's speed over a whole token, where bands reach 0.85.
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/levels_avx2.h"
#include "backend/cpu/matmul_avx2.h"

/* Sums of products of 32 numbers of eight rows, one lane a row. */
NX_INLINE __m256i dot32_rows(nx_dtype dtype, const uint8_t *const rows[8], size_t at,
                             const int8_t *q)
{
    const __m256i codes = _mm256_loadu_si256((const void *)q), ones = _mm256_set1_epi16(1);
    __m256i       v[8];

    for (int r = 0; r < 8; r++) {
        __m256i pairs = nx_pair_dot(nx_raw(rows[r] + at, dtype, 0), codes, dtype);
        v[r] = _mm256_madd_epi16(pairs, ones);
    }
    return nx_sum_rows(v);
}

/* 16 bytes of two rows, one in each half. */
NX_INLINE __m256i load_two(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)low)),
                                   _mm_loadu_si128((const void *)high), 1);
}

/* The fifth bits of two rows: byte i of a half is 16 when bit first + i of its row is set. */
NX_INLINE __m256i fifth_bits_two(const uint8_t *low, const uint8_t *high, int first)
{
    int32_t a, b;

    memcpy(&a, low, sizeof a);
    memcpy(&b, high, sizeof b);
    __m256i bits = _mm256_setr_epi32(a, a, a, a, b, b, b, b);
    int64_t from = 0x0101010101010101 * (first / 8);
    __m256i which =
        _mm256_setr_epi64x(from, from + 0x0101010101010101, from, from + 0x0101010101010101);
    const __m256i mask = _mm256_set1_epi64x((long long)0x8040201008040201u);
    bits = _mm256_and_si256(_mm256_shuffle_epi8(bits, which), mask);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bits, mask), _mm256_set1_epi8(16));
}

NX_INLINE bool nibbles_and_more(nx_dtype dtype)
{
    return dtype == NX_DTYPE_Q4_0 || dtype == NX_DTYPE_Q4_1 || dtype == NX_DTYPE_Q5_0 ||
           dtype == NX_DTYPE_Q5_1;
}

/* As dot32_rows for codes of 4 and 5 bits: two rows share a register, so that low and high nibbles
 * add up before they are widened, and the tree has half the leaves. int16 holds 16 products of
 * 4-bit codes (30480), 8 of 5-bit ones (31496). */
NX_INLINE __m256i dot32_nibbles(nx_dtype dtype, const uint8_t *const rows[8], size_t at,
                                const int8_t *q)
{
    const bool   five = dtype == NX_DTYPE_Q5_0 || dtype == NX_DTYPE_Q5_1;
    const size_t bits =
        at + (dtype == NX_DTYPE_Q5_0 ? offsetof(nx_block_q5_0, qh) : offsetof(nx_block_q5_1, qh));
    const size_t  codes = at + nx_block_bytes(dtype) - 16;
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    const __m256i x0 = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)q));
    const __m256i x1 = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(q + 16)));
    __m256i       v[4];

    for (int i = 0; i < 4; i++) {
        __m256i w = load_two(rows[i] + codes, rows[i + 4] + codes);
        __m256i w0 = _mm256_and_si256(w, low);
        __m256i w1 = _mm256_and_si256(_mm256_srli_epi16(w, 4), low);
        if (five) {
            w0 = _mm256_or_si256(w0, fifth_bits_two(rows[i] + bits, rows[i + 4] + bits, 0));
            w1 = _mm256_or_si256(w1, fifth_bits_two(rows[i] + bits, rows[i + 4] + bits, 16));
        }
        v[i] = _mm256_add_epi16(_mm256_maddubs_epi16(w0, x0), _mm256_maddubs_epi16(w1, x1));
    }
    __m256i a =
        _mm256_add_epi16(_mm256_unpacklo_epi64(v[0], v[1]), _mm256_unpackhi_epi64(v[0], v[1]));
    __m256i b =
        _mm256_add_epi16(_mm256_unpacklo_epi64(v[2], v[3]), _mm256_unpackhi_epi64(v[2], v[3]));
    if (five) return _mm256_hadd_epi32(_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
    __m256  fa = _mm256_castsi256_ps(a), fb = _mm256_castsi256_ps(b);
    __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(fa, fb, 0x88));
    __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(fa, fb, 0xDD));
    return _mm256_madd_epi16(_mm256_add_epi16(even, odd), ones);
}

/* Eight rows, blocks of 32, one token. */
NX_INLINE __m256 rows_q8(nx_dtype dtype, const uint8_t *const rows[8], const nx_act *a, int32_t t)
{
    const size_t   block_bytes = nx_block_bytes(dtype);
    const int64_t  n = a->K / 32;
    const int8_t  *q = a->q + t * a->K;
    const float   *d = a->d + t * n, *s = a->s + t * n;
    const int32_t *sums = a->sum32 + t * n;
    const int      offset = nx_raw_offset(dtype);
    __m256         acc = _mm256_setzero_ps();

    for (int64_t b = 0; b < n; b++) {
        const size_t at = (size_t)b * block_bytes;

        if (b % (64 / (int64_t)block_bytes) == 0)
            for (int r = 0; r < 8; r++) nx_prefetch(rows[r] + at);
        __m256i isum = nibbles_and_more(dtype) ? dot32_nibbles(dtype, rows, at, q + b * 32)
                                               : dot32_rows(dtype, rows, at, q + b * 32);
        if (offset)
            isum = _mm256_sub_epi32(isum, _mm256_slli_epi32(_mm256_set1_epi32(sums[b]),
                                                            __builtin_ctz((unsigned)offset)));
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
NX_INLINE __m256 rows_q8k(nx_dtype dtype, const uint8_t *const rows[8], const nx_act *a, int32_t t)
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
            for (size_t i = 0; i < block_bytes; i += 64) nx_prefetch(rows[r] + at + i);
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

/* Rows of each band that are finished before they are written: one cache line of outputs. */
#define STEP 16

/* y[i][r]: row i of band r, for n rows of each of n_bands bands. */
static void put_bands(float *out, int64_t band, float y[STEP][8], int64_t n_bands, int64_t n,
                      bool add)
{
    for (int64_t r = 0; r < n_bands; r++, out += band)
        for (int64_t i = 0; i < n; i++) out[i] = add ? out[i] + y[i][r] : y[i][r];
}

/* Rows 0 .. n - 1 (n <= STEP) of each of n_bands bands (1 to 8; the last stands in for missing
 * ones), all tokens. w: row 0 of the first band. */
NX_INLINE void walk_bands(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w,
                          size_t row_bytes, int64_t band, int64_t n_bands, int64_t n,
                          const nx_act *a, bool add)
{
    for (int32_t t = 0; t < a->T; t++) {
        float y[STEP][8];

        for (int64_t i = 0; i < n; i++) {
            const uint8_t *rows[8];
            for (int64_t r = 0; r < 8; r++)
                rows[r] = w + (size_t)((r < n_bands ? r : n_bands - 1) * band + i) * row_bytes;
            _mm256_storeu_ps(y[i], nx_block_is_32(dtype) ? rows_q8(dtype, rows, a, t)
                                                         : rows_q8k(dtype, rows, a, t));
        }
        put_bands(out + t * ldo, band, y, n_bands, n, add);
    }
}

NX_INLINE void gemv(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                    int64_t n_rows, const nx_act *a, bool add)
{
    /* An odd number of rows: bands a multiple of a page apart would meet in the same sets of the
     * caches. What is left over is another, smaller, share. */
    const int64_t band = n_rows >= 16 ? (n_rows / 8 - 1) | 1 : n_rows / 8;
    int64_t       done = 8 * band;

    for (int64_t i = 0; i < band; i += STEP)
        walk_bands(dtype, out + i, ldo, w + (size_t)i * row_bytes, row_bytes, band, 8,
                   band - i < STEP ? band - i : STEP, a, add);
    for (; done < n_rows; done += 8)
        walk_bands(dtype, out + done, ldo, w + (size_t)done * row_bytes, row_bytes, 1,
                   n_rows - done < 8 ? n_rows - done : 8, 1, a, add);
}

/* Each case is a kernel of its own, compiled for its type. */
#define CASE(NAME)                                                                                 \
    case NX_DTYPE_##NAME: gemv(NX_DTYPE_##NAME, out, ldo, w, row_bytes, n_rows, a, add); break

void nx_gemv_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                  int64_t n_rows, const nx_act *a, bool add)
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
