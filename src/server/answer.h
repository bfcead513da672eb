/* answer.h - what a model says to one request: jobs, their news as events, or as one body at the end.
 *
 * Owns:    its jobs.
 * Idea:    jobs × one format. A format is a table that knows one wire shape (OpenAI's chat, its text
 *          completions, the seed's three); the answer knows jobs, usage, errors and the end. Usage is on
 *          the disk before the last bytes are sent.
 * Thread:  of its call's, in turn; job_ended comes on the service's thread.
 */
#ifndef NX_SERVER_ANSWER_H
#define NX_SERVER_ANSWER_H

#include <pthread.h>

#include "engine/job.h"
#include "server/access_log.h"
#include "server/call.h"

#define NX_ANSWER_JOBS_MAX 4096 /* prompts times n */

typedef struct nx_format nx_format;

typedef struct nx_answer_job {
    nx_answer  *answer;
    nx_job     *job;
    nx_job_news news;
    bool        done;    /* its end was taken */
    size_t      n_chars; /* of its text that were sent: text_offset */
    nx_str      prompt;  /* as text, where the format gives it back; a view into the body */
} nx_answer_job;

struct nx_answer {
    nx_call         *call;
    const nx_format *format;
    nx_answer_job   *jobs; /* [n_jobs]: n_each for every prompt, side by side */
    int32_t          n_jobs, n_each;
    uint64_t         seed;
    int64_t          created_s;
    char             id[16 + NX_REQUEST_ID_CAP];
    bool             stream, with_usage, echo;
    int32_t          n_logprobs;
    pthread_mutex_t  lock;      /* guards the jobs' news */
    bool             opened;    /* the first event is out */
    atomic_int       n_left;    /* jobs that haven't ended */
    atomic_flag      finishing; /* usage is being written, or was */
    atomic_bool      written, gone, ping;
    _Atomic int64_t  sent_ns; /* of the last event */
    nx_buf           whole;   /* the body that waits for its usage to be written */
    int              status;
    nx_error         error; /* the first that a job met */
};

/* What a format writes. w is an empty buffer's; every event is one JSON value. */
struct nx_format {
    const char *id_prefix; /* "chatcmpl-" */
    bool        openai;    /* its error events are OpenAI's objects; else {"error": "..."} */
    /* Events of a stream; may be NULL. open: before the first news of all; piece: news of job i (text, or
     * none); close: its end, with its reason; last: after all, before [DONE]. */
    void (*open)(nx_answer *a, nx_buf *out);
    void (*piece)(nx_answer *a, int32_t i, nx_buf *out);
    void (*close)(nx_answer *a, int32_t i, nx_buf *out);
    void (*last)(nx_answer *a, nx_buf *out);
    void (*whole)(nx_answer *a, nx_jw *w); /* the body, all news being taken */
};

/* What a handler asks for. Everything is copied or taken. */
typedef struct nx_ask {
    const nx_format   *format;
    nx_ids            *prompts; /* [n_prompts]; their ids are taken */
    const nx_str      *texts;   /* [n_prompts] or NULL: nx_answer_job.prompt */
    int32_t            n_prompts, n_each;
    nx_sampler_options sampler;
    int32_t            n_predict;
    const nx_str      *stop;
    size_t             n_stop;
    int32_t            n_logprobs;
    bool               ignore_end, stream, with_usage, echo;
    nx_job_priority    priority;
} nx_ask;

/* Submit the jobs and answer c in the shape of the format; or refuse. c->model is there. */
void nx_answer_start(nx_call *c, const nx_ask *ask);

void nx_answer_gone(nx_answer *a); /* the client left: cancel */
void nx_answer_cut(nx_answer *a);  /* the server ends: cancel; the client hears of it */
void nx_answer_free(nx_answer *a);
void nx_answer_ping(nx_answer *a); /* a comment, if nothing was sent for long */
void nx_answer_log(const nx_answer *a, nx_access_entry *e);

/* ---- For formats ---- */

/* One event: "data: " w "\n\n"; w is freed. */
void        nx_event_add(nx_buf *out, nx_jw *w);
const char *nx_answer_finish(const nx_answer_job *j); /* "stop", "length" */

typedef struct nx_answer_usage {
    int64_t n_prompt, n_new, n_cached;
} nx_answer_usage;

void nx_answer_count(const nx_answer *a, nx_answer_usage *out);

/* For /admin/requests: how it stands. */
void nx_answer_progress(const nx_answer *a, nx_job_progress *out);

#endif
