/* matmul_avx2.h - the AVX2 kernels of matmul by name. Contracts: kernels.h. */
#ifndef NX_BACKEND_CPU_MATMUL_AVX2_H
#define NX_BACKEND_CPU_MATMUL_AVX2_H

#include "backend/cpu/kernels.h"

/* Few tokens: weights are multiplied as they lie. n_rows is any number: a thread's share. */
void nx_gemv_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                  int64_t n_rows, const nx_act *a, bool add);

/* Many tokens: weights are spread into a panel first, and multiplied with a->tiles. gemm8 takes the
 * types whose codes are unsigned, gemm those of signed levels: q8_0, iq4_nl, iq4_xs. */
void nx_gemm8_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                   int32_t n_rows, const nx_act *a, bool add, void *scratch);
void nx_gemm8_pack_avx2(const nx_act *a, int32_t tile);
void nx_gemm_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                  int32_t n_rows, const nx_act *a, bool add, void *scratch);
void nx_gemm_pack_avx2(const nx_act *a, int32_t tile);

/* fine_avx2.c */
void nx_quantize_q15_avx2(const nx_act *a, int32_t tile);
void nx_matmul_q15_avx2(float *out, int64_t ldo, const uint8_t *w, size_t row_bytes, int64_t n_rows,
                        const nx_act *a, bool add, void *scratch);

/* f32, f16, bf16; any number of rows and tokens. */
void nx_plain_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                   int64_t n_rows, const nx_act *a, bool add);

/* The same for three tokens or more. */
void nx_plain_gemm_avx2(nx_dtype dtype, float *out, int64_t ldo, const uint8_t *w, size_t row_bytes,
                        int64_t n_rows, const nx_act *a, bool add);

#endif
