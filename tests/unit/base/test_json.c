/* Protects: whatever bytes go in, valid JSON comes out, in every locale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>

#include "base/json.h"

static void check_string(const char *s, size_t len, const char *want)
{
    nx_buf b = {.max = 4096};

    assert_int_equal(nx_json_add_string(&b, s, len, NULL), NX_OK);
    assert_string_equal(b.data, want);
    nx_buf_free(&b);
}

static void strings(void **state)
{
    (void)state;
    check_string("", 0, "\"\"");
    check_string(NULL, 0, "\"\"");
    check_string("plain", 5, "\"plain\"");
    check_string("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
    check_string("\n\r\t\b\f", 5, "\"\\n\\r\\t\\u0008\\u000c\"");
    check_string("\0\x1F\x7F", 3, "\"\\u0000\\u001f\\u007f\"");
    check_string("\xC3\xA4\xF0\x9F\x90\xA6", 6, "\"\xC3\xA4\xF0\x9F\x90\xA6\"");
}

static void bytes_that_are_not_text(void **state)
{
    (void)state;
    check_string("\xFF", 1, "\"\xEF\xBF\xBD\"");
    check_string("a\xC3", 2, "\"a\xEF\xBF\xBD\"");
    check_string("\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_string("\xC0\"", 2, "\"\xEF\xBF\xBD\\\"\"");
}

static void check_number(double x, int digits, const char *want)
{
    nx_buf b = {.max = 100};

    assert_int_equal(nx_json_add_number(&b, x, digits, NULL), NX_OK);
    assert_string_equal(b.data, want);
    nx_buf_free(&b);
}

static void numbers(void **state)
{
    (void)state;
    check_number(0, 6, "0");
    check_number(-1.5, 6, "-1.5");
    check_number(1234567, 3, "1.23e+06");
    check_number(0.1, 17, "0.10000000000000001");
    check_number(1e300, 99, "1.0000000000000001e+300");
    check_number(3.75, -4, "4");
    check_number(NAN, 6, "null");
    check_number(INFINITY, 6, "null");
    check_number(-INFINITY, 6, "null");
}

/* Locales with another decimal sign, where the machine has one. */
static void numbers_in_other_locales(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8", "de_DE"};

    (void)state;
    int tried = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!setlocale(LC_NUMERIC, names[i])) continue;
        check_number(-2.25, 6, "-2.25");
        check_number(1.5e-7, 6, "1.5e-07");
        tried++;
    }
    setlocale(LC_NUMERIC, "C");
    if (!tried) {
        print_message("skipped: no locale with a decimal comma on this machine\n");
        skip();
    }
}

static void ceiling(void **state)
{
    (void)state;
    for (size_t max = 0; max < 12; max++) {
        nx_buf b = {.max = max};
        assert_int_equal(nx_json_add_string(&b, "\xFF\n\"abc", 6, NULL), NX_ELIMIT);
        assert_true(b.len <= max);
        nx_buf_free(&b);
    }
}

static void short_floats(void **state)
{
    static const struct {
        float       x;
        const char *text;
    } known[] = {{0.1f, "0.1"},
                 {1, "1.0"},
                 {-2.5f, "-2.5"},
                 {0, "0.0"},
                 {16777216, "16777216.0"},
                 {3e38f, "3.0e38"},
                 {1e-7f, "1.0e-7"},
                 {100, "100.0"},
                 {0.00012f, "0.00012"},
                 {-0.0f, "-0.0"}};
    nx_buf   b = {.max = 1000};
    uint32_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        nx_buf_clear(&b);
        assert_int_equal(nx_json_add_float(&b, known[i].x, NULL), NX_OK);
        assert_string_equal(b.data, known[i].text);
    }
    for (int i = 0; i < 300000; i++) {
        float x;
        seed = seed * 1664525u + 1013904223u;
        memcpy(&x, &seed, sizeof x);
        if (i % 2) x = (float)(int32_t)seed / 2147483648.0f;
        nx_buf_clear(&b);
        assert_int_equal(nx_json_add_float(&b, x, NULL), NX_OK);
        if (isfinite(x) && strtof(b.data, NULL) != x) fail_msg("%s is no %.9g", b.data, (double)x);
        if (!isfinite(x)) assert_string_equal(b.data, "null");
    }
    nx_buf_free(&b);
}

static void short_doubles(void **state)
{
    static const struct {
        double      x;
        const char *text;
    } known[] = {{0.1, "0.1"}, {1, "1.0"}, {1e300, "1e+300"}, {0.1 + 0.2, "0.30000000000000004"}};
    nx_buf b = {.max = 1000};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        nx_buf_clear(&b);
        assert_int_equal(nx_json_add_double(&b, known[i].x, NULL), NX_OK);
        assert_string_equal(b.data, known[i].text);
    }
    nx_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings),       cmocka_unit_test(bytes_that_are_not_text),
        cmocka_unit_test(numbers),       cmocka_unit_test(numbers_in_other_locales),
        cmocka_unit_test(ceiling),       cmocka_unit_test(short_floats),
        cmocka_unit_test(short_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
