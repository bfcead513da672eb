/* store.c - the collections of a folder, and the thread that tidies them. */
#include "store/store_in.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/dir.h"

enum { TIDY_EVERY_S = 1 };

nx_status nx_store_path(char *out, const nx_store *s, const char *folder, const char *ending,
                        nx_error *err)
{
    if (nx_path_write(out, NX_STORE_PATH_CAP, "%s/%s%s", s->dir, folder, ending)) return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: too long a path", s->dir);
}

/* ---- The list ---- */

size_t nx_store_place(const nx_store *s, nx_str name, bool *found)
{
    size_t lo = 0, hi = s->n;

    *found = false;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        nx_str at = nx_str_of(s->entries[mid].name);
        size_t n = at.len < name.len ? at.len : name.len;
        int    c = n ? memcmp(at.p, name.p, n) : 0;
        if (c == 0) c = at.len < name.len ? -1 : at.len > name.len;
        if (c == 0) *found = true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

nx_status nx_store_no_such(nx_str name, nx_error *err)
{
    return nx_fail(err, NX_ENOENT, "Collection `%.*s` doesn't exist!",
                   (int)(name.len < 300 ? name.len : 300), name.p);
}

nx_status nx_store_free_name(const nx_store *s, nx_str name, nx_error *err)
{
    bool found;

    nx_store_place(s, name, &found);
    if (found)
        return nx_fail(err, NX_EBUSY, "Collection `%.*s` already exists!", (int)name.len, name.p);
    if (nx_aliases_find(&s->aliases, name))
        return nx_fail(err, NX_EBUSY,
                       "Can't create collection with name %.*s, alias with the same name already "
                       "exists",
                       (int)name.len, name.p);
    for (const nx_coming *x = s->coming; x; x = x->next)
        if (nx_str_eq(x->name, name))
            return nx_fail(err, NX_EBUSY, "Collection `%.*s` is being restored", (int)name.len,
                           name.p);
    return NX_OK;
}

nx_status nx_store_reserve(nx_store *s, nx_error *err)
{
    if (s->n == NX_COLLECTIONS_MAX)
        return nx_fail(err, NX_ELIMIT, "%d collections, and no more", NX_COLLECTIONS_MAX);
    if (s->n < s->cap) return NX_OK;
    size_t cap = s->cap ? 2 * s->cap : 16;
    pthread_mutex_lock(&s->lock);
    nx_entry *grown = nx_realloc(s->entries, cap, sizeof *grown);
    if (grown) {
        s->entries = grown;
        s->cap = cap;
    }
    pthread_mutex_unlock(&s->lock);
    return grown ? NX_OK : nx_fail(err, NX_ENOMEM, "list of collections");
}

void nx_store_insert(nx_store *s, nx_entry e)
{
    bool found;

    pthread_mutex_lock(&s->lock);
    size_t at = nx_store_place(s, nx_str_of(e.name), &found);
    memmove(s->entries + at + 1, s->entries + at, (s->n - at) * sizeof e);
    s->entries[at] = e;
    s->n++;
    pthread_mutex_unlock(&s->lock);
}

void nx_store_swap(nx_store *s, nx_entry *e)
{
    bool found;

    pthread_mutex_lock(&s->lock);
    nx_entry *at = &s->entries[nx_store_place(s, nx_str_of(e->name), &found)];
    nx_entry  old = *at;
    *at = *e;
    *e = old;
    pthread_mutex_unlock(&s->lock);
}

static void wake_up(void *ctx)
{
    nx_store *s = ctx;

    pthread_mutex_lock(&s->wake_lock);
    s->woken = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->wake_lock);
}

void nx_store_open_into(nx_entry *e, nx_store *s, const char *folder)
{
    char path[NX_STORE_PATH_CAP];

    if (!nx_store_path(path, s, folder, "", &e->why))
        (void)nx_collection_open(&e->c, s->disk, path, nx_str_of(e->name), &s->options, &e->why);
    if (e->c) {
        e->c->wake = s->options.background ? wake_up : NULL;
        e->c->wake_ctx = s;
    } else {
        nx_log_error("collection %s is quarantined: %s", e->name, e->why.text);
    }
}

nx_status nx_store_open_entry(nx_entry *e, nx_store *s, const char *folder, const char *name,
                              nx_error *err)
{
    *e = (nx_entry){.name = nx_strdup(name)};
    if (!e->name) return nx_fail(err, NX_ENOMEM, "%s", name);
    nx_store_open_into(e, s, folder);
    if (e->c || e->why.status != NX_ENOMEM) return NX_OK;
    if (err) *err = e->why;
    nx_free(e->name);
    *e = (nx_entry){0};
    return NX_ENOMEM;
}

/* ---- Tidying ---- */

/* The i-th collection that is open, with a reference; NULL after the last. */
static nx_collection *collection_at(nx_store *s, size_t *i)
{
    nx_collection *c = NULL;

    pthread_mutex_lock(&s->lock);
    while (*i < s->n && !c) {
        c = s->entries[(*i)++].c;
        if (c && atomic_load(&c->failed)) c = NULL;
    }
    if (c) atomic_fetch_add(&c->refs, 1);
    pthread_mutex_unlock(&s->lock);
    return c;
}

static nx_status tidy_all(nx_store *store, bool gentle, nx_error *err)
{
    nx_status      first = NX_OK;
    nx_collection *c;
    nx_error       inner = {0};

    for (size_t i = 0; (c = collection_at(store, &i));) {
        nx_status st = nx_tidy_all(c, gentle, &inner);
        if (st && !first && err) *err = inner;
        if (st && !first) first = st;
        nx_collection_release(c);
    }
    return first;
}

nx_status nx_store_maintain(nx_store *store, nx_error *err)
{
    return tidy_all(store, false, err);
}

static void *tidy_thread(void *ctx)
{
    nx_store *s = ctx;
    nx_status before = NX_OK;
    nx_error  err;

    pthread_mutex_lock(&s->wake_lock);
    while (!s->stop) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += TIDY_EVERY_S;
        if (!s->woken) pthread_cond_timedwait(&s->wake, &s->wake_lock, &until);
        s->woken = false;
        if (s->stop) break;
        pthread_mutex_unlock(&s->wake_lock);
        nx_status st = tidy_all(s, true, &err);
        if (st && st != before) nx_log_warn("store: tidying waits: %s", err.text);
        before = st;
        pthread_mutex_lock(&s->wake_lock);
    }
    pthread_mutex_unlock(&s->wake_lock);
    return NULL;
}

/* ---- Opening ---- */

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s), k = strlen(ending);

    return n > k && strcmp(s + n - k, ending) == 0;
}

static bool is_leftover(const char *name)
{
    return ends_with(name, ".new") || ends_with(name, ".gone") || ends_with(name, ".import");
}

/* Collections that were being replaced, and whose new one was whole. */
static nx_status finish_replacing(nx_store *s, nx_error *err)
{
    char    **names;
    size_t    n;
    nx_status st = s->disk->ops->list(s->disk, &names, &n, s->dir, err);

    for (size_t i = 0; !st && i < n; i++) {
        char   folder[NX_FOLDER_MAX + 1], name[NX_FOLDER_MAX + 1];
        size_t len = strlen(names[i]);
        if (!ends_with(names[i], ".next") || len - 5 > NX_FOLDER_MAX) continue;
        memcpy(folder, names[i], len - 5);
        folder[len - 5] = '\0';
        bool there = false;
        for (size_t k = 0; k < n; k++) there |= strcmp(names[k], folder) == 0;
        if (nx_folder_name(name, folder)) st = nx_store_finish_replacing(s, folder, there, err);
    }
    nx_free(names);
    return st;
}

static nx_status open_collections(nx_store *s, nx_error *err)
{
    char    **names;
    size_t    n;
    nx_status st = s->disk->ops->list(s->disk, &names, &n, s->dir, err);

    for (size_t i = 0; !st && i < n; i++) {
        char path[NX_STORE_PATH_CAP], name[NX_FOLDER_MAX + 1];
        if (is_leftover(names[i])) {
            if (!nx_store_path(path, s, names[i], "", NULL))
                (void)s->disk->ops->remove_dir(s->disk, path, NULL);
        } else if (nx_folder_name(name, names[i])) { /* not .lock: a name's dot is written %2E */
            nx_entry e;
            st = nx_store_reserve(s, err);
            if (!st) st = nx_store_open_entry(&e, s, names[i], name, err);
            if (!st) nx_store_insert(s, e);
        }
    }
    nx_free(names);
    return st;
}

/* Those of collections that aren't there any more go; from the file, too, before their names are given
 * anew. Under change, and lock but for the disk. */
static bool drop_stale_aliases(nx_store *s)
{
    size_t n = 0;
    bool   found;

    for (size_t i = 0; i < s->aliases.n; i++) {
        nx_store_place(s, nx_str_of(s->aliases.list[i].collection), &found);
        if (found) s->aliases.list[n++] = s->aliases.list[i];
    }
    bool some = n < s->aliases.n;
    s->aliases.n = n;
    s->aliases.stale |= some;
    return some;
}

nx_status nx_store_save_aliases(nx_store *s, nx_error *err)
{
    nx_status st = s->aliases.stale ? nx_aliases_save(&s->aliases, s->disk, s->dir, err) : NX_OK;

    if (!st) s->aliases.stale = false;
    return st;
}

static nx_status open_aliases(nx_store *s, nx_error *err)
{
    nx_status st = nx_aliases_load(&s->aliases, s->disk, s->dir, err);

    if (st) return st;
    if (s->aliases.why.status) nx_log_error("aliases are quarantined: %s", s->aliases.why.text);
    drop_stale_aliases(s);
    (void)nx_store_save_aliases(s, NULL); /* it is tried again before it matters */
    return NX_OK;
}

/* The folder's own name, and those in it: a kill may have come after a collection was made, and
 * before its name was on the disk. Where the folder above can't be opened, that is another's care. */
static nx_status sync_names(nx_store *s, nx_error *err)
{
    char        parent[NX_STORE_PATH_CAP];
    const char *slash = strrchr(s->dir, '/');
    int         n = slash ? (int)(slash - s->dir) : 0;

    if (!nx_path_write(parent, sizeof parent, "%.*s", n, s->dir)) parent[0] = '\0';
    (void)s->disk->ops->sync_dir(s->disk, !slash ? "." : n == 0 ? "/" : parent, NULL);
    return s->disk->ops->sync_dir(s->disk, s->dir, err);
}

static nx_status open_all(nx_store *s, nx_error *err)
{
    char      path[NX_STORE_PATH_CAP];
    nx_status st = s->disk->ops->make_dir(s->disk, s->dir, err);

    if (!st) st = nx_store_path(path, s, ".lock", "", err);
    if (!st) st = s->disk->ops->lock(s->disk, &s->folder_lock, path, err);
    if (!st) st = sync_names(s, err);
    if (!st) st = finish_replacing(s, err);
    if (!st) st = open_collections(s, err);
    if (!st) st = open_aliases(s, err);
    if (!st && s->options.background) {
        if (pthread_create(&s->thread, NULL, tidy_thread, s))
            return nx_fail(err, NX_ENOMEM, "the store's thread can't be started");
        s->started = true;
    }
    return st;
}

nx_status nx_store_open(nx_store **out, const char *dir, const nx_store_options *options,
                        nx_error *err)
{
    nx_store *s = nx_calloc(1, sizeof *s);

    *out = NULL;
    if (!s) return nx_fail(err, NX_ENOMEM, "store");
    s->options = *options;
    s->disk = options->disk ? options->disk : nx_disk_real();
    s->folder_lock = -1;
    pthread_mutex_init(&s->change, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->wake_lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->dir = nx_strdup(dir);
    nx_status st = s->dir ? open_all(s, err) : nx_fail(err, NX_ENOMEM, "store");
    if (st)
        nx_store_close(s);
    else
        *out = s;
    return st;
}

void nx_store_close(nx_store *s)
{
    if (!s) return;
    if (s->started) {
        pthread_mutex_lock(&s->wake_lock);
        s->stop = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->wake_lock);
        for (size_t i = 0; i < s->n; i++)
            if (s->entries[i].c) nx_tidy_give_up(s->entries[i].c);
        pthread_join(s->thread, NULL);
    }
    for (size_t i = 0; i < s->n; i++) {
        nx_collection_release(s->entries[i].c);
        nx_free(s->entries[i].name);
    }
    s->disk->ops->unlock(s->disk, s->folder_lock);
    nx_aliases_free(&s->aliases);
    pthread_mutex_destroy(&s->change);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->wake_lock);
    pthread_cond_destroy(&s->wake);
    nx_free(s->entries);
    nx_free(s->dir);
    nx_free(s);
}

/* ---- Collections come and go ---- */

static nx_status make_folder(nx_store *s, const char *folder, const nx_config *config,
                             nx_error *err)
{
    char      aside[NX_STORE_PATH_CAP], path[NX_STORE_PATH_CAP];
    nx_status st = nx_store_path(aside, s, folder, ".new", err);

    if (!st) st = nx_store_path(path, s, folder, "", err);
    if (!st) st = s->disk->ops->remove_dir(s->disk, aside, err);
    if (!st) st = nx_collection_make(s->disk, aside, config, err);
    if (!st) st = s->disk->ops->rename(s->disk, aside, path, err);
    if (st) {
        (void)s->disk->ops->remove_dir(s->disk, aside, NULL);
        return st;
    }
    st = s->disk->ops->sync_dir(s->disk, s->dir, err);
    if (st) (void)s->disk->ops->remove_dir(s->disk, path, NULL);
    return st;
}

/* The folder gets another name, and then goes. *lost: it failed, and the old name can't be given back
 * for sure, so that what is written from now on may not be found again. */
static nx_status remove_folder(nx_store *s, const char *folder, bool *lost, nx_error *err)
{
    char      gone[NX_STORE_PATH_CAP], path[NX_STORE_PATH_CAP];
    nx_status st = nx_store_path(gone, s, folder, ".gone", err);

    *lost = false;
    if (!st) st = nx_store_path(path, s, folder, "", err);
    if (!st) st = s->disk->ops->remove_dir(s->disk, gone, err);
    if (!st) st = s->disk->ops->rename(s->disk, path, gone, err);
    if (st) return st;
    st = s->disk->ops->sync_dir(s->disk, s->dir, err);
    if (st)
        *lost = s->disk->ops->rename(s->disk, gone, path, NULL) ||
                s->disk->ops->sync_dir(s->disk, s->dir, NULL);
    else
        (void)s->disk->ops->remove_dir(s->disk, gone, NULL); /* else when it opens */
    return st;
}

nx_status nx_store_open_fresh(nx_entry *e, nx_store *s, const char *folder, const char *name,
                              nx_error *err)
{
    bool      lost;
    nx_status st = nx_store_open_entry(e, s, folder, name, err);

    if (!st && !e->c) {
        if (err) *err = e->why;
        st = e->why.status;
        nx_free(e->name);
        *e = (nx_entry){0};
    }
    if (st) (void)remove_folder(s, folder, &lost, NULL);
    return st;
}

nx_status nx_store_create_collection(nx_store *s, nx_str name, const nx_config *config,
                                     nx_error *err)
{
    char      folder[NX_FOLDER_MAX + 1], text[NX_COLLECTION_NAME_MAX + 1];
    nx_entry  e = {0};
    nx_status st = nx_folder_of(folder, name, err);

    if (!st) st = nx_config_check(config, err);
    if (st) return st;
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    pthread_mutex_lock(&s->change);
    st = nx_store_free_name(s, name, err);
    if (!st) st = nx_store_save_aliases(s, err);
    if (!st) st = nx_store_reserve(s, err);
    if (!st) st = make_folder(s, folder, config, err);
    if (!st) st = nx_store_open_fresh(&e, s, folder, text, err);
    if (!st) nx_store_insert(s, e);
    pthread_mutex_unlock(&s->change);
    return st;
}

void nx_store_hold(nx_collection *c)
{
    if (!c) return;
    nx_tidy_give_up(c); /* a long merge isn't waited for */
    pthread_mutex_lock(&c->tidy);
    pthread_mutex_lock(&c->change);
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->give_up, false);
}

void nx_store_let_go(nx_collection *c)
{
    if (!c) return;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->change);
    pthread_mutex_unlock(&c->tidy);
}

void nx_store_detach(nx_collection *c, nx_status st, const char *why)
{
    if (!c) return;
    pthread_mutex_lock(&c->failed_lock);
    if (atomic_load(&c->failed) == NX_OK) {
        nx_fail(&c->failure, st, "%s", why);
        atomic_store(&c->failed, st);
    }
    pthread_mutex_unlock(&c->failed_lock);
}

static nx_entry take_entry(nx_store *s, size_t at, bool *aliases)
{
    pthread_mutex_lock(&s->lock);
    nx_entry e = s->entries[at];
    memmove(s->entries + at, s->entries + at + 1, (--s->n - at) * sizeof e);
    *aliases = drop_stale_aliases(s);
    pthread_mutex_unlock(&s->lock);
    return e;
}

void nx_store_forget(nx_store *s, size_t at)
{
    bool     aliases;
    nx_error inner;
    nx_entry gone = take_entry(s, at, &aliases);

    if (aliases && nx_store_save_aliases(s, &inner))
        nx_log_warn("store: aliases of %s: %s", gone.name, inner.text);
    nx_collection_release(gone.c);
    nx_free(gone.name);
}

nx_status nx_store_drop_collection(nx_store *s, nx_str name, nx_error *err)
{
    char      folder[NX_FOLDER_MAX + 1];
    bool      found, lost;
    nx_status st = nx_folder_of(folder, name, err);

    if (st) return st;
    pthread_mutex_lock(&s->change);
    size_t at = nx_store_place(s, name, &found);
    if (!found) st = nx_store_no_such(name, err);
    if (!st) {
        nx_collection *c = s->entries[at].c;
        nx_store_hold(c);
        st = remove_folder(s, folder, &lost, err);
        if (!st) nx_store_detach(c, NX_ENOENT, "dropped");
        if (lost) nx_store_detach(c, NX_EIO, "dropping it failed half-way");
        nx_store_let_go(c);
    }
    if (!st) nx_store_forget(s, at);
    pthread_mutex_unlock(&s->change);
    return st;
}

static const nx_entry *find_entry(nx_store *s, nx_str name)
{
    bool   found;
    size_t at = nx_store_place(s, name, &found);

    if (!found) {
        const char *to = nx_aliases_find(&s->aliases, name);
        at = to ? nx_store_place(s, nx_str_of(to), &found) : 0;
    }
    return found ? &s->entries[at] : NULL;
}

nx_status nx_store_find(nx_collection **out, nx_store *s, nx_str name, nx_error *err)
{
    nx_status st = NX_OK;

    *out = NULL;
    pthread_mutex_lock(&s->lock);
    const nx_entry *e = find_entry(s, name);
    if (!e && s->aliases.why.status)
        st = nx_fail(err, NX_EFORMAT,
                     "no collection %.*s, and whether it is an alias nobody knows: %s",
                     (int)(name.len < 300 ? name.len : 300), name.p, s->aliases.why.text);
    else if (!e)
        st = nx_store_no_such(name, err);
    else if (!e->c)
        st = nx_fail(err, NX_EFORMAT, "collection %s is quarantined: %s", e->name, e->why.text);
    else
        st = nx_collection_failed(e->c, true, err); /* damage may have been found since */
    if (!st) *out = e->c;
    if (*out) atomic_fetch_add(&(*out)->refs, 1);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static void describe(const nx_entry *e, nx_status *st, nx_error *why)
{
    *why = e->why;
    *st = e->c ? NX_OK : why->status;
    if (e->c) *st = nx_collection_failed(e->c, false, why);
    if (!*st) why->text[0] = '\0';
}

nx_status nx_store_list(nx_store_entry **out, size_t *n, nx_store *s, nx_error *err)
{
    pthread_mutex_lock(&s->lock);
    size_t bytes = s->n * (sizeof **out + NX_COLLECTION_NAME_MAX + 1 + NX_ERROR_TEXT_MAX);
    *n = 0;
    *out = nx_alloc(bytes, 1);
    char *text = *out ? (char *)(*out + s->n) : NULL;
    for (size_t i = 0; *out && i < s->n; i++) {
        nx_store_entry *e = &(*out)[(*n)++];
        nx_error        why;
        describe(&s->entries[i], &e->status, &why);
        e->name = strcpy(text, s->entries[i].name);
        e->reason = strcpy(text += strlen(text) + 1, why.text);
        text += strlen(text) + 1;
    }
    pthread_mutex_unlock(&s->lock);
    return *out ? NX_OK : nx_fail(err, NX_ENOMEM, "list of collections");
}
