/* Protects: aliases lead to their collections, change together, and are what was last acknowledged,
 * whatever fails and whenever the power goes; a name is a collection or an alias, never both. */
#include "model.h"

#include "store/aliases.h"

static nx_store *open_store(sim_disk *disk)
{
    nx_store_options opt = {.disk = &disk->base, .distances = &plain_distances};
    nx_store        *s;
    nx_error         err;

    if (nx_store_open(&s, "store", &opt, &err)) fail_msg("%s", err.text);
    return s;
}

static nx_store *start(sim_disk *disk)
{
    nx_config config = {0};

    sim_init(disk);
    sim_put(&disk->safe, "store", NULL);
    sim_put(&disk->now, "store", NULL);
    nx_store *s = open_store(disk);
    assert_int_equal(nx_store_create_collection(s, NX_STR("one"), &config, NULL), NX_OK);
    assert_int_equal(nx_store_create_collection(s, NX_STR("two"), &config, NULL), NX_OK);
    return s;
}

static nx_alias_change create(const char *alias, const char *to)
{
    return (nx_alias_change){NX_ALIAS_CREATE, nx_str_of(alias), nx_str_of(to)};
}

static nx_status change(nx_store *s, nx_alias_change x, nx_error *err)
{
    return nx_store_change_aliases(s, &x, 1, err);
}

/* "a>one b>two", in order. */
static const char *list_of(nx_store *s)
{
    static char text[400];
    nx_alias   *list;
    size_t      n;
    nx_error    err;

    text[0] = '\0';
    if (nx_store_list_aliases(s, &list, &n, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s>%s", i ? " " : "",
                 list[i].alias, list[i].collection);
    nx_free(list);
    return text;
}

static const char *found_as(nx_store *s, const char *name)
{
    static char    text[64];
    nx_collection *c;

    if (nx_store_find(&c, s, nx_str_of(name), NULL)) return "";
    snprintf(text, sizeof text, "%s", nx_collection_name(c).p);
    nx_collection_release(c);
    return text;
}

static void they_lead_to_collections(void **state)
{
    sim_disk  disk;
    nx_store *s = start(&disk);
    nx_config config = {0};
    nx_error  err;

    (void)state;
    assert_string_equal(found_as(s, "a"), "");
    assert_int_equal(change(s, create("a", "one"), &err), NX_OK);
    assert_int_equal(change(s, create("b/../c", "one"), &err), NX_OK);
    assert_string_equal(found_as(s, "a"), "one");
    assert_int_equal(change(s, create("a", "two"), &err), NX_OK); /* moved */
    assert_string_equal(found_as(s, "a"), "two");
    assert_string_equal(list_of(s), "a>two b/../c>one");
    const nx_alias_change swap[] = {{NX_ALIAS_DELETE, NX_STR("b/../c"), NX_STR("")},
                                    {NX_ALIAS_RENAME, NX_STR("a"), NX_STR("z")},
                                    {NX_ALIAS_CREATE, NX_STR("a"), NX_STR("one")}};
    assert_int_equal(nx_store_change_aliases(s, swap, 3, &err), NX_OK);
    assert_string_equal(list_of(s), "a>one z>two");
    nx_alias_change none = {NX_ALIAS_DELETE, NX_STR("nobody"), NX_STR("")};
    assert_int_equal(change(s, none, &err), NX_OK);

    /* Names are had once; what fails leaves all as it was. */
    const nx_alias_change half[] = {{NX_ALIAS_DELETE, NX_STR("a"), NX_STR("")},
                                    {NX_ALIAS_RENAME, NX_STR("nobody"), NX_STR("x")}};
    assert_int_equal(nx_store_change_aliases(s, half, 2, &err), NX_ENOENT);
    assert_string_equal(err.text, "Alias nobody does not exists!");
    assert_int_equal(change(s, create("x", "nobody"), &err), NX_ENOENT);
    assert_int_equal(change(s, create("x", "a"), &err), NX_ENOENT); /* of an alias there is none */
    assert_int_equal(change(s, create("two", "one"), &err), NX_EBUSY);
    assert_int_equal(change(s, create("", "one"), &err), NX_EINVAL);
    assert_int_equal(change(s, create("\xff", "one"), &err), NX_EINVAL);
    assert_int_equal(nx_store_create_collection(s, NX_STR("a"), &config, &err), NX_EBUSY);
    assert_string_equal(list_of(s), "a>one z>two");
    assert_int_equal(nx_store_drop_collection(s, NX_STR("a"), &err),
                     NX_ENOENT); /* by its name only */
    nx_store_close(s);

    s = open_store(&disk);
    assert_string_equal(list_of(s), "a>one z>two");
    assert_int_equal(nx_store_drop_collection(s, NX_STR("one"), &err), NX_OK);
    assert_string_equal(list_of(s), "z>two");
    assert_string_equal(found_as(s, "a"), "");
    assert_int_equal(nx_store_create_collection(s, NX_STR("one"), &config, &err), NX_OK);
    assert_string_equal(found_as(s, "a"), "");
    nx_store_close(s);
    s = open_store(&disk);
    assert_string_equal(list_of(s), "z>two");
    nx_store_close(s);
    sim_free(&disk);
}

/* A collection went, its aliases' file couldn't be written: a new one of that name has none. */
static void a_stale_one_never_comes_back(void **state)
{
    nx_config config = {0};
    sim_disk  disk;
    nx_error  err;

    (void)state;
    for (int64_t n = 0; n < 12; n++) {
        nx_store *s = start(&disk);
        assert_int_equal(change(s, create("a", "one"), &err), NX_OK);
        sim_fail_at(&disk, n, true);
        bool dropped = nx_store_drop_collection(s, NX_STR("one"), &err) == NX_OK;
        nx_store_close(s);
        sim_fail_at(&disk, -1, false);
        s = open_store(&disk);
        bool there = *found_as(s, "one");
        assert_false(dropped && there);
        assert_string_equal(found_as(s, "a"), there ? "one" : "");
        if (!there) {
            assert_int_equal(nx_store_create_collection(s, NX_STR("one"), &config, &err), NX_OK);
            nx_store_close(s);
            s = open_store(&disk);
            assert_string_equal(found_as(s, "a"), "");
        }
        nx_store_close(s);
        sim_free(&disk);
    }
}

typedef struct watch {
    char     before[400], after[400];
    uint64_t rng;
    int      n_states;
} watch;

static void check_state(sim_disk *d, void *ctx)
{
    watch   *w = ctx;
    sim_disk after;

    for (int i = 0; i < 5; i++, w->n_states++) {
        sim_crash(&after, d, sim_random(&w->rng));
        nx_store   *s = open_store(&after);
        const char *list = list_of(s);
        if (strcmp(list, w->before) != 0 && strcmp(list, w->after) != 0)
            fail_msg("after a crash: %s, expected %s or %s", list, w->before, w->after);
        nx_store_close(s);
        sim_free(&after);
    }
}

static void no_crash_halves_a_change(void **state)
{
    static const char *const lists[] = {"", "a>one b>two", "b>one c>one"};
    const nx_alias_change    first[] = {create("a", "one"), create("b", "two")};
    const nx_alias_change    second[] = {{NX_ALIAS_RENAME, NX_STR("a"), NX_STR("c")},
                                         create("b", "one")};
    const nx_alias_change    third[] = {{NX_ALIAS_DELETE, NX_STR("b"), NX_STR("")},
                                        {NX_ALIAS_DELETE, NX_STR("c"), NX_STR("")}};
    const nx_alias_change   *all[] = {first, second, third};
    sim_disk                 disk;
    nx_store                *s = start(&disk);
    watch                    w = {.rng = 77};
    nx_error                 err;

    (void)state;
    disk.hook_ctx = &w;
    disk.hook = check_state;
    for (int i = 0; i < 15; i++) {
        strcpy(w.before, lists[i % 3]);
        strcpy(w.after, lists[(i + 1) % 3]);
        if (nx_store_change_aliases(s, all[i % 3], 2, &err)) fail_msg("%s", err.text);
        assert_string_equal(list_of(s), w.after);
        strcpy(w.before, w.after);
    }
    disk.hook = NULL;
    assert_true(w.n_states > 300);
    nx_store_close(s);
    sim_free(&disk);
}

static void every_call_and_allocation_may_fail(void **state)
{
    sim_disk disk;
    nx_error err;

    (void)state;
    for (int64_t n = 0; n < 12; n++)
        for (int forever = 0; forever < 2; forever++) {
            nx_store *s = start(&disk);
            assert_int_equal(change(s, create("a", "one"), &err), NX_OK);
            sim_fail_at(&disk, n, forever);
            nx_status st = change(s, create("a", "two"), &err);
            sim_fail_at(&disk, -1, false);
            assert_true(st == NX_OK || st == NX_EIO);
            assert_string_equal(found_as(s, "a"), st ? "one" : "two");
            nx_store_close(s);
            s = open_store(&disk);
            const char *as = found_as(s, "a");
            assert_true(strcmp(as, "two") == 0 || (st && strcmp(as, "one") == 0));
            nx_store_close(s);
            sim_free(&disk);
        }
    nx_store *s = start(&disk);
    nx_status st = NX_ENOMEM;
    for (int64_t n = 0; st; n++) {
        nx_alloc_fail_after(n);
        st = change(s, create("a", "two"), &err);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
        assert_string_equal(found_as(s, "a"), st ? "" : "two");
    }
    nx_store_close(s);
    sim_free(&disk);
}

/* Collections serve; what aliases were, nobody claims to know. */
static void damage_is_seen(void **state)
{
    sim_disk       disk;
    nx_store      *s = start(&disk);
    nx_collection *c;
    nx_alias      *list;
    size_t         n;
    nx_error       err;

    (void)state;
    assert_int_equal(change(s, create("a", "one"), &err), NX_OK);
    nx_store_close(s);
    sim_node *node = disk.now.v[sim_find(&disk.now, "store/.aliases")].node;
    for (size_t at = 0; at <= node->now_n; at++) {
        size_t bytes = node->now_n;
        if (at < bytes)
            node->now[at] ^= (uint8_t)(1 << at % 8);
        else
            node->now_n = 0; /* cut to nothing */
        s = open_store(&disk);
        assert_string_equal(found_as(s, "one"), "one");
        assert_int_equal(nx_store_find(&c, s, NX_STR("a"), &err), NX_EFORMAT);
        assert_non_null(strstr(err.text, "store/.aliases"));
        assert_int_equal(nx_store_list_aliases(s, &list, &n, &err), NX_EFORMAT);
        assert_int_equal(change(s, create("b", "one"), &err), NX_EFORMAT);
        nx_store_close(s);
        node->now_n = bytes;
        if (at < bytes) node->now[at] ^= (uint8_t)(1 << at % 8);
    }
    s = open_store(&disk);
    assert_string_equal(list_of(s), "a>one");
    nx_store_close(s);
    sim_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_lead_to_collections),
        cmocka_unit_test(a_stale_one_never_comes_back),
        cmocka_unit_test(no_crash_halves_a_change),
        cmocka_unit_test(every_call_and_allocation_may_fail),
        cmocka_unit_test(damage_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
