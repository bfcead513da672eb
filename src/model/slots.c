/* slots.c - every weight that any of our transformers has: its name, its place, its shape, and
 * what calls for it. Names are llama.cpp's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/arch.h"

#define MODEL(field) offsetof(nx_model, field)
#define LAYER(field) offsetof(nx_layer, field)

static const nx_slot model_slots[] = {
    {"token_embd.weight", MODEL(tok_embd), NX_SLOT_MATRIX, NX_SIDE_EMBD, NX_SIDE_VOCAB, 0,
     NX_ROLE_EMBEDDING, NULL},
    {"position_embd.weight", MODEL(positions), NX_SLOT_MATRIX, NX_SIDE_EMBD, NX_SIDE_CTX,
     NX_TRAIT_POSITIONS, NX_ROLE_EMBEDDING, NULL},
    {"token_types.weight", MODEL(types), NX_SLOT_MATRIX, NX_SIDE_EMBD, NX_SIDE_TYPES,
     NX_TRAIT_TYPES, NX_ROLE_EMBEDDING, NULL},
    {"attn_rel_b.weight", MODEL(rel_bias), NX_SLOT_MATRIX, NX_SIDE_HEADS, NX_SIDE_BUCKETS,
     NX_TRAIT_REL_BIAS, NX_ROLE_EMBEDDING, NULL},
    {"token_embd_norm.weight", MODEL(embd_norm), NX_SLOT_NORM, NX_SIDE_EMBD, NX_SIDE_ONE,
     NX_TRAIT_EMBD_NORM, NX_ROLE_VECTOR, NULL},
    {"token_embd_norm.bias", MODEL(embd_norm_b), NX_SLOT_VECTOR, NX_SIDE_EMBD, NX_SIDE_ONE,
     NX_TRAIT_EMBD_NORM | NX_TRAIT_NORM_BIAS, NX_ROLE_VECTOR, NULL},
    {"output_norm.weight", MODEL(out_norm), NX_SLOT_NORM, NX_SIDE_EMBD, NX_SIDE_ONE,
     NX_TRAIT_OUT_NORM, NX_ROLE_VECTOR, NULL},
    {"output_norm.bias", MODEL(out_norm_b), NX_SLOT_VECTOR, NX_SIDE_EMBD, NX_SIDE_ONE,
     NX_TRAIT_OUT_NORM | NX_TRAIT_NORM_BIAS, NX_ROLE_VECTOR, NULL},
    {"output.weight", MODEL(head), NX_SLOT_MATRIX, NX_SIDE_EMBD, NX_SIDE_VOCAB, NX_TRAIT_HEAD,
     NX_ROLE_HEAD, NULL},
    {"cls.weight", MODEL(rank), NX_SLOT_MATRIX, NX_SIDE_EMBD, NX_SIDE_EMBD, NX_TRAIT_RANKS,
     NX_ROLE_ROUTER, NULL},
    {"cls.bias", MODEL(rank_b), NX_SLOT_VECTOR, NX_SIDE_EMBD, NX_SIDE_ONE, NX_TRAIT_RANK_PARTS,
     NX_ROLE_VECTOR, NULL},
    {"cls.norm.weight", MODEL(rank_norm), NX_SLOT_NORM, NX_SIDE_EMBD, NX_SIDE_ONE,
     NX_TRAIT_RANK_PARTS, NX_ROLE_VECTOR, NULL},
    {"cls.norm.bias", MODEL(rank_norm_b), NX_SLOT_VECTOR, NX_SIDE_EMBD, NX_SIDE_ONE,
     NX_TRAIT_RANK_PARTS, NX_ROLE_VECTOR, NULL},
    {"cls.output.weight", MODEL(rank_out), NX_SLOT_MATRIX, NX_SIDE_EMBD, NX_SIDE_ONE,
     NX_TRAIT_RANKS, NX_ROLE_ROUTER, NULL},
    {"cls.output.bias", MODEL(rank_out_b), NX_SLOT_VECTOR, NX_SIDE_ONE, NX_SIDE_ONE,
     NX_TRAIT_RANK_PARTS, NX_ROLE_VECTOR, NULL},
    {"rope_freqs.weight", MODEL(rope_factors), NX_SLOT_VECTOR, NX_SIDE_ROT, NX_SIDE_ONE,
     NX_TRAIT_ROPE_FACTORS, NX_ROLE_VECTOR, NULL},
    {"rope_factors_short.weight", MODEL(rope_factors), NX_SLOT_VECTOR, NX_SIDE_ROT, NX_SIDE_ONE,
     NX_TRAIT_LONGROPE, NX_ROLE_VECTOR, NULL},
    {"rope_factors_long.weight", MODEL(rope_factors_long), NX_SLOT_VECTOR, NX_SIDE_ROT, NX_SIDE_ONE,
     NX_TRAIT_LONGROPE, NX_ROLE_VECTOR, NULL},
};

#define MATRIX(name, field, cols, rows, needs)                                                     \
    {                                                                                              \
        name, LAYER(field), NX_SLOT_MATRIX, NX_SIDE_##cols, NX_SIDE_##rows, needs, NX_ROLE_MATRIX, \
            NULL                                                                                   \
    }
#define VECTOR(name, field, n, needs)                                                              \
    {                                                                                              \
        name, LAYER(field), NX_SLOT_VECTOR, NX_SIDE_##n, NX_SIDE_ONE, needs, NX_ROLE_VECTOR, NULL  \
    }
#define NORM(name, field, n, needs)                                                                \
    {                                                                                              \
        name, LAYER(field), NX_SLOT_NORM, NX_SIDE_##n, NX_SIDE_ONE, needs, NX_ROLE_VECTOR, NULL    \
    }
#define EXPERTS(each, field, cols, rows)                                                           \
    {                                                                                              \
        each "_exps.weight", LAYER(field), NX_SLOT_EXPERTS, NX_SIDE_##cols, NX_SIDE_##rows,        \
            NX_TRAIT_EXPERTS, NX_ROLE_EXPERTS, each                                                \
    }

#define PRE_B   (NX_TRAIT_PRE_NORM | NX_TRAIT_NORM_BIAS)
#define SUM_B   (NX_TRAIT_SUM_NORM | NX_TRAIT_NORM_BIAS)
#define APART_B (NX_TRAIT_QKV_APART | NX_TRAIT_QKV_BIAS)
#define FUSED_B (NX_TRAIT_QKV_FUSED | NX_TRAIT_QKV_BIAS)
#define GATE    (NX_TRAIT_DENSE | NX_TRAIT_GATE)
#define UP      (NX_TRAIT_DENSE | NX_TRAIT_UP)
#define SHARED  (NX_TRAIT_EXPERTS | NX_TRAIT_SHARED)

static const nx_slot layer_slots[] = {
    NORM("attn_norm.weight", attn_norm, EMBD, NX_TRAIT_PRE_NORM | NX_TRAIT_ATTN_NORM),
    VECTOR("attn_norm.bias", attn_norm_b, EMBD, PRE_B | NX_TRAIT_ATTN_NORM),
    MATRIX("attn_q.weight", wq, EMBD, Q, NX_TRAIT_QKV_APART),
    MATRIX("attn_k.weight", wk, EMBD, KV, NX_TRAIT_QKV_APART),
    MATRIX("attn_v.weight", wv, EMBD, KV, NX_TRAIT_QKV_APART),
    VECTOR("attn_q.bias", bq, Q, APART_B),
    VECTOR("attn_k.bias", bk, KV, APART_B),
    VECTOR("attn_v.bias", bv, KV, APART_B),
    {"attn_qkv.weight", LAYER(wq), NX_SLOT_QKV, NX_SIDE_EMBD, NX_SIDE_QKV, NX_TRAIT_QKV_FUSED,
     NX_ROLE_MATRIX, NULL},
    {"attn_qkv.bias", LAYER(bq), NX_SLOT_QKV_BIAS, NX_SIDE_QKV, NX_SIDE_ONE, FUSED_B,
     NX_ROLE_VECTOR, NULL},
    NORM("attn_q_norm.weight", q_norm, HEAD, NX_TRAIT_QK_NORM_HEAD),
    NORM("attn_k_norm.weight", k_norm, HEAD, NX_TRAIT_QK_NORM_HEAD),
    NORM("attn_q_norm.weight", q_norm, Q, NX_TRAIT_QK_NORM_WIDTH),
    NORM("attn_k_norm.weight", k_norm, KV, NX_TRAIT_QK_NORM_WIDTH),
    MATRIX("attn_output.weight", wo, Q, EMBD, 0),
    VECTOR("attn_output.bias", bo, EMBD, NX_TRAIT_OUT_BIAS),
    NORM("post_attention_norm.weight", post_attn_norm, EMBD, NX_TRAIT_POST_NORM),
    NORM("attn_output_norm.weight", attn_sum_norm, EMBD, NX_TRAIT_SUM_NORM),
    VECTOR("attn_output_norm.bias", attn_sum_norm_b, EMBD, SUM_B),

    NORM("ffn_norm.weight", ffn_norm, EMBD, NX_TRAIT_PRE_NORM),
    VECTOR("ffn_norm.bias", ffn_norm_b, EMBD, PRE_B),
    MATRIX("ffn_gate.weight", gate, EMBD, FF, GATE),
    MATRIX("ffn_up.weight", up, EMBD, FF, UP),
    {"ffn_up.weight", LAYER(gate), NX_SLOT_GATE_UP, NX_SIDE_EMBD, NX_SIDE_GATE_UP,
     NX_TRAIT_DENSE | NX_TRAIT_GATE_UP, NX_ROLE_MATRIX, NULL},
    MATRIX("ffn_down.weight", down, FF, EMBD, NX_TRAIT_DENSE),
    VECTOR("ffn_gate.bias", b_gate, FF, GATE | NX_TRAIT_FFN_BIAS),
    VECTOR("ffn_up.bias", b_up, FF, UP | NX_TRAIT_FFN_BIAS),
    VECTOR("ffn_down.bias", b_down, EMBD, NX_TRAIT_DENSE | NX_TRAIT_FFN_BIAS),
    NORM("post_ffw_norm.weight", post_ffn_norm, EMBD, NX_TRAIT_POST_NORM),
    NORM("layer_output_norm.weight", ffn_sum_norm, EMBD, NX_TRAIT_SUM_NORM),
    VECTOR("layer_output_norm.bias", ffn_sum_norm_b, EMBD, SUM_B),

    {"ffn_gate_inp.weight", LAYER(router), NX_SLOT_MATRIX, NX_SIDE_EMBD, NX_SIDE_EXPERTS,
     NX_TRAIT_EXPERTS, NX_ROLE_ROUTER, NULL},
    EXPERTS("ffn_gate", gate_exps, EMBD, FF_EXPERT),
    EXPERTS("ffn_up", up_exps, EMBD, FF_EXPERT),
    EXPERTS("ffn_down", down_exps, FF_EXPERT, EMBD),
    MATRIX("ffn_gate_inp_shexp.weight", shared_gate, EMBD, ONE, SHARED),
    MATRIX("ffn_gate_shexp.weight", gate_shared, EMBD, FF_SHARED, SHARED),
    MATRIX("ffn_up_shexp.weight", up_shared, EMBD, FF_SHARED, SHARED),
    MATRIX("ffn_down_shexp.weight", down_shared, FF_SHARED, EMBD, SHARED),
};

#define N_MODEL_SLOTS (sizeof model_slots / sizeof *model_slots)
#define N_LAYER_SLOTS (sizeof layer_slots / sizeof *layer_slots)

/* Frequencies that old converters wrote although they follow from rope.freq_base. */
static const char *const ignored_names[] = {"attn_rot_embd", "attn_rot_embd.weight",
                                            "attn_rot_embd.freqs"};

int64_t nx_side_length(const nx_hparams *hp, nx_side side)
{
    int64_t q = (int64_t)hp->n_heads * hp->head_dim, kv = (int64_t)hp->n_heads_kv * hp->head_dim;

    switch (side) {
    case NX_SIDE_ONE: return 1;
    case NX_SIDE_EMBD: return hp->n_embd;
    case NX_SIDE_VOCAB: return hp->n_vocab;
    case NX_SIDE_CTX: return hp->n_ctx;
    case NX_SIDE_TYPES: return hp->n_types;
    case NX_SIDE_HEADS: return hp->n_heads;
    case NX_SIDE_BUCKETS: return hp->n_buckets;
    case NX_SIDE_Q: return q;
    case NX_SIDE_KV: return kv;
    case NX_SIDE_QKV: return q + 2 * kv;
    case NX_SIDE_HEAD: return hp->head_dim;
    case NX_SIDE_ROT: return hp->n_rot / 2;
    case NX_SIDE_FF: return hp->n_ff;
    case NX_SIDE_GATE_UP: return 2 * (int64_t)hp->n_ff;
    case NX_SIDE_FF_EXPERT: return hp->n_ff_expert;
    case NX_SIDE_FF_SHARED: return hp->n_ff_shared;
    case NX_SIDE_EXPERTS: return hp->n_experts;
    }
    return 0;
}

/* ---- Traits ---- */

typedef struct traits {
    uint32_t has, may; /* surely; and perhaps */
} traits;

static bool has_tensor(const nx_slot_walk *w, const char *name)
{
    return nx_checkpoint_tensor(w->cp, name) != NULL;
}

static bool is_empty(const nx_slot_walk *w)
{
    return nx_checkpoint_n_tensors(w->cp) == 0;
}

/* A key was checked to be a bool when hparams were read. */
static void add_presence(const nx_slot_walk *w, traits *t, uint32_t trait, nx_presence p,
                         const char *key)
{
    bool said = false;

    if (p == NX_MAYBE && nx_checkpoint_meta(w->cp, key)) {
        nx_meta_bool(w->cp, key, &said, false, NULL);
        p = said ? NX_ALWAYS : NX_NEVER;
    }
    if (p == NX_ALWAYS) t->has |= trait;
    if (p == NX_MAYBE && !is_empty(w)) t->may |= trait;
}

static traits model_traits(const nx_slot_walk *w)
{
    const nx_arch *a = w->arch;
    traits         t = {0};

    if (a->norm == NX_NORM_LAYER && !a->bare_norms) t.has |= NX_TRAIT_NORM_BIAS;
    if (a->positions) t.has |= NX_TRAIT_POSITIONS;
    if (a->embd_norm) t.has |= NX_TRAIT_EMBD_NORM;
    if (w->hp->n_types > 0) t.has |= NX_TRAIT_TYPES;
    if (a->rel_bias) t.has |= NX_TRAIT_REL_BIAS;
    if (!a->sum_norm) t.has |= NX_TRAIT_OUT_NORM;
    if (w->hp->rope_scaling == NX_ROPE_SCALING_LONGROPE && !is_empty(w))
        t.has |= NX_TRAIT_LONGROPE;
    else if (!a->positions && !is_empty(w))
        t.may |= NX_TRAIT_ROPE_FACTORS;
    if (w->hp->ranks) t.has |= NX_TRAIT_RANKS;
    if (w->hp->ranks && !is_empty(w)) t.may |= NX_TRAIT_RANK_PARTS;
    if (a->encoder) return t;
    /* A file may spell out a tied head: llama.cpp wants it in GPT-NeoX. */
    bool tied = true;
    nx_meta_bool(w->cp, "nexus.head_tied", &tied, false, NULL);
    if (!tied) t.has |= NX_TRAIT_HEAD;
    if (!is_empty(w)) t.may |= NX_TRAIT_HEAD;
    return t;
}

static bool is_fused(const nx_slot_walk *w, int32_t layer)
{
    char name[48];

    snprintf(name, sizeof name, "blk.%d.attn_qkv.weight", layer);
    if (has_tensor(w, name)) return true;
    snprintf(name, sizeof name, "blk.%d.attn_q.weight", layer);
    return !has_tensor(w, name) && w->arch->fused_qkv;
}

static traits layer_traits(const nx_slot_walk *w, int32_t layer)
{
    const nx_arch *a = w->arch;
    traits         t = {0};

    if (a->pre_norm) t.has |= NX_TRAIT_PRE_NORM;
    if (!a->bare_first || layer > 0) t.has |= NX_TRAIT_ATTN_NORM;
    if (a->post_norm) t.has |= NX_TRAIT_POST_NORM;
    if (a->sum_norm) t.has |= NX_TRAIT_SUM_NORM;
    if (a->norm == NX_NORM_LAYER && !a->bare_norms) t.has |= NX_TRAIT_NORM_BIAS;
    t.has |= is_fused(w, layer) ? NX_TRAIT_QKV_FUSED : NX_TRAIT_QKV_APART;
    if (a->qk_norm == NX_QK_NORM_HEAD) t.has |= NX_TRAIT_QK_NORM_HEAD;
    if (a->qk_norm == NX_QK_NORM_WIDTH) t.has |= NX_TRAIT_QK_NORM_WIDTH;
    add_presence(w, &t, NX_TRAIT_QKV_BIAS, a->qkv_bias, "nexus.attention_bias");
    add_presence(w, &t, NX_TRAIT_OUT_BIAS, a->out_bias, "nexus.attention_bias");
    add_presence(w, &t, NX_TRAIT_FFN_BIAS, a->ffn_bias, "nexus.ffn_bias");
    t.has |= w->kinds[layer].experts ? NX_TRAIT_EXPERTS : NX_TRAIT_DENSE;
    if (w->hp->n_ff_shared) t.has |= NX_TRAIT_SHARED;
    if (a->gated && a->fused_gate_up)
        t.has |= NX_TRAIT_GATE_UP;
    else
        t.has |= a->gated ? NX_TRAIT_GATE | NX_TRAIT_UP : NX_TRAIT_UP;
    return t;
}

static bool is_wanted(const nx_slot *s, traits t)
{
    return (s->needs & ~(t.has | t.may)) == 0;
}

static bool is_required(const nx_slot *s, traits t)
{
    return (s->needs & ~t.has) == 0;
}

/* ---- Visiting ---- */

nx_status nx_slots_visit(const nx_slot_walk *walk, nx_slot_fn visit, void *ctx)
{
    traits    t = model_traits(walk);
    char      name[96];
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < N_MODEL_SLOTS; i++)
        if (is_wanted(&model_slots[i], t))
            st = visit(ctx, &model_slots[i], -1, model_slots[i].name,
                       is_required(&model_slots[i], t));
    for (int32_t l = 0; !st && l < walk->hp->n_layers; l++) {
        t = layer_traits(walk, l);
        for (size_t i = 0; !st && i < N_LAYER_SLOTS; i++) {
            if (!is_wanted(&layer_slots[i], t)) continue;
            snprintf(name, sizeof name, "blk.%d.%s", l, layer_slots[i].name);
            st = visit(ctx, &layer_slots[i], l, name, is_required(&layer_slots[i], t));
        }
    }
    return st;
}

/* "blk.12.attn_q.weight": 12, and *rest at "attn_q.weight". -1 for other names. */
static long layer_of(const char *name, const char **rest)
{
    char *end;

    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9') return -1;
    long idx = strtol(name + 4, &end, 10);
    if (*end != '.') return -1;
    *rest = end + 1;
    return idx;
}

/* Is name "EACH.<expert>.weight"? */
static bool is_one_expert(const nx_slot *s, const char *name, int32_t n_experts)
{
    size_t len = s->each ? strlen(s->each) : 0;
    char  *end;

    if (!len || strncmp(name, s->each, len) != 0 || name[len] != '.') return false;
    if (name[len + 1] < '0' || name[len + 1] > '9') return false;
    long idx = strtol(name + len + 1, &end, 10);
    return idx < n_experts && strcmp(end, ".weight") == 0;
}

bool nx_slots_expect(const nx_slot_walk *walk, const char *name, bool *ignored)
{
    const char *rest = NULL;
    long        layer = layer_of(name, &rest);

    *ignored = false;
    if (layer < 0) {
        for (size_t i = 0; i < N_MODEL_SLOTS; i++)
            if (strcmp(model_slots[i].name, name) == 0)
                return is_wanted(&model_slots[i], model_traits(walk));
        return false;
    }
    for (size_t i = 0; i < sizeof ignored_names / sizeof *ignored_names; i++)
        *ignored = *ignored || strcmp(ignored_names[i], rest) == 0;
    if (*ignored || layer >= walk->hp->n_layers) return *ignored;
    traits t = layer_traits(walk, (int32_t)layer);
    for (size_t i = 0; i < N_LAYER_SLOTS; i++) {
        const nx_slot *s = &layer_slots[i];
        if ((strcmp(s->name, rest) == 0 || is_one_expert(s, rest, walk->hp->n_experts)) &&
            is_wanted(s, t))
            return true;
    }
    return false;
}
