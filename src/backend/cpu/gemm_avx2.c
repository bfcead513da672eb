/* gemm_avx2.c - rows of signed 8-bit levels (q8_0 and the codebooks) times many tokens.
 *
 * Idea:   the weights of 16 rows x 512 numbers are spread once into a panel that lives in the first
 *         cache: int16 levels (times the integer scale of their sub-block), laid so that lane r of
 *         a vector is row r and holds two numbers. A token's codes, int16 too, are broadcast in
 *         the same pairs, and one multiply-add does 16 exact products. After each block the int32
 *         sums meet the floats in the reference's fused steps, so only unpacking knows the type.
 * Shape:  register tile 16 rows x 4 tokens. Pairs of a group of four numbers are (0, 2), (1, 3):
 *         that is what shifting bytes to words gives, and exact sums don't mind.
 * Thread: any; each call writes its own outputs and scratch.
 */
#include <assert.h>

#include "backend/cpu/gemm_avx2.h"
#include "backend/cpu/levels_avx2.h"
#include "backend/cpu/matmul_avx2.h"

#define ROWS   NX_PANEL_ROWS
#define TOKENS NX_TILE_TOKENS
#define COLS   NX_PANEL_COLS
#define PAIRS  (COLS / 2)

typedef struct panel {
    int16_t w[PAIRS][ROWS][2];  /* levels of one chunk of COLS numbers */
    float   d[COLS / 32][ROWS]; /* one per block: 32 or 256 numbers */
    float   acc[NX_PANEL_TOKENS][ROWS];
} panel;

_Static_assert(sizeof(panel) <= NX_PANEL_SCRATCH, "a panel fits the scratch of a thread");

/* -------- codes of activations in tiles: [K / 2 pairs][TOKENS][2] int16 -------- */

static int16_t *tile_at(const nx_act *a, int32_t tile)
{
    return (int16_t *)a->tiles + (int64_t)tile * TOKENS * a->K;
}

void nx_gemm_pack_avx2(const nx_act *a, int32_t tile)
{
    int16_t *dst = tile_at(a, tile);
    __m256i  even[TOKENS], odd[TOKENS];

    for (int64_t k = 0; k < a->K; k += 32, dst += 32 * TOKENS) {
        for (int i = 0; i < TOKENS; i++) {
            int32_t t = tile * TOKENS + i;
            __m256i q = _mm256_setzero_si256();
            if (t < a->T) q = _mm256_load_si256((const void *)(a->q + t * a->K + k));
            even[i] = _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8);
            odd[i] = _mm256_srai_epi16(q, 8);
        }
        nx_store_interleaved(dst, even, 4 * TOKENS);
        nx_store_interleaved(dst + 2 * TOKENS, odd, 4 * TOKENS);
    }
}

/* -------- weights into the panel -------- */

/* Numbers 32 g of the block at `at` of eight rows, times the scales of its two runs of 16 (lane r:
 * row r's scale twice), to pairs dst[0..15]. */
NX_INLINE void spread32(int16_t (*dst)[ROWS][2], nx_dtype dtype, const uint8_t *const rows[8],
                        size_t at, int g, const __m256i scale[2])
{
    __m256i v[8];

    for (int r = 0; r < 8; r++) v[r] = nx_raw(rows[r] + at, dtype, g);
    nx_transpose8(v);
    for (int i = 0; i < 8; i++) {
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(v[i], 8), 8);
        __m256i odd = _mm256_srai_epi16(v[i], 8);
        if (scale) {
            even = _mm256_mullo_epi16(even, scale[i / 4]);
            odd = _mm256_mullo_epi16(odd, scale[i / 4]);
        }
        _mm256_store_si256((void *)dst[2 * i], even);
        _mm256_store_si256((void *)dst[2 * i + 1], odd);
    }
}

NX_INLINE void unpack_q8(panel *p, nx_dtype dtype, const uint8_t *const rows[8], int half,
                         int64_t block0, int n_blocks, size_t ahead)
{
    for (int b = 0; b < n_blocks; b++) {
        size_t at = (size_t)(block0 + b) * nx_block_bytes(dtype);

        nx_prefetch_block(rows, at, ahead, nx_block_bytes(dtype));
        spread32((void *)&p->w[16 * b][8 * half], dtype, rows, at, 0, NULL);
        _mm256_store_ps(p->d[b] + 8 * half, nx_load_halves(rows, at + nx_offset_d(dtype)));
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
        nx_twice_each(scale, scales);
        for (int g = 0; g < 8; g++)
            spread32((void *)&p->w[128 * b + 16 * g][8 * half], dtype, rows, at, g, &scale[2 * g]);
        _mm256_store_ps(p->d[b] + 8 * half, nx_load_halves(rows, at + nx_offset_d(dtype)));
    }
}

/* -------- the product of a panel and a tile -------- */

/* sum[h][t] += n pairs. w: [n][ROWS][2]; x: [n][TOKENS][2]. */
NX_INLINE void multiply_pairs(__m256i sum[2][TOKENS], int16_t (*w)[ROWS][2], const int16_t *x,
                              int n)
{
    for (int g = 0; g < n; g++) {
        __m256i w0 = _mm256_load_si256((const void *)w[g]);
        __m256i w1 = _mm256_load_si256((const void *)w[g][8]);
        for (int t = 0; t < TOKENS; t++) {
            int32_t pair;
            memcpy(&pair, x + (g * TOKENS + t) * 2, sizeof pair);
            __m256i xt = _mm256_set1_epi32(pair);
            NX_ADD_TO(sum[0][t], _mm256_madd_epi16(w0, xt));
            NX_ADD_TO(sum[1][t], _mm256_madd_epi16(w1, xt));
        }
    }
}

NX_INLINE void clear(__m256i sum[2][TOKENS])
{
    for (int t = 0; t < TOKENS; t++) sum[0][t] = sum[1][t] = _mm256_setzero_si256();
}

NX_INLINE void tile_q8(panel *p, const nx_act *a, int32_t tile, int64_t block0, int n_blocks)
{
    const int64_t  n = a->K / 32;
    const int16_t *x = tile_at(a, tile) + block0 * 32 * TOKENS;
    float(*acc)[ROWS] = p->acc + tile * TOKENS;
    const float *d[TOKENS];

    for (int t = 0; t < TOKENS; t++) d[t] = a->d + nx_token_of(a, tile, t) * n + block0;
    for (int b = 0; b < n_blocks; b++, x += 32 * TOKENS) {
        __m256i sum[2][TOKENS];

        clear(sum);
        multiply_pairs(sum, &p->w[16 * b], x, 16);
        for (int t = 0; t < TOKENS; t++)
            nx_add_scaled(acc[t], p->d[b], d[t][b], _mm256_cvtepi32_ps(sum[0][t]),
                          _mm256_cvtepi32_ps(sum[1][t]), false);
    }
}

NX_INLINE void tile_q8k(panel *p, const nx_act *a, int32_t tile, int64_t block0, int n_blocks)
{
    const int64_t  n = a->K / 256;
    const int16_t *x = tile_at(a, tile) + block0 * 256 * TOKENS;
    float(*acc)[ROWS] = p->acc + tile * TOKENS;

    for (int b = 0; b < n_blocks; b++, x += 256 * TOKENS) {
        __m256i sum[2][TOKENS];

        clear(sum);
        multiply_pairs(sum, &p->w[128 * b], x, 128);
        for (int t = 0; t < TOKENS; t++) {
            int32_t token = nx_token_of(a, tile, t);
            nx_add_scaled(acc[t], p->d[b], a->d[token * n + block0 + b],
                          _mm256_cvtepi32_ps(sum[0][t]), _mm256_cvtepi32_ps(sum[1][t]), false);
        }
    }
}

/* -------- the whole -------- */

NX_INLINE void gemm(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
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
                tile_q8(p, a, tile, b0, n);
            else
                tile_q8k(p, a, tile, b0, n);
        }
    }
    nx_put_panel(out, ldo, p->acc, n_rows, a->T, add);
}

/* Each case is a kernel of its own, compiled for its type. */
#define CASE(NAME)                                                                                 \
    case NX_DTYPE_##NAME: gemm(NX_DTYPE_##NAME, out, ldo, w, row_bytes, n_rows, a, add, p); break

void nx_gemm_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                  int32_t n_rows, const nx_act *a, bool add, void *scratch)
{
    panel *p = scratch;

    assert(a->T <= NX_PANEL_TOKENS);
    switch (dtype) {
        CASE(Q8_0);
        CASE(IQ4_NL);
        CASE(IQ4_XS);
    default: break; /* unsigned codes: gemm8_avx2.c */
    }
}
