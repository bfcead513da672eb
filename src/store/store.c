/* store.c - the collections of a folder, and the thread that tidies them. */
#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/utf8.h"
#include "os/dir.h"
#include "store/collection.h"

enum { PATH_CAP = 4096, FOLDER_MAX = 240, TIDY_EVERY_S = 1 };

typedef struct entry {
    char          *name;
    nx_collection *c;   /* NULL: quarantined when it was opened */
    nx_error       why; /* then */
} entry;

struct nx_store {
    nx_store_options options;
    nx_disk         *disk;
    char            *dir;
    int              folder_lock;

    pthread_mutex_t lock;    /* guards what follows */
    entry          *entries; /* sorted by name */
    size_t          n, cap;

    pthread_mutex_t wake_lock;
    pthread_cond_t  wake;
    bool            stop, woken; /* under wake_lock */
    bool            started;
    pthread_t       thread;
};

/* ---- Names ---- */

static bool plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* The folder's name: out[FOLDER_MAX + 1]. */
static nx_status folder_of(char *out, nx_str name, nx_error *err)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t            n = 0;

    if (name.len == 0 || name.len > NX_COLLECTION_NAME_MAX || memchr(name.p, 0, name.len) ||
        !nx_utf8_valid(name.p, name.len, NULL))
        return nx_fail(err, NX_EINVAL, "a collection's name is 1 to %d bytes of UTF-8",
                       NX_COLLECTION_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (n + 3 > FOLDER_MAX)
            return nx_fail(err, NX_EINVAL, "collection %.*s: too long a name for a folder",
                           (int)name.len, name.p);
        if (plain(c)) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    out[n] = '\0';
    return NX_OK;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The name that gives this folder: out[FOLDER_MAX + 1]. False: none does. */
static bool name_of(char *out, const char *folder)
{
    char   again[FOLDER_MAX + 1];
    size_t n = 0;

    if (strlen(folder) > FOLDER_MAX) return false;
    for (const char *p = folder; *p; p++) {
        if (*p != '%') {
            out[n++] = *p;
            continue;
        }
        int hi = hex_value(p[1]), lo = hi < 0 ? -1 : hex_value(p[2]);
        if (lo < 0) return false;
        out[n++] = (char)(hi << 4 | lo);
        p += 2;
    }
    out[n] = '\0';
    return !folder_of(again, (nx_str){out, n}, NULL) && strcmp(again, folder) == 0;
}

static nx_status path_of(char out[PATH_CAP], const nx_store *s, const char *folder,
                         const char *ending, nx_error *err)
{
    if (nx_path_write(out, PATH_CAP, "%s/%s%s", s->dir, folder, ending)) return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: too long a path", s->dir);
}

/* ---- The list ---- */

/* Where the name is, or would be. Under lock. */
static size_t place_of(const nx_store *s, nx_str name, bool *found)
{
    size_t lo = 0, hi = s->n;

    *found = false;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        nx_str at = nx_str_of(s->entries[mid].name);
        size_t n = at.len < name.len ? at.len : name.len;
        int    c = memcmp(at.p, name.p, n);
        if (c == 0) c = at.len < name.len ? -1 : at.len > name.len;
        if (c == 0) *found = true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static nx_status reserve_entry(nx_store *s, nx_error *err)
{
    if (s->n == NX_COLLECTIONS_MAX)
        return nx_fail(err, NX_ELIMIT, "%d collections, and no more", NX_COLLECTIONS_MAX);
    if (s->n < s->cap) return NX_OK;
    size_t cap = s->cap ? 2 * s->cap : 16;
    entry *grown = nx_realloc(s->entries, cap, sizeof *grown);
    if (!grown) return nx_fail(err, NX_ENOMEM, "list of collections");
    s->entries = grown;
    s->cap = cap;
    return NX_OK;
}

static void insert_entry(nx_store *s, size_t at, entry e)
{
    memmove(s->entries + at + 1, s->entries + at, (s->n - at) * sizeof e);
    s->entries[at] = e;
    s->n++;
}

static void wake_up(void *ctx)
{
    nx_store *s = ctx;

    pthread_mutex_lock(&s->wake_lock);
    s->woken = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->wake_lock);
}

/* Open the folder as the collection `name`; one that was there before goes into quarantine when
 * that fails. Under lock, reserved. */
static nx_status add_collection(nx_store *s, const char *folder, const char *name, bool fresh,
                                nx_error *err)
{
    entry     e = {.name = nx_strdup(name)};
    char      path[PATH_CAP];
    bool      found;
    size_t    at = place_of(s, nx_str_of(name), &found);
    nx_status st = e.name ? path_of(path, s, folder, "", err) : nx_fail(err, NX_ENOMEM, "%s", name);

    if (!st) st = nx_collection_open(&e.c, s->disk, path, nx_str_of(name), &s->options, &e.why);
    if (!e.c && (fresh || !e.name || st == NX_ENOMEM || !e.why.status)) {
        if (err && e.why.status) *err = e.why;
        nx_free(e.name);
        return st;
    }
    if (e.c) {
        e.c->wake = s->options.background ? wake_up : NULL;
        e.c->wake_ctx = s;
    } else {
        nx_log_error("collection %s is quarantined: %s", name, e.why.text);
    }
    insert_entry(s, at, e);
    return NX_OK;
}

/* ---- Tidying ---- */

static nx_status tidy_one(nx_collection *c, nx_effort effort, nx_error *err)
{
    bool      did = true;
    nx_status st;

    pthread_mutex_lock(&c->lock);
    uint64_t last = c->log.next_seq - 1;
    if (effort == NX_TIDY_BUSY && c->last_tidied == last) effort = NX_TIDY_IDLE;
    pthread_mutex_unlock(&c->lock);
    st = nx_wait_synced(c, last, err);
    while (!st && did) st = nx_tidy_step(c, effort, &did, err);
    pthread_mutex_lock(&c->lock);
    if (!st) c->last_tidied = c->log.next_seq - 1;
    pthread_mutex_unlock(&c->lock);
    return st;
}

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

static nx_status tidy_all(nx_store *store, nx_effort effort, nx_error *err)
{
    nx_status      first = NX_OK;
    nx_collection *c;
    nx_error       inner = {0};

    for (size_t i = 0; (c = collection_at(store, &i));) {
        nx_status st = tidy_one(c, effort, &inner);
        if (st && !first && err) *err = inner;
        if (st && !first) first = st;
        nx_collection_release(c);
    }
    return first;
}

nx_status nx_store_maintain(nx_store *store, nx_error *err)
{
    return tidy_all(store, NX_TIDY_IDLE, err);
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
        nx_status st = tidy_all(s, NX_TIDY_BUSY, &err);
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

static nx_status open_collections(nx_store *s, nx_error *err)
{
    char    **names;
    size_t    n;
    nx_status st = s->disk->ops->list(s->disk, &names, &n, s->dir, err);

    for (size_t i = 0; !st && i < n; i++) {
        char path[PATH_CAP], name[FOLDER_MAX + 1];
        if (ends_with(names[i], ".new") || ends_with(names[i], ".gone")) {
            if (!path_of(path, s, names[i], "", NULL))
                (void)s->disk->ops->remove_dir(s->disk, path, NULL);
        } else if (name_of(name, names[i])) { /* not .lock: a name's dot is written %2E */
            st = reserve_entry(s, err);
            if (!st) st = add_collection(s, names[i], name, false, err);
        }
    }
    nx_free(names);
    return st;
}

static nx_status open_all(nx_store *s, nx_error *err)
{
    char      path[PATH_CAP];
    nx_status st = s->disk->ops->make_dir(s->disk, s->dir, err);

    if (!st) st = path_of(path, s, ".lock", "", err);
    if (!st) st = s->disk->ops->lock(s->disk, &s->folder_lock, path, err);
    if (!st) st = open_collections(s, err);
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
        pthread_join(s->thread, NULL);
    }
    for (size_t i = 0; i < s->n; i++) {
        nx_collection_release(s->entries[i].c);
        nx_free(s->entries[i].name);
    }
    s->disk->ops->unlock(s->disk, s->folder_lock);
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
    char      aside[PATH_CAP], path[PATH_CAP];
    nx_status st = path_of(aside, s, folder, ".new", err);

    if (!st) st = path_of(path, s, folder, "", err);
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

/* The folder gets another name, and then goes. */
static nx_status remove_folder(nx_store *s, const char *folder, nx_error *err)
{
    char      gone[PATH_CAP], path[PATH_CAP];
    nx_status st = path_of(gone, s, folder, ".gone", err);

    if (!st) st = path_of(path, s, folder, "", err);
    if (!st) st = s->disk->ops->remove_dir(s->disk, gone, err);
    if (!st) st = s->disk->ops->rename(s->disk, path, gone, err);
    if (!st) st = s->disk->ops->sync_dir(s->disk, s->dir, err);
    if (!st) (void)s->disk->ops->remove_dir(s->disk, gone, NULL); /* else when it opens */
    return st;
}

nx_status nx_store_create_collection(nx_store *s, nx_str name, const nx_config *config,
                                     nx_error *err)
{
    char      folder[FOLDER_MAX + 1], text[NX_COLLECTION_NAME_MAX + 1];
    bool      found;
    nx_status st = folder_of(folder, name, err);

    if (!st) st = nx_config_check(config, err);
    if (st) return st;
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    pthread_mutex_lock(&s->lock);
    place_of(s, name, &found);
    if (found) st = nx_fail(err, NX_EBUSY, "Collection `%s` already exists!", text);
    if (!st) st = reserve_entry(s, err);
    if (!st) st = make_folder(s, folder, config, err);
    if (!st) {
        st = add_collection(s, folder, text, true, err);
        if (st) (void)remove_folder(s, folder, NULL);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

/* Nobody writes into its folder: no request, no maintainer, no settings. */
static void hold(nx_collection *c)
{
    pthread_mutex_lock(&c->tidy);
    pthread_mutex_lock(&c->change);
    pthread_mutex_lock(&c->lock);
}

static void let_go(nx_collection *c)
{
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->change);
    pthread_mutex_unlock(&c->tidy);
}

/* From here on the handle that others have only reads. Held. */
static void detach(nx_collection *c, const char *what)
{
    nx_error why;

    nx_fail(&why, NX_ENOENT, "%s", what);
    pthread_mutex_lock(&c->failed_lock);
    if (atomic_load(&c->failed) == NX_OK) {
        c->failure = why;
        atomic_store(&c->failed, NX_ENOENT);
    }
    pthread_mutex_unlock(&c->failed_lock);
}

/* Lock the store, with the collection of that name held: a long merge is waited for before, not
 * meanwhile. False: there is none of that name, and the store is locked. *held is NULL at first, and
 * stays so where the name is quarantined. unlock_named. */
static bool lock_named(nx_store *s, nx_str name, size_t *at, nx_collection **held)
{
    for (;;) {
        bool found;
        pthread_mutex_lock(&s->lock);
        *at = place_of(s, name, &found);
        nx_collection *c = found ? s->entries[*at].c : NULL;
        if (c == *held) return found;
        if (c) atomic_fetch_add(&c->refs, 1);
        pthread_mutex_unlock(&s->lock);
        if (*held) let_go(*held);
        nx_collection_release(*held);
        if (c) hold(c);
        *held = c;
    }
}

static void unlock_named(nx_store *s, nx_collection *held)
{
    pthread_mutex_unlock(&s->lock);
    if (held) let_go(held);
    nx_collection_release(held);
}

static nx_status no_such(nx_str name, nx_error *err)
{
    return nx_fail(err, NX_ENOENT, "Collection `%.*s` doesn't exist!",
                   (int)(name.len < 300 ? name.len : 300), name.p);
}

nx_status nx_store_drop_collection(nx_store *s, nx_str name, nx_error *err)
{
    char           folder[FOLDER_MAX + 1];
    nx_collection *held = NULL;
    entry          gone = {0};
    size_t         at;
    nx_status      st = folder_of(folder, name, err);

    if (st) return st;
    if (!lock_named(s, name, &at, &held)) st = no_such(name, err);
    if (!st) st = remove_folder(s, folder, err);
    if (!st && held) detach(held, "dropped");
    if (!st) {
        gone = s->entries[at];
        memmove(s->entries + at, s->entries + at + 1, (--s->n - at) * sizeof gone);
    }
    unlock_named(s, held);
    nx_collection_release(gone.c);
    nx_free(gone.name);
    return st;
}

nx_status nx_store_find(nx_collection **out, nx_store *s, nx_str name, nx_error *err)
{
    bool      found;
    nx_status st = NX_OK;

    *out = NULL;
    pthread_mutex_lock(&s->lock);
    size_t at = place_of(s, name, &found);
    if (!found)
        st = no_such(name, err);
    else if (!s->entries[at].c)
        st = nx_fail(err, NX_EFORMAT, "collection %s is quarantined: %s", s->entries[at].name,
                     s->entries[at].why.text);
    else
        *out = s->entries[at].c;
    if (*out) atomic_fetch_add(&(*out)->refs, 1);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static void describe(const entry *e, nx_status *st, nx_error *why)
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
