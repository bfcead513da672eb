/* cmd_ask.c - `nexus ask`: one question to one's documents, and an answer that says where it stands. */
#include <string.h>

#include "cli/consult.h"

typedef struct ask_opts {
    const char       *data;
    nx_instance_needs needs;
    nx_consult        a;
    bool              json;
} ask_opts;

/* The whole answer at once, as the server says it. */
static nx_status ask_json(ask_opts *o, nx_error *err)
{
    nx_said said = {0};
    nx_jw   w;

    nx_consult_write(&w, &o->a, false);
    nx_status st = nx_instance_ask(o->a.i, "POST", "/llm/rag/query", &w, &said, err);
    if (!st) {
        nx_out_write(said.text.data, said.text.len);
        nx_out_printf("\n");
    }
    nx_said_free(&said);
    return st;
}

static nx_status ask(ask_opts *o, nx_error *err)
{
    if (o->json) return ask_json(o, err);
    nx_cli_catch_interrupt();
    nx_status st = nx_consult_run(&o->a, err);
    nx_cli_release_interrupt();
    if (!st) st = nx_consult_print_sources(&o->a, err);
    if (!st && o->a.mode == NX_ASK_AUTO && strcmp(o->a.used, "extract") == 0)
        nx_log_info(
            "sentences of the documents, word for word; --mode generate lets the model answer");
    return st;
}

static int run(ask_opts *o)
{
    nx_instance i;
    nx_error    err;
    nx_status   st = nx_instance_open_for(&i, o->data, &o->needs, &err);

    o->a.i = &i;
    if (!st) st = ask(o, &err);
    nx_consult_free(&o->a);
    nx_instance_close(&i);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    if (!st) return nx_out_finish();
    int code = nx_cli_fail(&err);
    nx_cited_hint(st, o->a.collection);
    return code;
}

int nx_cmd_ask(int argc, char **argv)
{
    ask_opts o = {.needs.m = NX_MODEL_OPTS_DEFAULT,
                  .a = {.collection = NX_CITED_COLLECTION, .temperature = -1}};

    const nx_opt opts[] = {
        NX_OPT_GROUP("Question"),
        NX_OPT_COLLECTION(o.a.collection),
        NX_OPT("mode", 0, NX_OPT_CHOICE, &o.a.mode, "MODE",
               "generate: a language model answers; extract: the best sentences themselves, word "
               "for word; auto: extract where only the small model is that ships",
               .choices = NX_ASK_MODES),
        NX_OPT("top-k", 'k', NX_OPT_INT, &o.a.top_k, "N",
               "passages to answer from; default: the server's", .max = 100),
        NX_OPT("show-sources", 0, NX_OPT_FLAG, &o.a.show, NULL,
               "print the words of each source, too, read back from the document"),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL, "print what the server says, at the end"),
        NX_OPT_GROUP("Answer"),
        NX_OPT("n-predict", 'n', NX_OPT_INT, &o.a.n_predict, "N",
               "new tokens at most; default: the server's", .max = 4096),
        NX_OPT("temp", 0, NX_OPT_FLOAT, &o.a.temperature, "T",
               "0 always takes the likeliest; default: the server's", .max = 2,
               .alias = "temperature"),
        NX_OPT_DATA(o.data),
        NX_OPT_EMBEDDING(o.needs.embedding),
        NX_MODEL_OPTS(o.needs.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "ask",
        .synopsis = "QUESTION [--collection NAME] [options]",
        .about =
            "Answer a question from the documents of a collection (nexus index fills it), with the\n"
            "place of each statement: file, heading or page, and bytes. Where no document tells,\n"
            "the answer says so. A running server answers with its models; where none runs, this\n"
            "command does.",
        .examples = "  nexus ask 'How long are backups kept?'\n"
                    "  nexus ask 'Who is on call?' --collection handbook --show-sources\n"
                    "  nexus ask 'Sum up the incident of May' --mode generate -m Qwen/Qwen3-4B",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no QUESTION given; put it into quotes",
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    o.a.question = args.v[0];
    o.needs.generates = o.a.mode != NX_ASK_EXTRACT;
    return run(&o);
}
