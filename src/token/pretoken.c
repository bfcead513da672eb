/* pretoken.c - pre-tokenizers by name: the common patterns by hand (cut.c), the others through
 * PCRE2 with JIT. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "token/pretoken.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/utf8.h"
#include "format/printable.h"
#include "token/cut.h"
#include "token/unicode.h"

/* Patterns stand here as their makers wrote them, but for \p{..} inside a class, where `expand` puts
 * the characters that PCRE2 is too old for; it spells out \s, \S and lone \p{..} as well. One that
 * cut.c knows runs there. */
#define DIGIT   "\\p{N}"
#define KANJI   "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define HAN     "[\\p{sc:Han}\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}]"
#define UPPERS  "(?:(?!" HAN ")[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])"
#define LOWERS  "(?:(?!" HAN ")[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])"
#define PREFIX  "[^\\r\\n\\p{L}\\p{N}]?"
#define ENDING  "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define SPACES  "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SYMBOLS "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define LATIN                                                                                      \
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}"            \
    "\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}"         \
    "\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-"         \
    "\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}"             \
    "\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}"                 \
    "\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"                 \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}"         \
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-"                 \
    "\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-"                 \
    "\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}"         \
    "\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-"         \
    "\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}"          \
    "\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}"         \
    "-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-"                \
    "\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-"                 \
    "\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-"            \
    "\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-"         \
    "\\x{1E943}]+"
#define MARKS                                                                                      \
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-"               \
    "\\x{3002}]+"
#define WORDS_V3 SYMBOLS "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
#define BLOOM    " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
#define KIMI                                                                                       \
    HAN "+|" PREFIX UPPERS "*" LOWERS "+" ENDING "|" PREFIX UPPERS "+" LOWERS "*" ENDING           \
        "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES

struct nx_pretoken_kind {
    const char *names; /* with a space after each; the first is its own */
    const char *patterns[NX_PATTERNS_MAX + 1];
    bool        ignores_merges, adds_bos;
};

static const nx_pretoken_kind kinds[] = {
    {.names = "default ",
     .patterns = {"[\\p{P}$+<=>^~|]+", NX_CUT_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.names = "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum "
              "modern-bert jina-v1-en jina-v2-code roberta-bpe exaone4 mpt olmo jais trillion "
              "granite-docling ",
     .patterns = {NX_CUT_GPT2}},
    {.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     .patterns = {NX_CUT_LLAMA3},
     .ignores_merges = true,
     .adds_bos = true},
    {.names = "dbrx smaug-bpe chatglm-bpe glm4 ", .patterns = {NX_CUT_LLAMA3}},
    {.names = "qwen2 stablelm2 deepseek-r1-qwen kormo f2llmv2 megrez hunyuan grok-2 solar-open ",
     .patterns = {NX_CUT_QWEN2}},
    {.names = "qwen35 ", .patterns = {NX_CUT_QWEN35}},
    {.names = "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ",
     .patterns = {DIGIT, NX_CUT_GPT2}},
    {.names = "falcon ", .patterns = {"[\\p{P}$+<=>^~|`]+", NX_CUT_GPT2, "[0-9][0-9][0-9]"}},
    {.names = "deepseek-llm ",
     .patterns = {"[\\r\\n]", LATIN, MARKS, "(?<!\\s)\\s+$", KANJI, "\\p{N}+"}},
    {.names = "deepseek-coder ",
     .patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", KANJI, DIGIT}},
    {.names = "deepseek-v3 hunyuan-dense joyai-llm ",
     .patterns = {"\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
                  WORDS_V3 "[\\r\\n]*" SPACES}},
    {.names = "poro-chat bloom gpt3-finnish ", .patterns = {BLOOM}},
    {.names = "viking ", .patterns = {BLOOM, DIGIT}},
    {.names = "minicpm5 ", .patterns = {NX_CUT_LLAMA3}, .ignores_merges = true},
    {.names = "jais-2 ",
     .patterns =
         {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|" PREFIX
          "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|"
          "\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|"
          "\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"}},
    {.names = "tekken ", .patterns = {NX_CUT_TEKKEN}, .ignores_merges = true, .adds_bos = true},
    {.names = "gpt-4o llama4 kanana2 talkie minimax-m2 ", .patterns = {NX_CUT_GPT4O}},
    {.names = "granite-embed-multi-97m ", .patterns = {NX_CUT_GPT4O}, .ignores_merges = true},
    {.names = "bailingmoe bailingmoe2 llada-moe ", .patterns = {NX_CUT_BAILING}},
    {.names = "seed-coder ",
     .patterns = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|" PREFIX
                  "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES}},
    {.names = "kimi-k2 ", .patterns = {KIMI}},
    {.names = "tiktoken-kimi ", .patterns = {KIMI}, .ignores_merges = true},
    {.names = "tiktoken-gpt2 ", .patterns = {NX_CUT_GPT2}, .ignores_merges = true},
    {.names = "tiktoken-qwen ", .patterns = {NX_CUT_QWEN2}, .ignores_merges = true},
    {.names = "tiktoken-cl100k ", .patterns = {NX_CUT_CL100K}, .ignores_merges = true},
    {.names = "tiktoken-o200k ", .patterns = {NX_CUT_GPT4O}, .ignores_merges = true},
    {.names = "chameleon ",
     .patterns = {"<sentinel:[0-9]+>", "(?:IMGIMG)[A-I]{1,4}Z", "[\\t\\n]|    |  ", DIGIT,
                  "[\\p{P}!-\\/:-@\\[-`{-~]", NX_CUT_GPT2},
     .adds_bos = true},
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

/* Where `name` stands among the names of a kind, or NULL. */
static const char *find_name(const nx_pretoken_kind *k, nx_str name)
{
    for (const char *at = k->names, *end; (end = strchr(at, ' ')); at = end + 1) {
        if (nx_str_eq(name, (nx_str){at, (size_t)(end - at)})) return at;
    }
    return NULL;
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

/* Unicode's White_Space, which the tokenizers' own libraries mean by \s; PCRE2 adds U+180E. */
#define WHITE "\\t-\\r\\x{20}\\x{85}\\p{Z}"

/* Append what stands for the escape at p, 2 bytes or \p{..}; *used is its length. */
static nx_status expand_escape(nx_buf *out, const char *p, bool in_class, size_t *used,
                               nx_error *err)
{
    const char *close = p[1] == 'p' ? strchr(p, '}') : NULL;

    *used = 2;
    if (p[1] == 's') return nx_buf_addf(out, err, in_class ? "%s" : "[%s]", WHITE);
    if (p[1] == 'S' && !in_class) return nx_buf_addf(out, err, "[^%s]", WHITE);
    if (!close) return nx_buf_add(out, p, 2, err);
    *used = (size_t)(close - p) + 1;
    const char *extra = nx_uc_pcre_extra(p + 3, *used - 4);
    return nx_buf_addf(out, err, in_class ? "%.*s%s" : "[%.*s%s]", (int)*used, p, extra);
}

static nx_status expand(nx_buf *out, const char *p, nx_error *err)
{
    bool      in_class = false;
    nx_status st = NX_OK;

    for (size_t used; !st && *p; p += used) {
        used = 1;
        if (*p == '\\') {
            st = expand_escape(out, p, in_class, &used, err);
            continue;
        }
        if (*p == '[') in_class = true;
        if (*p == ']') in_class = false;
        st = nx_buf_add(out, p, 1, err);
    }
    return st;
}

static nx_status compile(nx_pretoken *p, int i, pcre2_compile_context *ctx, nx_error *err)
{
    nx_buf   pattern = {.max = 1 << 20};
    int      code;
    size_t   at;
    uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
    nx_status st = expand(&pattern, p->kind->patterns[i], err);

    pcre2_code *re =
        st ? NULL : pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, options, &code, &at, ctx);
    nx_buf_free(&pattern);
    if (st) return st;
    if (!re) {
        return code == PCRE2_ERROR_HEAP_FAILED ? nx_fail(err, NX_ENOMEM, "pre-tokenizer pattern")
                                               : pcre2_failed(err, "pre-tokenizer pattern", code);
    }
    p->codes[i] = re;
    code = pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    p->jit[i] = code == 0;
    if (code) nx_log_debug("pre-tokenizer %s: interpreted, no JIT here (%d)", p->name, code);
    return NX_OK;
}

static nx_status unknown_name(nx_str name, nx_error *err)
{
    char   have[1024] = "", shown[64];
    size_t len = 0;

    for (size_t i = 0; i < N_KINDS && len < sizeof have; i++) {
        len += (size_t)snprintf(have + len, sizeof have - len, "%s", kinds[i].names);
    }
    return nx_fail(err, NX_EUNSUPPORTED, "pre-tokenizer \"%s\", we have: %s",
                   nx_printable(shown, sizeof shown, name), have);
}

static nx_status compile_all(nx_pretoken *p, nx_error *err)
{
    pcre2_general_context *heap = pcre2_general_context_create(heap_take, heap_give, NULL);
    pcre2_compile_context *ctx = heap ? pcre2_compile_context_create(heap) : NULL;
    nx_status              st = ctx ? NX_OK : nx_fail(err, NX_ENOMEM, "pre-tokenizer");

    for (int i = 0; !st && p->kind->patterns[i]; i++) {
        p->n = i + 1;
        p->cuts[i] = nx_cut_find_tiktoken(nx_str_of(p->kind->patterns[i]));
        if (!p->cuts[i]) st = compile(p, i, ctx, err);
    }
    pcre2_compile_context_free(ctx);
    pcre2_general_context_free(heap);
    return st;
}

nx_status nx_pretoken_create(nx_pretoken *p, nx_str name, nx_error *err)
{
    const char *found = NULL;

    *p = (nx_pretoken){0};
    for (size_t i = 0; i < N_KINDS && !found; i++) {
        found = find_name(&kinds[i], name);
        p->kind = &kinds[i];
    }
    if (!found) return unknown_name(name, err);
    memcpy(p->name, found, name.len < sizeof p->name ? name.len : sizeof p->name - 1);
    nx_status st = compile_all(p, err);
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
    return p->name;
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
        if (p->cuts[i]) continue;
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
        rc = pcre2_jit_match(re, subject, len, from, PCRE2_NOTEMPTY_ATSTART, s->match[level],
                             s->limits);
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

static nx_status cut(nx_splitter *s, int level, const char *text, size_t len, nx_error *err);

static nx_status cut_by_hand(nx_splitter *s, int level, const char *text, size_t len, nx_error *err)
{
    const nx_cut *c = s->pretoken->cuts[level];
    bool          last = level + 1 == s->pretoken->n;
    nx_status     st = NX_OK;

    for (size_t n; !st && len; text += n, len -= n) {
        n = nx_cut_next(c, text, len);
        st = last ? s->on_word(s->ctx, text, n, err) : cut(s, level + 1, text, n, err);
    }
    return st;
}

static nx_status cut_by_pattern(nx_splitter *s, int level, const char *text, size_t len,
                                nx_error *err)
{
    nx_status st = NX_OK;
    size_t    m[2];

    for (size_t at = 0; !st && at < len; at = m[1]) {
        int rc = find(s, level, text, len, at, m);
        if (rc < 0) return pcre2_failed(err, "pre-tokenizer", rc);
        if (rc == 0) m[0] = m[1] = len;
        if (m[0] > at) st = cut(s, level + 1, text + at, m[0] - at, err);
        if (!st && m[1] > m[0]) st = cut(s, level + 1, text + m[0], m[1] - m[0], err);
    }
    return st;
}

/* Cut valid UTF-8 with pattern `level` and those after it. Depth: at most NX_PATTERNS_MAX. */
static nx_status cut(nx_splitter *s, int level, const char *text, size_t len, nx_error *err)
{
    /* n <= NX_PATTERNS_MAX; the second test says so to gcc -O3, which unrolls the recursion. */
    if (level >= s->pretoken->n || level >= NX_PATTERNS_MAX)
        return s->on_word(s->ctx, text, len, err);
    if (s->pretoken->cuts[level]) return cut_by_hand(s, level, text, len, err);
    return cut_by_pattern(s, level, text, len, err);
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
