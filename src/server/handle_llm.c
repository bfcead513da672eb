/* handle_llm.c - the routes under /llm, and the shapes of their answers. */
#include "server/ask.h"
#include "server/handlers.h"
#include "server/server_in.h"

#define EVENT_MAX ((size_t)64 << 20)

/* ---- Shapes ---- */

static void token_event(nx_answer *a, int32_t i, nx_buf *out)
{
    nx_jw         w = {.buf.max = EVENT_MAX};
    const nx_buf *text = &a->jobs[i].news.text;

    nx_jw_open(&w, NULL, '{');
    nx_jw_string(&w, "token", (nx_str){text->data, text->len});
    nx_jw_close(&w, '}');
    nx_event_add(out, &w);
}

static void add_usage(nx_jw *w, const nx_answer *a)
{
    nx_answer_usage u;

    nx_answer_count(a, &u);
    nx_jw_open(w, "usage", '{');
    nx_jw_int(w, "prompt_tokens", u.n_prompt);
    nx_jw_int(w, "completion_tokens", u.n_new);
    nx_jw_int(w, "total_tokens", u.n_prompt + u.n_new);
    nx_jw_int(w, "cached_tokens", u.n_cached);
    nx_jw_close(w, '}');
}

static nx_str text_of(const nx_answer_job *j)
{
    return (nx_str){j->news.text.data, j->news.text.len};
}

static void add_tail(nx_jw *w, const nx_answer *a)
{
    nx_jw_text(w, "model", a->call->model->name);
    add_usage(w, a);
}

static double generation_ms(const nx_answer_job *j)
{
    nx_job_progress p;

    nx_job_get_progress(j->job, &p);
    return p.started_ns ? (double)(p.done_ns - p.started_ns) * 1e-6 : 0;
}

static void generate_whole(nx_answer *a, nx_jw *w)
{
    const nx_answer_job *j = &a->jobs[0];

    nx_jw_open(w, NULL, '{');
    nx_jw_string(w, "prompt", j->prompt);
    nx_jw_string(w, "generated_text", text_of(j));
    nx_jw_number(w, "generation_time_ms", generation_ms(j), 7);
    add_tail(w, a);
    nx_jw_text(w, "finish_reason", nx_answer_finish(j));
    nx_jw_u64(w, "seed", a->seed);
    nx_jw_close(w, '}');
}

static void chat_whole(nx_answer *a, nx_jw *w)
{
    const nx_answer_job *j = &a->jobs[0];

    nx_jw_open(w, NULL, '{');
    nx_jw_open(w, "message", '{');
    nx_jw_text(w, "role", "assistant");
    nx_jw_string(w, "content", text_of(j));
    nx_jw_close(w, '}');
    add_tail(w, a);
    nx_jw_text(w, "finish_reason", nx_answer_finish(j));
    nx_jw_u64(w, "seed", a->seed);
    nx_jw_close(w, '}');
}

static void batch_whole(nx_answer *a, nx_jw *w)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_open(w, "results", '[');
    for (int32_t i = 0; i < a->n_jobs; i++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_string(w, "prompt", a->jobs[i].prompt);
        nx_jw_string(w, "generated_text", text_of(&a->jobs[i]));
        nx_jw_text(w, "finish_reason", nx_answer_finish(&a->jobs[i]));
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_jw_int(w, "count", a->n_jobs);
    add_tail(w, a);
    nx_jw_u64(w, "seed", a->seed);
    nx_jw_close(w, '}');
}

static const nx_format generate_format = {
    .id_prefix = "gen-", .piece = token_event, .whole = generate_whole};
static const nx_format chat_format = {
    .id_prefix = "chat-", .piece = token_event, .whole = chat_whole};
static const nx_format batch_format = {.id_prefix = "batch-", .whole = batch_whole};

/* ---- Handlers ---- */

static void generate(nx_call *c)
{
    nx_asking   a = {.ask.format = &generate_format};
    nx_error    err;
    const char *field = "prompt";
    nx_str      prompt = nx_field_string(c->route->request, c->body, "prompt");
    nx_status   st = nx_asking_read(&a, c, &field, &err);

    if (!st) st = nx_asking_make_room(&a, 1, &err);
    if (!st) {
        field = "prompt";
        st = nx_asking_text(&a, c, 0, prompt, &err);
    }
    a.ask.texts = &prompt;
    nx_asking_go(&a, c, st, field, &err);
}

static void chat(nx_call *c)
{
    nx_asking   a = {.ask.format = &chat_format};
    nx_error    err;
    const char *field = "messages";
    nx_status   st = nx_asking_read(&a, c, &field, &err);

    if (!st) st = nx_asking_make_room(&a, 1, &err);
    if (!st) {
        field = "messages";
        st = nx_asking_chat(&a, c, nx_field_get(c->body, "messages"), NULL, &err);
    }
    nx_asking_go(&a, c, st, field, &err);
}

static void batch(nx_call *c)
{
    nx_asking      a = {.ask.format = &batch_format};
    nx_error       err;
    const char    *field = "prompts";
    const nx_json *prompts = nx_field_get(c->body, "prompts");
    int32_t        n = (int32_t)prompts->array.n;
    nx_str        *texts = nx_arena_alloc(&a.arena, (size_t)n, sizeof *texts);
    nx_status      st =
        texts ? nx_asking_read(&a, c, &field, &err) : nx_fail(&err, NX_ENOMEM, "%d prompts", n);

    if (!st) st = nx_asking_make_room(&a, n, &err);
    for (int32_t i = 0; !st && i < n; i++) {
        field = "prompts";
        texts[i] = prompts->array.items[i].text;
        st = nx_asking_text(&a, c, i, texts[i], &err);
    }
    a.ask.texts = texts; /* copied: what they point to is the body */
    nx_asking_go(&a, c, st, field, &err);
}

void nx_handle_llm_generate(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_GENERATES, generate);
}

void nx_handle_llm_chat(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_GENERATES, chat);
}

void nx_handle_llm_batch_generate(nx_call *c)
{
    nx_call_with_model(c, NX_MODEL_GENERATES, batch);
}

/* ---- About the model ---- */

typedef struct looking {
    nx_model_view v;
    bool          found;
} looking;

static void look(void *ctx, const nx_model_view *v)
{
    looking *l = ctx;

    if (!v->is_default) return;
    l->v = *v;
    l->found = true;
}

void nx_handle_llm_model_info(nx_call *c)
{
    nx_jw   w = {.buf.max = NX_REPLY_MAX};
    looking l = {0};

    nx_models_visit(c->server->models, look, &l);
    bool ready = l.found && l.v.state == NX_MODEL_READY;
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "model_name", l.found ? l.v.name : "");
    nx_jw_bool(&w, "loaded", ready);
    nx_jw_text(&w, "device", ready ? l.v.device : "cpu");
    if (ready)
        nx_jw_text(&w, "quantization", l.v.quant);
    else
        nx_jw_null(&w, "quantization");
    nx_jw_int(&w, "gpu_count", 0); /* this build computes on CPUs */
    nx_jw_int(&w, "gpu_memory", 0);
    nx_jw_close(&w, '}');
    nx_call_reply(c, 200, &w);
}

void nx_handle_llm_health(nx_call *c)
{
    nx_jw   w = {.buf.max = NX_REPLY_MAX};
    looking l = {0};

    nx_models_visit(c->server->models, look, &l);
    bool ready = l.found && l.v.state == NX_MODEL_READY;
    bool loading = l.found && l.v.state == NX_MODEL_LOADING;
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "status", ready ? "healthy" : loading ? "loading" : "failed");
    nx_jw_bool(&w, "llm_loaded", ready);
    if (l.found)
        nx_jw_text(&w, "llm_model", l.v.name);
    else
        nx_jw_null(&w, "llm_model");
    nx_jw_bool(&w, "rag_enabled", nx_rag_config_get(c->server->rag_config).enabled);
    nx_jw_bool(&w, "gpu_available", false);
    nx_jw_close(&w, '}');
    nx_call_reply(c, ready ? 200 : 503, &w);
}
