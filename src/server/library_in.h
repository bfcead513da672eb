/* library_in.h - the library, as its own files see it: library.c (shelves, the worker), rag_jobs.c. */
#ifndef NX_SERVER_LIBRARY_IN_H
#define NX_SERVER_LIBRARY_IN_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/library.h"
#include "server/rag_jobs.h"

typedef struct nx_shelved {
    struct nx_shelved *next;
    nx_shelf          *shelf;
    int                n_refs;
    bool gone; /* another collection has its name by now: closed with the last reference */
} nx_shelved;

struct nx_library {
    nx_vault   *vault;
    nx_models  *models;
    nx_blobs   *blobs;
    atomic_bool stop;

    pthread_mutex_t lock; /* guards these */
    pthread_cond_t  wake;
    nx_shelved     *shelves;
    bool            is_awake;

    pthread_t worker;
    bool      has_worker;

    pthread_mutex_t jobs_lock; /* guards these; nothing else is locked under it but a job's own */
    nx_rag_job     *jobs;      /* newest first */
    int             n_jobs;
};

/* Has a job of its own the vectors of this collection in hand? *moving: it moves to another model. rag_jobs.c. */
bool nx_rag_jobs_has(nx_library *l, nx_str collection, bool *moving);
/* Cancel all of them, and wait until their threads are over. */
void nx_rag_jobs_end(nx_library *l);
void nx_rag_jobs_free(nx_library *l);

#endif
