/* Protects: writers, readers and the tidying thread at once: what is acknowledged is seen from
 * then on, a request is seen whole or not at all, and no reader sees anything else. `make tsan`
 * watches: `make tsan THREAD_SECONDS=300` for longer.
 *
 * NX_THREAD_SECONDS (2): how long. */
#include "model.h"

#include <pthread.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/dir.h"

enum { WRITERS = 8, READERS = 8, PAIRS = 20, DIM = 16 };

typedef struct shared {
    nx_store      *store;
    nx_collection *c;
    int64_t        until_ns;
    atomic_int     writers_left;
    atomic_int     acked[WRITERS][PAIRS]; /* the counter that was acknowledged last */
    atomic_int     n_faults;
} shared;

typedef struct task {
    shared   *s;
    int       who;
    pthread_t thread;
} task;

static uint64_t number_of(int writer, int pair, int half)
{
    return (uint64_t)(writer * 1000 + pair * 2 + half);
}

static void complain(shared *s, const char *what)
{
    if (atomic_fetch_add(&s->n_faults, 1) < 5) fprintf(stderr, "%s\n", what);
}

static void add_half(nx_writes *b, int writer, int pair, int half, int counter)
{
    float  x[DIM];
    nx_buf payload = {.max = 1024};
    int    keys[MODEL_KEYS] = {counter};

    for (int i = 0; i < DIM; i++) x[i] = (float)(counter + i * half);
    model_value(&payload, keys, -1);
    nx_vector v = {.slot = 0, .form = NX_FORM_DENSE, .n = DIM, .values = x};
    nx_point  p = {.id = nx_id_number(number_of(writer, pair, half)),
                   .vectors = &v,
                   .n_vectors = 1,
                   .payload = {(const uint8_t *)payload.data, (uint32_t)payload.len}};
    if (nx_writes_put(b, &p, NX_PUT, NULL)) abort();
    nx_buf_free(&payload);
}

/* The counter of that point; 0: not there. */
static int counter_of(shared *s, nx_snapshot *snap, nx_point_copy *copy, uint64_t number)
{
    nx_error  err;
    nx_status st = nx_snapshot_get(snap, copy, nx_id_number(number), &err);

    if (st == NX_ENOENT) return 0;
    if (st) {
        complain(s, err.text);
        return 0;
    }
    return (int)nx_value_int(nx_value_member(copy->point.payload, NX_STR("k0")));
}

static void *write_pairs(void *ctx)
{
    task         *t = ctx;
    shared       *s = t->s;
    nx_point_copy copy = {0};

    for (int op = 1; nx_clock_ns() < s->until_ns; op++) {
        int        pair = op * 7 % PAIRS;
        nx_writes *b = nx_writes_create(s->c);
        nx_error   err;
        if (op % 5 == 0) { /* gone, both */
            nx_writes_delete(b, nx_id_number(number_of(t->who, pair, 0)), NULL);
            nx_writes_delete(b, nx_id_number(number_of(t->who, pair, 1)), NULL);
        } else {
            add_half(b, t->who, pair, 0, op);
            add_half(b, t->who, pair, 1, op);
        }
        if (nx_collection_write(s->c, b, true, NULL, &err)) complain(s, err.text);
        nx_writes_destroy(b);
        nx_snapshot *snap = nx_snapshot_take(s->c);
        if (counter_of(s, snap, &copy, number_of(t->who, pair, 0)) != (op % 5 ? op : 0))
            complain(s, "a writer doesn't see its own acknowledged request");
        nx_snapshot_release(snap);
        atomic_store(&s->acked[t->who][pair], op % 5 ? op : 0);
    }
    nx_point_copy_free(&copy);
    atomic_fetch_sub(&s->writers_left, 1);
    return NULL;
}

static void *read_pairs(void *ctx)
{
    task         *t = ctx;
    shared       *s = t->s;
    nx_point_copy copy = {0};
    uint64_t      rng = (uint64_t)t->who;

    for (int round = 0; atomic_load(&s->writers_left) > 0; round++) {
        int writer = (int)(sim_random(&rng) % WRITERS), pair = (int)(sim_random(&rng) % PAIRS);
        nx_snapshot *snap = nx_snapshot_take(s->c);
        int          a = counter_of(s, snap, &copy, number_of(writer, pair, 0));
        int          b = counter_of(s, snap, &copy, number_of(writer, pair, 1));
        if (a != b) complain(s, "half a request is seen");
        if (round % 64 == 9) {
            nx_collection_stats stats;
            nx_error            err;
            nx_collection_read_stats(s->c, &stats);
            if (stats.status) complain(s, "a status that isn't good");
            if (nx_collection_check(s->c, &err)) complain(s, err.text);
        }
        if (round % 4 == 0) {
            float     q[DIM] = {1};
            nx_hit    hits[8];
            int32_t   n;
            nx_error  err;
            nx_search search = {.query = q, .k = 8};
            if (nx_snapshot_search(snap, hits, &n, &search, NULL, &err)) complain(s, err.text);
            for (int32_t i = 1; i < n; i++)
                if (hits[i].score > hits[i - 1].score) complain(s, "hits out of order");
            nx_point_id ids[WRITERS * PAIRS * 2];
            size_t      n_ids;
            if (nx_snapshot_scroll(snap, ids, &n_ids, WRITERS * PAIRS * 2, NULL, NULL, &err))
                complain(s, err.text);
            if (n_ids != nx_snapshot_count(snap) || n_ids % 2)
                complain(s, "a snapshot counts and lists differently");
        }
        nx_snapshot_release(snap);
    }
    nx_point_copy_free(&copy);
    return NULL;
}

static nx_status open_store(shared *s, const char *dir)
{
    nx_store_options opt = {
        .distances = &plain_distances, .background = true, .head_bytes_max = 20000};
    nx_config config = {
        .n_slots = 1,
        .slots = {
            {.form = NX_FORM_DENSE, .distance = NX_COSINE, .storage = NX_STORE_SQ8, .dim = DIM}}};
    nx_error err;

    if (nx_store_open(&s->store, dir, &opt, &err)) fail_msg("%s", err.text);
    nx_status st = nx_store_create_collection(s->store, NX_STR("t"), &config, NULL);
    assert_int_equal(nx_store_find(&s->c, s->store, NX_STR("t"), &err), NX_OK);
    return st;
}

static void writers_and_readers_agree(void **state)
{
    char        dir[] = "/tmp/nexus-store-XXXXXX";
    const char *seconds = getenv("NX_THREAD_SECONDS");
    shared     *s = calloc(1, sizeof *s);
    task        tasks[WRITERS + READERS];

    (void)state;
    assert_non_null(mkdtemp(dir));
    s->until_ns =
        nx_clock_ns() + (seconds && atoi(seconds) > 0 ? atoi(seconds) : 2) * (int64_t)1000000000;
    atomic_store(&s->writers_left, WRITERS);
    assert_int_equal(open_store(s, dir), NX_OK);
    for (int i = 0; i < WRITERS + READERS; i++) {
        tasks[i] = (task){.s = s, .who = i < WRITERS ? i : i - WRITERS};
        assert_int_equal(pthread_create(&tasks[i].thread, NULL,
                                        i < WRITERS ? write_pairs : read_pairs, &tasks[i]),
                         0);
    }
    for (int i = 0; i < WRITERS + READERS; i++) pthread_join(tasks[i].thread, NULL);
    assert_int_equal(atomic_load(&s->n_faults), 0);
    nx_collection_release(s->c);
    nx_store_close(s->store);

    nx_point_copy copy = {0};
    assert_int_equal(open_store(s, dir), NX_EBUSY);
    nx_snapshot *snap = nx_snapshot_take(s->c);
    for (int w = 0; w < WRITERS; w++)
        for (int p = 0; p < PAIRS; p++)
            for (int half = 0; half < 2; half++)
                assert_int_equal(counter_of(s, snap, &copy, number_of(w, p, half)),
                                 atomic_load(&s->acked[w][p]));
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    nx_collection_release(s->c);
    nx_store_close(s->store);
    assert_int_equal(nx_dir_remove_all(dir, NULL), NX_OK);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_and_readers_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
