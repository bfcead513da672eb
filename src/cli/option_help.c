/* option_help.c - a command's help text, and the word that someone meant. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define COLUMN 31 /* where explanations begin */

void nx_opt_env_name(char *out, size_t cap, const char *name)
{
    snprintf(out, cap, "NEXUS_%s", name);
    for (char *p = out; *p; p++) *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

static void print_heading(const char *text)
{
    const bool bold = nx_terminal_get()->out_colour;

    nx_out_printf("\n%s%s:%s\n", bold ? "\033[1m" : "", text, bold ? "\033[0m" : "");
}

/* " (default 0.95)": what the variable holds before the command line is read. */
static void default_text(char *out, size_t cap, const nx_opt *o)
{
    out[0] = '\0';
    if (strstr(o->help, "default")) return;
    if (o->kind == NX_OPT_INT) snprintf(out, cap, " (default %d)", (int)*(int32_t *)o->out);
    if (o->kind == NX_OPT_FLOAT) snprintf(out, cap, " (default %g)", (double)*(float *)o->out);
    if (o->kind != NX_OPT_CHOICE) return;
    const char *p = o->choices;
    for (int i = *(int *)o->out; i > 0; i--) p += strcspn(p, "|") + 1;
    snprintf(out, cap, " (default %.*s)", (int)strcspn(p, "|"), p);
}

/* Up to the next space; "(default 0.95)" stays together. */
static int word_length(const char *text)
{
    if (strncmp(text, "(default ", 9) == 0 && strchr(text, ')')) return (int)strcspn(text, ")") + 1;
    return (int)strcspn(text, " ");
}

/* Words of text from column COLUMN on, in lines of at most `width`. */
static void print_wrapped(const char *text, int column, int width)
{
    while (*text) {
        int len = word_length(text);
        if (column > COLUMN && column + 1 + len > width) {
            nx_out_printf("\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            nx_out_printf(" ");
            column++;
        }
        nx_out_printf("%.*s", len, text);
        column += len;
        text += len + (int)strspn(text + len, " ");
    }
    nx_out_printf("\n");
}

static void print_option(const nx_opt *o, int width)
{
    char left[80], text[640], value[64];

    snprintf(left, sizeof left, "  %c%c%c --%s %s", o->letter ? '-' : ' ',
             o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
             o->kind == NX_OPT_FLAG ? "" : o->arg);
    default_text(value, sizeof value, o);
    if (o->kind == NX_OPT_CHOICE)
        snprintf(text, sizeof text, "%s: %s%s", o->help, o->choices, value);
    else
        snprintf(text, sizeof text, "%s%s", o->help, value);
    nx_out_printf("%-*s%c ", COLUMN - 2, left, o->env ? '*' : ' ');
    if ((int)strlen(left) > COLUMN - 3) nx_out_printf("\n%*s", COLUMN, "");
    print_wrapped(text, COLUMN, width);
}

static void print_options(const nx_opt *table, int width)
{
    if (table->kind != NX_OPT_HEADING && table->kind != NX_OPT_STOP) print_heading("Options");
    for (const nx_opt *o = table; o->kind != NX_OPT_STOP; o++) {
        if (o->kind == NX_OPT_HEADING)
            print_heading(o->name);
        else
            print_option(o, width);
    }
}

static bool any_environment(const nx_opt *table)
{
    for (const nx_opt *o = table; o->kind != NX_OPT_STOP; o++)
        if (o->kind != NX_OPT_HEADING && o->env) return true;
    return false;
}

void nx_opt_print_help(const nx_usage *u, const nx_opt *common)
{
    int width = nx_terminal_width(1);

    if (width > 100) width = 100;
    nx_out_printf("Usage: nexus%s%s %s\n", u->command ? " " : "", u->command ? u->command : "",
                  u->synopsis);
    if (u->about) nx_out_printf("\n%s\n", u->about);
    if (u->examples) {
        print_heading("Examples");
        nx_out_printf("%s\n", u->examples);
    }
    print_options(u->options, width);
    print_options(common, width);
    if (any_environment(u->options))
        nx_out_printf("\nOptions marked * can be set in the environment as well, --kv-type as\n"
                      "NEXUS_KV_TYPE; the command line wins.\n");
}

/* ---- The word that someone meant ---- */

/* Edits (insert, delete, replace, swap of neighbours) between a and b, both shorter than 64. */
static int distance(const char *a, const char *b)
{
    int d[64][64];
    int na = (int)strlen(a), nb = (int)strlen(b);

    if (na > 63 || nb > 63) return 64;
    for (int i = 0; i <= na; i++) {
        for (int j = 0; j <= nb; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[na][nb];
}

const char *nx_opt_nearest(const char *typed, const char *const *words)
{
    const char *best = NULL;
    int         best_d = 64;

    for (; *words; words++) {
        size_t len = strlen(typed);
        int    d = len >= 3 && strncmp(*words, typed, len) == 0 ? 1 : distance(typed, *words);
        if (d < best_d) {
            best_d = d;
            best = *words;
        }
    }
    /* A third of the letters wrong is a slip; more is another word. */
    return best && best_d <= ((int)strlen(best) + 2) / 3 ? best : NULL;
}
