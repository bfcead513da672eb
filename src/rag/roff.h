/* roff.h - a manual page being read: roff's requests, the macros of man and mdoc. Inside extract_roff*.c.
 *
 * Idea:   no typesetter: words, headings, items, what stands verbatim. Fonts and sizes leave no trace, conditions are
 *         decided as a terminal would (n), names of characters and strings become what they stand for. A macro that
 *         nobody knows gives its words.
 * Source: groff_man(7), groff_char(7), mdoc(7), tbl(1); pod2man's preamble.
 */
#ifndef NX_RAG_ROFF_H
#define NX_RAG_ROFF_H

#include "rag/compose.h"
#include "rag/extract_in.h"

enum { NX_ROFF_ARGS = 64, NX_ROFF_STRINGS = 128, NX_ROFF_LISTS = 32 };

typedef struct nx_roff_string {
    char   name[16];
    nx_buf value;
} nx_roff_string;

typedef struct nx_roff {
    nx_compose     c;
    nx_str         in;
    size_t         at;
    nx_watch       watch;
    nx_error      *err;
    nx_buf         line;  /* the logical line under way, as it stands in the file */
    nx_buf         words; /* decoded */
    nx_roff_string strings[NX_ROFF_STRINGS];
    int32_t        n_strings;
    bool           nofill;
    bool           was_true;               /* the last .ie; for .el */
    bool           heading_next, tag_next; /* the next words are a heading's, an item's tag */
    int32_t        heading_level;
    int32_t        blocks; /* open \{ of conditions that hold */
    /* mdoc */
    bool    mdoc, no_space; /* Ns */
    char    name[128];      /* Nm */
    char    lists[NX_ROFF_LISTS];
    int32_t n_lists;
} nx_roff;

/* One control line: its name and its arguments, quotes undone, escapes not. */
typedef struct nx_roff_call {
    char   name[16];
    nx_str args[NX_ROFF_ARGS]; /* views into the line */
    int    n;
    nx_str rest; /* all behind the name */
} nx_roff_call;

/* Decode escapes of s into r->words (cleared first). */
nx_str nx_roff_decode(nx_roff *r, nx_str s);

/* The character of that name ("em", "aq", "u00E9"): UTF-8; "" unknown. out[8]. */
const char *nx_roff_char(char out[8], nx_str name);

/* Decode s and write it as words. */
void nx_roff_write(nx_roff *r, nx_str s);

/* Split a line's rest into arguments. */
void nx_roff_split(nx_roff_call *call, nx_str rest);

void nx_roff_verbatim(nx_roff *r, bool on);

/* Does mdoc know the macro? Then it is done. */
bool nx_roff_mdoc(nx_roff *r, const nx_roff_call *call);

/* A table, up to .TE. */
void nx_roff_table(nx_roff *r);
bool nx_roff_next_line(nx_roff *r); /* into r->line */

void   nx_roff_set_string(nx_roff *r, nx_str name, nx_str value, bool append);
nx_str nx_roff_get_string(const nx_roff *r, nx_str name);

#endif
