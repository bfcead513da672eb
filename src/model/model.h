/* model.h - a transformer: its description, its sizes, its weights bound by name.
 *
 * Idea:   architectures differ in a dozen choices. Each choice is a field of nx_arch or nx_hparams;
 *         each architecture is a small file that fills them. There is one forward pass (walk.h).
 * Owns:   copies of the small f32 vectors (norms, rope factors). Matrices are views into the
 *         checkpoint, which must outlive the model.
 * Thread: any, once open: nothing changes.
 */
#ifndef NX_MODEL_MODEL_H
#define NX_MODEL_MODEL_H

#include "format/checkpoint.h"
#include "tensor/backend.h"

/* What kind of transformer: constant per architecture. */
typedef struct nx_arch {
    const char  *name; /* general.architecture: "llama" */
    nx_rope_kind rope_kind;
} nx_arch;

/* Sizes and numbers of one model, all checked: products of any three fit int64_t. */
typedef struct nx_hparams {
    int32_t n_layers, n_embd, n_ff, n_vocab;
    int32_t n_ctx;               /* positions the model was made for */
    int32_t n_heads, n_heads_kv; /* n_heads is a multiple of n_heads_kv */
    int32_t head_dim;            /* of queries, keys and values alike */
    int32_t n_rot;               /* even, <= head_dim: values of a head that rope rotates */
    float   norm_eps;
    double  rope_base;
    double  rope_scale; /* positions are divided by it (linear scaling); 1: none */
} nx_hparams;

typedef struct nx_layer {
    const float *attn_norm, *ffn_norm; /* [n_embd] */
    nx_tensor    wq;                   /* {n_embd, n_heads * head_dim} */
    nx_tensor    wk, wv;               /* {n_embd, n_heads_kv * head_dim} */
    nx_tensor    wo;                   /* {n_heads * head_dim, n_embd} */
    nx_tensor    gate, up;             /* {n_embd, n_ff} */
    nx_tensor    down;                 /* {n_ff, n_embd} */
} nx_layer;

typedef struct nx_model {
    const nx_arch *arch;
    nx_hparams     hp;
    nx_tensor      tok_embd; /* {n_embd, n_vocab} */
    nx_tensor      head;     /* {n_embd, n_vocab}: the same view as tok_embd when tied */
    bool           head_tied;
    const float   *out_norm;        /* [n_embd] */
    const float   *rope_factors;    /* [n_rot / 2] that divide the frequencies, or NULL */
    nx_layer      *layers;          /* [n_layers] */
    uint64_t       n_params;        /* numbers in all its tensors */
    uint64_t       weights_bytes;   /* bytes of the same in the file */
    uint64_t       bytes_per_token; /* weight bytes read to compute one token with its logits */
} nx_model;

/* Read the description, find and check every tensor. Errors: NX_EUNSUPPORTED names an unknown
 * architecture (with those known) or a feature that the file asks for and we don't have;
 * NX_EFORMAT names the key or tensor with expected and found; NX_ENOMEM. */
nx_status nx_model_open(nx_model **out, const nx_checkpoint *cp, nx_error *err);
void      nx_model_close(nx_model *m);

/* "llama" and its later neighbours, NULL-terminated: for messages and help. */
const nx_arch *const *nx_arch_list(void);

#endif
