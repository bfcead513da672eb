/* index_job.h - a job of the server followed to its end: a bar on a terminal, a line now and then elsewhere.
 *
 * Thread: main thread. Ctrl-C (between nx_cli_catch_interrupt and nx_cli_release_interrupt) cancels the job;
 * what it has done stays.
 */
#ifndef NX_CLI_INDEX_JOB_H
#define NX_CLI_INDEX_JOB_H

#include "cli/instance.h"

/* How it stands, as GET /rag/jobs/{id} tells: rag/ingest.h explains the counts. */
typedef struct nx_index_news {
    char    phase[24]; /* "words", "vectors", "done", "failed", "cancelled" */
    bool    walked, ended;
    int64_t found, looked_at, added, changed, unchanged, removed, skipped;
    int64_t chunks, chunks_new, embedded, to_embed, bytes;
} nx_index_news;

void nx_index_news_read(nx_index_news *out, const nx_json *job);

/* Begin a job: POST path with body (freed); its id. quiet: say nothing on the way. *said is the job's last
 * state. NX_ECANCELLED: it was; NX_EIO: it failed, with its reason; what nx_instance_ask returns. */
nx_status nx_index_run(nx_instance *i, const char *path, nx_jw *body, bool quiet, nx_said *said,
                       nx_index_news *news, nx_error *err);

/* The counts in a few lines, and every file that was left out with its reason, to stdout. */
void nx_index_summary(const nx_json *job, const nx_index_news *news, double seconds);

#endif
