/* recipe.h - what a quantisation makes of each tensor of a model.
 *
 * Idea:   "q4_k_m" is a rule: most matrices become Q4_K, some that matter more become Q6_K, norms
 *         stay. The rules for ggml's types are those that llama.cpp published and all its files
 *         follow; those for bitsandbytes' types are those of transformers: linear layers alone,
 *         while embeddings, head, norms and routers stay as they are.
 * Thread: any.
 */
#ifndef NX_FORMAT_RECIPE_H
#define NX_FORMAT_RECIPE_H

#include "base/error.h"
#include "num/bnb.h"
#include "tensor/tensor.h"

/* X(NAME, text, what most matrices become, what people should know) */
#define NX_RECIPE_TABLE(X)                                                                         \
    X(NF4, "nf4", NF4, "4 bits of the normal distribution, blocks of 64 (bitsandbytes)")           \
    X(NF4_DQ, "nf4-dq", NF4, "the same, its scales quantised as well (bitsandbytes)")              \
    X(FP4, "fp4", FP4, "4-bit floats, blocks of 64 (bitsandbytes)")                                \
    X(INT8, "int8", INT8, "8 bits, a scale for each row (LLM.int8, bitsandbytes)")                 \
    X(Q2_K, "q2_k", Q2_K, "2 bits in super-blocks")                                                \
    X(Q3_K_S, "q3_k_s", Q3_K, "3 bits, small")                                                     \
    X(Q3_K_M, "q3_k_m", Q3_K, "3 bits, medium")                                                    \
    X(Q3_K_L, "q3_k_l", Q3_K, "3 bits, large")                                                     \
    X(Q4_0, "q4_0", Q4_0, "4 bits, blocks of 32: the fastest")                                     \
    X(Q4_1, "q4_1", Q4_1, "4 bits with a minimum")                                                 \
    X(IQ4_XS, "iq4_xs", IQ4_XS, "4 bits, uneven levels, super-blocks")                             \
    X(IQ4_NL, "iq4_nl", IQ4_NL, "4 bits, uneven levels")                                           \
    X(Q4_K_S, "q4_k_s", Q4_K, "4 bits in super-blocks, small")                                     \
    X(Q4_K_M, "q4_k_m", Q4_K, "4 bits in super-blocks, medium: the usual choice")                  \
    X(Q5_0, "q5_0", Q5_0, "5 bits, blocks of 32")                                                  \
    X(Q5_1, "q5_1", Q5_1, "5 bits with a minimum")                                                 \
    X(Q5_K_S, "q5_k_s", Q5_K, "5 bits in super-blocks, small")                                     \
    X(Q5_K_M, "q5_k_m", Q5_K, "5 bits in super-blocks, medium")                                    \
    X(Q6_K, "q6_k", Q6_K, "6 bits in super-blocks")                                                \
    X(Q8_0, "q8_0", Q8_0, "8 bits, blocks of 32: next to nothing lost")                            \
    X(F16, "f16", F16, "half floats")                                                              \
    X(BF16, "bf16", BF16, "bfloat16")                                                              \
    X(F32, "f32", F32, "floats")

typedef enum nx_recipe {
#define X(NAME, text, type, about) NX_RECIPE_##NAME,
    NX_RECIPE_TABLE(X)
#undef X
        NX_RECIPE_COUNT,
    NX_RECIPE_NONE = NX_RECIPE_COUNT, /* leave everything as it is */
} nx_recipe;

typedef struct nx_recipe_info {
    const char *name, *about;
    nx_dtype    dtype; /* of most matrices */
} nx_recipe_info;

const nx_recipe_info *nx_recipe_get(nx_recipe r); /* r < NX_RECIPE_COUNT */

/* Ignores case; "q4_k" is q4_k_m, "q3_k" q3_k_m, "q5_k" q5_k_m. NX_EINVAL lists all names. */
nx_status nx_recipe_parse(nx_recipe *out, const char *name, nx_error *err);

/* One of bitsandbytes' types, which keep their scales apart? */
static inline bool nx_recipe_is_apart(nx_recipe r)
{
    return r <= NX_RECIPE_INT8;
}

/* What the rules ask about a model. */
typedef struct nx_recipe_model {
    int32_t n_layers;
    int32_t n_experts;    /* 0: none */
    int32_t heads_per_kv; /* query heads that share one of keys and values */
    bool    has_head;     /* the head is a tensor of its own */
    bool    is_llama_70b; /* a `llama` of 80 layers whose heads share keys and values */
} nx_recipe_model;

/* The type that r gives to a tensor: name as in GGUF ("blk.3.attn_v.weight"), ne[0] the row, dtype
 * what it is now. A row that isn't a multiple of the type's block gets the next larger type whose
 * block divides it, f16 in the end. dtype itself: the tensor stays as it is. */
nx_dtype nx_recipe_type(nx_recipe r, const nx_recipe_model *m, const char *name, int n_dims,
                        const int64_t *ne, nx_dtype dtype);

/* Bytes of n_rows rows of n_cols numbers in type t as r stores it, scales included. n_cols a
 * multiple of the block of types without scales apart. */
uint64_t nx_recipe_bytes(nx_recipe r, nx_dtype t, int64_t n_cols, int64_t n_rows);

/* The general.file_type that GGUF has for r, or -1. */
int nx_recipe_file_type(nx_recipe r);

#define NX_BNB_THRESHOLD    6.0f /* of LLM.int8's outliers, likewise */
#define NX_BNB_BLOCK        64   /* numbers that share a scale, as transformers sets it */
#define NX_BNB_NESTED_BLOCK NX_BNB_NEST_LEN

#endif
