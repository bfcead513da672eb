/* cmd_eval.c - `nexus eval`: how well documents are found (here) and questions answered (eval_answers.c), by questions
 * whose answers are known. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cited.h"
#include "cli/eval_answers.h"
#include "rag/measure.h"

/* Passages asked for: enough for ten different documents, and not more than makes a search look further than it
 * does for anybody. */
enum { ASKED = 25, MODES = 3 };

static const char *const mode_names[MODES] = {"hybrid", "dense", "words"};

typedef struct eval_opts {
    const char       *data, *collection, *path;
    nx_instance_needs needs;
    int32_t           k;
    int               mode; /* 0: all, else mode_names[mode - 1] */
    bool              json, misses;
} eval_opts;

typedef struct evaluation {
    const eval_opts *o;
    nx_instance      i;
    nx_question_set  set;
    nx_measure       documents[MODES], spans[MODES];
    nx_progress      bar;
    int64_t          n_done, n_total;
} evaluation;

static bool wants(const eval_opts *o, int mode)
{
    return o->mode == 0 || o->mode == mode + 1;
}

/* ---- One question ---- */

static void write_question(nx_jw *w, const eval_opts *o, nx_str question, int mode)
{
    *w = (nx_jw){.buf.max = NX_JW_MAX};
    nx_jw_open(w, NULL, '{');
    nx_jw_string(w, "query", question);
    nx_jw_text(w, "collection_name", o->collection);
    nx_jw_int(w, "top_k", o->k > ASKED ? o->k : ASKED);
    nx_jw_int(w, "min_score", 0);
    if (mode) nx_jw_text(w, "search", mode_names[mode]);
    nx_jw_close(w, '}');
}

/* [*n] of the answer, nx_free. */
static nx_status read_found(nx_found **out, size_t *n, const nx_json *answer, nx_error *err)
{
    const nx_json *all = nx_json_get(answer, "documents");

    *n = all && all->type == NX_JSON_ARRAY ? all->array.n : 0;
    *out = nx_calloc(*n + 1, sizeof **out);
    if (!*out) return nx_fail(err, NX_ENOMEM, "%zu passages", *n);
    for (size_t i = 0; i < *n; i++) {
        const nx_json *d = &all->array.items[i];
        (void)nx_json_get_string(d, "text", &(*out)[i].text);
        (void)nx_json_get_string(nx_json_get(d, "metadata"), "source", &(*out)[i].source);
    }
    return NX_OK;
}

static void print_miss(const evaluation *e, const nx_gold *g, int mode, size_t rank)
{
    if (!e->o->misses || e->o->json || (rank && rank <= (size_t)e->o->k)) return;
    int len = (int)(g->question.len < 400 ? g->question.len : 400);
    if (rank)
        nx_out_printf("%s\tplace %zu\t%.*s\n", mode_names[mode], rank, len, g->question.p);
    else
        nx_out_printf("%s\tnot found\t%.*s\n", mode_names[mode], len, g->question.p);
}

static nx_status ask(evaluation *e, const nx_gold *g, int mode, nx_error *err)
{
    nx_said   said = {0};
    nx_found *found = NULL;
    size_t    n, rank = 0;
    nx_jw     w;

    write_question(&w, e->o, g->question, mode);
    nx_status st = nx_instance_ask(&e->i, "POST", "/rag/search", &w, &said, err);
    if (!st) st = read_found(&found, &n, said.doc.root, err);
    if (!st) st = nx_measure_documents(&e->documents[mode], g, found, n, &rank, err);
    if (!st && g->n_spans) st = nx_measure_spans(&e->spans[mode], g, found, n, &rank, err);
    if (!st) print_miss(e, g, mode, rank);
    nx_free(found);
    nx_said_free(&said);
    return st;
}

static nx_status ask_all(evaluation *e, nx_error *err)
{
    nx_status st = NX_OK;

    for (int mode = 0; mode < MODES; mode++) e->n_total += wants(e->o, mode);
    e->n_total *= (int64_t)e->set.n_answerable;
    nx_progress_begin(&e->bar, "asking", "questions");
    nx_cli_catch_interrupt();
    for (size_t i = 0; !st && i < e->set.n; i++) {
        for (int mode = 0; !st && mode < MODES && e->set.list[i].answerable; mode++) {
            if (!wants(e->o, mode)) continue;
            st = ask(e, &e->set.list[i], mode, err);
            nx_progress_at(&e->bar, ++e->n_done, e->n_total);
            if (!st && atomic_load(&nx_cli_cancel)) st = nx_fail(err, NX_ECANCELLED, "interrupted");
        }
    }
    nx_cli_release_interrupt();
    nx_progress_end(&e->bar);
    return st;
}

/* ---- What is printed ---- */

static void print_rows(const evaluation *e, const char *what, const nx_measure *m)
{
    nx_out_printf("%s\n", what);
    for (int mode = 0; mode < MODES; mode++) {
        if (!wants(e->o, mode)) continue;
        nx_figures f = nx_measure_figures(&m[mode]);
        nx_out_printf("  %-18s %9.3f %9.3f %9.3f\n", mode_names[mode], f.recall, f.mrr, f.ndcg);
    }
}

static int print_table(const evaluation *e)
{
    char head[32];

    snprintf(head, sizeof head, "recall@%d", e->o->k);
    nx_out_printf("%zu answerable questions of %zu, collection %s\n%20s %9s %9s %9s\n",
                  e->set.n_answerable, e->set.n, e->o->collection, "", head, "MRR", "nDCG@10");
    print_rows(e, "documents", e->documents);
    if (e->set.n_spans) print_rows(e, "passages that hold the answer", e->spans);
    return nx_out_finish();
}

static void write_figures(nx_jw *w, const nx_measure *m)
{
    nx_figures f = nx_measure_figures(m);
    char       key[32];

    snprintf(key, sizeof key, "recall@%d", m->k);
    nx_jw_number(w, key, f.recall, 6);
    nx_jw_number(w, "mrr", f.mrr, 6);
    nx_jw_number(w, "ndcg@10", f.ndcg, 6);
}

static int print_json(const evaluation *e)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "file", e->o->path);
    nx_jw_text(&w, "collection", e->o->collection);
    nx_jw_int(&w, "questions", (int64_t)e->set.n_answerable);
    nx_jw_int(&w, "k", e->o->k);
    nx_jw_open(&w, "modes", '[');
    for (int mode = 0; mode < MODES; mode++) {
        if (!wants(e->o, mode)) continue;
        nx_jw_open(&w, NULL, '{');
        nx_jw_text(&w, "mode", mode_names[mode]);
        write_figures(&w, &e->documents[mode]);
        if (e->set.n_spans) {
            nx_jw_open(&w, "spans", '{');
            write_figures(&w, &e->spans[mode]);
            nx_jw_close(&w, '}');
        }
        nx_jw_close(&w, '}');
    }
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

/* ---- The command ---- */

static int run(const eval_opts *o)
{
    evaluation e = {.o = o};
    nx_error   err;
    nx_status  st = nx_question_set_read(&e.set, o->path, &err);

    for (int mode = 0; mode < MODES; mode++) e.documents[mode].k = e.spans[mode].k = o->k;
    if (!st && e.set.n_answerable == 0)
        st = nx_fail(&err, NX_EINVAL, "%s: no answerable question in it", o->path);
    if (!st) st = nx_instance_open_for(&e.i, o->data, &o->needs, &err);
    if (!st) st = ask_all(&e, &err);
    nx_instance_close(&e.i);
    int code = NX_CLI_INTERRUPTED;
    if (!st)
        code = o->json ? print_json(&e) : print_table(&e);
    else if (st != NX_ECANCELLED)
        code = nx_cli_fail(&err);
    if (st == NX_ENOENT) nx_cited_hint(st, o->collection);
    nx_question_set_free(&e.set);
    return code;
}

/* --mode extract, unless generate is asked for. */
static int run_answers(const eval_opts *o)
{
    if (o->mode != 0 && o->mode <= MODES)
        return nx_cli_misuse("eval", "answers has the modes extract and generate");
    return nx_eval_answers_run(&(nx_eval_answers){
        .data = o->data,
        .collection = o->collection,
        .path = o->path,
        .needs = &o->needs,
        .generate = o->mode == MODES + 2,
        .json = o->json,
        .misses = o->misses,
    });
}

int nx_cmd_eval(int argc, char **argv)
{
    eval_opts    o = {.collection = NX_CITED_COLLECTION, .needs.m = NX_MODEL_OPTS_DEFAULT, .k = 5};
    const nx_opt opts[] = {
        NX_OPT_COLLECTION(o.collection),
        NX_OPT("top-k", 'k', NX_OPT_INT, &o.k, "N", "results that recall looks at", .min = 1,
               .max = 100),
        NX_OPT("mode", 0, NX_OPT_CHOICE, &o.mode, "MODE",
               "retrieval: by meaning and words together, by one of them, or each in turn; "
               "answers: sentences of the documents, or a language model's",
               .choices = "all|hybrid|dense|words|extract|generate"),
        NX_OPT("misses", 0, NX_OPT_FLAG, &o.misses, NULL,
               "print the questions whose answer isn't among the first N, or is wrong"),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL, "print one JSON object"),
        NX_OPT_EMBEDDING(o.needs.embedding),
        NX_OPT_THREADS(o.needs.m),
        NX_OPT_DATA(o.data),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "eval",
        .synopsis = "retrieval|answers FILE.jsonl [--collection NAME] [-k N] [options]",
        .about = "Measure how well a collection's documents are found, by questions whose answers\n"
                 "are known: recall@k, MRR and nDCG@10, by meaning, by words, and by both; or how\n"
                 "well the questions are answered: expected phrases, refusals, citations.\n"
                 "A line of the file: {\"question\": \"...\", \"documents\": [\"oncall.md\"],\n"
                 "\"spans\": [{\"source\": \"oncall.md\", \"text\": \"the words that answer\"}]}.",
        .examples =
            "  nexus eval retrieval tests/eval/questions-dev.jsonl --collection eval\n"
            "  nexus eval answers tests/eval/questions-dev.jsonl --collection eval --mode extract",
        .options = opts,
        .n_args_min = 2,
        .n_args_max = 2,
        .args_missing = "expected what to measure (retrieval, answers), and a file of questions",
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    o.path = args.v[1];
    if (strcmp(args.v[0], "answers") == 0) return run_answers(&o);
    if (strcmp(args.v[0], "retrieval") != 0)
        return nx_cli_misuse(
            "eval", "nothing to measure is called '%s': expected retrieval or answers", args.v[0]);
    if (o.mode > MODES)
        return nx_cli_misuse("eval", "retrieval has the modes all, hybrid, dense and words");
    return run(&o);
}
