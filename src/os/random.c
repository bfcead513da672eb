/* random.c - seeds and secrets from getrandom(2). */
#include "os/random.h"

#include <errno.h>
#include <string.h>
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

nx_status nx_random_bytes(void *out, size_t n, nx_error *err)
{
    unsigned char *p = out;

    while (n > 0) {
        ssize_t got = getrandom(p, n < 256 ? n : 256, 0); /* up to 256 come whole */
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return nx_fail(err, NX_EIO, "no random bytes: %s", strerror(errno));
        p += got;
        n -= (size_t)got;
    }
    return NX_OK;
}
