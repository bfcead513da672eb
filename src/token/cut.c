/* cut.c - three families of word patterns, each told by a few choices.
 *
 * Idea:   a character is a set of kinds, from a table for ASCII; each alternative of the pattern is
 *         tried in its order, and is a run of kinds. Comments give the alternative.
 */
#include "token/cut.h"

#include <string.h>

#include "base/utf8.h"
#include "token/unicode.h"

enum { /* kinds of characters */
       LETTER = 1 << 0,
       MARK = 1 << 1,
       NUMBER = 1 << 2,
       SPACE = 1 << 3,   /* \s */
       NEWLINE = 1 << 4, /* \r \n */
       UPPER = 1 << 5,   /* Lu Lt Lm Lo M */
       LOWER = 1 << 6,   /* Ll Lm Lo M */
       SLASH = 1 << 7,
};

typedef enum family { GPT2, CL100K, O200K } family;

struct nx_cut {
    family  family;
    int     digits;         /* of one word at most; 0: any number */
    uint8_t letters;        /* what words are made of */
    uint8_t tail;           /* what may follow punctuation */
    bool    exact;          /* contractions in lower case only */
    bool    trailing_first; /* white space at the end of the text is one word */
    bool    contractions;
};

static const nx_cut cuts[] = {
    {.family = GPT2, .letters = LETTER, .exact = true, .contractions = true},
    {.family = CL100K, .digits = 3, .letters = LETTER, .tail = NEWLINE, .contractions = true},
    {.family = CL100K, .digits = 1, .letters = LETTER, .tail = NEWLINE, .contractions = true},
    {.family = CL100K,
     .digits = 1,
     .letters = LETTER | MARK,
     .tail = NEWLINE,
     .contractions = true},
    {.family = CL100K,
     .digits = 3,
     .letters = LETTER,
     .tail = NEWLINE,
     .trailing_first = true,
     .contractions = true},
    {.family = O200K, .digits = 3, .tail = NEWLINE | SLASH, .contractions = true},
    {.family = O200K, .digits = 1, .tail = NEWLINE | SLASH},
};

static const struct {
    const char *pattern;
    int         cut;
    bool        tiktoken; /* says this to tiktoken only */
} patterns[] = {
    {NX_CUT_GPT2, 0, false},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", 0, false},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s", 0,
     true},
    {NX_CUT_LLAMA3, 1, false},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++"
     "[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
     1, false},
    {NX_CUT_QWEN2, 2, false},
    {NX_CUT_BAILING, 2, false},
    {NX_CUT_QWEN35, 3, false},
    {NX_CUT_CL100K, 4, true},
    {NX_CUT_GPT4O, 5, false},
    {NX_CUT_TEKKEN, 6, false},
};

static const nx_cut *find_cut(nx_str pattern, bool tiktoken)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        if (patterns[i].tiktoken && !tiktoken) continue;
        if (nx_str_eq(pattern, nx_str_of(patterns[i].pattern))) return &cuts[patterns[i].cut];
    }
    return NULL;
}

const nx_cut *nx_cut_find(nx_str pattern)
{
    return find_cut(pattern, false);
}

const nx_cut *nx_cut_find_tiktoken(nx_str pattern)
{
    return find_cut(pattern, true);
}

/* ---- Kinds ------------------------------------------------------------------------------------ */

#define U (LETTER | UPPER)
#define L (LETTER | LOWER)
#define N NUMBER
#define S SPACE
#define R (SPACE | NEWLINE)

static const uint8_t ascii[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, R, S, S, R, 0, 0, 0, 0, 0, 0, 0, 0,     0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, SLASH, N, N, N, N,
    N, N, N, N, N, N, 0, 0, 0, 0, 0, 0, 0, U, U, U, U, U, U, U, U, U,     U, U, U, U,
    U, U, U, U, U, U, U, U, U, U, U, U, U, 0, 0, 0, 0, 0, 0, L, L, L,     L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0,     0, 0,
};

static const uint8_t by_category[32] = {
    [NX_GC_LU] = U,
    [NX_GC_LL] = L,
    [NX_GC_LT] = U,
    [NX_GC_LM] = U | L,
    [NX_GC_LO] = U | L,
    [NX_GC_MN] = MARK | UPPER | LOWER,
    [NX_GC_MC] = MARK | UPPER | LOWER,
    [NX_GC_ME] = MARK | UPPER | LOWER,
    [NX_GC_ND] = N,
    [NX_GC_NL] = N,
    [NX_GC_NO] = N,
};

static uint8_t kind_of(const char *p, size_t len, size_t *n)
{
    const nx_uc *u = nx_uc_of(nx_utf8_decode(p, len, n));

    return u->flags & NX_UC_SPACE ? SPACE : by_category[u->gc];
}

#undef U
#undef L
#undef N
#undef S
#undef R

static inline uint8_t kind_at(const char *text, size_t len, size_t at, size_t *n)
{
    unsigned char c = (unsigned char)text[at];

    *n = 1;
    return c < 128 ? ascii[c] : kind_of(text + at, len - at, n);
}

/* Where the run of characters with any kind of `any` ends. */
static inline size_t run(const char *text, size_t len, size_t at, unsigned any)
{
    for (size_t n; at < len && (kind_at(text, len, at, &n) & any); at += n) {}
    return at;
}

/* The same for characters with no kind of `none`. */
static size_t run_without(const char *text, size_t len, size_t at, unsigned none)
{
    for (size_t n; at < len && !(kind_at(text, len, at, &n) & none); at += n) {}
    return at;
}

/* ---- What the families share ------------------------------------------------------------------ */

static char small(const nx_cut *c, char letter)
{
    return !c->exact && letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter;
}

/* 's|'t|'re|'ve|'m|'ll|'d at p: its length, or 0. Without regard to case, s is U+017F as well. */
static size_t contraction(const nx_cut *c, const char *p, size_t len)
{
    if (len < 2 || p[0] != '\'') return 0;
    char a = small(c, p[1]), b = len > 2 ? small(c, p[2]) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return !c->exact && len > 2 && memcmp(p + 1, "\xC5\xBF", 2) == 0 ? 3 : 0;
}

static size_t digits(const nx_cut *c, const char *text, size_t len)
{
    size_t at = 0, n;

    for (int i = 0; at < len && (c->digits == 0 || i < c->digits); i++, at += n) {
        if (!(kind_at(text, len, at, &n) & NUMBER)) break;
    }
    return at;
}

/* \s+(?!\S)|\s+ where text begins with white space: all of it at the end of the text, else all but
 * the last character, or that one. */
static size_t spaces(const char *text, size_t len)
{
    size_t at = 0, last = 0, n;

    while (at < len && (kind_at(text, len, at, &n) & SPACE)) {
        last = at;
        at += n;
    }
    return at == len || last == 0 ? at : last;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last newline of the run, where it has one. */
static size_t newlines_or_spaces(const nx_cut *c, const char *text, size_t len)
{
    size_t  at = 0, last = 0, newline = 0, n;
    uint8_t kind;

    while (at < len && ((kind = kind_at(text, len, at, &n)) & SPACE)) {
        last = at;
        at += n;
        if (kind & NEWLINE) newline = at;
    }
    if (newline && !(c->trailing_first && at == len)) return newline;
    return at == len || last == 0 ? at : last;
}

/* ---- GPT-2: an optional space before letters, numbers or others ------------------------------- */

static size_t gpt2(const nx_cut *c, const char *text, size_t len)
{
    size_t n, word = contraction(c, text, len);

    if (word) return word;
    size_t  from = text[0] == ' ' && len > 1;
    uint8_t kind = kind_at(text, len, from, &n);
    if (kind & LETTER) return run(text, len, from + n, LETTER);
    if (kind & NUMBER) return run(text, len, from + n, NUMBER);
    if (!(kind & SPACE)) return run_without(text, len, from + n, LETTER | NUMBER | SPACE);
    return spaces(text, len);
}

/* ---- cl100k: any character before letters, short numbers, newlines apart ---------------------- */

/* \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ , `words` being \p{L}\p{N}. */
static size_t after_letters(const nx_cut *c, const char *text, size_t len, unsigned words)
{
    size_t  n, from;
    uint8_t kind = kind_at(text, len, 0, &n);

    if (kind & NUMBER) return digits(c, text, len);
    from = text[0] == ' ' && len > 1;
    if (!(kind_at(text, len, from, &n) & (words | SPACE))) {
        return run(text, len, run_without(text, len, from + n, words | SPACE), c->tail);
    }
    return kind & SPACE ? newlines_or_spaces(c, text, len) : n;
}

static size_t cl100k(const nx_cut *c, const char *text, size_t len)
{
    size_t n, next, word = contraction(c, text, len);

    if (word) return word;
    /* [^\r\n\p{L}\p{N}]?\p{L}+ : the first character is taken whenever it may be. */
    uint8_t kind = kind_at(text, len, 0, &n);
    if (!(kind & (LETTER | NUMBER | NEWLINE)) && n < len &&
        (kind_at(text, len, n, &next) & c->letters)) {
        return run(text, len, n + next, c->letters);
    }
    if (kind & c->letters) return run(text, len, n, c->letters);
    return after_letters(c, text, len, c->letters | NUMBER | LETTER);
}

/* ---- o200k: capitals, then small letters ------------------------------------------------------ */

/* U*W+ at `from`: its end, or 0. Where no W follows the capitals, the last of them that is both
 * (letters without case, marks) is that W. */
static size_t small_word(const char *text, size_t len, size_t from)
{
    size_t  at = from, both = 0, n;
    uint8_t kind = 0;

    for (; at < len && ((kind = kind_at(text, len, at, &n)) & UPPER); at += n) {
        if (kind & LOWER) both = at + n;
    }
    if (at < len && (kind & LOWER)) return run(text, len, at, LOWER);
    return both;
}

/* U+W* at `from`: its end, or 0. */
static size_t capital_word(const char *text, size_t len, size_t from)
{
    size_t at = run(text, len, from, UPPER);

    return at > from ? run(text, len, at, LOWER) : 0;
}

static size_t o200k(const nx_cut *c, const char *text, size_t len)
{
    size_t  n, end = 0;
    uint8_t kind = kind_at(text, len, 0, &n);
    bool    prefix = !(kind & (LETTER | NUMBER | NEWLINE)) && n < len;

    if (prefix) end = small_word(text, len, n);
    if (!end) end = small_word(text, len, 0);
    if (!end && prefix) end = capital_word(text, len, n);
    if (!end) end = capital_word(text, len, 0);
    if (end) return end + (c->contractions ? contraction(c, text + end, len - end) : 0);
    return after_letters(c, text, len, LETTER | NUMBER);
}

size_t nx_cut_next(const nx_cut *c, const char *text, size_t len)
{
    switch (c->family) {
    case GPT2: return gpt2(c, text, len);
    case CL100K: return cl100k(c, text, len);
    case O200K: return o200k(c, text, len);
    }
    return len;
}
