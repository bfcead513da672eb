/* embed_pieces.c - tokenises, and cuts what is too long.
 *
 * Idea: every piece is the model's own tokens around a stretch of the text's: [CLS] ... [SEP]. A
 *       prompt is encoded with its text, as one; its ids begin every window.
 */
#include "engine/embed_pieces.h"

#include <string.h>

#include "base/alloc.h"
#include "token/unicode.h"

typedef struct around {
    const int32_t *front, *back;
    size_t         n_front, n_back;
} around;

static around around_of(const nx_vocab *v)
{
    around a;

    nx_vocab_around(v, false, &a.front, &a.n_front);
    nx_vocab_around(v, true, &a.back, &a.n_back);
    return a;
}

/* ---- The text's own ids ---- */

static nx_status encode(const nx_embed_spec *spec, const nx_vocab *v, nx_ids *out, nx_str prompt,
                        nx_str text, nx_error *err)
{
    nx_buf    b = {.max = SIZE_MAX / 4};
    nx_status st = NX_OK;

    if (!prompt.len && !spec->lowercase)
        return nx_vocab_encode(v, out, text.p, text.len, NX_ENCODE_PARSE_SPECIAL, err);
    if (spec->lowercase) {
        st = nx_uc_lower(&b, prompt.p ? prompt.p : "", prompt.len, err);
        if (!st) st = nx_uc_lower(&b, text.p ? text.p : "", text.len, err);
    } else {
        st = nx_buf_add(&b, prompt.p, prompt.len, err);
        if (!st && text.len) st = nx_buf_add(&b, text.p, text.len, err);
    }
    if (!st) st = nx_vocab_encode(v, out, b.data, b.len, NX_ENCODE_PARSE_SPECIAL, err);
    nx_buf_free(&b);
    return st;
}

/* How many of ids are the prompt's: as many as it has alone, where they are the same. */
static nx_status count_prompt(size_t *n, const nx_embed_spec *spec, const nx_vocab *v,
                              const nx_ids *ids, nx_str prompt, nx_error *err)
{
    nx_ids    alone = {0};
    nx_status st = encode(spec, v, &alone, (nx_str){0}, prompt, err);

    *n = 0;
    while (!st && *n < alone.n && *n < ids->n && alone.ids[*n] == ids->ids[*n]) (*n)++;
    nx_ids_free(&alone);
    return st;
}

/* Ids of the caller's, without those around them that are there already. */
static nx_status take_ids(nx_ids *out, const nx_embed_text *t, const around *a, int32_t n_vocab,
                          nx_error *err)
{
    const int32_t *ids = t->ids;
    size_t         n = t->n_ids;
    bool           front =
        a->n_front > 0 && n >= a->n_front && memcmp(ids, a->front, a->n_front * sizeof *ids) == 0;

    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return nx_fail(err, NX_EINVAL, "token %zu is %d, expected 0 to %d", i, ids[i],
                           n_vocab - 1);
    if (front) {
        ids += a->n_front;
        n -= a->n_front;
    }
    if (a->n_back > 0 && n >= a->n_back &&
        memcmp(ids + n - a->n_back, a->back, a->n_back * sizeof *ids) == 0)
        n -= a->n_back;
    nx_status st = nx_ids_reserve(out, n, err);
    for (size_t i = 0; !st && i < n; i++) st = nx_ids_add(out, ids[i], err);
    return st;
}

/* ---- Pieces ---- */

static nx_status add_all(nx_ids *out, const int32_t *ids, size_t n, nx_error *err)
{
    nx_status st = nx_ids_reserve(out, n, err);

    for (size_t i = 0; !st && i < n; i++) st = nx_ids_add(out, ids[i], err);
    return st;
}

/* One piece: content[from .. from + n) with the prompt before it. */
static nx_status add_piece(nx_embed_pieces *p, const around *a, const nx_embed_spec *spec,
                           size_t n_prompt, size_t from, size_t n, int32_t text, nx_error *err)
{
    if (p->n == p->cap) {
        int32_t cap = p->cap ? p->cap * 2 : 64;
        void   *grown = nx_realloc(p->list, (size_t)cap, sizeof *p->list);
        if (!grown) return nx_fail(err, NX_ENOMEM, "list of texts");
        p->list = grown;
        p->cap = cap;
    }
    nx_embed_piece *piece = &p->list[p->n];
    *piece = (nx_embed_piece){
        .at = p->ids.n,
        .weight = (int32_t)n,
        .n_prompt = spec->pools_prompt || n_prompt == 0 ? 0 : (int32_t)(a->n_front + n_prompt),
        .text = text};
    nx_status st = add_all(&p->ids, a->front, a->n_front, err);
    if (!st) st = add_all(&p->ids, p->content.ids, n_prompt, err);
    if (!st && n) st = add_all(&p->ids, p->content.ids + from, n, err);
    if (!st) st = add_all(&p->ids, a->back, a->n_back, err);
    if (st) return st;
    piece->n = (int32_t)(p->ids.n - piece->at);
    if (piece->n == 0)
        return nx_fail(err, NX_EINVAL, "an empty text, of which this model makes no token");
    if (piece->n_prompt >= piece->n) piece->n_prompt = 0;
    p->n++;
    return NX_OK;
}

static nx_status too_long(size_t n, const nx_embed_spec *spec, nx_error *err)
{
    return nx_fail(
        err, NX_ELIMIT,
        "a text of %zu tokens, and the model takes %d. Let it be cut, or read in windows", n,
        spec->length_max);
}

/* The text of n tokens, in pieces of at most `most`, all of nearly the same length. */
static nx_status add_windows(nx_embed_pieces *p, const around *a, const nx_embed_spec *spec,
                             size_t n_prompt, size_t most, int32_t text, nx_embed_note *note,
                             nx_error *err)
{
    size_t    n = p->content.n - n_prompt, n_windows = (n + most - 1) / most;
    nx_status st = n_windows > INT32_MAX / 2 ? too_long(n, spec, err) : NX_OK;

    for (size_t i = 0; !st && i < n_windows; i++) {
        size_t from = n * i / n_windows, end = n * (i + 1) / n_windows;
        st = add_piece(p, a, spec, n_prompt, n_prompt + from, end - from, text, err);
    }
    note->n_windows = (int32_t)n_windows;
    return st;
}

static nx_status cut(nx_embed_pieces *p, const around *a, const nx_embed_spec *spec,
                     size_t n_prompt, int32_t text, const nx_embed_options *opt,
                     nx_embed_note *note, nx_error *err)
{
    size_t n = p->content.n - n_prompt, taken = a->n_front + a->n_back + n_prompt;
    size_t all = taken + n, room = (size_t)spec->length_max;

    if (all <= room) return add_piece(p, a, spec, n_prompt, n_prompt, n, text, err);
    if (opt->long_texts == NX_LONG_ERROR || taken >= room) return too_long(all, spec, err);
    if (opt->long_texts == NX_LONG_WINDOWS)
        return add_windows(p, a, spec, n_prompt, room - taken, text, note, err);
    note->n_windows = 1;
    note->n_cut = (int32_t)(all - room > INT32_MAX ? INT32_MAX : all - room);
    return add_piece(p, a, spec, n_prompt, n_prompt, room - taken, text, err);
}

nx_status nx_embed_pieces_add(nx_embed_pieces *p, const nx_embed_spec *spec, const nx_vocab *vocab,
                              int32_t n_vocab, const nx_embed_text *text, int32_t number,
                              const nx_embed_options *opt, nx_embed_note *note, nx_error *err)
{
    around    a = around_of(vocab);
    nx_str    prompt = text->ids ? (nx_str){0} : spec->prompt[opt->input_type];
    size_t    n_prompt = 0;
    int32_t   before = p->n;
    nx_status st;

    *note = (nx_embed_note){0};
    p->content.n = 0;
    st = text->ids ? take_ids(&p->content, text, &a, n_vocab, err)
                   : encode(spec, vocab, &p->content, prompt, text->text, err);
    if (!st && prompt.len) st = count_prompt(&n_prompt, spec, vocab, &p->content, prompt, err);
    if (!st) st = cut(p, &a, spec, n_prompt, number, opt, note, err);
    for (int32_t i = before; !st && i < p->n; i++) note->n_tokens += p->list[i].n;
    return st;
}

void nx_embed_pieces_free(nx_embed_pieces *p)
{
    nx_ids_free(&p->ids);
    nx_ids_free(&p->content);
    nx_free(p->list);
    *p = (nx_embed_pieces){0};
}

nx_status nx_embed_count(int32_t *n, const nx_embed_spec *spec, const nx_vocab *vocab, nx_str text,
                         nx_input_type type, nx_error *err)
{
    around    a = around_of(vocab);
    nx_ids    ids = {0};
    nx_status st = encode(spec, vocab, &ids, spec->prompt[type], text, err);
    size_t    all = ids.n + a.n_front + a.n_back;

    *n = st || all > INT32_MAX ? INT32_MAX : (int32_t)all;
    nx_ids_free(&ids);
    return st;
}
