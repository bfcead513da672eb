/* codes.h - a vector in 8 bits: 127 levels to each side, one scale for each row. */
#ifndef NX_STORE_CODES_H
#define NX_STORE_CODES_H

#include <stdint.h>

/* codes[i] = round to nearest even of x[i] * (127 / max |x|), zeros from dim to width; scale[0] =
 * max |x| / 127, scale[1] = sum of x[i] squared. Where max |x| is below 2^-100 codes and scale[0]
 * are 0. */
void nx_code_row(int8_t *codes, float scale[2], const float *x, int32_t dim, uint32_t width);

#endif
