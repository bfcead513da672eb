/* hf_quantise.c - writes a Hugging Face folder with bitsandbytes' weights.
 *
 * A linear weight P.weight [out, in] becomes
 *   4 bits   P.weight U8 [(n + 1) / 2, 1], .absmax F32 [blocks] (U8 when nested), .quant_map F32 [16],
 *            nested: .nested_absmax F32, .nested_quant_map F32 [256],
 *            .quant_state.bitsandbytes__nf4 U8: JSON
 *   8 bits   P.weight I8 [out, in], P.SCB F32 [out], P.weight_format U8 [] of 0
 * Which are linear: those that transformers replaces. Routed experts it keeps since version 5, where
 * they are one parameter of three sides.
 */
#include "format/hf_quantise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/hf.h"
#include "format/safetensors_write.h"
#include "num/levels.h"
#include "os/cpu.h"
#include "os/dir.h"

#define PIECE_NUMBERS (1 << 22)
#define COPY_BYTES    ((size_t)16 << 20)
#define COPY_FILE_MAX ((size_t)1 << 30)
#define NAME_MAX_LEN  1000

/* One tensor of the folder, and what becomes of it. */
typedef struct item {
    const nx_hf_raw *raw;
    bool             linear, transposed;
    nx_tensor        t;      /* linear: its numbers, ne as they lie in the file */
    float            offset; /* of nested scales */
} item;

typedef struct work {
    const nx_checkpoint          *cp;
    const nx_hf_quantise_options *opt;
    item                         *items; /* [n] */
    int64_t                       n;
    char                         *folder; /* OUT.partial */
    nx_safetensors_writer        *w;
    uint8_t                      *buffer;
    size_t                        buffer_bytes;
    int64_t                       done, total;
    nx_error                     *err;
} work;

/* ---- Which tensors ---- */

static bool ends_with(nx_str s, const char *tail)
{
    size_t n = strlen(tail);

    return s.len >= n && memcmp(s.p + s.len - n, tail, n) == 0;
}

static bool contains(nx_str s, const char *part)
{
    size_t n = strlen(part);

    for (size_t i = 0; i + n <= s.len; i++)
        if (memcmp(s.p + i, part, n) == 0) return true;
    return false;
}

/* "model.layers.3.", "transformer.h.3.", "h.3." */
static bool in_layer(nx_str s)
{
    for (size_t i = 0; i + 2 < s.len; i++) {
        bool   start = i == 0 || s.p[i - 1] == '.';
        nx_str rest = {s.p + i, s.len - i};
        size_t n = rest.len > 7 && memcmp(rest.p, "layers.", 7) == 0 ? 7
                   : memcmp(rest.p, "h.", 2) == 0                    ? 2
                                                                     : 0;
        if (start && n && n < rest.len && rest.p[n] >= '0' && rest.p[n] <= '9') return true;
    }
    return false;
}

static bool is_linear(const nx_st_tensor *t)
{
    return t->n_dims == 2 && t->shape[0] > 0 && t->shape[1] > 0 &&
           (t->dtype == NX_ST_F32 || t->dtype == NX_ST_F16 || t->dtype == NX_ST_BF16) &&
           ends_with(t->name, ".weight") && in_layer(t->name) &&
           !ends_with(t->name, ".gate.weight") && !ends_with(t->name, "norm.weight") &&
           !contains(t->name, ".experts.");
}

static nx_dtype dtype_of(nx_st_dtype t)
{
    return t == NX_ST_F32 ? NX_DTYPE_F32 : t == NX_ST_F16 ? NX_DTYPE_F16 : NX_DTYPE_BF16;
}

static const char *torch_name(nx_st_dtype t)
{
    return t == NX_ST_F32 ? "float32" : t == NX_ST_F16 ? "float16" : "bfloat16";
}

/* GPT-2 keeps its weights [in, out]; transformers turns them before it quantises. */
static bool is_conv1d(const nx_checkpoint *cp)
{
    nx_str arch = {0};

    nx_meta_string(cp, "general.architecture", &arch, false, NULL);
    return nx_str_eq(arch, NX_STR("gpt2"));
}

static nx_status list_items(work *w)
{
    const nx_hf *hf = w->cp->hf;
    bool         conv1d = is_conv1d(w->cp);

    w->items = nx_calloc((size_t)hf->n_raws, sizeof *w->items);
    if (!w->items) return nx_fail(w->err, NX_ENOMEM, "out of memory for a list of tensors");
    w->n = hf->n_raws;
    for (int64_t i = 0; i < w->n; i++) {
        const nx_st_tensor *t = hf->raws[i].t;
        item               *it = &w->items[i];
        it->raw = &hf->raws[i];
        it->linear = is_linear(t);
        if (!it->linear) continue;
        it->transposed = conv1d;
        it->t = (nx_tensor){.name = "",
                            .dtype = dtype_of(t->dtype),
                            .n_dims = 2,
                            .ne = {t->shape[1], t->shape[0], 1, 1},
                            .data = t->data,
                            .bytes = t->bytes};
        w->total += t->shape[0] * t->shape[1];
    }
    if (w->opt->recipe == NX_RECIPE_NF4_DQ) w->total *= 2; /* scales first, then codes */
    if (w->total > 0) return NX_OK;
    return nx_fail(w->err, NX_EUNSUPPORTED, "%.200s: no linear layers of floats found",
                   nx_checkpoint_path(w->cp));
}

/* ---- Numbers in the order that is quantised ---- */

static void load_transposed(const void *ctx, float *dst, int64_t first, int64_t n)
{
    const nx_tensor     *t = ctx;
    const nx_dtype_info *info = nx_dtype_get(t->dtype);
    int64_t              rows = t->ne[1]; /* of the file: columns of what is quantised */

    for (int64_t i = first; i < first + n; i++) {
        int64_t at = i % rows * t->ne[0] + i / rows;
        info->decode(dst++, (const uint8_t *)t->data + (size_t)at * info->block_bytes, 1);
    }
}

static nx_numbers numbers_of(const item *it)
{
    nx_numbers n = nx_numbers_of(&it->t);

    if (!it->transposed) return n;
    return (nx_numbers){.n_cols = it->t.ne[1],
                        .n_rows = it->t.ne[0],
                        .flat = true,
                        .load = load_transposed,
                        .ctx = &it->t};
}

static nx_dtype type_of(const work *w)
{
    return nx_recipe_get(w->opt->recipe)->dtype;
}

static bool is_8bit(const work *w)
{
    return w->opt->recipe == NX_RECIPE_INT8;
}

/* ---- The directory ---- */

static nx_status name_of(char out[NAME_MAX_LEN], const work *w, const item *it, const char *suffix)
{
    nx_str name = it->raw->t->name;

    if (is_8bit(w) && suffix[0]) name.len -= strlen("weight"); /* P.weight: P.SCB */
    if (nx_path_write(out, NAME_MAX_LEN, "%.*s%s", (int)name.len, name.p, suffix)) return NX_OK;
    return nx_hf_raw_fail(w->cp->hf, it->raw, NX_EUNSUPPORTED, w->err, "a name of %zu bytes",
                          it->raw->t->name.len);
}

static nx_status add(work *w, const item *it, const char *suffix, nx_st_dtype t, int n_dims,
                     int64_t a, int64_t b)
{
    char      name[NAME_MAX_LEN];
    nx_status st = name_of(name, w, it, suffix);

    if (!st) nx_safetensors_add(w->w, name, t, n_dims, (int64_t[]){a, b});
    return st;
}

/* A float as Python writes it: the shortest digits that read back as the same double. */
static void python_float(char out[40], double x)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, x);
        if (strtod(out, NULL) == x) break;
    }
    if (!strpbrk(out, ".en")) strcat(out, ".0");
}

static nx_status state_text(nx_buf *out, const work *w, const item *it)
{
    nx_numbers n = numbers_of(it);
    char       offset[40];
    nx_status  st = nx_buf_addf(
        out, w->err,
        "{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%lld, %lld]",
        nx_dtype_get(type_of(w))->name, NX_BNB_BLOCK, torch_name(it->raw->t->dtype),
        (long long)n.n_rows, (long long)n.n_cols);

    if (!st && w->opt->recipe == NX_RECIPE_NF4_DQ) {
        python_float(offset, (double)it->offset);
        st = nx_buf_addf(
            out, w->err,
            ", \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", \"nested_offset\": %s",
            NX_BNB_NESTED_BLOCK, offset);
    }
    return st ? st : nx_buf_add(out, "}", 1, w->err);
}

static nx_status add_4bit(work *w, const item *it)
{
    bool      nested = w->opt->recipe == NX_RECIPE_NF4_DQ;
    int64_t   n = it->t.ne[0] * it->t.ne[1], blocks = (n + NX_BNB_BLOCK - 1) / NX_BNB_BLOCK;
    int64_t   second = (blocks + NX_BNB_NESTED_BLOCK - 1) / NX_BNB_NESTED_BLOCK;
    char      state[64];
    nx_buf    text = {.max = 4096};
    nx_status st = add(w, it, "", NX_ST_U8, 2, (n + 1) / 2, 1);

    snprintf(state, sizeof state, ".quant_state.bitsandbytes__%s", nx_dtype_get(type_of(w))->name);
    if (!st) st = add(w, it, ".absmax", nested ? NX_ST_U8 : NX_ST_F32, 1, blocks, 0);
    if (!st && nested) st = add(w, it, ".nested_absmax", NX_ST_F32, 1, second, 0);
    if (!st && nested) st = add(w, it, ".nested_quant_map", NX_ST_F32, 1, 256, 0);
    if (!st) st = add(w, it, ".quant_map", NX_ST_F32, 1, 16, 0);
    if (!st) st = state_text(&text, w, it);
    if (!st) st = add(w, it, state, NX_ST_U8, 1, (int64_t)text.len, 0);
    nx_buf_free(&text);
    return st;
}

static nx_status add_8bit(work *w, const item *it)
{
    nx_numbers n = numbers_of(it);
    nx_status  st = add(w, it, "", NX_ST_I8, 2, n.n_rows, n.n_cols);

    if (!st) st = add(w, it, "SCB", NX_ST_F32, 1, n.n_rows, 0);
    return st ? st : add(w, it, "weight_format", NX_ST_U8, 0, 0, 0);
}

static nx_status add_plain(work *w, const item *it)
{
    const nx_st_tensor *t = it->raw->t;
    char                name[NAME_MAX_LEN];
    nx_status           st = name_of(name, w, it, "");

    if (!st) nx_safetensors_add(w->w, name, t->dtype, t->n_dims, t->shape);
    return st;
}

static nx_status add_all(work *w)
{
    nx_status st = NX_OK;

    for (int64_t i = 0; !st && i < w->n; i++) {
        const item *it = &w->items[i];
        st = !it->linear ? add_plain(w, it) : is_8bit(w) ? add_8bit(w, it) : add_4bit(w, it);
    }
    return st;
}

/* ---- The data ---- */

static nx_status step_done(work *w, int64_t numbers)
{
    w->done += numbers;
    if (w->opt->cancel && atomic_load(w->opt->cancel))
        return nx_fail(w->err, NX_ECANCELLED, "cancelled while quantising");
    if (w->opt->progress)
        w->opt->progress(w->opt->ctx, w->done < w->total ? w->done : w->total, w->total);
    return NX_OK;
}

/* All units of one tensor, or with scales_only nothing but their scales. */
static nx_status run(work *w, nx_recoder *r, const item *it, bool scales_only)
{
    int64_t   step = PIECE_NUMBERS / r->unit ? PIECE_NUMBERS / r->unit : 1;
    size_t    from = 0;
    nx_status st = NX_OK;

    for (int64_t u = 0; !st && u < r->n_units; u += step) {
        int64_t n = r->n_units - u < step ? r->n_units - u : step;
        size_t  bytes = nx_recoder_bytes(r, u, n);
        if (bytes > w->buffer_bytes) {
            uint8_t *grown = nx_realloc(w->buffer, bytes, 1);
            if (!grown) return nx_fail(w->err, NX_ENOMEM, "out of memory for %zu bytes", bytes);
            w->buffer = grown;
            w->buffer_bytes = bytes;
        }
        if (scales_only)
            nx_recoder_scales(r, u, n);
        else
            nx_recoder_run(r, w->buffer, u, n);
        if (!it->transposed) {
            size_t read = nx_dtype_row_bytes(it->t.dtype, n * r->unit);
            if (read > it->t.bytes - from) read = it->t.bytes - from;
            nx_checkpoint_forget(w->cp, (const uint8_t *)it->t.data + from, read);
            from += read;
        }
        if (!scales_only) st = nx_safetensors_write(w->w, w->buffer, bytes, w->err);
        if (!st) st = step_done(w, n * r->unit);
    }
    if (it->transposed) nx_checkpoint_forget(w->cp, it->t.data, it->t.bytes);
    return st;
}

static nx_status write_nested(work *w, const nx_recoder *r, float *offset)
{
    int64_t   second = (r->n_scales + NX_BNB_NESTED_BLOCK - 1) / NX_BNB_NESTED_BLOCK;
    uint8_t  *codes = nx_alloc((size_t)r->n_scales, 1);
    float    *nested = nx_alloc((size_t)second, sizeof *nested);
    nx_status st = NX_OK;

    if (!codes || !nested) st = nx_fail(w->err, NX_ENOMEM, "out of memory for scales");
    if (!st) nx_bnb_nest(codes, nested, offset, r->scales, r->n_scales, nx_cpu_count());
    if (!st && w->w) {
        st = nx_safetensors_write(w->w, codes, (size_t)r->n_scales, w->err);
        if (!st) st = nx_safetensors_write(w->w, nested, (size_t)second * sizeof *nested, w->err);
        if (!st) st = nx_safetensors_write(w->w, nx_bnb_dynamic_map, 256 * sizeof(float), w->err);
    }
    nx_free(codes);
    nx_free(nested);
    return st;
}

static nx_status write_4bit_rest(work *w, const nx_recoder *r, item *it)
{
    const float *levels = type_of(w) == NX_DTYPE_NF4 ? nx_nf4_levels : nx_fp4_levels;
    nx_buf       text = {.max = 4096};
    float        map[16];
    nx_status    st;

    for (int i = 0; i < 16; i++)
        map[i] = levels[i] + 0.0f; /* FP4's second zero has no sign there */
    if (w->opt->recipe == NX_RECIPE_NF4_DQ)
        st = write_nested(w, r, &it->offset);
    else
        st = nx_safetensors_write(w->w, r->scales, (size_t)r->n_scales * sizeof(float), w->err);
    if (!st) st = nx_safetensors_write(w->w, map, sizeof map, w->err);
    if (!st) st = state_text(&text, w, it);
    if (!st) st = nx_safetensors_write(w->w, text.data, text.len, w->err);
    nx_buf_free(&text);
    return st;
}

static nx_status write_8bit_rest(work *w, const nx_recoder *r)
{
    static const uint8_t row_major = 0;
    nx_status            st =
        nx_safetensors_write(w->w, r->scales, (size_t)r->n_scales * sizeof(float), w->err);

    return st ? st : nx_safetensors_write(w->w, &row_major, 1, w->err);
}

static nx_status write_linear(work *w, item *it)
{
    nx_recoder r = {0};
    nx_numbers from = numbers_of(it);
    nx_status  st = nx_recoder_open(&r, &from, type_of(w), w->opt->pool, w->err);

    if (!st) st = run(w, &r, it, false);
    if (!st) st = is_8bit(w) ? write_8bit_rest(w, &r) : write_4bit_rest(w, &r, it);
    nx_recoder_close(&r);
    return st;
}

static nx_status write_plain(work *w, const item *it)
{
    const nx_st_tensor *t = it->raw->t;
    nx_status           st = NX_OK;

    for (size_t at = 0; !st && at < t->bytes; at += COPY_BYTES) {
        size_t n = t->bytes - at < COPY_BYTES ? t->bytes - at : COPY_BYTES;
        st = nx_safetensors_write(w->w, t->data + at, n, w->err);
        nx_checkpoint_forget(w->cp, t->data + at, n);
        if (!st) st = step_done(w, 0);
    }
    return st;
}

/* The offset of nested scales stands in a JSON text whose length the header has to know. */
static nx_status find_offsets(work *w)
{
    nx_status st = NX_OK;

    if (w->opt->recipe != NX_RECIPE_NF4_DQ) return NX_OK;
    for (int64_t i = 0; !st && i < w->n; i++) {
        item *it = &w->items[i];
        if (!it->linear) continue;
        nx_recoder r = {0};
        nx_numbers from = numbers_of(it);
        st = nx_recoder_open(&r, &from, type_of(w), w->opt->pool, w->err);
        if (!st) st = run(w, &r, it, true);
        if (!st) st = write_nested(w, &r, &it->offset);
        nx_recoder_close(&r);
    }
    return st;
}

static nx_status write_weights(work *w)
{
    nx_status st = find_offsets(w);

    if (!st) st = nx_safetensors_writer_open(&w->w, w->folder, w->opt->shard_bytes_max, w->err);
    if (!st) st = add_all(w);
    if (!st) st = nx_safetensors_begin(w->w, w->err);
    if (!st) st = nx_dir_need_room(w->folder, nx_safetensors_writer_bytes(w->w), w->err);
    for (int64_t i = 0; !st && i < w->n; i++)
        st = w->items[i].linear ? write_linear(w, &w->items[i]) : write_plain(w, &w->items[i]);
    return st ? st : nx_safetensors_commit(w->w, w->err);
}

/* ---- The files around ---- */

static nx_status write_file(work *w, const char *name, const void *data, size_t n)
{
    char        path[4096];
    nx_file_out f = {0};

    if (!nx_path_write(path, sizeof path, "%s/%s", w->folder, name))
        return nx_fail(w->err, NX_EINVAL, "%.200s: the path is too long", w->folder);
    nx_status st = nx_dir_make_above(path, w->err);
    if (!st) st = nx_file_out_open(&f, path, w->err);
    if (!st) st = nx_fd_write_all(f.fd, data, n, path, w->err);
    if (!st) st = nx_file_out_commit(&f, w->err);
    nx_file_out_abort(&f);
    return st;
}

/* config.json with what transformers says of such a model, as its last member. */
static nx_status write_config(work *w)
{
    nx_str      text = nx_checkpoint_file(w->cp, "config.json");
    bool        four = !is_8bit(w);
    nx_buf      out = {.max = text.len + 4096};
    const char *yes = "true", *no = "false";
    size_t      n = text.len;

    while (n > 0 && text.p[n - 1] != '}') n--;
    if (n > 0) n--;
    while (n > 0 && strchr(" \t\r\n", text.p[n - 1])) n--;
    nx_status st = nx_buf_add(&out, text.p, n, w->err);
    if (!st)
        st = nx_buf_addf(
            &out, w->err,
            ",\n  \"quantization_config\": {\n    \"_load_in_4bit\": %s,\n"
            "    \"_load_in_8bit\": %s,\n    \"bnb_4bit_compute_dtype\": \"float32\",\n"
            "    \"bnb_4bit_quant_storage\": \"uint8\",\n    \"bnb_4bit_quant_type\": \"%s\",\n"
            "    \"bnb_4bit_use_double_quant\": %s,\n"
            "    \"llm_int8_enable_fp32_cpu_offload\": false,\n"
            "    \"llm_int8_has_fp16_weight\": false,\n    \"llm_int8_skip_modules\": null,\n"
            "    \"llm_int8_threshold\": 6.0,\n    \"load_in_4bit\": %s,\n"
            "    \"load_in_8bit\": %s,\n    \"quant_method\": \"bitsandbytes\"\n  }\n}\n",
            four ? yes : no, four ? no : yes,
            w->opt->recipe == NX_RECIPE_NF4 || w->opt->recipe == NX_RECIPE_NF4_DQ ? "nf4" : "fp4",
            w->opt->recipe == NX_RECIPE_NF4_DQ ? yes : no, four ? yes : no, four ? no : yes);
    if (!st) st = write_file(w, "config.json", out.data, out.len);
    nx_buf_free(&out);
    return st;
}

static bool is_side_file(const char *name)
{
    static const char *const weights[] = {".safetensors", ".bin",    ".pt",      ".pth",
                                          ".gguf",        ".h5",     ".msgpack", ".onnx",
                                          ".index.json",  ".partial"};

    if (name[0] == '.' || strcmp(name, "config.json") == 0) return false;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (ends_with(nx_str_of(name), weights[i])) return false;
    return true;
}

/* Everything that lies beside the weights: tokenizer, templates, licence. */
static nx_status copy_files(work *w, const char *folder)
{
    char      path[4096], **names;
    size_t    n;
    bool      ok = nx_path_write(path, sizeof path, "%s%s%s", nx_checkpoint_path(w->cp),
                            folder[0] ? "/" : "", folder);
    nx_status st = ok ? nx_dir_list(&names, &n, path, w->err)
                      : nx_fail(w->err, NX_EINVAL, "the path of the folder is too long");

    if (st) return st;
    for (size_t i = 0; !st && i < n; i++) {
        char   from[4096], name[600];
        nx_buf bytes = {.max = COPY_FILE_MAX};
        if (!is_side_file(names[i]) || !nx_path_write(from, sizeof from, "%s/%s", path, names[i]) ||
            !nx_path_write(name, sizeof name, "%s%s%s", folder, folder[0] ? "/" : "", names[i]) ||
            nx_dir_exists(from))
            continue;
        st = nx_file_read_all(&bytes, from, w->err);
        if (!st) st = write_file(w, name, bytes.data ? bytes.data : "", bytes.len);
        nx_buf_free(&bytes);
    }
    nx_free(names);
    return st;
}

/* ---- The whole ---- */

static nx_status check(const nx_checkpoint *cp, const char *out, nx_error *err)
{
    const char *path = nx_checkpoint_path(cp);

    if (!cp->hf)
        return nx_fail(err, NX_EINVAL,
                       "%.200s: a GGUF file, and bitsandbytes' types go into Hugging Face folders. "
                       "Give the model's folder, or one of GGUF's types (q4_k_m, q8_0, ...)",
                       path);
    if (cp->hf->config.quant != NX_HF_QUANT_NONE)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%.200s: is quantised already. Quantise the original weights", path);
    if (cp->hf->n_raws == 0)
        return nx_fail(err, NX_EINVAL, "%.200s: no weights in this folder", path);
    if (nx_file_exists(out))
        return nx_fail(err, NX_EINVAL, "%.200s: is there already. Remove it first", out);
    return NX_OK;
}

static nx_status write_folder(work *w, const char *out)
{
    nx_status st = nx_dir_remove_all(w->folder, w->err);

    if (!st) st = nx_dir_make(w->folder, w->err);
    if (!st) st = copy_files(w, "");
    if (!st) st = copy_files(w, "additional_chat_templates");
    if (!st) st = write_config(w);
    if (!st) st = write_weights(w);
    if (!st) st = nx_path_rename(w->folder, out, w->err);
    if (st) (void)nx_dir_remove_all(w->folder, NULL);
    return st;
}

nx_status nx_hf_quantise(const nx_checkpoint *cp, const char *out,
                         const nx_hf_quantise_options *opt, nx_error *err)
{
    char      folder[4096], final[4096];
    work      w = {.cp = cp, .opt = opt, .folder = folder, .err = err};
    size_t    n = strlen(out);
    nx_status st = check(cp, out, err);

    while (n > 1 && out[n - 1] == '/') n--;
    if (!st && (!nx_path_write(folder, sizeof folder, "%.*s.partial", (int)n, out) ||
                !nx_path_write(final, sizeof final, "%.*s", (int)n, out)))
        st = nx_fail(err, NX_EINVAL, "%.200s: the path is too long", out);
    if (!st) st = list_items(&w);
    if (!st) st = write_folder(&w, final);
    nx_safetensors_writer_destroy(w.w);
    nx_free(w.items);
    nx_free(w.buffer);
    return st;
}
