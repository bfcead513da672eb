/* httpd_in.h - what the files of the HTTP server share: connections, exchanges, listeners.
 *
 * Threads: the watch thread (httpd_watch.c) accepts, keeps the list of connections, and sees
 *          hang-ups and deadlines. I/O threads are libmicrohttpd's: each worker of a listener is a
 *          daemon of one thread, that gets its connections from the watch thread. Any thread
 *          answers.
 * Locks:   door (nx_httpd): listening sockets, and who waits to linger. conn.lock: a connection and
 *          its exchange. conn.lock may be held while libmicrohttpd's own locks are taken (suspend,
 *          resume), so none of its callbacks is left while conn.lock is held; hooks are called
 *          with no lock held.
 * Lives:   a connection is freed by the watch thread after CLOSED has come for it, or by the last
 *          exchange that refers to it; so a pointer that epoll still has in hand is good. The
 *          descriptor is used only while `open`, which CLOSED ends before libmicrohttpd closes it.
 */
#ifndef NX_NET_HTTPD_IN_H
#define NX_NET_HTTPD_IN_H

#include "net/httpd.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/error.h"

#define NX_LISTENERS_MAX 16
#define NX_WORKERS_MAX   64
#define NX_MS            1000000LL

typedef struct nx_listener nx_listener;
typedef struct nx_conn     nx_conn;

/* What a pointer in the watch's epoll is: the first field of each of these structs. */
typedef enum nx_watched {
    NX_WATCHED_WAKEUP,
    NX_WATCHED_LISTENER,
    NX_WATCHED_CONN,
    NX_WATCHED_LINGER
} nx_watched;

typedef struct nx_worker {
    struct MHD_Daemon *daemon;
    atomic_int         n_conns;
} nx_worker;

struct nx_listener {
    nx_watched  kind;
    nx_httpd   *httpd;
    int         tag;
    bool        is_tls, is_unix;
    int         fd; /* -1: closed; under door */
    uint16_t    port;
    char       *unix_path; /* ours to unlink; NULL: none */
    dev_t       unix_dev;
    ino_t       unix_ino;
    atomic_bool quiet;
    bool        paused; /* out of descriptors: the watch thread tries again at the next tick */
    atomic_int  n_conns;
    int         n_workers;
    nx_worker   workers[NX_WORKERS_MAX];
};

typedef enum nx_phase {
    NX_PHASE_ENTERING, /* accepted, not yet in the hands of an I/O thread */
    NX_PHASE_HEAD,     /* a head is coming */
    NX_PHASE_BODY,     /* a body is coming */
    NX_PHASE_WAITING,  /* for our answer */
    NX_PHASE_SENDING,
    NX_PHASE_IDLE, /* kept, between requests */
    NX_PHASE_CLOSED,
} nx_phase;

struct nx_conn {
    nx_watched      kind;
    nx_httpd       *httpd;
    nx_listener    *listener; /* gone with the server: retained exchanges don't look */
    nx_worker      *worker;
    nx_conn        *next; /* the watch thread's list */
    atomic_int      refs; /* the list's, and one for each exchange */
    int             tag;
    bool            is_tls, is_unix;
    char            peer[48];
    unsigned char   ip[16];
    _Atomic int64_t due_ns; /* when the watch thread should judge it; 0: at once */

    pthread_mutex_t lock; /* guards all below, and the changing half of the exchange */
    pthread_cond_t  hook_done;
    int             fd;
    bool            open;   /* fd may be used */
    bool            left;   /* the client has hung up */
    bool            cut;    /* we have */
    bool            linger; /* the client may still be sending: read on a little after the answer */
    nx_phase        phase;
    int64_t         since_ns; /* of the phase */
    int64_t         left_ns;  /* when it hung up */
    int64_t         look_ns;  /* when idle: the next look for bytes */
    struct MHD_Connection *mhd;
    nx_exchange           *exchange; /* under way, or NULL */
};

typedef struct nx_field {
    const char *name, *value;
} nx_field;

typedef enum nx_reply_kind { NX_ANSWER_NONE, NX_ANSWER_WHOLE, NX_ANSWER_STREAM } nx_reply_kind;

struct nx_exchange {
    atomic_int refs;
    nx_conn   *conn;
    void      *user;

    /* The request: I/O thread until on_head, then nobody's to change but the body. */
    char       *uri;  /* as it came */
    char       *text; /* what the pointers below point into */
    nx_field   *fields;
    size_t      n_headers, n_query; /* of fields, in this order */
    const char *method, *path;
    bool        is_head;
    bool        is_chunked;
    uint64_t    content_length;
    nx_buf      body;
    size_t      body_bytes_max;
    int64_t     begun_ns;
    bool        has_head; /* the head was looked at */
    bool        seen;     /* on_head was called, so on_done will be */
    bool        asked;    /* on_request was called */

    /* The stream: I/O thread only. */
    nx_fill_fn fill;
    void      *fill_ctx;
    nx_fill    filled;
    nx_buf     pending;
    size_t     pending_at;
    bool       flushed; /* the head has left the socket's buffer */

    /* The answer: under conn.lock. */
    nx_buf               head; /* name NUL value NUL ... */
    nx_reply_kind        answer;
    int                  status;
    struct MHD_Response *response;  /* until it is queued */
    nx_buf               out;       /* a whole answer that is handed out in pieces */
    uint64_t             out_bytes; /* of a whole answer */
    uint64_t             n_given;   /* bytes of the body that libmicrohttpd has taken */
    int64_t              busy_ns;  /* when the socket last took something, or was given something */
    int64_t              limit_ns; /* a whole answer must have left by then; 0: none yet */
    bool                 suspended; /* libmicrohttpd leaves the connection alone until resumed */
    bool                 woken;
    bool                 by_server;    /* the answer is our refusal */
    bool                 answered_raw; /* it was written past libmicrohttpd */
    bool                 is_gone, in_hook, finished;
};

typedef struct nx_linger {
    nx_watched        kind;
    int               fd;
    int64_t           until_ns;
    size_t            bytes_left;
    struct nx_linger *next;
} nx_linger;

struct nx_httpd {
    nx_httpd_hooks   hooks;
    nx_httpd_options opt;
    atomic_bool      stopping;

    pthread_mutex_t door;
    nx_listener    *listeners[NX_LISTENERS_MAX];
    atomic_int      n_listeners;
    nx_linger      *linger_new; /* under door */
    int             n_lingers;  /* under door */

    /* The watch thread. */
    pthread_t  watch;
    bool       watch_runs;
    int        epoll, wakeup;
    nx_watched wakeup_kind;
    nx_conn   *conns;
    nx_linger *lingers;
    bool       paused;  /* a listener is, and gets its next try at the tick */
    int64_t    tick_ns; /* the longest it sleeps while there is a connection */

    atomic_llong n_conns, n_busy, n_streams;
};

/* ---- httpd_watch.c ---- */

nx_status nx_watch_start(nx_httpd *h, nx_error *err);
void      nx_watch_stop(nx_httpd *h); /* join */
void      nx_watch_poke(nx_httpd *h);
nx_status nx_watch_listener(nx_httpd *h, nx_listener *l, nx_error *err);
void      nx_conn_release(nx_conn *c);

/* With c->lock held. */
void nx_conn_enter_phase(nx_conn *c, nx_phase phase, int64_t now);
void nx_conn_cut(nx_conn *c, bool drop); /* drop: forget what the kernel still holds for it */

/* CLOSED has come: forget the descriptor, which libmicrohttpd closes next. */
void nx_conn_close(nx_conn *c);

/* ---- httpd_exchange.c: libmicrohttpd's callbacks ---- */

void           *nx_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result nx_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                             const char *method, const char *version, const char *bytes, size_t *n,
                             void **ctx);
void            nx_on_completed(void *cls, struct MHD_Connection *mhd, void **ctx,
                                enum MHD_RequestTerminationCode why);
void            nx_on_connection(void *cls, struct MHD_Connection *mhd, void **socket_ctx,
                                 enum MHD_ConnectionNotificationCode what);

/* The address that libmicrohttpd is given, and hands back untouched, with a connection. */
typedef struct nx_ticket {
    sa_family_t family;
    nx_conn    *conn;
} nx_ticket;

/* Say on_gone, once. x->conn->lock is held, and let go of during the hook. */
void nx_exchange_gone(nx_exchange *x, nx_gone why);
void nx_httpd_rejected(nx_httpd *h, nx_httpd_reject why);

/* ---- httpd_request.c ---- */

/* Read and check the head. NX_EINVAL: refuse it with 400 and the message. NX_ENOMEM. */
nx_status nx_request_read(nx_exchange *x, struct MHD_Connection *mhd, const char *method,
                          const char *version, nx_error *err);

/* ---- httpd_reply.c ---- */

/* The server's own refusal of a request; false: a hook has answered already. conn.lock isn't
 * held. */
bool nx_exchange_refuse(nx_exchange *x, int status, const char *message);
/* The same while the body is coming, when libmicrohttpd takes no answer: written past it. */
void nx_exchange_refuse_midway(nx_exchange *x, int status, const char *message);
void nx_exchange_drop_answer(nx_exchange *x);

/* ---- httpd_listen.c ---- */

nx_status nx_listener_open(nx_listener *l, const nx_listen *where, nx_error *err);
void      nx_listener_close(nx_listener *l); /* door is held, or nobody else is there */

/* ---- httpd_tls.c ---- */

nx_status nx_tls_check(const char *cert, const char *key, nx_error *err);

#endif
