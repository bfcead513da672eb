/* cmd_embed.c - `nexus embed`: texts as vectors. */
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "engine/embedder.h"

#define GROUP 256 /* texts in one call: the progress line moves, and Ctrl-C is heard */

typedef struct work {
    nx_model_opts    model;
    nx_embed_options opt;
    int              input_type, long_texts;
    bool             json, lines;
    nx_buf           input;
    nx_embed_text   *texts; /* [n] */
    int32_t          n;
    nx_embedder     *embedder;
    float           *out; /* [n, n_dims] */
    int32_t          n_dims;
    nx_embed_report  report;
} work;

/* ---- Texts ---- */

static int32_t count_lines(const nx_buf *b)
{
    int32_t n = 0;

    for (size_t i = 0; i < b->len; i++) n += b->data[i] == '\n';
    return b->len && b->data[b->len - 1] != '\n' ? n + 1 : n;
}

static nx_status take_lines(work *w, nx_error *err)
{
    const char *at = w->input.data, *end = at + w->input.len;

    w->n = count_lines(&w->input);
    w->texts = nx_calloc((size_t)w->n + 1, sizeof *w->texts);
    if (!w->texts) return nx_fail(err, NX_ENOMEM, "%d texts", w->n);
    for (int32_t i = 0; i < w->n; i++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        w->texts[i].text = (nx_str){at, (size_t)(stop - at)};
        at = stop + 1;
    }
    return NX_OK;
}

/* The words of the command line, or stdin: as one text, or one a line. */
static nx_status read_texts(work *w, const nx_args *args, nx_error *err)
{
    bool      all_stdin = args->n == 1 && strcmp(args->v[0], "-") == 0;
    nx_status st = all_stdin ? nx_read_text(&w->input, "-", err) : NX_OK;

    if (st) return st;
    if (all_stdin && w->lines) return take_lines(w, err);
    w->texts = nx_calloc((size_t)args->n, sizeof *w->texts);
    if (!w->texts) return nx_fail(err, NX_ENOMEM, "%d texts", args->n);
    w->n = args->n;
    for (int32_t i = 0; i < w->n; i++) w->texts[i].text = nx_str_of(args->v[i]);
    if (all_stdin) w->texts[0].text = (nx_str){w->input.data ? w->input.data : "", w->input.len};
    return NX_OK;
}

/* ---- Vectors ---- */

static nx_status open_embedder(work *w, nx_error *err)
{
    const nx_embedder_options opt = {.n_cache = 0};
    char                      found[4096];
    const char               *path;
    nx_llm                   *llm;

    nx_status st = nx_embedding_path(&path, found, sizeof found, w->model.model, err);
    w->model.model = path;
    w->model.fine = true; /* codes of 8 bits for activations cost more than those for weights */
    if (!st) st = nx_open_llm(&llm, &w->model, err);
    return st ? st : nx_embedder_open(&w->embedder, llm, &opt, err);
}

static void add_report(nx_embed_report *sum, const nx_embed_report *r)
{
    sum->n_tokens += r->n_tokens;
    sum->n_cut += r->n_cut;
    sum->n_long += r->n_long;
    sum->n_windows += r->n_windows;
}

static nx_status embed_all(work *w, nx_error *err)
{
    nx_progress progress;
    nx_status   st = NX_OK;

    w->n_dims = w->opt.n_dims ? w->opt.n_dims : nx_embedder_dims(w->embedder);
    w->out = nx_calloc((size_t)w->n + 1, (size_t)w->n_dims * sizeof *w->out);
    if (!w->out) return nx_fail(err, NX_ENOMEM, "%d embeddings", w->n);
    nx_progress_begin(&progress, "embedding", "texts");
    nx_cli_catch_interrupt();
    for (int32_t i = 0; !st && i < w->n; i += GROUP) {
        nx_embed_report r;
        int32_t         n = w->n - i < GROUP ? w->n - i : GROUP;
        st = nx_embedder_run(w->embedder, w->out + (int64_t)i * w->n_dims, w->texts + i, n, &w->opt,
                             &r, err);
        if (st && r.failed >= 0 && w->n > 1)
            st = nx_fail_prefix(err, st, "text %d of %d", i + r.failed + 1, w->n);
        add_report(&w->report, &r);
        nx_progress_at(&progress, i + n, w->n);
    }
    nx_cli_release_interrupt();
    nx_progress_end(&progress);
    return st;
}

/* ---- Words ---- */

static void tell_of_long(const work *w)
{
    const nx_embed_report *r = &w->report;

    if (r->n_long == 0) return;
    if (w->opt.long_texts == NX_LONG_CUT)
        nx_log_warn("%d of %d texts longer than the model's %d tokens: %lld tokens left out",
                    r->n_long, w->n, nx_embedder_spec(w->embedder)->length_max,
                    (long long)r->n_cut);
    else
        nx_log_info("%d of %d texts longer than the model's %d tokens: read in %d windows",
                    r->n_long, w->n, nx_embedder_spec(w->embedder)->length_max, r->n_windows);
}

/* Nine digits bring every float back. */
static int print_json(const work *w)
{
    nx_jw out = {.buf.max = NX_JW_MAX};

    nx_jw_open(&out, NULL, '{');
    nx_jw_text(&out, "model", nx_checkpoint_path(nx_embedder_llm(w->embedder)->cp));
    nx_jw_int(&out, "dimensions", w->n_dims);
    nx_jw_int(&out, "tokens", w->report.n_tokens);
    nx_jw_int(&out, "long", w->report.n_long);
    nx_jw_int(&out, "windows", w->report.n_windows);
    nx_jw_int(&out, "tokens_cut", w->report.n_cut);
    nx_jw_open(&out, "embeddings", '[');
    for (int32_t i = 0; i < w->n; i++) {
        nx_jw_open(&out, NULL, '[');
        for (int32_t d = 0; d < w->n_dims; d++)
            nx_jw_number(&out, NULL, (double)w->out[(int64_t)i * w->n_dims + d], 9);
        nx_jw_close(&out, ']');
    }
    nx_jw_close(&out, ']');
    nx_jw_close(&out, '}');
    return nx_jw_finish(&out);
}

static int print_lines(const work *w)
{
    for (int32_t i = 0; i < w->n; i++)
        for (int32_t d = 0; d < w->n_dims; d++)
            nx_out_printf("%.9g%c", (double)w->out[(int64_t)i * w->n_dims + d],
                          d == w->n_dims - 1 ? '\n' : ' ');
    return nx_out_finish();
}

static int run(work *w, const nx_args *args)
{
    nx_error  err;
    nx_status st = read_texts(w, args, &err);

    if (!st) st = open_embedder(w, &err);
    if (!st) st = embed_all(w, &err);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    if (st) return nx_cli_fail(&err);
    tell_of_long(w);
    return w->json ? print_json(w) : print_lines(w);
}

int nx_cmd_embed(int argc, char **argv)
{
    work         w = {.model = NX_MODEL_OPTS_DEFAULT};
    nx_args      args;
    const nx_opt opts[] = {
        NX_OPT("model", 'm', NX_OPT_TEXT, &w.model.model, "MODEL",
               "an embedding model: a GGUF file, a Hugging Face folder, the name of a fetched "
               "model, or fast, balanced, quality; default: the one that ships with nexus"),
        NX_OPT("json", 0, NX_OPT_FLAG, &w.json, NULL, "print one JSON object with all of it"),
        NX_OPT("lines", 0, NX_OPT_FLAG, &w.lines, NULL, "with -: each line of stdin is a text"),
        NX_OPT("dimensions", 0, NX_OPT_INT, &w.opt.n_dims, "N",
               "only the first N numbers, at unit length again: for models made for it", .min = 1,
               .max = 1 << 20),
        NX_OPT("input-type", 0, NX_OPT_CHOICE, &w.input_type, "TYPE",
               "what the texts are for, where the model has a prompt for it",
               .choices = "plain|query|passage"),
        NX_OPT("long", 0, NX_OPT_CHOICE, &w.long_texts, "POLICY",
               "texts longer than the model takes: an error; cut; or read in windows, whose "
               "vectors are averaged",
               .choices = "error|cut|windows"),
        NX_OPT_THREADS(w.model),
        NX_OPT_NO_MEMORY_CHECK(w.model),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "embed",
        .synopsis = "[-m MODEL] [options] TEXT...|-",
        .about = "Print the embedding of each text: a line of numbers that lies near those of\n"
                 "texts that mean the same. With - the text is stdin.",
        .examples = "  nexus embed 'What does a crawler do?'\n"
                    "  nexus embed --json --long windows - < report.txt\n"
                    "  nexus embed --lines - < questions.txt > vectors.txt",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = -1,
        .args_missing = "no text given: name it, or - to read stdin",
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    w.opt.input_type = (nx_input_type)w.input_type;
    w.opt.long_texts = (nx_long_text)w.long_texts;
    w.opt.cancel = &nx_cli_cancel;
    code = run(&w, &args);
    nx_embedder_close(w.embedder);
    nx_buf_free(&w.input);
    nx_free(w.texts);
    nx_free(w.out);
    return code;
}
