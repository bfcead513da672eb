/* tensor.h - a named view of numbers in somebody else's memory. */
#ifndef NX_TENSOR_TENSOR_H
#define NX_TENSOR_TENSOR_H

#include <stdint.h>

#include "num/dtype.h"

#define NX_TENSOR_DIMS_MAX 4

/* The scales of a tensor whose type keeps them apart (nx_dtype_scales_apart), as bitsandbytes stores
 * them. A view, at any alignment: read them through nx_scale_at.
 *   nf4, fp4   number i of the whole tensor, row-major, is level(code_i) * scale(i / block_len)
 *   int8       number i of row r is q_i * scale(r) / 127
 * With `nested` (double quantisation) scale b is map[codes[b]] * nested[b / nested_len] + offset. */
typedef struct nx_tensor_scales {
    int64_t        n;         /* scales */
    int32_t        block_len; /* numbers that share one; the last block may be short. int8: ne[0] */
    const uint8_t *absmax;    /* [n] f32; NULL when nested */
    const uint8_t *codes;     /* [n], or NULL */
    const uint8_t *nested;    /* [ceil(n / nested_len)] f32 */
    const float   *map;       /* [256] */
    int32_t        nested_len;
    float          offset;
    float threshold; /* int8: activations of this magnitude or more are outliers, multiplied
                                 in floats; bitsandbytes' default is 6; 0: there are none */
} nx_tensor_scales;

float nx_scale_at(const nx_tensor_scales *s, int64_t block);

/* Row-major, ne[0] the fastest: a weight matrix that maps K inputs to N outputs has ne = {K, N}.
 * A view: dies with the checkpoint or backend memory that it points into. */
typedef struct nx_tensor {
    const char *name;
    nx_dtype    dtype;
    int32_t     n_dims;                 /* 1 to NX_TENSOR_DIMS_MAX; further ne are 1 */
    int64_t     ne[NX_TENSOR_DIMS_MAX]; /* each >= 1; the product fits int64_t */
    const void *data;                   /* alignment: none promised beyond 1 byte */
    size_t      bytes;
    /* NULL unless nx_dtype_scales_apart(dtype). They belong to the numbers from first_number on: a
     * view of later rows of a tensor shares its scales, and says where it begins. */
    const nx_tensor_scales *scales;
    int64_t                 first_number;
} nx_tensor;

static inline int64_t nx_tensor_rows(const nx_tensor *t)
{
    return t->ne[1] * t->ne[2] * t->ne[3];
}

static inline size_t nx_tensor_row_bytes(const nx_tensor *t)
{
    return nx_dtype_row_bytes(t->dtype, t->ne[0]);
}

/* Numbers of rows row .. row + n_rows - 1 to f32, scales applied: dst [n_rows, ne[0]]. */
void nx_tensor_decode(float *dst, const nx_tensor *t, int64_t row, int64_t n_rows);

/* The same for numbers first .. first + n - 1 of the whole tensor, row-major; both are multiples of
 * the type's block_len. */
void nx_tensor_decode_numbers(float *dst, const nx_tensor *t, int64_t first, int64_t n);

#endif
