/* Protects: each item is worked on once, in the same ranges every time, whatever the timing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "base/alloc.h"
#include "os/pool.h"

#define N_MAX 1000

typedef struct job {
    int by[N_MAX]; /* thread + 1 that worked on the item */
    int visits[N_MAX];
    int ranges[NX_POOL_THREADS_MAX];
} job;

static void note(void *ctx, int thread, int64_t begin, int64_t end)
{
    job *j = ctx;

    j->ranges[thread]++;
    for (int64_t i = begin; i < end; i++) {
        j->visits[i]++;
        j->by[i] = thread + 1;
    }
}

static void check_job(nx_pool *p, job *j, int64_t n, int64_t grain)
{
    memset(j->visits, 0, sizeof j->visits);
    memset(j->ranges, 0, sizeof j->ranges);
    nx_pool_run(p, n, grain, note, j);
    for (int64_t i = 0; i < n; i++) assert_int_equal(j->visits[i], 1);
    for (int64_t i = n < 0 ? 0 : n; i < N_MAX; i++) assert_int_equal(j->visits[i], 0);
    for (int t = 0; t < NX_POOL_THREADS_MAX; t++) assert_true(j->ranges[t] <= 1);
    /* Cuts lie at multiples of grain, and threads follow in order. */
    for (int64_t i = 1; i < n; i++) {
        assert_true(j->by[i] >= j->by[i - 1]);
        if (i % grain) assert_int_equal(j->by[i], j->by[i - 1]);
    }
}

static void covers_once(void **state)
{
    static const int     threads[] = {1, 2, 4, 64};
    static const int64_t counts[] = {0, -5, 1, 2, 3, 63, 64, 65, 127, 500, N_MAX};
    static const int64_t grains[] = {1, 2, 7, 64, N_MAX, INT64_MAX};
    static job           j;

    (void)state;
    for (size_t t = 0; t < 4; t++) {
        nx_pool *p;
        assert_int_equal(nx_pool_create(&p, threads[t], NULL), NX_OK);
        assert_int_equal(nx_pool_threads(p), threads[t]);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++)
                check_job(p, &j, counts[c], grains[g]);
        nx_pool_destroy(p);
    }
}

static void same_split_every_time(void **state)
{
    static job first, again;
    nx_pool   *p;

    (void)state;
    assert_int_equal(nx_pool_create(&p, 4, NULL), NX_OK);
    nx_pool_run(p, 777, 3, note, &first);
    for (int i = 0; i < 200; i++) {
        memset(&again, 0, sizeof again);
        nx_pool_run(p, 777, 3, note, &again);
        assert_memory_equal(again.by, first.by, sizeof first.by);
    }
    nx_pool_destroy(p);
}

typedef struct sum {
    int64_t values[64]; /* plain, written by one thread each: the join must publish them */
} sum;

static void add(void *ctx, int thread, int64_t begin, int64_t end)
{
    sum *s = ctx;

    for (int64_t i = begin; i < end; i++) s->values[thread] += i;
}

/* Back to back, as a decode step does it, and with pauses, so that workers fall asleep between. */
static void check_many(int n_threads, int jobs, long pause_ns)
{
    sum      s = {{0}};
    nx_pool *p;
    int64_t  total = 0;

    assert_int_equal(nx_pool_create(&p, n_threads, NULL), NX_OK);
    for (int i = 0; i < jobs; i++) {
        nx_pool_run(p, 100, 1, add, &s);
        if (pause_ns) nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
    }
    for (int t = 0; t < 64; t++) total += s.values[t];
    assert_int_equal(total, (int64_t)jobs * 4950);
    nx_pool_destroy(p);
}

static void many_jobs(void **state)
{
    (void)state;
    check_many(1, 20000, 0);
    check_many(2, 20000, 0);
    check_many(4, 2000, 0);
    check_many(64, 50, 0);
}

static void sleepy_jobs(void **state)
{
    (void)state;
    check_many(2, 300, 200000); /* longer than workers spin */
    check_many(2, 300, 50000);  /* about as long: they are falling asleep just then */
    check_many(4, 100, 60000);
}

static void creation(void **state)
{
    nx_pool *p = NULL;
    nx_error err;

    (void)state;
    assert_int_equal(nx_pool_create(&p, 0, &err), NX_EINVAL);
    assert_int_equal(nx_pool_create(&p, NX_POOL_THREADS_MAX + 1, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "1 to"));
    for (int n = 0; n < 2; n++) {
        nx_alloc_fail_after(n);
        assert_int_equal(nx_pool_create(&p, 2, &err), NX_ENOMEM);
        nx_alloc_fail_after(-1);
    }
    assert_null(p);
    nx_pool_destroy(NULL);
    for (int i = 0; i < 50; i++) { /* stopped before, while and after its workers wake */
        assert_int_equal(nx_pool_create(&p, 3, NULL), NX_OK);
        nx_pool_destroy(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_once), cmocka_unit_test(same_split_every_time),
        cmocka_unit_test(many_jobs),   cmocka_unit_test(sleepy_jobs),
        cmocka_unit_test(creation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
