/* levels_ref.c - reads the integers out of quantised blocks. Layouts: num/blocks.h. Any thread. */
#include "backend/cpu/ref/levels_ref.h"

#include <assert.h>
#include <string.h>

#include "num/blocks.h"
#include "num/half.h"

bool nx_levels_have_min(nx_dtype dtype)
{
    return dtype == NX_DTYPE_Q4_1 || dtype == NX_DTYPE_Q5_1 || dtype == NX_DTYPE_Q2_K ||
           dtype == NX_DTYPE_Q4_K || dtype == NX_DTYPE_Q5_K;
}

/* Sixteen bytes of nibbles: low ones are numbers 0..15, high ones 16..31. qh (or NULL) holds the
 * fifth bits. */
static void read_nibbles(int8_t level[32], const uint8_t qs[16], const uint8_t qh[4], int offset)
{
    uint32_t high = 0;

    if (qh) memcpy(&high, qh, sizeof high);
    for (int i = 0; i < 16; i++) {
        level[i] = (int8_t)((qs[i] & 15) + (int)(high >> i & 1) * 16 - offset);
        level[i + 16] = (int8_t)((qs[i] >> 4) + (int)(high >> (i + 16) & 1) * 16 - offset);
    }
}

static void read_codebook(int8_t level[32], const uint8_t qs[16])
{
    for (int i = 0; i < 16; i++) {
        level[i] = nx_iq4_levels[qs[i] & 15];
        level[i + 16] = nx_iq4_levels[qs[i] >> 4];
    }
}

/* Blocks are copied out first: in a file they lie at any address. */
#define COPY_BLOCK(type, name, src)                                                                \
    type name;                                                                                     \
    memcpy(&name, src, sizeof name)

void nx_levels32_read(nx_levels32 *out, nx_dtype dtype, const uint8_t *src)
{
    out->m = 0;
    if (dtype == NX_DTYPE_Q4_0) {
        COPY_BLOCK(nx_block_q4_0, b, src);
        out->d = nx_f16_to_f32(b.d);
        read_nibbles(out->level, b.qs, NULL, 8);
    } else if (dtype == NX_DTYPE_Q4_1) {
        COPY_BLOCK(nx_block_q4_1, b, src);
        out->d = nx_f16_to_f32(b.d);
        out->m = nx_f16_to_f32(b.m);
        read_nibbles(out->level, b.qs, NULL, 0);
    } else if (dtype == NX_DTYPE_Q5_0) {
        COPY_BLOCK(nx_block_q5_0, b, src);
        out->d = nx_f16_to_f32(b.d);
        read_nibbles(out->level, b.qs, b.qh, 16);
    } else if (dtype == NX_DTYPE_Q5_1) {
        COPY_BLOCK(nx_block_q5_1, b, src);
        out->d = nx_f16_to_f32(b.d);
        out->m = nx_f16_to_f32(b.m);
        read_nibbles(out->level, b.qs, b.qh, 0);
    } else if (dtype == NX_DTYPE_Q8_0) {
        COPY_BLOCK(nx_block_q8_0, b, src);
        out->d = nx_f16_to_f32(b.d);
        memcpy(out->level, b.qs, sizeof b.qs);
    } else {
        assert(dtype == NX_DTYPE_IQ4_NL);
        COPY_BLOCK(nx_block_iq4_nl, b, src);
        out->d = nx_f16_to_f32(b.d);
        read_codebook(out->level, b.qs);
    }
}

/* The packing that Q2_K and Q3_K share: byte l of half h holds numbers h * 128 + l, + 32, + 64 and
 * + 96 in its four pairs of bits. */
static int two_bits(const uint8_t qs[64], int i)
{
    return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

static void read_q2_k(nx_levels256 *out, const uint8_t *src)
{
    COPY_BLOCK(nx_block_q2_k, b, src);
    out->d = nx_f16_to_f32(b.d);
    out->dmin = nx_f16_to_f32(b.dmin);
    for (int j = 0; j < 16; j++) {
        out->scale[j] = b.scales[j] & 15;
        out->min[j] = b.scales[j] >> 4;
    }
    for (int i = 0; i < 256; i++) out->level[i] = (int8_t)two_bits(b.qs, i);
}

static void read_q3_k(nx_levels256 *out, const uint8_t *src)
{
    COPY_BLOCK(nx_block_q3_k, b, src);
    out->d = nx_f16_to_f32(b.d);
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? b.scales[j] & 15 : b.scales[j - 8] >> 4;
        int high = b.scales[8 + j % 4] >> (j / 4 * 2) & 3;
        out->scale[j] = (int16_t)((low | high << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        int high = b.hmask[i % 32] >> (i / 32) & 1;
        out->level[i] = (int8_t)(two_bits(b.qs, i) + high * 4 - 4);
    }
}

/* Eight scales and eight minima of 6 bits in 12 bytes; each is given for two runs of 16. */
static void read_scales_k4(nx_levels256 *out, const uint8_t s[12])
{
    for (int j = 0; j < 8; j++) {
        int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        int min = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        out->scale[2 * j] = out->scale[2 * j + 1] = (int16_t)scale;
        out->min[2 * j] = out->min[2 * j + 1] = (int16_t)min;
    }
}

static int nibble_k(const uint8_t qs[128], int i)
{
    return qs[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}

static void read_q4_k(nx_levels256 *out, const uint8_t *src)
{
    COPY_BLOCK(nx_block_q4_k, b, src);
    out->d = nx_f16_to_f32(b.d);
    out->dmin = nx_f16_to_f32(b.dmin);
    read_scales_k4(out, b.scales);
    for (int i = 0; i < 256; i++) out->level[i] = (int8_t)nibble_k(b.qs, i);
}

static void read_q5_k(nx_levels256 *out, const uint8_t *src)
{
    COPY_BLOCK(nx_block_q5_k, b, src);
    out->d = nx_f16_to_f32(b.d);
    out->dmin = nx_f16_to_f32(b.dmin);
    read_scales_k4(out, b.scales);
    for (int i = 0; i < 256; i++) {
        int high = b.qh[i % 32] >> (i / 32) & 1;
        out->level[i] = (int8_t)(nibble_k(b.qs, i) + high * 16);
    }
}

static void read_q6_k(nx_levels256 *out, const uint8_t *src)
{
    COPY_BLOCK(nx_block_q6_k, b, src);
    out->d = nx_f16_to_f32(b.d);
    for (int j = 0; j < 16; j++) out->scale[j] = b.scales[j];
    for (int i = 0; i < 256; i++) {
        int half = i / 128, part = i / 32 % 4;
        int low = b.ql[half * 64 + part % 2 * 32 + i % 32] >> (part / 2 * 4) & 15;
        int high = b.qh[half * 32 + i % 32] >> (part * 2) & 3;
        out->level[i] = (int8_t)((low | high << 4) - 32);
    }
}

static void read_iq4_xs(nx_levels256 *out, const uint8_t *src)
{
    COPY_BLOCK(nx_block_iq4_xs, b, src);
    out->d = nx_f16_to_f32(b.d);
    for (int j = 0; j < 8; j++) {
        int low = b.scales_l[j / 2] >> (j % 2 * 4) & 15;
        int high = b.scales_h >> (2 * j) & 3;
        out->scale[2 * j] = out->scale[2 * j + 1] = (int16_t)((low | high << 4) - 32);
        read_codebook(out->level + 32 * j, b.qs + 16 * j);
    }
}

void nx_levels256_read(nx_levels256 *out, nx_dtype dtype, const uint8_t *src)
{
    out->dmin = 0;
    memset(out->min, 0, sizeof out->min);
    switch (dtype) {
    case NX_DTYPE_Q2_K: read_q2_k(out, src); break;
    case NX_DTYPE_Q3_K: read_q3_k(out, src); break;
    case NX_DTYPE_Q4_K: read_q4_k(out, src); break;
    case NX_DTYPE_Q5_K: read_q5_k(out, src); break;
    case NX_DTYPE_Q6_K: read_q6_k(out, src); break;
    default: assert(dtype == NX_DTYPE_IQ4_XS); read_iq4_xs(out, src);
    }
}
