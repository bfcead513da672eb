/* shelf_queue.c - documents that are kept now and read later: by whoever has the time, also after a crash.
 *
 * Idea: what came in waits in the document's record, under "queued"; its bytes are in the blobs. The version
 *       that was there is found until the new one takes its place, in one record.
 */
#include <string.h>

#include "base/alloc.h"
#include "rag/shelf_in.h"

enum { CANDIDATES = 16, ERROR_MAX = 480 };

/* ---- What waits ---- */

static nx_status write_incoming(nx_buf *out, const nx_incoming *in, const char *sha256,
                                nx_error *err)
{
    nx_fields f;

    nx_fields_begin(&f, out, err);
    nx_fields_text(&f, "sha256", nx_str_of(sha256));
    nx_fields_uint(&f, "bytes", in->n);
    nx_fields_some(&f, "root", in->root);
    nx_fields_some(&f, "type", in->type);
    nx_fields_some(&f, "title", in->title);
    if (in->modified_ns) nx_fields_int(&f, "modified_ns", in->modified_ns);
    nx_fields_time(&f, "at", nx_shelf_now_us());
    if (in->n_tags) nx_fields_texts(&f, "access_tags", in->tags, in->n_tags);
    nx_fields_value(&f, "metadata", in->metadata);
    return nx_fields_end(&f);
}

nx_status nx_incoming_read(nx_arena *a, nx_incoming *in, nx_value record, nx_str source,
                           nx_error *err)
{
    nx_value tags = nx_value_member(record, NX_STR("access_tags"));
    uint32_t n = tags.n ? nx_value_count(tags) : 0;
    nx_str  *list = nx_arena_alloc(a, n ? n : 1, sizeof *list);

    *in = (nx_incoming){.source = source,
                        .root = nx_field_text(record, "root"),
                        .type = nx_field_text(record, "type"),
                        .title = nx_field_text(record, "title"),
                        .modified_ns = nx_field_i64(record, "modified_ns"),
                        .metadata = nx_value_member(record, NX_STR("metadata")),
                        .tags = list};
    if (!list) return nx_fail(err, NX_ENOMEM, "access tags");
    if (!tags.n || nx_value_kind_of(tags) != NX_VALUE_ARRAY) return NX_OK;
    nx_value_iter it = nx_value_each(tags);
    nx_str        key;
    for (nx_value v; in->n_tags < n && nx_value_next(&it, &key, &v);)
        if (nx_value_kind_of(v) == NX_VALUE_TEXT) list[in->n_tags++] = nx_value_text(v);
    return NX_OK;
}

nx_status nx_shelf_blob(nx_shelf *s, nx_buf *out, nx_str sha256, nx_error *err)
{
    char name[NX_BLOB_NAME];

    if (sha256.len != NX_BLOB_NAME - 1)
        return nx_fail(err, NX_ENOENT, "its record names no bytes that were kept");
    memcpy(name, sha256.p, sha256.len);
    name[sha256.len] = '\0';
    return nx_blobs_read(s->blobs, out, name, 0, UINT64_MAX, NULL, err);
}

/* ---- In ---- */

static nx_status write_change(nx_shelf *s, nx_point_id id, const nx_buf *payload, bool fresh,
                              nx_error *err)
{
    nx_writes *w = nx_writes_create(s->c);
    nx_point   p = {.id = id, .payload = nx_shelf_value_of(payload)};
    nx_status  st = w ? NX_OK : nx_fail(err, NX_ENOMEM, "a request");

    if (!st && fresh)
        st = nx_writes_put(w, &p, NX_PUT, err);
    else if (!st)
        st = nx_writes_set_payload(w, id, p.payload, (nx_str){0}, err);
    if (!st) st = nx_collection_write(s->c, w, true, NULL, err);
    nx_writes_destroy(w);
    return st;
}

/* The record of a document that nobody knew, or what changes in one. */
static nx_status queued_payload(nx_buf *out, const nx_incoming *in, nx_point_id id, nx_value queued,
                                bool fresh, nx_error *err)
{
    char      doc_id[NX_ID_TEXT];
    nx_fields f;

    nx_fields_begin(&f, out, err);
    if (fresh) {
        nx_fields_text(&f, "kind", NX_STR("document"));
        nx_fields_text(&f, "doc_id", nx_str_of(nx_id_write(doc_id, id)));
    }
    nx_fields_text(&f, "state", nx_str_of(nx_document_state_name(NX_DOCUMENT_QUEUED)));
    if (fresh) {
        nx_fields_text(&f, "source", in->source);
        nx_fields_some(&f, "root", in->root);
        nx_fields_text(&f, "title", in->title.len ? in->title : in->source);
        nx_fields_time(&f, "indexed_at", nx_shelf_now_us());
        if (in->n_tags) nx_fields_texts(&f, "access_tags", in->tags, in->n_tags);
        nx_fields_value(&f, "metadata", in->metadata);
    } else {
        nx_fields_null(&f, "error");
    }
    nx_fields_value(&f, "queued", queued);
    return nx_fields_end(&f);
}

static nx_status queue_locked(nx_shelf *s, const nx_incoming *in, nx_point_id id,
                              const char *sha256, nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   was;
    nx_buf        queued = {.max = NX_PAYLOAD_MAX}, payload = {.max = NX_PAYLOAD_MAX};
    nx_error      inner = {0};
    nx_snapshot  *snap = nx_snapshot_take(s->c);
    nx_status     st = nx_shelf_get(s, snap, &was, &copy, id, NULL, &inner);
    bool          fresh = st == NX_ENOENT;

    if (!st) st = nx_shelf_may_replace(s, snap, in, &inner);
    if (fresh) st = NX_OK;
    if (!st) st = write_incoming(&queued, in, sha256, &inner);
    if (!st) st = queued_payload(&payload, in, id, nx_shelf_value_of(&queued), fresh, &inner);
    if (!st) st = write_change(s, id, &payload, fresh, &inner);
    if (st && err) *err = inner;
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    nx_buf_free(&queued);
    nx_buf_free(&payload);
    return st;
}

nx_status nx_shelf_queue(nx_shelf *s, const nx_incoming *in, nx_point_id *id, nx_error *err)
{
    char      sha256[NX_BLOB_NAME];
    nx_status st = nx_blobs_put(s->blobs, sha256, in->bytes ? in->bytes : "", in->n, err);

    *id = nx_document_id(in->source);
    if (st) return st;
    nx_shelf_lock(*id);
    st = queue_locked(s, in, *id, sha256, err);
    nx_shelf_unlock(*id);
    return st;
}

/* ---- Not any more ---- */

static nx_status count_without_vector(nx_shelf *s, nx_snapshot *snap, nx_point_id id, uint64_t *n,
                                      nx_error *err)
{
    nx_arena         a = {0};
    nx_condition     has = {.kind = NX_COND_VECTOR, .slot = s->dense};
    nx_filter        lacks = {.must_not = &has, .n_must_not = 1};
    const nx_filter *f;
    nx_status        st = nx_shelf_filter_chunks(&a, &id, &lacks, &f, err);

    if (!st) st = nx_snapshot_count_where(snap, n, f, err);
    nx_arena_free(&a);
    return st;
}

/* The state that the version which is there would have without the one that waited. */
static nx_status set_back(nx_shelf *s, nx_snapshot *snap, const nx_document *doc, nx_error *err)
{
    bool              was_read = nx_field_text(doc->payload, "chunking").len > 0;
    uint64_t          n = 0;
    nx_buf            b = {.max = NX_PAYLOAD_MAX};
    nx_fields         f;
    nx_document_state state;
    nx_status         st = count_without_vector(s, snap, doc->id, &n, err);

    if (st) return st;
    state = !was_read ? NX_DOCUMENT_FAILED : n ? NX_DOCUMENT_WORDS : NX_DOCUMENT_READY;
    nx_fields_begin(&f, &b, err);
    nx_fields_text(&f, "state", nx_str_of(nx_document_state_name(state)));
    nx_fields_null(&f, "queued");
    if (!was_read) nx_fields_text(&f, "error", NX_STR("it could not be read when it came first"));
    if (n)
        nx_fields_uint(&f, "n_waiting", n);
    else
        nx_fields_null(&f, "n_waiting");
    st = nx_fields_end(&f);
    if (!st) st = write_change(s, doc->id, &b, false, err);
    nx_buf_free(&b);
    return st;
}

static nx_status unqueue_locked(nx_shelf *s, nx_point_id id, int64_t until_us, nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   doc;
    nx_error      inner = {0};
    nx_snapshot  *snap = nx_snapshot_take(s->c);
    nx_status     st = nx_shelf_get(s, snap, &doc, &copy, id, NULL, &inner);

    if (st == NX_ENOENT) {
        st = NX_OK;
    } else if (!st && doc.state == NX_DOCUMENT_QUEUED &&
               nx_field_time(nx_value_member(doc.payload, NX_STR("queued")), "at") <= until_us) {
        st = doc.sha256[0] ? set_back(s, snap, &doc, &inner)
                           : nx_shelf_delete(s, id, NULL, 0, &inner);
    }
    if (st && err) *err = inner;
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    return st;
}

nx_status nx_shelf_unqueue(nx_shelf *s, nx_point_id id, int64_t until_us, nx_error *err)
{
    nx_shelf_lock(id);
    nx_status st = unqueue_locked(s, id, until_us, err);
    nx_shelf_unlock(id);
    return st;
}

/* ---- Out ---- */

/* It stays as it was, with the reason. Where nothing was, the bytes are still its own. */
static nx_status mark_failed(nx_shelf *s, const nx_document *doc, const nx_error *why,
                             nx_error *err)
{
    nx_value  queued = nx_value_member(doc->payload, NX_STR("queued"));
    nx_buf    b = {.max = NX_PAYLOAD_MAX};
    size_t    n = strnlen(why->text, ERROR_MAX);
    nx_fields f;

    nx_fields_begin(&f, &b, err);
    nx_fields_text(&f, "state", nx_str_of(nx_document_state_name(NX_DOCUMENT_FAILED)));
    nx_fields_text(&f, "error", (nx_str){why->text, n});
    nx_fields_null(&f, "queued");
    if (doc->sha256[0] == '\0') {
        nx_fields_some(&f, "sha256", nx_field_text(queued, "sha256"));
        nx_fields_uint(&f, "bytes", nx_field_uint(queued, "bytes"));
    }
    nx_status st = nx_fields_end(&f);
    if (!st) st = write_change(s, doc->id, &b, false, err);
    nx_buf_free(&b);
    return st;
}

static nx_status work_on(nx_shelf *s, const nx_document *doc, nx_embedder *counts_with,
                         nx_put_report *report, nx_error *err)
{
    nx_value    queued = nx_value_member(doc->payload, NX_STR("queued"));
    nx_arena    a = {0};
    nx_buf      bytes = {.max = (size_t)1 << 30};
    nx_incoming in;
    nx_error    why = {0};

    *report = (nx_put_report){.id = doc->id};
    nx_status st = nx_incoming_read(&a, &in, queued, doc->source, &why);
    if (!st) st = nx_shelf_blob(s, &bytes, nx_field_text(queued, "sha256"), &why);
    if (!st) {
        in.bytes = bytes.data;
        in.n = bytes.len;
        st = nx_shelf_put_locked(s, &in, counts_with, report, &why);
    }
    if (st == NX_ENOMEM || st == NX_EFULL || st == NX_ECANCELLED) {
        if (err) *err = why; /* it waits on */
    } else if (st) {
        st = mark_failed(s, doc, &why, err);
    }
    nx_buf_free(&bytes);
    nx_arena_free(&a);
    return st;
}

/* Under the document's lock: another may have been faster. */
static nx_status work_if_queued(nx_shelf *s, nx_point_id id, nx_embedder *counts_with, bool *did,
                                nx_put_report *report, nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   doc;
    nx_error      inner = {0};
    nx_snapshot  *snap = nx_snapshot_take(s->c);
    nx_status     st = nx_shelf_get(s, snap, &doc, &copy, id, NULL, &inner);

    nx_snapshot_release(snap);
    *did = !st && doc.state == NX_DOCUMENT_QUEUED;
    if (*did) st = work_on(s, &doc, counts_with, report, &inner);
    nx_point_copy_free(&copy);
    if (st == NX_ENOENT && !*did) return NX_OK;
    if (st && err) *err = inner;
    return st;
}

/* One that nobody works on, else the first: then it is waited for. */
static nx_point_id take_one(const nx_point_id *ids, size_t n)
{
    for (size_t i = 0; i < n && i < CANDIDATES; i++)
        if (nx_shelf_try_lock(ids[i])) return ids[i];
    nx_shelf_lock(ids[0]);
    return ids[0];
}

nx_status nx_shelf_work_queued(nx_shelf *s, nx_embedder *counts_with, bool *did,
                               nx_put_report *report, nx_error *err)
{
    nx_status st = NX_OK;
    bool      some = true;

    *did = false;
    while (!st && some && !*did) {
        nx_point_id *ids;
        size_t       n;
        nx_snapshot *snap = nx_snapshot_take(s->c);
        st = nx_shelf_in_state(snap, &ids, &n, NX_DOCUMENT_QUEUED, err);
        nx_snapshot_release(snap);
        some = !st && n > 0;
        if (some) {
            nx_point_id id = take_one(ids, n);
            st = work_if_queued(s, id, counts_with, did, report, err);
            nx_shelf_unlock(id);
        }
        nx_free(ids);
    }
    return st;
}
