/* Protects: the checksum of our files is CRC-32C as published, the same by instruction and in
 * plain C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

/* RFC 3720, appendix B.4, and the check value of the catalogue of CRCs. */
static void published_values(void **state)
{
    unsigned char b[32];

    (void)state;
    assert_int_equal(nx_crc32c(0, "123456789", 9), 0xE3069283);
    memset(b, 0, sizeof b);
    assert_int_equal(nx_crc32c(0, b, 32), 0x8A9136AA);
    memset(b, 0xFF, sizeof b);
    assert_int_equal(nx_crc32c(0, b, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++) b[i] = (unsigned char)i;
    assert_int_equal(nx_crc32c(0, b, 32), 0x46DD794E);
    assert_int_equal(nx_crc32c_plain(0, b, 32), 0x46DD794E);
}

static void any_length_and_split_agree(void **state)
{
    unsigned char b[100];

    (void)state;
    for (int i = 0; i < 100; i++) b[i] = (unsigned char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof b; n++) {
        uint32_t whole = nx_crc32c(0, b, n);
        assert_int_equal(nx_crc32c_plain(0, b, n), whole);
        for (size_t k = 0; k <= n; k++)
            assert_int_equal(nx_crc32c(nx_crc32c(0, b, k), b + k, n - k), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values),
        cmocka_unit_test(any_length_and_split_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
