/* random.h - randomness from the operating system. Any thread. */
#ifndef NX_OS_RANDOM_H
#define NX_OS_RANDOM_H

#include <stdint.h>

/* A seed that differs from run to run; never 0, which asks for a random one. Not for secrets: 53
 * bits, so that a person can type it and JSON can carry it. */
uint64_t nx_random_seed(void);

#endif
