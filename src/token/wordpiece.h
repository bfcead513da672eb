/* wordpiece.h - WordPiece as GGUF's model "bert" stores it: beginnings of words carry a space mark,
 * what goes on inside a word is bare.
 *
 * Texts are cleaned and cut as BertNormalizer and BertPreTokenizer of `tokenizers` do: control
 * characters go, ideographs and punctuation stand alone, accents go and letters become small (unless
 * the vocabulary has capitals). A word takes its longest beginning, again and again; one that can't
 * be spelled so is unknown as a whole.
 */
#ifndef NX_TOKEN_WORDPIECE_H
#define NX_TOKEN_WORDPIECE_H

#include "token/source.h"

/* Errors as nx_vocab_create's; src->scores may be NULL. */
nx_status nx_wordpiece_create(nx_vocab **out, const nx_vocab_source *src, nx_error *err);

#endif
