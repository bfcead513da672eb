/* arch_phi3.c - Phi-3 and Phi-4: Llama's layer with its matrices fused, and longrope. */
#include "model/arch.h"

const nx_arch nx_arch_phi3 = {
    .name = "phi3",
    .title = "Phi-3 and Phi-4",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .fused_qkv = true,
    .rope_kind = NX_ROPE_HALVES,
    .gated = true,
    .fused_gate_up = true,
    .activation = NX_ACTIVATION_SILU,
};
