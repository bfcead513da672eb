/* handle_openai.c - the routes under /v1. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "server/ask.h"
#include "server/format_openai.h"
#include "server/handlers.h"
#include "server/rag_talk.h"
#include "server/server_in.h"

/* ---- Chat ---- */

static void chat(nx_call *c)
{
    nx_asking        a = {.ask.format = &nx_format_chat};
    nx_error         err;
    const nx_fields *f = c->route->request;
    const char      *field = "messages";

    a.ask.n_predict = INT32_MAX; /* all that is left of the context */
    nx_status st = nx_asking_read(&a, c, &field, &err);
    if (nx_field_bool(f, c->body, "logprobs"))
        a.ask.n_logprobs = (int32_t)nx_field_int(f, c->body, "top_logprobs");
    if (!st) st = nx_asking_make_room(&a, 1, &err);
    if (!st) {
        field = "messages";
        st = nx_asking_chat(&a, c, nx_field_get(c->body, "messages"),
                            nx_field_get(c->body, "tools"), &err);
    }
    nx_asking_go(&a, c, st, field, &err);
}

static bool is_of_documents(nx_str model)
{
    size_t n = strlen(NX_RAG_MODEL);

    return model.len > n && !memcmp(model.p, NX_RAG_MODEL, n);
}

void nx_handle_v1_chat_completions(nx_call *c)
{
    if (is_of_documents(nx_field_string(c->route->request, c->body, "model")))
        nx_handle_rag_chat(c);
    else
        nx_call_with_model(c, NX_MODEL_GENERATES, chat);
}

/* ---- Text ---- */

/* The four shapes of a prompt: a text, texts, ids, lists of ids. */
static nx_status read_prompts(nx_asking *a, nx_call *c, nx_str **texts, nx_error *err)
{
    const nx_json *p = nx_field_get(c->body, "prompt");
    bool           many =
        p->type == NX_JSON_ARRAY && p->array.n > 0 &&
        (p->array.items[0].type == NX_JSON_STRING || p->array.items[0].type == NX_JSON_ARRAY);
    const nx_json *items = many ? p->array.items : p;
    int32_t        n = many ? (int32_t)p->array.n : 1;
    nx_status      st = nx_asking_make_room(a, n, err);

    *texts = st ? NULL : nx_arena_alloc(&a->arena, (size_t)n, sizeof **texts);
    if (!st && !*texts) st = nx_fail(err, NX_ENOMEM, "%d prompts", n);
    for (int32_t i = 0; !st && i < n; i++) {
        if (items[i].type == NX_JSON_STRING) {
            (*texts)[i] = items[i].text;
            st = nx_asking_text(a, c, i, items[i].text, err);
        } else {
            st = nx_asking_ids(a, c, i, &items[i], err);
        }
    }
    return st;
}

/* What echo gives back of a prompt that came as ids. */
static nx_status spell_ids(nx_asking *a, const nx_call *c, nx_str *texts, nx_error *err)
{
    const nx_vocab *vocab = c->model->parts.llm->vocab;
    nx_status       st = NX_OK;

    for (int32_t i = 0; !st && vocab && i < a->ask.n_prompts; i++) {
        nx_buf text = {.max = NX_REPLY_MAX};
        if (texts[i].p) continue;
        st = nx_vocab_decode(vocab, &text, a->prompts[i].ids, a->prompts[i].n, false, err);
        if (!st && text.len) {
            texts[i].p = nx_arena_strndup(&a->arena, text.data, text.len);
            texts[i].len = texts[i].p ? text.len : 0;
        }
        nx_buf_free(&text);
    }
    return st;
}

static void complete(nx_call *c)
{
    nx_asking        a = {.ask.format = &nx_format_completion};
    nx_error         err;
    nx_str          *texts = NULL;
    const nx_fields *f = c->route->request;
    const char      *field = "prompt";
    nx_status        st = nx_asking_read(&a, c, &field, &err);

    if (nx_field_get(c->body, "logprobs"))
        a.ask.n_logprobs = (int32_t)nx_field_int(f, c->body, "logprobs");
    a.ask.echo = nx_field_bool(f, c->body, "echo");
    if (!st) {
        field = "prompt";
        st = read_prompts(&a, c, &texts, &err);
    }
    if (!st && a.ask.echo) st = spell_ids(&a, c, texts, &err);
    int64_t best_of = nx_field_get(c->body, "best_of") ? nx_field_int(f, c->body, "best_of") : 0;
    if (!st && best_of > a.ask.n_each) {
        field = "best_of";
        st = nx_fail(&err, NX_EUNSUPPORTED, "best_of: not supported beyond n, which is %d",
                     a.ask.n_each);
    }
    /* The texts must outlive the asking: they are views into the body, or live as long as the call. */
    if (!st && a.ask.echo) {
        c->kept = a.arena;
        a.arena = (nx_arena){0};
    }
    a.ask.texts = texts;
    nx_asking_go(&a, c, st, field, &err);
}

void nx_handle_v1_completions(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_GENERATES, complete);
}

/* ---- Tokens ---- */

static void tokenize(nx_call *c)
{
    const nx_fields *f = c->route->request;
    const nx_json   *text = nx_field_get(c->body, "text");
    const char      *field = text ? "text" : "prompt";
    const nx_vocab  *vocab = c->model->parts.llm->vocab;
    unsigned         flags = 0;
    nx_ids           ids = {0};
    nx_error         err;
    nx_service_stats stats;
    nx_jw            w = {.buf.max = NX_REPLY_MAX};

    if (!text) text = nx_field_get(c->body, "prompt");
    if (nx_field_bool(f, c->body, "add_special")) flags |= NX_ENCODE_ADD_SPECIAL;
    if (nx_field_bool(f, c->body, "parse_special")) flags |= NX_ENCODE_PARSE_SPECIAL;
    nx_status st = vocab ? nx_vocab_encode(vocab, &ids, text->text.p, text->text.len, flags, &err)
                         : nx_fail(&err, NX_EUNSUPPORTED, "this model has no vocabulary");
    if (st) {
        nx_call_refuse_error(c, &err, field);
        return;
    }
    nx_model_parts_stats(&c->model->parts, &stats);
    nx_jw_open(&w, NULL, '{');
    nx_jw_ids(&w, "tokens", ids.ids, ids.n);
    nx_jw_u64(&w, "count", ids.n);
    nx_jw_int(&w, "max_model_len", stats.n_ctx);
    nx_jw_close(&w, '}');
    nx_ids_free(&ids);
    nx_call_reply(c, 200, &w);
}

static void detokenize(nx_call *c)
{
    const nx_json  *tokens = nx_field_get(c->body, "tokens");
    const nx_vocab *vocab = c->model->parts.llm->vocab;
    nx_ids          ids = {0};
    nx_buf          text = {.max = NX_REPLY_MAX};
    nx_error        err;
    nx_jw           w = {.buf.max = NX_REPLY_MAX};
    nx_status       st = vocab ? nx_ids_reserve(&ids, tokens->array.n, &err)
                               : nx_fail(&err, NX_EUNSUPPORTED, "this model has no vocabulary");

    for (size_t i = 0; !st && i < tokens->array.n; i++)
        st = nx_ids_add(&ids, (int32_t)nx_json_whole(&tokens->array.items[i]), &err);
    if (!st) st = nx_vocab_decode(vocab, &text, ids.ids, ids.n, true, &err);
    nx_ids_free(&ids);
    if (st) {
        nx_buf_free(&text);
        nx_call_refuse_error(c, &err, "tokens");
        return;
    }
    nx_jw_open(&w, NULL, '{');
    nx_jw_string(&w, "text", (nx_str){text.data, text.len});
    nx_jw_close(&w, '}');
    nx_buf_free(&text);
    nx_call_reply(c, 200, &w);
}

void nx_handle_v1_tokenize(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_ANY, tokenize);
}

void nx_handle_v1_detokenize(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_ANY, detokenize);
}

/* ---- Models ---- */

typedef struct listing {
    nx_jw *w;
    nx_str wanted; /* empty: all */
    bool   found;
} listing;

static void add_model(void *ctx, const nx_model_view *v)
{
    listing *l = ctx;
    nx_jw   *w = l->w;

    if (l->wanted.len && !nx_str_eq(l->wanted, nx_str_of(v->name))) return;
    l->found = true;
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "id", v->name);
    nx_jw_text(w, "object", "model");
    nx_jw_int(w, "created", v->created_s);
    nx_jw_text(w, "owned_by", "nexus");
    if (v->n_ctx)
        nx_jw_int(w, "max_model_len", v->n_ctx);
    else
        nx_jw_null(w, "max_model_len");
    nx_jw_close(w, '}');
}

/* "rag:COLLECTION": as good as a model, for whoever may read it. */
static void add_collection(listing *l, const char *collection)
{
    char   name[sizeof NX_RAG_MODEL + NX_COLLECTION_NAME_MAX];
    nx_jw *w = l->w;

    snprintf(name, sizeof name, NX_RAG_MODEL "%s", collection);
    if (l->wanted.len && !nx_str_eq(l->wanted, nx_str_of(name))) return;
    l->found = true;
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "id", name);
    nx_jw_text(w, "object", "model");
    nx_jw_int(w, "created", 0);
    nx_jw_text(w, "owned_by", "nexus");
    nx_jw_null(w, "max_model_len");
    nx_jw_close(w, '}');
}

static void add_collections(listing *l, const nx_call *c)
{
    char **names = NULL;
    size_t n = 0;

    if (c->key.number && !(c->key.scopes & NX_KEY_RAG)) return;
    if (nx_library_list(c->server->library, &names, &n, NULL)) return;
    for (size_t i = 0; i < n; i++)
        if (nx_rights_allow(c, nx_str_of(names[i]), NX_RIGHT_READ)) add_collection(l, names[i]);
    nx_free(names);
}

void nx_handle_v1_models(nx_call *c)
{
    nx_jw   w = {.buf.max = NX_REPLY_MAX};
    listing l = {.w = &w};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "object", "list");
    nx_jw_open(&w, "data", '[');
    nx_models_visit(c->server->models, add_model, &l);
    add_collections(&l, c);
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

void nx_handle_v1_model(nx_call *c)
{
    nx_jw   w = {.buf.max = NX_REPLY_MAX};
    listing l = {.w = &w, .wanted = c->params[0]};

    nx_models_visit(c->server->models, add_model, &l);
    if (!l.found) add_collections(&l, c);
    if (l.found) {
        nx_call_reply(c, 200, &w);
        return;
    }
    nx_buf_free(&w.buf);
    nx_call_refuse(c, 404, "model", "model_not_found", -1, "there is no model '%.*s' here",
                   (int)(c->params[0].len < 100 ? c->params[0].len : 100), c->params[0].p);
}
