/* plan.c - adds up what a model takes. */
#include "engine/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/jsonread.h"
#include "engine/timeline.h"

/* ---- What the checkpoint says of its types ---- */

/* "bfloat16" of a config.json. Folders that don't say are read as f32, as transformers does. */
static nx_dtype dtype_of_config(const nx_checkpoint *cp)
{
    nx_str      text = nx_checkpoint_file(cp, "config.json"), name = {0};
    nx_json_doc doc;
    nx_dtype    t = NX_DTYPE_F32;

    if (!text.p || nx_json_parse(&doc, "config.json", text.p, text.len, NX_JSON_PYTHON, NULL))
        return NX_DTYPE_BF16;
    if (!nx_json_get_string(doc.root, "dtype", &name))
        nx_json_get_string(doc.root, "torch_dtype", &name);
    if (nx_str_eq(name, NX_STR("bfloat16"))) t = NX_DTYPE_BF16;
    if (nx_str_eq(name, NX_STR("float16"))) t = NX_DTYPE_F16;
    nx_json_doc_free(&doc);
    return t;
}

/* The tensor of that name; of stacked experts also the first of separate ones. */
static const nx_tensor *find_tensor(const nx_checkpoint *cp, const char *name)
{
    const nx_tensor *t = nx_checkpoint_tensor(cp, name);
    const char      *stacked = t ? NULL : strstr(name, "_exps.");
    char             first[128];

    if (!stacked) return t;
    snprintf(first, sizeof first, "%.*s.0.%s", (int)(stacked - name), name, stacked + 6);
    return nx_checkpoint_tensor(cp, first);
}

/* ---- Adding up ---- */

typedef struct adding {
    nx_plan             *p;
    const nx_checkpoint *cp;
    nx_recipe_model      rules;
    bool                 native_known;
} adding;

/* Bytes of a tensor that is there already, its scales included. */
static uint64_t bytes_in_place(const nx_tensor *t)
{
    const nx_tensor_scales *s = t->scales;

    if (!s) return t->bytes;
    if (s->absmax) return t->bytes + (uint64_t)s->n * sizeof(float);
    return t->bytes + (uint64_t)s->n +
           (uint64_t)((s->n + s->nested_len - 1) / s->nested_len) * sizeof(float);
}

static uint64_t bytes_of(const adding *a, const nx_tensor_plan *t)
{
    const nx_tensor *there = find_tensor(a->cp, t->name);
    nx_dtype         now = there ? there->dtype : a->p->native;
    int64_t          rows = t->n_dims > 1 ? t->ne[1] : 1;
    nx_dtype         to = nx_recipe_type(a->p->recipe, &a->rules, t->name, t->n_dims, t->ne, now);

    if (t->n_dims > 2) rows *= t->ne[2];
    if (to == now && there && there->ne[0] * nx_tensor_rows(there) == t->ne[0] * rows)
        return bytes_in_place(there);
    return nx_recipe_bytes(a->p->recipe, to, t->ne[0], rows);
}

static nx_status add_tensor(void *ctx, const nx_tensor_plan *t, nx_error *err)
{
    adding  *a = ctx;
    nx_plan *p = a->p;
    uint64_t bytes = bytes_of(a, t), n = (uint64_t)t->ne[0];

    (void)err;
    for (int i = 1; i < t->n_dims; i++) n *= (uint64_t)t->ne[i];
    p->n_params += n;
    p->weights += bytes;
    if (bytes > p->largest_tensor) p->largest_tensor = bytes;
    if (t->role == NX_ROLE_EMBEDDING)
        p->embedding += bytes;
    else if (t->role == NX_ROLE_HEAD)
        p->head += bytes;
    else if (t->layer < 0)
        p->other += bytes;
    else
        p->layers[t->layer] += bytes;
    if (t->role == NX_ROLE_EXPERTS && p->hp.n_experts > 0)
        bytes = bytes / (uint64_t)p->hp.n_experts * (uint64_t)p->hp.n_experts_used;
    if (t->role != NX_ROLE_EMBEDDING || !p->has_head) p->per_token += bytes;
    return NX_OK;
}

typedef struct facts {
    const nx_checkpoint *cp;
    bool                 has_head, native_known;
    nx_dtype             native;
} facts;

static nx_status gather_facts(void *ctx, const nx_tensor_plan *t, nx_error *err)
{
    facts           *f = ctx;
    const nx_tensor *there = find_tensor(f->cp, t->name);

    (void)err;
    if (t->role == NX_ROLE_HEAD) f->has_head = true;
    if (!f->native_known && there && t->role == NX_ROLE_MATRIX) {
        f->native = there->dtype;
        f->native_known = true;
    }
    return NX_OK;
}

static nx_status read_facts(facts *f, nx_hparams *hp, const nx_checkpoint *cp, nx_error *err)
{
    *f = (facts){.cp = cp};
    nx_status st = nx_model_describe(cp, hp, gather_facts, f, err);
    if (!st && !f->native_known) f->native = dtype_of_config(cp);
    return st;
}

static void rules_of(nx_recipe_model *out, const facts *f, const nx_hparams *hp)
{
    nx_str arch = {0};

    nx_meta_string(f->cp, "general.architecture", &arch, false, NULL);
    *out = (nx_recipe_model){
        .n_layers = hp->n_layers,
        .n_experts = hp->n_experts,
        .heads_per_kv = hp->n_heads / hp->n_heads_kv,
        .has_head = f->has_head,
        .is_llama_70b =
            nx_str_eq(arch, NX_STR("llama")) && hp->n_layers == 80 && hp->n_heads != hp->n_heads_kv,
    };
}

nx_status nx_plan_recipe_model(nx_recipe_model *out, const nx_checkpoint *cp, nx_error *err)
{
    facts      f;
    nx_hparams hp;
    nx_status  st = read_facts(&f, &hp, cp, err);

    if (!st) rules_of(out, &f, &hp);
    return st;
}

/* ---- The plan ---- */

static nx_status choose_ctx(nx_plan *p, int32_t n_ctx, nx_error *err)
{
    int32_t most = p->hp.n_ctx;

    p->n_ctx = n_ctx ? n_ctx : most < NX_CTX_DEFAULT_MAX ? most : NX_CTX_DEFAULT_MAX;
    if (p->n_ctx > most)
        return nx_fail(err, NX_ELIMIT, "--ctx %d: the model was made for %d positions at most",
                       p->n_ctx, most);
    if (p->hp.both_ways) return NX_OK; /* whole texts need no cache */
    p->kv = nx_kv_bytes(&p->hp, p->kv_dtype, p->n_ctx);
    p->kv_per_position = nx_kv_bytes(&p->hp, p->kv_dtype, 1);
    if (p->kv) return NX_OK;
    return nx_fail(err, NX_EUNSUPPORTED,
                   "--kv-type %s: heads of %d numbers don't fit its blocks. Use f16",
                   nx_dtype_get(p->kv_dtype)->name, p->hp.head_dim);
}

static uint64_t work_bytes(const nx_plan *p, const nx_backend *be, int32_t n_ctx)
{
    nx_walk_sizes sizes = {.n_batch = p->n_batch, .n_pos = n_ctx};
    uint64_t      bytes = nx_walk_bytes_planned(&p->hp, &sizes);

    if (be) bytes += nx_walk_scratch_planned(&p->hp, be, &sizes);
    return bytes + (uint64_t)p->hp.n_vocab * sizeof(float) + (uint64_t)n_ctx * sizeof(int32_t);
}

nx_status nx_plan_make(nx_plan *out, const nx_checkpoint *cp, const nx_backend *be,
                       const nx_plan_options *opt, nx_error *err)
{
    facts     f;
    adding    a = {.p = out, .cp = cp};
    nx_status st;

    *out = (nx_plan){.recipe = opt->recipe,
                     .kv_dtype = opt->kv_dtype,
                     .n_batch = opt->n_batch,
                     .weights_mapped = opt->recipe == NX_RECIPE_NONE};
    st = read_facts(&f, &out->hp, cp, err);
    if (!st) st = choose_ctx(out, opt->n_ctx, err);
    if (st) return st;
    rules_of(&a.rules, &f, &out->hp);
    out->native = f.native;
    out->has_head = f.has_head;
    out->work = work_bytes(out, be, out->n_ctx);
    out->layers = nx_calloc((size_t)out->hp.n_layers, sizeof *out->layers);
    if (!out->layers) return nx_fail(err, NX_ENOMEM, "out of memory for a plan");
    st = nx_model_describe(cp, NULL, add_tensor, &a, err);
    if (st) nx_plan_free(out);
    return st;
}

void nx_plan_free(nx_plan *p)
{
    nx_free(p->layers);
    p->layers = NULL;
}

uint64_t nx_plan_private(const nx_plan *p)
{
    return p->kv + p->work + (p->weights_mapped ? 0 : p->weights);
}

uint64_t nx_plan_total(const nx_plan *p)
{
    return p->kv + p->work + p->weights;
}

/* ---- A GPU ---- */

/* The last layers go to the GPU, with the head that follows them; the embedding, of which a token
 * reads one row, may stay in RAM. */
void nx_plan_offload(nx_offload *out, const nx_plan *p, uint64_t memory)
{
    uint64_t head = p->has_head ? p->head : p->embedding;
    uint64_t fixed = NX_PLAN_GPU_RESERVE + p->work + p->other;
    uint64_t kv_layer = p->kv / (uint64_t)p->hp.n_layers, left = 0;

    *out = (nx_offload){.fits = NX_PLAN_GPU_RESERVE + nx_plan_total(p) <= memory};
    if (memory > fixed) left = memory - fixed;
    bool head_fits = head <= left;
    if (head_fits) {
        left -= head;
        out->on_gpu += head;
    }
    for (int32_t l = p->hp.n_layers - 1; l >= 0; l--) {
        if (p->layers[l] + kv_layer > left) break;
        left -= p->layers[l] + kv_layer;
        out->on_gpu += p->layers[l] + kv_layer;
        out->n_layers++;
    }
    out->in_ram = p->weights + p->kv - out->on_gpu;
    for (int32_t l = 0; l < p->hp.n_layers - out->n_layers; l++) out->bus_per_token += p->layers[l];
    if (!head_fits) out->bus_per_token += head;
    /* Of experts a token reads only some. */
    uint64_t all = p->weights - p->embedding;
    if (p->has_head && all > 0 && p->per_token < all)
        out->bus_per_token =
            (uint64_t)((double)out->bus_per_token * (double)p->per_token / (double)all);
    if (out->fits) *out = (nx_offload){true, p->hp.n_layers, p->weights + p->kv, 0, 0};
}

/* ---- RAM ---- */

int32_t nx_plan_ctx_max(const nx_plan *p, uint64_t memory)
{
    int32_t lo = 0, hi = p->hp.n_ctx / 256;

    if (p->hp.n_ctx < 256) return 0;
    while (lo < hi) {
        int32_t  mid = lo + (hi - lo + 1) / 2, n_ctx = mid * 256;
        uint64_t need = p->weights + p->kv_per_position * (uint64_t)n_ctx +
                        work_bytes(p, NULL, n_ctx) + (p->work - work_bytes(p, NULL, p->n_ctx));
        if (need <= memory)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo * 256;
}

static double gb(uint64_t bytes)
{
    return (double)bytes / 1e9;
}

/* One thing to try, if it would do: appended to text. */
static void suggest(char *text, size_t cap, const nx_checkpoint *cp, const nx_backend *be,
                    nx_plan_options opt, const char *flag, uint64_t memory)
{
    nx_plan p;
    size_t  len = strlen(text);

    if (nx_plan_make(&p, cp, be, &opt, NULL)) return;
    if (nx_plan_total(&p) <= memory)
        snprintf(text + len, cap - len, "%s%s (%.1f GB)", len ? ", or " : "", flag,
                 gb(nx_plan_total(&p)));
    nx_plan_free(&p);
}

nx_status nx_plan_check(const nx_plan *p, const nx_checkpoint *cp, const nx_backend *be,
                        uint64_t memory, nx_error *err)
{
    char            text[256] = "", flag[64];
    nx_plan_options opt = {p->recipe, p->kv_dtype, p->n_ctx, p->n_batch};
    int32_t         ctx = nx_plan_ctx_max(p, memory);

    if (nx_plan_total(p) <= memory) return NX_OK;
    if (ctx > 0 && ctx < p->n_ctx) {
        opt.n_ctx = ctx;
        snprintf(flag, sizeof flag, "--ctx %d", ctx);
        suggest(text, sizeof text, cp, be, opt, flag, memory);
        opt.n_ctx = p->n_ctx;
    }
    if (p->kv_dtype != NX_DTYPE_Q8_0) {
        opt.kv_dtype = NX_DTYPE_Q8_0;
        suggest(text, sizeof text, cp, be, opt, "--kv-type q8_0", memory);
        opt.kv_dtype = p->kv_dtype;
    }
    static const nx_recipe smaller[] = {NX_RECIPE_Q8_0, NX_RECIPE_NF4_DQ, NX_RECIPE_Q4_0};
    for (int i = 0; i < 3; i++) {
        opt.recipe = smaller[i];
        snprintf(flag, sizeof flag, "--quantize %s", nx_recipe_get(smaller[i])->name);
        suggest(text, sizeof text, cp, be, opt, flag, memory);
    }
    return nx_fail(
        err, NX_ELIMIT,
        "%.300s: needs %.1f GB (weights %.1f%s, KV cache of %d positions %.1f, work %.1f), and this "
        "machine has %.1f GB left. %s%s%s. --no-memory-check tries all the same",
        nx_checkpoint_path(cp), gb(nx_plan_total(p)), gb(p->weights),
        p->weights_mapped ? " mapped from the file, which would be read again for every token" : "",
        p->n_ctx, gb(p->kv), gb(p->work), gb(memory), text[0] ? "Would fit: " : "",
        text[0] ? text : "Nothing that nexus knows would make it fit", text[0] ? "" : "");
}
