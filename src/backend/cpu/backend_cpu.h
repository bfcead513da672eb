/* backend_cpu.h - the CPU backend's object, as its own files see it. */
#ifndef NX_BACKEND_CPU_BACKEND_CPU_H
#define NX_BACKEND_CPU_BACKEND_CPU_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"

typedef struct nx_cpu_backend {
    nx_backend     base; /* first: the object is a nx_backend */
    nx_backend_ops ops;  /* base.ops points here; the name differs by variant */
    nx_kernels     kernels;
    nx_pool       *pool; /* borrowed */

    /* Scratch, taken by reserve for `sizes`. */
    nx_backend_sizes sizes;
    void            *scratch; /* one mapping, cut into what follows */
    size_t           scratch_bytes;
    nx_act           act;    /* of the matmul at work; x, T, K and kind change */
    uint8_t         *panels; /* [n_threads, NX_PANEL_SCRATCH] */
    float           *scores; /* [n_threads, NX_ATTEND_HEADS, n_pos_max] */
} nx_cpu_backend;

/* The op of backend.h, in matmul.c. */
void nx_cpu_matmul(nx_backend *be, float *const out[], const nx_tensor *const w[], int32_t n_w,
                   const float *x, int32_t T, bool add);

#endif
