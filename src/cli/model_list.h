/* model_list.h - which models a server gets: those that were named, or the ones that ship.
 *
 * Owns:   names and paths that were made up for them.
 * Thread: one at a time.
 */
#ifndef NX_CLI_MODEL_LIST_H
#define NX_CLI_MODEL_LIST_H

#include "cli/cli.h"
#include "server/server.h"

typedef struct nx_model_list {
    nx_model_spec           specs[NX_MODELS_MAX]; /* [n]; the first is the default one */
    size_t                  n;
    struct nx_model_naming *naming; /* [NX_MODELS_MAX] what specs point to */
} nx_model_list;

/* [NAME=]MODEL each; a path's name is its file's. None given: the model that ships. NX_EINVAL is a misuse of
 * --model; NX_ENOENT, NX_ENOMEM. The texts given are borrowed. */
nx_status nx_model_list_make(nx_model_list *out, const nx_texts *given, nx_error *err);
void      nx_model_list_free(nx_model_list *l); /* zeroed: does nothing */

/* One more: an embedding model (given NULL: the one that ships). NX_ENOENT, NX_ELIMIT. */
nx_status nx_model_list_add_embedding(nx_model_list *l, const char *given, nx_error *err);

/* The embedding model that ships, where it does, its name is free, and bytes_max could hold it. */
void nx_model_list_offer_embedding(nx_model_list *l, const nx_model_opener *opener,
                                   uint64_t bytes_max);

#endif
