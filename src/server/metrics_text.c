/* metrics_text.c - all series as Prometheus reads them (text format 0.0.4), in one pass.
 *
 * Idea:   numbers are written by hand, without printf: 64 models have 12,000 lines, and a scrape
 *         must not take milliseconds from the engine. Times are nanoseconds until the last moment,
 *         so no locale and no rounding comes in.
 * A metric of a model is a row of the table below, with its names in both views; so the views can't
 * disagree. A family without series isn't mentioned.
 */
#include "server/metrics_in.h"

#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "os/process.h"

/* Where the text goes. The first failure stays, what follows it is dropped. */
typedef struct writer {
    nx_buf   *out;
    nx_error *err;
    nx_status st;
    bool      vllm;
} writer;

static void put_n(writer *w, const char *s, size_t n)
{
    if (!w->st) w->st = nx_buf_add(w->out, s, n, w->err);
}

static void put(writer *w, const char *s)
{
    put_n(w, s, strlen(s));
}

/* Digits of x, to the left of end; returns the first. */
static char *digits_before(char *end, uint64_t x)
{
    do *--end = (char)('0' + x % 10);
    while (x /= 10);
    return end;
}

static void put_count(writer *w, uint64_t x)
{
    char text[24], *end = text + sizeof text;

    *--end = '\n';
    const char *p = digits_before(end, x);
    put_n(w, p, (size_t)(text + sizeof text - p));
}

static void put_gauge(writer *w, int64_t x)
{
    if (x < 0) put(w, "-");
    put_count(w, x < 0 ? 0 - (uint64_t)x : (uint64_t)x);
}

/* ns as seconds: 1.5, without zeros at the end. */
static void put_seconds(writer *w, uint64_t ns)
{
    char     text[40], *end = text + sizeof text, *p;
    uint64_t part = ns % 1000000000;

    if (!part) {
        put_count(w, ns / 1000000000);
        return;
    }
    int n_digits = 9;
    for (; part % 10 == 0; part /= 10) n_digits--;
    *--end = '\n';
    p = digits_before(end, part);
    while (end - p < n_digits) *--p = '0';
    *--p = '.';
    p = digits_before(p, ns / 1000000000);
    put_n(w, p, (size_t)(text + sizeof text - p));
}

static void put_real(writer *w, double x)
{
    put_seconds(w, x > 0 ? (uint64_t)(x * 1e9 + 0.5) : 0);
}

static void put_head(writer *w, const char *name, const char *type, const char *help)
{
    put(w, "# HELP ");
    put(w, name);
    put(w, " ");
    put(w, help);
    put(w, "\n# TYPE ");
    put(w, name);
    put(w, " ");
    put(w, type);
    put(w, "\n");
}

/* ---- Histograms ---- */

/* labels: `a="b",c="d"`, or "". One line is the name, the labels, le, the count: all but the last
 * two are the same for every bucket, and are put together once. */
static void put_histogram(writer *w, const char *name, const char *labels, const nx_histogram *h,
                          const nx_bounds *bounds)
{
    const size_t n_name = strlen(name), n_labels = strlen(labels);
    char         line[1024];
    uint64_t     total = 0;
    size_t       n = n_name;

    if (n_name + n_labels + sizeof "_bucket{,le=\"+Inf\"} " > sizeof line) {
        if (!w->st) w->st = nx_fail(w->err, NX_EINTERNAL, "metrics: labels of %s too long", name);
        return;
    }
    memcpy(line, name, n);
    memcpy(line + n, "_bucket{", 8);
    n += 8;
    memcpy(line + n, labels, n_labels);
    n += n_labels;
    if (n_labels) line[n++] = ',';
    for (size_t i = 0; i <= bounds->n; i++) {
        total += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        put_n(w, line, n);
        put(w, i < bounds->n ? bounds->at[i].le : "le=\"+Inf\"} ");
        put_count(w, total);
    }
    for (int i = 0; i < 2; i++) {
        put_n(w, name, n_name);
        put(w, i == 0 ? "_sum" : "_count");
        if (n_labels) put(w, "{");
        put_n(w, labels, n_labels);
        put(w, n_labels ? "} " : " ");
        if (i == 0)
            put_seconds(w, atomic_load_explicit(&h->sum_ns, memory_order_relaxed));
        else
            put_count(w, total);
    }
}

static uint64_t histogram_count(const nx_histogram *h, const nx_bounds *bounds)
{
    uint64_t n = 0;

    for (size_t i = 0; i <= bounds->n; i++)
        n += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
    return n;
}

/* ---- Counters by a reason ---- */

#define X(name, text) text,
static const char *const reject_words[] = {NX_METRICS_REJECT_TABLE(X)};
static const char *const auth_words[] = {NX_METRICS_AUTH_TABLE(X)};
static const char *const quota_words[] = {NX_METRICS_QUOTA_TABLE(X)};
static const char *const finish_words[] = {NX_METRICS_FINISH_TABLE(X)};
#undef X

/* name{labels,key="word"} value, for each word. All are there from the start: a counter that
 * appears with its first event hides it from rate(). */
static void put_words(writer *w, const char *name, const char *labels, const char *key,
                      const char *const *words, const _Atomic uint64_t *counts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(w, name);
        put(w, "{");
        put(w, labels);
        if (*labels) put(w, ",");
        put(w, key);
        put(w, "=\"");
        put(w, words[i]);
        put(w, "\"} ");
        put_count(w, atomic_load_explicit(&counts[i], memory_order_relaxed));
    }
}

static void put_reasons(writer *w, const char *name, const char *help, const char *const *words,
                        const _Atomic uint64_t *counts, size_t n)
{
    put_head(w, name, "counter", help);
    put_words(w, name, "", "reason", words, counts, n);
}

static void put_counter(writer *w, const char *name, const char *help, const _Atomic uint64_t *n)
{
    put_head(w, name, "counter", help);
    put(w, name);
    put(w, " ");
    put_count(w, atomic_load_explicit(n, memory_order_relaxed));
}

/* ---- HTTP ---- */

static void http_labels(const nx_metrics *m, size_t slot, char *out, size_t cap)
{
    static const char *const classes[NX_N_HTTP_CLASSES] = {"none", "1xx", "2xx",
                                                           "3xx",  "4xx", "5xx"};
    const char              *method, *path;

    nx_metrics_http_row(m, slot / NX_N_HTTP_CLASSES, &method, &path);
    snprintf(out, cap, "route=\"%.400s\",method=\"%.40s\",code=\"%s\"", path, method,
             classes[slot % NX_N_HTTP_CLASSES]);
}

/* Requests are the count of their durations: one number, two names. */
static void put_http(writer *w, const nx_metrics *m, const char *name, bool durations,
                     const char *help)
{
    bool first = true;
    char labels[512];

    for (size_t slot = 0; slot < m->n_http_rows * NX_N_HTTP_CLASSES; slot++) {
        const nx_histogram *h = atomic_load_explicit(&m->http[slot], memory_order_acquire);
        if (!h) continue;
        if (first) put_head(w, name, durations ? "histogram" : "counter", help);
        first = false;
        http_labels(m, slot, labels, sizeof labels);
        if (durations) {
            put_histogram(w, name, labels, h, &nx_bounds_http);
            continue;
        }
        put(w, name);
        put(w, "{");
        put(w, labels);
        put(w, "} ");
        put_count(w, histogram_count(h, &nx_bounds_http));
    }
}

static void put_connections(writer *w, const nx_metrics *m)
{
    static const char *const states[NX_N_CONNECTION_STATES] = {"idle", "active", "streaming"};

    put_head(w, "nexus_http_connections", "gauge", "Open connections.");
    for (int i = 0; i < NX_N_CONNECTION_STATES; i++) {
        put(w, "nexus_http_connections{state=\"");
        put(w, states[i]);
        put(w, "\"} ");
        put_gauge(w, atomic_load_explicit(&m->connections[i], memory_order_relaxed));
    }
}

static void put_store(writer *w, const nx_metrics *m)
{
    /* clang-format off */
    static const struct {
        const char *name, *help;
    } gauges[NX_N_STORE_GAUGES] = {
        [NX_STORE_COLLECTIONS] = {"nexus_store_collections", "Collections, quarantined ones among them."},
        [NX_STORE_QUARANTINED] = {"nexus_store_quarantined_collections", "Collections that are damaged and don't serve."},
        [NX_STORE_READ_ONLY] = {"nexus_store_read_only_collections", "Collections that take no writes since a sync failed."},
        [NX_STORE_POINTS] = {"nexus_store_points", "Points of all collections."},
        [NX_STORE_SEGMENTS] = {"nexus_store_segments", "Segments of all collections."},
        [NX_STORE_LOG_BYTES] = {"nexus_store_log_bytes", "Bytes of all logs: what would be replayed."},
        [NX_STORE_SEGMENT_BYTES] = {"nexus_store_segment_bytes", "Bytes of all segments."},
    };
    /* clang-format on */

    for (int i = 0; i < NX_N_STORE_GAUGES; i++) {
        put_head(w, gauges[i].name, "gauge", gauges[i].help);
        put(w, gauges[i].name);
        put(w, " ");
        put_count(w, atomic_load_explicit(&m->store_gauges[i], memory_order_relaxed));
    }
    put_counter(w, "nexus_store_write_errors_total", "Writes that failed.", &m->store_write_errors);
    put_head(w, "nexus_store_search_seconds", "histogram", "Time of searches in the store.");
    put_histogram(w, "nexus_store_search_seconds", "", &m->store_works[NX_METRICS_STORE_SEARCH],
                  &nx_bounds_store);
    put_head(w, "nexus_store_write_seconds", "histogram",
             "Time of writes, until they are as durable as was asked.");
    put_histogram(w, "nexus_store_write_seconds", "", &m->store_works[NX_METRICS_STORE_WRITE],
                  &nx_bounds_store);
}

static void put_server(writer *w, const nx_metrics *m)
{
    put_http(w, m, "nexus_http_requests_total", false, "Requests answered, by class of status.");
    put_http(w, m, "nexus_http_request_duration_seconds", true,
             "From a request's head to the last byte of its answer.");
    put_connections(w, m);
    put_reasons(w, "nexus_http_rejected_total", "Requests and connections turned away.",
                reject_words, m->rejected, NX_METRICS_N_REJECTS);
    put_reasons(w, "nexus_auth_failures_total", "Requests without a right to their route.",
                auth_words, m->auth_failures, NX_METRICS_N_AUTHS);
    put_reasons(w, "nexus_quota_exceeded_total", "Requests beyond what their key may.", quota_words,
                m->quota_exceeded, NX_METRICS_N_QUOTAS);
    put_counter(w, "nexus_log_dropped_total", "Lines of the access log that were lost.",
                &m->log_dropped);
    put_counter(w, "nexus_usage_write_errors_total", "Records of usage that could not be stored.",
                &m->usage_write_errors);
    put_head(w, "nexus_cancel_latency_seconds", "histogram",
             "From the cancellation of a request until its pages are free.");
    put_histogram(w, "nexus_cancel_latency_seconds", "", &m->cancel, &nx_bounds_token);
    put_store(w, m);
}

/* ---- Models ---- */

typedef enum family_kind {
    KIND_SAMPLED, /* idx: nx_sampled */
    KIND_HIST,    /* idx: nx_model_hist */
    KIND_RUNNING,
    KIND_SLICE,
    KIND_WAITING,
    KIND_KV_USAGE,
    KIND_FINISHED,
    KIND_LAST_STEP,
    KIND_LOAD_SECONDS,
    KIND_INFO,
} family_kind;

typedef struct family {
    const char *name, *vllm; /* NULL: not in that view */
    family_kind kind;
    int         idx;
    const char *help;
} family;

/* clang-format off */
static const family families[] = {
    {"nexus_requests_running", "vllm:num_requests_running", KIND_RUNNING, 0, "Requests that the engine computes now."},
    {"nexus_requests_waiting", "vllm:num_requests_waiting", KIND_WAITING, 0, "Requests in the engine's queue."},
    {"nexus_kv_cache_usage_ratio", "vllm:kv_cache_usage_perc", KIND_KV_USAGE, 0, "Share of KV pages that running requests hold, 0 to 1."},
    {"nexus_prefill_slice_tokens", NULL, KIND_SLICE, 0, "Prompt tokens that the last step beside answers had room for."},
    {"nexus_prefix_cache_queried_tokens_total", "vllm:prefix_cache_queries_total", KIND_SAMPLED, NX_SAMPLED_PREFIX_QUERIED, "Prompt tokens looked up in the prefix cache."},
    {"nexus_prefix_cache_hit_tokens_total", "vllm:prefix_cache_hits_total", KIND_SAMPLED, NX_SAMPLED_PREFIX_HIT, "Prompt tokens found in the prefix cache."},
    {"nexus_preemptions_total", "vllm:num_preemptions_total", KIND_SAMPLED, NX_SAMPLED_PREEMPTED, "Requests put back into the queue for want of pages."},
    {"nexus_prompt_tokens_total", "vllm:prompt_tokens_total", KIND_SAMPLED, NX_SAMPLED_PROMPT, "Prompt tokens computed."},
    {"nexus_generation_tokens_total", "vllm:generation_tokens_total", KIND_SAMPLED, NX_SAMPLED_NEW, "Tokens generated."},
    {"nexus_speculative_drafted_tokens_total", "vllm:spec_decode_num_draft_tokens_total", KIND_SAMPLED, NX_SAMPLED_DRAFTED, "Tokens guessed ahead."},
    {"nexus_speculative_accepted_tokens_total", "vllm:spec_decode_num_accepted_tokens_total", KIND_SAMPLED, NX_SAMPLED_ACCEPTED, "Tokens guessed right."},
    {"nexus_requests_finished_total", "vllm:request_success_total", KIND_FINISHED, 0, "Requests that ended, by reason."},
    {"nexus_time_to_first_token_seconds", "vllm:time_to_first_token_seconds", KIND_HIST, NX_HIST_FIRST_TOKEN, "From a request's arrival to its first token."},
    {"nexus_inter_token_latency_seconds", "vllm:inter_token_latency_seconds", KIND_HIST, NX_HIST_INTER_TOKEN, "From one token of an answer to its next."},
    {NULL, "vllm:time_per_output_token_seconds", KIND_HIST, NX_HIST_INTER_TOKEN, "The same under its older name."},
    {"nexus_e2e_request_latency_seconds", "vllm:e2e_request_latency_seconds", KIND_HIST, NX_HIST_REQUEST, "From a request's arrival to its end."},
    {"nexus_request_queue_seconds", "vllm:request_queue_time_seconds", KIND_HIST, NX_HIST_QUEUE, "Time of requests in the queue."},
    {"nexus_request_prefill_seconds", "vllm:request_prefill_time_seconds", KIND_HIST, NX_HIST_PREFILL, "Time of requests in reading their prompt."},
    {"nexus_request_decode_seconds", "vllm:request_decode_time_seconds", KIND_HIST, NX_HIST_DECODE, "Time of requests in generating."},
    {"nexus_engine_step_seconds", NULL, KIND_HIST, NX_HIST_STEP, "Duration of the engine's steps."},
    {"nexus_engine_last_step_timestamp_seconds", NULL, KIND_LAST_STEP, 0, "When the engine's last step ended, Unix time."},
    {"nexus_model_load_seconds", NULL, KIND_LOAD_SECONDS, 0, "How long the model's last load took."},
    {"nexus_model_info", NULL, KIND_INFO, 0, "1 for each model that is loaded now."},
};
/* clang-format on */

/* A model as this scrape sees it. */
typedef struct seen_model {
    const nx_model_metrics *mm;
    char                    labels[2 * NX_METRICS_NAME_MAX + 40];
    nx_model_sums           sums;
    nx_model_about          about;
} seen_model;

typedef struct seen {
    seen_model *models; /* [n] */
    size_t      n;
    int64_t     now_ns, now_unix_ms;
} seen;

static const char *type_of(family_kind kind)
{
    switch (kind) {
    case KIND_SAMPLED:
    case KIND_FINISHED: return "counter";
    case KIND_HIST: return "histogram";
    default: return "gauge";
    }
}

/* Is there such a series of the model? */
static bool has_series(const seen_model *s, family_kind kind)
{
    switch (kind) {
    case KIND_LAST_STEP: return s->sums.last_step_ns > 0;
    case KIND_LOAD_SECONDS: return s->about.load_s >= 0;
    case KIND_INFO: return s->about.loaded && s->mm != s->mm->all->other;
    default: return true;
    }
}

static double kv_usage(const nx_model_sums *s)
{
    return s->n_pages > 0 ? (double)s->n_pages_running / (double)s->n_pages : 0;
}

/* A moment of the steady clock, on the wall: this long ago. */
static uint64_t unix_ns(const seen *all, int64_t steady_ns)
{
    const int64_t ns = all->now_unix_ms * 1000000 - (all->now_ns - steady_ns);

    return ns > 0 ? (uint64_t)ns : 0;
}

static void put_value(writer *w, const family *f, const seen *all, const seen_model *s)
{
    switch (f->kind) {
    case KIND_SAMPLED: put_count(w, s->sums.counters[f->idx]); break;
    case KIND_SLICE: put_gauge(w, s->sums.n_slice); break;
    case KIND_RUNNING: put_gauge(w, s->sums.n_running); break;
    case KIND_WAITING: put_gauge(w, s->sums.n_waiting); break;
    case KIND_KV_USAGE: put_real(w, kv_usage(&s->sums)); break;
    case KIND_LAST_STEP: put_seconds(w, unix_ns(all, s->sums.last_step_ns)); break;
    case KIND_LOAD_SECONDS: put_real(w, s->about.load_s); break;
    default: put_count(w, 1); break;
    }
}

static void put_series(writer *w, const family *f, const char *name, const seen *all,
                       const seen_model *s)
{
    if (f->kind == KIND_HIST) {
        put_histogram(w, name, s->labels, &s->mm->hists[f->idx], nx_model_hist_bounds(f->idx));
        return;
    }
    if (f->kind == KIND_FINISHED) {
        put_words(w, name, s->labels, w->vllm ? "finished_reason" : "reason", finish_words,
                  s->mm->finished, NX_METRICS_N_FINISHES);
        return;
    }
    put(w, name);
    put(w, "{");
    put(w, s->labels);
    if (f->kind == KIND_INFO) {
        put(w, ",arch=\"");
        put(w, s->about.arch);
        put(w, "\",quant=\"");
        put(w, s->about.quant);
        put(w, "\"");
    }
    put(w, "} ");
    put_value(w, f, all, s);
}

static void put_family(writer *w, const family *f, const seen *all)
{
    const char *name = w->vllm ? f->vllm : f->name;
    bool        first = true;

    for (size_t i = 0; name && i < all->n; i++) {
        if (!has_series(&all->models[i], f->kind)) continue;
        if (first) put_head(w, name, type_of(f->kind), f->help);
        first = false;
        put_series(w, f, name, all, &all->models[i]);
    }
}

static void see_model(seen *all, nx_model_metrics *mm, bool vllm)
{
    seen_model *s = &all->models[all->n++];

    s->mm = mm;
    nx_model_metrics_sum(mm, &s->sums, &s->about);
    snprintf(s->labels, sizeof s->labels, vllm ? "model_name=\"%s\",engine=\"0\"" : "model=\"%s\"",
             mm->label);
}

static void put_models(writer *w, nx_metrics *m)
{
    seen_model   models[NX_METRICS_MODELS_MAX + 1];
    seen         all = {models, 0, nx_clock_ns(), nx_clock_unix_ms()};
    const size_t n = atomic_load_explicit(&m->n_models, memory_order_acquire);

    for (size_t i = 0; i < n; i++)
        see_model(&all, atomic_load_explicit(&m->models[i], memory_order_acquire), w->vllm);
    if (atomic_load_explicit(&m->other_used, memory_order_relaxed))
        see_model(&all, m->other, w->vllm);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        put_family(w, &families[i], &all);
}

/* ---- The process ---- */

static void put_process_gauge(writer *w, const char *name, const char *help, int64_t x)
{
    if (x < 0) return; /* not known */
    put_head(w, name, "gauge", help);
    put(w, name);
    put(w, " ");
    put_gauge(w, x);
}

static void put_process_real(writer *w, const char *name, const char *type, const char *help,
                             double x)
{
    if (x < 0) return;
    put_head(w, name, type, help);
    put(w, name);
    put(w, " ");
    put_real(w, x);
}

static void put_process(writer *w)
{
    nx_process p;

    nx_process_read(&p);
    put_process_real(w, "process_cpu_seconds_total", "counter", "Processor time of all threads.",
                     p.cpu_s);
    put_process_real(w, "process_start_time_seconds", "gauge", "Start of the process, Unix time.",
                     p.start_unix_s);
    put_process_gauge(w, "process_resident_memory_bytes", "Memory in use, mapped models included.",
                      p.resident_bytes);
    put_process_gauge(w, "process_virtual_memory_bytes", "Address space in use.", p.virtual_bytes);
    put_process_gauge(w, "process_open_fds", "Open descriptors.", p.n_fds);
    put_process_gauge(w, "process_max_fds", "Descriptors that may be open.", p.n_fds_max);
    put_process_gauge(w, "process_threads", "Threads.", p.n_threads);
    put_head(w, "nexus_build_info", "gauge", "1, with the version of the program.");
    put(w, "nexus_build_info{version=\"" NX_VERSION "\"} 1\n");
}

nx_status nx_metrics_text(nx_metrics *m, nx_metrics_view view, nx_buf *out, nx_error *err)
{
    const size_t before = out->len;
    writer       w = {.out = out, .err = err, .vllm = view == NX_METRICS_VLLM};

    if (m->opt.collect) m->opt.collect(m->opt.ctx, m);
    if (!w.vllm) put_server(&w, m);
    put_models(&w, m);
    if (!w.vllm) put_process(&w);
    if (w.st && out->data) {
        out->len = before;
        out->data[before] = '\0';
    }
    return w.st;
}
