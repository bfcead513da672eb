/* fields_parse.c - in which field is it that a text stops being JSON?
 *
 * The reader of base/ says line and column, as files want it; who sent a request knows fields. So the
 * text before that point, which is JSON, is gone through once more: only after an error, and with no
 * more than a stack of what is open.
 */
#include <stdio.h>
#include <string.h>

#include "server/fields_fault.h"

/* An object or array that is open, and which member or element of it. */
typedef struct level {
    bool          object, named; /* named: step.key is the member's */
    nx_fault_step step;
} level;

typedef struct walk {
    const char *text;
    size_t      stop; /* where the error is */
    level       open[NX_JSON_DEPTH_MAX + 1];
    int         n;
} walk;

/* The offset that "name: line 3, column 7: ..." means, and the message from "line" on. */
static size_t offset_of(const nx_error *err, const char *text, size_t len, const char **message)
{
    const char *at = strstr(err->text, ": line ");
    size_t      line = 0, column = 0, from = 0;

    *message = err->text;
    if (!at || sscanf(at, ": line %zu, column %zu", &line, &column) != 2 || column == 0) return 0;
    *message = at + 2;
    for (; line > 1; line--) {
        const char *end = memchr(text + from, '\n', len - from);
        if (!end) return 0;
        from = (size_t)(end - text) + 1;
    }
    return column - 1 < len - from ? from + column - 1 : len;
}

/* Past the string that begins at i, or to the error, if that is in it. */
static size_t pass_string(walk *w, size_t i)
{
    level *l = w->n ? &w->open[w->n - 1] : NULL;
    size_t from = ++i;

    for (; i < w->stop && w->text[i] != '"'; i++) i += w->text[i] == '\\';
    if (i >= w->stop) return w->stop;
    if (l && l->object && !l->named) {
        l->named = true;
        l->step.key = (nx_str){w->text + from, i - from};
    }
    return i + 1;
}

static void pass_mark(walk *w, char c)
{
    level *l = w->n ? &w->open[w->n - 1] : NULL;

    if (c == '{' || c == '[') {
        if (w->n <= NX_JSON_DEPTH_MAX) w->open[w->n++] = (level){.object = c == '{'};
    } else if (c == '}' || c == ']') {
        if (w->n > 0) w->n--;
    } else if (c == ',' && l) {
        l->named = false;
        l->step.idx++;
    }
}

static void keep_steps(nx_fault *fault, const walk *w)
{
    for (int i = 0; i < w->n && fault->n_steps < NX_FAULT_STEPS_MAX; i++) {
        const level *l = &w->open[i];
        if (l->object && !l->named) return; /* before its first key, or between two members */
        fault->steps[fault->n_steps++] =
            l->object ? (nx_fault_step){.key = l->step.key} : (nx_fault_step){.idx = l->step.idx};
    }
}

void nx_fault_of_parse(nx_fault *fault, const nx_error *err, const char *text, size_t len)
{
    const char *message;
    walk        w = {.text = text};

    w.stop = offset_of(err, text, len, &message);
    for (size_t i = 0; i < w.stop;) {
        if (text[i] == '"')
            i = pass_string(&w, i);
        else
            pass_mark(&w, text[i++]);
    }
    *fault = (nx_fault){.kind = NX_FAULT_JSON};
    keep_steps(fault, &w);
    nx_fault_say(fault, message);
}
