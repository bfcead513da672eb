/* handle_rag.c - the routes under /rag that read: search, context for a question, collections, figures,
 * settings. Documents come in by handle_rag_index.c; answers are handle_rag_llm.c's.
 */
#include <string.h>

#include "base/alloc.h"
#include "rag/answer.h"
#include "server/handlers.h"
#include "server/qdrant.h"
#include "server/rag_access.h"
#include "server/rag_find.h"
#include "server/server_in.h"

static nx_str text_of(const nx_buf *b)
{
    return (nx_str){b->data ? b->data : "", b->len};
}

/* ---- Looking ---- */

static nx_search_mode search_mode(nx_str word)
{
    if (nx_str_eq(word, NX_STR("dense"))) return NX_SEARCH_DENSE;
    return nx_str_eq(word, NX_STR("words")) ? NX_SEARCH_WORDS : NX_SEARCH_HYBRID;
}

/* "" also of a field that this route doesn't have. */
static nx_str text_in(const nx_call *c, const char *name)
{
    bool has = nx_field_find(c->route->request, nx_str_of(name)) != NULL;

    return has ? nx_field_string(c->route->request, c->body, name) : NX_STR("");
}

static void read_find(nx_rag_find *f, nx_call *c, const nx_rag_settings *now)
{
    const nx_fields *fields = c->route->request;
    const nx_json   *body = nx_field_find(fields, NX_STR("top_k")) ? c->body : NULL;

    *f = (nx_rag_find){.call = c,
                       .collection = nx_rag_collection_of(c),
                       .question = text_in(c, "query"),
                       .top_k = now->top_k,
                       .has_min_score = true,
                       .min_score = (float)now->min_score,
                       .filter = nx_field_get(body, "filter"),
                       .document = text_in(c, "document_id"),
                       .rerank = text_in(c, "rerank"),
                       .mode = search_mode(text_in(c, "search"))};
    if (nx_field_get(body, "top_k")) f->top_k = (int32_t)nx_field_int(fields, body, "top_k");
    if (nx_field_get(body, "min_score"))
        f->min_score = (float)nx_field_number(fields, body, "min_score");
    else if (f->mode == NX_SEARCH_WORDS)
        f->min_score = 0;
    /* 0 is no bound at all: what words found is told also where its vector isn't made yet. */
    f->has_min_score = f->min_score > 0;
}

static bool find(nx_rag_find *f, nx_call *c)
{
    nx_rag_settings now = nx_rag_config_get(c->server->rag_config);
    nx_error        err;
    nx_status       st;

    read_find(f, c, &now);
    st = nx_rag_find_open(f, NX_RIGHT_READ, &err);
    if (!st) st = nx_rag_find_run(f, &err);
    if (st) nx_rag_find_refuse(f, &err, NULL);
    return st == NX_OK;
}

static void write_reason(nx_jw *w, const nx_passages *list, size_t i)
{
    nx_buf why = {.max = NX_REPLY_MAX};

    if (!w->st) w->st = nx_passage_explain(&why, list, i, &w->err);
    nx_jw_string(w, "explain", text_of(&why));
    nx_buf_free(&why);
}

static void write_document(nx_jw *w, const nx_passages *list, size_t i, bool with_metadata,
                           bool explain)
{
    const nx_passage *p = &list->passages[i];

    nx_jw_open(w, NULL, '{');
    nx_jw_string(w, "text", p->chunk.text);
    nx_jw_float(w, "score", nx_rag_score(p));
    nx_qd_write_id(w, "id", p->chunk.id);
    if (with_metadata) nx_rag_write_metadata(w, "metadata", p);
    if (explain) write_reason(w, list, i);
    nx_jw_close(w, '}');
}

static void write_documents(nx_jw *w, const char *key, const nx_passages *list, bool with_metadata,
                            bool explain)
{
    nx_jw_open(w, key, '[');
    for (size_t i = 0; i < list->n; i++) write_document(w, list, i, with_metadata, explain);
    nx_jw_close(w, ']');
}

/* Of a list without anything in it: why. */
static void write_why(nx_jw *w, const nx_rag_find *f)
{
    nx_buf why = {.max = NX_ERROR_TEXT_MAX};

    if (f->passages->n == 0 && !w->st)
        w->st = nx_passages_why_none(&why, f->passages, &f->asked, &w->err);
    if (why.len) nx_jw_string(w, "message", text_of(&why));
    nx_buf_free(&why);
}

/* ---- /rag/search ---- */

static void search(nx_call *c)
{
    bool        with = nx_field_bool(c->route->request, c->body, "include_metadata");
    bool        explain = nx_field_bool(c->route->request, c->body, "explain");
    nx_jw       w = {.buf.max = NX_REPLY_MAX};
    nx_rag_find f;

    if (find(&f, c)) {
        nx_jw_open(&w, NULL, '{');
        nx_jw_string(&w, "query", f.question);
        nx_jw_u64(&w, "num_results", f.passages->n);
        write_documents(&w, "documents", f.passages, with, explain);
        if (with) {
            nx_jw_open(&w, "config", '{');
            nx_jw_int(&w, "top_k", f.top_k);
            nx_jw_float(&w, "min_score", f.min_score);
            nx_jw_string(&w, "collection", f.collection);
            nx_jw_close(&w, '}');
        } else {
            nx_jw_null(&w, "config");
        }
        write_why(&w, &f);
        nx_jw_close(&w, '}');
        nx_call_reply(c, 200, &w);
    }
    nx_rag_find_free(&f);
}

void nx_handle_rag_search(nx_call *c)
{
    nx_rag_at_desk(c, search);
}

/* ---- /rag/query ---- */

static void write_query_config(nx_jw *w, const nx_rag_find *f)
{
    nx_jw_open(w, "config", '{');
    nx_jw_int(w, "top_k", f->top_k);
    nx_jw_float(w, "min_score", f->min_score);
    nx_jw_bool(w, "privacy_enabled", false);
    nx_jw_text(w, "model", f->embedder->name);
    nx_jw_close(w, '}');
}

static void query(nx_call *c)
{
    bool        with = nx_field_bool(c->route->request, c->body, "include_metadata");
    nx_jw       w = {.buf.max = NX_REPLY_MAX};
    nx_buf      context = {.max = NX_REPLY_MAX};
    nx_rag_find f;

    if (find(&f, c)) {
        nx_jw_open(&w, NULL, '{');
        nx_jw_string(&w, "query", f.question);
        if (f.passages->n)
            w.st = nx_seed_context(&context, f.passages->passages, f.passages->n, &w.err);
        nx_jw_string(&w, "context", text_of(&context));
        nx_jw_u64(&w, "num_docs", f.passages->n);
        if (with) {
            write_documents(&w, "retrieved_documents", f.passages, true, false);
            write_query_config(&w, &f);
        } else {
            nx_jw_null(&w, "retrieved_documents");
            nx_jw_null(&w, "config");
        }
        write_why(&w, &f);
        nx_jw_close(&w, '}');
        nx_call_reply(c, 200, &w);
    }
    nx_buf_free(&context);
    nx_rag_find_free(&f);
}

void nx_handle_rag_query(nx_call *c)
{
    nx_rag_at_desk(c, query);
}

/* ---- Collections ---- */

static void list_collections(nx_call *c)
{
    nx_jw    w = {.buf.max = NX_REPLY_MAX};
    char   **names = NULL;
    size_t   n = 0;
    nx_error err;

    if (nx_library_list(c->server->library, &names, &n, &err)) {
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_jw_open(&w, NULL, '[');
    for (size_t i = 0; i < n; i++)
        if (nx_rights_allow(c, nx_str_of(names[i]), NX_RIGHT_READ)) nx_jw_text(&w, NULL, names[i]);
    nx_jw_close(&w, ']');
    nx_free(names);
    nx_call_reply(c, 200, &w);
}

void nx_handle_rag_collections(nx_call *c)
{
    nx_rag_at_desk(c, list_collections);
}

/* A collection that isn't made of documents is none of ours to drop. */
static void drop_collection(nx_call *c)
{
    nx_shelf *shelf = NULL;
    nx_str    name = c->params[0];
    nx_error  err;
    nx_status st;

    if (!nx_rights_allow(c, name, NX_RIGHT_MANAGE)) {
        nx_call_refuse(c, 403, NULL, NULL, -1, "this key may not manage this collection");
        return;
    }
    st = nx_library_find(c->server->library, &shelf, name, &err);
    nx_library_release(c->server->library, shelf);
    if (!st) st = nx_store_drop_collection(c->server->vault.store, name, &err);
    if (st)
        nx_call_refuse_error(c, &err, "name");
    else
        nx_rag_reply_nothing(c);
}

void nx_handle_rag_collection_drop(nx_call *c)
{
    nx_rag_at_desk(c, drop_collection);
}

/* ---- Caches: what was found last, and the vectors of texts that were embedded last ---- */

static void add_cache(void *ctx, const nx_model_view *v)
{
    nx_embed_cache_stats *sum = ctx;

    if (v->purpose != NX_MODEL_EMBEDS || v->state != NX_MODEL_READY) return;
    sum->n += v->cache.n;
    sum->n_max += v->cache.n_max;
    sum->n_hits += v->cache.n_hits;
    sum->n_misses += v->cache.n_misses;
}

static void write_cache(nx_jw *w, int64_t n, int64_t n_max, uint64_t hits, uint64_t total)
{
    nx_jw_int(w, "cache_size", n);
    nx_jw_int(w, "max_size", n_max);
    nx_jw_double(w, "hit_rate", total ? (double)hits / (double)total : 0);
    nx_jw_u64(w, "total_requests", total);
}

void nx_handle_rag_cache_stats(nx_call *c)
{
    nx_finds_stats       finds = nx_finds_read_stats(c->server->finds);
    nx_embed_cache_stats v = {0};
    nx_jw                w = {.buf.max = NX_REPLY_MAX};

    nx_models_visit(c->server->models, add_cache, &v);
    nx_jw_open(&w, NULL, '{');
    write_cache(&w, finds.n, finds.n_max, finds.n_hits, finds.n_requests);
    nx_jw_open(&w, "vectors", '{');
    write_cache(&w, v.n, v.n_max, v.n_hits, v.n_hits + v.n_misses);
    nx_jw_close(&w, '}');
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

void nx_handle_rag_cache_clear(nx_call *c)
{
    if (!nx_rag_may_set(c)) return;
    nx_finds_clear(c->server->finds);
    nx_models_clear_caches(c->server->models);
    nx_rag_reply_nothing(c);
}

/* ---- Health ---- */

void nx_handle_rag_health(nx_call *c)
{
    char          reason[NX_ERROR_TEXT_MAX];
    nx_rag_models m;
    nx_jw         w = {.buf.max = NX_REPLY_MAX};

    nx_rag_look_at_models(c->server, &m);
    bool disk = nx_vault_writable(&c->server->vault, reason, sizeof reason);
    bool well = disk && m.embedder[0] && !m.embedder_failed;
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", well ? "healthy" : "unhealthy");
    nx_jw_bool(&w, "gpu_available", false);
    nx_jw_bool(&w, "privacy_enabled", false);
    if (m.embedder[0])
        nx_jw_text(&w, "embedding_model", m.embedder);
    else
        nx_jw_null(&w, "embedding_model");
    nx_jw_text(&w, "collection_name", NX_RAG_COLLECTION);
    if (!disk)
        nx_jw_text(&w, "detail", reason);
    else if (!well)
        nx_jw_text(&w, "detail",
                   m.embedder[0] ? "the embedding model can't be loaded"
                                 : "there is no model that embeds: start the server with one");
    nx_jw_close(&w, '}');
    nx_call_reply(c, well ? 200 : 503, &w);
}

/* ---- Settings ---- */

/* Fields that the body gives, laid over what is in force. */
static bool lay_over(void *ctx, nx_rag_settings *s)
{
    nx_call         *c = ctx;
    const nx_fields *f = c->route->request;
    const nx_json   *b = c->body;

    if (nx_field_get(b, "top_k")) s->top_k = (int32_t)nx_field_int(f, b, "top_k");
    if (nx_field_get(b, "min_score")) s->min_score = nx_field_number(f, b, "min_score");
    if (nx_field_get(b, "chunk_size")) s->chunk_size = (int32_t)nx_field_int(f, b, "chunk_size");
    if (nx_field_get(b, "chunk_overlap"))
        s->chunk_overlap = (int32_t)nx_field_int(f, b, "chunk_overlap");
    if (nx_field_get(b, "privacy_epsilon"))
        s->privacy_epsilon = nx_field_number(f, b, "privacy_epsilon");
    return true;
}

/* {field: what it is now}, of the fields that the body gives. */
static void write_updated(nx_jw *w, const nx_call *c, const nx_rag_settings *now)
{
    const nx_json *b = c->body;

    nx_jw_open(w, "updated_fields", '{');
    if (nx_field_get(b, "top_k")) nx_jw_int(w, "top_k", now->top_k);
    if (nx_field_get(b, "min_score")) nx_jw_double(w, "min_score", now->min_score);
    if (nx_field_get(b, "chunk_size")) nx_jw_int(w, "chunk_size", now->chunk_size);
    if (nx_field_get(b, "chunk_overlap")) nx_jw_int(w, "chunk_overlap", now->chunk_overlap);
    if (nx_field_get(b, "enable_privacy")) nx_jw_bool(w, "enable_privacy", false);
    if (nx_field_get(b, "privacy_epsilon"))
        nx_jw_double(w, "privacy_epsilon", now->privacy_epsilon);
    nx_jw_close(w, '}');
}

static void configure(nx_call *c)
{
    nx_rag_settings now;
    nx_error        err;
    nx_fault        fault;
    nx_jw           w = {.buf.max = NX_REPLY_MAX};
    nx_status       st = nx_rag_config_change(c->server->rag_config, lay_over, c, &now, &err);

    if (st ==
        NX_EINVAL) { /* each is within its bounds: it is the overlap that isn't below the size */
        const char *what = strstr(err.text, ": "); /* the fault names the field itself */
        nx_fault_set(&fault, NX_FAULT_RANGE, c->route->request, "chunk_overlap", "%s",
                     what ? what + 2 : err.text);
        nx_call_refuse_fault(c, &fault, "body");
        return;
    }
    if (st) {
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", "success");
    write_updated(&w, c, &now);
    nx_jw_open(&w, "current_config", '{');
    nx_rag_settings_write(&w, &now);
    nx_jw_close(&w, '}');
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

void nx_handle_rag_config(nx_call *c)
{
    if (!nx_rag_may_set(c)) return;
    if (nx_field_bool(c->route->request, c->body, "enable_privacy"))
        nx_call_refuse(c, 501, "enable_privacy", NULL, -1,
                       "enable_privacy: private search isn't built into this server yet; nothing "
                       "was changed");
    else
        nx_rag_at_desk(c, configure);
}
