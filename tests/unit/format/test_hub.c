/* Protects: which names, paths and files of a hub are taken for what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "format/hub.h"

static void names(void **state)
{
    (void)state;
    nx_hub_name n;

    assert_int_equal(nx_hub_name_parse(&n, "org/Name-1.5_x", NULL), NX_OK);
    assert_string_equal(n.repo, "org/Name-1.5_x");
    assert_string_equal(n.pick, "");
    assert_string_equal(n.revision, "main");
    assert_int_equal(nx_hub_name_parse(&n, "org/n:sub/x@y.gguf@refs/pr/1", NULL), NX_OK);
    assert_string_equal(n.pick, "sub/x@y.gguf");
    assert_string_equal(n.revision, "refs/pr/1");
    assert_int_equal(nx_hub_name_parse(&n, "gpt2@v1", NULL), NX_OK);
    assert_string_equal(n.repo, "gpt2");
    static const char *const bad[] = {"",          "/",        "a/",       "/a",       "a/b/c",
                                      "-a/b",      "a/.b",     "a/b..c",   "a/b--c",   "a b/c",
                                      "a/b:",      "a/b@",     "a/b:../c", "a/b@../c", "a/b@-x",
                                      "a/b@main ", "a/b:x\ny", "a\\b/c",   "a/b@x//y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (nx_hub_name_parse(&n, bad[i], NULL) != NX_EINVAL) fail_msg("\"%s\" was taken", bad[i]);
    }
    assert_true(nx_hub_name_likely("org/name"));
    assert_false(nx_hub_name_likely("model.gguf"));
    assert_false(nx_hub_name_likely("./org/name"));
    assert_false(nx_hub_name_likely("/org/name"));
}

static void paths(void **state)
{
    (void)state;
    assert_true(nx_hub_path_safe(NX_STR("a/b c/\xC3\xA4.gguf")));
    static const char *const bad[] = {"",       "/a",  "a/",   "a//b", ".",   "..",
                                      "a/../b", "a/.", "a\\b", "a\tb", "\xFF"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(nx_hub_path_safe(nx_str_of(bad[i])));
    assert_false(nx_hub_path_safe((nx_str){"a\0b", 3}));
}

static void quants(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"Model-7B.Q4_K_M.gguf", "Q4_K_M"},
        {"model-iq2_xxs.gguf", "iq2_xxs"},
        {"sub/model-q8_0-00001-of-00003.gguf", "q8_0"},
        {"Qwen3-0.6B-BF16.gguf", "BF16"},
        {"gpt-oss-20b-MXFP4.gguf", "MXFP4"},
        {"plain.gguf", ""},
        {"x-F16.gguf", "F16"},
        {"Q-model.gguf", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nx_str q = nx_hub_quant_of(cases[i][0]);
        assert_true(nx_str_eq(q, nx_str_of(cases[i][1])));
    }
    assert_int_equal(nx_hub_split_part("a-00002-of-00010.gguf"), 2);
    assert_int_equal(nx_hub_split_part("a-0002-of-00010.gguf"), 0);
    assert_int_equal(nx_hub_split_part("a.gguf"), 0);
    assert_false(nx_hub_is_gguf("sub/mmproj-F16.gguf"));
    assert_true(nx_hub_picks("a.Q8_0.gguf", "sub/A.q8_0.gguf"));
    assert_false(nx_hub_picks("Q8", "a.Q8_0.gguf"));
}

static nx_status read_tree(const char *text, nx_error *err)
{
    nx_hub_tree t = {0};
    nx_status   st = nx_hub_read_tree(&t, text, strlen(text), err);

    nx_hub_tree_free(&t);
    return st;
}

#define OID "0123456789012345678901234567890123456789"

static void answers(void **state)
{
    (void)state;
    nx_error    err;
    nx_hub_tree t = {0};

    assert_int_equal(nx_hub_read_info(&t, "{\"sha\":\"" OID "\"}", 50, &err), NX_OK);
    assert_string_equal(t.commit, OID);
    assert_int_equal(nx_hub_read_info(&t, "{\"sha\":\"main\"}", 14, &err), NX_EFORMAT);
    assert_int_equal(
        read_tree("[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" OID "\"}]", &err),
        NX_OK);
    assert_int_equal(read_tree("{}", &err), NX_EFORMAT);
    assert_int_equal(
        read_tree("[{\"type\":\"file\",\"path\":\"../a\",\"size\":1,\"oid\":\"" OID "\"}]", &err),
        NX_EFORMAT);
    assert_non_null(strstr(err.text, "would leave"));
    assert_int_equal(
        read_tree("[{\"type\":\"file\",\"path\":\"a\",\"size\":-1,\"oid\":\"" OID "\"}]", &err),
        NX_EFORMAT);
    assert_int_equal(
        read_tree("[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"../../x\"}]", &err),
        NX_EFORMAT);
}

static void memory_fails_cleanly(void **state)
{
    (void)state;
    static const char text[] =
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" OID "\"}]";
    nx_status st = NX_ENOMEM;

    for (int n = 0; st != NX_OK; n++) {
        assert_true(n < 50);
        nx_alloc_fail_after(n);
        st = read_tree(text, NULL);
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || st == NX_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(paths),
        cmocka_unit_test(quants),
        cmocka_unit_test(answers),
        cmocka_unit_test(memory_fails_cleanly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
