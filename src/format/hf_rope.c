/* hf_rope.c - rotary positions: the dozen ways in which config.json says them.
 *
 * Idea: transformers 5 writes everything into rope_parameters; before, rope_scaling held the
 *       scaling and rope_theta stood beside it. rope_scaling wins where both are there, and what
 *       the inner object lacks is looked for outside, as transformers does.
 */
#include "format/hf_reader.h"

#include <math.h>
#include <string.h>

#include "format/printable.h"

enum { ORIGINAL_CTX_DEFAULT_PHI3 = 4096 };

typedef struct rope {
    const nx_json *from; /* the object with the scaling, or NULL */
    double         theta;
    int64_t        n_rot;  /* as the frequencies count it: may be odd */
    double         factor; /* 0: not given */
    int64_t        original_ctx;
} rope;

static bool empty(const nx_json *v)
{
    return nx_json_absent(v) || (v->type == NX_JSON_OBJECT && v->object.n == 0);
}

/* The object that describes the rope of layers with full attention. */
static const nx_json *scaling_object(nx_hf_reader *r)
{
    const nx_json *v = nx_json_get(r->root, "rope_scaling");
    const char    *field = "rope_scaling";

    if (empty(v)) {
        v = nx_json_get(r->root, "rope_parameters");
        field = "rope_parameters";
    }
    if (empty(v)) return NULL;
    if (v->type != NX_JSON_OBJECT) {
        nx_hf_refuse(r, NX_EFORMAT, field, "%s in line %u, expected an object",
                     nx_json_type_name(v), v->line);
        return NULL;
    }
    const nx_json *nested = nx_json_get(v, "full_attention");
    if (!nested && !nx_json_get(v, "sliding_attention")) return v;
    if (!(r->arch->traits & NX_HF_TWO_ROPES))
        nx_hf_refuse(r, NX_EUNSUPPORTED, field, "one for each kind of layer, which a %s has not",
                     r->arch->model_type);
    return nested;
}

static void read_theta(nx_hf_reader *r, rope *p)
{
    bool        base = (r->arch->traits & (NX_HF_NEOX | NX_HF_NOMIC)) != 0;
    const char *outer = base                             ? "rotary_emb_base"
                        : r->arch->traits & NX_HF_MODERN ? "global_rope_theta"
                                                         : "rope_theta";

    p->theta = nx_hf_number(r, r->root, outer, r->arch->theta);
    p->theta = nx_hf_number(r, p->from, "rope_theta", p->theta);
    if (!(p->theta > 0))
        nx_hf_refuse(r, NX_EFORMAT, "rope_theta", "%g, expected above 0", p->theta);
    nx_hf_put_f32(r, "rope.freq_base",
                  r->arch->traits & NX_HF_NEOX ? "rope_parameters|rotary_emb_base"
                                               : "rope_theta|rope_parameters",
                  p->theta);
}

static void read_dimensions(nx_hf_reader *r, rope *p, bool scaled)
{
    const char *outer = r->arch->traits & NX_HF_NEOX ? "rotary_pct" : "partial_rotary_factor";
    double      part = nx_hf_number(r, r->root, outer, r->arch->partial);

    part = nx_hf_number(r, p->from, "partial_rotary_factor", part);
    if (!(r->arch->traits & NX_HF_PARTIAL)) {
        /* Other classes rotate whole heads, whatever it says; only scaled ropes would heed it. */
        if (scaled && part != 0 && part != 1)
            nx_hf_refuse(r, NX_EUNSUPPORTED, "partial_rotary_factor", "%g in a %s, expected 1",
                         part, r->arch->model_type);
        part = 1;
    }
    if (!(part > 0 && part <= 1))
        nx_hf_refuse(r, NX_EFORMAT, outer, "%g, expected above 0 and up to 1", part);
    if (r->st) return;
    p->n_rot = (int64_t)((double)r->head_dim * part);
    if (p->n_rot < 1)
        nx_hf_refuse(r, NX_EFORMAT, outer, "%g of heads of %lld leaves nothing to rotate", part,
                     (long long)r->head_dim);
    nx_hf_put_u32(r, "rope.dimension_count", "rope_parameters|partial_rotary_factor|rotary_pct",
                  p->n_rot + p->n_rot % 2);
    if (p->n_rot % 2)
        nx_hf_put_u32(r, "nexus.rope_freq_dims", "partial_rotary_factor|rotary_pct", p->n_rot);
}

static double read_factor(nx_hf_reader *r, const rope *p, bool required)
{
    double x = nx_hf_number(r, p->from, "factor", 0);

    if (!nx_json_absent(nx_json_get(p->from, "factor")) ? !(x > 0) : required)
        nx_hf_refuse(r, NX_EFORMAT, "rope scaling: factor", "%g, expected a number above 0", x);
    return x;
}

/* The context before it was stretched. What stands outside counts first. */
static int64_t read_original_ctx(nx_hf_reader *r, const rope *p)
{
    static const char field[] = "original_max_position_embeddings";
    const int64_t     max = 1 << 28;
    int64_t           n = strcmp(r->arch->model_type, "phi3") == 0 ? ORIGINAL_CTX_DEFAULT_PHI3 : 0;

    n = nx_hf_int(r, r->root, field, n, 1, max);
    if (n == 0) n = nx_hf_int(r, p->from, field, 0, 1, max);
    return n ? n : r->n_ctx;
}

/* ---- The kinds ---- */

static void put_linear(nx_hf_reader *r, rope *p)
{
    double factor = read_factor(r, p, true);

    nx_hf_put_string(r, "rope.scaling.type", "rope_scaling|rope_parameters", "linear");
    nx_hf_put_f32(r, "rope.scaling.factor", "rope_scaling|rope_parameters", factor);
}

static void put_dynamic(nx_hf_reader *r, rope *p)
{
    nx_hf_put_f32(r, "nexus.rope_dynamic_factor", "rope_scaling|rope_parameters",
                  read_factor(r, p, true));
}

static float *new_factors(nx_hf_reader *r, int slot, const char *name, int64_t n)
{
    float *x = r->st ? NULL : nx_arena_alloc(&r->out->arena, (size_t)n, sizeof *x);

    if (!x) {
        nx_hf_refuse(r, NX_ENOMEM, "rope_scaling", "out of memory for %lld factors", (long long)n);
        return NULL;
    }
    r->out->factors[slot] = (nx_hf_factors){.name = name, .values = x, .n = (int32_t)n};
    return x;
}

/* Llama 3.1: low frequencies are divided by `factor`, high ones stay, between them it slides. What
 * each frequency is divided by becomes the tensor rope_freqs.weight, as in GGUF. */
static void put_llama3(nx_hf_reader *r, rope *p)
{
    double factor = read_factor(r, p, true);
    double low = nx_hf_number(r, p->from, "low_freq_factor", 1);
    double high = nx_hf_number(r, p->from, "high_freq_factor", 4);
    double ctx = (double)read_original_ctx(r, p);

    if (!(low > 0) || !(high > 0))
        nx_hf_refuse(r, NX_EFORMAT, "rope scaling: low_freq_factor, high_freq_factor",
                     "%g and %g, expected above 0", low, high);
    int64_t n = (p->n_rot + 1) / 2;
    float  *x = new_factors(r, 0, "rope_freqs.weight", n);
    for (int64_t i = 0; x && i < n; i++) {
        double freq = 1.0 / pow(p->theta, (double)(2 * i) / (double)p->n_rot);
        double wavelength = 2 * 3.14159265358979323846 / freq;
        double smooth = (ctx / wavelength - low) / (high - low);
        if (wavelength < ctx / high)
            x[i] = 1;
        else if (wavelength > ctx / low)
            x[i] = (float)factor;
        else
            x[i] = (float)(1 / ((1 - smooth) / factor + smooth));
    }
}

static double yarn_scale(double factor, double m)
{
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

static void put_yarn(nx_hf_reader *r, rope *p)
{
    int64_t ctx = read_original_ctx(r, p);
    double  factor = read_factor(r, p, false);

    if (factor == 0) factor = (double)r->n_ctx / (double)ctx;
    double m = nx_hf_number(r, p->from, "mscale", 0);
    double m_all = nx_hf_number(r, p->from, "mscale_all_dim", 0);
    double a = m != 0 && m_all != 0 ? yarn_scale(factor, m) / yarn_scale(factor, m_all)
                                    : yarn_scale(factor, 1);
    a = nx_hf_number(r, p->from, "attention_factor", a);
    double fast = nx_hf_number(r, p->from, "beta_fast", 32);
    double slow = nx_hf_number(r, p->from, "beta_slow", 1);
    bool   truncate = nx_hf_bool(r, p->from, "truncate", true);

    nx_hf_put_string(r, "rope.scaling.type", "rope_scaling|rope_parameters", "yarn");
    nx_hf_put_f32(r, "rope.scaling.factor", "rope_scaling|rope_parameters", factor);
    nx_hf_put_u32(r, "rope.scaling.original_context_length", "rope_scaling|rope_parameters", ctx);
    nx_hf_put_f32(r, "rope.scaling.yarn_beta_fast", "rope_scaling|rope_parameters",
                  fast != 0 ? fast : 32);
    nx_hf_put_f32(r, "rope.scaling.yarn_beta_slow", "rope_scaling|rope_parameters",
                  slow != 0 ? slow : 1);
    nx_hf_put_f32(r, "rope.scaling.attn_factor", "rope_scaling|rope_parameters",
                  a / (1 + 0.1 * log(factor)));
    if (!truncate)
        nx_hf_put_bool(r, "nexus.rope_yarn_truncate", "rope_scaling|rope_parameters", false);
}

static void take_factors(nx_hf_reader *r, const rope *p, int slot, const char *name,
                         const char *field)
{
    const nx_json *v = nx_json_get(p->from, field);
    int64_t        n = (p->n_rot + 1) / 2;

    if (!v || v->type != NX_JSON_ARRAY || v->array.n != (size_t)n) {
        nx_hf_refuse(r, NX_EFORMAT, field, "%s%s, expected an array of %lld numbers",
                     nx_json_type_name(v),
                     v && v->type == NX_JSON_ARRAY ? " of another length" : "", (long long)n);
        return;
    }
    float *x = new_factors(r, slot, name, n);
    for (int64_t i = 0; x && i < n; i++) {
        double value;
        if (!nx_json_number(&v->array.items[i], &value) || !(value > 0) || value > 1e30)
            nx_hf_refuse(r, NX_EFORMAT, field, "element %lld in line %u: expected a number above 0",
                         (long long)i, v->array.items[i].line);
        else
            x[i] = (float)value;
    }
}

static void put_longrope(nx_hf_reader *r, rope *p)
{
    int64_t ctx = read_original_ctx(r, p);
    double  factor = read_factor(r, p, false);

    if (factor == 0) factor = (double)r->n_ctx / (double)ctx;
    double a = factor <= 1 ? 1 : sqrt(1 + log(factor) / log((double)ctx));
    a = nx_hf_number(r, p->from, "attention_factor", a);
    take_factors(r, p, 0, "rope_factors_short.weight", "short_factor");
    take_factors(r, p, 1, "rope_factors_long.weight", "long_factor");
    nx_hf_put_u32(r, "rope.scaling.original_context_length",
                  "original_max_position_embeddings|rope_scaling|rope_parameters", ctx);
    nx_hf_put_f32(r, "rope.scaling.attn_factor", "rope_scaling|rope_parameters", a);
}

typedef struct kind {
    const char *name;
    void (*put)(nx_hf_reader *r, rope *p); /* NULL: nothing to say */
} kind;

static const kind kinds[] = {{"default", NULL},        {"linear", put_linear},
                             {"dynamic", put_dynamic}, {"llama3", put_llama3},
                             {"yarn", put_yarn},       {"longrope", put_longrope},
                             {"su", put_longrope},     {NULL, NULL}};

static const kind *find_kind(nx_hf_reader *r, const nx_json *from)
{
    const char    *field;
    const nx_json *v = nx_hf_field(r, from, "rope_type|type", &field);
    char           shown[48];

    if (!v) return &kinds[0];
    if (v->type != NX_JSON_STRING) {
        nx_hf_refuse(r, NX_EFORMAT, field, "%s, expected a string", nx_json_type_name(v));
        return &kinds[0];
    }
    if (strcmp(r->arch->model_type, "phi3") == 0 && nx_json_is(v, "yarn")) return &kinds[5];
    for (const kind *k = kinds; k->name; k++)
        if (nx_json_is(v, k->name)) return k;
    nx_hf_refuse(r, NX_EUNSUPPORTED, field,
                 "\"%s\" in line %u, expected one of default, linear, dynamic, llama3, yarn, "
                 "longrope",
                 nx_printable(shown, sizeof shown, v->text), v->line);
    return &kinds[0];
}

/* Gemma 3, ModernBERT: layers with a window turn at a pace of their own, unscaled. */
static void read_second_rope(nx_hf_reader *r)
{
    bool           modern = (r->arch->traits & NX_HF_MODERN) != 0;
    const char    *field = modern ? "local_rope_theta" : "rope_local_base_freq";
    const nx_json *both = nx_json_get(r->root, "rope_parameters");
    const nx_json *own = nx_json_get(both, "sliding_attention");
    double         theta = nx_hf_number(r, r->root, field, 10000);
    const char    *name;
    const nx_json *type = nx_hf_field(r, own, "rope_type|type", &name);

    theta = nx_hf_number(r, own, "rope_theta", theta);
    if (type && !nx_json_is(type, "default"))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "rope_parameters: sliding_attention",
                     "scaled rope in line %u, expected the default", type->line);
    if (!(theta > 0)) nx_hf_refuse(r, NX_EFORMAT, field, "%g, expected above 0", theta);
    nx_hf_put_f32(r, "rope.freq_base_swa",
                  modern ? "rope_parameters|local_rope_theta"
                         : "rope_parameters|rope_local_base_freq",
                  theta);
}

void nx_hf_read_rope(nx_hf_reader *r)
{
    rope p = {0};

    if (r->arch->traits & NX_HF_NO_ROPE) return;
    p.from = scaling_object(r);
    const kind *k = find_kind(r, p.from);
    read_theta(r, &p);
    read_dimensions(r, &p, k->put != NULL);
    if (!r->st && k->put) k->put(r, &p);
    if (r->arch->traits & NX_HF_TWO_ROPES) read_second_rope(r);
    if (r->arch->traits & NX_HF_HALVES) nx_hf_put_bool(r, "nexus.rope_halves", "model_type", true);
}
