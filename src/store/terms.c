/* terms.c - lists are gathered as pairs and put in order once, by counting. */
#include "store/terms.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define KEYS_MAX  ((uint64_t)UINT32_MAX - 1)
#define BYTES_MAX ((size_t)8 << 30) /* of all keys */

/* ---- Terms ---- */

static uint64_t hash_of(nx_str s)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ s.len, x;
    size_t   i = 0;

    for (; i + 8 <= s.len; i += 8) {
        memcpy(&x, s.p + i, 8);
        h = (h ^ x) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    for (; i < s.len; i++) h = (h ^ (unsigned char)s.p[i]) * 0x100000001B3u;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    return h ^ h >> 32;
}

static nx_str key_of(const nx_terms *t, uint64_t i)
{
    size_t n = (size_t)(t->key_at[i + 1] - t->key_at[i]);

    return n ? (nx_str){t->bytes.data + t->key_at[i], n} : NX_STR(""); /* no bytes yet, perhaps */
}

/* The slot of that key, or the empty one where it would go. */
static uint32_t *slot_of(const nx_terms *t, nx_str key)
{
    uint64_t i = hash_of(key) & t->mask;

    while (t->table[i] && !nx_str_eq(key_of(t, t->table[i] - 1), key)) i = (i + 1) & t->mask;
    return &t->table[i];
}

static nx_status grow_table(nx_terms *t, nx_error *err)
{
    uint64_t  cap = t->table ? 2 * (t->mask + 1) : 64;
    uint32_t *table = nx_calloc((size_t)cap, sizeof *table);

    if (!table) return nx_fail(err, NX_ENOMEM, "an index");
    nx_free(t->table);
    t->table = table;
    t->mask = cap - 1;
    for (uint64_t i = 0; i < t->n_keys; i++) *slot_of(t, key_of(t, i)) = (uint32_t)i + 1;
    return NX_OK;
}

static nx_status grow_keys(nx_terms *t, nx_error *err)
{
    uint64_t  cap = t->cap_keys ? 2 * t->cap_keys : 32;
    uint64_t *at = nx_realloc(t->key_at, (size_t)cap + 1, sizeof *at);

    if (at) t->key_at = at;
    uint32_t *starts = at ? nx_realloc(t->starts, (size_t)cap + 1, sizeof *starts) : NULL;
    if (!starts) return nx_fail(err, NX_ENOMEM, "an index");
    t->starts = starts;
    t->cap_keys = cap;
    t->key_at[0] = 0;
    return NX_OK;
}

static nx_status add_key(nx_terms *t, nx_str key, uint32_t *slot, nx_error *err)
{
    if (t->n_keys >= KEYS_MAX) return nx_fail(err, NX_ELIMIT, "too many keys of an index");
    nx_status st = key.len ? nx_buf_add(&t->bytes, key.p, key.len, err) : NX_OK;
    if (st) return st;
    t->starts[t->n_keys] = 0;
    t->key_at[++t->n_keys] = t->bytes.len;
    *slot = (uint32_t)t->n_keys;
    return NX_OK;
}

static nx_status add_entry(nx_terms *t, uint32_t key, uint32_t row, nx_error *err)
{
    if (t->n == t->cap) {
        uint64_t cap = t->cap ? 2 * t->cap : 256;
        void    *p = nx_realloc(t->entries, (size_t)cap, sizeof *t->entries);
        if (!p) return nx_fail(err, NX_ENOMEM, "an index");
        t->entries = p;
        t->cap = cap;
    }
    t->entries[t->n++] = (struct nx_term_entry){key, row};
    return NX_OK;
}

nx_status nx_terms_add(nx_terms *t, nx_str key, uint32_t row, nx_error *err)
{
    nx_status st = NX_OK;

    t->bytes.max = BYTES_MAX;
    if (!t->table || 2 * t->n_keys > t->mask) st = grow_table(t, err);
    if (!st && t->n_keys == t->cap_keys) st = grow_keys(t, err);
    if (st) return st;
    uint32_t *slot = slot_of(t, key);
    if (!*slot) st = add_key(t, key, slot, err);
    if (st) return st;
    uint32_t i = *slot - 1;
    if (t->starts[i] == row + 1) return NX_OK;
    if (t->n >= UINT32_MAX) return nx_fail(err, NX_ELIMIT, "too many entries of an index");
    st = add_entry(t, i, row, err);
    if (!st) t->starts[i] = row + 1;
    return st;
}

/* A list each, in the order in which its rows were added. */
nx_status nx_terms_finish(nx_terms *t, nx_error *err)
{
    t->rows = nx_alloc((size_t)t->n, sizeof *t->rows);
    if (!t->rows) return nx_fail(err, NX_ENOMEM, "an index");
    if (t->n_keys == 0) return NX_OK;
    memset(t->starts, 0, (size_t)(t->n_keys + 1) * sizeof *t->starts);
    for (uint64_t i = 0; i < t->n; i++) t->starts[t->entries[i].key + 1]++;
    for (uint64_t k = 0; k < t->n_keys; k++) t->starts[k + 1] += t->starts[k];
    for (uint64_t i = 0; i < t->n; i++) t->rows[t->starts[t->entries[i].key]++] = t->entries[i].row;
    memmove(t->starts + 1, t->starts, (size_t)t->n_keys * sizeof *t->starts);
    t->starts[0] = 0;
    nx_free(t->entries);
    t->entries = NULL;
    t->cap = 0;
    return NX_OK;
}

nx_str nx_terms_key(const nx_terms *t, uint64_t i, nx_span *rows)
{
    *rows = (nx_span){t->rows + t->starts[i], t->starts[i + 1] - t->starts[i]};
    return key_of(t, i);
}

nx_span nx_terms_find(const nx_terms *t, nx_str key)
{
    nx_span rows = {0};

    if (t->n_keys == 0) return rows;
    uint32_t i = *slot_of(t, key);
    if (i) nx_terms_key(t, i - 1, &rows);
    return rows;
}

uint64_t nx_terms_bytes(const nx_terms *t)
{
    return t->bytes.cap + t->cap_keys * 12 + (t->table ? (t->mask + 1) * 4 : 0) +
           (t->rows ? t->n * 4 : 0) + t->cap * sizeof *t->entries;
}

void nx_terms_free(nx_terms *t)
{
    nx_buf_free(&t->bytes);
    nx_free(t->key_at);
    nx_free(t->starts);
    nx_free(t->rows);
    nx_free(t->table);
    nx_free(t->entries);
    *t = (nx_terms){0};
}

/* ---- Ranks ---- */

nx_status nx_ranks_add(nx_ranks *r, int64_t value, uint32_t row, nx_error *err)
{
    if (r->n == r->cap) {
        uint64_t cap = r->cap ? 2 * r->cap : 256;
        int64_t *values = nx_realloc(r->values, (size_t)cap, sizeof *values);
        if (values) r->values = values;
        uint32_t *rows = values ? nx_realloc(r->rows, (size_t)cap, sizeof *rows) : NULL;
        if (!rows) return nx_fail(err, NX_ENOMEM, "an index");
        r->rows = rows;
        r->cap = cap;
    }
    r->values[r->n] = value;
    r->rows[r->n++] = row;
    return NX_OK;
}

typedef struct pair {
    int64_t  value;
    uint32_t row;
} pair;

static int by_value(const void *pa, const void *pb)
{
    const pair *a = pa, *b = pb;

    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

nx_status nx_ranks_finish(nx_ranks *r, nx_error *err)
{
    pair *p = nx_alloc((size_t)r->n, sizeof *p);

    if (!p) return nx_fail(err, NX_ENOMEM, "an index");
    for (uint64_t i = 0; i < r->n; i++) p[i] = (pair){r->values[i], r->rows[i]};
    if (r->n > 1) qsort(p, (size_t)r->n, sizeof *p, by_value);
    for (uint64_t i = 0; i < r->n; i++) {
        r->values[i] = p[i].value;
        r->rows[i] = p[i].row;
    }
    nx_free(p);
    return NX_OK;
}

/* How many values are below x. */
static uint64_t below(const nx_ranks *r, int64_t x)
{
    uint64_t lo = 0, hi = r->n;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (r->values[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

nx_span nx_ranks_between(const nx_ranks *r, int64_t least, int64_t most)
{
    if (least > most || r->n == 0) return (nx_span){0};
    uint64_t from = below(r, least), to = most == INT64_MAX ? r->n : below(r, most + 1);
    return (nx_span){r->rows + from, to - from};
}

uint64_t nx_ranks_bytes(const nx_ranks *r)
{
    return r->cap * 12;
}

void nx_ranks_free(nx_ranks *r)
{
    nx_free(r->values);
    nx_free(r->rows);
    *r = (nx_ranks){0};
}

int64_t nx_rank_of(double x)
{
    int64_t bits;

    x += 0.0; /* -0 + 0 is 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX : bits;
}
