/* Protects the whole way from text to tokens on a real model: prompt ids, greedy tokens and
 * log-probabilities of stories260K as llama.cpp computed them (shared/data/README.md).
 * Skipped, by name, where the data isn't there. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "engine/generate.h"
#include "lib/backends.h"
#include "os/file.h"

#define TOLERANCE 0.01

typedef struct fixture {
    nx_llm      *llm;
    json_object *expected;
} fixture;

/* What one case must give, and where we are in it. */
typedef struct walk {
    json_object *steps;
    size_t       n;
    double       worst;
} walk;

static char *shared_path(char *out, size_t cap, const char *name)
{
    const char *root = getenv("NX_SHARED");

    snprintf(out, cap, "%s/data/models/%s", root && *root ? root : NX_SOURCE_DIR "/../shared",
             name);
    return out;
}

static int open_fixture(void **state)
{
    static fixture f;
    char           path[1024];
    nx_backend    *be = NULL;
    nx_error       err;

    f.expected = json_object_from_file(shared_path(path, sizeof path, "stories260K.expected.json"));
    if (!f.expected) return -1;
    if (nx_backends_create(&be, 2, false, &err) ||
        nx_llm_open(&f.llm, shared_path(path, sizeof path, "stories260K.gguf"), be, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    fixture *f = *state;

    nx_llm_close(f->llm);
    json_object_put(f->expected);
    return 0;
}

static json_object *get(json_object *o, const char *key)
{
    json_object *value = NULL;

    if (!json_object_object_get_ex(o, key, &value)) fail_msg("no key %s", key);
    return value;
}

static int32_t int_at(json_object *array, size_t i)
{
    return json_object_get_int(json_object_array_get_idx(array, i));
}

static void check_prompt(const fixture *f, json_object *c, nx_ids *ids)
{
    json_object *want = get(c, "prompt_tokens"), *prompt = get(c, "prompt");

    assert_int_equal(nx_vocab_encode(f->llm->vocab, ids, json_object_get_string(prompt),
                                     (size_t)json_object_get_string_len(prompt),
                                     NX_ENCODE_ADD_SPECIAL, NULL),
                     NX_OK);
    assert_int_equal(ids->n, json_object_array_length(want));
    for (size_t i = 0; i < ids->n; i++) assert_int_equal(ids->ids[i], int_at(want, i));
}

static void check_step(void *ctx, const nx_step *step)
{
    walk        *w = ctx;
    json_object *want = json_object_array_get_idx(w->steps, w->n++);
    json_object *top = get(want, "top");

    assert_int_equal(step->id, json_object_get_int(get(want, "id")));
    for (size_t i = 0; i < json_object_array_length(top); i++) {
        json_object *pair = json_object_array_get_idx(top, i);
        float        ours;
        nx_logprobs(NULL, 0, &ours, int_at(pair, 0), step->logits, step->n_vocab);
        double off =
            fabs((double)ours - json_object_get_double(json_object_array_get_idx(pair, 1)));
        if (off > w->worst) w->worst = off;
    }
}

static void check_case(const fixture *f, json_object *c, double *worst)
{
    nx_timeline_options tl_opt = {.kv_dtype = NX_DTYPE_F16};
    nx_sampler_options  greedy;
    nx_sampler         *sampler = NULL;
    nx_timeline        *tl = NULL;
    nx_ids              ids = {0};
    walk                w = {.steps = get(c, "steps"), .worst = *worst};

    check_prompt(f, c, &ids);
    nx_sampler_options_default(&greedy);
    greedy.temperature = 0;
    assert_int_equal(nx_sampler_create(&sampler, &greedy, f->llm->model->hp.n_vocab, NULL), NX_OK);
    assert_int_equal(nx_timeline_create(&tl, f->llm, &tl_opt, NULL), NX_OK);
    nx_generation g = {.n_predict = (int32_t)json_object_array_length(w.steps),
                       .sampler = sampler,
                       .ignore_end = true,
                       .on_step = check_step,
                       .ctx = &w};
    assert_int_equal(nx_generate_run(&g, tl, ids.ids, ids.n, NULL), NX_OK);
    assert_int_equal(w.n, json_object_array_length(w.steps));
    *worst = w.worst;
    nx_timeline_destroy(tl);
    nx_sampler_destroy(sampler);
    nx_ids_free(&ids);
}

static void test_every_token_and_logprob(void **state)
{
    const fixture *f = *state;
    json_object   *cases = get(f->expected, "cases");
    double         worst = 0;

    assert_int_equal(json_object_array_length(cases), 8);
    for (size_t i = 0; i < json_object_array_length(cases); i++)
        check_case(f, json_object_array_get_idx(cases, i), &worst);
    print_message("worst log-probability: %.5f off\n", worst);
    assert_true(worst <= TOLERANCE);
}

int main(void)
{
    char path[1024];

    if (!nx_file_exists(shared_path(path, sizeof path, "stories260K.gguf"))) {
        printf("SKIP stories_golden: no %s\n", path);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_token_and_logprob)};
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
