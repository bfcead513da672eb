/* rag_jobs.c - jobs: begun, told about, cancelled, forgotten. */
#include "server/rag_jobs.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "os/clock.h"
#include "os/random.h"
#include "server/library_in.h"
#include "store/point.h"

struct nx_rag_job {
    nx_rag_job     *next;
    char            id[NX_RAG_JOB_ID];
    nx_rag_job_kind kind;
    nx_library     *library;
    uint64_t        owner;
    int64_t         created_ms;
    nx_arena        kept; /* what the wish points to */
    nx_rag_wish     wish;
    atomic_bool     cancel;
    int             n_refs;  /* who reads it, under jobs_lock */
    bool            running; /* its thread is; under jobs_lock */
    pthread_t       thread;
    bool            has_thread;
    nx_ingest       how; /* of UPLOAD only phase, of cancelled ones, and skips */
};

static const char *const kind_names[] = {"index", "upload", "reindex"};

static const char *const phase_names[] = {"words", "vectors", "done", "failed", "cancelled"};

/* ---- Copies ---- */

static nx_str keep_text(nx_arena *a, nx_str s, bool *ok)
{
    char *copy = nx_arena_strndup(a, s.len ? s.p : "", s.len);

    *ok = *ok && copy;
    return (nx_str){copy, s.len};
}

static const nx_str *keep_texts(nx_arena *a, const nx_str *list, size_t n, bool *ok)
{
    nx_str *copy = nx_arena_alloc(a, n ? n : 1, sizeof *copy);

    *ok = *ok && copy;
    for (size_t i = 0; *ok && i < n; i++) copy[i] = keep_text(a, list[i], ok);
    return copy;
}

static nx_value keep_value(nx_arena *a, nx_value v, bool *ok)
{
    uint8_t *copy = nx_arena_alloc(a, v.n ? v.n : 1, 1);

    *ok = *ok && copy;
    if (*ok && v.n) memcpy(copy, v.p, v.n);
    return (nx_value){copy, v.n};
}

static bool keep_wish(nx_rag_job *j, const nx_rag_wish *w)
{
    bool               ok = true;
    nx_arena          *a = &j->kept;
    nx_ingest_options *o = &j->wish.ingest;
    nx_point_id       *ids = nx_arena_alloc(a, w->n_documents ? w->n_documents : 1, sizeof *ids);

    j->wish = *w;
    j->wish.skips = NULL;
    j->wish.collection = keep_text(a, w->collection, &ok);
    j->wish.model = keep_text(a, w->model, &ok);
    o->paths = keep_texts(a, o->paths, o->n_paths, &ok);
    o->allow_hosts = keep_texts(a, o->allow_hosts, o->n_allow_hosts, &ok);
    o->exclude = keep_texts(a, o->exclude, o->n_exclude, &ok);
    o->tags = keep_texts(a, o->tags, o->n_tags, &ok);
    o->metadata = keep_value(a, o->metadata, &ok);
    o->cancel = &j->cancel;
    if (!ids) return false;
    if (w->n_documents) memcpy(ids, w->documents, w->n_documents * sizeof *ids);
    j->wish.documents = ids;
    return ok;
}

/* Of an upload: what was refused when it came. */
static bool keep_skips(nx_rag_job *j, const nx_rag_wish *w)
{
    nx_ingest *how = &j->how;

    how->n_skipped = w->n_skips;
    if (!w->n_skips) return true;
    how->skips = nx_calloc(w->n_skips, sizeof *how->skips);
    if (!how->skips) return false;
    how->cap_skips = w->n_skips;
    for (size_t i = 0; i < w->n_skips; i++) {
        nx_skip *s = &how->skips[i];
        how->n_skips++; /* nx_ingest_free frees what there is of it */
        s->source = nx_strdup(w->skips[i].source);
        s->reason = nx_strdup(w->skips[i].reason);
        if (!s->source || !s->reason) return false;
    }
    return true;
}

static nx_status make_id(char id[NX_RAG_JOB_ID], nx_error *err)
{
    unsigned char r[16];
    nx_point_id   uuid = {.is_uuid = true};
    nx_status     st = nx_random_bytes(r, sizeof r, err);

    if (st) return st;
    memcpy(&uuid.hi, r, 8);
    memcpy(&uuid.lo, r + 8, 8);
    uuid.hi = (uuid.hi & ~(uint64_t)0xF000) | 0x4000; /* version 4, at random */
    uuid.lo = (uuid.lo & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
    (void)nx_id_write(id, uuid);
    return NX_OK;
}

static void job_free(nx_rag_job *j)
{
    if (!j) return;
    nx_ingest_free(&j->how);
    nx_arena_free(&j->kept);
    nx_free(j);
}

static nx_status job_make(nx_rag_job **out, nx_library *l, const nx_rag_wish *w, nx_error *err)
{
    nx_rag_job *j = nx_calloc(1, sizeof *j);

    if (!j) return nx_fail(err, NX_ENOMEM, "a job");
    nx_ingest_init(&j->how);
    j->library = l;
    j->kind = w->kind;
    j->owner = w->owner;
    j->created_ms = nx_clock_unix_ms();
    nx_status st = make_id(j->id, err);
    if (!st && (!keep_wish(j, w) || !keep_skips(j, w))) st = nx_fail(err, NX_ENOMEM, "a job");
    if (st)
        job_free(j);
    else
        *out = j;
    return st;
}

/* ---- Threads ---- */

static bool is_cancelled(const nx_rag_job *j)
{
    return atomic_load(&j->cancel) || atomic_load(&j->library->stop);
}

static void begin_phase(nx_rag_job *j, nx_ingest_phase phase)
{
    pthread_mutex_lock(&j->how.lock);
    if (!j->how.started_ns) j->how.started_ns = nx_clock_ns();
    j->how.phase = phase;
    pthread_mutex_unlock(&j->how.lock);
}

static void end_phase(nx_rag_job *j, nx_status st, const nx_error *why)
{
    pthread_mutex_lock(&j->how.lock);
    j->how.phase = !st                   ? NX_INGEST_DONE
                   : st == NX_ECANCELLED ? NX_INGEST_CANCELLED
                                         : NX_INGEST_FAILED;
    if (st) j->how.error = *why;
    j->how.ended_ns = nx_clock_ns();
    pthread_mutex_unlock(&j->how.lock);
}

static nx_status run_ingest(nx_rag_job *j, nx_error *err)
{
    nx_library *l = j->library;
    nx_shelf   *s = NULL;
    nx_loaded  *m = NULL;
    nx_status   st = nx_library_find(l, &s, j->wish.collection, err);

    if (!st) st = nx_library_embedder(l, &m, s, err);
    if (!st) st = nx_ingest_run(&j->how, s, m->parts.embedder, &j->wish.ingest, err);
    nx_library_give_back(l, m);
    nx_library_release(l, s);
    return st;
}

static bool tell_move(void *ctx, uint64_t done, uint64_t total)
{
    nx_rag_job *j = ctx;

    pthread_mutex_lock(&j->how.lock);
    j->how.n_embedded = done;
    j->how.n_to_embed = j->how.n_chunks = total;
    pthread_mutex_unlock(&j->how.lock);
    return !is_cancelled(j);
}

static nx_status move_to(nx_rag_job *j, nx_shelf *s, const nx_loaded *m, nx_error *err)
{
    nx_library       *l = j->library;
    nx_shelf_settings to = *nx_shelf_get_settings(s);

    to.model = nx_str_of(m->name);
    to.dim = nx_embedder_dims(m->parts.embedder);
    to.chunking.limit = nx_embedder_spec(m->parts.embedder)->length_max;
    nx_chunk_options checked = to.chunking;
    nx_status        st = nx_chunk_options_check(&checked, err);
    if (st) return st;
    return nx_shelf_move(l->vault->store, l->blobs, j->wish.collection, &to, m->parts.embedder,
                         tell_move, j, err);
}

static nx_status run_move(nx_rag_job *j, nx_error *err)
{
    nx_library *l = j->library;
    nx_shelf   *s = NULL;
    nx_loaded  *m = NULL;
    nx_status   st = nx_library_find(l, &s, j->wish.collection, err);

    begin_phase(j, NX_INGEST_VECTORS);
    if (!st) st = nx_library_model(l, &m, j->wish.model, NX_MODEL_EMBEDS, err);
    if (!st) st = move_to(j, s, m, err);
    nx_library_give_back(l, m);
    nx_library_release(l, s);
    return st;
}

static void *job_main(void *arg)
{
    nx_rag_job *j = arg;
    nx_library *l = j->library;
    nx_error    err = {0};

    nx_status st = j->kind == NX_RAG_JOB_MOVE ? run_move(j, &err) : run_ingest(j, &err);
    end_phase(j, st, &err);
    pthread_mutex_lock(&l->jobs_lock);
    j->running = false;
    pthread_mutex_unlock(&l->jobs_lock);
    nx_library_wake(l, j->wish.collection); /* what a cancelled one left, or came meanwhile */
    return NULL;
}

/* ---- The list; all of this under jobs_lock ---- */

static int count_running(const nx_library *l)
{
    int n = 0;

    for (const nx_rag_job *j = l->jobs; j; j = j->next) n += j->running;
    return n;
}

static bool is_at_work_on(const nx_library *l, nx_str collection)
{
    for (const nx_rag_job *j = l->jobs; j; j = j->next)
        if (j->running && nx_str_eq(j->wish.collection, collection)) return true;
    return false;
}

static bool is_being_moved(const nx_library *l, nx_str collection)
{
    for (const nx_rag_job *j = l->jobs; j; j = j->next)
        if (j->running && j->kind == NX_RAG_JOB_MOVE && nx_str_eq(j->wish.collection, collection))
            return true;
    return false;
}

/* The oldest that is over and that nobody reads. */
static void forget_one(nx_library *l)
{
    nx_rag_job **oldest = NULL;

    for (nx_rag_job **at = &l->jobs; *at; at = &(*at)->next)
        if (!(*at)->running && !(*at)->n_refs) oldest = at;
    if (!oldest) return;
    nx_rag_job *j = *oldest;
    *oldest = j->next;
    l->n_jobs--;
    if (j->has_thread) pthread_join(j->thread, NULL);
    job_free(j);
}

static nx_status start_locked(nx_library *l, nx_rag_job *j, nx_error *err)
{
    nx_str name = j->wish.collection;

    if (atomic_load(&l->stop)) return nx_fail(err, NX_EBUSY, "the server is stopping");
    if (j->kind != NX_RAG_JOB_UPLOAD) {
        if (count_running(l) >= NX_RAG_JOBS_RUNNING_MAX)
            return nx_fail(err, NX_EBUSY, "%d jobs are running already", NX_RAG_JOBS_RUNNING_MAX);
        if (j->kind == NX_RAG_JOB_MOVE ? is_at_work_on(l, name) : is_being_moved(l, name))
            return nx_fail(err, NX_EBUSY, "another job is at work on collection %.*s",
                           (int)name.len, name.p);
        j->running = true;
        if (pthread_create(&j->thread, NULL, job_main, j) != 0)
            return nx_fail(err, NX_ENOMEM, "a thread did not start");
        j->has_thread = true;
    }
    while (l->n_jobs >= NX_RAG_JOBS_KEPT) {
        int before = l->n_jobs;
        forget_one(l);
        if (l->n_jobs == before) break; /* all of them are wanted */
    }
    j->next = l->jobs;
    l->jobs = j;
    l->n_jobs++;
    return NX_OK;
}

nx_status nx_rag_job_start(nx_library *l, const nx_rag_wish *wish, char id[NX_RAG_JOB_ID],
                           nx_error *err)
{
    nx_rag_job *j = NULL;
    nx_status   st = job_make(&j, l, wish, err);

    if (st || !j) return st;
    memcpy(id, j->id, NX_RAG_JOB_ID);
    pthread_mutex_lock(&l->jobs_lock);
    st = start_locked(l, j, err);
    pthread_mutex_unlock(&l->jobs_lock);
    if (st) job_free(j);
    return st;
}

bool nx_rag_jobs_has(nx_library *l, nx_str collection, bool *moving)
{
    pthread_mutex_lock(&l->jobs_lock);
    bool has = is_at_work_on(l, collection);
    *moving = is_being_moved(l, collection);
    pthread_mutex_unlock(&l->jobs_lock);
    return has;
}

void nx_rag_jobs_end(nx_library *l)
{
    pthread_mutex_lock(&l->jobs_lock);
    for (nx_rag_job *j = l->jobs; j; j = j->next) atomic_store(&j->cancel, true);
    nx_rag_job *list = l->jobs; /* none is added or forgotten while it stops */
    pthread_mutex_unlock(&l->jobs_lock);
    for (nx_rag_job *j = list; j; j = j->next) {
        if (j->has_thread) pthread_join(j->thread, NULL);
        j->has_thread = false;
    }
}

void nx_rag_jobs_free(nx_library *l)
{
    while (l->jobs) {
        nx_rag_job *j = l->jobs;
        l->jobs = j->next;
        job_free(j);
    }
}

static bool may_see(const nx_rag_job *j, const nx_rag_asker *who)
{
    return who->all || j->owner == who->owner;
}

/* With a reference; give_up. */
static nx_rag_job *find(nx_library *l, nx_str id, const nx_rag_asker *who, nx_error *err)
{
    nx_rag_job *j;

    pthread_mutex_lock(&l->jobs_lock);
    for (j = l->jobs; j && !(nx_str_eq(nx_str_of(j->id), id) && may_see(j, who));) j = j->next;
    if (j) j->n_refs++;
    pthread_mutex_unlock(&l->jobs_lock);
    if (!j) nx_fail(err, NX_ENOENT, "there is no job %.*s", (int)(id.len < 64 ? id.len : 64), id.p);
    return j;
}

static void give_up(nx_library *l, nx_rag_job *j)
{
    pthread_mutex_lock(&l->jobs_lock);
    j->n_refs--;
    pthread_mutex_unlock(&l->jobs_lock);
}

/* ---- How an upload stands ---- */

static nx_status add_failed(nx_jw *skips, const nx_document *doc)
{
    nx_jw_open(skips, NULL, '{');
    nx_jw_string(skips, "source", doc->source);
    nx_jw_string(skips, "reason", doc->error);
    nx_jw_close(skips, '}');
    return skips->st;
}

/* One document's record into the counts; one that is gone counts as looked at. */
static nx_status count_document(nx_ingest *sum, nx_jw *skips, nx_shelf *s, nx_snapshot *snap,
                                nx_point_id id, nx_error *err)
{
    nx_point_copy copy = {0};
    nx_document   doc;
    nx_error      why;
    nx_status     st = nx_shelf_get(s, snap, &doc, &copy, id, NULL, &why);

    if (!st && doc.state != NX_DOCUMENT_QUEUED) {
        sum->n_chunks += doc.n_chunks;
        sum->n_to_embed += doc.n_chunks;
        sum->bytes += doc.bytes;
        if (doc.state == NX_DOCUMENT_READY) sum->n_embedded += doc.n_chunks;
        if (doc.state == NX_DOCUMENT_WORDS) sum->phase = NX_INGEST_VECTORS;
        if (doc.state == NX_DOCUMENT_FAILED) {
            sum->n_skipped++;
            (void)add_failed(skips, &doc);
        } else {
            sum->n_added++;
        }
    }
    if (st == NX_ENOENT || (!st && doc.state != NX_DOCUMENT_QUEUED)) sum->n_looked_at++;
    nx_point_copy_free(&copy);
    if (st && st != NX_ENOENT && err) *err = why;
    return st == NX_ENOENT ? NX_OK : st;
}

static nx_status count_documents(nx_rag_job *j, nx_ingest *sum, nx_jw *skips, nx_error *err)
{
    const nx_rag_wish *w = &j->wish;
    nx_shelf          *s = NULL;
    nx_error           why;
    nx_status          st = nx_library_find(j->library, &s, w->collection, &why);

    sum->walked = true;
    sum->n_found = w->n_documents + sum->n_skipped;
    sum->n_looked_at = sum->n_skipped;
    sum->phase = NX_INGEST_DONE;
    if (st == NX_ENOENT) { /* the collection is gone, and with it what there was to do */
        sum->n_looked_at = sum->n_found;
        return NX_OK;
    }
    if (st) return nx_fail(err, st, "%s", why.text);
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(s));
    for (size_t i = 0; !st && i < w->n_documents; i++)
        st = count_document(sum, skips, s, snap, w->documents[i], err);
    nx_snapshot_release(snap);
    nx_library_release(j->library, s);
    if (sum->n_looked_at < sum->n_found) sum->phase = NX_INGEST_WORDS;
    return st;
}

/* ---- Writing ---- */

static void write_skips(nx_jw *w, const nx_ingest *i)
{
    for (size_t k = 0; k < i->n_skips; k++) {
        nx_jw_open(w, NULL, '{');
        nx_jw_text(w, "source", i->skips[k].source);
        nx_jw_text(w, "reason", i->skips[k].reason);
        nx_jw_close(w, '}');
    }
}

static double seconds_of(const nx_ingest *i)
{
    int64_t end = i->ended_ns ? i->ended_ns : nx_clock_ns();

    return i->started_ns ? (double)(end - i->started_ns) * 1e-9 : 0;
}

static void write_counts(nx_jw *w, const nx_ingest *i)
{
    nx_jw_text(w, "phase", phase_names[i->phase]);
    nx_jw_bool(w, "walked", i->walked);
    nx_jw_u64(w, "found", i->n_found);
    nx_jw_u64(w, "looked_at", i->n_looked_at);
    nx_jw_u64(w, "added", i->n_added);
    nx_jw_u64(w, "changed", i->n_changed);
    nx_jw_u64(w, "unchanged", i->n_unchanged);
    nx_jw_u64(w, "removed", i->n_removed);
    nx_jw_u64(w, "skipped", i->n_skipped);
    nx_jw_u64(w, "bytes", i->bytes);
    nx_jw_u64(w, "chunks", i->n_chunks);
    nx_jw_u64(w, "chunks_new", i->n_chunks_new);
    nx_jw_u64(w, "chunks_gone", i->n_chunks_gone);
    nx_jw_u64(w, "embedded", i->n_embedded);
    nx_jw_u64(w, "to_embed", i->n_to_embed);
}

/* A copy of the counts, taken at once; skips stay where they are, and only grow. */
static nx_ingest counts_of(nx_rag_job *j)
{
    nx_ingest i;

    pthread_mutex_lock(&j->how.lock);
    memcpy(&i, &j->how, sizeof i);
    pthread_mutex_unlock(&j->how.lock);
    return i;
}

static void write_head(nx_jw *w, const nx_rag_job *j)
{
    nx_jw_text(w, "job_id", j->id);
    nx_jw_text(w, "kind", kind_names[j->kind]);
    nx_jw_string(w, "collection", j->wish.collection);
    nx_jw_int(w, "created_at", j->created_ms / 1000);
}

static void write_documents(nx_jw *w, const nx_rag_job *j)
{
    char id[NX_ID_TEXT];

    nx_jw_open(w, "document_ids", '[');
    for (size_t i = 0; i < j->wish.n_documents; i++)
        nx_jw_text(w, NULL, nx_id_write(id, j->wish.documents[i]));
    nx_jw_close(w, ']');
}

static nx_status write_job(nx_rag_job *j, nx_jw *w, const char *key, bool *ended, nx_error *err)
{
    nx_ingest how = counts_of(j);
    nx_jw     skips = {.buf.max = (size_t)16 << 20};
    nx_status st = NX_OK;

    nx_jw_open(&skips, NULL, '[');
    /* Under lock: the list may grow, and move. */
    pthread_mutex_lock(&j->how.lock);
    write_skips(&skips, &j->how);
    pthread_mutex_unlock(&j->how.lock);
    if (j->kind == NX_RAG_JOB_UPLOAD) {
        nx_ingest_phase own = how.phase;
        st = count_documents(j, &how, &skips, err);
        if (own == NX_INGEST_CANCELLED) how.phase = own;
    }
    nx_jw_close(&skips, ']');
    if (!st && skips.st) st = nx_fail(err, skips.st, "%s", skips.err.text);
    if (!st) {
        nx_jw_open(w, key, '{');
        write_head(w, j);
        write_counts(w, &how);
        if (j->kind != NX_RAG_JOB_UPLOAD) nx_jw_double(w, "seconds", seconds_of(&how));
        if (j->kind == NX_RAG_JOB_UPLOAD) write_documents(w, j);
        if (how.current[0]) nx_jw_text(w, "current", how.current);
        if (how.phase == NX_INGEST_FAILED) nx_jw_text(w, "error", how.error.text);
        nx_jw_raw(w, "skips", (nx_str){skips.buf.data, skips.buf.len});
        nx_jw_close(w, '}');
    }
    if (ended) *ended = how.phase >= NX_INGEST_DONE;
    nx_buf_free(&skips.buf);
    return st;
}

nx_status nx_rag_job_write(nx_library *l, nx_jw *w, const char *key, nx_str id,
                           const nx_rag_asker *who, bool *ended, nx_error *err)
{
    nx_rag_job *j = find(l, id, who, err);

    if (!j) return NX_ENOENT;
    nx_status st = write_job(j, w, key, ended, err);
    give_up(l, j);
    return st;
}

nx_status nx_rag_jobs_write(nx_library *l, nx_jw *w, const char *key, const nx_rag_asker *who,
                            size_t max, nx_error *err)
{
    nx_rag_job **list = nx_alloc(max ? max : 1, sizeof *list);
    size_t       n = 0;
    nx_status    st = NX_OK;

    if (!list) return nx_fail(err, NX_ENOMEM, "%zu jobs", max);
    pthread_mutex_lock(&l->jobs_lock);
    for (nx_rag_job *j = l->jobs; j && n < max; j = j->next) {
        if (!may_see(j, who)) continue;
        j->n_refs++;
        list[n++] = j;
    }
    pthread_mutex_unlock(&l->jobs_lock);
    nx_jw_open(w, key, '[');
    for (size_t i = 0; i < n; i++) {
        if (!st) st = write_job(list[i], w, NULL, NULL, err);
        give_up(l, list[i]);
    }
    nx_jw_close(w, ']');
    nx_free(list);
    return st;
}

/* ---- Cancelling ---- */

/* Versions that still wait, and came with this upload: not those that another brought since. From the end: the
 * worker comes from the beginning. */
static void take_back(nx_rag_job *j)
{
    nx_library *l = j->library;
    nx_shelf   *s = NULL;

    if (nx_library_find(l, &s, j->wish.collection, NULL)) return;
    for (size_t i = j->wish.n_documents; i-- > 0;)
        (void)nx_shelf_unqueue(s, j->wish.documents[i], j->created_ms * 1000 + 999, NULL);
    nx_library_release(l, s);
}

nx_status nx_rag_job_cancel(nx_library *l, nx_str id, const nx_rag_asker *who, nx_error *err)
{
    nx_rag_job *j = find(l, id, who, err);

    if (!j) return NX_ENOENT;
    atomic_store(&j->cancel, true);
    if (j->kind == NX_RAG_JOB_UPLOAD) {
        nx_jw w = {.buf.max = NX_JW_MAX};
        bool  ended = false;
        if (!write_job(j, &w, NULL, &ended, NULL) && !ended) {
            take_back(j);
            end_phase(j, NX_ECANCELLED, &(nx_error){.status = NX_ECANCELLED});
        }
        nx_buf_free(&w.buf);
    }
    give_up(l, j);
    return NX_OK;
}
