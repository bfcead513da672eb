/* doc.c - what all extractors and their readers share: names, parts, promises kept. */
#include "rag/doc.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

const char *nx_doc_kind_name(nx_doc_kind kind)
{
    static const char *const names[NX_DOC_KINDS] = {
        "text",  "markdown", "code", "csv",  "tsv",  "json", "jsonl", "roff",
        "email", "html",     "docx", "pptx", "xlsx", "odt",  "epub",  "pdf",
    };

    return (unsigned)kind < NX_DOC_KINDS ? names[kind] : "unknown";
}

const char *nx_place_name(nx_place place)
{
    static const char *const names[] = {"", "page", "slide", "sheet"};

    return (unsigned)place < sizeof names / sizeof *names ? names[place] : "";
}

void nx_doc_free(nx_doc *doc)
{
    nx_buf_free(&doc->text);
    nx_buf_free(&doc->title);
    nx_buf_free(&doc->warnings);
    nx_free(doc->parts);
    *doc = (nx_doc){0};
}

nx_status nx_doc_add_part(nx_doc *doc, nx_part part, nx_error *err)
{
    if (doc->n_parts == doc->cap_parts) {
        size_t   cap = doc->cap_parts ? doc->cap_parts * 2 : 64;
        nx_part *parts;

        if (doc->n_parts >= NX_PARTS_MAX)
            return nx_fail(err, NX_ELIMIT, "the document has more than %zu parts", NX_PARTS_MAX);
        parts = nx_realloc(doc->parts, cap, sizeof *parts);
        if (!parts) return nx_fail(err, NX_ENOMEM, "no memory for %zu parts", cap);
        doc->parts = parts;
        doc->cap_parts = cap;
    }
    doc->parts[doc->n_parts++] = part;
    return NX_OK;
}

/* Is `at` a place between two characters? */
static bool is_edge(const nx_doc *doc, uint64_t at)
{
    return at == 0 || at == doc->text.len ||
           (at < doc->text.len && ((unsigned char)doc->text.data[at] & 0xC0) != 0x80);
}

static nx_status check_part(const nx_doc *doc, size_t i, uint64_t from, nx_error *err)
{
    const nx_part *p = &doc->parts[i];

    if (p->begin < from || p->end < p->begin || p->end > doc->text.len)
        return nx_fail(err, NX_EFORMAT,
                       "part %zu is bytes %llu to %llu: it begins before %llu or ends after %zu", i,
                       (unsigned long long)p->begin, (unsigned long long)p->end,
                       (unsigned long long)from, doc->text.len);
    if (!is_edge(doc, p->begin) || !is_edge(doc, p->end))
        return nx_fail(err, NX_EFORMAT, "part %zu begins or ends within a character", i);
    if (p->kind != NX_PART_HEADING) return NX_OK;
    if (p->name_begin < p->begin || p->name_end > p->end || p->name_end < p->name_begin ||
        !is_edge(doc, p->name_begin) || !is_edge(doc, p->name_end))
        return nx_fail(err, NX_EFORMAT, "the name of heading %zu lies outside it", i);
    return NX_OK;
}

nx_status nx_doc_check(const nx_doc *doc, nx_error *err)
{
    uint64_t from = 0;

    if (doc->text.len) {
        if (memchr(doc->text.data, '\0', doc->text.len))
            return nx_fail(err, NX_EFORMAT, "the text holds a NUL");
        if (!nx_utf8_valid(doc->text.data, doc->text.len, NULL))
            return nx_fail(err, NX_EFORMAT, "the text is not UTF-8");
    }
    for (size_t i = 0; i < doc->n_parts; i++) {
        nx_status st = check_part(doc, i, from, err);
        if (st) return st;
        from = doc->parts[i].end;
    }
    return NX_OK;
}
