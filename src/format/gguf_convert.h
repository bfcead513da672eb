/* gguf_convert.h - any checkpoint to a GGUF file, in the types that a recipe says and by llama.cpp's
 * conventions.
 *
 * Idea:   metadata are copied, but for what folders need said (docs/formats/hf-keys.md): rows of q and
 *         k go into the order of pairs, Gemma's norms get their 1, experts are stacked. Tensors pass
 *         through in pieces.
 */
#ifndef NX_FORMAT_GGUF_CONVERT_H
#define NX_FORMAT_GGUF_CONVERT_H

#include "format/gguf_write.h"
#include "format/onload.h"

typedef struct nx_gguf_convert_options {
    nx_recipe             recipe; /* one of ggml's */
    nx_recipe_model       rules;
    nx_pool              *pool;
    const atomic_bool    *cancel;   /* may be NULL */
    nx_recode_progress_fn progress; /* numbers; may be NULL */
    void                 *ctx;
    /* Puts the tokenizer.* keys of a folder, whose metadata have none; NULL: there are none. */
    nx_status (*put_vocab)(void *ctx, nx_gguf_writer *w, nx_error *err);
    void *vocab_ctx;
} nx_gguf_convert_options;

/* Write the file at `out`, whole or not at all. NX_EINVAL: out is cp's own file; NX_EUNSUPPORTED:
 * a type that nobody encodes; NX_EIO, NX_ECANCELLED, NX_ENOMEM. */
nx_status nx_gguf_convert(const nx_checkpoint *cp, const char *out,
                          const nx_gguf_convert_options *opt, nx_error *err);

#endif
