/* quantise_fit.c - scales by least squares: the plain build, and the choice. */
#define FIT nx_fit_plain
#include "num/quantise_fit_body.h"

uint8_t nx_iq4_nearest(float v)
{
    int lo = 0, hi = 15;

    if (!(v > (float)nx_iq4_levels[0])) return 0;
    if (v >= (float)nx_iq4_levels[15]) return 15;
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (v < (float)nx_iq4_levels[mid])
            hi = mid;
        else
            lo = mid;
    }
    return (uint8_t)(v > (float)(nx_iq4_levels[lo] + nx_iq4_levels[hi]) * 0.5f ? hi : lo);
}

const nx_fit *nx_fit_get(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return &nx_fit_avx2;
#endif
    return &nx_fit_plain;
}
