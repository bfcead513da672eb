/* own_models.c - our own model folder, beside the cache of the hub: files that the user put there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "cli/own_models.h"
#include "os/dir.h"
#include "os/file.h"

bool nx_models_folder(char *out, size_t cap)
{
    const char *own = getenv("NEXUS_MODELS"), *xdg = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    int n = -1;

    if (own && *own)
        n = snprintf(out, cap, "%s", own);
    else if (xdg && *xdg)
        n = snprintf(out, cap, "%s/nexus/models", xdg);
    else if (home && *home)
        n = snprintf(out, cap, "%s/.local/share/nexus/models", home);
    return n > 0 && (size_t)n < cap;
}

/* Bytes of a file, or of the files right in a folder. */
static uint64_t bytes_of(const char *path)
{
    struct stat s;
    char      **names = NULL, below[NX_HUB_PATH_MAX];
    size_t      n = 0;
    uint64_t    sum = 0;

    if (stat(path, &s) != 0) return 0;
    if (!S_ISDIR(s.st_mode)) return (uint64_t)s.st_size;
    if (nx_dir_list(&names, &n, path, NULL)) return 0;
    for (size_t i = 0; i < n; i++) {
        if (!nx_path_write(below, sizeof below, "%s/%s", path, names[i])) continue;
        if (stat(below, &s) == 0 && S_ISREG(s.st_mode)) sum += (uint64_t)s.st_size;
    }
    nx_free(names);
    return sum;
}

nx_status nx_own_models_read(nx_hub_models *out, nx_error *err)
{
    char   folder[2048];
    char **names;
    size_t n;

    if (!nx_models_folder(folder, sizeof folder)) return NX_OK;
    nx_status st = nx_dir_list(&names, &n, folder, err);

    for (size_t i = 0; !st && i < n; i++) {
        char        path[NX_HUB_PATH_MAX];
        struct stat s;
        if (!nx_path_write(path, sizeof path, "%s/%s", folder, names[i])) continue;
        bool dir = nx_dir_exists(path);
        if ((!dir && !nx_hub_is_gguf(names[i])) || stat(path, &s) != 0) continue;
        nx_str       q = dir ? (nx_str){"", 0} : nx_hub_quant_of(names[i]);
        nx_hub_model m = {.name = nx_arena_strndup(&out->arena, names[i], strlen(names[i])),
                          .revision = "",
                          .refs = "",
                          .variants = nx_arena_strndup(&out->arena, q.len ? q.p : "", q.len),
                          .format = dir ? "folder" : "GGUF",
                          .bytes = bytes_of(path),
                          .used_unix = s.st_atime > s.st_mtime ? s.st_atime : s.st_mtime};
        void        *grown = nx_realloc(out->v, out->n + 1, sizeof *out->v);
        if (grown) out->v = grown;
        if (!grown || !m.name || !m.variants) {
            st = nx_fail(err, NX_ENOMEM, "list of models");
            break;
        }
        out->v[out->n++] = m;
        out->cap = out->n;
        out->bytes += m.bytes;
    }
    nx_free(names);
    return st;
}

nx_status nx_own_model_remove(const char *name, uint64_t *freed, nx_error *err)
{
    char folder[2048], path[NX_HUB_PATH_MAX];

    if (strchr(name, '/') || *name == '.' || !nx_models_folder(folder, sizeof folder) ||
        !nx_path_write(path, sizeof path, "%s/%s", folder, name) ||
        (!nx_file_exists(path) && !nx_dir_exists(path)))
        return nx_fail(err, NX_ENOENT, "%s is not in the model folder", name);
    *freed = bytes_of(path);
    return nx_dir_remove_all(path, err);
}
