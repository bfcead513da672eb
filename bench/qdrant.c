/* qdrant.c - the questions: how many points a second does a server take over HTTP, and how long does one
 * query take that way, compared with the same scan in this process?
 *
 *   bench_qdrant --url http://127.0.0.1:8000 [--points 10000] [--dim 384] [--batch 500]
 *                [--connections 4] [--queries 2000] [--digits 9] [--form f32|sq8] [--csv FILE]
 *   The server runs already, needs no key, and has no collection "bench_qdrant": that is made and dropped.
 *
 * upload:  bodies of --batch points, made beforehand, are sent with ?wait=true over --connections that
 *   stay open, each by a thread of its own that takes the next body when its last one is answered.
 *   --digits: significant digits of each number; 9 is what tells all floats apart, 17 is what Python sends.
 * query:   POST points/query, limit 10, one after the other over one connection, when the collection has
 *   been green and of unchanged segments for two seconds. A tenth as many go before and aren't counted.
 *   Each answer is compared with what the scan finds: its ten best have the same scores.
 * scan:    the dot products of the same queries with the same vectors, one thread, in this process.
 * Output: key=value on stdout; test,rows,dim,figure,value with --csv, behind what is there, as of
 *   bench_store. Exit 1: something was not answered, or wrongly.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/backends.h"
#include "os/clock.h"

enum {
    K = 10,
    REPLY_MAX = 1 << 20,
    CONNECTIONS_MAX = 64,
    SETTLED_MS = 2000,
    SETTLE_MAX_MS = 120000,
};

#define PATH       "/collections/bench_qdrant"
#define SCORE_NEAR 1e-4F

typedef struct options {
    const char        *url, *csv;
    int                points, dim, batch, connections, queries, digits;
    bool               sq8;
    struct sockaddr_in address;
} options;

typedef struct text {
    char  *p;
    size_t n, cap;
} text;

/* A connection that stays open, and the last reply's body. */
typedef struct connection {
    int    fd, status;
    char  *reply; /* [REPLY_MAX + 1] */
    size_t n, body;
} connection;

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_qdrant: %s: %s\n", what, why);
    exit(1);
}

static void *room(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p) die("memory", strerror(errno));
    return p;
}

/* ---- Text ---- */

static void need(text *t, size_t n)
{
    if (t->n + n <= t->cap) return;
    t->cap = 2 * (t->n + n);
    t->p = realloc(t->p, t->cap);
    if (!t->p) die("memory", strerror(errno));
}

static void add(text *t, const char *s)
{
    size_t n = strlen(s);

    need(t, n);
    memcpy(t->p + t->n, s, n);
    t->n += n;
}

static void add_vector(text *t, const float *x, const options *o)
{
    for (int i = 0; i < o->dim; i++) {
        need(t, 32);
        t->n += (size_t)snprintf(t->p + t->n, 32, "%c%.*g", i ? ',' : '[', o->digits, (double)x[i]);
    }
    add(t, "]");
}

/* ---- HTTP, as much of it as is needed ---- */

static void dial(connection *c, const options *o)
{
    int on = 1;

    c->reply = room(REPLY_MAX + 1, 1);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&o->address, sizeof o->address))
        die(o->url, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void hang_up(connection *c)
{
    close(c->fd);
    free(c->reply);
}

static void send_all(connection *c, const char *head, const char *body, size_t n)
{
    struct iovec  v[2] = {{(void *)(uintptr_t)head, strlen(head)}, {(void *)(uintptr_t)body, n}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

    while (v[0].iov_len + v[1].iov_len > 0) {
        ssize_t k = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) die("a request was not taken", strerror(errno));
        for (int i = 0; i < 2; i++) {
            size_t part = (size_t)k < v[i].iov_len ? (size_t)k : v[i].iov_len;
            v[i].iov_base = (char *)v[i].iov_base + part;
            v[i].iov_len -= part;
            k -= (ssize_t)part;
        }
    }
}

static size_t read_length(const char *head)
{
    for (const char *p = head; (p = strchr(p, '\n')); p++)
        if (strncasecmp(p + 1, "content-length:", 15) == 0) return strtoul(p + 16, NULL, 10);
    die("a reply", "it doesn't say its length");
}

/* The whole reply; c->reply + c->body is its body, and ends with a NUL. */
static void receive(connection *c)
{
    size_t wanted = 0;

    c->n = c->body = 0;
    while (!wanted || c->n < wanted) {
        ssize_t k = recv(c->fd, c->reply + c->n, REPLY_MAX - c->n, 0);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) die("no whole reply came", k ? strerror(errno) : "the server hung up");
        c->n += (size_t)k;
        c->reply[c->n] = '\0';
        char *end = wanted ? NULL : strstr(c->reply, "\r\n\r\n");
        if (!end) continue;
        *end = '\0';
        c->body = (size_t)(end + 4 - c->reply);
        wanted = c->body + read_length(c->reply);
        if (wanted > REPLY_MAX) die("a reply", "too long");
    }
    c->status = (int)strtol(c->reply + strlen("HTTP/1.1 "), NULL, 10);
}

static void ask(connection *c, const char *method, const char *path, const char *body, size_t n)
{
    char head[512];

    snprintf(head, sizeof head,
             "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             method, path, n);
    send_all(c, head, body, n);
    receive(c);
    if (c->status != 200) die(path, c->reply + c->body);
}

/* ---- Vectors ---- */

static uint64_t random_u64(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Rows of noise, of length 1. */
static float *make_vectors(int n, int dim, uint64_t seed)
{
    float *all = room((size_t)n * (size_t)dim, sizeof *all);

    for (int i = 0; i < n; i++) {
        float *x = all + (size_t)i * (size_t)dim, sum = 0;
        for (int k = 0; k < dim; k++) {
            x[k] = (float)((int64_t)(random_u64(&seed) >> 40) - (1 << 23)) / (1 << 23);
            sum += x[k] * x[k];
        }
        for (int k = 0; k < dim; k++) x[k] /= sqrtf(sum);
    }
    return all;
}

/* ---- Figures ---- */

typedef struct figure {
    const char *name;
    double      value;
} figure;

static int by_value(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;

    return a < b ? -1 : a > b;
}

/* Of sorted ones. */
static double quantile(const double *v, int n, double q)
{
    return n ? v[(size_t)((double)(n - 1) * q + 0.5)] : 0;
}

/* One line on stdout, and lines of CSV; name NULL ends them. */
static void tell(const options *o, const char *test, const figure *f)
{
    FILE       *file = o->csv ? fopen(o->csv, "a") : NULL;
    struct stat s;

    if (o->csv && !file) die(o->csv, strerror(errno));
    if (file && fstat(fileno(file), &s) == 0 && s.st_size == 0)
        fprintf(file, "test,rows,dim,figure,value\n");
    printf("%s rows=%d dim=%d", test, o->points, o->dim);
    for (; f->name; f++) {
        printf(" %s=%.6g", f->name, f->value);
        if (file) fprintf(file, "%s,%d,%d,%s,%.6g\n", test, o->points, o->dim, f->name, f->value);
    }
    printf("\n");
    fflush(stdout);
    if (file && fclose(file)) die(o->csv, strerror(errno));
}

static void tell_times(const options *o, const char *test, double *ms, int n)
{
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    tell(o, test,
         (figure[]){{"p50_ms", quantile(ms, n, 0.5)},
                    {"p95_ms", quantile(ms, n, 0.95)},
                    {"p99_ms", quantile(ms, n, 0.99)},
                    {NULL, 0}});
}

/* ---- Uploading ---- */

typedef struct upload {
    const options *o;
    text          *bodies;
    int            n_bodies;
    atomic_int     next;
    double        *ms; /* [n_bodies] */
} upload;

static void make_body(text *t, const float *vectors, const options *o, int from)
{
    char id[64];

    add(t, "{\"points\":[");
    for (int i = from; i < from + o->batch && i < o->points; i++) {
        snprintf(id, sizeof id, "%s{\"id\":%d,\"vector\":", i > from ? "," : "", i);
        add(t, id);
        add_vector(t, vectors + (size_t)i * (size_t)o->dim, o);
        add(t, "}");
    }
    add(t, "]}");
}

static void *send_bodies(void *ctx)
{
    upload    *u = ctx;
    connection c;

    dial(&c, u->o);
    for (int i; (i = atomic_fetch_add(&u->next, 1)) < u->n_bodies;) {
        int64_t from = nx_clock_ns();
        ask(&c, "PUT", PATH "/points?wait=true", u->bodies[i].p, u->bodies[i].n);
        u->ms[i] = (double)(nx_clock_ns() - from) / 1e6;
        if (!strstr(c.reply + c.body, "\"completed\"")) die("an upload", c.reply + c.body);
    }
    hang_up(&c);
    return NULL;
}

static double send_all_bodies(upload *u)
{
    pthread_t threads[CONNECTIONS_MAX];
    int64_t   from = nx_clock_ns();

    for (int i = 0; i < u->o->connections; i++)
        if (pthread_create(&threads[i], NULL, send_bodies, u)) die("thread", "can't be started");
    for (int i = 0; i < u->o->connections; i++) pthread_join(threads[i], NULL);
    return (double)(nx_clock_ns() - from) / 1e9;
}

static void run_upload(const options *o, const float *vectors)
{
    upload u = {.o = o, .n_bodies = (o->points + o->batch - 1) / o->batch};
    size_t bytes = 0;

    u.bodies = room((size_t)u.n_bodies, sizeof *u.bodies);
    u.ms = room((size_t)u.n_bodies, sizeof *u.ms);
    for (int i = 0; i < u.n_bodies; i++) {
        make_body(&u.bodies[i], vectors, o, i * o->batch);
        bytes += u.bodies[i].n;
    }
    double s = send_all_bodies(&u);
    qsort(u.ms, (size_t)u.n_bodies, sizeof *u.ms, by_value);
    tell(o, "qdrant-upload",
         (figure[]){{"connections", o->connections},
                    {"batch", o->batch},
                    {"digits", o->digits},
                    {"points_s", o->points / s},
                    {"body_mb_s", (double)bytes / s / 1e6},
                    {"body_p50_ms", quantile(u.ms, u.n_bodies, 0.5)},
                    {"body_p95_ms", quantile(u.ms, u.n_bodies, 0.95)},
                    {NULL, 0}});
    for (int i = 0; i < u.n_bodies; i++) free(u.bodies[i].p);
    free(u.bodies);
    free(u.ms);
}

/* Until the collection says that nothing is left to do, and goes on saying so. */
static void settle(connection *c)
{
    int64_t from = nx_clock_ns(), since = from, now;
    long    segments = -1;

    do {
        ask(c, "GET", PATH, "", 0);
        const char *at = strstr(c->reply + c->body, "\"segments_count\":");
        long        n = at ? strtol(at + 17, NULL, 10) : 0;
        now = nx_clock_ns();
        if (n != segments || !strstr(c->reply + c->body, "\"green\"")) since = now;
        segments = n;
        if (now - from > SETTLE_MAX_MS * INT64_C(1000000)) die(PATH, "it doesn't settle");
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    } while (now - since < SETTLED_MS * INT64_C(1000000));
}

/* ---- The scan ---- */

static void take(float *best, float score)
{
    int i = K - 1;

    if (score <= best[i]) return;
    for (; i > 0 && best[i - 1] < score; i--) best[i] = best[i - 1];
    best[i] = score;
}

/* The ten best scores of each query. */
static void run_scan(const options *o, float *best, const float *queries, const float *vectors)
{
    double                *ms = room((size_t)o->queries, sizeof *ms);
    float                 *scores = room((size_t)o->points, sizeof *scores);
    const nx_distance_ops *d;
    nx_error               err;

    if (nx_backends_distances(&d, &err)) die("kernels", err.text);
    for (int i = 0; i < o->queries; i++, best += K) {
        const float *q = queries + (size_t)i * (size_t)o->dim;
        int64_t      from = nx_clock_ns();
        for (int k = 0; k < K; k++) best[k] = -INFINITY;
        d->dot(scores, q, vectors, o->points, o->dim, o->dim);
        for (int k = 0; k < o->points; k++) take(best, scores[k]);
        ms[i] = (double)(nx_clock_ns() - from) / 1e6;
    }
    tell_times(o, "scan-in-process", ms, o->queries);
    free(ms);
    free(scores);
}

/* ---- Querying ---- */

static void check_reply(const connection *c, const float *best, const options *o)
{
    const char *at = c->reply + c->body;
    int         n = o->points < K ? o->points : K;

    for (int i = 0; i < n; i++) {
        at = strstr(at, "\"score\":");
        if (!at) die("an answer has too few points", c->reply + c->body);
        float score = strtof(at += 8, NULL);
        if (!o->sq8 && !(fabsf(score - best[i]) < SCORE_NEAR))
            die("a score isn't what the scan found", c->reply + c->body);
    }
}

static double time_query(const options *o, connection *c, const float *q)
{
    text body = {0};

    add(&body, "{\"query\":");
    add_vector(&body, q, o);
    add(&body, ",\"limit\":10}");
    int64_t from = nx_clock_ns();
    ask(c, "POST", PATH "/points/query", body.p, body.n);
    double ms = (double)(nx_clock_ns() - from) / 1e6;
    free(body.p);
    return ms;
}

static void run_queries(const options *o, connection *c, const float *vectors)
{
    double *ms = room((size_t)o->queries, sizeof *ms);
    float  *queries = make_vectors(o->queries, o->dim, 77);
    float  *best = room((size_t)o->queries * K, sizeof *best);

    run_scan(o, best, queries, vectors);
    for (int i = -o->queries / 10; i < o->queries; i++) { /* those below 0 warm up */
        int    of = i < 0 ? -i - 1 : i;
        double took = time_query(o, c, queries + (size_t)of * (size_t)o->dim);
        check_reply(c, best + (size_t)of * K, o);
        if (i >= 0) ms[i] = took;
    }
    tell_times(o, o->sq8 ? "qdrant-query-sq8" : "qdrant-query-f32", ms, o->queries);
    free(queries);
    free(best);
    free(ms);
}

/* ---- main ---- */

static bool read_url(options *o)
{
    unsigned port;
    char     host[64], rest;

    if (!o->url || sscanf(o->url, "http://%63[0-9.]:%5u%c", host, &port, &rest) < 2) return false;
    o->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return port < 65536 && inet_pton(AF_INET, host, &o->address.sin_addr) == 1;
}

static bool parse(options *o, int argc, char **argv)
{
    const struct {
        const char *name;
        int        *value, max;
    } numbers[] = {
        {"--points", &o->points, 10000000},  {"--dim", &o->dim, 4096},
        {"--batch", &o->batch, 10000},       {"--connections", &o->connections, CONNECTIONS_MAX},
        {"--queries", &o->queries, 1000000}, {"--digits", &o->digits, 17}};

    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t      k = 0;
        if (!value) return false;
        while (k < sizeof numbers / sizeof *numbers && strcmp(name, numbers[k].name) != 0) k++;
        if (k < sizeof numbers / sizeof *numbers) {
            *numbers[k].value = (int)strtol(value, NULL, 10);
            if (*numbers[k].value < 1 || *numbers[k].value > numbers[k].max) return false;
        } else if (strcmp(name, "--url") == 0) {
            o->url = value;
        } else if (strcmp(name, "--csv") == 0) {
            o->csv = value;
        } else if (strcmp(name, "--form") == 0) {
            o->sq8 = strcmp(value, "sq8") == 0;
        } else {
            return false;
        }
    }
    return read_url(o);
}

int main(int argc, char **argv)
{
    options o = {
        .points = 10000, .dim = 384, .batch = 500, .connections = 4, .queries = 2000, .digits = 9};
    connection c;
    char       config[256];

    if (!parse(&o, argc, argv)) {
        fprintf(stderr, "usage: bench_qdrant --url http://127.0.0.1:PORT [--option value]...; "
                        "see bench/qdrant.c\n");
        return 2;
    }
    float *vectors = make_vectors(o.points, o.dim, 1);
    snprintf(config, sizeof config, "{\"vectors\":{\"size\":%d,\"distance\":\"Cosine\"%s}}", o.dim,
             o.sq8 ? ",\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}" : "");
    dial(&c, &o);
    ask(&c, "PUT", PATH, config, strlen(config));
    run_upload(&o, vectors);
    settle(&c);
    run_queries(&o, &c, vectors);
    ask(&c, "DELETE", PATH, "", 0);
    hang_up(&c);
    free(vectors);
    return 0;
}
