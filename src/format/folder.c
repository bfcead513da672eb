/* folder.c - what a folder, or a file that is no GGUF, holds; and why some of it is refused. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "format/hf.h"
#include "format/printable.h"
#include "os/dir.h"

#define CONVERT                                                                                    \
    "pickle files can run any code when they are read. Convert once with Python: "                 \
    "AutoModelForCausalLM.from_pretrained(...).save_pretrained(DIR, safe_serialization=True)"

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool is_pickle_name(const char *name)
{
    return ends_with(name, ".bin") || ends_with(name, ".pth") || ends_with(name, ".pt") ||
           ends_with(name, ".ckpt") || ends_with(name, ".pkl");
}

bool nx_listing_has(const nx_listing *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->names[i], name) == 0) return true;
    return false;
}

/* Weights, where ".bin" is used for other things as well. */
static bool is_pickled_weights(const char *name)
{
    return is_pickle_name(name) && strcmp(name, "training_args.bin") != 0;
}

/* A part of a split set other than its first: -00002-of-00003.gguf. */
static bool is_later_part(const char *name)
{
    size_t n = strlen(name);

    if (n < 20 || strncmp(name + n - 14, "-of-", 4) != 0) return false;
    return strncmp(name + n - 20, "-00001", 6) != 0;
}

static bool is_gguf_model(const char *name)
{
    return ends_with(name, ".gguf") && !is_later_part(name) && strncmp(name, "mmproj", 6) != 0;
}

static nx_status refuse_many(const nx_listing *d, const char *path, nx_error *err)
{
    char   list[240] = "", shown[120], where[160];
    size_t len = 0;

    for (size_t i = 0; i < d->n && len < sizeof list; i++)
        if (is_gguf_model(d->names[i]))
            len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "",
                                    nx_printable(shown, sizeof shown, nx_str_of(d->names[i])));
    return nx_fail(err, NX_EINVAL, "%s: holds several models, expected one. Name the file: %s",
                   nx_printable_path(where, sizeof where, path), list);
}

static nx_status join(char **out, const char *folder, const char *name, nx_error *err)
{
    size_t size = strlen(folder) + strlen(name) + 2;

    *out = nx_alloc(size, 1);
    if (!*out) return nx_fail(err, NX_ENOMEM, "out of memory for a path");
    snprintf(*out, size, "%s/%s", folder, name);
    return NX_OK;
}

static nx_status look_at(char **file, const nx_listing *d, const char *path, nx_error *err)
{
    const char *gguf = NULL, *pickle = NULL;
    int         n_gguf = 0;
    char        shown[160], name[120];

    for (size_t i = 0; i < d->n; i++) {
        if (ends_with(d->names[i], ".safetensors")) return NX_OK;
        if (is_gguf_model(d->names[i]) && n_gguf++ == 0) gguf = d->names[i];
        if (is_pickled_weights(d->names[i]) && !pickle) pickle = d->names[i];
    }
    if (n_gguf > 1) return refuse_many(d, path, err);
    if (gguf) return join(file, path, gguf, err);
    nx_printable_path(shown, sizeof shown, path);
    if (pickle)
        return nx_fail(err, NX_EUNSUPPORTED, "%s: its weights are %s, not safetensors: " CONVERT,
                       shown, nx_printable(name, sizeof name, nx_str_of(pickle)));
    if (nx_listing_has(d, "config.json")) return NX_OK;
    return nx_fail(err, NX_EFORMAT,
                   "%s: no model in this folder: expected config.json with *.safetensors, or one "
                   ".gguf file",
                   shown);
}

nx_status nx_folder_look(char **file, const char *path, nx_error *err)
{
    nx_listing d;
    nx_status  st = nx_dir_list(&d.names, &d.n, path, err);

    *file = NULL;
    if (st) return st;
    st = look_at(file, &d, path, err);
    nx_free(d.names);
    return st;
}

nx_status nx_folder_check_file(const char *path, const unsigned char *data, size_t bytes,
                               nx_error *err)
{
    char shown[160];
    bool zip = bytes >= 4 && memcmp(data, "PK\3\4", 4) == 0;
    bool pickle = bytes >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5;

    /* "tjgg" and its like came before GGUF; gguf_read.c refuses them by name. */
    if (bytes >= 4 && (memcmp(data, "GGUF", 4) == 0 || memcmp(data + 2, "gg", 2) == 0))
        return NX_OK;
    nx_printable_path(shown, sizeof shown, path);
    if (ends_with(path, ".safetensors"))
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%s: weights alone. Name the folder that holds them, with its config.json",
                       shown);
    if (zip || pickle || is_pickle_name(path))
        return nx_fail(err, NX_EUNSUPPORTED, "%s: byte 0: a PyTorch file, not GGUF: " CONVERT,
                       shown);
    return NX_OK;
}
