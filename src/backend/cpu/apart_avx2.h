/* apart_avx2.h - the AVX2 kernels of types whose scales lie apart. Contracts: kernels.h. */
#ifndef NX_BACKEND_CPU_APART_AVX2_H
#define NX_BACKEND_CPU_APART_AVX2_H

#include "backend/cpu/kernels.h"

void nx_decode_rows_avx2(float *dst, const nx_tensor *w, int64_t row, int64_t n_rows);
void nx_gemv_nibbles_avx2(float *out, const nx_tensor *w, int64_t row, int64_t n_rows,
                          const float *x, bool add);
void nx_quantize_int8_avx2(const nx_act *a, int32_t t);
void nx_sum_int8_avx2(int32_t *sums, const int8_t *w, int n_rows, const int8_t *q, int64_t K);

#endif
