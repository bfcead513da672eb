/* base_files.h - small whole GGUF files, made in memory, for damage and for fuzz seeds.
 *
 * Two llamas that load and compute: one with a SentencePiece-like vocabulary and small blocks, one
 * with a byte-level BPE vocabulary, super-blocks and rope factors; and the two vocabularies alone.
 * Weights are noise, none of their bytes zero: a shift or a cut can't hide among zeros.
 */
#ifndef NX_TESTS_BASE_FILES_H
#define NX_TESTS_BASE_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf_write.h"
#include "token/bytemap.h"

/* splitmix64: every case of a run follows from its seed. */
typedef struct rng {
    uint64_t state;
} rng;

static inline uint64_t rng_next(rng *r)
{
    uint64_t x = r->state += 0x9E3779B97F4A7C15u;

    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static inline uint64_t rng_below(rng *r, uint64_t n)
{
    return n ? rng_next(r) % n : 0;
}

static inline void must(nx_status st, const nx_error *err)
{
    if (!st) return;
    fprintf(stderr, "making a base file: %s\n", err->text);
    exit(1);
}

/* ---- Vocabularies ---- */

enum { N_PIECES = 24, N_SPM = 3 + 256 + N_PIECES, N_BPE = 256 + N_PIECES + 2 };

typedef struct vocab_texts {
    char    text[N_SPM + N_BPE][16]; /* room for either */
    nx_str  list[N_SPM + N_BPE];
    int32_t types[N_SPM + N_BPE];
    float   scores[N_SPM + N_BPE];
    int     n;
} vocab_texts;

static inline void add_token(vocab_texts *v, const char *text, int32_t type, float score)
{
    snprintf(v->text[v->n], sizeof v->text[0], "%s", text);
    v->list[v->n] = nx_str_of(v->text[v->n]);
    v->types[v->n] = type;
    v->scores[v->n++] = score;
}

static const char *const pieces[N_PIECES] = {
    "he", "ll", "lo", "th", "in", "er", "an", "re", "on",  "at",  "en",  "nd",
    "ti", "es", "or", "te", "of", "ed", "is", "it", "hel", "the", "and", "ing",
};

static inline void put_spm(nx_gguf_writer *w, vocab_texts *v)
{
    char text[16];

    v->n = 0;
    add_token(v, "<unk>", 2, 0);
    add_token(v, "<s>", 3, 0);
    add_token(v, "</s>", 3, 0);
    for (int b = 0; b < 256; b++) {
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        add_token(v, text, 6, 0);
    }
    for (int i = 0; i < N_PIECES; i++) add_token(v, pieces[i], 1, -(float)i);
    nx_gguf_put_string(w, "tokenizer.ggml.model", NX_STR("llama"));
    nx_gguf_put_strings(w, "tokenizer.ggml.tokens", v->list, v->n);
    nx_gguf_put_f32s(w, "tokenizer.ggml.scores", v->scores, v->n);
    nx_gguf_put_i32s(w, "tokenizer.ggml.token_type", v->types, v->n);
    nx_gguf_put_int(w, "tokenizer.ggml.bos_token_id", NX_META_U32, 1);
    nx_gguf_put_int(w, "tokenizer.ggml.eos_token_id", NX_META_U32, 2);
    nx_gguf_put_int(w, "tokenizer.ggml.unknown_token_id", NX_META_U32, 0);
    nx_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    nx_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true);
}

/* Merges that make each piece of its first letters and its last one. */
static inline void put_merges(nx_gguf_writer *w)
{
    char   text[N_PIECES][16];
    nx_str merges[N_PIECES];

    for (int i = 0; i < N_PIECES; i++) {
        int left = (int)strlen(pieces[i]) - 1;
        snprintf(text[i], sizeof text[i], "%.*s %s", left, pieces[i], pieces[i] + left);
        merges[i] = nx_str_of(text[i]);
    }
    nx_gguf_put_strings(w, "tokenizer.ggml.merges", merges, N_PIECES);
}

static inline void put_bpe(nx_gguf_writer *w, vocab_texts *v)
{
    nx_bytemap map;

    nx_bytemap_init(&map);
    v->n = 0;
    for (int b = 0; b < 256; b++) {
        char text[3] = {(char)map.char_of[b], 0, 0};
        if (map.char_of[b] > 127) { /* two bytes of UTF-8: the map ends below U+0800 */
            text[0] = (char)(0xC0 | map.char_of[b] >> 6);
            text[1] = (char)(0x80 | (map.char_of[b] & 63));
        }
        add_token(v, text, 1, 0);
    }
    for (int i = 0; i < N_PIECES; i++) add_token(v, pieces[i], 1, 0);
    add_token(v, "<|start|>", 3, 0);
    add_token(v, "<|im_end|>", 3, 0);
    nx_gguf_put_string(w, "tokenizer.ggml.model", NX_STR("gpt2"));
    nx_gguf_put_string(w, "tokenizer.ggml.pre", NX_STR("llama-bpe"));
    nx_gguf_put_strings(w, "tokenizer.ggml.tokens", v->list, v->n);
    nx_gguf_put_i32s(w, "tokenizer.ggml.token_type", v->types, v->n);
    put_merges(w);
    nx_gguf_put_int(w, "tokenizer.ggml.bos_token_id", NX_META_U32, N_BPE - 2);
    nx_gguf_put_int(w, "tokenizer.ggml.eos_token_id", NX_META_U32, N_BPE - 1);
    nx_gguf_put_string(w, "tokenizer.chat_template",
                       NX_STR("{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}"));
}

/* ---- Llamas ---- */

typedef struct sizes {
    int32_t layers, embd, ff, heads, heads_kv, vocab;
    bool    rope_factors;
} sizes;

typedef struct maker {
    nx_gguf_writer *w;
    rng             r;
    const nx_dtype *types; /* [n_types], for matrices, in turn */
    int             n_types, turn;
    bool            data; /* false: directory; true: data, in the same order */
} maker;

static inline void make_data(maker *m, nx_dtype t, int64_t n, bool vector)
{
    size_t         bytes = nx_dtype_row_bytes(t, n);
    unsigned char *p = malloc(bytes);
    nx_error       err = {0};

    if (!p) exit(1);
    for (size_t i = 0; i < bytes; i++) p[i] = (unsigned char)(1 + rng_below(&m->r, 255));
    for (int64_t i = 0; vector && i < n; i++) {
        float x = 0.7f + (float)i / 1024;
        memcpy(p + 4 * i, &x, 4);
    }
    must(nx_gguf_write(m->w, p, bytes, &err), &err);
    free(p);
}

/* rows 0: a vector of cols f32. */
static inline void make_tensor(maker *m, const char *name, int64_t cols, int64_t rows)
{
    nx_dtype t = rows ? m->types[m->turn++ % m->n_types] : NX_DTYPE_F32;

    if (m->data)
        make_data(m, t, rows ? cols * rows : cols, rows == 0);
    else
        nx_gguf_add_tensor(m->w, name, t, rows ? 2 : 1, (int64_t[]){cols, rows});
}

static inline void make_layer(maker *m, const sizes *s, int layer)
{
    int64_t kv = s->embd / s->heads * s->heads_kv;
    const struct {
        const char *name;
        int64_t     cols, rows;
    } slots[] = {
        {"attn_norm", s->embd, 0},         {"attn_q", s->embd, s->embd},
        {"attn_k", s->embd, kv},           {"attn_v", s->embd, kv},
        {"attn_output", s->embd, s->embd}, {"ffn_norm", s->embd, 0},
        {"ffn_gate", s->embd, s->ff},      {"ffn_up", s->embd, s->ff},
        {"ffn_down", s->ff, s->embd},
    };
    char name[64];

    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, slots[i].name);
        make_tensor(m, name, slots[i].cols, slots[i].rows);
    }
}

static inline void make_tensors(maker *m, const sizes *s, bool data)
{
    m->data = data;
    m->turn = 0;
    make_tensor(m, "token_embd.weight", s->embd, s->vocab);
    if (s->rope_factors) make_tensor(m, "rope_freqs.weight", s->embd / s->heads / 2, 0);
    for (int i = 0; i < s->layers; i++) make_layer(m, s, i);
    make_tensor(m, "output_norm.weight", s->embd, 0);
    make_tensor(m, "output.weight", s->embd, s->vocab);
}

static inline void put_llama(nx_gguf_writer *w, const sizes *s)
{
    nx_gguf_put_string(w, "general.architecture", NX_STR("llama"));
    nx_gguf_put_string(w, "general.name", NX_STR("noise"));
    nx_gguf_put_int(w, "general.alignment", NX_META_U32, 32);
    nx_gguf_put_int(w, "llama.block_count", NX_META_U32, s->layers);
    nx_gguf_put_int(w, "llama.context_length", NX_META_U32, 64);
    nx_gguf_put_int(w, "llama.embedding_length", NX_META_U32, s->embd);
    nx_gguf_put_int(w, "llama.feed_forward_length", NX_META_U32, s->ff);
    nx_gguf_put_int(w, "llama.attention.head_count", NX_META_U32, s->heads);
    nx_gguf_put_int(w, "llama.attention.head_count_kv", NX_META_U32, s->heads_kv);
    nx_gguf_put_int(w, "llama.rope.dimension_count", NX_META_U32, s->embd / s->heads);
    nx_gguf_put_f32(w, "llama.rope.freq_base", 10000);
    nx_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

typedef enum base_kind { BASE_SPM_LLAMA, BASE_BPE_LLAMA, BASE_SPM, BASE_BPE, BASE_MADE } base_kind;

static const char *const base_names[BASE_MADE] = {"spm-llama", "bpe-llama", "spm", "bpe"};

static inline void make_base(nx_buf *out, base_kind kind)
{
    static const nx_dtype small[] = {NX_DTYPE_Q8_0, NX_DTYPE_F32,  NX_DTYPE_F16,
                                     NX_DTYPE_BF16, NX_DTYPE_Q4_0, NX_DTYPE_Q4_1,
                                     NX_DTYPE_Q5_0, NX_DTYPE_Q5_1, NX_DTYPE_IQ4_NL};
    static const nx_dtype super[] = {NX_DTYPE_Q4_K, NX_DTYPE_Q2_K, NX_DTYPE_Q3_K,
                                     NX_DTYPE_Q5_K, NX_DTYPE_Q6_K, NX_DTYPE_IQ4_XS};
    sizes                 s = {2, 32, 64, 4, 2, N_SPM, false};
    maker       m = {.r = {kind}, .types = small, .n_types = sizeof small / sizeof small[0]};
    vocab_texts texts;
    nx_error    err = {0};

    if (kind == BASE_BPE_LLAMA) {
        s = (sizes){1, 256, 256, 4, 2, N_BPE, true};
        m.types = super;
        m.n_types = sizeof super / sizeof super[0];
    }
    *out = (nx_buf){.max = 1 << 24};
    must(nx_gguf_writer_open_buf(&m.w, out, &err), &err);
    if (kind <= BASE_BPE_LLAMA) put_llama(m.w, &s);
    if (kind == BASE_SPM_LLAMA || kind == BASE_SPM)
        put_spm(m.w, &texts);
    else
        put_bpe(m.w, &texts);
    if (kind <= BASE_BPE_LLAMA) make_tensors(&m, &s, false);
    must(nx_gguf_begin(m.w, &err), &err);
    if (kind <= BASE_BPE_LLAMA) make_tensors(&m, &s, true);
    must(nx_gguf_commit(m.w, &err), &err);
    nx_gguf_writer_destroy(m.w);
}

#endif
