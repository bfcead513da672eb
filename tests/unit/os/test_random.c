/* Protects: a random seed is a number that a person can type and JSON can carry, and a new one
 * each time; bytes for secrets come all, and new. */
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

/* Every byte is written, also beyond what one call of the system gives. */
static void bytes(void **state)
{
    unsigned char a[1000], b[1000], ever[1000] = {0};

    (void)state;
    for (int round = 0; round < 30; round++) {
        assert_int_equal(nx_random_bytes(a, sizeof a, NULL), NX_OK);
        for (size_t i = 0; i < sizeof a; i++) ever[i] |= a[i];
    }
    for (size_t i = 0; i < sizeof a; i++) assert_true(ever[i]);
    assert_int_equal(nx_random_bytes(b, sizeof b, NULL), NX_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(nx_random_bytes(b, 0, NULL), NX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds),
        cmocka_unit_test(bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
