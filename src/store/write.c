/* write.c - a request becomes a record, takes effect, and is synced together with those beside it.
 *
 * Idea:      under the lock a request is worked out, written to the log's end (into the page
 *            cache) and applied; that takes microseconds. Then its thread waits for the disk
 *            without the lock: the first one to come syncs for all records written by then, the
 *            others find their records synced when it is done. Readers see a request when it is
 *            synced, not before.
 * Invariant: what is published was synced; what isn't written to the log has changed nothing.
 */
#include "store/resolve.h"

#include "base/alloc.h"

#define RECORD_MAX (NX_WAL_BODY_MAX + NX_WAL_HEAD)

/* ---- Syncing for all ---- */

static void lead_begin(nx_collection *c, uint64_t *target)
{
    pthread_mutex_lock(&c->lock);
    *target = c->log.next_seq - 1;
    pthread_mutex_lock(&c->sync_lock);
    c->file_busy = true;
    pthread_mutex_unlock(&c->sync_lock);
    pthread_mutex_unlock(&c->lock);
}

static void lead_end(nx_collection *c, uint64_t target, nx_status st, const nx_error *why)
{
    pthread_mutex_lock(&c->sync_lock);
    c->file_busy = false;
    pthread_cond_broadcast(&c->sync_done);
    pthread_mutex_unlock(&c->sync_lock);
    if (st) {
        nx_collection_fail(c, why);
    } else {
        pthread_mutex_lock(&c->lock);
        if (target > atomic_load(&c->published)->seq) nx_publish(c, target);
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_lock(&c->sync_lock);
    if (!st && target > atomic_load(&c->synced)) atomic_store(&c->synced, target);
    c->syncing = false;
    pthread_cond_broadcast(&c->sync_done);
    pthread_mutex_unlock(&c->sync_lock);
}

static void lead(nx_collection *c)
{
    uint64_t target;
    nx_error why = {0};

    lead_begin(c, &target);
    nx_status st = nx_wal_sync(&c->log, &why);
    lead_end(c, target, st, &why);
}

nx_status nx_wait_synced(nx_collection *c, uint64_t seq, nx_error *err)
{
    nx_status st = NX_OK;

    pthread_mutex_lock(&c->sync_lock);
    while (atomic_load(&c->synced) < seq) {
        if (atomic_load(&c->failed)) {
            st = NX_EIO;
            break;
        }
        if (c->syncing) {
            pthread_cond_wait(&c->sync_done, &c->sync_lock);
            continue;
        }
        c->syncing = true;
        pthread_mutex_unlock(&c->sync_lock);
        lead(c);
        pthread_mutex_lock(&c->sync_lock);
    }
    pthread_mutex_unlock(&c->sync_lock);
    return st ? nx_collection_failed(c, false, err) : NX_OK;
}

/* ---- Writing ---- */

/* Room in the head: it is frozen when it is large. While the one before is still being flushed, the
 * log may grow to twice the size of a head, which bounds what is replayed; then the writer
 * waits, or does the flushing itself. Under lock, which is let go. */
static nx_status make_room(nx_collection *c, nx_error *err)
{
    nx_status st = NX_OK;

    while (!st) {
        bool full = nx_wal_bytes(&c->log) >= 2 * c->head_bytes_max ||
                    nx_head_n_rows(c->head) >= NX_HEAD_ROWS_MAX / 2;
        if (c->frozen && full) {
            st = nx_tidy_wait(c, err);
        } else if (!c->frozen && nx_wants_freeze(c, NX_TIDY_BUSY)) {
            st = nx_freeze(c, err);
            if (!st && c->wake) c->wake(c->wake_ctx);
        } else {
            break;
        }
    }
    return st;
}

static nx_status write_record(nx_collection *c, nx_stage *g, nx_buf *record, uint64_t *seq,
                              nx_error *err)
{
    nx_snapshot *spare = nx_snapshot_spare();
    nx_status    st = spare ? nx_stage_reserve(g, err) : nx_fail(err, NX_ENOMEM, "a request");

    if (!st) st = nx_wal_append(&c->log, seq, record, atomic_load(&c->synced), err);
    if (st) {
        if (c->log.broken && err) nx_collection_fail(c, err);
        nx_free(spare);
        return st;
    }
    spare->next = c->spares;
    c->spares = spare;
    nx_stage_commit(g, *seq);
    return NX_OK;
}

/* Under lock. */
static nx_status write_locked(nx_collection *c, const nx_writes *b, nx_buf *record,
                              nx_write_result *result, nx_error *err)
{
    nx_stage  g;
    nx_status st = nx_collection_failed(c, false, err);

    if (!st) st = make_room(c, err);
    if (st) return st;
    st = nx_stage_init(&g, c, err);
    if (!st && !nx_buf_room(record, NX_WAL_HEAD, err)) st = nx_fail(err, NX_ENOMEM, "a request");
    record->len = NX_WAL_HEAD;
    if (!st) st = nx_resolve(&g, record, b, result, err);
    result->seq = c->log.next_seq - 1;
    if (!st && record->len > NX_WAL_HEAD) st = write_record(c, &g, record, &result->seq, err);
    nx_stage_free(&g);
    return st;
}

nx_status nx_collection_write(nx_collection *c, const nx_writes *b, bool wait, nx_write_result *out,
                              nx_error *err)
{
    nx_write_result result = {0};
    nx_error        inner = {0};
    nx_buf          record = {.max = RECORD_MAX};

    pthread_mutex_lock(&c->lock);
    nx_status st = write_locked(c, b, &record, &result, &inner);
    pthread_mutex_unlock(&c->lock);
    nx_buf_free(&record);
    if (!st && wait) st = nx_wait_synced(c, result.seq, &inner);
    if (!st && !wait && c->wake) c->wake(c->wake_ctx);
    if (out) *out = result;
    if (st) st = nx_read_failed(c, st, &inner);
    if (st && err) *err = inner;
    return st;
}

/* ---- Replaying ---- */

static nx_status replay_blocks(nx_stage *g, const uint8_t *p, size_t n, nx_error *err)
{
    nx_status st = NX_OK;

    while (!st && n > 0) {
        const nx_block *b = (const nx_block *)(const void *)p;
        if (!nx_block_check(&g->c->manifest.config, b, n))
            return nx_fail(err, NX_EFORMAT, "a block that is none, %zu bytes before its end", n);
        st = nx_stage_apply(g, b, err);
        p += b->bytes;
        n -= b->bytes;
    }
    return st;
}

nx_status nx_replay(void *collection, uint64_t seq, const void *body, size_t bytes, nx_error *err)
{
    nx_collection *c = collection;
    nx_stage       g;
    nx_status      st = nx_stage_init(&g, c, err);

    if (!st) st = replay_blocks(&g, body, bytes, err);
    if (!st) st = nx_stage_reserve(&g, err);
    if (!st) nx_stage_commit(&g, seq);
    nx_stage_free(&g);
    return st;
}
