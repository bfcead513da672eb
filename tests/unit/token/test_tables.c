/* Protects: the maps find what was put in and nothing else, refuse collisions made on purpose, and
 * the byte alphabet is GPT-2's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "token/bytemap.h"
#include "token/index.h"
#include "token/merges.h"
#include "token/specials.h"

#define N 5000

static void index_finds_each(void **state)
{
    static char   bytes[N][12];
    static nx_str texts[N];
    nx_index      x;

    (void)state;
    for (int i = 0; i < N; i++) {
        int len = snprintf(bytes[i], sizeof bytes[i], "%x", (unsigned)i * 2654435761u >> i % 24);
        texts[i] = (nx_str){bytes[i], (size_t)len};
    }
    assert_int_equal(nx_index_create(&x, texts, N, NULL), NX_OK);
    for (int i = 0; i < N; i++) assert_true(nx_index_add(&x, i));
    for (int i = 0; i < N; i++) {
        int32_t id = nx_index_find(&x, bytes[i], texts[i].len);
        assert_true(id >= i && nx_str_eq(texts[id], texts[i])); /* of equal texts the last */
        assert_int_equal(nx_index_find(&x, bytes[i], 0), -1);
    }
    assert_int_equal(nx_index_find(&x, "no such text", 12), -1);
    nx_index_destroy(&x);
}

/* Texts whose hashes begin at one slot: found by trial, as an attacker would. */
static void colliding_texts_are_refused(void **state)
{
    enum { N_SAME = NX_PROBES_MAX + 1 };
    static char   bytes[N_SAME][16];
    static nx_str texts[N_SAME];
    nx_index      x;
    int           n = 0;

    (void)state;
    assert_int_equal(nx_index_create(&x, texts, N_SAME, NULL), NX_OK);
    for (uint64_t i = 0; n < N_SAME; i++) {
        char text[16];
        int  len = snprintf(text, sizeof text, "%llx", (unsigned long long)i);
        if (nx_hash_bytes(text, (size_t)len) & x.mask) continue;
        memcpy(bytes[n], text, sizeof text);
        texts[n] = (nx_str){bytes[n], (size_t)len};
        n++;
    }
    for (int i = 0; i < N_SAME - 1; i++) assert_true(nx_index_add(&x, i));
    assert_false(nx_index_add(&x, N_SAME - 1));
    assert_int_equal(nx_index_find(&x, bytes[N_SAME - 1], texts[N_SAME - 1].len), -1);
    nx_index_destroy(&x);
}

static void merges_keep_the_first(void **state)
{
    nx_merges m;

    (void)state;
    assert_int_equal(nx_merges_create(&m, N, NULL), NX_OK);
    for (int i = 0; i < N; i++) {
        assert_true(nx_merges_add(&m, (nx_merge){i % 70, i / 70, i, 1000 + i}));
    }
    assert_true(nx_merges_add(&m, (nx_merge){3, 0, 77, 77}));
    for (int i = 0; i < N; i++) {
        const nx_merge *found = nx_merges_find(&m, i % 70, i / 70);
        assert_non_null(found);
        assert_int_equal(found->rank, i);
        assert_int_equal(found->id, 1000 + i);
    }
    assert_null(nx_merges_find(&m, 70, 0));
    assert_null(nx_merges_find(&m, -1, 0));
    assert_null(nx_merges_find(&m, 0, -1));
    nx_merges_destroy(&m);
}

static nx_specials make_specials(const char *const *texts, const bool *control, size_t n)
{
    nx_special *list = nx_alloc(n, sizeof *list);
    nx_specials s;

    assert_non_null(list);
    for (size_t i = 0; i < n; i++) {
        list[i] = (nx_special){nx_str_of(texts[i]), (int32_t)i, control[i]};
    }
    assert_int_equal(nx_specials_create(&s, list, n, NULL), NX_OK);
    return s;
}

static void expect_special(const nx_specials *s, const char *text, bool with_control, int32_t id,
                           size_t at)
{
    size_t            found_at = 99;
    const nx_special *found = nx_specials_find(s, text, strlen(text), with_control, &found_at);

    if (id < 0) {
        assert_null(found);
        return;
    }
    assert_non_null(found);
    assert_int_equal(found->id, id);
    assert_int_equal(found_at, at);
}

static void specials_leftmost_then_longest(void **state)
{
    static const char *const texts[] = {"<a>", "<a><b>", "<b>", "<a>", "\n\n", "\n\n\n", "<a"};
    static const bool        control[] = {true, true, false, false, false, false, true};
    nx_specials              s = make_specials(texts, control, 7);

    (void)state;
    expect_special(&s, "x<a><b>", true, 1, 1);
    expect_special(&s, "x<a><c>", true, 0, 1); /* of both kinds, the one that was asked for */
    expect_special(&s, "x<a><b>", false, 3, 1);
    expect_special(&s, "x<b", true, -1, 0);
    expect_special(&s, "<<a", true, 6, 1);
    expect_special(&s, "<<a", false, -1, 0);
    expect_special(&s, "\n", true, -1, 0);
    expect_special(&s, "a\n\n\n\nb", false, 5, 1);
    expect_special(&s, "", true, -1, 0);
    nx_specials_destroy(&s);
}

static void byte_alphabet(void **state)
{
    static const char all[] = "\xC4\xA0the\xC3\xA9\xC4\xA0\xE2\x82\xAC\xFF";
    nx_bytemap        m;
    char              out[32];

    (void)state;
    nx_bytemap_init(&m);
    assert_int_equal(m.char_of[' '], 0x120);
    assert_int_equal(m.char_of['\n'], 0x10A);
    assert_int_equal(m.char_of[0xAD], 0x143);
    assert_int_equal(m.char_of['A'], 'A');
    for (int b = 0; b < 256; b++) assert_int_equal(m.byte_of[m.char_of[b]], b);
    /* U+00E9 stands for the byte E9; the euro sign and the stray FF stand for themselves. */
    size_t len = nx_bytemap_decode(&m, out, (nx_str){all, sizeof all - 1});
    assert_int_equal(len, 10);
    assert_memory_equal(out, " the\xE9 \xE2\x82\xAC\xFF", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_finds_each),      cmocka_unit_test(colliding_texts_are_refused),
        cmocka_unit_test(merges_keep_the_first), cmocka_unit_test(specials_leftmost_then_longest),
        cmocka_unit_test(byte_alphabet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
