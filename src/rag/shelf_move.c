/* shelf_move.c - a collection moves to another embedding model, while the old one serves on.
 *
 * Idea:   a new collection is made beside, under a name that shelves don't show, and filled from the bytes that
 *         were kept: each document is cut anew, since another model counts otherwise. When all vectors are
 *         there, it is brought up to what has changed meanwhile, and takes the old one's place in one step of
 *         the store, which is refused when a request came between: then it catches up again.
 * Crash:  the old one serves; what was made beside is dropped by the next move, or by nx_shelves_sweep.
 */
#include <string.h>

#include "base/alloc.h"
#include "rag/shelf_in.h"
#include "rag/sniff.h"

enum { EMBED_AT_ONCE = 256, TRIES = 100 };

#define ENDING ".moving"

typedef struct moving {
    nx_store                *store;
    nx_shelf                *from, *to;
    nx_str                   name;
    nx_buf                   beside; /* its name */
    const nx_shelf_settings *settings;
    nx_embedder             *e;
    bool (*tell)(void *ctx, uint64_t done, uint64_t total);
    void     *ctx;
    uint64_t  n_changed; /* documents, in the last pass */
    nx_error *err;
} moving;

/* ---- Who moves ---- */

static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static int             n_moving;

static void count(int n)
{
    pthread_mutex_lock(&count_lock);
    n_moving += n;
    pthread_mutex_unlock(&count_lock);
}

bool nx_shelf_keeps_name(nx_str name)
{
    const nx_str end = NX_STR(ENDING);

    return name.len > end.len && memcmp(name.p + name.len - end.len, end.p, end.len) == 0;
}

/* Somebody's own collection of points may have such a name, too. One that doesn't open: nobody knows. */
bool nx_shelf_is_beside(nx_store *store, nx_str name)
{
    nx_collection *c;

    if (!nx_shelf_keeps_name(name) || nx_store_find(&c, store, name, NULL)) return false;
    bool is = nx_shelf_is_made_of_documents(nx_collection_config(c));
    nx_collection_release(c);
    return is;
}

nx_status nx_shelves_drop_leftovers(nx_store *store, nx_error *err)
{
    nx_store_entry *list = NULL;
    size_t          n = 0;

    pthread_mutex_lock(&count_lock);
    nx_status st = n_moving ? NX_OK : nx_store_list(&list, &n, store, err);
    for (size_t i = 0; !st && i < n; i++)
        if (nx_shelf_is_beside(store, nx_str_of(list[i].name)))
            st = nx_store_drop_collection(store, nx_str_of(list[i].name), err);
    pthread_mutex_unlock(&count_lock);
    nx_free(list);
    return st;
}

/* ---- One document ---- */

/* A version that waits, an error. What the old one doesn't have goes. */
static void fields_waiting(nx_fields *f, const nx_document *doc)
{
    nx_value queued = nx_value_member(doc->payload, NX_STR("queued"));

    if (queued.n)
        nx_fields_value(f, "queued", queued);
    else
        nx_fields_null(f, "queued");
    if (doc->error.len)
        nx_fields_text(f, "error", doc->error);
    else
        nx_fields_null(f, "error");
}

static nx_status write_change(nx_shelf *s, const nx_point *p, nx_error *err)
{
    nx_writes *w = nx_writes_create(s->c);
    nx_status  st = w ? NX_OK : nx_fail(err, NX_ENOMEM, "a request");

    if (!st) st = nx_writes_set_payload(w, p->id, p->payload, (nx_str){0}, err);
    if (!st) st = nx_collection_write(s->c, w, true, NULL, err);
    nx_writes_destroy(w);
    return st;
}

/* What isn't made of its bytes, as the old one says: also where the new one found its bytes unchanged, and so
 * wrote nothing. */
static nx_status set_state(moving *m, const nx_document *doc)
{
    nx_buf    b = {.max = NX_PAYLOAD_MAX};
    nx_fields f;

    if (doc->state != NX_DOCUMENT_QUEUED && doc->state != NX_DOCUMENT_FAILED) return NX_OK;
    nx_fields_begin(&f, &b, m->err);
    nx_fields_text(&f, "state", nx_str_of(nx_document_state_name(doc->state)));
    fields_waiting(&f, doc);
    nx_status st = nx_fields_end(&f);
    nx_point  p = {.id = doc->id, .payload = nx_shelf_value_of(&b)};
    if (!st) st = write_change(m->to, &p, m->err);
    nx_buf_free(&b);
    return st;
}

/* A chunk as it is, but for the vector that the other model made. */
static nx_status copy_chunk(moving *m, nx_writes *w, nx_snapshot *snap, nx_point_copy *copy,
                            nx_point_id id)
{
    nx_status st = nx_snapshot_get(snap, copy, id, m->err);
    nx_vector words[1];
    nx_point  p = {.id = id, .vectors = words, .payload = copy->point.payload};

    for (int32_t i = 0; !st && i < copy->point.n_vectors; i++) {
        if (copy->point.vectors[i].slot != m->from->words) continue;
        words[0] = copy->point.vectors[i];
        words[0].slot = m->to->words;
        p.n_vectors = 1;
    }
    return st ? st : nx_writes_put(w, &p, NX_PUT, m->err);
}

/* Its bytes aren't kept (the collection came from elsewhere): its chunks are taken as they are. */
static nx_status copy_chunks(moving *m, nx_snapshot *snap, const nx_document *doc)
{
    nx_writes    *w = nx_writes_create(m->to->c);
    nx_point_id  *ids = NULL;
    nx_point_copy copy = {0};
    size_t        n = 0;
    nx_buf        payload = {.max = NX_PAYLOAD_MAX}, words = {.max = 4096};
    nx_fields     f;
    nx_path       top = {0};
    nx_status     st = w ? NX_OK : nx_fail(m->err, NX_ENOMEM, "a request");

    if (!st) st = nx_shelf_chunk_ids(snap, &ids, &n, doc->id, m->err);
    for (size_t i = 0; !st && i < n; i++) st = copy_chunk(m, w, snap, &copy, ids[i]);
    if (!st) {
        nx_fields_begin(&f, &words, m->err);
        if (n && doc->state == NX_DOCUMENT_READY) nx_fields_text(&f, "state", NX_STR("words"));
        nx_fields_null(&f, "n_waiting");
        st = nx_fields_end(&f);
    }
    if (!st) st = nx_path_set(&payload, doc->payload, &top, nx_shelf_value_of(&words), m->err);
    nx_point p = {.id = doc->id, .payload = nx_shelf_value_of(&payload)};
    if (!st) st = nx_writes_put(w, &p, NX_PUT, m->err);
    if (!st) st = nx_collection_write(m->to->c, w, true, NULL, m->err);
    nx_writes_destroy(w);
    nx_point_copy_free(&copy);
    nx_buf_free(&payload);
    nx_buf_free(&words);
    nx_free(ids);
    return st;
}

/* Cut anew, of the bytes that were kept. */
static nx_status put_again(moving *m, nx_incoming *in, const nx_document *doc, const nx_buf *bytes)
{
    nx_put_report report;

    in->bytes = bytes->data;
    in->n = bytes->len;
    nx_status st = nx_shelf_put_locked(m->to, in, m->e, &report, m->err);
    return st ? st : set_state(m, doc);
}

/* What the document was made of, as far as its record says it. */
static nx_status incoming_of(nx_arena *a, nx_incoming *in, const nx_document *doc, nx_error *err)
{
    nx_status st = nx_incoming_read(a, in, doc->payload, doc->source, err);

    in->type = nx_media_type_of(doc->type); /* somebody may have said it, and the name doesn't */
    in->root = doc->root;
    return st;
}

static nx_status move_document(moving *m, nx_snapshot *snap, const nx_document *doc)
{
    nx_arena    a = {0};
    nx_incoming in;
    nx_buf      bytes = {.max = (size_t)1 << 30};
    nx_error    inner = {0};
    nx_status   st = incoming_of(&a, &in, doc, m->err);

    m->n_changed++;
    if (!st) {
        st = doc->sha256[0] && doc->n_chunks
                 ? nx_shelf_blob(m->from, &bytes, nx_str_of(doc->sha256), &inner)
                 : NX_ENOENT;
        if (!st)
            st = put_again(m, &in, doc, &bytes);
        else if (st == NX_ENOENT)
            st = copy_chunks(m, snap, doc);
        else if (m->err)
            *m->err = inner;
    }
    nx_buf_free(&bytes);
    nx_arena_free(&a);
    return st;
}

/* ---- All documents ---- */

static bool is_whole(const nx_document *doc)
{
    return doc->state == NX_DOCUMENT_WORDS || doc->state == NX_DOCUMENT_READY;
}

/* Are both whole, or does the same wait or fail in both? */
static bool is_waiting_alike(const nx_document *a, const nx_document *b)
{
    nx_value qa = nx_value_member(a->payload, NX_STR("queued")),
             qb = nx_value_member(b->payload, NX_STR("queued"));

    if (is_whole(a)) return is_whole(b);
    return a->state == b->state && nx_str_eq(a->error, b->error) && qa.n == qb.n &&
           (!qa.n || nx_value_equal(qa, qb));
}

/* Is what the new one has made of this? */
static nx_status is_moved(moving *m, bool *out, const nx_document *doc, nx_snapshot *to,
                          nx_point_copy *copy)
{
    nx_document now;
    nx_arena    a = {0};
    nx_incoming in;
    nx_error    inner = {0};
    nx_status   st = nx_shelf_get(m->to, to, &now, copy, doc->id, NULL, &inner);

    *out = false;
    if (st == NX_ENOENT) return NX_OK;
    if (st && m->err) *m->err = inner;
    if (!st) st = incoming_of(&a, &in, doc, m->err);
    if (!st)
        *out = is_waiting_alike(doc, &now) &&
               nx_shelf_is_same_version(NULL, &now, &in, doc->sha256); /* both are cut rightly */
    nx_arena_free(&a);
    return st;
}

static nx_status move_if_other(moving *m, nx_snapshot *from, nx_snapshot *to, nx_point_id id,
                               nx_point_copy *copy, nx_point_copy *other)
{
    nx_document doc;
    bool        same;
    nx_status   st = nx_shelf_get(m->from, from, &doc, copy, id, NULL, m->err);

    if (!st) st = is_moved(m, &same, &doc, to, other);
    return st || same ? st : move_document(m, from, &doc);
}

static nx_status remove_gone(moving *m, nx_snapshot *from, nx_snapshot *to, const nx_filter *all)
{
    nx_point_id  *ids;
    size_t        n;
    nx_point_copy copy = {0};
    nx_status     st = nx_shelf_ids(to, &ids, &n, all, m->err);

    for (size_t i = 0; !st && i < n; i++) {
        nx_error    inner;
        nx_document doc;
        nx_status   there = nx_shelf_get(m->from, from, &doc, &copy, ids[i], NULL, &inner);
        if (there && there != NX_ENOENT) st = nx_fail(m->err, there, "%s", inner.text);
        if (there != NX_ENOENT) continue;
        m->n_changed++;
        nx_point_id *chunks = NULL;
        size_t       n_chunks = 0;
        st = nx_shelf_chunk_ids(to, &chunks, &n_chunks, ids[i], m->err);
        if (!st) st = nx_shelf_delete(m->to, ids[i], chunks, n_chunks, m->err);
        nx_free(chunks);
    }
    nx_point_copy_free(&copy);
    nx_free(ids);
    return st;
}

static bool go_on(const moving *m, uint64_t done, uint64_t total)
{
    return !m->tell || m->tell(m->ctx, done, total);
}

/* What differs is brought over. *seq: up to which request. */
static nx_status pass(moving *m, uint64_t *seq)
{
    nx_snapshot     *from = nx_snapshot_take(m->from->c), *to = nx_snapshot_take(m->to->c);
    nx_arena         a = {0};
    const nx_filter *all;
    nx_point_id     *ids = NULL;
    size_t           n = 0;
    nx_point_copy    copy = {0}, other = {0};
    nx_status        st = nx_shelf_filter_documents(&a, NULL, &all, m->err);

    *seq = nx_snapshot_seq(from);
    m->n_changed = 0;
    if (!st) st = nx_shelf_ids(from, &ids, &n, all, m->err);
    for (size_t i = 0; !st && i < n; i++) {
        st = move_if_other(m, from, to, ids[i], &copy, &other);
        if (!st && !go_on(m, 0, 0)) st = nx_fail(m->err, NX_ECANCELLED, "cancelled");
    }
    if (!st) st = remove_gone(m, from, to, all);
    nx_point_copy_free(&copy);
    nx_point_copy_free(&other);
    nx_free(ids);
    nx_arena_free(&a);
    nx_snapshot_release(from);
    nx_snapshot_release(to);
    return st;
}

static nx_status embed_all(moving *m)
{
    nx_shelf_stats stats;
    int32_t        n = 1;
    nx_status      st = nx_shelf_read_stats(m->to, &stats, m->err);
    uint64_t       done = stats.n_chunks - stats.n_unembedded, total = stats.n_chunks;

    while (!st && n > 0) {
        if (!go_on(m, done < total ? done : total, total))
            st = nx_fail(m->err, NX_ECANCELLED, "cancelled");
        if (!st) st = nx_shelf_embed(m->to, m->e, EMBED_AT_ONCE, NULL, &n, m->err);
        if (!st) done += (uint64_t)n;
    }
    return st;
}

/* ---- In its place ---- */

/* No document changes while its lock is held; requests of others are noticed by their number. */
static nx_status swap(moving *m)
{
    uint64_t  seq;
    nx_error  inner = {0};
    nx_status st = NX_EBUSY;

    nx_shelf_lock_all();
    for (int i = 0; st == NX_EBUSY && i < TRIES; i++) {
        st = pass(m, &seq);
        if (!st)
            st = nx_store_replace_collection(m->store, m->name,
                                             (nx_str){m->beside.data, m->beside.len}, seq, &inner);
        if (st && m->err && inner.status) *m->err = inner;
    }
    nx_shelf_unlock_all();
    return st;
}

static nx_status fill(moving *m)
{
    uint64_t  seq;
    nx_status st = pass(m, &seq);

    if (!st) st = embed_all(m);
    for (int i = 0; !st && i < TRIES; i++) { /* what came meanwhile: less each time */
        st = pass(m, &seq);
        if (st || !m->n_changed) break;
        st = embed_all(m);
    }
    return st;
}

static nx_status drop(moving *m)
{
    nx_str name = {m->beside.data, m->beside.len};

    /* Somebody's own collection of that name stays, and what is to be made here says that it is there. */
    return nx_shelf_is_beside(m->store, name) ? nx_store_drop_collection(m->store, name, m->err)
                                              : NX_OK;
}

/* The caller's own indexes and note come along. */
static nx_status copy_collection_settings(moving *m)
{
    const nx_settings *was = nx_collection_settings(m->from->c);
    nx_status          st = NX_OK;

    for (size_t i = 0; !st && i < was->n_indexes; i++) {
        const nx_settings *now = nx_collection_settings(m->to->c);
        bool               there = nx_settings_index(now, was->indexes[i].path) != NULL;
        nx_settings_release(now);
        if (!there) st = nx_collection_create_index(m->to->c, &was->indexes[i], m->err);
    }
    if (!st && was->note.len) st = nx_collection_set_note(m->to->c, was->note, m->err);
    nx_settings_release(was);
    return st;
}

static nx_status count_others(moving *m, uint64_t *n, uint64_t *seq)
{
    nx_shelf_stats stats;
    nx_snapshot   *snap = nx_snapshot_take(m->from->c);
    uint64_t       all = nx_snapshot_count(snap);
    nx_status      st = nx_shelf_read_stats(m->from, &stats, m->err);
    uint64_t       ours = stats.n_documents + stats.n_chunks + 1; /* and the settings */

    *seq = nx_snapshot_seq(snap);
    *n = all > ours ? all - ours : 0;
    nx_snapshot_release(snap);
    return st;
}

/* Points that are no documents', or that miss their document, would be lost. Counted again where something was
 * taken away between one number and the other. */
static nx_status check_points(moving *m)
{
    uint64_t  n, seq, before;
    nx_status st = count_others(m, &n, &seq);

    for (int i = 0; !st && n && i < TRIES; i++) {
        before = seq;
        st = count_others(m, &n, &seq);
        if (seq == before) break;
    }
    if (st || !n) return st;
    return nx_fail(m->err, NX_EUNSUPPORTED,
                   "%llu of its points are no documents': they can't be moved to another model",
                   (unsigned long long)n);
}

static nx_status open_both(moving *m, nx_blobs *blobs)
{
    nx_shelf_settings        to = *m->settings;
    const nx_shelf_settings *was;
    nx_status                st = nx_shelf_open(&m->from, m->store, blobs, m->name, NULL, m->err);

    if (!st) st = check_points(m);
    if (st) return st;
    m->name = nx_collection_name(m->from->c); /* not an alias of it */
    was = nx_shelf_get_settings(m->from);
    if (!to.language.len) to.language = was->language;
    if (!to.template.len) to.template = was->template;
    if (!to.chunking.size && !to.chunking.overlap) {
        to.chunking.unit = was->chunking.unit;
        to.chunking.size = was->chunking.size < to.chunking.limit ? was->chunking.size : 0;
        to.chunking.overlap = to.chunking.size ? was->chunking.overlap : 0;
    }
    nx_str name = {m->beside.data, m->beside.len};
    st = nx_shelf_open_any(&m->to, m->store, blobs, name, &to, m->err);
    return st ? st : copy_collection_settings(m);
}

nx_status nx_shelf_move(nx_store *store, nx_blobs *blobs, nx_str name, const nx_shelf_settings *to,
                        nx_embedder *e, bool (*tell)(void *ctx, uint64_t done, uint64_t total),
                        void *ctx, nx_error *err)
{
    nx_error inner = {0};
    moving   m = {.store = store,
                  .name = name,
                  .beside.max = NX_COLLECTION_NAME_MAX,
                  .settings = to,
                  .e = e,
                  .tell = tell,
                  .ctx = ctx,
                  .err = &inner};

    count(1);
    nx_status st = nx_buf_add(&m.beside, name.p, name.len, &inner);
    if (!st) st = nx_buf_add(&m.beside, ENDING, sizeof ENDING - 1, &inner);
    if (!st) st = drop(&m);
    if (!st) st = open_both(&m, blobs);
    if (!st) st = fill(&m);
    if (!st) st = swap(&m);
    nx_shelf_close(m.from);
    bool made = m.to != NULL;
    nx_shelf_close(m.to);
    if (st && made) {
        m.err = NULL;
        (void)drop(&m);
    }
    count(-1);
    nx_buf_free(&m.beside);
    if (st && err) *err = inner;
    return st;
}
