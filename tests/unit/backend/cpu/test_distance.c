/* Protects: the kernels of a scan give the reference's bits, for every length, place and odd
 * value, and write nothing else; and the reference is right, by doubles. */
#include "rig.h"

#include "backend/cpu/distance.h"

enum { ROWS = 5, D_MAX = 130 };

static void check_bits(const float *a, const float *b, int n, const char *what, int D)
{
    for (int i = 0; i < n; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        if (memcmp(&a[i], &b[i], 4) != 0)
            fail_msg("%s, D %d, row %d: %a, expected %a", what, D, i, (double)a[i], (double)b[i]);
    }
}

static void compare(nx_distance_fn ref, nx_distance_fn fast, const char *what, float special)
{
    float q[D_MAX], rows[ROWS * (D_MAX + 3)], want[ROWS];

    for (int D = 1; D <= D_MAX; D++) {
        int stride = D + D % 4;
        for (int n = 0; n <= ROWS; n++) {
            rig_buf out = rig_buf_make(ROWS * sizeof(float), 4);
            rig_fill(q, D, 3);
            rig_fill(rows, ROWS * stride, 3);
            if (special != 0) rows[rig_u64() % (uint64_t)(n * stride + 1)] = special;
            ref(want, q, rows, n, stride, D);
            fast(out.p, q, rows, n, stride, D);
            check_bits(out.p, want, n, what, D);
            rig_buf_check(&out, what);
            rig_buf_free(&out);
        }
    }
}

/* Rows of halves, of every kind that there is: the reference's bits, which are those of the widened
 * rows. */
static void compare_halves(nx_distance_fn wide, nx_distance_f16_fn ref, nx_distance_f16_fn fast,
                           const char *what, int odd)
{
    float    q[D_MAX], rows[ROWS * (D_MAX + 3)], want[ROWS], of_ref[ROWS];
    uint16_t halves[ROWS * (D_MAX + 3)];

    for (int D = 1; D <= D_MAX; D++) {
        int stride = D + D % 4;
        for (int n = 0; n <= ROWS; n++) {
            rig_buf out = rig_buf_make(ROWS * sizeof(float), 4);
            rig_fill(q, D, 3);
            rig_fill(rows, ROWS * stride, odd ? 3e-6f : 3);
            for (int i = 0; i < ROWS * stride; i++) halves[i] = nx_f32_to_f16(rows[i]);
            for (int i = 0; odd == 2 && i < ROWS * stride; i++) halves[i] = (uint16_t)rig_u64();
            for (int i = 0; i < ROWS * stride; i++) rows[i] = nx_f16_to_f32(halves[i]);
            wide(want, q, rows, n, stride, D);
            ref(of_ref, q, halves, n, stride, D);
            fast(out.p, q, halves, n, stride, D);
            check_bits(of_ref, want, n, what, D);
            check_bits(out.p, want, n, what, D);
            rig_buf_check(&out, what);
            rig_buf_free(&out);
        }
    }
}

static void halves_agree(void **state)
{
    uint32_t features;

    (void)state;
    assert_int_equal(nx_cpu_features(&features, NULL, NULL), NX_OK);
    const nx_distance_ops *fast = nx_cpu_distances(features), *ref = &nx_distances_ref;
    for (int odd = 0; odd < 3; odd++) { /* usual numbers, subnormal ones, any bits at all */
        compare_halves(ref->dot, ref->dot_f16, fast->dot_f16, "dot_f16", odd);
        compare_halves(ref->euclid, ref->euclid_f16, fast->euclid_f16, "euclid_f16", odd);
        compare_halves(ref->manhattan, ref->manhattan_f16, fast->manhattan_f16, "manhattan_f16",
                       odd);
    }
}

static void variants_agree(void **state)
{
    static const float special[] = {0, INFINITY, NAN, 1e38f, 1e-42f, -0.0f};
    uint32_t           features;

    (void)state;
    assert_int_equal(nx_cpu_features(&features, NULL, NULL), NX_OK);
    const nx_distance_ops *fast = nx_cpu_distances(features), *ref = &nx_distances_ref;
    assert_ptr_equal(nx_cpu_distances(0), ref);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        compare(ref->dot, fast->dot, "dot", special[i]);
        compare(ref->euclid, fast->euclid, "euclid", special[i]);
        compare(ref->manhattan, fast->manhattan, "manhattan", special[i]);
    }
}

static void codes_agree(void **state)
{
    static int8_t q[1024], rows[7 * 1024];
    uint32_t      features;

    (void)state;
    assert_int_equal(nx_cpu_features(&features, NULL, NULL), NX_OK);
    const nx_distance_ops *fast = nx_cpu_distances(features);
    for (int64_t width = 32; width <= 1024; width += 32) {
        for (int round = 0; round < 4; round++) {
            int32_t want[7], got[8];
            for (int64_t i = 0; i < width; i++) q[i] = (int8_t)((int)(rig_u64() % 255) - 127);
            for (int64_t i = 0; i < 7 * width; i++)
                rows[i] = (int8_t)((int)(rig_u64() % 255) - 127);
            if (round == 1) memset(q, 127, (size_t)width); /* the largest sums */
            if (round >= 1) memset(rows, round == 2 ? -127 : 127, (size_t)(3 * width));
            memset(got, 0x55, sizeof got);
            nx_distances_ref.dot_i8(want, q, rows, 7, width);
            fast->dot_i8(got, q, rows, 7, width);
            assert_memory_equal(got, want, sizeof want);
            assert_int_equal(got[7], 0x55555555);
        }
    }
}

static void the_reference_is_right(void **state)
{
    float q[D_MAX], x[D_MAX], got;

    (void)state;
    for (int D = 1; D <= D_MAX; D++) {
        double dot = 0, euclid = 0, manhattan = 0;
        rig_fill(q, D, 1);
        rig_fill(x, D, 1);
        for (int i = 0; i < D; i++) {
            double d = (double)q[i] - (double)x[i];
            dot += (double)q[i] * (double)x[i];
            euclid += d * d;
            manhattan += fabs(d);
        }
        nx_distances_ref.dot(&got, q, x, 1, D, D);
        assert_true(fabs((double)got - dot) < 1e-5 * (1 + fabs(dot)));
        nx_distances_ref.euclid(&got, q, x, 1, D, D);
        assert_true(fabs((double)got - euclid) < 1e-5 * (1 + euclid));
        nx_distances_ref.manhattan(&got, q, x, 1, D, D);
        assert_true(fabs((double)got - manhattan) < 1e-5 * (1 + manhattan));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variants_agree),
        cmocka_unit_test(halves_agree),
        cmocka_unit_test(codes_agree),
        cmocka_unit_test(the_reference_is_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
