/* hparams.c - reads and checks the numbers that describe a model.
 *
 * Idea: each number gets a range here, wide enough for any model known and narrow enough that
 *       products of them can't overflow, so nobody after this file checks again.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "format/printable.h"
#include "model/arch.h"

#define N_LAYERS_MAX  4096
#define N_EMBD_MAX    (1 << 20)
#define N_FF_MAX      (1 << 22)
#define N_HEADS_MAX   (1 << 14)
#define HEAD_DIM_MAX  (1 << 13)
#define N_CTX_MAX     (1 << 28)
#define N_EXPERTS_MAX (1 << 12)
#define N_VOCAB_MAX   (1 << 26)
#define N_TYPES_MAX   (1 << 16)
#define N_BUCKETS_MAX (1 << 8) /* distances up to 128, each way */
#define N_CTX_REL_MAX (1 << 14)

static nx_status read_n_vocab(nx_key_reader *r, nx_hparams *hp)
{
    const nx_tensor *embd = nx_checkpoint_tensor(r->cp, "token_embd.weight");

    if (!embd && nx_checkpoint_n_tensors(r->cp) == 0 &&
        nx_checkpoint_meta(r->cp, nx_key_full(r, "vocab_size")))
        return nx_key_int(r, "vocab_size", &hp->n_vocab, 1, N_VOCAB_MAX, 0);
    if (!embd)
        return nx_tensor_fail(r->cp, "token_embd.weight", NX_EFORMAT, r->err,
                              "every model has it. A vocabulary without a model?");
    if (embd->ne[1] > N_VOCAB_MAX || embd->ne[2] * embd->ne[3] != 1)
        return nx_tensor_fail(r->cp, "token_embd.weight", NX_EFORMAT, r->err, "expected a matrix");
    hp->n_vocab = (int32_t)embd->ne[1];
    return NX_OK;
}

static nx_status read_heads(nx_key_reader *r, nx_hparams *hp)
{
    int32_t   value_dim;
    nx_status st = nx_key_int(r, "attention.head_count", &hp->n_heads, 1, N_HEADS_MAX, 0);

    if (!st)
        st = nx_key_int(r, "attention.head_count_kv", &hp->n_heads_kv, 1, N_HEADS_MAX, hp->n_heads);
    if (st) return st;
    if (hp->n_heads % hp->n_heads_kv != 0)
        return nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err,
                            "%d key-value heads, expected a divisor of the %d query heads",
                            hp->n_heads_kv, hp->n_heads);

    int64_t derived = hp->n_embd % hp->n_heads == 0 ? hp->n_embd / hp->n_heads : 0;
    st = nx_key_int(r, "attention.key_length", &hp->head_dim, 1, HEAD_DIM_MAX, derived);
    if (!st)
        st = nx_key_int(r, "attention.value_length", &value_dim, 1, HEAD_DIM_MAX, hp->head_dim);
    if (st) return st;
    if (value_dim != hp->head_dim)
        return nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err,
                            "values of %d numbers a head beside keys of %d are not supported",
                            value_dim, hp->head_dim);
    return NX_OK;
}

static nx_status read_norm_eps(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    double      eps = 0;
    const char *name = arch->norm == NX_NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                                 : "attention.layer_norm_epsilon";
    nx_status   st = nx_meta_float(r->cp, nx_key_full(r, name), &eps, true, r->err);

    if (!st && (eps < 0 || eps > 1))
        st = nx_meta_fail(r->cp, r->key, NX_EFORMAT, r->err, "%g, expected 0 to 1", eps);
    hp->norm_eps = (float)eps;
    return st;
}

/* Segments: as many as the table has rows, else as the file says. */
static nx_status read_types(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    static const char key[] = "tokenizer.ggml.token_type_count";
    const nx_tensor  *types = nx_checkpoint_tensor(r->cp, "token_types.weight");
    int64_t           n = types ? types->ne[1] : 2;

    if (!arch->token_types) return NX_OK;
    nx_status st = nx_meta_int(r->cp, key, &n, 0, N_TYPES_MAX, false, r->err);
    if (!st && (n < 0 || n > N_TYPES_MAX))
        st = nx_tensor_fail(r->cp, "token_types.weight", NX_EFORMAT, r->err,
                            "%lld rows, expected at most %d", (long long)n, N_TYPES_MAX);
    hp->n_types = st ? 0 : (int32_t)n;
    return st;
}

/* Half of the buckets are for each direction, and half of those for single distances. */
static nx_status read_buckets(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    static const char name[] = "attention.relative_buckets_count";

    if (!arch->rel_bias) return NX_OK;
    nx_status st = nx_key_int(r, name, &hp->n_buckets, 4, N_BUCKETS_MAX, 32);
    if (!st && hp->n_ctx > N_CTX_REL_MAX)
        st = nx_meta_fail(r->cp, nx_key_full(r, "context_length"), NX_EUNSUPPORTED, r->err,
                          "%d positions with biases by distance, at most %d are supported",
                          hp->n_ctx, N_CTX_REL_MAX);
    return st;
}

/* Pooling of kind 4: a head over what leaves the last layer. */
static nx_status read_rank(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    enum { RANK = 4 };
    int64_t   type = 0;
    nx_status st = nx_meta_int(r->cp, nx_key_full(r, "pooling_type"), &type, INT32_MIN, INT32_MAX,
                               false, r->err);

    hp->ranks = type == RANK;
    if (st || !hp->ranks || arch->rank_head) return st;
    return nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err,
                        "4 (a reranker): not supported in %s models", arch->name);
}

/* ---- Attention ---- */

/* Encoders see both ways; a decoder may have been taught to. */
static nx_status read_sight(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    bool      causal = !arch->encoder;
    nx_status st = nx_meta_bool(r->cp, nx_key_full(r, "attention.causal"), &causal, false, r->err);

    hp->both_ways = !causal;
    if (st || !arch->encoder || !causal) return st;
    return nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err,
                        "true: a %s model that generates is not supported", arch->title);
}

static nx_status read_attn_scale(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    float     scale = 0;
    nx_status st = nx_key_not_negative(r, "attention.scale", &scale);

    hp->attn_scale = 1.0f / sqrtf((float)hp->head_dim);
    if (arch->wide_scale_layers == hp->n_layers)
        hp->attn_scale = 1.0f / sqrtf((float)hp->n_embd / (float)hp->n_heads);
    if (scale > 0) hp->attn_scale = scale;
    if (!st)
        st = nx_meta_bool(r->cp, "nexus.attention_scale_by_layer", &hp->attn_scale_by_layer, false,
                          r->err);
    return st;
}

static nx_status read_attention(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    hp->attn_softcap = (float)arch->attn_softcap;
    hp->final_softcap = (float)arch->final_softcap;
    nx_status st = read_heads(r, hp);
    if (!st) st = read_sight(r, hp, arch);
    if (!st) st = read_attn_scale(r, hp, arch);
    if (!st)
        st = nx_key_int(r, "attention.sliding_window", &hp->window, 0, N_CTX_MAX, arch->window);
    /* Gemma 3 has no cap on its scores, whatever a file says: nobody applies it. */
    if (!st && arch->attn_softcap != 0)
        st = nx_key_not_negative(r, "attn_logit_softcapping", &hp->attn_softcap);
    if (!st) st = nx_key_not_negative(r, "final_logit_softcapping", &hp->final_softcap);
    return st;
}

static nx_status read_scales(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    double embd = arch->embd_scaled ? (double)sqrtf((float)hp->n_embd) : 1;
    double residual = 1, logit = 1;

    nx_status st = nx_key_positive(r, "embedding_scale", &embd, false);
    if (!st) st = nx_key_positive(r, "residual_scale", &residual, false);
    if (!st) st = nx_key_positive(r, "logit_scale", &logit, false);
    hp->embd_scale = (float)embd;
    hp->residual_scale = (float)residual;
    hp->logit_scale = (float)logit;
    return st;
}

/* ---- Feed-forward ---- */

static const char *const activation_names[] = {
    [NX_ACTIVATION_SILU] = "silu",
    [NX_ACTIVATION_GELU_TANH] = "gelu_tanh",
    [NX_ACTIVATION_GELU_ERF] = "gelu",
    [NX_ACTIVATION_RELU] = "relu",
};

#define N_ACTIVATIONS (sizeof activation_names / sizeof *activation_names)

const char *nx_activation_name(nx_activation kind)
{
    return activation_names[kind];
}

static nx_status read_activation(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    char      shown[64];
    nx_str    name = {0};
    nx_status st = nx_meta_string(r->cp, "nexus.activation", &name, false, r->err);

    hp->activation = arch->activation;
    if (st || !name.p) return st;
    for (size_t i = 0; i < N_ACTIVATIONS; i++) {
        if (!nx_str_eq(name, nx_str_of(activation_names[i]))) continue;
        hp->activation = (nx_activation)i;
        return NX_OK;
    }
    return nx_meta_fail(r->cp, "nexus.activation", NX_EUNSUPPORTED, r->err,
                        "activation \"%s\" is not supported (supported: silu, gelu, gelu_tanh, "
                        "relu)",
                        nx_printable(shown, sizeof shown, name));
}

static nx_status check_gating(nx_key_reader *r)
{
    int32_t   gating;
    nx_status st = nx_key_int(r, "expert_gating_func", &gating, 0, 1000, 0);

    if (st || gating <= 1) return st;
    return nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err,
                        "routing %d is not supported (supported: 1, softmax)", gating);
}

static nx_status read_expert_sizes(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    double    scale = 1;
    nx_status st = nx_key_int(r, "expert_used_count", &hp->n_experts_used, 1, hp->n_experts, 0);

    if (!st)
        st = nx_key_int(r, "expert_feed_forward_length", &hp->n_ff_expert, 1, N_FF_MAX, hp->n_ff);
    if (!st && arch->shared_expert)
        st = nx_key_int(r, "expert_shared_feed_forward_length", &hp->n_ff_shared, 1, N_FF_MAX,
                        hp->n_ff);
    hp->experts_normalise = arch->experts_normalise;
    if (!st)
        st = nx_meta_bool(r->cp, nx_key_full(r, "expert_weights_norm"), &hp->experts_normalise,
                          false, r->err);
    if (!st) st = nx_key_positive(r, "expert_weights_scale", &scale, false);
    hp->experts_scale = (float)scale;
    return st ? st : check_gating(r);
}

static nx_status read_experts(nx_key_reader *r, nx_hparams *hp, const nx_arch *arch)
{
    int64_t   least = arch->experts == NX_ALWAYS ? 1 : 0;
    nx_status st = nx_key_int(r, "expert_count", &hp->n_experts, least, N_EXPERTS_MAX, 0);

    if (st || hp->n_experts == 0) return st;
    if (arch->experts == NX_NEVER)
        return nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err,
                            "%d experts: not supported in %s models", hp->n_experts, arch->name);
    return read_expert_sizes(r, hp, arch);
}

/* ---- The whole ---- */

/* What these ask for isn't computed here: absent or 0. */
static nx_status check_refused(nx_key_reader *r)
{
    static const char *const ints[] = {"leading_dense_block_count", "interleave_moe_layer_step",
                                       "attention.shared_kv_layers", "expert_group_count"};
    static const char *const floats[] = {"attention.clamp_kqv", "attention.max_alibi_bias",
                                         "attention.temperature_scale",
                                         "rope.scaling.yarn_log_multiplier"};
    nx_status                st = NX_OK;

    for (size_t i = 0; !st && i < sizeof ints / sizeof *ints; i++) {
        int64_t x = 0;
        st = nx_meta_int(r->cp, nx_key_full(r, ints[i]), &x, INT64_MIN, INT64_MAX, false, r->err);
        if (!st && x != 0)
            st = nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err, "%lld, not supported",
                              (long long)x);
    }
    for (size_t i = 0; !st && i < sizeof floats / sizeof *floats; i++) {
        double x = 0;
        st = nx_meta_float(r->cp, nx_key_full(r, floats[i]), &x, false, r->err);
        if (!st && x != 0)
            st = nx_meta_fail(r->cp, r->key, NX_EUNSUPPORTED, r->err, "%g, not supported", x);
    }
    return st;
}

/* slots.c reads these where it can't fail any more. */
static nx_status check_bools(const nx_checkpoint *cp, nx_error *err)
{
    static const char *const keys[] = {"nexus.attention_bias", "nexus.ffn_bias", "nexus.head_tied"};
    nx_status                st = NX_OK;
    bool                     unused;

    for (size_t i = 0; !st && i < sizeof keys / sizeof *keys; i++)
        st = nx_meta_bool(cp, keys[i], &unused, false, err);
    return st;
}

nx_status nx_hparams_read(nx_hparams *hp, const nx_arch *arch, const nx_checkpoint *cp,
                          nx_error *err)
{
    nx_key_reader r = {.cp = cp, .prefix = arch->name, .err = err};

    *hp = (nx_hparams){.parallel = arch->parallel};
    nx_status st = read_n_vocab(&r, hp);
    if (!st) st = nx_key_int(&r, "block_count", &hp->n_layers, 1, N_LAYERS_MAX, 0);
    if (!st) st = nx_key_int(&r, "context_length", &hp->n_ctx, 1, N_CTX_MAX, 0);
    if (!st) st = nx_key_int(&r, "embedding_length", &hp->n_embd, 1, N_EMBD_MAX, 0);
    if (!st) st = nx_key_int(&r, "feed_forward_length", &hp->n_ff, 1, N_FF_MAX, 0);
    if (!st) st = read_types(&r, hp, arch);
    if (!st) st = read_buckets(&r, hp, arch);
    if (!st) st = read_rank(&r, hp, arch);
    if (!st) st = read_norm_eps(&r, hp, arch);
    if (!st) st = read_attention(&r, hp, arch);
    if (!st) st = nx_hparams_read_rope(hp, arch, cp, err);
    if (!st) st = read_scales(&r, hp, arch);
    if (!st) st = read_activation(&r, hp, arch);
    if (!st) st = read_experts(&r, hp, arch);
    if (!st && arch->parallel)
        st = nx_meta_bool(cp, nx_key_full(&r, "use_parallel_residual"), &hp->parallel, false, err);
    if (!st) st = nx_meta_bool(cp, "nexus.norm_plus_one", &hp->norm_plus_one, false, err);
    if (!st) st = check_refused(&r);
    return st ? st : check_bools(cp, err);
}

/* ---- Layers ---- */

/* An array with one bool (or 0 or 1) for each layer. *said: whether the key is there as an array. */
static nx_status read_flags(bool *flags, bool *said, const nx_checkpoint *cp, const char *key,
                            int32_t n, nx_error *err)
{
    const nx_meta *m = nx_checkpoint_meta(cp, key);

    *said = m && m->type == NX_META_ARRAY;
    if (!*said) return NX_OK;
    if (m->n != (uint64_t)n)
        return nx_meta_fail(cp, key, NX_EFORMAT, err,
                            "%lld elements, expected one for each of the "
                            "%d layers",
                            (long long)m->n, n);
    if (m->elem_type == NX_META_BOOL) {
        for (int32_t i = 0; i < n; i++) flags[i] = m->data[i] != 0;
        return NX_OK;
    }
    int64_t  *list, n_list;
    nx_status st = nx_meta_ints(cp, key, &list, &n_list, true, err);
    for (int64_t i = 0; !st && i < n_list; i++) flags[i] = list[i] != 0;
    nx_free(list);
    return st;
}

static nx_status read_sliding(bool *slides, const nx_arch *arch, const nx_hparams *hp,
                              const nx_checkpoint *cp, nx_error *err)
{
    nx_key_reader r = {.cp = cp, .prefix = arch->name, .err = err};
    bool          said;
    int32_t       every;
    nx_status     st = read_flags(
        slides, &said, cp, nx_key_full(&r, "attention.sliding_window_pattern"), hp->n_layers, err);

    if (st || said) return st;
    /* Otherwise a number: every n-th layer sees all; 0: every layer slides. */
    st = nx_key_int(&r, "attention.sliding_window_pattern", &every, 0, N_LAYERS_MAX,
                    arch->full_every);
    for (int32_t i = 0; i < hp->n_layers; i++) slides[i] = every == 0 || (i + 1) % every != 0;
    return st;
}

nx_status nx_layer_kinds_read(nx_layer_kind *kinds, const nx_arch *arch, const nx_hparams *hp,
                              const nx_checkpoint *cp, nx_error *err)
{
    static const char rope_key[] = "nexus.rope_layers", experts_key[] = "nexus.expert_layers";
    int32_t           n = hp->n_layers;
    bool              slides[N_LAYERS_MAX], ropes[N_LAYERS_MAX], experts[N_LAYERS_MAX], said;

    for (int32_t i = 0; i < n; i++) {
        ropes[i] = arch->nope_every == 0 || (i + 1) % arch->nope_every != 0;
        experts[i] = true;
    }
    nx_status st = read_sliding(slides, arch, hp, cp, err);
    if (!st) st = read_flags(ropes, &said, cp, rope_key, n, err);
    if (!st) st = read_flags(experts, &said, cp, experts_key, n, err);
    int32_t each = arch->window_halved ? hp->window / 2 + 1 : hp->window;
    for (int32_t i = 0; !st && i < n; i++) {
        bool window = slides[i] && hp->window > 0;
        bool local = window && hp->rope_base_local > 0;
        kinds[i] = (nx_layer_kind){.window = window ? each : 0,
                                   .rope = local ? NX_ROPE_LOCAL : NX_ROPE_GLOBAL,
                                   .experts = experts[i] && hp->n_experts > 0};
        if (!ropes[i] || hp->n_rot == 0) kinds[i].rope = NX_ROPE_NONE;
    }
    return st;
}
