/* arch_llama.c - the Llama family: Llama 2 and 3, Mistral, Mixtral, and those who kept its weights
 * and changed a number (Granite) or a layer's rope (SmolLM3). */
#include "model/arch.h"

/* Everything that GGUF files call "llama". */
const nx_arch nx_arch_llama = {
    .name = "llama",
    .title = "Llama 2 and 3, Mistral, Mixtral",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_PAIRS,
    .gated = true,
    .ffn_bias = NX_MAYBE,
    .activation = NX_ACTIVATION_SILU,
    .experts = NX_MAYBE,
    .experts_normalise = true,
};

const nx_arch nx_arch_granite = {
    .name = "granite",
    .title = "Granite 3",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_PAIRS,
    .gated = true,
    .ffn_bias = NX_MAYBE,
    .activation = NX_ACTIVATION_SILU,
};

const nx_arch nx_arch_smollm3 = {
    .name = "smollm3",
    .title = "SmolLM3",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_PAIRS,
    .nope_every = 4,
    .gated = true,
    .ffn_bias = NX_MAYBE,
    .activation = NX_ACTIVATION_SILU,
};
