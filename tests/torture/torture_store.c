/* torture_store.c - a store is killed with -9 at random moments under writers and readers, again
 * and again.
 *
 * Protects: every request acknowledged with wait is there, whole, and none is there in part; the
 * store opens within a second each time.
 *
 *   torture_store [-s SEED] [-n COUNT]      COUNT kills, also from NX_TORTURE_COUNT (40)
 *
 * Each writer owns PAIRS pairs of points. A request writes both points of some pairs with its own
 * number, or deletes them; the number is told to the parent (a pipe) after it was acknowledged.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/backends.h"
#include "os/clock.h"
#include "os/dir.h"
#include "store/store.h"

enum {
    WRITERS = 3,
    READERS = 2,
    PAIRS = 400,
    DIM = 32,
    COUNT_DEFAULT = 40,
    OPEN_NS_MAX = 1000000000
};

typedef struct told {
    int32_t writer, number;
} told;

typedef struct life {
    nx_store      *store;
    nx_collection *c;
    int            pipe, first[WRITERS];
    uint64_t       seed;
} life;

typedef struct task {
    life     *l;
    int       who;
    pthread_t thread;
} task;

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
    nx_store_options opt = {.background = background, .head_bytes_max = 300000};
    nx_config        config = {
               .n_slots = 1,
               .slots = {
            {.form = NX_FORM_DENSE, .distance = NX_COSINE, .storage = NX_STORE_SQ8, .dim = DIM}}};
    nx_error err = {0};

    if (nx_backends_distances(&opt.distances, &err)) die("kernels", err.text);
    if (nx_store_open(&l->store, dir, &opt, &err)) die("open", err.text);
    nx_status st = nx_store_create_collection(l->store, NX_STR("t"), &config, &err);
    if (st && st != NX_EBUSY) die("create", err.text);
    if (nx_store_find(&l->c, l->store, NX_STR("t"), &err)) die("find", err.text);
}

static uint64_t id_of(int writer, int pair, int half)
{
    return (uint64_t)(writer * 100000 + pair * 2 + half);
}

/* Which pairs request `number` of a writer touches, and whether it deletes them: by the number
 * alone. */
static int pairs_of(int writer, int number, int pairs[4], bool *deletes)
{
    uint64_t rng = (uint64_t)(writer * 1000003 + number);
    int      n = 1 + (int)(random_u64(&rng) % 4);

    *deletes = random_u64(&rng) % 5 == 0;
    for (int i = 0; i < n; i++) pairs[i] = (int)(random_u64(&rng) % PAIRS);
    return n;
}

static void add_point(nx_writes *b, uint64_t id, int number)
{
    float  x[DIM];
    nx_buf payload = {.max = 4096};
    size_t mark;

    for (int i = 0; i < DIM; i++) x[i] = (float)((number + i) % 17) - 8;
    nx_status st = nx_value_open(&payload, NX_VALUE_OBJECT, &mark, NULL);
    if (!st) st = nx_value_add_key(&payload, NX_STR("n"), NULL);
    if (!st) st = nx_value_add_int(&payload, number, NULL);
    if (st) die("payload", "no memory");
    nx_value_close(&payload, mark, 1);
    nx_vector v = {.form = NX_FORM_DENSE, .n = DIM, .values = x};
    nx_point  p = {.id = nx_id_number(id),
                   .vectors = &v,
                   .n_vectors = 1,
                   .payload = {(const uint8_t *)payload.data, (uint32_t)payload.len}};
    nx_error  err;
    if (nx_writes_put(b, &p, NX_PUT, &err)) die("put", err.text);
    nx_buf_free(&payload);
}

static void *write_on(void *ctx)
{
    task *t = ctx;

    for (int number = t->l->first[t->who];; number++) {
        int        pairs[4];
        bool       deletes;
        int        n = pairs_of(t->who, number, pairs, &deletes);
        nx_writes *b = nx_writes_create(t->l->c);
        nx_error   err;
        for (int i = 0; i < 2 * n; i++) {
            uint64_t id = id_of(t->who, pairs[i / 2], i % 2);
            if (!deletes)
                add_point(b, id, number);
            else if (nx_writes_delete(b, nx_id_number(id), &err))
                die("delete", err.text);
        }
        if (nx_collection_write(t->l->c, b, true, NULL, &err)) die("write", err.text);
        nx_writes_destroy(b);
        told word = {t->who, number};
        if (write(t->l->pipe, &word, sizeof word) != sizeof word) die("pipe", strerror(errno));
    }
    return NULL;
}

static void *read_on(void *ctx)
{
    task    *t = ctx;
    uint64_t rng = (uint64_t)t->who;

    for (;;) {
        float        q[DIM];
        nx_hit       hits[5];
        int32_t      n;
        nx_error     err;
        nx_snapshot *s = nx_snapshot_take(t->l->c);
        nx_search    search = {.query = q, .k = 5};
        for (int i = 0; i < DIM; i++) q[i] = (float)(random_u64(&rng) % 9);
        if (nx_snapshot_search(s, hits, &n, &search, NULL, &err)) die("search", err.text);
        nx_snapshot_release(s);
    }
    return NULL;
}

/* The child's life: until it is killed. */
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

/* What must be there when all requests up to `last` happened: the number in each pair, 0 for
 * none. */
static void replay(int writer, int last, int state[PAIRS])
{
    memset(state, 0, PAIRS * sizeof *state);
    for (int number = 1; number <= last; number++) {
        int  pairs[4];
        bool deletes;
        int  n = pairs_of(writer, number, pairs, &deletes);
        for (int i = 0; i < n; i++) state[pairs[i]] = deletes ? 0 : number;
    }
}

static void read_state(nx_snapshot *s, int writer, int state[PAIRS])
{
    nx_point_copy copy = {0};

    for (int i = 0; i < 2 * PAIRS; i++) {
        nx_error  err;
        int       number = 0;
        nx_status st = nx_snapshot_get(s, &copy, nx_id_number(id_of(writer, i / 2, i % 2)), &err);
        if (st && st != NX_ENOENT) die("get", err.text);
        if (!st) number = (int)nx_value_int(nx_value_member(copy.point.payload, NX_STR("n")));
        if (i % 2 && state[i / 2] != number) die("after a kill", "half a request is there");
        state[i / 2] = number;
    }
    nx_point_copy_free(&copy);
}

/* The last acknowledged request is there; at most the one that was under way as well. */
static int check_writer(nx_snapshot *s, int writer, int acked)
{
    int got[PAIRS], want[PAIRS];

    read_state(s, writer, got);
    for (int last = acked; last <= acked + 1; last++) {
        replay(writer, last, want);
        if (memcmp(got, want, sizeof got) == 0) return last;
    }
    die("after a kill", "an acknowledged request is lost");
    return 0;
}

static void one_kill(const char *dir, int last[WRITERS], uint64_t *rng, int64_t *open_ns_max)
{
    int  ends[2];
    life l = {0};
    told word;

    if (pipe(ends)) die("pipe", strerror(errno));
    for (int i = 0; i < WRITERS; i++) l.first[i] = last[i] + 1;
    l.pipe = ends[1];
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) die("fork", strerror(errno));
    if (child == 0) {
        close(ends[0]);
        live(&l, dir);
    }
    close(ends[1]);
    nanosleep(&(struct timespec){.tv_nsec = (long)(20000000 + random_u64(rng) % 180000000)}, NULL);
    kill(child, SIGKILL);
    while (read(ends[0], &word, sizeof word) == (ssize_t)sizeof word)
        last[word.writer] = word.number;
    close(ends[0]);
    int status;
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) die("child", "ended by itself");

    int64_t from = nx_clock_ns();
    open_life(&l, dir, false);
    int64_t took = nx_clock_ns() - from;
    if (took > *open_ns_max) *open_ns_max = took;
    nx_snapshot *s = nx_snapshot_take(l.c);
    for (int w = 0; w < WRITERS; w++) last[w] = check_writer(s, w, last[w]);
    nx_snapshot_release(s);
    nx_collection_release(l.c);
    nx_store_close(l.store);
}

int main(int argc, char **argv)
{
    const char *count = getenv("NX_TORTURE_COUNT");
    int      n = count && atoi(count) > 0 ? atoi(count) : COUNT_DEFAULT, last[WRITERS] = {0}, opt;
    uint64_t seed = 1;
    int64_t  open_ns_max = 0;
    char     dir[] = "/tmp/nexus-torture-XXXXXX";

    while ((opt = getopt(argc, argv, "s:n:")) != -1) {
        if (opt == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (opt == 'n')
            n = atoi(optarg);
        else
            return 2;
    }
    if (n > 1000) n = 1000; /* `make torture` counts files; a kill is a thousand of those */
    nx_log_setup(&(nx_log_options){.level = NX_LOG_WARN, .fd = 2});
    if (!mkdtemp(dir)) die(dir, strerror(errno));
    for (int i = 0; i < n; i++) one_kill(dir, last, &seed, &open_ns_max);
    printf("%d kills, %d + %d + %d requests acknowledged and there; opened in %.1f ms at most\n", n,
           last[0], last[1], last[2], (double)open_ns_max / 1e6);
    nx_dir_remove_all(dir, NULL);
    if (open_ns_max > OPEN_NS_MAX) die("open", "took more than a second");
    return 0;
}
