/* common_words.h - how common a word is in English at large.
 *
 * Idea:   what a question is after stands in its rare words. How rare they are in a collection can't be seen from a
 *         handful of passages, so a table tells how common they are in general.
 */
#ifndef NX_RAG_COMMON_WORDS_H
#define NX_RAG_COMMON_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* Of a stem by its nx_bm25_id: 0 very common ("use"), 1 common, 2 known, 3 rare, a name, or not English. */
int32_t nx_word_rarity(uint32_t id);

#endif
