/* sweep_avx2.c - the read sweep with 32-byte loads. */
#include <immintrin.h>

#include "backend/cpu/sweep.h"

/* Eight running sums: loads wait for no addition. */
uint64_t nx_sweep_avx2(const void *p, size_t bytes)
{
    const __m256i *x = p;
    __m256i        s[8];

    for (int k = 0; k < 8; k++) s[k] = _mm256_setzero_si256();
    for (size_t i = 0; i < bytes / sizeof *x; i += 8)
        for (int k = 0; k < 8; k++)
            s[k] = _mm256_add_epi64(s[k], _mm256_load_si256(x + i + (size_t)k));
    for (int k = 1; k < 8; k++) s[0] = _mm256_add_epi64(s[0], s[k]);
    __m128i sum = _mm_add_epi64(_mm256_castsi256_si128(s[0]), _mm256_extracti128_si256(s[0], 1));
    return (uint64_t)_mm_extract_epi64(sum, 0) + (uint64_t)_mm_extract_epi64(sum, 1);
}
