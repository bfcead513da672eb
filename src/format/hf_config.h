/* hf_config.h - a config.json in GGUF's words (docs/formats/hf-keys.md).
 *
 * Idea:   the metadata are written as a GGUF file without tensors, into memory, which
 *         gguf_read.h then reads like any other. So everything above sees one kind of metadata.
 * Owns:   that file's bytes, the factors of scaled rope, and where each key came from.
 * Thread: any, once read.
 */
#ifndef NX_FORMAT_HF_CONFIG_H
#define NX_FORMAT_HF_CONFIG_H

#include "base/arena.h"
#include "base/jsonread.h"
#include "format/hf_arch.h"

#define NX_HF_KEY_MAX 96

/* Which field a key was made from, for messages. */
typedef struct nx_hf_origin {
    char        key[NX_HF_KEY_MAX]; /* "llama.block_count" */
    const char *field;              /* "num_hidden_layers": a literal, or in the arena */
    uint32_t    line;               /* of config.json; 0: not there, a default */
} nx_hf_origin;

/* One tensor that config.json holds as numbers: rope_freqs.weight and its like. */
typedef struct nx_hf_factors {
    const char *name; /* the GGUF tensor's; NULL: not there */
    float      *values;
    int32_t     n;
} nx_hf_factors;

typedef enum nx_hf_quant { NX_HF_QUANT_NONE, NX_HF_QUANT_BNB4, NX_HF_QUANT_BNB8 } nx_hf_quant;

/* Zero-initialise. */
typedef struct nx_hf_config {
    const nx_hf_arch *arch;
    nx_buf            gguf; /* the metadata as a GGUF file */
    nx_hf_origin     *origins;
    int32_t           n_origins, origins_cap;
    nx_hf_factors     factors[2];
    int32_t           n_layers, n_heads, head_dim; /* checked: 1 to some thousands */
    int32_t           position0; /* the row of position 0 in the table of positions */
    bool              head_tied, ranks;
    nx_hf_quant       quant;
    float             int8_threshold; /* of LLM.int8's outliers */
    nx_arena          arena;
} nx_hf_config;

/* What other files tell and config.json doesn't. */
typedef struct nx_hf_facts {
    const char                  *model_name; /* general.name */
    const struct nx_hf_sentence *sentence;   /* of sentence-transformers; may be NULL */
} nx_hf_facts;

/* Translate. root is the parsed config.json, file its path in messages. NX_EUNSUPPORTED names an
 * unknown model_type (with those known) or a feature; NX_EFORMAT the field with expected and
 * found; NX_ENOMEM. On an error c may be half filled: nx_hf_config_free it in every case. */
nx_status nx_hf_config_read(nx_hf_config *c, const char *file, const nx_json *root,
                            const nx_hf_facts *facts, nx_error *err);
/* Does it name a class for sequence classification: a cross-encoder? */
bool nx_hf_config_ranks(const nx_json *root);
void nx_hf_config_free(nx_hf_config *c);

const nx_hf_origin *nx_hf_config_origin(const nx_hf_config *c, const char *key); /* or NULL */

#endif
