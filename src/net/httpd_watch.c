/* httpd_watch.c - the watch thread: accepts, sees who leaves, keeps deadlines.
 *
 * Idea:   libmicrohttpd neither looks at a connection that is suspended, nor at one that it writes
 *         to, and its only timeout starts anew with every byte. So every connection is in an epoll
 *         of our own, for hang-ups alone, from accept to close; and a sweep over all connections,
 *         as often as the shortest limit asks for, judges those that are due by absolute time.
 * Thread: the functions of one thread, but for those of httpd_in.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/httpd_in.h"
#include "os/clock.h"

#define SEND_BUFFER_BYTES 65536 /* the kernel doubles it: what a reader that sleeps can hold */
#define ACCEPTS_AT_ONCE   64
#define EVENTS_AT_ONCE    256
#define TICK_MS_MAX       250
#define LINGER_MS         3000
#define LINGER_BYTES_MAX  ((size_t)64 << 20)
#define LINGERS_MAX       256
#define LEFT_MS           250
#define NEVER             INT64_MAX

/* ---- One connection ---- */

static void free_conn(nx_conn *c)
{
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->hook_done);
    nx_free(c);
}

void nx_conn_release(nx_conn *c)
{
    if (atomic_fetch_sub(&c->refs, 1) == 1) free_conn(c);
}

static void set_peer(nx_conn *c, const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET) {
        const struct in_addr *v4 = &((const struct sockaddr_in *)a)->sin_addr;
        c->ip[10] = c->ip[11] = 0xff;
        memcpy(c->ip + 12, v4, 4);
        inet_ntop(AF_INET, v4, c->peer, sizeof c->peer);
    } else if (a->ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
        memcpy(c->ip, v6, 16);
        inet_ntop(AF_INET6, v6, c->peer, sizeof c->peer);
        if (IN6_IS_ADDR_V4MAPPED(v6)) inet_ntop(AF_INET, c->ip + 12, c->peer, sizeof c->peer);
    } else {
        snprintf(c->peer, sizeof c->peer, "unix");
    }
}

static nx_conn *new_conn(nx_listener *l, int fd, const struct sockaddr_storage *a)
{
    nx_conn *c = nx_calloc(1, sizeof *c);

    if (!c) return NULL;
    c->kind = NX_WATCHED_CONN;
    c->httpd = l->httpd;
    c->listener = l;
    c->tag = l->tag;
    c->is_tls = l->is_tls;
    c->is_unix = l->is_unix;
    c->fd = fd;
    c->since_ns = nx_clock_ns();
    atomic_store(&c->refs, 1);
    atomic_store(&c->due_ns, NEVER);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->hook_done, NULL);
    set_peer(c, a);
    return c;
}

/* When a client that has hung up, and from which nothing comes any more, is cut. libmicrohttpd may
 * have been told of its last bytes and of its end by one event, and looks at the end only with the
 * next, which never comes. */
static int64_t left_due(const nx_conn *c)
{
    bool reading =
        c->phase == NX_PHASE_HEAD || c->phase == NX_PHASE_BODY || c->phase == NX_PHASE_IDLE;

    if (!c->left || !reading) return NEVER;
    return (c->left_ns > c->since_ns ? c->left_ns : c->since_ns) + LEFT_MS * NX_MS;
}

/* When the phase that the connection is in has lasted too long. */
static int64_t phase_due(const nx_conn *c)
{
    const nx_httpd_options *o = &c->httpd->opt;
    const nx_exchange      *x = c->exchange;

    switch (c->phase) {
    case NX_PHASE_HEAD: return c->since_ns + o->head_ms * NX_MS;
    case NX_PHASE_BODY: return c->since_ns + o->body_ms * NX_MS;
    case NX_PHASE_SENDING: {
        if (!x || x->suspended) return NEVER;
        int64_t stalled = x->busy_ns + o->stall_ms * NX_MS;
        return x->limit_ns && x->limit_ns < stalled ? x->limit_ns : stalled;
    }
    case NX_PHASE_IDLE: {
        int64_t end = c->since_ns + o->idle_ms * NX_MS;
        return c->look_ns < end ? c->look_ns : end;
    }
    case NX_PHASE_CLOSED: return 0;
    default: return NEVER;
    }
}

/* When to look at it next. */
static int64_t due_of(const nx_conn *c)
{
    int64_t a = phase_due(c), b = left_due(c);

    return a < b ? a : b;
}

/* How often an idle connection is looked at for the first bytes of its next head: the deadline of
 * that head is late by this at most, and thousands of idle ones cost little. */
static int64_t look_every(const nx_httpd *h)
{
    return h->opt.head_ms * NX_MS / 4;
}

void nx_conn_enter_phase(nx_conn *c, nx_phase phase, int64_t now)
{
    c->phase = phase;
    c->since_ns = now;
    if (phase == NX_PHASE_IDLE) c->look_ns = now + look_every(c->httpd);
    atomic_store(&c->due_ns, due_of(c));
}

void nx_conn_cut(nx_conn *c, bool drop)
{
    nx_exchange *x = c->exchange;

    if (c->open && !c->cut) {
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        if (drop) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        shutdown(c->fd, SHUT_RDWR);
        c->cut = true;
    }
    if (x && x->suspended) {
        x->suspended = false;
        MHD_resume_connection(c->mhd);
    }
}

/* ---- Reading on after a refusal ----
 *
 * A socket that is closed while bytes lie unread in it sends a reset, which may overtake the answer
 * on its way to a client that is still sending its body. So the descriptor is kept open under
 * another number, and what comes is thrown away until the client has closed its side. */

static void linger_on(nx_conn *c)
{
    nx_httpd  *h = c->httpd;
    nx_linger *g = nx_calloc(1, sizeof *g);

    if (!g) return;
    *g = (nx_linger){.kind = NX_WATCHED_LINGER,
                     .fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0),
                     .until_ns = nx_clock_ns() + LINGER_MS * NX_MS,
                     .bytes_left = LINGER_BYTES_MAX};
    pthread_mutex_lock(&h->door);
    bool ok = g->fd >= 0 && h->n_lingers < LINGERS_MAX;
    if (ok) {
        g->next = h->linger_new;
        h->linger_new = g;
        h->n_lingers++;
    }
    pthread_mutex_unlock(&h->door);
    if (ok) {
        nx_watch_poke(h);
        return;
    }
    if (g->fd >= 0) close(g->fd);
    nx_free(g);
}

static void adopt_lingers(nx_httpd *h)
{
    pthread_mutex_lock(&h->door);
    nx_linger *g = h->linger_new;
    h->linger_new = NULL;
    pthread_mutex_unlock(&h->door);
    for (nx_linger *next; g; g = next) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = g};
        next = g->next;
        g->next = h->lingers;
        h->lingers = g;
        if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, g->fd, &e) != 0) g->until_ns = 0;
    }
}

/* Throw away what came; at the client's end, let the sweep close it. */
static void drain(nx_linger *g)
{
    char sink[16384];

    for (int i = 0; i < 64; i++) {
        ssize_t n = recv(g->fd, sink, sizeof sink, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0 || (size_t)n >= g->bytes_left) {
            g->until_ns = 0;
            return;
        }
        g->bytes_left -= (size_t)n;
    }
}

static void sweep_lingers(nx_httpd *h, int64_t now)
{
    for (nx_linger **at = &h->lingers; *at;) {
        nx_linger *g = *at;
        if (g->until_ns > now) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        epoll_ctl(h->epoll, EPOLL_CTL_DEL, g->fd, NULL);
        close(g->fd);
        nx_free(g);
        pthread_mutex_lock(&h->door);
        h->n_lingers--;
        pthread_mutex_unlock(&h->door);
    }
}

/* ---- Accepting ---- */

static bool ip_has_room(const nx_httpd *h, const nx_conn *c)
{
    uint32_t max = h->opt.connections_per_ip_max, n = 0;

    if (max == 0 || c->is_unix) return true;
    for (const nx_conn *o = h->conns; o && n < max; o = o->next)
        n += o->listener == c->listener && atomic_load(&o->due_ns) != 0 &&
             memcmp(o->ip, c->ip, sizeof c->ip) == 0;
    return n < max;
}

static nx_worker *least_busy(nx_listener *l)
{
    nx_worker *best = &l->workers[0];

    for (int i = 1; i < l->n_workers; i++)
        if (atomic_load(&l->workers[i].n_conns) < atomic_load(&best->n_conns))
            best = &l->workers[i];
    return best;
}

static void set_socket_options(const nx_conn *c)
{
    int      bytes = SEND_BUFFER_BYTES, on = 1;
    unsigned ms = (unsigned)c->httpd->opt.stall_ms;

    setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (c->is_unix) return;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    /* A peer that vanished without a word breaks the connection, also while nothing is stalled. */
    ms = ms > 1000000 ? 2000000 : ms * 2;
    setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

static void turn_away(nx_httpd *h, const nx_listener *l, int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n";

    if (!l->is_tls) (void)!send(fd, busy, sizeof busy - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    close(fd);
    nx_httpd_rejected(h, NX_REJECT_CONNECTIONS);
}

/* Hand a new connection to a worker. From here on the descriptor is libmicrohttpd's to close. */
static void hand_over(nx_httpd *h, nx_conn *c)
{
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = c};
    nx_ticket          ticket;
    nx_listener       *l = c->listener;

    set_socket_options(c);
    c->worker = least_busy(l);
    atomic_fetch_add(&c->worker->n_conns, 1);
    atomic_fetch_add(&l->n_conns, 1);
    atomic_fetch_add(&h->n_conns, 1);
    c->next = h->conns;
    h->conns = c;
    memset(&ticket, 0, sizeof ticket);
    ticket.family = AF_UNSPEC;
    ticket.conn = c;
    bool watched = epoll_ctl(h->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
    if (!watched) close(c->fd);
    if (watched && MHD_add_connection(c->worker->daemon, c->fd, (struct sockaddr *)&ticket,
                                      sizeof ticket) == MHD_YES)
        return;
    /* Out of memory; MHD_add_connection has closed the descriptor then. */
    h->conns = c->next;
    atomic_fetch_sub(&c->worker->n_conns, 1);
    atomic_fetch_sub(&l->n_conns, 1);
    atomic_fetch_sub(&h->n_conns, 1);
    nx_conn_release(c);
}

/* Too many descriptors: the connection stays in the kernel's queue until the next tick. */
static void pause_listener(nx_httpd *h, nx_listener *l, bool pause)
{
    struct epoll_event e = {.events = pause ? 0 : EPOLLIN, .data.ptr = l};

    pthread_mutex_lock(&h->door);
    if (l->fd >= 0) epoll_ctl(h->epoll, EPOLL_CTL_MOD, l->fd, &e);
    pthread_mutex_unlock(&h->door);
    l->paused = h->paused = pause;
    if (pause) nx_log_warn("http: no connection can be accepted now: %s", strerror(errno));
}

static int accept_one(nx_httpd *h, nx_listener *l, struct sockaddr_storage *a)
{
    socklen_t len = sizeof *a;

    memset(a, 0, sizeof *a);
    pthread_mutex_lock(&h->door);
    int fd = -1;
    errno = EAGAIN;
    if (l->fd >= 0) fd = accept4(l->fd, (struct sockaddr *)a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    pthread_mutex_unlock(&h->door);
    return fd;
}

static void accept_from(nx_httpd *h, nx_listener *l)
{
    struct sockaddr_storage a;

    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept_one(h, l, &a);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
            pause_listener(h, l, true);
        if (fd < 0 && errno == ECONNABORTED) continue;
        if (fd < 0) return;
        nx_conn *c = new_conn(l, fd, &a);
        if (c && (uint32_t)atomic_load(&l->n_conns) < h->opt.connections_max && ip_has_room(h, c)) {
            hand_over(h, c);
            continue;
        }
        if (c) nx_conn_release(c);
        turn_away(h, l, fd);
    }
}

/* ---- Hang-ups ---- */

static void see_hang_up(nx_conn *c)
{
    pthread_mutex_lock(&c->lock);
    c->left = true;
    c->left_ns = nx_clock_ns();
    nx_exchange *x = c->exchange;
    /* What waits, or streams, has lost its reader. A request that is still coming may be whole in
     * the socket, one that a hook looks at may be answered, and a whole answer be read: a client may
     * close its side early. Who goes to wait after this looks at `left`. */
    bool ours =
        x && (x->suspended || (c->phase == NX_PHASE_SENDING && x->answer == NX_ANSWER_STREAM));
    if (ours && !x->finished) {
        nx_exchange_gone(x, NX_GONE_LEFT);
        nx_conn_cut(c, false);
    }
    atomic_store(&c->due_ns, due_of(c));
    pthread_mutex_unlock(&c->lock);
}

void nx_conn_close(nx_conn *c)
{
    nx_httpd *h = c->httpd;

    pthread_mutex_lock(&c->lock);
    if (c->open) {
        epoll_ctl(h->epoll, EPOLL_CTL_DEL, c->fd, NULL);
        if (c->linger && !c->left && !atomic_load(&h->stopping)) linger_on(c);
        c->open = false;
    }
    c->mhd = NULL;
    atomic_fetch_sub(&c->worker->n_conns, 1);
    atomic_fetch_sub(&c->listener->n_conns, 1);
    atomic_fetch_sub(&h->n_conns, 1);
    nx_conn_enter_phase(c, NX_PHASE_CLOSED, 0);
    pthread_mutex_unlock(&c->lock);
}

/* ---- Deadlines ---- */

/* Has the next head begun? TCP says how long ago bytes came; the socket of a file doesn't. */
static void look_for_head(nx_conn *c, int64_t now)
{
    struct tcp_info info;
    socklen_t       len = sizeof info;

    c->look_ns = now + look_every(c->httpd);
    if (c->is_unix || !c->open) return;
    memset(&info, 0, sizeof info);
    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) return;
    int64_t came = now - (int64_t)info.tcpi_last_data_recv * NX_MS;
    /* The kernel counts in ticks of up to 10 ms. */
    if (came > c->since_ns + 10 * NX_MS) nx_conn_enter_phase(c, NX_PHASE_HEAD, came);
}

static bool has_unread(const nx_conn *c)
{
    int n = 0;

    return c->open && ioctl(c->fd, FIONREAD, &n) == 0 && n > 0;
}

/* Why the connection's time is over, or -1. c->lock is held. */
static int judge(nx_conn *c, int64_t now)
{
    const nx_httpd_options *o = &c->httpd->opt;
    nx_exchange            *x = c->exchange;
    int64_t                 age = now - c->since_ns;

    if (left_due(c) <= now && has_unread(c)) {
        c->left_ns = now; /* its I/O thread is late, and may find a whole request there */
    } else if (left_due(c) <= now) {
        if (x) nx_exchange_gone(x, NX_GONE_LEFT);
        nx_conn_cut(c, false);
        return -1;
    }
    switch (c->phase) {
    case NX_PHASE_HEAD:
        if (age < o->head_ms * NX_MS) return -1;
        nx_conn_cut(c, false);
        return NX_REJECT_HEAD_LATE;
    case NX_PHASE_BODY:
        if (age < o->body_ms * NX_MS) return -1;
        if (x) nx_exchange_gone(x, NX_GONE_LATE);
        nx_conn_cut(c, false);
        return NX_REJECT_BODY_LATE;
    case NX_PHASE_SENDING:
        if (!x || x->finished || due_of(c) > now) return -1;
        nx_exchange_gone(x, NX_GONE_SLOW);
        nx_conn_cut(c, true);
        return NX_REJECT_SLOW_READER;
    case NX_PHASE_IDLE:
        if (age >= o->idle_ms * NX_MS || atomic_load(&c->listener->quiet))
            nx_conn_cut(c, false);
        else
            look_for_head(c, now);
        return -1;
    default: return -1;
    }
}

/* True when it is closed, and to be forgotten. */
static bool visit(nx_conn *c, int64_t now)
{
    int why = -1;

    pthread_mutex_lock(&c->lock);
    bool closed = c->phase == NX_PHASE_CLOSED;
    if (!closed && !c->cut) why = judge(c, now);
    if (!closed) atomic_store(&c->due_ns, c->cut ? NEVER : due_of(c));
    pthread_mutex_unlock(&c->lock);
    if (why >= 0) nx_httpd_rejected(c->httpd, (nx_httpd_reject)why);
    return closed;
}

/* Visit who is due; returns when the next one is. */
static int64_t sweep(nx_httpd *h, int64_t now)
{
    int64_t next = NEVER;

    for (nx_conn **at = &h->conns; *at;) {
        nx_conn *c = *at;
        int64_t  due = atomic_load(&c->due_ns);
        bool     quiet = atomic_load(&c->listener->quiet);
        if ((due <= now || quiet) && visit(c, now)) {
            *at = c->next;
            nx_conn_release(c);
            continue;
        }
        due = atomic_load(&c->due_ns);
        if (due < next) next = due;
        at = &c->next;
    }
    sweep_lingers(h, now);
    for (int i = 0, n = atomic_load(&h->n_listeners); i < n; i++)
        if (h->listeners[i]->paused) pause_listener(h, h->listeners[i], false);
    return next;
}

/* ---- The thread ---- */

static void handle(nx_httpd *h, nx_watched *kind)
{
    uint64_t n;

    switch (*kind) {
    case NX_WATCHED_WAKEUP:
        (void)!read(h->wakeup, &n, sizeof n);
        adopt_lingers(h);
        break;
    case NX_WATCHED_LISTENER: accept_from(h, (nx_listener *)kind); break;
    case NX_WATCHED_CONN: see_hang_up((nx_conn *)kind); break;
    case NX_WATCHED_LINGER: drain((nx_linger *)kind); break;
    }
}

/* A limit that begins after the sweep isn't in `next`: so never sleep longer than a tick. */
static int sleep_ms(const nx_httpd *h, int64_t now, int64_t next)
{
    if (!h->conns && !h->lingers && !h->paused) return -1;
    int64_t ns = next - now < h->tick_ns ? next - now : h->tick_ns;
    return ns <= 0 ? 0 : (int)((ns + NX_MS - 1) / NX_MS);
}

static void *watch_main(void *arg)
{
    nx_httpd          *h = arg;
    struct epoll_event events[EVENTS_AT_ONCE];
    int64_t            now = nx_clock_ns(), next = NEVER, swept = now;

    while (!atomic_load(&h->stopping)) {
        int n = epoll_wait(h->epoll, events, EVENTS_AT_ONCE, sleep_ms(h, now, next));
        for (int i = 0; i < n; i++) handle(h, events[i].data.ptr);
        now = nx_clock_ns();
        /* Not after every event: thousands of connections that come and go would each walk the
         * list. */
        if (now >= next || now - swept >= 5 * NX_MS || n <= 0) {
            next = sweep(h, now);
            swept = now;
        }
    }
    return NULL;
}

void nx_watch_poke(nx_httpd *h)
{
    uint64_t one = 1;

    (void)!write(h->wakeup, &one, sizeof one);
}

nx_status nx_watch_listener(nx_httpd *h, nx_listener *l, nx_error *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};

    if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, l->fd, &e) == 0) return NX_OK;
    return nx_fail(err, NX_EIO, "HTTP server: watching a listener: %s", strerror(errno));
}

static int64_t tick_of(const nx_httpd_options *o)
{
    int64_t ms = TICK_MS_MAX;

    if (o->head_ms / 8 < ms) ms = o->head_ms / 8;
    if (o->body_ms / 8 < ms) ms = o->body_ms / 8;
    if (o->idle_ms / 8 < ms) ms = o->idle_ms / 8;
    if (o->stall_ms / 8 < ms) ms = o->stall_ms / 8;
    return (ms < 5 ? 5 : ms) * NX_MS;
}

nx_status nx_watch_start(nx_httpd *h, nx_error *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &h->wakeup_kind};
    sigset_t           all, before;

    h->wakeup_kind = NX_WATCHED_WAKEUP;
    h->tick_ns = tick_of(&h->opt);
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed =
        h->epoll < 0 || h->wakeup < 0 || epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->wakeup, &e) != 0;
    int why = errno;
    if (!failed) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        why = failed = pthread_create(&h->watch, NULL, watch_main, h);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (!failed) {
        h->watch_runs = true;
        return NX_OK;
    }
    if (h->epoll >= 0) close(h->epoll);
    if (h->wakeup >= 0) close(h->wakeup);
    return nx_fail(err, NX_EIO, "HTTP server: its watch thread didn't start: %s", strerror(why));
}

void nx_watch_stop(nx_httpd *h)
{
    if (!h->watch_runs) return;
    nx_watch_poke(h);
    pthread_join(h->watch, NULL);
    h->watch_runs = false;
}
