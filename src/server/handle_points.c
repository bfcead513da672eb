/* handle_points.c - points looked at: by id, one after the other, and how many there are.
 *
 * Thread: the store's desk. Each answer is of one snapshot.
 */
#include <string.h>

#include "base/alloc.h"
#include "server/handlers.h"
#include "server/qdrant.h"
#include "server/server_in.h"

/* A call that reads: what its answer is made of. */
typedef struct reading {
    nx_call         *c;
    nx_collection   *coll;
    const nx_config *config;
    nx_snapshot     *s;
    nx_qd_selector   sel;
    nx_point_copy    point; /* one after the other */
    nx_jw            w;
} reading;

static bool open_reading(reading *r, nx_call *c)
{
    *r = (reading){.c = c, .coll = nx_qd_collection(c, NX_RIGHT_READ)};
    if (!r->coll) return false;
    r->config = nx_collection_config(r->coll);
    r->s = nx_snapshot_take(r->coll);
    nx_qd_open(&r->w);
    return true;
}

/* The answer, or the error. */
static void close_reading(reading *r, nx_status st, const nx_error *err)
{
    nx_point_copy_free(&r->point);
    nx_snapshot_release(r->s);
    if (st) {
        nx_buf_free(&r->w.buf);
        nx_qd_refuse_error(r->c, err);
    } else {
        nx_qd_reply(r->c, 200, &r->w);
    }
    nx_collection_release(r->coll);
}

/* Payloads unless the body says otherwise, and no vectors. */
static nx_status select_parts(reading *r, nx_error *err)
{
    const nx_json *payload = nx_json_get(r->c->body, "with_payload");
    const nx_json *vector = nx_json_get(r->c->body, "with_vector");
    const nx_json  yes = {.type = NX_JSON_BOOL, .boolean = true};

    if (nx_json_absent(vector)) vector = nx_json_get(r->c->body, "with_vectors");
    return nx_qd_select(&r->sel, r->c, r->config, nx_json_absent(payload) ? &yes : payload, vector,
                        err);
}

static uint64_t slots_of(const nx_point *p)
{
    uint64_t slots = 0;

    for (int32_t i = 0; i < p->n_vectors; i++) slots |= (uint64_t)1 << p->vectors[i].slot;
    return slots;
}

/* NX_ENOENT also where the key's tags hide it. */
static nx_status get_point(reading *r, nx_point_id id, const nx_filter *tags, nx_error *err)
{
    nx_status       st = nx_snapshot_get(r->s, &r->point, id, err);
    const nx_point *p = &r->point.point;

    if (st || !tags || nx_filter_test(tags, p->id, p->payload, slots_of(p))) return st;
    return nx_fail(err, NX_ENOENT, "a point of other tags");
}

static nx_status write_point(reading *r, nx_error *err)
{
    return nx_qd_write_record(&r->w, &r->point.point, r->config, &r->sel, err);
}

/* Those of the ids that are there. */
static nx_status write_points(reading *r, const nx_point_id *ids, size_t n, const nx_filter *tags,
                              nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = get_point(r, ids[i], tags, err);
        if (st == NX_ENOENT)
            st = NX_OK;
        else if (!st)
            st = write_point(r, err);
    }
    return st;
}

/* ---- By id ---- */

static nx_status write_by_ids(reading *r, nx_error *err)
{
    nx_point_id     *ids;
    size_t           n;
    const nx_filter *tags;
    nx_status        st = select_parts(r, err);

    if (!st) st = nx_qd_ids(&ids, &n, r->c, nx_json_get(r->c->body, "ids"), err);
    if (!st) st = nx_rights_filter(r->c, NULL, &tags, err);
    if (st) return st;
    nx_jw_open(&r->w, NX_QD_RESULT, '[');
    st = write_points(r, ids, n, tags, err);
    nx_jw_close(&r->w, ']');
    return st;
}

static void get_by_ids(nx_call *c)
{
    reading  r;
    nx_error err;

    if (!open_reading(&r, c)) return;
    close_reading(&r, write_by_ids(&r, &err), &err);
}

void nx_handle_qd_points_get(nx_call *c)
{
    nx_qd_start(c, get_by_ids);
}

static nx_status id_of_path(nx_point_id *out, nx_str text, nx_error *err)
{
    uint64_t n = 0;
    size_t   i = 0;

    for (; i < text.len && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        unsigned d = (unsigned)(text.p[i] - '0');
        if (n > (UINT64_MAX - d) / 10) break;
        n = n * 10 + d;
    }
    *out = nx_id_number(n);
    if (i == text.len || nx_id_parse_uuid(out, text, NULL) == NX_OK) return NX_OK;
    return nx_fail(err, NX_EINVAL, NX_QD_WRONG "Can not recognize \"%.*s\" as point id",
                   (int)(text.len < 100 ? text.len : 100), text.p);
}

static nx_status write_one(reading *r, nx_error *err)
{
    nx_point_id      id;
    char             text[NX_ID_TEXT];
    const nx_filter *tags;
    nx_status        st = id_of_path(&id, r->c->params[1], err);

    r->sel = (nx_qd_selector){
        .payload = true, .slots = r->config->n_slots ? UINT64_MAX >> (64 - r->config->n_slots) : 0};
    if (!st) st = nx_rights_filter(r->c, NULL, &tags, err);
    if (!st) st = get_point(r, id, tags, err);
    if (st == NX_ENOENT)
        return nx_fail(err, st, "Not found: Point with id %s does not exists!",
                       nx_id_write(text, id));
    if (st) return st;
    nx_jw_key(&r->w, NX_STR(NX_QD_RESULT));
    return write_point(r, err);
}

static void get_one(nx_call *c)
{
    reading  r;
    nx_error err;

    if (!open_reading(&r, c)) return;
    close_reading(&r, write_one(&r, &err), &err);
}

void nx_handle_qd_point(nx_call *c)
{
    nx_qd_start(c, get_one);
}

/* ---- One after the other ---- */

static nx_status read_offset(nx_point_id *out, const nx_point_id **from, reading *r, nx_error *err)
{
    const nx_json *v = nx_json_get(r->c->body, "offset");

    *from = NULL;
    if (nx_json_absent(v)) return NX_OK;
    *from = out;
    return nx_qd_id(out, v, err);
}

/* At most one more than is asked for: that one is where the next page begins. */
static nx_status scroll_page(reading *r, nx_point_id **ids, size_t *n, size_t limit, nx_error *err)
{
    nx_point_id        at;
    const nx_point_id *from;
    const nx_filter   *filter;
    nx_status          st = read_offset(&at, &from, r, err);

    *ids = NULL;
    *n = 0;
    if (!st) st = nx_qd_filter(&filter, r->c, r->config, nx_json_get(r->c->body, "filter"), err);
    if (st) return st;
    *ids = nx_calloc(limit + 1, sizeof **ids);
    if (!*ids) return nx_fail(err, NX_ENOMEM, "%zu ids", limit + 1);
    return nx_snapshot_scroll(r->s, *ids, n, limit + 1, from, filter, err);
}

static size_t limit_of(const reading *r)
{
    uint64_t limit = (uint64_t)nx_field_int(r->c->route->request, r->c->body, "limit");
    uint64_t count = nx_snapshot_count(r->s);

    return (size_t)(limit < count ? limit : count);
}

static nx_status scroll_by_id(reading *r, nx_error *err)
{
    nx_point_id *ids;
    size_t       n, limit = limit_of(r);
    nx_status    st = scroll_page(r, &ids, &n, limit, err);

    nx_jw_open(&r->w, "points", '[');
    if (!st) st = write_points(r, ids, n < limit ? n : limit, NULL, err);
    nx_jw_close(&r->w, ']');
    if (!st && n > limit)
        nx_qd_write_id(&r->w, "next_page_offset", ids[limit]);
    else
        nx_jw_null(&r->w, "next_page_offset");
    nx_free(ids);
    return st;
}

/* ---- In the order of a number or time ---- */

/* {"query": {"order_by": ...}, "filter", "limit"}: what a query would say. NULL: no memory. */
static const nx_json *query_of_order(reading *r, const nx_json *order)
{
    const nx_json  *filter = nx_json_get(r->c->body, "filter");
    nx_json_member *m = nx_arena_alloc(&r->c->kept, 4, sizeof *m);
    nx_json        *body = nx_arena_alloc(&r->c->kept, 1, sizeof *body);

    if (!m || !body) return NULL;
    m[0] = (nx_json_member){.key = NX_STR("order_by"), .value = *order};
    m[1].key = NX_STR("query");
    m[1].value.type = NX_JSON_OBJECT;
    m[1].value.object.members = m;
    m[1].value.object.n = 1;
    /* As it is: a point with several values stands there several times. */
    m[2] =
        (nx_json_member){.key = NX_STR("limit"),
                         .value = {.type = NX_JSON_INT,
                                   .i = nx_field_int(r->c->route->request, r->c->body, "limit")}};
    m[3].key = NX_STR("filter");
    if (filter) m[3].value = *filter;
    body->type = NX_JSON_OBJECT;
    body->object.members = m + 1;
    body->object.n = filter ? 3 : 2;
    return body;
}

static nx_status write_ordered(reading *r, const nx_plan_hit *h, nx_error *err)
{
    nx_status st = nx_snapshot_get(r->s, &r->point, h->id, err);

    if (st) return st;
    nx_jw_open(&r->w, NULL, '{');
    nx_qd_write_id(&r->w, "id", h->id);
    st = nx_qd_write_parts(&r->w, &r->point.point, r->config, &r->sel, err);
    if (h->has_order && h->order.is_float)
        nx_jw_double(&r->w, "order_value", h->order.f);
    else if (h->has_order)
        nx_jw_int(&r->w, "order_value", h->order.i);
    nx_jw_close(&r->w, '}');
    return st;
}

/* Pages are the caller's to make, by start_from and a filter: so there is no offset. */
static nx_status scroll_by_order(reading *r, const nx_json *order, nx_error *err)
{
    const nx_json *body = query_of_order(r, order);
    nx_results     found = {0};
    nx_plan        plan;
    nx_status      st;

    if (!nx_json_absent(nx_json_get(r->c->body, "offset")))
        return nx_fail(err, NX_EINVAL,
                       NX_QD_WRONG "Cannot use an `offset` when using `order_by`. The alternative "
                                   "for paging is to use `order_by.start_from` and a filter to "
                                   "exclude the IDs that you've already seen for the "
                                   "`order_by.start_from` value");
    if (!body) return nx_fail(err, NX_ENOMEM, "a query");
    if (nx_snapshot_count(r->s) > 0) {
        st = nx_qd_plan(&plan, r->c, r->coll, r->s, body, err);
        if (!st) st = nx_qd_run(r->c, r->s, &plan, &found, err);
    } else {
        st = NX_OK;
    }
    nx_jw_open(&r->w, "points", '[');
    for (size_t i = 0; !st && i < found.n; i++) st = write_ordered(r, &found.hits[i], err);
    nx_jw_close(&r->w, ']');
    nx_jw_null(&r->w, "next_page_offset");
    nx_results_free(&found);
    return st;
}

static nx_status scroll(reading *r, nx_error *err)
{
    const nx_json *order = nx_json_get(r->c->body, "order_by");
    nx_status      st = select_parts(r, err);

    if (st) return st;
    nx_jw_open(&r->w, NX_QD_RESULT, '{');
    st = nx_json_absent(order) ? scroll_by_id(r, err) : scroll_by_order(r, order, err);
    nx_jw_close(&r->w, '}');
    return st;
}

static void run_scroll(nx_call *c)
{
    reading  r;
    nx_error err;

    if (!open_reading(&r, c)) return;
    close_reading(&r, scroll(&r, &err), &err);
}

void nx_handle_qd_points_scroll(nx_call *c)
{
    nx_qd_start(c, run_scroll);
}

/* ---- How many ---- */

/* Always exact: there is nothing cheaper. */
static nx_status count(reading *r, nx_error *err)
{
    const nx_filter *filter;
    uint64_t         n = nx_snapshot_count(r->s);
    nx_status st = nx_qd_filter(&filter, r->c, r->config, nx_json_get(r->c->body, "filter"), err);

    if (!st && filter) st = nx_snapshot_count_where(r->s, &n, filter, err);
    nx_jw_open(&r->w, NX_QD_RESULT, '{');
    nx_jw_u64(&r->w, "count", n);
    nx_jw_close(&r->w, '}');
    return st;
}

static void run_count(nx_call *c)
{
    reading  r;
    nx_error err;

    if (!open_reading(&r, c)) return;
    close_reading(&r, count(&r, &err), &err);
}

void nx_handle_qd_points_count(nx_call *c)
{
    nx_qd_start(c, run_count);
}
