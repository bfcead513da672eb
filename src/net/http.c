/* http.c - requests over libcurl's easy interface. */
#include "net/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

#define CONNECT_S     20
#define STALL_S       30
#define REDIRECTS_MAX 10

struct nx_http {
    CURL *curl;
    char  said[CURL_ERROR_SIZE];
};

/* One transfer under way. */
typedef struct transfer {
    const nx_http_request *rq;
    nx_http_reply         *reply;
    nx_buf                *whole; /* takes every body, an error's too; NULL: rq->on_data takes it */
    bool                   handed; /* but a 200's: rq->on_data takes that */
    nx_status              st;     /* why our own callbacks ended it */
    nx_error              *err;
} transfer;

static void start_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

nx_status nx_http_create(nx_http **out, nx_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start_library);
    *out = nx_calloc(1, sizeof **out);
    if (*out && ((*out)->curl = curl_easy_init())) return NX_OK;
    nx_free(*out);
    *out = NULL;
    return nx_fail(err, NX_ENOMEM, "HTTP client");
}

void nx_http_destroy(nx_http *h)
{
    if (!h) return;
    curl_easy_cleanup(h->curl);
    nx_free(h);
}

/* ---- Headers ---- */

static void reply_reset(nx_http_reply *r)
{
    *r = (nx_http_reply){.length = -1, .range_begin = -1, .range_total = -1, .retry_after_s = -1};
}

/* The value of header `name` in line[0..len), or NULL; without white space around it. */
static const char *header(const char *line, size_t len, const char *name, size_t *n)
{
    size_t k = strlen(name);

    if (len <= k || line[k] != ':' || strncasecmp(line, name, k) != 0) return NULL;
    const char *p = line + k + 1, *end = line + len;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (end > p && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) end--;
    *n = (size_t)(end - p);
    return p;
}

static void copy_text(char *out, size_t cap, const char *p, size_t n)
{
    if (n >= cap) n = cap - 1;
    memcpy(out, p, n);
    out[n] = '\0';
}

/* A decimal number at p[0..n), or -1. */
static int64_t decimal(const char *p, size_t n)
{
    int64_t v = 0;

    if (n == 0 || n > 18) return -1;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') return -1;
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

/* "bytes 100-199/200" */
static void read_content_range(nx_http_reply *r, const char *p, size_t n)
{
    const char *end = p + n, *dash = memchr(p, '-', n), *slash = memchr(p, '/', n);

    if (n < 6 || strncasecmp(p, "bytes ", 6) != 0 || !dash || !slash || dash > slash) return;
    r->range_begin = decimal(p + 6, (size_t)(dash - p - 6));
    r->range_total = decimal(slash + 1, (size_t)(end - slash - 1));
}

/* <https://...>; rel="next" - the Hub sends one link. */
static void read_link(nx_http_reply *r, const char *p, size_t n)
{
    const char *close = memchr(p, '>', n);
    char        rest[128];

    if (n < 2 || *p != '<' || !close) return;
    copy_text(rest, sizeof rest, close, (size_t)(p + n - close));
    if (!strstr(rest, "next")) return;
    if ((size_t)(close - p) <= sizeof r->next)
        copy_text(r->next, sizeof r->next, p + 1, (size_t)(close - p - 1));
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
    transfer      *t = ctx;
    nx_http_reply *r = t->reply;
    size_t         len = size * count, n;
    const char    *p;

    if (len > 9 && strncmp(line, "HTTP/", 5) == 0) {
        const char *space = memchr(line, ' ', len);
        reply_reset(r);
        if (space)
            r->status = (int)decimal(space + 1, (size_t)(line + len - space - 1) < 3 ? 0 : 3);
    } else if ((p = header(line, len, "Content-Length", &n))) {
        r->length = decimal(p, n);
    } else if ((p = header(line, len, "Content-Range", &n))) {
        read_content_range(r, p, n);
    } else if ((p = header(line, len, "Retry-After", &n))) {
        int64_t s = decimal(p, n);
        r->retry_after_s = s < 0 ? -1 : s > 86400 ? 86400 : (int32_t)s;
    } else if ((p = header(line, len, "X-Error-Code", &n))) {
        copy_text(r->error_code, sizeof r->error_code, p, n);
    } else if ((p = header(line, len, "X-Error-Message", &n))) {
        copy_text(r->error_message, sizeof r->error_message, p, n);
    } else if ((p = header(line, len, "Link", &n))) {
        read_link(r, p, n);
    }
    return len;
}

/* ---- Body ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    transfer *t = ctx;
    size_t    n = size * count;

    if (t->whole && !(t->handed && t->reply->status == 200)) {
        t->st = nx_buf_add(t->whole, bytes, n, t->err);
        return t->st ? CURL_WRITEFUNC_ERROR : n;
    }
    if (t->reply->status != 200 && t->reply->status != 206) return n; /* an error page */
    t->st = t->rq->on_data(t->rq->ctx, t->reply, bytes, n, t->err);
    t->reply->by_caller = t->st != NX_OK;
    return t->st ? CURL_WRITEFUNC_ERROR : n;
}

static int on_tick(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    transfer *t = ctx;

    (void)a, (void)b, (void)c, (void)d;
    if (!t->rq->cancel || !atomic_load(t->rq->cancel)) return 0;
    t->st = nx_fail(t->err, NX_ECANCELLED, "cancelled");
    return 1;
}

/* ---- The whole ---- */

/* Put "name: value" at the end of *list. NX_ENOMEM; what was there stays. */
static nx_status add_header(struct curl_slist **list, const char *name, const char *value,
                            nx_error *err)
{
    nx_buf             line = {.max = 1 << 16};
    struct curl_slist *grown = NULL;

    if (nx_buf_addf(&line, NULL, "%s: %s", name, value) == NX_OK)
        grown = curl_slist_append(*list, line.data);
    nx_buf_free(&line);
    if (!grown) return nx_fail(err, NX_ENOMEM, "HTTP client");
    *list = grown;
    return NX_OK;
}

/* libcurl leaves this header out when a redirect leads to another host or port. */
static nx_status add_bearer(struct curl_slist **list, const char *token, nx_error *err)
{
    char text[4096];
    int  n = snprintf(text, sizeof text, "Bearer %s", token);

    if (n < 0 || (size_t)n >= sizeof text || strpbrk(token, "\r\n"))
        return nx_fail(err, NX_EINVAL, "this bearer token can't stand in a header");
    return add_header(list, "Authorization", text, err);
}

static void set_options(nx_http *h, transfer *t)
{
    const nx_http_request *rq = t->rq;
    CURL                  *c = h->curl;
    bool                   tls = strncasecmp(rq->url, "https:", 6) == 0;

    curl_easy_reset(c); /* keeps its connections */
    curl_easy_setopt(c, CURLOPT_URL, rq->url);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->said);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "nexus/" NX_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)(rq->stall_s ? rq->stall_s : STALL_S));
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_tick);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    if (rq->offset > 0) curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)rq->offset);
}

static bool is_unreachable(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_PROXY: return true;
    default: return false;
    }
}

static nx_status outcome(nx_http *h, transfer *t, CURLcode code)
{
    const char *why = h->said[0] ? h->said : curl_easy_strerror(code);

    if (t->st) return t->st;
    /* A server that ignores the range, or has no more bytes, has answered: its status says so. */
    if (code == CURLE_OK || code == CURLE_RANGE_ERROR || code == CURLE_BAD_DOWNLOAD_RESUME)
        return NX_OK;
    if (code == CURLE_OUT_OF_MEMORY) return nx_fail(t->err, NX_ENOMEM, "HTTP client");
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return nx_fail(t->err, NX_EINVAL, "%s: %s", t->rq->url, why);
    t->reply->unreachable = is_unreachable(code);
    return nx_fail(t->err, NX_EIO, "%s", why);
}

nx_status nx_http_get(nx_http *h, nx_http_reply *reply, const nx_http_request *rq, nx_error *err)
{
    transfer           t = {.rq = rq, .reply = reply, .err = err};
    struct curl_slist *headers = NULL;

    reply_reset(reply);
    h->said[0] = '\0';
    set_options(h, &t);
    nx_status st = rq->bearer ? add_bearer(&headers, rq->bearer, err) : NX_OK;
    if (st) return st;
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    return outcome(h, &t, code);
}

/* What a call asks for beyond a plain GET. */
static void set_call(CURL *c, const nx_http_call *call, struct curl_slist *headers)
{
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    if (call->unix_path) {
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, call->unix_path);
        curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    }
    if (call->body.p) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, call->body.p); /* borrowed */
    }
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method);
}

nx_status nx_http_send(nx_http *h, nx_http_reply *reply, const nx_http_call *call, nx_buf *out,
                       nx_error *err)
{
    nx_http_request rq = {.url = call->url,
                          .stall_s = call->stall_s,
                          .cancel = call->cancel,
                          .on_data = call->on_data,
                          .ctx = call->ctx};
    transfer        t = {
               .rq = &rq, .reply = reply, .whole = out, .handed = call->on_data != NULL, .err = err};
    struct curl_slist *headers = NULL;
    nx_status          st = NX_OK;

    reply_reset(reply);
    h->said[0] = '\0';
    set_options(h, &t);
    if (call->body.p) st = add_header(&headers, "Content-Type", "application/json", err);
    if (!st && call->bearer) st = add_bearer(&headers, call->bearer, err);
    if (!st) {
        set_call(h->curl, call, headers);
        st = outcome(h, &t, curl_easy_perform(h->curl));
    }
    curl_slist_free_all(headers);
    return st;
}

static nx_status gather(void *ctx, const nx_http_reply *reply, const void *bytes, size_t n,
                        nx_error *err)
{
    (void)reply;
    return nx_buf_add(ctx, bytes, n, err);
}

nx_status nx_http_get_all(nx_http *h, nx_http_reply *reply, const nx_http_request *rq, nx_buf *out,
                          nx_error *err)
{
    nx_http_request mine = *rq;

    mine.on_data = gather;
    mine.ctx = out;
    return nx_http_get(h, reply, &mine, err);
}

nx_status nx_url_add_escaped(nx_buf *out, const char *text, bool keep_slash, nx_error *err)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    nx_status st = NX_OK;

    for (; *text && !st; text++) {
        if (strchr(plain, *text) || (keep_slash && *text == '/'))
            st = nx_buf_add(out, text, 1, err);
        else
            st = nx_buf_addf(out, err, "%%%02X", (unsigned)(unsigned char)*text);
    }
    return st;
}
