/* Protects: whatever fails and whenever the power goes, every acknowledged request is there whole,
 * none is there in part, damage is seen or repaired, and errors leave things as they were.
 *
 * NX_CRASH_STATES (1500) crash states, NX_FLIPS (1500) flipped bits; the long form is 10,000 of
 * each. */
#include <fcntl.h>

#include "base/log.h"
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
    model          before, after; /* without, and with, the request that is under way */
    uint64_t       rng;
    int            n_states;
    bool           killed; /* once already */
} rig;

static nx_status open_on(nx_store **store, nx_collection **c, sim_disk *disk, nx_error *err)
{
    nx_store_options opt = {
        .disk = &disk->base, .distances = &plain_distances, .head_bytes_max = 6000};
    nx_status st = nx_store_open(store, "store", &opt, err);

    *c = NULL;
    if (st) return st;
    st = nx_store_find(c, *store, NX_STR("c"), err);
    if (st) nx_store_close(*store);
    return st;
}

static void create_on(sim_disk *disk)
{
    nx_store_options opt = {.disk = &disk->base, .distances = &plain_distances};
    nx_config        config = model_config();
    nx_store        *store;
    nx_error         err;

    if (nx_store_open(&store, "store", &opt, &err)) fail_msg("%s", err.text);
    if (nx_store_create_collection(store, NX_STR("c"), &config, &err)) fail_msg("%s", err.text);
    nx_store_close(store);
    disk->base.ops->sync_dir(&disk->base, "store", NULL);
    sim_put(&disk->safe, "store", NULL); /* the folder itself was there before */
}

static void rig_init(rig *r, uint64_t seed)
{
    nx_error err;

    memset(r, 0, sizeof *r);
    r->rng = seed * 1000003 + 17;
    sim_init(&r->disk);
    sim_put(&r->disk.safe, "store", NULL);
    sim_put(&r->disk.now, "store", NULL);
    create_on(&r->disk);
    if (open_on(&r->store, &r->c, &r->disk, &err)) fail_msg("%s", err.text);
    model_init(&r->before);
    r->after = r->before;
}

static void rig_free(rig *r)
{
    nx_collection_release(r->c);
    nx_store_close(r->store);
    sim_free(&r->disk);
}

/* One random request; NX_OK, and both models are what it gave, or its error. */
static nx_status request(rig *r, nx_error *err)
{
    nx_writes *b = nx_writes_create(r->c);

    for (uint64_t n = 1 + sim_random(&r->rng) % 3; n > 0; n--)
        assert_int_equal(model_step(b, &r->after, &r->rng), NX_OK);
    nx_status st = nx_collection_write(r->c, b, true, NULL, err);
    if (!st) r->before = r->after;
    nx_writes_destroy(b);
    return st;
}

/* ---- The power goes ---- */

static void open_after_crash(nx_store **store, nx_collection **c, sim_disk *disk, rig *r)
{
    nx_error err;

    r->n_states++;
    if (open_on(store, c, disk, &err))
        fail_msg("after a crash (state %d): %s", r->n_states, err.text);
}

/* With the request under way, or without it: which of them. */
static const model *which_state(rig *r, nx_collection *c)
{
    const char *x = model_differs(&r->before, c);

    if (!*x) return &r->before;
    x = model_differs(&r->after, c);
    if (*x) fail_msg("after a crash (state %d): %s", r->n_states, x);
    return &r->after;
}

/* The power goes again while the store opens. */
typedef struct again {
    rig *r;
    int  calls_left;
} again;

static void crash_again(sim_disk *d, void *ctx)
{
    again         *a = ctx;
    sim_disk       third;
    nx_store      *store;
    nx_collection *c;

    if (a->calls_left-- != 0) return;
    sim_crash(&third, d, sim_random(&a->r->rng));
    open_after_crash(&store, &c, &third, a->r);
    which_state(a->r, c);
    nx_collection_release(c);
    nx_store_close(store);
    sim_free(&third);
}

/* What was shown stays, should the power go once more: recovery is complete, and repeatable. */
static void check_it_stays(rig *r, sim_disk *disk, const model *shown)
{
    sim_disk       third;
    nx_store      *store;
    nx_collection *c;

    sim_crash(&third, disk, sim_random(&r->rng));
    open_after_crash(&store, &c, &third, r);
    const char *x = model_differs(shown, c);
    if (*x) fail_msg("after a second crash (state %d): %s", r->n_states, x);
    nx_collection_release(c);
    nx_store_close(store);
    sim_free(&third);
}

static void check_state(sim_disk *d, void *ctx);

/* The program is killed, starts anew, goes on; and then the power goes. */
static void kill_and_go_on(sim_disk *d, rig *r)
{
    rig     *k = calloc(1, sizeof *k);
    nx_error err;

    assert_non_null(k);
    k->rng = sim_random(&r->rng);
    k->killed = true;
    sim_kill(&k->disk, d);
    open_after_crash(&k->store, &k->c, &k->disk, r);
    k->before = k->after = *which_state(r, k->c);
    k->disk.hook_ctx = k;
    k->disk.hook = check_state;
    for (int i = 0; i < 4; i++)
        if (request(k, &err)) fail_msg("after a kill: %s", err.text);
    r->n_states += k->n_states;
    nx_collection_release(k->c);
    nx_store_close(k->store);
    sim_free(&k->disk);
    free(k);
}

static void check_state(sim_disk *d, void *ctx)
{
    rig           *r = ctx;
    again          a = {.r = r, .calls_left = (int)(sim_random(&r->rng) % 24)};
    sim_disk       after;
    nx_store      *store;
    nx_collection *c;

    if (!r->killed && sim_random(&r->rng) % 16 == 0) kill_and_go_on(d, r);
    if (sim_random(&r->rng) % 3) return;
    sim_crash(&after, d, sim_random(&r->rng));
    after.hook_ctx = &a;
    after.hook = crash_again;
    open_after_crash(&store, &c, &after, r);
    after.hook = NULL;
    const model *shown = which_state(r, c);
    check_it_stays(r, &after, shown);
    nx_collection_release(c);
    nx_store_close(store);
    check_it_stays(r, &after, shown);
    sim_free(&after);
}

static void no_crash_loses_or_halves_a_request(void **state)
{
    int n_states = setting("NX_CRASH_STATES", 1500), done = 0;

    (void)state;
    for (uint64_t seed = 0; done < n_states; seed++) {
        rig r;
        rig_init(&r, seed);
        r.disk.hook_ctx = &r;
        r.disk.hook = check_state;
        for (int i = 0; i < 40; i++) {
            nx_error err;
            if (request(&r, &err)) fail_msg("%s", err.text);
            if (i % 7 == 3 && nx_store_maintain(r.store, &err)) fail_msg("%s", err.text);
            if (i % 13 == 5 && nx_collection_flush(r.c, &err)) fail_msg("%s", err.text);
        }
        nx_collection_release(r.c);
        nx_store_close(r.store);
        r.disk.hook = NULL;
        done += r.n_states;
        sim_free(&r.disk);
    }
}

/* A collection that was created survives; one that wasn't acknowledged is there whole or not. */
static void check_creation(sim_disk *d, void *ctx)
{
    nx_store_options opt = {.distances = &plain_distances};
    uint64_t        *rng = ctx;
    sim_disk         after;
    nx_store        *store;
    nx_collection   *c;
    nx_error         err;

    for (int i = 0; i < 10; i++) {
        sim_crash(&after, d, sim_random(rng));
        opt.disk = &after.base;
        if (nx_store_open(&store, "store", &opt, &err)) fail_msg("%s", err.text);
        nx_status st = nx_store_find(&c, store, NX_STR("c"), &err);
        if (st != NX_OK && st != NX_ENOENT) fail_msg("%s", err.text);
        nx_collection_release(c);
        nx_store_close(store);
        sim_free(&after);
    }
}

static void creating_and_dropping_are_whole(void **state)
{
    nx_store_options opt = {.distances = &plain_distances};
    nx_config        config = model_config();
    uint64_t         rng = 3;
    sim_disk         disk;
    nx_store        *store;

    (void)state;
    sim_init(&disk);
    sim_put(&disk.safe, "store", NULL);
    sim_put(&disk.now, "store", NULL);
    opt.disk = &disk.base;
    assert_int_equal(nx_store_open(&store, "store", &opt, NULL), NX_OK);
    disk.hook_ctx = &rng;
    disk.hook = check_creation;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(nx_store_create_collection(store, NX_STR("c"), &config, NULL), NX_OK);
        assert_int_equal(nx_store_create_collection(store, NX_STR("c"), &config, NULL), NX_EBUSY);
        assert_int_equal(nx_store_drop_collection(store, NX_STR("c"), NULL), NX_OK);
        assert_int_equal(nx_store_drop_collection(store, NX_STR("c"), NULL), NX_ENOENT);
    }
    disk.hook = NULL;
    nx_store_close(store);
    sim_free(&disk);
}

/* ---- The n-th call fails ---- */

/* And the power goes now. */
static void crash_after_failure(rig *r, int64_t n)
{
    sim_disk       copy;
    nx_store      *store;
    nx_collection *c;

    for (int i = 0; i < 3; i++) {
        sim_crash(&copy, &r->disk, (uint64_t)n * 31 + (uint64_t)i);
        open_after_crash(&store, &c, &copy, r);
        which_state(r, c);
        nx_collection_release(c);
        nx_store_close(store);
        sim_free(&copy);
    }
}

/* Requests, flushes and reopening with one failing call, or all from it on. False: n was beyond. */
static bool run_with_failure(int64_t n, bool forever)
{
    rig      r;
    nx_error err = {0};

    rig_init(&r, 99);
    int64_t calls = r.disk.n_calls;
    sim_fail_at(&r.disk, n, forever);
    for (int i = 0; i < 40; i++) {
        nx_status st = request(&r, &err);
        if (st && (st != NX_EIO || !err.text[0])) fail_msg("call %lld: %s", (long long)n, err.text);
        const char *d =
            model_differs(&r.before, r.c); /* readers never see what wasn't acknowledged */
        if (*d) fail_msg("call %lld, request %d: %s", (long long)n, i, d);
        nx_collection_stats stats;
        nx_collection_read_stats(r.c, &stats);
        if (st && stats.read_only) break; /* the last one may be there, or not */
        if (st) r.after = r.before;
        if (i % 5 == 4) (void)nx_collection_flush(r.c, NULL);
    }
    bool beyond = r.disk.n_calls - calls <= n;
    crash_after_failure(&r, n);
    nx_collection_release(r.c);
    nx_store_close(r.store);
    sim_fail_at(&r.disk, -1, false);
    crash_after_failure(&r, n);
    if (open_on(&r.store, &r.c, &r.disk, &err)) fail_msg("call %lld: %s", (long long)n, err.text);
    const char *d = model_differs(&r.before, r.c);
    if (*d) d = model_differs(&r.after, r.c);
    if (*d) fail_msg("call %lld, opened anew: %s", (long long)n, d);
    r.before = r.after;
    rig_free(&r);
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
    assert_true(n > 100); /* it was about something */
}

/* Opening with a failing call: an error or a quarantine for now; the next time all is there. */
static void opening_may_fail(void **state)
{
    rig      r;
    nx_error err;
    int64_t  n = 0;

    (void)state;
    rig_init(&r, 5);
    for (int i = 0; i < 30; i++) assert_int_equal(request(&r, &err), NX_OK);
    nx_collection_release(r.c);
    nx_store_close(r.store);
    for (nx_status st = NX_EIO; st; n++) {
        sim_fail_at(&r.disk, n, false);
        st = open_on(&r.store, &r.c, &r.disk, &err);
        sim_fail_at(&r.disk, -1, false);
        if (!st) {
            if (*model_differs(&r.before, r.c)) fail_msg("call %lld", (long long)n);
            nx_collection_release(r.c);
            nx_store_close(r.store);
            if (n < 400) st = NX_EIO; /* some failures don't matter: go on until none is left */
        }
    }
    if (open_on(&r.store, &r.c, &r.disk, &err)) fail_msg("%s", err.text);
    assert_string_equal(model_differs(&r.before, r.c), "");
    rig_free(&r);
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    rig      r;
    nx_error err;

    (void)state;
    rig_init(&r, 8);
    for (int i = 0; i < 10; i++) assert_int_equal(request(&r, &err), NX_OK);
    for (int round = 0; round < 20; round++) {
        int n_refused = 0;
        r.disk.room = sim_used(&r.disk) + (uint64_t)round * 400;
        for (int i = 0; i < 30; i++) {
            nx_status st = request(&r, &err);
            if (st && st != NX_EFULL) fail_msg("round %d: %s", round, err.text);
            if (st) r.after = r.before;
            n_refused += st != NX_OK;
            if (i % 8 == 5) (void)nx_collection_flush(r.c, NULL);
            if (*model_differs(&r.before, r.c)) fail_msg("reads fail on a full disk");
        }
        assert_true(n_refused > 0 || round > 5);
        r.disk.room = UINT64_MAX / 2;
        assert_int_equal(request(&r, &err), NX_OK); /* there is room again */
    }
    if (nx_collection_flush(r.c, &err)) fail_msg("%s", err.text);
    assert_string_equal(model_differs(&r.before, r.c), "");
    rig_free(&r);
}

/* ---- No memory ---- */

static void every_allocation_may_fail(void **state)
{
    rig      r;
    nx_error err;

    (void)state;
    rig_init(&r, 12);
    for (int i = 0; i < 60; i++) {
        nx_writes *b = nx_writes_create(r.c);
        nx_status  st = NX_ENOMEM;
        assert_int_equal(model_step(b, &r.after, &r.rng), NX_OK);
        for (int64_t n = 0; st; n++) {
            nx_alloc_fail_after(n);
            st = nx_collection_write(r.c, b, true, NULL, &err);
            nx_alloc_fail_after(-1);
            if (st && st != NX_ENOMEM) fail_msg("%s", err.text);
            if (st && *model_differs(&r.before, r.c)) fail_msg("a failed request had an effect");
        }
        r.before = r.after;
        assert_string_equal(model_differs(&r.before, r.c), "");
        nx_writes_destroy(b);
        st = i % 10 == 9 ? NX_ENOMEM : NX_OK;
        for (int64_t n = 0; st; n++) {
            nx_alloc_fail_after(n);
            st = nx_collection_flush(r.c, &err);
            nx_alloc_fail_after(-1);
            if (st && st != NX_ENOMEM) fail_msg("%s", err.text);
            assert_string_equal(model_differs(&r.before, r.c), "");
        }
    }
    nx_collection_release(r.c);
    nx_store_close(r.store);
    nx_status st = NX_ENOMEM;
    for (int64_t n = 0; st; n++) {
        nx_alloc_fail_after(n);
        st = open_on(&r.store, &r.c, &r.disk, &err);
        nx_alloc_fail_after(-1);
        if (st && st != NX_ENOMEM) fail_msg("%s", err.text);
    }
    assert_string_equal(model_differs(&r.before, r.c), "");
    rig_free(&r);
}

/* ---- Damage ---- */

static bool is_error(const char *d)
{
    return strncmp(d, "get:", 4) == 0 || strncmp(d, "scroll:", 7) == 0 ||
           strncmp(d, "search:", 7) == 0;
}

/* Never a wrong answer without a word. Returns whether it was seen. */
static bool check_damaged(sim_disk *disk, const model *m, uint64_t *rng, const char *what)
{
    nx_store      *store;
    nx_collection *c;
    nx_error       err;
    bool           seen = false;

    nx_status st = open_on(&store, &c, disk, &err);
    if (st) {
        if (st != NX_EFORMAT) fail_msg("%s: %s", what, err.text);
        return true;
    }
    for (int i = 0; i < 3 && !seen; i++) {
        const char *d = i == 0 ? model_differs(m, c) : model_search_differs(m, c, i - 1, 20, rng);
        seen = *d != '\0';
        if (seen && !is_error(d)) fail_msg("%s: a wrong answer: %s", what, d);
    }
    if (!seen) seen = nx_collection_check(c, &err) != NX_OK;
    nx_collection_release(c);
    nx_store_close(store);
    return seen;
}

static void no_flipped_bit_gives_a_wrong_answer(void **state)
{
    int      n_flips = setting("NX_FLIPS", 1500), n_seen = 0;
    rig      r;
    nx_error err;

    (void)state;
    rig_init(&r, 21);
    for (int i = 0; i < 60; i++) assert_int_equal(request(&r, &err), NX_OK);
    assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
    for (int i = 0; i < 10; i++) assert_int_equal(request(&r, &err), NX_OK);
    nx_collection_release(r.c);
    nx_store_close(r.store);
    for (int i = 0; i < n_flips; i++) {
        sim_disk copy;
        char     what[SIM_PATH + 40];
        sim_crash(&copy, &r.disk, 0);
        sim_name *f;
        do f = &copy.now.v[sim_random(&r.rng) % (uint64_t)copy.now.n];
        while (!f->node || f->node->now_n == 0);
        size_t at = (size_t)(sim_random(&r.rng) % f->node->now_n);
        snprintf(what, sizeof what, "%s, byte %zu", f->path, at);
        f->node->now[at] ^= (uint8_t)(1u << sim_random(&r.rng) % 8);
        n_seen += check_damaged(&copy, &r.before, &r.rng, what);
        sim_free(&copy);
    }
    assert_true(n_seen > n_flips / 10); /* most of a small segment is zeros between sections */
    sim_free(&r.disk);
}

/* A flip in the 8-bit codes costs nothing: they are made anew, and searches find the same. */
static void damaged_codes_are_made_anew(void **state)
{
    rig      r;
    nx_error err;
    int      n_codes = 0;

    (void)state;
    rig_init(&r, 33);
    for (int i = 0; i < 40; i++) assert_int_equal(request(&r, &err), NX_OK);
    assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
    nx_collection_release(r.c);
    nx_store_close(r.store);
    for (int i = 0; i < r.disk.now.n; i++) {
        sim_node *node = r.disk.now.v[i].node;
        if (!strstr(r.disk.now.v[i].path, "/seg-")) continue;
        for (size_t at = 8192 + 65536; at + 64 < node->now_n; at += 97, n_codes++) {
            nx_store      *store;
            nx_collection *c;
            node->now[at] ^= 4;
            if (open_on(&store, &c, &r.disk, &err)) fail_msg("byte %zu: %s", at, err.text);
            assert_string_equal(model_search_differs(&r.before, c, 0, 20, &r.rng), "");
            assert_string_equal(model_differs(&r.before, c), "");
            assert_int_equal(nx_collection_check(c, &err), NX_OK);
            nx_collection_release(c);
            nx_store_close(store);
            node->now[at] ^= 4;
        }
    }
    assert_true(n_codes > 5);
    sim_free(&r.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_crash_loses_or_halves_a_request),
        cmocka_unit_test(creating_and_dropping_are_whole),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(opening_may_fail),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(no_flipped_bit_gives_a_wrong_answer),
        cmocka_unit_test(damaged_codes_are_made_anew),
    };

    /* Failures are the point: what they say in the log isn't. */
    nx_log_setup(&(nx_log_options){.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
