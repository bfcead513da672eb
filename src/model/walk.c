/* walk.c - the forward pass, read beside "Attention Is All You Need" (Vaswani et al.
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
 * block or a sum, scales, caps, learned positions, segments, experts (walk_ffn.c). An encoder's whole
 * texts need no cache: attention reads the keys and values of the step. A thing that is off costs a branch,
 * never a pass over activations.
 *
 * A step takes rows of many sequences. All but three things do the same to every row, whosever it
 * is: the angles of rope, the cache with attention over it, and the choice of rows that get logits.
 *
 * Owns: the buffers of nx_walk. A step allocates nothing.
 */
#include "model/walk.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "model/rope.h"
#include "model/walk_parts.h"

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
    if (!st) st = check_type(&m->types, be, err);
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

/* Sizes with their defaults, and no more than they can use: all of them 1 or more. */
static nx_walk_sizes settle(const nx_walk_sizes *asked)
{
    nx_walk_sizes z = *asked;

    if (z.n_seqs_max == 0) z.n_seqs_max = 1;
    if (z.n_batch > (int64_t)z.n_pos * z.n_seqs_max) z.n_batch = z.n_pos * z.n_seqs_max;
    if (z.n_seqs_max > z.n_batch) z.n_seqs_max = z.n_batch;
    if (z.logit_rows == 0) z.logit_rows = NX_LOGIT_ROWS_DEFAULT;
    if (z.logit_rows > z.n_batch) z.logit_rows = z.n_batch;
    return z;
}

/* z: settled. */
static nx_backend_sizes sizes_of(const nx_hparams *hp, const nx_walk_sizes *z)
{
    return (nx_backend_sizes){.n_rows_max = z->n_batch,
                              .n_cols_max = widest_row(hp),
                              .n_pos_max = z->n_pos,
                              .n_slots_max = z->n_batch * hp->n_experts_used,
                              .n_experts_max = hp->n_experts};
}

static nx_status reserve(const nx_walk *w, nx_error *err)
{
    nx_backend_sizes sizes = sizes_of(&w->m->hp, &w->sizes);

    return w->be->ops->reserve(w->be, &sizes, err);
}

uint64_t nx_walk_scratch_planned(const nx_hparams *hp, const nx_backend *be,
                                 const nx_walk_sizes *asked)
{
    nx_walk_sizes    z = settle(asked);
    nx_backend_sizes sizes = sizes_of(hp, &z);

    return be->ops->scratch_bytes(be, &sizes);
}

/* ---- Buffers ---- */

typedef struct buffer {
    void  **place;
    int64_t rows, cols; /* of 4 bytes */
} buffer;

#define N_BUFFERS 23

/* All buffers of a walk, with their sizes; those of 0 numbers aren't needed. */
static void list_buffers(nx_walk *w, const nx_hparams *hp, const nx_walk_sizes *z,
                         buffer out[N_BUFFERS])
{
    int64_t T = z->n_batch, S = T * hp->n_experts_used;
    int64_t n_q = (int64_t)hp->n_heads * hp->head_dim;
    int64_t n_kv = (int64_t)hp->n_heads_kv * hp->head_dim;
    int64_t local = hp->rope_base_local > 0 ? hp->n_rot : 0;
    int64_t ff = hp->n_ff > hp->n_ff_shared ? hp->n_ff : hp->n_ff_shared;
    int64_t positions = hp->n_rot == 0 || hp->n_types > 0 ? 1 : 0;
    int64_t logits = z->no_logits ? 0 : z->logit_rows;

    const buffer all[N_BUFFERS] = {
        {(void **)&w->seqs, z->n_seqs_max, sizeof *w->seqs / 4},
        {(void **)&w->ids, T, 1},
        {(void **)&w->wanted, z->logit_rows, 1},
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
        {(void **)&w->logits, logits, hp->n_vocab},
    };
    for (int i = 0; i < N_BUFFERS; i++) out[i] = all[i];
}

static bool take_all(nx_walk *w)
{
    buffer all[N_BUFFERS];

    list_buffers(w, &w->m->hp, &w->sizes, all);
    for (int i = 0; i < N_BUFFERS; i++) {
        size_t bytes = (size_t)(all[i].rows * all[i].cols) * 4;
        if (!bytes) continue;
        *all[i].place = w->be->ops->alloc(w->be, bytes);
        if (!*all[i].place) return false;
        w->bytes += bytes;
    }
    return true;
}

uint64_t nx_walk_bytes_planned(const nx_hparams *hp, const nx_walk_sizes *asked)
{
    nx_walk       none = {0};
    nx_walk_sizes z = settle(asked);
    buffer        all[N_BUFFERS];
    uint64_t      bytes = 0;

    list_buffers(&none, hp, &z, all);
    for (int i = 0; i < N_BUFFERS; i++) bytes += (uint64_t)(all[i].rows * all[i].cols) * 4;
    return bytes;
}

static nx_status check_sizes(const nx_walk_sizes *asked, const nx_model *m, nx_error *err)
{
    if (asked->n_batch < 1 || asked->n_pos < 1)
        return nx_fail(err, NX_EINVAL, "batch of %d over %d positions: expected 1 or more",
                       asked->n_batch, asked->n_pos);
    if (asked->n_seqs_max < 0 || asked->logit_rows < 0)
        return nx_fail(err, NX_EINVAL, "%d sequences, %d rows of logits: expected 0 or more",
                       asked->n_seqs_max, asked->logit_rows);
    if (m->positions.data && asked->n_pos > m->hp.n_ctx)
        return nx_fail(err, NX_EINVAL, "%d positions, of which the model has learned %d",
                       asked->n_pos, m->hp.n_ctx);
    if ((int64_t)settle(asked).n_batch * m->hp.n_experts_used > N_SLOTS_MAX)
        return nx_fail(err, NX_EINVAL, "%d rows that meet %d experts each. Try a smaller --batch",
                       asked->n_batch, m->hp.n_experts_used);
    return NX_OK;
}

nx_status nx_walk_create(nx_walk **out, const nx_model *model, nx_backend *be,
                         const nx_walk_sizes *sizes, nx_error *err)
{
    *out = NULL;
    nx_status st = check_sizes(sizes, model, err);
    if (!st) st = check_types(model, be, err);
    if (st) return st;
    nx_walk *w = nx_calloc(1, sizeof *w);
    if (!w) return nx_fail(err, NX_ENOMEM, "activations");
    *w = (nx_walk){.m = model, .be = be, .sizes = settle(sizes)};
    if (!take_all(w))
        st = nx_fail(err, NX_ENOMEM, "activations of %d rows. Try a smaller --batch",
                     w->sizes.n_batch);
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
    list_buffers(w, &w->m->hp, &w->sizes, all);
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

void nx_walk_settle(nx_walk *w, const float *weight, const float *bias, int32_t T)
{
    if (weight) nx_walk_norm(w, w->x, w->x, weight, bias, T, w->m->hp.n_embd);
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

/* The step's own keys or values, as attention reads them without a cache. */
static nx_kv_view own_rows(const nx_walk *w, float *rows)
{
    return (nx_kv_view){.data = rows,
                        .dtype = NX_DTYPE_F32,
                        .n_pages = 1,
                        .page_len = w->sizes.n_batch,
                        .n_heads = w->m->hp.n_heads_kv,
                        .head_dim = w->m->hp.head_dim};
}

/* kv NULL: the sequences are whole. */
static void attention_block(nx_walk *w, nx_kv *kv, int32_t layer, int32_t n_seqs, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;
    const nx_layer       *l = &w->m->layers[layer];
    nx_kv_view            keys = kv ? nx_kv_keys(kv, layer) : own_rows(w, w->k);
    nx_kv_view            values = kv ? nx_kv_values(kv, layer) : own_rows(w, w->v);
    nx_attention_opts     opts = {.scale = hp->attn_scale,
                                  .softcap = hp->attn_softcap,
                                  .window = l->kind.window,
                                  .both_ways = hp->both_ways,
                                  .bias = w->m->attn_bias,
                                  .n_bias = w->m->attn_bias ? hp->n_ctx : 0};

    if (hp->attn_scale_by_layer) opts.scale /= (float)(layer + 1);
    if (l->attn_norm) nx_walk_norm(w, w->h, w->x, l->attn_norm, l->attn_norm_b, T, hp->n_embd);
    project_qkv(w, l, l->attn_norm ? w->h : w->x, T);
    rotate(w, l, T);
    if (kv) ops->kv_store(w->be, &keys, w->k, w->seqs, n_seqs);
    if (kv) ops->kv_store(w->be, &values, w->v, w->seqs, n_seqs);
    ops->attention(w->be, w->att, w->q, &keys, &values, w->seqs, n_seqs, hp->n_heads, &opts);
    nx_walk_leave(w, &l->wo, l->bo, l->post_attn_norm, w->att, T);
    nx_walk_settle(w, l->attn_sum_norm, l->attn_sum_norm_b, T);
}

/* ---- The step ---- */

/* What a caller promises of a sequence, with room for `room` rows. */
static void expect_sound(const nx_walk *w, const nx_kv *kv, const nx_walk_seq *s, int32_t room)
{
    (void)w, (void)kv, (void)room;
    assert(s->T >= 1 && s->T <= room && s->n_logits >= 0 && s->n_logits <= s->T);
    assert(s->pos0 >= 0 && s->T <= w->sizes.n_pos - s->pos0 && s->n_seq >= s->pos0 + s->T);
    for (int32_t t = 0; t < s->T; t++) assert(s->ids[t] >= 0 && s->ids[t] < w->m->hp.n_vocab);
    assert(kv || s->pos0 == 0);
    assert(!kv || !w->m->hp.both_ways);
    for (int32_t i = 0; kv && i <= (s->pos0 + s->T - 1) / kv->page_len; i++)
        assert(s->pages[i] >= 0 && s->pages[i] < kv->n_pages);
}

/* Lay the rows of the sequences one after the other. Returns how many there are. */
static int32_t lay_out(nx_walk *w, const nx_kv *kv, const nx_walk_seq *seqs, int32_t n_seqs)
{
    int32_t T = 0;

    assert(n_seqs >= 1 && n_seqs <= w->sizes.n_seqs_max);
    for (int32_t i = 0; i < n_seqs; i++) {
        const nx_walk_seq *s = &seqs[i];
        expect_sound(w, kv, s, w->sizes.n_batch - T);
        w->seqs[i] =
            (nx_seq_rows){.pages = kv ? s->pages : NULL, .row0 = T, .T = s->T, .pos0 = s->pos0};
        memcpy(w->ids + T, s->ids, (size_t)s->T * sizeof *s->ids);
        T += s->T;
    }
    return T;
}

/* x += the rows of a table that pos names. */
static void add_embedded(nx_walk *w, const nx_tensor *table, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;

    ops->embed(w->be, w->h, table, w->pos, T, 1.0f);
    ops->add(w->be, w->x, w->h, (int64_t)T * w->m->hp.n_embd, 1.0f);
}

static void embed(nx_walk *w, const nx_walk_seq *seqs, int32_t n_seqs, int32_t T)
{
    const nx_model *m = w->m;

    w->be->ops->embed(w->be, w->x, &m->tok_embd, w->ids, T, m->hp.embd_scale);
    if (m->types.data) {
        for (int32_t i = 0; i < n_seqs; i++)
            for (int32_t t = 0; t < seqs[i].T; t++)
                w->pos[w->seqs[i].row0 + t] = seqs[i].second > 0 && t >= seqs[i].second;
        add_embedded(w, &m->types, T);
    }
    if (m->positions.data) {
        for (const nx_seq_rows *s = w->seqs; s < w->seqs + n_seqs; s++)
            for (int32_t t = 0; t < s->T; t++) w->pos[s->row0 + t] = s->pos0 + t;
        add_embedded(w, &m->positions, T);
    }
    nx_walk_settle(w, m->embd_norm, m->embd_norm_b, T);
}

/* What frequencies know of a text's length: those of equal numbers are equal. */
static int32_t rope_length(const nx_model *m, int32_t n_seq)
{
    switch (m->hp.rope_scaling) {
    case NX_ROPE_SCALING_LONGROPE: return nx_rope_epoch(m, n_seq);
    case NX_ROPE_SCALING_DYNAMIC: return n_seq;
    default: return 0;
    }
}

static void find_frequencies(nx_walk *w, int32_t n_seq)
{
    int32_t length = rope_length(w->m, n_seq);

    if (w->turned && w->turned_for == length) return;
    for (int set = 0; set < NX_ROPE_SETS; set++)
        if (w->cs[set]) nx_rope_frequencies(w->freq[set], w->m, (nx_rope_set)set, n_seq);
    w->turned = true;
    w->turned_for = length;
}

/* The angles of every row, by its place in its own text. */
static void turn(nx_walk *w, const nx_walk_seq *seqs, int32_t n_seqs)
{
    const nx_hparams *hp = &w->m->hp;

    for (int32_t i = 0; i < n_seqs; i++) {
        const nx_seq_rows *s = &w->seqs[i];
        find_frequencies(w, seqs[i].n_seq);
        for (int set = 0; set < NX_ROPE_SETS; set++) {
            float magnitude = set == NX_ROPE_LOCAL ? 1.0f : (float)hp->rope_magnitude;
            if (w->cs[set])
                nx_rope_table(w->cs[set] + (int64_t)s->row0 * hp->n_rot, w->freq[set], hp->n_rot,
                              magnitude, s->pos0, s->T);
        }
    }
}

/* Logits of the n rows whose numbers are in `wanted`, and whose normed activations are in h. */
static void emit_some(nx_walk *w, int32_t n, nx_logits_fn on_logits, void *ctx)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;

    if (n == 0) return;
    ops->matmul(w->be, &w->logits, (const nx_tensor *const[]){&w->m->head}, 1, w->h, n, false);
    if (hp->logit_scale != 1 || hp->final_softcap > 0)
        ops->softcap(w->be, w->logits, (int64_t)n * hp->n_vocab, 1.0f / hp->logit_scale,
                     hp->final_softcap);
    for (int32_t i = 0; i < n; i++)
        on_logits(ctx, w->wanted[i], w->logits + (int64_t)i * hp->n_vocab);
}

/* Wanted rows are few and lie apart (the last of each sequence), and the head is the largest matrix:
 * they are gathered, so that it is read once for as many as there is room for. */
static void emit_logits(nx_walk *w, const nx_walk_seq *seqs, int32_t n_seqs, nx_logits_fn on_logits,
                        void *ctx)
{
    const nx_model *m = w->m;
    int64_t         D = m->hp.n_embd;
    int32_t         n = 0, room = w->sizes.logit_rows;

    for (int32_t i = 0; i < n_seqs; i++) {
        int32_t end = w->seqs[i].row0 + seqs[i].T;
        for (int32_t row = end - seqs[i].n_logits, some; row < end; row += some) {
            some = end - row < room - n ? end - row : room - n;
            nx_walk_norm(w, w->h + n * D, w->x + row * D, m->out_norm, m->out_norm_b, some, D);
            for (int32_t r = 0; r < some; r++) w->wanted[n + r] = row + r;
            n += some;
            if (n < room) continue;
            emit_some(w, n, on_logits, ctx);
            n = 0;
        }
    }
    emit_some(w, n, on_logits, ctx);
}

/* From ids to what leaves the last layer, in x. Returns how many rows there are. */
static int32_t climb(nx_walk *w, nx_kv *kv, const nx_walk_seq *seqs, int32_t n_seqs)
{
    int32_t T = lay_out(w, kv, seqs, n_seqs);

    embed(w, seqs, n_seqs, T);
    turn(w, seqs, n_seqs);
    for (int32_t l = 0; l < w->m->hp.n_layers; l++) {
        if (w->m->hp.parallel) nx_walk_ffn_enter(w, l, T);
        attention_block(w, kv, l, n_seqs, T);
        nx_walk_ffn(w, l, T);
    }
    return T;
}

void nx_walk_step(nx_walk *w, nx_kv *kv, const nx_walk_seq *seqs, int32_t n_seqs,
                  nx_logits_fn on_logits, void *ctx)
{
    assert(kv && !w->sizes.no_logits);
    climb(w, kv, seqs, n_seqs);
    emit_logits(w, seqs, n_seqs, on_logits, ctx);
}

void nx_walk_encode(nx_walk *w, const nx_walk_seq *seqs, int32_t n_seqs, nx_hidden_fn on_hidden,
                    void *ctx)
{
    int32_t T = climb(w, NULL, seqs, n_seqs);

    nx_walk_settle(w, w->m->out_norm, w->m->out_norm_b, T);
    for (int32_t i = 0; i < n_seqs; i++)
        on_hidden(ctx, i, w->x + (int64_t)w->seqs[i].row0 * w->m->hp.n_embd, seqs[i].T);
}
