/* Protects the cuts over candidate tokens: each is compared with a plain version that sorts all. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/candidates.h"
#include "num/rng.h"

#define N 2000

static void fill(nx_candidates *s, nx_candidate *all, size_t n, uint64_t seed)
{
    nx_rng rng;

    nx_rng_seed(&rng, seed);
    for (size_t i = 0; i < n; i++) {
        /* Coarse values, so that ties are common. */
        float logit = (float)floor(nx_rng_uniform(&rng) * 40) * 0.25f;
        s->c[i] = all[i] = (nx_candidate){(int32_t)i, logit};
    }
    s->n = n;
    s->n_sorted = 0;
    qsort(all, n, sizeof *all, nx_candidate_order);
}

static void test_sort_makes_the_first_k_the_likeliest(void **state)
{
    nx_candidates s;
    nx_candidate  all[N];

    (void)state;
    assert_int_equal(nx_candidates_open(&s, N, false, NULL), NX_OK);
    for (uint64_t seed = 0; seed < 200; seed++) {
        size_t n = 1 + seed * 10 % N, k = 1 + seed * 7 % n;
        fill(&s, all, n, seed);
        nx_candidates_sort(&s, k / 2);
        nx_candidates_sort(&s, k);
        for (size_t i = 0; i < k; i++) assert_int_equal(s.c[i].id, all[i].id);
        char seen[N] = {0};
        for (size_t i = 0; i < n; i++) seen[s.c[i].id]++;
        for (size_t i = 0; i < n; i++) assert_int_equal(seen[i], 1);
    }
    nx_candidates_close(&s);
}

static void test_top_k_keeps_k(void **state)
{
    nx_candidates s;
    nx_candidate  all[N];

    (void)state;
    assert_int_equal(nx_candidates_open(&s, N, false, NULL), NX_OK);
    fill(&s, all, N, 3);
    nx_candidates_top_k(&s, 40);
    assert_int_equal(s.n, 40);
    for (size_t i = 0; i < 40; i++) assert_int_equal(s.c[i].id, all[i].id);
    nx_candidates_top_k(&s, 100);
    assert_int_equal(s.n, 40);
    nx_candidates_close(&s);
}

static double mass_of(const nx_candidate *c, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) sum += exp((double)c[i].logit);
    return sum;
}

static void test_top_p_keeps_the_least_that_reaches_p(void **state)
{
    nx_candidates s;
    nx_candidate  all[N];

    (void)state;
    assert_int_equal(nx_candidates_open(&s, N, false, NULL), NX_OK);
    for (uint64_t seed = 0; seed < 50; seed++) {
        double p = 0.02 + 0.96 * (double)seed / 50;
        fill(&s, all, N, seed);
        double total = mass_of(all, N);
        nx_candidates_top_p(&s, p);
        assert_true(s.n >= 1);
        assert_true(mass_of(all, s.n) >= p * total * (1 - 1e-12));
        if (s.n > 1) assert_true(mass_of(all, s.n - 1) < p * total * (1 + 1e-12));
        nx_candidates_sort(&s, s.n);
        for (size_t i = 0; i < s.n; i++) assert_int_equal(s.c[i].id, all[i].id);
    }
    nx_candidates_close(&s);
}

static void test_min_p_keeps_what_is_near_the_best(void **state)
{
    nx_candidates s;
    nx_candidate  all[N];

    (void)state;
    assert_int_equal(nx_candidates_open(&s, N, false, NULL), NX_OK);
    fill(&s, all, N, 5);
    nx_candidates_sort(&s, 10);
    nx_candidates_min_p(&s, 0.1);
    size_t n = 0;
    while (n < N && (double)all[n].logit >= (double)all[0].logit + log(0.1)) n++;
    assert_int_equal(s.n, n);
    nx_candidates_sort(&s, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(s.c[i].id, all[i].id);
    nx_candidates_close(&s);
}

/* A likely token surprises less than the entropy says, so typical sampling can drop it. */
static void test_typical_prefers_the_expected_surprise(void **state)
{
    nx_candidates s;

    (void)state;
    assert_int_equal(nx_candidates_open(&s, 8, true, NULL), NX_OK);
    /* One token of mass 0.4 and six of 0.1: entropy 1.75 nats; surprises 0.92 and 2.30. */
    s.n = 7;
    s.n_sorted = 0;
    for (int i = 0; i < 7; i++) s.c[i] = (nx_candidate){i, logf(i == 0 ? 0.4f : 0.1f)};
    nx_candidates_typical(&s, 0.15);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.c[0].id, 1);
    assert_int_equal(s.c[1].id, 2);
    nx_candidates_close(&s);
}

static void test_draw_follows_the_distribution(void **state)
{
    nx_candidates s;
    nx_rng        rng;
    int           counts[3] = {0};

    (void)state;
    assert_int_equal(nx_candidates_open(&s, 3, false, NULL), NX_OK);
    nx_rng_seed(&rng, 11);
    for (int i = 0; i < 60000; i++) {
        s.n = 3;
        s.n_sorted = 0;
        s.c[0] = (nx_candidate){0, logf(0.2f)};
        s.c[1] = (nx_candidate){1, logf(0.7f)};
        s.c[2] = (nx_candidate){2, logf(0.1f)};
        counts[nx_candidates_draw(&s, 1.0, nx_rng_uniform(&rng))]++;
    }
    /* Four standard deviations of a binomial of 60,000 are below 450. */
    assert_in_range(counts[0], 12000 - 450, 12000 + 450);
    assert_in_range(counts[1], 42000 - 450, 42000 + 450);
    assert_in_range(counts[2], 6000 - 450, 6000 + 450);
    assert_int_equal(nx_candidates_draw(&s, 1.0, 0.0), 1);
    assert_int_equal(nx_candidates_draw(&s, 1.0, 0.9999999), 2);
    nx_candidates_close(&s);
}

static void test_open_reports_lack_of_memory(void **state)
{
    nx_candidates s;
    nx_error      err;

    (void)state;
    for (int i = 0; i < 3; i++) {
        nx_alloc_fail_after(i);
        assert_int_equal(nx_candidates_open(&s, 10, true, &err), NX_ENOMEM);
        nx_alloc_fail_after(-1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort_makes_the_first_k_the_likeliest),
        cmocka_unit_test(test_top_k_keeps_k),
        cmocka_unit_test(test_top_p_keeps_the_least_that_reaches_p),
        cmocka_unit_test(test_min_p_keeps_what_is_near_the_best),
        cmocka_unit_test(test_typical_prefers_the_expected_surprise),
        cmocka_unit_test(test_draw_follows_the_distribution),
        cmocka_unit_test(test_open_reports_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
