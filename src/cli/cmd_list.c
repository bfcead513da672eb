/* cmd_list.c - `nexus list`: the models on this machine. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/own_models.h"

static void date_of(int64_t unix_s, char out[16])
{
    time_t    t = (time_t)unix_s;
    struct tm tm;

    snprintf(out, 16, "-");
    if (unix_s > 0 && localtime_r(&t, &tm)) strftime(out, 16, "%Y-%m-%d", &tm);
}

static int print_table(const nx_hub_models *m, const char *where)
{
    char   bytes[32], day[16];
    size_t width = 4;

    for (size_t i = 0; i < m->n; i++)
        if (strlen(m->v[i].name) > width) width = strlen(m->v[i].name);
    if (width > 60) width = 60;
    if (m->n)
        nx_out_printf("%-*s  %-7s  %-11s  %9s  %-10s  %s\n", (int)width, "NAME", "COMMIT", "FORMAT",
                      "SIZE", "USED", "WHAT");
    for (size_t i = 0; i < m->n; i++) {
        const nx_hub_model *v = &m->v[i];
        nx_format_bytes(bytes, sizeof bytes, v->bytes);
        date_of(v->used_unix, day);
        nx_out_printf("%-*s  %-7.7s  %-11s  %9s  %-10s  %s%s%s\n", (int)width, v->name,
                      *v->revision ? v->revision : "-", v->format, bytes, day, v->variants,
                      *v->variants && *v->refs && strcmp(v->refs, "main") ? "; " : "",
                      strcmp(v->refs, "main") ? v->refs : "");
    }
    nx_format_bytes(bytes, sizeof bytes, m->bytes);
    if (m->n)
        nx_log_info("%zu model%s, %s on disk in %s", m->n, m->n == 1 ? "" : "s", bytes, where);
    else
        nx_log_info("no models in %s yet. Fetch one: nexus pull ORG/NAME", where);
    return nx_out_finish();
}

static int print_json(const nx_hub_models *m)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_open(&w, "models", '[');
    for (size_t i = 0; i < m->n; i++) {
        const nx_hub_model *v = &m->v[i];
        nx_jw_open(&w, NULL, '{');
        nx_jw_text(&w, "name", v->name);
        nx_jw_text(&w, "commit", v->revision);
        nx_jw_text(&w, "refs", v->refs);
        nx_jw_text(&w, "format", v->format);
        nx_jw_text(&w, "variants", v->variants);
        nx_jw_u64(&w, "bytes", v->bytes);
        nx_jw_int(&w, "used", v->used_unix);
        nx_jw_close(&w, '}');
    }
    nx_jw_close(&w, ']');
    nx_jw_u64(&w, "bytes_on_disk", m->bytes);
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

int nx_cmd_list(int argc, char **argv)
{
    bool         json = false;
    const nx_opt opts[] = {
        NX_OPT("json", 0, NX_OPT_FLAG, &json, NULL, "print {\"models\":[..]}"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "list",
        .synopsis = "[--json]",
        .about = "List the models of the Hugging Face cache ($HF_HOME/hub) and of our own model\n"
                 "folder (NEXUS_MODELS, else ~/.local/share/nexus/models). Their names can be\n"
                 "given to every command's -m.",
        .examples = "  nexus list",
        .options = opts,
    };
    nx_hub        hub;
    nx_hub_models models;
    nx_args       args;
    nx_error      err;
    int           code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    nx_status st = nx_hub_open(&hub, &err);
    if (!st) st = nx_hub_models_read(&models, &hub, &err);
    if (st) return nx_cli_fail(&err);
    st = nx_own_models_read(&models, &err);
    code = st ? nx_cli_fail(&err) : json ? print_json(&models) : print_table(&models, hub.cache);
    nx_hub_models_free(&models);
    return code;
}
