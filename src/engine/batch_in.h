/* batch_in.h - the batch engine, as its own files see it. Not for others. */
#ifndef NX_ENGINE_BATCH_IN_H
#define NX_ENGINE_BATCH_IN_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/batch.h"
#include "engine/pace.h"
#include "engine/seq.h"

typedef struct nx_batch {
    nx_service       base; /* first: the object is a nx_service */
    nx_batch_options opt;
    const nx_llm    *llm;
    nx_seq_home      home;
    nx_kv            kv;
    nx_walk         *walk;
    pthread_t        thread;
    bool             has_thread;

    /* Between threads: lock guards these. */
    pthread_mutex_t  lock;
    pthread_cond_t   wake;
    nx_queue_item   *inbox; /* newest first */
    bool             stop, kicked;
    nx_service_stats stats;

    atomic_int n_waiting; /* in inbox and queue */

    /* The engine thread's. */
    nx_queue         queue;
    nx_seq         **running; /* [n_slots]: in order of admission */
    int32_t          n_running, n_paused;
    nx_pace          pace;
    uint64_t         step_no;
    nx_walk_seq     *step; /* [n_slots] */
    nx_seq         **who;  /* [n_slots]: of step */
    int32_t          n_step, n_rows, n_prompt_rows, at;
    nx_service_stats counts; /* copied to stats after each step */
} nx_batch;

/* Plan one step over b->running, compute it, and hand out what was said. false: there was nothing that
 * could be computed. */
bool nx_batch_step(nx_batch *b);

/* Put a running sequence back into the queue, its pages free. */
void nx_batch_preempt(nx_batch *b, int32_t i);

static inline void nx_batch_observe(const nx_batch *b, nx_observed what, double seconds)
{
    if (b->opt.watch.observe) b->opt.watch.observe(b->opt.watch.ctx, what, seconds);
}

#endif
