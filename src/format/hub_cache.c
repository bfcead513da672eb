/* hub_cache.c - where the cache is, and what a name in it loads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "format/hub.h"
#include "os/dir.h"
#include "os/file.h"

/* ---- The environment ---- */

static nx_status fit(char *out, size_t cap, const char *what, nx_error *err, const char *a,
                     const char *b)
{
    int n = snprintf(out, cap, "%s%s", a, b);

    if (n >= 0 && (size_t)n < cap) return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s is longer than %zu bytes", what, cap - 1);
}

/* "~/x" stands for a folder of the user's, as huggingface_hub has it. */
static nx_status fit_path(char *out, size_t cap, const nx_hub *hub, const char *what,
                          const char *value, const char *tail, nx_error *err)
{
    char joined[NX_HUB_PATH_MAX];
    bool tilde = strncmp(value, "~/", 2) == 0 && hub->home;

    nx_status st =
        fit(joined, sizeof joined, what, err, tilde ? hub->home : "", tilde ? value + 1 : value);
    return st ? st : fit(out, cap, what, err, joined, tail);
}

static const char *env(const char *name)
{
    const char *v = getenv(name);

    return v && *v ? v : NULL;
}

static bool env_is_true(const char *name)
{
    const char *v = env(name);

    return v && (strcasecmp(v, "1") == 0 || strcasecmp(v, "true") == 0 ||
                 strcasecmp(v, "yes") == 0 || strcasecmp(v, "on") == 0);
}

static nx_status read_home(nx_hub *hub, char *home, size_t cap, nx_error *err)
{
    const char *given = env("HF_HOME"), *xdg = env("XDG_CACHE_HOME");

    hub->home = env("HOME");
    if (given) return fit_path(home, cap, hub, "HF_HOME", given, "", err);
    if (xdg) return fit_path(home, cap, hub, "XDG_CACHE_HOME", xdg, "/huggingface", err);
    if (!hub->home)
        return nx_fail(err, NX_EINVAL,
                       "neither HF_HOME nor HOME is set: no place for a model cache");
    return fit(home, cap, "HOME", err, hub->home, "/.cache/huggingface");
}

static nx_status read_cache(nx_hub *hub, const char *home, nx_error *err)
{
    static const char *const names[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", NULL};

    for (const char *const *n = names; *n; n++)
        if (env(*n)) return fit_path(hub->cache, sizeof hub->cache, hub, *n, env(*n), "", err);
    return fit(hub->cache, sizeof hub->cache, "HF_HOME", err, home, "/hub");
}

/* The token, from the environment or the file that `hf auth login` writes. White space around it
 * goes; anything but visible ASCII can't stand in a header. */
static nx_status read_token(nx_hub *hub, const char *home, nx_error *err)
{
    char        path[NX_HUB_PATH_MAX];
    nx_buf      file = {.max = 4096};
    const char *text = env("HF_TOKEN"), *where = "HF_TOKEN";

    if (!text) text = env("HUGGING_FACE_HUB_TOKEN");
    if (!text) {
        where = env("HF_TOKEN_PATH");
        if (!where) {
            nx_path_write(path, sizeof path, "%s/token", home);
            where = path;
        }
        if (nx_file_exists(where) && nx_file_read_all(&file, where, NULL) == NX_OK)
            text = file.data;
    }
    nx_status st = NX_OK;
    size_t    n = 0;
    for (const char *p = text ? text : ""; *p && !st; p++) {
        if (strchr(" \t\r\n", *p)) continue;
        if (*p < 0x21 || *p > 0x7E || n + 1 >= sizeof hub->token)
            st = nx_fail(err, NX_EINVAL,
                         "%s holds no token: expected at most %zu visible characters", where,
                         sizeof hub->token - 1);
        else
            hub->token[n++] = *p;
    }
    hub->token[n] = '\0';
    nx_buf_free(&file);
    return st;
}

static nx_status read_endpoint(nx_hub *hub, nx_error *err)
{
    const char *url = env("HF_ENDPOINT");

    if (!url) url = "https://huggingface.co";
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return nx_fail(err, NX_EINVAL, "HF_ENDPOINT=%.200s: expected http:// or https://", url);
    nx_status st = fit(hub->endpoint, sizeof hub->endpoint, "HF_ENDPOINT", err, url, "");
    size_t    n = st ? 0 : strlen(hub->endpoint);
    while (n && hub->endpoint[n - 1] == '/') hub->endpoint[--n] = '\0';
    return st;
}

nx_status nx_hub_open(nx_hub *out, nx_error *err)
{
    char home[2040];

    *out =
        (nx_hub){.offline = env_is_true("HF_HUB_OFFLINE") || env_is_true("TRANSFORMERS_OFFLINE")};
    nx_status st = read_home(out, home, sizeof home, err);
    if (!st) st = read_cache(out, home, err);
    if (!st) st = read_token(out, home, err);
    return st ? st : read_endpoint(out, err);
}

/* ---- Paths ---- */

void nx_hub_repo_folder(const nx_hub *hub, const char *repo, char out[NX_HUB_PATH_MAX])
{
    const char *slash = strchr(repo, '/');

    if (slash)
        nx_path_write(out, NX_HUB_PATH_MAX, "%s/models--%.*s--%s", hub->cache, (int)(slash - repo),
                      repo, slash + 1);
    else
        nx_path_write(out, NX_HUB_PATH_MAX, "%s/models--%s", hub->cache, repo);
}

/* folder/snapshots/<commit> that revision means: a ref, or a commit in full. */
static bool snapshot_of(const char *folder, const char *revision, char out[NX_HUB_PATH_MAX])
{
    char   path[NX_HUB_PATH_MAX + 300];
    nx_buf commit = {.max = 256};
    bool   found = false;

    nx_path_write(path, sizeof path, "%s/refs/%s", folder, revision);
    if (nx_file_exists(path) && nx_file_read_all(&commit, path, NULL) == NX_OK && commit.data &&
        nx_hub_path_safe((nx_str){commit.data, strcspn(commit.data, "\r\n ")})) {
        commit.data[strcspn(commit.data, "\r\n ")] = '\0';
        nx_path_write(path, sizeof path, "%s/snapshots/%s", folder, commit.data);
        found = nx_dir_exists(path);
    }
    if (!found && !strchr(revision, '/')) {
        nx_path_write(path, sizeof path, "%s/snapshots/%s", folder, revision);
        found = nx_dir_exists(path);
    }
    nx_buf_free(&commit);
    found = found && strlen(path) < NX_HUB_PATH_MAX;
    if (found) strcpy(out, path);
    return found;
}

/* ---- What to load of a snapshot ---- */

/* The GGUF files below a snapshot as a tree that nx_hub_select understands. */
static nx_status gather(nx_hub_tree *t, const char *top, const char *below, int depth,
                        nx_error *err)
{
    char      path[NX_HUB_PATH_MAX];
    char    **names;
    size_t    n;
    nx_status st;

    nx_path_write(path, sizeof path, "%s/%s", top, below);
    st = nx_dir_list(&names, &n, path, err);
    for (size_t i = 0; !st && i < n; i++) {
        char rel[NX_HUB_PATH_MAX];
        int  len = snprintf(rel, sizeof rel, "%s%s%s", below, *below ? "/" : "", names[i]);
        if (len < 0 || (size_t)len >= sizeof rel ||
            !nx_path_write(path, sizeof path, "%s/%s", top, rel))
            continue;
        if (nx_dir_exists(path)) {
            if (depth < 8) st = gather(t, top, rel, depth + 1, err);
            continue;
        }
        if (t->n == t->cap) {
            size_t cap = t->cap ? t->cap * 2 : 32;
            void  *grown = nx_realloc(t->files, cap, sizeof *t->files);
            if (!grown) {
                st = nx_fail(err, NX_ENOMEM, "%s", top);
                break;
            }
            t->files = grown;
            t->cap = cap;
        }
        char *kept = nx_arena_strndup(&t->arena, rel, (size_t)len);
        if (kept && nx_file_exists(path)) t->files[t->n++] = (nx_hub_file){.path = kept};
        if (!kept) st = nx_fail(err, NX_ENOMEM, "%s", top);
    }
    nx_free(names);
    return st;
}

static bool is_folder_model(const char *snapshot, const char *pick)
{
    char path[NX_HUB_PATH_MAX + 32];

    nx_path_write(path, sizeof path, "%s/config.json", snapshot);
    return !*pick && nx_file_exists(path);
}

static nx_status choose(char out[NX_HUB_PATH_MAX], const char *snapshot, const char *pick,
                        nx_error *err)
{
    nx_hub_tree t = {0};
    size_t      n = 0;
    nx_status   st = gather(&t, snapshot, "", 0, err);

    if (!st) st = nx_hub_select(&t, &n, pick, err);
    if (!st) {
        const char *first = t.files[0].path; /* of a split set, part 1 opens all */
        for (size_t i = 0; i < n; i++)
            if (nx_hub_split_part(t.files[i].path) == 1) first = t.files[i].path;
        if (!nx_hub_is_gguf(first))
            strcpy(out, snapshot);
        else if (!nx_path_write(out, NX_HUB_PATH_MAX, "%s/%s", snapshot, first))
            st = nx_fail(err, NX_ELIMIT, "%s: path too long", first);
    }
    nx_hub_tree_free(&t);
    return st;
}

nx_status nx_hub_locate(char out[NX_HUB_PATH_MAX], const nx_hub *hub, const nx_hub_name *name,
                        nx_error *err)
{
    char folder[NX_HUB_PATH_MAX], snapshot[NX_HUB_PATH_MAX];
    bool main_rev = strcmp(name->revision, "main") == 0;

    nx_hub_repo_folder(hub, name->repo, folder);
    if (!snapshot_of(folder, name->revision, snapshot))
        return nx_fail(err, NX_ENOENT,
                       "%s%s%s is not in the model cache (%s). Fetch it: nexus pull %s%s%s%s%s",
                       name->repo, main_rev ? "" : "@", main_rev ? "" : name->revision, hub->cache,
                       name->repo, name->pick[0] ? ":" : "", name->pick, main_rev ? "" : "@",
                       main_rev ? "" : name->revision);
    if (is_folder_model(snapshot, name->pick)) {
        strcpy(out, snapshot);
        return NX_OK;
    }
    nx_status st = choose(out, snapshot, name->pick, err);
    if (st == NX_ENOENT && err)
        return nx_fail_prefix(err, st, "%s in the model cache (nexus pull %s:NAME fetches others)",
                              name->repo, name->repo);
    return st;
}
