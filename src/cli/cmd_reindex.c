/* cmd_reindex.c - `nexus reindex`: a collection's documents moved to another embedding model. */
#include <string.h>

#include "cli/cited.h"
#include "cli/index_job.h"
#include "os/clock.h"

typedef struct reindex_opts {
    const char       *data, *model;
    nx_instance_needs needs;
    bool              json, quiet;
} reindex_opts;

static void write_wish(nx_jw *w, const char *collection, const char *model)
{
    *w = (nx_jw){.buf.max = 1 << 16};
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "collection", collection);
    nx_jw_text(w, "model", model);
    nx_jw_close(w, '}');
}

static int run(const reindex_opts *o, const char *collection)
{
    const int64_t start = nx_clock_ns();
    nx_instance   i;
    nx_said       said = {0};
    nx_index_news news = {0};
    nx_error      err;
    nx_jw         w;
    nx_status     st = nx_instance_open_for(&i, o->data, &o->needs, &err);

    if (!st) {
        nx_cli_catch_interrupt();
        write_wish(&w, collection, nx_instance_embedding(&i, o->model));
        st = nx_index_run(&i, "/admin/reindex", &w, o->quiet, &said, &news, &err);
        nx_cli_release_interrupt();
    }
    if (!st && o->json) {
        nx_out_write(said.text.data, said.text.len);
        nx_out_printf("\n");
    } else if (!st && !o->quiet) {
        nx_out_printf("%s: %lld chunks have vectors of %s, after %.1f s\n", collection,
                      (long long)news.embedded, o->model, (double)(nx_clock_ns() - start) * 1e-9);
    } else if (st == NX_ECANCELLED) {
        nx_log_info("stopped: %s is as it was", collection);
    }
    nx_said_free(&said);
    nx_instance_close(&i);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    if (!st) return nx_out_finish();
    int code = nx_cli_fail(&err);
    nx_cited_hint(st, collection);
    return code;
}

int nx_cmd_reindex(int argc, char **argv)
{
    reindex_opts o = {.needs.m = NX_MODEL_OPTS_DEFAULT};

    const nx_opt opts[] = {
        NX_OPT("model", 'm', NX_OPT_TEXT, &o.model, "MODEL",
               "the embedding model to move to; with a running server, one of its own"),
        NX_OPT_THREADS(o.needs.m),
        NX_OPT_DATA(o.data),
        NX_OPT("quiet", 'q', NX_OPT_FLAG, &o.quiet, NULL, "say nothing unless it fails"),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL, "print how it went as JSON"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "reindex",
        .synopsis = "COLLECTION --model MODEL",
        .about =
            "Move a collection of documents to another embedding model. New vectors are made\n"
            "beside the old ones, which serve until all are there; then they change places in one\n"
            "step. Ctrl-C leaves the collection as it was.",
        .examples = "  nexus reindex handbook --model balanced",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no COLLECTION named: nexus collection list shows them",
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    if (code == NX_CLI_GO && !o.model)
        code = nx_cli_misuse("reindex", "say --model MODEL: which one to move to");
    o.needs.embedding = o.model;
    return code == NX_CLI_GO ? run(&o, args.v[0]) : code;
}
