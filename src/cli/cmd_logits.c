/* cmd_logits.c - `nexus logits`: what the model thinks comes next, at every position.
 *
 * For people a table of the likeliest tokens; with --raw the rows themselves, for those who
 * compare.
 */
#include "cli/cli.h"
#include "engine/sampler.h"
#include "format/printable.h"

#define TOP_MAX 100

typedef struct job {
    const nx_llm *llm;
    nx_ids        ids;
    int32_t       top;
    bool          raw;
    nx_progress   progress;
} job;

/* "  403 'Once'   -1.234" for one candidate. */
static void print_candidate(const job *j, nx_logprob c)
{
    char text[48] = "";

    if (j->llm->vocab) nx_printable(text, sizeof text, nx_vocab_text(j->llm->vocab, c.id));
    nx_out_printf("    %7d  %9.4f  %s\n", c.id, (double)c.logprob, text);
}

static void print_position(const job *j, int32_t t, const float *logits)
{
    nx_logprob best[TOP_MAX];
    int32_t    n_vocab = j->llm->model->hp.n_vocab, n = j->top < n_vocab ? j->top : n_vocab;
    char       text[48] = "";

    if (j->llm->vocab) nx_printable(text, sizeof text, nx_vocab_text(j->llm->vocab, j->ids.ids[t]));
    nx_out_printf("position %d, after %d %s\n", t, j->ids.ids[t], text);
    nx_logprobs(best, n, NULL, -1, logits, n_vocab);
    for (int32_t i = 0; i < n; i++) print_candidate(j, best[i]);
}

static void on_logits(void *ctx, int32_t t, const float *logits)
{
    job *j = ctx;

    if (j->raw)
        nx_out_write(logits, (size_t)j->llm->model->hp.n_vocab * sizeof *logits);
    else
        print_position(j, t, logits);
    if (nx_out_gone()) atomic_store(&nx_cli_cancel, true); /* nobody reads the rest */
    nx_progress_at(&j->progress, t + 1, (int64_t)j->ids.n);
}

static nx_status run(job *j, const nx_model_opts *m, const nx_prompt *prompt, nx_error *err)
{
    nx_llm      *llm = NULL;
    nx_timeline *tl = NULL;
    nx_status    st = nx_open_llm(&llm, m, err);

    j->llm = llm;
    if (!st) st = nx_prompt_ids(&j->ids, prompt, llm->vocab, llm->model->hp.n_vocab, err);
    if (!st) st = nx_open_timeline(&tl, llm, m, err);
    if (!st) {
        nx_progress_begin(&j->progress, "computing logits", "tokens");
        st = nx_timeline_eval_each(tl, j->ids.ids, j->ids.n, on_logits, j, err);
        nx_progress_end(&j->progress);
    }
    nx_timeline_destroy(tl);
    nx_llm_close(llm);
    nx_ids_free(&j->ids);
    return st;
}

int nx_cmd_logits(int argc, char **argv)
{
    nx_model_opts m = NX_MODEL_OPTS_DEFAULT;
    nx_prompt     prompt = {0};
    job           j = {.top = 5};
    nx_args       args;
    nx_error      err;
    const nx_opt  opts[] = {
        NX_PROMPT_OPTS(prompt),
        NX_OPT("raw", 0, NX_OPT_FLAG, &j.raw, NULL,
                "write f32 rows [positions, vocabulary], little-endian, to stdout"),
        NX_OPT("top", 0, NX_OPT_INT, &j.top, "N", "candidates shown at each position", .min = 1,
                .max = TOP_MAX),
        NX_MODEL_OPTS(m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "logits",
        .synopsis = "[-m MODEL] (-p TEXT | --prompt-ids ID,...) [--raw]",
        .about = "Show the likeliest next tokens after each token of a text, with the natural log\n"
                 "of their probability; or write all logits, for those who compare.",
        .examples = "  nexus logits -p 'The capital of France is'\n"
                    "  nexus logits -m model.gguf --prompt-ids 1,403,407 --raw > logits.f32",
        .options = opts,
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);
    if (code == NX_CLI_GO) code = nx_prompt_check(&prompt, "logits");
    if (code != NX_CLI_GO) return code;

    nx_status st = run(&j, &m, &prompt, &err);
    if (st && !nx_out_gone()) return nx_cli_fail(&err);
    return nx_out_finish();
}
