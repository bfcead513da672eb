/* Protects: messages for people: whole characters, the given status, nothing beyond the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/utf8.h"

static void status_and_text(void **state)
{
    nx_error err = {0};

    (void)state;
    assert_int_equal(nx_fail(&err, NX_EFORMAT, "%s: byte %d", "a.gguf", 7), NX_EFORMAT);
    assert_int_equal(err.status, NX_EFORMAT);
    assert_string_equal(err.text, "a.gguf: byte 7");
    assert_int_equal(nx_fail(NULL, NX_EIO, "nobody asks"), NX_EIO);
}

static void prefix(void **state)
{
    nx_error err = {0};

    (void)state;
    nx_fail(&err, NX_ENOMEM, "4 bytes");
    assert_int_equal(nx_fail_prefix(&err, NX_ENOMEM, "layer %d", 3), NX_ENOMEM);
    assert_string_equal(err.text, "layer 3: 4 bytes");
    assert_int_equal(nx_fail_prefix(NULL, NX_EIO, "nobody"), NX_EIO);
}

/* A message of `lead` ASCII bytes and then three-byte characters, cut by the field's end. */
static void check_cut(size_t lead)
{
    char     long_text[NX_ERROR_TEXT_MAX * 2] = {0};
    nx_error err;

    memset(long_text, 'a', lead);
    for (size_t i = lead; i + 3 < sizeof long_text; i += 3)
        memcpy(long_text + i, "\xE2\x96\x81", 3);
    nx_fail(&err, NX_EINVAL, "%s", long_text);
    size_t len = strlen(err.text), bad;
    assert_true(len < sizeof err.text);
    assert_true(len >= sizeof err.text - 3);
    assert_true(nx_utf8_valid(err.text, len, &bad));
    assert_memory_equal(err.text, long_text, len);
}

static void cut_at_a_character(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 4; lead++) check_cut(lead);
}

static void prefix_cut_at_a_character(void **state)
{
    char     name[NX_ERROR_TEXT_MAX];
    nx_error err;

    (void)state;
    for (size_t len = NX_ERROR_TEXT_MAX - 12; len < NX_ERROR_TEXT_MAX; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        nx_fail(&err, NX_EIO, "\xF0\x9F\x90\xA6\xF0\x9F\x90\xA6");
        nx_fail_prefix(&err, NX_EIO, "%s", name);
        assert_true(nx_utf8_valid(err.text, strlen(err.text), NULL));
        assert_memory_equal(err.text, name, len < sizeof err.text - 1 ? len : sizeof err.text - 1);
    }
}

static void names_and_texts(void **state)
{
    (void)state;
    assert_string_equal(nx_status_name(NX_OK), "OK");
    assert_string_equal(nx_status_name(NX_EFORMAT), "EFORMAT");
    assert_string_equal(nx_status_text(NX_EFORMAT), "malformed file");
    for (int st = NX_OK; st <= NX_EINTERNAL; st++) {
        assert_true(strlen(nx_status_name((nx_status)st)) > 1);
        assert_true(strlen(nx_status_text((nx_status)st)) > 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_and_text),    cmocka_unit_test(prefix),
        cmocka_unit_test(cut_at_a_character), cmocka_unit_test(prefix_cut_at_a_character),
        cmocka_unit_test(names_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
