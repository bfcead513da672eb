/* hub_list.c - what the cache holds, and taking things out of it again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "format/hub.h"
#include "os/dir.h"
#include "os/file.h"

#define DEPTH_MAX 8

/* Calls on_file(path, relative path, ctx) for everything below top that isn't a folder. Links to
 * folders aren't followed. */
typedef nx_status (*file_fn)(const char *path, const char *rel, void *ctx, nx_error *err);

static nx_status each_file(const char *top, const char *rel, int depth, file_fn on_file, void *ctx,
                           nx_error *err)
{
    char        path[NX_HUB_PATH_MAX], below[NX_HUB_PATH_MAX];
    char      **names;
    size_t      n;
    struct stat s;

    if (!nx_path_write(path, sizeof path, "%s%s%s", top, *rel ? "/" : "", rel)) return NX_OK;
    nx_status st = nx_dir_list(&names, &n, path, err);
    for (size_t i = 0; !st && i < n; i++) {
        if (!nx_path_write(below, sizeof below, "%s%s%s", rel, *rel ? "/" : "", names[i]) ||
            !nx_path_write(path, sizeof path, "%s/%s", top, below))
            continue;
        if (lstat(path, &s) != 0) continue;
        if (!S_ISDIR(s.st_mode))
            st = on_file(path, below, ctx, err);
        else if (depth < DEPTH_MAX)
            st = each_file(top, below, depth + 1, on_file, ctx, err);
    }
    nx_free(names);
    return st;
}

/* "models--org--name" to "org/name"; false for other folders. */
static bool repo_of(const char *folder, char *out, size_t cap)
{
    if (strncmp(folder, "models--", 8) != 0 || strlen(folder) - 8 >= cap) return false;
    const char *rest = folder + 8, *sep = strstr(rest, "--");
    if (sep)
        snprintf(out, cap, "%.*s/%s", (int)(sep - rest), rest, sep + 2);
    else
        snprintf(out, cap, "%s", rest);
    return true;
}

/* ---- Listing ---- */

typedef struct census {
    nx_buf   variants, refs; /* ", " between */
    bool     gguf, safetensors, config, other;
    uint64_t bytes;
    int64_t  used;
    char     commit[128]; /* refs: whose */
} census;

static nx_status add_word(nx_buf *b, const char *p, size_t len, nx_error *err)
{
    nx_status st = b->len ? nx_buf_add(b, ", ", 2, err) : NX_OK;

    return st ? st : nx_buf_add(b, p, len, err);
}

static nx_status count_file(const char *path, const char *rel, void *ctx, nx_error *err)
{
    census     *c = ctx;
    struct stat s;
    size_t      n = strlen(rel);

    if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) return NX_OK; /* a link to what is gone */
    c->bytes += (uint64_t)s.st_size;
    int64_t used = s.st_atime > s.st_mtime ? s.st_atime : s.st_mtime;
    if (used > c->used) c->used = used;
    if (strcmp(rel, "config.json") == 0) c->config = true;
    if (n > 12 && strcasecmp(rel + n - 12, ".safetensors") == 0) c->safetensors = true;
    if (!nx_hub_is_gguf(rel)) return NX_OK;
    c->gguf = true;
    nx_str q = nx_hub_quant_of(rel);
    if (nx_hub_split_part(rel) > 1 || c->variants.len > 3000) return NX_OK;
    return q.len ? add_word(&c->variants, q.p, q.len, err) : NX_OK;
}

static nx_status count_ref(const char *path, const char *rel, void *ctx, nx_error *err)
{
    census   *c = ctx;
    nx_buf    text = {.max = 256};
    nx_status st = NX_OK;

    if (nx_file_read_all(&text, path, NULL) == NX_OK && text.data &&
        strncmp(text.data, c->commit, strlen(c->commit)) == 0 && c->refs.len < 3000)
        st = add_word(&c->refs, rel, strlen(rel), err);
    nx_buf_free(&text);
    return st;
}

static const char *keep(nx_arena *a, const nx_buf *b)
{
    return nx_arena_strndup(a, b->data ? b->data : "", b->len);
}

static nx_status add_model(nx_hub_models *out, const char *repo, census *c, nx_error *err)
{
    if (out->n == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 32;
        void  *grown = nx_realloc(out->v, cap, sizeof *out->v);
        if (!grown) return nx_fail(err, NX_ENOMEM, "list of models");
        out->v = grown;
        out->cap = cap;
    }
    nx_hub_model m = {.name = nx_arena_strndup(&out->arena, repo, strlen(repo)),
                      .revision = nx_arena_strndup(&out->arena, c->commit, strlen(c->commit)),
                      .refs = keep(&out->arena, &c->refs),
                      .variants = keep(&out->arena, &c->variants),
                      .format = c->gguf                       ? "GGUF"
                                : c->safetensors && c->config ? "safetensors"
                                : c->config                   ? "incomplete"
                                                              : "other",
                      .bytes = c->bytes,
                      .used_unix = c->used};
    if (!m.name || !m.revision || !m.refs || !m.variants)
        return nx_fail(err, NX_ENOMEM, "list of models");
    out->v[out->n++] = m;
    return NX_OK;
}

static nx_status read_snapshot(nx_hub_models *out, const char *folder, const char *repo,
                               const char *commit, nx_error *err)
{
    census    c = {.variants.max = 4096, .refs.max = 4096};
    char      path[NX_HUB_PATH_MAX + 300];
    nx_status st;

    snprintf(c.commit, sizeof c.commit, "%s", commit);
    nx_path_write(path, sizeof path, "%s/snapshots/%s", folder, commit);
    st = each_file(path, "", 0, count_file, &c, err);
    nx_path_write(path, sizeof path, "%s/refs", folder);
    if (!st) st = each_file(path, "", 0, count_ref, &c, err);
    if (!st) st = add_model(out, repo, &c, err);
    nx_buf_free(&c.variants);
    nx_buf_free(&c.refs);
    return st;
}

static nx_status add_bytes(const char *path, const char *rel, void *ctx, nx_error *err)
{
    uint64_t   *bytes = ctx;
    struct stat s;

    (void)rel, (void)err;
    if (lstat(path, &s) == 0 && S_ISREG(s.st_mode)) *bytes += (uint64_t)s.st_blocks * 512;
    return NX_OK;
}

static nx_status read_repo(nx_hub_models *out, const char *folder, const char *repo, nx_error *err)
{
    char      path[NX_HUB_PATH_MAX + 16];
    char    **commits;
    size_t    n;
    nx_status st;

    nx_path_write(path, sizeof path, "%s/snapshots", folder);
    st = nx_dir_list(&commits, &n, path, err);
    for (size_t i = 0; !st && i < n; i++) st = read_snapshot(out, folder, repo, commits[i], err);
    nx_free(commits);
    return st ? st : each_file(folder, "", 0, add_bytes, &out->bytes, err);
}

nx_status nx_hub_models_read(nx_hub_models *out, const nx_hub *hub, nx_error *err)
{
    char      folder[NX_HUB_PATH_MAX], repo[300];
    char    **names;
    size_t    n;
    nx_status st;

    *out = (nx_hub_models){0};
    st = nx_dir_list(&names, &n, hub->cache, err);
    for (size_t i = 0; !st && i < n; i++) {
        if (!repo_of(names[i], repo, sizeof repo)) continue;
        if (!nx_path_write(folder, sizeof folder, "%s/%s", hub->cache, names[i])) continue;
        st = read_repo(out, folder, repo, err);
    }
    nx_free(names);
    if (st) nx_hub_models_free(out);
    return st;
}

void nx_hub_models_free(nx_hub_models *m)
{
    nx_arena_free(&m->arena);
    nx_free(m->v);
    *m = (nx_hub_models){0};
}

/* ---- Removing ---- */

typedef struct removal {
    const char *folder; /* of the repository */
    const char *pick;   /* "" : all */
    size_t      n;      /* links removed */
    const char *etag;   /* is it in use? */
    bool        used;
} removal;

static nx_status remove_link(const char *path, const char *rel, void *ctx, nx_error *err)
{
    removal *r = ctx;

    if (*r->pick && !nx_hub_picks(r->pick, rel)) return NX_OK;
    if (unlink(path) != 0)
        return nx_fail(err, NX_EIO, "%s: can't be removed: %s", path, strerror(errno));
    r->n++;
    return NX_OK;
}

static nx_status look_for(const char *path, const char *rel, void *ctx, nx_error *err)
{
    removal *r = ctx;
    char     target[NX_HUB_PATH_MAX];
    ssize_t  n = readlink(path, target, sizeof target - 1);

    (void)rel, (void)err;
    if (n <= 0) return NX_OK;
    target[n] = '\0';
    const char *base = strrchr(target, '/');
    if (base && strcmp(base + 1, r->etag) == 0) r->used = true;
    return NX_OK;
}

/* Remove one blob unless a snapshot still points to it, or somebody holds its lock. */
static nx_status remove_blob(removal *r, const nx_hub *hub, const char *name, uint64_t *freed,
                             nx_error *err)
{
    char        path[NX_HUB_PATH_MAX + 300], lock[NX_HUB_PATH_MAX + 300], etag[256];
    struct stat s;
    int         fd = -1;
    atomic_bool dont_wait = true;
    const char *end = strstr(name, ".incomplete");

    snprintf(etag, sizeof etag, "%.*s", end ? (int)(end - name) : 255, name);
    r->etag = etag;
    r->used = false;
    nx_path_write(path, sizeof path, "%s/snapshots", r->folder);
    nx_status st = each_file(path, "", 0, look_for, r, err);
    if (st || r->used) return st;
    nx_path_write(lock, sizeof lock, "%s/.locks%s/%s.lock", hub->cache, strrchr(r->folder, '/'),
                  etag);
    if (nx_file_exists(lock) && nx_lock_take(&fd, lock, &dont_wait, NULL) != NX_OK) return NX_OK;
    nx_path_write(path, sizeof path, "%s/blobs/%s", r->folder, name);
    if (lstat(path, &s) == 0) {
        if (unlink(path) == 0)
            *freed += (uint64_t)s.st_blocks * 512;
        else
            st = nx_fail(err, NX_EIO, "%s: can't be removed: %s", path, strerror(errno));
    }
    nx_lock_release(fd);
    return st;
}

static nx_status remove_blobs(removal *r, const nx_hub *hub, uint64_t *freed, nx_error *err)
{
    char      path[NX_HUB_PATH_MAX + 16];
    char    **names;
    size_t    n;
    nx_status st;

    nx_path_write(path, sizeof path, "%s/blobs", r->folder);
    st = nx_dir_list(&names, &n, path, err);
    for (size_t i = 0; !st && i < n; i++) st = remove_blob(r, hub, names[i], freed, err);
    nx_free(names);
    return st;
}

/* Is this snapshot the one that `revision` means: its commit, its beginning, or a ref to it? */
static bool is_revision(const char *folder, const char *commit, const char *revision)
{
    char   path[NX_HUB_PATH_MAX + 300];
    nx_buf text = {.max = 256};
    bool   same = strlen(revision) >= 7 && strncmp(commit, revision, strlen(revision)) == 0;

    nx_path_write(path, sizeof path, "%s/refs/%s", folder, revision);
    if (!same && nx_file_exists(path) && nx_file_read_all(&text, path, NULL) == NX_OK)
        same = text.data && strncmp(text.data, commit, strlen(commit)) == 0;
    nx_buf_free(&text);
    return same;
}

static nx_status remove_dangling_ref(const char *path, const char *rel, void *ctx, nx_error *err)
{
    removal *r = ctx;
    char     snapshot[NX_HUB_PATH_MAX + 300];
    nx_buf   text = {.max = 256};

    (void)rel, (void)err;
    if (nx_file_read_all(&text, path, NULL) == NX_OK && text.data) {
        nx_path_write(snapshot, sizeof snapshot, "%s/snapshots/%.200s", r->folder, text.data);
        if (!nx_dir_exists(snapshot)) unlink(path);
    }
    nx_buf_free(&text);
    return NX_OK;
}

static nx_status remove_snapshots(removal *r, const char *revision, nx_error *err)
{
    char      path[NX_HUB_PATH_MAX + 300], snapshot[NX_HUB_PATH_MAX + 300];
    char    **commits;
    size_t    n;
    nx_status st;

    nx_path_write(path, sizeof path, "%s/snapshots", r->folder);
    st = nx_dir_list(&commits, &n, path, err);
    for (size_t i = 0; !st && i < n; i++) {
        if (revision && !is_revision(r->folder, commits[i], revision)) continue;
        nx_path_write(snapshot, sizeof snapshot, "%s/%s", path, commits[i]);
        st = each_file(snapshot, "", 0, remove_link, r, err);
        if (!st && !*r->pick) st = nx_dir_remove_all(snapshot, err);
        if (!st) rmdir(snapshot); /* empty now? */
    }
    nx_free(commits);
    nx_path_write(path, sizeof path, "%s/refs", r->folder);
    return st ? st : each_file(path, "", 0, remove_dangling_ref, r, err);
}

nx_status nx_hub_remove(const nx_hub *hub, const nx_hub_name *name, bool whole_repo,
                        uint64_t *freed, nx_error *err)
{
    char      folder[NX_HUB_PATH_MAX], path[NX_HUB_PATH_MAX + 16];
    removal   r = {.folder = folder, .pick = name->pick};
    char    **left;
    size_t    n = 0;
    nx_status st;

    *freed = 0;
    nx_hub_repo_folder(hub, name->repo, folder);
    if (!nx_dir_exists(folder))
        return nx_fail(err, NX_ENOENT, "%s is not in the model cache (%s)", name->repo, hub->cache);
    st = remove_snapshots(&r, whole_repo ? NULL : name->revision, err);
    if (!st && r.n == 0 && (*name->pick || !whole_repo))
        return nx_fail(err, NX_ENOENT, "%s%s%s%s%s is not in the model cache", name->repo,
                       *name->pick ? ":" : "", name->pick, whole_repo ? "" : "@",
                       whole_repo ? "" : name->revision);
    if (!st) st = remove_blobs(&r, hub, freed, err);
    if (st) return st;
    nx_path_write(path, sizeof path, "%s/blobs", folder); /* a pull under way keeps its own */
    st = nx_dir_list(&left, &n, path, err);
    nx_free(left);
    return st || n ? st : nx_dir_remove_all(folder, err);
}
