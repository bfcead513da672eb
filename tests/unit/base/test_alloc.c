/* Protects: counts from files can't wrap into small blocks; tests can close the door to the heap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

static void overflow_is_refused(void **state)
{
    (void)state;
    assert_null(nx_alloc(SIZE_MAX / 2, 3));
    assert_null(nx_calloc(SIZE_MAX / 2, 3));
    assert_null(nx_alloc_aligned(SIZE_MAX / 2, 3, 64));
    assert_null(nx_strndup("x", SIZE_MAX));
    char *p = nx_strdup("stays");
    assert_non_null(p);
    assert_null(nx_realloc(p, SIZE_MAX / 2, 3));
    assert_string_equal(p, "stays");
    nx_free(p);
    nx_free(NULL);
}

static void zero_is_a_block(void **state)
{
    (void)state;
    void *blocks[] = {nx_alloc(0, 8), nx_calloc(8, 0), nx_realloc(NULL, 0, 0),
                      nx_alloc_aligned(0, 0, 64)};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        assert_non_null(blocks[i]);
        nx_free(blocks[i]);
    }
}

static void contents_and_alignment(void **state)
{
    (void)state;
    unsigned char *zeroed = nx_calloc(100, 7);
    for (int i = 0; i < 700; i++) assert_int_equal(zeroed[i], 0);
    nx_free(zeroed);
    for (size_t align = sizeof(void *); align <= 4096; align *= 2) {
        void *p = nx_alloc_aligned(3, 5, align);
        assert_int_equal((uintptr_t)p % align, 0);
        nx_free(p);
    }
    char *copy = nx_strndup("\0b\0", 3);
    assert_memory_equal(copy, "\0b\0\0", 4);
    nx_free(copy);
    copy = nx_strndup(NULL, 0);
    assert_string_equal(copy, "");
    nx_free(copy);
}

static void door_closes_after_n(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 4; n++) {
        void *got[5];
        nx_alloc_fail_after(n);
        got[0] = nx_alloc(1, 1);
        got[1] = nx_calloc(1, 1);
        got[2] = nx_realloc(NULL, 1, 1);
        got[3] = nx_alloc_aligned(1, 1, 16);
        got[4] = nx_strdup("s");
        nx_alloc_fail_after(-1);
        for (int64_t i = 0; i < 5; i++) {
            assert_true((got[i] != NULL) == (i < n));
            nx_free(got[i]);
        }
    }
    void *p = nx_alloc(1, 1);
    assert_non_null(p);
    nx_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overflow_is_refused),
        cmocka_unit_test(zero_is_a_block),
        cmocka_unit_test(contents_and_alignment),
        cmocka_unit_test(door_closes_after_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
