/* extract_rig.h - a document in one line: its parts, each behind a letter for its kind. */
#ifndef NX_TESTS_EXTRACT_RIG_H
#define NX_TESTS_EXTRACT_RIG_H

#include <stdio.h>
#include <string.h>

#include "rag/extract.h"

/* "H1 Title|P text|I item|C code|T head|R row|= record"; or "error: ...". keep (may be NULL): the document. */
static inline const char *rig_parts(const char *name, const char *bytes, size_t n, nx_doc *keep)
{
    static char       out[8192];
    static const char letters[] = "HPICTR=";
    nx_doc            doc;
    nx_error          err = {0};
    size_t            at = 0;

    out[0] = '\0';
    if (keep) *keep = (nx_doc){0};
    if (nx_extract(&doc, nx_str_of(name), NX_STR(""), bytes, n, NULL, &err)) {
        snprintf(out, sizeof out, "error: %s", err.text);
        return out;
    }
    for (size_t i = 0; i < doc.n_parts && at < sizeof out; i++) {
        const nx_part *p = &doc.parts[i];
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%c", i ? "|" : "", letters[p->kind]);
        if (p->kind == NX_PART_HEADING && at < sizeof out)
            at += (size_t)snprintf(out + at, sizeof out - at, "%d", p->level);
        if (at < sizeof out)
            at += (size_t)snprintf(out + at, sizeof out - at, " %.*s", (int)(p->end - p->begin),
                                   doc.text.data + p->begin);
    }
    if (keep)
        *keep = doc;
    else
        nx_doc_free(&doc);
    return out;
}

#define RIG_PARTS(name, text) rig_parts(name, text, sizeof(text) - 1, NULL)

#endif
