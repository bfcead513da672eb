/* Protects: what JSON says is what we read, and everything else is refused with its place. */
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

#include "base/alloc.h"
#include "base/jsonread.h"

static nx_json_doc read(const char *text, unsigned flags)
{
    nx_json_doc doc;
    nx_error    err;

    if (nx_json_parse(&doc, "t", text, strlen(text), flags, &err)) fail_msg("%s", err.text);
    return doc;
}

static void refuse(const char *text, size_t len, const char *message)
{
    nx_json_doc doc;
    nx_error    err;

    assert_int_equal(nx_json_parse(&doc, "t", text, len, 0, &err), NX_EFORMAT);
    assert_string_equal(err.text, message);
    assert_null(doc.root);
}

static void values(void **state)
{
    (void)state;
    nx_json_doc d =
        read(" { \"a\" : [1, -2.5, true, null, \"x\\u00e4\\n\"],\n \"b\":{}, \"a2\":[] } ", 0);
    const nx_json *a = nx_json_get(d.root, "a");

    assert_int_equal(a->type, NX_JSON_ARRAY);
    assert_int_equal(a->array.n, 5);
    assert_int_equal(a->array.items[0].i, 1);
    assert_true(a->array.items[1].f == -2.5);
    assert_true(a->array.items[2].boolean);
    assert_true(nx_json_absent(&a->array.items[3]));
    assert_true(nx_json_is(&a->array.items[4], "x\xC3\xA4\n"));
    assert_int_equal(nx_json_get(d.root, "b")->line, 2);
    assert_int_equal(nx_json_get(d.root, "b")->object.n, 0);
    assert_null(nx_json_get(d.root, "c"));
    assert_null(nx_json_get(a, "c"));
    nx_json_doc_free(&d);
}

static void numbers(void **state)
{
    (void)state;
    setlocale(LC_ALL, "de_DE.UTF-8");
    nx_json_doc    d = read("[9223372036854775807,-9223372036854775808,9223372036854775808,"
                               "18446744073709551615,18446744073709551616,-9223372036854775809,1e3,1.5,"
                               "-0,0.1,1e999]",
                            0);
    const nx_json *v = d.root->array.items;

    assert_int_equal(v[0].i, INT64_MAX);
    assert_int_equal(v[1].i, INT64_MIN);
    assert_int_equal(v[2].type, NX_JSON_UINT);
    assert_true(v[3].u == UINT64_MAX);
    assert_true(v[4].f == 18446744073709551616.0);
    assert_true(v[5].f == -9223372036854775809.0);
    assert_true(v[6].f == 1000 && v[6].type == NX_JSON_FLOAT);
    assert_true(v[7].f == 1.5);
    assert_int_equal(v[8].i, 0);
    assert_true(v[9].f == 0.1);
    assert_true(isinf(v[10].f));
    nx_json_doc_free(&d);
    setlocale(LC_ALL, "C");
    d = read("[NaN,-Infinity,Infinity]", NX_JSON_PYTHON);
    assert_true(isnan(d.root->array.items[0].f));
    assert_true(d.root->array.items[1].f == -INFINITY);
    assert_true(d.root->array.items[2].f == INFINITY);
    nx_json_doc_free(&d);
}

static void duplicates_the_last_counts(void **state)
{
    (void)state;
    nx_json_doc d = read("{\"a\":1,\"a\":2}", 0);
    int64_t     x = 0;

    assert_true(nx_json_get_int(d.root, "a", &x));
    assert_int_equal(x, 2);
    nx_json_doc_free(&d);
}

static void surrogates(void **state)
{
    (void)state;
    nx_json_doc d = read("\"\\ud83d\\ude00\\u0000\"", 0);

    assert_int_equal(d.root->text.len, 5);
    assert_memory_equal(d.root->text.p, "\xF0\x9F\x98\x80\0", 5);
    nx_json_doc_free(&d);
    refuse("\"\\ud83d\"", 8, "t: line 1, column 2: half of a surrogate pair");
    refuse("\"\\ude00\"", 8, "t: line 1, column 2: half of a surrogate pair");
    refuse("\"\\ud83d\\u0041\"", 14, "t: line 1, column 2: half of a surrogate pair");
}

#define REFUSE(text, message) refuse(text, sizeof(text) - 1, message)

static void refusals(void **state)
{
    (void)state;
    REFUSE("", "t: line 1, column 1: the text ends where a value is expected");
    REFUSE("{\"a\":1,\n  }", "t: line 2, column 3: expected a key in quotes");
    REFUSE("[1,]", "t: line 1, column 4: expected a value");
    REFUSE("[1 2]", "t: line 1, column 4: expected ',' or ']'");
    REFUSE("{\"a\" 1}", "t: line 1, column 6: expected ':' after the key");
    REFUSE("01", "t: line 1, column 1: a number with a leading 0");
    REFUSE("1.", "t: line 1, column 3: expected a digit after the point");
    REFUSE("1e", "t: line 1, column 3: expected a digit of the exponent");
    REFUSE("NaN", "t: line 1, column 1: expected a value");
    REFUSE("\"a", "t: line 1, column 1: a string that doesn't end");
    REFUSE("\"\\", "t: line 1, column 1: a string that doesn't end");
    REFUSE("\"\\x\"", "t: line 1, column 2: no such escape");
    REFUSE("\"\\u12g4\"", "t: line 1, column 2: expected four hexadecimal digits");
    REFUSE("\"\xC3\"", "t: line 1, column 2: not UTF-8");
    REFUSE("\"\x01\"", "t: line 1, column 2: a control character in a string, expected \\u00..");
    REFUSE("1 1", "t: line 1, column 3: expected the end of the text");
    REFUSE("\"\\\0\"", "t: line 1, column 2: no such escape");
}

static void depth(void **state)
{
    (void)state;
    char        text[2 * NX_JSON_DEPTH_MAX + 3];
    nx_json_doc doc;

    memset(text, '[', NX_JSON_DEPTH_MAX);
    memset(text + NX_JSON_DEPTH_MAX, ']', NX_JSON_DEPTH_MAX);
    assert_int_equal(nx_json_parse(&doc, "t", text, 2 * NX_JSON_DEPTH_MAX, 0, NULL), NX_OK);
    nx_json_doc_free(&doc);
    memset(text, '[', NX_JSON_DEPTH_MAX + 1);
    assert_int_equal(nx_json_parse(&doc, "t", text, NX_JSON_DEPTH_MAX + 1, 0, NULL), NX_EFORMAT);
}

/* The quick way to a double gives what strtod gives, in every spelling. */
static void numbers_are_those_of_strtod(void **state)
{
    static const int         digits[] = {17, 9, 19, 20, 3, 16};
    static const char *const odd[] = {"0.1",
                                      "9007199254740993.0",
                                      "9007199254740992.5",
                                      "-0.0",
                                      "1e-27",
                                      "1.0000000000000002220446",
                                      "5e-324",
                                      "123456789012345678901.5",
                                      "1e23",
                                      "8.5e22",
                                      "1E+5",
                                      "0.000000000000000000000001",
                                      "1e99999",
                                      "1844674407370955161.5"};
    uint64_t                 seed = 7;
    char                     text[400];

    (void)state;
    for (int i = 0; i < 120000; i++) {
        double x;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (i < 14) {
            snprintf(text, sizeof text, "%s", odd[i]);
        } else {
            x = (double)(int64_t)seed / 9e18;
            for (uint64_t k = seed % 31; i % 3 == 0 && k > 0; k--) x *= seed % 2 ? 10 : 0.1;
            if (i % 5 == 0) x = (double)(float)x;
            if (i % 6 == 2)
                snprintf(text, sizeof text, "%.19f", x);
            else
                snprintf(text, sizeof text, i % 2 ? "%.*e" : "%#.*g", digits[i % 6], x);
        }
        nx_json_doc d = read(text, 0);
        double      expected = strtod(text, NULL);
        if (memcmp(&d.root->f, &expected, sizeof expected) != 0) fail_msg("%s", text);
        nx_json_doc_free(&d);
    }
}

static void memory_fails_cleanly(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,\"x\\n\",{\"b\":[]}],\"c\":"
                               "0.000000000000000000000000000000000000000000000000000000000000001}";
    nx_json_doc       doc;
    int               n = 0;

    for (nx_status st = NX_ENOMEM; st != NX_OK; n++) {
        assert_true(n < 100);
        nx_alloc_fail_after(n);
        st = nx_json_parse(&doc, "t", text, sizeof text - 1, 0, NULL);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
    }
    nx_json_doc_free(&doc);
    assert_true(n > 2);
}

/* Values that have two bytes each in the text have 24 in the tree, and more while they are gathered. */
static void memory_is_bounded(void **state)
{
    (void)state;
    enum { N = 200000, MAX = 4 << 20 };
    static const char *const pieces[] = {"1,", "[1],", "{},", "\"\\n\",", "{\"a\":1},", "[[[1]]],"};
    char                    *text = nx_alloc(N, 9);
    nx_json_doc              doc;
    nx_error                 err;

    assert_non_null(text);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t n = strlen(pieces[i]), len = 1;
        text[0] = '[';
        for (int k = 0; k < N; k++, len += n) memcpy(text + len, pieces[i], n);
        text[len - 1] = ']';
        assert_int_equal(nx_json_parse_within(&doc, "t", text, len, 0, MAX, &err), NX_ELIMIT);
        assert_non_null(strstr(err.text, "t: line 1, column "));
        assert_null(doc.root);
        assert_int_equal(nx_json_parse_within(&doc, "t", text, len, 0, 16 * MAX, &err), NX_OK);
        assert_true(doc.arena.used_bytes <= 16 * MAX);
        nx_json_doc_free(&doc);
    }
    assert_int_equal(nx_json_parse_within(&doc, "t", "[1]", 3, 0, 16 << 10, &err), NX_OK);
    nx_json_doc_free(&doc);
    assert_int_equal(nx_json_parse_within(&doc, "t", "[1]", 3, 0, 100, &err), NX_ELIMIT);
    nx_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(numbers),
        cmocka_unit_test(surrogates),
        cmocka_unit_test(duplicates_the_last_counts),
        cmocka_unit_test(refusals),
        cmocka_unit_test(depth),
        cmocka_unit_test(numbers_are_those_of_strtod),
        cmocka_unit_test(memory_fails_cleanly),
        cmocka_unit_test(memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
