/* Protects quantising while loading: every tensor gets its recipe's type with the encoder's bytes,
 * whatever the number of threads; a cancelled or starved run leaves a checkpoint that closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "format/gguf_write.h"
#include "format/onload.h"
#include "num/quantise.h"
#include "num/rng.h"

enum { COLS = 192, ROWS = 70 };

static float                 numbers[COLS * ROWS];
static const nx_recipe_model rules = {.n_layers = 1, .heads_per_kv = 1, .has_head = true};

static nx_checkpoint *open_model(nx_buf *image)
{
    nx_gguf_writer *w;
    nx_checkpoint  *cp = NULL;
    nx_rng          rng;

    nx_rng_seed(&rng, 1);
    for (int i = 0; i < COLS * ROWS; i++) numbers[i] = (float)nx_rng_uniform(&rng) - 0.5f;
    assert_int_equal(nx_gguf_writer_open_buf(&w, image, NULL), NX_OK);
    nx_gguf_put_string(w, "general.architecture", NX_STR("llama"));
    nx_gguf_add_tensor(w, "blk.0.attn_q.weight", NX_DTYPE_F32, 2, (int64_t[]){COLS, ROWS});
    nx_gguf_add_tensor(w, "token_embd.weight", NX_DTYPE_F32, 2, (int64_t[]){COLS, ROWS});
    nx_gguf_add_tensor(w, "output_norm.weight", NX_DTYPE_F32, 1, (int64_t[]){COLS});
    assert_int_equal(nx_gguf_begin(w, NULL), NX_OK);
    assert_int_equal(nx_gguf_write(w, numbers, sizeof numbers, NULL), NX_OK);
    assert_int_equal(nx_gguf_write(w, numbers, sizeof numbers, NULL), NX_OK);
    assert_int_equal(nx_gguf_write(w, numbers, COLS * 4, NULL), NX_OK);
    assert_int_equal(nx_gguf_commit(w, NULL), NX_OK);
    nx_gguf_writer_destroy(w);
    assert_int_equal(nx_checkpoint_open_bytes(&cp, "test", image->data, image->len, NULL), NX_OK);
    return cp;
}

static void check(nx_recipe r, int threads)
{
    nx_buf         image = {.max = 1 << 20};
    nx_checkpoint *cp = open_model(&image);
    nx_pool       *pool;
    static float   back[COLS * ROWS];

    assert_int_equal(nx_pool_create(&pool, threads, NULL), NX_OK);
    assert_int_equal(nx_checkpoint_quantise(cp, r, &rules, pool, NULL, NULL, NULL, NULL), NX_OK);
    const nx_tensor *t = nx_checkpoint_tensor(cp, "blk.0.attn_q.weight");
    assert_int_equal(t->dtype, nx_recipe_get(r)->dtype);
    nx_tensor_decode(back, t, 0, ROWS);
    for (int i = 0; i < COLS * ROWS; i++)
        assert_true(back[i] - numbers[i] < 0.13f && numbers[i] - back[i] < 0.13f);
    assert_int_equal(nx_checkpoint_tensor(cp, "output_norm.weight")->dtype, NX_DTYPE_F32);
    if (nx_recipe_is_apart(r)) {
        assert_int_equal(nx_checkpoint_tensor(cp, "token_embd.weight")->dtype, NX_DTYPE_F32);
        assert_non_null(t->scales);
    } else {
        static unsigned char want[COLS * ROWS * 4];
        nx_quantise_row(t->dtype, want, numbers, COLS * ROWS);
        assert_memory_equal(t->data, want, t->bytes);
    }
    nx_checkpoint_close(cp);
    nx_pool_destroy(pool);
    nx_buf_free(&image);
}

static void test_types(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        check(NX_RECIPE_NF4, threads);
        check(NX_RECIPE_NF4_DQ, threads);
        check(NX_RECIPE_FP4, threads);
        check(NX_RECIPE_INT8, threads);
        check(NX_RECIPE_Q8_0, threads);
        check(NX_RECIPE_F16, threads);
    }
}

static void test_cancel(void **state)
{
    nx_buf         image = {.max = 1 << 20};
    nx_checkpoint *cp = open_model(&image);
    nx_pool       *pool;
    atomic_bool    cancel = true;
    (void)state;

    assert_int_equal(nx_pool_create(&pool, 1, NULL), NX_OK);
    assert_int_equal(
        nx_checkpoint_quantise(cp, NX_RECIPE_NF4, &rules, pool, &cancel, NULL, NULL, NULL),
        NX_ECANCELLED);
    nx_checkpoint_close(cp);
    nx_pool_destroy(pool);
    nx_buf_free(&image);
}

static void test_no_memory(void **state)
{
    nx_pool  *pool;
    nx_status st = NX_ENOMEM;
    (void)state;

    assert_int_equal(nx_pool_create(&pool, 1, NULL), NX_OK);
    for (int64_t n = 0; st; n++) {
        nx_buf         image = {.max = 1 << 20};
        nx_checkpoint *cp = open_model(&image);
        nx_alloc_fail_after(n);
        st = nx_checkpoint_quantise(cp, NX_RECIPE_NF4_DQ, &rules, pool, NULL, NULL, NULL, NULL);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
        nx_checkpoint_close(cp);
        nx_buf_free(&image);
    }
    nx_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
