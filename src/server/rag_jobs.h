/* rag_jobs.h - long work on collections of documents, and how it stands.
 *
 * Idea:   three kinds. INGEST (folders of this machine) and MOVE (another embedding model) have a thread each. An
 *         UPLOAD has none: its documents are queued, the library's worker does them as it does all, and how it
 *         stands is read from their records. Jobs are of this process alone: after a restart there are none, and
 *         what they were to do is still done, since it stands in the collections.
 * Owns:   jobs; the last NX_RAG_JOBS_KEPT are remembered.
 * Thread: any.
 */
#ifndef NX_SERVER_RAG_JOBS_H
#define NX_SERVER_RAG_JOBS_H

#include "base/jsonwrite.h"
#include "server/library.h"

enum { NX_RAG_JOBS_KEPT = 1000, NX_RAG_JOBS_RUNNING_MAX = 8, NX_RAG_JOB_ID = 40 };

typedef struct nx_rag_job nx_rag_job;

typedef enum nx_rag_job_kind {
    NX_RAG_JOB_INGEST,
    NX_RAG_JOB_UPLOAD,
    NX_RAG_JOB_MOVE
} nx_rag_job_kind;

/* What is wished for. All is copied. */
typedef struct nx_rag_wish {
    nx_rag_job_kind    kind;
    nx_str             collection; /* its own name, no alias */
    uint64_t           owner;      /* the key that asks; 0: none */
    nx_ingest_options  ingest;     /* of INGEST */
    nx_str             model;      /* of MOVE */
    const nx_point_id *documents;  /* [n_documents] of UPLOAD */
    size_t             n_documents;
    const nx_skip     *skips; /* [n_skips] of UPLOAD: files that were not taken, and why */
    size_t             n_skips;
} nx_rag_wish;

/* Begin. NX_EBUSY: too many are running, or one is at work on this collection (MOVE); NX_ENOMEM. */
nx_status nx_rag_job_start(nx_library *l, const nx_rag_wish *wish, char id[NX_RAG_JOB_ID],
                           nx_error *err);

/* Who asks: sees his own jobs, or all. */
typedef struct nx_rag_asker {
    uint64_t owner;
    bool     all;
} nx_rag_asker;

/* Write how a job stands, as the object {job_id, kind, collection, phase, ...}; *ended may be NULL. NX_ENOENT. */
nx_status nx_rag_job_write(nx_library *l, nx_jw *w, const char *key, nx_str id,
                           const nx_rag_asker *who, bool *ended, nx_error *err);
/* All that he may see, newest first, at most max of them: an array. */
nx_status nx_rag_jobs_write(nx_library *l, nx_jw *w, const char *key, const nx_rag_asker *who,
                            size_t max, nx_error *err);

/* It stops soon; what it did stays. Of an UPLOAD the documents that wait, and that nobody had before, are taken
 * away. One that is over stays as it is. NX_ENOENT. */
nx_status nx_rag_job_cancel(nx_library *l, nx_str id, const nx_rag_asker *who, nx_error *err);

#endif
