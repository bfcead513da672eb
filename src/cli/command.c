/* command.c - the commands there are, and the way from argv to one of them. */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const nx_command table[] = {
    {"generate", "continue a text", nx_cmd_generate},
    {"chat", "talk to a model", nx_cmd_chat},
    {"index", "put folders and files into a collection of documents", nx_cmd_index},
    {"search", "find the passages that matter for some words", nx_cmd_search},
    {"ask", "answer a question from documents, with sources", nx_cmd_ask},
    {"eval", "measure how well documents are found", nx_cmd_eval},
    {"reindex", "move a collection to another embedding model", nx_cmd_reindex},
    {"serve", "answer many people at once, over HTTP", nx_cmd_serve},
    {"ps", "list what the running server does", nx_cmd_ps},
    {"stop", "stop the running server", nx_cmd_stop},
    {"tokenize", "print the token ids of a text", nx_cmd_tokenize},
    {"detokenize", "print the text of token ids", nx_cmd_detokenize},
    {"template", "print what a chat template makes of messages", nx_cmd_template},
    {"embed", "print what texts mean, as vectors", nx_cmd_embed},
    {"rerank", "put passages in the order in which they answer", nx_cmd_rerank},
    {"info", "say what a model file holds and what it takes to run", nx_cmd_info},
    {"logits", "show what a model thinks comes next, at every position", nx_cmd_logits},
    {"bench", "time a model, or random weights of a real shape", nx_cmd_bench},
    {"quantize", "write a model in fewer bits", nx_cmd_quantize},
    {"perplexity", "measure how much a text surprises a model", nx_cmd_perplexity},
    {"compare", "measure what a smaller checkpoint costs", nx_cmd_compare},
    {"pull", "fetch a model from the Hugging Face Hub", nx_cmd_pull},
    {"list", "list the models on this machine", nx_cmd_list},
    {"rm", "remove a fetched model", nx_cmd_rm},
    {"collection", "look after collections of points", nx_cmd_collection},
    {"backup", "write a whole instance into one file", nx_cmd_backup},
    {"restore", "make a data folder from such a file", nx_cmd_restore},
    {"key", "make, list and revoke the keys of the server", nx_cmd_key},
    {"help", "explain a command", nx_cmd_help},
    {NULL, NULL, NULL},
};

const nx_command *nx_commands(void)
{
    return table;
}

static const nx_command *find(const char *name)
{
    for (const nx_command *c = table; c->name; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *words[sizeof table / sizeof *table];
    size_t      n = 0;

    for (const nx_command *c = table; c->name; c++) words[n++] = c->name;
    words[n] = NULL;
    const char *near = nx_opt_nearest(name, words);
    if (near) return nx_cli_misuse(NULL, "unknown command '%s'; did you mean '%s'?", name, near);
    return nx_cli_misuse(NULL, "unknown command '%s'", name);
}

static int overview(void)
{
    nx_out_printf("nexus %s - language models on your own machine\n\n"
                  "Usage: nexus COMMAND [options]\n\nCommands:\n",
                  NX_VERSION);
    for (const nx_command *c = table; c->name; c++)
        nx_out_printf("  %-12s %s\n", c->name, c->summary);
    nx_out_printf("\nExamples:\n"
                  "  nexus chat                            talk to the model that ships\n"
                  "  nexus index ~/papers && nexus ask 'Who signed the lease?'\n"
                  "  nexus generate -m model.gguf -p 'Once upon a time' -n 100\n"
                  "  nexus help generate                   what a command can do\n\n"
                  "Without -m, or NEXUS_MODEL, the model that ships with nexus answers.\n"
                  "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.\n");
    return nx_out_finish();
}

int nx_cmd_help(int argc, char **argv)
{
    char help[] = "--help";

    if (argc < 2 || argv[1][0] == '-') return overview();
    const nx_command *c = find(argv[1]);
    if (!c) return unknown_command(argv[1]);
    if (c->run == nx_cmd_help) return overview();
    char *words[] = {argv[1], help, NULL};
    return c->run(2, words);
}

/* A closed descriptor would be given to the next file opened: results would be written into it.
 * Hold the place, with something that can't be read, or written, in its stead. */
static void hold_descriptors(bool *stdout_closed)
{
    *stdout_closed = fcntl(1, F_GETFD) < 0;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 1 ? O_RDONLY : O_RDWR) < 0) return;
}

int nx_cli_main(int argc, char **argv)
{
    bool         version = false, stdout_closed;
    const nx_opt opts[] = {
        NX_OPT("version", 'V', NX_OPT_FLAG, &version, NULL, "say which nexus this is"),
        NX_OPT_END,
    };
    const nx_usage usage = {.synopsis = "COMMAND [options]", .options = opts};
    nx_args        args;
    int            code;

    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is a failed write, not a death */
    signal(SIGXFSZ, SIG_IGN); /* so is a file that may grow no more (ulimit -f) */
    hold_descriptors(&stdout_closed);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return overview();
    code = nx_opt_parse_leading(&usage, &args, argc, argv);
    if (code != NX_CLI_GO) return code;
    if (stdout_closed) {
        nx_log_error("stdout is closed: there is nowhere to put the answer");
        return NX_CLI_FAILED;
    }
    if (version) {
        nx_out_printf("nexus %s\n", NX_VERSION);
        return nx_out_finish();
    }
    if (args.n == 0) return nx_cli_misuse(NULL, "no command given");
    const nx_command *c = find(args.v[0]);
    return c ? c->run(args.n, args.v) : unknown_command(args.v[0]);
}
