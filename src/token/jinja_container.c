/* jinja_container.c - lists, dicts, and how values compare. */
#include <math.h>
#include <string.h>

#include "token/jinja_value.h"

/* ---- Lists ---- */

nx_status jj_list_new(jj *j, jj_val *out, jj_type type, size_t n)
{
    jj_list *l = jj_alloc(j, 1, sizeof *l);

    if (l) l->v = jj_alloc(j, n, sizeof *l->v);
    if (!l || !l->v) return j->err->status;
    l->n = n;
    *out = (jj_val){.type = type, .list = l};
    return NX_OK;
}

nx_status jj_vec_add(jj_vec *l, jj_val v)
{
    if (l->n == l->cap) {
        size_t  cap = l->cap ? 2 * l->cap : 8;
        jj_val *grown = jj_alloc(l->j, cap, sizeof *grown);
        if (!grown) return l->j->err->status;
        if (l->n) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return jj_steps(l->j, 1);
}

nx_status jj_vec_list(jj_vec *l, jj_val *out, jj_type type)
{
    if (type == JJ_ITER) {
        jj_iter *it = jj_alloc(l->j, 1, sizeof *it);
        if (!it) return l->j->err->status;
        *it = (jj_iter){.v = l->v, .n = l->n};
        *out = (jj_val){.type = JJ_ITER, .iter = it};
        return NX_OK;
    }
    TRY(jj_list_new(l->j, out, type, 0));
    if (l->n) out->list->v = l->v;
    out->list->n = l->n;
    return NX_OK;
}

/* ---- Dicts ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static nx_status hash_of(jj *j, const jj_val *v, uint64_t *out);

static nx_status hash_tuple(jj *j, const jj_list *l, uint64_t *out)
{
    uint64_t h = 7, one = 0;

    TRY(jj_enter(j));
    for (size_t i = 0; i < l->n; i++) {
        TRY(hash_of(j, &l->v[i], &one));
        h = mix(h, one);
    }
    jj_leave(j);
    *out = h;
    return NX_OK;
}

static nx_status hash_str(jj *j, const jj_str *s, uint64_t *out)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < s->len; i++) h = (h ^ (unsigned char)s->p[i]) * 0x100000001B3u;
    *out = mix(h, s->len);
    return s->len > 64 ? jj_work(j, s->len) : NX_OK;
}

/* Equal values hash equal: 1, 1.0 and true are one key. */
static nx_status hash_of(jj *j, const jj_val *v, uint64_t *out)
{
    double d = 0;

    TRY(jj_steps(j, 1));
    switch (v->type) {
    case JJ_STR: return hash_str(j, v->s, out);
    case JJ_TUPLE: return hash_tuple(j, v->list, out);
    case JJ_LIST:
    case JJ_DICT: return jj_type_error(j, "unhashable type: '%s'", jj_type_name(v));
    default: break;
    }
    if (jj_as_double(v, &d)) {
        uint64_t bits;
        d += 0.0; /* -0 is 0 */
        memcpy(&bits, &d, sizeof bits);
        *out = mix(1, bits);
    } else {
        *out = mix(2, v->type == JJ_UNDEFINED ? 0 : (uint64_t)v->type);
    }
    return NX_OK;
}

nx_status jj_dict_new(jj *j, jj_val *out)
{
    jj_dict *d = jj_alloc(j, 1, sizeof *d);

    if (!d) return j->err->status;
    *out = (jj_val){.type = JJ_DICT, .dict = d};
    return NX_OK;
}

#define FEW 8

static nx_status same_key(jj *j, const jj_entry *e, const jj_val *key, uint64_t hash, bool *same)
{
    *same = false;
    if (e->hash != hash) return NX_OK;
    if (key->type == JJ_STR && e->key.type == JJ_STR) {
        *same = jj_str_eq(e->key.s, key->s);
        return key->s->len > 64 ? jj_work(j, key->s->len) : NX_OK;
    }
    return jj_equal(j, &e->key, key, same);
}

/* *found: the entry, or NULL; *slot: where a new one belongs, when there are slots. */
static nx_status locate(jj *j, jj_dict *d, const jj_val *key, uint64_t hash, jj_entry **found,
                        size_t *slot)
{
    bool same;

    *found = NULL;
    if (!d->slots) {
        for (size_t i = 0; i < d->n && !*found; i++) {
            TRY(same_key(j, &d->e[i], key, hash, &same));
            if (same) *found = &d->e[i];
        }
        return NX_OK;
    }
    for (*slot = hash & (d->n_slots - 1); d->slots[*slot]; *slot = (*slot + 1) & (d->n_slots - 1)) {
        jj_entry *e = &d->e[d->slots[*slot] - 1];
        TRY(jj_steps(j, 1));
        TRY(same_key(j, e, key, hash, &same));
        if (same) {
            *found = e;
            return NX_OK;
        }
    }
    return NX_OK;
}

static nx_status grow(jj *j, jj_dict *d)
{
    size_t    cap = d->cap ? 2 * d->cap : FEW;
    jj_entry *e = jj_alloc(j, cap, sizeof *e);
    uint32_t *slots = e && cap > FEW ? jj_alloc(j, 4 * cap, sizeof *slots) : NULL;

    if (!e || (cap > FEW && !slots)) return j->err->status;
    if (d->n) memcpy(e, d->e, d->n * sizeof *e);
    d->e = e;
    d->cap = cap;
    d->slots = slots;
    d->n_slots = slots ? 4 * cap : 0;
    for (size_t i = 0; slots && i < d->n; i++) {
        size_t at = e[i].hash & (d->n_slots - 1);
        while (slots[at]) at = (at + 1) & (d->n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    return jj_steps(j, d->n);
}

nx_status jj_dict_set(jj *j, jj_dict *d, jj_val key, jj_val value)
{
    uint64_t  hash = 0;
    size_t    slot = 0;
    jj_entry *found;

    TRY(hash_of(j, &key, &hash));
    TRY(locate(j, d, &key, hash, &found, &slot));
    if (found) {
        found->value = value;
        return NX_OK;
    }
    if (d->n == d->cap) {
        TRY(grow(j, d));
        TRY(locate(j, d, &key, hash, &found, &slot));
    }
    d->e[d->n++] = (jj_entry){key, value, hash};
    if (d->slots) d->slots[slot] = (uint32_t)d->n;
    return NX_OK;
}

nx_status jj_dict_get(jj *j, jj_dict *d, const jj_val *key, jj_val **found)
{
    uint64_t  hash = 0;
    size_t    slot;
    jj_entry *e;

    *found = NULL;
    TRY(hash_of(j, key, &hash));
    TRY(locate(j, d, key, hash, &e, &slot));
    if (e) *found = &e->value;
    return NX_OK;
}

jj_val *jj_dict_text(jj *j, jj_dict *d, nx_str key)
{
    const jj_str s = {.p = key.p, .len = (uint32_t)key.len};
    const jj_val v = jj_of_str(&s);
    jj_val      *found;

    return jj_dict_get(j, d, &v, &found) ? NULL : found;
}

/* ---- Equal ---- */

static int sign(double x)
{
    return x < 0 ? -1 : x > 0;
}

/* An integer in [-2^63, 2^64) against a double that isn't NaN, exactly. */
static int cmp_int_double(bool negative, uint64_t magnitude, double d)
{
    if (negative != (d < 0)) return negative ? -1 : 1;
    double size = fabs(d), whole = floor(size);
    int    c;
    if (size >= 18446744073709551616.0)
        c = -1;
    else if (magnitude != (uint64_t)whole)
        c = magnitude < (uint64_t)whole ? -1 : 1;
    else
        c = -sign(size - whole);
    return negative ? -c : c;
}

static void magnitude_of(const jj_val *v, bool *negative, uint64_t *magnitude)
{
    int64_t i = 0;

    *negative = jj_as_int(v, &i) && i < 0;
    *magnitude = v->type == JJ_BIG ? v->u : *negative ? 0 - (uint64_t)i : (uint64_t)i;
}

/* Two numbers; false when one is NaN. */
static bool cmp_numbers(const jj_val *a, const jj_val *b, int *out)
{
    bool     na, nb;
    uint64_t ma, mb;

    if ((a->type == JJ_FLOAT && isnan(a->f)) || (b->type == JJ_FLOAT && isnan(b->f))) return false;
    magnitude_of(a, &na, &ma);
    magnitude_of(b, &nb, &mb);
    if (a->type == JJ_FLOAT && b->type == JJ_FLOAT)
        *out = a->f < b->f ? -1 : a->f > b->f;
    else if (b->type == JJ_FLOAT)
        *out = cmp_int_double(na, ma, b->f);
    else if (a->type == JJ_FLOAT)
        *out = -cmp_int_double(nb, mb, a->f);
    else if (na != nb)
        *out = na ? -1 : 1;
    else
        *out = (na ? -1 : 1) * (ma < mb ? -1 : ma > mb);
    return true;
}

static nx_status lists_equal(jj *j, const jj_list *a, const jj_list *b, bool *out)
{
    *out = a->n == b->n;
    TRY(jj_enter(j));
    for (size_t i = 0; i < a->n && *out; i++) TRY(jj_equal(j, &a->v[i], &b->v[i], out));
    jj_leave(j);
    return NX_OK;
}

static nx_status dicts_equal(jj *j, jj_dict *a, jj_dict *b, bool *out)
{
    *out = a->n == b->n;
    TRY(jj_enter(j));
    for (size_t i = 0; i < a->n && *out; i++) {
        jj_val *other;
        TRY(jj_dict_get(j, b, &a->e[i].key, &other));
        *out = other != NULL;
        if (other) TRY(jj_equal(j, &a->e[i].value, other, out));
    }
    jj_leave(j);
    return NX_OK;
}

static bool ranges_equal(const jj_range *a, const jj_range *b)
{
    if (a->n != b->n) return false;
    if (a->n == 0) return true;
    return a->start == b->start && (a->n == 1 || a->step == b->step);
}

nx_status jj_equal(jj *j, const jj_val *a, const jj_val *b, bool *out)
{
    int c = 0;

    TRY(jj_steps(j, 1));
    *out = false;
    if (jj_is_number(a) && jj_is_number(b)) {
        *out = cmp_numbers(a, b, &c) && c == 0;
        return NX_OK;
    }
    if (a->type != b->type) return NX_OK;
    switch (a->type) {
    case JJ_UNDEFINED:
    case JJ_NONE: *out = true; return NX_OK;
    case JJ_STR:
        *out = jj_str_eq(a->s, b->s);
        return *out && a->s->len > 64 ? jj_work(j, a->s->len) : NX_OK;
    case JJ_LIST:
    case JJ_TUPLE: return lists_equal(j, a->list, b->list, out);
    case JJ_DICT: return dicts_equal(j, a->dict, b->dict, out);
    case JJ_RANGE: *out = ranges_equal(a->range, b->range); return NX_OK;
    case JJ_FUNCTION: *out = a->function == b->function; return NX_OK;
    default: *out = a->dict == b->dict; return NX_OK; /* the same object */
    }
}

/* ---- Less ---- */

static nx_status lists_less(jj *j, const jj_list *a, const jj_list *b, const char *op, bool *out)
{
    size_t n = a->n < b->n ? a->n : b->n;
    bool   same;

    TRY(jj_enter(j));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_equal(j, &a->v[i], &b->v[i], &same));
        if (same) continue;
        TRY(jj_less(j, &a->v[i], &b->v[i], op, out));
        jj_leave(j);
        return NX_OK;
    }
    jj_leave(j);
    *out = a->n < b->n;
    return NX_OK;
}

nx_status jj_less(jj *j, const jj_val *a, const jj_val *b, const char *op, bool *out)
{
    int c = 0;

    TRY(jj_steps(j, 1));
    *out = false;
    if (a->type == JJ_UNDEFINED) return jj_undefined_used(j, a);
    if (b->type == JJ_UNDEFINED) return jj_undefined_used(j, b);
    if (jj_is_number(a) && jj_is_number(b)) {
        *out = cmp_numbers(a, b, &c) && c < 0;
        return NX_OK;
    }
    if (a->type == b->type && a->type == JJ_STR) {
        *out = jj_str_cmp(a->s, b->s) < 0;
        return jj_work(j, a->s->len < b->s->len ? a->s->len : b->s->len);
    }
    if (a->type == b->type && (a->type == JJ_LIST || a->type == JJ_TUPLE)) {
        return lists_less(j, a->list, b->list, op, out);
    }
    return jj_type_error(j, "'%s' not supported between instances of '%s' and '%s'", op,
                         jj_type_name(a), jj_type_name(b));
}

/* ---- Containers ---- */

bool jj_length(const jj_val *v, size_t *n)
{
    switch (v->type) {
    case JJ_UNDEFINED: *n = 0; return true;
    case JJ_STR: *n = v->s->n_chars; return true;
    case JJ_LIST:
    case JJ_TUPLE: *n = v->list->n; return true;
    case JJ_DICT: *n = v->dict->n; return true;
    case JJ_RANGE: *n = v->range->n; return true;
    case JJ_VIEW: *n = v->view->dict->n; return true;
    default: return false;
    }
}

bool jj_iterable(const jj_val *v)
{
    size_t n;

    return v->type == JJ_ITER || v->type == JJ_LOOP || jj_length(v, &n);
}

static nx_status chars_of(jj *j, const jj_str *s, jj_val *out)
{
    for (size_t at = 0, i = 0, end; at < s->len; at = end, i++) {
        for (end = at + 1; end < s->len && ((unsigned char)s->p[end] & 0xC0) == 0x80;) end++;
        TRY(jj_str_view(j, &out[i], s->p + at, end - at, jj_user_at(s, at)));
    }
    return NX_OK;
}

static nx_status view_items(jj *j, const jj_view *view, jj_val *out)
{
    for (size_t i = 0; i < view->dict->n; i++) {
        const jj_entry *e = &view->dict->e[i];
        if (view->kind != 'i') {
            out[i] = view->kind == 'k' ? e->key : e->value;
            continue;
        }
        TRY(jj_list_new(j, &out[i], JJ_TUPLE, 2));
        out[i].list->v[0] = e->key;
        out[i].list->v[1] = e->value;
    }
    return NX_OK;
}

nx_status jj_items_of(jj *j, const jj_val *v, jj_val **items, size_t *n)
{
    if (v->type == JJ_LIST || v->type == JJ_TUPLE) {
        *items = v->list->v;
        *n = v->list->n;
        return NX_OK;
    }
    if (v->type == JJ_ITER) {
        *items = v->iter->n ? v->iter->v + v->iter->at : v->iter->v;
        *n = v->iter->n - v->iter->at;
        v->iter->at = v->iter->n;
        return NX_OK;
    }
    if (!jj_length(v, n)) return jj_type_error(j, "'%s' object is not iterable", jj_type_name(v));
    TRY(jj_steps(j, *n));
    *items = jj_alloc(j, *n, sizeof **items);
    if (!*items) return j->err->status;
    switch (v->type) {
    case JJ_STR: return chars_of(j, v->s, *items);
    case JJ_VIEW: return view_items(j, v->view, *items);
    case JJ_DICT: return view_items(j, &(jj_view){v->dict, 'k'}, *items);
    case JJ_RANGE:
        for (size_t i = 0; i < *n; i++) {
            (*items)[i] = jj_int(v->range->start + (int64_t)i * v->range->step);
        }
        return NX_OK;
    default: return NX_OK; /* undefined: none */
    }
}

static nx_status str_contains(jj *j, const jj_str *s, const jj_val *item, bool *out)
{
    if (item->type != JJ_STR) {
        return jj_type_error(j, "'in <string>' requires string as left operand, not %s",
                             jj_type_name(item));
    }
    TRY(jj_search(j, s->len, item->s->len));
    *out = jj_str_find(s, 0, jj_bytes(item->s)) != SIZE_MAX;
    return NX_OK;
}

nx_status jj_contains(jj *j, const jj_val *container, const jj_val *item, bool *out)
{
    jj_val *items, *found;
    size_t  n;

    *out = false;
    if (container->type == JJ_STR) return str_contains(j, container->s, item, out);
    if (container->type == JJ_DICT ||
        (container->type == JJ_VIEW && container->view->kind == 'k')) {
        jj_dict *d = container->type == JJ_DICT ? container->dict : container->view->dict;
        TRY(jj_dict_get(j, d, item, &found));
        *out = found != NULL;
        return NX_OK;
    }
    if (!jj_iterable(container)) {
        return jj_type_error(j, "argument of type '%s' is not iterable", jj_type_name(container));
    }
    if (container->type == JJ_ITER) { /* looked through up to the hit */
        jj_iter *it = container->iter;
        while (it->at < it->n && !*out) TRY(jj_equal(j, &it->v[it->at++], item, out));
        return NX_OK;
    }
    TRY(jj_items_of(j, container, &items, &n));
    for (size_t i = 0; i < n && !*out; i++) TRY(jj_equal(j, &items[i], item, out));
    return NX_OK;
}
