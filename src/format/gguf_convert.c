/* gguf_convert.c - writes a checkpoint as GGUF. */
#include "format/gguf_convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "os/dir.h"
#include "os/file.h"

#define PIECE_NUMBERS (1 << 22)

/* A tensor of the file, and what it is made of. */
typedef struct item {
    const char      *name; /* the source's, or of stacked experts in the arena */
    const nx_tensor *t;    /* of experts: the first */
    bool             stacked;
    int64_t          first, n_sources; /* stacked experts: positions in `experts` */
    nx_dtype         to;
    int64_t          heads; /* rows are put in the order of pairs within so many heads; 0: no */
    float            plus;  /* added to every number */
} item;

typedef struct work {
    const nx_checkpoint           *cp;
    const nx_gguf_convert_options *opt;
    nx_recipe_model                rules;
    item                          *items; /* [n] */
    int64_t                        n;
    const nx_tensor              **experts; /* [n_experts] */
    int64_t                        n_experts;
    nx_arena                       arena;
    bool                           pairs, norm_plus_one;
    bool                           encoder; /* to be made small: its positions are much of it */
    int64_t                        n_heads, n_heads_kv, n_rot;
    nx_gguf_writer                *w;
    uint8_t                       *buffer;
    size_t                         buffer_bytes;
    int64_t                        done, total;
    nx_error                      *err;
} work;

/* ---- Numbers ---- */

typedef struct loading {
    const nx_tensor *t;
    int64_t          n_cols, n_rows, head_rows, n_rot;
    float            plus;
} loading;

/* The folder's row for a row of the file: heads turn (x[i], x[i + n/2]) in folders, and (x[2i],
 * x[2i + 1]) in GGUF's llama. */
static int64_t source_row(const loading *l, int64_t row)
{
    int64_t head = row / l->head_rows, j = row % l->head_rows;

    if (j >= l->n_rot) return row;
    return head * l->head_rows + j % 2 * (l->n_rot / 2) + j / 2;
}

static void load(const void *ctx, float *dst, int64_t first, int64_t n)
{
    const loading *l = ctx;

    if (l->head_rows == 0) {
        nx_tensor_decode_numbers(dst, l->t, first, n);
    } else {
        for (int64_t i = 0; i < n; i += l->n_cols) {
            int64_t row = source_row(l, (first + i) / l->n_cols);
            nx_tensor_decode_numbers(dst + i, l->t, row * l->n_cols, l->n_cols);
        }
    }
    if (l->plus != 0)
        for (int64_t i = 0; i < n; i++) dst[i] += l->plus;
}

static loading loading_of(const work *w, const item *it, const nx_tensor *t)
{
    bool    vector = t->n_dims == 1; /* a bias: rows of one number */
    loading l = {.t = t,
                 .n_cols = vector ? 1 : t->ne[0],
                 .n_rows = vector ? t->ne[0] : nx_tensor_rows(t),
                 .n_rot = w->n_rot,
                 .plus = it->plus};

    if (it->heads > 0 && l.n_rows % it->heads == 0) l.head_rows = l.n_rows / it->heads;
    if (l.n_rot == 0 || l.n_rot > l.head_rows) l.n_rot = l.head_rows;
    return l;
}

/* ---- Which tensors ---- */

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);

    return n >= t && strcmp(name + n - t, tail) == 0;
}

/* "blk.3.ffn_up.7.weight": expert 7, and the length of "blk.3.ffn_up"; -1 for other names. */
static long expert_of(const char *name, int *stem)
{
    const char *ffn = strncmp(name, "blk.", 4) == 0 ? strstr(name, ".ffn_") : NULL;
    const char *dot = ffn ? strchr(ffn + 1, '.') : NULL;
    char       *end;

    if (!dot || dot[1] < '0' || dot[1] > '9') return -1;
    long e = strtol(dot + 1, &end, 10);
    *stem = (int)(dot - name);
    return strcmp(end, ".weight") == 0 ? e : -1;
}

/* All experts of a stack, by number: the first is t. */
static nx_status add_experts(work *w, item *it, int stem)
{
    char name[160];

    it->first = w->n_experts;
    for (;; it->n_sources++) {
        snprintf(name, sizeof name, "%.*s.%lld.weight", stem, it->t->name,
                 (long long)it->n_sources);
        const nx_tensor *t = nx_checkpoint_tensor(w->cp, name);
        if (!t) break;
        if (t->ne[0] != it->t->ne[0] || t->ne[1] != it->t->ne[1])
            return nx_tensor_fail(w->cp, name, NX_EFORMAT, w->err,
                                  "isn't of the shape of its layer's other experts");
        w->experts[w->n_experts++] = t;
    }
    snprintf(name, sizeof name, "%.*s_exps.weight", stem, it->t->name);
    it->name = nx_arena_strndup(&w->arena, name, strlen(name));
    return it->name ? NX_OK : nx_fail(w->err, NX_ENOMEM, "out of memory for a name");
}

static void choose_type(work *w, item *it)
{
    const nx_tensor *t = it->t;
    int              n_dims = it->stacked ? 3 : t->n_dims;
    int64_t          ne[3] = {t->ne[0], t->ne[1], it->n_sources};
    bool             plain = n_dims < 2 || strstr(it->name, "position_embd");
    nx_dtype         floats = w->encoder && n_dims > 1 ? NX_DTYPE_F16 : NX_DTYPE_F32;

    it->to =
        plain ? floats : nx_recipe_type(w->opt->recipe, &w->rules, it->name, n_dims, ne, t->dtype);
}

static void choose_order(work *w, item *it)
{
    bool q = strstr(it->name, ".attn_q.") != NULL, k = strstr(it->name, ".attn_k.") != NULL;

    if (w->pairs && q) it->heads = w->n_heads;
    if (w->pairs && k) it->heads = w->n_heads_kv;
    if (w->norm_plus_one && ends_with(it->name, "_norm.weight")) it->plus = 1;
}

/* llama.cpp finds no head in these when it is tied: they get a copy of the embedding. */
static bool wants_head(const work *w)
{
    static const char *const archs[] = {"gptneox", "qwen2moe", "olmo2"};
    nx_str                   arch = {0};
    bool                     found = false;

    nx_meta_string(w->cp, "general.architecture", &arch, false, NULL);
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        found = found || nx_str_eq(arch, nx_str_of(archs[i]));
    return found && !nx_checkpoint_tensor(w->cp, "output.weight");
}

static void add_head(work *w)
{
    const nx_tensor *t = nx_checkpoint_tensor(w->cp, "token_embd.weight");

    if (!t || !wants_head(w)) return;
    item *it = &w->items[w->n++];
    *it = (item){.name = "output.weight", .t = t, .n_sources = 1};
    choose_type(w, it);
    w->total += t->ne[0] * nx_tensor_rows(t);
}

static nx_status list_items(work *w)
{
    int64_t   n = nx_checkpoint_n_tensors(w->cp);
    nx_status st = NX_OK;

    w->rules = w->opt->rules;
    if (wants_head(w)) w->rules.has_head = true;
    w->items = nx_calloc((size_t)n + 1, sizeof *w->items);
    w->experts = nx_calloc((size_t)n, sizeof *w->experts);
    if (!w->items || !w->experts)
        return nx_fail(w->err, NX_ENOMEM, "out of memory for %lld tensors", (long long)n);
    for (int64_t i = 0; !st && i < n; i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(w->cp, i);
        int              stem = 0;
        long             expert = expert_of(t->name, &stem);
        if (expert > 0) continue;
        item *it = &w->items[w->n++];
        *it = (item){
            .name = t->name, .t = t, .stacked = expert == 0, .n_sources = expert == 0 ? 0 : 1};
        if (expert == 0) st = add_experts(w, it, stem);
        choose_order(w, it);
        choose_type(w, it);
        w->total += t->ne[0] * nx_tensor_rows(t) * it->n_sources;
    }
    if (!st) add_head(w);
    return st;
}

/* ---- Metadata ---- */

static bool is_left_out(nx_str key)
{
    static const char *const left[] = {"nexus.rope_halves",
                                       "nexus.norm_plus_one",
                                       "general.file_type",
                                       "general.alignment",
                                       "split.no",
                                       "split.count",
                                       "split.tensors.count",
                                       "general.quantization_version",
                                       "nexus.kv_type",
                                       NULL};

    for (const char *const *l = left; *l; l++)
        if (nx_str_eq(key, nx_str_of(*l))) return true;
    return false;
}

static nx_status put_metadata(work *w)
{
    int type = nx_recipe_file_type(w->opt->recipe);

    for (int64_t i = 0; i < nx_checkpoint_n_meta(w->cp); i++) {
        const nx_meta *m = nx_checkpoint_meta_at(w->cp, i);
        if (!is_left_out(m->key)) nx_gguf_put_meta(w->w, m);
    }
    if (type >= 0) nx_gguf_put_int(w->w, "general.file_type", NX_META_U32, type);
    nx_gguf_put_int(w->w, "general.quantization_version", NX_META_U32, 2);
    /* As the folder it may come from: whoever stores floats wants to see what floats compute. */
    if (w->opt->recipe == NX_RECIPE_F32) nx_gguf_put_string(w->w, "nexus.kv_type", NX_STR("f32"));
    bool vocab = nx_checkpoint_meta(w->cp, "tokenizer.ggml.model") != NULL;
    if (vocab || !w->opt->put_vocab) return NX_OK;
    return w->opt->put_vocab(w->opt->vocab_ctx, w->w, w->err);
}

static nx_status arch_int(work *w, const char *key, int64_t *out)
{
    nx_str arch = {0};
    char   full[128];

    nx_status st = nx_meta_string(w->cp, "general.architecture", &arch, true, w->err);
    if (st) return st;
    snprintf(full, sizeof full, "%.*s.%s", (int)arch.len, arch.p, key);
    return nx_meta_int(w->cp, full, out, 0, INT32_MAX, false, w->err);
}

/* Does what is written see both ways, in a type of fewer bits than 16? */
static nx_status read_encoder(work *w)
{
    nx_str arch = {0};
    char   key[128];
    bool   causal = true;

    nx_status st = nx_meta_string(w->cp, "general.architecture", &arch, true, w->err);
    if (st) return st;
    snprintf(key, sizeof key, "%.*s.attention.causal", (int)arch.len, arch.p);
    st = nx_meta_bool(w->cp, key, &causal, false, w->err);
    w->encoder = !causal && nx_dtype_get(nx_recipe_get(w->opt->recipe)->dtype)->block_len > 1;
    return st;
}

static nx_status read_conventions(work *w)
{
    nx_status st = nx_meta_bool(w->cp, "nexus.rope_halves", &w->pairs, false, w->err);

    if (!st) st = nx_meta_bool(w->cp, "nexus.norm_plus_one", &w->norm_plus_one, false, w->err);
    if (!st) st = arch_int(w, "attention.head_count", &w->n_heads);
    w->n_heads_kv = w->n_heads;
    if (!st) st = read_encoder(w);
    if (!st) st = arch_int(w, "attention.head_count_kv", &w->n_heads_kv);
    return st ? st : arch_int(w, "rope.dimension_count", &w->n_rot);
}

static void add_tensors(work *w)
{
    for (int64_t i = 0; i < w->n; i++) {
        const item *it = &w->items[i];
        int64_t     ne[NX_TENSOR_DIMS_MAX];
        memcpy(ne, it->t->ne, sizeof ne);
        if (it->stacked) ne[2] = it->n_sources;
        nx_gguf_add_tensor(w->w, it->name, it->to, it->stacked ? 3 : it->t->n_dims, ne);
    }
}

/* ---- Data ---- */

static nx_status room(work *w, size_t bytes)
{
    if (bytes <= w->buffer_bytes) return NX_OK;
    uint8_t *grown = nx_realloc(w->buffer, bytes, 1);
    if (!grown) return nx_fail(w->err, NX_ENOMEM, "out of memory for %zu bytes", bytes);
    w->buffer = grown;
    w->buffer_bytes = bytes;
    return NX_OK;
}

static nx_status step_done(work *w, int64_t numbers)
{
    w->done += numbers;
    if (w->opt->cancel && atomic_load(w->opt->cancel))
        return nx_fail(w->err, NX_ECANCELLED, "cancelled while quantising");
    if (w->opt->progress) w->opt->progress(w->opt->ctx, w->done, w->total);
    return NX_OK;
}

/* Rows that keep type and order go through as they are. */
static bool is_copied(const item *it, const nx_tensor *t)
{
    return it->to == t->dtype && !it->heads && it->plus == 0;
}

static nx_status write_copy(work *w, const nx_tensor *t)
{
    size_t    step = (size_t)16 << 20;
    nx_status st = NX_OK;

    for (size_t at = 0; !st && at < t->bytes; at += step) {
        size_t n = t->bytes - at < step ? t->bytes - at : step;
        st = nx_gguf_write(w->w, (const uint8_t *)t->data + at, n, w->err);
        nx_checkpoint_forget(w->cp, (const uint8_t *)t->data + at, n);
        if (!st) st = step_done(w, 0);
    }
    return st ? st : step_done(w, t->ne[0] * nx_tensor_rows(t));
}

static nx_status write_recoded(work *w, const item *it, const nx_tensor *t)
{
    loading    l = loading_of(w, it, t);
    nx_numbers from = {.n_cols = l.n_cols, .n_rows = l.n_rows, .load = load, .ctx = &l};
    nx_recoder r = {0};
    nx_status  st = nx_recoder_open(&r, &from, it->to, w->opt->pool, w->err);
    int64_t    step = st || PIECE_NUMBERS < r.unit ? 1 : PIECE_NUMBERS / r.unit;

    for (int64_t u = 0; !st && u < r.n_units; u += step) {
        int64_t n = r.n_units - u < step ? r.n_units - u : step;
        size_t  bytes = nx_recoder_bytes(&r, u, n);
        st = room(w, bytes);
        if (st) break;
        nx_recoder_run(&r, w->buffer, u, n);
        st = nx_gguf_write(w->w, w->buffer, bytes, w->err);
        if (!st) st = step_done(w, n * r.unit);
    }
    nx_recoder_close(&r);
    nx_checkpoint_forget(w->cp, t->data, t->bytes);
    return st ? nx_fail_prefix(w->err, st, "tensor %.80s", t->name) : st;
}

static nx_status write_data(work *w)
{
    nx_status st = NX_OK;

    for (int64_t i = 0; !st && i < w->n; i++) {
        const item *it = &w->items[i];
        for (int64_t e = 0; !st && e < it->n_sources; e++) {
            const nx_tensor *t = it->stacked ? w->experts[it->first + e] : it->t;
            st = is_copied(it, t) ? write_copy(w, t) : write_recoded(w, it, t);
        }
    }
    return st;
}

/* ---- The whole ---- */

/* The folder that a file is in, for asking how much room there is. */
static nx_status need_room(const char *out, uint64_t bytes, nx_error *err)
{
    const char *slash = strrchr(out, '/');
    char        above[4096];

    if (!nx_path_write(above, sizeof above, "%.*s", slash ? (int)(slash - out) + 1 : 1,
                       slash ? out : "."))
        return NX_OK;
    return nx_dir_need_room(above, bytes, err);
}

static nx_status convert(work *w, const char *out)
{
    nx_status st = read_conventions(w);

    if (!st) st = list_items(w);
    if (!st) st = nx_gguf_writer_open(&w->w, out, w->err);
    if (!st) st = put_metadata(w);
    if (!st) add_tensors(w);
    if (!st) st = nx_gguf_begin(w->w, w->err);
    if (!st) st = need_room(out, nx_gguf_writer_bytes(w->w), w->err);
    if (!st) st = write_data(w);
    return st ? st : nx_gguf_commit(w->w, w->err);
}

nx_status nx_gguf_convert(const nx_checkpoint *cp, const char *out,
                          const nx_gguf_convert_options *opt, nx_error *err)
{
    work w = {.cp = cp, .opt = opt, .err = err};

    if (nx_file_exists(out))
        return nx_fail(err, NX_EINVAL, "%.200s: is there already. Remove it first", out);
    if (nx_checkpoint_n_tensors(cp) == 0)
        return nx_fail(err, NX_EINVAL, "%.200s: has no weights", nx_checkpoint_path(cp));
    nx_status st = convert(&w, out);
    nx_gguf_writer_destroy(w.w);
    nx_arena_free(&w.arena);
    nx_free(w.items);
    nx_free(w.experts);
    nx_free(w.buffer);
    return st;
}
