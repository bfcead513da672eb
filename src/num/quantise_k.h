/* quantise_k.h - f32 to super-blocks of 256, and to IQ4_NL. Within num/ only; others go through
 * nx_quantise_row. */
#ifndef NX_NUM_QUANTISE_K_H
#define NX_NUM_QUANTISE_K_H

#include <stdint.h>

/* One block each, at dst (any address), of 256 numbers (IQ4_NL: 32). */
void nx_encode_q2_k(uint8_t *dst, const float *x);
void nx_encode_q3_k(uint8_t *dst, const float *x);
void nx_encode_q4_k(uint8_t *dst, const float *x);
void nx_encode_q5_k(uint8_t *dst, const float *x);
void nx_encode_q6_k(uint8_t *dst, const float *x);
void nx_encode_iq4_nl(uint8_t *dst, const float *x);
void nx_encode_iq4_xs(uint8_t *dst, const float *x);

#endif
