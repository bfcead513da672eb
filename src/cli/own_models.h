/* own_models.h - our own model folder, beside the cache of the hub: files that the user put there. */
#ifndef NX_CLI_OWN_MODELS_H
#define NX_CLI_OWN_MODELS_H

#include "format/hub.h"

/* NEXUS_MODELS, else $XDG_DATA_HOME/nexus/models, else ~/.local/share/nexus/models. False: there is
 * no place for one, or its path is longer than cap. */
bool nx_models_folder(char *out, size_t cap);

/* Append what lies right in it, GGUF files and folders. NX_EIO, NX_ENOMEM. */
nx_status nx_own_models_read(nx_hub_models *out, nx_error *err);

/* Remove one of them. NX_ENOENT: not one of ours. */
nx_status nx_own_model_remove(const char *name, uint64_t *freed, nx_error *err);

#endif
