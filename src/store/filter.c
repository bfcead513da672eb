/* filter.c - conditions, tested one point at a time. */
#include "store/filter.h"

#include <math.h>
#include <string.h>

#include "store/bound.h"
#include "store/geo.h"

typedef struct testing {
    nx_point_id id;
    uint64_t    vectors;
    nx_bound   *bound; /* NULL: no condition has an index */
} testing;

static bool holds(const nx_filter *f, const testing *t, nx_value payload);

/* ---- One value ---- */

static bool is_kind(nx_value v, nx_value_kind kind)
{
    return nx_value_kind_of(v) == kind;
}

static bool is_number(nx_value v)
{
    return v.p[0] >= NX_VALUE_INT && v.p[0] <= NX_VALUE_FLOAT;
}

static bool text_among(const nx_condition *c, nx_value v)
{
    nx_str s = nx_value_text(v);

    for (size_t i = 0; i < c->n_texts; i++)
        if (nx_str_eq(c->texts[i], s)) return true;
    return false;
}

static bool int_among(const nx_condition *c, nx_value v)
{
    for (size_t i = 0; i < c->n_ints; i++)
        if (c->ints[i] == nx_value_int(v)) return true;
    return false;
}

/* Of another kind than the list: it is none of them, but null is no value at all. */
static bool is_value(nx_value v)
{
    return !is_kind(v, NX_VALUE_NULL);
}

static bool holds_text(nx_str s, nx_str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++)
        if (memcmp(s.p + i, part.p, part.len) == 0) return true;
    return false;
}

static bool begins_with(nx_str s, nx_str part)
{
    return part.len <= s.len && memcmp(s.p, part.p, part.len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One of the words between blanks. */
static bool holds_a_word(nx_str s, nx_str words)
{
    for (size_t i = 0; i < words.len;) {
        size_t begin = i;
        while (i < words.len && !is_blank(words.p[i])) i++;
        if (i > begin && holds_text(s, (nx_str){words.p + begin, i - begin})) return true;
        i++;
    }
    return false;
}

/* Which part of `total` an id belongs to: spread evenly, the same on every machine. */
static uint32_t slice_of(nx_point_id id, uint32_t total)
{
    uint64_t x = id.lo ^ (id.hi * 0x9E3779B97F4A7C15u) ^ id.is_uuid;

    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((x ^ x >> 31) % total);
}

static bool in_range(const nx_value_range *r, double x)
{
    return (!r->has_gt || x > r->gt) && (!r->has_gte || x >= r->gte) && (!r->has_lt || x < r->lt) &&
           (!r->has_lte || x <= r->lte);
}

static bool in_times(const nx_time_range *r, nx_value v)
{
    int64_t x;

    return is_kind(v, NX_VALUE_TEXT) && nx_time_parse(&x, nx_value_text(v)) &&
           (!r->has_gt || x > r->gt) && (!r->has_gte || x >= r->gte) && (!r->has_lt || x < r->lt) &&
           (!r->has_lte || x <= r->lte);
}

/* By the words of the path's text index; without one the words must stand there as they are. */
static bool words_fit(const nx_condition *c, nx_str s, const testing *t)
{
    bool fits;

    if (nx_bound_test(t->bound, c, s, &fits)) return fits;
    return c->kind == NX_COND_WORDS_ANY ? holds_a_word(s, c->texts[0]) : holds_text(s, c->texts[0]);
}

static bool value_fits(const nx_condition *c, nx_value v, const testing *t)
{
    nx_geo_point p;

    switch (c->kind) {
    case NX_COND_TEXT_ANY: return is_kind(v, NX_VALUE_TEXT) && text_among(c, v);
    case NX_COND_TEXT_EXCEPT: return is_kind(v, NX_VALUE_TEXT) ? !text_among(c, v) : is_value(v);
    case NX_COND_INT_ANY: return is_kind(v, NX_VALUE_INT) && int_among(c, v);
    case NX_COND_INT_EXCEPT: return is_kind(v, NX_VALUE_INT) ? !int_among(c, v) : is_value(v);
    case NX_COND_BOOL: return is_kind(v, c->boolean ? NX_VALUE_TRUE : NX_VALUE_FALSE);
    case NX_COND_WORDS:
    case NX_COND_PHRASE:
    case NX_COND_WORDS_ANY: return is_kind(v, NX_VALUE_TEXT) && words_fit(c, nx_value_text(v), t);
    case NX_COND_PREFIX:
        return is_kind(v, NX_VALUE_TEXT) && begins_with(nx_value_text(v), c->texts[0]);
    case NX_COND_RANGE: return is_number(v) && in_range(&c->range, nx_value_float(v));
    case NX_COND_DATETIME: return in_times(&c->times, v);
    case NX_COND_GEO_BOX:
        return nx_geo_read(&p, v) && nx_geo_in_box(p, c->top_left, c->bottom_right);
    case NX_COND_GEO_RADIUS: return nx_geo_read(&p, v) && nx_geo_metres(p, c->centre) < c->metres;
    case NX_COND_GEO_POLYGON: return nx_geo_read(&p, v) && nx_geo_in_rings(p, c->rings, c->n_rings);
    case NX_COND_COUNT:
    case NX_COND_EMPTY:
    case NX_COND_NULL:
    case NX_COND_NESTED:
    case NX_COND_FILTER:
    case NX_COND_ID:
    case NX_COND_VECTOR:
    case NX_COND_SLICE: break;
    }
    return false;
}

/* ---- The values at a path ---- */

typedef struct looking {
    const nx_condition *c;
    const testing      *t;
    bool                found;
} looking;

/* Until one fits, itself or as an item: arrays within arrays are values that fit nothing but
 * EXCEPT. */
static bool look(void *ctx, nx_value v)
{
    looking      *l = ctx;
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;

    if (!is_kind(v, NX_VALUE_ARRAY)) {
        l->found = value_fits(l->c, v, l->t);
        return !l->found;
    }
    while (!l->found && nx_value_next(&it, &key, &item)) l->found = value_fits(l->c, item, l->t);
    return !l->found;
}

static bool look_count(void *ctx, nx_value v)
{
    looking *l = ctx;
    double   n = is_kind(v, NX_VALUE_ARRAY) ? nx_value_count(v) : !is_kind(v, NX_VALUE_NULL);

    l->found = in_range(&l->c->range, n);
    return !l->found;
}

static bool look_filled(void *ctx, nx_value v)
{
    looking *l = ctx;

    l->found = !is_kind(v, NX_VALUE_NULL) && !(is_kind(v, NX_VALUE_ARRAY) && !nx_value_count(v));
    return !l->found;
}

static bool look_null(void *ctx, nx_value v)
{
    looking *l = ctx;

    l->found = is_kind(v, NX_VALUE_NULL);
    return !l->found;
}

static bool look_nested(void *ctx, nx_value v)
{
    looking      *l = ctx;
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    nx_str        key;

    while (!l->found && !it.keys && nx_value_next(&it, &key, &item))
        l->found = is_kind(item, NX_VALUE_OBJECT) && holds(l->c->filter, l->t, item);
    return !l->found;
}

static bool id_among(const nx_condition *c, nx_point_id id)
{
    for (size_t i = 0; i < c->n_ids; i++)
        if (nx_id_compare(c->ids[i], id) == 0) return true;
    return false;
}

static bool condition_holds(const nx_condition *c, const testing *t, nx_value payload)
{
    looking l = {.c = c, .t = t};

    switch (c->kind) {
    case NX_COND_ID: return id_among(c, t->id);
    case NX_COND_VECTOR: return t->vectors >> c->slot & 1;
    case NX_COND_SLICE: return slice_of(t->id, c->slice.total) == c->slice.index;
    case NX_COND_FILTER: return holds(c->filter, t, payload);
    case NX_COND_EMPTY: nx_path_visit(&c->path, payload, look_filled, &l); return !l.found;
    case NX_COND_NULL: nx_path_visit(&c->path, payload, look_null, &l); return l.found;
    case NX_COND_NESTED: nx_path_visit(&c->path, payload, look_nested, &l); return l.found;
    case NX_COND_COUNT: nx_path_visit(&c->path, payload, look_count, &l); return l.found;
    default: nx_path_visit(&c->path, payload, look, &l); return l.found;
    }
}

/* ---- Filters ---- */

/* How many hold, counted up to `enough`. */
static int32_t n_holding(const nx_condition *c, int32_t n, int32_t enough, const testing *t,
                         nx_value payload)
{
    int32_t k = 0;

    for (int32_t i = 0; i < n && k < enough; i++) k += condition_holds(&c[i], t, payload);
    return k;
}

static bool holds(const nx_filter *f, const testing *t, nx_value payload)
{
    for (int32_t i = 0; i < f->n_must; i++)
        if (!condition_holds(&f->must[i], t, payload)) return false;
    if (n_holding(f->must_not, f->n_must_not, 1, t, payload)) return false;
    if (f->n_should && !n_holding(f->should, f->n_should, 1, t, payload)) return false;
    return n_holding(f->min_should, f->n_min_should, f->min_count, t, payload) >= f->min_count;
}

bool nx_filter_test(const nx_filter *f, nx_point_id id, nx_value payload, uint64_t vectors)
{
    return nx_filter_test_bound(f, id, payload, vectors, NULL);
}

bool nx_filter_test_bound(const nx_filter *f, nx_point_id id, nx_value payload, uint64_t vectors,
                          nx_bound *bound)
{
    return holds(f, &(testing){id, vectors, bound}, payload);
}

/* ---- About filters ---- */

static nx_status check_list(const nx_condition *c, int32_t n, const nx_config *config, int depth,
                            nx_error *err);

static nx_status check_at(const nx_filter *f, const nx_config *config, int depth, nx_error *err)
{
    nx_status st = NX_OK;

    if (depth > NX_FILTER_DEPTH_MAX)
        return nx_fail(err, NX_EINVAL, "a filter nested more than %d deep", NX_FILTER_DEPTH_MAX);
    st = check_list(f->must, f->n_must, config, depth, err);
    if (!st) st = check_list(f->must_not, f->n_must_not, config, depth, err);
    if (!st) st = check_list(f->should, f->n_should, config, depth, err);
    return st ? st : check_list(f->min_should, f->n_min_should, config, depth, err);
}

static nx_status check_list(const nx_condition *c, int32_t n, const nx_config *config, int depth,
                            nx_error *err)
{
    nx_status st = NX_OK;

    for (int32_t i = 0; !st && i < n; i++) {
        if (c[i].kind == NX_COND_FILTER || c[i].kind == NX_COND_NESTED)
            st = check_at(c[i].filter, config, depth + 1, err);
        if (c[i].kind == NX_COND_VECTOR && (c[i].slot < 0 || c[i].slot >= config->n_slots))
            st = nx_fail(err, NX_EINVAL, "no vector %d in this collection", c[i].slot);
        if (c[i].kind == NX_COND_SLICE && c[i].slice.index >= c[i].slice.total)
            st = nx_fail(err, NX_EINVAL, "no slice %u of %u", c[i].slice.index, c[i].slice.total);
    }
    return st;
}

nx_status nx_filter_check(const nx_filter *f, const nx_config *c, nx_error *err)
{
    return check_at(f, c, 1, err);
}

static unsigned list_needs(const nx_condition *c, int32_t n)
{
    unsigned needs = 0;

    for (int32_t i = 0; i < n; i++) {
        if (c[i].kind == NX_COND_FILTER)
            needs |= nx_filter_needs(c[i].filter);
        else if (c[i].kind == NX_COND_VECTOR)
            needs |= NX_FILTER_VECTORS;
        else if (c[i].kind == NX_COND_NESTED)
            needs |= NX_FILTER_PAYLOAD | nx_filter_needs(c[i].filter);
        else if (c[i].kind != NX_COND_ID && c[i].kind != NX_COND_SLICE)
            needs |= NX_FILTER_PAYLOAD;
    }
    return needs;
}

unsigned nx_filter_needs(const nx_filter *f)
{
    return list_needs(f->must, f->n_must) | list_needs(f->must_not, f->n_must_not) |
           list_needs(f->should, f->n_should) | list_needs(f->min_should, f->n_min_should);
}
