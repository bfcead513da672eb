/* cmd_rm.c - `nexus rm`: a fetched model leaves the machine. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/own_models.h"

static bool agreed(const char *what)
{
    char line[16] = "";

    dprintf(2, "Remove %s? [y/N] ", what);
    if (!fgets(line, sizeof line, stdin)) return false;
    return line[0] == 'y' || line[0] == 'Y';
}

int nx_cmd_rm(int argc, char **argv)
{
    bool         yes = false;
    const nx_opt opts[] = {
        NX_OPT("yes", 'y', NX_OPT_FLAG, &yes, NULL, "don't ask"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "rm",
        .synopsis = "[--yes] NAME[:QUANT-OR-FILE][@REVISION]",
        .about = "Remove a fetched model from the cache: all of it, one revision, or one GGUF\n"
                 "file. Bytes that another revision uses stay. On a terminal it asks first.",
        .examples = "  nexus rm Qwen/Qwen3-0.6B\n"
                    "  nexus rm bartowski/Llama-3.2-1B-Instruct-GGUF:Q8_0",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no model named: nexus list shows them",
    };
    nx_hub      hub;
    nx_hub_name name;
    nx_args     args;
    nx_error    err;
    uint64_t    freed = 0;
    char        bytes[32];
    int         code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    if (!yes && nx_terminal_get()->in && !agreed(args.v[0])) return NX_CLI_FAILED;
    nx_status st = nx_own_model_remove(args.v[0], &freed, &err);
    if (st == NX_ENOENT) {
        if (nx_hub_name_parse(&name, args.v[0], &err)) return nx_cli_misuse("rm", "%s", err.text);
        st = nx_hub_open(&hub, &err);
        if (!st) st = nx_hub_remove(&hub, &name, !strchr(args.v[0], '@'), &freed, &err);
    }
    if (st) return nx_cli_fail(&err);
    nx_format_bytes(bytes, sizeof bytes, freed);
    nx_log_info("removed %s: %s freed", args.v[0], bytes);
    return NX_CLI_DONE;
}
