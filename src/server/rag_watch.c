/* rag_watch.c - events of jobs. */
#include "server/rag_watch.h"

#include <string.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "server/answer.h"
#include "server/documents.h"
#include "server/server_in.h"

#define PING_NS ((int64_t)15000000000)

enum { EVENT_MAX = 32 << 20 };

struct nx_rag_watcher {
    nx_rag_watcher *next;
    nx_call        *call;
    char            job[NX_RAG_JOB_ID];
    nx_buf          last;    /* what was told last; the tick's */
    int64_t         told_ns; /* the tick's */
    nx_buf          waits;   /* to be sent; under lock */
    bool            ended;   /* under lock */
};

void nx_rag_watch_init(nx_rag_watch *w)
{
    *w = (nx_rag_watch){0};
    pthread_mutex_init(&w->lock, NULL);
}

/* ---- I/O thread ---- */

static nx_fill fill(void *ctx, nx_buf *out, size_t room)
{
    nx_rag_watcher *w = ctx;
    nx_rag_watch   *all = &w->call->server->watch;
    nx_fill         is = NX_FILL_MORE;

    (void)room;
    pthread_mutex_lock(&all->lock);
    if (w->waits.len && nx_buf_add(out, w->waits.data, w->waits.len, NULL)) is = NX_FILL_BREAK;
    nx_buf_clear(&w->waits);
    if (w->ended && is == NX_FILL_MORE) is = NX_FILL_END;
    pthread_mutex_unlock(&all->lock);
    return is;
}

/* ---- Looking ---- */

static void send(nx_rag_watcher *w, const char *text, size_t n, bool end)
{
    nx_rag_watch *all = &w->call->server->watch;

    pthread_mutex_lock(&all->lock);
    if (n && nx_buf_add(&w->waits, text, n, NULL)) end = true;
    if (end) (void)nx_buf_add(&w->waits, "data: [DONE]\n\n", 14, NULL);
    w->ended = w->ended || end;
    pthread_mutex_unlock(&all->lock);
    w->told_ns = nx_clock_ns();
}

/* The event of how it stands, if it stands otherwise than before. */
static nx_status look(nx_rag_watcher *w, bool *ended, nx_error *err)
{
    nx_call           *c = w->call;
    const nx_rag_asker who = nx_docs_asker(c);
    nx_jw              jw = {.buf.max = EVENT_MAX};
    nx_buf             event = {.max = EVENT_MAX};
    nx_status          st =
        nx_rag_job_write(c->server->library, &jw, NULL, nx_str_of(w->job), &who, ended, err);

    if (!st && jw.st) st = nx_fail(err, jw.st, "%s", jw.err.text);
    if (!st && !nx_str_eq((nx_str){jw.buf.data, jw.buf.len}, (nx_str){w->last.data, w->last.len})) {
        nx_buf_clear(&w->last);
        st = nx_buf_add(&w->last, jw.buf.data, jw.buf.len, err);
        if (!st) nx_event_add(&event, &jw);
        if (!st) send(w, event.data, event.len, *ended);
    }
    nx_buf_free(&jw.buf);
    nx_buf_free(&event);
    return st;
}

static void look_again(nx_rag_watcher *w)
{
    bool     ended = false, stops = atomic_load(&w->call->server->draining);
    nx_error err;

    if (w->ended) return;
    if (look(w, &ended, &err) || stops)
        send(w, NULL, 0, true);
    else if (!ended && nx_clock_ns() - w->told_ns > PING_NS)
        send(w, ": \n\n", 4, false);
    nx_exchange_wake(w->call->x);
}

static void let_go(nx_rag_watcher *w)
{
    nx_call *c = w->call;

    nx_buf_free(&w->last);
    pthread_mutex_lock(&c->server->watch.lock);
    nx_buf_free(&w->waits);
    w->ended = true;
    pthread_mutex_unlock(&c->server->watch.lock);
    nx_call_release(c); /* w lies in it */
}

void nx_rag_watch_tick(nx_server *s)
{
    nx_rag_watch *all = &s->watch;

    pthread_mutex_lock(&all->lock);
    nx_rag_watcher *list = all->first;
    pthread_mutex_unlock(&all->lock);
    for (nx_rag_watcher *w = list; w; w = w->next) look_again(w);
    nx_rag_watcher *gone = NULL;
    pthread_mutex_lock(&all->lock);
    for (nx_rag_watcher **at = &all->first; *at;) {
        nx_rag_watcher *w = *at;
        if (!nx_exchange_is_gone(w->call->x)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = gone;
        gone = w;
    }
    pthread_mutex_unlock(&all->lock);
    while (gone) {
        nx_rag_watcher *w = gone;
        gone = w->next;
        let_go(w);
    }
}

void nx_rag_watch_end(nx_rag_watch *w)
{
    while (w->first) {
        nx_rag_watcher *one = w->first;
        w->first = one->next;
        let_go(one);
    }
}

/* ---- Beginning ---- */

void nx_rag_watch_begin(nx_call *c, nx_str job)
{
    nx_rag_watch   *all = &c->server->watch;
    nx_rag_watcher *w = nx_arena_alloc(&c->kept, 1, sizeof *w);
    bool            ended = false;
    nx_error        err;
    nx_status       st = w ? NX_OK : nx_fail(&err, NX_ENOMEM, "a stream");

    if (!st && job.len >= sizeof w->job) st = nx_fail(&err, NX_ENOENT, "there is no such job");
    if (!st) {
        *w = (nx_rag_watcher){.call = c, .last.max = EVENT_MAX, .waits.max = EVENT_MAX};
        memcpy(w->job, job.p, job.len);
        st = look(w, &ended, &err);
    }
    if (!st) st = nx_exchange_stream(c->x, 200, "text/event-stream", fill, w, &err);
    if (st) {
        if (w) nx_buf_free(&w->last);
        if (w) nx_buf_free(&w->waits);
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_call_retain(c);
    pthread_mutex_lock(&all->lock);
    w->next = all->first;
    all->first = w;
    pthread_mutex_unlock(&all->lock);
}
