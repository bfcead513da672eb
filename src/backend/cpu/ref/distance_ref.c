/* distance_ref.c - distances, as tensor/distance.h says them. */
#include <math.h>

#include "backend/cpu/distance.h"
#include "backend/cpu/ref/lanes_ref.h"

static void dot(float *out, const float *q, const float *rows, int64_t n, int64_t stride, int32_t D)
{
    for (int64_t r = 0; r < n; r++) {
        const float *x = rows + r * stride;
        float        acc[16] = {0};
        for (int32_t i = 0; i < D; i++) acc[i % 16] = fmaf(q[i], x[i], acc[i % 16]);
        out[r] = nx_lanes_fold(acc);
    }
}

static void euclid(float *out, const float *q, const float *rows, int64_t n, int64_t stride,
                   int32_t D)
{
    for (int64_t r = 0; r < n; r++) {
        const float *x = rows + r * stride;
        float        acc[16] = {0};
        for (int32_t i = 0; i < D; i++) {
            float d = q[i] - x[i];
            acc[i % 16] = fmaf(d, d, acc[i % 16]);
        }
        out[r] = nx_lanes_fold(acc);
    }
}

static void manhattan(float *out, const float *q, const float *rows, int64_t n, int64_t stride,
                      int32_t D)
{
    for (int64_t r = 0; r < n; r++) {
        const float *x = rows + r * stride;
        float        acc[16] = {0};
        for (int32_t i = 0; i < D; i++) acc[i % 16] += fabsf(q[i] - x[i]);
        out[r] = nx_lanes_fold(acc);
    }
}

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
    .dot_i8 = dot_i8,
};
