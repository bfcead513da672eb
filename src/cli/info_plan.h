/* info_plan.h - `nexus info --plan`: what a model takes, type by type, on this machine and on GPUs. */
#ifndef NX_CLI_INFO_PLAN_H
#define NX_CLI_INFO_PLAN_H

#include "cli/cli.h"
#include "engine/plan.h"

typedef struct nx_info_plan_request {
    const nx_model_opts *m;
    nx_texts             gpus;   /* "16GB"; none: the usual sizes */
    const char          *memory; /* of RAM; NULL: what this machine has left */
    bool                 json;
} nx_info_plan_request;

/* Bytes of "16GB" (10^9), "16GiB" or "16G" (2^30), "512M". NX_EINVAL. */
nx_status nx_parse_bytes(uint64_t *out, const char *text, nx_error *err);

/* Print the plan of cp. Returns the exit code. */
int nx_info_plan(const nx_checkpoint *cp, const nx_info_plan_request *r);

#endif
