/* service.h - whoever answers jobs for one loaded model: the batch engine, or a test's stand-in.
 *
 * Thread: any; a service has threads of its own.
 */
#ifndef NX_ENGINE_SERVICE_H
#define NX_ENGINE_SERVICE_H

#include "engine/job.h"

typedef struct nx_service nx_service;

/* Counts since the start, and how things are now. All read without waiting for a step. */
typedef struct nx_service_stats {
    int32_t  n_running, n_waiting, n_paused;
    int32_t  n_slots;                        /* sequences that can run at once */
    int32_t  n_ctx;                          /* positions of one sequence */
    int32_t  page_len;                       /* positions of one page */
    int32_t  n_pages, n_pages_running;       /* all; held by running sequences */
    int32_t  n_pages_cached;                 /* kept for their prefixes, free for the asking */
    uint64_t n_prefix_queried, n_prefix_hit; /* prompt tokens looked up; found */
    uint64_t n_prompt, n_new;                /* tokens computed of prompts; generated */
    uint64_t n_steps, n_preempted;
    uint64_t n_drafted, n_accepted; /* tokens guessed by prompt lookup; right */
    int64_t  last_step_ns;          /* nx_clock_ns of the last step's end; 0: none yet */
    int32_t  n_slice; /* prompt tokens that a step beside answers has room for; 0: none was made */
} nx_service_stats;

typedef enum nx_observed {
    NX_OBSERVED_STEP,        /* duration of a step */
    NX_OBSERVED_INTER_TOKEN, /* from one token of an answer to its next */
    NX_OBSERVED_CANCEL,      /* from nx_job_cancel to its pages being free */
} nx_observed;

/* Called by the service's thread: quick, no locks that others hold for long. */
typedef struct nx_service_watch {
    void *ctx;
    void (*observe)(void *ctx, nx_observed what, double seconds); /* NULL: nobody watches */
} nx_service_watch;

typedef struct nx_service_ops {
    /* Queue the job; the service takes a reference. NX_ELIMIT: the prompt can't fit the context (both
     * numbers); NX_EBUSY: the queue is full; NX_EINVAL: an id outside the vocabulary; NX_ENOMEM. */
    nx_status (*submit)(nx_service *s, nx_job *job, nx_error *err);
    void (*stats)(nx_service *s, nx_service_stats *out);
    /* Cancel what is left, end the threads, free. */
    void (*destroy)(nx_service *s);
} nx_service_ops;

/* Concrete services begin with this struct. */
struct nx_service {
    const nx_service_ops *ops;
};

#endif
