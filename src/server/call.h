/* call.h - one request on its way through the server, and the ways to answer it.
 *
 * Owns:    what was read of the request, a reference to its exchange, and to the model that it uses.
 * Life:    references are counted: one is the exchange's (until on_done), one each answer's and each
 *          job's. The last one out writes the log line and counts the metrics.
 * Thread:  one at a time, in turn: I/O thread, desk, service's or ledger's thread.
 */
#ifndef NX_SERVER_CALL_H
#define NX_SERVER_CALL_H

#include <stdatomic.h>

#include "base/jsonread.h"
#include "base/jsonwrite.h"
#include "net/httpd.h"
#include "server/desk.h"
#include "server/keys.h"
#include "server/models.h"
#include "server/route.h"
#include "server/usage.h"

typedef struct nx_server nx_server;
typedef struct nx_answer nx_answer;

typedef struct nx_qd_texts nx_qd_texts; /* qdrant_infer.c */
typedef struct nx_rag_talk nx_rag_talk; /* rag_talk.h */

#define NX_REQUEST_ID_CAP 65
#define NX_REPLY_MAX      ((size_t)256 << 20)

struct nx_call {
    atomic_int      refs;
    nx_server      *server;
    nx_exchange    *x;
    const nx_route *route; /* NULL: none was found */
    size_t          route_idx;
    nx_str          params[NX_ROUTE_PARAMS_MAX];
    char            request_id[NX_REQUEST_ID_CAP];
    nx_key_record   key;     /* key.number 0: asked without one */
    bool            refused; /* answered by the head alone */
    bool            trusted; /* by the control socket */
    bool            asked;   /* counted in the server's n_asked */
    nx_json_doc     doc;
    const nx_json  *body; /* an object; NULL: the route takes none */
    nx_arena        kept; /* what a handler wants to last as long as the call */
    nx_task         task;
    nx_model_waiter waiter;
    void (*with_model)(nx_call *c); /* goes on when the model is there */
    nx_loaded *model;
    bool       at_desk;        /* of the store: may wait for the disk */
    void (*then)(nx_call *c);  /* goes on there */
    nx_qd_texts       *texts;  /* embedded for this call, in kept; NULL: none */
    nx_rag_talk       *rag;    /* a question to documents, in kept; NULL: none */
    nx_job *_Atomic    aside;  /* what a model is asked before the answer begins; NULL: nothing */
    nx_answer *_Atomic answer; /* NULL: not one of a model */
    nx_exchange_report report;
    nx_call           *next, *prev; /* in the server's list, while it has an answer */
};

void nx_call_retain(nx_call *c);
void nx_call_release(nx_call *c);

/* ---- Answers; each exactly once ---- */

/* The value of w, which is freed. A w that failed answers 500. */
void nx_call_reply(nx_call *c, int status, nx_jw *w);
void nx_call_reply_bytes(nx_call *c, int status, const char *type, nx_buf *body);

/* An error in the route's dialect. param: the field that it is about, or NULL. code: for OpenAI's
 * clients, or NULL. retry_after_s: < 0: none. */
void nx_call_refuse(nx_call *c, int status, const char *param, const char *code,
                    int32_t retry_after_s, const char *fmt, ...) NX_PRINTF(6, 7);

/* The first fault of a field. where: "body", "query", "path". */
void nx_call_refuse_fault(nx_call *c, const nx_fault *fault, const char *where);

/* What went wrong beneath, with the status that fits it. param as above. */
void nx_call_refuse_error(nx_call *c, const nx_error *err, const char *param);

/* {"error": ...} of a dialect, for events and whole bodies. seconds: how long it took to come to it, where
 * the dialect tells that. */
void   nx_error_write(nx_jw *w, nx_dialect dialect, int status, const char *param, const char *code,
                      double seconds, const char *message);
double nx_call_seconds(const nx_call *c); /* since its first byte came */
/* Of a path that isn't in the table, or wasn't looked for there. */
nx_dialect nx_dialect_of_path(const char *path);
int        nx_error_status(const nx_error *err); /* 400, 404, 503, 500, ... */

/* ---- What a call used ---- */

/* Tell the ledger of a whole answer made from so many tokens, by the model of the call; then done, once.
 * With a key that is when the ledger has it on the disk or failed to, on its thread. Without one nobody is
 * billed, and an answer of a millisecond needn't wait for as many of the disk's: done is called before
 * this returns, and the figures follow. */
void nx_call_count(nx_call *c, int64_t n_tokens, nx_usage_fn done, void *ctx);

/* ---- The model of a call ---- */

/* Find the model that the body names (or the first one for that purpose) and go on with it: at once, or
 * when it is loaded; or refuse. then runs on this thread or another. */
void nx_call_with_model(nx_call *c, nx_model_use purpose, void (*then)(nx_call *c));
/* The same with a name that doesn't stand there; empty: the first one for that purpose. */
void nx_call_with_model_named(nx_call *c, nx_str name, nx_model_use purpose,
                              void (*then)(nx_call *c));

#endif
