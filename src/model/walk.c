/* walk.c - the forward pass of a decoder, read beside "Attention Is All You Need" (Vaswani et al.
 * 2017) with RMSNorm (Zhang & Sennrich 2019), RoPE (Su et al. 2021), grouped-query attention
 * (Ainslie et al. 2023) and SwiGLU (Shazeer 2020):
 *
 *   x = embedding
 *   each layer:  h = norm(x) ; q, k, v = h W ; rotate q, k ; store k, v
 *                x += attention(q, all k, all v) Wo
 *                h = norm(x) ; x += (silu(h Wgate) * (h Wup)) Wdown
 *   logits = norm(x) Whead
 *
 * Owns: the buffers below. A step allocates nothing.
 */
#include "model/walk.h"

#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "model/rope.h"

/* Rows of logits computed at once: with a vocabulary of 128 k a row takes half a megabyte. */
#define LOGIT_ROWS 8

struct nx_walk {
    const nx_model *m;
    nx_backend     *be;
    int32_t         n_batch, n_pos, logit_rows;
    uint64_t        bytes;
    float          *freq;      /* [n_rot / 2] */
    float          *cs;        /* [n_batch, n_rot / 2, 2] */
    float          *x, *h;     /* [n_batch, n_embd]: residual stream, normed input */
    float          *q, *att;   /* [n_batch, n_heads, head_dim] */
    float          *k, *v;     /* [n_batch, n_heads_kv, head_dim] */
    float          *gate, *up; /* [n_batch, n_ff] */
    float          *logits;    /* [logit_rows, n_vocab] */
};

static nx_status check_types(const nx_model *m, const nx_backend *be, nx_error *err)
{
    const nx_tensor *shared[] = {&m->tok_embd, &m->head};

    for (int i = 0; i < 2; i++)
        if (!be->ops->supports(be, shared[i]->dtype))
            return nx_fail(err, NX_EUNSUPPORTED, "tensor %s: %s can't compute type %s",
                           shared[i]->name, be->ops->name, nx_dtype_get(shared[i]->dtype)->name);
    for (int32_t l = 0; l < m->hp.n_layers; l++) {
        const nx_layer  *w = &m->layers[l];
        const nx_tensor *all[] = {&w->wq, &w->wk, &w->wv, &w->wo, &w->gate, &w->up, &w->down};
        for (int i = 0; i < 7; i++)
            if (!be->ops->supports(be, all[i]->dtype))
                return nx_fail(err, NX_EUNSUPPORTED, "tensor %s: %s can't compute type %s",
                               all[i]->name, be->ops->name, nx_dtype_get(all[i]->dtype)->name);
    }
    return NX_OK;
}

static bool take(nx_walk *w, float **out, int64_t rows, int64_t cols)
{
    size_t bytes = (size_t)(rows * cols) * sizeof(float);

    *out = w->be->ops->alloc(w->be, bytes);
    w->bytes += bytes;
    return *out != NULL;
}

static bool take_all(nx_walk *w)
{
    const nx_hparams *hp = &w->m->hp;
    int64_t           T = w->n_batch;
    int64_t           n_q = (int64_t)hp->n_heads * hp->head_dim;
    int64_t           n_kv = (int64_t)hp->n_heads_kv * hp->head_dim;

    return take(w, &w->freq, 1, hp->n_rot / 2) && take(w, &w->cs, T, hp->n_rot) &&
           take(w, &w->x, T, hp->n_embd) && take(w, &w->h, T, hp->n_embd) &&
           take(w, &w->q, T, n_q) && take(w, &w->att, T, n_q) && take(w, &w->k, T, n_kv) &&
           take(w, &w->v, T, n_kv) && take(w, &w->gate, T, hp->n_ff) &&
           take(w, &w->up, T, hp->n_ff) && take(w, &w->logits, w->logit_rows, hp->n_vocab);
}

static nx_status reserve(const nx_walk *w, nx_error *err)
{
    const nx_hparams *hp = &w->m->hp;
    int64_t           n_q = (int64_t)hp->n_heads * hp->head_dim;
    int64_t           widest = hp->n_ff;

    if (widest < hp->n_embd) widest = hp->n_embd;
    if (widest < n_q) widest = n_q;
    nx_backend_sizes sizes = {
        .n_rows_max = w->n_batch, .n_cols_max = widest, .n_pos_max = w->n_pos};
    return w->be->ops->reserve(w->be, &sizes, err);
}

nx_status nx_walk_create(nx_walk **out, const nx_model *model, nx_backend *be, int32_t n_batch,
                         int32_t n_pos, nx_error *err)
{
    *out = NULL;
    if (n_batch < 1 || n_pos < 1)
        return nx_fail(err, NX_EINVAL, "batch of %d over %d positions: expected 1 or more", n_batch,
                       n_pos);
    nx_status st = check_types(model, be, err);
    if (st) return st;
    nx_walk *w = nx_calloc(1, sizeof *w);
    if (!w) return nx_fail(err, NX_ENOMEM, "activations");
    *w = (nx_walk){
        .m = model, .be = be, .n_batch = n_batch < n_pos ? n_batch : n_pos, .n_pos = n_pos};
    w->logit_rows = w->n_batch < LOGIT_ROWS ? w->n_batch : LOGIT_ROWS;
    if (!take_all(w))
        st = nx_fail(err, NX_ENOMEM, "activations of %d rows. Try a smaller --batch", w->n_batch);
    if (!st) st = reserve(w, err);
    if (st) {
        nx_walk_destroy(w);
        return st;
    }
    nx_rope_frequencies(w->freq, &model->hp, model->rope_factors);
    *out = w;
    return NX_OK;
}

void nx_walk_destroy(nx_walk *w)
{
    if (!w) return;
    float *all[] = {w->freq, w->cs, w->x,    w->h,  w->q,     w->att,
                    w->k,    w->v,  w->gate, w->up, w->logits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) w->be->ops->free(w->be, all[i]);
    nx_free(w);
}

uint64_t nx_walk_bytes(const nx_walk *w)
{
    return w->bytes;
}

static void attention_block(nx_walk *w, nx_kv *kv, int32_t layer, int32_t T, int32_t pos0)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;
    const nx_layer       *l = &w->m->layers[layer];
    nx_kv_view            keys = nx_kv_keys(kv, layer), values = nx_kv_values(kv, layer);
    nx_rope_kind          kind = w->m->arch->rope_kind;
    nx_attention_opts     opts = {.scale = 1.0f / sqrtf((float)hp->head_dim)};

    ops->rmsnorm(w->be, w->h, w->x, l->attn_norm, T, hp->n_embd, hp->norm_eps);
    ops->matmul(w->be, (float *const[]){w->q, w->k, w->v},
                (const nx_tensor *const[]){&l->wq, &l->wk, &l->wv}, 3, w->h, T, false);
    ops->rope(w->be, w->q, w->cs, kind, T, hp->n_heads, hp->head_dim, hp->n_rot);
    ops->rope(w->be, w->k, w->cs, kind, T, hp->n_heads_kv, hp->head_dim, hp->n_rot);
    ops->kv_store(w->be, &keys, w->k, pos0, T);
    ops->kv_store(w->be, &values, w->v, pos0, T);
    ops->attention(w->be, w->att, w->q, &keys, &values, pos0, T, hp->n_heads, &opts);
    ops->matmul(w->be, &w->x, (const nx_tensor *const[]){&l->wo}, 1, w->att, T, true);
}

static void ffn_block(nx_walk *w, int32_t layer, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;
    const nx_layer       *l = &w->m->layers[layer];

    ops->rmsnorm(w->be, w->h, w->x, l->ffn_norm, T, hp->n_embd, hp->norm_eps);
    ops->matmul(w->be, (float *const[]){w->gate, w->up},
                (const nx_tensor *const[]){&l->gate, &l->up}, 2, w->h, T, false);
    ops->act_mul(w->be, w->gate, w->gate, w->up, (int64_t)T * hp->n_ff, NX_ACTIVATION_SILU);
    ops->matmul(w->be, &w->x, (const nx_tensor *const[]){&l->down}, 1, w->gate, T, true);
}

static void emit_logits(nx_walk *w, int32_t T, int32_t n_logits, nx_logits_fn on_logits, void *ctx)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;

    for (int32_t t = T - n_logits; t < T; t += w->logit_rows) {
        int32_t rows = T - t < w->logit_rows ? T - t : w->logit_rows;
        ops->rmsnorm(w->be, w->h, w->x + (int64_t)t * hp->n_embd, w->m->out_norm, rows, hp->n_embd,
                     hp->norm_eps);
        ops->matmul(w->be, &w->logits, (const nx_tensor *const[]){&w->m->head}, 1, w->h, rows,
                    false);
        for (int32_t r = 0; r < rows; r++)
            on_logits(ctx, t + r, w->logits + (int64_t)r * hp->n_vocab);
    }
}

void nx_walk_step(nx_walk *w, nx_kv *kv, const int32_t *ids, int32_t T, int32_t pos0,
                  int32_t n_logits, nx_logits_fn on_logits, void *ctx)
{
    assert(T >= 1 && T <= w->n_batch && pos0 >= 0 && pos0 + T <= kv->n_pos &&
           kv->n_pos <= w->n_pos);
    for (int32_t t = 0; t < T; t++) assert(ids[t] >= 0 && ids[t] < w->m->hp.n_vocab);

    w->be->ops->embed(w->be, w->x, &w->m->tok_embd, ids, T, 1.0f);
    nx_rope_table(w->cs, w->freq, w->m->hp.n_rot, pos0, T);
    for (int32_t l = 0; l < w->m->hp.n_layers; l++) {
        attention_block(w, kv, l, T, pos0);
        ffn_block(w, l, T);
    }
    emit_logits(w, T, n_logits, on_logits, ctx);
}
