/* hf_config.c - a config.json in GGUF's words: sizes, norms, biases, windows, experts. */
#include "format/hf_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "format/hf_reader.h"
#include "format/hf_sentence.h"
#include "format/printable.h"

enum {
    GGUF_BYTES_MAX = 1 << 20,
    SIZE_MAX_ANY = 1 << 24, /* sides of matrices */
    VOCAB_MAX = 1 << 28,
    TYPES_MAX = 1 << 16,
    BUCKETS_MAX = 1 << 8,
    CTX_MAX = 1 << 28,
    HEADS_MAX = 1 << 14,
    EXPERTS_MAX = 1 << 16,
};

/* ---- Which architecture ---- */

static void refuse_arch(nx_hf_reader *r, const char *field, nx_str found)
{
    char   known[512] = "", shown[64];
    size_t len = 0;

    for (int i = 0; nx_hf_arch_at(i) && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "",
                                nx_hf_arch_at(i)->model_type);
    nx_hf_refuse(r, NX_EUNSUPPORTED, field, "\"%s\" is not supported (supported: %s)",
                 nx_printable(shown, sizeof shown, found), known);
}

#define CLASSIFIES "ForSequenceClassification"

bool nx_hf_config_ranks(const nx_json *root)
{
    const nx_json *list = nx_json_get(root, "architectures");
    const size_t   n = sizeof CLASSIFIES - 1;

    for (size_t i = 0; list && list->type == NX_JSON_ARRAY && i < list->array.n; i++) {
        const nx_json *name = &list->array.items[i];
        if (name->type == NX_JSON_STRING && name->text.len > n &&
            memcmp(name->text.p + name->text.len - n, CLASSIFIES, n) == 0)
            return true;
    }
    return false;
}

/* "LlamaForCausalLM", "LlamaModel", "GPT2LMHeadModel" for the stem "Llama" or "GPT2". */
static bool class_fits(nx_str name, const char *stem)
{
    static const char *const ends[] = {
        "ForCausalLM", "LMHeadModel",    "Model",   "TextModel", "ForConditionalGeneration",
        "ForMaskedLM", "ForPreTraining", CLASSIFIES};
    size_t n = strlen(stem);

    if (name.len < n || memcmp(name.p, stem, n) != 0) return false;
    nx_str rest = {name.p + n, name.len - n};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (nx_str_eq(rest, nx_str_of(ends[i]))) return true;
    return false;
}

/* Others than encoders have such classes, too: not ours. */
static bool is_known_class(nx_str name, const nx_hf_arch *a)
{
    const size_t n = sizeof CLASSIFIES - 1;
    bool         ranks = name.len > n && memcmp(name.p + name.len - n, CLASSIFIES, n) == 0;

    return class_fits(name, a->stem) && (!ranks || (a->traits & NX_HF_RANKS));
}

static const nx_hf_arch *arch_of_class(nx_str name)
{
    for (int i = 0; nx_hf_arch_at(i); i++)
        if (is_known_class(name, nx_hf_arch_at(i))) return nx_hf_arch_at(i);
    return NULL;
}

/* A class beside model_type must be a causal language model of it. */
static void check_class(nx_hf_reader *r, const nx_json *list)
{
    if (nx_json_absent(list)) return;
    if (list->type != NX_JSON_ARRAY) {
        nx_hf_refuse(r, NX_EFORMAT, "architectures", "%s in line %u, expected an array",
                     nx_json_type_name(list), list->line);
        return;
    }
    for (size_t i = 0; i < list->array.n; i++) {
        const nx_json *name = &list->array.items[i];
        if (name->type != NX_JSON_STRING || !is_known_class(name->text, r->arch))
            refuse_arch(r, "architectures",
                        name->type == NX_JSON_STRING ? name->text : NX_STR("?"));
    }
}

static void find_arch(nx_hf_reader *r)
{
    const nx_json *list = nx_json_get(r->root, "architectures");
    const nx_json *first =
        list && list->type == NX_JSON_ARRAY && list->array.n ? &list->array.items[0] : NULL;
    nx_str type, name = {NULL, 0};

    if (nx_json_get_string(r->root, "model_type", &type)) {
        r->arch = nx_hf_arch_find(type);
        if (!r->arch) refuse_arch(r, "model_type", type);
    } else {
        if (first && first->type == NX_JSON_STRING) name = first->text;
        r->arch = arch_of_class(name);
        if (!r->arch) refuse_arch(r, "model_type missing, architectures", name);
    }
    if (r->arch) check_class(r, list);
    r->out->arch = r->arch;
}

/* Gemma 3 that sees keeps its text half's fields in text_config. */
static void find_text(nx_hf_reader *r)
{
    const nx_json *text = nx_json_get(r->root, "text_config");

    if (!(r->arch->traits & NX_HF_TWO_ROPES) || nx_json_absent(text)) return;
    if (text->type != NX_JSON_OBJECT)
        nx_hf_refuse(r, NX_EFORMAT, "text_config", "%s in line %u, expected an object",
                     nx_json_type_name(text), text->line);
    r->root = text;
}

/* ---- Quantisation ---- */

static void read_quantisation(nx_hf_reader *r, const nx_json *root)
{
    const nx_json *q = nx_json_get(root, "quantization_config");
    char           shown[48];
    nx_str         method = NX_STR("nothing");

    if (nx_json_absent(q)) return;
    (void)nx_json_get_string(q, "quant_method", &method);
    bool four = nx_hf_bool(r, q, "load_in_4bit|_load_in_4bit", false);
    bool eight = nx_hf_bool(r, q, "load_in_8bit|_load_in_8bit", false);
    /* Early checkpoints of bitsandbytes name no method. */
    if (!nx_str_eq(method, NX_STR("bitsandbytes")) &&
        !(nx_str_eq(method, NX_STR("nothing")) && (four || eight)))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "quantization_config: quant_method",
                     "\"%s\" is not supported (supported: bitsandbytes)",
                     nx_printable(shown, sizeof shown, method));
    if (four == eight)
        nx_hf_refuse(r, NX_EFORMAT, "quantization_config",
                     "load_in_4bit and load_in_8bit are both %s, expected one of them",
                     four ? "true" : "false");
    r->out->quant = four ? NX_HF_QUANT_BNB4 : NX_HF_QUANT_BNB8;
    double threshold = 6;
    (void)nx_json_get_number(q, "llm_int8_threshold", &threshold);
    if (!(threshold >= 0 && threshold < 1e30))
        nx_hf_refuse(r, NX_EFORMAT, "quantization_config: llm_int8_threshold",
                     "%g, expected 0 or more", threshold);
    r->out->int8_threshold = (float)threshold;
}

/* ---- Sizes ---- */

static void read_activation(nx_hf_reader *r)
{
    static const char *const table[][2] = {
        {"silu", "silu"},           {"swish", "silu"},         {"gelu", "gelu"},
        {"gelu_python", "gelu"},    {"gelu_new", "gelu_tanh"}, {"gelu_pytorch_tanh", "gelu_tanh"},
        {"gelu_fast", "gelu_tanh"}, {"relu", "relu"},
    };
    /* Gemma's old hidden_act said something else than was computed: hidden_activation counts. */
    const char    *fields = r->arch->traits & (NX_HF_GEMMA | NX_HF_MODERN) ? "hidden_activation"
                            : r->arch->traits & NX_HF_GPT2                 ? "activation_function"
                                                                           : "hidden_act";
    const char    *name;
    const nx_json *v = nx_hf_field(r, r->root, fields, &name);
    nx_str         found = nx_str_of(r->arch->activation);
    char           shown[48];

    if (v && v->type == NX_JSON_STRING) found = v->text;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!nx_str_eq(found, nx_str_of(table[i][0]))) continue;
        nx_hf_put_string(r, "nexus.activation", fields, table[i][1]);
        return;
    }
    nx_hf_refuse(r, NX_EUNSUPPORTED, name, "\"%s\", expected one of silu, gelu, gelu_new, relu",
                 nx_printable(shown, sizeof shown, found));
}

static void read_heads(nx_hf_reader *r)
{
    const nx_hf_arch *a = r->arch;
    const char       *kv_field = "num_key_value_heads";
    bool              fixed = (a->traits & (NX_HF_GPT2 | NX_HF_NEOX)) != 0;
    const nx_json    *kv = nx_json_get(r->root, kv_field);
    int64_t           n_kv, derived;

    r->n_heads = nx_hf_int(r, r->root, "num_attention_heads|n_head", a->heads, 1, HEADS_MAX);
    /* Absent: what the class says. null: as many as heads. */
    n_kv = !kv && a->heads_kv ? a->heads_kv : r->n_heads;
    if (!fixed) n_kv = nx_hf_int(r, r->root, kv_field, n_kv, 1, HEADS_MAX);
    if (!r->st && (n_kv > r->n_heads || r->n_heads % n_kv != 0))
        nx_hf_refuse(r, NX_EFORMAT, kv_field, "%lld, expected a divisor of the %lld heads",
                     (long long)n_kv, (long long)r->n_heads);
    derived = a->head_dim ? a->head_dim : r->n_embd / r->n_heads;
    r->head_dim = fixed ? derived : nx_hf_int(r, r->root, "head_dim", derived, 1, 1 << 13);
    if (!r->st && r->head_dim < 1)
        nx_hf_refuse(r, NX_EFORMAT, "hidden_size", "%lld for %lld heads", (long long)r->n_embd,
                     (long long)r->n_heads);
    if (!r->st && fixed && r->n_embd % r->n_heads != 0)
        nx_hf_refuse(r, NX_EFORMAT, "hidden_size", "%lld, expected a multiple of %lld heads",
                     (long long)r->n_embd, (long long)r->n_heads);
    nx_hf_put_u32(r, "attention.head_count", "num_attention_heads|n_head", r->n_heads);
    nx_hf_put_u32(r, "attention.head_count_kv", kv_field, n_kv);
    nx_hf_put_u32(r, "attention.key_length", "head_dim", r->head_dim);
    nx_hf_put_u32(r, "attention.value_length", "head_dim", r->head_dim);
}

/* RoBERTa's children count positions from behind the id of padding. */
static int32_t position0(nx_hf_reader *r)
{
    if (r->arch->traits & NX_HF_MPNET) return 2;
    if (!(r->arch->traits & NX_HF_ROBERTA)) return 0;
    return (int32_t)nx_hf_int(r, r->root, "pad_token_id", 1, 0, 1 << 20) + 1;
}

static void read_sizes(nx_hf_reader *r)
{
    const nx_hf_arch *a = r->arch;
    int64_t           vocab = nx_hf_int(r, r->root, "vocab_size", a->vocab, 1, VOCAB_MAX);

    r->n_layers =
        nx_hf_int(r, r->root, "num_hidden_layers|n_layer", a->layers, 1, NX_HF_LAYERS_MAX);
    r->n_ctx = nx_hf_int(r, r->root, "max_position_embeddings|n_positions", a->ctx, 1, CTX_MAX);
    r->n_embd = nx_hf_int(r, r->root, "hidden_size|n_embd", a->embd, 1, SIZE_MAX_ANY);
    int64_t ff = nx_hf_int(r, r->root, "intermediate_size|n_inner", a->ff ? a->ff : 4 * r->n_embd,
                           1, SIZE_MAX_ANY);
    nx_hf_put_u32(r, "vocab_size", "vocab_size", vocab);
    nx_hf_put_u32(r, "block_count", "num_hidden_layers|n_layer", r->n_layers);
    r->out->position0 = position0(r);
    if (!r->st && r->n_ctx <= r->out->position0)
        nx_hf_refuse(r, NX_EFORMAT, "max_position_embeddings", "%lld, expected more than %d",
                     (long long)r->n_ctx, r->out->position0);
    r->n_ctx -= r->out->position0;
    nx_hf_put_u32(r, "context_length", "max_position_embeddings|n_positions", r->n_ctx);
    nx_hf_put_u32(r, "embedding_length", "hidden_size|n_embd", r->n_embd);
    nx_hf_put_u32(r, "feed_forward_length", "intermediate_size|n_inner", ff);
    read_heads(r);
    read_activation(r);
}

static void read_norms(nx_hf_reader *r)
{
    bool        layer_norm = (r->arch->traits & NX_HF_LAYER_NORM) != 0;
    const char *fields =
        layer_norm ? "layer_norm_epsilon|layer_norm_eps|norm_epsilon|norm_eps" : "rms_norm_eps";
    double eps = nx_hf_number(r, r->root, fields, r->arch->eps);

    nx_hf_put_f32(r,
                  layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
                  fields, eps);
}

static void put_bias(nx_hf_reader *r, const char *key, const char *field, bool fallback)
{
    if (!field) return;
    bool on = *field ? nx_hf_bool(r, r->root, field, fallback) : false;
    nx_hf_put_bool(r, key, *field ? field : "model_type", on);
}

/* ---- Windows ---- */

/* Does layer i slide, where config.json gives no layer_types? */
static bool slides(const nx_hf_reader *r, int64_t i, int64_t limit, const bool *ropes)
{
    switch (r->arch->window_rule) {
    case NX_HF_WINDOW_ALL:
    case NX_HF_WINDOW_SWITCHED: return true;
    case NX_HF_WINDOW_UPPER: return i >= limit;
    case NX_HF_WINDOW_EVEN_LOWER: return i % 2 == 0 && i < limit;
    case NX_HF_WINDOW_EVEN: return i % 2 == 0;
    case NX_HF_WINDOW_PATTERN: return (i + 1) % limit != 0;
    case NX_HF_WINDOW_LOCAL: return i % limit != 0;
    case NX_HF_WINDOW_NO_ROPE: return !ropes[i];
    case NX_HF_WINDOW_NEVER: break;
    }
    return false;
}

static void take_layer_types(nx_hf_reader *r, const nx_json *list, bool *slide)
{
    if (list->type != NX_JSON_ARRAY || list->array.n != (size_t)r->n_layers) {
        nx_hf_refuse(r, NX_EFORMAT, "layer_types", "line %u: expected an array of %lld", list->line,
                     (long long)r->n_layers);
        return;
    }
    for (int64_t i = 0; i < r->n_layers; i++) {
        const nx_json *v = &list->array.items[i];
        slide[i] = nx_json_is(v, "sliding_attention");
        if (!slide[i] && !nx_json_is(v, "full_attention"))
            nx_hf_refuse(r, NX_EUNSUPPORTED, "layer_types",
                         "element %lld in line %u, expected full_attention or sliding_attention",
                         (long long)i, v->line);
    }
}

static bool window_switched_on(nx_hf_reader *r)
{
    switch (r->arch->window_rule) {
    case NX_HF_WINDOW_NEVER: return false;
    case NX_HF_WINDOW_SWITCHED:
    case NX_HF_WINDOW_UPPER:
    case NX_HF_WINDOW_EVEN_LOWER:
    case NX_HF_WINDOW_NO_ROPE: return nx_hf_bool(r, r->root, "use_sliding_window", false);
    default: return true;
    }
}

static void read_window(nx_hf_reader *r, const bool *ropes)
{
    bool           local = r->arch->window_rule == NX_HF_WINDOW_LOCAL;
    const char    *field = local ? "local_attention" : "sliding_window";
    const nx_json *given = nx_json_get(r->root, field);
    const nx_json *types = nx_json_get(r->root, "layer_types");
    bool           listed = r->arch->window_rule != NX_HF_WINDOW_ALL &&
                  r->arch->window_rule != NX_HF_WINDOW_SWITCHED && !nx_json_absent(types);
    bool slide[NX_HF_LAYERS_MAX] = {false}, any = false;

    if (!window_switched_on(r) || r->st) return;
    /* Absent: the class's. null: none. */
    int64_t window = given ? nx_hf_int(r, r->root, field, 0, 0, INT32_MAX) : r->arch->window;
    bool    pattern = r->arch->window_rule == NX_HF_WINDOW_PATTERN;
    int64_t limit = pattern
                        ? nx_hf_int(r, r->root, "sliding_window_pattern|_sliding_window_pattern", 6,
                                    1, NX_HF_LAYERS_MAX)
                        : nx_hf_int(r, r->root, "max_window_layers", 28, 0, INT32_MAX);
    if (local) limit = nx_hf_int(r, r->root, "global_attn_every_n_layers", 3, 1, NX_HF_LAYERS_MAX);
    if (window == 0 || r->st) return;
    if (listed)
        take_layer_types(r, types, slide);
    else
        for (int64_t i = 0; i < r->n_layers; i++) slide[i] = slides(r, i, limit, ropes);
    for (int64_t i = 0; i < r->n_layers; i++) any |= slide[i];
    if (!any) return;
    nx_hf_put_u32(r, "attention.sliding_window", field, window);
    nx_hf_put_bools(r, "attention.sliding_window_pattern",
                    "layer_types|sliding_window_pattern|max_window_layers", slide, r->n_layers);
}

/* SmolLM3: which layers rotate. */
static void read_rope_layers(nx_hf_reader *r, bool *ropes)
{
    const nx_json *list = nx_json_get(r->root, "no_rope_layers");
    int64_t        every = nx_hf_int(r, r->root, "no_rope_layer_interval", 4, 1, NX_HF_LAYERS_MAX);

    for (int64_t i = 0; i < r->n_layers; i++) ropes[i] = (i + 1) % every != 0;
    if (!nx_json_absent(list) &&
        (list->type != NX_JSON_ARRAY || list->array.n != (size_t)r->n_layers)) {
        nx_hf_refuse(r, NX_EFORMAT, "no_rope_layers", "line %u: expected an array of %lld",
                     list->line, (long long)r->n_layers);
    } else if (!nx_json_absent(list)) {
        for (int64_t i = 0; i < r->n_layers; i++)
            ropes[i] = nx_hf_bool_of(r, &list->array.items[i], "no_rope_layers", true);
    }
    nx_hf_put_bools(r, "nexus.rope_layers", "no_rope_layers|no_rope_layer_interval", ropes,
                    r->n_layers);
}

/* ---- Experts ---- */

static bool listed_layer(nx_hf_reader *r, const nx_json *list, int64_t layer)
{
    if (nx_json_absent(list)) return false;
    if (list->type != NX_JSON_ARRAY) {
        nx_hf_refuse(r, NX_EFORMAT, "mlp_only_layers", "%s in line %u, expected an array",
                     nx_json_type_name(list), list->line);
        return false;
    }
    for (size_t i = 0; i < list->array.n; i++)
        if (list->array.items[i].type == NX_JSON_INT && list->array.items[i].i == layer)
            return true;
    return false;
}

static void read_expert_layers(nx_hf_reader *r)
{
    const nx_json *dense = nx_json_get(r->root, "mlp_only_layers");
    int64_t        step = nx_hf_int(r, r->root, "decoder_sparse_step", 1, 1, NX_HF_LAYERS_MAX);
    bool           experts[NX_HF_LAYERS_MAX], all = true;

    for (int64_t i = 0; i < r->n_layers && !r->st; i++) {
        experts[i] = (i + 1) % step == 0 && !listed_layer(r, dense, i);
        all &= experts[i];
    }
    if (!all)
        nx_hf_put_bools(r, "nexus.expert_layers", "mlp_only_layers|decoder_sparse_step", experts,
                        r->n_layers);
}

static void read_experts(nx_hf_reader *r)
{
    static const char counts[] = "num_local_experts|num_experts";
    const nx_hf_arch *a = r->arch;
    int64_t           n = nx_hf_int(r, r->root, counts, a->experts, 1, EXPERTS_MAX);
    int64_t           used = nx_hf_int(r, r->root, "num_experts_per_tok", a->experts_used, 1, n);

    nx_hf_put_u32(r, "expert_count", counts, n);
    nx_hf_put_u32(r, "expert_used_count", "num_experts_per_tok", used);
    if (!a->expert_ff) return; /* Mixtral: feed_forward_length is the experts', all normalise */
    nx_hf_put_u32(r, "expert_feed_forward_length", "moe_intermediate_size",
                  nx_hf_int(r, r->root, "moe_intermediate_size", a->expert_ff, 1, SIZE_MAX_ANY));
    if (a->shared_ff)
        nx_hf_put_u32(r, "expert_shared_feed_forward_length", "shared_expert_intermediate_size",
                      nx_hf_int(r, r->root, "shared_expert_intermediate_size", a->shared_ff, 1,
                                SIZE_MAX_ANY));
    nx_hf_put_bool(r, "expert_weights_norm", "norm_topk_prob",
                   nx_hf_bool(r, r->root, "norm_topk_prob", false));
    read_expert_layers(r);
}

/* ---- What only one family has ---- */

static void read_gemma(nx_hf_reader *r)
{
    double scalar = nx_hf_number(r, r->root, "query_pre_attn_scalar", 256);
    bool   three = (r->arch->traits & NX_HF_TWO_ROPES) != 0;
    /* null means none; what is absent means the class's default. */
    const nx_json *attn = nx_json_get(r->root, "attn_logit_softcapping");
    const nx_json *final = nx_json_get(r->root, "final_logit_softcapping");

    if (!(scalar > 0))
        nx_hf_refuse(r, NX_EFORMAT, "query_pre_attn_scalar", "%g, expected above 0", scalar);
    if (nx_hf_bool(r, r->root, "use_bidirectional_attention", false))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "use_bidirectional_attention",
                     "true: that is an encoder, expected a model that generates");
    nx_hf_put_f32(r, "attention.scale", "query_pre_attn_scalar", 1 / sqrt(scalar));
    if (!three)
        nx_hf_put_f32(r, "attn_logit_softcapping", "attn_logit_softcapping",
                      nx_hf_number(r, r->root, "attn_logit_softcapping", attn ? 0 : 50));
    nx_hf_put_f32(r, "final_logit_softcapping", "final_logit_softcapping",
                  nx_hf_number(r, r->root, "final_logit_softcapping", final || three ? 0 : 30));
    nx_hf_put_f32(r, "embedding_scale", "hidden_size", sqrt((double)r->n_embd));
    nx_hf_put_bool(r, "nexus.norm_plus_one", "model_type", true);
}

static void read_granite(nx_hf_reader *r)
{
    static const char *const table[][2] = {{"attention.scale", "attention_multiplier"},
                                           {"embedding_scale", "embedding_multiplier"},
                                           {"residual_scale", "residual_multiplier"},
                                           {"logit_scale", "logits_scaling"}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        nx_hf_put_f32(r, table[i][0], table[i][1], nx_hf_number(r, r->root, table[i][1], 1));
}

static void read_gpt2(nx_hf_reader *r)
{
    if (nx_hf_bool(r, r->root, "add_cross_attention", false))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "add_cross_attention", "true, expected false");
    if (!nx_hf_bool(r, r->root, "scale_attn_weights", true))
        nx_hf_put_f32(r, "attention.scale", "scale_attn_weights", 1);
    if (nx_hf_bool(r, r->root, "scale_attn_by_inverse_layer_idx", false))
        nx_hf_put_bool(r, "nexus.attention_scale_by_layer", "scale_attn_by_inverse_layer_idx",
                       true);
}

/* What their makers' code could do as well. */
static void read_nomic_and_modern(nx_hf_reader *r)
{
    static const char *const nomic[] = {"prenorm",
                                        "parallel_block",
                                        "qkv_proj_bias",
                                        "mlp_fc1_bias",
                                        "mlp_fc2_bias",
                                        "use_rms_norm",
                                        NULL};
    static const char *const modern[] = {"norm_bias", "mlp_bias", NULL};
    const char *const       *fields = NULL;

    if (r->arch->traits & NX_HF_NOMIC) fields = nomic;
    if (r->arch->traits & NX_HF_MODERN) fields = modern;
    for (; fields && *fields; fields++)
        if (nx_hf_bool(r, r->root, *fields, false))
            nx_hf_refuse(r, NX_EUNSUPPORTED, *fields, "true, expected false");
}

/* A head of one number: a model that tells classes apart is none of ours. */
static void read_rank(nx_hf_reader *r)
{
    const nx_json *labels = nx_json_get(r->root, "id2label");
    int64_t        n = 2;

    r->out->ranks = true;
    if (labels && labels->type == NX_JSON_OBJECT) n = (int64_t)labels->object.n;
    n = nx_hf_int(r, r->root, "num_labels", n, 0, INT32_MAX);
    if (n != 1)
        nx_hf_refuse(r, NX_EUNSUPPORTED, "id2label",
                     "%lld labels, expected 1: a reranker gives one number", (long long)n);
    nx_hf_put_u32(r, "pooling_type", "architectures", 4);
    if (!(r->arch->traits & NX_HF_MODERN)) return;
    const nx_json *act = nx_json_get(r->root, "classifier_activation");
    const nx_json *pool = nx_json_get(r->root, "classifier_pooling");
    if (!nx_json_absent(act) && !nx_json_is(act, "gelu"))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "classifier_activation", "line %u: only gelu is supported",
                     act->line);
    if (nx_json_is(pool, "mean"))
        nx_hf_put_bool(r, "nexus.rank_mean", "classifier_pooling", true);
    else if (!nx_json_absent(pool) && !nx_json_is(pool, "cls"))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "classifier_pooling",
                     "line %u: only cls and mean are supported", pool->line);
}

/* What no encoder here does, and the segments that it tells apart. */
static void read_encoder(nx_hf_reader *r)
{
    const nx_json *positions = nx_json_get(r->root, "position_embedding_type");

    if (nx_hf_bool(r, r->root, "is_decoder", false))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "is_decoder", "true, expected an encoder");
    if (!nx_json_absent(positions) && !nx_json_is(positions, "absolute"))
        nx_hf_refuse(r, NX_EUNSUPPORTED, "position_embedding_type",
                     "line %u: only \"absolute\" is supported", positions->line);
    nx_hf_put_bool(r, "attention.causal", "model_type", false);
    read_nomic_and_modern(r);
    if (r->arch->traits & NX_HF_TYPES)
        nx_hf_put_u32(r, "tokenizer.ggml.token_type_count", "type_vocab_size",
                      nx_hf_int(r, r->root, "type_vocab_size", 2, 1, TYPES_MAX));
    if (!(r->arch->traits & NX_HF_MPNET)) return;
    int64_t buckets = nx_hf_int(r, r->root, "relative_attention_num_buckets", 32, 1, BUCKETS_MAX);
    if (buckets != 32) /* the original computes with these, whatever is said */
        nx_hf_refuse(r, NX_EUNSUPPORTED, "relative_attention_num_buckets", "%lld, expected 32",
                     (long long)buckets);
    nx_hf_put_u32(r, "attention.relative_buckets_count", "relative_attention_num_buckets", buckets);
}

/* ---- The whole ---- */

static void read_all(nx_hf_reader *r, const nx_json *outer)
{
    bool ropes[NX_HF_LAYERS_MAX];
    /* Outside first: a model that sees says it there. */
    bool tied = nx_hf_bool(r, r->root, "tie_word_embeddings", r->arch->tied);

    if (outer != r->root) tied = nx_hf_bool(r, outer, "tie_word_embeddings", tied);
    if (r->arch->traits & NX_HF_ENCODER) tied = true; /* there is no head */
    nx_hf_put_string(r, "general.architecture", "model_type", r->arch->gguf);
    nx_hf_put_string(r, "general.name", "model_type", r->facts->model_name);
    read_sizes(r);
    read_norms(r);
    nx_hf_put_bool(r, "nexus.head_tied", "tie_word_embeddings", tied);
    put_bias(r, "nexus.attention_bias", r->arch->attn_bias, r->arch->attn_bias_default);
    put_bias(r, "nexus.ffn_bias", r->arch->ffn_bias, r->arch->ffn_bias_default);
    if (r->st) return;
    nx_hf_read_rope(r);
    if (r->arch->traits & NX_HF_SMOLLM3) read_rope_layers(r, ropes);
    if (!r->st) read_window(r, ropes);
    if (r->arch->traits & NX_HF_EXPERTS) read_experts(r);
    if (r->arch->traits & NX_HF_GEMMA) read_gemma(r);
    if (r->arch->traits & NX_HF_GRANITE) read_granite(r);
    if (r->arch->traits & NX_HF_GPT2) read_gpt2(r);
    if (r->arch->traits & NX_HF_ENCODER) read_encoder(r);
    if (nx_hf_config_ranks(outer)) read_rank(r);
    nx_hf_put_sentence(r, r->facts->sentence);
    if (r->arch->traits & NX_HF_NEOX)
        nx_hf_put_bool(r, "use_parallel_residual", "use_parallel_residual",
                       nx_hf_bool(r, r->root, "use_parallel_residual", true));
    r->out->n_layers = (int32_t)r->n_layers;
    r->out->n_heads = (int32_t)r->n_heads;
    r->out->head_dim = (int32_t)r->head_dim;
    r->out->head_tied = tied;
}

static nx_status translate(nx_hf_reader *r, const nx_json *root)
{
    nx_status st = nx_gguf_writer_open_buf(&r->w, &r->out->gguf, r->err);

    if (st) return st;
    find_text(r);
    read_quantisation(r, root);
    if (!r->st) read_all(r, root);
    st = r->st ? r->st : nx_gguf_begin(r->w, r->err);
    if (!st) st = nx_gguf_commit(r->w, r->err);
    nx_gguf_writer_destroy(r->w);
    return st;
}

nx_status nx_hf_config_read(nx_hf_config *c, const char *file, const nx_json *root,
                            const nx_hf_facts *facts, nx_error *err)
{
    nx_hf_reader r = {.out = c, .file = file, .root = root, .facts = facts, .err = err};

    c->gguf.max = GGUF_BYTES_MAX;
    c->arena.chunk_bytes = 4096;
    if (root->type != NX_JSON_OBJECT)
        return nx_fail(err, NX_EFORMAT, "%s: %s, expected an object", file,
                       nx_json_type_name(root));
    find_arch(&r);
    return r.st ? r.st : translate(&r, root);
}

void nx_hf_config_free(nx_hf_config *c)
{
    nx_buf_free(&c->gguf);
    nx_free(c->origins);
    nx_arena_free(&c->arena);
    *c = (nx_hf_config){0};
}

const nx_hf_origin *nx_hf_config_origin(const nx_hf_config *c, const char *key)
{
    for (int32_t i = 0; i < c->n_origins; i++)
        if (strcmp(c->origins[i].key, key) == 0) return &c->origins[i];
    return NULL;
}
