/* half.c - binary16 and bfloat16, rounded to nearest even as the F16C instructions do.
 *
 * Idea: only integer steps, and float steps that are exact or rounded once in the default mode, so
 * that a machine without F16C gives the same bits. A NaN keeps the top of its payload and becomes
 * quiet, again as F16C does.
 */
#include "num/half.h"

float nx_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 0x1Fu, mantissa = h & 0x3FFu;

    if (exponent == 0) /* zero and subnormals: mantissa * 2^-24, exact in f32 */
        return nx_f32_from_bits(sign | nx_f32_bits((float)mantissa * 0x1p-24f));
    if (exponent == 31) {
        uint32_t quiet = mantissa ? 0x00400000u : 0u;
        return nx_f32_from_bits(sign | 0x7F800000u | quiet | mantissa << 13);
    }
    return nx_f32_from_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
}

uint16_t nx_f32_to_f16(float f)
{
    uint32_t bits = nx_f32_bits(f), x = bits & 0x7FFFFFFFu;
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    uint32_t out;

    if (x > 0x7F800000u)
        out = 0x7E00u | ((x >> 13) & 0x3FFu);
    else if (x >= 0x477FF000u) /* 65520 is the middle between 65504 and 2^16: to infinity */
        out = 0x7C00u;
    else if (x < 0x38800000u) /* below 2^-14: one ulp of 0.5 is 2^-24, the add rounds for us */
        out = nx_f32_bits(nx_f32_from_bits(x) + 0.5f) - 0x3F000000u;
    else
        out = (x - (112u << 23) + 0xFFFu + ((x >> 13) & 1u)) >> 13;
    return (uint16_t)(sign | out);
}

uint16_t nx_f32_to_bf16(float f)
{
    uint32_t x = nx_f32_bits(f);

    if ((x & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(x >> 16 | 0x40u);
    return (uint16_t)((x + 0x7FFFu + ((x >> 16) & 1u)) >> 16);
}
