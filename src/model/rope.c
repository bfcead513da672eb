/* rope.c - rotary angles, in double precision where it costs nothing. */
#include "model/rope.h"

#include <math.h>

void nx_rope_frequencies(float *freq, const nx_hparams *hp, const float *factors)
{
    for (int32_t i = 0; i < hp->n_rot / 2; i++) {
        double f = pow(hp->rope_base, -2.0 * i / hp->n_rot) / hp->rope_scale;
        freq[i] = (float)(factors ? f / (double)factors[i] : f);
    }
}

void nx_rope_table(float *cs, const float *freq, int32_t n_rot, int32_t pos0, int32_t T)
{
    int32_t half = n_rot / 2;

    for (int32_t t = 0; t < T; t++) {
        for (int32_t i = 0; i < half; i++, cs += 2) {
            float angle = (float)(pos0 + t) * freq[i];
            cs[0] = (float)cos((double)angle);
            cs[1] = (float)sin((double)angle);
        }
    }
}
