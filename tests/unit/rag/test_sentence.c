/* Protects: sentences end where people end them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rag/chunk.h"

/* A text with its sentences marked: "One.|Two." Where a bar stands in it, one ends and blanks follow. */
static void check(const char *marked)
{
    char   text[512], got[1024];
    size_t n = 0, m = 0;

    for (const char *p = marked; *p; p++)
        if (*p != '|') text[n++] = *p;
    nx_str s = {text, n};
    for (size_t at = nx_sentence_skip(s, 0); at < n;) {
        size_t end = nx_sentence_end(s, at);
        assert_true(end > at && end <= n);
        size_t next = nx_sentence_skip(s, end);
        if (m) got[m++] = '|';
        memcpy(got + m, text + at, next - at);
        m += next - at;
        at = next;
    }
    got[m] = '\0';
    assert_string_equal(got, marked);
}

static void where_they_end(void **state)
{
    (void)state;
    check("One is here. |Two is there! |Is three? |Yes");
    check("He said \"No.\" |Then he left.");
    check("It costs 3.14 euros. |See file.txt for more.");
    check("Use a tool, e.g. the hammer. |Done.");
    check("Dr. Smith met J. R. Brown in St. Louis. |They talked.");
    check("See Fig. 3 and no. 5 there. |I said no. |He said yes.");
    check("1. Open the door. |2. Close it.");
    check("Wait... what is it? |Nothing.");
    check("(It was late.) |He slept.");
    check("A title\n\n|A text that\ngoes on. |And on");
    check("One page\n\f|The next");
    check("これは文です。|次の文です！|最後");
    check("Это раз. |Это два.");
    check("Version 2.0.1 is out. |Get it at example.org. |Now.");
    check("She asked \"Why?\" and left. |End.");
    check("The word ends with etc. |Then more.");
}

static void odd_ones(void **state)
{
    (void)state;
    nx_str blank = NX_STR("  \n ");

    assert_int_equal(nx_sentence_skip(blank, 0), 4);
    assert_int_equal(nx_sentence_end(blank, 0), 4);
    assert_int_equal(nx_sentence_end(NX_STR("...!?"), 0), 5);
    assert_int_equal(nx_sentence_end(NX_STR("a\xFF. B"), 0), 3);
    assert_int_equal(nx_sentence_end(NX_STR("abc  \n"), 0), 3);
    assert_int_equal(nx_sentence_skip(NX_STR("\xC2\xA0\xE3\x80\x80x"), 0), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(where_they_end),
                                       cmocka_unit_test(odd_ones)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
