/* Protects: a collection leaves as one file and comes back from it the same, elsewhere or in its own
 * place; in one step, whatever fails and whenever the power goes; a file that is damaged, cut, too long
 * or mixed is refused with the place, and leaves everything as it was. */
#include <fcntl.h>

#include "base/log.h"
#include "model.h"

#define FILE_PATH "snaps/c.snapshot"

static nx_store *open_store(sim_disk *disk, const char *dir)
{
    nx_store_options opt = {
        .disk = &disk->base, .distances = &plain_distances, .head_bytes_max = 6000};
    nx_store *s;
    nx_error  err;

    disk->locked = false; /* there are two stores on this disk */
    if (nx_store_open(&s, dir, &opt, &err)) fail_msg("%s", err.text);
    return s;
}

static nx_store *start(sim_disk *disk)
{
    static const char *const dirs[] = {"store", "other", "snaps"};
    nx_config                config = model_config();

    sim_init(disk);
    for (int i = 0; i < 3; i++) {
        sim_put(&disk->safe, dirs[i], NULL);
        sim_put(&disk->now, dirs[i], NULL);
    }
    nx_store *s = open_store(disk, "store");
    assert_int_equal(nx_store_create_collection(s, NX_STR("c"), &config, NULL), NX_OK);
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

/* Some requests, a flush, an index, some more; and the file. */
static void fill_and_export(nx_store *s, model *m, uint64_t *rng)
{
    nx_index_spec    x = {.path = NX_STR("k1"), .kind = NX_INDEX_INTEGER, .range = true};
    nx_collection   *c = find(s, "c");
    nx_export_report report;
    nx_error         err;

    model_init(m);
    requests(c, m, rng, 60);
    assert_int_equal(nx_collection_flush(c, &err), NX_OK);
    requests(c, m, rng, 15);
    assert_int_equal(nx_collection_create_index(c, &x, &err), NX_OK);
    if (nx_collection_export(c, FILE_PATH, NULL, NULL, &report, &err)) fail_msg("%s", err.text);
    assert_true(report.bytes > 1000);
    nx_collection_release(c);
}

static nx_status import(nx_store *s, const char *name, bool replace, nx_error *err)
{
    return nx_store_import_collection(s, nx_str_of(name), FILE_PATH, replace, NULL, NULL, err);
}

static uint64_t version_of(nx_collection *c, nx_point_id id)
{
    nx_snapshot  *s = nx_snapshot_take(c);
    nx_point_copy p = {0};
    uint64_t      v = nx_snapshot_get(s, &p, id, NULL) ? 0 : p.point.version;

    nx_point_copy_free(&p);
    nx_snapshot_release(s);
    return v;
}

static void it_comes_back_elsewhere(void **state)
{
    sim_disk       disk;
    nx_store      *s = start(&disk), *other;
    nx_collection *from, *to;
    model          m, before;
    uint64_t       rng = 4;
    nx_error       err;

    (void)state;
    fill_and_export(s, &m, &rng);
    before = m;
    from = find(s, "c");
    other = open_store(&disk, "other");
    nx_alias_change alias = {NX_ALIAS_CREATE, NX_STR("a"), NX_STR("../x")};
    if (import(other, "../x", false, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_store_change_aliases(other, &alias, 1, &err), NX_OK);
    assert_int_equal(import(other, "a", true, &err), NX_EBUSY); /* an alias */
    assert_int_equal(import(other, "../x", false, &err), NX_EBUSY);
    to = find(other, "a");
    assert_string_equal(model_differs(&m, to), "");
    for (int slot = 0; slot < 2; slot++)
        assert_string_equal(model_search_differs(&m, to, slot, 20, &rng), "");
    for (int i = 0; i < MODEL_IDS; i++)
        assert_int_equal(version_of(to, model_id(i)), version_of(from, model_id(i)));
    const nx_settings *settings = nx_collection_settings(to);
    assert_int_equal(settings->n_indexes, 1);
    assert_true(settings->indexes[0].range);
    nx_settings_release(settings);
    assert_true(nx_str_eq(nx_collection_config(to)->note, NX_STR("note")));
    requests(to, &m, &rng, 30);
    nx_collection_release(to);
    nx_store_close(other);
    other = open_store(&disk, "other");
    to = find(other, "../x");
    assert_string_equal(model_differs(&m, to), "");

    /* And back to what it was, under the same names; who holds the old one reads on. */
    if (import(other, "../x", true, &err)) fail_msg("%s", err.text);
    assert_string_equal(model_differs(&m, to), "");
    nx_writes *b = nx_writes_create(to);
    assert_int_equal(nx_writes_delete(b, model_id(1), &err), NX_OK);
    assert_int_equal(nx_collection_write(to, b, true, NULL, &err), NX_ENOENT);
    nx_writes_destroy(b);
    nx_collection_release(to);
    to = find(other, "a");
    assert_string_equal(model_differs(&before, to), "");
    requests(to, &before, &rng, 5);
    nx_collection_release(to);
    nx_collection_release(from);
    nx_store_close(other);
    nx_store_close(s);
    sim_free(&disk);
}

static void nothing_is_a_snapshot_too(void **state)
{
    sim_disk       disk;
    nx_store      *s = start(&disk);
    nx_collection *c = find(s, "c");
    nx_error       err;
    model          m;

    (void)state;
    model_init(&m);
    assert_int_equal(nx_collection_export(c, FILE_PATH, NULL, NULL, NULL, &err), NX_OK);
    assert_int_equal(nx_collection_export(c, "nowhere/x", NULL, NULL, NULL, &err), NX_OK);
    nx_collection_release(c);
    if (import(s, "d", false, &err)) fail_msg("%s", err.text);
    c = find(s, "d");
    assert_string_equal(model_differs(&m, c), "");
    nx_collection_release(c);
    assert_int_equal(
        nx_store_import_collection(s, NX_STR("e"), "snaps/none", false, NULL, NULL, &err),
        NX_ENOENT);
    nx_store_close(s);
    sim_free(&disk);
}

/* ---- The power goes, a call fails ---- */

typedef struct watch {
    model    old, fresh;
    uint64_t rng;
    int      n_states;
} watch;

static void check_state(sim_disk *d, void *ctx)
{
    watch   *w = ctx;
    sim_disk after;

    for (int i = 0; i < 3; i++, w->n_states++) {
        sim_crash(&after, d, sim_random(&w->rng));
        nx_store      *s = open_store(&after, "store");
        nx_collection *c = find(s, "c");
        const char    *x = model_differs(&w->old, c);
        if (*x) x = model_differs(&w->fresh, c);
        if (*x) fail_msg("after a crash (state %d): %s", w->n_states, x);
        nx_collection_release(c);
        nx_store_close(s);
        sim_free(&after);
    }
}

static void no_crash_leaves_half_of_it(void **state)
{
    sim_disk disk;
    watch    w = {.rng = 6};
    nx_error err;

    (void)state;
    nx_store *s = start(&disk);
    fill_and_export(s, &w.fresh, &w.rng);
    nx_collection *c = find(s, "c");
    w.old = w.fresh;
    requests(c, &w.old, &w.rng, 20);
    nx_collection_release(c);
    disk.hook_ctx = &w;
    disk.hook = check_state;
    if (import(s, "c", true, &err)) fail_msg("%s", err.text);
    w.old = w.fresh; /* acknowledged: the old one must be gone */
    check_state(&disk, &w);
    disk.hook = NULL;
    assert_true(w.n_states > 100);
    nx_store_close(s);
    sim_free(&disk);
}

static bool run_with_failure(int64_t n, bool forever)
{
    sim_disk disk;
    model    old, fresh;
    uint64_t rng = 8;
    nx_error err;

    nx_store *s = start(&disk);
    fill_and_export(s, &fresh, &rng);
    nx_collection *c = find(s, "c");
    old = fresh;
    requests(c, &old, &rng, 20);
    nx_collection_release(c);
    int64_t calls = disk.n_calls;
    sim_fail_at(&disk, n, forever);
    nx_status st = import(s, "c", true, &err);
    bool      beyond = disk.n_calls - calls <= n;
    sim_fail_at(&disk, -1, false);
    if (st && st != NX_EIO) fail_msg("call %d: %s", (int)n, err.text);
    if (nx_store_find(&c, s, NX_STR("c"), &err)) { /* replaced, not open: opened anew */
        if (nx_store_reopen_collection(s, NX_STR("c"), &err)) fail_msg("%s", err.text);
        c = find(s, "c");
    }
    model *now = st ? &old : &fresh;
    if (*model_differs(now, c)) now = &fresh;
    assert_string_equal(model_differs(now, c), "");
    model      next = *now;
    nx_writes *b = nx_writes_create(c);
    assert_int_equal(model_step(b, &next, &rng), NX_OK);
    bool wrote = nx_collection_write(c, b, true, NULL, &err) == NX_OK;
    nx_writes_destroy(b);
    nx_collection_release(c);
    nx_store_close(s);
    s = open_store(&disk, "store");
    c = find(s, "c");
    const char *d = model_differs(wrote ? &next : now, c);
    if (*d && !wrote) d = model_differs(&fresh, c); /* half-way: it takes no writes for that */
    if (*d) fail_msg("call %d, opened anew: %s", (int)n, d);
    nx_collection_release(c);
    for (int i = 0; i < disk.now.n; i++)
        if (strstr(disk.now.v[i].path, ".import") || strstr(disk.now.v[i].path, ".next"))
            fail_msg("call %d left %s", (int)n, disk.now.v[i].path);
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
    assert_true(n > 30);
}

static void writing_one_may_fail(void **state)
{
    sim_disk         disk;
    nx_store        *s = start(&disk);
    nx_export_report report;
    model            m;
    uint64_t         rng = 8;
    nx_error         err;
    nx_status        st = NX_EIO;

    (void)state;
    fill_and_export(s, &m, &rng);
    disk.base.ops->remove(&disk.base, FILE_PATH, NULL);
    nx_collection *c = find(s, "c");
    for (int64_t n = 0; st; n++) {
        sim_fail_at(&disk, n, false);
        st = nx_collection_export(c, FILE_PATH, NULL, NULL, &report, &err);
        sim_fail_at(&disk, -1, false);
        if (st != NX_OK && st != NX_EIO) fail_msg("%s", err.text);
        assert_true((st == NX_OK) == (sim_find(&disk.now, FILE_PATH) >= 0));
    }
    disk.base.ops->remove(&disk.base, FILE_PATH, NULL);
    st = NX_ENOMEM;
    for (int64_t n = 0; st; n++) {
        nx_alloc_fail_after(n);
        st = nx_collection_export(c, FILE_PATH, NULL, NULL, &report, &err);
        nx_alloc_fail_after(-1);
        if (st != NX_OK && st != NX_ENOMEM) fail_msg("%s", err.text);
        assert_true((st == NX_OK) == (sim_find(&disk.now, FILE_PATH) >= 0));
    }
    st = NX_ENOMEM;
    for (int64_t n = 0; st; n++) {
        nx_alloc_fail_after(n);
        st = import(s, "c", true, &err);
        nx_alloc_fail_after(-1);
        if (st != NX_OK && st != NX_ENOMEM) fail_msg("%s", err.text);
        /* Replaced, but not open: it is opened anew. */
        assert_int_equal(nx_store_reopen_collection(s, NX_STR("c"), &err), NX_OK);
        nx_collection *now = find(s, "c");
        assert_string_equal(model_differs(&m, now), "");
        nx_collection_release(now);
    }
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
}

/* ---- Damage ---- */

static void is_refused(nx_store *s, const model *m, const char *what, size_t at)
{
    nx_error  err;
    nx_status st = import(s, "c", true, &err);

    if (st != NX_EFORMAT) fail_msg("%s %zu: %d", what, at, (int)st);
    assert_non_null(strstr(err.text, FILE_PATH));
    nx_collection *c = find(s, "c");
    assert_string_equal(model_differs(m, c), "");
    nx_collection_release(c);
}

static void no_damage_passes(void **state)
{
    sim_disk  disk;
    nx_store *s = start(&disk);
    model     m;
    uint64_t  rng = 12;
    nx_error  err;

    (void)state;
    fill_and_export(s, &m, &rng);
    sim_node *node = disk.now.v[sim_find(&disk.now, FILE_PATH)].node;
    size_t    n = node->now_n;
    for (size_t at = 0; at < n; at++) {
        node->now[at] ^= (uint8_t)(1 << at % 8);
        is_refused(s, &m, "byte", at);
        node->now[at] ^= (uint8_t)(1 << at % 8);
    }
    for (node->now_n = 0; node->now_n < n; node->now_n++) is_refused(s, &m, "cut at", node->now_n);
    sim_resize(&node->now, &node->now_n, &node->now_cap, n + 8);
    is_refused(s, &m, "longer than", n);
    node->now_n = n;
    if (import(s, "c", true, &err)) fail_msg("%s", err.text);
    nx_store_close(s);
    sim_free(&disk);
}

static bool stop_half_way(void *ctx, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    ++*(int *)ctx;
    return done * 2 < total;
}

static bool stop_now(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    assert_true(done <= total);
    return false;
}

static void it_can_be_stopped(void **state)
{
    sim_disk  disk;
    nx_store *s = start(&disk);
    model     m;
    uint64_t  rng = 12;
    int       n_calls = 0;
    nx_error  err;

    (void)state;
    fill_and_export(s, &m, &rng);
    assert_int_equal(
        nx_store_import_collection(s, NX_STR("d"), FILE_PATH, false, stop_half_way, &n_calls, &err),
        NX_ECANCELLED);
    assert_true(n_calls > 1);
    nx_collection *c = find(s, "c");
    assert_int_equal(nx_collection_export(c, "snaps/x", stop_now, NULL, NULL, &err), NX_ECANCELLED);
    for (int i = 0; i < disk.now.n; i++)
        assert_false(strstr(disk.now.v[i].path, "/d") || strstr(disk.now.v[i].path, "snaps/x"));
    assert_int_equal(import(s, "d", false, &err), NX_OK);
    nx_collection_release(c);
    nx_store_close(s);
    sim_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_elsewhere),    cmocka_unit_test(nothing_is_a_snapshot_too),
        cmocka_unit_test(no_crash_leaves_half_of_it), cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(writing_one_may_fail),       cmocka_unit_test(no_damage_passes),
        cmocka_unit_test(it_can_be_stopped),
    };

    nx_log_setup(&(nx_log_options){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
