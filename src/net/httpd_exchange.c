/* httpd_exchange.c - an exchange from its first line to on_done: libmicrohttpd's callbacks.
 *
 * Idea:    libmicrohttpd calls on_access for the head, for each piece of the body, and at the end,
 *          where it wants an answer. When there is none yet, the connection is suspended under its
 *          lock; whoever answers finds `suspended` under the same lock, and resumes. So neither
 *          comes before the other, and each suspension is resumed once.
 * Thread:  the I/O thread of the connection, but for what httpd.h says of retain, release and gone.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "net/httpd_in.h"
#include "os/clock.h"

#define BYTE_NS_MAX 62500 /* a whole answer that leaves slower than 16 kB/s has stalled */

/* ---- Life ---- */

static nx_exchange *new_exchange(nx_conn *c, const char *uri)
{
    nx_exchange *x = nx_calloc(1, sizeof *x);

    if (!x) return NULL;
    x->uri = nx_strdup(uri);
    if (!x->uri) {
        nx_free(x);
        return NULL;
    }
    atomic_store(&x->refs, 1);
    atomic_fetch_add(&c->refs, 1);
    x->conn = c;
    x->body_bytes_max = c->httpd->opt.body_bytes_max;
    x->begun_ns = nx_clock_ns();
    return x;
}

void nx_exchange_retain(nx_exchange *x)
{
    atomic_fetch_add(&x->refs, 1);
}

void nx_exchange_release(nx_exchange *x)
{
    if (atomic_fetch_sub(&x->refs, 1) != 1) return;
    nx_free(x->uri);
    nx_free(x->text);
    nx_free(x->fields);
    nx_buf_free(&x->body);
    nx_buf_free(&x->pending);
    nx_buf_free(&x->head);
    nx_buf_free(&x->out);
    nx_conn_release(x->conn);
    nx_free(x);
}

/* The hook runs without the lock, so that it may call nx_exchange_*; on_completed waits for it. */
void nx_exchange_gone(nx_exchange *x, nx_gone why)
{
    nx_conn  *c = x->conn;
    nx_httpd *h = c->httpd;

    if (x->is_gone || x->finished) return;
    x->is_gone = true;
    if (!x->seen || !h->hooks.on_gone) return;
    x->in_hook = true;
    nx_exchange_retain(x);
    pthread_mutex_unlock(&c->lock);
    h->hooks.on_gone(h->hooks.ctx, x, why);
    pthread_mutex_lock(&c->lock);
    x->in_hook = false;
    pthread_cond_broadcast(&c->hook_done);
    /* Not the last reference: c->exchange is one until on_completed, which waits for in_hook. */
    atomic_fetch_sub(&x->refs, 1);
}

/* ---- The connection ---- */

static nx_conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

void nx_on_connection(void *cls, struct MHD_Connection *mhd, void **socket_ctx,
                      enum MHD_ConnectionNotificationCode what)
{
    (void)cls;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*socket_ctx) nx_conn_close(*socket_ctx);
        *socket_ctx = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    nx_ticket ticket;
    memcpy(&ticket, info->client_addr, sizeof ticket);
    nx_conn *c = ticket.conn;
    *socket_ctx = c;
    pthread_mutex_lock(&c->lock);
    c->open = true;
    c->mhd = mhd;
    /* The time of the first head runs since accept. */
    nx_conn_enter_phase(c, NX_PHASE_HEAD, c->since_ns);
    pthread_mutex_unlock(&c->lock);
}

void *nx_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    nx_conn     *c = conn_of(mhd);
    nx_exchange *x = c ? new_exchange(c, uri ? uri : "") : NULL;

    (void)cls;
    if (!x) return NULL; /* on_access then closes the connection */
    pthread_mutex_lock(&c->lock);
    c->exchange = x;
    if (c->phase == NX_PHASE_IDLE) nx_conn_enter_phase(c, NX_PHASE_HEAD, nx_clock_ns());
    pthread_mutex_unlock(&c->lock);
    return x;
}

/* ---- Asking for the answer ---- */

/* Give libmicrohttpd the answer, if there is one. Returns false when there is none. */
static bool queue_answer(nx_exchange *x, struct MHD_Connection *mhd, enum MHD_Result *r)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    struct MHD_Response *response = x->response;
    x->response = NULL;
    if (response) {
        int64_t now = nx_clock_ns();
        x->busy_ns = now;
        if (x->answer == NX_ANSWER_WHOLE)
            x->limit_ns =
                now + c->httpd->opt.stall_ms * NX_MS + (int64_t)x->out_bytes * BYTE_NS_MAX;
        nx_conn_enter_phase(c, NX_PHASE_SENDING, now);
    }
    int  status = x->status;
    bool close = response && atomic_load(&c->listener->quiet);
    pthread_mutex_unlock(&c->lock);
    if (!response) return false;
    if (close) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    *r = MHD_queue_response(mhd, (unsigned)status, response);
    MHD_destroy_response(response);
    return true;
}

typedef enum rest { REST_ANSWERED, REST_SUSPENDED, REST_OVER } rest;

/* Leave the connection alone until someone answers, if nobody has. */
static rest suspend(nx_exchange *x, struct MHD_Connection *mhd)
{
    nx_conn *c = x->conn;
    rest     r = REST_ANSWERED;

    pthread_mutex_lock(&c->lock);
    if (x->answer == NX_ANSWER_NONE) {
        if (atomic_load(&c->httpd->stopping)) nx_exchange_gone(x, NX_GONE_STOP);
        if (c->left) nx_exchange_gone(x, NX_GONE_LEFT);
    }
    if (x->is_gone) {
        r = REST_OVER;
    } else if (x->answer == NX_ANSWER_NONE) {
        r = REST_SUSPENDED;
        x->suspended = true;
        MHD_suspend_connection(mhd);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

static void ask(nx_exchange *x)
{
    nx_conn  *c = x->conn;
    nx_httpd *h = c->httpd;

    x->asked = true;
    pthread_mutex_lock(&c->lock);
    nx_conn_enter_phase(c, NX_PHASE_WAITING, nx_clock_ns());
    pthread_mutex_unlock(&c->lock);
    h->hooks.on_request(h->hooks.ctx, x);
}

static enum MHD_Result answer(nx_exchange *x, struct MHD_Connection *mhd)
{
    enum MHD_Result r = MHD_NO;

    if (queue_answer(x, mhd, &r)) return r;
    if (!x->asked) ask(x);
    rest what = suspend(x, mhd);
    if (what == REST_ANSWERED) queue_answer(x, mhd, &r);
    return what == REST_SUSPENDED ? MHD_YES : r;
}

/* ---- Head and body ---- */

static bool has_body(const nx_exchange *x)
{
    return x->is_chunked || x->content_length > 0;
}

static void take_head(nx_exchange *x, struct MHD_Connection *mhd, const char *method,
                      const char *version)
{
    nx_conn  *c = x->conn;
    nx_httpd *h = c->httpd;
    nx_error  err;

    nx_status st = nx_request_read(x, mhd, method, version, &err);
    atomic_fetch_add(&h->n_busy, 1);
    pthread_mutex_lock(&c->lock);
    nx_conn_enter_phase(c, NX_PHASE_BODY, nx_clock_ns());
    c->linger = false;
    pthread_mutex_unlock(&c->lock);
    if (st) {
        nx_httpd_rejected(h, NX_REJECT_MALFORMED);
        nx_exchange_refuse(x, st == NX_ENOMEM ? 503 : 400, err.text);
        return;
    }
    pthread_mutex_lock(&c->lock);
    x->seen = true;
    pthread_mutex_unlock(&c->lock);
    h->hooks.on_head(h->hooks.ctx, x);
    if (x->content_length > x->body_bytes_max) {
        char text[128];
        snprintf(text, sizeof text, "request body of %llu bytes, at most %zu",
                 (unsigned long long)x->content_length, x->body_bytes_max);
        if (nx_exchange_refuse(x, 413, text)) nx_httpd_rejected(h, NX_REJECT_BODY);
    }
    x->body.max = x->body_bytes_max;
}

/* The head's call. An answer that is there already goes out now if a body would follow, which then
 * is never read, and libmicrohttpd closes the connection; otherwise with the next call, and the
 * connection is kept. */
static enum MHD_Result begin(nx_exchange *x, struct MHD_Connection *mhd, const char *method,
                             const char *version)
{
    nx_conn        *c = x->conn;
    enum MHD_Result r = MHD_YES;

    pthread_mutex_lock(&c->lock);
    bool cut = c->cut; /* bytes that came before can still be read */
    pthread_mutex_unlock(&c->lock);
    if (cut) return MHD_NO;
    x->has_head = true;
    take_head(x, mhd, method, version);
    if (x->seen && !x->by_server && !has_body(x)) return MHD_YES;
    if (queue_answer(x, mhd, &r)) {
        pthread_mutex_lock(&c->lock);
        c->linger = true;
        pthread_mutex_unlock(&c->lock);
        return r;
    }
    return x->by_server ? MHD_NO : MHD_YES; /* a refusal that there was no memory for */
}

static enum MHD_Result take_body(nx_exchange *x, const char *bytes, size_t *n)
{
    char     text[128];
    nx_error err;

    if (x->body.len + *n > x->body_bytes_max) {
        snprintf(text, sizeof text, "request body longer than the %zu bytes that are allowed",
                 x->body_bytes_max);
        nx_httpd_rejected(x->conn->httpd, NX_REJECT_BODY);
        nx_exchange_refuse_midway(x, 413, text);
        return MHD_NO;
    }
    if (nx_buf_add(&x->body, bytes, *n, &err)) {
        nx_exchange_refuse_midway(x, 503, "out of memory");
        return MHD_NO;
    }
    *n = 0;
    return MHD_YES;
}

enum MHD_Result nx_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                             const char *method, const char *version, const char *bytes, size_t *n,
                             void **ctx)
{
    nx_exchange *x = *ctx;

    (void)cls, (void)url;
    if (!x) return MHD_NO;
    if (!x->has_head) return begin(x, mhd, method, version);
    if (*n > 0) return take_body(x, bytes, n);
    return answer(x, mhd);
}

/* ---- The end ---- */

/* The status of the answer under way, ours or libmicrohttpd's own, or 0. */
static int own_status(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_HTTP_STATUS);

    return info ? (int)info->http_status : 0;
}

static void report_of(nx_exchange *x, bool sent, int own, nx_exchange_report *r)
{
    *r = (nx_exchange_report){.status = x->status, .complete = sent, .bytes_sent = x->n_given};
    if (x->answer == NX_ANSWER_NONE && !x->answered_raw) r->status = own;
    if (sent && x->answer == NX_ANSWER_WHOLE) r->bytes_sent = x->is_head ? 0 : x->out_bytes;
}

/* Nothing more comes of x. Returns what on_done says. */
static void finish(nx_exchange *x, bool ok, int own, nx_exchange_report *r)
{
    nx_conn *c = x->conn;

    pthread_mutex_lock(&c->lock);
    bool sent = x->answered_raw || (ok && x->answer != NX_ANSWER_NONE);
    if (!sent && !x->by_server && x->filled != NX_FILL_BREAK)
        nx_exchange_gone(x, atomic_load(&c->httpd->stopping) ? NX_GONE_STOP : NX_GONE_LEFT);
    while (x->in_hook) pthread_cond_wait(&c->hook_done, &c->lock);
    x->finished = true;
    x->suspended = false;
    c->exchange = NULL;
    nx_conn_enter_phase(c, NX_PHASE_IDLE, nx_clock_ns());
    report_of(x, sent, own, r);
    pthread_mutex_unlock(&c->lock);
}

void nx_on_completed(void *cls, struct MHD_Connection *mhd, void **ctx,
                     enum MHD_RequestTerminationCode why)
{
    nx_exchange       *x = *ctx;
    nx_exchange_report report;

    (void)cls;
    *ctx = NULL;
    if (!x) return;
    nx_httpd *h = x->conn->httpd;
    int       own = own_status(mhd);
    finish(x, why == MHD_REQUEST_TERMINATED_COMPLETED_OK, own, &report);
    nx_exchange_drop_answer(x);
    if (x->answer == NX_ANSWER_NONE && own >= 400 && own < 500)
        nx_httpd_rejected(h, NX_REJECT_MALFORMED);
    if (x->has_head) atomic_fetch_sub(&h->n_busy, 1);
    if (x->answer == NX_ANSWER_STREAM) atomic_fetch_sub(&h->n_streams, 1);
    if (x->seen) h->hooks.on_done(h->hooks.ctx, x, &report);
    nx_exchange_release(x);
}
