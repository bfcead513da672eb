/* Protects: arena blocks are zeroed, aligned, apart from each other, and gone in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"

static void blocks_stand_apart(void **state)
{
    nx_arena       a = {.chunk_bytes = 256};
    unsigned char *blocks[200];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = nx_arena_alloc(&a, i, 3);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        for (size_t k = 0; k < 3 * i; k++) assert_int_equal(blocks[i][k], 0);
        memset(blocks[i], (int)i, 3 * i);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < 3 * i; k++) assert_int_equal(blocks[i][k], i);
    nx_arena_free(&a);
    assert_null(a.head);
    assert_int_equal(a.used_bytes, 0);
}

static void reset_reuses_and_clears(void **state)
{
    nx_arena a = {0};

    (void)state;
    unsigned char *first = nx_arena_alloc(&a, 1000, 1);
    memset(first, 0xEE, 1000);
    assert_true(a.used_bytes >= 1000);
    nx_arena_reset(&a);
    assert_int_equal(a.used_bytes, 0);
    unsigned char *again = nx_arena_alloc(&a, 1000, 1);
    assert_ptr_equal(again, first);
    for (int i = 0; i < 1000; i++) assert_int_equal(again[i], 0);
    nx_arena_free(&a);
    nx_arena_reset(&a); /* an empty arena is fine */
}

static void bigger_than_a_chunk(void **state)
{
    nx_arena a = {.chunk_bytes = 64};

    (void)state;
    char *big = nx_arena_alloc(&a, 100000, 1);
    memset(big, 1, 100000);
    char *text = nx_arena_strndup(&a, "hello", 4);
    assert_string_equal(text, "hell");
    assert_string_equal(nx_arena_strndup(&a, NULL, 0), "");
    nx_arena_free(&a);
}

static void refusals(void **state)
{
    nx_arena a = {0};

    (void)state;
    assert_null(nx_arena_alloc(&a, SIZE_MAX / 2, 3));
    assert_null(nx_arena_alloc(&a, SIZE_MAX, 1));
    assert_null(nx_arena_alloc(&a, SIZE_MAX - 64, 1));
    assert_null(nx_arena_strndup(&a, "x", SIZE_MAX));
    nx_alloc_fail_after(0);
    assert_null(nx_arena_alloc(&a, 1, 1));
    nx_alloc_fail_after(-1);
    assert_non_null(nx_arena_alloc(&a, 1, 1));
    nx_arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_stand_apart),
        cmocka_unit_test(reset_reuses_and_clears),
        cmocka_unit_test(bigger_than_a_chunk),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
