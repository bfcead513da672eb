/* tally_values.c - open addressing, at most half full. */
#include "store/tally_values.h"

#include <string.h>

#include "base/alloc.h"

void nx_values_free(nx_values *t)
{
    nx_free(t->v);
    nx_free(t->table);
    nx_buf_free(&t->bytes);
    *t = (nx_values){0};
}

nx_value nx_values_at(const nx_values *t, size_t number)
{
    return (nx_value){(const uint8_t *)t->bytes.data + t->v[number].at, t->v[number].n};
}

static uint64_t hash(nx_value v)
{
    uint64_t x = 0xCBF29CE484222325u;

    for (uint32_t i = 0; i < v.n; i++) x = (x ^ v.p[i]) * 0x100000001B3u;
    return (x ^ x >> 32) * 0x9E3779B97F4A7C15u >> 16;
}

/* Where it is, or where it would go. */
static size_t place_of(const nx_values *t, nx_value v)
{
    size_t i = (size_t)hash(v) & t->mask;

    while (t->table[i] && !nx_value_equal(nx_values_at(t, t->table[i] - 1), v))
        i = (i + 1) & t->mask;
    return i;
}

static nx_status grow(nx_values *t, nx_error *err)
{
    size_t                  cap = t->cap ? 2 * t->cap : 64;
    struct nx_values_entry *v = nx_realloc(t->v, cap, sizeof *v);

    if (v) t->v = v;
    size_t *table = v ? nx_calloc(2 * cap, sizeof *table) : NULL;
    if (!table) return nx_fail(err, NX_ENOMEM, "%zu values", cap);
    nx_free(t->table);
    t->table = table;
    t->mask = 2 * cap - 1;
    t->cap = cap;
    for (size_t i = 0; i < t->n; i++) t->table[place_of(t, nx_values_at(t, i))] = i + 1;
    return NX_OK;
}

nx_status nx_values_add(nx_values *t, nx_value v, size_t *number, nx_error *err)
{
    nx_status st = t->n == t->cap ? grow(t, err) : NX_OK;

    if (st) return st;
    size_t i = place_of(t, v);
    *number = t->table[i] ? t->table[i] - 1 : t->n;
    if (t->table[i]) return NX_OK;
    t->bytes.max = SIZE_MAX / 4;
    size_t at = t->bytes.len;
    st = nx_buf_add(&t->bytes, v.p, v.n, err);
    if (st) return st;
    t->v[t->n++] = (struct nx_values_entry){at, v.n};
    t->table[i] = t->n;
    return NX_OK;
}

size_t nx_values_find(const nx_values *t, nx_value v)
{
    return t->n ? t->table[place_of(t, v)] - 1 : SIZE_MAX;
}

static int class_of(nx_value v)
{
    switch (nx_value_kind_of(v)) {
    case NX_VALUE_FALSE: return 0;
    case NX_VALUE_TRUE: return 1;
    case NX_VALUE_INT: return 2;
    case NX_VALUE_UINT: return 3;
    case NX_VALUE_TEXT: return 4;
    case NX_VALUE_NULL:
    case NX_VALUE_FLOAT:
    case NX_VALUE_ARRAY:
    case NX_VALUE_OBJECT: break;
    }
    return 5;
}

static int compare_texts(nx_str a, nx_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

int nx_values_compare(nx_value a, nx_value b)
{
    int ca = class_of(a), cb = class_of(b);

    if (ca != cb) return ca < cb ? -1 : 1;
    if (ca == 2) {
        int64_t x = nx_value_int(a), y = nx_value_int(b);
        return x < y ? -1 : x > y;
    }
    if (ca == 3) {
        uint64_t x = nx_value_uint(a), y = nx_value_uint(b);
        return x < y ? -1 : x > y;
    }
    return ca == 4 ? compare_texts(nx_value_text(a), nx_value_text(b)) : 0;
}
