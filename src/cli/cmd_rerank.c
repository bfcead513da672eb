/* cmd_rerank.c - `nexus rerank`: passages in the order in which they answer a question. */
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "engine/reranker.h"

typedef struct work {
    nx_model_opts     model;
    nx_rerank_options opt;
    bool              json;
    nx_buf            input;
    nx_str            query;
    nx_str           *passages; /* [n] */
    int32_t           n;
    nx_reranker      *reranker;
    float            *logits; /* [n] */
    nx_rerank_hit    *hits;   /* [n] best first */
    nx_rerank_report  report;
} work;

static int32_t count_lines(const nx_buf *b)
{
    int32_t n = 0;

    for (size_t i = 0; i < b->len; i++) n += b->data[i] == '\n';
    return b->len && b->data[b->len - 1] != '\n' ? n + 1 : n;
}

/* The first word is the question; the others are the passages, or - for the lines of stdin. */
static nx_status read_texts(work *w, const nx_args *args, nx_error *err)
{
    bool      lines = args->n == 2 && strcmp(args->v[1], "-") == 0;
    nx_status st = lines ? nx_read_text(&w->input, "-", err) : NX_OK;

    if (st) return st;
    w->query = nx_str_of(args->v[0]);
    w->n = lines ? count_lines(&w->input) : args->n - 1;
    w->passages = nx_calloc((size_t)w->n + 1, sizeof *w->passages);
    w->logits = nx_calloc((size_t)w->n + 1, sizeof *w->logits);
    w->hits = nx_calloc((size_t)w->n + 1, sizeof *w->hits);
    if (!w->passages || !w->logits || !w->hits) return nx_fail(err, NX_ENOMEM, "%d texts", w->n);
    const char *at = w->input.data, *end = lines ? at + w->input.len : at;
    for (int32_t i = 0; i < w->n; i++) {
        w->passages[i] = lines ? (nx_str){at, 0} : nx_str_of(args->v[i + 1]);
        if (!lines) continue;
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        w->passages[i].len = (size_t)(stop - at);
        at = stop + 1;
    }
    return NX_OK;
}

static nx_status rank(work *w, nx_error *err)
{
    nx_llm   *llm;
    nx_status st;

    w->model.fine = true; /* as embeddings are */
    st = nx_open_llm(&llm, &w->model, err);
    if (!st) st = nx_reranker_open(&w->reranker, llm, err);
    if (st) return st;
    nx_cli_catch_interrupt();
    st = nx_reranker_run(w->reranker, w->logits, w->query, w->passages, w->n, &w->opt, &w->report,
                         err);
    nx_cli_release_interrupt();
    if (st && w->report.failed >= 0 && w->n > 1)
        st = nx_fail_prefix(err, st, "passage %d of %d", w->report.failed + 1, w->n);
    if (!st) nx_rerank_sort(w->hits, w->logits, w->n);
    return st;
}

static int print_json(const work *w)
{
    nx_jw out = {.buf.max = NX_JW_MAX};

    nx_jw_open(&out, NULL, '{');
    nx_jw_text(&out, "model", nx_checkpoint_path(nx_reranker_llm(w->reranker)->cp));
    nx_jw_int(&out, "tokens", w->report.n_tokens);
    nx_jw_int(&out, "long", w->report.n_long);
    nx_jw_int(&out, "tokens_cut", w->report.n_cut);
    nx_jw_open(&out, "results", '[');
    for (int32_t i = 0; i < w->n; i++) {
        nx_jw_open(&out, NULL, '{');
        nx_jw_int(&out, "index", w->hits[i].index);
        nx_jw_number(&out, "score", nx_rerank_score(w->hits[i].logit), 9);
        nx_jw_number(&out, "logit", (double)w->hits[i].logit, 9);
        nx_jw_close(&out, '}');
    }
    nx_jw_close(&out, ']');
    nx_jw_close(&out, '}');
    return nx_jw_finish(&out);
}

static int print_lines(const work *w)
{
    for (int32_t i = 0; i < w->n; i++) {
        nx_str text = w->passages[w->hits[i].index];
        nx_out_printf("%.6f\t%d\t%.*s\n", nx_rerank_score(w->hits[i].logit), w->hits[i].index,
                      (int)(text.len < 1 << 20 ? text.len : 1 << 20), text.p);
    }
    return nx_out_finish();
}

static int run(work *w, const nx_args *args)
{
    nx_error  err;
    nx_status st = read_texts(w, args, &err);

    if (!st) st = rank(w, &err);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    if (st) return nx_cli_fail(&err);
    if (w->report.n_long)
        nx_log_warn("%d of %d pairs longer than the model's %d tokens: %lld tokens left out",
                    w->report.n_long, w->n, nx_reranker_length_max(w->reranker),
                    (long long)w->report.n_cut);
    return w->json ? print_json(w) : print_lines(w);
}

int nx_cmd_rerank(int argc, char **argv)
{
    work         w = {.model = NX_MODEL_OPTS_DEFAULT};
    nx_args      args;
    const nx_opt opts[] = {
        NX_OPT("model", 'm', NX_OPT_TEXT, &w.model.model, "MODEL",
               "a cross-encoder: a GGUF file, a Hugging Face folder, or the name of a fetched "
               "model"),
        NX_OPT("json", 0, NX_OPT_FLAG, &w.json, NULL, "print one JSON object, with raw logits"),
        NX_OPT("cut", 0, NX_OPT_FLAG, &w.opt.cut, NULL,
               "cut pairs that are longer than the model takes, instead of refusing them"),
        NX_OPT_THREADS(w.model),
        NX_OPT_NO_MEMORY_CHECK(w.model),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "rerank",
        .synopsis = "-m MODEL [options] QUERY PASSAGE...|-",
        .about =
            "Print the passages in the order in which they answer the question: score, number\n"
            "(from 0) and text of each. With - the passages are the lines of stdin.",
        .examples = "  nexus rerank -m cross-encoder/ms-marco-MiniLM-L6-v2 'What is a crawler?' - "
                    "< passages.txt",
        .options = opts,
        .n_args_min = 2,
        .n_args_max = -1,
        .args_missing = "expected a question, and passages, or - to read them from stdin",
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    if (!w.model.model)
        return nx_cli_misuse("rerank", "no model given: none ships. Name one with -m");
    w.opt.cancel = &nx_cli_cancel;
    code = run(&w, &args);
    nx_reranker_close(w.reranker);
    nx_buf_free(&w.input);
    nx_free(w.passages);
    nx_free(w.logits);
    nx_free(w.hits);
    return code;
}
