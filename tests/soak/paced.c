/* paced.c - jobs in an inbox, one thread, a clock. */
#include "paced.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "engine/llm.h"
#include "lib/backends.h"
#include "os/clock.h"

#define NAP_NS        2000000 /* tokens due within it are said together */
#define BURST         16      /* tokens in one go when there is no pace */
#define PAUSED_NAP_NS 10000000
#define MODEL_BYTES   ((uint64_t)100 << 20)

typedef struct talk {
    struct talk *next;
    nx_job      *job;
    int32_t      said;
    int64_t      due_ns;
} talk;

typedef struct paced {
    nx_service       base; /* first: the object is a nx_service */
    nx_paced_options opt;
    nx_service_watch watch;
    pthread_t        thread;
    pthread_mutex_t  lock; /* guards what follows */
    pthread_cond_t   wake;
    talk            *inbox, **inbox_end; /* oldest first */
    bool             stop, kicked;
    nx_service_stats stats;
    atomic_int       n_waiting;
    /* The thread's. */
    talk   *talks;
    int32_t n_talks, n_paused;
    char   *text;
} paced;

static void observe(const paced *p, nx_observed what, double seconds)
{
    if (p->watch.observe) p->watch.observe(p->watch.ctx, what, seconds);
}

/* ---- From any thread ---- */

static void kick(void *ctx)
{
    paced *p = ctx;

    pthread_mutex_lock(&p->lock);
    p->kicked = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static nx_status paced_submit(nx_service *service, nx_job *job, nx_error *err)
{
    paced *p = (paced *)service;
    talk  *t = nx_calloc(1, sizeof *t);

    if (!t) return nx_fail(err, NX_ENOMEM, "job");
    if (atomic_fetch_add(&p->n_waiting, 1) >= p->opt.n_queue) {
        atomic_fetch_sub(&p->n_waiting, 1);
        nx_free(t);
        return nx_fail(err, NX_EBUSY, "%d requests are waiting already", p->opt.n_queue);
    }
    t->job = job;
    nx_job_retain(job);
    nx_job_set_kick(job, kick, p);
    pthread_mutex_lock(&p->lock);
    *p->inbox_end = t;
    p->inbox_end = &t->next;
    p->kicked = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    return NX_OK;
}

static void paced_stats(nx_service *service, nx_service_stats *out)
{
    paced *p = (paced *)service;

    pthread_mutex_lock(&p->lock);
    *out = p->stats;
    pthread_mutex_unlock(&p->lock);
    out->n_waiting = atomic_load(&p->n_waiting);
}

/* ---- The thread ---- */

static void end_talk(paced *p, talk *t, nx_finish finish)
{
    int64_t cancelled = nx_job_cancelled_ns(t->job);

    if (cancelled) observe(p, NX_OBSERVED_CANCEL, (double)(nx_clock_ns() - cancelled) * 1e-9);
    nx_job_finish(t->job, finish, NULL);
    nx_job_release(t->job);
    nx_free(t);
}

static void say_one(paced *p, talk *t)
{
    uint64_t seed = nx_job_get_options(t->job)->sampler.seed;
    int      n = snprintf(p->text, 64, "%llu.%d", (unsigned long long)seed, t->said++);

    while (n + 1 < p->opt.token_bytes) p->text[n++] = '.';
    p->text[n++] = ' ';
    int64_t gap = nx_job_count_token(t->job);
    if (gap > 0) observe(p, NX_OBSERVED_INTER_TOKEN, (double)gap * 1e-9);
    (void)nx_job_put(t->job, p->text, (size_t)n, NULL, 0, NULL, NULL);
}

/* Returns when it wants to be visited next; 0: it is over. */
static int64_t visit(paced *p, talk *t, int64_t now)
{
    int32_t most = nx_job_get_options(t->job)->n_predict;

    if (nx_job_cancelled_ns(t->job)) return 0;
    if (nx_job_is_full(t->job)) {
        p->n_paused++;
        nx_job_set_state(t->job, NX_JOB_PAUSED);
        t->due_ns = now;
        return now + PAUSED_NAP_NS;
    }
    nx_job_set_state(t->job, NX_JOB_DECODE);
    if (p->opt.pace <= 0) {
        for (int i = 0; i < BURST && t->said < most && !nx_job_is_full(t->job); i++) say_one(p, t);
    } else {
        for (; t->due_ns <= now + NAP_NS && t->said < most;
             t->due_ns += (int64_t)(1e9 / p->opt.pace))
            say_one(p, t);
    }
    nx_job_notify(t->job);
    if (t->said >= most) return 0;
    return p->opt.pace > 0 ? t->due_ns : now;
}

/* All that speak, once; when the next one is due. */
static int64_t visit_all(paced *p)
{
    int64_t now = nx_clock_ns(), next = now + 1000000000;

    p->n_paused = 0;
    for (talk **at = &p->talks; *at;) {
        talk   *t = *at;
        int64_t due = visit(p, t, now);
        if (due) {
            if (due < next) next = due;
            at = &t->next;
            continue;
        }
        *at = t->next;
        p->n_talks--;
        end_talk(p, t, nx_job_cancelled_ns(t->job) ? NX_FINISH_CANCELLED : NX_FINISH_LENGTH);
    }
    observe(p, NX_OBSERVED_STEP, (double)(nx_clock_ns() - now) * 1e-9);
    return next;
}

static void begin(paced *p, talk *t)
{
    atomic_fetch_sub(&p->n_waiting, 1);
    t->next = p->talks;
    p->talks = t;
    p->n_talks++;
    nx_job_set_state(t->job, NX_JOB_PREFILL);
    nx_job_set_read(t->job, (int32_t)nx_job_get_options(t->job)->prompt.n, 0);
    t->due_ns = nx_clock_ns();
}

/* Admit who waits, and drop who doesn't want any more; false: the end. */
static bool listen(paced *p, int64_t until)
{
    struct timespec t;
    talk           *dropped = NULL, *begun = NULL;
    int64_t         ns = until - nx_clock_ns();

    pthread_mutex_lock(&p->lock);
    if (ns > 0 && !p->kicked && !p->stop) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        ns += t.tv_nsec;
        t.tv_sec += ns / 1000000000;
        t.tv_nsec = ns % 1000000000;
        pthread_cond_timedwait(&p->wake, &p->lock, &t);
    }
    p->kicked = false;
    int32_t room = p->opt.n_slots - p->n_talks;
    for (talk **at = &p->inbox; *at;) {
        talk *w = *at;
        bool  gone = nx_job_cancelled_ns(w->job) != 0;
        if (!gone && room <= 0) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = gone ? dropped : begun;
        *(gone ? &dropped : &begun) = w;
        room -= !gone;
    }
    p->inbox_end = &p->inbox;
    while (*p->inbox_end) p->inbox_end = &(*p->inbox_end)->next;
    bool go = !p->stop;
    pthread_mutex_unlock(&p->lock);
    for (talk *next; begun; begun = next) {
        next = begun->next;
        begin(p, begun);
    }
    for (talk *next; dropped; dropped = next) {
        next = dropped->next;
        atomic_fetch_sub(&p->n_waiting, 1);
        end_talk(p, dropped, NX_FINISH_CANCELLED);
    }
    return go;
}

static void publish(paced *p)
{
    pthread_mutex_lock(&p->lock);
    p->stats.n_running = p->n_talks;
    p->stats.n_paused = p->n_paused;
    p->stats.n_steps++;
    p->stats.last_step_ns = nx_clock_ns();
    pthread_mutex_unlock(&p->lock);
}

static void *paced_main(void *arg)
{
    paced  *p = arg;
    int64_t next = 0;

    while (listen(p, next)) {
        next = visit_all(p);
        publish(p);
    }
    for (talk *t = p->talks, *after; t; t = after) {
        after = t->next;
        end_talk(p, t, NX_FINISH_CANCELLED);
    }
    for (talk *t = p->inbox, *after; t; t = after) {
        after = t->next;
        end_talk(p, t, NX_FINISH_CANCELLED);
    }
    return NULL;
}

/* ---- Life ---- */

static void paced_destroy(nx_service *service)
{
    paced *p = (paced *)service;

    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    nx_free(p->text);
    nx_free(p);
}

nx_status nx_paced_create(nx_service **out, const nx_paced_options *opt,
                          const nx_service_watch *watch, nx_error *err)
{
    static const nx_service_ops ops = {paced_submit, paced_stats, paced_destroy};
    paced                      *p = nx_calloc(1, sizeof *p);
    pthread_condattr_t          monotonic;

    *out = NULL;
    if (p) p->text = nx_alloc((size_t)opt->token_bytes + 64, 1);
    if (!p || !p->text) {
        nx_free(p);
        return nx_fail(err, NX_ENOMEM, "paced service");
    }
    p->base.ops = &ops;
    p->opt = *opt;
    p->watch = *watch;
    p->inbox_end = &p->inbox;
    p->stats =
        (nx_service_stats){.n_slots = opt->n_slots, .n_ctx = 4096, .page_len = 16, .n_pages = 1};
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&p->thread, NULL, paced_main, p)) {
        nx_free(p->text);
        nx_free(p);
        return nx_fail(err, NX_ENOMEM, "paced service: its thread did not start");
    }
    *out = &p->base;
    return NX_OK;
}

/* ---- The opener ---- */

static nx_status opener_plan(void *ctx, const char *path, uint64_t *bytes, nx_error *err)
{
    (void)ctx, (void)path, (void)err;
    *bytes = MODEL_BYTES;
    return NX_OK;
}

static nx_status opener_open(void *ctx, const char *path, const nx_service_watch *watch,
                             nx_model_parts *out, nx_error *err)
{
    const nx_paced_options *o = ctx;
    struct timespec         nap = {o->open_ms / 1000, o->open_ms % 1000 * 1000000L};
    nx_backend             *be = NULL;

    *out =
        (nx_model_parts){.bytes = MODEL_BYTES, .quant = "none", .device = "test", .arch = "paced"};
    nanosleep(&nap, NULL);
    nx_status st = nx_backends_create(&be, 1, false, err);
    if (!st) st = nx_llm_open(&out->llm, path, be, err);
    if (!st) st = nx_paced_create(&out->service, o, watch, err);
    if (st) {
        nx_llm_close(out->llm);
        *out = (nx_model_parts){0};
    }
    return st;
}

static void opener_close(void *ctx, nx_model_parts *parts)
{
    (void)ctx;
    if (parts->service) parts->service->ops->destroy(parts->service);
    nx_llm_close(parts->llm);
    *parts = (nx_model_parts){0};
}

nx_model_opener nx_paced_opener(nx_paced_options *opt)
{
    return (nx_model_opener){
        .ctx = opt, .plan = opener_plan, .open = opener_open, .close = opener_close};
}
