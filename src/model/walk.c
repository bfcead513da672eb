/* walk.c - the forward pass of a decoder, read beside "Attention Is All You Need" (Vaswani et al.
 * 2017) with RMSNorm (Zhang & Sennrich 2019), RoPE (Su et al. 2021), grouped-query attention
 * (Ainslie et al. 2023) and SwiGLU (Shazeer 2020). Its shape is that of Llama:
 *
 *   x = embedding
 *   each layer:  h = norm(x) ; q, k, v = h W ; rotate q, k ; store k, v
 *                x += attention(q, all k, all v) Wo
 *                h = norm(x) ; x += (silu(h Wgate) * (h Wup)) Wdown
 *   logits = norm(x) Whead
 *
 * What other descriptions add stands where it happens: biases, norms of q and k, norms after a
 * block, scales, caps, learned positions, experts (walk_ffn.c). A thing that is off costs a branch,
 * never a pass over activations.
 *
 * Owns: the buffers of nx_walk. A step allocates nothing.
 */
#include "model/walk.h"

#include <assert.h>

#include "base/alloc.h"
#include "model/rope.h"
#include "model/walk_parts.h"

/* Rows of logits computed at once: with a vocabulary of 128 k a row takes half a megabyte. */
#define LOGIT_ROWS 8

#define N_SLOTS_MAX (1 << 22)

/* ---- What the backend must know of ---- */

static nx_status check_type(const nx_tensor *t, const nx_backend *be, nx_error *err)
{
    if (!t->data || be->ops->supports(be, t->dtype)) return NX_OK;
    return nx_fail(err, NX_EUNSUPPORTED, "tensor %s: %s can't compute type %s", t->name,
                   be->ops->name, nx_dtype_get(t->dtype)->name);
}

static nx_status check_layer(const nx_layer *l, const nx_hparams *hp, const nx_backend *be,
                             nx_error *err)
{
    const nx_tensor *single[] = {&l->wq,          &l->wk,          &l->wv,        &l->wo,
                                 &l->gate,        &l->up,          &l->down,      &l->router,
                                 &l->shared_gate, &l->gate_shared, &l->up_shared, &l->down_shared};
    const nx_tensor *many[] = {l->gate_exps, l->up_exps, l->down_exps};
    nx_status        st = NX_OK;

    for (size_t i = 0; !st && i < sizeof single / sizeof *single; i++)
        st = check_type(single[i], be, err);
    for (size_t i = 0; l->kind.experts && i < 3; i++)
        for (int32_t e = 0; !st && e < hp->n_experts; e++) st = check_type(&many[i][e], be, err);
    return st;
}

static nx_status check_types(const nx_model *m, const nx_backend *be, nx_error *err)
{
    nx_status st = check_type(&m->tok_embd, be, err);

    if (!st) st = check_type(&m->head, be, err);
    if (!st) st = check_type(&m->positions, be, err);
    for (int32_t l = 0; !st && l < m->hp.n_layers; l++)
        st = check_layer(&m->layers[l], &m->hp, be, err);
    return st;
}

static int64_t widest_row(const nx_hparams *hp)
{
    int64_t all[] = {hp->n_embd, hp->n_ff, (int64_t)hp->n_heads * hp->head_dim, hp->n_ff_expert,
                     hp->n_ff_shared};
    int64_t widest = 0;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] > widest) widest = all[i];
    return widest;
}

static nx_backend_sizes sizes_of(const nx_hparams *hp, int32_t n_batch, int32_t n_pos)
{
    return (nx_backend_sizes){.n_rows_max = n_batch,
                              .n_cols_max = widest_row(hp),
                              .n_pos_max = n_pos,
                              .n_slots_max = n_batch * hp->n_experts_used,
                              .n_experts_max = hp->n_experts};
}

static nx_status reserve(const nx_walk *w, nx_error *err)
{
    nx_backend_sizes sizes = sizes_of(&w->m->hp, w->n_batch, w->n_pos);

    return w->be->ops->reserve(w->be, &sizes, err);
}

uint64_t nx_walk_scratch_planned(const nx_hparams *hp, const nx_backend *be, int32_t n_batch,
                                 int32_t n_pos)
{
    nx_backend_sizes sizes = sizes_of(hp, n_batch < n_pos ? n_batch : n_pos, n_pos);

    return be->ops->scratch_bytes(be, &sizes);
}

/* ---- Buffers ---- */

typedef struct buffer {
    void  **place;
    int64_t rows, cols; /* of 4 bytes */
} buffer;

#define N_BUFFERS 20

/* All buffers of a walk, with their sizes; those of 0 numbers aren't needed. */
static void list_buffers(nx_walk *w, const nx_hparams *hp, int32_t n_batch, int32_t logit_rows,
                         buffer out[N_BUFFERS])
{
    int64_t T = n_batch, S = T * hp->n_experts_used;
    int64_t n_q = (int64_t)hp->n_heads * hp->head_dim;
    int64_t n_kv = (int64_t)hp->n_heads_kv * hp->head_dim;
    int64_t local = hp->rope_base_local > 0 ? hp->n_rot : 0;
    int64_t ff = hp->n_ff > hp->n_ff_shared ? hp->n_ff : hp->n_ff_shared;
    int64_t positions = hp->n_rot == 0 ? 1 : 0;

    const buffer all[N_BUFFERS] = {
        {(void **)&w->freq[NX_ROPE_GLOBAL], 1, hp->n_rot / 2},
        {(void **)&w->freq[NX_ROPE_LOCAL], 1, local / 2},
        {(void **)&w->cs[NX_ROPE_GLOBAL], T, hp->n_rot},
        {(void **)&w->cs[NX_ROPE_LOCAL], T, local},
        {(void **)&w->pos, T, positions},
        {(void **)&w->x, T, hp->n_embd},
        {(void **)&w->h, T, hp->n_embd},
        {(void **)&w->h_ffn, T, hp->parallel ? hp->n_embd : 0},
        {(void **)&w->q, T, n_q},
        {(void **)&w->att, T, n_q},
        {(void **)&w->k, T, n_kv},
        {(void **)&w->v, T, n_kv},
        {(void **)&w->gate, T, ff},
        {(void **)&w->up, T, ff},
        {(void **)&w->route, T, hp->n_experts},
        {(void **)&w->chosen, S, 1},
        {(void **)&w->share, S, 1},
        {(void **)&w->gate_exps, S, hp->n_ff_expert},
        {(void **)&w->up_exps, S, hp->n_ff_expert > hp->n_embd ? hp->n_ff_expert : hp->n_embd},
        {(void **)&w->logits, logit_rows, hp->n_vocab},
    };
    for (int i = 0; i < N_BUFFERS; i++) out[i] = all[i];
}

static bool take_all(nx_walk *w)
{
    buffer all[N_BUFFERS];

    list_buffers(w, &w->m->hp, w->n_batch, w->logit_rows, all);
    for (int i = 0; i < N_BUFFERS; i++) {
        size_t bytes = (size_t)(all[i].rows * all[i].cols) * 4;
        if (!bytes) continue;
        *all[i].place = w->be->ops->alloc(w->be, bytes);
        if (!*all[i].place) return false;
        w->bytes += bytes;
    }
    return true;
}

static int32_t clamp_batch(int32_t n_batch, int32_t n_pos)
{
    return n_batch < n_pos ? n_batch : n_pos;
}

static int32_t logit_rows_of(int32_t n_batch)
{
    return n_batch < LOGIT_ROWS ? n_batch : LOGIT_ROWS;
}

uint64_t nx_walk_bytes_planned(const nx_hparams *hp, int32_t n_batch, int32_t n_pos)
{
    nx_walk  none = {0};
    buffer   all[N_BUFFERS];
    uint64_t bytes = 0;

    n_batch = clamp_batch(n_batch, n_pos);
    list_buffers(&none, hp, n_batch, logit_rows_of(n_batch), all);
    for (int i = 0; i < N_BUFFERS; i++) bytes += (uint64_t)(all[i].rows * all[i].cols) * 4;
    return bytes;
}

nx_status nx_walk_create(nx_walk **out, const nx_model *model, nx_backend *be, int32_t n_batch,
                         int32_t n_pos, nx_error *err)
{
    *out = NULL;
    if (n_batch < 1 || n_pos < 1)
        return nx_fail(err, NX_EINVAL, "batch of %d over %d positions: expected 1 or more", n_batch,
                       n_pos);
    if (model->positions.data && n_pos > model->hp.n_ctx)
        return nx_fail(err, NX_EINVAL, "%d positions, of which the model has learned %d", n_pos,
                       model->hp.n_ctx);
    if ((int64_t)clamp_batch(n_batch, n_pos) * model->hp.n_experts_used > N_SLOTS_MAX)
        return nx_fail(err, NX_EINVAL, "%d rows that meet %d experts each. Try a smaller --batch",
                       n_batch, model->hp.n_experts_used);
    nx_status st = check_types(model, be, err);
    if (st) return st;
    nx_walk *w = nx_calloc(1, sizeof *w);
    if (!w) return nx_fail(err, NX_ENOMEM, "activations");
    *w = (nx_walk){.m = model, .be = be, .n_batch = clamp_batch(n_batch, n_pos), .n_pos = n_pos};
    w->logit_rows = logit_rows_of(w->n_batch);
    if (!take_all(w))
        st = nx_fail(err, NX_ENOMEM, "activations of %d rows. Try a smaller --batch", w->n_batch);
    if (!st) st = reserve(w, err);
    if (st) {
        nx_walk_destroy(w);
        return st;
    }
    *out = w;
    return NX_OK;
}

void nx_walk_destroy(nx_walk *w)
{
    buffer all[N_BUFFERS];

    if (!w) return;
    list_buffers(w, &w->m->hp, w->n_batch, w->logit_rows, all);
    for (int i = 0; i < N_BUFFERS; i++)
        if (*all[i].place) w->be->ops->free(w->be, *all[i].place);
    nx_free(w);
}

uint64_t nx_walk_bytes(const nx_walk *w)
{
    return w->bytes;
}

/* ---- Pieces that both blocks use ---- */

void nx_walk_norm(nx_walk *w, float *out, const float *x, const float *weight, const float *bias,
                  int64_t rows, int64_t n)
{
    const nx_backend_ops *ops = w->be->ops;
    float                 eps = w->m->hp.norm_eps;

    if (w->m->arch->norm == NX_NORM_LAYER)
        ops->layernorm(w->be, out, x, weight, bias, (int32_t)rows, n, eps);
    else
        ops->rmsnorm(w->be, out, x, weight, (int32_t)rows, n, eps);
}

void nx_walk_leave(nx_walk *w, const nx_tensor *weight, const float *bias, const float *post_norm,
                   const float *in, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;
    bool                  straight = !post_norm && hp->residual_scale == 1;
    float                *to = straight ? w->x : w->h;

    ops->matmul(w->be, &to, &weight, 1, in, T, straight);
    if (bias) ops->bias(w->be, to, bias, T, hp->n_embd);
    if (straight) return;
    if (post_norm) nx_walk_norm(w, w->h, w->h, post_norm, NULL, T, hp->n_embd);
    ops->add(w->be, w->x, w->h, (int64_t)T * hp->n_embd, hp->residual_scale);
}

void nx_walk_bias(nx_walk *w, float *x, const float *bias, int32_t T, int64_t n)
{
    if (bias) w->be->ops->bias(w->be, x, bias, T, n);
}

/* ---- Attention ---- */

static void norm_heads(nx_walk *w, float *x, const float *weight, int32_t T, int32_t H)
{
    int64_t D = w->m->hp.head_dim;

    if (w->m->arch->qk_norm == NX_QK_NORM_HEAD)
        nx_walk_norm(w, x, x, weight, NULL, (int64_t)T * H, D);
    else
        nx_walk_norm(w, x, x, weight, NULL, T, H * D);
}

static void project_qkv(nx_walk *w, const nx_layer *l, const float *in, int32_t T)
{
    const nx_hparams *hp = &w->m->hp;
    int64_t           n_q = (int64_t)hp->n_heads * hp->head_dim;
    int64_t           n_kv = (int64_t)hp->n_heads_kv * hp->head_dim;

    w->be->ops->matmul(w->be, (float *const[]){w->q, w->k, w->v},
                       (const nx_tensor *const[]){&l->wq, &l->wk, &l->wv}, 3, in, T, false);
    nx_walk_bias(w, w->q, l->bq, T, n_q);
    nx_walk_bias(w, w->k, l->bk, T, n_kv);
    nx_walk_bias(w, w->v, l->bv, T, n_kv);
    if (l->q_norm) norm_heads(w, w->q, l->q_norm, T, hp->n_heads);
    if (l->k_norm) norm_heads(w, w->k, l->k_norm, T, hp->n_heads_kv);
}

static void rotate(nx_walk *w, const nx_layer *l, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;

    if (l->kind.rope == NX_ROPE_NONE) return;
    const float *cs = w->cs[l->kind.rope];
    ops->rope(w->be, w->q, cs, hp->rope_kind, T, hp->n_heads, hp->head_dim, hp->n_rot);
    ops->rope(w->be, w->k, cs, hp->rope_kind, T, hp->n_heads_kv, hp->head_dim, hp->n_rot);
}

static void attention_block(nx_walk *w, nx_kv *kv, int32_t layer, const nx_walk_rows *s)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;
    const nx_layer       *l = &w->m->layers[layer];
    nx_kv_view            keys = nx_kv_keys(kv, layer), values = nx_kv_values(kv, layer);
    nx_attention_opts     opts = {
            .scale = hp->attn_scale, .softcap = hp->attn_softcap, .window = l->kind.window};

    if (hp->attn_scale_by_layer) opts.scale /= (float)(layer + 1);
    if (l->attn_norm) nx_walk_norm(w, w->h, w->x, l->attn_norm, l->attn_norm_b, s->T, hp->n_embd);
    project_qkv(w, l, l->attn_norm ? w->h : w->x, s->T);
    rotate(w, l, s->T);
    ops->kv_store(w->be, &keys, w->k, s->pos0, s->T);
    ops->kv_store(w->be, &values, w->v, s->pos0, s->T);
    ops->attention(w->be, w->att, w->q, &keys, &values, s->pos0, s->T, hp->n_heads, &opts);
    nx_walk_leave(w, &l->wo, l->bo, l->post_attn_norm, w->att, s->T);
}

/* ---- The step ---- */

static void embed(nx_walk *w, const nx_walk_rows *s)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;

    ops->embed(w->be, w->x, &w->m->tok_embd, s->ids, s->T, hp->embd_scale);
    if (!w->m->positions.data) return;
    for (int32_t t = 0; t < s->T; t++) w->pos[t] = s->pos0 + t;
    ops->embed(w->be, w->h, &w->m->positions, w->pos, s->T, 1.0f);
    ops->add(w->be, w->x, w->h, (int64_t)s->T * hp->n_embd, 1.0f);
}

/* Frequencies change only where the text's length has a say. */
static void turn(nx_walk *w, const nx_walk_rows *s)
{
    const nx_hparams *hp = &w->m->hp;
    bool              by_length =
        hp->rope_scaling == NX_ROPE_SCALING_LONGROPE || hp->rope_scaling == NX_ROPE_SCALING_DYNAMIC;

    for (int set = 0; set < NX_ROPE_SETS; set++) {
        float magnitude = set == NX_ROPE_LOCAL ? 1.0f : (float)hp->rope_magnitude;
        if (!w->cs[set]) continue;
        if (!w->turned || by_length)
            nx_rope_frequencies(w->freq[set], w->m, (nx_rope_set)set, s->n_seq);
        nx_rope_table(w->cs[set], w->freq[set], hp->n_rot, magnitude, s->pos0, s->T);
    }
    w->turned = true;
}

static void emit_logits(nx_walk *w, const nx_walk_rows *s, nx_logits_fn on_logits, void *ctx)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_model       *m = w->m;
    const nx_hparams     *hp = &m->hp;
    bool                  bent = hp->logit_scale != 1 || hp->final_softcap > 0;

    for (int32_t t = s->T - s->n_logits; t < s->T; t += w->logit_rows) {
        int32_t rows = s->T - t < w->logit_rows ? s->T - t : w->logit_rows;
        nx_walk_norm(w, w->h, w->x + (int64_t)t * hp->n_embd, m->out_norm, m->out_norm_b, rows,
                     hp->n_embd);
        ops->matmul(w->be, &w->logits, (const nx_tensor *const[]){&m->head}, 1, w->h, rows, false);
        if (bent)
            ops->softcap(w->be, w->logits, (int64_t)rows * hp->n_vocab, 1.0f / hp->logit_scale,
                         hp->final_softcap);
        for (int32_t r = 0; r < rows; r++)
            on_logits(ctx, t + r, w->logits + (int64_t)r * hp->n_vocab);
    }
}

void nx_walk_step(nx_walk *w, nx_kv *kv, const nx_walk_rows *s, nx_logits_fn on_logits, void *ctx)
{
    assert(s->T >= 1 && s->T <= w->n_batch && s->pos0 >= 0 && s->pos0 + s->T <= kv->n_pos &&
           kv->n_pos <= w->n_pos && s->n_seq >= s->pos0 + s->T);
    for (int32_t t = 0; t < s->T; t++) assert(s->ids[t] >= 0 && s->ids[t] < w->m->hp.n_vocab);

    embed(w, s);
    turn(w, s);
    for (int32_t l = 0; l < w->m->hp.n_layers; l++) {
        if (w->m->hp.parallel) nx_walk_ffn_enter(w, l, s->T);
        attention_block(w, kv, l, s);
        nx_walk_ffn(w, l, s->T);
    }
    emit_logits(w, s, on_logits, ctx);
}
