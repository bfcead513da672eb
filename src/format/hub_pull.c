/* hub_pull.c - fetches the chosen files of a model, several at once, and checks every byte.
 *
 * Owns:      the threads of one pull; the tree, the options and the hub are borrowed.
 * Thread:    any caller; workers take files from a list under `lock`.
 * Idea:      a file grows as blobs/<etag>.incomplete under a lock that other processes see. What is
 *            there is hashed, the rest is asked for from there on; only a file whose hash is right
 *            gets its name. So whatever breaks, the next pull goes on where this one ended.
 * Invariant: a name in blobs/ stands for verified bytes; a ref for a complete choice of files.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "format/hub_http.h"
#include "net/digest.h"
#include "os/dir.h"
#include "os/file.h"

#define JOBS_MAX     16
#define HASH_BYTES   ((size_t)1 << 20)
#define DISK_RESERVE ((uint64_t)64 << 20) /* room that a pull leaves on the disk */
#define PATH_BYTES   (NX_HUB_PATH_MAX + 1200)

typedef struct pull {
    const nx_hub              *hub;
    const nx_hub_name         *name;
    const nx_hub_pull_options *opt;
    const nx_hub_tree         *tree;
    size_t                     n; /* files to fetch: the first n of the tree */
    char                       folder[NX_HUB_PATH_MAX];
    atomic_bool                stop; /* cancelled, or a worker failed */
    atomic_uint_fast64_t       bytes_done, bytes_here;
    pthread_mutex_t            lock; /* guards what follows */
    pthread_cond_t             changed;
    size_t                     next, done, n_running;
    bool                      *finished; /* [n] */
    nx_status                  st;       /* of the first failure */
    nx_error                   error;
} pull;

/* One file on its way. */
typedef struct fetch {
    pull              *p;
    nx_hub_talk       *talk;
    const nx_hub_file *file;
    int                fd;
    uint64_t           at;      /* bytes in the file, all of them in the digest */
    uint64_t           counted; /* of them in bytes_done */
    bool               begun;   /* this answer's first bytes were looked at */
    nx_digest          digest;
    char               blob[PATH_BYTES], partial[PATH_BYTES];
} fetch;

/* ---- Counting ---- */

static void count_to(fetch *f, uint64_t bytes)
{
    atomic_fetch_add(&f->p->bytes_done,
                     bytes - f->counted); /* may be less than before: wraps back */
    f->counted = bytes;
}

/* ---- Writing ---- */

static nx_status write_failed(const fetch *f, nx_error *err)
{
    int why = errno;

    if (why == ENOSPC || why == EDQUOT)
        return nx_fail(err, NX_EIO,
                       "the disk is full: %s has room for no more than %llu of %llu bytes of %s. "
                       "What was fetched is kept: make room and pull again",
                       f->p->hub->cache, (unsigned long long)f->at,
                       (unsigned long long)f->file->bytes, f->file->path);
    return nx_fail(err, NX_EIO, "%s: can't be written: %s", f->partial, strerror(why));
}

static nx_status digest_begin(fetch *f, nx_error *err)
{
    char      head[40];
    nx_status st =
        nx_digest_begin(&f->digest, f->file->lfs ? NX_DIGEST_SHA256 : NX_DIGEST_SHA1, err);

    /* git hashes "blob <size>", a NUL, and the bytes. */
    if (!st && !f->file->lfs)
        nx_digest_add(
            &f->digest, head,
            (size_t)snprintf(head, sizeof head, "blob %llu", (unsigned long long)f->file->bytes) +
                1);
    return st;
}

static nx_status start_over(fetch *f, nx_error *err)
{
    if (ftruncate(f->fd, 0) != 0 || lseek(f->fd, 0, SEEK_SET) != 0) return write_failed(f, err);
    f->at = 0;
    count_to(f, 0);
    return digest_begin(f, err);
}

/* Hash what an earlier pull left. More bytes than the file has: begin anew. */
static nx_status take_up(fetch *f, nx_error *err)
{
    struct stat s;
    nx_status   st = digest_begin(f, err);

    if (st) return st;
    if (fstat(f->fd, &s) != 0) return write_failed(f, err);
    if ((uint64_t)s.st_size > f->file->bytes) return start_over(f, err);
    char *block = nx_alloc(HASH_BYTES, 1);
    if (!block) return nx_fail(err, NX_ENOMEM, "%s", f->file->path);
    while (!st && f->at < (uint64_t)s.st_size) {
        ssize_t n = read(f->fd, block, HASH_BYTES);
        if (n <= 0) break; /* what can't be read is fetched again */
        nx_digest_add(&f->digest, block, (size_t)n);
        f->at += (uint64_t)n;
        if (atomic_load(&f->p->stop)) st = nx_fail(err, NX_ECANCELLED, "cancelled");
    }
    nx_free(block);
    if (!st && f->at < (uint64_t)s.st_size) return start_over(f, err);
    if (!st) {
        count_to(f, f->at);
        atomic_fetch_add(&f->p->bytes_here, f->at);
    }
    return st;
}

/* ---- Receiving ---- */

/* Does the answer begin where we asked? A server without ranges sends all of it. */
static nx_status check_beginning(fetch *f, const nx_http_reply *reply, nx_error *err)
{
    f->begun = true;
    if (reply->status == 200) return f->at ? start_over(f, err) : NX_OK;
    if (reply->range_begin == (int64_t)f->at) return NX_OK;
    return nx_fail(err, NX_EFORMAT, "%s: asked for the bytes from %llu on, got those from %lld on",
                   f->file->path, (unsigned long long)f->at, (long long)reply->range_begin);
}

static nx_status on_data(void *ctx, const nx_http_reply *reply, const void *bytes, size_t n,
                         nx_error *err)
{
    fetch      *f = ctx;
    const char *p = bytes;
    nx_status   st = f->begun ? NX_OK : check_beginning(f, reply, err);

    if (!st && n > f->file->bytes - f->at)
        st = nx_fail(err, NX_EFORMAT, "%s: more than the %llu bytes announced", f->file->path,
                     (unsigned long long)f->file->bytes);
    while (!st && n) {
        ssize_t w = write(f->fd, p, n);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return write_failed(f, err);
        nx_digest_add(&f->digest, p, (size_t)w);
        p += w;
        n -= (size_t)w;
        f->at += (uint64_t)w;
        f->talk->tries = 0; /* progress */
    }
    count_to(f, f->at);
    return st;
}

static nx_status url_of(const fetch *f, nx_buf *url, nx_error *err)
{
    nx_status st = nx_buf_addf(url, err, "%s/%s/resolve/%s/", f->p->hub->endpoint, f->p->name->repo,
                               f->p->tree->commit);

    return st ? st : nx_url_add_escaped(url, f->file->path, true, err);
}

/* Ask for what is missing until it is there. */
static nx_status receive(fetch *f, nx_error *err)
{
    nx_buf        url = {.max = 16384};
    nx_http_reply reply;
    bool          again = true;
    nx_status     st = url_of(f, &url, err);

    f->talk->tries = 0;
    while (!st && f->at < f->file->bytes) {
        nx_http_request rq = {
            .url = url.data, .offset = (int64_t)f->at, .on_data = on_data, .ctx = f};
        f->begun = false;
        st = nx_hub_talk_get(f->talk, &reply, &rq, f->file->path, &again, err);
        if (!st && f->at == f->file->bytes) break;
        if (!st && reply.status == 416)
            st = start_over(f, err); /* what we have isn't its beginning */
        else if (!st) {
            again = true;
            st = nx_fail(err, NX_EIO, "%s: the server sent only %llu of %llu bytes", f->file->path,
                         (unsigned long long)f->at, (unsigned long long)f->file->bytes);
        }
        if ((!st || again) && nx_hub_talk_pause(f->talk, &reply)) st = NX_OK;
    }
    nx_buf_free(&url);
    return st;
}

/* Receive and check. Wrong bytes are thrown away and fetched once more from the beginning. */
static nx_status receive_right(fetch *f, nx_error *err)
{
    char hex[NX_DIGEST_HEX_MAX];

    for (int round = 0; round < 2; round++) {
        nx_status st = receive(f, err);
        if (st) return st;
        nx_digest_end(&f->digest, hex);
        if (strcmp(hex, f->file->etag) == 0) return NX_OK;
        st = start_over(f, err);
        if (st) return st;
    }
    return nx_fail(
        err, NX_EFORMAT,
        "%s: wrong bytes, twice: their hash is %s, the hub says %s. The file at the hub, "
        "or what lies between, is damaged",
        f->file->path, hex, f->file->etag);
}

/* ---- Into the cache ---- */

/* The verified bytes get their name. */
static nx_status name_blob(fetch *f, nx_error *err)
{
    if (fsync(f->fd) != 0) return write_failed(f, err);
    if (rename(f->partial, f->blob) == 0) return NX_OK;
    return nx_fail(err, NX_EIO, "%s: can't be renamed: %s", f->partial, strerror(errno));
}

/* snapshots/<commit>/a/b -> ../../../blobs/<etag>, replaced in one step. */
static nx_status link_file(const pull *p, const nx_hub_file *file, nx_error *err)
{
    char      target[4200] = "../../", path[PATH_BYTES], aside[PATH_BYTES + 32], there[4200];
    nx_status st;

    for (const char *c = file->path; *c && strlen(target) < 4000; c++)
        if (*c == '/') strcat(target, "../");
    strcat(target, "blobs/");
    strcat(target, file->etag);
    nx_path_write(path, sizeof path, "%s/snapshots/%s/%s", p->folder, p->tree->commit, file->path);
    ssize_t n = readlink(path, there, sizeof there - 1);
    if (n >= 0 && (size_t)n == strlen(target) && memcmp(there, target, (size_t)n) == 0)
        return NX_OK;
    st = nx_dir_make_above(path, err);
    if (st) return st;
    nx_path_write(aside, sizeof aside, "%s.%d.link", path, (int)getpid());
    unlink(aside);
    if (symlink(target, aside) != 0 || rename(aside, path) != 0) {
        st = nx_fail(err, NX_EIO, "%s: can't be linked: %s", path, strerror(errno));
        unlink(aside);
    }
    return st;
}

static bool blob_is_there(const char *path, uint64_t bytes)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && (uint64_t)s.st_size == bytes;
}

/* Under the file's lock: nobody else writes it. */
static nx_status fetch_locked(fetch *f, nx_error *err)
{
    if (blob_is_there(f->blob, f->file->bytes)) { /* somebody was faster */
        count_to(f, f->file->bytes);
        atomic_fetch_add(&f->p->bytes_here, f->file->bytes);
        return NX_OK;
    }
    f->fd = open(f->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return nx_fail(err, NX_EIO, "%s: can't be opened: %s", f->partial, strerror(errno));
    nx_status st = take_up(f, err);
    if (!st) st = receive_right(f, err);
    if (!st) st = name_blob(f, err);
    nx_digest_abort(&f->digest);
    if (close(f->fd) != 0 && !st) st = write_failed(f, err);
    return st;
}

static nx_status fetch_file(pull *p, nx_hub_talk *talk, const nx_hub_file *file, nx_error *err)
{
    fetch f = {.p = p, .talk = talk, .file = file, .fd = -1};
    char  lock[PATH_BYTES];
    int   fd;

    nx_path_write(f.blob, sizeof f.blob, "%s/blobs/%s", p->folder, file->etag);
    nx_path_write(f.partial, sizeof f.partial, "%s.incomplete", f.blob);
    nx_path_write(lock, sizeof lock, "%s/.locks%s/%s.lock", p->hub->cache, strrchr(p->folder, '/'),
                  file->etag);
    nx_status st = nx_lock_take(&fd, lock, &p->stop, err);
    if (st) return st;
    st = fetch_locked(&f, err);
    nx_lock_release(fd);
    return st ? st : link_file(p, file, err);
}

/* ---- Workers ---- */

static const nx_hub_file *take_next(pull *p, size_t *idx)
{
    const nx_hub_file *file = NULL;

    pthread_mutex_lock(&p->lock);
    if (p->next < p->n && !atomic_load(&p->stop)) {
        *idx = p->next++;
        file = &p->tree->files[*idx];
    }
    pthread_mutex_unlock(&p->lock);
    return file;
}

static void give_result(pull *p, size_t idx, nx_status st, const nx_error *err)
{
    pthread_mutex_lock(&p->lock);
    if (!st) {
        p->finished[idx] = true;
    } else if (!p->st) {
        p->st = st;
        p->error = *err;
        atomic_store(&p->stop, true);
    }
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *ctx)
{
    pull              *p = ctx;
    nx_hub_talk        talk;
    const nx_hub_file *file;
    size_t             idx = 0;
    nx_error           err;
    nx_status          st = nx_hub_talk_begin(&talk, p->hub, p->name, &p->stop, &err);

    if (st) give_result(p, 0, st, &err);
    while (!st && (file = take_next(p, &idx))) {
        st = fetch_file(p, &talk, file, &err);
        give_result(p, idx, st, &err);
    }
    if (talk.http) nx_hub_talk_end(&talk);
    pthread_mutex_lock(&p->lock);
    p->n_running--;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static nx_hub_progress progress_of(const pull *p)
{
    nx_hub_progress now = {.bytes_done = atomic_load(&p->bytes_done),
                           .bytes_here = atomic_load(&p->bytes_here),
                           .files_done = p->done,
                           .files_total = p->n};

    for (size_t i = 0; i < p->n; i++) now.bytes_total += p->tree->files[i].bytes;
    return now;
}

/* The caller's thread: tell what happens, pass cancellation on. Under p->lock; calls out without. */
static void tell(pull *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (!p->finished[i]) continue;
        p->finished[i] = false;
        p->done++;
        nx_hub_progress now = progress_of(p);
        pthread_mutex_unlock(&p->lock);
        if (p->opt->on_progress) p->opt->on_progress(p->opt->ctx, &now, p->tree->files[i].path);
        pthread_mutex_lock(&p->lock);
    }
    nx_hub_progress now = progress_of(p);
    pthread_mutex_unlock(&p->lock);
    if (p->opt->on_progress) p->opt->on_progress(p->opt->ctx, &now, NULL);
    pthread_mutex_lock(&p->lock);
}

static void watch(pull *p)
{
    struct timespec until;

    pthread_mutex_lock(&p->lock);
    while (p->n_running) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&p->changed, &p->lock, &until);
        if (p->opt->cancel && atomic_load(p->opt->cancel)) atomic_store(&p->stop, true);
        tell(p);
    }
    tell(p);
    pthread_mutex_unlock(&p->lock);
}

static nx_status run_workers(pull *p, nx_error *err)
{
    pthread_t threads[JOBS_MAX];
    int       n = 0, wanted = p->opt->n_jobs < 1 ? 1 : p->opt->n_jobs;

    if (wanted > JOBS_MAX) wanted = JOBS_MAX;
    if ((size_t)wanted > p->n) wanted = (int)p->n;
    pthread_mutex_lock(&p->lock);
    while (n < wanted && pthread_create(&threads[n], NULL, work, p) == 0) n++;
    p->n_running = (size_t)n;
    pthread_mutex_unlock(&p->lock);
    if (n == 0 && p->n) return nx_fail(err, NX_ENOMEM, "no thread to fetch with");
    watch(p);
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    if (p->opt->cancel && atomic_load(p->opt->cancel))
        return nx_fail(err, NX_ECANCELLED, "cancelled; what was fetched is kept");
    if (p->st && err) *err = p->error;
    return p->st;
}

/* ---- Before and after ---- */

/* Bytes that still have to come. */
static uint64_t missing_bytes(const pull *p)
{
    uint64_t    missing = 0;
    char        path[PATH_BYTES];
    struct stat s;

    for (size_t i = 0; i < p->n; i++) {
        const nx_hub_file *f = &p->tree->files[i];
        nx_path_write(path, sizeof path, "%s/blobs/%s", p->folder, f->etag);
        if (blob_is_there(path, f->bytes)) continue;
        nx_path_write(path, sizeof path, "%s/blobs/%s.incomplete", p->folder, f->etag);
        uint64_t have = stat(path, &s) == 0 ? (uint64_t)s.st_blocks * 512 : 0;
        missing += have < f->bytes ? f->bytes - have : 0;
    }
    return missing;
}

static nx_status check_room(const pull *p, nx_error *err)
{
    uint64_t  room, missing = missing_bytes(p);
    nx_status st = nx_dir_free_bytes(&room, p->folder, err);

    if (st || missing == 0 || missing + DISK_RESERVE <= room) return st;
    return nx_fail(err, NX_EIO,
                   "not enough room on the disk: %.2f GB are still to come, %s has %.2f GB free. "
                   "Make room, or set HF_HOME to another disk",
                   (double)missing * 1e-9, p->hub->cache, (double)room * 1e-9);
}

static nx_status make_folders(const pull *p, nx_error *err)
{
    char      path[PATH_BYTES];
    nx_status st;

    nx_path_write(path, sizeof path, "%s/blobs", p->folder);
    st = nx_dir_make(path, err);
    if (st) return st;
    nx_path_write(path, sizeof path, "%s/.locks%s", p->hub->cache, strrchr(p->folder, '/'));
    st = nx_dir_make(path, err);
    if (st) return st;
    nx_path_write(path, sizeof path, "%s/snapshots/%s", p->folder, p->tree->commit);
    return nx_dir_make(path, err);
}

/* refs/<revision>: only now is the name found. */
static nx_status write_ref(const pull *p, nx_error *err)
{
    char        path[PATH_BYTES];
    nx_file_out out;

    if (strcmp(p->name->revision, p->tree->commit) == 0) return NX_OK;
    nx_path_write(path, sizeof path, "%s/refs/%s", p->folder, p->name->revision);
    nx_status st = nx_dir_make_above(path, err);
    if (!st) st = nx_file_out_open(&out, path, err);
    if (st) return st;
    st = nx_fd_write_all(out.fd, p->tree->commit, 40, path, err);
    if (!st) return nx_file_out_commit(&out, err);
    nx_file_out_abort(&out);
    return st;
}

static nx_status fetch_all(pull *p, nx_error *err)
{
    nx_status st = make_folders(p, err);

    if (!st) st = check_room(p, err);
    if (!st) st = run_workers(p, err);
    return st ? st : write_ref(p, err);
}

nx_status nx_hub_pull(char out[NX_HUB_PATH_MAX], nx_hub_progress *total, const nx_hub *hub,
                      const nx_hub_name *name, const nx_hub_pull_options *opt, nx_error *err)
{
    nx_hub_tree tree;
    pull        p = {.hub = hub, .name = name, .opt = opt, .tree = &tree};

    *total = (nx_hub_progress){0};
    nx_status st = nx_hub_tree_fetch(&tree, hub, name, opt->cancel, err);
    if (st) return st;
    st = nx_hub_select(&tree, &p.n, name->pick, err);
    if (st && err) st = nx_fail_prefix(err, st, "%s", name->repo);
    nx_hub_repo_folder(hub, name->repo, p.folder);
    if (!st && !(p.finished = nx_calloc(p.n, sizeof *p.finished)))
        st = nx_fail(err, NX_ENOMEM, "%s", name->repo);
    if (!st) {
        pthread_mutex_init(&p.lock, NULL);
        pthread_cond_init(&p.changed, NULL);
        st = fetch_all(&p, err);
        *total = progress_of(&p);
        pthread_cond_destroy(&p.changed);
        pthread_mutex_destroy(&p.lock);
    }
    nx_free(p.finished);
    nx_hub_tree_free(&tree);
    return st ? st : nx_hub_locate(out, hub, name, err);
}
