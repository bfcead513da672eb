/* cmd_ps.c - `nexus ps` and `nexus stop`: what the running server does, and its end. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/control.h"

#define ANSWER_MAX ((size_t)64 << 20)

/* ---- ps ---- */

static int64_t integer(const nx_json *o, const char *key)
{
    int64_t x = 0;

    nx_json_get_int(o, key, &x);
    return x;
}

static nx_str word(const nx_json *o, const char *key)
{
    nx_str s = {"-", 1};

    nx_json_get_string(o, key, &s);
    return s;
}

static void print_models(const nx_json *models)
{
    char bytes[32];

    nx_out_printf("%-28s %-9s %9s %8s %8s\n", "MODEL", "STATE", "MEMORY", "RUNNING", "WAITING");
    for (size_t i = 0; models && i < models->array.n; i++) {
        const nx_json *m = &models->array.items[i];
        nx_str         name = word(m, "name"), state = word(m, "state");
        int64_t        n = integer(m, "loaded_bytes");
        nx_format_bytes(bytes, sizeof bytes, (uint64_t)n);
        nx_out_printf("%-28.*s %-9.*s %9s %8lld %8lld\n", (int)name.len, name.p, (int)state.len,
                      state.p, n ? bytes : "-", (long long)integer(m, "running"),
                      (long long)integer(m, "waiting"));
    }
}

static void print_requests(const nx_json *list)
{
    for (size_t i = 0; list && i < list->array.n; i++) {
        const nx_json *r = &list->array.items[i];
        nx_str         id = word(r, "id"), model = word(r, "model"), state = word(r, "state");
        nx_str         key = word(r, "key");
        char           progress[48];
        snprintf(progress, sizeof progress, "%lld/%lld+%lld", (long long)integer(r, "tokens_read"),
                 (long long)integer(r, "prompt_tokens"), (long long)integer(r, "generated_tokens"));
        nx_out_printf("%-24.*s %-16.*s %-8.*s %-9.*s %14s %7.1f s\n", (int)id.len, id.p,
                      (int)model.len, model.p, (int)state.len, state.p, (int)key.len, key.p,
                      progress, (double)integer(r, "age_ms") / 1000);
    }
}

static nx_status show(const char *data, bool json, nx_error *err)
{
    nx_json_doc models = {0}, requests = {0};
    nx_buf      models_text = {.max = ANSWER_MAX}, requests_text = {.max = ANSWER_MAX};
    nx_status   st =
        nx_control_ask_once(data, "GET", "/admin/models", (nx_str){0}, &models, &models_text, err);

    if (!st)
        st = nx_control_ask_once(data, "GET", "/admin/requests", (nx_str){0}, &requests,
                                 &requests_text, err);
    if (!st && json) {
        nx_out_printf("{\"models\":%s,\"requests\":%s}\n", models_text.data, requests_text.data);
    } else if (!st) {
        const nx_json *running = nx_json_get(requests.root, "running");
        const nx_json *waiting = nx_json_get(requests.root, "waiting");
        print_models(nx_json_get(models.root, "models"));
        if ((running && running->array.n) || (waiting && waiting->array.n))
            nx_out_printf("\n%-24s %-16s %-8s %-9s %14s %9s\n", "REQUEST", "MODEL", "STATE", "KEY",
                          "READ/ALL+NEW", "AGE");
        print_requests(running);
        print_requests(waiting);
    }
    nx_json_doc_free(&models);
    nx_json_doc_free(&requests);
    nx_buf_free(&models_text);
    nx_buf_free(&requests_text);
    return st;
}

#define OPT_DATA(data)                                                                             \
    NX_OPT("data", 0, NX_OPT_TEXT, &(data), "DIR",                                                 \
           "the server's data folder; default: $XDG_DATA_HOME/nexus", .env = true)

int nx_cmd_ps(int argc, char **argv)
{
    const char  *data = NULL;
    bool         json = false;
    const nx_opt opts[] = {
        OPT_DATA(data),
        NX_OPT("json", 0, NX_OPT_FLAG, &json, NULL,
               "print what /admin/models and /admin/requests say"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "ps",
        .synopsis = "[options]",
        .about = "List the models of the running server, and the requests that run and wait:\n"
                 "of each prompt how many tokens are read, and how many new ones there are.",
        .examples = "  nexus ps\n  nexus ps --json",
        .options = opts,
    };
    nx_args  args;
    nx_error err;
    int      code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    return show(data, json, &err) ? nx_cli_fail(&err) : nx_out_finish();
}

/* ---- stop ---- */

/* Until nobody answers any more. */
static void wait_for_end(const char *data, int32_t most_s)
{
    for (int32_t i = 0; i < most_s * 10 && !atomic_load(&nx_cli_cancel); i++) {
        nx_json_doc     doc;
        nx_buf          text = {.max = ANSWER_MAX};
        struct timespec nap = {.tv_nsec = 100000000};
        nx_status st = nx_control_ask_once(data, "GET", "/livez", (nx_str){0}, &doc, &text, NULL);
        nx_json_doc_free(&doc);
        nx_buf_free(&text);
        if (st == NX_EBUSY) return;
        nanosleep(&nap, NULL);
    }
}

static nx_status stop(const char *data, int32_t drain, nx_error *err)
{
    char        body[64] = "{}";
    nx_buf      text = {.max = ANSWER_MAX};
    nx_json_doc doc;

    if (drain >= 0) snprintf(body, sizeof body, "{\"drain\": %d}", drain);
    nx_status st =
        nx_control_ask_once(data, "POST", "/admin/stop", nx_str_of(body), &doc, &text, err);
    int64_t given = st ? 0 : integer(doc.root, "drain"),
            running = st ? 0 : integer(doc.root, "running");
    nx_json_doc_free(&doc);
    nx_buf_free(&text);
    if (st) return st;
    if (running)
        nx_log_info("%lld answers are under way; they have %lld seconds", (long long)running,
                    (long long)given);
    nx_cli_catch_interrupt();
    wait_for_end(data, (int32_t)given + 15);
    nx_cli_release_interrupt();
    return NX_OK;
}

int nx_cmd_stop(int argc, char **argv)
{
    const char  *data = NULL;
    int32_t      drain = -1;
    const nx_opt opts[] = {
        OPT_DATA(data),
        NX_OPT("drain", 0, NX_OPT_INT, &drain, "SECONDS",
               "how long answers that are under way may go on; default: as the server was started",
               .min = -1, .max = 86400),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "stop",
        .synopsis = "[options]",
        .about =
            "Stop the running server: it takes no new questions, finishes the answers that are\n"
            "under way, and ends. Returns when it has.",
        .examples = "  nexus stop\n  nexus stop --drain 0",
        .options = opts,
    };
    nx_args  args;
    nx_error err;
    int      code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    return stop(data, drain, &err) ? nx_cli_fail(&err) : NX_CLI_DONE;
}
