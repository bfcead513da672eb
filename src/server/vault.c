/* vault.c - the store opened, its threads, and what is told of it. */
#include "server/vault.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/dir.h"

/* A write waits for the disk most of its time, and one sync serves all that wait. */
#define DESK_SEATS       8
#define FAILED_NS        ((int64_t)30 * 1000000000)
#define POOL_THREADS_MAX 64

/* ---- Opening and closing ---- */

static nx_status tell_quarantined(nx_vault *v, nx_error *err)
{
    nx_store_entry *list;
    size_t          n;
    nx_status       st = nx_store_list(&list, &n, v->store, err);

    if (st) return st;
    for (size_t i = 0; i < n; i++)
        if (list[i].status)
            nx_log_error("collection %s is quarantined, the others serve: %s", list[i].name,
                         list[i].reason);
    nx_free(list);
    return NX_OK;
}

static nx_status open_parts(nx_vault *v, const nx_distance_ops *distances, nx_error *err)
{
    nx_store_options o = {.distances = distances, .background = true};
    int              n = nx_cpu_count();
    nx_status        st = nx_store_open(&v->store, v->dir, &o, err);

    if (!st) st = tell_quarantined(v, err);
    if (!st) st = nx_desk_create(&v->desk, DESK_SEATS, err);
    if (!st) st = nx_pool_create(&v->pool, n < POOL_THREADS_MAX ? n : POOL_THREADS_MAX, err);
    return st;
}

nx_status nx_vault_open(nx_vault *v, const char *data, const nx_distance_ops *distances,
                        nx_error *err)
{
    *v = (nx_vault){0};
    if (!nx_path_write(v->dir, sizeof v->dir, "%s/store", data))
        return nx_fail(err, NX_ELIMIT, "the data folder's path is too long");
    pthread_mutex_init(&v->pool_lock, NULL);
    pthread_mutex_init(&v->lock, NULL);
    v->is_open = true;
    nx_status st = open_parts(v, distances, err);
    if (st) nx_vault_close(v);
    return st;
}

void nx_vault_clear_desk(nx_vault *v)
{
    nx_desk_destroy(v->desk);
    v->desk = NULL;
}

void nx_vault_close(nx_vault *v)
{
    if (!v->is_open) return;
    nx_vault_clear_desk(v);
    nx_pool_destroy(v->pool);
    nx_store_close(v->store);
    pthread_mutex_destroy(&v->pool_lock);
    pthread_mutex_destroy(&v->lock);
    *v = (nx_vault){0};
}

/* ---- The pool ---- */

nx_pool *nx_vault_take_pool(nx_vault *v)
{
    return pthread_mutex_trylock(&v->pool_lock) == 0 ? v->pool : NULL;
}

void nx_vault_give_pool(nx_vault *v, nx_pool *pool)
{
    if (pool) pthread_mutex_unlock(&v->pool_lock);
}

/* ---- Whether it can be written ---- */

void nx_vault_note_write(nx_vault *v, nx_status st, const nx_error *err)
{
    bool failed = st == NX_EFULL || st == NX_EIO;

    if (st && !failed) return; /* the request's own fault */
    if (!st && !atomic_load_explicit(&v->failed, memory_order_relaxed)) return;
    pthread_mutex_lock(&v->lock);
    atomic_store(&v->failed, failed);
    v->failed_ns = nx_clock_ns();
    snprintf(v->reason, sizeof v->reason, "%s", failed ? err->text : "");
    pthread_mutex_unlock(&v->lock);
}

bool nx_vault_writable(nx_vault *v, char *reason, size_t cap)
{
    bool ok = true;

    if (!atomic_load_explicit(&v->failed, memory_order_relaxed)) return true;
    pthread_mutex_lock(&v->lock);
    if (nx_clock_ns() - v->failed_ns < FAILED_NS) {
        ok = false;
        snprintf(reason, cap, "the store can't be written: %s", v->reason);
    }
    pthread_mutex_unlock(&v->lock);
    return ok;
}

/* ---- Metrics ---- */

static void add_collection(nx_vault *v, const nx_store_entry *e, nx_metrics_store *sum)
{
    nx_collection      *c;
    nx_collection_stats stats;

    sum->n_collections++;
    if (nx_store_find(&c, v->store, nx_str_of(e->name), NULL)) {
        sum->n_quarantined++;
        return;
    }
    nx_collection_read_stats(c, &stats);
    nx_collection_release(c);
    sum->n_points += stats.n_points;
    sum->n_segments += (uint64_t)stats.n_segments;
    sum->log_bytes += stats.log_bytes;
    sum->segment_bytes += stats.segment_bytes;
    sum->n_read_only += stats.read_only;
}

void nx_vault_sample(nx_vault *v, nx_metrics *m)
{
    nx_metrics_store sum = {0};
    nx_store_entry  *list;
    size_t           n;

    if (nx_store_list(&list, &n, v->store, NULL)) return;
    for (size_t i = 0; i < n; i++) add_collection(v, &list[i], &sum);
    nx_free(list);
    nx_metrics_set_store(m, &sum);
}
