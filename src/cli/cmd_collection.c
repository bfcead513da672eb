/* cmd_collection.c - `nexus collection`: collections of points listed, made, moved, from the shell. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/point_lines.h"
#include "os/file.h"

typedef struct collection_opts {
    const char *data, *config, *from, *api_key, *start;
    int32_t     dim;
    int         distance;
    uint64_t    skip;
    bool        codes, replace, yes, json;
} collection_opts;

/* One action's work on an open instance: an exit code. */
typedef struct action {
    const char *name;
    int         n_min, n_max; /* arguments behind the action's name */
    const char *missing;
    int (*run)(nx_instance *i, const collection_opts *o, char **v, int n);
} action;

/* ---- What there is ---- */

static const char *text_of(char *out, size_t cap, const nx_json *v, const char *otherwise)
{
    nx_str s = v && v->type == NX_JSON_STRING ? v->text : nx_str_of(otherwise);

    snprintf(out, cap, "%.*s", (int)(s.len < cap - 1 ? s.len : cap - 1), s.p);
    return out;
}

/* "384 Cosine", or "dense: 384 Cosine, words: sparse". */
static void vectors_text(char *out, size_t cap, const nx_json *params)
{
    const nx_json *vectors = nx_json_get(params, "vectors");
    const nx_json *sparse = nx_json_get(params, "sparse_vectors");
    int64_t        size;
    char           distance[24];
    size_t         at = 0;

    out[0] = '\0';
    if (nx_json_get_int(vectors, "size", &size)) {
        snprintf(out, cap, "%lld %s", (long long)size,
                 text_of(distance, sizeof distance, nx_json_get(vectors, "distance"), ""));
        vectors = NULL;
        at = strlen(out);
    }
    for (int k = 0; k < 2; k++) {
        const nx_json *named = k ? sparse : vectors;
        for (size_t j = 0; named && named->type == NX_JSON_OBJECT && j < named->object.n; j++) {
            const nx_json_member *m = &named->object.members[j];
            const char           *comma = at ? ", " : "";
            char                  what[48] = "sparse";
            if (nx_json_get_int(&m->value, "size", &size))
                snprintf(
                    what, sizeof what, "%lld %s", (long long)size,
                    text_of(distance, sizeof distance, nx_json_get(&m->value, "distance"), ""));
            at += (size_t)snprintf(out + at, cap - at, "%s%.*s: %s", comma,
                                   (int)(m->key.len < 40 ? m->key.len : 40), m->key.p, what);
            if (at >= cap) return;
        }
    }
}

static nx_status get_info(nx_instance *i, const char *name, nx_said *said, nx_error *err)
{
    nx_buf    path = {.max = 8192};
    nx_status st = nx_collection_url(&path, name, "", err);

    *said = (nx_said){0};
    if (!st) st = nx_instance_ask(i, "GET", path.data, NULL, said, err);
    nx_buf_free(&path);
    return st;
}

static void list_one(nx_instance *i, const char *name, nx_jw *w)
{
    nx_said  said;
    nx_error err;
    int64_t  points = 0;
    char     vectors[160], state[24] = "quarantined";

    if (get_info(i, name, &said, &err)) {
        snprintf(vectors, sizeof vectors, "%.150s", err.text);
    } else {
        (void)nx_json_get_int(said.result, "points_count", &points);
        text_of(state, sizeof state, nx_json_get(said.result, "status"), "");
        vectors_text(vectors, sizeof vectors,
                     nx_json_get(nx_json_get(said.result, "config"), "params"));
    }
    nx_said_free(&said);
    if (!w) {
        nx_out_printf("%-30s  %-11s  %12lld  %s\n", name, state, (long long)points, vectors);
        return;
    }
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "name", name);
    nx_jw_text(w, "status", state);
    nx_jw_int(w, "points", points);
    nx_jw_text(w, "vectors", vectors);
    nx_jw_close(w, '}');
}

static int list(nx_instance *i, const collection_opts *o, char **v, int n)
{
    nx_said  said;
    nx_error err;
    nx_jw    w = {.buf.max = NX_JW_MAX};
    char     name[256];

    (void)v;
    (void)n;
    nx_status      st = nx_instance_ask(i, "GET", "/collections", NULL, &said, &err);
    const nx_json *all = st ? NULL : nx_json_get(said.result, "collections");
    size_t         count = all && all->type == NX_JSON_ARRAY ? all->array.n : 0;
    nx_jw_open(&w, NULL, '[');
    if (count && !o->json)
        nx_out_printf("%-30s  %-11s  %12s  %s\n", "NAME", "STATUS", "POINTS", "VECTORS");
    for (size_t k = 0; k < count; k++)
        list_one(i, text_of(name, sizeof name, nx_json_get(&all->array.items[k], "name"), ""),
                 o->json ? &w : NULL);
    nx_jw_close(&w, ']');
    nx_said_free(&said);
    if (st || !o->json) nx_buf_free(&w.buf);
    if (st) return nx_cli_fail(&err);
    if (o->json) return nx_jw_finish(&w);
    if (!count) nx_log_info("no collections yet: nexus collection create NAME --dim 384");
    return nx_out_finish();
}

/* The server's own words, laid out as they came. */
static int info(nx_instance *i, const collection_opts *o, char **v, int n)
{
    nx_said  said;
    nx_error err;
    int64_t  points = 0, segments = 0;
    char     vectors[400], state[24];

    (void)n;
    nx_status st = get_info(i, v[0], &said, &err);
    if (!st && o->json) {
        nx_out_write(said.text.data, said.text.len);
        nx_out_printf("\n");
    } else if (!st) {
        const nx_json *schema = nx_json_get(said.result, "payload_schema");
        (void)nx_json_get_int(said.result, "points_count", &points);
        (void)nx_json_get_int(said.result, "segments_count", &segments);
        vectors_text(vectors, sizeof vectors,
                     nx_json_get(nx_json_get(said.result, "config"), "params"));
        nx_out_printf("name      %s\nstatus    %s\npoints    %lld\nsegments  %lld\nvectors   %s\n",
                      v[0], text_of(state, sizeof state, nx_json_get(said.result, "status"), ""),
                      (long long)points, (long long)segments, vectors);
        for (size_t k = 0; schema && schema->type == NX_JSON_OBJECT && k < schema->object.n; k++)
            nx_out_printf("%s%.*s: %s\n", k ? "          " : "indexes   ",
                          (int)schema->object.members[k].key.len, schema->object.members[k].key.p,
                          text_of(state, sizeof state,
                                  nx_json_get(&schema->object.members[k].value, "data_type"), "?"));
    }
    nx_said_free(&said);
    return st ? nx_cli_fail(&err) : nx_out_finish();
}

/* ---- Made and dropped ---- */

static nx_status creation(nx_jw *w, const collection_opts *o, nx_error *err)
{
    static const char *const distances[] = {"Cosine", "Dot", "Euclid", "Manhattan"};

    *w = (nx_jw){.buf.max = NX_JW_MAX};
    if (o->config)
        return strcmp(o->config, "-") == 0 ? nx_read_text(&w->buf, "-", err)
                                           : nx_file_read_all(&w->buf, o->config, err);
    nx_jw_open(w, NULL, '{');
    nx_jw_open(w, "vectors", '{');
    if (o->dim) nx_jw_int(w, "size", o->dim);
    if (o->dim) nx_jw_text(w, "distance", distances[o->distance]);
    nx_jw_close(w, '}');
    if (o->codes) nx_jw_raw(w, "quantization_config", NX_STR("{\"scalar\": {\"type\": \"int8\"}}"));
    nx_jw_close(w, '}');
    return NX_OK;
}

static int create(nx_instance *i, const collection_opts *o, char **v, int n)
{
    nx_buf   path = {.max = 8192};
    nx_said  said = {0};
    nx_error err;
    nx_jw    w;

    (void)n;
    if (!o->config && !o->dim)
        return nx_cli_misuse("collection", "say --dim N, as the model's vectors have, or --config");
    nx_status st = creation(&w, o, &err);
    if (!st) st = nx_collection_url(&path, v[0], "", &err);
    if (st)
        nx_buf_free(&w.buf);
    else
        st = nx_instance_ask(i, "PUT", path.data, &w, &said, &err);
    nx_said_free(&said);
    nx_buf_free(&path);
    if (st) return nx_cli_fail(&err);
    nx_log_info("made %s", v[0]);
    return NX_CLI_DONE;
}

static bool agreed(const char *name)
{
    char line[16] = "";

    dprintf(2, "Drop %s with all its points? [y/N] ", name);
    if (!fgets(line, sizeof line, stdin)) return false;
    return line[0] == 'y' || line[0] == 'Y';
}

static int drop(nx_instance *i, const collection_opts *o, char **v, int n)
{
    nx_buf   path = {.max = 8192};
    nx_said  said = {0};
    nx_error err;
    bool     was = false;

    (void)n;
    if (!o->yes && nx_terminal_get()->in && !agreed(v[0])) return NX_CLI_FAILED;
    nx_status st = nx_collection_url(&path, v[0], "", &err);
    if (!st) st = nx_instance_ask(i, "DELETE", path.data, NULL, &said, &err);
    was = said.result && said.result->type == NX_JSON_BOOL && said.result->boolean;
    nx_said_free(&said);
    nx_buf_free(&path);
    if (!st && !was) st = nx_fail(&err, NX_ENOENT, "Collection `%.200s` doesn't exist!", v[0]);
    if (st) return nx_cli_fail(&err);
    nx_log_info("dropped %s", v[0]);
    return NX_CLI_DONE;
}

/* ---- As one file ---- */

/* What takes long, on a collection and (path not NULL) a file. */
static nx_status copy(nx_instance *i, const char *label, const char *route, const char *name,
                      const char *path, bool replace, nx_said *said, nx_error *err)
{
    nx_jw w = {.buf.max = 1 << 16};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "collection", name);
    if (path) nx_jw_text(&w, "path", path);
    if (replace) nx_jw_bool(&w, "replace", true);
    nx_jw_close(&w, '}');
    return nx_instance_copy(i, label, route, &w, said, err);
}

static int snapshot(nx_instance *i, const collection_opts *o, char **v, int n)
{
    char     given[300], path[4096], bytes[32], sha[72];
    nx_said  said = {0};
    nx_error err;
    int64_t  n_bytes = 0, points = 0;

    snprintf(given, sizeof given, "%.250s.snapshot", v[0]);
    for (char *p = given; *p; p++)
        if (*p == '/') *p = '_';
    nx_status st = nx_absolute_path(path, sizeof path, n > 1 ? v[1] : given, &err);
    if (!st) st = copy(i, "writing", "/admin/collections/export", v[0], path, false, &said, &err);
    if (!st && o->json) {
        nx_out_write(said.text.data, said.text.len);
        nx_out_printf("\n");
    } else if (!st) {
        (void)nx_json_get_int(said.doc.root, "bytes", &n_bytes);
        (void)nx_json_get_int(said.doc.root, "points", &points);
        nx_format_bytes(bytes, sizeof bytes, (uint64_t)n_bytes);
        nx_log_info("wrote %lld points, %s, to %s", (long long)points, bytes, path);
        nx_out_printf("%s  %s\n",
                      text_of(sha, sizeof sha, nx_json_get(said.doc.root, "sha256"), ""), path);
    }
    nx_said_free(&said);
    if (st == NX_ECANCELLED || atomic_load(&nx_cli_cancel)) return NX_CLI_INTERRUPTED;
    return st ? nx_cli_fail(&err) : nx_out_finish();
}

static int restore(nx_instance *i, const collection_opts *o, char **v, int n)
{
    char     path[4096];
    nx_said  said = {0};
    nx_error err;

    (void)n;
    nx_status st = nx_absolute_path(path, sizeof path, v[1], &err);
    if (!st)
        st = copy(i, "restoring", "/admin/collections/import", v[0], path, o->replace, &said, &err);
    nx_said_free(&said);
    if (st && atomic_load(&nx_cli_cancel)) return NX_CLI_INTERRUPTED;
    if (st && !o->replace && strstr(err.text, "already exists"))
        nx_log_info("--replace puts the file in its place, in one step");
    if (st) return nx_cli_fail(&err);
    nx_log_info("restored %s from %s", v[0], v[1]);
    return NX_CLI_DONE;
}

static int plain(nx_instance *i, const char *label, const char *route, const char *name,
                 const char *done)
{
    nx_said   said = {0};
    nx_error  err;
    nx_status st = copy(i, label, route, name, NULL, false, &said, &err);

    nx_said_free(&said);
    if (st) return nx_cli_fail(&err);
    nx_log_info("%s: %s", name, done);
    return NX_CLI_DONE;
}

static int check(nx_instance *i, const collection_opts *o, char **v, int n)
{
    (void)o;
    (void)n;
    return plain(i, "reading", "/admin/collections/check", v[0], "every byte has its checksum");
}

static int reopen(nx_instance *i, const collection_opts *o, char **v, int n)
{
    (void)o;
    (void)n;
    return plain(i, "opening", "/admin/collections/reopen", v[0], "it serves");
}

/* ---- As lines ---- */

static int export_lines(nx_instance *i, const collection_opts *o, char **v, int n)
{
    nx_lines_report r;
    nx_error        err;

    (void)o;
    nx_status st = nx_lines_export(i, v[0], n > 1 ? v[1] : "-", &r, &err);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    if (st) return nx_cli_fail(&err);
    int code = nx_out_finish();
    if (!code) nx_log_info("wrote %llu points", (unsigned long long)r.n_points);
    return code;
}

static int import_lines(nx_instance *i, const collection_opts *o, char **v, int n)
{
    nx_lines_report r;
    nx_error        err;
    nx_status       st;

    if (o->from && n > 1)
        return nx_cli_misuse("collection", "import takes a FILE or --from URL, not both");
    if (o->from)
        st = nx_lines_import_from(i, v[0], o->from, o->api_key, o->start, &r, &err);
    else
        st = nx_lines_import(i, v[0], n > 1 ? v[1] : "-", o->skip, &r, &err);
    if (!st)
        nx_log_info("imported %llu points", (unsigned long long)r.n_points);
    else if (o->from && r.n_points)
        nx_log_info("%llu points are imported. To go on: --start %s",
                    (unsigned long long)r.n_points, r.next);
    else if (!o->from && r.n_lines > o->skip)
        nx_log_info("%llu points are imported. To go on: --skip %llu",
                    (unsigned long long)r.n_points, (unsigned long long)r.n_lines);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    return st ? nx_cli_fail(&err) : NX_CLI_DONE;
}

/* ---- The command ---- */

static const char no_name[] = "no collection named: nexus collection list shows them";

static const action actions[] = {
    {"list", 0, 0, NULL, list},
    {"info", 1, 1, no_name, info},
    {"create", 1, 1, "no name given", create},
    {"drop", 1, 1, no_name, drop},
    {"snapshot", 1, 2, no_name, snapshot},
    {"restore", 2, 2, "say NAME FILE: which collection, and from which file", restore},
    {"export", 1, 2, no_name, export_lines},
    {"import", 1, 2, no_name, import_lines},
    {"check", 1, 1, no_name, check},
    {"reopen", 1, 1, no_name, reopen},
};

enum { N_ACTIONS = sizeof actions / sizeof *actions };

static const action *find_action(const char *name, const char **near)
{
    const char *words[N_ACTIONS + 1] = {0};

    for (int k = 0; k < N_ACTIONS; k++) {
        if (strcmp(actions[k].name, name) == 0) return &actions[k];
        words[k] = actions[k].name;
    }
    *near = nx_opt_nearest(name, words);
    return NULL;
}

static int run(const collection_opts *o, const nx_args *args)
{
    const char   *near = NULL;
    const action *a = find_action(args->v[0], &near);
    nx_instance   i;
    nx_error      err;

    if (!a)
        return nx_cli_misuse("collection", "no such action: '%.40s'%s%s%s", args->v[0],
                             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    if (args->n - 1 < a->n_min) return nx_cli_misuse("collection", "%s", a->missing);
    if (args->n - 1 > a->n_max)
        return nx_cli_misuse("collection", "unexpected argument '%.40s'", args->v[a->n_max + 1]);
    if (nx_instance_open(&i, o->data, &err)) {
        nx_instance_close(&i);
        return nx_cli_fail(&err);
    }
    int code = a->run(&i, o, args->v + 1, args->n - 1);
    nx_instance_close(&i);
    return code;
}

int nx_cmd_collection(int argc, char **argv)
{
    collection_opts o = {0};
    const nx_opt    opts[] = {
        NX_OPT_GROUP("create"),
        NX_OPT("dim", 0, NX_OPT_INT, &o.dim, "N", "numbers in a vector", .min = 0, .max = 65536),
        NX_OPT("distance", 0, NX_OPT_CHOICE, &o.distance, "D", "how near is measured",
                  .choices = "cosine|dot|euclid|manhattan"),
        NX_OPT("codes", 0, NX_OPT_FLAG, &o.codes, NULL,
                  "keep 8-bit codes beside the vectors: searches read a quarter"),
        NX_OPT("config", 0, NX_OPT_TEXT, &o.config, "FILE",
                  "the body of Qdrant's PUT /collections/NAME instead: named, sparse, ... vectors"),
        NX_OPT_GROUP("drop, restore"),
        NX_OPT("yes", 'y', NX_OPT_FLAG, &o.yes, NULL, "drop without asking"),
        NX_OPT("replace", 0, NX_OPT_FLAG, &o.replace, NULL,
                  "restore in place of the one of that name, in one step"),
        NX_OPT_GROUP("import"),
        NX_OPT("from", 0, NX_OPT_TEXT, &o.from, "URL",
                  "a Qdrant server's collection: http://HOST:6333/collections/NAME"),
        NX_OPT("api-key", 0, NX_OPT_TEXT, &o.api_key, "KEY", "of that server", .env = true),
        NX_OPT("start", 0, NX_OPT_TEXT, &o.start, "ID", "begin at this point of that server"),
        NX_OPT("skip", 0, NX_OPT_U64, &o.skip, "N", "begin behind the first N lines of the file"),
        NX_OPT_GROUP("Every action"),
        NX_OPT("data", 0, NX_OPT_TEXT, &o.data, "DIR",
                  "the server's data folder; default: $XDG_DATA_HOME/nexus, else "
                     "~/.local/share/nexus",
                  .env = true),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL, "print JSON"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "collection",
        .synopsis = "list | info NAME | create NAME | drop NAME | snapshot NAME [FILE] |\n"
                    "         restore NAME FILE | export NAME [FILE] | import NAME [FILE] | "
                    "check NAME |\n         reopen NAME",
        .about =
            "Look after collections of points. The server of the data folder is asked, and goes\n"
            "on serving; where none runs, the command opens the folder itself.\n"
            "\n"
            "snapshot writes a collection into one checksummed file, restore makes one from it,\n"
            "here or elsewhere. export and import speak JSON lines, {\"id\", \"vector\",\n"
            "\"payload\"} as Qdrant writes points; without a FILE, or with -, they use stdout\n"
            "and stdin. import --from copies a collection of a Qdrant server, configuration,\n"
            "indexes and all. Ctrl-C stops; what was imported stays, and the message says how\n"
            "to go on. check reads every byte and compares it with its checksum; reopen takes\n"
            "back one that was quarantined or became read-only.",
        .examples = "  nexus collection create handbook --dim 384 --codes\n"
                    "  nexus collection import handbook points.jsonl\n"
                    "  nexus collection import old --from http://db:6333/collections/old\n"
                    "  nexus collection snapshot handbook /backup/handbook.snapshot\n"
                    "  nexus collection restore handbook /backup/handbook.snapshot --replace\n"
                    "  nexus collection export handbook - | gzip > handbook.jsonl.gz",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = -1,
        .args_missing = "say list, info, create, drop, snapshot, restore, export, import, check "
                        "or reopen",
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    return code == NX_CLI_GO ? run(&o, &args) : code;
}
