/* tidy.c - heads become segments, segments are merged, and what nobody needs any more leaves the
 * disk.
 *
 * Order of a step: the new segment is written and synced; the manifest that names it is put in
 * force; under the lock the stamps of rows that died meanwhile are carried over, and readers get a
 * snapshot with the new segment in place of what it came from; then old files go. A failure before
 * the manifest changes nothing; after it, either manifest is a good one, since no old file is gone
 * yet.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "store/collection.h"
#include "store/segment_write.h"

enum {
    PATH_CAP = 4096,
    TIER_FULL = 4,  /* segments of one size that become one */
    TIER_RATIO = 4, /* sizes of one tier differ by less */
    SEGS_MANY = NX_SEGS_MAX - 8,
    LOG_SMALL_BYTES = 1 << 20, /* not worth a flush */
    DEAD_FEW = 256,            /* rows; likewise */
};

/* ---- When ---- */

static uint64_t seg_rows(const nx_collection *c)
{
    uint64_t n = 0;

    for (int i = 0; i < c->n_segs; i++) n += c->segs[i]->head.n_rows;
    return n;
}

/* Percent of dead rows that are worth writing the others anew. */
static uint64_t dead_percent(nx_effort effort)
{
    return effort == NX_TIDY_BUSY ? 15 : 2;
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
    return log_bytes > LOG_SMALL_BYTES && (effort == NX_TIDY_IDLE || h->bytes_live < log_bytes / 2);
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

/* ---- A new segment put in force ---- */

typedef struct change {
    nx_collection *c;
    nx_gather      gather;
    nx_head       *flushed;             /* the frozen head, or NULL */
    nx_seg        *merged[NX_SEGS_MAX]; /* segments that it replaces */
    int            n_merged;
    uint64_t       log_seq, number;
    nx_seg        *made; /* NULL: nothing lives */
    char           path[PATH_CAP];
} change;

static nx_status seg_path(char out[PATH_CAP], const nx_collection *c, uint64_t number,
                          nx_error *err)
{
    if (nx_path_write(out, PATH_CAP, "%s/seg-%016llx", c->dir, (unsigned long long)number))
        return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: too long a path", c->dir);
}

static nx_status write_made(change *x, nx_error *err)
{
    nx_collection *c = x->c;
    nx_status      st;

    if (x->gather.n_rows == 0) return NX_OK;
    st = seg_path(x->path, c, x->number, err);
    if (!st)
        st = nx_seg_write(&x->gather, c->disk, x->path, &c->manifest.config,
                          c->manifest.incarnation, x->number, err);
    if (!st) st = c->disk->ops->sync_dir(c->disk, c->dir, err); /* its name, before one names it */
    if (!st)
        st = nx_seg_open(&x->made, c->disk, x->path, &c->manifest.config, c->manifest.incarnation,
                         x->number, err);
    return st;
}

static bool is_merged(const change *x, const nx_seg *s)
{
    for (int i = 0; i < x->n_merged; i++)
        if (x->merged[i] == s) return true;
    return false;
}

/* The marks of rows that had died by seq: nx_free, or NULL (*n_dead 0, or out of memory). */
static uint64_t *marks_of(const nx_seg *s, uint64_t seq, uint64_t *n_dead)
{
    uint64_t  n = s->head.n_rows;
    uint64_t *marks = NULL;

    *n_dead = 0;
    if (atomic_load(&s->n_dead) == 0) return NULL;
    for (uint64_t i = 0; i < n; i++) {
        if (nx_alive_at(nx_seg_death(s, i), seq)) continue;
        if (!marks) marks = nx_calloc((size_t)((n + 63) / 64), 8);
        (*n_dead)++;
        if (marks) marks[i / 64] |= (uint64_t)1 << i % 64;
    }
    return marks;
}

static nx_status add_seg(nx_manifest *m, const nx_seg *s, uint64_t seq, nx_error *err)
{
    nx_manifest_seg *e = &m->segs[m->n_segs];

    *e = (nx_manifest_seg){.number = s->head.number, .n_rows = s->head.n_rows};
    e->marks = marks_of(s, seq, &e->n_dead);
    if (e->n_dead && !e->marks) return nx_fail(err, NX_ENOMEM, "marks of %s", s->path);
    m->n_segs++;
    return NX_OK;
}

static nx_status put_in_force(change *x, bool *unclear, nx_error *err)
{
    nx_collection *c = x->c;
    nx_status      st = NX_OK;
    nx_manifest   *m = nx_calloc(1, sizeof *m);

    if (!m) return nx_fail(err, NX_ENOMEM, "manifest");
    m->config = c->manifest.config;
    m->incarnation = c->manifest.incarnation;
    m->log_seq = x->log_seq;
    m->next_number = x->number + 1;
    for (int i = 0; !st && i < c->n_segs; i++)
        if (!is_merged(x, c->segs[i])) st = add_seg(m, c->segs[i], x->log_seq, err);
    if (!st && x->made) st = add_seg(m, x->made, x->log_seq, err);
    if (!st) st = nx_manifest_write(m, c->disk, c->dir, unclear, err);
    for (int i = 0; i < m->n_segs; i++) nx_free((void *)(uintptr_t)m->segs[i].marks);
    nx_free(m);
    return st;
}

/* Rows that died while the segment was written. Under lock: nobody dies now. */
static void carry_deaths(change *x)
{
    for (size_t i = 0; x->made && i < x->gather.n_rows; i++) {
        uint64_t death = nx_gather_death(&x->gather, i);
        if (death) nx_seg_kill(x->made, i, death);
    }
}

/* Readers get the new state. Under lock. */
static void swap_in(change *x, nx_snapshot *spare)
{
    nx_collection *c = x->c;
    int            n = 0;

    carry_deaths(x);
    for (int i = 0; i < c->n_segs; i++)
        if (!is_merged(x, c->segs[i])) c->segs[n++] = c->segs[i];
    if (x->made) c->segs[n++] = x->made;
    c->n_segs = n;
    if (x->flushed) {
        c->frozen = NULL;
        c->n_seg_deaths = 0;
    }
    c->log_seq = x->log_seq;
    c->next_number = x->number + 1;
    spare->next = c->spares;
    c->spares = spare;
    nx_publish(c, atomic_load(&c->published)->seq);
    x->made = NULL; /* the collection's now */
}

/* Old files, and the references of what they held. Their going may fail: they are looked for when
 * the collection opens. */
static void drop_old(change *x)
{
    nx_collection *c = x->c;

    for (int i = 0; i < x->n_merged; i++) {
        (void)c->disk->ops->remove(c->disk, x->merged[i]->path, NULL);
        nx_seg_release(x->merged[i]);
    }
    nx_head_release(x->flushed);
    pthread_mutex_lock(&c->lock);
    (void)nx_wal_trim(&c->log, c->log_seq, NULL);
    pthread_mutex_unlock(&c->lock);
}

static nx_status make_change(change *x, nx_error *err)
{
    nx_collection *c = x->c;
    bool           unclear = false;
    nx_snapshot   *spare = nx_snapshot_spare();
    nx_status      st = spare ? write_made(x, err) : nx_fail(err, NX_ENOMEM, "a snapshot");

    if (!st) st = put_in_force(x, &unclear, err);
    if (st) {
        if (!unclear && x->path[0]) (void)c->disk->ops->remove(c->disk, x->path, NULL);
        if (unclear) { /* the next one gets another number */
            pthread_mutex_lock(&c->lock);
            c->next_number = x->number + 1;
            pthread_mutex_unlock(&c->lock);
        }
        nx_seg_release(x->made);
        nx_free(spare);
        return st;
    }
    pthread_mutex_lock(&c->lock);
    swap_in(x, spare);
    pthread_mutex_unlock(&c->lock);
    drop_old(x);
    return NX_OK;
}

/* ---- What ---- */

static nx_status flush_frozen(change *x, nx_error *err)
{
    x->flushed = x->c->frozen;
    x->log_seq = x->c->frozen_seq;
    nx_status st = nx_gather_head(&x->gather, x->flushed, x->log_seq, err);
    return st ? st : make_change(x, err);
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

/* Segments that are to become one: those with many dead rows, else the first full tier. Under
 * lock. */
static void choose_merge(change *x, nx_effort effort)
{
    nx_collection *c = x->c;
    nx_seg        *order[NX_SEGS_MAX];

    for (int i = 0; i < c->n_segs; i++) {
        uint64_t rows = c->segs[i]->head.n_rows;
        if (atomic_load(&c->segs[i]->n_dead) * 100 > rows * dead_percent(effort) &&
            dead_by(c->segs[i], c->log_seq) * 100 > rows * dead_percent(effort))
            x->merged[x->n_merged++] = c->segs[i];
    }
    if (x->n_merged || c->n_segs < TIER_FULL) return;
    memcpy(order, c->segs, sizeof order);
    qsort(order, (size_t)c->n_segs, sizeof *order, by_rows);
    for (int i = 0; !x->n_merged && i + TIER_FULL <= c->n_segs; i++) {
        int n = i + 1;
        while (n < c->n_segs && order[n]->head.n_rows < TIER_RATIO * order[i]->head.n_rows) n++;
        if (n - i >= TIER_FULL || c->n_segs > SEGS_MANY) {
            n = n - i >= TIER_FULL ? n : i + TIER_FULL;
            for (int k = i; k < n; k++) x->merged[x->n_merged++] = order[k];
        }
    }
}

static nx_status merge_chosen(change *x, nx_error *err)
{
    nx_status st = NX_OK;

    for (int i = 0; !st && i < x->n_merged; i++)
        st = nx_gather_seg(&x->gather, x->merged[i], x->log_seq, err);
    return st ? st : make_change(x, err);
}

/* Only the maintainer changes c->frozen to NULL, and c->segs: what was looked at stays. */
static nx_status step(nx_collection *c, change *x, nx_effort effort, bool *did, nx_error *err)
{
    nx_status st = nx_collection_failed(c, false, err);

    pthread_mutex_lock(&c->lock);
    if (!st && !c->frozen && nx_wants_freeze(c, effort)) st = nx_freeze(c, err);
    x->c = c;
    x->number = c->next_number;
    x->log_seq = c->log_seq;
    bool flush = c->frozen && c->n_segs < NX_SEGS_MAX - 1; /* else merging makes room first */
    if (!st && !flush) choose_merge(x, effort);
    pthread_mutex_unlock(&c->lock);
    if (st) return st;
    *did = flush || x->n_merged;
    if (flush) return flush_frozen(x, err);
    return x->n_merged ? merge_chosen(x, err) : NX_OK;
}

nx_status nx_tidy_step(nx_collection *c, nx_effort effort, bool *did, nx_error *err)
{
    nx_error  inner = {0};
    change   *x = nx_calloc(1, sizeof *x);
    nx_status st = x ? NX_OK : nx_fail(&inner, NX_ENOMEM, "tidying");

    *did = false;
    pthread_mutex_lock(&c->tidy);
    if (!st) st = step(c, x, effort, did, &inner);
    pthread_mutex_lock(&c->lock);
    c->tidy_status = st;
    c->tidy_error = inner;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->tidy);
    if (x) nx_gather_free(&x->gather);
    nx_free(x);
    if (st) st = nx_read_failed(c, st, &inner);
    if (st && err) *err = inner;
    return st;
}
