/* Protects: a collection takes another's place in one step: no crash and no failing call leaves half of it,
 * whoever holds one of them reads on, and a request that came between is not lost. */
#include <fcntl.h>

#include "base/log.h"
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

static nx_collection *find(nx_store *s, const char *name)
{
    nx_collection *c;
    nx_error       err;

    if (nx_store_find(&c, s, nx_str_of(name), &err)) fail_msg("%s", err.text);
    return c;
}

static void requests(nx_collection *c, model *m, uint64_t *rng, int n)
{
    nx_error err;

    while (n-- > 0) {
        nx_writes *b = nx_writes_create(c);
        assert_int_equal(model_step(b, m, rng), NX_OK);
        if (nx_collection_write(c, b, true, NULL, &err)) fail_msg("%s", err.text);
        nx_writes_destroy(b);
    }
}

/* "c" as old says, "d" as fresh. Returns the last request of c. */
static uint64_t start(nx_store **s, sim_disk *disk, model *old, model *fresh, uint64_t *rng)
{
    nx_config config = model_config();
    nx_error  err;

    sim_init(disk);
    sim_put(&disk->safe, "store", NULL);
    sim_put(&disk->now, "store", NULL);
    *s = open_store(disk);
    assert_int_equal(nx_store_create_collection(*s, NX_STR("c"), &config, NULL), NX_OK);
    assert_int_equal(nx_store_create_collection(*s, NX_STR("d"), &config, NULL), NX_OK);
    model_init(old);
    model_init(fresh);
    nx_collection *c = find(*s, "c"), *d = find(*s, "d");
    requests(c, old, rng, 30);
    requests(d, fresh, rng, 40);
    assert_int_equal(nx_collection_flush(d, &err), NX_OK);
    requests(d, fresh, rng, 10);
    nx_snapshot *snap = nx_snapshot_take(c);
    uint64_t     seq = nx_snapshot_seq(snap);
    nx_snapshot_release(snap);
    nx_collection_release(c);
    nx_collection_release(d);
    return seq;
}

static nx_status replace(nx_store *s, uint64_t seq, nx_error *err)
{
    return nx_store_replace_collection(s, NX_STR("c"), NX_STR("d"), seq, err);
}

static void it_takes_its_place(void **state)
{
    sim_disk  disk;
    nx_store *s;
    model     old, fresh;
    uint64_t  rng = 3, seq = start(&s, &disk, &old, &fresh, &rng);
    nx_error  err;

    (void)state;
    nx_collection *c = find(s, "c"), *d = find(s, "d"), *now;
    assert_int_equal(replace(s, seq - 1, &err), NX_EBUSY);
    assert_int_equal(nx_store_replace_collection(s, NX_STR("c"), NX_STR("c"), seq, &err),
                     NX_EINVAL);
    assert_int_equal(nx_store_replace_collection(s, NX_STR("x"), NX_STR("d"), seq, &err),
                     NX_ENOENT);
    assert_int_equal(nx_store_replace_collection(s, NX_STR("c"), NX_STR("x"), seq, &err),
                     NX_ENOENT);
    requests(d, &fresh, &rng, 3); /* it still takes them */
    if (replace(s, seq, &err)) fail_msg("%s", err.text);
    assert_string_equal(model_differs(&old, c), "");
    assert_string_equal(model_differs(&fresh, d), "");
    nx_writes *b = nx_writes_create(d);
    assert_int_equal(nx_writes_delete(b, model_id(1), &err), NX_OK);
    assert_int_equal(nx_collection_write(d, b, true, NULL, &err), NX_ENOENT);
    nx_writes_destroy(b);
    nx_collection_release(c);
    nx_collection_release(d);
    assert_int_equal(nx_store_find(&d, s, NX_STR("d"), &err), NX_ENOENT);
    now = find(s, "c");
    requests(now, &fresh, &rng, 20);
    assert_string_equal(model_differs(&fresh, now), "");
    nx_collection_release(now);
    nx_store_close(s);
    s = open_store(&disk);
    now = find(s, "c");
    assert_string_equal(model_differs(&fresh, now), "");
    nx_collection_release(now);
    nx_store_close(s);
    sim_free(&disk);
}

/* ---- The power goes ---- */

typedef struct watch {
    model    old, fresh;
    uint64_t rng;
    int      n_states;
    bool     done;
} watch;

static void check_after(watch *w, sim_disk *after)
{
    nx_store      *s = open_store(after);
    nx_collection *c = find(s, "c"), *d;
    nx_error       err;
    const char    *x = w->done ? "replaced" : model_differs(&w->old, c);

    if (*x) x = model_differs(&w->fresh, c);
    if (*x) fail_msg("after a crash (state %d): %s", w->n_states, x);
    nx_collection_release(c);
    if (!nx_store_find(&d, s, NX_STR("d"), &err)) {
        assert_false(w->done);
        assert_string_equal(model_differs(&w->fresh, d), "");
        nx_collection_release(d);
    }
    nx_store_close(s);
    for (int i = 0; i < after->now.n; i++)
        if (strstr(after->now.v[i].path, ".import") || strstr(after->now.v[i].path, ".next"))
            fail_msg("state %d left %s", w->n_states, after->now.v[i].path);
}

static void check_state(sim_disk *disk, void *ctx)
{
    watch *w = ctx;

    w->n_states++;
    for (int i = 0; i < 3; i++) {
        sim_disk after;
        sim_crash(&after, disk, sim_random(&w->rng));
        check_after(w, &after);
        sim_free(&after);
    }
}

static void no_crash_leaves_half_of_it(void **state)
{
    sim_disk  disk;
    nx_store *s;
    watch     w = {.rng = 6};
    nx_error  err;
    uint64_t  seq = start(&s, &disk, &w.old, &w.fresh, &w.rng);

    (void)state;
    disk.hook_ctx = &w;
    disk.hook = check_state;
    if (replace(s, seq, &err)) fail_msg("%s", err.text);
    w.done = true;
    check_state(&disk, &w);
    disk.hook = NULL;
    assert_true(w.n_states > 5);
    nx_store_close(s);
    sim_free(&disk);
}

/* ---- A call fails ---- */

static bool run_with_failure(int64_t n, bool forever)
{
    sim_disk  disk;
    nx_store *s;
    model     old, fresh;
    uint64_t  rng = 8, seq = start(&s, &disk, &old, &fresh, &rng);
    nx_error  err;

    int64_t calls = disk.n_calls;
    sim_fail_at(&disk, n, forever);
    nx_status st = replace(s, seq, &err);
    bool      beyond = disk.n_calls - calls <= n;
    sim_fail_at(&disk, -1, false);
    if (st && st != NX_EIO) fail_msg("call %d: %s", (int)n, err.text);
    nx_store_close(s);
    s = open_store(&disk);
    nx_collection *c = find(s, "c");
    const char    *x = st ? model_differs(&old, c) : "replaced";
    if (*x) x = model_differs(&fresh, c);
    if (*x) fail_msg("call %d, opened anew: %s", (int)n, x);
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
    return !beyond;
}

static void every_call_may_fail(void **state)
{
    int64_t n = 0;

    (void)state;
    for (bool more = true; more; n++) {
        more = run_with_failure(n, false);
        run_with_failure(n, true);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_takes_its_place),
        cmocka_unit_test(no_crash_leaves_half_of_it),
        cmocka_unit_test(every_call_may_fail),
    };

    nx_log_setup(&(nx_log_options){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
