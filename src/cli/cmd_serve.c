/* cmd_serve.c - `nexus serve`: the server from the command line, until somebody stops it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/model_list.h"
#include "cli/serve_models.h"
#include "lib/backends.h"
#include "os/memory.h"
#include "os/notify.h"
#include "os/process.h"
#include "server/server.h"

typedef struct serve_opts {
    nx_serve_opts     s;
    nx_server_options o;
    nx_texts          models, origins, hosts;
    const char       *listen;
    int32_t           port, ops_port, qdrant_port, max_body_mb, max_points_mb, idle_s;
    float             memory_gb;
    const char       *keep_alive;
} serve_opts;

/* ---- Signals: the first asks, the second ends ---- */

static volatile sig_atomic_t stop_asked, reopen_asked;

static void on_signal(int sig)
{
    if (sig == SIGHUP) {
        reopen_asked = 1;
        return;
    }
    if (stop_asked) _exit(NX_CLI_INTERRUPTED);
    stop_asked = 1;
}

static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};

    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
}

/* ---- The rest of the options ---- */

/* "30s", "5m", "2h", "300": seconds. */
static int read_keep_alive(int32_t *out, const char *text)
{
    char         *end;
    unsigned long n;

    *out = 0;
    if (!text || !*text) return NX_CLI_GO;
    n = strtoul(text, &end, 10);
    unsigned long unit = *end == 'h' ? 3600 : *end == 'm' ? 60 : 1;
    if (end == text || (*end && !strchr("smh", *end)) || (*end && end[1]) || n > 1000000)
        return nx_cli_misuse("serve", "--keep-alive: expected seconds, 30s, 5m or 2h, found '%s'",
                             text);
    *out = (int32_t)(n * unit);
    return NX_CLI_GO;
}

static const char **pointers(const nx_texts *t)
{
    const char **list = nx_calloc(t->n, sizeof *list);

    for (size_t i = 0; list && i < t->n; i++) list[i] = t->v[i].p;
    return list;
}

static int settle(serve_opts *o)
{
    nx_server_options *s = &o->o;
    int                code = read_keep_alive(&s->keep_alive_s, o->keep_alive);

    if (code != NX_CLI_GO) return code;
    s->port = (uint16_t)o->port;
    s->ops_port = o->ops_port;
    s->qdrant_port = o->qdrant_port;
    s->points_body_max = (size_t)o->max_points_mb << 20;
    s->http.body_bytes_max = (size_t)o->max_body_mb << 20;
    s->http.idle_ms = o->idle_s * 1000;
    s->memory_bytes =
        o->memory_gb > 0 ? (uint64_t)((double)o->memory_gb * 1e9) : nx_memory_available();
    o->s.memory_bytes = s->memory_bytes;
    if (s->access_log && !*s->access_log) s->access_log = NULL;
    if (!o->listen) return NX_CLI_GO;
    if (!strncmp(o->listen, "unix:", 5) && o->listen[5]) {
        s->unix_path = o->listen + 5;
        return NX_CLI_GO;
    }
    return nx_cli_misuse("serve", "--listen: expected unix:PATH, found '%s'", o->listen);
}

/* ---- What a person sees ---- */

static void print_plan(const nx_serve_opts *o, const nx_model_spec *first)
{
    nx_serve_plan p;
    nx_error      err;
    char          weights[32], kv[32], work[32];

    if (nx_serve_plan_make(&p, o, first->path, &err)) {
        fprintf(stderr, "  memory     unknown: %s\n", err.text);
        return;
    }
    nx_format_bytes(weights, sizeof weights, p.weights);
    nx_format_bytes(kv, sizeof kv, p.kv);
    nx_format_bytes(work, sizeof work, p.work);
    fprintf(stderr, "  memory     %s weights, %s cache (%d positions in %s), %s work\n", weights,
            kv, p.n_positions, p.kv_type, work);
    fprintf(stderr, "  at once    %d answers of up to %d tokens each\n", p.parallel, p.n_ctx);
}

static void print_question(const char *url, const char *unix_path, bool keys)
{
    fprintf(stderr,
            "  ask        curl %s%s%s%s/v1/chat/completions%s \\\n"
            "               -H 'Content-Type: application/json' \\\n"
            "               -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is a page "
            "cache?\"}]}'\n",
            unix_path ? "--unix-socket " : "", unix_path ? unix_path : "", unix_path ? " " : "",
            unix_path ? "http://localhost" : url, keys ? " -H 'Authorization: Bearer nx-...'" : "");
}

static void print_block(const serve_opts *o, const nx_server *s)
{
    char url[300];
    bool v6 = strchr(o->o.host, ':') != NULL, keys = nx_server_wants_keys(s);

    snprintf(url, sizeof url, "http%s://%s%s%s:%d", o->o.tls_cert ? "s" : "", v6 ? "[" : "",
             o->o.host, v6 ? "]" : "", nx_server_port(s));
    fprintf(stderr, "nexus %s is listening\n", NX_VERSION);
    if (o->o.unix_path)
        fprintf(stderr, "  address    unix:%s\n", o->o.unix_path);
    else
        fprintf(stderr, "  address    %s (documentation: %s/docs)\n", url, url);
    if (o->o.ops_port >= 0)
        fprintf(stderr, "  operators  port %d: /livez /readyz /startupz /health /metrics\n",
                nx_server_ops_port(s));
    if (o->o.qdrant_port >= 0)
        fprintf(stderr, "  qdrant     port %d: the collections, for Qdrant's clients\n",
                nx_server_qdrant_port(s));
    for (size_t i = 0; i < o->o.n_models; i++)
        fprintf(stderr, "  %s      %s%s\n", i ? "     " : "model", o->o.models[i].name,
                i ? " (loaded when asked for)" : "");
    print_plan(&o->s, &o->o.models[0]);
    fprintf(stderr, "  data       %s; %s\n", nx_server_data(s),
            keys ? "a key is needed" : "no key is needed, since only this machine can ask");
    print_question(url, o->o.unix_path, keys);
    fprintf(stderr, "  stop       Ctrl-C, or nexus stop\n");
}

static void tell_left(void *ctx, int n_left)
{
    (void)ctx;
    if (n_left)
        nx_log_info("stopping: %d answers are under way (Ctrl-C again ends at once)", n_left);
}

/* ---- The command ---- */

/* A model that isn't there, or is none, or can't fit, is better told now than to the first who asks. */
static int check_models(const serve_opts *o)
{
    for (size_t i = 0; i < o->o.n_models; i++) {
        uint64_t    bytes;
        nx_error    err;
        char        needs[32], has[32];
        const char *path = o->o.models[i].path;

        if (o->o.opener.plan(o->o.opener.ctx, path, &bytes, &err)) return nx_cli_fail(&err);
        if (bytes <= o->o.memory_bytes || o->s.m.no_memory_check) continue;
        nx_format_bytes(needs, sizeof needs, bytes);
        nx_format_bytes(has, sizeof has, o->o.memory_bytes);
        nx_log_error(
            "model %s needs %s, and there are %s. Try a smaller --positions, --parallel "
            "or --ctx, --kv-type q8_0, or --quantize nf4; --no-memory-check tries all the same",
            o->o.models[i].name, needs, has);
        return NX_CLI_FAILED;
    }
    return NX_CLI_GO;
}

static int read_models(nx_model_list *out, const nx_texts *given)
{
    nx_error  err;
    nx_status st = nx_model_list_make(out, given, &err);

    if (st == NX_EINVAL) return nx_cli_misuse("serve", "%s", err.text);
    return st ? nx_cli_fail(&err) : NX_CLI_GO;
}

static int32_t wait_for_stop(nx_server *s)
{
    for (;;) {
        int32_t drain = nx_server_wait_stop(s, &stop_asked, &reopen_asked);
        if (!reopen_asked) return drain;
        reopen_asked = 0;
        nx_server_reopen_logs(s);
    }
}

static int run(serve_opts *o)
{
    nx_model_list models = {0};
    const char  **origins = pointers(&o->origins), **hosts = pointers(&o->hosts);
    nx_server    *s = NULL;
    nx_error      err;
    int           code = NX_CLI_FAILED;

    if (origins && hosts)
        code = read_models(&models, &o->models);
    else
        nx_log_error("out of memory");
    if (code == NX_CLI_GO) {
        o->o.models = models.specs;
        o->o.n_models = models.n;
        o->o.origins = origins;
        o->o.n_origins = o->origins.n;
        o->o.hosts = hosts;
        o->o.n_hosts = o->hosts.n;
        o->o.opener = nx_serve_opener(&o->s);
        code = nx_backends_distances(&o->o.distances, &err) ? nx_cli_fail(&err) : check_models(o);
    }
    if (code == NX_CLI_GO) {
        nx_model_list_offer_embedding(&models, &o->o.opener, o->o.memory_bytes);
        o->o.n_models = models.n;
        if (o->s.m.no_memory_check) o->o.memory_bytes = 0;
        catch_signals();
        nx_process_allow_descriptors();
        if (nx_server_start(&s, &o->o, &err)) {
            code = nx_cli_fail(&err);
        } else {
            print_block(o, s);
            nx_notify("READY=1", "answering", NULL);
            int32_t drain = wait_for_stop(s);
            nx_notify("STOPPING=1", "answers under way are finished", NULL);
            nx_server_stop(s, drain, tell_left, NULL);
            nx_log_info("stopped");
            code = NX_CLI_DONE;
        }
    }
    nx_model_list_free(&models);
    nx_free(origins);
    nx_free(hosts);
    return code;
}

int nx_cmd_serve(int argc, char **argv)
{
    serve_opts o = {.s = {.m = NX_MODEL_OPTS_DEFAULT,
                          .parallel = 64,
                          .queue = NX_QUEUE_DEFAULT,
                          .draft = NX_DRAFT_DEFAULT},
                    .max_body_mb = 8,
                    .max_points_mb = 32,
                    .idle_s = 300};

    nx_server_options_default(&o.o);
    o.port = o.o.port;
    o.ops_port = -1;
    o.qdrant_port = -1;
    o.o.access_log = "-";
    const nx_opt opts[] = {
        NX_OPT_GROUP("Listening"),
        NX_OPT("host", 0, NX_OPT_TEXT, &o.o.host, "ADDRESS",
               "beyond 127.0.0.1 only when there are keys (nexus key create)", .env = true),
        NX_OPT("port", 'p', NX_OPT_INT, &o.port, "N", "0 takes a free one", .max = 65535,
               .env = true),
        NX_OPT("listen", 0, NX_OPT_TEXT, &o.listen, "unix:PATH",
               "a Unix socket instead of host and port", .env = true),
        NX_OPT("ops-port", 0, NX_OPT_INT, &o.ops_port, "N",
               "probes and metrics on a port and a thread of their own; 0 takes a free one, -1 is "
               "none",
               .min = -1, .max = 65535, .env = true),
        NX_OPT("ops-host", 0, NX_OPT_TEXT, &o.o.ops_host, "ADDRESS",
               "for --ops-port; default: --host", .env = true),
        NX_OPT(
            "qdrant-port", 0, NX_OPT_INT, &o.qdrant_port, "N",
            "the collections on a port of their own, where Qdrant's clients look (6333); 0 takes a "
            "free one, -1 is none",
            .min = -1, .max = 65535, .env = true),
        NX_OPT("tls-cert", 0, NX_OPT_TEXT, &o.o.tls_cert, "FILE", "certificate chain in PEM: HTTPS",
               .env = true),
        NX_OPT("tls-key", 0, NX_OPT_TEXT, &o.o.tls_key, "FILE", "its private key", .env = true),
        NX_OPT("cors-origin", 0, NX_OPT_LIST, &o.origins, "URL",
               "pages of this site may call; * is any (can be repeated)"),
        NX_OPT("allow-host", 0, NX_OPT_LIST, &o.hosts, "NAME",
               "a name by which browsers may call this server (can be repeated)"),
        NX_OPT_GROUP("Models"),
        NX_OPT("model", 'm', NX_OPT_LIST, &o.models, "[NAME=]MODEL",
               "a file, a folder, or a fetched model; the first is the default, others are loaded "
               "when asked for (can be repeated); default: the model that ships",
               .env = true),
        NX_OPT("memory", 0, NX_OPT_FLOAT, &o.memory_gb, "GB",
               "what all loaded models may take; default: what the machine has left", .max = 1e6,
               .env = true),
        NX_OPT("keep-alive", 0, NX_OPT_TEXT, &o.keep_alive, "TIME",
               "unload a model that nobody used for so long (5m, 2h); default: when its memory is "
               "wanted",
               .env = true),
        NX_OPT_THREADS(o.s.m),
        NX_OPT_CTX(o.s.m),
        NX_OPT_KV_TYPE(o.s.m),
        NX_OPT_EXACT(o.s.m),
        NX_OPT_QUANTIZE(o.s.m),
        NX_OPT_NO_MEMORY_CHECK(o.s.m),
        NX_OPT_GROUP("Schedule"),
        NX_OPT("parallel", 0, NX_OPT_INT, &o.s.parallel, "N", "answers made at once", .min = 1,
               .max = NX_PARALLEL_MAX, .env = true),
        NX_OPT("queue", 0, NX_OPT_INT, &o.s.queue, "N", "questions that may wait; others get 429",
               .min = 1, .max = 1 << 20, .env = true),
        NX_OPT(
            "positions", 0, NX_OPT_INT, &o.s.positions, "N",
            "tokens that the cache holds for all answers; default: --parallel times --ctx, within "
            "a quarter of the memory",
            .max = 1 << 30, .env = true),
        NX_OPT_BATCH(o.s.m),
        NX_OPT("slice", 0, NX_OPT_INT, &o.s.slice, "N",
               "prompt tokens read in one step beside answers; default: as many as keep the step "
               "within twice its time",
               .max = 65536, .env = true),
        NX_OPT("draft", 0, NX_OPT_INT, &o.s.draft, "N",
               "tokens guessed from the text itself in one step; 0 is none", .max = 15,
               .env = true),
        NX_OPT_GROUP("Limits"),
        NX_OPT("max-new-tokens", 0, NX_OPT_INT, &o.o.max_new_tokens, "N",
               "the most that /llm requests may ask for", .min = 1, .max = 1 << 30, .env = true),
        NX_OPT("max-body", 0, NX_OPT_INT, &o.max_body_mb, "MB", "of a request", .min = 1,
               .max = 1024, .env = true),
        NX_OPT("max-points-body", 0, NX_OPT_INT, &o.max_points_mb, "MB",
               "of a request to a collection", .min = 1, .max = 1024, .env = true),
        NX_OPT("idle-timeout", 0, NX_OPT_INT, &o.idle_s, "SECONDS", "of a kept connection",
               .min = 1, .max = 86400, .env = true),
        NX_OPT("drain", 0, NX_OPT_INT, &o.o.drain_s, "SECONDS",
               "how long answers may go on after SIGTERM", .max = 86400, .env = true),
        NX_OPT_GROUP("Data and log"),
        NX_OPT("data", 0, NX_OPT_TEXT, &o.o.data, "DIR",
               "keys, usage and collections; default: $XDG_DATA_HOME/nexus", .env = true),
        NX_OPT("access-log", 0, NX_OPT_TEXT, &o.o.access_log, "FILE",
               "one JSON line for each request; - is stdout, '' is none", .env = true),
        NX_OPT("log-prompts", 0, NX_OPT_FLAG, &o.o.log_prompts, NULL,
               "write what people ask into the access log", .env = true),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "serve",
        .synopsis = "[-m MODEL] [options]",
        .about =
            "Answer many people at once over HTTP: OpenAI's API under /v1, plain text under\n"
            "/llm, Qdrant's under /collections, documentation under /docs. Without keys only this machine can ask.",
        .examples = "  nexus serve\n"
                    "  nexus serve -m model.gguf -m small=Qwen/Qwen3-0.6B --ctx 8192\n"
                    "  nexus key create --name alice && nexus serve --host 0.0.0.0 --ops-port 9000",
        .options = opts,
    };
    nx_args args;
    int     code = nx_opt_parse(&usage, &args, argc, argv);

    if (code == NX_CLI_GO) code = settle(&o);
    if (code == NX_CLI_GO) code = run(&o);
    nx_texts_free(&o.models);
    nx_texts_free(&o.origins);
    nx_texts_free(&o.hosts);
    return code;
}
