/* handle_query.c - the routes that ask: query, search, recommend, alone, many at once, in groups; facets.
 *
 * Idea:    older routes say what a query says; their bodies are turned into one, and all go one way.
 * Thread:  the store's desk.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "os/clock.h"

#include "server/handlers.h"
#include "server/qdrant_query.h"
#include "server/server_in.h"

/* One call's work: a collection as it is now. */
typedef struct asking {
    nx_call         *c;
    nx_collection   *coll;
    const nx_config *config;
    nx_snapshot     *s;
    nx_error         err;
} asking;

typedef enum family { QUERY, SEARCH, RECOMMEND } family;

/* Go on with a body as a query says it. */
static const nx_json *as_query(asking *a, family f, const nx_json *body)
{
    const nx_json *v = f == SEARCH      ? nx_qd_body_of_search(a->c, body)
                       : f == RECOMMEND ? nx_qd_body_of_recommend(a->c, body)
                                        : body;

    if (!v) nx_fail(&a->err, NX_ENOMEM, "a query");
    return v;
}

/* ---- Running plans ---- */

static void note_search(asking *a, int64_t begun)
{
    nx_metrics_store_worked(a->c->server->metrics, NX_METRICS_STORE_SEARCH,
                            (double)(nx_clock_ns() - begun) * 1e-9);
}

static nx_status run_plan(asking *a, const nx_plan *plan, nx_results *r)
{
    nx_vault *vault = &a->c->server->vault;
    int64_t   begun = nx_clock_ns();
    nx_pool  *pool = nx_vault_take_pool(vault);
    nx_status st = nx_plan_run(a->s, plan, r, pool, &a->err);

    nx_vault_give_pool(vault, pool);
    note_search(a, begun);
    return st;
}

static nx_status run_groups(asking *a, const nx_plan *plan, nx_groups *g)
{
    const nx_fields *f = a->c->route->request;
    const nx_json   *body = a->c->body;
    nx_vault        *vault = &a->c->server->vault;
    int64_t          begun = nx_clock_ns();
    nx_pool         *pool;
    nx_path          path;
    nx_status        st = nx_path_parse(&path, nx_field_string(f, body, "group_by"), &a->err);

    if (st) return st;
    pool = nx_vault_take_pool(vault);
    st = nx_plan_run_groups(a->s, plan, &path, (uint64_t)nx_field_int(f, body, "limit"),
                            (uint64_t)nx_field_int(f, body, "group_size"), g, pool, &a->err);
    nx_vault_give_pool(vault, pool);
    note_search(a, begun);
    return st;
}

/* ---- Points ---- */

static bool is_scored(const nx_plan *p)
{
    return p->kind != NX_PLAN_IDS && p->kind != NX_PLAN_ORDER && p->kind != NX_PLAN_SAMPLE;
}

/* What has no score of its own has 1, and version 0, as Qdrant answers it. */
static nx_status write_hit(asking *a, nx_jw *w, const nx_plan *plan, const nx_plan_hit *hit,
                           const nx_qd_selector *sel, nx_point_copy *p)
{
    bool      scored = is_scored(plan);
    nx_status st = nx_snapshot_get(a->s, p, hit->id, &a->err);

    if (st) return st;
    nx_jw_open(w, NULL, '{');
    nx_qd_write_id(w, "id", hit->id);
    nx_jw_u64(w, "version", scored ? p->point.version : 0);
    nx_jw_float(w, "score", scored ? hit->score : 1.0f);
    st = nx_qd_write_parts(w, &p->point, a->config, sel, &a->err);
    if (hit->has_order && hit->order.is_float) nx_jw_double(w, "order_value", hit->order.f);
    if (hit->has_order && !hit->order.is_float) nx_jw_int(w, "order_value", hit->order.i);
    nx_jw_close(w, '}');
    return st;
}

static nx_status write_hits(asking *a, nx_jw *w, const char *key, const nx_plan *plan,
                            const nx_plan_hit *hits, size_t n, const nx_qd_selector *sel)
{
    nx_point_copy p = {0};
    nx_status     st = NX_OK;

    nx_jw_open(w, key, '[');
    for (size_t i = 0; !st && i < n; i++) st = write_hit(a, w, plan, &hits[i], sel, &p);
    nx_jw_close(w, ']');
    nx_point_copy_free(&p);
    return st;
}

static nx_status select_parts(asking *a, nx_qd_selector *sel, const nx_json *body)
{
    return nx_qd_select(sel, a->c, a->config, nx_json_get(body, "with_payload"),
                        nx_json_get(body, "with_vector"), &a->err);
}

/* One query, its answer under key: {"points": [...]}, of older routes the list itself. */
static nx_status answer_one(asking *a, nx_jw *w, const char *key, family f, const nx_json *body)
{
    const nx_json *query = as_query(a, f, body);
    nx_results     r = {0};
    nx_qd_selector sel;
    nx_plan        plan;
    nx_status      st;

    if (!query) return a->err.status;
    st = select_parts(a, &sel, query);
    if (!st) st = nx_qd_plan(&plan, a->c, a->coll, a->s, query, &a->err);
    if (!st) st = run_plan(a, &plan, &r);
    if (!st && f == QUERY) nx_jw_open(w, key, '{');
    if (!st) st = write_hits(a, w, f == QUERY ? "points" : key, &plan, r.hits, r.n, &sel);
    if (f == QUERY) nx_jw_close(w, '}');
    nx_results_free(&r);
    return st;
}

static nx_status answer_many(asking *a, nx_jw *w, family f)
{
    const nx_json *list = nx_json_get(a->c->body, "searches");
    nx_status      st = NX_OK;

    nx_jw_open(w, NX_QD_RESULT, '[');
    for (size_t i = 0; !st && i < list->array.n; i++) {
        if (nx_exchange_is_gone(a->c->x)) return nx_fail(&a->err, NX_EBUSY, "the client left");
        st = answer_one(a, w, NULL, f, &list->array.items[i]);
    }
    nx_jw_close(w, ']');
    return st;
}

/* ---- Groups ---- */

/* with_lookup: a point of another collection for each group, whose id is the group's. */
typedef struct lookup {
    nx_collection   *coll; /* NULL: none is wanted */
    nx_snapshot     *s;
    const nx_filter *tags;
    nx_qd_selector   sel;
} lookup;

static nx_status open_lookup(asking *a, lookup *l, const nx_json *v)
{
    const nx_json *name = nx_json_get(v, "collection"), *payload = nx_json_get(v, "with_payload");
    nx_json        all = {.type = NX_JSON_BOOL, .boolean = true};
    nx_status      st;

    *l = (lookup){0};
    if (nx_json_absent(v)) return NX_OK;
    if (v->type == NX_JSON_STRING) name = v;
    if (nx_json_absent(name) || name->type != NX_JSON_STRING)
        return nx_fail(&a->err, NX_EINVAL,
                       NX_QD_FORMAT "with_lookup: missing field `collection`, a string");
    st = nx_store_find(&l->coll, a->c->server->vault.store, name->text, &a->err);
    if (st) return st;
    if (!nx_rights_allow(a->c, nx_collection_name(l->coll), NX_RIGHT_READ))
        return nx_fail(&a->err, NX_ENOENT, "Not found: Collection `%.*s` doesn't exist!",
                       nx_qd_shown(name->text), name->text.p);
    l->s = nx_snapshot_take(l->coll);
    st = nx_rights_filter(a->c, NULL, &l->tags, &a->err);
    return st ? st
              : nx_qd_select(&l->sel, a->c, nx_collection_config(l->coll),
                             nx_json_absent(payload) ? &all : payload,
                             nx_json_get(v, "with_vectors"), &a->err);
}

static void close_lookup(lookup *l)
{
    if (l->s) nx_snapshot_release(l->s);
    nx_collection_release(l->coll);
}

/* A group whose key is no id, or no point's, has none. */
static nx_status write_lookup(asking *a, nx_jw *w, const lookup *l, nx_value key)
{
    nx_value_kind kind = nx_value_kind_of(key);
    nx_point_copy p = {0};
    nx_point_id   id;

    if (kind == NX_VALUE_INT && nx_value_int(key) >= 0)
        id = nx_id_number((uint64_t)nx_value_int(key));
    else if (kind == NX_VALUE_UINT)
        id = nx_id_number(nx_value_uint(key));
    else if (kind != NX_VALUE_TEXT || nx_id_parse_uuid(&id, nx_value_text(key), NULL))
        return NX_OK;
    nx_status st = nx_snapshot_get(l->s, &p, id, &a->err);
    if (!st && (!l->tags || nx_filter_test(l->tags, id, p.point.payload, 0))) {
        nx_jw_open(w, "lookup", '{');
        nx_qd_write_id(w, "id", id);
        st = nx_qd_write_parts(w, &p.point, nx_collection_config(l->coll), &l->sel, &a->err);
        nx_jw_close(w, '}');
    }
    nx_point_copy_free(&p);
    return st == NX_ENOENT ? NX_OK : st;
}

static nx_status write_groups(asking *a, nx_jw *w, const nx_plan *plan, const nx_groups *g,
                              const nx_qd_selector *sel, const lookup *l)
{
    nx_status st = NX_OK;

    nx_jw_open(w, NX_QD_RESULT, '{');
    nx_jw_open(w, "groups", '[');
    for (size_t i = 0; !st && i < g->n; i++) {
        const nx_group *group = &g->groups[i];
        nx_jw_open(w, NULL, '{');
        nx_qd_write_value(w, "id", group->key);
        st = write_hits(a, w, "hits", plan, g->hits + group->from, group->n, sel);
        if (!st && l->coll) st = write_lookup(a, w, l, group->key);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
    return st;
}

static nx_status answer_groups(asking *a, nx_jw *w, family f)
{
    const nx_json *query = as_query(a, f, a->c->body);
    uint64_t  group_size = (uint64_t)nx_field_int(a->c->route->request, a->c->body, "group_size");
    nx_groups g = {0};
    nx_qd_selector sel;
    nx_plan        plan;
    lookup         l = {0};
    nx_status      st;

    if (!query) return a->err.status;
    st = select_parts(a, &sel, query);
    if (!st) st = open_lookup(a, &l, nx_json_get(a->c->body, "with_lookup"));
    if (!st) st = nx_qd_plan_of_groups(&plan, a->c, a->coll, a->s, query, group_size, &a->err);
    if (!st) st = run_groups(a, &plan, &g);
    if (!st) st = write_groups(a, w, &plan, &g, &sel, &l);
    nx_groups_free(&g);
    close_lookup(&l);
    return st;
}

/* ---- Facets ---- */

static nx_status read_facet_index(asking *a, nx_index_kind *kind, nx_str key)
{
    const nx_settings   *settings = nx_collection_settings(a->coll);
    const nx_index_spec *index = nx_qd_index(settings, key, false);
    bool                 found = index != NULL;

    if (found) *kind = index->kind;
    nx_settings_release(settings);
    if (found) return NX_OK;
    return nx_fail(&a->err, NX_EINVAL,
                   NX_QD_WRONG "No appropriate index for faceting: `%.*s`. Please create one to "
                               "facet on this field. Check "
                               "https://qdrant.tech/documentation/concepts/indexing/#payload-index "
                               "to see which payload schemas support Match conditions",
                   nx_qd_shown(key), key.p);
}

/* What an index of that kind has of the values at its path: others aren't counted. A UUID is written as
 * uuid, one way for all its spellings. */
static bool is_indexed(nx_index_kind kind, nx_value v, nx_point_id *uuid)
{
    nx_value_kind is = nx_value_kind_of(v);

    switch (kind) {
    case NX_INDEX_KEYWORD: return is == NX_VALUE_TEXT;
    case NX_INDEX_INTEGER: return is == NX_VALUE_INT;
    case NX_INDEX_BOOL: return is == NX_VALUE_TRUE || is == NX_VALUE_FALSE;
    case NX_INDEX_UUID:
        return is == NX_VALUE_TEXT && nx_id_parse_uuid(uuid, nx_value_text(v), NULL) == NX_OK;
    default: return false;
    }
}

typedef struct facet {
    nx_value    value;
    nx_point_id uuid; /* of an index of UUIDs */
    uint64_t    count;
    size_t      place; /* among equals */
} facet;

static int by_uuid(const void *a, const void *b)
{
    return nx_id_compare(((const facet *)a)->uuid, ((const facet *)b)->uuid);
}

static int by_count(const void *a, const void *b)
{
    const facet *x = a, *y = b;

    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* One for each UUID, however it is spelled. */
static size_t merge_uuids(facet *f, size_t n)
{
    size_t kept = 0;

    qsort(f, n, sizeof *f, by_uuid);
    for (size_t i = 0; i < n; i++) {
        if (kept && nx_id_compare(f[kept - 1].uuid, f[i].uuid) == 0)
            f[kept - 1].count += f[i].count;
        else
            f[kept++] = f[i];
    }
    for (size_t i = 0; i < kept; i++) f[i].place = i;
    qsort(f, kept, sizeof *f, by_count);
    return kept;
}

static nx_status write_facets(asking *a, nx_jw *w, nx_index_kind kind, const nx_facets *all,
                              uint64_t limit)
{
    facet *f = nx_calloc(all->n ? all->n : 1, sizeof *f);
    size_t n = 0;

    if (!f) return nx_fail(&a->err, NX_ENOMEM, "%zu values", all->n);
    for (size_t i = 0; i < all->n; i++) {
        f[n] = (facet){.value = all->facets[i].value, .count = all->facets[i].count, .place = i};
        n += is_indexed(kind, f[n].value, &f[n].uuid);
    }
    if (kind == NX_INDEX_UUID) n = merge_uuids(f, n);
    nx_jw_open(w, NX_QD_RESULT, '{');
    nx_jw_open(w, "hits", '[');
    for (size_t i = 0; i < n && i < limit; i++) {
        nx_jw_open(w, NULL, '{');
        if (kind == NX_INDEX_UUID)
            nx_qd_write_id(w, "value", f[i].uuid);
        else
            nx_qd_write_value(w, "value", f[i].value);
        nx_jw_u64(w, "count", f[i].count);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
    nx_free(f);
    return NX_OK;
}

static nx_status answer_facet(asking *a, nx_jw *w, family f)
{
    const nx_fields *fields = a->c->route->request;
    const nx_json   *body = a->c->body;
    nx_str           key = nx_field_string(fields, body, "key");
    uint64_t         limit = (uint64_t)nx_field_int(fields, body, "limit");
    const nx_filter *filter;
    nx_index_kind    kind = NX_INDEX_KEYWORD;
    nx_facets        facets = {0};
    nx_path          path;
    nx_status        st = nx_path_parse(&path, key, &a->err);

    (void)f;
    if (!st) st = read_facet_index(a, &kind, key);
    if (!st) st = nx_qd_filter(&filter, a->c, a->config, nx_json_get(body, "filter"), &a->err);
    if (!st) st = nx_snapshot_facets(a->s, &path, filter, UINT64_MAX, &facets, &a->err);
    if (!st) st = write_facets(a, w, kind, &facets, limit);
    nx_facets_free(&facets);
    return st;
}

/* ---- Handlers ---- */

static nx_status answer_body(asking *a, nx_jw *w, family f)
{
    return answer_one(a, w, NX_QD_RESULT, f, a->c->body);
}

static void run(nx_call *c, nx_status (*answer)(asking *a, nx_jw *w, family f), family f)
{
    asking    a = {.c = c, .coll = nx_qd_collection(c, NX_RIGHT_READ)};
    nx_jw     w;
    nx_status st;

    if (!a.coll) return;
    a.config = nx_collection_config(a.coll);
    a.s = nx_snapshot_take(a.coll);
    nx_qd_open(&w);
    st = answer(&a, &w, f);
    nx_snapshot_release(a.s);
    nx_collection_release(a.coll);
    if (!st) {
        nx_qd_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_qd_refuse_error(c, &a.err);
}

#define HANDLER(name, answer, family)                                                              \
    static void do_##name(nx_call *c)                                                              \
    {                                                                                              \
        run(c, answer, family);                                                                    \
    }                                                                                              \
    void nx_handle_qd_##name(nx_call *c)                                                           \
    {                                                                                              \
        nx_qd_start(c, do_##name);                                                                 \
    }

HANDLER(query, answer_body, QUERY)
HANDLER(query_batch, answer_many, QUERY)
HANDLER(query_groups, answer_groups, QUERY)
HANDLER(search, answer_body, SEARCH)
HANDLER(search_batch, answer_many, SEARCH)
HANDLER(search_groups, answer_groups, SEARCH)
HANDLER(recommend, answer_body, RECOMMEND)
HANDLER(recommend_batch, answer_many, RECOMMEND)
HANDLER(recommend_groups, answer_groups, RECOMMEND)
HANDLER(facet, answer_facet, QUERY)

void nx_handle_qd_discover(nx_call *c)
{
    nx_call_refuse(c, 400, NULL, NULL, -1, "not supported: discover");
}

void nx_handle_qd_matrix(nx_call *c)
{
    nx_call_refuse(c, 400, NULL, NULL, -1, "not supported: search/matrix");
}
