/* cmd_pull.c - `nexus pull`: a model from the hub into the cache. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "format/hub.h"
#include "os/clock.h"

typedef struct view {
    nx_progress bar;
    bool        begun, lines; /* lines: no terminal, one line a file */
} view;

static void on_progress(void *ctx, const nx_hub_progress *p, const char *path)
{
    view *v = ctx;

    if (!v->begun) nx_progress_begin(&v->bar, "pulling", "B");
    v->begun = true;
    v->bar.base = (int64_t)p->bytes_here;
    if (path && v->lines) nx_log_info("%zu of %zu files: %s", p->files_done, p->files_total, path);
    if (p->bytes_done) nx_progress_at(&v->bar, (int64_t)p->bytes_done, (int64_t)p->bytes_total);
}

static void say_done(const nx_hub_progress *p, double seconds)
{
    char     all[32], fresh[32], rate[32];
    uint64_t came = p->bytes_done - p->bytes_here;

    nx_format_bytes(all, sizeof all, p->bytes_total);
    nx_format_bytes(fresh, sizeof fresh, came);
    nx_format_bytes(rate, sizeof rate,
                    (uint64_t)((double)came / (seconds > 1e-3 ? seconds : 1e-3)));
    if (came == 0)
        nx_log_info("%zu files, %s: all of it was here already", p->files_total, all);
    else
        nx_log_info("%zu files, %s verified; fetched %s in %.1f s, %s/s", p->files_total, all,
                    fresh, seconds, rate);
}

int nx_cmd_pull(int argc, char **argv)
{
    int32_t      jobs = 4;
    const nx_opt opts[] = {
        NX_OPT("jobs", 'j', NX_OPT_INT, &jobs, "N", "files fetched at once", .min = 1, .max = 16,
               .env = true),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "pull",
        .synopsis = "ORG/NAME[:QUANT-OR-FILE][@REVISION]",
        .about =
            "Fetch a model from the Hugging Face Hub into the cache that its own tools use\n"
            "($HF_HOME/hub), and print its path. Of GGUF files one is fetched: the one that\n"
            ":QUANT or :FILE names, else Q4_K_M. Of a safetensors repository: weights,\n"
            "configuration and tokenizer. Every byte is checked against the Hub's hashes. What\n"
            "breaks off goes on where it was with the same command. Afterwards every command\n"
            "takes the same name: nexus chat -m ORG/NAME.\n"
            "\n"
            "HF_TOKEN holds the token for gated models, HF_ENDPOINT another hub's address;\n"
            "https_proxy and no_proxy are honoured; HF_HUB_OFFLINE=1 forbids fetching.",
        .examples = "  nexus pull Qwen/Qwen3-0.6B\n"
                    "  nexus pull bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M\n"
                    "  nexus pull meta-llama/Llama-3.3-70B-Instruct@main",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no model named: ORG/NAME",
    };
    nx_hub          hub;
    nx_hub_name     name;
    nx_hub_progress total;
    nx_args         args;
    nx_error        err;
    view            v = {.lines = !nx_terminal_get()->err_redraw};
    char            path[NX_HUB_PATH_MAX];
    int             code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    if (nx_hub_name_parse(&name, args.v[0], &err)) return nx_cli_misuse("pull", "%s", err.text);
    nx_status st = nx_hub_open(&hub, &err);
    if (st) return nx_cli_fail(&err);

    nx_hub_pull_options opt = {
        .n_jobs = jobs, .cancel = &nx_cli_cancel, .on_progress = on_progress, .ctx = &v};
    int64_t start = nx_clock_ns();
    nx_cli_catch_interrupt();
    st = nx_hub_pull(path, &total, &hub, &name, &opt, &err);
    nx_cli_release_interrupt();
    if (v.begun) nx_progress_end(&v.bar);
    if (st == NX_ECANCELLED) {
        nx_log_warn("%s: the same command goes on from here", err.text);
        return NX_CLI_INTERRUPTED;
    }
    if (st) return nx_cli_fail(&err);
    say_done(&total, (double)(nx_clock_ns() - start) * 1e-9);
    nx_out_printf("%s\n", path);
    return nx_out_finish();
}
