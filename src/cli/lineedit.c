/* lineedit.c - line editing by libedit, or plain lines from a pipe.
 *
 * Owns: libedit's handles, the history file.
 * Idea: while a line is edited Ctrl-C and Ctrl-Z are keys like others, bound to functions of ours,
 *       so that no signal arrives in the middle of libedit; during an answer they are signals.
 */
#include "cli/lineedit.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "cli/cli.h"

#define HISTORY_MAX 1000

struct nx_lineedit {
    EditLine   *el; /* NULL: a pipe */
    History    *history;
    char       *history_path; /* NULL: not kept */
    const char *prompt;       /* during nx_lineedit_read */
    bool        dropped;
    char       *line; /* getline's */
    size_t      line_cap;
};

/* ---- History ---- */

/* mkdir -p of the folder of path, for its owner only. */
static void make_folders(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        (void)mkdir(path, 0700); /* one that can't be made shows when the file is written */
        *p = '/';
    }
}

static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char        path[2048];
    int         n;

    if (state && state[0] == '/')
        n = snprintf(path, sizeof path, "%s/nexus/history", state);
    else if (home && home[0] == '/')
        n = snprintf(path, sizeof path, "%s/.local/state/nexus/history", home);
    else
        return NULL;
    if (n >= (int)sizeof path) return NULL;
    make_folders(path);
    return nx_strdup(path);
}

static void open_history(nx_lineedit *e, bool keep)
{
    HistEvent event;

    e->history = history_init();
    if (!e->history) return;
    history(e->history, &event, H_SETSIZE, HISTORY_MAX);
    history(e->history, &event, H_SETUNIQUE, 1);
    if (keep) e->history_path = history_path();
    if (e->history_path) history(e->history, &event, H_LOAD, e->history_path);
    el_set(e->el, EL_HIST, history, e->history);
}

static void remember(nx_lineedit *e, const char *line)
{
    HistEvent event;

    if (!e->history || !*line) return;
    history(e->history, &event, H_ENTER, line);
    if (e->history_path) history(e->history, &event, H_SAVE, e->history_path);
}

/* ---- The editor ---- */

static char *show_prompt(EditLine *el)
{
    nx_lineedit *e = NULL;

    el_get(el, EL_CLIENTDATA, &e);
    return (char *)(uintptr_t)e->prompt; /* libedit only reads it */
}

static unsigned char on_interrupt_key(EditLine *el, int key)
{
    nx_lineedit *e = NULL;

    (void)key;
    el_get(el, EL_CLIENTDATA, &e);
    e->dropped = true;
    return CC_NEWLINE;
}

static unsigned char on_suspend_key(EditLine *el, int key)
{
    (void)key;
    el_set(el, EL_PREP_TERM, 0); /* the shell gets the terminal as it knows it */
    raise(SIGTSTP);
    el_set(el, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

static nx_status open_editor(nx_lineedit *e, bool keep_history, nx_error *err)
{
    /* Without a UTF-8 locale libedit would refuse every letter beyond ASCII. */
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    e->el = el_init("nexus", stdin, stdout, stderr);
    if (!e->el) return nx_fail(err, NX_ENOMEM, "line editor");
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_PROMPT, show_prompt);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_SETTY, "-d", "-isig", NULL);
    /* libedit copies these names and never frees them: 220 bytes, once. */
    el_set(e->el, EL_ADDFN, "nexus-drop", "Forget the line", on_interrupt_key);
    el_set(e->el, EL_BIND, "^C", "nexus-drop", NULL);
    el_set(e->el, EL_ADDFN, "nexus-suspend", "Stop until fg", on_suspend_key);
    el_set(e->el, EL_BIND, "^Z", "nexus-suspend", NULL);
    el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    open_history(e, keep_history);
    return NX_OK;
}

nx_status nx_lineedit_open(nx_lineedit **out, bool history, nx_error *err)
{
    nx_lineedit *e = nx_calloc(1, sizeof *e);
    nx_status    st = NX_OK;

    *out = NULL;
    if (!e) return nx_fail(err, NX_ENOMEM, "line editor");
    if (nx_terminal_get()->in && nx_terminal_get()->out) st = open_editor(e, history, err);
    if (st) {
        nx_lineedit_close(e);
        return st;
    }
    *out = e;
    return NX_OK;
}

void nx_lineedit_close(nx_lineedit *e)
{
    if (!e) return;
    if (e->history) history_end(e->history);
    if (e->el) el_end(e->el);
    nx_free(e->history_path);
    free(e->line); /* getline's own allocation */
    nx_free(e);
}

bool nx_lineedit_interactive(const nx_lineedit *e)
{
    return e->el != NULL;
}

/* ---- Reading ---- */

/* One physical line with its newline; NULL at the end. */
static const char *next_line(nx_lineedit *e, size_t *len)
{
    if (e->el) {
        /* Keys from the moment the prompt shows: libedit by itself would change over after it. */
        el_set(e->el, EL_PREP_TERM, 1);
        int         n = 0;
        const char *line = el_gets(e->el, &n);
        *len = line && n > 0 ? (size_t)n : 0;
        return *len ? line : NULL;
    }
    ssize_t n = getline(&e->line, &e->line_cap, stdin);
    *len = n > 0 ? (size_t)n : 0;
    return n > 0 ? e->line : NULL;
}

/* What the editor leaves out when a line ends without Enter. */
static void end_line(const char *text)
{
    nx_out_printf("%s", text);
    nx_out_flush();
}

nx_line nx_lineedit_read(nx_lineedit *e, const char *prompt, nx_buf *out, nx_error *err)
{
    nx_buf_clear(out);
    e->prompt = prompt;
    for (;;) {
        size_t      len;
        const char *line;

        e->dropped = false;
        errno = 0;
        line = next_line(e, &len);
        if (e->dropped) {
            end_line("^C\n");
            return NX_LINE_DROPPED;
        }
        if (!line && !e->el && ferror(stdin)) {
            nx_fail(err, NX_EIO, "stdin: read: %s", strerror(errno));
            return NX_LINE_FAILED;
        }
        if (!line) break;
        if (line[len - 1] == '\n') len--;
        const bool goes_on = len > 0 && line[len - 1] == '\\';
        if (nx_buf_add(out, line, goes_on ? len - 1 : len, err)) return NX_LINE_FAILED;
        if (!goes_on) {
            if (e->el && out->data) remember(e, out->data);
            return NX_LINE_TEXT;
        }
        if (nx_buf_add(out, "\n", 1, err)) return NX_LINE_FAILED;
        e->prompt = "… ";
    }
    if (e->el) end_line("\n");
    return out->len > 0 ? NX_LINE_TEXT : NX_LINE_END;
}
