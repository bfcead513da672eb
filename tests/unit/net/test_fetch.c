/* Protects: a fetch goes only where it was allowed to, whatever names, numbers, redirects and the environment say;
 * and it ends: by bytes, seconds, redirects, cancel. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/fetch.h"
#include "os/clock.h"

/* ---- A server: /ok, /404, /big, /slow, /endless; /to/URL sends there, /loop to itself ---- */

typedef struct server {
    int       fd, port;
    pthread_t thread;
} server;

static void answer(int fd, const char *path, int port)
{
    char head[4096];

    if (strncmp(path, "/to/", 4) == 0) {
        snprintf(
            head, sizeof head,
            "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            path + 4);
    } else if (strcmp(path, "/loop") == 0) {
        snprintf(
            head, sizeof head,
            "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:%d/loop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            port);
    } else if (strcmp(path, "/ok") == 0) {
        snprintf(
            head, sizeof head,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nLast-Modified: Fri, 01 Mar 2024 00:00:00 GMT\r\n"
            "Content-Length: 5\r\nConnection: close\r\n\r\nhello");
    } else if (strcmp(path, "/big") == 0) {
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\nConnection: close\r\n\r\nabc");
    } else if (strcmp(path, "/slow") == 0) {
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nabc");
    } else if (strcmp(path, "/endless") == 0) {
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    } else {
        snprintf(head, sizeof head,
                 "HTTP/1.1 404 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    }
    if (write(fd, head, strlen(head)) < 0) return;
    if (strcmp(path, "/slow") == 0) usleep(3000000);
    if (strcmp(path, "/endless") == 0)
        while (write(fd, head, sizeof head) > 0) continue;
}

static void *serve(void *ctx)
{
    server *s = ctx;

    for (;;) {
        char buf[4096], path[2048];
        int  fd = accept(s->fd, NULL, NULL);
        if (fd < 0) return NULL;
        ssize_t n = read(fd, buf, sizeof buf - 1);
        if (n > 0) {
            buf[n] = '\0';
            if (sscanf(buf, "GET %2047s", path) == 1) answer(fd, path, s->port);
        }
        close(fd);
    }
}

static server the;

static int start(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          n = sizeof a;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    the.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(the.fd, (struct sockaddr *)&a, sizeof a) || listen(the.fd, 64)) return -1;
    getsockname(the.fd, (struct sockaddr *)&a, &n);
    the.port = ntohs(a.sin_port);
    return pthread_create(&the.thread, NULL, serve, &the);
}

static int stop(void **state)
{
    (void)state;
    shutdown(the.fd, SHUT_RDWR);
    pthread_join(the.thread, NULL);
    return close(the.fd);
}

/* ---- */

static nx_fetched got;
static nx_buf     body;
static nx_error   err;

/* text with the server's port where it says %d. */
static void with_port(char *out, size_t cap, const char *text)
{
    size_t n = 0;

    while (*text && n + 8 < cap) {
        if (strncmp(text, "%d", 2) == 0) {
            n += (size_t)snprintf(out + n, cap - n, "%d", the.port);
            text += 2;
        } else {
            out[n++] = *text++;
        }
    }
    out[n] = '\0';
}

/* Fetch url (%d in it: the port), allowed hosts divided by blanks (%d, too). */
static nx_status get(const char *url, const char *allow, nx_fetch_request more)
{
    char   u[2048], list[512];
    nx_str hosts[8];
    size_t n = 0;

    with_port(u, sizeof u, url);
    with_port(list, sizeof list, allow);
    for (char *w = strtok(list, " "); w && n < 8; w = strtok(NULL, " ")) hosts[n++] = nx_str_of(w);
    more.url = u;
    more.allow = hosts;
    more.n_allow = n;
    err = (nx_error){0};
    nx_status st = nx_fetch(&body, &got, &more, &err);
    if (st) assert_int_equal(body.len, 0);
    return st;
}

static void refused(const char *url, const char *allow, nx_status want, const char *says)
{
    nx_status st = get(url, allow, (nx_fetch_request){.seconds = 5});

    if (st != want || !strstr(err.text, says))
        fail_msg("%s: %d %s; expected %d %s", url, st, err.text, want, says);
}

static void documents(void **state)
{
    static const char *const allowed[][2] = {
        {"http://127.0.0.1:%d/ok", "127.0.0.1"},
        {"http://127.0.0.1:%d/ok", "example.org 127.0.0.1:%d"},
        {"http://LOCALHOST:%d/ok", "localhost"},
        {"http://localhost:%d/ok", "Localhost:%d"},
        {"http://2130706433:%d/ok", "127.0.0.1"},
        {"http://0x7f.1:%d/ok#x", "127.0.0.1"},
        {"http://127.0.0.1:%d/to/http://localhost:%d/ok", "127.0.0.1 localhost"},
        {"http://127.0.0.1:%d/to///127.0.0.1:%d/ok", "127.0.0.1"},
    };

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    setenv("all_proxy", "http://127.0.0.1:9", 1);
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (get(allowed[i][0], allowed[i][1], (nx_fetch_request){0})) fail_msg("%s", err.text);
        assert_string_equal(body.data, "hello");
        assert_string_equal(got.type, "text/html; charset=utf-8");
        assert_int_equal(got.modified_s, 1709251200);
    }
    refused("http://127.0.0.1:%d/nothing", "127.0.0.1", NX_ENOENT, "404");
}

static void places(void **state)
{
    (void)state;
    refused("http://127.0.0.1:%d/ok", "", NX_EINVAL, "not allowed");
    refused("http://127.0.0.1:%d/ok", "localhost 127.0.0.2 example.org", NX_EINVAL, "not allowed");
    refused("http://127.0.0.1:%d/ok", "127.0.0.1:1", NX_EINVAL, "not allowed");
    refused("http://2130706433:%d/ok", "example.org", NX_EINVAL, "not allowed");
    /* A name that leads here: curl itself resolves all of .localhost so. */
    refused("http://evil.localhost:%d/ok", "evil.localhost", NX_EINVAL, "no public address");
    refused("http://127.0.0.1:%d/to/http://evil.localhost:%d/ok", "127.0.0.1 evil.localhost",
            NX_EINVAL, "no public address");
    refused("http://127.0.0.1:%d/to/http://localhost:%d/ok", "127.0.0.1", NX_EINVAL, "localhost");
    refused("http://127.0.0.1:%d/to/http://10.0.0.1/", "127.0.0.1", NX_EINVAL, "10.0.0.1");
    refused("http://127.0.0.1:%d/to/http://169.254.169.254/latest", "127.0.0.1", NX_EINVAL,
            "not allowed");
    refused("http://127.0.0.1:%d/to/file:///etc/passwd", "127.0.0.1", NX_EINVAL, "");
    refused("http://127.0.0.1:%d/to/gopher://127.0.0.1:%d/", "127.0.0.1", NX_EINVAL, "http");
    refused("http://127.0.0.1:%d/to/http://u:p@127.0.0.1:%d/ok", "127.0.0.1", NX_EINVAL,
            "password");
    refused("file:///etc/passwd", "127.0.0.1", NX_EINVAL, "");
    refused("ftp://127.0.0.1/x", "127.0.0.1", NX_EINVAL, "only http and https");
    refused("http://[::ffff:127.0.0.1]:%d/ok", "127.0.0.1", NX_EINVAL, "not allowed");
    refused("nonsense", "nonsense", NX_EINVAL, "not a URL");
    refused("http://", "127.0.0.1", NX_EINVAL, "");
}

static void ends(void **state)
{
    atomic_bool yes = true;

    (void)state;
    refused("http://127.0.0.1:%d/loop", "127.0.0.1", NX_ELIMIT, "more than 5 redirects");
    assert_int_equal(
        get("http://127.0.0.1:%d/loop", "127.0.0.1", (nx_fetch_request){.redirects = -1}),
        NX_ELIMIT);
    assert_int_equal(
        get("http://127.0.0.1:%d/big", "127.0.0.1", (nx_fetch_request){.bytes_max = 1000}),
        NX_ELIMIT);
    assert_int_equal(
        get("http://127.0.0.1:%d/endless", "127.0.0.1", (nx_fetch_request){.bytes_max = 100000}),
        NX_ELIMIT);
    assert_int_equal(get("http://127.0.0.1:%d/ok", "127.0.0.1", (nx_fetch_request){.bytes_max = 4}),
                     NX_ELIMIT);
    assert_int_equal(get("http://127.0.0.1:%d/ok", "127.0.0.1", (nx_fetch_request){.bytes_max = 5}),
                     NX_OK);
    assert_int_equal(get("http://127.0.0.1:%d/ok", "127.0.0.1", (nx_fetch_request){.cancel = &yes}),
                     NX_ECANCELLED);
    int64_t begin = nx_clock_ns();
    assert_int_equal(get("http://127.0.0.1:%d/slow", "127.0.0.1", (nx_fetch_request){.seconds = 1}),
                     NX_ELIMIT);
    assert_true(nx_clock_ns() - begin < (int64_t)2500000000);
}

static void addresses(void **state)
{
    static const struct {
        const char *text;
        bool        is_public;
    } t[] = {
        {"8.8.8.8", true},
        {"1.1.1.1", true},
        {"0.0.0.0", false},
        {"10.1.2.3", false},
        {"100.64.0.1", false},
        {"100.128.0.1", true},
        {"127.0.0.1", false},
        {"169.254.169.254", false},
        {"172.16.0.1", false},
        {"172.31.255.255", false},
        {"172.32.0.1", true},
        {"192.168.0.1", false},
        {"192.88.99.1", false},
        {"198.18.0.1", false},
        {"203.0.113.9", false},
        {"224.0.0.1", false},
        {"255.255.255.255", false},
        {"::", false},
        {"::1", false},
        {"::ffff:8.8.8.8", false},
        {"::ffff:127.0.0.1", false},
        {"fe80::1", false},
        {"fc00::1", false},
        {"fd12::1", false},
        {"ff02::1", false},
        {"2002:7f00:1::", false},
        {"2001::1", false},
        {"2001:db8::1", false},
        {"64:ff9b::a00:1", false},
        {"64:ff9b::808:808", true},
        {"2606:4700::1111", true},
        {"2a00:1450::1", true},
        {"3fff::1", false},
        {"::127.0.0.1", false},
        {"4000::1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct sockaddr_in  v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool                is4 = inet_pton(AF_INET, t[i].text, &v4.sin_addr) == 1;
        if (!is4) assert_int_equal(inet_pton(AF_INET6, t[i].text, &v6.sin6_addr), 1);
        const struct sockaddr *a = is4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
        if (nx_address_is_public(a) != t[i].is_public) fail_msg("%s", t[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),
        cmocka_unit_test(places),
        cmocka_unit_test(ends),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
