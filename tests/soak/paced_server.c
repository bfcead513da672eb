/* paced_server.c - the product's server over the paced service: for tests of connections and streams by
 * the thousand, which no real model answers on a small machine.
 *
 *     paced_server data=DIR [pace=20] [token=0] [slots=4096] [queue=4096] [open_ms=0] [stall_ms=30000]
 *                  [drain=120] [keep_alive=0] [memory_mb=0] [models=1] [log=FILE]
 *
 * Prints "port P ops Q" when it listens. The first SIGTERM or SIGINT drains, the second ends.
 * Models are named m0, m1, ...; each is 100 MiB of the budget.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/process.h"
#include "paced.h"
#include "server/server.h"

#define MODEL      NX_SOURCE_DIR "/models/nexus-mini.gguf"
#define MODELS_MAX 8

static volatile sig_atomic_t asked;

static void on_signal(int sig)
{
    (void)sig;
    if (asked) _exit(130);
    asked = 1;
}

/* The value of name=..., or NULL. */
static const char *arg(char **argv, const char *name)
{
    size_t n = strlen(name);

    for (; *argv; argv++)
        if (!strncmp(*argv, name, n) && (*argv)[n] == '=') return *argv + n + 1;
    return NULL;
}

static int32_t number(char **argv, const char *name, int32_t preset)
{
    const char *text = arg(argv, name);

    return text ? (int32_t)strtol(text, NULL, 10) : preset;
}

int main(int argc, char **argv)
{
    nx_paced_options  paced = {.pace = number(argv, "pace", 20),
                               .token_bytes = number(argv, "token", 0),
                               .n_slots = number(argv, "slots", 4096),
                               .n_queue = number(argv, "queue", 4096),
                               .open_ms = number(argv, "open_ms", 0)};
    nx_model_spec     models[MODELS_MAX];
    char              names[MODELS_MAX][8];
    nx_server_options o;
    nx_server        *s;
    nx_error          err;

    (void)argc;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    nx_process_allow_descriptors();
    nx_server_options_default(&o);
    o.n_models = (size_t)number(argv, "models", 1);
    for (size_t i = 0; i < o.n_models && i < MODELS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "m%zu", i);
        models[i] = (nx_model_spec){names[i], MODEL};
    }
    o.port = 0;
    o.ops_port = 0;
    o.models = models;
    o.opener = nx_paced_opener(&paced);
    o.data = arg(argv, "data");
    o.access_log = arg(argv, "log");
    o.keep_alive_s = number(argv, "keep_alive", 0);
    o.memory_bytes = (uint64_t)number(argv, "memory_mb", 0) << 20;
    o.http.stall_ms = number(argv, "stall_ms", 30000);
    o.drain_s = number(argv, "drain", 120);
    if (nx_server_start(&s, &o, &err)) {
        fprintf(stderr, "paced_server: %s\n", err.text);
        return 1;
    }
    printf("port %d ops %d\n", nx_server_port(s), nx_server_ops_port(s));
    fflush(stdout);
    nx_server_stop(s, nx_server_wait_stop(s, &asked, NULL), NULL, NULL);
    return 0;
}
