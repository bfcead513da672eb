/* Protects: what bench times is the model that it names: right sizes, every type, numbers of a sane
 * spread, and the same bytes on any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/synthetic.h"
#include "os/file.h"

static nx_synthetic_shape shape_named(const char *text, nx_dtype *type)
{
    nx_synthetic_shape s;
    nx_error           err;

    assert_int_equal(nx_synthetic_parse(&s, type, text, &err), NX_OK);
    return s;
}

static void words_are_understood(void **state)
{
    nx_synthetic_shape s;
    nx_dtype           t;
    nx_error           err;

    (void)state;
    s = shape_named("8b:Q4_K", &t);
    assert_int_equal(t, NX_DTYPE_Q4_K);
    assert_int_equal(s.n_layers, 32);
    assert_int_equal(nx_synthetic_parse(&s, &t, "8b", &err), NX_EINVAL);
    assert_int_equal(nx_synthetic_parse(&s, &t, "8b:q9", &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "q9"));
    assert_int_equal(nx_synthetic_parse(&s, &t, "3b:q8_0", &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "1b, 1.4b, 8b"));
    assert_int_equal(nx_synthetic_parse(&s, &t, "1:q8_0", &err), NX_EINVAL);
    assert_int_equal(nx_synthetic_parse(&s, &t, ":q8_0", &err), NX_EINVAL);
}

/* Parameters as Meta counts them: Llama 3.2 1B, Llama 3.1 8B and 70B. */
static void shapes_are_real(void **state)
{
    const struct {
        const char *text;
        uint64_t    n_params;
    } cases[] = {{"1b:f16", 1235814400}, {"8b:f16", 8030261248}, {"70b:f16", 70553706496}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nx_dtype           t;
        nx_error           err;
        uint64_t           bytes;
        nx_synthetic_shape s = shape_named(cases[i].text, &t);
        /* Norms are f32: two bytes more each. */
        uint64_t expected =
            2 * cases[i].n_params + 2 * (2 * (uint64_t)s.n_layers + 1) * (uint64_t)s.n_embd;
        assert_int_equal(nx_synthetic_bytes(&bytes, &s, t, &err), NX_OK);
        assert_true(bytes > expected && bytes < expected + (8 << 20)); /* the vocabulary */
    }
}

static void bytes_do_not_depend_on_threads(void **state)
{
    nx_dtype           t;
    nx_error           err;
    nx_synthetic       one, many;
    nx_synthetic_shape s = shape_named("tiny:q4_k", &t);

    (void)state;
    assert_int_equal(nx_synthetic_create(&one, &s, t, 7, 1, NULL, NULL, &err), NX_OK);
    for (int n = 2; n <= 5; n++) {
        assert_int_equal(nx_synthetic_create(&many, &s, t, 7, n, NULL, NULL, &err), NX_OK);
        assert_int_equal(one.memory.bytes, many.memory.bytes);
        assert_memory_equal(one.memory.data, many.memory.data, one.memory.bytes);
        nx_synthetic_destroy(&many);
    }
    assert_int_equal(nx_synthetic_create(&many, &s, t, 8, 1, NULL, NULL, &err), NX_OK);
    assert_int_not_equal(memcmp(one.memory.data, many.memory.data, one.memory.bytes), 0);
    nx_synthetic_destroy(&many);
    nx_synthetic_destroy(&one);
}

/* Mean 0 and the spread 1 / sqrt(K); a standard deviation of n numbers is known to 1 / sqrt(2n). */
static void check_matrix(const nx_checkpoint *cp, const char *name)
{
    const nx_tensor *t = nx_checkpoint_tensor(cp, name);
    double           sum = 0, squares = 0;

    assert_non_null(t);
    int64_t n = t->ne[0] * t->ne[1];
    float  *x = nx_alloc((size_t)n, sizeof *x);
    nx_dtype_get(t->dtype)->decode(x, t->data, n);
    for (int64_t i = 0; i < n; i++) {
        assert_true(isfinite(x[i]));
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    nx_free(x);
    double expected = 1 / sqrt((double)t->ne[0]), std = sqrt(squares / (double)n);
    assert_true(fabs(std / expected - 1) < 0.06);
    assert_true(fabs(sum / (double)n) < 0.02 * expected);
}

static void every_type_is_a_model(void **state)
{
    nx_error err;

    (void)state;
    for (int type = 0; type < NX_DTYPE_GGUF_COUNT; type++) {
        char           text[32];
        nx_dtype       t;
        nx_synthetic   image;
        nx_checkpoint *cp;
        nx_model      *m;
        snprintf(text, sizeof text, "tiny:%s", nx_dtype_get((nx_dtype)type)->name);
        nx_synthetic_shape s = shape_named(text, &t);
        assert_int_equal(nx_synthetic_create(&image, &s, t, 1, 2, NULL, NULL, &err), NX_OK);
        assert_int_equal(nx_synthetic_open(&cp, &image, &err), NX_OK);
        assert_int_equal(nx_model_open(&m, cp, &err), NX_OK);
        assert_int_equal(m->hp.n_vocab, s.n_vocab);
        assert_int_equal(m->layers[1].down.dtype, t);
        assert_true(m->head_tied);
        assert_true(m->out_norm[0] == 1.0f && m->layers[1].ffn_norm[s.n_embd - 1] == 1.0f);
        check_matrix(cp, "token_embd.weight");
        check_matrix(cp, "blk.1.ffn_up.weight");
        nx_model_close(m);
        nx_checkpoint_close(cp);
        nx_synthetic_destroy(&image);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    nx_dtype           t;
    nx_error           err;
    nx_synthetic       image;
    nx_synthetic_shape s = shape_named("70b:f32", &t);

    (void)state;
    s.n_layers = 4000; /* 14 TB */
    assert_int_equal(nx_synthetic_create(&image, &s, t, 1, 2, NULL, NULL, &err), NX_ELIMIT);
    assert_non_null(strstr(err.text, "13698."));
    assert_non_null(strstr(err.text, "free for it"));
    nx_synthetic_destroy(&image);

    s = shape_named("tiny:q4_k", &t);
    s.n_ff = 800;
    assert_int_equal(nx_synthetic_create(&image, &s, t, 1, 2, NULL, NULL, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "multiples of 256 for q4_k"));
    assert_int_equal(nx_synthetic_create(&image, &s, NX_DTYPE_F16, 1, 0, NULL, NULL, &err),
                     NX_EINVAL);
    nx_synthetic_destroy(&image);
}

static void memory_may_end_anywhere(void **state)
{
    nx_dtype           t;
    nx_error           err;
    nx_synthetic       image;
    nx_status          st = NX_ENOMEM;
    nx_synthetic_shape s = shape_named("tiny:q8_0", &t);

    (void)state;
    for (int64_t n = 0; st && n < 10000; n++) {
        nx_alloc_fail_after(n);
        st = nx_synthetic_create(&image, &s, t, 1, 1, NULL, NULL, &err);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
        nx_synthetic_destroy(&image);
    }
    assert_int_equal(st, NX_OK);
}

static void a_saved_image_is_a_file(void **state)
{
    char               folder[] = "/tmp/nx_synthetic_XXXXXX", path[64];
    nx_dtype           t;
    nx_error           err;
    nx_synthetic       image;
    nx_file_map        map;
    nx_checkpoint     *cp;
    nx_synthetic_shape s = shape_named("tiny:q5_0", &t);

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    assert_int_equal(nx_synthetic_create(&image, &s, t, 1, 2, NULL, NULL, &err), NX_OK);
    assert_int_equal(nx_synthetic_save(&image, path, NULL, NULL, &err), NX_OK);
    assert_int_equal(nx_file_map_open(&map, path, &err), NX_OK);
    assert_int_equal(map.bytes, image.memory.bytes);
    assert_memory_equal(map.data, image.memory.data, map.bytes);
    nx_file_map_close(&map);
    assert_int_equal(nx_checkpoint_open(&cp, path, &err), NX_OK);
    nx_checkpoint_close(cp);
    nx_synthetic_destroy(&image);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_understood),           cmocka_unit_test(shapes_are_real),
        cmocka_unit_test(bytes_do_not_depend_on_threads), cmocka_unit_test(every_type_is_a_model),
        cmocka_unit_test(what_cannot_be_is_refused),      cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(a_saved_image_is_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
