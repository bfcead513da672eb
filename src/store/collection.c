/* collection.c - a collection made, opened, closed; and what it says about itself. */
#include "store/collection.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/dir.h"
#include "os/random.h"
#include "store/index.h"
#include "store/postings_seg.h"
#include "store/settings_file.h"

enum { PATH_CAP = 4096 };

/* A log replays at some 500 MB/s, and is at most twice as long (write.c). */
#define HEAD_BYTES_DEFAULT ((uint64_t)32 << 20)

/* ---- Failures that stay ---- */

nx_status nx_collection_fail(nx_collection *c, const nx_error *why)
{
    nx_status st = why->status;

    pthread_mutex_lock(&c->failed_lock);
    if (atomic_load(&c->failed) == NX_OK) {
        c->failure = *why;
        atomic_store(&c->failed, st);
        nx_log_error("collection %s: %s: %s", c->name,
                     st == NX_EFORMAT ? "quarantined" : "read-only from here on", why->text);
    }
    pthread_mutex_unlock(&c->failed_lock);
    pthread_mutex_lock(&c->sync_lock); /* who waits for the disk need wait no more */
    pthread_cond_broadcast(&c->sync_done);
    pthread_mutex_unlock(&c->sync_lock);
    return st;
}

nx_status nx_collection_failed(nx_collection *c, bool for_reading, nx_error *err)
{
    nx_status st = (nx_status)atomic_load(&c->failed);

    if (st == NX_OK || (for_reading && st != NX_EFORMAT)) return NX_OK;
    pthread_mutex_lock(&c->failed_lock);
    if (st == NX_EFORMAT)
        nx_fail(err, st, "collection %s is quarantined: %s", c->name, c->failure.text);
    else
        nx_fail(err, st, "collection %s is read-only until it is opened anew: %s", c->name,
                c->failure.text);
    pthread_mutex_unlock(&c->failed_lock);
    return st;
}

nx_status nx_read_failed(nx_collection *c, nx_status st, nx_error *err)
{
    if (st == NX_EFORMAT && err) nx_collection_fail(c, err);
    return st;
}

/* ---- Making ---- */

nx_status nx_collection_make(nx_disk *disk, const char *dir, const nx_config *config, nx_error *err)
{
    nx_wal       log = {0};
    nx_manifest *m = nx_calloc(1, sizeof *m);
    nx_status    st = m ? nx_config_check(config, err) : nx_fail(err, NX_ENOMEM, "manifest");

    if (!st) st = nx_random_bytes(&m->incarnation, sizeof m->incarnation, err);
    if (!st) {
        m->next_number = 1;
        m->config = *config;
        st = disk->ops->make_dir(disk, dir, err);
    }
    if (!st) st = nx_wal_create(&log, disk, dir, m->incarnation, 1, err);
    nx_wal_close(&log);
    if (!st) st = nx_manifest_write(m, disk, dir, NULL, err); /* syncs the folder, too */
    nx_free(m);
    return st;
}

/* ---- Opening ---- */

static nx_status open_segs(nx_collection *c, nx_error *err)
{
    nx_status st = NX_OK;

    for (int i = 0; !st && i < c->manifest.n_segs; i++) {
        const nx_manifest_seg *m = &c->manifest.segs[i];
        char                   path[PATH_CAP];
        nx_seg                *s = NULL;
        if (!nx_path_write(path, sizeof path, "%s/seg-%016llx", c->dir,
                           (unsigned long long)m->number))
            return nx_fail(err, NX_EINVAL, "%s: too long a path", c->dir);
        st = nx_seg_open(&s, c->disk, path, &c->manifest.config, c->manifest.incarnation, m->number,
                         err);
        if (st == NX_ENOENT) /* and the manifest names it */
            st = nx_fail_prefix(err, NX_EFORMAT, "a segment was removed");
        if (st) return st;
        c->segs[c->n_segs++] = s;
        if (s->head.n_rows != m->n_rows)
            return nx_fail(err, NX_EFORMAT, "%s: %llu rows, the manifest says %llu", path,
                           (unsigned long long)s->head.n_rows, (unsigned long long)m->n_rows);
        for (uint64_t r = 0; m->n_dead && r < m->n_rows; r++)
            if (m->marks[r / 64] >> r % 64 & 1) nx_seg_kill(s, r, 1);
    }
    return st;
}

static bool is_named(const nx_collection *c, const char *name)
{
    char *end;

    if (strncmp(name, "seg-", 4) != 0) return true; /* none of ours: left alone */
    uint64_t number = strtoull(name + 4, &end, 16);
    for (int i = 0; i < c->n_segs; i++)
        if (c->segs[i]->head.number == number && *end == '\0') return true;
    return false;
}

/* Nothing goes before the manifest that is in force has its name on the disk: a kill may have come
 * between. *synced: it has. */
static bool may_remove(nx_collection *c, bool *synced)
{
    if (!*synced) *synced = c->disk->ops->sync_dir(c->disk, c->dir, NULL) == NX_OK;
    return *synced;
}

/* Files that a crash left: segments that the manifest doesn't name, and what was written aside; and
 * logs that it needs no more. When they can't go, they wait. */
static void remove_strays(nx_collection *c)
{
    char **names;
    size_t n;
    bool   synced = false;

    if (nx_wal_may_trim(&c->log, c->log_seq) && may_remove(c, &synced))
        (void)nx_wal_trim(&c->log, c->log_seq, NULL);
    if (c->disk->ops->list(c->disk, &names, &n, c->dir, NULL)) return;
    for (size_t i = 0; i < n; i++) {
        char   path[PATH_CAP];
        size_t len = strlen(names[i]);
        bool   aside = len > 4 && strcmp(names[i] + len - 4, ".new") == 0;
        if (!aside && is_named(c, names[i])) continue;
        if (nx_path_write(path, sizeof path, "%s/%s", c->dir, names[i]) && may_remove(c, &synced))
            (void)c->disk->ops->remove(c->disk, path, NULL);
    }
    nx_free(names);
}

static nx_status open_log(nx_collection *c, nx_error *err)
{
    uint64_t  cut;
    nx_status st = nx_wal_open(&c->log, c->disk, c->dir, c->manifest.incarnation, c->log_seq,
                               nx_replay, c, &cut, err);

    if (st == NX_ENOENT) st = nx_fail_prefix(err, NX_EFORMAT, "a log was removed");
    if (st) return st;
    if (cut)
        nx_log_info("collection %s: %llu bytes of an unfinished request cut off its log", c->name,
                    (unsigned long long)cut);
    /* After kill -9 the records are in the page cache alone; they are shown only from the disk. Not
     * those before a seal: they were synced before it was written. */
    return c->log.unsealed ? nx_wal_sync(&c->log, err) : NX_OK;
}

/* The last record that was synced for certain. A seal at the end perhaps wasn't, when a kill came
 * before; it is no loss, but nothing may be called synced that isn't. */
static uint64_t known_synced(const nx_collection *c)
{
    uint64_t last = c->log.next_seq - 1;

    return c->log.unsealed || last <= c->log_seq ? last : last - 1;
}

static nx_status open_all(nx_collection *c, nx_error *err)
{
    nx_status st = nx_manifest_read(&c->manifest, c->disk, c->dir, err);

    if (st == NX_ENOENT) st = nx_fail_prefix(err, NX_EFORMAT, "the manifest was removed");
    if (st) return st;
    st = nx_settings_load(&c->settings, c->disk, c->dir, c->manifest.incarnation, err);
    if (st) return st;
    c->log_seq = c->manifest.log_seq;
    c->next_number = c->manifest.next_number;
    c->head = nx_head_create();
    c->spares = nx_snapshot_spare();
    if (!c->head || !c->spares) return nx_fail(err, NX_ENOMEM, "collection %s", c->name);
    st = open_segs(c, err);
    if (!st) st = open_log(c, err);
    if (st) return st;
    remove_strays(c);
    atomic_store(&c->synced, known_synced(c));
    nx_publish(c, c->log.next_seq - 1);
    return NX_OK;
}

static void destroy(nx_collection *c)
{
    nx_unpublish(c);
    nx_free_leavings(c, true);
    nx_head_release(c->head);
    nx_head_release(c->frozen);
    for (int i = 0; i < c->n_segs; i++) nx_seg_release(c->segs[i]);
    nx_wal_close(&c->log);
    nx_manifest_free(&c->manifest);
    nx_settings_release(c->settings);
    pthread_mutex_destroy(&c->tidy);
    pthread_mutex_destroy(&c->change);
    pthread_mutex_destroy(&c->settings_lock);
    pthread_cond_destroy(&c->tidied);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->sync_lock);
    pthread_mutex_destroy(&c->failed_lock);
    pthread_cond_destroy(&c->sync_done);
    nx_free(c->dir);
    nx_free(c->name);
    nx_free(c);
}

nx_status nx_collection_open(nx_collection **out, nx_disk *disk, const char *dir, nx_str name,
                             const nx_store_options *options, nx_error *err)
{
    nx_collection *c = nx_calloc(1, sizeof *c);

    *out = NULL;
    if (!c) return nx_fail(err, NX_ENOMEM, "collection");
    atomic_init(&c->refs, 1);
    pthread_mutex_init(&c->tidy, NULL);
    pthread_mutex_init(&c->change, NULL);
    pthread_mutex_init(&c->settings_lock, NULL);
    pthread_cond_init(&c->tidied, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->sync_lock, NULL);
    pthread_mutex_init(&c->failed_lock, NULL);
    pthread_cond_init(&c->sync_done, NULL);
    c->disk = disk;
    c->distances = options->distances;
    c->head_bytes_max = options->head_bytes_max ? options->head_bytes_max : HEAD_BYTES_DEFAULT;
    c->dir = nx_strdup(dir);
    c->name = nx_strndup(name.p, name.len);
    nx_status st = c->dir && c->name ? open_all(c, err) : nx_fail(err, NX_ENOMEM, "collection");
    if (st)
        destroy(c);
    else
        *out = c;
    return st;
}

/* A clean end: everything is synced, and a seal says so. */
static void seal(nx_collection *c)
{
    uint64_t seq;
    nx_error err;

    if (!c->log.unsealed || atomic_load(&c->failed)) return;
    if (nx_wal_seal(&c->log, &seq, &err))
        nx_log_warn("collection %s: not closed cleanly: %s", c->name, err.text);
}

void nx_collection_release(nx_collection *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
    seal(c);
    destroy(c);
}

/* ---- About it ---- */

const nx_config *nx_collection_config(const nx_collection *c)
{
    return &c->manifest.config;
}

nx_str nx_collection_name(const nx_collection *c)
{
    return nx_str_of(c->name);
}

uint64_t nx_collection_incarnation(const nx_collection *c)
{
    return c->manifest.incarnation;
}

void nx_collection_read_stats(nx_collection *c, nx_collection_stats *out)
{
    nx_snapshot *s = nx_snapshot_take(c);

    *out = (nx_collection_stats){.seq = s->seq, .n_points = nx_snapshot_count(s)};
    nx_snapshot_release(s);
    pthread_mutex_lock(&c->lock);
    out->n_segments = c->n_segs;
    out->log_bytes = nx_wal_bytes(&c->log);
    out->head_bytes = c->head->bytes + (c->frozen ? c->frozen->bytes : 0);
    for (int i = 0; i < c->n_segs; i++) {
        out->segment_bytes += c->segs[i]->map.bytes;
        out->index_bytes += nx_seg_index_bytes(c->segs[i]) + nx_seg_postings_bytes(c->segs[i]);
    }
    out->status = (nx_status)atomic_load(&c->failed);
    if (!out->status) out->status = c->tidy_status;
    pthread_mutex_unlock(&c->lock);
    out->merging = atomic_load(&c->merging);
    out->read_only = atomic_load(&c->failed) != NX_OK;
}

nx_status nx_collection_flush(nx_collection *c, nx_error *err)
{
    bool      did = true;
    nx_status st = nx_tidy_step(c, NX_TIDY_FORCE, false, &did, err);

    while (!st && did) st = nx_tidy_step(c, NX_TIDY_IDLE, false, &did, err);
    return st;
}

/* Sections, not gaps: what lies between them is never read. */
static nx_status check_seg(nx_seg *s, nx_error *err)
{
    nx_status st = NX_OK;

    for (uint32_t i = 0; !st && i < s->head.n_sections; i++) {
        const nx_section *x = &s->head.sections[i];
        const void       *p;
        nx_codes          codes;
        bool              has;
        nx_seg_forget(s, x->at, x->bytes);
        if (x->kind == NX_SECTION_CODES || x->kind == NX_SECTION_SCALES)
            st = nx_seg_codes(s, &codes, &has, (int32_t)x->slot, err);
        else if (x->kind == NX_SECTION_POSTINGS)
            st = nx_seg_postings_check(s, (int32_t)x->slot, err);
        else
            st = nx_seg_need(s, x->at, x->bytes, &p, err);
    }
    return st;
}

nx_status nx_collection_check(nx_collection *c, nx_error *err)
{
    nx_snapshot *s = nx_snapshot_take(c);
    nx_error     inner = {0};
    nx_status    st = nx_collection_failed(c, true, &inner);

    for (int i = 0; !st && i < s->n_segs; i++) st = check_seg(s->segs[i], &inner);
    nx_snapshot_release(s);
    if (st && err) *err = inner;
    return st ? nx_read_failed(c, st, &inner) : NX_OK;
}
