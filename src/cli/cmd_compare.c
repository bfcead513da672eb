/* cmd_compare.c - `nexus compare`: what a smaller checkpoint costs.
 *
 * Both models read the same chunks of a text (cli/chunks.h). At each scored token their distributions
 * over the next one are compared: the Kullback-Leibler divergence of B from A, whether their first
 * choices agree, and how likely each held the token that came.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/chunks.h"
#include "cli/cli.h"
#include "model/model.h"

#define ROWS 32 /* logits of A that are kept at a time */

typedef struct side {
    nx_model_opts m;
    nx_llm       *llm;
    nx_timeline  *tl;
    nx_tally      nll;
} side;

typedef struct job {
    const char   *path;
    nx_model_opts m;
    int32_t       chunks_max;
    bool          json;

    side           a, b;
    nx_text_chunks chunks;
    int32_t        n_vocab;
    float         *rows;    /* [ROWS, n_vocab] of A */
    const int32_t *targets; /* of those rows */
    nx_tally       kl, log_ratio;
    double        *all_kl; /* [n_all]: for the percentiles */
    int64_t        n_all, n_same;
    nx_progress    progress;
    int64_t        chunk;
} job;

/* ---- One token ---- */

/* log of the sum of exp over row, and the first of its largest. */
static double log_sum_exp(const float *row, int32_t n, int32_t *top)
{
    double sum = 0;

    *top = 0;
    for (int32_t i = 1; i < n; i++)
        if (row[i] > row[*top]) *top = i;
    for (int32_t i = 0; i < n; i++) sum += exp((double)row[i] - (double)row[*top]);
    return (double)row[*top] + log(sum);
}

static void keep_row(void *ctx, int32_t t, const float *logits)
{
    job *j = ctx;

    memcpy(j->rows + (int64_t)t * j->n_vocab, logits, (size_t)j->n_vocab * sizeof *logits);
}

static void compare_row(void *ctx, int32_t t, const float *b)
{
    job         *j = ctx;
    const float *a = j->rows + (int64_t)t * j->n_vocab;
    int32_t      top_a, top_b, target = j->targets[t];
    double       za = log_sum_exp(a, j->n_vocab, &top_a), zb = log_sum_exp(b, j->n_vocab, &top_b);
    double       kl = 0, nll_a = za - (double)a[target], nll_b = zb - (double)b[target];

    for (int32_t i = 0; i < j->n_vocab; i++) {
        double log_pa = (double)a[i] - za;
        if (log_pa > -745) kl += exp(log_pa) * (log_pa - ((double)b[i] - zb));
    }
    if (kl < 0) kl = 0; /* rounding: it can't be */
    nx_tally_add(&j->kl, kl);
    j->all_kl[j->n_all++] = kl;
    nx_tally_add(&j->a.nll, nll_a);
    nx_tally_add(&j->b.nll, nll_b);
    nx_tally_add(&j->log_ratio, nll_b - nll_a);
    j->n_same += top_a == top_b;
}

/* ---- The text ---- */

static nx_status begin_chunk(side *s, const int32_t *ids, int32_t n, nx_error *err)
{
    nx_timeline_rewind(s->tl, 0);
    return nx_timeline_eval(s->tl, ids, (size_t)n, NULL, NULL, err);
}

/* The two take turns, ROWS tokens at a time, so that logits of one suffice. */
static nx_status read_chunk(job *j, const int32_t *ids, nx_error *err)
{
    int32_t   at = j->chunks.n_quiet, end = at + j->chunks.n_rows;
    nx_status st = begin_chunk(&j->a, ids, at, err);

    if (!st) st = begin_chunk(&j->b, ids, at, err);
    for (; !st && at < end; at += ROWS) {
        size_t n = (size_t)(end - at < ROWS ? end - at : ROWS);
        j->targets = ids + at + 1;
        st = nx_timeline_eval_each(j->a.tl, ids + at, n, keep_row, j, err);
        if (!st) st = nx_timeline_eval_each(j->b.tl, ids + at, n, compare_row, j, err);
        nx_progress_at(&j->progress, j->chunk * j->chunks.n_ctx + at,
                       j->chunks.n * j->chunks.n_ctx);
    }
    return st;
}

static nx_status read_chunks(job *j, nx_error *err)
{
    nx_status st = NX_OK;

    nx_progress_begin(&j->progress, "comparing", "tokens");
    for (j->chunk = 0; j->chunk < j->chunks.n && !st; j->chunk++) {
        st = read_chunk(j, nx_text_chunks_at(&j->chunks, j->chunk), err);
        if (!st && !isfinite(j->kl.sum + j->log_ratio.sum))
            st = nx_fail(err, NX_EINTERNAL,
                         "chunk %lld: the probabilities of %s are no numbers. Damaged weights?",
                         (long long)j->chunk,
                         isfinite(j->a.nll.sum) ? nx_checkpoint_path(j->b.llm->cp)
                                                : nx_checkpoint_path(j->a.llm->cp));
    }
    nx_progress_end(&j->progress);
    return st;
}

/* ---- Before ---- */

/* Figures over different tokens mean nothing. */
static nx_status check_same_words(const job *j, nx_error *err)
{
    nx_ids      other = {0};
    const char *a = nx_checkpoint_path(j->a.llm->cp), *b = nx_checkpoint_path(j->b.llm->cp);
    nx_status   st = NX_OK;

    /* A GGUF names every row of the embedding, a folder's tokenizer may know fewer. */
    if (!j->b.llm->vocab || (nx_vocab_size(j->a.llm->vocab) != nx_vocab_size(j->b.llm->vocab) &&
                             j->a.llm->model->hp.n_vocab != j->b.llm->model->hp.n_vocab))
        return nx_fail(err, NX_EINVAL,
                       "%s and %s have vocabularies of different sizes: only models that share "
                       "theirs can be compared",
                       a, b);
    if (strcmp(j->path, "-") != 0) {
        st = nx_text_chunks_read_ids(&other, j->b.llm->vocab, j->path, 0, err);
        if (!st && (other.n != j->chunks.ids.n ||
                    memcmp(other.ids, j->chunks.ids.ids, other.n * sizeof *other.ids) != 0))
            st = nx_fail(err, NX_EINVAL,
                         "%s and %s cut %s into different tokens: only models that share their "
                         "vocabulary can be compared",
                         a, b, j->path);
    }
    nx_ids_free(&other);
    for (size_t i = 0; i < j->chunks.ids.n && !st; i++)
        if (j->chunks.ids.ids[i] >= j->n_vocab)
            st = nx_fail(err, NX_EINVAL, "token %zu is %d, expected 0 to %d", i,
                         (int)j->chunks.ids.ids[i], (int)(j->n_vocab - 1));
    return st;
}

static nx_status open_side(side *s, job *j, nx_error *err)
{
    s->m.threads = j->m.threads;
    s->m.ctx = j->m.ctx;
    s->m.batch = j->m.batch;
    s->m.kv_type = j->m.kv_type;
    s->m.exact = j->m.exact;
    s->m.no_memory_check = j->m.no_memory_check;
    nx_status st = nx_open_llm(&s->llm, &s->m, err);
    if (!st && !j->m.ctx) s->m.ctx = j->m.ctx = nx_text_chunks_ctx_default(s->llm->model->hp.n_ctx);
    return st ? st : nx_open_timeline(&s->tl, s->llm, &s->m, err);
}

static nx_status open_all(job *j, nx_error *err)
{
    nx_status st = open_side(&j->a, j, err);

    if (!st) st = open_side(&j->b, j, err);
    if (!st)
        st =
            nx_text_chunks_read(&j->chunks, j->a.llm->vocab, j->path, j->m.ctx, j->chunks_max, err);
    if (st) return st;
    /* Logits there are for rows of the embedding, however many words the tokenizers know. */
    int32_t rows_a = j->a.llm->model->hp.n_vocab, rows_b = j->b.llm->model->hp.n_vocab;
    j->n_vocab = rows_a < rows_b ? rows_a : rows_b;
    st = check_same_words(j, err);
    if (st) return st;
    j->rows = nx_alloc((size_t)ROWS * (size_t)j->n_vocab, sizeof *j->rows);
    j->all_kl = nx_alloc((size_t)(j->chunks.n * j->chunks.n_rows), sizeof *j->all_kl);
    return j->rows && j->all_kl ? NX_OK : nx_fail(err, NX_ENOMEM, "logits to compare");
}

static void close_all(job *j)
{
    side *sides[] = {&j->a, &j->b};

    for (int i = 0; i < 2; i++) {
        nx_timeline_destroy(sides[i]->tl);
        nx_llm_close(sides[i]->llm);
    }
    nx_text_chunks_free(&j->chunks);
    nx_free(j->rows);
    nx_free(j->all_kl);
}

/* ---- After ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double percentile(const job *j, double p)
{
    return j->all_kl[(int64_t)(p * (double)(j->n_all - 1) + 0.5)];
}

static void print_text(const job *j)
{
    double ratio = exp(nx_tally_mean(&j->log_ratio));

    nx_out_printf(
        "perplexity of A   %.4f\n"
        "perplexity of B   %.4f\n"
        "B / A             %.5f +- %.5f\n"
        "mean divergence   %.6f +- %.6f nats a token (median %.6f, 99%% %.6f, most %.6f)\n"
        "same first choice %.2f %%\n",
        exp(nx_tally_mean(&j->a.nll)), exp(nx_tally_mean(&j->b.nll)), ratio,
        nx_tally_standard_error(&j->log_ratio) * ratio, nx_tally_mean(&j->kl),
        nx_tally_standard_error(&j->kl), percentile(j, 0.5), percentile(j, 0.99), percentile(j, 1),
        100.0 * (double)j->n_same / (double)j->n_all);
    nx_log_info("%lld chunks of %d tokens, %lld compared", (long long)j->chunks.n, j->m.ctx,
                (long long)j->n_all);
}

static int print_json(const job *j)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_number(&w, "perplexity_a", exp(nx_tally_mean(&j->a.nll)), 9);
    nx_jw_number(&w, "perplexity_b", exp(nx_tally_mean(&j->b.nll)), 9);
    nx_jw_number(&w, "perplexity_ratio", exp(nx_tally_mean(&j->log_ratio)), 9);
    nx_jw_number(&w, "log_ratio_standard_error", nx_tally_standard_error(&j->log_ratio), 9);
    nx_jw_number(&w, "kl_mean", nx_tally_mean(&j->kl), 9);
    nx_jw_number(&w, "kl_standard_error", nx_tally_standard_error(&j->kl), 9);
    nx_jw_number(&w, "kl_median", percentile(j, 0.5), 9);
    nx_jw_number(&w, "kl_p99", percentile(j, 0.99), 9);
    nx_jw_number(&w, "kl_max", percentile(j, 1), 9);
    nx_jw_number(&w, "top1_agreement", (double)j->n_same / (double)j->n_all, 9);
    nx_jw_int(&w, "tokens_compared", j->n_all);
    nx_jw_int(&w, "chunks", j->chunks.n);
    nx_jw_int(&w, "ctx", j->m.ctx);
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

static int run(job *j)
{
    nx_error  err;
    int       code;
    nx_status st = open_all(j, &err);

    if (!st) {
        nx_cli_catch_interrupt();
        st = read_chunks(j, &err);
        nx_cli_release_interrupt();
    }
    if (st == NX_ECANCELLED) {
        code = NX_CLI_INTERRUPTED;
    } else if (st) {
        code = nx_cli_fail(&err);
    } else {
        qsort(j->all_kl, (size_t)j->n_all, sizeof *j->all_kl, ascending);
        if (!j->json) print_text(j);
        code = j->json ? print_json(j) : nx_out_finish();
    }
    close_all(j);
    return code;
}

int nx_cmd_compare(int argc, char **argv)
{
    job          j = {.m = NX_MODEL_OPTS_DEFAULT};
    nx_args      args;
    const nx_opt opts[] = {
        NX_OPT("ctx", 'c', NX_OPT_INT, &j.m.ctx, "N",
               "tokens of a chunk; default: 512, or what model A was made for", .min = 4,
               .max = 1 << 30),
        NX_OPT("chunks", 0, NX_OPT_INT, &j.chunks_max, "N",
               "read the first N chunks only; default: all", .max = 1 << 30),
        NX_OPT("json", 0, NX_OPT_FLAG, &j.json, NULL, "print one JSON object"),
        NX_OPT("quantize", 0, NX_OPT_TEXT, &j.m.quantize, "TYPE",
               "quantise B while loading; without B, that is A: nf4, q4_k_m, ..."),
        NX_OPT_GROUP("Both models"),
        NX_OPT_THREADS(j.m),
        NX_OPT_BATCH(j.m),
        NX_OPT_KV_TYPE(j.m),
        NX_OPT_EXACT(j.m),
        NX_OPT_NO_MEMORY_CHECK(j.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "compare",
        .synopsis = "A [B] FILE|-",
        .about =
            "Compare what two models think comes next, token by token over a text: the mean\n"
            "Kullback-Leibler divergence of B from A, how often their first choices agree, and\n"
            "the ratio of their perplexities. So it shows what a quantisation costs. Both must\n"
            "share their vocabulary.",
        .examples = "  nexus compare model-f16.gguf model-q4_k_m.gguf wiki.test.raw\n"
                    "  nexus compare --quantize nf4 org/name book.txt",
        .options = opts,
        .n_args_min = 2,
        .n_args_max = 3,
        .args_missing = "expected a model A, a model B (or --quantize TYPE) and a FILE",
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    if (args.n == 2 && !j.m.quantize)
        return nx_cli_misuse("compare", "%s", "no B: name a second model, or --quantize TYPE");
    j.a.m.model = args.v[0];
    j.b.m.model = args.n == 3 ? args.v[1] : args.v[0];
    j.b.m.quantize = j.m.quantize;
    j.path = args.v[args.n - 1];
    return run(&j);
}
