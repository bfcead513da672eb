/* folder_maker.h - small Hugging Face folders made in a test: config.json and weights, of several
 * kinds, as transformers and bitsandbytes write them. */
#ifndef NX_TESTS_FOLDER_MAKER_H
#define NX_TESTS_FOLDER_MAKER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/safetensors_write.h"
#include "num/levels.h"
#include "os/dir.h"
#include "os/file.h"

/* A name that fits, or the end of the test. */
#define MK_PRINT(out, ...)                                                                         \
    do {                                                                                           \
        if (!nx_path_write(out, sizeof(out), __VA_ARGS__)) abort();                                \
    } while (0)

typedef enum folder_kind {
    FOLDER_LLAMA,
    FOLDER_SHARDS, /* the same, in two files with an index */
    FOLDER_NF4,
    FOLDER_NF4_DQ,
    FOLDER_FP4,
    FOLDER_INT8,
    FOLDER_GPT2,
    FOLDER_NEOX,
    FOLDER_NEOX_DQ, /* heads regrouped with their scales */
    FOLDER_MIXTRAL,
    FOLDER_GEMMA3,
    FOLDER_KINDS
} folder_kind;

enum { F_EMBD = 64, F_HEADS = 4, F_KV = 2, F_DIM = 16, F_FF = 96, F_VOCAB = 40, F_LAYERS = 2 };

typedef enum fill_kind {
    FILL_NOISE,
    FILL_ZERO,
    FILL_SCALES,
    FILL_LEVELS,
    FILL_MAP,
    FILL_TEXT
} fill_kind;

typedef struct made_tensor {
    char        name[128];
    nx_st_dtype type;
    int         n_dims;
    int64_t     shape[2];
    fill_kind   fill;
    char        text[256];
    bool        nf4;
} made_tensor;

typedef struct folder_maker {
    made_tensor t[256];
    int         n;
    folder_kind kind;
    uint32_t    seed;
} folder_maker;

static inline made_tensor *mk_add(folder_maker *m, const char *name, nx_st_dtype type, int64_t rows,
                                  int64_t cols, fill_kind fill)
{
    made_tensor *t = &m->t[m->n++];

    *t = (made_tensor){.type = type, .n_dims = cols ? 2 : 1, .shape = {rows, cols}, .fill = fill};
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

static inline void mk_4bit(folder_maker *m, const char *name, int64_t rows, int64_t cols)
{
    bool         nf4 = m->kind != FOLDER_FP4;
    bool         nested = m->kind == FOLDER_NF4_DQ || m->kind == FOLDER_NEOX_DQ;
    int64_t      blocks = (rows * cols + 63) / 64;
    char         side[128];
    made_tensor *t;

    MK_PRINT(side, "%s.weight", name);
    mk_add(m, side, NX_ST_U8, rows * cols / 2, 1, FILL_NOISE);
    MK_PRINT(side, "%s.weight.absmax", name);
    mk_add(m, side, nested ? NX_ST_U8 : NX_ST_F32, blocks, 0, nested ? FILL_NOISE : FILL_SCALES);
    MK_PRINT(side, "%s.weight.quant_map", name);
    mk_add(m, side, NX_ST_F32, 16, 0, FILL_LEVELS)->nf4 = nf4;
    MK_PRINT(side, "%s.weight.quant_state.bitsandbytes__%s", name, nf4 ? "nf4" : "fp4");
    t = mk_add(m, side, NX_ST_U8, 0, 0, FILL_TEXT);
    int len = snprintf(t->text, sizeof t->text,
                       "{\"quant_type\": \"%s\", \"blocksize\": 64, \"dtype\": \"bfloat16\", "
                       "\"shape\": [%d, %d]",
                       nf4 ? "nf4" : "fp4", (int)rows, (int)cols);
    snprintf(t->text + len, sizeof t->text - (size_t)len,
             nested ? ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", "
                      "\"nested_offset\": 0.05}"
                    : "}");
    t->shape[0] = (int64_t)strlen(t->text);
    if (!nested) return;
    MK_PRINT(side, "%s.weight.nested_absmax", name);
    mk_add(m, side, NX_ST_F32, (blocks + 255) / 256, 0, FILL_SCALES);
    MK_PRINT(side, "%s.weight.nested_quant_map", name);
    mk_add(m, side, NX_ST_F32, 256, 0, FILL_MAP);
}

static inline void mk_int8(folder_maker *m, const char *name, int64_t rows, int64_t cols)
{
    char side[128];

    MK_PRINT(side, "%s.weight", name);
    mk_add(m, side, NX_ST_I8, rows, cols, FILL_NOISE);
    MK_PRINT(side, "%s.SCB", name);
    mk_add(m, side, NX_ST_F32, rows, 0, FILL_SCALES);
    MK_PRINT(side, "%s.weight_format", name);
    mk_add(m, side, NX_ST_U8, 0, 0, FILL_ZERO)->n_dims = 0;
}

/* A linear layer, in the kind's own form. */
static inline void mk_linear(folder_maker *m, const char *name, int64_t rows, int64_t cols)
{
    char full[128];

    MK_PRINT(full, "%s.weight", name);
    switch (m->kind) {
    case FOLDER_NF4:
    case FOLDER_NF4_DQ:
    case FOLDER_FP4:
    case FOLDER_NEOX_DQ: mk_4bit(m, name, rows, cols); break;
    case FOLDER_INT8: mk_int8(m, name, rows, cols); break;
    default: mk_add(m, full, NX_ST_F32, rows, cols, FILL_NOISE); break;
    }
}

static inline void mk_vector(folder_maker *m, const char *name, int64_t n)
{
    mk_add(m, name, NX_ST_F32, n, 0, FILL_NOISE);
}

static inline const char *mk_name(char *out, int layer, const char *format_end, const char *start)
{
    if (!nx_path_write(out, 128, "%s%d.%s", start, layer, format_end)) abort();
    return out;
}

static inline void mk_llama_layer(folder_maker *m, int i)
{
    char        s[128];
    const char *at = "model.layers.";

    mk_vector(m, mk_name(s, i, "input_layernorm.weight", at), F_EMBD);
    mk_linear(m, mk_name(s, i, "self_attn.q_proj", at), F_HEADS * F_DIM, F_EMBD);
    mk_linear(m, mk_name(s, i, "self_attn.k_proj", at), F_KV * F_DIM, F_EMBD);
    mk_linear(m, mk_name(s, i, "self_attn.v_proj", at), F_KV * F_DIM, F_EMBD);
    mk_linear(m, mk_name(s, i, "self_attn.o_proj", at), F_EMBD, F_HEADS * F_DIM);
    mk_vector(m, mk_name(s, i, "post_attention_layernorm.weight", at), F_EMBD);
    if (m->kind == FOLDER_GEMMA3) {
        mk_vector(m, mk_name(s, i, "pre_feedforward_layernorm.weight", at), F_EMBD);
        mk_vector(m, mk_name(s, i, "post_feedforward_layernorm.weight", at), F_EMBD);
        mk_vector(m, mk_name(s, i, "self_attn.q_norm.weight", at), F_DIM);
        mk_vector(m, mk_name(s, i, "self_attn.k_norm.weight", at), F_DIM);
    }
    if (m->kind == FOLDER_MIXTRAL) {
        mk_linear(m, mk_name(s, i, "block_sparse_moe.gate", at), 2, F_EMBD);
        for (int e = 0; e < 2; e++)
            for (int w = 1; w <= 3; w++) {
                char rest[64];
                MK_PRINT(rest, "block_sparse_moe.experts.%d.w%d", e, w);
                mk_linear(m, mk_name(s, i, rest, at), w == 2 ? F_EMBD : F_FF,
                          w == 2 ? F_FF : F_EMBD);
            }
        return;
    }
    mk_linear(m, mk_name(s, i, "mlp.gate_proj", at), F_FF, F_EMBD);
    mk_linear(m, mk_name(s, i, "mlp.up_proj", at), F_FF, F_EMBD);
    mk_linear(m, mk_name(s, i, "mlp.down_proj", at), F_EMBD, F_FF);
}

static inline void mk_norm(folder_maker *m, const char *stem)
{
    char s[128];

    MK_PRINT(s, "%s.weight", stem);
    mk_vector(m, s, F_EMBD);
    MK_PRINT(s, "%s.bias", stem);
    mk_vector(m, s, F_EMBD);
}

/* transposed: GPT-2's Conv1D. */
static inline void mk_biased(folder_maker *m, const char *stem, int64_t rows, int64_t cols,
                             bool transposed)
{
    char s[128];

    mk_linear(m, stem, transposed ? cols : rows, transposed ? rows : cols);
    MK_PRINT(s, "%s.bias", stem);
    mk_vector(m, s, rows);
}

static inline void mk_gpt2(folder_maker *m)
{
    char        s[128];
    const char *at = "transformer.h.";

    mk_add(m, "transformer.wte.weight", NX_ST_F32, F_VOCAB, F_EMBD, FILL_NOISE);
    mk_add(m, "transformer.wpe.weight", NX_ST_F32, 32, F_EMBD, FILL_NOISE);
    mk_norm(m, "transformer.ln_f");
    for (int i = 0; i < F_LAYERS; i++) {
        mk_norm(m, mk_name(s, i, "ln_1", at));
        mk_norm(m, mk_name(s, i, "ln_2", at));
        mk_biased(m, mk_name(s, i, "attn.c_attn", at), 3 * F_EMBD, F_EMBD, true);
        mk_biased(m, mk_name(s, i, "attn.c_proj", at), F_EMBD, F_EMBD, true);
        mk_biased(m, mk_name(s, i, "mlp.c_fc", at), F_FF, F_EMBD, true);
        mk_biased(m, mk_name(s, i, "mlp.c_proj", at), F_EMBD, F_FF, true);
    }
}

static inline void mk_neox(folder_maker *m)
{
    char        s[128];
    const char *at = "gpt_neox.layers.";

    mk_add(m, "gpt_neox.embed_in.weight", NX_ST_F32, F_VOCAB, F_EMBD, FILL_NOISE);
    mk_add(m, "embed_out.weight", NX_ST_F32, F_VOCAB, F_EMBD, FILL_NOISE);
    mk_norm(m, "gpt_neox.final_layer_norm");
    for (int i = 0; i < F_LAYERS; i++) {
        mk_norm(m, mk_name(s, i, "input_layernorm", at));
        mk_norm(m, mk_name(s, i, "post_attention_layernorm", at));
        mk_biased(m, mk_name(s, i, "attention.query_key_value", at), 3 * F_EMBD, F_EMBD, false);
        mk_biased(m, mk_name(s, i, "attention.dense", at), F_EMBD, F_EMBD, false);
        mk_biased(m, mk_name(s, i, "mlp.dense_h_to_4h", at), F_FF, F_EMBD, false);
        mk_biased(m, mk_name(s, i, "mlp.dense_4h_to_h", at), F_EMBD, F_FF, false);
    }
}

static inline void mk_tensors(folder_maker *m)
{
    if (m->kind == FOLDER_GPT2) {
        mk_gpt2(m);
        return;
    }
    if (m->kind == FOLDER_NEOX || m->kind == FOLDER_NEOX_DQ) {
        mk_neox(m);
        return;
    }
    mk_add(m, "model.embed_tokens.weight", NX_ST_BF16, F_VOCAB, F_EMBD, FILL_ZERO);
    mk_vector(m, "model.norm.weight", F_EMBD);
    if (m->kind != FOLDER_GEMMA3)
        mk_add(m, "lm_head.weight", NX_ST_F32, F_VOCAB, F_EMBD, FILL_NOISE);
    for (int i = 0; i < F_LAYERS; i++) mk_llama_layer(m, i);
}

static inline const char *mk_config(folder_kind kind)
{
#define SIZES                                                                                      \
    "\"vocab_size\": 40, \"hidden_size\": 64, \"intermediate_size\": 96, "                         \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"max_position_embeddings\": 32"
#define LLAMA                                                                                      \
    "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n  " SIZES      \
    ",\n  \"num_key_value_heads\": 2"
#define BNB "\"quant_method\": \"bitsandbytes\""
    switch (kind) {
    case FOLDER_NF4:
    case FOLDER_NF4_DQ:
    case FOLDER_FP4:
        return LLAMA ",\n  \"quantization_config\": {" BNB ", \"load_in_4bit\": true}\n}";
    case FOLDER_INT8:
        return LLAMA ",\n  \"quantization_config\": {" BNB ", \"load_in_8bit\": true}\n}";
    case FOLDER_GPT2:
        return "{\"model_type\": \"gpt2\", \"vocab_size\": 40, \"n_embd\": 64, \"n_inner\": 96,\n"
               "\"n_layer\": 2, \"n_head\": 4, \"n_positions\": 32}";
    case FOLDER_NEOX: return "{\"model_type\": \"gpt_neox\", " SIZES ", \"rotary_pct\": 0.5}";
    case FOLDER_NEOX_DQ:
        return "{\"model_type\": \"gpt_neox\", " SIZES ", \"quantization_config\": {" BNB
               ", \"load_in_4bit\": true}}";
    case FOLDER_MIXTRAL:
        return "{\"model_type\": \"mixtral\", " SIZES
               ", \"num_key_value_heads\": 2, \"num_local_experts\": 2}";
    case FOLDER_GEMMA3:
        return "{\"model_type\": \"gemma3_text\", " SIZES
               ", \"num_key_value_heads\": 2, \"head_dim\": 16, \"sliding_window\": 8,\n"
               "\"layer_types\": [\"sliding_attention\", \"full_attention\"]}";
    default:
        return LLAMA
            ",\n  \"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 10000.0,"
            " \"factor\": 8.0,\n   \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
            "\"original_max_position_embeddings\": 64}\n}";
    }
#undef SIZES
#undef LLAMA
#undef BNB
}

/* ---- Writing ---- */

static inline uint32_t mk_random(folder_maker *m)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return m->seed >> 8;
}

static inline void mk_fill(folder_maker *m, const made_tensor *t, unsigned char *out, size_t bytes)
{
    memset(out, 0, bytes);
    if (t->fill == FILL_TEXT) memcpy(out, t->text, bytes);
    if (t->fill == FILL_LEVELS) memcpy(out, t->nf4 ? nx_nf4_levels : nx_fp4_levels, bytes);
    if (t->fill == FILL_ZERO || t->fill == FILL_TEXT || t->fill == FILL_LEVELS) return;
    if (t->type != NX_ST_F32) {
        for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)mk_random(m);
        return;
    }
    for (size_t i = 0; i < bytes / 4; i++) {
        float f = (float)mk_random(m) / (1 << 24);
        if (t->fill == FILL_NOISE) f = (f - 0.5f) * 0.4f;
        if (t->fill == FILL_MAP) f = (float)i / 128 - 1;
        memcpy(out + 4 * i, &f, 4);
    }
}

static inline void mk_write_file(const char *dir, const char *name, const void *bytes, size_t n)
{
    char  path[1024];
    FILE *f;

    MK_PRINT(path, "%s/%s", dir, name);
    f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
        perror(path);
        exit(1);
    }
}

static inline void mk_must(nx_status st, const nx_error *err)
{
    if (st) {
        fprintf(stderr, "folder_maker: %s\n", err->text);
        exit(1);
    }
}

/* A folder of that kind in the existing, empty dir. */
static inline void folder_make(const char *dir, folder_kind kind)
{
    static unsigned char   data[1 << 16];
    folder_maker          *m = calloc(1, sizeof *m);
    nx_safetensors_writer *w = NULL;
    nx_error               err = {0};

    m->kind = kind;
    m->seed = 7;
    mk_tensors(m);
    mk_must(nx_safetensors_writer_open(&w, dir, kind == FOLDER_SHARDS ? 200000 : NX_ST_SHARD_BYTES,
                                       &err),
            &err);
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
    mk_write_file(dir, "config.json", mk_config(kind), strlen(mk_config(kind)));
    free(m);
}

static inline void folder_remove(const char *dir)
{
    nx_error err = {0};

    mk_must(nx_dir_remove_all(dir, &err), &err);
}

#endif
