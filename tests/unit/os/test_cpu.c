/* Protects: the mask that lets any machine test a lower path, and counts that fit this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdbool.h>
#include <unistd.h>

#include "os/cpu.h"

static void limits(void **state)
{
    uint32_t all = 0, none = 99, avx2 = 0;
    nx_error err;

    (void)state;
    assert_int_equal(nx_cpu_features(&all, NULL, &err), NX_OK);
    assert_int_equal(nx_cpu_features(&none, "ref", &err), NX_OK);
    assert_int_equal(none, 0);
    assert_int_equal(nx_cpu_features(&avx2, "avx2", &err), NX_OK);
    assert_int_equal(avx2, all & NX_CPU_AVX2);
    assert_int_equal(nx_cpu_features(&avx2, "", &err), NX_OK);
    assert_int_equal(avx2, all);
    assert_int_equal(nx_cpu_features(&avx2, "sse9", &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "sse9"));
    assert_non_null(strstr(err.text, "avx2"));
}

/* /proc/cpuinfo is another witness of the same facts. */
static void agrees_with_the_kernel(void **state)
{
    static char flags[8192];
    char        name[64];
    uint32_t    found;
    FILE       *f = fopen("/proc/cpuinfo", "re");

    (void)state;
    if (!f) skip();
    while (fgets(flags, sizeof flags, f) && strncmp(flags, "flags", 5) != 0) continue;
    fclose(f);
    if (strncmp(flags, "flags", 5) != 0) skip();
    bool want = strstr(flags, " avx2 ") && strstr(flags, " fma ") && strstr(flags, " f16c ");
    assert_int_equal(nx_cpu_features(&found, NULL, NULL), NX_OK);
    assert_int_equal((found & NX_CPU_AVX2) != 0, want);
    nx_cpu_name(name, sizeof name);
    assert_true(strlen(name) > 0 && strlen(name) < sizeof name);
    assert_null(strchr(name, '\n'));
    nx_cpu_name(name, 4);
    assert_true(strlen(name) <= 3);
}

static void count(void **state)
{
    (void)state;
    assert_true(nx_cpu_count() >= 1);
    assert_true(nx_cpu_count() <= sysconf(_SC_NPROCESSORS_CONF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits),
        cmocka_unit_test(agrees_with_the_kernel),
        cmocka_unit_test(count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
