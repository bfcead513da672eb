/* Protects every architecture's description: from metadata alone it lists tensors, exactly these
 * bind, and a missing, surplus or misshapen one is refused by name; so is each key that asks for
 * what isn't computed. What the numbers mean is judged by tests/parity/test_descriptions.py. */
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
#include "model/model.h"
#include "model/rope.h"
#include "model/walk.h"

#define LAYERS      3
#define EMBD        16
#define FF          24
#define HEADS       4
#define KV          2
#define VOCAB       13
#define N_EXPERTS   4
#define TENSORS_MAX 128

/* A key beside the usual ones, or in their place. */
typedef struct key {
    const char *name; /* "ARCH." is put before names without a dot-free prefix of their own */
    char        type; /* i f b s, I an int32 array, B a bool array, - drops the usual key */
    double      x;
    const char *text;
    int32_t     flags[LAYERS + 1];
    int32_t     n;
} key;

typedef struct made {
    nx_buf         bytes;
    nx_checkpoint *cp;
} made;

typedef struct list {
    char           names[TENSORS_MAX][64];
    nx_tensor_plan t[TENSORS_MAX];
    int            n;
} list;

static bool is_moe(const nx_arch *a)
{
    return a->experts == NX_ALWAYS;
}

/* "nexus.x" and "general.x" stand as they are. */
static const char *full(char out[96], const char *arch, const char *name)
{
    if (strncmp(name, "nexus.", 6) == 0 || strncmp(name, "general.", 8) == 0)
        snprintf(out, 96, "%s", name);
    else
        snprintf(out, 96, "%s.%s", arch, name);
    return out;
}

static void put_key(nx_gguf_writer *w, const char *arch, const key *k)
{
    char name[96];
    bool flags[LAYERS + 1];

    full(name, arch, k->name);
    for (int i = 0; i < k->n; i++) flags[i] = k->flags[i] != 0;
    switch (k->type) {
    case 'i': nx_gguf_put_int(w, name, NX_META_U32, (int64_t)k->x); break;
    case 'f': nx_gguf_put_f32(w, name, (float)k->x); break;
    case 'b': nx_gguf_put_bool(w, name, k->x != 0); break;
    case 's': nx_gguf_put_string(w, name, nx_str_of(k->text)); break;
    case 'I': nx_gguf_put_i32s(w, name, k->flags, k->n); break;
    case 'B': nx_gguf_put_bools(w, name, flags, k->n); break;
    default: break;
    }
}

static void put_metadata(nx_gguf_writer *w, const nx_arch *a, const key *keys, int n_keys)
{
    const key usual[] = {
        {.name = "vocab_size", .type = 'i', .x = VOCAB},
        {.name = "block_count", .type = 'i', .x = LAYERS},
        {.name = "context_length", .type = 'i', .x = 64},
        {.name = "embedding_length", .type = 'i', .x = EMBD},
        {.name = "feed_forward_length", .type = 'i', .x = FF},
        {.name = "attention.head_count", .type = 'i', .x = HEADS},
        {.name = "attention.head_count_kv", .type = 'i', .x = KV},
        {.name = a->norm == NX_NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                        : "attention.layer_norm_epsilon",
         .type = 'f',
         .x = 1e-5},
        {.name = "expert_count", .type = is_moe(a) ? 'i' : '-', .x = N_EXPERTS},
        {.name = "expert_used_count", .type = is_moe(a) ? 'i' : '-', .x = 2},
        {.name = "expert_feed_forward_length", .type = is_moe(a) ? 'i' : '-', .x = 8},
    };

    nx_gguf_put_string(w, "general.architecture", nx_str_of(a->name));
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        bool replaced = false;
        for (int k = 0; k < n_keys; k++)
            replaced = replaced || strcmp(keys[k].name, usual[i].name) == 0;
        if (!replaced) put_key(w, a->name, &usual[i]);
    }
    for (int k = 0; k < n_keys; k++) put_key(w, a->name, &keys[k]);
}

/* A file with these tensors but `drop`, filled with 0.5, and one more of the name `extra`. */
static void make(made *m, const nx_arch *a, const key *keys, int n_keys, const list *l,
                 const char *drop, const char *extra)
{
    nx_gguf_writer *w;
    nx_error        err;
    int64_t         total[TENSORS_MAX + 1], n = 0;

    *m = (made){.bytes.max = 1 << 22};
    assert_int_equal(nx_gguf_writer_open_buf(&w, &m->bytes, &err), NX_OK);
    put_metadata(w, a, keys, n_keys);
    for (int i = 0; l && i < l->n; i++) {
        const nx_tensor_plan *t = &l->t[i];
        if (drop && strcmp(drop, l->names[i]) == 0) continue;
        nx_gguf_add_tensor(w, l->names[i], NX_DTYPE_F32, t->n_dims, t->ne);
        total[n++] = t->ne[0] * t->ne[1] * t->ne[2];
    }
    if (extra) nx_gguf_add_tensor(w, extra, NX_DTYPE_F32, 1, (int64_t[]){EMBD});
    if (extra) total[n++] = EMBD;
    if (nx_gguf_begin(w, &err)) fail_msg("%s", err.text);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < total[i]; k++)
            assert_int_equal(nx_gguf_write(w, &(float){0.5f}, 4, &err), NX_OK);
    if (nx_gguf_commit(w, &err)) fail_msg("%s", err.text);
    nx_gguf_writer_destroy(w);
    if (nx_checkpoint_open_bytes(&m->cp, "test.gguf", m->bytes.data, m->bytes.len, &err))
        fail_msg("%s: %s", a->name, err.text);
}

static void unmake(made *m)
{
    nx_checkpoint_close(m->cp);
    nx_buf_free(&m->bytes);
}

static nx_status collect(void *ctx, const nx_tensor_plan *t, nx_error *err)
{
    list *l = ctx;

    (void)err;
    assert_true(l->n < TENSORS_MAX);
    snprintf(l->names[l->n], sizeof l->names[0], "%s", t->name);
    l->t[l->n++] = *t;
    return NX_OK;
}

static void describe(list *l, const nx_arch *a, const key *keys, int n_keys)
{
    made     m;
    nx_error err;

    l->n = 0;
    make(&m, a, keys, n_keys, NULL, NULL, NULL);
    if (nx_model_describe(m.cp, NULL, collect, l, &err)) fail_msg("%s: %s", a->name, err.text);
    unmake(&m);
}

static uint64_t n_params(const list *l)
{
    uint64_t n = 0;

    for (int i = 0; i < l->n; i++) n += (uint64_t)(l->t[i].ne[0] * l->t[i].ne[1] * l->t[i].ne[2]);
    return n;
}

static nx_status count_params(void *ctx, const nx_tensor_plan *t, nx_error *err)
{
    (void)err;
    *(uint64_t *)ctx += (uint64_t)(t->ne[0] * t->ne[1] * t->ne[2]);
    return NX_OK;
}

static const nx_arch *arch(const char *name)
{
    for (const nx_arch *const *a = nx_arch_list(); *a; a++)
        if (strcmp((*a)->name, name) == 0) return *a;
    fail_msg("no %s", name);
    return NULL;
}

static void refused(const char *name, const key *k, nx_status status, const char *named)
{
    const nx_arch *a = arch(name);
    nx_model      *model = NULL;
    nx_error       err = {0};
    made           m;
    list           l;

    describe(&l, a, NULL, 0);
    make(&m, a, k, 1, &l, NULL, NULL);
    assert_int_equal(nx_model_open(&model, m.cp, &err), status);
    if (!strstr(err.text, named) || !strstr(err.text, "test.gguf"))
        fail_msg("\"%s\" doesn't name %s and the file", err.text, named);
    unmake(&m);
}

/* ---- Tests ---- */

static void test_what_is_described_binds(void **state)
{
    const key all[] = {{.name = "nexus.attention_bias", .type = 'b', .x = 1},
                       {.name = "nexus.ffn_bias", .type = 'b', .x = 1},
                       {.name = "nexus.head_tied", .type = 'b', .x = 0}};

    (void)state;
    for (const nx_arch *const *a = nx_arch_list(); *a; a++) {
        for (int n_keys = 0; n_keys <= 3; n_keys += 3) {
            nx_model *model;
            nx_error  err;
            made      m;
            list      l;
            describe(&l, *a, all, n_keys);
            make(&m, *a, all, n_keys, &l, NULL, NULL);
            if (nx_model_open(&model, m.cp, &err)) fail_msg("%s: %s", (*a)->name, err.text);
            assert_int_equal(model->n_params, n_params(&l));
            assert_int_equal(model->head_tied, n_keys == 0 || (*a)->encoder);
            assert_true(model->bytes_per_token <= model->weights_bytes);
            assert_non_null(model->layers[LAYERS - 1].wv.data);
            nx_model_close(model);
            unmake(&m);
        }
    }
}

static void test_each_missing_tensor_is_named(void **state)
{
    (void)state;
    for (const nx_arch *const *a = nx_arch_list(); *a; a++) {
        list l;
        describe(&l, *a, NULL, 0);
        for (int i = 0; i < l.n; i++) {
            nx_model *model;
            nx_error  err = {0};
            made      m;
            make(&m, *a, NULL, 0, &l, l.names[i], NULL);
            assert_int_equal(nx_model_open(&model, m.cp, &err), NX_EFORMAT);
            if (!strstr(err.text, l.names[i]) && !strstr(err.text, "attn_q.weight"))
                fail_msg("%s without %s: %s", (*a)->name, l.names[i], err.text);
            unmake(&m);
        }
    }
}

static void test_a_surplus_tensor_is_named(void **state)
{
    static const char *const extras[] = {"surprise", "blk.0.surprise.weight",
                                         "blk.3.attn_norm.weight", "blk.0.ffn_gate.9.weight",
                                         "blk.0.ffn_norm_exps.weight"};

    (void)state;
    for (const nx_arch *const *a = nx_arch_list(); *a; a++) {
        for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
            nx_model *model;
            nx_error  err = {0};
            made      m;
            list      l;
            describe(&l, *a, NULL, 0);
            make(&m, *a, NULL, 0, &l, NULL, extras[i]);
            assert_int_equal(nx_model_open(&model, m.cp, &err), NX_EUNSUPPORTED);
            if (!strstr(err.text, extras[i])) fail_msg("%s: %s", (*a)->name, err.text);
            unmake(&m);
        }
    }
}

static void test_keys_that_cannot_be_computed_are_named(void **state)
{
    const struct {
        const char *arch;
        key         k;
        nx_status   status;
    } cases[] = {
        {"llama", {"attention.clamp_kqv", 'f', 8, NULL, {0}, 0}, NX_EUNSUPPORTED},
        {"llama", {"attention.temperature_scale", 'f', .1, NULL, {0}, 0}, NX_EUNSUPPORTED},
        {"qwen3moe", {"leading_dense_block_count", 'i', 1, NULL, {0}, 0}, NX_EUNSUPPORTED},
        {"qwen3moe", {"expert_gating_func", 'i', 2, NULL, {0}, 0}, NX_EUNSUPPORTED},
        {"qwen3moe", {"expert_used_count", 'i', 5, NULL, {0}, 0}, NX_EFORMAT},
        {"qwen3moe", {"expert_count", 'i', 0, NULL, {0}, 0}, NX_EFORMAT},
        {"qwen3moe", {"nexus.expert_layers", 'B', 0, NULL, {1, 1}, 2}, NX_EFORMAT},
        {"qwen3", {"expert_count", 'i', 4, NULL, {0}, 0}, NX_EUNSUPPORTED},
        {"gpt2", {"nexus.activation", 's', 0, "quick_gelu", {0}, 0}, NX_EUNSUPPORTED},
        {"gpt2", {"attention.layer_norm_epsilon", '-', 0, NULL, {0}, 0}, NX_EFORMAT},
        {"gemma3", {"attention.sliding_window_pattern", 'B', 0, NULL, {1, 1, 0, 1}, 4}, NX_EFORMAT},
        {"gemma3", {"rope.freq_base_swa", 'f', -1, NULL, {0}, 0}, NX_EFORMAT},
        {"gemma2", {"attn_logit_softcapping", 'f', -5, NULL, {0}, 0}, NX_EFORMAT},
        {"granite", {"residual_scale", 'f', 0, NULL, {0}, 0}, NX_EFORMAT},
        {"granite", {"logit_scale", 'f', -2, NULL, {0}, 0}, NX_EFORMAT},
        {"smollm3", {"nexus.rope_layers", 'B', 0, NULL, {1}, 1}, NX_EFORMAT},
        {"llama", {"nexus.rope_dynamic_factor", 'f', .5, NULL, {0}, 0}, NX_EFORMAT},
        {"llama", {"nexus.rope_freq_dims", 'i', 2, NULL, {0}, 0}, NX_EFORMAT},
        {"llama", {"rope.scaling.type", 's', 0, "wool", {0}, 0}, NX_EUNSUPPORTED},
        {"llama", {"nexus.attention_bias", 'i', 1, NULL, {0}, 0}, NX_EFORMAT},
        {"gptneox", {"use_parallel_residual", 'i', 1, NULL, {0}, 0}, NX_EFORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].arch, &cases[i].k, cases[i].status, cases[i].k.name);
}

static nx_model *open_with(made *m, const char *name, const key *keys, int n_keys)
{
    nx_model *model;
    nx_error  err;
    list      l;

    describe(&l, arch(name), keys, n_keys);
    make(m, arch(name), keys, n_keys, &l, NULL, NULL);
    if (nx_model_open(&model, m->cp, &err)) fail_msg("%s: %s", name, err.text);
    return model;
}

static void close_with(made *m, nx_model *model)
{
    nx_model_close(model);
    unmake(m);
}

static void test_layers_differ_as_described(void **state)
{
    const key pattern[] = {{"attention.sliding_window", 'i', 7, NULL, {0}, 0},
                           {"attention.sliding_window_pattern", 'I', 0, NULL, {0, 1, 1}, 3}};
    const key every[] = {{"attention.sliding_window", 'i', 7, NULL, {0}, 0},
                         {"attention.sliding_window_pattern", 'i', 2, NULL, {0}, 0}};
    const key ropes[] = {{"nexus.rope_layers", 'B', 0, NULL, {0, 1, 0}, 3}};
    const key mixed[] = {{"nexus.expert_layers", 'B', 0, NULL, {1, 0, 1}, 3}};
    made      m;

    (void)state;
    nx_model *x = open_with(&m, "gemma3", pattern, 2);
    assert_int_equal(x->layers[0].kind.window, 0);
    assert_int_equal(x->layers[0].kind.rope, NX_ROPE_GLOBAL);
    assert_int_equal(x->layers[1].kind.window, 7);
    assert_int_equal(x->layers[1].kind.rope, NX_ROPE_LOCAL);
    assert_int_equal(nx_model_n_sliding(x), 2);
    close_with(&m, x);
    x = open_with(&m, "gemma2", every, 2);
    assert_true(x->layers[0].kind.window == 7 && x->layers[1].kind.window == 0);
    assert_int_equal(x->layers[0].kind.rope, NX_ROPE_GLOBAL);
    close_with(&m, x);
    x = open_with(&m, "llama", every, 1);
    assert_int_equal(nx_model_n_sliding(x), LAYERS);
    close_with(&m, x);
    x = open_with(&m, "smollm3", ropes, 1);
    assert_int_equal(nx_model_n_nope(x), 2);
    close_with(&m, x);
    x = open_with(&m, "qwen2moe", mixed, 1);
    assert_true(x->layers[0].gate_exps && !x->layers[0].gate.data);
    assert_true(!x->layers[1].gate_exps && x->layers[1].gate.data);
    close_with(&m, x);
}

static void test_fused_rows_are_cut(void **state)
{
    made      m;
    nx_model *x = open_with(&m, "phi3", NULL, 0);
    const int head = EMBD / HEADS;

    (void)state;
    const float *q = x->layers[1].wq.data, *gate = x->layers[1].gate.data;
    assert_ptr_equal(x->layers[1].wk.data, q + EMBD * HEADS * head);
    assert_ptr_equal(x->layers[1].wv.data, q + EMBD * (HEADS + KV) * head);
    assert_int_equal(x->layers[1].wv.ne[1], KV * head);
    assert_ptr_equal(x->layers[1].up.data, gate + EMBD * FF);
    close_with(&m, x);
}

static void test_experts_may_lie_apart(void **state)
{
    static const char *const parts[] = {"gate", "up", "down"};
    list                     l, apart = {.n = 0};
    made                     m;
    nx_model                *x;
    nx_error                 err;

    (void)state;
    describe(&l, arch("qwen3moe"), NULL, 0);
    for (int i = 0; i < l.n; i++) {
        bool experts = l.t[i].role == NX_ROLE_EXPERTS;
        for (int e = 0; e < (experts ? N_EXPERTS : 1); e++, apart.n++) {
            apart.t[apart.n] = l.t[i];
            snprintf(apart.names[apart.n], 64, "%s", l.names[i]);
            if (!experts) continue;
            int part = strstr(l.names[i], "gate") ? 0 : strstr(l.names[i], "up") ? 1 : 2;
            apart.t[apart.n].n_dims = 2;
            apart.t[apart.n].ne[2] = 1;
            snprintf(apart.names[apart.n], 64, "blk.%d.ffn_%s.%d.weight", l.t[i].layer, parts[part],
                     e);
        }
    }
    make(&m, arch("qwen3moe"), NULL, 0, &apart, NULL, NULL);
    if (nx_model_open(&x, m.cp, &err)) fail_msg("%s", err.text);
    assert_int_equal(x->n_params, n_params(&l));
    assert_string_equal(x->layers[2].up_exps[3].name, "blk.2.ffn_up.3.weight");
    close_with(&m, x);
    make(&m, arch("qwen3moe"), NULL, 0, &apart, "blk.1.ffn_down.2.weight", NULL);
    assert_int_equal(nx_model_open(&x, m.cp, &err), NX_EFORMAT);
    assert_non_null(strstr(err.text, "blk.1.ffn_down.2.weight"));
    unmake(&m);
}

static void test_norms_get_their_one(void **state)
{
    const key plus[] = {{"nexus.norm_plus_one", 'b', 1, NULL, {0}, 0}};
    made      m;
    nx_model *x = open_with(&m, "gemma3", plus, 1);

    (void)state;
    assert_true(x->layers[0].attn_norm[3] == 1.5f && x->layers[0].q_norm[1] == 1.5f);
    assert_true(x->out_norm[0] == 1.5f && x->layers[2].post_ffn_norm[5] == 1.5f);
    close_with(&m, x);
}

static void test_lack_of_memory_leaks_nothing(void **state)
{
    nx_model *x;
    nx_error  err;
    made      m;
    list      l;
    bool      opened = false;

    (void)state;
    describe(&l, arch("qwen2moe"), NULL, 0);
    make(&m, arch("qwen2moe"), NULL, 0, &l, NULL, NULL);
    for (int i = 0; !opened; i++) {
        nx_alloc_fail_after(i);
        nx_status st = nx_model_open(&x, m.cp, &err);
        nx_alloc_fail_after(-1);
        opened = st == NX_OK;
        if (!opened) assert_int_equal(st, NX_ENOMEM);
    }
    close_with(&m, x);
}

static void test_stretched_angles(void **state)
{
    float    factors[4] = {1, 1, 1, 1}, longer[4] = {2, 3, 4, 5}, freq[4];
    nx_model m = {.hp = {.n_rot = 8,
                         .n_freq_dims = 8,
                         .rope_base = 10000,
                         .rope_scale = 4,
                         .rope_ctx_original = 32,
                         .rope_scaling = NX_ROPE_SCALING_LONGROPE},
                  .rope_factors = factors,
                  .rope_factors_long = longer};

    (void)state;
    assert_int_equal(nx_rope_epoch(&m, 32), 0);
    assert_int_equal(nx_rope_epoch(&m, 33), 1);
    nx_rope_frequencies(freq, &m, NX_ROPE_GLOBAL, 32);
    assert_true(freq[0] == 1.0f);
    nx_rope_frequencies(freq, &m, NX_ROPE_GLOBAL, 33);
    assert_true(freq[0] == 0.5f && freq[2] == (float)(0.01 / 4));

    m.rope_factors = m.rope_factors_long = NULL;
    m.hp.rope_scaling = NX_ROPE_SCALING_DYNAMIC;
    nx_rope_frequencies(freq, &m, NX_ROPE_GLOBAL, 64);
    /* base 10000 * (4 * 64 / 32 - 3) ^ (8 / 6) */
    double base = 10000 * pow(5, 8.0 / 6);
    assert_true(fabs((double)freq[3] / pow(base, -6.0 / 8) - 1) < 1e-6);

    m.hp.rope_base_local = 100;
    nx_rope_frequencies(freq, &m, NX_ROPE_LOCAL, 64);
    assert_true(fabs((double)freq[2] - 0.1) < 1e-8);
}

/* Llama 3.3 70B has 70,553,706,496 numbers. */
static void test_a_real_shape(void **state)
{
    const key  big[] = {{"vocab_size", 'i', 128256, NULL, {0}, 0},
                        {"block_count", 'i', 80, NULL, {0}, 0},
                        {"embedding_length", 'i', 8192, NULL, {0}, 0},
                        {"feed_forward_length", 'i', 28672, NULL, {0}, 0},
                        {"attention.head_count", 'i', 64, NULL, {0}, 0},
                        {"attention.head_count_kv", 'i', 8, NULL, {0}, 0},
                        {"nexus.head_tied", 'b', 0, NULL, {0}, 0}};
    uint64_t   sum = 0;
    made       m;
    nx_hparams hp;
    nx_error   err;

    (void)state;
    make(&m, arch("llama"), big, 7, NULL, NULL, NULL);
    assert_int_equal(nx_model_describe(m.cp, &hp, count_params, &sum, &err), NX_OK);
    assert_int_equal(sum, 70553706496);
    assert_int_equal(hp.head_dim, 128);
    const nx_walk_sizes sizes = {.n_batch = 256, .n_pos = 4096};
    assert_true(nx_walk_bytes_planned(&hp, &sizes) < 200u << 20);
    unmake(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_described_binds),
        cmocka_unit_test(test_each_missing_tensor_is_named),
        cmocka_unit_test(test_a_surplus_tensor_is_named),
        cmocka_unit_test(test_keys_that_cannot_be_computed_are_named),
        cmocka_unit_test(test_layers_differ_as_described),
        cmocka_unit_test(test_fused_rows_are_cut),
        cmocka_unit_test(test_experts_may_lie_apart),
        cmocka_unit_test(test_norms_get_their_one),
        cmocka_unit_test(test_lack_of_memory_leaks_nothing),
        cmocka_unit_test(test_stretched_angles),
        cmocka_unit_test(test_a_real_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
