/* ask.c - reads fields; tables and checks are elsewhere, so nothing here can be of the wrong type. */
#include "server/ask.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "os/random.h"
#include "server/server_in.h"

void nx_asking_free(nx_asking *a)
{
    for (int32_t i = 0; a->prompts && i < a->ask.n_prompts; i++) nx_ids_free(&a->prompts[i]);
    nx_free(a->prompts);
    nx_arena_free(&a->arena);
    *a = (nx_asking){0};
}

/* ---- Fields ---- */

static bool has(const nx_call *c, const char *name)
{
    return nx_field_find(c->route->request, nx_str_of(name)) != NULL;
}

static float number(const nx_call *c, const char *name)
{
    return (float)nx_field_number(c->route->request, c->body, name);
}

static void read_sampler(nx_sampler_options *o, const nx_call *c)
{
    *o = (nx_sampler_options){
        .temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .penalty_window = -1};
    if (has(c, "temperature")) o->temperature = number(c, "temperature");
    if (has(c, "top_p")) o->top_p = number(c, "top_p");
    if (o->top_p <= 0) o->top_p = FLT_MIN; /* none of the mass: the likeliest alone */
    if (has(c, "top_k")) o->top_k = (int32_t)nx_field_int(c->route->request, c->body, "top_k");
    if (has(c, "min_p")) o->min_p = number(c, "min_p");
    if (has(c, "repetition_penalty")) o->repeat_penalty = number(c, "repetition_penalty");
    if (has(c, "presence_penalty")) o->presence_penalty = number(c, "presence_penalty");
    if (has(c, "frequency_penalty")) o->frequency_penalty = number(c, "frequency_penalty");
    if (has(c, "do_sample") && !nx_field_bool(c->route->request, c->body, "do_sample"))
        o->temperature = 0;
}

static void read_seed(nx_ask *ask, const nx_call *c)
{
    const nx_json *v = nx_field_get(c->body, "seed");

    ask->sampler.seed = v ? (uint64_t)nx_json_whole(v) : nx_random_seed();
}

static nx_status read_stops(nx_asking *a, const nx_call *c, nx_error *err)
{
    const nx_json *v = nx_field_get(c->body, "stop");

    if (!v) return NX_OK;
    const nx_json *items = v->type == NX_JSON_ARRAY ? v->array.items : v;
    size_t         n = v->type == NX_JSON_ARRAY ? v->array.n : 1;
    nx_str        *list = nx_arena_alloc(&a->arena, n, sizeof *list);
    if (!list) return nx_fail(err, NX_ENOMEM, "stop texts");
    for (size_t i = 0; i < n; i++) list[i] = items[i].text;
    a->ask.stop = list;
    a->ask.n_stop = n;
    return NX_OK;
}

static nx_status read_bias(nx_asking *a, const nx_call *c, nx_error *err)
{
    const nx_json *v = nx_field_get(c->body, "logit_bias");
    int32_t        n_vocab = c->model->parts.llm->model->hp.n_vocab;

    if (!v) return NX_OK;
    nx_logit_bias *list = nx_arena_alloc(&a->arena, v->object.n, sizeof *list);
    if (!list) return nx_fail(err, NX_ENOMEM, "logit biases");
    for (size_t i = 0; i < v->object.n; i++) {
        const nx_json_member *m = &v->object.members[i];
        int64_t               id = 0;
        double                bias = 0;
        for (size_t k = 0; k < m->key.len && id <= n_vocab; k++) id = id * 10 + (m->key.p[k] - '0');
        if (id >= n_vocab)
            return nx_fail(err, NX_EINVAL, "logit_bias: there is no token %.*s, expected 0 to %d",
                           (int)(m->key.len < 20 ? m->key.len : 20), m->key.p, n_vocab - 1);
        nx_json_number(&m->value, &bias);
        list[i] = (nx_logit_bias){(int32_t)id, bias <= -100 ? -INFINITY : (float)bias};
    }
    a->ask.sampler.bias = list;
    a->ask.sampler.n_bias = v->object.n;
    return NX_OK;
}

static void read_priority(nx_ask *ask, const nx_call *c)
{
    nx_job_priority most = c->key.number ? c->key.priority : NX_PRIORITY_NORMAL;
    nx_str word = has(c, "priority") ? nx_field_string(c->route->request, c->body, "priority")
                                     : NX_STR("normal");

    ask->priority = nx_str_eq(word, NX_STR("high"))  ? NX_PRIORITY_HIGH
                    : nx_str_eq(word, NX_STR("low")) ? NX_PRIORITY_LOW
                                                     : NX_PRIORITY_NORMAL;
    /* A key of high priority needs no words; nobody asks for more than the key has. */
    if (most == NX_PRIORITY_HIGH && ask->priority == NX_PRIORITY_NORMAL) ask->priority = most;
    if (ask->priority < most) ask->priority = most;
}

/* The first of these fields that the body gives. */
static void read_length(nx_ask *ask, const nx_call *c)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens", "max_new_tokens"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const nx_field *f = nx_field_find(c->route->request, nx_str_of(names[i]));
        if (!f || (!nx_field_get(c->body, names[i]) && !f->preset)) continue;
        int64_t n = nx_field_int(c->route->request, c->body, names[i]);
        int64_t most = c->server->limits.max[NX_LIMIT_NEW_TOKENS];
        if (f->limit == NX_LIMIT_NEW_TOKENS && n > most) n = most; /* what the table presets */
        ask->n_predict = n < INT32_MAX ? (int32_t)n : INT32_MAX;
        return;
    }
}

nx_status nx_asking_read(nx_asking *a, nx_call *c, const char **field, nx_error *err)
{
    nx_ask *ask = &a->ask;

    ask->n_each = has(c, "n") ? (int32_t)nx_field_int(c->route->request, c->body, "n") : 1;
    ask->n_logprobs = -1;
    read_sampler(&ask->sampler, c);
    read_seed(ask, c);
    read_priority(ask, c);
    read_length(ask, c);
    if (has(c, "stream")) ask->stream = nx_field_bool(c->route->request, c->body, "stream");
    if (has(c, "ignore_eos"))
        ask->ignore_end = nx_field_bool(c->route->request, c->body, "ignore_eos");
    const nx_json *so = nx_field_get(c->body, "stream_options");
    bool           usage = false;
    if (so && nx_json_get_bool(so, "include_usage", &usage)) ask->with_usage = usage;
    *field = "stop";
    nx_status st = read_stops(a, c, err);
    if (!st && has(c, "logit_bias")) {
        *field = "logit_bias";
        st = read_bias(a, c, err);
    }
    return st;
}

/* ---- Prompts ---- */

nx_status nx_asking_make_room(nx_asking *a, int32_t n, nx_error *err)
{
    a->prompts = nx_calloc((size_t)n, sizeof *a->prompts);
    if (!a->prompts) return nx_fail(err, NX_ENOMEM, "%d prompts", n);
    a->ask.n_prompts = n;
    a->ask.prompts = a->prompts;
    return NX_OK;
}

static nx_status need_vocab(const nx_call *c, nx_error *err)
{
    if (c->model->parts.llm->vocab) return NX_OK;
    return nx_fail(err, NX_EUNSUPPORTED, "model %s has no vocabulary: it takes token ids alone",
                   c->model->name);
}

nx_status nx_asking_text(nx_asking *a, const nx_call *c, int32_t i, nx_str text, nx_error *err)
{
    nx_status st = need_vocab(c, err);

    if (!st)
        st = nx_vocab_encode(c->model->parts.llm->vocab, &a->prompts[i], text.p, text.len,
                             NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL, err);
    if (!st && a->prompts[i].n == 0)
        st = nx_fail(err, NX_EINVAL, "the prompt is empty: there is nothing to continue");
    return st;
}

nx_status nx_asking_ids(nx_asking *a, const nx_call *c, int32_t i, const nx_json *ids,
                        nx_error *err)
{
    int32_t   n_vocab = c->model->parts.llm->model->hp.n_vocab;
    nx_status st = nx_ids_reserve(&a->prompts[i], ids->array.n, err);

    for (size_t k = 0; !st && k < ids->array.n; k++) {
        int64_t id = nx_json_whole(&ids->array.items[k]);
        if (id < 0 || id >= n_vocab)
            return nx_fail(err, NX_EINVAL, "prompt: token %zu is %lld, expected 0 to %d", k,
                           (long long)id, n_vocab - 1);
        st = nx_ids_add(&a->prompts[i], (int32_t)id, err);
    }
    return st;
}

/* ---- Conversations: from OpenAI's shape to what templates read ---- */

/* The texts of all parts, one below the other. */
static nx_status join_parts(nx_arena *arena, nx_json *out, const nx_json *parts, nx_error *err)
{
    size_t len = 0, n = 0;
    nx_str text = {0};

    for (size_t i = 0; i < parts->array.n; i++)
        if (nx_json_get_string(&parts->array.items[i], "text", &text)) len += text.len + 1;
    char *p = nx_arena_alloc(arena, len + 1, 1);
    if (!p) return nx_fail(err, NX_ENOMEM, "message");
    for (size_t i = 0; i < parts->array.n; i++) {
        if (!nx_json_get_string(&parts->array.items[i], "text", &text)) continue;
        if (i) p[n++] = '\n';
        if (text.len) memcpy(p + n, text.p, text.len);
        n += text.len;
    }
    *out = (nx_json){.type = NX_JSON_STRING, .text = {p, n}};
    return NX_OK;
}

/* Templates want a call's arguments as an object; clients send them as JSON text. What isn't JSON stays
 * text. */
static nx_status open_arguments(nx_arena *arena, nx_json *function, nx_error *err)
{
    nx_json_member *copy = nx_arena_alloc(arena, function->object.n, sizeof *copy);

    if (!copy) return nx_fail(err, NX_ENOMEM, "message");
    memcpy(copy, function->object.members, function->object.n * sizeof *copy);
    for (size_t i = 0; i < function->object.n; i++) {
        const nx_json *args;
        if (!nx_str_eq(copy[i].key, NX_STR("arguments"))) continue;
        if (copy[i].value.type != NX_JSON_STRING) continue;
        if (nx_json_parse_into(arena, &args, "arguments", copy[i].value.text.p,
                               copy[i].value.text.len, 0, NULL) == NX_OK &&
            args->type == NX_JSON_OBJECT)
            copy[i].value = *args;
    }
    function->object.members = copy;
    return NX_OK;
}

static nx_status open_calls(nx_arena *arena, nx_json *calls, nx_error *err)
{
    nx_json  *list = nx_arena_alloc(arena, calls->array.n, sizeof *list);
    nx_status st = NX_OK;

    if (!list) return nx_fail(err, NX_ENOMEM, "message");
    memcpy(list, calls->array.items, calls->array.n * sizeof *list);
    calls->array.items = list;
    for (size_t i = 0; !st && i < calls->array.n; i++) {
        nx_json *call = &list[i];
        if (call->type != NX_JSON_OBJECT) continue;
        nx_json_member *m = nx_arena_alloc(arena, call->object.n, sizeof *m);
        if (!m) return nx_fail(err, NX_ENOMEM, "message");
        memcpy(m, call->object.members, call->object.n * sizeof *m);
        call->object.members = m;
        for (size_t k = 0; !st && k < call->object.n; k++)
            if (nx_str_eq(m[k].key, NX_STR("function")) && m[k].value.type == NX_JSON_OBJECT)
                st = open_arguments(arena, &m[k].value, err);
    }
    return st;
}

static nx_status to_template(nx_arena *arena, nx_json *message, nx_error *err)
{
    nx_json_member *m = nx_arena_alloc(arena, message->object.n, sizeof *m);
    size_t          n = 0;
    nx_status       st = NX_OK;

    if (!m) return nx_fail(err, NX_ENOMEM, "message");
    for (size_t i = 0; !st && i < message->object.n; i++) {
        nx_json_member *to = &m[n];
        *to = message->object.members[i];
        bool content = nx_str_eq(to->key, NX_STR("content"));
        if (to->value.type == NX_JSON_NULL && !content) continue; /* null is absent */
        if (content && to->value.type == NX_JSON_NULL)
            to->value = (nx_json){.type = NX_JSON_STRING, .text = {"", 0}};
        if (content && to->value.type == NX_JSON_ARRAY)
            st = join_parts(arena, &to->value, &message->object.members[i].value, err);
        if (nx_str_eq(to->key, NX_STR("role")) && nx_json_is(&to->value, "developer"))
            to->value.text = NX_STR("system");
        if (nx_str_eq(to->key, NX_STR("tool_calls")) && to->value.type == NX_JSON_ARRAY)
            st = open_calls(arena, &to->value, err);
        n++;
    }
    message->object.members = m;
    message->object.n = n;
    return st;
}

nx_status nx_asking_chat(nx_asking *a, const nx_call *c, const nx_json *messages,
                         const nx_json *tools, nx_error *err)
{
    nx_json  *list = nx_arena_alloc(&a->arena, messages->array.n, sizeof *list);
    nx_status st = need_vocab(c, err);

    if (!st && !c->model->chat) {
        *err = c->model->chat_error;
        return nx_fail_prefix(err, NX_EUNSUPPORTED, "messages");
    }
    if (!st && !list) st = nx_fail(err, NX_ENOMEM, "conversation");
    if (!st) memcpy(list, messages->array.items, messages->array.n * sizeof *list);
    for (size_t i = 0; !st && i < messages->array.n; i++)
        st = to_template(&a->arena, &list[i], err);
    if (st) return st;
    nx_json         all = {.type = NX_JSON_ARRAY, .array = {list, messages->array.n}};
    nx_chat_request r = {.messages = &all, .tools = tools, .answer = true, .folds_system = true};
    st = nx_chat_encode_request(c->model->chat, &a->prompts[0], &r, err);
    return st == NX_EINVAL ? nx_fail_prefix(err, st, "messages") : st;
}

/* ---- Off ---- */

void nx_asking_go(nx_asking *a, nx_call *c, nx_status st, const char *field, const nx_error *err)
{
    if (st)
        nx_call_refuse_error(c, err, field);
    else
        nx_answer_start(c, &a->ask);
    nx_asking_free(a);
}
