/* extract.h - the text of a file, whatever kind of file it is.
 *
 *     nx_doc doc = {0};
 *     nx_extract(&doc, NX_STR("notes.md"), bytes, n, &limits, &err);
 *     ... doc.text, doc.parts ...
 *     nx_doc_free(&doc);
 *
 * The kind is found by the bytes first, then by the name's end. Every kind has one file extract_KIND.c.
 * Errors: NX_EUNSUPPORTED (no kind that we know, or a program that is missing: which, and how to get it),
 * NX_EFORMAT (damaged: what and where), NX_ELIMIT (which limit, what was found), NX_ECANCELLED, NX_ENOMEM.
 * *out is then empty.
 * Thread: any; one call each.
 */
#ifndef NX_RAG_EXTRACT_H
#define NX_RAG_EXTRACT_H

#include <stdatomic.h>

#include "rag/doc.h"

typedef struct nx_extract_limits {
    uint64_t           file_bytes; /* of the file */
    uint64_t           text_bytes; /* of what is made of it, or of one archive member */
    uint32_t           ratio;      /* unpacked to packed, of archives and gzip, beyond 1 MiB */
    int32_t            depth;      /* of nested markup */
    int32_t            pages;      /* pages, slides, sheets */
    int32_t            seconds;    /* of one file */
    int32_t            members;    /* files of an archive */
    const atomic_bool *cancel;     /* may be NULL */
} nx_extract_limits;

void nx_extract_limits_default(
    nx_extract_limits *l); /* 64 MiB, 64 MiB, 200, 512, 5000, 60, 10000 */

/* name: a file's name or path, or a URL: only its end counts. type: a media type that somebody said it has
 * ("text/html"), or empty; it decides only where bytes and name don't. */
nx_status nx_extract(nx_doc *out, nx_str name, nx_str type, const void *bytes, size_t n,
                     const nx_extract_limits *limits, nx_error *err);

/* Does a name alone say that there is no use in reading it (".png", ".o")? For walking folders. */
bool nx_extract_hopeless(nx_str name);

#endif
