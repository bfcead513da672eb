/* opening.c - from the options to an open model. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/own_models.h"
#include "lib/backends.h"
#include "os/dir.h"
#include "os/file.h"

#define SHIPPED "nexus-mini.gguf"

/* The folder of the running program, with a slash at its end. */
static bool program_folder(char *out, size_t cap)
{
    ssize_t n = readlink("/proc/self/exe", out, cap - 1);

    if (n <= 0) return false;
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (!slash) return false;
    slash[1] = '\0';
    return true;
}

/* A model by name: in our own folder, else in the Hugging Face cache. What is there as a path wins;
 * a path that isn't there stays one, so that its own error tells. */
static nx_status by_name(const char **path, char *out, size_t cap, nx_error *err)
{
    char        folder[2048], found[NX_HUB_PATH_MAX];
    nx_hub      hub;
    nx_hub_name name;

    if (nx_file_exists(*path) || nx_dir_exists(*path)) return NX_OK;
    if (!strchr(*path, '/') && nx_models_folder(folder, sizeof folder) &&
        nx_path_write(out, cap, "%s/%s", folder, *path) &&
        (nx_file_exists(out) || nx_dir_exists(out))) {
        *path = out;
        return NX_OK;
    }
    if (!nx_hub_name_likely(*path)) return NX_OK;
    nx_status st = nx_hub_name_parse(&name, *path, err);
    if (!st) st = nx_hub_open(&hub, err);
    if (!st) st = nx_hub_locate(found, &hub, &name, err);
    if (st) return st;
    if (!nx_path_write(out, cap, "%s", found))
        return nx_fail(err, NX_ELIMIT, "%s: path too long", found);
    *path = out;
    return NX_OK;
}

nx_status nx_model_path(const char **path, char *out, size_t cap, const char *given, nx_error *err)
{
    static const char *const places[] = {"../../models/", "../share/nexus/models/"};
    char                     folder[3072];

    *path = given;
    if (given) return by_name(path, out, cap, err);
    if (!program_folder(folder, sizeof folder))
        return nx_fail(err, NX_ENOENT,
                       "no model given, and /proc/self/exe doesn't say where to "
                       "look for the one that ships. Name one with -m FILE");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(out, cap, "%s%s%s", folder, places[i], SHIPPED);
        *path = out;
        if (nx_file_exists(out)) return NX_OK;
    }
    return nx_fail(err, NX_ENOENT,
                   "no model given, and the one that ships (" SHIPPED ") is neither in %s%s nor in "
                   "%s%s. Name one with -m FILE or NEXUS_MODEL",
                   folder, places[0], folder, places[1]);
}

nx_status nx_open_checkpoint(nx_checkpoint **out, const char *given, nx_error *err)
{
    char        found[4096];
    const char *path;
    nx_status   st = nx_model_path(&path, found, sizeof found, given, err);

    *out = NULL;
    return st ? st : nx_checkpoint_open(out, path, err);
}

nx_status nx_open_llm(nx_llm **out, const nx_model_opts *m, nx_error *err)
{
    char        found[4096];
    const char *path;
    nx_backend *be = NULL;
    nx_status   st = nx_model_path(&path, found, sizeof found, m->model, err);

    *out = NULL;
    if (!st) st = nx_backends_create(&be, m->threads, m->exact, err);
    return st ? st : nx_llm_open(out, path, be, err); /* takes be */
}

static bool is_f32_folder(const nx_checkpoint *cp)
{
    if (!nx_checkpoint_file(cp, "config.json").p) return false;
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++)
        if (nx_checkpoint_tensor_at(cp, i)->dtype != NX_DTYPE_F32) return false;
    return true;
}

nx_dtype nx_kv_choice(const nx_model_opts *m, const nx_checkpoint *cp)
{
    static const nx_dtype of_choice[] = {NX_DTYPE_F16, NX_DTYPE_F16, NX_DTYPE_F32, NX_DTYPE_Q8_0};

    if (m->kv_type == 0 && (m->exact || is_f32_folder(cp))) return NX_DTYPE_F32;
    return of_choice[m->kv_type];
}

nx_status nx_open_timeline(nx_timeline **out, const nx_llm *llm, const nx_model_opts *m,
                           nx_error *err)
{
    const nx_timeline_options opt = {
        .n_ctx = m->ctx,
        .n_batch = m->batch,
        .kv_dtype = nx_kv_choice(m, llm->cp),
        .cancel = &nx_cli_cancel,
    };

    return nx_timeline_create(out, llm, &opt, err);
}
