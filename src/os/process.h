/* process.h - what the system knows about this process. */
#ifndef NX_OS_PROCESS_H
#define NX_OS_PROCESS_H

#include <stdint.h>

/* A figure that the system doesn't tell is -1. */
typedef struct nx_process {
    int64_t resident_bytes; /* in memory, shared pages (a mapped model's) included */
    int64_t virtual_bytes;
    int64_t n_threads;
    int64_t n_fds, n_fds_max; /* open descriptors; how many there may be */
    double  cpu_s;            /* processor time of all threads, since the start */
    double  start_unix_s;     /* when it began; the same in every call */
} nx_process;

/* Any thread; some 50 microseconds. */
void nx_process_read(nx_process *out);

/* Let this process have as many descriptors as it may allow itself, at most a million: systems begin with
 * 1024, for the sake of programs that call select. Returns how many there may be; -1: unknown. */
int64_t nx_process_allow_descriptors(void);

#endif
