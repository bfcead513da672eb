/* point_ops.c - changes to points, read from bodies.
 *
 * A key that is bound to tags changes only points that have one of them, and leaves each with one: every
 * operation here runs under nx_writes_only_if, or a filter that the tags are part of, and what it would
 * write at the tags' place is looked at first.
 */
#include "server/point_ops.h"

#include <string.h>

/* What the functions below share. */
typedef struct adding {
    nx_writes       *b;
    nx_call         *c;
    const nx_config *config;
    const nx_json   *body;
    nx_error        *err;
} adding;

static nx_status wrong(const adding *a, const char *what)
{
    return nx_fail(a->err, NX_EINVAL, NX_QD_FORMAT "%s", what);
}

/* ---- Tags ---- */

/* Operations on ids from here on: the key's tags, and a filter of the caller's own. */
static nx_status begin_guard(const adding *a, const nx_filter *own)
{
    const nx_filter *f;
    nx_status        st = nx_rights_change_filter(a->c, own, &f, a->err);

    if (st || !f) return st;
    return nx_writes_only_if(a->b, f, a->err);
}

static nx_status end_guard(const adding *a)
{
    return nx_writes_only_if(a->b, NULL, a->err);
}

static nx_status forbid(const adding *a)
{
    return nx_fail(a->err, NX_EINVAL,
                   NX_QD_WRONG "this key is bound to access tags: it can't take \"" NX_ACCESS_TAGS
                               "\" from a point, nor change it below its top");
}

/* Members that are merged into a payload at a path. */
static nx_status check_merge(const adding *a, nx_value object, nx_str path)
{
    nx_path p;

    if (!nx_rights_tagged(a->c)) return NX_OK;
    if (path.len) {
        nx_status st = nx_path_parse(&p, path, a->err);
        if (st) return st;
        return nx_str_eq(p.steps[0].key, NX_STR(NX_ACCESS_TAGS)) ? forbid(a) : NX_OK;
    }
    if (nx_value_member(object, NX_STR(NX_ACCESS_TAGS)).n == 0) return NX_OK;
    return nx_rights_payload(a->c, object, a->err);
}

static nx_status check_removal(const adding *a, nx_str path)
{
    nx_path   p;
    nx_status st = nx_path_parse(&p, path, a->err);

    if (st || !nx_rights_tagged(a->c)) return st;
    return nx_str_eq(p.steps[0].key, NX_STR(NX_ACCESS_TAGS)) ? forbid(a) : NX_OK;
}

/* ---- Upsert ---- */

typedef struct upsert {
    nx_put_mode mode;
    nx_buf      payload; /* of one point at a time */
    nx_vector   vectors[NX_SLOTS_MAX];
} upsert;

static nx_status read_mode(const adding *a, nx_put_mode *out)
{
    static const struct {
        const char *name;
        nx_put_mode mode;
    } modes[] = {{"upsert", NX_PUT}, {"insert_only", NX_PUT_NEW}, {"update_only", NX_PUT_PRESENT}};
    const nx_json *v = nx_json_get(a->body, "update_mode");

    *out = NX_PUT;
    if (nx_json_absent(v)) return NX_OK;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (!nx_json_is(v, modes[i].name)) continue;
        *out = modes[i].mode;
        return NX_OK;
    }
    return wrong(a, "update_mode: expected one of `upsert`, `insert_only`, `update_only`");
}

static nx_status add_point(const adding *a, upsert *u, nx_point *p, const nx_json *payload)
{
    nx_status st = NX_OK;

    nx_buf_clear(&u->payload);
    p->vectors = u->vectors;
    p->payload = (nx_value){0};
    if (!nx_json_absent(payload)) {
        if (payload->type != NX_JSON_OBJECT) return wrong(a, "payload: expected an object");
        st = nx_value_add_json(&u->payload, payload, a->err);
        p->payload = (nx_value){(const uint8_t *)u->payload.data, (uint32_t)u->payload.len};
    }
    if (!st) st = nx_rights_payload(a->c, p->payload, a->err);
    return st ? st : nx_writes_put(a->b, p, u->mode, a->err);
}

static nx_status add_row(const adding *a, upsert *u, const nx_json *row)
{
    nx_point       p = {0};
    const nx_json *id = nx_json_get(row, "id"), *vector = nx_json_get(row, "vector");
    nx_status      st;

    if (row->type != NX_JSON_OBJECT) return wrong(a, "points: expected an array of objects");
    if (!id) return wrong(a, "missing field `id`");
    st = nx_qd_id(&p.id, id, a->err);
    if (!st && !vector) vector = nx_json_get(row, "vectors");
    if (!st) st = nx_qd_vectors(u->vectors, &p.n_vectors, a->c, a->config, vector, a->err);
    return st ? st : add_point(a, u, &p, nx_json_get(row, "payload"));
}

static nx_status add_rows(const adding *a, upsert *u, const nx_json *points)
{
    nx_status st = NX_OK;

    if (points->type != NX_JSON_ARRAY) return wrong(a, "points: expected an array");
    for (size_t i = 0; !st && i < points->array.n; i++) st = add_row(a, u, &points->array.items[i]);
    return st;
}

static nx_status wrong_length(const adding *a, const char *what, size_t n_ids, size_t n)
{
    return nx_fail(a->err, NX_EINVAL,
                   NX_QD_RANGE "[batch: number of ids and %s must be equal (%zu != %zu)]", what,
                   n_ids, n);
}

/* Each list of vectors is as long as that of ids. */
static nx_status check_columns(const adding *a, size_t n, const nx_json *vectors,
                               const nx_json *payloads)
{
    if (!nx_json_absent(payloads) && payloads->type != NX_JSON_ARRAY)
        return wrong(a, "batch.payloads: expected an array");
    if (!nx_json_absent(payloads) && payloads->array.n != n)
        return wrong_length(a, "payloads", n, payloads->array.n);
    if (vectors->type == NX_JSON_ARRAY)
        return vectors->array.n == n ? NX_OK : wrong_length(a, "vectors", n, vectors->array.n);
    if (vectors->type != NX_JSON_OBJECT)
        return wrong(a, "batch.vectors: expected an array or object");
    if (vectors->object.n > NX_SLOTS_MAX) return wrong(a, "batch.vectors: more names than vectors");
    for (size_t i = 0; i < vectors->object.n; i++) {
        const nx_json *list = &vectors->object.members[i].value;
        if (list->type != NX_JSON_ARRAY) return wrong(a, "batch.vectors: expected arrays by names");
        if (list->array.n != n) return wrong_length(a, "vectors", n, list->array.n);
    }
    return NX_OK;
}

/* The vectors of point i, of an object of columns. */
static nx_status read_named_columns(const adding *a, upsert *u, nx_point *p, const nx_json *vectors,
                                    size_t i)
{
    nx_status st = NX_OK;

    p->n_vectors = 0;
    for (size_t k = 0; !st && k < vectors->object.n; k++) {
        const nx_json_member *m = &vectors->object.members[k];
        const nx_json        *v = &m->value.array.items[i];
        nx_json               name = {.type = NX_JSON_STRING, .text = m->key};
        int32_t               slot;
        if (v->type == NX_JSON_NULL) continue;
        st = nx_qd_slot(&slot, a->config, &name, a->err);
        if (!st) st = nx_qd_vector(&u->vectors[p->n_vectors++], a->c, a->config, slot, v, a->err);
    }
    return st;
}

static nx_status add_columns(const adding *a, upsert *u, const nx_json *batch)
{
    const nx_json *ids = nx_json_get(batch, "ids"), *vectors = nx_json_get(batch, "vectors");
    const nx_json *payloads = nx_json_get(batch, "payloads");
    nx_status      st;

    if (!ids || ids->type != NX_JSON_ARRAY) return wrong(a, "batch: missing field `ids`");
    if (!vectors) return wrong(a, "batch: missing field `vectors`");
    st = check_columns(a, ids->array.n, vectors, payloads);
    for (size_t i = 0; !st && i < ids->array.n; i++) {
        nx_point p = {0};
        st = nx_qd_id(&p.id, &ids->array.items[i], a->err);
        if (!st && vectors->type == NX_JSON_ARRAY)
            st = nx_qd_vectors(u->vectors, &p.n_vectors, a->c, a->config, &vectors->array.items[i],
                               a->err);
        else if (!st)
            st = read_named_columns(a, u, &p, vectors, i);
        if (!st)
            st = add_point(a, u, &p, nx_json_absent(payloads) ? NULL : &payloads->array.items[i]);
    }
    return st;
}

static nx_status guard_upsert(const adding *a)
{
    const nx_json   *v = nx_json_get(a->body, "update_filter");
    const nx_filter *own = NULL;
    nx_status        st = NX_OK;

    if (!nx_json_absent(v)) st = nx_qd_filter(&own, a->c, a->config, v, a->err);
    return st ? st : begin_guard(a, own);
}

static nx_status add_upsert(const adding *a)
{
    const nx_json *points = nx_json_get(a->body, "points"), *batch = nx_json_get(a->body, "batch");
    upsert         u = {.payload.max = NX_PAYLOAD_MAX};
    nx_status      st = read_mode(a, &u.mode);

    if (!st) st = guard_upsert(a);
    if (st) return st;
    if (!nx_json_absent(points))
        st = add_rows(a, &u, points);
    else if (!nx_json_absent(batch))
        st = add_columns(a, &u, batch);
    else
        st = wrong(a, "expected `points` or `batch`, found neither");
    nx_buf_free(&u.payload);
    return st ? st : end_guard(a);
}

/* ---- Changes of points that are chosen by ids or by a filter ---- */

/* of one point: id; of all that a filter chooses: filter */
typedef nx_status (*change_fn)(const adding *a, const void *what, const nx_point_id *id,
                               const nx_filter *filter);

static nx_status change_points(const adding *a, change_fn change, const void *what)
{
    nx_qd_points points;
    nx_status    st = nx_qd_point_selector(&points, a->c, a->config, a->body, a->err);

    if (st) return st;
    if (!points.ids) return change(a, what, NULL, points.filter);
    st = begin_guard(a, NULL);
    for (size_t i = 0; !st && i < points.n_ids; i++) st = change(a, what, &points.ids[i], NULL);
    return st ? st : end_guard(a);
}

static nx_status delete_change(const adding *a, const void *what, const nx_point_id *id,
                               const nx_filter *f)
{
    (void)what;
    return id ? nx_writes_delete(a->b, *id, a->err) : nx_writes_delete_if(a->b, f, a->err);
}

static nx_status add_delete(const adding *a)
{
    return change_points(a, delete_change, NULL);
}

typedef struct payload_change {
    nx_value object;
    nx_str   path; /* "": the top */
} payload_change;

static nx_status read_payload(const adding *a, payload_change *out)
{
    const nx_json *payload = nx_json_get(a->body, "payload"), *key = nx_json_get(a->body, "key");

    *out = (payload_change){.path = NX_STR("")};
    if (!payload) return wrong(a, "missing field `payload`");
    if (payload->type != NX_JSON_OBJECT) return wrong(a, "payload: expected an object");
    if (!nx_json_absent(key)) {
        if (key->type != NX_JSON_STRING) return wrong(a, "key: expected a string");
        out->path = key->text;
    }
    return nx_qd_value(&out->object, a->c, payload, a->err);
}

static nx_status set_change(const adding *a, const void *what, const nx_point_id *id,
                            const nx_filter *f)
{
    const payload_change *p = what;

    if (id) return nx_writes_set_payload(a->b, *id, p->object, p->path, a->err);
    return nx_writes_set_payload_if(a->b, f, p->object, p->path, a->err);
}

static nx_status add_set_payload(const adding *a)
{
    payload_change p;
    nx_status      st = read_payload(a, &p);

    if (!st) st = check_merge(a, p.object, p.path);
    return st ? st : change_points(a, set_change, &p);
}

static nx_status overwrite_change(const adding *a, const void *what, const nx_point_id *id,
                                  const nx_filter *f)
{
    const payload_change *p = what;

    if (id) return nx_writes_overwrite_payload(a->b, *id, p->object, a->err);
    return nx_writes_overwrite_payload_if(a->b, f, p->object, a->err);
}

static nx_status add_overwrite_payload(const adding *a)
{
    payload_change p;
    nx_status      st = read_payload(a, &p);

    if (!st) st = nx_rights_payload(a->c, p.object, a->err);
    return st ? st : change_points(a, overwrite_change, &p);
}

typedef struct removal {
    nx_str *paths; /* [n] */
    size_t  n;
} removal;

static nx_status remove_change(const adding *a, const void *what, const nx_point_id *id,
                               const nx_filter *f)
{
    const removal *x = what;
    nx_status      st = NX_OK;

    if (!id) return nx_writes_remove_payload_if(a->b, f, x->paths, x->n, a->err);
    for (size_t i = 0; !st && i < x->n; i++)
        st = nx_writes_remove_payload(a->b, *id, x->paths[i], a->err);
    return st;
}

static nx_status add_delete_payload(const adding *a)
{
    const nx_json *keys = nx_json_get(a->body, "keys");
    removal        x = {NULL, 0};
    nx_status      st = NX_OK;

    if (!keys || keys->type != NX_JSON_ARRAY) return wrong(a, "missing field `keys`");
    if (keys->array.n) x.paths = nx_arena_alloc(&a->c->kept, keys->array.n, sizeof *x.paths);
    if (keys->array.n && !x.paths) return nx_fail(a->err, NX_ENOMEM, "%zu keys", keys->array.n);
    for (; !st && x.n < keys->array.n; x.n++) {
        const nx_json *key = &keys->array.items[x.n];
        if (key->type != NX_JSON_STRING) return wrong(a, "keys: expected strings");
        x.paths[x.n] = key->text;
        st = check_removal(a, key->text);
    }
    return st || !x.n ? st : change_points(a, remove_change, &x);
}

static nx_status clear_change(const adding *a, const void *what, const nx_point_id *id,
                              const nx_filter *f)
{
    (void)what;
    if (id) return nx_writes_clear_payload(a->b, *id, a->err);
    return nx_writes_clear_payload_if(a->b, f, a->err);
}

static nx_status add_clear_payload(const adding *a)
{
    return nx_rights_tagged(a->c) ? forbid(a) : change_points(a, clear_change, NULL);
}

/* ---- Vectors ---- */

static nx_status add_vectors_of(const adding *a, const nx_json *row)
{
    nx_vector      vectors[NX_SLOTS_MAX];
    nx_point       p = {.vectors = vectors};
    const nx_json *id = nx_json_get(row, "id");
    nx_status      st;

    if (!id) return wrong(a, "missing field `id`");
    st = nx_qd_id(&p.id, id, a->err);
    if (!st)
        st = nx_qd_vectors(vectors, &p.n_vectors, a->c, a->config, nx_json_get(row, "vector"),
                           a->err);
    return st ? st : nx_writes_update_vectors(a->b, &p, a->err);
}

static nx_status add_update_vectors(const adding *a)
{
    const nx_json *points = nx_json_get(a->body, "points");
    nx_status      st;

    if (!points || points->type != NX_JSON_ARRAY) return wrong(a, "missing field `points`");
    st = guard_upsert(a);
    for (size_t i = 0; !st && i < points->array.n; i++)
        st = add_vectors_of(a, &points->array.items[i]);
    return st ? st : end_guard(a);
}

static nx_status lose_vectors(const adding *a, const void *what, const nx_point_id *id,
                              const nx_filter *f)
{
    uint64_t  slots = *(const uint64_t *)what;
    nx_vector gone[NX_SLOTS_MAX];
    nx_point  p = {.vectors = gone};

    if (!id) return nx_writes_delete_vectors_if(a->b, f, slots, a->err);
    p.id = *id;
    for (int32_t i = 0; i < a->config->n_slots; i++)
        if (slots >> i & 1) gone[p.n_vectors++] = (nx_vector){.slot = i, .form = NX_FORM_GONE};
    return nx_writes_update_vectors(a->b, &p, a->err);
}

static nx_status add_delete_vectors(const adding *a)
{
    const nx_json *names = nx_json_get(a->body, "vector");
    uint64_t       slots = 0;
    nx_status      st = NX_OK;

    if (!names) names = nx_json_get(a->body, "vectors");
    if (!names || names->type != NX_JSON_ARRAY) return wrong(a, "missing field `vector`");
    for (size_t i = 0; !st && i < names->array.n; i++) {
        int32_t slot = 0;
        st = nx_qd_slot(&slot, a->config, &names->array.items[i], a->err);
        if (!st) slots |= (uint64_t)1 << slot;
    }
    return st ? st : change_points(a, lose_vectors, &slots);
}

/* ---- The table ---- */

static const struct {
    const char *name;
    bool        wants_points;
    nx_status (*add)(const adding *a);
} ops[NX_POINT_OPS] = {
    [NX_POINT_OP_UPSERT] = {"upsert", false, add_upsert},
    [NX_POINT_OP_DELETE] = {"delete", false, add_delete},
    [NX_POINT_OP_SET_PAYLOAD] = {"set_payload", true, add_set_payload},
    [NX_POINT_OP_OVERWRITE_PAYLOAD] = {"overwrite_payload", true, add_overwrite_payload},
    [NX_POINT_OP_DELETE_PAYLOAD] = {"delete_payload", true, add_delete_payload},
    [NX_POINT_OP_CLEAR_PAYLOAD] = {"clear_payload", true, add_clear_payload},
    [NX_POINT_OP_UPDATE_VECTORS] = {"update_vectors", true, add_update_vectors},
    [NX_POINT_OP_DELETE_VECTORS] = {"delete_vectors", true, add_delete_vectors},
};

const char *nx_point_op_name(nx_point_op_kind kind)
{
    return ops[kind].name;
}

bool nx_point_op_wants_points(nx_point_op_kind kind)
{
    return ops[kind].wants_points;
}

nx_status nx_point_op_add(nx_writes *b, nx_call *c, const nx_config *config, nx_point_op_kind kind,
                          const nx_json *body, nx_error *err)
{
    const adding a = {b, c, config, body, err};

    return ops[kind].add(&a);
}
