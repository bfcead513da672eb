/* Protects the fits: numbers that lie on a line are found with their line, the error that is
 * returned is the error that is there, and nothing traps on numbers out of all measure. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "num/blocks.h"
#include "num/quantise_fit.h"
#include "num/rng.h"

static void close_to(float a, float b, float tolerance)
{
    if (!(fabsf(a - b) <= tolerance)) fail_msg("%g, expected %g", (double)a, (double)b);
}

static void test_lines(void **state)
{
    nx_rng rng;
    float  x[32], q[32], scale, min;
    (void)state;

    nx_rng_seed(&rng, 3);
    for (int round = 0; round < 300; round++) {
        int   n = round % 2 ? 16 : 32, top = 3 + round % 3 * 14;
        float s = (float)nx_rng_uniform(&rng) + 0.1f, m = (float)nx_rng_uniform(&rng);
        for (int i = 0; i < n; i++) x[i] = s * (float)(i * 5 % (top + 1)) - m;
        x[0] = -m;
        x[1] = s * (float)top - m;
        nx_fit_affine(&scale, &min, x, n, top);
        close_to(scale, s, 1e-4f);
        close_to(min, m, 1e-4f);
        assert_true(nx_fit_affine_codes(q, x, n, top, scale, min) < 1e-6f);
        for (int i = 0; i < n; i++) close_to(scale * q[i] - min, x[i], 1e-3f);
    }
}

static void test_rays(void **state)
{
    float x[32], q[32];
    (void)state;

    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i < 16; i++) x[i] = 0.37f * (float)sign * (float)(i * 3 % 8 - 4);
        float s = nx_fit_signed(x, 16, -4, 3);
        close_to(s, 0.37f * (float)sign, 1e-5f);
        assert_true(nx_fit_signed_codes(q, x, 16, -4, 3, s) < 1e-9f);
        for (int i = 0; i < 16; i++) close_to(q[i], (float)(i * 3 % 8 - 4), 0);

        for (int i = 0; i < 32; i++) x[i] = 0.02f * (float)sign * (float)nx_iq4_levels[i * 7 % 16];
        s = nx_fit_levels(x, 32);
        close_to(s, 0.02f * (float)sign, 1e-6f);
        assert_true(nx_fit_levels_codes(q, x, 32, s) < 1e-9f);
        for (int i = 0; i < 32; i++) close_to(q[i], (float)(i * 7 % 16), 0);
    }
}

/* Every multiple of 1/64 gets the nearest level, or one of two equally near. */
static void test_levels(void **state)
{
    float x[32], q[32];
    (void)state;

    for (int v = -64 * 140; v < 64 * 140; v += 32) {
        for (int i = 0; i < 32; i++) x[i] = (float)(v + i) / 64;
        nx_fit_levels_codes(q, x, 32, 1);
        for (int i = 0; i < 32; i++) {
            float best = INFINITY, got = fabsf(x[i] - (float)nx_iq4_levels[(int)q[i]]);
            for (int l = 0; l < 16; l++) best = fminf(best, fabsf(x[i] - (float)nx_iq4_levels[l]));
            close_to(got, best, 0);
        }
    }
}

static void test_edges(void **state)
{
    static const float sizes[] = {0, 1e-45f, 1e-38f, 1e-13f, 1e19f, 3.4e38f, INFINITY, NAN};
    float              x[32], q[32], scale, min;
    (void)state;

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int i = 0; i < 32; i++) x[i] = i % 3 ? sizes[s] : -sizes[s] / 2;
        assert_int_equal(nx_fit_finite(x, 32), s < 6);
        nx_fit_affine(&scale, &min, x, 32, 15);
        nx_fit_affine_codes(q, x, 32, 15, scale, min);
        for (int i = 0; i < 32; i++) assert_true(q[i] >= 0 && q[i] <= 15);
        nx_fit_signed_codes(q, x, 16, -32, 31, nx_fit_signed(x, 16, -32, 31));
        for (int i = 0; i < 16; i++) assert_true(q[i] >= -32 && q[i] <= 31);
        nx_fit_levels_codes(q, x, 32, nx_fit_levels(x, 32));
        for (int i = 0; i < 32; i++) assert_true(q[i] >= 0 && q[i] <= 15);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_rays),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
