/* Protects: a random seed is a number that a person can type and JSON can carry, and a new one
 * each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "os/random.h"

static void seeds(void **state)
{
    uint64_t seen = 0, previous = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t seed = nx_random_seed();
        assert_true(seed > 0 && seed < (uint64_t)1 << 53);
        assert_true(seed != previous);
        previous = seed;
        seen |= seed;
    }
    assert_true(seen == ((uint64_t)1 << 53) - 1); /* every bit was set at least once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
