/* Protects: reading while memory, a page of a mapped file or a call fails: an error that says so,
 * never a crash, never another answer, and all is there when the trouble is over. A failed sync
 * makes a collection read-only. Collections come and go whole. */
#include <fcntl.h>

#include "base/log.h"
#include "model.h"

typedef struct rig {
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    model          m;
    uint64_t       rng;
} rig;

static nx_status open_rig(rig *r, nx_error *err)
{
    nx_store_options opt = {
        .disk = &r->disk.base, .distances = &plain_distances, .head_bytes_max = 6000};
    nx_status st = nx_store_open(&r->store, "store", &opt, err);

    r->c = NULL;
    if (st) return st;
    st = nx_store_find(&r->c, r->store, NX_STR("c"), err);
    if (st) nx_store_close(r->store);
    return st;
}

static void close_rig(rig *r)
{
    nx_collection_release(r->c);
    nx_store_close(r->store);
}

static nx_status request(rig *r, nx_error *err)
{
    model      after = r->m;
    nx_writes *b = nx_writes_create(r->c);

    assert_int_equal(model_step(b, &after, &r->rng), NX_OK);
    nx_status st = nx_collection_write(r->c, b, true, NULL, err);
    nx_writes_destroy(b);
    if (!st) r->m = after;
    return st;
}

static void requests(rig *r, int n)
{
    nx_error err;

    for (int i = 0; i < n; i++)
        if (request(r, &err)) fail_msg("%s", err.text);
}

/* Two segments and a head. */
static void make_rig(rig *r, uint64_t seed)
{
    nx_config config = model_config();
    nx_error  err;

    memset(r, 0, sizeof *r);
    r->rng = seed;
    model_init(&r->m);
    sim_init(&r->disk);
    sim_put(&r->disk.now, "store", NULL);
    nx_store_options opt = {.disk = &r->disk.base, .distances = &plain_distances};
    if (nx_store_open(&r->store, "store", &opt, &err)) fail_msg("%s", err.text);
    if (nx_store_create_collection(r->store, NX_STR("c"), &config, &err)) fail_msg("%s", err.text);
    nx_store_close(r->store);
    if (open_rig(r, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < 2; i++) {
        requests(r, 30);
        if (nx_collection_flush(r->c, &err)) fail_msg("%s", err.text);
    }
    requests(r, 5);
}

static void free_rig(rig *r)
{
    close_rig(r);
    sim_free(&r->disk);
}

/* "": as the model has it. An error is one only where `errors` is. */
static bool answers(rig *r, bool errors)
{
    const char *d = model_differs(&r->m, r->c);

    for (int slot = 0; !*d && slot < 2; slot++)
        d = model_search_differs(&r->m, r->c, slot, 20, &r->rng);
    bool is_error = strncmp(d, "get:", 4) == 0 || strncmp(d, "scroll:", 7) == 0 ||
                    strncmp(d, "search:", 7) == 0;
    if (*d && !(errors && is_error)) fail_msg("%s", d);
    return !*d;
}

/* ---- No memory ---- */

static nx_status read_all(rig *r, nx_error *err)
{
    nx_point_copy   copy = {0};
    nx_point_id     ids[MODEL_IDS];
    nx_hit          hits[MODEL_IDS];
    nx_store_entry *list = NULL;
    float           q[DIM_A] = {1};
    size_t          n_ids = 0, n_list = 0;
    int32_t         n;
    uint64_t        count;
    nx_condition    sparse = {.kind = NX_COND_VECTOR, .slot = 0};
    nx_filter       f = {.must = &sparse, .n_must = 1};
    nx_search       search = {.query = q, .k = 9, .filter = &f};
    nx_snapshot    *s = nx_snapshot_take(r->c);
    nx_status       st = nx_snapshot_scroll(s, ids, &n_ids, MODEL_IDS, NULL, &f, err);

    for (size_t i = 0; !st && i < n_ids; i++) st = nx_snapshot_get(s, &copy, ids[i], err);
    if (!st) st = nx_snapshot_search(s, hits, &n, &search, NULL, err);
    if (!st) st = nx_snapshot_count_where(s, &count, &f, err);
    if (!st) st = nx_collection_check(r->c, err);
    if (!st) st = nx_store_list(&list, &n_list, r->store, err);
    nx_free(list);
    nx_point_copy_free(&copy);
    nx_snapshot_release(s);
    return st;
}

static void reading_without_memory(void **state)
{
    rig      r;
    nx_error err;
    int64_t  n = 0;

    (void)state;
    make_rig(&r, 4);
    for (nx_status st = NX_ENOMEM; st; n++) {
        err.text[0] = '\0';
        nx_alloc_fail_after(n);
        st = read_all(&r, &err);
        nx_alloc_fail_after(-1);
        if (st && (st != NX_ENOMEM || !err.text[0])) fail_msg("%lld: %s", (long long)n, err.text);
    }
    assert_true(n > 20);
    assert_true(answers(&r, false));
    free_rig(&r);
}

/* ---- A page that can't be read ---- */

/* Open, read, search, scrub, write and merge with one bad page. */
static void use_with_bad_page(rig *r, int64_t page, int *n_seen)
{
    nx_error err = {0};

    r->disk.bad_page = page;
    nx_status st = open_rig(r, &err);
    if (st && !err.text[0]) fail_msg("page %lld: no reason", (long long)page);
    if (!st) {
        bool      fine = answers(r, true);
        nx_status check = nx_collection_check(r->c, &err);
        if (check && check != NX_EIO) fail_msg("page %lld: %s", (long long)page, err.text);
        st = request(r, &err);
        if (st && st != NX_EIO) fail_msg("page %lld: %s", (long long)page, err.text);
        nx_status flush = nx_collection_flush(r->c, &err);
        if (flush && flush != NX_EIO) fail_msg("page %lld: %s", (long long)page, err.text);
        answers(r, true);
        *n_seen += !fine || check || flush;
        close_rig(r);
    } else {
        ++*n_seen;
    }
    r->disk.bad_page = -1;
    if (open_rig(r, &err)) fail_msg("after page %lld: %s", (long long)page, err.text);
    assert_true(answers(r, false));
}

static void any_page_may_be_unreadable(void **state)
{
    rig r;
    int n_seen = 0, n_pages = 0;

    (void)state;
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
    skip(); /* its runtime takes the signal before us, and lets no jump leave the handler */
#endif
#endif
    make_rig(&r, 7);
    for (int i = 0; i < r.disk.now.n; i++)
        if (strstr(r.disk.now.v[i].path, "/seg-"))
            n_pages += (int)(r.disk.now.v[i].node->now_n + SIM_PAGE - 1) / SIM_PAGE;
    assert_true(n_pages > 20);
    for (int page = 0; page < 2 * n_pages; page++) { /* the second half: segments mapped later */
        close_rig(&r);
        use_with_bad_page(&r, page, &n_seen);
    }
    assert_true(n_seen > 10);
    free_rig(&r);
}

/* ---- A failed sync ---- */

static void a_failed_sync_makes_it_read_only(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 12; n++) {
        rig                 r;
        nx_error            err = {0};
        nx_collection_stats stats;
        make_rig(&r, 9);
        /* A request is a write and a sync. */
        sim_fail_at(&r.disk, 1, n % 2);
        model     before = r.m;
        nx_status st = request(&r, &err);
        sim_fail_at(&r.disk, -1, false);
        assert_int_equal(st, NX_EIO);
        assert_non_null(strstr(err.text, "read-only"));
        assert_non_null(strstr(err.text, "sync"));
        nx_collection_read_stats(r.c, &stats);
        assert_true(stats.read_only);
        assert_int_equal(stats.status, NX_EIO);
        for (int i = 0; i < 3; i++) assert_int_equal(request(&r, &err), NX_EIO);
        assert_int_equal(nx_collection_flush(r.c, &err), NX_EIO);
        (void)nx_store_maintain(r.store, NULL);
        r.m = before;
        assert_true(answers(&r, false)); /* the last published state, and no more */
        close_rig(&r);
        if (open_rig(&r, &err)) fail_msg("%s", err.text);
        requests(&r, 1); /* writes again; what the failed one did, nobody said */
        free_rig(&r);
    }
}

/* ---- Collections come and go ---- */

static bool is_there(rig *r, const char *name)
{
    nx_collection *c;
    nx_status      st = nx_store_find(&c, r->store, nx_str_of(name), NULL);

    if (st && st != NX_ENOENT) fail_msg("%s is half there", name);
    nx_collection_release(c);
    return !st;
}

/* One call or allocation fails; the answer says whether it is there, and so it is when the store
 * opens anew, unless an error left that open. */
static bool come_and_go(int64_t n, bool memory)
{
    rig       r;
    nx_config config = model_config();
    nx_error  err = {0};

    make_rig(&r, 2);
    int64_t calls = r.disk.n_calls;
    if (memory)
        nx_alloc_fail_after(n);
    else
        sim_fail_at(&r.disk, n, false);
    nx_status made = nx_store_create_collection(r.store, NX_STR("new"), &config, &err);
    nx_alloc_fail_after(-1);
    if (made && (made != (memory ? NX_ENOMEM : NX_EIO) || !err.text[0])) fail_msg("%s", err.text);
    assert_int_equal(is_there(&r, "new"), !made);
    if (memory) nx_alloc_fail_after(n);
    nx_status gone = nx_store_drop_collection(r.store, NX_STR("c"), &err);
    nx_alloc_fail_after(-1);
    if (!gone) assert_false(is_there(&r, "c"));
    bool beyond = memory ? !made && !gone : r.disk.n_calls - calls <= n;
    sim_fail_at(&r.disk, -1, false);
    close_rig(&r);
    nx_store_options opt = {.disk = &r.disk.base, .distances = &plain_distances};
    if (nx_store_open(&r.store, "store", &opt, &err)) fail_msg("%s", err.text);
    if (!made) assert_true(is_there(&r, "new"));
    if (!gone) assert_false(is_there(&r, "c"));
    r.c = NULL;
    if (gone && is_there(&r, "c")) {
        assert_int_equal(nx_store_find(&r.c, r.store, NX_STR("c"), NULL), NX_OK);
        assert_true(answers(&r, false));
    }
    free_rig(&r);
    return !beyond;
}

static void creating_and_dropping_may_fail(void **state)
{
    int64_t calls = 0, allocs = 0;

    (void)state;
    while (come_and_go(calls, false)) calls++;
    while (come_and_go(allocs, true)) allocs++;
    assert_true(calls > 10 && allocs > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: cmocka takes SIGBUS before each test, and the store sets its handler once. */
        cmocka_unit_test(any_page_may_be_unreadable),
        cmocka_unit_test(reading_without_memory),
        cmocka_unit_test(a_failed_sync_makes_it_read_only),
        cmocka_unit_test(creating_and_dropping_may_fail),
    };

    /* Failures are the point: what they say in the log isn't. */
    nx_log_setup(&(nx_log_options){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
