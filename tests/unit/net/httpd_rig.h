/* httpd_rig.h - a server whose paths say how it behaves, and a client of raw sockets.
 *
 *   /now /echo /big     answered at once: "hello", the body, 4 MiB
 *   /later              answered by another thread, a little later
 *   /hold               kept in rig.held, for the test to answer
 *   /stream /flood      streamed: what the test pushes; without end
 *   /refuse             401 in on_head;  /small: the body may have 10 bytes
 */
#ifndef NX_TESTS_HTTPD_RIG_H
#define NX_TESTS_HTTPD_RIG_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "net/httpd.h"
#include "os/clock.h"

#define MS       1000000LL
#define HELD_MAX 1024

typedef struct held {
    nx_exchange *x;
    atomic_llong n_pushed, n_given; /* events of a stream */
    atomic_bool  end, break_off;
} held;

typedef struct rig {
    nx_httpd    *h;
    atomic_int   n_heads, n_requests, n_done, n_complete, n_held;
    atomic_int   n_gone[4], n_rejected[6];
    atomic_llong gone_ns; /* when the last on_gone came */
    atomic_int   last_status;
    atomic_llong last_bytes;
    held         held[HELD_MAX];
} rig;

static rig R;

static void rig_reply(nx_exchange *x, int status, const char *text, size_t n)
{
    nx_buf body = {.max = 1 << 25};

    assert_int_equal(nx_buf_add(&body, text, n, NULL), NX_OK);
    assert_int_equal(nx_exchange_reply(x, status, "text/plain", &body, NULL), NX_OK);
    assert_null(body.data);
}

static void *reply_later(void *arg)
{
    nx_exchange *x = arg;

    usleep(20000);
    rig_reply(x, 200, "late", 4);
    nx_exchange_release(x);
    return NULL;
}

static nx_fill fill_pushed(void *ctx, nx_buf *out, size_t room)
{
    held *k = ctx;

    (void)room;
    if (atomic_load(&k->break_off)) return NX_FILL_BREAK;
    bool end = atomic_load(&k->end);
    while (atomic_load(&k->n_given) < atomic_load(&k->n_pushed) && out->len < 4000)
        (void)!nx_buf_addf(out, NULL, "data: %lld\n\n",
                           (long long)atomic_fetch_add(&k->n_given, 1));
    return end && atomic_load(&k->n_given) == atomic_load(&k->n_pushed) ? NX_FILL_END
                                                                        : NX_FILL_MORE;
}

static nx_fill fill_flood(void *ctx, nx_buf *out, size_t room)
{
    (void)ctx;
    while (out->len + 64 < room)
        (void)!nx_buf_add(out, "0123456789012345678901234567890123456789012345678901234567890123",
                          64, NULL);
    return NX_FILL_MORE;
}

static held *rig_hold(nx_exchange *x)
{
    held *k = &R.held[atomic_load(&R.n_held)];

    nx_exchange_retain(x);
    k->x = x;
    return k;
}

static pthread_mutex_t hold_lock = PTHREAD_MUTEX_INITIALIZER;

static void on_head(void *ctx, nx_exchange *x)
{
    (void)ctx;
    atomic_fetch_add(&R.n_heads, 1);
    if (strcmp(nx_exchange_path(x), "/refuse") == 0) rig_reply(x, 401, "no", 2);
    if (strcmp(nx_exchange_path(x), "/small") == 0) nx_exchange_limit_body(x, 10);
}

static void on_request(void *ctx, nx_exchange *x)
{
    const char *path = nx_exchange_path(x);

    (void)ctx;
    atomic_fetch_add(&R.n_requests, 1);
    if (strcmp(path, "/echo") == 0 || strcmp(path, "/small") == 0) {
        nx_str b = nx_exchange_body(x);
        rig_reply(x, 200, b.p, b.len);
    } else if (strcmp(path, "/big") == 0) {
        char *big = malloc(4 << 20);
        memset(big, 'b', 4 << 20);
        rig_reply(x, 200, big, 4 << 20);
        free(big);
    } else if (strcmp(path, "/later") == 0) {
        pthread_t t;
        nx_exchange_retain(x);
        pthread_create(&t, NULL, reply_later, x);
        pthread_detach(t);
    } else if (strcmp(path, "/hold") == 0 || strcmp(path, "/stream") == 0) {
        pthread_mutex_lock(&hold_lock);
        held *k = rig_hold(x);
        if (path[1] == 's')
            assert_int_equal(nx_exchange_stream(x, 200, "text/event-stream", fill_pushed, k, NULL),
                             NX_OK);
        atomic_fetch_add(&R.n_held, 1);
        pthread_mutex_unlock(&hold_lock);
    } else if (strcmp(path, "/flood") == 0) {
        assert_int_equal(nx_exchange_stream(x, 200, "text/event-stream", fill_flood, NULL, NULL),
                         NX_OK);
    } else if (strncmp(path, "/query", 6) == 0) {
        const char *q = nx_exchange_query(x, "q");
        rig_reply(x, 200, q ? q : "-", q ? strlen(q) : 1);
    } else {
        assert_int_equal(nx_exchange_add_header(x, "X-Test", "1", NULL), NX_OK);
        rig_reply(x, 200, "hello", 5);
    }
}

static void on_gone(void *ctx, nx_exchange *x, nx_gone why)
{
    (void)ctx, (void)x;
    atomic_store(&R.gone_ns, nx_clock_ns());
    atomic_fetch_add(&R.n_gone[why], 1);
}

static void on_done(void *ctx, nx_exchange *x, const nx_exchange_report *r)
{
    (void)ctx, (void)x;
    atomic_store(&R.last_status, r->status);
    atomic_store(&R.last_bytes, (long long)r->bytes_sent);
    if (r->complete) atomic_fetch_add(&R.n_complete, 1);
    atomic_fetch_add(&R.n_done, 1);
}

static void on_rejected(void *ctx, nx_httpd_reject why)
{
    (void)ctx;
    atomic_fetch_add(&R.n_rejected[why], 1);
}

static void on_error_body(void *ctx, nx_buf *out, const char *uri, int64_t begun_ns, int status,
                          const char *message)
{
    (void)begun_ns;
    (void)ctx, (void)uri;
    (void)!nx_buf_addf(out, NULL, "{\"status\":%d,\"message\":\"%s\"}", status, message);
}

static nx_httpd_options rig_options(void)
{
    nx_httpd_options o;

    nx_httpd_options_default(&o);
    o.body_bytes_max = 100000;
    return o;
}

static void rig_start_with(const nx_httpd_options *o)
{
    static const nx_httpd_hooks hooks = {.on_head = on_head,
                                         .on_request = on_request,
                                         .on_gone = on_gone,
                                         .on_done = on_done,
                                         .on_rejected = on_rejected,
                                         .on_error_body = on_error_body};
    nx_error                    err;

    memset(&R, 0, sizeof R);
    assert_int_equal(nx_httpd_create(&R.h, &hooks, o, &err), NX_OK);
}

static void rig_listen(const nx_listen *l)
{
    nx_error  err = {0};
    nx_status st = nx_httpd_listen(R.h, l, &err);

    if (st) fail_msg("%s", err.text);
}

static void rig_start(void)
{
    nx_httpd_options o = rig_options();

    rig_start_with(&o);
    rig_listen(&(nx_listen){.host = "127.0.0.1"});
}

static void rig_release_held(void)
{
    for (int i = 0; i < atomic_load(&R.n_held); i++) {
        if (R.held[i].x) nx_exchange_release(R.held[i].x);
        R.held[i].x = NULL;
    }
}

static void rig_stop(void)
{
    nx_httpd_destroy(R.h);
    rig_release_held();
    R.h = NULL;
    /* Every head that hooks saw came to its end. */
    assert_int_equal(atomic_load(&R.n_done), atomic_load(&R.n_heads));
}

/* Wait until *n is at least `want`; false after five seconds. */
static bool reaches(atomic_int *n, int want)
{
    for (int i = 0; i < 50000 && atomic_load(n) < want; i++) usleep(100);
    return atomic_load(n) >= want;
}

/* ---- The client ---- */

static int dial_port(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int dial(void)
{
    int fd = dial_port(nx_httpd_port(R.h, 0));

    assert_true(fd >= 0);
    return fd;
}

static void say_n(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0) return;
        text += k;
        n -= (size_t)k;
    }
}

static void say(int fd, const char *text)
{
    say_n(fd, text, strlen(text));
}

static void get(int fd, const char *path)
{
    char line[256];

    snprintf(line, sizeof line, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    say(fd, line);
}

/* Read until `until` is there, or the end, or ms have passed; returns how much is in `to`. -1: the
 * connection was reset with nothing read. */
static ssize_t hear(int fd, char *to, size_t cap, const char *until, int ms)
{
    int64_t end = nx_clock_ns() + ms * MS;
    size_t  n = 0;

    to[0] = '\0';
    while (n + 1 < cap) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t       left = (end - nx_clock_ns()) / MS;
        if (left < 0 || poll(&p, 1, (int)left + 1) <= 0) break;
        ssize_t k = recv(fd, to + n, cap - 1 - n, 0);
        if (k < 0 && n == 0) return -1;
        if (k <= 0) break;
        n += (size_t)k;
        to[n] = '\0';
        if (until && strstr(to, until)) break;
    }
    return (ssize_t)n;
}

/* How long until the server closes, in ms; -1: it doesn't within `ms`. */
static int closes_within(int fd, int ms)
{
    char    sink[4096];
    int64_t begin = nx_clock_ns(), end = begin + ms * MS;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t       left = (end - nx_clock_ns()) / MS;
        if (left < 0 || poll(&p, 1, (int)left + 1) <= 0) return -1;
        if (recv(fd, sink, sizeof sink, 0) <= 0) return (int)((nx_clock_ns() - begin) / MS);
    }
}

static int status_of(const char *answer)
{
    int s = 0;

    return sscanf(answer, "HTTP/1.1 %d", &s) == 1 ? s : 0;
}

/* Send text on a connection of its own; the status of the answer, 0: closed without one. */
static int ask_raw(const char *text)
{
    char answer[4096];
    int  fd = dial();

    say(fd, text);
    hear(fd, answer, sizeof answer, "\r\n\r\n", 2000);
    close(fd);
    return status_of(answer);
}

/* ---- This process ---- */

static int count_entries(const char *path)
{
    DIR *d = opendir(path);
    int  n = 0;

    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static int count_fds(void)
{
    return count_entries("/proc/self/fd");
}

static int count_threads(void)
{
    return count_entries("/proc/self/task");
}

static long resident_bytes(void)
{
    long  pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

#endif
