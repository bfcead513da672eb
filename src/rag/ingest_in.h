/* ingest_in.h - an ingest's insides: a queue between one walker and its workers, what they tell.
 *
 * Locks: the queue's, and the report's (nx_ingest.lock); who holds one takes no other.
 */
#ifndef NX_RAG_INGEST_IN_H
#define NX_RAG_INGEST_IN_H

#include "rag/ingest.h"

enum { NX_INGEST_QUEUE = 256, NX_INGEST_PATH = 4096 };

/* A file to look at. Owned texts, one block. */
typedef struct nx_ingest_job {
    char  *path, *root;
    size_t bytes; /* as the walker saw it: what it may take in memory */
} nx_ingest_job;

typedef struct nx_ingesting {
    nx_ingest               *i;
    nx_shelf                *s;
    nx_embedder             *e;
    const nx_ingest_options *opt;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t  more, less;
    nx_ingest_job   jobs[NX_INGEST_QUEUE];
    size_t          first, n;
    size_t          bytes_busy; /* of files that workers hold in memory */
    bool            ended;      /* no job comes any more */
    bool            stop;       /* a worker failed: error */
    nx_error        error;
} nx_ingesting;

/* ---- ingest.c ---- */

/* Waits for room. False: everything stops. NX_ENOMEM. */
nx_status nx_ingest_push(nx_ingesting *r, const char *path, const char *root, size_t bytes,
                         bool *go_on, nx_error *err);
bool      nx_ingest_stopped(nx_ingesting *r);

/* Does the collection take no writes any more? Then *why says so, with what it said before behind. */
bool nx_shelf_failing(nx_shelf *s, nx_error *why);

/* ---- ingest_report.c ---- */

/* One line for people of any bytes: control characters and what is no UTF-8 as \n, \t, \x1B. */
nx_status nx_ingest_escape(nx_buf *out, nx_str text, nx_error *err);

void nx_ingest_skip(nx_ingest *i, const char *source, const char *fmt, ...) NX_PRINTF(3, 4);
void nx_ingest_tell(nx_ingest *i, const char *current);

/* ---- ingest_walk.c ---- */

/* All paths of the options, one after the other, into the queue. ok [n_paths]: those that were there to be
 * walked, to the end. */
nx_status nx_ingest_walk(nx_ingesting *r, bool *ok, nx_error *err);

/* ---- ingest_gone.c ---- */

/* Documents that came from beneath the folder `root` and whose files are there no more. */
nx_status nx_ingest_take_away(nx_ingesting *r, nx_str root, nx_error *err);

#endif
