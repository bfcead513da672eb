/* change.c - a new segment takes the place of a head, or of other segments.
 *
 * Order of a change: the new segment is written, synced, and read back whole; the manifest that
 * names it is put in force; under the lock the stamps of rows that died meanwhile are carried over,
 * and readers get a snapshot with the new segment in place of what it came from; then old files go.
 * A failure before the manifest changes nothing; after it, either manifest is a good one, since no
 * old file is gone yet.
 *
 * While segments are merged a head may be flushed: then the manifest's position moves on, and the
 * merged rows that died by then are marked in it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "os/dir.h"
#include "store/collection.h"
#include "store/index.h"
#include "store/segment_write.h"

enum {
    PATH_CAP = 4096,
    READ_BACK_BYTES = 1 << 20, /* at once; whole pieces */
};

struct nx_change {
    nx_collection *c;
    nx_gather      gather;
    nx_head       *flushed;             /* the frozen head, or NULL */
    nx_seg        *merged[NX_SEGS_MAX]; /* segments that it replaces */
    int            n_merged;
    uint64_t       log_seq, number;
    uint64_t       n_deaths; /* of the collection, when stamps were last carried over */
    nx_seg        *made;     /* NULL: nothing lives */
    char           path[PATH_CAP];
};

nx_change *nx_change_create(nx_collection *c)
{
    nx_change *x = nx_calloc(1, sizeof *x);

    if (x) x->c = c;
    return x;
}

void nx_change_destroy(nx_change *x)
{
    if (!x) return;
    nx_gather_free(&x->gather);
    nx_free(x);
}

/* ---- The segment ---- */

static nx_status seg_path(char out[PATH_CAP], const nx_collection *c, uint64_t number,
                          nx_error *err)
{
    if (nx_path_write(out, PATH_CAP, "%s/seg-%016llx", c->dir, (unsigned long long)number))
        return NX_OK;
    return nx_fail(err, NX_EINVAL, "%s: too long a path", c->dir);
}

/* Before what it came from goes: every byte has its checksum. It also has readers find its pages in
 * memory, and checked. */
static nx_status read_back(nx_change *x, nx_error *err)
{
    nx_seg     *s = x->made;
    nx_status   st = NX_OK;
    const void *p;

    for (uint64_t at = NX_SEG_HEAD; !st && at < s->head.table_at;) {
        uint64_t left = s->head.table_at - at;
        uint64_t n = left < READ_BACK_BYTES ? left : READ_BACK_BYTES;
        st = nx_seg_need(s, at, n, &p, err);
        at += n;
        if (!st && x->gather.between) st = x->gather.between(x->gather.ctx, err);
    }
    return st;
}

static nx_status write_made(nx_change *x, nx_error *err)
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
    if (!st) st = read_back(x, err);
    if (!st) { /* before a reader wants them */
        const nx_settings *settings = nx_collection_settings(c);
        st = nx_seg_index_all(x->made, settings, err);
        nx_settings_release(settings);
    }
    if (st == NX_EFORMAT && x->made) /* the sources are good */
        st = nx_fail_prefix(err, NX_EIO, "what was just written can't be read back");
    return st;
}

static bool is_merged(const nx_change *x, const nx_seg *s)
{
    for (int i = 0; i < x->n_merged; i++)
        if (x->merged[i] == s) return true;
    return false;
}

/* ---- The manifest ---- */

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

static nx_status put_in_force(nx_change *x, bool *unclear, nx_error *err)
{
    nx_collection *c = x->c;
    nx_status      st = NX_OK;
    nx_manifest   *m = nx_calloc(1, sizeof *m);

    if (!m) return nx_fail(err, NX_ENOMEM, "manifest");
    m->config = c->manifest.config;
    m->incarnation = c->manifest.incarnation;
    m->log_seq = x->log_seq;
    m->next_number = c->next_number;
    for (int i = 0; !st && i < c->n_segs; i++)
        if (!is_merged(x, c->segs[i])) st = add_seg(m, c->segs[i], x->log_seq, err);
    if (!st && x->made) st = add_seg(m, x->made, x->log_seq, err);
    if (!st) st = nx_manifest_write(m, c->disk, c->dir, unclear, err);
    for (int i = 0; i < m->n_segs; i++) nx_free((void *)(uintptr_t)m->segs[i].marks);
    nx_free(m);
    return st;
}

/* ---- Readers get it ---- */

/* Rows that died since the segment was begun. Under lock: nobody dies now. */
static void carry_deaths(nx_change *x)
{
    if (!x->made || x->n_deaths == x->c->n_deaths) return;
    x->n_deaths = x->c->n_deaths;
    for (size_t i = 0; i < x->gather.n_rows; i++) {
        uint64_t death = nx_gather_death(&x->gather, i);
        if (death && !nx_seg_death(x->made, i)) nx_seg_kill(x->made, i, death);
    }
}

/* Readers get the new state. Under lock. */
static void swap_in(nx_change *x, nx_snapshot *spare)
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
    spare->next = c->spares;
    c->spares = spare;
    nx_publish(c, atomic_load(&c->published)->seq);
    pthread_cond_broadcast(&c->tidied);
    x->made = NULL; /* the collection's now */
}

/* ---- What it replaced goes ---- */

void nx_free_leavings(nx_collection *c, bool all)
{
    int n = 0;

    for (int i = 0; i < c->n_left_segs; i++) {
        if (all || atomic_load_explicit(&c->left_segs[i]->refs, memory_order_acquire) == 1)
            nx_seg_release(c->left_segs[i]);
        else
            c->left_segs[n++] = c->left_segs[i];
    }
    c->n_left_segs = n;
    n = 0;
    for (int i = 0; i < c->n_left_heads; i++) {
        if (all || atomic_load_explicit(&c->left_heads[i]->refs, memory_order_acquire) == 1)
            nx_head_release(c->left_heads[i]);
        else
            c->left_heads[n++] = c->left_heads[i];
    }
    c->n_left_heads = n;
}

static void leave_seg(nx_collection *c, nx_seg *s)
{
    if (c->n_left_segs < NX_SEGS_MAX)
        c->left_segs[c->n_left_segs++] = s;
    else
        nx_seg_release(s);
}

static void leave_head(nx_collection *c, nx_head *h)
{
    if (h && c->n_left_heads < NX_LEFT_HEADS)
        c->left_heads[c->n_left_heads++] = h;
    else
        nx_head_release(h);
}

/* Their files' going may fail: they are looked for when the collection opens. */
static void drop_old(nx_change *x)
{
    nx_collection *c = x->c;

    for (int i = 0; i < x->n_merged; i++) {
        (void)c->disk->ops->remove(c->disk, x->merged[i]->path, NULL);
        leave_seg(c, x->merged[i]);
    }
    leave_head(c, x->flushed);
    pthread_mutex_lock(&c->lock);
    (void)nx_wal_trim(&c->log, c->log_seq, NULL);
    pthread_mutex_unlock(&c->lock);
    nx_free_leavings(c, false);
}

/* ---- A change, from its rows on ---- */

static nx_status make(nx_change *x, nx_snapshot *spare, bool *unclear, nx_error *err)
{
    nx_collection *c = x->c;
    nx_status      st = spare ? write_made(x, err) : nx_fail(err, NX_ENOMEM, "a snapshot");

    if (st) return st;
    if (!x->flushed) x->log_seq = c->log_seq; /* a head may have been flushed meanwhile */
    pthread_mutex_lock(&c->lock);
    carry_deaths(x);
    pthread_mutex_unlock(&c->lock);
    return put_in_force(x, unclear, err);
}

static nx_status make_change(nx_change *x, nx_error *err)
{
    nx_collection *c = x->c;
    bool           unclear = false;
    nx_snapshot   *spare = nx_snapshot_spare();
    nx_status      st = make(x, spare, &unclear, err);

    if (st) { /* the next one gets another number */
        if (!unclear && x->path[0]) (void)c->disk->ops->remove(c->disk, x->path, NULL);
        nx_seg_release(x->made);
        x->made = NULL;
        nx_free(spare);
        return st;
    }
    pthread_mutex_lock(&c->lock);
    swap_in(x, spare);
    pthread_mutex_unlock(&c->lock);
    drop_old(x);
    return NX_OK;
}

/* A number of its own, which no other change gets. */
static void begin(nx_change *x)
{
    pthread_mutex_lock(&x->c->lock);
    x->number = x->c->next_number++;
    x->n_deaths = UINT64_MAX; /* some may have died since log_seq: they are looked for once */
    x->log_seq = x->c->log_seq;
    if (x->flushed) x->log_seq = x->c->frozen_seq;
    pthread_mutex_unlock(&x->c->lock);
}

nx_status nx_change_flush(nx_change *x, nx_error *err)
{
    x->flushed = x->c->frozen;
    begin(x);
    nx_status st = nx_gather_head(&x->gather, x->flushed, x->log_seq, err);
    return st ? st : make_change(x, err);
}

nx_status nx_change_merge(nx_change *x, nx_seg *const *segs, int n,
                          nx_status (*between)(void *ctx, nx_error *err), void *ctx, nx_error *err)
{
    nx_status st = NX_OK;

    begin(x);
    x->gather.between = between;
    x->gather.ctx = ctx;
    for (int i = 0; !st && i < n; i++) {
        x->merged[x->n_merged++] = segs[i];
        st = nx_gather_seg(&x->gather, segs[i], x->log_seq, err);
    }
    return st ? st : make_change(x, err);
}
