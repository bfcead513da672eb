/* distance_ref.c - distances, as tensor/distance.h says them. */
#include <math.h>

#include "backend/cpu/distance.h"
#include "backend/cpu/ref/lanes_ref.h"
#include "num/half.h"

typedef enum kind { DOT, EUCLID, MANHATTAN } kind;

static float step(kind k, float acc, float q, float x)
{
    float d = q - x;

    if (k == DOT) return fmaf(q, x, acc);
    return k == EUCLID ? fmaf(d, d, acc) : acc + fabsf(d);
}

static void all_rows(kind k, float *out, const float *q, const float *rows, int64_t n,
                     int64_t stride, int32_t D)
{
    for (int64_t r = 0; r < n; r++) {
        const float *x = rows + r * stride;
        float        acc[16] = {0};
        for (int32_t i = 0; i < D; i++) acc[i % 16] = step(k, acc[i % 16], q[i], x[i]);
        out[r] = nx_lanes_fold(acc);
    }
}

static void all_halves(kind k, float *out, const float *q, const uint16_t *rows, int64_t n,
                       int64_t stride, int32_t D)
{
    for (int64_t r = 0; r < n; r++) {
        const uint16_t *x = rows + r * stride;
        float           acc[16] = {0};
        for (int32_t i = 0; i < D; i++)
            acc[i % 16] = step(k, acc[i % 16], q[i], nx_f16_to_f32(x[i]));
        out[r] = nx_lanes_fold(acc);
    }
}

#define OF_ROWS(NAME, KIND, ALL, type)                                                             \
    static void NAME(float *out, const float *q, const type *rows, int64_t n, int64_t stride,      \
                     int32_t D)                                                                    \
    {                                                                                              \
        ALL(KIND, out, q, rows, n, stride, D);                                                     \
    }

OF_ROWS(dot, DOT, all_rows, float)
OF_ROWS(euclid, EUCLID, all_rows, float)
OF_ROWS(manhattan, MANHATTAN, all_rows, float)
OF_ROWS(dot_f16, DOT, all_halves, uint16_t)
OF_ROWS(euclid_f16, EUCLID, all_halves, uint16_t)
OF_ROWS(manhattan_f16, MANHATTAN, all_halves, uint16_t)

static void dot_i8(int32_t *out, const int8_t *q, const int8_t *rows, int64_t n, int64_t width)
{
    for (int64_t r = 0; r < n; r++) {
        const int8_t *x = rows + r * width;
        int32_t       sum = 0;
        for (int64_t i = 0; i < width; i++) sum += q[i] * x[i];
        out[r] = sum;
    }
}

const nx_distance_ops nx_distances_ref = {
    .name = "ref",
    .dot = dot,
    .euclid = euclid,
    .manhattan = manhattan,
    .dot_f16 = dot_f16,
    .euclid_f16 = euclid_f16,
    .manhattan_f16 = manhattan_f16,
    .dot_i8 = dot_i8,
};
