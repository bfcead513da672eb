/* rng.h - the project's random numbers: repeatable from a seed, the same on every machine.
 *
 * Sampling uses xoshiro256** 1.0 (Blackman and Vigna, 2018; period 2^256 - 1), its four words of
 * state filled by splitmix64 from one 64-bit seed, as its authors advise. Both are published in
 * the public domain with reference outputs, which tests/unit/num/test_rng.c repeats. Neither is
 * for secrets: those come from the operating system.
 *
 * Thread: a generator has one owner.
 */
#ifndef NX_NUM_RNG_H
#define NX_NUM_RNG_H

#include <stdint.h>

typedef struct nx_rng {
    uint64_t s[4];
} nx_rng;

/* The next output of splitmix64; any state is a good one. */
static inline uint64_t nx_splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline void nx_rng_seed(nx_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) rng->s[i] = nx_splitmix64(&seed);
}

static inline uint64_t nx_rotl64(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static inline uint64_t nx_rng_next_u64(nx_rng *rng)
{
    uint64_t *s = rng->s, out = nx_rotl64(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = nx_rotl64(s[3], 45);
    return out;
}

/* Uniform in [0, 1): the top 53 bits, so every multiple of 2^-53 is equally likely. */
static inline double nx_rng_uniform(nx_rng *rng)
{
    return (double)(nx_rng_next_u64(rng) >> 11) * 0x1p-53;
}

#endif
