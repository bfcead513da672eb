/* server.c - the parts of a server, in the order in which they come and go. */
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "nexus/nexus.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/random.h"
#include "server/answer.h"
#include "server/dispatch.h"
#include "server/openapi.h"
#include "server/server_in.h"

#define PEM_MAX    ((size_t)1 << 20)
#define DESK_SEATS 2

void nx_server_options_default(nx_server_options *o)
{
    *o = (nx_server_options){
        .host = "127.0.0.1",
        .port = 8000,
        .ops_port = -1,
        .qdrant_port = -1,
        .points_body_max = (size_t)32 << 20,
        .max_new_tokens = 4096,
        .drain_s = 120,
    };
    nx_httpd_options_default(&o->http);
}

/* ---- Once a second ---- */

static void ping_streams(nx_server *s)
{
    pthread_mutex_lock(&s->lock);
    for (nx_call *c = s->calls; c; c = c->next) nx_answer_ping(c->answer);
    pthread_mutex_unlock(&s->lock);
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static void *tick_main(void *arg)
{
    nx_server *s = arg;

    for (;;) {
        struct timespec until = in_ms(1000);
        pthread_mutex_lock(&s->lock);
        while (!s->end_tick && pthread_cond_timedwait(&s->changed, &s->lock, &until) != ETIMEDOUT) {
        }
        bool end = s->end_tick;
        pthread_mutex_unlock(&s->lock);
        if (end) return NULL;
        ping_streams(s);
        nx_rag_watch_tick(s);
        nx_models_tick(s->models);
    }
}

/* ---- Metrics ask ---- */

static void metrics_route(void *ctx, size_t idx, const char **method, const char **path)
{
    const nx_route *r = nx_route_at(idx);

    (void)ctx;
    *method = r->method;
    *path = r->path;
}

static void metrics_collect(void *ctx, nx_metrics *m)
{
    nx_server      *s = ctx;
    nx_httpd_counts counts;

    nx_httpd_count(s->httpd, &counts);
    nx_metrics_set_connections(m, &counts);
    nx_models_sample(s->models);
    nx_vault_sample(&s->vault, m);
    if (s->log) nx_metrics_set_log_dropped(m, nx_access_log_dropped(s->log));
}

static size_t n_routes(void)
{
    size_t n = 0;

    while (nx_route_at(n)) n++;
    return n;
}

/* ---- Starting ---- */

static nx_status open_data(nx_server *s, nx_error *err)
{
    int64_t   now = nx_clock_unix_ms() / 1000;
    nx_status st = nx_datadir_open(&s->dir, s->opt.data, err);

    if (!st) st = nx_db_open(&s->db, s->dir.db, err);
    if (!st) st = nx_keys_open(&s->keys, &s->dir, s->db, err);
    if (!st) st = nx_usage_open(&s->usage, s->db, now, err);
    return st ? st : nx_quota_create(&s->quota, s->usage, err);
}

static nx_status open_log(nx_server *s, nx_error *err)
{
    nx_access_log_options o;

    if (!s->opt.access_log) return NX_OK;
    nx_access_log_options_default(&o);
    if (strcmp(s->opt.access_log, "-")) o.path = s->opt.access_log;
    o.with_prompts = s->opt.log_prompts;
    return nx_access_log_open(&s->log, &o, err);
}

static nx_status open_models(nx_server *s, nx_error *err)
{
    nx_metrics_options mo = {
        .ctx = s, .n_routes = n_routes(), .route = metrics_route, .collect = metrics_collect};
    nx_models_options o = {.opener = s->opt.opener,
                           .memory_bytes = s->opt.memory_bytes,
                           .keep_alive_s = s->opt.keep_alive_s,
                           .quiet = s->opt.inside};
    nx_status         st = nx_metrics_create(&s->metrics, &mo, err);

    o.metrics = s->metrics;
    if (!st) st = nx_models_create(&s->models, &o, err);
    for (size_t i = 0; !st && i < s->opt.n_models; i++)
        st = nx_models_add(s->models, s->opt.models[i].name, s->opt.models[i].path, err);
    return st;
}

static nx_status write_openapi(nx_server *s, nx_error *err)
{
    s->limits.max[NX_LIMIT_NEW_TOKENS] = s->opt.max_new_tokens;
    s->openapi.max = NX_OPENAPI_BYTES_MAX;
    return nx_openapi_write(&s->openapi, &s->limits, nx_version(), err);
}

static nx_status create_parts(nx_server *s, nx_error *err)
{
    nx_httpd_hooks hooks;
    nx_status      st = open_data(s, err);

    if (!st) st = open_log(s, err);
    if (!st) st = open_models(s, err);
    if (!st) st = write_openapi(s, err);
    if (!st) st = nx_vault_open(&s->vault, s->dir.path, s->opt.distances, err);
    if (!st) st = nx_library_open(&s->library, &s->vault, s->models, s->dir.path, err);
    if (!st) st = nx_rag_config_open(&s->rag_config, s->dir.path, err);
    if (!st) st = nx_finds_create(&s->finds, NX_FINDS_MAX_DEFAULT, NX_FINDS_BYTES_DEFAULT, err);
    if (!st) st = nx_desk_create(&s->desk, DESK_SEATS, err);
    if (!st) st = nx_desk_create(&s->ends, 1, err);
    nx_dispatch_hooks(&hooks, s);
    if (!st) st = nx_httpd_create(&s->httpd, &hooks, &s->opt.http, err);
    return st;
}

/* ---- Listening ---- */

static nx_status check_exposure(const nx_server *s, const char *host, nx_error *err)
{
    if (nx_host_is_loopback(host) || nx_keys_any(s->keys)) return NX_OK;
    return nx_fail(
        err, NX_EINVAL,
        "--host %s: whoever reaches this address could use the server. Create a key first: "
        "nexus key create --name NAME",
        host);
}

static nx_status read_pem(nx_buf *out, const char *path, nx_error *err)
{
    out->max = PEM_MAX;
    return path ? nx_file_read_all(out, path, err) : NX_OK;
}

/* The main address, and, where it is wanted, the one that Qdrant's clients expect. */
static nx_status listen_both(nx_server *s, nx_listen *l, nx_error *err)
{
    nx_status st = nx_httpd_listen(s->httpd, l, err);

    if (st || s->opt.qdrant_port < 0) return st;
    l->unix_path = NULL;
    l->port = (uint16_t)s->opt.qdrant_port;
    l->tag = NX_TAG_QDRANT;
    st = check_exposure(s, s->opt.host, err);
    return st ? st : nx_httpd_listen(s->httpd, l, err);
}

static nx_status listen_main(nx_server *s, nx_error *err)
{
    nx_buf    cert = {0}, key = {0};
    nx_status st = NX_OK;

    if (!s->opt.tls_cert != !s->opt.tls_key)
        return nx_fail(err, NX_EINVAL, "--tls-cert and --tls-key go together");
    if (!s->opt.unix_path) st = check_exposure(s, s->opt.host, err);
    if (!st) st = read_pem(&cert, s->opt.tls_cert, err);
    if (!st) st = read_pem(&key, s->opt.tls_key, err);
    nx_listen l = {.host = s->opt.host,
                   .port = s->opt.port,
                   .unix_path = s->opt.unix_path,
                   .tls_cert = cert.data,
                   .tls_key = key.data,
                   .tag = NX_TAG_MAIN};
    if (!st) st = listen_both(s, &l, err);
    if (key.data) explicit_bzero(key.data, key.len);
    nx_buf_free(&cert);
    nx_buf_free(&key);
    return st;
}

/* Operators' listener may stand beyond loopback without a key: it shows figures, and no more. */
static nx_status listen_ops(nx_server *s, nx_error *err)
{
    nx_listen l = {.host = s->opt.ops_host ? s->opt.ops_host : s->opt.host,
                   .port = (uint16_t)(s->opt.ops_port > 0 ? s->opt.ops_port : 0),
                   .tag = NX_TAG_OPS,
                   .n_threads = 1};

    return s->opt.ops_port < 0 ? NX_OK : nx_httpd_listen(s->httpd, &l, err);
}

static nx_status listen_all(nx_server *s, nx_error *err)
{
    nx_listen control = {.unix_path = s->dir.socket, .tag = NX_TAG_CONTROL, .n_threads = 1};
    nx_status st = nx_httpd_listen(s->httpd, &control, err);

    if (!st) st = listen_ops(s, err);
    return st ? st : listen_main(s, err);
}

static void destroy(nx_server *s)
{
    if (!s) return;
    if (s->has_ticker) {
        pthread_mutex_lock(&s->lock);
        s->end_tick = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->ticker, NULL);
    }
    nx_httpd_destroy(s->httpd); /* on_gone cancels what is left */
    nx_rag_watch_end(&s->watch);
    pthread_mutex_lock(&s->lock);
    /* Those too that wait for a model: they will want desk and ledger. */
    while (s->n_asked) pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    nx_library_rest(s->library);
    nx_vault_clear_desk(&s->vault); /* what was posted there may still ask for shelves */
    nx_finds_destroy(s->finds);
    nx_library_close(s->library);
    nx_vault_close(&s->vault);
    nx_rag_config_close(s->rag_config);
    nx_desk_destroy(s->desk);
    nx_desk_destroy(s->ends);
    nx_usage_close(s->usage);
    nx_models_destroy(s->models);
    nx_quota_destroy(s->quota);
    nx_keys_close(s->keys);
    nx_db_close(s->db);
    nx_access_log_close(s->log);
    nx_metrics_destroy(s->metrics);
    nx_datadir_close(&s->dir);
    nx_buf_free(&s->openapi);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    nx_free(s);
}

nx_status nx_server_start(nx_server **out, const nx_server_options *o, nx_error *err)
{
    nx_server *s = nx_calloc(1, sizeof *s);

    *out = NULL;
    if (!s) return nx_fail(err, NX_ENOMEM, "server");
    s->opt = *o;
    s->dir.lock_fd = -1;
    s->started_ns = nx_clock_ns();
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    nx_rag_watch_init(&s->watch);
    snprintf(s->fingerprint, sizeof s->fingerprint, "nx-%08x",
             (unsigned)(nx_random_seed() & 0xFFFFFFFF));
    nx_status st = create_parts(s, err);
    /* Before the listeners, so that nobody finds a server whose model nobody loads. */
    if (!st && o->n_models && !o->inside) st = nx_models_load(s->models, NX_STR(""), err);
    if (!st) st = listen_all(s, err);
    if (!st) {
        s->has_ticker = pthread_create(&s->ticker, NULL, tick_main, s) == 0;
        if (!s->has_ticker) st = nx_fail(err, NX_ENOMEM, "server: a thread did not start");
    }
    if (st)
        destroy(s);
    else
        *out = s;
    return st;
}

/* ---- Looking ---- */

uint16_t nx_server_port(const nx_server *s)
{
    return s->opt.unix_path ? 0 : nx_httpd_port(s->httpd, NX_TAG_MAIN);
}

uint16_t nx_server_ops_port(const nx_server *s)
{
    return s->opt.ops_port < 0 ? 0 : nx_httpd_port(s->httpd, NX_TAG_OPS);
}

uint16_t nx_server_qdrant_port(const nx_server *s)
{
    return s->opt.qdrant_port < 0 ? 0 : nx_httpd_port(s->httpd, NX_TAG_QDRANT);
}

const char *nx_server_data(const nx_server *s)
{
    return s->dir.path;
}

bool nx_server_wants_keys(const nx_server *s)
{
    return nx_keys_any(s->keys);
}

nx_models *nx_server_models(const nx_server *s)
{
    return s->models;
}

void nx_server_reopen_logs(nx_server *s)
{
    if (s->log) nx_access_log_reopen(s->log);
}

/* ---- Stopping ---- */

int32_t nx_server_wait_stop(nx_server *s, const volatile sig_atomic_t *stop,
                            const volatile sig_atomic_t *other)
{
    int32_t drain = s->opt.drain_s;

    pthread_mutex_lock(&s->lock);
    while (!s->stop_asked && !(stop && *stop) && !(other && *other)) {
        struct timespec until = in_ms(100);
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    }
    if (s->stop_asked) drain = s->stop_drain_s;
    pthread_mutex_unlock(&s->lock);
    return drain;
}

/* Wait until every question has its answer, at most ms. */
static void wait_for_calls(nx_server *s, int64_t ms, void (*tell)(void *ctx, int n_left), void *ctx)
{
    int64_t end = nx_clock_ns() + ms * 1000000;
    int     told = -1;

    pthread_mutex_lock(&s->lock);
    while (s->n_asked && nx_clock_ns() < end) {
        struct timespec until = in_ms(100);
        if (tell && s->n_asked != told) tell(ctx, told = s->n_asked);
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Streams still have their last bytes to send after their answers are over. */
static void wait_for_bytes(nx_server *s, int64_t ms)
{
    int64_t         end = nx_clock_ns() + ms * 1000000;
    nx_httpd_counts counts;

    for (;;) {
        struct timespec nap = {.tv_nsec = 5000000};
        nx_httpd_count(s->httpd, &counts);
        if (counts.n_connections - counts.n_idle <= 0 || nx_clock_ns() > end) return;
        nanosleep(&nap, NULL);
    }
}

void nx_server_stop(nx_server *s, int32_t drain_s, void (*tell)(void *ctx, int n_left), void *ctx)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->draining, true);
    pthread_mutex_unlock(&s->lock);
    wait_for_calls(s, (int64_t)drain_s * 1000, tell, ctx);
    atomic_store(&s->cut, true);
    pthread_mutex_lock(&s->lock);
    for (nx_call *c = s->calls; c; c = c->next) nx_answer_cut(c->answer);
    pthread_mutex_unlock(&s->lock);
    wait_for_calls(s, 5000, NULL, NULL);
    wait_for_bytes(s, 1000);
    nx_httpd_quiesce(s->httpd, NX_TAG_MAIN);
    if (s->opt.qdrant_port >= 0) nx_httpd_quiesce(s->httpd, NX_TAG_QDRANT);
    destroy(s);
}
