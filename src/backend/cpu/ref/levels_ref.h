/* levels_ref.h - quantised blocks taken apart into integers, for the reference kernels.
 *
 * A number of a block of 32 is d * level + m; of a block of 256, d * scale_j * level - dmin * min_j
 * where j counts runs of 16 numbers (types with sub-blocks of 32 give each scale twice).
 */
#ifndef NX_BACKEND_CPU_REF_LEVELS_REF_H
#define NX_BACKEND_CPU_REF_LEVELS_REF_H

#include <stdint.h>

#include "num/dtype.h"

typedef struct nx_levels32 {
    float  d, m;
    int8_t level[32];
} nx_levels32;

typedef struct nx_levels256 {
    float   d, dmin;
    int16_t scale[16], min[16];
    int8_t  level[256];
} nx_levels256;

/* Read one block at src (any address). dtype is one of the types with blocks of 32, or of 256. */
void nx_levels32_read(nx_levels32 *out, nx_dtype dtype, const uint8_t *src);
void nx_levels256_read(nx_levels256 *out, nx_dtype dtype, const uint8_t *src);

/* True when numbers have an offset: q4_1 q5_1, q2_k q4_k q5_k. */
bool nx_levels_have_min(nx_dtype dtype);

#endif
