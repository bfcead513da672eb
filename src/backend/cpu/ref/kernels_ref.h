/* kernels_ref.h - the reference kernels by name: the truth, and the tails of faster ones.
 * Contracts: kernels.h. */
#ifndef NX_BACKEND_CPU_REF_KERNELS_REF_H
#define NX_BACKEND_CPU_REF_KERNELS_REF_H

#include "backend/cpu/kernels.h"

/* Steps below this are 0 and so are their codes: the inverse of a smaller one would overflow. */
#define NX_Q8_TINY 0x1p-100f

void nx_quantize_q8_ref(const nx_act *a, int32_t t);
void nx_quantize_q8k_ref(const nx_act *a, int32_t t);
void nx_quantize_q15_ref(const nx_act *a, int32_t tile);
void nx_matmul_q15_ref(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes, int64_t n_rows,
                       const nx_act *a, bool add, void *scratch);
void nx_store_f16_ref(void *dst, const float *src, int64_t n);
void nx_store_q8_0_ref(void *dst, const float *src, int64_t n);

/* One output each: row w (any address) . row t of a. */
float nx_dot_plain_ref(const uint8_t *w, nx_dtype dtype, const nx_act *a, int32_t t);
float nx_dot_q8_ref(const uint8_t *w, nx_dtype dtype, const nx_act *a, int32_t t);
float nx_dot_q8k_ref(const uint8_t *w, nx_dtype dtype, const nx_act *a, int32_t t);
void  nx_matmul_add_ref(nx_kernels *k); /* the slots matmul[] and pack */
void  nx_apart_add_ref(nx_kernels *k);  /* those of types whose scales lie apart */

void nx_rmsnorm_ref(float *out, const float *x, const float *w, int64_t D, float eps);
void nx_rope_ref(float *x, const float *cs, nx_rope_kind kind, int32_t H, int32_t D, int32_t n_rot);
void nx_attend_ref(float *out, const float *q, int64_t ld, int32_t n_q, int32_t D,
                   const nx_attend_span *span, float scale, float softcap, float *scores);

/* curves_ref.c */
void nx_layernorm_ref(float *out, const float *x, const float *w, const float *b, int64_t D,
                      float eps);
void nx_act_mul_ref(float *out, const float *gate, const float *up, int64_t n, nx_activation kind);
void nx_add_ref(float *out, const float *a, int64_t n, float scale);
void nx_softcap_ref(float *x, int64_t n, float scale, float cap);
void nx_route_ref(int32_t *ids, float *weights, const float *logits, int32_t E,
                  const nx_route_opts *opts);

#endif
