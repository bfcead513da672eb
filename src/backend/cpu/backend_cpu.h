/* backend_cpu.h - the CPU backend's object, as its own files see it. */
#ifndef NX_BACKEND_CPU_BACKEND_CPU_H
#define NX_BACKEND_CPU_BACKEND_CPU_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"

/* Numbers that are worth waking another thread for. */
#define NX_CPU_GRAIN 8192

/* Rows of so many numbers that are. */
static inline int64_t nx_cpu_grain_rows(int64_t numbers_per_row)
{
    int64_t rows = NX_CPU_GRAIN / (numbers_per_row > 0 ? numbers_per_row : 1);
    return rows > 1 ? rows : 1;
}

/* Scratch of matmul_experts; rows: as many as one slice of matmul takes. */
typedef struct nx_cpu_experts {
    float   *x, *y; /* [rows, n_cols_max]: what one expert reads and writes, side by side */
    int32_t *order; /* [n_slots_max]: slots sorted by expert */
    int32_t *first; /* [n_experts_max + 1]: where each expert's slots begin */
} nx_cpu_experts;

typedef struct nx_cpu_backend {
    nx_backend     base; /* first: the object is a nx_backend */
    nx_backend_ops ops;  /* base.ops points here; the name differs by variant */
    nx_kernels     kernels;
    nx_pool       *pool;  /* borrowed */
    bool           exact; /* activations stay f32, whatever the weights are */
    bool           fine;  /* exact, but for q8_0: activations in 16 bits */

    /* Scratch, taken by reserve for `sizes`. */
    nx_backend_sizes sizes;
    void            *scratch; /* one mapping, cut into what follows */
    size_t           scratch_bytes;
    nx_act           act;         /* of the matmul at work; x, T, K and kind change */
    uint8_t         *panels;      /* [n_threads, NX_PANEL_SCRATCH] */
    float           *decoded;     /* [n_threads, NX_DECODED_ROWS, n_cols_max] */
    uint8_t         *outlier_hit; /* [n_cols_max] */
    float           *scores;      /* [n_threads, NX_ATTEND_HEADS, n_pos_max] */
    nx_cpu_experts   experts;
} nx_cpu_backend;

/* The op of backend.h, in matmul.c. */
void nx_cpu_matmul(nx_backend *be, float *const out[], const nx_tensor *const w[], int32_t n_w,
                   const float *x, int32_t T, bool add);

/* Those in cache.c. */
void nx_cpu_kv_store(nx_backend *be, const nx_kv_view *kv, const float *src,
                     const nx_seq_rows *seqs, int32_t n_seqs);
void nx_cpu_attention(nx_backend *be, float *out, const float *q, const nx_kv_view *k,
                      const nx_kv_view *v, const nx_seq_rows *seqs, int32_t n_seqs, int32_t H,
                      const nx_attention_opts *opts);

/* Those in elementwise.c. */
void nx_cpu_act_mul(nx_backend *be, float *out, const float *gate, const float *up, int64_t n,
                    nx_activation kind);
void nx_cpu_layernorm(nx_backend *be, float *out, const float *x, const float *w, const float *b,
                      int32_t T, int64_t D, float eps);
void nx_cpu_bias(nx_backend *be, float *x, const float *b, int32_t T, int64_t N);
void nx_cpu_add(nx_backend *be, float *out, const float *a, int64_t n, float scale);
void nx_cpu_softcap(nx_backend *be, float *x, int64_t n, float scale, float cap);

/* Those in experts.c. */
void nx_cpu_route(nx_backend *be, int32_t *ids, float *weights, const float *logits, int32_t T,
                  int32_t E, const nx_route_opts *opts);
void nx_cpu_matmul_experts(nx_backend *be, float *out, const nx_tensor *w, int32_t E,
                           const float *x, int32_t T, const int32_t *ids, int32_t k,
                           bool x_per_slot);
void nx_cpu_combine(nx_backend *be, float *out, const float *y, const float *weights, int32_t T,
                    int32_t k, int64_t N);
void nx_cpu_gate_rows(nx_backend *be, float *x, const float *gate, int32_t T, int64_t N);

#endif
