/* cmd_template.c - what a chat template makes of a conversation: the text, or its ids. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "os/file.h"
#include "token/chat.h"
#include "token/chat_style.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
#define VARS_MAX       32

typedef struct template_opts {
    nx_model_opts m;
    const char   *messages, *tools, *documents, *name, *bos, *eos, *time;
    nx_texts      vars;
    bool          no_prompt, ids;
} template_opts;

/* A JSON text with the bytes that it views. */
typedef struct json_text {
    nx_buf      bytes;
    nx_json_doc doc;
} json_text;

typedef struct job {
    const template_opts *o;
    nx_checkpoint       *cp;
    nx_vocab            *vocab;
    nx_chat             *chat;
    json_text            messages, tools, documents, values[VARS_MAX];
    char                *names[VARS_MAX];
    nx_jinja_var         vars[VARS_MAX + 2];
    nx_chat_request      request;
} job;

/* ---- What the template is told ---- */

static void json_free(json_text *t)
{
    nx_json_doc_free(&t->doc);
    nx_buf_free(&t->bytes);
}

static nx_status parse(json_text *t, const char *name, nx_error *err)
{
    return nx_json_parse(&t->doc, name, t->bytes.data ? t->bytes.data : "", t->bytes.len,
                         NX_JSON_PYTHON, err);
}

/* An array in a file; *out stays NULL without one. */
static nx_status read_array(json_text *t, const nx_json **out, const char *path, nx_error *err)
{
    nx_status st;

    if (!path) return NX_OK;
    t->bytes.max = FILE_BYTES_MAX;
    st = strcmp(path, "-") == 0 ? nx_fd_read_all(&t->bytes, STDIN_FILENO, "stdin", err)
                                : nx_file_read_all(&t->bytes, path, err);
    if (!st) st = parse(t, path, err);
    if (st) return st;
    if (t->doc.root->type != NX_JSON_ARRAY && !nx_json_absent(t->doc.root)) {
        return nx_fail(err, NX_EFORMAT, "%s: expected an array, found %s", path,
                       nx_json_type_name(t->doc.root));
    }
    if (!nx_json_absent(t->doc.root)) *out = t->doc.root;
    return NX_OK;
}

/* KEY=JSON */
static nx_status add_variable(job *b, nx_str text, nx_error *err)
{
    const size_t i = b->request.n_vars;
    const char  *equals = memchr(text.p, '=', text.len);
    json_text   *t = &b->values[i];
    nx_status    st;

    if (i == VARS_MAX) return nx_fail(err, NX_ELIMIT, "more than %d --var", VARS_MAX);
    if (!equals || equals == text.p)
        return nx_fail(err, NX_EINVAL, "--var %s: expected KEY=JSON", text.p);
    b->names[i] = nx_strndup(text.p, (size_t)(equals - text.p));
    if (!b->names[i]) return nx_fail(err, NX_ENOMEM, "--var");
    t->bytes.max = FILE_BYTES_MAX;
    st = nx_buf_add(&t->bytes, equals + 1, text.len - (size_t)(equals + 1 - text.p), err);
    if (!st) st = parse(t, b->names[i], err);
    if (st) return nx_fail_prefix(err, st, "--var (a text needs its quotes)");
    b->vars[i] = (nx_jinja_var){.name = b->names[i], .json = t->doc.root};
    b->request.n_vars++;
    return NX_OK;
}

/* "2026-03-05" or "2026-03-05T07:08:09", local time. */
static nx_status parse_time(int64_t *unix_ms, const char *text, nx_error *err)
{
    struct tm tm = {.tm_isdst = -1};
    int       n = 0, end = 0;

    if (!text) return NX_OK;
    n = sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &end);
    if (n == 3 && text[end] == 'T')
        n = sscanf(text + end, "T%2d:%2d:%2d", &tm.tm_hour, &tm.tm_min, &tm.tm_sec);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    time_t t = n == 3 ? mktime(&tm) : (time_t)-1;
    if (t == (time_t)-1)
        return nx_fail(err, NX_EINVAL, "--time %s: expected YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS",
                       text);
    *unix_ms = (int64_t)t * 1000;
    return NX_OK;
}

static nx_status prepare(job *b, nx_error *err)
{
    const template_opts *o = b->o;
    nx_chat_request     *r = &b->request;
    nx_status            st = read_array(&b->messages, &r->messages, o->messages, err);

    if (!st) st = read_array(&b->tools, &r->tools, o->tools, err);
    if (!st) st = read_array(&b->documents, &r->documents, o->documents, err);
    if (!st && !r->messages)
        st = nx_fail(err, NX_EFORMAT, "%s: expected an array, found null", o->messages);
    for (size_t i = 0; i < o->vars.n && !st; i++) st = add_variable(b, o->vars.v[i], err);
    if (!st) st = parse_time(&r->options.unix_ms, o->time, err);
    if (o->bos)
        b->vars[r->n_vars++] = (nx_jinja_var){.name = "bos_token", .text = nx_str_of(o->bos)};
    if (o->eos)
        b->vars[r->n_vars++] = (nx_jinja_var){.name = "eos_token", .text = nx_str_of(o->eos)};
    r->vars = b->vars;
    r->answer = !o->no_prompt;
    return st;
}

/* ---- The template ---- */

/* A file or a built-in template stands alone where no model is named. */
static bool stands_alone(const template_opts *o)
{
    if (o->m.model || !o->name || o->ids) return false;
    return nx_chat_style_find(o->name) || nx_file_exists(o->name);
}

static nx_status open_template(job *b, nx_error *err)
{
    const template_opts *o = b->o;
    nx_status            st = NX_OK;

    if (!stands_alone(o)) {
        st = nx_open_checkpoint(&b->cp, o->m.model, err);
        if (!st) st = nx_vocab_open(&b->vocab, b->cp, err);
    }
    return st ? st : nx_chat_open(&b->chat, b->cp, b->vocab, o->name, err);
}

static nx_status print_ids(const job *b, nx_error *err)
{
    nx_ids    ids = {0};
    nx_status st = nx_chat_encode_request(b->chat, &ids, &b->request, err);

    for (size_t i = 0; i < ids.n; i++) nx_out_printf(i ? " %d" : "%d", (int)ids.ids[i]);
    if (!st) nx_out_printf("\n");
    nx_ids_free(&ids);
    return st;
}

static nx_status print_text(const job *b, nx_error *err)
{
    nx_jinja_result r = {0};
    nx_status       st = nx_chat_render(b->chat, &r, &b->request, err);

    if (!st) nx_out_write(r.text.data, r.text.len);
    nx_jinja_result_free(&r);
    return st;
}

static int run(const template_opts *o)
{
    job       b = {.o = o};
    nx_error  err;
    nx_status st = prepare(&b, &err);

    if (!st) st = open_template(&b, &err);
    if (!st) st = o->ids ? print_ids(&b, &err) : print_text(&b, &err);
    int code = st ? nx_cli_fail(&err) : nx_out_finish();
    nx_chat_close(b.chat);
    nx_vocab_close(b.vocab);
    nx_checkpoint_close(b.cp);
    json_free(&b.messages);
    json_free(&b.tools);
    json_free(&b.documents);
    for (int i = 0; i < VARS_MAX; i++) {
        json_free(&b.values[i]);
        nx_free(b.names[i]);
    }
    return code;
}

int nx_cmd_template(int argc, char **argv)
{
    template_opts o = {.m = NX_MODEL_OPTS_DEFAULT};
    nx_args       args;
    const nx_opt  opts[] = {
        NX_OPT("messages", 0, NX_OPT_TEXT, &o.messages, "FILE",
                "the conversation: a JSON array of {\"role\", \"content\", ...}; - is stdin"),
        NX_OPT("tools", 0, NX_OPT_TEXT, &o.tools, "FILE", "a JSON array of tools"),
        NX_OPT("documents", 0, NX_OPT_TEXT, &o.documents, "FILE", "a JSON array of documents"),
        NX_OPT("var", 0, NX_OPT_LIST, &o.vars, "KEY=JSON",
                "one more variable, enable_thinking=false (can be repeated)"),
        NX_OPT("no-generation-prompt", 0, NX_OPT_FLAG, &o.no_prompt, NULL,
                "don't open the assistant's turn"),
        NX_OPT("template", 0, NX_OPT_TEXT, &o.name, "NAME|FILE",
                "a named template of the model, a built-in one, or a file of Jinja", .env = true),
        NX_OPT("ids", 0, NX_OPT_FLAG, &o.ids, NULL, "print the token ids instead of the text"),
        NX_OPT("bos", 0, NX_OPT_TEXT, &o.bos, "TEXT", "bos_token, instead of the model's"),
        NX_OPT("eos", 0, NX_OPT_TEXT, &o.eos, "TEXT", "eos_token, instead of the model's"),
        NX_OPT("time", 0, NX_OPT_TEXT, &o.time, "TIME",
                "what strftime_now says: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS; default: now"),
        NX_OPT_MODEL(o.m),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "template",
        .synopsis = "[-m MODEL] --messages FILE [options]",
        .about =
            "Print what a model's chat template makes of a conversation, byte for byte, or its\n"
            "token ids. Control tokens spelled in messages stay text. With --template alone, a\n"
            "file or a built-in template is run without a model.",
        .examples = "  nexus template -m model.gguf --messages talk.json\n"
                    "  nexus template -m model.gguf --messages talk.json --tools tools.json --ids\n"
                    "  echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | nexus template "
                    "--template chatml --messages -",
        .options = opts,
    };
    int code = nx_opt_parse(&usage, &args, argc, argv);

    if (code == NX_CLI_GO && !o.messages)
        code = nx_cli_misuse("template", "no --messages FILE given: - reads stdin");
    if (code == NX_CLI_GO) code = run(&o);
    nx_texts_free(&o.vars);
    return code;
}
