/* Protects: the bits of the ops around the products: norm, rope, cache, attention, gate, embedding.
 * The reference stands near the formula in double precision; every variant and any number of
 * threads give the reference's bits, with guards around the outputs. */
#include "rig_ops.h"

/* -------- norm -------- */

static void check_norm(int32_t T, int64_t D, float scale)
{
    float  *x = noise(T * D, scale), *w = noise(D, 1.0f), *expected = noise(T * D, 1.0f);
    rig_buf out = rig_buf_make((size_t)(T * D) * sizeof(float), 0);

    for (int v = 0; v < variants.n; v++) {
        nx_backend *be = variants.b[v].be;
        be->ops->rmsnorm(be, v ? out.p : expected, x, w, T, D, 1e-5f);
        rig_buf_check(&out, variants.name[v]);
        if (v) expect_same(out.p, expected, T * D, variants.name[v]);
        memcpy(out.p, x, (size_t)(T * D) * sizeof(float)); /* in place */
        be->ops->rmsnorm(be, out.p, out.p, w, T, D, 1e-5f);
        expect_same(out.p, expected, T * D, variants.name[v]);
    }
    double squares = 0;
    for (int64_t i = 0; i < D; i++) squares += (double)x[i] * (double)x[i];
    double r = 1 / sqrt(squares / (double)D + (double)1e-5f);
    for (int64_t i = 0; i < D; i++)
        expect_near((double)expected[i], (double)x[i] * r * (double)w[i], 1e-5 * fabs(r), "norm");
    rig_buf_free(&out);
    nx_free(x);
    nx_free(w);
    nx_free(expected);
}

static void norm_agrees(void **state)
{
    (void)state;
    rig_state = 3;
    for (int32_t T = 1; T <= 33; T += 16)
        for (int64_t D = 1; D <= 300; D += D < 20 ? 3 : 89) check_norm(T, D, 1.5f);
    check_norm(2, 64, 1e-20f);
}

/* -------- rope -------- */

static void check_rope(nx_rope_kind kind, int32_t T, int32_t H, int32_t D, int32_t n_rot)
{
    size_t  n = (size_t)T * (size_t)H * (size_t)D;
    float  *x = noise((int64_t)n, 2.0f), *expected = noise((int64_t)n, 1.0f);
    float  *cs = noise((int64_t)T * n_rot, 1.0f);
    rig_buf y = rig_buf_make(n * sizeof(float), 0);

    for (int v = 0; v < variants.n; v++) {
        nx_backend *be = variants.b[v].be;
        memcpy(v ? y.p : expected, x, n * sizeof(float));
        be->ops->rope(be, v ? y.p : expected, cs, kind, T, H, D, n_rot);
        rig_buf_check(&y, variants.name[v]);
        if (v) expect_same(y.p, expected, (int64_t)n, variants.name[v]);
    }
    for (int32_t i = 0; i < n_rot / 2; i++) { /* the last head of the last token */
        const float *at = x + n - D, *c = cs + (T - 1) * n_rot + 2 * i;
        int32_t      a = kind == NX_ROPE_PAIRS ? 2 * i : i;
        int32_t      b = kind == NX_ROPE_PAIRS ? 2 * i + 1 : i + n_rot / 2;
        double       p = (double)at[a], q = (double)at[b], cos = (double)c[0], sin = (double)c[1];
        expect_near((double)expected[n - (size_t)D + (size_t)a], p * cos - q * sin, 1e-5, "rope");
        expect_near((double)expected[n - (size_t)D + (size_t)b], p * sin + q * cos, 1e-5, "rope");
    }
    for (int32_t i = n_rot; i < D; i++) assert_true(rig_same(expected[i], x[i]));
    rig_buf_free(&y);
    nx_free(x);
    nx_free(cs);
    nx_free(expected);
}

static void rope_agrees(void **state)
{
    static const int32_t shapes[][2] = {{2, 2}, {8, 6}, {64, 64}, {80, 32}, {128, 128}, {36, 36}};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int32_t T = 1; T <= 9; T += 4)
            for (int kind = 0; kind < 2; kind++)
                check_rope((nx_rope_kind)kind, T, 3, shapes[i][0], shapes[i][1]);
}

/* -------- gate -------- */

static void gate_agrees(void **state)
{
    static const float odd[] = {NAN,   INFINITY, -INFINITY, -87.4f, -88.8f, 88.8f,
                                1e30f, -1e30f,   0.0f,      -0.0f,  1e-42f, -87.33654f};
    enum { ODD = sizeof odd / sizeof *odd };

    (void)state;
    rig_state = 5;
    for (int64_t n = 1; n < 40000; n = n * 5 + 3) {
        float  *gate = noise(n, 30.0f), *up = noise(n, 2.0f), *expected = noise(n, 1.0f);
        rig_buf out = rig_buf_make((size_t)n * sizeof(float), 0);
        if (n > 90)
            for (int i = 0; i < ODD; i++) gate[7 * i] = odd[i];
        for (int v = 0; v < variants.n; v++) {
            nx_backend *be = variants.b[v].be;
            be->ops->act_mul(be, v ? out.p : expected, gate, up, n, NX_ACTIVATION_SILU);
            rig_buf_check(&out, variants.name[v]);
            if (v) expect_same(out.p, expected, n, variants.name[v]);
            memcpy(out.p, gate, (size_t)n * sizeof(float));
            be->ops->act_mul(be, out.p, out.p, up, n, NX_ACTIVATION_SILU);
            expect_same(out.p, expected, n, variants.name[v]);
        }
        for (int64_t i = 0; i < n; i++) {
            double g = (double)gate[i], y = g / (1 + exp(-g)) * (double)up[i];
            if (isfinite(gate[i]) && fabs(g) < 80)
                expect_near((double)expected[i], y, 1e-6 + 1e-6 * fabs(y), "gate");
        }
        rig_buf_free(&out);
        nx_free(gate);
        nx_free(up);
        nx_free(expected);
    }
}

/* -------- embedding -------- */

static void embedding_is_decoding(void **state)
{
    enum { K = 256, N = 40, T = 70 };
    int32_t ids[T];
    float   row[K];

    (void)state;
    for (int i = 0; i < T; i++) ids[i] = (int32_t)(rig_u64() % N);
    for (int dtype = 0; dtype < NX_DTYPE_GGUF_COUNT; dtype++) {
        size_t    row_bytes = nx_dtype_row_bytes((nx_dtype)dtype, K);
        rig_buf   wb = rig_buf_make(row_bytes * N, 3), out = rig_buf_make(K * T * 4, 0);
        nx_tensor table = {.dtype = (nx_dtype)dtype,
                           .n_dims = 2,
                           .ne = {K, N, 1, 1},
                           .data = wb.p,
                           .bytes = row_bytes * N};
        rig_weights(wb.p, (nx_dtype)dtype, K * N);
        for (int v = 0; v < variants.n; v++) {
            nx_backend *be = variants.b[v].be;
            assert_true(be->ops->supports(be, (nx_dtype)dtype));
            be->ops->embed(be, out.p, &table, ids, T, 2.5f);
            rig_buf_check(&out, variants.name[v]);
            for (int t = 0; t < T; t++) {
                nx_dtype_get((nx_dtype)dtype)
                    ->decode(row, (uint8_t *)wb.p + (size_t)ids[t] * row_bytes, K);
                for (int i = 0; i < K; i++) row[i] *= 2.5f;
                expect_same((float *)out.p + t * K, row, K, variants.name[v]);
            }
        }
        rig_buf_free(&wb);
        rig_buf_free(&out);
    }
}

/* -------- cache -------- */

/* The table of a sequence whose page is as long as the cache. */
static const int32_t one_page[] = {0};

static const nx_dtype cache_types[] = {NX_DTYPE_F32, NX_DTYPE_F16, NX_DTYPE_Q8_0};

/* A half or a byte of one cache equals the other's; halves that are NaN are equal. */
static void expect_same_cache(const uint8_t *got, const uint8_t *expected, size_t bytes,
                              nx_dtype dtype, const char *what)
{
    for (size_t i = 0; i < bytes; i += 2) {
        uint16_t a, b;
        memcpy(&a, got + i, 2);
        memcpy(&b, expected + i, 2);
        bool nan = dtype == NX_DTYPE_F16 && (a & 0x7FFF) > 0x7C00 && (b & 0x7FFF) > 0x7C00;
        if (a != b && !nan)
            fail_msg("%s, %s cache: bytes %d are %04x, expected %04x", what,
                     nx_dtype_get(dtype)->name, (int)i, a, b);
    }
}

static void stored_positions_agree(void **state)
{
    enum { HEADS = 3, D = 32, N_POS = 40, T = 19, N = HEADS * D };
    float src[T * N], back[N];

    (void)state;
    rig_state = 9;
    for (size_t c = 0; c < 3; c++) {
        nx_dtype dtype = cache_types[c];
        size_t   row_bytes = nx_dtype_row_bytes(dtype, N);
        rig_buf  kv[2] = {rig_buf_make(row_bytes * N_POS, 0), rig_buf_make(row_bytes * N_POS, 0)};
        rig_fill(src, T * N, 3.0f);
        for (int i = 0; i < 32; i++) src[5 * 32 + i] = (float)(i - 16) * 0.5f; /* halfway codes */
        src[5 * 32] = 63.5f;
        src[4 * N] = 1e-42f;
        src[6 * N + 1] = NAN;
        src[7 * N + 40] = INFINITY;
        src[8 * N + 2] = 1e30f;
        for (int v = 0; v < variants.n; v++) {
            nx_kv_view        view = {kv[v > 0].p, dtype, 1, N_POS, HEADS, D};
            const nx_seq_rows seq = {one_page, 0, T, 13};
            memset(view.data, 0x11, row_bytes * N_POS);
            variants.b[v].be->ops->kv_store(variants.b[v].be, &view, src, &seq, 1);
            rig_buf_check(&kv[v > 0], variants.name[v]);
            if (v) expect_same_cache(kv[1].p, kv[0].p, row_bytes * N_POS, dtype, variants.name[v]);
            for (size_t i = 0; i < 13 * row_bytes; i++)
                assert_int_equal(((uint8_t *)view.data)[i], 0x11);
        }
        for (int t = 0; t < 3; t++) { /* and it is near what was stored */
            nx_dtype_get(dtype)->decode(back, (uint8_t *)kv[0].p + (13 + (size_t)t) * row_bytes, N);
            for (int i = 0; i < N; i++)
                expect_near((double)back[i], (double)src[t * N + i],
                            dtype == NX_DTYPE_F32   ? 0
                            : dtype == NX_DTYPE_F16 ? 2e-3
                                                    : 63.5 / 127 * 0.51,
                            "cache");
        }
        rig_buf_free(&kv[0]);
        rig_buf_free(&kv[1]);
    }
}

/* -------- attention -------- */

typedef struct attention_case {
    nx_dtype k_dtype, v_dtype;
    int32_t  H, n_kv, D, pos0, T, window;
    float    softcap;
} attention_case;

/* One output row in double precision, on the decoded cache; no rounding to f16, so the bound
 * allows for it. */
static void check_attention_row(const attention_case *c, const uint8_t *kc, const uint8_t *vc,
                                const float *q, const float *got, int32_t t, int32_t h)
{
    int32_t n_pos = c->pos0 + t + 1, first = 0, kv = h / (c->H / c->n_kv);
    size_t  k_head = nx_dtype_row_bytes(c->k_dtype, c->D);
    size_t  v_head = nx_dtype_row_bytes(c->v_dtype, c->D);
    double  score[256], max = -INFINITY, sum = 0, out[256] = {0};
    float   row[256];

    if (c->window && n_pos > c->window) first = n_pos - c->window;
    for (int32_t p = first; p < n_pos; p++) {
        nx_dtype_get(c->k_dtype)->decode(row, kc + (size_t)(p * c->n_kv + kv) * k_head, c->D);
        score[p] = 0;
        for (int32_t i = 0; i < c->D; i++) score[p] += (double)q[i] * (double)row[i];
        score[p] *= 0.125;
        if (c->softcap > 0) score[p] = (double)c->softcap * tanh(score[p] / (double)c->softcap);
        max = fmax(max, score[p]);
    }
    for (int32_t p = first; p < n_pos; p++) sum += score[p] = exp(score[p] - max);
    for (int32_t p = first; p < n_pos; p++) {
        nx_dtype_get(c->v_dtype)->decode(row, vc + (size_t)(p * c->n_kv + kv) * v_head, c->D);
        for (int32_t i = 0; i < c->D; i++) out[i] += score[p] / sum * (double)row[i];
    }
    for (int32_t i = 0; i < c->D; i++)
        expect_near((double)got[i], out[i],
                    c->k_dtype == NX_DTYPE_F16 || c->v_dtype == NX_DTYPE_F16 ? 1e-2 : 1e-4,
                    "attention");
}

static void check_attention(const attention_case *c, float bad)
{
    enum { N_POS = 200 };
    int64_t     n = (int64_t)c->T * c->H * c->D, kv_n = (int64_t)c->n_kv * c->D;
    float      *q = noise(n, 2.0f), *src = noise(N_POS * kv_n, 2.0f), *expected = noise(n, 1.0f);
    rig_buf     out = rig_buf_make((size_t)n * sizeof(float), 0);
    uint8_t    *kc = nx_calloc(N_POS, nx_dtype_row_bytes(c->k_dtype, kv_n));
    uint8_t    *vc = nx_calloc(N_POS, nx_dtype_row_bytes(c->v_dtype, kv_n));
    nx_kv_view  k = {kc, c->k_dtype, 1, N_POS, c->n_kv, c->D};
    nx_kv_view  v = {vc, c->v_dtype, 1, N_POS, c->n_kv, c->D};
    nx_backend *ref = variants.b[0].be;

    const nx_seq_rows       all = {one_page, 0, N_POS, 0}, seq = {one_page, 0, c->T, c->pos0};
    const nx_attention_opts opts = {.scale = 0.125f, .softcap = c->softcap, .window = c->window};

    if (bad != 0) q[n / 2] = bad;
    ref->ops->kv_store(ref, &k, src, &all, 1);
    rig_fill(src, N_POS * kv_n, 2.0f);
    ref->ops->kv_store(ref, &v, src, &all, 1);
    ref->ops->attention(ref, expected, q, &k, &v, &seq, 1, c->H, &opts);
    for (int i = 1; i < variants.n; i++) {
        nx_backend *be = variants.b[i].be;
        be->ops->attention(be, out.p, q, &k, &v, &seq, 1, c->H, &opts);
        rig_buf_check(&out, variants.name[i]);
        expect_same(out.p, expected, n, variants.name[i]);
    }
    for (int32_t t = 0; bad == 0 && t < c->T; t += 3)
        for (int32_t h = 0; h < c->H; h++) {
            int64_t at = ((int64_t)t * c->H + h) * c->D;
            check_attention_row(c, kc, vc, q + at, expected + at, t, h);
        }
    rig_buf_free(&out);
    nx_free(kc);
    nx_free(vc);
    nx_free(q);
    nx_free(src);
    nx_free(expected);
}

static void attention_agrees(void **state)
{
    static const int32_t shapes[][5] = {/* H, n_kv, D, pos0, T */
                                        {1, 1, 32, 0, 1},  {4, 2, 64, 0, 17},
                                        {8, 1, 32, 5, 3},  {6, 2, 128, 180, 20},
                                        {9, 3, 96, 33, 2}, {14, 2, 64, 100, 1}};

    (void)state;
    rig_state = 11;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < 3; k++)
            for (size_t v = 0; v < 3; v++) {
                const int32_t *s = shapes[i];
                attention_case c = {cache_types[k], cache_types[v], s[0], s[1], s[2],
                                    s[3],           s[4],           0,    0};
                check_attention(&c, 0);
            }
}

static void attention_takes_any_head(void **state)
{
    static const int32_t dims[] = {1, 7, 8, 20, 33, 80};

    (void)state;
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (size_t k = 0; k < 2; k++) {
            attention_case c = {cache_types[k], cache_types[1 - k], 5, 1, dims[i], 3, 9, 0, 0};
            check_attention(&c, 0);
        }
}

/* Windows that hide nothing, much, and all but the row itself; caps, with and without them. */
static void attention_sees_its_window(void **state)
{
    static const int32_t windows[] = {1, 5, 16, 33, 60, 1000};

    (void)state;
    rig_state = 13;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (size_t k = 0; k < 3; k++) {
            attention_case c = {cache_types[k], cache_types[k], 6, 2, 64, 40, 9, windows[i], 0};
            check_attention(&c, 0);
            c.softcap = 2.5f;
            check_attention(&c, 0);
            c.pos0 = 0;
            check_attention(&c, 0);
            c.window = 0;
            check_attention(&c, i == 0 ? NAN : 0);
        }
}

static void attention_spreads_bad_numbers(void **state)
{
    static const float bad[] = {NAN, INFINITY, 3e38f, 1e-44f};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t k = 0; k < 3; k++) {
            attention_case c = {cache_types[k], cache_types[k], 8, 2, 64, 30, 5, 0, 0};
            check_attention(&c, bad[i]);
        }
}

/* -------- memory -------- */

static void memory_is_zeroed_and_aligned(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 4096, (size_t)3 << 20};
    nx_backend         *be = variants.b[0].be;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *p = be->ops->alloc(be, sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(p[j], 0);
        if (sizes[i]) memset(p, 1, sizes[i]);
        be->ops->free(be, p);
    }
    be->ops->free(be, NULL);
    assert_null(be->ops->alloc(be, SIZE_MAX - 10));
}

static void reserve_refuses_and_keeps(void **state)
{
    static const nx_backend_sizes absurd = {512, INT64_MAX / 4, 1024, 0, 0};
    static const nx_backend_sizes none = {0, 64, 64, 0, 0};
    rig_backend                   r = rig_backend_make(0, 1);
    nx_error                      err = {0};
    float                         x[64], y[64], w[64];

    (void)state;
    assert_int_equal(r.be->ops->reserve(r.be, &none, &err), NX_EINVAL);
    assert_int_equal(r.be->ops->reserve(r.be, &absurd, &err), NX_ENOMEM);
    assert_non_null(strstr(err.text, "512"));
    nx_alloc_fail_after(0);
    assert_int_equal(r.be->ops->reserve(r.be, &(nx_backend_sizes){1, 64, 64, 0, 0}, &err),
                     NX_ENOMEM);
    nx_alloc_fail_after(-1);
    rig_fill(x, 64, 1.0f);
    rig_fill(w, 64, 1.0f);
    r.be->ops->rmsnorm(r.be, y, x, w, 1, 64, 1e-5f); /* still of use */
    assert_true(isfinite(y[0]));
    rig_backend_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_agrees),
        cmocka_unit_test(rope_agrees),
        cmocka_unit_test(gate_agrees),
        cmocka_unit_test(embedding_is_decoding),
        cmocka_unit_test(stored_positions_agree),
        cmocka_unit_test(attention_agrees),
        cmocka_unit_test(attention_takes_any_head),
        cmocka_unit_test(attention_sees_its_window),
        cmocka_unit_test(attention_spreads_bad_numbers),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(reserve_refuses_and_keeps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
