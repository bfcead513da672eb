/* cmd_key.c - `nexus key`: keys of the server made, listed, revoked.
 *
 * Idea:  the data folder is one process's. Where no server holds it, this command does for a moment and
 *        writes by itself; else it asks the server that does, through the folder's control socket. So
 *        a key is in force at once either way, and nobody writes behind the server's back.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/control.h"
#include "os/clock.h"
#include "server/keys_json.h"

#define ANSWER_MAX ((size_t)64 << 20)
#define TRIES      20 /* while another command holds the folder, or a server starts */
#define TRY_NS     100000000

typedef struct key_opts {
    const char *name, *expires, *data;
    nx_texts    scopes, collections, tags;
    int         priority;
    int32_t     rpm;
    uint64_t    tokens_per_day;
    bool        read_only, json;
} key_opts;

/* The keys, by whichever way. */
typedef struct access_way {
    nx_datadir dir;
    nx_db     *db; /* ours; NULL: through the server */
    nx_keys   *keys;
    nx_http   *http;
} access_way;

static int64_t now_s(void)
{
    return nx_clock_unix_ms() / 1000;
}

/* ---- Asking the server ---- */

static nx_status ask(access_way *a, const char *method, const char *path, const nx_buf *body,
                     nx_json_doc *doc, nx_buf *text, nx_error *err)
{
    nx_str said = body ? (nx_str){body->data, body->len} : (nx_str){0};

    return nx_control_ask(a->http, a->dir.socket, method, path, said, doc, text, err);
}

static nx_status ask_create(access_way *a, const nx_key_options *opt, char *text, nx_key_record *r,
                            nx_error *err)
{
    nx_jw       w = {.buf.max = 4096};
    nx_buf      answer = {.max = ANSWER_MAX};
    nx_json_doc doc = {0};
    nx_status   st;

    nx_key_options_write(&w, opt);
    st = w.st ? nx_fail(err, w.st, "%s", w.err.text)
              : ask(a, "POST", "/admin/keys", &w.buf, &doc, &answer, err);
    if (!st) st = nx_key_read(r, text, doc.root, err);
    if (!st && !*text) st = nx_fail(err, NX_EFORMAT, "the server's answer has no key");
    nx_json_doc_free(&doc);
    if (answer.data) explicit_bzero(answer.data, answer.len);
    nx_buf_free(&answer);
    nx_buf_free(&w.buf);
    return st;
}

static nx_status read_list(nx_key_record **out, size_t *n, const nx_json *keys, nx_error *err)
{
    nx_status st = NX_OK;

    if (!keys || keys->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EFORMAT, "the server's answer has no keys");
    *out = nx_calloc(keys->array.n, sizeof **out);
    if (!*out) return nx_fail(err, NX_ENOMEM, "list of keys");
    for (*n = 0; !st && *n < keys->array.n; ++*n)
        st = nx_key_read(*out + *n, NULL, &keys->array.items[*n], err);
    return st;
}

static nx_status ask_list(access_way *a, nx_key_record **out, size_t *n, nx_error *err)
{
    nx_buf      answer = {.max = ANSWER_MAX};
    nx_json_doc doc = {0};
    nx_status   st = ask(a, "GET", "/admin/keys", NULL, &doc, &answer, err);

    if (!st) st = read_list(out, n, nx_json_get(doc.root, "keys"), err);
    nx_json_doc_free(&doc);
    nx_buf_free(&answer);
    return st;
}

static nx_status ask_revoke(access_way *a, const char *id, nx_key_record *r, nx_error *err)
{
    char        path[64];
    nx_buf      answer = {.max = ANSWER_MAX};
    nx_json_doc doc = {0};

    snprintf(path, sizeof path, "/admin/keys/%s", id);
    nx_status st = ask(a, "DELETE", path, NULL, &doc, &answer, err);
    if (!st) st = nx_key_read(r, NULL, doc.root, err);
    nx_json_doc_free(&doc);
    nx_buf_free(&answer);
    return st;
}

/* ---- Either way ---- */

static void way_close(access_way *a)
{
    nx_keys_close(a->keys);
    nx_db_close(a->db);
    nx_http_destroy(a->http);
    nx_datadir_close(&a->dir);
    a->keys = NULL;
    a->db = NULL;
    a->http = NULL;
}

/* The folder is ours, or (NX_OK with keys NULL) a server's to be asked. */
static nx_status way_open(access_way *a, const char *data, nx_error *err)
{
    nx_status st = nx_datadir_open(&a->dir, data, err);

    if (st == NX_EBUSY) return nx_http_create(&a->http, err);
    if (!st) st = nx_db_open(&a->db, a->dir.db, err);
    if (!st) st = nx_keys_open(&a->keys, &a->dir, a->db, err);
    return st;
}

/* What a command wants; fills in the rest. */
typedef struct job {
    enum { CREATE, LIST, REVOKE } what;
    const nx_key_options *opt; /* CREATE */
    char                  id[NX_KEY_ID_CAP];
    char                  text[NX_KEY_TEXT_CAP];
    nx_key_record         record;
    nx_key_record        *all; /* LIST */
    size_t                n;
} job;

static nx_status do_job(access_way *a, job *j, nx_error *err)
{
    switch (j->what) {
    case CREATE:
        return a->keys ? nx_keys_create(a->keys, j->opt, now_s(), j->text, &j->record, err)
                       : ask_create(a, j->opt, j->text, &j->record, err);
    case LIST:
        return a->keys ? nx_keys_list(a->keys, &j->all, &j->n, err)
                       : ask_list(a, &j->all, &j->n, err);
    default:
        return a->keys ? nx_keys_revoke(a->keys, j->id, now_s(), &j->record, err)
                       : ask_revoke(a, j->id, &j->record, err);
    }
}

static nx_status unanswered(const access_way *a, nx_error *err)
{
    return nx_fail(
        err, NX_EBUSY,
        "%s is in use by process %d, and nobody answers at %s. Is a server starting? Try "
        "again, or stop it",
        a->dir.path, a->dir.pid, a->dir.socket);
}

/* The folder may be held by another command for a moment, or by a server that doesn't listen yet. */
static nx_status run_job(job *j, const char *data, nx_error *err)
{
    bool      again = true;
    nx_status st = NX_OK;

    for (int i = 0; again && i < TRIES; i++) {
        access_way a = {.dir.lock_fd = -1};
        if (i) nanosleep(&(struct timespec){.tv_nsec = TRY_NS}, NULL);
        st = way_open(&a, data, err);
        if (!st) st = do_job(&a, j, err);
        again = st == NX_EBUSY && a.http;
        if (again) (void)unanswered(&a, err);
        way_close(&a);
    }
    return st;
}

/* ---- Words of the command line ---- */

static int parse_scopes(uint32_t *out, const nx_texts *words)
{
    if (words->n) *out = 0;
    for (size_t i = 0; i < words->n; i++) {
        const char *p = words->v[i].p;
        for (;;) {
            size_t   len = strcspn(p, ",");
            uint32_t bit = nx_key_scope_of((nx_str){p, len});
            if (!bit)
                return nx_cli_misuse("key", "--scope: expected infer, rag or admin, found '%.*s'",
                                     (int)(len < 100 ? len : 100), p);
            *out |= bit;
            if (!p[len]) break;
            p += len + 1;
        }
    }
    return NX_CLI_GO;
}

/* "30d", "12h", "45m": from now on. */
static bool parse_span(int64_t *out, const char *text)
{
    static const struct unit {
        char    letter;
        int64_t seconds;
    } units[] = {{'m', 60}, {'h', 3600}, {'d', 86400}};
    char    number[16];
    size_t  len = strlen(text);
    int64_t n;

    if (len < 2 || len > sizeof number) return false;
    memcpy(number, text, len - 1);
    number[len - 1] = '\0';
    if (nx_parse_int(&n, number, 1, 1000000, NULL)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].letter != text[len - 1]) continue;
        *out = now_s() + n * units[i].seconds;
        return true;
    }
    return false;
}

/* "2027-01-31": that day's beginning, UTC. */
static bool parse_date(int64_t *out, const char *text)
{
    struct tm tm = {0};
    int       end = 0;

    if (strlen(text) != 10 || strspn(text, "0123456789-") != 10 ||
        sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &end) != 3 || end != 10)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm given = tm;
    *out = (int64_t)timegm(&tm); /* puts a 31st of June right: then it isn't what was given */
    return tm.tm_year == given.tm_year && tm.tm_mon == given.tm_mon && tm.tm_mday == given.tm_mday;
}

static int parse_bounds(nx_key_bounds *b, const key_opts *o)
{
    nx_status st = NX_OK;
    nx_error  err;

    b->read_only = o->read_only;
    for (size_t i = 0; !st && i < o->collections.n; i++)
        st = nx_key_bounds_add(b, NX_KEY_COLLECTIONS, o->collections.v[i], &err);
    for (size_t i = 0; !st && i < o->tags.n; i++)
        st = nx_key_bounds_add(b, NX_KEY_TAGS, o->tags.v[i], &err);
    return st ? nx_cli_misuse("key", "%s", err.text) : NX_CLI_GO;
}

static int read_options(nx_key_options *opt, const key_opts *o)
{
    nx_error err;

    nx_key_options_default(opt);
    opt->priority = (nx_job_priority)o->priority;
    opt->requests_per_minute = o->rpm;
    if (nx_key_options_name(opt, nx_str_of(o->name), &err))
        return nx_cli_misuse("key", "--%s", err.text);
    if (o->tokens_per_day > (uint64_t)NX_KEY_TOKENS_DAY_MAX)
        return nx_cli_misuse("key", "--tokens-per-day: expected at most %lld",
                             (long long)NX_KEY_TOKENS_DAY_MAX);
    opt->tokens_per_day = (int64_t)o->tokens_per_day;
    if (o->expires && !parse_span(&opt->expires, o->expires) &&
        !parse_date(&opt->expires, o->expires))
        return nx_cli_misuse("key", "--expires: expected 30d, 12h or 2027-01-31, found '%.40s'",
                             o->expires);
    if (o->expires && opt->expires <= now_s())
        return nx_cli_misuse("key", "--expires: %.40s is in the past", o->expires);
    int code = parse_scopes(&opt->scopes, &o->scopes);
    if (code == NX_CLI_GO) code = parse_bounds(&opt->bounds, o);
    if (code == NX_CLI_GO && nx_key_options_check(opt, now_s(), &err))
        code = nx_cli_misuse("key", "%s", err.text);
    return code;
}

/* ---- Words to the user ---- */

static void date_of(char out[20], int64_t unix_s, const char *none)
{
    time_t    t = (time_t)unix_s;
    struct tm tm;

    snprintf(out, 20, "%s", none);
    if (unix_s && gmtime_r(&t, &tm)) strftime(out, 20, "%Y-%m-%d %H:%M", &tm);
}

static int create(const key_opts *o, const nx_args *args)
{
    nx_key_options opt;
    nx_error       err;
    job            j = {.what = CREATE, .opt = &opt};
    int            code = read_options(&opt, o);

    if (code != NX_CLI_GO) return code;
    if (args->n > 1)
        return nx_cli_misuse("key", "unexpected argument '%s': a name is given by --name",
                             args->v[1]);
    if (run_job(&j, o->data, &err)) return nx_cli_fail(&err);
    if (o->json) {
        nx_jw w = {.buf.max = NX_JW_MAX};
        nx_key_write(&w, NULL, &j.record, j.text);
        code = nx_jw_finish(&w);
    } else {
        nx_out_printf("%s\n", j.text);
        code = nx_out_finish();
    }
    explicit_bzero(j.text, sizeof j.text);
    if (code) return code;
    nx_log_info("keep this key: it is shown this once. A client sends it as 'Authorization: Bearer "
                "KEY'. To take it back: nexus key revoke %s",
                j.record.id);
    return NX_CLI_DONE;
}

static const char *state_of(const nx_key_record *r)
{
    return r->revoked ? "revoked" : r->expires && r->expires <= now_s() ? "expired" : "valid";
}

static void limit_text(char out[24], int64_t limit)
{
    snprintf(out, 24, "%s", "-");
    if (limit) snprintf(out, 24, "%lld", (long long)limit);
}

static void add_names(char *out, size_t cap, const char *word, const nx_key_bounds *b,
                      nx_key_list list)
{
    for (uint16_t i = 0; i < b->n[list]; i++) {
        size_t len = strlen(out);
        nx_str name = nx_key_bounds_name(b, list, i);
        snprintf(out + len, cap - len, "%s%.*s", i ? "," : word, (int)name.len, name.p);
    }
}

/* " (reads handbook tags sales)", "" when bound to nothing. */
static void bounds_text(char out[512], const nx_key_bounds *b)
{
    const size_t cap = 511; /* room for the bracket */

    out[0] = '\0';
    if (!nx_key_bounds_any(b)) return;
    snprintf(out, cap, "  (%s", b->read_only ? "reads" : "reads and writes");
    add_names(out, cap, " ", b, NX_KEY_COLLECTIONS);
    add_names(out, cap, " with tags ", b, NX_KEY_TAGS);
    size_t len = strlen(out);
    snprintf(out + len, 512 - len, ")");
}

static int print_table(const nx_key_record *v, size_t n)
{
    char used[20], expires[20], scopes[NX_KEY_SCOPES_CAP], rpm[24], tokens[24];
    char bounds[512];

    if (n)
        nx_out_printf("%-8s  %-7s  %-15s  %-8s  %7s  %12s  %-16s  %-16s  %s\n", "ID", "STATE",
                      "SCOPES", "PRIORITY", "REQ/MIN", "TOKENS/DAY", "EXPIRES (UTC)", "USED (UTC)",
                      "NAME");
    for (size_t i = 0; i < n; i++) {
        const nx_key_record *r = &v[i];
        date_of(used, r->last_used, "never");
        date_of(expires, r->expires, "never");
        nx_key_scopes_text(scopes, r->scopes);
        limit_text(rpm, r->requests_per_minute);
        limit_text(tokens, r->tokens_per_day);
        bounds_text(bounds, &r->bounds);
        nx_out_printf("%-8s  %-7s  %-15s  %-8s  %7s  %12s  %-16s  %-16s  %s%s\n", r->id,
                      state_of(r), scopes, nx_key_priority_name(r->priority), rpm, tokens, expires,
                      used, r->name, bounds);
    }
    if (!n) nx_log_info("no keys yet: the server answers this machine alone. nexus key create");
    return nx_out_finish();
}

static int list(const key_opts *o, const nx_args *args)
{
    nx_error err;
    job      j = {.what = LIST};
    int      code;

    if (args->n > 1) return nx_cli_misuse("key", "unexpected argument '%s'", args->v[1]);
    if (run_job(&j, o->data, &err)) {
        code = nx_cli_fail(&err);
    } else if (o->json) {
        nx_jw w = {.buf.max = NX_JW_MAX};
        nx_keys_write(&w, j.all, j.n);
        code = nx_jw_finish(&w);
    } else {
        code = print_table(j.all, j.n);
    }
    nx_free(j.all);
    return code;
}

static int revoke(const key_opts *o, const nx_args *args)
{
    nx_error err;
    int      code = NX_CLI_DONE;

    if (args->n < 2) return nx_cli_misuse("key", "no key named: nexus key list shows their ids");
    for (int i = 1; code == NX_CLI_DONE && i < args->n; i++) {
        job j = {.what = REVOKE};
        if (!nx_key_id_of(j.id, args->v[i])) /* not said back: it may be half a secret */
            return nx_cli_misuse("key", "argument %d is not the id of a key, 8 letters and digits",
                                 i);
        if (run_job(&j, o->data, &err)) return nx_cli_fail(&err);
        if (!o->json) {
            nx_log_info("revoked %s: no request can use it any more", j.id);
            continue;
        }
        nx_jw w = {.buf.max = NX_JW_MAX};
        nx_key_write_revoked(&w, &j.record);
        code = nx_jw_finish(&w);
    }
    return code;
}

/* Options that say what a new key may do say nothing about one that is there. */
static bool is_plain(const key_opts *o)
{
    return !*o->name && !o->expires && !o->scopes.n && !o->collections.n && !o->tags.n &&
           !o->read_only && o->priority == NX_PRIORITY_NORMAL && !o->rpm && !o->tokens_per_day;
}

static int run(const key_opts *o, const nx_args *args)
{
    static const char *const words[] = {"create", "list", "revoke", NULL};
    const char              *action = args->v[0];

    if (strcmp(action, "create") == 0) return create(o, args);
    const char *near = nx_opt_nearest(action, words);
    bool        is_list = strcmp(action, "list") == 0;
    if (!is_list && strcmp(action, "revoke") != 0)
        return nx_cli_misuse("key", "expected create, list or revoke, found '%.40s'%s%s%s", action,
                             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    if (!is_plain(o))
        return nx_cli_misuse("key", "of the options, %s takes only --data and --json", action);
    return is_list ? list(o, args) : revoke(o, args);
}

int nx_cmd_key(int argc, char **argv)
{
    key_opts     o = {.name = "", .priority = NX_PRIORITY_NORMAL};
    const nx_opt opts[] = {
        NX_OPT_GROUP("A new key"),
        NX_OPT("name", 0, NX_OPT_TEXT, &o.name, "TEXT", "whose it is, for people"),
        NX_OPT("scope", 0, NX_OPT_LIST, &o.scopes, "SCOPE,...",
               "what it may do: infer, rag, admin (can be repeated; default infer,rag)"),
        NX_OPT("collection", 0, NX_OPT_LIST, &o.collections, "NAME",
               "the only collections it may see (can be repeated; default: all)"),
        NX_OPT("read-only", 0, NX_OPT_FLAG, &o.read_only, NULL,
               "it may change nothing in collections"),
        NX_OPT("tag", 0, NX_OPT_LIST, &o.tags, "TAG",
               "of points it sees those without access_tags and those with one of these there "
               "(can be repeated; default: all)"),
        NX_OPT("priority", 0, NX_OPT_CHOICE, &o.priority, "P", "whose requests go first",
               .choices = "high|normal|low"),
        NX_OPT("rpm", 0, NX_OPT_INT, &o.rpm, "N", "requests a minute; 0 is any number",
               .max = NX_KEY_RPM_MAX),
        NX_OPT("tokens-per-day", 0, NX_OPT_U64, &o.tokens_per_day, "N",
               "tokens read and written in a day (UTC); 0 is any number, the default"),
        NX_OPT("expires", 0, NX_OPT_TEXT, &o.expires, "WHEN",
               "30d or 12h from now, or a date like 2027-01-31 (UTC); default: never"),
        NX_OPT_GROUP("Every action"),
        NX_OPT("data", 0, NX_OPT_TEXT, &o.data, "DIR",
               "the server's data folder; default: $XDG_DATA_HOME/nexus, else "
               "~/.local/share/nexus",
               .env = true),
        NX_OPT("json", 0, NX_OPT_FLAG, &o.json, NULL, "print JSON"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "key",
        .synopsis = "create [options] | list [--json] | revoke ID...",
        .about =
            "Make, list and revoke the keys that clients of the server ask with. A new key is\n"
            "printed once, alone on stdout; what is kept is a hash. As soon as there is a key\n"
            "the server answers nobody without one. A server that runs is asked through its\n"
            "data folder's control socket, so that a change is in force at once.",
        .examples =
            "  nexus key create --name 'Zoe, laptop' --expires 90d\n"
            "  nexus key create --name ops --scope admin\n"
            "  nexus key create --name guest --scope infer --rpm 10 --tokens-per-day 50000\n"
            "  nexus key create --name sales --scope rag --collection handbook --tag sales "
            "--read-only\n"
            "  nexus key list\n"
            "  nexus key revoke 4mzk1u8q",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = -1,
        .args_missing = "say create, list or revoke",
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    if (code == NX_CLI_GO) code = run(&o, &args);
    nx_texts_free(&o.scopes);
    nx_texts_free(&o.collections);
    nx_texts_free(&o.tags);
    return code;
}
