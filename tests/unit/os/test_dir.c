/* Protects: folders are made, listed and removed as said; links are never followed to their end. */
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
#include "os/dir.h"
#include "os/file.h"

static char top[] = "/tmp/nx_test_dir_XXXXXX";

static const char *at(const char *rel)
{
    static char path[4][256];
    static int  i;

    i = (i + 1) % 4;
    assert_true(nx_path_write(path[i], sizeof path[i], "%s/%s", top, rel));
    return path[i];
}

static void touch(const char *rel)
{
    FILE *f = fopen(at(rel), "w");

    assert_non_null(f);
    fputs("x", f);
    fclose(f);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(top) ? 0 : -1;
}

static void made_and_listed(void **state)
{
    (void)state;
    char **v;
    size_t n;

    assert_int_equal(nx_dir_make(at("a/b/c"), NULL), NX_OK);
    assert_int_equal(nx_dir_make(at("a/b/c"), NULL), NX_OK);
    assert_int_equal(nx_dir_make_above(at("a/d/file"), NULL), NX_OK);
    assert_true(nx_dir_exists(at("a/d")));
    touch("a/b/z");
    touch("a/b/.h");
    assert_int_equal(nx_dir_list(&v, &n, at("a/b"), NULL), NX_OK);
    assert_int_equal(n, 3);
    assert_string_equal(v[0], ".h");
    assert_string_equal(v[1], "c");
    assert_string_equal(v[2], "z");
    nx_free(v);
    assert_int_equal(nx_dir_list(&v, &n, at("none"), NULL), NX_OK);
    assert_int_equal(n, 0);
    nx_free(v);
    assert_int_equal(nx_dir_make(at("a/b/z/y"), NULL), NX_EIO);
}

static void removed_without_following(void **state)
{
    (void)state;
    assert_int_equal(nx_dir_make(at("keep"), NULL), NX_OK);
    touch("keep/this");
    assert_int_equal(nx_dir_make(at("go/deep"), NULL), NX_OK);
    assert_int_equal(symlink(at("keep"), at("go/deep/link")), 0);
    assert_int_equal(nx_dir_remove_all(at("go"), NULL), NX_OK);
    assert_false(nx_dir_exists(at("go")));
    assert_true(nx_file_exists(at("keep/this")));
    assert_int_equal(nx_dir_remove_all(at("go"), NULL), NX_OK);
}

static void locks_exclude(void **state)
{
    (void)state;
    atomic_bool dont_wait = true;
    int         first, second;

    assert_int_equal(nx_lock_take(&first, at("lock"), NULL, NULL), NX_OK);
    assert_int_equal(nx_lock_take(&second, at("lock"), &dont_wait, NULL), NX_ECANCELLED);
    assert_int_equal(second, -1);
    nx_lock_release(first);
    assert_int_equal(nx_lock_take(&second, at("lock"), &dont_wait, NULL), NX_OK);
    nx_lock_release(second);
    nx_lock_release(-1);
}

static void paths_that_dont_fit_are_empty(void **state)
{
    (void)state;
    char     small[4] = "abc";
    uint64_t room = 0;

    assert_false(nx_path_write(small, sizeof small, "%s", "1234"));
    assert_string_equal(small, "");
    assert_true(nx_path_write(small, sizeof small, "%s", "123"));
    assert_int_equal(nx_dir_free_bytes(&room, top, NULL), NX_OK);
    assert_true(room > 0);
    assert_int_equal(nx_dir_free_bytes(&room, at("none"), NULL), NX_EIO);
}

static int teardown(void **state)
{
    (void)state;
    return nx_dir_remove_all(top, NULL) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_listed),
        cmocka_unit_test(removed_without_following),
        cmocka_unit_test(locks_exclude),
        cmocka_unit_test(paths_that_dont_fit_are_empty),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
