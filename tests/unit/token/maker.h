/* maker.h - small vocabularies for tests, made in memory. */
#ifndef NX_TESTS_TOKEN_MAKER_H
#define NX_TESTS_TOKEN_MAKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "token/bytemap.h"
#include "token/source.h"

#define MAKER_TOKENS_MAX 1024

typedef struct maker {
    nx_vocab_source src;
    nx_str          texts[MAKER_TOKENS_MAX], merges[MAKER_TOKENS_MAX];
    int64_t         types[MAKER_TOKENS_MAX];
    float           scores[MAKER_TOKENS_MAX];
    char            bytes[64 * MAKER_TOKENS_MAX]; /* of all texts */
    size_t          n_bytes;
} maker;

static inline uint32_t maker_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static inline nx_str maker_keep(maker *m, const char *p, size_t len)
{
    char *to = m->bytes + m->n_bytes;

    if (len > sizeof m->bytes - m->n_bytes) abort();
    if (len) memcpy(to, p, len);
    m->n_bytes += len;
    return (nx_str){to, len};
}

static inline int32_t maker_add(maker *m, const char *p, size_t len, nx_token_type type,
                                float score)
{
    int64_t id = m->src.n++;

    if (id >= MAKER_TOKENS_MAX) abort();
    m->texts[id] = maker_keep(m, p, len);
    m->types[id] = type;
    m->scores[id] = score;
    m->src.n_types = m->src.n;
    m->src.n_scores = m->src.n;
    return (int32_t)id;
}

static inline int32_t maker_say(maker *m, const char *text, nx_token_type type, float score)
{
    return maker_add(m, text, strlen(text), type, score);
}

static inline void maker_start(maker *m, const char *model)
{
    memset(m, 0, sizeof *m);
    m->src = (nx_vocab_source){.model = nx_str_of(model),
                               .texts = m->texts,
                               .types = m->types,
                               .special = {-1, -1, -1, -1, -1, -1, false, false},
                               .add_bos = -1,
                               .add_eos = -1,
                               .add_space_prefix = -1};
}

/* <unk> 0, <s> 1, </s> 2, then the 256 bytes from id 3. */
static inline void maker_spm(maker *m)
{
    char text[8];

    maker_start(m, "llama");
    m->src.scores = m->scores;
    maker_say(m, "<unk>", NX_TOKEN_UNKNOWN, 0);
    maker_say(m, "<s>", NX_TOKEN_CONTROL, 0);
    maker_say(m, "</s>", NX_TOKEN_CONTROL, 0);
    for (int b = 0; b < 256; b++) {
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        maker_say(m, text, NX_TOKEN_BYTE, 0);
    }
}

/* The 256 bytes, id = byte, and no merges. */
static inline void maker_bpe(maker *m, const char *pre)
{
    nx_bytemap map;
    char       text[4];

    maker_start(m, "gpt2");
    m->src.pre = nx_str_of(pre);
    m->src.merges = m->merges;
    nx_bytemap_init(&map);
    for (int b = 0; b < 256; b++) {
        maker_add(m, text, nx_utf8_encode(text, map.char_of[b]), NX_TOKEN_NORMAL, 0);
    }
}

/* The next merge: tokens left and right become a new one, whose id comes back. */
static inline int32_t maker_merge(maker *m, int32_t left, int32_t right)
{
    nx_str a = m->texts[left], b = m->texts[right];
    char   joined[256];

    if (a.len + b.len >= sizeof joined) abort();
    memcpy(joined, a.p, a.len);
    joined[a.len] = ' ';
    memcpy(joined + a.len + 1, b.p, b.len);
    m->merges[m->src.n_merges++] = maker_keep(m, joined, a.len + 1 + b.len);
    memcpy(joined + a.len, b.p, b.len);
    return maker_add(m, joined, a.len + b.len, NX_TOKEN_NORMAL, 0);
}

static inline nx_vocab *maker_open(maker *m)
{
    nx_vocab *v = NULL;
    nx_error  err = {0};

    if (nx_vocab_create(&v, &m->src, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return v;
}

#endif
