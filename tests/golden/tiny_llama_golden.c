/* Protects the walk: logits of two frozen tiny models as transformers computed them, within 1e-4 of
 * their standard deviation (f32 KV cache) and 1e-3 (f16), however the ids are cut into batches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nexus/nexus.h"

#define FOLDER  NX_SOURCE_DIR "/tests/golden/tiny-llama/"
#define IDS_MAX 256

typedef struct golden {
    int32_t ids[IDS_MAX], rows[IDS_MAX];
    size_t  n_ids, n_rows;
    int32_t n_vocab;
    float  *logits; /* [n_rows, n_vocab] */
    double  std;    /* of all of them */
} golden;

static void *read_all(const char *name, const char *suffix, size_t *len)
{
    char path[512];
    snprintf(path, sizeof path, FOLDER "%s%s", name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is missing", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *bytes = calloc(*len + 1, 1); /* a text ends with a zero */
    if (fread(bytes, 1, *len, f) != *len) fail_msg("%s: can't be read", path);
    fclose(f);
    return bytes;
}

/* The whole numbers of "key": [1, 2, 3] in text. */
static size_t read_list(int32_t out[IDS_MAX], const char *text, const char *key)
{
    const char *p = strstr(text, key);
    size_t      n = 0;

    if (!p || !(p = strchr(p, '['))) fail_msg("no list %s", key);
    while (*p != ']') {
        char *end;
        assert_true(n < IDS_MAX);
        out[n++] = (int32_t)strtol(p + 1, &end, 10);
        assert_true(end > p + 1 && (*end == ',' || *end == ']'));
        p = end;
    }
    return n;
}

static void golden_open(golden *g, const char *name)
{
    size_t len, n;
    char  *text = read_all(name, ".json", &len);

    g->n_ids = read_list(g->ids, text, "\"ids\"");
    g->n_rows = read_list(g->rows, text, "\"rows\"");
    free(text);
    g->logits = read_all(name, ".f32", &len);
    n = len / sizeof(float);
    assert_true(g->n_rows > 0 && n % g->n_rows == 0);
    g->n_vocab = (int32_t)(n / g->n_rows);

    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) sum += (double)g->logits[i];
    for (size_t i = 0; i < n; i++) square += pow((double)g->logits[i] - sum / (double)n, 2);
    g->std = sqrt(square / (double)n);
    assert_true(g->std > 1.0);
}

/* Feed the ids up to each kept position and compare; the largest difference over the deviation. */
static double largest_error(const golden *g, nx_engine *engine, nx_kv_type kv, int32_t n_batch)
{
    nx_session_options opt;
    nx_session        *s = NULL;
    nx_error           err;
    double             worst = 0;
    int32_t            fed = 0;

    nx_session_options_default(&opt);
    opt.n_ctx = (int32_t)g->n_ids;
    opt.n_batch = n_batch;
    opt.kv_type = kv;
    if (nx_session_create(&s, engine, &opt, &err)) fail_msg("%s", err.text);
    for (size_t r = 0; r < g->n_rows; r++) {
        const float *want = g->logits + r * (size_t)g->n_vocab;

        if (nx_session_eval(s, g->ids + fed, (size_t)(g->rows[r] + 1 - fed), &err))
            fail_msg("%s", err.text);
        fed = g->rows[r] + 1;
        const float *got = nx_session_logits(s);
        for (int32_t i = 0; i < g->n_vocab; i++) {
            double e = fabs((double)got[i] - (double)want[i]) / g->std;
            if (!(e <= worst)) worst = e; /* a NaN stays */
        }
    }
    nx_session_destroy(s);
    return worst;
}

static void check(const char *name)
{
    static const int32_t batches[] = {1, 7, 256};
    nx_engine           *engine = NULL;
    nx_engine_info       info;
    nx_error             err;
    golden               g;
    char                 path[512];

    golden_open(&g, name);
    snprintf(path, sizeof path, FOLDER "%s.gguf", name);
    if (nx_engine_open(&engine, path, NULL, &err)) fail_msg("%s", err.text);
    nx_engine_get_info(engine, &info);
    assert_int_equal(info.n_vocab, g.n_vocab);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        double f32 = largest_error(&g, engine, NX_KV_F32, batches[i]);
        double f16 = largest_error(&g, engine, NX_KV_F16, batches[i]);

        print_message("%s, batches of %d: %.2g of std with f32 KV, %.2g with f16\n", name,
                      (int)batches[i], f32, f16);
        assert_true(f32 <= 1e-4);
        assert_true(f16 <= 1e-3);
    }
    nx_engine_close(engine);
    free(g.logits);
}

static void test_gqa_tied(void **state)
{
    (void)state;
    check("gqa-tied");
}

static void test_rope_factors(void **state)
{
    (void)state;
    check("rope-factors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gqa_tied),
        cmocka_unit_test(test_rope_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
