/* kernels.h - the kernels of the CPU backend: one slot per job, its contract beside it.
 *
 * Idea: a kernel works on one row, one token or one panel, and knows no threads; matmul.c and
 *       cpu.c cut an op into such pieces and hand them to the pool. nx_kernels_add_ref fills every
 *       slot with plain C; an overlay then replaces the slots that it does better.
 * Invariant: whoever fills a slot, the bits are those of src/tensor/backend.h (a NaN is a NaN: its
 *       sign and payload are not promised).
 *
 * Weights may lie at any byte address. Everything else is aligned to its own type.
 */
#ifndef NX_BACKEND_CPU_KERNELS_H
#define NX_BACKEND_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "num/dtype.h"
#include "tensor/backend.h"

/* Rows of a weight matrix in one call of a matmul kernel, tokens in one tile of packed codes,
 * and the numbers of a row that one call may spread over a thread's panel scratch at a time. */
#define NX_PANEL_ROWS    16
#define NX_TILE_TOKENS   4
#define NX_PANEL_COLS    512
#define NX_PANEL_TOKENS  128 /* most tokens in one nx_act */
#define NX_PANEL_SCRATCH ((size_t)48 * 1024)

/* int8: what one step of a code is worth, and of a product of two; the longest row whose sum fits. */
#define NX_INT8_STEP (1.0f / 127.0f)
#define NX_INT8_PRODUCT_STEP                                                                       \
    6.200124e-05f /* meant as 1 / 16129, and used by bitsandbytes as it is */
#define NX_INT8_COLS_MAX ((int64_t)1 << 17)
#define NX_F16_MAX       65504.0f

/* Queries that one call of attend takes. */
#define NX_ATTEND_HEADS 4

/* How activations are given to the kernels of a weight type. */
typedef enum nx_act_kind {
    NX_ACT_F32,  /* as they are */
    NX_ACT_Q8,   /* q8(x) of backend.h: blocks of 32 */
    NX_ACT_Q8K,  /* q8k(x): blocks of 256 */
    NX_ACT_INT8, /* int8(x): a row, less its outliers */
    NX_ACT_Q15,  /* q15(x): blocks of 32, in tiles only */
} nx_act_kind;

/* The activations of one matmul, made once and shared by the matrices of its group. */
typedef struct nx_act {
    nx_act_kind  kind;
    int32_t      T;
    int64_t      K;
    const float *x;        /* [T, K] */
    int8_t      *q;        /* [T, K] codes; 64-byte aligned, as all below */
    float       *d;        /* [T, n_blocks]; int8: [T] the largest magnitudes */
    float       *s;        /* [T, n_blocks]; q8 only */
    int32_t     *sum32;    /* [T, K / 32] sums of codes; q8 only */
    int16_t     *sum16;    /* [T, K / 16]; q8k only; shares its memory with sum32 */
    int32_t     *outliers; /* [n_outliers] columns, ascending; int8 only */
    int32_t      n_outliers;
    float        threshold; /* of outliers; 0: there are none */
    void        *tiles;     /* the same codes as the overlay's `pack` lays them; T * K * 2 bytes,
                             * T rounded up to whole tiles */
} nx_act;

/* Where the cached rows of one KV head lie: position p of a sequence at
 * base + pages[p / page_len] * page_bytes + (p % page_len) * stride. */
typedef struct nx_cached {
    const uint8_t *base;
    size_t         page_bytes, stride;
    nx_dtype       dtype;
} nx_cached;

/* What queries see of one KV head: positions first .. first + n_pos - 1, n_pos >= 1. */
typedef struct nx_attend_span {
    nx_cached      k, v;
    const int32_t *pages; /* of the sequence, from its position 0 on */
    int32_t        page_len, first, n_pos;
    const float   *bias[NX_ATTEND_HEADS]; /* [n_pos] of each query, or all NULL */
} nx_attend_span;

/* out[t * ldo + r] = w row r . row t of a   (added to out when `add`), r < n_rows, t < a->T.
 *   w         n_rows rows, row_bytes apart: a thread's whole share of the matrix when a->T is below
 *             pack_min, or of a plain type, else a panel of 1..NX_PANEL_ROWS
 *   scratch   NX_PANEL_SCRATCH bytes of this thread, 64-byte aligned */
typedef void (*nx_matmul_fn)(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                             int64_t n_rows, const nx_act *a, bool add, void *scratch);

typedef struct nx_kernels {
    const char *name; /* of the backend: "cpu-ref" */

    /* Fill row t of a: q, d, and s with sum32 (Q8) or sum16 (Q8K). */
    void (*quantize_q8)(const nx_act *a, int32_t t);
    void (*quantize_q8k)(const nx_act *a, int32_t t);

    /* Lay the codes of tokens 4 * tile .. + 3 in a->tiles (missing tokens as zeros), as the matmul
     * kernel of the same type reads them. Called only for a->T >= pack_min, after these rows were
     * quantised; not for plain types. Types with the same function share tiles. */
    void (*pack[NX_DTYPE_COUNT])(const nx_act *a, int32_t tile);
    int32_t pack_min;

    nx_matmul_fn matmul[NX_DTYPE_COUNT];

    /* A fine backend's q8_0: d and a->tiles of tokens 4 * tile .. + 3, then products with them; panels of
     * 1..NX_PANEL_ROWS, however few tokens there are. */
    void (*quantize_q15)(const nx_act *a, int32_t tile);
    nx_matmul_fn matmul_q15;

    /* Numbers of rows row .. row + n_rows - 1 of any tensor as f32, as nx_tensor_decode has them. */
    void (*decode_rows)(float *dst, const nx_tensor *w, int64_t row, int64_t n_rows);

    /* One token, nf4 or fp4 whose blocks begin with rows: out[r] = row (row + r) of w . x. NULL:
     * decode_rows and the f32 kernel do it. */
    void (*gemv_nibbles)(float *out, const nx_tensor *w, int64_t row, int64_t n_rows,
                         const float *x, bool add);

    /* int8(x) of row t of a: q and d[t]; a's outliers are known. */
    void (*quantize_int8)(const nx_act *a, int32_t t);

    /* sums[r] = row r of w [n_rows, K] . q, n_rows 1 to 4, K at most NX_INT8_COLS_MAX. */
    void (*sum_int8)(int32_t *sums, const int8_t *w, int n_rows, const int8_t *q, int64_t K);

    /* One row: out[i] = (x[i] * r) * w[i]. out may be x. */
    void (*rmsnorm)(float *out, const float *x, const float *w, int64_t D, float eps);

    /* One row: out[i] = (x[i] - mean) * r * w[i] + b[i]; b may be NULL. out may be x. */
    void (*layernorm)(float *out, const float *x, const float *w, const float *b, int64_t D,
                      float eps);

    /* One token: x [H, D] in place, cs [n_rot / 2, 2]. */
    void (*rope)(float *x, const float *cs, nx_rope_kind kind, int32_t H, int32_t D, int32_t n_rot);

    /* One row of n numbers to f16, or to Q8_0 blocks (n % 32 == 0). dst: any address. */
    void (*store_f16)(void *dst, const float *src, int64_t n);
    void (*store_q8_0)(void *dst, const float *src, int64_t n);

    /* n_q (1..NX_ATTEND_HEADS) queries that see the same of one KV head: heads of one token, or one
     * head of several tokens.
     *   out, q   [n_q, D], ld numbers from one to the next, apart
     *   scores   n_q * n_pos floats of scratch */
    void (*attend)(float *out, const float *q, int64_t ld, int32_t n_q, int32_t D,
                   const nx_attend_span *span, float scale, float softcap, float *scores);

    /* n values; out may be gate, up may be NULL. */
    void (*act_mul)(float *out, const float *gate, const float *up, int64_t n, nx_activation kind);

    /* n values: out[i] = fmaf(a[i], scale, out[i]). */
    void (*add)(float *out, const float *a, int64_t n, float scale);

    /* n values in place: y = x[i] * scale, capped by tanh when cap > 0. */
    void (*softcap)(float *x, int64_t n, float scale, float cap);

    /* One row: ids, weights [opts->k] of logits [E]. */
    void (*route)(int32_t *ids, float *weights, const float *logits, int32_t E,
                  const nx_route_opts *opts);
} nx_kernels;

void nx_kernels_add_ref(nx_kernels *k);
#if defined(__x86_64__)
void nx_kernels_add_avx2(nx_kernels *k); /* call only where NX_CPU_AVX2 was found */
#endif

/* What the kernels of a weight type eat. */
nx_act_kind nx_act_kind_of(nx_dtype dtype);

/* Numbers in a block of quantised activations: 32 or 256 (1 for F32). */
static inline int64_t nx_act_block(nx_act_kind kind)
{
    return kind == NX_ACT_Q8 ? 32 : kind == NX_ACT_Q8K ? 256 : 1;
}

#endif
