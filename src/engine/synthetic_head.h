/* synthetic_head.h - between synthetic.c, which plans tensors, and synthetic_head.c, which writes
 * what stands before them in the image. Not for others.
 */
#ifndef NX_ENGINE_SYNTHETIC_HEAD_H
#define NX_ENGINE_SYNTHETIC_HEAD_H

#include "base/buf.h"
#include "engine/synthetic.h"

#define NX_SYNTHETIC_ALIGN    32 /* GGUF's default alignment of tensor data */
#define NX_SYNTHETIC_HEAD_MAX ((size_t)64 << 20)

typedef struct nx_synthetic_tensor {
    char     name[64];
    nx_dtype dtype;
    int32_t  n_dims;
    int64_t  ne[2];
    float    std;           /* 0: ones */
    uint64_t offset, bytes; /* in the data part */
} nx_synthetic_tensor;

typedef struct nx_synthetic_plan {
    nx_dtype             dtype;
    char                 name[64];
    nx_synthetic_tensor *tensors; /* [n_tensors] */
    int64_t              n_tensors;
    uint64_t             data_bytes;
    nx_buf               head; /* all bytes before the data part */
} nx_synthetic_plan;

/* Write metadata, vocabulary and tensor directory of p into p->head. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_synthetic_head(nx_synthetic_plan *p, const nx_synthetic_shape *s, nx_error *err);

#endif
