/* cmd_generate.c - a prompt in, an answer out: as a stream for people, as one object for programs.
 *
 * Owns:    model, timeline and sampler for one answer.
 * Idea:    what arrives while the answer is made goes to a `report`: text is streamed or kept,
 *          steps are kept when their log-probabilities were asked for.
 */
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "os/clock.h"

#define LOGPROBS_MAX 1024

typedef struct generate_opts {
    nx_model_opts m;
    nx_prompt     prompt;
    nx_sampling   s;
    int32_t       n_logprobs; /* -1: none wanted */
    bool          json;
} generate_opts;

/* What is known of the answer so far. */
typedef struct report {
    const generate_opts *o;
    int64_t              start_ns, first_ns; /* of the command, of the first token; 0: none yet */
    nx_progress          progress;
    nx_ids               ids;
    nx_buf               text;    /* kept for --json */
    char                 last;    /* last byte shown, 0 at the beginning */
    float               *logprob; /* [n_steps_cap] of the chosen tokens */
    nx_logprob          *top;     /* [n_steps_cap, n_top] */
    int32_t              n_top;
    size_t               n_steps_cap;
    nx_status            st; /* the first failure of a callback */
    nx_error             err;
} report;

/* ---- While the answer is made ---- */

static void on_prefill(void *ctx, int64_t done, int64_t total)
{
    report *r = ctx;

    nx_progress_at(&r->progress, done, total);
}

static int on_text(void *ctx, const char *text, size_t len)
{
    report *r = ctx;

    if (len == 0) return 0;
    r->last = text[len - 1];
    if (r->o->json) {
        r->st = nx_buf_add(&r->text, text, len, &r->err);
        return r->st != NX_OK;
    }
    nx_out_write(text, len);
    return nx_out_flush() != NX_OK;
}

static nx_status room_for_step(report *r)
{
    if (r->ids.n < r->n_steps_cap) return NX_OK;
    size_t      cap = r->n_steps_cap ? 2 * r->n_steps_cap : 256;
    float      *logprob = nx_realloc(r->logprob, cap, sizeof *logprob);
    nx_logprob *top;

    if (logprob) r->logprob = logprob;
    top = logprob ? nx_realloc(r->top, cap, sizeof *top * (size_t)(r->n_top ? r->n_top : 1)) : NULL;
    if (!top) return nx_fail(&r->err, NX_ENOMEM, "log-probabilities of %zu tokens", cap);
    r->top = top;
    r->n_steps_cap = cap;
    return NX_OK;
}

static void on_step(void *ctx, const nx_step *step)
{
    report *r = ctx;

    if (r->first_ns == 0) {
        r->first_ns = nx_clock_ns();
        nx_progress_end(&r->progress);
    }
    if (r->st || !r->o->json) return;
    if (r->o->n_logprobs >= 0) {
        r->st = room_for_step(r);
        if (r->st) return;
        nx_logprobs(r->top + r->ids.n * (size_t)r->n_top, r->n_top, &r->logprob[r->ids.n], step->id,
                    step->logits, step->n_vocab);
    }
    r->st = nx_ids_add(&r->ids, step->id, &r->err);
}

/* ---- When it is made ---- */

static const char *finish_name(nx_finish f)
{
    return f == NX_FINISH_STOP ? "stop" : f == NX_FINISH_LENGTH ? "length" : "cancelled";
}

static void add_steps(nx_jw *w, const report *r)
{
    nx_jw_open(w, "steps", '[');
    for (size_t i = 0; i < r->ids.n; i++) {
        const nx_logprob *top = r->top + i * (size_t)r->n_top;

        nx_jw_open(w, NULL, '{');
        nx_jw_int(w, "id", r->ids.ids[i]);
        nx_jw_number(w, "logprob", (double)r->logprob[i], 7);
        nx_jw_open(w, "top", '[');
        for (int32_t k = 0; k < r->n_top; k++) {
            nx_jw_open(w, NULL, '[');
            nx_jw_int(w, NULL, top[k].id);
            nx_jw_number(w, NULL, (double)top[k].logprob, 7);
            nx_jw_close(w, ']');
        }
        nx_jw_close(w, ']');
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
}

static double seconds(int64_t from_ns, int64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

static void add_timings(nx_jw *w, const report *r, const nx_generation *g)
{
    nx_jw_open(w, "timings", '{');
    nx_jw_number(w, "prompt_s", g->prefill_s, 6);
    nx_jw_number(w, "prompt_tok_per_s", g->prefill_s > 0 ? g->n_prompt / g->prefill_s : 0, 6);
    nx_jw_number(w, "first_token_s", seconds(r->start_ns, r->first_ns), 6);
    nx_jw_number(w, "decode_s", g->decode_s, 6);
    nx_jw_number(w, "decode_tok_per_s",
                 g->n_new > 1 && g->decode_s > 0 ? (g->n_new - 1) / g->decode_s : 0, 6);
    nx_jw_close(w, '}');
}

static int print_json(const report *r, const nx_generation *g, const nx_ids *prompt)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_ids(&w, "prompt_tokens", prompt->ids, prompt->n);
    nx_jw_ids(&w, "tokens", r->ids.ids, r->ids.n);
    nx_jw_string(&w, "text", (nx_str){r->text.data, r->text.len});
    nx_jw_text(&w, "finish_reason", finish_name(g->finish));
    if (r->o->n_logprobs >= 0) add_steps(&w, r);
    add_timings(&w, r, g);
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

static int finish(report *r, const nx_generation *g, const nx_ids *prompt)
{
    int code;

    nx_progress_end(&r->progress);
    if (r->st) return nx_cli_fail(&r->err);
    if (r->o->json) {
        code = print_json(r, g, prompt);
    } else {
        if (nx_terminal_get()->out && r->last && r->last != '\n') nx_out_write("\n", 1);
        code = nx_out_finish();
    }
    if (code != NX_CLI_DONE) return code;
    nx_sampling_figures(NX_LOG_INFO, g, seconds(r->start_ns, r->first_ns), r->o->s.opt.seed);
    return g->finish == NX_FINISH_CANCELLED ? NX_CLI_INTERRUPTED : NX_CLI_DONE;
}

/* ---- The command ---- */

static nx_status answer(report *r, nx_generation *g, nx_timeline *tl, const nx_ids *prompt,
                        nx_error *err)
{
    nx_status st;

    nx_progress_begin(&r->progress, "reading the prompt", "tokens");
    g->on_text = on_text;
    g->on_step = on_step;
    g->on_prefill = on_prefill;
    g->ctx = r;
    g->cancel = &nx_cli_cancel;
    st = nx_generate_run(g, tl, prompt->ids, prompt->n, err);
    if (st) nx_progress_end(&r->progress);
    return st;
}

static int run(generate_opts *o, int64_t start_ns)
{
    report        r = {.o = o, .start_ns = start_ns, .text.max = NX_JW_MAX, .n_top = o->n_logprobs};
    nx_llm       *llm = NULL;
    nx_timeline  *tl = NULL;
    nx_sampler   *sampler = NULL;
    nx_ids        prompt = {0};
    nx_error      err;
    int           code;
    nx_generation g = {.n_predict = o->s.n_predict,
                       .stop = o->s.stop.v,
                       .n_stop = o->s.stop.n,
                       .ignore_end = o->s.ignore_end};
    nx_status     st = nx_open_llm(&llm, &o->m, &err);

    if (!st) {
        const int32_t n_vocab = llm->model->hp.n_vocab;

        if (r.n_top > n_vocab) r.n_top = n_vocab;
        if (r.n_top < 0) r.n_top = 0;
        st = nx_prompt_ids(&prompt, &o->prompt, llm->vocab, n_vocab, &err);
        if (!st) st = nx_sampling_open(&sampler, &o->s, n_vocab, &err);
    }
    if (!st && !llm->vocab && !o->json)
        nx_log_warn("the model has no vocabulary, so there is no text; --json shows the ids");
    nx_cli_catch_interrupt();
    if (!st) st = nx_open_timeline(&tl, llm, &o->m, &err);
    g.sampler = sampler;
    if (!st) st = answer(&r, &g, tl, &prompt, &err);
    code = st ? nx_cli_fail(&err) : finish(&r, &g, &prompt);
    nx_cli_release_interrupt();
    nx_free(r.logprob);
    nx_free(r.top);
    nx_ids_free(&r.ids);
    nx_buf_free(&r.text);
    nx_ids_free(&prompt);
    nx_sampler_destroy(sampler);
    nx_timeline_destroy(tl);
    nx_llm_close(llm);
    return code;
}

int nx_cmd_generate(int argc, char **argv)
{
    const int64_t start_ns = nx_clock_ns();
    generate_opts o = {.m = NX_MODEL_OPTS_DEFAULT, .n_logprobs = -1};
    nx_args       args;
    int           code;

    nx_sampling_default(&o.s);
    const nx_opt opts[] = {
        NX_OPT_GROUP("Prompt"),
        NX_PROMPT_OPTS(o.prompt),
        NX_SAMPLING_OPTS(o.s),
        NX_OPT_GROUP("Output"),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL,
               "print one object at the end: prompt_tokens, tokens, text, finish_reason, timings"),
        NX_OPT("logprobs", 0, NX_OPT_INT, &o.n_logprobs, "N",
               "with --json, add steps: each token's log-probability before sampling and the N "
               "likeliest; default: none",
               .max = LOGPROBS_MAX),
        NX_MODEL_OPTS(o.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "generate",
        .synopsis = "[-m MODEL] -p PROMPT [options]",
        .about = "Continue a text. The answer goes to stdout as it comes, figures to stderr.\n"
                 "Ctrl-C ends it early, with exit code 130 and, in JSON, the finish_reason\n"
                 "\"cancelled\"; else that is \"stop\" or \"length\".",
        .examples = "  nexus generate -p 'Once upon a time'\n"
                    "  nexus generate -m model.gguf -p - --temp 0 -n 64 < question.txt\n"
                    "  nexus generate -p 'Once' --json --logprobs 5 --seed 42",
        .options = opts,
    };

    code = nx_opt_parse(&usage, &args, argc, argv);
    if (code == NX_CLI_GO) code = nx_prompt_check(&o.prompt, "generate");
    if (code == NX_CLI_GO) code = nx_sampling_check(&o.s, "generate");
    if (code == NX_CLI_GO && o.n_logprobs >= 0 && !o.json)
        code = nx_cli_misuse("generate", "--logprobs needs --json: there is no place for it in "
                                         "the text");
    if (code == NX_CLI_GO) code = run(&o, start_ns);
    nx_sampling_free(&o.s);
    return code;
}
