/* html.h - HTML as headings, paragraphs, items, code and rows; for web pages and for the chapters of books.
 *
 * Idea:   libxml2's HTML parser tells of tags and text, and each tag is looked up in one table. The state is flat: a
 *         few counters, and the tables under way; so depth costs nothing, and beyond 8 times limits->depth it is
 *         refused. What nobody sees (script, style, navigation, hidden elements) is left out.
 * Thread: any; one call each.
 */
#ifndef NX_RAG_HTML_H
#define NX_RAG_HTML_H

#include "rag/compose.h"

/* Write what html says into c; its title, too, where c's document has none yet. html: UTF-8 without NUL.
 * The status is c's: NX_ELIMIT, NX_ECANCELLED, NX_ENOMEM. There is no HTML that can't be read. */
nx_status nx_html_compose(nx_compose *c, nx_str html, int32_t depth, nx_watch *watch);

/* Append bytes as UTF-8 without NUL. The encoding is told by the byte order mark, by the page's head, or else it
 * is UTF-8 where all is valid, or windows-1252, as browsers have it; its name goes to encoding. *odd (may be
 * NULL): how many places could not be read. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_html_utf8(nx_buf *out, char encoding[24], nx_str bytes, uint64_t *odd, nx_error *err);

#endif
