/* quantise_k.c - super-blocks of 256: Q2_K to Q6_K, IQ4_XS, and the small block IQ4_NL.
 *
 * Idea: each sub-block gets the scale (and offset) that fits it best; these are rounded to the few
 *       bits that the super-block has for them, each to the neighbour with the least error; then
 *       codes are chosen for what was stored. Layouts: num/blocks.h, num/scales_k.h.
 * Judge: the error is at most that of llama.cpp's encoders (tests/parity/test_quantise.py).
 * A number that isn't finite makes d a NaN, so that the whole block decodes to NaN.
 */
#include "num/quantise_k.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "num/blocks.h"
#include "num/half.h"
#include "num/quantise_fit.h"

#define F16_NAN 0x7E00

static bool all_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(x[i]) < INFINITY)) return false;
    return true;
}

/* Half precision, cut to its range: a block of enormous numbers keeps what can be kept. */
static uint16_t half_of(float f)
{
    return nx_f32_to_f16(f > 65504.0f ? 65504.0f : f < -65504.0f ? -65504.0f : f);
}

/* Two bits of number i go where decode_k.c looks for them. */
static void put_two_bits(uint8_t *qs, int i, int v)
{
    qs[i / 128 * 32 + i % 32] |= (uint8_t)(v << (i % 128 / 32 * 2));
}

static void put_nibble(uint8_t *qs, int i, int v)
{
    qs[i / 64 * 32 + i % 32] |= (uint8_t)(v << (i % 64 / 32 * 4));
}

/* ---- Scales with offsets: Q2_K, Q4_K, Q5_K ---- */

typedef struct affine {
    const nx_fit *fit;
    int   n, n_sub, top, scale_top; /* numbers in a sub-block, sub-blocks, largest code and scale */
    float scale[16], min[16];       /* as fitted */
    uint8_t qs[16], qm[16];         /* as stored */
    float   d, dmin;                /* as stored, too: rounded to f16 */
} affine;

/* Scale and offset of sub-block j, each the nearest or a neighbour. Returns the error. */
static float affine_round(affine *a, int j, const float *x)
{
    int   qs = nx_fit_round(a->scale[j] * nx_fit_inverse(a->d), 0, a->scale_top);
    int   qm = nx_fit_round(a->min[j] * nx_fit_inverse(a->dmin), 0, a->scale_top);
    float best = INFINITY;

    for (int s = qs - 1; s <= qs + 1; s++) {
        for (int m = qm - 1; m <= qm + 1; m++) {
            if (s < 0 || m < 0 || s > a->scale_top || m > a->scale_top) continue;
            float e = a->fit->affine_error(x, a->n, a->top, a->d * (float)s, a->dmin * (float)m);
            if (!(e < best)) continue;
            best = e;
            a->qs[j] = (uint8_t)s;
            a->qm[j] = (uint8_t)m;
        }
    }
    return best;
}

static int affine_code(const affine *a, int i, const float *x)
{
    int   j = i / a->n;
    float dl = a->d * (float)a->qs[j], ml = a->dmin * (float)a->qm[j];

    return nx_fit_round((x[i] + ml) * nx_fit_inverse(dl), 0, a->top);
}

static float affine_round_all(affine *a, uint16_t d, uint16_t dmin, const float *x)
{
    float sum = 0;

    a->d = nx_f16_to_f32(d);
    a->dmin = nx_f16_to_f32(dmin);
    for (int j = 0; j < a->n_sub; j++) sum += affine_round(a, j, x + j * a->n);
    return sum;
}

/* The d and dmin that suit the chosen scales and codes best: x ~ d u - dmin m, least squares. */
static bool affine_solve(const affine *a, uint16_t *d, uint16_t *dmin, const float *x)
{
    double uu = 0, mm = 0, um = 0, xu = 0, xm = 0;

    for (int i = 0; i < NX_QKK; i++) {
        double u = a->qs[i / a->n] * affine_code(a, i, x), m = a->qm[i / a->n], v = (double)x[i];
        uu += u * u;
        mm += m * m;
        um += u * m;
        xu += v * u;
        xm += v * m;
    }
    double det = uu * mm - um * um;
    if (!(det > 0)) return false;
    double new_d = (xu * mm - xm * um) / det, new_dmin = (xu * um - xm * uu) / det;
    *d = half_of((float)new_d);
    *dmin = half_of((float)new_dmin);
    return new_d > 0 && new_dmin >= 0;
}

/* A choice of d and dmin with what follows from it. */
typedef struct affine_choice {
    affine   a;
    uint16_t d, dmin;
    float    error;
} affine_choice;

static void affine_try(affine_choice *best, uint16_t d, uint16_t dmin, const float *x)
{
    affine_choice c = {best->a, d, dmin, 0};

    c.error = affine_round_all(&c.a, d, dmin, x);
    if (c.error < best->error) *best = c;
}

/* Where one sub-block is far larger than the others, theirs are a few steps of d: then it matters
 * which d it is, and the largest scale may well be a step or two below the top. */
static void affine_try_others(affine_choice *best, float max_scale, float max_min, const float *x)
{
    bool few_scales = false, few_mins = false;

    for (int j = 0; j < best->a.n_sub; j++) {
        few_scales |= best->a.qs[j] <= 6;
        few_mins |= best->a.qm[j] <= 6;
    }
    if (best->a.scale_top < 63) return; /* four bits: always few, and nothing is gained */
    for (int t = 1; few_scales && t <= 8; t++)
        affine_try(best, half_of(max_scale / (float)(best->a.scale_top - t)), best->dmin, x);
    for (int t = 1; few_mins && t <= 8; t++)
        affine_try(best, best->d, half_of(max_min / (float)(best->a.scale_top - t)), x);
}

static void affine_fit(affine *a, uint16_t *d, uint16_t *dmin, const float *x)
{
    float    max_scale = 0, max_min = 0;
    uint16_t new_d, new_dmin;

    for (int j = 0; j < a->n_sub; j++) {
        a->scale[j] = a->fit->affine(&a->min[j], x + j * a->n, a->n, a->top);
        max_scale = a->scale[j] > max_scale ? a->scale[j] : max_scale;
        max_min = a->min[j] > max_min ? a->min[j] : max_min;
    }
    affine_choice best = {*a, 0, 0, INFINITY};
    best.d = half_of(max_scale / (float)a->scale_top);
    best.dmin = half_of(max_min / (float)a->scale_top);
    best.error = affine_round_all(&best.a, best.d, best.dmin, x);
    affine_try_others(&best, max_scale, max_min, x);
    if (affine_solve(&best.a, &new_d, &new_dmin, x)) affine_try(&best, new_d, new_dmin, x);
    *a = best.a;
    *d = best.d;
    *dmin = best.dmin;
}

void nx_encode_q2_k(uint8_t *dst, const float *x)
{
    nx_block_q2_k b = {.d = F16_NAN};
    affine        a = {.fit = nx_fit_get(), .n = 16, .n_sub = 16, .top = 3, .scale_top = 15};

    if (all_finite(x, NX_QKK)) {
        affine_fit(&a, &b.d, &b.dmin, x);
        for (int j = 0; j < 16; j++) b.scales[j] = (uint8_t)(a.qs[j] | a.qm[j] << 4);
        for (int i = 0; i < NX_QKK; i++) put_two_bits(b.qs, i, affine_code(&a, i, x));
    }
    memcpy(dst, &b, sizeof b);
}

/* The inverse of nx_q4k_scales. */
static void pack_scales(uint8_t packed[12], const uint8_t scale[8], const uint8_t min[8])
{
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        packed[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        packed[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

void nx_encode_q4_k(uint8_t *dst, const float *x)
{
    nx_block_q4_k b = {.d = F16_NAN};
    affine        a = {.fit = nx_fit_get(), .n = 32, .n_sub = 8, .top = 15, .scale_top = 63};

    if (all_finite(x, NX_QKK)) {
        affine_fit(&a, &b.d, &b.dmin, x);
        pack_scales(b.scales, a.qs, a.qm);
        for (int i = 0; i < NX_QKK; i++) put_nibble(b.qs, i, affine_code(&a, i, x));
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_q5_k(uint8_t *dst, const float *x)
{
    nx_block_q5_k b = {.d = F16_NAN};
    affine        a = {.fit = nx_fit_get(), .n = 32, .n_sub = 8, .top = 31, .scale_top = 63};

    if (all_finite(x, NX_QKK)) {
        affine_fit(&a, &b.d, &b.dmin, x);
        pack_scales(b.scales, a.qs, a.qm);
        for (int i = 0; i < NX_QKK; i++) {
            int q = affine_code(&a, i, x);
            put_nibble(b.qs, i, q & 15);
            b.qh[i % 32] |= (uint8_t)(q >> 4 << (i / 32));
        }
    }
    memcpy(dst, &b, sizeof b);
}

/* ---- Scales alone: Q3_K, Q6_K, IQ4_XS ---- */

typedef struct symmetric {
    const nx_fit *fit;
    int           n, n_sub;
    int           scale_half; /* scales are -scale_half .. scale_half - 1 */
    int           half;       /* codes likewise; 0: levels of IQ4 */
    float         scale[16];  /* as fitted */
    int           qs[16];     /* as stored */
    float         d;
} symmetric;

/* The scale of sub-block j, the nearest or a neighbour; returns its error. */
static float symmetric_round(symmetric *s, int j, const float *x)
{
    int   top = s->scale_half - 1;
    int   q = nx_fit_round(s->scale[j] * nx_fit_inverse(s->d), -s->scale_half, top);
    float best = INFINITY;

    for (int t = q - 1; t <= q + 1; t++) {
        if (t < -s->scale_half || t > top) continue;
        float e = s->fit->symmetric_error(x, s->n, s->half, s->d * (float)t);
        if (!(e < best)) continue;
        best = e;
        s->qs[j] = t;
    }
    return best;
}

static float symmetric_round_all(symmetric *s, uint16_t d, const float *x)
{
    float sum = 0;

    s->d = nx_f16_to_f32(d);
    for (int j = 0; j < s->n_sub; j++) sum += symmetric_round(s, j, x + j * s->n);
    return sum;
}

/* The largest scale meets -scale_half, which has no opposite: d takes its sign from that. Or it meets
 * the code beside it, where that happens to suit the rounding of d better. */
static uint16_t symmetric_fit(symmetric *s, const float *x)
{
    float max = 0;

    for (int j = 0; j < s->n_sub; j++) {
        s->scale[j] = s->fit->symmetric(x + j * s->n, s->n, s->half);
        if (fabsf(s->scale[j]) > fabsf(max)) max = s->scale[j];
    }
    uint16_t  d = half_of(-max / (float)s->scale_half);
    uint16_t  other = half_of(-max / (float)(s->scale_half - 1));
    symmetric beside = *s;
    float     error = symmetric_round_all(s, d, x);
    if (!(symmetric_round_all(&beside, other, x) < error)) return d;
    *s = beside;
    return other;
}

/* Code 0 .. 2 half - 1 of number i. */
static int symmetric_code(const symmetric *s, int i, const float *x)
{
    float v = x[i] * nx_fit_inverse(s->d * (float)s->qs[i / s->n]);

    return nx_fit_round(v, -s->half, s->half - 1) + s->half;
}

/* The inverse of nx_q3k_scales. */
static void pack_q3_scales(uint8_t packed[12], const int scale[16])
{
    memset(packed, 0, 12);
    for (int j = 0; j < 16; j++) {
        int v = scale[j] + 32;
        packed[j & 7] |= (uint8_t)((v & 15) << (j >> 3 << 2));
        packed[8 + (j & 3)] |= (uint8_t)(v >> 4 << (j >> 2 << 1));
    }
}

void nx_encode_q3_k(uint8_t *dst, const float *x)
{
    nx_block_q3_k b = {.d = F16_NAN};
    symmetric     s = {.fit = nx_fit_get(), .n = 16, .n_sub = 16, .scale_half = 32, .half = 4};

    if (all_finite(x, NX_QKK)) {
        b.d = symmetric_fit(&s, x);
        pack_q3_scales(b.scales, s.qs);
        for (int i = 0; i < NX_QKK; i++) {
            int q = symmetric_code(&s, i, x);
            put_two_bits(b.qs, i, q & 3);
            b.hmask[i % 32] |= (uint8_t)(q >> 2 << (i / 32));
        }
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_q6_k(uint8_t *dst, const float *x)
{
    nx_block_q6_k b = {.d = F16_NAN};
    symmetric     s = {.fit = nx_fit_get(), .n = 16, .n_sub = 16, .scale_half = 128, .half = 32};

    if (all_finite(x, NX_QKK)) {
        b.d = symmetric_fit(&s, x);
        for (int j = 0; j < 16; j++) b.scales[j] = (int8_t)s.qs[j];
        for (int i = 0; i < NX_QKK; i++) {
            int q = symmetric_code(&s, i, x);
            b.ql[i / 128 * 64 + i % 64] |= (uint8_t)((q & 15) << (i % 128 / 64 * 4));
            put_two_bits(b.qh, i, q >> 4);
        }
    }
    memcpy(dst, &b, sizeof b);
}

/* Sixteen bytes of 32 nibbles: low ones first. */
static void put_iq4(uint8_t *qs, const float *x, float dl)
{
    float r = nx_fit_inverse(dl);

    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)(nx_iq4_nearest(x[i] * r) | nx_iq4_nearest(x[i + 16] * r) << 4);
}

void nx_encode_iq4_xs(uint8_t *dst, const float *x)
{
    nx_block_iq4_xs b = {.d = F16_NAN};
    symmetric       s = {.fit = nx_fit_get(), .n = 32, .n_sub = 8, .scale_half = 32, .half = 0};

    if (all_finite(x, NX_QKK)) {
        b.d = symmetric_fit(&s, x);
        for (int j = 0; j < 8; j++) {
            int q = s.qs[j] + 32;
            b.scales_l[j / 2] |= (uint8_t)((q & 15) << (j % 2 * 4));
            b.scales_h |= (uint16_t)(q >> 4 << (2 * j));
            put_iq4(b.qs + 16 * j, x + 32 * j, s.d * (float)s.qs[j]);
        }
    }
    memcpy(dst, &b, sizeof b);
}

void nx_encode_iq4_nl(uint8_t *dst, const float *x)
{
    nx_block_iq4_nl b = {.d = F16_NAN};

    if (all_finite(x, NX_QK)) {
        b.d = half_of(nx_fit_get()->symmetric(x, NX_QK, 0));
        put_iq4(b.qs, x, nx_f16_to_f32(b.d));
    }
    memcpy(dst, &b, sizeof b);
}
