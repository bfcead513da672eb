/* library.h - the server's collections of documents: found by name, filled by jobs, kept up to date.
 *
 * Idea:   one shelf for each collection that somebody asked for, the same for all, so that changes of one document
 *         take turns. A worker of its own reads queued documents and makes missing vectors, also those that a crash
 *         left: what is to do stands in the collections. A job is somebody's wish to see how it goes.
 * Owns:   blobs (DATA/blobs), shelves, jobs, worker threads.
 * Thread: any. What may take long is said; call it at a desk.
 */
#ifndef NX_SERVER_LIBRARY_H
#define NX_SERVER_LIBRARY_H

#include "rag/ingest.h"
#include "server/models.h"
#include "server/vault.h"

typedef struct nx_library nx_library;

/* The vault is open; models may still be loading. */
nx_status nx_library_open(nx_library **out, nx_vault *vault, nx_models *models, const char *data,
                          nx_error *err);
void      nx_library_close(nx_library *l); /* cancels jobs; what they did stays. NULL does nothing */

/* The shelf of a collection (or alias): nx_library_release. NX_ENOENT; NX_EUNSUPPORTED: not made of documents. */
nx_status nx_library_find(nx_library *l, nx_shelf **out, nx_str name, nx_error *err);
/* The same; made where missing, for model (the first that embeds, when NULL) with chunking. Long: the
 * model may have to be loaded. */
nx_status nx_library_make(nx_library *l, nx_shelf **out, nx_str name, const char *model,
                          const nx_chunk_options *chunking, nx_error *err);
void      nx_library_release(nx_library *l, nx_shelf *s); /* NULL does nothing */

/* The shelf's embedding model, loaded: nx_library_give_back. Long. NX_ENOENT: the server has no such model; says
 * which it has. */
nx_status nx_library_embedder(nx_library *l, nx_loaded **out, nx_shelf *s, nx_error *err);
void      nx_library_give_back(nx_library *l, nx_loaded *m); /* NULL does nothing */

/* There is something queued, or a vector missing: the worker looks. */
void nx_library_wake(nx_library *l, nx_str collection);

/* The collections that are made of documents: names in one block, nx_free. */
nx_status nx_library_list(nx_library *l, char ***out, size_t *n, nx_error *err);

/* ---- Jobs ---- */

typedef struct nx_library_job nx_library_job;

typedef enum nx_job_kind { NX_JOB_INGEST, NX_JOB_UPLOAD, NX_JOB_MOVE } nx_job_kind;

typedef struct nx_job_view {
    char        id[40]; /* a UUID */
    nx_job_kind kind;
    char        collection[NX_COLLECTION_NAME_MAX + 1];
    uint64_t    owner; /* the key that began it; 0: none */
    int64_t     created_s;
    nx_ingest   how; /* a copy; skips are not in it: nx_library_job_skips */
} nx_job_view;

/* NX_ENOENT. */
nx_status nx_library_job_read(nx_library *l, nx_job_view *out, nx_str id, nx_error *err);
nx_status nx_library_job_cancel(nx_library *l, nx_str id, nx_error *err);

#endif
