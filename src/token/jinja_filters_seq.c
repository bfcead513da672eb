/* jinja_filters_seq.c - filters over lists and their like.
 *
 * What the original gives as a generator is a JJ_ITER here: no length, gone through once. Its items
 * are computed at once, not when they are asked for.
 */
#include <string.h>

#include "token/jinja_call.h"
#include "token/jinja_print.h"
#include "token/jinja_sort.h"
#include "token/jinja_str.h"

#define FILTER(name)                                                                               \
    static nx_status name(jj *j, jj_val *out, const jj_val *in, const jj_val *arg, const jj_call *c)
#define UNUSED (void)j, (void)out, (void)in, (void)arg, (void)c

/* ---- Ends, lengths ---- */

FILTER(first)
{
    jj_val *items;
    size_t  n;

    UNUSED;
    if (in->type == JJ_ITER && in->iter->at < in->iter->n) {
        *out = in->iter->v[in->iter->at++];
        return NX_OK;
    }
    TRY(jj_items_of(j, in, &items, &n));
    if (n == 0) return jj_undefined(j, out, "No first item, sequence was empty.");
    *out = items[0];
    return NX_OK;
}

FILTER(last)
{
    jj_val *items;
    size_t  n;

    UNUSED;
    if (!jj_length(in, &n))
        return jj_type_error(j, "'%s' object is not reversible", jj_type_name(in));
    TRY(jj_items_of(j, in, &items, &n));
    if (n == 0) return jj_undefined(j, out, "No last item, sequence was empty.");
    *out = items[n - 1];
    return NX_OK;
}

FILTER(length)
{
    size_t n;

    UNUSED;
    if (!jj_length(in, &n))
        return jj_type_error(j, "object of type '%s' has no len()", jj_type_name(in));
    *out = jj_int((int64_t)n);
    return NX_OK;
}

FILTER(list)
{
    jj_val *items, l;
    size_t  n;

    UNUSED;
    TRY(jj_items_of(j, in, &items, &n));
    TRY(jj_list_new(j, &l, JJ_LIST, 0));
    l.list->v = items;
    l.list->n = n;
    *out = l;
    return NX_OK;
}

FILTER(reverse)
{
    const jj_val none = JJ_VAL_NONE, back = jj_int(-1);
    jj_val      *items;
    size_t       n;
    jj_vec       l = {.j = j};

    UNUSED;
    if (in->type == JJ_STR) return jj_slice(j, out, in, &none, &none, &back);
    bool sized = jj_length(in, &n);
    TRY(jj_items_of(j, in, &items, &n));
    for (size_t i = n; i-- > 0;) TRY(jj_vec_add(&l, items[i]));
    return jj_vec_list(&l, out, sized ? JJ_ITER : JJ_LIST);
}

FILTER(join)
{
    jj_out  o = {.j = j};
    jj_val *items, sep, v, text;
    size_t  n;

    UNUSED;
    TRY(jj_items_of(j, in, &items, &n));
    TRY(jj_str_view(j, &sep, "", 0, false));
    if (arg[0].type != JJ_MISSING) TRY(jj_to_str(j, &sep, &arg[0]));
    TRY(jj_steps(j, n));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_path(j, &v, &items[i], &arg[1], NULL));
        TRY(jj_to_str(j, &text, &v));
        if (i) jj_put_str(&o, sep.s);
        jj_put_str(&o, text.s);
    }
    return jj_out_str(&o, out);
}

/* ---- map, select, reject ---- */

static const jj_val *keyword(const jj_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_kw; i++) {
        if (nx_str_eq(c->kw[i], nx_str_of(name))) return &c->kw_value[i];
    }
    return NULL;
}

static nx_status map_attribute(jj *j, jj_val *out, const jj_val *in, const jj_call *c)
{
    const jj_val *path = keyword(c, "attribute"), *preset = keyword(c, "default");
    jj_vec        l = {.j = j};
    jj_val       *items, v;
    size_t        n;

    if (c->n_kw > 1u + (preset != NULL))
        return jj_type_error(j, "map: unexpected keyword argument");
    TRY(jj_items_of(j, in, &items, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_path(j, &v, &items[i], path, preset));
        TRY(jj_vec_add(&l, v));
    }
    return jj_vec_list(&l, out, JJ_ITER);
}

FILTER(map)
{
    jj_vec  l = {.j = j};
    jj_val *items, v;
    size_t  n;
    jj_call rest = *c;

    UNUSED;
    if (!jj_truth(in)) return jj_vec_list(&l, out, JJ_ITER);
    if (c->n_pos == 0 && keyword(c, "attribute")) return map_attribute(j, out, in, c);
    if (c->n_pos == 0) return jj_type_error(j, "map requires a filter argument");
    if (c->pos[0].type != JJ_STR) return jj_type_error(j, "map: a filter's name is a str");
    rest.pos++;
    rest.n_pos--;
    TRY(jj_items_of(j, in, &items, &n));
    int filter = jj_filter_find(jj_bytes(c->pos[0].s));
    for (size_t i = 0; i < n; i++) {
        if (filter < 0) return jj_type_error(j, "map: no filter of that name");
        TRY(jj_filter_run(j, &v, filter, &items[i], &rest));
        TRY(jj_vec_add(&l, v));
    }
    return jj_vec_list(&l, out, JJ_ITER);
}

/* Items whose attribute (path NULL: they themselves) passes a test, or doesn't. */
static nx_status sift(jj *j, jj_val *out, const jj_val *in, const jj_call *c, bool by_attribute,
                      bool wanted)
{
    const jj_val missing = JJ_VAL_MISSING, *path = by_attribute ? &c->pos[0] : &missing;
    jj_vec       l = {.j = j};
    jj_val      *items, v;
    size_t       n, skip = by_attribute;
    jj_call      rest = *c;
    int          test = -1;
    bool         yes;

    if (!jj_truth(in)) return jj_vec_list(&l, out, JJ_ITER);
    if (by_attribute && c->n_pos == 0)
        return jj_type_error(j, "Missing parameter for attribute name");
    bool tested = c->n_pos > skip;
    if (tested && c->pos[skip].type == JJ_STR) test = jj_test_find(jj_bytes(c->pos[skip].s));
    if (skip + tested) rest.pos += skip + tested;
    rest.n_pos -= skip + tested;
    TRY(jj_items_of(j, in, &items, &n));
    for (size_t i = 0; i < n; i++) {
        if (tested && test < 0) return jj_type_error(j, "select: no test of that name");
        TRY(jj_path(j, &v, &items[i], path, NULL));
        yes = jj_truth(&v);
        if (tested) TRY(jj_test_run(j, &yes, test, &v, &rest));
        if (yes == wanted) TRY(jj_vec_add(&l, items[i]));
    }
    return jj_vec_list(&l, out, JJ_ITER);
}

FILTER(select_)
{
    UNUSED;
    return sift(j, out, in, c, false, true);
}

FILTER(reject)
{
    UNUSED;
    return sift(j, out, in, c, false, false);
}

FILTER(selectattr)
{
    UNUSED;
    return sift(j, out, in, c, true, true);
}

FILTER(rejectattr)
{
    UNUSED;
    return sift(j, out, in, c, true, false);
}

/* ---- Order ---- */

static nx_status ignore_case(jj *j, jj_val *v, bool case_sensitive)
{
    if (case_sensitive || v->type != JJ_STR) return NX_OK;
    return jj_recase(j, v, v->s, JJ_TO_LOWER);
}

/* The key of one item; several attributes ("a,b") give a list. */
static nx_status sort_key(jj *j, jj_val *out, const jj_val *item, const jj_val *path, bool exact)
{
    jj_vec l = {.j = j};

    if (path->type != JJ_STR || jj_str_find(path->s, 0, NX_STR(",")) == SIZE_MAX) {
        TRY(jj_path(j, out, item, path, NULL));
        return ignore_case(j, out, exact);
    }
    for (size_t at = 0; at <= path->s->len;) {
        size_t comma = jj_str_find(path->s, at, NX_STR(","));
        size_t end = comma == SIZE_MAX ? path->s->len : comma;
        jj_val part, v;
        TRY(jj_slice_bytes(j, &part, path->s, at, end));
        TRY(jj_path(j, &v, item, &part, NULL));
        TRY(ignore_case(j, &v, exact));
        TRY(jj_vec_add(&l, v));
        at = end + 1;
    }
    return jj_vec_list(&l, out, JJ_LIST);
}

static nx_status sorted(jj *j, jj_val *out, jj_val *items, const jj_val *keys, size_t n,
                        bool reverse)
{
    uint32_t *order = jj_alloc(j, n, sizeof *order);
    jj_val    l;

    if (!order) return j->err->status;
    TRY(jj_sort(j, order, keys, n, reverse));
    TRY(jj_list_new(j, &l, JJ_LIST, n));
    for (size_t i = 0; i < n; i++) l.list->v[i] = items[order[i]];
    *out = l;
    return NX_OK;
}

FILTER(sort)
{
    jj_val *items, *keys;
    size_t  n;

    UNUSED;
    TRY(jj_items_of(j, in, &items, &n));
    keys = jj_alloc(j, n, sizeof *keys);
    if (!keys) return j->err->status;
    for (size_t i = 0; i < n; i++)
        TRY(sort_key(j, &keys[i], &items[i], &arg[2], jj_truth(&arg[1])));
    return sorted(j, out, items, keys, n, jj_truth(&arg[0]));
}

FILTER(dictsort)
{
    bool    by_value = jj_text_is(&arg[1], "value");
    jj_view view = {in->dict, 'i'};
    jj_val  pairs = {.type = JJ_VIEW, .view = &view}, *items, *keys;
    size_t  n;

    UNUSED;
    if (arg[1].type != JJ_MISSING && !by_value && !jj_text_is(&arg[1], "key")) {
        return jj_type_error(j, "You can only sort by either \"key\" or \"value\"");
    }
    if (in->type == JJ_UNDEFINED) return jj_undefined_used(j, in);
    if (in->type != JJ_DICT)
        return jj_type_error(j, "'%s' object has no attribute 'items'", jj_type_name(in));
    TRY(jj_items_of(j, &pairs, &items, &n));
    keys = jj_alloc(j, n, sizeof *keys);
    if (!keys) return j->err->status;
    for (size_t i = 0; i < n; i++) {
        keys[i] = items[i].list->v[by_value];
        TRY(ignore_case(j, &keys[i], jj_truth(&arg[0])));
    }
    return sorted(j, out, items, keys, n, jj_truth(&arg[2]));
}

FILTER(unique)
{
    jj_vec  l = {.j = j};
    jj_val *items, key, seen, *held;
    size_t  n;

    UNUSED;
    TRY(jj_items_of(j, in, &items, &n));
    TRY(jj_dict_new(j, &seen));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_path(j, &key, &items[i], &arg[1], NULL));
        TRY(ignore_case(j, &key, jj_truth(&arg[0])));
        TRY(jj_dict_get(j, seen.dict, &key, &held));
        if (held) continue;
        TRY(jj_dict_set(j, seen.dict, key, JJ_VAL_NONE));
        TRY(jj_vec_add(&l, items[i]));
    }
    return jj_vec_list(&l, out, JJ_ITER);
}

static nx_status extreme(jj *j, jj_val *out, const jj_val *in, const jj_val *arg, bool largest)
{
    jj_val *items, best = JJ_VAL_MISSING, key;
    size_t  n;
    bool    better;

    TRY(jj_items_of(j, in, &items, &n));
    if (n == 0) return jj_undefined(j, out, "No aggregated item, sequence was empty.");
    for (size_t i = 0; i < n; i++) {
        TRY(jj_path(j, &key, &items[i], &arg[1], NULL));
        TRY(ignore_case(j, &key, jj_truth(&arg[0])));
        better = i == 0;
        if (i)
            TRY(jj_less(j, largest ? &best : &key, largest ? &key : &best, largest ? ">" : "<",
                        &better));
        if (!better) continue;
        best = key;
        *out = items[i];
    }
    return NX_OK;
}

FILTER(min_)
{
    UNUSED;
    return extreme(j, out, in, arg, false);
}

FILTER(max_)
{
    UNUSED;
    return extreme(j, out, in, arg, true);
}

/* ---- Groups ---- */

static nx_status add_group(jj *j, jj_vec *groups, const jj_val *key, const jj_val *items, size_t n)
{
    jj_val group, members;

    TRY(jj_list_new(j, &members, JJ_LIST, n));
    if (n) memcpy(members.list->v, items, n * sizeof *items);
    TRY(jj_list_new(j, &group, JJ_TUPLE, 2));
    group.list->group = true;
    group.list->v[0] = *key;
    group.list->v[1] = members;
    return jj_vec_add(groups, group);
}

FILTER(groupby)
{
    jj_vec    groups = {.j = j};
    jj_val   *items, *keys, l;
    uint32_t *order;
    size_t    n;
    bool      exact = jj_truth(&arg[2]), same;

    UNUSED;
    TRY(jj_items_of(j, in, &items, &n));
    keys = jj_alloc(j, n, sizeof *keys);
    order = jj_alloc(j, n, sizeof *order);
    if (!keys || !order) return j->err->status;
    for (size_t i = 0; i < n; i++) {
        TRY(jj_path(j, &keys[i], &items[i], &arg[0], &arg[1]));
        TRY(ignore_case(j, &keys[i], exact));
    }
    TRY(jj_sort(j, order, keys, n, false));
    TRY(jj_list_new(j, &l, JJ_LIST, n));
    for (size_t i = 0; i < n; i++) l.list->v[i] = items[order[i]];
    for (size_t from = 0, to; from < n; from = to) {
        jj_val name;
        for (to = from + 1; to < n; to++) {
            TRY(jj_equal(j, &keys[order[from]], &keys[order[to]], &same));
            if (!same) break;
        }
        TRY(jj_path(j, &name, &l.list->v[from], &arg[0], &arg[1]));
        TRY(add_group(j, &groups, &name, &l.list->v[from], to - from));
    }
    return jj_vec_list(&groups, out, JJ_LIST);
}

static nx_status take_count(jj *j, const jj_val *v, int64_t *out)
{
    if (v->type == JJ_UNDEFINED) return jj_undefined_used(j, v);
    return jj_as_int(v, out) ? NX_OK
                             : jj_type_error(j, "a number is wanted, not %s", jj_type_name(v));
}

/* A list of items[from..to) and, with fill given, fillers up to n_min. */
static nx_status part(jj *j, jj_vec *l, const jj_val *items, size_t from, size_t to,
                      const jj_val *fill, size_t n_min)
{
    jj_vec p = {.j = j};
    jj_val v;

    for (size_t i = from; i < to; i++) TRY(jj_vec_add(&p, items[i]));
    while (fill->type != JJ_MISSING && fill->type != JJ_NONE && p.n < n_min)
        TRY(jj_vec_add(&p, *fill));
    TRY(jj_vec_list(&p, &v, JJ_LIST));
    return jj_vec_add(l, v);
}

FILTER(batch)
{
    jj_vec  l = {.j = j};
    jj_val *items;
    size_t  n;
    int64_t count;

    UNUSED;
    TRY(take_count(j, &arg[0], &count));
    TRY(jj_items_of(j, in, &items, &n));
    if (count <= 0) { /* never full: the first list is empty when there is none, the rest follows */
        if (count == 0 && n) TRY(part(j, &l, items, 0, 0, &JJ_VAL_NONE, 0));
        count = (int64_t)n + 1;
        if (l.n) {
            TRY(part(j, &l, items, 0, n, &JJ_VAL_NONE, 0));
            if (n > 1) return jj_type_error(j, "batch of 0");
            return jj_vec_list(&l, out, JJ_ITER);
        }
        if (n) TRY(part(j, &l, items, 0, n, &JJ_VAL_NONE, 0));
        return jj_vec_list(&l, out, JJ_ITER);
    }
    for (size_t from = 0; from < n; from += (size_t)count) {
        size_t to = n - from < (size_t)count ? n : from + (size_t)count;
        TRY(part(j, &l, items, from, to, &arg[1], (size_t)count));
    }
    return jj_vec_list(&l, out, JJ_ITER);
}

FILTER(slice)
{
    jj_vec  l = {.j = j};
    jj_val *items;
    size_t  n, at = 0;
    int64_t count;

    UNUSED;
    TRY(take_count(j, &arg[0], &count));
    TRY(jj_items_of(j, in, &items, &n));
    if (count == 0) return jj_type_error(j, "integer division or modulo by zero");
    for (int64_t i = 0; i < count; i++) {
        size_t each = n / (size_t)count, more = n % (size_t)count;
        size_t size = each + ((size_t)i < more);
        bool   fills = (size_t)i >= more;
        TRY(part(j, &l, items, at, at + size, fills ? &arg[1] : &JJ_VAL_NONE, size + 1));
        at += size;
    }
    return jj_vec_list(&l, out, JJ_ITER);
}

FILTER(sum)
{
    jj_val *items, v, total = arg[1].type == JJ_MISSING ? jj_int(0) : arg[1];
    size_t  n;

    UNUSED;
    if (total.type == JJ_STR) return jj_type_error(j, "sum() can't sum strings: use join");
    TRY(jj_items_of(j, in, &items, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(jj_path(j, &v, &items[i], &arg[0], NULL));
        TRY(jj_binary(j, &total, '+', &total, &v));
    }
    *out = total;
    return NX_OK;
}

FILTER(items_)
{
    jj_vec  l = {.j = j};
    jj_view view = {in->dict, 'i'};
    jj_val  pairs = {.type = JJ_VIEW, .view = &view};

    UNUSED;
    if (in->type == JJ_UNDEFINED) return jj_vec_list(&l, out, JJ_ITER);
    if (in->type != JJ_DICT) return jj_type_error(j, "Can only get item pairs from a mapping.");
    TRY(jj_items_of(j, &pairs, &l.v, &l.n));
    return jj_vec_list(&l, out, JJ_ITER);
}

const jj_filter_def jj_seq_filters[] = {
    {"batch", "linecount fill_with", 1, batch},
    {"count", "", 0, length},
    {"dictsort", "case_sensitive by reverse", 0, dictsort},
    {"first", "", 0, first},
    {"groupby", "attribute default case_sensitive", 1, groupby},
    {"items", "", 0, items_},
    {"join", "d attribute", 0, join},
    {"last", "", 0, last},
    {"length", "", 0, length},
    {"list", "", 0, list},
    {"map", "", -1, map},
    {"max", "case_sensitive attribute", 0, max_},
    {"min", "case_sensitive attribute", 0, min_},
    {"reject", "", -1, reject},
    {"rejectattr", "", -1, rejectattr},
    {"reverse", "", 0, reverse},
    {"select", "", -1, select_},
    {"selectattr", "", -1, selectattr},
    {"slice", "slices fill_with", 1, slice},
    {"sort", "reverse case_sensitive attribute", 0, sort},
    {"sum", "attribute start", 0, sum},
    {"unique", "case_sensitive attribute", 0, unique},
    {NULL, NULL, 0, NULL},
};
