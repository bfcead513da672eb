/* Protects: a call over a socket file says what it was told to, and brings back status and body whatever
 * the status; nobody there, too long an answer and a bad token each have their own status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/http.h"
#include "os/dir.h"

/* Answers one connection with `answer`, and keeps what it was asked. */
typedef struct server {
    char        folder[64], path[96];
    int         fd;
    const char *answer;
    char        asked[8192];
    pthread_t   thread;
} server;

static void *serve(void *ctx)
{
    server *s = ctx;
    size_t  len = 0;
    int     fd = accept(s->fd, NULL, NULL);

    while (len + 1 < sizeof s->asked) {
        ssize_t n = read(fd, s->asked + len, sizeof s->asked - 1 - len);
        if (n <= 0) break;
        len += (size_t)n;
        const char *head = strstr(s->asked, "\r\n\r\n"),
                   *size = strstr(s->asked, "Content-Length: ");
        if (head && strlen(head + 4) >= (size ? strtoul(size + 16, NULL, 10) : 0)) break;
    }
    if (write(fd, s->answer, strlen(s->answer)) < 0) perror("write");
    close(fd);
    return NULL;
}

static void server_open(server *s, const char *answer)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    memset(s, 0, sizeof *s);
    snprintf(s->folder, sizeof s->folder, "/tmp/nx_test_call_XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof s->path, "%s/sock", s->folder);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", s->path);
    s->answer = answer;
    s->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 1), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_close(server *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
    nx_dir_remove_all(s->folder, NULL);
}

static void asked(server *s, const char *line)
{
    if (!strstr(s->asked, line)) fail_msg("no %s in %s", line, s->asked);
}

static void posts(void **state)
{
    nx_http      *h;
    nx_http_reply reply;
    nx_buf        out = {.max = 1000};
    nx_error      err;
    server        s;

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    server_open(&s, "HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    assert_int_equal(nx_http_create(&h, NULL), NX_OK);
    nx_http_call call = {.method = "POST",
                         .url = "http://localhost/admin/keys",
                         .unix_path = s.path,
                         .bearer = "secret",
                         .body = NX_STR("{\"name\":\"x\"}")};
    if (nx_http_send(h, &reply, &call, &out, &err)) fail_msg("%s", err.text);
    assert_int_equal(reply.status, 201);
    assert_string_equal(out.data, "{\"a\":1}");
    server_close(&s);
    asked(&s, "POST /admin/keys HTTP/1.1\r\n");
    asked(&s, "Host: localhost\r\n");
    asked(&s, "Authorization: Bearer secret\r\n");
    asked(&s, "Content-Type: application/json\r\n");
    asked(&s, "\r\n\r\n{\"name\":\"x\"}");
    nx_buf_free(&out);
    nx_http_destroy(h);
}

static void errors_have_bodies(void **state)
{
    nx_http      *h;
    nx_http_reply reply;
    nx_buf        out = {.max = 1000};
    server        s;

    (void)state;
    server_open(&s, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
    assert_int_equal(nx_http_create(&h, NULL), NX_OK);
    nx_http_call call = {.method = "DELETE", .url = "http://localhost/x", .unix_path = s.path};
    assert_int_equal(nx_http_send(h, &reply, &call, &out, NULL), NX_OK);
    assert_int_equal(reply.status, 404);
    assert_string_equal(out.data, "none");
    server_close(&s);
    asked(&s, "DELETE /x HTTP/1.1\r\n");
    nx_buf_free(&out);
    nx_http_destroy(h);
}

static void redirects_are_not_followed(void **state)
{
    nx_http      *h;
    nx_http_reply reply;
    nx_buf        out = {.max = 1000};
    server        s;

    (void)state;
    server_open(&s, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                    "Content-Length: 0\r\n\r\n");
    assert_int_equal(nx_http_create(&h, NULL), NX_OK);
    nx_http_call call = {.method = "GET", .url = "http://localhost/x", .unix_path = s.path};
    assert_int_equal(nx_http_send(h, &reply, &call, &out, NULL), NX_OK);
    assert_int_equal(reply.status, 302);
    server_close(&s);
    nx_buf_free(&out);
    nx_http_destroy(h);
}

static void failures(void **state)
{
    nx_http      *h;
    nx_http_reply reply;
    nx_buf        out = {.max = 3};
    server        s;

    (void)state;
    server_open(&s, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour");
    assert_int_equal(nx_http_create(&h, NULL), NX_OK);
    nx_http_call call = {.method = "GET", .url = "http://localhost/x", .unix_path = s.path};
    assert_int_equal(nx_http_send(h, &reply, &call, &out, NULL), NX_ELIMIT);
    server_close(&s);
    assert_int_equal(nx_http_send(h, &reply, &call, &out, NULL), NX_EIO); /* nobody there */
    assert_true(reply.unreachable);
    call.bearer = "two\r\nlines";
    assert_int_equal(nx_http_send(h, &reply, &call, &out, NULL), NX_EINVAL);
    nx_buf_free(&out);
    nx_http_destroy(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts),
        cmocka_unit_test(errors_have_bodies),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
