/* compose.h - writes an extraction: text with white space folded, and the parts that it consists of.
 *
 *     nx_compose_part(&c, NX_PART_HEADING, 1);    what follows is a heading,
 *     nx_compose_text(&c, s);                     of these words;
 *     nx_compose_part(&c, NX_PART_PARAGRAPH, 0);  then a paragraph
 *     ...
 *     st = nx_compose_finish(&c);
 *
 * Idea:   a part begins with its first word, so parts without words never are. Blank lines divide parts, single
 *         ones divide rows and items. Whatever comes in, UTF-8 goes out, without control characters, soft
 *         hyphens and marks without width.
 * Errors: kept: after the first one all calls do nothing, and nx_compose_finish tells it. So SAX handlers need no
 *         plumbing; `st` is there for who wants to stop early.
 * Owns:   nothing; writes into doc (origin TEXT).
 * Thread: one at a time.
 */
#ifndef NX_RAG_COMPOSE_H
#define NX_RAG_COMPOSE_H

#include "rag/watch.h"

typedef struct nx_compose {
    nx_doc      *doc;
    nx_error    *err;
    nx_status    st;
    int32_t      page;     /* of the parts that begin from now on */
    nx_part_kind kind;     /* of the part under way, or to come */
    int32_t      level;    /* of a heading */
    bool         open;     /* the part has words; it began at `begin` */
    bool         space;    /* white space is due before the next word */
    bool         verbatim; /* white space stands as it is: CODE */
    size_t       begin;
    int32_t      n_cells; /* of the row under way */
    int32_t      n_gap;   /* cells begun since the last word */
} nx_compose;

/* doc is empty; its text may grow to limits->text_bytes. */
void nx_compose_start(nx_compose *c, nx_doc *doc, nx_doc_kind kind, const nx_extract_limits *limits,
                      nx_error *err);

/* End the part under way; the next words belong to one of this kind. level counts for headings. */
void nx_compose_part(nx_compose *c, nx_part_kind kind, int32_t level);

/* What is under way turns out to be of another kind: a row the head of its table. */
void nx_compose_kind(nx_compose *c, nx_part_kind kind);

void nx_compose_text(nx_compose *c, nx_str s);
void nx_compose_space(nx_compose *c); /* words before and behind are two */
void nx_compose_line(nx_compose *c);  /* a new line within the part */

/* The row under way (a part of kind TABLE_HEAD or TABLE_ROW) goes on with its next cell: "a | b". The first call
 * of a row begins its first cell. Empty cells at a row's end leave no trace, wide gaps a short one. */
void nx_compose_cell(nx_compose *c);

void nx_compose_warn(nx_compose *c, const char *fmt, ...)
    NX_PRINTF(2, 3);                            /* one line, without \n */
void nx_compose_title(nx_compose *c, nx_str s); /* if there is none yet; white space folded */
void nx_compose_title_of_heading(
    nx_compose *c); /* the first one of level 1, if there is no title yet */
void nx_compose_fail(nx_compose *c, nx_status st, const char *fmt, ...) NX_PRINTF(3, 4);

nx_status nx_compose_finish(nx_compose *c);

#endif
