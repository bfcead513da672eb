/* cmd_search.c - `nexus search`: the passages that matter for some words, and where they stand. */
#include <string.h>

#include "cli/cited.h"

typedef struct search_opts {
    const char       *data, *collection;
    nx_instance_needs needs;
    int32_t           top_k;
    int               mode;
    float             min_score;
    bool              explain, json;
} search_opts;

static void write_question(nx_jw *w, const search_opts *o, const char *question)
{
    static const char *const modes[] = {"hybrid", "dense", "words"};

    *w = (nx_jw){.buf.max = NX_JW_MAX};
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "query", question);
    nx_jw_text(w, "collection_name", o->collection);
    nx_jw_int(w, "top_k", o->top_k);
    nx_jw_float(w, "min_score", o->min_score);
    if (o->mode) nx_jw_text(w, "search", modes[o->mode]);
    if (o->explain) nx_jw_bool(w, "explain", true);
    nx_jw_close(w, '}');
}

static nx_status print_one(const nx_json *d, size_t number, bool explain, nx_error *err)
{
    nx_buf    line = {.max = 1 << 16};
    nx_str    text = {0}, why = {0};
    double    score = 0;
    nx_status st = nx_cited_place(&line, d, -1, -1, err);

    if (!st) {
        (void)nx_json_get_number(d, "score", &score);
        (void)nx_json_get_string(d, "text", &text);
        nx_out_printf("%s[%zu] %.*s  (%.2f)\n", number > 1 ? "\n" : "", number, (int)line.len,
                      line.data, score);
        nx_cited_words(text);
        if (explain && nx_json_get_string(d, "explain", &why)) {
            nx_out_printf("  why:\n");
            nx_cited_words(why);
        }
    }
    nx_buf_free(&line);
    return st;
}

static nx_status print(nx_instance *i, const nx_json *answer, const search_opts *o, nx_error *err)
{
    const nx_json *all = nx_json_get(answer, "documents");
    const size_t   n = all && all->type == NX_JSON_ARRAY ? all->array.n : 0;
    nx_str         why = {0};
    nx_status      st = NX_OK;

    for (size_t k = 0; k < n && !st; k++)
        st = print_one(&all->array.items[k], k + 1, o->explain, err);
    if (n) return st;
    (void)nx_json_get_string(answer, "message", &why);
    if (why.len)
        nx_log_info("%.*s", (int)(why.len < 400 ? why.len : 400), why.p);
    else
        nx_log_info("nothing found in %s", o->collection);
    nx_cited_hint_if_empty(i, o->collection);
    return st;
}

static int run(const search_opts *o, const char *question)
{
    nx_instance i;
    nx_said     said = {0};
    nx_error    err;
    nx_jw       w;
    nx_status   st = nx_instance_open_for(&i, o->data, &o->needs, &err);

    if (!st) {
        write_question(&w, o, question);
        st = nx_instance_ask(&i, "POST", "/rag/search", &w, &said, &err);
    }
    if (!st && o->json) {
        nx_out_write(said.text.data, said.text.len);
        nx_out_printf("\n");
    } else if (!st) {
        st = print(&i, said.doc.root, o, &err);
    }
    nx_said_free(&said);
    nx_instance_close(&i);
    if (!st) return nx_out_finish();
    int code = nx_cli_fail(&err);
    nx_cited_hint(st, o->collection);
    return code;
}

int nx_cmd_search(int argc, char **argv)
{
    search_opts o = {
        .collection = NX_CITED_COLLECTION, .needs.m = NX_MODEL_OPTS_DEFAULT, .top_k = 5};

    const nx_opt opts[] = {
        NX_OPT_COLLECTION(o.collection),
        NX_OPT("top-k", 'k', NX_OPT_INT, &o.top_k, "N", "passages at most", .min = 1, .max = 100),
        NX_OPT("mode", 0, NX_OPT_CHOICE, &o.mode, "MODE",
               "by meaning and words together, or by one of them", .choices = "hybrid|dense|words"),
        NX_OPT("min-score", 0, NX_OPT_FLOAT, &o.min_score, "X",
               "leave out passages whose cosine is lower", .max = 1),
        NX_OPT("explain", 0, NX_OPT_FLAG, &o.explain, NULL, "say why each one was found"),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL, "print what the server says"),
        NX_OPT_EMBEDDING(o.needs.embedding),
        NX_OPT_THREADS(o.needs.m),
        NX_OPT_DATA(o.data),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "search",
        .synopsis = "WORDS [--collection NAME] [-k N] [options]",
        .about = "Find the passages of a collection's documents that matter for some words or a\n"
                 "question, best first, each with its place: file, heading or page, and bytes.",
        .examples = "  nexus search 'how long are backups kept' -k 3\n"
                    "  nexus search 'rotate certificates' --collection handbook --explain",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no words given; put them into quotes",
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    return code == NX_CLI_GO ? run(&o, args.v[0]) : code;
}
