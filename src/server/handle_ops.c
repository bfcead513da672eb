/* handle_ops.c - probes, metrics, documentation: answered by the I/O thread that read them, from memory
 * alone; no lock is taken that a model's engine or the disk could hold.
 */
#include <stdio.h>
#include <string.h>

#include "nexus/nexus.h"
#include "os/clock.h"
#include "server/handlers.h"
#include "server/server_in.h"
#include "server/web.h"

#define QDRANT_VERSION   "1.18.0" /* its clients accept one minor version below and above */
#define STEP_PATIENCE_NS ((int64_t)60 * 1000000000)

/* ---- Probes ---- */

/* What the probes tell of all models, and of the default one. */
typedef struct survey {
    const char    *name; /* NULL: there is no model */
    char           error[NX_ERROR_TEXT_MAX];
    nx_model_state state;
    uint64_t       bytes, planned_bytes;
    int64_t        running, waiting;
    int64_t now, step_age_ns; /* of the engine that has been silent longest; < 0: none works */
} survey;

static void note_default(survey *s, const nx_model_view *v)
{
    s->name = v->name; /* stays as long as the server does */
    snprintf(s->error, sizeof s->error, "%s", v->state == NX_MODEL_FAILED ? v->error.text : "");
    s->state = v->state;
    s->bytes = v->bytes;
    s->planned_bytes = v->planned_bytes;
}

static void look(void *ctx, const nx_model_view *v)
{
    survey *s = ctx;

    if (v->is_default) note_default(s, v);
    if (!v->has_stats) return;
    s->running += v->stats.n_running;
    s->waiting += v->stats.n_waiting;
    if (v->stats.n_running - v->stats.n_paused <= 0 || !v->stats.last_step_ns) return;
    if (s->now - v->stats.last_step_ns > s->step_age_ns)
        s->step_age_ns = s->now - v->stats.last_step_ns;
}

static survey survey_of(const nx_server *server)
{
    survey s = {.now = nx_clock_ns(), .step_age_ns = -1};

    nx_models_visit(server->models, look, &s);
    return s;
}

static void open_reply(nx_jw *w, const char *status)
{
    *w = (nx_jw){.buf.max = NX_REPLY_MAX};
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "status", status);
}

static void text_or_null(nx_jw *w, const char *key, const char *text)
{
    if (text && *text)
        nx_jw_text(w, key, text);
    else
        nx_jw_null(w, key);
}

static void close_reply(nx_call *c, nx_jw *w, bool good)
{
    nx_jw_close(w, '}');
    nx_call_reply(c, good ? 200 : 503, w);
}

/* The store is recovered before the server listens: a server that answers has started. */
void nx_handle_startupz(nx_call *c)
{
    survey s = survey_of(c->server);
    nx_jw  w;

    open_reply(&w, "started");
    text_or_null(&w, "model", s.name);
    nx_jw_u64(&w, "loaded_bytes", s.bytes);
    nx_jw_u64(&w, "planned_bytes", s.planned_bytes);
    close_reply(c, &w, true);
}

void nx_handle_livez(nx_call *c)
{
    survey s = survey_of(c->server);
    bool   alive = s.step_age_ns <= STEP_PATIENCE_NS;
    nx_jw  w;

    open_reply(&w, alive ? "alive" : "stalled");
    if (s.step_age_ns < 0)
        nx_jw_null(&w, "step_age_s");
    else
        nx_jw_number(&w, "step_age_s", (double)s.step_age_ns * 1e-9, 6);
    close_reply(c, &w, alive);
}

/* A model that was unloaded, since nobody used it, is loaded by the next question: that is ready. */
static const char *readiness(const nx_server *server, const survey *s, const char *good)
{
    if (atomic_load(&server->draining)) return "draining";
    if (s->state == NX_MODEL_LOADING) return "loading";
    return s->state == NX_MODEL_FAILED ? "failed" : good;
}

/* A store that can't be written is no place for more work. */
void nx_handle_readyz(nx_call *c)
{
    survey      s = survey_of(c->server);
    const char *status = readiness(c->server, &s, "ready");
    nx_jw       w;

    if (!strcmp(status, "ready") && !nx_vault_writable(&c->server->vault, s.error, sizeof s.error))
        status = "failed";

    open_reply(&w, status);
    text_or_null(&w, "model", s.name);
    text_or_null(&w, "reason", s.error);
    close_reply(c, &w, !strcmp(status, "ready"));
}

void nx_handle_health(nx_call *c)
{
    survey      s = survey_of(c->server);
    const char *status = readiness(c->server, &s, "ok");
    nx_jw       w;

    open_reply(&w, status);
    text_or_null(&w, "model", s.name);
    text_or_null(&w, "reason", s.error);
    nx_jw_text(&w, "version", nx_version());
    nx_jw_number(&w, "uptime_s", (double)(s.now - c->server->started_ns) * 1e-9, 6);
    nx_jw_int(&w, "running", s.running);
    nx_jw_int(&w, "waiting", s.waiting);
    close_reply(c, &w, !strcmp(status, "ok"));
}

/* ---- Metrics ---- */

void nx_handle_metrics(nx_call *c)
{
    nx_buf          text = {.max = NX_METRICS_TEXT_MAX};
    nx_error        err;
    const char     *compat = nx_exchange_query(c->x, "compat");
    nx_metrics_view view = compat && !strcmp(compat, "vllm") ? NX_METRICS_VLLM : NX_METRICS_NATIVE;
    nx_status       st = nx_metrics_text(c->server->metrics, view, &text, &err);

    if (st) {
        nx_buf_free(&text);
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_call_reply_bytes(c, 200, NX_METRICS_TYPE, &text);
}

/* ---- Documentation ---- */

static bool wants_page(const nx_call *c)
{
    const char *accept = nx_exchange_header(c->x, "Accept");

    return accept && strstr(accept, "text/html");
}

/* What clients of Qdrant's look at first: a version whose API this is. */
static void reply_banner(nx_call *c)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "title", "qdrant - vector search engine");
    nx_jw_text(&w, "version", QDRANT_VERSION);
    nx_jw_text(&w, "commit", "nexus-" NX_VERSION);
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

void nx_handle_root(nx_call *c)
{
    nx_buf   none = {0};
    nx_error err;

    nx_exchange_add_header(c->x, "Vary", "Accept", &err);
    if (!wants_page(c)) {
        reply_banner(c);
        return;
    }

    nx_exchange_add_header(c->x, "Location", "/docs", &err);
    nx_call_reply_bytes(c, 302, "text/plain", &none);
}

/* As Qdrant's says it. */
void nx_handle_healthz(nx_call *c)
{
    static const char text[] = "healthz check passed";
    nx_buf            body = {.max = sizeof text};
    nx_error          err;

    if (nx_buf_add(&body, text, sizeof text - 1, &err))
        nx_call_refuse_error(c, &err, NULL);
    else
        nx_call_reply_bytes(c, 200, "text/plain", &body);
}

static void reply_copy(nx_call *c, const char *type, const void *bytes, size_t n)
{
    nx_buf    copy = {.max = n + 1};
    nx_error  err;
    nx_status st = nx_buf_add(&copy, bytes, n, &err);

    if (st)
        nx_call_refuse_error(c, &err, NULL);
    else
        nx_call_reply_bytes(c, 200, type, &copy);
}

void nx_handle_openapi(nx_call *c)
{
    reply_copy(c, "application/json", c->server->openapi.data, c->server->openapi.len);
}

void nx_handle_web(nx_call *c)
{
    nx_str      bytes;
    const char *type;
    nx_error    err;

    if (!nx_web_file(nx_exchange_path(c->x), &bytes, &type)) {
        nx_call_refuse(c, 404, NULL, NULL, -1, "there is no page %s", nx_exchange_path(c->x));
        return;
    }
    /* The page loads nothing from elsewhere, and nobody may frame it. */
    nx_exchange_add_header(c->x, "Content-Security-Policy",
                           "default-src 'self'; frame-ancestors 'none'; base-uri 'none'", &err);
    nx_exchange_add_header(c->x, "X-Content-Type-Options", "nosniff", &err);
    reply_copy(c, type, bytes.p, bytes.len);
}
