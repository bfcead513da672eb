/* arch_gemma.c - Gemma 2 and 3: norms before and after each block, layers that slide between layers
 * that see everything, embeddings scaled by the root of their width. The 27B models scale queries
 * by width / heads instead of the head's own size; no key says so in GGUF, their depth does. */
#include "model/arch.h"

const nx_arch nx_arch_gemma2 = {
    .name = "gemma2",
    .title = "Gemma 2",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .post_norm = true,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .window_every = true,
    .full_every = 2,
    .window = 4096,
    .gated = true,
    .activation = NX_ACTIVATION_GELU_TANH,
    .embd_scaled = true,
    .attn_softcap = 50,
    .final_softcap = 30,
    .wide_scale_layers = 46,
};

const nx_arch nx_arch_gemma3 = {
    .name = "gemma3",
    .title = "Gemma 3 (text)",
    .norm = NX_NORM_RMS,
    .pre_norm = true,
    .post_norm = true,
    .qk_norm = NX_QK_NORM_HEAD,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .rope_base_local = 10000,
    .window_every = true,
    .full_every = 6,
    .gated = true,
    .activation = NX_ACTIVATION_GELU_TANH,
    .embd_scaled = true,
    .wide_scale_layers = 62,
};
