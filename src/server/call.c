/* call.c - answers in the dialect of the route, and the end of a call. */
#include "server/call.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/clock.h"
#include "server/answer.h"
#include "server/qdrant.h"
#include "server/rag_talk.h"
#include "server/server_in.h"

/* ---- Life ---- */

void nx_call_retain(nx_call *c)
{
    atomic_fetch_add(&c->refs, 1);
}

static double ms_between(int64_t from_ns, int64_t to_ns)
{
    return from_ns > 0 && to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-6 : -1;
}

static void write_log(const nx_call *c, double duration_ms)
{
    nx_access_entry e;

    nx_access_entry_default(&e);
    e.request_id = c->request_id;
    e.traceparent = nx_exchange_header(c->x, "traceparent");
    e.key_id = c->key.number ? c->key.id : NULL;
    e.peer = nx_exchange_peer(c->x);
    e.method = nx_exchange_method(c->x);
    e.route = c->route ? c->route->path : NULL;
    e.path = nx_exchange_path(c->x);
    e.status = c->report.status;
    e.complete = c->report.complete;
    e.bytes = (int64_t)c->report.bytes_sent;
    e.duration_ms = duration_ms;
    if (c->answer) nx_answer_log(c->answer, &e);
    nx_access_log_write(c->server->log, &e);
}

void nx_call_release(nx_call *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1) return;
    nx_server *s = c->server;
    double     ms = ms_between(nx_exchange_begun_ns(c->x), nx_clock_ns());

    nx_metrics_http(s->metrics, c->route ? c->route_idx : NX_METRICS_NO_ROUTE,
                    nx_exchange_method(c->x), c->report.status, ms * 1e-3);
    if (s->log && nx_exchange_tag(c->x) != NX_TAG_OPS) write_log(c, ms);
    nx_answer_free(c->answer);
    nx_rag_talk_free(c->rag);
    if (c->aside) nx_job_release(c->aside);
    if (c->model) nx_models_release(s->models, c->model);
    nx_json_doc_free(&c->doc);
    nx_arena_free(&c->kept);
    nx_exchange_release(c->x);
    bool asked = c->asked;
    nx_free(c);
    if (!asked) return;
    pthread_mutex_lock(&s->lock); /* the last touch: the server may be waiting for it to end */
    s->n_asked--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- Answers ---- */

double nx_call_seconds(const nx_call *c)
{
    int64_t begun_ns = nx_exchange_begun_ns(c->x);

    return begun_ns > 0 ? (double)(nx_clock_ns() - begun_ns) * 1e-9 : 0;
}

void nx_call_reply_bytes(nx_call *c, int status, const char *type, nx_buf *body)
{
    nx_error err;

    if (nx_exchange_reply(c->x, status, type, body, &err)) nx_log_error("%s", err.text);
}

void nx_call_reply(nx_call *c, int status, nx_jw *w)
{
    if (w->st) {
        nx_error err = w->err;
        nx_buf_free(&w->buf);
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_call_reply_bytes(c, status, "application/json", &w->buf);
}

static const char *openai_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 500: return "server_error";
    case 503: return "server_error";
    default: return "invalid_request_error";
    }
}

static void text_or_null(nx_jw *w, const char *key, const char *text)
{
    if (text)
        nx_jw_text(w, key, text);
    else
        nx_jw_null(w, key);
}

void nx_error_write(nx_jw *w, nx_dialect dialect, int status, const char *param, const char *code,
                    double seconds, const char *message)
{
    nx_jw_open(w, NULL, '{');
    switch (dialect) {
    case NX_DIALECT_OPENAI:
        nx_jw_open(w, "error", '{');
        nx_jw_text(w, "message", message);
        nx_jw_text(w, "type", openai_type(status));
        text_or_null(w, "param", param);
        text_or_null(w, "code", code);
        nx_jw_close(w, '}');
        break;
    case NX_DIALECT_SEED: nx_jw_text(w, "detail", message); break;
    case NX_DIALECT_PLAIN: nx_jw_text(w, "error", message); break;
    case NX_DIALECT_QDRANT:
        nx_jw_open(w, "status", '{');
        nx_jw_text(w, "error", message);
        nx_jw_close(w, '}');
        nx_jw_number(w, "time", seconds, 9);
        break;
    }
    nx_jw_close(w, '}');
}

nx_dialect nx_dialect_of_path(const char *path)
{
    if (!strncmp(path, "/collections", 12) || !strncmp(path, "/cluster", 8) ||
        !strncmp(path, "/aliases", 8))
        return NX_DIALECT_QDRANT;
    if (!strncmp(path, "/llm/", 5) || !strncmp(path, "/rag/", 5)) return NX_DIALECT_SEED;
    return strncmp(path, "/v1/", 4) ? NX_DIALECT_PLAIN : NX_DIALECT_OPENAI;
}

static nx_dialect dialect_of(const nx_call *c)
{
    return c->route ? c->route->dialect : nx_dialect_of_path(nx_exchange_path(c->x));
}

static void add_header(nx_call *c, const char *name, const char *value)
{
    nx_error err;

    if (nx_exchange_add_header(c->x, name, value, &err)) nx_log_error("%s", err.text);
}

/* Clients of Qdrant's get these as its gate keeper says them: as plain text. */
static void refuse_at_the_gate(nx_call *c, int status, const char *message)
{
    nx_buf   text = {.max = NX_ERROR_TEXT_MAX};
    nx_error err;

    if (nx_buf_add(&text, message, strlen(message), &err)) nx_buf_free(&text);
    nx_call_reply_bytes(c, status, "text/plain; charset=utf-8", &text);
}

static void refuse(nx_call *c, int status, const char *param, const char *code,
                   int32_t retry_after_s, const char *message)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};
    char  text[16];

    if (retry_after_s >= 0) {
        snprintf(text, sizeof text, "%d", retry_after_s);
        add_header(c, "Retry-After", text);
    }
    if (status == 401) add_header(c, "WWW-Authenticate", "Bearer");
    if (dialect_of(c) == NX_DIALECT_QDRANT && (status == 401 || status == 403)) {
        refuse_at_the_gate(c, status, message);
        return;
    }
    nx_error_write(&w, dialect_of(c), status, param, code, nx_call_seconds(c), message);
    if (w.st) nx_buf_free(&w.buf); /* out of memory: the status alone */
    nx_call_reply_bytes(c, status, "application/json", &w.buf);
}

void nx_call_refuse(nx_call *c, int status, const char *param, const char *code,
                    int32_t retry_after_s, const char *fmt, ...)
{
    char    message[NX_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    refuse(c, status, param, code, retry_after_s, message);
}

void nx_call_refuse_fault(nx_call *c, const nx_fault *fault, const char *where)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    if (dialect_of(c) == NX_DIALECT_QDRANT) {
        nx_qd_refuse_fault(c, fault, where);
        return;
    }
    if (dialect_of(c) != NX_DIALECT_SEED) {
        refuse(c, 400, fault->path, NULL, -1, fault->text);
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_open(&w, "detail", '[');
    nx_jw_open(&w, NULL, '{');
    nx_fault_write_loc(fault, &w, "loc", where);
    nx_jw_text(&w, "msg", fault->text);
    nx_jw_text(&w, "type", nx_fault_kind_name(fault->kind));
    nx_jw_close(&w, '}');
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    nx_call_reply(c, 422, &w);
}

int nx_error_status(const nx_error *err)
{
    switch (err->status) {
    case NX_EINVAL:
    case NX_ELIMIT:
    case NX_EUNSUPPORTED: return 400;
    case NX_ENOENT: return 404;
    case NX_EBUSY:
    case NX_ENOMEM: return 503;
    case NX_EFULL: return 507;
    default: return 500;
    }
}

void nx_call_refuse_error(nx_call *c, const nx_error *err, const char *param)
{
    int status = nx_error_status(err);

    if (dialect_of(c) == NX_DIALECT_QDRANT) {
        nx_qd_refuse_error(c, err);
        return;
    }
    if (status == 400 && dialect_of(c) == NX_DIALECT_SEED) status = 422;
    if (status == 500) nx_log_error("%s %s: %s", c->request_id, nx_exchange_path(c->x), err->text);
    refuse(c, status, param, NULL, status == 503 ? 2 : -1, err->text);
}

/* ---- What it used ---- */

static void note_write(void *ctx, nx_status st)
{
    if (st) nx_metrics_usage_write_failed(((nx_server *)ctx)->metrics);
}

void nx_call_count(nx_call *c, int64_t n_tokens, nx_usage_fn done, void *ctx)
{
    nx_usage      *usage = c->server->usage;
    nx_usage_entry entry = {.model = c->model->name,
                            .counts = {.requests = 1, .prompt_tokens = n_tokens},
                            .unix_s = nx_clock_unix_ms() / 1000};

    if (c->key.number) {
        entry.key = c->key.id;
        nx_usage_add(usage, &entry, done, ctx);
        return;
    }
    nx_usage_add(usage, &entry, note_write, c->server);
    done(ctx, NX_OK);
}

/* ---- The model ---- */

static void on_model(void *ctx, nx_loaded *model, const nx_error *err)
{
    nx_call *c = ctx;

    c->model = model;
    if (atomic_load(&c->server->cut))
        nx_call_refuse(c, 503, NULL, "server_stopping", 5, "the server is stopping");
    else if (model)
        c->with_model(c);
    else
        nx_call_refuse_error(c, err, "model");
    nx_call_release(c);
}

void nx_call_with_model(nx_call *c, nx_model_use purpose, void (*then)(nx_call *c))
{
    nx_str name = c->body ? nx_field_string(c->route->request, c->body, "model") : NX_STR("");

    nx_call_with_model_named(c, name, purpose, then);
}

void nx_call_with_model_named(nx_call *c, nx_str name, nx_model_use purpose,
                              void (*then)(nx_call *c))
{
    nx_error err = {0};

    c->with_model = then;
    c->waiter = (nx_model_waiter){.ready = on_model, .ctx = c};
    nx_call_retain(c); /* while it waits */
    switch (nx_models_use(c->server->models, &c->model, name, purpose, &c->waiter, &err)) {
    case NX_USE_LATER: return;
    case NX_USE_READY: then(c); break;
    case NX_USE_REFUSED:
        if (err.status == NX_ENOENT)
            nx_call_refuse(c, 404, "model", "model_not_found", -1, "%s", err.text);
        else
            nx_call_refuse_error(c, &err, "model");
        break;
    }
    nx_call_release(c);
}
