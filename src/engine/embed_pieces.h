/* embed_pieces.h - texts as ids, in pieces that a model can take.
 *
 * Thread: one at a time; many lists may be filled from one vocabulary at once.
 */
#ifndef NX_ENGINE_EMBED_PIECES_H
#define NX_ENGINE_EMBED_PIECES_H

#include "engine/embedder.h"

/* A text, or a window of one: ids[at .. at + n). */
typedef struct nx_embed_piece {
    size_t  at;
    int32_t n;
    int32_t weight;   /* tokens of the text itself */
    int32_t n_prompt; /* rows at the beginning that a mean leaves out */
    int32_t text;     /* whose it is, as the caller counts them */
} nx_embed_piece;

/* Zero-initialise; nx_embed_pieces_free. */
typedef struct nx_embed_pieces {
    nx_ids          ids;
    nx_ids          content; /* of the text at work */
    nx_embed_piece *list;
    int32_t         n, cap;
} nx_embed_pieces;

/* Append the pieces of a text, and note what was done with it. Errors as nx_embedder_run's. */
nx_status nx_embed_pieces_add(nx_embed_pieces *p, const nx_embed_spec *spec, const nx_vocab *vocab,
                              int32_t n_vocab, const nx_embed_text *text, int32_t number,
                              const nx_embed_options *opt, nx_embed_note *note, nx_error *err);
void      nx_embed_pieces_free(nx_embed_pieces *p);

/* Tokens of a text, with its prompt and those around it: what one piece of it would have. NX_ENOMEM,
 * what nx_vocab_encode refuses. */
nx_status nx_embed_count(int32_t *n, const nx_embed_spec *spec, const nx_vocab *vocab, nx_str text,
                         nx_input_type type, nx_error *err);

#endif
