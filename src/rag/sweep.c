/* sweep.c - bytes that no document names any more are removed.
 *
 * All names are gathered first; what came since is younger than an hour, and stays, also where its bytes were
 * there before: putting them again makes them young.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rag/shelf_in.h"

enum { AGE_S = 3600 };

typedef struct named {
    nx_buf             names; /* NX_BLOB_NAME bytes each */
    const atomic_bool *stop;
} named;

static bool is_stopped(const named *x)
{
    return x->stop && atomic_load(x->stop);
}

static int by_name(const void *a, const void *b)
{
    return memcmp(a, b, NX_BLOB_NAME);
}

static bool is_named(void *ctx, const char *name)
{
    named *x = ctx;
    char   key[NX_BLOB_NAME] = {0};

    if (is_stopped(x) || strlen(name) != NX_BLOB_NAME - 1) return true; /* or none of ours */
    memcpy(key, name, sizeof key);
    return x->names.len &&
           bsearch(key, x->names.data, x->names.len / NX_BLOB_NAME, NX_BLOB_NAME, by_name);
}

static nx_status add(named *x, nx_str name, nx_error *err)
{
    char key[NX_BLOB_NAME] = {0};

    if (name.len != NX_BLOB_NAME - 1) return NX_OK;
    memcpy(key, name.p, name.len);
    return nx_buf_add(&x->names, key, sizeof key, err);
}

static nx_status add_document(named *x, nx_value v, nx_error *err)
{
    nx_value  queued = nx_value_member(v, NX_STR("queued"));
    nx_status st = add(x, nx_field_text(v, "sha256"), err);

    if (!st) st = add(x, nx_field_text(v, "text_sha256"), err);
    if (!st && queued.n) st = add(x, nx_field_text(queued, "sha256"), err);
    return st;
}

/* Only a shelf's points name bytes; no other collection's are read. */
static bool is_shelf(const nx_collection *c)
{
    const nx_config *config = nx_collection_config(c);

    return nx_config_slot(config, NX_STR(NX_SHELF_DENSE)) >= 0 &&
           nx_config_slot(config, NX_STR(NX_SHELF_WORDS)) >= 0;
}

static nx_status add_collection(named *x, nx_collection *c, nx_error *err)
{
    nx_arena         a = {0};
    nx_snapshot     *snap = nx_snapshot_take(c);
    const nx_filter *f;
    nx_point_id     *ids = NULL;
    nx_point_copy    copy = {0};
    size_t           n = 0;
    nx_status        st = nx_shelf_filter_documents(&a, NULL, &f, err);

    if (!st) st = nx_shelf_ids(snap, &ids, &n, f, err);
    for (size_t i = 0; !st && i < n; i++) {
        st = nx_snapshot_get(snap, &copy, ids[i], err);
        if (!st) st = add_document(x, copy.point.payload, err);
        if (!st && is_stopped(x)) st = nx_fail(err, NX_ECANCELLED, "stopped");
    }
    nx_point_copy_free(&copy);
    nx_free(ids);
    nx_snapshot_release(snap);
    nx_arena_free(&a);
    return st;
}

/* A collection that can't be read names nobody knows what: nothing may go. */
static nx_status add_all(named *x, nx_store *store, nx_error *err)
{
    nx_store_entry *list = NULL;
    size_t          n = 0;
    nx_status       st = nx_store_list(&list, &n, store, err);

    for (size_t i = 0; !st && i < n; i++) {
        nx_collection *c;
        nx_error       inner = {0};
        st = nx_store_find(&c, store, nx_str_of(list[i].name), &inner);
        if (!st) {
            st = is_shelf(c) ? add_collection(x, c, &inner) : NX_OK;
            nx_collection_release(c);
        } else if (st == NX_ENOENT) {
            st = NX_OK; /* dropped meanwhile */
        }
        if (st && err) *err = inner;
    }
    nx_free(list);
    return st;
}

nx_status nx_shelves_sweep(nx_store *store, nx_blobs *blobs, const atomic_bool *stop, uint64_t *n,
                           nx_error *err)
{
    named     x = {.names.max = (size_t)1 << 31, .stop = stop};
    nx_status st = nx_shelves_drop_leftovers(store, err);

    *n = 0;
    if (!st) st = add_all(&x, store, err);
    if (!st && x.names.len) qsort(x.names.data, x.names.len / NX_BLOB_NAME, NX_BLOB_NAME, by_name);
    if (!st) st = nx_blobs_sweep(blobs, is_named, &x, AGE_S, n, err);
    nx_buf_free(&x.names);
    return st;
}
