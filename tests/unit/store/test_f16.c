/* Protects: vectors kept in binary16 are the given ones, rounded once when they come in; searches find
 * and score the same, to the bit, wherever points lie: in the head, in segments, merged, replayed,
 * with codes, with damaged codes; what binary16 can't hold is refused; segments are half as large. */
#include "model.h"

#include "store/segment.h"

enum { N = 1500, DIM = 40, K = 20 };

typedef struct rig {
    sim_disk       disk;
    nx_store      *store;
    nx_collection *c;
    nx_config      config;
    uint64_t       rng;
    float          raw[N][DIM], want[N][DIM];
} rig;

static void open_store(rig *r)
{
    nx_store_options opt = {.disk = &r->disk.base, .distances = &plain_distances};
    nx_error         err = {0};

    if (nx_store_open(&r->store, "store", &opt, &err)) fail_msg("%s", err.text);
    nx_status st = nx_store_create_collection(r->store, NX_STR("c"), &r->config, &err);
    if (st && st != NX_EBUSY) fail_msg("%s", err.text);
    if (nx_store_find(&r->c, r->store, NX_STR("c"), &err)) fail_msg("%s", err.text);
}

static void close_store(rig *r)
{
    nx_collection_release(r->c);
    nx_store_close(r->store);
}

static void make_vectors(rig *r)
{
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int k = 0; k < DIM; k++) {
            float x = model_float(&r->rng) * 1.0007f;
            if (sim_random(&r->rng) % 8 == 0) x *= 1e-6f; /* subnormal halves */
            r->raw[i][k] = x;
            sum += (double)x * (double)x;
        }
        double unit = r->config.slots[0].distance == NX_COSINE ? 1 / sqrt(sum) : 1;
        for (int k = 0; k < DIM; k++)
            r->want[i][k] = model_half((float)((double)r->raw[i][k] * unit));
    }
}

static void set_up(rig *r, nx_distance distance, nx_storage storage)
{
    *r = (rig){.rng = 17, .config.n_slots = 1};
    r->config.slots[0] =
        (nx_slot){.form = NX_FORM_DENSE, .distance = distance, .storage = storage, .dim = DIM};
    sim_init(&r->disk);
    make_vectors(r);
    open_store(r);
}

static void tear_down(rig *r)
{
    close_store(r);
    sim_free(&r->disk);
}

/* Points [from, to) with the vectors of those `shift` further on. */
static void put(rig *r, int from, int to, int shift)
{
    nx_writes *b = nx_writes_create(r->c);
    nx_error   err = {0};

    for (int i = from; i < to; i++) {
        nx_vector v = {.form = NX_FORM_DENSE, .n = DIM, .values = r->raw[(i + shift) % N]};
        nx_point  p = {.id = model_id(i), .vectors = &v, .n_vectors = 1};
        assert_int_equal(nx_writes_put(b, &p, NX_PUT, &err), NX_OK);
    }
    if (nx_collection_write(r->c, b, true, NULL, &err)) fail_msg("%s", err.text);
    nx_writes_destroy(b);
}

/* Higher is better. */
static float key_of(const rig *r, const float *q, const float *x)
{
    float d;

    switch (r->config.slots[0].distance) {
    case NX_EUCLID: plain_euclid(&d, q, x, 1, DIM, DIM); return -sqrtf(d);
    case NX_MANHATTAN: plain_manhattan(&d, q, x, 1, DIM, DIM); return -d;
    default: plain_dot(&d, q, x, 1, DIM, DIM); return d;
    }
}

static void check_hits(const rig *r, const float *q, const nx_hit *hits)
{
    bool used[N] = {0};
    bool less = r->config.slots[0].distance >= NX_EUCLID;

    for (int h = 0; h < K; h++) {
        int   best = -1;
        float most = 0;
        for (int i = 0; i < N; i++) {
            if (used[i]) continue;
            float key = key_of(r, q, r->want[i]);
            bool  better = best < 0 || key > most ||
                          (key == most && nx_id_compare(model_id(i), model_id(best)) < 0);
            if (better) best = i;
            if (better) most = key;
        }
        used[best] = true;
        assert_int_equal(nx_id_compare(hits[h].id, model_id(best)), 0);
        assert_true(hits[h].score == (less ? 0 - most : most));
    }
}

static void check(rig *r, nx_pool *pool)
{
    nx_snapshot  *s = nx_snapshot_take(r->c);
    nx_point_copy copy = {0};
    nx_error      err = {0};

    for (int i = 0; i < N; i++) {
        assert_int_equal(nx_snapshot_get(s, &copy, model_id(i), &err), NX_OK);
        assert_int_equal(copy.point.n_vectors, 1);
        assert_memory_equal(copy.point.vectors[0].values, r->want[i], sizeof r->want[i]);
    }
    nx_point_copy_free(&copy);
    for (int round = 0; round < 6; round++) {
        float     q[DIM];
        nx_hit    hits[K];
        int32_t   n;
        double    sum = 0;
        nx_search search = {.query = q, .k = K, .ignore_codes = round % 2};
        for (int k = 0; k < DIM; k++) q[k] = model_float(&r->rng);
        if (nx_snapshot_search(s, hits, &n, &search, pool, &err)) fail_msg("%s", err.text);
        assert_int_equal(n, K);
        for (int k = 0; k < DIM; k++) sum += (double)q[k] * (double)q[k];
        for (int k = 0; k < DIM && r->config.slots[0].distance == NX_COSINE; k++)
            q[k] = (float)((double)q[k] / sqrt(sum));
        check_hits(r, q, hits);
    }
    nx_snapshot_release(s);
}

/* One bit of the codes' section of every segment. */
static int flip_codes(rig *r)
{
    int n = 0;

    for (int i = 0; i < r->disk.now.n; i++) {
        sim_node *node = r->disk.now.v[i].node;
        if (!node || !strstr(r->disk.now.v[i].path, "/seg-")) continue;
        nx_seg_head head;
        memcpy(&head, node->now, sizeof head);
        for (uint32_t k = 0; k < head.n_sections; k++) {
            if (head.sections[k].kind != NX_SECTION_CODES) continue;
            node->now[head.sections[k].at + 7] ^= 16;
            n++;
        }
    }
    return n;
}

static void nothing_depends_on_the_place(void **state)
{
    static const nx_storage storages[] = {NX_STORE_F16, NX_STORE_F16_SQ8};
    static rig              r;
    nx_error                err;
    nx_pool                *pool;

    (void)state;
    assert_int_equal(nx_pool_create(&pool, 3, &err), NX_OK);
    for (int i = 0; i < 8; i++) {
        set_up(&r, (nx_distance)(i / 2), storages[i % 2]);
        put(&r, 0, N, 0);
        check(&r, NULL); /* in the head */
        close_store(&r);
        open_store(&r);
        check(&r, NULL); /* replayed */
        assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
        check(&r, pool); /* in a segment */
        put(&r, 0, N / 3, 1);
        assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
        put(&r, 0, N / 4, 0);
        put(&r, N / 4, N / 3, 0);
        check(&r, pool); /* in both */
        for (int k = 0; k < 3; k++) assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
        check(&r, pool); /* merged */
        assert_int_equal(nx_collection_check(r.c, &err), NX_OK);
        close_store(&r);
        assert_int_equal(flip_codes(&r) > 0, i % 2);
        open_store(&r);
        check(&r, NULL); /* codes made anew */
        tear_down(&r);
    }
    nx_pool_destroy(pool);
}

static nx_status put_one(rig *r, float first, nx_error *err)
{
    float      x[DIM] = {first, 1};
    nx_vector  v = {.form = NX_FORM_DENSE, .n = DIM, .values = x};
    nx_point   p = {.id = nx_id_number(1), .vectors = &v, .n_vectors = 1};
    nx_writes *b = nx_writes_create(r->c);
    nx_status  st = nx_writes_put(b, &p, NX_PUT, err);

    if (!st) st = nx_collection_write(r->c, b, true, NULL, err);
    nx_writes_destroy(b);
    return st;
}

static void what_halves_cannot_hold_is_refused(void **state)
{
    static const struct {
        float given, kept;
    } good[] = {
        {65504, 65504},      {65519.996f, 65504},     {-65519.996f, -65504}, {0x1p-24f, 0x1p-24f},
        {0x1p-25f, 0},       {0x1.8p-25f, 0x1p-24f},  {2049, 2048},          {2051, 2052},
        {1.00048828125f, 1}, {1.0005f, 1.0009765625f}};
    static rig    r;
    nx_error      err;
    nx_point_copy copy = {0};

    (void)state;
    set_up(&r, NX_DOT, NX_STORE_F16);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(put_one(&r, good[i].given, &err), NX_OK);
        nx_snapshot *s = nx_snapshot_take(r.c);
        assert_int_equal(nx_snapshot_get(s, &copy, nx_id_number(1), &err), NX_OK);
        nx_snapshot_release(s);
        if (copy.point.vectors[0].values[0] != good[i].kept) fail_msg("%zu", i);
    }
    nx_point_copy_free(&copy);
    assert_int_equal(put_one(&r, 70000, &err), NX_EINVAL);
    assert_string_equal(err.text, "vector \"\": 70000 doesn't fit in float16");
    assert_int_equal(put_one(&r, 65520, &err), NX_EINVAL);
    assert_int_equal(put_one(&r, -1e30f, &err), NX_EINVAL);
    tear_down(&r);
    set_up(&r, NX_COSINE, NX_STORE_F16); /* unit length first */
    assert_int_equal(put_one(&r, 1e30f, &err), NX_OK);
    tear_down(&r);
    r.config.slots[0].form = NX_FORM_MULTI;
    assert_int_equal(nx_config_check(&r.config, &err), NX_EINVAL);
    r.config.slots[0] = (nx_slot){.form = NX_FORM_DENSE, .dim = 1, .storage = 4};
    assert_int_equal(nx_config_check(&r.config, &err), NX_EINVAL);
}

/* Every half, and what lies beside it in f32: which blocks of a log are taken. */
static void only_halves_are_taken_from_a_log(void **state)
{
    nx_config wide = {.n_slots = 1,
                      .slots = {{.form = NX_FORM_DENSE, .distance = NX_DOT, .dim = 1}}};
    nx_config halves = wide;
    nx_buf    b = {.max = 4096};

    (void)state;
    halves.slots[0].storage = NX_STORE_F16;
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7C00) == 0x7C00) continue;
        for (int beside = -2; beside <= 2; beside++) {
            uint32_t  bits = nx_f32_bits(nx_f16_to_f32((uint16_t)h)) + (uint32_t)beside;
            float     x = nx_f32_from_bits(bits);
            nx_vector v = {.form = NX_FORM_DENSE, .n = 1, .values = &x};
            if (!isfinite(x)) continue;
            nx_buf_clear(&b);
            assert_int_equal(
                nx_block_add_point(&b, &wide, &(nx_point){.vectors = &v, .n_vectors = 1}, NULL),
                NX_OK);
            bool taken = nx_block_check(&halves, b.data, b.len);
            if (taken != (model_half(x) == x && fabsf(x) <= 65504)) fail_msg("%a", (double)x);
        }
    }
    nx_buf_free(&b);
}

static void segments_are_half_as_large(void **state)
{
    static rig          r;
    nx_collection_stats stats[2];
    nx_error            err;

    (void)state;
    for (int i = 0; i < 2; i++) {
        set_up(&r, NX_DOT, i ? NX_STORE_F16 : NX_STORE_F32);
        put(&r, 0, N, 0);
        assert_int_equal(nx_collection_flush(r.c, &err), NX_OK);
        nx_collection_read_stats(r.c, &stats[i]);
        tear_down(&r);
    }
    uint64_t less = stats[0].segment_bytes - stats[1].segment_bytes, half = 2 * N * DIM;
    assert_true(less + 8192 > half && less < half + 8192); /* sections lie at multiples of 4096 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_depends_on_the_place),
        cmocka_unit_test(what_halves_cannot_hold_is_refused),
        cmocka_unit_test(only_halves_are_taken_from_a_log),
        cmocka_unit_test(segments_are_half_as_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
