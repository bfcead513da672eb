/* value.c - making and reading values. */
#include "store/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum {
    CONTAINER_HEAD = 9, /* tag, bytes, n */
    FEW = 16,           /* keys that are compared one with each other, without sorting */
};

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t x;

    memcpy(&x, p, 4);
    return x;
}

/* ---- Making ---- */

static nx_status add_tagged(nx_buf *out, nx_value_kind kind, const void *bytes, size_t n,
                            nx_error *err)
{
    char *p = nx_buf_room(out, n + 1, err);

    if (!p) return err ? err->status : NX_ENOMEM;
    p[0] = (char)kind;
    if (n) memcpy(p + 1, bytes, n);
    p[n + 1] = '\0';
    out->len += n + 1;
    return NX_OK;
}

static nx_status add_u32_and(nx_buf *out, uint32_t x, const void *bytes, size_t n, nx_error *err)
{
    nx_status st = nx_buf_add(out, &x, 4, err);

    return st || n == 0 ? st : nx_buf_add(out, bytes, n, err);
}

nx_status nx_value_add_plain(nx_buf *out, nx_value_kind kind, nx_error *err)
{
    return add_tagged(out, kind, NULL, 0, err);
}

nx_status nx_value_add_int(nx_buf *out, int64_t x, nx_error *err)
{
    return add_tagged(out, NX_VALUE_INT, &x, 8, err);
}

nx_status nx_value_add_text(nx_buf *out, nx_str text, nx_error *err)
{
    if (text.len > NX_PAYLOAD_MAX) return nx_fail(err, NX_ELIMIT, "a text of %zu bytes", text.len);
    nx_status st = add_tagged(out, NX_VALUE_TEXT, NULL, 0, err);
    return st ? st : add_u32_and(out, (uint32_t)text.len, text.p, text.len, err);
}

nx_status nx_value_add_key(nx_buf *out, nx_str key, nx_error *err)
{
    if (key.len > NX_PAYLOAD_MAX) return nx_fail(err, NX_ELIMIT, "a key of %zu bytes", key.len);
    return add_u32_and(out, (uint32_t)key.len, key.p, key.len, err);
}

nx_status nx_value_add(nx_buf *out, nx_value v, nx_error *err)
{
    return nx_buf_add(out, v.p, v.n, err);
}

nx_status nx_value_open(nx_buf *out, nx_value_kind kind, size_t *mark, nx_error *err)
{
    static const char zeros[8] = {0};

    *mark = out->len;
    return add_tagged(out, kind, zeros, sizeof zeros, err);
}

void nx_value_close(nx_buf *out, size_t mark, uint32_t n_items)
{
    uint32_t bytes = (uint32_t)(out->len - mark - CONTAINER_HEAD);

    memcpy(out->data + mark + 1, &bytes, 4);
    memcpy(out->data + mark + 5, &n_items, 4);
}

/* ---- From parsed JSON ---- */

static nx_status add_any(nx_buf *out, const nx_json *v, int depth, nx_error *err);

static nx_status add_array(nx_buf *out, const nx_json *v, int depth, nx_error *err)
{
    size_t    mark;
    nx_status st = nx_value_open(out, NX_VALUE_ARRAY, &mark, err);

    for (size_t i = 0; !st && i < v->array.n; i++)
        st = add_any(out, &v->array.items[i], depth + 1, err);
    if (!st) nx_value_close(out, mark, (uint32_t)v->array.n);
    return st;
}

typedef struct ordered_key {
    nx_str key;
    size_t at; /* which member */
} ordered_key;

static int by_key_then_place(const void *pa, const void *pb)
{
    const ordered_key *a = pa, *b = pb;
    size_t             n = a->key.len < b->key.len ? a->key.len : b->key.len;
    int                c = n ? memcmp(a->key.p, b->key.p, n) : 0;

    if (c) return c;
    if (a->key.len != b->key.len) return a->key.len < b->key.len ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* gone[i] = another member of the same key follows member i. */
static nx_status find_superseded(bool *gone, const nx_json_member *m, size_t n, nx_error *err)
{
    memset(gone, 0, n);
    if (n <= FEW) {
        for (size_t i = 0; i < n; i++)
            for (size_t k = i + 1; k < n; k++)
                if (nx_str_eq(m[i].key, m[k].key)) gone[i] = true;
        return NX_OK;
    }
    ordered_key *keys = nx_alloc(n, sizeof *keys);
    if (!keys) return nx_fail(err, NX_ENOMEM, "an object of %zu members", n);
    for (size_t i = 0; i < n; i++) keys[i] = (ordered_key){m[i].key, i};
    qsort(keys, n, sizeof *keys, by_key_then_place);
    for (size_t i = 0; i + 1 < n; i++)
        if (nx_str_eq(keys[i].key, keys[i + 1].key)) gone[keys[i].at] = true;
    nx_free(keys);
    return NX_OK;
}

static nx_status add_members(nx_buf *out, const nx_json *v, const bool *gone, int depth,
                             nx_error *err)
{
    size_t    mark;
    uint32_t  n = 0;
    nx_status st = nx_value_open(out, NX_VALUE_OBJECT, &mark, err);

    for (size_t i = 0; !st && i < v->object.n; i++) {
        if (gone[i]) continue;
        st = nx_value_add_key(out, v->object.members[i].key, err);
        if (!st) st = add_any(out, &v->object.members[i].value, depth + 1, err);
        n++;
    }
    if (!st) nx_value_close(out, mark, n);
    return st;
}

static nx_status add_object(nx_buf *out, const nx_json *v, int depth, nx_error *err)
{
    bool  few[FEW];
    bool *gone = v->object.n <= FEW ? few : nx_alloc(v->object.n, sizeof *gone);

    if (!gone) return nx_fail(err, NX_ENOMEM, "an object of %zu members", v->object.n);
    nx_status st = find_superseded(gone, v->object.members, v->object.n, err);
    if (!st) st = add_members(out, v, gone, depth, err);
    if (gone != few) nx_free(gone);
    return st;
}

static nx_status add_float(nx_buf *out, const nx_json *v, nx_error *err)
{
    if (!isfinite(v->f)) return nx_fail(err, NX_EINVAL, "line %u: a number beyond double", v->line);
    return add_tagged(out, NX_VALUE_FLOAT, &v->f, 8, err);
}

static nx_status add_any(nx_buf *out, const nx_json *v, int depth, nx_error *err)
{
    if (depth > NX_VALUE_DEPTH_MAX)
        return nx_fail(err, NX_EINVAL, "line %u: nested more than %d deep", v->line,
                       NX_VALUE_DEPTH_MAX);
    switch (v->type) {
    case NX_JSON_NULL: return nx_value_add_plain(out, NX_VALUE_NULL, err);
    case NX_JSON_BOOL:
        return nx_value_add_plain(out, v->boolean ? NX_VALUE_TRUE : NX_VALUE_FALSE, err);
    case NX_JSON_INT: return nx_value_add_int(out, v->i, err);
    case NX_JSON_UINT: return add_tagged(out, NX_VALUE_UINT, &v->u, 8, err);
    case NX_JSON_FLOAT: return add_float(out, v, err);
    case NX_JSON_STRING: return nx_value_add_text(out, v->text, err);
    case NX_JSON_ARRAY: return add_array(out, v, depth, err);
    case NX_JSON_OBJECT: return add_object(out, v, depth, err);
    }
    return nx_fail(err, NX_EINTERNAL, "a JSON value of an unknown type");
}

nx_status nx_value_add_json(nx_buf *out, const nx_json *v, nx_error *err)
{
    size_t    before = out->len;
    nx_status st = add_any(out, v, 1, err);

    if (st) {
        out->len = before;
        if (out->data) out->data[before] = '\0';
    }
    return st;
}

/* ---- Checking ---- */

/* The bytes of the value at p[0..n), or 0 when it isn't one. */
static size_t check_one(const uint8_t *p, size_t n, int depth);

static bool check_items(const uint8_t *p, size_t n, uint32_t n_items, bool keys, int depth)
{
    for (uint32_t i = 0; i < n_items; i++) {
        if (keys) {
            if (n < 4) return false;
            uint32_t len = u32_at(p);
            if (len > n - 4 || !nx_utf8_valid((const char *)p + 4, len, NULL)) return false;
            p += 4 + len;
            n -= 4 + (size_t)len;
        }
        size_t used = check_one(p, n, depth + 1);
        if (used == 0) return false;
        p += used;
        n -= used;
    }
    return n == 0;
}

static size_t check_container(const uint8_t *p, size_t n, int depth)
{
    if (n < CONTAINER_HEAD || depth > NX_VALUE_DEPTH_MAX) return 0;
    size_t bytes = u32_at(p + 1);
    if (bytes > n - CONTAINER_HEAD) return 0;
    if (!check_items(p + CONTAINER_HEAD, bytes, u32_at(p + 5), p[0] == NX_VALUE_OBJECT, depth))
        return 0;
    return CONTAINER_HEAD + bytes;
}

static size_t check_text(const uint8_t *p, size_t n)
{
    if (n < 5) return 0;
    size_t len = u32_at(p + 1);
    return len <= n - 5 && nx_utf8_valid((const char *)p + 5, len, NULL) ? 5 + len : 0;
}

static bool check_number(const uint8_t *p)
{
    nx_value v = {p, 9};

    if (p[0] == NX_VALUE_FLOAT) return isfinite(nx_value_float(v));
    return p[0] != NX_VALUE_UINT || nx_value_uint(v) > INT64_MAX;
}

static size_t check_one(const uint8_t *p, size_t n, int depth)
{
    if (n == 0 || p[0] > NX_VALUE_OBJECT || depth > NX_VALUE_DEPTH_MAX) return 0;
    switch ((nx_value_kind)p[0]) {
    case NX_VALUE_NULL:
    case NX_VALUE_FALSE:
    case NX_VALUE_TRUE: return 1;
    case NX_VALUE_INT:
    case NX_VALUE_UINT:
    case NX_VALUE_FLOAT: return n >= 9 && check_number(p) ? 9 : 0;
    case NX_VALUE_TEXT: return check_text(p, n);
    case NX_VALUE_ARRAY:
    case NX_VALUE_OBJECT: break;
    }
    return check_container(p, n, depth);
}

bool nx_value_check(const void *bytes, size_t n)
{
    return n > 0 && n <= UINT32_MAX && check_one(bytes, n, 1) == n;
}

/* ---- Reading ---- */

nx_value_kind nx_value_kind_of(nx_value v)
{
    return (nx_value_kind)v.p[0];
}

int64_t nx_value_int(nx_value v)
{
    int64_t x;

    memcpy(&x, v.p + 1, 8);
    return x;
}

uint64_t nx_value_uint(nx_value v)
{
    return (uint64_t)nx_value_int(v);
}

double nx_value_float(nx_value v)
{
    double x;

    if (v.p[0] == NX_VALUE_INT) return (double)nx_value_int(v);
    if (v.p[0] == NX_VALUE_UINT) return (double)nx_value_uint(v);
    memcpy(&x, v.p + 1, 8);
    return x;
}

nx_str nx_value_text(nx_value v)
{
    return (nx_str){(const char *)v.p + 5, u32_at(v.p + 1)};
}

uint32_t nx_value_count(nx_value v)
{
    return v.n && v.p[0] >= NX_VALUE_ARRAY ? u32_at(v.p + 5) : 0;
}

bool nx_value_equal(nx_value a, nx_value b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static uint32_t bytes_at(const uint8_t *p)
{
    if (p[0] <= NX_VALUE_TRUE) return 1;
    if (p[0] <= NX_VALUE_FLOAT) return 9;
    return u32_at(p + 1) + (p[0] == NX_VALUE_TEXT ? 5 : CONTAINER_HEAD);
}

nx_value_iter nx_value_each(nx_value v)
{
    if (v.n == 0 || v.p[0] < NX_VALUE_ARRAY) return (nx_value_iter){0};
    return (nx_value_iter){v.p + CONTAINER_HEAD, nx_value_count(v), v.p[0] == NX_VALUE_OBJECT};
}

bool nx_value_next(nx_value_iter *it, nx_str *key, nx_value *item)
{
    if (it->left == 0) return false;
    it->left--;
    *key = (nx_str){"", 0};
    if (it->keys) {
        *key = (nx_str){(const char *)it->p + 4, u32_at(it->p)};
        it->p += 4 + key->len;
    }
    *item = (nx_value){it->p, bytes_at(it->p)};
    it->p += item->n;
    return true;
}

nx_value nx_value_member(nx_value object, nx_str key)
{
    nx_value_iter it = nx_value_each(object);
    nx_value      item, found = {0};
    nx_str        k;

    while (it.keys && nx_value_next(&it, &k, &item))
        if (nx_str_eq(k, key)) found = item;
    return found;
}

nx_value nx_value_item(nx_value array, uint32_t i)
{
    nx_value_iter it = nx_value_each(array);
    nx_value      item;
    nx_str        k;

    if (it.keys) return (nx_value){0};
    while (nx_value_next(&it, &k, &item))
        if (i-- == 0) return item;
    return (nx_value){0};
}
