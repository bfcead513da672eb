/* Protects: digests and keyed hashes against the published answers (FIPS 180, RFC 4231). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/digest.h"

static void digests(void **state)
{
    nx_digest d = {0};
    char      hex[NX_DIGEST_HEX_MAX];

    (void)state;
    assert_int_equal(nx_digest_begin(&d, NX_DIGEST_SHA256, NULL), NX_OK);
    nx_digest_add(&d, "a", 1);
    nx_digest_add(&d, "bc", 2);
    nx_digest_end(&d, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    memset(hex, 0, sizeof hex);
    nx_sha256(hex, "abc", 3);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    nx_sha256(hex, NULL, 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(nx_digest_begin(&d, NX_DIGEST_SHA1, NULL), NX_OK);
    nx_digest_add(&d, "abc", 3);
    nx_digest_end(&d, hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

static void check_hmac(const void *key, size_t key_bytes, const void *text, size_t n,
                       const char *want)
{
    unsigned char out[NX_HMAC_BYTES];
    char          hex[2 * NX_HMAC_BYTES + 1];

    assert_int_equal(nx_hmac(out, key, key_bytes, text, n, NULL), NX_OK);
    for (int i = 0; i < NX_HMAC_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(hex, want);
}

static void hmacs(void **state)
{
    unsigned char key[131];

    (void)state;
    memset(key, 0x0b, 20);
    check_hmac(key, 20, "Hi There", 8,
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    check_hmac("Jefe", 4, "what do ya want for nothing?", 28,
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    check_hmac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void comparisons(void **state)
{
    (void)state;
    assert_true(nx_secret_equal("abcd", "abcd", 4));
    assert_false(nx_secret_equal("abcd", "abce", 4));
    assert_false(nx_secret_equal("bbcd", "abcd", 4));
    assert_true(nx_secret_equal("a", "b", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests),
        cmocka_unit_test(hmacs),
        cmocka_unit_test(comparisons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
