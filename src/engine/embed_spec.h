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

/* Does cp say, or its kind of model, that it embeds? */
bool nx_embed_spec_present(const nx_checkpoint *cp);

/* NX_EUNSUPPORTED: a model that generates and says nothing of pooling, or a way of pooling that isn't
 * ours; NX_EFORMAT names a key. */
nx_status nx_embed_spec_read(nx_embed_spec *out, const nx_checkpoint *cp, const nx_model *m,
                             nx_error *err);

/* "mean" */
const char *nx_pooling_name(nx_pooling pooling);

#endif
