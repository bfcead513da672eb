/* rag_watch.h - streams that tell how a job goes, until it is over.
 *
 * Idea:   once a second the server's tick looks at each watched job, and what changed goes out as one event. The
 *         I/O thread only copies.
 * Owns:   a reference to each call that watches.
 * Locks:  `lock` guards what waits to be sent, and the list's head; only the tick takes somebody out.
 */
#ifndef NX_SERVER_RAG_WATCH_H
#define NX_SERVER_RAG_WATCH_H

#include <pthread.h>

#include "server/call.h"
#include "server/rag_jobs.h"

typedef struct nx_rag_watcher nx_rag_watcher;

typedef struct nx_rag_watch {
    pthread_mutex_t lock;
    nx_rag_watcher *first;
} nx_rag_watch;

void nx_rag_watch_init(nx_rag_watch *w);

/* Answer c with the events of a job that he may see. At a desk. */
void nx_rag_watch_begin(nx_call *c, nx_str job);

/* Tick. A server that stops tells them the end. */
void nx_rag_watch_tick(nx_server *s);

/* After the tick's last: gives all calls back. */
void nx_rag_watch_end(nx_rag_watch *w);

#endif
