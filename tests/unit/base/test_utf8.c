/* Protects: what counts as UTF-8 (RFC 3629), checked against the definition for every code point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

/* The definition, written another way than the code under test: what bytes cp must become. */
static size_t by_definition(unsigned char *out, uint32_t cp)
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) return 0;
    if (cp <= 0x7F) return (out[0] = (unsigned char)cp), 1;
    if (cp <= 0x7FF) {
        out[0] = (unsigned char)(192 + cp / 64);
        out[1] = (unsigned char)(128 + cp % 64);
        return 2;
    }
    if (cp <= 0xFFFF) {
        out[0] = (unsigned char)(224 + cp / 4096);
        out[1] = (unsigned char)(128 + cp / 64 % 64);
        out[2] = (unsigned char)(128 + cp % 64);
        return 3;
    }
    out[0] = (unsigned char)(240 + cp / 262144);
    out[1] = (unsigned char)(128 + cp / 4096 % 64);
    out[2] = (unsigned char)(128 + cp / 64 % 64);
    out[3] = (unsigned char)(128 + cp % 64);
    return 4;
}

static void fail_at(uint32_t cp, const char *what)
{
    fail_msg("U+%04X: %s", cp, what);
}

static void every_code_point(void **state)
{
    unsigned char want[4];
    char          got[4];
    size_t        n;

    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        size_t len = by_definition(want, cp);
        if (len == 0) continue;
        if (nx_utf8_encode(got, cp) != len || memcmp(got, want, len) != 0) fail_at(cp, "encode");
        if (nx_utf8_decode(got, len, &n) != cp || n != len) fail_at(cp, "decode");
        if (!nx_utf8_valid(got, len, NULL)) fail_at(cp, "valid");
        if (nx_utf8_partial_tail(got, len) != 0) fail_at(cp, "whole, yet a partial tail");
        for (size_t cut = 1; cut < len; cut++) {
            if (nx_utf8_decode(got, cut, &n) != NX_UTF8_BAD || n != 1) fail_at(cp, "cut, decoded");
            if (nx_utf8_partial_tail(got, cut) != cut) fail_at(cp, "cut, no partial tail");
        }
    }
}

/* Each string of three bytes: what decodes must be written just so by the definition. */
static void every_triple(void **state)
{
    unsigned char want[4];
    char          s[3];
    size_t        n;

    (void)state;
    for (uint32_t v = 0; v < 0x1000000; v++) {
        s[0] = (char)(v >> 16);
        s[1] = (char)(v >> 8);
        s[2] = (char)v;
        uint32_t cp = nx_utf8_decode(s, 3, &n);
        if (cp == NX_UTF8_BAD) {
            if (n != 1) fail_msg("%06X: a bad byte must advance by one", v);
        } else if (by_definition(want, cp) != n || memcmp(want, s, n) != 0) {
            fail_msg("%06X decodes to U+%04X, which is written otherwise", v, cp);
        }
    }
}

static const struct {
    const char *bytes;
    size_t      bad_at;
} malformed[] = {
    {"\x80", 0},                     /* a continuation alone */
    {"a\xBF", 1},                    /* the last continuation alone */
    {"\xC0\xAF", 0},                 /* "/" in two bytes */
    {"\xC1\xBF", 0},                 /* U+7F in two bytes */
    {"\xE0\x80\xAF", 0},             /* "/" in three */
    {"\xE0\x9F\xBF", 0},             /* U+7FF in three */
    {"\xF0\x80\x80\xAF", 0},         /* "/" in four */
    {"\xF0\x8F\xBF\xBF", 0},         /* U+FFFF in four */
    {"\xF8\x88\x80\x80\x80", 0},     /* five bytes */
    {"\xFC\x84\x80\x80\x80\x80", 0}, /* six bytes */
    {"\xFE", 0},
    {"\xFF", 0},
    {"\xED\xA0\x80", 0},             /* the first surrogate */
    {"\xED\xBF\xBF", 0},             /* the last */
    {"\xED\xA0\x80\xED\xB0\x80", 0}, /* a surrogate pair, CESU-8 */
    {"\xF4\x90\x80\x80", 0},         /* U+110000 */
    {"\xF5\x80\x80\x80", 0},
    {"ok\xC3", 2}, /* two-byte lead at the end */
    {"ok\xE2\x82", 2},
    {"ok\xF0\x9F\x90", 2},
    {"\xC3\x28", 0}, /* a lead without its continuation */
    {"\xE2\x28\xA1", 0},
    {"\xE2\x82\x28", 0},
    {"\xF0\x9F\x28\xBC", 0},
};

static void malformed_sequences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        size_t bad = 99, n;
        assert_false(nx_utf8_valid(malformed[i].bytes, strlen(malformed[i].bytes), &bad));
        assert_int_equal(bad, malformed[i].bad_at);
        assert_true(nx_utf8_decode(malformed[i].bytes + bad, strlen(malformed[i].bytes + bad),
                                   &n) == NX_UTF8_BAD);
        assert_int_equal(n, 1);
    }
}

/* The lengths that Python's bytes.decode("utf-8", "replace") gives one U+FFFD. */
static void bad_lengths(void **state)
{
    static const struct {
        const char *bytes;
        size_t      n;
    } cases[] = {
        {"\x80\x80", 1},      {"\xFF\x80", 1},         {"\xC0\xAF", 1},     {"\xE2\x82", 2},
        {"\xE2\x82(", 2},     {"\xE0\x80\xAF", 1},     {"\xED\xA0\x80", 1}, {"\xF0\x9F\x90", 3},
        {"\xF0\x9F\x90x", 3}, {"\xF0\x9F\xE2\x82", 2}, {"\xF4\x90\x80", 1}, {"\xC3\xC3", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(nx_utf8_bad_length(cases[i].bytes, strlen(cases[i].bytes)), cases[i].n);
}

static void tails(void **state)
{
    (void)state;
    assert_int_equal(nx_utf8_partial_tail("", 0), 0);
    assert_int_equal(nx_utf8_partial_tail("abc", 3), 0);
    assert_int_equal(nx_utf8_partial_tail("ab\xC3", 3), 1);
    assert_int_equal(nx_utf8_partial_tail("\xC3\xA4\xE2\x82", 4), 2);
    assert_int_equal(nx_utf8_partial_tail("\xF0\x9F\x90", 3), 3);
    assert_int_equal(nx_utf8_partial_tail("\xF0\x9F\x90\xA6", 4), 0);
    /* Bytes that nothing can complete are no beginning: they can be shown (as U+FFFD) now. */
    assert_int_equal(nx_utf8_partial_tail("\x80\x80\x80", 3), 0);
    assert_int_equal(nx_utf8_partial_tail("\xC0", 1), 0);
    assert_int_equal(nx_utf8_partial_tail("\xED\xA0", 2), 0);
    assert_int_equal(nx_utf8_partial_tail("\xF4\x90", 2), 0);
    assert_int_equal(nx_utf8_partial_tail("\xFF", 1), 0);
    assert_true(nx_utf8_valid("", 0, NULL));
    assert_true(nx_utf8_valid("a\0b", 3, NULL));
}

static void controls(void **state)
{
    static const uint32_t acted_on[] = {0,      '\n',   '\t',   0x1B,   0x7F,   0x80,  0x9B,
                                        0x2028, 0x2029, 0x202A, 0x202E, 0x2066, 0x2069};
    static const uint32_t shown[] = {' ', '~', 0xA0, 0xE9, 0x2027, 0x202F, 0x206A, 0x1F30D};

    (void)state;
    for (size_t i = 0; i < sizeof acted_on / sizeof *acted_on; i++)
        assert_true(nx_utf8_is_control(acted_on[i]));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        assert_false(nx_utf8_is_control(shown[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(every_triple),
        cmocka_unit_test(malformed_sequences),
        cmocka_unit_test(bad_lengths),
        cmocka_unit_test(tails),
        cmocka_unit_test(controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
