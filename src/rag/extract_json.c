/* extract_json.c - JSON as a text: cut at its commas, the outermost first. It isn't parsed, so what is no JSON is a
 * text, too, and nothing recurses.
 */
#include <string.h>

#include "rag/extract_in.h"

#define PIECE 400 /* bytes: items deeper down are joined up to about so many, */
#define LEAST 32  /* the outermost up to so many */

static nx_status add_piece(nx_doc *doc, size_t begin, size_t end, nx_part_kind kind, nx_error *err)
{
    const char *s = doc->text.data;

    while (begin < end && strchr(" \t\r\n", s[begin])) begin++;
    while (end > begin && strchr(" \t\r\n", s[end - 1])) end--;
    if (end == begin) return NX_OK;
    return nx_doc_add_part(doc, (nx_part){.begin = begin, .end = end, .kind = kind}, err);
}

nx_status nx_extract_json(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_watch  watch = nx_watch_start(limits);
    size_t    begin;
    nx_status st = nx_text_read(doc, bytes, limits, &begin, err);
    nx_str    t = {doc->text.data, doc->text.len};
    uint64_t  depth = 0;
    bool      in_text = false;

    (void)name;
    for (size_t at = begin; !st && at < t.len; at++) {
        char c = t.p[at];
        if (in_text) {
            if (c == '\\' && at + 1 < t.len && !(t.p[at + 1] & 0x80)) at++;
            if (c == '"') in_text = false;
            continue;
        }
        if (c == '"') in_text = true;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && depth) depth--;
        if (c != ',' || at - begin < (depth > 1 ? PIECE : LEAST)) continue;
        st = add_piece(doc, begin, at + 1, NX_PART_CODE, err);
        begin = at + 1;
        if (!st) st = nx_watch_often(&watch, err);
    }
    return st ? st : add_piece(doc, begin, t.len, NX_PART_CODE, err);
}

nx_status nx_extract_jsonl(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                           nx_error *err)
{
    nx_watch  watch = nx_watch_start(limits);
    size_t    begin;
    nx_status st = nx_text_read(doc, bytes, limits, &begin, err);
    nx_str    t = {doc->text.data, doc->text.len};
    nx_line   l;

    (void)name;
    for (size_t at = begin; !st && nx_line_at(&l, t, at); at = l.next) {
        st = nx_watch_often(&watch, err);
        if (!st) st = add_piece(doc, l.first, l.end, NX_PART_RECORD, err);
    }
    return st;
}
