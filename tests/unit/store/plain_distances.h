/* plain_distances.h - kernels for tests of the store, as its contract (tensor/distance.h) says
 * it. */
#ifndef NX_TESTS_STORE_PLAIN_DISTANCES_H
#define NX_TESTS_STORE_PLAIN_DISTANCES_H

#include <math.h>

#include "num/half.h"
#include "tensor/distance.h"

static inline float plain_fold(float acc[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++) acc[l] += acc[l + half];
    return acc[0];
}

static inline float plain_f32(float x)
{
    return x;
}

#define PLAIN(name, type, widen, step)                                                             \
    static void name(float *out, const float *q, const type *rows, int64_t n, int64_t stride,      \
                     int32_t D)                                                                    \
    {                                                                                              \
        for (int64_t r = 0; r < n; r++) {                                                          \
            float acc[16] = {0};                                                                   \
            for (int32_t i = 0; i < D; i++) {                                                      \
                float x = widen(rows[r * stride + i]);                                             \
                acc[i % 16] = step;                                                                \
            }                                                                                      \
            out[r] = plain_fold(acc);                                                              \
        }                                                                                          \
    }

#define PLAIN_DOT       fmaf(q[i], x, acc[i % 16])
#define PLAIN_EUCLID    fmaf(q[i] - x, q[i] - x, acc[i % 16])
#define PLAIN_MANHATTAN acc[i % 16] + fabsf(q[i] - x)

PLAIN(plain_dot, float, plain_f32, PLAIN_DOT)
PLAIN(plain_euclid, float, plain_f32, PLAIN_EUCLID)
PLAIN(plain_manhattan, float, plain_f32, PLAIN_MANHATTAN)
PLAIN(plain_dot_f16, uint16_t, nx_f16_to_f32, PLAIN_DOT)
PLAIN(plain_euclid_f16, uint16_t, nx_f16_to_f32, PLAIN_EUCLID)
PLAIN(plain_manhattan_f16, uint16_t, nx_f16_to_f32, PLAIN_MANHATTAN)

static void plain_dot_i8(int32_t *out, const int8_t *q, const int8_t *rows, int64_t n,
                         int64_t width)
{
    for (int64_t r = 0; r < n; r++) {
        out[r] = 0;
        for (int64_t i = 0; i < width; i++) out[r] += q[i] * rows[r * width + i];
    }
}

static const nx_distance_ops plain_distances = {
    .name = "plain",
    .dot = plain_dot,
    .euclid = plain_euclid,
    .manhattan = plain_manhattan,
    .dot_f16 = plain_dot_f16,
    .euclid_f16 = plain_euclid_f16,
    .manhattan_f16 = plain_manhattan_f16,
    .dot_i8 = plain_dot_i8,
};

#endif
