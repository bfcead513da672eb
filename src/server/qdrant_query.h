/* qdrant_query.h - queries of Qdrant's API as plans: what the files that read them share.
 *
 * Bounds:  prefetches nest at most NX_PLAN_DEPTH_MAX deep, and there are at most NX_QD_PLANS_MAX of them in
 *          one body.
 * Errors:  NX_EINVAL and NX_ENOENT in Qdrant's words; NX_EUNSUPPORTED: "not supported: discover".
 * Thread:  the call's.
 */
#ifndef NX_SERVER_QDRANT_QUERY_H
#define NX_SERVER_QDRANT_QUERY_H

#include "server/qdrant.h"
#include "server/qdrant_filter.h" /* nx_qd_shown */

enum {
    NX_QD_PLANS_MAX = 1024,
    NX_QD_LIMIT_DEFAULT = 10,
};

/* One body on its way to a plan. */
typedef struct nx_qd_query {
    nx_call           *c;
    nx_collection     *coll;
    const nx_config   *config;
    nx_snapshot       *s;
    const nx_settings *settings; /* of coll: its payload indexes */
    const nx_filter   *tags;     /* of the key; NULL: it sees every point */
    nx_point_id       *ids; /* [n_ids] points of coll that the query names: not in its answer */
    size_t             n_ids, cap_ids;
    int32_t            n_plans;
    uint64_t  group_size; /* of answers in groups: prefetches find as many times more; or 1 */
    nx_error *err;
} nx_qd_query;

/* Where ids in a query are looked up: of one level. */
typedef struct nx_qd_lookup {
    nx_collection   *coll; /* NULL: the query's own */
    nx_snapshot     *s;    /* of coll */
    const nx_config *config;
    int32_t          slot;
} nx_qd_lookup;

/* ---- qdrant_examples.c: vectors of a query, however they are given ---- */

/* lookup_from of a level whose vector is `slot`; v may be absent. nx_qd_lookup_close, also after an
 * error. */
nx_status nx_qd_lookup_open(nx_qd_lookup *out, nx_qd_query *q, const nx_json *v, int32_t slot);
void      nx_qd_lookup_close(nx_qd_lookup *l);

/* A vector, an id, or a text. */
nx_status nx_qd_example(nx_vector *out, nx_qd_query *q, const nx_qd_lookup *from, int32_t slot,
                        const nx_json *v);

/* {"positive", "negative", "strategy"} into p: NEAREST to their average, BEST, or SUM. */
nx_status nx_qd_recommend(nx_plan *p, nx_qd_query *q, const nx_qd_lookup *from, int32_t slot,
                          const nx_json *v);

/* nx_qd_plan of a query whose answer comes in groups of that size. */
nx_status nx_qd_plan_of_groups(nx_plan *out, nx_call *c, nx_collection *coll, nx_snapshot *s,
                               const nx_json *body, uint64_t group_size, nx_error *err);

/* ---- Bodies of older clients, as a query says them; in c->kept, NULL: no memory ---- */

const nx_json *nx_qd_body_of_search(nx_call *c, const nx_json *body);
const nx_json *nx_qd_body_of_recommend(nx_call *c, const nx_json *body);

/* The index that a path's values can be ordered by (facets: be counted by), or NULL. */
const nx_index_spec *nx_qd_index(const nx_settings *settings, nx_str key, bool ranges);

#endif
