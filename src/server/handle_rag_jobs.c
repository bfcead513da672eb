/* handle_rag_jobs.c - jobs: begun over folders of this machine and for another model, told about, cancelled.
 *
 * What names paths comes by the control socket only, which opens to the data folder's owner alone.
 * Thread: the store's desk.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "server/documents.h"
#include "server/handlers.h"
#include "server/rag_watch.h"
#include "server/server_in.h"

enum { JOBS_DEFAULT = 100 };

/* ---- How it goes ---- */

static bool wants_events(const nx_call *c)
{
    const char *accept = nx_exchange_header(c->x, "Accept");

    return accept && strstr(accept, "text/event-stream");
}

static void get_job(nx_call *c)
{
    nx_rag_asker who = nx_docs_asker(c);
    nx_jw        w = {.buf.max = NX_REPLY_MAX};
    nx_error     err;

    if (wants_events(c)) {
        nx_rag_watch_begin(c, c->params[0]);
        return;
    }
    nx_status st = nx_rag_job_write(c->server->library, &w, NULL, c->params[0], &who, NULL, &err);
    if (!st) {
        nx_call_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_call_refuse_error(c, &err, NULL);
}

void nx_handle_rag_job(nx_call *c)
{
    nx_docs_start(c, get_job);
}

static void list_jobs(nx_call *c)
{
    nx_rag_asker who = nx_docs_asker(c);
    const char  *limit = nx_exchange_query(c->x, "limit");
    size_t       max = limit ? (size_t)strtoul(limit, NULL, 10) : JOBS_DEFAULT;
    nx_jw        w = {.buf.max = NX_REPLY_MAX};
    nx_error     err;

    nx_jw_open(&w, NULL, '{');
    nx_status st = nx_rag_jobs_write(c->server->library, &w, "jobs", &who, max, &err);
    nx_jw_close(&w, '}');
    if (!st) {
        nx_call_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_call_refuse_error(c, &err, NULL);
}

void nx_handle_rag_jobs(nx_call *c)
{
    nx_docs_start(c, list_jobs);
}

static void cancel_job(nx_call *c)
{
    nx_rag_asker who = nx_docs_asker(c);
    nx_error     err;

    if (nx_rag_job_cancel(c->server->library, c->params[0], &who, &err))
        nx_call_refuse_error(c, &err, NULL);
    else
        get_job(c);
}

void nx_handle_rag_job_cancel(nx_call *c)
{
    nx_docs_start(c, cancel_job);
}

/* ---- Begun by the folder's owner ---- */

static void start_trusted(nx_call *c, void (*then)(nx_call *c))
{
    if (c->trusted)
        nx_docs_start(c, then);
    else
        nx_call_refuse(c, 403, NULL, NULL, -1,
                       "only through the control socket of the data folder: nexus index, nexus "
                       "reindex");
}

static void reply_job(nx_call *c, nx_status st, const char *id, const nx_error *err)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    if (st) {
        nx_call_refuse_error(c, err, NULL);
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", "accepted");
    nx_jw_text(&w, "job_id", id);
    nx_jw_close(&w, '}');
    nx_call_reply(c, 202, &w);
}

/* A list of strings of the body, as views into it; absent: none. */
static nx_status texts_of(nx_call *c, const char *name, const nx_str **out, size_t *n,
                          nx_error *err)
{
    const nx_json *list = nx_field_get(c->body, name);
    size_t         want = list ? list->array.n : 0;
    nx_str        *texts = nx_arena_alloc(&c->kept, want ? want : 1, sizeof *texts);

    *n = 0;
    *out = texts;
    if (!texts) return nx_fail(err, NX_ENOMEM, "%zu strings", want);
    for (; *n < want; (*n)++) texts[*n] = list->array.items[*n].text;
    return NX_OK;
}

static bool is_url(nx_str s)
{
    return (s.len > 7 && !memcmp(s.p, "http://", 7)) || (s.len > 8 && !memcmp(s.p, "https://", 8));
}

static nx_status check_paths(const nx_ingest_options *o, nx_error *err)
{
    for (size_t i = 0; i < o->n_paths; i++) {
        nx_str p = o->paths[i];
        if (memchr(p.p, 0, p.len) || (p.p[0] != '/' && !is_url(p)))
            return nx_fail(err, NX_EINVAL, "paths: %.*s: expected an absolute path or a URL",
                           (int)(p.len < 200 ? p.len : 200), p.p);
    }
    return NX_OK;
}

static nx_status metadata_of(nx_call *c, nx_value *out, nx_error *err)
{
    const nx_json *object = nx_field_get(c->body, "metadata");
    nx_buf         b = {.max = (size_t)1 << 20};
    nx_status      st = NX_OK;

    if (!object) return NX_OK;
    st = nx_value_add_json(&b, object, err);
    uint8_t *copy = st ? NULL : nx_arena_alloc(&c->kept, b.len, 1);
    if (copy) memcpy(copy, b.data, b.len);
    if (copy) *out = (nx_value){copy, (uint32_t)b.len};
    nx_buf_free(&b);
    return st || copy ? st : nx_fail(err, NX_ENOMEM, "metadata");
}

static nx_status read_ingest(nx_call *c, nx_ingest_options *o, nx_error *err)
{
    const nx_fields *fields = c->route->request;
    nx_status        st = texts_of(c, "paths", &o->paths, &o->n_paths, err);

    nx_extract_limits_default(&o->limits);
    if (!st) st = check_paths(o, err);
    if (!st) st = texts_of(c, "allow_hosts", &o->allow_hosts, &o->n_allow_hosts, err);
    if (!st) st = texts_of(c, "exclude", &o->exclude, &o->n_exclude, err);
    if (!st) st = texts_of(c, "tags", &o->tags, &o->n_tags, err);
    if (!st) st = metadata_of(c, &o->metadata, err);
    o->hidden = nx_field_bool(fields, c->body, "hidden");
    o->keep_gone = nx_field_bool(fields, c->body, "keep_gone");
    return st;
}

static nx_status read_chunking(nx_call *c, nx_chunk_options *o, nx_error *err)
{
    const nx_fields *fields = c->route->request;
    bool             size = nx_field_get(c->body, "chunk_size") != NULL;
    bool             overlap = nx_field_get(c->body, "chunk_overlap") != NULL;

    *o = (nx_chunk_options){0};
    if (size) o->size = (int32_t)nx_field_int(fields, c->body, "chunk_size");
    if (overlap) o->overlap = (int32_t)nx_field_int(fields, c->body, "chunk_overlap");
    if (overlap && !size) return nx_fail(err, NX_EINVAL, "chunk_overlap: goes with chunk_size");
    return NX_OK;
}

/* The wished chunks, where the collection was there before and has others. */
static nx_status set_chunking(nx_shelf *s, const nx_chunk_options *want, nx_error *err)
{
    nx_chunk_options has = nx_shelf_get_settings(s)->chunking, to = *want;

    if (!want->size ||
        (has.unit == want->unit && has.size == want->size && has.overlap == want->overlap))
        return NX_OK;
    to.limit = has.limit;
    nx_chunk_options checked = to;
    nx_status        st = nx_chunk_options_check(&checked, err);
    return st ? st : nx_shelf_set_chunking(s, &to, err);
}

static nx_status text_of(nx_call *c, const char *name, const char **out, nx_error *err)
{
    nx_str s = nx_field_string(c->route->request, c->body, name);
    char  *copy = nx_arena_strndup(&c->kept, s.len ? s.p : "", s.len);

    *out = copy;
    return copy ? NX_OK : nx_fail(err, NX_ENOMEM, "%s", name);
}

static nx_status begin_index(nx_call *c, char id[NX_RAG_JOB_ID], nx_error *err)
{
    nx_library      *l = c->server->library;
    nx_rag_wish      wish = {.kind = NX_RAG_JOB_INGEST, .owner = c->key.number};
    nx_str           name = nx_field_string(c->route->request, c->body, "collection");
    nx_chunk_options chunking;
    const char      *model;
    nx_shelf        *s = NULL;
    nx_status        st = read_ingest(c, &wish.ingest, err);

    if (!st) st = read_chunking(c, &chunking, err);
    if (!st) st = text_of(c, "model", &model, err);
    if (!st) st = nx_library_make(l, &s, name, model, &chunking, err);
    if (!st) st = set_chunking(s, &chunking, err);
    if (!st) {
        wish.collection = nx_collection_name(nx_shelf_collection(s));
        st = nx_rag_job_start(l, &wish, id, err);
    }
    nx_library_release(l, s);
    return st;
}

static void index_paths(nx_call *c)
{
    char      id[NX_RAG_JOB_ID];
    nx_error  err;
    nx_status st = begin_index(c, id, &err);

    reply_job(c, st, id, &err);
}

void nx_handle_admin_index(nx_call *c)
{
    start_trusted(c, index_paths);
}

static void reindex(nx_call *c)
{
    nx_library *l = c->server->library;
    nx_rag_wish wish = {.kind = NX_RAG_JOB_MOVE, .owner = c->key.number};
    nx_str      name = nx_field_string(c->route->request, c->body, "collection");
    nx_shelf   *s = NULL;
    char        id[NX_RAG_JOB_ID];
    nx_error    err;
    nx_status   st = nx_library_find(l, &s, name, &err);

    wish.model = nx_field_string(c->route->request, c->body, "model");
    if (!st) {
        wish.collection = nx_collection_name(nx_shelf_collection(s));
        st = nx_rag_job_start(l, &wish, id, &err);
    }
    nx_library_release(l, s);
    reply_job(c, st, id, &err);
}

void nx_handle_admin_reindex(nx_call *c)
{
    start_trusted(c, reindex);
}
