/* spm.c - SentencePiece's greedy merging over a heap of neighbours.
 *
 * Idea:   every character starts as a symbol; the pair of neighbours whose joint text is the token
 *         of the best score (leftmost of equals) is joined, again and again. What is left without
 *         a token is spelled in byte tokens.
 * Words:  where no token holds a space mark after something else, nothing ever joins across the
 *         beginning of a word, so that words are merged one by one, in small heaps.
 * A U+2581 written in the text itself isn't a space: it is spelled in bytes, where the vocabulary
 * has these, so that decoding gives it back. (SentencePiece would take it for a space.)
 */
#include "token/spm.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/tables.h"

#define WORD_MAX ((size_t)1 << 30) /* offsets of marked text, three times as long, fit uint32 */

/* Symbol `left` and the one after it, as long as they are `len` bytes together. */
struct nx_spm_pair {
    float    score;
    int32_t  left;
    uint32_t len;
    int32_t  id;
};

void nx_spm_work_free(nx_spm_work *w)
{
    nx_free(w->text);
    nx_free(w->symbols);
    nx_free(w->heap);
    nx_free(w->splits);
    *w = (nx_spm_work){0};
}

nx_status nx_spm_reserve(nx_spm_work *w, size_t bytes, size_t n, nx_error *err)
{
    if (bytes > w->text_cap) {
        char *text = nx_realloc(w->text, bytes + bytes / 4 + 256, 1);
        if (!text) return nx_fail(err, NX_ENOMEM, "text of %zu bytes", bytes);
        w->text = text;
        w->text_cap = bytes + bytes / 4 + 256;
    }
    if (n > w->cap) {
        size_t         cap = n + n / 4 + 64;
        nx_spm_symbol *symbols = nx_realloc(w->symbols, cap, sizeof *symbols);
        if (symbols) w->symbols = symbols;
        nx_spm_pair *heap = nx_realloc(w->heap, 2 * cap, sizeof *heap);
        if (heap) w->heap = heap;
        if (!symbols || !heap) return nx_fail(err, NX_ENOMEM, "text of %zu symbols", n);
        w->cap = cap;
    }
    return NX_OK;
}

/* ---- The heap: best score first, then leftmost ------------------------------------------------ */

static bool is_before(const nx_spm_pair *a, const nx_spm_pair *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void sift_up(nx_spm_pair *heap, size_t i)
{
    nx_spm_pair moving = heap[i];

    for (size_t up; i > 0 && is_before(&moving, &heap[up = (i - 1) / 2]); i = up) {
        heap[i] = heap[up];
    }
    heap[i] = moving;
}

static void sift_down(nx_spm_pair *heap, size_t n, size_t i)
{
    nx_spm_pair moving = heap[i];

    for (size_t kid; (kid = 2 * i + 1) < n; i = kid) {
        if (kid + 1 < n && is_before(&heap[kid + 1], &heap[kid])) kid++;
        if (!is_before(&heap[kid], &moving)) break;
        heap[i] = heap[kid];
    }
    heap[i] = moving;
}

static nx_spm_pair pop(nx_spm_work *w)
{
    nx_spm_pair top = w->heap[0];

    w->heap[0] = w->heap[--w->n_heap];
    if (w->n_heap) sift_down(w->heap, w->n_heap, 0);
    return top;
}

/* ---- Merging ---------------------------------------------------------------------------------- */

/* Put symbol `left` and its right neighbour on the heap if a token joins them. At most n - 1 pairs
 * at first, then each join takes one off and adds at most two: 2 n places are enough. */
static void offer(const nx_vocab *v, nx_spm_work *w, int32_t left)
{
    const nx_spm_symbol *l, *r;

    if (left < 0 || (l = &w->symbols[left])->next < 0) return;
    r = &w->symbols[l->next];
    uint32_t len = l->len + r->len;
    if (len > v->longest || l->frozen || r->frozen) return;
    int32_t id = nx_index_find(&v->by_text, w->text + l->at, len);
    if (!nx_vocab_merges_to(v, id)) return;
    if (w->splits && v->types[id] == NX_TOKEN_UNUSED) w->splits[id] = l->len;
    w->heap[w->n_heap++] =
        (nx_spm_pair){.score = v->scores[id], .left = left, .len = len, .id = id};
    sift_up(w->heap, w->n_heap - 1);
}

void nx_spm_merge(const nx_vocab *v, nx_spm_work *w)
{
    w->n_heap = 0;
    for (size_t i = 0; i + 1 < w->n; i++) offer(v, w, (int32_t)i);
    while (w->n_heap) {
        nx_spm_pair    p = pop(w);
        nx_spm_symbol *l = &w->symbols[p.left];
        if (l->len == 0 || l->next < 0) continue;
        nx_spm_symbol *r = &w->symbols[l->next];
        if (l->len + r->len != p.len) continue; /* one of them has grown since */
        l->len = p.len;
        l->id = p.id;
        l->next = r->next;
        r->len = 0;
        if (l->next >= 0) w->symbols[l->next].prev = p.left;
        offer(v, w, l->prev);
        offer(v, w, p.left);
    }
}

/* ---- A word ----------------------------------------------------------------------------------- */

static void add_symbol(const nx_vocab *v, nx_spm_work *w, const char *p, size_t len, bool literal)
{
    char   *to = w->text + w->text_len;
    int32_t i = (int32_t)w->n++, id = NX_SPM_NO_MERGE;

    memcpy(to, p, len);
    if (!literal) {
        id = nx_index_find(&v->by_text, to, len);
        if (!nx_vocab_merges_to(v, id)) id = NX_SPM_NO_TOKEN;
    }
    w->symbols[i] = (nx_spm_symbol){.prev = i - 1,
                                    .next = i + 1,
                                    .at = (uint32_t)w->text_len,
                                    .len = (uint32_t)len,
                                    .id = id,
                                    .frozen = literal};
    w->text_len += len;
}

static void read_word(const nx_vocab *v, nx_spm_work *w, const char *p, size_t len, bool prefix)
{
    w->text_len = w->n = 0;
    if (prefix) add_symbol(v, w, NX_SPACE_MARK, NX_SPACE_MARK_LEN, false);
    for (size_t i = 0, n; i < len; i += n) {
        bool space = p[i] == ' ';
        nx_utf8_decode(p + i, len - i, &n);
        if (space) {
            add_symbol(v, w, NX_SPACE_MARK, NX_SPACE_MARK_LEN, false);
        } else {
            bool mark = n == NX_SPACE_MARK_LEN && memcmp(p + i, NX_SPACE_MARK, n) == 0;
            add_symbol(v, w, p + i, n, mark && v->spells_mark);
        }
    }
    if (w->n) w->symbols[w->n - 1].next = -1;
}

/* A symbol without a token: its bytes, or unk once. A space is spelled as the byte 0x20. */
static nx_status spell(const nx_vocab *v, nx_ids *out, const nx_spm_symbol *s, const char *p,
                       nx_error *err)
{
    nx_status st = NX_OK;
    bool      space = s->id == NX_SPM_NO_TOKEN && s->len == NX_SPACE_MARK_LEN &&
                 memcmp(p, NX_SPACE_MARK, NX_SPACE_MARK_LEN) == 0;
    size_t len = space ? 1 : s->len;
    bool   whole = true;

    if (space) p = " ";
    for (size_t i = 0; i < len; i++) whole &= v->byte_ids[(unsigned char)p[i]] >= 0;
    if (!whole && v->special.unk >= 0) return nx_ids_add(out, v->special.unk, err);
    if (!whole) {
        return nx_fail(err, NX_EUNSUPPORTED,
                       "the vocabulary has no token for byte 0x%02X and its neighbours, and no "
                       "unknown token",
                       (unsigned char)p[0]);
    }
    for (size_t i = 0; !st && i < len; i++) {
        st = nx_ids_add(out, v->byte_ids[(unsigned char)p[i]], err);
    }
    return st;
}

static nx_status encode_word(const nx_vocab *v, nx_spm_work *w, nx_ids *out, const char *p,
                             size_t len, bool prefix, nx_error *err)
{
    size_t spaces = prefix;

    if (len > WORD_MAX) {
        return nx_fail(err, NX_ELIMIT, "%zu bytes that can't be cut into words, at most %zu", len,
                       WORD_MAX);
    }
    for (size_t i = 0; i < len; i++) spaces += p[i] == ' ';
    size_t    n = len + prefix;
    nx_status st = nx_spm_reserve(w, n + (NX_SPACE_MARK_LEN - 1) * spaces, n, err);
    if (st) return st;
    read_word(v, w, p, len, prefix);
    nx_spm_merge(v, w);
    for (int32_t i = w->n ? 0 : -1; !st && i >= 0; i = w->symbols[i].next) {
        const nx_spm_symbol *s = &w->symbols[i];
        st = s->id >= 0 ? nx_ids_add(out, s->id, err) : spell(v, out, s, w->text + s->at, err);
    }
    return st;
}

/* Spaces, and what follows up to the next space. */
static size_t word_len(const char *p, size_t len)
{
    size_t n = 0;

    while (n < len && p[n] == ' ') n++;
    if (n == len) return n;
    const char *space = memchr(p + n, ' ', len - n);
    return space ? (size_t)(space - p) : len;
}

nx_status nx_spm_encode(const nx_vocab *v, nx_spm_work *w, nx_ids *out, const char *text,
                        size_t len, bool prefix, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t at = 0; !st && at < len;) {
        size_t n = v->crosses_words ? len : word_len(text + at, len - at);
        st = encode_word(v, w, out, text + at, n, prefix && at == 0, err);
        at += n;
    }
    return st;
}
