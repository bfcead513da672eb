/* fold.c - of passages that say nearly the same, the best one is shown.
 *
 * Idea:   a text is the set of its runs of four words, lower-cased; two are alike when they share four fifths of
 *         what either has (Broder's resemblance), or, where they are too short for that, are the same word for
 *         word and stand under the same headings. Numbers must be the same: rows of tables, and pages of one
 *         kind, repeat every word but them.
 * Cost:   a passage is compared with those that are shown, until enough are.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rag/retrieve_in.h"

enum {
    RUN = 4,    /* words */
    SHORT = 16, /* runs: fewer say little without their headings */
};
static const double alike_share = 0.8;

typedef struct gist {
    uint64_t *runs; /* [n] ascending, each once */
    size_t    n;
    uint64_t  whole, numbers; /* hashes of all words in order; of those with digits */
} gist;

/* ---- A text's gist ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool in_word(unsigned char c)
{
    return c >= 0x80 || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The next word's hash from *at on; 0: there is none. */
static uint64_t next_word(nx_str text, size_t *at, bool *has_digit)
{
    uint64_t h = 1;

    *has_digit = false;
    while (*at < text.len && !in_word((unsigned char)text.p[*at])) ++*at;
    if (*at == text.len) return 0;
    for (; *at < text.len && in_word((unsigned char)text.p[*at]); ++*at) {
        unsigned char c = (unsigned char)text.p[*at];
        *has_digit |= is_digit(c);
        h = mix(h, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return h ? h : 1;
}

static int by_u64(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

    return a < b ? -1 : a > b;
}

static void sort_once(gist *g)
{
    size_t n = 0;

    if (g->n > 1) qsort(g->runs, g->n, sizeof *g->runs, by_u64);
    for (size_t i = 0; i < g->n; i++)
        if (i == 0 || g->runs[i] != g->runs[n - 1]) g->runs[n++] = g->runs[i];
    g->n = n;
}

/* runs has room for a word at every second byte. */
static void read_gist(gist *g, nx_str text)
{
    uint64_t last[RUN] = {0}, word;
    size_t   at = 0, n_words = 0;
    bool     digits;

    while ((word = next_word(text, &at, &digits))) {
        g->whole = mix(g->whole, word);
        if (digits) g->numbers = mix(g->numbers, word);
        last[n_words++ % RUN] = word;
        if (n_words < RUN) continue;
        uint64_t h = 0;
        for (size_t k = 0; k < RUN; k++) h = mix(h, last[(n_words + k) % RUN]);
        g->runs[g->n++] = h;
    }
    sort_once(g);
}

static bool same(const gist *a, const gist *b)
{
    size_t shared = 0, smaller = a->n < b->n ? a->n : b->n, larger = a->n + b->n - smaller;

    if (a->numbers != b->numbers) return false;
    if (a->whole == b->whole) return true;
    if ((double)smaller < alike_share * (double)larger || smaller == 0) return false;
    for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
        uint64_t x = a->runs[i], y = b->runs[k];
        shared += x == y;
        i += x <= y;
        k += y <= x;
    }
    return (double)shared >= alike_share * (double)(a->n + b->n - shared);
}

static nx_status make_gist(gist *g, nx_arena *a, nx_str text, nx_error *err)
{
    *g = (gist){.runs = nx_arena_alloc(a, text.len / 2 + 1, sizeof *g->runs)};
    if (!g->runs) return nx_fail(err, NX_ENOMEM, "near duplicates");
    read_gist(g, text);
    return NX_OK;
}

nx_status nx_texts_alike(bool *alike, nx_str a, nx_str b, nx_error *err)
{
    nx_arena  arena = {0};
    gist      ga, gb = {0};
    nx_status st = make_gist(&ga, &arena, a, err);

    if (!st) st = make_gist(&gb, &arena, b, err);
    *alike = !st && same(&ga, &gb);
    nx_arena_free(&arena);
    return st;
}

/* ---- Candidates ---- */

static nx_status add_source(nx_retrieval *r, nx_prospect *better, const nx_prospect *c)
{
    nx_str *also = nx_arena_alloc(&r->arena, (size_t)better->n_folded + 1, sizeof *also);

    if (!also) return nx_fail(r->err, NX_ENOMEM, "near duplicates");
    if (better->n_folded) memcpy(also, better->also, (size_t)better->n_folded * sizeof *also);
    also[better->n_folded++] = c->view.source;
    better->also = also;
    r->out->n_folded++;
    return NX_OK;
}

/* Is candidate i like one of the shown? Then it is gone. */
static nx_status fold_one(nx_retrieval *r, gist *shown, const size_t *places, size_t n_shown,
                          size_t i, nx_arena *a)
{
    nx_prospect *c = &r->list[i];
    nx_status    st = make_gist(&shown[n_shown], a, c->view.text, r->err);

    for (size_t k = 0; !st && k < n_shown; k++) {
        const nx_prospect *better = &r->list[places[k]];
        if (!same(&shown[k], &shown[n_shown])) continue;
        if (shown[k].n < SHORT && !nx_str_eq(better->view.headings, c->view.headings)) continue;
        c->gone = true;
        return add_source(r, &r->list[places[k]], c);
    }
    return st;
}

nx_status nx_retrieval_fold(nx_retrieval *r, size_t enough)
{
    nx_arena  a = {.chunk_bytes = (size_t)256 << 10};
    size_t    n_shown = 0, room = enough < r->n ? enough : r->n;
    gist     *shown = nx_arena_alloc(&a, room + 1, sizeof *shown);
    size_t   *places = nx_arena_alloc(&a, room + 1, sizeof *places);
    nx_status st = shown && places ? NX_OK : nx_fail(r->err, NX_ENOMEM, "near duplicates");

    for (size_t i = 0; !st && i < r->n && n_shown < room; i++) {
        if (r->list[i].gone) continue;
        st = fold_one(r, shown, places, n_shown, i, &a);
        if (!r->list[i].gone) places[n_shown++] = i;
    }
    nx_arena_free(&a);
    return st;
}
