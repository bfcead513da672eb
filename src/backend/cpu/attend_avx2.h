/* attend_avx2.h - attention with AVX2. Contract: kernels.h. */
#ifndef NX_BACKEND_CPU_ATTEND_AVX2_H
#define NX_BACKEND_CPU_ATTEND_AVX2_H

#include "backend/cpu/kernels.h"

void nx_attend_avx2(float *out, const float *q, int32_t n_q, int32_t D, const uint8_t *k,
                    size_t k_stride, nx_dtype k_dtype, const uint8_t *v, size_t v_stride,
                    nx_dtype v_dtype, int32_t n_pos, float scale, float softcap, float *scores);

#endif
