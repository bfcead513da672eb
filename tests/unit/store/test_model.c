/* Protects: whatever is asked of a collection, in whatever order, with heads frozen, segments
 * merged and the store opened anew in between, it holds what a naive copy in memory holds, and
 * finds the same.
 *
 * NX_MODEL_SEEDS (20) seeds of NX_MODEL_OPS (2000) requests. */
#include "model.h"

static int setting(const char *name, int otherwise)
{
    const char *s = getenv(name);

    return s && atoi(s) > 0 ? atoi(s) : otherwise;
}

typedef struct rig {
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    model          m;
    uint64_t       rng;
} rig;

static void open_store(rig *r)
{
    nx_error         err = {0};
    nx_store_options opt = {
        .disk = &r->disk.base, .distances = &plain_distances, .head_bytes_max = 6000};

    if (nx_store_open(&r->store, "store", &opt, &err)) fail_msg("%s", err.text);
    if (nx_store_find(&r->c, r->store, NX_STR("col/one"), &err) == NX_ENOENT) {
        nx_config config = model_config();
        if (nx_store_create_collection(r->store, NX_STR("col/one"), &config, &err))
            fail_msg("%s", err.text);
        assert_int_equal(nx_store_find(&r->c, r->store, NX_STR("col/one"), &err), NX_OK);
    }
    if (!r->c) fail_msg("%s", err.text);
}

static void close_store(rig *r)
{
    nx_collection_release(r->c);
    nx_store_close(r->store);
}

static void one_request(rig *r)
{
    nx_writes      *b = nx_writes_create(r->c);
    nx_write_result result;
    nx_error        err = {0};

    for (uint64_t n = 1 + sim_random(&r->rng) % 4; n > 0; n--)
        assert_int_equal(model_step(b, &r->m, &r->rng), NX_OK);
    if (nx_collection_write(r->c, b, true, &result, &err)) fail_msg("%s", err.text);
    nx_writes_destroy(b);
}

static void check(rig *r, int seed, int op)
{
    const char *d = model_differs(&r->m, r->c);

    if (!*d) d = model_search_differs(&r->m, r->c, 0, 7, &r->rng);
    if (!*d) d = model_search_differs(&r->m, r->c, 1, 5, &r->rng);
    if (!*d) d = model_search_differs(&r->m, r->c, 1, 2 * MODEL_IDS, &r->rng);
    if (*d) fail_msg("seed %d, request %d: %s", seed, op, d);
}

/* Now and then something that must change nothing. */
static void something_between(rig *r)
{
    nx_error err = {0};
    uint64_t dice = sim_random(&r->rng) % 100;

    if (dice < 8 && nx_store_maintain(r->store, &err)) fail_msg("%s", err.text);
    if (dice >= 8 && dice < 12 && nx_collection_flush(r->c, &err)) fail_msg("%s", err.text);
    if (dice >= 12 && dice < 14) {
        close_store(r);
        open_store(r);
    }
}

static void random_requests_agree_with_a_naive_copy(void **state)
{
    int n_seeds = setting("NX_MODEL_SEEDS", 20), n_ops = setting("NX_MODEL_OPS", 2000);

    (void)state;
    for (int seed = 0; seed < n_seeds; seed++) {
        rig r = {.rng = (uint64_t)seed * 7919 + 1};
        sim_init(&r.disk);
        model_init(&r.m);
        open_store(&r);
        for (int op = 0; op < n_ops; op++) {
            one_request(&r);
            something_between(&r);
            if (op % 25 == 0 || op < 50) check(&r, seed, op);
        }
        close_store(&r);
        open_store(&r);
        check(&r, seed, n_ops);
        assert_int_equal(nx_collection_check(r.c, NULL), NX_OK);
        close_store(&r);
        sim_free(&r.disk);
    }
}

/* A snapshot taken before keeps saying what it said. */
static void snapshots_stay_as_they_were(void **state)
{
    rig r = {.rng = 5};

    (void)state;
    sim_init(&r.disk);
    model_init(&r.m);
    open_store(&r);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 20; i++) one_request(&r);
        nx_snapshot *s = nx_snapshot_take(r.c);
        uint64_t     seq = nx_snapshot_seq(s), n = nx_snapshot_count(s);
        nx_point_id  before[MODEL_IDS], after[MODEL_IDS];
        size_t       n_before, n_after;
        assert_int_equal(nx_snapshot_scroll(s, before, &n_before, MODEL_IDS, NULL, NULL, NULL),
                         NX_OK);
        for (int i = 0; i < 30; i++) one_request(&r);
        assert_int_equal(nx_collection_flush(r.c, NULL), NX_OK);
        for (int i = 0; i < 30; i++) one_request(&r);
        assert_int_equal(nx_snapshot_seq(s), seq);
        assert_int_equal(nx_snapshot_count(s), n);
        assert_int_equal(nx_snapshot_scroll(s, after, &n_after, MODEL_IDS, NULL, NULL, NULL),
                         NX_OK);
        assert_int_equal(n_before, n_after);
        for (size_t i = 0; i < n_before; i++)
            assert_int_equal(nx_id_compare(before[i], after[i]), 0);
        nx_snapshot_release(s);
    }
    close_store(&r);
    sim_free(&r.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_requests_agree_with_a_naive_copy),
        cmocka_unit_test(snapshots_stay_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
