/* ooxml.h - what Word, PowerPoint and Excel files have in common: parts in a zip file that refer to each other.
 *
 * Owns:   the archive and a buffer; nx_ooxml_close. The bytes of the file are borrowed.
 * Thread: one at a time.
 */
#ifndef NX_RAG_OOXML_H
#define NX_RAG_OOXML_H

#include "base/arena.h"
#include "rag/archive.h"
#include "rag/compose.h"
#include "rag/xml.h"

/* The end of the namespace of r:id. */
#define NX_OOXML_RELATIONSHIPS "/relationships"

/* A reference of one part to another. */
typedef struct nx_ooxml_link {
    nx_str id, type, target; /* type: the last word of its URI, "slide"; target: a member's name */
} nx_ooxml_link;

typedef struct nx_ooxml_links {
    nx_ooxml_link *links; /* [n], in an arena */
    size_t         n, cap;
} nx_ooxml_links;

typedef struct nx_ooxml {
    nx_archive              *zip;
    const nx_extract_limits *limits;
    nx_watch                 watch;
    nx_arena                 arena; /* of links and of what else lives as long as the file */
    nx_buf                   part;  /* the last one that was read */
    nx_str                   main;  /* the name of the main part: "word/document.xml" */
    nx_error                *err;
} nx_ooxml;

/* Open the file and find its main part. o is zeroed before. Errors as of nx_archive_open. */
nx_status nx_ooxml_open(nx_ooxml *o, nx_str bytes, const nx_extract_limits *limits, nx_error *err);
void      nx_ooxml_close(nx_ooxml *o);

/* The references of part `from` ("": of the whole file); none where it has no list of them. */
nx_status nx_ooxml_read_links(nx_ooxml *o, nx_ooxml_links *out, nx_str from);
/* The first of that id, or of that type; NULL: none. */
const nx_ooxml_link *nx_ooxml_by_id(const nx_ooxml_links *l, nx_str id);
const nx_ooxml_link *nx_ooxml_by_type(const nx_ooxml_links *l, const char *type);

/* Read a part through h. Missing: NX_ENOENT. */
nx_status nx_ooxml_read(nx_ooxml *o, nx_str name, const nx_xml_handler *h, void *ctx);

/* The title in docProps/core.xml (and of meta.xml in ODF) goes to c, if there is one. */
nx_status nx_ooxml_read_title(nx_ooxml *o, nx_compose *c, nx_str name);

/* A copy in the arena; NULL (o->err says so) without memory. */
bool nx_ooxml_keep(nx_ooxml *o, nx_str *out, nx_str s);

#endif
