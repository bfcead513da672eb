/* handle_rag_index.c - /rag/index: texts in the body become documents, findable by words and by meaning when
 * the reply is sent.
 *
 * Which document is it? The one that "id" (or "doc_id") of its metadata names, else its "source", else the
 * text itself: so the same request twice makes no double, and a new text of the same source takes the old
 * one's place. Several documents of one request that name the same source are told apart by their texts.
 * Thread: the store's desk, a document or a batch of vectors at a time; others come in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "server/handlers.h"
#include "server/qdrant.h"
#include "server/rag_access.h"
#include "server/rag_find.h"
#include "server/server_in.h"

enum {
    VECTORS_AT_ONCE = 16,
    TAGS_MAX = 64,
    TITLE_MAX = 60, /* characters */
    WAIT_MS = 20,
    WAITS_MAX = 3000, /* a minute for what another hand is embedding */
};

typedef struct indexing {
    nx_call       *call;
    nx_rag_find    find;
    const nx_json *documents; /* [n] */
    const nx_str  *sources;   /* [n] of them, sorted */
    size_t         n, done, n_ready;
    nx_point_id   *ids; /* [n] */
    uint64_t       n_chunks;
    int32_t        n_waits;
} indexing;

/* ---- Ends ---- */

static void end(indexing *x)
{
    nx_call *c = x->call;

    nx_rag_find_free(&x->find);
    nx_call_release(c);
}

static void refuse(indexing *x, const nx_error *err, const char *field)
{
    nx_rag_find_refuse(&x->find, err, field);
    end(x);
}

static void finish(indexing *x)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", "success");
    nx_jw_u64(&w, "documents_indexed", x->n);
    nx_jw_u64(&w, "chunks_created", x->n_chunks);
    nx_jw_string(&w, "collection", x->find.collection);
    nx_jw_int(&w, "vector_size", nx_shelf_get_settings(x->find.shelf)->dim);
    nx_jw_bool(&w, "privacy_enabled", false);
    nx_jw_open(&w, "document_ids", '[');
    for (size_t i = 0; i < x->n; i++) nx_qd_write_id(&w, NULL, x->ids[i]);
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    nx_call_reply(x->call, 201, &w);
    end(x);
}

/* ---- Which document ---- */

static nx_str text_of(const nx_json *document)
{
    return nx_field_get(document, "text")->text;
}

/* A member of the metadata that names something: a text, or a whole number, spelled into number. */
static nx_str name_in(const nx_json *metadata, const char *key, char number[24])
{
    const nx_json *v = nx_json_get(metadata, key);

    if (v && v->type == NX_JSON_STRING) return v->text;
    if (v && v->type == NX_JSON_INT) {
        snprintf(number, 24, "%lld", (long long)v->i);
        return nx_str_of(number);
    }
    return NX_STR("");
}

static nx_str source_in(const nx_json *document)
{
    const nx_json *m = nx_field_get(document, "metadata"), *v = nx_json_get(m, "source");

    return v && v->type == NX_JSON_STRING ? v->text : NX_STR("");
}

static int by_text(const void *pa, const void *pb)
{
    const nx_str *a = pa, *b = pb;
    size_t        n = a->len < b->len ? a->len : b->len;
    int           d = n ? memcmp(a->p, b->p, n) : 0;

    return d ? d : a->len < b->len ? -1 : a->len > b->len;
}

static bool sort_sources(indexing *x)
{
    nx_str *list = nx_arena_alloc(&x->call->kept, x->n, sizeof *list);

    if (!list) return false;
    for (size_t i = 0; i < x->n; i++) list[i] = source_in(&x->documents[i]);
    qsort(list, x->n, sizeof *list, by_text);
    x->sources = list;
    return true;
}

static bool is_shared(const indexing *x, nx_str source)
{
    const nx_str *at = bsearch(&source, x->sources, x->n, sizeof *at, by_text);
    size_t        i = at ? (size_t)(at - x->sources) : 0;

    return at &&
           ((i > 0 && nx_str_eq(at[-1], source)) || (i + 1 < x->n && nx_str_eq(at[1], source)));
}

static nx_status keep(indexing *x, nx_str *out, nx_error *err, const char *fmt, ...)
    NX_PRINTF(4, 5);

static nx_status keep(indexing *x, nx_str *out, nx_error *err, const char *fmt, ...)
{
    va_list args;
    char    text[512], *copy;
    int     n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0) n = 0;
    if ((size_t)n >= sizeof text) n = (int)sizeof text - 1;
    copy = nx_arena_strndup(&x->call->kept, text, (size_t)n);
    if (!copy) return nx_fail(err, NX_ENOMEM, "a document's name");
    *out = (nx_str){copy, (size_t)n};
    return NX_OK;
}

static nx_status name_document(indexing *x, nx_str *out, const nx_json *document, nx_error *err)
{
    const nx_json *m = nx_field_get(document, "metadata");
    nx_str         text = text_of(document), source = source_in(document), id;
    char           number[24], hash[NX_BLOB_NAME];

    id = name_in(m, "id", number);
    if (id.len == 0) id = name_in(m, "doc_id", number);
    if (id.len) return keep(x, out, err, "%.*s", (int)(id.len < 500 ? id.len : 500), id.p);
    nx_blob_name(hash, text.p, text.len);
    if (source.len == 0) return keep(x, out, err, "text:%.32s", hash);
    if (is_shared(x, source))
        return keep(x, out, err, "%.*s#%.16s", (int)(source.len < 460 ? source.len : 460), source.p,
                    hash);
    *out = source;
    return NX_OK;
}

/* ---- Whose it is ---- */

/* The tags of the document, of its metadata, or, where the key has but one, that. */
static nx_status read_tags(indexing *x, nx_incoming *in, const nx_json *document, nx_error *err)
{
    const nx_key_bounds *b = &x->call->key.bounds;
    const nx_json       *list = nx_field_get(document, "access_tags");
    nx_str              *tags;

    if (!list) list = nx_json_get(nx_field_get(document, "metadata"), NX_ACCESS_TAGS);
    if (list && list->type != NX_JSON_ARRAY) list = NULL;
    in->n_tags = list ? list->array.n : b->n[NX_KEY_TAGS] == 1 ? 1 : 0;
    if (in->n_tags > TAGS_MAX)
        return nx_fail(err, NX_EINVAL, "access_tags: %zu, expected %d at most", in->n_tags,
                       TAGS_MAX);
    tags = nx_arena_alloc(&x->call->kept, in->n_tags + 1, sizeof *tags);
    if (!tags) return nx_fail(err, NX_ENOMEM, "access tags");
    for (size_t i = 0; i < in->n_tags; i++) {
        const nx_json *v = list ? &list->array.items[i] : NULL;
        if (v && (v->type != NX_JSON_STRING || v->text.len == 0))
            return nx_fail(err, NX_EINVAL, "access_tags[%zu]: expected a text", i);
        tags[i] = v ? v->text : nx_key_bounds_name(b, NX_KEY_TAGS, 0);
    }
    in->tags = tags;
    return NX_OK;
}

static nx_status check_tags(const indexing *x, const nx_incoming *in, nx_error *err)
{
    const nx_key_bounds *b = &x->call->key.bounds;
    bool                 fits = in->n_tags > 0;

    if (!nx_rights_tagged(x->call)) return NX_OK;
    for (size_t i = 0; i < in->n_tags; i++)
        fits = fits && nx_key_bounds_has(b, NX_KEY_TAGS, in->tags[i]);
    if (fits) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   "access_tags: this key is bound to access tags, so what it indexes needs some, "
                   "and of the key's alone");
}

/* ---- Documents ---- */

/* Of a text without any name: its first words. */
static nx_str first_words(nx_str text)
{
    nx_str line = nx_rag_cut(text, TITLE_MAX);
    size_t n = 0;

    while (n < line.len && line.p[n] != '\n' && line.p[n] != '\r') n++;
    if (n == line.len && n < text.len && text.p[n] != ' ')
        while (n > 0 && line.p[n - 1] != ' ') n--;
    while (n > 0 && line.p[n - 1] == ' ') n--;
    return n ? (nx_str){line.p, n} : line;
}

/* Characters that nobody sees are blanks, so that what JSON calls a text is one; positions stay. */
static nx_status mend(indexing *x, nx_str *text, nx_error *err)
{
    char *copy = NULL;

    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->p[i];
        if (c >= ' ' || c == '\n' || c == '\r' || c == '\t') continue;
        if (!copy) copy = nx_arena_strndup(&x->call->kept, text->p, text->len);
        if (!copy) return nx_fail(err, NX_ENOMEM, "a text of %zu bytes", text->len);
        copy[i] = ' ';
    }
    if (copy) text->p = copy;
    return NX_OK;
}

static nx_status read_document(indexing *x, nx_incoming *in, const nx_json *document, nx_error *err)
{
    const nx_json *m = nx_field_get(document, "metadata");
    nx_str         text = text_of(document);
    nx_status      st = mend(x, &text, err);

    *in = (nx_incoming){.bytes = text.p, .n = text.len, .type = NX_STR("text/plain")};
    if (!st) st = name_document(x, &in->source, document, err);
    if (!st && m) st = nx_qd_value(&in->metadata, x->call, m, err);
    if (m) nx_json_get_string(m, "title", &in->title);
    if (in->title.len == 0 && source_in(document).len == 0) in->title = first_words(text);
    if (!st) st = read_tags(x, in, document, err);
    return st ? st : check_tags(x, in, err);
}

static nx_status put_next(indexing *x, nx_error *err)
{
    nx_incoming   in;
    nx_put_report report;
    nx_status     st = read_document(x, &in, &x->documents[x->done], err);

    in.barred = &x->find.forbidden;
    if (!st) st = nx_rights_change_filter(x->call, NULL, &in.only_over, err);
    if (!st) st = nx_shelf_put(x->find.shelf, &in, x->find.embedder->parts.embedder, &report, err);
    nx_vault_note_write(&x->call->server->vault, st == NX_EIO || st == NX_EFULL ? st : NX_OK, err);
    if (x->find.forbidden)
        return nx_fail(err, NX_EINVAL, "this key may not change the document of that name");
    if (st) return st;
    x->ids[x->done++] = report.id;
    x->n_chunks += report.n_chunks;
    return NX_OK;
}

/* ---- Vectors ---- */

/* They become ready in the order of their coming: those that are aren't looked at again. */
static nx_status all_ready(indexing *x, bool *out, nx_error *err)
{
    nx_snapshot  *snap = nx_snapshot_take(nx_shelf_collection(x->find.shelf));
    nx_point_copy copy = {0};
    nx_document   d;
    nx_status     st = NX_OK;

    for (; x->n_ready < x->n; x->n_ready++) {
        st = nx_shelf_get(x->find.shelf, snap, &d, &copy, x->ids[x->n_ready], NULL, err);
        if (st == NX_OK && d.state == NX_DOCUMENT_WORDS) break;
        if (st && st != NX_ENOENT) break;
        st = NX_OK; /* also of one that somebody took away meanwhile */
    }
    *out = x->n_ready == x->n;
    nx_point_copy_free(&copy);
    nx_snapshot_release(snap);
    return st;
}

static void embed_next(void *ctx);

/* What isn't made by us is being made by another hand. */
static void wait_for_others(indexing *x)
{
    struct timespec nap = {.tv_nsec = WAIT_MS * 1000000L};
    nx_error        err;

    if (x->n_waits++ < WAITS_MAX && !atomic_load(&x->call->server->cut)) {
        nanosleep(&nap, NULL);
        nx_desk_post(x->call->server->vault.desk, &x->call->task, embed_next, x);
        return;
    }
    nx_fail(&err, NX_EBUSY, "the texts are kept, and words find them; their vectors are late");
    refuse(x, &err, NULL);
}

static void embed_next(void *ctx)
{
    indexing *x = ctx;
    bool      ready = false;
    int32_t   n = 0;
    nx_error  err;
    nx_status st = all_ready(x, &ready, &err);

    if (!st && !ready)
        st = nx_shelf_embed(x->find.shelf, x->find.embedder->parts.embedder, VECTORS_AT_ONCE,
                            &x->call->server->cut, &n, &err);
    if (st)
        refuse(x, &err, NULL);
    else if (ready)
        finish(x);
    else if (n == 0)
        wait_for_others(x);
    else
        nx_desk_post(x->call->server->vault.desk, &x->call->task, embed_next, x);
}

static void put(void *ctx)
{
    indexing *x = ctx;
    nx_error  err;

    if (put_next(x, &err)) {
        if (!x->find.forbidden) nx_fail_prefix(&err, err.status, "documents[%zu]", x->done);
        refuse(x, &err, "documents");
        return;
    }
    nx_desk_post(x->call->server->vault.desk, &x->call->task, x->done < x->n ? put : embed_next, x);
}

/* ---- The beginning ---- */

static nx_chunk_options chunking(const nx_rag_settings *s)
{
    return (nx_chunk_options){
        .unit = NX_CHUNK_CHARS, .size = s->chunk_size, .overlap = s->chunk_overlap};
}

/* A collection made by this route follows its settings; one that was made otherwise keeps its own. */
static nx_status follow_settings(indexing *x, const nx_rag_settings *s, nx_error *err)
{
    nx_chunk_options want = chunking(s), is = nx_shelf_get_settings(x->find.shelf)->chunking;

    if (is.unit != NX_CHUNK_CHARS || (is.size == want.size && is.overlap == want.overlap))
        return NX_OK;
    want.limit = is.limit;
    return nx_shelf_set_chunking(x->find.shelf, &want, err);
}

/* One that isn't there is made, by whoever may write to it. */
static nx_status open_or_make(indexing *x, nx_error *err)
{
    nx_rag_settings  s = nx_rag_config_get(x->call->server->rag_config);
    nx_chunk_options opt = chunking(&s);
    nx_status        st = nx_rag_find_open(&x->find, NX_RIGHT_WRITE, err);

    if (st == NX_ENOENT && nx_rights_tagged(x->call)) {
        x->find.forbidden = true;
        return nx_fail(err, NX_EINVAL, "this key may not make a collection");
    }
    if (st == NX_ENOENT)
        st = nx_library_make(x->call->server->library, &x->find.shelf, x->find.collection, NULL,
                             &opt, err);
    if (!st) st = follow_settings(x, &s, err);
    return st ? st : nx_rag_find_model(&x->find, err);
}

static void begin(nx_call *c)
{
    const nx_json *list = nx_field_get(c->body, "documents");
    indexing      *x = nx_arena_alloc(&c->kept, 1, sizeof *x);
    nx_point_id   *ids = nx_arena_alloc(&c->kept, list->array.n, sizeof *ids);
    nx_error       err;

    if (!x || !ids) {
        nx_call_refuse(c, 503, NULL, NULL, 2, "out of memory");
        return;
    }
    *x = (indexing){.call = c, .documents = list->array.items, .n = list->array.n, .ids = ids};
    x->find = (nx_rag_find){.call = c, .collection = nx_rag_collection_of(c)};
    nx_call_retain(c); /* until the end */
    nx_status st = sort_sources(x) ? open_or_make(x, &err) : nx_fail(&err, NX_ENOMEM, "sources");
    if (st)
        refuse(x, &err, "collection_name");
    else
        nx_desk_post(c->server->vault.desk, &c->task, put, x);
}

void nx_handle_rag_index(nx_call *c)
{
    nx_rag_at_desk(c, begin);
}
