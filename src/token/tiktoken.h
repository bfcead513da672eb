/* tiktoken.h - vocabularies in tiktoken's form: a line for each token, "BASE64 RANK".
 *
 * What merges is told by the ranks alone: two neighbours whose bytes together are a token become it,
 * the smallest rank first. Llama 3's tokenizer.model is such a file; its 256 special tokens stand in
 * no file and are known here.
 */
#ifndef NX_TOKEN_TIKTOKEN_H
#define NX_TOKEN_TIKTOKEN_H

#include "token/vocab.h"

/* Does the file begin so? */
bool nx_tiktoken_is(nx_str bytes);

/* A vocabulary of ranks whose words are cut by pre, a name of pretoken.c ("llama-bpe",
 * "tiktoken-cl100k"); cp (may be NULL) has the files beside, which may name special tokens. bytes
 * need not outlive the call. NX_EFORMAT (with the line), NX_ELIMIT, NX_EUNSUPPORTED, NX_ENOMEM. */
nx_status nx_tiktoken_create(nx_vocab **out, const nx_checkpoint *cp, const char *name,
                             nx_str bytes, const char *pre, nx_error *err);

bool nx_tiktoken_is_vocab(const nx_vocab *v); /* made by nx_tiktoken_create? */

/* The folder's file of that form, or NULL in *name: tokenizer.model (Llama 3's), *.tiktoken by the
 * names that their makers gave them. */
nx_str nx_tiktoken_find(const nx_checkpoint *cp, const char **name, const char **pre);

#endif
