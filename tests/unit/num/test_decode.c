/* Protects the decoders: bit for bit what the gguf package reads (tests/golden/dequant), at any
 * address, and no trap on scales that are NaN or infinite. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "num/blocks.h"
#include "num/dtype.h"
#include "num/half.h"
#include "num/scales_k.h"

#include "golden.h"

static void compare_bits(const char *name, const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (nx_f32_bits(got[i]) == nx_f32_bits(want[i])) continue;
        fail_msg("%s: number %lld is %a, gguf has %a", name, (long long)i, (double)got[i],
                 (double)want[i]);
    }
}

static void check_type(nx_dtype t)
{
    const nx_dtype_info *info = nx_dtype_get(t);
    char                 name[64];
    size_t               len, want_len;

    snprintf(name, sizeof name, "dequant/%s.blocks", info->name);
    uint8_t *blocks = golden_read(name, &len);
    snprintf(name, sizeof name, "dequant/%s.f32", info->name);
    float  *want = golden_read(name, &want_len);
    int64_t n = (int64_t)(want_len / sizeof *want);

    assert_true(n >= 1024);
    assert_int_equal(len, nx_dtype_row_bytes(t, n));

    float *got = malloc((size_t)n * sizeof *got);
    info->decode(got, blocks, n);
    compare_bits(info->name, got, want, n);

    uint8_t *odd = malloc(len + 1); /* the same from an odd address */
    memcpy(odd + 1, blocks, len);
    memset(got, 0xA5, (size_t)n * sizeof *got);
    info->decode(got, odd + 1, n);
    compare_bits(info->name, got, want, n);

    /* The second half alone, so that a decoder can't lean on where it began. */
    int64_t half = n / 2;
    info->decode(got, blocks + nx_dtype_row_bytes(t, half), n - half);
    compare_bits(info->name, got, want + half, n - half);

    free(odd);
    free(got);
    free(want);
    free(blocks);
}

static void test_golden(void **state)
{
    (void)state;
    for (int t = 0; t < NX_DTYPE_GGUF_COUNT; t++) check_type((nx_dtype)t);
}

static void test_wild_bytes(void **state)
{
    static const uint8_t fills[] = {0x00, 0x7C, 0x7E, 0xFC, 0xFF};
    uint8_t              bytes[1024];
    float                y[256];
    (void)state;

    for (size_t i = 0; i < sizeof fills; i++) {
        memset(bytes, fills[i], sizeof bytes);
        for (int t = 0; t < NX_DTYPE_GGUF_COUNT; t++)
            nx_dtype_get((nx_dtype)t)->decode(y, bytes, 256);
    }
    for (int t = 0; t < NX_DTYPE_GGUF_COUNT; t++) { /* all ones: a NaN scale is never hidden */
        nx_dtype_get((nx_dtype)t)->decode(y, bytes, 256);
        for (int i = 0; i < 256; i++) assert_true(isnan(y[i]));
    }
}

/* One letter of the drawing in scales_k.h at a time. */
static void test_scales_k(void **state)
{
    uint8_t packed[12], scale[8], min[8];
    int8_t  scale3[16];
    (void)state;

    for (int bit = 0; bit < 96; bit++) {
        int ones = 0;
        memset(packed, 0, sizeof packed);
        packed[bit / 8] = (uint8_t)(1 << bit % 8);
        nx_q4k_scales(scale, min, packed);
        for (int j = 0; j < 8; j++)
            ones += __builtin_popcount(scale[j]) + __builtin_popcount(min[j]);
        assert_int_equal(ones, 1); /* every bit belongs to one scale or one min */

        ones = 0;
        nx_q3k_scales(scale3, packed);
        for (int j = 0; j < 16; j++) ones += __builtin_popcount((unsigned)(scale3[j] + 32));
        assert_int_equal(ones, 1);
    }
    memset(packed, 0xFF, sizeof packed);
    nx_q4k_scales(scale, min, packed);
    nx_q3k_scales(scale3, packed);
    for (int j = 0; j < 8; j++) assert_true(scale[j] == 63 && min[j] == 63);
    for (int j = 0; j < 16; j++) assert_int_equal(scale3[j], 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_wild_bytes),
        cmocka_unit_test(test_scales_k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
