/* dtype.h - every data type of weights and caches, in one table.
 *
 * A row of a tensor is a run of blocks: block_len numbers in block_bytes bytes. Plain types are
 * blocks of one. Bytes come from sizeof of the structs in num/blocks.h, never from a second table.
 */
#ifndef NX_NUM_DTYPE_H
#define NX_NUM_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, "name as users type it", block struct or C type, numbers per block, id in GGUF files) */
#define NX_DTYPE_TABLE(X)                                                                          \
    X(F32, "f32", float, 1, 0)                                                                     \
    X(F16, "f16", uint16_t, 1, 1)                                                                  \
    X(BF16, "bf16", uint16_t, 1, 30)                                                               \
    X(Q4_0, "q4_0", nx_block_q4_0, 32, 2)                                                          \
    X(Q4_1, "q4_1", nx_block_q4_1, 32, 3)                                                          \
    X(Q5_0, "q5_0", nx_block_q5_0, 32, 6)                                                          \
    X(Q5_1, "q5_1", nx_block_q5_1, 32, 7)                                                          \
    X(Q8_0, "q8_0", nx_block_q8_0, 32, 8)                                                          \
    X(Q2_K, "q2_k", nx_block_q2_k, 256, 10)                                                        \
    X(Q3_K, "q3_k", nx_block_q3_k, 256, 11)                                                        \
    X(Q4_K, "q4_k", nx_block_q4_k, 256, 12)                                                        \
    X(Q5_K, "q5_k", nx_block_q5_k, 256, 13)                                                        \
    X(Q6_K, "q6_k", nx_block_q6_k, 256, 14)                                                        \
    X(IQ4_NL, "iq4_nl", nx_block_iq4_nl, 32, 20)                                                   \
    X(IQ4_XS, "iq4_xs", nx_block_iq4_xs, 256, 23)

/* bitsandbytes' types, which GGUF doesn't know. Their scales lie apart, in nx_tensor.scales
 * (tensor/tensor.h); the codes alone are a row of blocks like any other.
 * nf4, fp4: two numbers a byte, the first in the high nibble. int8: one signed byte a number. */
#define NX_DTYPE_APART_TABLE(X)                                                                    \
    X(NF4, "nf4", uint8_t, 2, NX_GGUF_ID_NONE)                                                     \
    X(FP4, "fp4", uint8_t, 2, NX_GGUF_ID_NONE)                                                     \
    X(INT8, "int8", int8_t, 1, NX_GGUF_ID_NONE)

#define NX_GGUF_ID_NONE 0xFFFFFFFFu

typedef enum nx_dtype {
#define X(NAME, text, type, len, gguf_id) NX_DTYPE_##NAME,
    NX_DTYPE_TABLE(X) NX_DTYPE_APART_TABLE(X)
#undef X
        NX_DTYPE_COUNT
} nx_dtype;

#define NX_DTYPE_GGUF_COUNT ((int)NX_DTYPE_NF4) /* those before it need no scales beside them */

static inline bool nx_dtype_scales_apart(nx_dtype t)
{
    return t >= NX_DTYPE_NF4;
}

typedef struct nx_dtype_info {
    const char *name;      /* "q4_k" */
    uint16_t    block_len; /* numbers per block */
    uint16_t    block_bytes;
    uint32_t    gguf_id; /* type number in GGUF files, or NX_GGUF_ID_NONE */
    /* Decode n numbers (a multiple of block_len) to f32, exactly as ggml's dequantize_row does,
     * bit for bit. src needs no alignment. Types with scales apart give their codes' levels here,
     * before any scale (nf4 and fp4: -1 to 1; int8: -128 to 127). */
    void (*decode)(float *dst, const void *src, int64_t n);
} nx_dtype_info;

const nx_dtype_info *nx_dtype_get(nx_dtype t);
bool                 nx_dtype_by_name(nx_dtype *out, const char *name); /* ignores case */
bool        nx_dtype_by_gguf_id(nx_dtype *out, uint32_t gguf_id); /* only the types we compute */
const char *nx_gguf_type_name(uint32_t gguf_id); /* "IQ2_XXS" for all ids known today, or NULL */

/* Bytes of a row of n numbers; n must be a multiple of block_len. */
static inline size_t nx_dtype_row_bytes(nx_dtype t, int64_t n)
{
    const nx_dtype_info *i = nx_dtype_get(t);
    return (size_t)(n / i->block_len) * i->block_bytes;
}

#endif
