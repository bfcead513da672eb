/* vocab.c - opens a checkpoint's vocabulary, and answers questions about it. */
#include "token/vocab.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "token/source.h"
#include "token/sp.h"
#include "token/tables.h"
#include "token/tiktoken.h"
#include "token/tj.h"

#define KEY "tokenizer.ggml."

/* The arrays that a source borrows while a vocabulary is built from it. */
typedef struct arrays {
    nx_str  *texts, *merges;
    float   *scores;
    int64_t *types;
} arrays;

static void arrays_free(arrays *a)
{
    nx_free(a->texts);
    nx_free(a->merges);
    nx_free(a->scores);
    nx_free(a->types);
}

static nx_status read_arrays(nx_vocab_source *src, arrays *a, const nx_checkpoint *cp,
                             nx_error *err)
{
    nx_status st;
    bool      bpe = nx_str_eq(src->model, NX_STR("gpt2"));

    (void)((st = nx_meta_strings(cp, KEY "tokens", &a->texts, &src->n, true, err)) ||
           (st = nx_meta_ints(cp, KEY "token_type", &a->types, &src->n_types, false, err)));
    if (!st && bpe) st = nx_meta_strings(cp, KEY "merges", &a->merges, &src->n_merges, true, err);
    if (!st && !bpe) st = nx_meta_floats(cp, KEY "scores", &a->scores, &src->n_scores, true, err);
    src->texts = a->texts;
    src->types = a->types;
    src->merges = a->merges;
    src->scores = a->scores;
    return st;
}

static nx_status read_id(const nx_checkpoint *cp, const char *key, int64_t n, int32_t *out,
                         nx_error *err)
{
    int64_t   id = -1;
    nx_status st = nx_meta_int(cp, key, &id, 0, n > 0 ? n - 1 : 0, false, err);

    if (!st) *out = (int32_t)id;
    return st;
}

static nx_status read_ids(nx_vocab_special *s, const nx_checkpoint *cp, int64_t n, nx_error *err)
{
    nx_status st;

    *s = (nx_vocab_special){.bos = -1, .eos = -1, .eot = -1, .unk = -1, .sep = -1, .pad = -1};
    (void)((st = read_id(cp, KEY "bos_token_id", n, &s->bos, err)) ||
           (st = read_id(cp, KEY "eos_token_id", n, &s->eos, err)) ||
           (st = read_id(cp, KEY "eot_token_id", n, &s->eot, err)) ||
           (st = read_id(cp, KEY "unknown_token_id", n, &s->unk, err)) ||
           (st = read_id(cp, KEY "seperator_token_id", n, &s->sep, err)) || /* GGUF's spelling */
           (st = read_id(cp, KEY "padding_token_id", n, &s->pad, err)));
    return st;
}

static nx_status read_flag(const nx_checkpoint *cp, const char *key, int *out, nx_error *err)
{
    bool      value = false;
    nx_status st = nx_meta_bool(cp, key, &value, false, err);

    *out = nx_checkpoint_meta(cp, key) ? value : -1;
    return st;
}

/* Does s hold `word`, upper and lower case alike? word is in lower case. */
static bool holds(nx_str s, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= s.len; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)s.p[i + k]) == word[k]) k++;
        if (k == n) return true;
    }
    return false;
}

/* GGUF has no field for tokens that swallow the white space after them; Phi-3's do, and its files
 * are known by their name. */
static nx_status read_strips(nx_vocab_source *src, const nx_checkpoint *cp, nx_error *err)
{
    nx_str    name = {0}, arch = {0};
    nx_status st = nx_meta_string(cp, "general.name", &name, false, err);

    if (!st) st = nx_meta_string(cp, "general.architecture", &arch, false, err);
    src->strips_after_special =
        !nx_str_eq(src->model, NX_STR("gpt2")) &&
        (nx_str_eq(arch, NX_STR("phi3")) || holds(name, "phi-3") || holds(name, "phi3"));
    return st;
}

static bool is_ours(nx_str model)
{
    return nx_str_eq(model, NX_STR("llama")) || nx_str_eq(model, NX_STR("gpt2"));
}

nx_status nx_vocab_open(nx_vocab **out, const nx_checkpoint *cp, nx_error *err)
{
    nx_vocab_source src = {.cp = cp};
    arrays          a = {0};
    nx_status       st;

    *out = NULL;
    nx_str json = nx_checkpoint_file(cp, "tokenizer.json");
    if (json.p) return nx_tj_create(out, cp, json, err);
    nx_str model = nx_checkpoint_file(cp, "tokenizer.model");
    if (nx_spmodel_is(model)) return nx_sp_open(out, cp, "tokenizer.model", model, err);
    const char *name = NULL, *pre = NULL;
    nx_str      ranks = nx_tiktoken_find(cp, &name, &pre);
    if (name) return nx_tiktoken_create(out, cp, name, ranks, pre, err);
    (void)((st = nx_meta_string(cp, KEY "model", &src.model, true, err)) ||
           (is_ours(src.model) &&
            ((st = nx_meta_string(cp, KEY "pre", &src.pre, false, err)) ||
             (st = read_arrays(&src, &a, cp, err)) ||
             (st = read_ids(&src.special, cp, src.n, err)) ||
             (st = read_flag(cp, KEY "add_bos_token", &src.add_bos, err)) ||
             (st = read_flag(cp, KEY "add_eos_token", &src.add_eos, err)) ||
             (st = read_flag(cp, KEY "add_space_prefix", &src.add_space_prefix, err)) ||
             (st = read_strips(&src, cp, err)))));
    if (!st) st = nx_vocab_create(out, &src, err);
    arrays_free(&a);
    return st;
}

void nx_vocab_close(nx_vocab *v)
{
    if (!v) return;
    if (v->ops && v->ops->close) v->ops->close(v->impl);
    nx_index_destroy(&v->by_text);
    nx_index_destroy(&v->by_raw);
    nx_specials_destroy(&v->specials);
    nx_merges_destroy(&v->merges);
    nx_pretoken_destroy(&v->pretoken);
    nx_free(v->texts);
    nx_free(v->raw);
    nx_free(v->pool);
    nx_free(v->types);
    nx_free(v->marks);
    nx_free(v->scores);
    nx_free(v);
}

/* ---- Questions -------------------------------------------------------------------------------- */

int32_t nx_vocab_size(const nx_vocab *v)
{
    return v->n;
}

const char *nx_vocab_kind(const nx_vocab *v)
{
    return v->kind;
}

nx_token_type nx_vocab_type(const nx_vocab *v, int32_t id)
{
    return id >= 0 && id < v->n ? (nx_token_type)v->types[id] : NX_TOKEN_UNKNOWN;
}

nx_str nx_vocab_text(const nx_vocab *v, int32_t id)
{
    return id >= 0 && id < v->n ? v->texts[id] : (nx_str){0};
}

int32_t nx_vocab_find(const nx_vocab *v, nx_str text)
{
    return nx_index_find(&v->by_text, text.p, text.len);
}

const nx_vocab_special *nx_vocab_special_ids(const nx_vocab *v)
{
    return &v->special;
}

bool nx_vocab_ends_answer(const nx_vocab *v, int32_t id)
{
    return id >= 0 && id < v->n && (v->marks[id] & NX_MARK_ENDS);
}
