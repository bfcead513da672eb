/* walk_avx2.h - AVX2 kernels around the products, by name. Contracts: kernels.h. */
#ifndef NX_BACKEND_CPU_WALK_AVX2_H
#define NX_BACKEND_CPU_WALK_AVX2_H

#include "backend/cpu/kernels.h"

void nx_quantize_q8_avx2(const nx_act *a, int32_t t);
void nx_quantize_q8k_avx2(const nx_act *a, int32_t t);
void nx_store_f16_avx2(void *dst, const float *src, int64_t n);
void nx_store_q8_0_avx2(void *dst, const float *src, int64_t n);
void nx_rmsnorm_avx2(float *out, const float *x, const float *w, int64_t D, float eps);
void nx_rope_avx2(float *x, const float *cs, nx_rope_kind kind, int32_t H, int32_t D,
                  int32_t n_rot);

/* curves_avx2.c */
void nx_layernorm_avx2(float *out, const float *x, const float *w, const float *b, int64_t D,
                       float eps);
void nx_act_mul_avx2(float *out, const float *gate, const float *up, int64_t n, nx_activation kind);
void nx_add_avx2(float *out, const float *a, int64_t n, float scale);
void nx_softcap_avx2(float *x, int64_t n, float scale, float cap);

#endif
