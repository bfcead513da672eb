/* pdf_text.c - lines, and what they were before a page's width cut them. */
#include "rag/pdf_text.h"

#include <string.h>

#include "base/utf8.h"

#define AROUND      4  /* lines behind and ahead that tell how wide a column is */
#define HEADING_MAX 90 /* characters */
#define WIDTH_MIN   30 /* no column of prose is narrower */

typedef struct line {
    nx_str  s; /* without white space around */
    int64_t chars;
} line;

typedef struct page {
    nx_compose *c;
    nx_str      rest;           /* lines to come */
    int64_t     widths[AROUND]; /* of the lines before */
    size_t      n_widths;
    bool        ended;  /* what comes doesn't go on with the line before */
    bool        bullet; /* the line before is nothing but an item's mark */
} page;

/* ---- Lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int64_t count_chars(nx_str s)
{
    int64_t n = 0;

    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* The next line of *rest, which loses it; false at its end. */
static bool next_line(nx_str *rest, line *out)
{
    if (rest->len == 0) return false;
    const char *end = memchr(rest->p, '\n', rest->len);
    size_t      n = end ? (size_t)(end - rest->p) : rest->len;
    nx_str      s = {rest->p, n};

    rest->p += n + (end != NULL);
    rest->len -= n + (end != NULL);
    while (s.len && is_blank(s.p[0])) s.p++, s.len--;
    while (s.len && is_blank(s.p[s.len - 1])) s.len--;
    *out = (line){s, count_chars(s)};
    return true;
}

/* How wide the lines around are, this one's included: its column, as good as one can tell. */
static int64_t width_around(const page *p, const line *now)
{
    int64_t width = now->chars > WIDTH_MIN ? now->chars : WIDTH_MIN;
    nx_str  rest = p->rest;
    line    l;

    for (size_t i = 0; i < AROUND; i++)
        if (p->widths[i] > width) width = p->widths[i];
    for (int i = 0; i < AROUND && next_line(&rest, &l) && l.s.len; i++)
        if (l.chars > width) width = l.chars;
    return width;
}

static int64_t first_word(nx_str s)
{
    size_t n = 0;

    while (n < s.len && !is_blank(s.p[n])) n++;
    return count_chars((nx_str){s.p, n});
}

/* Would the next line's first word have had its place on this one? Then the line ended by itself. */
static bool ends_here(const page *p, const line *now, const line *next)
{
    return now->chars + 1 + first_word(next->s) < width_around(p, now) * 4 / 5;
}

/* ---- What a line is ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool begins(nx_str s, const char *with)
{
    size_t n = strlen(with);

    return s.len >= n && memcmp(s.p, with, n) == 0;
}

/* "2.3 Method", "4 Results", "2.3. Method": the level, or 0. Not "3. Press the button", which is an item; not a
 * line of a list of contents, which ends with a page number. */
static int32_t heading_level(const line *l)
{
    nx_str  s = l->s;
    size_t  i = 0;
    int32_t level = 0;
    bool    dot = false;

    if (l->chars > HEADING_MAX || s.len < 3 || is_digit(s.p[s.len - 1])) return 0;
    if (strchr(".,;:!", s.p[s.len - 1])) return 0;
    while (i < s.len && is_digit(s.p[i])) {
        size_t from = i;
        while (i < s.len && is_digit(s.p[i])) i++;
        if (i - from > 3) return 0; /* a year, or an amount */
        level++;
        dot = i < s.len && s.p[i] == '.';
        i += dot;
    }
    if (level == 0 || (level == 1 && dot) || i >= s.len || s.p[i] != ' ') return 0;
    while (i < s.len && s.p[i] == ' ') i++;
    unsigned char c = i < s.len ? (unsigned char)s.p[i] : 0;
    return (c >= 'A' && c <= 'Z') || c >= 0xC3 ? level : 0;
}

/* A mark that stands nowhere but before items. */
static bool has_bullet(nx_str s)
{
    static const char *const marks[] = {"\xE2\x80\xA2", "\xE2\x80\xA3", "\xE2\x97\xA6",
                                        "\xE2\x96\xAA", "\xE2\x97\x8F", "\xE2\x96\xA0",
                                        "\xEF\x82\xB7"};

    for (size_t k = 0; k < sizeof marks / sizeof *marks; k++)
        if (begins(s, marks[k])) return true;
    return false;
}

/* Dashes and numbers, too: items, where a line ended by itself before. */
static bool is_item(nx_str s)
{
    size_t i = 0;

    if (has_bullet(s) || begins(s, "- ") || begins(s, "* ") || begins(s, "\xE2\x80\x93 "))
        return true;
    while (i < s.len && i < 3 && is_digit(s.p[i])) i++;
    return i > 0 && i + 1 < s.len && (s.p[i] == '.' || s.p[i] == ')') && s.p[i + 1] == ' ';
}

static bool ends_sentence(nx_str s)
{
    return s.len && strchr(".!?:;", s.p[s.len - 1]);
}

static bool is_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* The length of the hyphen at the end of s that only divides a word which goes on with next; 0: none. */
static size_t divides(nx_str s, nx_str next)
{
    size_t n = s.len && s.p[s.len - 1] == '-'                                 ? 1
               : s.len > 2 && memcmp(s.p + s.len - 3, "\xE2\x80\x90", 3) == 0 ? 3
               : s.len > 1 && memcmp(s.p + s.len - 2, "\xC2\xAD", 2) == 0     ? 2
                                                                              : 0;

    if (n == 0 || s.len <= n || next.len == 0 || !is_letter((unsigned char)s.p[s.len - n - 1]))
        return 0;
    unsigned char c = (unsigned char)next.p[0];
    return (c >= 'a' && c <= 'z') || (c >= 0xC3 && c < 0xE2) ? n : 0;
}

/* ---- Pages ---- */

static void begin_line(page *p, const line *l)
{
    int32_t level = heading_level(l);

    if (level)
        nx_compose_part(p->c, NX_PART_HEADING, level);
    else if (is_item(l->s))
        nx_compose_part(p->c, NX_PART_ITEM, 0);
    else if (p->c->kind == NX_PART_HEADING)
        nx_compose_part(p->c, NX_PART_PARAGRAPH, 0);
}

/* One line, and how it stands to the next one of its block. */
static void one_line(page *p, const line *now)
{
    nx_str rest = p->rest;
    line   next = {0};

    next_line(&rest, &next);
    if (p->ended) begin_line(p, now);
    p->bullet = now->chars == 1 && has_bullet(now->s);
    if (p->bullet) {
        nx_compose_text(p->c, now->s);
        nx_compose_space(p->c);
        p->ended = false;
        return;
    }
    p->ended = next.s.len == 0 || p->c->kind == NX_PART_HEADING || has_bullet(next.s) ||
               ends_here(p, now, &next);
    size_t cut = p->ended ? 0 : divides(now->s, next.s);
    nx_compose_text(p->c, (nx_str){now->s.p, now->s.len - cut});
    p->widths[p->n_widths++ % AROUND] = now->chars;
    if (!p->ended && !cut)
        nx_compose_space(p->c);
    else if (p->ended && ends_sentence(now->s))
        nx_compose_part(p->c, NX_PART_PARAGRAPH, 0);
    else if (p->ended)
        nx_compose_line(p->c);
}

/* Returns whether there were words. */
static bool one_page(nx_compose *c, nx_str text, nx_watch *watch)
{
    page   p = {.c = c, .rest = text, .ended = true};
    size_t before = c->doc->text.len;
    line   l;

    nx_compose_part(c, NX_PART_PARAGRAPH, 0);
    while (!c->st && next_line(&p.rest, &l)) {
        if (!c->st) c->st = nx_watch_often(watch, c->err);
        if (l.s.len) {
            one_line(&p, &l);
        } else if (!p.bullet) {
            nx_compose_part(c, NX_PART_PARAGRAPH, 0);
            memset(p.widths, 0, sizeof p.widths);
            p.ended = true;
        }
    }
    nx_compose_part(c, NX_PART_PARAGRAPH, 0);
    return c->doc->text.len > before;
}

int64_t nx_pdf_count_pages(nx_str text)
{
    int64_t n = 0;

    for (size_t i = 0; i < text.len; i++) n += text.p[i] == '\f';
    return n + (text.len && text.p[text.len - 1] != '\f');
}

/* "pages 3-9 have no text (scanned?)" */
static void warn_empty(nx_compose *c, int32_t from, int32_t to)
{
    if (from == to)
        nx_compose_warn(c, "page %d has no text (scanned?)", from);
    else
        nx_compose_warn(c, "pages %d-%d have no text (scanned?)", from, to);
}

nx_status nx_pdf_text_compose(nx_compose *c, nx_str text, nx_watch *watch)
{
    int32_t number = 0, empty_from = 0, n_empty = 0;

    while (text.len && !c->st) {
        const char *end = memchr(text.p, '\f', text.len);
        size_t      n = end ? (size_t)(end - text.p) : text.len;
        c->page = ++number;
        bool any = one_page(c, (nx_str){text.p, n}, watch);
        n_empty += !any;
        if (any && empty_from) warn_empty(c, empty_from, number - 1);
        empty_from = any ? 0 : empty_from ? empty_from : number;
        n += end != NULL;
        text.p += n, text.len -= n;
    }
    c->doc->n_pages = number;
    c->page = 0;
    if (n_empty == number)
        nx_compose_fail(
            c, NX_EFORMAT,
            "no text in its %d page%s: scanned pictures without a text layer? An OCR program "
            "(ocrmypdf) adds one",
            number, number == 1 ? "" : "s");
    else if (empty_from)
        warn_empty(c, empty_from, number);
    return c->st;
}
