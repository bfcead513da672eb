/* Protects: recall@k, MRR and nDCG@10 are what the books say; documents are ranked by their best passage; a span
 * counts whatever the blanks and marks around it; and a set's faults are named with their line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rag/measure.h"

static void test_sources(void **state)
{
    (void)state;
    assert_true(nx_source_is(NX_STR("/a/b/c.md"), NX_STR("b/c.md")));
    assert_true(nx_source_is(NX_STR("c.md"), NX_STR("c.md")));
    assert_false(nx_source_is(NX_STR("/a/bc.md"), NX_STR("c.md")));
    assert_false(nx_source_is(NX_STR("c.md"), NX_STR("b/c.md")));
    assert_false(nx_source_is(NX_STR("c.md"), NX_STR("")));
}

static void test_documents(void **state)
{
    const nx_str   right[] = {NX_STR("b"), NX_STR("d")};
    const nx_gold  g = {.documents = right, .n_documents = 2};
    const nx_found found[] = {{NX_STR("/a"), NX_STR("")}, {NX_STR("/a"), NX_STR("")},
                              {NX_STR("/b"), NX_STR("")}, {NX_STR("/b"), NX_STR("")},
                              {NX_STR("/c"), NX_STR("")}, {NX_STR("/d"), NX_STR("")}};
    nx_measure     m = {.k = 2};
    size_t         rank;

    (void)state;
    assert_int_equal(nx_measure_documents(&m, &g, found, 6, &rank, NULL), NX_OK);
    nx_figures f = nx_measure_figures(&m);
    assert_int_equal(rank, 2); /* places are of documents: a, b, c, d */
    assert_float_equal(f.recall, 0.5, 1e-9);
    assert_float_equal(f.mrr, 0.5, 1e-9);
    assert_float_equal(f.ndcg, (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3)), 1e-9);
    assert_int_equal(nx_measure_documents(&m, &g, NULL, 0, &rank, NULL), NX_OK);
    assert_int_equal(rank, 0);
    assert_float_equal(nx_measure_figures(&m).mrr, 0.25, 1e-9);
}

static void test_spans(void **state)
{
    const nx_gold_span spans[] = {{NX_STR("a.md"), NX_STR("*south*, in\nMillbrook")},
                                  {NX_STR("a.md"), NX_STR("takes over")}};
    const nx_gold      g = {.spans = spans, .n_spans = 2};
    const nx_found     found[] = {{NX_STR("/b.md"), NX_STR("south, in Millbrook takes over")},
                                  {NX_STR("/a.md"), NX_STR("South in  Millbrook, takes over.")}};
    nx_measure         m = {.k = 5};
    size_t             rank;

    (void)state;
    assert_int_equal(nx_measure_spans(&m, &g, found, 2, &rank, NULL), NX_OK);
    nx_figures f = nx_measure_figures(&m);
    assert_int_equal(rank, 2);
    assert_float_equal(f.recall, 1, 1e-9);
    assert_float_equal(f.mrr, 0.5, 1e-9);
    assert_true(f.ndcg > 0.6 && f.ndcg <= 1);
}

static nx_status read_set(nx_question_set *set, const char *text, nx_error *err)
{
    char  path[] = "/tmp/nexus-set-XXXXXX";
    int   fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");

    fputs(text, f);
    fclose(f);
    nx_status st = nx_question_set_read(set, path, err);
    unlink(path);
    return st;
}

static void test_set(void **state)
{
    nx_question_set set;
    nx_error        err;

    (void)state;
    assert_int_equal(
        read_set(&set,
                 "{\"question\": \"a?\", \"documents\": [\"x\", \"y\"]}\n\n"
                 "{\"question\": \"b?\", \"kind\": \"out\"}\n"
                 "{\"id\": \"c\", \"question\": \"c?\", \"kind\": \"answerable\", \"spans\": "
                 "[{\"source\": \"x\", \"text\": \"1\"}, {\"source\": \"x\", \"text\": \"2\"}]}",
                 &err),
        NX_OK);
    assert_int_equal(set.n, 3);
    assert_int_equal(set.n_answerable, 2);
    assert_int_equal(set.n_spans, 2);
    assert_int_equal(set.list[0].n_documents, 2);
    assert_int_equal(set.list[2].n_documents, 1); /* of its spans */
    assert_true(nx_str_eq(set.list[2].id, NX_STR("c")));
    nx_question_set_free(&set);

    const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"question\": \"a?\", \"documents\": [\"x\"]}\n{", "line 2"},
        {"{\"documents\": []}", "no \"question\""},
        {"{\"question\": \"a?\"}", "an answerable question needs"},
        {"{\"question\": \"a?\", \"documents\": [1]}", "no text"},
        {"{\"question\": \"a?\", \"documents\": 1}", "no array"},
        {"{\"question\": \"a?\", \"spans\": [{}]}", "a span needs"},
        {"[]", "no \"question\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_set(&set, bad[i].text, &err), NX_EFORMAT);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s", err.text);
    }
    assert_int_equal(nx_question_set_read(&set, "/nowhere/set.jsonl", &err), NX_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
