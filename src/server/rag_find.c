/* rag_find.c - rights first, then the model, then the plan of retrieve.h. */
#include "server/rag_find.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "os/clock.h"
#include "server/qdrant.h"
#include "server/qdrant_filter.h"
#include "server/server_in.h"

/* ---- The collection ---- */

nx_status nx_rag_find_open(nx_rag_find *f, nx_right right, nx_error *err)
{
    nx_library *library = f->call->server->library;
    nx_status   st = nx_library_find(library, &f->shelf, f->collection, err);
    nx_str      name = st ? f->collection : nx_collection_name(nx_shelf_collection(f->shelf));

    if (nx_rights_allow(f->call, name, right)) return st;
    nx_library_release(library, f->shelf);
    f->shelf = NULL;
    f->forbidden = true;
    return nx_fail(err, NX_EINVAL, "this key may not %s this collection",
                   right == NX_RIGHT_READ ? "read" : "write to");
}

nx_status nx_rag_find_model(nx_rag_find *f, nx_error *err)
{
    if (f->embedder) return NX_OK;
    return nx_library_embedder(f->call->server->library, &f->embedder, f->shelf, err);
}

void nx_rag_find_free(nx_rag_find *f)
{
    nx_library *library = f->call ? f->call->server->library : NULL;

    if (f->passages) nx_finds_release(f->call->server->finds, f->passages);
    if (f->snapshot) nx_snapshot_release(f->snapshot);
    nx_free(f->vector);
    if (library) nx_library_give_back(library, f->embedder);
    if (library) nx_library_give_back(library, f->reranker);
    if (library) nx_library_release(library, f->shelf);
    f->passages = NULL;
    f->snapshot = NULL;
    f->vector = NULL;
    f->embedder = NULL;
    f->reranker = NULL;
    f->shelf = NULL;
}

void nx_rag_find_refuse(const nx_rag_find *f, const nx_error *err, const char *field)
{
    nx_call *c = f->call;

    if (f->forbidden)
        nx_call_refuse(c, 403, NULL, NULL, -1, "%s", err->text);
    else if (err->status == NX_ECANCELLED)
        nx_call_refuse(c, 503, NULL, "server_stopping", 5, "the server is stopping");
    else
        nx_call_refuse_error(c, err, field);
}

/* ---- What counts ---- */

/* A document that the key may not see is as one that isn't there. */
static nx_status check_document(nx_rag_find *f, nx_point_id *id, nx_error *err)
{
    const nx_filter *seen;
    nx_point_copy    copy = {0};
    nx_document      d;
    nx_status        st = NX_OK;

    if (nx_id_parse_uuid(id, f->document, NULL))
        st = nx_fail(err, NX_EINVAL, "document_id: expected a UUID, found \"%.*s\"",
                     (int)(f->document.len < 60 ? f->document.len : 60), f->document.p);
    if (!st) st = nx_rights_filter(f->call, NULL, &seen, err);
    if (!st) st = nx_shelf_get(f->shelf, f->snapshot, &d, &copy, *id, seen, err);
    nx_point_copy_free(&copy);
    return st;
}

nx_status nx_rag_find_filter(nx_rag_find *f, const nx_filter **out, nx_error *err)
{
    nx_call         *c = f->call;
    const nx_config *config = nx_collection_config(nx_shelf_collection(f->shelf));
    nx_point_id      id;
    nx_status        st;

    if (!f->snapshot) f->snapshot = nx_snapshot_take(nx_shelf_collection(f->shelf));
    st = nx_qd_filter(out, c, config, f->filter, err);
    if (st || f->document.len == 0) return st;
    st = check_document(f, &id, err);
    return st ? st : nx_shelf_filter_chunks(&c->kept, &id, *out, out, err);
}

/* ---- The question ---- */

static void count_tokens(const nx_rag_find *f, int64_t n)
{
    nx_call       *c = f->call;
    nx_usage_entry entry = {.key = c->key.number ? c->key.id : NULL,
                            .model = f->embedder->name,
                            .counts = {.requests = 1, .prompt_tokens = n},
                            .unix_s = nx_clock_unix_ms() / 1000};

    nx_usage_add(c->server->usage, &entry, NULL, NULL);
}

static nx_status embed(nx_rag_find *f, nx_error *err)
{
    nx_embedder     *e = f->embedder->parts.embedder;
    nx_embed_text    text = {.text = f->question};
    nx_embed_options opt;
    nx_embed_report  r;

    nx_embed_options_default(&opt);
    opt.long_texts = NX_LONG_WINDOWS;
    opt.input_type = NX_INPUT_QUERY;
    opt.cancel = &f->call->server->cut;
    f->vector = nx_calloc((size_t)nx_embedder_dims(e), sizeof *f->vector);
    if (!f->vector) return nx_fail(err, NX_ENOMEM, "the question's vector");
    nx_status st = nx_embedder_run(e, f->vector, &text, 1, &opt, &r, err);
    if (!st) count_tokens(f, r.n_tokens);
    return st;
}

static nx_status retrieve(nx_rag_find *f, nx_error *err)
{
    nx_server *s = f->call->server;
    int64_t    begun = nx_clock_ns();
    nx_pool   *pool = nx_vault_take_pool(&s->vault);
    nx_status  st =
        nx_finds_retrieve(s->finds, &f->passages, f->shelf, f->snapshot, &f->asked, pool, err);

    nx_vault_give_pool(&s->vault, pool);
    nx_metrics_store_worked(s->metrics, NX_METRICS_STORE_SEARCH,
                            (double)(nx_clock_ns() - begun) * 1e-9);
    return st;
}

nx_status nx_rag_find_run(nx_rag_find *f, nx_error *err)
{
    const nx_filter *filter = NULL;
    nx_status        st = nx_rag_find_filter(f, &filter, err);

    if (!st) st = nx_rag_find_model(f, err);
    if (!st && f->rerank.len)
        st = nx_library_model(f->call->server->library, &f->reranker, f->rerank, NX_MODEL_RERANKS,
                              err);
    if (!st) st = embed(f, err);
    if (st) return st;
    f->asked = (nx_question){.text = f->question,
                             .vector = f->vector,
                             .mode = f->mode,
                             .top_k = f->top_k,
                             .has_min_score = f->has_min_score,
                             .min_score = f->min_score,
                             .filter = filter,
                             .reranker = f->reranker ? f->reranker->parts.reranker : NULL,
                             .cancel = &f->call->server->cut};
    return retrieve(f, err);
}

/* ---- Passages, as JSON ---- */

float nx_rag_score(const nx_passage *p)
{
    float score = p->has_dense ? p->dense : p->score;

    return score > 0 ? score : 0;
}

nx_str nx_rag_cut(nx_str text, size_t n)
{
    size_t at = 0, len;

    for (; n > 0 && at < text.len; n--, at += len) nx_utf8_decode(text.p + at, text.len - at, &len);
    return (nx_str){text.p, at};
}

static void write_headings(nx_jw *w, nx_str path)
{
    if (path.len == 0) return;
    nx_jw_open(w, "headings", '[');
    while (path.len) {
        const char *end = memchr(path.p, '\n', path.len);
        size_t      n = end ? (size_t)(end - path.p) : path.len;
        nx_jw_string(w, NULL, (nx_str){path.p, n});
        path = end ? (nx_str){end + 1, path.len - n - 1} : (nx_str){path.p + n, 0};
    }
    nx_jw_close(w, ']');
}

static size_t n_chars(nx_str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) n += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    return n;
}

/* Those that are written below: the caller's of the same name are left out. */
static bool is_ours(nx_str key)
{
    static const char *const names[] = {
        "chunk_id", "start_pos", "end_pos", "chunk_size", "doc_id",     "source",   "title",
        "headings", "origin",    "page",    "page_end",   "start_char", "end_char", "place"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (nx_str_eq(key, nx_str_of(names[i]))) return true;
    return false;
}

void nx_rag_write_metadata(nx_jw *w, const char *key, const nx_passage *p)
{
    const nx_chunk_view *c = &p->chunk;
    nx_value_iter        it = c->metadata.n ? nx_value_each(c->metadata) : (nx_value_iter){0};
    nx_str               name;
    nx_value             v;

    nx_jw_open(w, key, '{');
    nx_jw_u64(w, "chunk_id", c->chunk_id);
    nx_jw_u64(w, "start_pos", c->start_pos);
    nx_jw_u64(w, "end_pos", c->end_pos);
    nx_jw_u64(w, "start_char", c->start_char);
    nx_jw_u64(w, "end_char", c->end_char);
    nx_jw_u64(w, "chunk_size", n_chars(c->text));
    nx_qd_write_id(w, "doc_id", c->doc);
    nx_jw_string(w, "source", c->source);
    nx_jw_string(w, "title", c->title);
    write_headings(w, c->headings);
    nx_jw_text(w, "origin", c->origin == NX_ORIGIN_FILE ? "file" : "text");
    if (c->page) nx_jw_int(w, "page", c->page);
    if (c->page) nx_jw_int(w, "page_end", c->page_end ? c->page_end : c->page);
    if (c->page) nx_jw_text(w, "place", nx_place_name(c->place));
    while (nx_value_next(&it, &name, &v)) {
        if (is_ours(name)) continue;
        nx_jw_key(w, name);
        nx_qd_write_value(w, NULL, v);
    }
    nx_jw_close(w, '}');
}
