/* expf.h - e^x, the same bits in every kernel.
 *
 * libm's expf differs between versions and has no vector twin, so the result would depend on the
 * machine. This one is defined by its steps, each a correctly rounded f32 operation, which the
 * vector kernels repeat one for one (x in [-87.3, 88.7]; below 0, above +inf; NaN stays NaN):
 *
 *   n = round to nearest even of x * log2(e)          (f32 product, then rounding)
 *   r = fmaf(n, -ln2_hi, x) ; r = fmaf(n, -ln2_lo, r)
 *   p = c7 ; p = fmaf(p, r, c6) ... fmaf(p, r, c2) ; p = fmaf(p * r, r, r) ; p = p + 1
 *   e^x = p * 2^n, the power applied as two factors 2^(n/2) * 2^(n - n/2) so that it neither
 *   overflows nor underflows early (n/2 is an arithmetic shift).
 *
 * Error: below 2 ulp against a double-precision exp (tests/unit/num/test_expf.c).
 */
#ifndef NX_NUM_EXPF_H
#define NX_NUM_EXPF_H

#include <math.h>
#include <stdint.h>

#include "num/half.h"

#define NX_EXP_LO     (-87.33654f) /* smaller x give 0: results stay normal numbers */
#define NX_EXP_HI     88.72283f    /* larger x give +inf */
#define NX_EXP_LOG2E  1.44269504f
#define NX_EXP_LN2_HI 0.693359375f
#define NX_EXP_LN2_LO (-2.12194440e-4f)
#define NX_EXP_C2     5.0000001201e-1f
#define NX_EXP_C3     1.6666665459e-1f
#define NX_EXP_C4     4.1665795894e-2f
#define NX_EXP_C5     8.3334519073e-3f
#define NX_EXP_C6     1.3981999507e-3f
#define NX_EXP_C7     1.9875691500e-4f

static inline float nx_expf(float x)
{
    if (!(x == x)) return x;
    if (x < NX_EXP_LO) return 0.0f;
    if (x > NX_EXP_HI) return nx_f32_from_bits(0x7F800000u);
    float n = rintf(x * NX_EXP_LOG2E);
    float r = fmaf(n, -NX_EXP_LN2_HI, x);
    r = fmaf(n, -NX_EXP_LN2_LO, r);
    float p = NX_EXP_C7;
    p = fmaf(p, r, NX_EXP_C6);
    p = fmaf(p, r, NX_EXP_C5);
    p = fmaf(p, r, NX_EXP_C4);
    p = fmaf(p, r, NX_EXP_C3);
    p = fmaf(p, r, NX_EXP_C2);
    p = fmaf(p * r, r, r) + 1.0f;
    int32_t k = (int32_t)n, half = k >> 1;
    float   lo = nx_f32_from_bits((uint32_t)(half + 127) << 23);
    float   hi = nx_f32_from_bits((uint32_t)(k - half + 127) << 23);
    return p * lo * hi;
}

#endif
