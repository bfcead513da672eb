/* bnb.c - the steps of bitsandbytes' encoders, each float operation in its place.
 *
 * Source: QLoRA (Dettmers et al. 2023, arXiv 2305.14314), LLM.int8 (arXiv 2208.07339); the order of
 *         float steps was found by experiment against the package.
 */
#include "num/bnb.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "num/half.h"
#include "num/levels.h"

/* ---- 4 bits ---- */

#define TINY 1e-38f /* scales are held above it, so that their inverse is finite */

/* Codes by ascending level. FP4 has two zeros: what lies between 0 and the first level above it
 * comes after both, and gets the second. */
typedef struct ladder {
    const float *levels;
    uint8_t      order[16];
} ladder;

static const ladder nf4_ladder = {nx_nf4_levels,
                                  {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const ladder fp4_ladder = {nx_fp4_levels,
                                  {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3}};

static void midpoints(float mid[15], const ladder *l)
{
    for (int i = 0; i < 15; i++) mid[i] = (l->levels[l->order[i]] + l->levels[l->order[i + 1]]) / 2;
}

/* How many midpoints lie below v, all of them for a NaN; no branch, so that a compiler can take many
 * at once. */
static uint8_t rank(float v, const float mid[15])
{
    int below = 0;

    for (int i = 0; i < 15; i++) below += !(mid[i] >= v);
    return (uint8_t)below;
}

static float largest(const float *x, int64_t n)
{
    float max = 0;

    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(x[i]);
        if (a > max || a != a) max = a;
    }
    return max;
}

static float cut(float v)
{
    return v < -1.0f ? -1.0f : v > 1.0f ? 1.0f : v;
}

void nx_bnb_encode_4bit(nx_dtype t, uint8_t *dst, float *scales, const float *x, int64_t n,
                        int32_t block_len)
{
    const ladder *l = t == NX_DTYPE_NF4 ? &nf4_ladder : &fp4_ladder;
    float         mid[15];
    uint8_t       q[4096];

    midpoints(mid, l);
    for (int64_t at = 0; at < n; at += block_len, scales++) {
        bool  whole = n - at >= block_len;
        int   len = whole ? block_len : (int)(n - at);
        float max = largest(x + at, len), held = max < TINY ? TINY : max;
        *scales = whole ? max : held;
        float inverse = 1.0f / held;
        for (int i = 0; i < len; i++)
            q[i] = rank(cut(whole ? x[at + i] * inverse : x[at + i] / held), mid);
        if (len % 2) q[len] = rank(0.0f, mid);
        for (int i = 0; i < len; i += 2)
            dst[(at + i) / 2] = (uint8_t)(l->order[q[i]] << 4 | l->order[q[i + 1]]);
    }
}

void nx_bnb_scales_4bit(float *scales, const float *x, int64_t n, int32_t block_len)
{
    for (int64_t at = 0; at < n; at += block_len) {
        bool  whole = n - at >= block_len;
        float max = largest(x + at, whole ? block_len : n - at);
        *scales++ = !whole && max < TINY ? TINY : max;
    }
}

/* ---- 8 bits by rows ---- */

void nx_bnb_encode_int8(int8_t *dst, float *scale, const float *x, int64_t n)
{
    float max = 0;

    for (int64_t i = 0; i < n; i++) {
        float a = fabsf(nx_f16_to_f32(nx_f32_to_f16(x[i])));
        if (a > max || a != a) max = a;
    }
    *scale = max;
    float step = 1.0f / max * 127.0f; /* two roundings, as there */
    for (int64_t i = 0; i < n; i++) {
        float v = rintf(nx_f16_to_f32(nx_f32_to_f16(x[i])) * step);
        dst[i] = (int8_t)(v >= -128.0f && v <= 127.0f ? (int)v : 0); /* 0 / 0 in a row of zeros */
    }
}

/* ---- Scales of scales ---- */

/* The sum that PyTorch takes: four registers of 8 sums side by side (of 1 for less than 8 numbers),
 * folded upwards through four levels so that rounding errors stay small, then across. Beyond GRAIN
 * numbers each thread sums its part. */
#define LEVELS      4
#define LANES_MAX   32 /* four registers of 8 */
#define GRAIN       32768
#define THREADS_MAX 64

static int level_power(int64_t steps)
{
    int log = 0;

    while ((int64_t)1 << log < steps) log++;
    return log / LEVELS > 4 ? log / LEVELS : 4;
}

static void add_to(float *sum, const float *x, int n)
{
    for (int i = 0; i < n; i++) sum[i] += x[i];
}

static void fold_levels(float acc[LEVELS][LANES_MAX], int64_t done, int power, int n)
{
    int64_t mask = ((int64_t)1 << power) - 1;

    for (int j = 1; j < LEVELS; j++) {
        add_to(acc[j], acc[j - 1], n);
        memset(acc[j - 1], 0, (size_t)n * sizeof(float));
        if (done & (mask << (j * power))) break;
    }
}

static float sum_part(const float *x, int64_t n)
{
    float   acc[LEVELS][LANES_MAX] = {{0}}, sum = 0;
    int     lanes = n < 8 ? 1 : 8, wide = 4 * lanes;
    int64_t steps = n / wide, i = 0;
    int     power = level_power(steps);

    while (i + ((int64_t)1 << power) <= steps) {
        for (int64_t k = 0; k < (int64_t)1 << power; k++, i++) add_to(acc[0], x + i * wide, wide);
        fold_levels(acc, i, power, wide);
    }
    for (; i < steps; i++) add_to(acc[0], x + i * wide, wide);
    for (int j = 1; j < LEVELS; j++) add_to(acc[0], acc[j], wide);
    for (i = steps * wide; i + lanes <= n; i += lanes) add_to(acc[0], x + i, lanes);
    for (int k = 1; k < 4; k++) add_to(acc[0], acc[0] + k * lanes, lanes);
    for (; i < n; i++) sum += x[i];
    for (int k = 0; k < lanes; k++) sum += acc[0][k];
    return sum;
}

static float sum_of(const float *x, int64_t n, int threads)
{
    float   parts[THREADS_MAX];
    int64_t grains = (n + GRAIN - 1) / GRAIN;
    int     n_parts = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;

    if (grains < n_parts) n_parts = (int)grains;
    if (n_parts <= 1) return sum_part(x, n);
    int64_t each = (n + n_parts - 1) / n_parts;
    for (int k = 0; k < n_parts; k++) {
        int64_t from = k * each, to = from + each < n ? from + each : n;
        parts[k] = from < to ? sum_part(x + from, to - from) : 0;
    }
    return sum_part(parts, n_parts);
}

/* bitsandbytes looks codes up in a table of 65536 places over -1 to 1, each of which holds the code
 * nearest to it. */
#define PLACES 65536

static uint8_t nearest_code(int place)
{
    double v = place * (2.0 / (PLACES - 1)) - 1;
    int    lo = 0, hi = 255;

    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (((double)nx_bnb_dynamic_map[mid] + (double)nx_bnb_dynamic_map[mid + 1]) / 2 < v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint8_t)lo;
}

static uint8_t code_of(float v)
{
    if (!(v > -1.0f)) v = -1.0f;
    if (v > 1.0f) v = 1.0f;
    return nearest_code((int)((v + 1.0f) * 0.5f * (PLACES - 1) + 0.5f));
}

void nx_bnb_nest(uint8_t *codes, float *nested, float *offset, const float *scales, int64_t n,
                 int threads)
{
    *offset = sum_of(scales, n, threads) / (float)n;
    for (int64_t at = 0; at < n; at += NX_BNB_NEST_LEN, nested++) {
        int   len = n - at < NX_BNB_NEST_LEN ? (int)(n - at) : NX_BNB_NEST_LEN;
        float max = 0;
        for (int i = 0; i < len; i++) {
            float a = fabsf(scales[at + i] - *offset);
            if (a > max) max = a;
        }
        *nested = max;
        float inverse = 1.0f / max;
        for (int i = 0; i < len; i++)
            codes[at + i] = max > 0 ? code_of((scales[at + i] - *offset) * inverse) : 0;
    }
}
