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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings), cmocka_unit_test(bytes_that_are_not_text),
        cmocka_unit_test(numbers), cmocka_unit_test(numbers_in_other_locales),
        cmocka_unit_test(ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
