/* The queue: high priority first; of one priority, owners share by tokens, however many each has
 * waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/queue.h"

static nx_queue_item item(uint64_t owner, double cost, nx_job_priority priority)
{
    return (nx_queue_item){.owner = owner, .cost = cost, .priority = priority};
}

static void test_one_request_passes_a_hundred(void **state)
{
    nx_queue      q = {0};
    nx_queue_item many[100], one = item(2, 10, NX_PRIORITY_NORMAL);
    (void)state;

    for (int i = 0; i < 100; i++) {
        many[i] = item(1, 10, NX_PRIORITY_NORMAL);
        nx_queue_push(&q, &many[i]);
    }
    nx_queue_push(&q, &one);
    assert_ptr_equal(nx_queue_pop(&q), &many[0]);
    assert_ptr_equal(nx_queue_pop(&q), &one);
    for (int i = 1; i < 100; i++) assert_ptr_equal(nx_queue_pop(&q), &many[i]);
    assert_null(nx_queue_pop(&q));
    assert_int_equal(q.n, 0);
}

/* Owner 1 asks for long answers, owner 2 for short ones: both get the same tokens. */
static void test_tokens_are_shared(void **state)
{
    nx_queue      q = {0};
    nx_queue_item big[20], small[200];
    double        served[3] = {0};
    (void)state;

    for (int i = 0; i < 20; i++) {
        big[i] = item(1, 100, NX_PRIORITY_NORMAL);
        nx_queue_push(&q, &big[i]);
    }
    for (int i = 0; i < 200; i++) {
        small[i] = item(2, 10, NX_PRIORITY_NORMAL);
        nx_queue_push(&q, &small[i]);
    }
    for (int i = 0; i < 110; i++) {
        const nx_queue_item *it = nx_queue_pop(&q);
        served[it->owner] += it->cost;
    }
    assert_true(served[1] >= 900 && served[1] <= 1100);
    assert_true(served[2] >= 900 && served[2] <= 1100);
}

static void test_priorities_go_first(void **state)
{
    nx_queue      q = {0};
    nx_queue_item low = item(1, 1, NX_PRIORITY_LOW), normal = item(1, 1, NX_PRIORITY_NORMAL);
    nx_queue_item high = item(1, 1, NX_PRIORITY_HIGH);
    (void)state;

    nx_queue_push(&q, &low);
    nx_queue_push(&q, &normal);
    nx_queue_push(&q, &high);
    assert_ptr_equal(nx_queue_pop(&q), &high);
    assert_ptr_equal(nx_queue_pop(&q), &normal);
    nx_queue_return(&q, &normal); /* put back: its place is as before */
    assert_ptr_equal(nx_queue_peek(&q), &normal);
    nx_queue_remove(&q, &normal);
    assert_ptr_equal(nx_queue_pop(&q), &low);
}

/* Who comes late doesn't make up for the time that he wasn't there. */
static void test_absence_earns_nothing(void **state)
{
    nx_queue      q = {0};
    nx_queue_item a[50], b[50];
    int           of_b = 0;
    (void)state;

    for (int i = 0; i < 50; i++) {
        a[i] = item(1, 10, NX_PRIORITY_NORMAL);
        nx_queue_push(&q, &a[i]);
    }
    for (int i = 0; i < 25; i++) nx_queue_pop(&q);
    for (int i = 0; i < 50; i++) {
        b[i] = item(2, 10, NX_PRIORITY_NORMAL);
        nx_queue_push(&q, &b[i]);
    }
    for (int i = 0; i < 20; i++) of_b += nx_queue_pop(&q)->owner == 2;
    assert_true(of_b >= 9 && of_b <= 11);
}

static void test_more_owners_than_are_remembered(void **state)
{
    nx_queue             q = {0};
    static nx_queue_item items[4 * NX_QUEUE_OWNERS];
    (void)state;

    for (int i = 0; i < 4 * NX_QUEUE_OWNERS; i++) {
        items[i] = item((uint64_t)i, 5, NX_PRIORITY_NORMAL);
        nx_queue_push(&q, &items[i]);
    }
    for (int i = 0; i < 4 * NX_QUEUE_OWNERS; i++) assert_non_null(nx_queue_pop(&q));
    assert_null(nx_queue_peek(&q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_request_passes_a_hundred),
        cmocka_unit_test(test_tokens_are_shared),
        cmocka_unit_test(test_priorities_go_first),
        cmocka_unit_test(test_absence_earns_nothing),
        cmocka_unit_test(test_more_owners_than_are_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
