/* Protects the recipes: which tensor gets which type, what its rows fall back to, and how many bytes
 * that makes; expected types are those of files that llama.cpp's quantize program writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "format/recipe.h"

static const nx_recipe_model usual = {.n_layers = 32, .heads_per_kv = 4, .has_head = true};

static nx_dtype type(nx_recipe r, const nx_recipe_model *m, const char *name, int64_t cols)
{
    return nx_recipe_type(r, m, name, 2, (int64_t[]){cols, 512}, NX_DTYPE_BF16);
}

static void test_names(void **state)
{
    nx_recipe r;
    nx_error  err;
    (void)state;

    for (int i = 0; i < NX_RECIPE_COUNT; i++) {
        assert_int_equal(nx_recipe_parse(&r, nx_recipe_get((nx_recipe)i)->name, NULL), NX_OK);
        assert_int_equal(r, i);
    }
    assert_int_equal(nx_recipe_parse(&r, "Q4_K", NULL), NX_OK);
    assert_int_equal(r, NX_RECIPE_Q4_K_M);
    assert_int_equal(nx_recipe_parse(&r, "q9", &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "nf4-dq"));
}

static void test_linear_layers_alone(void **state)
{
    static const char *const kept[] = {"token_embd.weight",         "output.weight",
                                       "blk.0.ffn_gate_inp.weight", "blk.0.attn_norm.weight",
                                       "position_embd.weight",      "blk.0.attn_q.bias"};
    (void)state;

    assert_int_equal(type(NX_RECIPE_NF4_DQ, &usual, "blk.0.attn_q.weight", 4096), NX_DTYPE_NF4);
    assert_int_equal(type(NX_RECIPE_INT8, &usual, "blk.0.ffn_up.3.weight", 99), NX_DTYPE_INT8);
    assert_int_equal(type(NX_RECIPE_FP4, &usual, "blk.0.ffn_up.weight", 99), NX_DTYPE_BF16);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_int_equal(type(NX_RECIPE_NF4, &usual, kept[i], 4096), NX_DTYPE_BF16);
    assert_int_equal(type(NX_RECIPE_NONE, &usual, "blk.0.attn_q.weight", 4096), NX_DTYPE_BF16);
}

static void test_mixtures(void **state)
{
    nx_recipe_model tied = usual, eight = usual, big = usual;
    (void)state;

    tied.has_head = false;
    eight.n_experts = 8;
    big.n_layers = 80;
    big.is_llama_70b = true;
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &usual, "output.weight", 4096), NX_DTYPE_Q6_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &usual, "token_embd.weight", 4096), NX_DTYPE_Q4_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &tied, "token_embd.weight", 4096), NX_DTYPE_Q6_K);
    assert_int_equal(type(NX_RECIPE_Q8_0, &usual, "output.weight", 4096), NX_DTYPE_Q8_0);
    /* The first eighth, the last, every third between. */
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &usual, "blk.3.attn_v.weight", 4096), NX_DTYPE_Q6_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &usual, "blk.4.attn_v.weight", 4096), NX_DTYPE_Q4_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &usual, "blk.6.ffn_down.weight", 4096), NX_DTYPE_Q6_K);
    assert_int_equal(type(NX_RECIPE_Q5_K_M, &usual, "blk.28.ffn_down.weight", 4096), NX_DTYPE_Q6_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_S, &usual, "blk.3.attn_v.weight", 4096), NX_DTYPE_Q5_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_S, &usual, "blk.4.ffn_down.weight", 4096), NX_DTYPE_Q4_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &usual, "blk.9.attn_qkv.weight", 4096), NX_DTYPE_Q5_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &big, "blk.12.attn_v.weight", 8192), NX_DTYPE_Q6_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &big, "blk.13.attn_v.weight", 8192), NX_DTYPE_Q5_K);
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &eight, "blk.9.attn_k.weight", 4096), NX_DTYPE_Q8_0);
    assert_int_equal(type(NX_RECIPE_Q4_0, &usual, "blk.0.attn_norm.weight", 4096), NX_DTYPE_F32);
}

static void test_rows_that_blocks_do_not_divide(void **state)
{
    (void)state;
    assert_int_equal(type(NX_RECIPE_Q4_K_M, &usual, "blk.9.attn_q.weight", 4096 + 32),
                     NX_DTYPE_Q5_0);
    assert_int_equal(type(NX_RECIPE_Q5_K_S, &usual, "blk.9.attn_q.weight", 96), NX_DTYPE_Q5_1);
    assert_int_equal(type(NX_RECIPE_Q6_K, &usual, "blk.9.attn_q.weight", 96), NX_DTYPE_Q8_0);
    assert_int_equal(type(NX_RECIPE_IQ4_XS, &usual, "blk.9.attn_q.weight", 96), NX_DTYPE_IQ4_NL);
    assert_int_equal(type(NX_RECIPE_Q4_0, &usual, "blk.9.attn_q.weight", 99), NX_DTYPE_F16);
}

static void test_bytes(void **state)
{
    (void)state;
    /* 8192 x 28672: codes, 0.5 bits a number of scales; nested: a byte a block, a float per 256. */
    uint64_t n = UINT64_C(8192) * 28672, blocks = n / 64;
    assert_int_equal(nx_recipe_bytes(NX_RECIPE_NF4, NX_DTYPE_NF4, 8192, 28672), n / 2 + 4 * blocks);
    assert_int_equal(nx_recipe_bytes(NX_RECIPE_NF4_DQ, NX_DTYPE_NF4, 8192, 28672),
                     n / 2 + blocks + 4 * (blocks / 256) + 4 * (256 + 16));
    assert_int_equal(nx_recipe_bytes(NX_RECIPE_INT8, NX_DTYPE_INT8, 8192, 28672), n + 4 * 28672);
    assert_int_equal(nx_recipe_bytes(NX_RECIPE_Q4_K_M, NX_DTYPE_Q4_K, 256, 3), 3 * 144);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_linear_layers_alone),
        cmocka_unit_test(test_mixtures), cmocka_unit_test(test_rows_that_blocks_do_not_divide),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
