/* handle_upload.c - POST /rag/documents: many files in one form, kept and queued; words find them soon after.
 *
 * Memory: the body lies once in memory, and each file is written from where it lies there.
 * Rights: a key that is bound to access tags gives each document tags of its own, and can't take the place of a
 *         document that isn't its to change.
 * Thread: the store's desk.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "rag/extract.h"
#include "server/documents.h"
#include "server/handlers.h"
#include "server/rag_config.h"
#include "server/server_in.h"
#include "server/webform.h"

enum {
    FILES_MAX = 1000,
    TAGS_MAX = 64,
    NAME_MAX_BYTES = 1024,
    NAME_SHOWN = 120,
    REASON_MAX = 600,
    METADATA_MAX = 1 << 20
};

typedef struct upload {
    nx_call          *c;
    nx_error         *err;
    nx_str            collection; /* as it was asked for */
    nx_buf            metadata, payload;
    nx_str            tags[TAGS_MAX];
    size_t            n_tags, n_files;
    nx_shelf         *shelf;
    nx_webform_part  *files; /* [n_files], in c->kept */
    nx_point_id      *ids;   /* [n_ids] */
    nx_str           *names; /* [n_ids] */
    nx_skip          *skips; /* [n_skips] */
    size_t            n_ids, n_skips;
    nx_extract_limits limits;
    const nx_filter  *own; /* documents that the key may change; NULL: all of them */
} upload;

static nx_status no_memory(upload *u)
{
    return nx_fail(u->err, NX_ENOMEM, "an upload");
}

/* ---- Fields ---- */

static nx_status read_metadata(upload *u, nx_str text)
{
    nx_json_doc doc = {0};
    nx_status   st = nx_json_parse(&doc, "metadata", text.p, text.len, 0, u->err);

    if (st == NX_EFORMAT) u->err->status = st = NX_EINVAL;
    if (!st && doc.root->type != NX_JSON_OBJECT)
        st = nx_fail(u->err, NX_EINVAL, "metadata: expected a JSON object, found %s",
                     nx_json_type_name(doc.root));
    nx_buf_clear(&u->metadata);
    if (!st) st = nx_value_add_json(&u->metadata, doc.root, u->err);
    if (st == NX_ELIMIT && doc.root)
        st = nx_fail(u->err, NX_EINVAL, "metadata: larger than %d bytes", METADATA_MAX);
    nx_json_doc_free(&doc);
    return st;
}

static nx_status add_tag(upload *u, nx_str tag)
{
    char *copy;

    while (tag.len && tag.p[0] == ' ') tag.p++, tag.len--;
    while (tag.len && tag.p[tag.len - 1] == ' ') tag.len--;
    if (!tag.len) return NX_OK;
    if (u->n_tags == TAGS_MAX)
        return nx_fail(u->err, NX_EINVAL, "access_tags: more than %d of them", TAGS_MAX);
    if (!nx_utf8_valid(tag.p, tag.len, NULL))
        return nx_fail(u->err, NX_EINVAL, "access_tags: one isn't UTF-8");
    copy = nx_arena_strndup(&u->c->kept, tag.p, tag.len);
    if (!copy) return no_memory(u);
    u->tags[u->n_tags++] = (nx_str){copy, tag.len};
    return NX_OK;
}

/* ["a", "b"], or a, b. */
static nx_status read_tags(upload *u, nx_str text)
{
    nx_json_doc doc = {0};
    nx_status   st = NX_OK;

    if (!text.len || text.p[0] != '[') {
        for (size_t from = 0; !st && from < text.len;) {
            const char *comma = memchr(text.p + from, ',', text.len - from);
            size_t      to = comma ? (size_t)(comma - text.p) : text.len;
            st = add_tag(u, (nx_str){text.p + from, to - from});
            from = to + 1;
        }
        return st;
    }
    st = nx_json_parse(&doc, "access_tags", text.p, text.len, 0, u->err);
    if (st == NX_EFORMAT) u->err->status = st = NX_EINVAL;
    for (size_t i = 0; !st && i < doc.root->array.n; i++) {
        const nx_json *tag = &doc.root->array.items[i];
        st = tag->type == NX_JSON_STRING
                 ? add_tag(u, tag->text)
                 : nx_fail(u->err, NX_EINVAL, "access_tags: expected strings");
    }
    nx_json_doc_free(&doc);
    return st;
}

static nx_status read_field(upload *u, const nx_webform_part *p)
{
    if (nx_str_eq(p->name, NX_STR("collection_name")) || nx_str_eq(p->name, NX_STR("collection"))) {
        if (p->value.len) u->collection = p->value;
        return NX_OK;
    }
    if (nx_str_eq(p->name, NX_STR("metadata")))
        return p->value.len ? read_metadata(u, p->value) : NX_OK;
    if (nx_str_eq(p->name, NX_STR("access_tags"))) return read_tags(u, p->value);
    return NX_OK; /* a form may have more */
}

static nx_status read_form(upload *u)
{
    nx_call        *c = u->c;
    nx_webform      form;
    nx_webform_part part;
    nx_status       st = nx_webform_open(&form, nx_exchange_header(c->x, "Content-Type"),
                                         nx_exchange_body(c->x), u->err);

    u->files = nx_arena_alloc(&c->kept, FILES_MAX, sizeof *u->files);
    if (!st && !u->files) st = no_memory(u);
    while (!st && nx_webform_next(&form, &part)) {
        if (!part.filename.p)
            st = read_field(u, &part);
        else if (u->n_files == FILES_MAX)
            st = nx_fail(u->err, NX_ELIMIT, "more than %d files at once", FILES_MAX);
        else if (part.filename.len ||
                 part.value.len) /* an empty field of a page's form is neither */
            u->files[u->n_files++] = part;
    }
    if (!st) st = nx_webform_close(&form, u->err);
    if (!st && !u->n_files) st = nx_fail(u->err, NX_EINVAL, "the form holds no file");
    return st;
}

/* ---- Rights ---- */

/* {"access_tags": [...]}: what each document's payload will say. */
static nx_status check_tags(upload *u)
{
    size_t    object, array;
    nx_buf   *b = &u->payload;
    nx_status st = nx_value_open(b, NX_VALUE_OBJECT, &object, u->err);

    if (!st) st = nx_value_add_key(b, NX_STR(NX_ACCESS_TAGS), u->err);
    if (!st) st = nx_value_open(b, NX_VALUE_ARRAY, &array, u->err);
    for (size_t i = 0; !st && i < u->n_tags; i++) st = nx_value_add_text(b, u->tags[i], u->err);
    if (st) return st;
    nx_value_close(b, array, (uint32_t)u->n_tags);
    nx_value_close(b, object, 1);
    return nx_rights_payload(u->c, (nx_value){(const uint8_t *)b->data, (uint32_t)b->len}, u->err);
}

/* The shelf; false: refused. One that isn't there is made by who may manage it. */
static bool open_shelf(upload *u)
{
    nx_call       *c = u->c;
    nx_collection *coll = NULL;
    nx_status      st = nx_store_find(&coll, c->server->vault.store, u->collection, u->err);
    nx_str         own = st ? u->collection : nx_collection_name(coll);

    bool may = nx_rights_allow(c, own, st == NX_ENOENT ? NX_RIGHT_MANAGE : NX_RIGHT_WRITE);
    nx_collection_release(coll);
    if (!may) {
        nx_call_refuse(c, 403, NULL, NULL, -1, "this key may not write to this collection");
        return false;
    }
    st = nx_library_make(c->server->library, &u->shelf, u->collection, NULL, NULL, u->err);
    if (st) nx_call_refuse_error(c, u->err, "collection_name");
    return st == NX_OK;
}

/* ---- Files ---- */

static nx_status skip(upload *u, nx_str name, const char *reason)
{
    nx_skip *s = &u->skips[u->n_skips++];
    bool     valid = nx_utf8_valid(name.p, name.len, NULL);

    s->source = nx_arena_strndup(&u->c->kept, valid ? name.p : "?", valid ? name.len : 1);
    s->reason = nx_arena_strndup(&u->c->kept, reason, strlen(reason));
    return s->source && s->reason ? NX_OK : no_memory(u);
}

/* Why this file is not taken; NULL: it is. */
static const char *refusal(upload *u, const nx_webform_part *f, char text[REASON_MAX])
{
    if (!f->filename.len) return "a file without a name";
    if (f->filename.len > NAME_MAX_BYTES) return "its name is too long";
    if (!nx_utf8_valid(f->filename.p, f->filename.len, NULL) ||
        memchr(f->filename.p, 0, f->filename.len))
        return "its name is not UTF-8";
    if (nx_extract_hopeless(f->filename)) return "no kind of file that text is read from";
    if (f->value.len <= u->limits.file_bytes) return NULL;
    snprintf(text, REASON_MAX, "%zu bytes; the limit is %llu", f->value.len,
             (unsigned long long)u->limits.file_bytes);
    return text;
}

static nx_status queue_file(upload *u, const nx_webform_part *f)
{
    char        text[REASON_MAX];
    nx_incoming in = {.source = f->filename,
                      .type = f->type,
                      .bytes = f->value.p,
                      .n = f->value.len,
                      .tags = u->tags,
                      .n_tags = u->n_tags,
                      .limits = &u->limits,
                      .only_over = u->own};
    const char *why = refusal(u, f, text);
    bool        barred = false;

    if (why) return skip(u, f->filename, why);
    if (!nx_utf8_valid(f->type.p ? f->type.p : "", f->type.len, NULL)) in.type = (nx_str){0};
    if (u->metadata.len)
        in.metadata = (nx_value){(const uint8_t *)u->metadata.data, (uint32_t)u->metadata.len};
    in.barred = &barred;
    nx_status st = nx_shelf_queue(u->shelf, &in, &u->ids[u->n_ids], u->err);
    if (barred) return skip(u, f->filename, "this name is another's: this key may not replace it");
    nx_vault_note_write(&u->c->server->vault, st, u->err);
    if (!st) u->names[u->n_ids++] = f->filename;
    return st;
}

static nx_status queue_files(upload *u)
{
    nx_arena *a = &u->c->kept;
    nx_status st = nx_rights_change_filter(u->c, NULL, &u->own, u->err);

    if (st) return st;
    u->ids = nx_arena_alloc(a, u->n_files, sizeof *u->ids);
    u->names = nx_arena_alloc(a, u->n_files, sizeof *u->names);
    u->skips = nx_arena_alloc(a, u->n_files, sizeof *u->skips);
    if (!u->ids || !u->names || !u->skips) return no_memory(u);
    for (size_t i = 0; !st && i < u->n_files; i++) st = queue_file(u, &u->files[i]);
    return st;
}

/* ---- The answer ---- */

static void write_answer(upload *u, nx_jw *w, const char *job)
{
    char id[NX_ID_TEXT];

    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "status", "accepted");
    nx_jw_text(w, "job_id", job);
    nx_jw_string(w, "collection", nx_collection_name(nx_shelf_collection(u->shelf)));
    nx_jw_open(w, "documents", '[');
    for (size_t i = 0; i < u->n_ids; i++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "document_id", nx_id_write(id, u->ids[i]));
        nx_jw_string(w, "source", u->names[i]);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_jw_open(w, "skipped", '[');
    for (size_t i = 0; i < u->n_skips; i++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "source", u->skips[i].source);
        nx_jw_text(w, "reason", u->skips[i].reason);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
}

static nx_status start_job(upload *u, char id[NX_RAG_JOB_ID])
{
    nx_rag_wish wish = {.kind = NX_RAG_JOB_UPLOAD,
                        .collection = nx_collection_name(nx_shelf_collection(u->shelf)),
                        .owner = u->c->key.number,
                        .documents = u->ids,
                        .n_documents = u->n_ids,
                        .skips = u->skips,
                        .n_skips = u->n_skips};
    nx_status   st = nx_rag_job_start(u->c->server->library, &wish, id, u->err);

    nx_library_wake(u->c->server->library, wish.collection);
    return st;
}

/* Bytes of a name that leave room for the reason, and cut no character in two. */
static int shown_of(const char *name)
{
    const size_t n = strnlen(name, NAME_SHOWN);

    return (int)(n - nx_utf8_partial_tail(name, n));
}

static nx_status take(upload *u, nx_jw *w)
{
    char      id[NX_RAG_JOB_ID];
    nx_status st = queue_files(u);

    if (!st && !u->n_ids)
        st = nx_fail(u->err, NX_EINVAL, "no file was taken: %.*s: %s", shown_of(u->skips[0].source),
                     u->skips[0].source, u->skips[0].reason);
    if (!st) st = start_job(u, id);
    /* Those that were queued before one failed are worked on all the same. */
    if (st && u->n_ids) nx_library_wake(u->c->server->library, u->collection);
    if (!st) write_answer(u, w, id);
    return st;
}

static void free_upload(upload *u)
{
    nx_library_release(u->c->server->library, u->shelf);
    nx_buf_free(&u->metadata);
    nx_buf_free(&u->payload);
}

static void upload_documents(nx_call *c)
{
    nx_error  err;
    nx_jw     w = {.buf.max = NX_REPLY_MAX};
    upload    u = {.c = c,
                   .err = &err,
                   .collection = NX_STR(NX_RAG_COLLECTION),
                   .metadata.max = METADATA_MAX,
                   .payload.max = (size_t)1 << 20};
    nx_status st;

    nx_extract_limits_default(&u.limits);
    st = read_form(&u);
    if (!st) st = check_tags(&u);
    if (st) {
        nx_call_refuse_error(c, &err, NULL);
    } else if (open_shelf(&u)) {
        st = take(&u, &w);
        if (st)
            nx_call_refuse_error(c, &err, NULL);
        else
            nx_call_reply(c, 202, &w);
    }
    if (st) nx_buf_free(&w.buf);
    free_upload(&u);
}

void nx_handle_rag_documents_upload(nx_call *c)
{
    nx_docs_start(c, upload_documents);
}
