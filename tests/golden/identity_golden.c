/* Protects the promise of tensor/backend.h: the same bits whatever computes them. Every logit of a
 * real walk is compared over kernels, numbers of threads, batch sizes and ways to read the text.
 * (One file's own numbers are the judge here: equality is the property, golden values stand in
 * tiny_llama_golden.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/timeline.h"
#include "lib/backends.h"

#define N 60 /* tokens read */

static const char *const models[] = {
    NX_SOURCE_DIR "/tests/golden/tiny-llama/gqa-tied.gguf",
    NX_SOURCE_DIR "/tests/golden/tiny-llama/rope-factors.gguf",
};

typedef struct run {
    const char *model, *cpu; /* cpu: value of NEXUS_CPU */
    int32_t     n_threads, n_batch;
    nx_dtype    kv_dtype;
} run;

typedef struct rows {
    float  *p; /* [N, n_vocab] */
    int32_t n_vocab;
} rows;

static void keep(void *ctx, int32_t t, const float *logits)
{
    rows *r = ctx;
    memcpy(r->p + (size_t)t * (size_t)r->n_vocab, logits, (size_t)r->n_vocab * sizeof *logits);
}

static rows walk(const run *how)
{
    nx_timeline_options opt = {.n_batch = how->n_batch, .kv_dtype = how->kv_dtype};
    nx_backend         *be = NULL;
    nx_llm             *llm = NULL;
    nx_timeline        *tl = NULL;
    nx_error            err = {0};
    int32_t             ids[N];

    setenv("NEXUS_CPU", how->cpu, 1);
    if (nx_backends_create(&be, how->n_threads, false, &err) ||
        nx_llm_open(&llm, how->model, be, &err) || nx_timeline_create(&tl, llm, &opt, &err))
        fail_msg("%s", err.text);
    rows r = {.n_vocab = llm->model->hp.n_vocab};
    r.p = calloc((size_t)N * (size_t)r.n_vocab, sizeof *r.p);
    assert_non_null(r.p);
    for (int i = 0; i < N; i++) ids[i] = (i * 37 + 5) % r.n_vocab;
    assert_int_equal(nx_timeline_eval_each(tl, ids, N, keep, &r, &err), NX_OK);
    assert_memory_equal(nx_timeline_logits(tl), r.p + (size_t)(N - 1) * (size_t)r.n_vocab,
                        (size_t)r.n_vocab * sizeof *r.p);
    nx_timeline_destroy(tl);
    nx_llm_close(llm);
    return r;
}

static void test_same_bits(void **state)
{
    static const nx_dtype    kvs[] = {NX_DTYPE_F16, NX_DTYPE_F32};
    static const char *const cpus[] = {"ref", ""};
    static const int32_t     threads[] = {1, 2, 4}, batches[] = {1, 7, 512};
    int                      n_compared = 0;

    (void)state;
    for (int m = 0; m < 2; m++) {
        for (int kv = 0; kv < 2; kv++) {
            rows first = walk(&(run){models[m], "ref", 1, 1, kvs[kv]});
            for (int c = 0; c < 18; c++) {
                rows r = walk(
                    &(run){models[m], cpus[c / 9], threads[c % 3], batches[c / 3 % 3], kvs[kv]});
                assert_memory_equal(first.p, r.p, (size_t)N * (size_t)r.n_vocab * sizeof *r.p);
                free(r.p);
                n_compared++;
            }
            free(first.p);
        }
    }
    print_message("%d walks of %d tokens gave the same bits\n", n_compared, N);
}

/* Going back and reading again gives what reading once gave. */
static void test_rewind_and_slices(void **state)
{
    nx_timeline_options opt = {.kv_dtype = NX_DTYPE_F16};
    nx_backend         *be = NULL;
    nx_llm             *llm = NULL;
    nx_timeline        *tl = NULL;
    nx_error            err = {0};
    int32_t             ids[N];

    (void)state;
    rows whole = walk(&(run){models[0], "", 2, 512, NX_DTYPE_F16});
    for (int i = 0; i < N; i++) ids[i] = (i * 37 + 5) % whole.n_vocab;
    assert_int_equal(nx_backends_create(&be, 2, false, &err), NX_OK);
    assert_int_equal(nx_llm_open(&llm, models[0], be, &err), NX_OK);
    assert_int_equal(nx_timeline_create(&tl, llm, &opt, &err), NX_OK);
    assert_null(nx_timeline_logits(tl));
    assert_int_equal(nx_timeline_eval(tl, ids, 40, NULL, NULL, &err), NX_OK);
    assert_int_equal(nx_timeline_eval(tl, ids, 3, NULL, NULL, &err), NX_OK);
    nx_timeline_rewind(tl, 25);
    assert_null(nx_timeline_logits(tl));
    assert_int_equal(nx_timeline_length(tl), 25);
    assert_int_equal(nx_timeline_eval(tl, ids + 25, N - 25, NULL, NULL, &err), NX_OK);
    assert_memory_equal(nx_timeline_ids(tl), ids, sizeof ids);
    assert_memory_equal(nx_timeline_logits(tl), whole.p + (size_t)(N - 1) * (size_t)whole.n_vocab,
                        (size_t)whole.n_vocab * sizeof(float));

    /* What can't be read changes nothing. */
    int32_t bad = whole.n_vocab;
    assert_int_equal(nx_timeline_eval(tl, &bad, 1, NULL, NULL, &err), NX_EINVAL);
    assert_int_equal(nx_timeline_eval(tl, ids, 0, NULL, NULL, &err), NX_EINVAL);
    assert_int_equal(nx_timeline_length(tl), N);
    assert_non_null(nx_timeline_logits(tl));
    nx_timeline_destroy(tl);
    nx_llm_close(llm);
    free(whole.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_rewind_and_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
