/* test_meta.c - typed access to metadata: every type converts exactly or is refused by name, with
 * the byte where it stands; nothing is written to *out on a refusal. */
#include "gguf_bytes.h"

#include <math.h>

#include "base/alloc.h"

static uint64_t bits_of(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint32_t bits_of_f32(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static nx_checkpoint *open_all_types(bytes *b)
{
    put_head(b, 3, 0, 14);
    put_key_uint(b, "u8", NX_META_U8, 0xFF);
    put_key_uint(b, "i8", NX_META_I8, 0xFF);
    put_key_uint(b, "u16", NX_META_U16, 0xFFFF);
    put_key_uint(b, "i16", NX_META_I16, 0x8000);
    put_key_uint(b, "u32", NX_META_U32, 0xFFFFFFFF);
    put_key_uint(b, "i32", NX_META_I32, 0x80000000);
    put_key_uint(b, "u64", NX_META_U64, UINT64_MAX);
    put_key_uint(b, "i64", NX_META_I64, 1ull << 63);
    put_key_uint(b, "f32", NX_META_F32, bits_of_f32(0.1f));
    put_key_uint(b, "f64", NX_META_F64, bits_of(0.1));
    put_key_uint(b, "nan", NX_META_F32, 0x7FC00000);
    put_key_uint(b, "yes", NX_META_BOOL, 1);
    put_key(b, "text", NX_META_STRING);
    put_str(b, "a text");
    put_key_array(b, "list", NX_META_U16, 0);
    return expect_open(b);
}

/* The accessor must fail with `parts` in its message. */
#define REFUSES(call, ...)                                                                         \
    do {                                                                                           \
        nx_error err = {0};                                                                        \
        assert_int_equal((call), NX_EFORMAT);                                                      \
        const char *const parts[] = {"t.gguf: ", __VA_ARGS__};                                     \
        for (size_t i_ = 0; i_ < sizeof parts / sizeof parts[0]; i_++) {                           \
            if (!strstr(err.text, parts[i_])) print_error("no %s in %s\n", parts[i_], err.text);   \
            assert_non_null(strstr(err.text, parts[i_]));                                          \
        }                                                                                          \
    } while (0)

static void integers_of_any_width_convert(void **state)
{
    static const struct {
        const char *key;
        int64_t     value;
    } cases[] = {
        {"u8", 255},         {"i8", -1},         {"u16", 65535},     {"i16", -32768},
        {"u32", 4294967295}, {"i32", INT32_MIN}, {"i64", INT64_MIN},
    };
    bytes          b = {0};
    nx_checkpoint *cp = open_all_types(&b);
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t x = 7;
        assert_int_equal(nx_meta_int(cp, cases[i].key, &x, INT64_MIN, INT64_MAX, true, NULL),
                         NX_OK);
        assert_true(x == cases[i].value);
        assert_int_equal(nx_meta_int(cp, cases[i].key, &x, x, x, true, NULL), NX_OK);
    }
    int64_t x = 7;
    REFUSES(nx_meta_int(cp, "u64", &x, 0, INT64_MAX, true, &err), "u64 at byte 141",
            "18446744073709551615, expected 0 to 9223372036854775807");
    REFUSES(nx_meta_int(cp, "u8", &x, 0, 254, true, &err), "u8 at byte 38",
            "255, expected 0 to 254");
    REFUSES(nx_meta_int(cp, "i8", &x, 0, 9, false, &err), "i8 at byte", "-1, expected 0 to 9");
    REFUSES(nx_meta_int(cp, "f32", &x, 0, 9, false, &err), "f32, expected an integer");
    REFUSES(nx_meta_int(cp, "yes", &x, 0, 9, false, &err), "bool, expected an integer");
    REFUSES(nx_meta_int(cp, "list", &x, 0, 9, false, &err), "array of 0 u16, expected an integer");
    REFUSES(nx_meta_int(cp, "none", &x, 0, 9, true, &err), "none missing between byte 24 and byte",
            "expected an integer");
    assert_int_equal(nx_meta_int(cp, "none", &x, 0, 9, false, NULL), NX_OK);
    assert_true(x == 7);
    nx_checkpoint_close(cp);
    free(b.p);
}

static void floats_booleans_and_strings(void **state)
{
    bytes          b = {0};
    nx_checkpoint *cp = open_all_types(&b);
    double         d = 7;
    bool           yes = false;
    nx_str         s = NX_STR("before");
    (void)state;

    REFUSES(nx_meta_float(cp, "nan", &d, true, &err), "nan at byte", "nan, expected a finite");
    REFUSES(nx_meta_float(cp, "u8", &d, true, &err), "u8, expected f32 or f64");
    REFUSES(nx_meta_float(cp, "none", &d, true, &err), "none missing", "expected a number");
    assert_int_equal(nx_meta_float(cp, "none", &d, false, NULL), NX_OK);
    assert_true(d == 7);
    assert_int_equal(nx_meta_float(cp, "f32", &d, true, NULL), NX_OK);
    assert_true(d == (double)0.1f);
    assert_int_equal(nx_meta_float(cp, "f64", &d, true, NULL), NX_OK);
    assert_true(d == 0.1);

    REFUSES(nx_meta_bool(cp, "u8", &yes, true, &err), "u8, expected bool");
    REFUSES(nx_meta_bool(cp, "none", &yes, true, &err), "none missing", "expected true or false");
    assert_int_equal(nx_meta_bool(cp, "none", &yes, false, NULL), NX_OK);
    assert_false(yes);
    assert_int_equal(nx_meta_bool(cp, "yes", &yes, true, NULL), NX_OK);
    assert_true(yes);

    REFUSES(nx_meta_string(cp, "u8", &s, true, &err), "u8, expected string");
    REFUSES(nx_meta_string(cp, "none", &s, true, &err), "none missing", "expected a string");
    assert_int_equal(nx_meta_string(cp, "none", &s, false, NULL), NX_OK);
    assert_true(nx_str_eq(s, NX_STR("before")));
    assert_int_equal(nx_meta_string(cp, "text", &s, true, NULL), NX_OK);
    assert_true(nx_str_eq(s, NX_STR("a text")));
    nx_checkpoint_close(cp);
    free(b.p);
}

static nx_checkpoint *open_arrays(bytes *b)
{
    put_head(b, 3, 0, 8);
    put_key_array(b, "strings", NX_META_STRING, 3);
    put_str(b, "one");
    put_str(b, "");
    put_str(b, "three");
    put_key_array(b, "i8s", NX_META_I8, 2);
    put_uint(b, 0x80, 1), put_uint(b, 0x7F, 1);
    put_key_array(b, "u64s", NX_META_U64, 2);
    put_uint(b, 5, 8), put_uint(b, 1ull << 63, 8);
    put_key_array(b, "f32s", NX_META_F32, 2);
    put_uint(b, bits_of_f32(1.5f), 4), put_uint(b, bits_of_f32(-2.5f), 4);
    put_key_array(b, "f64s", NX_META_F64, 2);
    put_uint(b, bits_of(0.25), 8), put_uint(b, bits_of(1e300), 8);
    put_key_array(b, "infs", NX_META_F32, 1);
    put_uint(b, 0x7F800000, 4);
    put_key_array(b, "empty", NX_META_STRING, 0);
    put_key_uint(b, "scalar", NX_META_I32, 3);
    return expect_open(b);
}

static void arrays_convert_or_say_which_element(void **state)
{
    bytes          b = {0};
    nx_checkpoint *cp = open_arrays(&b);
    nx_str        *s;
    int64_t       *x, n = 9;
    float         *f;
    (void)state;

    assert_int_equal(nx_meta_strings(cp, "strings", &s, &n, true, NULL), NX_OK);
    assert_int_equal(n, 3);
    assert_true(nx_str_eq(s[0], NX_STR("one")) && s[1].len == 0 &&
                nx_str_eq(s[2], NX_STR("three")));
    nx_free(s);
    assert_int_equal(nx_meta_strings(cp, "empty", &s, &n, true, NULL), NX_OK);
    assert_int_equal(n, 0);
    nx_free(s);
    assert_int_equal(nx_meta_ints(cp, "i8s", &x, &n, true, NULL), NX_OK);
    assert_true(n == 2 && x[0] == -128 && x[1] == 127);
    nx_free(x);
    assert_int_equal(nx_meta_floats(cp, "f32s", &f, &n, true, NULL), NX_OK);
    assert_true(n == 2 && f[0] == 1.5f && f[1] == -2.5f);
    nx_free(f);

    REFUSES(nx_meta_ints(cp, "u64s", &x, &n, true, &err), "u64s at byte",
            "element 1 is 9223372036854775808, expected below 2^63");
    assert_true(x == NULL && n == 0);
    REFUSES(nx_meta_floats(cp, "f64s", &f, &n, true, &err), "f64s at byte", "element 1 is inf");
    REFUSES(nx_meta_floats(cp, "infs", &f, &n, true, &err), "infs at byte", "element 0 is inf");
    REFUSES(nx_meta_floats(cp, "i8s", &f, &n, true, &err), "array of 2 i8, expected an array of");
    REFUSES(nx_meta_ints(cp, "f32s", &x, &n, true, &err), "array of 2 f32, expected an array of");
    REFUSES(nx_meta_ints(cp, "scalar", &x, &n, true, &err), "i32, expected an array of integers");
    REFUSES(nx_meta_strings(cp, "i8s", &s, &n, true, &err), "expected an array of strings");
    REFUSES(nx_meta_strings(cp, "none", &s, &n, true, &err), "none missing", "array of strings");
    assert_int_equal(nx_meta_strings(cp, "none", &s, &n, false, NULL), NX_OK);
    assert_true(s == NULL && n == 0);

    nx_alloc_fail_after(0);
    assert_int_equal(nx_meta_strings(cp, "strings", &s, &n, true, NULL), NX_ENOMEM);
    assert_int_equal(nx_meta_ints(cp, "i8s", &x, &n, true, NULL), NX_ENOMEM);
    assert_int_equal(nx_meta_floats(cp, "f32s", &f, &n, true, NULL), NX_ENOMEM);
    nx_alloc_fail_after(-1);
    nx_checkpoint_close(cp);
    free(b.p);
}

static void types_have_names(void **state)
{
    (void)state;
    assert_string_equal(nx_meta_type_name(NX_META_U8), "u8");
    assert_string_equal(nx_meta_type_name(NX_META_F64), "f64");
    assert_string_equal(nx_meta_type_name((nx_meta_type)13), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_any_width_convert),
        cmocka_unit_test(floats_booleans_and_strings),
        cmocka_unit_test(arrays_convert_or_say_which_element),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
