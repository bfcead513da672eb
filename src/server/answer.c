/* answer.c - from jobs to bytes: a stream that is pulled, or one body at the end.
 *
 * The end, step by step: the last job ends (ended, on the service's thread) -> whoever comes first of
 * fill (a stream whose client is there) and the desk of ends (a whole body, or a client that left) takes
 * `finishing` -> usage goes to the ledger -> written, on its thread: the body is sent, or fill is woken
 * for the last events -> the answer lets go of its call.
 */
#include "server/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/random.h"
#include "server/server_in.h"

#define EVENT_MAX  ((size_t)64 << 20)
#define PING_AFTER ((int64_t)15 * 1000000000)

/* ---- Its place in the server's list ---- */

static void join_list(nx_call *c)
{
    nx_server *s = c->server;

    pthread_mutex_lock(&s->lock);
    c->next = s->calls;
    if (s->calls) s->calls->prev = c;
    s->calls = c;
    s->n_calls++;
    pthread_mutex_unlock(&s->lock);
}

static void leave_list(nx_call *c)
{
    nx_server *s = c->server;

    pthread_mutex_lock(&s->lock);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->calls = c->next;
    if (c->next) c->next->prev = c->prev;
    c->next = c->prev = NULL;
    s->n_calls--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- The end ---- */

static nx_metrics_finish finish_of(const nx_answer_job *j)
{
    if (j->news.error.status) return NX_METRICS_ERROR;
    if (j->news.finish == NX_FINISH_STOP) return NX_METRICS_STOP;
    return j->news.finish == NX_FINISH_LENGTH ? NX_METRICS_LENGTH : NX_METRICS_ABORT;
}

static void on_written(void *ctx, nx_status st)
{
    nx_answer *a = ctx;
    nx_call   *c = a->call;
    nx_error   err;

    if (st) nx_metrics_usage_write_failed(c->server->metrics);
    atomic_store(&a->written, true);
    leave_list(c);
    if (a->stream)
        nx_exchange_wake(c->x);
    else if (nx_exchange_reply(c->x, a->status, "application/json", &a->whole, &err))
        nx_log_error("%s %s", c->request_id, err.text);
    nx_call_release(c);
}

/* All jobs have ended and their news are taken: count, and hand the figures to the ledger. */
static void write_usage(nx_answer *a)
{
    nx_call        *c = a->call;
    nx_answer_usage u;
    nx_job_progress p;

    for (int32_t i = 0; i < a->n_jobs; i++) {
        nx_job_get_progress(a->jobs[i].job, &p);
        nx_model_metrics_job_done(c->model->metrics, &p, finish_of(&a->jobs[i]));
    }
    nx_answer_count(a, &u);
    nx_usage_entry e = {.key = c->key.number ? c->key.id : NULL,
                        .model = c->model->name,
                        .counts = {1, u.n_prompt, u.n_new, u.n_cached},
                        .unix_s = nx_clock_unix_ms() / 1000};
    nx_usage_add(c->server->usage, &e, on_written, a);
}

static void take_all(nx_answer *a)
{
    for (int32_t i = 0; i < a->n_jobs; i++) {
        nx_answer_job *j = &a->jobs[i];
        if (j->done) continue;
        nx_job_take(j->job, &j->news);
        j->done = true;
        if (j->news.error.status && !a->error.status) a->error = j->news.error;
    }
}

static bool was_cut(const nx_answer *a)
{
    return atomic_load(&a->call->server->cut);
}

static bool any_cancelled(const nx_answer *a)
{
    for (int32_t i = 0; i < a->n_jobs; i++)
        if (a->jobs[i].news.finish == NX_FINISH_CANCELLED) return true;
    return false;
}

/* What an answer that isn't one says instead. */
static void error_body(nx_answer *a, nx_dialect dialect, nx_jw *w, int *status)
{
    if (a->error.status) {
        *status = nx_error_status(&a->error);
        nx_error_write(w, dialect, *status, NULL, NULL, nx_call_seconds(a->call), a->error.text);
        return;
    }
    *status = 503;
    nx_error_write(w, dialect, *status, NULL, "server_stopping", nx_call_seconds(a->call),
                   was_cut(a) ? "the server is stopping: this answer was cut off"
                              : "this answer was cut off");
}

/* On the desk of ends. */
static void finish_whole(void *ctx)
{
    nx_answer *a = ctx;
    nx_jw      w = {.buf.max = NX_REPLY_MAX};

    take_all(a);
    a->status = 200;
    if (a->error.status || any_cancelled(a))
        error_body(a, a->call->route->dialect, &w, &a->status);
    else
        a->format->whole(a, &w);
    if (w.st) {
        nx_log_error("%s %s", a->call->request_id, w.err.text);
        nx_buf_free(&w.buf);
        a->status = 500;
    }
    a->whole = w.buf;
    write_usage(a);
}

static void finish_gone(void *ctx)
{
    nx_answer *a = ctx;

    pthread_mutex_lock(&a->lock); /* an I/O thread may be in fill still */
    take_all(a);
    pthread_mutex_unlock(&a->lock);
    write_usage(a);
}

static void finish_on_desk(nx_answer *a)
{
    if (atomic_flag_test_and_set(&a->finishing)) return;
    nx_desk_post(a->call->server->ends, &a->call->task, a->stream ? finish_gone : finish_whole, a);
}

/* ---- Called by the service ---- */

static void on_news(void *ctx)
{
    nx_answer_job *j = ctx;

    nx_exchange_wake(j->answer->call->x);
}

static void on_ended(void *ctx)
{
    nx_answer_job *j = ctx;
    nx_answer     *a = j->answer;
    nx_call       *c = a->call;
    bool           last = atomic_fetch_sub(&a->n_left, 1) == 1;

    if (!a->stream) {
        if (last) finish_on_desk(a);
    } else if (last && atomic_load(&a->gone)) {
        finish_on_desk(a);
    } else {
        nx_exchange_wake(c->x);
    }
    nx_call_release(c); /* the job's reference */
}

void nx_answer_cut(nx_answer *a)
{
    for (int32_t i = 0; i < a->n_jobs; i++) nx_job_cancel(a->jobs[i].job);
}

void nx_answer_gone(nx_answer *a)
{
    atomic_store(&a->gone, true);
    for (int32_t i = 0; i < a->n_jobs; i++) nx_job_cancel(a->jobs[i].job);
    if (a->stream && atomic_load(&a->n_left) == 0) finish_on_desk(a);
}

/* ---- A stream ---- */

void nx_event_add(nx_buf *out, nx_jw *w)
{
    nx_status st = w->st;

    if (!st) st = nx_buf_add(out, "data: ", 6, NULL);
    if (!st) st = nx_buf_add(out, w->buf.data, w->buf.len, NULL);
    if (!st) st = nx_buf_add(out, "\n\n", 2, NULL);
    if (st) nx_log_error("an event was lost: %s", nx_status_text(st));
    nx_buf_free(&w->buf);
}

static void take_news(nx_answer *a, nx_buf *out)
{
    for (int32_t i = 0; i < a->n_jobs; i++) {
        nx_answer_job *j = &a->jobs[i];
        if (j->done) continue;
        nx_job_take(j->job, &j->news);
        if (j->news.error.status && !a->error.status) a->error = j->news.error;
        if (j->news.text.len || j->news.n_steps) a->format->piece(a, i, out);
        j->done = j->news.done;
        if (j->done && j->news.finish != NX_FINISH_CANCELLED && !j->news.error.status &&
            a->format->close)
            a->format->close(a, i, out);
    }
}

static bool all_done(const nx_answer *a)
{
    for (int32_t i = 0; i < a->n_jobs; i++)
        if (!a->jobs[i].done) return false;
    return true;
}

static void add_end(nx_answer *a, nx_buf *out)
{
    if (a->error.status || any_cancelled(a)) {
        nx_jw w = {.buf.max = EVENT_MAX};
        int   status;
        /* In a stream the name "error" tells such an event from the others. */
        error_body(a, a->format->openai ? NX_DIALECT_OPENAI : NX_DIALECT_PLAIN, &w, &status);
        nx_event_add(out, &w);
        return;
    }
    if (a->format->last) a->format->last(a, out);
    nx_buf_add(out, "data: [DONE]\n\n", 14, NULL);
}

static bool fill_news(nx_answer *a, nx_buf *out)
{
    pthread_mutex_lock(&a->lock);
    if (!a->opened && a->format->open) a->format->open(a, out);
    a->opened = true;
    take_news(a, out);
    bool done = all_done(a);
    pthread_mutex_unlock(&a->lock);
    return done;
}

static nx_fill fill(void *ctx, nx_buf *out, size_t room)
{
    nx_answer *a = ctx;
    size_t     before = out->len;

    (void)room; /* a job has no more to give than NX_JOB_HIGH_WATER */
    if (fill_news(a, out)) {
        if (!atomic_flag_test_and_set(&a->finishing)) write_usage(a);
        if (atomic_load(&a->written)) {
            add_end(a, out);
            return NX_FILL_END;
        }
    }
    if (out->len == before && atomic_exchange(&a->ping, false))
        nx_buf_add(out, ": ping\n\n", 8, NULL);
    if (out->len > before) atomic_store(&a->sent_ns, nx_clock_ns());
    return NX_FILL_MORE;
}

void nx_answer_ping(nx_answer *a)
{
    if (!a->stream || nx_clock_ns() - atomic_load(&a->sent_ns) < PING_AFTER) return;
    atomic_store(&a->ping, true);
    nx_exchange_wake(a->call->x);
}

/* ---- The beginning ---- */

static nx_status make_job(nx_answer *a, const nx_ask *ask, int32_t i, nx_error *err)
{
    int32_t        p = i / ask->n_each;
    bool           last_of_prompt = i % ask->n_each == ask->n_each - 1;
    nx_answer_job *j = &a->jobs[i];
    nx_job_options o = {.sampler = ask->sampler,
                        .n_predict = ask->n_predict,
                        .stop = ask->stop,
                        .n_stop = ask->n_stop,
                        .n_logprobs = ask->n_logprobs,
                        .ignore_end = ask->ignore_end,
                        .whole = !ask->stream,
                        .priority = ask->priority,
                        .owner = a->call->key.number,
                        .wake = on_news,
                        .ended = on_ended,
                        .ctx = j};
    nx_status      st = NX_OK;

    j->answer = a;
    if (ask->texts) j->prompt = ask->texts[p];
    o.sampler.seed = ask->sampler.seed + (uint64_t)(i % ask->n_each);
    if (last_of_prompt) {
        o.prompt = ask->prompts[p];
        ask->prompts[p] = (nx_ids){0};
    } else {
        st = nx_ids_reserve(&o.prompt, ask->prompts[p].n, err);
        if (!st) memcpy(o.prompt.ids, ask->prompts[p].ids, ask->prompts[p].n * sizeof(int32_t));
        o.prompt.n = st ? 0 : ask->prompts[p].n;
    }
    return st ? st : nx_job_create(&j->job, &o, err);
}

static nx_status make_answer(nx_answer **out, nx_call *c, const nx_ask *ask, nx_error *err)
{
    nx_answer *a = nx_calloc(1, sizeof *a);
    nx_status  st = NX_OK;

    *out = a;
    if (!a) return nx_fail(err, NX_ENOMEM, "answer");
    a->call = c;
    a->format = ask->format;
    a->n_each = ask->n_each;
    a->seed = ask->sampler.seed;
    a->created_s = nx_clock_unix_ms() / 1000;
    a->stream = ask->stream;
    a->with_usage = ask->with_usage;
    a->echo = ask->echo;
    a->n_logprobs = ask->n_logprobs;
    a->sent_ns = nx_clock_ns();
    atomic_flag_clear(&a->finishing);
    pthread_mutex_init(&a->lock, NULL);
    snprintf(a->id, sizeof a->id, "%s%s", ask->format->id_prefix, c->request_id);
    int32_t n = ask->n_prompts * ask->n_each;
    a->jobs = nx_calloc((size_t)n, sizeof *a->jobs);
    if (!a->jobs) return nx_fail(err, NX_ENOMEM, "answer of %d jobs", n);
    for (; !st && a->n_jobs < n; a->n_jobs += !st) st = make_job(a, ask, a->n_jobs, err);
    return st;
}

/* Jobs before `n` were submitted and will end by themselves; the others never begin. */
static void abandon(nx_answer *a, int32_t n)
{
    for (int32_t i = 0; i < n; i++) nx_job_cancel(a->jobs[i].job);
    for (int32_t i = n; i < a->n_jobs; i++) nx_call_release(a->call);
}

/* The field that holds what the model reads. */
static const char *prompt_field(const nx_call *c)
{
    static const char *const names[] = {"query", "messages", "prompt", "prompts"};

    for (int i = 0; i < 3; i++)
        if (nx_field_find(c->route->request, nx_str_of(names[i]))) return names[i];
    return names[3];
}

static void refuse(nx_call *c, const nx_error *err)
{
    if (err->status == NX_ELIMIT) {
        nx_call_refuse(c, c->route->dialect == NX_DIALECT_SEED ? 422 : 400, prompt_field(c),
                       "context_length_exceeded", -1, "%s: %s", prompt_field(c), err->text);
    } else if (err->status == NX_EBUSY) {
        nx_metrics_rejected(c->server->metrics, NX_METRICS_REJECT_QUEUE_FULL);
        nx_call_refuse(c, 429, NULL, "queue_full", 1, "%s", err->text);
    } else {
        nx_call_refuse_error(c, err, NULL);
    }
}

/* A failure in the middle: the jobs that run end as cancelled, and nobody listens to them. `finishing` is
 * taken for good, so nothing of the usual end happens. */
static void give_up(nx_answer *a, int32_t n_submitted, const nx_error *err)
{
    atomic_flag_test_and_set(&a->finishing);
    abandon(a, n_submitted);
    refuse(a->call, err);
}

void nx_answer_start(nx_call *c, const nx_ask *ask)
{
    nx_service *service = c->model->parts.service;
    nx_answer  *a;
    nx_error    err = {0};
    nx_status   st = make_answer(&a, c, ask, &err);
    int32_t     n = 0;

    if (st) {
        nx_answer_free(a);
        refuse(c, &err);
        return;
    }
    atomic_store(&a->n_left, a->n_jobs);
    atomic_store(&c->answer, a); /* freed with the call; from now on on_gone may cancel */
    for (int32_t i = 0; i < a->n_jobs; i++) nx_call_retain(c);
    nx_call_retain(c); /* the answer's own, until its usage is written */
    join_list(c);
    for (; !st && n < a->n_jobs; n += !st) st = service->ops->submit(service, a->jobs[n].job, &err);
    if (!st && a->stream) {
        nx_exchange_add_header(c->x, "Cache-Control", "no-cache", &err);
        nx_exchange_add_header(c->x, "X-Accel-Buffering", "no", &err);
        st = nx_exchange_stream(c->x, 200, "text/event-stream; charset=utf-8", fill, a, &err);
    }
    if (st) {
        give_up(a, n, &err);
        leave_list(c);
        nx_call_release(c);
        return;
    }
    /* Whoever left meanwhile was told to on_gone before the answer was there. */
    if (nx_exchange_is_gone(c->x)) nx_answer_gone(a);
    if (was_cut(a))
        nx_answer_cut(a); /* the server has walked its list, perhaps before we were there */
}

void nx_answer_free(nx_answer *a)
{
    if (!a) return;
    for (int32_t i = 0; a->jobs && i < a->n_jobs; i++) {
        nx_job_release(a->jobs[i].job);
        nx_job_news_free(&a->jobs[i].news);
    }
    pthread_mutex_destroy(&a->lock);
    nx_free(a->jobs);
    nx_buf_free(&a->whole);
    nx_free(a);
}

/* ---- Figures ---- */

const char *nx_answer_finish(const nx_answer_job *j)
{
    return j->news.finish == NX_FINISH_STOP ? "stop" : "length";
}

void nx_answer_count(const nx_answer *a, nx_answer_usage *out)
{
    nx_job_progress p;

    *out = (nx_answer_usage){0};
    for (int32_t i = 0; i < a->n_jobs; i++) {
        nx_job_get_progress(a->jobs[i].job, &p);
        out->n_new += p.n_new;
        if (i % a->n_each) continue; /* a prompt counts once, however many answers it gets */
        out->n_prompt += p.n_prompt;
        out->n_cached += p.n_cached;
    }
}

void nx_answer_progress(const nx_answer *a, nx_job_progress *out)
{
    nx_job_progress p;

    nx_job_get_progress(a->jobs[0].job, out);
    for (int32_t i = 1; i < a->n_jobs; i++) {
        nx_job_get_progress(a->jobs[i].job, &p);
        out->n_new += p.n_new;
        if (p.state > out->state && p.state != NX_JOB_DONE) out->state = p.state;
        if (i % a->n_each) continue;
        out->n_prompt += p.n_prompt;
        out->n_read += p.n_read;
        out->n_cached += p.n_cached;
    }
}

static double ms(int64_t from, int64_t to)
{
    return from > 0 && to >= from ? (double)(to - from) * 1e-6 : -1;
}

void nx_answer_log(const nx_answer *a, nx_access_entry *e)
{
    nx_answer_usage u;
    nx_job_progress p;

    if (a->n_jobs == 0 || !a->jobs[0].job) return;
    nx_answer_count(a, &u);
    nx_job_get_progress(a->jobs[0].job, &p);
    e->n_prompt = u.n_prompt;
    e->n_cached = u.n_cached;
    e->n_generated = u.n_new;
    e->queue_ms = ms(p.created_ns, p.started_ns);
    e->ttft_ms = ms(p.created_ns, p.first_ns);
    e->model = a->call->model->name;
    if (a->error.status)
        e->finish_reason = "error";
    else if (any_cancelled(a))
        e->finish_reason = "abort";
    else
        e->finish_reason = nx_answer_finish(&a->jobs[0]);
    e->prompt = nx_exchange_body(a->call->x);
}
