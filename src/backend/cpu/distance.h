/* distance.h - kernels for scans over vectors: tensor/distance.h, by this processor. */
#ifndef NX_BACKEND_CPU_DISTANCE_H
#define NX_BACKEND_CPU_DISTANCE_H

#include "tensor/distance.h"

/* The best that `features` (os/cpu.h) allow; 0 is the plain C reference. Static. */
const nx_distance_ops *nx_cpu_distances(uint32_t features);

extern const nx_distance_ops nx_distances_ref;
extern const nx_distance_ops nx_distances_avx2; /* x86-64 only */

#endif
