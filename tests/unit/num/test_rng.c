/* Protects the generator: its authors' reference outputs, and uniform draws in [0, 1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "num/rng.h"

/* First outputs of Vigna's splitmix64.c from state 1234567. */
static void test_splitmix64(void **state)
{
    static const uint64_t want[] = {6457827717110365317u, 3203168211198807973u,
                                    9817491932198370423u, 4593380528125082431u,
                                    16408922859458223821u};
    uint64_t              s = 1234567;
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(nx_splitmix64(&s) == want[i]);
}

/* First outputs of Blackman and Vigna's xoshiro256starstar.c from state 1, 2, 3, 4. */
static void test_xoshiro(void **state)
{
    static const uint64_t want[] = {11520u,
                                    0u,
                                    1509978240u,
                                    1215971899390074240u,
                                    1216172134540287360u,
                                    607988272756665600u,
                                    16172922978634559625u,
                                    8476171486693032832u,
                                    10595114339597558777u,
                                    2904607092377533576u};
    nx_rng                rng = {{1, 2, 3, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(nx_rng_next_u64(&rng) == want[i]);
}

static void test_seed(void **state)
{
    nx_rng   a, b;
    uint64_t s = 1234567;
    (void)state;

    nx_rng_seed(&a, 1234567);
    for (int i = 0; i < 4; i++) assert_true(a.s[i] == nx_splitmix64(&s));
    nx_rng_seed(&b, 0); /* a state of zeros would stand still; seed 0 must not give it */
    assert_true((b.s[0] | b.s[1] | b.s[2] | b.s[3]) != 0);
}

static void test_uniform(void **state)
{
    nx_rng rng;
    int    n = 1000000, tenths[10] = {0};
    double sum = 0;
    (void)state;

    nx_rng_seed(&rng, 42);
    for (int i = 0; i < n; i++) {
        double u = nx_rng_uniform(&rng);
        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
        tenths[(int)(u * 10)]++;
    }
    assert_true(sum / n > 0.499 && sum / n < 0.501); /* three standard errors are 0.0009 */
    for (int i = 0; i < 10; i++) assert_in_range(tenths[i], 98800, 101200); /* four are 1200 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splitmix64),
        cmocka_unit_test(test_xoshiro),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
