/* serve_models.h - how `nexus serve` opens its models: the opener that server/models.h asks for.
 *
 * Thread: any; the options don't change.
 */
#ifndef NX_CLI_SERVE_MODELS_H
#define NX_CLI_SERVE_MODELS_H

#include "cli/cli.h"
#include "engine/batch.h"
#include "server/models.h"

typedef struct nx_serve_opts {
    nx_model_opts m; /* model is each one's own */
    int32_t       parallel, queue, slice, draft;
    int32_t       positions;    /* of the cache, for all answers together; 0: as memory allows */
    uint64_t      memory_bytes; /* of all models together */
} nx_serve_opts;

/* o is borrowed. */
nx_model_opener nx_serve_opener(nx_serve_opts *o);

/* What the model at path will take, for the block at the start. */
typedef struct nx_serve_plan {
    uint64_t weights, kv, work;
    int32_t  n_ctx, n_positions, parallel;
    char     kv_type[8];
} nx_serve_plan;

nx_status nx_serve_plan_make(nx_serve_plan *out, const nx_serve_opts *o, const char *path,
                             nx_error *err);

#endif
