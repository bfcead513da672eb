/* job.h - one answer to be made: what the engine is asked, and what it has said so far.
 *
 * Owns:    copies of prompt, stop texts and biases; the output until somebody takes it.
 * Idea:    two sides. Who asks creates the job, submits it to a service (service.h), is woken when
 *          there is news, takes the news, may cancel. The service's thread writes. Between them is one
 *          small lock; whole tokens' worth of text go through it, never a part of a character.
 *          What isn't taken heaps up to NX_JOB_HIGH_WATER bytes; then the job pauses, others go on.
 * Thread:  any, unless a function says otherwise. References are counted: the asker has one, the
 *          service takes its own.
 */
#ifndef NX_ENGINE_JOB_H
#define NX_ENGINE_JOB_H

#include "base/buf.h"
#include "engine/sampler.h"
#include "token/vocab.h"

#define NX_JOB_HIGH_WATER   ((size_t)64 << 10)
#define NX_JOB_LOGPROBS_MAX 20

typedef struct nx_job nx_job;

/* High first; of one priority, owners share fairly by tokens, however many jobs each has waiting. */
typedef enum nx_job_priority {
    NX_PRIORITY_HIGH,
    NX_PRIORITY_NORMAL,
    NX_PRIORITY_LOW
} nx_job_priority;

/* Everything is copied or taken by nx_job_create. */
typedef struct nx_job_options {
    nx_ids             prompt; /* at least one id; taken, also on error */
    nx_sampler_options sampler;
    int32_t            n_predict; /* new tokens at most, >= 0; the context may end sooner */
    const nx_str      *stop;      /* [n_stop] texts that end the answer, not part of it */
    size_t             n_stop;
    int32_t            n_logprobs; /* -1: none; else the chosen token's, and the n likeliest */
    bool               ignore_end; /* go on after end-of-answer tokens */
    bool               whole;      /* nobody takes before the end: no wake, no pause */
    nx_job_priority    priority;
    uint64_t           owner; /* who shares fairly: a key's number */
    /* Both are called by the service's thread, must be quick, and must not call the service.
     * wake: there is news; not called again before nx_job_take. ended: once, when there will be no
     * more; wake isn't called after it. Either may be NULL. */
    void (*wake)(void *ctx);
    void (*ended)(void *ctx);
    void *ctx;
} nx_job_options;

nx_status nx_job_create(nx_job **out, nx_job_options *opt,
                        nx_error *err); /* NX_EINVAL, NX_ENOMEM */
void      nx_job_retain(nx_job *j);
void      nx_job_release(nx_job *j);

/* The answer isn't wanted any more: it ends within one step, as NX_FINISH_CANCELLED. */
void nx_job_cancel(nx_job *j);

typedef enum nx_job_state {
    NX_JOB_WAITING, /* in the queue, or put back there for want of pages */
    NX_JOB_PREFILL,
    NX_JOB_DECODE,
    NX_JOB_PAUSED, /* nobody takes what it says */
    NX_JOB_DONE,
} nx_job_state;

/* How far it is. Times are nx_clock_ns, 0: not yet. */
typedef struct nx_job_progress {
    nx_job_state state;
    int32_t      n_prompt;
    int32_t      n_read;   /* of the prompt */
    int32_t      n_cached; /* of the prompt, that were in the cache already */
    int32_t      n_new;    /* new tokens; one that ends the answer isn't counted */
    int64_t      created_ns, started_ns, first_ns, last_ns, done_ns;
} nx_job_progress;

void nx_job_get_progress(const nx_job *j, nx_job_progress *out);

/* ---- News ---- */

/* One new token, where log-probabilities were asked for. Its text is the next n_bytes of the news'
 * text: so the bytes of all steps are the text. (Of a character that several tokens make, the last has
 * all bytes.) */
typedef struct nx_job_step {
    int32_t id;
    float   logprob;
    int32_t n_bytes;
    int32_t n_top; /* how many follow in nx_job_news.top */
} nx_job_step;

/* What was said since the last take. Zero-initialise; nx_job_news_free. Memory is reused by take. */
typedef struct nx_job_news {
    nx_buf       text;  /* whole UTF-8 characters; max is set by take */
    nx_job_step *steps; /* [n_steps] */
    size_t       n_steps, steps_cap;
    nx_logprob  *top; /* [n_top], those of the first step first, likeliest first */
    size_t       n_top, top_cap;
    bool         done; /* nothing follows */
    nx_finish    finish;
    nx_error     error; /* status NX_OK, or what went wrong: then the text is cut short */
} nx_job_news;

/* Move all news to *out, whose former contents are dropped. After done it goes on saying done. */
void nx_job_take(nx_job *j, nx_job_news *out);
void nx_job_news_free(nx_job_news *n);

/* ---- The service's side: its thread alone ---- */

const nx_job_options *nx_job_get_options(const nx_job *j);
bool nx_job_is_full(const nx_job *j); /* more than the high water waits to be taken */

/* kick is called when the job is cancelled, or was full and has been taken from; NULL: nobody. */
void nx_job_set_kick(nx_job *j, void (*kick)(void *ctx), void *ctx);

void nx_job_set_state(nx_job *j, nx_job_state state);
void nx_job_set_read(nx_job *j, int32_t n_read, int32_t n_cached); /* of the prompt */

/* A token was chosen: counted, and timed. Returns nanoseconds since the one before; 0: the first. */
int64_t nx_job_count_token(nx_job *j);

/* Text that can be shown, whole characters, with the steps that it completes (their n_bytes set; the
 * n_top of all of them stand in top). */
nx_status nx_job_put(nx_job *j, const char *text, size_t len, const nx_job_step *steps,
                     size_t n_steps, const nx_logprob *top, nx_error *err);
/* The end; error: NULL, or why. Calls ended. */
void    nx_job_finish(nx_job *j, nx_finish finish, const nx_error *error);
int64_t nx_job_cancelled_ns(const nx_job *j); /* when; 0: it isn't */

/* Tell the asker once for all that was put since the last call. */
void nx_job_notify(nx_job *j);

#endif
