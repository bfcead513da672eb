/* model.c - binds the tensors of a checkpoint to the places where the walk looks for them.
 *
 * Invariant: every tensor of the file is bound, ignored by name, or the file is refused: weights
 *            that we don't use would mean that we compute something else than the model's authors.
 */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "format/printable.h"
#include "model/arch.h"

/* The model and the memory of its small vectors, allocated together. */
typedef struct owned_model {
    nx_model model; /* first: nx_model_close gets a pointer to it */
    nx_arena arena;
} owned_model;

typedef struct binder {
    const nx_checkpoint *cp;
    const nx_arch_plan  *plan;
    nx_model            *m;
    nx_arena            *arena;
    int64_t              n_bound;
    nx_error            *err;
} binder;

static nx_status fail_shape(binder *b, const nx_tensor *t, int64_t cols, int64_t rows)
{
    return nx_tensor_fail(b->cp, t->name, NX_EFORMAT, b->err,
                          "shape [%lld, %lld, %lld, %lld], expected [%lld, %lld] from the metadata",
                          (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2],
                          (long long)t->ne[3], (long long)cols, (long long)rows);
}

static nx_status find(binder *b, const char *name, int64_t cols, int64_t rows, bool required,
                      const nx_tensor **out)
{
    const nx_tensor *t = *out = nx_checkpoint_tensor(b->cp, name);

    if (!t) {
        if (!required) return NX_OK;
        return nx_tensor_fail(b->cp, name, NX_EFORMAT, b->err, "every %s model has it",
                              b->plan->arch.name);
    }
    if (t->ne[0] != cols || t->ne[1] != rows || t->ne[2] != 1 || t->ne[3] != 1)
        return fail_shape(b, t, cols, rows);
    b->n_bound++;
    b->m->n_params += (uint64_t)(cols * rows);
    b->m->weights_bytes += t->bytes;
    return NX_OK;
}

static nx_status bind_matrix(binder *b, const char *name, int64_t cols, int64_t rows,
                             nx_tensor *out)
{
    const nx_tensor *t;
    nx_status        st = find(b, name, cols, rows, true, &t);

    if (!st) *out = *t;
    return st;
}

static nx_status bind_vector(binder *b, const char *name, int64_t n, bool required,
                             const float **out)
{
    const nx_tensor *t;
    nx_status        st = find(b, name, n, 1, required, &t);

    *out = NULL;
    if (st || !t) return st;
    float *v = nx_arena_alloc(b->arena, (size_t)n, sizeof *v);
    if (!v) return nx_fail(b->err, NX_ENOMEM, "%s: %s", nx_checkpoint_path(b->cp), name);
    nx_dtype_get(t->dtype)->decode(v, t->data, n);
    *out = v;
    return NX_OK;
}

static nx_status bind_layer(binder *b, int32_t idx)
{
    const nx_hparams *hp = &b->m->hp;
    nx_layer         *layer = &b->m->layers[idx];
    char              name[96];
    nx_status         st = NX_OK;

    for (size_t i = 0; !st && i < b->plan->n_slots; i++) {
        const nx_slot *s = &b->plan->slots[i];
        int64_t        cols = nx_side_length(hp, s->cols), rows = nx_side_length(hp, s->rows);
        unsigned char *place = (unsigned char *)layer + s->offset;

        snprintf(name, sizeof name, "blk.%d.%s", idx, s->name);
        if (s->rows == NX_SIDE_ONE)
            st = bind_vector(b, name, cols, true, (const float **)(void *)place);
        else
            st = bind_matrix(b, name, cols, rows, (nx_tensor *)(void *)place);
    }
    return st;
}

static nx_status bind_rope_factors(binder *b)
{
    int32_t   n = b->m->hp.n_rot / 2;
    nx_status st = bind_vector(b, "rope_freqs.weight", n, false, &b->m->rope_factors);

    for (int32_t i = 0; !st && b->m->rope_factors && i < n; i++) {
        float f = b->m->rope_factors[i];
        if (!(f > 0) || !isfinite(f))
            st = nx_tensor_fail(b->cp, "rope_freqs.weight", NX_EFORMAT, b->err,
                                "factor %d is %g, expected a number above 0", i, (double)f);
    }
    return st;
}

static nx_status bind_head(binder *b)
{
    nx_model        *m = b->m;
    const nx_tensor *head;
    nx_status        st = find(b, "output.weight", m->hp.n_embd, m->hp.n_vocab, false, &head);

    m->head_tied = !head;
    m->head = head ? *head : m->tok_embd;
    return st;
}

static nx_status bind_all(binder *b)
{
    nx_model  *m = b->m;
    nx_hparams hp = m->hp;

    m->layers = nx_arena_alloc(b->arena, (size_t)hp.n_layers, sizeof *m->layers);
    if (!m->layers) return nx_fail(b->err, NX_ENOMEM, "%d layers", hp.n_layers);
    nx_status st = bind_matrix(b, "token_embd.weight", hp.n_embd, hp.n_vocab, &m->tok_embd);
    if (!st) st = bind_vector(b, "output_norm.weight", hp.n_embd, true, &m->out_norm);
    if (!st) st = bind_head(b);
    if (!st) st = bind_rope_factors(b);
    for (int32_t i = 0; !st && i < hp.n_layers; i++) st = bind_layer(b, i);
    return st;
}

/* ---- What the file has and we didn't take ---- */

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

static bool in_list(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0) return true;
    return false;
}

static bool is_expected(const binder *b, const char *name, bool *ignored)
{
    static const char *const top[] = {"token_embd.weight", "output_norm.weight", "output.weight",
                                      "rope_freqs.weight", NULL};
    const char              *rest = NULL;
    long                     idx = layer_of(name, &rest);

    *ignored = idx >= 0 && in_list(b->plan->ignored, rest);
    if (*ignored) return true;
    if (idx < 0) return in_list(top, name);
    if (idx >= b->m->hp.n_layers) return false;
    for (size_t i = 0; i < b->plan->n_slots; i++)
        if (strcmp(b->plan->slots[i].name, rest) == 0) return true;
    return false;
}

static nx_status check_nothing_left(binder *b)
{
    int64_t n_ignored = 0;

    for (int64_t i = 0; i < nx_checkpoint_n_tensors(b->cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(b->cp, i);
        bool             ignored;
        if (!is_expected(b, t->name, &ignored))
            return nx_tensor_fail(b->cp, t->name, NX_EUNSUPPORTED, b->err,
                                  "not part of a %s model as we compute it", b->plan->arch.name);
        n_ignored += ignored;
    }
    if (b->n_bound + n_ignored == nx_checkpoint_n_tensors(b->cp)) return NX_OK;
    /* "blk.01.x" and "blk.1.x" parse alike: one of them was never bound. */
    return nx_tensor_fail(b->cp, nx_checkpoint_tensor_at(b->cp, 0)->name, NX_EFORMAT, b->err,
                          "first of %lld tensors, of which only %lld have their place",
                          (long long)nx_checkpoint_n_tensors(b->cp),
                          (long long)(b->n_bound + n_ignored));
}

/* ---- The whole ---- */

static nx_status find_plan(const nx_checkpoint *cp, const nx_arch_plan **out, nx_error *err)
{
    char      known[256] = "", shown[64];
    nx_str    name;
    nx_status st = nx_meta_string(cp, "general.architecture", &name, true, err);

    if (st) return st;
    *out = nx_arch_find(name);
    if (*out) return NX_OK;
    for (const nx_arch *const *a = nx_arch_list(); *a; a++) {
        size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%s", len ? ", " : "", (*a)->name);
    }
    return nx_meta_fail(cp, "general.architecture", NX_EUNSUPPORTED, err,
                        "architecture \"%s\" is not supported (supported: %s)",
                        nx_printable(shown, sizeof shown, name), known);
}

static nx_status check_refused_keys(const nx_checkpoint *cp, const nx_arch_plan *plan,
                                    nx_error *err)
{
    char key[128];

    for (const char *const *k = plan->refused_keys; *k; k++) {
        int64_t value = 0;
        snprintf(key, sizeof key, "%s.%s", plan->arch.name, *k);
        nx_status st = nx_meta_int(cp, key, &value, INT64_MIN, INT64_MAX, false, err);
        if (st) return st;
        if (value != 0)
            return nx_meta_fail(cp, key, NX_EUNSUPPORTED, err, "%lld, not supported",
                                (long long)value);
    }
    return NX_OK;
}

static uint64_t bytes_per_token(const nx_model *m)
{
    uint64_t bytes = m->weights_bytes;

    if (m->head_tied) return bytes;
    return bytes - m->tok_embd.bytes + nx_tensor_row_bytes(&m->tok_embd);
}

nx_status nx_model_open(nx_model **out, const nx_checkpoint *cp, nx_error *err)
{
    const nx_arch_plan *plan;

    *out = NULL;
    nx_status st = find_plan(cp, &plan, err);
    if (!st) st = check_refused_keys(cp, plan, err);
    if (st) return st;
    owned_model *o = nx_calloc(1, sizeof *o);
    if (!o) return nx_fail(err, NX_ENOMEM, "model");
    o->model.arch = &plan->arch;

    binder b = {.cp = cp, .plan = plan, .m = &o->model, .arena = &o->arena, .err = err};
    st = nx_hparams_read(&o->model.hp, &plan->arch, cp, err);
    if (!st) st = bind_all(&b);
    if (!st) st = check_nothing_left(&b);
    if (st) {
        nx_model_close(&o->model);
        return st;
    }
    o->model.bytes_per_token = bytes_per_token(&o->model);
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
