/* chunk.h - a document cut into chunks: spans of its text that fit the embedding model.
 *
 * Idea:   by structure. A chunk gathers whole parts while they fit; a part that doesn't fit is cut between
 *         sentences (prose), lines (code) or rows (tables), then between words, then between characters. A heading
 *         begins a new chunk where the one at work is half full, and never ends one; a rest too small to stand
 *         alone is taken in; overlap is whole sentences or lines, of the same section. What a chunk stands under
 *         (title, heading path, head of its table) is not part of the span, but goes in front of it when it is
 *         embedded, and is counted.
 * Shortened: title, headings and context may fill a third of `size`, so that the span has room. The title is cut
 *         once, to half of that: nx_chunks_title. Then, chunk by chunk, the context is cut or left out, then outer
 *         headings are, then the innermost one is cut. What a chunk names is what was counted: embed exactly
 *         nx_chunk_text(nx_chunks_title, nx_chunk_headings, nx_chunk_context, span).
 * Sizes:  where chunks end is guessed from bytes and then counted, as a whole: a chunk is no more than `size`
 *         tokens (an eighth more where it takes in a document's rest), nor than `limit`. Where it ends depends on
 *         what follows its beginning alone, so an edit changes the chunks near it, not all that come after.
 * Invariants: spans begin and end at characters; spans cover every byte of every part that isn't a blank;
 *         nx_chunk_text of a chunk is never more tokens than `limit`; the next chunk begins after this one
 *         begins and ends after it ends.
 * Owns:   chunks and their texts; nx_chunks_free.
 * Thread: one at a time.
 */
#ifndef NX_RAG_CHUNK_H
#define NX_RAG_CHUNK_H

#include "rag/doc.h"

/* Counts as the embedding model does, with the tokens that it puts around a text. */
typedef struct nx_counter {
    void *ctx;
    /* Tokens of text; NX_ENOMEM. */
    nx_status (*count)(void *ctx, nx_str text, int32_t *n, nx_error *err);
} nx_counter;

typedef enum nx_chunk_unit { NX_CHUNK_TOKENS, NX_CHUNK_CHARS } nx_chunk_unit;

typedef struct nx_chunk_options {
    nx_chunk_unit
        unit; /* CHARS: fixed windows of characters, whatever the structure, as the seed has them */
    int32_t size,
        overlap; /* in that unit; 0, 0: 200 tokens and 30 (or what fits `limit`), 512 characters and 50 */
    int32_t limit; /* tokens that the model takes, those around included; >= 16 */
} nx_chunk_options;

typedef struct nx_chunk {
    uint64_t begin, end;           /* bytes of the document's text */
    uint64_t begin_char, end_char; /* the same in characters */
    int32_t  page, page_end;       /* 0: none */
    int32_t  n_tokens;             /* of nx_chunk_text */
    size_t   headings,
        headings_len; /* in words: the path to all that is in it, parts divided by '\n' */
    size_t context, context_len; /* in words: the head of the table that it is from; mostly "" */
} nx_chunk;

typedef struct nx_chunks {
    nx_chunk *chunks; /* [n], in order */
    size_t    n, cap;
    nx_buf    words;
    size_t    title_len; /* words begins with the title */
} nx_chunks;

void nx_chunks_free(nx_chunks *c);

/* Zeros become what they stand for, and what can't be is refused, as nx_chunks_make does. NX_EINVAL. */
nx_status nx_chunk_options_check(nx_chunk_options *opt, nx_error *err);

/* NX_EINVAL (overlap at or above size, a size under 16 or tokens over the limit), NX_ELIMIT (one character is
 * more than the model takes; too many chunks), NX_ENOMEM, what the counter returns. *out is then empty. A
 * document without parts has no chunks; CHARS cuts its text whatever its parts are. */
nx_status nx_chunks_make(nx_chunks *out, const nx_doc *doc, const nx_chunk_options *opt,
                         const nx_counter *counter, nx_error *err);

/* The document's title as chunks have it: its beginning, mostly all of it; "" where it has none. */
nx_str nx_chunks_title(const nx_chunks *c);
nx_str nx_chunk_headings(const nx_chunks *c, const nx_chunk *chunk);
nx_str nx_chunk_context(const nx_chunks *c, const nx_chunk *chunk);

/* Append what is embedded and what words are taken of: title, headings and context, a line each, then the
 * span. A first heading that says what the title says isn't said twice. NX_ENOMEM. */
nx_status nx_chunk_text(nx_buf *out, nx_str title, nx_str headings, nx_str context, nx_str span,
                        nx_error *err);

/* ---- Sentences; for chunks, and for answers that quote ---- */

/* The end of the sentence that begins at `at` (at < text.len): behind its last mark and quotes, or at a blank
 * line. Knows abbreviations ("e.g.", "Dr."), numbers ("3.14"), names of files. Blanks between sentences belong to
 * none: see nx_sentence_skip. */
size_t nx_sentence_end(nx_str text, size_t at);
size_t nx_sentence_skip(nx_str text, size_t at); /* the first byte from at on that isn't a blank */

#endif
