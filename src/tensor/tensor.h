/* tensor.h - a named view of numbers in somebody else's memory. */
#ifndef NX_TENSOR_TENSOR_H
#define NX_TENSOR_TENSOR_H

#include <stdint.h>

#include "num/dtype.h"

#define NX_TENSOR_DIMS_MAX 4

/* Row-major, ne[0] the fastest: a weight matrix that maps K inputs to N outputs has ne = {K, N}.
 * A view: dies with the checkpoint or backend memory that it points into. */
typedef struct nx_tensor {
    const char *name;
    nx_dtype    dtype;
    int32_t     n_dims;                 /* 1 to NX_TENSOR_DIMS_MAX; further ne are 1 */
    int64_t     ne[NX_TENSOR_DIMS_MAX]; /* each >= 1; the product fits int64_t */
    const void *data;                   /* alignment: none promised beyond 1 byte */
    size_t      bytes;
} nx_tensor;

static inline int64_t nx_tensor_rows(const nx_tensor *t)
{
    return t->ne[1] * t->ne[2] * t->ne[3];
}

static inline size_t nx_tensor_row_bytes(const nx_tensor *t)
{
    return nx_dtype_row_bytes(t->dtype, t->ne[0]);
}

#endif
