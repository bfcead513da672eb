/* arch_gpt.c - the line of GPT-2: layer norms with biases and a plain feed-forward. GPT-NeoX turned
 * to rope on a part of each head and may run attention and feed-forward side by side; StarCoder2
 * shares keys and values among heads. */
#include "model/arch.h"

const nx_arch nx_arch_gpt2 = {
    .name = "gpt2",
    .title = "GPT-2",
    .norm = NX_NORM_LAYER,
    .pre_norm = true,
    .fused_qkv = true,
    .qkv_bias = NX_ALWAYS,
    .out_bias = NX_ALWAYS,
    .positions = true,
    .ffn_bias = NX_ALWAYS,
    .activation = NX_ACTIVATION_GELU_TANH,
};

/* llama.cpp computes these with the tanh form of GELU; the models were trained with erf. */
const nx_arch nx_arch_gptneox = {
    .name = "gptneox",
    .title = "GPT-NeoX, Pythia",
    .norm = NX_NORM_LAYER,
    .pre_norm = true,
    .parallel = true,
    .fused_qkv = true,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .ffn_bias = NX_ALWAYS,
    .activation = NX_ACTIVATION_GELU_ERF,
};

const nx_arch nx_arch_starcoder2 = {
    .name = "starcoder2",
    .title = "StarCoder2",
    .norm = NX_NORM_LAYER,
    .pre_norm = true,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .ffn_bias = NX_MAYBE,
    .activation = NX_ACTIVATION_GELU_TANH,
};
