/* bnb.h - bitsandbytes' encoders: NF4, FP4, INT8, and scales quantised a second time.
 *
 * The bits are those that bitsandbytes 0.50 gives on a CPU (tests/parity/test_bitsandbytes.py). A tensor
 * is encoded in pieces: blocks and rows don't know of each other; only nx_bnb_nest wants all scales.
 * Thread: any.
 */
#ifndef NX_NUM_BNB_H
#define NX_NUM_BNB_H

#include <stdint.h>

#include "num/dtype.h"

#define NX_BNB_NEST_LEN 256 /* scales that share one scale of scales */

/* The signed dynamic map of 8 bits (Dettmers et al. 2022, arXiv 2110.02861), ascending. */
extern const float nx_bnb_dynamic_map[256];

/* n numbers to 4-bit codes (t: NF4, FP4), two a byte, the first in the high nibble: dst [(n + 1) /
 * 2]. scales [ceil(n / block_len)]; block_len even. A short block may only end the tensor. */
void nx_bnb_encode_4bit(nx_dtype t, uint8_t *dst, float *scales, const float *x, int64_t n,
                        int32_t block_len);

/* The scales alone. */
void nx_bnb_scales_4bit(float *scales, const float *x, int64_t n, int32_t block_len);

/* One row to int8 with its scale. The numbers are rounded to f16 first, as there. */
void nx_bnb_encode_int8(int8_t *dst, float *scale, const float *x, int64_t n);

/* Double quantisation of n scales: scale b is map[codes[b]] * nested[b / 256] + *offset, the offset
 * being their mean.  codes [n]; nested [ceil(n / 256)].
 *   threads   in how many parts the mean of more than 32768 scales is summed, 1 to 64. PyTorch takes
 *             as many as the machine has processors, so that the last bit of the offset is the
 *             machine's. */
void nx_bnb_nest(uint8_t *codes, float *nested, float *offset, const float *scales, int64_t n,
                 int threads);

#endif
