/* extract_code.c - source code: what stands between blank lines, joined while the next lines are indented, so that a
 * function stays together where it fits. */
#include "rag/extract_in.h"

nx_status nx_extract_code(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_watch  watch = nx_watch_start(limits);
    size_t    begin, end = 0;
    nx_status st = nx_text_read(doc, bytes, limits, &begin, err);
    nx_str    text = {doc->text.data, doc->text.len};
    nx_line   l;
    bool      open = false, gap = false;

    (void)name;
    for (size_t at = begin; !st && nx_line_at(&l, text, at); at = l.next) {
        if (nx_line_blank(&l)) {
            gap = true;
            continue;
        }
        st = nx_watch_often(&watch, err);
        /* Closing brackets belong to what they close. */
        bool starts = gap && l.indent == 0 && text.p[l.first] != '}' && text.p[l.first] != ')';
        if (!st && open && starts) {
            st = nx_doc_add_part(doc, (nx_part){.begin = begin, .end = end, .kind = NX_PART_CODE},
                                 err);
            open = false;
        }
        if (!open) begin = l.begin;
        open = true;
        gap = false;
        end = l.end;
    }
    if (!st && open)
        st = nx_doc_add_part(doc, (nx_part){.begin = begin, .end = end, .kind = NX_PART_CODE}, err);
    return st;
}
