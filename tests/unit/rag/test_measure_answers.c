/* Protects: an answer counts as right when it holds an expected phrase, whatever the case, blanks and marks, and a short
 * phrase only as a word of its own; a refusal counts where nothing is known, and against where something is; a citation
 * is right when its passage holds a span, or what it quotes word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rag/answer.h"
#include "rag/measure_answers.h"

static void read_set(nx_question_set *set, const char *text)
{
    char     path[] = "/tmp/nexus-set-XXXXXX";
    int      fd = mkstemp(path);
    FILE    *f = fdopen(fd, "w");
    nx_error err;

    fputs(text, f);
    fclose(f);
    if (nx_question_set_read(set, path, &err)) fail_msg("%s", err.text);
    unlink(path);
}

static nx_verdict verdict_of(const nx_gold *g, const char *answer)
{
    nx_answer_measure m = {0};
    nx_said_answer    said = {.text = nx_str_of(answer)};
    nx_verdict        v;

    assert_int_equal(nx_measure_answer(&m, g, &said, &v, NULL), NX_OK);
    return v;
}

static void phrases(void **state)
{
    static const struct {
        const char *answer;
        nx_verdict  verdict;
    } of_days[] =
        {
            {"It is kept for 35 days.", NX_VERDICT_RIGHT},
            {"35  DAYS", NX_VERDICT_RIGHT},
            {"**35**\ndays [1]", NX_VERDICT_RIGHT},
            {"It is kept for 3 days.", NX_VERDICT_WRONG},
            {"five weeks", NX_VERDICT_RIGHT},
            {NX_NOT_IN_DOCUMENTS, NX_VERDICT_REFUSED},
            {"", NX_VERDICT_REFUSED},
        },
      of_8[] = {
          {"8", NX_VERDICT_RIGHT},
          {"At 8, every day.", NX_VERDICT_RIGHT},
          {"At 18 o'clock.", NX_VERDICT_WRONG},
          {"At 80.", NX_VERDICT_WRONG},
          {"At noon [8].", NX_VERDICT_WRONG}, /* a citation's number is none of the answer's */
          {"At [8", NX_VERDICT_RIGHT},        /* that is no citation */
          {"NOON8", NX_VERDICT_WRONG},
      };
    nx_question_set set;

    (void)state;
    read_set(&set,
             "{\"question\": \"a?\", \"documents\": [\"x\"], \"phrases\": [\"35 days\", \"five "
             "weeks\"]}\n"
             "{\"question\": \"b?\", \"documents\": [\"x\"], \"phrases\": [\"8\"]}\n");
    for (size_t i = 0; i < sizeof of_days / sizeof *of_days; i++)
        if (verdict_of(&set.list[0], of_days[i].answer) != of_days[i].verdict)
            fail_msg("\"%s\"", of_days[i].answer);
    for (size_t i = 0; i < sizeof of_8 / sizeof *of_8; i++)
        if (verdict_of(&set.list[1], of_8[i].answer) != of_8[i].verdict)
            fail_msg("\"%s\"", of_8[i].answer);
    nx_question_set_free(&set);
}

static void refusals(void **state)
{
    nx_question_set   set;
    nx_answer_measure m = {0};
    nx_answer_figures f = nx_answer_measure_figures(&m);
    nx_said_answer    no = {.text = NX_STR(NX_NOT_IN_DOCUMENTS)}, yes = {.text = NX_STR("35 days")};
    nx_error          err;

    (void)state;
    assert_true(f.phrase < 0 && f.false_refusals < 0 && f.near < 0 && f.out < 0 && f.citations < 0);
    read_set(&set, "{\"question\": \"a?\", \"documents\": [\"x\"], \"phrases\": [\"35 days\"]}\n"
                   "{\"question\": \"b?\", \"kind\": \"near\"}\n"
                   "{\"question\": \"c?\", \"kind\": \"out\"}\n"
                   "{\"question\": \"d?\", \"documents\": [\"x\"]}\n");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(nx_measure_answer(&m, &set.list[i], &no, NULL, &err), NX_OK);
        assert_int_equal(nx_measure_answer(&m, &set.list[i], &yes, NULL, &err), NX_OK);
    }
    assert_int_equal(nx_measure_answer(&m, &set.list[2], &no, NULL, &err), NX_OK);
    f = nx_answer_measure_figures(&m);
    assert_float_equal(f.phrase, 0.5, 1e-9);
    assert_float_equal(f.false_refusals, 0.5, 1e-9);
    assert_float_equal(f.near, 0.5, 1e-9);
    assert_float_equal(f.out, 2.0 / 3, 1e-9);
    assert_int_equal(nx_measure_answer(&m, &set.list[3], &yes, NULL, &err), NX_EFORMAT);
    assert_non_null(strstr(err.text, "phrases"));
    nx_question_set_free(&set);
}

static void citations(void **state)
{
    static const nx_said_citation cited[] = {
        /* Its passage holds the span, in other lines. */
        {NX_STR("/d/x.md"), NX_STR("Full backups are kept\nfor 35 days."), NX_STR("kept"), false},
        /* Another document's. */
        {NX_STR("/d/y.md"), NX_STR("Full backups are kept for 35 days."), NX_STR("kept"), false},
        /* Quoted, in the passage and in the answer. */
        {NX_STR("/d/y.md"), NX_STR("All of them: 35 days."), NX_STR("35 days"), true},
        /* Said to be quoted, and it isn't in the passage, or not in the answer. */
        {NX_STR("/d/y.md"), NX_STR("All of them."), NX_STR("35 days"), true},
        {NX_STR("/d/y.md"), NX_STR("All of them."), NX_STR("of them"), true},
        /* Nothing quoted. */
        {NX_STR("/d/y.md"), NX_STR("All of them."), NX_STR(""), true},
    };
    nx_said_answer    said = {NX_STR("35 days [1]."), cited, sizeof cited / sizeof *cited};
    nx_answer_measure m = {0};
    nx_question_set   set;

    (void)state;
    read_set(&set,
             "{\"question\": \"a?\", \"spans\": [{\"source\": \"x.md\", \"text\": \"kept for 35 "
             "days\"}], \"phrases\": [\"35 days\"]}\n");
    assert_int_equal(nx_measure_answer(&m, &set.list[0], &said, NULL, NULL), NX_OK);
    assert_int_equal(m.n_citations, 6);
    assert_int_equal(m.n_citations_right, 2);
    assert_int_equal(m.n_cited, 1);
    assert_float_equal(nx_answer_measure_figures(&m).citations, 2.0 / 6, 1e-9);
    nx_question_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phrases),
        cmocka_unit_test(refusals),
        cmocka_unit_test(citations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
