/* model.h - a transformer: its description, its sizes, its weights bound by name.
 *
 * Idea:   architectures differ in a few dozen choices. Each choice is a field of nx_arch or
 *         nx_hparams; each architecture is a small struct that fills them. There is one table of
 *         weights (slots.c) and one forward pass (walk.h).
 * Owns:   copies of the small f32 vectors (norms, biases, rope factors). Matrices are views into
 *         the checkpoint, which must outlive the model.
 * Thread: any, once open: nothing changes.
 */
#ifndef NX_MODEL_MODEL_H
#define NX_MODEL_MODEL_H

#include "format/checkpoint.h"
#include "tensor/backend.h"

typedef enum nx_norm_kind { NX_NORM_RMS, NX_NORM_LAYER } nx_norm_kind;

/* Norms of queries and keys, before rope. */
typedef enum nx_qk_norm { NX_QK_NORM_NONE, NX_QK_NORM_HEAD, NX_QK_NORM_WIDTH } nx_qk_norm;

/* What stands between the two products of a cross-encoder's head; none: there is no such model. */
typedef enum nx_rank_head { NX_RANK_HEAD_NONE, NX_RANK_HEAD_TANH, NX_RANK_HEAD_GELU } nx_rank_head;

/* Whether a kind of weight is there: always, never, or as the file says. */
typedef enum nx_presence { NX_NEVER, NX_ALWAYS, NX_MAYBE } nx_presence;

/* What kind of transformer: constant per architecture. Values that a file's metadata may change
 * are defaults. docs/formats/hf-keys.md has the keys. */
typedef struct nx_arch {
    const char *name;  /* general.architecture: "llama" */
    const char *title; /* what people call it: "Llama, Mistral, Mixtral" */

    nx_norm_kind norm;
    bool         pre_norm, post_norm; /* of what enters, and of what leaves, attention and ffn */
    bool         sum_norm;   /* of x with what they added to it; then the last is no other */
    bool         bare_norms; /* layer norms without biases */
    bool         bare_first; /* the first layer attends to what wasn\'t normed: the embedding was */
    bool         parallel;   /* attention and ffn read the same x */

    nx_qk_norm   qk_norm;
    bool         fused_qkv; /* one matrix in files of this kind; separate ones are taken as well */
    nx_presence  qkv_bias, out_bias;
    bool         positions; /* learned position embeddings, and no rope */
    nx_rope_kind rope_kind;
    double       rope_base_local; /* in sliding layers; 0: as elsewhere */
    int32_t      nope_every;      /* every n-th layer has no rope; 0: all have it */
    bool         window_every;    /* false: all layers slide where there is a window */
    int32_t      full_every;      /* true: all but every n-th */
    bool         window_halved;   /* the file\'s window is as wide as both sides together */
    int32_t      window;          /* where the file doesn't say; 0: none */

    bool          gated, fused_gate_up;
    nx_presence   ffn_bias;
    nx_activation activation;
    nx_presence   experts;
    bool          shared_expert, experts_normalise;

    /* Sees both ways and has no head: what leaves the last layer is what it makes of a text. */
    bool         encoder;
    nx_rank_head rank_head; /* it may also be a cross-encoder, with a head of this kind */
    bool         rel_bias;  /* learned biases of scores, by distance */
    bool         embd_norm, token_types;      /* of the embedding; added to it, by segment */
    bool         embd_scaled;                 /* by sqrt(n_embd) */
    double       attn_softcap, final_softcap; /* 0: none */
    int32_t wide_scale_layers; /* a model of so many layers scales queries by its width / heads */
} nx_arch;

/* How angles are stretched beyond the positions a model was first made for. */
typedef enum nx_rope_scaling {
    NX_ROPE_SCALING_NONE,
    NX_ROPE_SCALING_LINEAR,
    NX_ROPE_SCALING_YARN,
    NX_ROPE_SCALING_LONGROPE, /* two sets of factors: the text's length chooses */
    NX_ROPE_SCALING_DYNAMIC,  /* the base grows with the text's length */
} nx_rope_scaling;

/* Sizes and numbers of one model, all checked: products of any three fit int64_t. */
typedef struct nx_hparams {
    int32_t n_layers, n_embd, n_ff;
    int32_t n_vocab;             /* rows of the embedding: may be more than the vocabulary has */
    int32_t n_ctx;               /* positions the model can be used for */
    int32_t n_buckets;           /* of distances that have a bias of their own; 0: none */
    int32_t n_types;             /* segments that it tells apart; 0: none */
    bool    both_ways;           /* a token sees those behind it, too */
    bool    ranks;               /* a cross-encoder: a head makes one number of a pair of texts */
    int32_t n_heads, n_heads_kv; /* n_heads is a multiple of n_heads_kv */
    int32_t head_dim;            /* of queries, keys and values alike */
    float   norm_eps;

    /* Rope. n_rot is 0 with learned positions. */
    nx_rope_kind    rope_kind;
    int32_t         n_rot;       /* even, <= head_dim: values of a head that rope rotates */
    int32_t         n_freq_dims; /* frequency i is base^(-2i / n_freq_dims): n_rot, or one less */
    double          rope_base, rope_base_local;
    nx_rope_scaling rope_scaling;
    double          rope_scale;        /* the factor of linear, yarn and dynamic scaling; else 1 */
    double          rope_magnitude;    /* multiplies cosine and sine */
    int32_t         rope_ctx_original; /* yarn, longrope, dynamic */
    double          yarn_beta_fast, yarn_beta_slow;
    bool            yarn_truncate;

    float   attn_scale;                  /* of q . k */
    bool    attn_scale_by_layer;         /* layer i: attn_scale / (i + 1) */
    float   attn_softcap, final_softcap; /* 0: none */
    int32_t window;                      /* of layers that slide; 0: none does */
    float   embd_scale, residual_scale;  /* 1: none */
    float   logit_scale;                 /* logits are divided by it */

    nx_activation activation;
    bool          parallel, norm_plus_one;

    int32_t n_experts, n_experts_used; /* 0: none */
    int32_t n_ff_expert, n_ff_shared;  /* n_ff_shared 0: no shared expert */
    bool    experts_normalise;
    float   experts_scale;
} nx_hparams;

/* Which rope angles a layer takes. */
typedef enum nx_rope_set { NX_ROPE_GLOBAL, NX_ROPE_LOCAL, NX_ROPE_SETS, NX_ROPE_NONE } nx_rope_set;

/* What may differ from layer to layer. */
typedef struct nx_layer_kind {
    int32_t     window; /* 0: sees all earlier positions */
    nx_rope_set rope;
    bool        experts;
} nx_layer_kind;

/* Absent weights: vectors are NULL, matrices have no data. */
typedef struct nx_layer {
    nx_layer_kind kind;
    const float  *attn_norm, *attn_norm_b;                                         /* [n_embd] */
    const float  *post_attn_norm, *post_ffn_norm;                                  /* [n_embd] */
    const float  *attn_sum_norm, *attn_sum_norm_b, *ffn_sum_norm, *ffn_sum_norm_b; /* [n_embd] */
    const float  *q_norm, *k_norm; /* [head_dim], or the whole width */
    nx_tensor     wq;              /* {n_embd, n_heads * head_dim} */
    nx_tensor     wk, wv;          /* {n_embd, n_heads_kv * head_dim} */
    nx_tensor     wo;              /* {n_heads * head_dim, n_embd} */
    const float  *bq, *bk, *bv, *bo;
    const float  *ffn_norm, *ffn_norm_b; /* [n_embd] */
    nx_tensor     gate, up;              /* {n_embd, n_ff}; gate only where arch->gated */
    nx_tensor     down;                  /* {n_ff, n_embd} */
    const float  *b_gate, *b_up, *b_down;

    nx_tensor        router;                          /* {n_embd, n_experts} */
    const nx_tensor *gate_exps, *up_exps, *down_exps; /* [n_experts] of the expert's sizes */
    nx_tensor        shared_gate;                     /* {n_embd, 1} */
    nx_tensor        gate_shared, up_shared, down_shared;
} nx_layer;

typedef struct nx_model {
    const nx_arch *arch;
    nx_hparams     hp;
    nx_tensor      tok_embd;  /* {n_embd, n_vocab} */
    nx_tensor      positions; /* {n_embd, n_ctx}; no data without learned positions */
    nx_tensor      types;     /* {n_embd, n_types}; no data without */
    nx_tensor      rel_bias;  /* {n_heads, n_buckets}; no data without */
    const float   *attn_bias; /* [n_heads, 2 n_ctx - 1], made of it: nx_attention_opts.bias */
    const float   *embd_norm, *embd_norm_b; /* [n_embd] */
    nx_tensor      head;      /* {n_embd, n_vocab}: the same view as tok_embd when tied */
    bool           head_tied; /* or, of an encoder: there is none */
    nx_tensor      rank;      /* {n_embd, n_embd} of a cross-encoder's head; no data without */
    nx_tensor      rank_out;  /* {n_embd, 1} */
    const float   *rank_b, *rank_norm, *rank_norm_b, *rank_out_b; /* NULL: none */
    const float   *out_norm, *out_norm_b;                         /* [n_embd]; NULL: none */
    const float   *rope_factors;      /* [n_rot / 2] that divide the frequencies, or NULL */
    const float   *rope_factors_long; /* longrope: in place of rope_factors in long texts */
    nx_layer      *layers;            /* [n_layers] */
    uint64_t       n_params;          /* numbers in all its tensors */
    uint64_t       weights_bytes;     /* bytes of the same in the file */
    uint64_t       bytes_per_token;   /* weight bytes read to compute one token with its logits */
} nx_model;

/* Read the description, find and check every tensor. Errors: NX_EUNSUPPORTED names an unknown
 * architecture (with those known) or a feature that the file asks for and we don't have;
 * NX_EFORMAT names the key or tensor with expected and found; NX_ENOMEM. */
nx_status nx_model_open(nx_model **out, const nx_checkpoint *cp, nx_error *err);
void      nx_model_close(nx_model *m);

/* Every known architecture, NULL-terminated: for messages and help. */
const nx_arch *const *nx_arch_list(void);

/* ---- Words and counts for people ---- */

const char *nx_activation_name(nx_activation kind);        /* "silu": as in nexus.activation */
const char *nx_rope_scaling_name(nx_rope_scaling scaling); /* "yarn" */
int32_t     nx_model_n_sliding(const nx_model *m);         /* layers with a window */
int32_t     nx_model_n_nope(const nx_model *m);            /* layers without the rope of others */

/* ---- A model without its weights ---- */

typedef enum nx_tensor_role {
    NX_ROLE_EMBEDDING, /* of tokens, or of positions */
    NX_ROLE_HEAD,      /* only where it isn't the embedding */
    NX_ROLE_MATRIX,    /* linear layers, those of a shared expert among them */
    NX_ROLE_EXPERTS,   /* {in, out, n_experts}; files may hold each expert apart */
    NX_ROLE_ROUTER,
    NX_ROLE_VECTOR, /* norms, biases, rope factors */
} nx_tensor_role;

typedef struct nx_tensor_plan {
    const char    *name; /* "blk.3.attn_q.weight"; borrowed for the call */
    nx_tensor_role role;
    int32_t        layer; /* -1: of no layer */
    int32_t        n_dims;
    int64_t        ne[3];
} nx_tensor_plan;

/* NX_OK goes on, everything else ends the visit. */
typedef nx_status (*nx_tensor_plan_fn)(void *ctx, const nx_tensor_plan *t, nx_error *err);

/* Call visit for every tensor that a model with cp's metadata has. cp needs no tensors (a folder
 * with only config.json): then what exists follows from metadata alone, n_vocab from
 * ARCH.vocab_size. With tensors, optional ones are named where cp has them. hp (may be NULL) gets
 * the sizes. Errors as nx_model_open's, and visit's. */
nx_status nx_model_describe(const nx_checkpoint *cp, nx_hparams *hp, nx_tensor_plan_fn visit,
                            void *ctx, nx_error *err);

#endif
