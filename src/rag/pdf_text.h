/* pdf_text.h - what pdftotext says, as pages and paragraphs.
 *
 * Idea:   pages end with a form feed. Lines of a paragraph are joined: a line goes on where its next word would
 *         not have fitted any more. A word divided at a line's end becomes one. Numbered headings and items of
 *         lists are told apart; all other words stay as they are.
 * Thread: any.
 */
#ifndef NX_RAG_PDF_TEXT_H
#define NX_RAG_PDF_TEXT_H

#include "rag/compose.h"

/* Pages that the text has, by its form feeds. */
int64_t nx_pdf_count_pages(nx_str text);

/* Write text into c, with warnings for pages without words; sets n_pages. NX_EFORMAT: no page has any. What c
 * fails with, NX_ELIMIT (time), NX_ECANCELLED. */
nx_status nx_pdf_text_compose(nx_compose *c, nx_str text, nx_watch *watch);

#endif
