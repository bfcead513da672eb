/* sentence.c - where a sentence ends: by its mark, and by what stands around it.
 *
 * Idea: a mark of the Latin script ends a sentence when a blank follows (behind quotes and brackets), what stands
 *       before it is no abbreviation or number of a list, and what comes next doesn't begin in lower case. Marks
 *       of Chinese and Japanese end it wherever they stand. A blank line always does.
 */
#include <string.h>

#include "base/utf8.h"
#include "rag/chunk.h"

enum { WORD_MAX = 12 };

/* Bytes of the blank at p[0..n), n >= 1; 0: it isn't one. */
static size_t blank_len(const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0];

    if (c <= ' ' || c == 0x7F) return 1;
    if (c < 0xC2) return 0;
    if (c == 0xC2)
        return n >= 2 && ((unsigned char)p[1] == 0xA0 || (unsigned char)p[1] == 0x85) ? 2 : 0;
    if (n < 3) return 0;
    unsigned char d = (unsigned char)p[1], e = (unsigned char)p[2];
    if (c == 0xE2 && d == 0x80) return e <= 0x8A || e == 0xA8 || e == 0xA9 || e == 0xAF ? 3 : 0;
    if (c == 0xE2 && d == 0x81) return e == 0x9F ? 3 : 0;
    if (c == 0xE3 && d == 0x80) return e == 0x80 ? 3 : 0;
    return c == 0xEF && d == 0xBB && e == 0xBF ? 3 : 0;
}

size_t nx_sentence_skip(nx_str text, size_t at)
{
    while (at < text.len) {
        size_t n = blank_len(text.p + at, text.len - at);
        if (!n) break;
        at += n;
    }
    return at;
}

/* ---- Marks ---- */

typedef enum mark {
    NO_MARK,
    DOT,
    HARD,
    WIDE
} mark; /* HARD: ! ? and their like; WIDE: needs no blank */

static mark mark_of(uint32_t c)
{
    switch (c) {
    case '.': return DOT;
    case '!':
    case '?':
    case 0x2026: /* ellipsis */
    case 0x203C:
    case 0x203D:
    case 0x2047:
    case 0x2048:
    case 0x2049:
    case 0x061F: /* Arabic */
    case 0x06D4:
    case 0x0964: /* danda */
    case 0x0965:
    case 0x0589: /* Armenian */
    case 0x1362: /* Ethiopic */
    case 0x104A: /* Burmese */
    case 0x104B: return HARD;
    case 0x3002:
    case 0xFF01:
    case 0xFF0E:
    case 0xFF1F:
    case 0xFF61: return WIDE;
    default: return NO_MARK;
    }
}

static bool closes(uint32_t c)
{
    switch (c) {
    case '"':
    case '\'':
    case ')':
    case ']':
    case '}':
    case '*': /* Markdown's emphasis, which ends behind the mark */
    case '_':
    case 0x00BB:
    case 0x2019:
    case 0x201C: /* German closes with it */
    case 0x201D:
    case 0x203A:
    case 0x3009:
    case 0x300B:
    case 0x300D:
    case 0x300F:
    case 0x3011:
    case 0xFF09: return true;
    default: return false;
    }
}

/* Behind marks and what closes, from at on. */
static size_t behind_marks(nx_str text, size_t at)
{
    while (at < text.len) {
        size_t   n;
        uint32_t c = nx_utf8_decode(text.p + at, text.len - at, &n);
        if (!mark_of(c) && !closes(c)) break;
        at += n;
    }
    return at;
}

/* ---- What a dot belongs to ---- */

static bool is_letter(unsigned char c)
{
    return (unsigned)(c | 32) - 'a' < 26 || c >= 0x80;
}

static bool is_digit(unsigned char c)
{
    return (unsigned)c - '0' < 10;
}

/* Abbreviations behind which a sentence goes on, in lower case, without their last dot. */
static bool is_abbreviation(const char *word, size_t n)
{
    static const char *const known[] = {
        "al",  "adm",  "approx", "art",  "aug",  "bzw", "ca",   "cap", "capt", "cf",
        "ch",  "chap", "cmd",    "col",  "dec",  "def", "dept", "dr",  "ed",   "eds",
        "e.g", "eg",   "eq",     "eqs",  "esp",  "est", "evtl", "ex",  "exp",  "feb",
        "fig", "figs", "gen",    "ggf",  "gov",  "hon", "i.e",  "ie",  "jan",  "jul",
        "jun", "lt",   "max",    "min",  "misc", "mr",  "mrs",  "ms",  "mt",   "nr",
        "nos", "nov",  "oct",    "op",   "p",    "par", "pos",  "pp",  "prof", "pt",
        "ref", "refs", "rep",    "resp", "rev",  "sec", "sen",  "sep", "sept", "sgt",
        "st",  "tab",  "u.a",    "univ", "viz",  "vol", "vols", "vs",  "z.b",
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == n && memcmp(known[i], word, n) == 0) return true;
    return false;
}

/* Does the dot at `dot` belong to the word before it: an abbreviation, an initial, a list's number? */
static bool dot_is_of_word(nx_str text, size_t begin, size_t dot)
{
    char   word[WORD_MAX];
    size_t from = dot, n;
    bool   digits = true;

    while (from > begin && dot - from <= WORD_MAX) {
        unsigned char c = (unsigned char)text.p[from - 1];
        if (!is_letter(c) && !is_digit(c) && c != '.') break;
        from--;
    }
    n = dot - from;
    if (n == 0 || n > WORD_MAX) return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.p[from + i];
        digits = digits && (is_digit(c) || c == '.');
        word[i] = (char)((unsigned)c - 'A' < 26 ? c | 32 : c);
    }
    if (digits) return from == begin; /* "1. First ..." */
    if (n == 1)
        return text.p[from] >= 'A' && text.p[from] <= 'Z' && text.p[from] != 'I'; /* "J. Smith" */
    /* "no. 5" goes on, "I said no." doesn't. */
    if (n == 2 && memcmp(word, "no", 2) == 0) {
        size_t next = nx_sentence_skip(text, dot + 1);
        return next < text.len && is_digit((unsigned char)text.p[next]);
    }
    return is_abbreviation(word, n);
}

/* Does what stands at `at` begin a sentence? Not when it is in lower case. */
static bool begins(nx_str text, size_t at)
{
    unsigned char c;

    if (at >= text.len) return true;
    c = (unsigned char)text.p[at];
    if ((unsigned)c - 'a' < 26) return false;
    if (c == 0xC3 && at + 1 < text.len) { /* small letters of Latin-1 */
        unsigned char d = (unsigned char)text.p[at + 1];
        return d < 0x9F || d == 0xB7;
    }
    return c != ',' && c != ';' && c != ':';
}

/* ---- Blank lines ---- */

/* text.p[at] is a line's end. Is the next line blank, or a new page? */
static bool ends_block(nx_str text, size_t at)
{
    for (size_t i = at + 1; i < text.len; i++) {
        char c = text.p[i];
        if (c == '\n' || c == '\f') return true;
        if (c != ' ' && c != '\t' && c != '\r') return false;
    }
    return false;
}

/* The end of text[begin..end) without the blanks that it ends with. */
static size_t trim(nx_str text, size_t begin, size_t end)
{
    while (end > begin && (unsigned char)text.p[end - 1] <= ' ') end--;
    return end;
}

/* Does the sentence end with the mark at `at`? Then *end is behind it. */
static bool ends_at(nx_str text, size_t begin, size_t at, mark kind, size_t *end)
{
    size_t after = behind_marks(text, at), next;

    *end = after;
    if (kind == WIDE || after == text.len) return true;
    if (!blank_len(text.p + after, text.len - after)) return false;
    if (kind == DOT && dot_is_of_word(text, begin, at)) {
        /* An abbreviation may end a block, and the text. */
        next = nx_sentence_skip(text, after);
        return next == text.len;
    }
    return begins(text, nx_sentence_skip(text, after));
}

size_t nx_sentence_end(nx_str text, size_t at)
{
    size_t begin = nx_sentence_skip(text, at);

    if (begin >= text.len) return text.len;
    for (size_t i = begin; i < text.len;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t        n = 1, end;

        if (c == '\n' && ends_block(text, i)) return trim(text, begin, i);
        if (c == '\f') return trim(text, begin, i);
        if (c < 0x80 && c != '.' && c != '!' && c != '?') {
            i++;
            continue;
        }
        mark kind = mark_of(nx_utf8_decode(text.p + i, text.len - i, &n));
        if (kind && ends_at(text, begin, i, kind, &end)) return end;
        i = kind ? behind_marks(text, i) : i + n;
    }
    size_t end = trim(text, begin, text.len);
    return end > begin ? end : text.len;
}
