/* Protects: an extracted answer is made of the documents' own bytes, at most three sentences and eighty words, each cited
 * with exactly its range; nothing relevant, and it says so; units are what people would quote. Words alone decide here;
 * tests/eval measures it with the model that ships. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "rag/answer_in.h"

static const char backups[] =
    "Every database is backed up at night. The copies are checked by a robot.\n\n"
    "| what | how long |\n|---|---|\n| nightly full backup of the database | 35 days |\n"
    "| audit log of gatekeeper | 2 years |\n\n"
    "The queue mailroom is not backed up. It holds nothing that can't be sent again.\n";

static const char commands[] =
    "OPTIONS\n\n-r, --recursive\nCopy directories with all that is in them. Links are followed.\n\n"
    "-v, --verbose\nTell what is done.\n\n```\nlockctl ping STATION --sms\n```\n\n"
    "How do I cancel a parcel?\n\nPress the red key for three seconds. Then close the door.\n";

static nx_passage passages[2];

static int set_up(void **state)
{
    (void)state;
    nx_passage_given(&passages[0], nx_str_of(backups), NX_STR("Backups"), NX_STR("/backups.md"));
    nx_passage_given(&passages[1], nx_str_of(commands), NX_STR("lockctl"), NX_STR("/lockctl.1"));
    for (int i = 0; i < 2; i++) {
        passages[i].chunk.start_pos = 500;
        passages[i].chunk.end_pos = 500 + passages[i].chunk.text.len;
        passages[i].words = 4;
        passages[i].rank_words = i + 1;
    }
    return 0;
}

static void check(const nx_extracted *x)
{
    int32_t words = 0;

    if (!x->found) {
        assert_string_equal(x->text.data, NX_NOT_IN_DOCUMENTS);
        assert_int_equal(x->citations.n, 0);
        return;
    }
    assert_in_range(x->citations.n, 1, NX_EXTRACT_SENTENCES_MAX);
    for (size_t i = 0; i < x->citations.n; i++) {
        const nx_citation *c = &x->citations.list[i];
        nx_str             text = passages[c->passage].chunk.text;
        size_t             n = c->end_pos - c->start_pos;
        assert_true(c->quoted);
        assert_in_range(c->end_pos, 501, 500 + text.len);
        assert_true(c->at >= n + 1);
        assert_memory_equal(x->text.data + c->at - 1 - n, text.p + c->start_pos - 500, n);
        words += nx_count_words((nx_str){text.p + c->start_pos - 500, n});
    }
    assert_in_range(words, 1, NX_EXTRACT_WORDS_MAX);
}

static void expect(const char *question, const char *holds)
{
    nx_question  q = {.text = nx_str_of(question)};
    nx_passages  p = {.passages = passages, .n = 2};
    nx_extracted x;
    nx_error     err = {0};

    if (nx_extract_answer(&x, &q, &p, NULL, &err)) fail_msg("%s", err.text);
    check(&x);
    if (!strstr(x.text.data, holds))
        fail_msg("%s: %s (%f)", question, x.text.data, (double)x.confidence);
    nx_extracted_free(&x);
}

static void answers(void **state)
{
    (void)state;
    expect("How long is the nightly full backup of the database kept?", "35 days");
    expect("For how long is the audit log of gatekeeper kept?", "2 years");
    expect("Is the queue mailroom backed up?", "not backed up");
    expect("Which option of lockctl copies directories?", "--recursive");
    expect("How do I cancel a parcel with lockctl?", "red key");
}

static void refusals(void **state)
{
    (void)state;
    expect("Who painted the Mona Lisa?", NX_NOT_IN_DOCUMENTS);
    expect("What is the chemical formula of table salt?", NX_NOT_IN_DOCUMENTS);
    expect("", NX_NOT_IN_DOCUMENTS);
    expect("?!", NX_NOT_IN_DOCUMENTS);

    nx_question  q = {.text = NX_STR("How long is the backup kept?")};
    nx_passages  none = {0};
    nx_extracted x;
    assert_int_equal(nx_extract_answer(&x, &q, &none, NULL, NULL), NX_OK);
    assert_false(x.found);
    assert_string_equal(x.text.data, NX_NOT_IN_DOCUMENTS);
    assert_true(nx_relevance(&q, &none) < NX_RELEVANT);
    nx_extracted_free(&x);
}

static void expect_unit(const nx_units *u, nx_str text, const char *words, nx_unit_kind kind,
                        const char *lead)
{
    for (size_t i = 0; i < u->n; i++) {
        const nx_unit *x = &u->list[i];
        size_t         n = strlen(words);
        if (x->end - x->begin != n || memcmp(text.p + x->begin, words, n) != 0) continue;
        assert_int_equal(x->kind, kind);
        assert_int_equal(x->lead_end - x->lead_begin, strlen(lead));
        assert_memory_equal(text.p + x->lead_begin, lead, strlen(lead));
        return;
    }
    fail_msg("not a unit: %s", words);
}

static void units(void **state)
{
    nx_str   text = nx_str_of(commands);
    nx_units u;

    (void)state;
    assert_int_equal(nx_units_read(&u, text, NULL), NX_OK);
    expect_unit(&u, text, "-r, --recursive\nCopy directories with all that is in them.",
                NX_UNIT_ITEM, "OPTIONS");
    expect_unit(&u, text, "lockctl ping STATION --sms", NX_UNIT_CODE, "OPTIONS");
    expect_unit(&u, text, "Press the red key for three seconds.", NX_UNIT_SENTENCE,
                "How do I cancel a parcel?");
    nx_units_free(&u);

    text = nx_str_of(backups);
    assert_int_equal(nx_units_read(&u, text, NULL), NX_OK);
    expect_unit(&u, text, "| audit log of gatekeeper | 2 years |", NX_UNIT_ROW, "");
    expect_unit(&u, text, "The queue mailroom is not backed up.", NX_UNIT_SENTENCE, "");
    assert_true(u.list[u.n - 1].leans);
    nx_units_free(&u);
}

/* A sentence without an end is cut into pieces; each is of the text, and none is too long. */
static void long_sentences(void **state)
{
    nx_buf   b = {.max = 1 << 20};
    nx_units u;

    (void)state;
    for (int i = 0; i < 2000; i++)
        assert_int_equal(nx_buf_addf(&b, NULL, "word%d%s ", i, i % 7 ? "" : ","), NX_OK);
    assert_int_equal(nx_units_read(&u, (nx_str){b.data, b.len}, NULL), NX_OK);
    assert_true(u.n >= 2000 / NX_UNIT_WORDS_MAX);
    for (size_t i = 0; i < u.n; i++) {
        assert_in_range(u.list[i].n_words, 1, NX_UNIT_WORDS_MAX);
        assert_true(i == 0 || u.list[i].begin >= u.list[i - 1].end);
    }
    nx_units_free(&u);
    nx_buf_free(&b);
}

static void wants(void **state)
{
    static const struct {
        const char *question;
        nx_want     want;
        const char *yes, *no;
    } cases[] = {
        {"How many lockers are there?", NX_WANT_NUMBER, "There are 18.", "There are lockers."},
        {"Who leads the team?", NX_WANT_PERSON, "The team is led by Mei Tanaka.",
         "The team is led well."},
        {"When does it end?", NX_WANT_TIME, "It ends in March.", "It ends well."},
        {"Which option copies directories?", NX_WANT_COMMAND, "Use --recursive for it.",
         "It copies well."},
        {"Where is the key kept?", NX_WANT_PLACE, "The key is under the mat.",
         "The key stays dry."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nx_question_words w;
        assert_int_equal(nx_question_words_read(&w, nx_str_of(cases[i].question), NULL), NX_OK);
        assert_int_equal(w.want, cases[i].want);
        assert_true(nx_want_met(w.want, nx_str_of(cases[i].yes)));
        assert_false(nx_want_met(w.want, nx_str_of(cases[i].no)));
        nx_question_words_free(&w);
    }
}

static void memory(void **state)
{
    nx_question q = {.text = NX_STR("Is the queue mailroom backed up?")};
    nx_passages p = {.passages = passages, .n = 2};

    (void)state;
    for (int n = 0;; n++) {
        nx_extracted x;
        nx_alloc_fail_after(n);
        nx_status st = nx_extract_answer(&x, &q, &p, NULL, NULL);
        nx_alloc_fail_after(-1);
        nx_extracted_free(&x);
        if (!st) break;
        assert_int_equal(st, NX_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),        cmocka_unit_test(refusals), cmocka_unit_test(units),
        cmocka_unit_test(long_sentences), cmocka_unit_test(wants),    cmocka_unit_test(memory),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
