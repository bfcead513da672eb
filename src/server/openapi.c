/* openapi.c - the OpenAPI document: paths from the table of routes, schemas from those of fields.
 *
 * Beyond OpenAPI: "x-scope" says which scope a key needs, and "x-event" beside the schema of an event
 * stream what the data of one event holds.
 */
#include "server/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

typedef struct writer {
    nx_jw                  w;
    const nx_field_limits *limits;
    nx_schemas             schemas;
} writer;

static const char intro[] =
    "Models on your own hardware, in the words that clients already speak.\n\n"
    "Send a key as `Authorization: Bearer KEY` or `x-api-key: KEY`; a server without keys answers "
    "its own machine alone. Every answer carries `x-request-id`: the client's own, or a new one. "
    "Where a GET is described, HEAD works, too; other methods are answered with 405.";

/* ---- Words ---- */

/* "/v1/models/{model+}" without the plus, which OpenAPI doesn't know. */
static void plain_path(char *out, size_t cap, const char *path)
{
    size_t n = 0;

    for (; *path && n + 1 < cap; path++)
        if (*path != '+') out[n++] = *path;
    out[n] = '\0';
}

/* "post_v1_chat_completions": for programs that make functions of routes. */
static void operation_id(char *out, size_t cap, const nx_route *r)
{
    size_t n = 0;

    for (const char *p = r->method; *p && n + 1 < cap; p++)
        out[n++] = (char)tolower((unsigned char)*p);
    for (const char *p = r->path; *p && n + 1 < cap; p++) {
        if (isalnum((unsigned char)*p))
            out[n++] = *p;
        else if (out[n - 1] != '_')
            out[n++] = '_';
    }
    while (out[n - 1] == '_') n--;
    out[n] = '\0';
}

static void status_key(char out[8], int status)
{
    snprintf(out, 8, "%d", status);
}

static bool is_json(const nx_reply_doc *d)
{
    return !d->type || !strncmp(d->type, "application/json", 16);
}

/* ---- What goes in ---- */

static void parameters_of(writer *o, const nx_fields *fields, const char *in)
{
    nx_jw *w = &o->w;

    if (!fields) return;
    for (const nx_field *f = fields->list; f->kind; f++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "name", f->name);
        nx_jw_text(w, "in", in);
        nx_jw_bool(w, "required", f->required);
        if (f->about) nx_jw_text(w, "description", f->about);
        nx_schema_write_field(w, "schema", f, o->limits);
        nx_jw_close(w, '}');
    }
}

static void parameters(writer *o, const nx_route *r)
{
    if (!r->params && !r->query) return;
    nx_jw_open(&o->w, "parameters", '[');
    parameters_of(o, r->params, "path");
    parameters_of(o, r->query, "query");
    nx_jw_close(&o->w, ']');
}

static void request_body(writer *o, const nx_route *r)
{
    nx_jw *w = &o->w;

    if (r->upload)
        nx_jw_raw(w, "requestBody",
                  NX_STR("{\"required\":true,\"content\":{\"multipart/form-data\":{\"schema\":{"
                         "\"type\":\"object\"}}}}"));
    if (!r->request) return;
    nx_schemas_add(&o->schemas, r->request);
    nx_jw_open(w, "requestBody", '{');
    nx_jw_bool(w, "required", !r->bodyless);
    nx_jw_open(w, "content", '{');
    nx_jw_open(w, "application/json", '{');
    nx_schema_write_ref(w, "schema", r->request);
    if (r->example) nx_jw_raw(w, "example", nx_str_of(r->example));
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
}

/* ---- What comes out ---- */

/* One event of a stream, as OpenAPI 3.2 will have it; its data is JSON, and "[DONE]" the last of all. */
static void event(writer *o, const nx_route *r, const nx_fields *body)
{
    nx_jw *w = &o->w;

    nx_jw_open(w, "schema", '{');
    nx_jw_text(w, "type", "object");
    nx_jw_raw(w, "required", NX_STR("[\"data\"]"));
    nx_jw_open(w, "properties", '{');
    nx_jw_open(w, "data", '{');
    nx_jw_text(w, "type", "string");
    nx_jw_open(w, "anyOf", '[');
    nx_jw_raw(w, NULL, NX_STR("{\"const\":\"[DONE]\"}"));
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "contentMediaType", "application/json");
    nx_jw_open(w, "contentSchema", '{');
    nx_jw_open(w, "anyOf", '[');
    nx_schema_write_ref(w, NULL, body);
    nx_schema_write_ref(w, NULL, nx_error_fields(r->dialect, 503));
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_schema_write_ref(w, "x-event", body);
}

static void content(writer *o, const nx_route *r, const nx_reply_doc *d)
{
    nx_jw *w = &o->w;

    nx_schemas_add(&o->schemas, d->body);
    nx_jw_open(w, d->type ? d->type : "application/json", '{');
    if (is_json(d)) {
        if (d->body)
            nx_schema_write_ref(w, "schema", d->body);
        else if (d->texts)
            nx_jw_raw(w, "schema", NX_STR("{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"));
        else
            nx_jw_raw(w, "schema", NX_STR("{\"type\":\"object\"}"));
        if (d->example) nx_jw_raw(w, "example", nx_str_of(d->example));
    } else {
        if (d->body)
            event(o, r, d->body);
        else
            nx_jw_raw(w, "schema", NX_STR("{\"type\":\"string\"}"));
        if (d->example) nx_jw_text(w, "example", d->example);
    }
    nx_jw_close(w, '}');
}

/* The sentences of all answers of this status, joined. */
static void description(writer *o, const nx_reply_doc *d)
{
    nx_buf b = {.max = 4096};
    int    status = d->status;
    nx_jw *w = &o->w;

    for (; d->status; d++) {
        if (d->status != status || w->st) continue;
        w->st = nx_buf_addf(&b, &w->err, "%s%s", b.len ? " " : "", d->about);
    }
    if (!w->st) nx_jw_string(w, "description", (nx_str){b.data, b.len});
    nx_buf_free(&b);
}

static void header(nx_jw *w, const char *name, const char *about, const char *kind)
{
    nx_jw_open(w, "headers", '{');
    nx_jw_open(w, name, '{');
    nx_jw_text(w, "description", about);
    nx_jw_open(w, "schema", '{');
    nx_jw_text(w, "type", kind);
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
}

/* All answers that have the status of d, the first of them. */
static void own_reply(writer *o, const nx_route *r, const nx_reply_doc *d)
{
    nx_jw *w = &o->w;
    char   key[8];
    int    status = d->status;

    status_key(key, status);
    nx_jw_open(w, key, '{');
    description(o, d);
    if (status == 302) header(w, "Location", "Where to.", "string");
    if (d->body || d->type) {
        nx_jw_open(w, "content", '{');
        for (; d->status; d++)
            if (d->status == status) content(o, r, d);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, '}');
}

static bool is_first_of_status(const nx_route *r, const nx_reply_doc *d)
{
    for (const nx_reply_doc *p = r->replies; p < d; p++)
        if (p->status == d->status) return false;
    return true;
}

static bool has_own(const nx_route *r, int status)
{
    for (const nx_reply_doc *d = r->replies; d->status; d++)
        if (d->status == status) return true;
    return false;
}

static void responses(writer *o, const nx_route *r)
{
    nx_jw                 *w = &o->w;
    size_t                 n;
    const nx_shared_reply *shared = nx_shared_replies(&n);

    nx_jw_open(w, "responses", '{');
    for (const nx_reply_doc *d = r->replies; d->status; d++)
        if (is_first_of_status(r, d)) own_reply(o, r, d);
    for (size_t i = 0; i < n; i++) {
        char key[8], ref[64];
        if (!shared[i].when(r) || has_own(r, shared[i].status)) continue;
        status_key(key, shared[i].status);
        snprintf(ref, sizeof ref, "#/components/responses/%s%d", nx_dialect_name(r->dialect),
                 shared[i].status);
        nx_jw_open(w, key, '{');
        nx_jw_text(w, "$ref", ref);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, '}');
}

/* ---- Paths ---- */

static void operation(writer *o, const nx_route_group *g, const nx_route *r)
{
    nx_jw *w = &o->w;
    char   id[128], method[16] = "";

    for (size_t i = 0; r->method[i] && i + 1 < sizeof method; i++)
        method[i] = (char)tolower((unsigned char)r->method[i]);
    operation_id(id, sizeof id, r);
    nx_jw_open(w, method, '{');
    nx_jw_open(w, "tags", '[');
    nx_jw_text(w, NULL, g->tag);
    nx_jw_close(w, ']');
    nx_jw_text(w, "operationId", id);
    nx_jw_text(w, "summary", r->summary);
    if (r->about) nx_jw_text(w, "description", r->about);
    nx_jw_text(w, "x-scope", nx_scope_name(r->scope));
    nx_jw_raw(w, "security",
              r->scope == NX_SCOPE_PUBLIC ? NX_STR("[]")
                                          : NX_STR("[{\"bearer\":[]},{\"apiKey\":[]}]"));
    parameters(o, r);
    request_body(o, r);
    responses(o, r);
    nx_jw_close(w, '}');
}

/* All methods of one path stand together, so a path is written where it comes first. */
static bool came_before(const nx_route *r)
{
    const nx_route *p;

    for (size_t i = 0; (p = nx_route_at(i)) && p != r; i++)
        if (!strcmp(p->path, r->path)) return true;
    return false;
}

static void path_item(writer *o, const nx_route_group *g, size_t first)
{
    char path[128];

    plain_path(path, sizeof path, g->routes[first].path);
    nx_jw_open(&o->w, path, '{');
    for (size_t i = first; i < g->n; i++)
        if (!strcmp(g->routes[i].path, g->routes[first].path)) operation(o, g, &g->routes[i]);
    nx_jw_close(&o->w, '}');
}

static void paths(writer *o)
{
    const nx_route_group *g;

    nx_jw_open(&o->w, "paths", '{');
    for (size_t i = 0; (g = nx_route_group_at(i)); i++)
        for (size_t j = 0; j < g->n; j++)
            if (!came_before(&g->routes[j])) path_item(o, g, j);
    nx_jw_close(&o->w, '}');
}

static void tags(writer *o)
{
    nx_jw                *w = &o->w;
    const nx_route_group *g;

    nx_jw_open(w, "tags", '[');
    for (size_t i = 0; (g = nx_route_group_at(i)); i++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "name", g->tag);
        nx_jw_text(w, "description", g->about);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
}

/* ---- Components ---- */

static void error_example(nx_jw *w, nx_dialect dialect, const nx_shared_reply *s)
{
    nx_jw_open(w, "example", '{');
    if (dialect == NX_DIALECT_OPENAI) {
        nx_jw_open(w, "error", '{');
        nx_jw_text(w, "message", s->about);
        nx_jw_text(w, "type", s->type);
        nx_jw_null(w, "param");
        if (s->code)
            nx_jw_text(w, "code", s->code);
        else
            nx_jw_null(w, "code");
        nx_jw_close(w, '}');
    } else if (dialect == NX_DIALECT_QDRANT) {
        nx_jw_open(w, "status", '{');
        nx_jw_text(w, "error", s->about);
        nx_jw_close(w, '}');
        nx_jw_number(w, "time", 0.0001, 3);
    } else if (dialect == NX_DIALECT_SEED && s->status == 422) {
        nx_jw_raw(
            w, "detail",
            NX_STR("[{\"loc\":[\"body\",\"max_new_tokens\"],\"msg\":\"max_new_tokens: expected "
                   "an integer from 1 to 4096, found -5\",\"type\":\"range_error\"}]"));
    } else {
        nx_jw_text(w, dialect == NX_DIALECT_SEED ? "detail" : "error", s->about);
    }
    nx_jw_close(w, '}');
}

static void shared_reply(writer *o, nx_dialect dialect, const nx_shared_reply *s)
{
    nx_jw           *w = &o->w;
    const nx_fields *body = nx_error_fields(dialect, s->status);
    char             key[32];

    snprintf(key, sizeof key, "%s%d", nx_dialect_name(dialect), s->status);
    nx_jw_open(w, key, '{');
    nx_jw_text(w, "description", s->about);
    if (s->retry_after) header(w, "Retry-After", "Seconds to wait.", "integer");
    if (s->type && dialect == NX_DIALECT_QDRANT && (s->status == 401 || s->status == 403)) {
        nx_jw_raw(w, "content", NX_STR("{\"text/plain\":{\"schema\":{\"type\":\"string\"}}}"));
    } else if (s->type) {
        nx_schemas_add(&o->schemas, body);
        nx_jw_open(w, "content", '{');
        nx_jw_open(w, "application/json", '{');
        nx_schema_write_ref(w, "schema", body);
        error_example(w, dialect, s);
        nx_jw_close(w, '}');
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, '}');
}

/* Does any route of this dialect share it? */
static bool is_shared(nx_dialect dialect, const nx_shared_reply *s)
{
    const nx_route *r;

    for (size_t i = 0; (r = nx_route_at(i)); i++)
        if (r->dialect == dialect && s->when(r) && !has_own(r, s->status)) return true;
    return false;
}

static void components(writer *o)
{
    static const nx_dialect dialects[] = {NX_DIALECT_OPENAI, NX_DIALECT_SEED, NX_DIALECT_PLAIN,
                                          NX_DIALECT_QDRANT};
    nx_jw                  *w = &o->w;
    size_t                  n;
    const nx_shared_reply  *shared = nx_shared_replies(&n);

    nx_jw_open(w, "components", '{');
    nx_jw_open(w, "responses", '{');
    for (size_t d = 0; d < sizeof dialects / sizeof *dialects; d++)
        for (size_t i = 0; i < n; i++)
            if (is_shared(dialects[d], &shared[i])) shared_reply(o, dialects[d], &shared[i]);
    nx_jw_close(w, '}');
    nx_jw_open(w, "schemas", '{');
    for (size_t i = 0; i < o->schemas.n; i++)
        nx_schema_write_object(w, o->schemas.list[i]->name, o->schemas.list[i], o->limits);
    nx_jw_close(w, '}');
    nx_jw_open(w, "securitySchemes", '{');
    nx_jw_raw(w, "bearer", NX_STR("{\"type\":\"http\",\"scheme\":\"bearer\"}"));
    nx_jw_raw(w, "apiKey",
              NX_STR("{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"x-api-key\"}"));
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
}

nx_status nx_openapi_write(nx_buf *out, const nx_field_limits *limits, const char *version,
                           nx_error *err)
{
    writer o = {.w.buf.max = NX_OPENAPI_BYTES_MAX, .limits = limits};
    nx_jw *w = &o.w;

    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "openapi", "3.1.0");
    nx_jw_open(w, "info", '{');
    nx_jw_text(w, "title", "Nexus");
    nx_jw_text(w, "description", intro);
    nx_jw_text(w, "version", version);
    nx_jw_close(w, '}');
    nx_jw_raw(w, "servers", NX_STR("[{\"url\":\"/\"}]"));
    tags(&o);
    paths(&o);
    components(&o); /* last: by now all schemas are known */
    nx_jw_close(w, '}');

    nx_status st = w->st;
    if (st)
        nx_fail(err, st, "the description of the API: %s", w->err.text);
    else
        st = nx_buf_add(out, w->buf.data, w->buf.len, err);
    nx_buf_free(&w->buf);
    return st;
}
