/* arch.h - architectures as data: what model.c needs to fill an nx_model.
 *
 * Idea: one table of slots names every weight that any architecture has, with its place, its shape
 *       and the traits that call for it. The traits of a layer follow from nx_arch and the
 *       metadata. An architecture is therefore a struct, and never code.
 */
#ifndef NX_MODEL_ARCH_H
#define NX_MODEL_ARCH_H

#include "model/model.h"

extern const nx_arch nx_arch_llama, nx_arch_qwen2, nx_arch_qwen2moe, nx_arch_qwen3,
    nx_arch_qwen3moe, nx_arch_gemma2, nx_arch_gemma3, nx_arch_phi3, nx_arch_gpt2, nx_arch_gptneox,
    nx_arch_olmo2, nx_arch_starcoder2, nx_arch_granite, nx_arch_smollm3, nx_arch_bert,
    nx_arch_mpnet, nx_arch_nomic_bert, nx_arch_modern_bert;

/* The architecture that cp names. NX_EUNSUPPORTED with all known ones. */
nx_status nx_arch_find(const nx_arch **out, const nx_checkpoint *cp, nx_error *err);

/* ---- Metadata ---- */

/* Fill hp from the metadata of cp, and from the shape of the token embedding where it is there. */
nx_status nx_hparams_read(nx_hparams *hp, const nx_arch *arch, const nx_checkpoint *cp,
                          nx_error *err);

/* The rope keys of hp, whose sizes are read already; hparams_rope.c. */
nx_status nx_hparams_read_rope(nx_hparams *hp, const nx_arch *arch, const nx_checkpoint *cp,
                               nx_error *err);

/* kinds [hp->n_layers]. */
nx_status nx_layer_kinds_read(nx_layer_kind *kinds, const nx_arch *arch, const nx_hparams *hp,
                              const nx_checkpoint *cp, nx_error *err);

/* Reads numbers under "PREFIX.name", each with its range. */
typedef struct nx_key_reader {
    const nx_checkpoint *cp;
    const char          *prefix; /* "llama", "nexus" */
    char                 key[128];
    nx_error            *err;
} nx_key_reader;

const char *nx_key_full(nx_key_reader *r, const char *name); /* into r->key */

/* A whole number that is `fallback` when absent; fallback < min means that it is required. */
nx_status nx_key_int(nx_key_reader *r, const char *name, int32_t *out, int64_t min, int64_t max,
                     int64_t fallback);
/* Numbers above 0, or not below it; *out stays when absent and not required. */
nx_status nx_key_positive(nx_key_reader *r, const char *name, double *out, bool required);
nx_status nx_key_not_negative(nx_key_reader *r, const char *name, float *out);

/* ---- Weights ---- */

/* Sides of a weight, in terms of nx_hparams. */
typedef enum nx_side {
    NX_SIDE_ONE,
    NX_SIDE_EMBD,
    NX_SIDE_VOCAB,
    NX_SIDE_CTX,
    NX_SIDE_TYPES,
    NX_SIDE_HEADS,
    NX_SIDE_BUCKETS,
    NX_SIDE_Q,
    NX_SIDE_KV,
    NX_SIDE_QKV,
    NX_SIDE_HEAD,
    NX_SIDE_ROT, /* n_rot / 2 */
    NX_SIDE_FF,
    NX_SIDE_GATE_UP, /* 2 n_ff */
    NX_SIDE_FF_EXPERT,
    NX_SIDE_FF_SHARED,
    NX_SIDE_EXPERTS,
} nx_side;

/* How a tensor is put into its place. */
typedef enum nx_slot_kind {
    NX_SLOT_MATRIX,  /* a view, into an nx_tensor */
    NX_SLOT_VECTOR,  /* f32, into a const float * */
    NX_SLOT_NORM,    /* a vector; Gemma's folders store it without its 1 */
    NX_SLOT_QKV,     /* rows cut into wq, wk, wv */
    NX_SLOT_GATE_UP, /* rows cut into gate, up */
    NX_SLOT_QKV_BIAS,
    NX_SLOT_EXPERTS, /* n_experts views, into a const nx_tensor * */
} nx_slot_kind;

/* Traits of a model or layer that call for weights. */
enum {
    NX_TRAIT_PRE_NORM = 1 << 0,
    NX_TRAIT_POST_NORM = 1 << 1,
    NX_TRAIT_NORM_BIAS = 1 << 2,
    NX_TRAIT_QKV_APART = 1 << 3,
    NX_TRAIT_QKV_FUSED = 1 << 4,
    NX_TRAIT_QKV_BIAS = 1 << 5,
    NX_TRAIT_OUT_BIAS = 1 << 6,
    NX_TRAIT_QK_NORM_HEAD = 1 << 7,
    NX_TRAIT_QK_NORM_WIDTH = 1 << 8,
    NX_TRAIT_DENSE = 1 << 9,
    NX_TRAIT_GATE = 1 << 10,
    NX_TRAIT_UP = 1 << 11,
    NX_TRAIT_GATE_UP = 1 << 12,
    NX_TRAIT_FFN_BIAS = 1 << 13,
    NX_TRAIT_EXPERTS = 1 << 14,
    NX_TRAIT_SHARED = 1 << 15,
    NX_TRAIT_POSITIONS = 1 << 16,
    NX_TRAIT_HEAD = 1 << 17,
    NX_TRAIT_ROPE_FACTORS = 1 << 18,
    NX_TRAIT_LONGROPE = 1 << 19,
    NX_TRAIT_OUT_NORM = 1 << 20,
    NX_TRAIT_EMBD_NORM = 1 << 21,
    NX_TRAIT_TYPES = 1 << 22,
    NX_TRAIT_SUM_NORM = 1 << 23,
    NX_TRAIT_REL_BIAS = 1 << 24,
    NX_TRAIT_ATTN_NORM = 1 << 25,
    NX_TRAIT_RANKS = 1 << 26,
    NX_TRAIT_RANK_PARTS = 1 << 27, /* biases and norm of its head: as the file has them */
};

typedef struct nx_slot {
    const char    *name;   /* after "blk.N." in a layer: "attn_q.weight" */
    size_t         offset; /* in nx_layer, or in nx_model */
    nx_slot_kind   kind;
    nx_side        cols;  /* ne[0] */
    nx_side        rows;  /* ne[1] */
    uint32_t       needs; /* all of these traits */
    nx_tensor_role role;
    const char    *each; /* experts: "ffn_gate" of "ffn_gate.E.weight" */
} nx_slot;

/* Everything that decides which weights there are. */
typedef struct nx_slot_walk {
    const nx_checkpoint *cp;
    const nx_arch       *arch;
    const nx_hparams    *hp;
    const nx_layer_kind *kinds;
} nx_slot_walk;

/* Visits slots with the full name of their tensor. layer is -1 for slots of the model. */
typedef nx_status (*nx_slot_fn)(void *ctx, const nx_slot *slot, int32_t layer, const char *name,
                                bool required);

nx_status nx_slots_visit(const nx_slot_walk *walk, nx_slot_fn visit, void *ctx);

/* Is there a slot for this name? *ignored: one that carries nothing we need. */
bool nx_slots_expect(const nx_slot_walk *walk, const char *name, bool *ignored);

/* From biases by bucket {n_heads, n_buckets} to those by distance: out [n_heads, 2 n_ctx - 1], number
 * n_ctx - 1 + p - P of each head for a key at p and a query at P. row [n_heads] is scratch. */
void nx_rel_bias_spread(float *out, const nx_tensor *by_bucket, int32_t n_ctx, float *row);

int64_t nx_side_length(const nx_hparams *hp, nx_side side);

#endif
