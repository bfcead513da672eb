/* Protects: posting lists are what was put in, in one piece or many; bytes that are none are refused;
 * sparse searches refuse what they can't mean; more rows than one array of sums holds are all found.
 * (Random requests: test_model. Damaged lists: test_crash.) */
#include "model.h"

#include "base/alloc.h"
#include "store/postings.h"

/* ---- Lists ---- */

enum { ROWS = 300, KEYS = 64 };

typedef struct rows {
    uint32_t indices[ROWS][KEYS];
    float    values[ROWS][KEYS];
    int      n[ROWS]; /* -1: no vector */
} rows;

static nx_status row_of(void *ctx, uint64_t i, nx_vector *v, bool *has, nx_error *err)
{
    rows *r = ctx;

    (void)err;
    *has = r->n[i] >= 0;
    *v = (nx_vector){
        .form = NX_FORM_SPARSE, .n = r->n[i], .indices = r->indices[i], .values = r->values[i]};
    return NX_OK;
}

static void random_rows(rows *r, uint64_t *rng)
{
    for (int i = 0; i < ROWS; i++) {
        r->n[i] = sim_random(rng) % 5 == 0 ? -1 : 0;
        for (uint32_t k = 0; r->n[i] >= 0 && k < KEYS; k++) {
            if (sim_random(rng) % 8) continue;
            r->indices[i][r->n[i]] = k * 66666667u;
            r->values[i][r->n[i]++] = model_float(rng);
        }
    }
}

/* All of it, with lists made for so many bytes at once. */
static uint8_t *bytes_of(rows *r, uint64_t at_once, uint64_t *n)
{
    nx_tally t = {0};

    assert_int_equal(nx_tally_count(&t, ROWS, row_of, r, NULL), NX_OK);
    uint64_t head = nx_tally_head_bytes(&t);
    *n = head + 8 * t.n_entries;
    uint8_t *p = nx_calloc((size_t)*n, 1);
    assert_non_null(p);
    nx_tally_write_head(&t, p);
    for (uint64_t from = 0, to; from < t.n_keys; from = to) {
        to = nx_tally_reach(&t, from, at_once);
        assert_int_equal(
            nx_tally_fill(&t, p + head + 8 * t.starts[from], from, to, row_of, r, NULL), NX_OK);
    }
    nx_tally_free(&t);
    return p;
}

static void lists_hold_every_entry(void **state)
{
    static rows r;
    uint64_t    rng = 3, n, n2, n_found = 0;
    nx_postings p;

    (void)state;
    random_rows(&r, &rng);
    uint8_t *whole = bytes_of(&r, UINT64_MAX, &n), *pieces = bytes_of(&r, 100, &n2);
    assert_int_equal(n, n2);
    assert_memory_equal(whole, pieces, (size_t)n);
    assert_true(nx_postings_view(&p, whole, n, ROWS));
    for (int i = 0; i < ROWS; i++) assert_int_equal(p.present[i / 64] >> i % 64 & 1, r.n[i] >= 0);
    for (uint32_t k = 0; k < KEYS; k++) {
        nx_list l = nx_postings_find(&p, k * 66666667u);
        n_found += l.n;
        for (uint64_t e = 0; e < l.n; e++) {
            bool there = false;
            if (e) assert_true(l.rows[e - 1] < l.rows[e]);
            for (int j = 0; j < r.n[l.rows[e]]; j++)
                there |= r.indices[l.rows[e]][j] == k * 66666667u &&
                         r.values[l.rows[e]][j] == l.weights[e];
            assert_true(there);
        }
        assert_int_equal(nx_postings_find(&p, k * 66666667u + 1).n, 0);
    }
    assert_int_equal(n_found, p.n_entries);
    nx_free(whole);
    nx_free(pieces);
}

static void what_is_none_is_refused(void **state)
{
    static rows r;
    uint64_t    rng = 9, n, n_refused = 0;
    nx_postings p;

    (void)state;
    random_rows(&r, &rng);
    uint8_t *good = bytes_of(&r, UINT64_MAX, &n);
    for (uint64_t cut = 0; cut < n; cut += 8) assert_false(nx_postings_view(&p, good, cut, ROWS));
    assert_false(nx_postings_view(&p, good, n, ROWS + 64));
    for (int i = 0; i < 2000; i++) { /* changed: refused, or a view that stays within */
        size_t  at = (size_t)(sim_random(&rng) % (n < 900 ? n : 900));
        uint8_t was = good[at];
        good[at] = (uint8_t)sim_random(&rng);
        if (!nx_postings_view(&p, good, n, ROWS))
            n_refused++;
        else
            for (uint64_t k = 0; k < p.n_keys; k++) {
                nx_list l = nx_postings_find(&p, p.keys[k]);
                assert_true((const uint8_t *)(l.weights + l.n) <= good + n);
            }
        good[at] = was;
    }
    assert_true(n_refused > 500);
    nx_free(good);
}

static void memory_may_end(void **state)
{
    static rows r;
    uint64_t    rng = 5;

    (void)state;
    random_rows(&r, &rng);
    for (int64_t k = 0; k < 20; k++) {
        nx_tally t = {0};
        uint8_t *out = nx_calloc(ROWS * KEYS, 8);
        nx_alloc_fail_after(k);
        nx_status st = nx_tally_count(&t, ROWS, row_of, &r, NULL);
        if (!st) st = nx_tally_fill(&t, out, 0, t.n_keys, row_of, &r, NULL);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
        if (k == 0) assert_int_equal(st, NX_ENOMEM);
        nx_tally_free(&t);
        nx_free(out);
    }
}

/* ---- Searches ---- */

typedef struct rig {
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
} rig;

static void open_rig(rig *r)
{
    nx_error         err = {0};
    nx_store_options opt = {.disk = &r->disk.base, .distances = &plain_distances};
    nx_config        config = model_config();

    *r = (rig){0};
    sim_init(&r->disk);
    opt.disk = &r->disk.base;
    if (nx_store_open(&r->store, "store", &opt, &err)) fail_msg("%s", err.text);
    assert_int_equal(nx_store_create_collection(r->store, NX_STR("c"), &config, &err), NX_OK);
    assert_int_equal(nx_store_find(&r->c, r->store, NX_STR("c"), &err), NX_OK);
}

static void close_rig(rig *r)
{
    nx_collection_release(r->c);
    nx_store_close(r->store);
    sim_free(&r->disk);
}

static nx_status try_search(rig *r, int32_t slot, const nx_vector *t, size_t k, size_t *n)
{
    nx_plan_hit  hits[16];
    nx_snapshot *s = nx_snapshot_take(r->c);
    nx_status    st = nx_sparse_search(s, hits, n, k, slot, t, NULL, false, 0, NULL);

    nx_snapshot_release(s);
    return st;
}

static void refusals(void **state)
{
    uint32_t  indices[2] = {7, 7};
    float     values[2] = {1, 2};
    size_t    n;
    rig       r;
    nx_vector t = {.slot = 2, .form = NX_FORM_SPARSE, .n = 2, .indices = indices, .values = values};

    (void)state;
    open_rig(&r);
    assert_int_equal(try_search(&r, 2, &t, 5, &n), NX_OK); /* nothing there: nothing found */
    assert_int_equal(n, 0);
    nx_writes *b = nx_writes_create(r.c);
    nx_vector  own = t;
    own.n = 1;
    nx_point p = {.id = nx_id_number(1), .vectors = &own, .n_vectors = 1};
    assert_int_equal(nx_writes_put(b, &p, NX_PUT, NULL), NX_OK);
    assert_int_equal(nx_collection_write(r.c, b, true, NULL, NULL), NX_OK);
    nx_writes_destroy(b);
    assert_int_equal(try_search(&r, 2, &t, 5, &n), NX_EINVAL);
    indices[1] = 6;
    assert_int_equal(try_search(&r, 2, &t, 5, &n), NX_OK);
    assert_int_equal(n, 1);
    assert_int_equal(try_search(&r, 2, &t, 0, &n), NX_OK);
    assert_int_equal(n, 0);
    assert_int_equal(try_search(&r, 0, &t, 5, &n), NX_EINVAL);
    assert_int_equal(try_search(&r, 4, &t, 5, &n), NX_EINVAL);
    values[0] = INFINITY;
    assert_int_equal(try_search(&r, 2, &t, 5, &n), NX_EINVAL);
    t.n = 0;
    assert_int_equal(try_search(&r, 2, &t, 5, &n), NX_OK);
    assert_int_equal(n, 0);
    t.form = NX_FORM_DENSE;
    assert_int_equal(try_search(&r, 2, &t, 5, &n), NX_EINVAL);
    close_rig(&r);
}

enum { MANY = 70000 };

/* Each 7th point has index 1, each 11th index 2; the best is the last that has both. */
static void all_rows_are_seen(void **state)
{
    rig          r;
    nx_error     err = {0};
    nx_plan_hit  hits[3];
    uint32_t     indices[2] = {1, 2};
    float        values[2];
    size_t       n;
    nx_vector    v = {.slot = 2, .form = NX_FORM_SPARSE, .values = values};
    nx_snapshot *s;

    (void)state;
    open_rig(&r);
    for (uint64_t i = 0; i < MANY;) {
        nx_writes *b = nx_writes_create(r.c);
        for (int k = 0; k < 7000; k++, i++) {
            bool one = i % 7 == 0, two = i % 11 == 0;
            v.indices = one ? indices : indices + 1;
            v.n = one + two;
            values[0] = values[1] = 1 + (float)i / 1024;
            nx_point p = {.id = nx_id_number(i), .vectors = &v, .n_vectors = 1};
            if (nx_writes_put(b, &p, NX_PUT, &err)) fail_msg("%s", err.text);
        }
        if (nx_collection_write(r.c, b, true, NULL, &err)) fail_msg("%s", err.text);
        nx_writes_destroy(b);
    }
    values[0] = values[1] = 1;
    v.indices = indices;
    v.n = 2;
    for (int round = 0; round < 2; round++) { /* from the head, from a segment */
        uint64_t best = (MANY - 1) / 77 * 77;
        s = nx_snapshot_take(r.c);
        assert_int_equal(nx_sparse_search(s, hits, &n, 3, 2, &v, NULL, false, 0, &err), NX_OK);
        assert_int_equal(n, 3);
        for (uint64_t i = 0; i < 3; i++) assert_int_equal(hits[i].id.lo, best - 77 * i);
        assert_int_equal(nx_sparse_search(s, hits, &n, 3, 2, &v, NULL, true, hits[1].score, &err),
                         NX_OK);
        assert_int_equal(n, 2);
        nx_snapshot_release(s);
        if (round == 0) assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
    }
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_hold_every_entry), cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(memory_may_end),         cmocka_unit_test(refusals),
        cmocka_unit_test(all_rows_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
