/* httpd.h - an HTTP/1.1 server over libmicrohttpd: listeners, limits, answers whole or streamed.
 *
 * Owns:    sockets, I/O threads, one watch thread, every exchange until it is done.
 * Refuses: routes, keys, JSON: what a request means is the hooks' business.
 * Idea:    a request is an `exchange`. Hooks see it when its head is there and when its body is;
 *          they may answer at once or later, from any thread. A stream is pulled: nx_exchange_wake
 *          says that there is something, and an I/O thread then asks `fill` for it when the socket
 *          takes it. So a slow reader holds up nobody and no memory.
 * Remedies for libmicrohttpd: every connection is in an epoll of our own, so a client that leaves
 *          is noticed at once; head, body and a reader that takes nothing have absolute deadlines,
 *          kept by the watch thread.
 * Thread:  hooks are called on I/O threads and must not block; on_gone also on the watch thread.
 *          Several exchanges run at once; the hooks of one exchange are called one after the other,
 *          but for on_gone, which may come at any time between on_head and on_done.
 */
#ifndef NX_NET_HTTPD_H
#define NX_NET_HTTPD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

typedef struct nx_httpd    nx_httpd;
typedef struct nx_exchange nx_exchange;

typedef enum nx_gone {
    NX_GONE_LEFT, /* the client closed its side, or the connection broke */
    NX_GONE_SLOW, /* it took nothing for stall_ms */
    NX_GONE_LATE, /* its body wasn't there at the deadline */
    NX_GONE_STOP, /* the server is being destroyed */
} nx_gone;

/* What became of an exchange. */
typedef struct nx_exchange_report {
    int      status;     /* of the response; 0: none was sent */
    bool     complete;   /* the whole response was handed to the socket */
    uint64_t bytes_sent; /* of the response's body */
} nx_exchange_report;

/* Why the server itself turned a connection or request away; on_rejected counts them. */
typedef enum nx_httpd_reject {
    NX_REJECT_HEAD_LATE, /* the head wasn't there at the deadline: connection cut */
    NX_REJECT_BODY,      /* larger than allowed: 413 */
    NX_REJECT_BODY_LATE,
    NX_REJECT_MALFORMED, /* both Content-Length and Transfer-Encoding, several Hosts, ...: 400 */
    NX_REJECT_SLOW_READER,
    NX_REJECT_CONNECTIONS, /* more than connections_max, or of one address: 503 */
} nx_httpd_reject;

typedef struct nx_httpd_hooks {
    void *ctx;
    /* The head is there. May set the body's ceiling, or refuse at once by nx_exchange_reply: then a
     * body isn't waited for, and the connection is closed after the answer; without a body it is
     * kept. */
    void (*on_head)(void *ctx, nx_exchange *x);
    /* The body is there. Answer now, or keep x (nx_exchange_retain) and answer later. */
    void (*on_request)(void *ctx, nx_exchange *x);
    /* The response can't be completed. Called at most once, and not for what the owner or the
     * server ended itself (NX_FILL_BREAK, a refusal). A client that closes its side while it waits
     * or is streamed to has left; one that does so while its request, or a whole answer, is under
     * way still gets the answer. */
    void (*on_gone)(void *ctx, nx_exchange *x, nx_gone why);
    /* The exchange is over; the last hook. nx_exchange_user is the caller's to free. */
    void (*on_done)(void *ctx, nx_exchange *x, const nx_exchange_report *r);
    void (*on_rejected)(void *ctx, nx_httpd_reject why); /* may be NULL */
    /* The body of the answer to a request that the server refuses by itself (a malformed one, a
     * body too large), so that errors look alike; may be NULL. Appends JSON to out. What
     * libmicrohttpd refuses before it has a head (no colon, head too large: 431, bad chunk) keeps
     * its own page. uri: as it came, unchecked. */
    void (*on_error_body)(void *ctx, nx_buf *out, const char *uri, int64_t begun_ns, int status,
                          const char *message);
} nx_httpd_hooks;

typedef struct nx_httpd_options {
    int      n_threads;              /* I/O threads of each listener; default 2 */
    size_t   body_bytes_max;         /* unless on_head says otherwise; default 8 MiB */
    int32_t  head_ms, body_ms;       /* absolute deadlines; defaults 10,000 and 60,000 */
    int32_t  idle_ms;                /* a kept connection without a request; default 300,000 */
    int32_t  stall_ms;               /* a reader that takes nothing; default 30,000 */
    uint32_t connections_max;        /* of each listener; default 4096 */
    uint32_t connections_per_ip_max; /* 0: no limit of its own */
} nx_httpd_options;

void nx_httpd_options_default(nx_httpd_options *opt);

/* hooks and opt (NULL: defaults) are copied. NX_EINVAL (a limit below 1), NX_ENOMEM, NX_EIO. */
nx_status nx_httpd_create(nx_httpd **out, const nx_httpd_hooks *hooks, const nx_httpd_options *opt,
                          nx_error *err);

/* Where to listen. */
typedef struct nx_listen {
    const char *host;      /* "127.0.0.1" (also for NULL and "localhost"), "::1", "0.0.0.0", "::" */
    uint16_t    port;      /* 0: any free one */
    const char *unix_path; /* instead of them: a socket file, mode 0600; a stale one is replaced */
    const char *tls_cert, *tls_key; /* PEM texts; NULL: plain */
    int         tag;                /* the caller's: which listener an exchange came by */
    int         n_threads;          /* 0: as the options say */
} nx_listen;

/* Begin to serve. NX_EIO says what is wrong with the address (in use, no permission, ...) and what
 * to do; NX_EINVAL: the certificate or key; NX_ELIMIT: more than 16 listeners; NX_ENOMEM. May be
 * called several times. */
nx_status nx_httpd_listen(nx_httpd *h, const nx_listen *l, nx_error *err);

/* The port that the listener of that tag has; 0: none. */
uint16_t nx_httpd_port(const nx_httpd *h, int tag);

/* True when host names only this machine: 127.0.0.0/8, ::1, localhost. */
bool nx_host_is_loopback(const char *host);

/* Accept no more connections on listeners of that tag, and close each one after its answer; those
 * that wait for a request are closed at once. When it returns, the address is free. */
void nx_httpd_quiesce(nx_httpd *h, int tag);

/* How many connections are open, and exchanges unfinished, in all listeners. Any thread. */
typedef struct nx_httpd_counts {
    int64_t n_connections; /* all */
    int64_t n_idle;        /* without a request */
    int64_t n_streaming;   /* with a streamed response under way */
} nx_httpd_counts;
void nx_httpd_count(const nx_httpd *h, nx_httpd_counts *out);

/* Cut what is left (on_gone, on_done come for each), join all threads, free. NULL does nothing.
 * Exchanges that were retained stay valid until released, and do nothing. */
void nx_httpd_destroy(nx_httpd *h);

/* ---- The request: valid from on_head until the last release ---- */

const char *nx_exchange_method(const nx_exchange *x); /* "GET" also for HEAD: answered alike, */
bool nx_exchange_is_head(const nx_exchange *x);     /* but the body isn't sent; fill isn't called */
const char *nx_exchange_uri(const nx_exchange *x);  /* as it came, with the query */
const char *nx_exchange_path(const nx_exchange *x); /* percent-decoded, without the query */
int         nx_exchange_tag(const nx_exchange *x);
const char *nx_exchange_peer(const nx_exchange *x); /* "127.0.0.1", "unix": for logs */
bool        nx_exchange_is_tls(const nx_exchange *x);

/* The first header of that name (any case), or NULL. */
const char *nx_exchange_header(const nx_exchange *x, const char *name);
/* The value of ?name=..., percent-decoded; NULL: not there. */
const char *nx_exchange_query(const nx_exchange *x, const char *name);
nx_str      nx_exchange_body(const nx_exchange *x);     /* from on_request on */
int64_t     nx_exchange_begun_ns(const nx_exchange *x); /* nx_clock_ns of the head's arrival */

void  nx_exchange_limit_body(nx_exchange *x, size_t bytes); /* in on_head */
void  nx_exchange_set_user(nx_exchange *x, void *user);
void *nx_exchange_user(const nx_exchange *x);

/* Keep x beyond its hooks. Any thread. */
void nx_exchange_retain(nx_exchange *x);
void nx_exchange_release(nx_exchange *x);

/* ---- The response: once for each exchange, from any thread; on a gone one it does nothing ---- */

/* A header of the response, before reply or stream. name and value are copied. NX_EINVAL: no header
 * line (a line end in it, ...); NX_ELIMIT: more than 16 KiB of them; NX_ENOMEM. */
nx_status nx_exchange_add_header(nx_exchange *x, const char *name, const char *value,
                                 nx_error *err);

/* The whole response. body is taken (body->data becomes NULL), also on error; NULL: empty.
 * NX_ENOMEM. */
nx_status nx_exchange_reply(nx_exchange *x, int status, const char *content_type, nx_buf *body,
                            nx_error *err);

typedef enum nx_fill {
    NX_FILL_MORE,  /* what was appended (perhaps nothing) is all for now: wake me */
    NX_FILL_END,   /* what was appended is the end */
    NX_FILL_BREAK, /* what was appended is sent, then the connection cut: the client must not take
                    * this for an end (one of HTTP/1.0 can't tell) */
} nx_fill;

/* Append what is ready to out, at most about `room` bytes (more is kept and sent next; 64 MiB is
 * the ceiling of out). Called on an I/O thread when the socket takes bytes, never after on_done.
 * Must not block. */
typedef nx_fill (*nx_fill_fn)(void *ctx, nx_buf *out, size_t room);

/* A streamed response (chunked). A client of HTTP/1.0 gets it until the connection closes. */
nx_status nx_exchange_stream(nx_exchange *x, int status, const char *content_type, nx_fill_fn fill,
                             void *ctx, nx_error *err);

/* There is something to fill, or to end. Any thread, cheap, never blocks on the socket. */
void nx_exchange_wake(nx_exchange *x);

/* Has the client gone or been cut, or is the exchange over? Any thread. */
bool nx_exchange_is_gone(const nx_exchange *x);

#endif
