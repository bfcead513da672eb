/* build.c - a vocabulary's tables from a source that nobody vouches for.
 *
 * The parent, nx_vocab_create, names the steps in order; each step checks what it reads. After
 * NX_OK every id in every table is below n, and encode and decode check nothing again.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/utf8.h"
#include "format/printable.h"
#include "token/bytemap.h"
#include "token/source.h"
#include "token/tables.h"

#define TOKENS_MAX (1 << 24)
#define MERGES_MAX (1 << 26)

#define KEY "tokenizer.ggml."

/* The file, or what stands for it when there is none. */
static const char *name_of(const nx_vocab_source *src)
{
    return src->cp ? nx_checkpoint_path(src->cp) : "vocabulary";
}

static nx_status fail_at(const nx_vocab_source *src, const char *key, nx_status st, nx_error *err,
                         const char *text)
{
    if (src->cp) return nx_meta_fail(src->cp, key, st, err, "%s", text);
    return nx_fail(err, st, "%s: %s: %s", name_of(src), key, text);
}

static nx_status NX_PRINTF(4, 5)
    bad(const nx_vocab_source *src, const char *key, nx_error *err, const char *fmt, ...)
{
    char    text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return fail_at(src, key, NX_EFORMAT, err, text);
}

/* ---- Texts, types, scores --------------------------------------------------------------------- */

static nx_status check_lengths(const nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    if (src->n < 1 || src->n > TOKENS_MAX) {
        return bad(src, KEY "tokens", err, "%lld entries, expected 1 to %d", (long long)src->n,
                   TOKENS_MAX);
    }
    if (src->types && src->n_types != src->n) {
        return bad(src, KEY "token_type", err, "%lld entries for %lld tokens",
                   (long long)src->n_types, (long long)src->n);
    }
    if (!v->bpe && (!src->scores || src->n_scores != src->n)) {
        return bad(src, KEY "scores", err, "%lld entries for %lld tokens", (long long)src->n_scores,
                   (long long)src->n);
    }
    if (v->bpe && src->n_merges > MERGES_MAX) {
        return bad(src, KEY "merges", err, "%lld entries, at most %d", (long long)src->n_merges,
                   MERGES_MAX);
    }
    return NX_OK;
}

static nx_status take_memory(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    size_t n = (size_t)src->n;

    v->n = (int32_t)n;
    v->texts = nx_alloc(n, sizeof *v->texts);
    v->raw = nx_alloc(n, sizeof *v->raw);
    v->types = nx_alloc(n, 1);
    v->marks = nx_calloc(n, 1);
    v->scores = v->bpe ? NULL : nx_alloc(n, sizeof *v->scores);
    if (!v->texts || !v->raw || !v->types || !v->marks || (!v->bpe && !v->scores)) {
        return nx_fail(err, NX_ENOMEM, "vocabulary of %zu tokens", n);
    }
    memcpy(v->texts, src->texts, n * sizeof *v->texts);
    return NX_OK;
}

/* The byte that "<0x41>" names, or -1. */
static int byte_named(nx_str t)
{
    static const char digits[] = "0123456789ABCDEF";

    if (t.len != 6 || memcmp(t.p, "<0x", 3) != 0 || t.p[5] != '>') return -1;
    const char *hi = memchr(digits, t.p[3], 16), *lo = memchr(digits, t.p[4], 16);
    return hi && lo ? (int)(hi - digits) * 16 + (int)(lo - digits) : -1;
}

static nx_status read_types(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    for (int32_t i = 0; i < v->n; i++) {
        int64_t type = src->types ? src->types[i] : NX_TOKEN_NORMAL;
        bool    byte = byte_named(v->texts[i]) >= 0;

        if (type < 0 || type > NX_TOKEN_BYTE) {
            return bad(src, KEY "token_type", err, "element %d: %lld, expected 1 to 6", i,
                       (long long)type);
        }
        if (type == 0 || (v->bpe && type == NX_TOKEN_BYTE && !byte)) type = NX_TOKEN_NORMAL;
        if (!src->types && !v->bpe && byte) type = NX_TOKEN_BYTE;
        if (type == NX_TOKEN_BYTE && !byte) {
            return bad(src, KEY "tokens", err,
                       "element %d: of type byte, expected a text <0x00> to <0xFF>", i);
        }
        v->types[i] = (uint8_t)type;
        if (type == NX_TOKEN_NORMAL || type == NX_TOKEN_UNUSED) {
            v->marks[i] |= NX_MARK_MERGES;
            if (v->texts[i].len > v->longest) v->longest = v->texts[i].len;
        }
    }
    return NX_OK;
}

static nx_status read_scores(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    if (v->bpe) return NX_OK;
    for (int32_t i = 0; i < v->n; i++) {
        v->scores[i] = src->scores[i];
        if (isnan(src->scores[i]))
            return bad(src, KEY "scores", err, "element %d: not a number", i);
    }
    return NX_OK;
}

/* ---- The bytes that tokens stand for ---------------------------------------------------------- */

static bool is_special(const nx_vocab *v, int32_t id)
{
    return v->types[id] == NX_TOKEN_CONTROL || v->types[id] == NX_TOKEN_UNKNOWN ||
           v->types[id] == NX_TOKEN_USER_DEFINED;
}

/* Space marks become spaces; SentencePiece's own files write user-defined spaces so as well. */
static size_t unmark(char *out, nx_str t)
{
    size_t len = 0;

    for (size_t i = 0; i < t.len;) {
        bool mark = t.len - i >= NX_SPACE_MARK_LEN &&
                    memcmp(t.p + i, NX_SPACE_MARK, NX_SPACE_MARK_LEN) == 0;
        out[len++] = mark ? ' ' : t.p[i];
        i += mark ? NX_SPACE_MARK_LEN : 1;
    }
    return len;
}

/* Control tokens stand for their spelling, whatever characters it has. */
static bool is_literal(const nx_vocab *v, int32_t id)
{
    return is_special(v, id) && (v->bpe || v->types[id] != NX_TOKEN_USER_DEFINED);
}

static nx_status make_raw(nx_vocab *v, nx_error *err)
{
    nx_bytemap map;
    size_t     bytes = 0, used = 0;

    nx_bytemap_init(&map);
    for (int32_t i = 0; i < v->n; i++) bytes += is_literal(v, i) ? 0 : v->texts[i].len;
    v->pool = nx_alloc(bytes, 1);
    if (!v->pool) return nx_fail(err, NX_ENOMEM, "token texts, %zu bytes", bytes);
    for (int32_t i = 0; i < v->n; i++) {
        nx_str t = v->texts[i];
        char  *to = v->pool + used;
        if (is_literal(v, i)) {
            v->raw[i] = t;
            continue;
        }
        if (v->types[i] == NX_TOKEN_BYTE) *to = (char)byte_named(t);
        size_t len = v->types[i] == NX_TOKEN_BYTE ? 1
                     : v->bpe                     ? nx_bytemap_decode(&map, to, t)
                                                  : unmark(to, t);
        v->raw[i] = (nx_str){to, len};
        used += len;
    }
    return NX_OK;
}

/* ---- Finding tokens by text ------------------------------------------------------------------- */

/* Of two tokens with one text, one that merging may give hides one that it may not; then the
 * later hides the earlier. */
static nx_status index_texts(nx_vocab *v, nx_index *x, const nx_str *texts,
                             const nx_vocab_source *src, nx_error *err)
{
    nx_status st = nx_index_create(x, texts, v->n, err);

    for (int merges = 0; !st && merges < 2; merges++) {
        for (int32_t i = 0; !st && i < v->n; i++) {
            if (nx_vocab_merges_to(v, i) != (merges == 1)) continue;
            if (!nx_index_add(x, i)) {
                st = bad(src, KEY "tokens", err, "element %d: too many texts with one hash", i);
            }
        }
    }
    return st;
}

/* Is id to be found in texts? */
static bool is_sought(const nx_vocab *v, const nx_vocab_source *src, int32_t id)
{
    if (!is_special(v, id) || v->raw[id].len == 0) return false;
    return v->types[id] != NX_TOKEN_USER_DEFINED || id >= src->n_inside;
}

static nx_status list_specials(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    size_t n = 0;

    for (int32_t i = 0; i < v->n; i++) n += is_sought(v, src, i);
    nx_special *list = nx_alloc(n, sizeof *list);
    if (!list) return nx_fail(err, NX_ENOMEM, "list of %zu special tokens", n);
    n = 0;
    for (int32_t i = 0; i < v->n; i++) {
        if (!is_sought(v, src, i)) continue;
        if (v->raw[i].len > NX_SPECIAL_TEXT_MAX) {
            nx_free(list);
            return bad(src, KEY "tokens", err, "element %d: special token of %zu bytes, at most %d",
                       i, v->raw[i].len, NX_SPECIAL_TEXT_MAX);
        }
        bool control = v->types[i] != NX_TOKEN_USER_DEFINED;
        list[n++] = (nx_special){.text = v->raw[i], .id = i, .control = control};
    }
    return nx_specials_create(&v->specials, list, n, err);
}

static void find_bytes(nx_vocab *v)
{
    nx_bytemap map;

    nx_bytemap_init(&map);
    for (int b = 0; b < 256; b++) v->byte_ids[b] = -1;
    for (int32_t i = v->n - 1; i >= 0; i--) {
        if (v->types[i] == NX_TOKEN_BYTE) v->byte_ids[(unsigned char)v->raw[i].p[0]] = i;
    }
    for (int b = 0; v->bpe && b < 256; b++) {
        char    spelled[4];
        int32_t id = nx_index_find(&v->by_text, spelled, nx_utf8_encode(spelled, map.char_of[b]));
        if (nx_vocab_merges_to(v, id)) v->byte_ids[b] = id;
    }
    for (int b = 0; b < 256; b++) v->misses_bytes |= v->byte_ids[b] < 0;
}

/* ---- Special ids ------------------------------------------------------------------------------ */

static nx_status take_id(int32_t *id, const char *key, const nx_vocab *v,
                         const nx_vocab_source *src, nx_error *err)
{
    if (*id >= -1 && *id < v->n) return NX_OK;
    return bad(src, key, err, "%d, expected 0 to %d", *id, v->n - 1);
}

/* Tokens that chat models end an answer with, likelier ones first: the first that a file has is
 * its end of turn where it names none. */
static const char *const end_texts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|turn_end|>",
    "<|endoftext|>",
    "<EOT>",
    "<|EOT|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|return|>",
    "_<EOT>",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
};

void nx_vocab_mark_ends(nx_vocab *v)
{
    nx_vocab_special *s = &v->special;

    for (size_t i = 0; i < sizeof end_texts / sizeof *end_texts; i++) {
        int32_t id = nx_index_find(&v->by_text, end_texts[i], strlen(end_texts[i]));
        if (id < 0 || !is_special(v, id)) continue;
        v->marks[id] |= NX_MARK_ENDS;
        if (s->eot < 0) s->eot = id;
    }
    if (s->eos >= 0) v->marks[s->eos] |= NX_MARK_ENDS;
    if (s->eot >= 0) v->marks[s->eot] |= NX_MARK_ENDS;
}

/* Where a SentencePiece file doesn't say, its trainer's defaults hold. */
static int32_t or_default(const nx_vocab *v, int32_t id, int32_t usual)
{
    return id == -1 && !v->bpe && usual < v->n ? usual : id;
}

static nx_status read_special(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    nx_vocab_special *s = &v->special;
    nx_status         st;

    *s = src->special;
    if (!src->exact_ids) {
        s->unk = or_default(v, s->unk, 0);
        s->bos = or_default(v, s->bos, 1);
        s->eos = or_default(v, s->eos, 2);
    }
    (void)((st = take_id(&s->bos, KEY "bos_token_id", v, src, err)) ||
           (st = take_id(&s->eos, KEY "eos_token_id", v, src, err)) ||
           (st = take_id(&s->eot, KEY "eot_token_id", v, src, err)) ||
           (st = take_id(&s->unk, KEY "unknown_token_id", v, src, err)) ||
           (st = take_id(&s->sep, KEY "seperator_token_id", v, src, err)) ||
           (st = take_id(&s->pad, KEY "padding_token_id", v, src, err)));
    if (st) return st;
    bool adds = v->bpe ? nx_pretoken_adds_bos(&v->pretoken) : true;
    s->add_bos = src->add_bos < 0 ? adds : src->add_bos != 0;
    s->add_eos = src->add_eos > 0;
    nx_vocab_mark_ends(v);
    return NX_OK;
}

/* Phi-3 takes the white space after a control token for a part of it, but for these. */
static void mark_strips(nx_vocab *v, const nx_vocab_source *src)
{
    for (int32_t i = 0; src->strips_after_special && i < v->n; i++) {
        nx_str t = v->texts[i];
        if (!is_special(v, i) || nx_str_eq(t, NX_STR("<unk>")) || nx_str_eq(t, NX_STR("<s>")) ||
            nx_str_eq(t, NX_STR("<|endoftext|>"))) {
            continue;
        }
        v->marks[i] |= NX_MARK_STRIPS;
    }
}

/* ---- SentencePiece ---------------------------------------------------------------------------- */

/* True when a space mark follows something else in t. */
static bool crosses_word(nx_str t)
{
    bool black = false;

    for (size_t i = 0; i < t.len;) {
        bool mark = t.len - i >= NX_SPACE_MARK_LEN &&
                    memcmp(t.p + i, NX_SPACE_MARK, NX_SPACE_MARK_LEN) == 0;
        if (mark && black) return true;
        black |= !mark;
        i += mark ? NX_SPACE_MARK_LEN : 1;
    }
    return false;
}

static void build_spm(nx_vocab *v, const nx_vocab_source *src)
{
    v->add_space_prefix = src->add_space_prefix != 0;
    v->spells_mark = v->byte_ids[0xE2] >= 0 && v->byte_ids[0x96] >= 0 && v->byte_ids[0x81] >= 0;
    for (int32_t i = 0; i < v->n && !v->crosses_words; i++) {
        if (nx_vocab_merges_to(v, i)) v->crosses_words = crosses_word(v->texts[i]);
    }
    snprintf(v->kind, sizeof v->kind, "llama (SentencePiece)");
}

/* ---- Byte-level BPE --------------------------------------------------------------------------- */

static int32_t merging_id(const nx_vocab *v, const char *p, size_t len)
{
    int32_t id = nx_index_find(&v->by_text, p, len);

    return nx_vocab_merges_to(v, id) ? id : -1;
}

/* Add "left right" of rank i. *missing counts those that name a token which isn't there. */
static nx_status add_merge(nx_vocab *v, const nx_vocab_source *src, int64_t i, nx_buf *joined,
                           int64_t *missing, nx_error *err)
{
    nx_str      m = src->merges[i];
    const char *gap = m.len > 2 ? memchr(m.p + 1, ' ', m.len - 2) : NULL;

    if (!gap) {
        return bad(src, KEY "merges", err,
                   "element %lld: expected two texts with a space between them", (long long)i);
    }
    size_t left_len = (size_t)(gap - m.p), right_len = m.len - left_len - 1;
    nx_buf_clear(joined);
    nx_status st = nx_buf_add(joined, m.p, left_len, err);
    if (!st) st = nx_buf_add(joined, gap + 1, right_len, err);
    if (st) return st;

    nx_merge merge = {.left = merging_id(v, m.p, left_len),
                      .right = merging_id(v, gap + 1, right_len),
                      .rank = (int32_t)i,
                      .id = merging_id(v, joined->data, joined->len)};
    if (merge.left < 0 || merge.right < 0 || merge.id < 0) {
        ++*missing;
        return NX_OK;
    }
    if (nx_merges_add(&v->merges, merge)) return NX_OK;
    return bad(src, KEY "merges", err, "element %lld: too many pairs with one hash", (long long)i);
}

static nx_status read_merges(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    nx_buf    joined = {.max = SIZE_MAX / 4};
    int64_t   missing = 0;
    nx_status st = nx_merges_create(&v->merges, src->n_merges, err);

    for (int64_t i = 0; !st && i < src->n_merges; i++) {
        st = add_merge(v, src, i, &joined, &missing, err);
    }
    nx_buf_free(&joined);
    if (!st && missing) {
        nx_log_warn("%s: %lld of %lld merges name a token that the vocabulary lacks: left out",
                    name_of(src), (long long)missing, (long long)src->n_merges);
    }
    return st;
}

static nx_status build_bpe(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    nx_status st = read_merges(v, src, err);

    if (!st && nx_pretoken_ignores_merges(&v->pretoken)) {
        st = index_texts(v, &v->by_raw, v->raw, src, err);
    }
    snprintf(v->kind, sizeof v->kind, "gpt2 (%s)", nx_pretoken_name(&v->pretoken));
    return st;
}

static nx_status choose_pretoken(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    nx_str pre = src->pre;

    if (!v->bpe) return NX_OK;
    if (pre.len == 0) {
        nx_log_warn("%s: no " KEY "pre: words are cut as \"default\", which may not be how this "
                    "model was trained",
                    name_of(src));
        pre = NX_STR("default");
    }
    nx_error  inner = {0};
    nx_status st = nx_pretoken_create(&v->pretoken, pre, &inner);
    return st ? fail_at(src, KEY "pre", st, err, inner.text) : NX_OK;
}

/* ---- The whole -------------------------------------------------------------------------------- */

static nx_status build(nx_vocab *v, const nx_vocab_source *src, nx_error *err)
{
    nx_status st;

    (void)((st = check_lengths(v, src, err)) || (st = choose_pretoken(v, src, err)) ||
           (st = take_memory(v, src, err)) || (st = read_types(v, src, err)) ||
           (st = read_scores(v, src, err)) || (st = make_raw(v, err)) ||
           (st = index_texts(v, &v->by_text, v->texts, src, err)) ||
           (st = list_specials(v, src, err)) || (st = read_special(v, src, err)));
    if (st) return st;
    find_bytes(v);
    mark_strips(v, src);
    if (v->bpe) return build_bpe(v, src, err);
    build_spm(v, src);
    return NX_OK;
}

nx_status nx_vocab_create(nx_vocab **out, const nx_vocab_source *src, nx_error *err)
{
    bool bpe = nx_str_eq(src->model, NX_STR("gpt2"));

    *out = NULL;
    if (!bpe && !nx_str_eq(src->model, NX_STR("llama"))) {
        char shown[64], text[160];
        snprintf(text, sizeof text,
                 "\"%s\", we have: llama (SentencePiece), gpt2 (BPE), bert "
                 "(WordPiece), t5 (Unigram)",
                 nx_printable(shown, sizeof shown, src->model));
        return fail_at(src, KEY "model", NX_EUNSUPPORTED, err, text);
    }
    nx_vocab *v = nx_calloc(1, sizeof *v);
    if (!v) return nx_fail(err, NX_ENOMEM, "vocabulary of %s", name_of(src));
    v->bpe = bpe;
    nx_status st = build(v, src, err);
    if (st)
        nx_vocab_close(v);
    else
        *out = v;
    return st;
}
