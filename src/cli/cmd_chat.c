/* cmd_chat.c - a conversation with a model.
 *
 * Owns: model, timeline, sampler and conversation for as long as it lasts.
 * Idea: at a terminal a person types, sees the answer grow and may stop it; from a pipe each line
 *       is a turn, and stdout holds the answers alone, one after the other.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/chat_rag.h"
#include "cli/cited.h"
#include "cli/cli.h"
#include "cli/consult.h"
#include "cli/lineedit.h"
#include "cli/talk.h"
#include "os/clock.h"

typedef struct chat_opts {
    nx_model_opts m;
    nx_sampling   s;
    const char   *system, *template_name;
    bool          no_history;
    nx_chat_rag   rag; /* with --rag: this instead */
} chat_opts;

typedef struct chat {
    chat_opts *o;
    nx_llm    *llm;
    nx_chat *template;
    nx_timeline *tl;
    nx_sampler  *sampler;
    nx_lineedit *lines;
    nx_talk      talk;
    nx_buf       answer; /* of this turn */
    char        *system; /* in force; owned */
    nx_progress  progress;
    int64_t      start_ns, first_ns; /* of this turn, of its first text; 0: none yet */
    int          code;               /* what a pipe's reader gets when a turn went wrong */
} chat;

/* ---- One turn ---- */

static void on_prefill(void *ctx, int64_t done, int64_t total)
{
    chat *c = ctx;

    nx_progress_at(&c->progress, done, total);
}

/* White space before an answer's first word is a habit of models: part of the conversation that
 * they read again, nothing to show. */
static size_t blank_start(const nx_buf *answer, const char *text, size_t len)
{
    size_t n = 0;

    if (strspn(answer->data ? answer->data : "", " \n") < answer->len) return 0;
    while (n < len && (text[n] == ' ' || text[n] == '\n')) n++;
    return n;
}

static int on_text(void *ctx, const char *text, size_t len)
{
    chat  *c = ctx;
    size_t skip = blank_start(&c->answer, text, len);

    if (c->first_ns == 0) {
        c->first_ns = nx_clock_ns();
        nx_progress_end(&c->progress);
    }
    nx_out_write(text + skip, len - skip);
    return nx_out_flush() || nx_buf_add(&c->answer, text, len, NULL);
}

static void report_turn(const chat *c, const nx_generation *g)
{
    const int n_ctx = (int)nx_timeline_ctx(c->tl), n = (int)c->talk.n_forgotten;

    if (n > 0)
        nx_log_warn("the context of %d tokens is full: the %d oldest question%s and answer%s left "
                    "out from now on. /reset begins anew, --ctx N makes it larger",
                    n_ctx, n, n == 1 ? "" : "s", n == 1 ? " are" : "s are");
    if (g->finish == NX_FINISH_LENGTH && g->n_new < g->n_predict)
        nx_log_warn("the context of %d tokens is full: the answer stops here", n_ctx);
    else if (g->finish == NX_FINISH_LENGTH)
        nx_log_warn("the answer stops after %d tokens; -n N allows more", (int)g->n_new);
    nx_sampling_figures(nx_lineedit_interactive(c->lines) ? NX_LOG_INFO : NX_LOG_DEBUG, g,
                        c->first_ns ? (double)(c->first_ns - c->start_ns) * 1e-9 : 0,
                        c->o->s.opt.seed);
}

/* NX_OK also when the model couldn't take this message: the person has been told why. */
static nx_status take_turn(chat *c, const char *text, size_t len, nx_error *err)
{
    nx_generation g = {.n_predict = c->o->s.n_predict,
                       .sampler = c->sampler,
                       .stop = c->o->s.stop.v,
                       .n_stop = c->o->s.stop.n,
                       .ignore_end = c->o->s.ignore_end,
                       .on_text = on_text,
                       .on_prefill = on_prefill,
                       .ctx = c,
                       .cancel = &nx_cli_cancel};
    nx_status     st;

    nx_buf_clear(&c->answer);
    c->start_ns = nx_clock_ns();
    c->first_ns = 0;
    nx_progress_begin(&c->progress, "reading", "tokens");
    nx_cli_catch_interrupt();
    st = nx_talk_say(&c->talk, &g, &c->answer, text, len, err);
    nx_cli_release_interrupt();
    nx_progress_end(&c->progress);
    if (st == NX_ELIMIT) {
        nx_log_error("%s", err->text);
        c->code = NX_CLI_FAILED;
        return NX_OK;
    }
    if (st) return st;
    if (c->answer.len == 0 || c->answer.data[c->answer.len - 1] != '\n') nx_out_write("\n", 1);
    nx_out_flush();
    report_turn(c, &g);
    if (g.finish == NX_FINISH_CANCELLED) c->code = NX_CLI_INTERRUPTED;
    return NX_OK;
}

/* ---- Words to the program itself, at a terminal ---- */

static const char commands_text[] =
    "  /help          this list\n"
    "  /reset         forget the conversation and begin anew\n"
    "  /system TEXT   begin anew with TEXT as instructions; without TEXT, show them\n"
    "  /exit          leave, as Ctrl-D does\n"
    "Ctrl-C stops an answer. A line that ends in \\ goes on in the next one.\n";

static nx_status set_system(chat *c, const char *text, nx_error *err)
{
    char *copy = nx_strdup(text ? text : "");

    if (!copy) return nx_fail(err, NX_ENOMEM, "system text");
    nx_free(c->system);
    c->system = copy;
    return nx_talk_reset(&c->talk, c->system, err);
}

static bool is_word(const char *line, const char *word)
{
    const size_t n = strlen(word);

    return strncmp(line, word, n) == 0 && (line[n] == '\0' || line[n] == ' ');
}

/* Whether line looks like a command: a slash and letters, so that "/etc/hosts" stays a text. */
static bool is_command(const char *line)
{
    const size_t n = strspn(line + (line[0] == '/'), "abcdefghijklmnopqrstuvwxyz");

    return line[0] == '/' && n > 0 && (line[1 + n] == '\0' || line[1 + n] == ' ');
}

static nx_status obey(chat *c, const char *line, bool *leave, nx_error *err)
{
    nx_status st = NX_OK;

    if (is_word(line, "/exit") || is_word(line, "/quit")) {
        *leave = true;
    } else if (is_word(line, "/help")) {
        nx_out_printf("%s", commands_text);
    } else if (is_word(line, "/reset")) {
        st = nx_talk_reset(&c->talk, c->system, err);
        nx_out_printf("The conversation begins anew.\n");
    } else if (is_word(line, "/system")) {
        const char *text = line + strlen("/system");
        text += strspn(text, " ");
        if (*text) st = set_system(c, text, err);
        nx_out_printf(*text ? "The conversation begins anew with these instructions.\n"
                            : "Instructions: %s\n",
                      *c->system ? c->system : "none");
    } else {
        nx_out_printf("No such command; these there are:\n%s", commands_text);
    }
    nx_out_flush();
    return st;
}

/* ---- The conversation ---- */

static void greet(const chat *c)
{
    const nx_checkpoint *cp = c->llm->cp;
    const char          *path = nx_checkpoint_path(cp);
    const char          *name = strrchr(path, '/');

    if (!nx_lineedit_interactive(c->lines)) return;
    nx_out_printf("%s, template %s, context %d. /help lists commands, Ctrl-D leaves.\n",
                  name ? name + 1 : path, nx_chat_name(c->template), (int)nx_timeline_ctx(c->tl));
    nx_out_flush();
}

/* A person who stops one answer goes on talking; a script that is stopped ends. */
static bool interrupted_in_pipe(const chat *c)
{
    return c->code == NX_CLI_INTERRUPTED && !nx_lineedit_interactive(c->lines);
}

static nx_status converse(chat *c, nx_error *err)
{
    const char *prompt = "> ";
    nx_buf      line = {.max = (size_t)1 << 30};
    nx_status   st = NX_OK;
    bool        leave = false;

    while (!st && !leave && !nx_out_gone() && !interrupted_in_pipe(c)) {
        switch (nx_lineedit_read(c->lines, prompt, &line, err)) {
        case NX_LINE_END: leave = true; break;
        case NX_LINE_FAILED: st = err->status; break;
        case NX_LINE_DROPPED: break;
        case NX_LINE_TEXT:
            if (line.len == 0) break;
            if (nx_lineedit_interactive(c->lines) && is_command(line.data))
                st = obey(c, line.data, &leave, err);
            else
                st = take_turn(c, line.data, line.len, err);
            break;
        }
    }
    nx_buf_free(&line);
    return st;
}

static nx_status open_chat(chat *c, nx_error *err)
{
    nx_status st = nx_open_llm(&c->llm, &c->o->m, err);

    if (st) return st;
    if (!c->llm->vocab)
        return nx_fail(err, NX_EUNSUPPORTED, "%s: has no vocabulary, so it can't read or say text",
                       nx_checkpoint_path(c->llm->cp));
    st = nx_chat_open(&c->template, c->llm->cp, c->llm->vocab, c->o->template_name, err);
    if (!st) st = nx_sampling_open(&c->sampler, &c->o->s, c->llm->model->hp.n_vocab, err);
    if (!st) st = nx_open_timeline(&c->tl, c->llm, &c->o->m, err);
    if (!st) st = nx_lineedit_open(&c->lines, !c->o->no_history, err);
    c->talk = (nx_talk){.tl = c->tl, .chat = c->template};
    return st ? st : set_system(c, c->o->system, err);
}

static int run(chat_opts *o)
{
    chat      c = {.o = o, .answer.max = (size_t)1 << 30};
    nx_error  err;
    int       code;
    nx_status st = open_chat(&c, &err);

    if (!st) {
        greet(&c);
        st = converse(&c, &err);
    }
    code = st ? nx_cli_fail(&err) : nx_out_finish();
    if (code == NX_CLI_DONE && !nx_lineedit_interactive(c.lines)) code = c.code;
    nx_lineedit_close(c.lines);
    nx_talk_close(&c.talk);
    nx_free(c.system);
    nx_buf_free(&c.answer);
    nx_timeline_destroy(c.tl);
    nx_sampler_destroy(c.sampler);
    nx_chat_close(c.template);
    nx_llm_close(c.llm);
    return code;
}

/* The help of --template, with all names. */
static void template_help(char *out, size_t cap)
{
    const char *const *names = nx_chat_names();
    size_t             len = (size_t)snprintf(out, cap,
                                              "the model's own by default; one of its named "
                                                          "templates, a file of Jinja, or one of");

    for (size_t i = 0; names[i] && len < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s %s", i ? "," : "", names[i]);
}

/* The server samples as it does; what it can be told are temperature and length. */
static int run_rag(chat_opts *o)
{
    nx_sampling usual;

    nx_sampling_default(&usual);
    if (o->system || o->template_name)
        return nx_cli_misuse("chat", "--rag: the collection has its own template; --system and "
                                     "--template have no place in it");
    o->rag.m = o->m;
    o->rag.no_history = o->no_history;
    o->rag.n_predict = o->s.n_predict < 4096 ? o->s.n_predict : 4096;
    o->rag.temperature =
        o->s.opt.temperature < usual.opt.temperature || o->s.opt.temperature > usual.opt.temperature
            ? o->s.opt.temperature
            : -1;
    nx_sampling_free(&usual);
    return nx_chat_rag_run(&o->rag);
}

int nx_cmd_chat(int argc, char **argv)
{
    chat_opts o = {.m = NX_MODEL_OPTS_DEFAULT};
    nx_args   args;
    char      templates[512];

    nx_sampling_default(&o.s);
    template_help(templates, sizeof templates);
    o.s.n_predict = 1024; /* an answer ends by itself; this is for those that don't */
    const nx_opt opts[] = {
        NX_OPT_GROUP("Conversation"),
        NX_OPT("system", 0, NX_OPT_TEXT, &o.system, "TEXT", "instructions that come before it",
               .env = true),
        NX_OPT("template", 0, NX_OPT_TEXT, &o.template_name, "NAME|FILE", templates, .env = true),
        NX_OPT("no-history", 0, NX_OPT_FLAG, &o.no_history, NULL, "keep no history of lines typed"),
        NX_OPT_GROUP("With documents"),
        NX_OPT("rag", 0, NX_OPT_TEXT, &o.rag.collection, "COLLECTION",
               "answer from these documents (nexus index), with sources"),
        NX_OPT("mode", 0, NX_OPT_CHOICE, &o.rag.mode, "MODE", "of the answers, as of nexus ask",
               .choices = NX_ASK_MODES),
        NX_OPT("show-sources", 0, NX_OPT_FLAG, &o.rag.show, NULL,
               "print the words of each source, too"),
        NX_OPT_DATA(o.rag.data),
        NX_OPT_EMBEDDING(o.rag.embedding),
        NX_SAMPLING_OPTS(o.s),
        NX_MODEL_OPTS(o.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "chat",
        .synopsis = "[-m MODEL] [--system TEXT | --rag COLLECTION] [options]",
        .about =
            "Talk to a model. Ctrl-C stops an answer, Ctrl-D leaves, the arrow keys bring back\n"
            "earlier lines, and a line that ends in \\ goes on in the next one. From a pipe,\n"
            "each line is a turn and the answers go to stdout.",
        .examples = "  nexus chat\n"
                    "  nexus chat -m model.gguf --system 'Answer in one sentence.' --temp 0\n"
                    "  echo 'What is the package grep for?' | nexus chat\n"
                    "  nexus chat --rag handbook",
        .options = opts,
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);

    if (code == NX_CLI_GO) code = nx_sampling_check(&o.s, "chat");
    if (code == NX_CLI_GO) code = o.rag.collection ? run_rag(&o) : run(&o);
    nx_sampling_free(&o.s);
    return code;
}
