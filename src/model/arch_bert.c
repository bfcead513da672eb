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
