/* random.h - randomness from the operating system. Any thread. */
#ifndef NX_OS_RANDOM_H
#define NX_OS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A seed that differs from run to run; never 0, which asks for a random one. Not for secrets: 53
 * bits, so that a person can type it and JSON can carry it. */
uint64_t nx_random_seed(void);

/* Bytes for secrets, from the system's own generator. Waits until it is seeded, early after a boot.
 * NX_EIO: there is none; out then holds nothing that may be used. */
nx_status nx_random_bytes(void *out, size_t n, nx_error *err);

#endif
