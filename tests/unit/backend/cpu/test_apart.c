/* Protects: products with nf4, fp4 and int8 weights, and exact ones with every type: near the formula
 * in double precision, and the same bits from every variant, thread count and batch. And fine ones, of
 * q8_0. */
#include "rig.h"

#include "tensor/tensor.h"

enum { N_MAX = 37, T_MAX = 40, K_MAX = 640 };

static rig_variants variants, exact, fine;

/* A matrix with scales of its own. */
typedef struct scene {
    nx_tensor        w;
    nx_tensor_scales s;
    uint8_t          codes[N_MAX * K_MAX + 1];
    uint8_t          absmax[4 * (N_MAX * K_MAX / 32 + 2)]; /* f32 at odd addresses */
    uint8_t          nested_codes[N_MAX * K_MAX / 32 + 1], nested[4 * 64];
    float            map[256], x[T_MAX * K_MAX];
} scene;

static void put_f32(uint8_t *p, int64_t i, float f)
{
    memcpy(p + 4 * i, &f, 4);
}

static void scene_make(scene *c, nx_dtype dtype, int64_t K, int32_t block_len, bool nested,
                       float threshold)
{
    memset(c, 0, sizeof *c);
    bool     rows = dtype == NX_DTYPE_INT8;
    int64_t  n = rows ? N_MAX : (N_MAX * K + block_len - 1) / block_len;
    uint8_t *absmax = c->absmax + 1, *outer = c->nested + 1;

    for (size_t i = 0; i < sizeof c->codes; i++) c->codes[i] = (uint8_t)rig_u64();
    for (int64_t i = 0; i < n; i++) put_f32(absmax, i, 0.02f + fabsf(rig_f32()) * 0.1f);
    for (int i = 0; i < 256; i++) c->map[i] = (float)(i - 127) / 128.0f;
    for (int64_t i = 0; i < n; i++) c->nested_codes[i] = (uint8_t)rig_u64();
    for (int64_t i = 0; i < (n + 255) / 256; i++) put_f32(outer, i, 0.05f);
    c->s = (nx_tensor_scales){.n = n,
                              .block_len = rows ? (int32_t)K : block_len,
                              .absmax = nested ? NULL : absmax,
                              .codes = nested ? c->nested_codes : NULL,
                              .nested = nested ? outer : NULL,
                              .map = c->map,
                              .nested_len = 256,
                              .offset = 0.06f,
                              .threshold = threshold};
    c->w = (nx_tensor){.name = "w",
                       .dtype = dtype,
                       .n_dims = 2,
                       .ne = {K, N_MAX, 1, 1},
                       .data = c->codes + 1,
                       .bytes = (size_t)(rows ? N_MAX * K : N_MAX * K / 2),
                       .scales = &c->s};
    rig_fill(c->x, T_MAX * K, 2.0f);
    for (int i = 0; i < 30 && threshold > 0; i++)
        c->x[(rig_u64() % 5) * (uint64_t)K + rig_u64() % (uint64_t)K] = rig_f32() * 20;
}

static void multiply(nx_backend *be, float *y, const nx_tensor *w, const float *x, int32_t T,
                     bool add)
{
    be->ops->matmul(be, (float *const[]){y}, (const nx_tensor *const[]){w}, 1, x, T, add);
}

/* ---- Against the formula ---- */

static void check_floats(nx_backend *be, const nx_tensor *w, const float *x, int32_t T)
{
    static float y[T_MAX * N_MAX], row[K_MAX];
    int64_t      K = w->ne[0];

    multiply(be, y, w, x, T, false);
    for (int64_t n = 0; n < w->ne[1]; n++) {
        nx_tensor_decode(row, w, n, 1);
        for (int32_t t = 0; t < T; t++) {
            double sum = 0, size = 0;
            for (int64_t i = 0; i < K; i++) {
                sum += (double)row[i] * (double)x[t * K + i];
                size += fabs((double)row[i] * (double)x[t * K + i]);
            }
            if (!(fabs(sum - (double)y[t * w->ne[1] + n]) <= 1e-6 * size + 1e-30))
                fail_msg("%s row %d token %d: %.9g, expected %.9g", nx_dtype_get(w->dtype)->name,
                         (int)n, t, (double)y[t * w->ne[1] + n], sum);
        }
    }
}

static void nibbles_are_near_the_formula(void **state)
{
    static scene c;

    (void)state;
    for (int nested = 0; nested < 2; nested++) {
        scene_make(&c, NX_DTYPE_NF4, 192, 64, nested, 0);
        check_floats(variants.b[0].be, &c.w, c.x, 3);
        scene_make(&c, NX_DTYPE_FP4, 100, 128, nested, 0);
        check_floats(variants.b[0].be, &c.w, c.x, 3);
    }
}

/* LLM.int8, written out once more, in double precision. */
static double int8_product(const scene *c, int64_t n, int32_t t, int32_t T)
{
    int64_t K = c->w.ne[0];
    float   limit = c->s.threshold, amax = 0, scale = nx_scale_at(&c->s, n);
    double  sum = 0, outside = 0;

    for (int64_t i = 0; i < K; i++) {
        float h = fabsf(nx_f16_to_f32(nx_f32_to_f16(c->x[t * K + i])));
        if (!(limit > 0 && h >= limit) && h > amax) amax = h;
    }
    for (int64_t i = 0; i < K; i++) {
        int8_t w = ((const int8_t *)c->w.data)[n * K + i];
        bool   outlier = false;
        for (int32_t s = 0; s < T && limit > 0; s++)
            outlier |= fabsf(nx_f16_to_f32(nx_f32_to_f16(c->x[s * K + i]))) >= limit;
        if (outlier)
            outside += (double)c->x[t * K + i] * w * (double)scale / 127;
        else
            sum += w * (double)rintf(nx_f16_to_f32(nx_f32_to_f16(c->x[t * K + i])) *
                                     (1.0f / amax * 127.0f));
    }
    return sum * (double)amax * (double)scale / 16129 + outside;
}

static void int8_is_near_the_formula(void **state)
{
    static scene c;
    static float y[T_MAX * N_MAX];

    (void)state;
    for (int outliers = 0; outliers < 2; outliers++) {
        scene_make(&c, NX_DTYPE_INT8, 200, 0, false, outliers ? 6.0f : 0);
        multiply(variants.b[0].be, y, &c.w, c.x, 7, false);
        for (int32_t t = 0; t < 7; t++)
            for (int64_t n = 0; n < N_MAX; n++) {
                double want = int8_product(&c, n, t, 7);
                if (!(fabs((double)y[t * N_MAX + n] - want) <= 1e-4 * (1 + fabs(want))))
                    fail_msg("row %d token %d: %.9g, expected %.9g", (int)n, t,
                             (double)y[t * N_MAX + n], want);
            }
    }
}

/* ---- Every variant alike ---- */

static void check_variants(const rig_variants *all, const nx_tensor *w, const float *x, int32_t T,
                           bool add)
{
    static float want[T_MAX * N_MAX];
    int64_t      N = w->ne[1];

    for (int v = 0; v < all->n; v++) {
        rig_buf out = rig_buf_make((size_t)(T * N) * sizeof(float), 0);
        float  *y = out.p;
        for (int64_t i = 0; i < T * N; i++) y[i] = (float)i * 0.3f;
        multiply(all->b[v].be, y, w, x, T, add);
        rig_buf_check(&out, all->name[v]);
        if (v == 0) memcpy(want, y, (size_t)(T * N) * sizeof(float));
        for (int64_t i = 0; i < T * N; i++)
            if (!rig_same(y[i], want[i]))
                fail_msg("%s K %d N %d T %d, %s: output %d is %.9g, expected %.9g",
                         nx_dtype_get(w->dtype)->name, (int)w->ne[0], (int)N, T, all->name[v],
                         (int)i, (double)y[i], (double)want[i]);
        rig_buf_free(&out);
    }
}

static void check_scene(scene *c)
{
    static const int32_t Ts[] = {1, 2, 5, T_MAX}, Ns[] = {1, 3, 4, 18, N_MAX};

    for (size_t i = 0; i < sizeof Ts / sizeof *Ts; i++)
        for (size_t j = 0; j < sizeof Ns / sizeof *Ns; j++) {
            c->w.ne[1] = Ns[j];
            check_variants(&variants, &c->w, c->x, Ts[i], (i + j) % 2);
        }
    /* A view of later rows shares the scales. */
    nx_tensor later = c->w;
    later.ne[1] = 9;
    later.data = (const uint8_t *)c->w.data + 5 * nx_tensor_row_bytes(&c->w);
    later.first_number = 5 * c->w.ne[0];
    check_variants(&variants, &later, c->x, 1, false);
    check_variants(&variants, &later, c->x, 6, false);
}

static void every_variant_gives_the_same_bits(void **state)
{
    static scene         c;
    static const int64_t Ks[] = {32, 64, 100, 192, 512, K_MAX};
    static const int32_t blocks[] = {32, 64, 128, 4096};

    (void)state;
    for (size_t k = 0; k < sizeof Ks / sizeof *Ks; k++) {
        for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
            scene_make(&c, NX_DTYPE_NF4, Ks[k], blocks[b], b % 2, 0);
            check_scene(&c);
            scene_make(&c, NX_DTYPE_FP4, Ks[k], blocks[b], b % 2 == 0, 0);
            check_scene(&c);
        }
        scene_make(&c, NX_DTYPE_INT8, Ks[k], 0, false, 6.0f);
        check_scene(&c);
        scene_make(&c, NX_DTYPE_INT8, Ks[k], 0, false, 0);
        check_scene(&c);
    }
}

static void strange_activations_are_not_hidden(void **state)
{
    static scene c;
    static float y[N_MAX * 2];

    (void)state;
    for (int v = 0; v < variants.n; v++) {
        scene_make(&c, NX_DTYPE_INT8, 64, 0, false, 6.0f);
        memset(c.x, 0, sizeof c.x);
        c.x[64 + 3] = NAN;
        multiply(variants.b[v].be, y, &c.w, c.x, 2, false);
        for (int n = 0; n < N_MAX; n++) {
            assert_true(y[n] == 0);
            assert_true(isnan(y[N_MAX + n]));
        }
        c.x[64 + 3] = 1e6f; /* beyond f16: an outlier, computed in floats */
        multiply(variants.b[v].be, y, &c.w, c.x, 2, false);
        assert_true(isfinite(y[N_MAX]));
    }
}

/* ---- Exact ---- */

static void exact_products_are_of_floats(void **state)
{
    static uint8_t codes[9 * 512 * 4];
    static scene   c;

    (void)state;
    rig_fill(c.x, T_MAX * 512, 2.0f);
    for (int t = 0; t < NX_DTYPE_GGUF_COUNT; t++) {
        nx_tensor w = {.name = "w",
                       .dtype = (nx_dtype)t,
                       .n_dims = 2,
                       .ne = {512, 9, 1, 1},
                       .data = codes,
                       .bytes = 9 * nx_dtype_row_bytes((nx_dtype)t, 512)};
        rig_weights(codes, (nx_dtype)t, 9 * 512);
        check_floats(exact.b[0].be, &w, c.x, 2);
        check_variants(&exact, &w, c.x, 1, false);
        check_variants(&exact, &w, c.x, 7, true);
    }
    scene_make(&c, NX_DTYPE_INT8, 200, 0, false, 6.0f);
    check_floats(exact.b[0].be, &c.w, c.x, 3);
}

/* ---- Fine ---- */

/* Near the formula: a code rounds off at most half a step of its block. */
static void check_fine(nx_backend *be, const nx_tensor *w, const float *x, int32_t T)
{
    static float y[T_MAX * N_MAX], row[K_MAX];
    int64_t      K = w->ne[0];

    multiply(be, y, w, x, T, false);
    for (int64_t n = 0; n < w->ne[1]; n++) {
        nx_tensor_decode(row, w, n, 1);
        for (int32_t t = 0; t < T; t++) {
            double sum = 0, room = 0;
            for (int64_t b = 0; b < K; b += 32) {
                double amax = 0, weights = 0;
                for (int64_t i = b; i < b + 32; i++) {
                    sum += (double)row[i] * (double)x[t * K + i];
                    weights += fabs((double)row[i]);
                    amax = fmax(amax, fabs((double)x[t * K + i]));
                }
                room += amax / 32767 * 0.51 * weights + 1e-6 * amax * weights;
            }
            if (!(fabs(sum - (double)y[t * w->ne[1] + n]) <= room))
                fail_msg("row %d token %d: %.9g, expected %.9g", (int)n, t,
                         (double)y[t * w->ne[1] + n], sum);
        }
    }
}

static void fine_products_have_sixteen_bits(void **state)
{
    static uint8_t       codes[N_MAX * K_MAX * 2];
    static scene         c;
    static const int64_t Ks[] = {32, 64, 160, 512, K_MAX};
    static const int32_t Ts[] = {1, 2, 3, 4, 5, 9, T_MAX};

    (void)state;
    for (size_t k = 0; k < sizeof Ks / sizeof *Ks; k++) {
        nx_tensor w = {.name = "w",
                       .dtype = NX_DTYPE_Q8_0,
                       .n_dims = 2,
                       .ne = {Ks[k], N_MAX, 1, 1},
                       .data = codes,
                       .bytes = (size_t)N_MAX * nx_dtype_row_bytes(NX_DTYPE_Q8_0, Ks[k])};
        rig_weights(codes, NX_DTYPE_Q8_0, N_MAX * Ks[k]);
        rig_fill(c.x, T_MAX * Ks[k], 2.0f);
        c.x[5] = 40; /* what is far from the rest costs its own block alone */
        check_fine(fine.b[0].be, &w, c.x, 3);
        for (size_t t = 0; t < sizeof Ts / sizeof *Ts; t++)
            for (int64_t n = 1; n <= N_MAX; n += 9) {
                w.ne[1] = n;
                check_variants(&fine, &w, c.x, Ts[t], (n + (int64_t)t) % 2);
            }
    }
}

/* The extremes of weights and codes don't leave 32 bits, and what is no number is told. */
static void fine_products_of_extremes(void **state)
{
    static nx_block_q8_0 blocks[2 * 3];
    static float         x[2 * 64], y[2 * 3];
    nx_tensor            w = {.name = "w",
                              .dtype = NX_DTYPE_Q8_0,
                              .n_dims = 2,
                              .ne = {64, 3, 1, 1},
                              .data = blocks,
                              .bytes = sizeof blocks};

    (void)state;
    for (int b = 0; b < 6; b++) {
        blocks[b].d = 0x3C00; /* 1 */
        memset(blocks[b].qs, b % 3 == 0 ? 0x80 : 127, sizeof blocks[b].qs);
    }
    for (int i = 0; i < 128; i++) x[i] = i < 64 ? 32767 : i % 2 ? -1e-35f : 1e-35f;
    for (int v = 0; v < fine.n; v++) {
        multiply(fine.b[v].be, y, &w, x, 2, false);
        assert_true(y[0] == -128.0f * 32 * 32767 + 127.0f * 32 * 32767);
        for (int n = 0; n < 3; n++) assert_true(fabsf(y[3 + n]) < 1e-30f);
    }
    check_variants(&fine, &w, x, 2, false);
    x[70] = INFINITY;
    for (int v = 0; v < fine.n; v++) {
        multiply(fine.b[v].be, y, &w, x, 2, false);
        assert_true(isfinite(y[0]) && isnan(y[3]) && isnan(y[5]));
    }
}

static int setup(void **state)
{
    (void)state;
    rig_variants_make(&variants);
    rig_variants_make(&fine);
    for (int i = 0; i < fine.n; i++) {
        nx_cpu_backend_make_fine(fine.b[i].be);
        rig_reserve(fine.b[i].be);
    }
    rig_variants_make(&exact);
    for (int i = 0; i < exact.n; i++) nx_cpu_backend_make_exact(exact.b[i].be);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_variants_free(&variants);
    rig_variants_free(&exact);
    rig_variants_free(&fine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nibbles_are_near_the_formula),
        cmocka_unit_test(int8_is_near_the_formula),
        cmocka_unit_test(every_variant_gives_the_same_bits),
        cmocka_unit_test(strange_activations_are_not_hidden),
        cmocka_unit_test(exact_products_are_of_floats),
        cmocka_unit_test(fine_products_have_sixteen_bits),
        cmocka_unit_test(fine_products_of_extremes),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
