/* Protects: the figures of process_* are those of this process, and move when it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/process.h"

static void plausible(void **state)
{
    nx_process   p;
    const double now = (double)nx_clock_unix_ms() / 1000;

    (void)state;
    nx_process_read(&p);
    assert_true(p.resident_bytes > 100 << 10);
    assert_true(p.virtual_bytes >= p.resident_bytes);
    assert_true(p.n_threads >= 1);
    assert_true(p.n_fds >= 3);
    assert_true(p.n_fds_max == -1 || p.n_fds_max >= p.n_fds);
    assert_true(p.cpu_s > 0);
    assert_true(p.start_unix_s <= now + 1 && p.start_unix_s > now - 3600);
}

static void counts_descriptors(void **state)
{
    nx_process before, during, after;
    int        fds[20];

    (void)state;
    nx_process_read(&before);
    for (int i = 0; i < 20; i++) fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    nx_process_read(&during);
    for (int i = 0; i < 20; i++) close(fds[i]);
    nx_process_read(&after);
    assert_int_equal(during.n_fds, before.n_fds + 20);
    assert_int_equal(after.n_fds, before.n_fds);
}

static void counts_memory(void **state)
{
    const size_t bytes = (size_t)32 << 20;
    nx_process   before, during;

    (void)state;
    nx_process_read(&before);
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    memset(p, 1, bytes);
    nx_process_read(&during);
    munmap(p, bytes);
    assert_true(during.virtual_bytes - before.virtual_bytes >= (int64_t)bytes);
    assert_true(during.resident_bytes - before.resident_bytes >= (int64_t)bytes * 9 / 10);
}

static void *wait_for(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

static void counts_threads(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t       threads[5];
    nx_process      before, during;

    (void)state;
    pthread_mutex_lock(&lock);
    nx_process_read(&before);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for, &lock), 0);
    nx_process_read(&during);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
    /* A sanitizer starts a thread of its own with our first. */
    assert_true(during.n_threads >= before.n_threads + 5 &&
                during.n_threads <= before.n_threads + 6);
}

static void start_stays_and_time_grows(void **state)
{
    nx_process        first, later;
    volatile uint64_t x = 1;

    (void)state;
    nx_process_read(&first);
    for (int i = 0; i < 5000000; i++) x = x * 3 + 1;
    nx_process_read(&later);
    assert_true(later.cpu_s > first.cpu_s);
    assert_true(later.start_unix_s == first.start_unix_s);
}

/* The name stands in /proc/self/stat before the numbers, unquoted. */
static void survives_its_own_name(void **state)
{
    char       before[16] = "";
    nx_process plain, odd;

    (void)state;
    prctl(PR_GET_NAME, before);
    nx_process_read(&plain);
    prctl(PR_SET_NAME, ") R 1 (2 3) 4");
    nx_process_read(&odd);
    prctl(PR_SET_NAME, before);
    assert_int_equal(odd.n_threads, plain.n_threads);
    assert_true(odd.resident_bytes >= plain.resident_bytes / 2);
}

/* A soft limit grows to the hard one, and never shrinks. */
static void allows_descriptors(void **state)
{
    struct rlimit before, after;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    if (before.rlim_max < 300) skip();
    struct rlimit low = {256, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int64_t n = nx_process_allow_descriptors();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(n, after.rlim_cur);
    assert_true(after.rlim_cur == before.rlim_max || after.rlim_cur == 1048576);
    assert_int_equal(after.rlim_max, before.rlim_max);
    assert_int_equal(nx_process_allow_descriptors(), n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plausible),
        cmocka_unit_test(counts_descriptors),
        cmocka_unit_test(counts_memory),
        cmocka_unit_test(counts_threads),
        cmocka_unit_test(start_stays_and_time_grows),
        cmocka_unit_test(survives_its_own_name),
        cmocka_unit_test(allows_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
