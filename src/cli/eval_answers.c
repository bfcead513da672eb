/* eval_answers.c - every question of a set is put to /llm/rag/query; what comes back is measured. */
#include "cli/eval_answers.h"

#include <stdio.h>

#include "base/alloc.h"
#include "cli/cited.h"
#include "rag/measure_answers.h"

enum { CITATIONS_MAX = 64, PASSAGE_MAX = 4 << 20 };

typedef struct evaluation {
    const nx_eval_answers *o;
    nx_instance            i;
    nx_question_set        set;
    nx_answer_measure      measure;
    nx_progress            bar;
} evaluation;

static void write_question(nx_jw *w, const nx_eval_answers *o, nx_str question)
{
    *w = (nx_jw){.buf.max = NX_JW_MAX};
    nx_jw_open(w, NULL, '{');
    nx_jw_string(w, "query", question);
    nx_jw_text(w, "collection_name", o->collection);
    nx_jw_text(w, "mode", o->generate ? "generate" : "extract");
    nx_jw_int(w, "temperature", 0);
    nx_jw_bool(w, "include_sources", true);
    nx_jw_close(w, '}');
}

/* ---- Citations ---- */

/* The source of that number; NULL: none. */
static const nx_json *source_of(const nx_json *answer, int64_t number)
{
    const nx_json *all = nx_json_get(answer, "sources");
    int64_t        n;

    for (size_t i = 0; all && all->type == NX_JSON_ARRAY && i < all->array.n; i++)
        if (nx_json_get_int(&all->array.items[i], "number", &n) && n == number)
            return &all->array.items[i];
    return NULL;
}

/* What one answer's citations stand for; passages are read back from the documents. */
typedef struct citations {
    nx_said_citation list[CITATIONS_MAX];
    nx_buf           passages[CITATIONS_MAX];
    size_t           n;
} citations;

static void free_citations(citations *c)
{
    for (size_t i = 0; i < c->n; i++) nx_buf_free(&c->passages[i]);
    c->n = 0;
}

static nx_status read_citation(evaluation *e, citations *out, const nx_json *c,
                               const nx_json *answer, nx_error *err)
{
    nx_said_citation *x = &out->list[out->n];
    nx_buf           *passage = &out->passages[out->n++];
    const nx_json    *quoted = nx_json_get(c, "quoted"), *source;
    int64_t           number = 0;
    nx_status         st = NX_OK;

    *x = (nx_said_citation){.quoted = quoted && quoted->type == NX_JSON_BOOL && quoted->boolean};
    *passage = (nx_buf){.max = PASSAGE_MAX};
    (void)nx_json_get_string(c, "source", &x->source);
    (void)nx_json_get_string(c, "text", &x->cited);
    (void)nx_json_get_int(c, "number", &number);
    source = source_of(answer, number);
    if (source) st = nx_cited_read_back(&e->i, passage, e->o->collection, source, -1, -1, err);
    x->passage = (nx_str){passage->data, passage->len};
    return st;
}

static nx_status read_citations(evaluation *e, citations *out, const nx_json *answer, nx_error *err)
{
    const nx_json *all = nx_json_get(answer, "citations");
    nx_status      st = NX_OK;

    out->n = 0;
    for (size_t i = 0;
         all && all->type == NX_JSON_ARRAY && i < all->array.n && i < CITATIONS_MAX && !st; i++)
        st = read_citation(e, out, &all->array.items[i], answer, err);
    return st;
}

/* ---- One question ---- */

static void print_miss(const evaluation *e, const nx_gold *g, nx_verdict verdict, nx_str answer)
{
    if (!e->o->misses || e->o->json || verdict == NX_VERDICT_RIGHT) return;
    nx_out_printf("%s\t%.*s\n", verdict == NX_VERDICT_REFUSED ? "refused" : "wrong",
                  (int)(g->question.len < 400 ? g->question.len : 400), g->question.p);
    if (verdict == NX_VERDICT_WRONG) nx_cited_words(answer);
}

static nx_status ask(evaluation *e, const nx_gold *g, nx_error *err)
{
    nx_said        said = {0};
    citations     *c = nx_calloc(1, sizeof *c);
    nx_said_answer answer = {0};
    nx_verdict     verdict;
    nx_jw          w;
    nx_status      st = c ? NX_OK : nx_fail(err, NX_ENOMEM, "citations");

    write_question(&w, e->o, g->question);
    if (!st) st = nx_instance_ask(&e->i, "POST", "/llm/rag/query", &w, &said, err);
    if (!st && !nx_json_get_string(said.doc.root, "answer", &answer.text))
        st = nx_fail(err, NX_EFORMAT, "the server's answer has no \"answer\"");
    if (!st && g->answerable) st = read_citations(e, c, said.doc.root, err);
    if (!st) {
        answer.citations = c->list;
        answer.n_citations = c->n;
        st = nx_measure_answer(&e->measure, g, &answer, &verdict, err);
    }
    if (!st) print_miss(e, g, verdict, answer.text);
    if (c) free_citations(c);
    nx_free(c);
    nx_said_free(&said);
    return st;
}

static nx_status ask_all(evaluation *e, nx_error *err)
{
    nx_status st = NX_OK;

    nx_progress_begin(&e->bar, "asking", "questions");
    nx_cli_catch_interrupt();
    for (size_t i = 0; !st && i < e->set.n; i++) {
        st = ask(e, &e->set.list[i], err);
        nx_progress_at(&e->bar, (int64_t)i + 1, (int64_t)e->set.n);
        if (!st && atomic_load(&nx_cli_cancel)) st = nx_fail(err, NX_ECANCELLED, "interrupted");
    }
    nx_cli_release_interrupt();
    nx_progress_end(&e->bar);
    return st;
}

/* ---- What is printed ---- */

static void print_row(const char *what, size_t part, size_t all)
{
    if (all)
        nx_out_printf("%-52s %4zu of %4zu  %5.1f %%\n", what, part, all,
                      100 * (double)part / (double)all);
}

static int print_table(const evaluation *e)
{
    const nx_answer_measure *m = &e->measure;

    nx_out_printf("%zu questions, collection %s, %s\n", e->set.n, e->o->collection,
                  e->o->generate ? "generate" : "extract");
    print_row("answerable: the phrase is in the answer", m->n_phrase, m->n_answerable);
    print_row("answerable: refused", m->n_refused, m->n_answerable);
    print_row("answerable: the answer cites", m->n_cited, m->n_answerable);
    print_row("citations that hold what they stand for", m->n_citations_right, m->n_citations);
    print_row("near misses: not in the documents", m->n_near_declined, m->n_near);
    print_row("out of the domain: not in the documents", m->n_out_declined, m->n_out);
    return nx_out_finish();
}

static void write_share(nx_jw *w, const char *key, double share)
{
    if (share < 0)
        nx_jw_null(w, key);
    else
        nx_jw_number(w, key, share, 6);
}

static int print_json(const evaluation *e)
{
    nx_answer_figures f = nx_answer_measure_figures(&e->measure);
    nx_jw             w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "file", e->o->path);
    nx_jw_text(&w, "collection", e->o->collection);
    nx_jw_text(&w, "mode", e->o->generate ? "generate" : "extract");
    nx_jw_int(&w, "questions", (int64_t)e->set.n);
    write_share(&w, "phrase", f.phrase);
    write_share(&w, "false_refusals", f.false_refusals);
    write_share(&w, "near", f.near);
    write_share(&w, "out", f.out);
    write_share(&w, "citations", f.citations);
    nx_jw_int(&w, "n_citations", (int64_t)e->measure.n_citations);
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

int nx_eval_answers_run(const nx_eval_answers *o)
{
    evaluation e = {.o = o};
    nx_error   err;
    nx_status  st = nx_question_set_read(&e.set, o->path, &err);
    int        code = NX_CLI_INTERRUPTED;

    if (!st && e.set.n == 0) st = nx_fail(&err, NX_EINVAL, "%s: no question in it", o->path);
    if (!st) st = nx_instance_open_for(&e.i, o->data, o->needs, &err);
    if (!st) st = ask_all(&e, &err);
    nx_instance_close(&e.i);
    if (!st)
        code = o->json ? print_json(&e) : print_table(&e);
    else if (st != NX_ECANCELLED)
        code = nx_cli_fail(&err);
    if (st == NX_ENOENT) nx_cited_hint(st, o->collection);
    nx_question_set_free(&e.set);
    return code;
}
