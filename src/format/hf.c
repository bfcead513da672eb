/* hf.c - opens a Hugging Face folder as a checkpoint.
 *
 * Idea:      shards are mapped and listed first, since the translation of config.json wants to know
 *            the type of the embedding; then the metadata are made; then each tensor gets its GGUF
 *            name. Nothing is copied but what hf_layout.c must rearrange.
 * Invariant: every tensor of the folder has its GGUF name, is ignored by name, or the folder is
 *            refused.
 */
#include "format/hf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "format/hf_sentence.h"
#include "format/printable.h"
#include "os/dir.h"

/* ---- Messages ---- */

nx_status nx_hf_raw_fail(const nx_hf *hf, const nx_hf_raw *raw, nx_status st, nx_error *err,
                         const char *fmt, ...)
{
    char    text[320], shown[120];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return nx_fail(err, st, "%s: tensor %s at byte %" PRIu64 ": %s", hf->shards[raw->shard].st.name,
                   nx_printable(shown, sizeof shown, raw->t->name), raw->t->at, text);
}

nx_status nx_hf_tensor_fail(const nx_checkpoint *cp, const char *name, int64_t i, nx_status st,
                            nx_error *err, const char *text)
{
    const nx_hf *hf = cp->hf;
    char         shown[120], back[160];

    nx_printable(shown, sizeof shown, nx_str_of(name));
    if (i >= 0 && hf->sources[i].shard < 0)
        return nx_fail(err, st, "%s: rope scaling (%s): %s", hf->config_shown, shown, text);
    if (i >= 0) {
        char own[120];
        return nx_fail(err, st, "%s: tensor %s (%s) at byte %" PRIu64 ": %s",
                       hf->shards[hf->sources[i].shard].st.name,
                       nx_printable(own, sizeof own, hf->sources[i].name), shown,
                       cp->tensors[i].entry_at, text);
    }
    if (!nx_hf_name_back(hf->config.arch, name, back, sizeof back))
        snprintf(back, sizeof back, "for");
    return nx_fail(err, st, "%s: tensor %s (%s) missing from its %d safetensors file%s: %s",
                   hf->shown, back, shown, hf->n_shards, hf->n_shards == 1 ? "" : "s", text);
}

nx_status nx_hf_meta_fail(const nx_hf *hf, const char *key, bool found, nx_status st, nx_error *err,
                          const char *text)
{
    const nx_hf_origin *o = nx_hf_config_origin(&hf->config, key);
    char                shown[80];

    nx_printable(shown, sizeof shown, nx_str_of(key));
    if (o && o->line)
        return nx_fail(err, st, "%s: %s in line %u: %s", hf->config_shown, o->field, o->line, text);
    if (o) return nx_fail(err, st, "%s: %s, by default: %s", hf->config_shown, o->field, text);
    if (!found && strncmp(key, "tokenizer.", 10) == 0)
        return nx_fail(err, st, "%s: no tokenizer.json or tokenizer.model that gives %s: %s",
                       hf->shown, shown, text);
    return nx_fail(err, st, "%s: nothing gives %s%s: %s", hf->config_shown, shown,
                   found ? "" : ", which is missing", text);
}

/* ---- Memory ---- */

static nx_status no_memory(const nx_hf *hf, const char *what, nx_error *err)
{
    return nx_fail(err, NX_ENOMEM, "%s: out of memory for %s", hf->shown, what);
}

void *nx_hf_own(nx_hf *hf, size_t n, nx_error *err)
{
    if (hf->n_owned == hf->owned_cap) {
        int32_t cap = hf->owned_cap ? hf->owned_cap * 2 : 32;
        void   *grown = nx_realloc(hf->owned, (size_t)cap, sizeof *hf->owned);
        if (!grown) {
            (void)no_memory(hf, "a list of tensors", err);
            return NULL;
        }
        hf->owned = grown;
        hf->owned_cap = cap;
    }
    void *p = nx_alloc(n, 1);
    if (p)
        hf->owned[hf->n_owned++] = p;
    else
        (void)no_memory(hf, "a rearranged tensor", err);
    return p;
}

/* ---- Tensors of all shards ---- */

static nx_status refuse_twice(const nx_hf *hf, int64_t first, int64_t second, nx_error *err)
{
    return nx_hf_raw_fail(hf, &hf->raws[second], NX_EFORMAT, err, "is in %s as well",
                          hf->shards[hf->raws[first].shard].st.name);
}

static nx_status gather_raws(nx_hf *hf, nx_error *err)
{
    int64_t n = 0, first, second;

    for (int32_t i = 0; i < hf->n_shards; i++) n += hf->shards[i].st.n_tensors;
    hf->raws = nx_alloc((size_t)n, sizeof *hf->raws);
    if (!hf->raws) return no_memory(hf, "its tensors", err);
    for (int32_t i = 0; i < hf->n_shards; i++)
        for (int64_t k = 0; k < hf->shards[i].st.n_tensors; k++)
            hf->raws[hf->n_raws++] = (nx_hf_raw){.t = &hf->shards[i].st.tensors[k], .shard = i};
    nx_status st = nx_name_index_alloc(&hf->raw_index, n, err);
    for (int64_t i = 0; i < n && !st; i++)
        hf->raw_index.entries[i] = (nx_name_entry){hf->raws[i].t->name, i};
    if (!st && !nx_name_index_sort(&hf->raw_index, &first, &second))
        st = refuse_twice(hf, first, second, err);
    return st;
}

nx_hf_raw *nx_hf_find(const nx_hf *hf, nx_str name)
{
    int64_t i = nx_name_index_find(&hf->raw_index, name);

    return i < 0 ? NULL : &hf->raws[i];
}

/* ---- Metadata ---- */

/* The folder's own name; of a snapshot in the Hub's cache, models--org--name of three floors up. */
static const char *model_name(const nx_checkpoint *cp, char *out, size_t cap)
{
    const char *at = strstr(cp->path, "models--");
    size_t      n;

    if (at) {
        at += strlen("models--");
        n = strcspn(at, "/");
    } else {
        size_t end = strlen(cp->path);
        while (end > 0 && cp->path[end - 1] == '/') end--;
        size_t from = end;
        while (from > 0 && cp->path[from - 1] != '/') from--;
        at = cp->path + from;
        n = end - from;
    }
    nx_printable(out, cap, (nx_str){at, n});
    char *dashes = strstr(out, "--");
    if (strstr(cp->path, "models--") && dashes) {
        *dashes = '/';
        memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    }
    return out;
}

static nx_status read_config(nx_checkpoint *cp, nx_error *err)
{
    nx_hf    *hf = cp->hf;
    char      name[96];
    nx_str    text = nx_hf_side_text(hf, "config.json");
    nx_status st;

    if (!text.p)
        return nx_fail(err, NX_ENOENT, "%s: no such file: a folder of weights needs it",
                       hf->config_shown);
    st = nx_json_parse(&hf->config_doc, hf->config_shown, text.p, text.len, NX_JSON_PYTHON, err);
    if (st) return st;
    nx_hf_sentence sentence = {0};
    sentence.ranks = nx_hf_config_ranks(hf->config_doc.root);
    nx_hf_facts facts = {.model_name = model_name(cp, name, sizeof name), .sentence = &sentence};
    st = nx_hf_sentence_read(&sentence, hf, err);
    if (!st)
        st = nx_hf_config_read(&hf->config, hf->config_shown, hf->config_doc.root, &facts, err);
    nx_hf_sentence_free(&sentence);
    if (st) return st;
    cp->parts = nx_calloc(1, sizeof *cp->parts);
    if (!cp->parts) return no_memory(hf, "metadata", err);
    cp->n_parts = 1;
    return nx_gguf_read(&cp->parts[0].g, hf->config_shown, hf->config.gguf.data,
                        hf->config.gguf.len, err);
}

/* ---- Weights ---- */

static nx_status refuse_unknown(const nx_hf *hf, const nx_hf_raw *raw, nx_error *err)
{
    return nx_hf_raw_fail(hf, raw, NX_EUNSUPPORTED, err, "no part of a %s model as we compute it",
                          hf->config.arch->model_type);
}

/* A tensor of plain numbers. */
static nx_status plain_tensor(const nx_hf *hf, const nx_hf_raw *raw, nx_tensor *t, nx_error *err)
{
    const nx_st_tensor *s = raw->t;

    switch (s->dtype) {
    case NX_ST_F32: t->dtype = NX_DTYPE_F32; break;
    case NX_ST_F16: t->dtype = NX_DTYPE_F16; break;
    case NX_ST_BF16: t->dtype = NX_DTYPE_BF16; break;
    default:
        return nx_hf_raw_fail(hf, raw, NX_EUNSUPPORTED, err,
                              "type %s, expected F32, F16, BF16 or one of bitsandbytes'",
                              nx_st_dtype_name(s->dtype));
    }
    if (s->n_dims < 1 || s->n_dims > NX_TENSOR_DIMS_MAX || s->bytes == 0)
        return nx_hf_raw_fail(hf, raw, NX_EFORMAT, err,
                              "%d dimensions and %zu bytes, expected 1 to %d, none of them 0",
                              s->n_dims, s->bytes, NX_TENSOR_DIMS_MAX);
    t->n_dims = s->n_dims;
    for (int d = 0; d < NX_TENSOR_DIMS_MAX; d++)
        t->ne[d] = d < s->n_dims ? s->shape[s->n_dims - 1 - d] : 1;
    t->data = s->data;
    t->bytes = s->bytes;
    return NX_OK;
}

/* Append the tensor that raw is, unless it is none of the model's. */
static nx_status add_tensor(nx_checkpoint *cp, nx_hf_raw *raw, nx_error *err)
{
    nx_hf          *hf = cp->hf;
    nx_gguf_tensor *e = &cp->tensors[cp->n_tensors];
    char            name[NX_GGUF_NAME_MAX + 1];
    nx_hf_layout    layout;
    bool            quantised;

    *e = (nx_gguf_tensor){.entry_at = raw->t->at, .part = raw->shard};
    nx_status st = nx_hf_bnb_read(hf, raw, &e->t, &quantised, err);
    if (st) return st;
    layout = NX_HF_AS_IT_IS;
    bool head =
        hf->config.ranks && nx_hf_rank_map(hf->config.arch, raw->t->name, name, sizeof name);
    if (!head && nx_hf_name_ignored(raw->t->name)) return NX_OK;
    if (!head && !nx_hf_name_map(hf->config.arch, raw->t->name, name, sizeof name, &layout))
        return refuse_unknown(hf, raw, err);
    if (hf->config.head_tied && strcmp(name, "output.weight") == 0) return NX_OK;
    if (!quantised) st = plain_tensor(hf, raw, &e->t, err);
    if (!st) st = nx_hf_rearrange(hf, raw, layout, &e->t, err);
    if (st) return st;
    e->t.name = nx_arena_strndup(&hf->arena, name, strlen(name));
    if (!e->t.name) return no_memory(hf, "tensor names", err);
    hf->sources[cp->n_tensors++] = (nx_hf_source){raw->t->name, raw->shard};
    return NX_OK;
}

static void add_factors(nx_checkpoint *cp, const nx_hf_factors *f)
{
    if (!f->name) return;
    cp->hf->sources[cp->n_tensors] = (nx_hf_source){{NULL, 0}, -1};
    cp->tensors[cp->n_tensors++] =
        (nx_gguf_tensor){.t = {.name = f->name,
                               .dtype = NX_DTYPE_F32,
                               .n_dims = 1,
                               .ne = {f->n, 1, 1, 1},
                               .data = f->values,
                               .bytes = (size_t)f->n * sizeof *f->values}};
}

static nx_status check_sides_used(const nx_hf *hf, nx_error *err)
{
    for (int64_t i = 0; i < hf->n_raws; i++)
        if (nx_hf_bnb_side(hf->raws[i].t->name) && !hf->raws[i].used)
            return nx_hf_raw_fail(hf, &hf->raws[i], NX_EFORMAT, err,
                                  "belongs to no quantised weight here");
    return NX_OK;
}

static nx_status index_tensors(nx_checkpoint *cp, nx_error *err)
{
    int64_t   first, second;
    nx_status st = nx_name_index_alloc(&cp->tensor_index, cp->n_tensors, err);

    if (st) return st;
    for (int64_t i = 0; i < cp->n_tensors; i++)
        cp->tensor_index.entries[i] = (nx_name_entry){nx_str_of(cp->tensors[i].t.name), i};
    if (nx_name_index_sort(&cp->tensor_index, &first, &second)) return NX_OK;
    return nx_hf_tensor_fail(cp, cp->tensors[second].t.name, second, NX_EFORMAT, err,
                             "is there under another name as well");
}

static nx_status add_tensors(nx_checkpoint *cp, nx_error *err)
{
    nx_hf    *hf = cp->hf;
    size_t    room = (size_t)hf->n_raws + 2; /* two for factors */
    nx_status st = NX_OK;

    cp->tensors = nx_alloc(room, sizeof *cp->tensors);
    hf->sources = nx_alloc(room, sizeof *hf->sources);
    if (!cp->tensors || !hf->sources) return no_memory(hf, "its tensors", err);
    for (int64_t i = 0; i < hf->n_raws && !st; i++)
        if (!nx_hf_bnb_side(hf->raws[i].t->name)) st = add_tensor(cp, &hf->raws[i], err);
    if (!st) st = check_sides_used(hf, err);
    for (int i = 0; i < 2 && !st && hf->n_raws; i++) add_factors(cp, &hf->config.factors[i]);
    return st ? st : index_tensors(cp, err);
}

/* ---- The whole ---- */

static nx_status open_all(nx_checkpoint *cp, const nx_listing *d, nx_error *err)
{
    nx_status st = nx_hf_open_sides(cp, d, err);

    if (!st) st = nx_hf_open_shards(cp, d, err);
    if (!st) st = gather_raws(cp->hf, err);
    if (!st) st = read_config(cp, err);
    return st ? st : add_tensors(cp, err);
}

nx_status nx_hf_open(nx_checkpoint *cp, nx_error *err)
{
    nx_listing d;

    cp->hf = nx_calloc(1, sizeof *cp->hf);
    if (!cp->hf) return nx_fail(err, NX_ENOMEM, "out of memory for a folder");
    nx_printable_path(cp->hf->shown, sizeof cp->hf->shown, cp->path);
    snprintf(cp->hf->config_shown, sizeof cp->hf->config_shown, "%s/config.json", cp->hf->shown);
    nx_status st = nx_dir_list(&d.names, &d.n, cp->path, err);
    if (st) return st;
    st = open_all(cp, &d, err);
    nx_free(d.names);
    return st;
}

void nx_hf_close(nx_hf *hf)
{
    if (!hf) return;
    for (int32_t i = 0; i < hf->n_shards; i++) {
        nx_safetensors_free(&hf->shards[i].st);
        nx_file_map_close(&hf->shards[i].map);
    }
    for (int32_t i = 0; i < hf->n_sides; i++) {
        nx_free(hf->sides[i].name);
        nx_file_map_close(&hf->sides[i].map);
    }
    for (int32_t i = 0; i < hf->n_owned; i++) nx_free(hf->owned[i]);
    nx_free(hf->shards);
    nx_free(hf->sides);
    nx_free(hf->owned);
    nx_free(hf->raws);
    nx_free(hf->sources);
    nx_name_index_free(&hf->raw_index);
    nx_hf_config_free(&hf->config);
    nx_json_doc_free(&hf->config_doc);
    nx_arena_free(&hf->arena);
    nx_free(hf);
}
