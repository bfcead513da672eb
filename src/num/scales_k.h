/* scales_k.h - the 6-bit scales of K blocks, unpacked. Shared by decoders and kernels. Any thread.
 *
 * Q4_K and Q5_K: 12 bytes hold 8 scales (letters A..H) and 8 mins (a..h). The last four of each
 * have their low four bits in bytes 8..11 and their high two bits on top of bytes 0..7:
 *
 *     byte 0..3  EEAAAAAA FFBBBBBB GGCCCCCC HHDDDDDD
 *     byte 4..7  eeaaaaaa ffbbbbbb ggcccccc hhdddddd
 *     byte 8..11 eeeeEEEE ffffFFFF ggggGGGG hhhhHHHH
 *
 * Q3_K: 12 bytes hold 16 scales (A..P), the low four bits in bytes 0..7, the high two in 8..11:
 *
 *     byte 0..7  IIIIAAAA JJJJBBBB KKKKCCCC LLLLDDDD MMMMEEEE NNNNFFFF OOOOGGGG PPPPHHHH
 *     byte 8..11 MMIIEEAA NNJJFFBB OOKKGGCC PPLLHHDD
 */
#ifndef NX_NUM_SCALES_K_H
#define NX_NUM_SCALES_K_H

#include <stdint.h>

/* scale[8] and min[8], each 0..63. */
static inline void nx_q4k_scales(uint8_t scale[8], uint8_t min[8], const uint8_t packed[12])
{
    for (int j = 0; j < 4; j++) {
        scale[j] = packed[j] & 63;
        min[j] = packed[j + 4] & 63;
        scale[j + 4] = (uint8_t)((packed[j + 8] & 15) | (packed[j] >> 6 << 4));
        min[j + 4] = (uint8_t)((packed[j + 8] >> 4) | (packed[j + 4] >> 6 << 4));
    }
}

/* scale[16], each -32..31. */
static inline void nx_q3k_scales(int8_t scale[16], const uint8_t packed[12])
{
    for (int j = 0; j < 16; j++) {
        int low = (packed[j & 7] >> (j >> 3 << 2)) & 15;
        int high = (packed[8 + (j & 3)] >> (j >> 2 << 1)) & 3;
        scale[j] = (int8_t)((low | high << 4) - 32);
    }
}

#endif
