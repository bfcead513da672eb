/* handle_rag_llm.c - answers from documents: /llm/rag/..., and OpenAI's chat with "rag:COLLECTION". */
#include <string.h>

#include "server/format_rag.h"
#include "server/handlers.h"
#include "server/rag_access.h"
#include "server/server_in.h"

/* ---- What both are asked ---- */

static nx_rag_talk *new_talk(nx_call *c, const nx_rag_shape *shape)
{
    nx_rag_talk *t = nx_arena_alloc(&c->kept, 1, sizeof *t);

    if (!t) {
        nx_call_refuse(c, 503, NULL, NULL, 2, "out of memory");
        return NULL;
    }
    *t = (nx_rag_talk){.call = c, .shape = shape};
    t->find.call = c;
    return t;
}

/* From here on it goes with the call. */
static void start(nx_rag_talk *t)
{
    t->call->rag = t;
    nx_rag_talk_start(t);
}

/* Whoever may only read documents doesn't use the model for something else. */
static bool may_infer(nx_call *c)
{
    if (c->key.number == 0 || (c->key.scopes & NX_KEY_INFER)) return true;
    nx_call_refuse(c, 403, NULL, "missing_scope", -1,
                   "this key lacks the scope 'infer', which an answer without documents needs");
    return false;
}

/* The parts of a message that are text; what several have is joined. In the call's memory. */
static nx_str content_of(nx_call *c, const nx_json *message)
{
    const nx_json *v = nx_field_get(message, "content");
    size_t         len = 0, n = 0;
    nx_str         part;
    char          *p;

    if (!v) return NX_STR("");
    if (v->type == NX_JSON_STRING) return v->text;
    if (v->type != NX_JSON_ARRAY) return NX_STR("");
    for (size_t i = 0; i < v->array.n; i++)
        if (nx_json_get_string(&v->array.items[i], "text", &part)) len += part.len + 1;
    p = nx_arena_alloc(&c->kept, len + 1, 1);
    for (size_t i = 0; p && i < v->array.n; i++) {
        if (!nx_json_get_string(&v->array.items[i], "text", &part)) continue;
        if (n) p[n++] = '\n';
        if (part.len) memcpy(p + n, part.p, part.len);
        n += part.len;
    }
    return p ? (nx_str){p, n} : (nx_str){0};
}

/* Messages of people and models as turns; what systems and tools say is none. */
static bool read_turns(nx_rag_talk *t, const nx_json *list, size_t n)
{
    if (n == 0) return true;
    t->turns = nx_arena_alloc(&t->call->kept, n, sizeof *t->turns);
    for (size_t i = 0; t->turns && i < n; i++) {
        const nx_json *role = nx_field_get(&list[i], "role");
        bool           user = nx_json_is(role, "user");
        nx_str         text = content_of(t->call, &list[i]);
        if (!text.p) t->turns = NULL;
        if (text.p && text.len && (user || nx_json_is(role, "assistant")))
            t->turns[t->n_turns++] = (nx_turn){user, text};
    }
    if (!t->turns) nx_call_refuse(t->call, 503, NULL, NULL, 2, "out of memory");
    return t->turns != NULL;
}

/* ---- /llm/rag/query ---- */

static nx_rag_mode mode_of(nx_rag_talk *t, bool use_rag)
{
    nx_call *c = t->call;
    nx_str   said = nx_field_string(c->route->request, c->body, "mode");

    if (!use_rag) return NX_RAG_PLAIN;
    if (nx_str_eq(said, NX_STR("extract"))) return NX_RAG_EXTRACT;
    if (nx_str_eq(said, NX_STR("generate"))) return NX_RAG_GENERATE;
    return nx_rag_has_writer(c, t->model) ? NX_RAG_GENERATE : NX_RAG_EXTRACT;
}

static void read_find(nx_rag_talk *t, const nx_rag_settings *now)
{
    const nx_fields *f = t->call->route->request;
    const nx_json   *body = t->call->body;

    t->find.collection = nx_rag_collection_of(t->call);
    t->find.filter = nx_field_get(body, "filter");
    t->find.document = nx_field_string(f, body, "document_id");
    t->find.rerank = nx_field_string(f, body, "rerank");
    t->find.top_k =
        nx_field_get(body, "top_k") ? (int32_t)nx_field_int(f, body, "top_k") : now->top_k;
    t->find.has_min_score = nx_field_get(body, "min_score") != NULL;
    if (t->find.has_min_score) t->find.min_score = (float)nx_field_number(f, body, "min_score");
}

void nx_handle_llm_rag_query(nx_call *c)
{
    const nx_fields *f = c->route->request;
    nx_rag_settings  now = nx_rag_config_get(c->server->rag_config);
    nx_rag_talk     *t = new_talk(c, &nx_rag_shape_llm);
    const nx_json   *history = nx_field_get(c->body, "history");

    if (!t) return;
    if (!history) history = nx_field_get(c->body, "messages");
    t->model = nx_field_string(f, c->body, "model");
    t->query = nx_field_string(f, c->body, "query");
    t->stream = nx_field_bool(f, c->body, "stream");
    t->with_sources = nx_field_bool(f, c->body, "include_sources");
    t->explain = nx_field_bool(f, c->body, "explain");
    if (nx_field_get(c->body, "context")) t->context = nx_field_string(f, c->body, "context");
    t->mode = mode_of(t, nx_field_bool(f, c->body, "use_rag") && now.enabled);
    read_find(t, &now);
    if (history && !read_turns(t, history->array.items, history->array.n)) return;
    if (t->mode == NX_RAG_PLAIN && !may_infer(c)) return;
    start(t);
}

/* ---- The toggle ---- */

static bool set_enabled(void *ctx, nx_rag_settings *s)
{
    bool to = *(const bool *)ctx, changes = s->enabled != to;

    s->enabled = to;
    return changes;
}

static void toggle(nx_call *c, bool to)
{
    nx_error        err;
    nx_rag_settings now;
    nx_jw           w = {.buf.max = NX_REPLY_MAX};

    if (nx_rag_config_change(c->server->rag_config, set_enabled, &to, &now, &err)) {
        nx_call_refuse_error(c, &err, NULL);
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", "success");
    nx_jw_bool(&w, "rag_enabled", now.enabled);
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

static void enable(nx_call *c)
{
    toggle(c, true);
}

static void disable(nx_call *c)
{
    toggle(c, false);
}

void nx_handle_llm_rag_enable(nx_call *c)
{
    if (nx_rag_may_set(c)) nx_rag_at_desk(c, enable);
}

void nx_handle_llm_rag_disable(nx_call *c)
{
    if (nx_rag_may_set(c)) nx_rag_at_desk(c, disable);
}

/* ---- How it stands ---- */

static void text_or_null(nx_jw *w, const char *key, const char *text)
{
    if (text && *text)
        nx_jw_text(w, key, text);
    else
        nx_jw_null(w, key);
}

void nx_handle_llm_rag_status(nx_call *c)
{
    nx_rag_settings now = nx_rag_config_get(c->server->rag_config);
    nx_rag_models   m;
    nx_jw           w = {.buf.max = NX_REPLY_MAX};

    nx_rag_look_at_models(c->server, &m);
    nx_jw_open(&w, NULL, '{');
    nx_jw_bool(&w, "rag_enabled", now.enabled);
    text_or_null(&w, "llm_model", m.writer);
    nx_jw_bool(&w, "llm_loaded", m.writer_loaded);
    nx_jw_text(&w, "rag_collection", NX_RAG_COLLECTION);
    text_or_null(&w, "embedding_model", m.embedder);
    nx_jw_int(&w, "max_context_docs", now.top_k);
    nx_jw_text(&w, "default_mode", nx_rag_has_writer(c, NX_STR("")) ? "generate" : "extract");
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

/* ---- OpenAI's chat ---- */

/* "rag:docs@mini": the collection is docs, and mini answers. */
static bool read_name(nx_rag_talk *t, nx_str name)
{
    const char *at;
    char       *copy = nx_arena_strndup(&t->call->kept, name.p, name.len);

    if (!copy) {
        nx_call_refuse(t->call, 503, NULL, NULL, 2, "out of memory");
        return false;
    }
    t->name = copy;
    name.p += strlen(NX_RAG_MODEL);
    name.len -= strlen(NX_RAG_MODEL);
    at = name.len ? memchr(name.p, '@', name.len) : NULL;
    t->find.collection = name;
    if (!at) return true;
    t->find.collection.len = (size_t)(at - name.p);
    t->model = (nx_str){at + 1, name.len - t->find.collection.len - 1};
    return true;
}

/* The last message of a person is the question. */
static bool read_conversation(nx_rag_talk *t)
{
    const nx_json *list = nx_field_get(t->call->body, "messages");
    size_t         n = list->array.n;

    while (n > 0 && !nx_json_is(nx_field_get(&list->array.items[n - 1], "role"), "user")) n--;
    if (n > 0) t->query = content_of(t->call, &list->array.items[n - 1]);
    if (t->query.len) return read_turns(t, list->array.items, n - 1);
    nx_call_refuse(t->call, 400, "messages", NULL, -1,
                   "messages: a question to documents is a message of role user that has text");
    return false;
}

void nx_handle_rag_chat(nx_call *c)
{
    const nx_fields *f = c->route->request;
    nx_rag_talk     *t = new_talk(c, &nx_rag_shape_chat);

    if (!t || !read_name(t, nx_field_string(f, c->body, "model"))) return;
    if (c->key.number && !(c->key.scopes & NX_KEY_RAG)) {
        nx_call_refuse(c, 403, "model", "missing_scope", -1,
                       "this key lacks the scope 'rag', which answers from documents need");
        return;
    }
    if (nx_field_int(f, c->body, "n") > 1) {
        nx_call_refuse(c, 400, "n", NULL, -1, "n: an answer from documents is one");
        return;
    }
    if (!read_conversation(t)) return;
    t->mode = t->model.len || nx_rag_has_writer(c, t->model) ? NX_RAG_GENERATE : NX_RAG_EXTRACT;
    t->find.top_k = nx_rag_config_get(c->server->rag_config).top_k;
    t->stream = nx_field_bool(f, c->body, "stream");
    t->with_sources = true;
    start(t);
}
