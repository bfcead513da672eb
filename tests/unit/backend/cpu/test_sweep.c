/* Protects: the ceiling of `nexus bench` is honest only if a sweep reads every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/cpu/sweep.h"
#include "os/cpu.h"
#include "os/memory.h"

#define BYTES 8192

static void fill(unsigned char *p)
{
    for (uint32_t i = 0, x = 1; i < BYTES; i++) p[i] = (unsigned char)((x = x * 69069 + 1) >> 24);
}

static void reads_every_byte(void **state)
{
    nx_memory m;
    nx_error  err;
    uint32_t  features;

    (void)state;
    assert_int_equal(nx_memory_map(&m, BYTES, &err), NX_OK);
    assert_int_equal(nx_cpu_features(&features, NULL, &err), NX_OK);
    unsigned char *p = m.data;
    fill(p);
    uint64_t whole = nx_sweep_ref(p, BYTES);
    if (features & NX_CPU_AVX2) assert_true(nx_sweep_avx2(p, BYTES) == whole);
    for (int i = 0; i < BYTES; i++) {
        p[i] ^= 1;
        assert_true(nx_sweep_ref(p, BYTES) != whole);
        if (features & NX_CPU_AVX2) assert_true(nx_sweep_avx2(p, BYTES) != whole);
        p[i] ^= 1;
    }
    nx_memory_unmap(&m);
}

static void measures(void **state)
{
    nx_error err;
    double   per_s = 0;

    (void)state;
    assert_int_equal(nx_cpu_read_bandwidth(&per_s, 2, 1 << 20, 2, 0, &err), NX_OK);
    assert_true(per_s > 1e6); /* a memory of 1 MB/s: something is counted wrongly */
    assert_int_equal(nx_cpu_read_bandwidth(&per_s, 0, 1 << 20, 2, 0, &err), NX_EINVAL);
    assert_int_equal(nx_cpu_read_bandwidth(&per_s, 1, 100, 2, 0, &err), NX_EINVAL);
    assert_int_equal(nx_cpu_read_bandwidth(&per_s, 1, 1 << 20, 0, 0, &err), NX_EINVAL);
}

static void memory_is_counted(void **state)
{
    nx_memory m;
    nx_error  err;

    (void)state;
    assert_true(nx_memory_available() > (uint64_t)1 << 20);
    uint64_t before = nx_memory_peak();
    assert_true(before > 0);
    size_t bytes = (size_t)64 << 20;
    assert_int_equal(nx_memory_map(&m, bytes, &err), NX_OK);
    for (size_t i = 0; i < bytes; i += 4096) ((volatile char *)m.data)[i] = 1;
    assert_true(nx_memory_peak() >= before + bytes / 2);
    nx_memory_unmap(&m);
    nx_memory_unmap(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_byte),
        cmocka_unit_test(measures),
        cmocka_unit_test(memory_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
