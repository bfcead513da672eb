/* metrics.h - what the server counts and times, and the text that Prometheus scrapes.
 *
 * Owns:    every counter and histogram; one block per model ever loaded, kept until the end, so that
 *          a counter goes on where it was when its model is unloaded and loaded again.
 * Idea:    series are bounded by construction: a label is a word of an enum, the template of a
 *          route, or the name of a model (NX_METRICS_MODELS_MAX of them, then "other"). No users, no
 *          keys, no prompts, no paths as they were asked.
 * Thread:  any, unless a function says otherwise. Counting is an atomic addition, without locks;
 *          what the engine counts itself is read when somebody scrapes.
 *
 *     nx_metrics_http(m, route_idx, method, report->status, seconds);     an exchange is done
 *     nx_model_metrics *mm = nx_metrics_model(m, "nexus-mini");           once per model
 *     nx_service_watch watch = {mm, nx_model_metrics_observe};            to its service
 *     nx_model_metrics_job_done(mm, &progress, NX_METRICS_STOP);          a job is done
 *     nx_metrics_text(m, NX_METRICS_NATIVE, &body, err);                  GET /metrics
 */
#ifndef NX_SERVER_METRICS_H
#define NX_SERVER_METRICS_H

#include "engine/service.h"
#include "net/httpd.h"

#define NX_METRICS_TYPE       "text/plain; version=0.0.4; charset=utf-8"
#define NX_METRICS_TEXT_MAX   ((size_t)16 << 20) /* a ceiling for the buffer of nx_metrics_text */
#define NX_METRICS_MODELS_MAX 64
#define NX_METRICS_NAME_MAX   128 /* bytes of a model's name that become its label */
#define NX_METRICS_LOADS_MAX  8   /* services that run at once under one name */
#define NX_METRICS_ROUTES_MAX 1024

typedef struct nx_metrics       nx_metrics;
typedef struct nx_model_metrics nx_model_metrics; /* lives as long as its nx_metrics */

typedef struct nx_metrics_options {
    void  *ctx; /* of both functions */
    size_t n_routes;
    /* Method and template of route idx; both strings outlive the metrics. */
    void (*route)(void *ctx, size_t idx, const char **method, const char **path);
    /* Called first thing in a scrape, on its thread, with no lock held: sample what lives
     * elsewhere, by nx_model_metrics_sample, nx_metrics_set_connections,
     * nx_metrics_set_log_dropped. May be NULL. */
    void (*collect)(void *ctx, nx_metrics *m);
} nx_metrics_options;

/* opt is copied. NX_EINVAL (more than NX_METRICS_ROUTES_MAX routes), NX_ENOMEM. */
nx_status nx_metrics_create(nx_metrics **out, const nx_metrics_options *opt, nx_error *err);
void      nx_metrics_destroy(nx_metrics *m); /* when nobody counts any more; NULL does nothing */

/* ---- HTTP ---- */

#define NX_METRICS_NO_ROUTE SIZE_MAX

/* One exchange is over. route: its index, or NX_METRICS_NO_ROUTE (then method, which may be
 * anything, becomes one of the known words); status 0: nothing was answered. The label is the
 * status' class, "2xx". A series is made when it is first counted; without memory the count is
 * lost. */
void nx_metrics_http(nx_metrics *m, size_t route, const char *method, int status, double seconds);

#define NX_METRICS_REJECT_TABLE(X)                                                                 \
    X(AUTH, "auth")                                                                                \
    X(RATE, "rate")                                                                                \
    X(QUOTA, "quota")                                                                              \
    X(BODY, "body")                                                                                \
    X(HEADER_TIMEOUT, "header_timeout")                                                            \
    X(QUEUE_FULL, "queue_full")                                                                    \
    X(SLOW_READER, "slow_reader")                                                                  \
    X(MALFORMED, "malformed")                                                                      \
    X(CONNECTIONS, "connections")

#define NX_METRICS_AUTH_TABLE(X)                                                                   \
    X(MISSING, "missing") /* no key where one is wanted */                                         \
    X(UNKNOWN, "unknown") /* no such key */                                                        \
    X(EXPIRED, "expired")                                                                          \
    X(REVOKED, "revoked")                                                                          \
    X(SCOPE, "scope")   /* a good key, for other routes */                                         \
    X(ORIGIN, "origin") /* Host or Origin isn't ours */

#define NX_METRICS_QUOTA_TABLE(X)                                                                  \
    X(RATE, "rate")     /* requests a minute */                                                    \
    X(TOKENS, "tokens") /* tokens a day */

#define NX_METRICS_FINISH_TABLE(X)                                                                 \
    X(STOP, "stop")                                                                                \
    X(LENGTH, "length")                                                                            \
    X(ABORT, "abort")                                                                              \
    X(ERROR, "error")

#define X(name, text) NX_METRICS_REJECT_##name,
typedef enum nx_metrics_reject {
    NX_METRICS_REJECT_TABLE(X) NX_METRICS_N_REJECTS
} nx_metrics_reject;
#undef X
#define X(name, text) NX_METRICS_AUTH_##name,
typedef enum nx_metrics_auth { NX_METRICS_AUTH_TABLE(X) NX_METRICS_N_AUTHS } nx_metrics_auth;
#undef X
#define X(name, text) NX_METRICS_QUOTA_##name,
typedef enum nx_metrics_quota { NX_METRICS_QUOTA_TABLE(X) NX_METRICS_N_QUOTAS } nx_metrics_quota;
#undef X
#define X(name, text) NX_METRICS_##name,
typedef enum nx_metrics_finish {
    NX_METRICS_FINISH_TABLE(X) NX_METRICS_N_FINISHES
} nx_metrics_finish;
#undef X

void nx_metrics_rejected(nx_metrics *m, nx_metrics_reject why);
void nx_metrics_rejected_by_httpd(nx_metrics     *m,
                                  nx_httpd_reject why); /* the same in httpd's words */
void nx_metrics_auth_failed(nx_metrics *m, nx_metrics_auth why);
void nx_metrics_quota_exceeded(nx_metrics *m, nx_metrics_quota why);
void nx_metrics_usage_write_failed(nx_metrics *m);

/* What is counted elsewhere: for `collect`. */
void nx_metrics_set_connections(nx_metrics *m, const nx_httpd_counts *now);
void nx_metrics_set_log_dropped(nx_metrics *m, uint64_t n_since_start);

/* ---- The store ---- */

typedef enum nx_metrics_store_work {
    NX_METRICS_STORE_SEARCH, /* a plan run, without what its answer carries */
    NX_METRICS_STORE_WRITE, /* a request, until it is in the log, or on the disk where that was asked */
    NX_METRICS_N_STORE_WORKS,
} nx_metrics_store_work;

void nx_metrics_store_worked(nx_metrics *m, nx_metrics_store_work what, double seconds);
void nx_metrics_store_write_failed(nx_metrics *m);

/* What the store is now, all collections together: for `collect`. */
typedef struct nx_metrics_store {
    uint64_t n_collections, n_quarantined, n_read_only, n_points, n_segments;
    uint64_t log_bytes, segment_bytes;
} nx_metrics_store;

void nx_metrics_set_store(nx_metrics *m, const nx_metrics_store *now);

/* ---- Models ---- */

/* The block of a model: found, or made. Never NULL: beyond NX_METRICS_MODELS_MAX names, and without
 * memory, it is that of the model "other". Only the first NX_METRICS_NAME_MAX bytes of a name
 * count; bytes that aren't UTF-8, and control characters, become '?'. */
nx_model_metrics *nx_metrics_model(nx_metrics *m, const char *name);

/* A service begins to run under this name; arch and quant describe the model, load_s is how long it
 * took to load. Returns the number of this load, for the two calls below; 0 when there are too many
 * at once: then they do nothing. */
uint64_t nx_model_metrics_loaded(nx_model_metrics *mm, const char *arch, const char *quant,
                                 double load_s);

/* What its service counts now (nx_service_ops.stats). In `collect`, for each service that runs. */
void nx_model_metrics_sample(nx_model_metrics *mm, uint64_t load, const nx_service_stats *now);

/* The service is about to be destroyed: its last counts (NULL: those of the last sample) are kept.
 * A sample of that load that comes later does nothing. */
void nx_model_metrics_unloaded(nx_model_metrics *mm, uint64_t load, const nx_service_stats *last);

/* nx_service_watch.observe; ctx is the nx_model_metrics. */
void nx_model_metrics_observe(void *ctx, nx_observed what, double seconds);

/* A job is over: its reason, and the times that it reached (to the first token, in the queue,
 * reading the prompt, generating, altogether). */
void nx_model_metrics_job_done(nx_model_metrics *mm, const nx_job_progress *p,
                               nx_metrics_finish why);

/* ---- The scrape ---- */

typedef enum nx_metrics_view {
    NX_METRICS_NATIVE, /* nexus_*, and process_* */
    NX_METRICS_VLLM,   /* ?compat=vllm: the models' values under the names that vLLM gives them */
} nx_metrics_view;

/* Append the text. NX_ELIMIT, NX_ENOMEM: out is then as it was. Scrapes may overlap; counting never
 * waits for one. */
nx_status nx_metrics_text(nx_metrics *m, nx_metrics_view view, nx_buf *out, nx_error *err);

#endif
