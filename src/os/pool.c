/* pool.c - workers that wait by spinning briefly, then by sleeping.
 *
 * Idea:      a decode step runs hundreds of small jobs back to back, so a worker spins for some
 *            microseconds before it sleeps on a condition; a sleeping worker costs nothing. The
 *            caller doesn't wait for a worker that hasn't begun: on a busy machine it may not get
 *            a processor for milliseconds, while its range takes microseconds. Who runs a range
 *            changes nothing in the result: the ranges, and the scratch that goes with them, don't
 *            depend on it.
 * Invariant: `epoch` counts jobs. Each range of job e is run by whoever raises its worker's
 *            `claimed` from e - 1 to e, and who then decrements `pending`. The caller starts job
 *            e + 1 only at pending == 0, when all of job e are claimed and done: so a worker that
 *            comes late finds nothing to claim, and looks at no field of a job that it hasn't.
 */
#include "os/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "os/clock.h"

#define SPIN_NS            50000
#define SPINS_BEFORE_YIELD 2000

typedef struct worker {
    nx_pool         *pool;
    pthread_t        thread;
    int              idx;
    _Atomic uint32_t claimed; /* the last job of which range idx was taken by someone */
} worker;

struct nx_pool {
    int     n_threads, n_started;
    worker *workers; /* [n_threads - 1] */

    /* The job: written by the caller before epoch is raised, read by workers after. */
    nx_pool_fn fn;
    void      *ctx;
    int64_t    n, grain;

    _Alignas(64) _Atomic uint32_t epoch;
    _Alignas(64) _Atomic int pending;
    _Atomic int     n_asleep; /* changed under lock */
    bool            stop;     /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t  wake;
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run_range(nx_pool *p, int thread)
{
    int64_t grains = (p->n + p->grain - 1) / p->grain;
    int64_t begin = grains * thread / p->n_threads * p->grain;
    int64_t end = grains * (thread + 1) / p->n_threads * p->grain;

    if (end > p->n) end = p->n;
    if (begin < end) p->fn(p->ctx, thread, begin, end);
}

/* Take range w->idx of job e. False: somebody has it. */
static bool claim(worker *w, uint32_t e)
{
    uint32_t before = e - 1;

    return atomic_compare_exchange_strong_explicit(&w->claimed, &before, e, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static void run_claimed(worker *w, uint32_t e)
{
    if (!claim(w, e)) return;
    run_range(w->pool, w->idx);
    atomic_fetch_sub_explicit(&w->pool->pending, 1, memory_order_release);
}

/* Wait until epoch differs from *seen, and say what it is. Returns false when the pool stops. */
static bool wait_for_job(nx_pool *p, uint32_t *seen)
{
    int64_t deadline = nx_clock_ns() + SPIN_NS;

    for (int i = 0;; i++) {
        uint32_t now = atomic_load_explicit(&p->epoch, memory_order_acquire);
        if (now != *seen) {
            *seen = now;
            return true;
        }
        cpu_relax();
        if ((i & 63) == 63 && nx_clock_ns() > deadline) break;
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->n_asleep, 1);
    while (!p->stop && atomic_load(&p->epoch) == *seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->n_asleep, 1);
    *seen = atomic_load(&p->epoch);
    bool go = !p->stop;
    pthread_mutex_unlock(&p->lock);
    return go;
}

static void *worker_main(void *arg)
{
    worker  *w = arg;
    nx_pool *p = w->pool;

    for (uint32_t seen = 0; wait_for_job(p, &seen);) run_claimed(w, seen);
    return NULL;
}

/* Signals belong to the program's main thread: workers start with all of them blocked. */
static nx_status start_workers(nx_pool *p, nx_error *err)
{
    sigset_t all, before;
    int      failed = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < p->n_threads - 1 && !failed; i++) {
        p->workers[i].pool = p;
        p->workers[i].idx = i + 1;
        failed = pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]);
        if (!failed) p->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) return NX_OK;
    return nx_fail(err, NX_ENOMEM, "worker pool: thread %d of %d did not start. Try fewer threads",
                   p->n_started + 2, p->n_threads);
}

nx_status nx_pool_create(nx_pool **out, int n_threads, nx_error *err)
{
    if (n_threads < 1 || n_threads > NX_POOL_THREADS_MAX)
        return nx_fail(err, NX_EINVAL, "worker pool: %d threads, expected 1 to %d", n_threads,
                       NX_POOL_THREADS_MAX);
    nx_pool *p = nx_alloc_aligned(1, sizeof *p, 64);
    if (!p) return nx_fail(err, NX_ENOMEM, "worker pool");
    *p = (nx_pool){.n_threads = n_threads};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->workers = nx_calloc((size_t)n_threads, sizeof *p->workers);
    nx_status st = p->workers ? start_workers(p, err) : nx_fail(err, NX_ENOMEM, "worker pool");
    if (st) {
        nx_pool_destroy(p);
        return st;
    }
    *out = p;
    return NX_OK;
}

void nx_pool_destroy(nx_pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    nx_free(p->workers);
    nx_free(p);
}

int nx_pool_threads(const nx_pool *p)
{
    return p->n_threads;
}

/* Run what nobody has begun, and wait for the rest. Those that have begun finish at about the same
 * time, so spin; but where threads outnumber free processors, spinning on would hold up the very
 * worker that is waited for. */
static void finish_job(nx_pool *p, uint32_t e)
{
    for (int i = 0; i < p->n_threads - 1; i++) run_claimed(&p->workers[i], e);
    for (int i = 0; atomic_load_explicit(&p->pending, memory_order_acquire) > 0; i++) {
        if (i < SPINS_BEFORE_YIELD)
            cpu_relax();
        else
            sched_yield();
    }
}

void nx_pool_run(nx_pool *p, int64_t n, int64_t grain, nx_pool_fn fn, void *ctx)
{
    if (n <= 0) return;
    p->fn = fn;
    p->ctx = ctx;
    p->n = n;
    p->grain = grain < 1 ? 1 : grain;
    if (p->n_threads == 1 || n <= p->grain) { /* one range: waking others only costs */
        fn(ctx, 0, 0, n);
        return;
    }
    atomic_store_explicit(&p->pending, p->n_threads - 1, memory_order_relaxed);
    const uint32_t e = atomic_fetch_add(&p->epoch, 1) + 1;
    if (atomic_load(&p->n_asleep) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    run_range(p, 0);
    finish_job(p, e);
}
