/* handle_ops.c - probes, metrics, documentation: answered by the I/O thread that read them, from memory
 * alone; no lock is taken that a model's engine or the disk could hold.
 */
#include <string.h>

#include "os/clock.h"
#include "server/handlers.h"
#include "server/server_in.h"
#include "server/web.h"

#define STEP_PATIENCE_NS ((int64_t)60 * 1000000000)

/* ---- Probes ---- */

static void reply_status(nx_call *c, bool good, const char *status, const char *reason)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", status);
    if (reason) nx_jw_text(&w, "reason", reason);
    nx_jw_close(&w, '}');
    nx_call_reply(c, good ? 200 : 503, &w);
}

/* The store is recovered before the server listens: a server that answers has started. */
void nx_handle_startupz(nx_call *c)
{
    reply_status(c, true, "started", NULL);
}

typedef struct stalled {
    const char *model; /* NULL: none */
    int64_t     now;
} stalled;

/* A service is stuck when it has work and its last step ended long ago. */
static void look_for_stall(void *ctx, const nx_model_view *v)
{
    stalled *s = ctx;

    if (!v->has_stats || v->stats.n_running - v->stats.n_paused <= 0) return;
    if (v->stats.last_step_ns && s->now - v->stats.last_step_ns > STEP_PATIENCE_NS)
        s->model = v->name;
}

void nx_handle_livez(nx_call *c)
{
    stalled s = {.now = nx_clock_ns()};

    nx_models_visit(c->server->models, look_for_stall, &s);
    reply_status(c, !s.model, s.model ? "stalled" : "alive",
                 s.model ? "a model has work and made no step for a minute" : NULL);
}

/* Why no question should come here; NULL: one may. */
static const char *why_not_ready(const nx_server *s)
{
    if (atomic_load(&s->draining)) return "stopping";
    switch (nx_models_default_state(s->models)) {
    case NX_MODEL_LOADING: return "the model is being loaded";
    case NX_MODEL_FAILED: return "the model could not be loaded";
    default: return NULL; /* loaded, or to be loaded when asked for */
    }
}

void nx_handle_readyz(nx_call *c)
{
    const char *why = why_not_ready(c->server);

    reply_status(c, !why, why ? "not ready" : "ready", why);
}

void nx_handle_health(nx_call *c)
{
    const char *why = why_not_ready(c->server);

    reply_status(c, !why, why ? "unhealthy" : "healthy", why);
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

void nx_handle_root(nx_call *c)
{
    nx_buf   none = {0};
    nx_error err;

    nx_exchange_add_header(c->x, "Location", "/docs", &err);
    nx_call_reply_bytes(c, 302, "text/plain", &none);
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
