/* distance.h - how near a query is to many vectors: the contract of the kernels that a store scans
 * with.
 *
 * Like backend.h, results are part of the contract, down to the bit: every variant gives the same
 * ones. With lanes16 of backend.h, q the query and x a row:
 *
 *   dot        lanes16(D, q_i * x_i)
 *   euclid     lanes16(D, d_i * d_i), d_i = q_i - x_i: the square
 *   manhattan  in lanes16's order, each step acc[l] += |q_i - x_i|
 *   ..._f16    the same of rows in binary16, each x_i widened to f32 (which is exact) as it is read: the
 *              bits that the others give for the widened row
 *   dot_i8     sum of q_i * x_i, exact in int32. Codes are -127 to 127; width is a multiple of 32,
 *              and at most 65536, so that it can't overflow
 *
 * Rows lie behind each other, row r at rows + r * stride (values, not bytes). out [n] apart from
 * both. No alignment is needed. Any thread; no errors.
 */
#ifndef NX_TENSOR_DISTANCE_H
#define NX_TENSOR_DISTANCE_H

#include <stdint.h>

typedef void (*nx_distance_fn)(float *out, const float *q, const float *rows, int64_t n,
                               int64_t stride, int32_t D);

/* Of halves, as num/half.h has them. */
typedef void (*nx_distance_f16_fn)(float *out, const float *q, const uint16_t *rows, int64_t n,
                                   int64_t stride, int32_t D);

typedef struct nx_distance_ops {
    const char        *name; /* "avx2": for people */
    nx_distance_fn     dot, euclid, manhattan;
    nx_distance_f16_fn dot_f16, euclid_f16, manhattan_f16;
    void (*dot_i8)(int32_t *out, const int8_t *q, const int8_t *rows, int64_t n, int64_t width);
} nx_distance_ops;

#endif
