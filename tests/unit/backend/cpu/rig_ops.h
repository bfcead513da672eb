/* rig_ops.h - what the tests of single ops share beyond rig.h: the variants under test, made and freed
 * around all tests, and comparisons that name what differs. Include it once, in a test program. */
#ifndef NX_TESTS_BACKEND_CPU_RIG_OPS_H
#define NX_TESTS_BACKEND_CPU_RIG_OPS_H

#include "rig.h"

static rig_variants variants;

static int setup(void **state)
{
    (void)state;
    rig_variants_make(&variants);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_variants_free(&variants);
    return 0;
}

static float *noise(int64_t n, float scale)
{
    float *x = nx_calloc((size_t)n, sizeof *x);

    assert_non_null(x);
    rig_fill(x, n, scale);
    return x;
}

static void expect_same(const float *got, const float *expected, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!rig_same(got[i], expected[i]))
            fail_msg("%s: number %d is %.9g, expected %.9g", what, (int)i, (double)got[i],
                     (double)expected[i]);
}

static inline void expect_near(double got, double expected, double bound, const char *what)
{
    if (!(fabs(got - expected) <= bound))
        fail_msg("%s: %.9g, expected %.9g within %.3g", what, got, expected, bound);
}

#endif
