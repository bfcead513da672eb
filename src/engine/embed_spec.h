/* embed_spec.h - how a model's rows become one vector: read from its metadata.
 *
 * Thread: any.
 */
#ifndef NX_ENGINE_EMBED_SPEC_H
#define NX_ENGINE_EMBED_SPEC_H

#include "model/model.h"

/* Numbers as in GGUF's pooling_type. */
typedef enum nx_pooling {
    NX_POOLING_MEAN = 1, /* of all rows */
    NX_POOLING_CLS,      /* the first */
    NX_POOLING_LAST,
    NX_POOLING_RANK, /* none: a cross-encoder's head makes a number of a pair (reranker.h) */
} nx_pooling;

/* What a text is for: models that were taught to tell a question from what answers it begin the two
 * differently. */
typedef enum nx_input_type {
    NX_INPUT_PLAIN,
    NX_INPUT_QUERY,
    NX_INPUT_PASSAGE,
    NX_INPUT_TYPES,
} nx_input_type;

typedef struct nx_embed_spec {
    nx_pooling pooling;
    bool       normalise;              /* to unit length */
    bool       pools_prompt;           /* false: the rows of a prompt don't count in a mean */
    bool       lowercase;              /* texts become small before they are cut */
    int32_t    length_max;             /* tokens of one text, with those around it */
    nx_str     prompt[NX_INPUT_TYPES]; /* views into cp; of length 0: none */
} nx_embed_spec;

/* The number that cp says; 0: none that it could be. */
int64_t nx_embed_pooling_of(const nx_checkpoint *cp);

/* Does cp say, or its kind of model, that it embeds? */
bool nx_embed_spec_present(const nx_checkpoint *cp);

/* NX_EUNSUPPORTED: a model that generates and says nothing of pooling, or a way of pooling that isn't
 * ours; NX_EFORMAT names a key. */
nx_status nx_embed_spec_read(nx_embed_spec *out, const nx_checkpoint *cp, const nx_model *m,
                             nx_error *err);

/* Names that stood for three models on the Hub in the platform before us: "fast" gives
 * "sentence-transformers/all-MiniLM-L6-v2"; NULL for every other name. */
const char *nx_embed_alias(nx_str name);

/* "mean" */
const char *nx_pooling_name(nx_pooling pooling);

#endif
