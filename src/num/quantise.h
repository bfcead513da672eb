/* quantise.h - f32 to blocks.
 *
 * Plain types and the simple blocks of 32 (Q4_0 to Q8_0): the bits of ggml's quantize_row_*_ref and of
 * `quantize` in the gguf Python package. Super-blocks and IQ4_NL: encoders of our own, whose squared
 * error is no larger than llama.cpp's.
 */
#ifndef NX_NUM_QUANTISE_H
#define NX_NUM_QUANTISE_H

#include <stdbool.h>
#include <stdint.h>

#include "num/dtype.h"

/* True for every type that GGUF files carry; false for those with scales apart (num/bnb.h). */
bool nx_quantise_supports(nx_dtype t);

/* Encode n numbers (a multiple of the type's block_len) into dst, nx_dtype_row_bytes(t, n) bytes at
 * any alignment. t must be supported. A quantised block that holds a NaN or an infinity gets a NaN
 * scale, so that it decodes to NaN and nobody is misled. Any thread. */
void nx_quantise_row(nx_dtype t, void *dst, const float *src, int64_t n);

#endif
