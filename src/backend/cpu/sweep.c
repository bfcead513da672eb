/* sweep.c - measures the read bandwidth of this machine. */
#include "backend/cpu/sweep.h"

#include <string.h>

#include "os/clock.h"
#include "os/cpu.h"
#include "os/memory.h"
#include "os/pool.h"

#define SWEEP_GRAIN 4096 /* bytes: a multiple of what one loop of a sweep reads */

uint64_t nx_sweep_ref(const void *p, size_t bytes)
{
    const uint64_t *x = p;
    uint64_t        s[8] = {0};

    for (size_t i = 0; i < bytes / sizeof *x; i += 8)
        for (int k = 0; k < 8; k++) s[k] += x[i + (size_t)k];
    return (s[0] + s[1]) + (s[2] + s[3]) + (s[4] + s[5]) + (s[6] + s[7]);
}

typedef struct sweep {
    unsigned char *data;
    uint64_t (*read)(const void *p, size_t bytes);
    uint64_t sums[NX_POOL_THREADS_MAX]; /* kept, so that the reads are for something */
} sweep;

static void touch_range(void *ctx, int thread, int64_t begin, int64_t end)
{
    sweep *s = ctx;

    memset(s->data + begin, thread + 1, (size_t)(end - begin));
}

static void read_range(void *ctx, int thread, int64_t begin, int64_t end)
{
    sweep *s = ctx;

    s->sums[thread] += s->read(s->data + begin, (size_t)(end - begin));
}

static double best_of(nx_pool *pool, sweep *s, size_t bytes, int n_sweeps)
{
    double best = 0;

    for (int i = 0; i < n_sweeps; i++) {
        int64_t start = nx_clock_ns();
        nx_pool_run(pool, (int64_t)bytes, SWEEP_GRAIN, read_range, s);
        double per_s = (double)bytes * 1e9 / (double)(nx_clock_ns() - start + 1);
        if (per_s > best) best = per_s;
    }
    return best;
}

nx_status nx_cpu_read_bandwidth(double *bytes_per_s, int n_threads, size_t bytes, int n_sweeps,
                                uint32_t features, nx_error *err)
{
    nx_pool  *pool = NULL;
    nx_memory memory = {0};
    sweep     s = {.read = nx_sweep_ref};
    nx_status st;

#if defined(__x86_64__)
    if (features & NX_CPU_AVX2) s.read = nx_sweep_avx2;
#else
    (void)features;
#endif
    bytes = bytes / SWEEP_GRAIN * SWEEP_GRAIN;
    if (bytes == 0 || n_sweeps < 1)
        return nx_fail(err, NX_EINVAL, "read sweep: %zu bytes, %d times", bytes, n_sweeps);
    st = nx_pool_create(&pool, n_threads, err);
    if (!st) st = nx_memory_map(&memory, bytes, err);
    if (!st) {
        s.data = memory.data;
        nx_pool_run(pool, (int64_t)bytes, SWEEP_GRAIN, touch_range, &s);
        *bytes_per_s = best_of(pool, &s, bytes, n_sweeps);
    }
    nx_memory_unmap(&memory);
    nx_pool_destroy(pool);
    return st;
}
