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
#include "token/wordpiece.h"

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
    bool scored = !bpe && !nx_str_eq(src->model, NX_STR("bert"));
    if (!st && scored) {
        st = nx_meta_floats(cp, KEY "scores", &a->scores, &src->n_scores, true, err);
    }
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
    static const char *const models[] = {"llama", "gpt2", "bert", "t5"};

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (nx_str_eq(model, nx_str_of(models[i]))) return true;
    }
    return false;
}

/* BERT's files name the token that begins a text another way. */
static nx_status read_cls(nx_vocab_source *src, const nx_checkpoint *cp, nx_error *err)
{
    return src->special.bos >= 0 ? NX_OK
                                 : read_id(cp, KEY "cls_token_id", src->n, &src->special.bos, err);
}

/* ---- T5: a Unigram model of SentencePiece in GGUF's keys -------------------------------------- */

static nx_status read_charsmap(const nx_checkpoint *cp, nx_str *out, nx_error *err)
{
    const char    *key = KEY "precompiled_charsmap";
    const nx_meta *m = nx_checkpoint_meta(cp, key);

    *out = (nx_str){0};
    if (!m) return NX_OK;
    if (m->type != NX_META_ARRAY || (m->elem_type != NX_META_U8 && m->elem_type != NX_META_I8)) {
        return nx_meta_fail(cp, key, NX_EFORMAT, err, "expected an array of bytes");
    }
    *out = (nx_str){(const char *)m->data, (size_t)m->n};
    return NX_OK;
}

static nx_status check_t5(const nx_vocab_source *src, nx_error *err)
{
    if (src->n > 0 && src->n < 1 << 24 && src->n_types == src->n && src->n_scores == src->n) {
        return NX_OK;
    }
    return nx_meta_fail(src->cp, KEY "tokens", NX_EFORMAT, err,
                        "%lld tokens, %lld types, %lld scores: expected as many of each",
                        (long long)src->n, (long long)src->n_types, (long long)src->n_scores);
}

static nx_status create_t5(nx_vocab **out, const nx_vocab_source *src, arrays *a, nx_error *err)
{
    nx_spmodel    m = nx_spmodel_default();
    bool          trims = true;
    int           n_bytes = 0;
    nx_status     st = check_t5(src, err);
    nx_sp_options o = {.cp = src->cp,
                       .special = src->special,
                       .add_bos = src->add_bos > 0,
                       .add_eos = src->add_eos != 0};

    if (!st) st = read_charsmap(src->cp, &m.charsmap, err);
    if (!st) st = nx_meta_bool(src->cp, KEY "remove_extra_whitespaces", &trims, false, err);
    if (st) return st;
    for (int64_t i = 0; i < src->n; i++) n_bytes += a->types[i] == NX_TOKEN_BYTE;
    m.byte_fallback = n_bytes >= 256;
    m.dummy_prefix = src->add_space_prefix != 0;
    m.trims_spaces = trims;
    m.texts = a->texts;
    m.types = a->types;
    m.scores = a->scores;
    m.n = src->n;
    *a = (arrays){.merges = a->merges}; /* taken by the vocabulary */
    return nx_sp_create(out, &m, &o, err);
}

/* ---- The whole -------------------------------------------------------------------------------- */

static nx_status open_ggml(nx_vocab **out, const nx_checkpoint *cp, nx_error *err)
{
    nx_vocab_source src = {.cp = cp};
    arrays          a = {0};
    nx_status       st;

    (void)((st = nx_meta_string(cp, KEY "model", &src.model, true, err)) ||
           (is_ours(src.model) &&
            ((st = nx_meta_string(cp, KEY "pre", &src.pre, false, err)) ||
             (st = read_arrays(&src, &a, cp, err)) ||
             (st = read_ids(&src.special, cp, src.n, err)) ||
             (st = read_flag(cp, KEY "add_bos_token", &src.add_bos, err)) ||
             (st = read_flag(cp, KEY "add_eos_token", &src.add_eos, err)) ||
             (st = read_flag(cp, KEY "add_space_prefix", &src.add_space_prefix, err)) ||
             (st = read_strips(&src, cp, err)))));
    if (!st && nx_str_eq(src.model, NX_STR("bert"))) {
        st = read_cls(&src, cp, err);
        if (!st) st = nx_wordpiece_create(out, &src, err);
    } else if (!st && nx_str_eq(src.model, NX_STR("t5"))) {
        st = create_t5(out, &src, &a, err);
    } else if (!st) {
        st = nx_vocab_create(out, &src, err);
        if (!st) st = nx_vocab_pair_usual(*out, 2, false, err); /* RoBERTa's */
        if (st) {
            nx_vocab_close(*out);
            *out = NULL;
        }
    }
    arrays_free(&a);
    return st;
}

nx_status nx_vocab_open(nx_vocab **out, const nx_checkpoint *cp, nx_error *err)
{
    const char *name = NULL, *pre = NULL;

    *out = NULL;
    nx_str json = nx_checkpoint_file(cp, "tokenizer.json");
    if (json.p) return nx_tj_create(out, cp, json, err);
    nx_str model = nx_checkpoint_file(cp, "tokenizer.model");
    if (nx_spmodel_is(model)) return nx_sp_open(out, cp, "tokenizer.model", model, err);
    nx_str ranks = nx_tiktoken_find(cp, &name, &pre);
    if (name) return nx_tiktoken_create(out, cp, name, ranks, pre, err);
    return open_ggml(out, cp, err);
}

bool nx_vocab_present(const nx_checkpoint *cp)
{
    const char *name = NULL, *pre = NULL;

    if (nx_checkpoint_file(cp, "tokenizer.json").p || nx_checkpoint_meta(cp, KEY "model")) {
        return true;
    }
    if (nx_spmodel_is(nx_checkpoint_file(cp, "tokenizer.model"))) return true;
    nx_tiktoken_find(cp, &name, &pre);
    return name != NULL;
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
    nx_ids_free(&v->pair.before);
    nx_ids_free(&v->pair.between);
    nx_ids_free(&v->pair.after);
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

const nx_vocab_pair *nx_vocab_pairs(const nx_vocab *v)
{
    return v->pairs ? &v->pair : NULL;
}

bool nx_vocab_ends_answer(const nx_vocab *v, int32_t id)
{
    return id >= 0 && id < v->n && (v->marks[id] & NX_MARK_ENDS);
}
