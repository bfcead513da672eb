/* route.h - every way into the server, as one table: who may, what goes in, what comes out.
 *
 * Idea:   the router, the check of keys, the check of fields, /openapi.json and /docs all read this
 *         table, so they can't disagree. A path that isn't here doesn't exist; a route says its scope,
 *         and one that says none can't be written (nx_scope begins at 1).
 * Thread: any: nothing changes.
 */
#ifndef NX_SERVER_ROUTE_H
#define NX_SERVER_ROUTE_H

#include "server/fields.h"

typedef struct nx_call nx_call; /* one request on its way: call.h */

typedef enum nx_scope {
    NX_SCOPE_PUBLIC = 1, /* no key */
    NX_SCOPE_INFER,
    NX_SCOPE_RAG,
    NX_SCOPE_ADMIN,
} nx_scope;

/* How errors are spelled. */
typedef enum nx_dialect {
    NX_DIALECT_OPENAI, /* {"error": {"message", "type", "param", "code"}} */
    NX_DIALECT_SEED, /* {"detail": [{"loc": [...], "msg", "type"}]} for a field, {"detail": "..."} else */
    NX_DIALECT_PLAIN, /* {"error": "..."}: operators */
} nx_dialect;

/* One possible answer. */
typedef struct nx_reply_doc {
    int              status; /* 0 ends a list */
    const char      *about;
    const nx_fields *body;    /* NULL: none, or not JSON */
    const char      *type;    /* NULL: application/json */
    const char      *example; /* JSON text, or NULL */
} nx_reply_doc;

typedef struct nx_route {
    const char      *method, *path; /* "GET", "/v1/models/{model}": a name in braces is one segment,
                                        * or all that follows where it ends in + : "{model+}" */
    nx_scope         scope;
    nx_dialect       dialect;
    const char      *tag, *summary, *about; /* about may be NULL */
    const nx_fields *query;                 /* NULL: none */
    const nx_fields *request;               /* the JSON body; NULL: none */
    const char      *example;               /* of the body: JSON text */
    const nx_reply_doc
        *replies; /* errors that every route shares (401, 403, 404, 429, ...) are added */
    void (*handle)(nx_call *c); /* fields are checked already */
} nx_route;

const nx_route *nx_routes(size_t *n);

/* The route of a method and path; *params gets the segments in braces, in order, as views into path.
 * NULL: none; then *allowed (may be NULL) is true when the path exists with another method. */
#define NX_ROUTE_PARAMS_MAX 2
const nx_route *nx_route_find(const char *method, const char *path,
                              nx_str params[NX_ROUTE_PARAMS_MAX], bool *allowed);

#endif
