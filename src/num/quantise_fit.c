/* quantise_fit.c - the search for scales: candidates, closed-form fits, a polish.
 *
 * Idea: floats carry the codes, so that each loop over numbers is one that compilers turn into
 *       vectors; sums have eight lanes in a fixed order, so the bits don't depend on the compiler.
 */
#include "num/quantise_fit.h"

#include <math.h>

#include "num/blocks.h"

/* Below this magnitude numbers are zeros to every f16 scale, and their squares would underflow. */
#define NOTHING 1e-12f

/* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even. */
#define ROUND 12582912.0f

static inline float sum_lanes(const float s[8])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static inline float sum(const float *a, int n)
{
    float s[8] = {0};
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 8; j++) s[j] += a[i + j];
    return sum_lanes(s);
}

static inline float dot(const float *a, const float *b, int n)
{
    float s[8] = {0};
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 8; j++) s[j] += a[i + j] * b[i + j];
    return sum_lanes(s);
}

/* q = x * inverse + shift, cut to low..high, rounded. A NaN becomes low. */
static inline void round_codes(float *q, const float *x, int n, float inverse, float shift,
                               float low, float high)
{
    for (int i = 0; i < n; i++) {
        float v = x[i] * inverse + shift;
        v = v > low ? v : low;
        v = v < high ? v : high;
        q[i] = (v + ROUND) - ROUND;
    }
}

bool nx_fit_finite(const float *x, int n)
{
    bool all = true;
    for (int i = 0; i < n; i++) all &= fabsf(x[i]) < INFINITY;
    return all;
}

/* ---- Straight lines: x ~ scale * q + offset, where offset may not exceed a bound ---- */

typedef struct line {
    float scale, offset;
    float gain; /* how much smaller the squared error is than that of zeros */
} line;

typedef struct points {
    const float *t; /* [n], from 0 up */
    int          n;
    float        sum_t, offset_max;
} points;

/* The best line for given codes; *best changes if it is better. */
static inline void improve(line *best, const points *p, const float *q)
{
    float n = (float)p->n, sq = sum(q, p->n), sqq = dot(q, q, p->n), stq = dot(p->t, q, p->n);
    float det = n * sqq - sq * sq, st = p->sum_t;
    line  l = {0};

    if (!(sqq > 0)) return;
    if (det > 0) l.offset = (sqq * st - sq * stq) / det;
    if (!(l.offset < p->offset_max)) l.offset = p->offset_max;
    if (!(det > 0)) l.offset = 0;
    l.scale = (stq - l.offset * sq) / sqq;
    l.gain = 2 * (l.scale * stq + l.offset * st) -
             (l.scale * l.scale * sqq + 2 * l.scale * l.offset * sq + n * l.offset * l.offset);
    if (l.scale > 0 && l.gain > best->gain) *best = l;
}

static inline void fit_affine(float *scale, float *min, const float *x, int n, int top, int n_steps,
                              float reach)
{
    float low = x[0], high = x[0], t[NX_FIT_MAX], q[NX_FIT_MAX];

    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (low > 0) low = 0;
    float range = high - low;
    *scale = 0;
    *min = -low;
    if (!(range > NOTHING)) return;
    for (int i = 0; i < n; i++) t[i] = x[i] - low;

    points p = {.t = t, .n = n, .sum_t = sum(t, n), .offset_max = -low};
    line   best = {.scale = range / (float)top, .offset = 0, .gain = 0};
    for (int k = 0; k <= n_steps; k++) {
        float codes = (float)top - reach + 2 * reach * (float)k / (float)n_steps;
        round_codes(q, t, n, codes / range, 0, 0, (float)top);
        improve(&best, &p, q);
    }
    for (int k = 0; k < 2; k++) {
        float inverse = 1 / best.scale;
        round_codes(q, t, n, inverse, -best.offset * inverse, 0, (float)top);
        improve(&best, &p, q);
    }
    *scale = best.scale;
    *min = -(best.offset + low);
    if (!(*min > 0)) *min = 0;
}

void nx_fit_affine(float *scale, float *min, const float *x, int n, int top)
{
    if (n == 32)
        fit_affine(scale, min, x, 32, top, 12, 1);
    else
        fit_affine(scale, min, x, n, top, 16, 1);
}

static inline float affine_codes(float *q, const float *x, int n, float top, float scale, float min)
{
    float inverse = scale > 0 ? 1 / scale : 0, r[NX_FIT_MAX];

    round_codes(q, x, n, inverse, min * inverse, 0, top);
    for (int i = 0; i < n; i++) r[i] = (scale * q[i] - min) - x[i];
    return dot(r, r, n);
}

float nx_fit_affine_codes(float *q, const float *x, int n, int top, float scale, float min)
{
    if (n == 32) return affine_codes(q, x, 32, (float)top, scale, min);
    return affine_codes(q, x, n, (float)top, scale, min);
}

/* ---- Lines through zero ---- */

/* The number of largest magnitude, with its sign. */
static float extreme(const float *x, int n)
{
    float low = 0, high = 0;
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    return -low > high ? low : high;
}

typedef struct ray {
    float scale, gain;
} ray;

static inline void improve_ray(ray *best, const float *x, const float *q, int n)
{
    float sqq = dot(q, q, n), sxq = dot(x, q, n), gain = sxq * sxq / sqq;

    if (sqq > 0 && gain > best->gain) *best = (ray){.scale = sxq / sqq, .gain = gain};
}

static inline float fit_signed(const float *x, int n, float low, float high, int n_steps)
{
    float far = extreme(x, n), q[NX_FIT_MAX];
    ray   best = {.scale = far / low, .gain = 0};

    if (!(fabsf(far) > NOTHING)) return 0;
    for (int side = 0; side < 2; side++) {
        float end = side ? high : low;
        for (int k = 0; k <= n_steps; k++) {
            float codes = end + 2 * (float)k / (float)n_steps - 1;
            round_codes(q, x, n, codes / far, 0, low, high);
            improve_ray(&best, x, q, n);
        }
    }
    for (int k = 0; k < 2; k++) {
        round_codes(q, x, n, 1 / best.scale, 0, low, high);
        improve_ray(&best, x, q, n);
    }
    return best.scale;
}

float nx_fit_signed(const float *x, int n, int low, int high)
{
    if (n == 16) return fit_signed(x, 16, (float)low, (float)high, 8);
    return fit_signed(x, n, (float)low, (float)high, 8);
}

static inline float signed_codes(float *q, const float *x, int n, float low, float high,
                                 float scale)
{
    float r[NX_FIT_MAX];

    round_codes(q, x, n, scale != 0 ? 1 / scale : 0, 0, low, high);
    for (int i = 0; i < n; i++) r[i] = scale * q[i] - x[i];
    return dot(r, r, n);
}

float nx_fit_signed_codes(float *q, const float *x, int n, int low, int high, float scale)
{
    if (n == 16) return signed_codes(q, x, 16, (float)low, (float)high, scale);
    return signed_codes(q, x, n, (float)low, (float)high, scale);
}

/* ---- The uneven levels of IQ4 ---- */

/* Where one level ends and the next begins, and how many ends lie below each multiple of 8 from
 * -128 up: neighbours are at least 11 apart, so a bin of 8 holds at most one of them. */
static const float   ends[16] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                 7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f, INFINITY};
static const uint8_t ends_below[31] = {0, 0, 1, 1,  1,  2,  2,  3,  3,  4,  4,  5,  5,  6,  6, 7,
                                       8, 9, 9, 10, 11, 11, 12, 12, 13, 13, 14, 14, 14, 15, 15};

static inline int level_of(float v)
{
    v = v > -127 ? v : -127;
    v = v < 113 ? v : 113;
    int code = ends_below[(int)((v + 128) * 0.125f)];
    return code + (v > ends[code]);
}

static inline void round_levels(float *level, const float *x, int n, float inverse)
{
    for (int i = 0; i < n; i++) level[i] = (float)nx_iq4_levels[level_of(x[i] * inverse)];
}

float nx_fit_levels(const float *x, int n)
{
    float far = extreme(x, n), level[NX_FIT_MAX];
    ray   best = {.scale = far / -127, .gain = 0};

    if (!(fabsf(far) > NOTHING)) return 0;
    for (int side = 0; side < 2; side++) {
        for (int k = -3; k <= 3; k++) {
            float reach = (side ? 113.0f : -127.0f) + 3 * (float)k;
            round_levels(level, x, n, reach / far);
            improve_ray(&best, x, level, n);
        }
    }
    for (int k = 0; k < 2; k++) {
        round_levels(level, x, n, 1 / best.scale);
        improve_ray(&best, x, level, n);
    }
    return best.scale;
}

float nx_fit_levels_codes(float *q, const float *x, int n, float scale)
{
    float inverse = scale != 0 ? 1 / scale : 0, r[NX_FIT_MAX];

    for (int i = 0; i < n; i++) {
        int code = level_of(x[i] * inverse);
        q[i] = (float)code;
        r[i] = scale * (float)nx_iq4_levels[code] - x[i];
    }
    return dot(r, r, n);
}
