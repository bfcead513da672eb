/* tj_dec.c - the decoders of tokenizer.json, one token at a time.
 *
 * Idea:   each decoder turns a list of texts into a list of texts; here every one is a step that
 *         takes a text and hands on what it can say already. What must wait (bytes that may be half
 *         a character, a last token that is spelled otherwise) waits in the step's buffer until the
 *         end of the stream, so a stream says the same as decoding all at once.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/tj.h"

#define TEXT_MAX    (SIZE_MAX / 4)
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* ---- Reading ---------------------------------------------------------------------------------- */

static nx_status read_strip(nx_tj_dec *d, nx_arena *arena, const nx_json *v, nx_error *err)
{
    uint32_t  c;
    nx_status st;

    (void)((st = nx_tj_get_str(v, "content", arena, &d->text, err)) ||
           (st = nx_tj_char_of(v, "content", d->text, &c, err)) ||
           (st = nx_tj_get_int(v, "start", &d->start, 0, INT32_MAX, err)) ||
           (st = nx_tj_get_int(v, "stop", &d->stop, 0, INT32_MAX, err)));
    return st;
}

static nx_status read_metaspace(nx_tj_dec *d, nx_arena *arena, const nx_json *v, nx_error *err)
{
    uint32_t  c;
    nx_status st;

    d->text = NX_STR(NX_SPACE_MARK);
    d->prefix = true;
    (void)((st = nx_tj_get_str(v, "replacement", arena, &d->text, err)) ||
           (st = nx_tj_char_of(v, "replacement", d->text, &c, err)) ||
           (st = nx_tj_get_bool(v, "add_prefix_space", &d->prefix, err)));
    const nx_json *scheme = nx_json_get(v, "prepend_scheme");
    if (!nx_json_absent(scheme)) d->prefix = !nx_json_is(scheme, "never");
    return st;
}

static nx_status read_texts(nx_tj_dec *d, nx_arena *arena, const nx_json *v, nx_error *err)
{
    nx_status st;

    switch (d->kind) {
    case NX_TJ_DEC_WORDPIECE:
        d->text = NX_STR("##");
        d->cleanup = true;
        st = nx_tj_get_str(v, "prefix", arena, &d->text, err);
        return st ? st : nx_tj_get_bool(v, "cleanup", &d->cleanup, err);
    case NX_TJ_DEC_BPE:
        d->text = NX_STR("</w>");
        return nx_tj_get_str(v, "suffix", arena, &d->text, err);
    case NX_TJ_DEC_CTC:
        d->text = NX_STR("<pad>");
        d->content = NX_STR("|");
        d->cleanup = true;
        (void)((st = nx_tj_get_str(v, "pad_token", arena, &d->text, err)) ||
               (st = nx_tj_get_str(v, "word_delimiter_token", arena, &d->content, err)) ||
               (st = nx_tj_get_bool(v, "cleanup", &d->cleanup, err)));
        return st;
    case NX_TJ_DEC_REPLACE:
        st = nx_tj_get_str(v, "content", arena, &d->content, err);
        return st ? st : nx_tj_pattern_read(&d->pattern, arena, nx_json_get(v, "pattern"), err);
    case NX_TJ_DEC_STRIP: return read_strip(d, arena, v, err);
    case NX_TJ_DEC_METASPACE: return read_metaspace(d, arena, v, err);
    default: return NX_OK;
    }
}

nx_status nx_tj_dec_read(nx_tj_dec *d, nx_arena *arena, nx_str type, const nx_json *v,
                         nx_error *err)
{
    static const char *const names[] = {"ByteLevel",  "Metaspace",    "WordPiece",
                                        "BPEDecoder", "ByteFallback", "Fuse",
                                        "Strip",      "Replace",      "CTC"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!nx_str_eq(type, nx_str_of(names[i]))) continue;
        *d = (nx_tj_dec){.kind = (nx_tj_dec_kind)i};
        return read_texts(d, arena, v, err);
    }
    nx_tj_bad(v, err, "decoder of type \"%.*s\": we don't have that", (int)(type.len % 64), type.p);
    if (err) err->status = NX_EUNSUPPORTED;
    return NX_EUNSUPPORTED;
}

void nx_tj_dec_free(nx_tj_dec *d)
{
    nx_tj_pattern_free(&d->pattern);
}

/* ---- A stream --------------------------------------------------------------------------------- */

typedef struct step {
    nx_buf held;    /* what waits */
    nx_buf made;    /* what is handed on, while it is */
    bool   begun;   /* a text has come by */
    bool   holds;   /* a whole text waits in held, be it empty */
    bool   joined;  /* a Fuse before it streams: all that comes is parts of one text */
    size_t n_taken; /* STRIP of a joined text: characters taken off so far; SIZE_MAX: no more */
} step;

typedef struct stream {
    const nx_vocab *v;
    const nx_tj    *tj;
    nx_buf         *out;
    nx_tj_matcher   matcher;
    nx_bytemap      map;
    step            steps[NX_TJ_STAGES_MAX];
} stream;

static nx_status hand(stream *s, int k, nx_str text, nx_error *err);

/* A Fuse needn't wait for its end when only texts' beginnings are looked at behind it. */
static bool streams_from(const nx_tj *tj, int k)
{
    for (k++; k < tj->n_decs; k++) {
        if (tj->decs[k].kind == NX_TJ_DEC_FUSE) continue;
        if (tj->decs[k].kind != NX_TJ_DEC_STRIP || tj->decs[k].stop) return false;
    }
    return true;
}

static void stream_init(stream *s, const nx_vocab *v, bool started)
{
    const nx_tj *tj = v->impl;
    bool         joined = false;

    *s = (stream){.v = v, .tj = tj};
    nx_bytemap_init(&s->map);
    for (int k = 0; k < tj->n_decs; k++) {
        joined |= tj->decs[k].kind == NX_TJ_DEC_FUSE && streams_from(tj, k);
        s->steps[k] = (step){.held.max = TEXT_MAX,
                             .made.max = TEXT_MAX,
                             .begun = started,
                             .joined = joined,
                             .n_taken = started ? SIZE_MAX : 0};
    }
}

static void stream_free(stream *s)
{
    nx_tj_matcher_free(&s->matcher);
    for (int k = 0; k < NX_TJ_STAGES_MAX; k++) {
        nx_buf_free(&s->steps[k].held);
        nx_buf_free(&s->steps[k].made);
    }
}

static nx_str whole(const nx_buf *b)
{
    return (nx_str){b->data ? b->data : "", b->len};
}

/* ---- Replacing -------------------------------------------------------------------------------- */

static nx_status add_replaced(nx_buf *out, nx_str text, nx_str what, nx_str with, nx_error *err)
{
    nx_tj_pattern p = {.literal = what};
    nx_tj_search  search = {0};
    nx_status     st = NX_OK;
    size_t        at = 0, m[2];
    bool          found = true;

    while (!st && found) {
        st = nx_tj_next(&p, NULL, &search, text.p, text.len, m, &found, err);
        if (st || !found) break;
        st = nx_buf_add(out, text.p + at, m[0] - at, err);
        if (!st) st = nx_buf_add(out, with.p, with.len, err);
        at = m[1];
    }
    return st ? st : nx_buf_add(out, text.p + at, text.len - at, err);
}

static nx_status replace(stream *s, int k, nx_str text, nx_error *err)
{
    const nx_tj_dec *d = &s->tj->decs[k];
    nx_buf          *made = &s->steps[k].made;
    nx_tj_search     search = {0};
    nx_status        st = NX_OK;
    size_t           at = 0, m[2];
    bool             found = text.len > 0;

    nx_buf_clear(made);
    while (!st && found) {
        st = nx_tj_next(&d->pattern, &s->matcher, &search, text.p, text.len, m, &found, err);
        if (st || !found) break;
        st = nx_buf_add(made, text.p + at, m[0] - at, err);
        if (!st) st = nx_buf_add(made, d->content.p, d->content.len, err);
        at = m[1];
    }
    if (!st) st = nx_buf_add(made, text.p + at, text.len - at, err);
    return st ? st : hand(s, k + 1, whole(made), err);
}

/* English as people write it: "do n't ." becomes "don't.". Each rule reads what the last one left. */
static nx_status tidy(nx_buf *made, nx_error *err)
{
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < sizeof rules / sizeof *rules; i++) {
        nx_buf next = {.max = TEXT_MAX};
        if (made->len == 0) return NX_OK;
        st = add_replaced(&next, whole(made), nx_str_of(rules[i][0]), nx_str_of(rules[i][1]), err);
        if (!st) {
            nx_buf_clear(made);
            st = nx_buf_add(made, next.data ? next.data : "", next.len, err);
        }
        nx_buf_free(&next);
    }
    return st;
}

/* ---- The steps -------------------------------------------------------------------------------- */

static nx_status byte_level(stream *s, int k, nx_str text, nx_error *err)
{
    step     *e = &s->steps[k];
    char     *to = nx_buf_room(&e->held, text.len, err);
    nx_status st;

    if (!to) return err ? err->status : NX_ENOMEM;
    if (nx_tj_is_spelled(&s->map, text)) {
        e->held.len += nx_bytemap_decode(&s->map, to, text);
    } else {
        memcpy(to, text.p, text.len);
        e->held.len += text.len;
    }
    e->held.data[e->held.len] = '\0';
    if (k + 1 < s->tj->n_decs || e->held.len == 0) return NX_OK;
    size_t tail = nx_utf8_partial_tail(e->held.data, e->held.len), n = e->held.len - tail;
    st = nx_decode_clean(s->out, e->held.data, n, err);
    if (st) return st;
    memmove(e->held.data, e->held.data + n, tail + 1);
    e->held.len = tail;
    return NX_OK;
}

static nx_status metaspace(stream *s, int k, nx_str text, nx_error *err)
{
    const nx_tj_dec *d = &s->tj->decs[k];
    step            *e = &s->steps[k];
    bool             drops = !e->begun && d->prefix;
    nx_status        st;

    e->begun = true;
    nx_buf_clear(&e->made);
    st = add_replaced(&e->made, text, d->text, drops ? NX_STR("") : NX_STR(" "), err);
    return st ? st : hand(s, k + 1, whole(&e->made), err);
}

static nx_status wordpiece(stream *s, int k, nx_str text, nx_error *err)
{
    const nx_tj_dec *d = &s->tj->decs[k];
    step            *e = &s->steps[k];
    nx_status        st = NX_OK;

    nx_buf_clear(&e->made);
    if (e->begun) {
        bool inside = text.len >= d->text.len && memcmp(text.p, d->text.p, d->text.len) == 0;
        if (inside)
            text = (nx_str){text.p + d->text.len, text.len - d->text.len};
        else
            st = nx_buf_add(&e->made, " ", 1, err);
    }
    e->begun = true;
    if (!st) st = nx_buf_add(&e->made, text.p, text.len, err);
    if (!st && d->cleanup) st = tidy(&e->made, err);
    return st ? st : hand(s, k + 1, whole(&e->made), err);
}

/* The last token's suffix vanishes, the others' is a space: each waits for the next. */
static nx_status bpe_say(stream *s, int k, nx_str with, nx_error *err)
{
    step     *e = &s->steps[k];
    nx_status st;

    if (!e->holds) return NX_OK;
    nx_buf_clear(&e->made);
    st = add_replaced(&e->made, whole(&e->held), s->tj->decs[k].text, with, err);
    return st ? st : hand(s, k + 1, whole(&e->made), err);
}

static nx_status bpe(stream *s, int k, nx_str text, nx_error *err)
{
    step     *e = &s->steps[k];
    nx_status st = bpe_say(s, k, NX_STR(" "), err);

    e->holds = true;
    nx_buf_clear(&e->held);
    return st ? st : nx_buf_add(&e->held, text.p, text.len, err);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0x41>", and as Rust reads numbers "<0x+1>" too; or -1. */
static int byte_named(nx_str t)
{
    if (t.len != 6 || memcmp(t.p, "<0x", 3) != 0 || t.p[5] != '>') return -1;
    int hi = t.p[3] == '+' ? 0 : hex_value(t.p[3]), lo = hex_value(t.p[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

/* A run of bytes is a text when all of it is UTF-8, else each byte is a mark. */
static nx_status say_bytes(stream *s, int k, nx_error *err)
{
    step     *e = &s->steps[k];
    nx_status st = NX_OK;
    size_t    n = e->held.len;

    if (n == 0) return NX_OK;
    if (nx_utf8_valid(e->held.data, n, NULL)) {
        st = hand(s, k + 1, whole(&e->held), err);
    } else {
        for (size_t i = 0; !st && i < n; i++) st = hand(s, k + 1, NX_STR(REPLACEMENT), err);
    }
    nx_buf_clear(&e->held);
    return st;
}

static nx_status byte_fallback(stream *s, int k, nx_str text, nx_error *err)
{
    int       byte = byte_named(text);
    char      one = (char)byte;
    nx_status st;

    if (byte >= 0) return nx_buf_add(&s->steps[k].held, &one, 1, err);
    st = say_bytes(s, k, err);
    return st ? st : hand(s, k + 1, text, err);
}

static bool begins(nx_str text, nx_str with)
{
    return text.len >= with.len && memcmp(text.p, with.p, with.len) == 0;
}

static nx_status strip(stream *s, int k, nx_str text, nx_error *err)
{
    const nx_tj_dec *d = &s->tj->decs[k];
    step            *e = &s->steps[k];
    size_t           n = e->joined ? e->n_taken : 0;

    for (; n < (size_t)d->start && begins(text, d->text); n++) {
        text = (nx_str){text.p + d->text.len, text.len - d->text.len};
    }
    e->n_taken = text.len ? SIZE_MAX : n;
    for (int64_t i = 0; i < d->stop && text.len >= d->text.len; i++) {
        if (memcmp(text.p + text.len - d->text.len, d->text.p, d->text.len) != 0) break;
        text.len -= d->text.len;
    }
    return e->joined && text.len == 0 ? NX_OK : hand(s, k + 1, text, err);
}

static nx_status fuse(stream *s, int k, nx_str text, nx_error *err)
{
    if (s->steps[k].joined) return hand(s, k + 1, text, err);
    return nx_buf_add(&s->steps[k].held, text.p, text.len, err);
}

static nx_status ctc(stream *s, int k, nx_str text, nx_error *err)
{
    const nx_tj_dec *d = &s->tj->decs[k];
    step            *e = &s->steps[k];
    nx_status        st;

    if (e->holds && nx_str_eq(whole(&e->held), text)) return NX_OK; /* said already */
    e->holds = true;
    nx_buf_clear(&e->held);
    nx_buf_clear(&e->made);
    st = nx_buf_add(&e->held, text.p, text.len, err);
    if (!st) st = add_replaced(&e->made, text, d->text, NX_STR(""), err);
    if (!st && d->cleanup) {
        nx_buf next = {.max = TEXT_MAX};
        st = tidy(&e->made, err);
        if (!st) st = add_replaced(&next, whole(&e->made), d->content, NX_STR(" "), err);
        nx_buf_clear(&e->made);
        if (!st) st = nx_buf_add(&e->made, next.data ? next.data : "", next.len, err);
        nx_buf_free(&next);
    }
    if (st || e->made.len == 0) return st;
    return hand(s, k + 1, whole(&e->made), err);
}

static nx_status spaces(stream *s, int k, nx_str text, nx_error *err)
{
    nx_status st = s->steps[k].begun ? hand(s, k + 1, NX_STR(" "), err) : NX_OK;

    s->steps[k].begun = true;
    return st ? st : hand(s, k + 1, text, err);
}

/* Give text to step k. Depth: at most NX_TJ_STAGES_MAX. */
static nx_status hand(stream *s, int k, nx_str text, nx_error *err)
{
    if (k >= s->tj->n_decs || k >= NX_TJ_STAGES_MAX) {
        return nx_buf_add(s->out, text.p, text.len, err);
    }
    switch (s->tj->decs[k].kind) {
    case NX_TJ_DEC_BYTE_LEVEL: return byte_level(s, k, text, err);
    case NX_TJ_DEC_METASPACE: return metaspace(s, k, text, err);
    case NX_TJ_DEC_WORDPIECE: return wordpiece(s, k, text, err);
    case NX_TJ_DEC_BPE: return bpe(s, k, text, err);
    case NX_TJ_DEC_BYTE_FALLBACK: return byte_fallback(s, k, text, err);
    case NX_TJ_DEC_FUSE: return fuse(s, k, text, err);
    case NX_TJ_DEC_STRIP: return strip(s, k, text, err);
    case NX_TJ_DEC_REPLACE: return replace(s, k, text, err);
    case NX_TJ_DEC_CTC: return ctc(s, k, text, err);
    case NX_TJ_DEC_SPACES: return spaces(s, k, text, err);
    }
    return NX_OK;
}

/* What waits in the steps, in order. */
static nx_status end(stream *s, nx_error *err)
{
    nx_status st = NX_OK;

    for (int k = 0; !st && k < s->tj->n_decs; k++) {
        step  *e = &s->steps[k];
        nx_buf clean = {.max = TEXT_MAX};
        switch (s->tj->decs[k].kind) {
        case NX_TJ_DEC_BYTE_LEVEL:
            st = nx_decode_clean(&clean, e->held.data, e->held.len, err);
            if (!st && clean.len) st = hand(s, k + 1, whole(&clean), err);
            break;
        case NX_TJ_DEC_BPE: st = bpe_say(s, k, NX_STR(""), err); break;
        case NX_TJ_DEC_BYTE_FALLBACK: st = say_bytes(s, k, err); break;
        case NX_TJ_DEC_FUSE:
            if (!e->joined) st = hand(s, k + 1, whole(&e->held), err);
            break;
        default: break;
        }
        nx_buf_free(&clean);
    }
    return st;
}

/* ---- nx_vocab_ops ----------------------------------------------------------------------------- */

static nx_status push(stream *s, int32_t id, bool keep_control, nx_error *err)
{
    const nx_vocab *v = s->v;

    if (id < 0) return nx_fail(err, NX_EINVAL, "token id %d, expected 0 or more", id);
    /* Models may have more rows than the tokenizer has tokens: those say nothing. */
    if (id >= v->n || !v->texts[id].p) return NX_OK;
    if (!keep_control && (v->marks[id] & NX_MARK_SILENT)) return NX_OK;
    int32_t added = s->tj->added_at ? s->tj->added_at[id] : -1;
    return hand(s, 0, added < 0 ? v->texts[id] : s->tj->added[added].pattern, err);
}

nx_status nx_tj_decode(const nx_vocab *v, nx_buf *out, const int32_t *ids, size_t n,
                       bool keep_control, nx_error *err)
{
    stream    s;
    nx_status st = NX_OK;

    stream_init(&s, v, false);
    s.out = out;
    for (size_t i = 0; !st && i < n; i++) st = push(&s, ids[i], keep_control, err);
    if (!st) st = end(&s, err);
    stream_free(&s);
    return st;
}

static nx_status put_back(nx_buf *out, size_t before, nx_status st)
{
    if (st && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return st;
}

nx_status nx_tj_push(nx_decoder *d, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err)
{
    stream *s = d->state;
    size_t  before = out->len;

    if (!s) {
        s = nx_alloc(1, sizeof *s);
        if (!s) return nx_fail(err, NX_ENOMEM, "decoder");
        stream_init(s, v, d->started);
        d->state = s;
    }
    s->out = out;
    d->started = true;
    return put_back(out, before, push(s, id, d->keep_control, err));
}

nx_status nx_tj_finish(nx_decoder *d, nx_buf *out, nx_error *err)
{
    stream *s = d->state;
    size_t  before = out->len;

    if (!s) return NX_OK;
    s->out = out;
    nx_status st = put_back(out, before, end(s, err));
    nx_tj_drop(s);
    d->state = NULL;
    return st;
}

void nx_tj_drop(void *state)
{
    stream_free(state);
    nx_free(state);
}
