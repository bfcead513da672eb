/* export.c - a vocabulary as GGUF's keys. */
#include "token/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "token/sp.h"
#include "token/tiktoken.h"
#include "token/tj.h"

#define KEY "tokenizer.ggml."

static nx_status cannot(nx_error *err, const char *what)
{
    return nx_fail(err, NX_EUNSUPPORTED, "tokenizer: GGUF has no words for %s", what);
}

/* ---- Which pre-tokenizer ---------------------------------------------------------------------- */

static bool is_split(const nx_tj_pre *p, const char *pattern)
{
    const nx_cut *cut = nx_cut_find(nx_str_of(pattern));
    bool all = p->behaviour == NX_TJ_ISOLATED || (p->behaviour == NX_TJ_REMOVED && p->invert);

    return p->kind == NX_TJ_SPLIT && all && cut && p->pattern.cut == cut;
}

static bool is_digits(const nx_tj_pre *p, bool individual)
{
    return p->kind == NX_TJ_CLASS && p->of == NX_TJ_NUMERIC &&
           p->behaviour == (individual ? NX_TJ_ISOLATED : NX_TJ_CONTIGUOUS);
}

/* The stages before ByteLevel, which comes last and doesn't cut by itself. */
static const char *name_of_split(const nx_tj *tj)
{
    static const struct {
        const char *pattern, *name;
    } known[] = {
        {NX_CUT_LLAMA3, "dbrx"},        {NX_CUT_QWEN2, "qwen2"},  {NX_CUT_QWEN35, "qwen35"},
        {NX_CUT_BAILING, "bailingmoe"}, {NX_CUT_GPT4O, "gpt-4o"}, {NX_CUT_TEKKEN, "tekken"},
    };

    if (tj->n_pres != 2) return NULL;
    if (is_split(&tj->pres[0], NX_CUT_LLAMA3) && tj->model.ignore_merges) return "llama-bpe";
    if (is_split(&tj->pres[0], NX_CUT_GPT2)) return "gpt-2";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (is_split(&tj->pres[0], known[i].pattern)) return known[i].name;
    }
    return NULL;
}

/* llama.cpp's name for what cuts the words, or NULL. */
static const char *pre_name(const nx_tj *tj)
{
    const nx_tj_pre *last = &tj->pres[tj->n_pres - 1];

    if (last->prefix) return NULL;
    if (!last->use_regex) return name_of_split(tj);
    if (tj->n_pres == 1) return "gpt-2";
    if (tj->n_pres == 2 && is_digits(&tj->pres[0], true)) return "starcoder";
    return NULL;
}

/* ---- The keys --------------------------------------------------------------------------------- */

/* What is put, as arrays of all rows. */
typedef struct table {
    int64_t  n;
    nx_str  *texts;
    int32_t *types;
    float   *scores;
    nx_str  *merges;
    nx_arena arena;
} table;

static void table_free(table *t)
{
    nx_free(t->texts);
    nx_free(t->types);
    nx_free(t->scores);
    nx_free(t->merges);
    nx_arena_free(&t->arena);
}

static nx_status table_init(table *t, const nx_vocab *v, int64_t n_rows, nx_error *err)
{
    t->n = n_rows > v->n ? n_rows : v->n;
    t->texts = nx_alloc((size_t)t->n, sizeof *t->texts);
    t->types = nx_alloc((size_t)t->n, sizeof *t->types);
    if (!t->texts || !t->types) return nx_fail(err, NX_ENOMEM, "%lld tokens", (long long)t->n);
    for (int64_t i = 0; i < t->n; i++) {
        char name[32];
        t->types[i] = i < v->n ? v->types[i] : NX_TOKEN_UNUSED;
        t->texts[i] = i < v->n ? v->texts[i] : (nx_str){0};
        if (t->texts[i].p) continue;
        int   len = snprintf(name, sizeof name, "[PAD%lld]", (long long)i);
        char *p = nx_arena_strndup(&t->arena, name, (size_t)len);
        if (!p) return nx_fail(err, NX_ENOMEM, "%lld tokens", (long long)t->n);
        t->texts[i] = (nx_str){p, (size_t)len};
    }
    return NX_OK;
}

static void put_id(nx_gguf_writer *w, const char *key, int32_t id)
{
    if (id >= 0) nx_gguf_put_int(w, key, NX_META_U32, id);
}

static void put_common(const nx_vocab *v, nx_gguf_writer *w, const table *t)
{
    const nx_vocab_special *s = &v->special;

    nx_gguf_put_strings(w, KEY "tokens", t->texts, t->n);
    nx_gguf_put_i32s(w, KEY "token_type", t->types, t->n);
    put_id(w, KEY "bos_token_id", s->bos);
    put_id(w, KEY "eos_token_id", s->eos);
    if (s->eot != s->eos) put_id(w, KEY "eot_token_id", s->eot);
    put_id(w, KEY "unknown_token_id", s->unk);
    put_id(w, KEY "seperator_token_id", s->sep); /* GGUF's spelling */
    put_id(w, KEY "padding_token_id", s->pad);
    nx_gguf_put_bool(w, KEY "add_bos_token", s->add_bos);
    nx_gguf_put_bool(w, KEY "add_eos_token", s->add_eos);
}

/* "left right" */
static nx_status make_merges(table *t, const nx_tj_model *m, nx_error *err)
{
    t->merges = nx_alloc((size_t)m->n_merges, sizeof *t->merges);
    if (!t->merges) return nx_fail(err, NX_ENOMEM, "%d merges", m->n_merges);
    for (int32_t i = 0; i < m->n_merges; i++) {
        nx_str a = m->merge_texts[2 * i], b = m->merge_texts[2 * i + 1];
        char  *p = nx_arena_alloc(&t->arena, a.len + 1 + b.len, 1);
        if (!p) return nx_fail(err, NX_ENOMEM, "%d merges", m->n_merges);
        memcpy(p, a.p, a.len);
        p[a.len] = ' ';
        memcpy(p + a.len + 1, b.p, b.len);
        t->merges[i] = (nx_str){p, a.len + 1 + b.len};
    }
    return NX_OK;
}

static nx_status put_byte_level(const nx_vocab *v, nx_gguf_writer *w, table *t, nx_error *err)
{
    const nx_tj *tj = v->impl;
    const char  *pre = pre_name(tj);

    if (!pre) return cannot(err, "this way of cutting words");
    for (int i = 0; i < tj->n_norms; i++) {
        if (tj->norms[i].kind != NX_TJ_NFC) return cannot(err, "this normalizer");
    }
    nx_status st = make_merges(t, &tj->model, err);
    if (st) return st;
    nx_gguf_put_string(w, KEY "model", NX_STR("gpt2"));
    nx_gguf_put_string(w, KEY "pre", nx_str_of(pre));
    put_common(v, w, t);
    nx_gguf_put_strings(w, KEY "merges", t->merges, tj->model.n_merges);
    return NX_OK;
}

/* SentencePiece's score of a token is the order in which it was learnt: the merge that makes it. */
static nx_status make_scores(table *t, const nx_tj_model *m, nx_error *err)
{
    t->scores = nx_calloc((size_t)t->n, sizeof *t->scores);
    if (!t->scores) return nx_fail(err, NX_ENOMEM, "%lld scores", (long long)t->n);
    for (uint32_t i = 0; i <= m->merges.mask; i++) {
        const nx_merge *e = &m->merges.slots[i];
        if (e->left < 0) continue;
        float score = -(float)(e->rank + 1);
        if (t->scores[e->id] == 0 || score > t->scores[e->id]) t->scores[e->id] = score;
    }
    for (int64_t i = 0; i < t->n; i++) {
        if (t->types[i] == NX_TOKEN_NORMAL && t->scores[i] == 0) {
            t->scores[i] = -(float)(m->n_merges + 1); /* single characters: never merged into */
        }
    }
    return NX_OK;
}

static bool replaces_spaces(const nx_tj_norm *n)
{
    return n->kind == NX_TJ_REPLACE && nx_str_eq(n->pattern.literal, NX_STR(" ")) &&
           nx_str_eq(n->text, NX_STR(NX_SPACE_MARK));
}

/* The forms in which Llama's and Gemma's tokenizers are written. *prefix: a mark goes in front. */
static bool is_marked(const nx_tj *tj, bool *prefix)
{
    const nx_tj_norm *n = tj->norms;
    const nx_tj_pre  *p = tj->pres;

    *prefix = false;
    if (tj->n_norms == 0 && tj->n_pres == 1 && p->kind == NX_TJ_METASPACE) {
        *prefix = p->scheme != NX_TJ_NEVER;
        return nx_str_eq(p->mark, NX_STR(NX_SPACE_MARK));
    }
    if (tj->n_norms == 2 && tj->n_pres == 0 && n[0].kind == NX_TJ_PREPEND) {
        *prefix = nx_str_eq(n[0].text, NX_STR(NX_SPACE_MARK));
        return *prefix && replaces_spaces(&n[1]);
    }
    return tj->n_norms == 1 && replaces_spaces(&n[0]) &&
           (tj->n_pres == 0 || (tj->n_pres == 1 && p->kind == NX_TJ_SPLIT &&
                                nx_str_eq(p->pattern.literal, NX_STR(" "))));
}

static nx_status put_marked(const nx_vocab *v, nx_gguf_writer *w, table *t, nx_error *err)
{
    const nx_tj *tj = v->impl;
    bool         prefix;

    if (!is_marked(tj, &prefix)) return cannot(err, "this way of cutting words");
    if (!tj->model.byte_fallback) return cannot(err, "BPE over characters without byte tokens");
    nx_status st = make_scores(t, &tj->model, err);
    if (st) return st;
    nx_gguf_put_string(w, KEY "model", NX_STR("llama"));
    nx_gguf_put_string(w, KEY "pre", NX_STR("default"));
    put_common(v, w, t);
    nx_gguf_put_f32s(w, KEY "scores", t->scores, t->n);
    nx_gguf_put_bool(w, KEY "add_space_prefix", prefix);
    return NX_OK;
}

/* A SentencePiece model of the BPE kind: its pieces and scores are GGUF's. */
static nx_status put_pieces(const nx_vocab *v, nx_gguf_writer *w, const char *model, table *t,
                            nx_error *err)
{
    t->scores = nx_calloc((size_t)t->n, sizeof *t->scores);
    if (!t->scores) return nx_fail(err, NX_ENOMEM, "%lld scores", (long long)t->n);
    memcpy(t->scores, v->scores, (size_t)v->n * sizeof *t->scores);
    nx_gguf_put_string(w, KEY "model", nx_str_of(model));
    nx_gguf_put_string(w, KEY "pre", NX_STR("default"));
    put_common(v, w, t);
    nx_gguf_put_f32s(w, KEY "scores", t->scores, t->n);
    nx_gguf_put_bool(w, KEY "add_space_prefix", v->add_space_prefix);
    return NX_OK;
}

/* A SentencePiece model of a folder: BPE is GGUF's "llama" where nothing is normalised, Unigram its
 * "t5". */
static nx_status put_model(const nx_vocab *v, nx_gguf_writer *w, table *t, nx_error *err)
{
    const nx_spmodel *m = &((const nx_sp *)v->impl)->model;

    if (m->space_suffix || !m->marks_spaces) return cannot(err, "this way of marking spaces");
    if (m->kind == NX_SP_BPE) {
        return m->charsmap.len || m->trims_spaces ? cannot(err, "this normalizer")
                                                  : put_pieces(v, w, "llama", t, err);
    }
    if (m->kind != NX_SP_UNIGRAM) return cannot(err, v->kind);
    nx_status st = put_pieces(v, w, "t5", t, err);
    if (st) return st;
    nx_gguf_put_bool(w, KEY "remove_extra_whitespaces", m->trims_spaces);
    if (m->charsmap.len) {
        nx_gguf_put_meta(w, &(nx_meta){.key = NX_STR(KEY "precompiled_charsmap"),
                                       .type = NX_META_ARRAY,
                                       .elem_type = NX_META_U8,
                                       .n = m->charsmap.len,
                                       .data = (const unsigned char *)m->charsmap.p});
    }
    return NX_OK;
}

/* ---- WordPiece -------------------------------------------------------------------------------- */

/* BertNormalizer with all of its steps, or with those alone that keep capitals and accents. */
static bool is_bert_text(const nx_tj *tj, bool *keeps_case)
{
    static const nx_tj_norm_kind steps[] = {NX_TJ_CLEAN, NX_TJ_IDEOGRAPHS, NX_TJ_NFD, NX_TJ_BARE,
                                            NX_TJ_LOWERCASE};
    const nx_tj_pre             *p = tj->pres;

    *keeps_case = tj->n_norms == 2;
    if (tj->n_norms != 2 && tj->n_norms != 5) return false;
    for (int i = 0; i < tj->n_norms; i++)
        if (tj->norms[i].kind != steps[i]) return false;
    return tj->n_pres == 2 && p[0].kind == NX_TJ_CLASS && p[0].of == NX_TJ_WHITE &&
           p[0].behaviour == NX_TJ_REMOVED && p[1].kind == NX_TJ_CLASS &&
           p[1].of == NX_TJ_PUNCTUATION && p[1].behaviour == NX_TJ_ISOLATED;
}

/* "##ing" is "ing" in GGUF, and "king" is "\u2581king"; what stands in brackets stays as it is. */
static nx_status mark_words(table *t, nx_error *err)
{
    for (int64_t i = 0; i < t->n; i++) {
        nx_str s = t->texts[i];
        if (t->types[i] != NX_TOKEN_NORMAL) continue;
        if (s.len > 1 && s.p[0] == '[' && s.p[s.len - 1] == ']') continue;
        if (s.len > 2 && s.p[0] == '#' && s.p[1] == '#') {
            t->texts[i] = (nx_str){s.p + 2, s.len - 2};
            continue;
        }
        char *p = nx_arena_alloc(&t->arena, NX_SPACE_MARK_LEN + s.len, 1);
        if (!p) return nx_fail(err, NX_ENOMEM, "%lld tokens", (long long)t->n);
        memcpy(p, NX_SPACE_MARK, NX_SPACE_MARK_LEN);
        memcpy(p + NX_SPACE_MARK_LEN, s.p, s.len);
        t->texts[i] = (nx_str){p, NX_SPACE_MARK_LEN + s.len};
    }
    return NX_OK;
}

/* GGUF's reader knows whether letters become small by a word that begins with a capital. */
static nx_status put_wordpiece(const nx_vocab *v, nx_gguf_writer *w, table *t, nx_error *err)
{
    const nx_tj *tj = v->impl;
    bool         keeps_case, usual = nx_str_eq(tj->model.prefix, NX_STR("##"));

    if (!is_bert_text(tj, &keeps_case) || !usual || tj->model.chars_max != 100)
        return cannot(err, "this way of cutting words");
    if (keeps_case != (nx_vocab_find(v, NX_STR("The")) >= 0))
        return cannot(err, "capitals in this vocabulary");
    if (tj->front.n != 1 || tj->back.n != 1) return cannot(err, "what stands around a text");
    nx_status st = mark_words(t, err);
    if (st) return st;
    nx_gguf_put_string(w, KEY "model", NX_STR("bert"));
    nx_gguf_put_string(w, KEY "pre", NX_STR("default"));
    nx_gguf_put_strings(w, KEY "tokens", t->texts, t->n);
    nx_gguf_put_i32s(w, KEY "token_type", t->types, t->n);
    put_id(w, KEY "cls_token_id", tj->front.ids[0]);
    put_id(w, KEY "bos_token_id", tj->front.ids[0]);
    put_id(w, KEY "eos_token_id", tj->back.ids[0]);
    put_id(w, KEY "seperator_token_id", tj->back.ids[0]); /* GGUF's spelling */
    put_id(w, KEY "unknown_token_id", v->special.unk);
    put_id(w, KEY "padding_token_id", v->special.pad);
    put_id(w, KEY "mask_token_id", nx_vocab_find(v, NX_STR("[MASK]")));
    return NX_OK;
}

/* ---- Ranks in tiktoken's form ----------------------------------------------------------------- */

static int by_rank(const void *pa, const void *pb)
{
    const nx_merge *a = pa, *b = pb;

    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->left != b->left) return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

static const char *ggml_name(const char *pre)
{
    static const char *const names[][2] = {
        {"llama-bpe", "llama-bpe"},   {"tiktoken-gpt2", "gpt-2"},   {"tiktoken-qwen", "qwen2"},
        {"tiktoken-o200k", "gpt-4o"}, {"tiktoken-kimi", "kimi-k2"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(pre, names[i][0]) == 0) return names[i][1];
    }
    return NULL;
}

static nx_status list_merges(const nx_vocab *v, table *t, const nx_merge *list, int64_t n,
                             nx_error *err)
{
    t->merges = nx_alloc((size_t)n, sizeof *t->merges);
    if (!t->merges) return nx_fail(err, NX_ENOMEM, "%lld merges", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        nx_str a = v->texts[list[i].left], b = v->texts[list[i].right];
        char  *p = nx_arena_alloc(&t->arena, a.len + 1 + b.len, 1);
        if (!p) return nx_fail(err, NX_ENOMEM, "%lld merges", (long long)n);
        memcpy(p, a.p, a.len);
        p[a.len] = ' ';
        memcpy(p + a.len + 1, b.p, b.len);
        t->merges[i] = (nx_str){p, a.len + 1 + b.len};
    }
    return NX_OK;
}

static nx_status put_ranks(const nx_vocab *v, nx_gguf_writer *w, table *t, nx_error *err)
{
    const char *pre = ggml_name(nx_pretoken_name(&v->pretoken));
    nx_merge   *list = nx_alloc((size_t)v->merges.mask + 1, sizeof *list);
    int64_t     n = 0;
    nx_status   st = NX_OK;

    if (!pre || !list) {
        nx_free(list);
        return pre ? nx_fail(err, NX_ENOMEM, "merges") : cannot(err, "this way of cutting words");
    }
    for (uint32_t i = 0; i <= v->merges.mask; i++) {
        if (v->merges.slots[i].left >= 0) list[n++] = v->merges.slots[i];
    }
    if (n > 1) qsort(list, (size_t)n, sizeof *list, by_rank);
    st = list_merges(v, t, list, n, err);
    nx_free(list);
    if (st) return st;
    nx_gguf_put_string(w, KEY "model", NX_STR("gpt2"));
    nx_gguf_put_string(w, KEY "pre", nx_str_of(pre));
    put_common(v, w, t);
    nx_gguf_put_strings(w, KEY "merges", t->merges, n);
    return NX_OK;
}

/* ---- The whole -------------------------------------------------------------------------------- */

static nx_status put_other(const nx_vocab *v, nx_gguf_writer *w, table *t, nx_error *err)
{
    if (nx_sp_is(v)) return put_model(v, w, t, err);
    if (nx_tiktoken_is_vocab(v)) return put_ranks(v, w, t, err);
    return v->scores && !v->bpe && !v->ops ? put_pieces(v, w, "llama", t, err)
                                           : cannot(err, v->kind);
}

nx_status nx_vocab_export(const nx_vocab *v, nx_gguf_writer *w, int64_t n_rows, nx_error *err)
{
    table     t = {0};
    nx_status st = table_init(&t, v, n_rows, err);

    if (!st && !nx_tj_is(v)) {
        st = put_other(v, w, &t, err);
    } else if (!st && ((const nx_tj *)v->impl)->model.kind == NX_TJ_WORDPIECE) {
        st = put_wordpiece(v, w, &t, err);
    } else if (!st && ((const nx_tj *)v->impl)->model.kind != NX_TJ_BPE) {
        st = cannot(err, v->kind);
    } else if (!st) {
        st = ((const nx_tj *)v->impl)->raw_bytes ? put_byte_level(v, w, &t, err)
                                                 : put_marked(v, w, &t, err);
    }
    table_free(&t);
    return st;
}
