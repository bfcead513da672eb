/* Protects: payload indexes and notes are what was last acknowledged, whole, whatever fails and
 * whenever the power goes; a damaged file quarantines its collection with the reason; what is in a
 * reader's hand stays as it is. */
#include "model.h"

#include "store/settings_file.h"

static nx_index_spec spec(const char *path, nx_index_kind kind)
{
    return (nx_index_spec){.path = nx_str_of(path),
                           .kind = kind,
                           .lookup = true,
                           .words.lowercase = true,
                           .note = NX_STR("{\"type\":\"x\"}")};
}

static nx_status open_on(nx_store **store, nx_collection **c, sim_disk *disk, nx_error *err)
{
    nx_store_options opt = {.disk = &disk->base, .distances = &plain_distances};
    nx_status        st = nx_store_open(store, "store", &opt, err);

    *c = NULL;
    if (st) return st;
    st = nx_store_find(c, *store, NX_STR("c"), err);
    if (st) nx_store_close(*store);
    return st;
}

static void start(sim_disk *disk, nx_store **store, nx_collection **c)
{
    nx_store_options opt = {.disk = &disk->base, .distances = &plain_distances};
    nx_config        config = model_config();
    nx_error         err;

    sim_init(disk);
    sim_put(&disk->safe, "store", NULL);
    sim_put(&disk->now, "store", NULL);
    if (nx_store_open(store, "store", &opt, &err)) fail_msg("%s", err.text);
    if (nx_store_create_collection(*store, NX_STR("c"), &config, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_store_find(c, *store, NX_STR("c"), &err), NX_OK);
}

static void stop(sim_disk *disk, nx_store *store, nx_collection *c)
{
    nx_collection_release(c);
    nx_store_close(store);
    sim_free(disk);
}

static void bytes_come_back(void **state)
{
    const nx_str       stopwords[] = {{"the", 3}, {"", 0}, {"\xc3\xa9t\xc3\xa9", 5}};
    nx_index_spec      specs[] = {spec("a.b[]", NX_INDEX_TEXT), spec("n", NX_INDEX_INTEGER)};
    nx_settings        s = {.version = 7, .note = NX_STR("note"), .indexes = specs, .n_indexes = 2};
    nx_buf             b = {.max = 1 << 20};
    const nx_settings *back;
    nx_error           err;

    (void)state;
    specs[0].words = (nx_words_spec){.kind = NX_WORDS_PREFIX,
                                     .phrase = true,
                                     .min_chars = 2,
                                     .max_chars = 20,
                                     .stemmer = NX_STR("english"),
                                     .stopwords = stopwords,
                                     .n_stopwords = 3};
    specs[1].range = true;
    assert_int_equal(nx_settings_check(&s, &err), NX_OK);
    assert_int_equal(nx_settings_write(&b, &s, &err), NX_OK);
    assert_int_equal(nx_settings_read(&back, b.data, b.len, &err), NX_OK);
    nx_settings_retain(back);
    nx_settings_release(back);
    assert_int_equal(back->version, 7);
    assert_true(nx_str_eq(back->note, s.note));
    const nx_index_spec *x = nx_settings_index(back, NX_STR("a.b[]"));
    assert_ptr_equal(x, &back->indexes[0]);
    assert_null(nx_settings_index(back, NX_STR("a")));
    assert_int_equal(x->kind, NX_INDEX_TEXT);
    assert_true(x->lookup && !x->range && x->words.phrase && !x->words.lowercase);
    assert_int_equal(x->words.kind, NX_WORDS_PREFIX);
    assert_int_equal(x->words.max_chars, 20);
    assert_true(nx_str_eq(x->words.stemmer, NX_STR("english")));
    assert_int_equal(x->words.n_stopwords, 3);
    for (int i = 0; i < 3; i++) assert_true(nx_str_eq(x->words.stopwords[i], stopwords[i]));
    assert_true(nx_settings_index(back, NX_STR("n"))->range);
    nx_settings_release(back);
    for (size_t n = 0; n < b.len; n++) { /* every beginning is refused */
        assert_int_equal(nx_settings_read(&back, b.data, n, &err), NX_EFORMAT);
        assert_null(back);
    }
    nx_buf_free(&b);
}

static void bad_ones_are_refused(void **state)
{
    static const char *const paths[] = {"", "a[", "a..b", "\xff"};
    sim_disk                 disk;
    nx_store                *store;
    nx_collection           *c;
    nx_error                 err;

    (void)state;
    start(&disk, &store, &c);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        nx_index_spec x = spec(paths[i], NX_INDEX_KEYWORD);
        assert_int_equal(nx_collection_create_index(c, &x, &err), NX_EINVAL);
    }
    nx_index_spec kind = spec("a", (nx_index_kind)9), words = spec("a", NX_INDEX_TEXT);
    assert_int_equal(nx_collection_create_index(c, &kind, &err), NX_EINVAL);
    words.words.min_chars = 5;
    words.words.max_chars = 4;
    assert_int_equal(nx_collection_create_index(c, &words, &err), NX_EINVAL);
    assert_int_equal(nx_collection_drop_index(c, NX_STR("a"), &err), NX_ENOENT);
    for (int i = 0; i <= NX_INDEXES_MAX; i++) {
        char          path[16] = "";
        nx_index_spec x = spec(path, NX_INDEX_KEYWORD);
        snprintf(path, sizeof path, "p%d", i);
        x.path = nx_str_of(path);
        assert_int_equal(nx_collection_create_index(c, &x, &err),
                         i < NX_INDEXES_MAX ? NX_OK : NX_ELIMIT);
    }
    const nx_settings *s = nx_collection_settings(c);
    assert_int_equal(s->n_indexes, NX_INDEXES_MAX);
    assert_int_equal(s->version, NX_INDEXES_MAX);
    nx_settings_release(s);
    stop(&disk, store, c);
}

static void they_stay_and_change(void **state)
{
    nx_index_spec  b = spec("b", NX_INDEX_KEYWORD), a = spec("a", NX_INDEX_INTEGER);
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_error       err;

    (void)state;
    start(&disk, &store, &c);
    const nx_settings *first = nx_collection_settings(c);
    assert_int_equal(nx_collection_create_index(c, &b, &err), NX_OK);
    assert_int_equal(nx_collection_create_index(c, &a, &err), NX_OK);
    a.kind = NX_INDEX_FLOAT;
    assert_int_equal(nx_collection_create_index(c, &a, &err), NX_OK); /* in place of it */
    assert_int_equal(nx_collection_set_note(c, NX_STR("mine"), &err), NX_OK);
    assert_int_equal(first->n_indexes, 0); /* what a reader has stays */
    nx_settings_release(first);
    nx_collection_release(c);
    nx_store_close(store);
    assert_int_equal(open_on(&store, &c, &disk, &err), NX_OK);
    const nx_settings *s = nx_collection_settings(c);
    assert_int_equal(s->version, 4);
    assert_int_equal(s->n_indexes, 2);
    assert_int_equal(s->indexes[0].kind, NX_INDEX_FLOAT);
    assert_true(nx_str_eq(s->indexes[1].path, NX_STR("b")));
    assert_true(nx_str_eq(s->note, NX_STR("mine")));
    nx_settings_release(s);
    assert_int_equal(nx_collection_drop_index(c, NX_STR("a"), &err), NX_OK);
    s = nx_collection_settings(c);
    assert_int_equal(s->n_indexes, 1);
    nx_settings_release(s);
    assert_int_equal(nx_store_drop_collection(store, NX_STR("c"), &err), NX_OK);
    assert_int_equal(nx_collection_set_note(c, NX_STR("late"), &err), NX_ENOENT); /* dropped */
    stop(&disk, store, c);
}

/* The i-th change of a run that repeats itself. */
static nx_status change(nx_collection *c, int i, nx_error *err)
{
    char          text[16] = "";
    nx_index_spec x = spec(text, NX_INDEX_KEYWORD);

    snprintf(text, sizeof text, "k%d", i % 3);
    x.path = nx_str_of(text);
    switch (i % 4) {
    case 0:
    case 1: return nx_collection_create_index(c, &x, err);
    case 2: return nx_collection_set_note(c, x.path, err);
    default:
        snprintf(text, sizeof text, "k%d", (i - 2) % 3);
        return nx_collection_drop_index(c, nx_str_of(text), err);
    }
}

typedef struct watch {
    uint64_t acknowledged, rng;
    int      n_states;
} watch;

static void check_state(sim_disk *d, void *ctx)
{
    watch         *w = ctx;
    sim_disk       after;
    nx_store      *store;
    nx_collection *c;
    nx_error       err;

    for (int i = 0; i < 4; i++, w->n_states++) {
        sim_crash(&after, d, sim_random(&w->rng));
        if (open_on(&store, &c, &after, &err)) fail_msg("after a crash: %s", err.text);
        const nx_settings *s = nx_collection_settings(c);
        if (s->version != w->acknowledged && s->version != w->acknowledged + 1)
            fail_msg("after a crash: version %llu, acknowledged %llu",
                     (unsigned long long)s->version, (unsigned long long)w->acknowledged);
        nx_settings_release(s);
        stop(&after, store, c);
    }
}

static void no_crash_loses_or_halves_a_change(void **state)
{
    watch          w = {.rng = 5};
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_error       err;

    (void)state;
    start(&disk, &store, &c);
    disk.hook_ctx = &w;
    disk.hook = check_state;
    for (int i = 0; i < 24; i++) {
        if (change(c, i, &err)) fail_msg("%s", err.text);
        w.acknowledged++;
    }
    disk.hook = NULL;
    assert_true(w.n_states > 300);
    stop(&disk, store, c);
}

/* False: the n-th call was beyond the run. */
static bool run_with_failure(int64_t n, bool forever)
{
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_error       err;
    uint64_t       good = 0, maybe = 0;

    start(&disk, &store, &c);
    int64_t calls = disk.n_calls;
    sim_fail_at(&disk, n, forever);
    for (int i = 0; i < 8; i++) {
        nx_status          st = change(c, i, &err);
        const nx_settings *s = nx_collection_settings(c);
        if (st && st != NX_EIO && st != NX_ENOENT) fail_msg("call %d: %s", (int)n, err.text);
        if (!st) good = maybe = good + 1;
        if (st == NX_EIO) maybe = good + 1;
        assert_int_equal(s->version, good); /* what failed isn't in force */
        nx_settings_release(s);
    }
    bool beyond = disk.n_calls - calls <= n;
    nx_collection_release(c);
    nx_store_close(store);
    sim_fail_at(&disk, -1, false);
    if (open_on(&store, &c, &disk, &err)) fail_msg("call %d: %s", (int)n, err.text);
    const nx_settings *s = nx_collection_settings(c);
    assert_true(s->version == good || s->version == maybe);
    nx_settings_release(s);
    stop(&disk, store, c);
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

static void every_allocation_may_fail(void **state)
{
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_error       err;

    (void)state;
    start(&disk, &store, &c);
    for (int i = 0; i < 8; i++) {
        nx_status st = NX_ENOMEM;
        for (int64_t n = 0; st; n++) {
            nx_alloc_fail_after(n);
            st = change(c, i, &err);
            nx_alloc_fail_after(-1);
            if (st && st != NX_ENOMEM) fail_msg("%s", err.text);
        }
    }
    const nx_settings *s = nx_collection_settings(c);
    assert_int_equal(s->version, 8);
    nx_settings_release(s);
    stop(&disk, store, c);
}

static void damage_is_seen(void **state)
{
    nx_index_spec  x = spec("b", NX_INDEX_KEYWORD);
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_error       err;

    (void)state;
    start(&disk, &store, &c);
    assert_int_equal(nx_collection_create_index(c, &x, &err), NX_OK);
    nx_collection_release(c);
    nx_store_close(store);
    sim_node *node = disk.now.v[sim_find(&disk.now, "store/c/settings")].node;
    for (size_t at = 0; at < node->now_n; at++) {
        node->now[at] ^= (uint8_t)(1 << at % 8);
        assert_int_equal(open_on(&store, &c, &disk, &err), NX_EFORMAT);
        assert_non_null(strstr(err.text, "store/c/settings"));
        node->now[at] ^= (uint8_t)(1 << at % 8);
    }
    assert_int_equal(open_on(&store, &c, &disk, &err), NX_OK);
    stop(&disk, store, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back),      cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(they_stay_and_change), cmocka_unit_test(no_crash_loses_or_halves_a_change),
        cmocka_unit_test(every_call_may_fail),  cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(damage_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
