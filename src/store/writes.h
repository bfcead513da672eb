/* writes.h - a request being gathered: operations as the caller said them. */
#ifndef NX_STORE_WRITES_H
#define NX_STORE_WRITES_H

#include "store/store.h"

typedef enum nx_op_kind {
    NX_OP_PUT,
    NX_OP_DELETE,
    NX_OP_DELETE_WHERE, /* value: the text */
    NX_OP_SET,          /* value: the object */
    NX_OP_OVERWRITE,
    NX_OP_REMOVE,
    NX_OP_VECTORS,      /* block: a patch */
    NX_OP_DROP_VECTORS, /* slots */
} nx_op_kind;

typedef struct nx_op {
    nx_op_kind       kind;
    nx_put_mode      mode;
    nx_point_id      id;
    const nx_filter *all;         /* not the point `id`: each for which it holds */
    bool             same;        /* with all: the points that the operation before it found */
    const nx_filter *only;        /* the point `id`, when it holds for it; NULL: in any case */
    size_t           block;       /* where in data; PUT and VECTORS */
    size_t           value, path; /* likewise */
    uint32_t         value_n, path_n;
    uint64_t         slots; /* bits */
} nx_op;

struct nx_writes {
    nx_collection *c;
    nx_buf         data; /* everything begins at a multiple of 8 */
    nx_op         *ops;
    size_t         n, cap;

    const nx_filter *only; /* of operations to come */
};

#endif
