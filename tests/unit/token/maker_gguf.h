/* maker_gguf.h - writes a maker's vocabulary as a GGUF file without tensors. */
#ifndef NX_TESTS_TOKEN_MAKER_GGUF_H
#define NX_TESTS_TOKEN_MAKER_GGUF_H

#include <unistd.h>

#include "format/checkpoint.h"
#include "maker.h"

typedef struct gguf {
    nx_buf  out;
    int64_t n_keys;
} gguf;

static inline void gguf_raw(gguf *g, const void *p, size_t n)
{
    if (nx_buf_add(&g->out, p, n, NULL)) abort();
}

static inline void gguf_u32(gguf *g, uint32_t x)
{
    gguf_raw(g, &x, sizeof x);
}

static inline void gguf_u64(gguf *g, uint64_t x)
{
    gguf_raw(g, &x, sizeof x);
}

static inline void gguf_text(gguf *g, nx_str s)
{
    gguf_u64(g, s.len);
    gguf_raw(g, s.p, s.len);
}

static inline void gguf_key(gguf *g, const char *key, uint32_t type)
{
    gguf_text(g, nx_str_of(key));
    gguf_u32(g, type);
    g->n_keys++;
}

static inline void gguf_string(gguf *g, const char *key, nx_str s)
{
    gguf_key(g, key, NX_META_STRING);
    gguf_text(g, s);
}

static inline void gguf_strings(gguf *g, const char *key, const nx_str *list, int64_t n)
{
    gguf_key(g, key, NX_META_ARRAY);
    gguf_u32(g, NX_META_STRING);
    gguf_u64(g, (uint64_t)n);
    for (int64_t i = 0; i < n; i++) gguf_text(g, list[i]);
}

static inline void gguf_id(gguf *g, const char *key, int32_t id)
{
    if (id == -1) return;
    gguf_key(g, key, NX_META_U32);
    gguf_u32(g, (uint32_t)id);
}

static inline void gguf_flag(gguf *g, const char *key, int flag)
{
    char byte = (char)flag;

    if (flag < 0) return;
    gguf_key(g, key, NX_META_BOOL);
    gguf_raw(g, &byte, 1);
}

static inline void gguf_vocab(gguf *g, const maker *m)
{
    const nx_vocab_source *s = &m->src;

    gguf_string(g, "tokenizer.ggml.model", s->model);
    if (s->pre.len) gguf_string(g, "tokenizer.ggml.pre", s->pre);
    gguf_strings(g, "tokenizer.ggml.tokens", s->texts, s->n);
    gguf_key(g, "tokenizer.ggml.token_type", NX_META_ARRAY);
    gguf_u32(g, NX_META_I32);
    gguf_u64(g, (uint64_t)s->n_types);
    for (int64_t i = 0; i < s->n_types; i++) gguf_u32(g, (uint32_t)s->types[i]);
    if (s->merges) gguf_strings(g, "tokenizer.ggml.merges", s->merges, s->n_merges);
    if (s->scores) {
        gguf_key(g, "tokenizer.ggml.scores", NX_META_ARRAY);
        gguf_u32(g, NX_META_F32);
        gguf_u64(g, (uint64_t)s->n_scores);
        gguf_raw(g, s->scores, (size_t)s->n_scores * sizeof(float));
    }
    gguf_id(g, "tokenizer.ggml.bos_token_id", s->special.bos);
    gguf_id(g, "tokenizer.ggml.eos_token_id", s->special.eos);
    gguf_id(g, "tokenizer.ggml.eot_token_id", s->special.eot);
    gguf_id(g, "tokenizer.ggml.unknown_token_id", s->special.unk);
    gguf_id(g, "tokenizer.ggml.seperator_token_id", s->special.sep);
    gguf_id(g, "tokenizer.ggml.padding_token_id", s->special.pad);
    gguf_flag(g, "tokenizer.ggml.add_bos_token", s->add_bos);
    gguf_flag(g, "tokenizer.ggml.add_eos_token", s->add_eos);
    gguf_flag(g, "tokenizer.ggml.add_space_prefix", s->add_space_prefix);
}

/* Write and open it: name and chat_template may be NULL. The file is gone again afterwards, its
 * mapping isn't. */
static inline nx_checkpoint *maker_checkpoint(const maker *m, const char *name,
                                              const char *chat_template)
{
    char           path[] = "/tmp/nexus-vocab-XXXXXX";
    gguf           g = {.out.max = 1 << 22};
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};
    int            fd = mkstemp(path);

    gguf_raw(&g, "GGUF", 4);
    gguf_u32(&g, 3);
    gguf_u64(&g, 0);
    gguf_u64(&g, 0); /* number of keys, set below */
    gguf_string(&g, "general.architecture", NX_STR("llama"));
    if (name) gguf_string(&g, "general.name", nx_str_of(name));
    if (chat_template) gguf_string(&g, "tokenizer.chat_template", nx_str_of(chat_template));
    gguf_vocab(&g, m);
    memcpy(g.out.data + 16, &g.n_keys, sizeof g.n_keys);
    if (fd < 0 || write(fd, g.out.data, g.out.len) != (ssize_t)g.out.len || close(fd)) abort();
    nx_status st = nx_checkpoint_open(&cp, path, &err);
    unlink(path);
    nx_buf_free(&g.out);
    if (st) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return cp;
}

#endif
