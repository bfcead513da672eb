/* ingest_gone.c - documents whose files are gone.
 *
 * A document is taken away when it came by `nexus index` (it has a root), lies beneath the folder that was
 * walked, and there is no file of its name any more. One that can't be looked at stays, and so does one
 * that is merely left out this time. Many go in one record: each costs a wait for the disk.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "rag/ingest_in.h"
#include "rag/shelf_in.h"

enum { GOING_MAX = 512, GOING_CHUNKS_MAX = 20000 };

static bool is_gone(const char *path)
{
    struct stat is;

    if (stat(path, &is)) return errno == ENOENT || errno == ENOTDIR;
    return !S_ISREG(is.st_mode);
}

/* Some that go together. */
typedef struct going {
    nx_point_id ids[GOING_MAX];
    size_t      n;
    uint64_t    n_chunks;
} going;

static nx_status take_away(nx_ingesting *r, going *g, nx_error *err)
{
    size_t    n = g->n;
    nx_status st = n ? nx_shelf_remove_all(r->s, g->ids, &n, err) : NX_OK;

    if (st) return st;
    pthread_mutex_lock(&r->i->lock);
    r->i->n_removed += n; /* others may have been faster */
    pthread_mutex_unlock(&r->i->lock);
    g->n = 0;
    g->n_chunks = 0;
    return NX_OK;
}

static nx_status look_at(nx_ingesting *r, going *g, const nx_document *doc, nx_error *err)
{
    char *path;

    if (doc->root.len == 0) return NX_OK;
    path = nx_strndup(doc->source.p, doc->source.len);
    if (!path) return nx_fail(err, NX_ENOMEM, "a path");
    bool gone = is_gone(path);
    nx_free(path);
    if (!gone) return NX_OK;
    bool      full = g->n == GOING_MAX || (g->n && g->n_chunks + doc->n_chunks > GOING_CHUNKS_MAX);
    nx_status st = full ? take_away(r, g, err) : NX_OK;
    if (st) return st;
    g->ids[g->n++] = doc->id;
    g->n_chunks += doc->n_chunks;
    return NX_OK;
}

static nx_status beneath(nx_arena *a, nx_condition *out, nx_str root, nx_error *err)
{
    char     *text = nx_arena_alloc(a, root.len + 2, 1);
    nx_status st;

    if (!text) return nx_fail(err, NX_ENOMEM, "a filter");
    memcpy(text, root.p, root.len);
    bool slash = root.len > 0 && root.p[root.len - 1] == '/';
    text[root.len] = '/';
    st = nx_shelf_condition(a, out, "source", (nx_str){text, root.len + !slash}, err);
    out->kind = NX_COND_PREFIX;
    return st;
}

nx_status nx_ingest_take_away(nx_ingesting *r, nx_str root, nx_error *err)
{
    nx_arena         a = {0};
    nx_condition     c;
    nx_filter        own = {.must = &c, .n_must = 1};
    const nx_filter *f;
    nx_point_id     *ids = NULL;
    nx_point_copy    copy = {0};
    size_t           n = 0;
    going            g = {0};
    nx_snapshot     *snap = nx_snapshot_take(nx_shelf_collection(r->s));

    while (root.len > 1 && root.p[root.len - 1] == '/') root.len--;
    nx_status st = beneath(&a, &c, root, err);
    if (!st) st = nx_shelf_filter_documents(&a, &own, &f, err);
    if (!st) st = nx_shelf_ids(snap, &ids, &n, f, err);
    for (size_t i = 0; !st && i < n && !nx_ingest_stopped(r); i++) {
        nx_document doc;
        st = nx_shelf_get(r->s, snap, &doc, &copy, ids[i], NULL, err);
        if (!st) st = look_at(r, &g, &doc, err);
    }
    if (!st && !nx_ingest_stopped(r)) st = take_away(r, &g, err);
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    nx_free(ids);
    nx_arena_free(&a);
    return st;
}
