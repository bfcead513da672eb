/* Protects: what Prometheus reads is well formed, counts what happened, never falls, and costs nobody
 * anything: promtool has no complaint, models come and go, eight threads count while one scrapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "server/metrics.h"

#define N_ROUTES 40

static void route(void *ctx, size_t idx, const char **method, const char **path)
{
    static char paths[N_ROUTES][32];

    (void)ctx;
    if (!paths[idx][0]) snprintf(paths[idx], sizeof paths[idx], "/v1/things/%zu/{id}", idx);
    *method = idx % 2 ? "POST" : "GET";
    *path = idx == 0 ? "/v1/models/{model+}" : paths[idx];
}

static void name_routes(void)
{
    const char *method, *path;

    for (size_t i = 0; i < N_ROUTES; i++) route(NULL, i, &method, &path);
}

static nx_metrics *create(void (*collect)(void *, nx_metrics *), void *ctx)
{
    const nx_metrics_options opt = {
        .ctx = ctx, .n_routes = N_ROUTES, .route = route, .collect = collect};
    nx_metrics *m = NULL;

    name_routes();
    assert_int_equal(nx_metrics_create(&m, &opt, NULL), NX_OK);
    return m;
}

static nx_buf body;

static const char *text_of(nx_metrics *m, nx_metrics_view view)
{
    nx_error err;

    nx_buf_free(&body);
    body.max = NX_METRICS_TEXT_MAX;
    const nx_status st = nx_metrics_text(m, view, &body, &err);
    if (st) fail_msg("%s", err.text);
    return body.data;
}

/* The value behind the line's beginning `series`; NAN: no such line. */
static double value_in(const char *text, const char *series)
{
    const size_t n = strlen(series);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, series, n) == 0 && line[n] == ' ') return strtod(line + n, NULL);
    }
    return NAN;
}

static double value(nx_metrics *m, const char *series)
{
    return value_in(text_of(m, NX_METRICS_NATIVE), series);
}

#define assert_value(m, series, x)                                                                 \
    do {                                                                                           \
        const double got_ = value(m, series);                                                      \
        if (!(fabs(got_ - (x)) < 1e-9))                                                            \
            fail_msg("%s is %.17g, expected %.17g", series, got_, (double)(x));                    \
    } while (0)

/* ---- HTTP ---- */

static void http_by_route_and_class(void **state)
{
    nx_metrics *m = create(NULL, NULL);

    (void)state;
    nx_metrics_http(m, 0, "GET", 200, 0.0005);
    nx_metrics_http(m, 0, "GET", 204, 0.001);
    nx_metrics_http(m, 0, "GET", 429, 2);
    nx_metrics_http(m, 1, "POST", 0, 1000);
    nx_metrics_http(m, NX_METRICS_NO_ROUTE, "GET", 404, 0.1);
    nx_metrics_http(m, N_ROUTES, "BREW", 404, 0.1);
    nx_metrics_http(m, NX_METRICS_NO_ROUTE, NULL, 9999, NAN);
#define REQUESTS "nexus_http_requests_total{route="
#define BUCKET   "nexus_http_request_duration_seconds_bucket{route="
    assert_value(m, REQUESTS "\"/v1/models/{model+}\",method=\"GET\",code=\"2xx\"}", 2);
    assert_value(m, REQUESTS "\"/v1/models/{model+}\",method=\"GET\",code=\"4xx\"}", 1);
    assert_value(m, REQUESTS "\"/v1/things/1/{id}\",method=\"POST\",code=\"none\"}", 1);
    assert_value(m, REQUESTS "\"unmatched\",method=\"GET\",code=\"4xx\"}", 1);
    assert_value(m, REQUESTS "\"unmatched\",method=\"other\",code=\"4xx\"}", 1);
    assert_value(m, REQUESTS "\"unmatched\",method=\"other\",code=\"none\"}", 1);
    assert_value(m, BUCKET "\"/v1/models/{model+}\",method=\"GET\",code=\"2xx\",le=\"0.001\"}", 2);
    assert_value(m, BUCKET "\"/v1/models/{model+}\",method=\"GET\",code=\"4xx\",le=\"1\"}", 0);
    assert_value(m, BUCKET "\"/v1/models/{model+}\",method=\"GET\",code=\"4xx\",le=\"2.5\"}", 1);
    assert_value(m, BUCKET "\"/v1/things/1/{id}\",method=\"POST\",code=\"none\",le=\"600\"}", 0);
    assert_value(m, BUCKET "\"/v1/things/1/{id}\",method=\"POST\",code=\"none\",le=\"+Inf\"}", 1);
    assert_value(m,
                 "nexus_http_request_duration_seconds_sum{route=\"/v1/models/{model+}\","
                 "method=\"GET\",code=\"2xx\"}",
                 0.0015);
    nx_metrics_destroy(m);
}

static void counters_of_the_server(void **state)
{
    nx_metrics           *m = create(NULL, NULL);
    const nx_httpd_counts counts = {.n_connections = 10, .n_idle = 6, .n_streaming = 3};

    (void)state;
    assert_value(m, "nexus_http_rejected_total{reason=\"queue_full\"}", 0); /* from the start */
    nx_metrics_rejected(m, NX_METRICS_REJECT_QUEUE_FULL);
    nx_metrics_rejected_by_httpd(m, NX_REJECT_HEAD_LATE);
    nx_metrics_rejected_by_httpd(m, NX_REJECT_BODY_LATE);
    nx_metrics_rejected_by_httpd(m, NX_REJECT_BODY);
    nx_metrics_auth_failed(m, NX_METRICS_AUTH_REVOKED);
    nx_metrics_quota_exceeded(m, NX_METRICS_QUOTA_TOKENS);
    nx_metrics_usage_write_failed(m);
    nx_metrics_set_connections(m, &counts);
    nx_metrics_set_log_dropped(m, 7);
    nx_metrics_set_log_dropped(m, 5); /* from a scrape that was overtaken */
    assert_value(m, "nexus_http_rejected_total{reason=\"queue_full\"}", 1);
    assert_value(m, "nexus_http_rejected_total{reason=\"header_timeout\"}", 1);
    assert_value(m, "nexus_http_rejected_total{reason=\"body\"}", 2);
    assert_value(m, "nexus_auth_failures_total{reason=\"revoked\"}", 1);
    assert_value(m, "nexus_quota_exceeded_total{reason=\"tokens\"}", 1);
    assert_value(m, "nexus_usage_write_errors_total", 1);
    assert_value(m, "nexus_log_dropped_total", 7);
    assert_value(m, "nexus_http_connections{state=\"idle\"}", 6);
    assert_value(m, "nexus_http_connections{state=\"active\"}", 1);
    assert_value(m, "nexus_http_connections{state=\"streaming\"}", 3);
    assert_value(m, "nexus_build_info{version=\"" NX_VERSION "\"}", 1);
    assert_true(value(m, "process_resident_memory_bytes") > 1000);
    assert_true(value(m, "process_start_time_seconds") > 1.7e9);
    nx_metrics_destroy(m);
}

/* ---- Models ---- */

static void jobs_and_steps(void **state)
{
    nx_metrics           *m = create(NULL, NULL);
    nx_model_metrics     *mm = nx_metrics_model(m, "mini");
    const int64_t         s = 1000000000;
    const nx_job_progress whole = {.created_ns = s,
                                   .started_ns = s + s / 2,
                                   .first_ns = 2 * s,
                                   .last_ns = 5 * s,
                                   .done_ns = 5 * s + 1};
    const nx_job_progress refused = {.created_ns = s, .done_ns = 3 * s};

    (void)state;
    assert_ptr_equal(mm, nx_metrics_model(m, "mini"));
    nx_model_metrics_job_done(mm, &whole, NX_METRICS_LENGTH);
    nx_model_metrics_job_done(mm, &refused, NX_METRICS_ABORT);
    nx_model_metrics_observe(mm, NX_OBSERVED_STEP, 0.0011);
    nx_model_metrics_observe(mm, NX_OBSERVED_INTER_TOKEN, 3);
    nx_model_metrics_observe(mm, NX_OBSERVED_CANCEL, 0.02);
    assert_value(m, "nexus_requests_finished_total{model=\"mini\",reason=\"length\"}", 1);
    assert_value(m, "nexus_requests_finished_total{model=\"mini\",reason=\"abort\"}", 1);
    assert_value(m, "nexus_requests_finished_total{model=\"mini\",reason=\"stop\"}", 0);
    assert_value(m, "nexus_request_queue_seconds_sum{model=\"mini\"}", 0.5);
    assert_value(m, "nexus_request_prefill_seconds_sum{model=\"mini\"}", 0.5);
    assert_value(m, "nexus_time_to_first_token_seconds_sum{model=\"mini\"}", 1);
    assert_value(m, "nexus_time_to_first_token_seconds_bucket{model=\"mini\",le=\"0.75\"}", 0);
    assert_value(m, "nexus_time_to_first_token_seconds_bucket{model=\"mini\",le=\"1\"}", 1);
    assert_value(m, "nexus_time_to_first_token_seconds_bucket{model=\"mini\",le=\"2560\"}", 1);
    assert_value(m, "nexus_request_decode_seconds_sum{model=\"mini\"}", 3);
    assert_value(m, "nexus_e2e_request_latency_seconds_sum{model=\"mini\"}", 6.000000001);
    assert_value(m, "nexus_e2e_request_latency_seconds_count{model=\"mini\"}", 2);
    assert_value(m, "nexus_engine_step_seconds_bucket{model=\"mini\",le=\"0.001\"}", 0);
    assert_value(m, "nexus_engine_step_seconds_bucket{model=\"mini\",le=\"0.0025\"}", 1);
    assert_value(m, "nexus_inter_token_latency_seconds_bucket{model=\"mini\",le=\"2.5\"}", 0);
    assert_value(m, "nexus_inter_token_latency_seconds_bucket{model=\"mini\",le=\"+Inf\"}", 1);
    assert_value(m, "nexus_cancel_latency_seconds_count", 1);
    nx_metrics_destroy(m);
}

static void counters_outlive_a_load(void **state)
{
    nx_metrics            *m = create(NULL, NULL);
    nx_model_metrics      *mm = nx_metrics_model(m, "mini");
    const nx_service_stats early = {.n_prompt = 100,
                                    .n_new = 10,
                                    .n_running = 3,
                                    .n_pages = 8,
                                    .n_pages_running = 2,
                                    .last_step_ns = 1};
    const nx_service_stats late = {.n_prompt = 150, .n_new = 20, .n_running = 2};
    const nx_service_stats second = {.n_prompt = 7, .n_new = 1, .n_running = 1};

    (void)state;
    assert_true(isnan(value(m, "nexus_model_info{model=\"mini\",arch=\"llama\",quant=\"Q4_K\"}")));
    const uint64_t load = nx_model_metrics_loaded(mm, "llama", "Q4_K", 1.25);
    assert_value(m, "nexus_model_info{model=\"mini\",arch=\"llama\",quant=\"Q4_K\"}", 1);
    assert_value(m, "nexus_model_load_seconds{model=\"mini\"}", 1.25);
    assert_true(isnan(value(m, "nexus_engine_last_step_timestamp_seconds{model=\"mini\"}")));
    nx_model_metrics_sample(mm, load, &early);
    assert_value(m, "nexus_prompt_tokens_total{model=\"mini\"}", 100);
    assert_value(m, "nexus_requests_running{model=\"mini\"}", 3);
    assert_value(m, "nexus_kv_cache_usage_ratio{model=\"mini\"}", 0.25);
    assert_true(value(m, "nexus_engine_last_step_timestamp_seconds{model=\"mini\"}") > 1e9);
    nx_model_metrics_unloaded(mm, load, &late);
    nx_model_metrics_sample(mm, load, &early); /* a scrape that was under way */
    assert_value(m, "nexus_prompt_tokens_total{model=\"mini\"}", 150);
    assert_value(m, "nexus_requests_running{model=\"mini\"}", 0);
    assert_true(isnan(value(m, "nexus_model_info{model=\"mini\",arch=\"llama\",quant=\"Q4_K\"}")));
    const uint64_t again = nx_model_metrics_loaded(mm, "llama", "Q4_K", 0.5);
    assert_true(again != load && again != 0);
    nx_model_metrics_sample(mm, again, &second);
    assert_value(m, "nexus_prompt_tokens_total{model=\"mini\"}", 157);
    assert_value(m, "nexus_generation_tokens_total{model=\"mini\"}", 21);
    assert_value(m, "nexus_requests_running{model=\"mini\"}", 1);
    nx_model_metrics_unloaded(mm, again, NULL);
    assert_value(m, "nexus_prompt_tokens_total{model=\"mini\"}", 157);
    nx_metrics_destroy(m);
}

static void loads_at_once(void **state)
{
    nx_metrics            *m = create(NULL, NULL);
    nx_model_metrics      *mm = nx_metrics_model(m, "mini");
    const nx_service_stats s = {.n_new = 10, .n_running = 1};
    uint64_t               loads[NX_METRICS_LOADS_MAX];

    (void)state;
    for (int i = 0; i < NX_METRICS_LOADS_MAX; i++) {
        loads[i] = nx_model_metrics_loaded(mm, "llama", "F16", 1);
        nx_model_metrics_sample(mm, loads[i], &s);
    }
    assert_int_equal(nx_model_metrics_loaded(mm, "llama", "F16", 1), 0);
    nx_model_metrics_sample(mm, 0, &s);
    nx_model_metrics_unloaded(mm, 0, &s);
    assert_value(m, "nexus_generation_tokens_total{model=\"mini\"}", 10 * NX_METRICS_LOADS_MAX);
    nx_model_metrics_unloaded(mm, loads[3], NULL);
    assert_value(m, "nexus_requests_running{model=\"mini\"}", NX_METRICS_LOADS_MAX - 1);
    assert_true(nx_model_metrics_loaded(mm, "llama", "F16", 1) != 0);
    nx_metrics_destroy(m);
}

static void names_are_bounded_and_escaped(void **state)
{
    nx_metrics *m = create(NULL, NULL);
    char        name[300], series[400];

    (void)state;
    nx_metrics_model(m, "a\"b\\c\nd\x01\xFF");
    assert_value(m, "nexus_requests_running{model=\"a\\\"b\\\\c?d??\"}", 0);
    memset(name, 'x', sizeof name);
    memcpy(name + NX_METRICS_NAME_MAX - 1, "\xC3\xA9", 2); /* cut in two: not shown at all */
    name[sizeof name - 1] = '\0';
    nx_model_metrics *mm = nx_metrics_model(m, name);
    name[NX_METRICS_NAME_MAX + 20] = '\0';
    assert_ptr_equal(mm, nx_metrics_model(m, name));
    name[NX_METRICS_NAME_MAX - 1] = '\0';
    snprintf(series, sizeof series, "nexus_requests_running{model=\"%s\"}", name);
    assert_value(m, series, 0);
    assert_non_null(nx_metrics_model(m, NULL));
    nx_metrics_destroy(m);
}

static void many_models_are_other(void **state)
{
    nx_metrics       *m = create(NULL, NULL);
    nx_model_metrics *first = NULL, *mm = NULL;
    char              name[32];

    (void)state;
    for (int i = 0; i < NX_METRICS_MODELS_MAX; i++) {
        snprintf(name, sizeof name, "m%d", i);
        mm = nx_metrics_model(m, name);
        if (i == 0) first = mm;
    }
    assert_true(isnan(value(m, "nexus_requests_running{model=\"other\"}")));
    mm = nx_metrics_model(m, "one more");
    assert_ptr_equal(mm, nx_metrics_model(m, "and another"));
    assert_ptr_equal(first, nx_metrics_model(m, "m0"));
    nx_model_metrics_loaded(mm, "llama", "F16", 1);
    assert_value(m, "nexus_requests_running{model=\"other\"}", 0);
    nx_metrics_destroy(m);
}

/* ---- The text ---- */

typedef struct stand_in {
    nx_service_stats  stats;
    nx_model_metrics *mm[NX_METRICS_MODELS_MAX];
    uint64_t          loads[NX_METRICS_MODELS_MAX];
    int               n;
} stand_in;

static void collect(void *ctx, nx_metrics *m)
{
    stand_in             *s = ctx;
    const nx_httpd_counts counts = {3, 1, 1};

    for (int i = 0; i < s->n; i++) nx_model_metrics_sample(s->mm[i], s->loads[i], &s->stats);
    nx_metrics_set_connections(m, &counts);
}

/* Every series there can be, of n models with long names. */
static nx_metrics *populate(stand_in *s, int n)
{
    nx_metrics           *m = create(collect, s);
    const nx_job_progress p = {.created_ns = 1,
                               .started_ns = 1000,
                               .first_ns = 123456789,
                               .last_ns = 9876543210,
                               .done_ns = 9876543211};
    char                  name[64];

    s->stats = (nx_service_stats){.n_running = 1,
                                  .n_waiting = 2,
                                  .n_slots = 8,
                                  .n_ctx = 4096,
                                  .page_len = 16,
                                  .n_pages = 512,
                                  .n_pages_running = 200,
                                  .n_pages_cached = 100,
                                  .n_prefix_queried = 1000,
                                  .n_prefix_hit = 900,
                                  .n_prompt = 12345678,
                                  .n_new = 23456789,
                                  .n_steps = 1,
                                  .n_preempted = 5,
                                  .n_drafted = 6,
                                  .n_accepted = 7,
                                  .last_step_ns = nx_clock_ns(),
                                  .n_slice = 16};
    s->n = n;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "organisation/some-model-%d-instruct-q4_k_m", i);
        s->mm[i] = nx_metrics_model(m, name);
        s->loads[i] = nx_model_metrics_loaded(s->mm[i], "llama", "Q4_K_M", 3.5);
        for (int why = 0; why < NX_METRICS_N_FINISHES; why++)
            nx_model_metrics_job_done(s->mm[i], &p, (nx_metrics_finish)why);
        for (int k = 0; k < 1000; k++) {
            nx_model_metrics_observe(s->mm[i], NX_OBSERVED_STEP, k * 0.003);
            nx_model_metrics_observe(s->mm[i], NX_OBSERVED_INTER_TOKEN, k * 0.003);
        }
    }
    nx_model_metrics_observe(s->mm[0], NX_OBSERVED_CANCEL, 0.004);
    for (size_t r = 0; r <= N_ROUTES; r++)
        for (int status = 100; status <= 600; status += 100)
            nx_metrics_http(m, r, "GET", status, 0.01 * (double)r);
    return m;
}

/* Runs promtool over the text; its exit status, and what it said. */
static int promtool(const char *text, size_t len, char *said, size_t cap)
{
    char path[64], command[160];

    snprintf(path, sizeof path, "/tmp/nx-metrics-%ld.txt", (long)getpid());
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    snprintf(command, sizeof command, "promtool check metrics < %s 2>&1", path);
    FILE *p = popen(command, "re");
    assert_non_null(p);
    said[fread(said, 1, cap - 1, p)] = '\0';
    const int status = pclose(p);
    unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void promtool_is_content(void **state)
{
    static stand_in s;
    static char     said[4096];

    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("skipped: promtool isn't installed (Debian: apt install prometheus)\n");
        skip();
    }
    nx_metrics *m = populate(&s, 3);
    nx_metrics_model(m, "quo\"ted \\ \xC3\xA9\n");
    const char *text = text_of(m, NX_METRICS_NATIVE);
    const int   rc = promtool(text, body.len, said, sizeof said);
    if (rc || said[0]) fail_msg("promtool: exit %d: %s", rc, said);
    nx_metrics_destroy(m);
    m = create(NULL, NULL); /* nothing has happened yet */
    text = text_of(m, NX_METRICS_NATIVE);
    const int rc_empty = promtool(text, body.len, said, sizeof said);
    if (rc_empty || said[0]) fail_msg("promtool, empty: exit %d: %s", rc_empty, said);
    nx_metrics_destroy(m);
}

static void names_of_vllm(void **state)
{
    static const char *const names[] = {
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
        "vllm:time_to_first_token_seconds_count",
        "vllm:prompt_tokens_total",
        "vllm:time_per_output_token_seconds_count",
        "vllm:generation_tokens_total",
        "vllm:e2e_request_latency_seconds_count",
        "vllm:inter_token_latency_seconds_count",
    };
    static stand_in s;
    nx_metrics     *m = populate(&s, 1);
    const char     *text = text_of(m, NX_METRICS_VLLM);
#define LABELS "model_name=\"organisation/some-model-0-instruct-q4_k_m\",engine=\"0\""

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char series[200];
        snprintf(series, sizeof series, "%s{%s}", names[i], LABELS);
        if (!(value_in(text, series) > 0)) fail_msg("%s: none", series);
    }
    assert_true(value_in(text, "vllm:request_success_total{" LABELS ",finished_reason=\"stop\"}") ==
                1);
    assert_null(strstr(text, "nexus_"));
    assert_null(strstr(text, "process_"));
    nx_metrics_destroy(m);
}

static void no_locale_in_numbers(void **state)
{
    nx_metrics *m = create(NULL, NULL);

    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        print_message("no German locale here; the text uses none\n");
    nx_metrics_http(m, 0, "GET", 200, 1.5);
    const char *text = text_of(m, NX_METRICS_NATIVE);
    assert_non_null(
        strstr(text, "_sum{route=\"/v1/models/{model+}\",method=\"GET\",code=\"2xx\"} 1.5\n"));
    setlocale(LC_ALL, "C");
    nx_metrics_destroy(m);
}

static void failures_leave_the_buffer(void **state)
{
    nx_metrics *m = create(NULL, NULL);
    nx_buf      small = {.max = 100};
    nx_error    err;

    (void)state;
    assert_int_equal(nx_buf_add(&small, "before", 6, NULL), NX_OK);
    assert_int_equal(nx_metrics_text(m, NX_METRICS_NATIVE, &small, &err), NX_ELIMIT);
    assert_string_equal(small.data, "before");
    nx_buf_free(&small);
    nx_metrics_destroy(m);
}

static void without_memory(void **state)
{
    const nx_metrics_options opt = {.n_routes = N_ROUTES, .route = route};
    nx_metrics              *m = NULL;

    (void)state;
    for (int n = 0; n < 3; n++) {
        nx_alloc_fail_after(n);
        assert_int_equal(nx_metrics_create(&m, &opt, NULL), NX_ENOMEM);
    }
    nx_alloc_fail_after(-1);
    m = create(NULL, NULL);
    nx_alloc_fail_after(0);
    nx_metrics_http(m, 0, "GET", 200, 1); /* lost */
    nx_model_metrics *mm = nx_metrics_model(m, "mini");
    nx_alloc_fail_after(-1);
    assert_non_null(mm);
    assert_value(m, "nexus_requests_running{model=\"other\"}", 0);
    assert_true(nx_metrics_model(m, "mini") != mm);
    nx_metrics_destroy(m);
    assert_int_equal(nx_metrics_create(&m, &(nx_metrics_options){.n_routes = 5000}, NULL),
                     NX_EINVAL);
}

/* ---- Threads ---- */

#define N_THREADS 8
#define N_ROUNDS  20000

static atomic_int n_counting;

static void *count_a_lot(void *arg)
{
    nx_metrics           *m = arg;
    const nx_job_progress p = {
        .created_ns = 1, .started_ns = 2, .first_ns = 3, .last_ns = 4, .done_ns = 5};
    char name[16];

    for (int i = 0; i < N_ROUNDS; i++) {
        nx_metrics_http(m, (size_t)i % (N_ROUTES + 1), "GET", 200 + i % 2 * 200, 0.01);
        snprintf(name, sizeof name, "m%d", i % 70);
        nx_model_metrics *mm = nx_metrics_model(m, name);
        nx_model_metrics_job_done(mm, &p, NX_METRICS_STOP);
        nx_model_metrics_observe(mm, NX_OBSERVED_STEP, 0.001);
        nx_metrics_rejected(m, NX_METRICS_REJECT_RATE);
        if (i % 100) continue;
        const uint64_t         load = nx_model_metrics_loaded(mm, "a", "q", 1);
        const nx_service_stats stats = {.n_new = 3};
        nx_model_metrics_sample(mm, load, &stats);
        nx_model_metrics_unloaded(mm, load, NULL);
    }
    atomic_fetch_sub(&n_counting, 1);
    return NULL;
}

/* The sum of all series of a family. */
static double total(const char *text, const char *name)
{
    const size_t n = strlen(name);
    double       sum = 0;

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, name, n) || line[n] != '{') continue;
        const char *blank = strstr(line, "} ");
        if (blank) sum += strtod(blank + 2, NULL);
    }
    return sum;
}

static void scraped_while_counting(void **state)
{
    nx_metrics *m = create(NULL, NULL);
    pthread_t   threads[N_THREADS];
    double      before = 0;
    int         n_scrapes = 0;

    (void)state;
    atomic_store(&n_counting, N_THREADS);
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_a_lot, m), 0);
    for (; atomic_load(&n_counting) > 0; n_scrapes++) {
        const double now = total(text_of(m, NX_METRICS_NATIVE), "nexus_http_requests_total");
        assert_true(now >= before);
        before = now;
    }
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    const char *text = text_of(m, NX_METRICS_NATIVE);
    assert_true(total(text, "nexus_http_requests_total") == N_THREADS * N_ROUNDS);
    assert_true(total(text, "nexus_requests_finished_total") == N_THREADS * N_ROUNDS);
    assert_true(total(text, "nexus_engine_step_seconds_count") == N_THREADS * N_ROUNDS);
    assert_true(value_in(text, "nexus_http_rejected_total{reason=\"rate\"}") ==
                N_THREADS * N_ROUNDS);
    assert_true(total(text, "nexus_generation_tokens_total") <= N_THREADS * N_ROUNDS / 100 * 3);
    print_message("%d scrapes while %d threads counted\n", n_scrapes, N_THREADS);
    nx_metrics_destroy(m);
}

static void scrape_is_quick(void **state)
{
    static stand_in s;
    nx_metrics     *m = populate(&s, NX_METRICS_MODELS_MAX);
    int64_t         best = INT64_MAX, worst = 0;

    (void)state;
    text_of(m, NX_METRICS_NATIVE);
    for (int i = 0; i < 20; i++) {
        nx_buf        out = {.max = NX_METRICS_TEXT_MAX}; /* cold, as in the server */
        const int64_t from = nx_clock_ns();
        assert_int_equal(nx_metrics_text(m, NX_METRICS_NATIVE, &out, NULL), NX_OK);
        const int64_t took = nx_clock_ns() - from;
        if (took < best) best = took;
        if (took > worst) worst = took;
        nx_buf_free(&out);
    }
    print_message("scrape of %d models, all series, %zu bytes: best %.2f ms, worst %.2f ms of 20\n",
                  NX_METRICS_MODELS_MAX, body.len, (double)best / 1e6, (double)worst / 1e6);
#ifdef NDEBUG
    assert_true(best < 50000000);
#endif
    nx_metrics_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_by_route_and_class),
        cmocka_unit_test(counters_of_the_server),
        cmocka_unit_test(jobs_and_steps),
        cmocka_unit_test(counters_outlive_a_load),
        cmocka_unit_test(loads_at_once),
        cmocka_unit_test(names_are_bounded_and_escaped),
        cmocka_unit_test(many_models_are_other),
        cmocka_unit_test(promtool_is_content),
        cmocka_unit_test(names_of_vllm),
        cmocka_unit_test(no_locale_in_numbers),
        cmocka_unit_test(failures_leave_the_buffer),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(scraped_while_counting),
        cmocka_unit_test(scrape_is_quick),
    };
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);

    nx_buf_free(&body);
    return n_failed;
}
