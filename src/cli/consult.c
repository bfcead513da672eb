/* consult.c - the stream of /llm/rag/query for people. */
#include "cli/consult.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_MAX ((size_t)64 << 20)

void nx_consult_write(nx_jw *w, const nx_consult *a, bool stream)
{
    static const char *const modes[] = {NULL, "generate", "extract"};

    *w = (nx_jw){.buf.max = NX_JW_MAX};
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "query", a->question);
    nx_jw_text(w, "collection_name", a->collection);
    if (modes[a->mode]) nx_jw_text(w, "mode", modes[a->mode]);
    if (a->top_k) nx_jw_int(w, "top_k", a->top_k);
    if (a->n_predict) nx_jw_int(w, "max_new_tokens", a->n_predict);
    if (a->temperature >= 0) nx_jw_float(w, "temperature", a->temperature);
    if (a->history.len) nx_jw_raw(w, "history", a->history);
    nx_jw_bool(w, "include_sources", true);
    nx_jw_bool(w, "stream", stream);
    nx_jw_close(w, '}');
}

/* ---- The answer ---- */

/* Keep an event beyond its moment. */
static nx_status keep(nx_buf *text, nx_json_doc *doc, nx_str event, nx_error *err)
{
    nx_json_doc_free(doc);
    nx_buf_clear(text);
    text->max = ANSWER_MAX;
    nx_status st = nx_buf_add(text, event.p, event.len, err);
    return st ? st : nx_json_parse(doc, "the server's event", text->data, text->len, 0, err);
}

static nx_status say(nx_consult *a, const nx_json *event, nx_error *err)
{
    nx_str text = {0};

    (void)nx_json_get_string(event, "content", &text);
    while (!a->answer.len && text.len && (*text.p == ' ' || *text.p == '\n'))
        text = (nx_str){text.p + 1, text.len - 1}; /* white space before it is a habit of models */
    if (!text.len) return NX_OK;
    nx_cited_plain(text);
    nx_out_flush();
    return nx_buf_add(&a->answer, text.p, text.len, err);
}

static nx_status fail(const nx_json *event, nx_error *err)
{
    nx_str why = NX_STR("the answer failed");

    if (!nx_json_get_string(event, "error", &why) &&
        !nx_json_get_string(nx_json_get(event, "error"), "message", &why))
        (void)nx_json_get_string(event, "detail", &why);
    return nx_fail(err, NX_EIO, "%.*s", (int)(why.len < 400 ? why.len : 400), why.p);
}

static nx_status on_event(void *ctx, const nx_json *event, nx_str text, nx_error *err)
{
    nx_consult    *a = ctx;
    const nx_json *type = nx_json_get(event, "type");
    nx_str         mode = {0};

    if (nx_json_get_string(event, "mode", &mode))
        snprintf(a->used, sizeof a->used, "%.*s", (int)(mode.len < 23 ? mode.len : 23), mode.p);
    if (nx_json_is(type, "token")) return say(a, event, err);
    if (nx_json_is(type, "sources")) return keep(&a->sources_text, &a->sources, text, err);
    if (nx_json_is(type, "error") || nx_json_get(event, "error")) return fail(event, err);
    if (nx_json_get(event, "citations")) return keep(&a->end_text, &a->end, text, err);
    return NX_OK;
}

nx_status nx_consult_run(nx_consult *a, nx_error *err)
{
    nx_jw w;

    nx_consult_free(a);
    a->answer.max = ANSWER_MAX;
    nx_consult_write(&w, a, true);
    nx_status st = nx_instance_stream(a->i, "/llm/rag/query", &w, on_event, a, &nx_cli_cancel, err);
    if (a->answer.len && a->answer.data[a->answer.len - 1] != '\n') nx_out_write("\n", 1);
    nx_out_flush();
    return st;
}

/* ---- Its sources ---- */

static nx_status print_words(nx_consult *a, const nx_json *source, int64_t begin, int64_t end,
                             nx_error *err)
{
    nx_buf    words = {.max = ANSWER_MAX};
    nx_error  why;
    nx_status st = nx_cited_read_back(a->i, &words, a->collection, source, begin, end, &why);

    if (!st)
        nx_cited_words((nx_str){words.data, words.len});
    else
        nx_out_printf("    (%s)\n", why.text);
    nx_buf_free(&words);
    return st == NX_ENOMEM ? nx_fail(err, st, "%s", why.text) : NX_OK;
}

static nx_status print_source(nx_consult *a, int64_t number, const nx_json *source, int64_t begin,
                              int64_t end, nx_error *err)
{
    nx_buf    place = {.max = 1 << 16};
    nx_status st = nx_cited_place(&place, source, begin, end, err);

    if (!st) nx_out_printf("[%lld] %.*s\n", (long long)number, (int)place.len, place.data);
    nx_buf_free(&place);
    return st || !a->show ? st : print_words(a, source, begin, end, err);
}

/* Was the same place told by an earlier citation? */
static bool told(const nx_json *all, size_t upto, const nx_json *c)
{
    static const char *const keys[] = {"number", "start_pos", "end_pos"};

    for (size_t k = 0; k < upto; k++) {
        bool same = true;
        for (int j = 0; j < 3; j++) {
            int64_t x = -1, y = -1;
            (void)nx_json_get_int(&all->array.items[k], keys[j], &x);
            (void)nx_json_get_int(c, keys[j], &y);
            same = same && x == y;
        }
        if (same) return true;
    }
    return false;
}

static void tell_why_none(nx_consult *a)
{
    const nx_json *sources = nx_json_get(a->sources.root, "sources");
    nx_str         why = {0};

    if (nx_json_get_string(a->end.root, "message", &why) && why.len)
        nx_log_info("%.*s", (int)(why.len < 400 ? why.len : 400), why.p);
    else if (sources && sources->type == NX_JSON_ARRAY && sources->array.n)
        nx_log_info("the answer names no source; it was given %zu passage%s", sources->array.n,
                    sources->array.n == 1 ? "" : "s");
    nx_cited_hint_if_empty(a->i, a->collection);
}

static int64_t number_of(const nx_json *source, size_t k)
{
    int64_t n = (int64_t)k + 1;

    (void)nx_json_get_int(source, "number", &n);
    return n;
}

/* All that is cited of one source. */
static nx_status print_citations(nx_consult *a, const nx_json *all, const nx_json *source,
                                 int64_t number, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t k = 0; k < all->array.n && !st; k++) {
        const nx_json *c = &all->array.items[k];
        int64_t        n = 0, begin = -1, end = -1;
        if (!nx_json_get_int(c, "number", &n) || n != number || told(all, k, c)) continue;
        (void)nx_json_get_int(c, "start_pos", &begin);
        (void)nx_json_get_int(c, "end_pos", &end);
        st = print_source(a, number, source, begin, end, err);
    }
    return st;
}

nx_status nx_consult_print_sources(nx_consult *a, nx_error *err)
{
    const nx_json *sources = nx_json_get(a->sources.root, "sources");
    const nx_json *all = nx_json_get(a->end.root, "citations");
    const size_t   n = sources && sources->type == NX_JSON_ARRAY ? sources->array.n : 0;
    const bool     cites = all && all->type == NX_JSON_ARRAY && all->array.n;
    nx_status      st = NX_OK;

    if (cites)
        nx_out_printf("\n");
    else
        tell_why_none(a);
    for (size_t k = 0; cites && k < n && !st; k++) {
        const nx_json *source = &sources->array.items[k];
        st = print_citations(a, all, source, number_of(source, k), err);
    }
    nx_out_flush();
    return st;
}

void nx_consult_free(nx_consult *a)
{
    nx_json_doc_free(&a->sources);
    nx_json_doc_free(&a->end);
    nx_buf_free(&a->sources_text);
    nx_buf_free(&a->end_text);
    nx_buf_free(&a->answer);
    a->used[0] = '\0';
}
