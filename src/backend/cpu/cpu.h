/* cpu.h - the CPU backend: kernels in plain C, overlaid by what the processor does better. */
#ifndef NX_BACKEND_CPU_CPU_H
#define NX_BACKEND_CPU_CPU_H

#include <stdint.h>

#include "os/pool.h"
#include "tensor/backend.h"

/* Make a CPU backend (src/tensor/backend.h); (*out)->ops->destroy frees it.
 *   pool           its workers; borrowed, must outlive the backend
 *   cpu_features   NX_CPU_* bits that may be used (os/cpu.h); 0 is the plain C reference
 * Errors: NX_ENOMEM. One caller at a time, the pool's owner. */
nx_status nx_cpu_backend_create(nx_backend **out, nx_pool *pool, uint32_t cpu_features,
                                nx_error *err);

/* Compute every product in floats from now on, whatever the weights' type: an exact backend of
 * tensor/backend.h. Slower; for those who compare. */
void nx_cpu_backend_make_exact(nx_backend *be);

/* The same, but products with q8_0 weights take the activations in codes of 16 bits: a fine backend of
 * tensor/backend.h. Before its reserve. */
void nx_cpu_backend_make_fine(nx_backend *be);

#endif
