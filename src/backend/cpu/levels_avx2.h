/* levels_avx2.h - quantised blocks taken apart 32 numbers at a time, in vectors.
 *
 * Idea: nx_raw gives 32 bytes, number i in byte i. For most types these are unsigned codes and the
 *       level is code - nx_raw_offset; for q8_0 and the codebooks they are the signed levels
 *       themselves. All is inlined with a constant dtype, so the switches cost nothing.
 */
#ifndef NX_BACKEND_CPU_LEVELS_AVX2_H
#define NX_BACKEND_CPU_LEVELS_AVX2_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/cpu/lanes_avx2.h"
#include "num/blocks.h"

/* The table of num/dtype.h as constants of the compiler. */
NX_INLINE size_t nx_block_bytes(nx_dtype dtype)
{
    switch (dtype) {
#define X(NAME, text, type, len, gguf_id)                                                          \
    case NX_DTYPE_##NAME: return sizeof(type);
        NX_DTYPE_TABLE(X)
#undef X
    default: return 0;
    }
}

NX_INLINE bool nx_block_is_32(nx_dtype dtype)
{
    return dtype <= NX_DTYPE_Q8_0 || dtype == NX_DTYPE_IQ4_NL; /* of the quantised types */
}

NX_INLINE bool nx_raw_signed(nx_dtype dtype)
{
    return dtype == NX_DTYPE_Q8_0 || dtype == NX_DTYPE_IQ4_NL || dtype == NX_DTYPE_IQ4_XS;
}

NX_INLINE int nx_raw_offset(nx_dtype dtype)
{
    return dtype == NX_DTYPE_Q4_0   ? 8
           : dtype == NX_DTYPE_Q5_0 ? 16
           : dtype == NX_DTYPE_Q3_K ? 4
           : dtype == NX_DTYPE_Q6_K ? 32
                                    : 0;
}

/* d * level + m, or - dmin * min. */
NX_INLINE bool nx_has_min(nx_dtype dtype)
{
    return dtype == NX_DTYPE_Q4_1 || dtype == NX_DTYPE_Q5_1 || dtype == NX_DTYPE_Q2_K ||
           dtype == NX_DTYPE_Q4_K || dtype == NX_DTYPE_Q5_K;
}

/* Where a block keeps its halves. */
NX_INLINE size_t nx_offset_d(nx_dtype dtype)
{
    return dtype == NX_DTYPE_Q2_K   ? offsetof(nx_block_q2_k, d)
           : dtype == NX_DTYPE_Q3_K ? offsetof(nx_block_q3_k, d)
           : dtype == NX_DTYPE_Q6_K ? offsetof(nx_block_q6_k, d)
                                    : 0;
}

NX_INLINE size_t nx_offset_min(nx_dtype dtype)
{
    return nx_offset_d(dtype) + 2; /* m or dmin follows d in all types that have it */
}

_Static_assert(offsetof(nx_block_q4_0, d) == 0 && offsetof(nx_block_q8_0, d) == 0 &&
                   offsetof(nx_block_q4_1, m) == 2 && offsetof(nx_block_q5_1, m) == 2 &&
                   offsetof(nx_block_q4_k, dmin) == 2 && offsetof(nx_block_q5_k, dmin) == 2 &&
                   offsetof(nx_block_q2_k, dmin) == offsetof(nx_block_q2_k, d) + 2,
               "halves stand where the kernels look for them");

NX_INLINE __m256i nx_load32b(const uint8_t *p)
{
    return _mm256_loadu_si256((const void *)p);
}

/* 16 bytes: low nibbles, then high ones. */
NX_INLINE __m256i nx_nibbles(const uint8_t *p)
{
    __m128i q = _mm_loadu_si128((const void *)p);
    __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1);
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

/* Four bytes of bits: byte i is 16 when bit i is set. */
NX_INLINE __m256i nx_fifth_bits(const uint8_t *p)
{
    int32_t bits;

    memcpy(&bits, p, sizeof bits);
    const __m256i which =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i mask = _mm256_set1_epi64x((long long)0x8040201008040201u);
    __m256i       v = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), which);
    v = _mm256_cmpeq_epi8(_mm256_and_si256(v, mask), mask);
    return _mm256_and_si256(v, _mm256_set1_epi8(16));
}

NX_INLINE __m256i nx_codebook(const uint8_t *p)
{
    __m128i table = _mm_loadu_si128((const void *)nx_iq4_levels);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nx_nibbles(p));
}

/* Bits `shift`, `shift` + 1 ... of each byte under mask (never crossing into the next byte). */
NX_INLINE __m256i nx_bits(__m256i v, int shift, int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, shift), _mm256_set1_epi8((char)mask));
}

/* Bit g of each byte, moved to value `weight` (a power of two). */
NX_INLINE __m256i nx_bit_as(__m256i v, int g, int weight)
{
    __m256i bit = _mm256_set1_epi8((char)(1 << g));
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8((char)weight));
}

NX_INLINE __m256i nx_raw_q6_k(const uint8_t *p, int g)
{
    const uint8_t *ql = p + offsetof(nx_block_q6_k, ql), *qh = p + offsetof(nx_block_q6_k, qh);
    int            half = g / 4, part = g % 4;
    __m256i        low = nx_bits(nx_load32b(ql + half * 64 + part % 2 * 32), part / 2 * 4, 15);
    __m256i        high = nx_bits(nx_load32b(qh + half * 32), part * 2, 3);
    return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
}

/* Numbers 32 g .. 32 g + 31 of the block at p. */
NX_INLINE __m256i nx_raw(const uint8_t *p, nx_dtype dtype, int g)
{
    switch (dtype) {
    case NX_DTYPE_Q4_0: return nx_nibbles(p + offsetof(nx_block_q4_0, qs));
    case NX_DTYPE_Q4_1: return nx_nibbles(p + offsetof(nx_block_q4_1, qs));
    case NX_DTYPE_Q5_0:
        return _mm256_or_si256(nx_nibbles(p + offsetof(nx_block_q5_0, qs)),
                               nx_fifth_bits(p + offsetof(nx_block_q5_0, qh)));
    case NX_DTYPE_Q5_1:
        return _mm256_or_si256(nx_nibbles(p + offsetof(nx_block_q5_1, qs)),
                               nx_fifth_bits(p + offsetof(nx_block_q5_1, qh)));
    case NX_DTYPE_Q8_0: return nx_load32b(p + offsetof(nx_block_q8_0, qs));
    case NX_DTYPE_IQ4_NL: return nx_codebook(p + offsetof(nx_block_iq4_nl, qs));
    case NX_DTYPE_IQ4_XS: return nx_codebook(p + offsetof(nx_block_iq4_xs, qs) + 16 * g);
    case NX_DTYPE_Q2_K:
        return nx_bits(nx_load32b(p + offsetof(nx_block_q2_k, qs) + g / 4 * 32), g % 4 * 2, 3);
    case NX_DTYPE_Q3_K:
        return _mm256_or_si256(
            nx_bits(nx_load32b(p + offsetof(nx_block_q3_k, qs) + g / 4 * 32), g % 4 * 2, 3),
            nx_bit_as(nx_load32b(p + offsetof(nx_block_q3_k, hmask)), g, 4));
    case NX_DTYPE_Q4_K:
        return nx_bits(nx_load32b(p + offsetof(nx_block_q4_k, qs) + g / 2 * 32), g % 2 * 4, 15);
    case NX_DTYPE_Q5_K:
        return _mm256_or_si256(
            nx_bits(nx_load32b(p + offsetof(nx_block_q5_k, qs) + g / 2 * 32), g % 2 * 4, 15),
            nx_bit_as(nx_load32b(p + offsetof(nx_block_q5_k, qh)), g, 16));
    default: return nx_raw_q6_k(p, g);
    }
}

/* Sums of products of 32 raw numbers with 32 codes, as 16 exact int16: pair i is numbers 2 i and
 * 2 i + 1. |level| <= 128 goes in unsigned, its sign is lent to the code (which never is -128), so
 * a pair stays below 2 * 128 * 127 < 2^15. */
NX_INLINE __m256i nx_pair_dot(__m256i raw, __m256i codes, nx_dtype dtype)
{
    if (nx_raw_signed(dtype))
        return _mm256_maddubs_epi16(_mm256_abs_epi8(raw), _mm256_sign_epi8(codes, raw));
    return _mm256_maddubs_epi16(raw, codes);
}

/* -------- scales of blocks of 256: 16 int16, one for each run of 16 numbers -------- */

/* Six-bit scales (and minima) of Q4_K and Q5_K: eight bytes each. */
NX_INLINE void nx_scales_k4(uint64_t *scales, uint64_t *mins, const uint8_t *p)
{
    uint32_t a, b, c;

    memcpy(&a, p, 4);
    memcpy(&b, p + 4, 4);
    memcpy(&c, p + 8, 4);
    uint32_t s1 = (c & 0x0F0F0F0Fu) | (a >> 6 & 0x03030303u) << 4;
    uint32_t m1 = (c >> 4 & 0x0F0F0F0Fu) | (b >> 6 & 0x03030303u) << 4;
    *scales = (a & 0x3F3F3F3Fu) | (uint64_t)s1 << 32;
    *mins = (b & 0x3F3F3F3Fu) | (uint64_t)m1 << 32;
}

NX_INLINE __m128i nx_scales_q3_k(const uint8_t *p)
{
    uint32_t a, b, c;

    memcpy(&a, p, 4);
    memcpy(&b, p + 4, 4);
    memcpy(&c, p + 8, 4);
    uint32_t s0 = (a & 0x0F0F0F0Fu) | (c & 0x03030303u) << 4;
    uint32_t s1 = (b & 0x0F0F0F0Fu) | (c >> 2 & 0x03030303u) << 4;
    uint32_t s2 = (a >> 4 & 0x0F0F0F0Fu) | (c >> 4 & 0x03030303u) << 4;
    uint32_t s3 = (b >> 4 & 0x0F0F0F0Fu) | (c >> 6 & 0x03030303u) << 4;
    __m128i  s = _mm_setr_epi32((int)s0, (int)s1, (int)s2, (int)s3);
    return _mm_sub_epi8(s, _mm_set1_epi8(32));
}

/* Eight nibbles to eight bytes, and eight pairs of bits to eight bytes, lowest first. */
NX_INLINE uint64_t nx_spread4(uint64_t x)
{
    x = (x | x << 16) & 0x0000FFFF0000FFFFu;
    x = (x | x << 8) & 0x00FF00FF00FF00FFu;
    return (x | x << 4) & 0x0F0F0F0F0F0F0F0Fu;
}

NX_INLINE uint64_t nx_spread2(uint64_t x)
{
    x = (x | x << 24) & 0x000000FF000000FFu;
    x = (x | x << 12) & 0x000F000F000F000Fu;
    return (x | x << 6) & 0x0303030303030303u;
}

NX_INLINE __m128i nx_scales_iq4_xs(const uint8_t *p)
{
    uint32_t low;
    uint16_t high;

    memcpy(&low, p + offsetof(nx_block_iq4_xs, scales_l), sizeof low);
    memcpy(&high, p + offsetof(nx_block_iq4_xs, scales_h), sizeof high);
    __m128i v = _mm_cvtsi64_si128((long long)(nx_spread4(low) | nx_spread2(high) << 4));
    v = _mm_sub_epi8(v, _mm_set1_epi8(32));
    return _mm_unpacklo_epi8(v, v); /* each stands for two runs of 16 */
}

/* Signed scales, run j in element j; *mins (where the type has any) likewise. */
NX_INLINE __m256i nx_scales(__m256i *mins, const uint8_t *p, nx_dtype dtype)
{
    *mins = _mm256_setzero_si256();
    if (dtype == NX_DTYPE_Q2_K) {
        __m128i s = _mm_loadu_si128((const void *)(p + offsetof(nx_block_q2_k, scales)));
        __m128i low = _mm_set1_epi8(15);
        *mins = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(s, 4), low));
        return _mm256_cvtepu8_epi16(_mm_and_si128(s, low));
    }
    if (dtype == NX_DTYPE_Q3_K)
        return _mm256_cvtepi8_epi16(nx_scales_q3_k(p + offsetof(nx_block_q3_k, scales)));
    if (dtype == NX_DTYPE_Q6_K)
        return _mm256_cvtepi8_epi16(
            _mm_loadu_si128((const void *)(p + offsetof(nx_block_q6_k, scales))));
    if (dtype == NX_DTYPE_IQ4_XS) return _mm256_cvtepi8_epi16(nx_scales_iq4_xs(p));

    uint64_t scale8, min8;
    nx_scales_k4(&scale8, &min8, p + offsetof(nx_block_q4_k, scales));
    __m128i s = _mm_cvtsi64_si128((long long)scale8), m = _mm_cvtsi64_si128((long long)min8);
    *mins = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(m, m));
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(s, s));
}

_Static_assert(offsetof(nx_block_q4_k, scales) == offsetof(nx_block_q5_k, scales),
               "Q4_K and Q5_K share the code for scales");

#endif
