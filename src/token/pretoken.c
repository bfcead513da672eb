/* pretoken.c - pre-tokenizers by name, through PCRE2 with JIT. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "token/pretoken.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/utf8.h"
#include "format/printable.h"

/* Unicode's White_Space, which the tokenizers' own libraries mean by \s (PCRE2 adds U+180E), and
 * what is neither that nor a letter nor a number. */
#define WS     "\\t-\\r\\x{20}\\x{85}\\p{Z}"
#define SPACE  "[" WS "]"
#define BLACK  "[^" WS "]"
#define OTHER  "[^" WS "\\p{L}\\p{N}]"
#define ENDING "'s|'t|'re|'ve|'m|'ll|'d"

/* Each pattern but the first of "default" matches at every place: no gaps. The last alternative of
 * GPT-2's, a single white space before a word, is written out where llama.cpp leaves it a gap. */
#define GPT2 ENDING "| ?\\p{L}+| ?\\p{N}+| ?" OTHER "+|" SPACE "+(?!" BLACK ")|" SPACE "+"
#define LLAMA3                                                                                     \
    "(?i:" ENDING ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?" OTHER "+[\\r\\n]*|" SPACE       \
    "*[\\r\\n]+|" SPACE "+(?!" BLACK ")|" SPACE "+"

struct nx_pretoken_kind {
    const char *name;
    const char *aliases[3];
    const char *patterns[NX_PATTERNS_MAX + 1];
    bool        ignores_merges, adds_bos;
};

static const nx_pretoken_kind kinds[] = {
    {.name = "default",
     .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.name = "gpt-2", .patterns = {GPT2}},
    {.name = "llama-bpe",
     .aliases = {"llama3", "llama-v3"},
     .patterns = {LLAMA3},
     .ignores_merges = true,
     .adds_bos = true},
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

static bool is_named(const nx_pretoken_kind *k, nx_str name)
{
    if (nx_str_eq(name, nx_str_of(k->name))) return true;
    for (const char *const *a = k->aliases; *a; a++) {
        if (nx_str_eq(name, nx_str_of(*a))) return true;
    }
    return false;
}

/* PCRE2's memory comes through our door too. */
static void *heap_take(size_t bytes, void *ctx)
{
    (void)ctx;
    return nx_alloc(bytes, 1);
}

static void heap_give(void *p, void *ctx)
{
    (void)ctx;
    nx_free(p);
}

static nx_status pcre2_failed(nx_error *err, const char *what, int code)
{
    char text[128] = "";

    pcre2_get_error_message(code, (unsigned char *)text, sizeof text);
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED) {
        return nx_fail(err, NX_ENOMEM, "%s", what);
    }
    return nx_fail(err, NX_EINTERNAL, "%s: PCRE2 says %s (%d)", what, text, code);
}

/* ---- Patterns --------------------------------------------------------------------------------- */

static nx_status compile(nx_pretoken *p, int i, pcre2_compile_context *ctx, nx_error *err)
{
    PCRE2_SPTR pattern = (PCRE2_SPTR)p->kind->patterns[i];
    int        code;
    size_t     at;
    uint32_t   options = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C;

    pcre2_code *re = pcre2_compile(pattern, PCRE2_ZERO_TERMINATED, options, &code, &at, ctx);
    if (!re) {
        return code == PCRE2_ERROR_HEAP_FAILED ? nx_fail(err, NX_ENOMEM, "pre-tokenizer pattern")
                                               : pcre2_failed(err, "pre-tokenizer pattern", code);
    }
    p->codes[i] = re;
    p->n = i + 1;
    code = pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    p->jit[i] = code == 0;
    if (code) nx_log_debug("pre-tokenizer %s: interpreted, no JIT here (%d)", p->kind->name, code);
    return NX_OK;
}

static nx_status unknown_name(nx_str name, nx_error *err)
{
    char   have[256] = "", shown[64];
    size_t len = 0;

    for (size_t i = 0; i < N_KINDS; i++) {
        len +=
            (size_t)snprintf(have + len, sizeof have - len, "%s%s", i ? ", " : "", kinds[i].name);
    }
    return nx_fail(err, NX_EUNSUPPORTED, "pre-tokenizer \"%s\", we have: %s",
                   nx_printable(shown, sizeof shown, name), have);
}

nx_status nx_pretoken_create(nx_pretoken *p, nx_str name, nx_error *err)
{
    nx_status st = NX_OK;

    *p = (nx_pretoken){0};
    for (size_t i = 0; i < N_KINDS && !p->kind; i++) {
        if (is_named(&kinds[i], name)) p->kind = &kinds[i];
    }
    if (!p->kind) return unknown_name(name, err);

    pcre2_general_context *heap = pcre2_general_context_create(heap_take, heap_give, NULL);
    pcre2_compile_context *ctx = heap ? pcre2_compile_context_create(heap) : NULL;
    if (!ctx) st = nx_fail(err, NX_ENOMEM, "pre-tokenizer");
    for (int i = 0; !st && p->kind->patterns[i]; i++) st = compile(p, i, ctx, err);
    pcre2_compile_context_free(ctx);
    pcre2_general_context_free(heap);
    if (st) nx_pretoken_destroy(p);
    return st;
}

void nx_pretoken_destroy(nx_pretoken *p)
{
    for (int i = 0; i < p->n; i++) pcre2_code_free(p->codes[i]);
    *p = (nx_pretoken){0};
}

const char *nx_pretoken_name(const nx_pretoken *p)
{
    return p->kind->name;
}

bool nx_pretoken_ignores_merges(const nx_pretoken *p)
{
    return p->kind->ignores_merges;
}

bool nx_pretoken_adds_bos(const nx_pretoken *p)
{
    return p->kind->adds_bos;
}

/* ---- Splitting -------------------------------------------------------------------------------- */

nx_status nx_splitter_create(nx_splitter *s, const nx_pretoken *p, nx_word_fn on_word, void *ctx,
                             nx_error *err)
{
    *s = (nx_splitter){.pretoken = p, .on_word = on_word, .ctx = ctx};
    pcre2_general_context *heap = pcre2_general_context_create(heap_take, heap_give, NULL);
    bool                   ok = heap && (s->limits = pcre2_match_context_create(heap));

    for (int i = 0; ok && i < p->n; i++) {
        s->match[i] = pcre2_match_data_create(1, heap);
        ok = s->match[i] != NULL;
    }
    pcre2_general_context_free(heap);
    if (!ok) {
        nx_splitter_destroy(s);
        return nx_fail(err, NX_ENOMEM, "pre-tokenizer state");
    }
    /* Our patterns give back at most one character a place, or scan a run of white space twice:
     * the limit against runaway patterns would only refuse honest long runs. */
    pcre2_set_match_limit(s->limits, UINT32_MAX);
    return NX_OK;
}

void nx_splitter_destroy(nx_splitter *s)
{
    for (int i = 0; i < NX_PATTERNS_MAX; i++) pcre2_match_data_free(s->match[i]);
    pcre2_match_context_free(s->limits);
    *s = (nx_splitter){0};
}

/* The first match of pattern `level` at or after `from`: 1 and its bounds, 0 for none, or PCRE2's
 * error. A match that the JIT's small stack can't hold is the interpreter's, which uses the heap. */
static int find(nx_splitter *s, int level, const char *text, size_t len, size_t from,
                size_t bounds[2])
{
    if (level >= NX_PATTERNS_MAX) return PCRE2_ERROR_INTERNAL; /* never: gcc -O3 can't see it */
    PCRE2_SPTR        subject = (PCRE2_SPTR)text;
    const pcre2_code *re = s->pretoken->codes[level];
    int               rc = PCRE2_ERROR_JIT_STACKLIMIT;

    if (s->pretoken->jit[level]) {
        rc = pcre2_jit_match(re, subject, len, from, 0, s->match[level], s->limits);
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(re, subject, len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match[level],
                         s->limits);
    }
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc < 0) return rc;
    const size_t *at = pcre2_get_ovector_pointer(s->match[level]);
    bounds[0] = at[0];
    bounds[1] = at[1];
    return 1;
}

/* Cut valid UTF-8 with pattern `level` and those after it. Depth: at most NX_PATTERNS_MAX. */
static nx_status cut(nx_splitter *s, int level, const char *text, size_t len, nx_error *err)
{
    nx_status st = NX_OK;
    size_t    m[2];

    /* n <= NX_PATTERNS_MAX; the second test says so to gcc -O3, which unrolls the recursion. */
    if (level >= s->pretoken->n || level >= NX_PATTERNS_MAX)
        return s->on_word(s->ctx, text, len, err);
    for (size_t at = 0; !st && at < len; at = m[1]) {
        int rc = find(s, level, text, len, at, m);
        if (rc < 0) return pcre2_failed(err, "pre-tokenizer", rc);
        if (rc == 0) m[0] = m[1] = len;
        if (m[0] > at) st = cut(s, level + 1, text + at, m[0] - at, err);
        if (!st && m[1] > m[0]) st = cut(s, level + 1, text + m[0], m[1] - m[0], err);
    }
    return st;
}

/* Length of the UTF-8 at the beginning of text. ASCII goes by eight bytes at a time. */
static size_t good_run(const char *text, size_t len)
{
    size_t   i = 0, n;
    uint64_t w;

    while (i < len) {
        for (; len - i >= 8; i += 8) {
            memcpy(&w, text + i, 8);
            if (w & 0x8080808080808080u) break;
        }
        if (i == len) break;
        if (nx_utf8_decode(text + i, len - i, &n) == NX_UTF8_BAD) break;
        i += n;
    }
    return i;
}

static size_t bad_run(const char *text, size_t len)
{
    size_t i = 0, n;

    while (i < len && nx_utf8_decode(text + i, len - i, &n) == NX_UTF8_BAD) i++;
    return i;
}

nx_status nx_splitter_run(nx_splitter *s, const char *text, size_t len, nx_error *err)
{
    nx_status st = NX_OK;

    while (!st && len) {
        size_t n = good_run(text, len);
        if (n) {
            st = cut(s, 0, text, n, err);
        } else {
            n = bad_run(text, len);
            st = s->on_word(s->ctx, text, n, err);
        }
        text += n;
        len -= n;
    }
    return st;
}
