/* handle_point_writes.c - the routes that change points: each a request of one operation, points/batch
 * one of many.
 *
 * Thread: the store's desk: a sync is waited for where ?wait=true.
 */
#include "server/handlers.h"
#include "server/point_ops.h"
#include "server/server_in.h"

static void write_result(nx_jw *w, nx_call *c, const char *key, const nx_write_result *r)
{
    nx_jw_open(w, key, '{');
    nx_jw_u64(w, "operation_id", r->seq);
    nx_jw_text(w, "status", nx_qd_wait(c) ? "completed" : "acknowledged");
    nx_jw_close(w, '}');
}

/* What a request did to points that aren't there, Qdrant calls an error, though the rest is done. */
static nx_status check_missing(const nx_write_result *r, nx_error *err)
{
    char text[NX_ID_TEXT];

    if (!r->n_missing) return NX_OK;
    return nx_fail(err, NX_ENOENT, "Not found: No point with id %s found",
                   nx_id_write(text, r->missing));
}

static nx_status write_one(nx_call *c, nx_collection *coll, nx_writes *b, nx_point_op_kind kind,
                           nx_write_result *r, nx_error *err)
{
    nx_status st = nx_point_op_add(b, c, nx_collection_config(coll), kind, c->body, err);

    if (!st) st = nx_qd_write(c, coll, b, r, err);
    if (!st && nx_point_op_wants_points(kind)) st = check_missing(r, err);
    return st;
}

static void run_one(nx_call *c, nx_point_op_kind kind)
{
    nx_collection  *coll = nx_qd_collection(c, NX_RIGHT_WRITE);
    nx_writes      *b = coll ? nx_writes_create(coll) : NULL;
    nx_write_result r = {0};
    nx_error        err;
    nx_jw           w;

    if (!coll) return;
    nx_status st =
        b ? write_one(c, coll, b, kind, &r, &err) : nx_fail(&err, NX_ENOMEM, "a request");
    nx_writes_destroy(b);
    nx_collection_release(coll);
    if (st) {
        nx_qd_refuse_error(c, &err);
        return;
    }
    nx_qd_open(&w);
    write_result(&w, c, NX_QD_RESULT, &r);
    nx_qd_reply(c, 200, &w);
}

#define HANDLER(name, kind)                                                                        \
    static void do_##name(nx_call *c)                                                              \
    {                                                                                              \
        run_one(c, kind);                                                                          \
    }                                                                                              \
    void nx_handle_qd_##name(nx_call *c)                                                           \
    {                                                                                              \
        nx_qd_start(c, do_##name);                                                                 \
    }

HANDLER(points_upsert, NX_POINT_OP_UPSERT)
HANDLER(points_delete, NX_POINT_OP_DELETE)
HANDLER(payload_set, NX_POINT_OP_SET_PAYLOAD)
HANDLER(payload_overwrite, NX_POINT_OP_OVERWRITE_PAYLOAD)
HANDLER(payload_delete, NX_POINT_OP_DELETE_PAYLOAD)
HANDLER(payload_clear, NX_POINT_OP_CLEAR_PAYLOAD)
HANDLER(vectors_update, NX_POINT_OP_UPDATE_VECTORS)
HANDLER(vectors_delete, NX_POINT_OP_DELETE_VECTORS)

/* ---- Many ---- */

/* One of "operations": an object with one member, whose name says which. */
static nx_status add_operation(nx_writes *b, nx_call *c, const nx_config *config, const nx_json *op,
                               bool *strict, nx_error *err)
{
    for (int k = 0; k < NX_POINT_OPS; k++) {
        const nx_json *body = nx_json_get(op, nx_point_op_name((nx_point_op_kind)k));
        if (!body) continue;
        *strict = *strict && nx_point_op_wants_points((nx_point_op_kind)k);
        return nx_point_op_add(b, c, config, (nx_point_op_kind)k, body, err);
    }
    return nx_fail(err, NX_EINVAL,
                   NX_QD_FORMAT "operations: expected one of `upsert`, `delete`, `set_payload`, "
                                "`overwrite_payload`, `delete_payload`, `clear_payload`, "
                                "`update_vectors`, `delete_vectors`");
}

static nx_status write_many(nx_call *c, nx_collection *coll, nx_writes *b, const nx_json *list,
                            nx_write_result *r, nx_error *err)
{
    bool      strict = true; /* all of them want their points to be there */
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < list->array.n; i++)
        st = add_operation(b, c, nx_collection_config(coll), &list->array.items[i], &strict, err);
    if (!st) st = nx_qd_write(c, coll, b, r, err);
    return st || !strict ? st : check_missing(r, err);
}

static void run_batch(nx_call *c)
{
    const nx_json  *list = nx_json_get(c->body, "operations");
    nx_collection  *coll = nx_qd_collection(c, NX_RIGHT_WRITE);
    nx_writes      *b = coll ? nx_writes_create(coll) : NULL;
    nx_write_result r = {0};
    nx_error        err;
    nx_jw           w;

    if (!coll) return;
    nx_status st =
        b ? write_many(c, coll, b, list, &r, &err) : nx_fail(&err, NX_ENOMEM, "a request");
    nx_writes_destroy(b);
    nx_collection_release(coll);
    if (st) {
        nx_qd_refuse_error(c, &err);
        return;
    }
    nx_qd_open(&w);
    nx_jw_open(&w, NX_QD_RESULT, '[');
    for (size_t i = 0; i < list->array.n; i++) write_result(&w, c, NULL, &r);
    nx_jw_close(&w, ']');
    nx_qd_reply(c, 200, &w);
}

void nx_handle_qd_points_batch(nx_call *c)
{
    nx_qd_start(c, run_batch);
}
