/* httpd.c - the server's life: create, listen, count, quiesce, destroy.
 *
 * Idea: each worker of a listener is a libmicrohttpd daemon of one thread without a listening
 *       socket. We accept, so that limits are exact, a refusal is counted, the least busy worker
 *       gets the connection, and a listener can be closed without touching a running daemon
 *       (MHD_quiesce_daemon of 0.9.75 races with its own threads and may end the process).
 */
#include "net/httpd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/httpd_in.h"

/* Head, header nodes and the chunk under way of one connection. Heads up to about 20 KiB fit. */
#define CONN_POOL_BYTES 24576
#define IO_STACK_BYTES  ((size_t)1 << 20) /* hooks run on it */

void nx_httpd_options_default(nx_httpd_options *opt)
{
    *opt = (nx_httpd_options){
        .n_threads = 2,
        .body_bytes_max = (size_t)8 << 20,
        .head_ms = 10000,
        .body_ms = 60000,
        .idle_ms = 300000,
        .stall_ms = 30000,
        .connections_max = 4096,
    };
}

nx_status nx_httpd_create(nx_httpd **out, const nx_httpd_hooks *hooks, const nx_httpd_options *opt,
                          nx_error *err)
{
    nx_httpd_options o;

    nx_httpd_options_default(&o);
    if (opt) o = *opt;
    if (o.n_threads < 1 || o.n_threads > NX_WORKERS_MAX || o.head_ms < 1 || o.body_ms < 1 ||
        o.idle_ms < 1 || o.stall_ms < 1 || o.connections_max < 1)
        return nx_fail(err, NX_EINVAL,
                       "HTTP server: threads must be 1 to %d, and limits of time and connections "
                       "at least 1",
                       NX_WORKERS_MAX);
    nx_httpd *h = nx_calloc(1, sizeof *h);
    if (!h) return nx_fail(err, NX_ENOMEM, "HTTP server");
    h->hooks = *hooks;
    h->opt = o;
    pthread_mutex_init(&h->door, NULL);
    nx_status st = nx_watch_start(h, err);
    if (st) {
        pthread_mutex_destroy(&h->door);
        nx_free(h);
        return st;
    }
    *out = h;
    return NX_OK;
}

/* ---- Listeners ---- */

static void log_mhd(void *cls, const char *fmt, va_list args)
{
    char line[256];

    (void)cls;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = vsnprintf(line, sizeof line, fmt, args);
#pragma GCC diagnostic pop
    if (n <= 0) return;
    line[strcspn(line, "\n")] = '\0';
    nx_log_debug("http: %s", line);
}

static struct MHD_Daemon *start_daemon(nx_listener *l, nx_worker *w, const nx_listen *where)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
                     MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (l->is_tls ? MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)where->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)where->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

    return MHD_start_daemon(
        flags, 0, NULL, NULL, nx_on_access, l, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, nx_on_uri, l, MHD_OPTION_NOTIFY_COMPLETED, nx_on_completed, l,
        MHD_OPTION_NOTIFY_CONNECTION, nx_on_connection, w, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)l->httpd->opt.connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONN_POOL_BYTES, MHD_OPTION_THREAD_STACK_SIZE, IO_STACK_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, l->is_tls ? tls : none, MHD_OPTION_END);
}

static void stop_daemons(nx_listener *l)
{
    for (int i = 0; i < l->n_workers; i++) MHD_stop_daemon(l->workers[i].daemon);
    l->n_workers = 0;
}

/* Signals belong to the program's main thread: I/O threads start with all of them blocked. */
static nx_status start_daemons(nx_listener *l, const nx_listen *where, int n, nx_error *err)
{
    sigset_t all, before;
    int      e = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (l->n_workers < n && !e) {
        nx_worker *w = &l->workers[l->n_workers];
        errno = 0;
        w->daemon = start_daemon(l, w, where);
        if (w->daemon)
            l->n_workers++;
        else
            e = errno ? errno : EIO;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!e) return NX_OK;
    stop_daemons(l);
    return nx_fail(err, e == ENOMEM ? NX_ENOMEM : NX_EIO,
                   "HTTP server: an I/O thread didn't start: %s", strerror(e));
}

static void free_listener(nx_listener *l)
{
    if (!l) return;
    stop_daemons(l);
    nx_listener_close(l);
    nx_free(l);
}

/* Let the watch thread see it. */
static nx_status publish(nx_httpd *h, nx_listener *l, nx_error *err)
{
    nx_status st = NX_OK;

    pthread_mutex_lock(&h->door);
    int n = atomic_load(&h->n_listeners);
    if (n == NX_LISTENERS_MAX)
        st = nx_fail(err, NX_ELIMIT, "HTTP server: at most %d listeners", NX_LISTENERS_MAX);
    else if (!(st = nx_watch_listener(h, l, err))) {
        h->listeners[n] = l;
        atomic_store(&h->n_listeners, n + 1);
    }
    pthread_mutex_unlock(&h->door);
    return st;
}

nx_status nx_httpd_listen(nx_httpd *h, const nx_listen *where, nx_error *err)
{
    int          n = where->n_threads > 0 ? where->n_threads : h->opt.n_threads;
    nx_listener *l = NULL;
    nx_status    st;

    if (n > NX_WORKERS_MAX)
        return nx_fail(err, NX_EINVAL, "HTTP server: %d threads, at most %d", n, NX_WORKERS_MAX);
    if (where->tls_cert || where->tls_key) {
        st = nx_tls_check(where->tls_cert, where->tls_key, err);
        if (st) return st;
    }
    l = nx_calloc(1, sizeof *l);
    if (!l) return nx_fail(err, NX_ENOMEM, "listener");
    l->kind = NX_WATCHED_LISTENER;
    l->httpd = h;
    l->tag = where->tag;
    l->is_tls = where->tls_cert != NULL;
    st = nx_listener_open(l, where, err);
    if (!st) st = start_daemons(l, where, n, err);
    if (!st) st = publish(h, l, err);
    if (st) free_listener(l);
    return st;
}

uint16_t nx_httpd_port(const nx_httpd *h, int tag)
{
    int n = atomic_load(&h->n_listeners);

    for (int i = 0; i < n; i++)
        if (h->listeners[i]->tag == tag && !h->listeners[i]->is_unix) return h->listeners[i]->port;
    return 0;
}

void nx_httpd_quiesce(nx_httpd *h, int tag)
{
    pthread_mutex_lock(&h->door);
    for (int i = 0, n = atomic_load(&h->n_listeners); i < n; i++) {
        nx_listener *l = h->listeners[i];
        if (l->tag != tag || l->fd < 0) continue;
        atomic_store(&l->quiet, true);
        epoll_ctl(h->epoll, EPOLL_CTL_DEL, l->fd, NULL);
        nx_listener_close(l);
    }
    pthread_mutex_unlock(&h->door);
    nx_watch_poke(h); /* connections that wait for a request are closed at once */
}

void nx_httpd_count(const nx_httpd *h, nx_httpd_counts *out)
{
    int64_t all = atomic_load(&h->n_conns), busy = atomic_load(&h->n_busy);

    *out = (nx_httpd_counts){
        .n_connections = all,
        .n_idle = all > busy ? all - busy : 0,
        .n_streaming = atomic_load(&h->n_streams),
    };
}

void nx_httpd_rejected(nx_httpd *h, nx_httpd_reject why)
{
    if (h->hooks.on_rejected) h->hooks.on_rejected(h->hooks.ctx, why);
}

/* ---- The end ---- */

/* No connection may be suspended when its daemon stops. `stopping` is set, so whoever would suspend
 * one after we have had its lock doesn't. */
static void cut_all(nx_httpd *h)
{
    for (nx_conn *c = h->conns; c; c = c->next) {
        pthread_mutex_lock(&c->lock);
        if (c->exchange) nx_exchange_gone(c->exchange, NX_GONE_STOP);
        nx_conn_cut(c, false);
        pthread_mutex_unlock(&c->lock);
    }
}

static void free_lingers(nx_linger *g)
{
    for (nx_linger *next; g; g = next) {
        next = g->next;
        close(g->fd);
        nx_free(g);
    }
}

void nx_httpd_destroy(nx_httpd *h)
{
    if (!h) return;
    atomic_store(&h->stopping, true);
    nx_watch_stop(h); /* from here on nobody accepts, and the list of connections stands still */
    cut_all(h);
    for (int i = 0; i < atomic_load(&h->n_listeners); i++) free_listener(h->listeners[i]);
    for (nx_conn *c = h->conns, *next; c; c = next) {
        next = c->next;
        nx_conn_release(c);
    }
    free_lingers(h->linger_new);
    free_lingers(h->lingers);
    close(h->epoll);
    close(h->wakeup);
    pthread_mutex_destroy(&h->door);
    nx_free(h);
}
