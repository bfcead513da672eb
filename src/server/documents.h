/* documents.h - what the handlers of documents and jobs share: the way to the desk, shelves, who asks.
 *
 * Files: handle_documents.c (read, delete), handle_upload.c (in), handle_rag_jobs.c (jobs, folders).
 * Thread: the call's.
 */
#ifndef NX_SERVER_DOCUMENTS_H
#define NX_SERVER_DOCUMENTS_H

#include "server/rag_jobs.h"
#include "server/rights.h"

/* Go on with `then` at the store's desk, which replies; the call is retained until then returns. */
void nx_docs_start(nx_call *c, void (*then)(nx_call *c));

/* The shelf of a collection or alias, if who asks may do that with it; NULL: refused already.
 * nx_library_release. */
nx_shelf *nx_docs_shelf(nx_call *c, nx_str name, nx_right right);

/* The value of ?name=, or what stands for it. */
nx_str nx_docs_query(const nx_call *c, const char *name, const char *absent);

/* Who asks for jobs: one with a key sees his own; the folder's owner, an admin's key, and everybody where there
 * are no keys, all. */
nx_rag_asker nx_docs_asker(const nx_call *c);

#endif
