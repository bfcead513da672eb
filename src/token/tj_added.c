/* tj_added.c - cuts added tokens out of a text.
 *
 * At each place from the left the longest token counts. One that may not stand there (single_word
 * inside a word; a special one where none is permitted) is passed over as a whole, as in
 * `tokenizers`: the search goes on behind it.
 * Idea:   tokens sorted by their bytes are walked like a trie, as in specials.c; a text that begins
 *         none costs one look-up a byte.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/tj.h"
#include "token/unicode.h"

static int by_pattern(const void *pa, const void *pb)
{
    const nx_tj_added *a = *(const nx_tj_added *const *)pa, *b = *(const nx_tj_added *const *)pb;
    nx_str             x = a->pattern, y = b->pattern;
    int                order = memcmp(x.p, y.p, x.len < y.len ? x.len : y.len);

    if (order) return order;
    if (x.len != y.len) return x.len < y.len ? -1 : 1;
    return a < b ? -1 : a > b; /* of equals the one that was added first leads */
}

nx_status nx_tj_finder_create(nx_tj_finder *f, const nx_tj_added *all, int32_t n, bool normalized,
                              nx_error *err)
{
    int32_t kept = 0;

    *f = (nx_tj_finder){.list = nx_alloc((size_t)n, sizeof *f->list)};
    if (!f->list) return nx_fail(err, NX_ENOMEM, "table of %d added tokens", n);
    for (int32_t i = 0; i < n; i++) {
        if (all[i].normalized == normalized && all[i].pattern.len) f->list[f->n++] = &all[i];
    }
    if (f->n > 1) qsort(f->list, (size_t)f->n, sizeof *f->list, by_pattern);
    for (int32_t i = 0; i < f->n; i++) {
        if (kept && nx_str_eq(f->list[kept - 1]->pattern, f->list[i]->pattern)) continue;
        f->list[kept++] = f->list[i];
        f->first[(unsigned char)f->list[i]->pattern.p[0]] = true;
    }
    f->n = kept;
    return NX_OK;
}

void nx_tj_finder_free(nx_tj_finder *f)
{
    nx_free(f->list);
    *f = (nx_tj_finder){0};
}

/* First entry of [lo, hi) whose byte `depth` is at least c; all are longer than depth. */
static int32_t lower_bound(const nx_tj_finder *f, int32_t lo, int32_t hi, size_t depth, int c)
{
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)f->list[mid]->pattern.p[depth] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const nx_tj_added *longest(const nx_tj_finder *f, const char *text, size_t len)
{
    const nx_tj_added *best = NULL;
    int32_t            lo = 0, hi = f->n;

    for (size_t depth = 0;; depth++) {
        if (lo < hi && f->list[lo]->pattern.len == depth) best = f->list[lo++];
        if (lo == hi || depth == len) return best;
        int c = (unsigned char)text[depth];
        lo = lower_bound(f, lo, hi, depth, c);
        hi = lower_bound(f, lo, hi, depth, c + 1);
    }
}

/* ---- Around a token --------------------------------------------------------------------------- */

static uint32_t char_before(const char *text, size_t at, size_t *n)
{
    size_t i = at - 1;

    while (i > 0 && ((unsigned char)text[i] & 0xC0) == 0x80) i--;
    *n = at - i;
    return nx_utf8_decode(text + i, at - i, &(size_t){0});
}

bool nx_tj_is_word(uint32_t c)
{
    if (c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0xBC && c <= 0xBE)) return false;
    return c == 0x200C || c == 0x200D || (nx_uc_of(c)->flags & NX_UC_WORD);
}

static bool is_word_at(const char *text, size_t len, size_t from, size_t to)
{
    size_t n;

    if (from > 0 && nx_tj_is_word(char_before(text, from, &n))) return true;
    return to < len && nx_tj_is_word(nx_utf8_decode(text + to, len - to, &n));
}

static size_t skip_left(const char *text, size_t from, size_t least)
{
    size_t n;

    while (from > least && nx_uc_is_space(char_before(text, from, &n))) from -= n;
    return from > least ? from : least;
}

static size_t skip_right(const char *text, size_t len, size_t to)
{
    size_t n;

    while (to < len && nx_uc_is_space(nx_utf8_decode(text + to, len - to, &n))) to += n;
    return to;
}

static bool may_stand(const nx_tj_added *t, const nx_tj_piece *piece, size_t at,
                      const nx_tj_permit *permit)
{
    const char *from = piece->p + at;

    if (t->special && permit && !permit->ask(permit->ctx, from, from + t->pattern.len)) {
        return false;
    }
    return !t->single_word || !is_word_at(piece->p, piece->len, at, at + t->pattern.len);
}

nx_status nx_tj_cut_added(const nx_tj_finder *f, nx_tj_piece piece, const nx_tj_permit *permit,
                          nx_tj_on_gap gap, nx_tj_on_token token, void *ctx, nx_error *err)
{
    nx_status st = NX_OK;
    size_t    done = 0; /* up to here all is said */

    for (size_t i = 0; !st && f->n && i < piece.len;) {
        const nx_tj_added *t =
            f->first[(unsigned char)piece.p[i]] ? longest(f, piece.p + i, piece.len - i) : NULL;
        if (!t) {
            i++;
            continue;
        }
        size_t from = i, to = i + t->pattern.len;
        i = to;
        if (!may_stand(t, &piece, from, permit)) continue;
        if (t->lstrip) from = skip_left(piece.p, from, done);
        if (t->rstrip) to = skip_right(piece.p, piece.len, to);
        if (done < from) {
            st =
                gap(ctx, (nx_tj_piece){piece.p + done, from - done, piece.first && done == 0}, err);
        }
        if (!st) st = token(ctx, t->id, err);
        done = to;
    }
    if (!st && done < piece.len) {
        st = gap(ctx, (nx_tj_piece){piece.p + done, piece.len - done, piece.first && done == 0},
                 err);
    }
    return st;
}
