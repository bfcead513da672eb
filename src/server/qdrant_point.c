/* qdrant_point.c - points out, as much of them as was asked for, and which points a request is about. */
#include <string.h>

#include "server/qdrant.h"

/* ---- What is wanted of a point ---- */

static nx_status read_paths(nx_qd_selector *out, nx_call *c, const nx_json *list, nx_error *err)
{
    nx_status st = NX_OK;
    nx_path  *paths;

    if (list->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "with_payload: expected an array of keys");
    paths = nx_arena_alloc(&c->kept, list->array.n, sizeof *paths);
    if (!paths) return nx_fail(err, NX_ENOMEM, "%zu keys", list->array.n);
    for (size_t i = 0; !st && i < list->array.n; i++) {
        const nx_json *v = &list->array.items[i];
        if (v->type != NX_JSON_STRING)
            return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "with_payload[%zu]: expected a string", i);
        st = nx_path_parse(&paths[i], v->text, err);
    }
    out->payload = true;
    out->paths = paths;
    out->n_paths = list->array.n;
    return st;
}

static nx_status select_payload(nx_qd_selector *out, nx_call *c, const nx_json *v, nx_error *err)
{
    if (nx_json_absent(v)) return NX_OK;
    if (v->type == NX_JSON_BOOL) {
        out->payload = v->boolean;
        return NX_OK;
    }
    if (v->type == NX_JSON_ARRAY) return read_paths(out, c, v, err);
    const nx_json *include = nx_json_get(v, "include"), *exclude = nx_json_get(v, "exclude");
    if (!nx_json_absent(include)) return read_paths(out, c, include, err);
    if (nx_json_absent(exclude))
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "with_payload: expected true, false, keys, or an object with "
                                    "`include` or `exclude`");
    out->exclude = true;
    return read_paths(out, c, exclude, err);
}

static uint64_t all_slots(const nx_config *config)
{
    return config->n_slots ? UINT64_MAX >> (64 - config->n_slots) : 0;
}

static nx_status select_vectors(nx_qd_selector *out, const nx_config *config, const nx_json *v,
                                nx_error *err)
{
    nx_status st = NX_OK;

    if (nx_json_absent(v)) return NX_OK;
    if (v->type == NX_JSON_BOOL) {
        out->slots = v->boolean ? all_slots(config) : 0;
        return NX_OK;
    }
    if (v->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "with_vector: expected true, false, or names of vectors");
    for (size_t i = 0; !st && i < v->array.n; i++) {
        int32_t slot = 0;
        st = nx_qd_slot(&slot, config, &v->array.items[i], err);
        if (!st) out->slots |= (uint64_t)1 << slot;
    }
    return st;
}

nx_status nx_qd_select(nx_qd_selector *out, nx_call *c, const nx_config *config,
                       const nx_json *with_payload, const nx_json *with_vector, nx_error *err)
{
    *out = (nx_qd_selector){0};
    nx_status st = select_payload(out, c, with_payload, err);
    return st ? st : select_vectors(out, config, with_vector, err);
}

/* ---- Payloads, in part ---- */

/* The way from a payload's top to a value, while it is written. */
typedef struct place {
    const struct place *above; /* NULL: a member of the payload itself */
    bool                item;  /* of an array: index counts, else key */
    nx_str              key;
    uint32_t            index;
    int                 depth; /* from 1 */
} place;

static bool step_fits(const nx_path *path, int step, const place *p)
{
    switch (path->steps[step].kind) {
    case NX_STEP_KEY: return !p->item && nx_str_eq(path->steps[step].key, p->key);
    case NX_STEP_INDEX: return p->item && path->steps[step].index == p->index;
    case NX_STEP_EVERY: return p->item;
    }
    return false;
}

/* Do the path and the way agree, as far as both go? */
static bool goes_along(const nx_path *path, const place *p)
{
    for (; p; p = p->above)
        if (p->depth <= path->n && !step_fits(path, p->depth - 1, p)) return false;
    return true;
}

static bool is_wanted(const nx_qd_selector *sel, const place *p)
{
    for (size_t i = 0; i < sel->n_paths; i++) {
        if (!goes_along(&sel->paths[i], p)) continue;
        if (!sel->exclude) return true;
        if (p->depth >= sel->paths[i].n) return false;
    }
    return sel->exclude;
}

static void write_part(nx_jw *w, const char *key, nx_value v, const place *above,
                       const nx_qd_selector *sel)
{
    nx_value_iter it = nx_value_each(v);
    nx_value      item;
    place         p = {.above = above, .item = !it.keys, .depth = above ? above->depth + 1 : 1};
    bool          container =
        nx_value_kind_of(v) == NX_VALUE_ARRAY || nx_value_kind_of(v) == NX_VALUE_OBJECT;

    if (!container) {
        nx_qd_write_value(w, key, v);
        return;
    }
    nx_jw_open(w, key, it.keys ? '{' : '[');
    for (; nx_value_next(&it, &p.key, &item); p.index++) {
        if (!is_wanted(sel, &p)) continue;
        if (it.keys) nx_jw_key(w, p.key);
        write_part(w, NULL, item, &p, sel);
    }
    nx_jw_close(w, it.keys ? '}' : ']');
}

static void write_payload(nx_jw *w, nx_value payload, const nx_qd_selector *sel)
{
    if (payload.n == 0)
        nx_jw_raw(w, "payload", NX_STR("{}"));
    else if (sel->paths)
        write_part(w, "payload", payload, NULL, sel);
    else
        nx_qd_write_value(w, "payload", payload);
}

/* ---- Vectors ---- */

/* The default vector alone is written as it is; any others by their names. */
static void write_vectors(nx_jw *w, const nx_point *p, const nx_config *config, uint64_t slots)
{
    const nx_vector *only = NULL;
    int              n = 0;

    for (int32_t i = 0; i < p->n_vectors; i++) {
        if (!(slots >> p->vectors[i].slot & 1)) continue;
        only = &p->vectors[i];
        n++;
    }
    if (n == 1 && config->slots[only->slot].name.len == 0) {
        nx_qd_write_vector(w, "vector", only, config);
        return;
    }
    nx_jw_open(w, "vector", '{');
    for (int32_t i = 0; i < p->n_vectors; i++) {
        const nx_vector *v = &p->vectors[i];
        if (!(slots >> v->slot & 1)) continue;
        nx_jw_key(w, config->slots[v->slot].name);
        nx_qd_write_vector(w, NULL, v, config);
    }
    nx_jw_close(w, '}');
}

nx_status nx_qd_write_parts(nx_jw *w, const nx_point *p, const nx_config *config,
                            const nx_qd_selector *sel, nx_error *err)
{
    if (sel->payload) write_payload(w, p->payload, sel);
    if (sel->slots) write_vectors(w, p, config, sel->slots);
    return w->st ? nx_fail(err, w->st, "%s", w->err.text) : NX_OK;
}

nx_status nx_qd_write_record(nx_jw *w, const nx_point *p, const nx_config *config,
                             const nx_qd_selector *sel, nx_error *err)
{
    nx_jw_open(w, NULL, '{');
    nx_qd_write_id(w, "id", p->id);
    nx_status st = nx_qd_write_parts(w, p, config, sel, err);
    nx_jw_close(w, '}');
    return st;
}

/* ---- Which points ---- */

nx_status nx_qd_point_selector(nx_qd_points *out, nx_call *c, const nx_config *config,
                               const nx_json *body, nx_error *err)
{
    const nx_json *points = nx_json_get(body, "points"), *filter = nx_json_get(body, "filter");
    nx_point_id   *ids = NULL;
    nx_status      st;

    *out = (nx_qd_points){0};
    if (!nx_json_absent(points)) {
        st = nx_qd_ids(&ids, &out->n_ids, c, points, err);
        out->ids = ids;
        return st;
    }
    if (nx_json_absent(filter))
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "expected `points` or `filter`, found neither");
    st = nx_qd_filter(&out->filter, c, config, filter, err);
    if (!st) st = nx_rights_change_filter(c, out->filter, &out->filter, err);
    if (st || out->filter) return st;
    out->filter = nx_arena_alloc(&c->kept, 1, sizeof *out->filter); /* {}: every point */
    return out->filter ? NX_OK : nx_fail(err, NX_ENOMEM, "a filter");
}
