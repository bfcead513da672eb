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
 *     nf4 fp4          lanes16(K, w_i * x_i), w_i = level(code_i) * scale, rounded to f32.
 *     int8             LLM.int8 (Dettmers et al. 2022, arXiv 2208.07339), as bitsandbytes computes it.
 *                      Outlier columns: those in which any of the T rows, rounded to f16, has a
 *                      magnitude of `threshold` or more. Each row, rounded to f16: amax = max |x_i|
 *                      but for outliers; q_i = round to nearest even of x_i * (127 / amax), 0 in
 *                      outlier columns (amax 0: all q are 0; not finite: the row is NaN).
 *                      y = ((float)(sum w_i * q_i, exact) * (amax * scale)) * 6.200124e-05, which is
 *                      bitsandbytes' 1 / 16129: rounding anew in every layer makes a hundredth of a
 *                      hundred-thousandth here, so its own number is taken. Then for each outlier
 *                      column i, ascending: y = fmaf(x_i, (w_i * scale) * (1 / 127), y), with x_i as it
 *                      is. Rows longer than 131072 are multiplied as f32 are. Here alone a row's
 *                      result depends on the rows beside it.
 *     An exact backend multiplies every type as f32: lanes16(K, w_i * x_i), w_i decoded. A fine one
 *     does so but for q8_0, which meets q15(x): q8(x) with 32767 in place of 127, and no sums; for each
 *     block in order: isum = sum level_i * q_i, exact in int32; acc = fmaf(d_w * d_x, (float)isum, acc).
 *     What the codes round off is a hundredth of what the weights' own 8 bits did.
 *   exp, tanh, erf     nx_expf, nx_tanhf, nx_erff, nx_sigmoidf of num/expf.h and num/curves.h, in
 *                      scalar and vector form of the same steps.
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

/* One layer's keys or values, in pages: [n_pages, page_len, n_heads, head_dim]. One row = one
 * position of one head, nx_dtype_row_bytes(dtype, head_dim) bytes. dtype: F32, F16, Q8_0
 * (head_dim % 32 == 0). */
typedef struct nx_kv_view {
    void    *data;
    nx_dtype dtype;
    int32_t  n_pages, page_len; /* page_len: positions of one page, at least 1 */
    int32_t  n_heads, head_dim;
} nx_kv_view;

/* The rows of one sequence in a step: rows row0 .. row0+T-1 of the activations stand at positions
 * pos0 .. pos0+T-1. Position p lies in page pages[p / page_len], at place p % page_len; so pages
 * has an entry for each page up to that of position pos0+T-1 (those wholly before a window are not
 * looked at). Sequences may share pages that are only read: a position is stored by one of them.
 *
 * The sequences of a step follow each other without a gap: row0 of the first is 0, and of each
 * other the end of the one before; T >= 1. They and their pages are the caller's own memory,
 * borrowed for the call.
 *
 * Without pages (NULL) a sequence is whole, and pos0 is 0: attention reads the step's own keys and
 * values, [rows, n_heads, head_dim], as a view of one page that holds them all; nothing is stored. */
typedef struct nx_seq_rows {
    const int32_t *pages;
    int32_t        row0, T, pos0;
} nx_seq_rows;

typedef enum nx_rope_kind {
    NX_ROPE_PAIRS,  /* rotates (x[2i], x[2i+1]): `llama` in GGUF */
    NX_ROPE_HALVES, /* rotates (x[i], x[i + n_rot/2]): Hugging Face order, `neox` in GGUF */
} nx_rope_kind;

/* The largest sizes that ops will see, so that all scratch is taken before the first token. */
typedef struct nx_backend_sizes {
    int32_t n_rows_max;    /* T: rows of activations in one op */
    int64_t n_cols_max;    /* K: the longest row given to matmul */
    int32_t n_pos_max;     /* positions of one sequence that attention reads */
    int32_t n_slots_max;   /* T * k rows of matmul_experts; 0: the model has no experts */
    int32_t n_experts_max; /* E; 0 like n_slots_max */
} nx_backend_sizes;

/* The curve between the two halves of a feed-forward block. */
typedef enum nx_activation {
    NX_ACTIVATION_SILU,      /* x / (1 + nx_expf(-x)) */
    NX_ACTIVATION_GELU_TANH, /* x / (1 + nx_expf(u)), u = x * fmaf(c * 0.044715, x * x, c), both
                              * factors rounded once, c = -2 sqrt(2 / pi): 0.5 x (1 + tanh(...)) of
                              * the paper (Hendrycks & Gimpel 2016), without its cancellation */
    NX_ACTIVATION_GELU_ERF,  /* (0.5f * x) * (1 + nx_erff(x * sqrt(1 / 2))) */
    NX_ACTIVATION_RELU,      /* x < 0 ? 0 : x */
} nx_activation;

typedef struct nx_attention_opts {
    float   scale;   /* of q . k */
    float   softcap; /* 0: none */
    int32_t window;  /* a row at position P sees p with |P - p| < window; 0: all that it may see */
    bool    both_ways; /* a row sees what stands behind it in its sequence, too */
    /* Added to the scaled score of head h: number n_bias - 1 + p - P of row h. NULL: none.
     * [H, 2 * n_bias - 1]; no sequence has more than n_bias positions. */
    const float *bias;
    int32_t      n_bias;
} nx_attention_opts;

/* Which experts a token meets: the k largest of its E logits. */
typedef struct nx_route_opts {
    int32_t k;         /* 1 to E */
    bool    normalise; /* the k weights are divided by their sum */
    float   scale;     /* of the weights, at last */
} nx_route_opts;

#define NX_MATMUL_GROUP_MAX 4

typedef struct nx_backend_ops {
    const char *name; /* "cpu-avx2": for people and logs */

    void (*destroy)(nx_backend *be);

    /* Memory: 64-byte aligned, zeroed. */
    void *(*alloc)(nx_backend *be, size_t bytes);
    void (*free)(nx_backend *be, void *p);
    nx_status (*reserve)(nx_backend *be, const nx_backend_sizes *sizes, nx_error *err);
    /* Bytes that reserve would take for the same sizes; SIZE_MAX when absurd. */
    size_t (*scratch_bytes)(const nx_backend *be, const nx_backend_sizes *sizes);
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

    /* Store src [rows, n_heads, head_dim] at the positions where the rows of n_seqs sequences
     * stand. f16 rounds to nearest even; q8_0 is ggml's reference quantisation (d rounded to f16
     * after use, codes by roundf), with tiny and non-finite blocks as in q8(x). */
    void (*kv_store)(nx_backend *be, const nx_kv_view *kv, const float *src,
                     const nx_seq_rows *seqs, int32_t n_seqs);

    /* Grouped-query attention, each row over its own sequence. q, out [rows, H, D]; row row0 + t of
     * a sequence stands at position P = pos0 + t and sees its positions first .. last: 0 to P
     * (both_ways: to the end of its sequence, pos0 + T - 1), of which a window leaves those nearer
     * than itself. Query head h reads KV head h / (H / n_heads). k and v have the same pages, heads
     * and head_dim; types may differ. Where the pages lie, and what stands beside a row in its step,
     * changes no bit of it.
     *   score_p = lanes16(D, c(q_i) * k_i) * scale ; with a bias, score_p += bias_p ; with a
     *   softcap, score_p = softcap * nx_tanhf(score_p / softcap) ; m = max ;
     *   e_p = nx_expf(score_p - m) ;
     *   sum = lanes16-order sum of e_p over p - first (each step acc[l] += e_p) ; r = 1 / sum ;
     *   w_p = e_p * r ; out_i = running fmaf(w_p, v_i, out_i) over p ascending, from +0.
     * k_i and v_i are decoded exactly to f32. c rounds to f16 when k's cache is f16, and changes
     * nothing otherwise: both factors of a score then have the cache's precision, as on tensor
     * cores and in llama.cpp. Measured: llama.cpp's published log-probabilities on stories260K are
     * met within 0.0093 (0.0146 with c left out); rounding w_p as well, as llama.cpp does, gives
     * 0.0097 and takes the distance to transformers with an f16 cache from 0.78e-3 of the logits'
     * deviation to 0.98e-3 (tiny models of dim 64), where 1e-3 is allowed. out apart from q. */
    void (*attention)(nx_backend *be, float *out, const float *q, const nx_kv_view *k,
                      const nx_kv_view *v, const nx_seq_rows *seqs, int32_t n_seqs, int32_t H,
                      const nx_attention_opts *opts);

    /* out[i] = act(gate[i]) * up[i], or act(gate[i]) alone when up is NULL.   n values; out may be
     * gate. */
    void (*act_mul)(nx_backend *be, float *out, const float *gate, const float *up, int64_t n,
                    nx_activation kind);

    /* y = (x[t, i] - mean) * r ; out[t, i] = fmaf(y, w[i], b[i]), or y * w[i] when b is NULL.
     * mean = sum / D in lanes16 order (each step acc[l] += x_i) ; r = 1 / sqrtf(lanes16(D, d * d) / D
     * + eps), d = x_i - mean. out may be x. */
    void (*layernorm)(nx_backend *be, float *out, const float *x, const float *w, const float *b,
                      int32_t T, int64_t D, float eps);

    /* x[t, i] += b[i].   x [T, N], b [N]. */
    void (*bias)(nx_backend *be, float *x, const float *b, int32_t T, int64_t N);

    /* out[i] = fmaf(a[i], scale, out[i]).   n values; a apart from out. */
    void (*add)(nx_backend *be, float *out, const float *a, int64_t n, float scale);

    /* y = x[i] * scale ; x[i] = cap > 0 ? cap * nx_tanhf(y / cap) : y. */
    void (*softcap)(nx_backend *be, float *x, int64_t n, float scale, float cap);

    /* ids[t, :] = the k experts of the largest logits of row t, largest first, of equal ones the
     * lower index first; they differ and are in range whatever the logits are (a NaN is larger than
     * nothing, and nothing is larger than it). weights[t, j] = nx_expf(l - m) * (1 / sum) with m the
     * largest logit and the sum over all E in lanes16 order ; with `normalise` divided by the sum of
     * the k, added in order ; then times scale. */
    void (*route)(nx_backend *be, int32_t *ids, float *weights, const float *logits, int32_t T,
                  int32_t E, const nx_route_opts *opts);

    /* out[s, :] = w[ids[s]] . x[s / k], or . x[s] when `x_per_slot`, for the T * k slots s; each row
     * as matmul computes it. w is an array of E matrices of one shape {K, N}, types may differ; the
     * weights of an expert are read once for all its rows (of a slice of them, as in matmul).
     * out [T * k, N] apart from x. Reserved: N <= n_cols_max, T * k <= n_slots_max,
     * E <= n_experts_max. */
    void (*matmul_experts)(nx_backend *be, float *out, const nx_tensor *w, int32_t E,
                           const float *x, int32_t T, const int32_t *ids, int32_t k,
                           bool x_per_slot);

    /* out[t, i] = fmaf(y[t * k + j, i], weights[t, j], out[t, i]) for j ascending: added to what out
     * holds. out [T, N], y [T * k, N], weights [T, k]. */
    void (*combine)(nx_backend *be, float *out, const float *y, const float *weights, int32_t T,
                    int32_t k, int64_t N);

    /* x[t, :] *= nx_sigmoidf(gate[t]).   x [T, N]. */
    void (*gate_rows)(nx_backend *be, float *x, const float *gate, int32_t T, int64_t N);
} nx_backend_ops;

/* Concrete backends begin with this struct. */
struct nx_backend {
    const nx_backend_ops *ops;
};

#endif
