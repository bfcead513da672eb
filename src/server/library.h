/* library.h - the server's collections of documents: found by name, filled by jobs, kept up to date.
 *
 * Idea:   one shelf for each collection that somebody asked for, the same for all. A worker of its own reads
 *         queued documents and makes missing vectors, also those that a crash left: what is to do stands in the
 *         collections. A job (rag_jobs.h) is somebody's wish to see how it goes.
 * Owns:   blobs (DATA/blobs), shelves, jobs, the threads of both.
 * Locks:  `lock` guards the list of shelves and the worker's flags; nothing long is done under it but opening a
 *         shelf.
 * Thread: any. What may take long is said; call it at a desk.
 */
#ifndef NX_SERVER_LIBRARY_H
#define NX_SERVER_LIBRARY_H

#include "rag/ingest.h"
#include "server/models.h"
#include "server/vault.h"

typedef struct nx_library nx_library;

/* The vault is open; models may still be loading. Begins to work on what is queued. */
nx_status nx_library_open(nx_library **out, nx_vault *vault, nx_models *models, const char *data,
                          nx_error *err);

/* Cancels jobs, and waits for them; what they did stays. Shelves can still be found. NULL does nothing. */
void nx_library_rest(nx_library *l);
void nx_library_close(nx_library *l); /* nobody has a shelf any more. NULL does nothing */

/* The shelf of a collection (or alias): nx_library_release. NX_ENOENT; NX_EUNSUPPORTED: not made of documents. */
nx_status nx_library_find(nx_library *l, nx_shelf **out, nx_str name, nx_error *err);
/* The same; made where missing, for model (NULL or "": the first that embeds) with chunking (NULL: the usual).
 * Long: the model may have to be loaded. NX_EINVAL: it is there and was made for another model; chunking. */
nx_status nx_library_make(nx_library *l, nx_shelf **out, nx_str name, const char *model,
                          const nx_chunk_options *chunking, nx_error *err);
void      nx_library_release(nx_library *l, nx_shelf *s); /* NULL does nothing */

/* The shelf's embedding model, loaded: nx_library_give_back. Long. NX_ENOENT: the server has no such model; says
 * which it has. */
nx_status nx_library_embedder(nx_library *l, nx_loaded **out, nx_shelf *s, nx_error *err);
/* The model of that name that is for this use; "": the first one. Long; give it back likewise. */
nx_status nx_library_model(nx_library *l, nx_loaded **out, nx_str name, nx_model_use use,
                           nx_error *err);
void      nx_library_give_back(nx_library *l, nx_loaded *m); /* NULL does nothing */

/* There is something queued, or a vector missing: the worker looks. */
void nx_library_wake(nx_library *l, nx_str collection);

/* The collections that are made of documents, in order: names in one block, nx_free. NX_ENOMEM. */
nx_status nx_library_list(nx_library *l, char ***out, size_t *n, nx_error *err);

nx_blobs *nx_library_blobs(nx_library *l);

#endif
