/* extract_in.h - what the extractors share: one function for each kind, lines, encodings. Not for others. */
#ifndef NX_RAG_EXTRACT_IN_H
#define NX_RAG_EXTRACT_IN_H

#include "rag/watch.h"

typedef nx_status (*nx_extract_fn)(nx_doc *doc, nx_str name, nx_str bytes,
                                   const nx_extract_limits *limits, nx_error *err);

#define NX_EXTRACT_DECLARE(kind)                                                                   \
    nx_status nx_extract_##kind(nx_doc *doc, nx_str name, nx_str bytes,                            \
                                const nx_extract_limits *limits, nx_error *err)

NX_EXTRACT_DECLARE(text);
NX_EXTRACT_DECLARE(markdown);
NX_EXTRACT_DECLARE(code);
NX_EXTRACT_DECLARE(csv);
NX_EXTRACT_DECLARE(tsv);
NX_EXTRACT_DECLARE(json);
NX_EXTRACT_DECLARE(jsonl);
NX_EXTRACT_DECLARE(roff);
NX_EXTRACT_DECLARE(email);
NX_EXTRACT_DECLARE(html);
NX_EXTRACT_DECLARE(docx);
NX_EXTRACT_DECLARE(pptx);
NX_EXTRACT_DECLARE(xlsx);
NX_EXTRACT_DECLARE(odt);
NX_EXTRACT_DECLARE(epub);
NX_EXTRACT_DECLARE(pdf);

extern const nx_extract_fn nx_extractors[NX_DOC_KINDS]; /* extract_table.c; NULL: no such */

/* Fill doc's text, origin and encoding from a file of text: as it is where it is UTF-8, else converted, with a
 * warning where places are in no encoding. *begin: behind a byte order mark. NX_EUNSUPPORTED: not a text. */
nx_status nx_text_read(nx_doc *doc, nx_str bytes, const nx_extract_limits *limits, size_t *begin,
                       nx_error *err);

/* A text in a charset that somebody declared, into out. NX_EUNSUPPORTED: an unknown one. */
nx_status nx_text_convert(nx_buf *out, nx_str bytes, const char *charset, uint64_t *n_bad,
                          nx_error *err);

/* What of gzip's is in bytes, under limits. NX_EFORMAT, NX_ELIMIT, NX_ENOMEM. */
nx_status nx_gunzip(nx_buf *out, nx_str bytes, const nx_extract_limits *limits, nx_error *err);

/* ---- Lines ---- */

/* One line of a text: [begin, end) without its end, `next` behind it. */
typedef struct nx_line {
    size_t begin, end, next;
    size_t indent; /* blanks in front; a tab counts to the next multiple of 4 */
    size_t first;  /* where the first byte stands that is no blank; end: a blank line */
} nx_line;

/* The line at `at`; false: the text is over. */
bool nx_line_at(nx_line *out, nx_str text, size_t at);

static inline bool nx_line_blank(const nx_line *l)
{
    return l->first == l->end;
}

/* How long is the mark of a list item ("- ", "12. ") that the line begins with? 0: none. */
size_t nx_line_bullet(nx_str text, const nx_line *l);

/* Parts of prose: paragraphs, items, underlined headings. */
nx_status nx_text_parts(nx_doc *doc, size_t begin, nx_watch *watch, nx_error *err);

#endif
