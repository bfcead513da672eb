/* format_openai.c - chat completions and text completions, streamed and whole, as OpenAI's clients read
 * them: the first event of a chat names the role; every event has choices; finish_reason comes exactly
 * once for each choice, then, if asked for, one event with usage and no choices.
 */
#include "server/format_openai.h"

#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "server/format_rag.h"
#include "server/server_in.h"

#define EVENT_MAX ((size_t)64 << 20)

/* ---- What all share ---- */

static nx_jw begin_as(const nx_call *c, const char *id, int64_t created_s, const char *object)
{
    nx_jw w = {.buf.max = EVENT_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "id", id);
    nx_jw_text(&w, "object", object);
    nx_jw_int(&w, "created", created_s);
    /* Asked as "rag:docs", it answers as that. */
    nx_jw_text(&w, "model", c->rag && c->rag->name ? c->rag->name : c->model->name);
    nx_jw_text(&w, "system_fingerprint", c->server->fingerprint);
    return w;
}

static nx_jw begin(const nx_answer *a, const char *object)
{
    return begin_as(a->call, a->id, a->created_s, object);
}

static void write_usage(nx_jw *w, nx_answer_usage u)
{
    nx_jw_open(w, "usage", '{');
    nx_jw_int(w, "prompt_tokens", u.n_prompt);
    nx_jw_int(w, "completion_tokens", u.n_new);
    nx_jw_int(w, "total_tokens", u.n_prompt + u.n_new);
    nx_jw_open(w, "prompt_tokens_details", '{');
    nx_jw_int(w, "cached_tokens", u.n_cached);
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
}

static void add_usage(nx_jw *w, const nx_answer *a)
{
    nx_answer_usage u;

    nx_answer_count(a, &u);
    write_usage(w, u);
}

static void end_event(nx_jw *w, const nx_answer *a, nx_buf *out)
{
    if (a->with_usage) nx_jw_null(w, "usage");
    nx_jw_close(w, '}');
    nx_event_add(out, w);
}

static void usage_event(nx_answer *a, nx_buf *out, const char *object)
{
    nx_jw w = begin(a, object);

    if (!a->with_usage) {
        nx_buf_free(&w.buf);
        return;
    }
    nx_jw_open(&w, "choices", '[');
    nx_jw_close(&w, ']');
    add_usage(&w, a);
    nx_jw_close(&w, '}');
    nx_event_add(out, &w);
}

/* ---- Log-probabilities ---- */

/* The text of one token by itself, appended to out. */
static void piece_of(nx_buf *out, const nx_answer *a, int32_t id)
{
    const nx_vocab *vocab = a->call->model->parts.llm->vocab;

    if (vocab && id < nx_vocab_size(vocab)) nx_vocab_decode(vocab, out, &id, 1, true, NULL);
}

static void add_token(nx_jw *w, nx_str text, nx_str bytes, float logprob)
{
    nx_jw_string(w, "token", text);
    nx_jw_number(w, "logprob", (double)logprob, 9);
    nx_jw_open(w, "bytes", '[');
    for (size_t i = 0; i < bytes.len; i++) nx_jw_int(w, NULL, (unsigned char)bytes.p[i]);
    nx_jw_close(w, ']');
}

static void add_top(nx_jw *w, const nx_answer *a, const nx_logprob *top, int32_t n)
{
    nx_buf piece = {.max = EVENT_MAX};

    nx_jw_open(w, "top_logprobs", '[');
    for (int32_t k = 0; k < n; k++) {
        nx_buf_clear(&piece);
        piece_of(&piece, a, top[k].id);
        nx_str text = {piece.data, piece.len};
        nx_jw_open(w, NULL, '{');
        add_token(w, text, text, top[k].logprob);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_buf_free(&piece);
}

/* The bytes of a step, at `at` of the news' text: which there may be none of. */
static nx_str bytes_of(const nx_job_news *n, size_t at, const nx_job_step *s)
{
    return s->n_bytes > 0 ? (nx_str){n->text.data + at, (size_t)s->n_bytes} : NX_STR("");
}

static void chat_logprobs(nx_jw *w, const nx_answer *a, const nx_answer_job *j)
{
    const nx_job_news *n = &j->news;
    nx_buf             piece = {.max = EVENT_MAX};
    size_t             at = 0, top = 0;

    if (a->n_logprobs < 0) {
        nx_jw_null(w, "logprobs");
        return;
    }
    nx_jw_open(w, "logprobs", '{');
    nx_jw_open(w, "content", '[');
    for (size_t i = 0; i < n->n_steps; i++) {
        const nx_job_step *s = &n->steps[i];
        nx_str             bytes = bytes_of(n, at, s), text = bytes;
        if (bytes.len == 0) { /* a part of a character, or of no text: its own spelling */
            nx_buf_clear(&piece);
            piece_of(&piece, a, s->id);
            text = (nx_str){piece.data, piece.len};
        }
        nx_jw_open(w, NULL, '{');
        add_token(w, text, bytes, s->logprob);
        add_top(w, a, s->n_top > 0 ? n->top + top : NULL, s->n_top);
        nx_jw_close(w, '}');
        at += (size_t)s->n_bytes;
        top += (size_t)s->n_top;
    }
    nx_jw_close(w, ']');
    nx_jw_null(w, "refusal");
    nx_jw_close(w, '}');
    nx_buf_free(&piece);
}

static size_t n_chars(const char *p, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) n += ((unsigned char)p[i] & 0xC0) != 0x80;
    return n;
}

/* The older shape: lists side by side. */
static void text_logprobs(nx_jw *w, const nx_answer *a, nx_answer_job *j)
{
    const nx_job_news *n = &j->news;
    size_t             at = 0, top = 0;
    nx_buf             piece = {.max = EVENT_MAX};

    if (a->n_logprobs < 0) {
        nx_jw_null(w, "logprobs");
        return;
    }
    nx_jw_open(w, "logprobs", '{');
    nx_jw_open(w, "tokens", '[');
    for (size_t i = 0; i < n->n_steps; at += (size_t)n->steps[i++].n_bytes)
        nx_jw_string(w, NULL, bytes_of(n, at, &n->steps[i]));
    nx_jw_close(w, ']');
    nx_jw_open(w, "token_logprobs", '[');
    for (size_t i = 0; i < n->n_steps; i++) nx_jw_number(w, NULL, (double)n->steps[i].logprob, 9);
    nx_jw_close(w, ']');
    nx_jw_open(w, "top_logprobs", '[');
    for (size_t i = 0; i < n->n_steps; i++) {
        nx_jw_open(w, NULL, '{');
        for (int32_t k = 0; k < n->steps[i].n_top; k++, top++) {
            nx_buf_clear(&piece);
            piece_of(&piece, a, n->top[top].id);
            nx_jw_number(w, piece.data ? piece.data : "", (double)n->top[top].logprob, 9);
        }
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_jw_open(w, "text_offset", '[');
    at = 0;
    for (size_t i = 0; i < n->n_steps; at += (size_t)n->steps[i++].n_bytes)
        nx_jw_int(w, NULL, (int64_t)(j->n_chars + n_chars(n->text.data, at)));
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
    nx_buf_free(&piece);
}

/* ---- Chat ---- */

#define CHAT  "chat.completion"
#define CHUNK "chat.completion.chunk"

static void open_choice(nx_jw *w, int32_t i)
{
    nx_jw_open(w, "choices", '[');
    nx_jw_open(w, NULL, '{');
    nx_jw_int(w, "index", i);
}

static void close_choice(nx_jw *w, const char *finish)
{
    if (finish)
        nx_jw_text(w, "finish_reason", finish);
    else
        nx_jw_null(w, "finish_reason");
    nx_jw_close(w, '}');
    nx_jw_close(w, ']');
}

static void chat_open(nx_answer *a, nx_buf *out)
{
    for (int32_t i = 0; i < a->n_jobs; i++) {
        nx_jw w = begin(a, CHUNK);
        open_choice(&w, i);
        nx_jw_open(&w, "delta", '{');
        nx_jw_text(&w, "role", "assistant");
        nx_jw_text(&w, "content", "");
        nx_jw_close(&w, '}');
        nx_jw_null(&w, "logprobs");
        close_choice(&w, NULL);
        end_event(&w, a, out);
    }
}

static void chat_piece(nx_answer *a, int32_t i, nx_buf *out)
{
    nx_answer_job *j = &a->jobs[i];
    nx_str         text = {j->news.text.data, j->news.text.len};
    nx_jw          w = begin(a, CHUNK);

    if (a->call->rag) text = nx_rag_talk_hear(a->call->rag, text);
    open_choice(&w, i);
    nx_jw_open(&w, "delta", '{');
    nx_jw_string(&w, "content", text);
    nx_jw_close(&w, '}');
    chat_logprobs(&w, a, j);
    close_choice(&w, NULL);
    end_event(&w, a, out);
}

static void chat_close(nx_answer *a, int32_t i, nx_buf *out)
{
    nx_jw w = begin(a, CHUNK);

    open_choice(&w, i);
    nx_jw_open(&w, "delta", '{');
    if (a->call->rag) nx_rag_write_annotations(&w, a->call->rag);
    nx_jw_close(&w, '}');
    nx_jw_null(&w, "logprobs");
    close_choice(&w, nx_answer_finish(&a->jobs[i]));
    end_event(&w, a, out);
}

static void chat_last(nx_answer *a, nx_buf *out)
{
    usage_event(a, out, CHUNK);
}

/* rag (NULL: none): the text has citations, which are read before it is written. */
static void add_message(nx_jw *w, nx_str text, nx_rag_talk *rag)
{
    nx_jw_open(w, "message", '{');
    nx_jw_text(w, "role", "assistant");
    if (rag) {
        nx_rag_talk_settle(rag);
        text = (nx_str){rag->answer.data ? rag->answer.data : "", rag->answer.len};
    }
    nx_jw_string(w, "content", text);
    nx_jw_null(w, "refusal");
    if (rag) nx_rag_write_annotations(w, rag);
    nx_jw_close(w, '}');
}

static void chat_whole(nx_answer *a, nx_jw *out)
{
    nx_jw w = begin(a, CHAT);

    nx_jw_open(&w, "choices", '[');
    for (int32_t i = 0; i < a->n_jobs; i++) {
        const nx_answer_job *j = &a->jobs[i];
        nx_str               text = {j->news.text.data, j->news.text.len};
        nx_jw_open(&w, NULL, '{');
        nx_jw_int(&w, "index", i);
        if (a->call->rag) nx_rag_talk_hear(a->call->rag, text);
        add_message(&w, text, a->call->rag);
        chat_logprobs(&w, a, j);
        nx_jw_text(&w, "finish_reason", nx_answer_finish(j));
        nx_jw_close(&w, '}');
    }
    nx_jw_close(&w, ']');
    add_usage(&w, a);
    nx_jw_close(&w, '}');
    *out = w;
}

/* ---- A chat's answer that no model was asked for ---- */

static nx_jw begin_direct(const nx_rag_talk *t, const char *object)
{
    char id[16 + NX_REQUEST_ID_CAP];

    snprintf(id, sizeof id, "chatcmpl-%s", t->call->request_id);
    return begin_as(t->call, id, nx_clock_unix_ms() / 1000, object);
}

static bool wants_usage(const nx_rag_talk *t)
{
    const nx_json *so = nx_field_get(t->call->body, "stream_options");
    bool           wanted = false;

    return so && nx_json_get_bool(so, "include_usage", &wanted) && wanted;
}

void nx_chat_direct_whole(nx_rag_talk *t, nx_str text, nx_jw *out)
{
    nx_jw w = begin_direct(t, CHAT);

    open_choice(&w, 0);
    add_message(&w, text, t);
    nx_jw_null(&w, "logprobs");
    close_choice(&w, "stop");
    write_usage(&w, (nx_answer_usage){0});
    nx_jw_close(&w, '}');
    *out = w;
}

/* One event of the only choice. role: the first; text.p: a piece; else the last. */
static void direct_event(nx_rag_talk *t, bool role, nx_str text, nx_buf *out)
{
    nx_jw w = begin_direct(t, CHUNK);

    open_choice(&w, 0);
    nx_jw_open(&w, "delta", '{');
    if (role) nx_jw_text(&w, "role", "assistant");
    if (text.p)
        nx_jw_string(&w, "content", text);
    else
        nx_rag_write_annotations(&w, t);
    nx_jw_close(&w, '}');
    nx_jw_null(&w, "logprobs");
    close_choice(&w, text.p ? NULL : "stop");
    if (wants_usage(t)) nx_jw_null(&w, "usage");
    nx_jw_close(&w, '}');
    nx_event_add(out, &w);
}

void nx_chat_direct_events(nx_rag_talk *t, nx_str text, nx_buf *out)
{
    direct_event(t, true, NX_STR(""), out);
    while (text.len) { /* word by word */
        size_t n = 1;
        while (n < text.len && !(text.p[n] == ' ' && text.p[n - 1] != ' ')) n++;
        direct_event(t, false, (nx_str){text.p, n}, out);
        text = (nx_str){text.p + n, text.len - n};
    }
    direct_event(t, false, (nx_str){0}, out);
    if (!wants_usage(t)) return;
    nx_jw w = begin_direct(t, CHUNK);
    nx_jw_open(&w, "choices", '[');
    nx_jw_close(&w, ']');
    write_usage(&w, (nx_answer_usage){0});
    nx_jw_close(&w, '}');
    nx_event_add(out, &w);
}

/* ---- Text completions ---- */

#define TEXT "text_completion"

static void text_choice(nx_jw *w, nx_answer *a, int32_t i, nx_str text, bool with_logprobs,
                        const char *finish)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_int(w, "index", i);
    nx_jw_string(w, "text", text);
    if (with_logprobs)
        text_logprobs(w, a, &a->jobs[i]);
    else
        nx_jw_null(w, "logprobs");
    if (finish)
        nx_jw_text(w, "finish_reason", finish);
    else
        nx_jw_null(w, "finish_reason");
    nx_jw_close(w, '}');
}

static void text_event(nx_answer *a, int32_t i, nx_buf *out, nx_str text, bool with_logprobs,
                       const char *finish)
{
    nx_jw w = begin(a, TEXT);

    nx_jw_open(&w, "choices", '[');
    text_choice(&w, a, i, text, with_logprobs, finish);
    nx_jw_close(&w, ']');
    end_event(&w, a, out);
}

static void text_open(nx_answer *a, nx_buf *out)
{
    for (int32_t i = 0; a->echo && i < a->n_jobs; i++) {
        nx_answer_job *j = &a->jobs[i];
        text_event(a, i, out, j->prompt, false, NULL);
        j->n_chars += n_chars(j->prompt.p, j->prompt.len);
    }
}

static void text_piece(nx_answer *a, int32_t i, nx_buf *out)
{
    nx_answer_job *j = &a->jobs[i];

    text_event(a, i, out, (nx_str){j->news.text.data, j->news.text.len}, true, NULL);
    j->n_chars += n_chars(j->news.text.data, j->news.text.len);
}

static void text_close(nx_answer *a, int32_t i, nx_buf *out)
{
    text_event(a, i, out, NX_STR(""), false, nx_answer_finish(&a->jobs[i]));
}

static void text_last(nx_answer *a, nx_buf *out)
{
    usage_event(a, out, TEXT);
}

/* The prompt, if it is echoed, and the answer. */
static void whole_choice(nx_jw *w, nx_answer *a, int32_t i)
{
    nx_answer_job *j = &a->jobs[i];
    nx_buf         both = {.max = NX_REPLY_MAX};
    nx_str         text = {j->news.text.data, j->news.text.len};

    if (a->echo) {
        nx_status st = nx_buf_add(&both, j->prompt.p, j->prompt.len, &w->err);
        if (!st && text.len) st = nx_buf_add(&both, text.p, text.len, &w->err);
        if (st) w->st = st;
        text = (nx_str){both.data, both.len};
        j->n_chars = n_chars(j->prompt.p, j->prompt.len);
    }
    text_choice(w, a, i, text, true, nx_answer_finish(j));
    nx_buf_free(&both);
}

static void text_whole(nx_answer *a, nx_jw *out)
{
    nx_jw w = begin(a, TEXT);

    nx_jw_open(&w, "choices", '[');
    for (int32_t i = 0; i < a->n_jobs; i++) whole_choice(&w, a, i);
    nx_jw_close(&w, ']');
    add_usage(&w, a);
    nx_jw_close(&w, '}');
    *out = w;
}

const nx_format nx_format_chat = {.id_prefix = "chatcmpl-",
                                  .openai = true,
                                  .open = chat_open,
                                  .piece = chat_piece,
                                  .close = chat_close,
                                  .last = chat_last,
                                  .whole = chat_whole};

const nx_format nx_format_completion = {.id_prefix = "cmpl-",
                                        .openai = true,
                                        .open = text_open,
                                        .piece = text_piece,
                                        .close = text_close,
                                        .last = text_last,
                                        .whole = text_whole};
