/* extract_markdown.c - Markdown's blocks, found line by line.
 *
 * Why not a library: we want where blocks lie in the file, not their HTML; and one that must stay linear, and can be
 * stopped, over whatever people upload. Inline markup stays in the text, which is the file.
 * Source: CommonMark 0.31, GitHub's tables.
 */
#include <string.h>

#include "rag/extract_in.h"

typedef struct markdown {
    nx_doc   *doc;
    nx_str    text;
    nx_watch *watch;
    nx_error *err;
} markdown;

static nx_status add(markdown *m, size_t begin, size_t end, nx_part_kind kind)
{
    return nx_doc_add_part(m->doc, (nx_part){.begin = begin, .end = end, .kind = kind}, m->err);
}

static nx_status add_heading(markdown *m, const nx_line *l, size_t end, int32_t level, size_t name,
                             size_t name_end)
{
    if (level == 1 && !m->doc->title.len && name_end > name) {
        m->doc->title.max = 4096;
        size_t n = name_end - name < 1024 ? name_end - name : 0;
        if (nx_buf_add(&m->doc->title, m->text.p + name, n, m->err)) return NX_ENOMEM;
    }
    return nx_doc_add_part(m->doc,
                           (nx_part){.begin = l->first,
                                     .end = end,
                                     .kind = NX_PART_HEADING,
                                     .level = level,
                                     .name_begin = name,
                                     .name_end = name_end},
                           m->err);
}

/* ---- What a line begins ---- */

/* "## Name ##": the level, and where the name stands; 0: no such heading. */
static int32_t atx(nx_str t, const nx_line *l, size_t *name, size_t *name_end)
{
    size_t at = l->first, end = l->end;

    if (l->indent > 3) return 0;
    while (at < end && t.p[at] == '#') at++;
    size_t level = at - l->first;
    if (!level || level > 6 || (at < end && t.p[at] != ' ' && t.p[at] != '\t')) return 0;
    while (at < end && (t.p[at] == ' ' || t.p[at] == '\t')) at++;
    while (end > at && (t.p[end - 1] == ' ' || t.p[end - 1] == '\t')) end--;
    size_t marks = end;
    while (marks > at && t.p[marks - 1] == '#') marks--;
    if (marks < end && (marks == at || t.p[marks - 1] == ' ')) end = marks;
    while (end > at && t.p[end - 1] == ' ') end--;
    *name = at;
    *name_end = end;
    return (int32_t)level;
}

/* The marks of a fence that opens: how many; 0: none. */
static size_t fence(nx_str t, const nx_line *l)
{
    size_t at = l->first;
    char   c = at < l->end ? t.p[at] : '\0';

    if (c != '`' && c != '~') return 0;
    while (at < l->end && t.p[at] == c) at++;
    size_t n = at - l->first;
    if (n < 3 || (c == '`' && memchr(t.p + at, '`', l->end - at))) return 0;
    return n;
}

/* "|---|:--:|": what stands under the head of a table. */
static bool is_table_rule(nx_str t, const nx_line *l)
{
    bool dash = false, bar = false;

    for (size_t i = l->first; i < l->end; i++) {
        if (!strchr("|-: \t", t.p[i])) return false;
        dash |= t.p[i] == '-';
        bar |= t.p[i] == '|';
    }
    return dash && bar;
}

/* "===" or "---" beneath a paragraph of one or more lines: the level; 0: none. */
static int32_t setext(nx_str t, const nx_line *l)
{
    size_t end = l->end;
    char   c = l->first < end ? t.p[l->first] : '\0';

    if (l->indent > 3 || (c != '=' && c != '-')) return 0;
    while (end > l->first && t.p[end - 1] == ' ') end--;
    for (size_t i = l->first; i < end; i++)
        if (t.p[i] != c) return 0;
    return c == '=' ? 1 : 2;
}

/* "***", "- - -": a rule between paragraphs, which says nothing. */
static bool is_rule(nx_str t, const nx_line *l)
{
    char   c = l->first < l->end ? t.p[l->first] : '\0';
    size_t n = 0;

    if (c != '*' && c != '-' && c != '_') return false;
    for (size_t i = l->first; i < l->end; i++) {
        if (t.p[i] != c && t.p[i] != ' ' && t.p[i] != '\t') return false;
        n += t.p[i] == c;
    }
    return n >= 3;
}

/* ---- Blocks of several lines ---- */

static nx_status take_fence(markdown *m, const nx_line *l, size_t marks, size_t *next)
{
    char    c = m->text.p[l->first];
    size_t  end = l->end;
    nx_line more;

    for (*next = l->next; nx_line_at(&more, m->text, *next);) {
        size_t at = more.first;
        *next = more.next;
        end = more.end;
        while (at < more.end && m->text.p[at] == c) at++;
        size_t n = at - more.first;
        while (at < more.end && m->text.p[at] == ' ') at++;
        if (n >= marks && at == more.end) break;
    }
    return add(m, l->begin, end, NX_PART_CODE);
}

static nx_status take_indented(markdown *m, const nx_line *l, size_t *next)
{
    size_t  end = l->end;
    nx_line more;

    for (*next = l->next; nx_line_at(&more, m->text, *next); *next = more.next) {
        if (!nx_line_blank(&more) && more.indent < 4) break;
        if (!nx_line_blank(&more)) end = more.end;
    }
    return add(m, l->begin, end, NX_PART_CODE);
}

static nx_status take_table(markdown *m, const nx_line *head, const nx_line *rule, size_t *next)
{
    nx_line   row;
    nx_status st = add(m, head->first, rule->end, NX_PART_TABLE_HEAD);

    for (*next = rule->next; !st && nx_line_at(&row, m->text, *next); *next = row.next) {
        if (nx_line_blank(&row) || !memchr(m->text.p + row.first, '|', row.end - row.first)) break;
        st = nx_watch_often(m->watch, m->err);
        if (!st) st = add(m, row.first, row.end, NX_PART_TABLE_ROW);
    }
    return st;
}

/* Does a line end the paragraph before it? */
static bool interrupts(nx_str t, const nx_line *l)
{
    size_t a, b;

    return nx_line_blank(l) || atx(t, l, &a, &b) || fence(t, l) || nx_line_bullet(t, l) ||
           is_rule(t, l);
}

/* A paragraph or an item; or, where a rule stands beneath, a heading. */
static nx_status take_prose(markdown *m, const nx_line *l, size_t *next)
{
    bool    item = nx_line_bullet(m->text, l) != 0;
    size_t  end = l->end;
    nx_line more;

    for (*next = l->next; nx_line_at(&more, m->text, *next); *next = more.next) {
        int32_t level = item || nx_line_blank(&more) ? 0 : setext(m->text, &more);
        if (level && end - l->first < 1000) {
            *next = more.next;
            return add_heading(m, l, more.end, level, l->first, end);
        }
        if (interrupts(m->text, &more)) break;
        end = more.end;
    }
    return add(m, l->first, end, item ? NX_PART_ITEM : NX_PART_PARAGRAPH);
}

static nx_status take_block(markdown *m, const nx_line *l, bool in_list, size_t *next)
{
    size_t  name, name_end, marks = fence(m->text, l);
    int32_t level = atx(m->text, l, &name, &name_end);
    nx_line rule;

    *next = l->next;
    if (marks) return take_fence(m, l, marks, next);
    if (level) return add_heading(m, l, l->end, level, name, name_end);
    if (l->indent > 3 && !in_list && !nx_line_bullet(m->text, l)) return take_indented(m, l, next);
    if (is_rule(m->text, l)) return NX_OK;
    if (memchr(m->text.p + l->first, '|', l->end - l->first) &&
        nx_line_at(&rule, m->text, l->next) && is_table_rule(m->text, &rule))
        return take_table(m, l, &rule, next);
    return take_prose(m, l, next);
}

/* "---", lines, "---" at the very beginning: what the page says of itself. */
static nx_status take_front_matter(markdown *m, size_t *at)
{
    nx_line l, more;
    size_t  begin = *at;

    if (!nx_line_at(&l, m->text, begin) || l.end - l.begin != 3 ||
        memcmp(m->text.p + l.begin, "---", 3) != 0)
        return NX_OK;
    for (size_t next = l.next; nx_line_at(&more, m->text, next); next = more.next) {
        if (next - begin > 65536) return NX_OK;
        if (more.end - more.begin != 3 || memcmp(m->text.p + more.begin, "---", 3) != 0) continue;
        *at = more.next;
        return more.begin > l.next ? add(m, l.next, more.begin, NX_PART_PARAGRAPH) : NX_OK;
    }
    return NX_OK;
}

nx_status nx_extract_markdown(nx_doc *doc, nx_str name, nx_str bytes,
                              const nx_extract_limits *limits, nx_error *err)
{
    nx_watch  watch = nx_watch_start(limits);
    size_t    at;
    nx_status st = nx_text_read(doc, bytes, limits, &at, err);
    markdown  m = {doc, {doc->text.data, doc->text.len}, &watch, err};
    nx_line   l;
    bool      in_list = false;

    (void)name;
    if (!st) st = take_front_matter(&m, &at);
    for (size_t next; !st && nx_line_at(&l, m.text, at); at = next) {
        next = l.next;
        if (nx_line_blank(&l)) continue;
        if (l.indent == 0) in_list = false;
        in_list |= nx_line_bullet(m.text, &l) != 0;
        st = nx_watch_often(&watch, err);
        if (!st) st = take_block(&m, &l, in_list, &next);
    }
    return st;
}
