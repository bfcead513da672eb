/* server.h - the server: models behind HTTP.
 *
 *     nx_server_options o;
 *     nx_server_options_default(&o);
 *     o.opener = ...; o.models = specs; o.n_models = 1;
 *     nx_server *s;
 *     nx_status st = nx_server_start(&s, &o, err);     listens, begins to load
 *     ... wait for a signal, or nx_server_wait_stop(s) ...
 *     nx_server_stop(s, o.drain_s);                    lets answers finish, and frees
 *
 * A request's way (call.h): httpd hands over its head; guard.c asks whether it may come in at all, the
 * route table whose it is, keys.c who asks. With its body, fields.c checks it and its handler runs. An
 * answer of a model is an nx_answer (answer.h): jobs for the model's service, whose news an I/O thread
 * turns into events. When it is over, usage is written, then its last bytes are sent.
 *
 * Threads: I/O threads and a watch (net/httpd.h), one for each model's service, one for the ledger, one
 * for the access log, two at the desk for long tasks, one for the ends of answers, one that ticks. Probes
 * and metrics need none of these but an I/O thread; with ops_port, one that serves nothing else.
 */
#ifndef NX_SERVER_SERVER_H
#define NX_SERVER_SERVER_H

#include <signal.h>

#include "net/httpd.h"
#include "server/models.h"
#include "tensor/distance.h"

typedef struct nx_server nx_server;

typedef struct nx_model_spec {
    const char *name, *path;
} nx_model_spec;

typedef struct nx_server_options {
    const char *host;        /* default 127.0.0.1 */
    uint16_t    port;        /* 0: any free one */
    int32_t     ops_port;    /* -1: none of its own; 0: any free one */
    const char *ops_host;    /* NULL: as host */
    int32_t     qdrant_port; /* the collections alone, where their clients expect them; as above */
    const char *unix_path;   /* listen here instead of host and port; NULL: don't */
    const char *tls_cert, *tls_key; /* PEM files; NULL: plain */
    const char *data;               /* the data folder; NULL: the default one */
    const char *const     *origins; /* [n_origins] that browsers may call from; "*": any */
    size_t                 n_origins;
    const char *const     *hosts; /* [n_hosts] names that Host may say beside our own */
    size_t                 n_hosts;
    const nx_model_spec   *models; /* [n_models]; the first is the default one */
    size_t                 n_models;
    nx_model_opener        opener;
    const nx_distance_ops *distances; /* kernels of the store: lib/backends.h. Outlive the server */
    size_t                 points_body_max; /* bytes of a request to a collection */
    uint64_t               memory_bytes;
    int32_t                keep_alive_s;
    bool    inside; /* a command's own: models are loaded when they are wanted, and in silence */
    int32_t max_new_tokens; /* of the /llm routes: 4096, or more */
    int32_t drain_s;
    const char      *access_log; /* a file; "-": stdout; NULL: none */
    bool             log_prompts;
    nx_httpd_options http;
} nx_server_options;

void nx_server_options_default(nx_server_options *o);

/* Everything but the models is there when it returns; the default one is being loaded. Options are
 * borrowed until nx_server_stop. NX_EINVAL (beyond loopback without a key, ...), NX_EBUSY (the data folder
 * has a server), NX_EIO, NX_ENOMEM. */
nx_status nx_server_start(nx_server **out, const nx_server_options *o, nx_error *err);

uint16_t    nx_server_port(const nx_server *s);     /* 0: on a Unix socket alone */
uint16_t    nx_server_ops_port(const nx_server *s); /* 0: none of its own */
uint16_t    nx_server_qdrant_port(const nx_server *s);
const char *nx_server_data(const nx_server *s);
bool        nx_server_wants_keys(const nx_server *s);
nx_models  *nx_server_models(const nx_server *s);

/* Wait until /admin/stop was asked, or one of two flags (each may be NULL) is set, as signal handlers do;
 * the seconds that running answers get. Looks at the flags ten times a second. */
int32_t nx_server_wait_stop(nx_server *s, const volatile sig_atomic_t *stop,
                            const volatile sig_atomic_t *other);

/* No longer ready; new questions are refused; answers under way get up to drain_s seconds, then an error
 * event. Calls `tell` (may be NULL) now and then with how many are left; frees. */
void nx_server_stop(nx_server *s, int32_t drain_s, void (*tell)(void *ctx, int n_left), void *ctx);

void nx_server_reopen_logs(nx_server *s);

#endif
