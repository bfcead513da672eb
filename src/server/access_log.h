/* access_log.h - one JSON object a line for every request, written by a thread of its own.
 *
 * Owns:    the lines that wait to be written (at most lines_max and bytes_max of them), the file.
 * Refuses: prompts, unless it was opened with_prompts; keys (the caller gives a key's public id).
 * Idea:    nx_access_log_write makes the line, puts it into a bounded queue and returns: a full disk
 *          or a pipe that nobody reads holds up no request. What doesn't fit is dropped and counted;
 *          when writing goes on, a line {"event":"log_dropped","dropped":N} says how many are missing.
 * Thread:  any, but nx_access_log_close: when nobody writes any more.
 */
#ifndef NX_SERVER_ACCESS_LOG_H
#define NX_SERVER_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

typedef struct nx_access_log nx_access_log;

typedef struct nx_access_log_options {
    const char *path;      /* a file, opened for appending (made with mode 0640); NULL: fd */
    int         fd;        /* default 1, stdout; borrowed */
    size_t      lines_max; /* default 4096 */
    size_t      bytes_max; /* default 4 MiB */
    int32_t flush_ms; /* how long closing waits for a reader that takes nothing; default 5,000 */
    bool    with_prompts; /* default false */
} nx_access_log_options;

void nx_access_log_options_default(nx_access_log_options *opt);

/* opt is copied. NX_EIO (the file can't be opened), NX_EINVAL (a limit of 0), NX_ENOMEM. */
nx_status nx_access_log_open(nx_access_log **out, const nx_access_log_options *opt, nx_error *err);

/* One request. Strings are borrowed, and cut at a bound of their own; NULL, and a number below 0:
 * left out of the line. */
typedef struct nx_access_entry {
    const char *request_id;
    const char *traceparent; /* the header as it came: its trace id is told when it is valid */
    const char *key_id;      /* the public part */
    const char *peer, *method;
    const char *route;                           /* the template */
    const char *path;                            /* without the query */
    int         status;                          /* 0: nothing was answered */
    bool        complete;                        /* the client got all of it */
    int64_t     bytes;                           /* of the response's body */
    double      duration_ms, queue_ms, ttft_ms;  /* ttft: to the first token */
    int64_t     n_prompt, n_cached, n_generated; /* tokens */
    const char *finish_reason, *model;
    nx_str      prompt; /* {NULL, 0}: none; told only by a log opened with_prompts */
} nx_access_entry;

void nx_access_entry_default(nx_access_entry *e); /* everything left out */

/* Never waits for the file. */
void nx_access_log_write(nx_access_log *log, const nx_access_entry *e);

/* Open the path anew before the next line is written: logrotate has renamed the file. When that
 * fails the old one stays in use, and a warning is logged. Nothing without a path. Not in a signal
 * handler. */
void nx_access_log_reopen(nx_access_log *log);

/* Lines lost since the start. */
uint64_t nx_access_log_dropped(const nx_access_log *log);

/* Write what waits, end the thread, free. NULL does nothing. */
void nx_access_log_close(nx_access_log *log);

/* The trace id of a W3C traceparent header. False (trace_id is then ""): NULL, or not valid. */
bool nx_traceparent_read(char trace_id[33], const char *header);

#endif
