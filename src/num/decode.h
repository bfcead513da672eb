/* decode.h - the decoders behind nx_dtype_info.decode, one for each row of NX_DTYPE_TABLE.
 *
 * Within num/ only; others go through the table of num/dtype.h.
 */
#ifndef NX_NUM_DECODE_H
#define NX_NUM_DECODE_H

#include "num/dtype.h"

#define X(NAME, text, type, len, gguf_id)                                                          \
    void nx_decode_##NAME(float *dst, const void *src, int64_t n);
NX_DTYPE_TABLE(X)
NX_DTYPE_APART_TABLE(X)
#undef X

#endif
