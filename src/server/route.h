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
    NX_DIALECT_PLAIN,  /* {"error": "..."}: operators */
    NX_DIALECT_QDRANT, /* {"status": {"error": "..."}, "time": s}; 401 and 403 are plain text */
} nx_dialect;

/* One possible answer. A status may stand several times, with different types. */
typedef struct nx_reply_doc {
    int              status; /* 0 ends a list */
    const char      *about;
    const nx_fields *body; /* NULL: none, or not JSON; of text/event-stream: what one event holds */
    const char      *type; /* NULL: application/json where there is a body */
    const char      *example; /* JSON text, or, where the type isn't JSON, as it is sent; or NULL */
    bool             texts;   /* the body is a list of texts */
} nx_reply_doc;

typedef struct nx_route {
    const char      *method, *path; /* "GET", "/v1/models/{model}": a name in braces is one segment,
                                        * or all that follows where it ends in + : "{model+}" */
    nx_scope         scope;
    nx_dialect       dialect;
    const char      *summary, *about; /* about may be NULL */
    const nx_fields *params;          /* what is in braces, in order; NULL: none */
    const nx_fields *query;           /* NULL: none */
    const nx_fields *request;         /* the JSON body; NULL: none */
    bool             bodyless;        /* the body may be left out altogether: then it is {} */
    bool             upload;          /* the body is a file (multipart/form-data), not JSON */
    const char      *example;         /* of the body: JSON text */
    const nx_reply_doc *replies; /* errors that routes share (401, 403, 404, 429, ...) are added */
    void (*handle)(nx_call *c);  /* fields are checked already */
} nx_route;

/* Routes that belong together: one heading of the documentation. */
typedef struct nx_route_group {
    const char     *tag, *about;
    const nx_route *routes; /* [n] */
    size_t          n;
} nx_route_group;

const nx_route_group *nx_route_group_at(size_t i); /* NULL: past the last */
const nx_route       *nx_route_at(size_t i);       /* of all groups; NULL: past the last */

/* The route of a method and path; params gets the segments in braces, in order, as views into path.
 * Where two fit, the more exact path counts, with its own methods alone. HEAD finds the route of GET. The path is percent-decoded.
 * NULL: none; then *known (may be NULL) is true when the path exists with another method. */
#define NX_ROUTE_PARAMS_MAX 2
const nx_route *nx_route_find(const char *method, const char *path,
                              nx_str params[NX_ROUTE_PARAMS_MAX], bool *known);

/* For the 405: the methods of a path, as its Allow header says them: "GET, HEAD, POST". Cut to cap. */
void nx_route_allow(const char *path, char *out, size_t cap);

const char *nx_scope_name(nx_scope scope); /* "public", "infer", "rag", "admin" */

#endif
