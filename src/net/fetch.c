/* fetch.c - one hop after another, each checked by name before, and by address while it connects. */
#include "net/fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "os/clock.h"

#define BYTES_MAX  ((uint64_t)64 << 20)
#define SECONDS    60
#define CONNECT_MS 20000
#define HOST_MAX   256

/* A URL taken apart, as far as it matters here. */
typedef struct place {
    char host[HOST_MAX]; /* lower case, without brackets and the dot at its end */
    long port;
    bool tls;
} place;

typedef struct hop {
    const nx_fetch_request *rq;
    place                   at;
    nx_buf                 *out;
    nx_status               st; /* why our own callbacks ended it */
    nx_error               *err;
    char                    refused[INET6_ADDRSTRLEN]; /* the address that was not to be */
} hop;

static void start_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- URLs ---- */

static bool copy_host(char out[HOST_MAX], const char *from, size_t n)
{
    if (n > 1 && from[0] == '[' && from[n - 1] == ']') from++, n -= 2;
    if (n > 1 && from[n - 1] == '.') n--;
    if (n == 0 || n >= HOST_MAX) return false;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] | 32 : from[i]);
    out[n] = '\0';
    return true;
}

static nx_status read_parts(place *out, CURLU *u, const char *url, nx_error *err)
{
    char     *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    nx_status st = NX_OK;

    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        st = nx_fail(err, NX_EINVAL, "%.300s: not a URL of a web page", url);
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        st = nx_fail(err, NX_EINVAL, "%.300s: only http and https are fetched", url);
    else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
        st = nx_fail(err, NX_EINVAL, "a URL with a name or a password in it");
    else if (!copy_host(out->host, host, strlen(host)))
        st = nx_fail(err, NX_EINVAL, "%.300s: its host's name is empty or too long", url);
    if (!st) {
        out->port = strtol(port, NULL, 10);
        out->tls = scheme[4] == 's';
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    return st;
}

static nx_status take_apart(place *out, const char *url, nx_error *err)
{
    CURLU *u = curl_url();

    if (!u) return nx_fail(err, NX_ENOMEM, "URL");
    nx_status st = read_parts(out, u, url, err);
    curl_url_cleanup(u);
    return st;
}

bool nx_fetch_host(char *out, size_t cap, const char *url)
{
    place p;

    if (take_apart(&p, url, NULL) || strlen(p.host) >= cap) return false;
    memcpy(out, p.host, strlen(p.host) + 1);
    return true;
}

/* ---- The list ---- */

/* The address that text is, as 4 or 16 bytes; 0: it is a name. */
static size_t address_of(unsigned char out[16], const char *text)
{
    if (inet_pton(AF_INET, text, out) == 1) return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

static bool same_host(const char *a, const char *b)
{
    unsigned char x[16], y[16];
    size_t        n = address_of(x, a);

    if (n) return address_of(y, b) == n && memcmp(x, y, n) == 0;
    return strcmp(a, b) == 0;
}

/* "HOST", "HOST:PORT", "[V6]", "[V6]:PORT", "V6". *port 0: any. */
static bool read_entry(char host[HOST_MAX], long *port, nx_str e)
{
    const char *colon = e.len ? memchr(e.p, ':', e.len) : NULL,
               *close = memchr(e.p ? e.p : "", ']', e.len);
    size_t n = e.len;
    char   digits[8] = "";

    *port = 0;
    if (close)
        colon = close + 1 < e.p + e.len && close[1] == ':' ? close + 1 : NULL;
    else if (colon && memchr(colon + 1, ':', (size_t)(e.p + e.len - colon - 1)))
        colon = NULL;
    if (colon) {
        size_t k = (size_t)(e.p + e.len - colon - 1);
        if (k == 0 || k > 5) return false;
        memcpy(digits, colon + 1, k);
        if (strspn(digits, "0123456789") != k) return false;
        *port = strtol(digits, NULL, 10);
        n = (size_t)(colon - e.p);
        if (*port < 1 || *port > 65535) return false;
    }
    return copy_host(host, e.p ? e.p : "", n);
}

static bool is_allowed(const nx_fetch_request *rq, const place *at)
{
    char host[HOST_MAX];
    long port;

    for (size_t i = 0; i < rq->n_allow; i++)
        if (read_entry(host, &port, rq->allow[i]) && same_host(host, at->host) &&
            (port == 0 || port == at->port))
            return true;
    return false;
}

/* ---- The address ---- */

static bool is_loopback(const struct sockaddr *a)
{
    struct sockaddr_in  v4;
    struct sockaddr_in6 v6;

    if (a->sa_family == AF_INET) {
        memcpy(&v4, a, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    memcpy(&v6, a, sizeof v6);
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

/* Does the host of this hop, which is on the list, have its place at that address? */
static bool may_connect(const place *at, const struct sockaddr *a)
{
    unsigned char       bytes[16];
    size_t              n = address_of(bytes, at->host);
    struct sockaddr_in  v4;
    struct sockaddr_in6 v6;

    if (strcmp(at->host, "localhost") == 0) return is_loopback(a);
    if (n == 0) return nx_address_is_public(a);
    memcpy(&v4, a, sizeof v4);
    if (a->sa_family == AF_INET) return n == 4 && memcmp(bytes, &v4.sin_addr, 4) == 0;
    if (a->sa_family != AF_INET6) return false;
    memcpy(&v6, a, sizeof v6);
    return n == 16 && memcmp(bytes, &v6.sin6_addr, 16) == 0;
}

static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    hop                    *h = ctx;
    struct sockaddr_storage copy = {0};
    const struct sockaddr  *to = (const struct sockaddr *)&copy;

    (void)purpose;
    memcpy(&copy, &a->addr, a->addrlen < sizeof copy ? a->addrlen : sizeof copy);
    if (a->addrlen <= sizeof copy && may_connect(&h->at, to))
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    const void *bytes =
        to->sa_family == AF_INET6
            ? (const void *)&((const struct sockaddr_in6 *)(const void *)&copy)->sin6_addr
            : (const void *)&((const struct sockaddr_in *)(const void *)&copy)->sin_addr;
    if (!inet_ntop(to->sa_family, bytes, h->refused, sizeof h->refused))
        snprintf(h->refused, sizeof h->refused, "no address");
    return CURL_SOCKET_BAD;
}

/* ---- One hop ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    hop   *h = ctx;
    size_t n = size * count;

    h->st = nx_buf_add(h->out, bytes, n, h->err);
    if (h->st == NX_ELIMIT)
        h->st = nx_fail(h->err, NX_ELIMIT, "%.300s: over %zu bytes (the limit)", h->rq->url,
                        h->out->max);
    return h->st ? CURL_WRITEFUNC_ERROR : n;
}

static int on_tick(void *ctx, curl_off_t total, curl_off_t b, curl_off_t c, curl_off_t d)
{
    hop *h = ctx;

    (void)b, (void)c, (void)d;
    if (h->rq->cancel && atomic_load(h->rq->cancel)) {
        h->st = nx_fail(h->err, NX_ECANCELLED, "cancelled");
    } else if (total > 0 && (uint64_t)total > h->out->max) {
        h->st = nx_fail(h->err, NX_ELIMIT, "%.300s: %lld bytes; the limit is %zu", h->rq->url,
                        (long long)total, h->out->max);
    }
    return h->st != NX_OK;
}

static void set_options(CURL *c, hop *h, const char *url, long ms_left)
{
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "nexus/" NX_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(c, CURLOPT_FILETIME, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, ms_left);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                     ms_left < CONNECT_MS ? ms_left : (long)CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, h);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_tick);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
}

static nx_status broken(const hop *h, CURLcode code, const char *url, const char *said)
{
    int32_t seconds = h->rq->seconds > 0 ? h->rq->seconds : SECONDS;

    if (h->st) return h->st;
    if (code == CURLE_OUT_OF_MEMORY) return nx_fail(h->err, NX_ENOMEM, "HTTP client");
    if (h->refused[0])
        return nx_fail(
            h->err, NX_EINVAL,
            "%.300s: %.200s is at %s, which is no public address: only a host that is allowed as an "
            "address may be there",
            url, h->at.host, h->refused);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return nx_fail(h->err, NX_ELIMIT, "%.300s: no answer within %d s (the limit)", url,
                       seconds);
    return nx_fail(h->err, NX_EIO, "%.300s: %s", url, said[0] ? said : curl_easy_strerror(code));
}

/* What the server answered: NX_OK, and where it sends us (NULL: the document is here). */
static nx_status answered(CURL *c, const hop *h, const char *url, const char **next)
{
    long  status = 0;
    char *to = NULL;

    *next = NULL;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return NX_OK;
    if (status >= 300 && status < 400 &&
        curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &to) == CURLE_OK && to) {
        *next = to;
        return NX_OK;
    }
    return nx_fail(h->err, status == 404 || status == 410 ? NX_ENOENT : NX_EIO,
                   "%.300s: the server answered %ld", url, status);
}

static nx_status check_place(hop *h, const char *url, bool after_tls)
{
    nx_status st = strlen(url) < NX_FETCH_URL_MAX
                       ? take_apart(&h->at, url, h->err)
                       : nx_fail(h->err, NX_EINVAL, "a URL of %zu bytes; at most %d", strlen(url),
                                 NX_FETCH_URL_MAX - 1);

    if (st) return st;
    if (after_tls && !h->at.tls)
        return nx_fail(h->err, NX_EINVAL, "%.300s: leads from https to http", url);
    if (!is_allowed(h->rq, &h->at))
        return nx_fail(h->err, NX_EINVAL, "%.300s: host %s:%ld is not allowed (--allow-url)", url,
                       h->at.host, h->at.port);
    return NX_OK;
}

static nx_status follow(CURL *c, hop *h, nx_fetched *got, int64_t end_ms)
{
    char        said[CURL_ERROR_SIZE];
    const char *next = h->rq->url;
    int32_t     max = h->rq->redirects < 0 ? 0
                      : h->rq->redirects   ? h->rq->redirects
                                           : NX_FETCH_REDIRECTS_MAX;
    bool        tls = false;

    for (got->n_redirects = 0;; got->n_redirects++) {
        if (got->n_redirects > max)
            return nx_fail(h->err, NX_ELIMIT, "%.300s: more than %d redirects (the limit)",
                           h->rq->url, max);
        nx_status st = check_place(h, next, tls);
        if (st) return st;
        tls = h->at.tls;
        snprintf(got->url, sizeof got->url, "%s", next);
        nx_buf_clear(h->out);
        int64_t left = end_ms - nx_clock_ns() / 1000000;
        set_options(c, h, got->url, left > 1 ? (long)left : 1);
        said[0] = '\0';
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, said);
        CURLcode code = curl_easy_perform(c);
        if (code != CURLE_OK) return broken(h, code, got->url, said);
        st = answered(c, h, got->url, &next);
        if (st || !next) return st;
    }
}

static void read_facts(CURL *c, nx_fetched *got)
{
    char      *type = NULL;
    curl_off_t t = -1;

    curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(c, CURLINFO_FILETIME_T, &t);
    snprintf(got->type, sizeof got->type, "%s", type ? type : "");
    got->modified_s = t > 0 ? (int64_t)t : 0;
}

nx_status nx_fetch(nx_buf *out, nx_fetched *got, const nx_fetch_request *rq, nx_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    hop                   h = {.rq = rq, .out = out, .err = err};
    int32_t               seconds = rq->seconds > 0 ? rq->seconds : SECONDS;

    pthread_once(&once, start_library);
    nx_buf_clear(out);
    out->max = (size_t)(rq->bytes_max ? rq->bytes_max : BYTES_MAX);
    *got = (nx_fetched){0};
    CURL *c = curl_easy_init();
    if (!c) return nx_fail(err, NX_ENOMEM, "HTTP client");
    nx_status st = follow(c, &h, got, nx_clock_ns() / 1000000 + seconds * (int64_t)1000);
    if (!st) read_facts(c, got);
    curl_easy_cleanup(c);
    if (st) nx_buf_clear(out);
    return st;
}
