/* postings.c - posting lists of sparse vectors, made and found. */
#include "store/postings.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static uint64_t n_words(uint64_t n_rows)
{
    return (n_rows + 63) / 64;
}

/* ---- Reading ---- */

static bool ascend(const nx_postings *p)
{
    if (p->starts[0] != 0 || p->starts[p->n_keys] != p->n_entries) return false;
    for (uint64_t i = 0; i < p->n_keys; i++) {
        if (p->starts[i] >= p->starts[i + 1] || p->starts[i + 1] > p->n_entries) return false;
        if (i && p->keys[i - 1] >= p->keys[i]) return false;
    }
    return true;
}

bool nx_postings_view(nx_postings *out, const void *bytes, uint64_t n, uint64_t n_rows)
{
    const uint8_t *p = bytes;
    uint64_t       head[2], fixed = NX_POSTINGS_HEAD + n_words(n_rows) * 8 + 8;

    if (n < fixed) return false;
    memcpy(head, p, sizeof head);
    if (head[0] > UINT32_MAX || head[1] > (n - fixed) / 8) return false;
    uint64_t keys_bytes = (head[0] * 4 + 7) / 8 * 8;
    if (fixed + head[0] * 8 + keys_bytes + head[1] * 8 != n) return false;
    *out = (nx_postings){.n_rows = n_rows, .n_keys = head[0], .n_entries = head[1]};
    out->present = (const uint64_t *)(const void *)(p + NX_POSTINGS_HEAD);
    out->starts = out->present + n_words(n_rows);
    out->keys = (const uint32_t *)(const void *)(out->starts + head[0] + 1);
    out->lists = (const uint8_t *)out->keys + keys_bytes;
    return ascend(out);
}

nx_list nx_postings_find(const nx_postings *p, uint32_t key)
{
    uint64_t lo = 0, hi = p->n_keys;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (p->keys[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == p->n_keys || p->keys[lo] != key) return (nx_list){0};
    uint64_t       n = p->starts[lo + 1] - p->starts[lo];
    const uint8_t *at = p->lists + 8 * p->starts[lo];
    return (nx_list){(const uint32_t *)(const void *)at, (const float *)(const void *)(at + 4 * n),
                     n};
}

/* ---- The first pass ---- */

static nx_tally_slot *slot_of(const nx_tally *t, uint32_t key)
{
    uint64_t i = (uint64_t)key * 0x9E3779B97F4A7C15u >> 20 & t->mask;

    while (t->slots[i].used && t->slots[i].key != key) i = (i + 1) & t->mask;
    return &t->slots[i];
}

static nx_status grow(nx_tally *t, nx_error *err)
{
    nx_tally old = *t;
    uint64_t cap = old.slots ? 2 * (old.mask + 1) : 1024;

    t->slots = nx_calloc((size_t)cap, sizeof *t->slots);
    if (!t->slots) {
        t->slots = old.slots;
        return nx_fail(err, NX_ENOMEM, "%llu keys of posting lists", (unsigned long long)cap);
    }
    t->mask = cap - 1;
    for (uint64_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i].used) *slot_of(t, old.slots[i].key) = old.slots[i];
    nx_free(old.slots);
    return NX_OK;
}

static nx_status count_vector(nx_tally *t, const nx_vector *v, nx_error *err)
{
    for (int32_t i = 0; i < v->n; i++) {
        if (!t->slots || 2 * t->n_keys > t->mask) {
            nx_status st = grow(t, err);
            if (st) return st;
        }
        nx_tally_slot *s = slot_of(t, v->indices[i]);
        if (!s->used) *s = (nx_tally_slot){v->indices[i], 1, 0}, t->n_keys++;
        s->n++;
    }
    t->n_entries += (uint64_t)v->n;
    return NX_OK;
}

static int by_key(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

    return a < b ? -1 : a > b;
}

/* Keys in order, where their lists begin, and in the table each key's place. */
static nx_status order_keys(nx_tally *t, nx_error *err)
{
    uint64_t n = 0;

    t->keys = nx_alloc((size_t)t->n_keys, sizeof *t->keys);
    t->starts = nx_alloc((size_t)t->n_keys + 1, sizeof *t->starts);
    if (!t->keys || !t->starts) return nx_fail(err, NX_ENOMEM, "keys of posting lists");
    for (uint64_t i = 0; t->slots && i <= t->mask; i++)
        if (t->slots[i].used) t->keys[n++] = t->slots[i].key;
    if (n > 1) qsort(t->keys, (size_t)n, sizeof *t->keys, by_key);
    t->starts[0] = 0;
    for (uint64_t i = 0; i < n; i++) {
        nx_tally_slot *s = slot_of(t, t->keys[i]);
        t->starts[i + 1] = t->starts[i] + s->n;
        s->n = i;
    }
    return NX_OK;
}

nx_status nx_tally_count(nx_tally *t, uint64_t n_rows, nx_sparse_row_fn row, void *ctx,
                         nx_error *err)
{
    nx_status st = NX_OK;

    t->n_rows = n_rows;
    t->present = nx_calloc((size_t)n_words(n_rows), sizeof *t->present);
    if (!t->present) return nx_fail(err, NX_ENOMEM, "posting lists");
    for (uint64_t i = 0; !st && i < n_rows; i++) {
        nx_vector v;
        bool      has = false;
        st = row(ctx, i, &v, &has, err);
        if (st || !has) continue;
        t->present[i / 64] |= (uint64_t)1 << i % 64;
        t->n_present++;
        st = count_vector(t, &v, err);
    }
    return st ? st : order_keys(t, err);
}

void nx_tally_free(nx_tally *t)
{
    nx_free(t->present);
    nx_free(t->starts);
    nx_free(t->keys);
    nx_free(t->slots);
    *t = (nx_tally){0};
}

uint64_t nx_tally_head_bytes(const nx_tally *t)
{
    return NX_POSTINGS_HEAD + n_words(t->n_rows) * 8 + (t->n_keys + 1) * 8 +
           (t->n_keys * 4 + 7) / 8 * 8;
}

void nx_tally_write_head(const nx_tally *t, uint8_t *out)
{
    uint64_t head[2] = {t->n_keys, t->n_entries};
    size_t   words = (size_t)n_words(t->n_rows) * 8, starts = (size_t)(t->n_keys + 1) * 8;

    memset(out, 0, (size_t)nx_tally_head_bytes(t));
    memcpy(out, head, sizeof head);
    memcpy(out + NX_POSTINGS_HEAD, t->present, words);
    memcpy(out + NX_POSTINGS_HEAD + words, t->starts, starts);
    memcpy(out + NX_POSTINGS_HEAD + words + starts, t->keys, (size_t)t->n_keys * 4);
}

/* ---- The second pass ---- */

uint64_t nx_tally_reach(const nx_tally *t, uint64_t from, uint64_t bytes)
{
    uint64_t to = from;

    while (to < t->n_keys && (to == from || 8 * (t->starts[to + 1] - t->starts[from]) <= bytes))
        to++;
    return to;
}

typedef struct filling {
    const nx_tally *t;
    uint8_t        *out;
    uint32_t       *done; /* [to - from]: entries of each key so far */
    uint64_t        from, to;
} filling;

static void fill_vector(filling *f, uint64_t row, const nx_vector *v)
{
    const uint64_t *starts = f->t->starts;

    for (int32_t i = 0; i < v->n; i++) {
        uint64_t key = slot_of(f->t, v->indices[i])->n;
        if (key < f->from || key >= f->to) continue;
        uint64_t n = starts[key + 1] - starts[key], at = f->done[key - f->from]++;
        if (at >= n) continue; /* a source that isn't what it was: never beyond our memory */
        uint8_t *list = f->out + 8 * (starts[key] - starts[f->from]);
        uint32_t r = (uint32_t)row;
        memcpy(list + 4 * at, &r, 4);
        memcpy(list + 4 * n + 4 * at, &v->values[i], 4);
    }
}

nx_status nx_tally_fill(const nx_tally *t, uint8_t *out, uint64_t from, uint64_t to,
                        nx_sparse_row_fn row, void *ctx, nx_error *err)
{
    filling   f = {t, out, nx_calloc((size_t)(to - from), sizeof *f.done), from, to};
    nx_status st = f.done ? NX_OK : nx_fail(err, NX_ENOMEM, "posting lists");

    for (uint64_t i = 0; !st && i < t->n_rows; i++) {
        nx_vector v;
        bool      has = false;
        if (!(t->present[i / 64] >> i % 64 & 1)) continue;
        st = row(ctx, i, &v, &has, err);
        if (!st && has) fill_vector(&f, i, &v);
    }
    nx_free(f.done);
    return st;
}
