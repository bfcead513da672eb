/* format_rag.c - metadata, sources, tokens, done; or all of it in one body.
 *
 * Of a stream nobody knows yet what the answer will use: its "sources" are the passages that the model
 * reads, each with its number, and "done" says which of them were cited. A whole body lists as sources what
 * was cited; where a model cited nothing, what it read, with "used": false.
 */
#include "server/format_rag.h"

#include <stdio.h>
#include <string.h>

#include "net/http.h"
#include "server/format_openai.h"
#include "server/qdrant.h"
#include "server/server_in.h"

#define EVENT_MAX  ((size_t)64 << 20)
#define SHOWN      200 /* characters of a source's text */
#define EVENT_TYPE "text/event-stream; charset=utf-8"

static nx_str text_of(const nx_buf *b)
{
    return (nx_str){b->data ? b->data : "", b->len};
}

static size_t n_chars(const char *p, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) n += ((unsigned char)p[i] & 0xC0) != 0x80;
    return n;
}

/* ---- Sources ---- */

static bool is_used(const nx_rag_talk *t, size_t i)
{
    return t->used && t->used[i];
}

static void write_source(nx_jw *w, const nx_rag_talk *t, size_t i, bool with_used)
{
    const nx_passage *p = &t->read[i];

    nx_jw_open(w, NULL, '{');
    nx_jw_int(w, "number", (int64_t)i + 1);
    nx_jw_string(w, "text", nx_rag_cut(p->chunk.text, SHOWN));
    nx_jw_float(w, "score", nx_rag_score(p));
    nx_rag_write_metadata(w, "metadata", p);
    if (with_used) nx_jw_bool(w, "used", is_used(t, i));
    nx_jw_close(w, '}');
}

/* What was cited; where nothing was, what was read. */
static bool is_listed(const nx_rag_talk *t, size_t i)
{
    if (t->left_out && t->left_out[i]) return false;
    return t->n_used == 0 || is_used(t, i);
}

static size_t count_listed(const nx_rag_talk *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n_read; i++) n += is_listed(t, i);
    return n;
}

static void write_sources(nx_jw *w, const nx_rag_talk *t)
{
    nx_jw_open(w, "sources", '[');
    for (size_t i = 0; t->with_sources && i < t->n_read; i++)
        if (is_listed(t, i)) write_source(w, t, i, true);
    nx_jw_close(w, ']');
}

/* ---- Citations ---- */

/* The cited part of the passage's text. */
static nx_str cited_text(const nx_citation *c, const nx_passage *p)
{
    nx_str   text = p->chunk.text;
    uint64_t from = p->chunk.start_pos;

    if (c->start_pos < from || c->end_pos < c->start_pos || c->end_pos - from > text.len)
        return text;
    return (nx_str){text.p + (c->start_pos - from), (size_t)(c->end_pos - c->start_pos)};
}

/* Where it stands: for links, and for people. */
static void write_place(nx_jw *w, const nx_citation *c, const nx_passage *p)
{
    nx_qd_write_id(w, "document_id", p->chunk.doc);
    nx_jw_string(w, "source", p->chunk.source);
    nx_jw_string(w, "title", p->chunk.title);
    if (p->chunk.page)
        nx_jw_int(w, "page", p->chunk.page);
    else
        nx_jw_null(w, "page");
    nx_jw_u64(w, "start_pos", c->start_pos);
    nx_jw_u64(w, "end_pos", c->end_pos);
    nx_jw_bool(w, "quoted", c->quoted);
    nx_jw_string(w, "text", cited_text(c, p));
}

static void write_citations(nx_jw *w, const nx_rag_talk *t)
{
    nx_jw_open(w, "citations", '[');
    for (size_t i = 0; i < t->citations.n; i++) {
        const nx_citation *c = &t->citations.list[i];
        if (c->passage >= t->n_read || !is_listed(t, c->passage)) continue;
        nx_jw_open(w, NULL, '{');
        nx_jw_int(w, "number", c->number);
        write_place(w, c, &t->read[c->passage]);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
}

/* ---- What all answers say ---- */

static const char *mode_name(const nx_rag_talk *t)
{
    static const char *const names[] = {
        [NX_RAG_PLAIN] = "plain", [NX_RAG_EXTRACT] = "extract", [NX_RAG_GENERATE] = "generate"};

    return names[t->mode];
}

static bool used_rag(const nx_rag_talk *t)
{
    return t->mode != NX_RAG_PLAIN;
}

/* a: who answered; NULL: no model was asked. */
static void write_model(nx_jw *w, const nx_rag_talk *t, const nx_answer *a)
{
    nx_jw_text(w, "mode", mode_name(t));
    if (a)
        nx_jw_text(w, "model", a->call->model->name);
    else
        nx_jw_null(w, "model");
}

static void write_usage(nx_jw *w, const nx_answer *a)
{
    nx_answer_usage u = {0};

    if (a) nx_answer_count(a, &u);
    nx_jw_open(w, "usage", '{');
    nx_jw_int(w, "prompt_tokens", u.n_prompt);
    nx_jw_int(w, "completion_tokens", u.n_new);
    nx_jw_int(w, "total_tokens", u.n_prompt + u.n_new);
    nx_jw_int(w, "cached_tokens", u.n_cached);
    nx_jw_close(w, '}');
}

static void write_end(nx_jw *w, const nx_rag_talk *t, const nx_answer *a)
{
    nx_jw_text(w, "finish_reason", a ? nx_answer_finish(&a->jobs[0]) : "stop");
    write_usage(w, a);
    if (t->why.len) nx_jw_string(w, "message", text_of(&t->why));
}

/* ---- How it was found ---- */

static void write_reasons(nx_jw *w, const nx_passages *p)
{
    nx_jw_open(w, "passages", '[');
    for (size_t i = 0; i < p->n; i++) {
        nx_buf why = {.max = NX_REPLY_MAX};
        nx_jw_open(w, NULL, '{');
        nx_jw_string(w, "text", nx_rag_cut(p->passages[i].chunk.text, SHOWN));
        nx_jw_string(w, "source", p->passages[i].chunk.source);
        if (!w->st) w->st = nx_passage_explain(&why, p, i, &w->err);
        nx_jw_string(w, "why", text_of(&why));
        nx_jw_close(w, '}');
        nx_buf_free(&why);
    }
    nx_jw_close(w, ']');
}

static void write_explain(nx_jw *w, const nx_rag_talk *t)
{
    const nx_passages *p = t->find.passages;

    if (!t->explain || t->is_lone || !p) return;
    nx_jw_open(w, "explain", '{');
    nx_jw_string(w, "question", t->find.question);
    nx_jw_float(w, "relevance", t->relevance);
    if (p->has_best)
        nx_jw_float(w, "best_score", p->best);
    else
        nx_jw_null(w, "best_score");
    nx_jw_u64(w, "found_by_meaning", p->n_dense);
    nx_jw_u64(w, "found_by_words", p->n_words);
    nx_jw_u64(w, "fused", p->n_fused);
    nx_jw_u64(w, "below_min_score", p->n_below);
    nx_jw_u64(w, "folded", p->n_folded);
    nx_jw_u64(w, "joined", p->n_joined);
    nx_jw_number(w, "search_ms", (p->plan_s + p->rest_s) * 1e3, 4);
    write_reasons(w, p);
    nx_jw_close(w, '}');
}

/* ---- /llm/rag/query, whole ---- */

static void write_whole(nx_jw *w, const nx_rag_talk *t, const nx_answer *a)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_string(w, "query", t->query);
    nx_jw_string(w, "answer", text_of(&t->answer));
    nx_jw_bool(w, "used_rag", used_rag(t));
    write_sources(w, t);
    nx_jw_u64(w, "num_sources", count_listed(t));
    write_citations(w, t);
    write_model(w, t, a);
    write_end(w, t, a);
    if (used_rag(t) && !nx_str_eq(t->find.question, t->query))
        nx_jw_string(w, "question", t->find.question);
    if (t->mode == NX_RAG_EXTRACT && t->n_read) nx_jw_float(w, "confidence", t->confidence);
    write_explain(w, t);
    nx_jw_close(w, '}');
}

static void whole(nx_answer *a, nx_jw *w)
{
    nx_rag_talk *t = a->call->rag;

    nx_rag_talk_hear(t, text_of(&a->jobs[0].news.text));
    nx_rag_talk_settle(t);
    write_whole(w, t, a);
}

/* ---- As events ---- */

static nx_jw begin(const char *type)
{
    nx_jw w = {.buf.max = EVENT_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "type", type);
    return w;
}

static void end(nx_jw *w, nx_buf *out)
{
    nx_jw_close(w, '}');
    nx_event_add(out, w);
}

/* settled: what the answer uses is known already. */
static void open_events(const nx_rag_talk *t, const nx_answer *a, nx_buf *out)
{
    nx_jw w = begin("metadata");

    nx_jw_string(&w, "query", t->query);
    nx_jw_bool(&w, "used_rag", used_rag(t));
    nx_jw_u64(&w, "num_sources", count_listed(t));
    write_model(&w, t, a);
    end(&w, out);
    if (!t->with_sources || !used_rag(t)) return;
    w = begin("sources");
    nx_jw_open(&w, "sources", '[');
    for (size_t i = 0; i < t->n_read; i++)
        if (is_listed(t, i)) write_source(&w, t, i, t->settled);
    nx_jw_close(&w, ']');
    end(&w, out);
}

static void token_event(nx_str text, nx_buf *out)
{
    nx_jw w = begin("token");

    nx_jw_string(&w, "content", text);
    end(&w, out);
}

/* changed: numbers of passages that there aren't were taken out of what was sent. */
static void done_event(const nx_rag_talk *t, const nx_answer *a, bool changed, nx_buf *out)
{
    nx_jw w = begin("done");

    write_citations(&w, t);
    nx_jw_open(&w, "used", '[');
    for (size_t i = 0; i < t->n_read; i++)
        if (is_used(t, i)) nx_jw_int(&w, NULL, (int64_t)i + 1);
    nx_jw_close(&w, ']');
    if (changed) nx_jw_string(&w, "answer", text_of(&t->answer));
    write_model(&w, t, a);
    write_end(&w, t, a);
    write_explain(&w, t);
    end(&w, out);
}

static void stream_open(nx_answer *a, nx_buf *out)
{
    open_events(a->call->rag, a, out);
}

static void stream_piece(nx_answer *a, int32_t i, nx_buf *out)
{
    nx_str text = nx_rag_talk_hear(a->call->rag, text_of(&a->jobs[i].news.text));

    if (text.len) token_event(text, out);
}

static void stream_last(nx_answer *a, nx_buf *out)
{
    nx_rag_talk *t = a->call->rag;
    size_t       sent = t->answer.len;

    nx_rag_talk_settle(t);
    done_event(t, a, t->answer.len != sent, out);
}

/* A direct answer comes word by word, as others do. */
static void token_events(nx_str text, nx_buf *out)
{
    while (text.len) {
        size_t n = 1;
        while (n < text.len && !(text.p[n] == ' ' && text.p[n - 1] != ' ')) n++;
        token_event((nx_str){text.p, n}, out);
        text = (nx_str){text.p + n, text.len - n};
    }
}

static nx_status direct_llm(nx_rag_talk *t, nx_buf *out, const char **type, nx_error *err)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    if (!t->stream) {
        write_whole(&w, t, NULL);
        if (w.st) {
            nx_buf_free(&w.buf);
            return nx_fail(err, w.st, "%s", w.err.text);
        }
        *out = w.buf;
        return NX_OK;
    }
    *type = EVENT_TYPE;
    open_events(t, NULL, out);
    token_events(text_of(&t->answer), out);
    done_event(t, NULL, false, out);
    return nx_buf_add(out, "data: [DONE]\n\n", 14, err);
}

static const nx_format llm_format = {.id_prefix = "rag-",
                                     .open = stream_open,
                                     .piece = stream_piece,
                                     .last = stream_last,
                                     .whole = whole};

const nx_rag_shape nx_rag_shape_llm = {
    .format = &llm_format, .field = "query", .direct = direct_llm};

/* ---- OpenAI's chat ---- */

static nx_status add_address(nx_buf *out, const nx_rag_talk *t, const nx_citation *c, nx_error *err)
{
    nx_str    of = nx_collection_name(nx_shelf_collection(t->find.shelf));
    char      id[NX_ID_TEXT], name[NX_COLLECTION_NAME_MAX + 1];
    nx_status st = nx_buf_addf(out, err, "/rag/documents/%s/content?range=%llu-%llu&collection=",
                               nx_id_write(id, t->read[c->passage].chunk.doc),
                               (unsigned long long)c->start_pos, (unsigned long long)c->end_pos);

    snprintf(name, sizeof name, "%.*s", (int)of.len, of.p);
    return st ? st : nx_url_add_escaped(out, name, false, err);
}

/* What a browser can open: the document's own address, or the cited range of it here. */
static void write_url(nx_jw *w, const nx_rag_talk *t, const nx_citation *c)
{
    nx_str source = t->read[c->passage].chunk.source;
    nx_buf url = {.max = NX_COLLECTION_NAME_MAX * 3 + 256};

    if ((source.len > 7 && !memcmp(source.p, "http://", 7)) ||
        (source.len > 8 && !memcmp(source.p, "https://", 8))) {
        nx_jw_string(w, "url", source);
        return;
    }
    if (!w->st) w->st = add_address(&url, t, c, &w->err);
    nx_jw_string(w, "url", text_of(&url));
    nx_buf_free(&url);
}

static void write_annotation(nx_jw *w, const nx_rag_talk *t, const nx_citation *c)
{
    const nx_passage *p = &t->read[c->passage];

    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "type", "url_citation");
    nx_jw_open(w, "url_citation", '{');
    nx_jw_u64(w, "start_index", n_chars(t->answer.data, c->at));
    nx_jw_u64(w, "end_index", n_chars(t->answer.data, c->at_end));
    nx_jw_string(w, "title", p->chunk.title);
    write_url(w, t, c);
    nx_jw_close(w, '}');
    nx_jw_open(w, "document", '{');
    nx_jw_int(w, "number", c->number);
    write_place(w, c, p);
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
}

void nx_rag_write_annotations(nx_jw *w, nx_rag_talk *t)
{
    nx_rag_talk_settle(t);
    nx_jw_open(w, "annotations", '[');
    for (size_t i = 0; i < t->citations.n; i++) {
        const nx_citation *c = &t->citations.list[i];
        if (c->passage < t->n_read && is_listed(t, c->passage) && c->at <= c->at_end &&
            c->at_end <= t->answer.len)
            write_annotation(w, t, c);
    }
    nx_jw_close(w, ']');
}

static nx_status direct_chat(nx_rag_talk *t, nx_buf *out, const char **type, nx_error *err)
{
    nx_jw w = {.buf.max = NX_REPLY_MAX};

    if (t->stream) {
        *type = EVENT_TYPE;
        nx_chat_direct_events(t, text_of(&t->answer), out);
        return nx_buf_add(out, "data: [DONE]\n\n", 14, err);
    }
    nx_chat_direct_whole(t, text_of(&t->answer), &w);
    if (w.st) {
        nx_buf_free(&w.buf);
        return nx_fail(err, w.st, "%s", w.err.text);
    }
    *out = w.buf;
    return NX_OK;
}

const nx_rag_shape nx_rag_shape_chat = {
    .format = &nx_format_chat, .field = "messages", .direct = direct_chat};
