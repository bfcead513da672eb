/* Protects: texts are cut into the words that models were trained on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "token/pretoken.h"

#define BAR "\x1F" /* between words in what we expect */

static nx_status gather(void *ctx, const char *word, size_t len, nx_error *err)
{
    nx_buf *b = ctx;

    if (b->len && nx_buf_add(b, BAR, 1, err)) return err->status;
    return nx_buf_add(b, word, len, err);
}

static void expect(const char *pre, const char *text, const char *words)
{
    nx_pretoken p;
    nx_splitter s;
    nx_buf      got = {.max = 1 << 16};

    assert_int_equal(nx_pretoken_create(&p, nx_str_of(pre), NULL), NX_OK);
    assert_int_equal(nx_splitter_create(&s, &p, gather, &got, NULL), NX_OK);
    assert_int_equal(nx_splitter_run(&s, text, strlen(text), NULL), NX_OK);
    if (*words)
        assert_string_equal(got.data, words);
    else
        assert_int_equal(got.len, 0);
    nx_splitter_destroy(&s);
    nx_pretoken_destroy(&p);
    nx_buf_free(&got);
}

static void gpt_2(void **state)
{
    (void)state;
    expect("gpt-2", "", "");
    expect("gpt-2", "Hello world", "Hello" BAR " world");
    expect("gpt-2", "I'll go, we've", "I" BAR "'ll" BAR " go" BAR "," BAR " we" BAR "'ve");
    expect("gpt-2", "I'LL", "I" BAR "'" BAR "LL");
    expect("gpt-2", "a   b", "a" BAR "  " BAR " b");
    expect("gpt-2", "a \n\n b  ", "a" BAR " \n\n" BAR " b" BAR "  ");
    expect("gpt-2", "x12345 67", "x" BAR "12345" BAR " 67");
    expect("gpt-2", "\xC3\xA9t\xC3\xA9 \xE4\xB8\xAD!?",
           "\xC3\xA9t\xC3\xA9" BAR " \xE4\xB8\xAD" BAR "!?");
}

static void llama_bpe(void **state)
{
    static const char *const names[] = {"llama-bpe", "llama3", "llama-v3"};

    (void)state;
    for (int i = 0; i < 3; i++) expect(names[i], "I'LL go", "I" BAR "'LL" BAR " go");
    expect("llama-bpe", "x1234567", "x" BAR "123" BAR "456" BAR "7");
    expect("llama-bpe", "a\n\n\nb", "a" BAR "\n\n\n" BAR "b");
    expect("llama-bpe", "a  \n  b", "a" BAR "  \n" BAR " " BAR " b");
    expect("llama-bpe", "(word) ...\n\nx", "(word" BAR ")" BAR " ...\n\n" BAR "x");
    expect("llama-bpe", "\tx", "\tx");
}

/* Several patterns, one after the other: punctuation, GPT-2's words, numbers, threes of digits. */
static void cut_by_several(void **state)
{
    (void)state;
    expect("default", "Hello world", "Hello" BAR " world");
    expect("default", "a+b=c!", "a" BAR "+" BAR "b" BAR "=" BAR "c" BAR "!");
    expect("default", " 12345x", " " BAR "123" BAR "45" BAR "x");
    expect("default", "it's", "it" BAR "'" BAR "s");
    expect("default", "a  b", "a" BAR " " BAR " b");
}

/* \s is Unicode's White_Space: NEL and the ideographic space, but not U+180E. */
static void white_space_is_unicodes(void **state)
{
    (void)state;
    expect("gpt-2", "a\xC2\x85\xE3\x80\x80 b", "a" BAR "\xC2\x85\xE3\x80\x80" BAR " b");
    expect("gpt-2", "a\xE1\xA0\x8E.", "a" BAR "\xE1\xA0\x8E.");
}

static void bytes_that_are_not_utf8(void **state)
{
    (void)state;
    expect("gpt-2",
           "ab\xFF\xFE"
           "cd",
           "ab" BAR "\xFF\xFE" BAR "cd");
    expect("gpt-2", "\xE4\xB8 x\xC3", "\xE4\xB8" BAR " x" BAR "\xC3");
    expect("llama-bpe", "\xED\xA0\x80 a", "\xED\xA0\x80" BAR " a"); /* a surrogate */
    expect("default", "a\x80", "a" BAR "\x80");
}

static void other_names_are_refused(void **state)
{
    nx_pretoken p;
    nx_error    err = {0};

    (void)state;
    assert_int_equal(nx_pretoken_create(&p, NX_STR("klingon"), &err), NX_EUNSUPPORTED);
    const char *begins = "pre-tokenizer \"klingon\", we have: default gpt-2 phi-2 ";
    assert_memory_equal(err.text, begins, strlen(begins));
    assert_int_equal(nx_pretoken_create(&p, NX_STR("gpt-2 phi-2"), &err), NX_EUNSUPPORTED);
    assert_int_equal(nx_pretoken_create(&p, NX_STR(""), &err), NX_EUNSUPPORTED);
}

static nx_status count(void *ctx, const char *word, size_t len, nx_error *err)
{
    (void)word;
    (void)len;
    (void)err;
    ++*(int64_t *)ctx;
    return NX_OK;
}

/* Many of one kind of character: no stack overflow, no time that grows with its square. */
static void long_runs(void **state)
{
    static const char *const pres[] = {"default",        "gpt-2",       "llama-bpe", "gpt-4o",
                                       "deepseek-llm",   "tekken",      "qwen35",    "starcoder",
                                       "deepseek-coder", "deepseek-v3", "bloom",     "kimi-k2"};
    static const char        kinds[] = {'a', ' ', '\n', '1', '!', '\t'};
    size_t                   len = 1 << 18;
    char                    *text = malloc(len);
    nx_pretoken              p;
    nx_splitter              s;

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < 12; i++) {
        int64_t n = 0;
        assert_int_equal(nx_pretoken_create(&p, nx_str_of(pres[i]), NULL), NX_OK);
        assert_int_equal(nx_splitter_create(&s, &p, count, &n, NULL), NX_OK);
        for (size_t k = 0; k < sizeof kinds; k++) {
            memset(text, kinds[k], len);
            text[len - 1] = 'x';
            for (int jit = 1; jit >= 0; jit--) {
                int64_t before = n;
                for (int level = 0; level < p.n; level++) p.jit[level] &= jit == 1;
                assert_int_equal(nx_splitter_run(&s, text, len, NULL), NX_OK);
                assert_true(n > before);
            }
        }
        nx_splitter_destroy(&s);
        nx_pretoken_destroy(&p);
    }
    free(text);
}

static void every_allocation_may_fail(void **state)
{
    nx_pretoken p;
    nx_splitter s;
    nx_status   st = NX_ENOMEM;
    int64_t     words = 0;

    (void)state;
    for (int n = 0; st; n++) {
        nx_error err = {0};
        assert_true(n < 200);
        nx_alloc_fail_after(n);
        st = nx_pretoken_create(&p, NX_STR("llama-bpe"), &err);
        if (!st) {
            st = nx_splitter_create(&s, &p, count, &words, &err);
            if (!st) st = nx_splitter_run(&s, "some words", 10, &err);
            nx_splitter_destroy(&s);
            nx_pretoken_destroy(&p);
        }
        nx_alloc_fail_after(-1);
        if (st) assert_int_equal(st, NX_ENOMEM);
    }
    assert_int_equal(words, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt_2),
        cmocka_unit_test(llama_bpe),
        cmocka_unit_test(cut_by_several),
        cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(bytes_that_are_not_utf8),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(long_runs),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
