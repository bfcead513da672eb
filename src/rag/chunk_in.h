/* chunk_in.h - what the files of the chunker share: chunk.c (chunks, one after the other), chunk_gather.c (where
 * the next one could end), chunk_above.c (what it stands under).
 */
#ifndef NX_RAG_CHUNK_IN_H
#define NX_RAG_CHUNK_IN_H

#include "rag/chunk.h"

/* Guesses are made in sixteenths of a token, so that they stay whole numbers. */
typedef uint64_t nx_guess;

enum { NX_PATH_MAX = 32, NX_NAME_BYTES_MAX = 400, NX_CHUNK_GUESS = 16 };

/* Headings open at a place: parts of the document, outermost first. */
typedef struct nx_path {
    size_t parts[NX_PATH_MAX];
    int    n;
} nx_path;

/* What a chunk stands under, as it was counted; lies in words. */
typedef struct nx_above {
    nx_path path; /* these two made it */
    size_t  head; /* the part of a table's head; SIZE_MAX: none */
    bool    known;
    size_t  headings, headings_len, context, context_len;
    int32_t n; /* tokens of title, headings and context, and of those around any text */
} nx_above;

/* Where the chunker is: the next byte to be taken. */
typedef struct nx_cursor {
    size_t   part;
    uint64_t at;
} nx_cursor;

/* What a chunk could be: from a cursor to end. */
typedef struct nx_gathered {
    uint64_t  begin, end;
    nx_cursor next;      /* behind it, at no blank; part == n_parts: the document's end */
    size_t    last_part; /* the last that it has bytes of */
    nx_guess  guess;
    bool      full; /* it ends because there was no more room, not where a section does */
} nx_gathered;

typedef struct nx_chunker {
    const nx_doc     *doc;
    const nx_counter *counter;
    nx_chunks        *out;
    nx_error         *err;
    nx_chunk_options  opt;    /* as they hold: no zeros */
    nx_guess          one;    /* the guess that stands for one token of this model, usually */
    nx_buf            text;   /* scratch: a text to be counted */
    int32_t           around; /* tokens of an empty text */
    nx_above          above;
    nx_path           open;   /* headings above `opened` */
    size_t            opened; /* parts before this one are in open */
    size_t            table;  /* the head of the table that they end in; SIZE_MAX */
} nx_chunker;

nx_status nx_chunker_count(nx_chunker *m, nx_str text, int32_t *n);

/* ---- chunk_gather.c ---- */

/* What a stretch of text is guessed to be; stops where it is over max, if *used (may be NULL) bytes. At least one
 * for each byte. */
nx_guess nx_guess_of(const char *p, size_t n, nx_guess max, size_t *used);

/* From `from` (at no blank) as much as a guess of room allows; at least one character. */
void nx_gather(const nx_chunker *m, nx_cursor from, nx_guess room, nx_gathered *out);

/* The next byte from c on that is in a part and no blank. */
nx_cursor nx_cursor_skip(const nx_doc *doc, nx_cursor c);

/* Where the chunk after one that ends with `done` begins, so that it repeats at most a guess of `most` of whole
 * sentences or lines: done->next when nothing is to be repeated. */
nx_cursor nx_overlap(const nx_chunker *m, const nx_gathered *done, size_t first_part,
                     nx_guess most);

/* ---- chunk_above.c ---- */

/* The title into words, cut. */
nx_status nx_chunker_title(nx_chunker *m);

/* Enter and leave headings and tables up to that part. */
void nx_chunker_walk(nx_chunker *m, size_t part);

/* What a span of parts [first, last] stands under: m->above. nx_chunker_walk(m, first) went before. */
nx_status nx_chunker_look_above(nx_chunker *m, size_t first, size_t last);

#endif
