/* hub_select.c - of all the files in a repository, the ones that a model needs.
 *
 * Idea: GGUF files each are a model; of safetensors, config and tokenizer files all together are
 *       one. Never pickles: they can run code when they are opened.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "format/hub.h"

/* What :Q... is when nothing is said: the usual middle between size and quality. */
#define DEFAULT_QUANT "Q4_K_M"

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);

    return n >= k && strcasecmp(s + n - k, end) == 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- GGUF ---- */

bool nx_hub_is_gguf(const char *path)
{
    const char *name = base_name(path);

    return ends_with(name, ".gguf") && strncasecmp(name, "mmproj", 6) != 0;
}

/* Where "-00001-of-00003.gguf" begins, or NULL. */
static const char *split_tail(const char *path)
{
    static const char shape[] = "-ddddd-of-ddddd.gguf";
    size_t            n = strlen(path), k = sizeof shape - 1;

    if (n <= k) return NULL;
    const char *tail = path + n - k;
    for (size_t i = 0; i < k; i++) {
        if (shape[i] == 'd' && i < 15 ? tail[i] < '0' || tail[i] > '9' : tail[i] != shape[i])
            return NULL;
    }
    return tail;
}

int nx_hub_split_part(const char *path)
{
    const char *tail = split_tail(path);
    int         part = 0;

    for (int i = 1; tail && i <= 5; i++) part = part * 10 + (tail[i] - '0');
    return part;
}

static bool is_separator(char c)
{
    return c == '-' || c == '.' || c == '/' || c == '\0';
}

/* "Q4_K_M", "IQ2_XXS", "F16", "BF16", "MXFP4", "TQ1_0": how such parts begin. */
static bool begins_like_quant(const char *p, size_t len)
{
    char c = len > 1 ? p[1] : '\0', d = len > 2 ? p[2] : '\0', e = len > 3 ? p[3] : '\0';

    if ((*p | 32) == 'q' || (*p | 32) == 'f') return c >= '0' && c <= '9';
    if (((*p | 32) == 'i' || (*p | 32) == 't') && (c | 32) == 'q') return d >= '0' && d <= '9';
    if ((*p | 32) == 'b' && (c | 32) == 'f') return d >= '0' && d <= '9';
    return len > 4 && (*p | 32) == 'm' && (c | 32) == 'x' && (d | 32) == 'f' && (e | 32) == 'p';
}

nx_str nx_hub_quant_of(const char *path)
{
    const char *name = base_name(path), *tail = split_tail(name);
    const char *end = tail ? tail : name + strlen(name) - (ends_with(name, ".gguf") ? 5 : 0);
    nx_str      found = {NULL, 0};

    for (const char *p = name; p < end;) { /* the last such part: "Q" may begin other words */
        const char *q = p;
        while (q < end && !is_separator(*q)) q++;
        if (q > p && begins_like_quant(p, (size_t)(q - p))) found = (nx_str){p, (size_t)(q - p)};
        p = q + 1;
    }
    return found;
}

bool nx_hub_picks(const char *pick, const char *path)
{
    nx_str quant = nx_hub_quant_of(path);
    size_t n = strlen(pick);

    if (!nx_hub_is_gguf(path)) return false;
    if (strcasecmp(pick, path) == 0 || strcasecmp(pick, base_name(path)) == 0) return true;
    return quant.len == n && strncasecmp(quant.p, pick, n) == 0;
}

/* Do two paths name parts of one split set (or the same file)? */
static bool same_set(const char *a, const char *b)
{
    const char *ta = split_tail(a), *tb = split_tail(b);

    if (!ta || !tb) return strcmp(a, b) == 0;
    return ta - a == tb - b && strncmp(a, b, (size_t)(ta - a)) == 0 && strcmp(ta + 6, tb + 6) == 0;
}

/* ---- Moving the chosen to the front ---- */

static void choose(nx_hub_tree *t, size_t *n, size_t i)
{
    nx_hub_file f = t->files[i];

    t->files[i] = t->files[*n];
    t->files[(*n)++] = f;
}

static void choose_set(nx_hub_tree *t, size_t *n, const char *path)
{
    for (size_t i = *n; i < t->n; i++)
        if (same_set(t->files[i].path, path)) choose(t, n, i);
}

/* "Q4_K_M, Q8_0 and 3 more", each once. */
static void list_variants(const nx_hub_tree *t, char *out, size_t cap)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < t->n; i++) {
        const char *path = t->files[i].path;
        nx_str      q = nx_hub_quant_of(path);
        if (!nx_hub_is_gguf(path) || nx_hub_split_part(path) > 1) continue;
        if (q.len == 0) q = nx_str_of(path);
        if (len + q.len + 8 > cap) {
            snprintf(out + len, cap - len, ", ...");
            return;
        }
        len += (size_t)snprintf(out + len, cap - len, "%s%.*s", len ? ", " : "", (int)q.len, q.p);
    }
}

static nx_status no_such_pick(const nx_hub_tree *t, const char *pick, nx_error *err)
{
    char have[320];

    list_variants(t, have, sizeof have);
    if (!have[0])
        return nx_fail(err, NX_ENOENT, ":%s chooses among GGUF files, and there are none here",
                       pick);
    return nx_fail(err, NX_ENOENT, "no GGUF file \"%s\"; there are: %s", pick, have);
}

static nx_status pick_gguf(nx_hub_tree *t, size_t *n, const char *pick, nx_error *err)
{
    const char *first = NULL;

    for (size_t i = 0; i < t->n; i++) {
        const char *path = t->files[i].path;
        if (!nx_hub_picks(pick, path)) continue;
        if (first && !same_set(first, path))
            return nx_fail(err, NX_ENOENT, ":%s could be %s or %s: name the file", pick, first,
                           path);
        if (!first) first = path;
    }
    if (!first) return no_such_pick(t, pick, err);
    choose_set(t, n, first);
    return NX_OK;
}

static nx_status default_gguf(nx_hub_tree *t, size_t *n, nx_error *err)
{
    const char *only = NULL;
    char        have[320];
    bool        several = false;

    for (size_t i = 0; i < t->n; i++) {
        const char *path = t->files[i].path;
        if (!nx_hub_is_gguf(path)) continue;
        if (nx_hub_picks(DEFAULT_QUANT, path)) return pick_gguf(t, n, DEFAULT_QUANT, err);
        if (only && !same_set(only, path)) several = true;
        only = path;
    }
    if (!several) {
        choose_set(t, n, only);
        return NX_OK;
    }
    list_variants(t, have, sizeof have);
    return nx_fail(err, NX_ENOENT, "several models: choose one with :NAME. There are: %s", have);
}

/* ---- Safetensors ---- */

static bool is_weights(const char *path)
{
    return !strchr(path, '/') && ends_with(path, ".safetensors") &&
           strncmp(path, "consolidated", 12) != 0; /* Mistral's second copy */
}

/* "model.safetensors", "model-00001-of-00002.safetensors": what the index speaks of. */
static bool is_usual_weights(const char *path)
{
    return strcmp(path, "model.safetensors") == 0 ||
           (strncmp(path, "model-0", 7) == 0 && ends_with(path, ".safetensors"));
}

/* "1_Pooling/config.json" of sentence-transformers. */
static bool is_module(const char *path)
{
    const char *slash = strchr(path, '/');

    return path[0] >= '0' && path[0] <= '9' && slash && strcmp(slash, "/config.json") == 0;
}

static bool is_companion(const char *path)
{
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "vocab.txt",
                                        "merges.txt",
                                        "chat_template.json",
                                        "chat_template.jinja",
                                        "model.safetensors.index.json",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json",
                                        "LICENSE",
                                        "LICENSE.txt",
                                        "LICENSE.md",
                                        NULL};

    for (const char *const *name = names; *name; name++)
        if (strcmp(path, *name) == 0) return true;
    return (!strchr(path, '/') && ends_with(path, ".tiktoken")) || is_module(path) ||
           (strncmp(path, "additional_chat_templates/", 26) == 0 && ends_with(path, ".jinja"));
}

static void choose_folder(nx_hub_tree *t, size_t *n)
{
    bool usual = false;

    for (size_t i = 0; i < t->n; i++) usual = usual || is_usual_weights(t->files[i].path);
    for (size_t i = 0; i < t->n; i++) {
        const char *path = t->files[i].path;
        if (is_companion(path) || (usual ? is_usual_weights(path) : is_weights(path)))
            choose(t, n, i);
    }
}

static bool is_pickle(const char *path)
{
    static const char *const ends[] = {".bin", ".pth", ".pt", ".pkl", ".ckpt", NULL};

    for (const char *const *e = ends; *e; e++)
        if (ends_with(path, *e)) return true;
    return false;
}

nx_status nx_hub_select(nx_hub_tree *t, size_t *n, const char *pick, nx_error *err)
{
    size_t gguf = 0, weights = 0, pickles = 0;

    *n = 0;
    if (*pick) return pick_gguf(t, n, pick, err);
    for (size_t i = 0; i < t->n; i++) {
        gguf += nx_hub_is_gguf(t->files[i].path);
        weights += is_weights(t->files[i].path);
        pickles += is_pickle(t->files[i].path);
    }
    if (weights) {
        choose_folder(t, n);
        return NX_OK;
    }
    if (gguf) return default_gguf(t, n, err);
    if (pickles)
        return nx_fail(
            err, NX_EUNSUPPORTED,
            "its weights are pickle files only (.bin, .pth): those can run any code when "
            "they are opened, so they are not loaded. Look for a repository with "
            "safetensors or GGUF, or convert it with save_pretrained");
    return nx_fail(err, NX_ENOENT, "no model in it: neither GGUF nor safetensors files");
}
