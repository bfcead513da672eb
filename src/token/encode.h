/* encode.h - a text of several stretches, some of which may spell control tokens. */
#ifndef NX_TOKEN_ENCODE_H
#define NX_TOKEN_ENCODE_H

#include "token/vocab.h"

/* The stretch of a text from where the one before it ends up to `end`. */
typedef struct nx_span {
    size_t end;
    bool   control; /* control tokens spelled here become their ids */
    bool   fresh;   /* nothing merges across its beginning: what stands before it encodes alike
                        * whatever follows */
} nx_span;

/* Append the ids of text as one text; a special token must lie within one span. Neither bos nor
 * eos. Spans end in ascending order; the last end is the text's length. Errors as in
 * nx_vocab_encode; out then keeps what was in it before. */
nx_status nx_encode_spans(const nx_vocab *v, nx_ids *out, const char *text, const nx_span *spans,
                          size_t n_spans, nx_error *err);

#endif
