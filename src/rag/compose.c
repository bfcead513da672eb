/* compose.c - words in, text and parts out. */
#include "rag/compose.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define GAP_MAX      16   /* empty cells shown in a row */
#define WARNINGS_MAX 8192 /* bytes */
#define TITLE_MAX    512  /* bytes */

void nx_compose_start(nx_compose *c, nx_doc *doc, nx_doc_kind kind, const nx_extract_limits *limits,
                      nx_error *err)
{
    *c = (nx_compose){.doc = doc, .err = err, .kind = NX_PART_PARAGRAPH};
    doc->kind = kind;
    doc->origin = NX_ORIGIN_TEXT;
    doc->text.max = limits->text_bytes < SIZE_MAX ? (size_t)limits->text_bytes : SIZE_MAX;
    doc->title.max = TITLE_MAX + 4;
    doc->warnings.max = WARNINGS_MAX;
}

void nx_compose_fail(nx_compose *c, nx_status st, const char *fmt, ...)
{
    va_list args;

    if (c->st) return;
    va_start(args, fmt);
    c->st = nx_fail_v(c->err, st, fmt, args);
    va_end(args);
}

static void put(nx_compose *c, const char *p, size_t n)
{
    if (c->st || n == 0) return;
    c->st = nx_buf_add(&c->doc->text, p, n, c->err);
    if (c->st == NX_ELIMIT)
        c->st =
            nx_fail(c->err, NX_ELIMIT, "its text is over %zu bytes (the limit)", c->doc->text.max);
}

/* ---- Parts ---- */

/* Close the part under way, without the white space at its end. */
static void end_part(nx_compose *c)
{
    nx_doc *doc = c->doc;
    size_t  end = doc->text.len;

    c->space = false;
    c->n_cells = c->n_gap = 0;
    if (!c->open || c->st) return;
    c->open = false;
    while (end > c->begin && (doc->text.data[end - 1] == ' ' || doc->text.data[end - 1] == '\n'))
        end--;
    doc->text.len = end;
    doc->text.data[end] = '\0';
    if (end == c->begin) return; /* nothing but white space */
    nx_part part = {.begin = c->begin, .end = end, .kind = c->kind, .page = c->page};
    if (c->kind == NX_PART_HEADING) {
        part.level = c->level;
        part.name_begin = c->begin;
        part.name_end = end;
    }
    c->st = nx_doc_add_part(doc, part, c->err);
}

static bool is_row(nx_part_kind kind)
{
    return kind == NX_PART_TABLE_HEAD || kind == NX_PART_TABLE_ROW;
}

/* A word comes: begin its part, if that isn't done. */
static void open_part(nx_compose *c)
{
    const nx_doc *doc = c->doc;

    if (c->open || c->st) return;
    if (doc->text.len) {
        const nx_part *last = doc->n_parts ? &doc->parts[doc->n_parts - 1] : NULL;
        bool           close = last && ((is_row(last->kind) && is_row(c->kind)) ||
                              (last->kind == NX_PART_ITEM && c->kind == NX_PART_ITEM));
        put(c, "\n\n", close ? 1 : 2);
    }
    c->open = true;
    c->begin = doc->text.len;
}

void nx_compose_kind(nx_compose *c, nx_part_kind kind)
{
    c->kind = kind;
}

void nx_compose_part(nx_compose *c, nx_part_kind kind, int32_t level)
{
    end_part(c);
    c->kind = kind;
    c->level = level < 1 ? 1 : level > 9 ? 9 : level;
    c->verbatim = kind == NX_PART_CODE;
}

/* ---- Words ---- */

/* What is due before a word: its part's beginning, cells, white space. */
static void before_word(nx_compose *c)
{
    open_part(c);
    if (c->n_gap) {
        for (int32_t i = 0; i < c->n_gap && i < GAP_MAX; i++) put(c, " | ", 3);
    } else if (c->space && c->doc->text.len > c->begin) {
        char last = c->doc->text.data[c->doc->text.len - 1];
        if (last != '\n' && last != ' ') put(c, " ", 1);
    }
    c->n_gap = 0;
    c->space = false;
}

void nx_compose_space(nx_compose *c)
{
    c->space = true;
}

void nx_compose_line(nx_compose *c)
{
    nx_buf *text = &c->doc->text;

    if (is_row(c->kind)) {
        c->space = true;
        return;
    }
    c->space = false;
    if (c->verbatim) {
        if (c->open) put(c, "\n", 1); /* code doesn't begin with an empty line */
    } else if (c->open && !c->st && text->len > c->begin && text->data[text->len - 1] != '\n') {
        put(c, "\n", 1);
    }
}

void nx_compose_cell(nx_compose *c)
{
    if (c->n_cells++ && c->n_gap < INT32_MAX) c->n_gap++;
    c->space = false;
}

/* White space between words, which folds: the usual, and spaces that do not break. */
static bool is_blank(uint32_t cp)
{
    return cp == ' ' || (cp >= '\t' && cp <= '\r') || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

/* Marks that nobody sees and that keep words from being found. */
static bool is_nothing(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0xAD || cp == 0x200B || cp == 0x2060 ||
           cp == 0xFEFF || (cp & 0xFFFE) == 0xFFFE || (cp >= 0xFDD0 && cp <= 0xFDEF);
}

static void one(nx_compose *c, const char *p, size_t n, uint32_t cp)
{
    if (c->verbatim && cp == '\n') {
        nx_compose_line(c);
    } else if (c->verbatim && is_blank(cp)) {
        if (cp == '\r') return;
        open_part(c);
        put(c, cp == '\t' ? "\t" : " ", 1);
    } else if (is_blank(cp)) {
        c->space = true;
    } else if (cp == NX_UTF8_BAD) {
        before_word(c);
        put(c, "\xEF\xBF\xBD", 3);
    } else if (!is_nothing(cp)) {
        before_word(c);
        put(c, p, n);
    }
}

void nx_compose_text(nx_compose *c, nx_str s)
{
    size_t i = 0, n;

    while (i < s.len && !c->st) {
        size_t plain = i;
        while (plain < s.len && s.p[plain] > ' ' && s.p[plain] < 0x7F) plain++;
        if (plain > i) {
            before_word(c);
            put(c, s.p + i, plain - i);
            i = plain;
            continue;
        }
        uint32_t cp = nx_utf8_decode(s.p + i, s.len - i, &n);
        if (cp == NX_UTF8_BAD) n = nx_utf8_bad_length(s.p + i, s.len - i);
        one(c, s.p + i, n, cp);
        i += n;
    }
}

/* ---- Beside the text ---- */

void nx_compose_warn(nx_compose *c, const char *fmt, ...)
{
    char    line[512];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    if (n <= 0 || c->st) return;
    if ((size_t)n > sizeof line - 2) {
        n = (int)sizeof line - 2;
        n -= (int)nx_utf8_partial_tail(line, (size_t)n);
    }
    for (int i = 0; i < n; i++)
        if (line[i] == '\n' || line[i] == '\r') line[i] = ' ';
    line[n] = '\n';
    nx_status st = nx_buf_add(&c->doc->warnings, line, (size_t)n + 1, NULL);
    if (st == NX_ENOMEM) c->st = nx_fail(c->err, st, "no memory for warnings");
}

void nx_compose_title(nx_compose *c, nx_str s)
{
    nx_buf *title = &c->doc->title;
    bool    space = false;
    size_t  n;

    if (c->st || title->len) return;
    for (size_t i = 0; i < s.len && title->len < TITLE_MAX && !c->st; i += n) {
        uint32_t cp = nx_utf8_decode(s.p + i, s.len - i, &n);
        if (is_blank(cp)) {
            space = title->len > 0;
        } else if (cp != NX_UTF8_BAD && !is_nothing(cp)) {
            if (space) c->st = nx_buf_add(title, " ", 1, c->err);
            space = false;
            if (!c->st && title->len + n <= TITLE_MAX)
                c->st = nx_buf_add(title, s.p + i, n, c->err);
        }
    }
}

void nx_compose_title_of_heading(nx_compose *c)
{
    const nx_doc *doc = c->doc;

    end_part(c);
    for (size_t i = 0; i < doc->n_parts && !doc->title.len && !c->st; i++) {
        const nx_part *h = &doc->parts[i];
        if (h->kind != NX_PART_HEADING || h->level != 1) continue;
        nx_compose_title(c, (nx_str){doc->text.data + h->name_begin, h->name_end - h->name_begin});
    }
}

nx_status nx_compose_finish(nx_compose *c)
{
    end_part(c);
    return c->st;
}
