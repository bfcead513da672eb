/* usage.c - the thread that writes the ledger, and the figures that requests read.
 *
 * Invariant: every entry is in exactly one place: the waiting list, the batch that the thread took, or
 *            (its sums) the rows that no commit has taken yet.
 */
#include "server/usage.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/utf8.h"
#include "os/clock.h"

#define DAY_S       86400
#define WAITING_MAX 65536 /* entries */
#define UNSAVED_MAX 4096  /* rows kept while the disk refuses them */
#define RETRY_S     1
#define LOG_EACH_NS 60000000000
#define COUNT_MAX   ((int64_t)1 << 40)

/* One entry on its way. */
typedef struct node {
    struct node *next;
    nx_usage_row row; /* counts of this entry */
    int64_t      unix_s;
    nx_usage_fn  done;
    void        *ctx;
} node;

/* A row that the thread is about to add to the table. */
typedef struct unsaved {
    nx_usage_row row;
    int64_t      used_s; /* when the key was last used */
} unsaved;

typedef struct today {
    int64_t day, tokens;
} today;

struct nx_usage {
    nx_db          *db;
    pthread_t       thread;
    pthread_mutex_t mutex; /* guards what follows; a leaf */
    pthread_cond_t  work, told;
    node           *head, **tail;
    uint64_t        n_added, n_told; /* entries ever: handed over, and their commit tried */
    bool            stop;
    nx_idmap        today_of; /* -> today */
    nx_usage_stats  stats;

    /* The thread's alone. */
    sqlite3_stmt *add_row, *touch_key;
    unsaved      *rows; /* [UNSAVED_MAX] */
    size_t        n_rows;
    int64_t       logged_ns; /* 0: never */
};

/* ---- Today, in memory ---- */

static int64_t tokens_of(const nx_usage_counts *c)
{
    return c->prompt_tokens + c->generated_tokens;
}

/* With u->mutex, or before the thread is there. */
static nx_status add_today(nx_usage *u, const char *key, int64_t day, int64_t tokens, nx_error *err)
{
    today *t = nx_idmap_find(&u->today_of, key);

    if (!t) {
        t = nx_calloc(1, sizeof *t);
        if (!t || nx_idmap_add(&u->today_of, key, t, NULL)) {
            nx_free(t);
            return nx_fail(err, NX_ENOMEM, "usage of today");
        }
        t->day = day;
    }
    if (day > t->day) *t = (today){day, 0};
    if (day == t->day) t->tokens += tokens;
    return NX_OK;
}

int64_t nx_usage_today(nx_usage *u, const char *key, int64_t now_s)
{
    pthread_mutex_lock(&u->mutex);
    const today *t = nx_idmap_find(&u->today_of, key ? key : "");
    int64_t      tokens = t && t->day == now_s / DAY_S ? t->tokens : 0;
    pthread_mutex_unlock(&u->mutex);
    return tokens;
}

static nx_status read_today(nx_usage *u, int64_t day, nx_error *err)
{
    sqlite3_stmt *s = NULL;
    bool          row = false;
    char          key[NX_KEY_ID_CAP];
    int64_t       prompt = 0, generated = 0;
    nx_status     st = nx_db_prepare(
        &s, u->db, "SELECT key, prompt_tokens, generated_tokens FROM usage WHERE day=?", err);

    if (!st) sqlite3_bind_int64(s, 1, day);
    if (!st) st = nx_db_step(u->db, s, &row, err);
    while (!st && row) {
        st = nx_db_text(key, sizeof key, u->db, s, 0, err);
        if (!st) st = nx_db_int(&prompt, u->db, s, 1, 0, INT64_MAX / 4, err);
        if (!st) st = nx_db_int(&generated, u->db, s, 2, 0, INT64_MAX / 4, err);
        if (!st) st = add_today(u, key, day, prompt + generated, err);
        if (!st) st = nx_db_step(u->db, s, &row, err);
    }
    sqlite3_finalize(s);
    return st;
}

/* ---- Adding ---- */

static int64_t in_range(int64_t v)
{
    return v < 0 ? 0 : v > COUNT_MAX ? COUNT_MAX : v;
}

/* text as valid UTF-8 without its end where that doesn't fit. */
static void copy_cut(char *out, size_t cap, const char *text)
{
    size_t len = strnlen(text, cap - 1), bad = 0;

    if (!nx_utf8_valid(text, len, &bad)) len = bad;
    memcpy(out, text, len);
    out[len] = '\0';
}

static node *make_node(const nx_usage_entry *e, nx_usage_fn done, void *ctx)
{
    node *n = nx_calloc(1, sizeof *n);

    if (!n) return NULL;
    n->row.day = in_range(e->unix_s) / DAY_S;
    copy_cut(n->row.key, sizeof n->row.key, e->key ? e->key : "");
    copy_cut(n->row.model, sizeof n->row.model, e->model ? e->model : "");
    n->row.counts =
        (nx_usage_counts){in_range(e->counts.requests), in_range(e->counts.prompt_tokens),
                          in_range(e->counts.generated_tokens), in_range(e->counts.cached_tokens)};
    n->unix_s = e->unix_s;
    n->done = done;
    n->ctx = ctx;
    return n;
}

static nx_status enqueue(nx_usage *u, node *n)
{
    nx_status st = u->stats.n_waiting >= WAITING_MAX ? NX_ELIMIT : NX_OK;

    if (!st) st = add_today(u, n->row.key, n->row.day, tokens_of(&n->row.counts), NULL);
    if (st) return st;
    *u->tail = n;
    u->tail = &n->next;
    u->stats.n_waiting++;
    u->n_added++;
    pthread_cond_signal(&u->work);
    return NX_OK;
}

void nx_usage_add(nx_usage *u, const nx_usage_entry *e, nx_usage_fn done, void *ctx)
{
    node *n = make_node(e, done, ctx);

    pthread_mutex_lock(&u->mutex);
    nx_status st = n ? enqueue(u, n) : NX_ENOMEM;
    if (st) u->stats.n_lost++;
    pthread_mutex_unlock(&u->mutex);
    if (!st) return;
    nx_free(n);
    if (done) done(ctx, st);
}

/* ---- Committing: the ledger's thread ---- */

static void sum(nx_usage_counts *to, const nx_usage_counts *c)
{
    to->requests += c->requests;
    to->prompt_tokens += c->prompt_tokens;
    to->generated_tokens += c->generated_tokens;
    to->cached_tokens += c->cached_tokens;
}

/* Put n's counts into the rows to be saved. False: there is no room. */
static bool gather(nx_usage *u, const node *n)
{
    size_t i = 0;

    while (i < u->n_rows &&
           (u->rows[i].row.day != n->row.day || strcmp(u->rows[i].row.key, n->row.key) != 0 ||
            strcmp(u->rows[i].row.model, n->row.model) != 0))
        i++;
    if (i == UNSAVED_MAX) return false;
    if (i < u->n_rows)
        sum(&u->rows[i].row.counts, &n->row.counts);
    else
        u->rows[u->n_rows++].row = n->row;
    u->rows[i].used_s = n->unix_s;
    return true;
}

static nx_status save_row(nx_usage *u, const unsaved *r, nx_error *err)
{
    sqlite3_stmt          *s = u->add_row;
    const nx_usage_counts *c = &r->row.counts;

    sqlite3_bind_int64(s, 1, r->row.day);
    sqlite3_bind_text(s, 2, r->row.key, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, r->row.model, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, c->requests);
    sqlite3_bind_int64(s, 5, c->prompt_tokens);
    sqlite3_bind_int64(s, 6, c->generated_tokens);
    sqlite3_bind_int64(s, 7, c->cached_tokens);
    nx_status st = nx_db_run(u->db, s, err);
    if (st || !*r->row.key) return st;
    sqlite3_bind_int64(u->touch_key, 1, r->used_s);
    sqlite3_bind_text(u->touch_key, 2, r->row.key, -1, SQLITE_STATIC);
    return nx_db_run(u->db, u->touch_key, err);
}

/* All rows in one transaction; they are then gone, or all still there. */
static nx_status save(nx_usage *u, nx_error *err)
{
    if (u->n_rows == 0) return NX_OK;
    nx_db_lock(u->db);
    nx_status st = nx_db_begin(u->db, err);
    for (size_t i = 0; !st && i < u->n_rows; i++) st = save_row(u, &u->rows[i], err);
    if (!st)
        st = nx_db_commit(u->db, err);
    else
        nx_db_rollback(u->db);
    nx_db_unlock(u->db);
    if (!st) u->n_rows = 0;
    return st;
}

static void complain(nx_usage *u, const nx_error *err)
{
    int64_t now = nx_clock_ns();

    if (u->logged_ns && now - u->logged_ns < LOG_EACH_NS) return;
    u->logged_ns = now;
    nx_log_error("usage can't be written, it is kept in memory for now: %s", err->text);
}

static void commit_batch(nx_usage *u, node *batch)
{
    int64_t  n_done = 0, n_lost = 0;
    nx_error err;

    /* Where the rows are full even an empty table wouldn't take more in this round. */
    for (node *n = batch; n; n = n->next) {
        n_done++;
        if (gather(u, n)) continue;
        n->row.day = -1; /* marks it as lost */
        n_lost++;
    }
    bool      tried = u->n_rows > 0;
    nx_status st = save(u, &err);
    if (st) complain(u, &err);
    pthread_mutex_lock(&u->mutex);
    u->stats.n_waiting -= n_done;
    u->n_told += (uint64_t)n_done;
    pthread_cond_broadcast(&u->told);
    u->stats.n_lost += n_lost;
    u->stats.n_commits += tried && !st;
    u->stats.n_failures += st != NX_OK;
    pthread_mutex_unlock(&u->mutex);
    while (batch) {
        node *n = batch;
        batch = n->next;
        if (n->done) n->done(n->ctx, n->row.day < 0 ? NX_ELIMIT : st);
        nx_free(n);
    }
}

static void wait_for_retry(nx_usage *u)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += RETRY_S;
    pthread_cond_timedwait(&u->work, &u->mutex, &t);
}

/* All that waits, taken; NULL after a time to try again, or at the end. */
static node *take_batch(nx_usage *u, bool *stop)
{
    pthread_mutex_lock(&u->mutex);
    if (!u->head && !u->stop && u->n_rows) wait_for_retry(u);
    while (!u->head && !u->stop && !u->n_rows) pthread_cond_wait(&u->work, &u->mutex);
    node *batch = u->head;
    u->head = NULL;
    u->tail = &u->head;
    *stop = u->stop;
    pthread_mutex_unlock(&u->mutex);
    return batch;
}

static void *ledger(void *ctx)
{
    nx_usage *u = ctx;
    bool      stop = false;

    while (!stop) commit_batch(u, take_batch(u, &stop));
    if (u->n_rows) nx_log_error("usage of %zu rows could not be written and is lost", u->n_rows);
    return NULL;
}

/* ---- Opening and closing ---- */

static const char sql_add[] =
    "INSERT INTO usage VALUES(?,?,?,?,?,?,?) ON CONFLICT(day, key, model) DO UPDATE SET"
    " requests=requests+excluded.requests,"
    " prompt_tokens=prompt_tokens+excluded.prompt_tokens,"
    " generated_tokens=generated_tokens+excluded.generated_tokens,"
    " cached_tokens=cached_tokens+excluded.cached_tokens";

static const char sql_touch[] = "UPDATE keys SET last_used=?1 WHERE id=?2 AND last_used<?1";

static nx_status prepare(nx_usage *u, int64_t now_s, nx_error *err)
{
    nx_db_lock(u->db);
    nx_status st = read_today(u, now_s / DAY_S, err);
    if (!st) st = nx_db_prepare(&u->add_row, u->db, sql_add, err);
    if (!st) st = nx_db_prepare(&u->touch_key, u->db, sql_touch, err);
    nx_db_unlock(u->db);
    return st;
}

/* Signals are the main thread's business. */
static nx_status start_thread(nx_usage *u, nx_error *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&u->thread, NULL, ledger, u);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? nx_fail(err, NX_ENOMEM, "thread of usage: %s", strerror(rc)) : NX_OK;
}

static void destroy(nx_usage *u)
{
    nx_db_lock(u->db);
    sqlite3_finalize(u->add_row);
    sqlite3_finalize(u->touch_key);
    nx_db_unlock(u->db);
    for (size_t i = 0; i < u->today_of.cap; i++) nx_free(u->today_of.slots[i].value);
    nx_idmap_free(&u->today_of);
    nx_free(u->rows);
    pthread_cond_destroy(&u->work);
    pthread_cond_destroy(&u->told);
    pthread_mutex_destroy(&u->mutex);
    nx_free(u);
}

nx_status nx_usage_open(nx_usage **out, nx_db *db, int64_t now_s, nx_error *err)
{
    pthread_condattr_t attr;
    nx_usage          *u = nx_calloc(1, sizeof *u);
    nx_status          st = NX_OK;

    *out = NULL;
    if (!u) return nx_fail(err, NX_ENOMEM, "usage");
    u->db = db;
    u->tail = &u->head;
    pthread_mutex_init(&u->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&u->work, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&u->told, NULL);
    u->rows = nx_calloc(UNSAVED_MAX, sizeof *u->rows);
    if (!u->rows) st = nx_fail(err, NX_ENOMEM, "usage");
    if (!st) st = prepare(u, now_s, err);
    if (!st) st = start_thread(u, err);
    if (st)
        destroy(u);
    else
        *out = u;
    return st;
}

void nx_usage_close(nx_usage *u)
{
    if (!u) return;
    pthread_mutex_lock(&u->mutex);
    u->stop = true;
    pthread_cond_signal(&u->work);
    pthread_mutex_unlock(&u->mutex);
    pthread_join(u->thread, NULL);
    destroy(u);
}

void nx_usage_count(nx_usage *u, nx_usage_stats *out)
{
    pthread_mutex_lock(&u->mutex);
    *out = u->stats;
    pthread_mutex_unlock(&u->mutex);
}

/* ---- Asking ---- */

static nx_status read_row(nx_usage_row *r, nx_db *db, sqlite3_stmt *s, nx_error *err)
{
    int64_t *const counts[] = {&r->counts.requests, &r->counts.prompt_tokens,
                               &r->counts.generated_tokens, &r->counts.cached_tokens};
    nx_status      st = nx_db_int(&r->day, db, s, 0, INT64_MIN, INT64_MAX, err);

    if (!st) st = nx_db_text(r->key, sizeof r->key, db, s, 1, err);
    if (!st) st = nx_db_text(r->model, sizeof r->model, db, s, 2, err);
    for (int i = 0; !st && i < 4; i++) st = nx_db_int(counts[i], db, s, 3 + i, 0, INT64_MAX, err);
    return st;
}

static nx_status read_rows(nx_db *db, sqlite3_stmt *s, nx_usage_row **out, size_t *n, nx_error *err)
{
    size_t    cap = 0;
    bool      row = false;
    nx_status st = nx_db_step(db, s, &row, err);

    while (!st && row) {
        if (*n == NX_USAGE_ROWS_MAX)
            return nx_fail(err, NX_ELIMIT, "more than %d rows: ask for fewer days, or for one key",
                           NX_USAGE_ROWS_MAX);
        if (*n == cap) {
            cap = cap ? cap * 2 : 64;
            nx_usage_row *grown = nx_realloc(*out, cap, sizeof *grown);
            if (!grown) return nx_fail(err, NX_ENOMEM, "rows of usage");
            *out = grown;
        }
        st = read_row(*out + *n, db, s, err);
        ++*n;
        if (!st) st = nx_db_step(db, s, &row, err);
    }
    return st;
}

/* What was handed over by now is in the table, or was refused by the disk. */
static void wait_told(nx_usage *u)
{
    pthread_mutex_lock(&u->mutex);
    uint64_t target = u->n_added;
    while (u->n_told < target) pthread_cond_wait(&u->told, &u->mutex);
    pthread_mutex_unlock(&u->mutex);
}

nx_status nx_usage_query(nx_usage *u, nx_usage_row **out, size_t *n, int64_t from_day,
                         int64_t to_day, const char *key, nx_error *err)
{
    static const char sql[] =
        "SELECT * FROM usage WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR key=?3)"
        " ORDER BY day, key, model";
    sqlite3_stmt *s = NULL;

    *out = NULL;
    *n = 0;
    wait_told(u);
    nx_db_lock(u->db);
    nx_status st = nx_db_prepare(&s, u->db, sql, err);
    if (!st) {
        sqlite3_bind_int64(s, 1, from_day);
        sqlite3_bind_int64(s, 2, to_day);
        if (key) sqlite3_bind_text(s, 3, key, -1, SQLITE_STATIC);
        st = read_rows(u->db, s, out, n, err);
    }
    sqlite3_finalize(s);
    nx_db_unlock(u->db);
    if (!st && !*out && !(*out = nx_alloc(0, 0))) st = nx_fail(err, NX_ENOMEM, "rows of usage");
    if (!st) return NX_OK;
    nx_free(*out);
    *out = NULL;
    *n = 0;
    return st;
}
