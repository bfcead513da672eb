/* ingest.c - workers take files from the queue and put them on the shelf; then vectors are made.
 *
 * Memory: files that are held at once are bounded together, and a large one is held alone: what is made of
 *         a file (its text, chunks, words, the record) is several times its size.
 */
#include "rag/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/fetch.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "rag/ingest_in.h"
#include "rag/shelf_in.h"

enum { THREADS_MAX = 64, EMBED_AT_ONCE = 512, TRIES = 2, PACKED_RATIO = 10 };

#define BUSY_BYTES_MAX ((size_t)24 << 20)

/* A file that changed so little before it was read may change again, and its time be the same. */
#define LATELY_NS 2000000000

/* ---- The queue ---- */

static bool is_cancelled(const nx_ingesting *r)
{
    return r->opt->cancel && atomic_load(r->opt->cancel);
}

bool nx_ingest_stopped(nx_ingesting *r)
{
    pthread_mutex_lock(&r->lock);
    bool stop = r->stop;
    pthread_mutex_unlock(&r->lock);
    return stop || is_cancelled(r);
}

static void stop_all(nx_ingesting *r, const nx_error *why)
{
    pthread_mutex_lock(&r->lock);
    if (!r->stop && why) r->error = *why;
    r->stop = true;
    pthread_cond_broadcast(&r->more);
    pthread_cond_broadcast(&r->less);
    pthread_mutex_unlock(&r->lock);
}

/* What it may take in memory: files of these kinds are packed. */
static size_t weight_of(const char *path, size_t bytes)
{
    static const char *const packed[] = {".gz", ".docx", ".pptx", ".xlsx", ".odt", ".epub", ".pdf"};
    size_t                   n = strlen(path);

    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        size_t k = strlen(packed[i]);
        if (n > k && strcasecmp(path + n - k, packed[i]) == 0)
            return bytes > BUSY_BYTES_MAX / PACKED_RATIO ? BUSY_BYTES_MAX : bytes * PACKED_RATIO;
    }
    return bytes < BUSY_BYTES_MAX ? bytes : BUSY_BYTES_MAX;
}

static nx_status make_job(nx_ingest_job *out, const char *path, const char *root, size_t bytes,
                          nx_error *err)
{
    size_t n = strlen(path) + 1, k = strlen(root) + 1;

    out->bytes = weight_of(path, bytes);
    out->path = nx_alloc(n + k, 1);
    if (!out->path) return nx_fail(err, NX_ENOMEM, "a path");
    out->root = out->path + n;
    memcpy(out->path, path, n);
    memcpy(out->root, root, k);
    return NX_OK;
}

nx_status nx_ingest_push(nx_ingesting *r, const char *path, const char *root, size_t bytes,
                         bool *go_on, nx_error *err)
{
    nx_ingest_job job;
    nx_status     st = make_job(&job, path, root, bytes, err);

    if (st) return st;
    pthread_mutex_lock(&r->lock);
    while (r->n == NX_INGEST_QUEUE && !r->stop) pthread_cond_wait(&r->less, &r->lock);
    *go_on = !r->stop;
    if (*go_on) {
        r->jobs[(r->first + r->n++) % NX_INGEST_QUEUE] = job;
        pthread_cond_signal(&r->more);
    }
    pthread_mutex_unlock(&r->lock);
    if (!*go_on) nx_free(job.path);
    return NX_OK;
}

static bool fits(const nx_ingesting *r, size_t bytes)
{
    return r->bytes_busy == 0 || bytes <= BUSY_BYTES_MAX - r->bytes_busy;
}

/* The next file, when there is room for it in memory. False: there is none any more. */
static bool take_job(nx_ingesting *r, nx_ingest_job *job)
{
    bool got = false;

    pthread_mutex_lock(&r->lock);
    while (!r->stop && !got && (r->n || !r->ended)) {
        got = r->n && fits(r, r->jobs[r->first].bytes);
        if (!got) pthread_cond_wait(&r->more, &r->lock);
    }
    if (got && !r->stop) {
        *job = r->jobs[r->first];
        r->first = (r->first + 1) % NX_INGEST_QUEUE;
        r->n--;
        r->bytes_busy += job->bytes;
        pthread_cond_signal(&r->less);
    }
    got = got && !r->stop;
    pthread_mutex_unlock(&r->lock);
    return got;
}

static void end_job(nx_ingesting *r, nx_ingest_job *job)
{
    pthread_mutex_lock(&r->lock);
    r->bytes_busy -= job->bytes;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->lock);
    nx_free(job->path);
    pthread_mutex_lock(&r->i->lock);
    r->i->n_looked_at++;
    pthread_mutex_unlock(&r->i->lock);
}

static void end_jobs(nx_ingesting *r)
{
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->lock);
}

/* ---- One file ---- */

bool nx_shelf_failing(nx_shelf *s, nx_error *why)
{
    nx_collection_stats stats;
    char                said[NX_ERROR_TEXT_MAX];

    nx_collection_read_stats(nx_shelf_collection(s), &stats);
    if (!stats.read_only) return false;
    memcpy(said, why->text, sizeof said);
    nx_fail(why, stats.status ? stats.status : NX_EIO, "the collection takes no writes: %.400s",
            said);
    return true;
}

static int64_t modified_ns(const struct stat *is)
{
    return (int64_t)is->st_mtim.tv_sec * 1000000000 + is->st_mtim.tv_nsec;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && modified_ns(a) == modified_ns(b) &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static nx_status read_bytes(nx_buf *out, int fd, size_t n, nx_error *err)
{
    char *p = nx_buf_room(out, n, err);

    if (!p) return err->status;
    while (out->len < n) {
        ssize_t got = read(fd, out->data + out->len, n - out->len);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return nx_fail(err, NX_EIO, "can't be read: %s", strerror(errno));
        if (got == 0) break;
        out->len += (size_t)got;
    }
    out->data[out->len] = '\0';
    return NX_OK;
}

/* Its bytes, all of one moment. NX_EBUSY: it changed meanwhile. */
static nx_status read_once(nx_buf *out, struct stat *is, int fd, uint64_t limit, nx_error *err)
{
    struct stat after;
    nx_status   st;

    nx_buf_clear(out);
    if (fstat(fd, is)) return nx_fail(err, NX_EIO, "%s", strerror(errno));
    if (!S_ISREG(is->st_mode)) return nx_fail(err, NX_EINVAL, "neither a file nor a folder");
    if ((uint64_t)is->st_size > limit)
        return nx_fail(err, NX_ELIMIT, "%llu bytes; the limit is %llu",
                       (unsigned long long)is->st_size, (unsigned long long)limit);
    if (lseek(fd, 0, SEEK_SET) < 0) return nx_fail(err, NX_EIO, "%s", strerror(errno));
    st = read_bytes(out, fd, (size_t)is->st_size, err);
    if (st) return st;
    if (fstat(fd, &after)) return nx_fail(err, NX_EIO, "%s", strerror(errno));
    if (out->len == (size_t)is->st_size && is_same_file(is, &after)) return NX_OK;
    return nx_fail(err, NX_EBUSY, "changed while it was read");
}

static nx_status read_file(nx_buf *out, struct stat *is, int fd, uint64_t limit, nx_error *err)
{
    nx_status st = NX_EBUSY;

    for (int i = 0; st == NX_EBUSY && i < TRIES; i++) st = read_once(out, is, fd, limit, err);
    return st;
}

static void count(nx_ingesting *r, const nx_put_report *p, size_t bytes, bool read)
{
    nx_ingest *i = r->i;

    pthread_mutex_lock(&i->lock);
    if (read) i->bytes += bytes;
    if (p->unchanged)
        i->n_unchanged++;
    else if (p->was_there)
        i->n_changed++;
    else
        i->n_added++;
    i->n_chunks += p->n_chunks;
    i->n_chunks_new += p->n_new;
    i->n_chunks_gone += p->n_gone;
    pthread_mutex_unlock(&i->lock);
}

static bool is_as_it_was(nx_ingesting *r, const nx_incoming *in, const struct stat *is,
                         nx_put_report *report)
{
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(r->s));
    bool         same = nx_shelf_at_a_glance(r->s, snap, in, (uint64_t)is->st_size);

    nx_snapshot_release(snap);
    *report = (nx_put_report){.unchanged = true};
    return same;
}

static nx_status put_file(nx_ingesting *r, nx_incoming *in, int fd, nx_error *err)
{
    nx_buf        bytes = {.max = (size_t)1 << 31};
    struct stat   is;
    nx_put_report report;
    nx_status     st;

    if (fstat(fd, &is)) return nx_fail(err, NX_EIO, "%s", strerror(errno));
    in->modified_ns = modified_ns(&is);
    if (S_ISREG(is.st_mode) && is_as_it_was(r, in, &is, &report)) {
        count(r, &report, 0, false);
        return NX_OK;
    }
    st = read_file(&bytes, &is, fd, r->opt->limits.file_bytes, err);
    if (!st) {
        in->modified_ns = modified_ns(&is);
        in->modified_lately = nx_clock_unix_ms() * 1000000 - in->modified_ns < LATELY_NS;
        in->bytes = bytes.data;
        in->n = bytes.len;
        st = nx_shelf_put(r->s, in, r->e, &report, err);
    }
    if (!st) count(r, &report, in->n, true);
    nx_buf_free(&bytes);
    return st;
}

/* ---- One address ---- */

/* What isn't there any more goes from the shelf, too. */
static nx_status forget_address(nx_ingesting *r, nx_str url, nx_error *err)
{
    nx_error  inner;
    nx_status st =
        r->opt->keep_gone ? NX_ENOENT : nx_shelf_remove(r->s, nx_document_id(url), NULL, &inner);

    pthread_mutex_lock(&r->i->lock);
    r->i->n_removed += !st;
    pthread_mutex_unlock(&r->i->lock);
    if (st && st != NX_ENOENT) return nx_fail(err, st, "%s", inner.text);
    return NX_ENOENT; /* with what the host said */
}

static nx_status put_address(nx_ingesting *r, nx_incoming *in, const char *url, nx_error *err)
{
    const nx_ingest_options *opt = r->opt;
    nx_fetch_request         rq = {.url = url,
                                   .allow = opt->allow_hosts,
                                   .n_allow = opt->n_allow_hosts,
                                   .bytes_max = opt->limits.file_bytes,
                                   .cancel = opt->cancel};
    nx_fetched              *got = nx_calloc(1, sizeof *got);
    nx_buf                   bytes = {0};
    nx_put_report            report;
    nx_status st = got ? nx_fetch(&bytes, got, &rq, err) : nx_fail(err, NX_ENOMEM, "a fetch");

    if (st == NX_ENOENT) st = forget_address(r, in->source, err);
    if (!st) {
        in->type = nx_str_of(got->type);
        in->modified_ns = got->modified_s > 0 ? got->modified_s * 1000000000 : 0;
        in->bytes = bytes.data ? bytes.data : "";
        in->n = bytes.len;
        st = nx_shelf_put(r->s, in, r->e, &report, err);
    }
    if (!st) count(r, &report, in->n, true);
    nx_buf_free(&bytes);
    nx_free(got);
    return st;
}

/* ---- Any of them ---- */

static nx_status put_path(nx_ingesting *r, nx_incoming *in, const char *path, nx_error *err)
{
    int       fd;
    nx_status st;

    if (path[0] != '/') return put_address(r, in, path, err);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return nx_fail(err, NX_EIO, "can't be opened: %s", strerror(errno));
    st = put_file(r, in, fd, err);
    close(fd);
    return st;
}

/* What is wrong with the file is its affair; what is wrong with the store or the memory, everybody's. */
static bool stops_all(nx_ingesting *r, nx_status st, nx_error *why)
{
    return st == NX_ENOMEM || st == NX_EFULL || st == NX_ECANCELLED || nx_shelf_failing(r->s, why);
}

static void work_on(nx_ingesting *r, const nx_ingest_job *job)
{
    const nx_ingest_options *opt = r->opt;
    nx_incoming              in = {.source = nx_str_of(job->path),
                                   .root = nx_str_of(job->root),
                                   .metadata = opt->metadata,
                                   .tags = opt->tags,
                                   .n_tags = opt->n_tags};
    nx_extract_limits        limits = opt->limits;
    nx_error                 why = {0};

    limits.cancel = opt->cancel;
    in.limits = &limits;
    nx_ingest_tell(r->i, job->path);
    nx_status st = put_path(r, &in, job->path, &why);
    if (!st) return;
    if (stops_all(r, st, &why))
        stop_all(r, &why);
    else
        nx_ingest_skip(r->i, job->path, "%s", why.text);
}

static void *worker(void *ctx)
{
    nx_ingesting *r = ctx;
    nx_ingest_job job;

    while (!is_cancelled(r) && take_job(r, &job)) {
        work_on(r, &job);
        end_job(r, &job);
    }
    if (is_cancelled(r)) stop_all(r, NULL);
    return NULL;
}

/* ---- Words ---- */

/* Workers wait for the disk a part of their time: two for each processor. */
static int count_threads(const nx_ingest_options *opt)
{
    int n = opt->n_threads > 0 ? opt->n_threads : 2 * nx_cpu_count();

    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
}

static nx_status walk_with_workers(nx_ingesting *r, bool *ok, nx_error *err)
{
    pthread_t threads[THREADS_MAX];
    int       n = 0, want = count_threads(r->opt);
    nx_status st;

    while (n < want && pthread_create(&threads[n], NULL, worker, r) == 0) n++;
    st = n ? nx_ingest_walk(r, ok, err) : nx_fail(err, NX_ENOMEM, "no thread can be started");
    if (st) stop_all(r, NULL);
    pthread_mutex_lock(&r->i->lock);
    r->i->walked = true;
    pthread_mutex_unlock(&r->i->lock);
    end_jobs(r);
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    for (; r->n; r->n--, r->first = (r->first + 1) % NX_INGEST_QUEUE)
        nx_free(r->jobs[r->first].path);
    if (st) return st;
    if (r->error.status) return nx_fail(err, r->error.status, "%s", r->error.text);
    if (is_cancelled(r)) return nx_fail(err, NX_ECANCELLED, "cancelled");
    return NX_OK;
}

static nx_status make_words(nx_ingesting *r, nx_error *err)
{
    bool     *ok = nx_calloc(r->opt->n_paths, sizeof *ok);
    nx_status st = ok ? walk_with_workers(r, ok, err) : nx_fail(err, NX_ENOMEM, "paths");

    for (size_t i = 0; !st && !r->opt->keep_gone && i < r->opt->n_paths; i++)
        if (ok[i]) st = nx_ingest_take_away(r, r->opt->paths[i], err);
    if (!st && is_cancelled(r)) st = nx_fail(err, NX_ECANCELLED, "cancelled");
    nx_free(ok);
    nx_ingest_tell(r->i, "");
    pthread_mutex_lock(&r->i->lock);
    r->i->words_ns = nx_clock_ns();
    pthread_mutex_unlock(&r->i->lock);
    return st;
}

/* ---- Vectors ---- */

static nx_status make_vectors(nx_ingesting *r, nx_error *err)
{
    nx_shelf_stats stats;
    int32_t        n = 1;
    nx_status      st = nx_shelf_read_stats(r->s, &stats, err);

    pthread_mutex_lock(&r->i->lock);
    r->i->phase = NX_INGEST_VECTORS;
    r->i->n_to_embed = st ? 0 : stats.n_unembedded;
    pthread_mutex_unlock(&r->i->lock);
    while (!st && n > 0) {
        st = is_cancelled(r) ? nx_fail(err, NX_ECANCELLED, "cancelled")
                             : nx_shelf_embed(r->s, r->e, EMBED_AT_ONCE, r->opt->cancel, &n, err);
        if (st) break;
        pthread_mutex_lock(&r->i->lock);
        r->i->n_embedded += (uint64_t)n;
        if (r->i->n_embedded > r->i->n_to_embed) r->i->n_to_embed = r->i->n_embedded;
        pthread_mutex_unlock(&r->i->lock);
    }
    return st;
}

/* ---- All of it ---- */

static void end(nx_ingest *i, nx_status st, const nx_error *why)
{
    pthread_mutex_lock(&i->lock);
    i->phase = !st ? NX_INGEST_DONE : st == NX_ECANCELLED ? NX_INGEST_CANCELLED : NX_INGEST_FAILED;
    if (st) i->error = *why;
    i->ended_ns = nx_clock_ns();
    i->current[0] = '\0';
    pthread_mutex_unlock(&i->lock);
}

static nx_status words_and_vectors(nx_ingesting *r, nx_error *err)
{
    nx_status st = make_words(r, err);

    return st || r->opt->words_only ? st : make_vectors(r, err);
}

nx_status nx_ingest_run(nx_ingest *i, nx_shelf *s, nx_embedder *e, const nx_ingest_options *opt,
                        nx_error *err)
{
    nx_error      inner = {0};
    nx_ingesting *r = nx_calloc(1, sizeof *r);

    if (!r) return nx_fail(err, NX_ENOMEM, "an index run");
    *r = (nx_ingesting){.i = i, .s = s, .e = e, .opt = opt};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    pthread_cond_init(&r->less, NULL);
    pthread_mutex_lock(&i->lock);
    i->started_ns = nx_clock_ns();
    i->phase = NX_INGEST_WORDS;
    pthread_mutex_unlock(&i->lock);
    nx_status st = words_and_vectors(r, &inner);
    end(i, st, &inner);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->more);
    pthread_cond_destroy(&r->less);
    nx_free(r);
    if (st && err) *err = inner;
    return st;
}
