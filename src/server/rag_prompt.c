/* rag_prompt.c - prompts under an exact budget: every count is of the ids that the model will read. */
#include "server/rag_prompt.h"

#include <string.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "server/server_in.h"

enum {
    ROOM_MAX = 512,    /* tokens kept for an answer whose length nobody said */
    REWRITE_MAX = 64,  /* tokens of a rewritten question */
    BYTES_A_TOKEN = 8, /* more than this a token doesn't hold: a longer text isn't even counted */
};
#define TEXT_MAX ((size_t)64 << 20)

static nx_str text_of(const nx_buf *b)
{
    return (nx_str){b->data ? b->data : "", b->len};
}

/* ---- Ids ---- */

/* Without a template: the texts below each other, as a model that continues texts understands them. */
static nx_status encode_plain(const nx_call *c, nx_ids *out, const nx_chat_message *m, size_t n,
                              nx_error *err)
{
    nx_buf    text = {.max = TEXT_MAX};
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < n; i++) {
        if (m[i].text.len) st = nx_buf_add(&text, m[i].text.p, m[i].text.len, err);
        if (!st) st = nx_buf_add(&text, "\n\n", 2, err);
    }
    if (!st)
        st = nx_vocab_encode(c->model->parts.llm->vocab, out, text.data, text.len,
                             NX_ENCODE_ADD_SPECIAL, err);
    nx_buf_free(&text);
    return st;
}

static nx_status encode(const nx_call *c, nx_ids *out, const nx_chat_message *m, size_t n,
                        nx_error *err)
{
    if (!c->model->parts.llm->vocab)
        return nx_fail(err, NX_EUNSUPPORTED, "model %s has no vocabulary", c->model->name);
    if (c->model->chat) return nx_chat_encode(c->model->chat, out, m, n, true, err);
    return encode_plain(c, out, m, n, err);
}

static size_t pair(nx_chat_message m[2], nx_str system, nx_str user)
{
    size_t n = 0;

    if (system.len) m[n++] = (nx_chat_message){NX_CHAT_SYSTEM, system};
    m[n++] = (nx_chat_message){NX_CHAT_USER, user};
    return n;
}

static nx_status count_pair(void *ctx, nx_str system, nx_str user, int32_t *n, nx_error *err)
{
    nx_chat_message m[2];
    nx_ids          ids = {0};
    nx_status       st = encode(ctx, &ids, m, pair(m, system, user), err);

    *n = st || ids.n > INT32_MAX ? INT32_MAX : (int32_t)ids.n;
    nx_ids_free(&ids);
    return st;
}

static int32_t context_of(const nx_call *c)
{
    nx_service_stats stats;

    nx_model_parts_stats(&c->model->parts, &stats);
    return stats.n_ctx;
}

/* ---- The answer's prompt ---- */

/* Never more than half of a context is kept for the answer: else a small one had no room for passages. */
static int32_t budget_for(const nx_call *c, int32_t n_predict)
{
    int32_t n_ctx = context_of(c), room = n_predict == INT32_MAX ? ROOM_MAX : n_predict;

    if (room > n_ctx / 2) room = n_ctx / 2;
    return n_ctx - room;
}

/* The conversation, and the question at its end. */
static nx_status make_plain(nx_rag_talk *t, nx_ids *out, nx_error *err)
{
    nx_chat_message *m = nx_arena_alloc(&t->call->kept, t->n_turns + 1, sizeof *m);

    if (!m) return nx_fail(err, NX_ENOMEM, "conversation");
    for (size_t i = 0; i < t->n_turns; i++)
        m[i] = (nx_chat_message){t->turns[i].user ? NX_CHAT_USER : NX_CHAT_ASSISTANT,
                                 t->turns[i].text};
    m[t->n_turns] = (nx_chat_message){NX_CHAT_USER, t->query};
    return encode(t->call, out, m, t->n_turns + 1, err);
}

/* The collection's own, or the one that fits the model: the small one that ships was trained on its own. */
static nx_str template_of(const nx_rag_talk *t)
{
    nx_str own = t->find.shelf ? nx_shelf_get_settings(t->find.shelf)->template : NX_STR("");
    nx_str model = nx_str_of(t->call->model->name);

    if (own.len) return own;
    return nx_template_builtin(nx_rag_has_writer(t->call, model) ? model : NX_STR("nexus-mini"));
}

static nx_status build(nx_rag_talk *t, nx_rag_prompt *p, int32_t budget, nx_error *err)
{
    nx_status st;

    if (t->read == &t->lone)
        return nx_rag_prompt_whole(p, template_of(t), t->find.question, &t->lone, budget,
                                   count_pair, t->call, err);
    st = nx_rag_prompt_build(p, template_of(t), t->find.question, t->read, t->n_read, budget,
                             count_pair, t->call, err);
    if (!st && p->n_in == 0)
        st =
            nx_fail(err, NX_ELIMIT,
                    "none of the passages fits with the question into %d tokens, which is what the "
                    "model's context has beside the answer",
                    budget);
    return st;
}

static nx_status note_left_out(nx_rag_talk *t, const nx_rag_prompt *p, nx_error *err)
{
    if (p->n_in == p->n_used) return NX_OK;
    t->left_out = nx_arena_alloc(&t->call->kept, p->n_used, 1);
    if (!t->left_out) return nx_fail(err, NX_ENOMEM, "%zu passages", p->n_used);
    memset(t->left_out, 1, p->n_used);
    for (size_t i = 0; i < p->n_in; i++) t->left_out[p->in[i]] = 0;
    return NX_OK;
}

nx_status nx_rag_prompt_make(nx_rag_talk *t, nx_ids *out, int32_t n_predict, nx_error *err)
{
    nx_rag_prompt   p = {0};
    nx_chat_message m[2];
    nx_status       st;

    if (t->mode == NX_RAG_PLAIN) return make_plain(t, out, err);
    st = build(t, &p, budget_for(t->call, n_predict), err);
    if (!st) st = note_left_out(t, &p, err);
    if (!st) {
        t->n_read = p.n_used;
        st = encode(t->call, out, m, pair(m, text_of(&p.system), text_of(&p.user)), err);
    }
    nx_rag_prompt_free(&p);
    return st;
}

/* ---- A whole document ---- */

static nx_status read_text(nx_rag_talk *t, const nx_document *d, nx_error *err)
{
    const char *name = d->text_sha256[0] ? d->text_sha256 : d->sha256;

    t->whole.max = TEXT_MAX;
    return nx_blobs_read(nx_shelf_blobs(t->find.shelf), &t->whole, name, 0, UINT64_MAX, NULL, err);
}

/* Texts of the passage live as long as the call. */
static nx_status keep(nx_rag_talk *t, nx_str *text, nx_error *err)
{
    char *copy = nx_arena_strndup(&t->call->kept, text->p ? text->p : "", text->len);

    if (!copy) return nx_fail(err, NX_ENOMEM, "a document's name");
    text->p = copy;
    return NX_OK;
}

static nx_status fill_lone(nx_rag_talk *t, nx_document *d, nx_error *err)
{
    nx_status st = keep(t, &d->source, err);

    if (!st) st = keep(t, &d->title, err);
    nx_passage_given(&t->lone, text_of(&t->whole), d->title, d->source);
    t->lone.score = 1;
    t->lone.chunk.doc = d->id;
    t->lone.chunk.place = d->place;
    t->lone.chunk.origin = d->origin;
    return st;
}

static nx_status does_fit(nx_rag_talk *t, bool *fits, nx_error *err)
{
    nx_rag_prompt p = {0};
    nx_status     st;

    t->read = &t->lone;
    t->n_read = 1;
    st = build(t, &p, budget_for(t->call, INT32_MAX), err);
    nx_rag_prompt_free(&p);
    *fits = st == NX_OK;
    return st == NX_ELIMIT ? NX_OK : st;
}

static nx_status get_document(nx_rag_talk *t, nx_document *d, nx_point_copy *copy, nx_error *err)
{
    nx_rag_find     *f = &t->find;
    const nx_filter *filter;
    nx_point_id      id;
    nx_status        st = nx_rag_find_filter(f, &filter, err); /* and the snapshot is taken */

    if (!st) st = nx_id_parse_uuid(&id, f->document, err);
    if (!st) st = nx_rights_filter(f->call, NULL, &filter, err);
    return st ? st : nx_shelf_get(f->shelf, f->snapshot, d, copy, id, filter, err);
}

nx_status nx_rag_whole_document(nx_rag_talk *t, bool *fits, nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   d;
    nx_status     st = get_document(t, &d, &copy, err);

    *fits = false;
    if (!st && t->find.filter == NULL && d.text_bytes > 0 &&
        d.text_bytes / BYTES_A_TOKEN < (uint64_t)context_of(t->call)) {
        st = read_text(t, &d, err);
        if (!st) st = fill_lone(t, &d, err);
        if (!st) st = does_fit(t, fits, err);
    }
    nx_point_copy_free(&copy);
    return st;
}

/* ---- A question rewritten ---- */

static nx_status make_job(nx_rag_talk *t, nx_job **out, void (*ended)(void *), nx_error *err)
{
    nx_buf          system = {.max = TEXT_MAX}, user = system;
    nx_chat_message m[2];
    nx_job_options  o = {.sampler = {.top_p = 1, .typical_p = 1, .repeat_penalty = 1},
                         .n_predict = REWRITE_MAX,
                         .n_logprobs = -1,
                         .whole = true,
                         .priority = NX_PRIORITY_NORMAL,
                         .owner = t->call->key.number,
                         .ended = ended,
                         .ctx = t};
    nx_status       st = nx_rewrite_prompt(&system, &user, t->query, t->turns, t->n_turns, err);

    if (!st) st = encode(t->call, &o.prompt, m, pair(m, text_of(&system), text_of(&user)), err);
    nx_buf_free(&system);
    nx_buf_free(&user);
    if (!st && o.prompt.n + REWRITE_MAX > (size_t)context_of(t->call))
        st = nx_fail(err, NX_ELIMIT, "the conversation is longer than the model's context");
    if (st)
        nx_ids_free(&o.prompt);
    else
        st = nx_job_create(out, &o, err);
    return st;
}

nx_status nx_rag_rewrite_start(nx_rag_talk *t, void (*ended)(void *ctx), nx_error *err)
{
    nx_call    *c = t->call;
    nx_service *service = c->model->parts.service;
    nx_job     *job = NULL;
    nx_status   st = make_job(t, &job, ended, err);

    if (st) return st;
    atomic_store(&c->aside, job); /* released with the call; who leaves meanwhile cancels it */
    return service->ops->submit(service, job, err);
}

static void count_tokens(nx_call *c)
{
    nx_job_progress p;

    nx_job_get_progress(c->aside, &p);
    nx_usage_entry entry = {.key = c->key.number ? c->key.id : NULL,
                            .model = c->model->name,
                            .counts = {.prompt_tokens = p.n_prompt,
                                       .generated_tokens = p.n_new,
                                       .cached_tokens = p.n_cached},
                            .unix_s = nx_clock_unix_ms() / 1000};
    nx_usage_add(c->server->usage, &entry, NULL, NULL);
}

nx_status nx_rag_rewrite_take(nx_rag_talk *t, nx_buf *out, nx_error *err)
{
    nx_job_news news = {0};
    nx_status   st = NX_OK;

    nx_job_take(t->call->aside, &news);
    count_tokens(t->call);
    nx_buf_clear(out);
    if (!news.error.status && news.finish != NX_FINISH_CANCELLED) {
        nx_str said = nx_rewrite_read(text_of(&news.text), t->query);
        if (said.len) st = nx_buf_add(out, said.p, said.len, err);
    }
    nx_job_news_free(&news);
    return st;
}
