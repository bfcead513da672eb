/* routes_ops.c - the routes of those who run the server: probes, metrics, and its own description. */
#include "server/route_tables.h"

#define F_MODEL_NAME                                                                               \
    NX_F_STRING("model", "The default model; null: there is none.", .required = true,              \
                .nullable = true)
#define F_REASON                                                                                   \
    NX_F_STRING("reason", "Why the model couldn't be loaded; null: it could, or isn't yet.",       \
                .required = true, .nullable = true)

static const nx_fields startup = NX_FIELDS(
    "Startup", NX_F_STRING("status", NULL, .required = true, .choices = "started"), F_MODEL_NAME,
    NX_F_INT("loaded_bytes", "Of the default model, in memory by now.", .required = true,
             .range = NX_FROM(0)),
    NX_F_INT("planned_bytes", "What it takes in all; 0: not known yet.", .required = true,
             .range = NX_FROM(0)));

static const nx_fields liveness = NX_FIELDS(
    "Liveness", NX_F_STRING("status", NULL, .required = true, .choices = "alive|stalled"),
    NX_F_NUMBER("step_age_s", "Since an engine with work finished a step; null: none has work.",
                .required = true, .nullable = true, .range = NX_FROM(0)));

static const nx_fields readiness = NX_FIELDS(
    "Readiness",
    NX_F_STRING("status", NULL, .required = true, .choices = "ready|loading|draining|failed"),
    F_MODEL_NAME, F_REASON);

static const nx_fields health = NX_FIELDS(
    "Health",
    NX_F_STRING("status", NULL, .required = true, .choices = "ok|loading|draining|failed"),
    F_MODEL_NAME, F_REASON, NX_F_STRING("version", "Of the server.", .required = true),
    NX_F_NUMBER("uptime_s", NULL, .required = true, .range = NX_FROM(0)),
    NX_F_INT("running", "Requests that are answered now.", .required = true, .range = NX_FROM(0)),
    NX_F_INT("waiting", "Requests in the queue.", .required = true, .range = NX_FROM(0)));

static const nx_fields banner =
    NX_FIELDS("Banner", NX_F_STRING("title", NULL, .required = true),
              NX_F_STRING("version", "Of Qdrant's, whose API is spoken.", .required = true),
              NX_F_STRING("commit", NULL));

static const nx_fields metrics_query = NX_FIELDS(
    "MetricsQuery",
    NX_F_STRING("compat", "Names as another server has them, for dashboards that know it.",
                .choices = "vllm"));

static const nx_route routes[] = {
    {
        .method = "GET",
        .path = "/health",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "How is the server?",
        .about = "For people and load balancers; the three probes below are for Kubernetes.",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "Well.",
             .body = &health,
             .example =
                 "{\"status\": \"ok\", \"model\": \"mini\", \"reason\": null, \"version\": \"0.1.0\", "
                 "\"uptime_s\": 86.4, \"running\": 3, \"waiting\": 0}"},
            {.status = 503,
             .about = "It can't answer questions now.",
             .body = &health,
             .example =
                 "{\"status\": \"loading\", \"model\": \"mini\", \"reason\": null, \"version\": \"0.1.0\", "
                 "\"uptime_s\": 0.2, \"running\": 0, \"waiting\": 0}"}),
        .handle = nx_handle_health,
    },
    {
        .method = "GET",
        .path = "/startupz",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Has it started?",
        .about = "A server that answers has: its store is recovered by then. How far the default "
                 "model is, the body tells; whether questions are welcome, /readyz.",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "It has.",
             .body = &startup,
             .example = "{\"status\": \"started\", \"model\": \"mini\", \"loaded_bytes\": 5242880, "
                        "\"planned_bytes\": 5242880}"}),
        .handle = nx_handle_startupz,
    },
    {
        .method = "GET",
        .path = "/livez",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Is it alive?",
        .about = "Neither load nor a model being loaded make it fail: only an engine that has work "
                 "and finished no step for a minute.",
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is.",
                               .body = &liveness,
                               .example = "{\"status\": \"alive\", \"step_age_s\": 0.012}"},
                              {.status = 503,
                               .about = "An engine stands still: restart the server.",
                               .body = &liveness,
                               .example = "{\"status\": \"stalled\", \"step_age_s\": 61.5}"}),
        .handle = nx_handle_livez,
    },
    {
        .method = "GET",
        .path = "/readyz",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Does it take requests?",
        .replies = NX_REPLIES(
            {.status = 200,
             .about = "It does.",
             .body = &readiness,
             .example = "{\"status\": \"ready\", \"model\": \"mini\", \"reason\": null}"},
            {.status = 503,
             .about = "Not now: it loads, is about to stop, or can't write its store.",
             .body = &readiness,
             .example = "{\"status\": \"draining\", \"model\": \"mini\", \"reason\": null}"}),
        .handle = nx_handle_readyz,
    },
    {
        .method = "GET",
        .path = "/healthz",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Does anybody answer?",
        .about = "As clients of Qdrant's ask. See /livez and /readyz.",
        .replies = NX_REPLIES({.status = 200,
                               .about = "Somebody does.",
                               .type = "text/plain",
                               .example = "healthz check passed"}),
        .handle = nx_handle_healthz,
    },
    {
        .method = "GET",
        .path = "/metrics",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Metrics for Prometheus",
        .about = "Without a key on the listener of --ops-port.",
        .query = &metrics_query,
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "In Prometheus' text format.",
                        .type = "text/plain; version=0.0.4; charset=utf-8",
                        .example = "# HELP nexus_requests_running Requests that are answered "
                                   "now.\n# TYPE nexus_requests_running gauge\n"
                                   "nexus_requests_running{model=\"mini\"} 3\n"}),
        .handle = nx_handle_metrics,
    },
    {
        .method = "GET",
        .path = "/openapi.json",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "This description, for programs",
        .replies = NX_REPLIES({.status = 200, .about = "OpenAPI 3.1.", .type = "application/json"}),
        .handle = nx_handle_openapi,
    },
    {
        .method = "GET",
        .path = "/docs",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "This description, for people",
        .replies =
            NX_REPLIES({.status = 200, .about = "A page.", .type = "text/html; charset=utf-8"}),
        .handle = nx_handle_web,
    },
    {
        .method = "GET",
        .path = "/docs/docs.css",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "How the page looks",
        .replies = NX_REPLIES(
            {.status = 200, .about = "A style sheet.", .type = "text/css; charset=utf-8"}),
        .handle = nx_handle_web,
    },
    {
        .method = "GET",
        .path = "/docs/docs.js",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "What the page does",
        .replies = NX_REPLIES(
            {.status = 200, .about = "A script.", .type = "text/javascript; charset=utf-8"}),
        .handle = nx_handle_web,
    },
    {
        .method = "GET",
        .path = "/",
        .scope = NX_SCOPE_PUBLIC,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Who is this?",
        .replies =
            NX_REPLIES({.status = 200,
                        .about = "For clients of Qdrant's.",
                        .body = &banner,
                        .example = "{\"title\": \"qdrant - vector search engine\", "
                                   "\"version\": \"1.18.0\"}"},
                       {.status = 302, .about = "To /docs: for browsers (Accept: text/html)."}),
        .handle = nx_handle_root,
    },
};

const nx_route_group nx_routes_ops = {
    .tag = "Operations",
    .about = "Probes, metrics, and this description. Errors are `{\"error\": \"...\"}`.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
