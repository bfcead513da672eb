/* option.c - from argv and the environment to a command's variables.
 *
 * Owns:    the log options, which every command has.
 * Refuses: the meaning of values beyond their range: that is the command's.
 * Idea:    one table per command says everything: parsing, ranges, help text and environment are
 *          read from it, so that they can't disagree.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "os/clock.h"

/* ---- The options that every command has ---- */

static struct {
    int format, level;
} log_words = {.format = 0, .level = NX_LOG_INFO};

static bool help_wanted;

static const nx_opt common_opts[] = {
    NX_OPT_GROUP("General"),
    NX_OPT("log-format", 0, NX_OPT_CHOICE, &log_words.format, "FORMAT", "messages on stderr",
           .choices = "text|json", .env = true),
    NX_OPT("log-level", 0, NX_OPT_CHOICE, &log_words.level, "LEVEL",
           "the least urgent messages shown", .choices = "error|warn|info|debug", .env = true),
    NX_OPT("help", 'h', NX_OPT_FLAG, &help_wanted, NULL, "show this text"),
    NX_OPT_END,
};

static void setup_log(void)
{
    nx_log_setup(&(nx_log_options){
        .level = (nx_log_level)log_words.level,
        .json = log_words.format == 1,
        .colour = nx_terminal_get()->err_colour,
        .fd = 2,
        .clock_ms = nx_clock_unix_ms,
    });
}

/* ---- Numbers ---- */

nx_status nx_parse_int(int64_t *out, const char *text, int64_t min, int64_t max, nx_error *err)
{
    char *end;

    errno = 0;
    long long x = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || strchr(" \t\n\v\f\r", text[0]))
        return nx_fail(err, NX_EINVAL, "expected a whole number, found '%s'", text);
    if (errno == ERANGE || x < min || x > max)
        return nx_fail(err, NX_EINVAL, "expected a number from %lld to %lld, found %s",
                       (long long)min, (long long)max, text);
    *out = x;
    return NX_OK;
}

nx_status nx_parse_u64(uint64_t *out, const char *text, nx_error *err)
{
    char *end;

    errno = 0;
    unsigned long long x = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno == ERANGE)
        return nx_fail(err, NX_EINVAL, "expected a whole number from 0 to 2^64-1, found '%s'",
                       text);
    *out = x;
    return NX_OK;
}

nx_status nx_parse_float(double *out, const char *text, double min, double max, bool above_min,
                         nx_error *err)
{
    char  *end;
    double x = strtod(text, &end);

    if (end == text || *end != '\0' || strchr(" \t\n\v\f\r", text[0]) || isnan(x))
        return nx_fail(err, NX_EINVAL, "expected a number, found '%s'", text);
    if (x < min || x > max || (above_min && x <= min))
        return nx_fail(err, NX_EINVAL, "expected a number %s %g and at most %g, found %s",
                       above_min ? "above" : "of at least", min, max, text);
    *out = x;
    return NX_OK;
}

/* ---- Values ---- */

void nx_texts_free(nx_texts *t)
{
    nx_free(t->v);
    *t = (nx_texts){0};
}

static nx_status add_text(nx_texts *t, const char *value, nx_error *err)
{
    nx_str *v = nx_realloc(t->v, t->n + 1, sizeof *v);

    if (!v) return nx_fail(err, NX_ENOMEM, "list of values");
    v[t->n++] = nx_str_of(value);
    t->v = v;
    return NX_OK;
}

static nx_status set_choice(const nx_opt *o, const char *value, nx_error *err)
{
    const char *p = o->choices;

    for (int i = 0;; i++) {
        size_t len = strcspn(p, "|");
        if (len == strlen(value) && memcmp(p, value, len) == 0) {
            *(int *)o->out = i;
            return NX_OK;
        }
        if (p[len] == '\0') break;
        p += len + 1;
    }
    return nx_fail(err, NX_EINVAL, "expected one of %s, found '%s'", o->choices, value);
}

static nx_status set_int(const nx_opt *o, const char *value, nx_error *err)
{
    int64_t   x = 0;
    nx_status st = nx_parse_int(&x, value, (int64_t)o->min, (int64_t)o->max, err);

    if (!st) *(int32_t *)o->out = (int32_t)x;
    return st;
}

static nx_status set_float(const nx_opt *o, const char *value, nx_error *err)
{
    double    x = 0;
    nx_status st = nx_parse_float(&x, value, o->min, o->max, o->above_min, err);

    if (!st) *(float *)o->out = (float)x;
    return st;
}

static nx_status set_value(const nx_opt *o, const char *value, nx_error *err)
{
    switch (o->kind) {
    case NX_OPT_INT: return set_int(o, value, err);
    case NX_OPT_U64: return nx_parse_u64(o->out, value, err);
    case NX_OPT_FLOAT: return set_float(o, value, err);
    case NX_OPT_CHOICE: return set_choice(o, value, err);
    case NX_OPT_LIST: return add_text(o->out, value, err);
    case NX_OPT_TEXT: *(const char **)o->out = value; return NX_OK;
    default: return nx_fail(err, NX_EINTERNAL, "option without a value");
    }
}

/* ---- Finding an option ---- */

static bool is_option(const nx_opt *o)
{
    return o->kind != NX_OPT_HEADING;
}

static const nx_opt *find_long(const nx_opt *table, const char *name, size_t len)
{
    for (const nx_opt *o = table; o->kind != NX_OPT_STOP; o++) {
        if (!is_option(o)) continue;
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0) return o;
        if (o->alias && strlen(o->alias) == len && memcmp(o->alias, name, len) == 0) return o;
    }
    return NULL;
}

static const nx_opt *find_letter(const nx_opt *table, char letter)
{
    for (const nx_opt *o = table; o->kind != NX_OPT_STOP; o++)
        if (is_option(o) && o->letter == letter) return o;
    return NULL;
}

static int unknown_option(const nx_usage *u, const char *name, size_t len)
{
    const char *words[128];
    char        typed[64];
    size_t      n = 0;

    for (const nx_opt *t = u->options; t; t = t == common_opts ? NULL : common_opts)
        for (const nx_opt *o = t; o->kind != NX_OPT_STOP; o++)
            if (is_option(o) && n + 1 < sizeof words / sizeof *words) words[n++] = o->name;
    words[n] = NULL;
    snprintf(typed, sizeof typed, "%.*s", (int)(len < 60 ? len : 60), name);
    const char *near = nx_opt_nearest(typed, words);
    if (near)
        return nx_cli_misuse(u->command, "unknown option --%s; did you mean --%s?", typed, near);
    return nx_cli_misuse(u->command, "unknown option --%s", typed);
}

/* ---- The walk over argv ---- */

typedef struct walk {
    const nx_usage *usage;
    char          **argv;
    int             argc, at;
} walk;

/* Give o its value: `attached`, or the next word. */
static int take(walk *w, const nx_opt *o, const char *shown, const char *attached)
{
    const char *command = w->usage->command;
    nx_error    err;

    if (o->kind == NX_OPT_FLAG) {
        if (attached) return nx_cli_misuse(command, "%s takes no value", shown);
        *(bool *)o->out = true;
        return NX_CLI_GO;
    }
    if (!attached) {
        if (w->at >= w->argc) return nx_cli_misuse(command, "%s needs %s", shown, o->arg);
        attached = w->argv[w->at++];
    }
    if (set_value(o, attached, &err)) return nx_cli_misuse(command, "%s: %s", shown, err.text);
    /* At once: a mistake further on is to be told in the form that was asked for. */
    if (o->out == &log_words.format || o->out == &log_words.level) setup_log();
    return NX_CLI_GO;
}

static int take_long(walk *w, const char *word)
{
    const char   *name = word + 2;
    size_t        len = strcspn(name, "=");
    const nx_opt *o = find_long(w->usage->options, name, len);
    char          shown[64];

    if (!o) o = find_long(common_opts, name, len);
    if (!o) return unknown_option(w->usage, name, len);
    snprintf(shown, sizeof shown, "--%s", o->name);
    return take(w, o, shown, name[len] == '=' ? name + len + 1 : NULL);
}

static int take_short(walk *w, const char *word)
{
    for (const char *p = word + 1; *p; p++) {
        const char    shown[] = {'-', *p, '\0'};
        const nx_opt *o = find_letter(w->usage->options, *p);

        if (!o) o = find_letter(common_opts, *p);
        if (!o) return nx_cli_misuse(w->usage->command, "unknown option %s", shown);
        if (o->kind != NX_OPT_FLAG) return take(w, o, shown, p[1] ? p + 1 : NULL);
        *(bool *)o->out = true;
    }
    return NX_CLI_GO;
}

/* The environment gives what the command line may still change. */
static int read_environment(const nx_usage *u, const nx_opt *table)
{
    for (const nx_opt *o = table; o->kind != NX_OPT_STOP; o++) {
        char     name[64];
        nx_error err;

        if (!is_option(o) || !o->env) continue;
        nx_opt_env_name(name, sizeof name, o->name);
        const char *value = getenv(name);
        if (!value || !*value) continue;
        if (set_value(o, value, &err))
            return nx_cli_misuse(u->command, "environment %s: %s", name, err.text);
    }
    return NX_CLI_GO;
}

/* Help is printed before values are read, so that it shows the defaults. */
static bool asks_for_help(int argc, char **argv, bool leading)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
        if (leading && argv[i][0] != '-') return false;
    }
    return false;
}

static int walk_words(walk *w, nx_args *args, bool leading)
{
    bool only_args = false;

    while (w->at < w->argc) {
        char *word = w->argv[w->at++];
        int   code = NX_CLI_GO;

        if (only_args || word[0] != '-' || word[1] == '\0') {
            if (leading) {
                w->at--;
                break;
            }
            args->v[args->n++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_args = true;
        } else {
            code = word[1] == '-' ? take_long(w, word) : take_short(w, word);
        }
        if (code != NX_CLI_GO) return code;
    }
    if (leading) *args = (nx_args){w->argv + w->at, w->argc - w->at};
    return NX_CLI_GO;
}

static int parse(const nx_usage *u, nx_args *args, int argc, char **argv, bool leading)
{
    walk w = {.usage = u, .argv = argv, .argc = argc, .at = 1};
    int  code;

    *args = (nx_args){.v = argv};
    if (asks_for_help(argc, argv, leading)) {
        nx_opt_print_help(u, common_opts);
        return nx_out_finish();
    }
    code = read_environment(u, common_opts);
    setup_log();
    if (code == NX_CLI_GO) code = read_environment(u, u->options);
    if (code == NX_CLI_GO) code = walk_words(&w, args, leading);
    return code;
}

int nx_opt_parse_leading(const nx_usage *usage, nx_args *args, int argc, char **argv)
{
    return parse(usage, args, argc, argv, true);
}

int nx_opt_parse(const nx_usage *u, nx_args *args, int argc, char **argv)
{
    int code = parse(u, args, argc, argv, false);

    if (code != NX_CLI_GO) return code;
    if (args->n < u->n_args_min) return nx_cli_misuse(u->command, "%s", u->args_missing);
    if (u->n_args_max >= 0 && args->n > u->n_args_max)
        return nx_cli_misuse(u->command, "unexpected argument '%s'", args->v[u->n_args_max]);
    return NX_CLI_GO;
}

/* ---- Mistakes ---- */

int nx_cli_misuse(const char *command, const char *fmt, ...)
{
    char    text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (command)
        nx_log_error("%s: %s (nexus %s --help shows the options)", command, text, command);
    else
        nx_log_error("%s (nexus --help shows the commands)", text);
    return NX_CLI_USAGE;
}

int nx_cli_fail(const nx_error *err)
{
    if (!nx_out_gone()) nx_log_error("%s", err->text);
    return NX_CLI_FAILED;
}
