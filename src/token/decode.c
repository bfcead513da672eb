/* decode.c - from ids back to text: raw bytes at once, or whole characters as they come. */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/tables.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* What id says. *fresh: a text begins here, so that SentencePiece's added space is taken off; it
 * begins anew after each special token, as in encode.c. */
static nx_str piece(const nx_vocab *v, int32_t id, bool keep_control, bool *fresh)
{
    nx_str raw = v->raw[id];
    int    type = v->types[id];

    if (type == NX_TOKEN_CONTROL || type == NX_TOKEN_USER_DEFINED) {
        *fresh = true;
        return type == NX_TOKEN_USER_DEFINED || keep_control ? raw : (nx_str){0};
    }
    if (type == NX_TOKEN_UNKNOWN) {
        *fresh = false;
        return keep_control ? raw : (nx_str){0};
    }
    if (raw.len == 0) return raw;
    if (*fresh && v->add_space_prefix && raw.p[0] == ' ') raw = (nx_str){raw.p + 1, raw.len - 1};
    *fresh = false;
    return raw;
}

static nx_status check_id(const nx_vocab *v, int32_t id, nx_error *err)
{
    if (id >= 0 && id < v->n) return NX_OK;
    return nx_fail(err, NX_EINVAL, "token id %d, the vocabulary has 0 to %d", id, v->n - 1);
}

nx_status nx_vocab_decode(const nx_vocab *v, nx_buf *out, const int32_t *ids, size_t n,
                          bool keep_control, nx_error *err)
{
    size_t    before = out->len;
    bool      fresh = true, own = v->ops && v->ops->decode;
    nx_status st = own ? v->ops->decode(v, out, ids, n, keep_control, err) : NX_OK;

    for (size_t i = 0; !own && !st && i < n; i++) {
        st = check_id(v, ids[i], err);
        if (st) break;
        nx_str p = piece(v, ids[i], keep_control, &fresh);
        st = nx_buf_add(out, p.p, p.len, err);
    }
    if (st && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return st;
}

/* ---- Streaming -------------------------------------------------------------------------------- */

nx_status nx_decode_clean(nx_buf *out, const char *p, size_t len, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t bad; !st && len; p += bad, len -= bad) {
        if (nx_utf8_valid(p, len, &bad)) return nx_buf_add(out, p, len, err);
        st = nx_buf_add(out, p, bad, err);
        if (!st) st = nx_buf_add(out, REPLACEMENT, 3, err);
        bad += nx_utf8_bad_length(p + bad, len - bad);
    }
    return st;
}

/* Say held + p[0..len), but for an unfinished character at the end, which is held. */
static nx_status say(nx_decoder *d, const char *p, size_t len, nx_buf *out, nx_error *err)
{
    char   small[256], *all = small;
    size_t n = d->n_held + len;

    if (n > sizeof small && !(all = nx_alloc(n, 1))) {
        return nx_fail(err, NX_ENOMEM, "a token of %zu bytes", len);
    }
    memcpy(all, d->held, d->n_held);
    if (len) memcpy(all + d->n_held, p, len);
    size_t    tail = nx_utf8_partial_tail(all, n), before = out->len;
    nx_status st = nx_decode_clean(out, all, n - tail, err);
    if (st) {
        out->len = before;
        if (out->data) out->data[before] = '\0';
    } else {
        memcpy(d->held, all + n - tail, tail);
        d->n_held = (uint8_t)tail;
    }
    if (all != small) nx_free(all);
    return st;
}

nx_status nx_decoder_push(nx_decoder *d, const nx_vocab *v, int32_t id, nx_buf *out, nx_error *err)
{
    bool      fresh = !d->started;
    nx_status st;

    if (v->ops && v->ops->push) {
        d->vocab = v;
        return v->ops->push(d, v, id, out, err);
    }
    st = check_id(v, id, err);
    if (st) return st;
    nx_str p = piece(v, id, d->keep_control, &fresh);
    st = say(d, p.p, p.len, out, err);
    if (!st) d->started = !fresh;
    return st;
}

nx_status nx_decoder_finish(nx_decoder *d, nx_buf *out, nx_error *err)
{
    size_t    before = out->len;
    bool      own = d->vocab && d->vocab->ops->finish;
    nx_status st =
        own ? d->vocab->ops->finish(d, out, err) : nx_decode_clean(out, d->held, d->n_held, err);

    if (st) {
        out->len = before;
        if (out->data) out->data[before] = '\0';
        return st;
    }
    d->n_held = 0;
    return NX_OK;
}

void nx_decoder_free(nx_decoder *d)
{
    if (d->state) d->vocab->ops->drop(d->state);
    *d = (nx_decoder){0};
}
