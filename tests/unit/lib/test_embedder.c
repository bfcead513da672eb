/* The embedder, over the model that ships: a vector has the same bits whatever is computed beside it, and
 * whoever else asks; long texts are refused, cut or read in windows, and counted; what was asked for comes
 * from the cache; a wish to stop is heard; and a model that embeds isn't taken for a reranker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>

#include "base/alloc.h"
#include "engine/embedder.h"
#include "engine/reranker.h"
#include "lib/backends.h"

#define MODEL NX_SOURCE_DIR "/models/all-minilm-l6-v2.gguf"
#define DIMS  384
#define TEXTS 12

static const char *const texts[TEXTS] = {
    "",
    "hello",
    "What is a page cache?",
    "Memory that keeps parts of files, so that they need not be read again.",
    "Wie heißt der Fluss, der durch Łódź fließt? Ångström, naïve, déjà vu.",
    "人工知能は東京都庁前駅の機械である",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen",
    "🙂 👩‍💻 🔥",
    "a",
    "the quick brown fox jumps over the lazy dog and comes back again to do it once more",
    "x y z",
    "[SEP] is what ends a text",
};

static nx_llm *open_llm(void)
{
    nx_backend *be;
    nx_llm     *llm = NULL;
    nx_error    err;

    if (nx_backends_create(&be, 2, NX_PRECISION_FINE, &err) || nx_llm_open(&llm, MODEL, be, &err))
        fail_msg("%s", err.text);
    return llm;
}

static nx_embedder *open_embedder(int32_t n_cache)
{
    const nx_embedder_options opt = {.n_cache = n_cache, .n_batch = 64};
    nx_embedder              *e;
    nx_error                  err;

    if (nx_embedder_open(&e, open_llm(), &opt, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_embedder_dims(e), DIMS);
    return e;
}

/* Texts from `first` on, round and round. */
static void embed(nx_embedder *e, float *out, int32_t first, int32_t n)
{
    nx_embed_text    list[2 * TEXTS];
    nx_embed_options opt;
    nx_embed_report  report;
    nx_error         err;

    for (int32_t i = 0; i < n; i++)
        list[i] = (nx_embed_text){.text = nx_str_of(texts[(first + i) % TEXTS])};
    nx_embed_options_default(&opt);
    if (nx_embedder_run(e, out, list, n, &opt, &report, &err)) fail_msg("%s", err.text);
    assert_int_equal(report.failed, -1);
    assert_int_equal(report.n_long, 0);
}

static float alone[TEXTS][DIMS];

static void fill_alone(nx_embedder *e)
{
    for (int32_t i = 0; i < TEXTS; i++) {
        double squares = 0;
        embed(e, alone[i], i, 1);
        for (int d = 0; d < DIMS; d++) squares += (double)alone[i][d] * (double)alone[i][d];
        assert_true(fabs(squares - 1) < 1e-5);
    }
}

static void test_together_is_as_alone(void **state)
{
    static float out[2 * TEXTS][DIMS];
    nx_embedder *e = open_embedder(0);

    (void)state;
    fill_alone(e);
    for (int32_t first = 0; first < TEXTS; first += 5) {
        embed(e, out[0], first, 2 * TEXTS);
        for (int32_t i = 0; i < 2 * TEXTS; i++)
            assert_memory_equal(out[i], alone[(first + i) % TEXTS], sizeof alone[0]);
    }
    nx_embedder_close(e);
}

/* ---- Several at once ---- */

typedef struct asker {
    nx_embedder *e;
    pthread_t    thread;
    int32_t      first, n_wrong;
} asker;

static void *ask(void *arg)
{
    asker *a = arg;
    float *out = nx_alloc(TEXTS * DIMS, sizeof *out);

    for (int32_t round = 0; out && round < 4; round++) {
        int32_t first = a->first + round, n = 1 + (first * 5) % TEXTS;
        embed(a->e, out, first, n);
        for (int32_t i = 0; i < n; i++)
            a->n_wrong += memcmp(out + i * DIMS, alone[(first + i) % TEXTS], sizeof alone[0]) != 0;
    }
    a->n_wrong += !out;
    nx_free(out);
    return NULL;
}

static void test_askers_take_turns(void **state)
{
    asker        askers[4];
    nx_embedder *e = open_embedder(5); /* few: entries come and go */

    (void)state;
    fill_alone(e);
    for (int i = 0; i < 4; i++) {
        askers[i] = (asker){.e = e, .first = 3 * i};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].n_wrong, 0);
    }
    nx_embedder_close(e);
}

/* ---- Long texts, the cache, stopping ---- */

static void test_long_texts(void **state)
{
    char             text[4000] = "";
    float            cut[DIMS], windows[DIMS];
    nx_embedder     *e = open_embedder(0);
    nx_embed_options opt;
    nx_embed_report  r;
    nx_error         err;

    (void)state;
    for (int i = 0; i < 600; i++) strcat(text, "word ");
    const nx_embed_text two[] = {{.text = NX_STR("short")}, {.text = nx_str_of(text)}};
    nx_embed_options_default(&opt);
    assert_int_equal(nx_embedder_run(e, cut, two, 2, &opt, &r, &err), NX_ELIMIT);
    assert_int_equal(r.failed, 1);
    assert_non_null(strstr(err.text, "602 tokens"));
    opt.long_texts = NX_LONG_CUT;
    assert_int_equal(nx_embedder_run(e, cut, two + 1, 1, &opt, &r, &err), NX_OK);
    assert_int_equal(r.n_long, 1);
    assert_int_equal(r.n_tokens, 256);
    assert_int_equal(r.n_cut, 602 - 256);
    opt.long_texts = NX_LONG_WINDOWS;
    assert_int_equal(nx_embedder_run(e, windows, two + 1, 1, &opt, &r, &err), NX_OK);
    assert_int_equal(r.n_windows, 3);
    assert_int_equal(r.n_tokens, 600 + 3 * 2);
    assert_memory_not_equal(cut, windows, sizeof cut);
    nx_embedder_close(e);
}

static void test_the_cache_answers(void **state)
{
    static float out[2][TEXTS][DIMS];
    nx_embedder *e = open_embedder(TEXTS);

    (void)state;
    embed(e, out[0][0], 0, TEXTS);
    embed(e, out[1][0], 0, TEXTS);
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    nx_embed_cache_stats s = nx_embedder_cache(e);
    assert_int_equal(s.n, TEXTS);
    assert_int_equal(s.n_hits, TEXTS);
    nx_embedder_cache_clear(e);
    assert_int_equal(nx_embedder_cache(e).n, 0);
    nx_embedder_close(e);
}

static void test_refusals(void **state)
{
    static const int32_t ids[] = {7592, 40000};
    const nx_embed_text  wrong = {.ids = ids, .n_ids = 2}, right = {.text = NX_STR("x")};
    float                out[DIMS];
    atomic_bool          stop = true;
    nx_embedder         *e = open_embedder(0);
    nx_embed_options     opt;
    nx_embed_report      r;
    nx_reranker         *reranker;
    nx_error             err;

    (void)state;
    nx_embed_options_default(&opt);
    assert_int_equal(nx_embedder_run(e, out, &wrong, 1, &opt, &r, &err), NX_EINVAL);
    opt.n_dims = DIMS + 1;
    assert_int_equal(nx_embedder_run(e, out, &right, 1, &opt, &r, &err), NX_EINVAL);
    opt.n_dims = 0;
    opt.cancel = &stop;
    assert_int_equal(nx_embedder_run(e, out, &right, 1, &opt, &r, &err), NX_ECANCELLED);
    nx_embedder_close(e);
    assert_int_equal(nx_reranker_open(&reranker, open_llm(), &err), NX_EUNSUPPORTED);
    assert_null(reranker);
    assert_non_null(strstr(err.text, "no reranker"));
}

static void test_order(void **state)
{
    const float   logits[] = {0.5f, NAN, 2, 0.5f, -INFINITY, 2};
    const int32_t want[] = {2, 5, 0, 3, 4, 1};
    nx_rerank_hit hits[6];

    (void)state;
    nx_rerank_sort(hits, logits, 6);
    for (int i = 0; i < 6; i++) assert_int_equal(hits[i].index, want[i]);
    assert_true(nx_rerank_score(0) == 0.5 && nx_rerank_score(INFINITY) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together_is_as_alone),
        cmocka_unit_test(test_askers_take_turns),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_the_cache_answers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
