/* Protects: a buffer never passes its ceiling, and a failed append leaves it as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"

static void grows_to_its_ceiling(void **state)
{
    nx_error err;

    (void)state;
    for (size_t max = 0; max < 300; max++) {
        nx_buf b = {.max = max};
        for (size_t i = 0; i < max; i++) {
            assert_int_equal(nx_buf_add(&b, &(char){(char)i}, 1, &err), NX_OK);
            assert_int_equal(b.data[b.len], '\0');
        }
        assert_int_equal(nx_buf_add(&b, "x", 1, &err), NX_ELIMIT);
        assert_int_equal(err.status, NX_ELIMIT);
        assert_int_equal(nx_buf_addf(&b, NULL, "%d", 1), NX_ELIMIT);
        assert_null(nx_buf_room(&b, 1, NULL));
        assert_int_equal(b.len, max);
        assert_true(b.cap <= max + 1);
        for (size_t i = 0; i < max; i++) assert_int_equal(b.data[i], (char)i);
        nx_buf_free(&b);
        assert_int_equal(b.max, max);
    }
}

/* "No limit" written as SIZE_MAX must not wrap into a tiny block. */
static void the_largest_ceiling(void **state)
{
    nx_buf b = {.max = SIZE_MAX};

    (void)state;
    assert_int_equal(nx_buf_add(&b, "hello", 5, NULL), NX_OK);
    assert_true(b.cap >= 6);
    assert_int_equal(nx_buf_add(&b, "x", SIZE_MAX, NULL), NX_ELIMIT);
    assert_int_equal(nx_buf_add(&b, "x", SIZE_MAX - 5, NULL), NX_ELIMIT);
    assert_string_equal(b.data, "hello");
    nx_buf_free(&b);
}

static void failed_append_changes_nothing(void **state)
{
    nx_buf   b = {.max = 1 << 20};
    nx_error err;
    char     big[4096];

    (void)state;
    memset(big, 'b', sizeof big);
    assert_int_equal(nx_buf_add(&b, "abc", 3, NULL), NX_OK);
    nx_alloc_fail_after(0);
    assert_int_equal(nx_buf_add(&b, big, sizeof big, &err), NX_ENOMEM);
    assert_int_equal(nx_buf_addf(&b, &err, "%4000d", 1), NX_ENOMEM);
    nx_alloc_fail_after(-1);
    assert_int_equal(b.len, 3);
    assert_string_equal(b.data, "abc");
    nx_buf_free(&b);
}

static void formats_and_clears(void **state)
{
    nx_buf b = {.max = 1000};

    (void)state;
    assert_int_equal(nx_buf_addf(&b, NULL, "%s-%d", "a", 12), NX_OK);
    assert_int_equal(nx_buf_addf(&b, NULL, "%s", ""), NX_OK);
    assert_int_equal(nx_buf_add(&b, NULL, 0, NULL), NX_OK);
    assert_string_equal(b.data, "a-12");
    nx_buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    char *room = nx_buf_room(&b, 500, NULL);
    memset(room, 'r', 500);
    b.len += 500;
    b.data[b.len] = '\0';
    assert_int_equal(nx_buf_add(&b, "!", 1, NULL), NX_OK);
    assert_string_equal(b.data + 499, "r!");
    nx_buf_free(&b);
    nx_buf_clear(&b);
    assert_null(b.data);
}

static void spans(void **state)
{
    (void)state;
    assert_true(nx_str_eq(NX_STR("ab"), nx_str_of("ab")));
    assert_false(nx_str_eq(NX_STR("ab"), NX_STR("abc")));
    assert_false(nx_str_eq(NX_STR("ab"), NX_STR("ac")));
    assert_true(nx_str_eq(NX_STR(""), nx_str_of(NULL)));
    assert_true(nx_str_eq((nx_str){NULL, 0}, NX_STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_to_its_ceiling),
        cmocka_unit_test(the_largest_ceiling),
        cmocka_unit_test(failed_append_changes_nothing),
        cmocka_unit_test(formats_and_clears),
        cmocka_unit_test(spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
