/* bench_batch.c - times the batch engine alone: what a server can at best hand out.
 *
 * Idea: jobs that nobody takes from until they end (nx_job_options.whole) cost the engine nothing but
 *       the computing, so the rate here is the ceiling of the same answers over HTTP. Each run has an
 *       engine of its own: no prefix of the run before lies in its cache. Weights are touched by a
 *       short answer first, whose time isn't counted.
 */
#include "cli/bench_batch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/batch.h"
#include "num/rng.h"
#include "os/clock.h"
#include "os/file.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

/* Numbers in the order in which they came; written by the engine's thread, read when all jobs ended. */
typedef struct series {
    double *v; /* [n] */
    size_t  n, cap;
} series;

typedef struct run {
    const nx_llm              *llm;
    const nx_bench_batch_opts *o;
    nx_batch_options           engine;
    nx_str                    *lines; /* [n_lines] of the file of prompts */
    size_t                     n_lines;
    nx_buf                     file;
    nx_job                   **jobs; /* [n_parallel] */
    series                     steps, gaps, firsts;
    pthread_mutex_t            lock; /* guards what follows */
    pthread_cond_t             changed;
    int32_t                    n_left;
    bool                       counts; /* the warm-up, of random tokens, is over */
} run;

/* ---- Series ---- */

static nx_status series_open(series *s, size_t cap, nx_error *err)
{
    s->cap = cap;
    s->v = nx_alloc(cap ? cap : 1, sizeof *s->v);
    return s->v ? NX_OK : nx_fail(err, NX_ENOMEM, "times of %zu tokens", cap);
}

static void series_add(series *s, double v)
{
    if (s->n < s->cap) s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static nx_bench_times summarise(series *s)
{
    if (s->n == 0) return (nx_bench_times){0};
    qsort(s->v, s->n, sizeof *s->v, by_value);
    return (nx_bench_times){.p50 = s->v[(s->n - 1) / 2],
                            .p99 = s->v[(size_t)((double)(s->n - 1) * 0.99)],
                            .max = s->v[s->n - 1]};
}

/* ---- Prompts ---- */

static nx_status read_lines(run *r, nx_error *err)
{
    r->file.max = FILE_BYTES_MAX;
    nx_status st = nx_file_read_all(&r->file, r->o->prompts, err);
    if (st) return st;
    for (size_t i = 0; i < r->file.len; i++) r->n_lines += r->file.data[i] == '\n';
    r->lines = nx_calloc(r->n_lines + 1, sizeof *r->lines);
    if (!r->lines) return nx_fail(err, NX_ENOMEM, "%zu prompts", r->n_lines);
    r->n_lines = 0;
    for (size_t at = 0; at < r->file.len;) {
        const char *nl = memchr(r->file.data + at, '\n', r->file.len - at);
        size_t      end = nl ? (size_t)(nl - r->file.data) : r->file.len;
        if (end > at) r->lines[r->n_lines++] = (nx_str){r->file.data + at, end - at};
        at = end + 1;
    }
    if (r->n_lines == 0) return nx_fail(err, NX_EINVAL, "%s: no line of text", r->o->prompts);
    if (!r->llm->vocab)
        return nx_fail(err, NX_EUNSUPPORTED, "%s: the model has no vocabulary", r->o->prompts);
    return NX_OK;
}

static nx_status make_prompt(nx_ids *out, const run *r, int32_t i, int32_t n, nx_rng *rng,
                             nx_error *err)
{
    if (r->n_lines && r->counts) {
        nx_str line = r->lines[(size_t)i % r->n_lines];
        return nx_vocab_encode(r->llm->vocab, out, line.p, line.len, NX_ENCODE_ADD_SPECIAL, err);
    }
    nx_status st = nx_ids_reserve(out, (size_t)n, err);
    for (; !st && out->n < (size_t)n; out->n++)
        out->ids[out->n] = (int32_t)(nx_rng_uniform(rng) * r->llm->model->hp.n_vocab);
    return st;
}

/* ---- What the engine calls ---- */

static void on_observed(void *ctx, nx_observed what, double seconds)
{
    run *r = ctx;

    if (!r->counts) return;
    if (what == NX_OBSERVED_STEP) series_add(&r->steps, seconds);
    if (what == NX_OBSERVED_INTER_TOKEN) series_add(&r->gaps, seconds);
}

static void on_ended(void *ctx)
{
    run *r = ctx;

    pthread_mutex_lock(&r->lock);
    r->n_left--;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* ---- One run ---- */

static nx_status make_jobs(run *r, int32_t n_jobs, int32_t n_prompt, int32_t n_new, uint64_t seed,
                           nx_error *err)
{
    nx_rng    rng;
    nx_status st = NX_OK;

    nx_rng_seed(&rng, seed);
    for (int32_t i = 0; i < n_jobs && !st; i++) {
        nx_job_options jo = {.n_predict = n_new,
                             .n_logprobs = -1,
                             .ignore_end = true,
                             .whole = true,
                             .priority = NX_PRIORITY_NORMAL,
                             .ended = on_ended,
                             .ctx = r};
        nx_sampler_options_default(&jo.sampler);
        jo.sampler.temperature = 0;
        st = make_prompt(&jo.prompt, r, i, n_prompt, &rng, err);
        if (st)
            nx_ids_free(&jo.prompt);
        else
            st = nx_job_create(&r->jobs[i], &jo, err);
    }
    return st;
}

static void drop_jobs(run *r)
{
    for (int32_t i = 0; i < r->o->n_parallel; i++) {
        nx_job_release(r->jobs[i]);
        r->jobs[i] = NULL;
    }
}

/* Wait until the n jobs that were submitted have ended; Ctrl-C cancels them. */
static void wait_for_jobs(run *r, int32_t n)
{
    struct timespec until;

    pthread_mutex_lock(&r->lock);
    while (r->n_left > 0) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&r->changed, &r->lock, &until);
        if (!nx_cli_cancel) continue;
        pthread_mutex_unlock(&r->lock);
        for (int32_t i = 0; i < n; i++) nx_job_cancel(r->jobs[i]);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

static nx_status answer(run *r, nx_service *s, int32_t n_jobs, nx_error *err)
{
    nx_status st = NX_OK;
    int32_t   n = 0;

    r->n_left = n_jobs;
    for (; n < n_jobs && !st; n += !st) st = s->ops->submit(s, r->jobs[n], err);
    if (st) {
        pthread_mutex_lock(&r->lock);
        r->n_left -= n_jobs - n;
        pthread_mutex_unlock(&r->lock);
        for (int32_t i = 0; i < n; i++) nx_job_cancel(r->jobs[i]);
    }
    wait_for_jobs(r, n);
    return !st && nx_cli_cancel ? nx_fail(err, NX_ECANCELLED, "stopped") : st;
}

/* Rates, from when jobs were created, took their first token, and ended. */
static void count(run *r, nx_bench_batch_run *out, int64_t start)
{
    nx_job_progress p;
    int64_t         n_new = 0, last_first = 0, last = 0;

    for (int32_t i = 0; i < r->o->n_parallel; i++) {
        nx_job_get_progress(r->jobs[i], &p);
        series_add(&r->firsts, (double)(p.first_ns - p.created_ns) * 1e-9);
        n_new += p.n_new;
        if (p.first_ns > last_first) last_first = p.first_ns;
        if (p.done_ns > last) last = p.done_ns;
    }
    out->rate = last > start ? (double)n_new * 1e9 / (double)(last - start) : 0;
    if (r->o->n_parallel == 1 && n_new > 1 && last > last_first)
        out->decode = (double)(n_new - 1) * 1e9 / (double)(last - last_first);
}

static nx_status one_run(run *r, nx_bench_batch_run *out, uint64_t seed, nx_error *err)
{
    nx_service      *s = NULL;
    nx_service_stats before, after;
    nx_status        st = nx_batch_create(&s, r->llm, &r->engine, err);

    if (st) return st;
    r->steps.n = r->gaps.n = r->firsts.n = 0;
    r->counts = false; /* and what it leaves in the cache is nothing that a prompt begins with */
    st = make_jobs(r, 1, 8, 4, seed ^ 0x9e3779b9, err);
    if (!st) st = answer(r, s, 1, err);
    drop_jobs(r);
    r->counts = true;
    if (!st) st = make_jobs(r, r->o->n_parallel, r->o->n_prompt, r->o->n_new, seed, err);
    s->ops->stats(s, &before);
    int64_t start = nx_clock_ns();
    if (!st) st = answer(r, s, r->o->n_parallel, err);
    s->ops->stats(s, &after);
    s->ops->destroy(s); /* its thread is gone: the series are ours */
    if (!st) {
        count(r, out, start);
        out->step = summarise(&r->steps);
        out->gap = summarise(&r->gaps);
        out->first = summarise(&r->firsts);
        out->n_steps = after.n_steps - before.n_steps;
        out->n_drafted = after.n_drafted - before.n_drafted;
        out->n_accepted = after.n_accepted - before.n_accepted;
        out->n_slice = after.n_slice;
    }
    drop_jobs(r);
    return st;
}

/* ---- All runs ---- */

static nx_status longest_prompt(int32_t *out, run *r, nx_error *err)
{
    nx_status st = NX_OK;

    *out = r->o->n_prompt;
    for (int32_t i = 0; r->n_lines && i < r->o->n_parallel && !st; i++) {
        nx_ids ids = {0};
        st = make_prompt(&ids, r, i, 0, NULL, err);
        if (ids.n > (size_t)*out) *out = (int32_t)ids.n;
        nx_ids_free(&ids);
    }
    return st;
}

static nx_status prepare(run *r, const nx_model_opts *m, nx_error *err)
{
    const nx_bench_batch_opts *o = r->o;
    size_t                     n = (size_t)o->n_parallel, n_new = (size_t)o->n_new;
    int32_t                    n_prompt = 0;

    r->jobs = nx_calloc(n, sizeof *r->jobs);
    nx_status st = r->jobs ? NX_OK : nx_fail(err, NX_ENOMEM, "%zu jobs", n);
    if (!st && o->prompts) st = read_lines(r, err);
    r->counts = true;
    if (!st) st = longest_prompt(&n_prompt, r, err);
    if (!st) st = series_open(&r->gaps, n * n_new, err);
    if (!st) st = series_open(&r->firsts, n, err);
    if (!st) st = series_open(&r->steps, n * (n_new + (size_t)n_prompt), err);
    if (st) return st;
    nx_batch_options_default(&r->engine);
    r->engine.n_slots = o->n_parallel;
    r->engine.n_ctx = n_prompt + o->n_new + 1;
    if (r->engine.n_ctx < 16) r->engine.n_ctx = 16;
    r->engine.n_batch = m->batch;
    r->engine.n_queue = o->n_parallel;
    r->engine.n_slice = o->n_slice;
    r->engine.n_draft = o->n_draft;
    r->engine.kv_dtype = nx_kv_choice(m, r->llm->cp);
    /* A page of each may be half used, and one is wanted to go on with. */
    r->engine.n_pos_all = o->n_parallel * (r->engine.n_ctx + 3 * NX_PAGE_LEN);
    r->engine.watch = (nx_service_watch){r, on_observed};
    return NX_OK;
}

nx_status nx_bench_batch_time(nx_bench_batch_run *runs, const nx_llm *llm, const nx_model_opts *m,
                              const nx_bench_batch_opts *o, nx_error *err)
{
    run         r = {.llm = llm, .o = o};
    nx_progress p;

    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.changed, NULL);
    nx_status st = prepare(&r, m, err);
    nx_progress_begin(&p, "timing", "runs");
    for (int32_t i = 0; i < o->n_runs && !st; i++) {
        runs[i] = (nx_bench_batch_run){0};
        st = one_run(&r, &runs[i], o->seed + (uint64_t)i, err);
        nx_progress_at(&p, i + 1, o->n_runs);
    }
    nx_progress_end(&p);
    nx_free(r.jobs);
    nx_free(r.lines);
    nx_buf_free(&r.file);
    nx_free(r.steps.v);
    nx_free(r.gaps.v);
    nx_free(r.firsts.v);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
    return st;
}
