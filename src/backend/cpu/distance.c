/* distance.c - which kernels this processor scans with. */
#include "backend/cpu/distance.h"

#include "os/cpu.h"

const nx_distance_ops *nx_cpu_distances(uint32_t features)
{
#if defined(__x86_64__)
    if (features & NX_CPU_AVX2) return &nx_distances_avx2;
#endif
    (void)features;
    return &nx_distances_ref;
}
