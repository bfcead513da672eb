/* handle_documents.c - documents as they lie in their collections: listed, read, deleted.
 *
 * Rights: every look goes through nx_rights_filter, and every deletion through nx_rights_change_filter; a document
 *         that the key may not see isn't there.
 * Thread: the store's desk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "server/documents.h"
#include "server/handlers.h"
#include "server/qdrant.h"
#include "server/rag_config.h"
#include "server/server_in.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000 };

/* ---- The way ---- */

static void begin(void *ctx)
{
    nx_call *c = ctx;

    c->at_desk = true;
    c->then(c);
    nx_call_release(c);
}

void nx_docs_start(nx_call *c, void (*then)(nx_call *c))
{
    c->then = then;
    nx_call_retain(c);
    nx_desk_post(c->server->vault.desk, &c->task, begin, c);
}

nx_str nx_docs_query(const nx_call *c, const char *name, const char *absent)
{
    const char *given = nx_exchange_query(c->x, name);

    return nx_str_of(given && *given ? given : absent);
}

nx_rag_asker nx_docs_asker(const nx_call *c)
{
    bool all = c->trusted || !c->key.number || (c->key.scopes & NX_KEY_ADMIN);

    return (nx_rag_asker){c->key.number, all};
}

/* Whoever may not see it doesn't learn whether it is there. */
nx_shelf *nx_docs_shelf(nx_call *c, nx_str name, nx_right right)
{
    nx_library *l = c->server->library;
    nx_shelf   *s = NULL;
    nx_error    err;
    nx_status   st = nx_library_find(l, &s, name, &err);
    nx_str      own = st ? name : nx_collection_name(nx_shelf_collection(s));

    if (!nx_rights_allow(c, own, right)) {
        nx_library_release(l, s);
        nx_call_refuse(c, 403, NULL, NULL, -1, "this key may not %s this collection",
                       right == NX_RIGHT_READ ? "read" : "write to");
        return NULL;
    }
    if (!st) return s;
    nx_call_refuse_error(c, &err, "collection");
    return NULL;
}

/* ---- One document ---- */

typedef struct found {
    nx_shelf     *shelf;
    nx_snapshot  *snap;
    nx_point_copy copy;
    nx_document   doc; /* views into copy */
} found;

static void found_free(nx_call *c, found *f)
{
    nx_snapshot_release(f->snap);
    nx_point_copy_free(&f->copy);
    nx_library_release(c->server->library, f->shelf);
}

/* In f->shelf? *f as found_free frees it, also when it isn't. */
static nx_status look_in(nx_call *c, found *f, nx_point_id id, nx_error *err)
{
    const nx_filter *may = NULL;
    nx_status        st = nx_rights_filter(c, NULL, &may, err);

    f->snap = nx_snapshot_take(nx_shelf_collection(f->shelf));
    return st ? st : nx_shelf_get(f->shelf, f->snap, &f->doc, &f->copy, id, may, err);
}

static nx_status look_in_name(nx_call *c, found *f, nx_str name, nx_point_id id, nx_error *err)
{
    if (!nx_rights_allow(c, name, NX_RIGHT_READ))
        return nx_fail(err, NX_ENOENT, "no such collection");
    nx_status st = nx_library_find(c->server->library, &f->shelf, name, err);
    return st ? st : look_in(c, f, id, err);
}

/* In all that the key may read, one after the other. */
static nx_status look_everywhere(nx_call *c, found *f, nx_point_id id, nx_error *err)
{
    char    **names = NULL;
    size_t    n = 0;
    char      text[NX_ID_TEXT];
    nx_status st = nx_library_list(c->server->library, &names, &n, err);

    if (st) return st;
    st = NX_ENOENT;
    for (size_t i = 0; st == NX_ENOENT && i < n; i++) {
        st = look_in_name(c, f, nx_str_of(names[i]), id, err);
        if (!st) break;
        found_free(c, f);
        *f = (found){0};
    }
    nx_free(names);
    return st == NX_ENOENT ? nx_fail(err, st, "no document %s", nx_id_write(text, id)) : st;
}

/* The document of the path, in the collection of the query, or in whichever has it. False: refused. */
static bool find_document(nx_call *c, found *f)
{
    nx_point_id id;
    nx_error    err;
    nx_str      collection = nx_docs_query(c, "collection", "");
    nx_status   st;

    *f = (found){0};
    if (collection.len && !(f->shelf = nx_docs_shelf(c, collection, NX_RIGHT_READ))) return false;
    if (nx_id_parse_uuid(&id, c->params[0], NULL))
        st = nx_fail(&err, NX_ENOENT, "no document %.*s",
                     (int)(c->params[0].len < 64 ? c->params[0].len : 64), c->params[0].p);
    else if (f->shelf)
        st = look_in(c, f, id, &err);
    else
        st = look_everywhere(c, f, id, &err);
    if (!st) return true;
    found_free(c, f);
    nx_call_refuse_error(c, &err, NULL);
    return false;
}

static void text_if(nx_jw *w, const char *key, nx_str text)
{
    if (text.len) nx_jw_string(w, key, text);
}

static void value_if(nx_jw *w, const nx_document *d, const char *key)
{
    nx_value v = nx_value_member(d->payload, nx_str_of(key));

    if (v.n) nx_qd_write_value(w, key, v);
}

static void write_document(nx_jw *w, const char *key, const nx_document *d, nx_str collection)
{
    char id[NX_ID_TEXT];

    nx_jw_open(w, key, '{');
    nx_jw_text(w, "document_id", nx_id_write(id, d->id));
    nx_jw_string(w, "collection", collection);
    nx_jw_string(w, "source", d->source);
    nx_jw_string(w, "title", d->title);
    nx_jw_text(w, "state", nx_document_state_name(d->state));
    text_if(w, "type", d->type);
    text_if(w, "encoding", d->encoding);
    nx_jw_text(w, "origin", d->origin == NX_ORIGIN_TEXT ? "text" : "file");
    text_if(w, "place", nx_str_of(nx_place_name(d->place)));
    if (d->n_pages) nx_jw_int(w, "pages", d->n_pages);
    nx_jw_u64(w, "bytes", d->bytes);
    nx_jw_u64(w, "text_bytes", d->text_bytes);
    nx_jw_u64(w, "chunks", d->n_chunks);
    nx_jw_u64(w, "tokens", d->n_tokens);
    nx_jw_int(w, "indexed_at", d->indexed_s);
    value_if(w, d, "modified");
    text_if(w, "error", d->error);
    text_if(w, "warnings", d->warnings);
    value_if(w, d, "access_tags");
    value_if(w, d, "metadata");
    nx_jw_close(w, '}');
}

static nx_str name_of(nx_shelf *s)
{
    return nx_collection_name(nx_shelf_collection(s));
}

static void get_document(nx_call *c)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};
    found f;

    if (!find_document(c, &f)) return;
    write_document(&w, NULL, &f.doc, name_of(f.shelf));
    found_free(c, &f);
    nx_call_reply(c, 200, &w);
}

void nx_handle_rag_document(nx_call *c)
{
    nx_docs_start(c, get_document);
}

/* ---- Lists ---- */

/* The condition that a field says this, if something is wished for. */
static nx_status add_wish(nx_call *c, nx_filter *f, nx_condition *list, const char *path,
                          nx_str want, nx_error *err)
{
    nx_str *texts = nx_arena_alloc(&c->kept, 1, sizeof *texts);

    if (!want.len) return NX_OK;
    if (!texts) return nx_fail(err, NX_ENOMEM, "a filter");
    *texts = want;
    list[f->n_must] = (nx_condition){.kind = NX_COND_TEXT_ANY, .texts = texts, .n_texts = 1};
    return nx_path_parse(&list[f->n_must++].path, nx_str_of(path), err);
}

/* Documents of the wished source and state that the key may see. */
static nx_status wished(nx_call *c, const nx_filter **out, nx_error *err)
{
    nx_filter       *own = nx_arena_alloc(&c->kept, 1, sizeof *own);
    nx_condition    *list = nx_arena_alloc(&c->kept, 2, sizeof *list);
    const nx_filter *may;
    nx_status        st;

    if (!own || !list) return nx_fail(err, NX_ENOMEM, "a filter");
    *own = (nx_filter){.must = list};
    st = add_wish(c, own, list, "source", nx_docs_query(c, "source", ""), err);
    if (!st) st = add_wish(c, own, list, "state", nx_docs_query(c, "state", ""), err);
    if (!st) st = nx_rights_filter(c, own->n_must ? own : NULL, &may, err);
    return st ? st : nx_shelf_filter_documents(&c->kept, may, out, err);
}

static size_t limit_of(const nx_call *c)
{
    const char *given = nx_exchange_query(c->x, "limit");

    return given ? (size_t)strtoul(given, NULL, 10) : LIST_DEFAULT; /* checked: 1 to LIST_MAX */
}

static nx_status write_documents(nx_jw *w, nx_shelf *s, nx_snapshot *snap, const nx_point_id *ids,
                                 size_t n, nx_error *err)
{
    nx_status st = NX_OK;

    nx_jw_open(w, "documents", '[');
    for (size_t i = 0; !st && i < n; i++) {
        nx_point_copy copy = {0};
        nx_document   doc;
        st = nx_snapshot_get(snap, &copy, ids[i], err);
        if (!st) st = nx_document_read(&doc, copy.point.payload, err);
        if (!st) write_document(w, NULL, &doc, name_of(s));
        nx_point_copy_free(&copy);
    }
    nx_jw_close(w, ']');
    return st;
}

static nx_status list_of(nx_call *c, nx_jw *w, nx_shelf *s, nx_snapshot *snap, nx_error *err)
{
    nx_point_id      ids[LIST_MAX + 1], from;
    nx_str           offset = nx_docs_query(c, "offset", "");
    size_t           n = 0, max = limit_of(c);
    uint64_t         total = 0;
    char             text[NX_ID_TEXT];
    const nx_filter *filter;
    nx_status        st = wished(c, &filter, err);

    if (!st && offset.len) st = nx_id_parse_uuid(&from, offset, err);
    if (!st) st = nx_snapshot_count_where(snap, &total, filter, err);
    if (!st)
        st = nx_snapshot_scroll(snap, ids, &n, max + 1, offset.len ? &from : NULL, filter, err);
    if (st) return st;
    nx_jw_open(w, NULL, '{');
    nx_jw_string(w, "collection", name_of(s));
    nx_jw_u64(w, "total", total);
    st = write_documents(w, s, snap, ids, n > max ? max : n, err);
    if (n > max)
        nx_jw_text(w, "next_offset", nx_id_write(text, ids[max]));
    else
        nx_jw_null(w, "next_offset");
    nx_jw_close(w, '}');
    return st;
}

static void list_documents(nx_call *c)
{
    nx_jw     w = {.buf.max = NX_REPLY_MAX};
    nx_error  err;
    nx_shelf *s =
        nx_docs_shelf(c, nx_docs_query(c, "collection", NX_RAG_COLLECTION), NX_RIGHT_READ);

    if (!s) return;
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(s));
    nx_status    st = list_of(c, &w, s, snap, &err);
    nx_snapshot_release(snap);
    nx_library_release(c->server->library, s);
    if (!st) {
        nx_call_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_call_refuse_error(c, &err, NULL);
}

void nx_handle_rag_documents(nx_call *c)
{
    nx_docs_start(c, list_documents);
}

/* ---- Chunks ---- */

static void write_headings(nx_jw *w, nx_str path)
{
    if (!path.len) return;
    nx_jw_open(w, "headings", '[');
    for (size_t from = 0; from <= path.len;) {
        const char *end = memchr(path.p + from, '\n', path.len - from);
        size_t      to = end ? (size_t)(end - path.p) : path.len;
        nx_jw_string(w, NULL, (nx_str){path.p + from, to - from});
        from = to + 1;
    }
    nx_jw_close(w, ']');
}

static void write_chunk(nx_jw *w, const nx_chunk_view *v)
{
    nx_jw_open(w, NULL, '{');
    nx_qd_write_id(w, "id", v->id);
    nx_jw_u64(w, "chunk_id", v->chunk_id);
    nx_jw_string(w, "text", v->text);
    nx_jw_u64(w, "start_pos", v->start_pos);
    nx_jw_u64(w, "end_pos", v->end_pos);
    nx_jw_u64(w, "start_char", v->start_char);
    nx_jw_u64(w, "end_char", v->end_char);
    nx_jw_int(w, "tokens", v->n_tokens);
    write_headings(w, v->headings);
    text_if(w, "context", v->context);
    if (v->page) nx_jw_int(w, "page", v->page);
    if (v->page_end) nx_jw_int(w, "page_end", v->page_end);
    nx_jw_close(w, '}');
}

static nx_status write_chunks(nx_jw *w, nx_snapshot *snap, const nx_results *r, nx_error *err)
{
    nx_status st = NX_OK;

    nx_jw_open(w, "chunks", '[');
    for (size_t i = 0; !st && i < r->n; i++) {
        nx_point_copy copy = {0};
        nx_chunk_view v;
        st = nx_snapshot_get(snap, &copy, r->hits[i].id, err);
        if (!st) st = nx_chunk_view_read(&v, r->hits[i].id, copy.point.payload, err);
        if (!st) write_chunk(w, &v);
        nx_point_copy_free(&copy);
    }
    nx_jw_close(w, ']');
    return st;
}

static nx_status chunks_of(nx_call *c, nx_jw *w, const found *f, nx_error *err)
{
    const char      *offset = nx_exchange_query(c->x, "offset");
    nx_plan          plan = {.kind = NX_PLAN_ORDER, .limit = limit_of(c)};
    nx_results       r = {0};
    const nx_filter *may;
    char             id[NX_ID_TEXT];
    nx_status        st = nx_rights_filter(c, NULL, &may, err);

    plan.order.of = NX_ORDER_OF_INTEGERS;
    plan.order.has_start = true;
    plan.order.start.i = offset ? strtoll(offset, NULL, 10) : 0;
    if (!st) st = nx_shelf_filter_chunks(&c->kept, &f->doc.id, may, &plan.filter, err);
    if (!st) st = nx_path_parse(&plan.order.path, NX_STR("chunk_id"), err);
    if (!st) st = nx_plan_run(f->snap, &plan, &r, NULL, err);
    if (!st) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "document_id", nx_id_write(id, f->doc.id));
        nx_jw_string(w, "source", f->doc.source);
        nx_jw_u64(w, "total", f->doc.n_chunks);
        st = write_chunks(w, f->snap, &r, err);
        nx_jw_close(w, '}');
    }
    nx_results_free(&r);
    return st;
}

static void list_chunks(nx_call *c)
{
    nx_jw    w = {.buf.max = NX_REPLY_MAX};
    nx_error err;
    found    f;

    if (!find_document(c, &f)) return;
    nx_status st = chunks_of(c, &w, &f, &err);
    found_free(c, &f);
    if (!st) {
        nx_call_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_call_refuse_error(c, &err, NULL);
}

void nx_handle_rag_document_chunks(nx_call *c)
{
    nx_docs_start(c, list_chunks);
}

/* ---- Bytes ---- */

/* "120-340": from byte 120 up to, not with, 340; "120-": to the end. */
static bool read_range(const char *text, uint64_t *begin, uint64_t *end)
{
    char *after;

    *begin = 0;
    *end = UINT64_MAX;
    if (!text) return true;
    if (*text < '0' || *text > '9') return false;
    *begin = strtoull(text, &after, 10);
    if (*after++ != '-') return false;
    if (!*after) return true;
    if (*after < '0' || *after > '9') return false;
    *end = strtoull(after, &after, 10);
    return !*after && *begin <= *end;
}

/* The file itself, or the text that positions are in; "": neither is kept. */
static const char *blob_of(const nx_document *d, bool source)
{
    return source || d->origin == NX_ORIGIN_FILE ? d->sha256 : d->text_sha256;
}

/* As plain text, or as bytes to be saved: nothing that a browser would run. */
static void reply_bytes(nx_call *c, bool source, uint64_t total, nx_buf *bytes)
{
    char     text[24];
    nx_error err;

    snprintf(text, sizeof text, "%llu", (unsigned long long)total);
    (void)nx_exchange_add_header(c->x, "x-total-bytes", text, &err);
    (void)nx_exchange_add_header(c->x, "X-Content-Type-Options", "nosniff", &err);
    if (source) (void)nx_exchange_add_header(c->x, "Content-Disposition", "attachment", &err);
    nx_call_reply_bytes(c, 200, source ? "application/octet-stream" : "text/plain; charset=utf-8",
                        bytes);
}

static void get_content(nx_call *c)
{
    bool      source = nx_str_eq(nx_docs_query(c, "source", "false"), NX_STR("true"));
    nx_buf    bytes = {.max = NX_REPLY_MAX};
    uint64_t  begin, end, total = 0;
    nx_error  err;
    nx_status st = NX_ENOENT;
    found     f;

    if (!read_range(nx_exchange_query(c->x, "range"), &begin, &end)) {
        nx_call_refuse(c, 400, "range", NULL, -1, "range: expected BEGIN-END, in bytes");
        return;
    }
    if (!find_document(c, &f)) return;
    const char *blob = blob_of(&f.doc, source);
    if (*blob)
        st = nx_blobs_read(nx_library_blobs(c->server->library), &bytes, blob, begin, end, &total,
                           &err);
    else
        nx_fail(&err, NX_ENOENT, "the document has not been read (%s)",
                nx_document_state_name(f.doc.state));
    found_free(c, &f);
    if (!st) {
        reply_bytes(c, source, total, &bytes);
        return;
    }
    nx_buf_free(&bytes);
    nx_call_refuse_error(c, &err, NULL);
}

void nx_handle_rag_document_content(nx_call *c)
{
    nx_docs_start(c, get_content);
}

/* ---- Deleting ---- */

static void delete_from(nx_call *c, nx_str collection, nx_point_id id)
{
    nx_jw            w = {.buf.max = NX_REPLY_MAX};
    char             text[NX_ID_TEXT];
    const nx_filter *may = NULL;
    nx_error         err;
    nx_shelf        *s = nx_docs_shelf(c, collection, NX_RIGHT_WRITE);

    if (!s) return;
    nx_status st = nx_rights_change_filter(c, NULL, &may, &err);
    if (!st) st = nx_shelf_remove(s, id, may, &err);
    nx_vault_note_write(&c->server->vault, st == NX_ENOENT ? NX_OK : st, &err);
    nx_library_release(c->server->library, s);
    if (st) {
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", "deleted");
    nx_jw_text(&w, "document_id", nx_id_write(text, id));
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

static void delete_source(nx_call *c)
{
    nx_str source = nx_docs_query(c, "source", "");

    delete_from(c, nx_docs_query(c, "collection", NX_RAG_COLLECTION), nx_document_id(source));
}

void nx_handle_rag_documents_delete(nx_call *c)
{
    nx_docs_start(c, delete_source);
}

/* Where it is, among all that the key may read, or in the collection that is named. */
static void delete_document(nx_call *c)
{
    char  name[NX_COLLECTION_NAME_MAX + 1];
    found f;

    if (!find_document(c, &f)) return;
    nx_point_id id = f.doc.id;
    nx_str      own = name_of(f.shelf);
    size_t      n = own.len < sizeof name ? own.len : sizeof name - 1;
    memcpy(name, own.p, n);
    found_free(c, &f);
    delete_from(c, (nx_str){name, n}, id);
}

void nx_handle_rag_document_delete(nx_call *c)
{
    nx_docs_start(c, delete_document);
}
