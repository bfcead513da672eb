/* arch_bert.c - BERT (Devlin et al. 2018, arXiv 1810.04805) and its kin: encoders, whose tokens see
 * all of their text. Norms come after each sum, as in the first Transformer; positions are learned,
 * and so are the two segments that a text may have. RoBERTa's are the same. MPNet has no segments, and
 * biases of scores by distance. */
#include "model/arch.h"

const nx_arch nx_arch_bert = {
    .name = "bert",
    .title = "BERT, XLM-RoBERTa",
    .encoder = true,
    .norm = NX_NORM_LAYER,
    .sum_norm = true,
    .embd_norm = true,
    .token_types = true,
    .positions = true,
    .qkv_bias = NX_ALWAYS,
    .out_bias = NX_ALWAYS,
    .ffn_bias = NX_ALWAYS,
    .activation = NX_ACTIVATION_GELU_ERF,
    .rank_head = NX_RANK_HEAD_TANH,
};

const nx_arch nx_arch_mpnet = {
    .name = "mpnet",
    .title = "MPNet",
    .encoder = true,
    .norm = NX_NORM_LAYER,
    .sum_norm = true,
    .embd_norm = true,
    .positions = true,
    .rel_bias = true,
    .qkv_bias = NX_ALWAYS,
    .out_bias = NX_ALWAYS,
    .ffn_bias = NX_ALWAYS,
    .activation = NX_ACTIVATION_GELU_ERF,
};

/* Nussbaum et al. 2024, arXiv 2402.01613. */
const nx_arch nx_arch_nomic_bert = {
    .name = "nomic-bert",
    .title = "Nomic BERT",
    .encoder = true,
    .norm = NX_NORM_LAYER,
    .sum_norm = true,
    .embd_norm = true,
    .token_types = true,
    .fused_qkv = true,
    .rope_kind = NX_ROPE_HALVES,
    .gated = true,
    .activation = NX_ACTIVATION_SILU,
};

/* Warner et al. 2024, arXiv 2412.13663: two layers of three see only what is near. */
const nx_arch nx_arch_modern_bert = {
    .name = "modern-bert",
    .title = "ModernBERT",
    .encoder = true,
    .norm = NX_NORM_LAYER,
    .pre_norm = true,
    .bare_norms = true,
    .bare_first = true,
    .embd_norm = true,
    .fused_qkv = true,
    .qkv_bias = NX_MAYBE,
    .out_bias = NX_MAYBE,
    .rope_kind = NX_ROPE_HALVES,
    .rope_base_local = 10000,
    .window_every = true,
    .full_every = 3,
    .window_halved = true,
    .gated = true,
    .fused_gate_up = true,
    .activation = NX_ACTIVATION_GELU_ERF,
    .rank_head = NX_RANK_HEAD_GELU,
};
