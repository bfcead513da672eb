/* codes.c - vectors in 8 bits. Written when a segment is, so plain C is fast enough. */
#include "store/codes.h"

#include <math.h>
#include <string.h>

void nx_code_row(int8_t *codes, float scale[2], const float *x, int32_t dim, uint32_t width)
{
    float  most = 0;
    double squares = 0;

    for (int32_t i = 0; i < dim; i++) {
        most = fmaxf(most, fabsf(x[i]));
        squares += (double)x[i] * (double)x[i];
    }
    memset(codes, 0, width);
    scale[0] = 0;
    scale[1] = (float)squares;
    if (most < 0x1p-100f) return;
    float r = 127 / most;
    scale[0] = most / 127;
    for (int32_t i = 0; i < dim; i++) {
        float q = rintf(x[i] * r);
        codes[i] = (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
    }
}
