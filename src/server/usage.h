/* usage.h - the ledger: who used how much of which model on which day, durable to the last answer.
 *
 * Owns:    one thread, which alone writes table `usage`; today's tokens of each key in memory.
 * Idea:    requests hand their figures over and go on; the thread puts all that waits into one
 *          transaction and then tells each of them. Whoever sends an answer's last bytes only after
 *          that has counted every answer that a client has seen whole, whatever kills the process.
 *          While one commit waits for the disk the next one gathers: many requests, one sync.
 * Failure: a disk that is full or read-only is told to who waits at once, and logged once a minute;
 *          the figures stay in memory (some thousand rows) and go with the next commit that works.
 * Thread:  any; `done` is called on the ledger's thread, or by the caller of nx_usage_add before it
 *          returns.
 */
#ifndef NX_SERVER_USAGE_H
#define NX_SERVER_USAGE_H

#include <stdint.h>

#include "server/db.h"
#include "server/idmap.h"

#define NX_USAGE_MODEL_CAP 256 /* a longer name is cut */

typedef struct nx_usage_counts {
    int64_t requests, prompt_tokens, generated_tokens, cached_tokens; /* cached: part of prompt */
} nx_usage_counts;

/* What one or more requests used. Negative counts are taken for 0. */
typedef struct nx_usage_entry {
    const char     *key;   /* id; NULL or "": asked without one */
    const char     *model; /* its name */
    nx_usage_counts counts;
    int64_t         unix_s; /* when; decides the UTC day */
} nx_usage_entry;

/* NX_OK: it is on the disk. NX_EIO and others: it is not, and may be later or never. NX_ELIMIT: too many
 * wait. Must be quick, and must not call nx_usage_close. */
typedef void (*nx_usage_fn)(void *ctx, nx_status st);

typedef struct nx_usage nx_usage;

/* Read today's tokens and start the thread. db outlives it. NX_EIO, NX_EFORMAT, NX_ENOMEM. */
nx_status nx_usage_open(nx_usage **out, nx_db *db, int64_t now_s, nx_error *err);

/* Write what waits, call what is owed, free. Nobody adds any more. NULL does nothing. */
void nx_usage_close(nx_usage *u);

/* Hand an entry over (copied). done may be NULL, and is called exactly once. Never waits for the disk. */
void nx_usage_add(nx_usage *u, const nx_usage_entry *e, nx_usage_fn done, void *ctx);

/* Prompt and generated tokens of a key on the UTC day of now_s, with those not yet on the disk. */
int64_t nx_usage_today(nx_usage *u, const char *key, int64_t now_s);

typedef struct nx_usage_row {
    int64_t         day; /* Unix seconds / 86400 */
    char            key[NX_KEY_ID_CAP];
    char            model[NX_USAGE_MODEL_CAP];
    nx_usage_counts counts;
} nx_usage_row;

#define NX_USAGE_ROWS_MAX 100000

/* Rows on the disk of days from_day to to_day, of one key or (NULL) all, by day, key and model; *out
 * is one block (nx_free). Waits for the disk, also for what was handed over before the call: so not
 * from `done`. NX_ELIMIT: more than NX_USAGE_ROWS_MAX. */
nx_status nx_usage_query(nx_usage *u, nx_usage_row **out, size_t *n, int64_t from_day,
                         int64_t to_day, const char *key, nx_error *err);

/* For /metrics. */
typedef struct nx_usage_stats {
    int64_t n_waiting;  /* handed over, not yet told */
    int64_t n_commits;  /* transactions on the disk */
    int64_t n_failures; /* transactions that failed */
    int64_t n_lost;     /* entries that will never be on the disk */
} nx_usage_stats;
void nx_usage_count(nx_usage *u, nx_usage_stats *out);

#endif
