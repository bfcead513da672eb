/* backends.c - which backends this program has. */
#include "lib/backends.h"

#include <stddef.h>
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/distance.h"
#include "backend/cpu/sweep.h"
#include "base/alloc.h"
#include "os/cpu.h"
#include "os/pool.h"

/* The CPU backend borrows its pool. Here the two live and die together: the backend gets a copy of
 * its ops whose destroy knows the pool. */
typedef struct pooled {
    nx_backend_ops        ops;
    const nx_backend_ops *inner;
    nx_pool              *pool;
} pooled;

static void destroy_pooled(nx_backend *be)
{
    pooled *p = (pooled *)(uintptr_t)be->ops; /* ops is its first member, and ours to free */

    be->ops = p->inner;
    be->ops->destroy(be);
    nx_pool_destroy(p->pool);
    nx_free(p);
}

static nx_status create_cpu(nx_backend **out, pooled *p, int32_t n_threads, nx_error *err)
{
    uint32_t  features;
    nx_status st = nx_cpu_features(&features, getenv("NEXUS_CPU"), err);

    if (!st) st = nx_pool_create(&p->pool, n_threads, err);
    if (!st) st = nx_cpu_backend_create(out, p->pool, features, err);
    if (st) return st;
    p->inner = (*out)->ops;
    p->ops = *p->inner;
    p->ops.destroy = destroy_pooled;
    (*out)->ops = &p->ops;
    return NX_OK;
}

nx_status nx_backends_create(nx_backend **out, int32_t n_threads, nx_precision precision,
                             nx_error *err)
{
    *out = NULL;
    pooled *p = nx_calloc(1, sizeof *p);
    if (!p) return nx_fail(err, NX_ENOMEM, "backend");
    nx_status st = create_cpu(out, p, n_threads ? n_threads : nx_cpu_count(), err);
    if (st) {
        nx_pool_destroy(p->pool);
        nx_free(p);
        return st;
    }
    if (precision == NX_PRECISION_EXACT) nx_cpu_backend_make_exact(*out);
    if (precision == NX_PRECISION_FINE) nx_cpu_backend_make_fine(*out);
    return NX_OK;
}

nx_status nx_backends_read_bandwidth(double *bytes_per_s, int32_t n_threads, size_t bytes,
                                     int n_sweeps, nx_error *err)
{
    uint32_t  features;
    nx_status st = nx_cpu_features(&features, getenv("NEXUS_CPU"), err);

    if (st) return st;
    return nx_cpu_read_bandwidth(bytes_per_s, n_threads ? n_threads : nx_cpu_count(), bytes,
                                 n_sweeps, features, err);
}

nx_status nx_backends_distances(const nx_distance_ops **out, nx_error *err)
{
    uint32_t  features;
    nx_status st = nx_cpu_features(&features, getenv("NEXUS_CPU"), err);

    if (!st) *out = nx_cpu_distances(features);
    return st;
}
