/* Protects: the same question at the same snapshot is retrieved once; anything that decides what is found, above all
 * the caller's tags, makes another key; a write does; bounds hold; who holds passages keeps them, also after
 * they left the cache; many threads may ask. */
#include <pthread.h>

#include "base/alloc.h"
#include "library_rig.h"
#include "rag/cache.h"

static void fill(library *l, int n)
{
    static float v[64][DIM];
    static char  text[64][80];
    slip         s[64];

    for (int i = 0; i < n; i++) {
        snprintf(text[i], sizeof text[i], "Valve %d is looked after on day %d of the month", i,
                 i * 7);
        s[i] = (slip){.doc = i, .text = nx_str_of(text[i]), .vector = direction(v[i], i, 1)};
    }
    library_put(l, s, (size_t)n);
}

static const nx_passages *ask(library *l, nx_finds *f, const nx_question *q)
{
    nx_snapshot       *snap = nx_snapshot_take(nx_shelf_collection(l->shelf));
    const nx_passages *p;

    if (nx_finds_retrieve(f, &p, l->shelf, snap, q, NULL, &l->err)) fail_msg("%s", l->err.text);
    nx_snapshot_release(snap);
    return p;
}

static void test_hits(void **state)
{
    library     l;
    nx_finds   *f;
    float       v[DIM];
    nx_question q = {.text = NX_STR("which valve"), .vector = direction(v, 0, 1), .top_k = 3};

    (void)state;
    library_open(&l);
    fill(&l, 10);
    assert_int_equal(nx_finds_create(&f, 100, 1 << 20, NULL), NX_OK);
    const nx_passages *a = ask(&l, f, &q), *b = ask(&l, f, &q);
    assert_ptr_equal(a, b);
    nx_finds_stats stats = nx_finds_read_stats(f);
    assert_int_equal(stats.n, 1);
    assert_int_equal(stats.n_requests, 2);
    assert_int_equal(stats.n_hits, 1);

    fill(&l, 11); /* a write: another snapshot */
    const nx_passages *c = ask(&l, f, &q);
    assert_ptr_not_equal(a, c);
    assert_int_equal(nx_finds_read_stats(f).n_hits, 1);

    nx_finds_clear(f);
    stats = nx_finds_read_stats(f);
    assert_true(stats.n == 0 && stats.bytes == 0 && stats.n_requests == 3);
    assert_int_equal(a->n, 3); /* still held */
    nx_finds_release(f, a);
    nx_finds_release(f, b);
    nx_finds_release(f, c);
    nx_finds_release(f, NULL);

    q.top_k = 0;
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(l.shelf));
    assert_int_equal(nx_finds_retrieve(f, &a, l.shelf, snap, &q, NULL, &l.err), NX_EINVAL);
    assert_null(a);
    nx_snapshot_release(snap);
    assert_int_equal(nx_finds_read_stats(f).n, 0);
    nx_finds_destroy(f);
    library_close(&l);
}

/* Every member of a question, and every part of a filter, makes another key. */
static void test_keys(void **state)
{
    enum { N = 17 };
    library l;
    float   v[DIM], w[DIM];
    char    keys[N][NX_FINDS_KEY];
    nx_str  red[] = {NX_STR("red"), NX_STR("blue")}, bigger[] = {NX_STR("redb"), NX_STR("lue")};
    nx_condition c[N];
    nx_filter    fs[N] = {{0}};
    nx_question  q[N];

    (void)state;
    library_open(&l);
    fill(&l, 3);
    direction(v, 0, 1);
    direction(w, 1, 1);
    for (int i = 0; i < N; i++) {
        c[i] = (nx_condition){.kind = NX_COND_TEXT_ANY, .texts = red, .n_texts = 2};
        assert_int_equal(nx_path_parse(&c[i].path, NX_STR("access_tags"), NULL), NX_OK);
        fs[i].should = &c[i];
        fs[i].n_should = 1;
        q[i] = (nx_question){.text = NX_STR("a valve"), .vector = v, .top_k = 3, .filter = &fs[i]};
    }
    q[1].text = NX_STR("a  valve");
    q[2].vector = w;
    q[3].vector = NULL;
    q[4].mode = NX_SEARCH_WORDS;
    q[5].top_k = 4;
    q[6].has_min_score = true;
    q[7].keep_doubles = true;
    q[8].no_join = true;
    q[9].filter = NULL;
    c[10].n_texts = 1;
    c[11].texts = bigger;
    c[12].kind = NX_COND_TEXT_EXCEPT;
    assert_int_equal(nx_path_parse(&c[13].path, NX_STR("access_tag"), NULL), NX_OK);
    fs[14] = (nx_filter){.must = &c[14], .n_must = 1};
    fs[15] = (nx_filter){.must_not = &c[15], .n_must_not = 1};
    fs[16].n_should = 0;
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(l.shelf));
    for (int i = 0; i < N; i++) {
        char again[NX_FINDS_KEY];
        assert_int_equal(nx_finds_key(keys[i], l.shelf, snap, &q[i], &l.err), NX_OK);
        assert_int_equal(nx_finds_key(again, l.shelf, snap, &q[i], &l.err), NX_OK);
        assert_string_equal(keys[i], again);
        for (int k = 0; k < i; k++) assert_string_not_equal(keys[i], keys[k]);
    }
    nx_snapshot_release(snap);
    library_close(&l);
}

static void test_deep(void **state)
{
    library      l;
    nx_filter    fs[NX_FILTER_DEPTH_MAX + 3] = {{0}};
    nx_condition c[NX_FILTER_DEPTH_MAX + 3];
    char         key[NX_FINDS_KEY];
    int          last = NX_FILTER_DEPTH_MAX + 2;

    (void)state;
    library_open(&l);
    for (int i = 0; i < last; i++) {
        c[i] = (nx_condition){.kind = NX_COND_FILTER, .filter = &fs[i + 1]};
        fs[i] = (nx_filter){.must = &c[i], .n_must = 1};
    }
    nx_question  q = {.text = NX_STR("x"), .top_k = 1, .filter = &fs[0]};
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(l.shelf));
    assert_int_equal(nx_finds_key(key, l.shelf, snap, &q, &l.err), NX_EINVAL);
    nx_snapshot_release(snap);
    library_close(&l);
}

static void test_bounds(void **state)
{
    library   l;
    nx_finds *f;
    char      text[200][16];

    (void)state;
    library_open(&l);
    fill(&l, 10);
    assert_int_equal(nx_finds_create(&f, 20, 100000, NULL), NX_OK);
    for (int round = 0; round < 400; round++) {
        int i = round * 37 % 200;
        snprintf(text[i], sizeof text[i], "valve %d", i);
        nx_question        q = {.text = nx_str_of(text[i]), .top_k = 2};
        const nx_passages *p = ask(&l, f, &q);
        assert_true(p->n > 0);
        nx_finds_release(f, p);
        nx_finds_stats s = nx_finds_read_stats(f);
        assert_true(s.n <= 20 && s.bytes <= 100000 && s.n >= 1);
    }
    nx_finds_destroy(f);

    assert_int_equal(nx_finds_create(&f, 0, 0, NULL), NX_OK); /* keeps nothing */
    nx_question q = {.text = NX_STR("valve"), .top_k = 2};
    for (int i = 0; i < 3; i++) nx_finds_release(f, ask(&l, f, &q));
    assert_int_equal(nx_finds_read_stats(f).n_hits, 0);
    nx_finds_destroy(f);
    assert_int_equal(nx_finds_create(&f, -1, 0, NULL), NX_EINVAL);
    library_close(&l);
}

static void test_memory(void **state)
{
    library            l;
    nx_finds          *f;
    const nx_passages *p;
    nx_question        q = {.text = NX_STR("which valve"), .top_k = 3};
    nx_status          st = NX_ENOMEM;

    (void)state;
    library_open(&l);
    fill(&l, 10);
    for (int64_t i = 0; nx_alloc_fail_after(i), nx_finds_create(&f, 10, 1 << 20, NULL); i++)
        nx_alloc_fail_after(-1);
    nx_alloc_fail_after(-1);
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(l.shelf));
    for (int64_t i = 0; st; i++) {
        nx_alloc_fail_after(i);
        st = nx_finds_retrieve(f, &p, l.shelf, snap, &q, NULL, &l.err);
        nx_alloc_fail_after(-1);
        assert_true(st ? st == NX_ENOMEM && !p : p->n == 3);
    }
    nx_snapshot_release(snap);
    nx_finds_release(f, p);
    nx_finds_destroy(f);
    library_close(&l);
}

typedef struct asker {
    library  *l;
    nx_finds *f;
    int       first;
} asker;

static void *ask_often(void *arg)
{
    asker *a = arg;
    char   text[16];

    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "valve %d", (a->first + i * 7) % 30);
        nx_question        q = {.text = nx_str_of(text), .top_k = 1};
        const nx_passages *p = ask(a->l, a->f, &q);
        assert_int_equal(p->n, 1);
        if (i % 50 == 49) nx_finds_clear(a->f);
        nx_finds_release(a->f, p);
    }
    return NULL;
}

static void test_threads(void **state)
{
    library   l;
    nx_finds *f;
    pthread_t threads[4];
    asker     askers[4];

    (void)state;
    library_open(&l);
    fill(&l, 30);
    assert_int_equal(nx_finds_create(&f, 10, 1 << 20, NULL), NX_OK);
    for (int i = 0; i < 4; i++) {
        askers[i] = (asker){&l, f, i * 3};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(nx_finds_read_stats(f).n_requests, 1200);
    nx_finds_destroy(f);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hits),    cmocka_unit_test(test_keys),
        cmocka_unit_test(test_deep),    cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
