/* reopen.c - a collection that failed is opened anew while the others serve.
 *
 * Idea: after a failed sync nobody knows what of the log is on the disk; so it is put there once more
 *       (wal_anew.c) before its records are shown to anyone.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "store/store_in.h"

/* A good one in e->c, or its fault. why: what the old one failed with. */
static nx_status open_anew(nx_entry *e, nx_store *s, const char *folder, const char *name,
                           nx_status why, nx_error *err)
{
    char      dir[NX_STORE_PATH_CAP];
    nx_status st = nx_store_path(dir, s, folder, "", err);

    if (!st) st = nx_wal_write_anew(s->disk, dir, err);
    if (!st) st = nx_store_open_entry(e, s, folder, name, err);
    if (!st && !e->c) {
        if (err) *err = e->why;
        return e->why.status;
    }
    return !st && why == NX_EFORMAT ? nx_collection_check(e->c, err) : st;
}

static nx_status reopen(nx_store *s, size_t at, const char *folder, nx_error *err)
{
    nx_collection *old = s->entries[at].c;
    nx_status      why = old ? (nx_status)atomic_load(&old->failed) : NX_EFORMAT;
    nx_entry       e = {0};

    if (!why) return NX_OK;
    nx_store_hold(old);
    nx_status st = open_anew(&e, s, folder, s->entries[at].name, why, err);
    nx_store_let_go(old);
    if (!st) {
        nx_log_info("collection %s: opened anew", e.name);
        nx_store_swap(s, &e);
    }
    nx_collection_release(e.c); /* the old one, or what didn't come to be */
    nx_free(e.name);
    return st;
}

nx_status nx_store_reopen_collection(nx_store *s, nx_str name, nx_error *err)
{
    char      folder[NX_FOLDER_MAX + 1];
    bool      found;
    nx_status st = nx_folder_of(folder, name, err);

    if (st) return st;
    pthread_mutex_lock(&s->change);
    size_t at = nx_store_place(s, name, &found);
    st = found ? reopen(s, at, folder, err) : nx_store_no_such(name, err);
    pthread_mutex_unlock(&s->change);
    return st;
}
