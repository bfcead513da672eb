/* gemm_avx2.c - quantised rows times many tokens.
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

#include "backend/cpu/levels_avx2.h"
#include "backend/cpu/matmul_avx2.h"

#define ROWS   NX_PANEL_ROWS
#define TOKENS NX_TILE_TOKENS
#define COLS   NX_PANEL_COLS
#define PAIRS  (COLS / 2)

typedef struct panel {
    int16_t w[PAIRS][ROWS][2];        /* levels of one chunk of COLS numbers */
    int16_t mins[COLS / 32][ROWS][2]; /* blocks of 256: minima of two runs of 16 */
    float   d[COLS / 32][ROWS];       /* one per block: 32 or 256 numbers */
    float   m[COLS / 32][ROWS];       /* m or dmin */
    float   acc[NX_PANEL_TOKENS][ROWS];
} panel;

_Static_assert(sizeof(panel) <= NX_PANEL_SCRATCH, "a panel fits the scratch of a thread");

/* -------- codes of activations in tiles: [K / 2 pairs][TOKENS][2] int16 -------- */

static int16_t *tile_at(const nx_act *a, int32_t tile)
{
    return (int16_t *)a->tiles + (int64_t)tile * TOKENS * a->K;
}

/* Four tokens' dword i side by side, for the eight dwords of each. */
static void store_interleaved(int16_t *dst, const __m256i v[4], int step)
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
        store_interleaved(dst, even, 4 * TOKENS);
        store_interleaved(dst + 2 * TOKENS, odd, 4 * TOKENS);
    }
}

/* -------- weights into the panel -------- */

/* Numbers 32 g of the block at `at` of eight rows, times the scales of its two runs of 16 (lane r:
 * row r's scale twice), to pairs dst[0..15]. */
NX_INLINE void spread32(int16_t (*dst)[ROWS][2], nx_dtype dtype, const uint8_t *const rows[8],
                        size_t at, int g, const __m256i scale[2])
{
    const __m256i offset = _mm256_set1_epi8((char)nx_raw_offset(dtype));
    __m256i       v[8];

    for (int r = 0; r < 8; r++) v[r] = _mm256_sub_epi8(nx_raw(rows[r] + at, dtype, g), offset);
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
                         int64_t block0, int n_blocks)
{
    for (int b = 0; b < n_blocks; b++) {
        size_t at = (size_t)(block0 + b) * nx_block_bytes(dtype);

        spread32((void *)&p->w[16 * b][8 * half], dtype, rows, at, 0, NULL);
        _mm256_store_ps(p->d[b] + 8 * half, nx_load_halves(rows, at + nx_offset_d(dtype)));
        if (nx_has_min(dtype))
            _mm256_store_ps(p->m[b] + 8 * half, nx_load_halves(rows, at + nx_offset_min(dtype)));
    }
}

/* v[i]: dword i of eight rows, two int16 for runs 2 i and 2 i + 1; to one vector per run. */
NX_INLINE void twice_each(__m256i out[16], const __m256i v[8])
{
    const __m256i low = _mm256_set1_epi32(0xFFFF);

    for (int i = 0; i < 8; i++) {
        __m256i a = _mm256_and_si256(v[i], low), b = _mm256_srli_epi32(v[i], 16);
        out[2 * i] = _mm256_or_si256(a, _mm256_slli_epi32(a, 16));
        out[2 * i + 1] = _mm256_or_si256(b, _mm256_slli_epi32(b, 16));
    }
}

NX_INLINE void unpack_q8k(panel *p, nx_dtype dtype, const uint8_t *const rows[8], int half,
                          int64_t block0, int n_blocks)
{
    for (int b = 0; b < n_blocks; b++) {
        size_t  at = (size_t)(block0 + b) * nx_block_bytes(dtype);
        __m256i scales[8], mins[8], scale[16];

        for (int r = 0; r < 8; r++) scales[r] = nx_scales(&mins[r], rows[r] + at, dtype);
        nx_transpose8(scales);
        twice_each(scale, scales);
        for (int g = 0; g < 8; g++)
            spread32((void *)&p->w[128 * b + 16 * g][8 * half], dtype, rows, at, g, &scale[2 * g]);
        _mm256_store_ps(p->d[b] + 8 * half, nx_load_halves(rows, at + nx_offset_d(dtype)));
        if (!nx_has_min(dtype)) continue;
        nx_transpose8(mins);
        for (int i = 0; i < 8; i++)
            _mm256_store_si256((void *)p->mins[8 * b + i][8 * half], mins[i]);
        _mm256_store_ps(p->m[b] + 8 * half, nx_load_halves(rows, at + nx_offset_min(dtype)));
    }
}

/* -------- the product of a panel and a tile -------- */

/* sum[h][t] += pairs of n granules. w: [n][ROWS][2], x: pair g of token t at x[g * step + 2 t]. */
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
            sum[0][t] = _mm256_add_epi32(sum[0][t], _mm256_madd_epi16(w0, xt));
            sum[1][t] = _mm256_add_epi32(sum[1][t], _mm256_madd_epi16(w1, xt));
        }
    }
}

/* acc[h] = fma(w_h * x, y_h, acc[h]), or with the product's sign turned. */
NX_INLINE void add_scaled(float acc[ROWS], const float w[ROWS], float x, __m256 y0, __m256 y1,
                          bool minus)
{
    __m256 xs = _mm256_set1_ps(x);
    __m256 w0 = _mm256_mul_ps(_mm256_load_ps(w), xs), w1 = _mm256_mul_ps(_mm256_load_ps(w + 8), xs);
    __m256 a0 = _mm256_load_ps(acc), a1 = _mm256_load_ps(acc + 8);

    _mm256_store_ps(acc, minus ? _mm256_fnmadd_ps(w0, y0, a0) : _mm256_fmadd_ps(w0, y0, a0));
    _mm256_store_ps(acc + 8, minus ? _mm256_fnmadd_ps(w1, y1, a1) : _mm256_fmadd_ps(w1, y1, a1));
}

NX_INLINE void add_minimum(float acc[ROWS], const float m[ROWS], float s)
{
    __m256 ss = _mm256_set1_ps(s);

    _mm256_store_ps(acc, _mm256_fmadd_ps(_mm256_load_ps(m), ss, _mm256_load_ps(acc)));
    _mm256_store_ps(acc + 8, _mm256_fmadd_ps(_mm256_load_ps(m + 8), ss, _mm256_load_ps(acc + 8)));
}

NX_INLINE void clear(__m256i sum[2][TOKENS])
{
    for (int t = 0; t < TOKENS; t++) sum[0][t] = sum[1][t] = _mm256_setzero_si256();
}

/* Token t of a tile; past the last one, the last (its results are dropped). */
NX_INLINE int32_t token_of(const nx_act *a, int32_t tile, int t)
{
    return tile * TOKENS + t < a->T ? tile * TOKENS + t : a->T - 1;
}

NX_INLINE void tile_q8(panel *p, const nx_act *a, int32_t tile, int64_t block0, int n_blocks,
                       bool has_min)
{
    const int64_t  n = a->K / 32;
    const int16_t *x = tile_at(a, tile) + block0 * 32 * TOKENS;
    float(*acc)[ROWS] = p->acc + tile * TOKENS;
    const float *d[TOKENS], *s[TOKENS];

    for (int t = 0; t < TOKENS; t++) {
        d[t] = a->d + token_of(a, tile, t) * n + block0;
        s[t] = a->s + token_of(a, tile, t) * n + block0;
    }
    for (int b = 0; b < n_blocks; b++, x += 32 * TOKENS) {
        __m256i sum[2][TOKENS];

        clear(sum);
        multiply_pairs(sum, &p->w[16 * b], x, 16);
        for (int t = 0; t < TOKENS; t++) {
            add_scaled(acc[t], p->d[b], d[t][b], _mm256_cvtepi32_ps(sum[0][t]),
                       _mm256_cvtepi32_ps(sum[1][t]), false);
            if (has_min) add_minimum(acc[t], p->m[b], s[t][b]);
        }
    }
}

/* Minima of a block of 256: the same product with the sums of codes, row by row of a. */
NX_INLINE void minima_q8k(panel *p, const nx_act *a, int32_t t, int b, int64_t block, float *acc)
{
    const int64_t  n = a->K / 256;
    const int16_t *x = a->sum16 + (t * n + block) * 16;
    __m256i        m0 = _mm256_setzero_si256(), m1 = m0;

    for (int i = 0; i < 8; i++) {
        int32_t pair;
        memcpy(&pair, x + 2 * i, sizeof pair);
        __m256i xt = _mm256_set1_epi32(pair);
        m0 = _mm256_add_epi32(
            m0, _mm256_madd_epi16(_mm256_load_si256((const void *)p->mins[8 * b + i]), xt));
        m1 = _mm256_add_epi32(
            m1, _mm256_madd_epi16(_mm256_load_si256((const void *)p->mins[8 * b + i][8]), xt));
    }
    add_scaled(acc, p->m[b], a->d[t * n + block], _mm256_cvtepi32_ps(m0), _mm256_cvtepi32_ps(m1),
               true);
}

NX_INLINE void tile_q8k(panel *p, const nx_act *a, int32_t tile, int64_t block0, int n_blocks,
                        bool has_min)
{
    const int64_t  n = a->K / 256;
    const int16_t *x = tile_at(a, tile) + block0 * 256 * TOKENS;
    float(*acc)[ROWS] = p->acc + tile * TOKENS;

    for (int b = 0; b < n_blocks; b++, x += 256 * TOKENS) {
        __m256i sum[2][TOKENS];

        clear(sum);
        multiply_pairs(sum, &p->w[128 * b], x, 128);
        for (int t = 0; t < TOKENS; t++) {
            int32_t token = token_of(a, tile, t);
            add_scaled(acc[t], p->d[b], a->d[token * n + block0 + b], _mm256_cvtepi32_ps(sum[0][t]),
                       _mm256_cvtepi32_ps(sum[1][t]), false);
            if (has_min) minima_q8k(p, a, token, b, block0 + b, acc[t]);
        }
    }
}

/* -------- the whole -------- */

static void put_panel(float *out, int64_t ldo, const panel *p, int32_t n_rows, int32_t T, bool add)
{
    for (int32_t t = 0; t < T; t++, out += ldo) {
        if (n_rows < ROWS) {
            for (int r = 0; r < n_rows; r++) out[r] = add ? out[r] + p->acc[t][r] : p->acc[t][r];
            continue;
        }
        for (int r = 0; r < ROWS; r += 8) {
            __m256 y = _mm256_load_ps(p->acc[t] + r);
            if (add) y = _mm256_add_ps(_mm256_loadu_ps(out + r), y);
            _mm256_storeu_ps(out + r, y);
        }
    }
}

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
        int n = (int)(n_blocks - b0 < COLS / len ? n_blocks - b0 : COLS / len);
        for (int half = 0; half < 2; half++) {
            if (len == 32)
                unpack_q8(p, dtype, rows + 8 * half, half, b0, n);
            else
                unpack_q8k(p, dtype, rows + 8 * half, half, b0, n);
        }
        for (int32_t tile = 0; tile < tiles; tile++) {
            if (len == 32)
                tile_q8(p, a, tile, b0, n, nx_has_min(dtype));
            else
                tile_q8k(p, a, tile, b0, n, nx_has_min(dtype));
        }
    }
    put_panel(out, ldo, p, n_rows, a->T, add);
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
