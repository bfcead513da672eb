/* Protects the table of types: sizes, look-ups, and names for every type that a file may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "num/dtype.h"

/* GGML_QUANT_SIZES of the gguf package 0.19. */
static void test_sizes(void **state)
{
    static const struct {
        const char *name;
        uint32_t    id;
        int         len, bytes;
    } want[] = {
        {"F32", 0, 1, 4},       {"F16", 1, 1, 2},       {"BF16", 30, 1, 2},
        {"Q4_0", 2, 32, 18},    {"Q4_1", 3, 32, 20},    {"Q5_0", 6, 32, 22},
        {"Q5_1", 7, 32, 24},    {"Q8_0", 8, 32, 34},    {"Q2_K", 10, 256, 84},
        {"Q3_K", 11, 256, 110}, {"Q4_K", 12, 256, 144}, {"Q5_K", 13, 256, 176},
        {"Q6_K", 14, 256, 210}, {"IQ4_NL", 20, 32, 18}, {"IQ4_XS", 23, 256, 136},
    };
    int n = (int)(sizeof want / sizeof *want);
    (void)state;

    assert_int_equal(n, NX_DTYPE_GGUF_COUNT);
    for (int i = 0; i < n; i++) {
        nx_dtype by_name, by_id;
        assert_true(nx_dtype_by_name(&by_name, want[i].name));
        assert_true(nx_dtype_by_gguf_id(&by_id, want[i].id));
        assert_int_equal(by_name, by_id);
        assert_string_equal(nx_gguf_type_name(want[i].id), want[i].name);
        const nx_dtype_info *info = nx_dtype_get(by_name);
        assert_int_equal(info->gguf_id, want[i].id);
        assert_int_equal(info->block_len, want[i].len);
        assert_int_equal(info->block_bytes, want[i].bytes);
        assert_non_null(info->decode);
        assert_int_equal(nx_dtype_row_bytes(by_name, 5 * want[i].len), 5 * want[i].bytes);
    }
}

static void test_strangers(void **state)
{
    nx_dtype t;
    (void)state;

    assert_false(nx_dtype_by_name(&t, "q9_9"));
    assert_false(nx_dtype_by_name(&t, ""));
    assert_false(nx_dtype_by_name(&t, "q4_"));
    assert_true(nx_dtype_by_name(&t, "q4_k") && t == NX_DTYPE_Q4_K);

    assert_false(nx_dtype_by_gguf_id(&t, 16)); /* known by name, not computed */
    assert_string_equal(nx_gguf_type_name(16), "IQ2_XXS");
    assert_string_equal(nx_gguf_type_name(31), "Q4_0_4_4");
    assert_string_equal(nx_gguf_type_name(39), "MXFP4");
    for (uint32_t id = 0; id <= 41; id++) assert_non_null(nx_gguf_type_name(id));
    assert_null(nx_gguf_type_name(42));
    assert_null(nx_gguf_type_name(UINT32_MAX));
    assert_false(nx_dtype_by_gguf_id(&t, UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
