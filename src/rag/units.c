/* units.c - see units.h. */
#include "rag/units.h"

#include <string.h>

#include "base/alloc.h"
#include "rag/chunk.h"

typedef enum line_kind {
    LINE_BLANK,
    LINE_HEADING,
    LINE_FENCE,
    LINE_ITEM,
    LINE_ROW,
    LINE_RULE, /* |---|, ===, ... : nothing to quote */
    LINE_TAG,  /* an option or a name by itself, its description behind it */
    LINE_CODE, /* key: value, "key": value */
    LINE_PROSE
} line_kind;

typedef struct reader {
    nx_units *out;
    nx_str    text;
    size_t    lead, lead_end; /* what units stand under now */
    bool      fenced;
    nx_error *err;
} reader;

void nx_units_free(nx_units *u)
{
    nx_free(u->list);
    *u = (nx_units){0};
}

/* ---- Looking at text ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return ((c | 32) >= 'a' && (c | 32) <= 'z') || (unsigned char)c >= 0x80;
}

int32_t nx_count_words(nx_str s)
{
    int32_t n = 0;

    for (size_t i = 0; i < s.len; i++) n += !is_blank(s.p[i]) && (i == 0 || is_blank(s.p[i - 1]));
    return n;
}

static nx_str slice(nx_str s, size_t begin, size_t end)
{
    return (nx_str){s.p + begin, end - begin};
}

static nx_str trimmed(nx_str s)
{
    while (s.len && is_blank(s.p[0])) s.p++, s.len--;
    while (s.len && is_blank(s.p[s.len - 1])) s.len--;
    return s;
}

static size_t line_end(nx_str s, size_t at)
{
    const char *end = memchr(s.p + at, '\n', s.len - at);

    return end ? (size_t)(end - s.p) : s.len;
}

static size_t count(nx_str s, char c)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) n += s.p[i] == c;
    return n;
}

/* ---- Kinds of lines ---- */

static bool is_item(nx_str l)
{
    size_t i = 0;

    if (l.len > 2 && (l.p[0] == '-' || l.p[0] == '*' || l.p[0] == '+') && l.p[1] == ' ')
        return true;
    if (l.len > 4 && memcmp(l.p, "\xE2\x80\xA2", 3) == 0) return true;
    while (i < l.len && i < 3 && is_digit(l.p[i])) i++;
    return i > 0 && i + 2 < l.len && (l.p[i] == '.' || l.p[i] == ')') && l.p[i + 1] == ' ';
}

static bool is_rule(nx_str l)
{
    for (size_t i = 0; i < l.len; i++)
        if (!strchr("-=|+:*_~# \t", l.p[i])) return false;
    return true;
}

/* CSV: more commas without a blank behind them than with one. */
static bool is_csv(nx_str l)
{
    size_t tight = 0, loose = 0;

    for (size_t i = 0; i < l.len; i++)
        if (l.p[i] == ',') *(i + 1 < l.len && l.p[i + 1] == ' ' ? &loose : &tight) += 1;
    return tight >= 2 && tight > loose;
}

static bool ends_sentence(nx_str l)
{
    return l.len && strchr(".!?:;,", l.p[l.len - 1]) != NULL;
}

/* SYNOPSIS, "FILE FORMAT": no small letters. */
static bool is_shouted(nx_str l)
{
    bool letter = false;

    for (size_t i = 0; i < l.len; i++) {
        if (l.p[i] >= 'a' && l.p[i] <= 'z') return false;
        letter |= l.p[i] >= 'A' && l.p[i] <= 'Z';
    }
    return letter && l.len > 3 && l.len < 60 && !ends_sentence(l);
}

static bool is_key_value(nx_str l)
{
    size_t i = 0;

    if (l.p[0] == '"' || l.p[0] == '{' || l.p[0] == '}' || l.p[0] == '[' || l.p[0] == '<')
        return true;
    while (i < l.len && (is_alpha(l.p[i]) || is_digit(l.p[i]) || strchr("_-.", l.p[i]))) i++;
    while (i < l.len && l.p[i] == ' ') i++;
    return i && i < l.len &&
           (l.p[i] == '=' || (l.p[i] == ':' && i + 1 < l.len && l.p[i + 1] == ' '));
}

/* "-v, --verbose", "--size=N": an option and little else. */
static bool is_tag(nx_str l)
{
    return l.len > 1 && l.p[0] == '-' && l.p[1] != ' ' && nx_count_words(l) <= 6 &&
           !strchr(".:;,", l.p[l.len - 1]);
}

static line_kind kind_of(nx_str raw)
{
    nx_str l = trimmed(raw);

    if (l.len == 0) return LINE_BLANK;
    if (l.len >= 3 && (memcmp(l.p, "```", 3) == 0 || memcmp(l.p, "~~~", 3) == 0)) return LINE_FENCE;
    if (is_rule(l)) return LINE_RULE;
    if (l.p[0] == '#' && (l.len > 1 && (l.p[1] == '#' || l.p[1] == ' '))) return LINE_HEADING;
    if (is_item(l)) return LINE_ITEM;
    if (l.p[0] == '|' || count(l, '\t') >= 1 || (count(l, '|') >= 1 && nx_count_words(l) > 2) ||
        is_csv(l))
        return LINE_ROW;
    if (is_tag(l)) return LINE_TAG;
    if (is_shouted(l)) return LINE_HEADING;
    return is_key_value(l) && !ends_sentence(l) ? LINE_CODE : LINE_PROSE;
}

/* ---- Units ---- */

static bool leans(nx_str s)
{
    static const char *const words[] = {"It",    "Its",   "This", "That",      "These", "Those",
                                        "They",  "Their", "He",   "She",       "His",   "Her",
                                        "Such",  "Then",  "So",   "Otherwise", "Else",  "Both",
                                        "There", "Also",  "But",  "However,"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (s.len > n && memcmp(s.p, words[i], n) == 0 && is_blank(s.p[n])) return true;
    }
    return false;
}

static nx_status push(reader *r, size_t begin, size_t end, nx_unit_kind kind)
{
    nx_units *u = r->out;
    nx_str    s = trimmed(slice(r->text, begin, end));

    if (s.len == 0 || u->n >= NX_UNITS_MAX) return NX_OK;
    if (u->n == u->cap) {
        size_t   cap = u->cap ? u->cap * 2 : 32;
        nx_unit *list = nx_realloc(u->list, cap, sizeof *list);
        if (!list) return nx_fail(r->err, NX_ENOMEM, "no memory for %zu sentences", cap);
        u->list = list;
        u->cap = cap;
    }
    begin = (size_t)(s.p - r->text.p);
    u->list[u->n++] = (nx_unit){
        .begin = begin,
        .end = begin + s.len,
        .lead_begin = r->lead,
        .lead_end = r->lead_end,
        .kind = kind,
        .n_words = nx_count_words(s),
        .leans = leans(s),
    };
    return NX_OK;
}

/* Where a piece of at most NX_UNIT_WORDS_MAX words of [begin, end) ends best. */
static size_t cut_at(nx_str text, size_t begin, size_t end)
{
    static const char *const marks[] = {"\n", ";", ",", " "};
    size_t                   far = begin;

    for (int32_t words = 0; far < end; far++) {
        words += !is_blank(text.p[far]) && (far == begin || is_blank(text.p[far - 1]));
        if (words > NX_UNIT_WORDS_MAX) break;
    }
    if (far == end) return end;
    for (size_t k = 0; k < 4; k++)
        for (size_t i = far; i > begin + (far - begin) / 3; i--)
            if (text.p[i - 1] == marks[k][0]) return i;
    return far;
}

static nx_status push_cut(reader *r, size_t begin, size_t end, nx_unit_kind kind)
{
    nx_status st = NX_OK;

    while (begin < end && !st) {
        size_t stop = cut_at(r->text, begin, end);
        st = push(r, begin, stop, kind);
        begin = stop > begin ? stop : end;
    }
    return st;
}

/* [begin, end) by sentences. A question of a document (not its last words) is what the next stands under. */
static nx_status push_sentences(reader *r, size_t begin, size_t end, nx_unit_kind kind)
{
    nx_str    s = slice(r->text, 0, end);
    nx_status st = NX_OK;

    for (size_t at = nx_sentence_skip(s, begin); at < end && !st;) {
        size_t stop = nx_sentence_end(s, at);
        if (stop <= at) stop = end;
        if (s.p[stop - 1] == '?') {
            r->lead = at;
            r->lead_end = stop;
        } else {
            st = push_cut(r, at, stop, kind);
            if (s.p[stop - 1] == ':') {
                r->lead = at;
                r->lead_end = stop;
            }
        }
        at = nx_sentence_skip(s, stop);
    }
    return st;
}

/* The end of the lines from at on that belong to a block of that kind: prose goes on in prose, an item in lines
 * that are no marks of their own. */
static size_t block_end(const reader *r, size_t at)
{
    size_t end = line_end(r->text, at);

    while (end < r->text.len) {
        size_t next = end + 1, stop = next < r->text.len ? line_end(r->text, next) : next;
        if (next >= r->text.len) break;
        line_kind k = kind_of(slice(r->text, next, stop));
        if (k != LINE_PROSE && k != LINE_CODE) break;
        end = stop;
    }
    return end < r->text.len ? end : r->text.len;
}

/* A short line without an end, alone or before longer ones: a heading of plain text. */
static bool is_title(nx_str l)
{
    return nx_count_words(l) <= 8 && !ends_sentence(l) && l.p[0] != '"' && is_alpha(l.p[0]);
}

static nx_status read_prose(reader *r, size_t at, size_t end)
{
    size_t first = line_end(r->text, at);
    nx_str line = trimmed(slice(r->text, at, first));

    if (first >= end && is_title(line)) { /* alone: it may be an answer as well as a title */
        nx_status st = push(r, at, end, NX_UNIT_CODE);
        r->lead = at;
        r->lead_end = end;
        return st;
    }
    return push_sentences(r, at, end, NX_UNIT_SENTENCE);
}

static nx_status read_line(reader *r, size_t *at)
{
    size_t    end = line_end(r->text, *at), begin = *at;
    line_kind k = kind_of(slice(r->text, begin, end));
    nx_status st = NX_OK;

    *at = end + 1;
    if (k == LINE_FENCE) {
        r->fenced = !r->fenced;
        return NX_OK;
    }
    if (r->fenced) return k == LINE_BLANK ? NX_OK : push_cut(r, begin, end, NX_UNIT_CODE);
    switch (k) {
    case LINE_HEADING:
        r->lead = begin;
        r->lead_end = end;
        break;
    case LINE_ROW: st = push_cut(r, begin, end, NX_UNIT_ROW); break;
    case LINE_CODE: st = push_cut(r, begin, end, NX_UNIT_CODE); break;
    case LINE_TAG: /* the tag and the first sentence are one; the others stand under the tag */
    case LINE_ITEM:
        end = block_end(r, begin);
        st = push_sentences(r, begin, end, NX_UNIT_ITEM);
        *at = end + 1;
        break;
    case LINE_PROSE:
        end = block_end(r, begin);
        st = read_prose(r, begin, end);
        *at = end + 1;
        break;
    default: break;
    }
    return st;
}

nx_status nx_units_read(nx_units *out, nx_str text, nx_error *err)
{
    reader    r = {.out = out, .text = text, .err = err};
    nx_status st = NX_OK;

    *out = (nx_units){0};
    for (size_t at = 0; at < text.len && out->n < NX_UNITS_MAX && !st;) st = read_line(&r, &at);
    if (st) nx_units_free(out);
    return st;
}
