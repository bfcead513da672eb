/* cpu.c - CPU features and counts on Linux. */
#define _GNU_SOURCE
#include "os/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>

/* clang 16 doesn't know "f16c" in __builtin_cpu_supports: ask the processor, leaf 1, ECX. That the
 * OS saves the wide registers is part of the answer for "avx2". */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

nx_status nx_cpu_features(uint32_t *out, const char *limit, nx_error *err)
{
    uint32_t found = 0;

#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        found |= NX_CPU_AVX2;
#endif
    *out = found;
    if (!limit || !*limit || strcmp(limit, "avx2") == 0) return NX_OK;
    if (strcmp(limit, "ref") == 0) {
        *out = 0;
        return NX_OK;
    }
    return nx_fail(err, NX_EINVAL, "NEXUS_CPU=%s: expected \"ref\" or \"avx2\"", limit);
}

/* A container's share of processor time, in whole processors rounded up; 0: no limit known.
 * cpu.max holds "QUOTA PERIOD" in microseconds, or "max PERIOD". */
static int cgroup_quota(void)
{
    char  line[64], *end;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");

    if (!f) return 0;
    bool got = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    long quota = got ? strtol(line, &end, 10) : 0; /* "max" reads as 0 */
    long period = quota > 0 ? strtol(end, NULL, 10) : 0;
    if (period <= 0 || quota > (long)INT_MAX) return 0;
    return (int)((quota - 1) / period + 1);
}

int nx_cpu_count(void)
{
    cpu_set_t set;
    int       quota = cgroup_quota();
    long      n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                              : sysconf(_SC_NPROCESSORS_ONLN);

    if (quota > 0 && quota < n) n = quota;
    return n > 0 ? (int)n : 1;
}

void nx_cpu_name(char *out, int cap)
{
    char  line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");

    snprintf(out, (size_t)cap, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = '\0';
        if (*value) snprintf(out, (size_t)cap, "%s", value);
        break;
    }
    if (f) fclose(f);
}
