/* plain_gemm_avx2.c - f32, f16 and bf16 rows times three tokens or more.
 *
 * Idea:   lanes16 of backend.h is two registers per output, its lower and its upper eight lanes, and
 *         they never meet before the fold. So a stretch of columns is passed twice: once for the lower
 *         lanes, once for the upper ones. Each pass holds one register per output: a tile of 2 rows x 6
 *         tokens has its twelve sums, two numbers of weights and one of a token in the sixteen that
 *         there are, and eight loads for twelve products. (With both halves at once it was 2 x 3, and
 *         sixteen loads: the loads were what it waited for, at a third of the speed of products.)
 * Shape:  six tokens' stretch stays in the first cache while a panel's rows pass by; sums wait in
 *         memory between the stretches of long rows.
 * Thread: any; each call writes its own outputs.
 */
#include "backend/cpu/lanes_avx2.h"
#include "backend/cpu/matmul_avx2.h"

#define ROWS        2
#define TOKENS      6
#define COLS        512 /* of a stretch: six tokens' are 12 KB */
#define PAIRS       (NX_PANEL_ROWS / ROWS)
#define BLOCK_BYTES ((size_t)256 << 10) /* of weights: half of a second cache */

/* Few tokens: a panel comes from memory, not from a cache, and that takes the time of some pairs. */
#define FEW      12
#define FAR_ROWS 8

/* Running sums of one tile: [lower, upper][row][token]. */
typedef struct sums {
    __m256 v[2][ROWS][TOKENS];
} sums;

/* Keep two vectors in registers. Left alone, gcc 12 copies arrays of them in halves, and what is read
 * back whole must wait until both have been written. */
#define NX_PIN(a, b) __asm__("" : "+x"(a), "+x"(b))

/* Eight numbers of a row. */
NX_INLINE __m256 load8(const uint8_t *row, nx_dtype dtype, int64_t i)
{
    if (dtype == NX_DTYPE_F32) return _mm256_loadu_ps((const float *)(const void *)(row + 4 * i));
    __m128i h = _mm_loadu_si128((const void *)(row + 2 * i));
    if (dtype == NX_DTYPE_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* What a pass asks for, a line of each at a time: it is needed soon. A row's stretch is too short for
 * the processor to foresee the next one. */
typedef struct ahead {
    const char *p, *q;
} ahead;

/* Columns begin + 8 half, then every sixteenth, below end, of two rows and C tokens: their lanes. */
NX_INLINE void pass(sums *s, int half, nx_dtype dtype, int C, const uint8_t *const w[ROWS],
                    const float *x, int64_t ldx, int64_t begin, int64_t end, bool fresh, ahead next)
{
    __m256 a[TOKENS], b[TOKENS];

    for (int c = 0; c < C; c++) {
        a[c] = fresh ? _mm256_setzero_ps() : s->v[half][0][c];
        b[c] = fresh ? _mm256_setzero_ps() : s->v[half][1][c];
        NX_PIN(a[c], b[c]);
    }
    for (int64_t k = begin + 8 * half; k < end; k += 16) {
        __m256 w0 = load8(w[0], dtype, k), w1 = load8(w[1], dtype, k);
        _mm_prefetch(next.p + 4 * (k - begin), _MM_HINT_T0);
        if (half) _mm_prefetch(next.q + 4 * (k - begin), _MM_HINT_T0);
        for (int c = 0; c < C; c++) {
            __m256 xs = _mm256_loadu_ps(x + c * ldx + k);
            __asm__("" : "+x"(xs)); /* one load for both products */
            a[c] = _mm256_fmadd_ps(w0, xs, a[c]);
            b[c] = _mm256_fmadd_ps(w1, xs, b[c]);
        }
    }
    for (int c = 0; c < C; c++) {
        NX_PIN(a[c], b[c]);
        s->v[half][0][c] = a[c];
        s->v[half][1][c] = b[c];
    }
}

/* The numbers past the last whole sixteen: lane l takes number k16 + l. */
static void add_rest(sums *s, nx_dtype dtype, int C, const uint8_t *const w[ROWS], const float *x,
                     int64_t ldx, int64_t k16, int64_t K)
{
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < C; c++) {
            float lanes[16];
            _mm256_storeu_ps(lanes, s->v[0][r][c]);
            _mm256_storeu_ps(lanes + 8, s->v[1][r][c]);
            for (int64_t i = k16; i < K; i++)
                lanes[i - k16] = fmaf(nx_load1(w[r], dtype, i), x[c * ldx + i], lanes[i - k16]);
            s->v[0][r][c] = _mm256_loadu_ps(lanes);
            s->v[1][r][c] = _mm256_loadu_ps(lanes + 8);
        }
}

/* The lower lanes and the upper ones of one output, added: the first step of the fold. */
NX_INLINE __m256 halves(const sums *s, int row, int c)
{
    return _mm256_add_ps(s->v[0][row][c], s->v[1][row][c]);
}

/* y[c][row], y[c][row + 1] of a tile, four outputs folded at a time. */
NX_INLINE void fold(float y[TOKENS][NX_PANEL_ROWS], int row, const sums *s, int C)
{
    for (int c = 0; c < C; c += 2) {
        int    d = c + 1 < C ? c + 1 : c;
        __m128 four =
            nx_fold8_four(halves(s, 0, c), halves(s, 1, c), halves(s, 0, d), halves(s, 1, d));
        _mm_storel_pi((__m64 *)(void *)(y[c] + row), four);
        if (d > c) _mm_storeh_pi((__m64 *)(void *)(y[d] + row), four);
    }
}

/* One token a pair of rows: of this tile's the next stretch, from column k on; behind the last the first
 * of the tokens that follow. */
NX_INLINE ahead token_ahead(const float *x, int C, int64_t K, int pair, int64_t k)
{
    int64_t     row = (pair < TOKENS ? pair : 0) + (k ? 0 : C);
    const char *p = (const char *)((uintptr_t)x + (size_t)(row * K + k) * sizeof *x);

    return (ahead){p, p};
}

NX_INLINE ahead rows_ahead(const uint8_t *const w[ROWS], size_t bytes)
{
    return (ahead){(const char *)((uintptr_t)w[0] + bytes),
                   (const char *)((uintptr_t)w[1] + bytes)};
}

/* C tokens with n_rows (at most NX_PANEL_ROWS) rows: y[c][r]. */
NX_INLINE void tile(float y[TOKENS][NX_PANEL_ROWS], nx_dtype dtype, int C, const uint8_t *w,
                    size_t row_bytes, int64_t n_rows, const float *x, int64_t K, bool few)
{
    const int64_t  k16 = K / 16 * 16;
    const size_t   width = dtype == NX_DTYPE_F32 ? 4 : 2;
    const int      pairs = (int)((n_rows + 1) / 2);
    const uint8_t *ws[PAIRS][ROWS];
    sums           s[PAIRS];

    for (int p = 0; p < pairs; p++)
        for (int r = 0; r < ROWS; r++) { /* the last row stands in for a missing one */
            int64_t row = 2 * p + r < n_rows ? 2 * p + r : n_rows - 1;
            ws[p][r] = w + (size_t)row * row_bytes;
        }
    for (int64_t k = 0; k < k16 || k == 0; k += COLS) {
        int64_t end = k16 - k < COLS ? k16 : k + COLS;
        for (int p = 0; p < pairs; p++) {
            pass(&s[p], 0, dtype, C, ws[p], x, K, k, end, k == 0,
                 token_ahead(x, C, K, p, end < k16 ? end : 0));
            ahead next = rows_ahead(ws[p + 1 < pairs ? p + 1 : 0], (size_t)(p + 1 < pairs ? k
                                                                            : end < k16   ? end
                                                                                          : 0) *
                                                                       width);
            if (few) next = rows_ahead(ws[p], FAR_ROWS * row_bytes + (size_t)k * width);
            pass(&s[p], 1, dtype, C, ws[p], x, K, k, end, k == 0, next);
        }
    }
    for (int p = 0; p < pairs; p++) {
        if (k16 < K) add_rest(&s[p], dtype, C, ws[p], x, K, k16, K);
        fold(y, 2 * p, &s[p], C);
    }
}

/* y [C][n_rows] to out. */
NX_INLINE void put(float *out, int64_t ldo, float y[TOKENS][NX_PANEL_ROWS], int C, int64_t n_rows,
                   bool add)
{
    for (int c = 0; c < C; c++, out += ldo) {
        if (n_rows < NX_PANEL_ROWS) {
            for (int64_t r = 0; r < n_rows; r++) out[r] = add ? out[r] + y[c][r] : y[c][r];
            continue;
        }
        for (int r = 0; r < NX_PANEL_ROWS; r += 8) {
            __m256 v = _mm256_load_ps(y[c] + r);
            if (add) v = _mm256_add_ps(_mm256_loadu_ps(out + r), v);
            _mm256_storeu_ps(out + r, v);
        }
    }
}

/* One panel with C tokens from x on. */
NX_INLINE void panel(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                     int64_t n_rows, const float *x, int C, const nx_act *a, bool add)
{
    const bool         few = a->T <= FEW;
    _Alignas(32) float y[TOKENS][NX_PANEL_ROWS];

    switch (C) { /* each a loop of its own */
    case 6: tile(y, dtype, 6, w, row_bytes, n_rows, x, a->K, few); break;
    case 5: tile(y, dtype, 5, w, row_bytes, n_rows, x, a->K, few); break;
    case 4: tile(y, dtype, 4, w, row_bytes, n_rows, x, a->K, few); break;
    case 3: tile(y, dtype, 3, w, row_bytes, n_rows, x, a->K, few); break;
    case 2: tile(y, dtype, 2, w, row_bytes, n_rows, x, a->K, few); break;
    default: tile(y, dtype, 1, w, row_bytes, n_rows, x, a->K, few); break;
    }
    put(out, ldo, y, C, n_rows, add);
}

/* Rows that stay in the second cache while all tokens pass by, in as few tiles as do, of nearly equal
 * width; a tile's tokens, long ones, come from the third only once. */
NX_INLINE void block(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                     int64_t n_rows, const nx_act *a, bool add)
{
    for (int32_t t = 0, C; t < a->T; t += C) {
        int32_t left = a->T - t, n_tiles = (left + TOKENS - 1) / TOKENS;
        C = (left + n_tiles - 1) / n_tiles;
        for (int64_t r = 0; r < n_rows; r += NX_PANEL_ROWS) {
            int64_t n = n_rows - r < NX_PANEL_ROWS ? n_rows - r : NX_PANEL_ROWS;
            panel(dtype, out + t * ldo + r, ldo, w + (size_t)r * row_bytes, row_bytes, n,
                  a->x + t * a->K, C, a, add);
        }
    }
}

NX_INLINE void blocks(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                      int64_t n_rows, const nx_act *a, bool add)
{
    int64_t rows = (int64_t)(BLOCK_BYTES / row_bytes) / NX_PANEL_ROWS * NX_PANEL_ROWS;

    if (rows < NX_PANEL_ROWS) rows = NX_PANEL_ROWS;
    for (int64_t r = 0; r < n_rows; r += rows)
        block(dtype, out + r, ldo, w + (size_t)r * row_bytes, row_bytes,
              n_rows - r < rows ? n_rows - r : rows, a, add);
}

void nx_plain_gemm_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                        int64_t n_rows, const nx_act *a, bool add)
{
    if (dtype == NX_DTYPE_F32)
        blocks(NX_DTYPE_F32, out, ldo, w, row_bytes, n_rows, a, add);
    else if (dtype == NX_DTYPE_F16)
        blocks(NX_DTYPE_F16, out, ldo, w, row_bytes, n_rows, a, add);
    else
        blocks(NX_DTYPE_BF16, out, ldo, w, row_bytes, n_rows, a, add);
}
