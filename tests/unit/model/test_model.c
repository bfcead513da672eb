/* Protects the binding of a model: what is described wrongly, missing, unknown or surplus is
 * refused by name; the rest lands where the walk looks for it. Rope angles are checked against the
 * formula in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "format/gguf_write.h"
#include "model/kv.h"
#include "model/model.h"
#include "model/rope.h"

#define EMBD    32
#define FF      48
#define HEADS   4
#define KV      2
#define N_VOCAB 11

/* A correct file but for what a test changes. */
typedef struct spec {
    const char *arch;
    int         n_layers, n_heads, n_heads_kv, n_rot, key_length;
    float       eps, rope_base;
    const char *scaling;
    float       factor;
    bool        untied, factors;
    float       first_factor;
    int         experts;
    const char *drop, *extra, *wrong_shape; /* tensor names */
    const char *drop_key;
} spec;

static spec good(void)
{
    return (spec){.arch = "llama",
                  .n_layers = 2,
                  .n_heads = HEADS,
                  .n_heads_kv = KV,
                  .eps = 1e-5f,
                  .rope_base = 10000,
                  .first_factor = 1};
}

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

typedef struct builder {
    nx_gguf_writer *w;
    const spec     *s;
    int64_t         n[64]; /* numbers of each tensor, in order */
    int             n_tensors;
} builder;

static void put_int(builder *b, const char *name, int64_t x)
{
    char key[96];

    snprintf(key, sizeof key, "%s.%s", b->s->arch, name);
    if (x && !is(b->s->drop_key, name)) nx_gguf_put_int(b->w, key, NX_META_U32, x);
}

static void put_float(builder *b, const char *name, float x)
{
    char key[96];

    snprintf(key, sizeof key, "%s.%s", b->s->arch, name);
    if (x != 0 && !is(b->s->drop_key, name)) nx_gguf_put_f32(b->w, key, x);
}

static void tensor(builder *b, const char *name, int64_t cols, int64_t rows)
{
    int64_t ne[2] = {cols, rows};

    if (is(b->s->drop, name)) return;
    if (is(b->s->wrong_shape, name)) ne[0]++;
    nx_gguf_add_tensor(b->w, name, NX_DTYPE_F32, rows == 1 ? 1 : 2, ne);
    b->n[b->n_tensors++] = ne[0] * ne[1];
}

static void put_metadata(builder *b)
{
    const spec *s = b->s;
    char        key[96];

    nx_gguf_put_string(b->w, "general.architecture", nx_str_of(s->arch));
    put_int(b, "block_count", s->n_layers);
    put_int(b, "context_length", 128);
    put_int(b, "embedding_length", EMBD);
    put_int(b, "feed_forward_length", FF);
    put_int(b, "attention.head_count", s->n_heads);
    put_int(b, "attention.head_count_kv", s->n_heads_kv);
    put_int(b, "attention.key_length", s->key_length);
    put_int(b, "rope.dimension_count", s->n_rot);
    put_int(b, "expert_count", s->experts);
    put_float(b, "attention.layer_norm_rms_epsilon", s->eps);
    put_float(b, "rope.freq_base", s->rope_base);
    put_float(b, "rope.scaling.factor", s->factor);
    snprintf(key, sizeof key, "%s.rope.scaling.type", s->arch);
    if (s->scaling) nx_gguf_put_string(b->w, key, nx_str_of(s->scaling));
}

static void put_layer(builder *b, int layer)
{
    const struct {
        const char *name;
        int64_t     cols, rows;
    } slots[] = {
        {"attn_norm", EMBD, 1},     {"attn_q", EMBD, EMBD},      {"attn_k", EMBD, EMBD / 2},
        {"attn_v", EMBD, EMBD / 2}, {"attn_output", EMBD, EMBD}, {"ffn_norm", EMBD, 1},
        {"ffn_gate", EMBD, FF},     {"ffn_up", EMBD, FF},        {"ffn_down", FF, EMBD},
    };
    char name[64];

    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, slots[i].name);
        tensor(b, name, slots[i].cols, slots[i].rows);
    }
}

static void build(nx_buf *out, const spec *s)
{
    builder  b = {.s = s};
    nx_error err;

    out->max = 1 << 20;
    assert_int_equal(nx_gguf_writer_open_buf(&b.w, out, &err), NX_OK);
    put_metadata(&b);
    tensor(&b, "token_embd.weight", EMBD, N_VOCAB);
    tensor(&b, "output_norm.weight", EMBD, 1);
    if (s->untied) tensor(&b, "output.weight", EMBD, N_VOCAB);
    if (s->factors) tensor(&b, "rope_freqs.weight", EMBD / HEADS / 2, 1);
    for (int i = 0; i < 2; i++) put_layer(&b, i);
    if (s->extra) tensor(&b, s->extra, EMBD, 1);
    if (nx_gguf_begin(b.w, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < b.n_tensors; i++) {
        for (int64_t k = 0; k < b.n[i]; k++) {
            float x = s->factors && k == 0 ? s->first_factor : 1;
            assert_int_equal(nx_gguf_write(b.w, &x, sizeof x, &err), NX_OK);
        }
    }
    if (nx_gguf_commit(b.w, &err)) fail_msg("%s", err.text);
    nx_gguf_writer_destroy(b.w);
}

/* Open a model of spec s; the file and the checkpoint are closed by the next call of done(). */
static nx_buf         file;
static nx_checkpoint *cp;

static nx_status open_model(nx_model **m, const spec *s, nx_error *err)
{
    build(&file, s);
    if (nx_checkpoint_open_bytes(&cp, "test.gguf", file.data, file.len, err))
        fail_msg("%s", err->text);
    return nx_model_open(m, cp, err);
}

static void done(nx_model *m)
{
    nx_model_close(m);
    nx_checkpoint_close(cp);
    nx_buf_free(&file);
}

static void refused(const spec *s, nx_status status, const char *named)
{
    nx_model *m = NULL;
    nx_error  err = {0};

    assert_int_equal(open_model(&m, s, &err), status);
    assert_null(m);
    if (!strstr(err.text, named) || !strstr(err.text, "test.gguf"))
        fail_msg("\"%s\" doesn't name %s and the file", err.text, named);
    done(NULL);
}

static void test_a_model_is_bound(void **state)
{
    nx_model *m = NULL;
    nx_error  err;
    spec      s = good();

    (void)state;
    if (open_model(&m, &s, &err)) fail_msg("%s", err.text);
    uint64_t per_layer = 2 * EMBD + 2 * EMBD * EMBD + EMBD * EMBD + 3 * EMBD * FF;
    uint64_t n = 2 * per_layer + EMBD * N_VOCAB + EMBD;
    assert_int_equal(m->n_params, n);
    assert_int_equal(m->weights_bytes, 4 * n);
    assert_int_equal(m->bytes_per_token, 4 * n); /* tied: the head is the whole embedding */
    assert_true(m->head_tied && m->head.data == m->tok_embd.data);
    assert_int_equal(m->hp.head_dim, EMBD / HEADS);
    assert_int_equal(m->hp.n_rot, EMBD / HEADS);
    assert_int_equal(m->hp.n_ctx, 128);
    assert_string_equal(m->layers[1].wv.name, "blk.1.attn_v.weight");
    assert_true(m->layers[1].ffn_norm[EMBD - 1] == 1.0f);
    assert_null(m->rope_factors);
    done(m);

    s.untied = s.factors = true;
    s.first_factor = 8;
    if (open_model(&m, &s, &err)) fail_msg("%s", err.text);
    assert_false(m->head_tied);
    assert_true(m->rope_factors[0] == 8);
    assert_int_equal(m->bytes_per_token, m->weights_bytes - 4 * EMBD * (N_VOCAB - 1));
    done(m);
}

static void test_refusals_name_what_is_wrong(void **state)
{
    spec s;

    (void)state;
    s = good(), s.arch = "bloom";
    refused(&s, NX_EUNSUPPORTED, "\"bloom\" is not supported (supported: llama");
    s = good(), s.experts = 8;
    refused(&s, NX_EFORMAT, "llama.expert_used_count");
    s = good(), s.n_layers = 3;
    refused(&s, NX_EFORMAT, "blk.2.attn_norm.weight");
    s = good(), s.n_layers = 1;
    refused(&s, NX_EUNSUPPORTED, "blk.1.attn_norm.weight");
    s = good(), s.n_layers = 100000;
    refused(&s, NX_EFORMAT, "block_count");
    s = good(), s.n_heads = 3;
    refused(&s, NX_EFORMAT, "head");
    s = good(), s.n_heads = 5, s.n_heads_kv = 5;
    refused(&s, NX_EFORMAT, "attention.key_length");
    s = good(), s.n_heads_kv = 4;
    refused(&s, NX_EFORMAT, "blk.0.attn_k.weight");
    s = good(), s.n_rot = 7;
    refused(&s, NX_EFORMAT, "rope.dimension_count");
    s = good(), s.n_rot = 10;
    refused(&s, NX_EFORMAT, "rope.dimension_count");
    s = good(), s.eps = -1;
    refused(&s, NX_EFORMAT, "epsilon");
    s = good(), s.rope_base = -5;
    refused(&s, NX_EFORMAT, "rope.freq_base");
    s = good(), s.rope_base = NAN;
    refused(&s, NX_EFORMAT, "rope.freq_base");
    s = good(), s.scaling = "wool";
    refused(&s, NX_EUNSUPPORTED, "\"wool\"");
    s = good(), s.scaling = "yarn";
    refused(&s, NX_EFORMAT, "rope.scaling.factor");
    s = good(), s.scaling = "linear";
    refused(&s, NX_EFORMAT, "rope.scaling.factor");
    s = good(), s.drop = "token_embd.weight";
    refused(&s, NX_EFORMAT, "token_embd.weight");
    s = good(), s.drop = "blk.1.ffn_up.weight";
    refused(&s, NX_EFORMAT, "blk.1.ffn_up.weight");
    s = good(), s.wrong_shape = "blk.1.ffn_up.weight";
    refused(&s, NX_EFORMAT, "shape [33, 48, 1, 1], expected [32, 48]");
    s = good(), s.extra = "blk.0.attn_q_norm.weight";
    refused(&s, NX_EUNSUPPORTED, "blk.0.attn_q_norm.weight");
    s = good(), s.extra = "blk.00.attn_norm.weight";
    refused(&s, NX_EFORMAT, "have their place");
    s = good(), s.extra = "surprise";
    refused(&s, NX_EUNSUPPORTED, "surprise");
    s = good(), s.factors = true, s.first_factor = 0;
    refused(&s, NX_EFORMAT, "rope_freqs.weight");
    s = good(), s.drop_key = "context_length";
    refused(&s, NX_EFORMAT, "llama.context_length");
}

static void test_ignored_tensors_are_allowed(void **state)
{
    nx_model *m = NULL;
    nx_error  err;
    spec      s = good();

    (void)state;
    s.extra = "blk.0.attn_rot_embd";
    if (open_model(&m, &s, &err)) fail_msg("%s", err.text);
    done(m);
}

static void test_lack_of_memory_leaks_nothing(void **state)
{
    nx_model *m = NULL;
    nx_error  err;
    spec      s = good();
    bool      opened = false;

    (void)state;
    build(&file, &s);
    assert_int_equal(nx_checkpoint_open_bytes(&cp, "test.gguf", file.data, file.len, &err), NX_OK);
    for (int i = 0; !opened; i++) {
        nx_alloc_fail_after(i);
        nx_status st = nx_model_open(&m, cp, &err);
        nx_alloc_fail_after(-1);
        opened = st == NX_OK;
        if (!opened) assert_int_equal(st, NX_ENOMEM);
    }
    done(m);
}

static void test_rope_angles(void **state)
{
    nx_model m = {.hp = {.n_rot = 16,
                         .n_freq_dims = 16,
                         .rope_base = 500000,
                         .rope_scale = 4,
                         .rope_scaling = NX_ROPE_SCALING_LINEAR}};
    float    factors[8] = {1, 1, 1, 2, 4, 8, 8, 8}, freq[8], cs[3][8][2];

    (void)state;
    m.rope_factors = factors;
    nx_rope_frequencies(freq, &m, NX_ROPE_GLOBAL, 1);
    nx_rope_table(&cs[0][0][0], freq, m.hp.n_rot, 1, 1000, 3);
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < 8; i++) {
            double angle = (1000 + t) * pow(500000, -2.0 * i / 16) / 4 / (double)factors[i];
            /* The angle, up to 250, is rounded to f32: half an ulp of it is 8e-6. */
            assert_true(fabs((double)cs[t][i][0] - cos(angle)) < 3e-5);
            assert_true(fabs((double)cs[t][i][1] - sin(angle)) < 3e-5);
        }
    }
}

static void test_kv_sizes(void **state)
{
    nx_hparams hp = {.n_layers = 80, .n_heads_kv = 8, .head_dim = 128};

    (void)state;
    /* Llama 3.3 70B: 327,680 bytes a position in f16. */
    assert_int_equal(nx_kv_bytes(&hp, NX_DTYPE_F16, 1), 327680);
    assert_int_equal(nx_kv_bytes(&hp, NX_DTYPE_F32, 10), 6553600);
    assert_int_equal(nx_kv_bytes(&hp, NX_DTYPE_Q8_0, 1), 327680 / 2 * 34 / 32);
    assert_int_equal(nx_kv_bytes(&hp, NX_DTYPE_Q4_0, 1), 0);
    hp.head_dim = 80;
    assert_int_equal(nx_kv_bytes(&hp, NX_DTYPE_Q8_0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_model_is_bound),
        cmocka_unit_test(test_refusals_name_what_is_wrong),
        cmocka_unit_test(test_ignored_tensors_are_allowed),
        cmocka_unit_test(test_lack_of_memory_leaks_nothing),
        cmocka_unit_test(test_rope_angles),
        cmocka_unit_test(test_kv_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
