/* attend_avx2.h - attention with AVX2. Contract: kernels.h. */
#ifndef NX_BACKEND_CPU_ATTEND_AVX2_H
#define NX_BACKEND_CPU_ATTEND_AVX2_H

#include "backend/cpu/kernels.h"

void nx_attend_avx2(float *out, const float *q, int64_t ld, int32_t n_q, int32_t D,
                    const nx_attend_span *span, float scale, float softcap, float *scores);

#endif
