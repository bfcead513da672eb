/* passage_find.h - words of an answer looked for in the text of a passage.
 *
 * Idea:   people and models write a quote with other blanks, other quote marks, another case; what they mean is the
 *         same words. Only the first part of a very long text is looked at (a whole document given as a passage).
 * Thread: any.
 */
#ifndef NX_RAG_PASSAGE_FIND_H
#define NX_RAG_PASSAGE_FIND_H

#include "rag/wordset.h"

/* The part of text that is looked at. */
nx_str nx_passage_scanned(nx_str text);

/* The same bytes somewhere in it. */
bool nx_passage_holds(nx_str text, nx_str bytes);

/* The same words somewhere in it, at the edges of words: [*begin, *end) of text. ASCII case is nothing, a run of
 * blanks is one. */
bool nx_passage_find(nx_str text, nx_str words, size_t *begin, size_t *end);

/* The sentence that holds most of words; all of text when none holds any. NX_ENOMEM. */
nx_status nx_passage_best_sentence(nx_str text, nx_words *w, const nx_wordset *words, size_t *begin,
                                   size_t *end, nx_error *err);

#endif
