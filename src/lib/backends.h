/* backends.h - makes what computes: the only place that names concrete backends. */
#ifndef NX_LIB_BACKENDS_H
#define NX_LIB_BACKENDS_H

#include "tensor/backend.h"

/* The best backend of this machine. n_threads 0: as many as this process has processors.
 * Honours NEXUS_CPU (ref, avx2). The backend owns its worker pool; be->ops->destroy frees both.
 * NX_EINVAL (threads, NEXUS_CPU), NX_ENOMEM. */
nx_status nx_backends_create(nx_backend **out, int32_t n_threads, nx_error *err);

#endif
