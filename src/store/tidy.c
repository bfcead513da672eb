/* tidy.c - when heads become segments, when segments are merged, and with how much effort.
 *
 * Idea:   the background thread looks once a second, and when it is woken. How much was written
 *         since says how much space may be wasted: with many requests coming in, writing rows
 *         again and again would cost them more than the space is worth.
 *         Merging is cut into pieces of a MB. Between them a head that waits is flushed, so that
 *         the log stays short; and the thread rests for as long as it worked, unless someone waits
 *         for it.
 * Space:  dead rows are at most `dead_percent` of a segment's, and what is dead in the log at most
 *         a tenth of the collection.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "store/collection.h"

enum {
    TIER_FULL = 4,  /* segments of one size that become one */
    TIER_RATIO = 4, /* sizes of one tier differ by less */
    SEGS_MANY = NX_SEGS_MAX - 8,
    LOG_SMALL_BYTES = 1 << 20,   /* not worth a flush */
    LOG_WASTE_PART = 10,         /* of the collection's bytes */
    DEAD_FEW = 256,              /* rows; not worth a flush, either */
    CALM_BYTES = 256 << 10,      /* written in a second */
    LOOK_NS = 900 * 1000 * 1000, /* a little less than a second */
    REST_NS_MAX = 20 * 1000 * 1000,
    WAIT_NS = 50 * 1000 * 1000,
};

/* ---- When ---- */

static uint64_t seg_rows(const nx_collection *c)
{
    uint64_t n = 0;

    for (int i = 0; i < c->n_segs; i++) n += c->segs[i]->head.n_rows;
    return n;
}

static uint64_t seg_bytes(const nx_collection *c)
{
    uint64_t n = 0;

    for (int i = 0; i < c->n_segs; i++) n += c->segs[i]->map.bytes;
    return n;
}

/* Percent of dead rows that are worth writing the others anew. */
static uint64_t dead_percent(nx_effort effort)
{
    return effort == NX_TIDY_BUSY ? 20 : effort == NX_TIDY_CALM ? 8 : 2;
}

/* More of the log is dead than is worth keeping: overwritten points, deletions. */
static bool log_is_waste(const nx_collection *c)
{
    uint64_t bytes = c->log.end, live = c->head->bytes_live;
    uint64_t dead = bytes > live ? bytes - live : 0;

    return dead > LOG_SMALL_BYTES && dead > (seg_bytes(c) + bytes) / LOG_WASTE_PART;
}

bool nx_wants_freeze(const nx_collection *c, nx_effort effort)
{
    const nx_head *h = c->head;
    uint64_t       log_bytes = c->log.end;

    if (effort == NX_TIDY_FORCE) return nx_head_n_rows(h) > 0 || c->n_seg_deaths > 0;
    if (log_bytes > c->head_bytes_max || h->bytes > c->head_bytes_max ||
        nx_head_n_rows(h) > NX_HEAD_ROWS_MAX / 4)
        return true;
    if (c->n_seg_deaths > DEAD_FEW && c->n_seg_deaths * 100 > seg_rows(c) * dead_percent(effort))
        return true;
    return (log_bytes > LOG_SMALL_BYTES && effort == NX_TIDY_IDLE) || log_is_waste(c);
}

/* Wait until nobody syncs the log's file. Under lock. */
static void wait_file_idle(nx_collection *c)
{
    pthread_mutex_lock(&c->sync_lock);
    while (c->file_busy) pthread_cond_wait(&c->sync_done, &c->sync_lock);
    pthread_mutex_unlock(&c->sync_lock);
}

/* All records are on the disk: say so, and let readers see them. Under lock. */
static void all_synced(nx_collection *c, uint64_t seq)
{
    nx_publish(c, seq);
    pthread_mutex_lock(&c->sync_lock);
    atomic_store(&c->synced, seq);
    pthread_cond_broadcast(&c->sync_done);
    pthread_mutex_unlock(&c->sync_lock);
}

nx_status nx_freeze(nx_collection *c, nx_error *err)
{
    nx_head     *fresh = nx_head_create();
    nx_snapshot *spare = nx_snapshot_spare();
    nx_error     why = {0};
    uint64_t     seq = 0;

    if (!fresh || !spare) {
        nx_head_release(fresh);
        nx_free(spare);
        return nx_fail(err, NX_ENOMEM, "a new head");
    }
    wait_file_idle(c);
    nx_status st = nx_wal_seal(&c->log, &seq, &why);
    if (st) {
        if (c->log.broken) nx_collection_fail(c, &why);
        nx_head_release(fresh);
        nx_free(spare);
        return nx_fail(err, st, "%s", why.text);
    }
    (void)nx_wal_rotate(&c->log, NULL); /* when it fails, the old file goes on */
    c->frozen = c->head;
    c->head = fresh;
    c->frozen_seq = seq;
    fresh->last_seq = seq;
    spare->next = c->spares;
    c->spares = spare;
    all_synced(c, seq);
    return NX_OK;
}

/* Nobody writes: a seal proves all before it, so that opening finds damage there after a kill, too,
 * and has nothing to sync. */
static nx_status seal_idle(nx_collection *c, uint64_t last, nx_error *err)
{
    nx_error     why = {0};
    nx_snapshot *spare = nx_snapshot_spare();
    uint64_t     seq = 0;
    nx_status    st = NX_OK;

    if (!spare) return nx_fail(err, NX_ENOMEM, "a seal");
    pthread_mutex_lock(&c->lock);
    if (c->log.unsealed && c->log.next_seq - 1 == last && !atomic_load(&c->failed)) {
        wait_file_idle(c);
        st = nx_wal_seal(&c->log, &seq, &why);
        if (st && c->log.broken) nx_collection_fail(c, &why);
        if (!st) {
            spare->next = c->spares;
            c->spares = spare;
            spare = NULL;
            all_synced(c, seq);
        }
    }
    pthread_mutex_unlock(&c->lock);
    nx_free(spare);
    return st ? nx_fail(err, st, "%s", why.text) : NX_OK;
}

/* ---- What ---- */

typedef struct step {
    nx_collection *c;
    nx_effort      effort;
    bool           gentle;
    int64_t        worked_ns; /* until then it has rested */
    nx_seg        *segs[NX_SEGS_MAX];
    int            n_segs; /* to be merged */
} step;

/* Codes that were made anew in memory, since the file's are damaged, are written with the rest. */
static bool is_damaged(const nx_seg *s)
{
    for (int i = 0; i < NX_SLOTS_MAX; i++)
        if (atomic_load_explicit(&s->made[i], memory_order_relaxed)) return true;
    return false;
}

static int by_rows(const void *pa, const void *pb)
{
    const nx_seg *a = *(nx_seg *const *)pa, *b = *(nx_seg *const *)pb;

    return a->head.n_rows < b->head.n_rows ? -1 : a->head.n_rows > b->head.n_rows;
}

/* Rows of s that died by seq. */
static uint64_t dead_by(const nx_seg *s, uint64_t seq)
{
    uint64_t n = 0;

    if (atomic_load(&s->n_dead) == 0) return 0;
    for (uint64_t i = 0; i < s->head.n_rows; i++) n += !nx_alive_at(nx_seg_death(s, i), seq);
    return n;
}

static bool is_worth_writing_anew(const step *x, const nx_seg *s)
{
    uint64_t rows = s->head.n_rows, percent = dead_percent(x->effort);

    if (is_damaged(s)) return true;
    return atomic_load(&s->n_dead) * 100 > rows * percent &&
           dead_by(s, x->c->log_seq) * 100 > rows * percent;
}

/* Segments that are to become one: those with many dead rows, else the first full tier. Under
 * lock. */
static void choose_merge(step *x)
{
    nx_collection *c = x->c;
    nx_seg        *order[NX_SEGS_MAX];

    for (int i = 0; i < c->n_segs; i++)
        if (is_worth_writing_anew(x, c->segs[i])) x->segs[x->n_segs++] = c->segs[i];
    if (x->n_segs || c->n_segs < TIER_FULL) return;
    memcpy(order, c->segs, sizeof order);
    qsort(order, (size_t)c->n_segs, sizeof *order, by_rows);
    for (int i = 0; !x->n_segs && i + TIER_FULL <= c->n_segs; i++) {
        int n = i + 1;
        while (n < c->n_segs && order[n]->head.n_rows < TIER_RATIO * order[i]->head.n_rows) n++;
        if (n - i >= TIER_FULL || c->n_segs > SEGS_MANY) {
            n = n - i >= TIER_FULL ? n : i + TIER_FULL;
            for (int k = i; k < n; k++) x->segs[x->n_segs++] = order[k];
        }
    }
}

/* The head that waits, or is large enough, becomes a segment. *did: there was one. */
static nx_status flush(nx_collection *c, nx_effort effort, bool *did, nx_error *err)
{
    nx_status st = NX_OK;

    pthread_mutex_lock(&c->lock);
    if (!c->frozen && nx_wants_freeze(c, effort)) st = nx_freeze(c, err);
    *did = c->frozen && c->n_segs < NX_SEGS_MAX - 1; /* else merging makes room first */
    pthread_mutex_unlock(&c->lock);
    if (st || !*did) return st;
    nx_change *x = nx_change_create(c);
    st = x ? nx_change_flush(x, err) : nx_fail(err, NX_ENOMEM, "tidying");
    nx_change_destroy(x);
    return st;
}

/* Rest for as long as was worked since the last rest. */
static void rest(step *x)
{
    int64_t worked = nx_clock_ns() - x->worked_ns;

    if (!x->gentle || atomic_load_explicit(&x->c->n_hurry, memory_order_relaxed)) worked = 0;
    if (worked > REST_NS_MAX) worked = REST_NS_MAX;
    if (worked > 0) nanosleep(&(struct timespec){.tv_nsec = (long)worked}, NULL);
    x->worked_ns = nx_clock_ns();
}

static nx_status between(void *ctx, nx_error *err)
{
    step *x = ctx;
    bool  did;

    if (atomic_load_explicit(&x->c->give_up, memory_order_relaxed))
        return nx_fail(err, NX_EBUSY, "merging was given up");
    nx_status st = flush(x->c, NX_TIDY_BUSY, &did, err);
    if (!st) rest(x);
    return st;
}

static nx_status merge(step *x, bool *did, nx_error *err)
{
    nx_collection *c = x->c;

    pthread_mutex_lock(&c->lock);
    choose_merge(x);
    pthread_mutex_unlock(&c->lock);
    *did = x->n_segs > 0 && !atomic_load(&c->give_up);
    if (!*did) return NX_OK;
    nx_change *change = nx_change_create(c);
    x->worked_ns = nx_clock_ns();
    atomic_store(&c->merging, true);
    nx_status st = change ? nx_change_merge(change, x->segs, x->n_segs, between, x, err)
                          : nx_fail(err, NX_ENOMEM, "tidying");
    atomic_store(&c->merging, false);
    nx_change_destroy(change);
    if (st && atomic_load(&c->give_up)) {
        *did = false;
        return NX_OK;
    }
    return st;
}

/* Only the maintainer changes c->frozen to NULL, and c->segs: what was looked at stays. */
static nx_status one_step(step *x, bool *did, nx_error *err)
{
    nx_status st = nx_collection_failed(x->c, false, err);

    *did = false;
    if (!st) st = flush(x->c, x->effort, did, err);
    if (!st && !*did) st = merge(x, did, err);
    nx_free_leavings(x->c, false);
    return st;
}

/* With `tidy` held, which is let go. */
static nx_status step_and_leave(nx_collection *c, nx_effort effort, bool gentle, bool *did,
                                nx_error *err)
{
    nx_error  inner = {0};
    step      x = {.c = c, .effort = effort, .gentle = gentle};
    nx_status st = one_step(&x, did, &inner);

    pthread_mutex_lock(&c->lock);
    c->tidy_status = st;
    c->tidy_error = inner;
    pthread_mutex_unlock(&c->tidy); /* under lock: who waits for `tidied` misses nothing */
    pthread_cond_broadcast(&c->tidied);
    pthread_mutex_unlock(&c->lock);
    if (st) st = nx_read_failed(c, st, &inner);
    if (st && err) *err = inner;
    return st;
}

nx_status nx_tidy_step(nx_collection *c, nx_effort effort, bool gentle, bool *did, nx_error *err)
{
    atomic_fetch_add(&c->n_hurry, !gentle);
    pthread_mutex_lock(&c->tidy);
    atomic_fetch_sub(&c->n_hurry, !gentle);
    return step_and_leave(c, effort, gentle, did, err);
}

/* Not for long: others hold `tidy` as well, and don't tell when they let it go. */
static void wait_tidied(nx_collection *c)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    atomic_fetch_add(&c->n_hurry, 1);
    pthread_cond_timedwait(&c->tidied, &c->lock, &until);
    atomic_fetch_sub(&c->n_hurry, 1);
}

nx_status nx_tidy_wait(nx_collection *c, nx_error *err)
{
    bool      did;
    nx_status st = nx_collection_failed(c, false, err);

    if (st) return st;
    if (pthread_mutex_trylock(&c->tidy)) {
        wait_tidied(c);
        return NX_OK;
    }
    pthread_mutex_unlock(&c->lock);
    st = step_and_leave(c, NX_TIDY_BUSY, false, &did, err);
    pthread_mutex_lock(&c->lock);
    return st;
}

void nx_tidy_give_up(nx_collection *c)
{
    atomic_store(&c->give_up, true);
}

/* ---- The background thread's round ---- */

/* How much may be done, by how much was written in the last second. Under lock. */
static nx_effort effort_now(nx_collection *c)
{
    int64_t  now = nx_clock_ns();
    uint64_t written = c->log.appended - c->looked_at;

    if (written >= CALM_BYTES) c->effort = NX_TIDY_BUSY;
    if (now - c->looked_ns >= LOOK_NS) {
        c->effort = written == 0           ? NX_TIDY_IDLE
                    : written < CALM_BYTES ? NX_TIDY_CALM
                                           : NX_TIDY_BUSY;
        c->looked_ns = now;
        c->looked_at = c->log.appended;
    } else if (written > 0 && c->effort == NX_TIDY_IDLE) {
        c->effort = NX_TIDY_CALM;
    }
    return (nx_effort)c->effort;
}

nx_status nx_tidy_all(nx_collection *c, bool gentle, nx_error *err)
{
    bool did = true;

    pthread_mutex_lock(&c->lock);
    uint64_t  last = c->log.next_seq - 1;
    nx_effort effort = gentle ? effort_now(c) : NX_TIDY_IDLE;
    pthread_mutex_unlock(&c->lock);
    nx_status st = nx_wait_synced(c, last, err);
    while (!st && did) st = nx_tidy_step(c, effort, gentle, &did, err);
    if (!st && effort == NX_TIDY_IDLE) st = seal_idle(c, last, err);
    return st;
}
