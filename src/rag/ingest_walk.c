/* ingest_walk.c - which files there are beneath the paths.
 *
 * Folders are read in the order of their names. Links to folders aren't followed. Links to files are looked
 * at when everything else was seen: each file is taken once, by its own name where it has one here.
 * Left out: hidden names (unless they are asked for), folders that programs fill, what the caller excludes,
 * names that say that there is no text inside, and names that are no UTF-8, since a document couldn't say
 * where it is from.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "os/dir.h"
#include "rag/ingest_in.h"

enum { FOLDERS_MAX = 1 << 20, FETCHED_BYTES = 1 << 20 /* a guess */ };

/* A file or folder, whatever its name. */
typedef struct identity {
    dev_t dev;
    ino_t ino;
} identity;

/* Open addressing; a free place has ino 0 and dev 0, which no file of a walk has. */
typedef struct identities {
    identity *v;
    size_t    n, cap; /* cap: a power of two */
} identities;

typedef struct paths {
    char **v;
    size_t n, cap;
} paths;

typedef struct walk {
    nx_ingesting *r;
    const char   *root;
    identities    files, folders;
    paths         todo;  /* folders, the next one last */
    paths         links; /* to files */
    bool          go_on;
    nx_error     *err;
} walk;

/* ---- Sets and lists ---- */

static size_t place_of(const identities *s, identity x)
{
    uint64_t h = ((uint64_t)x.ino * 0x9E3779B97F4A7C15u) ^ ((uint64_t)x.dev * 0xC2B2AE3D27D4EB4Fu);
    size_t   i = (size_t)(h ^ h >> 29) & (s->cap - 1);

    while ((s->v[i].ino || s->v[i].dev) && (s->v[i].ino != x.ino || s->v[i].dev != x.dev))
        i = (i + 1) & (s->cap - 1);
    return i;
}

static nx_status grow(identities *s, nx_error *err)
{
    identities wide = {.cap = s->cap ? 2 * s->cap : 1024, .n = s->n};

    wide.v = nx_calloc(wide.cap, sizeof *wide.v);
    if (!wide.v) return nx_fail(err, NX_ENOMEM, "a set of %zu files", wide.cap);
    for (size_t i = 0; i < s->cap; i++)
        if (s->v[i].ino || s->v[i].dev) wide.v[place_of(&wide, s->v[i])] = s->v[i];
    nx_free(s->v);
    *s = wide;
    return NX_OK;
}

/* *fresh: it wasn't there. */
static nx_status add_identity(identities *s, const struct stat *st, bool *fresh, nx_error *err)
{
    identity x = {st->st_dev, st->st_ino};

    if (s->n >= s->cap / 2) {
        nx_status status = grow(s, err);
        if (status) return status;
    }
    size_t i = place_of(s, x);
    *fresh = !s->v[i].ino && !s->v[i].dev;
    s->v[i] = x;
    s->n += *fresh;
    return NX_OK;
}

/* Takes path. */
static nx_status push_path(paths *p, char *path, nx_error *err)
{
    if (path && p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        char **grown = nx_realloc(p->v, cap, sizeof *grown);
        if (grown) {
            p->v = grown;
            p->cap = cap;
        }
    }
    if (!path || p->n == p->cap) {
        nx_free(path);
        return nx_fail(err, NX_ENOMEM, "a list of paths");
    }
    p->v[p->n++] = path;
    return NX_OK;
}

static void free_paths(paths *p)
{
    for (size_t i = 0; i < p->n; i++) nx_free(p->v[i]);
    nx_free(p->v);
    *p = (paths){0};
}

/* ---- Names ---- */

static bool is_junk(const char *name)
{
    static const char *const junk[] = {"node_modules", "__pycache__", ".git", ".hg",
                                       ".svn",         "CVS",         ".venv"};

    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
        if (strcmp(name, junk[i]) == 0) return true;
    return false;
}

static bool is_excluded(const walk *w, const char *name)
{
    char pattern[NX_INGEST_PATH];

    for (size_t i = 0; i < w->r->opt->n_exclude; i++) {
        nx_str x = w->r->opt->exclude[i];
        if (x.len >= sizeof pattern) continue;
        memcpy(pattern, x.p, x.len);
        pattern[x.len] = '\0';
        if (fnmatch(pattern, name, 0) == 0) return true;
    }
    return false;
}

static bool is_left_out(const walk *w, const char *name)
{
    if (name[0] == '.' && !w->r->opt->hidden) return true;
    return is_excluded(w, name);
}

/* ---- Files ---- */

/* left_out: nobody will look at it. */
static void found(walk *w, bool left_out)
{
    pthread_mutex_lock(&w->r->i->lock);
    w->r->i->n_found++;
    w->r->i->n_looked_at += left_out;
    pthread_mutex_unlock(&w->r->i->lock);
}

static bool is_text(const char *path, const struct stat *is, uint64_t limit, char why[128])
{
    bool utf8 = nx_utf8_valid(path, strlen(path), NULL);

    why[0] = '\0';
    if (!utf8)
        snprintf(why, 128, "its name is not UTF-8");
    else if (nx_extract_hopeless(nx_str_of(path)))
        snprintf(why, 128, "files of this kind hold no text that we read");
    else if ((uint64_t)is->st_size > limit)
        snprintf(why, 128, "%llu bytes; the limit is %llu", (unsigned long long)is->st_size,
                 (unsigned long long)limit);
    return why[0] == '\0';
}

static nx_status take_file(walk *w, const char *path, const struct stat *is)
{
    char why[128];
    bool text = is_text(path, is, w->r->opt->limits.file_bytes, why);

    found(w, !text);
    if (text) return nx_ingest_push(w->r, path, w->root, (size_t)is->st_size, &w->go_on, w->err);
    nx_ingest_skip(w->r->i, path, "%s", why);
    return NX_OK;
}

/* A link: to a file it waits, else it is left. */
static nx_status take_link(walk *w, const char *path)
{
    struct stat to;

    if (stat(path, &to)) {
        found(w, true);
        nx_ingest_skip(w->r->i, path, "a link that leads nowhere: %s", strerror(errno));
        return NX_OK;
    }
    if (S_ISREG(to.st_mode)) return push_path(&w->links, nx_strdup(path), w->err);
    found(w, true);
    nx_ingest_skip(w->r->i, path,
                   S_ISDIR(to.st_mode) ? "a link to a folder: not followed"
                                       : "a link to what is no file");
    return NX_OK;
}

static nx_status take_links(walk *w)
{
    nx_status st = NX_OK;

    for (size_t i = 0; !st && w->go_on && i < w->links.n; i++) {
        struct stat to;
        bool        fresh;
        if (stat(w->links.v[i], &to) || !S_ISREG(to.st_mode)) continue; /* it went meanwhile */
        st = add_identity(&w->files, &to, &fresh, w->err);
        if (st) break;
        if (fresh) {
            st = take_file(w, w->links.v[i], &to);
        } else {
            found(w, true);
            nx_ingest_skip(w->r->i, w->links.v[i],
                           "a link to a file that is taken by another name");
        }
    }
    free_paths(&w->links);
    return st;
}

/* ---- Folders ---- */

static nx_status take_folder(walk *w, const char *path, const struct stat *is)
{
    bool      fresh;
    nx_status st = add_identity(&w->folders, is, &fresh, w->err);

    if (st || !fresh) return st;
    if (w->todo.n >= FOLDERS_MAX) {
        nx_ingest_skip(w->r->i, path, "more than %d folders wait to be read", FOLDERS_MAX);
        return NX_OK;
    }
    return push_path(&w->todo, nx_strdup(path), w->err);
}

static nx_status take_entry(walk *w, const char *path, const char *name)
{
    struct stat is;
    bool        fresh;
    nx_status   st;

    if (lstat(path, &is)) {
        if (errno != ENOENT) nx_ingest_skip(w->r->i, path, "%s", strerror(errno));
        return NX_OK;
    }
    if (S_ISDIR(is.st_mode)) {
        if (!is_junk(name)) return take_folder(w, path, &is);
        nx_ingest_skip(w->r->i, path, "a folder that programs fill: left out");
        return NX_OK;
    }
    if (S_ISLNK(is.st_mode)) return take_link(w, path);
    if (!S_ISREG(is.st_mode)) {
        found(w, true);
        nx_ingest_skip(w->r->i, path, "neither a file nor a folder");
        return NX_OK;
    }
    st = add_identity(&w->files, &is, &fresh, w->err);
    return st ? st : take_file(w, path, &is);
}

/* Folders of it are read in the order of their names, though the last one pushed is read first. */
static void turn_around(char **v, size_t n)
{
    for (size_t i = 0; i + 1 < n - i; i++) {
        char *t = v[i];
        v[i] = v[n - 1 - i];
        v[n - 1 - i] = t;
    }
}

static nx_status read_folder(walk *w, const char *folder)
{
    char    **names;
    size_t    n, before = w->todo.n;
    nx_error  why;
    nx_status st = nx_dir_list(&names, &n, folder, &why);

    if (st == NX_ENOMEM) return nx_fail(w->err, st, "%s", why.text);
    if (st) {
        nx_ingest_skip(w->r->i, folder, "can't be read: %s", why.text);
        return NX_OK;
    }
    for (size_t i = 0; !st && w->go_on && i < n; i++) {
        char path[NX_INGEST_PATH];
        if (is_left_out(w, names[i])) continue;
        w->go_on = !nx_ingest_stopped(w->r);
        if (nx_path_write(path, sizeof path, "%s/%s", strcmp(folder, "/") ? folder : "", names[i]))
            st = take_entry(w, path, names[i]);
        else
            nx_ingest_skip(w->r->i, folder, "paths in it are longer than %d bytes", NX_INGEST_PATH);
    }
    nx_free(names);
    if (w->todo.n > before + 1) turn_around(w->todo.v + before, w->todo.n - before);
    return st;
}

static nx_status walk_folder(walk *w, const struct stat *is)
{
    nx_status st = take_folder(w, w->root, is);

    while (!st && w->go_on && w->todo.n) {
        char *folder = w->todo.v[--w->todo.n];
        st = read_folder(w, folder);
        nx_free(folder);
    }
    return st ? st : take_links(w);
}

/* ---- Roots ---- */

static bool is_url(nx_str path)
{
    return (path.len > 7 && memcmp(path.p, "http://", 7) == 0) ||
           (path.len > 8 && memcmp(path.p, "https://", 8) == 0);
}

/* The path without slashes at its end. */
static char *root_of(nx_str path)
{
    while (path.len > 1 && path.p[path.len - 1] == '/') path.len--;
    return nx_strndup(path.p, path.len);
}

static nx_status walk_root(walk *w, bool *ok)
{
    struct stat is;
    bool        fresh;
    nx_status   st;

    *ok = false;
    if (stat(w->root, &is)) {
        nx_ingest_skip(w->r->i, w->root, "%s", strerror(errno));
        return NX_OK;
    }
    if (S_ISDIR(is.st_mode)) {
        st = walk_folder(w, &is);
        *ok = !st && w->go_on;
        return st;
    }
    if (!S_ISREG(is.st_mode)) {
        nx_ingest_skip(w->r->i, w->root, "neither a file nor a folder");
        return NX_OK;
    }
    st = add_identity(&w->files, &is, &fresh, w->err);
    return st || !fresh ? st : take_file(w, w->root, &is);
}

/* Fetched by a worker, who is told whether its host is allowed. */
static nx_status take_address(walk *w)
{
    found(w, false);
    return nx_ingest_push(w->r, w->root, w->root, FETCHED_BYTES, &w->go_on, w->err);
}

nx_status nx_ingest_walk(nx_ingesting *r, bool *ok, nx_error *err)
{
    walk      w = {.r = r, .go_on = true, .err = err};
    nx_status st = NX_OK;

    for (size_t i = 0; !st && w.go_on && i < r->opt->n_paths; i++) {
        nx_str path = r->opt->paths[i];
        char  *root = root_of(path);
        w.root = root;
        if (!root)
            st = nx_fail(err, NX_ENOMEM, "a path");
        else if (is_url(path))
            st = take_address(&w);
        else if (path.len == 0 || path.p[0] != '/')
            nx_ingest_skip(r->i, root, "not an absolute path");
        else
            st = walk_root(&w, &ok[i]);
        nx_free(root);
    }
    free_paths(&w.todo);
    free_paths(&w.links);
    nx_free(w.files.v);
    nx_free(w.folders.v);
    return st;
}
