/* sweep.h - how fast this machine reads memory: the ceiling that decoding is measured against.
 *
 * Decoding one token reads every weight once, so bytes per second read by a loop that does nothing
 * else bound it from above.
 */
#ifndef NX_BACKEND_CPU_SWEEP_H
#define NX_BACKEND_CPU_SWEEP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The best of n_sweeps reads over `bytes` of anonymous memory (huge pages advised, touched first)
 * by n_threads threads, each over its own contiguous part; with AVX2 loads where `features`
 * (os/cpu.h) has them. NX_EINVAL, NX_ENOMEM. */
nx_status nx_cpu_read_bandwidth(double *bytes_per_s, int n_threads, size_t bytes, int n_sweeps,
                                uint32_t features, nx_error *err);

/* Read [p, p + bytes), p a multiple of 32, bytes of 256; the result depends on every byte, so that
 * no load can be left out. */
uint64_t nx_sweep_ref(const void *p, size_t bytes);
uint64_t nx_sweep_avx2(const void *p, size_t bytes);

#endif
