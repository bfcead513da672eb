/* test_extract_tables.c - CSV, TSV, JSON and JSONL stay the file, cut at rows and items; depth and length do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "extract_rig.h"

static void rows_have_a_head_where_it_looks_like_one(void **state)
{
    (void)state;
    assert_string_equal(RIG_PARTS("a.csv", "name,price\r\nx,1.5\r\n\r\n\"a\n\"\"b\"\"\",2\r\n"),
                        "T name,price|R x,1.5|R \"a\n\"\"b\"\"\",2");
    assert_string_equal(RIG_PARTS("a.csv", "\xEF\xBB\xBFName;Ort\nx;y\n"), "T Name;Ort|R x;y");
    assert_string_equal(RIG_PARTS("a.csv", "1,2\n3,4"), "R 1,2|R 3,4");
    assert_string_equal(RIG_PARTS("a.tsv", "a\tb,c\n1\t2\n"), "T a\tb,c|R 1\t2");
    assert_string_equal(RIG_PARTS("a.csv", "a,b\n5\" pipe,2\n3,\"\"\n\"x \"\"\n\",4\n"),
                        "T a,b|R 5\" pipe,2|R 3,\"\"|R \"x \"\"\n\",4");
    assert_string_equal(RIG_PARTS("a.csv", "a,b\n\"open,1\n2,3\n"), "T a,b|R \"open,1\n2,3");
}

static void json_is_cut_at_its_outermost_items(void **state)
{
    static const char j[] =
        "{\"first\": [1, 2, {\"x, y\": \"a \\\" , b\"}, \"long enough here\"],\n \"b\": 1}";
    nx_doc doc;

    (void)state;
    assert_string_equal(
        rig_parts("a.json", j, sizeof j - 1, &doc),
        "C {\"first\": [1, 2, {\"x, y\": \"a \\\" , b\"}, \"long enough here\"],|C \"b\": 1}");
    assert_int_equal(doc.origin, NX_ORIGIN_FILE);
    assert_int_equal(doc.text.len, sizeof j - 1);
    assert_memory_equal(doc.text.data, j, sizeof j - 1);
    nx_doc_free(&doc);
    assert_string_equal(RIG_PARTS("a.jsonl", "{\"a\":1}\r\n\n{\"b\":[1,\n"),
                        "= {\"a\":1}|= {\"b\":[1,");
}

static void a_file_of_one_mark(const char *name, char mark, size_t n)
{
    nx_extract_limits limits;
    nx_doc            doc = {0};
    nx_error          err = {0};
    char             *big = nx_alloc(n, 1);

    assert_non_null(big);
    memset(big, mark, n);
    nx_extract_limits_default(&limits);
    assert_int_equal(nx_extract(&doc, nx_str_of(name), NX_STR(""), big, n, &limits, &err), NX_OK);
    assert_int_equal(doc.n_parts, 1);
    assert_int_equal(doc.parts[0].end, n);
    nx_doc_free(&doc);
    nx_free(big);
}

static void depth_and_length_do_no_harm(void **state)
{
    (void)state;
    a_file_of_one_mark("a.json", '[', 1 << 20);
    a_file_of_one_mark("a.json", '"', 1 << 20);
    a_file_of_one_mark("a.csv", '"', 8 << 20);
    a_file_of_one_mark("a.md", '>', 8 << 20);
    a_file_of_one_mark("a.md", '[', 8 << 20);
    a_file_of_one_mark("a.jsonl", '{', 8 << 20);
}

static void what_is_too_long_or_not_wanted_is_refused(void **state)
{
    nx_extract_limits limits;
    nx_doc            doc = {0};
    nx_error          err = {0};
    atomic_bool       cancel = true;
    static const char row[] = "a,b\n";
    nx_buf            many = {.max = 1 << 20};

    (void)state;
    nx_extract_limits_default(&limits);
    /* Refused by its size alone: no byte is looked at. */
    assert_int_equal(
        nx_extract(&doc, NX_STR("a\nb.csv"), NX_STR(""), row, (size_t)2 << 30, &limits, &err),
        NX_ELIMIT);
    assert_null(strchr(err.text, '\n'));
    for (int i = 0; i < 1000; i++) assert_int_equal(nx_buf_add(&many, row, 4, &err), NX_OK);
    limits.cancel = &cancel;
    assert_int_equal(
        nx_extract(&doc, NX_STR("a.csv"), NX_STR(""), many.data, many.len, &limits, &err),
        NX_ECANCELLED);
    assert_int_equal(doc.n_parts, 0);
    nx_buf_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_a_head_where_it_looks_like_one),
        cmocka_unit_test(json_is_cut_at_its_outermost_items),
        cmocka_unit_test(depth_and_length_do_no_harm),
        cmocka_unit_test(what_is_too_long_or_not_wanted_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
