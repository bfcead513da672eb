/* point_ops.h - the eight kinds of change to points, from Qdrant's bodies into one request of the store.
 *
 * A route of its own makes a request of one; points/batch one of many, which takes effect whole or not at
 * all.
 */
#ifndef NX_SERVER_POINT_OPS_H
#define NX_SERVER_POINT_OPS_H

#include "server/qdrant.h"

typedef enum nx_point_op_kind {
    NX_POINT_OP_UPSERT,
    NX_POINT_OP_DELETE,
    NX_POINT_OP_SET_PAYLOAD,
    NX_POINT_OP_OVERWRITE_PAYLOAD,
    NX_POINT_OP_DELETE_PAYLOAD,
    NX_POINT_OP_CLEAR_PAYLOAD,
    NX_POINT_OP_UPDATE_VECTORS,
    NX_POINT_OP_DELETE_VECTORS,
    NX_POINT_OPS,
} nx_point_op_kind;

/* Its name in points/batch: "upsert", "delete", ... */
const char *nx_point_op_name(nx_point_op_kind kind);

/* Must the points be there that it names? Then a missing one is an error. */
bool nx_point_op_wants_points(nx_point_op_kind kind);

/* Append what the body says. The key's rights are in it. Filters are in c->kept, which outlives b. */
nx_status nx_point_op_add(nx_writes *b, nx_call *c, const nx_config *config, nx_point_op_kind kind,
                          const nx_json *body, nx_error *err);

#endif
