/* tune.c - a collection's settings while it serves.
 *
 * Idea: `change` lets one change at a time go to the disk; `settings_lock` guards the pointer alone
 *       and is held for some instructions, so that readers never wait for the disk.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/collection.h"
#include "store/settings_file.h"

const nx_settings *nx_collection_settings(nx_collection *c)
{
    pthread_mutex_lock(&c->settings_lock);
    const nx_settings *s = c->settings;
    nx_settings_retain(s);
    pthread_mutex_unlock(&c->settings_lock);
    return s;
}

static void put_in_force(nx_collection *c, const nx_settings *s)
{
    pthread_mutex_lock(&c->settings_lock);
    const nx_settings *old = c->settings;
    c->settings = s;
    pthread_mutex_unlock(&c->settings_lock);
    nx_settings_release(old);
}

static nx_status copy_of(const nx_settings **out, const nx_settings *s, nx_error *err)
{
    nx_buf    bytes = {.max = NX_SETTINGS_MAX};
    nx_status st = nx_settings_write(&bytes, s, err);

    *out = NULL;
    if (!st) st = nx_settings_read(out, bytes.data, bytes.len, err);
    nx_buf_free(&bytes);
    return st;
}

/* Make next, which borrows from what is in force, durable and put a copy of it in force. Under
 * `change`. */
static nx_status replace(nx_collection *c, nx_settings *next, nx_error *err)
{
    const nx_settings *copy = NULL;
    bool               unclear = false;

    next->version = c->settings->version + 1;
    nx_status st = nx_settings_check(next, err);
    if (!st) st = nx_collection_failed(c, false, err);
    if (!st) st = copy_of(&copy, next, err);
    if (!st) st = nx_settings_save(copy, c->disk, c->dir, c->manifest.incarnation, &unclear, err);
    if (st) {
        if (unclear)
            nx_log_warn("collection %s: its settings may be the new ones when it is opened anew",
                        c->name);
        nx_settings_release(copy);
        return st;
    }
    put_in_force(c, copy);
    return NX_OK;
}

/* The place of path among the indexes, or where it would be. */
static size_t place_of(const nx_settings *s, nx_str path)
{
    size_t i = 0;

    while (i < s->n_indexes) {
        nx_str at = s->indexes[i].path;
        size_t n = at.len < path.len ? at.len : path.len;
        int    order = n ? memcmp(at.p, path.p, n) : 0;
        if (order > 0 || (order == 0 && at.len >= path.len)) break;
        i++;
    }
    return i;
}

/* Settings as they are, but for the index of `path`: put there, or (spec NULL) gone. */
static nx_status change_index(nx_collection *c, nx_str path, const nx_index_spec *spec,
                              nx_error *err)
{
    nx_settings    next = *c->settings;
    size_t         at = place_of(&next, path), n = next.n_indexes;
    bool           there = nx_settings_index(&next, path) != NULL;
    nx_index_spec *list = nx_alloc(n + 1, sizeof *list);

    if (!list) return nx_fail(err, NX_ENOMEM, "a list of indexes");
    if (at) memcpy(list, next.indexes, at * sizeof *list);
    if (spec) list[at] = *spec;
    size_t to = at + (spec != NULL), from = at + there;
    if (n > from) memcpy(list + to, next.indexes + from, (n - from) * sizeof *list);
    next.indexes = list;
    next.n_indexes = to + n - from;
    nx_status st = replace(c, &next, err);
    nx_free(list);
    return st;
}

nx_status nx_collection_create_index(nx_collection *c, const nx_index_spec *spec, nx_error *err)
{
    pthread_mutex_lock(&c->change);
    nx_status st = change_index(c, spec->path, spec, err);
    pthread_mutex_unlock(&c->change);
    return st;
}

nx_status nx_collection_drop_index(nx_collection *c, nx_str path, nx_error *err)
{
    nx_status st = NX_OK;

    pthread_mutex_lock(&c->change);
    if (!nx_settings_index(c->settings, path))
        st = nx_fail(err, NX_ENOENT, "no index on %.*s", (int)(path.len < 300 ? path.len : 300),
                     path.p);
    if (!st) st = change_index(c, path, NULL, err);
    pthread_mutex_unlock(&c->change);
    return st;
}

nx_status nx_collection_set_note(nx_collection *c, nx_str note, nx_error *err)
{
    pthread_mutex_lock(&c->change);
    nx_settings next = *c->settings;
    next.note = note;
    nx_status st = replace(c, &next, err);
    pthread_mutex_unlock(&c->change);
    return st;
}
