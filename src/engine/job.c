/* job.c - the small lock between who asks and who answers. */
#include "engine/job.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "os/clock.h"

/* Beyond the high water one more token, or what a stop text held back, is still welcome. */
#define TEXT_MAX ((size_t)64 << 20)

struct nx_job {
    atomic_int      refs;
    nx_job_options  opt; /* its pointers are ours */
    _Atomic int64_t cancelled_ns;
    _Atomic size_t  waiting_bytes; /* of news */
    pthread_mutex_t lock;          /* guards what follows */
    nx_job_news     news;
    nx_job_progress progress;
    bool            told; /* wake was called, take wasn't since */
    bool            was_full;
    void (*kick)(void *ctx);
    void *kick_ctx;
};

/* ---- Life ---- */

static nx_status copy_stops(nx_job *j, const nx_str *stop, nx_error *err)
{
    nx_str *copy = nx_calloc(j->opt.n_stop, sizeof *copy);

    j->opt.stop = copy;
    if (!copy) return nx_fail(err, NX_ENOMEM, "stop texts");
    for (size_t i = 0; i < j->opt.n_stop; i++) {
        copy[i] = (nx_str){nx_strndup(stop[i].p, stop[i].len), stop[i].len};
        if (!copy[i].p) return nx_fail(err, NX_ENOMEM, "stop texts");
    }
    return NX_OK;
}

static nx_status copy_bias(nx_job *j, const nx_logit_bias *bias, nx_error *err)
{
    size_t         n = j->opt.sampler.n_bias;
    nx_logit_bias *copy = nx_alloc(n, sizeof *copy);

    j->opt.sampler.bias = copy;
    if (!copy) return nx_fail(err, NX_ENOMEM, "logit biases");
    if (n) memcpy(copy, bias, n * sizeof *copy);
    return NX_OK;
}

static nx_status check(const nx_job_options *o, nx_error *err)
{
    if (o->prompt.n < 1 || o->prompt.n > INT32_MAX)
        return nx_fail(err, NX_EINVAL, "a prompt of %zu tokens", o->prompt.n);
    if (o->n_predict < 0)
        return nx_fail(err, NX_EINVAL, "%d new tokens: expected 0 or more", o->n_predict);
    if (o->n_logprobs < -1 || o->n_logprobs > NX_JOB_LOGPROBS_MAX)
        return nx_fail(err, NX_EINVAL, "log-probabilities of %d tokens: expected at most %d",
                       o->n_logprobs, NX_JOB_LOGPROBS_MAX);
    return NX_OK;
}

nx_status nx_job_create(nx_job **out, nx_job_options *opt, nx_error *err)
{
    nx_job   *j = nx_calloc(1, sizeof *j);
    nx_status st = j ? check(opt, err) : nx_fail(err, NX_ENOMEM, "job");

    *out = NULL;
    if (st) {
        nx_ids_free(&opt->prompt);
        nx_free(j);
        return st;
    }
    j->opt = *opt;
    opt->prompt = (nx_ids){0};
    atomic_init(&j->refs, 1);
    pthread_mutex_init(&j->lock, NULL);
    j->news.text.max = TEXT_MAX;
    j->progress.n_prompt = (int32_t)j->opt.prompt.n;
    j->progress.created_ns = nx_clock_ns();
    j->opt.sampler.bias = NULL;
    st = copy_stops(j, opt->stop, err);
    if (!st) st = copy_bias(j, opt->sampler.bias, err);
    if (st) {
        nx_job_release(j);
        return st;
    }
    *out = j;
    return NX_OK;
}

void nx_job_retain(nx_job *j)
{
    atomic_fetch_add(&j->refs, 1);
}

static void *unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

void nx_job_release(nx_job *j)
{
    if (!j || atomic_fetch_sub(&j->refs, 1) != 1) return;
    for (size_t i = 0; j->opt.stop && i < j->opt.n_stop; i++) nx_free(unconst(j->opt.stop[i].p));
    nx_free(unconst(j->opt.stop));
    nx_free(unconst(j->opt.sampler.bias));
    nx_ids_free(&j->opt.prompt);
    nx_job_news_free(&j->news);
    pthread_mutex_destroy(&j->lock);
    nx_free(j);
}

void nx_job_news_free(nx_job_news *n)
{
    nx_buf_free(&n->text);
    nx_free(n->steps);
    nx_free(n->top);
    *n = (nx_job_news){0};
}

/* ---- The asker's side ---- */

/* Call kick outside the lock: it takes locks of its own. */
static void call_kick(nx_job *j)
{
    pthread_mutex_lock(&j->lock);
    void (*kick)(void *) = j->kick;
    void *ctx = j->kick_ctx;
    pthread_mutex_unlock(&j->lock);
    if (kick) kick(ctx);
}

void nx_job_cancel(nx_job *j)
{
    int64_t none = 0;

    if (atomic_compare_exchange_strong(&j->cancelled_ns, &none, nx_clock_ns())) call_kick(j);
}

void nx_job_get_progress(const nx_job *j, nx_job_progress *out)
{
    nx_job *me = unconst(j);

    pthread_mutex_lock(&me->lock);
    *out = me->progress;
    pthread_mutex_unlock(&me->lock);
}

void nx_job_take(nx_job *j, nx_job_news *out)
{
    nx_buf_clear(&out->text);
    out->n_steps = out->n_top = 0;
    out->text.max = TEXT_MAX;

    pthread_mutex_lock(&j->lock);
    nx_job_news given = *out;
    *out = j->news;
    given.done = out->done; /* and the reason stays */
    given.finish = out->finish;
    given.error = out->error;
    j->news = given;
    j->told = false;
    bool was_full = j->was_full;
    j->was_full = false;
    atomic_store(&j->waiting_bytes, 0);
    pthread_mutex_unlock(&j->lock);
    if (was_full) call_kick(j);
}

/* ---- The service's side ---- */

const nx_job_options *nx_job_get_options(const nx_job *j)
{
    return &j->opt;
}

int64_t nx_job_cancelled_ns(const nx_job *j)
{
    return atomic_load(&j->cancelled_ns);
}

bool nx_job_is_full(const nx_job *j)
{
    nx_job *me = unconst(j);
    bool    full = false;

    if (j->opt.whole || atomic_load(&j->waiting_bytes) <= NX_JOB_HIGH_WATER) return false;
    pthread_mutex_lock(&me->lock); /* whoever takes now must see that we wait for it */
    full = atomic_load(&j->waiting_bytes) > NX_JOB_HIGH_WATER;
    me->was_full = full;
    pthread_mutex_unlock(&me->lock);
    return full;
}

void nx_job_set_kick(nx_job *j, void (*kick)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&j->lock);
    j->kick = kick;
    j->kick_ctx = ctx;
    pthread_mutex_unlock(&j->lock);
}

void nx_job_set_state(nx_job *j, nx_job_state state)
{
    pthread_mutex_lock(&j->lock);
    j->progress.state = state;
    if (state == NX_JOB_PREFILL && j->progress.started_ns == 0)
        j->progress.started_ns = nx_clock_ns();
    pthread_mutex_unlock(&j->lock);
}

void nx_job_set_read(nx_job *j, int32_t n_read, int32_t n_cached)
{
    pthread_mutex_lock(&j->lock);
    j->progress.n_read = n_read;
    j->progress.n_cached = n_cached;
    pthread_mutex_unlock(&j->lock);
}

int64_t nx_job_count_token(nx_job *j)
{
    int64_t now = nx_clock_ns(), gap = 0;

    pthread_mutex_lock(&j->lock);
    j->progress.n_new++;
    if (j->progress.first_ns == 0)
        j->progress.first_ns = now;
    else
        gap = now - j->progress.last_ns;
    j->progress.last_ns = now;
    pthread_mutex_unlock(&j->lock);
    return gap;
}

/* Room for n more of size bytes in *p [*cap], of which n_now are used. */
static bool grow(void **p, size_t *cap, size_t n_now, size_t n, size_t size)
{
    size_t wanted = n_now + n, doubled = *cap * 2;

    if (wanted <= *cap) return true;
    if (wanted < doubled) wanted = doubled;
    void *grown = nx_realloc(*p, wanted, size);
    if (!grown) return false;
    *p = grown;
    *cap = wanted;
    return true;
}

static nx_status put_steps(nx_job_news *n, const nx_job_step *steps, size_t n_steps,
                           const nx_logprob *top, nx_error *err)
{
    size_t n_top = 0;

    for (size_t i = 0; i < n_steps; i++) n_top += (size_t)steps[i].n_top;
    if (!grow((void **)&n->steps, &n->steps_cap, n->n_steps, n_steps, sizeof *steps) ||
        !grow((void **)&n->top, &n->top_cap, n->n_top, n_top, sizeof *top))
        return nx_fail(err, NX_ENOMEM, "log-probabilities");
    if (n_steps) memcpy(n->steps + n->n_steps, steps, n_steps * sizeof *steps);
    if (n_top) memcpy(n->top + n->n_top, top, n_top * sizeof *top);
    n->n_steps += n_steps;
    n->n_top += n_top;
    return NX_OK;
}

nx_status nx_job_put(nx_job *j, const char *text, size_t len, const nx_job_step *steps,
                     size_t n_steps, const nx_logprob *top, nx_error *err)
{
    pthread_mutex_lock(&j->lock);
    nx_status st = put_steps(&j->news, steps, n_steps, top, err);
    if (!st && len) st = nx_buf_add(&j->news.text, text, len, err);
    atomic_store(&j->waiting_bytes,
                 j->news.text.len + j->news.n_steps * sizeof *steps + j->news.n_top * sizeof *top);
    pthread_mutex_unlock(&j->lock);
    return st;
}

void nx_job_finish(nx_job *j, nx_finish finish, const nx_error *error)
{
    pthread_mutex_lock(&j->lock);
    j->kick = NULL;
    j->progress.state = NX_JOB_DONE;
    j->progress.done_ns = nx_clock_ns();
    j->news.done = true;
    j->news.finish = finish;
    j->news.error = error ? *error : (nx_error){0};
    pthread_mutex_unlock(&j->lock);
    if (j->opt.ended) j->opt.ended(j->opt.ctx);
}

void nx_job_notify(nx_job *j)
{
    if (j->opt.whole || !j->opt.wake) return;
    pthread_mutex_lock(&j->lock);
    bool tell = !j->told && !j->news.done && (j->news.text.len > 0 || j->news.n_steps > 0);
    if (tell) j->told = true;
    pthread_mutex_unlock(&j->lock);
    if (tell) j->opt.wake(j->opt.ctx);
}
