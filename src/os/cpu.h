/* cpu.h - what this processor can do, and how many of it we may use. */
#ifndef NX_OS_CPU_H
#define NX_OS_CPU_H

#include <stdint.h>

#include "base/error.h"

enum {
    NX_CPU_AVX2 = 1 << 0, /* AVX2 with FMA and F16C, and an OS that saves the registers */
};

/* Features found, masked by `limit`: NULL or "" for all, "ref" for none, "avx2" for up to AVX2.
 * NX_EINVAL names the words it knows. Any thread. */
nx_status nx_cpu_features(uint32_t *out, const char *limit, nx_error *err);

/* Processors this process may run on: its affinity mask, and where a container has a smaller share
 * of time (cgroup v2), that. At least 1. */
int nx_cpu_count(void);

/* "Intel(R) Xeon(R) ..." or "unknown". out[64] at least. */
void nx_cpu_name(char *out, int cap);

#endif
