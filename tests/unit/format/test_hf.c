/* Protects: Hugging Face folders open with GGUF's keys and names, rearranged where GGUF orders
 * rows otherwise, quantised ones with their scales; what can't be right is refused in the folder's
 * own words; pickles are refused with the way out; lack of memory is an error like any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "folder_maker.h"
#include "format/checkpoint.h"

static char dir[] = "/tmp/nx-hf-XXXXXX";

static int begin(void **state)
{
    (void)state;
    strcpy(dir + sizeof dir - 7, "XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    folder_remove(dir);
    return 0;
}

static nx_checkpoint *open_it(void)
{
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};

    if (nx_checkpoint_open(&cp, dir, &err)) fail_msg("%s", err.text);
    return cp;
}

static void refused(nx_status want, const char *says)
{
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};
    nx_status      st = nx_checkpoint_open(&cp, dir, &err);

    assert_null(cp);
    if (st != want || !strstr(err.text, says) || !strstr(err.text, dir))
        fail_msg("%d: \"%s\", expected %d and \"%s\"", st, err.text, want, says);
}

static void text_file(const char *name, const char *text)
{
    mk_write_file(dir, name, text, strlen(text));
}

/* config.json with the first `from` of this kind's replaced by `to`. */
static void changed_config(folder_kind kind, const char *from, const char *to)
{
    const char *text = mk_config(kind), *at = strstr(text, from);
    char        out[4096];

    assert_non_null(at);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    text_file("config.json", out);
}

/* ---- What opens ---- */

static void every_kind_opens(void **state)
{
    (void)state;
    for (int kind = 0; kind < FOLDER_KINDS; kind++) {
        folder_make(dir, (folder_kind)kind);
        nx_checkpoint *cp = open_it();
        assert_true(nx_checkpoint_n_tensors(cp) > 20);
        assert_non_null(nx_checkpoint_tensor(cp, "token_embd.weight"));
        assert_non_null(nx_checkpoint_tensor(cp, "blk.1.attn_output.weight"));
        assert_int_equal(nx_checkpoint_version(cp), 0);
        nx_checkpoint_willneed(cp);
        nx_checkpoint_close(cp);
        folder_remove(dir);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

static int64_t int_of(const nx_checkpoint *cp, const char *key)
{
    nx_error err = {0};
    int64_t  x = -1;

    if (nx_meta_int(cp, key, &x, 0, INT64_MAX, true, &err)) fail_msg("%s", err.text);
    return x;
}

static void config_becomes_keys(void **state)
{
    nx_error err = {0};
    double   eps;
    bool     halves, bias;
    nx_str   act;

    (void)state;
    folder_make(dir, FOLDER_LLAMA);
    nx_checkpoint *cp = open_it();
    assert_int_equal(int_of(cp, "llama.block_count"), 2);
    assert_int_equal(int_of(cp, "llama.attention.head_count_kv"), 2);
    assert_int_equal(int_of(cp, "llama.attention.key_length"), 16);
    assert_int_equal(int_of(cp, "llama.rope.dimension_count"), 16);
    assert_int_equal(nx_meta_float(cp, "llama.attention.layer_norm_rms_epsilon", &eps, true, &err),
                     NX_OK);
    assert_true(eps == (double)1e-6f); /* the class's default */
    assert_int_equal(nx_meta_bool(cp, "nexus.rope_halves", &halves, true, &err), NX_OK);
    assert_true(halves);
    assert_int_equal(nx_meta_bool(cp, "nexus.attention_bias", &bias, true, &err), NX_OK);
    assert_false(bias);
    assert_int_equal(nx_meta_string(cp, "nexus.activation", &act, true, &err), NX_OK);
    assert_true(nx_str_eq(act, NX_STR("silu")));
    const nx_tensor *f = nx_checkpoint_tensor(cp, "rope_freqs.weight");
    assert_non_null(f);
    assert_int_equal(f->ne[0], 8);
    assert_true(((const float *)f->data)[0] == 1.0f);
    assert_true(((const float *)f->data)[7] == 8.0f);
    nx_checkpoint_close(cp);
}

static void windows_follow_layer_types(void **state)
{
    nx_error       err = {0};
    const nx_meta *m;

    (void)state;
    folder_make(dir, FOLDER_GEMMA3);
    nx_checkpoint *cp = open_it();
    assert_int_equal(int_of(cp, "gemma3.attention.sliding_window"), 8);
    m = nx_checkpoint_meta(cp, "gemma3.attention.sliding_window_pattern");
    assert_non_null(m);
    assert_int_equal(m->n, 2);
    assert_int_equal(m->data[0], 1);
    assert_int_equal(m->data[1], 0);
    double scale;
    assert_int_equal(nx_meta_float(cp, "gemma3.embedding_scale", &scale, true, &err), NX_OK);
    assert_true(scale == 8); /* sqrt(64), exact in bf16 */
    nx_checkpoint_close(cp);
}

static void a_description_needs_no_weights(void **state)
{
    (void)state;
    text_file("config.json", mk_config(FOLDER_LLAMA));
    nx_checkpoint *cp = open_it();
    assert_int_equal(nx_checkpoint_n_tensors(cp), 0);
    assert_int_equal(int_of(cp, "llama.embedding_length"), 64);
    nx_checkpoint_close(cp);
}

static void side_files_are_there(void **state)
{
    char path[600];

    (void)state;
    folder_make(dir, FOLDER_LLAMA);
    text_file("tokenizer.json", "{}");
    text_file("chat_template.jinja", "");
    MK_PRINT(path, "%s/additional_chat_templates", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    mk_write_file(path, "rag.jinja", "x", 1);
    mk_write_file(path, "README", "x", 1);
    nx_checkpoint *cp = open_it();
    assert_int_equal(nx_checkpoint_file(cp, "tokenizer.json").len, 2);
    assert_non_null(nx_checkpoint_file(cp, "chat_template.jinja").p);
    assert_int_equal(nx_checkpoint_file(cp, "chat_template.jinja").len, 0);
    assert_int_equal(nx_checkpoint_file(cp, "additional_chat_templates/rag.jinja").len, 1);
    assert_null(nx_checkpoint_file(cp, "tokenizer.model").p);
    int32_t n = 0;
    while (nx_checkpoint_file_name(cp, n)) n++;
    assert_int_equal(n, 4); /* config.json too */
    nx_checkpoint_close(cp);
}

static void shards_may_be_links(void **state)
{
    char from[600], to[600];

    (void)state;
    folder_make(dir, FOLDER_SHARDS);
    MK_PRINT(from, "%s/model-00001-of-00002.safetensors", dir);
    MK_PRINT(to, "%s/blob", dir);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(symlink("blob", from), 0);
    nx_checkpoint_close(open_it());
}

/* ---- Rows ---- */

static const nx_st_tensor *raw_of(nx_safetensors *s, nx_file_map *map, const char *name)
{
    char     path[600];
    nx_error err = {0};

    MK_PRINT(path, "%s/model.safetensors", dir);
    *s = (nx_safetensors){0};
    assert_int_equal(nx_file_map_open(map, path, &err), NX_OK);
    assert_int_equal(nx_safetensors_read(s, path, map->data, map->bytes, &err), NX_OK);
    const nx_st_tensor *t = nx_safetensors_find(s, nx_str_of(name));
    assert_non_null(t);
    return t;
}

static float number(const void *p, int64_t i)
{
    float f;

    memcpy(&f, (const char *)p + 4 * i, 4);
    return f;
}

static void conv1d_is_transposed(void **state)
{
    nx_safetensors s;
    nx_file_map    map;

    (void)state;
    folder_make(dir, FOLDER_GPT2);
    nx_checkpoint      *cp = open_it();
    const nx_tensor    *t = nx_checkpoint_tensor(cp, "blk.0.ffn_up.weight");
    const nx_st_tensor *raw = raw_of(&s, &map, "transformer.h.0.mlp.c_fc.weight");
    assert_int_equal(t->ne[0], F_EMBD);
    assert_int_equal(t->ne[1], F_FF);
    for (int64_t r = 0; r < F_FF; r++)
        for (int64_t c = 0; c < F_EMBD; c++)
            assert_true(number(t->data, r * F_EMBD + c) == number(raw->data, c * F_FF + r));
    nx_safetensors_free(&s);
    nx_file_map_close(&map);
    nx_checkpoint_close(cp);
}

/* Row `row` of the fused weight in GGUF's order is this row of the folder's. */
static int64_t neox_row(int64_t row)
{
    int64_t part = row / F_EMBD, head = row % F_EMBD / F_DIM, i = row % F_DIM;

    return (head * 3 + part) * F_DIM + i;
}

static void heads_are_regrouped(void **state)
{
    nx_safetensors s;
    nx_file_map    map;

    (void)state;
    folder_make(dir, FOLDER_NEOX);
    nx_checkpoint      *cp = open_it();
    const nx_tensor    *t = nx_checkpoint_tensor(cp, "blk.1.attn_qkv.weight");
    const nx_tensor    *b = nx_checkpoint_tensor(cp, "blk.1.attn_qkv.bias");
    const nx_st_tensor *raw =
        raw_of(&s, &map, "gpt_neox.layers.1.attention.query_key_value.weight");
    const nx_st_tensor *bias =
        nx_safetensors_find(&s, NX_STR("gpt_neox.layers.1.attention.query_key_value.bias"));
    for (int64_t r = 0; r < 3 * F_EMBD; r++) {
        assert_memory_equal((const char *)t->data + r * F_EMBD * 4,
                            raw->data + neox_row(r) * F_EMBD * 4, F_EMBD * 4);
        assert_true(number(b->data, r) == number(bias->data, neox_row(r)));
    }
    nx_safetensors_free(&s);
    nx_file_map_close(&map);
    nx_checkpoint_close(cp);
}

/* The same numbers, decoded from the folder's own order by hand. */
static void scales_move_with_their_heads(void **state)
{
    enum { N = 3 * F_EMBD * F_EMBD };
    static float   got[N];
    nx_safetensors s;
    nx_file_map    map;

    (void)state;
    folder_make(dir, FOLDER_NEOX_DQ);
    nx_checkpoint   *cp = open_it();
    const nx_tensor *t = nx_checkpoint_tensor(cp, "blk.0.attn_qkv.weight");
    assert_int_equal(t->dtype, NX_DTYPE_NF4);
    nx_tensor_decode(got, t, 0, 3 * F_EMBD);
#define NAME "gpt_neox.layers.0.attention.query_key_value.weight"
    const nx_st_tensor *w = raw_of(&s, &map, NAME);
    const nx_st_tensor *a = nx_safetensors_find(&s, NX_STR(NAME ".absmax"));
    const nx_st_tensor *nested = nx_safetensors_find(&s, NX_STR(NAME ".nested_absmax"));
    const nx_st_tensor *levels = nx_safetensors_find(&s, NX_STR(NAME ".nested_quant_map"));
#undef NAME
    for (int64_t i = 0; i < N; i++) {
        int64_t from = neox_row(i / F_EMBD) * F_EMBD + i % F_EMBD, block = from / 64;
        float   product = number(levels->data, a->data[block]) * number(nested->data, block / 256);
        float   scale = product + 0.05f;
        int     code = from % 2 ? w->data[from / 2] & 15 : w->data[from / 2] >> 4;
        assert_true(got[i] == nx_nf4_levels[code] * scale);
    }
    nx_safetensors_free(&s);
    nx_file_map_close(&map);
    nx_checkpoint_close(cp);
}

static void int8_rows_have_their_scales(void **state)
{
    float          got[F_EMBD];
    nx_safetensors s;
    nx_file_map    map;

    (void)state;
    folder_make(dir, FOLDER_INT8);
    nx_checkpoint      *cp = open_it();
    const nx_tensor    *t = nx_checkpoint_tensor(cp, "blk.0.attn_k.weight");
    const nx_st_tensor *w = raw_of(&s, &map, "model.layers.0.self_attn.k_proj.weight");
    const nx_st_tensor *scb =
        nx_safetensors_find(&s, NX_STR("model.layers.0.self_attn.k_proj.SCB"));
    assert_int_equal(t->dtype, NX_DTYPE_INT8);
    nx_tensor_decode(got, t, 3, 1);
    for (int i = 0; i < F_EMBD; i++)
        assert_true(got[i] ==
                    (float)(int8_t)w->data[3 * F_EMBD + i] * (number(scb->data, 3) / 127));
    nx_safetensors_free(&s);
    nx_file_map_close(&map);
    nx_checkpoint_close(cp);
}

/* ---- What is refused ---- */

static void bad_fields_are_named(void **state)
{
    static const struct {
        folder_kind kind;
        const char *from, *to, *says;
        nx_status   st;
    } cases[] = {
        {FOLDER_LLAMA, "\"llama\"", "\"lama\"", "\"lama\" is not supported (supported: llama,",
         NX_EUNSUPPORTED},
        {FOLDER_LLAMA, "LlamaForCausalLM", "LlamaForSequenceClassification", "architectures",
         NX_EUNSUPPORTED},
        {FOLDER_LLAMA, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0",
         "num_hidden_layers: 0 in line 4, expected 1 to", NX_EFORMAT},
        {FOLDER_LLAMA, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": \"2\"",
         "num_hidden_layers: a string", NX_EFORMAT},
        {FOLDER_LLAMA, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2.5",
         "num_hidden_layers: a number", NX_EFORMAT},
        {FOLDER_LLAMA, "\"num_attention_heads\": 4", "\"num_attention_heads\": 3",
         "num_key_value_heads: 2, expected a divisor", NX_EFORMAT},
        {FOLDER_LLAMA, "\"llama3\"", "\"spiral\"", "rope_type: \"spiral\"", NX_EUNSUPPORTED},
        {FOLDER_LLAMA, "\"factor\": 8.0", "\"factor\": -8.0", "factor: -8, expected", NX_EFORMAT},
        {FOLDER_LLAMA, "\"factor\": 8.0", "\"factor\": Infinity", "expected a finite number",
         NX_EFORMAT},
        {FOLDER_LLAMA, "\"rope_theta\": 10000.0", "\"rope_theta\": 0", "rope_theta", NX_EFORMAT},
        {FOLDER_LLAMA, "\"vocab_size\": 40", "\"hidden_act\": \"xielu\"", "hidden_act: \"xielu\"",
         NX_EUNSUPPORTED},
        {FOLDER_LLAMA, "\"vocab_size\": 40", "\"tie_word_embeddings\": 3", "expected true or false",
         NX_EFORMAT},
        {FOLDER_NF4, "bitsandbytes", "gptq", "\"gptq\" is not supported", NX_EUNSUPPORTED},
        {FOLDER_NF4, "\"load_in_4bit\": true", "\"load_in_4bit\": false", "both false", NX_EFORMAT},
        {FOLDER_MIXTRAL, "\"num_local_experts\": 2", "\"num_local_experts\": 1", "", NX_OK},
        {FOLDER_GEMMA3, "full_attention", "half_attention", "layer_types", NX_EUNSUPPORTED},
        {FOLDER_GEMMA3, "\"sliding_attention\", ", "", "layer_types", NX_EFORMAT},
        {FOLDER_NEOX, "\"rotary_pct\": 0.5", "\"rotary_pct\": 1.5", "rotary_pct", NX_EFORMAT},
        {FOLDER_NEOX, "\"num_attention_heads\": 4", "\"num_attention_heads\": 8", "", NX_OK},
        {FOLDER_NEOX, "\"hidden_size\": 64", "\"hidden_size\": 128", "query_key_value", NX_EFORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        folder_make(dir, cases[i].kind);
        changed_config(cases[i].kind, cases[i].from, cases[i].to);
        if (cases[i].st)
            refused(cases[i].st, cases[i].says);
        else
            nx_checkpoint_close(open_it());
        folder_remove(dir);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

static void broken_folders_are_refused(void **state)
{
    char path[600];

    (void)state;
    refused(NX_EFORMAT, "no model in this folder");
    text_file("pytorch_model.bin", "PK");
    refused(NX_EUNSUPPORTED, "safe_serialization=True");
    folder_make(dir, FOLDER_SHARDS);
    text_file("config.json", "{");
    refused(NX_EFORMAT, "config.json: line 1");
    text_file("config.json", "[]");
    refused(NX_EFORMAT, "config.json: an array");
    MK_PRINT(path, "%s/config.json", dir);
    unlink(path);
    refused(NX_ENOENT, "config.json");
    text_file("config.json", mk_config(FOLDER_LLAMA));
    MK_PRINT(path, "%s/model-00002-of-00002.safetensors", dir);
    unlink(path);
    refused(NX_ENOENT, "model-00002-of-00002.safetensors");
    text_file("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"../x.safetensors\"}}");
    refused(NX_EFORMAT, "expected the name of a file in this folder");
    text_file("model.safetensors.index.json", "{\"weight_map\": {}}");
    refused(NX_EFORMAT, "weight_map");
    text_file("model.safetensors.index.json",
              "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"}}");
    refused(NX_EFORMAT, "tensor a is not in");
}

static void files_by_themselves(void **state)
{
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};
    char           path[600];

    (void)state;
    folder_make(dir, FOLDER_LLAMA);
    MK_PRINT(path, "%s/model.safetensors", dir);
    assert_int_equal(nx_checkpoint_open(&cp, path, &err), NX_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "Name the folder"));
    mk_write_file(dir, "weights", "PK\3\4 and so on", 14);
    MK_PRINT(path, "%s/weights", dir);
    assert_int_equal(nx_checkpoint_open(&cp, path, &err), NX_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "pickle"));
}

/* A tensor of a folder written again with one change. */
static void rewrite(folder_kind kind, void change(folder_maker *m))
{
    static unsigned char   data[1 << 16];
    folder_maker          *m = calloc(1, sizeof *m);
    nx_safetensors_writer *w = NULL;
    nx_error               err = {0};

    m->kind = kind;
    mk_tensors(m);
    change(m);
    mk_must(nx_safetensors_writer_open(&w, dir, NX_ST_SHARD_BYTES, &err), &err);
    for (int i = 0; i < m->n; i++)
        nx_safetensors_add(w, m->t[i].name, m->t[i].type, m->t[i].n_dims, m->t[i].shape);
    mk_must(nx_safetensors_begin(w, &err), &err);
    for (int i = 0; i < m->n; i++) {
        size_t bytes = (size_t)nx_st_dtype_bits(m->t[i].type) / 8;
        for (int d = 0; d < m->t[i].n_dims; d++) bytes *= (size_t)m->t[i].shape[d];
        mk_fill(m, &m->t[i], data, bytes);
        mk_must(nx_safetensors_write(w, data, bytes, &err), &err);
    }
    mk_must(nx_safetensors_commit(w, &err), &err);
    nx_safetensors_writer_destroy(w);
    text_file("config.json", mk_config(kind));
    free(m);
}

static made_tensor *made(folder_maker *m, const char *name_end)
{
    for (int i = 0; i < m->n; i++) {
        size_t n = strlen(m->t[i].name), k = strlen(name_end);
        if (n >= k && strcmp(m->t[i].name + n - k, name_end) == 0) return &m->t[i];
    }
    fail_msg("no %s", name_end);
    return NULL;
}

#define CHANGE(name, ...)                                                                          \
    static void name(folder_maker *m)                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

CHANGE(longer_absmax, made(m, ".absmax")->shape[0]++;)
CHANGE(f64_norm, made(m, "model.norm.weight")->type = NX_ST_F64;)
CHANGE(stray, mk_vector(m, "model.layers.0.attention.magic.weight", 4);)
CHANGE(lonely_side, mk_vector(m, "model.other.weight.absmax", 4);)
CHANGE(no_absmax, strcpy(made(m, ".absmax")->name, "x.weight.absmax");)
CHANGE(other_levels, made(m, ".quant_map")->nf4 = false;)
CHANGE(bad_shape, memcpy(strstr(made(m, "__nf4")->text, "\"shape\": [") + 10, "9", 1);)
CHANGE(bad_block, memcpy(strstr(made(m, "__nf4")->text, "64"), "63", 2);)
CHANGE(bad_type, memcpy(strstr(made(m, "__nf4")->text, "nf4"), "fp4", 3);)
CHANGE(no_json, made(m, "__nf4")->text[0] = '[';)
CHANGE(short_scb, made(m, ".SCB")->shape[0]--;)
CHANGE(turing, made(m, ".weight_format")->fill = FILL_NOISE;)
CHANGE(two_prefixes, mk_vector(m, "norm.weight", 64);)

static void bad_tensors_are_named(void **state)
{
    static const struct {
        folder_kind kind;
        void (*change)(folder_maker *m);
        nx_status   st;
        const char *says;
    } cases[] = {
        {FOLDER_LLAMA, f64_norm, NX_EUNSUPPORTED, "tensor model.norm.weight at byte"},
        {FOLDER_LLAMA, stray, NX_EUNSUPPORTED, "no part of a llama model"},
        {FOLDER_LLAMA, two_prefixes, NX_EFORMAT, "under another name as well"},
        {FOLDER_NF4, longer_absmax, NX_EFORMAT, "expected 64 numbers of F32"},
        {FOLDER_NF4_DQ, longer_absmax, NX_EFORMAT, "expected 64 numbers of U8"},
        {FOLDER_NF4, lonely_side, NX_EFORMAT, "belongs to no quantised weight"},
        {FOLDER_NF4, no_absmax, NX_EFORMAT, "absmax is missing"},
        {FOLDER_NF4, other_levels, NX_EUNSUPPORTED, "quant_map"},
        {FOLDER_NF4, bad_shape, NX_EFORMAT, "quant_state"},
        {FOLDER_NF4, bad_block, NX_EFORMAT, "blocksize"},
        {FOLDER_NF4, bad_type, NX_EFORMAT, "quant_type"},
        {FOLDER_NF4, no_json, NX_EFORMAT, "quant_state"},
        {FOLDER_INT8, short_scb, NX_EFORMAT, "numbers of F32"},
        {FOLDER_INT8, turing, NX_EUNSUPPORTED, "expected 0 (rows)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rewrite(cases[i].kind, cases[i].change);
        refused(cases[i].st, cases[i].says);
    }
}

static void messages_speak_the_folders_words(void **state)
{
    nx_error err = {0};

    (void)state;
    folder_make(dir, FOLDER_LLAMA);
    nx_checkpoint *cp = open_it();
    nx_meta_fail(cp, "llama.block_count", NX_EFORMAT, &err, "too few");
    assert_non_null(strstr(err.text, "config.json: num_hidden_layers in line 4: too few"));
    nx_meta_fail(cp, "llama.attention.layer_norm_rms_epsilon", NX_EFORMAT, &err, "odd");
    assert_non_null(strstr(err.text, "rms_norm_eps, by default: odd"));
    nx_tensor_fail(cp, "blk.0.attn_q.weight", NX_EFORMAT, &err, "odd");
    assert_non_null(strstr(err.text, "model.safetensors: tensor model.layers.0.self_attn.q_proj"));
    nx_tensor_fail(cp, "blk.7.attn_q.weight", NX_EFORMAT, &err, "needed");
    assert_non_null(strstr(err.text, "model.layers.7.self_attn.q_proj.weight (blk.7.attn_q.weight) "
                                     "missing"));
    nx_tensor_fail(cp, "rope_freqs.weight", NX_EFORMAT, &err, "odd");
    assert_non_null(strstr(err.text, "config.json: rope scaling"));
    nx_checkpoint_close(cp);
}

/* ---- Memory ---- */

static void survives_lack_of_memory(void **state)
{
    static const folder_kind kinds[] = {FOLDER_SHARDS, FOLDER_NF4_DQ, FOLDER_NEOX_DQ, FOLDER_GPT2,
                                        FOLDER_GEMMA3};

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        nx_status st = NX_ENOMEM;
        folder_make(dir, kinds[k]);
        for (int64_t n = 0; st; n++) {
            nx_checkpoint *cp = NULL;
            nx_error       err = {0};
            nx_alloc_fail_after(n);
            st = nx_checkpoint_open(&cp, dir, &err);
            nx_alloc_fail_after(-1);
            if (st && (st != NX_ENOMEM || err.status != NX_ENOMEM))
                fail_msg("after %d: %s", (int)n, err.text);
            nx_checkpoint_close(cp);
        }
        folder_remove(dir);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(every_kind_opens),
        T(config_becomes_keys),
        T(windows_follow_layer_types),
        T(a_description_needs_no_weights),
        T(side_files_are_there),
        T(shards_may_be_links),
        T(conv1d_is_transposed),
        T(heads_are_regrouped),
        T(scales_move_with_their_heads),
        T(int8_rows_have_their_scales),
        T(bad_fields_are_named),
        T(broken_folders_are_refused),
        T(files_by_themselves),
        T(bad_tensors_are_named),
        T(messages_speak_the_folders_words),
        T(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
