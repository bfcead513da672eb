/* openapi.h - the table of routes as an OpenAPI 3.1 document.
 *
 * Thread: any.
 */
#ifndef NX_SERVER_OPENAPI_H
#define NX_SERVER_OPENAPI_H

#include "server/route.h"

#define NX_OPENAPI_BYTES_MAX ((size_t)1 << 20)

/* Append the whole document, as /openapi.json sends it: written once, at start.
 *   limits   what this server's start decided; may be NULL
 *   version  of the server: "0.1.0"
 * NX_ENOMEM, NX_ELIMIT (out's ceiling: give it NX_OPENAPI_BYTES_MAX). */
nx_status nx_openapi_write(nx_buf *out, const nx_field_limits *limits, const char *version,
                           nx_error *err);

/* Is this status documented for the route, as its own or as one that routes share? */
bool nx_route_may_answer(const nx_route *r, int status);

/* ---- Between openapi.c, openapi_schema.c and openapi_errors.c ---- */

/* The schemas that the document refers to, each once. */
#define NX_SCHEMAS_MAX 256
typedef struct nx_schemas {
    const nx_fields *list[NX_SCHEMAS_MAX];
    size_t           n;
} nx_schemas;

void nx_schemas_add(nx_schemas      *s,
                    const nx_fields *fields); /* and all that it holds; NULL: nothing */

void nx_schema_write_ref(nx_jw *w, const char *key, const nx_fields *fields);
void nx_schema_write_field(nx_jw *w, const char *key, const nx_field *f,
                           const nx_field_limits *limits);
void nx_schema_write_object(nx_jw *w, const char *key, const nx_fields *fields,
                            const nx_field_limits *limits);

/* An answer that routes of one dialect share. */
typedef struct nx_shared_reply {
    int         status;
    const char *about;
    const char *type,
        *code;        /* of OpenAI's error object; code may be NULL. No type: it isn't JSON */
    bool retry_after; /* has that header */
    bool (*when)(const nx_route *r);
} nx_shared_reply;

const nx_shared_reply *nx_shared_replies(size_t *n);
const nx_fields       *nx_error_fields(nx_dialect dialect, int status);
const char            *nx_dialect_name(nx_dialect dialect); /* "OpenAI", "LLM", "Plain" */

#endif
