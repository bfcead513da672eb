/* cmd_perplexity.c - `nexus perplexity`: how much a text surprises a model.
 *
 * Two ways to cut the text. In chunks (cli/chunks.h), as llama.cpp counts it. With --stride S, in
 * windows of n_ctx tokens that begin S tokens apart, as in the Hugging Face guide on perplexity of
 * fixed-length models: every token but the first is scored once, given at least n_ctx - S tokens
 * before it (fewer at the beginning). The perplexity is exp of the mean of -log p; its standard error
 * follows from the spread of -log p.
 */
#include <math.h>
#include <stdio.h>

#include "cli/chunks.h"
#include "cli/cli.h"
#include "engine/sampler.h"
#include "os/clock.h"

typedef struct job {
    const char   *path;
    nx_model_opts m;
    int32_t       chunks_max; /* 0: all */
    int32_t       stride;     /* 0: chunks */
    bool          json;

    nx_text_chunks chunks; /* with a stride, its ids alone */
    const nx_llm  *llm;
    nx_timeline   *tl;
    const int32_t *targets;                          /* of the rows that are being computed */
    nx_tally       nll;                              /* -log p of each scored token */
    int64_t        n_pieces, piece, n_read, n_total; /* tokens read so far and in all */
    nx_progress    progress;
    char           label[64];
    double         seconds;
} job;

static double perplexity(const job *j)
{
    return exp(nx_tally_mean(&j->nll));
}

/* Of the perplexity: that of the mean, times exp' = exp. */
static double standard_error(const job *j)
{
    return nx_tally_standard_error(&j->nll) * perplexity(j);
}

/* ---- Reading ---- */

static void score(void *ctx, int32_t t, const float *logits)
{
    job  *j = ctx;
    float logprob = NAN;

    nx_logprobs(NULL, 0, &logprob, j->targets[t], logits, j->llm->model->hp.n_vocab);
    nx_tally_add(&j->nll, -(double)logprob);
}

static void on_progress(void *ctx, int64_t done, int64_t total)
{
    job *j = ctx;

    (void)total;
    nx_progress_at(&j->progress, j->n_read + done, j->n_total);
}

/* From an empty cache: ids[0..n_quiet) for their keys and values alone, then n_rows tokens that are
 * each asked for the next one. */
static nx_status read_piece(job *j, const int32_t *ids, int32_t n_quiet, int32_t n_rows,
                            nx_error *err)
{
    nx_status st = NX_OK;

    nx_timeline_rewind(j->tl, 0);
    if (n_quiet) st = nx_timeline_eval(j->tl, ids, (size_t)n_quiet, on_progress, j, err);
    j->targets = ids + n_quiet + 1;
    if (!st) st = nx_timeline_eval_each(j->tl, ids + n_quiet, (size_t)n_rows, score, j, err);
    j->n_read += n_quiet + n_rows;
    return st;
}

/* Window i begins at i * stride; it scores what the windows before it didn't. */
static nx_status read_window(job *j, int64_t i, nx_error *err)
{
    int64_t n = (int64_t)j->chunks.ids.n, begin = i * j->stride;
    int64_t end = begin + j->m.ctx < n ? begin + j->m.ctx : n;
    int64_t first = i ? begin - j->stride + j->m.ctx : 1; /* the first token that is new */

    if (first == begin) first++; /* windows that only touch: it has nothing before it */

    return read_piece(j, j->chunks.ids.ids + begin, (int32_t)(first - 1 - begin),
                      (int32_t)(end - first), err);
}

/* NaN would go through all later sums, and come out as a figure. */
static nx_status check_mean(const job *j, nx_error *err)
{
    if (isfinite(nx_tally_mean(&j->nll))) return NX_OK;
    return nx_fail(err, NX_EINTERNAL,
                   "%s: chunk %lld: the model's probabilities are no numbers. Damaged weights?",
                   nx_checkpoint_path(j->llm->cp), (long long)j->piece);
}

static nx_status read_pieces(job *j, nx_error *err)
{
    nx_status st = NX_OK;
    int64_t   start = nx_clock_ns();

    nx_progress_begin(&j->progress, "reading", "tokens");
    for (j->piece = 0; j->piece < j->n_pieces && !st; j->piece++) {
        if (j->stride)
            st = read_window(j, j->piece, err);
        else
            st = read_piece(j, nx_text_chunks_at(&j->chunks, j->piece), j->chunks.n_quiet,
                            j->chunks.n_rows, err);
        if (!st) st = check_mean(j, err);
        if (st) break;
        snprintf(j->label, sizeof j->label, "perplexity %.4f", perplexity(j));
        j->progress.label = j->label;
        nx_progress_at(&j->progress, j->n_read, j->n_total);
    }
    nx_progress_end(&j->progress);
    j->seconds = (double)(nx_clock_ns() - start) * 1e-9;
    return st;
}

/* ---- Before and after ---- */

static nx_status read_text(job *j, nx_error *err)
{
    nx_text_chunks *c = &j->chunks;
    nx_status       st;

    if (!j->stride) {
        st = nx_text_chunks_read(c, j->llm->vocab, j->path, j->m.ctx, j->chunks_max, err);
        j->n_pieces = c->n;
        j->n_total = c->n * (j->m.ctx - 1);
        return st;
    }
    st = nx_text_chunks_read_ids(&c->ids, j->llm->vocab, j->path, 2, err);
    if (st) return st;
    int64_t beyond = (int64_t)c->ids.n - j->m.ctx; /* tokens that the first window leaves */
    j->n_pieces = 1 + (beyond > 0 ? (beyond + j->stride - 1) / j->stride : 0);
    if (j->chunks_max && j->chunks_max < j->n_pieces) j->n_pieces = j->chunks_max;
    j->n_total = j->n_pieces * (j->m.ctx - 1); /* the last window may be shorter */
    return NX_OK;
}

static int print(const job *j)
{
    double rate = (double)j->n_read / j->seconds;

    if (!j->json) {
        nx_out_printf("perplexity %.4f +- %.4f (%lld %s of %d tokens, %lld scored)\n",
                      perplexity(j), standard_error(j), (long long)j->n_pieces,
                      j->stride ? "windows" : "chunks", j->m.ctx, (long long)j->nll.n);
        nx_log_info("%.1f tokens per second", rate);
        return nx_out_finish();
    }
    nx_jw w = {.buf.max = NX_JW_MAX};
    nx_jw_open(&w, NULL, '{');
    nx_jw_number(&w, "perplexity", perplexity(j), 9);
    nx_jw_number(&w, "standard_error", standard_error(j), 9);
    nx_jw_number(&w, "mean_nll", nx_tally_mean(&j->nll), 9);
    nx_jw_int(&w, "tokens_scored", j->nll.n);
    nx_jw_int(&w, "tokens", (int64_t)j->chunks.ids.n);
    nx_jw_int(&w, "chunks", j->n_pieces);
    nx_jw_int(&w, "ctx", j->m.ctx);
    nx_jw_int(&w, "stride", j->stride);
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
    if (!st && !j->m.ctx) j->m.ctx = nx_text_chunks_ctx_default(llm->model->hp.n_ctx);
    if (!st && j->stride > j->m.ctx)
        st = nx_fail(&err, NX_EINVAL, "--stride %d: expected at most the %d tokens of a window",
                     j->stride, j->m.ctx);
    if (!st) st = nx_open_timeline(&j->tl, llm, &j->m, &err);
    if (!st) st = read_text(j, &err);
    if (!st) {
        nx_cli_catch_interrupt();
        st = read_pieces(j, &err);
        nx_cli_release_interrupt();
    }
    if (st == NX_ECANCELLED)
        code = NX_CLI_INTERRUPTED;
    else
        code = st ? nx_cli_fail(&err) : print(j);
    nx_timeline_destroy(j->tl);
    nx_llm_close(llm);
    nx_text_chunks_free(&j->chunks);
    return code;
}

int nx_cmd_perplexity(int argc, char **argv)
{
    job          j = {.m = NX_MODEL_OPTS_DEFAULT};
    nx_args      args;
    const nx_opt opts[] = {
        NX_OPT("ctx", 'c', NX_OPT_INT, &j.m.ctx, "N",
               "tokens of a chunk; default: 512, or what the model was made for", .min = 4,
               .max = 1 << 30),
        NX_OPT("chunks", 0, NX_OPT_INT, &j.chunks_max, "N",
               "read the first N chunks or windows only; default: all", .max = 1 << 30),
        NX_OPT("stride", 0, NX_OPT_INT, &j.stride, "N",
               "windows of --ctx tokens every N tokens instead, each token scored once",
               .max = 1 << 30),
        NX_OPT("json", 0, NX_OPT_FLAG, &j.json, NULL, "print one JSON object"),
        NX_OPT_GROUP("Model"),
        NX_OPT_MODEL(j.m),
        NX_OPT_THREADS(j.m),
        NX_OPT_BATCH(j.m),
        NX_OPT_KV_TYPE(j.m),
        NX_OPT_EXACT(j.m),
        NX_OPT_QUANTIZE(j.m),
        NX_OPT_NO_MEMORY_CHECK(j.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "perplexity",
        .synopsis = "[-m MODEL] FILE|-",
        .about =
            "Measure how much a text surprises the model: exp of the mean of -log p over the\n"
            "second half of each chunk of --ctx tokens, with its standard error: the figures of\n"
            "llama.cpp. With --stride, windows slide over the text as in the Hugging Face\n"
            "guide, so that every token is scored.",
        .examples = "  nexus perplexity -m model.gguf wiki.test.raw\n"
                    "  nexus perplexity -m model.gguf --ctx 2048 --chunks 20 book.txt\n"
                    "  nexus perplexity -m org/name --ctx 1024 --stride 512 book.txt",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no FILE given",
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    if (j.m.ctx && j.stride > j.m.ctx)
        return nx_cli_misuse("perplexity", "--stride %d: expected at most --ctx %d", j.stride,
                             j.m.ctx);
    j.path = args.v[0];
    return run(&j);
}
