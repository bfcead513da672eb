/* Protects the contract of num/curves.h: how far the curves are from those of double precision, and
 * the ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "num/curves.h"

typedef float (*curve)(float);
typedef double (*truth)(double);

/* Units in the last place of f32 at the exact value e; subnormal ones count as the last normal. */
static double ulps(float got, double e)
{
    int exponent;

    frexp(e, &exponent);
    if (exponent < -125) exponent = -125;
    return fabs((double)got - e) / ldexp(1.0, exponent - 24);
}

/* The worst over every step-th number of both signs from magnitude from to to. */
static double worst_over(curve f, truth g, float from, float to, uint32_t step)
{
    double worst = 0;

    for (uint32_t u = nx_f32_bits(from); u <= nx_f32_bits(to); u += step) {
        float x = nx_f32_from_bits(u);
        worst = fmax(worst, ulps(f(x), g((double)x)));
        worst = fmax(worst, ulps(f(-x), g(-(double)x)));
    }
    return worst;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void expect_below(double got, double bound, const char *what)
{
    print_message("%s: %.3f ulp\n", what, got);
    if (!(got < bound)) fail_msg("%s: %.3f ulp, expected below %.1f", what, got, bound);
}

static void test_errors(void **state)
{
    (void)state;
    expect_below(worst_over(nx_tanhf, tanh, 0.0f, 100.0f, 997), 2.0, "tanh");
    expect_below(worst_over(nx_erff, erf, 0.0f, 100.0f, 997), 2.0, "erf");
    expect_below(worst_over(nx_sigmoidf, sigmoid, 0.0f, 80.0f, 997), 4.0, "sigmoid");
    expect_below(worst_over(nx_tanhf, tanh, 0.5f, 0.75f, 7), 2.0, "tanh about its seam");
    expect_below(worst_over(nx_erff, erf, 0.9f, 1.0f, 7), 2.0, "erf about its seam");
}

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

static double gelu_erf(double x)
{
    return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

/* Activations against their formula, absolutely: far in the tail the relative error grows with the
 * exponent, and nobody sees it. */
static void test_activations(void **state)
{
    static const struct {
        curve f;
        truth g;
    } pairs[] = {{nx_siluf, silu}, {nx_gelu_tanhf, gelu_tanh}, {nx_gelu_erff, gelu_erf}};

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        double worst = 0;
        for (float x = -30.0f; x < 30.0f; x += 0.00037f) {
            double e = pairs[i].g((double)x);
            worst = fmax(worst, fabs((double)pairs[i].f(x) - e) / fmax(1.0, fabs((double)x)));
        }
        print_message("activation %zu: %.3g\n", i, worst);
        assert_true(worst < 2e-7);
    }
}

static void test_specials(void **state)
{
    (void)state;
    assert_true(nx_tanhf(INFINITY) == 1.0f && nx_tanhf(-INFINITY) == -1.0f);
    assert_true(nx_erff(INFINITY) == 1.0f && nx_erff(-INFINITY) == -1.0f);
    assert_true(nx_sigmoidf(INFINITY) == 1.0f && nx_sigmoidf(-INFINITY) == 0.0f);
    assert_true(isnan(nx_tanhf(NAN)) && isnan(nx_erff(NAN)) && isnan(nx_sigmoidf(NAN)));
    assert_true(nx_tanhf(-0.0f) == 0.0f);
    assert_true(nx_f32_bits(nx_erff(-0.0f)) == nx_f32_bits(-0.0f));
    assert_true(nx_sigmoidf(0.0f) == 0.5f);
    assert_true(nx_tanhf(1e-30f) == 1e-30f);
    assert_true(nx_gelu_tanhf(1e30f) == 1e30f && nx_gelu_tanhf(-1e30f) == 0.0f);
    assert_true(nx_gelu_erff(1e30f) == 1e30f && nx_gelu_erff(-1e30f) == 0.0f);
    assert_true(nx_reluf(-1.0f) == 0.0f && nx_reluf(2.0f) == 2.0f && isnan(nx_reluf(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_specials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
