/* Protects: what was said to be on the disk is there after kill -9, to the last request, and nothing is
 * counted twice; a disk that refuses is told at once and forgotten by nobody; quotas say when to come
 * back. NX_TORTURE_COUNT: rounds of killing (50). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/random.h"
#include "server/quota.h"

#define DAY 20000
#define NOW (DAY * (int64_t)86400 + 3600)

typedef struct world {
    char       top[64];
    nx_datadir dir;
    nx_db     *db;
    nx_usage  *usage;
    nx_error   err;
} world;

static nx_status world_try(world *w)
{
    nx_status st = nx_datadir_open(&w->dir, w->top, &w->err);

    if (!st) st = nx_db_open(&w->db, w->dir.db, &w->err);
    if (!st) st = nx_usage_open(&w->usage, w->db, NOW, &w->err);
    return st;
}

static void world_open(world *w)
{
    if (world_try(w)) fail_msg("%s", w->err.text);
}

static void world_shut(world *w)
{
    nx_usage_close(w->usage);
    nx_db_close(w->db);
    nx_datadir_close(&w->dir);
    w->usage = NULL;
    w->db = NULL;
}

static int setup(void **state)
{
    world *w = nx_calloc(1, sizeof *w);

    snprintf(w->top, sizeof w->top, "/tmp/nx_test_usage_XXXXXX");
    if (!mkdtemp(w->top)) return -1;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;

    world_shut(w);
    nx_dir_remove_all(w->top, NULL);
    nx_free(w);
    return 0;
}

/* ---- Waiting for one's own entry ---- */

typedef struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t  cond;
    int             n_done;
    nx_status       st;
} waiter;

static void waiter_done(void *ctx, nx_status st)
{
    waiter *w = ctx;

    pthread_mutex_lock(&w->mutex);
    w->n_done++;
    w->st = st;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static nx_status waiter_wait(waiter *w, int n)
{
    pthread_mutex_lock(&w->mutex);
    while (w->n_done < n) pthread_cond_wait(&w->cond, &w->mutex);
    nx_status st = w->st;
    pthread_mutex_unlock(&w->mutex);
    return st;
}

#define WAITER                                                                                     \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER                       \
    }

static nx_usage_entry entry(const char *key, const char *model, int64_t prompt, int64_t generated)
{
    return (nx_usage_entry){key, model, {1, prompt, generated, 0}, NOW};
}

static nx_status add_and_wait(nx_usage *u, const nx_usage_entry *e)
{
    waiter w = WAITER;

    nx_usage_add(u, e, waiter_done, &w);
    return waiter_wait(&w, 1);
}

static int64_t requests_on_disk(world *w, const char *key)
{
    nx_usage_row *rows;
    size_t        n;
    int64_t       sum = 0;

    if (nx_usage_query(w->usage, &rows, &n, 0, INT32_MAX, key, &w->err))
        fail_msg("%s", w->err.text);
    for (size_t i = 0; i < n; i++) {
        sum += rows[i].counts.requests;
        assert_int_equal(rows[i].counts.prompt_tokens, 3 * rows[i].counts.requests);
    }
    nx_free(rows);
    return sum;
}

/* ---- The ledger ---- */

static void rows_add_up(void **state)
{
    world         *w = *state;
    nx_usage_row  *rows;
    nx_usage_entry e = entry("abcdefgh", "m1", 10, 5);
    size_t         n;

    world_open(w);
    assert_int_equal(nx_usage_query(w->usage, &rows, &n, 0, INT32_MAX, NULL, NULL), NX_OK);
    assert_int_equal(n, 0);
    nx_free(rows);
    e.counts.cached_tokens = 8;
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    e.model = "m2";
    nx_usage_add(w->usage, &e, NULL, NULL);
    e.key = NULL;
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    e.unix_s += 86400;
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(nx_usage_query(w->usage, &rows, &n, 0, INT32_MAX, NULL, NULL), NX_OK);
        assert_int_equal(n, 4);
        assert_string_equal(rows[0].key, "");
        assert_string_equal(rows[1].key, "abcdefgh");
        assert_string_equal(rows[1].model, "m1");
        assert_int_equal(rows[1].counts.requests, 2);
        assert_int_equal(rows[1].counts.prompt_tokens, 20);
        assert_int_equal(rows[1].counts.generated_tokens, 10);
        assert_int_equal(rows[1].counts.cached_tokens, 16);
        assert_int_equal(rows[3].day, DAY + 1);
        nx_free(rows);
        assert_int_equal(nx_usage_query(w->usage, &rows, &n, DAY, DAY, "abcdefgh", NULL), NX_OK);
        assert_int_equal(n, 2);
        nx_free(rows);
        assert_int_equal(nx_usage_today(w->usage, "abcdefgh", NOW), 45);
        assert_int_equal(nx_usage_today(w->usage, "abcdefgh", NOW + 86400), 0);
        assert_int_equal(nx_usage_today(w->usage, "nobody", NOW), 0);
        world_shut(w);
        world_open(w);
    }
}

static void odd_entries(void **state)
{
    world         *w = *state;
    nx_usage_row  *rows;
    size_t         n;
    char           longer[600];
    nx_usage_entry e = {"a key that is too long", longer, {-1, INT64_MAX, -5, 0}, -1};

    world_open(w);
    memset(longer, 'x', sizeof longer);
    memcpy(longer + 254, "\xc3\xab", 2); /* the cut would fall into a character */
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    assert_int_equal(nx_usage_query(w->usage, &rows, &n, 0, INT32_MAX, NULL, NULL), NX_OK);
    assert_int_equal(n, 1);
    assert_int_equal(strlen(rows[0].model), 254);
    assert_string_equal(rows[0].key, "a key th");
    assert_int_equal(rows[0].counts.requests, 0);
    assert_int_equal(rows[0].counts.generated_tokens, 0);
    nx_free(rows);
}

static void closing_writes_what_waits(void **state)
{
    world         *w = *state;
    nx_usage_entry e = entry("", "m", 3, 1);
    waiter         wait = WAITER;

    world_open(w);
    for (int i = 0; i < 500; i++) nx_usage_add(w->usage, &e, waiter_done, &wait);
    world_shut(w);
    assert_int_equal(wait.n_done, 500);
    assert_int_equal(wait.st, NX_OK);
    world_open(w);
    assert_int_equal(requests_on_disk(w, ""), 500);
}

/* The disk refuses: each one is told, no one waits; when it takes again, all is there, once. */
static void failing_disk(void **state)
{
    world         *w = *state;
    nx_usage_entry e = entry("", "m", 3, 1);
    nx_usage_stats stats;

    world_open(w);
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    nx_db_lock(w->db);
    assert_int_equal(nx_db_exec(w->db, "PRAGMA query_only=1", NULL), NX_OK);
    nx_db_unlock(w->db);
    for (int i = 0; i < 5; i++) assert_int_equal(add_and_wait(w->usage, &e), NX_EIO);
    nx_usage_count(w->usage, &stats);
    assert_true(stats.n_failures >= 5);
    assert_int_equal(stats.n_lost, 0);
    assert_int_equal(requests_on_disk(w, ""), 1);
    nx_db_lock(w->db);
    assert_int_equal(nx_db_exec(w->db, "PRAGMA query_only=0", NULL), NX_OK);
    nx_db_unlock(w->db);
    for (int i = 0; i < 400 && requests_on_disk(w, "") < 6; i++) usleep(10000); /* tries again */
    assert_int_equal(requests_on_disk(w, ""), 6);
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    assert_int_equal(requests_on_disk(w, ""), 7);
}

/* A disk that is full in the middle of a write, by a limit on the size of files. */
static void full_disk(void **state)
{
    world         *w = *state;
    nx_usage_entry e = entry("", "m", 3, 1);
    struct rlimit  before, small;
    nx_status      st[4];

    world_open(w);
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (rlim_t bytes = 1; bytes <= 16384; bytes *= 4) { /* in the journal, in the file */
        small = before;
        small.rlim_cur = bytes;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (int i = 0; i < 4; i++) st[i] = add_and_wait(w->usage, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        for (int i = 0; i < 4; i++) assert_true(st[i] == NX_EIO || bytes > 4096);
        assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    }
    assert_int_equal(requests_on_disk(w, ""), 1 + 8 * 5);
    world_shut(w);
    world_open(w);
    assert_int_equal(requests_on_disk(w, ""), 1 + 8 * 5);
}

static void out_of_memory(void **state)
{
    world         *w = *state;
    nx_usage_entry e = entry("abcdefgh", "m", 3, 1);

    world_open(w);
    for (int n = 0; n < 3; n++) { /* the entry, today's count, its table */
        waiter wait = WAITER;
        nx_alloc_fail_after(n);
        nx_usage_add(w->usage, &e, waiter_done, &wait);
        nx_alloc_fail_after(-1);
        assert_int_equal(waiter_wait(&wait, 1), NX_ENOMEM);
    }
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    assert_int_equal(requests_on_disk(w, NULL), 1);
}

static void no_memory_to_open_with(void **state)
{
    world    *w = *state;
    int64_t   i = 0;
    nx_status st;

    world_open(w);
    nx_usage_entry e = entry("abcdefgh", "m", 3, 1);
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    do {
        world_shut(w);
        nx_alloc_fail_after(i++);
        st = world_try(w);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
    } while (st);
    assert_true(i > 4);
    assert_int_equal(nx_usage_today(w->usage, "abcdefgh", NOW), 4);
}

static void last_use_of_a_key(void **state)
{
    world         *w = *state;
    nx_keys       *keys;
    nx_key_options opt;
    nx_key_record  r, *all;
    char           text[NX_KEY_TEXT_CAP];
    size_t         n;

    world_open(w);
    assert_int_equal(nx_keys_open(&keys, &w->dir, w->db, NULL), NX_OK);
    nx_key_options_default(&opt);
    assert_int_equal(nx_keys_create(keys, &opt, NOW - 5, text, &r, NULL), NX_OK);
    nx_usage_entry e = entry(r.id, "m", 3, 1);
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    nx_keys_close(keys);
    assert_int_equal(nx_keys_open(&keys, &w->dir, w->db, NULL), NX_OK);
    assert_int_equal(nx_keys_list(keys, &all, &n, NULL), NX_OK);
    assert_int_equal(all[0].last_used, NOW);
    nx_free(all);
    nx_keys_close(keys);
}

/* ---- Many at once ---- */

#define THREADS 64

typedef struct client {
    nx_usage *usage;
    int       n_adds;
    int64_t   ns_max, ns_sum;
} client;

static void *client_run(void *ctx)
{
    client        *c = ctx;
    nx_usage_entry e = entry("abcdefgh", "m", 3, 1);

    for (int i = 0; i < c->n_adds; i++) {
        int64_t before = nx_clock_ns();
        if (add_and_wait(c->usage, &e)) abort();
        int64_t took = nx_clock_ns() - before;
        c->ns_sum += took;
        if (took > c->ns_max) c->ns_max = took;
    }
    return NULL;
}

static void many_in_flight(void **state)
{
    world         *w = *state;
    static client  c[THREADS];
    pthread_t      threads[THREADS];
    const char    *count = getenv("NX_USAGE_ADDS");
    int            n_adds = count ? atoi(count) : 20;
    int64_t        ns = 0, ns_max = 0;
    nx_usage_stats stats;

    world_open(w);
    int64_t begun = nx_clock_ns();
    for (int i = 0; i < THREADS; i++) {
        c[i] = (client){w->usage, n_adds, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, client_run, &c[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ns += c[i].ns_sum;
        if (c[i].ns_max > ns_max) ns_max = c[i].ns_max;
    }
    double s = (double)(nx_clock_ns() - begun) / 1e9, n = THREADS * n_adds;
    nx_usage_count(w->usage, &stats);
    print_message("%.0f adds of %d threads in %.2f s: %.0f adds/s, %.1f a commit, commit %.2f ms, "
                  "add to done %.2f ms mean, %.2f ms worst\n",
                  n, THREADS, s, n / s, n / (double)stats.n_commits,
                  s * 1e3 / (double)stats.n_commits, (double)ns / n / 1e6, (double)ns_max / 1e6);
    assert_int_equal(stats.n_waiting, 0);
    assert_int_equal(requests_on_disk(w, "abcdefgh"), THREADS * n_adds);
    assert_int_equal(nx_usage_today(w->usage, "abcdefgh", NOW), (int64_t)THREADS * n_adds * 4);
}

/* Admin work shares the connection with the ledger: nobody waits for ever, nobody is told "busy". */
static void keys_are_made_meanwhile(void **state)
{
    enum { N = 8, ADDS = 20 };
    world         *w = *state;
    client         c[N];
    pthread_t      threads[N];
    nx_keys       *keys;
    nx_key_options opt;
    nx_key_record  r;
    char           text[NX_KEY_TEXT_CAP];

    world_open(w);
    assert_int_equal(nx_keys_open(&keys, &w->dir, w->db, NULL), NX_OK);
    nx_key_options_default(&opt);
    for (int i = 0; i < N; i++) {
        c[i] = (client){w->usage, ADDS, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, client_run, &c[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        if (nx_keys_create(keys, &opt, NOW, text, &r, &w->err)) fail_msg("%s", w->err.text);
        if (i % 2 && nx_keys_revoke(keys, r.id, NOW, NULL, &w->err)) fail_msg("%s", w->err.text);
        assert_true(requests_on_disk(w, NULL) <= (int64_t)N * ADDS);
    }
    for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
    assert_int_equal(requests_on_disk(w, NULL), N * ADDS);
    nx_keys_close(keys);
}

/* Nobody waits for these; whoever looks still sees all that came before. */
static void query_sees_what_was_added(void **state)
{
    world         *w = *state;
    nx_usage_entry e = entry(NULL, "m", 3, 1);

    world_open(w);
    for (int i = 1; i <= 200; i++) {
        nx_usage_add(w->usage, &e, NULL, NULL);
        assert_int_equal(requests_on_disk(w, ""), i);
    }
}

/* ---- kill -9 ---- */

#define IN_FLIGHT 16

static void tell(void *ctx, nx_status st)
{
    const int *fd = ctx;

    if (st || write(*fd, "+", 1) != 1) _exit(3);
}

static void *add_for_ever(void *ctx)
{
    const client  *c = ctx;
    nx_usage_entry e = entry("abcdefgh", "m", 3, 1);

    for (;;)
        if (add_and_wait(c->usage, &e)) _exit(4);
    return NULL;
}

/* Threads that wait for their entries, and one that floods: its "+" on fd say what is done. */
static void child_run(world *w, int fd)
{
    client         c = {.n_adds = 0};
    nx_usage_entry e = entry("", "m", 3, 1);

    if (world_try(w)) _exit(2);
    c.usage = w->usage;
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, add_for_ever, &c)) _exit(5);
    }
    for (;;) {
        nx_usage_stats stats;
        nx_usage_count(w->usage, &stats);
        if (stats.n_waiting < IN_FLIGHT)
            nx_usage_add(w->usage, &e, tell, &fd);
        else
            usleep(100);
    }
}

static int64_t drain(int fd)
{
    char    bytes[4096];
    ssize_t n;
    int64_t sum = 0;

    while ((n = read(fd, bytes, sizeof bytes)) > 0) sum += n;
    return sum;
}

static void killed_at_any_moment(void **state)
{
    world      *w = *state;
    const char *count = getenv("NX_TORTURE_COUNT");
    int         n_rounds = count ? atoi(count) : 50;
    int64_t     before = 0, told_all = 0;

    for (int i = 0; i < n_rounds; i++) {
        int ends[2], status;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) child_run(w, ends[1]);
        assert_true(child > 0);
        close(ends[1]);
        struct pollfd p = {ends[0], POLLIN, 0};
        if (i % 5) poll(&p, 1, 10000); /* the first one is done; or at any time, while opening */
        usleep((useconds_t)(nx_random_seed() % 30000));
        assert_int_equal(kill(child, SIGKILL), 0);
        int64_t told = drain(ends[0]);
        waitpid(child, &status, 0);
        close(ends[0]);
        if (!WIFSIGNALED(status)) fail_msg("round %d: the child ended by itself", i);
        world_open(w);
        int64_t now = requests_on_disk(w, "");
        world_shut(w);
        /* What was told is there; of what wasn't, at most what one batch and its callbacks held. */
        if (now < before + told || now > before + told + IN_FLIGHT)
            fail_msg("round %d: %lld before, %lld told, %lld on the disk", i, (long long)before,
                     (long long)told, (long long)now);
        before = now;
        told_all += told;
    }
    print_message("%d rounds, %lld told\n", n_rounds, (long long)told_all);
}

/* ---- Quotas ---- */

static void requests_per_minute(void **state)
{
    world          *w = *state;
    nx_quota       *q;
    nx_quota_answer a;
    nx_key_record   key = {.id = "abcdefgh", .requests_per_minute = 30}, other = {.id = "other111"};
    int64_t         t = 1000000000000, second = 1000000000;

    world_open(w);
    assert_int_equal(nx_quota_create(&q, w->usage, NULL), NX_OK);
    for (int i = 0; i < 30; i++) {
        assert_true(nx_quota_take(q, &key, t, NOW, &a));
        assert_int_equal(a.left, 29 - i);
    }
    assert_false(nx_quota_take(q, &key, t, NOW, &a));
    assert_int_equal(a.why, NX_QUOTA_REQUESTS);
    assert_int_equal(a.retry_after_s, 2);
    assert_int_equal(a.limit, 30);
    assert_true(nx_quota_take(q, &other, t, NOW, &a)); /* no limit, and not the other's */
    assert_int_equal(a.left, -1);
    assert_false(nx_quota_take(q, &key, t + second, NOW, &a));
    assert_int_equal(a.retry_after_s, 1);
    assert_true(nx_quota_take(q, &key, t + 2 * second, NOW, &a)); /* as it was told */
    assert_false(nx_quota_take(q, &key, t + 2 * second, NOW, &a));
    for (int i = 0; i < 30; i++) assert_true(nx_quota_take(q, &key, t + 200 * second, NOW, &a));
    assert_false(nx_quota_take(q, &key, t + 200 * second, NOW, &a));
    strcpy(key.id, "once1111");
    key.requests_per_minute = 1;
    assert_true(nx_quota_take(q, &key, t, NOW, &a));
    assert_false(nx_quota_take(q, &key, t + second, NOW, &a));
    assert_int_equal(a.retry_after_s, 59);
    nx_quota_destroy(q);
}

static void tokens_per_day(void **state)
{
    world          *w = *state;
    nx_quota       *q;
    nx_quota_answer a;
    nx_key_record   key = {.id = "abcdefgh", .tokens_per_day = 100};
    nx_usage_entry  e = entry("abcdefgh", "m", 60, 39);

    world_open(w);
    assert_int_equal(nx_quota_create(&q, w->usage, NULL), NX_OK);
    assert_int_equal(add_and_wait(w->usage, &e), NX_OK);
    assert_true(nx_quota_take(q, &key, 0, NOW, &a));
    nx_usage_add(w->usage, &e, NULL, NULL); /* counts before it is on the disk */
    assert_false(nx_quota_take(q, &key, 0, NOW, &a));
    assert_int_equal(a.why, NX_QUOTA_TOKENS);
    assert_int_equal(a.retry_after_s, 86400 - 3600);
    assert_int_equal(a.limit, 100);
    nx_quota_destroy(q);
    world_shut(w);
    world_open(w);
    assert_int_equal(nx_quota_create(&q, w->usage, NULL), NX_OK);
    assert_false(nx_quota_take(q, &key, 0, NOW, &a)); /* a restart forgives nothing */
    assert_true(nx_quota_take(q, &key, 0, NOW + a.retry_after_s, &a));
    nx_quota_destroy(q);
}

typedef struct taker {
    nx_quota            *q;
    const nx_key_record *key;
    int                  n_ok;
} taker;

static void *take_many(void *ctx)
{
    taker          *t = ctx;
    nx_quota_answer a;

    for (int i = 0; i < 200; i++) t->n_ok += nx_quota_take(t->q, t->key, 5000, NOW, &a);
    return NULL;
}

static void quota_of_many_threads(void **state)
{
    world        *w = *state;
    nx_quota     *q;
    nx_key_record key = {.id = "abcdefgh", .requests_per_minute = 100};
    pthread_t     threads[8];
    taker         t[8];
    int           n_ok = 0;

    world_open(w);
    assert_int_equal(nx_quota_create(&q, w->usage, NULL), NX_OK);
    for (int i = 0; i < 8; i++) {
        t[i] = (taker){q, &key, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, &t[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        n_ok += t[i].n_ok;
    }
    assert_int_equal(n_ok, 100);
    nx_quota_destroy(q);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(rows_add_up),
        T(query_sees_what_was_added),
        T(odd_entries),
        T(closing_writes_what_waits),
        T(failing_disk),
        T(full_disk),
        T(out_of_memory),
        T(no_memory_to_open_with),
        T(last_use_of_a_key),
        T(many_in_flight),
        T(keys_are_made_meanwhile),
        T(killed_at_any_moment),
        T(requests_per_minute),
        T(tokens_per_day),
        T(quota_of_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
