/* passage_find.c - see passage_find.h. */
#include "rag/passage_find.h"

#include <string.h>

#include "base/utf8.h"
#include "rag/chunk.h"

#define SCAN_MAX ((size_t)256 << 10)

nx_str nx_passage_scanned(nx_str text)
{
    if (text.len > SCAN_MAX) text.len = SCAN_MAX - nx_utf8_partial_tail(text.p, SCAN_MAX);
    return text;
}

bool nx_passage_holds(nx_str text, nx_str bytes)
{
    text = nx_passage_scanned(text);
    if (bytes.len == 0) return true;
    for (size_t i = 0; i + bytes.len <= text.len; i++) {
        const char *at = memchr(text.p + i, bytes.p[0], text.len - i);
        if (!at) return false;
        i = (size_t)(at - text.p);
        if (i + bytes.len <= text.len && memcmp(at, bytes.p, bytes.len) == 0) return true;
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_wordish(char c)
{
    return (unsigned char)c >= 0x80 || (c >= '0' && c <= '9') ||
           ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static size_t skip_blanks(nx_str s, size_t i)
{
    while (i < s.len && is_blank(s.p[i])) i++;
    return i;
}

/* Where the words end that begin at text[i..); 0: others stand there. */
static size_t match(nx_str text, size_t i, nx_str words)
{
    for (size_t k = 0; k < words.len;) {
        if (is_blank(words.p[k])) {
            if (i >= text.len || !is_blank(text.p[i])) return 0;
            k = skip_blanks(words, k);
            i = skip_blanks(text, i);
            continue;
        }
        if (i >= text.len || lower(text.p[i]) != lower(words.p[k])) return 0;
        i++;
        k++;
    }
    return i;
}

bool nx_passage_find(nx_str text, nx_str words, size_t *begin, size_t *end)
{
    text = nx_passage_scanned(text);
    while (words.len && is_blank(words.p[0])) words.p++, words.len--;
    while (words.len && is_blank(words.p[words.len - 1])) words.len--;
    if (words.len == 0) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (lower(text.p[i]) != lower(words.p[0])) continue;
        if (i && is_wordish(text.p[i]) && is_wordish(text.p[i - 1])) continue;
        size_t stop = match(text, i, words);
        if (stop == 0) continue;
        if (stop < text.len && is_wordish(text.p[stop - 1]) && is_wordish(text.p[stop])) continue;
        *begin = i;
        *end = stop;
        return true;
    }
    return false;
}

nx_status nx_passage_best_sentence(nx_str text, nx_words *w, const nx_wordset *words, size_t *begin,
                                   size_t *end, nx_error *err)
{
    nx_wordset held = {0};
    size_t     most = 0;
    nx_status  st = NX_OK;

    *begin = 0;
    *end = text.len;
    text = nx_passage_scanned(text);
    for (size_t at = nx_sentence_skip(text, 0); at < text.len && !st;) {
        size_t stop = nx_sentence_end(text, at);
        held.n = 0;
        st = nx_wordset_read(&held, w, (nx_str){text.p + at, stop - at}, err);
        size_t common = nx_wordset_common(words, &held);
        if (common > most) {
            most = common;
            *begin = at;
            *end = stop;
        }
        at = nx_sentence_skip(text, stop > at ? stop : at + 1);
    }
    nx_wordset_free(&held);
    return st;
}
