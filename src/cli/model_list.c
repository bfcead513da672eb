/* model_list.c - names for models: given, or made of paths. */
#include "cli/model_list.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

typedef struct nx_model_naming {
    char name[256];
    char path[4096]; /* found for one of nx_embed_alias's names, or for a model that ships */
} naming;

/* "Qwen/Qwen3-0.6B" stays; "/models/mini.gguf" is "mini". */
static void name_of(char *out, size_t cap, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = path[0] == '/' || path[0] == '.' ? (slash ? slash + 1 : path) : path;
    size_t      len = strlen(base);

    if (len > 5 && !strcmp(base + len - 5, ".gguf")) {
        base = slash ? slash + 1 : path;
        len = strlen(base) - 5;
    }
    snprintf(out, cap, "%.*s", (int)len, base);
}

static nx_status start(nx_model_list *out, nx_error *err)
{
    *out = (nx_model_list){.naming = nx_calloc(NX_MODELS_MAX, sizeof *out->naming)};
    return out->naming ? NX_OK : nx_fail(err, NX_ENOMEM, "names of models");
}

static nx_status add_given(nx_model_list *l, const char *given, nx_error *err)
{
    naming     *m = &l->naming[l->n];
    const char *eq = strchr(given, '='), *path = eq ? eq + 1 : given;

    if (eq && (eq == given || !eq[1]))
        return nx_fail(err, NX_EINVAL, "--model %s: expected MODEL or NAME=MODEL", given);
    if (eq)
        snprintf(m->name, sizeof m->name, "%.*s", (int)(eq - given), given);
    else
        name_of(m->name, sizeof m->name, given);
    /* fast, balanced, quality: one that isn't there is told before the server starts. */
    if (nx_embed_alias(nx_str_of(path))) {
        nx_status st = nx_embedding_path(&path, m->path, sizeof m->path, path, err);
        if (st) return st;
    }
    l->specs[l->n++] = (nx_model_spec){m->name, path};
    return NX_OK;
}

static nx_status add_shipped(nx_model_list *l, nx_error *err)
{
    naming     *m = &l->naming[l->n];
    const char *path;
    nx_status   st = nx_model_path(&path, m->path, sizeof m->path, NULL, err);

    return st ? st : add_given(l, path, err);
}

nx_status nx_model_list_make(nx_model_list *out, const nx_texts *given, nx_error *err)
{
    nx_status st = start(out, err);

    if (!st && given->n > NX_MODELS_MAX)
        st = nx_fail(err, NX_EINVAL, "--model: at most %d models", NX_MODELS_MAX);
    for (size_t i = 0; !st && i < given->n; i++) st = add_given(out, given->v[i].p, err);
    if (!st && !given->n) st = add_shipped(out, err);
    return st;
}

void nx_model_list_free(nx_model_list *l)
{
    nx_free(l->naming);
    *l = (nx_model_list){0};
}

static bool is_free(const nx_model_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->specs[i].name, name) == 0) return false;
    return true;
}

nx_status nx_model_list_add_embedding(nx_model_list *l, const char *given, nx_error *err)
{
    naming     *m;
    const char *path;
    nx_status   st = l->naming ? NX_OK : start(l, err);

    if (st) return st;
    if (l->n == NX_MODELS_MAX) return nx_fail(err, NX_ELIMIT, "at most %d models", NX_MODELS_MAX);
    m = &l->naming[l->n];
    st = nx_embedding_path(&path, m->path, sizeof m->path, given, err);
    if (st) return st;
    name_of(m->name, sizeof m->name, path);
    if (is_free(l, m->name)) l->specs[l->n++] = (nx_model_spec){m->name, path};
    return NX_OK;
}

void nx_model_list_offer_embedding(nx_model_list *l, const nx_model_opener *opener,
                                   uint64_t bytes_max)
{
    const size_t n = l->n;
    uint64_t     bytes;

    if (nx_model_list_add_embedding(l, NULL, NULL) || l->n == n) return;
    if (opener->plan(opener->ctx, l->specs[n].path, &bytes, NULL) || bytes > bytes_max) l->n = n;
}
