/* library.c - shelves by name, and the worker that keeps them up to date. */
#include "server/library.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/dir.h"
#include "server/library_in.h"

/* Vectors made at once: few, so that whoever asks gets his turn, and a stop is soon. */
enum { EMBED_AT_ONCE = 32, LOOK_EVERY_S = 30 };

/* ---- Shelves ---- */

/* l->lock is held. */
static void close_unused(nx_library *l)
{
    for (nx_shelved **at = &l->shelves; *at;) {
        nx_shelved *e = *at;
        if (e->n_refs || !e->gone) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        nx_shelf_close(e->shelf);
        nx_free(e);
    }
}

/* The collection of that name may be another one by now: dropped and made anew, or moved. */
static nx_shelved *find_shelved(nx_library *l, const nx_collection *coll)
{
    nx_str name = nx_collection_name(coll);

    for (nx_shelved *e = l->shelves; e; e = e->next) {
        const nx_collection *its = nx_shelf_collection(e->shelf);
        if (its == coll) return e;
        if (nx_str_eq(nx_collection_name(its), name)) e->gone = true;
    }
    return NULL;
}

static nx_status add_shelved(nx_library *l, nx_shelved **out, nx_str name,
                             const nx_shelf_settings *settings, nx_error *err)
{
    nx_shelved *e = nx_calloc(1, sizeof *e);

    if (!e) return nx_fail(err, NX_ENOMEM, "a shelf");
    nx_status st = nx_shelf_open(&e->shelf, l->vault->store, l->blobs, name, settings, err);
    if (st) {
        nx_free(e);
        return st;
    }
    e->next = l->shelves;
    l->shelves = e;
    *out = e;
    return NX_OK;
}

static nx_status find_locked(nx_library *l, nx_shelf **out, nx_str name, nx_error *err)
{
    nx_collection *coll = NULL;
    nx_shelved    *e;
    nx_status      st = nx_store_find(&coll, l->vault->store, name, err);

    if (st) return st;
    e = find_shelved(l, coll);
    if (!e) st = add_shelved(l, &e, nx_collection_name(coll), NULL, err);
    nx_collection_release(coll);
    close_unused(l);
    if (st) return st;
    e->n_refs++;
    *out = e->shelf;
    return NX_OK;
}

nx_status nx_library_find(nx_library *l, nx_shelf **out, nx_str name, nx_error *err)
{
    *out = NULL;
    pthread_mutex_lock(&l->lock);
    nx_status st = find_locked(l, out, name, err);
    pthread_mutex_unlock(&l->lock);
    return st;
}

void nx_library_release(nx_library *l, nx_shelf *s)
{
    if (!s) return;
    pthread_mutex_lock(&l->lock);
    for (nx_shelved *e = l->shelves; e; e = e->next)
        if (e->shelf == s) e->n_refs--;
    close_unused(l);
    pthread_mutex_unlock(&l->lock);
}

/* Shelves of collections that were dropped hold their files: let go of those that nobody uses. */
static void forget_dropped(nx_library *l)
{
    pthread_mutex_lock(&l->lock);
    for (nx_shelved *e = l->shelves; e; e = e->next) {
        nx_collection *its = nx_shelf_collection(e->shelf), *now = NULL;
        nx_status      st = nx_store_find(&now, l->vault->store, nx_collection_name(its), NULL);
        if (st == NX_ENOENT || (!st && now != its)) e->gone = true;
        nx_collection_release(now);
    }
    close_unused(l);
    pthread_mutex_unlock(&l->lock);
}

static nx_status make_shelf(nx_library *l, nx_shelf **out, nx_str name, const nx_loaded *m,
                            const nx_chunk_options *chunking, nx_error *err)
{
    nx_shelf_settings settings = {.model = nx_str_of(m->name),
                                  .dim = nx_embedder_dims(m->parts.embedder),
                                  .language = NX_STR("english")};
    nx_chunk_options  checked;
    nx_shelf         *made = NULL;

    if (chunking) settings.chunking = *chunking;
    settings.chunking.limit = nx_embedder_spec(m->parts.embedder)->length_max;
    checked = settings.chunking;
    nx_status st = nx_chunk_options_check(&checked, err);
    if (!st) st = nx_shelf_open(&made, l->vault->store, l->blobs, name, &settings, err);
    nx_shelf_close(made); /* found anew: it may have been made by two at once */
    return st ? st : nx_library_find(l, out, name, err);
}

/* Is the shelf's model the one that is wanted, by this name or by one that stands for it ("fast")? */
static nx_status check_model(nx_library *l, nx_shelf *s, nx_str want, nx_error *err)
{
    nx_str     has = nx_shelf_get_settings(s)->model;
    nx_str     name = nx_collection_name(nx_shelf_collection(s));
    nx_loaded *m = NULL;
    nx_status  st;

    if (!want.len || nx_str_eq(want, has)) return NX_OK;
    st = nx_library_model(l, &m, want, NX_MODEL_EMBEDS, err);
    if (st) return st;
    bool same = nx_str_eq(nx_str_of(m->name), has);
    nx_library_give_back(l, m);
    if (same) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   "collection %.*s was made for the model %.*s, not for %.*s: nexus reindex moves "
                   "it",
                   (int)name.len, name.p, (int)has.len, has.p, (int)want.len, want.p);
}

nx_status nx_library_make(nx_library *l, nx_shelf **out, nx_str name, const char *model,
                          const nx_chunk_options *chunking, nx_error *err)
{
    nx_error   inner = {0};
    nx_loaded *m = NULL;
    nx_status  st = nx_library_find(l, out, name, &inner);

    if (!st) {
        st = check_model(l, *out, nx_str_of(model), &inner);
        if (st) nx_library_release(l, *out);
        if (st) *out = NULL;
    } else if (st == NX_ENOENT) {
        st = nx_library_model(l, &m, nx_str_of(model), NX_MODEL_EMBEDS, &inner);
        if (!st) st = make_shelf(l, out, name, m, chunking, &inner);
        nx_library_give_back(l, m);
    }
    if (st && err) *err = inner;
    return st;
}

nx_blobs *nx_library_blobs(nx_library *l)
{
    return l->blobs;
}

/* ---- Models ---- */

#define MODEL_WAIT_S 120 /* for a load that somebody else began */

typedef struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t  came;
    bool            done;
    nx_loaded      *model;
    nx_error        err;
} waiting;

static void on_ready(void *ctx, nx_loaded *model, const nx_error *err)
{
    waiting *w = ctx;

    pthread_mutex_lock(&w->lock);
    w->model = model;
    if (!model) w->err = *err;
    w->done = true;
    pthread_cond_signal(&w->came);
    pthread_mutex_unlock(&w->lock);
}

static nx_status wait_for(waiting *w, nx_loaded **out, nx_error *err)
{
    pthread_mutex_lock(&w->lock);
    while (!w->done) pthread_cond_wait(&w->came, &w->lock);
    pthread_mutex_unlock(&w->lock);
    *out = w->model;
    if (w->model) return NX_OK;
    return nx_fail(err, w->err.status, "%s", w->err.text);
}

/* One try. NX_EBUSY: an operator has it loaded just now, or the server does, at its start. */
static nx_status use_model(nx_library *l, nx_loaded **out, nx_str name, nx_model_use use,
                           nx_error *err)
{
    waiting         w = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    nx_model_waiter waiter = {.ready = on_ready, .ctx = &w};
    nx_status       st = NX_OK;

    *out = NULL;
    switch (nx_models_use(l->models, out, name, use, &waiter, err)) {
    case NX_USE_READY: break;
    case NX_USE_LATER: st = wait_for(&w, out, err); break;
    case NX_USE_REFUSED: st = err->status; break;
    }
    return st;
}

nx_status nx_library_model(nx_library *l, nx_loaded **out, nx_str name, nx_model_use use,
                           nx_error *err)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    int64_t               end = nx_clock_ns() + MODEL_WAIT_S * (int64_t)1000000000;
    nx_error              inner = {0};
    nx_status             st;

    /* Nobody is told of the end of such a load: it is looked for. */
    while ((st = use_model(l, out, name, use, &inner)) == NX_EBUSY && nx_clock_ns() < end)
        nanosleep(&pause, NULL);
    if (st && err) *err = inner;
    return st;
}

nx_status nx_library_embedder(nx_library *l, nx_loaded **out, nx_shelf *s, nx_error *err)
{
    return nx_library_model(l, out, nx_shelf_get_settings(s)->model, NX_MODEL_EMBEDS, err);
}

void nx_library_give_back(nx_library *l, nx_loaded *m)
{
    if (m) nx_models_release(l->models, m);
}

/* ---- Names ---- */

/* Also one that takes no writes just now: while another takes its place, or with a full disk. */
static bool is_of_documents(nx_library *l, const nx_store_entry *e)
{
    nx_shelf *s = NULL;
    bool      is = !nx_shelf_is_beside(l->vault->store, nx_str_of(e->name)) &&
              nx_library_find(l, &s, nx_str_of(e->name), NULL) == NX_OK;

    nx_library_release(l, s);
    return is;
}

nx_status nx_library_list(nx_library *l, char ***out, size_t *n, nx_error *err)
{
    nx_store_entry *entries = NULL;
    size_t          n_entries = 0, bytes = 0;
    char          **list, *at;
    nx_status       st = nx_store_list(&entries, &n_entries, l->vault->store, err);

    *out = NULL;
    *n = 0;
    if (st) return st;
    for (size_t i = 0; i < n_entries; i++) bytes += strlen(entries[i].name) + 1;
    list = nx_alloc((n_entries + 1) * sizeof *list + bytes, 1);
    if (!list) {
        nx_free(entries);
        return nx_fail(err, NX_ENOMEM, "names of collections");
    }
    at = (char *)(list + n_entries + 1);
    for (size_t i = 0; i < n_entries; i++) {
        if (!is_of_documents(l, &entries[i])) continue;
        list[(*n)++] = strcpy(at, entries[i].name);
        at += strlen(at) + 1;
    }
    nx_free(entries);
    *out = list;
    return NX_OK;
}

/* ---- The worker ---- */

void nx_library_wake(nx_library *l, nx_str collection)
{
    (void)collection; /* all are looked at: that costs a count each */
    pthread_mutex_lock(&l->lock);
    l->is_awake = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

/* What was done of it all: where nothing is, there is no use in looking again at once. */
static nx_status read_queued(nx_library *l, nx_shelf *s, nx_embedder *e, bool *some, nx_error *err)
{
    nx_put_report report;
    bool          did = true;
    nx_status     st = NX_OK;

    while (!st && did && !atomic_load(&l->stop)) {
        st = nx_shelf_work_queued(s, e, &did, &report, err);
        *some = *some || did;
    }
    return st;
}

/* Until all are there, or something is queued: words come first. */
static nx_status make_vectors(nx_library *l, nx_shelf *s, nx_embedder *e, bool *some, nx_error *err)
{
    nx_shelf_stats stats = {0};
    int32_t        n = 1;
    nx_status      st = NX_OK;

    while (!st && n > 0 && !stats.n_queued && !atomic_load(&l->stop)) {
        st = nx_shelf_embed(s, e, EMBED_AT_ONCE, &l->stop, &n, err);
        *some = *some || n > 0;
        if (!st) st = nx_shelf_read_stats(s, &stats, err);
    }
    return st;
}

/* Is there anything to do? Then the model is wanted, which may have to be loaded. vectors: make those, too. */
static nx_status work_on(nx_library *l, nx_shelf *s, bool vectors, bool *some, nx_error *err)
{
    nx_shelf_stats stats;
    nx_loaded     *m = NULL;
    nx_status      st = nx_shelf_read_stats(s, &stats, err);

    if (st || (!stats.n_queued && (!vectors || !stats.n_unembedded))) return st;
    st = nx_library_embedder(l, &m, s, err);
    if (!st) st = read_queued(l, s, m->parts.embedder, some, err);
    if (!st && vectors) st = make_vectors(l, s, m->parts.embedder, some, err);
    nx_library_give_back(l, m);
    return st;
}

/* True: something was done, so there may be more. */
static bool work_on_name(nx_library *l, const char *name)
{
    nx_shelf *s = NULL;
    bool      some = false, moving = false;
    bool      has_job = nx_rag_jobs_has(l, nx_str_of(name), &moving);
    nx_error  err = {0};

    if (moving) return false;
    nx_status st = nx_library_find(l, &s, nx_str_of(name), &err);
    if (!st) st = work_on(l, s, !has_job, &some, &err);
    nx_library_release(l, s);
    if (!st || st == NX_ECANCELLED || st == NX_ENOENT) return some && !st;
    nx_log_warn("documents of collection %s wait: %s", name, err.text);
    return false;
}

static bool work_once(nx_library *l)
{
    char **names = NULL;
    size_t n = 0;
    bool   some = false;

    forget_dropped(l);
    if (nx_library_list(l, &names, &n, NULL)) return false;
    for (size_t i = 0; i < n && !atomic_load(&l->stop); i++)
        some = work_on_name(l, names[i]) || some;
    nx_free(names);
    return some;
}

/* Asleep until somebody wakes it, or for a while: what failed is tried again. */
static void sleep_until_woken(nx_library *l)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOOK_EVERY_S;
    pthread_mutex_lock(&l->lock);
    while (!l->is_awake && !atomic_load(&l->stop) &&
           pthread_cond_timedwait(&l->wake, &l->lock, &until) != ETIMEDOUT) {}
    l->is_awake = false;
    pthread_mutex_unlock(&l->lock);
}

/* What nobody names, and halves of moves, as a crash leaves them: all records are read for it, so nobody waits. Not
 * being able to look is no reason not to serve: a collection may be in quarantine. */
static void sweep(nx_library *l)
{
    nx_error  err = {0};
    uint64_t  n;
    nx_status st = nx_shelves_sweep(l->vault->store, l->blobs, &l->stop, &n, &err);

    if (st && st != NX_ECANCELLED)
        nx_log_warn("files that no document names are kept: %s", err.text);
}

static void *work_main(void *arg)
{
    nx_library *l = arg;
    bool        swept = false;

    while (!atomic_load(&l->stop)) {
        if (work_once(l)) continue;
        if (!swept) sweep(l); /* not before what somebody waits for */
        swept = true;
        sleep_until_woken(l);
    }
    return NULL;
}

/* ---- Life ---- */

static nx_status open_parts(nx_library *l, const char *data, nx_error *err)
{
    char      dir[NX_DATADIR_PATH_MAX];
    nx_status st;

    if (!nx_path_write(dir, sizeof dir, "%s/blobs", data))
        return nx_fail(err, NX_ELIMIT, "%s: the path is too long", data);
    st = nx_blobs_open(&l->blobs, dir, err);
    if (!st && pthread_create(&l->worker, NULL, work_main, l) != 0)
        return nx_fail(err, NX_ENOMEM, "a thread did not start");
    l->has_worker = !st;
    return st;
}

nx_status nx_library_open(nx_library **out, nx_vault *vault, nx_models *models, const char *data,
                          nx_error *err)
{
    nx_library *l = nx_calloc(1, sizeof *l);

    *out = NULL;
    if (!l) return nx_fail(err, NX_ENOMEM, "library");
    l->vault = vault;
    l->models = models;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    pthread_mutex_init(&l->jobs_lock, NULL);
    nx_status st = open_parts(l, data, err);
    if (st)
        nx_library_close(l);
    else
        *out = l;
    return st;
}

void nx_library_rest(nx_library *l)
{
    if (!l) return;
    atomic_store(&l->stop, true);
    nx_library_wake(l, (nx_str){0});
    nx_rag_jobs_end(l);
    if (l->has_worker) pthread_join(l->worker, NULL);
    l->has_worker = false;
}

void nx_library_close(nx_library *l)
{
    if (!l) return;
    nx_library_rest(l);
    nx_rag_jobs_free(l);
    for (nx_shelved *e = l->shelves; e; e = e->next) e->gone = true;
    close_unused(l);
    nx_blobs_close(l->blobs);
    pthread_mutex_destroy(&l->jobs_lock);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    nx_free(l);
}
