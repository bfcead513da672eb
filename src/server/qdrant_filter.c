/* qdrant_filter.c - filters from JSON: the tree, and the conditions that are about no field. */
#include "server/qdrant_filter.h"

#include <stdio.h>
#include <string.h>

#include "server/qdrant.h"

/* Qdrant's own words, which its clients show. */
#define EXPECTED_CONDITION                                                                         \
    "Expected some form of condition, which can be a field condition (like {\"key\": ..., "        \
    "\"match\": ... }), or some other mentioned in the documentation: "                            \
    "https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions"

/* ---- What the readers share ---- */

/* "must[0].match", cut to cap. */
static size_t write_place(char *out, size_t cap, const nx_qd_place *at)
{
    size_t n = at->up ? write_place(out, cap, at->up) : 0;
    int    more;

    if (at->key)
        more = snprintf(out + n, cap - n, "%s%s", n ? "." : "", at->key);
    else
        more = snprintf(out + n, cap - n, "[%zu]", at->idx);
    n += more > 0 ? (size_t)more : 0;
    return n < cap ? n : cap - 1;
}

nx_status nx_qd_malformed(const nx_qd_reader *r, const nx_qd_place *at, const char *fmt, ...)
{
    nx_error what; /* cut between characters, as nx_fail does */
    char     place[160] = "";
    va_list  args;

    va_start(args, fmt);
    nx_fail_v(&what, NX_EINVAL, fmt, args);
    va_end(args);
    write_place(place, sizeof place, at);
    return nx_fail(r->err, NX_EINVAL, "Format error in JSON body: %s at %s", what.text, place);
}

int nx_qd_shown(nx_str s)
{
    size_t n = s.len < 100 ? s.len : 100;

    while (n < s.len && n > 0 && ((unsigned char)s.p[n] & 0xC0) == 0x80) n--;
    return (int)n;
}

nx_status nx_qd_no_memory(const nx_qd_reader *r)
{
    return nx_fail(r->err, NX_ENOMEM, "a filter");
}

nx_condition *nx_qd_conditions(nx_qd_reader *r, const nx_qd_place *at, size_t n, nx_status *st)
{
    nx_condition *c = NULL;

    if (n > (size_t)(NX_QD_CONDITIONS_MAX - r->n_conditions)) {
        *st = nx_qd_malformed(r, at, "a filter of more than %d conditions", NX_QD_CONDITIONS_MAX);
        return NULL;
    }
    r->n_conditions += (int32_t)n;
    c = nx_arena_alloc(r->arena, n ? n : 1, sizeof *c);
    *st = c ? NX_OK : nx_qd_no_memory(r);
    return c;
}

nx_status nx_qd_path(nx_qd_reader *r, nx_path *out, const nx_json *v, const nx_qd_place *at)
{
    if (nx_json_absent(v)) return nx_qd_malformed(r, at, "missing field `key`");
    if (v->type != NX_JSON_STRING)
        return nx_qd_malformed(r, at, "invalid type: %s, expected a string", nx_json_type_name(v));
    if (nx_path_parse(out, v->text, NULL))
        return nx_qd_malformed(r, at, "Invalid json path: '%.*s'", nx_qd_shown(v->text), v->text.p);
    return NX_OK;
}

/* ---- Conditions that are about no field ---- */

static nx_status read_filter(nx_qd_reader *r, const nx_filter **out, const nx_json *v,
                             const nx_qd_place *at, int depth);

/* {"key": path} */
static nx_status read_key(nx_qd_reader *r, nx_condition *out, nx_cond_kind kind, const nx_json *v,
                          const nx_qd_place *at)
{
    out->kind = kind;
    if (v->type != NX_JSON_OBJECT) return nx_qd_malformed(r, at, "%s", EXPECTED_CONDITION);
    return nx_qd_path(r, &out->path, nx_json_get(v, "key"), at);
}

static nx_status read_has_id(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                             const nx_qd_place *at)
{
    nx_point_id *ids = NULL;
    size_t       n = v->type == NX_JSON_ARRAY ? v->array.n : 0;

    if (v->type != NX_JSON_ARRAY) return nx_qd_malformed(r, at, "%s", EXPECTED_CONDITION);
    ids = nx_arena_alloc(r->arena, n ? n : 1, sizeof *ids);
    if (!ids) return nx_qd_no_memory(r);
    for (size_t i = 0; i < n; i++)
        if (nx_qd_id(&ids[i], &v->array.items[i], NULL))
            return nx_qd_malformed(r, &(nx_qd_place){at, NULL, i},
                                   "expected a point ID: an unsigned integer or a UUID");
    *out = (nx_condition){.kind = NX_COND_ID, .ids = ids, .n_ids = n};
    return NX_OK;
}

/* A name that the collection doesn't have is a vector that no point has. */
static nx_status read_has_vector(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                                 const nx_qd_place *at)
{
    if (v->type != NX_JSON_STRING) return nx_qd_malformed(r, at, "%s", EXPECTED_CONDITION);
    int32_t slot = nx_config_slot(r->config, v->text);
    *out = slot < 0 ? (nx_condition){.kind = NX_COND_ID}
                    : (nx_condition){.kind = NX_COND_VECTOR, .slot = slot};
    return NX_OK;
}

static nx_status read_slice(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                            const nx_qd_place *at)
{
    int64_t index, total;

    if (!nx_json_get_int(v, "index", &index) || !nx_json_get_int(v, "total", &total))
        return nx_qd_malformed(r, at, "expected {\"index\": ..., \"total\": ...}, two integers");
    if (total < 1 || total > UINT32_MAX || index < 0 || index >= total)
        return nx_qd_malformed(r, at, "slice %lld of %lld: an index is less than its total",
                               (long long)index, (long long)total);
    *out = (nx_condition){.kind = NX_COND_SLICE,
                          .slice = {.index = (uint32_t)index, .total = (uint32_t)total}};
    return NX_OK;
}

/* Qdrant writes the path of a nested filter with or without the [] for the items of its array. */
static nx_status read_nested(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                             const nx_qd_place *at, int depth)
{
    const nx_json *filter = nx_json_get(v, "filter");
    nx_status      st = read_key(r, out, NX_COND_NESTED, v, at);

    if (st) return st;
    if (out->path.n > 1 && out->path.steps[out->path.n - 1].kind == NX_STEP_EVERY) out->path.n--;
    if (nx_json_absent(filter)) return nx_qd_malformed(r, at, "missing field `filter`");
    return read_filter(r, &out->filter, filter, &(nx_qd_place){at, "filter", 0}, depth + 1);
}

static nx_status read_condition(nx_qd_reader *r, nx_condition *out, const nx_json *v,
                                const nx_qd_place *at, int depth)
{
    const nx_json *m;

    if (v->type != NX_JSON_OBJECT) return nx_qd_malformed(r, at, "%s", EXPECTED_CONDITION);
    if (nx_json_get(v, "key")) return nx_qd_field(r, out, v, at);
    if (!nx_json_absent(m = nx_json_get(v, "is_empty")))
        return read_key(r, out, NX_COND_EMPTY, m, &(nx_qd_place){at, "is_empty", 0});
    if (!nx_json_absent(m = nx_json_get(v, "is_null")))
        return read_key(r, out, NX_COND_NULL, m, &(nx_qd_place){at, "is_null", 0});
    if (!nx_json_absent(m = nx_json_get(v, "has_id")))
        return read_has_id(r, out, m, &(nx_qd_place){at, "has_id", 0});
    if (!nx_json_absent(m = nx_json_get(v, "has_vector")))
        return read_has_vector(r, out, m, &(nx_qd_place){at, "has_vector", 0});
    if (!nx_json_absent(m = nx_json_get(v, "nested")))
        return read_nested(r, out, m, &(nx_qd_place){at, "nested", 0}, depth);
    if (!nx_json_absent(m = nx_json_get(v, "slice")))
        return read_slice(r, out, m, &(nx_qd_place){at, "slice", 0});
    out->kind = NX_COND_FILTER;
    return read_filter(r, &out->filter, v, at, depth + 1);
}

/* ---- The tree ---- */

/* One condition, or a list of them; absent: none. */
static nx_status read_list(nx_qd_reader *r, const nx_condition **out, int32_t *n, const nx_json *v,
                           const nx_qd_place *at, int depth)
{
    bool          many = !nx_json_absent(v) && v->type == NX_JSON_ARRAY;
    size_t        count = many ? v->array.n : !nx_json_absent(v);
    nx_status     st = NX_OK;
    nx_condition *c = count ? nx_qd_conditions(r, at, count, &st) : NULL;

    for (size_t i = 0; !st && i < count; i++) {
        nx_qd_place place = {at, NULL, i};
        st = read_condition(r, &c[i], many ? &v->array.items[i] : v, many ? &place : at, depth);
    }
    *out = c;
    *n = (int32_t)count;
    return st;
}

static nx_status read_min_should(nx_qd_reader *r, nx_filter *f, const nx_json *v,
                                 const nx_qd_place *at, int depth)
{
    const nx_json *conditions = nx_json_get(v, "conditions");
    int64_t        min;

    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_OBJECT)
        return nx_qd_malformed(r, at, "invalid type: %s, expected struct MinShould",
                               nx_json_type_name(v));
    if (nx_json_absent(conditions) || conditions->type != NX_JSON_ARRAY)
        return nx_qd_malformed(r, at, "missing field `conditions`, a list");
    if (!nx_json_get_int(v, "min_count", &min) || min < 0)
        return nx_qd_malformed(r, at, "missing field `min_count`, a number from 0");
    f->min_count = (int32_t)(min < INT32_MAX ? min : INT32_MAX);
    return read_list(r, &f->min_should, &f->n_min_should, conditions,
                     &(nx_qd_place){at, "conditions", 0}, depth);
}

static nx_status check_members(nx_qd_reader *r, const nx_json *v, const nx_qd_place *at)
{
    static const char *const known[] = {"should", "min_should", "must", "must_not"};

    for (size_t i = 0; i < v->object.n; i++) {
        nx_str key = v->object.members[i].key;
        bool   found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || nx_str_eq(key, nx_str_of(known[k]));
        if (!found && at->up) return nx_qd_malformed(r, at, "%s", EXPECTED_CONDITION);
        if (!found)
            return nx_qd_malformed(r, at,
                                   "unknown field `%.*s`, expected one of `should`, `min_should`, "
                                   "`must`, `must_not`",
                                   nx_qd_shown(key), key.p);
    }
    return NX_OK;
}

static nx_status read_filter(nx_qd_reader *r, const nx_filter **out, const nx_json *v,
                             const nx_qd_place *at, int depth)
{
    nx_filter *f = nx_arena_alloc(r->arena, 1, sizeof *f);
    nx_status  st;

    if (!f) return nx_qd_no_memory(r);
    if (v->type != NX_JSON_OBJECT)
        return nx_qd_malformed(r, at, "invalid type: %s, expected struct Filter",
                               nx_json_type_name(v));
    if (depth > NX_QD_FILTER_DEPTH_MAX)
        return nx_qd_malformed(r, at, "recursion limit exceeded: filters nest at most %d deep",
                               NX_QD_FILTER_DEPTH_MAX);
    st = check_members(r, v, at);
    if (!st)
        st = read_list(r, &f->should, &f->n_should, nx_json_get(v, "should"),
                       &(nx_qd_place){at, "should", 0}, depth);
    if (!st)
        st = read_min_should(r, f, nx_json_get(v, "min_should"),
                             &(nx_qd_place){at, "min_should", 0}, depth);
    if (!st)
        st = read_list(r, &f->must, &f->n_must, nx_json_get(v, "must"),
                       &(nx_qd_place){at, "must", 0}, depth);
    if (!st)
        st = read_list(r, &f->must_not, &f->n_must_not, nx_json_get(v, "must_not"),
                       &(nx_qd_place){at, "must_not", 0}, depth);
    *out = f;
    return st;
}

nx_status nx_qd_filter_read(const nx_filter **out, nx_arena *arena, const nx_config *config,
                            const nx_json *v, nx_error *err)
{
    nx_qd_reader r = {.arena = arena, .config = config, .err = err};
    nx_qd_place  top = {.key = "filter"};
    nx_status    st = read_filter(&r, out, v, &top, 1);

    if (st) *out = NULL;
    return st;
}

nx_status nx_qd_filter(const nx_filter **out, nx_call *c, const nx_config *config, const nx_json *v,
                       nx_error *err)
{
    const nx_filter *own = NULL;
    nx_status        st = NX_OK;

    *out = NULL;
    if (!nx_json_absent(v)) st = nx_qd_filter_read(&own, &c->kept, config, v, err);
    return st ? st : nx_rights_filter(c, own, out, err);
}
