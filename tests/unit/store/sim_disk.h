/* sim_disk.h - a disk in memory that behaves as badly as a real one may.
 *
 * - sim_fail_at(n): the n-th call from now on fails (writes after a part was written), and, with
 *   `forever`, all after it.
 * - sim_crash(out, seed): power is cut. Of each file's unsynced changes any subset survives, in
 *   pieces of 512 bytes; of unsynced names (made, renamed, removed) all, none or any of them. The
 *   disk itself goes on, so one run gives many such states: `hook` is called before each call.
 * - room: the disk is full beyond so many bytes.
 * - bad_page: the n-th page of 4 KiB that is mapped from now on can't be read: SIGBUS.
 *
 * A sync that fails leaves it open which of the unsynced pieces are there, and the others are not
 * written by a later sync, unless they are written anew: as Linux does.
 */
#ifndef NX_TESTS_STORE_SIM_DISK_H
#define NX_TESTS_STORE_SIM_DISK_H

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/disk.h"

enum { SIM_SECTOR = 512, SIM_FILES = 256, SIM_PATH = 200, SIM_PAGE = 4096 };

/* What a file is: its bytes as programs see them, and as the platter has them. */
typedef struct sim_node {
    uint8_t *now, *safe;
    size_t   now_n, safe_n, now_cap, safe_cap;
    uint8_t *lost; /* a byte for each piece of now: 1, a sync failed and it isn't written again */
    size_t   lost_n, lost_cap;
    int      refs; /* names in both views, open handles */
} sim_node;

typedef struct sim_name {
    char      path[SIM_PATH];
    sim_node *node; /* NULL: a folder */
} sim_name;

typedef struct sim_names {
    sim_name v[SIM_FILES];
    int      n;
} sim_names;

typedef struct sim_disk {
    nx_disk         base;
    pthread_mutex_t lock;
    sim_names       now, safe;
    uint64_t        room;    /* bytes that all files together may have */
    int64_t         fail_at; /* calls until one fails; < 0 never */
    bool            fail_forever;
    int64_t         n_calls, n_syncs;
    int64_t         bad_page; /* mapped pages until one that can't be read; < 0 none */
    bool            locked;
    uint64_t        rng;                         /* what a failed sync leaves */
    void (*hook)(struct sim_disk *d, void *ctx); /* under the lock */
    void *hook_ctx;
} sim_disk;

struct nx_disk_file {
    sim_node *node;
    char      path[SIM_PATH];
};

static inline uint64_t sim_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline void sim_release(sim_node *node)
{
    if (!node || --node->refs > 0) return;
    free(node->now);
    free(node->safe);
    free(node->lost);
    free(node);
}

static inline void sim_resize(uint8_t **p, size_t *n, size_t *cap, size_t want)
{
    if (want > *cap) {
        *cap = want * 2 + 512;
        *p = realloc(*p, *cap);
        assert(*p);
    }
    if (want > *n) memset(*p + *n, 0, want - *n);
    *n = want;
}

static inline int sim_find(const sim_names *l, const char *path)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->v[i].path, path) == 0) return i;
    return -1;
}

static inline void sim_put(sim_names *l, const char *path, sim_node *node)
{
    int i = sim_find(l, path);

    if (node) node->refs++;
    if (i >= 0) {
        sim_release(l->v[i].node);
    } else {
        assert(l->n < SIM_FILES && strlen(path) < SIM_PATH);
        i = l->n++;
        strcpy(l->v[i].path, path);
    }
    l->v[i].node = node;
}

static inline void sim_drop(sim_names *l, const char *path)
{
    int i = sim_find(l, path);

    if (i < 0) return;
    sim_release(l->v[i].node);
    l->v[i] = l->v[--l->n];
}

/* Is path directly in dir? */
static inline bool sim_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static inline bool sim_fails(sim_disk *d)
{
    d->n_calls++;
    if (d->hook) d->hook(d, d->hook_ctx);
    if (d->fail_at < 0) return false;
    if (d->fail_at > 0) {
        d->fail_at--;
        return false;
    }
    if (!d->fail_forever) d->fail_at = -1;
    return true;
}

static inline nx_status sim_refuse(nx_error *err, const char *path, const char *what)
{
    return nx_fail(err, NX_EIO, "%s: %s: made to fail", path, what);
}

static inline uint64_t sim_used(sim_disk *d)
{
    uint64_t n = 0;

    for (int i = 0; i < d->now.n; i++)
        if (d->now.v[i].node) n += d->now.v[i].node->now_n;
    return n;
}

#define SIM_BEGIN                                                                                  \
    sim_disk *d = (sim_disk *)disk;                                                                \
    pthread_mutex_lock(&d->lock);                                                                  \
    nx_status st = NX_OK;
#define SIM_END                                                                                    \
    pthread_mutex_unlock(&d->lock);                                                                \
    return st;

static inline nx_status sim_open(nx_disk *disk, nx_disk_file **out, const char *path,
                                 unsigned flags, nx_error *err)
{
    SIM_BEGIN
    *out = NULL;
    int i = sim_find(&d->now, path);
    if (sim_fails(d)) {
        st = sim_refuse(err, path, "open");
    } else if (i < 0 && !(flags & NX_DISK_CREATE)) {
        st = nx_fail(err, NX_ENOENT, "%s: no such file", path);
    } else {
        if (i < 0) sim_put(&d->now, path, calloc(1, sizeof(sim_node)));
        sim_node *node = d->now.v[sim_find(&d->now, path)].node;
        if (flags & NX_DISK_EMPTY) sim_resize(&node->now, &node->now_n, &node->now_cap, 0);
        *out = calloc(1, sizeof **out);
        node->refs++;
        (*out)->node = node;
        strcpy((*out)->path, path);
    }
    SIM_END
}

static inline void sim_close(nx_disk *disk, nx_disk_file *f)
{
    sim_disk *d = (sim_disk *)disk;

    if (!f) return;
    pthread_mutex_lock(&d->lock);
    sim_release(f->node);
    free(f);
    pthread_mutex_unlock(&d->lock);
}

static inline nx_status sim_size(nx_disk *disk, nx_disk_file *f, uint64_t *out, nx_error *err)
{
    SIM_BEGIN
    if (sim_fails(d))
        st = sim_refuse(err, f->path, "size");
    else
        *out = f->node->now_n;
    SIM_END
}

static inline nx_status sim_read(nx_disk *disk, nx_disk_file *f, void *out, size_t n, uint64_t at,
                                 nx_error *err)
{
    SIM_BEGIN
    if (sim_fails(d))
        st = sim_refuse(err, f->path, "read");
    else if (at > f->node->now_n || n > f->node->now_n - at)
        st = nx_fail(err, NX_EIO, "%s: ends before", f->path);
    else if (n)
        memcpy(out, f->node->now + at, n);
    SIM_END
}

static inline size_t sim_sectors(size_t n)
{
    return (n + SIM_SECTOR - 1) / SIM_SECTOR;
}

/* What is written anew will be synced again. */
static inline void sim_unlose(sim_node *o, size_t at, size_t n)
{
    for (size_t i = at / SIM_SECTOR; i < sim_sectors(at + n) && i < o->lost_n; i++) o->lost[i] = 0;
}

static inline bool sim_is_lost(const sim_node *o, size_t sector)
{
    return sector < o->lost_n && o->lost[sector];
}

/* Piece i of what programs see gets to the platter. */
static inline void sim_save_sector(sim_node *o, size_t i)
{
    size_t at = i * SIM_SECTOR, n = o->now_n - at < SIM_SECTOR ? o->now_n - at : SIM_SECTOR;

    memcpy(o->safe + at, o->now + at, n);
}

static inline nx_status sim_write(nx_disk *disk, nx_disk_file *f, const void *bytes, size_t n,
                                  uint64_t at, nx_error *err)
{
    SIM_BEGIN
    sim_node *o = f->node;
    if (sim_fails(d)) {
        st = sim_refuse(err, f->path, "write");
        n /= 2; /* a part gets there */
    }
    if (at + n > o->now_n && sim_used(d) + (at + n - o->now_n) > d->room) {
        st = nx_fail(err, NX_EFULL, "%s: write: no room", f->path);
        n /= 3;
    }
    if (at + n > o->now_n) sim_resize(&o->now, &o->now_n, &o->now_cap, at + n);
    if (n) memcpy(o->now + at, bytes, n);
    sim_unlose(o, (size_t)at, n);
    SIM_END
}

static inline nx_status sim_truncate(nx_disk *disk, nx_disk_file *f, uint64_t bytes, nx_error *err)
{
    SIM_BEGIN
    if (sim_fails(d))
        st = sim_refuse(err, f->path, "truncate");
    else
        sim_resize(&f->node->now, &f->node->now_n, &f->node->now_cap, (size_t)bytes);
    if (!st && sim_sectors((size_t)bytes) < f->node->lost_n)
        f->node->lost_n = sim_sectors((size_t)bytes);
    SIM_END
}

static inline nx_status sim_sync(nx_disk *disk, nx_disk_file *f, nx_error *err)
{
    SIM_BEGIN
    sim_node *o = f->node;
    d->n_syncs++;
    bool fails = sim_fails(d), nothing = fails && sim_random(&d->rng) % 2;
    if (fails) {
        st = sim_refuse(err, f->path, "sync");
        sim_resize(&o->lost, &o->lost_n, &o->lost_cap, sim_sectors(o->now_n));
    }
    if (!nothing) sim_resize(&o->safe, &o->safe_n, &o->safe_cap, o->now_n);
    for (size_t i = 0; i < sim_sectors(o->now_n); i++) {
        if (sim_is_lost(o, i)) continue;
        if (nothing || (fails && sim_random(&d->rng) % 2))
            o->lost[i] = 1;
        else
            sim_save_sector(o, i);
    }
    SIM_END
}

/* A page of a file that has none: touching it is SIGBUS. */
static inline void sim_spoil_page(sim_disk *d, uint8_t *pages, size_t n)
{
    if (d->bad_page < 0) return;
    d->bad_page -= (int64_t)n;
    if (d->bad_page >= 0) return;
    FILE *empty = tmpfile();
    if (!empty) abort();
    void *p = mmap(pages + ((int64_t)n + d->bad_page) * SIM_PAGE, SIM_PAGE, PROT_READ,
                   MAP_SHARED | MAP_FIXED, fileno(empty), 0);
    if (p == MAP_FAILED) abort();
    fclose(empty);
}

static inline nx_status sim_map(nx_disk *disk, nx_disk_map *out, const char *path, nx_error *err)
{
    SIM_BEGIN
    int i = sim_find(&d->now, path);
    *out = (nx_disk_map){0};
    if (sim_fails(d)) {
        st = sim_refuse(err, path, "map");
    } else if (i < 0) {
        st = nx_fail(err, NX_ENOENT, "%s: no such file", path);
    } else if (d->now.v[i].node->now_n) {
        out->bytes = d->now.v[i].node->now_n;
        uint8_t *p =
            mmap(NULL, out->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) abort();
        memcpy(p, d->now.v[i].node->now, out->bytes);
        sim_spoil_page(d, p, (out->bytes + SIM_PAGE - 1) / SIM_PAGE);
        out->data = out->own = p;
    }
    SIM_END
}

static inline void sim_unmap(nx_disk *disk, nx_disk_map *m)
{
    (void)disk;
    if (m->own) munmap(m->own, m->bytes);
    *m = (nx_disk_map){0};
}

/* A folder takes all beneath it along; what is beneath it survives with it. */
static inline void sim_move(sim_names *l, const char *from, const char *to)
{
    size_t n = strlen(from);
    int    i = sim_find(l, from);

    if (i >= 0 && l->v[i].node) { /* a file: it takes the place of another */
        sim_node *node = l->v[i].node;
        sim_put(l, to, node);
        sim_drop(l, from);
        return;
    }
    for (i = 0; i < l->n; i++) {
        char rest[SIM_PATH];
        if (strncmp(l->v[i].path, from, n) != 0 || (l->v[i].path[n] && l->v[i].path[n] != '/'))
            continue;
        strcpy(rest, l->v[i].path + n);
        snprintf(l->v[i].path, SIM_PATH, "%.*s%.*s", SIM_PATH / 2, to, SIM_PATH / 2 - 1, rest);
    }
}

static inline nx_status sim_rename(nx_disk *disk, const char *from, const char *to, nx_error *err)
{
    SIM_BEGIN
    if (sim_fails(d))
        st = sim_refuse(err, from, "rename");
    else if (sim_find(&d->now, from) < 0)
        st = nx_fail(err, NX_ENOENT, "%s: not there", from);
    else
        sim_move(&d->now, from, to);
    SIM_END
}

static inline nx_status sim_remove(nx_disk *disk, const char *path, nx_error *err)
{
    SIM_BEGIN
    if (sim_fails(d))
        st = sim_refuse(err, path, "remove");
    else
        sim_drop(&d->now, path);
    SIM_END
}

static inline nx_status sim_make_dir(nx_disk *disk, const char *path, nx_error *err)
{
    SIM_BEGIN
    if (sim_fails(d))
        st = sim_refuse(err, path, "make");
    else if (sim_find(&d->now, path) < 0)
        sim_put(&d->now, path, NULL);
    SIM_END
}

static inline void sim_drop_tree(sim_names *l, const char *path)
{
    size_t n = strlen(path);

    for (int i = l->n - 1; i >= 0; i--)
        if (strncmp(l->v[i].path, path, n) == 0 && (l->v[i].path[n] == '/' || !l->v[i].path[n]))
            sim_drop(l, l->v[i].path);
}

static inline nx_status sim_remove_dir(nx_disk *disk, const char *path, nx_error *err)
{
    SIM_BEGIN
    if (sim_fails(d))
        st = sim_refuse(err, path, "remove");
    else
        sim_drop_tree(&d->now, path);
    SIM_END
}

/* Names in dir become what they are now; a folder's name brings what is safe beneath it. */
static inline void sim_sync_names(sim_disk *d, const char *dir)
{
    for (int i = d->safe.n - 1; i >= 0; i--)
        if (sim_in(d->safe.v[i].path, dir) && sim_find(&d->now, d->safe.v[i].path) < 0) {
            char path[SIM_PATH];
            strcpy(path, d->safe.v[i].path);
            sim_drop_tree(&d->safe, path);
            i = d->safe.n;
        }
    for (int i = 0; i < d->now.n; i++)
        if (sim_in(d->now.v[i].path, dir)) sim_put(&d->safe, d->now.v[i].path, d->now.v[i].node);
}

static inline nx_status sim_sync_dir(nx_disk *disk, const char *path, nx_error *err)
{
    SIM_BEGIN
    d->n_syncs++;
    if (sim_fails(d)) {
        st = sim_refuse(err, path, "sync");
    } else {
        sim_sync_names(d, path);
        /* A folder that was renamed: what had been synced in it came along. */
        for (int i = 0; i < d->now.n; i++)
            if (sim_in(d->now.v[i].path, path) && !d->now.v[i].node)
                sim_sync_names(d, d->now.v[i].path);
    }
    SIM_END
}

static inline int sim_by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline nx_status sim_list(nx_disk *disk, char ***out, size_t *n, const char *path,
                                 nx_error *err)
{
    SIM_BEGIN
    size_t dir = strlen(path);
    *out = NULL;
    *n = 0;
    if (sim_fails(d)) {
        st = sim_refuse(err, path, "list");
    } else {
        char **v = nx_alloc(SIM_FILES * (sizeof *v + SIM_PATH), 1);
        if (!v) st = nx_fail(err, NX_ENOMEM, "list");
        char *text = v ? (char *)(v + SIM_FILES) : NULL;
        for (int i = 0; v && i < d->now.n; i++) {
            if (!sim_in(d->now.v[i].path, path)) continue;
            v[(*n)++] = strcpy(text, d->now.v[i].path + dir + 1);
            text += strlen(text) + 1;
        }
        if (*n > 1) qsort(v, *n, sizeof *v, sim_by_name);
        *out = v;
    }
    SIM_END
}

static inline nx_status sim_lock(nx_disk *disk, int *out, const char *path, nx_error *err)
{
    SIM_BEGIN
    *out = -1;
    if (sim_fails(d))
        st = sim_refuse(err, path, "lock");
    else if (d->locked)
        st = nx_fail(err, NX_EBUSY, "%s: held by another process", path);
    else
        *out = (d->locked = true);
    SIM_END
}

static inline void sim_unlock(nx_disk *disk, int lock)
{
    sim_disk *d = (sim_disk *)disk;

    pthread_mutex_lock(&d->lock);
    if (lock >= 0) d->locked = false;
    pthread_mutex_unlock(&d->lock);
}

static const nx_disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .size = sim_size,
    .read = sim_read,
    .write = sim_write,
    .truncate = sim_truncate,
    .sync = sim_sync,
    .map = sim_map,
    .unmap = sim_unmap,
    .rename = sim_rename,
    .remove = sim_remove,
    .make_dir = sim_make_dir,
    .remove_dir = sim_remove_dir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .lock = sim_lock,
    .unlock = sim_unlock,
};

static inline void sim_init(sim_disk *d)
{
    memset(d, 0, sizeof *d);
    d->base.ops = &sim_ops;
    d->room = UINT64_MAX / 2;
    d->fail_at = -1;
    d->bad_page = -1;
    pthread_mutex_init(&d->lock, NULL);
}

static inline void sim_fail_at(sim_disk *d, int64_t n, bool forever)
{
    d->fail_at = n;
    d->fail_forever = forever;
}

/* What of a file survives: each sector that differs is there with the odds `mood` of 4. */
static inline sim_node *sim_crash_node(const sim_node *o, uint64_t *rng)
{
    sim_node *c = calloc(1, sizeof *c);
    uint64_t  mood = sim_random(rng) % 5; /* 0: nothing survives, 4: everything */
    size_t    n = mood == 4 || (mood != 0 && sim_random(rng) % 2) ? o->now_n : o->safe_n;

    assert(c);
    sim_resize(&c->now, &c->now_n, &c->now_cap, n);
    if (n) memcpy(c->now, o->safe ? o->safe : o->now, n < o->safe_n ? n : o->safe_n);
    for (size_t at = 0; at < o->now_n && at < n; at += SIM_SECTOR) {
        size_t len = o->now_n - at < SIM_SECTOR ? o->now_n - at : SIM_SECTOR;
        if (len > n - at) len = n - at;
        if (sim_is_lost(o, at / SIM_SECTOR)) continue;
        if (sim_random(rng) % 4 < mood) memcpy(c->now + at, o->now + at, len);
    }
    sim_resize(&c->safe, &c->safe_n, &c->safe_cap, n);
    if (n) memcpy(c->safe, c->now, n);
    return c;
}

static inline bool sim_has_parent(const sim_names *l, const char *path)
{
    char  dir[SIM_PATH];
    char *slash;

    strcpy(dir, path);
    slash = strrchr(dir, '/');
    if (!slash) return false;
    *slash = '\0';
    return sim_find(l, dir) >= 0;
}

/* Which names survive: those that were synced, those that are there now, or of every difference
 * either. */
static inline void sim_crash_names(sim_names *out, const sim_disk *d, uint64_t *rng)
{
    uint64_t mood = sim_random(rng) % 3;

    *out = mood == 0 ? d->now : d->safe;
    for (int i = 0; mood == 2 && i < d->now.n; i++) {
        const sim_name *name = &d->now.v[i];
        int             k = sim_find(out, name->path);
        if (!name->node || !sim_has_parent(out, name->path) || sim_random(rng) % 2) continue;
        if (k < 0) k = out->n++;
        out->v[k] = *name;
    }
    for (int i = out->n - 1; mood == 2 && i >= 0; i--) {
        if (!out->v[i].node || sim_find(&d->now, out->v[i].path) >= 0 || sim_random(rng) % 2)
            continue;
        if (sim_has_parent(&d->now, out->v[i].path)) out->v[i] = out->v[--out->n];
    }
}

/* The power goes: `out` becomes what a disk like d would hold after it. d itself goes on. */
static inline void sim_crash(sim_disk *out, const sim_disk *d, uint64_t seed)
{
    uint64_t   rng = seed;
    sim_names *kept = malloc(sizeof *kept);

    assert(kept);
    sim_init(out);
    sim_crash_names(kept, d, &rng);
    for (int i = 0; i < kept->n; i++) {
        sim_node *node = kept->v[i].node ? sim_crash_node(kept->v[i].node, &rng) : NULL;
        sim_put(&out->now, kept->v[i].path, node);
        sim_put(&out->safe, kept->v[i].path, node);
    }
    free(kept);
}

static inline sim_node *sim_copy_node(const sim_node *o)
{
    sim_node *c = calloc(1, sizeof *c);

    if (!c) abort();
    sim_resize(&c->now, &c->now_n, &c->now_cap, o->now_n);
    sim_resize(&c->safe, &c->safe_n, &c->safe_cap, o->safe_n);
    sim_resize(&c->lost, &c->lost_n, &c->lost_cap, o->lost_n);
    if (o->now_n) memcpy(c->now, o->now, o->now_n);
    if (o->safe_n) memcpy(c->safe, o->safe, o->safe_n);
    if (o->lost_n) memcpy(c->lost, o->lost, o->lost_n);
    return c;
}

/* The program is killed, and the system goes on: `out` is the disk with all that isn't synced. */
static inline void sim_kill(sim_disk *out, const sim_disk *d)
{
    sim_init(out);
    for (int i = 0; i < d->now.n; i++)
        sim_put(&out->now, d->now.v[i].path,
                d->now.v[i].node ? sim_copy_node(d->now.v[i].node) : NULL);
    for (int i = 0; i < d->safe.n; i++) {
        const sim_node *node = d->safe.v[i].node;
        int             k = 0;
        while (k < d->now.n && d->now.v[k].node != node) k++;
        sim_node *copy = !node ? NULL : k < d->now.n ? out->now.v[k].node : sim_copy_node(node);
        sim_put(&out->safe, d->safe.v[i].path, copy);
    }
}

static inline void sim_free(sim_disk *d)
{
    while (d->now.n) sim_drop(&d->now, d->now.v[0].path);
    while (d->safe.n) sim_drop(&d->safe, d->safe.v[0].path);
    pthread_mutex_destroy(&d->lock);
}

#endif
