/* qdrant_examples.c - the vectors that a query is about: given, looked up by id, or averaged. */
#include <string.h>

#include "server/qdrant_query.h"
#include "server/server_in.h"

/* ---- Where ids are looked up ---- */

/* Whoever may not read the other collection isn't told that it is there. */
static nx_status find_other(nx_collection **out, nx_qd_query *q, nx_str name)
{
    nx_collection *coll = NULL;
    nx_status      st = nx_store_find(&coll, q->c->server->vault.store, name, q->err);

    if (!st && !nx_rights_allow(q->c, nx_collection_name(coll), NX_RIGHT_READ)) {
        nx_collection_release(coll);
        coll = NULL;
        st = nx_fail(q->err, NX_ENOENT, "Not found: Collection `%.*s` doesn't exist!",
                     nx_qd_shown(name), name.p);
    }
    *out = coll;
    return st;
}

nx_status nx_qd_lookup_open(nx_qd_lookup *out, nx_qd_query *q, const nx_json *v, int32_t slot)
{
    const nx_json *vector = nx_json_get(v, "vector");
    nx_str         name;
    nx_status      st = NX_OK;

    *out = (nx_qd_lookup){.s = q->s, .config = q->config, .slot = slot};
    if (nx_json_absent(v)) return NX_OK;
    if (!nx_json_get_string(v, "collection", &name))
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_FORMAT "lookup_from: missing field `collection`, a string");
    st = find_other(&out->coll, q, name);
    if (st) return st;
    if (nx_str_eq(nx_collection_name(out->coll), nx_collection_name(q->coll))) {
        nx_collection_release(out->coll);
        out->coll = NULL;
    } else {
        out->s = nx_snapshot_take(out->coll);
        out->config = nx_collection_config(out->coll);
    }
    if (nx_json_absent(vector)) { /* the same name there */
        nx_json own = {.type = NX_JSON_STRING, .text = q->config->slots[slot].name};
        return nx_qd_slot(&out->slot, out->config, &own, q->err);
    }
    return nx_qd_slot(&out->slot, out->config, vector, q->err);
}

void nx_qd_lookup_close(nx_qd_lookup *l)
{
    if (l->coll) nx_snapshot_release(l->s);
    nx_collection_release(l->coll);
    l->coll = NULL;
}

/* ---- One example ---- */

static nx_status note_id(nx_qd_query *q, nx_point_id id)
{
    if (q->n_ids == q->cap_ids) {
        size_t       cap = q->cap_ids ? 2 * q->cap_ids : 16;
        nx_point_id *ids = nx_arena_alloc(&q->c->kept, cap, sizeof *ids);
        if (!ids) return nx_fail(q->err, NX_ENOMEM, "%zu ids", cap);
        if (q->n_ids) memcpy(ids, q->ids, q->n_ids * sizeof *ids);
        q->ids = ids;
        q->cap_ids = cap;
    }
    q->ids[q->n_ids++] = id;
    return NX_OK;
}

static const nx_vector *vector_of(const nx_point *p, int32_t slot)
{
    for (int32_t i = 0; i < p->n_vectors; i++)
        if (p->vectors[i].slot == slot) return &p->vectors[i];
    return NULL;
}

/* A point's vector for a slot of another collection: it must be of its form and length. */
static nx_status fits(nx_qd_query *q, const nx_vector *v, int32_t dim, int32_t slot)
{
    const nx_slot *s = &q->config->slots[slot];

    if (v->form != s->form)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_WRONG "the vector of lookup_from is of another kind than the one that "
                                   "is searched");
    if (s->form != NX_FORM_SPARSE && dim != s->dim)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_WRONG "Vector dimension error: expected dim: %d, got %d", s->dim, dim);
    return NX_OK;
}

static nx_status copy_vector(nx_qd_query *q, nx_vector *out, const nx_vector *v, int32_t dim,
                             int32_t slot)
{
    size_t n = (size_t)v->n * (size_t)(v->form == NX_FORM_MULTI ? dim : 1);
    float *values = nx_arena_alloc(&q->c->kept, n ? n : 1, sizeof *values);

    if (!values) return nx_fail(q->err, NX_ENOMEM, "a vector of %zu numbers", n);
    if (n) memcpy(values, v->values, n * sizeof *values);
    *out = (nx_vector){.slot = slot, .form = v->form, .n = v->n, .values = values};
    if (v->form != NX_FORM_SPARSE) return NX_OK;
    uint32_t *indices = nx_arena_alloc(&q->c->kept, n ? n : 1, sizeof *indices);
    if (!indices) return nx_fail(q->err, NX_ENOMEM, "a sparse vector of %zu values", n);
    if (n) memcpy(indices, v->indices, n * sizeof *indices);
    out->indices = indices;
    return NX_OK;
}

static nx_status no_point(nx_qd_query *q, nx_point_id id)
{
    char text[NX_ID_TEXT];

    return nx_fail(q->err, NX_ENOENT, "Not found: No point with id %s found",
                   nx_id_write(text, id));
}

/* A point that the key's tags hide isn't there. NX_OK with n = -1: the point lacks the vector. */
static nx_status take_from(nx_qd_query *q, nx_vector *out, const nx_qd_lookup *from, int32_t slot,
                           nx_point_id id, nx_point_copy *p)
{
    int32_t   dim = from->config->slots[from->slot].dim;
    nx_status st = nx_snapshot_get(from->s, p, id, q->err);

    if (st == NX_ENOENT) return no_point(q, id);
    if (st) return st;
    if (q->tags && !nx_filter_test(q->tags, id, p->point.payload, 0)) return no_point(q, id);
    const nx_vector *v = vector_of(&p->point, from->slot);
    *out = (nx_vector){.slot = slot, .n = -1};
    if (!v) return NX_OK;
    st = fits(q, v, dim, slot);
    return st ? st : copy_vector(q, out, v, dim, slot);
}

static nx_status look_up(nx_qd_query *q, nx_vector *out, const nx_qd_lookup *from, int32_t slot,
                         nx_point_id id)
{
    nx_point_copy p = {0};
    nx_status     st = take_from(q, out, from, slot, id, &p);

    nx_point_copy_free(&p);
    return !st && !from->coll ? note_id(q, id) : st;
}

static bool is_id(const nx_json *v)
{
    return v->type == NX_JSON_INT || v->type == NX_JSON_UINT || v->type == NX_JSON_STRING;
}

static nx_status read_one(nx_qd_query *q, nx_vector *out, const nx_qd_lookup *from, int32_t slot,
                          const nx_json *v)
{
    nx_point_id id;

    if (!is_id(v)) return nx_qd_vector(out, q->c, q->config, slot, v, q->err);
    nx_status st = nx_qd_id(&id, v, q->err);
    return st ? st : look_up(q, out, from, slot, id);
}

nx_status nx_qd_example(nx_vector *out, nx_qd_query *q, const nx_qd_lookup *from, int32_t slot,
                        const nx_json *v)
{
    nx_status st = read_one(q, out, from, slot, v);
    nx_str    name = from->config->slots[from->slot].name;

    if (!st && out->n < 0)
        st = nx_fail(q->err, NX_ENOENT, "Not found: Vector with name \"%.*s\" for point",
                     nx_qd_shown(name), name.p);
    return st;
}

/* ---- Averages ---- */

static const float *average_dense(nx_qd_query *q, const nx_vector *pos, int32_t n_pos,
                                  const nx_vector *neg, int32_t n_neg)
{
    int32_t dim = pos[0].n;
    float  *out = nx_arena_alloc(&q->c->kept, (size_t)dim, sizeof *out);

    for (int32_t d = 0; out && d < dim; d++) {
        float p = 0, n = 0;
        for (int32_t i = 0; i < n_pos; i++) p += pos[i].values[d];
        for (int32_t i = 0; i < n_neg; i++) n += neg[i].values[d];
        p /= (float)n_pos;
        out[d] = n_neg ? p + p - n / (float)n_neg : p;
    }
    return out;
}

/* All rows of the positive ones, and those of the negative ones turned round. */
static nx_status join_rows(nx_qd_query *q, nx_vector *out, const nx_vector *pos, int32_t n_pos,
                           const nx_vector *neg, int32_t n_neg)
{
    size_t dim = (size_t)q->config->slots[out->slot].dim, rows = 0, at = 0;

    for (int32_t i = 0; i < n_pos; i++) rows += (size_t)pos[i].n;
    for (int32_t i = 0; i < n_neg; i++) rows += (size_t)neg[i].n;
    if (rows > NX_MULTI_MAX / dim)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_WRONG "the examples have more than %d numbers together", NX_MULTI_MAX);
    float *values = nx_arena_alloc(&q->c->kept, rows * dim, sizeof *values);
    if (!values) return nx_fail(q->err, NX_ENOMEM, "%zu rows", rows);
    for (int32_t i = 0; i < n_pos; at += (size_t)pos[i++].n * dim)
        memcpy(values + at, pos[i].values, (size_t)pos[i].n * dim * sizeof *values);
    for (int32_t i = 0; i < n_neg; i++)
        for (size_t k = 0; k < (size_t)neg[i].n * dim; k++) values[at++] = -neg[i].values[k];
    out->n = (int32_t)rows;
    out->values = values;
    return NX_OK;
}

/* What one more sparse vector makes of a sum: indices ascend in all of them. */
static nx_status add_sparse(nx_qd_query *q, nx_vector *sum, const nx_vector *v, float weight)
{
    size_t    most = (size_t)sum->n + (size_t)v->n;
    uint32_t *indices = nx_arena_alloc(&q->c->kept, most ? most : 1, sizeof *indices);
    float    *values = nx_arena_alloc(&q->c->kept, most ? most : 1, sizeof *values);
    int32_t   a = 0, b = 0, n = 0;

    if (most > NX_SPARSE_MAX)
        return nx_fail(q->err, NX_EINVAL, NX_QD_WRONG "the examples have more than %d values",
                       NX_SPARSE_MAX);
    if (!indices || !values) return nx_fail(q->err, NX_ENOMEM, "%zu values", most);
    while (a < sum->n || b < v->n) {
        bool from_a = a < sum->n && (b == v->n || sum->indices[a] <= v->indices[b]);
        bool from_b = b < v->n && (a == sum->n || v->indices[b] <= sum->indices[a]);
        indices[n] = from_a ? sum->indices[a] : v->indices[b];
        values[n] = (from_a ? sum->values[a] : 0) + (from_b ? weight * v->values[b] : 0);
        a += from_a;
        b += from_b;
        n++;
    }
    sum->indices = indices;
    sum->values = values;
    sum->n = n;
    return NX_OK;
}

static nx_status average_sparse(nx_qd_query *q, nx_vector *out, const nx_vector *pos, int32_t n_pos,
                                const nx_vector *neg, int32_t n_neg)
{
    float     p = (n_neg ? 2.0f : 1.0f) / (float)n_pos;
    nx_status st = NX_OK;

    out->n = 0;
    for (int32_t i = 0; !st && i < n_pos; i++) st = add_sparse(q, out, &pos[i], p);
    for (int32_t i = 0; !st && i < n_neg; i++)
        st = add_sparse(q, out, &neg[i], -1.0f / (float)n_neg);
    return st;
}

/* ---- Recommendation ---- */

static nx_status average(nx_qd_query *q, nx_vector *out, int32_t slot, const nx_vector *pos,
                         int32_t n_pos, const nx_vector *neg, int32_t n_neg)
{
    *out = (nx_vector){.slot = slot, .form = q->config->slots[slot].form};
    if (n_pos == 0)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_WRONG "Validation failed: Positive vectors should not be empty with "
                                   "`average` strategy");
    if (out->form == NX_FORM_SPARSE) return average_sparse(q, out, pos, n_pos, neg, n_neg);
    if (out->form == NX_FORM_MULTI) return join_rows(q, out, pos, n_pos, neg, n_neg);
    out->n = pos[0].n;
    out->values = average_dense(q, pos, n_pos, neg, n_neg);
    return out->values ? NX_OK : nx_fail(q->err, NX_ENOMEM, "an average");
}

/* Points that lack the vector are passed over. */
static nx_status read_examples(nx_qd_query *q, const nx_vector **out, int32_t *n,
                               const nx_qd_lookup *from, int32_t slot, const nx_json *list,
                               const char *name)
{
    nx_vector *v;
    nx_status  st = NX_OK;

    *n = 0;
    *out = NULL;
    if (nx_json_absent(list)) return NX_OK;
    if (list->type != NX_JSON_ARRAY)
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "%s: expected an array, found %s", name,
                       nx_json_type_name(list));
    if (list->array.n > NX_PLAN_EXAMPLES_MAX)
        return nx_fail(q->err, NX_EINVAL, NX_QD_WRONG "%s: more than %d examples", name,
                       NX_PLAN_EXAMPLES_MAX);
    v = nx_arena_alloc(&q->c->kept, list->array.n ? list->array.n : 1, sizeof *v);
    if (!v) return nx_fail(q->err, NX_ENOMEM, "%zu examples", list->array.n);
    for (size_t i = 0; !st && i < list->array.n; i++) {
        st = read_one(q, &v[*n], from, slot, &list->array.items[i]);
        if (!st && v[*n].n >= 0) (*n)++;
    }
    *out = v;
    return st;
}

nx_status nx_qd_recommend(nx_plan *p, nx_qd_query *q, const nx_qd_lookup *from, int32_t slot,
                          const nx_json *v)
{
    const nx_json   *strategy = nx_json_get(v, "strategy");
    const nx_vector *pos, *neg;
    int32_t          n_pos, n_neg;
    nx_status        st;

    if (nx_json_absent(v) || v->type != NX_JSON_OBJECT)
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "recommend: expected an object");
    st = read_examples(q, &pos, &n_pos, from, slot, nx_json_get(v, "positive"), "positive");
    if (!st)
        st = read_examples(q, &neg, &n_neg, from, slot, nx_json_get(v, "negative"), "negative");
    if (st) return st;
    if (nx_json_absent(strategy) || nx_json_is(strategy, "average_vector")) {
        p->kind = NX_PLAN_NEAREST;
        return average(q, &p->target, slot, pos, n_pos, neg, n_neg);
    }
    if (nx_json_is(strategy, "best_score"))
        p->kind = NX_PLAN_BEST;
    else if (nx_json_is(strategy, "sum_scores"))
        p->kind = NX_PLAN_SUM;
    else
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_FORMAT "strategy: unknown variant, expected one of "
                                    "`average_vector`, `best_score`, `sum_scores`");
    if (n_pos + n_neg == 0)
        return nx_fail(q->err, NX_EINVAL,
                       "Bad request: At least one positive or negative vector ID required with "
                       "this strategy");
    p->positive = pos;
    p->n_positive = n_pos;
    p->negative = neg;
    p->n_negative = n_neg;
    return NX_OK;
}
