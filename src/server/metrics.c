/* metrics.c - counting: atomic additions, and sums over loads of a model.
 *
 * Invariant: no counter ever falls. A sample that is older than the last one (scrapes overlap)
 *            changes nothing, and what a load had counted goes into the base when it ends.
 */
#include "server/metrics_in.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

/* ---- Histograms ---- */

/* clang-format off */
#define LE(x) {(uint64_t)((x) * 1e9 + 0.5), "le=\"" #x "\"} "}
#define BOUNDS(name, ...)                                                                          \
    static const nx_bound name##_at[] = {__VA_ARGS__};                                             \
    _Static_assert(sizeof name##_at / sizeof *name##_at <= NX_BOUNDS_MAX, "raise NX_BOUNDS_MAX");  \
    const nx_bounds name = {name##_at, sizeof name##_at / sizeof *name##_at};

BOUNDS(nx_bounds_first_token, LE(0.001), LE(0.005), LE(0.01), LE(0.02), LE(0.04), LE(0.06), LE(0.08),
       LE(0.1), LE(0.25), LE(0.5), LE(0.75), LE(1), LE(2.5), LE(5), LE(7.5), LE(10), LE(20), LE(40),
       LE(80), LE(160), LE(640), LE(2560))
BOUNDS(nx_bounds_request, LE(0.3), LE(0.5), LE(0.8), LE(1), LE(1.5), LE(2), LE(2.5), LE(5), LE(10),
       LE(15), LE(20), LE(30), LE(40), LE(50), LE(60), LE(120), LE(240), LE(480), LE(960), LE(1920),
       LE(7680))
BOUNDS(nx_bounds_token, LE(0.001), LE(0.0025), LE(0.005), LE(0.01), LE(0.025), LE(0.05), LE(0.075),
       LE(0.1), LE(0.15), LE(0.2), LE(0.3), LE(0.4), LE(0.5), LE(0.75), LE(1), LE(2.5))
/* A page of /docs takes a millisecond, a long answer ten minutes. */
BOUNDS(nx_bounds_http, LE(0.001), LE(0.005), LE(0.01), LE(0.025), LE(0.05), LE(0.1), LE(0.25), LE(0.5),
       LE(1), LE(2.5), LE(5), LE(10), LE(30), LE(60), LE(120), LE(300), LE(600))
/* A scan of ten thousand vectors takes less than a millisecond, a filter over a million a second. */
BOUNDS(nx_bounds_store, LE(0.0005), LE(0.001), LE(0.0025), LE(0.005), LE(0.01), LE(0.025), LE(0.05),
       LE(0.1), LE(0.25), LE(0.5), LE(1), LE(2.5), LE(5), LE(10), LE(30))
/* clang-format on */

const nx_bounds *nx_model_hist_bounds(nx_model_hist h)
{
    switch (h) {
    case NX_HIST_FIRST_TOKEN:
    case NX_HIST_QUEUE:
    case NX_HIST_PREFILL: return &nx_bounds_first_token;
    case NX_HIST_INTER_TOKEN:
    case NX_HIST_STEP: return &nx_bounds_token;
    default: return &nx_bounds_request;
    }
}

static void count(_Atomic uint64_t *n)
{
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static void observe(nx_histogram *h, const nx_bounds *bounds, double seconds)
{
    const double seconds_max = 1e8; /* three years: sums of them stay far from 2^64 ns */
    size_t       i = 0;

    if (!(seconds > 0)) seconds = 0; /* NaN, too */
    if (seconds > seconds_max) seconds = seconds_max;
    const uint64_t ns = (uint64_t)(seconds * 1e9 + 0.5);
    while (i < bounds->n && ns > bounds->at[i].ns) i++;
    count(&h->counts[i]);
    atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

/* ---- Labels ---- */

/* out[cap]: the first cap - 1 bytes of text at most, whole characters, no control characters. */
static void clean(char *out, size_t cap, const char *text)
{
    size_t len = text ? strnlen(text, cap - 1) : 0;

    if (len == cap - 1) len -= nx_utf8_partial_tail(text, len);
    for (size_t i = 0, n; i < len; i += n) {
        const uint32_t cp = nx_utf8_decode(text + i, len - i, &n);
        if (cp == NX_UTF8_BAD || cp < 0x20 || cp == 0x7F)
            out[i] = '?';
        else
            memcpy(out + i, text + i, n);
    }
    out[len] = '\0';
}

/* As the text format wants label values: out has room for twice text's bytes, and a NUL. */
static void escape(char *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') *out++ = '\\';
        *out++ = *text;
    }
    *out = '\0';
}

static void describe(char *out, const char *text)
{
    char word[NX_METRICS_WORD_MAX + 1];

    clean(word, sizeof word, text);
    escape(out, word);
}

/* ---- Life ---- */

/* name is clean. */
static nx_model_metrics *model_create(nx_metrics *m, const char *name)
{
    nx_model_metrics *mm = nx_calloc(1, sizeof *mm);

    if (!mm) return NULL;
    mm->all = m;
    mm->about.load_s = -1;
    snprintf(mm->name, sizeof mm->name, "%s", name);
    escape(mm->label, mm->name);
    pthread_mutex_init(&mm->lock, NULL);
    return mm;
}

static void model_destroy(nx_model_metrics *mm)
{
    if (!mm) return;
    pthread_mutex_destroy(&mm->lock);
    nx_free(mm);
}

nx_status nx_metrics_create(nx_metrics **out, const nx_metrics_options *opt, nx_error *err)
{
    if (opt->n_routes > NX_METRICS_ROUTES_MAX)
        return nx_fail(err, NX_EINVAL, "metrics: %zu routes, at most %d", opt->n_routes,
                       NX_METRICS_ROUTES_MAX);
    nx_metrics *m = nx_calloc(1, sizeof *m);
    if (!m) return nx_fail(err, NX_ENOMEM, "metrics");
    m->opt = *opt;
    m->n_http_rows = opt->n_routes + NX_N_HTTP_METHODS;
    pthread_mutex_init(&m->lock, NULL);
    m->http = nx_calloc(m->n_http_rows * NX_N_HTTP_CLASSES, sizeof *m->http);
    m->other = model_create(m, "other");
    if (!m->http || !m->other) {
        nx_metrics_destroy(m);
        return nx_fail(err, NX_ENOMEM, "metrics");
    }
    *out = m;
    return NX_OK;
}

void nx_metrics_destroy(nx_metrics *m)
{
    if (!m) return;
    for (size_t i = 0; m->http && i < m->n_http_rows * NX_N_HTTP_CLASSES; i++)
        nx_free(atomic_load(&m->http[i]));
    nx_free(m->http);
    for (size_t i = 0; i < atomic_load(&m->n_models); i++)
        model_destroy(atomic_load(&m->models[i]));
    model_destroy(m->other);
    pthread_mutex_destroy(&m->lock);
    nx_free(m);
}

/* ---- HTTP ---- */

/* The last one stands for all others. */
static const char *const methods[NX_N_HTTP_METHODS] = {"GET",  "POST",    "PUT",   "DELETE",
                                                       "HEAD", "OPTIONS", "PATCH", "other"};

static size_t method_of(const char *name)
{
    size_t i = 0;

    while (i < NX_N_HTTP_METHODS - 1 && (!name || strcmp(name, methods[i]) != 0)) i++;
    return i;
}

void nx_metrics_http_row(const nx_metrics *m, size_t row, const char **method, const char **path)
{
    if (row < m->opt.n_routes) {
        m->opt.route(m->opt.ctx, row, method, path);
        return;
    }
    *method = methods[row - m->opt.n_routes];
    *path = "unmatched";
}

/* The series of a slot, made where it is missing: of two threads that make it, the first wins. */
static nx_histogram *http_series(_Atomic(nx_histogram *) *slot)
{
    nx_histogram *h = atomic_load_explicit(slot, memory_order_acquire);

    if (h) return h;
    nx_histogram *made = nx_calloc(1, sizeof *made);
    if (!made) return NULL;
    if (atomic_compare_exchange_strong_explicit(slot, &h, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    nx_free(made);
    return h;
}

void nx_metrics_http(nx_metrics *m, size_t route, const char *method, int status, double seconds)
{
    const size_t row = route < m->opt.n_routes ? route : m->opt.n_routes + method_of(method);
    const size_t class = status >= 100 && status < 600 ? (size_t)status / 100 : 0;
    nx_histogram *h = http_series(&m->http[row * NX_N_HTTP_CLASSES + class]);

    if (h) observe(h, &nx_bounds_http, seconds);
}

void nx_metrics_rejected(nx_metrics *m, nx_metrics_reject why)
{
    if ((unsigned)why < NX_METRICS_N_REJECTS) count(&m->rejected[why]);
}

void nx_metrics_rejected_by_httpd(nx_metrics *m, nx_httpd_reject why)
{
    switch (why) {
    case NX_REJECT_HEAD_LATE: nx_metrics_rejected(m, NX_METRICS_REJECT_HEADER_TIMEOUT); break;
    case NX_REJECT_BODY:
    case NX_REJECT_BODY_LATE: nx_metrics_rejected(m, NX_METRICS_REJECT_BODY); break;
    case NX_REJECT_MALFORMED: nx_metrics_rejected(m, NX_METRICS_REJECT_MALFORMED); break;
    case NX_REJECT_SLOW_READER: nx_metrics_rejected(m, NX_METRICS_REJECT_SLOW_READER); break;
    case NX_REJECT_CONNECTIONS: nx_metrics_rejected(m, NX_METRICS_REJECT_CONNECTIONS); break;
    }
}

void nx_metrics_auth_failed(nx_metrics *m, nx_metrics_auth why)
{
    if ((unsigned)why < NX_METRICS_N_AUTHS) count(&m->auth_failures[why]);
}

void nx_metrics_quota_exceeded(nx_metrics *m, nx_metrics_quota why)
{
    if ((unsigned)why < NX_METRICS_N_QUOTAS) count(&m->quota_exceeded[why]);
}

void nx_metrics_usage_write_failed(nx_metrics *m)
{
    count(&m->usage_write_errors);
}

static void set(_Atomic int64_t *gauge, int64_t x)
{
    atomic_store_explicit(gauge, x > 0 ? x : 0, memory_order_relaxed);
}

void nx_metrics_set_connections(nx_metrics *m, const nx_httpd_counts *now)
{
    set(&m->connections[NX_CONNECTIONS_IDLE], now->n_idle);
    set(&m->connections[NX_CONNECTIONS_STREAMING], now->n_streaming);
    set(&m->connections[NX_CONNECTIONS_ACTIVE],
        now->n_connections - now->n_idle - now->n_streaming);
}

/* *n = max(*n, now), whoever else does the same. */
static void raise_to(_Atomic uint64_t *n, uint64_t now)
{
    uint64_t was = atomic_load_explicit(n, memory_order_relaxed);

    while (was < now && !atomic_compare_exchange_weak_explicit(n, &was, now, memory_order_relaxed,
                                                               memory_order_relaxed))
        continue;
}

void nx_metrics_set_log_dropped(nx_metrics *m, uint64_t n_since_start)
{
    raise_to(&m->log_dropped, n_since_start);
}

/* ---- The store ---- */

void nx_metrics_store_worked(nx_metrics *m, nx_metrics_store_work what, double seconds)
{
    observe(&m->store_works[what], &nx_bounds_store, seconds);
}

void nx_metrics_store_write_failed(nx_metrics *m)
{
    atomic_fetch_add_explicit(&m->store_write_errors, 1, memory_order_relaxed);
}

void nx_metrics_set_store(nx_metrics *m, const nx_metrics_store *now)
{
    const uint64_t values[NX_N_STORE_GAUGES] = {
        [NX_STORE_COLLECTIONS] = now->n_collections,   [NX_STORE_QUARANTINED] = now->n_quarantined,
        [NX_STORE_READ_ONLY] = now->n_read_only,       [NX_STORE_POINTS] = now->n_points,
        [NX_STORE_SEGMENTS] = now->n_segments,         [NX_STORE_LOG_BYTES] = now->log_bytes,
        [NX_STORE_SEGMENT_BYTES] = now->segment_bytes,
    };

    for (int i = 0; i < NX_N_STORE_GAUGES; i++)
        atomic_store_explicit(&m->store_gauges[i], values[i], memory_order_relaxed);
}

/* ---- Models ---- */

/* Of the first n; NULL: not there. */
static nx_model_metrics *find_model(nx_metrics *m, const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        nx_model_metrics *mm = atomic_load_explicit(&m->models[i], memory_order_acquire);
        if (strcmp(mm->name, name) == 0) return mm;
    }
    return NULL;
}

/* Under lock: nobody else adds. NULL: no room, no memory. */
static nx_model_metrics *add_model(nx_metrics *m, const char *name)
{
    const size_t      n = atomic_load_explicit(&m->n_models, memory_order_relaxed);
    nx_model_metrics *mm = find_model(m, name, n);

    if (mm || n == NX_METRICS_MODELS_MAX) return mm;
    mm = model_create(m, name);
    if (!mm) return NULL;
    atomic_store_explicit(&m->models[n], mm, memory_order_release);
    atomic_store_explicit(&m->n_models, n + 1, memory_order_release);
    return mm;
}

nx_model_metrics *nx_metrics_model(nx_metrics *m, const char *name)
{
    char known[NX_METRICS_NAME_MAX + 1];

    clean(known, sizeof known, name);
    nx_model_metrics *mm =
        find_model(m, known, atomic_load_explicit(&m->n_models, memory_order_acquire));
    if (mm) return mm;
    if (strcmp(known, m->other->name) != 0) { /* a model of that name shares its series */
        pthread_mutex_lock(&m->lock);
        mm = add_model(m, known);
        pthread_mutex_unlock(&m->lock);
    }
    if (mm) return mm;
    atomic_store_explicit(&m->other_used, true, memory_order_relaxed);
    return m->other;
}

/* Under lock; NULL for 0 and for a load that has ended. */
static nx_model_load *find_load(nx_model_metrics *mm, uint64_t id)
{
    for (size_t i = 0; id && i < NX_METRICS_LOADS_MAX; i++)
        if (mm->loads[i].id == id) return &mm->loads[i];
    return NULL;
}

uint64_t nx_model_metrics_loaded(nx_model_metrics *mm, const char *arch, const char *quant,
                                 double load_s)
{
    uint64_t id = 0;

    pthread_mutex_lock(&mm->lock);
    for (size_t i = 0; !id && i < NX_METRICS_LOADS_MAX; i++)
        if (!mm->loads[i].id) mm->loads[i] = (nx_model_load){.id = id = ++mm->next_load};
    describe(mm->about.arch, arch);
    describe(mm->about.quant, quant);
    mm->about.load_s = load_s > 0 ? load_s : 0;
    pthread_mutex_unlock(&mm->lock);
    return id;
}

/* Counters rise or stay; gauges are as they are. */
static void take_sample(nx_model_sums *s, const nx_service_stats *now)
{
    const uint64_t counters[NX_N_SAMPLED] = {
        [NX_SAMPLED_PREFIX_QUERIED] = now->n_prefix_queried,
        [NX_SAMPLED_PREFIX_HIT] = now->n_prefix_hit,
        [NX_SAMPLED_PREEMPTED] = now->n_preempted,
        [NX_SAMPLED_PROMPT] = now->n_prompt,
        [NX_SAMPLED_NEW] = now->n_new,
        [NX_SAMPLED_DRAFTED] = now->n_drafted,
        [NX_SAMPLED_ACCEPTED] = now->n_accepted,
    };

    for (int i = 0; i < NX_N_SAMPLED; i++)
        if (counters[i] > s->counters[i]) s->counters[i] = counters[i];
    s->n_running = now->n_running;
    s->n_slice = now->n_slice;
    s->n_waiting = now->n_waiting;
    s->n_pages = now->n_pages;
    s->n_pages_running = now->n_pages_running;
    if (now->last_step_ns > s->last_step_ns) s->last_step_ns = now->last_step_ns;
}

void nx_model_metrics_sample(nx_model_metrics *mm, uint64_t load, const nx_service_stats *now)
{
    pthread_mutex_lock(&mm->lock);
    nx_model_load *l = find_load(mm, load);
    if (l) take_sample(&l->now, now);
    pthread_mutex_unlock(&mm->lock);
}

static void add_sums(nx_model_sums *to, const nx_model_sums *s)
{
    for (int i = 0; i < NX_N_SAMPLED; i++) to->counters[i] += s->counters[i];
    to->n_running += s->n_running;
    if (s->n_slice > to->n_slice) to->n_slice = s->n_slice;
    to->n_waiting += s->n_waiting;
    to->n_pages += s->n_pages;
    to->n_pages_running += s->n_pages_running;
    if (s->last_step_ns > to->last_step_ns) to->last_step_ns = s->last_step_ns;
}

void nx_model_metrics_unloaded(nx_model_metrics *mm, uint64_t load, const nx_service_stats *last)
{
    pthread_mutex_lock(&mm->lock);
    nx_model_load *l = find_load(mm, load);
    if (l) {
        if (last) take_sample(&l->now, last);
        l->now.n_running = l->now.n_waiting = l->now.n_pages = l->now.n_pages_running = 0;
        add_sums(&mm->base, &l->now);
        l->id = 0;
    }
    pthread_mutex_unlock(&mm->lock);
}

void nx_model_metrics_sum(nx_model_metrics *mm, nx_model_sums *sums, nx_model_about *about)
{
    pthread_mutex_lock(&mm->lock);
    *sums = mm->base;
    *about = mm->about;
    for (size_t i = 0; i < NX_METRICS_LOADS_MAX; i++) {
        if (!mm->loads[i].id) continue;
        add_sums(sums, &mm->loads[i].now);
        about->loaded = true;
    }
    pthread_mutex_unlock(&mm->lock);
}

static void observe_model(nx_model_metrics *mm, nx_model_hist h, double seconds)
{
    observe(&mm->hists[h], nx_model_hist_bounds(h), seconds);
}

void nx_model_metrics_observe(void *ctx, nx_observed what, double seconds)
{
    nx_model_metrics *mm = ctx;

    switch (what) {
    case NX_OBSERVED_STEP: observe_model(mm, NX_HIST_STEP, seconds); break;
    case NX_OBSERVED_INTER_TOKEN: observe_model(mm, NX_HIST_INTER_TOKEN, seconds); break;
    case NX_OBSERVED_CANCEL: observe(&mm->all->cancel, &nx_bounds_token, seconds); break;
    }
}

/* From one moment to another, when both came. */
static void observe_span(nx_model_metrics *mm, nx_model_hist h, int64_t from_ns, int64_t to_ns)
{
    if (from_ns && to_ns) observe_model(mm, h, (double)(to_ns - from_ns) * 1e-9);
}

void nx_model_metrics_job_done(nx_model_metrics *mm, const nx_job_progress *p,
                               nx_metrics_finish why)
{
    if ((unsigned)why < NX_METRICS_N_FINISHES) count(&mm->finished[why]);
    observe_span(mm, NX_HIST_QUEUE, p->created_ns, p->started_ns);
    observe_span(mm, NX_HIST_PREFILL, p->started_ns, p->first_ns);
    observe_span(mm, NX_HIST_FIRST_TOKEN, p->created_ns, p->first_ns);
    observe_span(mm, NX_HIST_DECODE, p->first_ns, p->last_ns);
    observe_span(mm, NX_HIST_REQUEST, p->created_ns, p->done_ns);
}
