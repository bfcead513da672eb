/* walk_parts.h - what the files of the walk share. Not for others. */
#ifndef NX_MODEL_WALK_PARTS_H
#define NX_MODEL_WALK_PARTS_H

#include "model/walk.h"

/* Absent where the model doesn't need them. */
struct nx_walk {
    const nx_model *m;
    nx_backend     *be;
    nx_walk_sizes   sizes; /* none 0 */
    uint64_t        bytes;
    bool            turned;              /* freq holds frequencies, */
    int32_t         turned_for;          /* those of texts of this length (rope_length in walk.c) */
    nx_seq_rows    *seqs;                /* [n_seqs_max]: those of the step at work */
    int32_t        *ids;                 /* [n_batch] */
    int32_t        *wanted;              /* [logit_rows]: rows whose logits are computed next */
    float          *freq[NX_ROPE_SETS];  /* [n_rot / 2] */
    float          *cs[NX_ROPE_SETS];    /* [n_batch, n_rot / 2, 2] */
    int32_t        *pos;                 /* [n_batch]: positions, or segments */
    float          *x, *h;               /* [n_batch, n_embd]: residual stream, normed input */
    float          *h_ffn;               /* the same, where attention and ffn run side by side */
    float          *q, *att;             /* [n_batch, n_heads, head_dim] */
    float          *k, *v;               /* [n_batch, n_heads_kv, head_dim] */
    float          *gate, *up;           /* [n_batch, n_ff] */
    float          *route;               /* [n_batch, n_experts]: the router's logits */
    int32_t        *chosen;              /* [n_batch, n_experts_used] */
    float          *share;               /* [n_batch, n_experts_used] */
    float          *gate_exps, *up_exps; /* [n_batch * n_experts_used, n_ff_expert] */
    float          *logits;              /* [logit_rows, n_vocab], unless no_logits */
};

/* out = the model's kind of norm over rows of n numbers. bias may be NULL. out may be x. */
void nx_walk_norm(nx_walk *w, float *out, const float *x, const float *weight, const float *bias,
                  int64_t rows, int64_t n);
void nx_walk_bias(nx_walk *w, float *x, const float *bias, int32_t T,
                  int64_t n); /* NULL: nothing */

/* A block's way back into the residual stream: x += scale * norm(in W + bias). Uses h. */
void nx_walk_leave(nx_walk *w, const nx_tensor *weight, const float *bias, const float *post_norm,
                   const float *in, int32_t T);

/* x = norm(x), where a model norms its sums; NULL: nothing. */
void nx_walk_settle(nx_walk *w, const float *weight, const float *bias, int32_t T);

/* Norm what the feed-forward of a layer reads. */
void nx_walk_ffn_enter(nx_walk *w, int32_t layer, int32_t T);

/* The feed-forward of a layer, entered here unless the model is parallel. */
void nx_walk_ffn(nx_walk *w, int32_t layer, int32_t T);

#endif
