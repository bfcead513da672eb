/* words_tables.h - generated: tools/unicode/words.py. */
#ifndef NX_STORE_WORDS_TABLES_H
#define NX_STORE_WORDS_TABLES_H

#include <stddef.h>
#include <stdint.h>

typedef struct nx_words_range {
    uint32_t first, last;
} nx_words_range;

/* Characters that are alphabetic but no letters: ascending. */
extern const nx_words_range nx_words_marks[];
extern const size_t         nx_words_n_marks;

#endif
