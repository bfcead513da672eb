/* quantise_fit_body.h - the steps of quantise_fit.h, included once for each instruction set, with
 * FIT naming the table.
 *
 * Idea: sums run in eight lanes, lane l over numbers l, l + 8, ..., then fold in halves, so that a
 *       compiler can use whatever registers it has and the bits stay the same.
 */
#include <math.h>
#include <stdbool.h>

#include "num/blocks.h"
#include "num/quantise_fit.h"

#define LANES for (int l = 0; l < 8; l++)

static inline float fold(const float v[8])
{
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

static inline float cut(float v, float lo, float hi)
{
    v = v > lo ? v : lo;
    return v < hi ? v : hi;
}

/* ---- scale * q - min ---- */

/* Sums over the numbers for one guess of codes. */
typedef struct sums {
    float q, qq, xq;
} sums;

static inline sums sum_codes(const float *x, int n, float inverse, float lo, int top)
{
    float q_sum[8] = {0}, qq[8] = {0}, xq[8] = {0};

    for (int i = 0; i < n; i += 8) {
        LANES
        {
            float v = cut((x[i + l] - lo) * inverse, 0, (float)top);
            float q = (float)(int)(v + 0.5f);
            q_sum[l] += q;
            qq[l] += q * q;
            xq[l] += x[i + l] * q;
        }
    }
    return (sums){fold(q_sum), fold(qq), fold(xq)};
}

/* Error of x ~ a q + b, less sum x^2, from the sums. */
static inline float error_of(sums s, float x_sum, int n, float a, float b)
{
    return a * a * s.qq + 2 * a * b * s.q + (float)n * b * b - 2 * a * s.xq - 2 * b * x_sum;
}

/* The best a and b <= 0 for these codes. False: the codes say nothing (all alike). */
static inline bool solve(float *a, float *b, sums s, float x_sum, int n)
{
    float det = (float)n * s.qq - s.q * s.q;

    if (!(det > 0)) return false;
    *a = ((float)n * s.xq - x_sum * s.q) / det;
    *b = (s.qq * x_sum - s.q * s.xq) / det;
    if (*b > 0) {
        *b = 0;
        *a = s.xq / s.qq;
    }
    return *a > 0;
}

/* Solve for these codes; keep the line when its error is less than *best. */
static inline void keep_better(float *best, float *best_a, float *best_b, sums s, float x_sum,
                               int n)
{
    float a, b;

    if (!solve(&a, &b, s, x_sum, n) || nx_fit_inverse(a) == 0) return;
    float error = error_of(s, x_sum, n, a, b);
    if (!(error < *best)) return;
    *best = error;
    *best_a = a;
    *best_b = b;
}

static float affine(float *min, const float *x, int n, int top)
{
    float lo = 0, hi = x[0], x_sum = 0, best_a, best_b, best = INFINITY;

    for (int i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        x_sum += x[i];
    }
    *min = -lo;
    if (!(hi > lo)) return 0;
    best_a = (hi - lo) / (float)top;
    best_b = lo;
    if (nx_fit_inverse(best_a) == 0) return 0;
    for (int step = -10; step <= 10; step++) {
        float inverse = ((float)top + 0.1f * (float)step) / (hi - lo);
        keep_better(&best, &best_a, &best_b, sum_codes(x, n, inverse, lo, top), x_sum, n);
    }
    /* Beside an outlier, the many are better served by one code than by the two around them. */
    for (int half = 0; half < 2; half++) {
        float inner_lo = lo * 0.5f * (float)half, inner_hi = hi * 0.5f * (float)half;
        if (hi > inner_lo && nx_fit_inverse(hi - inner_lo) != 0)
            keep_better(&best, &best_a, &best_b,
                        sum_codes(x, n, (float)top / (hi - inner_lo), inner_lo, top), x_sum, n);
        if (inner_hi > lo && nx_fit_inverse(inner_hi - lo) != 0)
            keep_better(&best, &best_a, &best_b,
                        sum_codes(x, n, (float)top / (inner_hi - lo), lo, top), x_sum, n);
    }
    /* Codes chosen anew for the solved line fit it better still. */
    for (int round = 0; round < 2; round++)
        keep_better(&best, &best_a, &best_b, sum_codes(x, n, 1.0f / best_a, best_b, top), x_sum, n);
    *min = -best_b;
    return best_a;
}

static float affine_error(const float *x, int n, int top, float scale, float min)
{
    float r = nx_fit_inverse(scale), sum[8] = {0};

    for (int i = 0; i < n; i += 8) {
        LANES
        {
            float v = cut((x[i + l] + min) * r, 0, (float)top);
            float e = x[i + l] - (scale * (float)(int)(v + 0.5f) - min);
            sum[l] += e * e;
        }
    }
    return fold(sum);
}

/* ---- scale * q ---- */

/* The level of IQ4 nearest to v: the first, and a step up for each middle that v lies above. */
static inline float nearest_level(float v)
{
    float level = (float)nx_iq4_levels[0];

#define STEP(from, to) level += v > ((from) + (to)) * 0.5f ? (to) - (from) : 0.0f;
    STEP(-127.0f, -104.0f)
    STEP(-104.0f, -83.0f)
    STEP(-83.0f, -65.0f)
    STEP(-65.0f, -49.0f)
    STEP(-49.0f, -35.0f)
    STEP(-35.0f, -22.0f)
    STEP(-22.0f, -10.0f)
    STEP(-10.0f, 1.0f)
    STEP(1.0f, 13.0f)
    STEP(13.0f, 25.0f)
    STEP(25.0f, 38.0f)
    STEP(38.0f, 53.0f)
    STEP(53.0f, 69.0f)
    STEP(69.0f, 89.0f)
    STEP(89.0f, 113.0f)
#undef STEP
    return level;
}

static inline float nearest(float v, int half)
{
    if (half == 0) return nearest_level(v);
    v = cut(v, (float)-half, (float)(half - 1));
    return (float)(int)(v + (v < 0 ? -0.5f : 0.5f));
}

/* Try the codes of one guess; keep its best scale when it is better than *best. The error of the
 * best scale xq / qq is sum x^2 - xq^2 / qq. */
static inline void try_scale(const float *x, int n, int half, float inverse, float *best,
                             float *scale)
{
    float xq[8] = {0}, qq[8] = {0};

    for (int i = 0; i < n; i += 8) {
        LANES
        {
            float q = nearest(x[i + l] * inverse, half);
            xq[l] += x[i + l] * q;
            qq[l] += q * q;
        }
    }
    float a = fold(xq), b = fold(qq);
    if (!(b > 0) || !(a * a > *best * b)) return;
    *best = a * a / b;
    *scale = a / b;
}

static inline float try_all(const float *x, int n, int half, float max)
{
    float best = -1, scale = 0;

    if (half == 0) {
        for (int step = -12; step <= 12; step += 2) {
            try_scale(x, n, 0, (-127.0f + (float)step) / max, &best, &scale);
            try_scale(x, n, 0, (113.0f + (float)step) / max, &best, &scale);
        }
        return scale;
    }
    for (int step = -9; step <= 9; step++)
        try_scale(x, n, half, -((float)half + 0.1f * (float)step) / max, &best, &scale);
    return scale;
}

static float symmetric(const float *x, int n, int half)
{
    float max = 0;

    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(max)) max = x[i];
    if (nx_fit_inverse(max / 256.0f) == 0) return 0;
    switch (half) { /* constants let the loops be laid out for each */
    case 0: return try_all(x, n, 0, max);
    case 4: return try_all(x, n, 4, max);
    default: return try_all(x, n, 32, max);
    }
}

static inline float error_at(const float *x, int n, int half, float scale)
{
    float r = nx_fit_inverse(scale), sum[8] = {0};

    for (int i = 0; i < n; i += 8) {
        LANES
        {
            float e = x[i + l] - scale * nearest(x[i + l] * r, half);
            sum[l] += e * e;
        }
    }
    return fold(sum);
}

static float symmetric_error(const float *x, int n, int half, float scale)
{
    switch (half) {
    case 0: return error_at(x, n, 0, scale);
    case 4: return error_at(x, n, 4, scale);
    default: return error_at(x, n, 32, scale);
    }
}

const nx_fit FIT = {affine, symmetric, affine_error, symmetric_error};

#undef LANES
