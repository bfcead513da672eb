/* cmd_perplexity.c - `nexus perplexity`: how much a text surprises a model.
 *
 * As llama.cpp counts it, so that figures can be compared: the text's tokens are cut into chunks of
 * n_ctx, the rest is dropped. Each chunk is read from an empty cache; its first token is replaced
 * by BOS where the vocabulary adds one; the tokens of its second half but the first are scored,
 * each given all before it in the chunk. The perplexity is exp of the mean of -log p; its standard
 * error follows from the spread of -log p.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "engine/sampler.h"
#include "os/clock.h"
#include "os/file.h"

#define CTX_DEFAULT 512
#define FILE_MAX    ((size_t)1 << 32)

typedef struct tally {
    int64_t n;
    double  sum, sum_squares; /* of -log p */
} tally;

typedef struct job {
    const char   *path;
    nx_model_opts m;
    int32_t       chunks_max; /* 0: all */
    bool          json;

    nx_ids         ids;
    const nx_llm  *llm;
    nx_timeline   *tl;
    const int32_t *targets; /* of the rows that are being computed */
    tally          tally;
    int64_t        n_chunks, chunk;
    int32_t        n_rows; /* of one chunk that are read */
    nx_progress    progress;
    char           label[64];
    double         seconds;
} job;

/* ---- Scores ---- */

static double mean(const tally *t)
{
    return t->sum / (double)t->n;
}

/* Standard error of the perplexity: of the mean, times exp' = exp. 0 for a single token. */
static double standard_error(const tally *t)
{
    if (t->n < 2) return 0;
    double variance = t->sum_squares / (double)t->n - mean(t) * mean(t);
    return variance > 0 ? sqrt(variance / (double)(t->n - 1)) * exp(mean(t)) : 0;
}

static void score(void *ctx, int32_t t, const float *logits)
{
    job  *j = ctx;
    float logprob = NAN;

    nx_logprobs(NULL, 0, &logprob, j->targets[t], logits, j->llm->model->hp.n_vocab);
    j->tally.n++;
    j->tally.sum -= (double)logprob;
    j->tally.sum_squares += (double)logprob * (double)logprob;
}

/* ---- Chunks ---- */

static void on_progress(void *ctx, int64_t done, int64_t total)
{
    job *j = ctx;

    (void)total;
    nx_progress_at(&j->progress, j->chunk * j->n_rows + done, j->n_chunks * j->n_rows);
}

/* The first half is read for its keys and values alone. The last token is only a target. */
static nx_status read_chunk(job *j, int32_t *chunk, nx_error *err)
{
    int32_t   n_ctx = j->m.ctx, first = n_ctx / 2;
    nx_status st;

    const nx_vocab_special *special = nx_vocab_special_ids(j->llm->vocab);
    if (special->add_bos && special->bos >= 0) chunk[0] = special->bos;
    nx_timeline_rewind(j->tl, 0);
    st = nx_timeline_eval(j->tl, chunk, (size_t)first, on_progress, j, err);
    j->targets = chunk + first + 1;
    if (!st)
        st =
            nx_timeline_eval_each(j->tl, chunk + first, (size_t)(n_ctx - 1 - first), score, j, err);
    return st;
}

/* NaN would go through all later sums, and come out as a figure. */
static nx_status check_mean(const job *j, nx_error *err)
{
    if (isfinite(mean(&j->tally))) return NX_OK;
    return nx_fail(err, NX_EINTERNAL,
                   "%s: chunk %lld: the model's probabilities are no numbers. Damaged weights?",
                   nx_checkpoint_path(j->llm->cp), (long long)j->chunk);
}

static nx_status read_chunks(job *j, nx_error *err)
{
    nx_status st = NX_OK;
    int64_t   start = nx_clock_ns();

    j->n_rows = j->m.ctx - 1;
    nx_progress_begin(&j->progress, "reading", "tokens");
    for (j->chunk = 0; j->chunk < j->n_chunks && !st; j->chunk++) {
        st = read_chunk(j, j->ids.ids + j->chunk * j->m.ctx, err);
        if (!st) st = check_mean(j, err);
        if (st) break;
        snprintf(j->label, sizeof j->label, "perplexity %.4f", exp(mean(&j->tally)));
        j->progress.label = j->label;
        nx_progress_at(&j->progress, (j->chunk + 1) * j->n_rows, j->n_chunks * j->n_rows);
    }
    nx_progress_end(&j->progress);
    j->seconds = (double)(nx_clock_ns() - start) * 1e-9;
    return st;
}

/* ---- Before and after ---- */

static nx_status read_ids(job *j, nx_error *err)
{
    nx_buf    text = {.max = FILE_MAX};
    nx_status st;

    if (!j->llm->vocab)
        return nx_fail(err, NX_EUNSUPPORTED, "the model has no vocabulary, so it can't read text");
    if (strcmp(j->path, "-") == 0)
        st = nx_fd_read_all(&text, 0, "stdin", err);
    else
        st = nx_file_read_all(&text, j->path, err);
    if (!st)
        st = nx_vocab_encode(j->llm->vocab, &j->ids, text.data ? text.data : "", text.len,
                             NX_ENCODE_ADD_SPECIAL, err);
    nx_buf_free(&text);
    if (st) return st;
    j->n_chunks = (int64_t)j->ids.n / j->m.ctx;
    if (j->n_chunks == 0)
        return nx_fail(err, NX_EINVAL,
                       "%s: %zu tokens, expected at least one chunk of %d. Use a longer text or a "
                       "smaller --ctx",
                       j->path, j->ids.n, j->m.ctx);
    if (j->chunks_max && j->chunks_max < j->n_chunks) j->n_chunks = j->chunks_max;
    return NX_OK;
}

static int print(const job *j)
{
    const tally *t = &j->tally;
    double       rate = (double)(j->n_chunks * j->n_rows) / j->seconds;

    if (!j->json) {
        nx_out_printf("perplexity %.4f +- %.4f (%lld chunks of %d tokens, %lld scored)\n",
                      exp(mean(t)), standard_error(t), (long long)j->n_chunks, j->m.ctx,
                      (long long)t->n);
        nx_log_info("%.1f tokens per second", rate);
        return nx_out_finish();
    }
    nx_jw w = {.buf.max = NX_JW_MAX};
    nx_jw_open(&w, NULL, '{');
    nx_jw_number(&w, "perplexity", exp(mean(t)), 9);
    nx_jw_number(&w, "standard_error", standard_error(t), 9);
    nx_jw_number(&w, "mean_nll", mean(t), 9);
    nx_jw_int(&w, "tokens_scored", t->n);
    nx_jw_int(&w, "tokens", (int64_t)j->ids.n);
    nx_jw_int(&w, "chunks", j->n_chunks);
    nx_jw_int(&w, "ctx", j->m.ctx);
    nx_jw_number(&w, "tokens_per_s", rate, 5);
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

static int run(job *j)
{
    nx_llm   *llm = NULL;
    nx_error  err;
    int       code;
    nx_status st = nx_open_llm(&llm, &j->m, &err);

    j->llm = llm;
    if (!st) st = nx_open_timeline(&j->tl, llm, &j->m, &err);
    if (!st) st = read_ids(j, &err);
    if (!st) {
        nx_cli_catch_interrupt();
        st = read_chunks(j, &err);
        nx_cli_release_interrupt();
    }
    if (st == NX_ECANCELLED)
        code = NX_CLI_INTERRUPTED;
    else
        code = st ? nx_cli_fail(&err) : print(j);
    nx_timeline_destroy(j->tl);
    nx_llm_close(llm);
    nx_ids_free(&j->ids);
    return code;
}

int nx_cmd_perplexity(int argc, char **argv)
{
    job          j = {.m = NX_MODEL_OPTS_DEFAULT};
    nx_args      args;
    const nx_opt opts[] = {
        NX_OPT("ctx", 'c', NX_OPT_INT, &j.m.ctx, "N", "tokens of a chunk", .min = 4,
               .max = 1 << 30),
        NX_OPT("chunks", 0, NX_OPT_INT, &j.chunks_max, "N",
               "read the first N chunks only; default: all", .max = 1 << 30),
        NX_OPT("json", 0, NX_OPT_FLAG, &j.json, NULL, "print one JSON object"),
        NX_OPT_GROUP("Model"),
        NX_OPT_MODEL(j.m),
        NX_OPT_THREADS(j.m),
        NX_OPT_BATCH(j.m),
        NX_OPT_KV_TYPE(j.m),
        NX_OPT_EXACT(j.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "perplexity",
        .synopsis = "[-m MODEL] FILE|-",
        .about = "Measure how much a text surprises the model: exp of the mean of -log p over the\n"
                 "second half of each chunk of --ctx tokens, with its standard error.",
        .examples = "  nexus perplexity -m model.gguf wiki.test.raw\n"
                    "  nexus perplexity -m model.gguf --ctx 2048 --chunks 20 book.txt",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no FILE given",
    };
    j.m.ctx = CTX_DEFAULT;
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    j.path = args.v[0];
    return run(&j);
}
