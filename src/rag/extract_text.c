/* extract_text.c - plain text: paragraphs between blank lines, items of lists, headings with a line beneath. */
#include <string.h>

#include "rag/extract_in.h"

/* Is the line a rule of one mark, as it stands under a heading: "=====" or "-----"? Its level, or 0. */
static int32_t underline_level(nx_str text, const nx_line *l, size_t heading_len)
{
    size_t n = l->end - l->first;
    char   c = n ? text.p[l->first] : '\0';

    if (n < 3 || n * 2 < heading_len || !strchr("=-~^", c)) return 0;
    for (size_t i = l->first; i < l->end; i++)
        if (text.p[i] != c) return 0;
    return c == '=' ? 1 : c == '-' ? 2 : 3;
}

/* A heading of the line and its rule, if that is what stands there. *next: behind it. */
static nx_status try_heading(nx_doc *doc, nx_str text, const nx_line *l, size_t *next,
                             nx_error *err)
{
    nx_line rule;
    size_t  len = l->end - l->first;
    int32_t level;

    *next = l->begin;
    if (len > 200 || nx_line_bullet(text, l) || !nx_line_at(&rule, text, l->next)) return NX_OK;
    level = underline_level(text, &rule, len);
    if (!level || underline_level(text, l, 0)) return NX_OK;
    *next = rule.next;
    return nx_doc_add_part(doc,
                           (nx_part){.begin = l->first,
                                     .end = rule.end,
                                     .kind = NX_PART_HEADING,
                                     .level = level,
                                     .name_begin = l->first,
                                     .name_end = l->end},
                           err);
}

/* The end of the paragraph or item whose first line is l: before a blank line, the next item, or a heading. */
static size_t prose_end(nx_str text, const nx_line *l, size_t *next)
{
    size_t  end = l->end;
    nx_line more, rule;

    for (*next = l->next; nx_line_at(&more, text, *next); *next = more.next) {
        if (nx_line_blank(&more) || nx_line_bullet(text, &more)) break;
        if (nx_line_at(&rule, text, more.next) && rule.first < rule.end &&
            underline_level(text, &rule, more.end - more.first))
            break;
        end = more.end;
    }
    return end;
}

nx_status nx_text_parts(nx_doc *doc, size_t begin, nx_watch *watch, nx_error *err)
{
    nx_str    text = {doc->text.data, doc->text.len};
    nx_line   l;
    nx_status st = NX_OK;

    for (size_t at = begin, next; !st && nx_line_at(&l, text, at); at = next) {
        next = l.next;
        if (nx_line_blank(&l)) continue;
        st = nx_watch_often(watch, err);
        if (!st) st = try_heading(doc, text, &l, &next, err);
        if (st || next != l.begin) continue;
        nx_part_kind kind = nx_line_bullet(text, &l) ? NX_PART_ITEM : NX_PART_PARAGRAPH;
        size_t       end = prose_end(text, &l, &next);
        st = nx_doc_add_part(doc, (nx_part){.begin = l.first, .end = end, .kind = kind}, err);
    }
    return st;
}

nx_status nx_extract_text(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_watch  watch = nx_watch_start(limits);
    size_t    begin;
    nx_status st = nx_text_read(doc, bytes, limits, &begin, err);

    (void)name;
    return st ? st : nx_text_parts(doc, begin, &watch, err);
}
