/* doc.h - a document as text: what an extractor makes of a file, and what a chunker reads.
 *
 * Idea:   one text in UTF-8, and parts that say what each part of it is. Where the file is such a text
 *         already, the text is the file, byte for byte, so positions are positions in the file
 *         (NX_ORIGIN_FILE). Elsewhere (PDF, office files, HTML, other encodings) it is an extraction that
 *         is kept beside the source, and positions are positions in that (NX_ORIGIN_TEXT).
 * Owns:   text, parts, words; nx_doc_free.
 * Thread: one at a time.
 */
#ifndef NX_RAG_DOC_H
#define NX_RAG_DOC_H

#include <stdbool.h>

#include "base/buf.h"

typedef enum nx_doc_kind {
    NX_DOC_TEXT,
    NX_DOC_MARKDOWN,
    NX_DOC_CODE,
    NX_DOC_CSV,
    NX_DOC_TSV,
    NX_DOC_JSON,
    NX_DOC_JSONL,
    NX_DOC_ROFF,
    NX_DOC_EMAIL,
    NX_DOC_HTML,
    NX_DOC_DOCX,
    NX_DOC_PPTX,
    NX_DOC_XLSX,
    NX_DOC_ODT,
    NX_DOC_EPUB,
    NX_DOC_PDF,
    NX_DOC_KINDS
} nx_doc_kind;

const char *nx_doc_kind_name(nx_doc_kind kind); /* "markdown" */

typedef enum nx_origin { NX_ORIGIN_FILE, NX_ORIGIN_TEXT } nx_origin;

/* What a page number counts. */
typedef enum nx_place { NX_PLACE_NONE, NX_PLACE_PAGE, NX_PLACE_SLIDE, NX_PLACE_SHEET } nx_place;

const char *nx_place_name(nx_place place); /* "", "page", "slide", "sheet" */

typedef enum nx_part_kind {
    NX_PART_HEADING,
    NX_PART_PARAGRAPH,  /* prose: may be cut between sentences */
    NX_PART_ITEM,       /* of a list */
    NX_PART_CODE,       /* cut between lines */
    NX_PART_TABLE_HEAD, /* given to every chunk of the rows behind it, up to another kind of part */
    NX_PART_TABLE_ROW,
    NX_PART_RECORD, /* one thing by itself, a line of JSONL: not joined with its neighbours' halves */
} nx_part_kind;

/* Parts are in order and don't overlap; what lies between them (markup, blank lines) belongs to none. */
typedef struct nx_part {
    uint64_t     begin, end; /* bytes of text; at the starts of characters */
    nx_part_kind kind;
    int32_t      level;            /* of HEADING: 1 is the highest */
    int32_t      page;             /* from 1; 0: none */
    uint64_t name_begin, name_end; /* of HEADING: its words, without markup, within begin and end */
} nx_part;

typedef struct nx_doc {
    nx_doc_kind kind;
    nx_origin   origin;
    nx_place    place;
    int32_t     n_pages; /* 0: none */
    nx_buf      text;    /* valid UTF-8, without NUL */
    nx_part    *parts;   /* [n_parts], nx_alloc */
    size_t      n_parts, cap_parts;
    nx_buf      title;        /* "" when the document has none */
    nx_buf      warnings;     /* lines for people: "page 3 has no text (scanned?)" */
    char        encoding[24]; /* "utf-8", "windows-1252", ... as it was found */
} nx_doc;

void nx_doc_free(nx_doc *doc); /* zeroed: does nothing */

/* Append a part. NX_ENOMEM; NX_ELIMIT: over NX_PARTS_MAX. */
#define NX_PARTS_MAX ((size_t)4 << 20)
nx_status nx_doc_add_part(nx_doc *doc, nx_part part, nx_error *err);

/* Does it keep what this header promises: UTF-8, parts in order and in bounds, at characters? For tests and
 * after every extractor. NX_EFORMAT says what it doesn't. */
nx_status nx_doc_check(const nx_doc *doc, nx_error *err);

#endif
