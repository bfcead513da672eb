/* The whole server in one process, everything at once: streams, whole answers, clients that leave at any
 * moment, models loaded and unloaded under them, keys made and revoked, metrics scraped, collections made,
 * filled, asked and dropped under each other's hands, and in the end a drain in the middle of it. Made for the thread and address sanitizers, which see what goes wrong; by
 * itself it checks that answers are whole, that nothing is held afterwards, and that it ends.
 *
 * NX_TORTURE_COUNT actions in all, 300 by default.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "engine/batch.h"
#include "lib/backends.h"
#include "os/clock.h"
#include "os/dir.h"
#include "server/server.h"

#define MODEL     NX_SOURCE_DIR "/models/nexus-mini.gguf"
#define MODEL_MB  100
#define N_CLIENTS 8
#define READ_S    120

static nx_server  *server;
static char        folder[] = "/tmp/nexus-torture-XXXXXX", data[64], control[96], key[128];
static atomic_int  n_left, n_failed, n_whole, n_cut, n_refused;
static atomic_int  slow_ms = 400;
static atomic_bool stopping;

static void fault(const char *what, const char *text)
{
    fprintf(stderr, "FAULT %s: %.300s\n", what, text);
    atomic_fetch_add(&n_failed, 1);
}

static void nap_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

/* ---- Models: the shipped one; "slow" takes its time to open ---- */

static nx_status plan(void *ctx, const char *path, uint64_t *bytes, nx_error *err)
{
    (void)ctx, (void)path, (void)err;
    *bytes = (uint64_t)MODEL_MB << 20;
    return NX_OK;
}

static nx_status open_model(void *ctx, const char *path, const nx_service_watch *watch,
                            nx_model_parts *out, nx_error *err)
{
    nx_backend      *be = NULL;
    nx_batch_options b;

    (void)ctx;
    *out = (nx_model_parts){.bytes = (uint64_t)MODEL_MB << 20, .quant = "q8_0", .device = "cpu"};
    if (!strncmp(path, "slow:", 5)) {
        nap_ms(atomic_load(&slow_ms));
        path += 5;
    }
    nx_batch_options_default(&b);
    b.n_slots = 4;
    b.n_ctx = 256;
    b.n_pos_all = 512;
    b.n_batch = 64;
    b.n_queue = 16;
    b.watch = *watch;
    nx_status st = nx_backends_create(&be, 2, false, err);
    if (!st) st = nx_llm_open(&out->llm, path, be, err);
    if (!st) st = nx_batch_create(&out->service, out->llm, &b, err);
    if (st) nx_llm_close(out->llm);
    return st;
}

static void close_model(void *ctx, nx_model_parts *parts)
{
    (void)ctx;
    parts->service->ops->destroy(parts->service);
    nx_llm_close(parts->llm);
    *parts = (nx_model_parts){0};
}

/* ---- A client ---- */

typedef struct client {
    pthread_t thread;
    unsigned  random;
    nx_buf    got;
} client;

static int roll(client *c, int n)
{
    return (int)((unsigned)rand_r(&c->random) % (unsigned)n);
}

static int dial(bool by_socket)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval     most = {.tv_sec = READ_S};
    int                fd = socket(by_socket ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(un.sun_path, control, strlen(control) + 1);
    in.sin_port = htons(nx_server_port(server));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    int failed = by_socket ? connect(fd, (struct sockaddr *)&un, sizeof un)
                           : connect(fd, (struct sockaddr *)&in, sizeof in);
    if (!failed) return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *p, size_t n)
{
    for (ssize_t sent; n > 0; p += sent, n -= (size_t)sent) {
        sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
    }
    return true;
}

/* Read until the server closes, or `most` bytes are there. false: it went silent. */
static bool read_to(client *c, int fd, size_t most)
{
    char piece[4096];

    while (c->got.len < most) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (n <= 0) break;
        (void)nx_buf_add(&c->got, piece, (size_t)n, NULL);
    }
    (void)nx_buf_add(&c->got, "", 1, NULL);
    c->got.len--;
    return true;
}

static void write_request(nx_buf *out, const char *method, const char *path, const char *body)
{
    out->max = 1 << 20;
    (void)nx_buf_addf(out, NULL,
                      "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                      "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                      "Content-Length: %zu\r\n\r\n%s",
                      method, path, key, strlen(body), body);
}

/* Ask and read the whole answer into c->got; its status, or -1: the connection broke. */
static int ask(client *c, bool by_socket, const char *method, const char *path, const char *body)
{
    nx_buf request = {0};
    int    fd = dial(by_socket), status = -1;

    nx_buf_clear(&c->got);
    c->got.max = (size_t)64 << 20;
    write_request(&request, method, path, body);
    if (fd >= 0 && send_all(fd, request.data, request.len)) {
        if (!read_to(c, fd, SIZE_MAX)) fault("no answer in time", path);
        if (c->got.len > 12) status = atoi(c->got.data + 9);
    }
    if (fd >= 0) close(fd);
    nx_buf_free(&request);
    if (status < 0 && !atomic_load(&stopping)) fault("the connection broke", path);
    return status;
}

/* ---- What clients do ---- */

static const char *model_of(client *c)
{
    static const char *const names[] = {"a", "a", "a", "b", "b", "slow"};

    return names[roll(c, 6)];
}

static void write_question(client *c, char *out, size_t cap, bool stream)
{
    snprintf(out, cap,
             "{\"model\": \"%s\", \"prompt\": \"Question %d:%.*s\", \"max_tokens\": %d, \"n\": %d, "
             "\"seed\": %d, \"ignore_eos\": true%s, \"stream\": %s}",
             model_of(c), roll(c, 10), roll(c, 40),
             " why is the sky blue and the sea deep, and when", 1 + roll(c, 12), 1 + roll(c, 8) / 6,
             roll(c, 1000), roll(c, 4) ? "" : ", \"logprobs\": 2", stream ? "true" : "false");
}

static void judge(const client *c, int status, bool stream)
{
    if (status == 429 || status == 503) {
        atomic_fetch_add(&n_refused, 1);
        return;
    }
    if (status < 0) return;
    bool whole = strstr(c->got.data, stream ? "data: [DONE]" : "\"finish_reason\"") != NULL;
    bool cut = strstr(c->got.data, "server_stopping") != NULL;
    if (status == 200 && whole)
        atomic_fetch_add(&n_whole, 1);
    else if (atomic_load(&stopping))
        atomic_fetch_add(&n_cut, 1);
    else
        fault(cut ? "cut off without a reason" : "an answer that is none", c->got.data);
}

static void whole_answer(client *c, bool stream)
{
    char body[512];

    write_question(c, body, sizeof body, stream);
    int status = ask(c, false, "POST", "/v1/completions", body);
    judge(c, status, stream);
}

/* Go away after some bytes of the request or of the answer. */
static void leave(client *c)
{
    char   body[512];
    nx_buf request = {0};
    int    fd = dial(false);

    write_question(c, body, sizeof body, roll(c, 3) > 0);
    write_request(&request, "POST", "/v1/completions", body);
    nx_buf_clear(&c->got);
    if (fd >= 0) {
        bool all = roll(c, 3) > 0;
        bool sent =
            send_all(fd, request.data, all ? request.len : (size_t)roll(c, (int)request.len));
        if (sent && all && roll(c, 2)) read_to(c, fd, (size_t)roll(c, 1500) + 1);
        if (roll(c, 4) == 0) {
            struct linger hard = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        if (roll(c, 4) == 0) shutdown(fd, SHUT_WR);
        close(fd);
    }
    nx_buf_free(&request);
}

/* Beyond what is read on an I/O thread: goes over the desk. */
static void long_body(client *c)
{
    size_t n = 40000;
    char  *body = nx_alloc(n + 200, 1);
    int    at = body ? snprintf(body, 200, "{\"model\": \"a\", \"text\": \"") : 0;

    if (!body) return;
    for (size_t i = 0; i < n; i++) body[at++] = i % 7 ? 'x' : ' ';
    snprintf(body + at, 100, "\"}");
    int status = ask(c, false, "POST", "/v1/tokenize", body);
    if (status != 200 && status != 503 && status > 0) fault("tokenize", c->got.data);
    nx_free(body);
}

static void look(client *c)
{
    static const char *const paths[] = {
        "/metrics", "/admin/requests", "/admin/models", "/admin/usage",    "/livez",
        "/readyz",  "/v1/models",      "/admin/keys",   "/llm/model/info", "/health"};
    const char *path = paths[roll(c, 10)];
    int         status = ask(c, roll(c, 2), "GET", path, "");

    if (status > 0 && status != 200 && status != 503) fault(path, c->got.data);
}

static void change_models(client *c)
{
    char body[64];
    bool load = roll(c, 2);

    snprintf(body, sizeof body, "{\"model\": \"%s\"}", roll(c, 2) ? "b" : "slow");
    int status = ask(c, true, "POST", load ? "/admin/models/load" : "/admin/models/unload", body);
    if (status > 0 && status >= 400 && status != 409 && status != 503) fault("models", c->got.data);
}

static void change_keys(client *c)
{
    char path[64];
    int  status = ask(c, true, "POST", "/admin/keys", "{\"name\": \"k\"}");

    if (status != 201) {
        if (status > 0) fault("key", c->got.data);
        return;
    }
    const char *id = strstr(c->got.data, "\"id\": \"");
    if (!id) id = strstr(c->got.data, "\"id\":\"");
    id = id ? strchr(id + 4, '"') : NULL;
    if (!id) {
        fault("key without id", c->got.data);
        return;
    }
    snprintf(path, sizeof path, "/admin/keys/%.8s", id + 1);
    status = ask(c, true, "DELETE", path, "");
    if (status > 0 && status != 200) fault("revoke", c->got.data);
}

/* ---- Collections: few, so that all meet in them; any may be gone by the time it is asked ---- */

#define N_COLLECTIONS 3
#define N_POINTS      60

/* What a collection may say when others make and drop it meanwhile. */
static void judge_collection(client *c, int status, const char *path)
{
    if (status == 200 && !strstr(c->got.data, "\"status\":\"ok\"") &&
        !strstr(c->got.data, "\"status\": \"ok\""))
        fault("200 that isn't ok", c->got.data);
    if (status == 400 && strstr(c->got.data, "No appropriate index")) return;
    if (status > 0 && status != 200 && status != 404 && status != 409 && status != 503)
        fault(path, c->got.data);
}

static void ask_collection(client *c, const char *method, const char *rest, const char *body)
{
    char path[160];

    snprintf(path, sizeof path, "/collections/t%d%s", roll(c, N_COLLECTIONS), rest);
    judge_collection(c, ask(c, false, method, path, body), path);
}

static void make_collection(client *c)
{
    ask_collection(c, "PUT", "",
                   "{\"vectors\": {\"size\": 4, \"distance\": \"Dot\"}, "
                   "\"sparse_vectors\": {\"s\": {}}}");
    if (roll(c, 2))
        ask_collection(c, "PUT", "/index?wait=true",
                       roll(c, 2) ? "{\"field_name\": \"n\", \"field_schema\": \"integer\"}"
                                  : "{\"field_name\": \"w\", \"field_schema\": \"text\"}");
}

static void put_points(client *c)
{
    nx_buf body = {.max = 1 << 20};
    int    n = 1 + roll(c, 20);

    (void)nx_buf_addf(&body, NULL, "{\"points\": [");
    for (int i = 0; i < n; i++)
        (void)nx_buf_addf(
            &body, NULL,
            "%s{\"id\": %d, \"vector\": {\"\": [%d, 1, %d, 0.5], \"s\": {\"indices\": "
            "[%d], \"values\": [1]}}, \"payload\": {\"n\": %d, \"w\": \"one of %d\"}}",
            i ? ", " : "", roll(c, N_POINTS), roll(c, 9), roll(c, 9), roll(c, 5), roll(c, 7),
            roll(c, 7));
    (void)nx_buf_add(&body, "]}", 3, NULL);
    ask_collection(c, "PUT", roll(c, 2) ? "/points?wait=true" : "/points", body.data);
    nx_buf_free(&body);
}

static void ask_points(client *c)
{
    static const char filter[] = "{\"must\": [{\"key\": \"n\", \"range\": {\"gte\": 3}}]}";
    char              body[400];

    switch (roll(c, 6)) {
    case 0:
        snprintf(body, sizeof body, "{\"query\": [1, %d, 3, 4], \"limit\": 5, \"filter\": %s}",
                 roll(c, 9), filter);
        ask_collection(c, "POST", "/points/query", body);
        break;
    case 1:
        snprintf(body, sizeof body,
                 "{\"prefetch\": [{\"query\": [1, 2, 3, %d]}, {\"query\": {\"indices\": [%d], "
                 "\"values\": [1]}, \"using\": \"s\"}], \"query\": {\"fusion\": \"rrf\"}, "
                 "\"with_payload\": true}",
                 roll(c, 9), roll(c, 5));
        ask_collection(c, "POST", "/points/query", body);
        break;
    case 2:
        snprintf(body, sizeof body, "{\"limit\": %d, \"filter\": %s, \"with_vector\": true}",
                 1 + roll(c, 50), filter);
        ask_collection(c, "POST", "/points/scroll", body);
        break;
    case 3: ask_collection(c, "POST", "/points/count", "{}"); break;
    case 4: ask_collection(c, "POST", "/facet", "{\"key\": \"n\"}"); break;
    default: ask_collection(c, "GET", roll(c, 2) ? "" : "/exists", ""); break;
    }
}

static void change_points(client *c)
{
    char body[200];

    snprintf(body, sizeof body, "{\"points\": [%d, %d], \"payload\": {\"n\": %d}}",
             roll(c, N_POINTS), roll(c, N_POINTS), roll(c, 7));
    switch (roll(c, 4)) {
    case 0: ask_collection(c, "POST", "/points/payload?wait=true", body); break;
    case 1:
        snprintf(body, sizeof body,
                 "{\"filter\": {\"must\": [{\"key\": \"n\", \"match\": {\"value\": %d}}]}}",
                 roll(c, 7));
        ask_collection(c, "POST", "/points/delete?wait=true", body);
        break;
    case 2:
        snprintf(body, sizeof body, "{\"points\": [%d, %d]}", roll(c, N_POINTS), roll(c, N_POINTS));
        ask_collection(c, "POST", "/points/delete", body);
        break;
    default: ask_collection(c, "PATCH", "", "{\"metadata\": {\"by\": \"torture\"}}"); break;
    }
}

static void change_collections(client *c)
{
    char body[200];
    int  at = roll(c, N_COLLECTIONS);

    switch (roll(c, 5)) {
    case 0: ask_collection(c, "DELETE", "", ""); break;
    case 1: ask_collection(c, "POST", "/snapshots?wait=true", ""); break;
    case 2:
        snprintf(body, sizeof body,
                 "{\"actions\": [{\"create_alias\": {\"collection_name\": \"t%d\", "
                 "\"alias_name\": \"other\"}}]}",
                 at);
        judge_collection(c, ask(c, false, "POST", "/collections/aliases", body), "aliases");
        break;
    case 3: judge_collection(c, ask(c, false, "GET", "/collections", ""), "the list"); break;
    default: make_collection(c); break;
    }
}

static void store(client *c)
{
    switch (roll(c, 8)) {
    case 0: change_collections(c); break;
    case 1: make_collection(c); break;
    case 2: change_points(c); break;
    case 3:
    case 4: put_points(c); break;
    default: ask_points(c); break;
    }
}

/* ---- All of it ---- */

static void act(client *c)
{
    switch (roll(c, 20)) {
    case 0:
    case 1:
    case 2: whole_answer(c, true); break;
    case 3:
    case 4: whole_answer(c, false); break;
    case 5:
    case 6:
    case 7:
    case 8: leave(c); break;
    case 9: long_body(c); break;
    case 10: change_models(c); break;
    case 11: change_keys(c); break;
    case 12:
    case 13: look(c); break;
    default:
        for (int i = 0; i < 5; i++) store(c); /* they take less time than a model's answer */
        break;
    }
}

static void *client_main(void *arg)
{
    client *c = arg;

    while (atomic_fetch_sub(&n_left, 1) > 0) act(c);
    nx_buf_free(&c->got);
    return NULL;
}

static void *client_till_stop(void *arg)
{
    client *c = arg;

    while (!atomic_load(&stopping)) act(c);
    nx_buf_free(&c->got);
    return NULL;
}

/* ---- The server ---- */

static bool start(void)
{
    static const nx_model_spec models[] = {{"a", MODEL}, {"b", MODEL}, {"slow", "slow:" MODEL}};
    nx_server_options          o;
    nx_error                   err;

    nx_server_options_default(&o);
    if (nx_backends_distances(&o.distances, &err)) abort();
    o.port = 0;
    o.ops_port = 0;
    o.data = data;
    o.models = models;
    o.n_models = 3;
    o.opener = (nx_model_opener){.plan = plan, .open = open_model, .close = close_model};
    o.memory_bytes = (uint64_t)MODEL_MB * 2 << 20; /* two of three */
    o.keep_alive_s = 1;
    o.access_log = "/dev/null";
    if (!nx_server_start(&server, &o, &err)) return true;
    fault("start", err.text);
    return false;
}

static void add_held(void *ctx, const nx_model_view *v)
{
    int64_t *n = ctx;

    *n += v->n_uses + v->stats.n_running + v->stats.n_waiting + v->stats.n_pages_running;
}

/* Uses, jobs and pages of all models, once all have had their moment. */
static int64_t held(void)
{
    int64_t n = 1;

    for (int i = 0; i < 1000 && n; i++) {
        n = 0;
        nx_models_visit(nx_server_models(server), add_held, &n);
        if (n) nap_ms(10);
    }
    return n;
}

static void run_clients(client *clients, unsigned seed, void *(*run)(void *))
{
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        clients[i] = (client){.random = seed * 1000 + i};
        if (pthread_create(&clients[i].thread, NULL, run, &clients[i])) abort();
    }
}

static void join_clients(client *clients)
{
    for (int i = 0; i < N_CLIENTS; i++) pthread_join(clients[i].thread, NULL);
}

/* A first key, so that all that keys do takes part. */
static void make_key(void)
{
    client c = {0};

    if (ask(&c, true, "POST", "/admin/keys",
            "{\"name\": \"torture\", \"scopes\": [\"infer\", \"rag\", \"admin\"]}") == 201) {
        const char *at = strstr(c.got.data, "nx-");
        if (at) snprintf(key, sizeof key, "%.*s", (int)strcspn(at, "\""), at);
    }
    if (!key[0]) fault("the first key", c.got.data ? c.got.data : "");
    nx_buf_free(&c.got);
}

static void wait_ready(void)
{
    for (int i = 0; i < 6000 && nx_models_default_state(nx_server_models(server)) != NX_MODEL_READY;
         i++)
        nap_ms(10);
}

/* Clients are in full swing when the server stops: within the drain, and when it is over at once. */
static void stop_under_load(client *clients, int drain_s, int ms)
{
    run_clients(clients, (unsigned)ms, client_till_stop);
    nap_ms(ms);
    atomic_store(&stopping, true);
    nx_server_stop(server, drain_s, NULL, NULL);
    join_clients(clients);
    atomic_store(&stopping, false);
}

static void *ask_slow(void *arg)
{
    client *c = arg;
    bool    stream = c->random % 2;

    c->got.max = 1 << 20;
    int status = ask(c, false, "POST", "/v1/completions",
                     stream ? "{\"model\": \"slow\", \"prompt\": \"Hi\", \"max_tokens\": 3, "
                              "\"ignore_eos\": true, \"stream\": true}"
                            : "{\"model\": \"slow\", \"prompt\": \"Hi\", \"max_tokens\": 3, "
                              "\"ignore_eos\": true}");
    if (status == 200)
        judge(c, status, stream);
    else
        atomic_fetch_add(&n_cut, 1);
    nx_buf_free(&c->got);
    return NULL;
}

/* Who waits for a model when the server stops gets an answer within the drain. Without one, all ends
 * well, too. */
static void stop_while_loading(client *clients, int drain_s)
{
    int whole = atomic_load(&n_whole);

    run_clients(clients, 0, ask_slow);
    nap_ms(150);
    atomic_store(&stopping, drain_s == 0);
    nx_server_stop(server, drain_s, NULL, NULL);
    join_clients(clients);
    atomic_store(&stopping, false);
    if (drain_s && atomic_load(&n_whole) - whole != N_CLIENTS)
        fault("cut off within the drain", "while their model was being loaded");
}

int main(void)
{
    const char *count = getenv("NX_TORTURE_COUNT");
    int         n = count ? atoi(count) : 300;
    client      clients[N_CLIENTS];

    nx_log_setup(&(nx_log_options){.level = NX_LOG_ERROR, .fd = 2});
    if (!mkdtemp(folder)) return 1;
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(control, sizeof control, "%s/control.sock", data);
    if (!start()) return 1;
    make_key();
    wait_ready();
    atomic_store(&n_left, n);
    run_clients(clients, 1, client_main);
    join_clients(clients);
    int64_t left = held();
    printf("%d actions: %d whole answers, %d refused; %lld things still held\n", n,
           atomic_load(&n_whole), atomic_load(&n_refused), (long long)left);
    if (left) fault("held", "uses, jobs or pages");
    stop_under_load(clients, 60, 500);
    for (int i = 0; i < 4 + n / 500; i++) {
        if (!start()) break;
        if (i % 2) wait_ready();
        stop_under_load(clients, i % 3 == 2 ? 1 : 0, 50 + i * 170 % 900);
    }
    atomic_store(&slow_ms, 2500); /* longer than a server waits for last bytes */
    for (int drain_s = 0; drain_s < 20 && start(); drain_s += 10) {
        wait_ready();
        stop_while_loading(clients, drain_s);
    }
    printf("%d whole answers, %d cut by a stop, %d faults\n", atomic_load(&n_whole),
           atomic_load(&n_cut), atomic_load(&n_failed));
    if (nx_dir_remove_all(folder, NULL)) fprintf(stderr, "%s stays\n", folder);
    return atomic_load(&n_failed) ? 1 : 0;
}
