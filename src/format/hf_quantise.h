/* hf_quantise.h - from a Hugging Face folder to one whose linear layers are bitsandbytes', as
 * transformers' save_pretrained would write it.
 *
 * Idea:   the folder is read by its own names, not by GGUF's: what isn't quantised is copied byte for
 *         byte. Weights go through in pieces, so a model of any size needs little memory.
 */
#ifndef NX_FORMAT_HF_QUANTISE_H
#define NX_FORMAT_HF_QUANTISE_H

#include "format/onload.h"

typedef struct nx_hf_quantise_options {
    nx_recipe             recipe; /* NF4, NF4_DQ, FP4, INT8 */
    uint64_t              shard_bytes_max;
    nx_pool              *pool;
    const atomic_bool    *cancel;   /* may be NULL */
    nx_recode_progress_fn progress; /* numbers; may be NULL */
    void                 *ctx;
} nx_hf_quantise_options;

/* Write the folder at `out`, which appears whole or not at all: it is written to OUT.partial, and
 * what an earlier run left there is removed. cp: an open folder.
 * NX_EINVAL: out exists, or cp is no folder; NX_EUNSUPPORTED: quantised already; NX_EIO, with the
 * bytes needed and free where the disk is too small; NX_ECANCELLED; NX_ENOMEM. */
nx_status nx_hf_quantise(const nx_checkpoint *cp, const char *out,
                         const nx_hf_quantise_options *opt, nx_error *err);

#endif
