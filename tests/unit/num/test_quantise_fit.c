/* Protects: the AVX2 build of the fits gives the bits of the plain one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "num/half.h"
#include "num/quantise_fit.h"

static float noise(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((int64_t)*seed >> 40) * 0x1p-23f;
}

static void same(float a, float b)
{
    assert_int_equal(nx_f32_bits(a), nx_f32_bits(b));
}

static void both_builds_agree(void **state)
{
    const nx_fit *p = &nx_fit_plain, *v = nx_fit_get();
    float         x[32], min_p, min_v;
    uint64_t      seed = 1;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        int   n = round % 2 ? 16 : 32;
        float shift = noise(&seed) * (float)(round % 3);
        for (int i = 0; i < n; i++) x[i] = noise(&seed) * noise(&seed) + shift;
        for (int top = 3; top <= 31; top = top * 2 + 1) {
            float a = p->affine(&min_p, x, n, top);
            same(a, v->affine(&min_v, x, n, top));
            same(min_p, min_v);
            same(p->affine_error(x, n, top, a, min_p), v->affine_error(x, n, top, a, min_p));
        }
        static const int halves[] = {0, 4, 32};
        for (int h = 0; h < 3; h++) {
            float a = p->symmetric(x, n, halves[h]);
            same(a, v->symmetric(x, n, halves[h]));
            same(p->symmetric_error(x, n, halves[h], a), v->symmetric_error(x, n, halves[h], a));
        }
    }
}

static void nearest_levels(void **state)
{
    (void)state;
    assert_int_equal(nx_iq4_nearest(-1e9f), 0);
    assert_int_equal(nx_iq4_nearest(1e9f), 15);
    assert_int_equal(nx_iq4_nearest(0.0f), 8);
    assert_int_equal(nx_iq4_nearest(-5.0f), 7);
    assert_int_equal(nx_fit_round(-2.5f, -8, 7), -3);
    assert_int_equal(nx_fit_round(99.0f, -8, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_builds_agree),
        cmocka_unit_test(nearest_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
