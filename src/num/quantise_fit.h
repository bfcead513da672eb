/* quantise_fit.h - the best scale (and offset) for a handful of numbers that become small integers.
 *
 * Owns:   nothing; plain functions.
 * Thread: any.
 * Idea:   what is minimised is the sum of squared errors. For given codes q the best straight line
 *         through (q, x) is known in closed form, and so is what it leaves over; so a search needs
 *         only sums over q, q^2 and x q, one pass for each candidate step. The candidates stretch
 *         the plain step (range / codes) by up to one code either way; the winner is then polished:
 *         round again with the fitted line, fit again.
 */
#ifndef NX_NUM_QUANTISE_FIT_H
#define NX_NUM_QUANTISE_FIT_H

#include <stdbool.h>

#define NX_FIT_MAX 32 /* numbers fitted together, at most; their count is a multiple of 8 */

/* False if any of n numbers is NaN or infinite. */
bool nx_fit_finite(const float *x, int n);

/* x ~ scale * q - min with q in 0..top, scale >= 0, min >= 0. */
void nx_fit_affine(float *scale, float *min, const float *x, int n, int top);

/* The same with both given: the codes into q (as floats). Returns the sum of squared errors. */
float nx_fit_affine_codes(float *q, const float *x, int n, int top, float scale, float min);

/* x ~ scale * q with q in low..high, low < 0 < high; the scale may be negative. */
float nx_fit_signed(const float *x, int n, int low, int high);
float nx_fit_signed_codes(float *q, const float *x, int n, int low, int high, float scale);

/* x ~ scale * nx_iq4_levels[q]; q receives the levels' indices here. */
float nx_fit_levels(const float *x, int n);
float nx_fit_levels_codes(float *q, const float *x, int n, float scale);

#endif
