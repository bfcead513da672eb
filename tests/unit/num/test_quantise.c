/* Protects the encoders: bit for bit what the gguf package writes (tests/golden/quantise), an error
 * within half a step on the way back, and a visible NaN for what can't be encoded. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "num/quantise.h"
#include "num/rng.h"

#include "golden.h"

static void test_golden(void **state)
{
    static const nx_dtype types[] = {NX_DTYPE_F16,  NX_DTYPE_BF16, NX_DTYPE_Q4_0, NX_DTYPE_Q4_1,
                                     NX_DTYPE_Q5_0, NX_DTYPE_Q5_1, NX_DTYPE_Q8_0};
    size_t                len, want_len;
    float                *x = golden_read("quantise/input.f32", &len);
    int64_t               n = (int64_t)(len / sizeof *x);
    (void)state;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const nx_dtype_info *info = nx_dtype_get(types[i]);
        char                 name[64];

        snprintf(name, sizeof name, "quantise/%s.blocks", info->name);
        uint8_t *want = golden_read(name, &want_len), *got = malloc(want_len + 1);
        assert_int_equal(want_len, nx_dtype_row_bytes(types[i], n));
        nx_quantise_row(types[i], got + 1, x, n); /* at an odd address */
        for (size_t b = 0; b < want_len; b++)
            if (got[b + 1] != want[b])
                fail_msg("%s: byte %zu is %d, gguf has %d", info->name, b, got[b + 1], want[b]);
        free(got);
        free(want);
    }
    free(x);
}

/* error_max: the largest difference that numbers of [-1, 1] may show. */
static void round_trip(nx_dtype t, double error_max)
{
    uint8_t blocks[32 * 4 * 8];
    float   x[32 * 8], y[32 * 8];
    nx_rng  rng;

    nx_rng_seed(&rng, 7);
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < 256; i++) x[i] = (float)(2 * nx_rng_uniform(&rng) - 1);
        nx_quantise_row(t, blocks, x, 256);
        nx_dtype_get(t)->decode(y, blocks, 256);
        for (int i = 0; i < 256; i++)
            if (!(fabs((double)y[i] - (double)x[i]) <= error_max))
                fail_msg("%s: %a became %a", nx_dtype_get(t)->name, (double)x[i], (double)y[i]);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    double f16 = 0x1p-11; /* rounding of the scale, relative */

    round_trip(NX_DTYPE_F32, 0);
    round_trip(NX_DTYPE_F16, 0x1p-12);
    round_trip(NX_DTYPE_BF16, 0x1p-9);
    round_trip(NX_DTYPE_Q8_0, 0.5 / 127 + f16);
    /* The end opposite to the extreme number has one code less: up to a whole step. */
    round_trip(NX_DTYPE_Q4_0, 1.0 / 8 + f16);
    round_trip(NX_DTYPE_Q5_0, 1.0 / 16 + f16);
    round_trip(NX_DTYPE_Q4_1, 0.5 * 2 / 15 + 3 * f16);
    round_trip(NX_DTYPE_Q5_1, 0.5 * 2 / 31 + 3 * f16);
}

static void check_odd_block(nx_dtype t, int at, float value, bool want_nan)
{
    uint8_t block[128];
    float   x[32], y[32];

    for (int i = 0; i < 32; i++) x[i] = 0.25f * (float)(i - 16);
    if (at >= 0) x[at] = value;
    nx_quantise_row(t, block, x, 32);
    nx_dtype_get(t)->decode(y, block, 32);
    for (int i = 0; i < 32; i++) assert_int_equal(isnan(y[i]) != 0, want_nan);
}

static void test_not_finite(void **state)
{
    static const nx_dtype types[] = {NX_DTYPE_Q4_0, NX_DTYPE_Q4_1, NX_DTYPE_Q5_0, NX_DTYPE_Q5_1,
                                     NX_DTYPE_Q8_0};
    (void)state;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        check_odd_block(types[i], -1, 0, false);
        for (int at = 0; at < 32; at += 31) {
            check_odd_block(types[i], at, NAN, true);
            check_odd_block(types[i], at, INFINITY, true);
            check_odd_block(types[i], at, -INFINITY, true);
        }
    }
}

/* 1 / d overflows or the range does: nothing may trap (UBSan), and sizes stay sane. */
static void test_extremes(void **state)
{
    static const float sizes[] = {1e-45f, 1e-40f, 1e-38f, 3.4e38f};
    uint8_t            block[1024];
    float              x[256];
    (void)state;

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int i = 0; i < 256; i++) x[i] = i % 2 ? -sizes[s] : i % 3 ? sizes[s] : 0.0f;
        for (int t = 0; t < NX_DTYPE_GGUF_COUNT; t++) nx_quantise_row((nx_dtype)t, block, x, 256);
    }
    memset(x, 0, sizeof x);
    nx_quantise_row(NX_DTYPE_Q4_0, block, x, 32);
    nx_dtype_get(NX_DTYPE_Q4_0)->decode(x, block, 32);
    for (int i = 0; i < 32; i++) assert_true(x[i] == 0.0f);
    assert_false(nx_quantise_supports(NX_DTYPE_NF4));
}

/* ---- Types whose bits are our own choice ---- */

static const nx_dtype fitted[] = {NX_DTYPE_Q2_K, NX_DTYPE_Q3_K,   NX_DTYPE_Q4_K,  NX_DTYPE_Q5_K,
                                  NX_DTYPE_Q6_K, NX_DTYPE_IQ4_NL, NX_DTYPE_IQ4_XS};
#define N_FITTED (sizeof fitted / sizeof *fitted)

/* Seeded noise, near enough to a normal distribution: twelve uniform numbers. */
static void noise(float *x, int n, uint64_t seed)
{
    for (int i = 0; i < n; i++) {
        float sum = 0;
        for (int j = 0; j < 12; j++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            sum += (float)(seed >> 40) * 0x1p-24f;
        }
        x[i] = sum - 6;
    }
}

static double rms_error(nx_dtype t, const float *x, int n)
{
    static uint8_t bytes[4096 * 4];
    static float   y[4096];
    double         sum = 0;

    nx_quantise_row(t, bytes, x, n);
    nx_dtype_get(t)->decode(y, bytes, n);
    for (int i = 0; i < n; i++) sum += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
    return sqrt(sum / n);
}

/* Bounds: what llama.cpp's encoders reach on such numbers, and a hundredth (measured in
 * tests/parity/test_quantise.py, which compares them number by number). */
static void test_fitted_error(void **state)
{
    static const double most[N_FITTED] = {0.30, 0.150, 0.073, 0.037, 0.0185, 0.084, 0.087};
    static float        x[4096];
    (void)state;

    noise(x, 4096, 7);
    for (size_t i = 0; i < N_FITTED; i++) {
        double e = rms_error(fitted[i], x, 4096);
        if (!(e < most[i])) fail_msg("%s: %.5f", nx_dtype_get(fitted[i])->name, e);
    }
}

static void test_fitted_edges(void **state)
{
    static float   x[256];
    static uint8_t bytes[1024];
    (void)state;

    for (size_t i = 0; i < N_FITTED; i++) {
        memset(x, 0, sizeof x);
        assert_true(rms_error(fitted[i], x, 256) == 0);
        for (int j = 0; j < 256; j++) x[j] = 0.3f;
        assert_true(rms_error(fitted[i], x, 256) < 0.3 / 100);
        for (int at = 0; at < 256; at += 255) {
            memset(x, 0, sizeof x);
            x[at] = at ? INFINITY : NAN;
            nx_quantise_row(fitted[i], bytes, x, 256);
            nx_dtype_get(fitted[i])->decode(x, bytes, 256);
            assert_true(isnan(x[at]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_fitted_error), cmocka_unit_test(test_fitted_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
