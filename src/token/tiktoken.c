/* tiktoken.c - reads ranks, and makes of them the merges of byte-level BPE.
 *
 * For every token and every place to cut it, if both halves are tokens, that pair merges with the
 * token's rank: then merging pairs by rank does what tiktoken does. Texts are spelled in GPT-2's
 * characters for bytes, as all vocabularies of this kind are here.
 */
#include "token/tiktoken.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/bytemap.h"
#include "token/side.h"
#include "token/source.h"

#define RANKS_MAX     (1 << 22)
#define TOKEN_LEN_MAX 1024

typedef struct ranks {
    nx_bytemap map;
    nx_arena   arena;
    nx_str    *texts; /* [cap] spelled; empty: a hole */
    int64_t   *types;
    int64_t    n, cap; /* n: one past the highest rank */
} ranks;

/* ---- Lines ------------------------------------------------------------------------------------ */

static int digit64(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes written to out (room for len), or -1. */
static int decode64(char *out, const char *p, size_t len)
{
    uint32_t bits = 0;
    int      n_bits = 0, n = 0;

    while (len && p[len - 1] == '=') len--;
    for (size_t i = 0; i < len; i++) {
        int d = digit64(p[i]);
        if (d < 0) return -1;
        bits = bits << 6 | (uint32_t)d;
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        out[n++] = (char)(bits >> n_bits & 0xFF);
    }
    return n_bits < 6 && len ? n : -1;
}

/* "BASE64 RANK": the bytes to out[TOKEN_LEN_MAX]; their number, or -1. */
static int read_line(nx_str line, char *out, int64_t *rank)
{
    const char *space = memchr(line.p, ' ', line.len);

    if (line.len && line.p[line.len - 1] == '\r') line.len--;
    if (!space || (size_t)(space - line.p) > TOKEN_LEN_MAX) return -1;
    *rank = 0;
    const char *p = space + 1, *end = line.p + line.len;
    if (p >= end || end - p > 9) return -1;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') return -1;
        *rank = *rank * 10 + (*p - '0');
    }
    return decode64(out, line.p, (size_t)(space - line.p));
}

static nx_str take_line(nx_str *rest)
{
    const char *end = rest->len ? memchr(rest->p, '\n', rest->len) : NULL;
    nx_str      line = {rest->p, end ? (size_t)(end - rest->p) : rest->len};
    size_t      used = line.len + (end != NULL);

    *rest = (nx_str){rest->p + used, rest->len - used};
    return line;
}

bool nx_tiktoken_is(nx_str bytes)
{
    char    out[TOKEN_LEN_MAX];
    int64_t rank;

    return bytes.len && read_line(take_line(&bytes), out, &rank) > 0;
}

/* ---- Tokens ----------------------------------------------------------------------------------- */

static nx_status reserve(ranks *r, int64_t n, nx_error *err)
{
    if (n <= r->cap) return NX_OK;
    int64_t cap = n + n / 2 + 1024;
    nx_str *texts = nx_realloc(r->texts, (size_t)cap, sizeof *texts);
    if (texts) r->texts = texts;
    int64_t *types = nx_realloc(r->types, (size_t)cap, sizeof *types);
    if (types) r->types = types;
    if (!texts || !types) return nx_fail(err, NX_ENOMEM, "%lld ranks", (long long)n);
    for (int64_t i = r->cap; i < cap; i++) {
        texts[i] = (nx_str){0};
        types[i] = NX_TOKEN_UNUSED;
    }
    r->cap = cap;
    return NX_OK;
}

static nx_status add_text(ranks *r, int64_t id, const char *text, size_t len, int64_t type,
                          nx_error *err)
{
    nx_status st = reserve(r, id + 1, err);
    char     *copy = st ? NULL : nx_arena_strndup(&r->arena, text, len);

    if (st) return st;
    if (!copy) return nx_fail(err, NX_ENOMEM, "token %lld", (long long)id);
    r->texts[id] = (nx_str){copy, len};
    r->types[id] = type;
    if (id >= r->n) r->n = id + 1;
    return NX_OK;
}

static nx_status read_ranks(ranks *r, const char *name, nx_str rest, nx_error *err)
{
    char      bytes[TOKEN_LEN_MAX], spelled[2 * TOKEN_LEN_MAX];
    nx_status st = NX_OK;
    int64_t   rank;

    for (int64_t i = 1; !st && rest.len; i++) {
        nx_str line = take_line(&rest);
        if (line.len == 0) continue;
        int n = read_line(line, bytes, &rank);
        if (n <= 0 || rank >= RANKS_MAX || (rank < r->n && r->texts[rank].len)) {
            return nx_fail(err, NX_EFORMAT,
                           "%s: line %lld: expected base64 of a token, a space, and a rank of its "
                           "own below %d",
                           name, (long long)i, RANKS_MAX);
        }
        size_t len = 0;
        for (int k = 0; k < n; k++) {
            len += nx_utf8_encode(spelled + len, r->map.char_of[(unsigned char)bytes[k]]);
        }
        st = add_text(r, rank, spelled, len, NX_TOKEN_NORMAL, err);
    }
    return st;
}

/* ---- Special tokens that stand in no file ----------------------------------------------------- */

static const char *const llama3_specials[] = {
    "<|begin_of_text|>",
    "<|end_of_text|>",
    NULL,
    NULL,
    "<|finetune_right_pad_id|>",
    NULL,
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
};

static nx_status add_llama3(ranks *r, nx_error *err)
{
    int64_t   base = r->n;
    int       reserved = 0;
    nx_status st = NX_OK;

    for (int i = 0; !st && i < 256; i++) {
        bool        known = i < (int)(sizeof llama3_specials / sizeof *llama3_specials);
        char        text[48];
        const char *name = known ? llama3_specials[i] : NULL;
        if (name)
            snprintf(text, sizeof text, "%s", name);
        else
            snprintf(text, sizeof text, "<|reserved_special_token_%d|>", reserved++);
        st = add_text(r, base + i, text, strlen(text), NX_TOKEN_CONTROL, err);
    }
    return st;
}

static nx_status add_qwen(ranks *r, nx_error *err)
{
    static const char *const first[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    int64_t                  base = r->n;
    nx_status                st = NX_OK;

    for (int i = 0; !st && i < 3 + 205; i++) {
        char text[32];
        if (i < 3)
            snprintf(text, sizeof text, "%s", first[i]);
        else
            snprintf(text, sizeof text, "<|extra_%d|>", i - 3);
        st = add_text(r, base + i, text, strlen(text), NX_TOKEN_CONTROL, err);
    }
    return st;
}

static nx_status add_side(ranks *r, const nx_side *side, nx_error *err)
{
    nx_status st = NX_OK;
    int64_t   base = r->n;

    for (int64_t i = 0; !st && i < side->n_added; i++) {
        if (side->texts[i].len == 0) continue;
        st = add_text(r, base + i, side->texts[i].p, side->texts[i].len, side->types[i], err);
    }
    return st;
}

/* ---- Merges ----------------------------------------------------------------------------------- */

static int32_t token_of(const nx_vocab *v, const char *p, size_t len)
{
    int32_t id = nx_index_find(&v->by_raw, p, len);

    return id >= 0 && v->types[id] == NX_TOKEN_NORMAL ? id : -1;
}

static nx_status add_merges_of(nx_vocab *v, int32_t id, bool count, int64_t *n, nx_error *err)
{
    nx_str t = v->raw[id];

    for (size_t k = 1; k < t.len; k++) {
        int32_t left = token_of(v, t.p, k), right = token_of(v, t.p + k, t.len - k);
        if (left < 0 || right < 0) continue;
        ++*n;
        if (!count && !nx_merges_add(&v->merges, (nx_merge){left, right, id, id})) {
            return nx_fail(err, NX_EFORMAT, "token %d: too many pairs with one hash", id);
        }
    }
    return NX_OK;
}

static nx_status make_merges(nx_vocab *v, int64_t n_ranks, nx_error *err)
{
    nx_status st = NX_OK;
    int64_t   n = 0;

    if (!v->by_raw.slots) {
        return nx_fail(err, NX_EINVAL, "pre-tokenizer %s merges words that are tokens",
                       nx_pretoken_name(&v->pretoken));
    }
    for (int count = 1; !st && count >= 0; count--) {
        if (!count) {
            nx_merges_destroy(&v->merges);
            st = nx_merges_create(&v->merges, n, err);
        }
        for (int32_t i = 0; !st && i < n_ranks; i++) {
            if (v->types[i] == NX_TOKEN_NORMAL) st = add_merges_of(v, i, count, &n, err);
        }
    }
    return st;
}

/* ---- The whole -------------------------------------------------------------------------------- */

static void close_arena(void *impl)
{
    if (impl) nx_arena_free(impl);
    nx_free(impl);
}

static const nx_vocab_ops ops = {.close = close_arena};

bool nx_tiktoken_is_vocab(const nx_vocab *v)
{
    return v->ops == &ops;
}

static nx_status make_vocab(nx_vocab **out, ranks *r, const nx_side *side, const nx_checkpoint *cp,
                            const char *pre, int64_t n_ranks, nx_error *err)
{
    nx_vocab_source src = {.cp = cp,
                           .model = NX_STR("gpt2"),
                           .pre = nx_str_of(pre),
                           .texts = r->texts,
                           .types = r->types,
                           .n = r->n,
                           .n_types = r->n,
                           .special = side->special,
                           .add_bos =
                               nx_json_get(side->config.root, "add_bos_token") ? side->add_bos : -1,
                           .add_eos = side->add_eos};
    nx_arena       *keep = nx_calloc(1, sizeof *keep);

    if (!keep) return nx_fail(err, NX_ENOMEM, "vocabulary of %lld ranks", (long long)n_ranks);
    for (int64_t i = 0; i < r->n; i++) {
        bool bos = nx_str_eq(r->texts[i], NX_STR("<|begin_of_text|>"));
        bool eos = nx_str_eq(r->texts[i], NX_STR("<|end_of_text|>")) ||
                   nx_str_eq(r->texts[i], NX_STR("<|endoftext|>"));
        if (bos && src.special.bos < 0) src.special.bos = (int32_t)i;
        if (eos && src.special.eos < 0) src.special.eos = (int32_t)i;
    }
    nx_status st = nx_vocab_create(out, &src, err);
    if (st) {
        nx_free(keep);
        return st;
    }
    *keep = r->arena; /* which the texts lie in */
    r->arena = (nx_arena){0};
    (*out)->ops = &ops;
    (*out)->impl = keep;
    snprintf((*out)->kind, sizeof(*out)->kind, "tiktoken (%s)", pre);
    nx_side_mark_ends(side, *out);
    return make_merges(*out, n_ranks, err);
}

static nx_status build(nx_vocab **out, ranks *r, nx_side *side, const nx_checkpoint *cp,
                       const char *name, nx_str bytes, const char *pre, nx_error *err)
{
    nx_status st = read_ranks(r, name, bytes, err);
    int64_t   n_ranks = r->n;

    if (!st && n_ranks == 0) st = nx_fail(err, NX_EFORMAT, "%s: no ranks", name);
    *side = (nx_side){.base_texts = r->texts,
                      .base_types = r->types,
                      .n_base = n_ranks,
                      .special = {-1, -1, -1, -1, -1, -1, false, false}};
    if (!st && cp) st = nx_side_read(side, cp, err);
    if (!st && side->n_added) {
        st = add_side(r, side, err);
    } else if (!st && strcmp(pre, "llama-bpe") == 0) {
        st = add_llama3(r, err);
    } else if (!st && strcmp(pre, "tiktoken-qwen") == 0) {
        st = add_qwen(r, err);
    }
    return st ? st : make_vocab(out, r, side, cp, pre, n_ranks, err);
}

nx_status nx_tiktoken_create(nx_vocab **out, const nx_checkpoint *cp, const char *name,
                             nx_str bytes, const char *pre, nx_error *err)
{
    ranks     r = {0};
    nx_side   side = {0};
    nx_status st;

    *out = NULL;
    nx_bytemap_init(&r.map);
    st = build(out, &r, &side, cp, name, bytes, pre, err);
    nx_side_free(&side);
    nx_arena_free(&r.arena);
    nx_free(r.texts);
    nx_free(r.types);
    if (!st) return NX_OK;
    nx_vocab_close(*out);
    *out = NULL;
    return cp ? nx_fail_prefix(err, st, "%s", nx_checkpoint_path(cp)) : st;
}

nx_str nx_tiktoken_find(const nx_checkpoint *cp, const char **name, const char **pre)
{
    static const char *const files[][2] = {
        {"tokenizer.model", "llama-bpe"},          {"qwen.tiktoken", "tiktoken-qwen"},
        {"tiktoken.model", "tiktoken-kimi"},       {"cl100k_base.tiktoken", "tiktoken-cl100k"},
        {"o200k_base.tiktoken", "tiktoken-o200k"}, {"gpt2.tiktoken", "tiktoken-gpt2"},
        {"r50k_base.tiktoken", "tiktoken-gpt2"},   {"p50k_base.tiktoken", "tiktoken-gpt2"},
    };

    *name = NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        nx_str bytes = nx_checkpoint_file(cp, files[i][0]);
        if (!nx_tiktoken_is(bytes)) continue;
        *name = files[i][0];
        *pre = files[i][1];
        return bytes;
    }
    return (nx_str){0};
}
