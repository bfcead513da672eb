/* pool.h - a worker pool with a fixed split, so that results don't depend on timing.
 *
 * Idea:   n items are cut into one contiguous range per thread; the same n and the same number of
 *         threads always give the same ranges. The caller is thread 0 and works too.
 * Thread: one caller at a time (the pool's owner). A pool of 1 starts no thread.
 */
#ifndef NX_OS_POOL_H
#define NX_OS_POOL_H

#include <stdint.h>

#include "base/error.h"

typedef struct nx_pool nx_pool;

/* Work on items [begin, end), range number `thread` of 0..n_threads-1. No two ranges of one number
 * run at once, so it may index scratch; which thread runs a range is not promised. Must not fail. */
typedef void (*nx_pool_fn)(void *ctx, int thread, int64_t begin, int64_t end);

/* n_threads 1..NX_POOL_THREADS_MAX. */
#define NX_POOL_THREADS_MAX 1024 /* as many processors as an affinity mask names */
nx_status nx_pool_create(nx_pool **out, int n_threads, nx_error *err);
void      nx_pool_destroy(nx_pool *p);
int       nx_pool_threads(const nx_pool *p);

/* Run fn over items 0..n-1, cut at multiples of `grain` (>= 1; the last range may end anywhere),
 * and return when all is done. Threads whose range is empty don't call fn. */
void nx_pool_run(nx_pool *p, int64_t n, int64_t grain, nx_pool_fn fn, void *ctx);

#endif
