/* bm25.c - a text as a sparse vector: murmur3 of each word's stem, and how often it stands there. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/words.h"

/* MurmurHash3, x86, 32 bits, seed 0 (Austin Appleby, public domain). */
static uint32_t murmur3(nx_str s)
{
    uint32_t h = 0, k;
    size_t   i = 0;

    for (; i + 4 <= s.len; i += 4) {
        memcpy(&k, s.p + i, 4);
        k *= 0xCC9E2D51u;
        k = k << 15 | k >> 17;
        h ^= k * 0x1B873593u;
        h = (h << 13 | h >> 19) * 5 + 0xE6546B64u;
    }
    k = 0;
    for (size_t t = s.len; t > i; t--) k = k << 8 | (unsigned char)s.p[t - 1];
    k *= 0xCC9E2D51u;
    k = k << 15 | k >> 17;
    h ^= k * 0x1B873593u;
    h ^= (uint32_t)s.len;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    return h ^ h >> 16;
}

uint32_t nx_bm25_id(nx_str stem)
{
    uint32_t h = murmur3(stem);

    return h >> 31 ? 0 - h : h; /* |h|, as a signed number */
}

typedef struct gathering {
    nx_buf    ids; /* u32, one for each word */
    nx_error *err;
    nx_status st;
} gathering;

static bool take_word(void *ctx, nx_str word)
{
    gathering *g = ctx;
    uint32_t   id = nx_bm25_id(word);

    g->st = nx_buf_add(&g->ids, &id, sizeof id, g->err);
    return g->st == NX_OK;
}

static int by_value(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

    return a < b ? -1 : a > b;
}

static float weight_of(double count, double n_words, const nx_bm25_options *o)
{
    double k = o->k > 0 ? (double)o->k : 1.2, b = o->b > 0 ? (double)o->b : 0.75;
    double avg = o->avg_len > 0 ? (double)o->avg_len : 256;

    return (float)(count * (k + 1) / (count + k * (1 - b + b * n_words / avg)));
}

static nx_status write_vector(nx_buf *ids, nx_buf *values, uint32_t *all, size_t n, bool asking,
                              const nx_bm25_options *opt, nx_error *err)
{
    nx_status st = NX_OK;

    if (n > 1) qsort(all, n, sizeof *all, by_value);
    for (size_t i = 0, end; !st && i < n; i = end) {
        for (end = i + 1; end < n && all[end] == all[i];) end++;
        float x = asking ? 1 : weight_of((double)(end - i), (double)n, opt);
        st = nx_buf_add(ids, &all[i], sizeof *all, err);
        if (!st) st = nx_buf_add(values, &x, sizeof x, err);
    }
    return st;
}

nx_status nx_bm25_vector(nx_buf *ids, nx_buf *values, nx_str text, bool asking,
                         const nx_bm25_options *opt, nx_error *err)
{
    static const nx_bm25_options plain;
    gathering                    g = {.ids.max = (size_t)1 << 30, .err = err};
    nx_words                    *w = NULL;
    size_t                       ids_len = ids->len, values_len = values->len;

    if (!opt) opt = &plain;
    nx_status st = nx_words_create_bm25(&w, opt->language, err);
    if (!st) st = nx_words_each(w, text, asking, take_word, &g, err);
    if (!st) st = g.st;
    if (!st)
        st = write_vector(ids, values, (uint32_t *)(void *)g.ids.data, g.ids.len / 4, asking, opt,
                          err);
    if (st) {
        ids->len = ids_len;
        values->len = values_len;
    }
    nx_words_destroy(w);
    nx_buf_free(&g.ids);
    return st;
}
