/* Protects: large memory comes zeroed and goes back, and the figures about it are of this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/memory.h"

#define BYTES ((size_t)32 << 20)

static void zeroed_and_ours(void **state)
{
    nx_memory m;

    (void)state;
    assert_int_equal(nx_memory_map(&m, BYTES, NULL), NX_OK);
    assert_int_equal(m.bytes, BYTES);
    assert_int_equal((uintptr_t)m.data % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    unsigned char *p = m.data;
    for (size_t i = 0; i < BYTES; i += 1021) assert_int_equal(p[i], 0);
    memset(p, 7, BYTES);
    nx_memory_unmap(&m);
    assert_null(m.data);
    nx_memory_unmap(&m);
}

static void refused(void **state)
{
    nx_memory m = {.data = &m};
    nx_error  err;

    (void)state;
    assert_int_equal(nx_memory_map(&m, SIZE_MAX / 2, &err), NX_ENOMEM);
    assert_null(m.data);
    assert_non_null(strstr(err.text, "MiB"));
}

/* The peak counts what is touched. */
static void peak_follows_use(void **state)
{
    nx_memory m;
    uint64_t  before = nx_memory_peak();

    (void)state;
    if (before == 0) skip();
    assert_int_equal(nx_memory_map(&m, 4 * BYTES, NULL), NX_OK);
    memset(m.data, 1, 4 * BYTES);
    uint64_t after = nx_memory_peak();
    nx_memory_unmap(&m);
    assert_true(after >= 4 * BYTES);
    assert_true(after >= before);
}

static void available_is_plausible(void **state)
{
    uint64_t left = nx_memory_available();
    long     pages = sysconf(_SC_PHYS_PAGES);

    (void)state;
    if (left == UINT64_MAX || pages <= 0) skip();
    assert_true(left <= (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_true(left > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_and_ours),
        cmocka_unit_test(refused),
        cmocka_unit_test(peak_follows_use),
        cmocka_unit_test(available_is_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
