/* cmd_bench.c - `nexus bench`: how fast this machine runs a model, and how near that is to what
 * its memory allows. Many answers at once are timed by bench_batch.c.
 *
 * Idea: decoding one token reads every weight once, so tokens per second times the bytes of a
 *       token is a bandwidth, and its fraction of a plain read sweep in the same run says how much
 *       is left to gain. Reading a prompt is bound by arithmetic; there only the rate is told.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/bench_batch.h"
#include "engine/batch.h"
#include "engine/synthetic.h"
#include "lib/backends.h"
#include "num/rng.h"
#include "os/clock.h"
#include "os/cpu.h"

typedef struct job {
    nx_model_opts m;
    const char   *synthetic, *save;
    int32_t       n_prefill, n_decode, depth, n_runs;
    uint64_t      seed;
    bool          json, csv;

    nx_bench_batch_opts batch; /* n_parallel 0: no batch engine */
    nx_bench_batch_run  batch_runs[NX_BENCH_RUNS_MAX];

    nx_synthetic image; /* what llm views, when --synthetic is given */
    nx_llm      *llm;
    nx_timeline *tl;
    int32_t     *ids; /* [most tokens that any test reads] */
    nx_progress  progress;
    int64_t      done, total; /* tokens of all runs */
    nx_bench     result;
} job;

/* ---- Random models ---- */

static void on_bytes(void *ctx, int64_t done, int64_t total)
{
    nx_progress_at(ctx, done, total);
}

static nx_status make_synthetic(job *j, nx_error *err)
{
    nx_synthetic_shape shape;
    nx_dtype           type;
    nx_progress        p;
    nx_status          st = nx_synthetic_parse(&shape, &type, j->synthetic, err);

    if (st) return nx_fail_prefix(err, st, "--synthetic");
    nx_progress_begin(&p, "making random weights", "bytes");
    st = nx_synthetic_create(&j->image, &shape, type, j->seed, j->result.n_threads, on_bytes, &p,
                             err);
    nx_progress_end(&p);
    return st;
}

static nx_status save_synthetic(const job *j, nx_error *err)
{
    nx_progress p;

    nx_progress_begin(&p, "writing", "bytes");
    nx_status st = nx_synthetic_save(&j->image, j->save, on_bytes, &p, err);
    nx_progress_end(&p);
    if (!st)
        nx_log_info("%s written to %s, %.2f GB", j->image.name, j->save,
                    (double)j->image.memory.bytes / 1e9);
    return st;
}

static nx_status open_synthetic(job *j, nx_error *err)
{
    nx_checkpoint *cp = NULL;
    nx_backend    *be = NULL;
    nx_status      st = nx_synthetic_open(&cp, &j->image, err);

    if (!st)
        st = nx_backends_create(&be, j->m.threads,
                                j->m.exact ? NX_PRECISION_EXACT : NX_PRECISION_CODES, err);
    if (!st) return nx_llm_take(&j->llm, cp, be, err); /* takes cp and be */
    nx_checkpoint_close(cp);
    return st;
}

/* ---- Runs ---- */

static int32_t most_tokens(const job *j)
{
    int32_t decode = j->n_decode ? j->depth + j->n_decode : 0;

    return j->n_prefill > decode ? j->n_prefill : decode;
}

static nx_status make_ids(job *j, nx_error *err)
{
    nx_rng  rng;
    int32_t n = most_tokens(j), n_vocab = j->llm->model->hp.n_vocab;

    j->ids = nx_alloc((size_t)n, sizeof *j->ids);
    if (!j->ids) return nx_fail(err, NX_ENOMEM, "%d token ids", n);
    nx_rng_seed(&rng, j->seed);
    for (int32_t i = 0; i < n; i++) j->ids[i] = (int32_t)(nx_rng_uniform(&rng) * n_vocab);
    return NX_OK;
}

static void on_prefill(void *ctx, int64_t done, int64_t total)
{
    job *j = ctx;

    (void)total;
    nx_progress_at(&j->progress, j->done + done, j->total);
}

static nx_status read_tokens(job *j, int32_t begin, int32_t n, nx_error *err)
{
    nx_status st = nx_timeline_eval(j->tl, j->ids + begin, (size_t)n, on_prefill, j, err);

    j->done += n;
    return st;
}

static nx_status decode_tokens(job *j, int32_t begin, int32_t n, nx_error *err)
{
    nx_status st = NX_OK;

    for (int32_t i = 0; i < n && !st; i++) {
        st = nx_timeline_eval(j->tl, j->ids + begin + i, 1, NULL, NULL, err);
        nx_progress_at(&j->progress, ++j->done, j->total);
    }
    return st;
}

/* Fast and wrong is no result. */
static nx_status check_logits(const job *j, nx_error *err)
{
    const float *logits = nx_timeline_logits(j->tl);

    for (int32_t i = 0; i < j->llm->model->hp.n_vocab; i++)
        if (!isfinite(logits[i]))
            return nx_fail(err, NX_EINTERNAL, "logit %d is %g: what was timed isn't this model", i,
                           (double)logits[i]);
    return NX_OK;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void summarise(nx_bench_test *t, int32_t n_runs)
{
    double sorted[NX_BENCH_RUNS_MAX];

    memcpy(sorted, t->rate, (size_t)n_runs * sizeof *sorted);
    qsort(sorted, (size_t)n_runs, sizeof *sorted, by_value);
    t->min = sorted[0];
    t->max = sorted[n_runs - 1];
    t->median = (sorted[(n_runs - 1) / 2] + sorted[n_runs / 2]) / 2;
}

static nx_status run_test(job *j, nx_bench_test *t, bool decode, nx_error *err)
{
    nx_status st = NX_OK;

    nx_timeline_rewind(j->tl, 0);
    if (t->depth) st = read_tokens(j, 0, t->depth, err);
    for (int32_t r = 0; r < j->n_runs && !st; r++) {
        nx_timeline_rewind(j->tl, t->depth);
        int64_t start = nx_clock_ns();
        st = decode ? decode_tokens(j, t->depth, t->n, err) : read_tokens(j, t->depth, t->n, err);
        t->rate[r] = (double)t->n * 1e9 / (double)(nx_clock_ns() - start);
        if (!st) st = check_logits(j, err);
    }
    if (!st) summarise(t, j->n_runs);
    return st;
}

/* A few tokens that nobody counts: weights come in from disk, clocks and caches settle. */
static nx_status warm_up(job *j, nx_error *err)
{
    int32_t   n = most_tokens(j) < 16 ? most_tokens(j) : 16;
    nx_status st = nx_timeline_eval(j->tl, j->ids, (size_t)n, NULL, NULL, err);

    nx_timeline_rewind(j->tl, 0);
    return st ? st : nx_timeline_eval(j->tl, j->ids, 1, NULL, NULL, err);
}

static nx_status run_prefill(job *j, nx_error *err)
{
    nx_bench_test *t = &j->result.tests[j->result.n_tests++];

    *t = (nx_bench_test){.name = "prefill", .n = j->n_prefill};
    return run_test(j, t, false, err);
}

/* The ceiling is measured right before the runs that it is compared with. */
static nx_status run_decode(job *j, nx_error *err)
{
    nx_bench_test *t = &j->result.tests[j->result.n_tests++];
    double         n_pos = j->depth + (j->n_decode + 1) / 2.0; /* a token reads itself and before */
    nx_status      st;

    *t = (nx_bench_test){.name = "decode", .n = j->n_decode, .depth = j->depth};
    st = nx_backends_read_bandwidth(&j->result.ceiling, j->result.n_threads, NX_BENCH_SWEEP_SIZE,
                                    NX_BENCH_SWEEPS, err);
    if (!st) st = run_test(j, t, true, err);
    if (st) return st;
    t->weights_bytes = j->llm->model->bytes_per_token;
    t->kv_bytes = (uint64_t)(n_pos * (double)nx_kv_bytes(&j->llm->model->hp,
                                                         nx_kv_choice(&j->m, j->llm->cp), 1));
    t->bytes_per_s = t->median * (double)(t->weights_bytes + t->kv_bytes);
    t->fraction = t->bytes_per_s / j->result.ceiling;
    return NX_OK;
}

static nx_status run_all(job *j, nx_error *err)
{
    int32_t   n_ctx = j->llm->model->hp.n_ctx;
    nx_status st;

    if (most_tokens(j) > n_ctx)
        return nx_fail(err, NX_ELIMIT, "%d tokens were asked for, the model was made for %d",
                       most_tokens(j), n_ctx);
    j->m.ctx = most_tokens(j);
    j->total = (int64_t)j->n_runs * (j->n_prefill + j->n_decode) + (j->n_decode ? j->depth : 0);
    st = make_ids(j, err);
    if (!st) st = nx_open_timeline(&j->tl, j->llm, &j->m, err);
    nx_progress_begin(&j->progress, "timing", "tokens");
    if (!st) st = warm_up(j, err);
    if (!st && j->n_prefill) st = run_prefill(j, err);
    if (!st && j->n_decode) st = run_decode(j, err);
    nx_progress_end(&j->progress);
    return st;
}

static nx_status run_batch(job *j, nx_error *err)
{
    j->batch.n_prompt = j->n_prefill;
    j->batch.n_new = j->n_decode;
    j->batch.n_runs = j->n_runs;
    j->batch.seed = j->seed;
    return nx_bench_batch_time(j->batch_runs, j->llm, &j->m, &j->batch, err);
}

/* ---- The command ---- */

static const char *main_type(const nx_checkpoint *cp)
{
    uint64_t bytes[NX_DTYPE_GGUF_COUNT] = {0};
    int      best = 0;

    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        bytes[t->dtype] += t->bytes;
    }
    for (int t = 1; t < NX_DTYPE_GGUF_COUNT; t++)
        if (bytes[t] > bytes[best]) best = t;
    return nx_dtype_get((nx_dtype)best)->name;
}

static void describe(job *j)
{
    nx_bench *b = &j->result;

    b->model = nx_checkpoint_path(j->llm->cp);
    b->type = main_type(j->llm->cp);
    b->n_params = j->llm->model->n_params;
    b->weights_bytes = j->llm->model->weights_bytes;
    b->backend = j->llm->be->ops->name;
    b->n_batch = j->m.batch;
    b->kv_type = nx_dtype_get(nx_kv_choice(&j->m, j->llm->cp))->name;
    b->n_runs = j->n_runs;
    nx_cpu_name(b->cpu, sizeof b->cpu);
}

static int print(job *j)
{
    nx_bench *b = &j->result;

    describe(j);
    if (j->batch.n_parallel)
        return nx_bench_batch_print(b, &j->batch, j->batch_runs,
                                    j->json  ? NX_BENCH_JSON
                                    : j->csv ? NX_BENCH_CSV
                                             : NX_BENCH_TEXT);
    if (j->json) return nx_bench_print_json(b);
    if (j->csv)
        nx_bench_print_csv(b);
    else
        nx_bench_print(b);
    return nx_out_finish();
}

static int run(job *j)
{
    nx_error  err;
    int       code;
    nx_status st = NX_OK;

    j->result.n_threads = j->m.threads ? j->m.threads : nx_cpu_count();
    if (j->synthetic) st = make_synthetic(j, &err);
    if (!st && j->save) {
        st = save_synthetic(j, &err);
        code = st ? nx_cli_fail(&err) : NX_CLI_DONE;
        goto out;
    }
    if (!st) st = j->synthetic ? open_synthetic(j, &err) : nx_open_llm(&j->llm, &j->m, &err);
    nx_cli_catch_interrupt();
    if (!st) st = j->batch.n_parallel ? run_batch(j, &err) : run_all(j, &err);
    nx_cli_release_interrupt();
    if (st == NX_ECANCELLED)
        code = NX_CLI_INTERRUPTED;
    else
        code = st ? nx_cli_fail(&err) : print(j);
out:
    nx_timeline_destroy(j->tl);
    nx_llm_close(j->llm);
    nx_synthetic_destroy(&j->image);
    nx_free(j->ids);
    return code;
}

static int check(const job *j)
{
    if (j->save && !j->synthetic)
        return nx_cli_misuse("bench", "--save writes a synthetic model: give --synthetic too");
    if (j->synthetic && j->m.model && j->m.model != getenv("NEXUS_MODEL"))
        return nx_cli_misuse("bench", "--model and --synthetic exclude each other");
    if (j->json && j->csv) return nx_cli_misuse("bench", "--json and --csv exclude each other");
    if (!j->save && j->n_prefill == 0 && j->n_decode == 0)
        return nx_cli_misuse("bench", "nothing to time: -p 0 and -n 0");
    if (j->batch.n_parallel && (j->n_prefill == 0 || j->n_decode == 0 || j->depth))
        return nx_cli_misuse("bench", "--parallel wants -p and -n of 1 or more, and no --depth");
    if (j->batch.prompts && !j->batch.n_parallel)
        return nx_cli_misuse("bench", "--prompts is for --parallel");
    return NX_CLI_GO;
}

int nx_cmd_bench(int argc, char **argv)
{
    static job j; /* its runs are too large for a stack */
    nx_args    args;

    j = (job){.m = NX_MODEL_OPTS_DEFAULT,
              .n_prefill = 512,
              .n_decode = 128,
              .n_runs = 5,
              .seed = 1,
              .batch.n_draft = NX_DRAFT_DEFAULT};
    const nx_opt opts[] = {
        NX_OPT("prefill", 'p', NX_OPT_INT, &j.n_prefill, "N", "prompt tokens; 0: don't time them",
               .max = 1 << 24),
        NX_OPT("decode", 'n', NX_OPT_INT, &j.n_decode, "N",
               "tokens decoded one by one; 0: don't time them", .max = 1 << 24),
        NX_OPT("depth", 'd', NX_OPT_INT, &j.depth, "N", "positions read before decoding begins",
               .max = 1 << 24),
        NX_OPT("runs", 'r', NX_OPT_INT, &j.n_runs, "N", "runs of each test", .min = 1,
               .max = NX_BENCH_RUNS_MAX),
        NX_OPT("seed", 0, NX_OPT_U64, &j.seed, "N", "of the random tokens and weights"),
        NX_OPT("json", 0, NX_OPT_FLAG, &j.json, NULL, "print one JSON object, every run in it"),
        NX_OPT("csv", 0, NX_OPT_FLAG, &j.csv, NULL, "print a line of names and one for each test"),
        NX_OPT_GROUP("Many answers at once"),
        NX_OPT("parallel", 0, NX_OPT_INT, &j.batch.n_parallel, "N",
               "N answers of -p and -n tokens each by the engine that serves, from an empty cache; "
               "0: the two tests above",
               .max = NX_PARALLEL_MAX),
        NX_OPT("prompts", 0, NX_OPT_TEXT, &j.batch.prompts, "FILE",
               "their prompts, one a line, instead of -p random tokens"),
        NX_OPT("slice", 0, NX_OPT_INT, &j.batch.n_slice, "N",
               "prompt tokens read in one step beside answers; 0: as many as keep the step short",
               .max = 65536),
        NX_OPT("draft", 0, NX_OPT_INT, &j.batch.n_draft, "N",
               "tokens guessed from the text itself in one step; 0 is none", .max = 15),
        NX_OPT_GROUP("Model"),
        NX_OPT_MODEL(j.m),
        NX_OPT("synthetic", 0, NX_OPT_TEXT, &j.synthetic, "SHAPE:TYPE",
               "random weights instead: shape 1b, 1.4b, 8b or 70b, any type"),
        NX_OPT("save", 0, NX_OPT_TEXT, &j.save, "FILE",
               "write the synthetic model to FILE and time nothing"),
        NX_OPT_THREADS(j.m),
        NX_OPT_BATCH(j.m),
        NX_OPT_KV_TYPE(j.m),
        NX_OPT_EXACT(j.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "bench",
        .synopsis = "[-m MODEL | --synthetic SHAPE:TYPE] [-p 512] [-n 128] [-r 5]",
        .about = "Time reading a prompt and decoding token by token, and compare what decoding\n"
                 "reads with the speed of a plain read sweep over memory in the same run.",
        .examples = "  nexus bench -m model.gguf\n"
                    "  nexus bench --synthetic 1b:q4_0 -t 2 --json\n"
                    "  nexus bench --parallel 64 -p 32\n"
                    "  nexus bench --synthetic 8b:q4_k --save random-8b.gguf",
        .options = opts,
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code == NX_CLI_GO) code = check(&j);
    return code == NX_CLI_GO ? run(&j) : code;
}
