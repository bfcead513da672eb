/* Protects: the bits of layer norm, activations, sums, soft caps and experts. The reference stands
 * near the formula in double precision; every variant and any number of threads give the
 * reference's bits, with guards around the outputs; an expert's rows are those of matmul. */
#include "rig_ops.h"

#include "num/curves.h"

/* Numbers that are none, or hard, put among the noise. */
static void spoil(float *x, int64_t n)
{
    static const float odd[] = {NAN,   INFINITY, -INFINITY, -87.4f, -88.8f, 88.8f,
                                1e30f, -1e30f,   0.0f,      -0.0f,  1e-42f, 0.625f};

    for (size_t i = 0; i < sizeof odd / sizeof *odd && n > 90; i++) x[7 * i] = odd[i];
}

/* What one op makes of a copy of `start`, by every variant, equal to the first's (returned; the
 * caller frees it). op(be, buffer, ctx) works on the buffer. */
typedef void (*op_fn)(nx_backend *be, float *buffer, void *ctx);

static float *by_all(const float *start, int64_t n, op_fn op, void *ctx)
{
    float  *expected = noise(n, 1.0f);
    rig_buf out = rig_buf_make((size_t)n * sizeof(float), 0);

    for (int v = 0; v < variants.n; v++) {
        float *y = v ? out.p : expected;
        memcpy(y, start, (size_t)n * sizeof(float));
        op(variants.b[v].be, y, ctx);
        rig_buf_check(&out, variants.name[v]);
        if (v) expect_same(y, expected, n, variants.name[v]);
    }
    rig_buf_free(&out);
    return expected;
}

/* -------- layer norm -------- */

typedef struct norm_case {
    const float *w, *b;
    int32_t      T;
    int64_t      D;
} norm_case;

static void layernorm(nx_backend *be, float *x, void *ctx)
{
    const norm_case *c = ctx;

    be->ops->layernorm(be, x, x, c->w, c->b, c->T, c->D, 1e-5f);
}

static void check_layernorm(int32_t T, int64_t D, float shift, bool with_b)
{
    float    *x = noise(T * D, 2.0f), *w = noise(D, 1.0f), *b = noise(D, 1.0f);
    norm_case c = {w, with_b ? b : NULL, T, D};

    for (int64_t i = 0; i < T * D; i++) x[i] += shift;
    float *y = by_all(x, T * D, layernorm, &c);
    double mean = 0, var = 0;
    for (int64_t i = 0; i < D; i++) mean += (double)x[i] / (double)D;
    for (int64_t i = 0; i < D; i++) var += pow((double)x[i] - mean, 2) / (double)D;
    double r = 1 / sqrt(var + (double)1e-5f);
    for (int64_t i = 0; i < D; i++)
        expect_near((double)y[i],
                    ((double)x[i] - mean) * r * (double)w[i] + (with_b ? (double)b[i] : 0),
                    2e-6 * (1 + fabs(r) * (1 + fabs((double)shift))), "layer norm");
    nx_free(x);
    nx_free(w);
    nx_free(b);
    nx_free(y);
}

static void layernorm_agrees(void **state)
{
    (void)state;
    rig_state = 21;
    for (int32_t T = 1; T <= 33; T += 16)
        for (int64_t D = 1; D <= 300; D += D < 20 ? 3 : 89) {
            check_layernorm(T, D, 0.0f, false);
            check_layernorm(T, D, 10.0f, true);
        }
}

/* -------- activations -------- */

typedef struct act_case {
    const float  *up;
    int64_t       n;
    nx_activation kind;
} act_case;

static void act_mul(nx_backend *be, float *x, void *ctx)
{
    const act_case *c = ctx;

    be->ops->act_mul(be, x, x, c->up, c->n, c->kind);
}

static double activation(double x, nx_activation kind)
{
    switch (kind) {
    case NX_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case NX_ACTIVATION_GELU_ERF: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case NX_ACTIVATION_RELU: return x > 0 ? x : 0;
    default: return x / (1 + exp(-x));
    }
}

static void check_activation(nx_activation kind, int64_t n, bool with_up)
{
    float   *gate = noise(n, 12.0f), *up = noise(n, 2.0f);
    act_case c = {with_up ? up : NULL, n, kind};

    spoil(gate, n);
    float *y = by_all(gate, n, act_mul, &c);
    for (int64_t i = 0; i < n; i++) {
        double e = activation((double)gate[i], kind) * (with_up ? (double)up[i] : 1);
        if (isfinite(gate[i]) && fabs((double)gate[i]) < 80)
            expect_near((double)y[i], e, 1e-6 + 1e-6 * fabs((double)gate[i]), "activation");
    }
    nx_free(gate);
    nx_free(up);
    nx_free(y);
}

static void activations_agree(void **state)
{
    (void)state;
    rig_state = 5;
    for (int kind = NX_ACTIVATION_SILU; kind <= NX_ACTIVATION_RELU; kind++)
        for (int64_t n = 1; n < 40000; n = n * 5 + 3) {
            check_activation((nx_activation)kind, n, true);
            check_activation((nx_activation)kind, n, false);
        }
}

/* -------- sums, caps, gates -------- */

typedef struct sum_case {
    const float *a;
    int32_t      T;
    int64_t      n;
    float        scale, cap;
} sum_case;

static void add(nx_backend *be, float *x, void *ctx)
{
    const sum_case *c = ctx;

    be->ops->add(be, x, c->a, c->n, c->scale);
}

static void bias(nx_backend *be, float *x, void *ctx)
{
    const sum_case *c = ctx;

    be->ops->bias(be, x, c->a, c->T, c->n);
}

static void softcap(nx_backend *be, float *x, void *ctx)
{
    const sum_case *c = ctx;

    be->ops->softcap(be, x, c->n, c->scale, c->cap);
}

static void gate_rows(nx_backend *be, float *x, void *ctx)
{
    const sum_case *c = ctx;

    be->ops->gate_rows(be, x, c->a, c->T, c->n);
}

static void check_sums(int64_t n)
{
    float   *x = noise(n, 3.0f), *a = noise(n, 1.0f);
    sum_case c = {a, 1, n, 0.22f, 0};

    float *y = by_all(x, n, add, &c);
    for (int64_t i = 0; i < n; i++) assert_true(rig_same(y[i], fmaf(a[i], 0.22f, x[i])));
    nx_free(y);
    spoil(x, n);
    for (int cap = 0; cap < 2; cap++) {
        c.cap = cap ? 3.0f : 0.0f;
        y = by_all(x, n, softcap, &c);
        for (int64_t i = 0; i < n; i++) {
            double e = (double)x[i] * (double)0.22f;
            if (cap) e = 3 * tanh(e / 3);
            if (isfinite(x[i])) expect_near((double)y[i], e, 1e-6 * (1 + fabs(e)), "softcap");
            if (cap && !isnan(x[i])) assert_true(fabsf(y[i]) <= 3.0f);
        }
        nx_free(y);
    }
    nx_free(x);
    nx_free(a);
}

static void check_rows(int32_t T, int64_t N)
{
    float   *x = noise(T * N, 3.0f), *a = noise(N > T ? N : T, 4.0f);
    sum_case c = {.a = a, .T = T, .n = N};

    float *y = by_all(x, T * N, bias, &c);
    for (int64_t i = 0; i < T * N; i++) assert_true(rig_same(y[i], x[i] + a[i % N]));
    nx_free(y);
    y = by_all(x, T * N, gate_rows, &c);
    for (int64_t i = 0; i < T * N; i++)
        expect_near((double)y[i], (double)x[i] / (1 + exp(-(double)a[i / N])), 1e-6, "gate");
    nx_free(y);
    nx_free(x);
    nx_free(a);
}

static void sums_and_caps_agree(void **state)
{
    (void)state;
    rig_state = 31;
    for (int64_t n = 1; n < 40000; n = n * 5 + 3) check_sums(n);
    for (int32_t T = 1; T <= 33; T += 8)
        for (int64_t N = 1; N < 700; N = N * 3 + 2) check_rows(T, N);
}

/* -------- routing -------- */

static void check_route(int32_t T, int32_t E, const nx_route_opts *o, bool spoiled)
{
    int32_t  n = T * o->k;
    float   *logits = noise((int64_t)T * E, 3.0f), *expected = noise(n, 1.0f);
    int32_t *ids = nx_calloc((size_t)n, sizeof *ids), *expected_ids = nx_calloc((size_t)n, 4);
    rig_buf  weights = rig_buf_make((size_t)n * sizeof(float), 0);

    for (int32_t i = 0; i < T * E; i++) logits[i] = roundf(logits[i] * 8) / 8; /* ties */
    if (spoiled) spoil(logits, (int64_t)T * E);
    for (int v = 0; v < variants.n; v++) {
        nx_backend *be = variants.b[v].be;
        be->ops->route(be, v ? ids : expected_ids, v ? weights.p : expected, logits, T, E, o);
        rig_buf_check(&weights, variants.name[v]);
        if (v) expect_same(weights.p, expected, n, variants.name[v]);
        if (v) assert_memory_equal(ids, expected_ids, (size_t)n * sizeof *ids);
    }
    for (int32_t t = 0; t < T; t++) {
        const float   *l = logits + (int64_t)t * E;
        const int32_t *id = expected_ids + (int64_t)t * o->k;
        double         all = 0, chosen = 0;
        for (int32_t j = 0; j < o->k; j++) {
            assert_in_range(id[j], 0, E - 1);
            for (int32_t i = 0; i < j; i++) assert_int_not_equal(id[i], id[j]);
        }
        if (spoiled) continue;
        for (int32_t j = 0; j < o->k; j++) { /* as many are before it as its rank says */
            int32_t before = 0;
            for (int32_t e = 0; e < E; e++)
                before += l[e] > l[id[j]] || (rig_same(l[e], l[id[j]]) && e < id[j]);
            assert_int_equal(before, j);
            chosen += exp((double)l[id[j]]);
        }
        for (int32_t e = 0; e < E; e++) all += exp((double)l[e]);
        for (int32_t j = 0; j < o->k; j++)
            expect_near((double)expected[t * o->k + j],
                        exp((double)l[id[j]]) / (o->normalise ? chosen : all) * (double)o->scale,
                        1e-6, "weight of an expert");
    }
    rig_buf_free(&weights);
    nx_free(ids);
    nx_free(expected_ids);
    nx_free(logits);
    nx_free(expected);
}

static void routes_agree(void **state)
{
    static const int32_t shapes[][2] = {{1, 1}, {8, 2}, {8, 8}, {60, 4}, {128, 8}};

    (void)state;
    rig_state = 41;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int32_t T = 1; T <= 33; T += 32) {
            check_route(T, shapes[i][0], &(nx_route_opts){shapes[i][1], true, 1.0f}, false);
            check_route(T, shapes[i][0], &(nx_route_opts){shapes[i][1], false, 2.5f}, false);
            check_route(T, shapes[i][0], &(nx_route_opts){shapes[i][1], true, 1.0f}, true);
        }
}

/* -------- experts -------- */

enum { E_MAX = 8, T_MAX = 300 };

typedef struct experts_case {
    int32_t T, E, k;
    int64_t K, N;
    bool    x_per_slot;
} experts_case;

/* Each slot alone, by the reference. */
static void expect_products(const experts_case *c, const nx_tensor *w, const float *x,
                            const int32_t *ids, const float *got, const char *what)
{
    nx_backend *ref = variants.b[0].be;
    float       y[64], *out = y;

    for (int32_t s = 0; s < c->T * c->k; s++) {
        const nx_tensor *of = &w[ids[s]];
        ref->ops->matmul(ref, &out, &of, 1, x + (c->x_per_slot ? s : s / c->k) * c->K, 1, false);
        expect_same(got + s * c->N, y, c->N, what);
    }
}

static void check_experts(const experts_case *c, const nx_dtype types[E_MAX])
{
    int32_t   slots = c->T * c->k;
    rig_buf   data[E_MAX], out = rig_buf_make((size_t)(slots * c->N) * sizeof(float), 0);
    nx_tensor w[E_MAX];
    float    *x = noise(slots * c->K, 2.0f), *y = noise(c->T * c->N, 1.0f);
    float    *weights = noise(slots, 1.0f), *sum = noise(c->T * c->N, 1.0f);
    int32_t  *ids = nx_calloc((size_t)slots, sizeof *ids);

    for (int32_t e = 0; e < c->E; e++) {
        size_t bytes = nx_dtype_row_bytes(types[e], c->K) * (size_t)c->N;
        data[e] = rig_buf_make(bytes, (size_t)e);
        rig_weights(data[e].p, types[e], c->K * c->N);
        w[e] = (nx_tensor){"w", types[e], 2, {c->K, c->N, 1, 1}, data[e].p, bytes, NULL, 0};
    }
    for (int32_t s = 0; s < slots; s++) /* some experts stay without work */
        ids[s] = (int32_t)((rig_u64() % 3 + (uint64_t)(s % c->k) * 2 + 1) % (uint64_t)c->E);
    for (int v = 0; v < variants.n; v++) {
        nx_backend *be = variants.b[v].be;
        be->ops->matmul_experts(be, out.p, w, c->E, x, c->T, ids, c->k, c->x_per_slot);
        rig_buf_check(&out, variants.name[v]);
        expect_products(c, w, x, ids, out.p, variants.name[v]);
        memcpy(sum, y, (size_t)(c->T * c->N) * sizeof(float));
        be->ops->combine(be, sum, out.p, weights, c->T, c->k, c->N);
        for (int64_t i = 0; i < c->T * c->N; i++) {
            float o = y[i];
            for (int32_t j = 0; j < c->k; j++) {
                int64_t s = i / c->N * c->k + j;
                o = fmaf(((float *)out.p)[s * c->N + i % c->N], weights[s], o);
            }
            assert_true(rig_same(sum[i], o));
        }
    }
    for (int32_t e = 0; e < c->E; e++) rig_buf_free(&data[e]);
    rig_buf_free(&out);
    nx_free(x);
    nx_free(y);
    nx_free(weights);
    nx_free(sum);
    nx_free(ids);
}

static void experts_are_single_products(void **state)
{
    static const nx_dtype types[][E_MAX] = {
        {NX_DTYPE_F32, NX_DTYPE_F32, NX_DTYPE_F32, NX_DTYPE_F32, NX_DTYPE_F32, NX_DTYPE_F32,
         NX_DTYPE_F32, NX_DTYPE_F32},
        {NX_DTYPE_Q4_K, NX_DTYPE_Q6_K, NX_DTYPE_Q4_K, NX_DTYPE_Q4_K, NX_DTYPE_Q8_0, NX_DTYPE_BF16,
         NX_DTYPE_Q4_K, NX_DTYPE_Q6_K},
    };
    static const experts_case cases[] = {
        {1, 8, 2, 256, 33, false}, {1, 8, 6, 256, 8, false},     {1, 8, 2, 512, 17, true},
        {7, 8, 3, 256, 20, false}, {7, 4, 2, 256, 20, true},     {40, 8, 2, 256, 5, false},
        {40, 1, 1, 256, 9, true},  {T_MAX, 3, 2, 256, 3, false},
    };

    (void)state;
    rig_state = 51;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            check_experts(&cases[i], types[t]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm_agrees),
        cmocka_unit_test(activations_agree),
        cmocka_unit_test(sums_and_caps_agree),
        cmocka_unit_test(routes_agree),
        cmocka_unit_test(experts_are_single_products),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
