/* Protects: the bits of matmul. For every weight type the reference stands near the plain formula
 * in double precision, and every variant, any number of threads, any batch and any rows give the
 * reference's bits, at any address, with guards around the outputs.
 *
 * `--bench` times what the tests have just proved. */
#include "rig.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/sweep.h"
#include "os/clock.h"
#include "os/memory.h"

#define N_MAX 100
#define T_MAX 65

static rig_variants variants;

static int setup(void **state)
{
    (void)state;
    rig_variants_make(&variants);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_variants_free(&variants);
    return 0;
}

static nx_tensor matrix(const void *data, nx_dtype dtype, int64_t K, int64_t N)
{
    return (nx_tensor){.name = "w",
                       .dtype = dtype,
                       .n_dims = 2,
                       .ne = {K, N, 1, 1},
                       .data = data,
                       .bytes = nx_dtype_row_bytes(dtype, K) * (size_t)N};
}

/* One weight matrix [N_MAX, K] at an odd address, activations [T_MAX, K], and what the reference
 * with one thread makes of all of it. Both end where their heap blocks end, so that a sanitizer
 * sees a read past them. */
typedef struct scene {
    nx_dtype dtype;
    int64_t  K;
    uint8_t *w_block, *w;
    float   *x;
    float   *expected; /* [T_MAX, N_MAX] */
} scene;

static void multiply(nx_backend *be, float *out, const nx_tensor *w, const float *x, int32_t T,
                     bool add)
{
    float *const           outs[] = {out};
    const nx_tensor *const ws[] = {w};

    be->ops->matmul(be, outs, ws, 1, x, T, add);
}

static scene scene_make(nx_dtype dtype, int64_t K)
{
    scene s = {.dtype = dtype, .K = K};

    rig_state = (uint64_t)dtype * 1000003 + (uint64_t)K;
    size_t skew = 1 + (size_t)K % 7;
    s.w_block = nx_alloc(nx_dtype_row_bytes(dtype, K) * N_MAX + skew, 1);
    s.x = nx_alloc((size_t)K * T_MAX, sizeof(float));
    assert_true(s.w_block && s.x);
    s.w = s.w_block + skew;
    rig_weights(s.w, dtype, K * N_MAX);
    rig_fill(s.x, K * T_MAX, 3.0f);
    s.expected = nx_calloc(N_MAX * T_MAX, sizeof(float));
    assert_non_null(s.expected);
    nx_tensor w = matrix(s.w, dtype, K, N_MAX);
    multiply(variants.b[0].be, s.expected, &w, s.x, T_MAX, false);
    return s;
}

static void scene_free(scene *s)
{
    nx_free(s->expected);
    nx_free(s->w_block);
    nx_free(s->x);
}

/* Lengths of rows: one block, odd counts of blocks, and across the panel's edge. */
static int lengths(int64_t K[6], nx_dtype dtype)
{
    int len = nx_dtype_get(dtype)->block_len;

    if (len == 1) {
        memcpy(K, (int64_t[]){1, 7, 33, 64, 100, 529}, 6 * sizeof *K);
        return 6;
    }
    if (len == 32) {
        memcpy(K, (int64_t[]){32, 96, 256, 544, 1056}, 5 * sizeof *K);
        return 5;
    }
    memcpy(K, (int64_t[]){256, 768, 1280}, 3 * sizeof *K);
    return 3;
}

/* -------- the reference against double precision -------- */

/* Half a step of the activations' codes for each weight, and a little for float rounding. */
static double error_bound(const scene *s, const float *w, const float *x)
{
    int64_t block = nx_act_block(nx_act_kind_of(s->dtype));
    double  bound = 1e-6, magnitude = 0;

    for (int64_t i = 0; i < s->K; i++) magnitude += fabs((double)w[i] * (double)x[i]);
    for (int64_t b = 0; block > 1 && b < s->K; b += block) {
        double amax = 0, weights = 0;
        for (int64_t i = b; i < b + block; i++) {
            amax = fmax(amax, fabs((double)x[i]));
            weights += fabs((double)w[i]);
        }
        bound += amax / 127 * 0.5001 * weights;
        magnitude += amax * weights * 0.01;
    }
    return bound + magnitude * 1e-5;
}

static void check_against_double(const scene *s)
{
    float *w = nx_calloc((size_t)s->K, sizeof *w);

    assert_non_null(w);
    for (int64_t n = 0; n < 17; n++) {
        size_t row_bytes = nx_dtype_row_bytes(s->dtype, s->K);
        nx_dtype_get(s->dtype)->decode(w, s->w + (size_t)n * row_bytes, s->K);
        for (int32_t t = 0; t < 3; t++) {
            const float *x = s->x + t * s->K;
            double       y = 0, got = s->expected[t * N_MAX + n];
            for (int64_t i = 0; i < s->K; i++) y += (double)w[i] * (double)x[i];
            if (!(fabs(got - y) <= error_bound(s, w, x)))
                fail_msg("%s K %d row %d token %d: %.9g, expected %.9g within %.3g",
                         nx_dtype_get(s->dtype)->name, (int)s->K, (int)n, t, got, y,
                         error_bound(s, w, x));
        }
    }
    nx_free(w);
}

static void reference_is_near_the_formula(void **state)
{
    int64_t K[6];

    (void)state;
    for (int dtype = 0; dtype < NX_DTYPE_GGUF_COUNT; dtype++) {
        int n = lengths(K, (nx_dtype)dtype);
        for (int i = 0; i < n; i++) {
            scene s = scene_make((nx_dtype)dtype, K[i]);
            check_against_double(&s);
            scene_free(&s);
        }
    }
}

/* -------- every variant against the reference -------- */

static void check_shape(const scene *s, int v, int32_t N, int32_t T, bool add)
{
    char      what[128];
    rig_buf   out = rig_buf_make((size_t)N * (size_t)T * sizeof(float), 0);
    nx_tensor w = matrix(s->w, s->dtype, s->K, N);
    float    *y = out.p;

    snprintf(what, sizeof what, "%s K %d N %d T %d%s, %s", nx_dtype_get(s->dtype)->name, (int)s->K,
             N, T, add ? " add" : "", variants.name[v]);
    for (int64_t i = 0; add && i < (int64_t)N * T; i++) y[i] = (float)i * 0.37f;
    multiply(variants.b[v].be, y, &w, s->x, T, add);
    rig_buf_check(&out, what);
    for (int64_t t = 0; t < T; t++) {
        for (int64_t n = 0; n < N; n++) {
            float expected = s->expected[t * N_MAX + n];
            if (add) expected = (float)(t * N + n) * 0.37f + expected;
            if (!rig_same(y[t * N + n], expected))
                fail_msg("%s: token %d row %d is %.9g, expected %.9g", what, (int)t, (int)n,
                         (double)y[t * N + n], (double)expected);
        }
    }
    rig_buf_free(&out);
}

static void check_scene(const scene *s)
{
    static const int32_t Ns[] = {1, 3, 8, 17, N_MAX}, Ts[] = {1, 2, 3, 5, 7, 16, 33, T_MAX};

    for (int v = 0; v < variants.n; v++) {
        bool reference = strncmp(variants.name[v], "cpu-ref", 7) == 0;
        for (size_t i = 0; i < sizeof Ns / sizeof *Ns; i++)
            for (size_t j = 0; j < sizeof Ts / sizeof *Ts; j++)
                if (!reference || Ns[i] * Ts[j] < 300) check_shape(s, v, Ns[i], Ts[j], false);
        check_shape(s, v, 17, 1, true);
        check_shape(s, v, 17, 5, true);
    }
}

static void every_variant_gives_the_same_bits(void **state)
{
    int64_t K[6];

    (void)state;
    for (int dtype = 0; dtype < NX_DTYPE_GGUF_COUNT; dtype++) {
        int n = lengths(K, (nx_dtype)dtype);
        for (int i = 0; i < n; i++) {
            scene s = scene_make((nx_dtype)dtype, K[i]);
            check_scene(&s);
            scene_free(&s);
        }
    }
}

/* More tokens than one slice holds. */
static void long_batches_are_single_tokens(void **state)
{
    enum { T = NX_PANEL_TOKENS + 2, N = 20 };
    static const nx_dtype types[] = {NX_DTYPE_F16, NX_DTYPE_Q4_0, NX_DTYPE_Q8_0, NX_DTYPE_Q6_K};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int64_t   K = 512;
        rig_buf   wb = rig_buf_make(nx_dtype_row_bytes(types[i], K) * N, 3);
        rig_buf   x = rig_buf_make((size_t)K * T * sizeof(float), 0);
        rig_buf   y = rig_buf_make((size_t)N * T * sizeof(float), 0);
        nx_tensor w = matrix(wb.p, types[i], K, N);

        rig_weights(wb.p, types[i], K * N);
        rig_fill(x.p, K * T, 2.0f);
        for (int v = 0; v < variants.n; v++) {
            multiply(variants.b[v].be, y.p, &w, x.p, T, false);
            rig_buf_check(&y, variants.name[v]);
            for (int32_t t = 0; t < T; t++) {
                float one[N];
                multiply(variants.b[v].be, one, &w, (float *)x.p + t * K, 1, false);
                for (int n = 0; n < N; n++)
                    assert_true(rig_same(one[n], ((float *)y.p)[t * N + n]));
            }
        }
        rig_buf_free(&wb);
        rig_buf_free(&x);
        rig_buf_free(&y);
    }
}

/* -------- groups of matrices, of one kind and of several -------- */

static void check_group(const nx_dtype types[NX_MATMUL_GROUP_MAX], int32_t T)
{
    static const int32_t Ns[NX_MATMUL_GROUP_MAX] = {33, 8, 1, 20};
    enum { K = 512 };
    rig_buf          w[NX_MATMUL_GROUP_MAX], out[NX_MATMUL_GROUP_MAX];
    nx_tensor        tensors[NX_MATMUL_GROUP_MAX];
    const nx_tensor *ws[NX_MATMUL_GROUP_MAX];
    float           *outs[NX_MATMUL_GROUP_MAX], x[K * 9], expected[33 * 9];

    rig_fill(x, K * T, 1.0f);
    for (int g = 0; g < NX_MATMUL_GROUP_MAX; g++) {
        w[g] = rig_buf_make(nx_dtype_row_bytes(types[g], K) * (size_t)Ns[g], (size_t)g);
        out[g] = rig_buf_make((size_t)(Ns[g] * T) * sizeof(float), 0);
        rig_weights(w[g].p, types[g], (int64_t)K * Ns[g]);
        tensors[g] = matrix(w[g].p, types[g], K, Ns[g]);
        ws[g] = &tensors[g];
        outs[g] = out[g].p;
    }
    for (int v = 0; v < variants.n; v++) {
        nx_backend *be = variants.b[v].be;
        be->ops->matmul(be, outs, ws, NX_MATMUL_GROUP_MAX, x, T, false);
        for (int g = 0; g < NX_MATMUL_GROUP_MAX; g++) {
            rig_buf_check(&out[g], variants.name[v]);
            multiply(variants.b[0].be, expected, ws[g], x, T, false);
            for (int i = 0; i < Ns[g] * T; i++) assert_true(rig_same(outs[g][i], expected[i]));
        }
    }
    for (int g = 0; g < NX_MATMUL_GROUP_MAX; g++) {
        rig_buf_free(&w[g]);
        rig_buf_free(&out[g]);
    }
}

static void groups_are_single_products(void **state)
{
    static const nx_dtype groups[][NX_MATMUL_GROUP_MAX] = {
        {NX_DTYPE_Q4_0, NX_DTYPE_Q4_0, NX_DTYPE_Q4_0, NX_DTYPE_Q4_0},
        {NX_DTYPE_Q4_K, NX_DTYPE_Q6_K, NX_DTYPE_Q4_K, NX_DTYPE_Q3_K},
        {NX_DTYPE_Q8_0, NX_DTYPE_F32, NX_DTYPE_Q6_K, NX_DTYPE_Q4_1},
    };

    (void)state;
    rig_state = 77;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (int32_t T = 1; T <= 9; T += 4) check_group(groups[i], T);
}

/* -------- numbers that are none -------- */

/* A NaN or an infinity in token 1 makes all its outputs NaN (or, for plain types, what the formula
 * gives), and leaves the other tokens alone; tiny and huge numbers overflow nothing. */
static void bad_numbers_stay_in_their_row(void **state)
{
    enum { K = 512, N = 19, T = 6 };
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e-44f, 3e38f, -1e-30f};
    float              x[K * T], y[N * T], expected[N * T], clean[N * T];

    (void)state;
    for (int dtype = 0; dtype < NX_DTYPE_GGUF_COUNT; dtype++) {
        rig_buf   wb = rig_buf_make(nx_dtype_row_bytes((nx_dtype)dtype, K) * N, 1);
        nx_tensor w = matrix(wb.p, (nx_dtype)dtype, K, N);
        rig_weights(wb.p, (nx_dtype)dtype, (int64_t)K * N);
        rig_fill(x, K * T, 1.0f);
        multiply(variants.b[0].be, clean, &w, x, T, false);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            rig_fill(x + K, K, fabsf(bad[i]) < 1e-20f ? 1e-38f : 1.0f);
            x[K + 300] = bad[i];
            multiply(variants.b[0].be, expected, &w, x, T, false);
            for (int v = 0; v < variants.n; v++) {
                multiply(variants.b[v].be, y, &w, x, T, false);
                for (int j = 0; j < N * T; j++) {
                    assert_true(rig_same(y[j], expected[j]));
                    if (j / N != 1) assert_true(rig_same(y[j], clean[j]));
                    if (j / N == 1 && !isfinite(bad[i])) assert_false(isfinite(y[j]));
                }
            }
        }
        rig_buf_free(&wb);
    }
}

/* Codes of a file that no quantiser writes: every byte 0x80, 0xFF, 0x00. */
static void extreme_codes_are_exact(void **state)
{
    enum { K = 768, N = 17, T = 5 };
    float x[K * T], y[N * T], expected[N * T];

    (void)state;
    for (int i = 0; i < K * T; i++) x[i] = i % 3 ? 127.0f : -127.0f;
    for (int dtype = NX_DTYPE_Q4_0; dtype < NX_DTYPE_GGUF_COUNT; dtype++) {
        const nx_dtype_info *info = nx_dtype_get((nx_dtype)dtype);
        rig_buf              wb = rig_buf_make(nx_dtype_row_bytes((nx_dtype)dtype, K) * N, 0);
        nx_tensor            w = matrix(wb.p, (nx_dtype)dtype, K, N);
        for (int fill = 0; fill < 3; fill++) {
            memset(wb.p, (int[]){0x80, 0xFF, 0x00}[fill], wb.bytes);
            for (size_t b = 0; b < wb.bytes; b += info->block_bytes) {
                for (int i = 0; i < 2; i++)
                    if (rig_halves[dtype][i] >= 0)
                        memcpy((uint8_t *)wb.p + b + rig_halves[dtype][i], "\x66\x2e", 2);
            }
            for (int32_t tokens = 1; tokens <= T; tokens += 4) {
                multiply(variants.b[0].be, expected, &w, x, tokens, false);
                for (int v = 1; v < variants.n; v++) {
                    multiply(variants.b[v].be, y, &w, x, tokens, false);
                    for (int i = 0; i < N * tokens; i++) {
                        assert_true(isfinite(y[i]));
                        assert_true(rig_same(y[i], expected[i]));
                    }
                }
            }
        }
        rig_buf_free(&wb);
    }
}

/* -------- timing -------- */

#define BENCH_K     2048
#define BENCH_N     2048
#define BENCH_T     128
#define BENCH_BYTES ((size_t)512 << 20) /* decoding must not come from a cache */

/* The best of many calls within half a second. */
static double best_ns(nx_backend *be, float *out, const nx_tensor *w, const float *x, int32_t T)
{
    double  best = 1e30;
    int64_t end = nx_clock_ns() + 500000000;

    do {
        int64_t start = nx_clock_ns();
        multiply(be, out, w, x, T, false);
        double ns = (double)(nx_clock_ns() - start);
        if (ns < best) best = ns;
    } while (nx_clock_ns() < end);
    return best;
}

/* One line: one token over half a gigabyte of rows, 128 tokens over a square of 2048. */
static void bench_matrix(rig_backend *r, const char *name, const nx_tensor *big,
                         const nx_tensor *square, const float *x, float *y, size_t scale_bytes,
                         double ceiling)
{
    double decode = (double)(big->bytes + scale_bytes) / best_ns(r->be, y, big, x, 1);
    double prefill = (double)BENCH_K * BENCH_N * BENCH_T / best_ns(r->be, y, square, x, BENCH_T);

    printf("%s,%s,%d,%.2f,%.3f,%.2f\n", name, r->be->ops->name, nx_pool_threads(r->pool), decode,
           decode / ceiling, prefill);
    fflush(stdout);
}

static void bench_type(rig_backend *r, nx_dtype dtype, const float *x, float *y, uint8_t *weights,
                       double ceiling)
{
    size_t    row_bytes = nx_dtype_row_bytes(dtype, BENCH_K);
    int64_t   n_big = (int64_t)(BENCH_BYTES / row_bytes / BENCH_N * BENCH_N);
    nx_tensor big = matrix(weights, dtype, BENCH_K, n_big);
    nx_tensor square = matrix(weights, dtype, BENCH_K, BENCH_N);

    rig_weights(weights, dtype, (int64_t)BENCH_K * BENCH_N);
    for (int64_t i = BENCH_N; i < n_big; i += BENCH_N)
        memcpy(weights + (size_t)i * row_bytes, weights, BENCH_N * row_bytes);
    bench_matrix(r, nx_dtype_get(dtype)->name, &big, &square, x, y, 0, ceiling);
}

/* A type with scales apart, in blocks of 64; nested: scales of one byte. */
static void bench_apart(rig_backend *r, const char *name, nx_dtype dtype, bool nested,
                        const float *x, float *y, uint8_t *weights, double ceiling)
{
    size_t      row_bytes = nx_dtype_row_bytes(dtype, BENCH_K);
    int64_t     n_big = (int64_t)(BENCH_BYTES / row_bytes / BENCH_N * BENCH_N);
    int32_t     block_len = dtype == NX_DTYPE_INT8 ? BENCH_K : 64;
    int64_t     n = n_big * BENCH_K / block_len;
    nx_tensor   big = matrix(weights, dtype, BENCH_K, n_big);
    nx_tensor   square = matrix(weights, dtype, BENCH_K, BENCH_N);
    nx_memory   memory = {0};
    nx_error    err = {0};
    const float map[256] = {0.5f};

    if (nx_memory_map(&memory, 4 * (size_t)n, &err)) return;
    for (size_t i = 0; i < BENCH_BYTES; i++) weights[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int64_t i = 0; i < n; i++) ((float *)memory.data)[i] = 0.01f;
    nx_tensor_scales s = {.n = n, .block_len = block_len, .map = map, .nested_len = 256};
    if (nested) s.codes = weights;
    *(nested ? &s.nested : &s.absmax) = memory.data;
    big.scales = square.scales = &s;
    bench_matrix(r, name, &big, &square, x, y, (size_t)n * (nested ? 1 : 4), ceiling);
    nx_memory_unmap(&memory);
}

static void bench_aparts(rig_backend *r, const char *only, const float *x, float *y,
                         uint8_t *weights, double ceiling)
{
    static const struct {
        const char *name;
        nx_dtype    dtype;
        bool        nested;
    } kinds[] = {{"nf4", NX_DTYPE_NF4, false},
                 {"nf4-dq", NX_DTYPE_NF4, true},
                 {"fp4", NX_DTYPE_FP4, false},
                 {"int8", NX_DTYPE_INT8, false}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!only || strcmp(only, kinds[i].name) == 0)
            bench_apart(r, kinds[i].name, kinds[i].dtype, kinds[i].nested, x, y, weights, ceiling);
}

/* All types, or only the one of that name; threads as many as processors. */
static int bench(const char *only)
{
    static float x[BENCH_K * BENCH_T];
    uint32_t     features = 0;
    nx_error     err = {0};
    nx_memory    weights = {0}, y = {0};
    double       ceiling = 0;

    nx_cpu_features(&features, NULL, &err);
    rig_backend r = rig_backend_make(features, nx_cpu_count());
    if (nx_cpu_read_bandwidth(&ceiling, nx_cpu_count(), BENCH_BYTES, 5, features, &err) ||
        nx_memory_map(&weights, BENCH_BYTES, &err) || nx_memory_map(&y, BENCH_BYTES / 64, &err)) {
        fprintf(stderr, "bench: %s\n", err.text);
        return 1;
    }
    rig_fill(x, BENCH_K * BENCH_T, 1.0f);
    printf("type,backend,threads,decode_gb_per_s,decode_of_ceiling,prefill_gmac_per_s\n");
    for (int dtype = 0; dtype < NX_DTYPE_GGUF_COUNT; dtype++)
        if (!only || strcmp(only, nx_dtype_get((nx_dtype)dtype)->name) == 0)
            bench_type(&r, (nx_dtype)dtype, x, y.data, weights.data, ceiling * 1e-9);
    bench_aparts(&r, only, x, y.data, weights.data, ceiling * 1e-9);
    rig_backend_free(&r);
    nx_memory_unmap(&weights);
    nx_memory_unmap(&y);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_is_near_the_formula),
        cmocka_unit_test(every_variant_gives_the_same_bits),
        cmocka_unit_test(long_batches_are_single_tokens),
        cmocka_unit_test(groups_are_single_products),
        cmocka_unit_test(bad_numbers_stay_in_their_row),
        cmocka_unit_test(extreme_codes_are_exact),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);

    if (failed || argc < 2 || strcmp(argv[1], "--bench") != 0) return failed;
    return bench(argc > 2 ? argv[2] : NULL);
}
