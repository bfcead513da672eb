/* qdrant.h - what the handlers of Qdrant's REST API share: envelope, ids, vectors, payloads, filters.
 *
 * A handler's way: nx_qd_start moves the call to the desk (a search, a sync or a model takes longer than an
 * I/O thread may), with every text in the body that stands for a vector embedded first; there it gets its
 * collection, reads the body, does it, and replies by nx_qd_reply or nx_call_refuse*, once; then the call
 * is released.
 *
 * Memory: what is read from a body lies in c->kept, and in the body.
 * Errors: a text that begins as Qdrant's do ("Wrong input: ", "Not found: ", "Format error in ",
 *         "Validation error in ", "not supported: ", "Service internal error: ") goes out as it is; any
 *         other gets the beginning that fits its status. NX_EINVAL is 400, and 422 where it begins
 *         "Validation error"; the rest as nx_error_status says.
 */
#ifndef NX_SERVER_QDRANT_H
#define NX_SERVER_QDRANT_H

#include "server/rights.h"
#include "store/plan.h"

/* ---- qdrant.c: the way of a call, the envelope ---- */

/* Go on with `then` on the desk, which replies; the call is retained until then returns. */
void nx_qd_start(nx_call *c, void (*then)(nx_call *c));

/* The collection that the route's first parameter names, or an alias of it; NULL: refused already ("Not
 * found: Collection `x` doesn't exist!", or 403). nx_collection_release. */
nx_collection *nx_qd_collection(nx_call *c, nx_right right);
/* The same of a name in the body (lookup_from). */
nx_collection *nx_qd_collection_named(nx_call *c, nx_str name, nx_right right);

/* {"result": <what is written between, with the key "result">, "status": "ok", "time": s}. */
#define NX_QD_RESULT "result"
void nx_qd_open(nx_jw *w);                          /* zero-initialises w */
void nx_qd_reply(nx_call *c, int status, nx_jw *w); /* closes; w is freed */
void nx_qd_reply_bool(nx_call *c, bool result);

/* What went wrong, in Qdrant's spelling; nx_call_refuse_error and nx_call_refuse_fault come here. */
void nx_qd_refuse_error(nx_call *c, const nx_error *err);
void nx_qd_refuse_fault(nx_call *c, const nx_fault *fault, const char *where);

/* Beginnings of texts of NX_EINVAL. */
#define NX_QD_WRONG  "Wrong input: "
#define NX_QD_FORMAT "Format error in JSON body: "
#define NX_QD_RANGE  "Validation error in JSON body: " /* "[limit: value 0 invalid, must be ...]" */

bool nx_qd_wait(const nx_call *c); /* ?wait=true */

/* A search and a write with their metrics: plan.h and store.h, with the server's pool. */
nx_status nx_qd_write(nx_call *c, nx_collection *coll, const nx_writes *b, nx_write_result *out,
                      nx_error *err);
nx_status nx_qd_run(nx_call *c, nx_snapshot *s, const nx_plan *plan, nx_results *out,
                    nx_error *err);

/* ---- qdrant_value.c: ids, values, vectors, in and out ---- */

/* A number or a UUID; a string of digits is neither. NX_EINVAL. */
nx_status nx_qd_id(nx_point_id *out, const nx_json *v, nx_error *err);
nx_status nx_qd_ids(nx_point_id **out, size_t *n, nx_call *c, const nx_json *list, nx_error *err);
void      nx_qd_write_id(nx_jw *w, const char *key, nx_point_id id);
void      nx_qd_write_value(nx_jw *w, const char *key, nx_value v);

/* A value in c->kept, from JSON. An object is a payload. */
nx_status nx_qd_value(nx_value *out, nx_call *c, const nx_json *v, nx_error *err);

/* One vector for a slot: dense [..], multi [[..]], sparse {indices, values}, or a text that was embedded
 * (nx_qd_embedded). Dimension and form are checked: NX_EINVAL in Qdrant's words. Memory: c->kept. */
nx_status nx_qd_vector(nx_vector *out, nx_call *c, const nx_config *config, int32_t slot,
                       const nx_json *v, nx_error *err);

/* "vector" of a point, in its three spellings (one for the default slot, or by names): [NX_SLOTS_MAX]. */
nx_status nx_qd_vectors(nx_vector *out, int32_t *n, nx_call *c, const nx_config *config,
                        const nx_json *v, nx_error *err);

void nx_qd_write_vector(nx_jw *w, const char *key, const nx_vector *v, const nx_config *config);

/* The slot of a name ("Not existing vector name error: x"); NULL or "": the default one. */
nx_status nx_qd_slot(int32_t *out, const nx_config *config, const nx_json *name, nx_error *err);

/* ---- qdrant_point.c: points out, and which of them ---- */

/* with_payload, with_vector(s): absent, bool, names, {include}, {exclude}. */
typedef struct nx_qd_selector {
    bool           payload, exclude; /* payload: any at all */
    const nx_path *paths;            /* [n_paths]; NULL: all */
    size_t         n_paths;
    uint64_t       slots; /* bits: vectors that are wanted */
} nx_qd_selector;

nx_status nx_qd_select(nx_qd_selector *out, nx_call *c, const nx_config *config,
                       const nx_json *with_payload, const nx_json *with_vector, nx_error *err);

/* {"id", "payload", "vector"}: a point as scroll and get answer it. */
nx_status nx_qd_write_record(nx_jw *w, const nx_point *p, const nx_config *config,
                             const nx_qd_selector *sel, nx_error *err);

/* The members "payload" and "vector" of a point, as selected, into an open object. */
nx_status nx_qd_write_parts(nx_jw *w, const nx_point *p, const nx_config *config,
                            const nx_qd_selector *sel, nx_error *err);

/* {"points": [ids]} or {"filter": ...} or both spellings of older clients. ids NULL: the filter counts. The
 * filter has the key's tags in it already, as of a change (nx_rights_change_filter); for ids
 * they are the caller's to mind (nx_writes_only_if). */
typedef struct nx_qd_points {
    const nx_point_id *ids;
    size_t             n_ids;
    const nx_filter   *filter;
} nx_qd_points;
nx_status nx_qd_point_selector(nx_qd_points *out, nx_call *c, const nx_config *config,
                               const nx_json *body, nx_error *err);

/* ---- qdrant_filter.c ---- */

/* A filter object; v NULL: *out is NULL (or the key's tags alone). The key's tags are in it. NX_EINVAL in
 * Qdrant's words, with the place. Memory: c->kept. */
nx_status nx_qd_filter(const nx_filter **out, nx_call *c, const nx_config *config, const nx_json *v,
                       nx_error *err);

/* ---- qdrant_infer.c: texts that stand for vectors ---- */

/* Objects {"text", "model", "options"?} where a vector may stand in this body: are there any? Then each is
 * embedded (c->model's embedder, or BM25 in process), passages in what is stored and questions in what is
 * asked, and `then` goes on; a fault is refused. Called by nx_qd_start. */
void nx_qd_infer(nx_call *c, void (*then)(nx_call *c));

/* What was made of it: valid as long as the call; NULL: that is no text. */
const nx_vector *nx_qd_embedded(const nx_call *c, const nx_json *v);

/* ---- qdrant_query.c ---- */

/* A plan from the body of a query (points/query): ids in it are looked up in the snapshot, or where
 * lookup_from says. Memory: c->kept. NX_EINVAL, NX_ENOENT ("Not found: No point with id 7 found"), ... */
nx_status nx_qd_plan(nx_plan *out, nx_call *c, nx_collection *coll, nx_snapshot *s,
                     const nx_json *body, nx_error *err);

#endif
