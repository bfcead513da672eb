/* qdrant_field.c - what a condition says of the values at a path: match, range, places, counts. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "server/qdrant_filter.h"

enum { PARTS_MAX = 8 }; /* kinds of condition on one field */

static nx_status wrong_type(nx_qd_reader *r, const nx_json *v, const char *expected,
                            const nx_qd_place *at)
{
    return nx_qd_malformed(r, at, "invalid type: %s, expected %s", nx_json_type_name(v), expected);
}

/* ---- match ---- */

static bool match_one(nx_qd_reader *r, nx_condition *out, const nx_json *v, nx_status *st)
{
    if (v->type == NX_JSON_BOOL) {
        out->kind = NX_COND_BOOL;
        out->boolean = v->boolean;
        return true;
    }
    if (v->type == NX_JSON_INT) {
        int64_t *x = nx_arena_alloc(r->arena, 1, sizeof *x);
        out->kind = NX_COND_INT_ANY;
        out->ints = x;
        out->n_ints = 1;
        if (x)
            *x = v->i;
        else
            *st = nx_qd_no_memory(r);
        return true;
    }
    return false;
}

static bool match_text(nx_qd_reader *r, nx_condition *out, nx_cond_kind kind, const nx_json *v,
                       nx_status *st)
{
    nx_str *text;

    if (nx_json_absent(v) || v->type != NX_JSON_STRING) return false;
    text = nx_arena_alloc(r->arena, 1, sizeof *text);
    out->kind = kind;
    out->texts = text;
    out->n_texts = 1;
    if (text)
        *text = v->text;
    else
        *st = nx_qd_no_memory(r);
    return true;
}

static bool all_are(const nx_json *list, nx_json_type type)
{
    for (size_t i = 0; i < list->array.n; i++)
        if (list->array.items[i].type != type) return false;
    return true;
}

/* Texts, or integers; an empty list is one of texts. */
static bool match_list(nx_qd_reader *r, nx_condition *out, bool except, const nx_json *v,
                       nx_status *st)
{
    if (nx_json_absent(v) || v->type != NX_JSON_ARRAY) return false;
    size_t n = v->array.n;
    bool   texts = all_are(v, NX_JSON_STRING);
    if (!texts && !all_are(v, NX_JSON_INT)) return false;
    void *block = nx_arena_alloc(r->arena, n ? n : 1, texts ? sizeof(nx_str) : sizeof(int64_t));
    if (!block) {
        *st = nx_qd_no_memory(r);
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (texts)
            ((nx_str *)block)[i] = v->array.items[i].text;
        else
            ((int64_t *)block)[i] = v->array.items[i].i;
    }
    if (texts) {
        out->kind = except ? NX_COND_TEXT_EXCEPT : NX_COND_TEXT_ANY;
        out->texts = block;
        out->n_texts = n;
    } else {
        out->kind = except ? NX_COND_INT_EXCEPT : NX_COND_INT_ANY;
        out->ints = block;
        out->n_ints = n;
    }
    return true;
}

/* The first of its forms that fits, in Qdrant's order. */
static nx_status read_match(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                            const nx_qd_place *at)
{
    const nx_json *value = nx_json_get(v, "value");
    nx_status      st = NX_OK;

    if (match_text(r, out, NX_COND_TEXT_ANY, value, &st)) return st;
    if (!nx_json_absent(value) && match_one(r, out, value, &st)) return st;
    if (match_text(r, out, NX_COND_WORDS, nx_json_get(v, "text"), &st)) return st;
    if (match_text(r, out, NX_COND_WORDS_ANY, nx_json_get(v, "text_any"), &st)) return st;
    if (match_text(r, out, NX_COND_PHRASE, nx_json_get(v, "phrase"), &st)) return st;
    if (match_text(r, out, NX_COND_PREFIX, nx_json_get(v, "prefix"), &st)) return st;
    if (match_list(r, out, false, nx_json_get(v, "any"), &st)) return st;
    if (match_list(r, out, true, nx_json_get(v, "except"), &st)) return st;
    return nx_qd_malformed(r, at, "data did not match any variant of untagged enum MatchInterface");
}

/* ---- range, values_count ---- */

static nx_status read_bound(nx_qd_reader *r, bool *has, double *out, const nx_json *v,
                            const nx_qd_place *at)
{
    *has = !nx_json_absent(v);
    if (!*has) return NX_OK;
    if (!nx_json_number(v, out)) return wrong_type(r, v, "f64", at);
    return isfinite(*out) ? NX_OK : nx_qd_malformed(r, at, "number out of range");
}

static nx_status read_numbers(nx_qd_reader *r, nx_value_range *out, const nx_json *v,
                              const nx_qd_place *at)
{
    nx_status st = read_bound(r, &out->has_lt, &out->lt, nx_json_get(v, "lt"), at);

    if (!st) st = read_bound(r, &out->has_gt, &out->gt, nx_json_get(v, "gt"), at);
    if (!st) st = read_bound(r, &out->has_gte, &out->gte, nx_json_get(v, "gte"), at);
    return st ? st : read_bound(r, &out->has_lte, &out->lte, nx_json_get(v, "lte"), at);
}

static nx_status read_time(nx_qd_reader *r, bool *has, int64_t *out, const nx_json *v,
                           const nx_qd_place *at)
{
    *has = !nx_json_absent(v);
    if (!*has) return NX_OK;
    if (v->type != NX_JSON_STRING) return wrong_type(r, v, "a formatted date and time string", at);
    if (nx_time_parse(out, v->text)) return NX_OK;
    return nx_qd_malformed(r, at,
                           "'%.*s' does not match accepted datetime format (RFC3339). Example: "
                           "2014-01-01T00:00:00Z",
                           nx_qd_shown(v->text), v->text.p);
}

static bool is_text(const nx_json *v, const char *key)
{
    const nx_json *m = nx_json_get(v, key);

    return m && m->type == NX_JSON_STRING;
}

/* A text among its bounds makes it a range of times. */
static nx_status read_range(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                            const nx_qd_place *at)
{
    nx_time_range *t = &out->times;
    nx_status      st;

    if (!is_text(v, "lt") && !is_text(v, "gt") && !is_text(v, "gte") && !is_text(v, "lte")) {
        out->kind = NX_COND_RANGE;
        return read_numbers(r, &out->range, v, at);
    }
    out->kind = NX_COND_DATETIME;
    st = read_time(r, &t->has_lt, &t->lt, nx_json_get(v, "lt"), at);
    if (!st) st = read_time(r, &t->has_gt, &t->gt, nx_json_get(v, "gt"), at);
    if (!st) st = read_time(r, &t->has_gte, &t->gte, nx_json_get(v, "gte"), at);
    return st ? st : read_time(r, &t->has_lte, &t->lte, nx_json_get(v, "lte"), at);
}

static nx_status read_count(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                            const nx_qd_place *at)
{
    static const char *const keys[] = {"lt", "gt", "gte", "lte"};

    out->kind = NX_COND_COUNT;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const nx_json *m = nx_json_get(v, keys[i]);
        bool           whole =
            nx_json_absent(m) || m->type == NX_JSON_UINT || (m->type == NX_JSON_INT && m->i >= 0);
        if (!whole) return wrong_type(r, m, "usize", at);
    }
    return read_numbers(r, &out->range, v, at);
}

/* ---- Places ---- */

static nx_status read_geo(nx_qd_reader *r, nx_geo_point *out, const nx_json *v,
                          const nx_qd_place *at)
{
    if (nx_json_absent(v) || !nx_json_get_number(v, "lon", &out->lon) ||
        !nx_json_get_number(v, "lat", &out->lat))
        return nx_qd_malformed(r, at, "expected a geo point, {\"lon\": ..., \"lat\": ...}");
    if (!(fabs(out->lat) <= 90) || !(fabs(out->lon) <= 180))
        return nx_qd_malformed(r, at,
                               "Wrong format of GeoPoint payload: expected `lat` within "
                               "[-90;90] and `lon` within [-180;180]");
    return NX_OK;
}

static nx_status read_box(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                          const nx_qd_place *at)
{
    nx_status st =
        read_geo(r, &out->top_left, nx_json_get(v, "top_left"), &(nx_qd_place){at, "top_left", 0});

    out->kind = NX_COND_GEO_BOX;
    return st ? st
              : read_geo(r, &out->bottom_right, nx_json_get(v, "bottom_right"),
                         &(nx_qd_place){at, "bottom_right", 0});
}

static nx_status read_radius(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                             const nx_qd_place *at)
{
    nx_status st =
        read_geo(r, &out->centre, nx_json_get(v, "center"), &(nx_qd_place){at, "center", 0});

    out->kind = NX_COND_GEO_RADIUS;
    if (!st && (!nx_json_get_number(v, "radius", &out->metres) || !isfinite(out->metres)))
        st = nx_qd_malformed(r, at, "missing field `radius`, a number of metres");
    return st;
}

/* {"points": [...]}, at least 4, the last one the first. */
static nx_status read_ring(nx_qd_reader *r, nx_geo_ring *out, const nx_json *v,
                           const nx_qd_place *at)
{
    const nx_json *points = nx_json_get(v, "points");
    nx_geo_point  *p;
    nx_status      st = NX_OK;

    if (nx_json_absent(points) || points->type != NX_JSON_ARRAY)
        return nx_qd_malformed(r, at, "missing field `points`, a list of geo points");
    size_t n = points->array.n;
    if (n < 4)
        return nx_qd_malformed(
            r, at, "Validation failed: polygon invalid, the size must be at least 4, got %zu", n);
    p = nx_arena_alloc(r->arena, n, sizeof *p);
    if (!p) return nx_qd_no_memory(r);
    for (size_t i = 0; !st && i < n; i++)
        st = read_geo(r, &p[i], &points->array.items[i], &(nx_qd_place){at, NULL, i});
    if (!st && (fabs(p[0].lon - p[n - 1].lon) > DBL_EPSILON ||
                fabs(p[0].lat - p[n - 1].lat) > DBL_EPSILON))
        st = nx_qd_malformed(r, at,
                             "Validation failed: polygon invalid, the first and the last points "
                             "should be the same to form a closed line");
    *out = (nx_geo_ring){.points = p, .n = n};
    return st;
}

static nx_status read_polygon(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                              const nx_qd_place *at)
{
    const nx_json *outer = nx_json_get(v, "exterior"), *inner = nx_json_get(v, "interiors");
    nx_qd_place    place = {at, "interiors", 0};
    nx_geo_ring   *rings;
    nx_status      st;

    if (nx_json_absent(outer)) return nx_qd_malformed(r, at, "missing field `exterior`");
    if (!nx_json_absent(inner) && inner->type != NX_JSON_ARRAY)
        return wrong_type(r, inner, "a sequence", &place);
    size_t n = nx_json_absent(inner) ? 0 : inner->array.n;
    rings = nx_arena_alloc(r->arena, n + 1, sizeof *rings);
    if (!rings) return nx_qd_no_memory(r);
    st = read_ring(r, &rings[0], outer, &(nx_qd_place){at, "exterior", 0});
    for (size_t i = 0; !st && i < n; i++)
        st = read_ring(r, &rings[i + 1], &inner->array.items[i], &(nx_qd_place){&place, NULL, i});
    out->kind = NX_COND_GEO_POLYGON;
    out->rings = rings;
    out->n_rings = n + 1;
    return st;
}

/* ---- One field ---- */

/* One of c[0..n) holds; or, where the flag is false, none. */
static nx_status as_flag(nx_qd_reader *r, nx_condition *out, const nx_condition *c, int32_t n,
                         bool flag)
{
    nx_filter *f = nx_arena_alloc(r->arena, 1, sizeof *f);

    if (!f) return nx_qd_no_memory(r);
    *f = flag ? (nx_filter){.should = c, .n_should = n}
              : (nx_filter){.must_not = c, .n_must_not = n};
    *out = (nx_condition){.kind = NX_COND_FILTER, .filter = f};
    return NX_OK;
}

static nx_status read_empty(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                            const nx_qd_place *at)
{
    nx_status     st;
    nx_condition *c;

    if (v->type != NX_JSON_BOOL) return wrong_type(r, v, "a boolean", at);
    c = nx_qd_conditions(r, at, 1, &st);
    if (st) return st;
    c[0] = (nx_condition){.kind = NX_COND_EMPTY, .path = out->path};
    return as_flag(r, out, c, 1, v->boolean);
}

/* As a member of a field, unlike as a condition of its own, it looks into an array, too. */
static nx_status read_null(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                           const nx_qd_place *at)
{
    nx_status     st;
    nx_condition *c;
    int32_t       n = out->path.n < NX_PATH_STEPS_MAX ? 2 : 1;

    if (v->type != NX_JSON_BOOL) return wrong_type(r, v, "a boolean", at);
    c = nx_qd_conditions(r, at, (size_t)n, &st);
    if (st) return st;
    for (int32_t i = 0; i < n; i++) c[i] = (nx_condition){.kind = NX_COND_NULL, .path = out->path};
    if (n == 2) c[1].path.steps[c[1].path.n++].kind = NX_STEP_EVERY;
    return as_flag(r, out, c, n, v->boolean);
}

static const struct {
    const char *key;
    bool        plain; /* not an object */
    nx_status (*read)(nx_qd_reader *r, nx_condition *out, const nx_json *v, const nx_qd_place *at);
} parts[PARTS_MAX] = {
    {"match", false, read_match},          {"range", false, read_range},
    {"geo_bounding_box", false, read_box}, {"geo_radius", false, read_radius},
    {"geo_polygon", false, read_polygon},  {"values_count", false, read_count},
    {"is_empty", true, read_empty},        {"is_null", true, read_null},
};

static nx_status read_part(nx_qd_reader *r, nx_condition *out, int part, const nx_path *path,
                           const nx_json *v, const nx_qd_place *at)
{
    nx_qd_place place = {at, parts[part].key, 0};

    *out = (nx_condition){.path = *path};
    if (!parts[part].plain && v->type != NX_JSON_OBJECT)
        return wrong_type(r, v, "an object", &place);
    return parts[part].read(r, out, v, &place);
}

nx_status nx_qd_field(nx_qd_reader *r, nx_condition *out, const nx_json *v, const nx_qd_place *at)
{
    const nx_json *given[PARTS_MAX];
    int            n = 0, first = 0;
    nx_path        path;
    nx_status      st = nx_qd_path(r, &path, nx_json_get(v, "key"), &(nx_qd_place){at, "key", 0});

    if (st) return st;
    for (int i = PARTS_MAX - 1; i >= 0; i--) {
        given[i] = nx_json_get(v, parts[i].key);
        if (nx_json_absent(given[i])) continue;
        n++;
        first = i;
    }
    if (n == 0)
        return nx_fail(r->err, NX_EINVAL,
                       "Validation error in JSON body: [At least one field condition must be "
                       "specified]");
    if (n == 1) return read_part(r, out, first, &path, given[first], at);

    nx_condition *c = nx_qd_conditions(r, at, (size_t)n, &st);
    nx_filter    *f = st ? NULL : nx_arena_alloc(r->arena, 1, sizeof *f);
    if (!f) return st ? st : nx_qd_no_memory(r);
    *f = (nx_filter){.should = c, .n_should = n};
    for (int i = 0; !st && i < PARTS_MAX; i++)
        if (!nx_json_absent(given[i])) st = read_part(r, c++, i, &path, given[i], at);
    *out = (nx_condition){.kind = NX_COND_FILTER, .filter = f};
    return st;
}
