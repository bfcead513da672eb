/* units.h - what of a passage can be quoted as an answer: sentences, rows, items of lists, lines of code.
 *
 * Idea:   a passage is text as it stands in a file, so lines are read as people read them: a marked line is an item, a
 *         line with bars or tabs a row, a fenced one code; the rest is prose, cut into sentences. Each unit knows
 *         what it stands under: a heading, a question, a line that ends with a colon, the name of an option.
 * Owns:   the list; nx_units_free.
 * Thread: one at a time.
 */
#ifndef NX_RAG_UNITS_H
#define NX_RAG_UNITS_H

#include "base/buf.h"

typedef enum nx_unit_kind {
    NX_UNIT_SENTENCE,
    NX_UNIT_ITEM,
    NX_UNIT_ROW,
    NX_UNIT_CODE
} nx_unit_kind;

typedef struct nx_unit {
    size_t       begin, end;           /* bytes of the passage's text */
    size_t       lead_begin, lead_end; /* what it stands under; empty: nothing in this passage */
    nx_unit_kind kind;
    int32_t      n_words;
    bool         leans; /* begins with "It", "This": the unit before it belongs to it */
} nx_unit;

enum {
    NX_UNITS_MAX = 2000, /* of one passage */
    NX_UNIT_WORDS_MAX =
        60, /* longer ones are cut at a line, or behind a semicolon, a comma, a word */
};

typedef struct nx_units {
    nx_unit *list; /* [n] in the text's order */
    size_t   n, cap;
} nx_units;

void nx_units_free(nx_units *u);

/* NX_ENOMEM. What lies beyond NX_UNITS_MAX is left out. */
nx_status nx_units_read(nx_units *out, nx_str text, nx_error *err);

int32_t nx_count_words(nx_str text); /* runs without blanks */

#endif
