/* backend.h - the whole conversation between the transformer and what computes it.
 *
 * A backend is a table of fused ops over its own memory. All activations are f32, row-major.
 * Pointers passed to ops are backend memory (alloc'd there, or tensors it accepted).
 *
 * The results are part of this contract, down to the bit. Every variant (reference, AVX2, later
 * ones), any number of threads and any batch size give the same bits, because the order of every
 * floating-point sum is written here:
 *
 *   lanes16(n, term)   the sum over i in 0..n-1 of term(i) in 16 running sums: lane l takes i = l,
 *                      l + 16, ...  ascending; each step is acc[l] = fmaf(a_i, b_i, acc[l]) from
 *                      +0. Then lanes fold in halves: acc[l] += acc[l + 8] for l < 8, then + 4,
 *                      + 2, + 1.
 *   q8(x)              activations of one row, blocks of 32: amax = max |x|; d = amax / 127;
 *                      q_i = round to nearest even of x_i * (1 / d), as an int8; sum = sum of q_i
 *                      (exact); s = d * (float)sum. If d < 2^-100 (1 / d might overflow), d and
 *                      every q are 0. If amax is not finite, d is NaN and every q is 0, so that
 *                      the product is NaN and nobody is misled.
 *   q8k(x)             the same over blocks of 256, with one sum for each 16 values and no s.
 *
 *   matmul, by weight type, one output y = row w . row x over K:
 *     f32 f16 bf16     lanes16(K, w_i * x_i), w_i converted exactly to f32.
 *     blocks of 32     (q4_0 q4_1 q5_0 q5_1 q8_0 iq4_nl) on q8(x). For each block in order:
 *                      isum = sum level_i * q_i, exact in int32 (level: the signed integer that
 *                      multiplies d: q4_0 nibble - 8, q5_0 - 16, q4_1/q5_1 unsigned, iq4_nl
 *                      codebook); acc = fmaf(d_w * d_x, (float)isum, acc); then, for q4_1 q5_1:
 *                      acc = fmaf(m_w, s_x, acc).
 *     blocks of 256    (q2_k q3_k q4_k q5_k q6_k iq4_xs) on q8k(x). For each block in order:
 *                      isum = sum scale_j * level_i * q_i over sub-blocks j, exact in int32;
 *                      acc = fmaf(d_w * d_x, (float)isum, acc); then, for q2_k q4_k q5_k:
 *                      msum = sum min_j * sums_j, exact; acc = fmaf(-(dmin_w * d_x), (float)msum,
 *                      acc).
 *   exp                nx_expf of num/expf.h, in scalar and vector form of the same steps.
 *
 * Of a NaN only its being NaN is promised, not its sign and payload.
 *
 * Everything is compiled with -ffp-contract=off: a fused step is written as fmaf or _mm256_fmadd.
 *
 * Thread: one caller at a time; ops use the backend's own workers.
 * Errors: ops can't fail once `reserve` succeeded for their sizes; a backend that can fail later
 * (a GPU) reports at `wait`.
 */
#ifndef NX_TENSOR_BACKEND_H
#define NX_TENSOR_BACKEND_H

#include "base/error.h"
#include "tensor/tensor.h"

typedef struct nx_backend nx_backend;

/* One layer's keys or values: [n_pos, n_heads, head_dim], one row = one position of one head,
 * nx_dtype_row_bytes(dtype, head_dim) bytes. dtype: F32, F16, Q8_0 (head_dim % 32 == 0). */
typedef struct nx_kv_view {
    void    *data;
    nx_dtype dtype;
    int32_t  n_pos, n_heads, head_dim;
} nx_kv_view;

typedef enum nx_rope_kind {
    NX_ROPE_PAIRS,  /* rotates (x[2i], x[2i+1]): `llama` in GGUF */
    NX_ROPE_HALVES, /* rotates (x[i], x[i + n_rot/2]): Hugging Face order, `neox` in GGUF */
} nx_rope_kind;

/* The largest sizes that ops will see, so that all scratch is taken before the first token. */
typedef struct nx_backend_sizes {
    int32_t n_rows_max; /* T: rows of activations in one op */
    int64_t n_cols_max; /* K: the longest row given to matmul */
    int32_t n_pos_max;  /* positions that attention reads */
} nx_backend_sizes;

#define NX_MATMUL_GROUP_MAX 4

typedef struct nx_backend_ops {
    const char *name; /* "cpu-avx2": for people and logs */

    void (*destroy)(nx_backend *be);

    /* Memory: 64-byte aligned, zeroed. */
    void *(*alloc)(nx_backend *be, size_t bytes);
    void (*free)(nx_backend *be, void *p);
    nx_status (*reserve)(nx_backend *be, const nx_backend_sizes *sizes, nx_error *err);
    nx_status (*wait)(nx_backend *be, nx_error *err);

    /* True when embed and matmul take this weight type. */
    bool (*supports)(const nx_backend *be, nx_dtype dtype);

    /* out[t, :] = row ids[t] of table (decoded exactly) * scale.   out [T, K], ids in range. */
    void (*embed)(nx_backend *be, float *out, const nx_tensor *table, const int32_t *ids, int32_t T,
                  float scale);

    /* out[t, i] = (x[t, i] * r) * w[i], r = 1 / sqrtf(lanes16(D, x*x) / D + eps).
     * out may be x. w [D] f32. */
    void (*rmsnorm)(nx_backend *be, float *out, const float *x, const float *w, int32_t T,
                    int64_t D, float eps);

    /* out[g][t, n] = w[g] row n . x[t]   for n_w <= NX_MATMUL_GROUP_MAX matrices that share x.
     * x [T, K]; w[g] ne = {K, N_g}; out[g] [T, N_g], apart from x. With `add` true the product is
     * added: out = out + product (the residual). */
    void (*matmul)(nx_backend *be, float *const out[], const nx_tensor *const w[], int32_t n_w,
                   const float *x, int32_t T, bool add);

    /* Rotate the first n_rot of each head's D values in place: x [T, H, D].
     * cs [T, n_rot/2, 2] holds cos and sin.   a' = a*cos - b*sin ; b' = a*sin + b*cos, written
     * a' = fmaf(a, cos, -(b * sin)), b' = fmaf(a, sin, b * cos). */
    void (*rope)(nx_backend *be, float *x, const float *cs, nx_rope_kind kind, int32_t T, int32_t H,
                 int32_t D, int32_t n_rot);

    /* Store src [T, n_heads, head_dim] at positions pos0 .. pos0+T-1 of the view. f16 rounds to
     * nearest even; q8_0 is ggml's reference quantisation (d rounded to f16 after use, codes by
     * roundf), with tiny and non-finite blocks as in q8(x). */
    void (*kv_store)(nx_backend *be, const nx_kv_view *kv, const float *src, int32_t pos0,
                     int32_t T);

    /* Causal grouped-query attention. q, out [T, H, D]; row t stands at position pos0 + t and sees
     * positions 0 .. pos0 + t. Query head h reads KV head h / (H / n_heads).
     *   score_p = lanes16(D, c(q_i) * k_i) * scale ; m = max ; e_p = nx_expf(score_p - m) ;
     *   sum = lanes16-order sum of e_p over p (each step acc[l] += e_p) ; r = 1 / sum ;
     *   w_p = e_p * r ; out_i = running fmaf(w_p, v_i, out_i) over p ascending, from +0.
     * k_i and v_i are decoded exactly to f32. c rounds to f16 when k's cache is f16, and changes
     * nothing otherwise: both factors of a score then have the cache's precision, as on tensor
     * cores and in llama.cpp. Measured: llama.cpp's published log-probabilities on stories260K are
     * met within 0.0093 (0.0146 with c left out); rounding w_p as well, as llama.cpp does, gives
     * 0.0097 and takes the distance to transformers with an f16 cache from 0.78e-3 of the logits'
     * deviation to 0.98e-3 (tiny models of dim 64), where 1e-3 is allowed. out apart from q. */
    void (*attention)(nx_backend *be, float *out, const float *q, const nx_kv_view *k,
                      const nx_kv_view *v, int32_t pos0, int32_t T, int32_t H, float scale);

    /* out = silu(gate) * up, silu(x) = x / (1 + nx_expf(-x)).   n values; out may be gate. */
    void (*silu_mul)(nx_backend *be, float *out, const float *gate, const float *up, int64_t n);
} nx_backend_ops;

/* Concrete backends begin with this struct. */
struct nx_backend {
    const nx_backend_ops *ops;
};

#endif
