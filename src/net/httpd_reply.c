/* httpd_reply.c - answers: whole or streamed, from any thread.
 *
 * Idea: the answer is made on the thread that gives it, and handed over under the connection's
 *       lock. A body of some size, and every stream, is pulled: libmicrohttpd asks for a piece when
 *       the socket takes one, so the last time that it asked tells when a reader has stalled.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "net/httpd_in.h"
#include "os/clock.h"

#define PIECE_BYTES       16384 /* a whole answer above it is handed out in pieces of it */
#define STREAM_BLOCK      4096
#define PENDING_BYTES_MAX ((size_t)64 << 20)
#define PENDING_KEPT      4096
#define HEAD_BYTES_MAX    16384

/* ---- Headers ---- */

static bool is_token(const char *s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if (!*s) return false;
    for (; *s; s++) {
        bool alnum =
            (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
        if (!alnum && !strchr(others, *s)) return false;
    }
    return true;
}

static bool is_line(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f) return false;
    return true;
}

nx_status nx_exchange_add_header(nx_exchange *x, const char *name, const char *value, nx_error *err)
{
    nx_conn  *c = x->conn;
    nx_status st;

    if (!is_token(name) || !is_line(value))
        return nx_fail(err, NX_EINVAL, "response header: no line of a head: %.64s", name);
    pthread_mutex_lock(&c->lock);
    size_t before = x->head.len;
    x->head.max = HEAD_BYTES_MAX;
    st = nx_buf_add(&x->head, name, strlen(name) + 1, err);
    if (!st) st = nx_buf_add(&x->head, value, strlen(value) + 1, err);
    if (st) x->head.len = before;
    pthread_mutex_unlock(&c->lock);
    return st;
}

/* The response with its headers, or NULL; then it is destroyed. */
static struct MHD_Response *dressed(nx_exchange *x, struct MHD_Response *r,
                                    const char *content_type)
{
    bool ok = r != NULL;

    if (ok && content_type)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, content_type) == MHD_YES;
    pthread_mutex_lock(&x->conn->lock);
    for (size_t at = 0; ok && at < x->head.len;) {
        const char *name = x->head.data + at, *value = name + strlen(name) + 1;
        ok = MHD_add_response_header(r, name, value) == MHD_YES;
        at = (size_t)(value + strlen(value) + 1 - x->head.data);
    }
    pthread_mutex_unlock(&x->conn->lock);
    if (r && !ok) MHD_destroy_response(r);
    return ok ? r : NULL;
}

/* ---- Handing over ---- */

/* c->lock is held. The connection is libmicrohttpd's again. */
static void resume(nx_exchange *x)
{
    nx_conn *c = x->conn;

    if (!x->suspended) return;
    x->suspended = false;
    x->busy_ns = nx_clock_ns();
    if (c->phase == NX_PHASE_SENDING) nx_conn_enter_phase(c, NX_PHASE_SENDING, c->since_ns);
    MHD_resume_connection(c->mhd);
}

/* True when this is the answer; false when there was one, or nobody to take it. */
static bool hand_over(nx_exchange *x, nx_reply_kind kind, int status, struct MHD_Response *r)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    bool ok = !x->finished && !x->is_gone && x->answer == NX_ANSWER_NONE && !x->answered_raw;
    if (ok) {
        x->answer = kind;
        x->status = status;
        x->response = r;
        if (kind == NX_ANSWER_STREAM) atomic_fetch_add(&c->httpd->n_streams, 1);
        resume(x);
    }
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void nx_exchange_drop_answer(nx_exchange *x)
{
    struct MHD_Response *r = x->response;

    x->response = NULL;
    if (r) MHD_destroy_response(r);
}

/* Is there any use in an answer? */
static bool is_open(nx_exchange *x)
{
    pthread_mutex_lock(&x->conn->lock);
    bool open = !x->finished && !x->is_gone && x->answer == NX_ANSWER_NONE && !x->answered_raw;
    pthread_mutex_unlock(&x->conn->lock);
    return open;
}

/* ---- Whole answers ---- */

/* libmicrohttpd asks for a piece: so the last one has gone to the socket. */
static void note_progress(nx_exchange *x, uint64_t given)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    x->busy_ns = nx_clock_ns();
    x->n_given = given;
    pthread_mutex_unlock(&c->lock);
}

static ssize_t read_whole(void *cls, uint64_t at, char *to, size_t max)
{
    nx_exchange *x = cls;
    size_t       n = x->out.len - (size_t)at < max ? x->out.len - (size_t)at : max;

    memcpy(to, x->out.data + at, n);
    note_progress(x, at + n);
    return (ssize_t)n;
}

static void drop_ref(void *cls)
{
    nx_exchange_release(cls);
}

/* Takes body, also on failure. */
static struct MHD_Response *whole_response(nx_exchange *x, nx_buf *body)
{
    struct MHD_Response *r = NULL;

    if (body->len > PIECE_BYTES) {
        nx_exchange_retain(x);
        x->out = *body;
        r = MHD_create_response_from_callback(body->len, PIECE_BYTES, read_whole, x, drop_ref);
        if (!r) nx_exchange_release(x);
    } else if (body->len > 0) {
        r = MHD_create_response_from_buffer_with_free_callback(body->len, body->data, nx_free);
        if (!r) nx_free(body->data);
    } else {
        nx_free(body->data);
        r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    *body = (nx_buf){.max = body->max};
    return r;
}

nx_status nx_exchange_reply(nx_exchange *x, int status, const char *content_type, nx_buf *body,
                            nx_error *err)
{
    nx_buf none = {0};

    if (!body) body = &none;
    if (!is_open(x)) {
        nx_buf_free(body);
        return NX_OK;
    }
    size_t               n = body->len;
    struct MHD_Response *r = dressed(x, whole_response(x, body), content_type);
    if (!r) return nx_fail(err, NX_ENOMEM, "HTTP response of %zu bytes", n);
    x->out_bytes = n;
    if (!hand_over(x, NX_ANSWER_WHOLE, status, r)) MHD_destroy_response(r);
    return NX_OK;
}

/* ---- Streams ---- */

/* The head went out with MSG_MORE: don't let the kernel keep it for a first piece that isn't
 * there. */
static void flush_head(nx_exchange *x)
{
    int on = 1;

    if (x->flushed) return;
    x->flushed = true;
    if (!x->conn->is_unix && x->conn->open)
        setsockopt(x->conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

typedef enum stream_step { STREAM_GO, STREAM_CUT, STREAM_SLEEPS } stream_step;

/* Before `fill`: what is woken from here on asks for another call. */
static stream_step ready(nx_exchange *x)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    x->woken = false;
    x->busy_ns = nx_clock_ns();
    bool gone = x->is_gone || atomic_load(&c->httpd->stopping);
    pthread_mutex_unlock(&c->lock);
    return gone ? STREAM_CUT : STREAM_GO;
}

/* After a `fill` that had nothing: sleep, unless something came meanwhile. */
static stream_step sleep_stream(nx_exchange *x)
{
    nx_conn    *c = x->conn;
    stream_step step = STREAM_SLEEPS;

    pthread_mutex_lock(&c->lock);
    flush_head(x);
    if (atomic_load(&c->httpd->stopping)) nx_exchange_gone(x, NX_GONE_STOP);
    if (c->left) nx_exchange_gone(x, NX_GONE_LEFT);
    if (x->is_gone) {
        step = STREAM_CUT;
    } else if (x->woken) {
        step = STREAM_GO;
    } else {
        x->suspended = true;
        MHD_suspend_connection(c->mhd);
    }
    pthread_mutex_unlock(&c->lock);
    return step;
}

static ssize_t give(nx_exchange *x, uint64_t at, char *to, size_t max)
{
    size_t left = x->pending.len - x->pending_at, n = left < max ? left : max;

    memcpy(to, x->pending.data + x->pending_at, n);
    x->pending_at += n;
    if (x->pending_at == x->pending.len) {
        x->pending_at = 0;
        if (x->pending.cap > PENDING_KEPT)
            nx_buf_free(&x->pending);
        else
            nx_buf_clear(&x->pending);
    }
    note_progress(x, at + n);
    return (ssize_t)n;
}

/* End the response from its reader. libmicrohttpd 0.9.75 closes the connection then, but never
 * cleans it up unless an event comes for it, and a connection that was suspended is in no epoll: so
 * have it looked at once more. */
static ssize_t end_stream(nx_exchange *x, ssize_t how)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    MHD_suspend_connection(c->mhd);
    MHD_resume_connection(c->mhd);
    pthread_mutex_unlock(&c->lock);
    return how;
}

static ssize_t read_stream(void *cls, uint64_t at, char *to, size_t max)
{
    nx_exchange *x = cls;
    stream_step  step = ready(x);

    while (step == STREAM_GO) {
        if (x->pending.len > x->pending_at) return give(x, at, to, max);
        if (x->filled == NX_FILL_END) return end_stream(x, MHD_CONTENT_READER_END_OF_STREAM);
        if (x->filled == NX_FILL_BREAK) break;
        x->filled = x->fill(x->fill_ctx, &x->pending, max);
        if (x->pending.len > 0 || x->filled != NX_FILL_MORE) continue;
        step = sleep_stream(x);
        if (step == STREAM_GO) step = ready(x);
    }
    return step == STREAM_SLEEPS ? 0 : end_stream(x, MHD_CONTENT_READER_END_WITH_ERROR);
}

nx_status nx_exchange_stream(nx_exchange *x, int status, const char *content_type, nx_fill_fn fill,
                             void *ctx, nx_error *err)
{
    if (!is_open(x)) return NX_OK;
    x->fill = fill;
    x->fill_ctx = ctx;
    x->filled = NX_FILL_MORE;
    x->pending.max = PENDING_BYTES_MAX;
    nx_exchange_retain(x);
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x, drop_ref);
    if (!r) nx_exchange_release(x);
    r = dressed(x, r, content_type);
    if (!r) return nx_fail(err, NX_ENOMEM, "HTTP response");
    if (!hand_over(x, NX_ANSWER_STREAM, status, r)) MHD_destroy_response(r);
    return NX_OK;
}

void nx_exchange_wake(nx_exchange *x)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    if (!x->finished && !x->is_gone && x->answer == NX_ANSWER_STREAM) {
        x->woken = true;
        resume(x);
    }
    pthread_mutex_unlock(&c->lock);
}

bool nx_exchange_is_gone(const nx_exchange *x)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    bool gone = x->is_gone || x->finished;
    pthread_mutex_unlock(&c->lock);
    return gone;
}

/* ---- The server's own refusals ---- */

static void error_body(const nx_exchange *x, nx_buf *out, int status, const char *message)
{
    const nx_httpd_hooks *hooks = &x->conn->httpd->hooks;

    out->max = 65536;
    if (hooks->on_error_body)
        hooks->on_error_body(hooks->ctx, out, x->uri, x->begun_ns, status, message);
    else
        (void)!nx_buf_addf(out, NULL, "%s\n", message);
}

static const char *error_type(const nx_httpd *h)
{
    return h->hooks.on_error_body ? "application/json" : "text/plain; charset=utf-8";
}

bool nx_exchange_refuse(nx_exchange *x, int status, const char *message)
{
    nx_httpd *h = x->conn->httpd;
    nx_buf    body = {0};

    if (!is_open(x)) return false;
    x->by_server = true;
    error_body(x, &body, status, message);
    (void)!nx_exchange_reply(x, status, error_type(h), &body, NULL);
    return true;
}

/* The session of a TLS connection, or NULL. */
static gnutls_session_t session_of(const nx_conn *c)
{
    const union MHD_ConnectionInfo *info =
        c->is_tls ? MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION) : NULL;

    return info ? (gnutls_session_t)info->tls_session : NULL;
}

void nx_exchange_refuse_midway(nx_exchange *x, int status, const char *message)
{
    nx_conn *c = x->conn;
    nx_buf   body = {0}, all = {.max = 1 << 17};

    error_body(x, &body, status, message);
    nx_status st =
        nx_buf_addf(&all, NULL,
                    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                    "Connection: close\r\n\r\n%.*s",
                    status, status == 413 ? "Content Too Large" : "Service Unavailable",
                    error_type(c->httpd), body.len, (int)body.len, body.data ? body.data : "");
    pthread_mutex_lock(&c->lock);
    gnutls_session_t tls = session_of(c);
    ssize_t          n = -1;
    if (!st && c->open)
        n = tls ? gnutls_record_send(tls, all.data, all.len)
                : send(c->fd, all.data, all.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    x->by_server = true;
    x->answered_raw = n == (ssize_t)all.len;
    x->status = x->answered_raw ? status : 0;
    x->n_given = n > 0 ? body.len : 0;
    c->linger = true;
    pthread_mutex_unlock(&c->lock);
    nx_buf_free(&body);
    nx_buf_free(&all);
}
