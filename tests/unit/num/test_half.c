/* Protects the bits of f16 and bf16: every f16 pattern against exact arithmetic, rounding against
 * an exhaustive search between neighbours, and against F16C where the machine has it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "num/half.h"
#include "num/rng.h"

/* The value of a finite f16, from its definition, in double. */
static double f16_value(uint16_t h)
{
    int    exponent = (h >> 10) & 31, mantissa = h & 1023;
    double v = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000 ? -v : v;
}

static void test_every_f16(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float    f = nx_f16_to_f32((uint16_t)h);
        uint32_t bits = nx_f32_bits(f), mantissa = h & 0x3FF;

        assert_int_equal(bits >> 31, h >> 15);
        if ((h & 0x7C00) == 0x7C00) {
            uint32_t want = 0x7F800000u | mantissa << 13 | (mantissa ? 0x00400000u : 0);
            assert_int_equal(bits & 0x7FFFFFFFu, want);
            if (mantissa) h |= 0x200; /* a signalling NaN comes back quiet */
        } else {
            assert_true((double)f == f16_value((uint16_t)h));
        }
        assert_int_equal(nx_f32_to_f16(f), h);
    }
}

/* Nearest f16 of x >= 0 by bisection over the patterns, which ascend as their values do; 65520 and
 * beyond is infinity. Ties to the even pattern. */
static uint16_t nearest_f16(double x)
{
    uint16_t lo = 0, hi = 0x7BFF;

    if (x >= 65520.0) return 0x7C00;
    if (x >= 65504.0) return 0x7BFF;
    while (hi - lo > 1) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (f16_value(mid) <= x)
            lo = mid;
        else
            hi = mid;
    }
    double below = x - f16_value(lo), above = f16_value(hi) - x;
    if (below == above) return lo & 1 ? hi : lo;
    return below < above ? lo : hi;
}

static void check_round(float f)
{
    uint16_t sign = nx_f32_bits(f) >> 31 ? 0x8000 : 0;
    uint16_t want = (uint16_t)(sign | nearest_f16(fabs((double)f)));
    if (nx_f32_to_f16(f) != want)
        fail_msg("%a: got 0x%04x, expected 0x%04x", (double)f, nx_f32_to_f16(f), want);
}

static void test_round_f16(void **state)
{
    nx_rng rng;
    (void)state;

    /* Each f16, the middle to its neighbour, and the f32 numbers on both sides of these. */
    for (uint32_t h = 0; h < 0x7C00; h++) {
        double here = f16_value((uint16_t)h);
        double next = h == 0x7BFF ? 65536.0 : f16_value((uint16_t)(h + 1));
        float  points[2] = {(float)here, (float)((here + next) / 2)};
        for (int i = 0; i < 2; i++) {
            check_round(points[i]);
            check_round(-points[i]);
            check_round(nextafterf(points[i], INFINITY));
            check_round(nextafterf(points[i], -INFINITY));
        }
    }
    nx_rng_seed(&rng, 1);
    for (int i = 0; i < 1000000; i++) {
        float f = nx_f32_from_bits((uint32_t)(nx_rng_next_u64(&rng) >> 32));
        if (isfinite(f)) check_round(f);
    }
}

static void test_f16_specials(void **state)
{
    (void)state;
    assert_int_equal(nx_f32_to_f16(INFINITY), 0x7C00);
    assert_int_equal(nx_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(nx_f32_to_f16(-0.0f), 0x8000);
    assert_int_equal(nx_f32_to_f16(nx_f32_from_bits(1)), 0);
    assert_int_equal(nx_f32_to_f16(nx_f32_from_bits(0x7F800001u)), 0x7E00); /* signalling */
    assert_int_equal(nx_f32_to_f16(nx_f32_from_bits(0xFFC02000u)), 0xFE01); /* payload stays */
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

__attribute__((target("f16c"))) static uint16_t f16c_from(float f)
{
    return (uint16_t)_mm_extract_epi16(
        _mm_cvtps_ph(_mm_set_ss(f), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), 0);
}

__attribute__((target("f16c"))) static float f16c_to(uint16_t h)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

static void test_same_as_f16c(void **state)
{
    nx_rng rng;
    (void)state;

    /* Every CPU with AVX2 has F16C, which clang 16 cannot ask for by name. */
    if (!__builtin_cpu_supports("avx2")) skip();
    for (uint32_t h = 0; h < 0x10000; h++)
        assert_int_equal(nx_f32_bits(nx_f16_to_f32((uint16_t)h)),
                         nx_f32_bits(f16c_to((uint16_t)h)));
    nx_rng_seed(&rng, 2);
    for (int i = 0; i < 1000000; i++) { /* NaN of all payloads among them */
        uint32_t bits = (uint32_t)nx_rng_next_u64(&rng);
        if (i % 4 == 0) bits |= 0x7F800000u;
        float f = nx_f32_from_bits(bits);
        assert_int_equal(nx_f32_to_f16(f), f16c_from(f));
    }
}
#else
static void test_same_as_f16c(void **state)
{
    (void)state;
    skip();
}
#endif

/* bf16 neighbours are 2^16 patterns apart, so nearest-even can be said in integers. */
static void test_bf16(void **state)
{
    nx_rng rng;
    (void)state;

    for (uint32_t h = 0; h < 0x10000; h++) {
        uint32_t is_nan = (h & 0x7FFF) > 0x7F80 ? 0x40 : 0;
        assert_int_equal(nx_f32_bits(nx_bf16_to_f32((uint16_t)h)), h << 16);
        assert_int_equal(nx_f32_to_bf16(nx_bf16_to_f32((uint16_t)h)), h | is_nan);
    }
    nx_rng_seed(&rng, 3);
    for (int i = 0; i < 1000000; i++) {
        uint32_t bits = (uint32_t)nx_rng_next_u64(&rng), rest = bits & 0xFFFF, up;
        if (i % 8 == 0) bits = (bits & 0xFFFF0000u) | 0x8000u, rest = 0x8000;
        if ((bits & 0x7F800000u) == 0x7F800000u) continue;
        up = rest > 0x8000 || (rest == 0x8000 && (bits >> 16 & 1));
        assert_int_equal(nx_f32_to_bf16(nx_f32_from_bits(bits)), (bits >> 16) + up);
    }
    assert_int_equal(nx_f32_to_bf16(nx_f32_from_bits(0x7F7FFFFFu)), 0x7F80);
    assert_int_equal(nx_f32_to_bf16(nx_f32_from_bits(0x7F800001u)), 0x7FC0);
    assert_int_equal(nx_f32_to_bf16(nx_f32_from_bits(0xFFFFFFFFu)), 0xFFFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_f16),    cmocka_unit_test(test_round_f16),
        cmocka_unit_test(test_f16_specials), cmocka_unit_test(test_same_as_f16c),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
