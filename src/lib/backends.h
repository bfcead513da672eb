/* backends.h - makes what computes: the only place that names concrete backends. */
#ifndef NX_LIB_BACKENDS_H
#define NX_LIB_BACKENDS_H

#include "tensor/backend.h"
#include "tensor/distance.h"

/* How activations meet weights that are quantised: tensor/backend.h. */
typedef enum nx_precision {
    NX_PRECISION_CODES, /* in codes like theirs: the fastest */
    NX_PRECISION_EXACT, /* in floats */
    NX_PRECISION_FINE,  /* in floats, but with q8_0 in codes of 16 bits */
} nx_precision;

/* The best backend of this machine. n_threads 0: as many as this process has processors.
 * Honours NEXUS_CPU (ref, avx2). The backend owns its worker pool; be->ops->destroy frees both.
 * NX_EINVAL (threads, NEXUS_CPU), NX_ENOMEM. */
nx_status nx_backends_create(nx_backend **out, int32_t n_threads, nx_precision precision,
                             nx_error *err);

/* How fast this machine reads memory: the best of n_sweeps reads over `bytes` of its own by
 * n_threads threads (0: as many as this process has processors), with the loads that NEXUS_CPU
 * allows. NX_EINVAL, NX_ENOMEM. */
nx_status nx_backends_read_bandwidth(double *bytes_per_s, int32_t n_threads, size_t bytes,
                                     int n_sweeps, nx_error *err);

/* The kernels that a store scans with, the best of this machine; static. Honours NEXUS_CPU:
 * NX_EINVAL. */
nx_status nx_backends_distances(const nx_distance_ops **out, nx_error *err);

#endif
