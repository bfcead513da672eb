/* question_set.c - a file of questions whose answers are known. */
#include <stdio.h>
#include <string.h>

#include "os/file.h"
#include "rag/measure.h"

#define SET_BYTES_MAX ((size_t)1 << 30)

typedef struct reading {
    nx_question_set *set;
    const char      *path;
    int              line;
    nx_error        *err;
} reading;

static nx_status wrong(const reading *r, const char *what)
{
    return nx_fail(r->err, NX_EFORMAT, "%s: line %d: %s", r->path, r->line, what);
}

static nx_status read_documents(const reading *r, nx_gold *g, const nx_json *v)
{
    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_ARRAY) return wrong(r, "\"documents\" is no array");
    nx_str *list = nx_arena_alloc(&r->set->arena, v->array.n + 1, sizeof *list);
    if (!list) return nx_fail(r->err, NX_ENOMEM, "%s", r->path);
    for (size_t i = 0; i < v->array.n; i++) {
        if (v->array.items[i].type != NX_JSON_STRING)
            return wrong(r, "\"documents\" holds something that is no text");
        list[i] = v->array.items[i].text;
    }
    g->documents = list;
    g->n_documents = v->array.n;
    return NX_OK;
}

static nx_status read_spans(const reading *r, nx_gold *g, const nx_json *v)
{
    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_ARRAY) return wrong(r, "\"spans\" is no array");
    nx_gold_span *list = nx_arena_alloc(&r->set->arena, v->array.n + 1, sizeof *list);
    if (!list) return nx_fail(r->err, NX_ENOMEM, "%s", r->path);
    for (size_t i = 0; i < v->array.n; i++) {
        const nx_json *one = &v->array.items[i];
        if (!nx_json_get_string(one, "source", &list[i].source) ||
            !nx_json_get_string(one, "text", &list[i].text))
            return wrong(r, "a span needs \"source\" and \"text\"");
    }
    g->spans = list;
    g->n_spans = v->array.n;
    return NX_OK;
}

/* Where only spans are given, their sources are the documents. */
static nx_status documents_of_spans(const reading *r, nx_gold *g)
{
    nx_str *list = nx_arena_alloc(&r->set->arena, g->n_spans + 1, sizeof *list);

    if (!list) return nx_fail(r->err, NX_ENOMEM, "%s", r->path);
    for (size_t i = 0, k; i < g->n_spans; i++) {
        for (k = 0; k < g->n_documents && !nx_str_eq(list[k], g->spans[i].source);) k++;
        if (k == g->n_documents) list[g->n_documents++] = g->spans[i].source;
    }
    g->documents = list;
    return NX_OK;
}

static nx_status read_gold(const reading *r, nx_gold *g, const nx_json *v)
{
    const nx_json *kind = nx_json_get(v, "kind");

    *g = (nx_gold){.line = v};
    if (!nx_json_get_string(v, "question", &g->question) || g->question.len == 0)
        return wrong(r, "no \"question\"");
    (void)nx_json_get_string(v, "id", &g->id);
    g->answerable = nx_json_absent(kind) || nx_json_is(kind, "answerable");
    nx_status st = read_documents(r, g, nx_json_get(v, "documents"));
    if (!st) st = read_spans(r, g, nx_json_get(v, "spans"));
    if (!st && !g->n_documents) st = documents_of_spans(r, g);
    if (!st && g->answerable && !g->n_documents)
        st = wrong(r, "an answerable question needs \"documents\" or \"spans\"");
    return st;
}

static nx_status read_line(reading *r, nx_str line)
{
    const nx_json *v;
    char           name[256];
    nx_gold       *g = &r->set->list[r->set->n];

    snprintf(name, sizeof name, "%.200s, line %d", r->path, r->line);
    nx_status st =
        nx_json_parse_into(&r->set->arena, &v, name, line.p, line.len, NX_JSON_PYTHON, r->err);
    if (!st) st = read_gold(r, g, v);
    if (st) return st;
    r->set->n++;
    r->set->n_answerable += g->answerable;
    r->set->n_spans += g->answerable ? g->n_spans : 0;
    return NX_OK;
}

static bool is_blank(nx_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr(" \t\r", s.p[i])) return false;
    return true;
}

static nx_status read_lines(reading *r)
{
    nx_str    text = {r->set->text.data, r->set->text.len};
    size_t    n_lines = 1;
    nx_status st = NX_OK;

    for (size_t i = 0; i < text.len; i++) n_lines += text.p[i] == '\n';
    r->set->list = nx_arena_alloc(&r->set->arena, n_lines, sizeof *r->set->list);
    if (!r->set->list) return nx_fail(r->err, NX_ENOMEM, "%s", r->path);
    for (size_t at = 0; !st && at < text.len; r->line++) {
        const char *end = memchr(text.p + at, '\n', text.len - at);
        nx_str      line = {text.p + at, end ? (size_t)(end - text.p) - at : text.len - at};
        at += line.len + 1;
        if (!is_blank(line)) st = read_line(r, line);
    }
    return st;
}

nx_status nx_question_set_read(nx_question_set *out, const char *path, nx_error *err)
{
    reading r = {out, path, 1, err};

    *out = (nx_question_set){.text.max = SET_BYTES_MAX, .arena.chunk_bytes = (size_t)1 << 20};
    nx_status st = nx_file_read_all(&out->text, path, err);
    if (!st) st = read_lines(&r);
    if (st) nx_question_set_free(out);
    return st;
}

void nx_question_set_free(nx_question_set *s)
{
    nx_arena_free(&s->arena);
    nx_buf_free(&s->text);
    *s = (nx_question_set){0};
}
