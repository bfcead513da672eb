/* gemm8_avx2.c - rows of unsigned codes (2 to 6 bits) times many tokens, in bytes.
 *
 * Idea:   as gemm_avx2.c, with panels of bytes: one multiply-add does 32 products of unsigned codes
 *         and signed activations into int16. Codes are small, so several such sums fit int16
 *         before they are widened: eight for 4 bits, four for 5, two for 6. Widening multiplies by
 *         the integer scale of the sub-block where there is one. What the codes are too high by
 *         (8 for q4_0) comes off at the end of a block, by the sums of the activations.
 * Shape:  16 rows x 4 tokens; a granule is four numbers of each row, one dword a lane.
 * Thread: any; each call writes its own outputs and scratch.
 */
#include <assert.h>

#include "backend/cpu/gemm_avx2.h"
#include "backend/cpu/levels_avx2.h"
#include "backend/cpu/matmul_avx2.h"

#define ROWS   NX_PANEL_ROWS
#define TOKENS NX_TILE_TOKENS
#define COLS   NX_PANEL_COLS

typedef struct panel {
    uint8_t w[COLS / 4][ROWS][4];
    int16_t scales[COLS / 16][ROWS][2]; /* blocks of 256: the scale of a run of 16, twice */
    int16_t pairs[COLS / 32][ROWS][2];  /* of two runs: minima, or scales where codes are offset */
    float   d[COLS / 32][ROWS];         /* one per block: 32 or 256 numbers */
    float   m[COLS / 32][ROWS];         /* m or dmin */
    float   acc[NX_PANEL_TOKENS][ROWS];
} panel;

_Static_assert(sizeof(panel) <= NX_PANEL_SCRATCH, "a panel fits the scratch of a thread");

/* -------- codes of activations in tiles: [K / 4][TOKENS][4] int8 -------- */

static int8_t *tile_at(const nx_act *a, int32_t tile)
{
    return (int8_t *)a->tiles + (int64_t)tile * TOKENS * a->K;
}

void nx_gemm8_pack_avx2(const nx_act *a, int32_t tile)
{
    int8_t *dst = tile_at(a, tile);
    __m256i q[TOKENS];

    for (int64_t k = 0; k < a->K; k += 32, dst += 32 * TOKENS) {
        for (int i = 0; i < TOKENS; i++) {
            int32_t t = tile * TOKENS + i;
            q[i] = _mm256_setzero_si256();
            if (t < a->T) q[i] = _mm256_load_si256((const void *)(a->q + t * a->K + k));
        }
        nx_store_interleaved((int16_t *)(void *)dst, q, 2 * TOKENS);
    }
}

/* -------- weights into the panel -------- */

/* Sums of this many granules of raw codes with activations fit int16. */
NX_INLINE int granules_of(nx_dtype dtype)
{
    switch (dtype) {
    case NX_DTYPE_Q4_0:
    case NX_DTYPE_Q4_1:
    case NX_DTYPE_Q4_K: return 8; /* 8 * 2 * 15 * 127 = 30480 */
    case NX_DTYPE_Q6_K: return 2; /* 2 * 2 * 63 * 127 = 32004 */
    default: return 4;            /* 4 * 2 * 31 * 127 = 31496; q2_k and q3_k: one run of 16 */
    }
}

/* Codes 32 g of the block at `at` of eight rows to granules dst[0..7]. */
NX_INLINE void spread32(uint8_t *dst, nx_dtype dtype, const uint8_t *const rows[8], size_t at,
                        int g)
{
    __m256i v[8];

    for (int r = 0; r < 8; r++) v[r] = nx_raw(rows[r] + at, dtype, g);
    nx_transpose8(v);
    for (int i = 0; i < 8; i++) _mm256_store_si256((void *)(dst + i * ROWS * 4), v[i]);
}

NX_INLINE void unpack_q8(panel *p, nx_dtype dtype, const uint8_t *const rows[8], int half,
                         int64_t block0, int n_blocks, size_t ahead)
{
    for (int b = 0; b < n_blocks; b++) {
        size_t at = (size_t)(block0 + b) * nx_block_bytes(dtype);

        nx_prefetch_block(rows, at, ahead, nx_block_bytes(dtype));
        spread32(p->w[8 * b][8 * half], dtype, rows, at, 0);
        _mm256_store_ps(p->d[b] + 8 * half, nx_load_halves(rows, at + nx_offset_d(dtype)));
        if (nx_has_min(dtype))
            _mm256_store_ps(p->m[b] + 8 * half, nx_load_halves(rows, at + nx_offset_min(dtype)));
    }
}

NX_INLINE void unpack_q8k(panel *p, nx_dtype dtype, const uint8_t *const rows[8], int half,
                          int64_t block0, int n_blocks, size_t ahead)
{
    for (int b = 0; b < n_blocks; b++) {
        size_t  at = (size_t)(block0 + b) * nx_block_bytes(dtype);
        __m256i scales[8], mins[8], scale[16];

        nx_prefetch_block(rows, at, ahead, nx_block_bytes(dtype));
        for (int r = 0; r < 8; r++) scales[r] = nx_scales(&mins[r], rows[r] + at, dtype);
        nx_transpose8(scales);
        nx_transpose8(mins);
        nx_twice_each(scale, scales);
        for (int j = 0; j < 16; j++)
            _mm256_store_si256((void *)p->scales[16 * b + j][8 * half], scale[j]);
        for (int i = 0; i < 8; i++)
            _mm256_store_si256((void *)p->pairs[8 * b + i][8 * half],
                               nx_has_min(dtype) ? mins[i] : scales[i]);
        for (int g = 0; g < 8; g++) spread32(p->w[64 * b + 8 * g][8 * half], dtype, rows, at, g);
        _mm256_store_ps(p->d[b] + 8 * half, nx_load_halves(rows, at + nx_offset_d(dtype)));
        if (nx_has_min(dtype))
            _mm256_store_ps(p->m[b] + 8 * half, nx_load_halves(rows, at + nx_offset_min(dtype)));
    }
}

/* -------- the product of a panel and a tile -------- */

/* C tokens: sum16[h][t] of n granules. w: [n][ROWS][4]; x: granule g of token t at
 * x[(g * TOKENS + t) * 4]. */
NX_INLINE void multiply_granules(__m256i sum16[2][TOKENS], uint8_t (*w)[ROWS][4], const int8_t *x,
                                 int C, int n)
{
    for (int g = 0; g < n; g++) {
        __m256i w0 = _mm256_load_si256((const void *)w[g]);
        __m256i w1 = _mm256_load_si256((const void *)w[g][8]);
        for (int t = 0; t < C; t++) {
            int32_t four;
            memcpy(&four, x + (g * TOKENS + t) * 4, sizeof four);
            __m256i xt = _mm256_set1_epi32(four);
            __m256i a = _mm256_maddubs_epi16(w0, xt), b = _mm256_maddubs_epi16(w1, xt);
            sum16[0][t] = g ? _mm256_add_epi16(sum16[0][t], a) : a;
            sum16[1][t] = g ? _mm256_add_epi16(sum16[1][t], b) : b;
            NX_PIN(sum16[0][t], sum16[1][t]);
        }
    }
}

NX_INLINE void widen(__m256i sum[2][TOKENS], __m256i sum16[2][TOKENS], int C, __m256i scale0,
                     __m256i scale1, bool first)
{
    for (int t = 0; t < C; t++) {
        __m256i a = _mm256_madd_epi16(sum16[0][t], scale0);
        __m256i b = _mm256_madd_epi16(sum16[1][t], scale1);
        sum[0][t] = first ? a : _mm256_add_epi32(sum[0][t], a);
        sum[1][t] = first ? b : _mm256_add_epi32(sum[1][t], b);
    }
}

/* acc = fma(m, s, acc). */
NX_INLINE void add_minimum(float acc[ROWS], const float m[ROWS], float s)
{
    __m256 ss = _mm256_set1_ps(s);

    _mm256_store_ps(acc, _mm256_fmadd_ps(_mm256_load_ps(m), ss, _mm256_load_ps(acc)));
    _mm256_store_ps(acc + 8, _mm256_fmadd_ps(_mm256_load_ps(m + 8), ss, _mm256_load_ps(acc + 8)));
}

NX_INLINE void tile_q8(panel *p, nx_dtype dtype, const nx_act *a, int32_t tile, int64_t block0,
                       int n_blocks)
{
    const int64_t n = a->K / 32;
    const int     per = granules_of(dtype), offset = nx_raw_offset(dtype);
    const __m256i ones = _mm256_set1_epi16(1);
    const int8_t *x = tile_at(a, tile) + block0 * 32 * TOKENS;
    float(*acc)[ROWS] = p->acc + tile * TOKENS;
    int64_t at[TOKENS];

    for (int t = 0; t < TOKENS; t++) at[t] = nx_token_of(a, tile, t) * n + block0;
    for (int b = 0; b < n_blocks; b++, x += 32 * TOKENS) {
        __m256i sum[2][TOKENS], sum16[2][TOKENS];

        for (int g = 0; g < 8; g += per) {
            multiply_granules(sum16, &p->w[8 * b + g], x + g * TOKENS * 4, TOKENS, per);
            widen(sum, sum16, TOKENS, ones, ones, g == 0);
        }
        for (int t = 0; t < TOKENS; t++) {
            if (offset) {
                __m256i off = _mm256_set1_epi32(offset * a->sum32[at[t] + b]);
                sum[0][t] = _mm256_sub_epi32(sum[0][t], off);
                sum[1][t] = _mm256_sub_epi32(sum[1][t], off);
            }
            nx_add_scaled(acc[t], p->d[b], a->d[at[t] + b], _mm256_cvtepi32_ps(sum[0][t]),
                          _mm256_cvtepi32_ps(sum[1][t]), false);
            if (nx_has_min(dtype)) add_minimum(acc[t], p->m[b], a->s[at[t] + b]);
        }
    }
}

/* Sums of pairs (scales or minima of runs) with the sums of codes of one token's block. */
NX_INLINE void multiply_sums(__m256i out[2], panel *p, int b, const int16_t *sums)
{
    out[0] = out[1] = _mm256_setzero_si256();
    for (int i = 0; i < 8; i++) {
        int32_t pair;
        memcpy(&pair, sums + 2 * i, sizeof pair);
        __m256i xt = _mm256_set1_epi32(pair);
        for (int h = 0; h < 2; h++) {
            __m256i w = _mm256_load_si256((const void *)p->pairs[8 * b + i][8 * h]);
            out[h] = _mm256_add_epi32(out[h], _mm256_madd_epi16(w, xt));
        }
    }
}

/* One token of a finished block of 256. */
NX_INLINE void finish_q8k(panel *p, nx_dtype dtype, const nx_act *a, int64_t at, int b,
                          __m256i sum0, __m256i sum1, float *acc)
{
    __m256i low[2];

    if (nx_has_min(dtype) || nx_raw_offset(dtype)) multiply_sums(low, p, b, a->sum16 + at * 16);
    if (nx_raw_offset(dtype)) {
        int shift = __builtin_ctz((unsigned)nx_raw_offset(dtype));
        sum0 = _mm256_sub_epi32(sum0, _mm256_slli_epi32(low[0], shift));
        sum1 = _mm256_sub_epi32(sum1, _mm256_slli_epi32(low[1], shift));
    }
    nx_add_scaled(acc, p->d[b], a->d[at], _mm256_cvtepi32_ps(sum0), _mm256_cvtepi32_ps(sum1),
                  false);
    if (nx_has_min(dtype))
        nx_add_scaled(acc, p->m[b], a->d[at], _mm256_cvtepi32_ps(low[0]),
                      _mm256_cvtepi32_ps(low[1]), true);
}

/* Two tokens at a time: their int16 and int32 sums together fill half the registers. */
NX_INLINE void tile_q8k(panel *p, nx_dtype dtype, const nx_act *a, int32_t tile, int64_t block0,
                        int n_blocks)
{
    const int64_t n = a->K / 256;
    const int     per = granules_of(dtype);
    const int8_t *x = tile_at(a, tile) + block0 * 256 * TOKENS;

    for (int b = 0; b < n_blocks; b++, x += 256 * TOKENS) {
        for (int t0 = 0; t0 < TOKENS; t0 += 2) {
            __m256i sum[2][TOKENS], sum16[2][TOKENS];

            for (int t = 0; t < 2; t++) sum[0][t] = sum[1][t] = _mm256_setzero_si256();
            for (int g = 0; g < 64; g += per) {
                const int16_t(*scale)[2] = p->scales[16 * b + g / 4];
                multiply_granules(sum16, &p->w[64 * b + g], x + (g * TOKENS + t0) * 4, 2, per);
                widen(sum, sum16, 2, _mm256_load_si256((const void *)scale),
                      _mm256_load_si256((const void *)(scale + 8)), false);
            }
            for (int t = 0; t < 2; t++)
                finish_q8k(p, dtype, a, nx_token_of(a, tile, t0 + t) * n + block0 + b, b, sum[0][t],
                           sum[1][t], p->acc[tile * TOKENS + t0 + t]);
        }
    }
}

/* -------- the whole -------- */

NX_INLINE void gemm8(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                     int32_t n_rows, const nx_act *a, bool add, panel *p)
{
    const int64_t  len = nx_block_is_32(dtype) ? 32 : 256, n_blocks = a->K / len;
    const int32_t  tiles = (a->T + TOKENS - 1) / TOKENS;
    const uint8_t *rows[ROWS];

    for (int r = 0; r < ROWS; r++) /* the last row stands in for missing ones */
        rows[r] = w + (size_t)(r < n_rows ? r : n_rows - 1) * row_bytes;
    memset(p->acc, 0, (size_t)tiles * TOKENS * sizeof p->acc[0]);
    for (int64_t b0 = 0; b0 < n_blocks; b0 += COLS / len) {
        int    n = (int)(n_blocks - b0 < COLS / len ? n_blocks - b0 : COLS / len);
        size_t ahead = nx_bytes_ahead(b0, n, n_blocks, nx_block_bytes(dtype), row_bytes, tiles);
        for (int half = 0; half < 2; half++) {
            if (len == 32)
                unpack_q8(p, dtype, rows + 8 * half, half, b0, n, ahead);
            else
                unpack_q8k(p, dtype, rows + 8 * half, half, b0, n, ahead);
        }
        for (int32_t tile = 0; tile < tiles; tile++) {
            if (len == 32)
                tile_q8(p, dtype, a, tile, b0, n);
            else
                tile_q8k(p, dtype, a, tile, b0, n);
        }
    }
    nx_put_panel(out, ldo, p->acc, n_rows, a->T, add);
}

/* Each case is a kernel of its own, compiled for its type. */
#define CASE(NAME)                                                                                 \
    case NX_DTYPE_##NAME: gemm8(NX_DTYPE_##NAME, out, ldo, w, row_bytes, n_rows, a, add, p); break

void nx_gemm8_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                   int32_t n_rows, const nx_act *a, bool add, void *scratch)
{
    panel *p = scratch;

    assert(a->T <= NX_PANEL_TOKENS);
    switch (dtype) {
        CASE(Q4_0);
        CASE(Q4_1);
        CASE(Q5_0);
        CASE(Q5_1);
        CASE(Q2_K);
        CASE(Q3_K);
        CASE(Q4_K);
        CASE(Q5_K);
        CASE(Q6_K);
    default: break; /* signed levels: gemm_avx2.c */
    }
}
