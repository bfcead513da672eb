/* encode.c - takes special tokens out of a text and hands what lies between to the merger. */
#include "token/encode.h"

#include "token/bpe.h"
#include "token/pretoken.h"
#include "token/spm.h"
#include "token/tables.h"

typedef struct encoder {
    const nx_vocab *v;
    nx_ids         *out;
    bool            after_special; /* or at the beginning: SentencePiece's space belongs here */
    bool            first;         /* nothing has been encoded yet */
    nx_spm_work     spm;
    nx_bpe_work     bpe;
    nx_splitter     splitter;
} encoder;

static nx_status on_word(void *ctx, const char *word, size_t len, nx_error *err)
{
    encoder *e = ctx;

    return nx_bpe_encode(e->v, &e->bpe, e->out, word, len, err);
}

static nx_status encoder_init(encoder *e, const nx_vocab *v, nx_ids *out, nx_error *err)
{
    *e = (encoder){.v = v, .out = out, .after_special = true, .first = true};
    if (v->ops && v->ops->plain) return NX_OK;
    return v->bpe ? nx_splitter_create(&e->splitter, &v->pretoken, on_word, e, err) : NX_OK;
}

static void encoder_free(encoder *e)
{
    nx_spm_work_free(&e->spm);
    nx_bpe_work_free(&e->bpe);
    nx_splitter_destroy(&e->splitter);
}

static nx_status plain(encoder *e, const char *text, size_t len, nx_error *err)
{
    bool fresh = e->after_special, prefix = e->v->add_space_prefix && fresh, first = e->first;

    if (len == 0) return NX_OK;
    e->after_special = false;
    e->first = false;
    if (e->v->ops && e->v->ops->plain) {
        return e->v->ops->plain(e->v, e->out, text, len, fresh, first, err);
    }
    if (e->v->bpe) return nx_splitter_run(&e->splitter, text, len, err);
    return nx_spm_encode(e->v, &e->spm, e->out, text, len, prefix, err);
}

/* C's white space, whatever the locale. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One span, text[from..end). Plain text that may go on in the next span stays pending from
 * *plain_from. */
static nx_status span(encoder *e, const char *text, size_t from, const nx_span *s,
                      size_t *plain_from, nx_error *err)
{
    const nx_special *found;
    nx_status         st = NX_OK;
    size_t            at;

    if (s->fresh) {
        st = plain(e, text + *plain_from, from - *plain_from, err);
        *plain_from = from;
    }
    while (!st && (found = nx_specials_find(&e->v->specials, text + from, s->end - from, s->control,
                                            &at))) {
        st = plain(e, text + *plain_from, from + at - *plain_from, err);
        if (!st) st = nx_ids_add(e->out, found->id, err);
        e->after_special = true;
        e->first = false;
        from += at + found->text.len;
        if (e->v->marks[found->id] & NX_MARK_STRIPS) {
            while (from < s->end && is_space(text[from])) from++;
        }
        *plain_from = from;
    }
    return st;
}

nx_status nx_encode_spans(const nx_vocab *v, nx_ids *out, const char *text, const nx_span *spans,
                          size_t n_spans, nx_error *err)
{
    encoder   e;
    size_t    n_before = out->n, from = 0, plain_from = 0;
    nx_status st;

    if (!text) text = ""; /* so that adding 0 is fine */
    if (v->ops && v->ops->encode) {
        st = v->ops->encode(v, out, text, spans, n_spans, err);
        if (st) out->n = n_before;
        return st;
    }
    st = encoder_init(&e, v, out, err);
    for (size_t i = 0; !st && i < n_spans; i++) {
        st = span(&e, text, from, &spans[i], &plain_from, err);
        from = spans[i].end;
    }
    if (!st) st = plain(&e, text + plain_from, from - plain_from, err);
    encoder_free(&e);
    if (st) out->n = n_before;
    return st;
}

void nx_vocab_around(const nx_vocab *v, bool after, const int32_t **ids, size_t *n)
{
    const nx_vocab_special *s = &v->special;

    *ids = after ? &s->eos : &s->bos;
    *n = (after ? s->add_eos : s->add_bos) && **ids >= 0;
    if (v->ops && v->ops->around) v->ops->around(v, after, ids, n);
}

nx_status nx_vocab_pair_usual(nx_vocab *v, int n_between, bool segments, nx_error *err)
{
    const nx_vocab_special *s = &v->special;

    if (s->bos < 0 || s->eos < 0 || !s->add_bos || !s->add_eos) return NX_OK;
    nx_status st = nx_ids_add(&v->pair.before, s->bos, err);
    for (int i = 0; !st && i < n_between; i++) st = nx_ids_add(&v->pair.between, s->eos, err);
    if (!st) st = nx_ids_add(&v->pair.after, s->eos, err);
    v->pair.segments = segments;
    v->pairs = !st;
    return st;
}

static nx_status add_around(const nx_vocab *v, nx_ids *out, bool after, nx_error *err)
{
    const int32_t *ids;
    size_t         n;
    nx_status      st = NX_OK;

    nx_vocab_around(v, after, &ids, &n);
    for (size_t i = 0; !st && i < n; i++) st = nx_ids_add(out, ids[i], err);
    return st;
}

nx_status nx_vocab_encode(const nx_vocab *v, nx_ids *out, const char *text, size_t len,
                          unsigned flags, nx_error *err)
{
    size_t    n_before = out->n;
    bool      add = flags & NX_ENCODE_ADD_SPECIAL;
    nx_span   all = {.end = len, .control = flags & NX_ENCODE_PARSE_SPECIAL};
    nx_status st = NX_OK;

    if (add) st = add_around(v, out, false, err);
    if (!st) st = nx_encode_spans(v, out, text, &all, 1, err);
    if (!st && add) st = add_around(v, out, true, err);
    if (st) out->n = n_before;
    return st;
}
