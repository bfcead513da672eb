/* quantise_k.c - f32 to super-blocks of 256 (and to IQ4_NL's 32).
 *
 * Idea: three steps. First each sub-block finds the scale (and offset) it would like best
 *       (num/quantise_fit.h). Then the super-block's f16 scale is laid so that the largest wish just fits,
 *       and each sub-block takes, among the few integers around its wish, the pair whose real error
 *       is smallest, codes rounded anew. Last, with all integers standing, the super-block's scales
 *       are solved once more for the smallest error of all 256, and kept if they are better in f16.
 *       ggml's encoders search in the same spirit; the errors stay below theirs
 *       (tests/parity/test_quantise.py), the bits are our own.
 */
#include "num/quantise_k.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "num/blocks.h"
#include "num/half.h"
#include "num/quantise_fit.h"

#define F16_NAN 0x7e00
#define F16_MAX 0x7bff /* 65504: enormous numbers keep what can be kept */

/* The smallest f16 step d >= 0 with wish / d <= top + 1/2, so that top is the nearest integer at
 * most: nearest rounding does, except among f16's subnormals. */
static uint16_t step_of(float wish, int top)
{
    uint16_t d = nx_f32_to_f16(wish / (float)top);

    if (d > F16_MAX) return F16_MAX;
    if (wish > nx_f16_to_f32(d) * ((float)top + 0.5f) && d < F16_MAX) d++;
    return d;
}

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

/* The integer nearest to wish / step within low..high; 0 without a step. */
static int nearest(float wish, float step, int low, int high)
{
    float v = wish / step;

    if (!(step != 0) || !(v == v)) return 0;
    return v < (float)low ? low : v > (float)high ? high : (int)lrintf(v);
}

/* Numbers of two or three values fit so well that the f16 rounding of the step is all that is left.
 * Then other steps are tried, for which the largest wish is not quite the largest integer. */
#define SPARES 12

/* The squared error below which that is worth the while. */
static float fine(const float *x)
{
    float s = 0;
    for (int i = 0; i < NX_QKK; i++) s += x[i] * x[i];
    return 1e-5f * s;
}

/* ---- x = d * scale * q - dmin * min: Q2_K, Q4_K, Q5_K ---- */

typedef struct affine {
    int      n, top;    /* numbers in a sub-block, largest code */
    int      scale_top; /* largest scale and largest min */
    uint16_t d, dmin;
    uint8_t  scale[16], min[16];
    float    q[NX_QKK];
} affine;

/* Sub-block j: the best pair near the wished one. Returns its squared error. */
static float choose_pair(affine *a, const float *x, int j, float scale, float min)
{
    float d = nx_f16_to_f32(a->d), dmin = nx_f16_to_f32(a->dmin), best = INFINITY;
    float q[NX_FIT_MAX], *codes = a->q + j * a->n;
    int   s = nearest(scale, d, 0, a->scale_top), m = nearest(min, dmin, 0, a->scale_top);

    memset(codes, 0, (size_t)a->n * sizeof *codes);
    a->scale[j] = a->min[j] = 0;
    for (int mm = clamp(m - 1, 0, m); mm <= clamp(m + 1, m, a->scale_top); mm++) {
        for (int ss = clamp(s - 1, 0, s); ss <= clamp(s + 1, s, a->scale_top); ss++) {
            if (ss != s && mm != m && (ss > s) != (mm > m)) continue;
            float e = nx_fit_affine_codes(q, x, a->n, a->top, d * (float)ss, dmin * (float)mm);
            if (!(e < best)) continue;
            best = e;
            a->scale[j] = (uint8_t)ss;
            a->min[j] = (uint8_t)mm;
            memcpy(codes, q, (size_t)a->n * sizeof *codes);
        }
    }
    return best;
}

/* Squared error of the whole with other steps, codes rounded anew into q. */
static float affine_error(const affine *a, float *q, const float *x, float d, float dmin)
{
    float e = 0;
    for (int j = 0; j < NX_QKK / a->n; j++)
        e += nx_fit_affine_codes(q + j * a->n, x + j * a->n, a->n, a->top, d * (float)a->scale[j],
                                 dmin * (float)a->min[j]);
    return e;
}

/* Solve d and dmin for standing codes, scales and mins: least squares over u = scale * q and
 * v = -min, x ~ d * u + dmin * v. Returns the squared error, which hasn't grown. */
static float settle_affine(affine *a, const float *x, float error)
{
    double uu = 0, uv = 0, vv = 0, xu = 0, xv = 0;

    for (int j = 0; j < NX_QKK / a->n; j++) {
        float sq = 0, sqq = 0, sx = 0, sxq = 0, s = a->scale[j], m = a->min[j];
        for (int i = j * a->n; i < (j + 1) * a->n; i++) {
            sq += a->q[i];
            sqq += a->q[i] * a->q[i];
            sx += x[i];
            sxq += x[i] * a->q[i];
        }
        uu += (double)(s * s * sqq);
        uv -= (double)(s * m * sq);
        vv += (double)(m * m) * a->n;
        xu += (double)(s * sxq);
        xv -= (double)(m * sx);
    }
    double det = uu * vv - uv * uv;
    float  d = nx_f16_to_f32(a->d), dmin = nx_f16_to_f32(a->dmin), q[NX_QKK];
    if (det > 1e-9 * uu * vv) {
        d = (float)((xu * vv - xv * uv) / det);
        dmin = (float)((xv * uu - xu * uv) / det);
    } else if (uu > 0) {
        d = (float)((xu - (double)dmin * uv) / uu);
    }
    if (!(d >= 0) || !(dmin >= 0)) return error;
    uint16_t d16 = nx_f32_to_f16(d), dmin16 = nx_f32_to_f16(dmin);
    float    other = affine_error(a, q, x, nx_f16_to_f32(d16), nx_f16_to_f32(dmin16));
    if (!(other < error)) return error;
    a->d = d16;
    a->dmin = dmin16;
    memcpy(a->q, q, sizeof q);
    return other;
}

/* False where a number isn't finite; then only d is set, to NaN. */
static bool solve_affine(affine *best, const float *x, int n, int top, int scale_top)
{
    float scale[16], min[16], scale_max = 0, min_max = 0, error_best = INFINITY;

    *best = (affine){.n = n, .top = top, .scale_top = scale_top, .d = F16_NAN};
    if (!nx_fit_finite(x, NX_QKK)) return false;
    for (int j = 0; j < NX_QKK / n; j++) {
        nx_fit_affine(&scale[j], &min[j], x + j * n, n, top);
        scale_max = fmaxf(scale_max, scale[j]);
        min_max = fmaxf(min_max, min[j]);
    }
    for (int spare = 0; spare < SPARES; spare++) {
        if (spare > 0 && (error_best > fine(x) || error_best == 0)) break;
        affine a = *best;
        float  error = 0;
        a.d = step_of(scale_max, scale_top - spare);
        a.dmin = step_of(min_max, scale_top - spare);
        for (int j = 0; j < NX_QKK / n; j++)
            error += choose_pair(&a, x + j * n, j, scale[j], min[j]);
        error = settle_affine(&a, x, error);
        if (spare > 0 && !(error < error_best)) continue;
        error_best = error;
        *best = a;
    }
    return true;
}

/* Eight scales and mins of 6 bits in 12 bytes, as num/scales_k.h draws them. */
static void pack_scales(uint8_t packed[12], const uint8_t scale[8], const uint8_t min[8])
{
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        packed[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        packed[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

/* Low two bits of 256 codes: number i in byte i / 128 * 32 + i % 32. */
static void put_two_bits(uint8_t qs[NX_QKK / 4], int i, int q)
{
    qs[i / 128 * 32 + i % 32] |= (uint8_t)((q & 3) << (i % 128 / 32 * 2));
}

/* Low nibbles of 256 codes: 64 numbers in 32 bytes. */
static void put_nibble(uint8_t qs[NX_QKK / 2], int i, int q)
{
    qs[i / 64 * 32 + i % 32] |= (uint8_t)((q & 15) << (i % 64 / 32 * 4));
}

void nx_encode_q2_k(uint8_t *dst, const float *x)
{
    nx_block_q2_k b = {.d = F16_NAN};
    affine        a;

    if (solve_affine(&a, x, 16, 3, 15)) {
        b.d = a.d;
        b.dmin = a.dmin;
        for (int j = 0; j < 16; j++) b.scales[j] = (uint8_t)(a.scale[j] | a.min[j] << 4);
        for (int i = 0; i < NX_QKK; i++) put_two_bits(b.qs, i, (int)a.q[i]);
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_q4_k(uint8_t *dst, const float *x)
{
    nx_block_q4_k b = {.d = F16_NAN};
    affine        a;

    if (solve_affine(&a, x, 32, 15, 63)) {
        b.d = a.d;
        b.dmin = a.dmin;
        pack_scales(b.scales, a.scale, a.min);
        for (int i = 0; i < NX_QKK; i++) put_nibble(b.qs, i, (int)a.q[i]);
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_q5_k(uint8_t *dst, const float *x)
{
    nx_block_q5_k b = {.d = F16_NAN};
    affine        a;

    if (solve_affine(&a, x, 32, 31, 63)) {
        b.d = a.d;
        b.dmin = a.dmin;
        pack_scales(b.scales, a.scale, a.min);
        for (int i = 0; i < NX_QKK; i++) {
            put_nibble(b.qs, i, (int)a.q[i]);
            b.qh[i % 32] |= (uint8_t)(((int)a.q[i] >> 4) << (i / 32));
        }
    }
    memcpy(dst, &b, sizeof b);
}

/* ---- x = d * scale * code: Q3_K, Q6_K, and IQ4_XS with its levels ---- */

typedef struct even {
    int      n;         /* numbers in a sub-block */
    int      low, high; /* codes; 0, 0: the levels of IQ4 */
    int      scale_low, scale_high;
    uint16_t d;
    int8_t   scale[16];
    float    q[NX_QKK];
} even;

static float even_codes(const even *e, float *q, const float *x, float scale)
{
    if (e->high == 0) return nx_fit_levels_codes(q, x, e->n, scale);
    return nx_fit_signed_codes(q, x, e->n, e->low, e->high, scale);
}

static float choose_scale(even *e, const float *x, int j, float wish)
{
    float d = nx_f16_to_f32(e->d), best = INFINITY, q[NX_FIT_MAX], *codes = e->q + j * e->n;
    int   s = nearest(wish, d, e->scale_low, e->scale_high);

    for (int ss = clamp(s - 1, e->scale_low, s); ss <= clamp(s + 1, s, e->scale_high); ss++) {
        float error = even_codes(e, q, x, d * (float)ss);
        if (!(error < best) && ss != clamp(s - 1, e->scale_low, s)) continue;
        best = error;
        e->scale[j] = (int8_t)ss;
        memcpy(codes, q, (size_t)e->n * sizeof *codes);
    }
    return best;
}

/* The number that a code stands for. */
static float value_of(const even *e, float q)
{
    return e->high == 0 ? (float)nx_iq4_levels[(int)q] : q;
}

static float settle_even(even *e, const float *x, float error)
{
    double uu = 0, xu = 0;
    float  q[NX_QKK], other = 0;

    for (int i = 0; i < NX_QKK; i++) {
        float u = (float)e->scale[i / e->n] * value_of(e, e->q[i]);
        uu += (double)(u * u);
        xu += (double)(x[i] * u);
    }
    if (!(uu > 0)) return error;
    uint16_t d16 = nx_f32_to_f16((float)(xu / uu));
    for (int j = 0; j < NX_QKK / e->n; j++)
        other += even_codes(e, q + j * e->n, x + j * e->n, nx_f16_to_f32(d16) * (float)e->scale[j]);
    if (!(other < error)) return error;
    e->d = d16;
    memcpy(e->q, q, sizeof q);
    return other;
}

/* n and the ranges are set by the caller. False where a number isn't finite. */
static bool solve_even(even *best, const float *x)
{
    float wish[16], far = 0, error_best = INFINITY;
    int   n = best->n;

    if (!nx_fit_finite(x, NX_QKK)) return false;
    for (int j = 0; j < NX_QKK / n; j++) {
        const float *xj = x + j * n;
        wish[j] =
            best->high == 0 ? nx_fit_levels(xj, n) : nx_fit_signed(xj, n, best->low, best->high);
        if (fabsf(wish[j]) > fabsf(far)) far = wish[j];
    }
    for (int spare = 0; spare < SPARES; spare++) {
        if (spare > 0 && (error_best > fine(x) || error_best == 0)) break;
        even  e = *best;
        float error = 0;
        /* The largest wish takes the end with one integer more: d has the opposite sign of it. */
        e.d = step_of(fabsf(far), -e.scale_low - spare);
        if (far > 0) e.d |= 0x8000;
        for (int j = 0; j < NX_QKK / n; j++) error += choose_scale(&e, x + j * n, j, wish[j]);
        error = settle_even(&e, x, error);
        if (spare > 0 && !(error < error_best)) continue;
        error_best = error;
        *best = e;
    }
    return true;
}

void nx_encode_q3_k(uint8_t *dst, const float *x)
{
    nx_block_q3_k b = {.d = F16_NAN};
    even          e = {.n = 16, .low = -4, .high = 3, .scale_low = -32, .scale_high = 31};

    if (solve_even(&e, x)) {
        b.d = e.d;
        for (int j = 0; j < 16; j++) {
            int s = e.scale[j] + 32;
            b.scales[j & 7] |= (uint8_t)((s & 15) << (j >> 3 << 2));
            b.scales[8 + (j & 3)] |= (uint8_t)((s >> 4) << (j >> 2 << 1));
        }
        for (int i = 0; i < NX_QKK; i++) {
            int q = (int)e.q[i] + 4;
            put_two_bits(b.qs, i, q);
            b.hmask[i % 32] |= (uint8_t)((q >> 2) << (i / 32));
        }
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_q6_k(uint8_t *dst, const float *x)
{
    nx_block_q6_k b = {.d = F16_NAN};
    even          e = {.n = 16, .low = -32, .high = 31, .scale_low = -128, .scale_high = 127};

    if (solve_even(&e, x)) {
        b.d = e.d;
        memcpy(b.scales, e.scale, sizeof b.scales);
        for (int i = 0; i < NX_QKK; i++) {
            int q = (int)e.q[i] + 32;
            b.ql[i / 128 * 64 + i % 64] |= (uint8_t)((q & 15) << (i % 128 / 64 * 4));
            put_two_bits(b.qh, i, q >> 4);
        }
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_iq4_xs(uint8_t *dst, const float *x)
{
    nx_block_iq4_xs b = {.d = F16_NAN};
    even            e = {.n = 32, .scale_low = -32, .scale_high = 31};

    if (solve_even(&e, x)) {
        b.d = e.d;
        for (int j = 0; j < 8; j++) {
            int s = e.scale[j] + 32;
            b.scales_l[j / 2] |= (uint8_t)((s & 15) << (j % 2 * 4));
            b.scales_h |= (uint16_t)((s >> 4) << (2 * j));
        }
        for (int i = 0; i < NX_QKK; i++)
            b.qs[i / 32 * 16 + i % 16] |= (uint8_t)((int)e.q[i] << (i % 32 / 16 * 4));
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_iq4_nl(uint8_t *dst, const float *x)
{
    nx_block_iq4_nl b = {.d = F16_NAN};
    float           q[NX_QK];

    if (nx_fit_finite(x, NX_QK)) {
        b.d = nx_f32_to_f16(nx_fit_levels(x, NX_QK));
        if ((b.d & 0x7fff) > F16_MAX) b.d = (b.d & 0x8000) | F16_MAX;
        nx_fit_levels_codes(q, x, NX_QK, nx_f16_to_f32(b.d));
        for (int i = 0; i < NX_QK; i++) b.qs[i % 16] |= (uint8_t)((int)q[i] << (i / 16 * 4));
    }
    memcpy(dst, &b, sizeof b);
}
