/* curves.h - tanh, erf and the logistic function, the same bits in every kernel.
 *
 * As expf.h does for e^x: libm's differ between versions and have no vector twins, so these are
 * defined by their steps, each a correctly rounded f32 operation (NaN stays NaN):
 *
 *   sigmoid(x) = 1 / (1 + nx_expf(-x))
 *   tanh(x)    a = |x|. a < 0.625: s = x * x, p = t4, p = fmaf(p, s, t3) ... t0,
 *              fmaf(p * s, x, x). Else 1 - 2 / (nx_expf(2 a) + 1) with the sign of x.
 *   erf(x)     a = |x|. a < 0.95: s = x * x, p = s5 ... s0, fmaf(p, x, x).
 *              Else a = min(a, 4), p = l5, p = fmaf(p, a, l4) ... l0, 1 - nx_expf(p * a) with the
 *              sign of x: log(1 - erf(a)) is nearly a parabola.
 *
 * The coefficients are minimax fits of the relative error, made in double precision.
 * Error: sigmoid below 4 ulp, tanh and erf below 2 ulp (tests/unit/num/test_curves.c).
 */
#ifndef NX_NUM_CURVES_H
#define NX_NUM_CURVES_H

#include "num/expf.h"

#define NX_TANH_SMALL 0.625f
#define NX_TANH_T0    (-3.333328194e-01f)
#define NX_TANH_T1    1.333144220e-01f
#define NX_TANH_T2    (-5.373971516e-02f)
#define NX_TANH_T3    2.063908748e-02f
#define NX_TANH_T4    (-5.704987254e-03f)

#define NX_ERF_SMALL 0.95f
#define NX_ERF_ONE   4.0f /* erf of more is 1 in f32 */
#define NX_ERF_S0    1.283791423e-01f
#define NX_ERF_S1    (-3.761244598e-01f)
#define NX_ERF_S2    1.128132094e-01f
#define NX_ERF_S3    (-2.674887059e-02f)
#define NX_ERF_S4    4.967513722e-03f
#define NX_ERF_S5    (-5.862109600e-04f)
#define NX_ERF_L0    (-1.128519952e+00f)
#define NX_ERF_L1    (-6.356993695e-01f)
#define NX_ERF_L2    (-1.052868527e-01f)
#define NX_ERF_L3    2.290602978e-02f
#define NX_ERF_L4    (-3.219975036e-03f)
#define NX_ERF_L5    2.145949619e-04f

static inline float nx_sigmoidf(float x)
{
    return 1.0f / (1.0f + nx_expf(-x));
}

static inline float nx_tanhf(float x)
{
    float a = fabsf(x);

    if (a < NX_TANH_SMALL) {
        float s = x * x, p = NX_TANH_T4;
        p = fmaf(p, s, NX_TANH_T3);
        p = fmaf(p, s, NX_TANH_T2);
        p = fmaf(p, s, NX_TANH_T1);
        p = fmaf(p, s, NX_TANH_T0);
        return fmaf(p * s, x, x);
    }
    return copysignf(1.0f - 2.0f / (nx_expf(2.0f * a) + 1.0f), x);
}

static inline float nx_erff(float x)
{
    float a = fabsf(x);

    if (a < NX_ERF_SMALL) {
        float s = x * x, p = NX_ERF_S5;
        p = fmaf(p, s, NX_ERF_S4);
        p = fmaf(p, s, NX_ERF_S3);
        p = fmaf(p, s, NX_ERF_S2);
        p = fmaf(p, s, NX_ERF_S1);
        p = fmaf(p, s, NX_ERF_S0);
        return fmaf(p, x, x);
    }
    if (a > NX_ERF_ONE) a = NX_ERF_ONE;
    float p = NX_ERF_L5;
    p = fmaf(p, a, NX_ERF_L4);
    p = fmaf(p, a, NX_ERF_L3);
    p = fmaf(p, a, NX_ERF_L2);
    p = fmaf(p, a, NX_ERF_L1);
    p = fmaf(p, a, NX_ERF_L0);
    return copysignf(1.0f - nx_expf(p * a), x);
}

/* The activations of tensor/backend.h, as that contract writes them. */
#define NX_GELU_C1     (-1.595769122e+00f) /* -2 sqrt(2 / pi) */
#define NX_GELU_C3     (-7.135481627e-02f) /* the same times 0.044715 */
#define NX_SQRT_HALF_F 7.071067812e-01f

static inline float nx_siluf(float x)
{
    return x / (1.0f + nx_expf(-x));
}

static inline float nx_gelu_tanhf(float x)
{
    return x / (1.0f + nx_expf(x * fmaf(NX_GELU_C3, x * x, NX_GELU_C1)));
}

static inline float nx_gelu_erff(float x)
{
    return 0.5f * x * (1.0f + nx_erff(x * NX_SQRT_HALF_F));
}

static inline float nx_reluf(float x)
{
    return x < 0.0f ? 0.0f : x;
}

#endif
