/* eval_answers.h - `nexus eval answers`: how well questions are answered from a collection. */
#ifndef NX_CLI_EVAL_ANSWERS_H
#define NX_CLI_EVAL_ANSWERS_H

#include "cli/instance.h"

typedef struct nx_eval_answers {
    const char              *data, *collection, *path;
    const nx_instance_needs *needs;
    bool                     generate, json, misses;
} nx_eval_answers;

/* Asks every question of the file, prints the figures, and returns the exit code. */
int nx_eval_answers_run(const nx_eval_answers *o);

#endif
