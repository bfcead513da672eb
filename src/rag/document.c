/* document.c - documents as their records say: read, found, filtered, counted, removed. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rag/shelf_in.h"
#include "store/bound.h"

enum { IDS_AT_ONCE = 16384 };

static const char *const state_names[] = {"queued", "words", "ready", "failed"};

const char *nx_document_state_name(nx_document_state s)
{
    return (unsigned)s < sizeof state_names / sizeof *state_names ? state_names[s] : "failed";
}

nx_point_id nx_document_id(nx_str source)
{
    const nx_str parts[] = {NX_STR("nexus document"), source};
    nx_point_id  id;

    /* The one error is that there is no memory for a hash: then an id that no document has. */
    return nx_shelf_uuid(&id, parts, 2, NULL) ? (nx_point_id){0, 0, 1} : id;
}

/* ---- Reading ---- */

static nx_document_state state_of(nx_str name)
{
    for (int i = 0; i < 3; i++)
        if (nx_str_eq(name, nx_str_of(state_names[i]))) return (nx_document_state)i;
    return NX_DOCUMENT_FAILED;
}

static nx_place place_of(nx_str name)
{
    for (int i = NX_PLACE_PAGE; i <= NX_PLACE_SHEET; i++)
        if (nx_str_eq(name, nx_str_of(nx_place_name((nx_place)i)))) return (nx_place)i;
    return NX_PLACE_NONE;
}

static nx_origin origin_of(nx_str name)
{
    return nx_str_eq(name, NX_STR("text")) ? NX_ORIGIN_TEXT : NX_ORIGIN_FILE;
}

static bool is_kind(nx_value payload, nx_str kind)
{
    return payload.n && nx_value_kind_of(payload) == NX_VALUE_OBJECT &&
           nx_str_eq(nx_field_text(payload, "kind"), kind);
}

static void copy_hash(char out[NX_BLOB_NAME], nx_str hash)
{
    out[0] = '\0';
    if (hash.len != NX_BLOB_NAME - 1) return;
    memcpy(out, hash.p, hash.len);
    out[hash.len] = '\0';
}

nx_status nx_document_read(nx_document *out, nx_value v, nx_error *err)
{
    *out = (nx_document){0};
    if (!is_kind(v, NX_STR("document")))
        return nx_fail(err, NX_EFORMAT, "the point is no document");
    if (nx_id_parse_uuid(&out->id, nx_field_text(v, "doc_id"), NULL))
        return nx_fail(err, NX_EFORMAT, "a document without doc_id");
    out->source = nx_field_text(v, "source");
    out->root = nx_field_text(v, "root");
    out->title = nx_field_text(v, "title");
    out->type = nx_field_text(v, "type");
    out->encoding = nx_field_text(v, "encoding");
    out->error = nx_field_text(v, "error");
    out->warnings = nx_field_text(v, "warnings");
    out->state = state_of(nx_field_text(v, "state"));
    out->bytes = nx_field_uint(v, "bytes");
    out->text_bytes = nx_field_uint(v, "text_bytes");
    out->n_chunks = nx_field_uint(v, "n_chunks");
    out->n_tokens = nx_field_uint(v, "n_tokens");
    out->modified_ns = nx_field_i64(v, "modified_ns");
    out->indexed_s = nx_field_time(v, "indexed_at") / 1000000;
    out->origin = origin_of(nx_field_text(v, "origin"));
    out->place = place_of(nx_field_text(v, "place"));
    out->n_pages = nx_field_i32(v, "n_pages");
    copy_hash(out->sha256, nx_field_text(v, "sha256"));
    copy_hash(out->text_sha256, nx_field_text(v, "text_sha256"));
    out->payload = v;
    return NX_OK;
}

nx_status nx_chunk_view_read(nx_chunk_view *out, nx_point_id id, nx_value v, nx_error *err)
{
    *out = (nx_chunk_view){.id = id};
    if (!is_kind(v, NX_STR("chunk"))) return nx_fail(err, NX_EFORMAT, "the point is no chunk");
    if (nx_id_parse_uuid(&out->doc, nx_field_text(v, "doc_id"), NULL))
        return nx_fail(err, NX_EFORMAT, "a chunk without doc_id");
    out->text = nx_field_text(v, "text");
    out->source = nx_field_text(v, "source");
    out->title = nx_field_text(v, "title");
    out->headings = nx_field_text(v, "path");
    out->context = nx_field_text(v, "context");
    out->hash = nx_field_text(v, "hash");
    out->chunk_id = nx_field_uint(v, "chunk_id");
    out->start_pos = nx_field_uint(v, "start_pos");
    out->end_pos = nx_field_uint(v, "end_pos");
    out->start_char = nx_field_uint(v, "start_char");
    out->end_char = nx_field_uint(v, "end_char");
    out->page = nx_field_i32(v, "page");
    out->page_end = nx_field_i32(v, "page_end");
    out->n_tokens = nx_field_i32(v, "n_tokens");
    out->place = place_of(nx_field_text(v, "place"));
    out->origin = origin_of(nx_field_text(v, "origin"));
    out->metadata = nx_value_member(v, NX_STR("metadata"));
    out->payload = v;
    return NX_OK;
}

nx_status nx_chunk_view_text(nx_buf *out, const nx_chunk_view *v, nx_error *err)
{
    return nx_chunk_text(out, v->title, v->headings, v->context, v->text, err);
}

/* ---- Filters ---- */

nx_status nx_shelf_condition(nx_arena *a, nx_condition *out, const char *path, nx_str text,
                             nx_error *err)
{
    nx_str *texts = nx_arena_alloc(a, 1, sizeof *texts);
    char   *copy = nx_arena_strndup(a, text.p, text.len);

    if (!texts || !copy) return nx_fail(err, NX_ENOMEM, "a filter");
    *texts = (nx_str){copy, text.len};
    *out = (nx_condition){.kind = NX_COND_TEXT_ANY, .texts = texts, .n_texts = 1};
    return nx_path_parse(&out->path, nx_str_of(path), err);
}

nx_status nx_shelf_condition_documents(nx_arena *a, nx_condition *out, const nx_point_id *ids,
                                       size_t n, nx_error *err)
{
    nx_str *texts = nx_arena_alloc(a, n, sizeof *texts);
    char(*names)[NX_ID_TEXT] = nx_arena_alloc(a, n, sizeof *names);

    if (!texts || !names) return nx_fail(err, NX_ENOMEM, "a filter");
    for (size_t i = 0; i < n; i++) texts[i] = nx_str_of(nx_id_write(names[i], ids[i]));
    *out = (nx_condition){.kind = NX_COND_TEXT_ANY, .texts = texts, .n_texts = n};
    return nx_path_parse(&out->path, NX_STR("doc_id"), err);
}

/* kind, perhaps a document, perhaps the caller's own. */
static nx_status make_filter(nx_arena *a, const char *kind, const nx_point_id *doc,
                             const nx_filter *own, const nx_filter **out, nx_error *err)
{
    nx_filter    *f = nx_arena_alloc(a, 1, sizeof *f);
    nx_condition *c = nx_arena_alloc(a, 3, sizeof *c);
    char          id[NX_ID_TEXT];

    *out = NULL;
    if (!f || !c) return nx_fail(err, NX_ENOMEM, "a filter");
    *f = (nx_filter){.must = c};
    nx_status st = nx_shelf_condition(a, &c[f->n_must++], "kind", nx_str_of(kind), err);
    if (!st && doc)
        st =
            nx_shelf_condition(a, &c[f->n_must++], "doc_id", nx_str_of(nx_id_write(id, *doc)), err);
    if (!st && own) c[f->n_must++] = (nx_condition){.kind = NX_COND_FILTER, .filter = own};
    if (!st) *out = f;
    return st;
}

nx_status nx_shelf_filter_documents(nx_arena *a, const nx_filter *own, const nx_filter **out,
                                    nx_error *err)
{
    return make_filter(a, "document", NULL, own, out, err);
}

nx_status nx_shelf_filter_chunks(nx_arena *a, const nx_point_id *doc, const nx_filter *own,
                                 const nx_filter **out, nx_error *err)
{
    return make_filter(a, "chunk", doc, own, out, err);
}

/* ---- Ids ---- */

nx_status nx_shelf_ids(nx_snapshot *snap, nx_point_id **ids, size_t *n, const nx_filter *filter,
                       nx_error *err)
{
    nx_status st = NX_OK;
    size_t    cap = 0, got = IDS_AT_ONCE;

    *ids = NULL;
    *n = 0;
    while (!st && got == IDS_AT_ONCE) {
        cap += IDS_AT_ONCE;
        nx_point_id *grown = nx_realloc(*ids, cap, sizeof **ids);
        if (!grown) {
            st = nx_fail(err, NX_ENOMEM, "ids of %zu points", cap);
            break;
        }
        *ids = grown;
        nx_point_id from = *n ? grown[*n - 1] : (nx_point_id){0};
        if (*n) from = (nx_point_id){from.hi + (from.lo == UINT64_MAX), from.lo + 1, from.is_uuid};
        st =
            nx_snapshot_scroll(snap, grown + *n, &got, IDS_AT_ONCE, *n ? &from : NULL, filter, err);
        *n += got;
    }
    if (st) {
        nx_free(*ids);
        *ids = NULL;
        *n = 0;
    }
    return st;
}

nx_status nx_shelf_chunk_ids(nx_snapshot *snap, nx_point_id **ids, size_t *n, nx_point_id doc,
                             nx_error *err)
{
    nx_arena         a = {0};
    const nx_filter *f;
    nx_status        st = nx_shelf_filter_chunks(&a, &doc, NULL, &f, err);

    *ids = NULL;
    *n = 0;
    if (!st) st = nx_shelf_ids(snap, ids, n, f, err);
    nx_arena_free(&a);
    return st;
}

typedef struct timed {
    nx_point_id id;
    int64_t     us;
} timed;

static int by_time(const void *pa, const void *pb)
{
    const timed *a = pa, *b = pb;

    if (a->us != b->us) return a->us < b->us ? -1 : 1;
    return nx_id_compare(a->id, b->id);
}

/* When it came: what waits to be read knows that by itself. */
static int64_t time_of(nx_value payload)
{
    nx_value queued = nx_value_member(payload, NX_STR("queued"));

    return queued.n ? nx_field_time(queued, "at") : nx_field_time(payload, "indexed_at");
}

static nx_status sort_by_time(nx_snapshot *snap, nx_point_id *ids, size_t n, nx_error *err)
{
    timed        *all = nx_alloc(n, sizeof *all);
    nx_point_copy copy = {0};
    nx_status     st = all ? NX_OK : nx_fail(err, NX_ENOMEM, "%zu documents", n);

    for (size_t i = 0; !st && i < n; i++) {
        st = nx_snapshot_get(snap, &copy, ids[i], err);
        if (!st) all[i] = (timed){ids[i], time_of(copy.point.payload)};
    }
    if (!st && n > 1) qsort(all, n, sizeof *all, by_time);
    for (size_t i = 0; !st && i < n; i++) ids[i] = all[i].id;
    nx_point_copy_free(&copy);
    nx_free(all);
    return st;
}

nx_status nx_shelf_in_state(nx_snapshot *snap, nx_point_id **ids, size_t *n,
                            nx_document_state state, nx_error *err)
{
    nx_arena         a = {0};
    nx_condition     is;
    nx_filter        own = {.must = &is, .n_must = 1};
    const nx_filter *f;
    nx_status        st =
        nx_shelf_condition(&a, &is, "state", nx_str_of(nx_document_state_name(state)), err);

    *ids = NULL;
    *n = 0;
    if (!st) st = nx_shelf_filter_documents(&a, &own, &f, err);
    if (!st) st = nx_shelf_ids(snap, ids, n, f, err);
    if (!st) st = sort_by_time(snap, *ids, *n, err);
    if (st) {
        nx_free(*ids);
        *ids = NULL;
        *n = 0;
    }
    nx_arena_free(&a);
    return st;
}

/* ---- One document ---- */

static nx_status no_document(nx_point_id id, nx_error *err)
{
    char text[NX_ID_TEXT];

    return nx_fail(err, NX_ENOENT, "no document %s", nx_id_write(text, id));
}

/* Does the filter hold, with words as the collection's text indexes have them? */
static nx_status meets(nx_shelf *s, bool *out, const nx_point *p, const nx_filter *filter,
                       nx_error *err)
{
    const nx_config   *config = nx_collection_config(s->c);
    const nx_settings *settings;
    nx_bound          *bound = NULL;
    uint64_t           vectors = 0;
    nx_status          st = filter ? nx_filter_check(filter, config, err) : NX_OK;

    *out = !filter;
    if (st || !filter) return st;
    for (int32_t i = 0; i < p->n_vectors; i++) vectors |= (uint64_t)1 << p->vectors[i].slot;
    settings = nx_collection_settings(s->c);
    st = nx_bound_create(&bound, filter, settings, err);
    if (!st) *out = nx_filter_test_bound(filter, p->id, p->payload, vectors, bound);
    if (!st && bound && nx_bound_status(bound)) st = nx_fail(err, NX_ENOMEM, "a filter");
    nx_bound_destroy(bound);
    nx_settings_release(settings);
    return st;
}

nx_status nx_shelf_get(nx_shelf *s, nx_snapshot *snap, nx_document *out, nx_point_copy *copy,
                       nx_point_id id, const nx_filter *filter, nx_error *err)
{
    bool      fits = false;
    nx_error  inner = {0};
    nx_status st = nx_snapshot_get(snap, copy, id, &inner);

    *out = (nx_document){0};
    if (st == NX_ENOENT) return no_document(id, err);
    if (!st) st = meets(s, &fits, &copy->point, filter, &inner);
    if (!st && (!fits || !is_kind(copy->point.payload, NX_STR("document"))))
        return no_document(id, err);
    if (!st) st = nx_document_read(out, copy->point.payload, &inner);
    if (st && err) *err = inner;
    out->id = id;
    return st;
}

nx_status nx_shelf_may_replace(nx_shelf *s, nx_snapshot *snap, const nx_incoming *in, nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   was;
    nx_error      inner = {0};

    if (!in->only_over) return NX_OK;
    nx_status st =
        nx_shelf_get(s, snap, &was, &copy, nx_document_id(in->source), in->only_over, &inner);
    nx_point_copy_free(&copy);
    if (st == NX_ENOENT) {
        if (in->barred) *in->barred = true;
        return nx_fail(err, NX_EINVAL, "a document of that name is another's");
    }
    if (st && err) *err = inner;
    return st;
}

static nx_status delete_points(nx_shelf *s, const nx_point_id *docs, size_t n_docs,
                               const nx_point_id *chunks, size_t n_chunks, nx_error *err)
{
    nx_writes *w = nx_writes_create(s->c);
    nx_status  st = w ? NX_OK : nx_fail(err, NX_ENOMEM, "a request");

    for (size_t i = 0; !st && i < n_chunks; i++) st = nx_writes_delete(w, chunks[i], err);
    for (size_t i = 0; !st && i < n_docs; i++) st = nx_writes_delete(w, docs[i], err);
    if (!st) st = nx_collection_write(s->c, w, true, NULL, err);
    nx_writes_destroy(w);
    return st;
}

nx_status nx_shelf_delete(nx_shelf *s, nx_point_id doc, const nx_point_id *chunks, size_t n,
                          nx_error *err)
{
    return delete_points(s, &doc, 1, chunks, n, err);
}

nx_status nx_shelf_remove(nx_shelf *s, nx_point_id id, const nx_filter *only_if, nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   doc;
    nx_point_id  *chunks = NULL;
    size_t        n = 0;

    nx_shelf_lock(id);
    nx_snapshot *snap = nx_snapshot_take(s->c);
    nx_status    st = nx_shelf_get(s, snap, &doc, &copy, id, only_if, err);
    if (!st) st = nx_shelf_chunk_ids(snap, &chunks, &n, id, err);
    if (!st) st = nx_shelf_delete(s, id, chunks, n, err);
    nx_snapshot_release(snap);
    nx_shelf_unlock(id);
    nx_point_copy_free(&copy);
    nx_free(chunks);
    return st;
}

/* Those of the ids that are documents come first; *n: how many. */
static nx_status keep_documents(nx_shelf *s, nx_snapshot *snap, nx_point_id *ids, size_t *n,
                                nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   doc;
    size_t        kept = 0;
    nx_status     st = NX_OK;

    for (size_t i = 0; !st && i < *n; i++) {
        nx_error inner = {0};
        st = nx_shelf_get(s, snap, &doc, &copy, ids[i], NULL, &inner);
        if (!st) ids[kept++] = ids[i];
        if (st && st != NX_ENOENT && err) *err = inner;
        if (st == NX_ENOENT) st = NX_OK;
    }
    nx_point_copy_free(&copy);
    *n = kept;
    return st;
}

nx_status nx_shelf_remove_all(nx_shelf *s, nx_point_id *ids, size_t *n, nx_error *err)
{
    nx_arena         a = {0};
    nx_condition     theirs;
    nx_filter        own = {.must = &theirs, .n_must = 1};
    const nx_filter *f;
    nx_point_id     *chunks = NULL;
    size_t           n_chunks = 0;

    nx_shelf_lock_all();
    nx_snapshot *snap = nx_snapshot_take(s->c);
    nx_status    st = keep_documents(s, snap, ids, n, err);
    if (!st && *n) {
        st = nx_shelf_condition_documents(&a, &theirs, ids, *n, err);
        if (!st) st = nx_shelf_filter_chunks(&a, NULL, &own, &f, err);
        if (!st) st = nx_shelf_ids(snap, &chunks, &n_chunks, f, err);
        if (!st) st = delete_points(s, ids, *n, chunks, n_chunks, err);
    }
    nx_snapshot_release(snap);
    nx_shelf_unlock_all();
    nx_arena_free(&a);
    nx_free(chunks);
    return st;
}

/* ---- How many ---- */

static nx_status count_state(nx_snapshot *snap, uint64_t *out, nx_arena *a, nx_document_state state,
                             nx_error *err)
{
    nx_condition     is;
    nx_filter        own = {.must = &is, .n_must = 1};
    const nx_filter *f;
    nx_status        st =
        nx_shelf_condition(a, &is, "state", nx_str_of(nx_document_state_name(state)), err);

    if (!st) st = nx_shelf_filter_documents(a, &own, &f, err);
    return st ? st : nx_snapshot_count_where(snap, out, f, err);
}

nx_status nx_shelf_read_stats(nx_shelf *s, nx_shelf_stats *out, nx_error *err)
{
    nx_arena         a = {0};
    nx_snapshot     *snap = nx_snapshot_take(s->c);
    nx_condition     has = {.kind = NX_COND_VECTOR, .slot = s->dense};
    nx_filter        lacks = {.must_not = &has, .n_must_not = 1};
    const nx_filter *f;

    *out = (nx_shelf_stats){0};
    nx_status st = nx_shelf_filter_documents(&a, NULL, &f, err);
    if (!st) st = nx_snapshot_count_where(snap, &out->n_documents, f, err);
    if (!st) st = nx_shelf_filter_chunks(&a, NULL, NULL, &f, err);
    if (!st) st = nx_snapshot_count_where(snap, &out->n_chunks, f, err);
    if (!st) st = nx_shelf_filter_chunks(&a, NULL, &lacks, &f, err);
    if (!st) st = nx_snapshot_count_where(snap, &out->n_unembedded, f, err);
    if (!st) st = count_state(snap, &out->n_queued, &a, NX_DOCUMENT_QUEUED, err);
    if (!st) st = count_state(snap, &out->n_failed, &a, NX_DOCUMENT_FAILED, err);
    nx_snapshot_release(snap);
    nx_arena_free(&a);
    return st;
}
