/* arch_bert.c - BERT (Devlin et al. 2018, arXiv 1810.04805) and its kin: encoders, whose tokens see
 * all of their text. Norms come after each sum, as in the first Transformer; positions are learned,
 * and so are the two segments that a text may have. */
#include "model/arch.h"

const nx_arch nx_arch_bert = {
    .name = "bert",
    .title = "BERT",
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
