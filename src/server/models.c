/* models.c - entries, a budget, and a thread for each load.
 *
 * Locks: `lock` guards every entry. Opening and closing a model, waiters and metrics are called without
 *        it, the state (LOADING, UNLOADING) keeping others away meanwhile.
 */
#include "server/models.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/utf8.h"
#include "os/clock.h"

typedef struct entry {
    nx_loaded        loaded; /* first: a use is a pointer to it */
    nx_models       *all;
    char            *name, *path;
    nx_model_use     purpose;
    nx_model_state   state;
    bool             loading; /* a thread loads it, or will when it is UNLOADING no more */
    bool             eager;   /* that load is an operator's */
    int32_t          n_uses;
    uint64_t         planned; /* reserved of the budget while LOADING and READY */
    int64_t          created_s, last_used_s, idle_since_ns;
    nx_error         error;
    nx_model_waiter *waiters;
    uint64_t         load; /* its number in the metrics */
} entry;

struct nx_models {
    nx_models_options opt;
    pthread_mutex_t   lock;
    pthread_cond_t    changed; /* a load or unload ended */
    entry            *entries[NX_MODELS_MAX];
    int               n, n_loading;
    uint64_t          reserved;
};

const char *nx_model_state_name(nx_model_state s)
{
    static const char *const names[] = {"unloaded", "loading", "ready", "unloading", "failed"};

    return names[s];
}

nx_status nx_models_create(nx_models **out, const nx_models_options *opt, nx_error *err)
{
    nx_models *m = nx_calloc(1, sizeof *m);

    *out = m;
    if (!m) return nx_fail(err, NX_ENOMEM, "models");
    m->opt = *opt;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    return NX_OK;
}

/* ---- Names ---- */

static entry *find(const nx_models *m, nx_str name)
{
    if (name.len == 0) return m->n ? m->entries[0] : NULL;
    for (int i = 0; i < m->n; i++)
        if (nx_str_eq(name, nx_str_of(m->entries[i]->name))) return m->entries[i];
    return NULL;
}

/* "all-MiniLM-L6-v2" of sentence-transformers/all-MiniLM-L6-v2, and of /models/all-minilm-l6-v2.gguf. */
static nx_str base_of(nx_str path)
{
    nx_str base = path;

    for (size_t i = 0; i < path.len; i++)
        if (path.p[i] == '/') base = (nx_str){path.p + i + 1, path.len - i - 1};
    if (base.len > 5 && memcmp(base.p + base.len - 5, ".gguf", 5) == 0) base.len -= 5;
    return base;
}

static bool same_base(const char *a, nx_str b)
{
    nx_str x = base_of(nx_str_of(a)), y = base_of(b);

    return x.len == y.len && strncasecmp(x.p, y.p, x.len) == 0;
}

/* fast, balanced, quality: whichever model here is the one that such a name stands for. An embedding model
 * is also known by the name of the repository that it comes from, as clients write it. */
static entry *find_alias(const nx_models *m, nx_str name, nx_model_use purpose)
{
    const char *alias = nx_embed_alias(name);
    bool        repository = purpose == NX_MODEL_EMBEDS && memchr(name.p, '/', name.len);
    nx_str      wanted = alias ? nx_str_of(alias) : name;

    for (int i = 0; (alias || repository) && i < m->n; i++)
        if (same_base(m->entries[i]->name, wanted) || same_base(m->entries[i]->path, wanted))
            return m->entries[i];
    return NULL;
}

/* Of that name; without one, the first that is for it. */
static entry *find_for(const nx_models *m, nx_str name, nx_model_use purpose)
{
    entry *e = name.len || purpose == NX_MODEL_ANY ? find(m, name) : NULL;

    if (e) return e;
    if (name.len) return find_alias(m, name, purpose);
    for (int i = 0; i < m->n; i++)
        if (m->entries[i]->purpose == purpose) return m->entries[i];
    return NULL;
}

const char *nx_model_use_name(nx_model_use use)
{
    static const char *const names[] = {"generates", "embeds", "reranks", "any"};

    return names[use];
}

static nx_status check_purpose(const entry *e, nx_model_use purpose, nx_error *err)
{
    static const char *const does[] = {"generates text", "embeds texts (POST /v1/embeddings)",
                                       "reranks passages (POST /v1/rerank)"};
    static const char *const asked[] = {"doesn't generate any",
                                        "doesn't embed. Name an embedding model",
                                        "is no reranker. Name a cross-encoder"};

    if (purpose == NX_MODEL_ANY || e->purpose == purpose) return NX_OK;
    return nx_fail(err, NX_EUNSUPPORTED, "model %s %s, it %s", e->name, does[e->purpose],
                   asked[purpose]);
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    if (len < 1 || len > 200 || !nx_utf8_valid(name, len, NULL)) return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7F) return false;
    return true;
}

static nx_status unknown(const nx_models *m, nx_str name, nx_error *err)
{
    const char *repository = nx_embed_alias(name);
    char        names[300] = "";
    size_t      len = 0;

    if (repository)
        return nx_fail(err, NX_ENOENT,
                       "%.*s stands for %s, which isn't here. Fetch it (nexus pull %s), and start "
                       "the server with it (-m)",
                       (int)name.len, name.p, repository, repository);

    for (int i = 0; i < m->n && len + 4 < sizeof names; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "",
                                m->entries[i]->name);
    return nx_fail(err, NX_ENOENT, "there is no model '%.*s' here. There is: %s",
                   (int)(name.len < 100 ? name.len : 100), name.p ? name.p : "",
                   m->n ? names : "none");
}

static void free_entry(entry *e)
{
    if (!e) return;
    nx_free(e->name);
    nx_free(e->path);
    nx_free(e);
}

nx_status nx_models_add(nx_models *m, const char *name, const char *path, nx_error *err)
{
    nx_status st = NX_OK;
    entry    *e = NULL;

    if (!is_name(name))
        return nx_fail(err, NX_EINVAL,
                       "a model's name has 1 to 200 printable characters without spaces");
    nx_model_use purpose = NX_MODEL_GENERATES;
    if (m->opt.opener.purpose) purpose = m->opt.opener.purpose(m->opt.opener.ctx, path);
    pthread_mutex_lock(&m->lock);
    if (find(m, nx_str_of(name)))
        st = nx_fail(err, NX_EINVAL, "there are two models named '%s'", name);
    else if (m->n == NX_MODELS_MAX)
        st = nx_fail(err, NX_ELIMIT, "more than %d models", NX_MODELS_MAX);
    if (!st) {
        e = nx_calloc(1, sizeof *e);
        if (e) *e = (entry){.all = m, .name = nx_strdup(name), .path = nx_strdup(path)};
        if (!e || !e->name || !e->path) st = nx_fail(err, NX_ENOMEM, "model %s", name);
    }
    if (!st) {
        e->created_s = nx_clock_unix_ms() / 1000;
        e->purpose = purpose;
        e->loaded.name = e->name;
        e->loaded.metrics = nx_metrics_model(m->opt.metrics, name);
        m->entries[m->n++] = e;
    } else {
        free_entry(e);
    }
    pthread_mutex_unlock(&m->lock);
    return st;
}

/* ---- Unloading ---- */

/* Close what is READY and in nobody's use; the lock is held, and let go meanwhile. */
static void unload_locked(nx_models *m, entry *e)
{
    nx_service_stats last;

    e->state = NX_MODEL_UNLOADING;
    pthread_mutex_unlock(&m->lock);
    nx_model_parts_stats(&e->loaded.parts, &last);
    nx_model_metrics_unloaded(e->loaded.metrics, e->load, &last);
    nx_chat_close(e->loaded.chat);
    m->opt.opener.close(m->opt.opener.ctx, &e->loaded.parts);
    if (!m->opt.quiet) nx_log_info("model %s unloaded", e->name);
    pthread_mutex_lock(&m->lock);
    e->loaded.chat = NULL;
    e->loaded.parts = (nx_model_parts){0};
    m->reserved -= e->planned;
    e->planned = 0;
    e->state = NX_MODEL_UNLOADED;
    pthread_cond_broadcast(&m->changed);
}

/* Somebody frees memory by now: it is worth a wait. */
static bool any_unloading(const nx_models *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->entries[i]->state == NX_MODEL_UNLOADING) return true;
    return false;
}

static entry *least_used(const nx_models *m)
{
    entry *least = NULL;

    for (int i = 0; i < m->n; i++) {
        entry *e = m->entries[i];
        if (e->state != NX_MODEL_READY || e->n_uses) continue;
        if (!least || e->idle_since_ns < least->idle_since_ns) least = e;
    }
    return least;
}

/* Reserve `bytes` of the budget for e. The lock is held. */
static nx_status reserve(nx_models *m, entry *e, uint64_t bytes, nx_error *err)
{
    const double gb = 1e9;

    if (m->opt.memory_bytes && bytes > m->opt.memory_bytes)
        return nx_fail(
            err, NX_ELIMIT,
            "model %s needs %.1f GB, and all models together may take %.1f GB (--memory)", e->name,
            (double)bytes / gb, (double)m->opt.memory_bytes / gb);
    while (m->opt.memory_bytes && m->reserved + bytes > m->opt.memory_bytes) {
        entry *victim = least_used(m);
        if (victim)
            unload_locked(m, victim);
        else if (any_unloading(m))
            pthread_cond_wait(&m->changed, &m->lock);
        else
            return nx_fail(err, NX_EBUSY,
                           "model %s needs %.1f GB, and the models in use leave %.1f of %.1f GB. "
                           "Try again later",
                           e->name, (double)bytes / gb,
                           (double)(m->opt.memory_bytes - m->reserved) / gb,
                           (double)m->opt.memory_bytes / gb);
    }
    m->reserved += bytes;
    e->planned = bytes;
    return NX_OK;
}

/* ---- Loading ---- */

static nx_status load(nx_models *m, entry *e, nx_error *err)
{
    nx_service_watch watch = {e->loaded.metrics, nx_model_metrics_observe};
    nx_model_opener *o = &m->opt.opener;
    uint64_t         bytes = 0;
    nx_status        st = o->plan(o->ctx, e->path, &bytes, err);

    if (st) return st;
    pthread_mutex_lock(&m->lock);
    st = reserve(m, e, bytes, err);
    pthread_mutex_unlock(&m->lock);
    if (st) return st;
    int64_t start = nx_clock_ns();
    st = o->open(o->ctx, e->path, &watch, &e->loaded.parts, err);
    if (st) return st;
    double  seconds = (double)(nx_clock_ns() - start) * 1e-9;
    nx_llm *llm = e->loaded.parts.llm;
    if (llm->vocab && e->loaded.parts.service)
        nx_chat_open(&e->loaded.chat, llm->cp, llm->vocab, NULL, &e->loaded.chat_error);
    e->load = nx_model_metrics_loaded(e->loaded.metrics, e->loaded.parts.arch,
                                      e->loaded.parts.quant, seconds);
    if (!m->opt.quiet) nx_log_info("model %s loaded in %.2f s", e->name, seconds);
    return NX_OK;
}

/* Tell all that wait; each of them uses the model from now on. */
static void answer_waiters(nx_models *m, entry *e, nx_status st, const nx_error *err)
{
    pthread_mutex_lock(&m->lock);
    nx_model_waiter *w = e->waiters;
    e->waiters = NULL;
    if (!st)
        for (nx_model_waiter *i = w; i; i = i->next) e->n_uses++;
    e->error = st ? *err : (nx_error){0};
    if (st) {
        m->reserved -= e->planned;
        e->planned = 0;
    }
    e->idle_since_ns = nx_clock_ns();
    e->loading = false;
    /* No room just now is no fault of the model's. */
    e->state = !st ? NX_MODEL_READY : st == NX_EBUSY ? NX_MODEL_UNLOADED : NX_MODEL_FAILED;
    pthread_mutex_unlock(&m->lock);
    while (w) {
        nx_model_waiter *next = w->next;
        w->ready(w->ctx, st ? NULL : &e->loaded, st ? err : NULL);
        w = next;
    }
}

static void *load_main(void *arg)
{
    entry     *e = arg;
    nx_models *m = e->all;
    nx_error   err = {0};

    pthread_mutex_lock(&m->lock);
    while (e->state == NX_MODEL_UNLOADING) pthread_cond_wait(&m->changed, &m->lock);
    e->state = NX_MODEL_LOADING;
    pthread_mutex_unlock(&m->lock);
    nx_status st = load(m, e, &err);
    /* Who asked hears of it; a model that finds no room is asked for again and again. */
    if (st)
        nx_log(st == NX_EBUSY ? NX_LOG_DEBUG : NX_LOG_ERROR, "loading %s: %s", e->name, err.text);
    answer_waiters(m, e, st, &err);
    pthread_mutex_lock(&m->lock);
    m->n_loading--;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* The lock is held, and kept: what is being unloaded is waited for by the loading thread. */
static nx_status begin_load(nx_models *m, entry *e, bool eager, nx_error *err)
{
    pthread_t      thread;
    pthread_attr_t detached;

    if (e->state == NX_MODEL_READY || e->loading) return NX_OK;
    if (e->state != NX_MODEL_UNLOADING) e->state = NX_MODEL_LOADING;
    e->loading = true;
    e->eager = eager;
    m->n_loading++;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &detached, load_main, e);
    pthread_attr_destroy(&detached);
    if (!failed) return NX_OK;
    m->n_loading--;
    e->loading = false;
    if (e->state == NX_MODEL_LOADING) e->state = NX_MODEL_FAILED;
    return nx_fail(err, NX_ENOMEM, "model %s: its loading thread did not start", e->name);
}

nx_status nx_models_load(nx_models *m, nx_str name, nx_error *err)
{
    pthread_mutex_lock(&m->lock);
    entry    *e = find(m, name);
    nx_status st = e ? begin_load(m, e, true, err) : unknown(m, name, err);
    pthread_mutex_unlock(&m->lock);
    return st;
}

nx_status nx_models_unload(nx_models *m, nx_str name, nx_error *err)
{
    nx_status st = NX_OK;

    pthread_mutex_lock(&m->lock);
    entry *e = find(m, name);
    while (e && e->state == NX_MODEL_UNLOADING && !e->loading)
        pthread_cond_wait(&m->changed, &m->lock);
    if (!e)
        st = unknown(m, name, err);
    else if (e->loading || e->n_uses)
        st = nx_fail(err, NX_EBUSY, "model %s is %s", e->name,
                     e->loading ? "being loaded" : "in use");
    else if (e->state == NX_MODEL_READY)
        unload_locked(m, e);
    pthread_mutex_unlock(&m->lock);
    return st;
}

/* ---- Using ---- */

nx_use nx_models_use(nx_models *m, nx_loaded **out, nx_str name, nx_model_use purpose,
                     nx_model_waiter *w, nx_error *err)
{
    nx_use use = NX_USE_REFUSED;

    *out = NULL;
    pthread_mutex_lock(&m->lock);
    entry *e = find_for(m, name, purpose);
    if (!e && !name.len && purpose == NX_MODEL_EMBEDS) {
        nx_fail(err, NX_ENOENT, "there is no embedding model here. Start the server with one (-m)");
    } else if (!e && !name.len && purpose == NX_MODEL_RERANKS) {
        nx_fail(err, NX_ENOENT,
                "there is no reranker here. Start the server with a cross-encoder (-m)");
    } else if (!e) {
        unknown(m, name, err);
    } else if (check_purpose(e, purpose, err)) {
        use = NX_USE_REFUSED;
    } else if (e->state == NX_MODEL_READY) {
        e->n_uses++;
        e->last_used_s = nx_clock_unix_ms() / 1000;
        *out = &e->loaded;
        use = NX_USE_READY;
    } else if (e->loading && e->eager) {
        nx_fail(err, NX_EBUSY, "model %s is being loaded. Try again soon", e->name);
    } else if (begin_load(m, e, false, err) == NX_OK) {
        nx_model_waiter **at = &e->waiters; /* first come, first served */
        while (*at) at = &(*at)->next;
        w->next = NULL;
        *at = w;
        use = NX_USE_LATER;
    }
    pthread_mutex_unlock(&m->lock);
    return use;
}

void nx_models_release(nx_models *m, nx_loaded *model)
{
    entry *e = (entry *)model;

    pthread_mutex_lock(&m->lock);
    e->n_uses--;
    e->last_used_s = nx_clock_unix_ms() / 1000;
    e->idle_since_ns = nx_clock_ns();
    pthread_mutex_unlock(&m->lock);
}

void nx_models_tick(nx_models *m)
{
    int64_t now = nx_clock_ns(), patience = (int64_t)m->opt.keep_alive_s * 1000000000;

    if (!patience) return;
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < m->n; i++) {
        entry *e = m->entries[i];
        if (e->state == NX_MODEL_READY && !e->n_uses && now - e->idle_since_ns > patience)
            unload_locked(m, e);
    }
    pthread_mutex_unlock(&m->lock);
}

void nx_models_destroy(nx_models *m)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    while (m->n_loading) pthread_cond_wait(&m->changed, &m->lock);
    for (int i = 0; i < m->n; i++)
        if (m->entries[i]->state == NX_MODEL_READY) unload_locked(m, m->entries[i]);
    pthread_mutex_unlock(&m->lock);
    for (int i = 0; i < m->n; i++) free_entry(m->entries[i]);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    nx_free(m);
}

/* ---- Looking ---- */

static nx_model_state state_of(const entry *e)
{
    return e->loading ? NX_MODEL_LOADING : e->state;
}

void nx_model_parts_stats(const nx_model_parts *p, nx_service_stats *out)
{
    *out = (nx_service_stats){0};
    if (p->service) p->service->ops->stats(p->service, out);
    if (p->embedder) out->n_ctx = nx_embedder_spec(p->embedder)->length_max;
    if (p->reranker) out->n_ctx = nx_reranker_length_max(p->reranker);
}

static void view_of(nx_model_view *v, const nx_models *m, const entry *e)
{
    const nx_model_parts *p = &e->loaded.parts;
    bool                  ready = e->state == NX_MODEL_READY;

    *v = (nx_model_view){.name = e->name,
                         .path = e->path,
                         .state = state_of(e),
                         .is_default = e == m->entries[0],
                         .bytes = ready ? p->bytes : 0,
                         .planned_bytes = e->planned,
                         .created_s = e->created_s,
                         .last_used_s = e->last_used_s,
                         .purpose = e->purpose,
                         .n_uses = e->n_uses,
                         .error = e->error,
                         .has_stats = ready};
    if (!ready) return;
    memcpy(v->quant, p->quant, sizeof v->quant);
    memcpy(v->device, p->device, sizeof v->device);
    memcpy(v->arch, p->arch, sizeof v->arch);
    nx_model_parts_stats(p, &v->stats);
    if (p->embedder) v->cache = nx_embedder_cache(p->embedder);
    v->n_ctx = v->stats.n_ctx;
}

void nx_models_visit(nx_models *m, void (*visit)(void *ctx, const nx_model_view *v), void *ctx)
{
    nx_model_view v;

    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < m->n; i++) {
        view_of(&v, m, m->entries[i]);
        visit(ctx, &v);
    }
    pthread_mutex_unlock(&m->lock);
}

void nx_models_clear_caches(nx_models *m)
{
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < m->n; i++) {
        entry *e = m->entries[i];
        if (e->state == NX_MODEL_READY && e->loaded.parts.embedder)
            nx_embedder_cache_clear(e->loaded.parts.embedder);
    }
    pthread_mutex_unlock(&m->lock);
}

nx_model_state nx_models_default_state(nx_models *m)
{
    pthread_mutex_lock(&m->lock);
    nx_model_state s = m->n ? state_of(m->entries[0]) : NX_MODEL_UNLOADED;
    pthread_mutex_unlock(&m->lock);
    return s;
}

uint64_t nx_models_memory_used(nx_models *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t n = m->reserved;
    pthread_mutex_unlock(&m->lock);
    return n;
}

void nx_models_sample(nx_models *m)
{
    nx_service_stats s;

    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < m->n; i++) {
        entry *e = m->entries[i];
        if (e->state != NX_MODEL_READY) continue;
        nx_model_parts_stats(&e->loaded.parts, &s);
        nx_model_metrics_sample(e->loaded.metrics, e->load, &s);
    }
    pthread_mutex_unlock(&m->lock);
}
