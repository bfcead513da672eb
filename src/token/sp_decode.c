/* sp_decode.c - from pieces back to text, at once or as they come.
 *
 * Byte pieces in a row are UTF-8, a byte that is none becomes U+FFFD. The mark that the dummy prefix
 * put before a text goes, and so does any number of them where the model trims white space.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/sp.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

typedef struct state {
    char held[4];
    int  n_held;
    bool begins;    /* a mark may still be the prefix */
    bool seen_mark; /* the last piece was that prefix */
    bool said;      /* some text has come out */
    bool keep_control;
} state;

static nx_status say(state *s, nx_buf *out, const char *p, size_t len, nx_error *err)
{
    s->said |= len > 0;
    return nx_buf_add(out, p, len, err);
}

/* Say what the held bytes make: whole characters, and U+FFFD for each byte that can't be part of
 * one. all: no more of them come. */
static nx_status flush(state *s, nx_buf *out, bool all, nx_error *err)
{
    nx_status st = NX_OK;

    while (!st && s->n_held) {
        size_t n = (size_t)s->n_held, used = 1;
        bool   good = nx_utf8_decode(s->held, n, &used) != NX_UTF8_BAD;
        if (!good && !all && nx_utf8_partial_tail(s->held, n) == n) return NX_OK;
        st = good ? say(s, out, s->held, used, err) : say(s, out, REPLACEMENT, 3, err);
        memmove(s->held, s->held + used, n - used);
        s->n_held -= (int)used;
    }
    return st;
}

/* Marks become spaces. */
static nx_status say_piece(state *s, nx_buf *out, nx_str t, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0, from = 0; !st && from < t.len; i++) {
        bool mark = t.len - i >= NX_SPACE_MARK_LEN &&
                    memcmp(t.p + i, NX_SPACE_MARK, NX_SPACE_MARK_LEN) == 0;
        if (!mark && i + 1 < t.len) continue;
        size_t end = mark ? i : t.len;
        st = say(s, out, t.p + from, end - from, err);
        if (!st && mark) st = say(s, out, " ", 1, err);
        if (mark) i += NX_SPACE_MARK_LEN - 1;
        from = i + 1;
    }
    return st;
}

static nx_status push(state *s, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err)
{
    const nx_sp *sp = v->impl;
    nx_str       t = v->texts[id];
    int          type = v->types[id];
    nx_status    st = NX_OK;

    if (type == NX_TOKEN_BYTE) {
        s->held[s->n_held++] = v->raw[id].p[0];
        return flush(s, out, false, err);
    }
    st = flush(s, out, true, err);
    if (st) return st;
    if (s->seen_mark || s->said) s->begins = false;
    s->seen_mark = false;
    if (type == NX_TOKEN_CONTROL) return s->keep_control ? say(s, out, t.p, t.len, err) : NX_OK;
    if (type == NX_TOKEN_UNKNOWN) {
        nx_str surface = s->keep_control ? t : sp->model.unk_surface;
        return say(s, out, surface.p, surface.len, err);
    }
    bool trims = sp->model.trims_spaces;
    if (s->begins && (sp->model.dummy_prefix || trims) && t.len >= NX_SPACE_MARK_LEN &&
        memcmp(t.p, NX_SPACE_MARK, NX_SPACE_MARK_LEN) == 0) {
        t = (nx_str){t.p + NX_SPACE_MARK_LEN, t.len - NX_SPACE_MARK_LEN};
        s->seen_mark = !trims;
    }
    return say_piece(s, out, t, err);
}

static nx_status check_id(const nx_vocab *v, int32_t id, nx_error *err)
{
    if (id >= 0 && id < v->n) return NX_OK;
    return nx_fail(err, NX_EINVAL, "token id %d, the vocabulary has 0 to %d", id, v->n - 1);
}

nx_status nx_sp_decode(const nx_vocab *v, nx_buf *out, const int32_t *ids, size_t n,
                       bool keep_control, nx_error *err)
{
    state     s = {.begins = true, .keep_control = keep_control};
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = check_id(v, ids[i], err);
        if (!st) st = push(&s, v, ids[i], out, err);
    }
    return st ? st : flush(&s, out, true, err);
}

nx_status nx_sp_push(nx_decoder *d, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err)
{
    nx_status st = check_id(v, id, err);
    size_t    before = out->len;

    if (st) return st;
    if (!d->state) {
        state *fresh = nx_calloc(1, sizeof *fresh);
        if (!fresh) return nx_fail(err, NX_ENOMEM, "decoder");
        *fresh = (state){.begins = !d->started, .keep_control = d->keep_control};
        d->state = fresh;
    }
    state s = *(state *)d->state;
    st = push(&s, v, id, out, err);
    if (!st) {
        *(state *)d->state = s;
        d->started = true;
    } else if (out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return st;
}

nx_status nx_sp_finish(nx_decoder *d, nx_buf *out, nx_error *err)
{
    if (!d->state) return NX_OK;
    state     s = *(state *)d->state;
    nx_status st = flush(&s, out, true, err);
    if (!st) *(state *)d->state = s;
    return st;
}

void nx_sp_drop(void *s)
{
    nx_free(s);
}
