/* Protects: the store's own promises: names, quarantine that leaves the others alone, bad input
 * refused with its reason, space that comes back, thresholds, payload paths, one owner of a
 * folder. */
#include "model.h"

#include <unistd.h>

#include "os/dir.h"

static char dir[64];

static nx_store *open_store(sim_disk *disk)
{
    nx_store_options opt = {.disk = disk ? &disk->base : NULL, .distances = &plain_distances};
    nx_store        *s;
    nx_error         err;

    if (nx_store_open(&s, disk ? "store" : dir, &opt, &err)) fail_msg("%s", err.text);
    return s;
}

static nx_config dense_config(nx_distance distance, int dim)
{
    return (nx_config){.n_slots = 1,
                       .slots = {{.form = NX_FORM_DENSE, .distance = distance, .dim = dim}}};
}

static nx_status put(nx_collection *c, uint64_t id, const float *x, int n, nx_error *err)
{
    nx_writes *b = nx_writes_create(c);
    nx_vector  v = {.form = NX_FORM_DENSE, .n = n, .values = x};
    nx_status  st = nx_writes_put(
        b, &(nx_point){.id = nx_id_number(id), .vectors = &v, .n_vectors = 1}, NX_PUT, err);

    if (!st) st = nx_collection_write(c, b, true, NULL, err);
    nx_writes_destroy(b);
    return st;
}

static void names_of_every_kind(void **state)
{
    static const char *const good[] = {"a",           "../..", "a/b", ".",    "..",
                                       "caf\xc3\xa9", "A b",   "%41", "lock", "x.new"};
    nx_store                *s = open_store(NULL);
    nx_config                config = dense_config(NX_DOT, 2);
    nx_error                 err;
    nx_store_entry          *list;
    nx_collection           *c;
    char                     longest[300];
    size_t                   n;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (nx_store_create_collection(s, nx_str_of(good[i]), &config, &err))
            fail_msg("%s", err.text);
    memset(longest, 'x', sizeof longest);
    assert_int_equal(nx_store_create_collection(s, (nx_str){longest, 256}, &config, &err),
                     NX_EINVAL);
    assert_int_equal(nx_store_create_collection(s, (nx_str){longest, 241}, &config, &err),
                     NX_EINVAL);
    assert_int_equal(nx_store_create_collection(s, NX_STR(""), &config, &err), NX_EINVAL);
    assert_int_equal(nx_store_create_collection(s, NX_STR("a\0b"), &config, &err), NX_EINVAL);
    assert_int_equal(nx_store_create_collection(s, NX_STR("\xff"), &config, &err), NX_EINVAL);
    assert_int_equal(nx_store_create_collection(s, NX_STR("a"), &config, &err), NX_EBUSY);
    assert_string_equal(err.text, "Collection `a` already exists!");
    nx_store_close(s);

    s = open_store(NULL);
    assert_int_equal(nx_store_list(&list, &n, s, &err), NX_OK);
    assert_int_equal(n, sizeof good / sizeof *good);
    for (size_t i = 1; i < n; i++) assert_true(strcmp(list[i - 1].name, list[i].name) < 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(list[i].status, NX_OK);
    nx_free(list);
    assert_int_equal(nx_store_find(&c, s, NX_STR("b"), &err), NX_ENOENT);
    assert_string_equal(err.text, "Collection `b` doesn't exist!");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(nx_store_drop_collection(s, nx_str_of(good[i]), &err), NX_OK);
    nx_store_close(s);
}

static void a_folder_has_one_owner(void **state)
{
    nx_store_options opt = {.distances = &plain_distances};
    nx_store        *a = open_store(NULL), *b;
    nx_error         err;

    (void)state;
    assert_int_equal(nx_store_open(&b, dir, &opt, &err), NX_EBUSY);
    nx_store_close(a);
    assert_int_equal(nx_store_open(&b, dir, &opt, &err), NX_OK);
    nx_store_close(b);
}

static void a_damaged_collection_leaves_the_others_alone(void **state)
{
    sim_disk        disk;
    nx_config       config = dense_config(NX_DOT, 2);
    float           x[2] = {1, 2};
    nx_error        err;
    nx_collection  *c;
    nx_store_entry *list;
    size_t          n;

    (void)state;
    sim_init(&disk);
    nx_store *s = open_store(&disk);
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        assert_int_equal(nx_store_create_collection(s, nx_str_of(name), &config, &err), NX_OK);
        assert_int_equal(nx_store_find(&c, s, nx_str_of(name), &err), NX_OK);
        assert_int_equal(put(c, 1, x, 2, &err), NX_OK);
        nx_collection_release(c);
    }
    nx_store_close(s);
    disk.now.v[sim_find(&disk.now, "store/b/manifest")].node->now[50] ^= 1;
    s = open_store(&disk);
    assert_int_equal(nx_store_find(&c, s, NX_STR("b"), &err), NX_EFORMAT);
    assert_non_null(strstr(err.text, "store/b/manifest"));
    assert_int_equal(nx_store_list(&list, &n, s, &err), NX_OK);
    assert_int_equal(n, 3);
    assert_int_equal(list[1].status, NX_EFORMAT);
    assert_non_null(strstr(list[1].reason, "checksum"));
    nx_free(list);
    assert_int_equal(nx_store_find(&c, s, NX_STR("c"), &err), NX_OK);
    assert_int_equal(put(c, 2, x, 2, &err), NX_OK);
    nx_collection_release(c);
    assert_int_equal(nx_store_drop_collection(s, NX_STR("b"), &err), NX_OK); /* it can go */
    nx_store_close(s);
    sim_free(&disk);
}

static void bad_input_is_refused(void **state)
{
    sim_disk       disk;
    nx_config      config = model_config(), twice = dense_config(NX_DOT, 3);
    float          x[2 * DIM_A] = {1, 2, NAN};
    uint32_t       same[2] = {5, 5};
    nx_error       err;
    nx_collection *c;

    (void)state;
    sim_init(&disk);
    nx_store *s = open_store(&disk);
    twice.slots[0].dim = 0;
    assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &twice, &err), NX_EINVAL);
    twice = dense_config(NX_DOT, 3);
    twice.slots[1] = twice.slots[0];
    twice.n_slots = 2;
    assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &twice, &err), NX_EINVAL);
    assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &config, &err), NX_OK);
    assert_int_equal(nx_store_find(&c, s, NX_STR("c"), &err), NX_OK);
    assert_int_equal(put(c, 1, x, 7, &err), NX_EINVAL);
    assert_string_equal(err.text, "Vector dimension error: expected dim: 8, got 7");
    assert_int_equal(put(c, 1, x, 8, &err), NX_EINVAL); /* NaN */
    const nx_vector bad[] = {
        {.slot = 9, .form = NX_FORM_DENSE},
        {.slot = 2, .form = NX_FORM_DENSE},
        {.slot = 2, .form = NX_FORM_SPARSE, .n = 2, .values = x, .indices = same},
        {.slot = 3, .form = NX_FORM_MULTI, .n = 0, .values = x},
        {.slot = 0, .form = NX_FORM_GONE}};
    nx_writes *b = nx_writes_create(c);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(
            nx_writes_put(b, &(nx_point){.vectors = &bad[i], .n_vectors = 1}, NX_PUT, &err),
            NX_EINVAL);
    static const uint8_t text[] = {NX_VALUE_TEXT, 1, 0, 0, 0, 'x'};
    assert_int_equal(
        nx_writes_set_payload(b, nx_id_number(1), (nx_value){text, 6}, NX_STR(""), &err),
        NX_EINVAL);
    assert_int_equal(nx_writes_remove_payload(b, nx_id_number(1), NX_STR("a["), &err), NX_EINVAL);
    assert_int_equal(nx_writes_remove_payload(b, nx_id_number(1), NX_STR("a"), &err), NX_OK);
    nx_write_result r;
    assert_int_equal(nx_collection_write(c, b, true, &r, &err), NX_OK); /* only the last is in it */
    assert_int_equal(r.n_missing, 1);
    nx_writes_destroy(b);
    nx_snapshot *snap = nx_snapshot_take(c);
    assert_int_equal(nx_snapshot_count(snap), 0);
    nx_hit    hits[1];
    int32_t   n;
    nx_search search = {.slot = 2, .query = x, .k = 1};
    assert_int_equal(nx_snapshot_search(snap, hits, &n, &search, NULL, &err), NX_EINVAL);
    search = (nx_search){.slot = 0, .query = x, .k = 1};
    assert_int_equal(nx_snapshot_search(snap, hits, &n, &search, NULL, &err), NX_EINVAL);
    x[2] = 0;
    search.k = 999999999; /* never more room than points */
    assert_int_equal(nx_snapshot_search(snap, hits, &n, &search, NULL, &err), NX_OK);
    assert_int_equal(n, 0);
    nx_snapshot_release(snap);
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
}

/* What nx_writes_only_if keeps off is counted; filters are checked when they come. */
static void filters_on_writes(void **state)
{
    sim_disk        disk;
    nx_config       config = dense_config(NX_DOT, 2);
    float           x[2] = {1, 2};
    nx_error        err;
    nx_collection  *c;
    nx_write_result r;
    nx_point_id     first = nx_id_number(1);
    nx_condition    id = {.kind = NX_COND_ID, .ids = &first, .n_ids = 1};
    nx_condition    no_slot = {.kind = NX_COND_VECTOR, .slot = 3};
    nx_filter       only = {.must = &id, .n_must = 1}, bad = {.must = &no_slot, .n_must = 1};

    (void)state;
    sim_init(&disk);
    nx_store *s = open_store(&disk);
    assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &config, &err), NX_OK);
    assert_int_equal(nx_store_find(&c, s, NX_STR("c"), &err), NX_OK);
    for (uint64_t i = 1; i < 4; i++) assert_int_equal(put(c, i, x, 2, &err), NX_OK);
    assert_int_equal(nx_collection_flush(c, &err), NX_OK);
    nx_writes *b = nx_writes_create(c);
    assert_int_equal(nx_writes_delete_if(b, &bad, &err), NX_EINVAL);
    assert_int_equal(nx_writes_delete_if(b, NULL, &err), NX_EINVAL);
    assert_int_equal(nx_writes_only_if(b, &bad, &err), NX_EINVAL);
    assert_int_equal(nx_writes_delete_vectors_if(b, &only, 1 << 1, &err), NX_EINVAL);
    assert_int_equal(nx_writes_only_if(b, &only, &err), NX_OK);
    for (uint64_t i = 1; i < 6; i++) /* 1 goes, 2 and 3 are kept, 4 and 5 aren't there */
        assert_int_equal(nx_writes_delete(b, nx_id_number(i), &err), NX_OK);
    nx_vector v = {.form = NX_FORM_DENSE, .n = 2, .values = x};
    nx_point  p = {.id = nx_id_number(9), .vectors = &v, .n_vectors = 1};
    assert_int_equal(nx_writes_put(b, &p, NX_PUT, &err), NX_OK); /* not there: it goes on */
    assert_int_equal(nx_writes_put(b, &p, NX_PUT, &err), NX_OK); /* now it is, and is kept off */
    assert_int_equal(nx_writes_only_if(b, NULL, &err), NX_OK);
    assert_int_equal(nx_writes_delete(b, nx_id_number(3), &err), NX_OK);
    if (nx_collection_write(c, b, true, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(r.n_barred, 3);
    assert_int_equal(r.n_missing, 0);
    nx_writes_destroy(b);
    nx_snapshot *snap = nx_snapshot_take(c);
    nx_point_id  ids[8];
    size_t       n;
    assert_int_equal(nx_snapshot_scroll(snap, ids, &n, 8, NULL, NULL, &err), NX_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0].lo, 2);
    assert_int_equal(ids[1].lo, 9);
    nx_snapshot_release(snap);
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
}

static void thresholds_and_ties(void **state)
{
    static const nx_distance kinds[] = {NX_DOT, NX_EUCLID, NX_MANHATTAN};
    static const float       threshold[] = {3, 2, 2};
    static const int         want[] = {3, 3, 3};
    nx_error                 err;

    (void)state;
    for (int k = 0; k < 3; k++) {
        sim_disk       disk;
        nx_config      config = dense_config(kinds[k], 1);
        nx_collection *c;
        sim_init(&disk);
        nx_store *s = open_store(&disk);
        assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &config, &err), NX_OK);
        assert_int_equal(nx_store_find(&c, s, NX_STR("c"), &err), NX_OK);
        for (int i = 9; i >= 0; i--) { /* 0 0 1 1 2 2 3 3 4 4, the higher ids first */
            float x = (float)(i / 2);
            assert_int_equal(put(c, (uint64_t)i, &x, 1, &err), NX_OK);
            if (i == 5) assert_int_equal(nx_collection_flush(c, &err), NX_OK);
        }
        float        q = k == 0 ? 1 : 0;
        nx_hit       hits[10];
        int32_t      n;
        nx_snapshot *snap = nx_snapshot_take(c);
        nx_search search = {.query = &q, .k = 3, .has_threshold = true, .threshold = threshold[k]};
        assert_int_equal(nx_snapshot_search(snap, hits, &n, &search, NULL, &err), NX_OK);
        assert_int_equal(n, want[k]);
        for (int i = 0; i < n; i++) {
            uint64_t id = k == 0 ? (uint64_t[]){8, 9, 6}[i] : (uint64_t[]){0, 1, 2}[i];
            assert_int_equal(hits[i].id.lo, id);
            assert_true(hits[i].score == (float)(id / 2));
        }
        nx_snapshot_release(snap);
        nx_collection_release(c);
        nx_store_close(s);
        sim_free(&disk);
    }
}

/* Codes narrow down, f32 decides: with as many rescored as there are near ties, results are exact;
 * and the same with any number of threads. */
static void codes_and_threads_change_nothing(void **state)
{
    enum { N = 5000, DIM = 24, K = 10 };
    sim_disk       disk;
    nx_config      config = dense_config(NX_EUCLID, DIM);
    nx_collection *c;
    nx_error       err;
    uint64_t       rng = 4;
    nx_pool       *pool;

    (void)state;
    config.slots[0].storage = NX_STORE_SQ8;
    sim_init(&disk);
    nx_store *s = open_store(&disk);
    assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &config, &err), NX_OK);
    assert_int_equal(nx_store_find(&c, s, NX_STR("c"), &err), NX_OK);
    nx_writes *b = nx_writes_create(c);
    for (int i = 0; i < N; i++) {
        float x[DIM];
        for (int k = 0; k < DIM; k++) x[k] = model_float(&rng);
        nx_vector v = {.form = NX_FORM_DENSE, .n = DIM, .values = x};
        nx_point  p = {.id = nx_id_number((uint64_t)i), .vectors = &v, .n_vectors = 1};
        assert_int_equal(nx_writes_put(b, &p, NX_PUT, &err), NX_OK);
    }
    assert_int_equal(nx_collection_write(c, b, true, NULL, &err), NX_OK);
    nx_writes_destroy(b);
    assert_int_equal(nx_collection_flush(c, &err), NX_OK);
    assert_int_equal(nx_pool_create(&pool, 3, &err), NX_OK);
    nx_snapshot *snap = nx_snapshot_take(c);
    for (int round = 0; round < 50; round++) {
        float     q[DIM];
        nx_hit    plain[K], coded[K], shared[K];
        int32_t   n;
        nx_search search = {.query = q, .k = K, .ignore_codes = true};
        for (int k = 0; k < DIM; k++) q[k] = model_float(&rng);
        assert_int_equal(nx_snapshot_search(snap, plain, &n, &search, NULL, &err), NX_OK);
        assert_int_equal(n, K);
        search.ignore_codes = false;
        assert_int_equal(nx_snapshot_search(snap, coded, &n, &search, NULL, &err), NX_OK);
        assert_int_equal(nx_snapshot_search(snap, shared, &n, &search, pool, &err), NX_OK);
        for (int i = 0; i < K; i++) {
            assert_int_equal(coded[i].id.lo, plain[i].id.lo);
            assert_true(coded[i].score == plain[i].score);
            assert_int_equal(shared[i].id.lo, plain[i].id.lo);
            assert_true(shared[i].score == plain[i].score);
        }
    }
    nx_snapshot_release(snap);
    nx_pool_destroy(pool);
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
}

static uint64_t fill(nx_store *s, const char *name, int from, int to, nx_collection **c)
{
    enum { DIM = 64 };
    nx_config config = dense_config(NX_COSINE, DIM);
    uint64_t  rng = 11;
    nx_error  err;

    config.slots[0].storage = NX_STORE_SQ8;
    assert_int_equal(nx_store_create_collection(s, nx_str_of(name), &config, &err), NX_OK);
    assert_int_equal(nx_store_find(c, s, nx_str_of(name), &err), NX_OK);
    for (int at = from; at < to; at += 500) {
        nx_writes *b = nx_writes_create(*c);
        for (int i = at; i < at + 500 && i < to; i++) {
            float x[DIM];
            for (int k = 0; k < DIM; k++) x[k] = model_float(&rng);
            nx_vector v = {.form = NX_FORM_DENSE, .n = DIM, .values = x};
            nx_point  p = {.id = nx_id_number((uint64_t)i), .vectors = &v, .n_vectors = 1};
            assert_int_equal(nx_writes_put(b, &p, NX_PUT, &err), NX_OK);
        }
        if (nx_collection_write(*c, b, true, NULL, &err)) fail_msg("%s", err.text);
        nx_writes_destroy(b);
        assert_int_equal(nx_store_maintain(s, &err), NX_OK);
    }
    nx_collection_stats stats;
    nx_collection_read_stats(*c, &stats);
    return stats.log_bytes + stats.segment_bytes;
}

/* 40,000 points, 90 % deleted: the rest takes at most 1.3 times what it takes alone. */
static void deleting_gives_the_space_back(void **state)
{
    enum { N = 40000 };
    nx_store_options    opt = {.distances = &plain_distances, .head_bytes_max = 2 << 20};
    nx_store           *s;
    nx_collection      *all, *rest;
    nx_collection_stats stats;
    nx_error            err;

    (void)state;
    assert_int_equal(nx_store_open(&s, dir, &opt, &err), NX_OK);
    uint64_t fresh = fill(s, "rest", N / 10 * 9, N, &rest);
    fill(s, "all", 0, N, &all);
    for (int at = 0; at < N / 10 * 9; at += 1000) {
        nx_writes *b = nx_writes_create(all);
        for (int i = at; i < at + 1000; i++)
            assert_int_equal(nx_writes_delete(b, nx_id_number((uint64_t)i), &err), NX_OK);
        assert_int_equal(nx_collection_write(all, b, true, NULL, &err), NX_OK);
        nx_writes_destroy(b);
    }
    assert_int_equal(nx_store_maintain(s, &err), NX_OK);
    nx_collection_read_stats(all, &stats);
    assert_int_equal(stats.n_points, N / 10);
    if ((stats.log_bytes + stats.segment_bytes) * 10 > fresh * 13)
        fail_msg("%llu bytes of segments, %llu of log; alone %llu",
                 (unsigned long long)stats.segment_bytes, (unsigned long long)stats.log_bytes,
                 (unsigned long long)fresh);
    nx_collection_release(all);
    nx_collection_release(rest);
    nx_store_close(s);
}

/* A mapped segment whose disk gives no more pages: an error, for every way to read, and no end. */
static void a_page_that_is_gone_is_an_error(void **state)
{
    nx_disk       *d = nx_disk_real();
    nx_disk_file  *f;
    nx_store      *s = open_store(NULL);
    nx_collection *c;
    nx_error       err;
    char           path[128];
    nx_hit         hits[3];
    nx_point_id    ids[3];
    int32_t        n;
    size_t         n_ids;
    float          q[64] = {1};
    nx_point_copy  copy = {0};

    (void)state;
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
    nx_store_close(s);
    skip(); /* its runtime takes the signal before us, and lets no jump leave the handler */
#endif
#endif

    fill(s, "c", 0, 500, &c);
    assert_int_equal(nx_collection_flush(c, &err), NX_OK);
    snprintf(path, sizeof path, "%s/c/seg-0000000000000001", dir);
    assert_int_equal(d->ops->open(d, &f, path, 0, &err), NX_OK);
    assert_int_equal(d->ops->truncate(d, f, 4096, &err), NX_OK);
    d->ops->close(d, f);
    nx_snapshot *snap = nx_snapshot_take(c);
    nx_search    search = {.query = q, .k = 3};
    assert_int_equal(nx_snapshot_search(snap, hits, &n, &search, NULL, &err), NX_EIO);
    assert_non_null(strstr(err.text, "seg-0000000000000001"));
    assert_int_equal(nx_snapshot_get(snap, &copy, nx_id_number(3), &err), NX_EIO);
    assert_int_equal(nx_snapshot_scroll(snap, ids, &n_ids, 3, NULL, NULL, &err), NX_EIO);
    assert_int_equal(nx_collection_check(c, &err), NX_EIO);
    assert_int_equal(put(c, 1, q, 64, &err), NX_EIO); /* is there such a point? nobody can tell */
    nx_point_copy_free(&copy);
    nx_snapshot_release(snap);
    nx_collection_release(c);
    nx_store_close(s);
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/nexus-store-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    return nx_dir_remove_all(dir, NULL) ? -1 : 0;
}

int main(void)
{
    /* The first: cmocka sets handlers of its own before each test, ours is set when first
     * needed. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_page_that_is_gone_is_an_error, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(names_of_every_kind, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(a_folder_has_one_owner, make_dir, drop_dir),
        cmocka_unit_test(a_damaged_collection_leaves_the_others_alone),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(filters_on_writes),
        cmocka_unit_test(thresholds_and_ties),
        cmocka_unit_test(codes_and_threads_change_nothing),
        cmocka_unit_test_setup_teardown(deleting_gives_the_space_back, make_dir, drop_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
