/* synthetic_head.c - what stands before the tensors of a synthetic model: metadata, vocabulary,
 * tensor directory.
 *
 * The vocabulary is a byte-level BPE that reads and writes any text: 256 byte tokens in GPT-2's
 * spelling, one merged pair, and words such as [300] up to the size of the shape.
 */
#include "engine/synthetic_head.h"

#include <assert.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/utf8.h"
#include "format/gguf_write.h"
#include "token/vocab.h"

#define N_BYTES   256
#define PAIR_A    "\xC4\xA0" /* GPT-2's spelling of a space: U+0120 */
#define PAIR_B    "t"
#define ROPE_BASE 500000.0f
#define NORM_EPS  1e-5f

/* GPT-2 spells the bytes that are printable in Latin-1 as themselves, the others as U+0100 and
 * up, in their order. */
static bool is_spelled_plainly(uint32_t byte)
{
    return (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
}

static void add_byte_tokens(nx_str *tokens, char (*texts)[4])
{
    uint32_t n_shifted = 0;

    for (uint32_t byte = 0; byte < N_BYTES; byte++) {
        uint32_t cp = is_spelled_plainly(byte) ? byte : N_BYTES + n_shifted++;
        tokens[byte] = (nx_str){texts[byte], nx_utf8_encode(texts[byte], cp)};
    }
}

/* n >= 260 token texts; their characters lie in arena. NULL when out of memory. */
static nx_str *make_tokens(nx_arena *arena, int32_t n)
{
    nx_str *tokens = nx_arena_alloc(arena, (size_t)n, sizeof *tokens);
    char(*texts)[4] = nx_arena_alloc(arena, N_BYTES, sizeof *texts);

    if (!tokens || !texts) return NULL;
    add_byte_tokens(tokens, texts);
    tokens[N_BYTES] = NX_STR(PAIR_A PAIR_B);
    for (int32_t i = N_BYTES + 1; i < n - 2; i++) {
        char text[16];
        int  len = snprintf(text, sizeof text, "[%d]", i);
        tokens[i] = (nx_str){nx_arena_strndup(arena, text, (size_t)len), (size_t)len};
        if (!tokens[i].p) return NULL;
    }
    tokens[n - 2] = NX_STR("<|begin_of_text|>");
    tokens[n - 1] = NX_STR("<|end_of_text|>");
    return tokens;
}

static nx_status put_vocab(nx_gguf_writer *w, int32_t n, nx_error *err)
{
    nx_str    merge = NX_STR(PAIR_A " " PAIR_B);
    nx_arena  arena = {.chunk_bytes = (size_t)1 << 20};
    nx_str   *tokens = make_tokens(&arena, n);
    int32_t  *types = nx_arena_alloc(&arena, (size_t)n, sizeof *types);
    nx_status st = NX_OK;

    if (tokens && types) {
        for (int32_t i = 0; i < n; i++) types[i] = i < n - 2 ? NX_TOKEN_NORMAL : NX_TOKEN_CONTROL;
        nx_gguf_put_string(w, "tokenizer.ggml.model", NX_STR("gpt2"));
        nx_gguf_put_string(w, "tokenizer.ggml.pre", NX_STR("gpt-2"));
        nx_gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, n);
        nx_gguf_put_i32s(w, "tokenizer.ggml.token_type", types, n);
        nx_gguf_put_strings(w, "tokenizer.ggml.merges", &merge, 1);
        nx_gguf_put_int(w, "tokenizer.ggml.bos_token_id", NX_META_U32, n - 2);
        nx_gguf_put_int(w, "tokenizer.ggml.eos_token_id", NX_META_U32, n - 1);
        nx_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    } else {
        st = nx_fail(err, NX_ENOMEM, "vocabulary of %d tokens", n);
    }
    nx_arena_free(&arena);
    return st;
}

static void put_sizes(nx_gguf_writer *w, const nx_synthetic_plan *p, const nx_synthetic_shape *s)
{
    nx_gguf_put_string(w, "general.architecture", NX_STR("llama"));
    nx_gguf_put_string(w, "general.name", nx_str_of(p->name));
    nx_gguf_put_int(w, "llama.block_count", NX_META_U32, s->n_layers);
    nx_gguf_put_int(w, "llama.context_length", NX_META_U32, s->n_ctx);
    nx_gguf_put_int(w, "llama.embedding_length", NX_META_U32, s->n_embd);
    nx_gguf_put_int(w, "llama.feed_forward_length", NX_META_U32, s->n_ff);
    nx_gguf_put_int(w, "llama.attention.head_count", NX_META_U32, s->n_heads);
    nx_gguf_put_int(w, "llama.attention.head_count_kv", NX_META_U32, s->n_heads_kv);
    nx_gguf_put_int(w, "llama.rope.dimension_count", NX_META_U32, s->n_embd / s->n_heads);
    nx_gguf_put_int(w, "llama.vocab_size", NX_META_U32, s->n_vocab);
    nx_gguf_put_f32(w, "llama.rope.freq_base", ROPE_BASE);
    nx_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", NORM_EPS);
}

nx_status nx_synthetic_head(nx_synthetic_plan *p, const nx_synthetic_shape *s, nx_error *err)
{
    nx_gguf_writer *w = NULL;
    nx_status       st = nx_gguf_writer_open_buf(&w, &p->head, err);

    if (st) return st;
    put_sizes(w, p, s);
    st = put_vocab(w, s->n_vocab, err);
    for (int64_t i = 0; i < p->n_tensors; i++) {
        const nx_synthetic_tensor *t = &p->tensors[i];
        nx_gguf_add_tensor(w, t->name, t->dtype, t->n_dims, t->ne);
    }
    if (!st) st = nx_gguf_begin(w, err);
    assert(st || p->head.len + p->data_bytes == nx_gguf_writer_bytes(w));
    nx_gguf_writer_destroy(w);
    return st;
}
