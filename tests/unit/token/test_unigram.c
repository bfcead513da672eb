/* Protects the best way through a text: it has the largest sum of all ways, whatever memory fails;
 * and the character map, which reads nothing outside itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "token/charsmap.h"
#include "token/unigram.h"

#define UNKNOWN (-10 - 9.0)

static const nx_unigram_token tokens[] = {
    {{"a", 1}, 0, -3, false},        {{"ab", 2}, 1, -4, false}, {{"abc", 3}, 2, -9, false},
    {{"b", 1}, 3, -3.5, false},      {{"bc", 2}, 4, -4, false}, {{"cab", 3}, 5, -5, false},
    {{"\xC3\xA9", 2}, 6, -2, false}, {{"bca", 3}, 7, -1, true},
};
#define N (sizeof tokens / sizeof *tokens)

static const nx_unigram_options options = {.score_min = -9};

typedef struct seen {
    double sum;
    size_t len;
} seen;

static double score_of(int32_t id, size_t len)
{
    if (id == NX_UNIGRAM_UNKNOWN) return UNKNOWN;
    return tokens[id].favoured ? (double)(0.1f * (float)(len - 1)) : tokens[id].score;
}

static nx_status on_token(void *ctx, int32_t id, const char *text, size_t len, nx_error *err)
{
    seen *s = ctx;

    (void)err;
    if (id >= 0) assert_memory_equal(text, tokens[id].text.p, len);
    s->sum += score_of(id, len);
    s->len += len;
    return NX_OK;
}

/* The best sum by trying everything. */
static double best(const char *text, size_t len)
{
    double found = -1e9;
    bool   one = false;

    if (len == 0) return 0;
    size_t n = len > 1 && (unsigned char)text[0] == 0xC3 ? 2 : 1;
    for (size_t i = 0; i < N; i++) {
        nx_str t = tokens[i].text;
        if (t.len > len || memcmp(t.p, text, t.len) != 0) continue;
        double s = score_of((int32_t)i, t.len) + best(text + t.len, len - t.len);
        if (s > found) found = s;
        one |= t.len == n;
    }
    double s = UNKNOWN + best(text + n, len - n);
    return !one && s > found ? s : found;
}

static void sums_are_largest(void **state)
{
    static const char *const parts[] = {"a", "b", "c", "\xC3\xA9", "ca", "x", "bc"};
    nx_unigram              *u = NULL;
    nx_unigram_work          w = {0};
    uint32_t                 x = 7;

    (void)state;
    assert_int_equal(nx_unigram_create(&u, tokens, N, &options, NULL), NX_OK);
    for (int round = 0; round < 2000; round++) {
        char text[64] = "";
        seen s = {0};
        for (int i = 0; i < round % 10; i++) {
            x = x * 1664525 + 1013904223;
            strcat(text, parts[(x >> 16) % 7]);
        }
        assert_int_equal(nx_unigram_encode(u, &w, text, strlen(text), on_token, &s, NULL), NX_OK);
        assert_int_equal(s.len, strlen(text));
        assert_true(s.sum - best(text, strlen(text)) < 1e-9);
        assert_true(best(text, strlen(text)) - s.sum < 1e-9);
    }
    int32_t id = -1;
    assert_int_equal(nx_unigram_longest(u, "abcd", 4, &id), 3);
    assert_int_equal(id, 2);
    assert_int_equal(nx_unigram_longest(u, "xabcd", 5, &id), 0);
    nx_unigram_work_free(&w);
    nx_unigram_destroy(u);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        nx_unigram     *u = NULL;
        nx_unigram_work w = {0};
        seen            s = {0};
        nx_alloc_fail_after(n);
        nx_status st = nx_unigram_create(&u, tokens, N, &options, NULL);
        if (!st) st = nx_unigram_encode(u, &w, "abcabc", 6, on_token, &s, NULL);
        nx_alloc_fail_after(-1);
        nx_unigram_work_free(&w);
        nx_unigram_destroy(u);
        if (!st) break;
        assert_int_equal(st, NX_ENOMEM);
    }
}

/* One key, "a", in the smallest double array: units 0 (root), 'a', and its value. */
static void charsmap(void **state)
{
    unsigned char bytes[4 + 4 * 128 + 3] = {0};
    nx_charsmap  *m = NULL;
    nx_str        to;

    (void)state;
    bytes[1] = 2; /* a trie of 512 bytes */
    memcpy(bytes + 4, "\0\0\0\0", 4);
    memcpy(bytes + 4 + 4 * 'a', "a\x05\0\0", 4); /* label a, a key ends, offset 1 */
    memcpy(bytes + 4 + 4 * ('a' ^ 1), "\0\0\0\x80", 4);
    memcpy(bytes + 4 + 512, "zz", 3);
    assert_int_equal(nx_charsmap_open(&m, (nx_str){(char *)bytes, sizeof bytes}, NULL), NX_OK);
    assert_int_equal(nx_charsmap_longest(m, "ab", 2, &to), 1);
    assert_int_equal(to.len, 2);
    assert_int_equal(nx_charsmap_shortest(m, "aa", 2, &to), 1);
    assert_int_equal(nx_charsmap_longest(m, "b", 1, &to), 0);
    nx_charsmap_close(m);
    bytes[1] = 9; /* a trie that doesn't fit */
    assert_int_equal(nx_charsmap_open(&m, (nx_str){(char *)bytes, sizeof bytes}, NULL), NX_EFORMAT);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_largest),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(charsmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
