/* desk.c - a list of tasks, first come first served. */
#include "server/desk.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/alloc.h"

struct nx_desk {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t  wake;
    nx_task        *first, **last;
    bool            stop;
    pthread_t      *threads;
    int             n_threads;
};

static nx_task *next_task(nx_desk *d)
{
    pthread_mutex_lock(&d->lock);
    while (!d->first && !d->stop) pthread_cond_wait(&d->wake, &d->lock);
    nx_task *t = d->first;
    if (t) {
        d->first = t->next;
        if (!d->first) d->last = &d->first;
    }
    pthread_mutex_unlock(&d->lock);
    return t;
}

static void *desk_main(void *arg)
{
    for (nx_task *t; (t = next_task(arg));) t->run(t->ctx);
    return NULL;
}

nx_status nx_desk_create(nx_desk **out, int n_threads, nx_error *err)
{
    nx_desk *d = nx_calloc(1, sizeof *d);

    *out = NULL;
    if (!d) return nx_fail(err, NX_ENOMEM, "desk");
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    d->last = &d->first;
    d->threads = nx_calloc((size_t)n_threads, sizeof *d->threads);
    while (d->threads && d->n_threads < n_threads &&
           pthread_create(&d->threads[d->n_threads], NULL, desk_main, d) == 0)
        d->n_threads++;
    if (d->n_threads < n_threads) {
        nx_desk_destroy(d);
        return nx_fail(err, NX_ENOMEM, "desk: a thread did not start");
    }
    *out = d;
    return NX_OK;
}

void nx_desk_destroy(nx_desk *d)
{
    if (!d) return;
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_broadcast(&d->wake);
    pthread_mutex_unlock(&d->lock);
    for (int i = 0; i < d->n_threads; i++) pthread_join(d->threads[i], NULL);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    nx_free(d->threads);
    nx_free(d);
}

void nx_desk_post(nx_desk *d, nx_task *task, void (*run)(void *ctx), void *ctx)
{
    *task = (nx_task){.run = run, .ctx = ctx};
    pthread_mutex_lock(&d->lock);
    *d->last = task;
    d->last = &task->next;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
}
