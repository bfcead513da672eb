/* arch_olmo2.c - OLMo-2: norms only after each block, and over the whole width of q and k. */
#include "model/arch.h"

const nx_arch nx_arch_olmo2 = {
    .name = "olmo2",
    .title = "OLMo-2",
    .norm = NX_NORM_RMS,
    .post_norm = true,
    .qk_norm = NX_QK_NORM_WIDTH,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .gated = true,
    .activation = NX_ACTIVATION_SILU,
};
