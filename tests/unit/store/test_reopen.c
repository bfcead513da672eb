/* Protects: a collection that failed comes back by being opened anew, with all that was acknowledged,
 * and keeps it although the system believes that what a failed sync left is on the disk; who holds the
 * old one reads on, and writes nothing. */
#include "model.h"

static nx_store *open_store(sim_disk *disk)
{
    nx_store_options opt = {
        .disk = &disk->base, .distances = &plain_distances, .head_bytes_max = 6000};
    nx_store *s;
    nx_error  err;

    if (nx_store_open(&s, "store", &opt, &err)) fail_msg("%s", err.text);
    return s;
}

static nx_store *start(sim_disk *disk)
{
    nx_config config = model_config();

    sim_init(disk);
    sim_put(&disk->safe, "store", NULL);
    sim_put(&disk->now, "store", NULL);
    nx_store *s = open_store(disk);
    assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &config, NULL), NX_OK);
    return s;
}

static nx_collection *find(nx_store *s)
{
    nx_collection *c;
    nx_error       err;

    if (nx_store_find(&c, s, NX_STR("c"), &err)) fail_msg("%s", err.text);
    return c;
}

static nx_status request(nx_collection *c, model *m, uint64_t *rng, nx_error *err)
{
    nx_writes *b = nx_writes_create(c);

    assert_int_equal(model_step(b, m, rng), NX_OK);
    nx_status st = nx_collection_write(c, b, true, NULL, err);
    nx_writes_destroy(b);
    return st;
}

/* The n-th call fails for good; then the disk is well again, and the power goes. */
static void run(int64_t n, bool forever)
{
    sim_disk       disk, after;
    nx_store      *s = start(&disk);
    nx_collection *c = find(s), *anew;
    model          m, kept;
    uint64_t       rng = (uint64_t)n * 31 + 5;
    nx_error       err;
    nx_status      st = NX_OK;

    model_init(&m);
    for (int i = 0; i < 6; i++) assert_int_equal(request(c, &m, &rng, &err), NX_OK);
    sim_fail_at(&disk, n, forever);
    for (int i = 0; i < 12 && !st; i++) {
        kept = m;
        st = request(c, &m, &rng, &err);
    }
    sim_fail_at(&disk, -1, false);
    nx_collection_stats stats;
    nx_collection_read_stats(c, &stats);
    if (st) assert_string_equal(model_differs(&kept, c), "");
    if (st && !stats.read_only) m = kept;
    if (nx_store_reopen_collection(s, NX_STR("c"), &err)) fail_msg("call %d: %s", (int)n, err.text);
    anew = find(s);
    if (st && stats.read_only) {
        model old = kept;
        assert_ptr_not_equal(anew, c);
        assert_string_equal(model_differs(&kept, c), "");
        assert_int_equal(request(c, &old, &rng, &err), NX_EIO); /* the old one takes nothing */
        if (*model_differs(&m, anew)) m = kept;                 /* the last one: there, or not */
    } else {
        assert_ptr_equal(anew, c);
    }
    for (int i = 0; i < 4; i++)
        if (request(anew, &m, &rng, &err)) fail_msg("call %d: %s", (int)n, err.text);
    for (int i = 0; i < 6; i++) {
        sim_crash(&after, &disk, sim_random(&rng));
        nx_store      *s2 = open_store(&after);
        nx_collection *c2 = find(s2);
        const char    *d = model_differs(&m, c2);
        if (*d) fail_msg("call %d, after a crash: %s", (int)n, d);
        nx_collection_release(c2);
        nx_store_close(s2);
        sim_free(&after);
    }
    nx_collection_release(anew);
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
}

static void a_failed_disk_that_is_well_again(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 40; n++) {
        run(n, false);
        run(n, true);
    }
}

/* Opening anew may fail at any call: it is as it was, and the next time it succeeds. */
static void every_call_of_it_may_fail(void **state)
{
    nx_status st = NX_EIO;
    int       n_failed = 0;

    (void)state;
    for (int64_t n = 0; st || n < 60; n++) {
        sim_disk       disk;
        nx_store      *s = start(&disk);
        nx_collection *c = find(s);
        model          m, kept;
        uint64_t       rng = 9;
        nx_error       err;
        model_init(&m);
        for (int i = 0; i < 20; i++) assert_int_equal(request(c, &m, &rng, &err), NX_OK);
        sim_fail_at(&disk, 1, true); /* written, not synced */
        do kept = m;
        while (request(c, &m, &rng, &err) == NX_OK); /* some have no effect */
        sim_fail_at(&disk, n, false);
        st = nx_store_reopen_collection(s, NX_STR("c"), &err);
        sim_fail_at(&disk, -1, false);
        nx_collection *now = find(s);
        if (st) {
            n_failed++;
            assert_ptr_equal(now, c);
            assert_string_equal(model_differs(&kept, c), "");
            assert_int_equal(nx_store_reopen_collection(s, NX_STR("c"), &err), NX_OK);
            nx_collection_release(now);
            now = find(s);
        }
        const char *d = model_differs(&m, now);
        if (*d) d = model_differs(&kept, now);
        if (*d) fail_msg("call %d: %s", (int)n, d);
        nx_collection_release(now);
        nx_collection_release(c);
        nx_store_close(s);
        sim_free(&disk);
    }
    assert_true(n_failed > 10);
}

static void a_quarantine_ends_when_the_file_is_whole(void **state)
{
    sim_disk       disk;
    nx_store      *s = start(&disk);
    nx_collection *c = find(s);
    model          m;
    uint64_t       rng = 3;
    nx_error       err;

    (void)state;
    model_init(&m);
    for (int i = 0; i < 20; i++) assert_int_equal(request(c, &m, &rng, &err), NX_OK);
    assert_int_equal(nx_store_reopen_collection(s, NX_STR("c"), &err), NX_OK); /* nothing to do */
    assert_int_equal(nx_store_reopen_collection(s, NX_STR("d"), &err), NX_ENOENT);
    nx_collection_release(c);
    nx_store_close(s);
    sim_node *node = disk.now.v[sim_find(&disk.now, "store/c/manifest")].node;
    node->now[30] ^= 1;
    s = open_store(&disk);
    assert_int_equal(nx_store_find(&c, s, NX_STR("c"), &err), NX_EFORMAT);
    assert_int_equal(nx_store_reopen_collection(s, NX_STR("c"), &err), NX_EFORMAT);
    assert_int_equal(nx_store_find(&c, s, NX_STR("c"), &err), NX_EFORMAT);
    node->now[30] ^= 1;
    assert_int_equal(nx_store_reopen_collection(s, NX_STR("c"), &err), NX_OK);
    c = find(s);
    assert_string_equal(model_differs(&m, c), "");
    assert_int_equal(request(c, &m, &rng, &err), NX_OK);
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_disk_that_is_well_again),
        cmocka_unit_test(every_call_of_it_may_fail),
        cmocka_unit_test(a_quarantine_ends_when_the_file_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
