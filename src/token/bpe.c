/* bpe.c - merging by rank.
 *
 * Idea:   short words, which are nearly all, keep their ids and the ranks of their pairs in two
 *         small arrays and look for the smallest by scanning. Long ones keep a linked list and a
 *         heap, so that a megabyte of letters takes n log n.
 */
#include "token/bpe.h"

#include <string.h>

#include "base/alloc.h"
#include "token/tables.h"

#define SHORT_MAX 48
#define WORD_MAX  ((size_t)1 << 30)

struct nx_bpe_symbol {
    int32_t prev, next; /* -1 at the ends */
    int32_t id;         /* -1: a byte without token. DEAD: joined into its left neighbour */
};

#define DEAD (-2)

void nx_bpe_work_free(nx_bpe_work *w)
{
    nx_free(w->symbols);
    nx_free(w->heap);
    *w = (nx_bpe_work){0};
}

/* ---- Short words ------------------------------------------------------------------------------ */

static int32_t rank_of(const nx_merges *merges, const int32_t *ids, int32_t *joint)
{
    const nx_merge *m = ids[0] < 0 ? NULL : nx_merges_find(merges, ids[0], ids[1]);

    *joint = m ? m->id : -1;
    return m ? m->rank : INT32_MAX;
}

static int merge_short(const nx_merges *m, int32_t *ids, int n)
{
    int32_t ranks[SHORT_MAX], joints[SHORT_MAX]; /* of pair i, i + 1 */

    for (int i = 0; i + 1 < n; i++) ranks[i] = rank_of(m, ids + i, &joints[i]);
    while (n > 1) {
        int best = 0;
        for (int i = 1; i + 1 < n; i++) {
            if (ranks[i] < ranks[best]) best = i;
        }
        if (ranks[best] == INT32_MAX) break;
        ids[best] = joints[best];
        n--;
        for (int i = best + 1; i < n; i++) ids[i] = ids[i + 1];
        for (int i = best + 1; i + 1 < n; i++) {
            ranks[i] = ranks[i + 1];
            joints[i] = joints[i + 1];
        }
        if (best > 0) ranks[best - 1] = rank_of(m, ids + best - 1, &joints[best - 1]);
        if (best + 1 < n) ranks[best] = rank_of(m, ids + best, &joints[best]);
    }
    return n;
}

/* ---- Long words: a heap of rank << 32 | left symbol ------------------------------------------- */

static void push(nx_bpe_work *w, uint64_t key)
{
    size_t i = w->n_heap++;

    for (size_t up; i > 0 && key < w->heap[up = (i - 1) / 2]; i = up) w->heap[i] = w->heap[up];
    w->heap[i] = key;
}

static uint64_t pop(nx_bpe_work *w)
{
    uint64_t top = w->heap[0], moving = w->heap[--w->n_heap];
    size_t   i = 0;

    for (size_t kid; (kid = 2 * i + 1) < w->n_heap; i = kid) {
        if (kid + 1 < w->n_heap && w->heap[kid + 1] < w->heap[kid]) kid++;
        if (moving <= w->heap[kid]) break;
        w->heap[i] = w->heap[kid];
    }
    w->heap[i] = moving;
    return top;
}

static const nx_merge *merge_at(const nx_merges *m, const nx_bpe_work *w, int32_t left)
{
    if (left < 0 || w->symbols[left].id < 0 || w->symbols[left].next < 0) return NULL;
    return nx_merges_find(m, w->symbols[left].id, w->symbols[w->symbols[left].next].id);
}

/* At most n - 1 pairs at first, then each join takes one off and adds at most two. */
static void offer(const nx_merges *merges, nx_bpe_work *w, int32_t left)
{
    const nx_merge *m = merge_at(merges, w, left);

    if (m) push(w, (uint64_t)m->rank << 32 | (uint32_t)left);
}

static void merge_long(const nx_merges *merges, nx_bpe_work *w, size_t n)
{
    w->n_heap = 0;
    for (size_t i = 0; i + 1 < n; i++) offer(merges, w, (int32_t)i);
    while (w->n_heap) {
        uint64_t        key = pop(w);
        int32_t         left = (int32_t)(uint32_t)key;
        const nx_merge *m = merge_at(merges, w, left);
        if (!m || (uint64_t)m->rank != key >> 32) continue; /* one of the two has changed */
        nx_bpe_symbol *l = &w->symbols[left], *r = &w->symbols[l->next];
        l->id = m->id;
        l->next = r->next;
        r->id = DEAD;
        if (l->next >= 0) w->symbols[l->next].prev = left;
        offer(merges, w, l->prev);
        offer(merges, w, left);
    }
}

static nx_status reserve(nx_bpe_work *w, size_t n, nx_error *err)
{
    if (n <= w->cap) return NX_OK;
    if (n > WORD_MAX) {
        return nx_fail(err, NX_ELIMIT, "a word of %zu bytes, at most %zu", n, WORD_MAX);
    }
    size_t         cap = n + n / 4;
    nx_bpe_symbol *symbols = nx_realloc(w->symbols, cap, sizeof *symbols);
    if (symbols) w->symbols = symbols;
    uint64_t *heap = nx_realloc(w->heap, 2 * cap, sizeof *heap);
    if (heap) w->heap = heap;
    if (!symbols || !heap) return nx_fail(err, NX_ENOMEM, "a word of %zu bytes", n);
    w->cap = cap;
    return NX_OK;
}

nx_status nx_bpe_merge(const nx_merges *m, nx_bpe_work *w, int32_t *ids, size_t *n, nx_error *err)
{
    if (*n <= SHORT_MAX) {
        *n = (size_t)merge_short(m, ids, (int)*n);
        return NX_OK;
    }
    nx_status st = reserve(w, *n, err);
    if (st) return st;
    for (size_t i = 0; i < *n; i++) {
        w->symbols[i] = (nx_bpe_symbol){
            .prev = (int32_t)i - 1, .next = i + 1 < *n ? (int32_t)i + 1 : -1, .id = ids[i]};
    }
    merge_long(m, w, *n);
    *n = 0;
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next) ids[(*n)++] = w->symbols[i].id;
    return NX_OK;
}

/* ---- A word of bytes -------------------------------------------------------------------------- */

static nx_status check_bytes(const nx_vocab *v, const char *word, size_t len, nx_error *err)
{
    for (size_t i = 0; v->special.unk < 0 && i < len; i++) {
        if (v->byte_ids[(unsigned char)word[i]] < 0) {
            return nx_fail(err, NX_EUNSUPPORTED,
                           "the vocabulary has no token for byte 0x%02X, and no unknown token",
                           (unsigned char)word[i]);
        }
    }
    return NX_OK;
}

/* The ids are merged where they will stand: at the end of the list. */
nx_status nx_bpe_encode(const nx_vocab *v, nx_bpe_work *w, nx_ids *out, const char *word,
                        size_t len, nx_error *err)
{
    if (v->by_raw.slots && len <= v->longest) {
        int32_t id = nx_index_find(&v->by_raw, word, len);
        if (nx_vocab_merges_to(v, id)) return nx_ids_add(out, id, err);
    }
    nx_status st = v->misses_bytes ? check_bytes(v, word, len, err) : NX_OK;
    if (!st) st = nx_ids_reserve(out, len, err);
    if (st) return st;
    int32_t *ids = out->ids + out->n;
    for (size_t i = 0; i < len; i++) ids[i] = v->byte_ids[(unsigned char)word[i]];
    st = nx_bpe_merge(&v->merges, w, ids, &len, err);
    if (st) return st;
    for (size_t i = 0; v->misses_bytes && i < len; i++) {
        if (ids[i] < 0) ids[i] = v->special.unk;
    }
    out->n += len;
    return NX_OK;
}
