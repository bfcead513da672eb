/* torture_store.c - a store is killed with -9 at random moments under writers and readers, again
 * and again.
 *
 * Protects: every request acknowledged with wait is there, and all that any reader saw; none is
 * there in part; the store opens within a second each time, at any size, and what it replays is
 * bounded by the limit of its log.
 *
 *   torture_store [-s SEED] [-n KILLS] [-p POINTS]
 *
 * KILLS also from NX_KILLS (20), POINTS, which lie there all the time, from NX_KILL_POINTS (20000).
 * First KILLS with small requests, and small segments of float16 that are merged all the time; then a tenth
 * of them with bodies of 500 points of 384 dimensions and the log as long as it gets.
 *
 * Each writer owns groups of points. A request writes all points of some groups with its own
 * number, or deletes them; the number is told to the parent (a pipe) after it was acknowledged. One
 * in four isn't waited for: it may be lost, but only with all after it. Readers tell what they saw.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "lib/backends.h"
#include "os/clock.h"
#include "os/dir.h"
#include "store/store.h"

enum {
    WRITERS = 3,
    READERS = 3,
    GROUPS_MAX = 400,
    DIM_MAX = 384,
    UNTOLD_MAX = 2, /* requests after one that was told: one not waited for, and one under way */
    KILLS_DEFAULT = 20,
    POINTS_DEFAULT = 20000,
    OPEN_NS_MAX = 1000000000,
};

#define BASE_ID ((uint64_t)1 << 40) /* of the points that lie there */

/* What requests are like. */
typedef struct shape {
    const char *name;
    int         groups, group_points, request_groups, dim, sleep_ms;
    uint64_t    head_bytes;
    nx_storage  storage;
} shape;

static const shape shapes[2] = {
    {"small requests", 400, 2, 4, 32, 160, 300000, NX_STORE_F16_SQ8},
    {"bodies of 500", 80, 500, 1, 384, 1500, 0, NX_STORE_SQ8},
};

typedef struct told {
    int32_t writer, number;
} told;

typedef struct life {
    const shape   *shape;
    nx_store      *store;
    nx_collection *c;
    int            pipe, first[WRITERS];
} life;

typedef struct task {
    life     *l;
    int       who;
    pthread_t thread;
} task;

typedef struct run {
    const shape *shape;
    char         dir[64];
    uint64_t     rng, n_base;
    int          last[WRITERS]; /* that was told, or found */
    int64_t      open_ns_max;
    uint64_t     log_bytes_max;
} run;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "torture_store: %s: %s\n", what, why);
    exit(1);
}

static uint64_t random_u64(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void open_life(life *l, const char *dir, bool background)
{
    nx_store_options opt = {.background = background, .head_bytes_max = l->shape->head_bytes};
    nx_config        config = {.n_slots = 1,
                               .slots = {{.form = NX_FORM_DENSE,
                                          .distance = NX_COSINE,
                                          .storage = l->shape->storage,
                                          .dim = l->shape->dim}}};
    nx_error         err = {0};

    if (nx_backends_distances(&opt.distances, &err)) die("kernels", err.text);
    if (nx_store_open(&l->store, dir, &opt, &err)) die("open", err.text);
    nx_status st = nx_store_create_collection(l->store, NX_STR("t"), &config, &err);
    if (st && st != NX_EBUSY) die("create", err.text);
    if (nx_store_find(&l->c, l->store, NX_STR("t"), &err)) die("find", err.text);
}

static void close_life(life *l)
{
    nx_collection_release(l->c);
    nx_store_close(l->store);
}

/* ---- Requests ---- */

static uint64_t id_of(const shape *s, int writer, int group, int i)
{
    return (uint64_t)(writer * 1000000 + group * s->group_points + i);
}

/* Which groups request `number` of a writer touches, and whether it deletes them: by the number
 * alone. */
static int groups_of(const shape *s, int writer, int number, int groups[4], bool *deletes)
{
    uint64_t rng = (uint64_t)(writer * 1000003 + number);
    int      n = 1 + (int)(random_u64(&rng) % (uint64_t)s->request_groups);

    *deletes = random_u64(&rng) % 5 == 0;
    for (int i = 0; i < n; i++) groups[i] = (int)(random_u64(&rng) % (uint64_t)s->groups);
    return n;
}

static void add_point(nx_writes *b, int dim, uint64_t id, int number)
{
    float  x[DIM_MAX];
    nx_buf payload = {.max = 4096};
    size_t mark;

    for (int i = 0; i < dim; i++) x[i] = (float)(((uint64_t)number + id + (uint64_t)i) % 17) - 8;
    nx_status st = nx_value_open(&payload, NX_VALUE_OBJECT, &mark, NULL);
    if (!st) st = nx_value_add_key(&payload, NX_STR("n"), NULL);
    if (!st) st = nx_value_add_int(&payload, number, NULL);
    if (st) die("payload", "no memory");
    nx_value_close(&payload, mark, 1);
    nx_vector v = {.form = NX_FORM_DENSE, .n = dim, .values = x};
    nx_point  p = {.id = nx_id_number(id),
                   .vectors = &v,
                   .n_vectors = 1,
                   .payload = {(const uint8_t *)payload.data, (uint32_t)payload.len}};
    nx_error  err;
    if (nx_writes_put(b, &p, NX_PUT, &err)) die("put", err.text);
    nx_buf_free(&payload);
}

static void add_base(const run *r, life *l)
{
    nx_error err;

    for (uint64_t i = 0; i < r->n_base;) {
        nx_writes *b = nx_writes_create(l->c);
        for (int k = 0; k < 1000 && i < r->n_base; k++, i++)
            add_point(b, r->shape->dim, BASE_ID + i, 0);
        if (nx_collection_write(l->c, b, false, NULL, &err)) die("write", err.text);
        nx_writes_destroy(b);
    }
    if (nx_collection_flush(l->c, &err)) die("flush", err.text);
}

/* ---- The child, until it is killed ---- */

static void tell(life *l, int writer, int number)
{
    told word = {writer, number};

    if (write(l->pipe, &word, sizeof word) != sizeof word) die("pipe", strerror(errno));
}

static void *write_on(void *ctx)
{
    task        *t = ctx;
    const shape *s = t->l->shape;

    for (int number = t->l->first[t->who];; number++) {
        int        groups[4];
        bool       deletes, wait = number % 4 != 0;
        int        n = groups_of(s, t->who, number, groups, &deletes);
        nx_writes *b = nx_writes_create(t->l->c);
        nx_error   err;
        for (int i = 0; i < n * s->group_points; i++) {
            uint64_t id = id_of(s, t->who, groups[i / s->group_points], i % s->group_points);
            if (!deletes)
                add_point(b, s->dim, id, number);
            else if (nx_writes_delete(b, nx_id_number(id), &err))
                die("delete", err.text);
        }
        if (nx_collection_write(t->l->c, b, wait, NULL, &err)) die("write", err.text);
        nx_writes_destroy(b);
        if (wait) tell(t->l, t->who, number);
    }
    return NULL;
}

/* The number in a point; 0 where it isn't. */
static int number_at(nx_snapshot *s, nx_point_copy *copy, uint64_t id)
{
    nx_error  err;
    nx_status st = nx_snapshot_get(s, copy, nx_id_number(id), &err);

    if (st && st != NX_ENOENT) die("get", err.text);
    return st ? 0 : (int)nx_value_int(nx_value_member(copy->point.payload, NX_STR("n")));
}

static void *read_on(void *ctx)
{
    task         *t = ctx;
    const shape  *s = t->l->shape;
    uint64_t      rng = (uint64_t)t->who;
    nx_point_copy copy = {0};

    for (;;) {
        float        q[DIM_MAX];
        nx_hit       hits[5];
        int32_t      n;
        nx_error     err;
        nx_snapshot *snap = nx_snapshot_take(t->l->c);
        nx_search    search = {.query = q, .k = 5};
        int          writer = (int)(random_u64(&rng) % WRITERS);
        int          group = (int)(random_u64(&rng) % (uint64_t)s->groups);
        for (int i = 0; i < s->dim; i++) q[i] = (float)(random_u64(&rng) % 9);
        if (nx_snapshot_search(snap, hits, &n, &search, NULL, &err)) die("search", err.text);
        int seen = number_at(snap, &copy, id_of(s, writer, group, 0));
        if (seen != number_at(snap, &copy, id_of(s, writer, group, s->group_points - 1)))
            die("read", "half a request is seen");
        nx_snapshot_release(snap);
        if (seen) tell(t->l, writer, seen);
    }
    return NULL;
}

static void live(life *l, const char *dir)
{
    task tasks[WRITERS + READERS];

    open_life(l, dir, true);
    for (int i = 0; i < WRITERS + READERS; i++) {
        tasks[i] = (task){.l = l, .who = i < WRITERS ? i : i - WRITERS};
        if (pthread_create(&tasks[i].thread, NULL, i < WRITERS ? write_on : read_on, &tasks[i]))
            die("thread", "can't be started");
    }
    for (;;) pause();
}

/* ---- The parent ---- */

/* What must be there when all requests up to `last` happened: the number in each group, 0 for
 * none. */
static void replay(const shape *s, int writer, int last, int state[GROUPS_MAX])
{
    memset(state, 0, GROUPS_MAX * sizeof *state);
    for (int number = 1; number <= last; number++) {
        int  groups[4];
        bool deletes;
        int  n = groups_of(s, writer, number, groups, &deletes);
        for (int i = 0; i < n; i++) state[groups[i]] = deletes ? 0 : number;
    }
}

static void read_state(nx_snapshot *snap, const shape *s, int writer, int state[GROUPS_MAX])
{
    nx_point_copy copy = {0};

    memset(state, 0, GROUPS_MAX * sizeof *state);
    for (int g = 0; g < s->groups; g++) {
        for (int i = 0; i < s->group_points; i++) {
            int number = number_at(snap, &copy, id_of(s, writer, g, i));
            if (i && state[g] != number) die("after a kill", "half a request is there");
            state[g] = number;
        }
    }
    nx_point_copy_free(&copy);
}

/* All up to the last one told is there; and perhaps those after it, in order. Returns the last one
 * that is; adds the points that it should have. */
static int check_writer(nx_snapshot *snap, const shape *s, int writer, int acked, uint64_t *n)
{
    int got[GROUPS_MAX], want[GROUPS_MAX];

    read_state(snap, s, writer, got);
    for (int g = 0; g < s->groups; g++) *n += got[g] ? (uint64_t)s->group_points : 0;
    for (int last = acked; last <= acked + UNTOLD_MAX; last++) {
        replay(s, writer, last, want);
        if (memcmp(got, want, sizeof got) == 0) return last;
    }
    die("after a kill", "an acknowledged request is lost");
    return 0;
}

static void check_run(run *r)
{
    life                l = {.shape = r->shape};
    nx_collection_stats stats;
    uint64_t            n = r->n_base;
    int64_t             from = nx_clock_ns();

    open_life(&l, r->dir, false);
    int64_t took = nx_clock_ns() - from;
    if (took > r->open_ns_max) r->open_ns_max = took;
    nx_collection_read_stats(l.c, &stats);
    if (stats.log_bytes > r->log_bytes_max) r->log_bytes_max = stats.log_bytes;
    nx_snapshot *s = nx_snapshot_take(l.c);
    for (int w = 0; w < WRITERS; w++) r->last[w] = check_writer(s, r->shape, w, r->last[w], &n);
    if (nx_snapshot_count(s) != n) die("after a kill", "points are there that nobody wrote");
    nx_snapshot_release(s);
    close_life(&l);
}

/* Until then, or until the pipe's other end is gone. */
static void listen_until(run *r, int pipe, int64_t until_ns)
{
    told word;

    for (;;) {
        int64_t       left = until_ns - nx_clock_ns();
        struct pollfd p = {.fd = pipe, .events = POLLIN};
        if (left <= 0) return;
        int n = poll(&p, 1, left > 1000000000 ? 1000 : (int)(left / 1000000) + 1);
        if (n == 0) continue;
        if (read(pipe, &word, sizeof word) != (ssize_t)sizeof word) return;
        if (word.number > r->last[word.writer]) r->last[word.writer] = word.number;
    }
}

static void one_kill(run *r)
{
    int  ends[2], status;
    life l = {.shape = r->shape};
    long us = 1000 + (long)(random_u64(&r->rng) % ((uint64_t)r->shape->sleep_ms * 1000));

    if (pipe(ends)) die("pipe", strerror(errno));
    for (int i = 0; i < WRITERS; i++) l.first[i] = r->last[i] + 1;
    l.pipe = ends[1];
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) die("fork", strerror(errno));
    if (child == 0) {
        close(ends[0]);
        live(&l, r->dir);
    }
    close(ends[1]);
    listen_until(r, ends[0], nx_clock_ns() + us * 1000);
    kill(child, SIGKILL);
    listen_until(r, ends[0], INT64_MAX);
    close(ends[0]);
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) die("child", "ended by itself");
    check_run(r);
}

static int setting(const char *name, int otherwise)
{
    const char *s = getenv(name);

    return s && atoi(s) > 0 ? atoi(s) : otherwise;
}

static void run_shape(const shape *s, int n, uint64_t seed, int n_base)
{
    run r = {.shape = s, .rng = seed, .n_base = (uint64_t)n_base};

    strcpy(r.dir, "/tmp/nexus-torture-XXXXXX");
    if (!mkdtemp(r.dir)) die(r.dir, strerror(errno));
    life l = {.shape = s};
    open_life(&l, r.dir, false);
    add_base(&r, &l);
    close_life(&l);
    for (int i = 0; i < n; i++) one_kill(&r);
    printf("%s: %d kills over %d points, %d + %d + %d requests there; opened in %.1f ms at most, "
           "with a log of up to %.1f MB\n",
           s->name, n, n_base, r.last[0], r.last[1], r.last[2], (double)r.open_ns_max / 1e6,
           (double)r.log_bytes_max / 1e6);
    fflush(stdout);
    nx_dir_remove_all(r.dir, NULL);
    if (r.open_ns_max > OPEN_NS_MAX) die("open", "took more than a second");
    uint64_t head = s->head_bytes ? s->head_bytes : (uint64_t)32 << 20;
    if (r.log_bytes_max > 3 * head) die("open", "the log is longer than its limit");
}

int main(int argc, char **argv)
{
    int      n = setting("NX_KILLS", KILLS_DEFAULT), opt;
    int      n_base = setting("NX_KILL_POINTS", POINTS_DEFAULT);
    uint64_t seed = 1;

    while ((opt = getopt(argc, argv, "s:n:p:")) != -1) {
        switch (opt) {
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'n': n = atoi(optarg); break;
        case 'p': n_base = atoi(optarg); break;
        default: return 2;
        }
    }
    nx_log_setup(&(nx_log_options){.level = NX_LOG_WARN, .fd = 2});
    run_shape(&shapes[0], n, seed, n_base);
    run_shape(&shapes[1], (n + 9) / 10, seed, n_base / 10);
    return 0;
}
