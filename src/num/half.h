/* half.h - IEEE binary16 and bfloat16 as bits in a uint16_t. Any thread. */
#ifndef NX_NUM_HALF_H
#define NX_NUM_HALF_H

#include <stdint.h>
#include <string.h>

static inline float nx_f32_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t nx_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

float    nx_f16_to_f32(uint16_t h); /* exact, subnormals and NaN included */
uint16_t nx_f32_to_f16(float f);    /* round to nearest even, as F16C does */
uint16_t nx_f32_to_bf16(float f);   /* round to nearest even; NaN stays NaN (quiet) */

static inline float nx_bf16_to_f32(uint16_t h)
{
    return nx_f32_from_bits((uint32_t)h << 16);
}

#endif
