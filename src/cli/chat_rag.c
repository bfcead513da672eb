/* chat_rag.c - turns of a conversation with documents. */
#include "cli/chat_rag.h"

#include <string.h>

#include "cli/consult.h"
#include "cli/lineedit.h"

#define TURNS_MAX 8 /* questions and answers that are given along: what a question may lean on */

typedef struct talk {
    const nx_chat_rag *o;
    nx_consult         ask;
    nx_lineedit       *lines;
    nx_buf             said[2 * TURNS_MAX]; /* [n], oldest first: question, answer, question, ... */
    size_t             n;
    int                code;
} talk;

/* ---- What was said ---- */

static void forget(talk *t, size_t n)
{
    for (size_t k = 0; k < n; k++) nx_buf_free(&t->said[k]);
    memmove(t->said, t->said + n, (t->n - n) * sizeof *t->said);
    t->n -= n;
}

static nx_status remember(talk *t, const char *text, size_t len, nx_error *err)
{
    if (t->n == 2 * TURNS_MAX) forget(t, 2);
    t->said[t->n] = (nx_buf){.max = (size_t)64 << 20};
    nx_status st = nx_buf_add(&t->said[t->n], text, len, err);
    if (st)
        nx_buf_free(&t->said[t->n]);
    else
        t->n++;
    return st;
}

static nx_status write_history(nx_jw *w, const talk *t, nx_error *err)
{
    *w = (nx_jw){.buf.max = NX_JW_MAX};
    nx_jw_open(w, NULL, '[');
    for (size_t k = 0; k < t->n; k++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "role", k % 2 ? "assistant" : "user");
        nx_jw_string(w, "content", (nx_str){t->said[k].data, t->said[k].len});
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    return w->st ? nx_fail(err, w->st, "%s", w->err.text) : NX_OK;
}

/* ---- A turn ---- */

/* NX_OK also when the server refused this question: the person has been told why. */
static nx_status take_turn(talk *t, const char *line, nx_error *err)
{
    nx_jw     w;
    nx_status st = write_history(&w, t, err);

    t->ask.question = line;
    t->ask.history = (nx_str){w.buf.data, t->n ? w.buf.len : 0};
    nx_cli_catch_interrupt();
    if (!st) st = nx_consult_run(&t->ask, err);
    nx_cli_release_interrupt();
    nx_buf_free(&w.buf);
    if (!st) st = nx_consult_print_sources(&t->ask, err);
    if (st == NX_ECANCELLED) t->code = NX_CLI_INTERRUPTED;
    if (st && st != NX_ECANCELLED && st != NX_ENOMEM) {
        t->code = nx_cli_fail(err);
        nx_cited_hint(st, t->o->collection);
        return NX_OK;
    }
    if (st == NX_ENOMEM || !t->ask.answer.len) return st == NX_ENOMEM ? st : NX_OK;
    st = remember(t, line, strlen(line), err);
    return st ? st : remember(t, t->ask.answer.data, t->ask.answer.len, err);
}

/* ---- Words to the program itself ---- */

static const char commands_text[] = "  /help      this list\n"
                                    "  /reset     forget the conversation and begin anew\n"
                                    "  /sources   show the words of each source, or no longer\n"
                                    "  /exit      leave, as Ctrl-D does\n";

static bool obey(talk *t, const char *line)
{
    if (!strcmp(line, "/exit") || !strcmp(line, "/quit")) return true;
    if (!strcmp(line, "/reset")) {
        forget(t, t->n);
        nx_out_printf("The conversation begins anew.\n");
    } else if (!strcmp(line, "/sources")) {
        t->ask.show = !t->ask.show;
        nx_out_printf("The words of sources are %s.\n", t->ask.show ? "shown" : "not shown");
    } else {
        nx_out_printf("%s%s", strcmp(line, "/help") ? "No such command; these there are:\n" : "",
                      commands_text);
    }
    nx_out_flush();
    return false;
}

static nx_status converse(talk *t, nx_error *err)
{
    const bool person = nx_lineedit_interactive(t->lines);
    nx_buf     line = {.max = (size_t)1 << 20};
    nx_status  st = NX_OK;
    bool       leave = false;

    while (!st && !leave && !nx_out_gone() && (person || t->code != NX_CLI_INTERRUPTED)) {
        nx_line r = nx_lineedit_read(t->lines, "> ", &line, err);
        if (r == NX_LINE_END) break;
        if (r == NX_LINE_FAILED) st = err->status;
        if (r != NX_LINE_TEXT || !line.len) continue;
        if (person && line.data[0] == '/')
            leave = obey(t, line.data);
        else
            st = take_turn(t, line.data, err);
    }
    nx_buf_free(&line);
    return st;
}

int nx_chat_rag_run(const nx_chat_rag *o)
{
    nx_instance_needs needs = {
        .m = o->m, .embedding = o->embedding, .generates = o->mode != NX_ASK_EXTRACT};
    nx_instance i;
    nx_error    err;
    talk        t = {.o = o,
                     .ask = {.i = &i,
                             .collection = o->collection,
                             .mode = o->mode,
                             .n_predict = o->n_predict,
                             .temperature = o->temperature,
                             .show = o->show}};
    nx_status   st = nx_instance_open_for(&i, o->data, &needs, &err);

    if (!st) st = nx_lineedit_open(&t.lines, !o->no_history, &err);
    if (!st && nx_lineedit_interactive(t.lines))
        nx_out_printf("Documents of %s. /help lists commands, Ctrl-D leaves.\n", o->collection);
    nx_out_flush();
    if (!st) st = converse(&t, &err);
    int        code = st ? nx_cli_fail(&err) : nx_out_finish();
    const bool person = t.lines && nx_lineedit_interactive(t.lines);
    if (code == NX_CLI_DONE && !person) code = t.code;
    forget(&t, t.n);
    nx_consult_free(&t.ask);
    nx_lineedit_close(t.lines);
    nx_instance_close(&i);
    return code;
}
