/* dispatch.c - from an exchange to its handler: the hooks of httpd.
 *
 * With the head alone is decided whether the request comes in at all, who asks, and how long its body may
 * be; with the body, whether its fields are what the route's table says. Long bodies are read on the desk,
 * so that an I/O thread, and the streams it carries, never waits for one.
 */
#include "server/dispatch.h"
#include "os/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "server/answer.h"
#include "server/server_in.h"

#define INLINE_BODY_MAX  ((size_t)32 << 10)
#define UPLOAD_BODY_MAX  ((size_t)128 << 20) /* of a form with documents */
#define PARSE_BYTES_EACH 16                  /* for each byte of the largest body */
#define PARSE_BYTES_MIN  ((size_t)64 << 20)

/* ---- The head ---- */

static bool is_id(const char *s)
{
    size_t n = strlen(s);

    if (n < 1 || n >= NX_REQUEST_ID_CAP - 24) return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("-_.:", s[i])) return false;
    return true;
}

/* The client's own id where it has a sane one, else one that no other request of this server has. */
static void name_request(nx_call *c)
{
    const char *given = nx_exchange_header(c->x, "x-request-id");
    nx_server  *s = c->server;

    if (given && is_id(given))
        snprintf(c->request_id, sizeof c->request_id, "%s", given);
    else
        snprintf(c->request_id, sizeof c->request_id, "%s-%llx", s->fingerprint + 3,
                 (unsigned long long)atomic_fetch_add(&s->n_ids, 1));
}

static size_t index_of(const nx_route *route)
{
    for (size_t i = 0;; i++)
        if (nx_route_at(i) == route) return i;
}

/* The listener for operators has probes and metrics alone. */
static bool is_for_operators(const nx_route *r)
{
    static const char *const paths[] = {"/startupz", "/livez", "/readyz", "/health", "/metrics"};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (!strcmp(r->path, paths[i])) return true;
    return false;
}

/* The listener for Qdrant's clients has the collections, and what anybody may see. */
static bool is_for_qdrant(const nx_route *r)
{
    return r->dialect == NX_DIALECT_QDRANT || !strcmp(r->path, "/metrics") ||
           (r->dialect == NX_DIALECT_PLAIN && r->scope == NX_SCOPE_PUBLIC);
}

static bool is_on_listener(const nx_exchange *x, const nx_route *r)
{
    if (nx_exchange_tag(x) == NX_TAG_OPS) return is_for_operators(r);
    return nx_exchange_tag(x) != NX_TAG_QDRANT || is_for_qdrant(r);
}

/* Is a / of the route's own path spelled %2F? A proxy that minds paths sees another one then; in a model's
 * name it is how clients spell it. */
static bool hides_slash(const char *uri, const nx_route *r)
{
    for (const char *p = r->path; *p && *p != '{' && *uri; p++) {
        if (*uri == '%' && *p == '/') return true;
        uri += *uri == '%' ? 3 : 1; /* checked: two digits follow */
    }
    return false;
}

/* Paths of Qdrant's may end in a slash. NULL: out of memory. */
static const char *trimmed_path(nx_call *c)
{
    const char *path = nx_exchange_path(c->x);
    size_t      len = strlen(path);

    if (len < 2 || path[len - 1] != '/' || nx_dialect_of_path(path) != NX_DIALECT_QDRANT)
        return path;
    return nx_arena_strndup(&c->kept, path, len - 1);
}

/* A name of a collection with a / in it: it would be taken for another path. */
static bool has_slash_in_name(const char *uri)
{
    for (; *uri && *uri != '?'; uri++)
        if (uri[0] == '%' && uri[1] == '2' && (uri[2] | 0x20) == 'f') return true;
    return false;
}

static bool find_route(nx_call *c)
{
    const char     *path = trimmed_path(c), *method = nx_exchange_method(c->x);
    bool            known = false;
    char            allow[64];
    nx_error        err;
    const nx_route *r = path ? nx_route_find(method, path, c->params, &known) : NULL;

    if (!path) {
        nx_call_refuse(c, 503, NULL, NULL, 2, "out of memory");
        return false;
    }
    if (nx_dialect_of_path(path) == NX_DIALECT_QDRANT && has_slash_in_name(nx_exchange_uri(c->x))) {
        nx_call_refuse(c, 422, NULL, NULL, -1,
                       "Validation error in path parameters: [name: collection name cannot contain "
                       "\"/\" char]");
        return false;
    }
    if (r && !is_on_listener(c->x, r)) r = NULL, known = false;
    if (r && hides_slash(nx_exchange_uri(c->x), r)) r = NULL, known = false;
    if (r) {
        c->route = r;
        c->route_idx = index_of(r);
        return true;
    }
    if (known) {
        nx_route_allow(path, allow, sizeof allow);
        nx_exchange_add_header(c->x, "Allow", allow, &err);
        nx_call_refuse(c, 405, NULL, NULL, -1, "%s is not a method of this path, which knows %s",
                       method, allow);
    } else {
        nx_call_refuse(c, 404, NULL, NULL, -1, "there is nothing at %.200s. See /docs", path);
    }
    return false;
}

/* A body where the route takes none is read and thrown away, if it is short. */
static void limit_body(nx_call *c)
{
    if (!c->route->request && !c->route->upload)
        nx_exchange_limit_body(c->x, INLINE_BODY_MAX);
    else if (c->route->upload && c->route->dialect != NX_DIALECT_QDRANT)
        nx_exchange_limit_body(c->x, UPLOAD_BODY_MAX);
    else if (c->route->dialect == NX_DIALECT_QDRANT)
        nx_exchange_limit_body(c->x, c->server->opt.points_body_max);
}

/* What a stopping server waits for, and takes no more of. */
static bool is_question(const nx_call *c)
{
    if (c->route->scope == NX_SCOPE_RAG) return true;
    return c->route->scope == NX_SCOPE_INFER && !strcmp(c->route->method, "POST");
}

static bool refuse_stopping(nx_call *c)
{
    nx_call_refuse(c, 503, NULL, "server_stopping", 5, "the server is stopping");
    return false;
}

static bool is_open_for(nx_call *c)
{
    return !is_question(c) || !atomic_load(&c->server->draining) || refuse_stopping(c);
}

/* The whole question is there. From here on a stopping server waits for its answer. */
static bool come_in(nx_call *c)
{
    nx_server *s = c->server;

    if (!is_question(c)) return true;
    pthread_mutex_lock(&s->lock);
    c->asked = !atomic_load(&s->draining);
    s->n_asked += c->asked;
    pthread_mutex_unlock(&s->lock);
    return c->asked || refuse_stopping(c);
}

static void on_head(void *ctx, nx_exchange *x)
{
    nx_server *s = ctx;
    nx_call   *c = nx_calloc(1, sizeof *c);
    nx_error   err;

    if (!c) {
        nx_buf none = {0};
        nx_exchange_reply(x, 503, NULL, &none, &err);
        return;
    }
    c->server = s;
    c->x = x;
    atomic_init(&c->refs, 1);
    nx_exchange_retain(x);
    nx_exchange_set_user(x, c);
    name_request(c);
    nx_exchange_add_header(x, "x-request-id", c->request_id, &err);
    c->refused = !nx_guard_let_in(c) || !find_route(c) || !nx_guard_know(c) || !is_open_for(c);
    if (!c->refused) limit_body(c);
}

/* ---- The body ---- */

static const char *get_query(void *ctx, const char *name)
{
    return nx_exchange_query(((nx_call *)ctx)->x, name);
}

static bool check_query(nx_call *c)
{
    nx_fault fault;

    if (!c->route->query ||
        nx_fields_check_text(c->route->query, get_query, c, &c->server->limits, &fault))
        return true;
    nx_call_refuse_fault(c, &fault, "query");
    return false;
}

/* Memory that a body may take once it is parsed. The largest one fits when its values have 4 bytes each
 * and more, in arrays of any shape: a vector's numbers take 24. */
static size_t parse_bytes_max(const nx_call *c)
{
    const nx_server_options *o = &c->server->opt;
    size_t                   body_max =
        c->route->dialect == NX_DIALECT_QDRANT ? o->points_body_max : o->http.body_bytes_max;
    size_t bytes = PARSE_BYTES_EACH * body_max;

    return bytes > PARSE_BYTES_MIN ? bytes : PARSE_BYTES_MIN;
}

static bool parse(nx_call *c)
{
    nx_str   body = nx_exchange_body(c->x);
    nx_error err;
    nx_str   text = body.len == 0 && c->route->bodyless ? NX_STR("{}") : body;
    nx_fault fault;
    unsigned flags = c->route->dialect == NX_DIALECT_QDRANT ? 0 : NX_JSON_PYTHON;

    if (nx_json_parse_within(&c->doc, "body", text.p, text.len, flags, parse_bytes_max(c), &err) ==
        NX_OK) {
        c->body = c->doc.root;
        return true;
    }
    if (err.status == NX_ELIMIT) {
        nx_call_refuse(c, 413, NULL, NULL, -1, "%s", err.text);
        return false;
    }
    if (err.status == NX_ENOMEM) {
        nx_call_refuse_error(c, &err, NULL);
        return false;
    }
    nx_fault_of_parse(&fault, &err, text.p, text.len);
    nx_call_refuse_fault(c, &fault, "body");
    return false;
}

static bool check_body(nx_call *c)
{
    nx_fault fault;

    if (nx_fields_check(c->route->request, c->body, &c->server->limits, &fault)) return true;
    nx_call_refuse_fault(c, &fault, "body");
    return false;
}

static void handle(nx_call *c)
{
    if (!check_query(c)) return;
    if (c->route->request && (!parse(c) || !check_body(c))) return;
    c->route->handle(c);
}

static void handle_on_desk(void *ctx)
{
    nx_call *c = ctx;

    c->at_desk = c->route->dialect == NX_DIALECT_QDRANT;
    handle(c);
    nx_call_release(ctx);
}

static void on_request(void *ctx, nx_exchange *x)
{
    nx_call *c = nx_exchange_user(x);

    (void)ctx;
    if (!c || c->refused || !come_in(c)) return;
    if (nx_exchange_body(x).len <= INLINE_BODY_MAX) {
        handle(c);
        return;
    }
    nx_call_retain(c);
    nx_desk_post(c->route->dialect == NX_DIALECT_QDRANT ? c->server->vault.desk : c->server->desk,
                 &c->task, handle_on_desk, c);
}

/* ---- The end ---- */

static void on_gone(void *ctx, nx_exchange *x, nx_gone why)
{
    nx_call   *c = nx_exchange_user(x);
    nx_answer *a = c ? atomic_load(&c->answer) : NULL;
    nx_job    *aside = c ? atomic_load(&c->aside) : NULL;

    (void)ctx;
    (void)why; /* the access log has it: not complete */
    if (aside) nx_job_cancel(aside);
    if (a) nx_answer_gone(a);
}

static void on_done(void *ctx, nx_exchange *x, const nx_exchange_report *report)
{
    nx_call *c = nx_exchange_user(x);

    (void)ctx;
    if (!c) return;
    c->report = *report;
    nx_call_release(c);
}

static void on_rejected(void *ctx, nx_httpd_reject why)
{
    nx_metrics_rejected_by_httpd(((nx_server *)ctx)->metrics, why);
}

static void on_error_body(void *ctx, nx_buf *out, const char *uri, int64_t begun_ns, int status,
                          const char *message)
{
    nx_jw w = {.buf.max = out->max};

    (void)ctx;
    nx_error_write(&w, nx_dialect_of_path(uri), status, NULL, NULL,
                   (double)(nx_clock_ns() - begun_ns) * 1e-9, message);
    if (!w.st) nx_buf_add(out, w.buf.data, w.buf.len, NULL);
    nx_buf_free(&w.buf);
}

void nx_dispatch_hooks(nx_httpd_hooks *out, nx_server *s)
{
    *out = (nx_httpd_hooks){.ctx = s,
                            .on_head = on_head,
                            .on_request = on_request,
                            .on_gone = on_gone,
                            .on_done = on_done,
                            .on_rejected = on_rejected,
                            .on_error_body = on_error_body};
}
