/* The book of KV pages: no page is lost or lent twice, prefixes are found again, and what was used
 * longest ago goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/pages.h"
#include "num/rng.h"

#define LEN 4

static nx_pages *make(int32_t n)
{
    nx_pages *p;

    assert_int_equal(nx_pages_create(&p, n, LEN, NULL), NX_OK);
    return p;
}

static nx_pages_count counts(const nx_pages *p)
{
    nx_pages_count c;

    nx_pages_counts(p, &c);
    return c;
}

/* Publish a text of n pages, page i holding LEN times the number text[i]; returns the last node. */
static nx_page publish(nx_pages *p, const char *text)
{
    nx_page at = nx_pages_root(0);

    for (; *text; text++) {
        int32_t ids[LEN] = {*text, *text, *text, *text};
        nx_page there = nx_pages_find(p, at, ids);
        if (there >= 0) {
            nx_pages_hold(p, there);
        } else {
            nx_page page = nx_pages_take(p);
            assert_true(page >= 0);
            there = nx_pages_publish(p, at, ids, page);
        }
        at = there;
    }
    return at;
}

static void let_go(nx_pages *p, nx_page node)
{
    while (node >= 0) {
        nx_page up = nx_pages_parent(p, node);
        nx_pages_let_go(p, node);
        node = up;
    }
}

/* How many pages of text are in the tree, from its beginning. */
static int known(const nx_pages *p, const char *text)
{
    nx_page at = nx_pages_root(0);
    int     n = 0;

    for (; text[n]; n++) {
        int32_t ids[LEN] = {text[n], text[n], text[n], text[n]};
        at = nx_pages_find(p, at, ids);
        if (at < 0) break;
    }
    return n;
}

static void test_prefixes_are_shared(void **state)
{
    nx_pages *p = make(8);
    (void)state;

    nx_page one = publish(p, "abc"), two = publish(p, "abd");
    assert_int_equal(counts(p).n_free, 4); /* a, b, c, d */
    assert_int_equal(known(p, "abcx"), 3);
    assert_int_equal(known(p, "b"), 0); /* in the middle of a text is no beginning */
    let_go(p, one);
    assert_int_equal(counts(p).n_cached, 1);
    let_go(p, two);
    assert_int_equal(counts(p).n_cached, 4);
    assert_true(nx_pages_check(p));
    nx_pages_forget(p);
    assert_int_equal(counts(p).n_free, 8);
    nx_pages_destroy(p);
}

static void test_roots_are_apart(void **state)
{
    nx_pages *p = make(4);
    int32_t   ids[LEN] = {1, 2, 3, 4};
    (void)state;

    nx_pages_publish(p, nx_pages_root(0), ids, nx_pages_take(p));
    assert_true(nx_pages_find(p, nx_pages_root(1), ids) < 0);
    assert_true(nx_pages_find(p, nx_pages_root(0), ids) >= 0);
    nx_pages_destroy(p);
}

static void test_what_was_used_longest_ago_goes_first(void **state)
{
    nx_pages *p = make(6);
    (void)state;

    let_go(p, publish(p, "ab"));
    let_go(p, publish(p, "cd"));
    let_go(p, publish(p, "ef"));
    let_go(p, publish(p, "ab")); /* used again: now the newest */
    assert_int_equal(counts(p).n_free, 0);
    assert_true(nx_pages_take(p) >= 0);
    assert_int_equal(known(p, "cd"), 1); /* the leaf first */
    assert_true(nx_pages_take(p) >= 0);
    assert_int_equal(known(p, "cd"), 0);
    assert_int_equal(known(p, "ef"), 2);
    assert_true(nx_pages_take(p) >= 0 && nx_pages_take(p) >= 0);
    assert_int_equal(known(p, "ef"), 0);
    assert_int_equal(known(p, "ab"), 2);
    assert_int_equal(counts(p).n_evicted, 4);
    nx_pages_destroy(p);
}

static void test_held_pages_stay(void **state)
{
    nx_pages *p = make(3);
    (void)state;

    nx_page node = publish(p, "abc");
    assert_int_equal(nx_pages_take(p), -1);
    let_go(p, node);
    assert_true(nx_pages_take(p) >= 0);
    nx_pages_destroy(p);
}

/* Two sequences computed the same page at once: one of the two is kept. */
static void test_a_double_is_given_back(void **state)
{
    nx_pages *p = make(4);
    int32_t   ids[LEN] = {7, 7, 7, 7};
    nx_page   a = nx_pages_take(p), b = nx_pages_take(p);
    (void)state;

    assert_int_equal(nx_pages_publish(p, nx_pages_root(0), ids, a), a);
    assert_int_equal(nx_pages_publish(p, nx_pages_root(0), ids, b), a);
    assert_int_equal(counts(p).n_free, 3);
    nx_pages_let_go(p, a);
    assert_int_equal(counts(p).n_cached, 0); /* the second still holds it */
    nx_pages_let_go(p, a);
    assert_int_equal(counts(p).n_cached, 1);
    nx_pages_destroy(p);
}

/* Random texts of two letters published, held a while, let go in any order. */
static void test_random_use_keeps_the_invariant(void **state)
{
    enum { HELD = 12, N = 40 };
    nx_pages *p = make(N);
    nx_page   held[HELD];
    nx_rng    rng;
    (void)state;

    nx_rng_seed(&rng, 5);
    for (int i = 0; i < HELD; i++) held[i] = -1;
    for (int round = 0; round < 20000; round++) {
        int  k = (int)(nx_rng_uniform(&rng) * HELD), n = 1 + (int)(nx_rng_uniform(&rng) * 3);
        char text[4] = "";
        if (held[k] >= 0) let_go(p, held[k]);
        for (int i = 0; i < n; i++) text[i] = (char)('a' + (int)(nx_rng_uniform(&rng) * 4));
        text[n] = '\0';
        held[k] = publish(p, text);
        assert_int_equal(known(p, text), n);
        if (round % 50 == 0) assert_true(nx_pages_check(p));
    }
    for (int i = 0; i < HELD; i++)
        if (held[i] >= 0) let_go(p, held[i]);
    assert_true(nx_pages_check(p));
    assert_int_equal(counts(p).n_free + counts(p).n_cached, N);
    nx_pages_destroy(p);
}

static void test_out_of_memory(void **state)
{
    nx_pages *p;
    (void)state;

    for (int n = 0; n < 5; n++) {
        nx_alloc_fail_after(n);
        assert_int_equal(nx_pages_create(&p, 8, LEN, NULL), NX_ENOMEM);
        assert_null(p);
    }
    nx_alloc_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes_are_shared),
        cmocka_unit_test(test_roots_are_apart),
        cmocka_unit_test(test_what_was_used_longest_ago_goes_first),
        cmocka_unit_test(test_held_pages_stay),
        cmocka_unit_test(test_a_double_is_given_back),
        cmocka_unit_test(test_random_use_keeps_the_invariant),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
