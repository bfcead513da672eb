/* collection.h - one collection's insides, shared by the files that open, write, read and tidy it.
 *
 * Locks, in the order they are taken: `tidy` (one maintainer), `change` (who replaces the settings),
 * `lock` (the writer; who holds it may only try for
 * `tidy`), `sync_lock` (who syncs the log). Readers take none: they get a snapshot through
 * a hazard pointer (snapshot.c); but for `settings_lock`, held for some instructions.
 */
#ifndef NX_STORE_COLLECTION_H
#define NX_STORE_COLLECTION_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/head.h"
#include "store/manifest.h"
#include "store/segment.h"
#include "store/store.h"
#include "store/wal.h"

enum { NX_HAZARDS = 64, NX_LEFT_HEADS = 8 };

/* What a reader sees. It counts its heads and segments, and is counted itself. */
struct nx_snapshot {
    atomic_int     refs;
    nx_collection *c;
    uint64_t       seq;           /* rows born later don't exist, deaths later haven't happened */
    nx_head       *head, *frozen; /* frozen may be NULL */
    nx_seg        *segs[NX_SEGS_MAX];
    int            n_segs;
    nx_snapshot   *next; /* in the list of spares or of retired ones */
};

struct nx_collection {
    atomic_int             refs;
    nx_disk               *disk;
    const nx_distance_ops *distances;
    uint64_t               head_bytes_max;
    char                  *dir, *name;
    nx_manifest            manifest; /* as opened: holds the configuration's bytes */
    void (*wake)(void *ctx);         /* there may be something to tidy; may be NULL */
    void *wake_ctx;

    pthread_mutex_t tidy;
    atomic_int      n_hurry; /* who waits for the maintainer: it doesn't rest */
    _Atomic bool    merging;
    _Atomic bool    give_up; /* merging ends, without effect: the store closes, or it is dropped */
    nx_seg         *left_segs[NX_SEGS_MAX];    /* replaced, and perhaps held by readers; the */
    nx_head        *left_heads[NX_LEFT_HEADS]; /* maintainer frees them, since that takes long */
    int             n_left_segs, n_left_heads;

    pthread_mutex_t    change;        /* settings to the disk, one after the other */
    pthread_mutex_t    settings_lock; /* guards the pointer */
    const nx_settings *settings;      /* in force; never NULL once open */

    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t  tidied; /* a head became a segment, or the maintainer is done */
    nx_wal          log;
    nx_head        *head, *frozen;
    uint64_t        frozen_seq; /* of the last record whose rows are in `frozen` */
    nx_seg         *segs[NX_SEGS_MAX];
    int             n_segs;
    uint64_t        log_seq;      /* segments hold everything up to it */
    uint64_t        next_number;  /* of a segment */
    uint64_t        n_seg_deaths; /* since the last flush */
    uint64_t        n_deaths;     /* ever, of rows in heads and segments */
    int64_t         looked_ns;    /* when the background thread looked how much is written, */
    uint64_t        looked_at;    /* how much had been written then, */
    int             effort;       /* and what followed from it: nx_effort */
    nx_snapshot    *spares, *retired;
    nx_status       tidy_status; /* what flushing failed with, last; NX_OK */
    nx_error        tidy_error;

    _Atomic(nx_snapshot *) published;
    _Atomic(nx_snapshot *) hazards[NX_HAZARDS];

    pthread_mutex_t  sync_lock; /* guards what follows */
    pthread_cond_t   sync_done;
    bool             syncing;   /* someone is the one who syncs for all */
    bool             file_busy; /* and is in the system call: the log's file must stay open */
    _Atomic uint64_t synced; /* the last record that is on the disk and published; read anywhere */

    _Atomic int failed; /* nx_status: NX_EIO read-only, NX_EFORMAT quarantined; the first stays */
    pthread_mutex_t failed_lock;
    nx_error        failure;
};

/* ---- snapshot.c ---- */

nx_snapshot *nx_snapshot_spare(void); /* NULL when out of memory */

/* Publish what c's heads and segments are, for readers up to seq (never less than before). Under
 * lock; takes one of c->spares. */
void nx_publish(nx_collection *c, uint64_t seq);
void nx_unpublish(nx_collection *c); /* no reader is left: frees all */

/* ---- collection.c ---- */

/* Make the folder of a new collection: whole and synced, but for its own name. */
nx_status nx_collection_make(nx_disk *disk, const char *dir, const nx_config *config,
                             nx_error *err);

nx_status nx_collection_open(nx_collection **out, nx_disk *disk, const char *dir, nx_str name,
                             const nx_store_options *options, nx_error *err);

/* Remember the failure (the first one), and return it; NX_OK while nothing has failed. */
nx_status nx_collection_fail(nx_collection *c, const nx_error *why);
nx_status nx_collection_failed(nx_collection *c, bool for_reading, nx_error *err);

/* An error while reading: damage quarantines. Returns st. */
nx_status nx_read_failed(nx_collection *c, nx_status st, nx_error *err);

/* ---- write.c ---- */

/* Replay a record into the head; for nx_wal_open. Nothing is published. */
nx_status nx_replay(void *collection, uint64_t seq, const void *body, size_t bytes, nx_error *err);

/* Wait until record seq is synced and published. */
nx_status nx_wait_synced(nx_collection *c, uint64_t seq, nx_error *err);

/* ---- change.c ---- */

typedef struct nx_change nx_change; /* a new segment, and what it replaces */

/* Zeroed; NULL when out of memory. */
nx_change *nx_change_create(nx_collection *c);
void       nx_change_destroy(nx_change *x); /* NULL does nothing */

/* The frozen head becomes a segment. Only the maintainer may call these two. */
nx_status nx_change_flush(nx_change *x, nx_error *err);

/* n segments of c become one. between (may be NULL) is called again and again; an error from it
 * ends the merging without effect, and is returned. It may flush, with a change of its own. */
nx_status nx_change_merge(nx_change *x, nx_seg *const *segs, int n,
                          nx_status (*between)(void *ctx, nx_error *err), void *ctx, nx_error *err);

/* Free what was replaced and is held by no reader any more; all: no reader is left. The
 * maintainer, who holds no lock but `tidy`. */
void nx_free_leavings(nx_collection *c, bool all);

/* ---- tidy.c ---- */

/* Close the head for writing and begin a new one, with a new log file. Under lock; frozen is
 * NULL. */
nx_status nx_freeze(nx_collection *c, nx_error *err);

typedef enum nx_effort {
    NX_TIDY_BUSY,  /* only what pays though many requests come in */
    NX_TIDY_CALM,  /* few come in: give most of the space back */
    NX_TIDY_IDLE,  /* none: give the last percents back */
    NX_TIDY_FORCE, /* put the head into a segment, however small it is */
} nx_effort;

/* One step of what there is to do, if any. No lock is held. *did: something was done. gentle:
 * merging rests half of the time, for those who search. */
nx_status nx_tidy_step(nx_collection *c, nx_effort effort, bool gentle, bool *did, nx_error *err);

/* Put the frozen head into a segment, or wait for the maintainer to do it. Under lock, which is
 * let go meanwhile. */
nx_status nx_tidy_wait(nx_collection *c, nx_error *err);

/* What the background thread does: everything that there is to do, with the effort that the
 * requests since the last time leave room for. */
nx_status nx_tidy_all(nx_collection *c, bool gentle, nx_error *err);

/* End merging soon, and let none begin: the store closes, or the collection is dropped. */
void nx_tidy_give_up(nx_collection *c);

bool nx_wants_freeze(const nx_collection *c, nx_effort effort); /* under lock */

#endif
