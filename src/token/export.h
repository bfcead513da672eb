/* export.h - a vocabulary as GGUF's keys, for whoever writes a GGUF file from a folder. */
#ifndef NX_TOKEN_EXPORT_H
#define NX_TOKEN_EXPORT_H

#include "format/gguf_write.h"
#include "token/vocab.h"

/* Put tokenizer.ggml.* of v into w: model, pre, tokens, token_type, scores or merges, the special
 * ids, add_bos_token, add_eos_token, add_space_prefix. n_rows: rows of the embedding; those that no
 * token has become "[PAD7]", unused. The chat template is not ours to put.
 * From a tokenizer.json: BERT's WordPiece ("bert"), byte-level BPE ("gpt2") whose pattern llama.cpp has a name for, and BPE
 * over space marks ("llama", each token scored by its merge). From a tokenizer.model: SentencePiece's
 * BPE without a normaliser ("llama") and Unigram ("t5"), and ranks in tiktoken's form ("gpt2"). NX_EUNSUPPORTED says what GGUF can't
 * say of others; NX_ENOMEM. Errors of w stay in w. */
nx_status nx_vocab_export(const nx_vocab *v, nx_gguf_writer *w, int64_t n_rows, nx_error *err);

#endif
