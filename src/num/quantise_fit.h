/* quantise_fit.h - the scale (and offset) that stand best for a few numbers. Within num/ only.
 *
 * Best: the least sum of squared errors. For given codes that is a linear problem with a closed
 * answer; so we try codes from a few scales around the obvious one, solve each, keep the best.
 * All numbers are finite; n is 16 or 32. Any thread.
 *
 * The steps stand once, in quantise_fit_body.h, in eight lanes whose order is fixed; they are compiled
 * plainly and for AVX2, with the same bits.
 */
#ifndef NX_NUM_QUANTISE_FIT_H
#define NX_NUM_QUANTISE_FIT_H

#include <stdint.h>

typedef struct nx_fit {
    /* x_i ~ scale * q_i - min, 0 <= q_i <= top, scale >= 0, min >= 0. Returns the scale. */
    float (*affine)(float *min, const float *x, int n, int top);

    /* x_i ~ scale * q_i, -half <= q_i < half. The scale may be negative: then the largest number
     * meets the code -half, which has no opposite. half 0: q_i are levels of IQ4. */
    float (*symmetric)(const float *x, int n, int half);

    /* Squared errors with the best codes for a scale (and offset) as stored. */
    float (*affine_error)(const float *x, int n, int top, float scale, float min);
    float (*symmetric_error)(const float *x, int n, int half, float scale);
} nx_fit;

const nx_fit *nx_fit_get(void); /* the best that this processor has */

extern const nx_fit nx_fit_plain;
#if defined(__x86_64__)
extern const nx_fit nx_fit_avx2;
#endif

/* The code 0..15 whose level of IQ4 is nearest to v; in between, the lower. */
uint8_t nx_iq4_nearest(float v);

/* The whole number nearest to v, cut to lo..hi; halves go away from zero. */
static inline int nx_fit_round(float v, int lo, int hi)
{
    v = v > (float)lo ? v : (float)lo; /* a NaN becomes lo */
    v = v < (float)hi ? v : (float)hi;
    return (int)(v + (v < 0 ? -0.5f : 0.5f));
}

/* 1 / d, or 0 where there is nothing to divide, or nothing that could be told apart. */
static inline float nx_fit_inverse(float d)
{
    float r = d != 0.0f ? 1.0f / d : 0.0f;

    return r <= 3.4e38f && r >= -3.4e38f ? r : 0.0f;
}

#endif
