/* arch_qwen.c - Qwen 2 and 3, dense and with experts. Qwen 2 has biases on q, k and v; Qwen 3 norms
 * each head of q and k instead. */
#include "model/arch.h"

const nx_arch nx_arch_qwen2 = {
    .name = "qwen2",
    .title = "Qwen 2 and 2.5",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .qkv_bias = NX_ALWAYS,
    .rope_kind = NX_ROPE_HALVES,
    .gated = true,
    .activation = NX_ACTIVATION_SILU,
};

const nx_arch nx_arch_qwen2moe = {
    .name = "qwen2moe",
    .title = "Qwen 2 MoE",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .qkv_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .gated = true,
    .activation = NX_ACTIVATION_SILU,
    .experts = NX_ALWAYS,
    .shared_expert = true,
};

const nx_arch nx_arch_qwen3 = {
    .name = "qwen3",
    .title = "Qwen 3",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .qk_norm = NX_QK_NORM_HEAD,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .gated = true,
    .activation = NX_ACTIVATION_SILU,
};

const nx_arch nx_arch_qwen3moe = {
    .name = "qwen3moe",
    .title = "Qwen 3 MoE",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .qk_norm = NX_QK_NORM_HEAD,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .gated = true,
    .activation = NX_ACTIVATION_SILU,
    .experts = NX_ALWAYS,
    .experts_normalise = true,
};
