/* qdrant_value.c - ids, values and vectors, as Qdrant's JSON spells them. */
#include <math.h>
#include <string.h>

#include "server/qdrant.h"

/* ---- Ids ---- */

static nx_status no_id(const nx_json *v, nx_error *err)
{
    if (v->type == NX_JSON_STRING)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "value %.*s is not a valid point ID, valid values are either "
                                    "an unsigned integer or a UUID",
                       (int)(v->text.len < 64 ? v->text.len : 64), v->text.p);
    if (v->type == NX_JSON_INT)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "value %lld is not a valid point ID, valid values are either "
                                    "an unsigned integer or a UUID",
                       (long long)v->i);
    return nx_fail(err, NX_EINVAL,
                   NX_QD_FORMAT "%s is not a valid point ID, valid values are either an unsigned "
                                "integer or a UUID",
                   nx_json_type_name(v));
}

nx_status nx_qd_id(nx_point_id *out, const nx_json *v, nx_error *err)
{
    if (v->type == NX_JSON_INT && v->i >= 0)
        *out = nx_id_number((uint64_t)v->i);
    else if (v->type == NX_JSON_UINT)
        *out = nx_id_number(v->u);
    else if (v->type != NX_JSON_STRING || nx_id_parse_uuid(out, v->text, NULL))
        return no_id(v, err);
    return NX_OK;
}

nx_status nx_qd_ids(nx_point_id **out, size_t *n, nx_call *c, const nx_json *list, nx_error *err)
{
    nx_status st = NX_OK;

    *n = 0;
    if (list->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "expected an array of point ids, found %s",
                       nx_json_type_name(list));
    *out = nx_arena_alloc(&c->kept, list->array.n, sizeof **out);
    if (!*out) return nx_fail(err, NX_ENOMEM, "%zu ids", list->array.n);
    for (size_t i = 0; !st && i < list->array.n; i++)
        st = nx_qd_id(&(*out)[i], &list->array.items[i], err);
    if (!st) *n = list->array.n;
    return st;
}

void nx_qd_write_id(nx_jw *w, const char *key, nx_point_id id)
{
    char text[NX_ID_TEXT];

    if (id.is_uuid)
        nx_jw_text(w, key, nx_id_write(text, id));
    else
        nx_jw_u64(w, key, id.lo);
}

/* ---- Values ---- */

nx_status nx_qd_value(nx_value *out, nx_call *c, const nx_json *v, nx_error *err)
{
    nx_buf    b = {.max = NX_PAYLOAD_MAX};
    nx_status st = nx_value_add_json(&b, v, err);

    *out = (nx_value){0};
    if (!st) {
        uint8_t *kept = nx_arena_alloc(&c->kept, b.len, 1);
        if (kept) {
            memcpy(kept, b.data, b.len);
            *out = (nx_value){kept, (uint32_t)b.len};
        } else {
            st = nx_fail(err, NX_ENOMEM, "a payload of %zu bytes", b.len);
        }
    }
    nx_buf_free(&b);
    return st;
}

static void write_container(nx_jw *w, const char *key, nx_value v)
{
    nx_value_iter it = nx_value_each(v);
    nx_str        name;
    nx_value      item;

    nx_jw_open(w, key, it.keys ? '{' : '[');
    while (nx_value_next(&it, &name, &item)) {
        if (it.keys) nx_jw_key(w, name);
        nx_qd_write_value(w, NULL, item);
    }
    nx_jw_close(w, it.keys ? '}' : ']');
}

void nx_qd_write_value(nx_jw *w, const char *key, nx_value v)
{
    if (v.n == 0) {
        nx_jw_null(w, key);
        return;
    }
    switch (nx_value_kind_of(v)) {
    case NX_VALUE_NULL: nx_jw_null(w, key); break;
    case NX_VALUE_FALSE: nx_jw_bool(w, key, false); break;
    case NX_VALUE_TRUE: nx_jw_bool(w, key, true); break;
    case NX_VALUE_INT: nx_jw_int(w, key, nx_value_int(v)); break;
    case NX_VALUE_UINT: nx_jw_u64(w, key, nx_value_uint(v)); break;
    case NX_VALUE_FLOAT: nx_jw_double(w, key, nx_value_float(v)); break;
    case NX_VALUE_TEXT: nx_jw_string(w, key, nx_value_text(v)); break;
    case NX_VALUE_ARRAY:
    case NX_VALUE_OBJECT: write_container(w, key, v); break;
    }
}

/* ---- Slots ---- */

nx_status nx_qd_slot(int32_t *out, const nx_config *config, const nx_json *name, nx_error *err)
{
    nx_str text = NX_STR("");

    if (!nx_json_absent(name) && name->type != NX_JSON_STRING)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "a vector's name: expected a string, found %s",
                       nx_json_type_name(name));
    if (!nx_json_absent(name)) text = name->text;
    *out = nx_config_slot(config, text);
    if (*out >= 0) return NX_OK;
    return nx_fail(err, NX_EINVAL, NX_QD_WRONG "Not existing vector name error: %.*s",
                   (int)(text.len < 300 ? text.len : 300), text.p);
}

/* ---- Vectors in ---- */

static nx_status wrong_form(const nx_slot *slot, const char *what, nx_error *err)
{
    static const char *const forms[] = {[NX_FORM_GONE] = "",
                                        [NX_FORM_DENSE] = "a dense vector",
                                        [NX_FORM_SPARSE] = "a sparse vector",
                                        [NX_FORM_MULTI] = "a multivector"};

    return nx_fail(err, NX_EINVAL, NX_QD_WRONG "vector \"%.*s\": expected %s, found %s",
                   (int)(slot->name.len < 100 ? slot->name.len : 100), slot->name.p,
                   forms[slot->form], what);
}

static nx_status wrong_dim(int32_t expected, size_t got, nx_error *err)
{
    return nx_fail(err, NX_EINVAL, NX_QD_WRONG "Vector dimension error: expected dim: %d, got %zu",
                   expected, got);
}

static nx_status read_floats(float *out, const nx_json *items, size_t n, nx_error *err)
{
    for (size_t i = 0; i < n; i++) {
        double x;
        if (!nx_json_number(&items[i], &x))
            return nx_fail(err, NX_EINVAL,
                           NX_QD_FORMAT "invalid type in a vector, at %zu: expected f32, found %s",
                           i, nx_json_type_name(&items[i]));
        out[i] = (float)x;
        if (!isfinite(out[i]))
            return nx_fail(err, NX_EINVAL, NX_QD_WRONG "a vector's value at %zu is beyond f32", i);
    }
    return NX_OK;
}

static float *room_for_floats(nx_call *c, size_t n, nx_error *err)
{
    float *values = nx_arena_alloc(&c->kept, n, sizeof *values);

    if (!values) nx_fail(err, NX_ENOMEM, "a vector of %zu numbers", n);
    return values;
}

static nx_status read_dense(nx_vector *out, nx_call *c, const nx_slot *slot, const nx_json *v,
                            nx_error *err)
{
    if (v->array.n != (size_t)slot->dim) return wrong_dim(slot->dim, v->array.n, err);
    float *values = room_for_floats(c, v->array.n, err);
    if (!values) return NX_ENOMEM;
    out->form = slot->form;
    out->n = slot->form == NX_FORM_MULTI ? 1 : slot->dim;
    out->values = values;
    return read_floats(values, v->array.items, v->array.n, err);
}

static nx_status read_rows(nx_vector *out, nx_call *c, const nx_slot *slot, const nx_json *v,
                           nx_error *err)
{
    size_t    n = v->array.n, dim = (size_t)slot->dim;
    nx_status st = NX_OK;

    if (n > NX_MULTI_MAX / dim)
        return nx_fail(err, NX_ELIMIT, "a multivector of more than %d numbers", NX_MULTI_MAX);
    for (size_t i = 0; i < n; i++) {
        const nx_json *row = &v->array.items[i];
        if (row->type != NX_JSON_ARRAY)
            return nx_fail(err, NX_EINVAL,
                           NX_QD_FORMAT "a multivector's row %zu: expected an array", i);
        if (row->array.n != dim) return wrong_dim(slot->dim, row->array.n, err);
    }
    float *values = room_for_floats(c, n * dim, err);
    if (!values) return NX_ENOMEM;
    for (size_t i = 0; !st && i < n; i++)
        st = read_floats(values + i * dim, v->array.items[i].array.items, dim, err);
    out->form = NX_FORM_MULTI;
    out->n = (int32_t)n;
    out->values = values;
    return st;
}

static nx_status read_indices(uint32_t *out, const nx_json *list, nx_error *err)
{
    for (size_t i = 0; i < list->array.n; i++) {
        const nx_json *v = &list->array.items[i];
        if (v->type != NX_JSON_INT || v->i < 0 || v->i > UINT32_MAX)
            return nx_fail(err, NX_EINVAL,
                           NX_QD_FORMAT "indices[%zu]: expected u32, found another value", i);
        out[i] = (uint32_t)v->i;
    }
    return NX_OK;
}

/* Ascending, with their values: by merging, so that a million of them take no second. */
static void sort_sparse(uint32_t *index, float *value, uint32_t *index2, float *value2, size_t n)
{
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            size_t mid = from + width < n ? from + width : n;
            size_t end = from + 2 * width < n ? from + 2 * width : n;
            size_t a = from, b = mid;
            for (size_t i = from; i < end; i++) {
                size_t k = a < mid && (b >= end || index[a] <= index[b]) ? a++ : b++;
                index2[i] = index[k];
                value2[i] = value[k];
            }
        }
        memcpy(index, index2, n * sizeof *index);
        memcpy(value, value2, n * sizeof *value);
    }
}

static nx_status read_sparse(nx_vector *out, nx_call *c, const nx_json *v, nx_error *err)
{
    const nx_json *indices = nx_json_get(v, "indices"), *values = nx_json_get(v, "values");

    if (!indices || !values || indices->type != NX_JSON_ARRAY || values->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "a sparse vector has the arrays `indices` and `values`");
    size_t n = indices->array.n;
    if (n != values->array.n)
        return nx_fail(err, NX_EINVAL, NX_QD_RANGE "[values: must be the same length as indices]");
    if (n > NX_SPARSE_MAX)
        return nx_fail(err, NX_ELIMIT, "a sparse vector of more than %d values", NX_SPARSE_MAX);
    uint32_t *index = nx_arena_alloc(&c->kept, 2 * n, sizeof *index);
    float    *value = room_for_floats(c, 2 * n, err);
    if (!index || !value) return nx_fail(err, NX_ENOMEM, "a sparse vector of %zu values", n);
    nx_status st = read_indices(index, indices, err);
    if (!st) st = read_floats(value, values->array.items, n, err);
    if (st) return st;
    sort_sparse(index, value, index + n, value + n, n);
    for (size_t i = 1; i < n; i++)
        if (index[i] == index[i - 1])
            return nx_fail(err, NX_EINVAL, NX_QD_RANGE "[indices: must be unique]");
    out->form = NX_FORM_SPARSE;
    out->n = (int32_t)n;
    out->values = value;
    out->indices = index;
    return NX_OK;
}

static nx_status take_embedded(nx_vector *out, const nx_vector *found, const nx_slot *slot,
                               int32_t slot_idx, nx_error *err)
{
    *out = *found;
    out->slot = slot_idx;
    if (slot->form == NX_FORM_SPARSE || found->form == NX_FORM_SPARSE)
        return found->form == slot->form ? NX_OK : wrong_form(slot, "an embedding", err);
    if (found->form == NX_FORM_DENSE && found->n != slot->dim)
        return wrong_dim(slot->dim, (size_t)found->n, err);
    if (slot->form == NX_FORM_MULTI && found->form == NX_FORM_DENSE) {
        out->form = NX_FORM_MULTI;
        out->n = 1;
    }
    return out->form == slot->form ? NX_OK : wrong_form(slot, "an embedding", err);
}

nx_status nx_qd_vector(nx_vector *out, nx_call *c, const nx_config *config, int32_t slot,
                       const nx_json *v, nx_error *err)
{
    const nx_slot   *s = &config->slots[slot];
    const nx_vector *text = nx_qd_embedded(c, v);

    *out = (nx_vector){.slot = slot};
    if (text) return take_embedded(out, text, s, slot, err);
    if (v->type == NX_JSON_OBJECT) {
        if (s->form == NX_FORM_SPARSE) return read_sparse(out, c, v, err);
        return wrong_form(s, "an object", err);
    }
    if (v->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "a vector: expected an array, found %s",
                       nx_json_type_name(v));
    if (s->form == NX_FORM_SPARSE) return wrong_form(s, "an array", err);
    if (v->array.n > 0 && v->array.items[0].type == NX_JSON_ARRAY) {
        if (s->form == NX_FORM_MULTI) return read_rows(out, c, s, v, err);
        return wrong_form(s, "an array of arrays", err);
    }
    return read_dense(out, c, s, v, err);
}

static nx_status read_named(nx_vector *out, int32_t *n, nx_call *c, const nx_config *config,
                            const nx_json *v, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < v->object.n; i++) {
        const nx_json_member *m = &v->object.members[i];
        nx_json               name = {.type = NX_JSON_STRING, .text = m->key};
        int32_t               slot;
        st = nx_qd_slot(&slot, config, &name, err);
        for (int32_t k = 0; !st && k < *n; k++)
            if (out[k].slot == slot)
                st = nx_fail(err, NX_EINVAL, NX_QD_FORMAT "the vector \"%.*s\" stands there twice",
                             (int)(m->key.len < 100 ? m->key.len : 100), m->key.p);
        if (!st) st = nx_qd_vector(&out[*n], c, config, slot, &m->value, err);
        if (!st) (*n)++;
    }
    return st;
}

nx_status nx_qd_vectors(nx_vector *out, int32_t *n, nx_call *c, const nx_config *config,
                        const nx_json *v, nx_error *err)
{
    int32_t slot;

    *n = 0;
    if (!v) return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "missing field `vector`");
    if (v->type == NX_JSON_OBJECT && !nx_qd_embedded(c, v))
        return read_named(out, n, c, config, v, err);
    nx_status st = nx_qd_slot(&slot, config, NULL, err);
    if (!st) st = nx_qd_vector(&out[0], c, config, slot, v, err);
    if (!st) *n = 1;
    return st;
}

/* ---- Vectors out ---- */

static void write_floats(nx_jw *w, const char *key, const float *x, int32_t n)
{
    nx_jw_open(w, key, '[');
    for (int32_t i = 0; i < n; i++) nx_jw_float(w, NULL, x[i]);
    nx_jw_close(w, ']');
}

static void write_sparse(nx_jw *w, const char *key, const nx_vector *v)
{
    nx_jw_open(w, key, '{');
    nx_jw_open(w, "indices", '[');
    for (int32_t i = 0; i < v->n; i++) nx_jw_u64(w, NULL, v->indices[i]);
    nx_jw_close(w, ']');
    write_floats(w, "values", v->values, v->n);
    nx_jw_close(w, '}');
}

void nx_qd_write_vector(nx_jw *w, const char *key, const nx_vector *v, const nx_config *config)
{
    int32_t dim = config->slots[v->slot].dim;

    switch (v->form) {
    case NX_FORM_GONE: nx_jw_null(w, key); break;
    case NX_FORM_DENSE: write_floats(w, key, v->values, dim); break;
    case NX_FORM_SPARSE: write_sparse(w, key, v); break;
    case NX_FORM_MULTI:
        nx_jw_open(w, key, '[');
        for (int32_t i = 0; i < v->n; i++) write_floats(w, NULL, v->values + (int64_t)i * dim, dim);
        nx_jw_close(w, ']');
        break;
    }
}
