/* test_names.c - the two small helpers of the reader: an index that finds each name and only
 * those, and text from a file made safe to print. */
#include "gguf_bytes.h"

#include <stdio.h>

#include "format/name_index.h"
#include "format/printable.h"

static void index_finds_each_name(void **state)
{
    enum { N = 1000 };
    char          names[N][16];
    nx_name_index ix = {0};
    int64_t       a, b;
    (void)state;

    assert_int_equal(nx_name_index_alloc(&ix, N, NULL), NX_OK);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "blk.%d", i * 7919 % N);
        ix.entries[i] = (nx_name_entry){nx_str_of(names[i]), i};
    }
    assert_true(nx_name_index_sort(&ix, &a, &b));
    for (int i = 0; i < N; i++) assert_int_equal(nx_name_index_find(&ix, nx_str_of(names[i])), i);
    assert_int_equal(nx_name_index_find(&ix, NX_STR("blk.")), -1);
    assert_int_equal(nx_name_index_find(&ix, NX_STR("blk.1000")), -1);
    assert_int_equal(nx_name_index_find(&ix, NX_STR("")), -1);
    nx_name_index_free(&ix);
}

static void index_finds_duplicates(void **state)
{
    nx_name_index ix = {0};
    int64_t       a, b;
    (void)state;

    assert_int_equal(nx_name_index_alloc(&ix, 4, NULL), NX_OK);
    ix.entries[0] = (nx_name_entry){NX_STR("a"), 0};
    ix.entries[1] = (nx_name_entry){NX_STR("b\0"), 1};
    ix.entries[2] = (nx_name_entry){NX_STR("b"), 2};
    ix.entries[3] = (nx_name_entry){NX_STR("b"), 3};
    assert_false(nx_name_index_sort(&ix, &a, &b));
    assert_int_equal(a, 2);
    assert_int_equal(b, 3);
    nx_name_index_free(&ix);

    assert_int_equal(nx_name_index_alloc(&ix, 0, NULL), NX_OK);
    assert_true(nx_name_index_sort(&ix, &a, &b));
    assert_int_equal(nx_name_index_find(&ix, NX_STR("a")), -1);
    nx_name_index_free(&ix);
}

static void shows_text_safely(void **state)
{
    char out[16];
    (void)state;

    assert_string_equal(nx_printable(out, sizeof out, NX_STR("")), "");
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("na\xc3\xafve")), "na\xc3\xafve");
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("\x1b[2J\n")), "\\x1B[2J\\x0A");
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("a\0b\xff")), "a\\x00b\\xFF");
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("\xc2\x9b")), "\\xC2\\x9B"); /* C1 */
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("123456789012345")),
                        "123456789012345");
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("1234567890123456")),
                        "123456789012...");
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("12345678901\xc3\xa9xyz")),
                        "12345678901...");
    assert_string_equal(nx_printable(out, sizeof out, NX_STR("\1\1\1\1\1\1")),
                        "\\x01\\x01\\x01...");
}

static void shows_the_end_of_a_path(void **state)
{
    char out[16];
    (void)state;

    assert_string_equal(nx_printable_path(out, sizeof out, "/a/model.gguf"), "/a/model.gguf");
    assert_string_equal(nx_printable_path(out, sizeof out, "/a/longer/way/model.gguf"),
                        "...y/model.gguf");
    assert_string_equal(nx_printable_path(out, sizeof out, "/a/longer/\xc3\xa9/model.gguf"),
                        ".../model.gguf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_finds_each_name),
        cmocka_unit_test(index_finds_duplicates),
        cmocka_unit_test(shows_text_safely),
        cmocka_unit_test(shows_the_end_of_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
