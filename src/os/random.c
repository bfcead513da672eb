/* random.c - seeds from getrandom(2). */
#include "os/random.h"

#include <sys/random.h>
#include <unistd.h>

#include "os/clock.h"

uint64_t nx_random_seed(void)
{
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint64_t)nx_clock_ns() * 0x9E3779B97F4A7C15u ^ (uint64_t)getpid();
    seed >>= 11;
    return seed ? seed : 1;
}
