/* sp_encode.c - from text to the pieces of a SentencePiece model.
 *
 * BPE:      user-defined pieces stand fast, other characters merge (spm.c). A word at a time, where
 *           no piece crosses words; a model with unused or user-defined pieces takes the text whole.
 *           An unused piece is taken apart again, as it was last put together.
 * Unigram:  the best way through the text (unigram.c).
 * Unknown:  spelled in byte pieces where the model falls back on them; else one unknown id for each
 *           run.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/sp.h"
#include "token/spm.h"

#define TEXT_MAX ((size_t)1 << 30)

typedef struct encoder {
    const nx_vocab *v;
    const nx_sp    *sp;
    nx_ids         *out;
    bool            after_unknown;
    nx_spm_work     spm;
} encoder;

static nx_status add(encoder *e, int32_t id, nx_error *err)
{
    e->after_unknown = false;
    return nx_ids_add(e->out, id, err);
}

static nx_status add_unknown(encoder *e, const char *p, size_t len, nx_error *err)
{
    nx_status st = NX_OK;
    bool      again = e->after_unknown;

    e->after_unknown = true;
    if (!e->sp->model.byte_fallback) {
        return again ? NX_OK : nx_ids_add(e->out, e->v->special.unk, err);
    }
    for (size_t i = 0; !st && i < len; i++) {
        st = nx_ids_add(e->out, e->v->byte_ids[(unsigned char)p[i]], err);
    }
    return st;
}

/* ---- Unigram ---------------------------------------------------------------------------------- */

static nx_status on_token(void *ctx, int32_t id, const char *text, size_t len, nx_error *err)
{
    return id == NX_UNIGRAM_UNKNOWN ? add_unknown(ctx, text, len, err) : add(ctx, id, err);
}

static nx_status encode_unigram(encoder *e, const char *text, size_t len, nx_error *err)
{
    nx_unigram_work w = {0};
    nx_status       st = nx_unigram_encode(e->sp->trie, &w, text, len, on_token, e, err);

    nx_unigram_work_free(&w);
    return st;
}

/* ---- BPE -------------------------------------------------------------------------------------- */

static void add_symbol(encoder *e, const char *p, size_t len, int32_t id, bool frozen)
{
    nx_spm_work *w = &e->spm;
    int32_t      i = (int32_t)w->n++;

    memcpy(w->text + w->text_len, p, len);
    w->symbols[i] = (nx_spm_symbol){.prev = i - 1,
                                    .next = i + 1,
                                    .at = (uint32_t)w->text_len,
                                    .len = (uint32_t)len,
                                    .id = id,
                                    .frozen = frozen};
    w->text_len += len;
}

static void read_symbols(encoder *e, const char *p, size_t len)
{
    int32_t id;

    e->spm.n = e->spm.text_len = 0;
    for (size_t n; len; p += n, len -= n) {
        n = e->sp->users ? nx_unigram_longest(e->sp->users, p, len, &id) : 0;
        if (n) {
            add_symbol(e, p, n, id, true);
            continue;
        }
        nx_utf8_decode(p, len, &n);
        id = nx_index_find(&e->v->by_text, p, n);
        add_symbol(e, p, n, nx_vocab_merges_to(e->v, id) ? id : NX_SPM_NO_TOKEN, false);
    }
    if (e->spm.n) e->spm.symbols[e->spm.n - 1].next = -1;
}

/* Depth: at most the bytes of a piece, of which each call's parts have fewer. */
static nx_status add_piece(encoder *e, int32_t id, const char *p, size_t len, nx_error *err)
{
    if (id < 0) return add_unknown(e, p, len, err);
    if (e->v->types[id] != NX_TOKEN_UNUSED) return add(e, id, err);
    uint32_t left = e->spm.splits[id];
    if (left == 0 || left >= len) return add_unknown(e, p, len, err);
    int32_t   a = nx_index_find(&e->v->by_text, p, left);
    int32_t   b = nx_index_find(&e->v->by_text, p + left, len - left);
    nx_status st = add_piece(e, nx_vocab_merges_to(e->v, a) ? a : -1, p, left, err);
    return st ? st : add_piece(e, nx_vocab_merges_to(e->v, b) ? b : -1, p + left, len - left, err);
}

static nx_status encode_word(encoder *e, const char *p, size_t len, nx_error *err)
{
    nx_spm_work *w = &e->spm;
    nx_status    st = nx_spm_reserve(w, len, len, err);

    if (st) return st;
    read_symbols(e, p, len);
    if (e->sp->model.kind == NX_SP_BPE) nx_spm_merge(e->v, w);
    for (int32_t i = w->n ? 0 : -1; !st && i >= 0; i = w->symbols[i].next) {
        const nx_spm_symbol *s = &w->symbols[i];
        st = s->frozen ? add(e, s->id, err) : add_piece(e, s->id, w->text + s->at, s->len, err);
    }
    return st;
}

static bool is_mark(const char *p, size_t len)
{
    return len >= NX_SPACE_MARK_LEN && memcmp(p, NX_SPACE_MARK, NX_SPACE_MARK_LEN) == 0;
}

/* Where the mark after p[0..from) stands, or len. */
static size_t next_mark(const char *p, size_t len, size_t from)
{
    while (from < len) {
        const char *c = memchr(p + from, NX_SPACE_MARK[0], len - from);
        if (!c) return len;
        from = (size_t)(c - p);
        if (is_mark(c, len - from)) return from;
        from++;
    }
    return len;
}

/* Marks, and what follows up to the next mark. */
static size_t word_len(const char *p, size_t len)
{
    size_t n = 0;

    while (is_mark(p + n, len - n)) n += NX_SPACE_MARK_LEN;
    return next_mark(p, len, n);
}

static nx_status encode_bpe(encoder *e, const char *text, size_t len, nx_error *err)
{
    bool      whole = e->v->crosses_words || e->sp->has_unused || e->sp->users;
    nx_status st = NX_OK;

    if (e->sp->has_unused) {
        e->spm.splits = nx_calloc((size_t)e->v->n, sizeof *e->spm.splits);
        if (!e->spm.splits) return nx_fail(err, NX_ENOMEM, "%d unused pieces", e->v->n);
    }
    for (size_t at = 0, n; !st && at < len; at += n) {
        n = whole ? len : word_len(text + at, len - at);
        st = encode_word(e, text + at, n, err);
    }
    return st;
}

/* ---- Words ------------------------------------------------------------------------------------ */

/* Each mark begins a word, which is a piece or unknown. */
static nx_status encode_words(encoder *e, const char *text, size_t len, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t n; !st && len; text += n, len -= n) {
        n = next_mark(text, len, is_mark(text, len) ? NX_SPACE_MARK_LEN : 0);
        int32_t id = nx_index_find(&e->v->by_text, text, n);
        st = id >= 0 ? add(e, id, err) : add_unknown(e, text, n, err);
    }
    return st;
}

/* ---- A text ----------------------------------------------------------------------------------- */

nx_status nx_sp_encode(const nx_vocab *v, nx_ids *out, const char *text, size_t len, bool fresh,
                       bool first, nx_error *err)
{
    const nx_sp *sp = v->impl;
    encoder      e = {.v = v, .sp = sp, .out = out};
    nx_buf       clean = {.max = 3 * TEXT_MAX};
    nx_status    st;

    if (len > TEXT_MAX) return nx_fail(err, NX_ELIMIT, "a text of %zu bytes", len);
    st = nx_sp_normalise(sp, &clean, text, len, sp->first_prefix_only ? first : fresh, err);
    if (!st && clean.len) {
        switch (sp->model.kind) {
        case NX_SP_UNIGRAM: st = encode_unigram(&e, clean.data, clean.len, err); break;
        case NX_SP_WORD: st = encode_words(&e, clean.data, clean.len, err); break;
        case NX_SP_BPE:
        case NX_SP_CHAR: st = encode_bpe(&e, clean.data, clean.len, err); break;
        }
    }
    nx_spm_work_free(&e.spm);
    nx_buf_free(&clean);
    return st;
}
