/* The batch engine: many answers at once are, to the letter, the answers one by one, whatever is shared,
 * put back, cancelled or paused on the way; and in the end every page is back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/alloc.h"
#include "engine/batch.h"
#include "engine/generate.h"
#include "lib/backends.h"
#include "os/clock.h"

#define MODEL NX_SOURCE_DIR "/models/nexus-mini.gguf"
#define N_MAX 64

/* The thread sanitizer makes a step thirty times as long, and needs no long answers to see a race. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define SHORTER 5
#endif
#endif
#ifndef SHORTER
#define SHORTER 1
#endif

static nx_llm *open_llm(void)
{
    nx_backend *be;
    nx_llm     *llm = NULL;
    nx_error    err;

    if (nx_backends_create(&be, 2, false, &err) || nx_llm_open(&llm, MODEL, be, &err))
        fail_msg("%s", err.text);
    return llm;
}

/* ---- One asker ---- */

typedef struct asker {
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    bool            told;
    nx_job         *job;
    nx_buf          text;
    nx_job_news     news;
    size_t          n_steps, step_bytes;
} asker;

static void on_wake(void *ctx)
{
    asker *a = ctx;

    pthread_mutex_lock(&a->lock);
    a->told = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
}

static nx_ids encode(const nx_llm *llm, const char *text)
{
    nx_ids ids = {0};

    assert_int_equal(
        nx_vocab_encode(llm->vocab, &ids, text, strlen(text), NX_ENCODE_ADD_SPECIAL, NULL), NX_OK);
    return ids;
}

static nx_job_options options(const nx_llm *llm, const char *prompt, int32_t n)
{
    nx_job_options o = {
        .n_predict = n, .n_logprobs = -1, .ignore_end = true, .priority = NX_PRIORITY_NORMAL};

    nx_sampler_options_default(&o.sampler);
    o.sampler.temperature = 0;
    o.prompt = encode(llm, prompt);
    return o;
}

static void ask(asker *a, nx_service *s, nx_job_options o)
{
    nx_error err;

    *a = (asker){.text.max = 1 << 24};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wake, NULL);
    o.wake = o.ended = on_wake;
    o.ctx = a;
    assert_int_equal(nx_job_create(&a->job, &o, NULL), NX_OK);
    if (s->ops->submit(s, a->job, &err)) fail_msg("%s", err.text);
}

static void take(asker *a)
{
    nx_job_take(a->job, &a->news);
    if (a->news.text.len)
        assert_int_equal(nx_buf_add(&a->text, a->news.text.data, a->news.text.len, NULL), NX_OK);
    a->n_steps += a->news.n_steps;
    for (size_t i = 0; i < a->news.n_steps; i++) a->step_bytes += (size_t)a->news.steps[i].n_bytes;
}

static void wait_until_done(asker *a)
{
    while (!a->news.done) {
        pthread_mutex_lock(&a->lock);
        while (!a->told) pthread_cond_wait(&a->wake, &a->lock);
        a->told = false;
        pthread_mutex_unlock(&a->lock);
        take(a);
    }
}

static void forget(asker *a)
{
    nx_job_release(a->job);
    nx_job_news_free(&a->news);
    nx_buf_free(&a->text);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->lock);
}

static nx_service_stats stats(nx_service *s)
{
    nx_service_stats out;

    s->ops->stats(s, &out);
    return out;
}

/* The engine publishes its counts after it has told the last asker. */
static void assert_all_back(nx_service *s)
{
    for (int i = 0; i < 1000 && (stats(s).n_running || stats(s).n_pages_running); i++) {
        struct timespec ms = {.tv_nsec = 1000000};
        nanosleep(&ms, NULL);
    }
    assert_int_equal(stats(s).n_running, 0);
    assert_int_equal(stats(s).n_waiting, 0);
    assert_int_equal(stats(s).n_pages_running, 0);
}

static nx_service *start(const nx_llm *llm, nx_batch_options *o)
{
    nx_service *s;
    nx_error    err;

    if (nx_batch_create(&s, llm, o, &err)) fail_msg("%s", err.text);
    return s;
}

/* ---- The same alone ---- */

static int collect(void *ctx, const char *text, size_t len)
{
    return nx_buf_add(ctx, text, len, NULL);
}

static void alone(nx_buf *out, const nx_llm *llm, const nx_job_options *o, int32_t n_ctx)
{
    nx_timeline_options to = {.n_ctx = n_ctx, .kv_dtype = NX_DTYPE_F16};
    nx_timeline        *tl;
    nx_sampler         *sampler;

    *out = (nx_buf){.max = 1 << 24};
    assert_int_equal(nx_timeline_create(&tl, llm, &to, NULL), NX_OK);
    assert_int_equal(nx_sampler_create(&sampler, &o->sampler, llm->model->hp.n_vocab, NULL), NX_OK);
    nx_generation g = {.n_predict = o->n_predict,
                       .sampler = sampler,
                       .stop = o->stop,
                       .n_stop = o->n_stop,
                       .ignore_end = o->ignore_end,
                       .on_text = collect,
                       .ctx = out};
    assert_int_equal(nx_generate_run(&g, tl, o->prompt.ids, o->prompt.n, NULL), NX_OK);
    nx_sampler_destroy(sampler);
    nx_timeline_destroy(tl);
}

static void prompt_text(char *out, size_t cap, int i, int n_words)
{
    static const char *const words[] = {"the",   "package", "provides", "a",    "library",
                                        "which", "reads",   "files",    "from", "network"};
    size_t                   len = (size_t)snprintf(out, cap, "Question %d:", i);

    for (int k = 0; k < n_words && len + 16 < cap; k++)
        len += (size_t)snprintf(out + len, cap - len, " %s", words[(i * 7 + k * 3 + k / 5) % 10]);
}

/* n prompts of different lengths at once, each compared with itself alone. */
static void compare_all(const nx_llm *llm, nx_batch_options *bo, int n, int n_new, bool sampled)
{
    static asker   a[N_MAX];
    nx_buf         expected[N_MAX];
    nx_job_options o[N_MAX];
    char           text[1024];

    for (int i = 0; i < n; i++) {
        prompt_text(text, sizeof text, i, 3 + i * 5 % 60);
        o[i] = options(llm, text, n_new + i % 7);
        if (sampled) {
            o[i].sampler.temperature = 0.9f;
            o[i].sampler.repeat_penalty = 1.1f;
            o[i].sampler.seed = (uint64_t)i + 1;
        }
        alone(&expected[i], llm, &o[i], bo->n_ctx);
    }
    nx_service *s = start(llm, bo);
    for (int i = 0; i < n; i++) ask(&a[i], s, o[i]);
    for (int i = 0; i < n; i++) {
        wait_until_done(&a[i]);
        assert_int_equal(a[i].news.error.status, NX_OK);
        assert_int_equal(a[i].news.finish, NX_FINISH_LENGTH);
        assert_int_equal(a[i].text.len, expected[i].len);
        assert_memory_equal(a[i].text.data, expected[i].data, expected[i].len);
        forget(&a[i]);
        nx_buf_free(&expected[i]);
    }
    assert_all_back(s);
    nx_service_stats st = stats(s);
    print_message("%d answers in %d steps, %d put back, guesses %d of %d right\n", n,
                  (int)st.n_steps, (int)st.n_preempted, (int)st.n_accepted, (int)st.n_drafted);
    if (bo->n_pos_all && bo->n_pos_all < 2048) assert_true(st.n_preempted > 0);
    s->ops->destroy(s);
}

static nx_batch_options small(void)
{
    nx_batch_options o;

    nx_batch_options_default(&o);
    o.n_slots = 32;
    o.n_ctx = 512;
    return o;
}

static void test_together_is_as_alone(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    (void)state;

    compare_all(llm, &o, 32, 40 / SHORTER, false);
    compare_all(llm, &o, 32, 40 / SHORTER, true);
    o.n_slots = 3; /* most wait */
    compare_all(llm, &o, 16, 20 / SHORTER, false);
    o = small();
    o.n_slice = 4;
    o.n_draft = 0;
    compare_all(llm, &o, 32, 40 / SHORTER, false);
    nx_llm_close(llm);
}

/* Pages for a few of them only: answers are put back and computed again, and nobody can tell. */
static void test_scarce_pages(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    (void)state;

    o.n_pos_all = 512; /* those of one context */
    compare_all(llm, &o, SHORTER > 1 ? 10 : 24, 60, false);
    compare_all(llm, &o, SHORTER > 1 ? 10 : 24, 60, true);
    nx_llm_close(llm);
}

static void test_a_prefix_is_computed_once(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    static asker     a[20];
    char             prefix[2048], text[2200];
    (void)state;

    prompt_text(prefix, sizeof prefix, 3, 250);
    nx_service *s = start(llm, &o);
    int32_t     n_prompt = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "%s And number %d?", prefix, i);
        nx_job_options jo = options(llm, text, 4);
        n_prompt = (int32_t)jo.prompt.n;
        ask(&a[i], s, jo);
    }
    int n_cached = 0;
    for (int i = 0; i < 20; i++) {
        nx_job_progress p;
        wait_until_done(&a[i]);
        nx_job_get_progress(a[i].job, &p);
        n_cached += p.n_cached > n_prompt - 48;
        forget(&a[i]);
    }
    assert_int_equal(n_cached, 19);
    assert_true(stats(s).n_prompt < (uint64_t)n_prompt + 19 * 48);
    assert_true(stats(s).n_prefix_hit > 19 * (uint64_t)(n_prompt - 48));
    assert_all_back(s);
    s->ops->destroy(s);
    nx_llm_close(llm);
}

/* A text with its own repetition: guesses are right, and change nothing. */
static void test_guesses_change_nothing(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    (void)state;

    o.n_slots = 1;
    compare_all(llm, &o, 6, 120 / SHORTER, false);
    compare_all(llm, &o, 6, 120 / SHORTER, true);
    nx_llm_close(llm);
}

static void test_cancelled_ones_give_back(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    static asker     a[40];
    (void)state;

    nx_service *s = start(llm, &o);
    for (int round = 0; round < 5 / SHORTER; round++) {
        for (int i = 0; i < 40; i++) ask(&a[i], s, options(llm, "Once upon a time", 400));
        for (int i = 0; i < 40; i++) {
            if (i % 3 == 0) {
                struct timespec us = {.tv_nsec = 200000};
                nanosleep(&us, NULL);
            }
            nx_job_cancel(a[i].job);
        }
        for (int i = 0; i < 40; i++) {
            wait_until_done(&a[i]);
            assert_true(a[i].news.finish == NX_FINISH_CANCELLED ||
                        a[i].news.finish == NX_FINISH_LENGTH);
            forget(&a[i]);
        }
        assert_all_back(s);
    }
    s->ops->destroy(s);
    nx_llm_close(llm);
}

static void test_refusals(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    nx_error         err;
    nx_job          *job;
    static asker     a[4];
    (void)state;

    o.n_ctx = 64;
    o.n_slots = 1;
    o.n_queue = 2;
    nx_service *s = start(llm, &o);
    char        text[1024];
    prompt_text(text, sizeof text, 1, 120);
    nx_job_options jo = options(llm, text, 4);
    size_t         n = jo.prompt.n;
    assert_int_equal(nx_job_create(&job, &jo, NULL), NX_OK);
    assert_int_equal(s->ops->submit(s, job, &err), NX_ELIMIT);
    char numbers[32];
    snprintf(numbers, sizeof numbers, "%zu tokens", n);
    assert_non_null(strstr(err.text, numbers));
    assert_non_null(strstr(err.text, "64"));
    nx_job_release(job);

    /* A full queue: of very many at once some must be refused, and the others answered. */
    int n_refused = 0, n_taken = 0;
    for (int i = 0; i < 200 && (n_refused == 0 || n_taken < 4); i++) {
        jo = options(llm, "Once", 50);
        jo.wake = NULL;
        assert_int_equal(nx_job_create(&job, &jo, NULL), NX_OK);
        nx_status st = s->ops->submit(s, job, &err);
        if (st) assert_int_equal(st, NX_EBUSY);
        n_refused += st == NX_EBUSY;
        n_taken += st == NX_OK;
        nx_job_release(job);
    }
    assert_true(n_refused > 0);
    (void)a;
    s->ops->destroy(s); /* while they run */
    nx_llm_close(llm);
}

static void test_stop_texts_and_logprobs(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    nx_buf           plain, cut;
    asker            a;
    (void)state;

    nx_job_options jo = options(llm, "The package provides", 60);
    alone(&plain, llm, &jo, 512);
    assert_true(plain.len > 40);
    nx_str stop = {plain.data + 25, 5};
    jo.stop = &stop;
    jo.n_stop = 1;
    jo.n_logprobs = 3;
    alone(&cut, llm, &jo, 512);
    nx_service *s = start(llm, &o);
    ask(&a, s, jo);
    wait_until_done(&a);
    assert_int_equal(a.news.finish, NX_FINISH_STOP);
    assert_int_equal(a.text.len, cut.len);
    assert_memory_equal(a.text.data, cut.data, cut.len);
    assert_true(a.text.len <= 25);
    assert_int_equal(a.step_bytes, a.text.len); /* the bytes of the steps are the text */
    assert_true(a.n_steps > 0);
    forget(&a);
    nx_buf_free(&plain);
    nx_buf_free(&cut);
    s->ops->destroy(s);
    nx_llm_close(llm);
}

/* Nobody takes: the job pauses, another one runs on; taking wakes it. */
static void test_an_asker_who_does_not_take(void **state)
{
    nx_llm          *llm = open_llm();
    nx_batch_options o = small();
    asker            slow, other;
    (void)state;

    o.n_ctx = llm->model->hp.n_ctx < 1024 ? llm->model->hp.n_ctx : 1024;
    nx_service    *s = start(llm, &o);
    nx_job_options jo = options(llm, "Once upon a time", o.n_ctx - 32);
    jo.n_logprobs = 20;
    ask(&slow, s, jo);
    nx_job_progress p = {0};
    /* However long the machine takes: it pauses, or it comes to its end, which is the fault. */
    while (p.state != NX_JOB_PAUSED && p.state != NX_JOB_DONE) {
        struct timespec ms = {.tv_nsec = 1000000};
        nanosleep(&ms, NULL);
        nx_job_get_progress(slow.job, &p);
    }
    assert_int_equal(p.state, NX_JOB_PAUSED);
    ask(&other, s, options(llm, "Another", 30));
    wait_until_done(&other);
    forget(&other);
    wait_until_done(&slow);
    assert_int_equal(slow.news.finish, NX_FINISH_LENGTH);
    assert_int_equal(slow.n_steps, (size_t)(o.n_ctx - 32));
    assert_int_equal(slow.step_bytes, slow.text.len);
    forget(&slow);
    assert_all_back(s);
    s->ops->destroy(s);
    nx_llm_close(llm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together_is_as_alone),
        cmocka_unit_test(test_scarce_pages),
        cmocka_unit_test(test_a_prefix_is_computed_once),
        cmocka_unit_test(test_guesses_change_nothing),
        cmocka_unit_test(test_cancelled_ones_give_back),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_stop_texts_and_logprobs),
        cmocka_unit_test(test_an_asker_who_does_not_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
