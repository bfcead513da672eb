/* http.h - GET over HTTP(S): redirects, ranges, proxies, and a plain word for each way to fail; and
 *          small calls to a server of ours, also by its socket file.
 *
 * Owns:    one connection cache; make one for each thread.
 * Thread:  one at a time.
 * Trust:   certificates are checked. A bearer token goes to the host of the first URL only; a
 *          redirect never leads from https to http, nor to another protocol.
 * Proxies: http_proxy, https_proxy, all_proxy and no_proxy, as everywhere.
 */
#ifndef NX_NET_HTTP_H
#define NX_NET_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

typedef struct nx_http nx_http;

nx_status nx_http_create(nx_http **out, nx_error *err); /* NX_ENOMEM */
void      nx_http_destroy(nx_http *h);

/* What the last response in a chain of redirects said. Texts are cut to fit. */
typedef struct nx_http_reply {
    int     status;                   /* 200, 206, 404, ...; 0: none came */
    int64_t length;                   /* of what comes now; -1: not said */
    int64_t range_begin, range_total; /* of a 206; -1: not said */
    int32_t retry_after_s;            /* -1: not said */
    char    error_code[64];           /* X-Error-Code */
    char    error_message[256];       /* X-Error-Message */
    char    next[2048];               /* the URL of Link: <...>; rel="next" */
    bool    unreachable;              /* no connection: name, address, proxy or certificate */
    bool    by_caller;                /* on_data ended it */
} nx_http_reply;

/* Takes bytes of a 200's or 206's body; the reply's head is complete. Anything but NX_OK ends the
 * transfer, and nx_http_get returns it. */
typedef nx_status (*nx_http_data_fn)(void *ctx, const nx_http_reply *reply, const void *bytes,
                                     size_t n, nx_error *err);

typedef struct nx_http_request {
    const char        *url;
    const char        *bearer;  /* NULL: none */
    int64_t            offset;  /* > 0: ask for the bytes from here on */
    int32_t            stall_s; /* give up after so many seconds without a byte; 0: 30 */
    const atomic_bool *cancel;  /* may be NULL */
    nx_http_data_fn    on_data;
    void              *ctx;
} nx_http_request;

/* NX_OK: a whole response came, of whatever status. NX_EIO: none, or it broke off (the message says
 * how); NX_ECANCELLED; NX_ENOMEM; NX_EINVAL (the URL); what on_data returned. */
nx_status nx_http_get(nx_http *h, nx_http_reply *reply, const nx_http_request *rq, nx_error *err);

/* The same into a buffer; beyond out->max is NX_ELIMIT. rq->on_data is not used. */
nx_status nx_http_get_all(nx_http *h, nx_http_reply *reply, const nx_http_request *rq, nx_buf *out,
                          nx_error *err);

/* One small exchange with a server that we know: no redirects, no ranges. */
typedef struct nx_http_call {
    const char *method;    /* "GET", "POST", "DELETE" */
    const char *url;       /* with unix_path, its host is only what the Host header says */
    const char *unix_path; /* connect to this socket file, past all proxies; NULL: to the host */
    const char *bearer;    /* NULL: none */
    nx_str      body;      /* JSON; p NULL: none */
    int32_t     stall_s;   /* as above */
    const atomic_bool *cancel; /* may be NULL */
    nx_http_data_fn on_data; /* takes a 200's body as it comes, in the place of out; NULL: nobody */
    void           *ctx;
} nx_http_call;

/* Append the answer's body to out, whatever reply->status says; beyond out->max is NX_ELIMIT. Results
 * as of nx_http_get: when nobody listens, NX_EIO with reply->unreachable. */
nx_status nx_http_send(nx_http *h, nx_http_reply *reply, const nx_http_call *call, nx_buf *out,
                       nx_error *err);

/* Append text with all bytes but A-Z a-z 0-9 - . _ ~ (and / with keep_slash) as %XX. */
nx_status nx_url_add_escaped(nx_buf *out, const char *text, bool keep_slash, nx_error *err);

#endif
