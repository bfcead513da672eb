/* metrics_in.h - the insides of nx_metrics: metrics.c counts, metrics_text.c writes.
 *
 * Thread: atomics by anyone, relaxed: each is a number of its own, nothing else hangs on it.
 */
#ifndef NX_SERVER_METRICS_IN_H
#define NX_SERVER_METRICS_IN_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/metrics.h"

/* ---- Histograms ---- */

#define NX_BOUNDS_MAX 22

/* A bucket counts what took at most ns; le is the end of its line: le="0.001"} and a blank. */
typedef struct nx_bound {
    uint64_t    ns;
    const char *le;
} nx_bound;

typedef struct nx_bounds {
    const nx_bound *at; /* ascending */
    size_t          n;
} nx_bounds;

/* counts[i]: above bound i - 1, up to bound i; the last: above all. The text adds them up, so the
 * count and the +Inf bucket of one scrape always agree. */
typedef struct nx_histogram {
    _Atomic uint64_t counts[NX_BOUNDS_MAX + 1];
    _Atomic uint64_t sum_ns;
} nx_histogram;

extern const nx_bounds
    nx_bounds_first_token;                /* of first tokens, queue, prefill: as vLLM has them */
extern const nx_bounds nx_bounds_request; /* of requests and decoding: as vLLM has them */
extern const nx_bounds nx_bounds_token;   /* of steps and tokens: OpenTelemetry's, and below */
extern const nx_bounds nx_bounds_http;
extern const nx_bounds nx_bounds_store;

/* ---- Models ---- */

typedef enum nx_model_hist {
    NX_HIST_FIRST_TOKEN,
    NX_HIST_INTER_TOKEN,
    NX_HIST_REQUEST,
    NX_HIST_QUEUE,
    NX_HIST_PREFILL,
    NX_HIST_DECODE,
    NX_HIST_STEP,
    NX_N_HISTS,
} nx_model_hist;

const nx_bounds *nx_model_hist_bounds(nx_model_hist h);

/* What the service counts, and we only read. */
typedef enum nx_sampled {
    NX_SAMPLED_PREFIX_QUERIED,
    NX_SAMPLED_PREFIX_HIT,
    NX_SAMPLED_PREEMPTED,
    NX_SAMPLED_PROMPT,
    NX_SAMPLED_NEW,
    NX_SAMPLED_DRAFTED,
    NX_SAMPLED_ACCEPTED,
    NX_N_SAMPLED,
} nx_sampled;

typedef struct nx_model_sums {
    uint64_t counters[NX_N_SAMPLED];
    int64_t  n_running, n_waiting, n_pages, n_pages_running;
    int64_t  n_slice;      /* prompt tokens of a step beside answers; 0: none was made */
    int64_t  last_step_ns; /* nx_clock_ns; 0: none yet */
} nx_model_sums;

typedef struct nx_model_load {
    uint64_t      id; /* 0: free */
    nx_model_sums now;
} nx_model_load;

#define NX_METRICS_WORD_MAX 64 /* bytes of arch and quant */

/* What describes a model, as labels: escaped. */
typedef struct nx_model_about {
    char   arch[2 * NX_METRICS_WORD_MAX + 1], quant[2 * NX_METRICS_WORD_MAX + 1];
    double load_s; /* of the last load; negative: never loaded */
    bool   loaded; /* now */
} nx_model_about;

struct nx_model_metrics {
    nx_metrics      *all;
    char             name[NX_METRICS_NAME_MAX + 1];
    char             label[2 * NX_METRICS_NAME_MAX + 1]; /* name, escaped */
    nx_histogram     hists[NX_N_HISTS];
    _Atomic uint64_t finished[NX_METRICS_N_FINISHES];

    /* Under lock. A counter's value is the base plus those of the loads that run. */
    pthread_mutex_t lock;
    uint64_t        next_load;
    nx_model_sums   base;
    nx_model_load   loads[NX_METRICS_LOADS_MAX];
    nx_model_about  about;
};

/* ---- All ---- */

#define NX_N_HTTP_CLASSES 6 /* status / 100; 0: nothing was answered */
#define NX_N_HTTP_METHODS 8 /* what an unmatched request's method becomes */

typedef enum nx_connection_state {
    NX_CONNECTIONS_IDLE,
    NX_CONNECTIONS_ACTIVE,
    NX_CONNECTIONS_STREAMING,
    NX_N_CONNECTION_STATES,
} nx_connection_state;

typedef enum nx_store_gauge {
    NX_STORE_COLLECTIONS,
    NX_STORE_QUARANTINED,
    NX_STORE_READ_ONLY,
    NX_STORE_POINTS,
    NX_STORE_SEGMENTS,
    NX_STORE_LOG_BYTES,
    NX_STORE_SEGMENT_BYTES,
    NX_N_STORE_GAUGES,
} nx_store_gauge;

struct nx_metrics {
    nx_metrics_options opt;

    /* [opt.n_routes + NX_N_HTTP_METHODS][NX_N_HTTP_CLASSES]; NULL until first counted */
    _Atomic(nx_histogram *) *http;
    size_t                   n_http_rows;

    _Atomic uint64_t rejected[NX_METRICS_N_REJECTS];
    _Atomic uint64_t auth_failures[NX_METRICS_N_AUTHS];
    _Atomic uint64_t quota_exceeded[NX_METRICS_N_QUOTAS];
    _Atomic uint64_t usage_write_errors, log_dropped;
    _Atomic int64_t  connections[NX_N_CONNECTION_STATES];
    nx_histogram     cancel;
    nx_histogram     store_works[NX_METRICS_N_STORE_WORKS];
    _Atomic uint64_t store_write_errors;
    _Atomic uint64_t store_gauges[NX_N_STORE_GAUGES];

    /* models[i < n_models] are published and stay; adding is under lock. The last is "other". */
    pthread_mutex_t             lock;
    _Atomic size_t              n_models;
    _Atomic(nx_model_metrics *) models[NX_METRICS_MODELS_MAX];
    nx_model_metrics           *other;
    atomic_bool                 other_used;
};

/* Method and template of a row of http. */
void nx_metrics_http_row(const nx_metrics *m, size_t row, const char **method, const char **path);

/* The sums of all loads, and what describes the model. */
void nx_model_metrics_sum(nx_model_metrics *mm, nx_model_sums *sums, nx_model_about *about);

#endif
