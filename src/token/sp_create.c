/* sp_create.c - a vocabulary's tables from a SentencePiece model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "token/source.h"
#include "token/sp.h"

static void sp_close(void *impl)
{
    nx_sp *sp = impl;

    if (!sp) return;
    nx_spmodel_free(&sp->model);
    nx_charsmap_close(sp->map);
    nx_unigram_destroy(sp->trie);
    nx_unigram_destroy(sp->users);
    nx_arena_free(&sp->texts);
    nx_free(sp);
}

static const nx_vocab_ops ops = {
    .plain = nx_sp_encode,
    .decode = nx_sp_decode,
    .push = nx_sp_push,
    .finish = nx_sp_finish,
    .drop = nx_sp_drop,
    .close = sp_close,
};

bool nx_sp_is(const nx_vocab *v)
{
    return v->ops == &ops;
}

/* ---- Checks ----------------------------------------------------------------------------------- */

static const char *name_of(const nx_sp_options *o)
{
    return o->cp ? nx_checkpoint_path(o->cp) : "vocabulary";
}

static int32_t find_text(const nx_spmodel *m, nx_str text)
{
    for (int64_t i = 0; i < m->n; i++) {
        if (nx_str_eq(m->texts[i], text)) return (int32_t)i;
    }
    return -1;
}

static nx_status check(const nx_spmodel *m, const nx_sp_options *o, int32_t *unk, nx_error *err)
{
    *unk = -1;
    for (int64_t i = 0; i < m->n; i++) {
        if (m->types[i] == NX_TOKEN_UNKNOWN && *unk < 0) *unk = (int32_t)i;
    }
    if (*unk < 0) {
        return nx_fail(err, NX_EFORMAT, "%s: tokenizer: no piece of type unknown", name_of(o));
    }
    if (m->denormaliser.len) {
        return nx_fail(err, NX_EUNSUPPORTED, "%s: tokenizer: a denormaliser: we don't have that",
                       name_of(o));
    }
    return NX_OK;
}

/* ---- Tries ------------------------------------------------------------------------------------ */

static bool is_in(const nx_spmodel *m, int64_t i, bool users_only)
{
    return m->types[i] == NX_TOKEN_USER_DEFINED || (!users_only && m->types[i] == NX_TOKEN_NORMAL);
}

static nx_status make_trie(nx_unigram **out, const nx_spmodel *m, bool users_only, nx_error *err)
{
    nx_unigram_options o = {.score_min = INFINITY, .single = true};
    nx_unigram_token  *list = nx_alloc((size_t)m->n, sizeof *list);
    size_t             n = 0;

    if (!list) return nx_fail(err, NX_ENOMEM, "trie of %lld pieces", (long long)m->n);
    for (int64_t i = 0; i < m->n; i++) {
        bool user = m->types[i] == NX_TOKEN_USER_DEFINED;
        if (!is_in(m, i, users_only)) continue;
        list[n++] = (nx_unigram_token){m->texts[i], (int32_t)i, (double)m->scores[i], user};
        if (!user) o.score_min = fmin(o.score_min, (double)m->scores[i]);
    }
    nx_status st = n || !users_only ? nx_unigram_create(out, list, n, &o, err) : NX_OK;
    nx_free(list);
    return st;
}

static nx_status fill(nx_sp *sp, nx_error *err)
{
    nx_spmodel *m = &sp->model;
    nx_status   st = NX_OK;

    for (int64_t i = 0; i < m->n; i++) sp->has_unused |= m->types[i] == NX_TOKEN_UNUSED;
    if (m->charsmap.len) st = nx_charsmap_open(&sp->map, m->charsmap, err);
    if (!st) st = make_trie(&sp->users, m, true, err);
    if (!st && m->kind == NX_SP_UNIGRAM) st = make_trie(&sp->trie, m, false, err);
    return st;
}

/* ---- The vocabulary --------------------------------------------------------------------------- */

/* The model's lists, and what is added behind them. */
static nx_status append_added(nx_spmodel *m, const nx_sp_options *o, nx_error *err)
{
    size_t n = (size_t)m->n, more = (size_t)o->n_added;

    nx_str *texts = nx_realloc(m->texts, n + more, sizeof *texts);
    if (texts) m->texts = texts;
    float *scores = nx_realloc(m->scores, n + more, sizeof *scores);
    if (scores) m->scores = scores;
    int64_t *types = nx_realloc(m->types, n + more, sizeof *types);
    if (types) m->types = types;
    if (!texts || !scores || !types) {
        return nx_fail(err, NX_ENOMEM, "vocabulary of %zu tokens", n + more);
    }
    for (size_t i = 0; i < more; i++) {
        texts[n + i] = o->added[i];
        scores[n + i] = 0;
        types[n + i] = o->added_types[i];
    }
    return NX_OK;
}

static nx_status make_vocab(nx_vocab **out, nx_sp *sp, const nx_sp_options *o, int32_t unk,
                            nx_error *err)
{
    nx_spmodel       *m = &sp->model;
    nx_vocab_source   src = {.cp = o->cp,
                             .model = NX_STR("llama"),
                             .special = o->special,
                             .add_bos = o->add_bos,
                             .add_eos = o->add_eos,
                             .add_space_prefix = m->dummy_prefix,
                             .exact_ids = true,
                             .n_inside = m->n};
    nx_vocab_special *s = &src.special;

    if (s->unk < 0) s->unk = unk;
    if (s->bos < 0) s->bos = find_text(m, m->bos);
    if (s->eos < 0) s->eos = find_text(m, m->eos);
    if (s->pad < 0) s->pad = find_text(m, m->pad);
    nx_status st = append_added(m, o, err);
    if (st) return st;
    src.texts = m->texts;
    src.types = m->types;
    src.scores = m->scores;
    src.n = src.n_types = src.n_scores = m->n + o->n_added;
    return nx_vocab_create(out, &src, err);
}

static void free_lists(nx_spmodel *m)
{
    nx_free(m->texts);
    nx_free(m->scores);
    nx_free(m->types);
    m->texts = NULL;
    m->scores = NULL;
    m->types = NULL;
}

nx_status nx_sp_create(nx_vocab **out, nx_spmodel *m, const nx_sp_options *o, nx_error *err)
{
    static const char *const kinds[] = {"", "Unigram", "BPE", "words", "characters"};
    nx_sp                   *sp = nx_calloc(1, sizeof *sp);
    int32_t                  unk = -1;
    nx_status                st = NX_OK;

    *out = NULL;
    if (!sp) {
        nx_spmodel_free(m);
        return nx_fail(err, NX_ENOMEM, "vocabulary of %s", name_of(o));
    }
    sp->model = *m;
    sp->first_prefix_only = o->first_prefix_only;
    (void)((st = check(&sp->model, o, &unk, err)) || (st = fill(sp, err)) ||
           (st = make_vocab(out, sp, o, unk, err)));
    if (!st && sp->model.byte_fallback && (*out)->misses_bytes) {
        nx_vocab_close(*out);
        *out = NULL;
        st = nx_fail(err, NX_EFORMAT, "%s: tokenizer: byte fallback, but some byte has no piece",
                     name_of(o));
    }
    free_lists(&sp->model);
    *m = (nx_spmodel){0};
    if (st) {
        sp_close(sp);
        return st;
    }
    (*out)->ops = &ops;
    (*out)->impl = sp;
    snprintf((*out)->kind, sizeof(*out)->kind, "SentencePiece (%s)", kinds[sp->model.kind]);
    st = nx_vocab_pair_usual(*out, 2, false, err);
    if (!st) return NX_OK;
    nx_vocab_close(*out);
    *out = NULL;
    return st;
}
