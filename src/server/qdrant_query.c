/* qdrant_query.c - the body of a query becomes a plan: its levels, their kinds, limits and parameters. */
#include "server/qdrant_query.h"

#include <math.h>
#include <string.h>

#include "os/random.h"

static nx_status read_level(nx_qd_query *q, nx_plan *p, const nx_json *body, int depth);

/* ---- Numbers ---- */

/* A count in a body that no table of fields has checked. min 0 or 1. */
static nx_status read_count(nx_qd_query *q, uint64_t *out, const nx_json *v, const char *name,
                            uint64_t preset, uint64_t min)
{
    *out = preset;
    if (nx_json_absent(v)) return NX_OK;
    if (v->type == NX_JSON_UINT)
        *out = v->u;
    else if (v->type == NX_JSON_INT && v->i >= 0)
        *out = (uint64_t)v->i;
    else if (v->type == NX_JSON_INT)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_FORMAT "%s: invalid value: integer `%lld`, expected usize", name,
                       (long long)v->i);
    else
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "%s: invalid type: %s, expected usize", name,
                       nx_json_type_name(v));
    if (*out < min)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_RANGE "[%s: value %llu invalid, must be %llu or larger]", name,
                       (unsigned long long)*out, (unsigned long long)min);
    return NX_OK;
}

static nx_status read_threshold(nx_qd_query *q, nx_plan *p, const nx_json *v)
{
    double x;

    if (nx_json_absent(v)) return NX_OK;
    if (!nx_json_number(v, &x) || !isfinite((float)x))
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "score_threshold: expected f32, found %s",
                       nx_json_type_name(v));
    p->has_threshold = true;
    p->threshold = (float)x;
    return NX_OK;
}

static nx_status read_flag(nx_qd_query *q, bool *out, const nx_json *in, const char *name)
{
    const nx_json *v = nx_json_get(in, name);

    *out = false;
    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_BOOL)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_FORMAT "params.%s: invalid type: %s, expected a boolean", name,
                       nx_json_type_name(v));
    *out = v->boolean;
    return NX_OK;
}

static bool is_object(const nx_json *v)
{
    return nx_json_absent(v) || v->type == NX_JSON_OBJECT;
}

/* Every scan here is exact; what is asked of codes and of graphs is checked, and minded where it says
 * something. */
static nx_status read_params(nx_qd_query *q, nx_plan *p, const nx_json *v)
{
    const nx_json *codes = nx_json_get(v, "quantization"), *acorn = nx_json_get(v, "acorn");
    const nx_json *over = nx_json_get(codes, "oversampling");
    bool           exact = false, indexed, ignore = false, rescore, enable = false;
    double         x = 0;
    uint64_t       ef;
    nx_status      st;

    if (nx_json_absent(v)) return NX_OK;
    if (!is_object(v) || !is_object(codes) || !is_object(acorn))
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "params: expected an object");
    st = read_count(q, &ef, nx_json_get(v, "hnsw_ef"), "params.hnsw_ef", 0, 0);
    if (!st) st = read_flag(q, &exact, v, "exact");
    if (!st) st = read_flag(q, &indexed, v, "indexed_only");
    if (!st) st = read_flag(q, &ignore, codes, "ignore");
    if (!st) st = read_flag(q, &rescore, codes, "rescore");
    if (!st) st = read_flag(q, &enable, acorn, "enable");
    if (st) return st;
    if (enable) return nx_fail(q->err, NX_EUNSUPPORTED, "not supported: acorn");
    if (!nx_json_absent(over) && (!nx_json_number(over, &x) || !(x >= 1) || !isfinite((float)x)))
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_RANGE "[params.quantization.oversampling: must be 1.0 or larger]");
    p->ignore_codes = exact || ignore;
    p->oversampling = (float)x;
    return NX_OK;
}

/* ---- Kinds ---- */

static nx_status unsupported(nx_qd_query *q, const char *what)
{
    return nx_fail(q->err, NX_EUNSUPPORTED, "not supported: %s", what);
}

/* A query about vectors: those of `using`, examples looked up there or where lookup_from says. */
static nx_status read_vectors(nx_qd_query *q, nx_plan *p, const nx_json *body, const nx_json *v,
                              bool recommend)
{
    nx_qd_lookup from = {0};
    int32_t      slot;
    nx_status    st = nx_qd_slot(&slot, q->config, nx_json_get(body, "using"), q->err);

    if (st) return st;
    st = nx_qd_lookup_open(&from, q, nx_json_get(body, "lookup_from"), slot);
    if (!st && recommend) st = nx_qd_recommend(p, q, &from, slot, v);
    if (!st && !recommend) {
        p->kind = NX_PLAN_NEAREST;
        st = nx_qd_example(&p->target, q, &from, slot, v);
    }
    nx_qd_lookup_close(&from);
    return st;
}

static nx_status read_nearest(nx_qd_query *q, nx_plan *p, const nx_json *body, const nx_json *query)
{
    if (!nx_json_absent(nx_json_get(query, "mmr"))) return unsupported(q, "mmr");
    return read_vectors(q, p, body, nx_json_get(query, "nearest"), false);
}

const nx_index_spec *nx_qd_index(const nx_settings *settings, nx_str key, bool ranges)
{
    const nx_index_spec *i = nx_settings_index(settings, key);

    if (!i) return NULL;
    switch (i->kind) {
    case NX_INDEX_INTEGER: return (ranges ? i->range : i->lookup) ? i : NULL;
    case NX_INDEX_FLOAT:
    case NX_INDEX_DATETIME: return ranges ? i : NULL;
    case NX_INDEX_KEYWORD:
    case NX_INDEX_BOOL:
    case NX_INDEX_UUID: return ranges ? NULL : i;
    case NX_INDEX_GEO:
    case NX_INDEX_TEXT: break;
    }
    return NULL;
}

/* An index knows values of its own kind alone. */
static nx_order_of order_of(const nx_index_spec *index)
{
    return index->kind == NX_INDEX_INTEGER ? NX_ORDER_OF_INTEGERS
           : index->kind == NX_INDEX_FLOAT ? NX_ORDER_OF_NUMBERS
                                           : NX_ORDER_OF_TIMES;
}

static nx_status read_start(nx_qd_query *q, nx_order_value *out, const nx_json *v)
{
    *out = (nx_order_value){0};
    if (v->type == NX_JSON_INT) {
        out->i = v->i;
        return NX_OK;
    }
    if (v->type == NX_JSON_STRING && nx_time_parse(&out->i, v->text)) return NX_OK;
    out->is_float = true;
    if (v->type != NX_JSON_STRING && nx_json_number(v, &out->f) && isfinite(out->f)) return NX_OK;
    return nx_fail(q->err, NX_EINVAL,
                   NX_QD_FORMAT "order_by.start_from: expected a number or a date and time");
}

/* "key", or {"key", "direction", "start_from"}. */
static nx_status read_order(nx_qd_query *q, nx_plan *p, const nx_json *v)
{
    const nx_json *key = v->type == NX_JSON_STRING ? v : nx_json_get(v, "key");
    const nx_json *direction = nx_json_get(v, "direction"), *start = nx_json_get(v, "start_from");
    nx_status      st;

    p->kind = NX_PLAN_ORDER;
    if (nx_json_absent(key) || key->type != NX_JSON_STRING)
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "order_by: missing field `key`, a string");
    st = nx_path_parse(&p->order.path, key->text, q->err);
    if (st) return nx_fail_prefix(q->err, st, NX_QD_FORMAT "order_by.key");
    p->order.descending = nx_json_is(direction, "desc");
    if (!nx_json_absent(direction) && !p->order.descending && !nx_json_is(direction, "asc"))
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_FORMAT
                       "order_by.direction: unknown variant, expected `asc` or `desc`");
    const nx_index_spec *index = nx_qd_index(q->settings, key->text, true);
    if (!index)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_WRONG
                       "No range index for `order_by` key: `%.*s`. Please create one to "
                       "use `order_by`. Check "
                       "https://qdrant.tech/documentation/concepts/indexing/"
                       "#payload-index to see which payload schemas support Range "
                       "conditions",
                       nx_qd_shown(key->text), key->text.p);
    p->order.of = order_of(index);
    p->order.has_start = !nx_json_absent(start);
    return p->order.has_start ? read_start(q, &p->order.start, start) : NX_OK;
}

static nx_status check_fusion(nx_qd_query *q, const nx_plan *p, const nx_json *body)
{
    const nx_json *using = nx_json_get(body, "using");

    if (p->n_sources == 0)
        return nx_fail(q->err, NX_EINVAL, "Bad request: cannot apply Fusion without prefetches");
    if (!nx_json_absent(using) && !nx_json_is(using, ""))
        return nx_fail(q->err, NX_EINVAL,
                       "Bad request: Fusion queries cannot be combined with the 'using' field.");
    return NX_OK;
}

static nx_status read_fusion(nx_qd_query *q, nx_plan *p, const nx_json *body, const nx_json *v)
{
    if (!nx_json_is(v, "rrf") && !nx_json_is(v, "dbsf"))
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_FORMAT "fusion: unknown variant, expected `rrf` or `dbsf`");
    p->kind = nx_json_is(v, "rrf") ? NX_PLAN_RRF : NX_PLAN_DBSF;
    return check_fusion(q, p, body);
}

static nx_status read_weights(nx_qd_query *q, nx_plan *p, const nx_json *list)
{
    float *weights;

    if (list->type != NX_JSON_ARRAY)
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "rrf.weights: expected an array");
    if (list->array.n != (size_t)p->n_sources)
        return nx_fail(q->err, NX_EINVAL,
                       "Bad request: the number of RRF weights (%zu) must match the number of "
                       "prefetches (%d)",
                       list->array.n, p->n_sources);
    weights = nx_arena_alloc(&q->c->kept, list->array.n, sizeof *weights);
    if (!weights) return nx_fail(q->err, NX_ENOMEM, "%zu weights", list->array.n);
    for (size_t i = 0; i < list->array.n; i++) {
        double x;
        if (!nx_json_number(&list->array.items[i], &x) || !isfinite((float)x) || x < 0)
            return nx_fail(q->err, NX_EINVAL,
                           NX_QD_RANGE "[rrf.weights[%zu]: must be a number of at least 0]", i);
        weights[i] = (float)x;
    }
    p->rrf.weights = weights;
    return NX_OK;
}

static nx_status read_rrf(nx_qd_query *q, nx_plan *p, const nx_json *body, const nx_json *v)
{
    const nx_json *weights = nx_json_get(v, "weights");
    uint64_t       k;
    nx_status      st;

    if (v->type != NX_JSON_OBJECT)
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "rrf: expected an object");
    p->kind = NX_PLAN_RRF;
    st = check_fusion(q, p, body);
    if (!st) st = read_count(q, &k, nx_json_get(v, "k"), "rrf.k", NX_RRF_K, 1);
    if (st) return st;
    p->rrf.k = (uint32_t)(k < UINT32_MAX ? k : UINT32_MAX);
    return nx_json_absent(weights) ? NX_OK : read_weights(q, p, weights);
}

static nx_status read_sample(nx_qd_query *q, nx_plan *p, const nx_json *v)
{
    if (!nx_json_is(v, "random"))
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_FORMAT "sample: unknown variant, expected `random`");
    p->kind = NX_PLAN_SAMPLE;
    p->seed = nx_random_seed();
    if (p->n_sources == 0) p->offset = 0; /* as the server has it: another page is as random */
    return NX_OK;
}

static bool has(const nx_json *v, const char *key)
{
    return !nx_json_absent(nx_json_get(v, key));
}

static bool is_vector(const nx_json *v)
{
    return v->type != NX_JSON_OBJECT || has(v, "indices") || has(v, "text") || has(v, "image") ||
           has(v, "object");
}

static nx_status read_query(nx_qd_query *q, nx_plan *p, const nx_json *body, const nx_json *v)
{
    static const char *const later[] = {"discover", "context", "formula", "relevance_feedback"};

    if (is_vector(v)) return read_vectors(q, p, body, v, false);
    if (has(v, "nearest")) return read_nearest(q, p, body, v);
    if (has(v, "recommend")) return read_vectors(q, p, body, nx_json_get(v, "recommend"), true);
    if (has(v, "order_by")) return read_order(q, p, nx_json_get(v, "order_by"));
    if (has(v, "fusion")) return read_fusion(q, p, body, nx_json_get(v, "fusion"));
    if (has(v, "rrf")) return read_rrf(q, p, body, nx_json_get(v, "rrf"));
    if (has(v, "sample")) return read_sample(q, p, nx_json_get(v, "sample"));
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (has(v, later[i])) return unsupported(q, later[i]);
    return nx_fail(q->err, NX_EINVAL,
                   NX_QD_FORMAT "data did not match any variant of untagged enum QueryInterface");
}

/* ---- Levels ---- */

static nx_status read_prefetches(nx_qd_query *q, nx_plan *p, const nx_json *v, int depth)
{
    bool           many = !nx_json_absent(v) && v->type == NX_JSON_ARRAY;
    const nx_json *items = many ? v->array.items : v;
    size_t         n = many ? v->array.n : !nx_json_absent(v);
    nx_status      st = NX_OK;
    nx_plan       *sources;

    if (n == 0) return NX_OK;
    if (depth >= NX_PLAN_DEPTH_MAX)
        return nx_fail(q->err, NX_EINVAL, NX_QD_WRONG "prefetches nest more than %d deep",
                       NX_PLAN_DEPTH_MAX);
    q->n_plans += n < NX_QD_PLANS_MAX ? (int32_t)n : NX_QD_PLANS_MAX;
    if (n > NX_PLAN_SOURCES_MAX || q->n_plans > NX_QD_PLANS_MAX)
        return nx_fail(q->err, NX_EINVAL,
                       NX_QD_WRONG "more than %d prefetches of one query, or %d in all",
                       NX_PLAN_SOURCES_MAX, NX_QD_PLANS_MAX);
    sources = nx_arena_alloc(&q->c->kept, n, sizeof *sources);
    if (!sources) return nx_fail(q->err, NX_ENOMEM, "%zu prefetches", n);
    for (size_t i = 0; !st && i < n; i++) st = read_level(q, &sources[i], &items[i], depth + 1);
    p->sources = sources;
    p->n_sources = (int32_t)n;
    return st;
}

static nx_status check_level(nx_qd_query *q, const nx_plan *p, const nx_json *query)
{
    if (p->n_sources > 0 && nx_json_absent(query))
        return nx_fail(q->err, NX_EINVAL,
                       "Bad request: A query is needed to merge the prefetches. Can't have "
                       "prefetches without defining a query.");
    if (p->has_threshold && nx_json_absent(query))
        return nx_fail(q->err, NX_EINVAL,
                       "Bad request: A query is needed to use the score_threshold. Can't have "
                       "score_threshold without defining a query.");
    if (p->has_threshold && has(query, "order_by"))
        return nx_fail(q->err, NX_EINVAL,
                       "Bad request: Can't use score_threshold with an order_by query.");
    return NX_OK;
}

static nx_status read_level(nx_qd_query *q, nx_plan *p, const nx_json *body, int depth)
{
    const nx_json *query = nx_json_get(body, "query"), *filter = nx_json_get(body, "filter");
    nx_status      st;

    if (body->type != NX_JSON_OBJECT)
        return nx_fail(q->err, NX_EINVAL, NX_QD_FORMAT "prefetch: expected an object, found %s",
                       nx_json_type_name(body));
    *p = (nx_plan){.kind = NX_PLAN_IDS};
    st = read_count(q, &p->limit, nx_json_get(body, "limit"), "limit", NX_QD_LIMIT_DEFAULT, 1);
    if (!st && depth > 1)
        p->limit = p->limit > UINT64_MAX / q->group_size ? UINT64_MAX : p->limit * q->group_size;
    if (!st && depth == 1)
        st = read_count(q, &p->offset, nx_json_get(body, "offset"), "offset", 0, 0);
    if (!st) st = read_threshold(q, p, nx_json_get(body, "score_threshold"));
    if (!st) st = read_params(q, p, nx_json_get(body, "params"));
    if (!st) st = read_prefetches(q, p, nx_json_get(body, "prefetch"), depth);
    if (!st && !nx_json_absent(filter))
        st = nx_qd_filter(&p->filter, q->c, q->config, filter, q->err);
    if (!st) st = check_level(q, p, query);
    return st || nx_json_absent(query) ? st : read_query(q, p, body, query);
}

/* ---- The whole ---- */

/* The points that the query itself names, at any of its levels, are no answer to it. */
static nx_status leave_out(nx_qd_query *q, nx_plan *p)
{
    nx_condition *c;
    nx_filter    *f;

    if (q->n_ids == 0) return NX_OK;
    c = nx_arena_alloc(&q->c->kept, 2, sizeof *c);
    f = nx_arena_alloc(&q->c->kept, 1, sizeof *f);
    if (!c || !f) return nx_fail(q->err, NX_ENOMEM, "a filter");
    c[0] = (nx_condition){.kind = NX_COND_ID, .ids = q->ids, .n_ids = q->n_ids};
    c[1] = (nx_condition){.kind = NX_COND_FILTER, .filter = p->filter};
    *f =
        (nx_filter){.must_not = &c[0], .n_must_not = 1, .must = &c[1], .n_must = p->filter != NULL};
    p->filter = f;
    return NX_OK;
}

static nx_status make_plan(nx_plan *out, nx_call *c, nx_collection *coll, nx_snapshot *s,
                           const nx_json *body, uint64_t group_size, nx_error *err)
{
    nx_qd_query q = {.c = c,
                     .coll = coll,
                     .config = nx_collection_config(coll),
                     .s = s,
                     .settings = nx_collection_settings(coll),
                     .group_size = group_size,
                     .err = err};
    nx_status   st = nx_rights_filter(c, NULL, &q.tags, err);

    if (!st) st = read_level(&q, out, body, 1);
    if (!st && !out->filter) out->filter = q.tags; /* else they are in it */
    if (!st) st = leave_out(&q, out);
    nx_settings_release(q.settings);
    return st;
}

nx_status nx_qd_plan(nx_plan *out, nx_call *c, nx_collection *coll, nx_snapshot *s,
                     const nx_json *body, nx_error *err)
{
    return make_plan(out, c, coll, s, body, 1, err);
}

nx_status nx_qd_plan_of_groups(nx_plan *out, nx_call *c, nx_collection *coll, nx_snapshot *s,
                               const nx_json *body, uint64_t group_size, nx_error *err)
{
    return make_plan(out, c, coll, s, body, group_size, err);
}

/* ---- Bodies of older clients ---- */

static const char *const kept_as_is[] = {"filter",      "params",       "limit",
                                         "offset",      "with_payload", "with_vector",
                                         "lookup_from", "using",        "score_threshold"};
enum { N_KEPT = sizeof kept_as_is / sizeof *kept_as_is };

static void add_member(nx_json *object, nx_json_member *room, const char *key, const nx_json *v)
{
    if (nx_json_absent(v)) return;
    room[object->object.n++] = (nx_json_member){nx_str_of(key), *v};
    object->object.members = room;
}

/* Room for an object of so many members, from what stays. */
static nx_json *new_object(nx_call *c, nx_json_member **room, size_t n)
{
    nx_json *v = nx_arena_alloc(&c->kept, 1, sizeof *v);

    *room = nx_arena_alloc(&c->kept, n, sizeof **room);
    if (!v || !*room) return NULL;
    v->type = NX_JSON_OBJECT;
    return v;
}

static nx_json *with_kept(nx_call *c, nx_json_member **room, const nx_json *body)
{
    nx_json *v = new_object(c, room, N_KEPT + 2);

    for (size_t i = 0; v && i < N_KEPT; i++)
        add_member(v, *room, kept_as_is[i], nx_json_get(body, kept_as_is[i]));
    return v;
}

/* "vector": [...], or {"name", "vector"}. */
const nx_json *nx_qd_body_of_search(nx_call *c, const nx_json *body)
{
    const nx_json  *vector = nx_json_get(body, "vector"), *name = nx_json_get(vector, "name");
    nx_json_member *room, *inner;
    nx_json        *v = with_kept(c, &room, body), *nearest = new_object(c, &inner, 1);

    if (!v || !nearest) return NULL;
    if (name) vector = nx_json_get(vector, "vector");
    add_member(nearest, inner, "nearest", vector);
    add_member(v, room, "query", nearest);
    add_member(v, room, "using", name);
    return v;
}

const nx_json *nx_qd_body_of_recommend(nx_call *c, const nx_json *body)
{
    nx_json_member *room, *outer, *inner;
    nx_json        *v = with_kept(c, &room, body), *recommend = new_object(c, &outer, 1);
    nx_json        *input = new_object(c, &inner, 3);

    if (!v || !recommend || !input) return NULL;
    add_member(input, inner, "positive", nx_json_get(body, "positive"));
    add_member(input, inner, "negative", nx_json_get(body, "negative"));
    add_member(input, inner, "strategy", nx_json_get(body, "strategy"));
    add_member(recommend, outer, "recommend", input);
    add_member(v, room, "query", recommend);
    return v;
}
