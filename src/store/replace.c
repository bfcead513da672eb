/* replace.c - a collection comes from a file, in place of another or as a new one; or one takes another's
 * place.
 *
 * Idea: it is made beside, as <folder>.import, or gets that name. What replaces another becomes <folder>.next: once that
 *       name is on the disk the change has happened, and opening the store would finish it. Then the old
 *       one becomes <folder>.gone, and the new one <folder>, each name synced before the next step.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/store_in.h"
#include "store/unpack.h"

typedef struct names {
    char path[NX_STORE_PATH_CAP], import[NX_STORE_PATH_CAP], next[NX_STORE_PATH_CAP],
        gone[NX_STORE_PATH_CAP];
} names;

static nx_status names_of(names *p, const nx_store *s, const char *folder, nx_error *err)
{
    nx_status st = nx_store_path(p->path, s, folder, "", err);

    if (!st) st = nx_store_path(p->import, s, folder, ".import", err);
    if (!st) st = nx_store_path(p->next, s, folder, ".next", err);
    return st ? st : nx_store_path(p->gone, s, folder, ".gone", err);
}

static nx_status move(nx_store *s, const char *from, const char *to, nx_error *err)
{
    nx_status st = s->disk->ops->rename(s->disk, from, to, err);

    return st ? st : s->disk->ops->sync_dir(s->disk, s->dir, err);
}

/* Back to the beginning, in the other order; what was renamed: `next`, `gone`. False: nobody knows what
 * opening the store would find. */
static bool take_back(nx_store *s, const names *p, bool next, bool gone)
{
    if (gone && move(s, p->gone, p->path, NULL)) return false;
    return !next || !move(s, p->next, p->import, NULL);
}

/* The new folder takes the place of the old one. *lost: it failed, and what the old one takes from now
 * on may be gone when the store opens. */
static nx_status swap_folders(nx_store *s, const names *p, bool *lost, nx_error *err)
{
    const nx_disk_ops *ops = s->disk->ops;
    bool               next = false, gone = false;
    nx_status          st = ops->remove_dir(s->disk, p->gone, err);

    *lost = false;
    if (!st) st = ops->rename(s->disk, p->import, p->next, err);
    next = !st;
    if (!st) st = ops->sync_dir(s->disk, s->dir, err);
    if (!st) {
        st = ops->rename(s->disk, p->path, p->gone, err);
        gone = !st;
    }
    if (!st) st = ops->sync_dir(s->disk, s->dir, err);
    if (!st) st = ops->rename(s->disk, p->next, p->path, err);
    if (st) {
        *lost = !take_back(s, p, next, gone);
        return st;
    }
    /* When this fails either name leads to the new one, when the store opens. */
    if (!ops->sync_dir(s->disk, s->dir, NULL)) (void)ops->remove_dir(s->disk, p->gone, NULL);
    return NX_OK;
}

/* ---- At opening ---- */

nx_status nx_store_finish_replacing(nx_store *s, const char *folder, bool there, nx_error *err)
{
    names    *p = nx_alloc(1, sizeof *p);
    nx_status st = p ? names_of(p, s, folder, err) : nx_fail(err, NX_ENOMEM, "names");

    if (!st && there) {
        st = s->disk->ops->remove_dir(s->disk, p->gone, err);
        if (!st) st = move(s, p->path, p->gone, err);
    }
    if (!st) st = move(s, p->next, p->path, err);
    nx_free(p);
    return st;
}

/* ---- From a file ---- */

/* It opens, too; nothing of that stays. */
static nx_status try_it(nx_store *s, const char *dir, nx_str name, nx_error *err)
{
    nx_collection *c;
    nx_status      st = nx_collection_open(&c, s->disk, dir, name, &s->options, err);

    if (st) return st;
    nx_store_detach(c, NX_ENOENT, "not yet in its place"); /* so that no seal is written */
    nx_collection_release(c);
    return NX_OK;
}

static nx_status put_new(nx_store *s, const names *p, const char *folder, const char *name,
                         nx_error *err)
{
    nx_entry  e = {0};
    bool      moved = false;
    nx_status st = nx_store_save_aliases(s, err);

    if (!st) st = nx_store_reserve(s, err);
    if (!st) {
        moved = true;
        st = move(s, p->import, p->path, err);
    }
    if (!st) st = nx_store_open_fresh(&e, s, folder, name, err);
    if (!st) nx_store_insert(s, e);
    if (st && moved) (void)s->disk->ops->remove_dir(s->disk, p->path, NULL);
    return st;
}

/* Held. Has it taken a request that isn't among the first seq? */
static nx_status check_seq(const nx_collection *old, uint64_t seq, nx_error *err)
{
    if (!old || seq == NX_ANY_SEQ || old->log.next_seq - 1 == seq) return NX_OK;
    return nx_fail(err, NX_EBUSY, "%s has changed: its last request is %llu, not %llu", old->name,
                   (unsigned long long)(old->log.next_seq - 1), (unsigned long long)seq);
}

/* *done: it happened, though it may not be open yet. */
static nx_status put_over(nx_store *s, const names *p, size_t at, const char *folder,
                          const char *name, uint64_t seq, bool *done, nx_error *err)
{
    nx_collection *old = s->entries[at].c;
    nx_entry       e = {.name = nx_strdup(name)};
    bool           lost = false;
    nx_status      st = e.name ? NX_OK : nx_fail(err, NX_ENOMEM, "%s", name);

    nx_store_hold(old);
    if (!st) st = check_seq(old, seq, err);
    if (!st) st = swap_folders(s, p, &lost, err);
    *done = !st;
    if (!st) nx_store_detach(old, NX_ENOENT, "replaced");
    if (lost) nx_store_detach(old, NX_EIO, "replacing it failed half-way");
    nx_store_let_go(old);
    if (st) {
        nx_free(e.name);
        return st;
    }
    nx_store_open_into(&e, s, folder);
    if (!e.c) st = nx_fail(err, e.why.status, "replaced, but not yet open: %s", e.why.text);
    nx_store_swap(s, &e);
    nx_collection_release(e.c);
    nx_free(e.name);
    return st;
}

/* May the name be taken? *at: the collection that is there, when *found. */
static nx_status may_take(const nx_store *s, nx_str name, bool replace, size_t *at, bool *found,
                          nx_error *err)
{
    *at = nx_store_place(s, name, found);
    if (!*found || !replace) return nx_store_free_name(s, name, err);
    for (const nx_coming *x = s->coming; x; x = x->next)
        if (nx_str_eq(x->name, name))
            return nx_fail(err, NX_EBUSY, "Collection `%.*s` is being restored", (int)name.len,
                           name.p);
    return NX_OK;
}

static nx_status announce(nx_store *s, nx_coming *x, bool replace, nx_error *err)
{
    size_t at;
    bool   found;

    pthread_mutex_lock(&s->change);
    nx_status st = may_take(s, x->name, replace, &at, &found, err);
    if (!st) {
        x->next = s->coming;
        s->coming = x;
    }
    pthread_mutex_unlock(&s->change);
    return st;
}

static void forget(nx_store *s, nx_coming *x)
{
    nx_coming **at = &s->coming;

    while (*at != x) at = &(*at)->next;
    *at = x->next;
}

/* The folder is whole: its place is taken. The name's announcement ends here. */
static nx_status put_in_place(nx_store *s, nx_coming *x, const names *p, const char *folder,
                              const char *name, bool replace, nx_error *err)
{
    size_t at;
    bool   found, done;

    pthread_mutex_lock(&s->change);
    forget(s, x);
    nx_status st = may_take(s, x->name, replace, &at, &found, err);
    if (!st)
        st = found ? put_over(s, p, at, folder, name, NX_ANY_SEQ, &done, err)
                   : put_new(s, p, folder, name, err);
    pthread_mutex_unlock(&s->change);
    return st;
}

nx_status nx_store_import_collection(nx_store *s, nx_str name, const char *path, bool replace,
                                     nx_copy_fn progress, void *ctx, nx_error *err)
{
    char      folder[NX_FOLDER_MAX + 1], text[NX_COLLECTION_NAME_MAX + 1];
    nx_coming coming = {.name = name};
    names    *p = nx_alloc(1, sizeof *p);
    nx_status st = p ? nx_folder_of(folder, name, err) : nx_fail(err, NX_ENOMEM, "names");

    if (!st) st = names_of(p, s, folder, err);
    if (!st) st = announce(s, &coming, replace, err);
    if (st) {
        nx_free(p);
        return st;
    }
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    st = s->disk->ops->remove_dir(s->disk, p->import, err);
    if (!st) st = nx_unpack(s->disk, p->import, path, progress, ctx, err);
    if (!st) st = try_it(s, p->import, name, err);
    if (!st) {
        st = put_in_place(s, &coming, p, folder, text, replace, err);
    } else {
        pthread_mutex_lock(&s->change);
        forget(s, &coming);
        pthread_mutex_unlock(&s->change);
    }
    if (st) (void)s->disk->ops->remove_dir(s->disk, p->import, NULL); /* else when it opens */
    nx_free(p);
    return st;
}

/* ---- One in place of another ---- */

/* Its folder goes into the other's place. Held by the caller. *done as of put_over. */
static nx_status move_over(nx_store *s, nx_collection *by, const char *from, const names *p,
                           size_t at, const char *folder, const char *name, uint64_t seq,
                           bool *done, nx_error *err)
{
    bool      moved = false;
    nx_status st = s->disk->ops->remove_dir(s->disk, p->import, err);

    *done = false;
    if (!st) {
        moved = true; /* perhaps */
        st = move(s, from, p->import, err);
    }
    if (!st) st = put_over(s, p, at, folder, name, seq, done, err);
    if (*done)
        nx_store_detach(by, NX_ENOENT, "it has taken another's place");
    else if (moved && move(s, p->import, from, NULL))
        nx_store_detach(by, NX_EIO, "taking another's place failed half-way");
    return st;
}

static nx_status find_both(const nx_store *s, nx_str name, nx_str by, size_t *at, size_t *by_at,
                           nx_error *err)
{
    bool      found;
    nx_status st = NX_OK;

    *by_at = nx_store_place(s, by, &found);
    if (!found) return nx_store_no_such(by, err);
    if (!s->entries[*by_at].c)
        return nx_fail(err, NX_EFORMAT, "collection %s is quarantined: %s", s->entries[*by_at].name,
                       s->entries[*by_at].why.text);
    if (nx_str_eq(name, by)) return nx_fail(err, NX_EINVAL, "a collection in its own place");
    st = may_take(s, by, true, by_at, &found, err);
    if (!st) st = may_take(s, name, true, at, &found, err);
    return st || found ? st : nx_store_no_such(name, err);
}

nx_status nx_store_replace_collection(nx_store *s, nx_str name, nx_str by, uint64_t seq,
                                      nx_error *err)
{
    char      folder[NX_FOLDER_MAX + 1], other[NX_FOLDER_MAX + 1], text[NX_COLLECTION_NAME_MAX + 1];
    char      from[NX_STORE_PATH_CAP];
    size_t    at = 0, by_at = 0;
    bool      done = false;
    names    *p = nx_alloc(1, sizeof *p);
    nx_status st = p ? nx_folder_of(folder, name, err) : nx_fail(err, NX_ENOMEM, "names");

    if (!st) st = nx_folder_of(other, by, err);
    if (!st) st = names_of(p, s, folder, err);
    if (!st) st = nx_store_path(from, s, other, "", err);
    pthread_mutex_lock(&s->change);
    if (!st) st = find_both(s, name, by, &at, &by_at, err);
    if (!st) {
        nx_collection *c = s->entries[by_at].c;
        memcpy(text, name.p, name.len);
        text[name.len] = '\0';
        nx_store_hold(c);
        st = nx_collection_failed(c, false, err);
        if (!st) st = move_over(s, c, from, p, at, folder, text, seq, &done, err);
        nx_store_let_go(c);
    }
    if (done) nx_store_forget(s, by_at);
    pthread_mutex_unlock(&s->change);
    nx_free(p);
    return st;
}
