/* wordset.h - the words that weigh in a text, as a set of numbers: to see what two texts have in common.
 *
 * Idea:   words as BM25 has them (no stopwords, stemmed), and besides what words lose: options, paths, versions
 *         ("--no-cache", "/etc/fstab", "2.5") as they are written.
 * Owns:   its numbers; nx_wordset_free. Zero-initialise.
 * Thread: one at a time.
 */
#ifndef NX_RAG_WORDSET_H
#define NX_RAG_WORDSET_H

#include "store/words.h"

typedef struct nx_wordset {
    uint32_t *ids; /* [n] ascending, each once */
    size_t    n, cap;
} nx_wordset;

void nx_wordset_free(nx_wordset *s);

/* Add the words of text. NX_ENOMEM. */
nx_status nx_wordset_read(nx_wordset *s, nx_words *w, nx_str text, nx_error *err);

bool   nx_wordset_has(const nx_wordset *s, uint32_t id);
size_t nx_wordset_common(const nx_wordset *a, const nx_wordset *b);

#endif
