/* plain_distances.h - kernels for tests of the store, as its contract (tensor/distance.h) says
 * it. */
#ifndef NX_TESTS_STORE_PLAIN_DISTANCES_H
#define NX_TESTS_STORE_PLAIN_DISTANCES_H

#include <math.h>

#include "tensor/distance.h"

static inline float plain_fold(float acc[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++) acc[l] += acc[l + half];
    return acc[0];
}

#define PLAIN(name, step)                                                                          \
    static void name(float *out, const float *q, const float *rows, int64_t n, int64_t stride,     \
                     int32_t D)                                                                    \
    {                                                                                              \
        for (int64_t r = 0; r < n; r++) {                                                          \
            const float *x = rows + r * stride;                                                    \
            float        acc[16] = {0};                                                            \
            for (int32_t i = 0; i < D; i++) acc[i % 16] = step;                                    \
            out[r] = plain_fold(acc);                                                              \
        }                                                                                          \
    }

PLAIN(plain_dot, fmaf(q[i], x[i], acc[i % 16]))
PLAIN(plain_euclid, fmaf(q[i] - x[i], q[i] - x[i], acc[i % 16]))
PLAIN(plain_manhattan, acc[i % 16] + fabsf(q[i] - x[i]))

static void plain_dot_i8(int32_t *out, const int8_t *q, const int8_t *rows, int64_t n,
                         int64_t width)
{
    for (int64_t r = 0; r < n; r++) {
        out[r] = 0;
        for (int64_t i = 0; i < width; i++) out[r] += q[i] * rows[r * width + i];
    }
}

static const nx_distance_ops plain_distances = {"plain", plain_dot, plain_euclid, plain_manhattan,
                                                plain_dot_i8};

#endif
