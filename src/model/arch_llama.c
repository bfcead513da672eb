/* arch_llama.c - Llama 2 and 3, and everything that GGUF files call "llama". */
#include "model/arch.h"

static const nx_slot slots[] = {
    {"attn_norm.weight", offsetof(nx_layer, attn_norm), NX_SIDE_EMBD, NX_SIDE_ONE},
    {"attn_q.weight", offsetof(nx_layer, wq), NX_SIDE_EMBD, NX_SIDE_Q},
    {"attn_k.weight", offsetof(nx_layer, wk), NX_SIDE_EMBD, NX_SIDE_KV},
    {"attn_v.weight", offsetof(nx_layer, wv), NX_SIDE_EMBD, NX_SIDE_KV},
    {"attn_output.weight", offsetof(nx_layer, wo), NX_SIDE_Q, NX_SIDE_EMBD},
    {"ffn_norm.weight", offsetof(nx_layer, ffn_norm), NX_SIDE_EMBD, NX_SIDE_ONE},
    {"ffn_gate.weight", offsetof(nx_layer, gate), NX_SIDE_EMBD, NX_SIDE_FF},
    {"ffn_up.weight", offsetof(nx_layer, up), NX_SIDE_EMBD, NX_SIDE_FF},
    {"ffn_down.weight", offsetof(nx_layer, down), NX_SIDE_FF, NX_SIDE_EMBD},
};

/* Frequencies that old converters wrote although they follow from rope.freq_base. */
static const char *const ignored[] = {"attn_rot_embd", "attn_rot_embd.weight", NULL};

/* Mixtral calls itself "llama" too. */
static const char *const refused_keys[] = {"expert_count", NULL};

const nx_arch_plan nx_arch_llama = {
    .arch = {.name = "llama", .rope_kind = NX_ROPE_PAIRS},
    .slots = slots,
    .n_slots = sizeof slots / sizeof *slots,
    .ignored = ignored,
    .refused_keys = refused_keys,
};
