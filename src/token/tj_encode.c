/* tj_encode.c - a text's way through a tokenizer.json. */
#include "base/utf8.h"
#include "token/tj.h"

typedef struct encoder {
    const nx_tj     *tj;
    nx_ids          *out;
    nx_tj_matcher    matcher;
    nx_tj_norm_work  norm;
    nx_tj_pre_work   pre;
    nx_tj_model_work model;
    nx_buf           spelled;

    /* Which special tokens may be read. */
    const char    *text;
    const nx_span *spans;
    size_t         n_spans;
    nx_tj_permit   permit;   /* in the raw text */
    bool           in_spans; /* the piece at hand lies where control tokens are read */
    nx_tj_permit   permit_in;
} encoder;

static nx_status on_word(void *ctx, const char *word, size_t len, nx_error *err)
{
    encoder *e = ctx;

    return nx_tj_model_encode(&e->tj->model, &e->model, e->out, word, len, err);
}

static nx_status on_token(void *ctx, int32_t id, nx_error *err)
{
    encoder *e = ctx;

    return nx_ids_add(e->out, id, err);
}

static nx_status on_normal_gap(void *ctx, nx_tj_piece piece, nx_error *err)
{
    encoder *e = ctx;

    return nx_tj_pre_tokenize(&e->pre, piece, err);
}

/* ---- Spans ------------------------------------------------------------------------------------ */

static bool ask_spans(void *ctx, const char *from, const char *to)
{
    const encoder *e = ctx;
    size_t         at = (size_t)(from - e->text), end = (size_t)(to - e->text);
    size_t         lo = 0, hi = e->n_spans; /* the first span that ends behind `at` */

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (e->spans[mid].end <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < e->n_spans && e->spans[lo].control && end <= e->spans[lo].end;
}

static bool ask_piece(void *ctx, const char *from, const char *to)
{
    (void)from;
    (void)to;
    return ((const encoder *)ctx)->in_spans;
}

/* ---- The way ---------------------------------------------------------------------------------- */

static nx_status on_gap(void *ctx, nx_tj_piece piece, nx_error *err)
{
    encoder     *e = ctx;
    const nx_tj *tj = e->tj;
    nx_status    st;

    e->in_spans = ask_spans(e, piece.p, piece.p + piece.len);
    st = nx_tj_normalise(tj->norms, tj->n_norms, &e->norm, &piece, err);
    if (st) return st;
    return nx_tj_cut_added(&tj->find_normalised, piece, &e->permit_in, on_normal_gap, on_token, e,
                           err);
}

/* Bytes that are no UTF-8 are a word of their own. */
static nx_status bad_bytes(encoder *e, const char *p, size_t len, nx_error *err)
{
    nx_status st;

    if (!e->tj->spells_bytes || e->tj->raw_bytes) return on_word(e, p, len, err);
    nx_buf_clear(&e->spelled);
    st = nx_tj_spell_bytes(&e->pre.map, &e->spelled, p, len, err);
    return st ? st : on_word(e, e->spelled.data, e->spelled.len, err);
}

static nx_status encode(encoder *e, size_t len, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t at = 0, good; !st && at < len; at += good) {
        nx_tj_piece piece = {e->text + at, len - at, at == 0};
        if (!nx_utf8_valid(piece.p, piece.len, &good)) {
            piece.len = good;
        } else {
            good = piece.len;
        }
        st = nx_tj_cut_added(&e->tj->find_raw, piece, &e->permit, on_gap, on_token, e, err);
        size_t bad = 0, n;
        while (at + good + bad < len &&
               nx_utf8_decode(piece.p + good + bad, len - at - good - bad, &n) == NX_UTF8_BAD) {
            bad++;
        }
        if (!st && bad) st = bad_bytes(e, piece.p + good, bad, err);
        good += bad;
    }
    return st;
}

nx_status nx_tj_encode(const nx_vocab *v, nx_ids *out, const char *text, const nx_span *spans,
                       size_t n_spans, nx_error *err)
{
    const nx_tj *tj = v->impl;
    size_t       len = n_spans ? spans[n_spans - 1].end : 0;
    encoder      e = {.tj = tj,
                      .out = out,
                      .text = text,
                      .spans = spans,
                      .n_spans = n_spans,
                      .spelled.max = SIZE_MAX / 4};
    nx_status    st;

    e.permit = (nx_tj_permit){ask_spans, &e};
    e.permit_in = (nx_tj_permit){ask_piece, &e};
    nx_tj_norm_work_init(&e.norm, &e.matcher);
    nx_tj_pre_work_init(&e.pre, tj->pres, tj->n_pres, tj->raw_bytes, &e.matcher);
    e.pre.on_word = on_word;
    e.pre.ctx = &e;
    st = nx_tj_model_work_init(&e.model, len, err);
    if (!st) st = encode(&e, len, err);
    nx_tj_matcher_free(&e.matcher);
    nx_tj_norm_work_free(&e.norm);
    nx_tj_pre_work_free(&e.pre);
    nx_tj_model_work_free(&e.model);
    nx_buf_free(&e.spelled);
    return st;
}
