/* Protects: what relevance is judged by: the best cosines, the share of the question's words that the passages have,
 * names and numbers that none has; all features stay within 0 and 1; more of the same never makes a question less
 * likely to be answered; without passages it is 0. Not the weights themselves: those are measured (docs/rag.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "rag/answer_in.h"

static const float any_vector[1];

static nx_passage passage(const char *text, float cosine, int32_t rank)
{
    return (nx_passage){.chunk = {.text = nx_str_of(text)},
                        .has_dense = cosine > 0,
                        .dense = cosine,
                        .words = 4,
                        .rank_dense = cosine > 0 ? rank : 0,
                        .rank_words = rank};
}

static float relevance(const char *question, nx_passage *list, size_t n)
{
    nx_question q = {.text = nx_str_of(question), .vector = any_vector};
    nx_passages p = {.passages = list, .n = n};
    float       r = nx_relevance(&q, &p);

    if (!(r >= 0 && r <= 1)) fail_msg("%s: %f", question, (double)r);
    return r;
}

static void features_of(float f[NX_REL_FEATURES], const char *question, nx_passage *list, size_t n)
{
    nx_question       q = {.text = nx_str_of(question), .vector = any_vector};
    nx_passages       p = {.passages = list, .n = n};
    nx_question_words asked;
    nx_error          err;

    if (nx_question_words_read(&asked, q.text, &err)) fail_msg("%s", err.text);
    if (nx_relevance_features(f, &q, &asked, &p, &err)) fail_msg("%s", err.text);
    nx_question_words_free(&asked);
    for (int i = 0; i < NX_REL_FEATURES; i++)
        if (!(f[i] >= 0 && f[i] <= 1)) fail_msg("%s: feature %d is %f", question, i, (double)f[i]);
}

#define QUESTION "How long is the audit log of Gatekeeper kept?"

static void what_is_seen(void **state)
{
    nx_passage list[] = {passage("The audit log of Gatekeeper is kept for 2 years.", 0.8f, 1),
                         passage("Backups are kept for 35 days.", 0.5f, 2),
                         passage("A parcel stays for seven days.", 0.2f, 3)};
    float      f[NX_REL_FEATURES];

    (void)state;
    features_of(f, QUESTION, list, 3);
    assert_float_equal(f[NX_REL_COSINE], 0.8f, 1e-6);
    assert_float_equal(f[NX_REL_COSINE_MEAN], 0.5f, 1e-6);
    assert_float_equal(f[NX_REL_AGREE], 1, 0);
    assert_float_equal(f[NX_REL_MISSING_NAME], 0, 0); /* Gatekeeper is there */
    assert_true(f[NX_REL_SHARE_ALL] >= f[NX_REL_SHARE] && f[NX_REL_SHARE] > 0.5f);
    features_of(f, QUESTION, list + 1, 2);
    assert_float_equal(f[NX_REL_MISSING_NAME], 1, 0);
    assert_true(f[NX_REL_MISSING] > 0);
    assert_true(f[NX_REL_SHARE_ALL] < 0.7f);

    /* Titles and headings count as the passage's words. */
    list[1].chunk.title = NX_STR("Gatekeeper");
    features_of(f, QUESTION, list + 1, 2);
    assert_float_equal(f[NX_REL_MISSING_NAME], 0, 0);
}

static void better_is_more_likely(void **state)
{
    nx_passage right = passage("The audit log of Gatekeeper is kept for 2 years.", 0.8f, 1),
               far = passage("The audit log of Gatekeeper is kept for 2 years.", 0.2f, 1),
               other = passage("Parcels stay in the locker.", 0.2f, 1), both[2];

    (void)state;
    assert_float_equal(relevance(QUESTION, NULL, 0), 0, 0);
    assert_true(relevance(QUESTION, &right, 1) > NX_RELEVANT);
    assert_true(relevance(QUESTION, &other, 1) < NX_RELEVANT);
    assert_true(relevance(QUESTION, &right, 1) > relevance(QUESTION, &far, 1));
    assert_true(relevance(QUESTION, &far, 1) > relevance(QUESTION, &other, 1));
    both[0] = other;
    both[1] = right;
    assert_true(relevance(QUESTION, both, 2) >= relevance(QUESTION, &other, 1));
}

static void odd_questions(void **state)
{
    static const char *const questions[] = {
        "", "?!", "the of a", "\xC3\xA9", "1 2 3 4 5 6 7 8 9", "GATEKEEPER Gatekeeper gatekeeper"};
    nx_passage right = passage("The audit log of Gatekeeper is kept for 2 years.", 1, 1),
               empty = passage("", 0, 1), many[20];

    (void)state;
    for (size_t i = 0; i < 20; i++) many[i] = right; /* more than are looked at */
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        float f[NX_REL_FEATURES];
        features_of(f, questions[i], &right, 1);
        features_of(f, questions[i], &empty, 1);
        features_of(f, questions[i], many, 20);
        (void)relevance(questions[i], &empty, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_seen),
        cmocka_unit_test(better_is_more_likely),
        cmocka_unit_test(odd_questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
