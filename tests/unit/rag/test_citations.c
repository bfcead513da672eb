/* Protects: a number in an answer leads to a place that holds what is said, numbers of nothing are taken out, code and
 * what passages hold literally are no citations, and an answer that cites nothing gets numbers only behind sentences
 * that a passage holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "rag/answer.h"

static const char backups[] =
    "The archive is cleaned on Mondays. Nightly full database backups are kept for 35 days.";
static const char queue[] = "The queue `mailroom` is not backed up. See argv[1] of the script.";
static const char leave[] =
    "Everybody has 28 days of paid leave in a year, and moving house gives one day.";

static nx_passage passages[3];

static int set_up(void **state)
{
    const char *texts[] = {backups, queue, leave};

    (void)state;
    for (int i = 0; i < 3; i++) {
        nx_passage_given(&passages[i], nx_str_of(texts[i]), NX_STR("T"), NX_STR("/t.md"));
        passages[i].chunk.start_pos = 1000;
        passages[i].chunk.end_pos = 1000 + strlen(texts[i]);
    }
    return 0;
}

static nx_citations read_answer(const char *answer, const char *want)
{
    nx_buf       b = {.max = 1 << 20};
    nx_citations c;
    nx_error     err = {0};

    assert_int_equal(nx_buf_add(&b, answer, strlen(answer), NULL), NX_OK);
    if (nx_citations_read(&c, &b, passages, 3, &err)) fail_msg("%s", err.text);
    assert_string_equal(b.data, want);
    for (size_t i = 0; i < c.n; i++) {
        char mark[16];
        snprintf(mark, sizeof mark, "[%d]", c.list[i].number);
        assert_int_equal(c.list[i].at_end - c.list[i].at, strlen(mark));
        assert_memory_equal(b.data + c.list[i].at, mark, strlen(mark));
        assert_int_equal(c.list[i].number, c.list[i].passage + 1);
    }
    nx_buf_free(&b);
    return c;
}

/* The bytes that a citation leads to. */
static void expect_span(const nx_citation *c, const char *span)
{
    const char *text = passages[c->passage].chunk.text.p;

    assert_int_equal(c->end_pos - c->start_pos, strlen(span));
    assert_memory_equal(text + c->start_pos - 1000, span, strlen(span));
}

static void places(void **state)
{
    (void)state;
    nx_citations c =
        read_answer("They are kept for 35 days [1].", "They are kept for 35 days [1].");
    assert_int_equal(c.n, 1);
    assert_false(c.list[0].quoted);
    expect_span(&c.list[0], "Nightly full database backups are kept for 35 days.");
    nx_citations_free(&c);

    c = read_answer("It says \"is  NOT backed up\". [2]", "It says \"is  NOT backed up\". [2]");
    assert_true(c.list[0].quoted);
    expect_span(&c.list[0], "is not backed up");
    nx_citations_free(&c);

    /* the quote stands in another passage; the words stand in another passage */
    c = read_answer("It says \"is not backed up\" [1].", "It says \"is not backed up\" [2].");
    nx_citations_free(&c);
    c = read_answer("There are 28 days of paid leave in a year [2].",
                    "There are 28 days of paid leave in a year [3].");
    nx_citations_free(&c);

    c = read_answer("It says \"is kept for ever\" [1].", "It says \"is kept for ever\" [1].");
    assert_int_equal(c.n_misquoted, 1);
    assert_false(c.list[0].quoted);
    nx_citations_free(&c);
}

static void groups(void **state)
{
    (void)state;
    nx_citations c = read_answer("Backups and the queue [1, 2].", "Backups and the queue [1][2].");
    assert_int_equal(c.n, 2);
    nx_citations_free(&c);
    c = read_answer("All [1-3] [1][1; 9] [Passage 2].", "All [1][2][3] [1][1] [2].");
    assert_int_equal(c.n, 6);
    assert_int_equal(c.n_unknown, 1);
    nx_citations_free(&c);
    c = read_answer("So it is [9]. And [0] so [12 ] on.", "So it is. And so on.");
    assert_int_equal(c.n, 0);
    assert_int_equal(c.n_unknown, 3);
    nx_citations_free(&c);
}

static void no_marks(void **state)
{
    static const char *const same[] = {
        "Use argv[1] there, said I.",
        "Run `x[1]` now.",
        "```\na[1] = b[2];\n```\nso",
        "A [link] and [ ] and [1",
        "[999999999999999999999] is huge",
        "[-1] [a1] [1a]",
        "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (!*same[i]) continue;
        nx_citations c = read_answer(same[i], same[i]);
        assert_int_equal(c.n, 0);
        nx_citations_free(&c);
    }
}

static void derived(void **state)
{
    (void)state;
    nx_citations c =
        read_answer(" Everybody has 28 days of paid leave in a year. I like that.",
                    " Everybody has 28 days of paid leave in a year. [3] I like that.");
    assert_int_equal(c.n, 1);
    assert_true(c.list[0].derived && c.list[0].quoted);
    expect_span(&c.list[0], "Everybody has 28 days of paid leave in a year");
    nx_citations_free(&c);

    c = read_answer("The passages do not say.", "The passages do not say.");
    assert_int_equal(c.n, 0);
    nx_citations_free(&c);
    c = read_answer("Bees make honey of nectar.", "Bees make honey of nectar.");
    assert_int_equal(c.n, 0);
    nx_citations_free(&c);
}

static void declines(void **state)
{
    static const char *const yes[] = {
        NX_NOT_IN_DOCUMENTS,
        " The passages do not say.",
        "I don't know.",
        "The provided documents do not contain information about this.",
        "There is no information about bees in the context.",
    };
    static const char *const no[] = {"The queue is not backed up.", "Everybody has 28 days [1].",
                                     "The documents do not say why, but it is 35 days [1].", ""};

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(nx_answer_declines(nx_str_of(yes[i])));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(nx_answer_declines(nx_str_of(no[i])));
}

static void memory(void **state)
{
    static const char text[] = "They are kept for 35 days [1]. \"not backed up\" [1, 2]. So [9].";

    (void)state;
    for (int n = 0;; n++) {
        nx_buf       b = {.max = 1 << 20};
        nx_citations c;
        assert_int_equal(nx_buf_add(&b, text, strlen(text), NULL), NX_OK);
        nx_alloc_fail_after(n);
        nx_status st = nx_citations_read(&c, &b, passages, 3, NULL);
        nx_alloc_fail_after(-1);
        if (st) {
            assert_int_equal(st, NX_ENOMEM);
            assert_string_equal(b.data, text);
        }
        nx_citations_free(&c);
        nx_buf_free(&b);
        if (!st) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),  cmocka_unit_test(groups),   cmocka_unit_test(no_marks),
        cmocka_unit_test(derived), cmocka_unit_test(declines), cmocka_unit_test(memory),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
