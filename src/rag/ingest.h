/* ingest.h - folders, files and URLs put on a shelf: walked, read and extracted in parallel, then embedded.
 *
 * Idea:   a walker feeds a bounded queue; workers read, hash, extract, chunk and write; an embedder follows behind
 *         with the vectors. A file whose size and time are as they were isn't read; what is gone beneath a path is
 *         taken away. Nothing is kept that the log doesn't know, so a run after a crash goes on where it was.
 * Thread: one call each; progress may be read by others meanwhile.
 */
#ifndef NX_RAG_INGEST_H
#define NX_RAG_INGEST_H

#include <pthread.h>

#include "rag/shelf.h"

typedef struct nx_ingest_options {
    const nx_str *
        paths; /* [n_paths]: absolute paths of files or folders; URLs, where their host is allowed */
    size_t             n_paths;
    const nx_str      *allow_hosts; /* [n_allow_hosts] of URLs */
    size_t             n_allow_hosts;
    const nx_str      *exclude; /* [n_exclude] patterns of names (fnmatch) that are left out */
    size_t             n_exclude;
    nx_value           metadata;
    const nx_str      *tags;
    size_t             n_tags;
    nx_extract_limits  limits;
    int32_t            n_threads;  /* 0: as many as processors */
    bool               hidden;     /* names with a dot in front, too */
    bool               keep_gone;  /* don't take away what is gone */
    bool               words_only; /* leave the vectors to somebody else */
    const atomic_bool *cancel;
} nx_ingest_options;

typedef enum nx_ingest_phase {
    NX_INGEST_WORDS,
    NX_INGEST_VECTORS,
    NX_INGEST_DONE,
    NX_INGEST_FAILED,
    NX_INGEST_CANCELLED
} nx_ingest_phase;

typedef struct nx_skip {
    char *source, *reason; /* one line each, whatever the name holds */
} nx_skip;

/* How it stands: taken under lock. */
typedef struct nx_ingest {
    pthread_mutex_t lock;
    nx_ingest_phase phase;
    bool            walked;               /* n_found is all of them */
    uint64_t        n_found, n_looked_at; /* files */
    uint64_t        n_added, n_changed, n_unchanged, n_removed, n_skipped;
    uint64_t        bytes; /* of what was read */
    uint64_t        n_chunks, n_chunks_new, n_chunks_gone;
    uint64_t        n_embedded, n_to_embed;         /* chunks */
    int64_t         started_ns, words_ns, ended_ns; /* nx_clock_ns; 0: not yet */
    nx_skip        *skips; /* [n_skips]: files left out, and why; at most NX_SKIPS_MAX kept */
    size_t          n_skips, cap_skips;
    char            current[256]; /* what is being worked on */
    nx_error        error;        /* of FAILED */
} nx_ingest;

#define NX_SKIPS_MAX 10000

void nx_ingest_init(nx_ingest *i);
void nx_ingest_free(nx_ingest *i);

/* The whole of it; returns when the vectors are there, too. Files that can't be read are skips, not errors.
 * Errors: the store's, NX_ECANCELLED (what is done stays done), NX_ENOMEM. */
nx_status nx_ingest_run(nx_ingest *i, nx_shelf *s, nx_embedder *e, const nx_ingest_options *opt,
                        nx_error *err);

#endif
