/* cmd_index.c - `nexus index`: folders, files and pages put into a collection, and kept there as they are. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cited.h"
#include "cli/index_job.h"
#include "os/clock.h"

#define LOOK_EVERY_S 2 /* of --watch */

typedef struct index_opts {
    const char       *data, *collection;
    nx_instance_needs needs;
    nx_texts          exclude, tags, metadata, hosts;
    int32_t           size, overlap;
    bool              watch, json, hidden, keep_gone, quiet;
} index_opts;

/* ---- The wish, as JSON ---- */

static bool is_url(const char *path)
{
    return strncmp(path, "http://", 7) == 0 || strncmp(path, "https://", 8) == 0;
}

static nx_status write_paths(nx_jw *w, const nx_args *args, nx_error *err)
{
    char path[4096];

    nx_jw_open(w, "paths", '[');
    for (int k = 0; k < args->n; k++) {
        nx_status st = NX_OK;
        if (is_url(args->v[k])) {
            nx_jw_text(w, NULL, args->v[k]);
            continue;
        }
        if (access(args->v[k], R_OK))
            return nx_fail(err, NX_ENOENT, "%s: no such file or folder, or not readable",
                           args->v[k]);
        st = nx_absolute_path(path, sizeof path, args->v[k], err);
        if (st) return st;
        nx_jw_text(w, NULL, path);
    }
    nx_jw_close(w, ']');
    return NX_OK;
}

static void write_texts(nx_jw *w, const char *key, const nx_texts *t)
{
    if (!t->n) return;
    nx_jw_open(w, key, '[');
    for (size_t k = 0; k < t->n; k++) nx_jw_string(w, NULL, t->v[k]);
    nx_jw_close(w, ']');
}

/* KEY=VALUE: a text. NX_EINVAL. */
static nx_status write_metadata(nx_jw *w, const nx_texts *t, nx_error *err)
{
    if (!t->n) return NX_OK;
    nx_jw_open(w, "metadata", '{');
    for (size_t k = 0; k < t->n; k++) {
        const char *eq = memchr(t->v[k].p, '=', t->v[k].len);
        if (!eq || eq == t->v[k].p)
            return nx_fail(err, NX_EINVAL, "--metadata %s: expected KEY=VALUE", t->v[k].p);
        nx_jw_key(w, (nx_str){t->v[k].p, (size_t)(eq - t->v[k].p)});
        nx_jw_text(w, NULL, eq + 1);
    }
    nx_jw_close(w, '}');
    return NX_OK;
}

/* model: of a collection that is made; NULL: the first there is. */
static nx_status write_wish(nx_jw *w, const index_opts *o, const nx_args *args, const char *model,
                            nx_error *err)
{
    *w = (nx_jw){.buf.max = (size_t)16 << 20};
    nx_jw_open(w, NULL, '{');
    nx_status st = write_paths(w, args, err);
    if (st) return st;
    nx_jw_text(w, "collection", o->collection);
    if (model) nx_jw_text(w, "model", model);
    write_texts(w, "exclude", &o->exclude);
    write_texts(w, "tags", &o->tags);
    write_texts(w, "allow_hosts", &o->hosts);
    st = write_metadata(w, &o->metadata, err);
    if (st) return st;
    if (o->size) nx_jw_int(w, "chunk_size", o->size);
    if (o->size) nx_jw_int(w, "chunk_overlap", o->overlap);
    if (o->hidden) nx_jw_bool(w, "hidden", true);
    if (o->keep_gone) nx_jw_bool(w, "keep_gone", true);
    nx_jw_close(w, '}');
    return NX_OK;
}

/* ---- One round, and the next ones ---- */

static nx_status round_of(nx_instance *i, const index_opts *o, const nx_args *args, bool quiet,
                          nx_said *said, nx_index_news *news, nx_error *err)
{
    nx_jw     w;
    nx_status st = write_wish(&w, o, args, nx_instance_embedding(i, o->needs.embedding), err);

    *said = (nx_said){0};
    if (!st) return nx_index_run(i, "/admin/index", &w, quiet, said, news, err);
    nx_buf_free(&w.buf);
    return st;
}

static nx_status index_once(nx_instance *i, const index_opts *o, const nx_args *args, nx_error *err)
{
    const int64_t start = nx_clock_ns();
    nx_said       said;
    nx_index_news news = {0};
    nx_status     st = round_of(i, o, args, o->quiet, &said, &news, err);
    const double  seconds = (double)(nx_clock_ns() - start) * 1e-9;

    if (!st && o->json) {
        nx_out_write(said.text.data, said.text.len);
        nx_out_printf("\n");
    } else if (!st && !o->quiet) {
        nx_index_summary(said.doc.root, &news, seconds);
    } else if (st == NX_ECANCELLED || (st && news.found)) {
        nx_log_info(
            "stopped after %lld of %lld files; what is done stays. The same command goes on "
            "where it was",
            (long long)news.looked_at, (long long)news.found);
    }
    nx_said_free(&said);
    nx_out_flush();
    return st;
}

static void tell_changes(const nx_index_news *n)
{
    if (n->added + n->changed + n->removed == 0) return;
    nx_log_info("%lld new, %lld changed, %lld gone; %lld chunks are new", (long long)n->added,
                (long long)n->changed, (long long)n->removed, (long long)n->chunks_new);
}

/* Until Ctrl-C. A round over what didn't change costs a look at each file's size and time. */
static nx_status keep_watch(nx_instance *i, const index_opts *o, const nx_args *args, nx_error *err)
{
    nx_said       said;
    nx_index_news news;
    nx_status     st = NX_OK;

    nx_log_info("watching: every %d s; Ctrl-C ends it", LOOK_EVERY_S);
    while (!st && !atomic_load(&nx_cli_cancel)) {
        for (int k = 0; k < LOOK_EVERY_S * 10 && !atomic_load(&nx_cli_cancel); k++)
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        if (atomic_load(&nx_cli_cancel)) break;
        st = round_of(i, o, args, true, &said, &news, err);
        if (!st) tell_changes(&news);
        nx_said_free(&said);
    }
    return st == NX_ECANCELLED ? NX_OK : st;
}

static int run(const index_opts *o, const nx_args *args)
{
    nx_instance i;
    nx_error    err;
    nx_jw       probe;

    nx_status st =
        write_wish(&probe, o, args, NULL, &err); /* what is wrong is told before anything starts */
    nx_buf_free(&probe.buf);
    if (st == NX_EINVAL) return nx_cli_misuse("index", "%s", err.text);
    if (st) return nx_cli_fail(&err);
    st = nx_instance_open_for(&i, o->data, &o->needs, &err);
    if (st) {
        nx_instance_close(&i);
        return nx_cli_fail(&err);
    }
    nx_cli_catch_interrupt();
    st = index_once(&i, o, args, &err);
    if (!st && o->watch) st = keep_watch(&i, o, args, &err);
    nx_cli_release_interrupt();
    nx_instance_close(&i);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    return st ? nx_cli_fail(&err) : nx_out_finish();
}

int nx_cmd_index(int argc, char **argv)
{
    index_opts o = {.collection = NX_CITED_COLLECTION, .needs.m = NX_MODEL_OPTS_DEFAULT};

    const nx_opt opts[] = {
        NX_OPT_GROUP("What, and where to"),
        NX_OPT_COLLECTION(o.collection),
        NX_OPT("exclude", 'x', NX_OPT_LIST, &o.exclude, "PATTERN",
               "leave out names that match, as *.log or node_modules (can be repeated)"),
        NX_OPT("hidden", 0, NX_OPT_FLAG, &o.hidden, NULL, "take names that begin with a dot, too"),
        NX_OPT("allow-url", 0, NX_OPT_LIST, &o.hosts, "HOST",
               "fetch addresses of this host when they are given as PATH (can be repeated)"),
        NX_OPT("keep-gone", 0, NX_OPT_FLAG, &o.keep_gone, NULL,
               "keep documents whose file is gone"),
        NX_OPT("watch", 'w', NX_OPT_FLAG, &o.watch, NULL,
               "stay, look every two seconds, and follow what changes"),
        NX_OPT_GROUP("What is known about them"),
        NX_OPT("tag", 0, NX_OPT_LIST, &o.tags, "TAG",
               "only keys with this access tag find them (can be repeated)"),
        NX_OPT("metadata", 0, NX_OPT_LIST, &o.metadata, "KEY=VALUE",
               "kept with each document and given with its passages (can be repeated)"),
        NX_OPT_GROUP("Chunks"),
        NX_OPT("chunk-size", 0, NX_OPT_INT, &o.size, "N",
               "tokens of a chunk, at most what the model takes; default: 200", .min = 16,
               .max = 1 << 16),
        NX_OPT("overlap", 0, NX_OPT_INT, &o.overlap, "N",
               "tokens that a chunk shares with the one before, with --chunk-size", .max = 1 << 16),
        NX_OPT_GROUP("Running"),
        NX_OPT_EMBEDDING(o.needs.embedding),
        NX_OPT_THREADS(o.needs.m),
        NX_OPT_DATA(o.data),
        NX_OPT("quiet", 'q', NX_OPT_FLAG, &o.quiet, NULL, "say nothing unless it fails"),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL, "print the summary as JSON"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "index",
        .synopsis = "PATH... [--collection NAME] [--watch] [options]",
        .about =
            "Put folders and files into a collection of documents: text, Markdown, HTML, source\n"
            "code, CSV, JSON, manual pages, e-mail, Word, PowerPoint, Excel, ODT, EPUB, PDF. Run again,\n"
            "it reads only what changed, and what is gone goes. Words find a document at once,\n"
            "meaning when its vectors are made. A running server does the work; where none runs,\n"
            "this command does.",
        .examples = "  nexus index ~/papers\n"
                    "  nexus index docs README.md --collection handbook --exclude '*.log' --watch\n"
                    "  nexus index https://example.org/manual.html --allow-url example.org",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 10000,
        .args_missing = "no PATH given",
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    if (code == NX_CLI_GO && o.overlap && (!o.size || o.overlap >= o.size))
        code = nx_cli_misuse("index", "--overlap %d: expected less than --chunk-size", o.overlap);
    if (code == NX_CLI_GO) code = run(&o, &args);
    nx_texts_free(&o.exclude);
    nx_texts_free(&o.tags);
    nx_texts_free(&o.metadata);
    nx_texts_free(&o.hosts);
    return code;
}
