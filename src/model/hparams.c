/* hparams.c - reads and checks the numbers that describe a model.
 *
 * Idea: each number gets a range here, wide enough for any model known and narrow enough that
 *       products of them can't overflow, so nobody after this file checks again.
 */
#include <math.h>
#include <stdio.h>

#include "format/printable.h"
#include "model/arch.h"

#define N_LAYERS_MAX 4096
#define N_EMBD_MAX   (1 << 20)
#define N_FF_MAX     (1 << 22)
#define N_HEADS_MAX  (1 << 14)
#define HEAD_DIM_MAX (1 << 13)
#define N_CTX_MAX    (1 << 28)

typedef struct reader {
    const nx_checkpoint *cp;
    const char          *prefix; /* "llama" */
    char                 key[128];
    nx_error            *err;
} reader;

static const char *full_key(reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->prefix, name);
    return r->key;
}

/* A whole number that is `fallback` when absent; fallback < min means that it is required. */
static nx_status read_int(reader *r, const char *name, int32_t *out, int64_t min, int64_t max,
                          int64_t fallback)
{
    int64_t   value = fallback;
    nx_status st = nx_meta_int(r->cp, full_key(r, name), &value, min, max, fallback < min, r->err);

    *out = (int32_t)value;
    return st;
}

static nx_status read_positive(reader *r, const char *name, double *out, bool required)
{
    nx_status st = nx_meta_float(r->cp, full_key(r, name), out, required, r->err);

    if (st || *out > 0) return st;
    return nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err, "%g, expected a number above 0", *out);
}

static nx_status read_heads(reader *r, nx_hparams *hp)
{
    int32_t   value_dim;
    nx_status st = read_int(r, "attention.head_count", &hp->n_heads, 1, N_HEADS_MAX, 0);

    if (!st)
        st = read_int(r, "attention.head_count_kv", &hp->n_heads_kv, 1, N_HEADS_MAX, hp->n_heads);
    if (st) return st;
    if (hp->n_heads % hp->n_heads_kv != 0)
        return nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err,
                            "%d key-value heads, expected a divisor of the %d query heads",
                            hp->n_heads_kv, hp->n_heads);

    int64_t derived = hp->n_embd % hp->n_heads == 0 ? hp->n_embd / hp->n_heads : 0;
    st = read_int(r, "attention.key_length", &hp->head_dim, 1, HEAD_DIM_MAX, derived);
    if (!st) st = read_int(r, "attention.value_length", &value_dim, 1, HEAD_DIM_MAX, hp->head_dim);
    if (st) return st;
    if (value_dim != hp->head_dim)
        return nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err,
                            "values of %d numbers a head beside keys of %d are not supported",
                            value_dim, hp->head_dim);
    return NX_OK;
}

static nx_status read_rope_scaling(reader *r, nx_hparams *hp)
{
    char      shown[64];
    nx_str    kind = NX_STR("none");
    nx_status st = nx_meta_string(r->cp, full_key(r, "rope.scaling.type"), &kind, false, r->err);

    hp->rope_scale = 1;
    if (st || nx_str_eq(kind, NX_STR("none"))) {
        /* Files older than rope.scaling.type. */
        return st ? st : read_positive(r, "rope.scale_linear", &hp->rope_scale, false);
    }
    if (nx_str_eq(kind, NX_STR("linear")))
        return read_positive(r, "rope.scaling.factor", &hp->rope_scale, true);
    return nx_meta_fail(r->cp, full_key(r, "rope.scaling.type"), NX_EUNSUPPORTED, r->err,
                        "rope scaling \"%s\" is not supported (supported: none, linear, and Llama "
                        "3's rope_freqs tensor)",
                        nx_printable(shown, sizeof shown, kind));
}

static nx_status read_rope(reader *r, nx_hparams *hp)
{
    nx_status st = read_int(r, "rope.dimension_count", &hp->n_rot, 2, HEAD_DIM_MAX, hp->head_dim);

    if (st) return st;
    if (hp->n_rot < 2 || hp->n_rot % 2 != 0 || hp->n_rot > hp->head_dim)
        return nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err,
                            "%d, expected an even number up to the head's %d", hp->n_rot,
                            hp->head_dim);
    hp->rope_base = 10000;
    st = read_positive(r, "rope.freq_base", &hp->rope_base, false);
    return st ? st : read_rope_scaling(r, hp);
}

static nx_status read_norm_eps(reader *r, nx_hparams *hp)
{
    double    eps = 0;
    nx_status st =
        nx_meta_float(r->cp, full_key(r, "attention.layer_norm_rms_epsilon"), &eps, true, r->err);

    if (!st && (eps < 0 || eps > 1))
        st = nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err, "%g, expected 0 to 1", eps);
    hp->norm_eps = (float)eps;
    return st;
}

nx_status nx_hparams_read(nx_hparams *hp, const nx_arch *arch, const nx_checkpoint *cp,
                          nx_error *err)
{
    reader           r = {.cp = cp, .prefix = arch->name, .err = err};
    const nx_tensor *embd = nx_checkpoint_tensor(cp, "token_embd.weight");

    if (!embd)
        return nx_tensor_fail(cp, "token_embd.weight", NX_EFORMAT, err,
                              "every model has it. A vocabulary without a model?");
    if (embd->ne[1] > INT32_MAX || embd->ne[2] * embd->ne[3] != 1)
        return nx_tensor_fail(cp, "token_embd.weight", NX_EFORMAT, err, "expected a matrix");
    hp->n_vocab = (int32_t)embd->ne[1];

    nx_status st = read_int(&r, "block_count", &hp->n_layers, 1, N_LAYERS_MAX, 0);
    if (!st) st = read_int(&r, "context_length", &hp->n_ctx, 1, N_CTX_MAX, 0);
    if (!st) st = read_int(&r, "embedding_length", &hp->n_embd, 1, N_EMBD_MAX, 0);
    if (!st) st = read_int(&r, "feed_forward_length", &hp->n_ff, 1, N_FF_MAX, 0);
    if (!st) st = read_norm_eps(&r, hp);
    if (!st) st = read_heads(&r, hp);
    if (!st) st = read_rope(&r, hp);
    return st;
}
