/* Protects: the parts of a form are found as they were sent, and nothing is read beyond its body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "server/webform.h"

#define TYPE "multipart/form-data; boundary=\"xx y\""

static const char whole[] =
    "preamble\r\n--xx y\r\n"
    "Content-Disposition: form-data; name=\"collection_name\"\r\n\r\npapers\r\n"
    "--xx y\r\ncontent-type: text/plain\r\n"
    "Content-Disposition: form-data; filename=\"a; name=\\\"b.txt\"; name=files\r\n\r\n"
    "one\r\n--xx\r\n--xx y  \r\n"
    "Content-Disposition: form-data; name=\"empty\"; filename=\"\"\r\n\r\n\r\n--xx y--\r\n";

static bool is(nx_str got, const char *want)
{
    return nx_str_eq(got, nx_str_of(want));
}

static void parts(void **state)
{
    nx_webform      f;
    nx_webform_part p;
    nx_error        err;

    (void)state;
    assert_int_equal(nx_webform_open(&f, TYPE, NX_STR(whole), &err), NX_OK);
    assert_true(nx_webform_next(&f, &p));
    assert_true(is(p.name, "collection_name") && is(p.value, "papers") && !p.filename.p);
    assert_true(nx_webform_next(&f, &p));
    assert_true(is(p.name, "files") && is(p.filename, "a; name=\\\"b.txt"));
    assert_true(is(p.type, "text/plain") && is(p.value, "one\r\n--xx"));
    assert_true(nx_webform_next(&f, &p));
    assert_true(is(p.name, "empty") && p.filename.p && !p.filename.len && !p.value.len);
    assert_false(nx_webform_next(&f, &p));
    assert_int_equal(nx_webform_close(&f, &err), NX_OK);
}

/* Every beginning of it, in a block of its own, so that a sanitizer sees who reads on. */
static void cut_short(void **state)
{
    (void)state;
    for (size_t n = 0; n + 4 < sizeof whole - 1; n++) {
        char           *copy = nx_alloc(n ? n : 1, 1);
        nx_webform      f;
        nx_webform_part p;
        nx_error        err;

        assert_non_null(copy);
        memcpy(copy, whole, n);
        nx_status st = nx_webform_open(&f, TYPE, (nx_str){copy, n}, &err);
        while (!st && nx_webform_next(&f, &p)) assert_true(p.value.p + p.value.len <= copy + n);
        if (!st) st = nx_webform_close(&f, &err);
        assert_int_equal(st, NX_EINVAL);
        nx_free(copy);
    }
}

static void no_form(void **state)
{
    nx_webform f;
    nx_error   err;

    (void)state;
    assert_int_equal(nx_webform_open(&f, NULL, NX_STR("x"), &err), NX_EINVAL);
    assert_int_equal(nx_webform_open(&f, "application/json", NX_STR("{}"), &err), NX_EINVAL);
    assert_int_equal(nx_webform_open(&f, "multipart/form-data", NX_STR("--\r\n"), &err), NX_EINVAL);
    assert_int_equal(nx_webform_open(&f, TYPE, NX_STR("--other\r\n"), &err), NX_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(no_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
