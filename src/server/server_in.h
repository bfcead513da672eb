/* server_in.h - the server, as its own files see it. Not for others. */
#ifndef NX_SERVER_SERVER_IN_H
#define NX_SERVER_SERVER_IN_H

#include <pthread.h>

#include "rag/cache.h"
#include "server/access_log.h"
#include "server/call.h"
#include "server/datadir.h"
#include "server/library.h"
#include "server/quota.h"
#include "server/rag_config.h"
#include "server/rag_watch.h"
#include "server/server.h"
#include "server/vault.h"

/* Where a request came in: tags of nx_listen. */
enum { NX_TAG_MAIN = 1, NX_TAG_OPS, NX_TAG_CONTROL, NX_TAG_QDRANT };

/* A file that is being written or read: one at a time (handle_backup.c). */
typedef struct nx_copying {
    atomic_bool          busy, cancel;
    atomic_uint_fast64_t done, total; /* bytes */
} nx_copying;

struct nx_server {
    nx_server_options    opt;
    nx_datadir           dir;
    nx_db               *db;
    nx_keys             *keys;
    nx_usage            *usage;
    nx_quota            *quota;
    nx_metrics          *metrics;
    nx_access_log       *log; /* NULL: none */
    nx_models           *models;
    nx_desk             *desk; /* what may take long: long bodies, files, the disk */
    nx_desk             *ends; /* the ends of answers: quick, and behind no long body */
    nx_vault             vault;
    nx_library          *library;
    nx_rag_config       *rag_config;
    nx_finds            *finds; /* what was retrieved last */
    nx_rag_watch         watch;
    nx_copying           copying;
    nx_httpd            *httpd;
    nx_field_limits      limits;
    nx_buf               openapi;
    char                 fingerprint[16];
    int64_t              started_ns;
    bool                 loopback; /* nobody but this machine can reach the main listener */
    atomic_bool          draining; /* set under lock: who is in n_asked came before */
    atomic_bool          cut;      /* the drain is over */
    atomic_uint_fast64_t n_ids;

    pthread_mutex_t lock; /* guards these */
    pthread_cond_t  changed;
    nx_call        *calls; /* with an answer under way */
    int             n_calls;
    int     n_asked; /* questions that came in and aren't over, with an answer under way or not */
    bool    stop_asked, end_tick;
    int32_t stop_drain_s;

    pthread_t ticker;
    bool      has_ticker;
};

/* guard.c: may this request come in? Refuses it otherwise. Adds CORS headers. */
bool nx_guard_let_in(nx_call *c);

/* Who asks, and may he? Refuses otherwise. */
bool nx_guard_know(nx_call *c);

#endif
