/* Protects the contract of num/expf.h: below 2 ulp of a double-precision exp, and the ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "num/expf.h"

/* Units in the last place of f32 at the exact value e. */
static double ulps(float got, double e)
{
    int exponent;
    frexp(e, &exponent);
    return fabs((double)got - e) / ldexp(1.0, exponent - 24);
}

static double worst_over(float from, float to, uint32_t step)
{
    double worst = 0;
    /* Patterns of one sign ascend with their magnitude. */
    for (uint32_t u = nx_f32_bits(from); u <= nx_f32_bits(to); u += step) {
        float  x = nx_f32_from_bits(u);
        double e = ulps(nx_expf(x), exp((double)x));
        if (e > worst) worst = e;
    }
    return worst;
}

static void test_error(void **state)
{
    (void)state;
    double up = worst_over(0.0f, NX_EXP_HI, 1009), down = worst_over(-0.0f, NX_EXP_LO, 1009);
    double near = worst_over(-1.0f, NX_EXP_LO, 31); /* where softmax and silu live */

    print_message("worst error: %.3f ulp above 0, %.3f below, %.3f in [%g, -1]\n", up, down, near,
                  (double)NX_EXP_LO);
    assert_true(up < 2.0 && down < 2.0 && near < 2.0);
}

static void test_specials(void **state)
{
    (void)state;
    assert_true(nx_expf(0.0f) == 1.0f);
    assert_true(nx_expf(-0.0f) == 1.0f);
    assert_true(nx_expf(INFINITY) == INFINITY);
    assert_true(nx_expf(-INFINITY) == 0.0f);
    assert_true(isnan(nx_expf(NAN)));
    assert_true(nx_expf(nextafterf(NX_EXP_HI, INFINITY)) == INFINITY);
    assert_true(nx_expf(nextafterf(NX_EXP_LO, -INFINITY)) == 0.0f);
    assert_true(nx_expf(NX_EXP_LO) >= 0x1p-126f); /* the smallest normal number */
    assert_true(isfinite(nx_expf(NX_EXP_HI)));
    assert_true(nx_expf(nx_f32_from_bits(1)) == 1.0f);
}

/* A softmax relies on it: larger x never gives a smaller result by more than rounding. */
static void test_no_jumps(void **state)
{
    (void)state;
    float before = nx_expf(NX_EXP_LO);
    for (float x = NX_EXP_LO; x < NX_EXP_HI; x += 0.0005f) {
        float now = nx_expf(x);
        assert_true(now >= before * (1.0f - 0x1p-22f));
        before = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_no_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
