/* vault.h - the server's store, and who works there.
 *
 * Owns:   the nx_store in DATA/store, a desk for what waits for the disk, and the threads that share one
 *         long scan.
 * Thread: any, once it is open.
 */
#ifndef NX_SERVER_VAULT_H
#define NX_SERVER_VAULT_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/datadir.h"
#include "server/desk.h"
#include "server/metrics.h"
#include "store/store.h"

typedef struct nx_vault {
    nx_store       *store;
    nx_desk        *desk;
    nx_pool        *pool; /* under pool_lock: one search at a time */
    pthread_mutex_t pool_lock;
    bool            is_open;
    char            dir[NX_DATADIR_PATH_MAX];
    atomic_bool     failed; /* the last write, for a reason of the disk; set under lock */
    pthread_mutex_t lock;   /* guards these */
    int64_t         failed_ns;
    char            reason[NX_ERROR_TEXT_MAX];
} nx_vault;

/* Open the store beneath the data folder, or make it. Collections that are quarantined are logged.
 * NX_EIO, NX_EBUSY, NX_ENOMEM, NX_ELIMIT (path). */
nx_status nx_vault_open(nx_vault *v, const char *data, const nx_distance_ops *distances,
                        nx_error *err);

/* The desk ends, when what was posted there is done. */
void nx_vault_clear_desk(nx_vault *v);

/* What was posted to the desk is done first. */
void nx_vault_close(nx_vault *v); /* zeroed or closed: does nothing */

/* The pool, unless another search has it: then NULL, and the search uses its own thread alone. */
nx_pool *nx_vault_take_pool(nx_vault *v);
void     nx_vault_give_pool(nx_vault *v, nx_pool *pool); /* NULL does nothing */

/* What became of a write: err belongs to st. */
void nx_vault_note_write(nx_vault *v, nx_status st, const nx_error *err);

/* For probes, which touch no disk: false, with the reason, when the last write failed for the disk's sake
 * less than half a minute ago. Then the next write decides. */
bool nx_vault_writable(nx_vault *v, char *reason, size_t cap);

/* What /metrics says. */
void nx_vault_sample(nx_vault *v, nx_metrics *m);

#endif
