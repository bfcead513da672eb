/* model.c - binds the tensors of a checkpoint to the places where the walk looks for them.
 *
 * Invariant: every tensor of the file is bound, ignored by name, or the file is refused: weights
 *            that we don't use would mean that we compute something else than the model's authors.
 */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "model/arch.h"

/* The model and the memory of its small vectors, allocated together. */
typedef struct owned_model {
    nx_model model; /* first: nx_model_close gets a pointer to it */
    nx_arena arena;
} owned_model;

typedef struct binder {
    const nx_checkpoint *cp;
    nx_model            *m;
    nx_arena            *arena;
    int64_t              n_bound;
    uint64_t             experts_bytes;
    nx_error            *err;
} binder;

/* The tensor of that name, its shape checked; NULL where it is absent and not required. */
static nx_status find(binder *b, const char *name, int64_t cols, int64_t rows, int64_t planes,
                      bool required, const nx_tensor **out)
{
    const nx_tensor *t = *out = nx_checkpoint_tensor(b->cp, name);

    if (!t) {
        if (!required) return NX_OK;
        return nx_tensor_fail(b->cp, name, NX_EFORMAT, b->err, "every %s model has it",
                              b->m->arch->name);
    }
    if (t->ne[0] != cols || t->ne[1] != rows || t->ne[2] != planes || t->ne[3] != 1)
        return nx_tensor_fail(
            b->cp, t->name, NX_EFORMAT, b->err,
            planes == 1 ? "shape [%lld, %lld, %lld, %lld], expected [%lld, %lld] from the metadata"
                        : "shape [%lld, %lld, %lld, %lld], expected [%lld, %lld, %lld] from the "
                          "metadata",
            (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2], (long long)t->ne[3],
            (long long)cols, (long long)rows, (long long)planes);
    b->n_bound++;
    b->m->n_params += (uint64_t)(cols * rows * planes);
    b->m->weights_bytes += t->bytes;
    return NX_OK;
}

/* Rows row .. row + n - 1 of t as a matrix of its own. */
static nx_tensor cut_rows(const nx_tensor *t, int64_t row, int64_t n)
{
    nx_tensor out = *t;

    out.data = (const unsigned char *)t->data + (size_t)row * nx_tensor_row_bytes(t);
    out.bytes = (size_t)n * nx_tensor_row_bytes(t);
    out.n_dims = 2;
    out.ne[1] = n;
    out.ne[2] = out.ne[3] = 1;
    if (nx_dtype_scales_apart(t->dtype)) out.first_number += row * t->ne[0];
    return out;
}

/* ---- One slot ---- */

static nx_status copy_vector(binder *b, const nx_tensor *t, bool plus_one, const float **out)
{
    size_t n = (size_t)t->ne[0];
    float *v = nx_arena_alloc(b->arena, n, sizeof *v);

    if (!v) return nx_fail(b->err, NX_ENOMEM, "%s: %s", nx_checkpoint_path(b->cp), t->name);
    nx_tensor_decode(v, t, 0, 1);
    for (size_t i = 0; plus_one && i < n; i++) v[i] += 1.0f;
    *out = v;
    return NX_OK;
}

static void cut_qkv(nx_layer *l, const nx_tensor *t, const nx_hparams *hp)
{
    int64_t q = nx_side_length(hp, NX_SIDE_Q), kv = nx_side_length(hp, NX_SIDE_KV);

    l->wq = cut_rows(t, 0, q);
    l->wk = cut_rows(t, q, kv);
    l->wv = cut_rows(t, q + kv, kv);
}

static nx_status bind_qkv_bias(binder *b, nx_layer *l, const nx_tensor *t)
{
    int64_t   q = nx_side_length(&b->m->hp, NX_SIDE_Q), kv = nx_side_length(&b->m->hp, NX_SIDE_KV);
    nx_status st = copy_vector(b, t, false, &l->bq);

    if (st) return st;
    l->bk = l->bq + q;
    l->bv = l->bk + kv;
    return NX_OK;
}

/* Experts lie in one tensor {cols, rows, n_experts}, or each in its own. */
static nx_status bind_experts(binder *b, const nx_slot *s, int32_t layer, const char *name,
                              const nx_tensor **out)
{
    const nx_hparams *hp = &b->m->hp;
    int64_t           cols = nx_side_length(hp, s->cols), rows = nx_side_length(hp, s->rows);
    nx_tensor        *each = nx_arena_alloc(b->arena, (size_t)hp->n_experts, sizeof *each);
    bool              stacked = nx_checkpoint_tensor(b->cp, name) != NULL;
    nx_status         st = NX_OK;
    char              one[96];

    if (!each) return nx_fail(b->err, NX_ENOMEM, "%d experts", hp->n_experts);
    snprintf(one, sizeof one, "blk.%d.%s.0.weight", layer, s->each);
    const nx_tensor *t = nx_checkpoint_tensor(b->cp, one);
    if (stacked || !t) st = find(b, name, cols, rows, hp->n_experts, true, &t);
    for (int32_t e = 0; !st && e < hp->n_experts; e++) {
        snprintf(one, sizeof one, "blk.%d.%s.%d.weight", layer, s->each, e);
        if (!stacked) st = find(b, one, cols, rows, 1, true, &t);
        if (st) break;
        each[e] = cut_rows(t, stacked ? e * rows : 0, rows);
        b->experts_bytes += each[e].bytes;
    }
    *out = each;
    return st;
}

static nx_status bind_found(binder *b, const nx_slot *s, nx_layer *layer, void *place,
                            const nx_tensor *t)
{
    switch (s->kind) {
    case NX_SLOT_MATRIX: *(nx_tensor *)place = *t; return NX_OK;
    case NX_SLOT_VECTOR: return copy_vector(b, t, false, place);
    case NX_SLOT_NORM: return copy_vector(b, t, b->m->hp.norm_plus_one, place);
    case NX_SLOT_QKV: cut_qkv(layer, t, &b->m->hp); return NX_OK;
    case NX_SLOT_QKV_BIAS: return bind_qkv_bias(b, layer, t);
    case NX_SLOT_GATE_UP:
        layer->gate = cut_rows(t, 0, b->m->hp.n_ff);
        layer->up = cut_rows(t, b->m->hp.n_ff, b->m->hp.n_ff);
        return NX_OK;
    case NX_SLOT_EXPERTS: break; /* bind_experts */
    }
    return NX_OK;
}

static nx_status bind_slot(void *ctx, const nx_slot *s, int32_t layer, const char *name,
                           bool required)
{
    binder          *b = ctx;
    nx_layer        *l = layer < 0 ? NULL : &b->m->layers[layer];
    unsigned char   *place = (l ? (unsigned char *)l : (unsigned char *)b->m) + s->offset;
    const nx_tensor *t;

    if (s->kind == NX_SLOT_EXPERTS)
        return bind_experts(b, s, layer, name, (const nx_tensor **)(void *)place);
    nx_status st = find(b, name, nx_side_length(&b->m->hp, s->cols),
                        nx_side_length(&b->m->hp, s->rows), 1, required, &t);
    return st || !t ? st : bind_found(b, s, l, place, t);
}

/* ---- All of them ---- */

static nx_status check_factors(binder *b, const char *name, const float *factors)
{
    for (int32_t i = 0; factors && i < b->m->hp.n_rot / 2; i++)
        if (!(factors[i] > 0) || !isfinite(factors[i]))
            return nx_tensor_fail(b->cp, name, NX_EFORMAT, b->err,
                                  "factor %d is %g, expected a number above 0", i,
                                  (double)factors[i]);
    return NX_OK;
}

static nx_status check_nothing_left(binder *b, const nx_slot_walk *walk)
{
    int64_t n_ignored = 0, n = nx_checkpoint_n_tensors(b->cp);

    for (int64_t i = 0; i < n; i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(b->cp, i);
        bool             ignored;
        if (!nx_slots_expect(walk, t->name, &ignored))
            return nx_tensor_fail(b->cp, t->name, NX_EUNSUPPORTED, b->err,
                                  "not part of a %s model as we compute it", b->m->arch->name);
        n_ignored += ignored;
    }
    if (b->n_bound + n_ignored == n) return NX_OK;
    /* "blk.01.x" and "blk.1.x" parse alike: one of them was never bound. */
    return nx_tensor_fail(b->cp, nx_checkpoint_tensor_at(b->cp, 0)->name, NX_EFORMAT, b->err,
                          "first of %lld tensors, of which only %lld have their place",
                          (long long)n, (long long)(b->n_bound + n_ignored));
}

static nx_status spread_bias(binder *b)
{
    const nx_hparams *hp = &b->m->hp;

    if (!b->m->rel_bias.data) return NX_OK;
    size_t n = (size_t)hp->n_heads * (size_t)(2 * (int64_t)hp->n_ctx - 1);
    float *bias = nx_arena_alloc(b->arena, n, sizeof *bias);
    float *row = nx_alloc((size_t)hp->n_heads, sizeof *row);
    if (bias && row) nx_rel_bias_spread(bias, &b->m->rel_bias, hp->n_ctx, row);
    nx_free(row);
    if (!bias || !row) return nx_fail(b->err, NX_ENOMEM, "biases of %d positions", hp->n_ctx);
    b->m->attn_bias = bias;
    return NX_OK;
}

static nx_status bind_all(binder *b, const nx_layer_kind *kinds)
{
    nx_model    *m = b->m;
    nx_slot_walk walk = {.cp = b->cp, .arch = m->arch, .hp = &m->hp, .kinds = kinds};

    m->layers = nx_arena_alloc(b->arena, (size_t)m->hp.n_layers, sizeof *m->layers);
    if (!m->layers) return nx_fail(b->err, NX_ENOMEM, "%d layers", m->hp.n_layers);
    for (int32_t i = 0; i < m->hp.n_layers; i++) m->layers[i].kind = kinds[i];
    nx_status st = nx_slots_visit(&walk, bind_slot, b);
    bool      two = m->hp.rope_scaling == NX_ROPE_SCALING_LONGROPE;
    if (!st)
        st = check_factors(b, two ? "rope_factors_short.weight" : "rope_freqs.weight",
                           m->rope_factors);
    if (!st) st = check_factors(b, "rope_factors_long.weight", m->rope_factors_long);
    if (!st) st = check_nothing_left(b, &walk);
    if (!st) st = spread_bias(b);
    if (st) return st;
    m->head_tied = !m->head.data;
    if (m->head_tied) m->head = m->tok_embd;
    return NX_OK;
}

static uint64_t bytes_per_token(const binder *b)
{
    const nx_model *m = b->m;
    uint64_t        bytes = m->weights_bytes;

    if (!m->head_tied || m->arch->encoder)
        bytes -= m->tok_embd.bytes - nx_tensor_row_bytes(&m->tok_embd);
    if (m->positions.data) bytes -= m->positions.bytes - nx_tensor_row_bytes(&m->positions);
    if (m->types.data) bytes -= m->types.bytes - nx_tensor_row_bytes(&m->types);
    if (!b->experts_bytes) return bytes;
    uint64_t idle = (uint64_t)(m->hp.n_experts - m->hp.n_experts_used);
    return bytes - b->experts_bytes / (uint64_t)m->hp.n_experts * idle;
}

/* The architecture, its numbers and its layers' kinds, which the caller frees with nx_free. */
static nx_status read_metadata(const nx_checkpoint *cp, const nx_arch **arch, nx_hparams *hp,
                               nx_layer_kind **kinds, nx_error *err)
{
    *kinds = NULL;
    nx_status st = nx_arch_find(arch, cp, err);
    if (!st) st = nx_hparams_read(hp, *arch, cp, err);
    if (st) return st;
    *kinds = nx_alloc((size_t)hp->n_layers, sizeof **kinds);
    if (!*kinds) return nx_fail(err, NX_ENOMEM, "%d layers", hp->n_layers);
    return nx_layer_kinds_read(*kinds, *arch, hp, cp, err);
}

nx_status nx_model_open(nx_model **out, const nx_checkpoint *cp, nx_error *err)
{
    nx_layer_kind *kinds;
    owned_model   *o = nx_calloc(1, sizeof *o);

    *out = NULL;
    if (!o) return nx_fail(err, NX_ENOMEM, "model");
    binder    b = {.cp = cp, .m = &o->model, .arena = &o->arena, .err = err};
    nx_status st = read_metadata(cp, &o->model.arch, &o->model.hp, &kinds, err);
    if (!st) st = bind_all(&b, kinds);
    nx_free(kinds);
    if (st) {
        nx_model_close(&o->model);
        return st;
    }
    o->model.bytes_per_token = bytes_per_token(&b);
    *out = &o->model;
    return NX_OK;
}

void nx_model_close(nx_model *m)
{
    owned_model *o = (owned_model *)(void *)m;

    if (!o) return;
    nx_arena_free(&o->arena);
    nx_free(o);
}

int32_t nx_model_n_sliding(const nx_model *m)
{
    int32_t n = 0;

    for (int32_t l = 0; l < m->hp.n_layers; l++) n += m->layers[l].kind.window > 0;
    return n;
}

int32_t nx_model_n_nope(const nx_model *m)
{
    int32_t n = 0;

    for (int32_t l = 0; m->hp.n_rot > 0 && l < m->hp.n_layers; l++)
        n += m->layers[l].kind.rope == NX_ROPE_NONE;
    return n;
}

/* ---- Description without weights ---- */

typedef struct describer {
    const nx_checkpoint *cp;
    const nx_hparams    *hp;
    nx_tensor_plan_fn    visit;
    void                *ctx;
    nx_error            *err;
} describer;

static nx_status describe_slot(void *ctx, const nx_slot *s, int32_t layer, const char *name,
                               bool required)
{
    const describer *d = ctx;
    nx_tensor_plan   t = {.name = name,
                          .role = s->role,
                          .layer = layer,
                          .n_dims = s->rows == NX_SIDE_ONE && s->role == NX_ROLE_VECTOR ? 1 : 2,
                          .ne = {nx_side_length(d->hp, s->cols), nx_side_length(d->hp, s->rows), 1}};

    if (!required && !nx_checkpoint_tensor(d->cp, name)) return NX_OK;
    if (s->kind == NX_SLOT_EXPERTS) {
        t.n_dims = 3;
        t.ne[2] = d->hp->n_experts;
    }
    return d->visit(d->ctx, &t, d->err);
}

nx_status nx_model_describe(const nx_checkpoint *cp, nx_hparams *hp, nx_tensor_plan_fn visit,
                            void *ctx, nx_error *err)
{
    nx_layer_kind *kinds;
    const nx_arch *arch;
    nx_hparams     own = {0};
    nx_status      st = read_metadata(cp, &arch, &own, &kinds, err);

    if (!st) {
        describer    d = {.cp = cp, .hp = &own, .visit = visit, .ctx = ctx, .err = err};
        nx_slot_walk walk = {.cp = cp, .arch = arch, .hp = &own, .kinds = kinds};
        st = nx_slots_visit(&walk, describe_slot, &d);
    }
    nx_free(kinds);
    if (hp) *hp = own;
    return st;
}
