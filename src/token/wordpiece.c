/* wordpiece.c - BERT's words and their pieces. */
#include "token/wordpiece.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/tables.h"
#include "token/unicode.h"

#define WORD_CHARS_MAX 100 /* longer words are unknown, as their makers had it */
#define TEXT_MAX       ((size_t)1 << 30)

typedef struct wordpiece {
    bool keeps_case;
} wordpiece;

typedef struct encoder {
    const nx_vocab *v;
    nx_ids         *out;
    nx_buf          word; /* its mark first */
    size_t          n_chars;
} encoder;

/* ---- Cleaning --------------------------------------------------------------------------------- */

static nx_status clean(nx_buf *out, const char *text, size_t len, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0, n; !st && i < len; i += n) {
        uint32_t c = nx_utf8_decode(text + i, len - i, &n);
        unsigned flags = c == NX_UTF8_BAD ? NX_UC_DROPPED_BERT : nx_uc_of(c)->flags;
        bool     apart = flags & NX_UC_IDEOGRAPH_BERT;
        if (flags & NX_UC_DROPPED_BERT) continue;
        if (flags & NX_UC_SPACE) {
            st = nx_buf_add(out, " ", 1, err);
            continue;
        }
        if (apart) st = nx_buf_add(out, " ", 1, err);
        if (!st) st = nx_buf_add(out, text + i, n, err);
        if (!st && apart) st = nx_buf_add(out, " ", 1, err);
    }
    return st;
}

/* In place. */
static void drop_accents(nx_buf *b)
{
    size_t kept = 0;

    for (size_t i = 0, n; i < b->len; i += n) {
        uint32_t c = nx_utf8_decode(b->data + i, b->len - i, &n);
        if (nx_uc_of(c)->flags & NX_UC_ACCENT_BERT) continue;
        memmove(b->data + kept, b->data + i, n);
        kept += n;
    }
    b->len = kept;
}

/* The text as words are looked for in it, in *out. */
static nx_status normalise(const wordpiece *w, nx_buf *out, const char *text, size_t len,
                           nx_error *err)
{
    nx_buf    a = {.max = out->max}, b = {.max = out->max};
    nx_status st = clean(w->keeps_case ? out : &a, text, len, err);

    if (!st && !w->keeps_case && a.len) st = nx_uc_normalise(&b, a.data, a.len, NX_NFD, err);
    if (!st && b.len) {
        drop_accents(&b);
        st = nx_uc_lower(out, b.data, b.len, err);
    }
    nx_buf_free(&a);
    nx_buf_free(&b);
    return st;
}

/* ---- Words ------------------------------------------------------------------------------------ */

/* The longest token that p[0..len) begins with: its id, or -1. */
static int32_t longest(const nx_vocab *v, const char *p, size_t len, size_t *used)
{
    size_t n = len < v->longest ? len : v->longest;

    for (; n > 0; n--) {
        if (n < len && ((unsigned char)p[n] & 0xC0) == 0x80) continue;
        int32_t id = nx_index_find(&v->by_text, p, n);
        if (!nx_vocab_merges_to(v, id)) continue;
        *used = n;
        return id;
    }
    return -1;
}

static nx_status end_word(encoder *e, nx_error *err)
{
    size_t    n_before = e->out->n, used = 0;
    bool      known = e->n_chars <= WORD_CHARS_MAX;
    nx_status st = NX_OK;

    if (e->n_chars == 0) return NX_OK;
    for (size_t at = 0; !st && known && at < e->word.len; at += used) {
        int32_t id = longest(e->v, e->word.data + at, e->word.len - at, &used);
        known = id >= 0 && (at > 0 || used > NX_SPACE_MARK_LEN);
        if (known) st = nx_ids_add(e->out, id, err);
    }
    if (!known) {
        e->out->n = n_before;
        st = nx_ids_add(e->out, e->v->special.unk, err);
    }
    nx_buf_clear(&e->word);
    e->n_chars = 0;
    return st;
}

static nx_status add_char(encoder *e, const char *p, size_t n, nx_error *err)
{
    nx_status st = NX_OK;

    if (e->n_chars++ == 0) st = nx_buf_add(&e->word, NX_SPACE_MARK, NX_SPACE_MARK_LEN, err);
    if (st || e->n_chars > WORD_CHARS_MAX) return st;
    return nx_buf_add(&e->word, p, n, err);
}

static nx_status cut(encoder *e, const char *p, size_t len, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t n; !st && len; p += n, len -= n) {
        const nx_uc *u = nx_uc_of(nx_utf8_decode(p, len, &n));
        bool         apart = u->flags & NX_UC_PUNCT_BERT;
        if (apart || (u->flags & NX_UC_SPACE)) st = end_word(e, err);
        if (!st && !(u->flags & NX_UC_SPACE)) st = add_char(e, p, n, err);
        if (!st && apart) st = end_word(e, err);
    }
    return st ? st : end_word(e, err);
}

static nx_status encode(const nx_vocab *v, nx_ids *out, const char *text, size_t len, bool fresh,
                        bool first, nx_error *err)
{
    encoder   e = {.v = v, .out = out, .word = {.max = 1 << 16}};
    nx_buf    ready = {.max = 4 * TEXT_MAX};
    nx_status st;

    (void)fresh;
    (void)first;
    if (len > TEXT_MAX) return nx_fail(err, NX_ELIMIT, "a text of %zu bytes", len);
    st = normalise(v->impl, &ready, text, len, err);
    if (!st && ready.len) st = cut(&e, ready.data, ready.len, err);
    nx_buf_free(&e.word);
    nx_buf_free(&ready);
    return st;
}

/* ---- The vocabulary --------------------------------------------------------------------------- */

static void close_impl(void *impl)
{
    nx_free(impl);
}

static const nx_vocab_ops ops = {.plain = encode, .close = close_impl};

/* Where a file doesn't say, the first BERT's ids hold. */
static void usual_ids(nx_vocab_source *src)
{
    nx_vocab_special *s = &src->special;

    if (s->unk < 0 && src->n > 100) s->unk = 100;
    if (s->bos < 0 && src->n > 101) s->bos = 101;
    if (s->sep < 0 && src->n > 102) s->sep = 102;
    if (s->eos < 0) s->eos = s->sep;
}

nx_status nx_wordpiece_create(nx_vocab **out, const nx_vocab_source *from, nx_error *err)
{
    nx_vocab_source src = *from;
    float          *zeros = nx_calloc((size_t)(src.n > 0 ? src.n : 0), sizeof *zeros);
    wordpiece      *w = nx_calloc(1, sizeof *w);
    nx_status       st = NX_OK;

    *out = NULL;
    if (!zeros || !w) st = nx_fail(err, NX_ENOMEM, "vocabulary of %lld tokens", (long long)src.n);
    src.model = NX_STR("llama");
    src.scores = zeros;
    src.n_scores = src.n;
    src.exact_ids = true;
    if (src.add_eos < 0) src.add_eos = 1;
    usual_ids(&src);
    if (!st && src.special.unk < 0) {
        st = nx_fail(err, NX_EFORMAT,
                     "tokenizer.ggml.unknown_token_id: missing: WordPiece needs it");
    }
    if (!st) st = nx_vocab_create(out, &src, err);
    nx_free(zeros);
    if (st) {
        nx_free(w);
        return st;
    }
    w->keeps_case = nx_vocab_find(*out, NX_STR(NX_SPACE_MARK "The")) >= 0;
    (*out)->ops = &ops;
    (*out)->impl = w;
    snprintf((*out)->kind, sizeof(*out)->kind, "bert (WordPiece%s)",
             w->keeps_case ? ", cased" : "");
    st = nx_vocab_pair_usual(*out, 1, true, err);
    if (!st) return NX_OK;
    nx_vocab_close(*out);
    *out = NULL;
    return st;
}
