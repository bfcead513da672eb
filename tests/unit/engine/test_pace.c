/* test_pace.c - protects what the engine believes of a step's cost: it decides how long a prompt's slices
 * are, and whether guessing pays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lookup.h"
#include "engine/pace.h"

static void test_nothing_is_known_at_first(void **state)
{
    nx_pace p = {0};

    (void)state;
    assert_true(nx_pace_cost(&p, 8) == 0);
    assert_false(nx_pace_knows(&p, 8));
    assert_int_equal(nx_pace_room(&p, 8, 100, 2), -1);
}

static void test_cost_lies_between_neighbours_and_grows_in_proportion(void **state)
{
    nx_pace p = {0};

    (void)state;
    nx_pace_learn(&p, 2, 10);
    nx_pace_learn(&p, 6, 30);
    assert_float_equal(nx_pace_cost(&p, 4), 20, 1e-9);
    assert_float_equal(nx_pace_cost(&p, 1), 10, 1e-9);
    assert_float_equal(nx_pace_cost(&p, 12), 60, 1e-9);
}

/* Every row count has a class, and its own steps are what is known of it. */
static void test_any_row_count(void **state)
{
    (void)state;
    for (int32_t rows = 1; rows > 0 && rows < 1 << 29; rows += 1 + rows / 7) {
        nx_pace p = {0};
        nx_pace_learn(&p, rows, 3);
        assert_true(nx_pace_knows(&p, rows));
        assert_float_equal(nx_pace_cost(&p, rows), 3, 1e-9);
    }
}

static void test_room_keeps_a_step_within_its_stretch(void **state)
{
    nx_pace p = {0};

    (void)state;
    for (int32_t rows = 1; rows <= 512; rows++) nx_pace_learn(&p, rows, 80 + rows);
    int32_t room = nx_pace_room(&p, 8, 500, 2);
    assert_true(room % 4 == 0 && room >= 76 && room <= 96);
    assert_int_equal(nx_pace_room(&p, 8, 40, 2), 40);
    assert_int_equal(nx_pace_room(&p, 8, 500, 1.01), 0);
}

static void test_one_bad_moment_counts_little_and_is_forgotten(void **state)
{
    nx_pace p = {0};

    (void)state;
    nx_pace_learn(&p, 5, 10);
    nx_pace_learn(&p, 5, 10000);
    assert_true(nx_pace_cost(&p, 5) <= 12);
    nx_pace_learn(&p, 9, 1000);
    for (int i = 0; i < 3000; i++) nx_pace_forgive(&p, 9);
    assert_true(nx_pace_cost(&p, 9) < 10);
}

static void test_trust_follows_what_was_right(void **state)
{
    nx_lookup l = {0};

    (void)state;
    float first = nx_lookup_expected(&l, 4);
    assert_true(first > 1 && first < 3);
    for (int i = 0; i < 20; i++) nx_lookup_learn(&l, 4, 4);
    assert_true(nx_lookup_expected(&l, 4) > 3.8f && nx_lookup_expected(&l, 4) <= 4);
    for (int i = 0; i < 40; i++) nx_lookup_learn(&l, 4, 0);
    assert_true(nx_lookup_expected(&l, 4) < 0.1f);
    assert_true(nx_lookup_expected(&l, 0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known_at_first),
        cmocka_unit_test(test_cost_lies_between_neighbours_and_grows_in_proportion),
        cmocka_unit_test(test_any_row_count),
        cmocka_unit_test(test_room_keeps_a_step_within_its_stretch),
        cmocka_unit_test(test_one_bad_moment_counts_little_and_is_forgotten),
        cmocka_unit_test(test_trust_follows_what_was_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
