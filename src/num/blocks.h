/* blocks.h - quantised blocks, declared once for files, CPU and GPU alike.
 *
 * The layouts are ggml's, byte for byte. Halves (f16) are stored as bits, low byte first; the host
 * is little-endian (checked in dtype.c).
 */
#ifndef NX_NUM_BLOCKS_H
#define NX_NUM_BLOCKS_H

#include <stdint.h>

#define NX_QK  32  /* numbers in a small block */
#define NX_QKK 256 /* numbers in a super-block */

/* x_i = d * (nibble_i - 8). Low nibbles are numbers 0..15, high nibbles 16..31. */
typedef struct nx_block_q4_0 {
    uint16_t d;
    uint8_t  qs[NX_QK / 2];
} nx_block_q4_0;

/* x_i = d * nibble_i + m. */
typedef struct nx_block_q4_1 {
    uint16_t d, m;
    uint8_t  qs[NX_QK / 2];
} nx_block_q4_1;

/* x_i = d * (q_i - 16); bit i of qh is the fifth bit of number i. */
typedef struct nx_block_q5_0 {
    uint16_t d;
    uint8_t  qh[4];
    uint8_t  qs[NX_QK / 2];
} nx_block_q5_0;

/* x_i = d * q_i + m. */
typedef struct nx_block_q5_1 {
    uint16_t d, m;
    uint8_t  qh[4];
    uint8_t  qs[NX_QK / 2];
} nx_block_q5_1;

/* x_i = d * q_i. */
typedef struct nx_block_q8_0 {
    uint16_t d;
    int8_t   qs[NX_QK];
} nx_block_q8_0;

/* 16 sub-blocks of 16: x = d * (scale & 15) * q - dmin * (scale >> 4), q of 2 bits. */
typedef struct nx_block_q2_k {
    uint8_t  scales[NX_QKK / 16];
    uint8_t  qs[NX_QKK / 4];
    uint16_t d, dmin;
} nx_block_q2_k;

/* 16 sub-blocks of 16: x = d * (scale - 32) * (q - 4), q of 3 bits (high bits in hmask), scales
 * of 6 bits packed in 12 bytes. */
typedef struct nx_block_q3_k {
    uint8_t  hmask[NX_QKK / 8];
    uint8_t  qs[NX_QKK / 4];
    uint8_t  scales[12];
    uint16_t d;
} nx_block_q3_k;

/* 8 sub-blocks of 32: x = d * scale * q - dmin * min, scales and mins of 6 bits in 12 bytes. */
typedef struct nx_block_q4_k {
    uint16_t d, dmin;
    uint8_t  scales[12];
    uint8_t  qs[NX_QKK / 2];
} nx_block_q4_k;

/* As Q4_K with a fifth bit in qh. */
typedef struct nx_block_q5_k {
    uint16_t d, dmin;
    uint8_t  scales[12];
    uint8_t  qh[NX_QKK / 8];
    uint8_t  qs[NX_QKK / 2];
} nx_block_q5_k;

/* 16 sub-blocks of 16: x = d * scale * (q - 32), q of 6 bits (ql low four, qh high two). */
typedef struct nx_block_q6_k {
    uint8_t  ql[NX_QKK / 2];
    uint8_t  qh[NX_QKK / 4];
    int8_t   scales[NX_QKK / 16];
    uint16_t d;
} nx_block_q6_k;

/* x_i = d * codebook[nibble_i]. */
typedef struct nx_block_iq4_nl {
    uint16_t d;
    uint8_t  qs[NX_QK / 2];
} nx_block_iq4_nl;

/* 8 sub-blocks of 32: x = d * (scale - 32) * codebook[nibble]; the scale's low four bits in
 * scales_l, high two in scales_h. */
typedef struct nx_block_iq4_xs {
    uint16_t d, scales_h;
    uint8_t  scales_l[NX_QKK / 64];
    uint8_t  qs[NX_QKK / 2];
} nx_block_iq4_xs;

/* The sixteen levels of IQ4_NL and IQ4_XS. */
extern const int8_t nx_iq4_levels[16];

_Static_assert(sizeof(nx_block_q4_0) == 18, "Q4_0: 32 numbers in 18 bytes");
_Static_assert(sizeof(nx_block_q4_1) == 20, "Q4_1: 32 numbers in 20 bytes");
_Static_assert(sizeof(nx_block_q5_0) == 22, "Q5_0: 32 numbers in 22 bytes");
_Static_assert(sizeof(nx_block_q5_1) == 24, "Q5_1: 32 numbers in 24 bytes");
_Static_assert(sizeof(nx_block_q8_0) == 34, "Q8_0: 32 numbers in 34 bytes");
_Static_assert(sizeof(nx_block_q2_k) == 84, "Q2_K: 256 numbers in 84 bytes");
_Static_assert(sizeof(nx_block_q3_k) == 110, "Q3_K: 256 numbers in 110 bytes");
_Static_assert(sizeof(nx_block_q4_k) == 144, "Q4_K: 256 numbers in 144 bytes");
_Static_assert(sizeof(nx_block_q5_k) == 176, "Q5_K: 256 numbers in 176 bytes");
_Static_assert(sizeof(nx_block_q6_k) == 210, "Q6_K: 256 numbers in 210 bytes");
_Static_assert(sizeof(nx_block_iq4_nl) == 18, "IQ4_NL: 32 numbers in 18 bytes");
_Static_assert(sizeof(nx_block_iq4_xs) == 136, "IQ4_XS: 256 numbers in 136 bytes");

#endif
