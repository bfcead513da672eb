/* Protects the sampler: the order of its steps, each option's effect and range, its repeatability,
 * and log-probabilities. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/sampler.h"
#include "num/rng.h"

#define V 300

static float logits[V];

static int make_logits(void **state)
{
    nx_rng rng;

    (void)state;
    nx_rng_seed(&rng, 1);
    for (int i = 0; i < V; i++) logits[i] = (float)(nx_rng_uniform(&rng) * 12 - 6);
    logits[40] = 7;
    logits[41] = 7;
    return 0;
}

static nx_sampler *sampler(const nx_sampler_options *opt)
{
    nx_sampler *s = NULL;
    nx_error    err;

    if (nx_sampler_create(&s, opt, V, &err)) fail_msg("%s", err.text);
    return s;
}

static int32_t next(nx_sampler *s, const int32_t *history, size_t n)
{
    int32_t id = -1;

    assert_int_equal(nx_sampler_next(s, &id, logits, history, n, NULL), NX_OK);
    return id;
}

static nx_sampler_options greedy(void)
{
    nx_sampler_options opt;

    nx_sampler_options_default(&opt);
    opt.temperature = 0;
    return opt;
}

static void test_greedy_takes_the_lowest_id_of_equals(void **state)
{
    nx_sampler_options opt = greedy();
    nx_sampler        *s = sampler(&opt);

    (void)state;
    assert_int_equal(next(s, NULL, 0), 40);
    nx_sampler_destroy(s);
}

static void test_bias_comes_before_all(void **state)
{
    nx_sampler_options opt = greedy();
    nx_logit_bias      bias[] = {{40, -INFINITY}, {7, 30}};

    (void)state;
    opt.bias = bias;
    opt.n_bias = 1;
    nx_sampler *s = sampler(&opt);
    assert_int_equal(next(s, NULL, 0), 41);
    nx_sampler_destroy(s);
    opt.n_bias = 2;
    s = sampler(&opt);
    bias[1].id = 9; /* the sampler keeps its own copy */
    assert_int_equal(next(s, NULL, 0), 7);
    nx_sampler_destroy(s);
}

static void test_penalties_see_their_window(void **state)
{
    nx_sampler_options opt = greedy();
    int32_t            history[] = {40, 3, 3, 5};

    (void)state;
    opt.repeat_penalty = 2;
    nx_sampler *s = sampler(&opt);
    assert_int_equal(next(s, history, 4), 41);
    assert_int_equal(next(s, history, 4), 41); /* nothing is left over from the first call */
    nx_sampler_destroy(s);

    opt.penalty_window = 3; /* 40 lies before it */
    s = sampler(&opt);
    assert_int_equal(next(s, history, 4), 40);
    nx_sampler_destroy(s);

    opt = greedy();
    opt.presence_penalty = 0.5f;
    opt.penalty_window = -1;
    s = sampler(&opt);
    assert_int_equal(next(s, history, 4), 41);
    nx_sampler_destroy(s);
}

/* Frequency counts occurrences: once costs less than the gap to the next token, thrice more. */
static void test_frequency_counts(void **state)
{
    nx_sampler_options opt = greedy();
    int32_t            once[] = {40}, thrice[] = {40, 40, 40};
    nx_logit_bias      ahead = {40, 2};

    (void)state;
    opt.frequency_penalty = 1;
    opt.bias = &ahead;
    opt.n_bias = 1;
    nx_sampler *s = sampler(&opt);
    assert_int_equal(next(s, once, 1), 40);
    assert_int_equal(next(s, thrice, 3), 41);
    nx_sampler_destroy(s);
}

static void test_same_seed_same_text(void **state)
{
    nx_sampler_options opt;
    int32_t            a[100], b[100], c[100];

    (void)state;
    nx_sampler_options_default(&opt);
    opt.temperature = 2;
    opt.min_p = 0;
    opt.top_k = 0;
    opt.top_p = 1;
    for (int run = 0; run < 3; run++) {
        int32_t *out = run == 0 ? a : run == 1 ? b : c;
        opt.seed = run == 2 ? 6 : 5;
        nx_sampler *s = sampler(&opt);
        for (int i = 0; i < 100; i++) out[i] = next(s, NULL, 0);
        nx_sampler_destroy(s);
    }
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
}

/* However the set is narrowed, the draw stays inside it. */
static void test_cuts_hold_for_the_draw(void **state)
{
    nx_sampler_options opt;

    (void)state;
    nx_sampler_options_default(&opt);
    opt.temperature = 5;
    opt.top_k = 2;
    nx_sampler *s = sampler(&opt);
    for (int i = 0; i < 200; i++) {
        int32_t id = next(s, NULL, 0);
        assert_true(id == 40 || id == 41);
    }
    nx_sampler_destroy(s);

    opt.top_k = 0;
    opt.min_p = 0.999f;
    opt.typical_p = 0.9f;
    s = sampler(&opt);
    for (int i = 0; i < 50; i++) {
        int32_t id = next(s, NULL, 0);
        assert_in_range(id, 0, V - 1);
    }
    nx_sampler_destroy(s);
}

static void test_nan_logits_are_never_chosen(void **state)
{
    nx_sampler_options opt = greedy();
    nx_sampler        *s = sampler(&opt);
    float              bad[V];
    int32_t            id;
    nx_error           err;

    (void)state;
    for (int i = 0; i < V; i++) bad[i] = NAN;
    assert_int_equal(nx_sampler_next(s, &id, bad, NULL, 0, &err), NX_EINTERNAL);
    bad[17] = -3;
    assert_int_equal(nx_sampler_next(s, &id, bad, NULL, 0, &err), NX_OK);
    assert_int_equal(id, 17);
    nx_sampler_destroy(s);
}

/* Likelier than all others, and a number to reckon with: inf - inf would be none. */
static void test_infinite_logits_are_the_likeliest(void **state)
{
    nx_sampler_options opt;
    float              bad[V];
    int32_t            id;
    nx_error           err;

    (void)state;
    nx_sampler_options_default(&opt);
    opt.typical_p = 0.9f;
    nx_sampler *s = sampler(&opt);
    for (int i = 0; i < V; i++) bad[i] = (float)i;
    bad[17] = INFINITY;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(nx_sampler_next(s, &id, bad, NULL, 0, &err), NX_OK);
        assert_int_equal(id, 17);
    }
    nx_sampler_destroy(s);
}

static void test_options_out_of_range_are_named(void **state)
{
    const struct {
        nx_sampler_options opt;
        const char        *name;
    } cases[] = {
        {{.temperature = -1}, "temperature"},
        {{.temperature = NAN}, "temperature"},
        {{.top_k = -1}, "top-k"},
        {{.top_p = 0}, "top-p"},
        {{.top_p = 1.5f}, "top-p"},
        {{.top_p = 1, .typical_p = 0}, "typical-p"},
        {{.top_p = 1, .typical_p = 1, .min_p = -0.1f}, "min-p"},
        {{.top_p = 1, .typical_p = 1, .repeat_penalty = 0}, "repetition"},
        {{.top_p = 1, .typical_p = 1, .repeat_penalty = 1, .presence_penalty = INFINITY},
         "presence"},
        {{.top_p = 1, .typical_p = 1, .repeat_penalty = 1, .penalty_window = -2}, "window"},
    };
    nx_sampler *s = NULL;
    nx_error    err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(nx_sampler_create(&s, &cases[i].opt, V, &err), NX_EINVAL);
        assert_null(s);
        assert_non_null(strstr(err.text, cases[i].name));
    }
    nx_logit_bias      bias = {V, 1};
    nx_sampler_options opt = greedy();
    opt.bias = &bias;
    opt.n_bias = 1;
    assert_int_equal(nx_sampler_create(&s, &opt, V, &err), NX_EINVAL);
}

static void test_create_reports_lack_of_memory(void **state)
{
    nx_sampler_options opt = greedy();
    nx_sampler        *s = NULL;
    nx_error           err;

    (void)state;
    opt.typical_p = 0.5f;
    for (int i = 0; i < 7; i++) {
        nx_alloc_fail_after(i);
        assert_int_equal(nx_sampler_create(&s, &opt, V, &err), NX_ENOMEM);
        nx_alloc_fail_after(-1);
        assert_null(s);
    }
}

static void test_logprobs_are_a_log_softmax(void **state)
{
    nx_logprob top[V];
    float      of_id = 0;
    double     sum = 0;

    (void)state;
    nx_logprobs(top, V, &of_id, 123, logits, V);
    for (int i = 0; i < V; i++) {
        sum += exp((double)top[i].logprob);
        if (i > 0) assert_true(top[i - 1].logprob >= top[i].logprob);
        if (top[i].id == 123) assert_true(top[i].logprob == of_id);
    }
    assert_true(fabs(sum - 1) < 1e-5);
    assert_int_equal(top[0].id, 40);
    assert_int_equal(top[1].id, 41);
    nx_logprobs(top, 3, &of_id, -1, logits, V);
    assert_int_equal(top[0].id, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_takes_the_lowest_id_of_equals),
        cmocka_unit_test(test_bias_comes_before_all),
        cmocka_unit_test(test_penalties_see_their_window),
        cmocka_unit_test(test_frequency_counts),
        cmocka_unit_test(test_same_seed_same_text),
        cmocka_unit_test(test_cuts_hold_for_the_draw),
        cmocka_unit_test(test_nan_logits_are_never_chosen),
        cmocka_unit_test(test_infinite_logits_are_the_likeliest),
        cmocka_unit_test(test_options_out_of_range_are_named),
        cmocka_unit_test(test_create_reports_lack_of_memory),
        cmocka_unit_test(test_logprobs_are_a_log_softmax),
    };
    return cmocka_run_group_tests(tests, make_logits, NULL);
}
