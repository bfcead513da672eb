/* opening.c - from the options to an open model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/own_models.h"
#include "engine/embed_spec.h"
#include "engine/plan.h"
#include "format/onload.h"
#include "lib/backends.h"
#include "os/cpu.h"
#include "os/dir.h"
#include "os/file.h"
#include "os/memory.h"

#define SHIPPED           "nexus-mini.gguf"
#define SHIPPED_EMBEDDING "all-minilm-l6-v2.gguf"

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

/* A file that ships: beside the program in a source tree, or as installed. */
static nx_status find_shipped(const char **path, char *out, size_t cap, const char *file,
                              nx_error *err)
{
    static const char *const places[] = {"../../models/", "../share/nexus/models/"};
    char                     folder[3072];

    if (!program_folder(folder, sizeof folder))
        return nx_fail(err, NX_ENOENT,
                       "no model given, and /proc/self/exe doesn't say where to "
                       "look for the one that ships. Name one with -m FILE");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(out, cap, "%s%s%s", folder, places[i], file);
        *path = out;
        if (nx_file_exists(out)) return NX_OK;
    }
    return nx_fail(err, NX_ENOENT,
                   "no model given, and the one that ships (%s) is neither in %s%s nor in "
                   "%s%s. Name one with -m FILE%s",
                   file, folder, places[0], folder, places[1],
                   strcmp(file, SHIPPED) == 0 ? " or NEXUS_MODEL" : "");
}

nx_status nx_model_path(const char **path, char *out, size_t cap, const char *given, nx_error *err)
{
    if (!given) given = getenv("MODEL_NAME"); /* as the Python platform before us called it */
    if (given && !*given) given = NULL;
    *path = given;
    if (given) return by_name(path, out, cap, err);
    return find_shipped(path, out, cap, SHIPPED, err);
}

nx_status nx_embedding_path(const char **path, char *out, size_t cap, const char *given,
                            nx_error *err)
{
    const char *repository = given ? nx_embed_alias(nx_str_of(given)) : NULL;

    if (!given || !*given) return find_shipped(path, out, cap, SHIPPED_EMBEDDING, err);
    *path = repository ? repository : given;
    nx_status st = by_name(path, out, cap, err);
    if (st && repository && strcmp(given, "fast") == 0)
        st = find_shipped(path, out, cap, SHIPPED_EMBEDDING, err);
    return st;
}

nx_status nx_open_checkpoint(nx_checkpoint **out, const char *given, nx_error *err)
{
    char        found[4096];
    const char *path;
    nx_status   st = nx_model_path(&path, found, sizeof found, given, err);

    *out = NULL;
    return st ? st : nx_checkpoint_open(out, path, err);
}

/* ---- Smaller while loading ---- */

static void on_quantised(void *ctx, int64_t done, int64_t total)
{
    nx_progress_at(ctx, done, total);
}

/* A recipe of NX_RECIPE_NONE changes nothing. */
static nx_status quantise(nx_checkpoint *cp, nx_recipe recipe, const nx_model_opts *m,
                          nx_error *err)
{
    nx_recipe_model rules;
    nx_progress     progress;
    nx_pool        *pool = NULL;

    if (recipe == NX_RECIPE_NONE) return NX_OK;
    nx_status st = nx_plan_recipe_model(&rules, cp, err);
    if (!st) st = nx_pool_create(&pool, m->threads ? m->threads : nx_cpu_count(), err);
    if (st) return st;
    if (m->unattended) {
        st = nx_checkpoint_quantise(cp, recipe, &rules, pool, NULL, NULL, NULL, err);
        nx_pool_destroy(pool);
        return st;
    }
    nx_progress_begin(&progress, "quantising", "numbers");
    nx_cli_catch_interrupt();
    st = nx_checkpoint_quantise(cp, recipe, &rules, pool, &nx_cli_cancel, on_quantised, &progress,
                                err);
    nx_cli_release_interrupt();
    nx_progress_end(&progress);
    nx_pool_destroy(pool);
    return st;
}

/* In the first second, before anything is read or taken. */
static nx_status check_memory(const nx_checkpoint *cp, const nx_backend *be, nx_recipe recipe,
                              const nx_model_opts *m, nx_error *err)
{
    nx_plan         plan;
    nx_plan_options opt = {
        .recipe = recipe,
        .kv_dtype = nx_kv_choice(m, cp),
        .n_ctx = m->ctx,
        .n_batch = m->batch ? m->batch : NX_BATCH_DEFAULT,
    };
    nx_status st = nx_plan_make(&plan, cp, be, &opt, err);

    if (st) return st;
    if (!m->no_memory_check) st = nx_plan_check(&plan, cp, be, nx_memory_available(), err);
    nx_plan_free(&plan);
    return st;
}

nx_status nx_parse_recipe(nx_recipe *out, const nx_model_opts *m, nx_error *err)
{
    *out = NX_RECIPE_NONE;
    if (!m->quantize || !m->quantize[0] || strcmp(m->quantize, "none") == 0) return NX_OK;
    nx_status st = nx_recipe_parse(out, m->quantize, err);
    return st ? nx_fail_prefix(err, st, "--quantize") : st;
}

/* LOAD_IN_4BIT, the other name from before: weights that are still floats become nf4. */
static bool wants_4bit(const nx_checkpoint *cp)
{
    const char *v = getenv("LOAD_IN_4BIT");
    bool        any = false;

    if (!v || (strcasecmp(v, "true") && strcasecmp(v, "yes") && strcmp(v, "1"))) return false;
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        if (t->n_dims < 2) continue;
        if (nx_dtype_get(t->dtype)->block_len > 1 || nx_dtype_scales_apart(t->dtype)) return false;
        any = true;
    }
    return any;
}

static nx_precision precision_of(const nx_model_opts *m)
{
    if (m->fine) return NX_PRECISION_FINE;
    return m->exact ? NX_PRECISION_EXACT : NX_PRECISION_CODES;
}

nx_status nx_open_llm(nx_llm **out, const nx_model_opts *m, nx_error *err)
{
    nx_backend    *be = NULL;
    nx_checkpoint *cp = NULL;
    nx_recipe      recipe;
    nx_status      st = nx_parse_recipe(&recipe, m, err);

    *out = NULL;
    if (!st) st = nx_open_checkpoint(&cp, m->model, err);
    if (!st && !m->quantize && wants_4bit(cp)) recipe = NX_RECIPE_NF4;
    if (!st) st = nx_backends_create(&be, m->threads, precision_of(m), err);
    if (!st && nx_checkpoint_n_tensors(cp) > 0) st = check_memory(cp, be, recipe, m, err);
    if (!st) st = quantise(cp, recipe, m, err);
    if (st) {
        nx_checkpoint_close(cp);
        if (be) be->ops->destroy(be);
        return st;
    }
    if (recipe == NX_RECIPE_NONE) nx_checkpoint_willneed(cp);
    return nx_llm_take(out, cp, be, err); /* takes both */
}

/* A folder whose floats are f32, quantised weights beside them or not; or a GGUF file that we wrote in
 * f32, which says so. */
static bool is_stored_in_f32(const nx_checkpoint *cp)
{
    nx_str said = {0};
    bool   any = false; /* a matrix: rope factors are f32 in every folder */

    if (nx_meta_string(cp, "nexus.kv_type", &said, false, NULL) == NX_OK &&
        nx_str_eq(said, NX_STR("f32")))
        return true;
    if (!nx_checkpoint_file(cp, "config.json").p) return false;
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        if (t->dtype != NX_DTYPE_F32 && !nx_dtype_scales_apart(t->dtype)) return false;
        any = any || t->n_dims > 1;
    }
    return any;
}

nx_dtype nx_kv_choice(const nx_model_opts *m, const nx_checkpoint *cp)
{
    static const nx_dtype of_choice[] = {NX_DTYPE_F16, NX_DTYPE_F16, NX_DTYPE_F32, NX_DTYPE_Q8_0};

    if (m->kv_type == 0 && (m->exact || is_stored_in_f32(cp))) return NX_DTYPE_F32;
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
