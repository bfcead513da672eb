/* hparams_rope.c - reads how a model marks positions: the size of the rotated part, its base, and
 * what stretches the angles. */
#include <math.h>

#include "format/printable.h"
#include "model/arch.h"

const char *nx_rope_scaling_name(nx_rope_scaling scaling)
{
    static const char *const names[] = {"none", "linear", "yarn", "longrope", "dynamic"};

    return names[scaling];
}

static nx_status fail_kind(nx_key_reader *r, nx_str kind)
{
    char shown[64];

    return nx_meta_fail(r->cp, nx_key_full(r, "rope.scaling.type"), NX_EUNSUPPORTED, r->err,
                        "rope scaling \"%s\" is not supported (supported: none, linear, yarn, "
                        "longrope, and Llama 3's rope_freqs tensor)",
                        nx_printable(shown, sizeof shown, kind));
}

static nx_status read_yarn(nx_key_reader *r, nx_hparams *hp)
{
    hp->yarn_beta_fast = 32;
    hp->yarn_beta_slow = 1;
    hp->yarn_truncate = true;
    nx_status st = nx_key_positive(r, "rope.scaling.factor", &hp->rope_scale, true);
    if (!st) st = nx_key_positive(r, "rope.scaling.yarn_beta_fast", &hp->yarn_beta_fast, false);
    if (!st) st = nx_key_positive(r, "rope.scaling.yarn_beta_slow", &hp->yarn_beta_slow, false);
    if (!st)
        st = nx_meta_bool(r->cp, "nexus.rope_yarn_truncate", &hp->yarn_truncate, false, r->err);
    if (hp->rope_scale > 1) hp->rope_magnitude = 0.1 * log(hp->rope_scale) + 1;
    return st;
}

/* The kind that the file names, with its factor. */
static nx_status read_scaling(nx_key_reader *r, nx_hparams *hp)
{
    nx_str    kind = NX_STR("none");
    nx_status st = nx_meta_string(r->cp, nx_key_full(r, "rope.scaling.type"), &kind, false, r->err);

    if (st) return st;
    if (nx_checkpoint_tensor(r->cp, "rope_factors_long.weight") ||
        nx_str_eq(kind, NX_STR("longrope"))) {
        hp->rope_scaling = NX_ROPE_SCALING_LONGROPE;
        return NX_OK;
    }
    if (nx_str_eq(kind, NX_STR("none"))) {
        /* Files older than rope.scaling.type. */
        st = nx_key_positive(r, "rope.scale_linear", &hp->rope_scale, false);
        if (hp->rope_scale != 1) hp->rope_scaling = NX_ROPE_SCALING_LINEAR;
        return st;
    }
    if (nx_str_eq(kind, NX_STR("linear"))) {
        hp->rope_scaling = NX_ROPE_SCALING_LINEAR;
        return nx_key_positive(r, "rope.scaling.factor", &hp->rope_scale, true);
    }
    if (!nx_str_eq(kind, NX_STR("yarn"))) return fail_kind(r, kind);
    hp->rope_scaling = NX_ROPE_SCALING_YARN;
    return read_yarn(r, hp);
}

/* Our own key: GGUF has no word for a base that grows with the text. */
static nx_status read_dynamic(nx_key_reader *r, nx_hparams *hp)
{
    static const char key[] = "nexus.rope_dynamic_factor";
    double            factor = 0;
    nx_status         st = nx_meta_float(r->cp, key, &factor, false, r->err);

    if (st || !nx_checkpoint_meta(r->cp, key)) return st;
    if (!(factor >= 1 && factor < 65536))
        return nx_meta_fail(r->cp, key, NX_EFORMAT, r->err, "%g, expected 1 to 65535", factor);
    if (hp->n_rot < 4)
        return nx_meta_fail(r->cp, key, NX_EUNSUPPORTED, r->err,
                            "with %d rotated values of a head, expected 4 or more", hp->n_rot);
    hp->rope_scaling = NX_ROPE_SCALING_DYNAMIC;
    hp->rope_scale = factor;
    hp->rope_ctx_original = hp->n_ctx;
    double longest = (double)hp->n_ctx * factor;
    hp->n_ctx = longest < INT32_MAX / 4 ? (int32_t)longest : INT32_MAX / 4;
    return NX_OK;
}

static nx_status read_dims(nx_key_reader *r, nx_hparams *hp)
{
    nx_status st = nx_key_int(r, "rope.dimension_count", &hp->n_rot, 2, hp->head_dim, hp->head_dim);

    if (st) return st;
    if (hp->n_rot < 2 || hp->n_rot % 2 != 0)
        return nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err,
                            "%d, expected an even number up to the head's %d", hp->n_rot,
                            hp->head_dim);
    nx_key_reader own = {.cp = r->cp, .prefix = "nexus", .err = r->err};
    return nx_key_int(&own, "rope_freq_dims", &hp->n_freq_dims, hp->n_rot - 1, hp->n_rot,
                      hp->n_rot);
}

static nx_status read_bases(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    hp->rope_base = 10000;
    nx_status st = nx_key_positive(r, "rope.freq_base", &hp->rope_base, false);
    hp->rope_base_local = arch->rope_base_local;
    if (!st && (arch->rope_base_local > 0 ||
                nx_checkpoint_meta(r->cp, nx_key_full(r, "rope.freq_base_swa")))) {
        if (arch->rope_base_local <= 0) hp->rope_base_local = hp->rope_base;
        st = nx_key_positive(r, "rope.freq_base_swa", &hp->rope_base_local, false);
    }
    return st;
}

nx_status nx_hparams_read_rope(nx_hparams *hp, const nx_arch *arch, const nx_checkpoint *cp,
                               nx_error *err)
{
    nx_key_reader r = {.cp = cp, .prefix = arch->name, .err = err};
    double        magnitude = 1;
    bool          halves = false;

    hp->rope_scale = hp->rope_magnitude = 1;
    hp->rope_kind = arch->rope_kind;
    if (arch->positions) return NX_OK;
    nx_status st = nx_meta_bool(cp, "nexus.rope_halves", &halves, false, err);
    if (halves) hp->rope_kind = NX_ROPE_HALVES;
    if (!st) st = read_dims(&r, hp);
    if (!st) st = read_bases(&r, hp, arch);
    if (!st)
        st = nx_key_int(&r, "rope.scaling.original_context_length", &hp->rope_ctx_original, 1,
                        INT32_MAX, hp->n_ctx);
    if (!st) st = read_scaling(&r, hp);
    if (!st) st = nx_key_positive(&r, "rope.scaling.attn_factor", &magnitude, false);
    hp->rope_magnitude *= magnitude;
    return st ? st : read_dynamic(&r, hp);
}
