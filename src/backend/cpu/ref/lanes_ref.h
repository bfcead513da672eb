/* lanes_ref.h - sums in sixteen lanes, the order that backend.h fixes for floating point. */
#ifndef NX_BACKEND_CPU_REF_LANES_REF_H
#define NX_BACKEND_CPU_REF_LANES_REF_H

/* Fold the sixteen running sums in halves. */
static inline float nx_lanes_fold(float acc[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++) acc[l] += acc[l + half];
    return acc[0];
}

#endif
