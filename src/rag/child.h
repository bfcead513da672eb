/* child.h - runs another program over a document, as if the document were out to get us.
 *
 *     nx_child job = {.argv = argv, .input = bytes, .watch = &watch, .memory_bytes = 1 << 30, .out = &text};
 *     st = nx_child_run(&job, err);
 *     if (!st && job.status != 0) ... job.said ...
 *
 * Idea:   the program starts in a process group of its own, without a shell, with three descriptors and three
 *         variables of the environment. It waits for its input, and gets none before its limits are set: memory,
 *         processor time, no files to write. Then one loop feeds it and takes what it says. Whatever goes wrong
 *         (time, cancel, too much output), its group is killed and the process reaped.
 * Thread: any, also while others run: it is posix_spawn, which runs nothing of ours between fork and exec.
 */
#ifndef NX_RAG_CHILD_H
#define NX_RAG_CHILD_H

#include "rag/watch.h"

typedef struct nx_child {
    const char *const *argv; /* NULL at its end; argv[0] is looked for in PATH */
    nx_str             input;
    nx_watch          *watch;
    uint64_t           memory_bytes; /* of its address space */
    nx_buf            *out;          /* what it writes, up to out->max */
    char said[256]; /* the first line of its complaints; printable, never more than one line */
    int  status;    /* how it ended: an exit status, or minus the signal that killed it */
} nx_child;

/* NX_OK: it ran to its end, of whatever status. NX_ENOENT: there is no such program. NX_ELIMIT (time, output),
 * NX_ECANCELLED, NX_ENOMEM, NX_EIO. */
nx_status nx_child_run(nx_child *job, nx_error *err);

#endif
