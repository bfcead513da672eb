/* rag_talk.c - the steps of rag_talk.h, one after the other. */
#include "server/rag_talk.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "server/ask.h"
#include "server/rag_prompt.h"
#include "server/server_in.h"

#define ANSWER_MAX ((size_t)64 << 20)

/* ---- Ends ---- */

void nx_rag_talk_free(nx_rag_talk *t)
{
    if (!t) return;
    nx_citations_free(&t->citations);
    nx_free(t->used);
    nx_buf_free(&t->question);
    nx_buf_free(&t->whole);
    nx_buf_free(&t->why);
    nx_buf_free(&t->answer);
    nx_rag_find_free(&t->find);
}

/* The call was retained for the desk, or for a job. */
static void refuse(nx_rag_talk *t, const nx_error *err, const char *field)
{
    nx_rag_find_refuse(&t->find, err, field);
}

static nx_str text_of(const nx_buf *b)
{
    return (nx_str){b->data ? b->data : "", b->len};
}

/* What is known without a model is sent at once. */
static void reply_direct(nx_rag_talk *t)
{
    nx_buf      out = {.max = NX_REPLY_MAX};
    const char *type = "application/json";
    nx_error    err;

    nx_rag_talk_settle(t);
    nx_status st = t->shape->direct(t, &out, &type, &err);
    if (st) {
        nx_buf_free(&out);
        refuse(t, &err, NULL);
        return;
    }
    if (t->stream) nx_exchange_add_header(t->call->x, "Cache-Control", "no-cache", &err);
    nx_call_reply_bytes(t->call, 200, type, &out);
}

/* ---- The text of the answer ---- */

nx_str nx_rag_talk_hear(nx_rag_talk *t, nx_str text)
{
    t->answer.max = ANSWER_MAX;
    while (t->answer.len == 0 && text.len && strchr(" \t\r\n", *text.p)) text.p++, text.len--;
    if (text.len && nx_buf_add(&t->answer, text.p, text.len, NULL))
        nx_log_warn("%s: an answer too long for its citations", t->call->request_id);
    return text;
}

static void mark_used(nx_rag_talk *t)
{
    t->used = t->n_read ? nx_calloc(t->n_read, 1) : NULL;
    for (size_t i = 0; t->used && i < t->citations.n; i++) {
        size_t p = t->citations.list[i].passage;
        if (p >= t->n_read || t->used[p] || (t->left_out && t->left_out[p])) continue;
        t->used[p] = 1;
        t->n_used++;
    }
}

void nx_rag_talk_settle(nx_rag_talk *t)
{
    nx_error err;

    if (t->settled) return;
    t->settled = true;
    t->answer.max = ANSWER_MAX;
    /* An extract has its citations already. */
    if (t->mode == NX_RAG_GENERATE && nx_answer_declines(text_of(&t->answer))) t->n_read = 0;
    if (t->mode == NX_RAG_GENERATE && t->n_read && t->answer.len &&
        nx_citations_read(&t->citations, &t->answer, t->read, t->n_read, &err))
        nx_log_error("%s: citations: %s", t->call->request_id, err.text);
    mark_used(t);
}

/* For people; without memory they aren't told. */
static void say_why(nx_rag_talk *t)
{
    const nx_passages *p = t->find.passages;
    nx_status          st = NX_OK;

    nx_buf_clear(&t->why);
    t->why.max = NX_ERROR_TEXT_MAX;
    if (p && p->n == 0)
        st = nx_passages_why_none(&t->why, p, &t->find.asked, NULL);
    else if (p)
        st = nx_buf_addf(&t->why, NULL, "%zu passage%s found, none of them likely to answer (%.2f)",
                         p->n, p->n == 1 ? " was" : "s were", (double)t->relevance);
    if (st) nx_buf_clear(&t->why);
}

/* Nothing that answers: say so, and cite nothing. */
static void not_there(nx_rag_talk *t)
{
    t->n_read = 0;
    nx_rag_talk_hear(t, NX_STR(NX_NOT_IN_DOCUMENTS));
    say_why(t);
    reply_direct(t);
}

/* ---- extract ---- */

static nx_status extract(nx_rag_talk *t, nx_error *err)
{
    nx_passages  lone = {.passages = &t->lone, .n = 1};
    nx_extracted x = {0};
    nx_embedder *e = t->find.embedder ? t->find.embedder->parts.embedder : NULL;
    nx_status    st =
        nx_extract_answer(&x, &t->find.asked, t->is_lone ? &lone : t->find.passages, e, err);

    if (!st) {
        nx_rag_talk_hear(t, text_of(&x.text));
        t->confidence = x.confidence;
        t->citations = x.citations;
        x.citations = (nx_citations){0};
        if (!x.found) {
            t->n_read = 0;
            t->relevance = x.confidence;
            say_why(t);
        }
    }
    nx_extracted_free(&x);
    return st;
}

/* ---- generate ---- */

/* From the passages to jobs; answer.c answers or refuses. */
static void ask_model(nx_rag_talk *t)
{
    nx_asking   a = {.ask.format = t->shape->format};
    const char *field = t->shape->field;
    nx_error    err;
    nx_status   st;

    a.ask.n_predict = INT32_MAX;
    st = nx_asking_read(&a, t->call, &field, &err);
    if (!st) st = nx_asking_make_room(&a, 1, &err);
    if (!st) {
        field = t->shape->field;
        st = nx_rag_prompt_make(t, &a.prompts[0], a.ask.n_predict, &err);
    }
    t->stream = a.ask.stream;
    if (st == NX_ELIMIT) {
        nx_call_refuse(t->call, t->call->route->dialect == NX_DIALECT_SEED ? 422 : 400, field,
                       "context_length_exceeded", -1, "%s: %s", field, err.text);
        nx_asking_free(&a);
        return;
    }
    nx_asking_go(&a, t->call, st, field, &err);
}

/* ---- Passages ---- */

static void answer(nx_rag_talk *t)
{
    nx_error err;

    if (t->mode == NX_RAG_GENERATE) {
        ask_model(t);
    } else if (extract(t, &err)) {
        refuse(t, &err, NULL);
    } else if (t->n_read == 0) {
        nx_buf_clear(&t->answer);
        not_there(t);
    } else {
        reply_direct(t);
    }
}

/* What the caller hands in counts as relevant: he chose it. */
static void answer_from_context(nx_rag_talk *t)
{
    t->is_lone = true;
    nx_passage_given(&t->lone, t->context, NX_STR("context"), NX_STR("context"));
    t->lone.score = 1;
    t->lone.chunk.doc = nx_document_id(NX_STR("context"));
    t->lone.chunk.origin = NX_ORIGIN_TEXT;
    t->read = &t->lone;
    t->n_read = 1;
    t->relevance = 1;
    t->find.asked = (nx_question){.text = t->find.question, .top_k = 1};
    answer(t);
}

/* The one document, whole, where it fits with the question; else *fits is false, and its best passages will
 * do. */
static nx_status try_whole(nx_rag_talk *t, bool *fits, nx_error *err)
{
    nx_status st = NX_OK;

    *fits = false;
    if (t->mode != NX_RAG_GENERATE || t->find.document.len == 0) return NX_OK;
    st = nx_rag_whole_document(t, fits, err);
    if (st || !*fits) return st;
    t->is_lone = true;
    t->read = &t->lone;
    t->n_read = 1;
    t->relevance = 1;
    return NX_OK;
}

static void find(nx_rag_talk *t)
{
    nx_error  err;
    bool      whole = false;
    nx_status st = try_whole(t, &whole, &err);

    if (!st && !whole) st = nx_rag_find_run(&t->find, &err);
    if (st) {
        refuse(t, &err, NULL);
        return;
    }
    if (whole) {
        ask_model(t);
        return;
    }
    t->read = t->find.passages->passages;
    t->n_read = t->find.passages->n;
    if (t->n_read) t->relevance = nx_relevance(&t->find.asked, t->find.passages);
    /* Sentences judge by themselves, and know more. */
    if (t->n_read == 0 || (t->mode != NX_RAG_EXTRACT && t->relevance < NX_RELEVANT))
        not_there(t);
    else
        answer(t);
}

/* ---- The question after a conversation ---- */

static void go_on(void *ctx)
{
    nx_rag_talk *t = ctx;
    nx_call     *c = t->call;

    if (nx_exchange_is_gone(c->x)) /* nobody reads it: nothing for the log */
        nx_call_refuse(c, 503, NULL, NULL, -1, "the client left");
    else if (t->context.p)
        answer_from_context(t);
    else
        find(t);
    nx_call_release(c);
}

/* By its words alone. */
static nx_status lean_on_turns(nx_rag_talk *t, nx_error *err)
{
    nx_status st;

    nx_buf_clear(&t->question);
    t->question.max = ANSWER_MAX;
    st = nx_question_in_context(&t->question, t->query, t->turns, t->n_turns, err);
    if (!st) t->find.question = text_of(&t->question);
    return st;
}

/* On the desk: the model has rewritten the question, or not. */
static void take_rewritten(void *ctx)
{
    nx_rag_talk *t = ctx;
    nx_error     err;

    t->question.max = ANSWER_MAX;
    if (nx_rag_rewrite_take(t, &t->question, &err) == NX_OK && t->question.len)
        t->find.question = text_of(&t->question);
    else if (lean_on_turns(t, &err)) {
        refuse(t, &err, NULL);
        nx_call_release(t->call);
        return;
    }
    go_on(t);
}

static void on_rewritten(void *ctx)
{
    nx_rag_talk *t = ctx;

    nx_desk_post(t->call->server->vault.desk, &t->call->task, take_rewritten, t);
}

/* The call is retained until go_on. */
static void settle_question(nx_rag_talk *t)
{
    nx_error  err;
    nx_status st = NX_OK;

    t->find.question = t->query;
    if (t->n_turns && t->mode == NX_RAG_GENERATE &&
        nx_rag_rewrite_start(t, on_rewritten, &err) == NX_OK)
        return; /* t is another thread's now */
    if (t->n_turns) st = lean_on_turns(t, &err);
    if (st) {
        refuse(t, &err, NULL);
        nx_call_release(t->call);
        return;
    }
    go_on(t);
}

/* ---- The beginning ---- */

static void begin(void *ctx)
{
    nx_rag_talk *t = ctx;
    nx_error     err;

    t->call->at_desk = true;
    if (!t->context.p && nx_rag_find_open(&t->find, NX_RIGHT_READ, &err)) {
        refuse(t, &err, t->call->route->dialect == NX_DIALECT_OPENAI ? "model" : NULL);
        nx_call_release(t->call);
        return;
    }
    settle_question(t);
}

static void post(nx_call *c)
{
    nx_rag_talk *t = c->rag;

    nx_call_retain(c);
    nx_desk_post(c->server->vault.desk, &c->task, begin, t);
}

/* Without documents: the model alone, after the conversation. */
static void plain(nx_call *c)
{
    ask_model(c->rag);
}

void nx_rag_talk_start(nx_rag_talk *t)
{
    nx_call *c = t->call;

    if (t->mode == NX_RAG_EXTRACT)
        post(c);
    else
        nx_call_with_model_named(c, t->model, NX_MODEL_GENERATES,
                                 t->mode == NX_RAG_PLAIN ? plain : post);
}

/* ---- Is there somebody to write? ---- */

typedef struct looking {
    nx_str wanted;
    bool   found, small;
} looking;

/* models/nexus-mini.gguf writes sentences, not answers. */
static bool is_shipped_one(const nx_model_view *v)
{
    const char *file = v->path ? strrchr(v->path, '/') : NULL;

    return !strcmp(v->name, "nexus-mini") ||
           (v->path && !strcmp(file ? file + 1 : v->path, "nexus-mini.gguf"));
}

static void look(void *ctx, const nx_model_view *v)
{
    looking *l = ctx;

    if (l->found || v->purpose != NX_MODEL_GENERATES) return;
    if (l->wanted.len && !nx_str_eq(l->wanted, nx_str_of(v->name))) return;
    l->found = true;
    l->small = is_shipped_one(v);
}

bool nx_rag_has_writer(nx_call *c, nx_str model)
{
    looking l = {.wanted = model};

    nx_models_visit(c->server->models, look, &l);
    return l.found ? !l.small : model.len > 0; /* one that isn't there is to be asked, and missed */
}
