/* sp_normal.c - SentencePiece's normaliser: character map, white space, dummy prefix. */
#include <string.h>

#include "base/utf8.h"
#include "token/sp.h"

/* What the text begins with becomes *to; returns how many bytes of it that stands for. A piece of
 * the user's stays as it is; then the longest key of the map; then a character, or U+FFFD. */
static size_t take(const nx_sp *sp, const char *p, size_t len, nx_str *to)
{
    int32_t id;
    size_t  n = sp->users ? nx_unigram_longest(sp->users, p, len, &id) : 0;

    *to = (nx_str){p, n};
    if (n) return n;
    n = sp->map ? nx_charsmap_longest(sp->map, p, len, to) : 0;
    if (n) return n;
    bool good = nx_utf8_decode(p, len, &n) != NX_UTF8_BAD;
    *to = good ? (nx_str){p, n} : NX_STR("\xEF\xBF\xBD");
    return n;
}

static nx_str mark_of(const nx_sp *sp)
{
    return sp->model.marks_spaces ? NX_STR(NX_SPACE_MARK) : NX_STR(" ");
}

/* Append s, its spaces as marks. */
static nx_status add_marked(const nx_sp *sp, nx_buf *out, nx_str s, nx_error *err)
{
    nx_str    mark = mark_of(sp);
    nx_status st = NX_OK;

    while (!st && s.len) {
        const char *space = memchr(s.p, ' ', s.len);
        size_t      n = space ? (size_t)(space - s.p) : s.len;
        st = nx_buf_add(out, s.p, n, err);
        if (!st && space) st = nx_buf_add(out, mark.p, mark.len, err);
        n += space != NULL;
        s = (nx_str){s.p + n, s.len - n};
    }
    return st;
}

static bool ends_with(const nx_buf *b, size_t from, nx_str s)
{
    return b->len - from >= s.len && memcmp(b->data + b->len - s.len, s.p, s.len) == 0;
}

static nx_status add_all(const nx_sp *sp, nx_buf *out, const char *text, size_t len, nx_error *err)
{
    bool      trims = sp->model.trims_spaces, after_space = trims;
    nx_status st = NX_OK;
    nx_str    to;

    for (size_t n; !st && len; text += n, len -= n) {
        n = take(sp, text, len, &to);
        while (after_space && to.len && to.p[0] == ' ') to = (nx_str){to.p + 1, to.len - 1};
        if (to.len == 0) continue;
        st = add_marked(sp, out, to, err);
        after_space = trims && to.p[to.len - 1] == ' ';
    }
    return st;
}

nx_status nx_sp_normalise(const nx_sp *sp, nx_buf *out, const char *text, size_t len, bool prefix,
                          nx_error *err)
{
    bool      dummy = prefix && sp->model.dummy_prefix, suffix = sp->model.space_suffix;
    nx_str    mark = mark_of(sp), to;
    nx_status st = NX_OK;

    while (sp->model.trims_spaces && len) {
        size_t n = take(sp, text, len, &to);
        if (!nx_str_eq(to, NX_STR(" "))) break;
        text += n;
        len -= n;
    }
    if (len == 0) return NX_OK;
    size_t from = out->len;
    if (dummy && !suffix) st = nx_buf_add(out, mark.p, mark.len, err);
    if (!st) st = add_all(sp, out, text, len, err);
    if (st) return st;
    while (sp->model.trims_spaces && ends_with(out, from, mark)) out->len -= mark.len;
    return dummy && suffix ? nx_buf_add(out, mark.p, mark.len, err) : NX_OK;
}
