/* Protects: durations never run backwards, and the wall clock is the wall's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "os/clock.h"

static void monotonic(void **state)
{
    int64_t before = nx_clock_ns();

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t now = nx_clock_ns();
        assert_true(now >= before);
        before = now;
    }
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_true(nx_clock_ns() - before >= 5000000);
}

static void wall(void **state)
{
    int64_t seconds = (int64_t)time(NULL);

    (void)state;
    assert_in_range(nx_clock_unix_ms() / 1000, seconds, seconds + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic),
        cmocka_unit_test(wall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
